//! SASL (RFC 4422): what is said and answered in a login. Nothing here knows the line; an [`Exchange`] answers challenges.

pub mod base64;
mod choice;
mod cram;
#[cfg(feature = "gssapi")]
mod gssapi;
mod hash;
#[cfg(feature = "gssapi")]
mod kerberos;
mod oauth;
mod prepare;
mod scram;
mod simple;

pub use choice::{Offer, Wish, choose};

use crate::mail::Login;
use crate::net::Stop;
use hash::Hash;
use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

/// A way to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// Kerberos.
    Gssapi,
    ScramSha256Plus,
    ScramSha256,
    ScramSha1Plus,
    ScramSha1,
    Plain,
    /// The LOGIN command, which is no SASL.
    Login,
    CramMd5,
    External,
    OauthBearer,
    Xoauth2,
}

use Mechanism::{
    CramMd5, External, Gssapi, Login as LoginCommand, OauthBearer, Plain, ScramSha1, ScramSha1Plus, ScramSha256,
    ScramSha256Plus, Xoauth2,
};

/// All of them by name.
const NAMES: [(&str, Mechanism); 11] = [
    ("GSSAPI", Gssapi),
    ("SCRAM-SHA-256-PLUS", ScramSha256Plus),
    ("SCRAM-SHA-256", ScramSha256),
    ("SCRAM-SHA-1-PLUS", ScramSha1Plus),
    ("SCRAM-SHA-1", ScramSha1),
    ("PLAIN", Plain),
    ("LOGIN", LoginCommand),
    ("CRAM-MD5", CramMd5),
    ("EXTERNAL", External),
    ("OAUTHBEARER", OauthBearer),
    ("XOAUTH2", Xoauth2),
];

impl Mechanism {
    /// The mechanism of this name, in any case.
    pub fn parse(name: &str) -> Option<Mechanism> {
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, mechanism)| *mechanism)
    }

    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, mechanism)| *mechanism == self).map_or("", |(name, _)| name)
    }

    /// The command that it is, as errors call it.
    pub fn command(self) -> String {
        match self {
            LoginCommand => self.name().to_owned(),
            _ => format!("AUTHENTICATE {}", self.name()),
        }
    }

    /// Whether the secret that it needs is an access token and no password.
    pub fn takes_token(self) -> bool {
        matches!(self, OauthBearer | Xoauth2)
    }

    /// Whether it needs a secret at all.
    pub fn takes_secret(self) -> bool {
        !matches!(self, External | Gssapi)
    }

    /// Whether it can say whose mail is wanted, where that is another user's.
    fn takes_authzid(self) -> bool {
        !matches!(self, LoginCommand | CramMd5)
    }

    /// Whether it is bound to the TLS channel.
    fn is_bound(self) -> bool {
        matches!(self, ScramSha256Plus | ScramSha1Plus)
    }
}

/// Who logs in, where, and over what.
#[derive(Clone, Debug)]
pub struct Who<'a> {
    /// Empty for what needs no secret.
    pub login: &'a Login,
    /// The user of the config, where it names one.
    pub user: Option<&'a str>,
    /// Whose mail is wanted, where that is another user's (the authorization identity).
    pub authzid: Option<&'a str>,
    /// Empty behind a tunnel that needs none.
    pub host: &'a str,
    pub port: u16,
    pub channel: &'a Channel,
}

/// What is known of the line for channel binding (RFC 5802 section 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// It can't be bound, or there is a reason not to say that it could.
    Unbound,
    /// It could be bound, and the server seems not to know how: it will notice if that was a lie of somebody between.
    Unoffered,
    /// The hash of the server's certificate (`tls-server-end-point`, RFC 5929 section 4).
    EndPoint(Vec<u8>),
}

/// One login, from the client's side.
pub trait Exchange {
    /// What is said first, `None` where the server begins. Asked at most once, and not at all where it cannot be sent
    /// along with the command (SASL-IR, RFC 4959): then the first challenge is empty.
    fn first(&mut self) -> Option<Vec<u8>>;

    /// The answer to a challenge, or why there is none and the login is broken off.
    fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, String>;

    /// Whether the server's OK may be believed, or why not.
    fn accepted(&self) -> Result<(), String> {
        Ok(())
    }

    /// Whether the secret, or a proof of it, was sent: then a refusal may be about that, and another try may lock an
    /// account.
    fn tried(&self) -> bool;

    /// What the server said about a failure in the exchange itself.
    fn reason(&self) -> Option<String> {
        None
    }
}

/// Why a login by a mechanism can't begin. Nothing was sent.
#[derive(Debug)]
pub enum Unfit {
    /// The user wants to stop.
    Stopped,
    /// There are no random numbers.
    Random(io::Error),
    /// This machine has not what it takes; another mechanism may do.
    Lacking {
        cause: String,
        hint: String,
        /// Whether somebody uses here what is lacking, and would like to know.
        used: bool,
    },
}

/// How long something that is no answer of the server's may take.
#[derive(Clone, Debug)]
pub struct Wait {
    pub stop: Stop,
    pub timeout: Duration,
}

/// Whether a Kerberos ticket is there, so that a login may need no password.
#[cfg(feature = "gssapi")]
pub fn has_ticket() -> bool {
    kerberos::has_ticket()
}

/// This program can't show one.
#[cfg(not(feature = "gssapi"))]
pub fn has_ticket() -> bool {
    false
}

/// Begins a login by a mechanism; `None` for the LOGIN command.
pub fn begin(mechanism: Mechanism, who: &Who<'_>, wait: &Wait) -> Result<Option<Box<dyn Exchange>>, Unfit> {
    let scram = |hash| -> Result<Option<Box<dyn Exchange>>, Unfit> {
        let bound = mechanism.is_bound();
        let nonce = nonce().map_err(Unfit::Random)?;
        Ok(Some(Box::new(scram::Scram::new(hash, bound, who, nonce))))
    };
    match mechanism {
        Gssapi => kerberos_login(who, wait),
        ScramSha256Plus | ScramSha256 => scram(Hash::Sha256),
        ScramSha1Plus | ScramSha1 => scram(Hash::Sha1),
        Plain => Ok(Some(Box::new(simple::plain(who)))),
        External => Ok(Some(Box::new(simple::external(who)))),
        CramMd5 => Ok(Some(Box::new(cram::Cram::new(who)))),
        OauthBearer => Ok(Some(Box::new(oauth::Bearer::oauthbearer(who)))),
        Xoauth2 => Ok(Some(Box::new(oauth::Bearer::xoauth2(who)))),
        LoginCommand => Ok(None),
    }
}

#[cfg(feature = "gssapi")]
fn kerberos_login(who: &Who<'_>, wait: &Wait) -> Result<Option<Box<dyn Exchange>>, Unfit> {
    Ok(Some(Box::new(gssapi::Gssapi::begin(who, wait)?)))
}

/// The config lets nobody name it, and it is chosen only where it is named or built in.
#[cfg(not(feature = "gssapi"))]
fn kerberos_login(_: &Who<'_>, _: &Wait) -> Result<Option<Box<dyn Exchange>>, Unfit> {
    let hint = "build it with: cargo install --features gssapi".to_owned();
    Err(Unfit::Lacking { cause: "this mailsync was built without Kerberos".to_owned(), hint, used: false })
}

/// Something that nobody can guess, without a comma: 24 letters.
fn nonce() -> io::Result<String> {
    let mut bytes = [0; 18];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(base64::encode(&bytes))
}

/// What a text of the server's is in a message: printable, and not without end.
fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Secret;

    /// Somebody whose login lives as long as the tests do.
    pub fn who(user: &str, password: &str) -> Who<'static> {
        let login = Box::leak(Box::new(Login { user: user.to_owned(), password: Secret::new(password) }));
        Who { login, user: None, authzid: None, host: "imap.example.org", port: 993, channel: &Channel::Unbound }
    }

    pub fn with_authzid(user: &str, password: &str, authzid: &'static str) -> Who<'static> {
        Who { authzid: Some(authzid), ..who(user, password) }
    }

    #[test]
    fn mechanisms_are_known_in_any_case_and_all_of_them_have_names() {
        for (name, mechanism) in NAMES {
            assert_eq!(Mechanism::parse(&name.to_ascii_lowercase()), Some(mechanism));
            assert_eq!(mechanism.name(), name);
        }
        assert_eq!(Mechanism::parse("DIGEST-MD5"), None);
        assert_eq!(Plain.command(), "AUTHENTICATE PLAIN");
        assert_eq!(LoginCommand.command(), "LOGIN");
    }

    #[test]
    fn a_nonce_is_never_the_same() {
        let (one, another) = (nonce().expect("random"), nonce().expect("random"));
        assert!(one != another && one.len() == 24 && !one.contains(','), "{one} {another}");
    }
}
