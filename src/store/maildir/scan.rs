//! What is in a folder's `new` and `cur`.

use super::error::disk;
use super::filename::{self, Parsed};
use super::keywords::Keywords;
use super::measured::Measured;
use crate::mail::{Flags, Key};
use crate::store::{Draft, Reach, StoreError, sys};
use rustix::fs::OFlags;
use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Which of the two directories a message stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sub {
    Cur,
    New,
}

impl Sub {
    pub(super) fn name(self) -> &'static str {
        match self {
            Sub::Cur => "cur",
            Sub::New => "new",
        }
    }
}

/// A message's file.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) sub: Sub,
    pub(super) file: Vec<u8>,
    pub(super) inode: u64,
    /// Whether it is a plain file; anything else can't be read, but is not gone either.
    pub(super) plain: bool,
    /// Other files that are the same message.
    pub(super) twins: Vec<(Sub, Vec<u8>)>,
    /// What its content was found to be.
    pub(super) measured: Option<Arc<Measured>>,
}

impl Entry {
    pub(super) fn parsed(&self) -> Parsed<'_> {
        filename::parse(&self.file)
    }

    /// The names of all its files.
    pub(super) fn files(&self) -> impl Iterator<Item = &[u8]> {
        [&self.file[..]].into_iter().chain(self.twins.iter().map(|(_, file)| &file[..]))
    }

    pub(super) fn flags(&self, keywords: &Keywords) -> Flags {
        self.parsed().flags(keywords)
    }

    pub(super) fn path(&self, dir: &Path) -> PathBuf {
        file_path(dir, self.sub, &self.file)
    }
}

pub(super) fn file_path(dir: &Path, sub: Sub, file: &[u8]) -> PathBuf {
    let (sub, file) = (sub.name(), OsStr::from_bytes(file));
    let mut path = PathBuf::with_capacity(dir.as_os_str().len() + sub.len() + file.len() + 2);
    [dir.as_os_str(), OsStr::new(sub), file].into_iter().for_each(|part| path.push(part));
    path
}

/// Which names are looked for in a folder, by their unique parts.
pub(super) enum Wanted<'a> {
    All,
    These(&'a dyn Fn(&[u8]) -> bool),
}

/// What a reading of a folder shows besides the messages that were looked for.
#[derive(Debug, Default)]
pub(super) struct Sight {
    /// How many plain files there are.
    pub(super) files: u64,
    /// Lower-case letters in use, a bit each.
    letters: u32,
    pub(super) notes: Vec<String>,
}

/// Reads both directories, `new` first, so that a message on its way from there to `cur` is not missed: gives the place,
/// the name, the inode, and whether it is a plain file.
pub(super) fn read(dir: &Path, mut take: impl FnMut(Sub, &[u8], u64, bool)) -> Result<Sight, StoreError> {
    let mut sight = Sight::default();
    for sub in [Sub::New, Sub::Cur] {
        let path = dir.join(sub.name());
        let done = sys::each_in(&path, |file, inode, plain| {
            if file.starts_with(b".") {
                return;
            }
            match plain {
                true => sight.files += 1,
                false => {
                    let shown = file_path(dir, sub, file);
                    sight.notes.push(format!("{} is not a plain file and was passed over", shown.display()));
                }
            }
            sight.letters |= filename::parse(file).small_letters();
            take(sub, file, inode, plain);
        });
        done.map_err(|err| disk(Reach::Folder, "list", &path, err))?;
    }
    Ok(sight)
}

/// What one reading showed, to be gone through again; nothing where that would be too much to hold.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Of each file: the length of its name, its directory and kind, its inode, its name.
    bytes: Vec<u8>,
    /// How much of what may be held is taken by this.
    taken: usize,
    overflowed: bool,
}

/// As much is held by all readings together, and taken in pieces of this size.
const NAMES_MAX: usize = 12 << 20;
const NAMES_PIECE: usize = 128 << 10;
static NAMES_HELD: AtomicUsize = AtomicUsize::new(0);

impl Drop for Names {
    fn drop(&mut self) {
        NAMES_HELD.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

impl Names {
    pub(super) fn push(&mut self, sub: Sub, file: &[u8], inode: u64, plain: bool) {
        if self.overflowed {
            return;
        }
        if self.bytes.len() + file.len() + 11 > self.taken {
            self.overflowed = NAMES_HELD.fetch_add(NAMES_PIECE, Ordering::Relaxed) + NAMES_PIECE > NAMES_MAX;
            self.taken += NAMES_PIECE;
            self.bytes.reserve_exact(NAMES_PIECE);
        }
        // No name is longer than 255 bytes on any file system that we know of.
        let Some(length) = u16::try_from(file.len()).ok().filter(|_| !self.overflowed) else {
            (self.bytes, self.overflowed) = (Vec::new(), true);
            return;
        };
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.push(u8::from(sub == Sub::New) | u8::from(plain) << 1);
        self.bytes.extend_from_slice(&inode.to_le_bytes());
        self.bytes.extend_from_slice(file);
    }

    /// Gives them all, in the order of the reading; says whether they are held.
    fn each(&self, mut take: impl FnMut(Sub, &[u8], u64, bool)) -> bool {
        let mut rest = &self.bytes[..];
        while let Some((head, tail)) = rest.split_first_chunk::<11>() {
            let length = usize::from(u16::from_le_bytes([head[0], head[1]]));
            let sub = if head[2] & 1 == 0 { Sub::Cur } else { Sub::New };
            let inode = head[3..].iter().rev().fold(0, |inode, byte| inode << 8 | u64::from(*byte));
            let (file, after) = tail.split_at(length);
            take(sub, file, inode, head[2] & 2 != 0);
            rest = after;
        }
        !self.overflowed
    }
}

/// A folder's messages by key, or some of them.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) entries: HashMap<Key, Entry>,
    /// Keys that were looked for and are not there.
    gone: HashSet<Key>,
    /// Plain files that were not looked for.
    pub(super) others: u64,
    pub(super) sight: Sight,
    /// When the oldest part of it was read.
    at: Option<Instant>,
}

impl Index {
    /// No message was looked for.
    pub(super) fn of_others(sight: Sight) -> Index {
        Index { others: sight.files, sight, at: Some(Instant::now()), ..Index::default() }
    }

    /// How old the oldest part of it is.
    pub(super) fn age(&self) -> Option<Duration> {
        self.at.map(|at| at.elapsed())
    }

    /// Looks for messages in both directories.
    ///
    /// Where one unique part stands on two files, they are one message if they are the same file or have the same
    /// content. Otherwise the second one (the later inode) has the key `unique:inode`, the inode in hexadecimal.
    pub(super) fn scan(dir: &Path, wanted: Wanted<'_>) -> Result<Index, StoreError> {
        let mut index = Index { at: Some(Instant::now()), ..Index::default() };
        let sight = read(dir, |sub, file, inode, plain| index.see(dir, &wanted, (sub, file, inode, plain)))?;
        index.sight.files = sight.files;
        index.sight.letters = sight.letters;
        index.sight.notes.splice(0..0, sight.notes);
        Ok(index)
    }

    /// Looks for messages among the names of the reading that showed `sight`; reads anew where they are not held.
    pub(super) fn of_names(
        dir: &Path,
        names: &Names,
        sight: Sight,
        wanted: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Index, StoreError> {
        let mut index = Index { sight, at: Some(Instant::now()), ..Index::default() };
        let held = names.each(|sub, file, inode, plain| {
            index.see(dir, &Wanted::These(wanted), (sub, file, inode, plain));
        });
        if held { Ok(index) } else { Index::scan(dir, Wanted::These(wanted)) }
    }

    fn see(&mut self, dir: &Path, wanted: &Wanted<'_>, (sub, file, inode, plain): (Sub, &[u8], u64, bool)) {
        match wanted {
            Wanted::These(wanted) if !wanted(filename::parse(file).unique) => self.others += u64::from(plain),
            _ => self.add(dir, Entry { sub, file: file.to_vec(), inode, plain, twins: Vec::new(), measured: None }),
        }
    }

    /// Whether nothing must be read to find these messages.
    pub(super) fn knows(&self, keys: &[Key]) -> bool {
        keys.iter().all(|key| self.entries.contains_key(key) || self.gone.contains(key))
    }

    /// Makes sure that those of the messages `keys` that are there are in the index, by a reading of the directories if
    /// need be.
    pub(super) fn find(&mut self, dir: &Path, keys: &[Key]) -> Result<(), StoreError> {
        let unknown = |key: &&Key| !self.entries.contains_key(*key) && !self.gone.contains(*key);
        let keys: Vec<&Key> = keys.iter().filter(unknown).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let found = Index::scan(dir, Wanted::These(&among(&keys)))?;
        // What is held of others is as good as it was, and what is gone stays gone.
        for (key, entry) in found.entries {
            if !self.gone.contains(&key) {
                self.entries.entry(key).or_insert(entry);
            }
        }
        for key in keys {
            if !self.entries.contains_key(key) && !self.rekey(key) {
                self.gone.insert(key.clone());
            }
        }
        (self.others, self.sight, self.at) = (found.others, found.sight, self.at.or(found.at));
        Ok(())
    }

    /// Looks anew for all messages that are in the index, and for `key`: another program renames them.
    pub(super) fn find_again(&mut self, dir: &Path, key: &Key) -> Result<(), StoreError> {
        let before = std::mem::take(&mut self.entries);
        self.gone.clear();
        self.at = None;
        let keys: Vec<Key> = before.into_keys().chain([key.clone()]).collect();
        self.find(dir, &keys)
    }

    /// A message is there from now on.
    pub(super) fn insert(&mut self, key: Key, entry: Entry) {
        self.gone.remove(&key);
        self.entries.insert(key, entry);
    }

    /// What is worth being handed on to whoever opens the folder next: where files were seen.
    pub(super) fn handed_on(self) -> Index {
        Index { gone: HashSet::new(), ..self }
    }

    /// Whoever asks for this message next looks for it.
    pub(super) fn forget(&mut self, key: &Key) {
        self.gone.remove(key);
        self.entries.remove(key);
    }

    /// A message is gone from now on.
    pub(super) fn remove(&mut self, key: &Key) {
        self.entries.remove(key);
        self.gone.insert(key.clone());
    }

    fn add(&mut self, dir: &Path, new: Entry) {
        let unique: Box<[u8]> = new.parsed().unique.into();
        match self.entries.entry(Key::Name(unique.clone())) {
            Slot::Vacant(slot) => {
                slot.insert(new);
            }
            Slot::Occupied(mut slot) => {
                let old = slot.get_mut();
                if (old.sub, &old.file) == (new.sub, &new.file) {
                    return;
                }
                // Moved by another program while we read: the later sight is the true one.
                if old.inode == new.inode && !old.path(dir).exists() {
                    *old = new;
                    return;
                }
                if old.inode == new.inode || same_content(&old.path(dir), &new.path(dir)) {
                    let (first, mut second) = if new.sub < old.sub { (new, old.clone()) } else { (old.clone(), new) };
                    *old = first;
                    old.twins.append(&mut second.twins);
                    old.twins.push((second.sub, second.file));
                    return;
                }
                // What is no plain file is no message and takes no message's name from it.
                let first = (new.plain, old.inode) > (old.plain, new.inode);
                if old.plain && new.plain {
                    self.sight.notes.push(format!("two messages are called {}", String::from_utf8_lossy(&unique)));
                }
                let second = if first { std::mem::replace(old, new) } else { new };
                self.entries.entry(second_key(&unique, second.inode)).or_insert(second);
            }
        }
    }

    /// Finds a known key whose message is there under another one: of two messages of one name, the other is gone.
    pub(super) fn rekey(&mut self, key: &Key) -> bool {
        let Some((unique, inode)) = key.name().and_then(split_second_key) else { return false };
        let plain = Key::Name(unique.into());
        if self.entries.get(&plain).is_none_or(|entry| entry.inode != inode) {
            return false;
        }
        let Some(entry) = self.entries.remove(&plain) else { return false };
        self.gone.insert(plain);
        self.insert(key.clone(), entry);
        true
    }

    /// Lower-case letters in use without a name, a bit each.
    pub(super) fn nameless(&self, keywords: &Keywords) -> u32 {
        (b'a'..=b'z')
            .filter(|letter| keywords.is_taken(*letter))
            .fold(self.sight.letters, |bits, letter| bits & !bit(letter))
    }
}

/// The bit of a lower-case letter.
pub(super) fn bit(letter: u8) -> u32 {
    1 << (letter - b'a')
}

/// Whether a unique part is that of one of these messages.
pub(super) fn among<'a>(keys: &[&'a Key]) -> impl Fn(&[u8]) -> bool + use<'a> {
    let names = keys.iter().filter_map(|key| key.name());
    let uniques: HashSet<&[u8]> = names.flat_map(|name| [name, plain_part(name)]).collect();
    move |unique| uniques.contains(unique)
}

/// The unique part of the file of the message `key`, of which there may be two.
pub(super) fn plain_part(key: &[u8]) -> &[u8] {
    split_second_key(key).map_or(key, |(unique, _)| unique)
}

fn second_key(unique: &[u8], inode: u64) -> Key {
    Key::Name([unique, format!(":{inode:x}").as_bytes()].concat().into())
}

fn split_second_key(key: &[u8]) -> Option<(&[u8], u64)> {
    let at = key.iter().rposition(|b| *b == b':')?;
    let inode = std::str::from_utf8(&key[at + 1..]).ok()?;
    Some((&key[..at], u64::from_str_radix(inode, 16).ok()?))
}

fn same_content(a: &Path, b: &Path) -> bool {
    let identity = |path| Draft::from_file(open_plain(path)?).identity();
    matches!((identity(a), identity(b)), (Ok(a), Ok(b)) if a == b)
}

/// Opens a message's file for reading: never through a link, and never waiting for a pipe.
pub(super) fn open_plain(path: &Path) -> io::Result<File> {
    open_and_look(path).map(|(file, _)| file)
}

/// The same, with what the file system says of it.
pub(super) fn open_and_look(path: &Path) -> io::Result<(File, fs::Metadata)> {
    let file = sys::open_to_read(path, OFlags::NOFOLLOW | OFlags::NONBLOCK)?;
    let meta = file.metadata()?;
    match meta.is_file() {
        true => Ok((file, meta)),
        false => Err(io::Error::other("it is not a plain file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Kind;
    use crate::store::maildir::tests::maildir;
    use std::os::unix::fs::MetadataExt;

    fn put(dir: &Path, name: &str, content: &str) -> u64 {
        fs::write(dir.join(name), content).expect("written");
        fs::metadata(dir.join(name)).expect("there").ino()
    }

    fn keys(index: &Index) -> Vec<String> {
        let mut keys: Vec<String> = index.entries.keys().map(Key::to_string).collect();
        keys.sort();
        keys
    }

    #[test]
    fn the_same_message_under_two_names_is_one() {
        let dir = maildir();
        put(dir.path(), "new/a", "same");
        put(dir.path(), "cur/a:2,S", "same");
        put(dir.path(), "cur/b:2,", "one");
        fs::hard_link(dir.path().join("cur/b:2,"), dir.path().join("cur/b:2,F")).expect("linked");
        let index = Index::scan(dir.path(), Wanted::All).expect("scanned");
        assert_eq!(keys(&index), ["a", "b"]);
        let entry = &index.entries[&Key::Name(b"a"[..].into())];
        assert_eq!((entry.sub, entry.twins.len()), (Sub::Cur, 1));
    }

    #[test]
    fn two_messages_of_one_name_keep_their_keys_when_one_goes() {
        let dir = maildir();
        let first = put(dir.path(), "new/a", "one");
        let second = put(dir.path(), "cur/a:2,S", "two");
        let index = Index::scan(dir.path(), Wanted::All).expect("scanned");
        let later = second_key(b"a", first.max(second));
        assert_eq!(index.entries.len(), 2);
        let gone = index.entries[&Key::Name(b"a"[..].into())].path(dir.path());
        fs::remove_file(gone).expect("removed");
        let mut index = Index::scan(dir.path(), Wanted::All).expect("scanned");
        assert_eq!(keys(&index), ["a"]);
        assert!(index.rekey(&later));
        assert_eq!(index.entries.keys().collect::<Vec<_>>(), [&later]);
    }

    #[test]
    fn what_is_no_message_is_noted_and_never_opened() {
        let dir = maildir();
        fs::create_dir(dir.path().join("cur/sub")).expect("made");
        std::os::unix::fs::symlink("/nowhere", dir.path().join("cur/link")).expect("linked");
        put(dir.path(), "cur/.hidden", "x");
        let index = Index::scan(dir.path(), Wanted::All).expect("scanned");
        assert_eq!((keys(&index), index.sight.notes.len()), (vec!["link".to_owned(), "sub".to_owned()], 2));
        assert!(open_plain(&dir.path().join("cur/link")).is_err());
        assert!(open_plain(&dir.path().join("cur/sub")).is_err());
    }

    #[test]
    fn a_missing_directory_is_told_as_missing() {
        let dir = maildir();
        fs::remove_dir(dir.path().join("cur")).expect("removed");
        assert_eq!(Index::scan(dir.path(), Wanted::All).expect_err("missing").kind, Kind::Missing);
    }
}
