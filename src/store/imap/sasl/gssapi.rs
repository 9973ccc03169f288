//! Kerberos (GSSAPI, RFC 4752): a ticket for the server takes the place of a password, and the server has to prove itself.

use super::kerberos::Context;
use super::{Exchange, Unfit, Wait, Who};

/// What a server may say at once. Tickets of large directories have some ten kilobytes; their answers have far less.
const TOKEN_MAX: usize = 64 * 1024;

/// No protection of all that follows: that is what TLS is for (RFC 4752 section 3.3).
const NO_LAYER: u8 = 1;

/// What Kerberos does for one login.
pub trait Security {
    /// What the server is told next, if anything, and whether all was said.
    fn step(&mut self, token: &[u8]) -> Result<(Vec<u8>, bool), String>;
    fn is_mutual(&self) -> bool;
    fn unwrap(&mut self, message: &[u8]) -> Result<Vec<u8>, String>;
    fn wrap(&mut self, message: &[u8]) -> Result<Vec<u8>, String>;
}

impl Security for Context {
    fn step(&mut self, token: &[u8]) -> Result<(Vec<u8>, bool), String> {
        Context::step(self, token)
    }

    fn is_mutual(&self) -> bool {
        Context::is_mutual(self)
    }

    fn unwrap(&mut self, message: &[u8]) -> Result<Vec<u8>, String> {
        Context::unwrap(self, message)
    }

    fn wrap(&mut self, message: &[u8]) -> Result<Vec<u8>, String> {
        Context::wrap(self, message)
    }
}

pub struct Gssapi<S = Context> {
    security: S,
    first: Vec<u8>,
    /// Whose mail is wanted; empty where the server is to tell by the ticket.
    authzid: String,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fresh,
    /// The ticket was shown.
    Shown,
    /// The server has proved itself, and says how the line can be protected.
    Proved,
    /// All was said.
    Ended,
    Failed,
}

impl Gssapi {
    /// Gets a ticket for the server.
    pub fn begin(who: &Who<'_>, wait: &Wait) -> Result<Gssapi, Unfit> {
        if who.host.is_empty() {
            let cause = "Kerberos: no ticket for a server without a name".to_owned();
            return Err(Unfit::Lacking { cause, hint: "set `host` beside `command`".to_owned(), used: true });
        }
        let (security, first) = Context::begin(who.host, wait)?;
        // A server that is told no name takes that of the ticket, which may be another one than the account's.
        let authzid = who.authzid.or(who.user).unwrap_or_default().to_owned();
        Ok(Gssapi { security, first, authzid, state: State::Fresh })
    }
}

impl<S: Security> Gssapi<S> {
    fn reply(&mut self, challenge: &[u8]) -> Result<(Vec<u8>, State), String> {
        if challenge.len() > TOKEN_MAX {
            return Err(format!("the server's answer of {} bytes is not one of Kerberos", challenge.len()));
        }
        match self.state {
            State::Fresh if challenge.is_empty() => Ok((std::mem::take(&mut self.first), State::Shown)),
            State::Shown if !challenge.is_empty() => {
                let (next, done) = self.security.step(challenge).map_err(|why| format!("{NO_PROOF}: {why}"))?;
                match done {
                    false => Ok((next, State::Shown)),
                    true if self.security.is_mutual() => Ok((next, State::Proved)),
                    true => Err(NO_PROOF.to_owned()),
                }
            }
            State::Proved => Ok((self.choose_layer(challenge)?, State::Ended)),
            State::Fresh | State::Shown | State::Ended | State::Failed => {
                Err("what the server says is not the next step of a login by Kerberos".to_owned())
            }
        }
    }

    /// RFC 4752 section 3.1: a set of layers and a size, which only matters to the layers.
    fn choose_layer(&mut self, offer: &[u8]) -> Result<Vec<u8>, String> {
        let offer = self.security.unwrap(offer).map_err(|why| format!("{NO_PROOF}: {why}"))?;
        match offer.as_slice() {
            [layers, _, _, _] if layers & NO_LAYER != 0 => {
                let answer = [&[NO_LAYER, 0, 0, 0], self.authzid.as_bytes()].concat();
                self.security.wrap(&answer).map_err(|why| format!("Kerberos: {why}"))
            }
            [_, _, _, _] => Err("the server wants the line to be protected by Kerberos, and not by TLS".to_owned()),
            _ => Err("the server's offer of protection is not one of Kerberos".to_owned()),
        }
    }
}

const NO_PROOF: &str = "the server did not prove that Kerberos knows it: it may be another one than it says";

impl<S: Security> Exchange for Gssapi<S> {
    fn first(&mut self) -> Option<Vec<u8>> {
        self.state = State::Shown;
        Some(std::mem::take(&mut self.first))
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, String> {
        let reply = self.reply(challenge);
        self.state = reply.as_ref().map_or(State::Failed, |(_, next)| *next);
        reply.map(|(message, _)| message)
    }

    fn accepted(&self) -> Result<(), String> {
        match self.state {
            State::Ended => Ok(()),
            _ => Err(NO_PROOF.to_owned()),
        }
    }

    /// A ticket is for this server alone, and no account is locked for it.
    fn tried(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `step` and `last` for tokens, and whatever begins with `sealed:` for wrapped.
    #[derive(Default)]
    struct Fake {
        mutual: bool,
    }

    impl Security for Fake {
        fn step(&mut self, token: &[u8]) -> Result<(Vec<u8>, bool), String> {
            match token {
                b"step" => Ok((b"more".to_vec(), false)),
                b"last" => Ok((Vec::new(), true)),
                _ => Err("A token was invalid".to_owned()),
            }
        }

        fn is_mutual(&self) -> bool {
            self.mutual
        }

        fn unwrap(&mut self, message: &[u8]) -> Result<Vec<u8>, String> {
            message.strip_prefix(b"sealed:").map(<[u8]>::to_vec).ok_or_else(|| "bad signature".to_owned())
        }

        fn wrap(&mut self, message: &[u8]) -> Result<Vec<u8>, String> {
            Ok([b"sealed:", message].concat())
        }
    }

    fn login() -> Gssapi<Fake> {
        let (security, first) = (Fake { mutual: true }, b"ticket".to_vec());
        Gssapi { security, first, authzid: "boss".to_owned(), state: State::Fresh }
    }

    #[test]
    fn the_ticket_is_shown_the_server_proves_itself_and_no_layer_is_chosen() {
        for at_once in [true, false] {
            let mut login = login();
            let first = if at_once { login.first() } else { login.answer(b"").ok() };
            assert_eq!(first.as_deref(), Some(b"ticket".as_slice()));
            assert_eq!(login.answer(b"step").as_deref(), Ok(b"more".as_slice()));
            assert_eq!(login.answer(b"last").as_deref(), Ok(b"".as_slice()));
            login.accepted().expect_err("the server was not told who we are");
            assert_eq!(login.answer(b"sealed:\x07\xff\xff\xff").as_deref(), Ok(b"sealed:\x01\0\0\0boss".as_slice()));
            login.accepted().expect("all was said");
            login.answer(b"more").expect_err("all was said");
            assert!(!login.tried());
        }
    }

    #[test]
    fn a_server_that_does_not_prove_itself_is_not_believed() {
        let mut fresh = login();
        fresh.first();
        fresh.accepted().expect_err("an OK to the ticket alone");
        for odd in [b"".as_slice(), b"odd", &[0; TOKEN_MAX + 1], b"sealed:\x01\0\0\0"] {
            let mut login = login();
            login.first();
            login.answer(odd).expect_err("no proof");
            login.accepted().expect_err("no proof");
            login.answer(b"last").expect_err("the login is over");
        }
        let mut one_sided = Gssapi { security: Fake { mutual: false }, ..login() };
        one_sided.first();
        assert_eq!(one_sided.answer(b"last"), Err(NO_PROOF.to_owned()));
        login().answer(b"step").expect_err("the client speaks first");
    }

    #[test]
    fn a_layer_that_the_server_insists_on_is_refused_and_odd_offers_too() {
        for (offer, why) in [
            (b"sealed:\x06\0\x10\0".as_slice(), "wants the line to be protected"),
            (b"sealed:\0\0\0\0", "wants the line to be protected"),
            (b"sealed:\x01\0\0", "is not one of Kerberos"),
            (b"sealed:\x01\0\0\0\0", "is not one of Kerberos"),
            (b"sealed:", "is not one of Kerberos"),
            (b"\x01\0\0\0", "bad signature"),
            (b"", "bad signature"),
        ] {
            let mut login = login();
            login.first();
            login.answer(b"last").expect("proved");
            let error = login.answer(offer).expect_err("refused");
            assert!(error.contains(why), "{error}");
            login.accepted().expect_err("refused");
        }
    }
}
