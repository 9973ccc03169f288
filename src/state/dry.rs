//! Opens a state so that none of its files changes: not by an upgrade, nor by what a killed run left in the log.

use super::{Access, State, StateError, VERSION, create, lock, newer, opening, settings, upgrade};
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
        let failed = |err: rusqlite::Error| opening(path, err);
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
            version => return Err(newer(path, version)),
        };
        State::over(Access { connection, to_write: None }, Some(lock)).map_err(failed)
    }
}

/// A connection that only reads a state of today's layout; `None` where there is none, where it lacks what is in a log, and
/// where anything fails: whoever opens it to write finds out. The lock must be held.
pub(super) fn settled(path: &Path) -> Option<Connection> {
    if has_log(path) {
        return None;
    }
    let connection = read(path).ok()?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).ok()?;
    (version == VERSION).then_some(connection)
}

/// Whether anything is in the log.
fn has_log(path: &Path) -> bool {
    let log = [path.as_os_str().as_bytes(), b"-wal"].concat();
    Path::new(std::ffi::OsStr::from_bytes(&log)).metadata().is_ok_and(|log| log.len() > 0)
}

/// Reads the file, all of which is in itself: a plain reader would make a log and its index. SQLite is told that nobody
/// writes.
fn read(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(format!("file:{}?immutable=1", escaped(path)), flags)?;
    settings(&connection)?;
    Ok(connection)
}

/// Opens the file only to read it. The lock must be held.
fn look_at(path: &Path) -> rusqlite::Result<Connection> {
    if !has_log(path) {
        return read(path);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{FolderName, Noted, Side, Sides};
    use crate::state::Change;

    fn noted(text: &str) -> Change {
        Change::Noted { side: Side::Local, noted: Noted(text.as_bytes().to_vec()) }
    }

    fn beside(path: &Path, end: &str) -> std::path::PathBuf {
        path.with_extension(format!("db{end}"))
    }

    fn is_alone(path: &Path) -> bool {
        ["-wal", "-shm", "-journal"].iter().all(|end| !beside(path, end).exists())
    }

    #[test]
    fn a_state_that_is_only_read_makes_nothing_and_the_first_change_is_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.db");
        let state = State::open(&path).expect("made");
        state.apply(&[noted("one")]).expect("committed");
        drop(state);
        let state = State::open(&path).expect("opened");
        assert_eq!(state.noted(Side::Local).expect("read"), Some(Noted(b"one".to_vec())));
        assert!(is_alone(&path));
        state.apply(&[noted("two")]).expect("committed");
        assert!(beside(&path, "-wal").exists());
        assert_eq!(state.noted(Side::Local).expect("read"), Some(Noted(b"two".to_vec())));
        let inbox = Sides::new(FolderName::inbox(), FolderName::inbox());
        drop(state);
        let state = State::open(&path).expect("opened");
        assert!(is_alone(&path));
        let folder = state.add_folder(&Sides::new(b"INBOX".to_vec(), b"INBOX".to_vec()), &inbox, None);
        assert_eq!(state.folders().expect("read").first().map(|pair| pair.id), folder.ok());
        drop(state);
        assert_eq!(
            State::open(&path).and_then(|state| state.noted(Side::Local)).expect("read"),
            Some(Noted(b"two".into()))
        );
    }

    #[test]
    fn what_a_killed_run_left_in_the_log_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, killed) = (dir.path().join("a.db"), dir.path().join("b.db"));
        let state = State::open(&path).expect("made");
        state.apply(&[noted("one")]).expect("committed");
        for end in ["", "-wal"] {
            std::fs::copy(beside(&path, end), beside(&killed, end)).expect("copied as it is now");
        }
        assert!(settled(&killed).is_none());
        let state = State::open(&killed).expect("opened");
        assert_eq!(state.noted(Side::Local).expect("read"), Some(Noted(b"one".to_vec())));
    }
}
