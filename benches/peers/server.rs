//! The one server of a measurement, and mailboxes in it that are all the same.
//!
//! A mailbox is delivered once, read once by a client, so that Dovecot's indexes are complete, and then given to each
//! program as a copy: message files are links to the same data (in the page cache for all of them alike), everything of
//! Dovecot's own is copied.

use crate::message;
use crate::support::dovecot::Options;
use crate::support::{Dovecot, Imap, corpus};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Users of the server: more than programs times mailboxes.
const USERS: usize = 100;

pub struct Server {
    pub dovecot: Dovecot,
    /// Where the mailboxes are: in memory, where the machine has that.
    dir: tempfile::TempDir,
    /// Users whom nobody is.
    free: Vec<User>,
    copies: usize,
}

/// A user, and where his mail is.
#[derive(Clone, Debug)]
pub struct User {
    pub name: String,
    pub password: String,
    /// Empty until a mailbox is given.
    pub mail: PathBuf,
}

impl User {
    fn new(name: &str, password: &str) -> User {
        User { name: name.to_owned(), password: password.to_owned(), mail: PathBuf::new() }
    }
}

/// A message of a mailbox as it was delivered.
#[derive(Clone, Debug)]
pub struct Known {
    pub uid: u32,
    /// Of the LF form, in hex.
    pub sha256: String,
    /// Sorted Maildir letters.
    pub letters: String,
}

/// A mailbox to be copied.
pub struct Template {
    dir: PathBuf,
    /// Folders with their messages by UID.
    pub folders: Vec<(String, Vec<Known>)>,
    pub bytes: u64,
}

impl Template {
    /// The root of its files.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn messages(&self) -> usize {
        self.folders.iter().map(|(_, messages)| messages.len()).sum()
    }

    /// The message of this number, counted across the folders, so that a run of numbers is spread over all of them.
    pub fn nth(&self, number: usize) -> Option<(&str, &Known)> {
        let (name, messages) = &self.folders[number % self.folders.len()];
        Some((name, messages.get(number / self.folders.len())?))
    }
}

impl Server {
    pub fn start() -> Server {
        // Limits of a server of some size; the list index is Dovecot's default, which the tests turn off.
        let extra = "mailbox_list_index = yes\n\
                     protocol imap {\n  mail_plugins = imap_zlib\n}\n\
                     service imap {\n  process_limit = 1024\n}\n";
        let users: Vec<_> = (0..USERS).map(|n| (format!("user{n}"), format!("secret{n}"))).collect();
        let free = users.iter().rev().map(|(name, password)| User::new(name, password)).collect();
        let dovecot = Dovecot::with(Options { users, extra: extra.to_owned(), ..Options::default() });
        let dir = open_dir("peers-server-", &crate::options::memory());
        Server { dovecot, dir, free, copies: 0 }
    }

    /// A user whom nobody else is.
    pub fn user(&mut self) -> User {
        self.free.pop().expect("the server has enough users")
    }

    /// Takes a user back, and removes his mail.
    pub fn release(&mut self, mut user: User) {
        let mail = std::mem::take(&mut user.mail);
        // The local side of a program lies in the program's home and goes with it.
        if mail.starts_with(self.dir.path()) {
            remove(&mail);
        }
        self.free.push(user);
    }

    /// Logs in past the line.
    pub fn login(&self, user: &User) -> Imap {
        self.dovecot.login(&user.name)
    }

    /// Delivers a mailbox of so many messages in so many folders, and lets Dovecot index it. Numbers of messages begin
    /// at `from`.
    pub fn template(&mut self, folders: usize, messages: usize, from: u64) -> Template {
        let mut user = self.user();
        let dir = self.fresh();
        let names: Vec<String> = (0..folders).map(folder_name).collect();
        let mut bytes = 0;
        for name in &names {
            make_maildir(&maildir(&dir, name));
        }
        for number in 0..messages as u64 {
            let folder = &names[number as usize % folders];
            bytes += deliver(&maildir(&dir, folder).join("cur"), from + number);
        }
        self.point(&mut user, dir.clone());
        let mut imap = self.login(&user);
        let folders = names.into_iter().map(|name| {
            let known = known(&mut imap, &name);
            (name, known)
        });
        let folders = folders.collect();
        logout(imap);
        Template { dir, folders, bytes }
    }

    /// Gives the user a mailbox of his own that is the same as the template.
    pub fn give(&mut self, user: &mut User, template: &Template) {
        let dir = self.fresh();
        copy(&template.dir, &dir);
        self.point(user, dir);
    }

    /// Lets the user's mail be in this directory.
    pub fn point(&self, user: &mut User, dir: PathBuf) {
        let link = self.dovecot.home(&user.name).join("mail");
        if link.symlink_metadata().is_ok() {
            fs::remove_file(&link).expect("remove a link");
        }
        symlink(&dir, &link).expect("link to the mail");
        user.mail = dir;
    }

    /// A directory for mail that nobody has used. One that had many files is slow on some file systems.
    fn fresh(&mut self) -> PathBuf {
        self.copies += 1;
        let dir = self.dir.path().join(self.copies.to_string());
        make_dir(&dir);
        dir
    }
}

/// `INBOX`, and others, a third of them below another.
fn folder_name(number: usize) -> String {
    match number {
        0 => "INBOX".to_owned(),
        n if n % 3 == 0 => format!("Folder-{:03}/Below-{n:03}", n - 1),
        n => format!("Folder-{n:03}"),
    }
}

fn maildir(root: &Path, folder: &str) -> PathBuf {
    if folder == "INBOX" { root.to_owned() } else { root.join(folder) }
}

/// A temporary directory that the server's user can reach.
pub fn open_dir(prefix: &str, parent: &Path) -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix(prefix).tempdir_in(parent).expect("make a directory");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("open the directory");
    dir
}

/// Makes a directory that belongs to the owner of the mail, as in tests/support/dovecot.rs.
pub fn make_dir(dir: &Path) {
    fs::create_dir_all(dir).unwrap_or_else(|err| panic!("make {}: {err}", dir.display()));
    own(dir);
}

fn own(path: &Path) {
    if rustix::process::geteuid().is_root() {
        chown(path, Some(65534), Some(65534)).unwrap_or_else(|err| panic!("chown {}: {err}", path.display()));
    }
}

/// Removes a tree that is not used any more. Dovecot may still write into it, for a client that hung up.
pub fn remove(dir: &Path) {
    for _ in 0..20 {
        if fs::remove_dir_all(dir).is_ok() {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
    fs::remove_dir_all(dir).unwrap_or_else(|err| panic!("remove {}: {err}", dir.display()));
}

fn make_maildir(dir: &Path) {
    if let Some(parent) = dir.parent().filter(|parent| !parent.exists()) {
        make_dir(parent);
    }
    make_dir(dir);
    for name in ["cur", "new", "tmp"] {
        make_dir(&dir.join(name));
    }
}

/// Writes a message as Dovecot's own delivery does, with both sizes in the name.
fn deliver(cur: &Path, number: u64) -> u64 {
    let bytes = message::bytes(number);
    let size = bytes.len();
    let wire = size + bytes.iter().filter(|byte| **byte == b'\n').count();
    let date = message::date(number);
    let path = cur.join(format!("{date}.M{number}P1.mail,S={size},W={wire}:2,{}", message::letters(number)));
    fs::write(&path, bytes).expect("deliver a message");
    let file = fs::File::options().write(true).open(&path).expect("open a message");
    file.set_modified(time(date)).expect("set its date");
    own(&path);
    size as u64
}

fn time(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).expect("a date after 1970"))
}

/// Reads a folder through IMAP, which completes its indexes.
fn known(imap: &mut Imap, folder: &str) -> Vec<Known> {
    let messages = imap.messages(folder).into_iter();
    let letters = |flags: &[String]| {
        let mut all: Vec<char> =
            flags.iter().filter(|flag| !flag.starts_with("\\Recent")).map(|flag| corpus::letter(flag)).collect();
        all.sort();
        all.into_iter().collect()
    };
    messages.map(|m| Known { uid: m.uid, letters: letters(&m.flags), sha256: m.sha256 }).collect()
}

/// Ends a conversation in such a way that the server has written what it knows.
pub fn logout(mut imap: Imap) {
    imap.command("LOGOUT");
}

/// Copies a mailbox: links for messages, copies for what is Dovecot's. Times are kept, by which Dovecot sees that its
/// indexes are up to date.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("read a mailbox") {
        let source = entry.expect("read a mailbox").path();
        let target = to.join(source.file_name().expect("an entry has a name"));
        let name = source.file_name().unwrap_or_default().to_string_lossy();
        if source.is_dir() {
            make_dir(&target);
            copy(&source, &target);
        } else if name.starts_with("dovecot") || name == "maildirfolder" {
            fs::copy(&source, &target).expect("copy a file of Dovecot's");
            own(&target);
            keep_time(&source, &target);
        } else {
            fs::hard_link(&source, &target).expect("link a message");
        }
    }
    keep_time(from, to);
}

fn keep_time(from: &Path, to: &Path) {
    let time = fs::metadata(from).and_then(|meta| meta.modified()).expect("read a time");
    fs::File::open(to).and_then(|file| file.set_modified(time)).expect("keep a time");
}
