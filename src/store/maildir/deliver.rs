//! How a message gets into a folder: written in `tmp`, made durable, renamed, the directory made durable.

use super::error::{disk, hits_all};
use super::filename::{SUFFIX, unique};
use super::scan::Sub;
use crate::store::{Draft, Drafter, Reach, StoreError, sys};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// From so many files on, one sync of the file system costs less than one of each file.
const MANY: usize = 8;
const HOUR: Duration = Duration::from_secs(3600);
/// When a file of ours in `tmp` is taken for left behind; the tradition has 36 hours for anybody's.
const OURS_STALE: Duration = HOUR.saturating_mul(4);
const STALE: Duration = HOUR.saturating_mul(36);
/// Mail is its owner's alone.
const MODE: u32 = 0o600;

/// Makes empty files in a folder's `tmp` that only the owner can read, whatever the umask.
pub(super) struct TmpDrafter {
    tmp: PathBuf,
    /// Whether the files come with the right mode by themselves; `None` before the first.
    right: Option<bool>,
}

impl TmpDrafter {
    pub(super) fn new(dir: &Path) -> TmpDrafter {
        TmpDrafter { tmp: dir.join("tmp"), right: None }
    }
}

impl Drafter for TmpDrafter {
    fn draft(&mut self) -> Result<Draft, StoreError> {
        let path = self.tmp.join(unique());
        let failed = |err| disk(Reach::Folder, "write a message", &path, err);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(MODE);
        let file = sys::open(&options, &path).map_err(failed)?;
        let draft = Draft::new(file, Some(path.clone()));
        let right = match self.right {
            Some(right) => right,
            // The umask and the directory's ACL make all of them alike.
            None => draft.file().metadata().map_err(failed)?.mode() & 0o7777 == MODE,
        };
        if !right {
            sys::set_mode(draft.file(), MODE).map_err(failed)?;
        }
        self.right = Some(right);
        Ok(draft)
    }
}

/// Makes an empty file, if it is not there.
pub(super) fn touch(path: &Path) -> Result<(), StoreError> {
    let failed = |err| disk(Reach::Folder, "create", path, err);
    match sys::open(OpenOptions::new().write(true).create_new(true).mode(MODE), path) {
        Ok(file) => sys::set_mode(&file, MODE).map_err(failed),
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(err) => Err(failed(err)),
    }
}

/// Makes a draft a file of this folder's `tmp` with the right date, copying it if need be. The error reaches the folder
/// where the next message would fail alike.
pub(super) fn stage(dir: &Path, mut body: Draft, date: Option<i64>) -> Result<Draft, StoreError> {
    let failed = |err: io::Error| {
        let reach = if hits_all(&err) { Reach::Folder } else { Reach::Message };
        disk(reach, "write a message", &dir.join("tmp"), err)
    };
    let at = body.path().and_then(Path::parent);
    let here = at.is_some_and(|at| at.parent() == Some(dir) && at.file_name() == Some(OsStr::new("tmp")));
    let staged = match here {
        true => body,
        false => {
            let mut copy = TmpDrafter::new(dir).draft()?;
            body.reader().and_then(|reader| copy.fill(reader)).map_err(failed)?;
            copy
        }
    };
    if let Some(date) = date {
        sys::set_date(staged.file(), date).map_err(failed)?;
    }
    Ok(staged)
}

/// Makes the content of staged drafts durable.
pub(super) fn make_durable(dir: &Path, drafts: &[&Draft]) -> Result<(), StoreError> {
    let failed = |err: io::Error| disk(Reach::Folder, "make messages durable", &dir.join("tmp"), err);
    if drafts.len() >= MANY {
        // Tells of every failed write since that file was opened, the other files' too.
        return sys::sync_all_with(drafts[0].file()).map_err(failed);
    }
    // Not fdatasync: the date is the message's, and has to survive as well.
    drafts.iter().try_for_each(|draft| sys::sync(draft.file()).map_err(failed))
}

/// Renames without replacing a file. Where the file system can't do that in one step, it is looked first whether there is
/// one: that another program gives another message this very name in between is not to be feared. A link and an unlink
/// would leave the message under both names if we ended in between.
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match sys::rename_to_free(from, to) {
        Ok(()) => Ok(()),
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => match sys::is_free(to)? {
            true => sys::rename(from, to),
            false => Err(Errno::EXIST.into()),
        },
        Err(err) => Err(err.into()),
    }
}

/// Makes what was renamed or removed in `new` or `cur` durable.
pub(super) fn sync_dir(dir: &Path, sub: Sub) -> Result<(), StoreError> {
    let path = dir.join(sub.name());
    sys::sync_dir(&path).map_err(|err| disk(Reach::Folder, "sync", &path, err))
}

/// Removes from `tmp` what a crash left there: files of ours after 4 hours, anything after 36.
pub(super) fn sweep(dir: &Path) -> Result<(), StoreError> {
    let tmp = dir.join("tmp");
    let failed = |err| disk(Reach::Folder, "clean up", &tmp, err);
    for entry in sys::list(&tmp).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Ok(meta) = entry.metadata() else { continue };
        // The change time counts too: a draft may bear the date of its message.
        let touched = [meta.ctime(), meta.mtime(), meta.atime()].into_iter().max().unwrap_or(0);
        let touched = UNIX_EPOCH + Duration::from_secs(u64::try_from(touched).unwrap_or(0));
        let age = SystemTime::now().duration_since(touched).unwrap_or_default();
        let ours = entry.file_name().as_bytes().ends_with(OsStr::new(SUFFIX).as_bytes());
        if meta.is_file() && age > if ours { OURS_STALE } else { STALE } {
            match sys::remove_file(&entry.path()) {
                Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(failed(err)),
                _ => {}
            }
        }
    }
    Ok(())
}
