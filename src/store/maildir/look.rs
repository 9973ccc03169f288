//! What changed in a folder, and the proof that something vanished from it.
//!
//! A folder is first compared with what is known of it by sums over parts of the names, which takes no memory and no look
//! at what is known. Only the parts that differ are then compared message by message.

use super::filename::parse;
use super::keywords::Keywords;
use super::scan::{Entry, Index, Names, Wanted, among, plain_part, read};
use super::stamps::{Now, Stamps};
use crate::mail::{Appeared, Changes, Cursor, Flags, Key};
use crate::store::{Known, Slice, StoreError, Tally};
use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// How often a folder is read again while others keep changing it.
const ROUNDS: usize = 8;
const PAUSE: Duration = Duration::from_millis(40);

/// So many messages are looked up one by one sooner than all that is known is read: one in this many of those there are.
const LOOKUPS: u64 = 10;

/// Compares a folder with what is known of it. The index is `None` where the cursor proves that nothing changed.
///
/// A message has vanished only when two readings lack it, during which the directories kept their stamps; if they never
/// stand still, the answer is not complete and nothing vanished.
pub(super) fn look(
    dir: &Path,
    keywords: &Keywords,
    since: Option<&Cursor>,
    known: &dyn Known,
) -> Result<(Changes, Option<Index>), StoreError> {
    let mut stamps = Stamps::take(dir)?;
    let mut now = Now::on(dir);
    let cursor = stamps.cursor(&now);
    if since.is_some_and(|since| since.proves_unchanged(&cursor)) {
        return Ok((Changes::none(cursor), None));
    }
    let mut changes = Changes::none(cursor);
    let mut round = 0;
    let (mut sight, settled) = loop {
        let sight = Sighted::of(dir, keywords, known)?;
        if sight.missing.is_empty() {
            break (sight, true);
        }
        if stamps.settled(&now) && Stamps::take(dir)? == stamps {
            break (sight, true);
        }
        round += 1;
        if round == ROUNDS {
            break (sight, false);
        }
        std::thread::sleep(PAUSE);
        now = Now::on(dir);
        stamps = Stamps::take(dir)?;
        changes.cursor = stamps.cursor(&now);
    };
    changes.vanished = std::mem::take(&mut sight.missing);
    if !settled {
        changes.complete = false;
        changes.cursor.conclusive = false;
        changes.notes.push("the folder kept changing while it was read; what is missing waits".to_owned());
        changes.vanished.clear();
    }
    let Sighted { index, all, .. } = &mut sight;
    let messages = messages(index);
    changes.count = Some(index.others + messages.len() as u64);
    for (key, entry) in messages {
        let flags = entry.flags(keywords);
        match all.binary_search_by(|(known, _)| known.cmp(key)) {
            Ok(at) if all[at].1 == flags => {}
            Ok(_) => changes.reflagged.push((key.clone(), flags)),
            Err(_) => changes.appeared.push(appeared(dir, key, entry, flags)),
        }
    }
    changes.notes.append(&mut sight.index.sight.notes);
    Ok((changes, Some(sight.index)))
}

/// The messages of an index, keys ascending.
fn messages(index: &Index) -> Vec<(&Key, &Entry)> {
    let mut messages: Vec<(&Key, &Entry)> = index.entries.iter().filter(|(_, entry)| entry.plain).collect();
    messages.sort_by(|a, b| a.0.cmp(b.0));
    messages
}

fn appeared(dir: &Path, key: &Key, entry: &Entry, flags: Flags) -> Appeared {
    let size = fs::symlink_metadata(entry.path(dir)).ok().map(|meta| meta.len());
    Appeared { key: key.clone(), flags, size }
}

/// Looks at some of the messages with names above `after`: the first `most` names, of those that are not known.
pub(super) fn some_new(
    dir: &Path,
    keywords: &Keywords,
    after: Option<&Key>,
    known: &dyn Known,
    most: usize,
) -> Result<(Slice, Index), StoreError> {
    let cursor = Stamps::take(dir)?.cursor(&Now::on(dir));
    let after = after.and_then(Key::name).unwrap_or_default();
    let mut first: BTreeSet<Vec<u8>> = BTreeSet::new();
    let mut names = Names::default();
    let sight = read(dir, |sub, file, inode, plain| {
        names.push(sub, file, inode, plain);
        let unique = parse(file).unique;
        if unique > after && (first.len() < most || first.last().is_some_and(|last| unique < &last[..])) {
            first.insert(unique.to_vec());
            if first.len() > most {
                first.pop_last();
            }
        }
    })?;
    let index = Index::of_names(dir, &names, sight, &|name| first.contains(name))?;
    let reached = first.last().filter(|_| first.len() == most).map(|last| Key::Name(last.as_slice().into()));
    let mut slice = Slice { appeared: Vec::new(), cursor, reached };
    for (key, entry) in messages(&index) {
        if known.get(key)?.is_none() {
            slice.appeared.push(appeared(dir, key, entry, entry.flags(keywords)));
        }
    }
    Ok((slice, index))
}

/// How many messages there are: a file that is there twice counts twice.
pub(super) fn count(dir: &Path) -> Result<u64, StoreError> {
    Ok(read(dir, |_, _, _, _| {})?.files)
}

/// What two readings showed of the parts that are not as they are known.
struct Sighted {
    /// The messages in those parts.
    index: Index,
    /// What is known of those parts, keys ascending.
    all: Vec<(Key, Flags)>,
    /// Those of it that neither reading found.
    missing: Vec<Key>,
}

impl Sighted {
    fn of(dir: &Path, keywords: &Keywords, known: &dyn Known) -> Result<Sighted, StoreError> {
        let Some(mut tally) = known.tally()? else {
            return Sighted::whole(dir, known);
        };
        let mut names = Names::default();
        let sight = read(dir, |sub, file, inode, plain| {
            names.push(sub, file, inode, plain);
            if plain {
                let parsed = parse(file);
                tally.take(parsed.unique, &parsed.flags(keywords));
            }
        })?;
        let parts = tally.remaining();
        if !parts.contains(&true) {
            return Ok(Sighted { index: Index::of_others(sight), all: Vec::new(), missing: Vec::new() });
        }
        let index = Index::of_names(dir, &names, sight, &|name| parts[tally.part(name)])?;
        drop(names);
        let mut all = known_of(&index, &parts, tally.as_mut(), keywords, known)?;
        let beside = beside(&all);
        for key in &beside {
            all.extend(known.get(key)?.map(|flags| (key.clone(), flags)));
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        let mut sighted = Sighted { index, all, missing: Vec::new() };
        if beside.is_empty() {
            sighted.compare();
        }
        if !(beside.is_empty() && sighted.missing.is_empty()) {
            let too = among(&beside.iter().collect::<Vec<_>>());
            sighted.index = Index::scan(dir, Wanted::These(&|name| parts[tally.part(name)] || too(name)))?;
            sighted.compare();
        }
        Ok(sighted)
    }

    /// Where nothing is added up, all of it is compared, in two readings where something is missing.
    fn whole(dir: &Path, known: &dyn Known) -> Result<Sighted, StoreError> {
        let mut all = Vec::new();
        known.each(&mut |key, flags| all.push((key, flags)))?;
        let mut sighted = Sighted { index: Index::scan(dir, Wanted::All)?, all, missing: Vec::new() };
        sighted.compare();
        if !sighted.missing.is_empty() {
            sighted.index = Index::scan(dir, Wanted::All)?;
            sighted.compare();
        }
        Ok(sighted)
    }

    fn compare(&mut self) {
        let Sighted { index, all, missing } = self;
        let lacking =
            all.iter().map(|(key, _)| key).filter(|key| !index.entries.contains_key(*key) && !index.rekey(key));
        *missing = lacking.cloned().collect();
        // A message that was found under another key is no longer there under that one.
        missing.extend(all.iter().map(|(key, _)| key).filter(|key| !index.entries.contains_key(*key)).cloned());
        missing.sort();
        missing.dedup();
    }
}

/// Of two messages of one name, the second has a key that is no file's name: the first of each is looked at with it.
fn beside(all: &[(Key, Flags)]) -> Vec<Key> {
    let first = |key: &Key| {
        let name = key.name()?;
        let plain = plain_part(name);
        (plain.len() < name.len()).then(|| Key::Name(plain.into()))
    };
    let there: HashSet<&Key> = all.iter().map(|(key, _)| key).collect();
    let firsts: HashSet<Key> = there.iter().filter_map(|key| first(key)).filter(|key| !there.contains(key)).collect();
    firsts.into_iter().collect()
}

/// What is known of the parts that are off.
fn known_of(
    index: &Index,
    parts: &[bool],
    tally: &mut dyn Tally,
    keywords: &Keywords,
    known: &dyn Known,
) -> Result<Vec<(Key, Flags)>, StoreError> {
    let mut all = Vec::new();
    let found = index.entries.len() as u64;
    if found * LOOKUPS <= found + index.others {
        // What is there is added again, and what is known of it taken away: then what remains is known and not there.
        for (key, entry) in &index.entries {
            for file in entry.files().filter(|_| entry.plain) {
                tally.add(parse(file).unique, &parse(file).flags(keywords));
            }
            if let Some(flags) = known.get(key)? {
                tally.take(key.name().unwrap_or_default(), &flags);
                all.push((key.clone(), flags));
            }
        }
        if !tally.remaining().iter().zip(parts).any(|(remains, off)| *remains && *off) {
            return Ok(all);
        }
        all.clear();
    }
    known.each(&mut |key, flags| {
        if key.name().is_some_and(|name| parts[tally.part(name)]) {
            all.push((key, flags));
        }
    })?;
    Ok(all)
}
