//! What is said on the control socket: one JSON object a line. Both ends use this, and know nothing else of each other.

use crate::watch::desk::{Doing, Status};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// No request is longer, in bytes.
pub const MAX_REQUEST: usize = 64 * 1024;

/// No answer is longer: the status of all accounts is one line.
pub const MAX_REPLY: usize = 4 * 1024 * 1024;

/// So many folders of an account are named as pending.
const MAX_PENDING: usize = 100;

/// How often somebody is asked whether this wait is to end.
const SLICE: Duration = Duration::from_millis(200);

/// The first line, by the one who serves; where it has no time for another client, `error` is all that it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hello {
    /// The version of the program.
    pub mailsync: String,
    pub pid: u32,
    #[serde(flatten)]
    pub config: ConfigFile,
    /// The accounts that are kept.
    pub accounts: Vec<String>,
    /// When it began, in seconds since 1970.
    pub since: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A config file, and what tells its content from the one that it had before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigFile {
    #[serde(rename = "config", default)]
    pub path: String,
    #[serde(rename = "config_stamp", default)]
    pub stamp: String,
}

impl ConfigFile {
    /// The file as it is now. To be asked before it is read: what is written in between then counts as a change.
    pub fn of(path: &Path) -> ConfigFile {
        // What is not there is nobody else's config either.
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let stamp = std::fs::metadata(&real).map_or_else(
            |_| String::new(),
            |is| format!("{}.{:09}-{}-{}", is.mtime(), is.mtime_nsec(), is.size(), is.ino()),
        );
        ConfigFile { path: real.to_string_lossy().into_owned(), stamp }
    }
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub enum Request {
    Status {},
    /// Sync as soon as can be; nobody waits for it.
    Trigger {
        accounts: Vec<String>,
        /// Patterns as in the config; all folders where empty.
        #[serde(default)]
        folders: Vec<String>,
    },
    /// Sync, and tell what happens meanwhile.
    Sync(Wanted),
    /// Leave these accounts alone until the connection is closed.
    Borrow {
        accounts: Vec<String>,
    },
}

/// How a sync is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wanted {
    pub accounts: Vec<String>,
    pub folders: Vec<String>,
    pub allow_delete: bool,
    pub restore: bool,
    pub retry: bool,
    /// Compare every message.
    pub full: bool,
    /// Tell only what failed or was held.
    pub quiet: bool,
}

/// A line of an answer. One that says nothing at all says that somebody is still there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reply {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ok: Option<bool>,
    /// For standard output, as it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out: Option<String>,
    /// For standard error, as it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub err: Option<String>,
    /// The end, and the exit status; with `error`, the one that fits it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accounts: Option<Vec<AccountTold>>,
    /// Why nothing will come of what was asked, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// How things are with an account. Times are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountTold {
    pub account: String,
    pub doing: Option<String>,
    /// Why it is paused.
    pub paused: Option<String>,
    pub connected: Option<String>,
    pub in_step: Option<u64>,
    pub synced: Option<u64>,
    pub outcome: Option<String>,
    pub next: Option<u64>,
    pub pending: Vec<String>,
    pub held: usize,
    pub problems: usize,
    pub waiting: usize,
    pub trouble: Option<String>,
    pub failures: u32,
}

impl AccountTold {
    pub fn of(account: &str, status: &Status) -> AccountTold {
        AccountTold {
            account: account.to_owned(),
            doing: Some(status.doing.name().to_owned()),
            paused: match status.doing {
                Doing::Paused(why) => Some(why.to_owned()),
                _ => None,
            },
            connected: status.connected.clone(),
            in_step: status.in_step.map(seconds),
            synced: status.synced.as_ref().map(|(when, _)| seconds(*when)),
            outcome: status.synced.as_ref().map(|(_, outcome)| outcome.name().to_owned()),
            next: status.next.map(seconds),
            pending: status.pending.iter().take(MAX_PENDING).cloned().collect(),
            held: status.held,
            problems: status.problems,
            waiting: status.waiting,
            trouble: status.trouble.clone(),
            failures: status.failures,
        }
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Why no line came, or none could be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The other end closed the connection, or was killed.
    Gone,
    /// It said nothing, or did not listen, for too long.
    Silent,
    TooLong,
    /// A line that is not what was expected, and why.
    Garbled(String),
    /// Whoever waited was told to stop.
    Stopped,
}

/// A connection. Every call ends at its deadline.
#[derive(Debug)]
pub struct Channel {
    stream: UnixStream,
    /// What was read and not yet taken.
    heard: Vec<u8>,
    /// The longest line that may come.
    limit: usize,
}

impl Channel {
    pub fn new(stream: UnixStream, limit: usize) -> io::Result<Channel> {
        stream.set_nonblocking(true)?;
        Ok(Channel { stream, heard: Vec::new(), limit })
    }

    /// The next line, as soon as it is whole: until `deadline`, or for as long as it takes.
    pub fn receive<T: DeserializeOwned>(
        &mut self,
        deadline: Option<Instant>,
        stopped: Option<&dyn Fn() -> bool>,
    ) -> Result<T, Broken> {
        let mut looked = 0;
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.heard[looked..]) {
                let line: Vec<u8> = self.heard.drain(..=looked + end).collect();
                return serde_json::from_slice(&line).map_err(|err| Broken::Garbled(err.to_string()));
            }
            looked = self.heard.len();
            if looked >= self.limit {
                return Err(Broken::TooLong);
            }
            await_one(&mut [PollFd::new(&self.stream, PollFlags::IN)], deadline, stopped)?;
            self.fill()?;
        }
    }

    /// Takes in what has come. Fails where that is the end.
    pub fn fill(&mut self) -> Result<(), Broken> {
        let mut some = [0; 8192];
        match self.stream.read(&mut some) {
            Ok(0) => Err(Broken::Gone),
            Ok(count) if self.heard.len() + count > self.limit + some.len() => Err(Broken::TooLong),
            Ok(count) => {
                self.heard.extend_from_slice(&some[..count]);
                Ok(())
            }
            Err(err) if matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(()),
            Err(_) => Err(Broken::Gone),
        }
    }

    /// Sends a line, all of it until `deadline`.
    pub fn send(&mut self, line: &impl Serialize, deadline: Instant) -> Result<(), Broken> {
        let mut bytes = serde_json::to_vec(line).map_err(|err| Broken::Garbled(err.to_string()))?;
        bytes.push(b'\n');
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(0) => return Err(Broken::Gone),
                Ok(count) => rest = &rest[count..],
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(err) if err.kind() == ErrorKind::WouldBlock => {
                    await_one(&mut [PollFd::new(&self.stream, PollFlags::OUT)], Some(deadline), None)?;
                }
                Err(_) => return Err(Broken::Gone),
            }
        }
        Ok(())
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Waits until one of them has what it is asked for.
pub fn await_one(
    fds: &mut [PollFd<'_>],
    deadline: Option<Instant>,
    stopped: Option<&dyn Fn() -> bool>,
) -> Result<(), Broken> {
    loop {
        if stopped.is_some_and(|stopped| stopped()) {
            return Err(Broken::Stopped);
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(Broken::Silent);
        }
        let wait = match stopped {
            Some(_) => Some(left.map_or(SLICE, |left| left.min(SLICE))),
            None => left,
        };
        let wait = wait.map(timespec);
        match poll(fds, wait.as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(_) => return Err(Broken::Gone),
        }
    }
}

fn timespec(span: Duration) -> Timespec {
    let tv_sec = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    // Rounded up, so that no wait ends just before its deadline and is begun again.
    Timespec { tv_sec, tv_nsec: i64::from(span.subsec_nanos().min(998_999_999)) + 1_000_000 }
}
