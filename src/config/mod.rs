//! What the config file says, typed. Every error says in which line and column, and all of them are told at once.
//!
//! Values that only the engine or the network layer can judge (patterns, regular expressions, pins) stay texts with
//! their place, as [`Located`], so that whoever judges them can point at them. mailsync-config(5) is the manual.

mod account;
mod duration;
mod error;
mod folders;
mod hooks;
pub mod keys;
mod mutt;
mod nearest;
mod oauth;
mod reader;
mod server;
mod tree;
mod watch;

pub use account::{Account, Layout, Local, Maildir, Mode, Trash};
pub use duration::parse_duration;
pub use error::{ConfigError, Problem};
pub use folders::{Filter, FolderDeletion, Folders, Rename};
pub use hooks::{Command, Hooks};
pub use mutt::{Dialect, Mutt, PathForm, Sort};
pub use nearest::nearest;
pub use oauth::{OAuth2, PROVIDERS, Provider};
pub use server::{ClientCert, Compress, Family, Imap, MECHANISMS, Password, Tls, TlsVersion};
pub use tree::{At, Located};
pub use watch::{Pause, Watch};

use directories::BaseDirs;
use reader::{Reader, Section};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tree::Node;
use zeroize::Zeroizing;

/// No sensible config file is larger, in bytes.
const MAX_SIZE: u64 = 4 << 20;
/// How long deleted messages are kept, unless told otherwise.
const RETAIN: Duration = Duration::from_secs(30 * 24 * 3600);

/// The whole config.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it was read from.
    pub file: PathBuf,
    pub general: General,
    /// In the order of the file; disabled ones too.
    pub accounts: Vec<Account>,
    pub mutt: Mutt,
}

/// `[general]`.
#[derive(Clone, Debug)]
pub struct General {
    pub state_dir: PathBuf,
    /// Accounts that are synced at the same time; 1 or more.
    pub max_sync_accounts: usize,
    pub ui: UiChoice,
    pub guard: Guard,
    /// How long a bin keeps what was deleted; zero where there is none.
    pub retain_deleted: Duration,
}

/// How a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UiChoice {
    /// Progress bars on a terminal, lines elsewhere.
    Auto,
    /// One line per thing done.
    Basic,
    /// Only what failed.
    Quiet,
}

/// How many deletions are done without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// More deletions in one folder than this, and more than half of it, are held.
    pub max_delete: usize,
    /// Deleting all of a folder that had this many messages or more is held.
    pub max_delete_folder: usize,
}

/// What `[general]`, `[hooks]` and `[watch]` say for accounts that don't say it themselves.
struct Defaults {
    guard: Guard,
    retain_deleted: Duration,
    hooks: Hooks,
    watch: Watch,
}

impl Default for Guard {
    fn default() -> Self {
        Guard { max_delete: 100, max_delete_folder: 20 }
    }
}

impl Config {
    /// Reads `file`, or the user's own where it is `None`, and puts each of `set` (KEY=VALUE) over it.
    pub fn load(file: Option<&Path>, set: &[String]) -> Result<Config, ConfigError> {
        let dirs = BaseDirs::new();
        let file = match (file, &dirs) {
            (Some(file), _) => file.to_owned(),
            (None, Some(dirs)) => dirs.config_dir().join("mailsync").join("config.toml"),
            (None, None) => {
                return Err(Problem::new(At::whole("config file"), "no home directory is known")
                    .with_hint("set HOME, or name the file with -c FILE")
                    .into());
            }
        };
        let (text, mode) = read(&file)?;
        let name = file.display().to_string();
        let mut root = tree::parse(&name, &text)?;
        for option in set {
            tree::set(&mut root, option)?;
        }
        let base = std::path::absolute(&file).ok().and_then(|file| Some(file.parent()?.to_owned())).unwrap_or_default();
        let mut reader = Reader::new(base, dirs.as_ref().map(|dirs| dirs.home_dir().to_owned()));
        let config = whole(&mut reader, &root, &file, dirs.as_ref());
        if let Some(config) = &config
            && mode & 0o077 != 0
        {
            account::refuse_open_passwords(&mut reader, config, &name);
        }
        match config {
            Some(config) if reader.problems.is_empty() => Ok(config),
            _ => {
                reader.problems.sort_by_key(|problem| problem.at.position());
                Err(reader.problems.into())
            }
        }
    }

    /// The account called `name`.
    pub fn account(&self, name: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.name == name)
    }

    /// Where the messages that were deleted in an account's Maildirs are kept.
    pub fn bin(&self, account: &str) -> PathBuf {
        self.general.state_dir.join(format!("{account}.deleted"))
    }

    /// Where the state of an account is kept.
    pub fn state_file(&self, account: &str) -> PathBuf {
        self.general.state_dir.join(format!("{account}.db"))
    }
}

/// The text of the file and its mode, both of the same open file.
fn read(file: &Path) -> Result<(Zeroizing<String>, u32), ConfigError> {
    let fail =
        |err: &dyn std::fmt::Display| Problem::new(At::whole(&file.display().to_string()), format!("read: {err}"));
    let missing = "write it (mailsync-config(5) shows the smallest one), or name another with -c FILE";
    let open = File::open(file).map_err(|err| match err.kind() {
        std::io::ErrorKind::NotFound => fail(&err).with_hint(missing),
        _ => fail(&err),
    })?;
    let mode = open.metadata().map_err(|err| fail(&err))?.permissions().mode();
    let mut bytes = Vec::new();
    open.take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(|err| fail(&err))?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(fail(&"larger than 4 MB: no config file").into());
    }
    let text = String::from_utf8(bytes).map_err(|err| {
        let line = err.as_bytes()[..err.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        Problem::new(At::whole(&format!("{}:{line}", file.display())), "not UTF-8")
    })?;
    Ok((Zeroizing::new(text), mode))
}

fn whole(reader: &mut Reader, root: &Node, file: &Path, dirs: Option<&BaseDirs>) -> Option<Config> {
    let section = Section::new(reader, &keys::ROOT, root)?;
    let general = general(reader, section.get("general"), dirs);
    let above = Defaults {
        guard: general.as_ref().map(|general| general.guard).unwrap_or_default(),
        retain_deleted: general.as_ref().map_or(RETAIN, |general| general.retain_deleted),
        hooks: hooks::read(reader, section.get("hooks"), &Hooks::default()),
        watch: watch::read(reader, section.get("watch"), &Watch::default()),
    };
    let accounts = account::read_all(reader, section.get("account"), &section.at, &above);
    let mutt = mutt::read(reader, section.get("mutt"), &accounts);
    let accounts = match &general {
        Some(general) => accounts.into_iter().map(|account| account.keeping_tokens(&general.state_dir)).collect(),
        None => accounts,
    };
    Some(Config { file: file.to_owned(), general: general?, accounts, mutt: mutt? })
}

fn general(reader: &mut Reader, node: Option<&Node>, dirs: Option<&BaseDirs>) -> Option<General> {
    let empty = Node { at: At::whole("[general]"), value: tree::Value::Table(Vec::new()) };
    let section = Section::new(reader, &keys::GENERAL, node.unwrap_or(&empty))?;
    let state_dir = match section.get("state_dir") {
        Some(_) => section.path(reader, "state_dir").map(|path| path.value),
        None => dirs.map(|dirs| dirs.state_dir().unwrap_or(dirs.data_local_dir()).join("mailsync")),
    };
    if state_dir.is_none() && section.get("state_dir").is_none() {
        reader.complain(&section.at, "no home directory is known: set HOME, or `state_dir`");
    }
    let max_sync_accounts = section.number(reader, "max_sync_accounts", 1..=64).unwrap_or(2);
    let choices = [("auto", UiChoice::Auto), ("basic", UiChoice::Basic), ("quiet", UiChoice::Quiet)];
    let ui = section.choice(reader, "ui", &choices).unwrap_or(UiChoice::Auto);
    let guard = guard(reader, &section, Guard::default());
    let retain_deleted = section.duration(reader, "retain_deleted").unwrap_or(RETAIN);
    Some(General { state_dir: state_dir?, max_sync_accounts, ui, guard, retain_deleted })
}

/// The limits for deletions in `section`; those that are missing are `above`'s.
fn guard(reader: &mut Reader, section: &Section<'_>, above: Guard) -> Guard {
    Guard {
        max_delete: section.number(reader, "max_delete", 0..=1_000_000_000).unwrap_or(above.max_delete),
        max_delete_folder: section
            .number(reader, "max_delete_folder", 1..=1_000_000_000)
            .unwrap_or(above.max_delete_folder),
    }
}
