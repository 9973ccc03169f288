//! Moves to a trash that were begun and may not have ended.

use super::{Column, State, StateError, key_of, side_number};
use crate::mail::{FolderId, Key, Side};
use rusqlite::{Connection, OptionalExtension, params};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Messages of a folder are being moved to the trash of their side, or were when a run ended that did not live to say
/// so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discard {
    /// The trash's generation, where it was known.
    pub generation: Option<u64>,
    /// No copy in the trash has a key below this one.
    pub mark: Key,
    /// When the last of them were begun.
    pub begun: SystemTime,
}

impl State {
    /// What was begun in a folder on one side.
    pub fn discard(&self, folder: FolderId, side: Side) -> Result<Option<Discard>, StateError> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("SELECT generation, mark, begun FROM discard WHERE folder = ? AND side = ?")?;
        let found = statement.query_row(params![folder.0, side_number(side)], |row| {
            Ok(Discard {
                generation: row.get::<_, Option<i64>>(0)?.map(|generation| generation as u64),
                mark: key_of(row.get_ref(1)?)?,
                begun: UNIX_EPOCH + Duration::from_millis(row.get::<_, i64>(2)?.unsigned_abs()),
            })
        });
        Ok(found.optional()?)
    }
}

pub(super) fn begin(connection: &Connection, folder: FolderId, side: Side, discard: &Discard) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO discard (folder, side, generation, mark, begun) VALUES (?, ?, ?, ?, ?)",
    )?;
    let begun = discard.begun.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    let generation = discard.generation.map(|generation| generation as i64);
    statement.execute(params![folder.0, side_number(side), generation, Column(&discard.mark), begun])?;
    Ok(())
}

pub(super) fn end(connection: &Connection, folder: FolderId, side: Side) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("DELETE FROM discard WHERE folder = ? AND side = ?")?;
    statement.execute(params![folder.0, side_number(side)])?;
    Ok(())
}
