//! The bin: a tree of Maildirs that keeps what was removed from another one, for as long as the user wants.
//!
//! It is laid out as nested directories whatever the other tree's layout, so that `mutt -f` reads it. A message gets
//! there by a rename and keeps its name, flags, keywords and date. When that was is told by the file's change time,
//! which is never earlier than the truth: whatever touches the file later only makes it stay longer.

use super::error::disk;
use super::folder::{MaildirFolder, Moved};
use super::keywords::Keywords;
use super::layout::{Layout, name_of, path_of, shown_name, wire_for};
use super::scan::{Index, Sub, Wanted};
use super::{MaildirSettings, MaildirStore, SUBS, make_below, make_dir, make_dirs};
use crate::mail::{Flag, FlagDelta, Flags, FolderName, Key};
use crate::store::{Access, Folder, Kind, Reach, Store, StoreError, sys};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Its time of change says when the bin was last swept.
const STAMP: &str = ".swept";
/// A bin is not looked through more often than this, however many runs there are.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Stands before the info part of names: the bin is beside the state, on a file system of this machine's own.
const SEPARATOR: u8 = b':';

/// Where removed messages are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bin {
    root: PathBuf,
}

/// A message in the bin.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Eight hexadecimal digits that stay the same for as long as the message is there.
    pub id: String,
    /// The folder it was removed from.
    pub folder: FolderName,
    /// When it was removed, seconds since 1970.
    pub deleted: i64,
    /// The message's own date: the file's mtime, seconds since 1970.
    pub date: i64,
    /// Bytes on disk.
    pub size: u64,
    pub flags: Flags,
    pub path: PathBuf,
    wire: Vec<u8>,
    key: Key,
}

impl Bin {
    /// The bin in the directory `root`, which is made when the first message is put there.
    pub fn new(root: impl Into<PathBuf>) -> Bin {
        Bin { root: root.into() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The bin's own folder for what is removed from the folder `name`, made if it isn't there.
    pub(super) fn folder(&self, name: &FolderName) -> Result<MaildirFolder, StoreError> {
        let refused = |why| StoreError::new(Reach::Folder, Kind::Refused, "keep what is deleted", why);
        let wire = wire_for(Layout::Nested, name).map_err(refused)?;
        make_dirs(&self.root)?;
        let dir = make_below(&self.root, &wire)?;
        for sub in SUBS {
            make_dir(&dir.join(sub))?;
        }
        MaildirFolder::open(&self.root, dir, SEPARATOR, Access::Write)
    }

    /// Every message that is kept, the one that was removed last first.
    pub fn list(&self) -> Result<Vec<Kept>, StoreError> {
        let mut found = Vec::new();
        for wire in self.folders()? {
            let dir = path_of(&self.root, &wire);
            let (index, keywords) = (Index::scan(&dir, Wanted::All)?, Keywords::load(&dir)?);
            let folder = name_of(Layout::Nested, &wire).unwrap_or_else(|_| shown_name(&wire));
            for (key, entry) in index.entries.into_iter().filter(|(_, entry)| entry.plain) {
                let path = entry.path(&dir);
                let meta = match fs::symlink_metadata(&path) {
                    Err(err) if err.kind() == io::ErrorKind::NotFound => continue,
                    meta => meta.map_err(|err| disk(Reach::Folder, "list", &path, err))?,
                };
                found.push(Kept {
                    id: id_of(&wire, &key),
                    folder: folder.clone(),
                    deleted: meta.ctime(),
                    date: meta.mtime(),
                    size: meta.size(),
                    flags: entry.flags(&keywords),
                    path,
                    wire: wire.clone(),
                    key,
                });
            }
        }
        found.sort_by(|a, b| b.deleted.cmp(&a.deleted).then_with(|| a.path.cmp(&b.path)));
        Ok(found)
    }

    /// Puts messages back into the tree they were removed from, under new names, so that they are new there; folders
    /// that are gone are made again. The mark of being deleted is taken off them, all else stays. The answer has what
    /// failed, by the place in `kept`; a message is at any time in one of the two trees.
    pub fn put_back(&self, kept: &[Kept], into: &MaildirSettings) -> Result<Vec<(usize, StoreError)>, StoreError> {
        let mut store = MaildirStore { settings: MaildirSettings { bin: None, ..into.clone() }, seen: Arc::default() };
        let mut by_folder: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
        for (at, one) in kept.iter().enumerate() {
            by_folder.entry(&one.wire).or_default().push(at);
        }
        let mut failed = Vec::new();
        for (wire, places) in by_folder {
            let name = &kept[places[0]].folder;
            let made = store.create(name)?;
            let dir = path_of(&into.root, &made.wire);
            let mut target = MaildirFolder::open(&into.root, dir, into.info_separator, Access::Write)?;
            let mut source = MaildirFolder::open(&self.root, path_of(&self.root, wire), SEPARATOR, Access::Write)?;
            let undeleted = FlagDelta { add: Flags::new(), remove: [Flag::Deleted].into_iter().collect() };
            let keys: Vec<Key> = places.iter().map(|at| kept[*at].key.clone()).collect();
            source.find(&keys)?;
            let (mut here, mut there) = (Vec::new(), Vec::new());
            for at in places {
                let key = &kept[at].key;
                let refused = source.set_flags(&[(key.clone(), undeleted.clone())])?;
                let moved = refused.into_iter().map(|(_, error)| Err(error)).next();
                match moved.unwrap_or_else(|| source.move_one(key, &mut target, None)) {
                    Ok(Moved::To { sub, from, .. }) => {
                        there.push(sub);
                        here.push(from);
                    }
                    Ok(Moved::Gone) => {
                        let gone = "it is not in the bin any more";
                        failed.push((at, StoreError::new(Reach::Message, Kind::Missing, "undelete", gone)));
                    }
                    Err(error) => failed.push((at, error)),
                }
            }
            target.sync(there)?;
            source.sync(here)?;
        }
        Ok(failed)
    }

    /// Deletes what has been here for longer than `retain`; how many that were. Does nothing where it was done within
    /// a day, or within that time where it is shorter. Passes over links, and all that is no message.
    pub fn sweep(&self, retain: Duration) -> Result<usize, StoreError> {
        if !self.is_due(retain.min(DAY))? {
            return Ok(0);
        }
        let mut swept = 0;
        for wire in self.folders()? {
            let dir = path_of(&self.root, &wire);
            for sub in [Sub::New, Sub::Cur] {
                swept += sweep_dir(&dir.join(sub.name()), retain)?;
            }
        }
        let stamp = self.root.join(STAMP);
        let failed = |err| disk(Reach::Folder, "clean up the bin", &stamp, err);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        sys::open(&options, &stamp).and_then(|file| sys::set_date(&file, now)).map_err(failed)?;
        Ok(swept)
    }

    fn is_due(&self, pause: Duration) -> Result<bool, StoreError> {
        let failed = |path: &Path, err| disk(Reach::Folder, "clean up the bin", path, err);
        let stamp = self.root.join(STAMP);
        match fs::symlink_metadata(&stamp).and_then(|meta| meta.modified()) {
            // A stamp of the future is that of a clock that was wrong.
            Ok(at) => Ok(at.elapsed().map_or(true, |since| since >= pause)),
            Err(err) if err.kind() == io::ErrorKind::NotFound => match sys::look(&self.root) {
                Ok(meta) => Ok(meta.is_dir),
                Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(err) => Err(failed(&self.root, err)),
            },
            Err(err) => Err(failed(&stamp, err)),
        }
    }

    /// The folders of the bin, by their paths below its root. Links are not followed.
    fn folders(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let (mut found, mut open) = (Vec::new(), vec![Vec::new()]);
        while let Some(wire) = open.pop() {
            let path = path_of(&self.root, &wire);
            let failed = |err| disk(Reach::Folder, "list the bin", &path, err);
            let entries = match sys::list(&path) {
                Err(err) if err.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.map_err(failed)?,
            };
            let mut subs = 0;
            for entry in entries {
                let entry = entry.map_err(failed)?;
                let name = entry.file_name().into_vec();
                if !entry.file_type().map_err(failed)?.is_dir() || name.starts_with(b".") {
                    continue;
                }
                match SUBS.iter().any(|sub| sub.as_bytes() == name) {
                    true => subs += 1,
                    false if wire.is_empty() => open.push(name),
                    false => open.push([&wire[..], b"/", &name].concat()),
                }
            }
            if subs == SUBS.len() && !wire.is_empty() {
                found.push(wire);
            }
        }
        found.sort();
        Ok(found)
    }
}

/// Deletes the old files of one directory.
fn sweep_dir(dir: &Path, retain: Duration) -> Result<usize, StoreError> {
    let failed = |err| disk(Reach::Folder, "clean up the bin", dir, err);
    let mut swept = 0;
    for entry in sys::list(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Ok(meta) = entry.metadata() else { continue };
        let hidden = entry.file_name().as_bytes().starts_with(OsStr::new(".").as_bytes());
        if !meta.is_file() || hidden || !is_older(&meta, retain) {
            continue;
        }
        match sys::remove_file(&entry.path()) {
            Ok(()) => swept += 1,
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            Err(err) => return Err(failed(err)),
        }
    }
    Ok(swept)
}

/// Whether a file was last changed longer ago than `retain`; one of the future was not.
fn is_older(meta: &fs::Metadata, retain: Duration) -> bool {
    let nanos = u32::try_from(meta.ctime_nsec()).unwrap_or(0);
    let changed = UNIX_EPOCH + Duration::new(u64::try_from(meta.ctime()).unwrap_or(0), nanos);
    SystemTime::now().duration_since(changed).is_ok_and(|age| age > retain)
}

/// A name for people to type: as the unique part of a file's name is unique, so is this, but for chance.
fn id_of(wire: &[u8], key: &Key) -> String {
    let mut hash = Sha256::new();
    hash.update(wire);
    hash.update([0]);
    hash.update(key.name().unwrap_or_default());
    hash.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::maildir::MaildirOpener;
    use crate::store::{NothingKnown, Opener};

    /// A tree with a bin, each in a directory of its own.
    struct Place {
        mail: tempfile::TempDir,
        bin: tempfile::TempDir,
        settings: MaildirSettings,
    }

    impl Place {
        fn new() -> Place {
            Place::with(tempfile::tempdir().expect("a directory"))
        }

        fn with(bin: tempfile::TempDir) -> Place {
            let mail = tempfile::tempdir().expect("a directory");
            let kept = Some(Bin::new(bin.path().join("deleted")));
            let settings = MaildirSettings { bin: kept, ..MaildirSettings::new(mail.path()) };
            Place { mail, bin, settings }
        }

        fn bin(&self) -> Bin {
            Bin::new(self.bin.path().join("deleted"))
        }

        fn store(&self) -> Box<dyn Store> {
            MaildirOpener::new(self.settings.clone()).open().expect("opened")
        }

        fn deliver(&self, folder: &str, file: &str, content: &str) -> PathBuf {
            let name = FolderName::parse(folder).expect("a name");
            let wire = self.store().create(&name).expect("made").wire;
            let path = path_of(self.mail.path(), &wire).join(file);
            fs::write(&path, content).expect("written");
            let date = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
            fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(date)).expect("dated");
            path
        }

        /// Removes all of a folder; what failed.
        fn remove(&self, folder: &str) -> Result<Vec<(Key, StoreError)>, StoreError> {
            let mut store = self.store();
            let mut folder = store.open(folder.as_bytes(), Access::Write, None).expect("opened");
            let there = folder.changes(None, &NothingKnown).expect("looked").appeared;
            folder.remove(&there.into_iter().map(|appeared| appeared.key).collect::<Vec<Key>>())
        }
    }

    fn files(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir).expect("listed").map(|entry| entry.expect("read").file_name());
        let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn there_and_back(place: &Place) {
        let from = place.deliver("Lists/x", "cur/1.a:2,FSTb", "one");
        fs::write(place.mail.path().join("Lists/x/dovecot-keywords"), "1 todo\n").expect("written");
        assert!(place.remove("Lists/x").expect("removed").is_empty());
        assert!(!from.exists());
        let bin = place.bin();
        let kept = bin.list().expect("listed");
        assert_eq!((kept.len(), kept[0].folder.text(), kept[0].date), (1, "Lists/x".to_owned(), 1_000_000_000));
        assert_eq!(kept[0].flags.to_string(), "\\Flagged \\Seen \\Deleted todo");
        assert!((0..60).contains(
            &(SystemTime::now().duration_since(UNIX_EPOCH).expect("now").as_secs() as i64 - kept[0].deleted)
        ));
        assert_eq!(fs::symlink_metadata(bin.root()).expect("there").mode() & 0o777, 0o700);
        fs::remove_dir_all(place.mail.path().join("Lists")).expect("removed");
        assert!(bin.put_back(&kept, &place.settings).expect("put back").is_empty());
        let back = files(&place.mail.path().join("Lists/x/cur"));
        assert!(back.len() == 1 && back[0].ends_with(":2,FSa") && !back[0].starts_with("1.a"), "{back:?}");
        let path = place.mail.path().join("Lists/x/cur").join(&back[0]);
        assert_eq!(
            (fs::read(&path).expect("read"), fs::metadata(&path).expect("there").mtime()),
            (b"one".to_vec(), 1_000_000_000)
        );
        assert!(bin.list().expect("listed").is_empty());
    }

    #[test]
    fn a_message_goes_there_and_back_with_flags_keywords_and_date() {
        there_and_back(&Place::new());
    }

    #[test]
    fn another_file_system_makes_no_difference() {
        let memory = Path::new("/dev/shm");
        let elsewhere = fs::metadata(memory)
            .is_ok_and(|meta| fs::metadata(std::env::temp_dir()).is_ok_and(|here| here.dev() != meta.dev()));
        if elsewhere {
            there_and_back(&Place::with(tempfile::tempdir_in(memory).expect("a directory")));
        }
    }

    #[test]
    fn messages_of_one_name_are_both_kept() {
        let place = Place::new();
        for content in ["one", "two", "two"] {
            place.deliver("INBOX", "cur/1.a:2,S", content);
            assert!(place.remove("INBOX").expect("removed").is_empty());
        }
        let kept = place.bin().list().expect("listed");
        let mut ids: Vec<&str> = kept.iter().map(|kept| kept.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((kept.len(), ids.len()), (3, 3));
        assert!(kept.iter().any(|kept| kept.path.ends_with("INBOX/cur/1.a:2,S")));
    }

    #[test]
    fn what_the_bin_cannot_take_is_not_removed() {
        let place = Place::new();
        let path = place.deliver("INBOX", "new/1.a", "one");
        fs::write(place.bin().root(), "in the way").expect("written");
        let error = place.remove("INBOX").expect_err("no bin");
        assert!(error.hint.as_deref().is_some_and(|hint| hint.contains("retain_deleted = \"0\"")), "{error:?}");
        assert!(path.exists());
    }

    #[test]
    fn what_is_old_is_swept_and_nothing_else() {
        let place = Place::new();
        let bin = place.bin();
        assert_eq!(bin.sweep(Duration::ZERO).expect("no bin"), 0);
        assert!(!bin.root().exists());
        place.deliver("INBOX", "cur/1.a:2,S", "one");
        assert!(place.remove("INBOX").expect("removed").is_empty());
        let outside = place.deliver("Else", "cur/1.b:2,S", "other");
        let inbox = bin.root().join("INBOX");
        std::os::unix::fs::symlink(&outside, inbox.join("cur/1.link:2,S")).expect("linked");
        std::os::unix::fs::symlink(place.mail.path().join("Else"), bin.root().join("Else")).expect("linked");
        fs::write(inbox.join("cur/.hidden"), "x").expect("written");
        fs::write(inbox.join("notes"), "x").expect("written");
        assert_eq!(bin.sweep(DAY).expect("swept"), 0);
        assert_eq!(bin.sweep(DAY).expect("not due"), 0);
        std::thread::sleep(Duration::from_millis(10));
        assert_eq!(bin.sweep(Duration::from_millis(1)).expect("swept"), 1);
        assert!(outside.exists());
        assert_eq!(files(&inbox.join("cur")), [".hidden", "1.link:2,S"]);
        assert!(inbox.join("notes").exists() && bin.list().expect("listed").is_empty());
    }
}
