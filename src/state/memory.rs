//! A state in memory, for tests and benches: the one in a file, but without lock, and gone when it is dropped.

use super::{State, StateError};
use rusqlite::{Connection, MAIN_DB};
use std::path::Path;

/// Stands for the path in errors.
const NOWHERE: &str = "in memory";

impl State {
    /// A state that knows nothing yet.
    pub fn in_memory() -> Result<State, StateError> {
        State::prepare(Connection::open_in_memory()?, None, Path::new(NOWHERE))
    }

    /// A state in memory that has all that `image` has, its name too. Fails where that is no database.
    pub fn of_image(image: &[u8]) -> Result<State, StateError> {
        let mut connection = Connection::open_in_memory()?;
        connection.deserialize_read_exact(MAIN_DB, image, image.len(), false)?;
        State::prepare(connection, None, Path::new(NOWHERE))
    }

    /// All that was committed, as the bytes of a database file.
    pub fn image(&self) -> Result<Vec<u8>, StateError> {
        Ok(self.lock().writing()?.serialize(MAIN_DB)?.to_vec())
    }
}
