//! Where the one who keeps the accounts is found: a lock that says who it is, and a socket beside it.

use socket2::{Domain, SockAddr, Socket, Type};
use std::fmt;
use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const SOCKET: &str = "watch.sock";
/// Not `watch.lock`: that one is of the account `watch`, if there is one.
const LOCK: &str = "watch.pid";

/// As many may have connected and not been answered yet.
const BACKLOG: i32 = 64;

/// Paths of sockets end with a NUL, after 104 bytes where they are shortest.
const MAX_PATH: usize = 103;

/// Why nobody can be served.
#[derive(Debug)]
pub enum OpenError {
    /// Another process serves this state directory.
    Taken {
        /// `None` where it has not said so yet.
        pid: Option<u32>,
    },
    Failed {
        action: String,
        cause: io::Error,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Taken { pid: Some(pid) } => write!(f, "another `mailsync watch` runs: process {pid}"),
            OpenError::Taken { pid: None } => f.write_str("another `mailsync watch` runs"),
            OpenError::Failed { action, cause } => write!(f, "{action}: {cause}"),
        }
    }
}

impl std::error::Error for OpenError {}

/// The place, taken: held until it is dropped, or the process ends, however it does.
#[derive(Debug)]
pub struct Claim {
    /// Held for its kernel lock.
    lock: File,
    socket: PathBuf,
    /// Device and number of the socket's file.
    file: (u64, u64),
}

impl Claim {
    /// Takes the place in this directory, and listens there.
    pub fn take(dir: &Path) -> Result<(Claim, UnixListener), OpenError> {
        let failed = |action: &str, path: &Path| {
            let action = format!("{action} {}", path.display());
            move |cause| OpenError::Failed { action, cause }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed("make", dir))?;
        let lock = lock(&dir.join(LOCK))?;
        // From here on whatever is there was left behind.
        let socket = dir.join(SOCKET);
        let listener = listen(dir, &socket).map_err(failed("listen at", &socket))?;
        let is = fs::symlink_metadata(&socket).map_err(failed("listen at", &socket))?;
        Ok((Claim { lock, socket, file: (is.dev(), is.ino()) }, listener))
    }

    /// Takes the socket's file away, if it is still this one's.
    pub fn leave(&self) {
        if fs::symlink_metadata(&self.socket).is_ok_and(|is| (is.dev(), is.ino()) == self.file) {
            // One that stays behind is connected to by nobody, and replaced by the next one.
            let _ = fs::remove_file(&self.socket);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.leave();
        // It says who has the lock: nobody.
        let _ = self.lock.set_len(0);
    }
}

/// Takes the lock and writes into it whose it is. The number is for people and scripts: only the lock decides.
fn lock(path: &Path) -> Result<File, OpenError> {
    let failed = |cause| OpenError::Failed { action: format!("lock {}", path.display()), cause };
    let mut options = File::options();
    let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Unreadable or not written yet, it only says less.
            let _ = file.take(20).read_to_string(&mut text);
            return Err(OpenError::Taken { pid: text.trim().parse().ok() });
        }
        Err(TryLockError::Error(err)) => return Err(failed(err)),
    }
    let text = format!("{}\n", std::process::id());
    file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes())).map_err(failed)?;
    Ok(file)
}

fn listen(dir: &Path, path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(is) if is.file_type().is_socket() => fs::remove_file(path)?,
        Ok(_) => return Err(io::Error::new(ErrorKind::AlreadyExists, "something else is there, which is no socket")),
        Err(err) if err.kind() == ErrorKind::NotFound => {}
        Err(err) => return Err(err),
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let place = Place::of(dir)?;
    socket.bind(&place.address)?;
    // Nobody can connect before `listen`.
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(UnixListener::from(socket))
}

/// Connects to the one who serves this directory, within `patience`; `None` where there is none.
pub fn connect(dir: &Path, patience: Duration) -> io::Result<Option<UnixStream>> {
    let deadline = Instant::now() + patience;
    let place = match Place::of(dir) {
        Err(err) if is_absent(&err) => return Ok(None),
        place => place?,
    };
    loop {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        let left = deadline.saturating_duration_since(Instant::now());
        // It is also how long one waits where many others wait already.
        socket.set_write_timeout(Some(left.max(Duration::from_millis(1))))?;
        match socket.connect(&place.address) {
            Ok(()) => {
                let stream = UnixStream::from(socket);
                must_be_own(&stream)?;
                return Ok(Some(stream));
            }
            Err(err) if is_absent(&err) => return Ok(None),
            Err(err) if err.kind() == ErrorKind::Interrupted && !left.is_zero() => {}
            Err(err) if err.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
            Err(err) => return Err(err),
        }
    }
}

fn is_absent(err: &io::Error) -> bool {
    matches!(err.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::ConnectionRefused)
}

/// Fails where the other end is another user's.
pub fn must_be_own(stream: &UnixStream) -> io::Result<()> {
    if is_own(stream)? {
        return Ok(());
    }
    Err(io::Error::new(ErrorKind::PermissionDenied, "the other end belongs to another user"))
}

#[cfg(target_os = "linux")]
fn is_own(stream: &UnixStream) -> io::Result<bool> {
    Ok(rustix::net::sockopt::socket_peercred(stream)?.uid == rustix::process::geteuid())
}

/// Elsewhere the modes of the socket and its directory have to do.
#[cfg(not(target_os = "linux"))]
fn is_own(_: &UnixStream) -> io::Result<bool> {
    Ok(true)
}

/// The socket's address.
struct Place {
    address: SockAddr,
    /// The address goes through it.
    _dir: Option<File>,
}

impl Place {
    fn of(dir: &Path) -> io::Result<Place> {
        let path = dir.join(SOCKET);
        if path.as_os_str().len() <= MAX_PATH {
            return Ok(Place { address: SockAddr::unix(path)?, _dir: None });
        }
        Place::through(dir)
    }

    /// An address has room for some hundred bytes, and paths may be longer.
    #[cfg(target_os = "linux")]
    fn through(dir: &Path) -> io::Result<Place> {
        use std::os::fd::AsRawFd;
        let open = File::options().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(dir)?;
        let path = format!("/proc/self/fd/{}/{SOCKET}", open.as_raw_fd());
        Ok(Place { address: SockAddr::unix(path)?, _dir: Some(open) })
    }

    #[cfg(not(target_os = "linux"))]
    fn through(dir: &Path) -> io::Result<Place> {
        SockAddr::unix(dir.join(SOCKET)).map(|address| Place { address, _dir: None })
    }
}
