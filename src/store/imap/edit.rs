//! Flags, expunge and move: changes to messages that are there.

use super::conn::{Conn, during};
use super::download::existing;
use super::error::ImapError;
use super::folder::uids;
use super::select::reselect;
use super::token::{Code, Response, Status, StatusKind, UidSet};
use super::wire::{Command, SET_MAX};
use crate::mail::{FlagDelta, FlagSpace, Flags, Key};
use crate::store::{Access, Kind, Reach, StoreError};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// One STORE: the same change for all of a set.
struct Change {
    set: UidSet,
    /// `+FLAGS.SILENT (\Seen)`.
    what: String,
}

fn store(set: &str, what: &str) -> Command {
    Command::new("UID STORE").text(format!(" {set} {what}"))
}

/// Adds and removes flags: one command for each change and set of messages, all in flight at once, and behind them the
/// questions of `along`, whose answers go to `each`; whether these are answered is the caller's affair.
pub fn set_flags(
    conn: &mut Conn,
    changes: &[(Key, FlagDelta)],
    space: &FlagSpace,
    along: &[Command],
    each: &mut dyn FnMut(Response),
) -> Result<Vec<(Key, StoreError)>, StoreError> {
    let mut groups: HashMap<(bool, Flags), Vec<u32>> = HashMap::new();
    for (key, delta) in changes {
        let Some(uid) = key.uid() else { continue };
        let delta = delta.within(space);
        for (adds, flags) in [(true, delta.add), (false, delta.remove)] {
            if !flags.is_empty() {
                groups.entry((adds, flags)).or_default().push(uid);
            }
        }
    }
    let changes = groups.into_iter().map(|((adds, flags), uids)| Change {
        set: uids.into_iter().collect(),
        what: format!("{}FLAGS.SILENT ({flags})", if adds { '+' } else { '-' }),
    });
    let refused = run_with(conn, changes.collect(), "set flags", along, each)?;
    Ok(refused.into_iter().map(|(uid, error)| (Key::Uid(uid), error)).collect())
}

/// Runs STOREs. Sets that are refused are tried message by message; what is refused then, and is there, is the answer.
fn run(conn: &mut Conn, changes: Vec<Change>, action: &str) -> Result<HashMap<u32, StoreError>, StoreError> {
    run_with(conn, changes, action, &[], &mut |_| {})
}

fn run_with(
    conn: &mut Conn,
    changes: Vec<Change>,
    action: &str,
    mut along: &[Command],
    each: &mut dyn FnMut(Response),
) -> Result<HashMap<u32, StoreError>, StoreError> {
    let mut pieces: Vec<(UidSet, String)> = Vec::new();
    for change in &changes {
        for set in change.set.chunks(SET_MAX) {
            pieces.extend(UidSet::parse(set.as_bytes()).map(|set| (set, change.what.clone())));
        }
    }
    let mut refused = HashMap::new();
    while !pieces.is_empty() {
        let stores = pieces.iter().map(|(set, what)| store(&set.to_string(), what));
        let commands: Vec<Command> = stores.chain(std::mem::take(&mut along).iter().cloned()).collect();
        let ended = conn.run_all(&commands, each).map_err(during(action))?;
        let mut again = Vec::new();
        for ((set, what), status) in pieces.into_iter().zip(ended) {
            let Err(error) = ImapError::check("UID STORE", status) else { continue };
            let error = error.into_store(Reach::Message, action);
            if error.reach >= Reach::Connection {
                return Err(error);
            }
            match set.len() {
                1 => drop(set.iter().next().map(|uid| refused.insert(uid, error))),
                _ => again.extend(set.iter().map(|uid| (UidSet::from_iter([uid]), what.clone()))),
            }
        }
        pieces = again;
    }
    if !refused.is_empty() {
        let there = existing(conn, &refused.keys().copied().collect()).map_err(during(action))?;
        refused.retain(|uid, _| there.contains(*uid));
    }
    Ok(refused)
}

const ADD_DELETED: &str = "+FLAGS.SILENT (\\Deleted)";
const DROP_DELETED: &str = "-FLAGS.SILENT (\\Deleted)";

/// Marks of other mail programs that were taken off for an expunge and could not be put back yet. Shared by all
/// connections to a server.
#[derive(Clone, Debug, Default)]
pub struct Guarded(Arc<Mutex<Vec<Owed>>>);

#[derive(Clone, Debug)]
struct Owed {
    mailbox: Vec<u8>,
    validity: Option<u32>,
    set: UidSet,
}

impl Guarded {
    fn owe(&self, mailbox: &[u8], validity: Option<u32>, set: &UidSet) {
        let owed = Owed { mailbox: mailbox.to_vec(), validity, set: set.clone() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(owed);
    }

    /// Puts back what is owed to the mailbox, which is selected.
    pub fn restore(&self, conn: &mut Conn, mailbox: &[u8], validity: Option<u32>) -> Result<(), StoreError> {
        let due: Vec<Owed> = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let (due, rest) = std::mem::take(&mut *all).into_iter().partition(|owed| owed.mailbox == mailbox);
            *all = rest;
            due
        };
        for owed in due.into_iter().filter(|owed| owed.validity == validity) {
            self.put_back(conn, owed)?;
        }
        Ok(())
    }

    fn put_back(&self, conn: &mut Conn, owed: Owed) -> Result<(), StoreError> {
        let change = Change { set: owed.set.clone(), what: ADD_DELETED.to_owned() };
        let failed = match run(conn, vec![change], "expunge") {
            Ok(refused) if refused.is_empty() => return Ok(()),
            Ok(refused) => refused.into_values().next(),
            Err(error) => Some(error),
        };
        let shown = owed.set.to_string();
        self.owe(&owed.mailbox, owed.validity, &owed.set);
        let Some(error) = failed else { return Ok(()) };
        let cause = format!("{}; the mark \\Deleted that others had put on UID {shown} is off for now", error.cause);
        let hint = "it is put back when the folder is opened again; until then mark these messages by hand if need be";
        Err(StoreError::new(error.reach.max(Reach::Folder), error.kind, "expunge", cause).with_hint(hint))
    }
}

/// Removes exactly these messages. With UIDPLUS by UID EXPUNGE; else by EXPUNGE, after the messages that others marked
/// as deleted were unmarked, and marked again afterwards.
pub fn remove(
    conn: &mut Conn,
    uids: &UidSet,
    mailbox: &[u8],
    validity: Option<u32>,
    guarded: &Guarded,
) -> Result<Vec<(Key, StoreError)>, StoreError> {
    if uids.is_empty() {
        return Ok(Vec::new());
    }
    let mut refused;
    if conn.caps().has("UIDPLUS") {
        refused = mark_deleted(conn, uids, mailbox)?;
        let ours = without(uids, &refused);
        if uid_expunge(conn, &ours)? {
            return Ok(answer(refused));
        }
    }
    let others = guard(conn, uids)?;
    let owed = Owed { mailbox: mailbox.to_vec(), validity, set: others };
    // Noted before the line can break.
    if !owed.set.is_empty() {
        guarded.owe(mailbox, validity, &owed.set);
        let change = Change { set: owed.set.clone(), what: DROP_DELETED.to_owned() };
        if let Some(error) = run(conn, vec![change], "expunge")?.into_values().next() {
            guarded.restore(conn, mailbox, validity)?;
            return Ok(uids.iter().map(|uid| (Key::Uid(uid), again(&error))).collect());
        }
    }
    refused = mark_deleted(conn, uids, mailbox)?;
    let expunged = expunge(conn, uids).map_err(during("expunge"))?;
    guarded.restore(conn, mailbox, validity)?;
    if let Err(error) = expunged {
        refused.extend(without(uids, &refused).iter().map(|uid| (uid, again(&error))).collect::<Vec<_>>());
    }
    Ok(answer(refused))
}

fn answer(refused: HashMap<u32, StoreError>) -> Vec<(Key, StoreError)> {
    refused.into_iter().map(|(uid, error)| (Key::Uid(uid), error)).collect()
}

/// The same error for another message.
fn again(error: &StoreError) -> StoreError {
    let copy = StoreError::new(error.reach, error.kind, error.action.clone(), &error.cause);
    match &error.hint {
        Some(hint) => copy.with_hint(hint.clone()),
        None => copy,
    }
}

fn without(uids: &UidSet, refused: &HashMap<u32, StoreError>) -> UidSet {
    uids.iter().filter(|uid| !refused.contains_key(uid)).collect()
}

fn mark_deleted(conn: &mut Conn, uids: &UidSet, mailbox: &[u8]) -> Result<HashMap<u32, StoreError>, StoreError> {
    match run(conn, vec![Change { set: uids.clone(), what: ADD_DELETED.to_owned() }], "expunge") {
        Err(error) if error.kind == Kind::Reset => Err(unmark(conn, uids, mailbox, error)),
        marked => marked,
    }
}

/// Runs EXPUNGE if nothing is marked but these messages, which are asked for in the same turn: other users of the line
/// may have had theirs for long since the marks of others were taken off. Why it was not done, otherwise.
fn expunge(conn: &mut Conn, ours: &UidSet) -> Result<Result<(), StoreError>, ImapError> {
    let mut wire = conn.wire()?;
    let mut marked = Vec::new();
    wire.run_ok(&search_deleted(), &mut |response| marked.extend(found(response)))?;
    if marked.into_iter().any(|uid| !ours.contains(uid)) {
        let cause = "another mail program is just marking messages as deleted, which would go with these";
        let error = StoreError::new(Reach::Message, Kind::Later, "expunge", cause);
        return Ok(Err(error.with_hint("a later run removes them")));
    }
    let status = wire.run(&Command::new("EXPUNGE"), &mut |_| {})?;
    let refused = |error: ImapError| error.into_store(Reach::Message, "expunge");
    Ok(ImapError::check("EXPUNGE", status).map(drop).map_err(refused))
}

/// Takes marks off again that were sent along with a SELECT which found another mailbox in the place of ours.
fn unmark(conn: &mut Conn, uids: &UidSet, mailbox: &[u8], error: StoreError) -> StoreError {
    let change = Change { set: uids.clone(), what: DROP_DELETED.to_owned() };
    let undone = reselect(conn, mailbox, Access::Write, None).and_then(|_| run(conn, vec![change], "expunge"));
    match undone {
        Ok(refused) if refused.is_empty() => error,
        Ok(_) | Err(_) => {
            let cause = format!("{}; its UIDs {uids} may be marked as deleted now", error.cause);
            let hint = "take the marks off with a mail program, and sync again";
            StoreError::new(error.reach, error.kind, "expunge", cause).with_hint(hint)
        }
    }
}

/// False where the server refuses UID EXPUNGE although it says that it has UIDPLUS.
fn uid_expunge(conn: &mut Conn, uids: &UidSet) -> Result<bool, StoreError> {
    let commands: Vec<Command> =
        uids.chunks(SET_MAX).iter().map(|set| Command::new("UID EXPUNGE").text(format!(" {set}"))).collect();
    let ended = conn.run_all(&commands, &mut |_| {}).map_err(during("expunge"))?;
    for status in ended {
        match ImapError::check("UID EXPUNGE", status) {
            Err(ImapError::Refused { .. }) => return Ok(false),
            other => drop(other.map_err(during("expunge"))?),
        }
    }
    Ok(true)
}

/// The messages that others marked as deleted.
fn guard(conn: &mut Conn, ours: &UidSet) -> Result<UidSet, StoreError> {
    let mut marked = Vec::new();
    conn.run_ok(&search_deleted(), &mut |response| marked.extend(found(response))).map_err(during("expunge"))?;
    Ok(marked.into_iter().filter(|uid| !ours.contains(*uid)).collect())
}

fn search_deleted() -> Command {
    Command::new("UID SEARCH").text(" DELETED")
}

/// The UIDs that a SEARCH found.
fn found(response: Response) -> Vec<u32> {
    match response {
        Response::Search { numbers, .. } => numbers,
        Response::Esearch(answer) => answer.all.iter().flat_map(|set| set.iter().collect::<Vec<_>>()).collect(),
        _ => Vec::new(),
    }
}

/// Moves messages: by UID MOVE, else by UID COPY and [`remove`].
pub fn move_to(
    conn: &mut Conn,
    keys: &[Key],
    into: &[u8],
    mailbox: &[u8],
    validity: Option<u32>,
    guarded: &Guarded,
) -> Result<Vec<Result<Option<Key>, StoreError>>, StoreError> {
    let all = uids(keys);
    let mut moved: HashMap<u32, u32> = HashMap::new();
    let mut stays: HashMap<u32, StoreError> = HashMap::new();
    let mut by_copy = !conn.caps().has("MOVE");
    for set in all.chunks(SET_MAX) {
        let Some(uids) = UidSet::parse(set.as_bytes()) else { continue };
        if !by_copy {
            let status = transfer(conn, "UID MOVE", &set, into, &mut moved)?;
            match (status.kind, ImapError::check("UID MOVE", status)) {
                (StatusKind::Bad, _) => by_copy = true,
                (_, Ok(_)) => continue,
                (_, Err(error)) => {
                    refuse(conn, &uids, error, &mut stays)?;
                    continue;
                }
            }
        }
        let status = transfer(conn, "UID COPY", &set, into, &mut moved)?;
        match ImapError::check("UID COPY", status) {
            // The copies are there: whoever takes such a message for one that stays makes a second one.
            Ok(_) => stays.extend(
                remove(conn, &uids, mailbox, validity, guarded)?
                    .into_iter()
                    .filter_map(|(key, error)| Some((key.uid()?, error.reaching(Reach::Folder)))),
            ),
            Err(error) => refuse(conn, &uids, error, &mut stays)?,
        }
    }
    let told = |uid: &u32| moved.get(uid).map(|new| Key::Uid(*new));
    Ok(keys
        .iter()
        .map(|key| match key.uid() {
            Some(uid) => stays.remove(&uid).map_or_else(|| Ok(told(&uid)), Err),
            None => Err(StoreError::new(Reach::Message, Kind::Missing, "move", "there is no such message")),
        })
        .collect())
}

/// Runs a MOVE or COPY, and learns the new UIDs from COPYUID, wherever it stands.
fn transfer(
    conn: &mut Conn,
    name: &'static str,
    set: &str,
    into: &[u8],
    moved: &mut HashMap<u32, u32>,
) -> Result<Status, StoreError> {
    let command = Command::new(name).text(format!(" {set}")).string(into);
    let mut learn = |status: &Status| {
        if let Some(Code::CopyUid { pairs, .. }) = &status.code {
            moved.extend(pairs.iter().copied().filter(|(from, to)| *from > 0 && *to > 0));
        }
    };
    let ended = conn.run(&command, &mut |response| {
        if let Response::Status(status) = response {
            learn(&status);
        }
    });
    let status = ended.map_err(during("move"))?;
    learn(&status);
    Ok(status)
}

/// A refused move may have moved some: those that are still here stay.
fn refuse(
    conn: &mut Conn,
    uids: &UidSet,
    error: ImapError,
    stays: &mut HashMap<u32, StoreError>,
) -> Result<(), StoreError> {
    let error = error.into_store(Reach::Message, "move");
    let there = existing(conn, uids).map_err(during("move"))?;
    stays.extend(there.iter().map(|uid| (uid, again(&error))));
    Ok(())
}
