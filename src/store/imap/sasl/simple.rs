//! Mechanisms of one message: PLAIN and EXTERNAL.

use super::{Exchange, Who};
use crate::mail::Secret;

/// One message, which answers the first challenge or comes along with the command.
pub struct Simple {
    message: Secret,
    secret: bool,
    said: bool,
}

/// User and password as they are (PLAIN, RFC 4616).
pub fn plain(who: &Who<'_>) -> Simple {
    let (authzid, user) = (who.authzid.unwrap_or_default(), who.login.user.as_str());
    let message = Secret::new([authzid, "\0", user, "\0", who.login.password.expose()].concat());
    Simple { message, secret: true, said: false }
}

/// Nothing but whose mail is wanted: who we are is known from the client's certificate, say (EXTERNAL, RFC 4422
/// appendix A).
pub fn external(who: &Who<'_>) -> Simple {
    Simple { message: Secret::new(who.authzid.unwrap_or_default()), secret: false, said: false }
}

impl Exchange for Simple {
    fn first(&mut self) -> Option<Vec<u8>> {
        self.said = true;
        Some(self.message.expose().as_bytes().to_vec())
    }

    fn answer(&mut self, _: &[u8]) -> Result<Vec<u8>, String> {
        match self.said {
            false => Ok(self.first().unwrap_or_default()),
            true => Err("the server asks again for what it was told".to_owned()),
        }
    }

    fn tried(&self) -> bool {
        self.said && self.secret
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{who, with_authzid};
    use super::*;

    #[test]
    fn plain_holds_user_and_password_as_they_are() {
        assert_eq!(plain(&who("a\"b", "p ä\\")).first().as_deref(), Some("\0a\"b\0p ä\\".as_bytes()));
        let mut plain = plain(&with_authzid("me", "secret", "boss"));
        assert!(!plain.tried());
        assert_eq!(plain.answer(b"").as_deref(), Ok(b"boss\0me\0secret".as_slice()));
        assert!(plain.tried());
        assert!(plain.answer(b"").is_err());
    }

    #[test]
    fn external_says_nothing_but_whose_mail_is_wanted() {
        assert_eq!(external(&who("me", "secret")).first(), Some(Vec::new()));
        let mut external = external(&with_authzid("me", "secret", "boss"));
        assert_eq!(external.first().as_deref(), Some(b"boss".as_slice()));
        assert!(!external.tried());
    }
}
