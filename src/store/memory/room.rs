//! One folder of a world, and its messages.

use super::world::{Keys, MemorySettings, Seen};
use crate::mail::{Cursor, Flag, FlagDelta, FlagSpace, Flags, FolderName, Identity, Key, Role};
use crate::store::draft::Meter;
use crate::store::{FolderInfo, Kind, Known, Mark, Reach, StoreError};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A folder.
#[derive(Clone)]
pub(super) struct Room {
    id: u64,
    pub(super) generation: u64,
    /// The next UID, or the number in the next name.
    next: u32,
    modseq: u64,
    pub(super) messages: BTreeMap<Key, Message>,
    /// What was removed, and at which modification.
    gone: Vec<(Key, u64)>,
    pub(super) space: FlagSpace,
    pub(super) role: Option<Role>,
    pub(super) subscribed: Option<bool>,
    pub(super) selectable: bool,
    pub(super) cut_short: bool,
}

impl Room {
    /// An empty folder; `id` is its own within the world.
    pub(super) fn new(id: u64, name: &FolderName, settings: &MemorySettings) -> Room {
        let uids = settings.keys == Keys::Uids;
        Room {
            id,
            generation: if uids { 1000 * id } else { 0 },
            next: 1,
            modseq: 1,
            messages: BTreeMap::new(),
            gone: Vec::new(),
            space: settings.space.clone(),
            role: name.is_inbox().then_some(Role::Inbox),
            subscribed: uids.then_some(true),
            selectable: true,
            cut_short: false,
        }
    }

    /// Gives the folder a new generation, where its store has any, and its messages new keys.
    pub(super) fn renumber(&mut self, shuffle: bool, settings: &MemorySettings) {
        if settings.keys == Keys::Uids {
            (self.generation, self.next) = (self.generation + 1, 1);
        }
        self.gone.clear();
        let mut messages: Vec<Message> = std::mem::take(&mut self.messages).into_values().collect();
        if shuffle {
            messages.reverse();
        }
        for message in messages {
            let flags = message.flags.clone();
            self.add(message, &flags, None, settings).expect("without a mark the key is free");
        }
    }

    pub(super) fn info(&self, name: &FolderName, settings: &MemorySettings) -> FolderInfo {
        let cheap = settings.list_cursors && self.selectable;
        let unseen = self.messages.values().filter(|m| !m.flags.contains(&Flag::Seen)).count() as u64;
        FolderInfo {
            name: name.clone(),
            wire: name.text().into_bytes(),
            selectable: self.selectable,
            subscribed: self.subscribed,
            role: self.role,
            object: settings.objects.then(|| format!("F{}", self.id)),
            cursor: cheap.then(|| self.cursor(settings)),
            messages: cheap.then_some(self.messages.len() as u64),
            unseen: cheap.then_some(unseen),
            problem: None,
        }
    }

    pub(super) fn cursor(&self, settings: &MemorySettings) -> Cursor {
        let modseq = if settings.condstore { self.modseq } else { 0 };
        let mark = format!("{} {} {}", self.next, self.messages.len(), modseq);
        Cursor { generation: self.generation, mark, conclusive: settings.condstore && !self.cut_short }
    }

    /// Whether a cursor can't be one of this folder's.
    pub(super) fn disowns(&self, cursor: &Cursor) -> bool {
        let numbers: Option<Vec<u64>> = cursor.mark.split(' ').map(|number| number.parse().ok()).collect();
        match numbers.as_deref() {
            Some([next, _, modseq]) => *next > u64::from(self.next) || *modseq > self.modseq,
            _ => true,
        }
    }

    /// Known keys that are gone: those removed after a modification, or all of them where that is 0.
    pub(super) fn vanished(&self, after: u64, known: &dyn Known) -> Result<Vec<Key>, StoreError> {
        let mut vanished = Vec::new();
        if after == 0 {
            known.each(&mut |key, _| vanished.push(key))?;
        } else {
            for (key, _) in self.gone.iter().filter(|(_, modseq)| *modseq > after) {
                if known.get(key)?.is_some() {
                    vanished.push(key.clone());
                }
            }
        }
        vanished.retain(|key| !self.messages.contains_key(key));
        vanished.sort();
        vanished.dedup();
        Ok(vanished)
    }

    pub(super) fn reserve(&mut self, settings: &MemorySettings) -> Mark {
        match settings.keys {
            Keys::Uids => Mark::NotBelow(Key::Uid(self.next)),
            Keys::Names => Mark::Exact(self.fresh(settings)),
        }
    }

    fn fresh(&mut self, settings: &MemorySettings) -> Key {
        let number = self.next;
        self.next += 1;
        match settings.keys {
            Keys::Uids => Key::Uid(number),
            Keys::Names => Key::Name(format!("{number:06}.R{}.memory", self.id).into_bytes().into()),
        }
    }

    /// Adds a message under the mark's key, where names are chosen by the caller, else under one of its own.
    pub(super) fn add(
        &mut self,
        mut message: Message,
        flags: &Flags,
        mark: Option<&Mark>,
        settings: &MemorySettings,
    ) -> Result<Key, StoreError> {
        let key = match mark {
            Some(Mark::Exact(key @ Key::Name(_))) if settings.keys == Keys::Names => key.clone(),
            _ => self.fresh(settings),
        };
        if self.messages.contains_key(&key) {
            return Err(refused("append", "there is a message of that name").reaching(Reach::Message));
        }
        self.modseq += 1;
        message.modseq = self.modseq;
        message.flags = self.admit(flags);
        self.messages.insert(key.clone(), message);
        Ok(key)
    }

    pub(super) fn take(&mut self, key: &Key) -> Option<Message> {
        let message = self.messages.remove(key)?;
        self.modseq += 1;
        self.gone.push((key.clone(), self.modseq));
        Some(message)
    }

    pub(super) fn change_flags(&mut self, key: &Key, delta: &FlagDelta) {
        let add = self.admit(&delta.add);
        let delta = FlagDelta { add, remove: delta.remove.within(&self.space) };
        if let Some(message) = self.messages.get_mut(key) {
            let flags = message.flags.with(&delta);
            if flags != message.flags {
                self.modseq += 1;
                (message.flags, message.modseq) = (flags, self.modseq);
            }
        }
    }

    /// The flags among these that can be held; new keywords take the places that are left.
    fn admit(&mut self, flags: &Flags) -> Flags {
        let mut admitted = Flags::new();
        for flag in flags.iter().filter(|flag| self.space.holds(flag)).collect::<Vec<_>>() {
            if !self.space.holds(&flag) {
                continue;
            }
            if !self.space.fixed.contains(&flag) && self.space.more != usize::MAX {
                self.space.more -= 1;
                self.space.fixed.insert(flag.clone());
            }
            admitted.insert(flag);
        }
        admitted
    }
}

/// A message.
#[derive(Clone)]
pub(super) struct Message {
    pub(super) content: Arc<[u8]>,
    pub(super) flags: Flags,
    pub(super) date: Option<i64>,
    pub(super) identity: Identity,
    pub(super) modseq: u64,
}

impl Message {
    /// A message without flags; CRLF becomes LF.
    pub(super) fn new(content: &[u8], date: Option<i64>) -> Message {
        let mut lf = Vec::with_capacity(content.len());
        for (at, byte) in content.iter().enumerate() {
            if !(*byte == b'\r' && content.get(at + 1) == Some(&b'\n')) {
                lf.push(*byte);
            }
        }
        let mut meter = Meter::default();
        meter.update(&lf);
        let mut identity = meter.identity();
        identity.email_id = identity.hash.as_ref().map(|hash| hex(&hash[..8]));
        Message { content: lf.into(), flags: Flags::new(), date, identity, modseq: 0 }
    }

    pub(super) fn seen(&self) -> Seen {
        let start = String::from_utf8_lossy(&self.content[..self.content.len().min(32)]).into_owned();
        let hash = self.identity.hash.unwrap_or_default();
        Seen {
            content: format!("{} {}", hex(&hash[..8]), start.escape_debug()),
            flags: self.flags.to_string(),
            date: self.date,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The modification number in a cursor; 0 where there is none.
pub(super) fn modseq_of(cursor: &Cursor) -> u64 {
    cursor.mark.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

pub(super) fn missing(action: &str, what: &str) -> StoreError {
    StoreError::new(Reach::Folder, Kind::Missing, action, format!("{what} is not there"))
}

pub(super) fn refused(action: &str, cause: &str) -> StoreError {
    StoreError::new(Reach::Folder, Kind::Refused, action, cause)
}
