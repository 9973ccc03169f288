//! The marker in a root: whose Maildir this is.

use super::error::disk;
use super::filename::unique;
use super::scan::open_plain;
use crate::store::{Claim, Kind, Lock, Reach, StoreError, sys};
use rustix::io::Errno;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const FILE: &str = ".mailsync";
/// The owner is in the first line, the turn in the second; both are within so many bytes.
const LIMIT: u64 = 4096;
const TURN: &str = "turn ";

/// Reads the root's marker.
pub(super) fn claim(root: &Path, owner: &str) -> Result<Claim, StoreError> {
    match sys::look(root) {
        Ok(meta) if meta.is_dir => {}
        Ok(_) => return Ok(Claim::Missing),
        Err(err) if matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Claim::Missing);
        }
        Err(err) => return Err(disk(Reach::Account, "look for the Maildir", root, err)),
    }
    let Some(text) = read(root)? else { return Ok(Claim::Unmarked) };
    let marked = one_line(text.lines().next().unwrap_or_default());
    Ok(if marked == one_line(owner) { Claim::Ours } else { Claim::Foreign(marked) })
}

/// The turn that the root's marker names; 0 where there is none.
pub(super) fn turn(root: &Path) -> Result<u64, StoreError> {
    let text = read(root)?.unwrap_or_default();
    let named = text.lines().nth(1).and_then(|line| line.strip_prefix(TURN));
    Ok(named.and_then(|number| number.trim().parse().ok()).unwrap_or(0))
}

fn read(root: &Path) -> Result<Option<String>, StoreError> {
    let path = root.join(FILE);
    let mut text = Vec::new();
    let read = match open_plain(&path) {
        Ok(file) => file.take(LIMIT).read_to_end(&mut text),
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => Err(err),
    };
    read.map_err(|err| disk(Reach::Account, "read the owner's mark", &path, err))?;
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// Writes the root's marker, replacing one that is there.
pub(super) fn mark(root: &Path, owner: &str, turn: u64) -> Result<(), StoreError> {
    write(root, owner, turn, || Ok(()))
}

/// Replaces the root's marker by a later one of the same owner.
pub(super) fn advance(root: &Path, owner: &str, turn: u64) -> Result<(), StoreError> {
    // Asked for when the new one is in the root already: should another root be in its place now, it can't get there.
    write(root, owner, turn, || match claim(root, owner)? {
        Claim::Ours => Ok(()),
        _ => {
            let cause = format!("{} is not the tree any more that it was when the run began", root.display());
            let error = StoreError::new(Reach::Account, Kind::Missing, "write the owner's mark", cause);
            Err(error.with_hint("was it unmounted or moved meanwhile? put it back, then run again"))
        }
    })
}

fn write(
    root: &Path,
    owner: &str,
    turn: u64,
    check: impl FnOnce() -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let (path, new) = (root.join(FILE), root.join(format!("{FILE}.{}", unique())));
    let failed = |err| disk(Reach::Account, "write the owner's mark", &path, err);
    let stage = || -> io::Result<()> {
        let mut file = sys::open(OpenOptions::new().write(true).create_new(true).mode(0o600), &new)?;
        sys::set_mode(&file, 0o600)?;
        sys::write_all(&mut file, text(owner, turn).as_bytes())?;
        sys::sync(&file)
    };
    let replace = || -> io::Result<()> {
        sys::rename(&new, &path)?;
        sys::sync_dir(root)
    };
    let done = stage().map_err(failed).and_then(|()| check()).and_then(|()| replace().map_err(failed));
    if done.is_err() {
        // What is left of a failed attempt says nothing: only the marker's own name counts.
        let _ = sys::remove_file(&new);
    }
    done
}

/// Locks the root itself, so that nothing has to be left in it. Where its file system knows no locks on directories,
/// there is none.
pub(super) fn lock(root: &Path) -> Result<Option<Lock>, StoreError> {
    let failed = |err| disk(Reach::Account, "lock the Maildir", root, err);
    let directory = match File::open(root) {
        Ok(directory) => directory,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(failed(err)),
    };
    match directory.try_lock() {
        Ok(()) => Ok(Some(Lock::new(directory))),
        Err(TryLockError::WouldBlock) => {
            let cause = format!("another run uses {}", root.display());
            let error = StoreError::new(Reach::Account, Kind::Locked, "lock the Maildir", cause);
            Err(error.with_hint("it goes on by itself; try again when it has ended"))
        }
        Err(TryLockError::Error(err)) => {
            let unknown = [Errno::BADF, Errno::NOLCK, Errno::NOTSUP, Errno::INVAL, Errno::NOSYS];
            match Errno::from_io_error(&err).is_some_and(|errno| unknown.contains(&errno)) {
                true => Ok(None),
                false => Err(failed(err)),
            }
        }
    }
}

fn text(owner: &str, turn: u64) -> String {
    format!(
        "{}\n{TURN}{turn}\n\n\
         The first line says which account mailsync keeps in step with this Maildir,\n\
         the second tells it from an older copy of it. Without them an empty directory,\n\
         say one where nothing is mounted, could be taken for a mailbox whose messages\n\
         were all deleted. Please leave this file here.\n",
        one_line(owner)
    )
}

fn one_line(owner: &str) -> String {
    owner.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(1000).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_marker_tells_whose_maildir_it_is() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(claim(dir.path(), "work").expect("read"), Claim::Unmarked);
        assert_eq!(turn(dir.path()).expect("read"), 0);
        mark(dir.path(), "work\n1234", 7).expect("marked");
        assert_eq!(turn(dir.path()).expect("read"), 7);
        assert_eq!(claim(dir.path(), "work\n1234").expect("read"), Claim::Ours);
        assert_eq!(claim(dir.path(), "home").expect("read"), Claim::Foreign("work 1234".to_owned()));
        advance(dir.path(), "work\n1234", 8).expect("marked anew");
        assert_eq!(turn(dir.path()).expect("read"), 8);
        assert_eq!(advance(dir.path(), "home", 9).expect_err("another's").kind, Kind::Missing);
        assert_eq!(turn(dir.path()).expect("read"), 8);
        assert_eq!(fs::metadata(dir.path().join(FILE)).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1);
    }

    #[test]
    fn a_root_has_one_user_at_a_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = lock(dir.path()).expect("locked").expect("a lock");
        let refused = lock(dir.path()).expect_err("taken");
        assert_eq!((refused.kind, refused.reach), (Kind::Locked, Reach::Account));
        drop(first);
        assert!(lock(dir.path()).expect("free again").is_some());
        assert!(lock(&dir.path().join("none")).expect("nothing to lock").is_none());
    }

    #[test]
    fn a_root_that_is_not_there_is_missing() {
        let dir = tempfile::tempdir().expect("a directory");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/nowhere/at/all", &link).expect("linked");
        fs::write(dir.path().join("file"), "").expect("written");
        for name in ["link", "file", "none", "file/below"] {
            assert_eq!(claim(&dir.path().join(name), "work").expect("read"), Claim::Missing, "{name}");
        }
    }
}
