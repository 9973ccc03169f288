//! What a store in memory holds, how tests change it, and how they make it fail.

use super::MemoryOpener;
use super::room::{Message, Room, missing};
use crate::mail::{FlagSpace, Flags, FolderName, Key, Role};
use crate::store::{Claim, Mark, StoreError};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What names the messages of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Growing UIDs, chosen by the store, as on a server.
    Uids,
    /// Unique names, chosen by whoever appends, as in a Maildir.
    Names,
}

/// What kind of store a world plays.
#[derive(Clone, Debug)]
pub struct MemorySettings {
    pub keys: Keys,
    /// Whether cursors are conclusive, and changes are found by modification number.
    pub condstore: bool,
    /// Whether append and move tell the new keys, as UIDPLUS does.
    pub tell_keys: bool,
    /// Whether a move is one step, as with MOVE, and not a copy and an expunge.
    pub moves: bool,
    /// Whether messages have an EMAILID.
    pub email_ids: bool,
    /// Whether folders have a MAILBOXID.
    pub objects: bool,
    /// Whether the store needs an owner's mark to be known again.
    pub marks: bool,
    /// Whether `list` gives cursors and counts.
    pub list_cursors: bool,
    pub read_only: bool,
    /// What the folders made from now on can hold.
    pub space: FlagSpace,
}

impl MemorySettings {
    /// As a server with CONDSTORE and UIDPLUS.
    pub fn server() -> MemorySettings {
        MemorySettings {
            keys: Keys::Uids,
            condstore: true,
            tell_keys: true,
            moves: true,
            email_ids: false,
            objects: false,
            marks: false,
            list_cursors: true,
            read_only: false,
            space: FlagSpace::all(),
        }
    }

    /// As a server without extensions.
    pub fn plain_server() -> MemorySettings {
        MemorySettings { condstore: false, tell_keys: false, list_cursors: false, ..MemorySettings::server() }
    }

    /// As a Maildir.
    pub fn maildir() -> MemorySettings {
        let space = FlagSpace { fixed: Flags::lettered(), more: 26 };
        MemorySettings { keys: Keys::Names, marks: true, space, ..MemorySettings::server() }
    }
}

/// What a store is about to do, or has just done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    Mark,
    List,
    Open,
    Create,
    Rename,
    /// A folder.
    Delete,
    Changes,
    Identify,
    /// One message.
    Fetch,
    Reserve,
    /// One message.
    Append,
    /// One message.
    SetFlags,
    /// One message.
    Remove,
    /// One message.
    Move,
}

impl Action {
    pub fn name(self) -> &'static str {
        match self {
            Action::Mark => "mark",
            Action::List => "list",
            Action::Open => "open",
            Action::Create => "create",
            Action::Rename => "rename",
            Action::Delete => "delete",
            Action::Changes => "look",
            Action::Identify => "identify",
            Action::Fetch => "fetch",
            Action::Reserve => "reserve",
            Action::Append => "append",
            Action::SetFlags => "set flags",
            Action::Remove => "remove",
            Action::Move => "move",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum When {
    Before,
    After,
}

/// One step of a store, before or after its effect.
#[derive(Clone, Debug)]
pub struct Step {
    pub action: Action,
    pub when: When,
    /// Steps of any action that this world took before, in its whole life.
    pub nth: u64,
    /// Steps of the same action that this world took before.
    pub nth_of_action: u64,
    pub folder: Option<FolderName>,
    pub key: Option<Key>,
}

/// What is to become of a step.
pub enum Fault {
    None,
    /// It fails so. With reach [`Message`](crate::store::Reach::Message) only that message is refused.
    Fail(StoreError),
    /// The run ends here: the same error as when the user asks to stop.
    Crash,
}

/// Asked before and after the effect of every step. May change the world, as another program would.
pub type Hook = Arc<dyn Fn(&Step) -> Fault + Send + Sync>;

/// A message as [`World::snapshot`] shows it: in words, so that a failed comparison can be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// The content's hash (hexadecimal, shortened) and its beginning.
    pub content: String,
    pub flags: String,
    pub date: Option<i64>,
}

/// A message as [`World::messages`] gives it.
#[derive(Clone, Debug)]
pub struct Stored {
    pub folder: FolderName,
    pub key: Key,
    /// In LF form.
    pub content: Arc<[u8]>,
    pub flags: Flags,
    pub date: Option<i64>,
}

/// All that can be seen of a world from outside, keys left out: equal where two worlds are in step.
pub type Snapshot = BTreeMap<FolderName, Vec<Seen>>;

/// Folders and messages, shared by all stores that were opened on it.
#[derive(Clone)]
pub struct World {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Clone)]
pub(super) struct Inner {
    pub(super) settings: MemorySettings,
    pub(super) rooms: BTreeMap<FolderName, Room>,
    pub(super) owner: Option<String>,
    pub(super) turn: u64,
    /// What is claimed whatever `owner` says.
    pub(super) claim: Option<Claim>,
    made: u64,
    hook: Option<Hook>,
    steps: u64,
    steps_of: BTreeMap<Action, u64>,
}

impl World {
    /// A world without messages; with an INBOX, if it plays a server.
    pub fn new(settings: MemorySettings) -> World {
        let mut inner = Inner {
            settings,
            rooms: BTreeMap::new(),
            owner: None,
            turn: 0,
            claim: None,
            made: 0,
            hook: None,
            steps: 0,
            steps_of: BTreeMap::new(),
        };
        if inner.settings.keys == Keys::Uids {
            inner.make_room(&FolderName::inbox());
        }
        World { inner: Arc::new(Mutex::new(inner)) }
    }

    /// A world of its own with the same content, and without a hook.
    pub fn fork(&self) -> World {
        let inner = Inner { hook: None, ..self.lock().clone() };
        World { inner: Arc::new(Mutex::new(inner)) }
    }

    pub fn opener(&self) -> MemoryOpener {
        MemoryOpener::new(self.clone())
    }

    pub fn settings(&self) -> MemorySettings {
        self.lock().settings.clone()
    }

    /// Plays another kind of store from now on.
    pub fn set_settings(&self, settings: MemorySettings) {
        self.lock().settings = settings;
    }

    /// Sets who is asked at every step; `None` for nobody.
    pub fn set_hook(&self, hook: Option<Hook>) {
        self.lock().hook = hook;
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// Makes the store claim this whatever its mark, until it is marked again; `None` for what its mark says.
    pub fn set_claim(&self, claim: Option<Claim>) {
        self.lock().claim = claim;
    }

    pub(super) fn turn(&self) -> Option<u64> {
        let inner = self.lock();
        Some(inner.turn).filter(|_| inner.settings.marks)
    }

    pub fn owner(&self) -> Option<String> {
        self.lock().owner.clone()
    }

    pub fn folders(&self) -> Vec<FolderName> {
        self.lock().rooms.keys().cloned().collect()
    }

    /// Makes a folder, if it is not there.
    pub fn make_folder(&self, folder: &FolderName) {
        self.lock().make_room(folder);
    }

    /// A folder's generation; `None` where there is no such folder.
    pub fn generation(&self, folder: &FolderName) -> Option<u64> {
        self.with_room(folder, |room, _| room.generation)
    }

    /// Removes a folder with all it holds.
    pub fn remove_folder(&self, folder: &FolderName) -> bool {
        self.lock().rooms.remove(folder).is_some()
    }

    /// Renames a folder as another program would; folders inside it are others.
    pub fn rename_folder(&self, from: &FolderName, to: &FolderName) -> bool {
        let mut inner = self.lock();
        if inner.rooms.contains_key(to) {
            return false;
        }
        let room = inner.rooms.remove(from);
        room.map(|room| inner.rooms.insert(to.clone(), room)).is_some()
    }

    /// Gives a folder a generation and leaves its keys: two folders that were made in the same second.
    pub fn set_generation(&self, folder: &FolderName, generation: u64) {
        self.with_room(folder, |room, _| room.generation = generation);
    }

    /// Sets what `list` says of a folder.
    pub fn describe(&self, folder: &FolderName, role: Option<Role>, subscribed: Option<bool>, selectable: bool) {
        let mut inner = self.lock();
        inner.make_room(folder);
        if let Some(room) = inner.rooms.get_mut(folder) {
            (room.role, room.subscribed, room.selectable) = (role, subscribed, selectable);
        }
    }

    /// Makes every later listing of a folder lack what came last and say that it is incomplete, or complete again.
    pub fn cut_short(&self, folder: &FolderName, cut: bool) {
        self.with_room(folder, |room, _| room.cut_short = cut);
    }

    /// Adds a message, in LF or CRLF form, making the folder if need be. Flags that the folder can't hold are left out.
    pub fn put(&self, folder: &FolderName, content: &[u8], flags: &Flags, date: Option<i64>) -> Key {
        let mut inner = self.lock();
        inner.make_room(folder);
        let settings = inner.settings.clone();
        let room = inner.rooms.get_mut(folder).expect("the folder was just made");
        room.add(Message::new(content, date), flags, None, &settings).expect("without a mark the key is free")
    }

    /// Adds a message under a key that nothing else has there, as whoever puts a file back does; whether it did.
    pub fn put_as(&self, folder: &FolderName, key: &Key, content: &[u8], flags: &Flags, date: Option<i64>) -> bool {
        let mark = Mark::Exact(key.clone());
        let add = |room: &mut Room, settings: &MemorySettings| {
            room.add(Message::new(content, date), flags, Some(&mark), settings).is_ok()
        };
        self.with_room(folder, add).unwrap_or(false)
    }

    pub fn delete(&self, folder: &FolderName, key: &Key) -> bool {
        self.with_room(folder, |room, _| room.take(key).is_some()).unwrap_or(false)
    }

    pub fn set_flags(&self, folder: &FolderName, key: &Key, flags: &Flags) -> bool {
        let change = |room: &mut Room, _: &MemorySettings| {
            let delta = room.messages.get(key)?.flags.delta(flags);
            room.change_flags(key, &delta);
            Some(())
        };
        self.with_room(folder, change).flatten().is_some()
    }

    /// Moves a message as another program would; the new key. In a world of names the key stays.
    pub fn move_message(&self, from: &FolderName, key: &Key, into: &FolderName) -> Option<Key> {
        let mut inner = self.lock();
        let settings = inner.settings.clone();
        inner.make_room(into);
        let message = inner.rooms.get_mut(from)?.take(key)?;
        let flags = message.flags.clone();
        let mark = Mark::Exact(key.clone());
        inner.rooms.get_mut(into)?.add(message, &flags, Some(&mark), &settings).ok()
    }

    /// Gives a folder a new generation and its messages new keys, in the opposite order with `shuffle`.
    pub fn new_generation(&self, folder: &FolderName, shuffle: bool) {
        self.with_room(folder, |room, settings| room.renumber(shuffle, settings));
    }

    /// The keys of a folder's messages, ascending; none where there is no such folder.
    pub fn keys(&self, folder: &FolderName) -> Vec<Key> {
        self.with_room(folder, |room, _| room.messages.keys().cloned().collect()).unwrap_or_default()
    }

    /// The key of the first message with this content.
    pub fn find(&self, folder: &FolderName, content: &[u8]) -> Option<Key> {
        let hash = Message::new(content, None).identity.hash;
        let find = |room: &mut Room, _: &MemorySettings| {
            room.messages.iter().find(|(_, message)| message.identity.hash == hash).map(|(key, _)| key.clone())
        };
        self.with_room(folder, find).flatten()
    }

    pub fn flags_of(&self, folder: &FolderName, key: &Key) -> Option<Flags> {
        self.with_room(folder, |room, _| room.messages.get(key).map(|message| message.flags.clone())).flatten()
    }

    /// A message's content as it is stored, in LF form.
    pub fn content_of(&self, folder: &FolderName, key: &Key) -> Option<Vec<u8>> {
        self.with_room(folder, |room, _| room.messages.get(key).map(|message| message.content.to_vec())).flatten()
    }

    /// How many messages of all folders have this content.
    pub fn count_of(&self, content: &[u8]) -> usize {
        let hash = Message::new(content, None).identity.hash;
        let inner = self.lock();
        inner.rooms.values().flat_map(|room| room.messages.values()).filter(|m| m.identity.hash == hash).count()
    }

    /// Every message, by folder and key, ascending.
    pub fn messages(&self) -> Vec<Stored> {
        let inner = self.lock();
        let all = inner.rooms.iter().flat_map(|(name, room)| room.messages.iter().map(move |one| (name, one)));
        all.map(|(name, (key, message))| Stored {
            folder: name.clone(),
            key: key.clone(),
            content: Arc::clone(&message.content),
            flags: message.flags.clone(),
            date: message.date,
        })
        .collect()
    }

    pub fn snapshot(&self) -> Snapshot {
        let view = |room: &Room| {
            let mut seen: Vec<Seen> = room.messages.values().map(Message::seen).collect();
            seen.sort();
            seen
        };
        self.lock().rooms.iter().map(|(name, room)| (name.clone(), view(room))).collect()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A test that panicked in a hook must not hide its own failure behind this one.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_room<T>(&self, folder: &FolderName, f: impl FnOnce(&mut Room, &MemorySettings) -> T) -> Option<T> {
        let mut inner = self.lock();
        let settings = inner.settings.clone();
        inner.rooms.get_mut(folder).map(|room| f(room, &settings))
    }

    pub(super) fn claim_for(&self, owner: &str) -> Claim {
        let inner = self.lock();
        match (&inner.claim, &inner.owner) {
            (Some(claim), _) => claim.clone(),
            _ if !inner.settings.marks => Claim::Ours,
            (None, None) => Claim::Unmarked,
            (None, Some(marked)) if marked == owner => Claim::Ours,
            (None, Some(marked)) => Claim::Foreign(marked.clone()),
        }
    }

    pub(super) fn step<T>(
        &self,
        action: Action,
        folder: Option<FolderName>,
        key: Option<Key>,
        effect: impl FnOnce(&mut Inner) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (hook, mut step) = {
            let mut inner = self.lock();
            let nth = inner.steps;
            inner.steps += 1;
            let of_action = inner.steps_of.entry(action).or_default();
            let nth_of_action = *of_action;
            *of_action += 1;
            (inner.hook.clone(), Step { action, when: When::Before, nth, nth_of_action, folder, key })
        };
        // The hook is asked while nothing is locked, so that it may change the world.
        let ask = |step: &Step| match hook.as_ref().map_or(Fault::None, |hook| hook(step)) {
            Fault::None => Ok(()),
            Fault::Fail(error) => Err(error),
            Fault::Crash => Err(StoreError::stopped()),
        };
        ask(&step)?;
        let done = effect(&mut self.lock())?;
        step.when = When::After;
        ask(&step)?;
        Ok(done)
    }
}

impl Inner {
    pub(super) fn room(&mut self, name: &FolderName, action: &str) -> Result<&mut Room, StoreError> {
        self.rooms.get_mut(name).ok_or_else(|| missing(action, &name.text()))
    }

    pub(super) fn make_room(&mut self, name: &FolderName) {
        if self.rooms.contains_key(name) {
            return;
        }
        self.made += 1;
        let room = Room::new(self.made, name, &self.settings);
        self.rooms.insert(name.clone(), room);
    }
}
