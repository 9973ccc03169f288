//! Wakes a thread that waits for descriptors.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// A descriptor that is readable once somebody has rung.
#[derive(Debug)]
pub struct Bell {
    rung: UnixStream,
    rope: UnixStream,
}

impl Bell {
    pub fn new() -> io::Result<Bell> {
        let (rung, rope) = UnixStream::pair()?;
        rung.set_nonblocking(true)?;
        rope.set_nonblocking(true)?;
        Ok(Bell { rung, rope })
    }

    /// Never waits. Rung twice before anybody listened is rung once.
    pub fn ring(&self) {
        // Where it does not fit, it has been rung already.
        drop((&self.rope).write(&[1]));
    }

    /// Another end that rings when something is written to it: for signal handlers.
    pub fn rope(&self) -> io::Result<UnixStream> {
        self.rope.try_clone()
    }

    /// Takes note of having been woken.
    pub fn hush(&self) {
        let mut bytes = [0; 64];
        while (&self.rung).read(&mut bytes).is_ok_and(|count| count == bytes.len()) {}
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.rung.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    fn is_rung(bell: &Bell) -> bool {
        let mut fds = [PollFd::new(bell, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).expect("poll") == 1
    }

    #[test]
    fn it_rings_until_it_is_heard_however_often_it_was_rung() {
        let bell = Bell::new().expect("a pair");
        assert!(!is_rung(&bell));
        for _ in 0..1_000_000 {
            bell.ring();
        }
        assert!(is_rung(&bell));
        bell.hush();
        assert!(!is_rung(&bell));
        bell.ring();
        assert!(is_rung(&bell));
    }
}
