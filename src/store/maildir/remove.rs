//! Removes a folder that holds nothing any more.

use super::error::disk;
use super::{SUBFOLDER, keywords, make_dir, prune, sync_parent};
use crate::store::{Kind, Reach, StoreError, sys};
use std::io;
use std::path::{Path, PathBuf};

/// What Dovecot keeps in a folder, and can make again.
const INDEX: &str = "dovecot.index";
const UID_LIST: [&str; 2] = ["dovecot-uidlist", "dovecot-uidvalidity"];

/// Removes the folder in `dir`; where anything is in it that is neither ours nor an index, fails and leaves it whole.
/// Folders inside it stay.
pub(super) fn folder(root: &Path, dir: &Path) -> Result<(), StoreError> {
    if !dir.join("cur").is_dir() {
        return Ok(());
    }
    let own = removable(root, dir)?;
    let mut removed = Vec::new();
    // `cur` last: without it a directory is no folder, and a message that arrives meanwhile would not be seen.
    for sub in ["tmp", "new", "cur"] {
        let path = dir.join(sub);
        match sys::remove_dir(&path) {
            Ok(()) => removed.push(path),
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            Err(err) => {
                removed.iter().try_for_each(|path| make_dir(path).map(drop))?;
                return match err.kind() {
                    io::ErrorKind::DirectoryNotEmpty => Err(refused(format!("{} is not empty", path.display()))),
                    _ => Err(disk(Reach::Folder, "delete", &path, err)),
                };
            }
        }
    }
    for file in own {
        sys::remove_file(&file).map_err(|err| disk(Reach::Folder, "delete", &file, err))?;
    }
    match sys::remove_dir(dir) {
        // The folders inside it.
        Err(err) if err.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        Err(err) => Err(disk(Reach::Folder, "delete", dir, err)),
        Ok(()) => {
            sync_parent(dir)?;
            prune(root, dir)
        }
    }
}

fn refused(cause: String) -> StoreError {
    StoreError::new(Reach::Folder, Kind::Refused, "delete", cause)
}

/// The files that go with the folder; fails where it can't be removed even if it holds no message.
pub(super) fn removable(root: &Path, dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    match dir == root || dir.is_symlink() {
        true => Err(refused("it is the root, or a link to a directory elsewhere".to_owned())),
        false => own_files(dir),
    }
}

/// The files that go with the folder. A file of any other kind is somebody's.
fn own_files(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let failed = |err: io::Error| disk(Reach::Folder, "delete", dir, err);
    let mut own = Vec::new();
    for entry in sys::list(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let known = name == SUBFOLDER || name == keywords::FILE || UID_LIST.contains(&name.as_str());
        match entry.file_type().map_err(failed)? {
            kind if kind.is_file() && (known || name.starts_with(INDEX)) => own.push(entry.path()),
            // Directories with what is in them stay.
            kind if kind.is_dir() => {}
            _ => {
                let cause = format!("{} is in it, which is no message and no index", entry.path().display());
                return Err(refused(cause).with_hint("move it away, or remove the folder by hand"));
            }
        }
    }
    Ok(own)
}
