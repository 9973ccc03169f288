//! A store in memory, for tests and benches.
//!
//! A [`World`] holds folders and messages; it can be changed from outside between two runs (or, from a [`Hook`],
//! in the middle of one), and any number of stores can be opened on it. Depending on its [`MemorySettings`] it plays
//! an IMAP server, with or without CONDSTORE and UIDPLUS, or a Maildir.

mod room;
mod world;

pub use world::{Action, Fault, Hook, Keys, MemorySettings, Seen, Snapshot, Step, Stored, When, World};

use super::{
    Access, Claim, Depth, Draft, Drafter, Fetched, Folder, FolderInfo, Identified, Kind, Known, Mark, Opener, Outgoing,
    Reach, Receive, Slice, Store, StoreError, StoreFacts,
};
use crate::mail::{Appeared, Changes, Cursor, FlagDelta, FlagSpace, FolderName, Identity, Key};
use room::{Message, Room, missing, refused};
use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::File;
use std::io::Read;
use world::Inner;

/// Opens stores on a [`World`].
pub struct MemoryOpener {
    world: World,
}

impl MemoryOpener {
    pub fn new(world: World) -> MemoryOpener {
        MemoryOpener { world }
    }
}

impl Opener for MemoryOpener {
    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        Ok(Box::new(MemoryStore { world: self.world.clone() }))
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }
}

/// A connection to a [`World`].
pub struct MemoryStore {
    world: World,
}

impl MemoryStore {
    /// Runs `effect` between the two calls of the hook.
    fn step<T>(
        &self,
        action: Action,
        folder: Option<FolderName>,
        effect: impl FnOnce(&mut Inner) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.world.step(action, folder, None, effect)
    }

    fn name(wire: &[u8]) -> Result<FolderName, StoreError> {
        let text = std::str::from_utf8(wire).ok();
        text.and_then(FolderName::parse).ok_or_else(|| missing("open", &String::from_utf8_lossy(wire)))
    }
}

impl Store for MemoryStore {
    fn facts(&mut self) -> Result<StoreFacts, StoreError> {
        let settings = self.world.settings();
        Ok(StoreFacts {
            software: Some("memory".to_owned()),
            uses: vec![("CONDSTORE".to_owned(), settings.condstore), ("UIDPLUS".to_owned(), settings.tell_keys)],
            delimiter: Some("/".to_owned()),
            namespace: Some(String::new()),
            transport: Some("none".to_owned()),
        })
    }

    fn claim(&mut self, owner: &str) -> Result<Claim, StoreError> {
        Ok(self.world.claim_for(owner))
    }

    fn mark(&mut self, owner: &str, turn: u64) -> Result<(), StoreError> {
        self.step(Action::Mark, None, |inner| {
            inner.claim = None;
            (inner.owner, inner.turn) = (Some(owner.to_owned()), turn);
            Ok(())
        })
    }

    fn advance(&mut self, owner: &str, turn: u64) -> Result<(), StoreError> {
        match self.world.claim_for(owner) {
            Claim::Ours => self.mark(owner, turn),
            _ => Err(missing("mark", "the root")),
        }
    }

    fn turn(&mut self) -> Result<Option<u64>, StoreError> {
        Ok(self.world.turn())
    }

    fn list(&mut self) -> Result<Vec<FolderInfo>, StoreError> {
        self.step(Action::List, None, |inner| {
            if inner.claim == Some(Claim::Missing) {
                return Err(missing("list", "the root").reaching(Reach::Account));
            }
            Ok(inner.rooms.iter().map(|(name, room)| room.info(name, &inner.settings)).collect())
        })
    }

    fn open(&mut self, wire: &[u8], access: Access, expect: Option<u64>) -> Result<Box<dyn Folder + '_>, StoreError> {
        let name = Self::name(wire)?;
        let (read_only, generation) = self.step(Action::Open, Some(name.clone()), |inner| {
            let read_only = inner.settings.read_only;
            let room = inner.room(&name, "open")?;
            if !room.selectable {
                return Err(refused("open", "the folder cannot be selected"));
            }
            match expect {
                Some(generation) if generation != room.generation => Err(StoreError::new(
                    Reach::Folder,
                    Kind::Reset,
                    "open",
                    format!("generation {generation} was expected, but it is {}", room.generation),
                )),
                _ => Ok((read_only, room.generation)),
            }
        })?;
        Ok(Box::new(MemoryFolder {
            world: &self.world,
            name,
            generation,
            writable: access == Access::Write && !read_only,
            read_only,
        }))
    }

    fn wire_for(&mut self, name: &FolderName) -> Result<Vec<u8>, StoreError> {
        Ok(name.text().into_bytes())
    }

    fn create(&mut self, name: &FolderName) -> Result<FolderInfo, StoreError> {
        self.step(Action::Create, Some(name.clone()), |inner| {
            if inner.settings.read_only {
                return Err(refused("create", "the store is read-only"));
            }
            inner.make_room(name);
            let settings = inner.settings.clone();
            inner.room(name, "create").map(|room| room.info(name, &settings))
        })
    }

    fn rename(&mut self, wire: &[u8], to: &FolderName) -> Result<FolderInfo, StoreError> {
        let from = Self::name(wire)?;
        self.step(Action::Rename, Some(from.clone()), |inner| {
            if inner.settings.read_only || from.is_inbox() {
                return Err(refused("rename", "the folder cannot be renamed"));
            }
            if inner.rooms.contains_key(to) {
                return Err(refused("rename", "there is a folder of that name"));
            }
            let room = inner.rooms.remove(&from).ok_or_else(|| missing("rename", &from.text()))?;
            let info = room.info(to, &inner.settings);
            inner.rooms.insert(to.clone(), room);
            Ok(info)
        })
    }

    fn delete(&mut self, wire: &[u8]) -> Result<(), StoreError> {
        let name = Self::name(wire)?;
        self.step(Action::Delete, Some(name.clone()), |inner| {
            let occupied = inner.rooms.get(&name).is_some_and(|room| !room.messages.is_empty());
            if inner.settings.read_only || name.is_inbox() || occupied {
                return Err(refused("delete", "the folder cannot be deleted"));
            }
            inner.rooms.remove(&name);
            Ok(())
        })
    }
}

struct MemoryFolder<'a> {
    world: &'a World,
    name: FolderName,
    /// Its generation when it was opened.
    generation: u64,
    writable: bool,
    read_only: bool,
}

impl MemoryFolder<'_> {
    fn step<T>(
        &self,
        action: Action,
        key: Option<&Key>,
        effect: impl FnOnce(&mut Room, &MemorySettings) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.world.step(action, Some(self.name.clone()), key.cloned(), |inner| {
            let settings = inner.settings.clone();
            self.must_be_the_same(inner, action)?;
            effect(inner.room(&self.name, action.name())?, &settings)
        })
    }

    /// As servers do: under another UIDVALIDITY the session can't go on, for its UIDs would be other messages'.
    fn must_be_the_same(&self, inner: &mut Inner, action: Action) -> Result<(), StoreError> {
        match inner.room(&self.name, action.name())?.generation == self.generation {
            true => Ok(()),
            false => {
                let cause = "the folder was made anew while it was open";
                Err(StoreError::new(Reach::Connection, Kind::Network, action.name(), cause))
            }
        }
    }

    fn must_be_writable(&self, action: Action) -> Result<(), StoreError> {
        match self.writable {
            true => Ok(()),
            false if self.read_only => Err(refused(action.name(), "the store is read-only")),
            false => Err(refused(action.name(), "the folder was opened for looking only")),
        }
    }

    /// Does one thing to each key; those that fail alone are the answer, any other failure ends it.
    fn each<'k>(
        &mut self,
        keys: impl Iterator<Item = &'k Key>,
        mut one: impl FnMut(&Self, &Key) -> Result<(), StoreError>,
    ) -> Result<Vec<(Key, StoreError)>, StoreError> {
        let mut failed = Vec::new();
        for key in keys {
            match one(self, key) {
                Err(error) if error.reach == Reach::Message => failed.push((key.clone(), error)),
                other => other?,
            }
        }
        Ok(failed)
    }
}

impl Folder for MemoryFolder<'_> {
    fn some_new(&mut self, after: Option<&Key>, known: &dyn Known, most: usize) -> Result<Option<Slice>, StoreError> {
        self.step(Action::Changes, None, |room, settings| {
            let cursor = room.cursor(settings);
            let mut slice = Slice { appeared: Vec::new(), cursor, reached: None };
            for (key, message) in room.messages.iter().filter(|(key, _)| after.is_none_or(|after| *key > after)) {
                if slice.appeared.len() >= most {
                    slice.reached = slice.appeared.last().map(|appeared: &Appeared| appeared.key.clone());
                    break;
                }
                if known.get(key)?.is_none() {
                    let (flags, size) = (message.flags.clone(), message.identity.size);
                    slice.appeared.push(Appeared { key: key.clone(), flags, size });
                }
            }
            Ok(Some(slice))
        })
    }

    fn changes(&mut self, since: Option<&Cursor>, known: &dyn Known) -> Result<Changes, StoreError> {
        self.step(Action::Changes, None, |room, settings| {
            let cursor = room.cursor(settings);
            let mut changes = Changes { count: Some(room.messages.len() as u64), ..Changes::none(cursor) };
            changes.reset = since.is_some_and(|since| since.generation != room.generation);
            // As a server without CONDSTORE: a cursor without modification numbers says nothing about flags.
            let after = match (since, changes.reset) {
                (Some(since), false) if settings.condstore => room::modseq_of(since),
                _ => 0,
            };
            for (key, message) in room.messages.iter().filter(|(_, message)| message.modseq > after) {
                let (flags, size) = (message.flags.clone(), message.identity.size);
                match if changes.reset { None } else { known.get(key)? } {
                    Some(before) if before == flags => {}
                    Some(_) => changes.reflagged.push((key.clone(), flags)),
                    None => changes.appeared.push(Appeared { key: key.clone(), flags, size }),
                }
            }
            if !changes.reset {
                changes.vanished = room.vanished(after, known)?;
            }
            if room.cut_short {
                changes.appeared.pop();
                changes.complete = false;
                changes.cursor.conclusive = false;
                changes.vanished.clear();
                changes.notes.push("the listing was cut short".to_owned());
            }
            Ok(changes)
        })
    }

    fn disowns(&mut self, cursor: &Cursor) -> bool {
        self.world.lock().rooms.get(&self.name).is_none_or(|room| room.disowns(cursor))
    }

    fn flag_space(&self) -> FlagSpace {
        self.world.lock().rooms.get(&self.name).map_or_else(FlagSpace::none, |room| room.space.clone())
    }

    fn writable(&self) -> bool {
        self.writable
    }

    fn identify(&mut self, keys: &[Key], depth: Depth) -> Result<Identified, StoreError> {
        self.step(Action::Identify, None, |room, settings| {
            let whole = depth == Depth::Content || settings.keys == Keys::Names;
            let identity = |message: &Message| Identity {
                hash: message.identity.hash.filter(|_| whole),
                email_id: message.identity.email_id.clone().filter(|_| settings.email_ids),
                ..message.identity.clone()
            };
            let found = keys.iter().filter_map(|key| room.messages.get(key).map(|m| (key.clone(), identity(m))));
            Ok(Identified { known: found.collect(), unread: Vec::new() })
        })
    }

    fn fetch(&mut self, keys: &[Key], to: &mut dyn Receive) -> Result<(), StoreError> {
        for key in keys {
            match self.step(Action::Fetch, Some(key), |room, _| Ok(room.messages.get(key).cloned())) {
                Ok(None) => {}
                Ok(Some(message)) => {
                    let mut body = to.draft()?;
                    body.write(&message.content).map_err(|err| super::draft::draft_error("fetch", err))?;
                    let (flags, date) = (Some(message.flags), message.date);
                    let email_id = message.identity.email_id.filter(|_| self.world.settings().email_ids);
                    to.message(Fetched { key: key.clone(), flags, date, email_id, body })?;
                }
                Err(error) if error.reach == Reach::Message => to.failed(key.clone(), error)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn drafter(&self) -> Box<dyn Drafter> {
        Box::new(|| {
            let fd = memfd_create("message", MemfdFlags::CLOEXEC)
                .map_err(|err| StoreError::new(Reach::Folder, Kind::Disk, "make a draft", err))?;
            Ok(Draft::new(File::from(fd), None))
        })
    }

    fn reserve(&mut self, count: usize) -> Result<Vec<Mark>, StoreError> {
        self.step(Action::Reserve, None, |room, settings| Ok((0..count).map(|_| room.reserve(settings)).collect()))
    }

    fn append(&mut self, batch: Vec<Outgoing>) -> Result<Vec<Result<Option<Key>, StoreError>>, StoreError> {
        self.must_be_writable(Action::Append)?;
        let count = batch.len();
        let mut answer = Vec::with_capacity(count);
        for mut outgoing in batch {
            let failed = |err| super::draft::draft_error("append", err);
            let mut content = Vec::new();
            outgoing.body.reader().and_then(|mut reader| reader.read_to_end(&mut content)).map_err(failed)?;
            let message = Message::new(&content, outgoing.date);
            let stored = self.step(Action::Append, None, |room, settings| {
                let key = room.add(message, &outgoing.flags, Some(&outgoing.mark), settings)?;
                Ok(Some(key).filter(|_| settings.tell_keys))
            });
            match stored {
                // As a server without room: nothing of the rest was stored, and it is known.
                Err(error) if error.reach == Reach::Folder && error.kind == Kind::Later => {
                    answer.resize(count, Err(error));
                    return Ok(answer);
                }
                Err(error) if error.reach > Reach::Message => return Err(error),
                other => answer.push(other),
            }
        }
        Ok(answer)
    }

    fn set_flags(&mut self, changes: &[(Key, FlagDelta)]) -> Result<Vec<(Key, StoreError)>, StoreError> {
        self.must_be_writable(Action::SetFlags)?;
        let mut deltas = changes.iter().map(|(_, delta)| delta);
        self.each(changes.iter().map(|(key, _)| key), |folder, key| {
            let delta = deltas.next().expect("a delta for each key");
            folder.step(Action::SetFlags, Some(key), |room, _| {
                room.change_flags(key, delta);
                Ok(())
            })
        })
    }

    fn remove(&mut self, keys: &[Key]) -> Result<Vec<(Key, StoreError)>, StoreError> {
        self.must_be_writable(Action::Remove)?;
        self.each(keys.iter(), |folder, key| {
            folder.step(Action::Remove, Some(key), |room, _| {
                room.take(key);
                Ok(())
            })
        })
    }

    fn move_to(
        &mut self,
        keys: &[Key],
        into: &[u8],
        marks: &[Mark],
    ) -> Result<Vec<Result<Option<Key>, StoreError>>, StoreError> {
        self.must_be_writable(Action::Move)?;
        let target = MemoryStore::name(into)?;
        let mut answer = Vec::with_capacity(keys.len());
        let moves = self.world.settings().moves;
        for (at, key) in keys.iter().enumerate() {
            let moved = self.world.step(Action::Move, Some(self.name.clone()), Some(key.clone()), |inner| {
                let settings = inner.settings.clone();
                inner.room(&target, "move")?;
                self.must_be_the_same(inner, Action::Move)?;
                let source = inner.room(&self.name, "move")?;
                let gone = || missing("move", &key.to_string()).reaching(Reach::Message);
                let message = source.messages.get(key).cloned().ok_or_else(gone)?;
                let flags = message.flags.clone();
                let new = inner.room(&target, "move")?.add(message, &flags, marks.get(at), &settings)?;
                if moves {
                    inner.room(&self.name, "move")?.take(key);
                }
                Ok(Some(new).filter(|_| settings.tell_keys))
            });
            let removed = match (&moved, moves) {
                (Ok(_), false) => self.remove(std::slice::from_ref(key))?.pop(),
                _ => None,
            };
            match removed.map_or(moved, |(_, error)| Err(error)) {
                Err(error) if error.reach > Reach::Message => return Err(error),
                other => answer.push(other),
            }
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Flags;
    use crate::store::NothingKnown;
    use std::sync::Arc;

    struct One(Key, Flags);

    impl Known for One {
        fn get(&self, key: &Key) -> Result<Option<Flags>, StoreError> {
            Ok(Some(self.1.clone()).filter(|_| *key == self.0))
        }
        fn count(&self) -> Result<u64, StoreError> {
            Ok(1)
        }
        fn after(&self, after: Option<&Key>, _: usize) -> Result<Vec<(Key, Flags)>, StoreError> {
            let later = after.is_none_or(|after| self.0 > *after);
            Ok(later.then(|| (self.0.clone(), self.1.clone())).into_iter().collect())
        }
    }

    fn opened(world: &World) -> Box<dyn Store> {
        world.opener().open().expect("opened")
    }

    fn outgoing(folder: &mut dyn Folder, content: &[u8]) -> Outgoing {
        let mark = folder.reserve(1).expect("reserved").remove(0);
        let mut body = folder.drafter().draft().expect("a draft");
        body.write(content).expect("written");
        Outgoing { mark, flags: Flags::new(), date: None, body }
    }

    #[test]
    fn a_new_generation_is_told_as_a_reset() {
        for shuffle in [false, true] {
            let (world, inbox) = (World::new(MemorySettings::server()), FolderName::inbox());
            let contents = [&b"1"[..], b"2", b"3"];
            let keys = contents.map(|content| world.put(&inbox, content, &Flags::new(), None));
            let mut store = opened(&world);
            let before =
                store.open(b"INBOX", Access::Read, None).expect("opened").changes(None, &NothingKnown).expect("looked");
            world.new_generation(&inbox, shuffle);
            let mut folder = store.open(b"INBOX", Access::Read, None).expect("opened");
            let known = One(keys[0].clone(), Flags::new());
            let changes = folder.changes(Some(&before.cursor), &known).expect("looked");
            assert!(changes.reset && changes.vanished.is_empty());
            assert_eq!(changes.appeared.len(), 3);
            assert_eq!(world.find(&inbox, b"1"), Some(keys[if shuffle { 2 } else { 0 }].clone()));
            drop(folder);
            let error =
                store.open(b"INBOX", Access::Read, Some(before.cursor.generation)).map(drop).expect_err("another");
            assert_eq!(error.kind, Kind::Reset);
        }
    }

    #[test]
    fn a_step_fails_before_or_after_its_effect_as_the_hook_says() {
        for (when, stored) in [(When::Before, 0), (When::After, 1)] {
            let world = World::new(MemorySettings::maildir());
            world.make_folder(&FolderName::inbox());
            world.set_hook(Some(Arc::new(move |step: &Step| {
                match step.action == Action::Append && step.when == when {
                    true => Fault::Crash,
                    false => Fault::None,
                }
            })));
            let mut store = opened(&world);
            let mut folder = store.open(b"INBOX", Access::Write, None).expect("opened");
            let batch = vec![outgoing(&mut *folder, b"x"), outgoing(&mut *folder, b"x")];
            let error = folder.append(batch).expect_err("crashed");
            assert_eq!((error.kind, error.reach), (Kind::Stopped, Reach::Account));
            assert_eq!(world.count_of(b"x"), stored);
        }
    }

    #[test]
    fn a_refused_message_does_not_keep_the_others_back() {
        let world = World::new(MemorySettings::server());
        world.set_hook(Some(Arc::new(|step: &Step| match (step.action, step.nth_of_action, step.when) {
            (Action::Append, 0, When::Before) => {
                Fault::Fail(StoreError::new(Reach::Message, Kind::Refused, "append", "not this one"))
            }
            _ => Fault::None,
        })));
        let mut store = opened(&world);
        let mut folder = store.open(b"INBOX", Access::Write, None).expect("opened");
        let batch = vec![outgoing(&mut *folder, b"x"), outgoing(&mut *folder, b"y")];
        let told = folder.append(batch).expect("appended");
        assert!(told[0].is_err() && told[1].is_ok());
        assert_eq!((world.count_of(b"x"), world.count_of(b"y")), (0, 1));
    }

    #[test]
    fn a_listing_that_is_cut_short_lets_nothing_vanish() {
        let (world, inbox) = (World::new(MemorySettings::plain_server()), FolderName::inbox());
        let known = One(world.put(&inbox, b"x", &Flags::new(), None), Flags::new());
        assert!(world.delete(&inbox, &known.0));
        let mut store = opened(&world);
        let mut folder = store.open(b"INBOX", Access::Read, None).expect("opened");
        world.cut_short(&inbox, true);
        let changes = folder.changes(None, &known).expect("looked");
        assert!(!changes.complete && changes.vanished.is_empty());
        world.cut_short(&inbox, false);
        assert_eq!(folder.changes(None, &known).expect("looked").vanished, [known.0]);
    }

    #[test]
    fn worlds_with_the_same_messages_look_the_same_whatever_their_keys() {
        let (server, maildir) = (World::new(MemorySettings::server()), World::new(MemorySettings::maildir()));
        for (world, contents) in [(&server, [&b"a\r\nb"[..], b"c"]), (&maildir, [b"c", b"a\nb"])] {
            contents.iter().for_each(|content| drop(world.put(&FolderName::inbox(), content, &Flags::new(), Some(7))));
        }
        assert_eq!(server.snapshot(), maildir.snapshot());
        let key = maildir.keys(&FolderName::inbox()).remove(0);
        assert!(maildir.set_flags(&FolderName::inbox(), &key, &Flags::lettered()));
        assert_ne!(server.snapshot(), maildir.snapshot());
    }
}
