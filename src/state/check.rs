//! What a check asks of the state beyond its rows.

use super::{State, StateError, key_of};
use crate::mail::{FolderId, Key, Side};
use rusqlite::params;

/// More than so many lines of SQLite's own findings tell nothing new.
const LINES: usize = 20;

impl State {
    /// What SQLite finds wrong with the file, rows that belong to no folder, and folders that do not add up: a line each,
    /// none where it is sound.
    pub fn damage(&self) -> Result<Vec<String>, StateError> {
        let mut found = self.unsound()?;
        for pair in self.folders()? {
            if !self.adds_up(pair.id)? {
                found.push(format!("tally: the numbers of {} are not those of its messages", pair.names.remote));
            }
        }
        Ok(found)
    }

    fn unsound(&self) -> Result<Vec<String>, StateError> {
        let connection = self.lock();
        let mut statement = connection.prepare(&format!("PRAGMA quick_check({LINES})"))?;
        let lines = statement.query_map([], |row| row.get(0))?;
        let mut found: Vec<String> = lines.collect::<rusqlite::Result<_>>()?;
        found.retain(|line| line != "ok");
        let orphans = "SELECT \"table\" || ': ' || count(*) || ' rows of no folder' FROM pragma_foreign_key_check \
                       GROUP BY \"table\"";
        let mut statement = connection.prepare(orphans)?;
        let lines = statement.query_map([], |row| row.get(0))?;
        found.extend(lines.collect::<rusqlite::Result<Vec<String>>>()?);
        Ok(found)
    }

    /// The messages of a side that could not be copied and wait for another try, ascending.
    pub fn waiting(&self, folder: FolderId, side: Side) -> Result<Vec<Key>, StateError> {
        let connection = self.lock();
        let mut statement = connection.prepare("SELECT key FROM problem WHERE folder = ? AND side = ? ORDER BY key")?;
        let keys =
            statement.query_map(params![folder.0, i64::from(side == Side::Remote)], |row| key_of(row.get_ref(0)?))?;
        Ok(keys.collect::<rusqlite::Result<_>>()?)
    }
}
