//! Maildirs as another program sees them: reads them, and changes them the way mutt and delivery agents do.

use super::sha256_of_lf;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

/// A tree of Maildirs.
#[derive(Clone, Debug)]
pub struct Maildir {
    pub root: PathBuf,
}

/// A message file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalMessage {
    /// The Maildir's path below the root; empty for the root itself.
    pub folder: String,
    /// `new` or `cur`.
    pub dir: String,
    /// The file name up to the info part.
    pub unique: String,
    /// The upper-case letters of the info part, as they stand.
    pub letters: String,
    /// The lower-case letters of the info part, as they stand.
    pub custom: String,
    /// mtime in seconds since 1970.
    pub date: i64,
    /// Of the content with LF line ends.
    pub sha256: String,
    pub path: PathBuf,
}

impl LocalMessage {
    pub fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).expect("read a message")
    }

    pub fn subject(&self) -> String {
        super::subject_of(&self.bytes())
    }
}

impl Maildir {
    pub fn new(root: impl Into<PathBuf>) -> Maildir {
        Maildir { root: root.into() }
    }

    /// The paths below the root of all Maildirs, sorted.
    pub fn folders(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.walk(&self.root, &mut found);
        found.sort();
        found
    }

    fn walk(&self, dir: &Path, found: &mut Vec<String>) {
        if ["cur", "new", "tmp"].iter().all(|name| dir.join(name).is_dir()) {
            let below = dir.strip_prefix(&self.root).expect("it is below the root");
            found.push(below.to_str().expect("folder names are UTF-8").to_owned());
        }
        let Ok(entries) = fs::read_dir(dir) else { return };
        for entry in entries {
            let path = entry.expect("read a directory").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !matches!(name.as_str(), "cur" | "new" | "tmp") {
                self.walk(&path, found);
            }
        }
    }

    /// All messages of one Maildir, by unique name.
    pub fn messages(&self, folder: &str) -> Vec<LocalMessage> {
        let mut found = Vec::new();
        for dir in ["new", "cur"] {
            let path = self.root.join(folder).join(dir);
            let entries = fs::read_dir(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
            found.extend(entries.map(|entry| message(folder, dir, entry.expect("read a directory").path())));
        }
        found.sort_by(|a, b| a.unique.cmp(&b.unique));
        found
    }

    /// The one message of the folder with this subject.
    pub fn message(&self, folder: &str, subject: &str) -> LocalMessage {
        let mut found: Vec<_> = self.messages(folder).into_iter().filter(|m| m.subject() == subject).collect();
        assert_eq!(found.len(), 1, "messages {subject:?} in {folder}");
        found.remove(0)
    }

    /// All messages of all Maildirs.
    pub fn all(&self) -> Vec<LocalMessage> {
        self.folders().iter().flat_map(|folder| self.messages(folder)).collect()
    }

    /// Every message file below the root with its content's hash and its date.
    pub fn snapshot(&self) -> BTreeMap<PathBuf, (String, i64)> {
        self.all().into_iter().map(|message| (message.path, (message.sha256, message.date))).collect()
    }

    /// The flags by keyword of a folder's `dovecot-keywords`, which gives each lower-case letter a name.
    pub fn keywords(&self, message: &LocalMessage) -> Vec<String> {
        let file = self.root.join(&message.folder).join("dovecot-keywords");
        let text = fs::read_to_string(file).unwrap_or_default();
        let names: BTreeMap<usize, &str> = text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter_map(|(n, k)| Some((n.parse().ok()?, k)))
            .collect();
        let mut words: Vec<String> = message
            .custom
            .bytes()
            .filter_map(|letter| names.get(&usize::from(letter - b'a')))
            .map(|name| (*name).to_owned())
            .collect();
        words.sort();
        words
    }

    /// Makes an empty Maildir.
    pub fn create(&self, folder: &str) {
        for dir in ["cur", "new", "tmp"] {
            fs::create_dir_all(self.root.join(folder).join(dir)).expect("make a Maildir");
        }
    }

    /// Delivers a message to `new/`, as a delivery agent does.
    pub fn deliver(&self, folder: &str, message: &[u8]) -> LocalMessage {
        self.put(folder, "new", &unique(), message, None)
    }

    /// Saves a message into `cur/` with these letters, as mutt does; with a date, if one is given.
    pub fn save(&self, folder: &str, message: &[u8], letters: &str, date: Option<i64>) -> LocalMessage {
        self.put(folder, "cur", &format!("{}:2,{letters}", unique()), message, date)
    }

    fn put(&self, folder: &str, dir: &str, name: &str, content: &[u8], date: Option<i64>) -> LocalMessage {
        let tmp = self.root.join(folder).join("tmp").join(name);
        fs::write(&tmp, content).unwrap_or_else(|err| panic!("write {}: {err}", tmp.display()));
        if let Some(seconds) = date {
            let since = Duration::from_secs(u64::try_from(seconds).expect("a date after 1970"));
            let file = fs::File::options().write(true).open(&tmp).expect("open the message");
            file.set_modified(SystemTime::UNIX_EPOCH + since).expect("set its date");
        }
        let path = self.root.join(folder).join(dir).join(name);
        fs::rename(&tmp, &path).expect("deliver the message");
        message(folder, dir, path)
    }

    /// Gives a message exactly these letters, keeping its lower-case ones, and moves it to `cur/`, as a reader does.
    pub fn set_letters(&self, message: &LocalMessage, letters: &str) -> LocalMessage {
        let name = format!("{}:2,{letters}{}", message.unique, message.custom);
        let path = self.root.join(&message.folder).join("cur").join(name);
        fs::rename(&message.path, &path).expect("rename a message");
        self::message(&message.folder, "cur", path)
    }

    /// Removes a message's file, as mutt does with one that is marked deleted.
    pub fn remove(&self, message: &LocalMessage) {
        fs::remove_file(&message.path).expect("remove a message");
    }

    /// Moves a message's file to another folder under a new name, as mutt's save and delete do.
    pub fn move_to(&self, message: &LocalMessage, folder: &str) -> LocalMessage {
        let info =
            if message.dir == "cur" { format!(":2,{}{}", message.letters, message.custom) } else { String::new() };
        let path = self.root.join(folder).join(&message.dir).join(format!("{}{info}", unique()));
        fs::rename(&message.path, &path).expect("move a message");
        self::message(folder, &message.dir, path)
    }
}

fn message(folder: &str, dir: &str, path: PathBuf) -> LocalMessage {
    let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
    let (unique, info) = name.split_once(":2,").unwrap_or((&name, ""));
    let modified = fs::metadata(&path).and_then(|meta| meta.modified()).expect("a message's date");
    let date = match modified.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.as_secs() as i64,
        Err(before) => -(before.duration().as_secs() as i64),
    };
    LocalMessage {
        folder: folder.to_owned(),
        dir: dir.to_owned(),
        unique: unique.to_owned(),
        letters: info.chars().filter(char::is_ascii_uppercase).collect(),
        custom: info.chars().filter(char::is_ascii_lowercase).collect(),
        date,
        sha256: sha256_of_lf(&fs::read(&path).expect("read a message")),
        path,
    }
}

fn unique() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970");
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{}.{}_{count}.there", now.as_secs(), std::process::id())
}
