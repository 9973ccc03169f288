//! CRAM-MD5 (RFC 2195): old and weak, but no password crosses the line. Used only where it is named.

use super::hash::Hash;
use super::{Exchange, Who};
use crate::mail::Login;

pub struct Cram {
    login: Login,
    answered: bool,
}

impl Cram {
    pub fn new(who: &Who<'_>) -> Cram {
        Cram { login: who.login.clone(), answered: false }
    }
}

impl Exchange for Cram {
    fn first(&mut self) -> Option<Vec<u8>> {
        None
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, String> {
        if challenge.is_empty() || self.answered {
            return Err("the server's challenge is not one of CRAM-MD5".to_owned());
        }
        self.answered = true;
        let proof = Hash::Md5.hmac(self.login.password.expose().as_bytes(), challenge);
        let digits: String = proof.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("{} {digits}", self.login.user).into_bytes())
    }

    fn tried(&self) -> bool {
        self.answered
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::who;
    use super::*;

    /// The example of RFC 2195 section 2.
    #[test]
    fn the_answer_is_that_of_the_standard() {
        let mut cram = Cram::new(&who("tim", "tanstaaftanstaaf"));
        assert_eq!(cram.first(), None);
        let answer = cram.answer(b"<1896.697170952@postoffice.reston.mci.net>");
        assert_eq!(answer.as_deref(), Ok(b"tim b913a602c7eda7a495b4e6e7334d3890".as_slice()));
        assert!(cram.tried() && cram.answer(b"<again>").is_err());
        assert!(Cram::new(&who("tim", "x")).answer(b"").is_err());
    }
}
