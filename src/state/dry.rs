//! Opens a state so that none of its files changes: not by an upgrade, nor by what a killed run left in the log.

use super::{State, StateError, VERSION, create, lock, newer, settings, upgrade};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, MAIN_DB, OpenFlags};
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

impl State {
    /// Opens the state for a run that changes nothing, and locks it: a state in memory where there is none yet, or one
    /// of an older layout. Whoever tries to change a state of today's layout gets an error.
    pub fn open_dry(path: &Path) -> Result<State, StateError> {
        if !path.exists() {
            return State::prepare(Connection::open_in_memory()?, None, path);
        }
        let action = || format!("open the state {}", path.display());
        let failed = |err: rusqlite::Error| StateError::sqlite(action(), err);
        let lock = lock::take(path)?;
        let connection = look_at(path).map_err(failed)?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
        let connection = match version {
            0 => {
                let connection = Connection::open_in_memory().map_err(failed)?;
                create(&connection).map_err(failed)?;
                connection
            }
            VERSION => connection,
            older @ 1..VERSION => {
                let copy = in_memory(connection).map_err(failed)?;
                upgrade(&copy, older).map_err(failed)?;
                copy
            }
            version => return Err(newer(action(), version)),
        };
        State::over(connection, Some(lock)).map_err(failed)
    }
}

/// Opens the file only to read it. The lock must be held: SQLite is told that nobody else writes.
fn look_at(path: &Path) -> rusqlite::Result<Connection> {
    let log = [path.as_os_str().as_bytes(), b"-wal"].concat();
    let log = Path::new(std::ffi::OsStr::from_bytes(&log));
    if !log.metadata().is_ok_and(|log| log.len() > 0) {
        // All of it is in the one file. A plain reader would make a log and its index.
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(format!("file:{}?immutable=1", escaped(path)), flags)?;
        settings(&connection)?;
        return Ok(connection);
    }
    // What a killed run committed is in the log: it is read there, with an index in memory, and left there at the end.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    settings(&connection)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.execute_batch("PRAGMA locking_mode=EXCLUSIVE; PRAGMA query_only=ON;")?;
    Ok(connection)
}

/// All that was committed, in a database that is gone when it is closed.
fn in_memory(mut connection: Connection) -> rusqlite::Result<Connection> {
    let mut image = connection.serialize(MAIN_DB)?.to_vec();
    // The two version numbers of the file format: 2 asks for a log, which a database in memory can't have.
    image.get_mut(18..20).into_iter().for_each(|versions| versions.fill(1));
    let mut copy = Connection::open_in_memory()?;
    copy.deserialize_read_exact(MAIN_DB, image.as_slice(), image.len(), false)?;
    settings(&copy)?;
    Ok(copy)
}

/// A path as it stands in a URI.
fn escaped(path: &Path) -> String {
    path.as_os_str().as_bytes().iter().fold(String::new(), |mut text, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => text.push(char::from(*byte)),
            // Writing to a String can't fail.
            _ => drop(write!(text, "%{byte:02X}")),
        }
        text
    })
}
