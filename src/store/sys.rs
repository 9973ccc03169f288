//! The system calls by which stores change what is on disk, and the looks that everything else rests on. Each passes
//! its fault point, which is why a store makes none of them itself. And how much the system lets one process have: files,
//! threads.

use crate::fault::{self, point};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Timespec, Timestamps};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, ReadDir};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::thread::{Builder, Scope, ScopedJoinHandle};

/// How far the limit of open files is raised at most; where the system knows a limit of its own, as macOS does, to that.
const FILES: [u64; 2] = [65_536, 10_240];

/// How many files may be open at once, once the limit was raised as far as the system lets us.
pub fn most_files() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let now = current.unwrap_or(FILES[0]);
    let wanted = FILES.map(|files| maximum.map_or(files, |most| most.min(files)));
    let raise = |to: &u64| setrlimit(Resource::Nofile, Rlimit { current: Some(*to), maximum }).is_ok();
    let raised = wanted.into_iter().filter(|to| now < *to).find(raise);
    usize::try_from(raised.unwrap_or(now)).unwrap_or(usize::MAX)
}

/// Starts another thread; fails where the system lets no more of them run.
pub fn start_thread<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    point("thread.start")?;
    Builder::new().spawn_scoped(scope, work)
}

/// What can be done where something is not there.
pub const AWAY: &str = "if it was moved away, bring it back before the next run";

/// What can be done about an error of the disk, if it is one that has a remedy.
pub fn hint(error: &io::Error) -> Option<&'static str> {
    match Errno::from_io_error(error)? {
        Errno::NOSPC | Errno::DQUOT => Some("make room on that file system, then run again"),
        Errno::ROFS => Some("the file system is mounted read-only: mount it for writing"),
        Errno::NOENT | Errno::NOTDIR => Some(AWAY),
        Errno::MFILE => Some("let mailsync have more files open: see `ulimit -n`"),
        Errno::IO => Some("the disk may be failing: see what the system's log says of it"),
        _ => None,
    }
}

/// Opens a file that the options may make.
pub fn open(options: &OpenOptions, path: &Path) -> io::Result<File> {
    point("disk.create")?;
    options.open(path)
}

pub fn write_all(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    fault::write_all("disk.write", file, bytes)
}

pub fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    point("disk.stamp")?;
    file.set_permissions(Permissions::from_mode(mode))
}

/// Sets access and modification time, in seconds since 1970.
pub fn set_date(file: &File, date: i64) -> io::Result<()> {
    point("disk.stamp")?;
    let stamp = Timespec { tv_sec: date, tv_nsec: 0 };
    let stamps = Timestamps { last_access: stamp, last_modification: stamp };
    Ok(rustix::fs::futimens(file, &stamps)?)
}

/// Makes a file durable, what is known about it included.
pub fn sync(file: &File) -> io::Result<()> {
    point("disk.fsync")?;
    file.sync_all()
}

/// Makes all of a file's file system durable. Tells of every write that failed since the file was opened.
pub fn sync_all_with(file: &File) -> io::Result<()> {
    point("disk.syncfs")?;
    Ok(rustix::fs::syncfs(file)?)
}

/// Makes what was made, renamed or removed in a directory durable.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    point("disk.fsyncdir")?;
    File::open(dir)?.sync_all()
}

/// Renames, replacing what is in the way.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    point("disk.replace")?;
    fs::rename(from, to)
}

/// Renames without ever replacing anything; [`Errno::INVAL`] and the like where the file system can't.
pub fn rename_to_free(from: &Path, to: &Path) -> Result<(), Errno> {
    // Every error of a point is the system's.
    point("disk.rename").map_err(|err| Errno::from_io_error(&err).unwrap_or(Errno::IO))?;
    rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)
}

pub fn link(from: &Path, to: &Path) -> io::Result<()> {
    point("disk.link")?;
    fs::hard_link(from, to)
}

pub fn remove_file(path: &Path) -> io::Result<()> {
    point("disk.unlink")?;
    fs::remove_file(path)
}

pub fn remove_dir(path: &Path) -> io::Result<()> {
    point("disk.rmdir")?;
    fs::remove_dir(path)
}

/// Makes a directory for the owner alone, whatever the umask.
pub fn make_dir(path: &Path) -> io::Result<()> {
    point("disk.mkdir")?;
    DirBuilder::new().mode(0o700).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// Opens a file for reading.
pub fn open_to_read(path: &Path, flags: OFlags) -> io::Result<File> {
    point("disk.open")?;
    Ok(File::from(rustix::fs::open(path, flags | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?))
}

pub fn list(dir: &Path) -> io::Result<ReadDir> {
    point("disk.list")?;
    fs::read_dir(dir)
}

/// Gives every entry of a directory: its name, its inode, and whether it is a plain file. Of large directories, in
/// hardly more time than the kernel needs.
pub fn each_in(dir: &Path, mut take: impl FnMut(&[u8], u64, bool)) -> io::Result<()> {
    point("disk.list")?;
    read_each(dir, &mut take)
}

/// As much as is read of a directory at once.
#[cfg(target_os = "linux")]
const ENTRIES: usize = 64 << 10;

#[cfg(target_os = "linux")]
fn read_each(dir: &Path, take: &mut dyn FnMut(&[u8], u64, bool)) -> io::Result<()> {
    use rustix::fs::RawDir;
    let file = rustix::fs::open(dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut buffer = Vec::with_capacity(ENTRIES);
    let mut entries = RawDir::new(&file, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        let plain = match entry.file_type() {
            FileType::Unknown => {
                fs::symlink_metadata(dir.join(OsStr::from_bytes(name))).is_ok_and(|meta| meta.is_file())
            }
            kind => kind == FileType::RegularFile,
        };
        take(name, entry.ino(), plain);
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn read_each(dir: &Path, take: &mut dyn FnMut(&[u8], u64, bool)) -> io::Result<()> {
    use std::os::unix::fs::DirEntryExt;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let plain = entry.file_type().is_ok_and(|kind| kind.is_file());
        take(entry.file_name().as_bytes(), entry.ino(), plain);
    }
    Ok(())
}

/// Whether nothing stands at a path.
pub fn is_free(path: &Path) -> io::Result<bool> {
    point("disk.stat")?;
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(false),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(err) => Err(err),
    }
}

/// What stands at a path, links followed.
pub fn look(path: &Path) -> io::Result<Seen> {
    look_below(CWD, path)
}

/// What stands at a path below a directory, links followed. It costs less than with all of its path.
pub fn look_below(dir: impl AsFd, path: &Path) -> io::Result<Seen> {
    point("disk.stat")?;
    let stat = rustix::fs::statat(dir, path, AtFlags::empty())?;
    Ok(Seen::from(&stat))
}

/// Opens a directory below which things are looked at, and nothing else.
pub fn open_to_look(dir: &Path) -> io::Result<OwnedFd> {
    point("disk.stat")?;
    #[cfg(target_os = "linux")]
    let flags = OFlags::PATH;
    #[cfg(not(target_os = "linux"))]
    let flags = OFlags::RDONLY;
    Ok(rustix::fs::open(dir, flags | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Whether the files of `dir` get their stamps from this machine's clock: its kernel keeps the file system by itself.
/// They may lag behind that clock by a tick of it.
#[cfg(target_os = "linux")]
pub fn has_our_clock(dir: &Path) -> bool {
    /// ext2 to ext4, XFS, Btrfs, F2FS, tmpfs, bcachefs (statfs(2)).
    const OWN: [u32; 6] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994, 0xca45_1a4e];
    rustix::fs::statfs(dir).is_ok_and(|found| OWN.contains(&(found.f_type as u32)))
}

/// Not known here.
#[cfg(not(target_os = "linux"))]
pub fn has_our_clock(_dir: &Path) -> bool {
    false
}

/// What tells whether something on disk is what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub dev: u64,
    pub ino: u64,
    /// Seconds since 1970, and nanoseconds.
    pub mtime: (i64, i64),
    pub ctime: (i64, i64),
    pub is_dir: bool,
}

impl From<&rustix::fs::Stat> for Seen {
    fn from(stat: &rustix::fs::Stat) -> Seen {
        Seen {
            dev: wide(stat.st_dev),
            ino: wide(stat.st_ino),
            mtime: (wide(stat.st_mtime), wide(stat.st_mtime_nsec)),
            ctime: (wide(stat.st_ctime), wide(stat.st_ctime_nsec)),
            is_dir: FileType::from_raw_mode(stat.st_mode) == FileType::Directory,
        }
    }
}

/// A number of whatever type this system has for it. None is too large or negative.
fn wide<T: Default>(number: impl TryInto<T>) -> T {
    number.try_into().unwrap_or_default()
}
