//! The ledger: messages that failed by themselves, why, and when each is tried again.
//!
//! An entry whose message no pair has is one that could not be copied: it counts as known on its side. One whose
//! message a pair has could not be changed or removed. As soon as a message becomes part of a pair, and when its pair
//! is forgotten, its entry goes.

use super::{Column, State, StateError, key_of, name_of, open_read_only, side_number, side_word};
use crate::mail::{Flags, FolderId, FolderName, Key, PairId, Side, Sides};
use rusqlite::{Connection, Row, params};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A message that waits after a failure of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// The side that has the message, and its key there.
    pub side: Side,
    pub key: Key,
    /// The flags that it was last seen with.
    pub flags: Flags,
    /// What failed, why, and what can be done about it.
    pub action: String,
    pub cause: String,
    pub hint: Option<String>,
    /// How often it failed, and when first and last.
    pub tries: u32,
    pub first: SystemTime,
    pub last: SystemTime,
    /// When it is tried again.
    pub next: SystemTime,
}

/// An entry of the ledger as it is shown to people.
#[derive(Clone, Debug, PartialEq)]
pub struct ProblemRow {
    pub names: Sides<FolderName>,
    /// The store's own names for the folder, verbatim.
    pub wires: Sides<Vec<u8>>,
    pub waiting: Waiting,
}

/// How many entries a folder has, and when the first and the last of them are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    pub folder: FolderId,
    pub count: usize,
    pub next: SystemTime,
    pub last: SystemTime,
}

/// Reads the ledger of a state file without locking it and without changing anything, by folder; empty where there is
/// no such file.
pub fn read_problems(path: &Path) -> Result<Vec<ProblemRow>, StateError> {
    let Some(connection) = open_read_only(path)? else { return Ok(Vec::new()) };
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    // Layout 1 had no ledger; the next sync brings it up.
    if version < 2 {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare(&format!(
        "SELECT {COLUMNS}, local_name, remote_name, local_wire, remote_wire \
         FROM problem JOIN folder ON folder.id = problem.folder ORDER BY remote_name, first, problem.id"
    ))?;
    let rows = statement.query_map([], |row| {
        Ok(ProblemRow {
            names: Sides::new(name_of(row, 11)?, name_of(row, 12)?),
            wires: Sides::new(row.get(13)?, row.get(14)?),
            waiting: read(row)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

const COLUMNS: &str = "side, key, flags, keywords, action, cause, hint, tries, first, last, next";

fn read(row: &Row<'_>) -> rusqlite::Result<Waiting> {
    Ok(Waiting {
        side: if row.get::<_, i64>(0)? == 0 { Side::Local } else { Side::Remote },
        key: key_of(row.get_ref(1)?)?,
        flags: Flags::from_stored(row.get(2)?, row.get_ref(3)?.as_str()?),
        action: row.get(4)?,
        cause: row.get(5)?,
        hint: row.get(6)?,
        tries: u32::try_from(row.get::<_, i64>(7)?).unwrap_or(u32::MAX),
        first: time_of(row.get(8)?),
        last: time_of(row.get(9)?),
        next: time_of(row.get(10)?),
    })
}

/// Milliseconds since 1970; times that they can't say are brought to the nearest that they can.
fn millis(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn time_of(millis: i64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis.unsigned_abs())).unwrap_or(UNIX_EPOCH)
}

/// That no pair has the entry's message on its side.
const ALONE: &str = "CASE problem.side \
    WHEN 0 THEN NOT EXISTS (SELECT 1 FROM message WHERE folder = problem.folder AND local = problem.key) \
    ELSE NOT EXISTS (SELECT 1 FROM message WHERE folder = problem.folder AND remote = problem.key) END";

impl State {
    /// A folder's entries, oldest first, and whether a pair has the message.
    pub fn problems(&self, folder: FolderId) -> Result<Vec<(Waiting, bool)>, StateError> {
        let connection = self.lock();
        let sql = format!("SELECT {COLUMNS}, {ALONE} FROM problem WHERE folder = ? ORDER BY id");
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map([folder.0], |row| Ok((read(row)?, !row.get::<_, bool>(11)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The flags of a message on `side` that waits to be copied.
    pub fn waiting_flags(&self, folder: FolderId, side: Side, key: &Key) -> Result<Option<Flags>, StateError> {
        let connection = self.lock();
        let sql = format!("SELECT flags, keywords FROM problem WHERE folder = ? AND side = ? AND key = ? AND {ALONE}");
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query_map(params![folder.0, side_number(side), Column(key)], |row| {
            Ok(Flags::from_stored(row.get(0)?, row.get_ref(1)?.as_str()?))
        })?;
        Ok(rows.next().transpose()?)
    }

    /// The messages on `side` that wait to be copied, with their flags.
    pub fn waiting_keys(&self, folder: FolderId, side: Side) -> Result<Vec<(Key, Flags)>, StateError> {
        let connection = self.lock();
        let sql = format!("SELECT key, flags, keywords FROM problem WHERE folder = ? AND side = ? AND {ALONE}");
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![folder.0, side_number(side)], |row| {
            Ok((key_of(row.get_ref(0)?)?, Flags::from_stored(row.get(1)?, row.get_ref(2)?.as_str()?)))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The folders that have entries.
    pub fn backlogs(&self) -> Result<Vec<Backlog>, StateError> {
        let connection = self.lock();
        let mut statement =
            connection.prepare("SELECT folder, count(*), min(next), max(next) FROM problem GROUP BY folder")?;
        let rows = statement.query_map([], |row| {
            let count = usize::try_from(row.get::<_, i64>(1)?).unwrap_or_default();
            let (next, last) = (time_of(row.get(2)?), time_of(row.get(3)?));
            Ok(Backlog { folder: FolderId(row.get(0)?), count, next, last })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

pub(super) fn put(connection: &Connection, folder: FolderId, waiting: &Waiting) -> rusqlite::Result<()> {
    let (flags, keywords) = waiting.flags.to_stored();
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO problem (folder, side, key, flags, keywords, action, cause, hint, tries, first, last, next) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    statement.execute(params![
        folder.0,
        side_number(waiting.side),
        Column(&waiting.key),
        flags,
        keywords,
        waiting.action,
        waiting.cause,
        waiting.hint,
        waiting.tries,
        millis(waiting.first),
        millis(waiting.last),
        millis(waiting.next),
    ])?;
    Ok(())
}

/// Whether any message waits.
pub(super) fn any(connection: &Connection) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM problem)")?.query_row([], |row| row.get(0))
}

pub(super) fn delete(connection: &Connection, folder: FolderId, side: Side, key: &Key) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("DELETE FROM problem WHERE folder = ? AND side = ? AND key = ?")?;
    statement.execute(params![folder.0, side_number(side), Column(key)])?;
    Ok(())
}

/// Removes what is said of a pair's message on `side`.
pub(super) fn delete_of(connection: &Connection, pair: PairId, side: Side) -> rusqlite::Result<()> {
    let sql = format!(
        "DELETE FROM problem WHERE side = ?2 AND (folder, key) = (SELECT folder, {} FROM message WHERE id = ?1)",
        side_word(side)
    );
    connection.prepare_cached(&sql)?.execute(params![pair.0, side_number(side)])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Identity;
    use crate::state::Change;

    fn waiting(side: Side, key: Key) -> Waiting {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        Waiting {
            side,
            key,
            flags: Flags::new(),
            action: "fetch".to_owned(),
            cause: "no".to_owned(),
            hint: None,
            tries: 2,
            first: at(1),
            last: at(2),
            next: at(3),
        }
    }

    #[test]
    fn an_entry_is_replaced_and_goes_when_its_message_gets_or_loses_a_partner() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("state.db");
        let state = State::open(&path).expect("a state");
        let name = FolderName::inbox();
        let folder = state
            .add_folder(&Sides::new(b"a".to_vec(), b"b".to_vec()), &Sides::new(name.clone(), name), None)
            .expect("a folder");
        let keys = Sides::new(Key::Name(b"n".as_slice().into()), Key::Uid(7));
        let entry = waiting(Side::Remote, keys.remote.clone());
        let later = Waiting { tries: 3, hint: Some("wait".to_owned()), ..entry.clone() };
        for waiting in [&entry, &later] {
            state.apply(&[Change::Problem { folder, waiting: waiting.clone() }]).expect("recorded");
        }
        assert_eq!(state.problems(folder).expect("read"), [(later.clone(), false)]);
        assert_eq!(read_problems(&path).expect("read").len(), 1);
        assert_eq!(state.waiting_keys(folder, Side::Local).expect("read"), []);
        assert_eq!(state.waiting_keys(folder, Side::Remote).expect("read").len(), 1);
        assert!(state.waiting_flags(folder, Side::Remote, &entry.key).expect("read").is_some());
        let (flags, identity) = (Sides::default(), Identity::default());
        state.apply(&[Change::Bind { folder, keys: keys.clone(), flags, identity }]).expect("bound");
        assert_eq!(state.backlogs().expect("read"), []);
        state.apply(&[Change::Problem { folder, waiting: entry.clone() }]).expect("recorded");
        assert_eq!(state.problems(folder).expect("read"), [(entry.clone(), true)]);
        assert_eq!(state.waiting_flags(folder, Side::Remote, &entry.key).expect("read"), None);
        assert_eq!(state.waiting_keys(folder, Side::Remote).expect("read"), []);
        let pair = state.rows(folder).expect("rows")[0].id;
        state.apply(&[Change::Forget { pair }]).expect("forgotten");
        assert_eq!(state.backlogs().expect("read"), []);
    }
}
