//! The control socket: how other processes of the same user ask the one that keeps the accounts.
//!
//! One thread accepts, and each client has a short-lived one. While nobody asks, nothing wakes up.

mod relay;
mod socket;
mod talk;
#[cfg(test)]
mod tests;
pub mod wire;

pub use socket::{OpenError, connect};

use super::bell::Bell;
use super::desk::Desk;
use crate::sync::{Observer, Report};
use rustix::event::{PollFd, PollFlags};
use socket::{Claim, must_be_own};
use std::collections::HashMap;
use std::io::{self, ErrorKind, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use wire::{ConfigFile, Hello, await_one};

/// So many clients are served at once.
const MAX_CLIENTS: usize = 16;

/// How long a client may take to ask for something, and to hear the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long clients are given to go, at the end.
const FAREWELL: Duration = Duration::from_millis(500);

/// How long nobody is accepted after that failed: for want of descriptors, most likely.
const PAUSE: Duration = Duration::from_secs(1);

/// Who keeps the accounts.
pub trait Desks: Send + Sync {
    /// The desks of all accounts that are kept now. Others are kept after the config was read anew.
    fn all(&self) -> Vec<Arc<Desk>>;

    /// The config file that is in use, as it was when it was read.
    fn config(&self) -> ConfigFile;

    /// Somebody to put a sync into words: what is for standard output, and what for standard error.
    fn face(&self, out: Box<dyn Write + Send>, err: Box<dyn Write + Send>, quiet: bool) -> Box<dyn Face>;
}

/// Puts a sync into words for somebody else's terminal.
pub trait Face: Send {
    /// Where the sync's events go.
    fn observer(&self) -> Arc<Observer>;

    /// Writes the summary, and waits until all is written; gives the exit status.
    fn finish(&self, report: &Report) -> u8;
}

/// The place where others ask, before anybody answers.
#[derive(Debug)]
pub struct Control {
    claim: Claim,
    listener: UnixListener,
}

impl Control {
    /// Takes the place for this state directory, which only one process has at a time; a socket that a killed process left
    /// behind is replaced. Those who connect from now on wait for [`Control::serve`].
    pub fn open(state_dir: &Path) -> Result<Control, OpenError> {
        let (claim, listener) = Claim::take(state_dir)?;
        Ok(Control { claim, listener })
    }

    /// Answers, until what is given ends it.
    pub fn serve(self, desks: Arc<dyn Desks>) -> io::Result<Serving> {
        self.serve_with(desks, PATIENCE)
    }

    fn serve_with(self, desks: Arc<dyn Desks>, patience: Duration) -> io::Result<Serving> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let house = Arc::new(House {
            desks,
            patience,
            since: now.as_secs(),
            bell: Bell::new()?,
            ending: AtomicBool::new(false),
            guests: Mutex::default(),
            left: Condvar::new(),
        });
        let (of, listener) = (house.clone(), self.listener);
        let thread = thread::Builder::new().name("control".to_owned()).spawn(move || accept(&listener, &of))?;
        Ok(Serving { house, thread: Some(thread), claim: self.claim })
    }
}

/// Clients are served for as long as it lives; the place is given back with it.
pub struct Serving {
    house: Arc<House>,
    thread: Option<JoinHandle<()>>,
    claim: Claim,
}

impl Serving {
    /// Ends all conversations and takes the socket away, within a second; the lock is kept.
    pub fn end(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.house.ending.store(true, Ordering::SeqCst);
        self.claim.leave();
        self.house.bell.ring();
        // One that panicked serves nobody either.
        let _ = thread.join();
        self.house.see_off();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.end();
    }
}

/// What all conversations share.
struct House {
    desks: Arc<dyn Desks>,
    patience: Duration,
    since: u64,
    bell: Bell,
    ending: AtomicBool,
    guests: Mutex<Guests>,
    left: Condvar,
}

#[derive(Default)]
struct Guests {
    next: u64,
    lines: HashMap<u64, UnixStream>,
}

impl House {
    fn guests(&self) -> MutexGuard<'_, Guests> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    fn hello(&self) -> Hello {
        Hello {
            mailsync: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            config: self.desks.config(),
            accounts: self.desks.all().iter().map(|desk| desk.account.clone()).collect(),
            since: self.since,
            error: None,
        }
    }

    /// Has all guests heard to their end, so that each conversation ends, and waits a while for that.
    fn see_off(&self) {
        let deadline = Instant::now() + FAREWELL;
        let mut guests = self.guests();
        for line in guests.lines.values() {
            // Where it is shut already, nothing is left to be done.
            let _ = line.shutdown(Shutdown::Read);
        }
        while !guests.lines.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            guests = self.left.wait_timeout(guests, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A guest's place, until it is dropped.
struct Seat {
    house: Arc<House>,
    number: u64,
}

impl Seat {
    /// `None` where all are taken.
    fn take(house: &Arc<House>, line: &UnixStream) -> io::Result<Option<Seat>> {
        let mut guests = house.guests();
        if guests.lines.len() >= MAX_CLIENTS {
            return Ok(None);
        }
        let number = guests.next;
        guests.next += 1;
        guests.lines.insert(number, line.try_clone()?);
        Ok(Some(Seat { house: house.clone(), number }))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.house.guests().lines.remove(&self.number);
        self.house.left.notify_all();
    }
}

fn accept(listener: &UnixListener, house: &Arc<House>) {
    while !house.is_ending() {
        let mut fds = [PollFd::new(listener, PollFlags::IN), PollFd::new(&house.bell, PollFlags::IN)];
        if await_one(&mut fds, None, None).is_err() {
            pause(house);
            continue;
        }
        house.bell.hush();
        match listener.accept() {
            // Whoever can't be served finds the line closed, and asks again or goes on without.
            Ok((line, _)) => drop(welcome(line, house)),
            Err(err) if matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(err) if err.kind() == ErrorKind::ConnectionAborted => {}
            Err(_) => pause(house),
        }
    }
}

/// Waits a while, or for the end.
fn pause(house: &House) {
    let mut bell = [PollFd::new(&house.bell, PollFlags::IN)];
    // Whichever way it ends, accepting is tried again.
    let _ = await_one(&mut bell, Some(Instant::now() + PAUSE), None);
}

fn welcome(line: UnixStream, house: &Arc<House>) -> io::Result<()> {
    must_be_own(&line)?;
    let Some(seat) = Seat::take(house, &line)? else {
        return talk::turn_away(line);
    };
    thread::Builder::new().name("client".to_owned()).spawn(move || talk::talk(line, &seat.house)).map(drop)
}
