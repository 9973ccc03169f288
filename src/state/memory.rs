//! A state in memory, for dry runs, tests and benches: the one in a file, but gone when it is dropped.

use super::{State, StateError};
use rusqlite::{Connection, MAIN_DB};
use std::path::Path;

/// Where a database file says that it has a log beside it, which one in memory can't have (file format, section 1.3).
const JOURNAL: std::ops::Range<usize> = 18..20;

/// Stands for the path in errors.
const NOWHERE: &str = "in memory";

impl State {
    /// A state that knows nothing yet.
    pub fn in_memory() -> Result<State, StateError> {
        State::prepare(Connection::open_in_memory()?, None, Path::new(NOWHERE))
    }

    /// A state in memory that has all that `image` has, its name too. Fails where that is no database.
    pub fn of_image(image: &[u8]) -> Result<State, StateError> {
        State::prepare(connection_of(image)?, None, Path::new(NOWHERE))
    }

    /// All that was committed, as the bytes of a database file.
    pub fn image(&self) -> Result<Vec<u8>, StateError> {
        Ok(self.lock().serialize(MAIN_DB)?.to_vec())
    }
}

/// The same database in memory, with all that was committed.
pub(super) fn copy_of(connection: &mut Connection) -> rusqlite::Result<Connection> {
    let mut image = connection.serialize(MAIN_DB)?.to_vec();
    if let Some(journal) = image.get_mut(JOURNAL) {
        journal.fill(1);
    }
    connection_of(&image)
}

fn connection_of(image: &[u8]) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open_in_memory()?;
    connection.deserialize_read_exact(MAIN_DB, image, image.len(), false)?;
    Ok(connection)
}
