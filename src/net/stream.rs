//! The streams that a transport talks over, and the command at the end of a tunnel.

use super::NetError;
use native_tls::TlsStream;
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::thread;
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

/// A tunnel's command; it ends with the line.
pub(super) struct Tunnel(pub(super) Child);

impl Drop for Tunnel {
    fn drop(&mut self) {
        let deadline = Instant::now() + TUNNEL_END;
        while Instant::now() < deadline {
            // An error means that there is no such child any more.
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        if let Ok(pid) = i32::try_from(self.0.id())
            && let Some(group) = Pid::from_raw(pid)
        {
            // What can't be killed is gone already; the wait below tells.
            let _gone = kill_process_group(group, Signal::KILL);
        }
        drop(self.0.wait());
    }
}
