//! Memory does not grow with the size of a message. A file of its own: the test measures its whole process.

mod support;

use mailsync::mail::{Flags, Identity, Key, Login, Secret};
use mailsync::net::{Stop, TlsMode};
use mailsync::store::imap::{ImapOpener, ImapSettings};
use mailsync::store::{Access, Depth, Draft, Fetched, Mark, Outgoing, Receive, Store, StoreError};
use std::sync::Arc;
use support::Dovecot;

const SIZE: usize = 300 << 20;
const LIMIT_KB: u64 = 64 << 10;

/// The most memory that the process ever had, in KB.
fn peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn draft() -> Draft {
    Draft::new(tempfile::tempfile_in("/var/tmp").expect("a file"), None)
}

/// Takes messages and remembers what they are.
#[derive(Default)]
struct Measured(Vec<Identity>);

impl Receive for Measured {
    fn draft(&mut self) -> Result<Draft, StoreError> {
        Ok(draft())
    }
    fn message(&mut self, mut fetched: Fetched) -> Result<(), StoreError> {
        self.0.push(fetched.body.identity().expect("measured"));
        Ok(())
    }
    fn failed(&mut self, _: Key, error: StoreError) -> Result<(), StoreError> {
        Err(error)
    }
}

#[test]
fn a_message_of_300_mb_goes_both_ways_in_64_mb() {
    let server = Dovecot::start();
    let login = || Ok(Login { user: "alice".into(), password: Secret::new("secret-alice") });
    let mut settings = ImapSettings::new("127.0.0.1", Arc::new(login));
    settings.port = server.port;
    settings.tls.mode = TlsMode::None;
    let mut store = ImapOpener::new(settings, Stop::new()).connect().expect("connected");
    let mut folder = store.open(b"INBOX", Access::Write, None).expect("opened");

    let mut body = draft();
    body.write(b"Subject: large\nMessage-ID: <large@test>\n\n").expect("written");
    let line = [&b"x".repeat(1023)[..], b"\n"].concat();
    (0..SIZE / line.len()).for_each(|_| body.write(&line).expect("written"));
    let sent = body.identity().expect("measured");
    let outgoing = Outgoing { mark: Mark::NotBelow(Key::Uid(1)), flags: Flags::new(), date: Some(1_000_000_000), body };
    let key = folder.append(vec![outgoing]).expect("appended").remove(0).expect("stored").expect("told");

    let mut measured = Measured::default();
    folder.fetch(std::slice::from_ref(&key), &mut measured).expect("fetched");
    assert_eq!(measured.0, std::slice::from_ref(&sent));
    let identified = folder.identify(&[key], Depth::Content).expect("identified").known;
    assert_eq!(identified[0].1.hash, sent.hash);
    assert!(peak_kb() < LIMIT_KB, "{} KB", peak_kb());
}
