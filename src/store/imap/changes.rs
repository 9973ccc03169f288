//! What changed in a mailbox: by QRESYNC, by CONDSTORE, or by a full listing.
//!
//! The quick forms are believed only where the numbers add up: messages known before, less those that are gone, plus
//! those that are new, must be as many as the server counts (EXISTS). Else everything is listed, and a listing that
//! does not add up is called incomplete. A message counts as gone only after it was asked for again, by its UID.

use super::ahead::{self, Arrived, Gathering};
use super::conn::during;
use super::download::{self, Along, email_id_item, email_id_of, existing, existing_commands, flags_of};
use super::error::ImapError;
use super::facade::Bodies;
use super::folder::ImapFolder;
use super::headers::{Headers, header_commands};
use super::question::{Answer, Asked, Question};
use super::select::Mark;
use super::token::{Body, Fetch, Response, UidSet};
use super::wire::{Command, SET_MAX, Take};
use crate::mail::{Appeared, Changes, Cursor, Flags, Key};
use crate::store::{KNOWN_PAGE, Known, NothingKnown, Slice, StoreError};
use std::collections::{BTreeMap, HashSet, VecDeque};

/// Some providers show only this many messages of a folder, the newest.
const WINDOW: u64 = 10_000;

/// With fewer new messages, sizes would cost more time than they save: they only make downloads even.
const SIZES_WORTH_A_QUESTION: usize = 200;

/// So many new messages are asked for what tells them apart, before anybody wants to know.
const HEADERS_AHEAD: usize = 1000;

/// How many UIDs are listed at a time, of those that messages have: where they have few of them, ranges grow by this.
const SPARSE: u32 = 4;

/// Lists some of what is new above the UID `after`, by ranges of UIDs.
pub fn some_new(
    folder: &mut ImapFolder<'_>,
    after: u32,
    known: &dyn Known,
    most: usize,
) -> Result<Option<Slice>, StoreError> {
    let selected = &folder.selected;
    let (Some(_), Some(next)) = (selected.validity, selected.uidnext.filter(|next| *next > 0)) else {
        return Ok(None);
    };
    let cursor = selected.cursor();
    let mut comparison = Comparison { last: Some(Key::Uid(after)), ..Comparison::new(known) };
    let mut step = u32::try_from(most).unwrap_or(u32::MAX).max(1);
    let mut reached = after;
    while comparison.appeared.len() < most && reached < next - 1 {
        let (first, last) = (reached + 1, reached.saturating_add(step).min(next - 1));
        let command = Command::new("UID FETCH").text(format!(" {first}:{last} (UID FLAGS RFC822.SIZE)"));
        let mut lines: u32 = 0;
        let result = folder.conn.run_ok(&command, &mut |response| {
            if let Response::Fetch(Fetch { uid: Some(uid), flags: Some(names), size, .. }) = response
                && (first..=last).contains(&uid)
            {
                lines += 1;
                comparison.take(uid, flags_of(&names), size);
            }
        });
        result.map_err(during("list"))?;
        if lines < step / SPARSE {
            step = step.saturating_mul(SPARSE);
        }
        reached = last;
    }
    let appeared = comparison.appeared()?;
    remember_sizes(folder, &appeared);
    Ok(Some(Slice { appeared, cursor, reached: (reached < next - 1).then_some(Key::Uid(reached)) }))
}

/// Says what changed since `since`, compared with what is known.
pub fn look(folder: &mut ImapFolder<'_>, since: Option<&Cursor>, known: &dyn Known) -> Result<Changes, StoreError> {
    let cursor = folder.selected.cursor();
    let stable = folder.selected.validity.is_some();
    if let Some(since) = since
        && (since.generation != cursor.generation || (stable && went_back(folder, since)))
    {
        let mut changes = listing(folder, &NothingKnown)?;
        changes.reset = true;
        return Ok(changes);
    }
    if stable && let Some(changes) = quick(folder, since, known)? {
        return Ok(changes);
    }
    let mut changes = listing(folder, known)?;
    if !stable {
        changes.complete = false;
        changes.vanished.clear();
        changes.notes.push("the server gives no UIDVALIDITY: deletions there can't be told for sure".to_owned());
    }
    Ok(changes)
}

/// Whether UIDs may have been given a second time: UIDNEXT never sinks (RFC 3501 section 2.3.1.1), unless the server's
/// files were put back from a backup, or this is another mailbox with the same UIDVALIDITY.
fn went_back(folder: &ImapFolder<'_>, since: &Cursor) -> bool {
    let next = folder.selected.uidnext.filter(|next| *next > 0);
    Mark::parse(&since.mark).is_some_and(|mark| next.is_some_and(|next| mark.uidnext > next))
}

/// What a FETCH of flags brought.
#[derive(Default)]
struct Seen {
    appeared: Vec<Appeared>,
    reflagged: Vec<(Key, Flags)>,
    /// Whatever was not FETCH: sets of UIDs that are said to be gone.
    vanished: Vec<UidSet>,
}

/// The changes since a modification sequence; `None` where they can't be had so, or do not add up.
fn quick(
    folder: &mut ImapFolder<'_>,
    since: Option<&Cursor>,
    known: &dyn Known,
) -> Result<Option<Changes>, StoreError> {
    let before = since.and_then(|since| Mark::parse(&since.mark));
    let (Some(before), now) = (before, folder.selected.modseq) else { return Ok(None) };
    if before.modseq == 0 || now == 0 || now < before.modseq {
        return Ok(None);
    }
    let count = known.count()?;
    let cursor = folder.selected.cursor();
    if since.is_some_and(|since| since.proves_unchanged(&cursor)) && count == u64::from(folder.conn.exists()) {
        return Ok(Some(Changes { count: Some(count), ..Changes::none(cursor) }));
    }
    let Some(seen) = changed_since(folder, before.modseq, known)? else { return Ok(None) };
    let exists = u64::from(folder.conn.exists());
    let mut vanished = gone_among(&seen.vanished, known)?;
    let expected = count + seen.appeared.len() as u64;
    if expected.checked_sub(vanished.len()) != Some(exists) {
        if expected < exists {
            return Ok(None);
        }
        // The server does not say which (CONDSTORE alone), or says it wrongly.
        match missing(folder, known, &seen.appeared)? {
            Some(missing) => vanished = missing,
            None => return Ok(None),
        }
    }
    // What a window no longer shows looks gone in every other way: only a listing tells.
    if exists == WINDOW && !vanished.is_empty() {
        return Ok(None);
    }
    if !vanished.is_empty() && !are_gone(folder, &vanished, &seen.appeared)? {
        return Ok(None);
    }
    let mut changes = Changes::none(cursor);
    changes.appeared = with_sizes(folder, seen.appeared)?;
    changes.reflagged = seen.reflagged;
    changes.vanished = vanished.iter().map(Key::Uid).collect();
    changes.count = Some(exists);
    Ok(Some(changes))
}

/// Asks again for messages that are said to be gone. In the same flight for what tells the new ones apart, for they may be
/// the same under new numbers, and for the new ones themselves, where they are few and small and will be fetched.
fn are_gone(folder: &mut ImapFolder<'_>, vanished: &UidSet, appeared: &[Appeared]) -> Result<bool, StoreError> {
    let new: Vec<u32> = appeared.iter().filter_map(|new| new.key.uid()).collect();
    let size = |uid: &u32| folder.headers.answered(*uid)?.size.filter(|size| *size > 0);
    let few = folder.wants_new && (1..=ahead::FEW).contains(&new.len());
    let sizes: Option<Vec<u64>> = few.then(|| new.iter().map(size).collect()).flatten();
    let bytes = sizes.map(|sizes| sizes.into_iter().fold(0, u64::saturating_add));
    let room = bytes.and_then(|bytes| folder.ahead.take_room(bytes));
    let asked: UidSet = new.iter().take(HEADERS_AHEAD).copied().collect();
    let unasked: UidSet = asked.iter().filter(|uid| folder.headers.answered(*uid).is_none()).collect();
    let again = existing_commands(vanished);
    let mut commands = again.clone();
    commands.extend(header_commands(folder.conn, &unasked));
    commands.extend(room.is_some().then(|| download::command(&new, email_id_item(folder.conn))));
    let more = commands.len() > again.len();
    let mut answers = Answers {
        vanished,
        gone: true,
        asked,
        headers: &mut folder.headers,
        bodies: room.unwrap_or_else(Gathering::nothing),
        arrived: BTreeMap::new(),
    };
    let ended = folder.conn.run_all_with(&commands, &mut answers).map_err(during("list"));
    let Answers { gone, arrived, .. } = answers;
    let ended = folder.ahead.unless_broken(more, ended)?;
    for status in ended.into_iter().take(again.len()) {
        ImapError::check("UID FETCH", status).map_err(during("list"))?;
    }
    if !arrived.is_empty() {
        folder.ahead.keep(folder.known_by(), arrived);
    }
    Ok(gone)
}

/// What comes in answer to [`are_gone`].
struct Answers<'a> {
    vanished: &'a UidSet,
    gone: bool,
    /// The new messages about which anything was asked.
    asked: UidSet,
    headers: &'a mut Headers,
    bodies: Gathering,
    arrived: BTreeMap<u32, Arrived>,
}

impl Take for Answers<'_> {
    fn bodies(&mut self) -> &mut dyn Bodies {
        &mut self.bodies
    }

    fn take(&mut self, response: Response) {
        let body = self.bodies.take();
        let Response::Fetch(fetch) = &response else { return };
        let Some(uid) = fetch.uid else { return };
        self.gone &= !self.vanished.contains(uid);
        if !self.asked.contains(uid) {
            return;
        }
        // What comes in pieces is fetched when it is wanted.
        if let (Some(Body::Streamed(size)), Some(body), Some(names), Some(_)) =
            (&fetch.body, body, &fetch.flags, fetch.date)
            && *size == body.len() as u64
        {
            let along = Along { flags: Some(flags_of(names)), date: fetch.date, email_id: email_id_of(fetch) };
            self.arrived.insert(uid, Arrived { body, along });
        }
        self.headers.take(&response);
    }
}

/// Flags of all that changed after `modseq`, and, with QRESYNC, what is gone since. `None` where the server refuses.
fn changed_since(folder: &mut ImapFolder<'_>, modseq: u64, known: &dyn Known) -> Result<Option<Seen>, StoreError> {
    let mut seen = Seen::default();
    let question = Question::Since { modseq, vanished: folder.conn.setup().qresync };
    let answer = match folder.asked.take() {
        Some(asked) if asked.question == question => asked.answer,
        _ => {
            let mut answer = Answer::default();
            match folder.conn.run_ok(&question.command(), &mut |response| answer.take(response)) {
                Ok(_) => answer,
                Err(ImapError::Refused { .. }) => return Ok(None),
                Err(error) => return Err(during("list")(error)),
            }
        }
    };
    let Answer { mut listed, vanished } = answer;
    seen.vanished = vanished;
    // Stable, so that the last of several lines for one message counts.
    listed.sort_by_key(|(uid, ..)| *uid);
    listed.reverse();
    listed.dedup_by_key(|(uid, ..)| *uid);
    listed.reverse();
    for page in listed.chunks(KNOWN_PAGE) {
        let keys: Vec<Key> = page.iter().map(|(uid, ..)| Key::Uid(*uid)).collect();
        let known = known.get_all(&keys)?;
        for ((key, (_, flags, _)), old) in keys.into_iter().zip(page).zip(known) {
            match old {
                None => seen.appeared.push(Appeared { key, flags: flags.clone(), size: None }),
                Some(old) if old == *flags => {}
                Some(_) => seen.reflagged.push((key, flags.clone())),
            }
        }
    }
    Ok(Some(seen))
}

/// Those known messages that are in one of the sets.
fn gone_among(sets: &[UidSet], known: &dyn Known) -> Result<UidSet, StoreError> {
    let named: u64 = sets.iter().map(UidSet::len).sum();
    let mut gone = Vec::new();
    if named <= known.count()? {
        let mut uids = sets.iter().flatten();
        loop {
            let page: Vec<Key> = uids.by_ref().take(KNOWN_PAGE).map(Key::Uid).collect();
            if page.is_empty() {
                break;
            }
            let known = page.iter().zip(known.get_all(&page)?).filter(|(_, flags)| flags.is_some());
            gone.extend(known.filter_map(|(key, _)| key.uid()));
        }
    } else {
        known.each(&mut |key, _| gone.extend(key.uid().filter(|uid| sets.iter().any(|set| set.contains(*uid)))))?;
    }
    Ok(gone.into_iter().collect())
}

/// The known messages that a listing of UIDs lacks. `None` where the listing is not as long as it should be.
fn missing(
    folder: &mut ImapFolder<'_>,
    known: &dyn Known,
    appeared: &[Appeared],
) -> Result<Option<UidSet>, StoreError> {
    let Some(listed) = all_uids(folder)? else { return Ok(None) };
    if listed.len() != u64::from(folder.conn.exists()) {
        return Ok(None);
    }
    let (mut all, mut gone) = (0, Vec::new());
    known.each(&mut |key, _| {
        all += 1;
        gone.extend(key.uid().filter(|uid| !listed.contains(*uid)));
    })?;
    let gone: UidSet = gone.into_iter().collect();
    let adds_up = all + appeared.len() as u64 == listed.len() + gone.len();
    Ok(adds_up.then_some(gone))
}

/// Every UID in the mailbox; `None` where the server refuses to say.
fn all_uids(folder: &mut ImapFolder<'_>) -> Result<Option<UidSet>, StoreError> {
    let text = if folder.conn.caps().has("ESEARCH") { " RETURN (ALL) ALL" } else { " ALL" };
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    let result = folder.conn.run_ok(&Command::new("UID SEARCH").text(text), &mut |response| match response {
        Response::Search { numbers, .. } => ranges.extend(numbers.into_iter().map(|uid| (uid, uid))),
        Response::Esearch(found) => ranges.extend(found.all.iter().flat_map(|set| set.ranges().to_vec())),
        _ => {}
    });
    match result {
        Ok(_) => Ok(Some(UidSet::from_ranges(ranges))),
        Err(ImapError::Refused { .. }) => Ok(None),
        Err(error) => Err(during("list")(error)),
    }
}

/// Compares what is listed with what is known, line by line. Servers list by UID, ascending, and so does the state, of
/// which only some rows are held at a time.
struct Comparison<'a> {
    known: &'a dyn Known,
    /// Known messages that come next, and the last one that was read.
    next: VecDeque<(Key, Flags)>,
    last: Option<Key>,
    read: bool,
    appeared: Vec<Appeared>,
    reflagged: Vec<(Key, Flags)>,
    /// Known messages that were passed over.
    missing: Vec<u32>,
    listed: UidSet,
    /// Lines that did not come in order: messages that were listed before, or that should have been.
    late: Vec<(u32, Flags, Option<u64>)>,
    failure: Option<StoreError>,
}

impl<'a> Comparison<'a> {
    fn new(known: &'a dyn Known) -> Self {
        Comparison {
            known,
            next: VecDeque::new(),
            last: None,
            read: false,
            appeared: Vec::new(),
            reflagged: Vec::new(),
            missing: Vec::new(),
            listed: UidSet::default(),
            late: Vec::new(),
            failure: None,
        }
    }

    /// The flags of the known message `uid`, where that is the next one; the ones before it are missing.
    fn pass_to(&mut self, uid: u32) -> Result<Option<Flags>, StoreError> {
        loop {
            if self.next.is_empty() && !self.read {
                self.next = self.known.after(self.last.as_ref(), KNOWN_PAGE)?.into();
                self.read = self.next.is_empty();
                self.last = self.next.back().map(|(key, _)| key.clone());
            }
            match self.next.front().and_then(|(key, _)| key.uid()) {
                Some(other) if other < uid => {
                    self.missing.push(other);
                    self.next.pop_front();
                }
                Some(other) if other == uid => return Ok(self.next.pop_front().map(|(_, flags)| flags)),
                _ => return Ok(None),
            }
        }
    }

    fn take(&mut self, uid: u32, flags: Flags, size: Option<u64>) {
        if self.listed.ranges().last().is_some_and(|(_, last)| uid <= *last) {
            return self.late.push((uid, flags, size));
        }
        self.listed.insert(uid);
        let key = Key::Uid(uid);
        match self.pass_to(uid) {
            Ok(Some(old)) if old == flags => {}
            Ok(Some(_)) => self.reflagged.push((key, flags)),
            Ok(None) => self.appeared.push(Appeared { key, flags, size }),
            Err(error) => self.failure = self.failure.take().or(Some(error)),
        }
    }

    /// What is new among that which was listed.
    fn appeared(mut self) -> Result<Vec<Appeared>, StoreError> {
        self.attend_late()?;
        keep_last(&mut self.appeared, |appeared| &appeared.key);
        Ok(self.appeared)
    }

    /// Ends the listing; says which UIDs were listed. A message that was listed twice counts once; its last flags stand.
    fn settle(&mut self) -> Result<UidSet, StoreError> {
        if self.pass_to(u32::MAX)?.is_some() {
            self.missing.push(u32::MAX);
        }
        let again: UidSet = self.late.iter().map(|(uid, ..)| *uid).collect();
        self.missing.retain(|uid| !again.contains(*uid));
        self.attend_late()?;
        keep_last(&mut self.appeared, |appeared| &appeared.key);
        keep_last(&mut self.reflagged, |(key, _)| key);
        let listed = std::mem::take(&mut self.listed);
        Ok(UidSet::from_ranges(listed.ranges().iter().chain(again.ranges()).copied()))
    }

    /// Compares what did not come in order.
    fn attend_late(&mut self) -> Result<(), StoreError> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        let mut told = HashSet::new();
        for (uid, flags, size) in std::mem::take(&mut self.late) {
            let key = Key::Uid(uid);
            // A second line for a message may take back what the first one said.
            let second = !told.insert(uid) || self.listed.contains(uid);
            match self.known.get(&key)? {
                Some(old) if old == flags && !second => {}
                Some(_) => self.reflagged.push((key, flags)),
                None => self.appeared.push(Appeared { key, flags, size }),
            }
        }
        Ok(())
    }
}

/// Sorts by key; of equal keys the last one stays.
fn keep_last<T>(list: &mut Vec<T>, key: impl Fn(&T) -> &Key) {
    list.reverse();
    list.sort_by(|a, b| key(a).cmp(key(b)));
    list.dedup_by(|a, b| key(a) == key(b));
}

/// Lists the whole mailbox. A listing that does not add up is tried once more.
fn listing(folder: &mut ImapFolder<'_>, known: &dyn Known) -> Result<Changes, StoreError> {
    let mut again = false;
    loop {
        let (changes, adds_up) = list_once(folder, known)?;
        if adds_up || again {
            return Ok(changes);
        }
        again = true;
        folder.refresh()?;
        folder.touched = true;
    }
}

fn list_once(folder: &mut ImapFolder<'_>, known: &dyn Known) -> Result<(Changes, bool), StoreError> {
    let cursor = folder.selected.cursor();
    let mut comparison = Comparison::new(known);
    // Sizes cost some servers a look at every message: they are asked for where all messages are new, or later.
    let mut sizes = known.count()? == 0;
    let asked = folder.asked.take().filter(|asked| match asked.question {
        Question::All { sizes: told } => told || !sizes,
        Question::Since { .. } => false,
    });
    if let Some(Asked { question, answer }) = asked {
        sizes = question == Question::All { sizes: true };
        answer.listed.into_iter().for_each(|(uid, flags, size)| comparison.take(uid, flags, size));
    } else if folder.conn.exists() > 0 {
        let result = folder.conn.run_ok(&Question::All { sizes }.command(), &mut |response| {
            if let Response::Fetch(Fetch { uid: Some(uid), flags: Some(names), size, .. }) = response {
                comparison.take(uid, flags_of(&names), size);
            }
        });
        result.map_err(during("list"))?;
    }
    let listed = comparison.settle()?;
    let exists = u64::from(folder.conn.exists());
    let mut changes = Changes::none(cursor);
    changes.count = Some(exists);
    let Comparison { appeared, reflagged, missing, .. } = comparison;
    let gone: UidSet = missing.into_iter().collect();
    if listed.len() != exists {
        changes.complete = false;
        changes
            .notes
            .push(format!("the server counts {exists} messages and lists {}: nothing counts as deleted", listed.len()));
    } else if exists == WINDOW && !appeared.is_empty() && is_older(&gone, &listed) {
        changes.complete = false;
        changes
            .notes
            .push(format!("the server shows its newest {WINDOW} messages only: older ones are not taken for deleted"));
    } else if !gone.is_empty() {
        let back = existing(folder.conn, &gone).map_err(during("list"))?;
        if back.is_empty() {
            changes.vanished = gone.iter().map(Key::Uid).collect();
        } else {
            changes.complete = false;
            changes.notes.push(format!(
                "the server has {} messages that it did not list: nothing counts as deleted",
                back.len()
            ));
        }
    }
    changes.appeared = match sizes {
        true => {
            remember_sizes(folder, &appeared);
            appeared
        }
        false => with_sizes(folder, appeared)?,
    };
    changes.reflagged = reflagged;
    let adds_up = changes.complete;
    Ok((changes, adds_up))
}

/// Whether all that is gone is older than all that is listed.
fn is_older(gone: &UidSet, listed: &UidSet) -> bool {
    let (newest_gone, oldest) = (gone.ranges().last(), listed.ranges().first());
    newest_gone.zip(oldest).is_some_and(|((_, gone), (oldest, _))| gone < oldest)
}

/// Asks for the sizes of messages that are new, where they are so many that it pays.
fn with_sizes(folder: &mut ImapFolder<'_>, mut appeared: Vec<Appeared>) -> Result<Vec<Appeared>, StoreError> {
    if appeared.len() < SIZES_WORTH_A_QUESTION {
        return Ok(appeared);
    }
    let wanted: UidSet = appeared.iter().filter_map(|a| a.key.uid()).collect();
    let commands: Vec<Command> = wanted
        .chunks(SET_MAX)
        .iter()
        .map(|set| Command::new("UID FETCH").text(format!(" {set} (UID RFC822.SIZE)")))
        .collect();
    let mut sizes: Vec<(u32, u64)> = Vec::new();
    let ended = folder.conn.run_all(&commands, &mut |response| {
        if let Response::Fetch(Fetch { uid: Some(uid), size: Some(size), .. }) = response {
            sizes.push((uid, size));
        }
    });
    for status in ended.map_err(during("list"))? {
        match ImapError::check("UID FETCH", status) {
            // A size is a hint; the messages are there all the same.
            Ok(_) | Err(ImapError::Refused { .. }) => {}
            Err(error) => return Err(during("list")(error)),
        }
    }
    sizes.sort_unstable();
    for new in &mut appeared {
        let found = new.key.uid().and_then(|uid| sizes.binary_search_by_key(&uid, |(uid, _)| *uid).ok());
        new.size = found.map(|at| sizes[at].1);
    }
    remember_sizes(folder, &appeared);
    Ok(appeared)
}

fn remember_sizes(folder: &mut ImapFolder<'_>, appeared: &[Appeared]) {
    let mut sizes: Vec<(u32, u64)> = appeared.iter().filter_map(|a| Some((a.key.uid()?, a.size?))).collect();
    sizes.sort_unstable();
    folder.ahead.keep_sizes(folder.known_by(), sizes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Flag;
    use std::collections::BTreeMap;

    struct Remembered(BTreeMap<Key, Flags>);

    impl Known for Remembered {
        fn get(&self, key: &Key) -> Result<Option<Flags>, StoreError> {
            Ok(self.0.get(key).cloned())
        }
        fn count(&self) -> Result<u64, StoreError> {
            Ok(self.0.len() as u64)
        }
        fn after(&self, after: Option<&Key>, count: usize) -> Result<Vec<(Key, Flags)>, StoreError> {
            let later = self.0.iter().filter(|(key, _)| after.is_none_or(|after| *key > after));
            Ok(later.take(count).map(|(key, flags)| (key.clone(), flags.clone())).collect())
        }
    }

    fn seen() -> Flags {
        [Flag::Seen].into_iter().collect()
    }

    fn uids(set: impl IntoIterator<Item = Key>) -> Vec<u32> {
        set.into_iter().filter_map(|key| key.uid()).collect()
    }

    #[test]
    fn a_listing_is_compared_in_any_order_and_over_many_pages() {
        let last = 3 * KNOWN_PAGE as u32 + 7;
        // All but every seventh is known; every fifth is not listed; every third was given a flag.
        let known = Remembered((1..=last).filter(|uid| uid % 7 > 0).map(|uid| (Key::Uid(uid), Flags::new())).collect());
        let flags = |uid: u32| if uid.is_multiple_of(3) { seen() } else { Flags::new() };
        let mut listed: Vec<u32> = (1..=last).filter(|uid| uid % 5 > 0).collect();
        let (ascending, mut descending) = (listed.clone(), listed.clone());
        descending.reverse();
        listed.rotate_left(1234);
        for order in [ascending, descending, listed] {
            let mut comparison = Comparison::new(&known);
            order.iter().for_each(|uid| comparison.take(*uid, flags(*uid), None));
            assert_eq!(comparison.settle().expect("settled"), order.iter().copied().collect());
            let Comparison { appeared, reflagged, missing, .. } = comparison;
            let expected = |wanted: &dyn Fn(u32) -> bool| (1..=last).filter(|uid| wanted(*uid)).collect::<Vec<_>>();
            assert_eq!(uids(appeared.into_iter().map(|a| a.key)), expected(&|uid| uid % 5 > 0 && uid % 7 == 0));
            let changed = expected(&|uid| uid % 5 > 0 && uid % 7 > 0 && uid % 3 == 0);
            assert_eq!(uids(reflagged.into_iter().map(|(key, _)| key)), changed);
            assert_eq!(missing, expected(&|uid| uid % 5 == 0 && uid % 7 > 0));
        }
    }

    #[test]
    fn of_two_lines_for_one_message_the_last_one_counts() {
        let known = Remembered([(Key::Uid(1), Flags::new()), (Key::Uid(4), Flags::new())].into());
        let mut comparison = Comparison::new(&known);
        for (uid, flags) in [(1, seen()), (9, Flags::new()), (4, Flags::new()), (1, Flags::new()), (9, seen())] {
            comparison.take(uid, flags, None);
        }
        assert_eq!(comparison.settle().expect("settled").len(), 3);
        assert_eq!(comparison.reflagged, [(Key::Uid(1), Flags::new())]);
        assert_eq!(comparison.appeared.len(), 1);
        assert_eq!((comparison.appeared[0].flags.clone(), comparison.missing.len()), (seen(), 0));
    }
}
