//! The stamps that tell whether a folder changed, and the clock that makes them.

use super::deliver::TmpDrafter;
use super::error::disk;
use super::keywords;
use super::scan::Sub;
use crate::mail::Cursor;
use crate::store::draft::draft_error;
use crate::store::sys::{self, Seen};
use crate::store::{Drafter, Kind, Reach, StoreError};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

const SECOND: i128 = 1_000_000_000;
/// A directory that changed less than this ago may change again without a new time stamp, on any file system.
const YOUNG: i128 = 2 * SECOND;
/// The same where another machine's clock makes the stamps and can't be asked.
const YOUNG_BY_OUR_CLOCK: i128 = 60 * SECOND;
/// The same on a file system that counts nanoseconds: the kernel's clock ticks at least this often.
const TICK: i128 = SECOND / 20;

/// Room for the stamps of `new` and `cur`.
const ROOM: usize = 128;

/// Where `new`, `cur` and the keywords stand, without looking into them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamps {
    text: String,
    /// The latest change, in nanoseconds since 1970.
    latest: i128,
    /// Whether any stamp has a fraction of a second.
    fine: bool,
    /// Whether `cur` is a directory.
    pub(super) of_folder: bool,
}

impl Stamps {
    pub(super) fn take(dir: &Path) -> Result<Stamps, StoreError> {
        Stamps::of(true, |name| sys::look(&dir.join(name)), |name| dir.join(name))
    }

    /// The same of a folder that may be known to have no file of keywords, whose parts are looked at by `look`; `path`
    /// tells where they are.
    pub(super) fn of(
        keywords: bool,
        mut look: impl FnMut(&str) -> io::Result<Seen>,
        path: impl Fn(&str) -> PathBuf,
    ) -> Result<Stamps, StoreError> {
        let mut stamps = Stamps { text: String::with_capacity(ROOM), latest: 0, fine: false, of_folder: false };
        let parts = ["new", "cur"].into_iter().chain(keywords.then_some(keywords::FILE));
        for name in parts {
            match look(name) {
                Ok(seen) => {
                    stamps.add(&name[..1], &seen);
                    stamps.of_folder |= name == Sub::Cur.name() && seen.is_dir;
                }
                Err(err) if err.kind() == io::ErrorKind::NotFound && name == keywords::FILE => {}
                Err(err) if err.kind() == io::ErrorKind::NotFound => {
                    let cause = format!("{} is not there", path(name).display());
                    return Err(StoreError::new(Reach::Folder, Kind::Missing, "look", cause).with_hint(sys::AWAY));
                }
                Err(err) => return Err(disk(Reach::Folder, "look", &path(name), err)),
            }
        }
        Ok(stamps)
    }

    fn add(&mut self, what: &str, seen: &Seen) {
        let (mtime, ctime) = (nanos(seen.mtime), nanos(seen.ctime));
        self.text.push_str(what);
        self.text.push_str(itoa::Buffer::new().format(seen.ino));
        for time in [mtime, ctime] {
            self.text.push('.');
            // Nearly all times have room in 64 bits, which are told in a fraction of the time.
            match i64::try_from(time) {
                Ok(time) => self.text.push_str(itoa::Buffer::new().format(time)),
                Err(_) => self.text.push_str(itoa::Buffer::new().format(time)),
            }
        }
        self.text.push(' ');
        self.latest = self.latest.max(mtime).max(ctime);
        self.fine |= mtime % SECOND != 0 || ctime % SECOND != 0;
    }

    /// Whether the next change will surely make a new stamp, as far as two looks of one run are concerned.
    pub(super) fn settled(&self, now: &Now) -> bool {
        now.nanos - self.latest > if self.fine && now.of_file_system { TICK } else { YOUNG }
    }

    /// The latest change in a cursor's mark, in nanoseconds since 1970; `None` where it is no such mark.
    pub(super) fn latest_in(mark: &str) -> Option<i128> {
        let stamp = |word: &str| {
            let mut numbers = word.get(1..)?.split('.').skip(1).map(|number| number.parse::<i128>().ok());
            let (mtime, ctime) = (numbers.next()??, numbers.next()??);
            numbers.next().is_none().then_some(mtime.max(ctime))
        };
        mark.split(' ').map(stamp).collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    pub(super) fn cursor(&self, now: &Now) -> Cursor {
        self.clone().into_cursor(now)
    }

    pub(super) fn into_cursor(mut self, now: &Now) -> Cursor {
        self.text.truncate(self.text.trim_end().len());
        Cursor { generation: 0, mark: self.text, conclusive: now.is_long_after(self.latest) }
    }
}

/// The present.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    nanos: i128,
    /// Whether it is by the clock that stamps the files.
    of_file_system: bool,
}

impl Now {
    /// Whether a stamp is later than the present, by more than clocks differ.
    pub(super) fn is_before(&self, stamp: i128) -> bool {
        stamp - self.nanos > YOUNG_BY_OUR_CLOCK
    }

    /// Whether what changed at `stamp` will surely get another stamp when it changes again.
    pub(super) fn is_long_after(&self, stamp: i128) -> bool {
        self.nanos - stamp > if self.of_file_system { YOUNG } else { YOUNG_BY_OUR_CLOCK }
    }

    /// A while after something changed.
    #[cfg(test)]
    pub(super) fn later(seen: &Seen) -> Now {
        Now { nanos: nanos(seen.ctime) + YOUNG + 1, of_file_system: true }
    }

    /// When nothing of what is there now is young.
    #[cfg(test)]
    pub(super) fn in_a_while() -> Now {
        let Now { nanos, .. } = Now::by_our_clock();
        Now { nanos: nanos + 2 * YOUNG, of_file_system: true }
    }

    /// By the clock that stamps the files of `dir`: this machine's, where it keeps the file system itself; else that of
    /// whoever does, asked through a file without a name or one in `tmp`; where neither can be made, our own.
    pub(super) fn on(dir: &Path) -> Now {
        match sys::has_our_clock(dir) {
            // Nothing is written for it.
            true => Now { of_file_system: true, ..Now::by_our_clock() },
            false => Now::asked_of(dir),
        }
    }

    fn by_our_clock() -> Now {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { nanos: since.as_nanos() as i128, of_file_system: false }
    }

    fn asked_of(dir: &Path) -> Now {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let nameless = rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR).map(File::from).map_err(io::Error::from);
        let stamp = nameless.and_then(|file| file.metadata());
        match stamp.or_else(|_| {
            TmpDrafter::new(dir)
                .draft()
                .and_then(|draft| draft.file().metadata().map_err(|err| draft_error("look", err)))
        }) {
            Ok(meta) => Now { nanos: nanos((meta.ctime(), meta.ctime_nsec())), of_file_system: true },
            Err(_) => Now::by_our_clock(),
        }
    }
}

/// A time in nanoseconds since 1970, from its seconds and the rest.
pub(super) fn nanos((seconds, nanos): (i64, i64)) -> i128 {
    i128::from(seconds) * SECOND + i128::from(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::maildir::tests::maildir;
    use std::fs;

    #[test]
    fn a_folder_that_just_changed_has_no_conclusive_cursor() {
        let dir = maildir();
        let stamps = Stamps::take(dir.path()).expect("stamps");
        assert!(!stamps.cursor(&Now::on(dir.path())).conclusive);
        let later = Now { nanos: stamps.latest + YOUNG + 1, of_file_system: true };
        assert!(stamps.cursor(&later).conclusive);
        fs::write(dir.path().join("new/x"), "x").expect("written");
        assert_ne!(Stamps::take(dir.path()).expect("stamps").text, stamps.text);
    }

    #[test]
    fn the_clock_that_stamps_files_can_be_asked_and_is_ours_here() {
        let dir = maildir();
        let (before, asked) = (Now::by_our_clock(), Now::asked_of(dir.path()));
        assert!(asked.of_file_system && (asked.nanos - before.nanos).abs() < YOUNG, "{before:?} {asked:?}");
        let (before, now) = (Now::asked_of(dir.path()), Now::on(dir.path()));
        assert!(now.of_file_system && now.nanos - before.nanos > -TICK, "{before:?} {now:?}");
    }

    #[test]
    fn a_missing_directory_is_told_as_missing() {
        let dir = maildir();
        fs::remove_dir(dir.path().join("cur")).expect("removed");
        assert_eq!(Stamps::take(dir.path()).expect_err("missing").kind, Kind::Missing);
    }
}
