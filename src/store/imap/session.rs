//! The conversation: login and mailbox commands. The only file that names the crate `imap`.
//!
//! What the crate makes of an answer is not used: the facade keeps the raw tagged line and every untagged response.

use super::error::ImapError;
use super::facade::{Handle, Outcome};
use super::token::{Response, Status};
use super::wire::{Command, Wire};
use crate::mail::{Login, Secret};
use crate::net::Mask;
use std::sync::Arc;

/// How a command of the crate went, for the caller that wants more than yes or no.
pub struct Done {
    pub status: Status,
    pub untagged: Vec<Response>,
}

/// A way to log in that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// SASL PLAIN (RFC 4616); `initial` sends the response along with the command (SASL-IR, RFC 4959).
    Plain { initial: bool },
    /// The LOGIN command.
    Login,
}

impl Mechanism {
    fn command(self) -> &'static str {
        match self {
            Mechanism::Plain { .. } => "AUTHENTICATE",
            Mechanism::Login => "LOGIN",
        }
    }
}

/// A connection before its login.
pub struct Greeted {
    client: imap::Client<Handle>,
    handle: Handle,
}

/// A connection after its login, as the crate holds it.
pub struct Session {
    session: imap::Session<Handle>,
    handle: Handle,
}

struct Plain<'a>(&'a Login);

impl imap::Authenticator for Plain<'_> {
    type Response = Vec<u8>;

    fn process(&self, _: &[u8]) -> Vec<u8> {
        plain_response(self.0)
    }
}

fn plain_response(login: &Login) -> Vec<u8> {
    [b"\0", login.user.as_bytes(), b"\0", login.password.expose().as_bytes()].concat()
}

/// Finds the password as it is, as it was sent in quotes, and in base64.
fn mask(login: &Login) -> Mask {
    let password = login.password.expose();
    let quoted = password.replace('\\', "\\\\").replace('"', "\\\"");
    let forms = [password.to_owned(), quoted, base64(&plain_response(login)), base64(password.as_bytes())];
    let forms = forms.map(Secret::new);
    Arc::new(move |text| forms.iter().any(|form| !form.expose().is_empty() && text.contains(form.expose())))
}

impl Greeted {
    /// Takes over a line whose greeting was read, behind STARTTLS where that was wanted.
    pub fn new(handle: Handle) -> Greeted {
        let mut client = imap::Client::new(handle.clone());
        // Else the crate would wait for a greeting.
        client.greeting_read = true;
        Greeted { client, handle }
    }

    /// Logs in. Where the server refuses, the connection comes back for another try.
    pub fn login(self, login: &Login, mechanism: Mechanism) -> Result<(Session, Done), Failed> {
        let mask = mask(login);
        self.handle.line().transport.set_mask(Some(mask.clone()));
        let handle = self.handle.clone();
        let result = match mechanism {
            Mechanism::Plain { initial: true } => {
                let first = format!("PLAIN {}", base64(&plain_response(login)));
                self.through_crate(mechanism, |client| client.authenticate(first, &Plain(login)).map_err(Box::new))
            }
            Mechanism::Plain { initial: false } => {
                self.through_crate(mechanism, |client| client.authenticate("PLAIN", &Plain(login)).map_err(Box::new))
            }
            Mechanism::Login if quotable(&login.user) && quotable(login.password.expose()) => self
                .through_crate(mechanism, |client| {
                    client.login(&login.user, login.password.expose()).map_err(Box::new)
                }),
            Mechanism::Login => self.login_with_literals(login),
        };
        handle.line().transport.set_mask(None);
        result.map_err(|failed| Failed { error: failed.error.masked(&*mask), ..failed })
    }

    /// The server took us as logged in from the start (PREAUTH).
    pub fn adopt(self) -> Result<Session, ImapError> {
        self.handle.pretend();
        match self.client.login("", "") {
            Ok(session) => Ok(Session { session, handle: self.handle }),
            Err((error, _)) => Err(ImapError::Protocol(error.to_string())),
        }
    }

    fn through_crate<F>(self, mechanism: Mechanism, run: F) -> Result<(Session, Done), Failed>
    where
        F: FnOnce(imap::Client<Handle>) -> Result<imap::Session<Handle>, Back>,
    {
        let handle = self.handle;
        let result = run(self.client);
        let outcome = handle.outcome();
        match result {
            Ok(session) => match done(mechanism.command(), outcome, None) {
                Ok(done) => Ok((Session { session, handle }, done)),
                Err(error) => Err(Failed { error, greeted: None }),
            },
            Err(back) => {
                let (error, client) = *back;
                let refused = outcome.tagged.is_some() && outcome.failure.is_none();
                let error = match done(mechanism.command(), outcome, Some(error)) {
                    Ok(_) => ImapError::Protocol("the login ended in a way that is not known".to_owned()),
                    Err(error) => error,
                };
                Err(Failed { error, greeted: refused.then(|| Box::new(Greeted { client, handle })) })
            }
        }
    }

    /// The crate knows no literals: passwords with 8-bit characters are sent by us.
    fn login_with_literals(self, login: &Login) -> Result<(Session, Done), Failed> {
        let command = Command::new("LOGIN").string(login.user.as_bytes()).string(login.password.expose().as_bytes());
        let mut untagged = Vec::new();
        let ended = Wire::new(self.handle.line())
            .run(&command, &mut |response| untagged.push(response))
            .map_err(|error| Failed { error, greeted: None });
        match ImapError::check("LOGIN", ended?) {
            Err(error) => Err(Failed { error, greeted: Some(Box::new(self)) }),
            Ok(status) => match self.adopt() {
                Ok(session) => Ok((session, Done { status, untagged })),
                Err(error) => Err(Failed { error, greeted: None }),
            },
        }
    }
}

/// A login that failed; `greeted` where the connection can be used for another try.
pub struct Failed {
    pub error: ImapError,
    pub greeted: Option<Box<Greeted>>,
}

/// What the crate gives back of a login that failed.
type Back = Box<(imap::Error, imap::Client<Handle>)>;

impl Session {
    /// CREATE (RFC 3501 section 6.3.3).
    pub fn create(&mut self, mailbox: &str) -> Result<Done, ImapError> {
        let result = self.session.create(mailbox);
        done("CREATE", self.handle.outcome(), result.err())
    }

    /// RENAME (RFC 3501 section 6.3.5). Neither name may hold a line end: the crate does not look.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<Done, ImapError> {
        let result = self.session.rename(from, to);
        done("RENAME", self.handle.outcome(), result.err())
    }

    /// SUBSCRIBE (RFC 3501 section 6.3.6). The name may hold no line end: the crate does not look.
    pub fn subscribe(&mut self, mailbox: &str) -> Result<Done, ImapError> {
        let result = self.session.subscribe(mailbox);
        done("SUBSCRIBE", self.handle.outcome(), result.err())
    }
}

/// What a command of the crate really led to. The crate's own error is the last resort.
fn done(command: &'static str, outcome: Outcome, error: Option<imap::Error>) -> Result<Done, ImapError> {
    if let Some(failure) = outcome.failure {
        return Err(failure);
    }
    match (outcome.tagged, error) {
        (Some(status), _) => Ok(Done { status: ImapError::check(command, status)?, untagged: outcome.untagged }),
        (None, Some(error)) => Err(ImapError::Protocol(format!("{command}: {error}"))),
        (None, None) => Err(ImapError::Protocol(format!("{command} ended without an answer"))),
    }
}

/// Whether a quoted string can hold it: the crate escapes quotes, and sends all else as it stands.
fn quotable(text: &str) -> bool {
    text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let digit = DIGITS[(group >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_pads_every_length() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn the_plain_response_holds_user_and_password_as_they_are() {
        let login = Login { user: "a\"b".into(), password: Secret::new("p ä\\") };
        assert_eq!(plain_response(&login), "\0a\"b\0p ä\\".as_bytes());
    }

    #[test]
    fn the_password_is_found_in_all_that_a_server_may_repeat() {
        let finds = mask(&Login { user: "me".into(), password: Secret::new("a\"b") });
        for text in ["NO me a\"b", "BAD LOGIN \"me\" \"a\\\"b\"", "BAD AG1lAGEiYg==", "BAD YSJi"] {
            assert!(finds(text), "{text}");
        }
        assert!(!finds("NO LOGIN \"me\""));
        assert!(!mask(&Login { user: "me".into(), password: Secret::new("") })("NO"));
    }

    #[test]
    fn what_quotes_cannot_hold_is_no_matter_for_the_crate() {
        assert!(quotable("pass\"word\\ {5}"));
        for text in ["pä", "a\rb", "a\nb", "\0", "\x7f"] {
            assert!(!quotable(text), "{text:?}");
        }
    }
}
