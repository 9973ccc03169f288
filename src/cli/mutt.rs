//! `mutt-mailboxes`: what mutt reads, made from the states alone. Takes no lock, asks no server, and writes the whole
//! result or nothing.

use super::end::UsageError;
use super::template::{Mailbox, Mailboxes, SHIPPED, Template, render};
use crate::config::{self, Config, Dialect, Local, Mutt, PathForm, nearest};
use crate::state::{self, FolderRow};
use crate::store::maildir::path_of;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use directories::BaseDirs;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// No sensible template is larger, in bytes.
const MAX_TEMPLATE: u64 = 1 << 20;

/// What `mutt-mailboxes` takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct MuttArgs {
    /// Accounts to write, in this order; all enabled ones where none is given
    #[arg(value_name = "ACCOUNT")]
    pub accounts: Vec<String>,
    /// Template to use: a name (default, named, mbnames, hooks, or one of your own) or a file
    #[arg(long, value_name = "NAME|FILE")]
    pub template: Option<String>,
    /// Program that reads the result
    #[arg(long, value_enum, value_name = "PROGRAM")]
    pub dialect: Option<DialectArg>,
    /// File to replace, if its content changes; standard output where none is given
    #[arg(short = 'o', long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// The program that is to read the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DialectArg {
    Mutt,
    Neomutt,
}

/// Writes what `args` ask for, to standard output or to a file.
pub fn run(config: &Config, args: &MuttArgs) -> Result<ExitCode> {
    let mut settings = config.mutt.clone();
    if !args.accounts.is_empty() {
        settings.accounts.clone_from(&args.accounts);
    }
    if let Some(dialect) = args.dialect {
        settings.dialect = match dialect {
            DialectArg::Mutt => Dialect::Mutt,
            DialectArg::Neomutt => Dialect::Neomutt,
        };
    }
    let name = args.template.as_deref().or(settings.template.as_ref().map(|template| template.value.as_str()));
    let template = find(name.unwrap_or("default"))?;
    let text = render(&gather(config, &settings)?, &template, &settings)?;
    match args.output.as_deref().filter(|output| *output != Path::new("-")) {
        Some(output) => {
            replace(output, &text)?;
        }
        None => {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("write to standard output")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Replaces the file that `[mutt] file` names, for all accounts whichever were synced; whether its content changed.
/// Does nothing where the config names none. Fails, and leaves the file alone, where a root that held folders is not
/// there: a disk that is not mounted must not empty mutt's list.
pub fn refresh(config: &Config) -> Result<bool> {
    let Some(file) = &config.mutt.file else {
        return Ok(false);
    };
    let name = config.mutt.template.as_ref().map_or("default", |template| template.value.as_str());
    let accounts = gather(config, &config.mutt)?;
    if let Some(gone) = accounts.iter().find(|account| account.root_is_gone) {
        bail!("{}: {} is not there; {} is left as it was", gone.account, gone.root, file.display());
    }
    replace(file, &render(&accounts, &find(name)?, &config.mutt)?)
}

/// The folders of the chosen accounts that exist as Maildirs. An account that was never synced has none.
fn gather(config: &Config, settings: &Mutt) -> Result<Vec<Mailboxes>> {
    let mut chosen: Vec<&config::Account> = Vec::new();
    match settings.accounts.is_empty() {
        true => chosen.extend(config.accounts.iter().filter(|account| account.enabled)),
        false => {
            for name in &settings.accounts {
                let account = config.account(name).ok_or_else(|| unknown_account(config, name))?;
                if !chosen.iter().any(|known| known.name == account.name) {
                    chosen.push(account);
                }
            }
        }
    }
    let mut all = Vec::new();
    for account in chosen {
        // A second server has no directories that mutt could read.
        let Local::Maildir(maildir) = &account.local else { continue };
        let rows = state::read_folders(&config.state_file(&account.name))
            .with_context(|| format!("{}: read the state", account.name))?;
        let root = &maildir.path.value;
        let root_is_gone = !rows.is_empty() && !root.is_dir();
        let folders: Vec<Mailbox> = rows
            .into_iter()
            .filter_map(|row| mailbox(root, row, settings).transpose())
            .collect::<Result<_>>()
            .with_context(|| account.name.clone())?;
        all.push(Mailboxes { account: account.name.clone(), root: utf8(root)?.to_owned(), root_is_gone, folders });
    }
    Ok(all)
}

fn unknown_account(config: &Config, name: &str) -> UsageError {
    let known: Vec<&str> = config.accounts.iter().map(|account| account.name.as_str()).collect();
    let hint = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("the config file has {}", known.join(", ")),
    };
    UsageError { what: format!("no such account: {name:?}"), hint: Some(hint) }
}

/// The folder as mutt sees it; `None` where it is no Maildir.
fn mailbox(root: &Path, row: FolderRow, settings: &Mutt) -> Result<Option<Mailbox>> {
    let dir = path_of(root, &row.wires.local);
    if ["cur", "new", "tmp"].iter().any(|part| !dir.join(part).is_dir()) {
        return Ok(None);
    }
    let below = match (settings.paths, &settings.folder) {
        (PathForm::Folder, Some(folder)) => dir.strip_prefix(folder).ok().filter(|below| *below != Path::new("")),
        _ => None,
    };
    let path = match below {
        Some(below) => format!("+{}", utf8(below)?),
        None => utf8(&dir)?.to_owned(),
    };
    Ok(Some(Mailbox {
        name: row.names.local,
        remote: row.names.remote,
        role: row.role,
        path,
        dir: utf8(&dir)?.to_owned(),
        messages: row.messages,
        unseen: row.unseen,
    }))
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("the path {} is not UTF-8, which mutt's files are", path.display()))
}

/// The template of that name, the user's own before the shipped one; or the file.
fn find(name: &str) -> Result<Template> {
    if name.contains('/') {
        return read(Path::new(name));
    }
    let own = BaseDirs::new().map(|dirs| dirs.config_dir().join("mailsync/templates").join(format!("{name}.muttrc")));
    if let Some(own) = own.as_deref().filter(|own| own.exists()) {
        return read(own);
    }
    if let Some(shipped) = Template::shipped(name) {
        return Ok(shipped);
    }
    if Path::new(name).is_file() {
        return read(Path::new(name));
    }
    let shipped: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
    let put = own.map(|own| format!(", or write {}", own.display())).unwrap_or_default();
    let hint = format!("there are {}{put}", shipped.join(", "));
    Err(UsageError { what: format!("no such template: {name:?}"), hint: Some(hint) }.into())
}

fn read(path: &Path) -> Result<Template> {
    let place = || format!("read the template {}", path.display());
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(MAX_TEMPLATE + 1).read_to_string(&mut text)).with_context(place)?;
    if text.len() as u64 > MAX_TEMPLATE {
        bail!("{}: larger than 1 MB: no template", place());
    }
    Ok(Template { name: path.display().to_string(), text })
}

/// Replaces a file's content as a whole and durably, if it differs; whether it did. A symbolic link stays and its
/// target is replaced. A new file has mode 0600, an existing one keeps its own.
pub fn replace(path: &Path, text: &str) -> Result<bool> {
    let target = target(path).with_context(|| format!("write {}", path.display()))?;
    let place = || format!("write {}", target.display());
    let mode = match fs::metadata(&target) {
        Ok(meta) if !meta.is_file() => bail!("{}: not a regular file", place()),
        Ok(meta) => {
            // Also where it can't be read: then it is replaced.
            if meta.len() == text.len() as u64 && fs::read(&target).is_ok_and(|old| old == text.as_bytes()) {
                return Ok(false);
            }
            meta.permissions().mode() & 0o7777
        }
        Err(err) if err.kind() == io::ErrorKind::NotFound => 0o600,
        Err(err) => return Err(err).with_context(place),
    };
    let dir = target.parent().filter(|dir| *dir != Path::new("")).unwrap_or(Path::new("."));
    let name = target.file_name().with_context(|| format!("{}: no file name", place()))?;
    let draft = dir.join(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
    let written = write_new(&draft, text, mode).and_then(|()| fs::rename(&draft, &target));
    if let Err(err) = written {
        // What could not be written may not be there either; the first failure is the one to tell.
        let _ = fs::remove_file(&draft);
        return Err(err).with_context(place);
    }
    File::open(dir).and_then(|dir| dir.sync_all()).with_context(place)?;
    Ok(true)
}

fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = match open() {
        // Left by a process of the same number that was killed.
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => fs::remove_file(path).and_then(|()| open())?,
        opened => opened?,
    };
    file.write_all(text.as_bytes())?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

/// Where the chain of symbolic links that begins at `path` ends, whether there is something or not.
fn target(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..40 {
        match fs::read_link(&path) {
            Ok(link) => path = path.parent().unwrap_or(Path::new("")).join(link),
            Err(err) if matches!(err.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotFound) => return Ok(path),
            Err(err) => return Err(err),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::time::{Duration, SystemTime};

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("a file").permissions().mode() & 0o777
    }

    #[test]
    fn a_new_file_is_private_and_an_old_one_keeps_its_mode() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("mailboxes");
        assert!(replace(&file, "one\n").expect("written"));
        assert_eq!(mode(&file), 0o600);
        fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("chmod");
        assert!(replace(&file, "two\n").expect("written"));
        assert_eq!((mode(&file), fs::read_to_string(&file).expect("text").as_str()), (0o644, "two\n"));
        assert_eq!(fs::read_dir(dir.path()).expect("a listing").count(), 1);
    }

    #[test]
    fn a_file_that_would_not_change_is_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("mailboxes");
        replace(&file, "same\n").expect("written");
        let before = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        File::options().write(true).open(&file).expect("open").set_modified(before).expect("utimes");
        assert!(!replace(&file, "same\n").expect("compared"));
        assert_eq!(fs::metadata(&file).expect("a file").modified().expect("a time"), before);
    }

    #[test]
    fn a_symbolic_link_stays_and_its_target_is_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        symlink("real", &link).expect("a link");
        for text in ["one\n", "two\n"] {
            assert!(replace(&link, text).expect("written"));
            assert_eq!(fs::read_to_string(&real).expect("text"), text);
            assert!(link.is_symlink());
        }
    }

    #[test]
    fn what_a_killed_process_left_is_no_hindrance() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join(format!(".boxes.{}.tmp", std::process::id())), "half").expect("written");
        assert!(replace(&dir.path().join("boxes"), "x\n").expect("written"));
        assert_eq!(fs::read_dir(dir.path()).expect("a listing").count(), 1);
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(replace(dir.path(), "x\n").is_err());
        assert!(replace(&dir.path().join("no/such/dir"), "x\n").is_err());
        let circle = dir.path().join("circle");
        symlink("circle", &circle).expect("a link");
        assert!(replace(&circle, "x\n").is_err());
    }
}
