//! What a store noted of its last listing.

use super::{State, StateError, side_number};
use crate::mail::{Noted, Side};
use rusqlite::{Connection, OptionalExtension, params};

impl State {
    /// What this side's store noted when it last listed its folders.
    pub fn noted(&self, side: Side) -> Result<Option<Noted>, StateError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached("SELECT noted FROM listing WHERE side = ?")?;
        Ok(statement.query_row([side_number(side)], |row| row.get(0).map(Noted)).optional()?)
    }
}

pub(super) fn note(connection: &Connection, side: Side, noted: &Noted) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO listing (side, noted) VALUES (?, ?)";
    connection.prepare_cached(sql)?.execute(params![side_number(side), noted.0])?;
    Ok(())
}
