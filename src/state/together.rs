//! Commits. What several threads want committed at once is committed together: those that find the state in use leave
//! what they have, and whoever gets hold of it next commits all of that, with one sync of the disk.

use super::{
    COMPARED, Change, State, StateError, baseline, committing, discard, doom, folder, intent, listing, problem, tally,
    turn_of,
};
use crate::mail::Side;
use rusqlite::{Connection, Transaction};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

/// Changes that wait to be committed, all of them or none.
pub(super) struct Request {
    changes: Vec<Change>,
    /// What became of them, once that is known.
    result: Mutex<Option<Result<(), StateError>>>,
}

impl Request {
    fn answer(&self, result: Result<(), StateError>) {
        *self.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    }

    fn answered(&self) -> Option<Result<(), StateError>> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Folders exchange names within one commit, and only within that.
    fn renames(&self) -> bool {
        self.changes.iter().any(|change| matches!(change, Change::Rename { .. }))
    }
}

/// Why nothing was committed.
enum Failed {
    /// One of the changes could not be made.
    Change(StateError),
    /// All were made, and could not be committed.
    Commit(StateError),
}

impl<E: Into<StateError>> From<E> for Failed {
    fn from(error: E) -> Failed {
        Failed::Change(error.into())
    }
}

impl State {
    /// Commits all of `changes`, or none. Folders may exchange their names in one commit.
    pub fn apply(&self, changes: &[Change]) -> Result<(), StateError> {
        if changes.is_empty() {
            return Ok(());
        }
        match self.connection.try_lock() {
            Ok(mut connection) => commit(connection.writing()?, changes)?,
            Err(TryLockError::Poisoned(poisoned)) => commit(poisoned.into_inner().writing()?, changes)?,
            Err(TryLockError::WouldBlock) => self.apply_together(changes)?,
        }
        if let Some(tell) = &self.tell {
            changes.iter().for_each(|change| tell(&format!("{change:?}")));
        }
        Ok(())
    }

    fn queue(&self) -> MutexGuard<'_, Vec<Arc<Request>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply_together(&self, changes: &[Change]) -> Result<(), StateError> {
        let request = Arc::new(Request { changes: changes.to_vec(), result: Mutex::default() });
        self.queue().push(request.clone());
        let mut connection = self.lock();
        if let Some(result) = request.answered() {
            return result;
        }
        let connection = match connection.writing() {
            Ok(connection) => connection,
            Err(error) => {
                // Nobody is to commit later what is said to have failed.
                self.queue().retain(|other| !Arc::ptr_eq(other, &request));
                return Err(error);
            }
        };
        let all = mem::take(&mut *self.queue());
        commit_all(connection, &all);
        // Whoever took it from those that wait may have panicked over it.
        request.answered().unwrap_or_else(|| commit(connection, changes))
    }
}

/// Commits them together where that goes, and each for itself otherwise: none fails for another one's sake.
fn commit_all(connection: &mut Connection, requests: &[Arc<Request>]) {
    let (alone, together): (Vec<&Arc<Request>>, Vec<&Arc<Request>>) =
        requests.iter().partition(|request| requests.len() == 1 || request.renames());
    let lists: Vec<&[Change]> = together.iter().map(|request| request.changes.as_slice()).collect();
    match if lists.is_empty() { Ok(()) } else { try_commit(connection, &lists) } {
        Ok(()) => together.iter().for_each(|request| request.answer(Ok(()))),
        Err(Failed::Commit(error)) => together.iter().for_each(|request| request.answer(Err(error.clone()))),
        Err(Failed::Change(_)) => {
            together.iter().for_each(|request| request.answer(commit(connection, &request.changes)));
        }
    }
    alone.iter().for_each(|request| request.answer(commit(connection, &request.changes)));
}

fn commit(connection: &mut Connection, changes: &[Change]) -> Result<(), StateError> {
    try_commit(connection, &[changes]).map_err(|(Failed::Change(error) | Failed::Commit(error))| error)
}

fn try_commit(connection: &mut Connection, lists: &[&[Change]]) -> Result<(), Failed> {
    let transaction = connection.transaction()?;
    let changes = || lists.iter().copied().flatten();
    for change in changes() {
        if let Change::Rename { folder, side, .. } = change {
            folder::unname(&transaction, *folder, *side)?;
        }
    }
    // Most often nothing waits, and thousands of copies need not each be looked for there.
    let waiting = problem::any(&transaction)? || changes().any(|one| matches!(one, Change::Problem { .. }));
    let mut tallies = tally::Tallies::default();
    for change in changes() {
        make(&transaction, change, &mut tallies, waiting)?;
    }
    tallies.save(&transaction)?;
    committing(|| transaction.commit()).map_err(Failed::Commit)
}

/// Makes one change; with `waiting` messages may wait in the ledger.
fn make(
    transaction: &Transaction<'_>,
    change: &Change,
    tallies: &mut tally::Tallies,
    waiting: bool,
) -> rusqlite::Result<()> {
    match change {
        Change::Bind { folder, keys, flags, identity } => {
            tallies.bind(transaction, *folder, keys, flags)?;
            baseline::insert(transaction, *folder, keys, flags, identity)?;
            for side in Side::BOTH.into_iter().filter(|_| waiting) {
                problem::delete(transaction, *folder, side, &keys[side])?;
            }
        }
        Change::Flags { pair, flags } => {
            tallies.reflag(transaction, *pair, flags)?;
            baseline::set_flags(transaction, *pair, flags)?;
        }
        Change::Forget { pair } => {
            problem::delete_of(transaction, *pair, Side::Local)?;
            problem::delete_of(transaction, *pair, Side::Remote)?;
            tallies.forget(transaction, *pair)?;
            baseline::delete(transaction, *pair)?;
        }
        Change::Doom { pair, side } => doom::insert(transaction, *pair, *side)?,
        Change::Spare { pair } => doom::delete(transaction, *pair)?,
        Change::Intend { folder, intent } => intent::insert(transaction, *folder, intent)?,
        Change::Done { folder, to, source } => intent::delete(transaction, *folder, *to, source)?,
        Change::Discard { folder, side, discard } => discard::begin(transaction, *folder, *side, discard)?,
        Change::Discarded { folder, side } => discard::end(transaction, *folder, *side)?,
        Change::Rekey { pair, side, key } => {
            problem::delete_of(transaction, *pair, *side)?;
            tallies.rekey(transaction, *pair, *side, key)?;
            baseline::set_key(transaction, *pair, *side, key)?;
            doom::delete(transaction, *pair)?;
            problem::delete_of(transaction, *pair, *side)?;
        }
        Change::Problem { folder, waiting } => problem::put(transaction, *folder, waiting)?,
        Change::Solved { folder, side, key } => problem::delete(transaction, *folder, *side, key)?,
        Change::Cursor { folder, side, cursor } => {
            folder::set_cursor(transaction, *folder, *side, cursor)?;
            let (messages, unseen) = tallies.numbers(transaction, *folder)?;
            folder::set_numbers(transaction, *folder, messages, unseen)?;
        }
        Change::Held { folder, side, held } => folder::set_held(transaction, *folder, *side, held)?,
        Change::Rename { folder, side, wire, name } => folder::rename(transaction, *folder, *side, wire, name)?,
        Change::Object { folder, side, object } => folder::set_object(transaction, *folder, *side, object)?,
        Change::Role { folder, role } => folder::set_role(transaction, *folder, *role)?,
        Change::Compared { at } => {
            let sql = "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)";
            transaction.execute(sql, [COMPARED, &at.to_string()])?;
        }
        Change::Turn { side, turn } => {
            let sql = "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)";
            transaction.execute(sql, [turn_of(*side), turn.to_string()])?;
        }
        Change::Noted { side, noted } => listing::note(transaction, *side, noted)?,
        Change::ForgetFolder { folder } => {
            tallies.forget_folder(*folder);
            folder::delete(transaction, *folder)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{FolderId, FolderName, Identity, Key, Sides};
    use std::thread;

    fn bind(folder: FolderId, number: u32) -> Change {
        let keys = Sides::new(Key::Name(format!("{number}").into_bytes().into()), Key::Uid(number));
        Change::Bind { folder, keys, flags: Sides::default(), identity: Identity::default() }
    }

    #[test]
    fn what_waits_together_is_committed_together_and_fails_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = State::open(&dir.path().join("a.db")).expect("opened");
        let name = FolderName::parse("a").expect("a name");
        let wires = Sides::new(b"a".to_vec(), b"a".to_vec());
        let folder = state.add_folder(&wires, &Sides::new(name.clone(), name), None).expect("added");
        state.apply(&[bind(folder, 7)]).expect("bound");
        let held = state.lock();
        let results: Vec<Result<(), StateError>> = thread::scope(|scope| {
            let lists = [
                vec![bind(folder, 1), bind(folder, 2)],
                vec![bind(folder, 3), bind(FolderId(99), 7)],
                vec![bind(folder, 4)],
            ];
            let threads = lists.into_iter().map(|list| {
                let state = &state;
                scope.spawn(move || state.apply(&list))
            });
            let threads: Vec<_> = threads.collect();
            while state.queue().len() < 3 {
                thread::yield_now();
            }
            drop(held);
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(results[0].is_ok() && results[1].is_err() && results[2].is_ok(), "{results:?}");
        // 3 stands in the list of one whose folder is not there.
        assert_eq!(state.count(folder).expect("counted"), 4);
        let there = |uid| !state.pairs_of(folder, Side::Remote, &Key::Uid(uid)).expect("looked up").is_empty();
        assert_eq!([1, 2, 3, 4, 7].map(there), [true, true, false, true, true]);
    }
}
