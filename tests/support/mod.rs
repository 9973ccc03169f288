//! What the integration tests stand on. Nothing here uses the program's own code.

#![allow(dead_code, unused_imports, reason = "every test file takes what it needs of this and leaves the rest")]

pub mod corpus;
pub mod cyrus;
pub mod date;
pub mod dovecot;
pub mod faulty;
pub mod flights;
pub mod gateway;
pub mod home;
pub mod imap;
pub mod kerberos;
pub mod keyring;
pub mod maildir;
pub mod oauth;
pub mod proxy;
pub mod recorder;
pub mod script;
pub mod slow;
pub mod strace;
pub mod tmux;
pub mod world;

pub use cyrus::Cyrus;
pub use dovecot::Dovecot;
pub use flights::{Flights, Seen};
pub use home::{Home, Output};
pub use imap::{Imap, ServerMessage};
pub use keyring::Keyring;
pub use maildir::{LocalMessage, Maildir};
pub use proxy::{Cut, Passed, Proxy};
pub use recorder::Recorder;
pub use script::Script;
pub use slow::Slow;
pub use strace::{Call, Trace};
pub use tmux::Tmux;

use sha2::{Digest, Sha256};

/// SHA-256 in hex of the bytes, every CRLF taken for an LF.
pub fn sha256_of_lf(bytes: &[u8]) -> String {
    let mut lf = Vec::with_capacity(bytes.len());
    for (at, byte) in bytes.iter().enumerate() {
        if *byte != b'\r' || bytes.get(at + 1) != Some(&b'\n') {
            lf.push(*byte);
        }
    }
    sha256(&lf)
}

/// The S256 challenge of a PKCE verifier (RFC 7636): its SHA-256 in base64 for URLs.
pub fn challenge(verifier: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let hash = Sha256::digest(verifier.as_bytes());
    let bit = |at: usize| hash.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1);
    let digit = |at: usize| (0..6).fold(0, |digit, more| digit << 1 | usize::from(bit(at * 6 + more)));
    (0..43).map(|at| char::from(DIGITS[digit(at)])).collect()
}

/// SHA-256 in hex.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The value of the first Subject, up to the end of its line.
pub fn subject_of(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let line = text.lines().take_while(|line| !line.is_empty()).find_map(|line| line.strip_prefix("Subject: "));
    line.unwrap_or_default().to_owned()
}

/// A small message with this subject, with LF line ends and a Message-ID of its own.
pub fn mail(subject: &str) -> Vec<u8> {
    let id = sha256(subject.as_bytes());
    format!(
        "From: Ann <ann@example.org>\nTo: me@example.org\nSubject: {subject}\nMessage-ID: <{}@test>\n\nThe text of {subject}.\n",
        &id[..16]
    )
    .into_bytes()
}

/// The message with CRLF line ends.
pub fn crlf(message: &[u8]) -> Vec<u8> {
    String::from_utf8(message.to_vec()).expect("a message of the tests is UTF-8").replace('\n', "\r\n").into_bytes()
}
