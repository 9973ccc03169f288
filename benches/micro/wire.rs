//! What comes and goes over the line: the tokenizer alone, and bodies with their line ends through the IMAP store, with a
//! Dovecot at the other end. The CPU time is then ours without the server's.

use crate::sampler::Sampler;
use crate::support::Dovecot;
use mailsync::mail::{Flags, FolderName, Key, Login, Secret};
use mailsync::net::{TlsMode, TlsSettings};
use mailsync::store::imap::token::{Response, parse};
use mailsync::store::imap::{ImapOpener, ImapSettings};
use mailsync::store::{Access, Draft, Fetched, NothingKnown, Opener, Outgoing, Receive, Stop, Store, StoreError};
use std::fs::File;
use std::io::Write;
use std::sync::Arc;

const LINES: usize = 1_000_000;
const MESSAGES: usize = 20;
/// Of each message.
const MEGABYTES: usize = 5;

pub fn measure(sampler: &Sampler) {
    let tokens = "token: 1,000,000 lines of FETCH (UID FLAGS)";
    if sampler.wants(tokens) {
        let lines = lines();
        sampler.run(tokens, (LINES as u64, "lines"), || (), |()| read(&lines));
    }
    let (up, down) = ("imap: LF to CRLF, 100 MB appended", "imap: CRLF to LF, 100 MB fetched");
    if !sampler.wants(up) && !sampler.wants(down) {
        return;
    }
    let server = Dovecot::start();
    let mut store = open(&server);
    let message = message();
    let megabytes = ((MESSAGES * MEGABYTES) as u64, "MB");
    let mut folders = 0;
    let mut fresh = || {
        folders += 1;
        (format!("Big-{folders}"), drafts(&message))
    };
    sampler.run(up, megabytes, &mut fresh, |(folder, drafts)| append(&mut *store, &folder, drafts));
    let (folder, drafts) = fresh();
    append(&mut *store, &folder, drafts);
    sampler.run(down, megabytes, || (), |()| fetch(&mut *store, &folder));
}

fn lines() -> Vec<u8> {
    let mut lines = Vec::new();
    for number in 1..=LINES {
        let flags = ["\\Seen", "", "\\Answered \\Seen", "\\Seen $Forwarded"][number % 4];
        write!(lines, "* {number} FETCH (UID {} FLAGS ({flags}))\r\n", number * 3).expect("write to memory");
    }
    lines
}

fn read(lines: &[u8]) {
    let fetches = lines.split_inclusive(|byte| *byte == b'\n').filter(|line| matches!(parse(line), Response::Fetch(_)));
    assert_eq!(fetches.count(), LINES);
}

/// Lines of 76, as attachments have them, with LF.
fn message() -> Vec<u8> {
    let mut message = b"From: Ann <ann@example.org>\nSubject: big\n\n".to_vec();
    while message.len() < MEGABYTES << 20 {
        message.extend_from_slice(&"QUJDREVGR0hJSktM".repeat(5).as_bytes()[..76]);
        message.push(b'\n');
    }
    message
}

fn open(server: &Dovecot) -> Box<dyn Store> {
    let password = server.password("alice").to_owned();
    let login = Arc::new(move || Ok(Login { user: "alice".to_owned(), password: Secret::new(password.as_str()) }));
    let settings = ImapSettings {
        port: server.port,
        tls: TlsSettings { mode: TlsMode::None, ..TlsSettings::default() },
        ..ImapSettings::new("127.0.0.1", login)
    };
    ImapOpener::new(settings, Stop::new()).open().expect("connect to the server")
}

/// Makes a folder with these messages in it.
fn append(store: &mut dyn Store, folder: &str, drafts: Vec<Draft>) {
    let name = FolderName::parse(folder).expect("a folder's name");
    let wire = store.create(&name).expect("make a folder").wire;
    let mut folder = store.open(&wire, Access::Write, None).expect("open the folder");
    let marks = folder.reserve(drafts.len()).expect("reserve places");
    let date = Some(1_700_000_000);
    let outgoing =
        marks.into_iter().zip(drafts).map(|(mark, body)| Outgoing { mark, flags: Flags::default(), date, body });
    let stored = folder.append(outgoing.collect()).expect("append");
    assert!(stored.len() == MESSAGES && stored.iter().all(Result::is_ok), "{stored:?}");
}

fn drafts(message: &[u8]) -> Vec<Draft> {
    let one = |_| {
        let mut body = draft();
        body.write(message).expect("write a draft");
        body
    };
    (0..MESSAGES).map(one).collect()
}

fn fetch(store: &mut dyn Store, folder: &str) {
    let wire = store.wire_for(&FolderName::parse(folder).expect("a folder's name")).expect("a wire name");
    let mut folder = store.open(&wire, Access::Read, None).expect("open the folder");
    let changes = folder.changes(None, &NothingKnown).expect("look at the folder");
    let keys: Vec<Key> = changes.appeared.into_iter().map(|message| message.key).collect();
    let mut count = Count(0);
    folder.fetch(&keys, &mut count).expect("fetch");
    assert_eq!(count.0, MESSAGES);
}

/// Takes messages and lets them go.
struct Count(usize);

impl Receive for Count {
    fn draft(&mut self) -> Result<Draft, StoreError> {
        Ok(draft())
    }

    fn message(&mut self, _: Fetched) -> Result<(), StoreError> {
        self.0 += 1;
        Ok(())
    }

    fn failed(&mut self, key: Key, error: StoreError) -> Result<(), StoreError> {
        panic!("{key}: {error}");
    }
}

/// In memory.
fn draft() -> Draft {
    let file = rustix::fs::memfd_create("draft", rustix::fs::MemfdFlags::CLOEXEC).expect("a file in memory");
    Draft::new(File::from(file), None)
}
