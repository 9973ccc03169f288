//! A server that speaks SCRAM-SHA-256, honestly or not, over TCP or TLS.

use crate::harness::*;
use mailsync::net::{Pin, Stop, TlsMode};
use mailsync::store::imap::{ImapOpener, ImapSettings};
use mailsync::store::{Kind, Opener, Reach, StoreError};
use native_tls::{Identity, TlsAcceptor};
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread::{self, JoinHandle};

/// What the server does that it should not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trick {
    None,
    /// It does not know the password, and makes a signature up.
    FalseSignature,
    /// It does not know the password, and says OK without any.
    NoSignature,
    /// It wants the password to be hashed so often.
    Count(u32),
    /// It answers another nonce than the client's.
    OtherNonce,
    /// It offered to bind the channel, and somebody between has left that out.
    Robbed,
    /// It knows no way to bind a channel, whatever it offers.
    NoBinding,
}

const PASSWORD: &str = "secret";
const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn to_base64(bytes: &[u8]) -> String {
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let value =
        |six: &[u8]| six.iter().chain([0; 6].iter()).take(6).fold(0_usize, |value, bit| value * 2 + usize::from(*bit));
    let mut text: String = bits.chunks(6).map(|six| &DIGITS[value(six)..=value(six)]).collect();
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

fn from_base64(text: &str) -> Vec<u8> {
    let values = text.chars().filter_map(|c| DIGITS.find(c));
    let bits: Vec<usize> = values.flat_map(|value| (0..6).rev().map(move |at| value >> at & 1)).collect();
    bits.chunks_exact(8).map(|eight| eight.iter().fold(0_u8, |byte, bit| byte << 1 | u8::from(*bit == 1))).collect()
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    assert!(key.len() <= 64);
    let padded = |pad: u8| (0..64).map(|at| key.get(at).unwrap_or(&0) ^ pad).collect::<Vec<u8>>();
    let inner = Sha256::digest([padded(0x36), text.to_vec()].concat());
    Sha256::digest([padded(0x5c), inner.to_vec()].concat()).to_vec()
}

fn salted(password: &str, salt: &[u8], count: u32) -> Vec<u8> {
    let mut last = hmac(password.as_bytes(), &[salt, &[0, 0, 0, 1]].concat());
    let mut sum = last.clone();
    for _ in 1..count {
        last = hmac(password.as_bytes(), &last);
        sum.iter_mut().zip(&last).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

/// The certificate's hash, and who has it.
struct Certificate {
    identity: Identity,
    hash: Vec<u8>,
}

impl Certificate {
    fn new() -> Certificate {
        let dir = tempfile::tempdir().expect("a directory");
        let openssl = |args: &str| {
            let out = Command::new("openssl").current_dir(dir.path()).args(args.split(' ')).output();
            assert!(out.expect("run openssl").status.success(), "openssl {args}");
        };
        openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -days 30 \
             -sha256 -subj /CN=localhost",
        );
        openssl("x509 -in cert.pem -outform der -out cert.der");
        let read = |name: &str| std::fs::read(dir.path().join(name)).expect("a file of openssl's");
        Certificate {
            identity: Identity::from_pkcs8(&read("cert.pem"), &read("key.pem")).expect("an identity"),
            hash: Sha256::digest(read("cert.der")).to_vec(),
        }
    }
}

/// Serves one connection; with what the client said, as far as it can be read.
struct Server {
    port: u16,
    thread: JoinHandle<Vec<String>>,
    pin: Option<Pin>,
}

impl Server {
    fn start(mechanisms: &'static str, trick: Trick, certificate: Option<Certificate>) -> Server {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind to loopback");
        let port = listener.local_addr().expect("an address").port();
        let pin = certificate.as_ref().map(|certificate| {
            let hex: String = certificate.hash.iter().map(|byte| format!("{byte:02x}")).collect();
            Pin::parse(&hex).expect("a pin")
        });
        let thread = thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a client");
            match certificate {
                None => Talk::new(stream, Vec::new(), trick).serve(mechanisms),
                Some(Certificate { identity, hash }) => {
                    let acceptor = TlsAcceptor::new(identity).expect("an acceptor");
                    Talk::new(acceptor.accept(stream).expect("a handshake"), hash, trick).serve(mechanisms)
                }
            }
        });
        Server { port, thread, pin }
    }

    fn settings(&self) -> ImapSettings {
        let mut settings = settings(self.port);
        if let Some(pin) = &self.pin {
            settings.tls.mode = TlsMode::Implicit;
            settings.tls.pins = vec![pin.clone()];
        }
        settings
    }

    /// Logs in, and gives what the client said.
    fn enter(self, change: impl FnOnce(&mut ImapSettings)) -> (Result<(), StoreError>, Vec<String>) {
        let mut settings = self.settings();
        change(&mut settings);
        let store = ImapOpener::new(settings, Stop::new()).open();
        let entered = store.map(|store| store.close());
        (entered, self.thread.join().expect("the server does not panic"))
    }
}

struct Talk<S: Read + Write> {
    stream: BufReader<S>,
    end_point: Vec<u8>,
    trick: Trick,
    heard: Vec<String>,
}

impl<S: Read + Write> Talk<S> {
    fn new(stream: S, end_point: Vec<u8>, trick: Trick) -> Talk<S> {
        Talk { stream: BufReader::new(stream), end_point, trick, heard: Vec::new() }
    }

    fn say(&mut self, line: &str) {
        // A client that has gone is what some tests want.
        let _gone = self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes());
        let _gone = self.stream.get_mut().flush();
    }

    fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
        }
    }

    /// Until the client has gone.
    fn serve(mut self, mechanisms: &str) -> Vec<String> {
        let offered: String = mechanisms.split(' ').map(|name| format!("AUTH={name} ")).collect();
        self.say(&format!("* OK [CAPABILITY IMAP4rev1 SASL-IR LOGINDISABLED {offered}] hello"));
        while let Some(line) = self.hear() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                [tag, "AUTHENTICATE", mechanism, first] if mechanism.starts_with("SCRAM-SHA-256") => {
                    let first = String::from_utf8(from_base64(first)).expect("text");
                    let bare_nonce = first.rsplit_once("r=").expect("a nonce").0.to_owned();
                    self.heard.push(format!("{mechanism} {bare_nonce}"));
                    let end = self.scram(&first);
                    self.say(&format!("{tag} {end}"));
                }
                [tag, "AUTHENTICATE", mechanism, ..] => {
                    self.heard.push(mechanism.to_owned());
                    self.say(&format!("{tag} NO [AUTHENTICATIONFAILED] no"));
                }
                [tag, ..] => {
                    self.heard.push(line.split_once(' ').map_or("", |(_, rest)| rest).to_owned());
                    self.say(&format!("{tag} OK done"));
                }
                [] => {}
            }
        }
        self.heard
    }

    /// One exchange, and how the command ends.
    fn scram(&mut self, first: &str) -> &'static str {
        if self.trick == Trick::NoBinding && first.starts_with("p=") {
            return "NO [AUTHENTICATIONFAILED] unsupported-channel-binding-type";
        }
        if self.trick == Trick::Robbed && first.starts_with("y,") {
            self.say(&format!("+ {}", to_base64(b"e=server-does-support-channel-binding")));
            assert_eq!(self.hear().as_deref(), Some(""));
            return "NO [AUTHENTICATIONFAILED] no";
        }
        let header_end = first.match_indices(',').nth(1).expect("a header").0 + 1;
        let (header, bare) = first.split_at(header_end);
        let nonce = format!("{}SERVER", bare.rsplit_once("r=").expect("a nonce").1);
        let count = if let Trick::Count(count) = self.trick { count } else { 4096 };
        let shown = if self.trick == Trick::OtherNonce { "another" } else { &nonce };
        let asked = format!("r={shown},s={},i={count}", to_base64(b"salt"));
        self.say(&format!("+ {}", to_base64(asked.as_bytes())));
        let Some(last) = self.hear().filter(|line| line != "*") else {
            self.heard.push("*".to_owned());
            return "BAD cancelled";
        };
        let last = String::from_utf8(from_base64(&last)).expect("text");
        let (unproved, proof) = last.rsplit_once(",p=").expect("a proof");
        let bound = if header.starts_with("p=") { self.end_point.as_slice() } else { &[] };
        let binding = to_base64(&[header.as_bytes(), bound].concat());
        let salted = salted(PASSWORD, b"salt", count);
        let signed = format!("{bare},{asked},{unproved}");
        let key = hmac(&salted, b"Client Key");
        let signature = hmac(&Sha256::digest(&key), signed.as_bytes());
        let expected: Vec<u8> = key.iter().zip(&signature).map(|(key, signature)| key ^ signature).collect();
        if unproved != format!("c={binding},r={nonce}") || from_base64(proof) != expected {
            return "NO [AUTHENTICATIONFAILED] wrong";
        }
        let verifier = match self.trick {
            Trick::NoSignature => return "OK [CAPABILITY IMAP4rev1] in",
            Trick::FalseSignature => vec![7; 32],
            _ => hmac(&hmac(&salted, b"Server Key"), signed.as_bytes()),
        };
        self.say(&format!("+ {}", to_base64(format!("v={}", to_base64(&verifier)).as_bytes())));
        match self.hear().as_deref() {
            Some("") => "OK [CAPABILITY IMAP4rev1] in",
            _ => {
                self.heard.push("*".to_owned());
                "BAD cancelled"
            }
        }
    }
}

#[test]
fn scram_lets_in_and_says_that_the_line_can_not_be_bound() {
    let (entered, heard) = Server::start("PLAIN SCRAM-SHA-256", Trick::None, None).enter(|_| {});
    entered.expect("logged in");
    assert_eq!(heard, ["SCRAM-SHA-256 n,,n=me,", "LOGOUT"]);
}

#[test]
fn scram_is_bound_to_the_certificate_where_that_is_offered() {
    for (offered, options, expected) in [
        ("PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS", "", "SCRAM-SHA-256-PLUS p=tls-server-end-point,,n=me,"),
        // Somebody between may have hidden it: the server is told that we could.
        ("PLAIN SCRAM-SHA-256", "", "SCRAM-SHA-256 y,,n=me,"),
        // It was not wanted, or hidden by the user.
        ("SCRAM-SHA-256 SCRAM-SHA-256-PLUS", "named", "SCRAM-SHA-256 n,,n=me,"),
        ("SCRAM-SHA-256 SCRAM-SHA-256-PLUS", "hidden", "SCRAM-SHA-256 n,,n=me,"),
    ] {
        let server = Server::start(offered, Trick::None, Some(Certificate::new()));
        let (entered, heard) = server.enter(|settings| match options {
            "named" => settings.auth = vec!["scram-sha-256".to_owned()],
            "hidden" => settings.disable_capabilities = vec!["auth=scram-sha-256-plus".to_owned()],
            _ => {}
        });
        entered.expect("logged in");
        assert_eq!(heard, [expected, "LOGOUT"]);
    }
}

#[test]
fn a_server_that_binds_in_other_ways_only_is_asked_without() {
    let server = Server::start("SCRAM-SHA-256-PLUS SCRAM-SHA-256", Trick::NoBinding, Some(Certificate::new()));
    let (entered, heard) = server.enter(|_| {});
    entered.expect("logged in");
    let first = "SCRAM-SHA-256-PLUS p=tls-server-end-point,,n=me,";
    assert_eq!(heard, [first, "SCRAM-SHA-256 n,,n=me,", "LOGOUT"]);
}

#[test]
fn what_somebody_between_has_left_out_is_noticed() {
    let server = Server::start("SCRAM-SHA-256 SCRAM-SHA-1 PLAIN", Trick::Robbed, Some(Certificate::new()));
    let (entered, heard) = server.enter(|_| {});
    let error = entered.expect_err("refused");
    assert_eq!((error.kind, error.reach), (Kind::Auth, Reach::Account), "{error}");
    assert!(error.hint.as_deref().is_some_and(|hint| hint.contains("somebody may be between")), "{error:?}");
    assert_eq!(heard, ["SCRAM-SHA-256 y,,n=me,"]);
}

#[test]
fn a_server_that_does_not_prove_itself_gets_no_second_try() {
    for (trick, why, heard_then) in [
        (Trick::FalseSignature, "did not prove", Some("*")),
        (Trick::NoSignature, "did not prove", None),
        (Trick::OtherNonce, "another login", Some("*")),
        (Trick::Count(1), "hashed 1 times", Some("*")),
        (Trick::Count(2_000_000_000), "hashed 2000000000 times", Some("*")),
    ] {
        let (entered, heard) = Server::start("SCRAM-SHA-256 PLAIN", trick, None).enter(|_| {});
        let error = entered.expect_err(why);
        assert_eq!((error.kind, error.reach), (Kind::Auth, Reach::Account), "{error}");
        assert!(error.to_string().contains(why), "{error}");
        let expected: Vec<&str> = ["SCRAM-SHA-256 n,,n=me,"].into_iter().chain(heard_then).collect();
        assert_eq!(heard, expected, "{why}");
    }
}

#[test]
fn a_wrong_password_is_proved_once() {
    let (entered, heard) = Server::start("SCRAM-SHA-256 PLAIN", Trick::None, None).enter(|settings| {
        settings.login = std::sync::Arc::new(|| {
            Ok(mailsync::mail::Login { user: "me".into(), password: mailsync::mail::Secret::new("sesame") })
        });
    });
    let error = entered.expect_err("refused");
    assert_eq!((error.kind, error.reach), (Kind::Auth, Reach::Account), "{error}");
    assert!(error.to_string().contains("AUTHENTICATE SCRAM-SHA-256 (AUTHENTICATIONFAILED)"), "{error}");
    assert_eq!(heard, ["SCRAM-SHA-256 n,,n=me,"]);
}

#[test]
fn somebody_elses_mail_is_asked_for() {
    let (entered, heard) = Server::start("SCRAM-SHA-256", Trick::None, None)
        .enter(|settings| settings.authzid = Some("b=o,ss".to_owned()));
    entered.expect("logged in");
    assert_eq!(heard, ["SCRAM-SHA-256 n,a=b=3Do=2Css,n=me,", "LOGOUT"]);
}
