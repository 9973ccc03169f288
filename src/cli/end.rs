//! How a run ends: exit codes, and what is said of a failure.

use crate::config::ConfigError;
use crate::state::StateError;
use crate::store::{Kind, StoreError};
use crate::sync::{Outcome, Report};
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::process::ExitCode;

/// How a run ended, from good to bad: of several accounts the worst counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    InStep,
    /// Something was left undone.
    Undone,
    /// Usage or configuration.
    Usage,
    Auth,
    /// Another run holds the lock.
    Locked,
    Interrupted,
}

impl End {
    /// The exit status.
    pub fn code(self) -> u8 {
        match self {
            End::InStep => 0,
            End::Undone => 1,
            End::Usage => 2,
            End::Locked => 3,
            End::Auth => 4,
            End::Interrupted => 130,
        }
    }
}

impl From<End> for ExitCode {
    fn from(end: End) -> ExitCode {
        ExitCode::from(end.code())
    }
}

impl From<Outcome> for End {
    fn from(outcome: Outcome) -> End {
        match outcome {
            Outcome::InStep => End::InStep,
            Outcome::Partial | Outcome::Failed => End::Undone,
            Outcome::AuthFailed => End::Auth,
            Outcome::Locked => End::Locked,
            Outcome::Interrupted => End::Interrupted,
        }
    }
}

impl From<&Report> for End {
    fn from(report: &Report) -> End {
        report.accounts.iter().map(|(_, outcome, _)| End::from(*outcome)).max().unwrap_or(End::InStep)
    }
}

/// A command line that asks for something that there is not: what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError {
    pub what: String,
    pub hint: Option<String>,
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for UsageError {}

/// Something that failed for a reason of its own: what, what to do, and how the run so ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub what: String,
    pub hint: Option<String>,
    pub end: End,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}

/// Says on standard error why nothing came of it, and how the run so ended.
pub fn explain(error: &anyhow::Error) -> End {
    let (end, text) = told(error);
    // Nobody is left to be told where this fails.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
    end
}

fn told(error: &anyhow::Error) -> (End, String) {
    let mut text = String::new();
    let mut say = |what: &dyn fmt::Display, hint: Option<&str>| {
        let safe = |said: &str| -> String { said.chars().map(|c| if c.is_control() { ' ' } else { c }).collect() };
        // Writing to a String can't fail.
        let _ = writeln!(text, "mailsync: {}", safe(&what.to_string()));
        if let Some(hint) = hint {
            let _ = writeln!(text, "hint: {}", safe(hint));
        }
    };
    let end = if let Some(config) = error.downcast_ref::<ConfigError>() {
        config.problems.iter().for_each(|problem| say(problem, problem.hint.as_deref()));
        End::Usage
    } else if let Some(usage) = error.downcast_ref::<UsageError>() {
        say(usage, usage.hint.as_deref());
        End::Usage
    } else if let Some(failure) = error.downcast_ref::<Failure>() {
        say(failure, failure.hint.as_deref());
        failure.end
    } else if let Some(store) = error.downcast_ref::<StoreError>() {
        say(&format!("{error:#}"), store.hint.as_deref());
        match store.kind {
            _ if store.failed_login() => End::Auth,
            Kind::Stopped => End::Interrupted,
            Kind::Locked => End::Locked,
            _ => End::Undone,
        }
    } else if let Some(StateError::Locked { .. }) = error.downcast_ref::<StateError>() {
        say(&format!("{error:#}"), None);
        End::Locked
    } else if is_broken_pipe(error) {
        // The reader has what it wanted.
        End::InStep
    } else {
        say(&format!("{error:#}"), None);
        End::Undone
    };
    (end, text)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |err: &std::io::Error| err.kind() == std::io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(broken))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Reach;
    use crate::sync::Counts;
    use anyhow::Context;

    #[test]
    fn the_worst_account_decides() {
        let report = |outcomes: &[Outcome]| Report {
            accounts: outcomes.iter().map(|outcome| (String::new(), *outcome, Counts::default())).collect(),
        };
        for (outcomes, end) in [
            (&[][..], End::InStep),
            (&[Outcome::InStep, Outcome::Partial], End::Undone),
            (&[Outcome::AuthFailed, Outcome::Failed], End::Auth),
            (&[Outcome::Locked, Outcome::AuthFailed, Outcome::InStep], End::Locked),
            (&[Outcome::Interrupted, Outcome::Locked], End::Interrupted),
        ] {
            assert_eq!(End::from(&report(outcomes)), end, "{outcomes:?}");
        }
    }

    #[test]
    fn place_action_cause_and_hint_stand_on_their_lines() {
        let store = StoreError::new(Reach::Account, Kind::Auth, "log in", "server refused: bad password")
            .with_hint("check ~/.netrc");
        let error = Err::<(), _>(store).context("main").expect_err("an error");
        let text = "mailsync: main: log in: server refused: bad password\nhint: check ~/.netrc\n".to_owned();
        assert_eq!(told(&error), (End::Auth, text));
    }

    #[test]
    fn nothing_that_is_said_controls_the_terminal() {
        let store = StoreError::new(Reach::Account, Kind::Disk, "open", "\u{1b}[2J").with_hint("chmod 600 'a\u{1b}b'");
        let (_, text) = told(&Err::<(), _>(store).context("\u{7}main").expect_err("an error"));
        assert_eq!(text, "mailsync:  main: open:  [2J\nhint: chmod 600 'a b'\n");
    }

    #[test]
    fn a_reader_that_goes_away_is_no_failure() {
        let error = anyhow::Error::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe)).context("write");
        assert_eq!(told(&error), (End::InStep, String::new()));
    }
}
