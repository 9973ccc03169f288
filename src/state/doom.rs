//! Messages that a run is about to take away on one side. Should they be gone there, and be back on the other side,
//! nobody deleted them.

use super::{State, StateError};
use crate::mail::{FolderId, PairId, Side};
use rusqlite::Connection;

impl State {
    /// The pairs of a folder that a run was about to take away on a side, and that it did not live to forget.
    pub fn doomed(&self, folder: FolderId) -> Result<Vec<(PairId, Side)>, StateError> {
        let connection = self.lock();
        // The few that are doomed come first, and not the folder's many.
        let mut statement = connection.prepare_cached(
            "SELECT doom.pair, doom.side FROM doom CROSS JOIN message ON message.id = doom.pair \
             WHERE message.folder = ? ORDER BY doom.pair",
        )?;
        let rows = statement.query_map([folder.0], |row| {
            let side = if row.get::<_, i64>(1)? == 0 { Side::Local } else { Side::Remote };
            Ok((PairId(row.get(0)?), side))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

pub(super) fn insert(connection: &Connection, pair: PairId, side: Side) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("INSERT OR IGNORE INTO doom (pair, side) VALUES (?, ?)")?;
    statement.execute((pair.0, i64::from(side == Side::Remote)))?;
    Ok(())
}

/// Whatever the side.
pub(super) fn delete(connection: &Connection, pair: PairId) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM doom WHERE pair = ?")?.execute([pair.0])?;
    Ok(())
}
