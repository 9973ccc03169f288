//! The IMAP store against a private Dovecot, with all its extensions and with none.

#[path = "contract/suite.rs"]
mod suite;
mod support;

use mailsync::mail::{Flag, Flags, FolderName, Key, Login, Secret};
use mailsync::net::{Stop, TlsMode};
use mailsync::store::imap::{ImapOpener, ImapSettings};
use mailsync::store::{Access, Draft, Fetched, Folder, Mark, NothingKnown, Outgoing, Receive, Store, StoreError};
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use suite::Subject;
use support::{Dovecot, dovecot};

/// How to reach the server as `alice`, in plain text.
fn settings(server: &Dovecot) -> ImapSettings {
    let password = server.password("alice").to_owned();
    let login = move || Ok(Login { user: "alice".into(), password: Secret::new(password.clone()) });
    let mut settings = ImapSettings::new("127.0.0.1", Arc::new(login));
    settings.port = server.port;
    settings.tls.mode = TlsMode::None;
    settings
}

fn opener(server: &Dovecot) -> ImapOpener {
    ImapOpener::new(settings(server), Stop::new())
}

/// `disabled` capabilities are left unused.
fn subject(server: Dovecot, condstore: bool, disabled: &[&str]) -> Subject {
    let doomed = server.port;
    let disable_capabilities = disabled.iter().map(|name| (*name).to_owned()).collect();
    let settings = ImapSettings { disable_capabilities, ..settings(&server) };
    Subject {
        opener: Box::new(ImapOpener::new(settings, Stop::new())),
        settle: condstore.then_some(Duration::ZERO),
        bears_marks: false,
        // Dovecot takes no empty message, drops a CR at the end, and makes 0x80 of NUL without BINARY.
        holds_any_byte: false,
        remove_folder: Some(Box::new(move |name: &FolderName| {
            support::Imap::login(doomed, "alice", "secret-alice").delete_folder(&name.text());
        })),
        keep: Box::new(server),
    }
}

/// A server whose folders may have any name: those of a Maildir can't be called `cur`.
fn server(capability: Option<&str>) -> Dovecot {
    Dovecot::with(dovecot::Options {
        mail_location: "sdbox:~/mail".into(),
        capability: capability.map(str::to_owned),
        ..dovecot::Options::default()
    })
}

contract!(dovecot_with_all_extensions, subject(server(None), true, &[]));
contract!(dovecot_with_no_extension, subject(server(Some("IMAP4rev1")), false, &[]));

/// The middle of the road: CONDSTORE without QRESYNC, literals that wait, and no more.
const DISABLED: [&str; 8] =
    ["QRESYNC", "ESEARCH", "LITERAL+", "MULTIAPPEND", "MOVE", "LIST-EXTENDED", "LIST-STATUS", "SASL-IR"];
contract!(dovecot_with_some_extensions, subject(server(None), true, &DISABLED));

fn inbox(store: &mut dyn Store) -> Box<dyn Folder + '_> {
    store.open(b"INBOX", Access::Write, None).expect("opened")
}

fn flags(names: &str) -> Flags {
    names.split_whitespace().filter_map(Flag::from_imap).collect()
}

/// What a folder is known to hold.
/// Takes messages and keeps their content.
#[derive(Default)]
struct Basket {
    got: Vec<(Key, Vec<u8>, Option<i64>, Flags)>,
    failed: Vec<(Key, StoreError)>,
}

impl Receive for Basket {
    fn draft(&mut self) -> Result<Draft, StoreError> {
        Ok(Draft::new(tempfile::tempfile().expect("a file"), None))
    }
    fn message(&mut self, mut fetched: Fetched) -> Result<(), StoreError> {
        let mut bytes = Vec::new();
        fetched.body.reader().expect("a reader").read_to_end(&mut bytes).expect("read");
        self.got.push((fetched.key, bytes, fetched.date, fetched.flags.expect("flags")));
        Ok(())
    }
    fn failed(&mut self, key: Key, error: StoreError) -> Result<(), StoreError> {
        self.failed.push((key, error));
        Ok(())
    }
}

fn outgoing(content: &[u8], names: &str, date: i64) -> Outgoing {
    let mut body = Draft::new(tempfile::tempfile().expect("a file"), None);
    body.write(content).expect("written");
    Outgoing { mark: Mark::NotBelow(Key::Uid(1)), flags: flags(names), date: Some(date), body }
}

/// Uploads the odd corpus and downloads it again.
fn odd_messages_both_ways(server: &Dovecot, count: usize) {
    let corpus = support::corpus::corpus(count, 7, false);
    let takes = |bytes: &[u8]| !bytes.is_empty() && !bytes.ends_with(b"\r");
    let corpus: Vec<_> = corpus.into_iter().filter(|odd| takes(&odd.bytes)).collect();
    let mut store = opener(server).connect().expect("connected");
    let mut folder = inbox(&mut store);
    let batch = corpus.iter().map(|odd| outgoing(&odd.bytes, &odd.all_flags().join(" "), odd.date)).collect();
    let told = folder.append(batch).expect("appended");
    assert_eq!(told.len(), corpus.len());
    let refused: Vec<String> = told.iter().filter_map(|told| told.as_ref().err()).map(|e| e.to_string()).collect();
    assert!(refused.is_empty(), "{refused:?}");
    let there = server.login("alice").messages("INBOX");
    assert_eq!(there.len(), corpus.len());
    for (odd, there) in corpus.iter().zip(&there) {
        assert_eq!(there.sha256, support::sha256_of_lf(&odd.bytes), "{}", odd.bytes.escape_ascii());
        assert_eq!(there.flags, odd.all_flags());
        assert!(there.date == odd.date || !is_past(odd.date), "{} became {}", odd.date, there.date);
    }
    let changes = folder.changes(None, &NothingKnown).expect("looked");
    assert!(changes.complete);
    let keys: Vec<Key> = changes.appeared.into_iter().map(|appeared| appeared.key).collect();
    let mut basket = Basket::default();
    folder.fetch(&keys, &mut basket).expect("fetched");
    assert!(basket.failed.is_empty(), "{:?}", basket.failed);
    basket.got.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(basket.got.len(), corpus.len());
    for ((_, bytes, date, got), odd) in basket.got.iter().zip(&corpus) {
        assert_eq!(support::sha256(bytes), support::sha256(&lf(&odd.bytes)), "{}", odd.bytes.escape_ascii());
        assert_eq!(*got, flags(&odd.all_flags().join(" ")));
        assert!(*date == Some(odd.date) || !is_past(odd.date), "{} became {date:?}", odd.date);
    }
}

/// Dovecot takes no date of tomorrow or later: it puts the present in its place.
fn is_past(date: i64) -> bool {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    date < now.as_secs() as i64
}

fn lf(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, byte) in bytes.iter().enumerate() {
        if *byte != b'\r' || bytes.get(at + 1) != Some(&b'\n') {
            out.push(*byte);
        }
    }
    out
}

#[test]
fn two_thousand_odd_messages_go_both_ways_with_all_extensions() {
    odd_messages_both_ways(&server(None), 2000);
}

#[test]
fn two_thousand_odd_messages_go_both_ways_with_no_extension() {
    odd_messages_both_ways(&server(Some("IMAP4rev1")), 2000);
}

#[test]
fn nul_reaches_a_server_that_takes_binary() {
    let server = Dovecot::start();
    let mut store = opener(&server).connect().expect("connected");
    let content = b"A: b\n\nNUL \0 here\n";
    inbox(&mut store).append(vec![outgoing(content, "", 1)]).expect("appended").remove(0).expect("stored");
    // Read from the disk: in BODY[] the server shows NUL as 0x80, as it must.
    let dir = server.home("alice").join("mail/cur");
    let stored = std::fs::read_dir(dir).expect("a Maildir").next().expect("a file").expect("a file").path();
    assert_eq!(std::fs::read(stored).expect("read").escape_ascii().to_string(), content.escape_ascii().to_string());
}

#[test]
fn an_empty_message_is_refused_alone_or_stored() {
    for capability in [None, Some("IMAP4rev1")] {
        let server = server(capability);
        let mut store = opener(&server).connect().expect("connected");
        let mut folder = inbox(&mut store);
        let contents: [&[u8]; 3] = [b"A: b\n\none\n", b"", b"A: b\n\ntwo\n"];
        let told = folder.append(contents.iter().map(|c| outgoing(c, "", 1)).collect()).expect("appended");
        assert!(told[0].is_ok() && told[2].is_ok(), "{told:?}");
        let stored = told.iter().filter(|told| told.is_ok()).count();
        assert_eq!(server.login("alice").messages("INBOX").len(), stored);
    }
}

fn others_marks_survive(capability: Option<&str>) {
    let server = server(capability);
    let mut other = server.login("alice");
    for subject in ["mine", "theirs", "both", "plain"] {
        let deleted: &[&str] = if subject == "theirs" { &["\\Deleted"] } else { &[] };
        other.append("INBOX", &support::crlf(&support::mail(subject)), deleted, None);
    }
    let mut store = opener(&server).connect().expect("connected");
    let refused = inbox(&mut store).remove(&[Key::Uid(1), Key::Uid(3), Key::Uid(77)]).expect("removed");
    assert!(refused.is_empty(), "{refused:?}");
    let left: Vec<(u32, bool)> = other.messages("INBOX").iter().map(|m| (m.uid, m.has("\\Deleted"))).collect();
    assert_eq!(left, [(2, true), (4, false)]);
}

#[test]
fn an_expunge_spares_what_others_marked() {
    others_marks_survive(None);
    others_marks_survive(Some("IMAP4rev1"));
}

#[test]
fn a_server_that_may_not_be_changed_is_sent_no_command_that_could() {
    for disabled in [&[][..], &DISABLED] {
        let server = Dovecot::start();
        let mut there = server.login("alice");
        there.create("Work");
        there.append("INBOX", &support::crlf(&support::mail("one")), &[], None);
        let disable_capabilities = disabled.iter().map(|name| (*name).to_owned()).collect();
        let settings = ImapSettings { read_only: true, disable_capabilities, ..settings(&server) };
        let mut store = ImapOpener::new(settings, Stop::new()).connect().expect("connected");
        let name = |text| FolderName::parse(text).expect("a name");
        let refused = |error: StoreError| assert!(error.cause.contains("was not sent"), "{error}");
        refused(store.create(&name("New")).expect_err("refused"));
        refused(store.rename(b"Work", &name("New")).expect_err("refused"));
        let mut inbox = inbox(&mut store);
        let delta = mailsync::mail::FlagDelta { add: flags("\\Seen"), ..Default::default() };
        refused(inbox.set_flags(&[(Key::Uid(1), delta)]).expect_err("refused"));
        refused(inbox.remove(&[Key::Uid(1)]).expect_err("refused"));
        refused(inbox.move_to(&[Key::Uid(1)], b"Work", &[Mark::NotBelow(Key::Uid(1))]).expect_err("refused"));
        let mut body = inbox.drafter().draft().expect("a draft");
        body.write(&support::mail("two")).expect("written");
        let mark = inbox.reserve(1).expect("a mark").remove(0);
        let outgoing = Outgoing { mark, flags: Flags::default(), date: None, body };
        refused(inbox.append(vec![outgoing]).expect_err("refused"));
        // The line is as good as before.
        assert_eq!(inbox.changes(None, &NothingKnown).expect("listed").appeared.len(), 1);
        assert_eq!((there.list().len(), there.messages("INBOX")[0].has("\\Seen")), (2, false));
    }
}
