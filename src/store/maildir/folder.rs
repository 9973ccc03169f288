//! One Maildir folder: looked at by scanning, changed by renaming.

use super::bin::Bin;
use super::deliver::{self, TmpDrafter, rename_new, stage, sync_dir};
use super::error::{disk, hits_all, is_own};
use super::filename::{parse, unique};
use super::keywords::Keywords;
use super::look::{count, look, some_new};
use super::measured::Measured;
use super::scan::{Entry, Index, Sub, Wanted, file_path, open_and_look, open_plain};
use super::seen::Seen;
use super::stamps::{Now, Stamps};
use crate::mail::{Changes, Cursor, Flag, FlagDelta, FlagSpace, Flags, FolderName, Key};
use crate::store::{
    Access, Depth, Draft, Drafter, Fetched, Folder, Identified, Kind, Known, Mark, Outgoing, Reach, Receive, Slice,
    StoreError, sys,
};
use std::cell::OnceCell;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Latest date that a message may have: the end of the year 9999.
const LAST_DATE: i64 = 253_402_300_799;
/// How often a message is looked for again that another program keeps renaming.
const CHASES: usize = 5;
/// So many messages that will be asked for are looked for along with others.
const EXPECTED_MAX: usize = 10_000;

/// An open folder.
pub(super) struct MaildirFolder {
    root: PathBuf,
    dir: PathBuf,
    separator: u8,
    access: Access,
    may_write: bool,
    keywords: Keywords,
    index: Option<Index>,
    /// Messages that will be asked for.
    expected: Vec<Key>,
    /// Where what is seen here is kept for whoever opens the folder next.
    seen: Option<Arc<Seen>>,
    /// Where removed messages are kept, and under which folder's name.
    bin: Option<(Bin, FolderName)>,
}

impl MaildirFolder {
    /// Opens the folder in `dir`, which has to be there; for writing, makes what it lacks and sweeps `tmp`.
    pub(super) fn open(root: &Path, dir: PathBuf, separator: u8, access: Access) -> Result<Self, StoreError> {
        if !dir.join("cur").is_dir() {
            let cause = format!("{} is not there or is no Maildir", dir.display());
            return Err(StoreError::new(Reach::Folder, Kind::Missing, "open", cause).with_hint(sys::AWAY));
        }
        // Deleting the folder was cut short, which takes `tmp` first. A `new` that is gone alone was taken away, with all
        // that was in it: an empty one in its place would say that it was deleted.
        if access == Access::Write
            && !dir.join("new").exists()
            && !dir.join("tmp").exists()
            && is_empty(&dir.join("cur"))
        {
            super::make_dir(&dir.join("new"))?;
        }
        let allowed = |sub: &str| rustix::fs::access(dir.join(sub), rustix::fs::Access::WRITE_OK).is_ok();
        let may_write = access == Access::Write && allowed("cur") && allowed("new");
        if may_write {
            super::make_dir(&dir.join("tmp"))?;
            deliver::sweep(&dir)?;
        }
        let keywords = Keywords::load(&dir)?;
        Ok(MaildirFolder {
            root: root.to_owned(),
            dir,
            separator,
            access,
            may_write,
            keywords,
            index: None,
            expected: Vec::new(),
            seen: None,
            bin: None,
        })
    }

    /// The same folder, which begins with what was seen of it, and hands on what it sees.
    pub(super) fn with_seen(mut self, seen: Arc<Seen>) -> Self {
        self.index = seen.take(&self.dir);
        self.seen = Some(seen);
        self
    }

    /// The same folder, which puts what it removes into a bin.
    pub(super) fn with_bin(mut self, bin: Option<(Bin, FolderName)>) -> Self {
        self.bin = bin;
        self
    }

    fn must_be_writable(&self, action: &str) -> Result<(), StoreError> {
        match (self.may_write, self.access) {
            (true, _) => Ok(()),
            (_, Access::Read) => {
                Err(StoreError::new(Reach::Folder, Kind::Refused, action, "the folder was opened for looking only"))
            }
            (_, Access::Write) => {
                let cause = format!("{} can't be written to", self.dir.display());
                let hint = "check its owner and mode, and how its file system is mounted";
                Err(StoreError::new(Reach::Folder, Kind::Disk, action, cause).with_hint(hint))
            }
        }
    }

    /// A message's path for people: the directory and the info part change too often to be told.
    fn shown(&self, key: &Key) -> PathBuf {
        self.dir.join(key.to_string())
    }

    /// Makes sure that those of the messages `keys` that are there can be found; all of them in one reading.
    pub(super) fn find(&mut self, keys: &[Key]) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        let index = self.index.get_or_insert_default();
        if self.expected.is_empty() || index.knows(keys) {
            return index.find(&self.dir, keys);
        }
        let mut all = std::mem::take(&mut self.expected);
        all.extend_from_slice(keys);
        index.find(&self.dir, &all)
    }

    fn entry(&mut self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.find(std::slice::from_ref(key))?;
        Ok(self.index.as_ref().and_then(|index| index.entries.get(key)).cloned())
    }

    /// Does `act` to a message's file; where the file is no longer there under its name, looks for it again.
    /// `None` where the message is gone.
    fn chase<T>(
        &mut self,
        key: &Key,
        mut act: impl FnMut(&mut Self, &Entry) -> io::Result<T>,
    ) -> Result<Option<io::Result<T>>, StoreError> {
        let mut last = None;
        for _ in 0..CHASES {
            let Some(entry) = self.entry(key)? else { return Ok(None) };
            match act(self, &entry) {
                Err(err) if err.kind() == io::ErrorKind::NotFound => {
                    self.index.get_or_insert_default().find_again(&self.dir, key)?;
                    last = Some(Err(err));
                }
                done => return Ok(Some(done)),
            }
        }
        Ok(last)
    }

    /// Makes room for the keywords among `flags`.
    fn admit(&mut self, flags: &Flags) -> Result<(), StoreError> {
        let unknown = |flag: Flag| matches!(flag, Flag::Keyword(_)) && self.keywords.letter(&flag).is_none();
        if !flags.iter().any(unknown) {
            return Ok(());
        }
        let mut keywords = self.keywords.clone();
        // As it is now: a letter that another program has given to a message since must not become another flag's.
        let nameless = Index::scan(&self.dir, Wanted::These(&|_| false))?.nameless(&keywords);
        keywords.admit(&self.dir, flags, nameless)?;
        self.keywords = keywords;
        Ok(())
    }

    /// The directory and file name for a message, its unique part given.
    fn place(&self, unique: &[u8], flags: &Flags) -> (Sub, Vec<u8>) {
        let name = parse(unique).with_flags(flags, &self.keywords, self.separator);
        match flags.contains(&Flag::Seen) {
            true => (Sub::Cur, name),
            false => (Sub::New, name),
        }
    }

    /// Renames one staged draft into the folder.
    fn deliver(&mut self, key: &Key, flags: &Flags, draft: &mut Draft) -> Result<Sub, StoreError> {
        let refused = |cause: &str| StoreError::new(Reach::Message, Kind::Refused, "deliver", cause);
        let unique = key.name().filter(|name| is_unique(name)).ok_or_else(|| refused("it has no name for a file"))?;
        if self.index.as_ref().is_some_and(|index| index.entries.contains_key(key)) {
            return Err(refused("there is a message of that name already"));
        }
        let (sub, file) = self.place(unique, flags);
        let to = file_path(&self.dir, sub, &file);
        let from = draft.path().ok_or_else(|| refused("it was not staged"))?;
        rename_new(from, &to).map_err(|err| {
            let reach = if hits_all(&err) { Reach::Folder } else { Reach::Message };
            disk(reach, "deliver", &to, err)
        })?;
        draft.keep();
        // Whoever wants it later finds it: of what is delivered nothing is kept.
        if let Some(index) = &mut self.index {
            index.forget(key);
        }
        Ok(sub)
    }

    /// Sets a message's flags by renaming its file. Says in which directories something changed.
    fn reflag(&mut self, key: &Key, delta: &FlagDelta) -> Result<Option<io::Result<Vec<Sub>>>, StoreError> {
        self.chase(key, |folder, entry| {
            let flags = entry.flags(&folder.keywords).with(&delta.within(&folder.keywords.space(0)));
            let file = entry.parsed().with_flags(&flags, &folder.keywords, folder.separator);
            let sub = if flags.contains(&Flag::Seen) { Sub::Cur } else { entry.sub };
            if (sub, &file) == (entry.sub, &entry.file) {
                return Ok(Vec::new());
            }
            rename_new(&entry.path(&folder.dir), &file_path(&folder.dir, sub, &file))?;
            let from = entry.sub;
            if let Some(entry) = folder.index.as_mut().and_then(|index| index.entries.get_mut(key)) {
                (entry.sub, entry.file) = (sub, file);
            }
            Ok(vec![from, sub])
        })
    }

    pub(super) fn sync(&self, mut subs: Vec<Sub>) -> Result<(), StoreError> {
        subs.sort_unstable();
        subs.dedup();
        subs.into_iter().try_for_each(|sub| sync_dir(&self.dir, sub))
    }

    /// Unlinks a message's files. Says in which directories.
    fn unlink(&mut self, key: &Key) -> Result<Option<io::Result<Vec<Sub>>>, StoreError> {
        self.chase(key, |folder, entry| {
            let mut subs = Vec::new();
            // Twins first: were the run to end here, the message would still be there under its key.
            for (sub, file) in entry.twins.iter().chain([&(entry.sub, entry.file.clone())]) {
                sys::remove_file(&file_path(&folder.dir, *sub, file))?;
                subs.push(*sub);
            }
            if let Some(index) = &mut folder.index {
                index.remove(key);
            }
            Ok(subs)
        })
    }

    /// Removes messages by putting them into a bin, under the names that they have.
    fn put_into(&mut self, bin: &Bin, name: &FolderName, keys: &[Key]) -> Result<Vec<(Key, StoreError)>, StoreError> {
        let told = |error: StoreError| {
            let root = bin.root().display();
            let hint = format!("nothing is deleted before {root} can take it; or set retain_deleted = \"0\"");
            StoreError { action: "keep what is deleted".to_owned(), ..error }.with_hint(hint)
        };
        let mut target = bin.folder(name).map_err(told)?;
        target.find(keys).map_err(told)?;
        self.find(keys)?;
        let (mut failed, mut here, mut there) = (Vec::new(), Vec::new(), Vec::new());
        let mut ended = Ok(());
        for key in keys {
            match self.move_one(key, &mut target, Some(&Mark::Exact(key.clone()))) {
                Ok(Moved::To { sub, from, .. }) => {
                    there.push(sub);
                    here.push(from);
                }
                Ok(Moved::Gone) => {}
                Err(error) if error.reach > Reach::Message => {
                    ended = Err(told(error));
                    break;
                }
                Err(error) => failed.push((key.clone(), told(error))),
            }
        }
        // As with a move: seen twice after a power failure at worst, and never lost.
        target.sync(there).map_err(told)?;
        self.sync(here)?;
        ended.map(|()| failed)
    }

    /// Moves one message; its new key, and the directories that changed in the target and here.
    pub(super) fn move_one(
        &mut self,
        key: &Key,
        target: &mut MaildirFolder,
        mark: Option<&Mark>,
    ) -> Result<Moved, StoreError> {
        let known = match self.entry(key)? {
            Some(entry) => entry.flags(&self.keywords),
            None => return Ok(Moved::Gone),
        };
        target.admit(&known)?;
        let wanted = match mark {
            Some(Mark::Exact(key @ Key::Name(name))) if is_unique(name) => {
                target.find(std::slice::from_ref(key))?;
                name.clone()
            }
            _ => unique().into_bytes().into(),
        };
        let done = self.chase(key, |folder, entry| {
            let flags = entry.flags(&folder.keywords);
            let (unknown, rest) = entry.parsed().carried(&folder.keywords, &target.keywords);
            let taken = |index: &Index| index.entries.contains_key(&Key::Name(wanted.clone()));
            let taken = target.index.as_ref().is_some_and(taken);
            let name = if taken { unique().into_bytes().into() } else { wanted.clone() };
            let mut file = parse(&name).with_flags(&flags, &target.keywords, target.separator);
            if !(unknown.is_empty() && rest.is_empty()) {
                let bare = [&name[..], &[target.separator], b"2,", &unknown, rest].concat();
                file = parse(&bare).with_flags(&flags, &target.keywords, target.separator);
            }
            let sub = if flags.contains(&Flag::Seen) { Sub::Cur } else { entry.sub };
            let to = file_path(&target.dir, sub, &file);
            carry(&entry.path(&folder.dir), &to, &target.dir)?;
            for (sub, twin) in &entry.twins {
                match sys::remove_file(&file_path(&folder.dir, *sub, twin)) {
                    // The message has been moved: whoever removed its second file was only faster.
                    Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
                    _ => {}
                }
            }
            let key = Key::Name(name);
            let moved = Entry { sub, file, inode: entry.inode, plain: true, twins: Vec::new(), measured: None };
            if let Some(index) = &mut target.index {
                index.insert(key.clone(), moved);
            }
            Ok(Moved::To { key, sub, from: entry.sub })
        })?;
        match done {
            None => Ok(Moved::Gone),
            Some(Ok(moved)) => {
                if let Some(index) = &mut self.index {
                    index.remove(key);
                }
                Ok(moved)
            }
            Some(Err(err)) => {
                let reach = if hits_all(&err) { Reach::Folder } else { Reach::Message };
                Err(disk(reach, "move", &self.shown(key), err))
            }
        }
    }
}

impl Drop for MaildirFolder {
    fn drop(&mut self) {
        if let (Some(seen), Some(index)) = (&self.seen, self.index.take()) {
            seen.put(&self.dir, index);
        }
    }
}

fn is_empty(dir: &Path) -> bool {
    sys::list(dir).is_ok_and(|mut entries| entries.next().is_none())
}

/// What became of a message that was to be moved.
pub(super) enum Moved {
    Gone,
    To { key: Key, sub: Sub, from: Sub },
}

/// Renames a file into another folder, or copies it where that is on another file system.
fn carry(from: &Path, to: &Path, target: &Path) -> io::Result<()> {
    match rename_new(from, to) {
        Err(err) if err.kind() == io::ErrorKind::CrossesDevices => {
            let file = open_plain(from)?;
            let date = file.metadata()?.mtime();
            let mut copy = stage(target, Draft::from_file(file), Some(date)).map_err(io::Error::other)?;
            sys::sync(copy.file())?;
            rename_new(copy.path().ok_or_else(|| io::Error::other("it was not staged"))?, to)?;
            copy.keep();
            // The new name must last before the old one goes: no file system renames across two.
            to.parent().map_or(Ok(()), sys::sync_dir)?;
            sys::remove_file(from)
        }
        done => done,
    }
}

/// Whether a key is one that a file of ours may have.
fn is_unique(name: &[u8]) -> bool {
    let plain = !name.is_empty() && name.len() <= 200 && !name.starts_with(b".");
    plain && !name.iter().any(|b| matches!(b, b'/' | 0)) && parse(name).info.is_none()
}

/// A message's date as its file has it.
fn date_of(meta: &fs::Metadata) -> Option<i64> {
    Some(meta.mtime()).filter(|date| (0..=LAST_DATE).contains(date))
}

impl Folder for MaildirFolder {
    fn changes(&mut self, since: Option<&Cursor>, known: &dyn Known) -> Result<Changes, StoreError> {
        self.keywords = Keywords::load(&self.dir)?;
        let (changes, index) = look(&self.dir, &self.keywords, since, known)?;
        if index.is_some() {
            self.index = index;
        }
        Ok(changes)
    }

    fn some_new(&mut self, after: Option<&Key>, known: &dyn Known, most: usize) -> Result<Option<Slice>, StoreError> {
        self.keywords = Keywords::load(&self.dir)?;
        let (slice, index) = some_new(&self.dir, &self.keywords, after, known, most)?;
        self.index = Some(index);
        Ok(Some(slice))
    }

    fn count(&mut self) -> Result<Option<u64>, StoreError> {
        count(&self.dir).map(Some)
    }

    fn disowns(&mut self, cursor: &Cursor) -> bool {
        Stamps::latest_in(&cursor.mark).is_none_or(|latest| Now::on(&self.dir).is_before(latest))
    }

    fn flag_space(&self) -> FlagSpace {
        self.keywords.space(self.index.as_ref().map_or(0, |index| index.nameless(&self.keywords)))
    }

    fn writable(&self) -> bool {
        self.may_write
    }

    fn expect(&mut self, keys: &[Key]) {
        self.expected = if keys.len() <= EXPECTED_MAX { keys.to_vec() } else { Vec::new() };
    }

    /// Reads every file, so that the hash comes at either depth. A file that can't be read is left out;
    /// [`Folder::fetch`] says why.
    fn identify(&mut self, keys: &[Key], _depth: Depth) -> Result<Identified, StoreError> {
        let mut found = Identified::default();
        self.find(keys)?;
        let now = OnceCell::new();
        for key in keys {
            let read = |folder: &mut Self, entry: &Entry| {
                let (file, meta) = open_and_look(&entry.path(&folder.dir))?;
                if let Some(known) = entry.measured.as_ref().filter(|measured| measured.is_of(&meta)) {
                    return Ok(known.measure.identity.clone());
                }
                let (measured, lasts) = Measured::measure(file, &meta, now.get_or_init(|| Now::on(&folder.dir)))?;
                let identity = measured.measure.identity.clone();
                if let Some(entry) = folder.index.as_mut().and_then(|index| index.entries.get_mut(key)) {
                    entry.measured = lasts.then(|| Arc::new(measured));
                }
                Ok(identity)
            };
            match self.chase(key, read)? {
                None => {}
                Some(Ok(identity)) => found.known.push((key.clone(), identity)),
                Some(Err(err)) if err.kind() == io::ErrorKind::NotFound => {}
                Some(Err(err)) => {
                    let reach = if is_own(&err) { Reach::Message } else { Reach::Folder };
                    let error = disk(reach, "read", &self.shown(key), err);
                    if reach > Reach::Message {
                        return Err(error);
                    }
                    found.unread.push((key.clone(), error));
                }
            }
        }
        Ok(found)
    }

    fn stored_as(&self, key: &Key, flags: &Flags) -> Option<PathBuf> {
        let flags = flags.iter().filter(|flag| self.keywords.letter(flag).is_some()).collect();
        let (sub, file) = self.place(key.name()?, &flags);
        Some(file_path(&self.dir, sub, &file))
    }

    fn files(&mut self, keys: &[Key]) -> Result<Vec<Option<PathBuf>>, StoreError> {
        self.find(keys)?;
        let path = |key: &Key| self.index.as_ref()?.entries.get(key).map(|entry| entry.path(&self.dir));
        // Another program may have given it another name since it was found.
        let moved = keys.iter().find(|key| path(key).is_some_and(|path| sys::look(&path).is_err())).cloned();
        if let Some(key) = moved {
            self.index.get_or_insert_default().find_again(&self.dir, &key)?;
            self.find(keys)?;
        }
        let entries = self.index.as_ref().map(|index| &index.entries);
        let file = |key| entries.and_then(|entries| entries.get(key)).map(|entry| entry.path(&self.dir));
        Ok(keys.iter().map(file).collect())
    }

    fn fetch(&mut self, keys: &[Key], to: &mut dyn Receive) -> Result<(), StoreError> {
        self.find(keys)?;
        for key in keys {
            let read = |folder: &mut Self, entry: &Entry| {
                let (file, meta) = open_and_look(&entry.path(&folder.dir))?;
                let date = date_of(&meta);
                // What was read a moment ago can still be read, or the line breaks over it.
                let body = match entry.measured.as_ref().filter(|measured| measured.is_of(&meta)) {
                    Some(measured) => Draft::known(file, &measured.measure),
                    None => {
                        let mut body = Draft::from_file(file);
                        // What can't be read shows here, while it is this message's failure and not the taker's.
                        body.measure()?;
                        body
                    }
                };
                Ok((entry.flags(&folder.keywords), date, body))
            };
            match self.chase(key, read)? {
                None => {}
                Some(Ok((flags, date, body))) => {
                    to.message(Fetched { key: key.clone(), flags: Some(flags), date, email_id: None, body })?;
                }
                Some(Err(err)) => to.failed(key.clone(), disk(Reach::Message, "read", &self.shown(key), err))?,
            }
        }
        Ok(())
    }

    fn drafter(&self) -> Box<dyn Drafter> {
        Box::new(TmpDrafter::new(&self.dir))
    }

    fn reserve(&mut self, count: usize) -> Result<Vec<Mark>, StoreError> {
        Ok((0..count).map(|_| Mark::Exact(Key::Name(unique().into_bytes().into()))).collect())
    }

    fn append(&mut self, batch: Vec<Outgoing>) -> Result<Vec<Result<Option<Key>, StoreError>>, StoreError> {
        self.must_be_writable("deliver")?;
        self.admit(&batch.iter().fold(Flags::new(), |all, outgoing| all.union(&outgoing.flags)))?;
        let mut staged = Vec::with_capacity(batch.len());
        for Outgoing { mark, flags, date, body } in batch {
            match stage(&self.dir, body, date) {
                Err(error) if error.reach > Reach::Message => return Err(error),
                other => staged.push((mark, flags, other)),
            }
        }
        let drafts: Vec<&Draft> = staged.iter().filter_map(|(_, _, draft)| draft.as_ref().ok()).collect();
        deliver::make_durable(&self.dir, &drafts)?;
        let (mut answer, mut subs) = (Vec::with_capacity(staged.len()), Vec::new());
        for (mark, flags, draft) in staged {
            let key = match mark {
                Mark::Exact(key) => key,
                Mark::NotBelow(_) => Key::Name(unique().into_bytes().into()),
            };
            let delivered = draft.and_then(|mut draft| {
                let flags = flags.iter().filter(|flag| self.keywords.letter(flag).is_some()).collect();
                self.deliver(&key, &flags, &mut draft)
            });
            match delivered {
                Ok(sub) => {
                    subs.push(sub);
                    answer.push(Ok(Some(key)));
                }
                Err(error) if error.reach > Reach::Message => return Err(error),
                Err(error) => answer.push(Err(error)),
            }
        }
        self.sync(subs)?;
        Ok(answer)
    }

    fn set_flags(&mut self, changes: &[(Key, FlagDelta)]) -> Result<Vec<(Key, StoreError)>, StoreError> {
        self.must_be_writable("set flags")?;
        self.find(&changes.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>())?;
        self.admit(&changes.iter().fold(Flags::new(), |all, (_, delta)| all.union(&delta.add)))?;
        let (mut failed, mut subs) = (Vec::new(), Vec::new());
        for (key, delta) in changes {
            match self.reflag(key, delta)? {
                None => {}
                Some(Ok(changed)) => subs.extend(changed),
                Some(Err(err)) => failed.push((key.clone(), disk(Reach::Message, "set flags", &self.shown(key), err))),
            }
        }
        self.sync(subs)?;
        Ok(failed)
    }

    fn remove(&mut self, keys: &[Key]) -> Result<Vec<(Key, StoreError)>, StoreError> {
        self.must_be_writable("remove")?;
        if let Some((bin, name)) = self.bin.clone().filter(|_| !keys.is_empty()) {
            return self.put_into(&bin, &name, keys);
        }
        self.find(keys)?;
        let (mut failed, mut subs) = (Vec::new(), Vec::new());
        for key in keys {
            match self.unlink(key)? {
                None => {}
                Some(Ok(changed)) => subs.extend(changed),
                Some(Err(err)) => failed.push((key.clone(), disk(Reach::Message, "remove", &self.shown(key), err))),
            }
        }
        self.sync(subs)?;
        Ok(failed)
    }

    fn move_to(
        &mut self,
        keys: &[Key],
        into: &[u8],
        marks: &[Mark],
    ) -> Result<Vec<Result<Option<Key>, StoreError>>, StoreError> {
        self.must_be_writable("move")?;
        let dir = super::folder_dir(&self.root, into, "move")?;
        let mut target = MaildirFolder::open(&self.root, dir, self.separator, Access::Write)?;
        target.must_be_writable("move")?;
        let taken = marks.iter().filter_map(|mark| match mark {
            Mark::Exact(key) => Some(key.clone()),
            Mark::NotBelow(_) => None,
        });
        target.find(&taken.collect::<Vec<_>>())?;
        self.find(keys)?;
        let (mut answer, mut here, mut there) = (Vec::with_capacity(keys.len()), Vec::new(), Vec::new());
        for (at, key) in keys.iter().enumerate() {
            match self.move_one(key, &mut target, marks.get(at)) {
                Ok(Moved::To { key, sub, from }) => {
                    there.push(sub);
                    here.push(from);
                    answer.push(Ok(Some(key)));
                }
                Ok(Moved::Gone) => {
                    answer.push(Err(StoreError::new(Reach::Message, Kind::Missing, "move", "it is gone")));
                }
                Err(error) if error.reach > Reach::Message => return Err(error),
                Err(error) => answer.push(Err(error)),
            }
        }
        // The target first: a message may be seen twice after a power failure, but never be lost.
        target.sync(there)?;
        self.sync(here)?;
        Ok(answer)
    }
}
