//! The conversation: login and mailbox commands. The only file that names the crate `imap`.
//!
//! What the crate makes of an answer is not used: the facade keeps the raw tagged line and every untagged response.

use super::error::ImapError;
use super::facade::{Handle, Outcome};
use super::sasl::{self, Exchange, Mechanism, Unfit, Wait, Who, base64};
use super::token::{Response, Status};
use super::wire::{Command, Tag, Wire};
use crate::mail::{Login, Secret};
use crate::net::{Mask, NetError};
use std::cell::RefCell;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What fits into the crate's buffer behind a tag, in bytes: it holds 8 kB.
const CRATE_BUFFER: usize = 8 * 1024 - 64;

/// How a command of the crate went, for the caller that wants more than yes or no.
pub struct Done {
    pub status: Status,
    pub untagged: Vec<Response>,
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

/// Lets the crate ask an exchange.
struct Asked {
    exchange: RefCell<Box<dyn Exchange>>,
    /// Why the exchange broke the login off.
    broken: RefCell<Option<String>>,
    handle: Handle,
}

impl imap::Authenticator for Asked {
    type Response = Vec<u8>;

    fn process(&self, challenge: &[u8]) -> Vec<u8> {
        self.exchange.borrow_mut().answer(challenge).unwrap_or_else(|why| {
            self.handle.cancel();
            self.broken.borrow_mut().get_or_insert(why);
            Vec::new()
        })
    }
}

/// Finds the secret as it is, as it was sent in quotes, and in whatever was sent as base64.
fn mask(login: &Login) -> Mask {
    let secret = login.password.clone();
    let quoted = Secret::new(secret.expose().replace('\\', "\\\\").replace('"', "\\\""));
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    Arc::new(move |text| {
        let bare = secret.expose();
        let holds = |bytes: &[u8]| bytes.windows(bare.len()).any(|window| window == bare.as_bytes());
        let coded = |word: &str| base64::decode(word.as_bytes()).is_some_and(|bytes| holds(&bytes));
        !bare.is_empty()
            && (text.contains(bare) || text.contains(quoted.expose()) || text.split(|c| !is_base64(c)).any(coded))
    })
}

impl Greeted {
    /// Takes over a line whose greeting was read, behind STARTTLS where that was wanted.
    pub fn new(handle: Handle) -> Greeted {
        let mut client = imap::Client::new(handle.clone());
        // Else the crate would wait for a greeting.
        client.greeting_read = true;
        Greeted { client, handle }
    }

    /// Logs in; `initial` sends the first response along with the command (SASL-IR, RFC 4959), and `along` is sent right
    /// behind it, where the login is no more than that: the tags tell that it was. Where the server refuses, the connection
    /// comes back for another try, unless more was sent.
    pub fn login(
        self,
        who: &Who<'_>,
        mechanism: Mechanism,
        initial: bool,
        along: &[Command],
    ) -> Result<(Session, Done, Vec<Tag>), Failed> {
        let mask = mask(who.login);
        let whole = match mechanism {
            Mechanism::Plain => initial,
            Mechanism::Login => quotable(&who.login.user) && quotable(who.login.password.expose()),
            _ => false,
        };
        if whole {
            self.handle.send_along(along);
        }
        self.handle.line().transport.set_mask(Some(mask.clone()));
        let handle = self.handle.clone();
        let line = handle.line();
        let wait = Wait { stop: line.transport.stop().clone(), timeout: line.transport.timeout() };
        drop(line);
        let result = match sasl::begin(mechanism, who, &wait) {
            Ok(Some(exchange)) => self.authenticate(exchange, mechanism, initial),
            Ok(None) => self.log_in_plainly(who.login),
            Err(Unfit::Lacking { cause, hint, used }) => {
                let error = ImapError::Lacking { cause, hint, used };
                Err(Failed { error, tried: false, greeted: Some(Box::new(self)), along: false })
            }
            Err(Unfit::Random(error)) => Err(Failed::for_good(ImapError::Auth(format!("no random numbers: {error}")))),
            Err(Unfit::Stopped) => Err(Failed::for_good(ImapError::Net(NetError::Stopped))),
        };
        handle.line().transport.set_mask(None);
        let sent = handle.sent_along();
        match result {
            Ok((mut session, done)) => {
                session.overwrite();
                Ok((session, done, sent))
            }
            Err(Failed { error, tried, greeted, .. }) => {
                let along = !sent.is_empty();
                Err(Failed { error: error.masked(&*mask), tried, greeted: greeted.filter(|_| !along), along })
            }
        }
    }

    fn authenticate(
        self,
        mut exchange: Box<dyn Exchange>,
        mechanism: Mechanism,
        initial: bool,
    ) -> Result<(Session, Done), Failed> {
        let first = if initial { exchange.first().map(Zeroizing::new) } else { None };
        let name = Zeroizing::new(match first.as_deref().map(Vec::as_slice) {
            // RFC 4959 section 3: nothing at all is written as `=`.
            Some([]) => format!("{} =", mechanism.name()),
            Some(first) => [mechanism.name(), " ", &Zeroizing::new(base64::encode(first))].concat(),
            None => mechanism.name().to_owned(),
        });
        let (exchange, broken) = (RefCell::new(exchange), RefCell::new(None));
        let asked = Asked { exchange, broken, handle: self.handle.clone() };
        let run = |client: imap::Client<Handle>| client.authenticate(name.as_str(), &asked).map_err(Box::new);
        let result = self.through_crate(&mechanism.command(), run);
        let exchange = asked.exchange.into_inner();
        if let Some(why) = asked.broken.into_inner() {
            return Err(Failed::for_good(ImapError::Auth(why)));
        }
        let tried = exchange.tried();
        match result {
            Ok(done) => match exchange.accepted() {
                Ok(()) => Ok(done),
                Err(why) => Err(Failed::for_good(ImapError::Auth(why))),
            },
            Err(failed) => Err(Failed { error: failed.error.because(exchange.reason()), tried, ..failed }),
        }
    }

    /// The LOGIN command (RFC 3501 section 6.2.3).
    fn log_in_plainly(self, login: &Login) -> Result<(Session, Done), Failed> {
        let (user, password) = (&login.user, login.password.expose());
        match quotable(user) && quotable(password) {
            true => self.through_crate("LOGIN", |client| client.login(user, password).map_err(Box::new)),
            false => self.login_with_literals(login),
        }
    }

    /// The server took us as logged in from the start (PREAUTH).
    pub fn adopt(self) -> Result<Session, ImapError> {
        self.handle.pretend();
        match self.client.login("", "") {
            Ok(session) => Ok(Session { session, handle: self.handle }),
            Err((error, _)) => Err(ImapError::Protocol(error.to_string())),
        }
    }

    fn through_crate<F>(self, command: &str, run: F) -> Result<(Session, Done), Failed>
    where
        F: FnOnce(imap::Client<Handle>) -> Result<imap::Session<Handle>, Back>,
    {
        let handle = self.handle;
        let result = run(self.client);
        let outcome = handle.outcome();
        match result {
            Ok(session) => match done(command, outcome, None) {
                Ok(done) => Ok((Session { session, handle }, done)),
                Err(error) => Err(Failed::for_good(error)),
            },
            Err(back) => {
                let (error, client) = *back;
                let refused = outcome.tagged.is_some() && outcome.failure.is_none();
                let error = match done(command, outcome, Some(error)) {
                    Ok(_) => ImapError::Protocol("the login ended in a way that is not known".to_owned()),
                    Err(error) => error,
                };
                let greeted = refused.then(|| Box::new(Greeted { client, handle }));
                Err(Failed { error, tried: true, greeted, along: false })
            }
        }
    }

    /// The crate knows no literals: passwords with 8-bit characters are sent by us.
    fn login_with_literals(self, login: &Login) -> Result<(Session, Done), Failed> {
        let command = Command::new("LOGIN").string(login.user.as_bytes()).string(login.password.expose().as_bytes());
        let mut untagged = Vec::new();
        let ended = Wire::new(self.handle.line())
            .run(&command, &mut |response| untagged.push(response))
            .map_err(Failed::for_good);
        match ImapError::check("LOGIN", ended?) {
            Err(error) => Err(Failed { error, tried: true, greeted: Some(Box::new(self)), along: false }),
            Ok(status) => match self.adopt() {
                Ok(session) => Ok((session, Done { status, untagged })),
                Err(error) => Err(Failed::for_good(error)),
            },
        }
    }
}

/// A login that failed; `greeted` where the connection can be used for another try.
pub struct Failed {
    pub error: ImapError,
    /// Whether the secret, or a proof of it, was sent.
    pub tried: bool,
    pub greeted: Option<Box<Greeted>>,
    /// Whether other commands had been sent along with it.
    pub along: bool,
}

impl Failed {
    /// The connection is of no use any more.
    fn for_good(error: ImapError) -> Failed {
        Failed { error, tried: true, greeted: None, along: false }
    }
}

/// What the crate gives back of a login that failed.
type Back = Box<(imap::Error, imap::Client<Handle>)>;

impl Session {
    /// Overwrites the login where the crate's buffer still has it, which lives as long as the connection: by a command that
    /// goes nowhere.
    fn overwrite(&mut self) {
        self.handle.pretend();
        // It is answered by the facade alone, with an OK.
        let _ = self.session.run(" ".repeat(CRATE_BUFFER));
        let _ = self.handle.outcome();
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
fn done(command: &str, outcome: Outcome, error: Option<imap::Error>) -> Result<Done, ImapError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_found_in_all_that_a_server_may_repeat() {
        let finds = mask(&Login { user: "me".into(), password: Secret::new("a\"b") });
        for text in ["NO me a\"b", "BAD LOGIN \"me\" \"a\\\"b\"", "BAD AG1lAGEiYg==", "BAD YSJi", "+ {AG1lAGEiYg==}"] {
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
