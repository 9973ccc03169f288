//! What can go wrong between us and an IMAP server, and what that means to the engine.

use super::refusal::{self, Meant, When};
use super::token::{Code, FrameError, Status, StatusKind};
use crate::net::{NOT_SHOWN, NetError};
use crate::store::{Kind, Reach, StoreError};
use std::fmt;

/// A failure on an IMAP connection.
#[derive(Debug)]
pub enum ImapError {
    /// The line: it can't be made, it broke, TLS, no answer in time, or the user asked to stop.
    Net(NetError),
    /// The server ended the connection.
    Bye { code: Option<Code>, text: String },
    /// The server answered a command, named without its arguments, with NO or BAD.
    Refused { command: String, bad: bool, code: Option<Code>, text: String },
    /// The mailbox has another UIDVALIDITY than a moment ago.
    Renumbered { now: Option<u32>, was: Option<u32> },
    /// This command would change something on a server of which only copies are made. It was not sent.
    ReadOnly { command: &'static str },
    /// The server sent what makes no sense; the connection is of no use any more.
    Protocol(String),
    /// A message that was to be sent can't be read; the connection is of no use any more.
    Source(Box<StoreError>),
    /// We ended the login: no mechanism in common, or a server that does not prove who it is.
    Auth(String),
    /// This machine has not what a mechanism takes, a ticket say; nothing was sent. `used` tells whether it is used here
    /// else.
    Lacking { cause: String, hint: String, used: bool },
}

impl ImapError {
    /// What the end of `command` means, if it is not OK.
    pub fn check(command: &str, status: Status) -> Result<Status, ImapError> {
        match status.kind {
            StatusKind::Ok | StatusKind::Preauth => Ok(status),
            StatusKind::Bye => Err(ImapError::Bye { code: status.code, text: status.text }),
            StatusKind::No | StatusKind::Bad => Err(ImapError::Refused {
                command: command.to_owned(),
                bad: status.kind == StatusKind::Bad,
                code: status.code,
                text: status.text,
            }),
        }
    }

    /// The same without what the server said, where `secret` finds one in it.
    pub fn masked(mut self, secret: &dyn Fn(&str) -> bool) -> ImapError {
        if let ImapError::Bye { code, text } | ImapError::Refused { code, text, .. } = &mut self {
            if secret(text) {
                *text = NOT_SHOWN.to_owned();
            }
            *code = code.take().filter(|code| !secret(&format!("{code:?}")));
        }
        match self {
            ImapError::Protocol(what) if secret(&what) => ImapError::Protocol(NOT_SHOWN.to_owned()),
            ImapError::Auth(what) if secret(&what) => ImapError::Auth(NOT_SHOWN.to_owned()),
            other => other,
        }
    }

    /// The response code that came with it.
    pub fn code(&self) -> Option<&Code> {
        match self {
            ImapError::Bye { code, .. } | ImapError::Refused { code, .. } => code.as_ref(),
            _ => None,
        }
    }

    /// The failure as the engine sees it. `reach` is how far a plain refusal of `action` reaches; whatever concerns
    /// the connection or the account reaches as far as it must.
    pub fn into_store(self, reach: Reach, action: &str) -> StoreError {
        let cause = self.to_string();
        let (reach, kind, hint) = match &self {
            ImapError::Source(error) => return (**error).clone(),
            ImapError::Net(error) => net_meaning(error),
            ImapError::Protocol(_) => (Reach::Connection, Kind::Protocol, None),
            ImapError::Auth(_) => (Reach::Account, Kind::Auth, None),
            ImapError::Lacking { hint, .. } => (Reach::Account, Kind::Auth, Some(hint.as_str())),
            ImapError::ReadOnly { .. } => (reach, Kind::Refused, None),
            ImapError::Renumbered { .. } => (Reach::Folder, Kind::Reset, None),
            ImapError::Bye { code, text } => match refusal::meaning(When::Bye, code.as_ref(), text) {
                // A new connection comes with a new token.
                Some(Meant { reach: reach @ Reach::Connection, kind, hint }) => (reach, kind, hint),
                Some(Meant { kind: kind @ (Kind::Auth | Kind::Later), hint, .. }) => (Reach::Account, kind, hint),
                _ => (Reach::Connection, Kind::Network, None),
            },
            ImapError::Refused { command, code, text, .. } => {
                let when = When::of(command);
                let meant = refusal::meaning(when, code.as_ref(), text).unwrap_or_else(|| when.unknown());
                (reach.max(if when.is_login() { Reach::Account } else { meant.reach }), meant.kind, meant.hint)
            }
        };
        let error = StoreError::new(reach, kind, action, cause);
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }

    /// The same with what the server said in the login itself behind its refusal.
    pub fn because(mut self, reason: Option<String>) -> ImapError {
        if let (ImapError::Refused { text, .. }, Some(reason)) = (&mut self, reason) {
            *text = format!("{text} ({reason})");
        }
        self
    }
}

fn net_meaning(error: &NetError) -> (Reach, Kind, Option<&str>) {
    let hint = error.hint();
    match error {
        NetError::Stopped => (Reach::Account, Kind::Stopped, None),
        NetError::Tls { .. } | NetError::Untrusted { .. } => (Reach::Account, Kind::Tls, hint),
        NetError::Resolve { .. }
        | NetError::Connect { .. }
        | NetError::Handshake { .. }
        | NetError::Proxy { .. }
        | NetError::Tunnel { .. } => (Reach::Account, Kind::Network, hint),
        NetError::LongLine(_) => (Reach::Connection, Kind::Protocol, hint),
        NetError::Io(_) | NetError::Closed | NetError::Timeout(_) => (Reach::Connection, Kind::Network, hint),
    }
}

impl fmt::Display for ImapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |code: &Option<Code>| code.as_ref().map_or(String::new(), |code| format!(" ({})", code.name()));
        match self {
            ImapError::Net(error) => error.fmt(f),
            ImapError::Bye { code, text } => write!(f, "server said goodbye{}: {text}", named(code)),
            ImapError::Refused { command, bad: false, code, text } => {
                write!(f, "server refused {command}{}: {text}", named(code))
            }
            ImapError::Refused { command, code, text, .. } => {
                write!(f, "server did not understand {command}{}: {text}", named(code))
            }
            ImapError::Protocol(what) => write!(f, "server broke the protocol: {what}"),
            ImapError::Auth(what) | ImapError::Lacking { cause: what, .. } => f.write_str(what),
            ImapError::Source(error) => error.fmt(f),
            ImapError::Renumbered { now, was } => {
                let number = |validity: &Option<u32>| validity.unwrap_or(0);
                write!(f, "its UIDVALIDITY is {}, and was {}", number(now), number(was))
            }
            ImapError::ReadOnly { command } => {
                write!(f, "{command} was not sent: the account's mode lets nothing be changed on this server")
            }
        }
    }
}

impl std::error::Error for ImapError {}

impl From<NetError> for ImapError {
    fn from(error: NetError) -> ImapError {
        ImapError::Net(error)
    }
}

impl From<FrameError> for ImapError {
    fn from(error: FrameError) -> ImapError {
        ImapError::Protocol(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::{Response, parse};
    use super::*;
    use std::time::Duration;

    fn refused(command: &str, line: &str) -> StoreError {
        let (Response::Tagged { status, .. } | Response::Status(status)) = parse(line.as_bytes()) else {
            panic!("{line}")
        };
        ImapError::check(command, status).expect_err(line).into_store(Reach::Message, "act")
    }

    #[test]
    fn refusals_are_told_apart_by_code_and_text() {
        use Kind::{Auth, Later, Missing, Network, Refused};
        let crowded = "T NO [AUTHENTICATIONFAILED] Authentication failed: (Too many simultaneous connections.)";
        for (command, line, reach, kind) in [
            ("LOGIN", "T NO [AUTHENTICATIONFAILED] Invalid", Reach::Account, Auth),
            ("LOGIN", "T NO go away", Reach::Account, Auth),
            ("LOGIN", crowded, Reach::Account, Later),
            ("LOGIN", "T NO [ALERT] Too many simultaneous connections. (Failure)", Reach::Account, Later),
            ("LOGIN", "T NO [UNAVAILABLE] internal error", Reach::Account, Later),
            (
                "LOGIN",
                "T NO [OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)",
                Reach::Account,
                Later,
            ),
            ("UID FETCH", "T NO [OVERQUOTA] Account exceeded command or bandwidth limits.", Reach::Account, Later),
            ("UID FETCH", "* BYE [OVERQUOTA] Account exceeded command or bandwidth limits.", Reach::Account, Later),
            ("SELECT", "T BAD User is authenticated but not connected.", Reach::Account, Auth),
            ("SELECT", "T NO Server Unavailable. 15", Reach::Account, Later),
            ("SELECT", "T NO SELECT Unsafe Login. Please contact kefu@188.com for help", Reach::Account, Auth),
            ("SELECT", "T NO [NONEXISTENT] no such mailbox", Reach::Folder, Missing),
            ("APPEND", "T NO [OVERQUOTA] full", Reach::Folder, Later),
            ("APPEND", "T NO APPEND The 1500 MB storage limit has been exceeded", Reach::Folder, Later),
            ("APPEND", "T NO [TOOBIG] too big", Reach::Message, Refused),
            ("UID FETCH", "T NO [UNAVAILABLE] UID FETCH Server error", Reach::Message, Later),
            ("UID FETCH", "T NO [UNAVAILABLE] try again later", Reach::Message, Later),
            ("UID FETCH", "T NO try again later", Reach::Account, Later),
            ("LOGIN", "T NO [UNAVAILABLE] Temporarily unavailable", Reach::Account, Later),
            ("APPEND", "T NO [LIMIT] too many keywords", Reach::Message, Refused),
            ("STORE", "* BYE Connection closed. 14", Reach::Connection, Network),
        ] {
            let error = refused(command, line);
            assert_eq!((error.reach, error.kind), (reach, kind), "{line}: {error}");
        }
    }

    #[test]
    fn refusals_show_code_text_and_what_to_do() {
        let error = refused("APPEND", "T NO [OVERQUOTA] mailbox is full");
        assert_eq!(error.to_string(), "act: server refused APPEND (OVERQUOTA): mailbox is full");
        assert_eq!(error.hint.as_deref(), Some("the mailbox is full: make room on the server"));
        assert!(refused("LOGIN", "T NO [AUTHENTICATIONFAILED] x").hint.is_some_and(|hint| hint.contains("password")));
    }

    #[test]
    fn broken_lines_end_the_connection_and_certificates_the_account() {
        let tls = NetError::Tls { cause: "c".into(), hint: Some("h".into()) };
        for (error, reach, kind) in [
            (NetError::Closed, Reach::Connection, Kind::Network),
            (NetError::Timeout(Duration::from_secs(60)), Reach::Connection, Kind::Network),
            (NetError::LongLine(5), Reach::Connection, Kind::Protocol),
            (NetError::Stopped, Reach::Account, Kind::Stopped),
            (tls, Reach::Account, Kind::Tls),
        ] {
            let error = ImapError::from(error).into_store(Reach::Message, "act");
            assert_eq!((error.reach, error.kind), (reach, kind), "{error}");
        }
        let error = ImapError::from(FrameError::Literal(u64::MAX)).into_store(Reach::Message, "act");
        assert_eq!((error.reach, error.kind), (Reach::Connection, Kind::Protocol));
    }
}
