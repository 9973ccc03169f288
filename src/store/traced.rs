//! A store that tells what it is asked to do and what came of it: for troubleshooting. Wraps any other.

use super::{
    Access, Claim, Depth, Drafter, Ear, Folder, FolderInfo, Identified, Known, Listen, Lock, Mark, Opener, Outgoing,
    Receive, Slice, Store, StoreError, StoreFacts,
};
use crate::mail::{Changes, Cursor, FlagDelta, FlagSpace, Flags, FolderName, Key, Noted};
use std::path::PathBuf;
use std::sync::Arc;

/// Takes the lines.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// Opens stores that tell.
pub struct TracedOpener {
    inner: Box<dyn Opener>,
    tell: Tell,
}

impl TracedOpener {
    pub fn new(inner: Box<dyn Opener>, tell: Tell) -> Self {
        TracedOpener { inner, tell }
    }
}

impl Opener for TracedOpener {
    fn lock(&self) -> Result<Option<Lock>, StoreError> {
        self.inner.lock()
    }

    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        let inner = said(&self.tell, || "open".to_owned(), self.inner.open(), |_| String::new())?;
        Ok(Box::new(TracedStore { inner, tell: self.tell.clone() }))
    }

    fn recall(&self, noted: Option<&Noted>) {
        self.inner.recall(noted);
    }

    fn noted(&self) -> Option<Noted> {
        self.inner.noted()
    }

    fn begin(&self) {
        self.inner.begin();
    }

    fn keep(&self, on: bool) {
        self.inner.keep(on);
    }

    fn listen(&self, to: &Listen) -> Result<Option<Box<dyn Ear>>, StoreError> {
        let shown = |ear: &Option<Box<dyn Ear>>| ear.as_ref().map_or("nobody tells".to_owned(), |ear| ear.describe());
        said(&self.tell, || "listen".to_owned(), self.inner.listen(to), shown)
    }

    fn place(&self) -> String {
        self.inner.place()
    }

    fn password_from(&self) -> Option<String> {
        self.inner.password_from()
    }
}

/// Tells an action and what came of it.
fn said<T>(
    tell: &Tell,
    action: impl FnOnce() -> String,
    result: Result<T, StoreError>,
    show: impl FnOnce(&T) -> String,
) -> Result<T, StoreError> {
    let outcome = match &result {
        Ok(value) => show(value),
        Err(error) => format!("failed: {error}"),
    };
    let action = action();
    tell(&if outcome.is_empty() { action } else { format!("{action}: {outcome}") });
    result
}

struct TracedStore {
    inner: Box<dyn Store>,
    tell: Tell,
}

fn shown(wire: &[u8]) -> String {
    String::from_utf8_lossy(wire).escape_debug().to_string()
}

fn listed(list: &[FolderInfo]) -> String {
    let one = |info: &FolderInfo| match &info.problem {
        Some(problem) => format!("{} ({problem})", info.name),
        None => info.name.to_string(),
    };
    format!("{} folders: {}", list.len(), list.iter().map(one).collect::<Vec<_>>().join(", "))
}

impl Store for TracedStore {
    fn facts(&mut self) -> Result<StoreFacts, StoreError> {
        self.inner.facts()
    }

    fn claim(&mut self, owner: &str) -> Result<Claim, StoreError> {
        let result = self.inner.claim(owner);
        said(&self.tell, || "claim".to_owned(), result, |claim| format!("{claim:?}"))
    }

    fn mark(&mut self, owner: &str, turn: u64) -> Result<(), StoreError> {
        let result = self.inner.mark(owner, turn);
        said(&self.tell, || format!("mark as {owner}, turn {turn}"), result, |()| String::new())
    }

    fn advance(&mut self, owner: &str, turn: u64) -> Result<(), StoreError> {
        let result = self.inner.advance(owner, turn);
        said(&self.tell, || format!("mark as {owner}, now turn {turn}"), result, |()| String::new())
    }

    fn turn(&mut self) -> Result<Option<u64>, StoreError> {
        self.inner.turn()
    }

    fn list(&mut self) -> Result<Vec<FolderInfo>, StoreError> {
        let result = self.inner.list();
        said(&self.tell, || "list".to_owned(), result, |list| listed(list))
    }

    fn list_again(&mut self, noted: Option<&Noted>) -> Result<(Vec<FolderInfo>, Option<Noted>), StoreError> {
        let result = self.inner.list_again(noted);
        said(&self.tell, || "list".to_owned(), result, |(list, _)| listed(list))
    }

    fn open(&mut self, wire: &[u8], access: Access, expect: Option<u64>) -> Result<Box<dyn Folder + '_>, StoreError> {
        let name = shown(wire);
        let tell = self.tell.clone();
        let result = self.inner.open(wire, access, expect);
        let inner = said(&tell, || format!("{name}: open for {access:?}"), result, |_| String::new())?;
        Ok(Box::new(TracedFolder { inner, tell, name }))
    }

    fn open_to_look(
        &mut self,
        wire: &[u8],
        access: Access,
        since: Option<&Cursor>,
        seen: Option<&Cursor>,
    ) -> Result<Box<dyn Folder + '_>, StoreError> {
        let name = shown(wire);
        let tell = self.tell.clone();
        let result = self.inner.open_to_look(wire, access, since, seen);
        let inner = said(&tell, || format!("{name}: open for {access:?}"), result, |_| String::new())?;
        Ok(Box::new(TracedFolder { inner, tell, name }))
    }

    fn begin_to_open(&mut self, wire: &[u8], access: Access, look: Option<(Option<&Cursor>, Option<&Cursor>)>) {
        self.inner.begin_to_open(wire, access, look);
    }

    fn another(&mut self) -> Option<Box<dyn Store>> {
        let inner = self.inner.another()?;
        Some(Box::new(TracedStore { inner, tell: self.tell.clone() }))
    }

    fn is_broken(&self) -> bool {
        self.inner.is_broken()
    }

    fn wire_for(&mut self, name: &FolderName) -> Result<Vec<u8>, StoreError> {
        self.inner.wire_for(name)
    }

    fn create(&mut self, name: &FolderName) -> Result<FolderInfo, StoreError> {
        let result = self.inner.create(name);
        said(&self.tell, || format!("make the folder {name}"), result, |info| shown(&info.wire))
    }

    fn create_all(&mut self, names: &[FolderName]) -> Vec<Result<FolderInfo, StoreError>> {
        let made = self.inner.create_all(names).into_iter().zip(names);
        let tell = |(result, name): (Result<FolderInfo, StoreError>, &FolderName)| {
            said(&self.tell, || format!("make the folder {name}"), result, |info| shown(&info.wire))
        };
        made.map(tell).collect()
    }

    fn rename(&mut self, wire: &[u8], to: &FolderName) -> Result<FolderInfo, StoreError> {
        let result = self.inner.rename(wire, to);
        said(&self.tell, || format!("{}: rename to {to}", shown(wire)), result, |info| shown(&info.wire))
    }

    fn delete(&mut self, wire: &[u8]) -> Result<(), StoreError> {
        let result = self.inner.delete(wire);
        said(&self.tell, || format!("{}: delete the folder", shown(wire)), result, |()| String::new())
    }

    fn may_delete(&mut self, wire: &[u8]) -> Result<(), StoreError> {
        self.inner.may_delete(wire)
    }

    fn archives_removed(&mut self) -> Result<bool, StoreError> {
        self.inner.archives_removed()
    }

    fn close(self: Box<Self>) {
        self.inner.close();
    }
}

struct TracedFolder<'a> {
    inner: Box<dyn Folder + 'a>,
    tell: Tell,
    name: String,
}

impl TracedFolder<'_> {
    fn said<T>(
        &self,
        action: impl FnOnce() -> String,
        result: Result<T, StoreError>,
        show: impl FnOnce(&T) -> String,
    ) -> Result<T, StoreError> {
        said(&self.tell, || format!("{}: {}", self.name, action()), result, show)
    }

    /// Tells of each key, and those among them that failed.
    fn said_of_keys<E>(
        &self,
        action: &str,
        keys: &[Key],
        result: Result<Vec<E>, StoreError>,
    ) -> Result<Vec<E>, StoreError> {
        let keys: Vec<String> = keys.iter().map(Key::to_string).collect();
        self.said(
            || format!("{action} {}", keys.join(", ")),
            result,
            |failed| match failed.len() {
                0 => String::new(),
                n => format!("{n} refused"),
            },
        )
    }
}

impl Folder for TracedFolder<'_> {
    fn changes(&mut self, since: Option<&Cursor>, known: &dyn Known) -> Result<Changes, StoreError> {
        let result = self.inner.changes(since, known);
        let from =
            since.map_or("the beginning".to_owned(), |cursor| format!("{} {:?}", cursor.generation, cursor.mark));
        let show = |changes: &Changes| {
            let counts = (changes.appeared.len(), changes.reflagged.len(), changes.vanished.len());
            let odd = match (changes.complete, changes.reset) {
                (true, false) => "",
                (true, true) => ", all under new numbers",
                (false, _) => ", not all of it seen",
            };
            let cursor = &changes.cursor;
            format!(
                "{} appeared, {} reflagged, {} vanished{odd}; now at {} {:?}",
                counts.0, counts.1, counts.2, cursor.generation, cursor.mark
            )
        };
        self.said(|| format!("changes since {from}"), result, show)
    }

    fn count(&mut self) -> Result<Option<u64>, StoreError> {
        let result = self.inner.count();
        said(&self.tell, || format!("{}: count", self.name), result, |count| format!("{count:?}"))
    }

    fn some_new(&mut self, after: Option<&Key>, known: &dyn Known, most: usize) -> Result<Option<Slice>, StoreError> {
        let result = self.inner.some_new(after, known, most);
        let from = after.map_or("the beginning".to_owned(), Key::to_string);
        let show = |slice: &Option<Slice>| match slice {
            None => "not in slices".to_owned(),
            Some(slice) => {
                let end = slice.reached.as_ref().map_or("the end".to_owned(), Key::to_string);
                format!("{} appeared up to {end}", slice.appeared.len())
            }
        };
        self.said(|| format!("some that is new after {from}"), result, show)
    }

    fn disowns(&mut self, cursor: &Cursor) -> bool {
        self.inner.disowns(cursor)
    }

    fn flag_space(&self) -> FlagSpace {
        self.inner.flag_space()
    }

    fn writable(&self) -> bool {
        self.inner.writable()
    }

    fn identify(&mut self, keys: &[Key], depth: Depth) -> Result<Identified, StoreError> {
        let result = self.inner.identify(keys, depth);
        self.said(
            || format!("identify {} by {depth:?}", keys.len()),
            result,
            |found| format!("{} found, {} unreadable", found.known.len(), found.unread.len()),
        )
    }

    fn stored_as(&self, key: &Key, flags: &Flags) -> Option<PathBuf> {
        self.inner.stored_as(key, flags)
    }

    fn files(&mut self, keys: &[Key]) -> Result<Vec<Option<PathBuf>>, StoreError> {
        self.inner.files(keys)
    }

    fn fetch(&mut self, keys: &[Key], to: &mut dyn Receive) -> Result<(), StoreError> {
        let result = self.inner.fetch(keys, to);
        self.said(|| format!("fetch {}", keys.len()), result, |()| String::new())
    }

    fn drafter(&self) -> Box<dyn Drafter> {
        self.inner.drafter()
    }

    fn reserve(&mut self, count: usize) -> Result<Vec<Mark>, StoreError> {
        self.inner.reserve(count)
    }

    fn append(&mut self, batch: Vec<Outgoing>) -> Result<Vec<Result<Option<Key>, StoreError>>, StoreError> {
        let count = batch.len();
        let result = self.inner.append(batch);
        self.said(|| format!("store {count}"), result, |placed| places(placed))
    }

    fn expect(&mut self, keys: &[Key]) {
        self.inner.expect(keys);
    }

    fn foresee(&mut self, keys: &[Key]) {
        self.inner.foresee(keys);
    }

    fn want_new(&mut self) {
        self.inner.want_new();
    }

    fn set_flags(&mut self, changes: &[(Key, FlagDelta)]) -> Result<Vec<(Key, StoreError)>, StoreError> {
        let result = self.inner.set_flags(changes);
        let keys: Vec<Key> = changes.iter().map(|(key, _)| key.clone()).collect();
        self.said_of_keys("change flags of", &keys, result)
    }

    fn remove(&mut self, keys: &[Key]) -> Result<Vec<(Key, StoreError)>, StoreError> {
        let result = self.inner.remove(keys);
        self.said_of_keys("remove", keys, result)
    }

    fn move_to(
        &mut self,
        keys: &[Key],
        into: &[u8],
        marks: &[Mark],
    ) -> Result<Vec<Result<Option<Key>, StoreError>>, StoreError> {
        let result = self.inner.move_to(keys, into, marks);
        self.said(|| format!("move {} to {}", keys.len(), shown(into)), result, |placed| places(placed))
    }
}

fn places(placed: &[Result<Option<Key>, StoreError>]) -> String {
    let one = |place: &Result<Option<Key>, StoreError>| match place {
        Ok(Some(key)) => key.to_string(),
        Ok(None) => "somewhere".to_owned(),
        Err(error) => format!("refused ({error})"),
    };
    placed.iter().map(one).collect::<Vec<_>>().join(", ")
}
