//! Failures of the disk, as a store tells them.

use crate::store::{Kind, Reach, StoreError, sys};
use rustix::io::Errno;
use std::io;
use std::path::Path;

/// Turns the system's error into a store's: the path, the cause, and what can be done about it.
pub(super) fn disk(reach: Reach, action: &str, path: &Path, error: impl Into<io::Error>) -> StoreError {
    let error = error.into();
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    let kind = if error.kind() == io::ErrorKind::NotFound { Kind::Missing } else { Kind::Disk };
    let hint = sys::hint(&error);
    let told = StoreError::new(reach, kind, action, format!("{}: {error}", path.display()));
    match errno {
        Some(Errno::ACCESS | Errno::PERM) => {
            told.with_hint(format!("check who owns {} and what its mode allows", path.display()))
        }
        _ => hint.into_iter().fold(told, StoreError::with_hint),
    }
}

/// Whether every other message will fail for the same reason.
pub(super) fn hits_all(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(Errno::NOSPC | Errno::DQUOT | Errno::ROFS | Errno::ACCESS | Errno::PERM | Errno::MFILE | Errno::NFILE)
    )
}

/// Whether a file that can't be read is to blame itself, and not what would hit the next one just as well.
pub(super) fn is_own(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, None | Some(Errno::ACCESS | Errno::PERM | Errno::IO | Errno::LOOP | Errno::NXIO | Errno::OVERFLOW))
}
