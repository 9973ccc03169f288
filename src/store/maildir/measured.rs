//! What a file's content was found to be, and whether the file is still the one that was read.

use super::stamps::{Now, nanos};
use crate::store::Draft;
use crate::store::draft::Measure;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;

/// What a file's content is, as long as the file is as it was.
#[derive(Debug)]
pub(super) struct Measured {
    file: FileStamp,
    pub(super) measure: Measure,
}

impl Measured {
    /// Measures an open file. The result is worth keeping only where the file has not changed for so long that it can't
    /// change again under the same stamp.
    pub(super) fn measure(file: File, meta: &fs::Metadata, now: &Now) -> io::Result<(Measured, bool)> {
        let stamp = FileStamp::of(meta);
        let mut draft = Draft::from_file(file);
        let measure = draft.measure()?.clone();
        let lasts = now.is_long_after(stamp.changed) && FileStamp::of(&draft.file().metadata()?) == stamp;
        Ok((Measured { file: stamp, measure }, lasts))
    }

    pub(super) fn is_of(&self, meta: &fs::Metadata) -> bool {
        self.file == FileStamp::of(meta)
    }
}

/// What tells that a file is the same and has the same content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    bytes: u64,
    written: i128,
    changed: i128,
}

impl FileStamp {
    fn of(meta: &fs::Metadata) -> FileStamp {
        FileStamp {
            device: meta.dev(),
            inode: meta.ino(),
            bytes: meta.len(),
            written: nanos((meta.mtime(), meta.mtime_nsec())),
            changed: nanos((meta.ctime(), meta.ctime_nsec())),
        }
    }
}
