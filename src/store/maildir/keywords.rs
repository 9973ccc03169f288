//! Keywords in a Maildir: lower-case letters in the info part, named by the file `dovecot-keywords` of the folder.
//!
//! A line is `N name`; N is 0 for the letter `a` to 25 for `z`. Dovecot's own rule is followed for changing it:
//! `dovecot-keywords.lock`, whose existence is the lock, keeps others away while it is replaced.

use super::error::disk;
use super::filename::unique;
use super::scan::open_plain;
use crate::mail::{Flag, FlagSpace, Flags, Keyword};
use crate::store::{Kind, Reach, StoreError, sys};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

pub(super) const FILE: &str = "dovecot-keywords";
const LOCK: &str = "dovecot-keywords.lock";
/// A file that is longer is not one of ours or Dovecot's.
const SIZE_LIMIT: u64 = 64 * 1024;
/// Dovecot itself takes over a lock that is this old.
const STALE: Duration = Duration::from_secs(120);
const PATIENCE: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);
const LETTERS: usize = 26;

/// What the letters `a` to `z` stand for in one folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Keywords {
    /// Names as the file has them, by letter.
    names: [Option<String>; LETTERS],
}

impl Keywords {
    /// Reads the folder's file; no names where there is none.
    pub(super) fn load(dir: &Path) -> Result<Keywords, StoreError> {
        let path = dir.join(FILE);
        let mut text = Vec::new();
        match open_plain(&path) {
            Ok(file) => file.take(SIZE_LIMIT).read_to_end(&mut text),
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Keywords::default()),
            Err(err) => Err(err),
        }
        .map_err(|err| disk(Reach::Folder, "read the keywords", &path, err))?;
        Ok(Keywords::parse(&text))
    }

    /// Takes what can be read; the first name of a letter counts.
    pub(super) fn parse(text: &[u8]) -> Keywords {
        let mut keywords = Keywords::default();
        for line in String::from_utf8_lossy(text).lines() {
            let Some((number, name)) = line.trim_end().split_once(' ') else { continue };
            if let Some(slot) = number.parse().ok().and_then(|n: usize| keywords.names.get_mut(n))
                && slot.is_none()
                && !name.is_empty()
            {
                *slot = Some(name.to_owned());
            }
        }
        keywords
    }

    /// The file that says the same.
    pub(super) fn text(&self) -> String {
        let line = |(number, name): (usize, &Option<String>)| name.as_ref().map(|name| format!("{number} {name}\n"));
        self.names.iter().enumerate().filter_map(line).collect()
    }

    /// Whether a letter has a name, be it one that we can't use.
    pub(super) fn is_taken(&self, letter: u8) -> bool {
        self.slot(letter).is_some()
    }

    fn slot(&self, letter: u8) -> Option<&String> {
        self.names.get(usize::from(letter.checked_sub(b'a')?))?.as_ref()
    }

    /// The keyword that a letter stands for.
    pub(super) fn name(&self, letter: u8) -> Option<Keyword> {
        self.slot(letter).and_then(|name| Keyword::new(name))
    }

    /// The letter of a flag, upper-case or lower-case; `None` for a keyword that has none.
    pub(super) fn letter(&self, flag: &Flag) -> Option<u8> {
        match flag {
            Flag::Keyword(keyword) => {
                let same =
                    |name: &Option<String>| name.as_ref().is_some_and(|n| n.eq_ignore_ascii_case(keyword.as_str()));
                self.names.iter().position(same).map(|at| b'a' + at as u8)
            }
            lettered => lettered.letter(),
        }
    }

    /// What a folder can hold that has these names, and where the letters in `nameless` are in use without a name.
    pub(super) fn space(&self, nameless: u32) -> FlagSpace {
        let named = (b'a'..=b'z').filter_map(|letter| self.name(letter)).map(Flag::Keyword).collect();
        FlagSpace { fixed: Flags::lettered().union(&named), more: self.free(nameless).count() }
    }

    fn free(&self, nameless: u32) -> impl Iterator<Item = usize> + '_ {
        (0..LETTERS).filter(move |at| self.names[*at].is_none() && nameless & (1 << at) == 0)
    }

    /// Gives letters to those keywords among `flags` that have none, as far as letters are left; letters in
    /// `nameless` are left alone. Writes the folder's file if anything was added.
    pub(super) fn admit(&mut self, dir: &Path, flags: &Flags, nameless: u32) -> Result<(), StoreError> {
        let lacking = |names: &Keywords| -> Vec<Keyword> {
            let without = |keyword: &&Keyword| names.letter(&Flag::Keyword((*keyword).clone())).is_none();
            flags.keywords().iter().filter(without).cloned().collect()
        };
        if lacking(self).is_empty() || self.free(nameless).next().is_none() {
            return Ok(());
        }
        let failed = |err| disk(Reach::Folder, "write the keywords", &dir.join(FILE), err);
        let lock = Lock::take(dir)?;
        // Another program may have added some meanwhile.
        let mut names = Keywords::load(dir)?;
        for keyword in lacking(&names) {
            let Some(at) = names.free(nameless).next() else { break };
            names.names[at] = Some(keyword.as_str().to_owned());
        }
        lock.replace(dir, names.text().as_bytes()).map_err(failed)?;
        *self = names;
        Ok(())
    }
}

/// The lock file, as Dovecot takes it; removed when dropped. Ours says so and is also locked by the kernel, so that one
/// that a killed run left behind is known at once for what it is.
struct Lock<'a> {
    dir: &'a Path,
    /// Held for its kernel lock.
    _file: File,
}

/// How a file of ours is made that may be left over from before.
fn replacing() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
}

/// What our lock files begin with.
const OURS: &[u8] = b"mailsync ";

impl<'a> Lock<'a> {
    fn take(dir: &'a Path) -> Result<Lock<'a>, StoreError> {
        let failed = |err| disk(Reach::Folder, "lock the keywords", &dir.join(LOCK), err);
        // Made aside and linked into place, so that nobody ever sees it empty.
        let aside = dir.join("tmp").join(unique());
        let mut file = sys::open(&replacing(), &aside).map_err(failed)?;
        sys::write_all(&mut file, format!("mailsync {}\n", std::process::id()).as_bytes()).map_err(failed)?;
        file.try_lock().map_err(|err| failed(err.into()))?;
        let linked = Lock::link(dir, &aside);
        let removed = sys::remove_file(&aside).map_err(failed);
        linked?;
        removed?;
        Ok(Lock { dir, _file: file })
    }

    fn link(dir: &Path, aside: &Path) -> Result<(), StoreError> {
        let path = dir.join(LOCK);
        for _ in 0..PATIENCE {
            match sys::link(aside, &path) {
                Ok(()) => return Ok(()),
                Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
                Err(err) => return Err(disk(Reach::Folder, "lock the keywords", &path, err)),
            }
            match abandoned(&path) {
                Ok(true) => {
                    sys::remove_file(&path).map_err(|err| disk(Reach::Folder, "lock the keywords", &path, err))?
                }
                Ok(false) => std::thread::sleep(PAUSE),
                // Its holder removed it just now.
                Err(err) if err.kind() == io::ErrorKind::NotFound => {}
                Err(err) => return Err(disk(Reach::Folder, "lock the keywords", &path, err)),
            }
        }
        let held = StoreError::new(Reach::Folder, Kind::Disk, "lock the keywords", "another program holds the lock");
        Err(held.with_hint(format!("if no other program uses this folder, remove {}", path.display())))
    }

    fn replace(self, dir: &Path, text: &[u8]) -> io::Result<()> {
        // The file keeps the mode it had: another user's Dovecot may have to read it.
        let mode = fs::metadata(dir.join(FILE)).map_or(0o600, |meta| meta.mode() & 0o777);
        let aside = dir.join(format!("tmp/{}.{}", FILE, std::process::id()));
        let mut file = sys::open(&replacing(), &aside)?;
        sys::set_mode(&file, mode)?;
        sys::write_all(&mut file, text)?;
        sys::sync(&file)?;
        sys::rename(&aside, &dir.join(FILE))?;
        sys::sync_dir(dir)
    }
}

/// Whether nobody holds a lock file any more: ours without the kernel's lock, or one older than any holder needs.
fn abandoned(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let meta = file.metadata()?;
    if meta.modified()?.elapsed().is_ok_and(|age| age > STALE) {
        return Ok(true);
    }
    let mut start = [0; OURS.len()];
    let ours = file.read_exact(&mut start).is_ok() && start == OURS;
    // Another that found it abandoned may have put its own in place meanwhile.
    Ok(ours && file.try_lock().is_ok() && fs::metadata(path)?.ino() == meta.ino())
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        // One that stays is taken over by the next who wants it.
        let _ = sys::remove_file(&self.dir.join(LOCK));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(names: &str) -> Flags {
        names.split(' ').filter_map(Flag::from_imap).collect()
    }

    #[test]
    fn odd_lines_are_passed_over() {
        let names =
            Keywords::parse(b"0 $Junk\r\n1\nx y\n26 z\n99999999999999999999 y\n0 other\n3 bad(name\n-1 q\n\xff\n");
        assert_eq!(names.name(b'a').expect("named").as_str(), "$Junk");
        assert!(names.is_taken(b'd') && names.name(b'd').is_none() && !names.is_taken(b'b'));
        assert_eq!(names.space(0).more, 24);
    }

    #[test]
    fn new_keywords_take_the_first_free_letters_and_are_written() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("tmp")).expect("tmp");
        fs::write(dir.path().join(FILE), "1 $Junk\n").expect("written");
        let mut names = Keywords::load(dir.path()).expect("loaded");
        names.admit(dir.path(), &flags("$JUNK \\Seen one two"), 0b1).expect("admitted");
        assert_eq!(fs::read_to_string(dir.path().join(FILE)).expect("read"), "1 $Junk\n2 one\n3 two\n");
        assert_eq!(Keywords::load(dir.path()).expect("loaded"), names);
        assert!(!dir.path().join(LOCK).exists());
    }

    #[test]
    fn a_lock_that_a_killed_run_left_is_taken_over_at_once_and_a_held_one_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("tmp")).expect("tmp");
        fs::write(dir.path().join(LOCK), "mailsync 1\n").expect("written");
        let held = Lock::take(dir.path()).expect("taken over");
        assert!(!abandoned(&dir.path().join(LOCK)).expect("looked at"));
        drop(held);
        fs::write(dir.path().join(LOCK), "0 $Junk\n").expect("written");
        assert!(!abandoned(&dir.path().join(LOCK)).expect("looked at"), "it may be Dovecot's");
    }

    #[test]
    fn several_at_once_give_no_letter_twice() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("tmp")).expect("tmp");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let dir = dir.path();
                scope.spawn(move || {
                    let mut names = Keywords::default();
                    for more in 0..3 {
                        names.admit(dir, &flags(&format!("k{number}.{more}")), 0).expect("admitted");
                    }
                });
            }
        });
        let names = Keywords::load(dir.path()).expect("loaded");
        let letters = (0..8).flat_map(|number| (0..3).map(move |more| format!("k{number}.{more}")));
        let mut letters: Vec<u8> =
            letters.map(|name| names.letter(&Flag::from_imap(&name).expect("a flag")).expect("a letter")).collect();
        letters.sort();
        letters.dedup();
        assert_eq!(letters.len(), 24);
        assert_eq!(fs::read_dir(dir.path().join("tmp")).expect("listed").count(), 0);
    }

    #[test]
    fn no_letter_is_given_twice_when_they_run_out() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("tmp")).expect("tmp");
        let many: Vec<String> = (0..30).map(|n| format!("k{n:02}")).collect();
        let mut names = Keywords::default();
        names.admit(dir.path(), &flags(&many.join(" ")), 0).expect("admitted");
        assert_eq!(names.space(0).more, 0);
        assert_eq!(names.letter(&Flag::from_imap("k25").expect("a flag")), Some(b'z'));
        assert_eq!(names.letter(&Flag::from_imap("k26").expect("a flag")), None);
    }
}
