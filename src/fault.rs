//! Failures on demand: every place where a run touches the disk, the state or the line passes a point by name, so that
//! a test can let the n-th of them be the end of the process, or fail as the system would let it fail.
//!
//! Only builds with debug assertions look at these variables of the environment; in others a point is nothing:
//!
//! - `MAILSYNC_FAULT=POINT:N=ACTION`: what happens at the N-th passing of a point, counted from 1. POINT is a name
//!   (`disk.rename`), the part before its dot (`disk`), or `any`; `N+` means every passing from the N-th on. ACTION is
//!   `kill` (SIGKILL), the name of an error (`ENOSPC`) that the call then ends with instead of being made, or
//!   `run:COMMAND`, which runs a shell command and goes on. Several are separated by `;`, and the first that strikes counts.
//! - `MAILSYNC_FAULT_LOG=FILE`: the name of every point that is passed is appended to the file, a line each.
//! - `MAILSYNC_PATIENCE=MILLISECONDS`: replaces [`patience`].
//! - Other numbers, as [`number`] names them.

use rustix::io::Errno;
use std::env;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Passes a point: to be called right before what it is named for. An error is that call's.
#[inline]
pub fn point(name: &'static str) -> io::Result<()> {
    if cfg!(debug_assertions) { armed(name) } else { Ok(()) }
}

/// Writes all of `bytes`, past the point `name`. Where that is to be the end, half of them are written before it.
pub fn write_all(name: &'static str, to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let half = bytes.len() / 2;
    if cfg!(debug_assertions) && half > 0 {
        to.write_all(&bytes[..half])?;
        point(name)?;
        return to.write_all(&bytes[half..]);
    }
    point(name)?;
    to.write_all(bytes)
}

/// How long something is waited for: what is usual, unless the environment of a debug build says otherwise.
pub fn patience(usual: Duration) -> Duration {
    let told = if cfg!(debug_assertions) { env::var("MAILSYNC_PATIENCE").ok() } else { None };
    told.map_or(usual, |text| Duration::from_millis(text.parse().expect("MAILSYNC_PATIENCE is a number")))
}

/// A number: what is usual, unless the environment of a debug build says otherwise by this name.
pub fn number(name: &str, usual: u64) -> u64 {
    let told = if cfg!(debug_assertions) { env::var(name).ok() } else { None };
    told.map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// What the environment asks for.
struct Armed {
    faults: Vec<Fault>,
    log: Option<File>,
}

struct Fault {
    point: String,
    at: u64,
    and_after: bool,
    action: Action,
    passed: AtomicU64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Kill,
    Fail(Errno),
    Run(String),
}

fn armed(name: &str) -> io::Result<()> {
    static ARMED: OnceLock<Armed> = OnceLock::new();
    let armed = ARMED.get_or_init(|| Armed {
        faults: env::var("MAILSYNC_FAULT").map_or(Vec::new(), |all| {
            all.split(';').map(|spec| Fault::parse(spec).expect("MAILSYNC_FAULT is POINT:N=ACTION")).collect()
        }),
        log: env::var_os("MAILSYNC_FAULT_LOG").map(|path| {
            OpenOptions::new().append(true).create(true).open(path).expect("MAILSYNC_FAULT_LOG can be written to")
        }),
    });
    if let Some(mut log) = armed.log.as_ref() {
        // In one call, so that the lines of several threads don't mix.
        log.write_all(format!("{name}\n").as_bytes())?;
    }
    // Every one of them counts the passing, whichever strikes.
    let striking: Vec<&Fault> = armed.faults.iter().filter(|fault| fault.strikes(name)).collect();
    striking.first().map_or(Ok(()), |fault| fault.action.strike())
}

impl Fault {
    fn parse(spec: &str) -> Option<Fault> {
        let (place, action) = spec.split_once('=')?;
        let (point, number) = place.rsplit_once(':')?;
        Some(Fault {
            point: point.to_owned(),
            at: number.trim_end_matches('+').parse().ok()?,
            and_after: number.ends_with('+'),
            action: Action::parse(action)?,
            passed: AtomicU64::new(0),
        })
    }

    /// Counts a passing, and says whether it is the one.
    fn strikes(&self, name: &str) -> bool {
        let meant = self.point == "any" || name == self.point || name.split('.').next() == Some(&self.point);
        if !meant {
            return false;
        }
        let passed = self.passed.fetch_add(1, Ordering::SeqCst) + 1;
        if self.and_after { passed >= self.at } else { passed == self.at }
    }
}

impl Action {
    fn parse(text: &str) -> Option<Action> {
        if let Some(command) = text.strip_prefix("run:") {
            return Some(Action::Run(command.to_owned()));
        }
        Some(match text {
            "kill" => Action::Kill,
            "EACCES" => Action::Fail(Errno::ACCESS),
            "EDQUOT" => Action::Fail(Errno::DQUOT),
            "EINVAL" => Action::Fail(Errno::INVAL),
            "EIO" => Action::Fail(Errno::IO),
            "ENOSPC" => Action::Fail(Errno::NOSPC),
            "EMFILE" => Action::Fail(Errno::MFILE),
            "ENOMEM" => Action::Fail(Errno::NOMEM),
            "EROFS" => Action::Fail(Errno::ROFS),
            "EXDEV" => Action::Fail(Errno::XDEV),
            _ => return None,
        })
    }

    fn strike(&self) -> io::Result<()> {
        match self {
            Action::Kill => {
                rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)?;
                unreachable!("SIGKILL is not survived")
            }
            Action::Fail(errno) => Err((*errno).into()),
            Action::Run(command) => match Command::new("sh").args(["-c", command]).status()?.success() {
                true => Ok(()),
                false => Err(io::Error::other(format!("{command} failed"))),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strikes(spec: &str, passed: &[&str]) -> Vec<bool> {
        let fault = Fault::parse(spec).expect("a fault");
        passed.iter().map(|name| fault.strikes(name)).collect()
    }

    #[test]
    fn a_fault_strikes_at_the_passing_that_it_names() {
        let passed = ["disk.rename", "disk.write", "disk.rename", "line.send"];
        assert_eq!(strikes("disk.rename:2=kill", &passed), [false, false, true, false]);
        assert_eq!(strikes("disk:2=EIO", &passed), [false, true, false, false]);
        assert_eq!(strikes("any:3+=ENOSPC", &passed), [false, false, true, true]);
        assert_eq!(strikes("line:1=run:true", &passed), [false, false, false, true]);
    }

    #[test]
    fn what_is_no_fault_is_not_taken_for_one() {
        for spec in ["", "any", "any:1", "any:x=kill", "any:1=KILL", "any=kill", "any:1=ENOSUCH"] {
            assert!(Fault::parse(spec).is_none(), "{spec}");
        }
    }

    #[test]
    fn an_error_is_the_systems_own() {
        let error = Action::parse("ENOSPC").expect("an action").strike().expect_err("an error");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(Action::parse("run:exit 1").expect("an action").strike().is_err());
    }
}
