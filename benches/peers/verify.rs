//! What is in a tree of Maildirs, and whether two hold the same. Both sides are read from their files.

use crate::support::{Maildir, sha256_of_lf};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A message file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// Of the content with LF line ends, in hex.
    pub sha256: String,
    /// D, F, R, S and T; what else there may be, not every program carries.
    pub letters: String,
    /// Whether [`MARK`] was found in it, and left out of the hash.
    pub marked: bool,
    pub path: PathBuf,
}

/// What mbsync adds to the header of each message that it copies, in order to find it again. A comparison that did not
/// look past it would see nothing else.
const MARK: &[u8] = b"X-TUID: ";

/// The messages by folder. The root is `INBOX`.
pub type Tree = BTreeMap<String, Vec<Item>>;

/// Hashes of files that stay for the whole measurement, by device and inode. Message files never change, and those of the
/// templates are never removed, so that no other file gets their number.
#[derive(Default)]
pub struct Hashes(HashMap<(u64, u64), String>);

impl Hashes {
    /// Remembers the files of this tree, which must stay.
    pub fn remember(&mut self, root: &Path) {
        for item in read(root, &Hashes::default()).into_values().flatten() {
            let meta = fs::metadata(&item.path).expect("look at a message");
            self.0.insert((meta.dev(), meta.ino()), item.sha256);
        }
    }

    /// Whether it is marked, and the hash.
    fn of(&self, path: &Path) -> (bool, String) {
        let meta = fs::metadata(path).unwrap_or_else(|err| panic!("look at {}: {err}", path.display()));
        let known = self.0.get(&(meta.dev(), meta.ino())).cloned();
        known.map_or_else(
            || {
                let (marked, content) = without_mark(fs::read(path).expect("read a message"));
                (marked, sha256_of_lf(&content))
            },
            |sha256| (false, sha256),
        )
    }
}

/// The message without the line of its header that begins with [`MARK`], and whether there was one.
fn without_mark(mut message: Vec<u8>) -> (bool, Vec<u8>) {
    let mut at = 0;
    while let Some(length) = message[at..].iter().position(|byte| *byte == b'\n') {
        let line = &message[at..at + length];
        if line.starts_with(MARK) {
            message.drain(at..=at + length);
            return (true, message);
        }
        if line.is_empty() || line == b"\r" {
            break;
        }
        at += length + 1;
    }
    (false, message)
}

/// Reads a tree.
pub fn read(root: &Path, hashes: &Hashes) -> Tree {
    let mut tree = Tree::new();
    for folder in Maildir::new(root).folders() {
        let mut items = Vec::new();
        for dir in ["new", "cur"] {
            let entries = fs::read_dir(root.join(&folder).join(dir)).expect("read a Maildir");
            items.extend(entries.map(|entry| item(entry.expect("read a Maildir").path(), hashes)));
        }
        items.sort();
        let name = if folder.is_empty() { "INBOX".to_owned() } else { folder };
        tree.entry(name).or_default().extend(items);
    }
    tree
}

fn item(path: PathBuf, hashes: &Hashes) -> Item {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let info = name.split_once(":2,").map(|(_, info)| info).unwrap_or_default();
    let mut letters: Vec<char> = info.chars().filter(|c| "DFRST".contains(*c)).collect();
    letters.sort();
    let (marked, sha256) = hashes.of(&path);
    Item { sha256, letters: letters.into_iter().collect(), marked, path }
}

/// What differs, or `None` where both sides hold the same messages with the same flags in the same folders.
pub fn difference(server: &Tree, local: &Tree) -> Option<String> {
    let (mut missing, mut extra, mut flags) = (0, 0, 0);
    let none = Vec::new();
    let mut names: Vec<&String> = server.keys().chain(local.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let mut left: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for item in server.get(name).unwrap_or(&none) {
            left.entry(&item.sha256).or_default().push(&item.letters);
        }
        for item in local.get(name).unwrap_or(&none) {
            match left.get_mut(item.sha256.as_str()) {
                Some(there) if !there.is_empty() => {
                    let same = there.iter().position(|letters| *letters == item.letters);
                    flags += usize::from(same.is_none());
                    there.swap_remove(same.unwrap_or(0));
                }
                _ => extra += 1,
            }
        }
        missing += left.values().map(Vec::len).sum::<usize>();
    }
    let folders = server.keys().filter(|name| !local.contains_key(*name)).count();
    let parts = [
        (folders, "folders are missing here"),
        (missing, "messages are missing here"),
        (extra, "messages are only here"),
        (flags, "messages have other flags here"),
    ];
    let told: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// How many messages have a line in their header that nobody wrote.
pub fn marked(tree: &Tree) -> usize {
    tree.values().flatten().filter(|item| item.marked).count()
}
