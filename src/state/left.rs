//! What a state says of how things were left, without any server.

use super::{StateError, open_read_only};
use std::fs;
use std::path::Path;
use std::time::SystemTime;

/// How the last run left an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// When the last run that locked the state began; `None` where there was none.
    pub run: Option<SystemTime>,
    /// Deletions that the guards hold.
    pub held: u64,
    /// Messages that wait after errors.
    pub waiting: u64,
}

/// Reads it without locking the state and without changing anything; nothing is left where there is no such file.
pub fn read_left(path: &Path) -> Result<Left, StateError> {
    let Some(connection) = open_read_only(path)? else { return Ok(Left::default()) };
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs);
    let version = number("PRAGMA user_version")?;
    // Each run writes into the lock who it is. Where that is gone, only this is not known.
    let run = fs::metadata(path.with_extension("lock")).and_then(|is| is.modified()).ok();
    let held = number("SELECT coalesce(sum(local_held + remote_held), 0) FROM folder")?;
    // Layout 1 had no ledger; the next sync brings it up.
    let waiting = if version < 2 { 0 } else { number("SELECT count(*) FROM problem")? };
    Ok(Left { run, held, waiting })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{FolderName, Side, Sides, Withheld};
    use crate::state::{Change, State};

    #[test]
    fn what_is_held_is_told_while_another_run_has_the_lock() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("main.db");
        assert_eq!(read_left(&path).expect("no state"), Left::default());
        let state = State::open(&path).expect("a state");
        let names = Sides::new("INBOX", "INBOX").map(|name| FolderName::parse(name).expect("a name"));
        let folder = state.add_folder(&Sides::new(b"I".to_vec(), b"I".to_vec()), &names, None).expect("a folder");
        let held = |side, count| Change::Held { folder, side, held: Withheld { count, emptied: false } };
        state.apply(&[held(Side::Local, 3), held(Side::Remote, 4)]).expect("committed");
        let left = read_left(&path).expect("read");
        assert_eq!((left.held, left.waiting), (7, 0));
        assert!(left.run.is_some_and(|run| run.elapsed().is_ok_and(|ago| ago.as_secs() < 3600)));
    }

    #[test]
    fn a_file_that_is_no_state_is_an_error() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("main.db");
        fs::write(&path, vec![b'x'; 4096]).expect("write");
        assert!(read_left(&path).is_err());
    }
}
