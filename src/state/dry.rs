//! Opens a state so that none of its files changes: for a run that changes nothing, not even by an upgrade or by what a
//! killed run left in the log, and for any other until it has something to write.

use super::{Access, FileId, State, StateError, VERSION, create, lock, newer, opening, settings, upgrade};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, MAIN_DB, OpenFlags};
use rustix::fs::access;
use std::ffi::OsStr;
use std::fmt::Write;
use std::io::ErrorKind;
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

/// A connection that only reads a state of today's layout, and which file that is. `None` where there is none, where it
/// lacks what is in a log, where it could not be written, and where anything fails: whoever opens it to write finds out.
/// The lock must be held.
pub(super) fn settled(path: &Path) -> Option<(Connection, FileId)> {
    let file = FileId::of(path)?;
    let real = path.canonicalize().ok()?;
    let can_write = |path: &Path| access(path, rustix::fs::Access::WRITE_OK).is_ok();
    // A log is made beside it.
    if has_log(&real) || !can_write(&real) || !real.parent().is_some_and(can_write) {
        return None;
    }
    let connection = read(&real).ok()?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).ok()?;
    (version == VERSION).then_some((connection, file))
}

/// Whether anything may be in a log beside the file, which is its own name and no link: the log has its name from that.
fn has_log(real: &Path) -> bool {
    ["-wal", "-journal"].iter().any(|end| {
        let log = [real.as_os_str().as_bytes(), end.as_bytes()].concat();
        match Path::new(OsStr::from_bytes(&log)).metadata() {
            Ok(log) => log.len() > 0,
            Err(err) => err.kind() != ErrorKind::NotFound,
        }
    })
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
    if let Some(real) = path.canonicalize().ok().filter(|real| !has_log(real)) {
        return read(&real);
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
    use std::path::PathBuf;

    fn noted(text: &str) -> Change {
        Change::Noted { side: Side::Local, noted: Noted(text.as_bytes().to_vec()) }
    }

    fn beside(path: &Path, end: &str) -> PathBuf {
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
        let folder = state.add_folder(&Sides::new(b"INBOX".to_vec(), b"INBOX".to_vec()), &inbox, None).expect("added");
        assert_eq!(state.folders().expect("read").first().map(|pair| pair.id), Some(folder));
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
        // The log has the name of the file, and not that of a link to it.
        let link = dir.path().join("link.db");
        std::os::unix::fs::symlink(&killed, &link).expect("linked");
        for path in [&link, &killed] {
            assert!(settled(path).is_none());
            let state = State::open_dry(path).expect("opened");
            assert_eq!(state.noted(Side::Local).expect("read"), Some(Noted(b"one".to_vec())));
        }
        let state = State::open(&link).expect("opened");
        assert_eq!(state.noted(Side::Local).expect("read"), Some(Noted(b"one".to_vec())));
        drop(state);
        assert!(settled(&link).is_some() && is_alone(&killed));
    }

    /// A state that is opened to read, whose file was moved since: where it was, and where it is.
    fn read_and_moved_away() -> (tempfile::TempDir, PathBuf, PathBuf, State) {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, away) = (dir.path().join("a.db"), dir.path().join("away.db"));
        drop(State::open(&path).expect("made"));
        let state = State::open(&path).expect("opened");
        std::fs::rename(&path, &away).expect("moved away");
        (dir, path, away, state)
    }

    #[test]
    fn a_file_that_took_the_place_of_the_one_that_was_read_is_not_written() {
        let (_dir, path, away, state) = read_and_moved_away();
        let failed = |state: &State| state.apply(&[noted("one")]).expect_err("refused").to_string();
        assert!(failed(&state).contains("moved away or replaced"), "{}", failed(&state));
        assert!(!path.exists());
        std::fs::copy(&away, &path).expect("another one");
        assert!(failed(&state).contains("moved away or replaced"), "{}", failed(&state));
        std::fs::rename(&away, &path).expect("back again");
        state.apply(&[noted("two")]).expect("committed");
    }

    #[test]
    fn what_failed_is_not_committed_with_what_comes_later() {
        let (_dir, path, away, state) = read_and_moved_away();
        let held = state.lock();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| state.apply(&[noted("one")]));
            while state.queue.lock().expect("no panic").is_empty() {
                std::thread::yield_now();
            }
            drop(held);
            waiting.join().expect("no panic").expect_err("refused");
        });
        std::fs::rename(&away, &path).expect("back again");
        state.apply(&[Change::Compared { at: 7 }]).expect("committed");
        assert_eq!((state.compared().expect("read"), state.noted(Side::Local).expect("read")), (Some(7), None));
    }

    #[test]
    fn what_is_set_aside_survives_that_the_state_was_opened_to_read() {
        use crate::mail::{Appeared, Flags, Identity, Key};
        use crate::state::Candidate;
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.db");
        let inbox = Sides::new(FolderName::inbox(), FolderName::inbox());
        let wires = Sides::new(b"INBOX".to_vec(), b"INBOX".to_vec());
        let folder = State::open(&path).and_then(|state| state.add_folder(&wires, &inbox, None)).expect("made");
        let state = State::open(&path).expect("opened");
        state.drop_candidates(folder).expect("none");
        let appeared = Appeared { key: Key::Uid(7), flags: Flags::new(), size: None };
        let one = Candidate { part: 0, appeared, identity: Identity::default() };
        state.set_aside(folder, Side::Remote, [one].into_iter()).expect("set aside");
        state.apply(&[noted("one")]).expect("committed");
        assert_eq!(state.candidates(folder, Side::Remote, 0).expect("read").len(), 1);
    }

    #[test]
    fn a_state_that_can_not_be_written_is_told_when_it_is_opened() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.db");
        drop(State::open(&path).expect("made"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).expect("changed");
        // Whoever may do anything may do this too.
        let all_powerful = std::fs::OpenOptions::new().append(true).open(&path).is_ok();
        assert_eq!(State::open(&path).is_ok(), all_powerful);
    }
}
