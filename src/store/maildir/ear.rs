//! Listening to a tree of Maildirs: inotify(7) on every folder's `cur` and `new`, and on the directories between them.
//!
//! Nothing is read of what came: that something changed is all that is told, and a look shows the rest.

use super::MaildirSettings;
use super::error::disk;
use super::layout::{name_of, path_of, shown_name};
use super::list::{self, Listing};
use super::tree::Tree;
use crate::store::ear::Standings;
use crate::store::{Ear, FolderInfo, Reach, StoreError};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use std::collections::{BTreeSet, HashMap};
use std::ffi::CStr;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// Room for some hundred events, in bytes.
const BUFFER: usize = 16 << 10;

/// So many events are taken in at a time: the rest stays for the next.
const MANY: usize = 100_000;

/// What happens to messages: they come, go, and get other names.
const MESSAGES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// What a directory that is listened to is for.
#[derive(Clone, Debug)]
enum Kind {
    /// Holds messages of the folder with this name.
    Messages(String),
    /// Holds directories.
    Directories,
}

/// Listens to a tree.
pub struct MaildirEar {
    settings: MaildirSettings,
    inotify: OwnedFd,
    kinds: HashMap<i32, Kind>,
    tree: Tree,
    /// Directories came or went since it began: there may be others to listen to.
    moved: bool,
    begun: bool,
    /// Which directory the root was when it was listened to: device and number.
    root: Option<(u64, u64)>,
}

impl MaildirEar {
    /// An ear, or `None` where the system gives none.
    pub fn new(settings: &MaildirSettings) -> Option<MaildirEar> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        let (settings, kinds, tree) = (settings.clone(), HashMap::new(), Tree::default());
        Some(MaildirEar { settings, inotify, kinds, tree, moved: true, begun: false, root: None })
    }

    /// The folders, and the directories that may become some.
    fn list(&mut self) -> Result<(Vec<FolderInfo>, Vec<Vec<u8>>), StoreError> {
        let Listing { folders, bare, tree, .. } = list::list(&self.settings, std::mem::take(&mut self.tree))?;
        self.tree = tree;
        Ok((folders, bare))
    }

    /// Listens to all directories that are there, if any came or went.
    fn add_all(&mut self) -> Result<(), StoreError> {
        if std::mem::take(&mut self.moved) {
            let mut above = BTreeSet::from([Vec::new()]);
            let root = self.settings.root.clone();
            self.root = self.root_now();
            self.add(&root, Kind::Directories)?;
            loop {
                let (folders, bare) = self.list()?;
                for info in folders {
                    self.add_folder(&info.wire, &mut above)?;
                }
                let new: Vec<Vec<u8>> = bare.into_iter().filter(|wire| above.insert(wire.clone())).collect();
                for wire in &new {
                    self.add(&path_of(&self.settings.root, wire), Kind::Directories)?;
                }
                // What was made in them before they were listened to is seen by the next listing.
                if new.is_empty() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn root_now(&self) -> Option<(u64, u64)> {
        let root = fs::metadata(&self.settings.root).ok()?;
        Some((root.dev(), root.ino()))
    }

    /// Listens to a directory. One that is gone again is no failure: that it came and went is told by the one above it.
    fn add(&mut self, path: &Path, kind: Kind) -> Result<(), StoreError> {
        match inotify::add_watch(&self.inotify, path, MESSAGES) {
            Ok(watch) => drop(self.kinds.insert(watch, kind)),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(Errno::NOSPC) => {
                let cause = io::Error::other("the system has no more watches to give");
                let error = disk(Reach::Account, "listen to", path, cause);
                return Err(
                    error.with_hint("raise fs.inotify.max_user_watches; until then the tree is looked at now and then")
                );
            }
            Err(errno) => return Err(disk(Reach::Account, "listen to", path, errno)),
        }
        Ok(())
    }

    /// Listens to the folder of this wire name, and to the directories that lead to it.
    fn add_folder(&mut self, wire: &[u8], above: &mut BTreeSet<Vec<u8>>) -> Result<(), StoreError> {
        let dir = path_of(&self.settings.root, wire);
        let name = name_of(self.settings.layout, wire).unwrap_or_else(|_| shown_name(wire)).text().to_owned();
        for sub in ["cur", "new"] {
            self.add(&dir.join(sub), Kind::Messages(name.clone()))?;
        }
        let ends = wire.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in ends.chain([wire.len()]) {
            if above.insert(wire[..end].to_vec()) {
                self.add(&path_of(&self.settings.root, &wire[..end]), Kind::Directories)?;
            }
        }
        Ok(())
    }

    /// What an event brings news of: a folder, or all of the tree.
    fn news(&mut self, watch: i32, events: ReadFlags, name: Option<&CStr>) -> Option<String> {
        if events.contains(ReadFlags::QUEUE_OVERFLOW) {
            return Some(String::new());
        }
        let hidden = name.is_some_and(|name| name.to_bytes().starts_with(b"."));
        let kind = self.kinds.get(&watch)?.clone();
        if events.intersects(ReadFlags::IGNORED | ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF) {
            self.kinds.remove(&watch);
            self.moved = true;
        }
        match kind {
            Kind::Messages(_) if hidden => None,
            Kind::Messages(folder) => Some(folder),
            // Files between the folders are nobody's mail.
            Kind::Directories if name.is_some() && !events.contains(ReadFlags::ISDIR) => None,
            Kind::Directories => {
                self.moved = true;
                Some(String::new())
            }
        }
    }
}

impl Ear for MaildirEar {
    fn describe(&self) -> String {
        "inotify".to_owned()
    }

    fn hears_all(&self) -> bool {
        true
    }

    fn is_stale(&self) -> bool {
        // What is mounted over a directory is no event of it.
        self.begun && self.root != self.root_now()
    }

    fn begin(&mut self) -> Result<Standings, StoreError> {
        self.add_all()?;
        // What came before a directory was listened to shows in how it stands now.
        let standing = |info: FolderInfo| Some((info.wire, info.cursor?));
        let standings = self.list()?.0.into_iter().filter_map(standing).collect();
        self.begun = true;
        Ok(standings)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.begun.then(|| self.inotify.as_fd())
    }

    fn hear(&mut self) -> Result<Vec<String>, StoreError> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut events = Vec::new();
        let mut reader = Reader::new(self.inotify.as_fd(), &mut buffer);
        while events.len() < MANY {
            match reader.next() {
                Ok(event) => events.push((event.wd(), event.events(), event.file_name().map(CStr::to_owned))),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(errno) => return Err(disk(Reach::Account, "listen to", &self.settings.root, errno)),
            }
        }
        let told = events.into_iter().filter_map(|(watch, events, name)| self.news(watch, events, name.as_deref()));
        let told: BTreeSet<String> = told.collect();
        // What is in a directory that came is looked at because it came.
        self.add_all()?;
        Ok(told.into_iter().collect())
    }

    fn lasts(&self) -> Option<Duration> {
        None
    }

    fn rest(self: Box<Self>) -> Result<Option<Box<dyn Ear>>, StoreError> {
        Ok(Some(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Cursor;
    use std::path::PathBuf;
    use std::thread;

    struct Tree {
        root: tempfile::TempDir,
        ear: MaildirEar,
    }

    impl Tree {
        fn new(folders: &[&str]) -> Tree {
            let root = tempfile::tempdir().expect("a directory");
            folders.iter().for_each(|folder| make(root.path(), folder));
            let mut ear = MaildirEar::new(&MaildirSettings::new(root.path())).expect("inotify");
            ear.begin().expect("begun");
            assert!(ear.hear().expect("heard").is_empty());
            Tree { root, ear }
        }

        fn path(&self, below: &str) -> PathBuf {
            self.root.path().join(below)
        }

        #[track_caller]
        fn hears(&mut self, names: &[&str]) {
            assert_eq!(self.ear.hear().expect("heard"), names);
        }
    }

    fn make(root: &Path, folder: &str) {
        for sub in ["tmp", "new", "cur"] {
            fs::create_dir_all(root.join(folder).join(sub)).expect("made");
        }
    }

    #[test]
    fn messages_that_come_go_and_get_other_names_are_told_of_by_their_folder() {
        let mut tree = Tree::new(&["INBOX", "Lists/rust"]);
        fs::write(tree.path("INBOX/tmp/a"), "a").expect("written");
        tree.hears(&[]);
        fs::rename(tree.path("INBOX/tmp/a"), tree.path("INBOX/new/a")).expect("delivered");
        tree.hears(&["INBOX"]);
        fs::rename(tree.path("INBOX/new/a"), tree.path("INBOX/cur/a:2,S")).expect("seen");
        tree.hears(&["INBOX"]);
        fs::rename(tree.path("INBOX/cur/a:2,S"), tree.path("Lists/rust/cur/a:2,S")).expect("moved");
        tree.hears(&["INBOX", "Lists/rust"]);
        fs::remove_file(tree.path("Lists/rust/cur/a:2,S")).expect("removed");
        tree.hears(&["Lists/rust"]);
    }

    #[test]
    fn a_folder_that_is_made_in_several_steps_is_listened_to() {
        let mut tree = Tree::new(&["INBOX"]);
        fs::create_dir_all(tree.path("a/b")).expect("made");
        tree.hears(&[""]);
        fs::create_dir(tree.path("a/b/new")).expect("made");
        tree.hears(&[""]);
        fs::create_dir(tree.path("a/b/cur")).expect("made");
        tree.hears(&[""]);
        fs::write(tree.path("a/b/new/x"), "x").expect("written");
        tree.hears(&["a/b"]);
    }

    #[test]
    fn files_that_are_no_messages_are_no_news() {
        let mut tree = Tree::new(&["INBOX"]);
        for name in ["INBOX/dovecot-uidlist", "INBOX/cur/.nfs0001", "note", "INBOX/tmp/x"] {
            fs::write(tree.path(name), "x").expect("written");
        }
        tree.hears(&[]);
    }

    #[test]
    fn a_folder_that_is_new_is_listened_to_at_once() {
        let mut tree = Tree::new(&["INBOX"]);
        make(tree.root.path(), "Deep/er/still");
        // The empty name is the tree's own.
        tree.hears(&[""]);
        fs::write(tree.path("Deep/er/still/new/a"), "a").expect("written");
        tree.hears(&["Deep/er/still"]);
        fs::rename(tree.path("Deep"), tree.path("Shallow")).expect("renamed");
        tree.hears(&[""]);
        fs::write(tree.path("Shallow/er/still/new/b"), "b").expect("written");
        tree.hears(&["Shallow/er/still"]);
        fs::remove_dir_all(tree.path("Shallow")).expect("removed");
        assert!(tree.ear.hear().expect("heard").contains(&String::new()));
    }

    #[test]
    fn where_folders_stand_is_said_at_every_beginning() {
        let mut tree = Tree::new(&["INBOX", "Sent"]);
        let stands =
            |ear: &mut MaildirEar| -> HashMap<Vec<u8>, Cursor> { ear.begin().expect("begun").into_iter().collect() };
        let before = stands(&mut tree.ear);
        assert_eq!(before.len(), 2);
        // More than the clock's grain.
        thread::sleep(Duration::from_millis(20));
        fs::write(tree.path("Sent/new/a"), "a").expect("written");
        let after = stands(&mut tree.ear);
        assert_eq!(before[&b"INBOX"[..]].mark, after[&b"INBOX"[..]].mark);
        assert_ne!(before[&b"Sent"[..]].mark, after[&b"Sent"[..]].mark);
    }

    #[test]
    fn a_root_in_whose_place_another_one_is_is_noticed() {
        let above = tempfile::tempdir().expect("a directory");
        let root = above.path().join("Mail");
        make(&root, "INBOX");
        let mut ear = MaildirEar::new(&MaildirSettings::new(&root)).expect("inotify");
        ear.begin().expect("begun");
        assert!(!ear.is_stale());
        fs::rename(&root, above.path().join("away")).expect("moved away");
        assert!(ear.is_stale());
        make(&root, "INBOX");
        assert!(ear.is_stale());
    }

    #[test]
    fn a_tree_that_is_not_there_is_an_error() {
        let root = tempfile::tempdir().expect("a directory");
        let gone = root.path().join("gone");
        let mut ear = MaildirEar::new(&MaildirSettings::new(gone)).expect("inotify");
        assert!(ear.begin().is_err());
        assert!(ear.descriptor().is_none());
    }
}
