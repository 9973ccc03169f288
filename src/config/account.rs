//! `[account.NAME]` and its two sides.

use super::error::Problem;
use super::folders::{self, FolderDeletion, Folders};
use super::hooks::{self, Hooks};
use super::reader::{self, Reader, Section};
use super::server::{self, Imap, Password};
use super::tree::{At, Located, Node, Value};
use super::watch::{self, Watch};
use super::{Config, Defaults, Guard, guard, keys};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An account: two sides and what is between them.
#[derive(Clone, Debug)]
pub struct Account {
    /// Fit to be a file name.
    pub name: String,
    pub at: At,
    pub enabled: bool,
    pub remote: Imap,
    pub local: Local,
    pub folders: Folders,
    pub mode: Mode,
    /// What becomes of messages on the server that were deleted here.
    pub trash: Trash,
    pub guard: Guard,
    /// How long the bin keeps what was deleted here; zero where there is none.
    pub retain_deleted: Duration,
    /// What is run for it: its own hooks, and those of all accounts that it does not replace.
    pub hooks: Hooks,
    pub watch: Watch,
}

/// What becomes of a message on a server that was deleted on the other side.
#[derive(Clone, Debug, Default)]
pub enum Trash {
    /// It goes to the trash where the server marks one; with Gmail, always.
    #[default]
    Auto,
    /// It is expunged.
    None,
    /// It goes to the folder with the role of trash.
    Role,
    /// It goes to the folder with this remote name.
    Folder(Located<String>),
}

/// Which way messages, flags and deletions go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    TwoWay,
    /// The local side follows the server.
    PullMirror,
    /// The same without deletions.
    PullArchive,
    /// The server follows the local side.
    Push,
}

impl Mode {
    /// Every mode by its name in the file.
    pub(super) const NAMES: [(&'static str, Mode); 4] = [
        ("two-way", Mode::TwoWay),
        ("pull-mirror", Mode::PullMirror),
        ("pull-archive", Mode::PullArchive),
        ("push", Mode::Push),
    ];
}

#[derive(Clone, Debug)]
pub enum Local {
    Maildir(Maildir),
    Imap(Box<Imap>),
}

/// A tree of Maildirs.
#[derive(Clone, Debug)]
pub struct Maildir {
    pub path: Located<PathBuf>,
    pub layout: Layout,
    /// What stands before the flags in a file name: `:` by default.
    pub info_separator: char,
}

/// How the folders of a Maildir lie on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A directory in a directory.
    Nested,
    /// `.A.B` below the root, which is INBOX.
    MaildirPlusPlus,
    /// `A<separator>B` below the root.
    Flat { separator: char },
}

/// All accounts in the order of the file.
pub fn read_all(reader: &mut Reader, node: Option<&Node>, root: &At, above: &Defaults) -> Vec<Account> {
    let entries = match node {
        Some(node) => reader::entries(reader, "[account]", node),
        None => Some(Default::default()),
    };
    if entries.is_some_and(<[_]>::is_empty) {
        reader.complain_with(root, "no account", "add [account.NAME] with `remote` and `local`");
    }
    let before = reader.problems.len();
    let accounts: Vec<Account> =
        entries.unwrap_or_default().iter().filter_map(|(name, node)| read(reader, name, node, above)).collect();
    if reader.problems.len() == before {
        refuse_shared_maildirs(reader, &accounts);
    }
    accounts
}

fn read(reader: &mut Reader, name: &Located<String>, node: &Node, above: &Defaults) -> Option<Account> {
    if let Err(what) = check_name(&name.value) {
        reader.complain_with(&name.at, what, "the state is kept in a file of that name");
    }
    let section = Section::new(reader, &keys::ACCOUNT, node)?;
    let enabled = section.flag(reader, "enabled").unwrap_or(true);
    let guard = guard(reader, &section, above.guard);
    let retain_deleted = section.duration(reader, "retain_deleted").unwrap_or(above.retain_deleted);
    let trash = trash(reader, &section);
    let hooks = hooks::read(reader, section.get("hooks"), &above.hooks);
    let watch = watch::read(reader, section.get("watch"), &above.watch);
    let folders = folders::read(reader, section.get("folders"));
    let mode = section.choice(reader, "mode", &Mode::NAMES).unwrap_or_default();
    for key in ["remote", "local"].iter().filter(|key| section.get(key).is_none()) {
        let example = match *key {
            "remote" => "remote = { host = \"imap.example.org\", user = \"me@example.org\" }",
            _ => "local = { path = \"~/Mail\" }",
        };
        reader.complain_with(&name.at, format!("account `{}` has no `{key}`", name.value), example);
    }
    let remote = section.get("remote").and_then(|node| remote(reader, node));
    let local = section.get("local").and_then(|node| local(reader, node));
    if let (Some(remote), Some(Local::Imap(local))) = (&remote, &local)
        && remote.is_same_mailbox(local)
    {
        reader.complain(&local.at, format!("both sides of account `{}` are the same server and user", name.value));
    }
    if let (Some(Local::Imap(_)), FolderDeletion::Propagate) = (&local, folders.delete) {
        let at = section.get("folders").and_then(|node| entry(node, "delete")).map_or(&section.at, |node| &node.at);
        let what = format!("`delete = \"propagate\"` needs a Maildir as the `local` of account `{}`", name.value);
        reader.complain_with(
            at,
            what,
            "only there what is deleted with a folder is kept; leave it out, or say \"keep\"",
        );
    }
    Some(Account {
        name: name.value.clone(),
        at: name.at.clone(),
        enabled,
        remote: remote?,
        local: local?,
        folders,
        mode,
        trash,
        guard,
        retain_deleted,
        hooks,
        watch,
    })
}

fn trash(reader: &mut Reader, section: &Section<'_>) -> Trash {
    let Some(text) = section.word(reader, "trash") else { return Trash::Auto };
    match text.value.as_str() {
        "auto" => Trash::Auto,
        "none" => Trash::None,
        "role:trash" => Trash::Role,
        other if other.starts_with("role:") => {
            let what = "the only role that `trash` may have is \"role:trash\"";
            reader.complain_with(&text.at, what, "or \"auto\", \"none\", or a folder's name on the server");
            Trash::Auto
        }
        _ => Trash::Folder(text),
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let why = match name {
        "" => "an account needs a name",
        _ if name.starts_with(['.', '-']) => "may not begin with `.` or `-`",
        _ if name.contains('/') => "may not contain `/`",
        _ if name.chars().any(char::is_control) => "may not contain control characters",
        _ if name.len() > 200 => "may not be longer than 200 bytes",
        _ => return Ok(()),
    };
    Err(format!("bad account name \"{}\": {why}", name.escape_debug()))
}

/// The type that a side's table names.
fn kind(node: &Node) -> Option<(&str, &At)> {
    match entry(node, "type")? {
        Node { value: Value::Text(kind), at } => Some((kind, at)),
        Node { at, .. } => Some(("", at)),
    }
}

/// The value of a key of a table.
fn entry<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    let Value::Table(entries) = &node.value else {
        return None;
    };
    entries.iter().find(|(found, _)| found.value == key).map(|(_, node)| node)
}

fn remote(reader: &mut Reader, node: &Node) -> Option<Imap> {
    match kind(node) {
        None | Some(("imap", _)) => server::read(reader, node),
        Some((_, at)) => {
            reader.complain(at, "`type` of `remote` must be \"imap\"");
            None
        }
    }
}

fn local(reader: &mut Reader, node: &Node) -> Option<Local> {
    match kind(node) {
        None | Some(("maildir", _)) => maildir(reader, node).map(Local::Maildir),
        Some(("imap", _)) => server::read(reader, node).map(|imap| Local::Imap(Box::new(imap))),
        Some((_, at)) => {
            reader.complain(at, "`type` of `local` must be \"maildir\" or \"imap\"");
            None
        }
    }
}

fn maildir(reader: &mut Reader, node: &Node) -> Option<Maildir> {
    let section = Section::new(reader, &keys::MAILDIR, node)?;
    let separator = separator(reader, &section);
    let layouts = [
        ("nested", Layout::Nested),
        ("maildir++", Layout::MaildirPlusPlus),
        ("flat", Layout::Flat { separator: separator.unwrap_or('.') }),
    ];
    let names: Vec<(&str, usize)> = layouts.iter().enumerate().map(|(i, (name, _))| (*name, i)).collect();
    let chosen = section.choice(reader, "layout", &names).unwrap_or(0);
    let layout = layouts[chosen].1.clone();
    if let (Some(node), false) = (section.get("separator"), matches!(layout, Layout::Flat { .. })) {
        reader.complain(&node.at, "`separator` has a meaning with layout = \"flat\" only");
    }
    let info_separators = [(":", ':'), ("!", '!')];
    let info_separator = section.choice(reader, "info_separator", &info_separators).unwrap_or(':');
    if section.get("path").is_none() {
        reader.complain_with(&section.at, "a Maildir needs `path`", "path = \"~/Mail\"");
    }
    let path = section.path(reader, "path")?;
    Some(Maildir { path, layout, info_separator })
}

/// The separator of the flat layout.
fn separator(reader: &mut Reader, section: &Section<'_>) -> Option<char> {
    let text = section.word(reader, "separator")?;
    let mut chars = text.value.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) if c.is_ascii_punctuation() && !matches!(c, '/' | '%') => Some(c),
        _ => {
            reader.complain(&text.at, "`separator` must be one punctuation character, not `/` or `%`");
            None
        }
    }
}

impl Account {
    /// The same, with a place for the tokens of its servers.
    pub(super) fn keeping_tokens(mut self, state_dir: &Path) -> Account {
        let name = self.name.clone();
        let remote = Some(&mut self.remote);
        let local = match &mut self.local {
            Local::Imap(imap) => Some(&mut **imap),
            Local::Maildir(_) => None,
        };
        for imap in remote.into_iter().chain(local) {
            let user = imap.user.clone().unwrap_or_default();
            if let Password::OAuth2(oauth2) = &mut imap.password {
                let file = format!("{name}.{user}@{}.json", imap.host).replace('/', "_");
                oauth2.file = state_dir.join("tokens").join(file);
                oauth2.account = name.clone();
            }
        }
        self
    }

    /// Its IMAP servers.
    pub fn servers(&self) -> impl Iterator<Item = &Imap> {
        let local = match &self.local {
            Local::Imap(imap) => Some(imap.as_ref()),
            Local::Maildir(_) => None,
        };
        std::iter::once(&self.remote).chain(local)
    }

    fn maildir(&self) -> Option<&Maildir> {
        match &self.local {
            Local::Maildir(maildir) => Some(maildir),
            Local::Imap(_) => None,
        }
    }
}

/// Complains where the file holds a password although others can read it.
pub fn refuse_open_passwords(reader: &mut Reader, config: &Config, file: &str) {
    let inline = |imap: &&Imap| {
        let client = imap.client.as_ref().is_some_and(|client| client.password.is_some());
        // `scheme://USER:PASSWORD@HOST`
        let proxy = imap.proxy.as_ref().is_some_and(|url| url.value.expose().contains('@'));
        matches!(imap.password, Password::Inline(_)) || client || proxy
    };
    if let Some(imap) = config.accounts.iter().flat_map(Account::servers).find(inline) {
        let what = "holds a password, and group or others can read the file";
        reader.problems.push(Problem::new(imap.at.clone(), what).with_hint(format!("chmod 600 {}", quoted(file))));
    }
}

/// A word for the shell.
fn quoted(word: &str) -> String {
    match word.chars().all(|c| c.is_alphanumeric() || "/._-+~".contains(c)) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// Complains where two accounts use the same Maildir, or one lies where the other looks for folders.
fn refuse_shared_maildirs(reader: &mut Reader, accounts: &[Account]) {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.components().collect());
    let trees: Vec<(&str, &Maildir, PathBuf)> = accounts
        .iter()
        .filter_map(|account| {
            account.maildir().map(|maildir| (account.name.as_str(), maildir, real(&maildir.path.value)))
        })
        .collect();
    for (i, (name, maildir, path)) in trees.iter().enumerate() {
        for (other_name, other, other_path) in &trees[..i] {
            let inside = |outer: &Path, inner: &Path, layout: &Layout| {
                inner.starts_with(outer) && *layout != Layout::MaildirPlusPlus
            };
            if path == other_path {
                let what = format!("accounts `{other_name}` and `{name}` have the same Maildir");
                reader.complain_with(&maildir.path.at, what, "give each a `path` of its own");
            } else if inside(other_path, path, &other.layout) || inside(path, other_path, &maildir.layout) {
                let what = format!("the Maildirs of accounts `{other_name}` and `{name}` lie one in the other");
                reader.complain_with(&maildir.path.at, what, "put them side by side");
            }
        }
    }
}
