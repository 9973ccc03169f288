//! The streams that a transport talks over, and the command at the end of a tunnel.

use super::NetError;
use native_tls::TlsStream;
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a tunnel's command may take to end by itself.
const TUNNEL_END: Duration = Duration::from_secs(1);

/// What a transport talks over. Non-blocking in every form.
pub(super) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// A tunnel's pipes, or one end of a pair.
    Local(UnixStream),
    /// A handshake failed: there is nothing to talk to.
    Gone,
}

impl Stream {
    /// What to poll.
    pub(super) fn fd(&self) -> Result<BorrowedFd<'_>, NetError> {
        match self {
            Stream::Tcp(stream) => Ok(stream.as_fd()),
            Stream::Tls(stream) => Ok(stream.get_ref().as_fd()),
            Stream::Local(stream) => Ok(stream.as_fd()),
            Stream::Gone => Err(NetError::Closed),
        }
    }

    /// Tells the peer that nothing more will come, if that can be said without waiting, and closes.
    pub(super) fn close(&mut self) {
        if let Stream::Tls(stream) = self {
            // A courtesy (close_notify, RFC 8446 section 6.1): the goodbye before it says the same.
            drop(stream.shutdown());
        }
        *self = Stream::Gone;
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
            Stream::Local(stream) => stream.read(buffer),
            Stream::Gone => Ok(0),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
            Stream::Local(stream) => stream.write(bytes),
            Stream::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A tunnel's command; it ends with the line, and is waited for beside whatever goes on then.
pub(super) struct Tunnel(Arc<Mutex<Child>>);

/// The threads that wait for commands whose lines were closed.
static ENDING: Mutex<Vec<JoinHandle<()>>> = Mutex::new(Vec::new());

impl Tunnel {
    pub(super) fn new(child: Child) -> Tunnel {
        Tunnel(Arc::new(Mutex::new(child)))
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        let child = Arc::clone(&self.0);
        let wait = move || end(&mut child.lock().unwrap_or_else(PoisonError::into_inner));
        match thread::Builder::new().name("tunnel".into()).spawn(wait) {
            Ok(thread) => {
                let mut ending = ENDING.lock().unwrap_or_else(PoisonError::into_inner);
                ending.retain(|thread| !thread.is_finished());
                ending.push(thread);
            }
            // No thread can be had: then it takes its time here.
            Err(_) => end(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

/// Waits until every tunnel's command whose line was closed has ended, a second at most: for the end of the program.
pub fn wait_for_tunnels() {
    let ending = std::mem::take(&mut *ENDING.lock().unwrap_or_else(PoisonError::into_inner));
    for thread in ending {
        // A thread that panicked has no child to wait for any more.
        drop(thread.join());
    }
}

/// Gives a command time to end by itself, and kills it then. It leaves no zombie.
fn end(child: &mut Child) {
    let deadline = Instant::now() + TUNNEL_END;
    while Instant::now() < deadline {
        // An error means that there is no such child any more.
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
    if let Ok(pid) = i32::try_from(child.id())
        && let Some(group) = Pid::from_raw(pid)
    {
        // What can't be killed is gone already; the wait below tells.
        let _gone = kill_process_group(group, Signal::KILL);
    }
    drop(child.wait());
}
