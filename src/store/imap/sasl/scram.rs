//! SCRAM (RFC 5802, RFC 7677): the password never crosses the line, and the server has to prove that it knows it too.

use super::base64;
use super::hash::Hash;
use super::prepare::prepare;
use super::{Channel, Exchange, Who, shown};
use crate::mail::Secret;

/// How often a password is hashed: RFC 7677 section 4 wants as much as the one from a server, and whoever asks for less
/// would like to guess it. The other one is some seconds of work.
const COUNTS: std::ops::RangeInclusive<u32> = 4096..=5_000_000;

pub struct Scram {
    hash: Hash,
    /// What stands before the first message, and what it is bound to: sent again in the last one.
    binding: Vec<u8>,
    header: String,
    /// The first message without its header.
    bare: String,
    nonce: String,
    password: Secret,
    state: State,
    /// Whether the proof was sent.
    proved: bool,
    reason: Option<String>,
}

enum State {
    Fresh,
    Asked,
    /// The server has to show this.
    Proved(Vec<u8>),
    Accepted,
    Failed,
}

impl Scram {
    /// Binds the login to the TLS channel if `bound`.
    pub fn new(hash: Hash, bound: bool, who: &Who<'_>, nonce: String) -> Scram {
        let (flag, end_point) = match (who.channel, bound) {
            (Channel::EndPoint(end_point), true) => ("p=tls-server-end-point", end_point.as_slice()),
            (Channel::Unoffered, _) => ("y", [].as_slice()),
            _ => ("n", [].as_slice()),
        };
        let authzid = who.authzid.map_or(String::new(), |authzid| format!("a={}", escaped(&prepare(authzid))));
        let header = format!("{flag},{authzid},");
        Scram {
            hash,
            binding: [header.as_bytes(), end_point].concat(),
            header,
            bare: format!("n={},r={nonce}", escaped(&prepare(&who.login.user))),
            nonce,
            password: Secret::new(prepare(who.login.password.expose())),
            state: State::Fresh,
            proved: false,
            reason: None,
        }
    }

    /// Answers the server's first message with the proof that we know the password.
    fn prove(&mut self, challenge: &[u8]) -> Result<Vec<u8>, String> {
        let asked = Asked::parse(challenge, &self.nonce)?;
        let last = format!("c={},r={}", base64::encode(&self.binding), asked.nonce);
        let signed = [self.bare.as_bytes(), b",", challenge, b",", last.as_bytes()].concat();
        let salted = self.hash.stretch(self.password.expose().as_bytes(), &asked.salt, asked.count);
        let key = self.hash.hmac(&salted, b"Client Key");
        let signature = self.hash.hmac(&self.hash.digest(&key), &signed);
        let proof: Vec<u8> = key.iter().zip(&signature).map(|(key, signature)| key ^ signature).collect();
        self.proved = true;
        self.state = State::Proved(self.hash.hmac(&self.hash.hmac(&salted, b"Server Key"), &signed));
        Ok(format!("{last},p={}", base64::encode(&proof)).into_bytes())
    }

    /// Holds the server's last message against what only one who knows the password can say.
    fn verify(&mut self, challenge: &[u8], expected: &[u8]) -> Result<Vec<u8>, String> {
        if let Some(error) = challenge.strip_prefix(b"e=") {
            self.reason = Some(shown(error));
            return Ok(Vec::new());
        }
        let signature = challenge.strip_prefix(b"v=").and_then(|rest| rest.split(|byte| *byte == b',').next());
        if signature.and_then(base64::decode).as_deref() != Some(expected) {
            return Err(NO_PROOF.to_owned());
        }
        self.state = State::Accepted;
        Ok(Vec::new())
    }
}

const NO_PROOF: &str = "the server did not prove that it knows the password: it may be another one than it says";

impl Exchange for Scram {
    fn first(&mut self) -> Option<Vec<u8>> {
        self.state = State::Asked;
        Some(format!("{}{}", self.header, self.bare).into_bytes())
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, String> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Fresh => Ok(self.first().unwrap_or_default()),
            State::Asked if challenge.starts_with(b"e=") => self.verify(challenge, &[]),
            State::Asked => self.prove(challenge),
            State::Proved(expected) => self.verify(challenge, &expected),
            State::Accepted | State::Failed => Err("the server goes on where all was said".to_owned()),
        }
    }

    fn accepted(&self) -> Result<(), String> {
        match self.state {
            State::Accepted => Ok(()),
            _ => Err(NO_PROOF.to_owned()),
        }
    }

    fn tried(&self) -> bool {
        self.proved
    }

    fn reason(&self) -> Option<String> {
        self.reason.clone()
    }
}

/// What the server's first message asks for.
struct Asked {
    nonce: String,
    salt: Vec<u8>,
    count: u32,
}

impl Asked {
    /// Reads `r=NONCE,s=SALT,i=COUNT`, with extensions behind it (RFC 5802 section 7).
    fn parse(challenge: &[u8], ours: &str) -> Result<Asked, String> {
        let text = str::from_utf8(challenge).map_err(|_| odd(challenge))?;
        let mut parts = text.split(',');
        let mut next = |name: &str| parts.next().and_then(|part| part.strip_prefix(name)).ok_or_else(|| odd(challenge));
        let nonce = next("r=")?.to_owned();
        if !nonce.starts_with(ours) || nonce.len() == ours.len() {
            return Err("the server's first message answers another login than this one".to_owned());
        }
        let salt = base64::decode(next("s=")?.as_bytes()).filter(|salt| !salt.is_empty());
        let count = next("i=")?;
        match (salt, count.parse()) {
            (Some(salt), Ok(count)) if COUNTS.contains(&count) => Ok(Asked { nonce, salt, count }),
            (Some(_), _) if !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit()) => Err(format!(
                "the server wants the password to be hashed {} times: only {} to {} is sound",
                shown(count.as_bytes()),
                COUNTS.start(),
                COUNTS.end()
            )),
            _ => Err(odd(challenge)),
        }
    }
}

fn odd(challenge: &[u8]) -> String {
    format!("the server's first message is not one of SCRAM: {}", shown(challenge))
}

/// A name as it stands between commas (RFC 5802 section 5.1).
pub fn escaped(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{who, with_authzid};
    use super::*;

    /// A login of which the standard tells every message.
    struct Example {
        hash: Hash,
        nonce: &'static str,
        first: &'static str,
        asked: &'static str,
        last: &'static str,
        signature: &'static str,
    }

    /// RFC 5802 section 5 and RFC 7677 section 3.
    const EXAMPLES: [Example; 2] = [
        Example {
            hash: Hash::Sha1,
            nonce: "fyko+d2lbbFgONRv9qkxdawL",
            first: "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
            asked: "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            last: "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            signature: "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        },
        Example {
            hash: Hash::Sha256,
            nonce: "rOprNGfwEbeRWgbNEkqO",
            first: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            asked: "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            last: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                   p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            signature: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        },
    ];

    fn scram(example: &Example) -> Scram {
        Scram::new(example.hash, false, &who("user", "pencil"), example.nonce.to_owned())
    }

    fn said(answer: Result<Vec<u8>, String>) -> Result<String, String> {
        answer.map(|bytes| String::from_utf8(bytes).expect("text"))
    }

    #[test]
    fn every_message_is_that_of_the_standards() {
        for example in EXAMPLES {
            let mut scram = scram(&example);
            assert_eq!(said(scram.answer(b"")).as_deref(), Ok(example.first));
            assert!(!scram.tried());
            assert_eq!(said(scram.answer(example.asked.as_bytes())).as_deref(), Ok(example.last));
            assert!(scram.tried());
            scram.accepted().expect_err("an OK before the server's proof is worth nothing");
            assert_eq!(said(scram.answer(example.signature.as_bytes())).as_deref(), Ok(""));
            scram.accepted().expect("the server has proved itself");
            scram.answer(b"more").expect_err("all was said");
        }
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_not_believed() {
        let example = &EXAMPLES[1];
        for last in ["v=AAAA", "v=", "", "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", EXAMPLES[0].signature] {
            let mut scram = scram(example);
            scram.first();
            scram.answer(example.asked.as_bytes()).expect("the proof");
            assert_eq!(scram.answer(last.as_bytes()), Err(NO_PROOF.to_owned()), "{last}");
            assert!(scram.accepted().is_err() && scram.tried());
        }
    }

    #[test]
    fn what_the_server_says_of_a_failure_is_told() {
        let example = &EXAMPLES[0];
        let mut scram = scram(example);
        scram.first();
        scram.answer(example.asked.as_bytes()).expect("the proof");
        assert_eq!(scram.answer(b"e=invalid-proof"), Ok(Vec::new()));
        assert_eq!(scram.reason().as_deref(), Some("invalid-proof"));
        assert!(scram.accepted().is_err() && scram.tried());
    }

    #[test]
    fn odd_first_messages_are_not_answered() {
        for (asked, why) in [
            ("", "not one of SCRAM"),
            ("r=NONCEx", "not one of SCRAM"),
            ("r=NONCEx,s=AAAA", "not one of SCRAM"),
            ("r=NONCEx,s=,i=4096", "not one of SCRAM"),
            ("r=NONCEx,s=A,i=4096", "not one of SCRAM"),
            ("r=NONCEx,s=AAAA,i=", "not one of SCRAM"),
            ("r=NONCEx,s=AAAA,i=-4096", "not one of SCRAM"),
            ("m=must,r=NONCEx,s=AAAA,i=4096", "not one of SCRAM"),
            ("r=NONCE,s=AAAA,i=4096", "another login"),
            ("r=another,s=AAAA,i=4096", "another login"),
            ("r=NONCEx,s=AAAA,i=1", "hashed 1 times"),
            ("r=NONCEx,s=AAAA,i=4095", "hashed 4095 times"),
            ("r=NONCEx,s=AAAA,i=5000001", "hashed 5000001 times"),
            ("r=NONCEx,s=AAAA,i=99999999999", "hashed 99999999999 times"),
        ] {
            let mut scram = Scram::new(Hash::Sha256, false, &who("user", "pencil"), "NONCE".to_owned());
            scram.first();
            let error = scram.answer(asked.as_bytes()).expect_err(asked);
            assert!(error.contains(why), "{asked}: {error}");
            assert!(!scram.tried(), "{asked}");
        }
        let mut scram = Scram::new(Hash::Sha256, false, &who("user", "pencil"), "NONCE".to_owned());
        scram.first();
        scram.answer(b"r=NONCEx,s=AAAA,i=4096,x=extension").expect("extensions are passed over");
    }

    #[test]
    fn a_login_is_bound_to_the_certificate_and_says_whose_mail_is_wanted() {
        let channel = Channel::EndPoint(vec![1, 2, 255]);
        let who = Who { channel: &channel, ..with_authzid("us=er", "pa\u{308}ss", "boss,x") };
        let mut scram = Scram::new(Hash::Sha256, true, &who, "abc".to_owned());
        let first = "p=tls-server-end-point,a=boss=2Cx,n=us=3Der,r=abc";
        assert_eq!(scram.first().as_deref(), Some(first.as_bytes()));
        let last = "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCxhPWJvc3M9MkN4LAEC/w==,r=abcdef,\
                    p=1uB9ckuHLBOAC31qVCUTs7p1lvlkXllEzmMI+W83MsY=";
        let asked = b"r=abcdef,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        assert_eq!(said(scram.answer(asked)).as_deref(), Ok(last));
        assert_eq!(scram.answer(b"v=o6fZ7Bo//vPnY+Kyia2ueYhYRKMhoNORH7WhgXzFyr0="), Ok(Vec::new()));
        scram.accepted().expect("the server has proved itself");
    }

    #[test]
    fn the_header_says_whether_the_channel_could_have_been_bound() {
        for (channel, first) in [
            (Channel::Unbound, "n,,n=me,r=N"),
            (Channel::Unoffered, "y,,n=me,r=N"),
            // The server offers it, and it was not taken.
            (Channel::EndPoint(vec![1]), "n,,n=me,r=N"),
        ] {
            let who = Who { channel: &channel, ..who("me", "secret") };
            let mut scram = Scram::new(Hash::Sha1, false, &who, "N".to_owned());
            assert_eq!(scram.first().as_deref(), Some(first.as_bytes()));
        }
    }
}
