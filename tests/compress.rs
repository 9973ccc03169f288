//! COMPRESS=DEFLATE (RFC 4978): against Dovecot, and against servers that refuse it.

#[path = "contract/suite.rs"]
mod suite;
mod support;

use mailsync::mail::{Flags, FolderName, Key, Login, Secret};
use mailsync::net::{Stop, TlsMode, WireLog};
use mailsync::store::imap::{Compress, ImapOpener, ImapSettings};
use mailsync::store::{Access, Draft, Fetched, Folder, Mark, Outgoing, Receive, Store, StoreError};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use suite::Subject;
use support::{Dovecot, Home, Script, Slow, crlf, dovecot, mail};

fn server() -> Dovecot {
    Dovecot::with(dovecot::Options {
        mail_location: "sdbox:~/mail".into(),
        extra: "mail_plugins = $mail_plugins zlib\nprotocol imap {\n  mail_plugins = $mail_plugins imap_zlib\n}".into(),
        ..dovecot::Options::default()
    })
}

/// How to reach a port as `alice`, with what is said on the line.
fn settings(port: u16, compress: Compress) -> (ImapSettings, Arc<Mutex<Vec<String>>>) {
    let login = || Ok(Login { user: "alice".into(), password: Secret::new("secret-alice") });
    let said = Arc::new(Mutex::new(Vec::new()));
    let sink = said.clone();
    let wire_log: WireLog = Arc::new(move |line| sink.lock().expect("no panic").push(line.to_owned()));
    let mut settings = ImapSettings::new("127.0.0.1", Arc::new(login));
    settings.port = port;
    settings.tls.mode = TlsMode::None;
    settings.timeout = Duration::from_secs(20);
    (ImapSettings { compress, wire_log: Some(wire_log), ..settings }, said)
}

fn times(said: &Mutex<Vec<String>>, what: &str) -> usize {
    said.lock().expect("no panic").iter().filter(|line| line.contains(what)).count()
}

fn inbox(store: &mut dyn Store) -> Box<dyn Folder + '_> {
    store.open(b"INBOX", Access::Write, None).expect("opened")
}

/// Takes messages and keeps their content.
#[derive(Default)]
struct Basket(BTreeMap<Key, Vec<u8>>);

impl Receive for Basket {
    fn draft(&mut self) -> Result<Draft, StoreError> {
        Ok(Draft::new(tempfile::tempfile().expect("a file"), None))
    }
    fn message(&mut self, mut fetched: Fetched) -> Result<(), StoreError> {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut fetched.body.reader().expect("a reader"), &mut bytes).expect("read");
        assert!(self.0.insert(fetched.key, bytes).is_none(), "a message came twice");
        Ok(())
    }
    fn failed(&mut self, key: Key, error: StoreError) -> Result<(), StoreError> {
        panic!("{key:?}: {error}");
    }
}

fn subject() -> Subject {
    let server = server();
    let doomed = server.port;
    Subject {
        opener: Box::new(ImapOpener::new(settings(server.port, Compress::On).0, Stop::new())),
        settle: Some(Duration::ZERO),
        bears_marks: false,
        holds_any_byte: false,
        remove_folder: Some(Box::new(move |name: &FolderName| {
            support::Imap::login(doomed, "alice", "secret-alice").delete_folder(&name.text());
        })),
        keep: Box::new(server),
    }
}

contract!(dovecot_under_deflate, subject());

#[test]
fn all_of_a_run_goes_compressed_and_the_log_shows_it_in_plain_text() {
    let server = server();
    let line = Slow::to(server.tls_port, 1 << 30);
    let mut there = server.login("alice");
    for number in 0..50 {
        let text = format!("Subject: {number}\n\n{}\n", "the same again and again ".repeat(1000));
        there.append("INBOX", &crlf(text.as_bytes()), &[], None);
    }
    let run = |compress: &str| {
        let home = Home::new();
        let ca_file = server.ca_file.display();
        home.config(&format!(
            "[account.main]\nremote = {{ host = \"localhost\", port = {}, user = \"alice\", password = \"secret-alice\", \
             ca_file = \"{ca_file}\", compress = \"{compress}\", connections = 1 }}\nlocal = {{ path = \"~/Mail\" }}\n",
            line.port
        ));
        let before = line.came();
        let out = home.mailsync(&["-d", "imap", "sync"]).exits(0);
        assert_eq!(home.maildir().messages("INBOX").len(), 50);
        home.maildir().deliver("INBOX", &mail("new here"));
        home.sync();
        (line.came() - before, out.to_string())
    };
    let (plain, said) = run("off");
    assert!(!said.contains("COMPRESS DEFLATE") && plain > 1_000_000, "{plain}");
    there.delete("INBOX", "new here");
    let (compressed, said) = run("on");
    assert!(said.contains("COMPRESS DEFLATE") && said.contains("FETCH (UID 1 "), "{said}");
    assert!(compressed < plain / 10, "{compressed} of {plain}");
    there.delete("INBOX", "new here");
    // A line within this machine is fast enough.
    assert!(!run("auto").1.contains("COMPRESS DEFLATE"));
}

#[test]
fn a_slow_line_is_compressed_in_the_middle_of_a_download() {
    let server = server();
    let line = Slow::to(server.port, 1_000_000);
    let content = |uid: u32| format!("Subject: {uid}\n\n{}\n", format!("{uid} ").repeat(300)).into_bytes();
    const COUNT: u32 = 3500;
    let (quick, _) = settings(server.port, Compress::Off);
    let outgoing = |uid: u32| {
        let mut body = Draft::new(tempfile::tempfile().expect("a file"), None);
        body.write(&content(uid)).expect("written");
        Outgoing { mark: Mark::NotBelow(Key::Uid(1)), flags: Flags::new(), date: None, body }
    };
    let mut store = ImapOpener::new(quick, Stop::new()).connect().expect("connected");
    for from in (1..=COUNT).step_by(100) {
        let told = inbox(&mut store).append((from..from + 100).map(outgoing).collect()).expect("appended");
        assert!(told.iter().all(Result::is_ok));
    }
    let (slow, said) = settings(line.port, Compress::Auto { nearby: true });
    let mut store = ImapOpener::new(slow, Stop::new()).connect().expect("connected");
    let mut folder = inbox(&mut store);
    let mut basket = Basket::default();
    let keys: Vec<Key> = (1..=COUNT).map(Key::Uid).collect();
    folder.fetch(&keys, &mut basket).expect("fetched");
    assert_eq!(times(&said, "COMPRESS DEFLATE"), 1);
    assert_eq!(basket.0.len(), keys.len());
    for (key, bytes) in &basket.0 {
        let Key::Uid(uid) = key else { panic!("{key:?}") };
        assert!(*bytes == content(*uid), "{uid}");
    }
    let all: usize = basket.0.values().map(Vec::len).sum();
    assert!(line.came() < all as u64 * 4 / 5, "{} of {all}", line.came());
    // The line is as good as before, and it is not asked again.
    folder.fetch(&keys[..10], &mut Basket::default()).expect("fetched");
    assert_eq!(times(&said, "COMPRESS DEFLATE"), 1);
}

const CAPABILITIES: &str = "IMAP4rev1 COMPRESS=DEFLATE";

fn start() -> String {
    format!(
        "S: * OK [CAPABILITY {CAPABILITIES}] hello
         C: T LOGIN \"alice\" \"secret-alice\"
         S: T OK [CAPABILITY {CAPABILITIES}] in\n"
    )
}

const SELECT: &str = "C: T SELECT \"INBOX\"*
     S: * FLAGS (\\Seen)
     S: * 1 EXISTS
     S: * OK [UIDVALIDITY 7] ok
     S: * OK [UIDNEXT 1000] ok
     S: T OK [READ-WRITE] done\n";

#[test]
fn a_server_that_refuses_is_talked_to_as_before() {
    for refusal in ["NO [COMPRESSIONACTIVE] TLS does it", "BAD unknown command", "NO"] {
        let script = start()
            + &format!("C: T COMPRESS DEFLATE\nS: T {refusal}\n")
            + SELECT
            + "C: T UID FETCH 5 *\nS: * 1 FETCH (UID 5 FLAGS () INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" \
               BODY[] \"a: b\")\nS: T OK done\nC: T LOGOUT\nEOF";
        let script = Script::play(&[&script]);
        let mut store =
            ImapOpener::new(settings(script.port, Compress::On).0, Stop::new()).connect().expect("connected");
        let mut basket = Basket::default();
        inbox(&mut store).fetch(&[Key::Uid(5)], &mut basket).expect("fetched");
        assert_eq!(basket.0[&Key::Uid(5)], b"a: b");
        (Box::new(store) as Box<dyn Store>).close();
        script.finish();
    }
}

#[test]
fn nothing_is_asked_where_the_server_can_not_or_the_user_will_not() {
    for (capabilities, compress, disabled) in [
        ("IMAP4rev1", Compress::On, vec![]),
        (CAPABILITIES, Compress::Off, vec![]),
        (CAPABILITIES, Compress::default(), vec![]),
        (CAPABILITIES, Compress::On, vec!["compress=deflate".to_owned()]),
    ] {
        let script = format!("{}{SELECT}C: T LOGOUT\nEOF", start().replace(CAPABILITIES, capabilities));
        let script = Script::play(&[&script]);
        let (settings, _) = settings(script.port, compress);
        let settings = ImapSettings { disable_capabilities: disabled, ..settings };
        let mut store = ImapOpener::new(settings, Stop::new()).connect().expect("connected");
        drop(inbox(&mut store));
        (Box::new(store) as Box<dyn Store>).close();
        script.finish();
    }
}

#[test]
fn junk_where_compressed_bytes_should_be_ends_the_line() {
    let script = start() + "C: T COMPRESS DEFLATE\nS: T OK go\nR: \\xffthis is not compressed\\r\\n\nHANG";
    let script = Script::play(&[&script]);
    let mut store = ImapOpener::new(settings(script.port, Compress::On).0, Stop::new()).connect().expect("connected");
    let error = store.list().map(drop).expect_err("the line is of no use");
    assert!(error.to_string().contains("connection broke"), "{error}");
    drop(store);
    script.finish();
}

#[test]
fn a_refusal_in_the_middle_of_a_download_is_no_harm() {
    // So many that they do not fit into the commands that are in flight at first.
    let keys: Vec<Key> = (0..400).map(|number| Key::Uid(1 + 2 * number)).collect();
    let message = "S: * 1 FETCH (UID 1 FLAGS () INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" BODY[] {150000}\n"
        .to_owned()
        + &format!("R: {}\nPAUSE 80\n", "x".repeat(5000)).repeat(30)
        + "S: )\n";
    // The last batch; then what did not come is looked for.
    let rest = "C: T UID FETCH *\nS: T OK done\nC: * UID FETCH * (UID)\nC: * UID FETCH * (UID)\nS: m12 OK none\nS: m13 OK none\n";
    let script = start()
        + SELECT
        + &"C: * UID FETCH *\n".repeat(4)
        + &message
        + "S: m2 OK done\nS: m3 OK done\nS: m4 OK done\nS: m5 OK done\nC: T COMPRESS DEFLATE\nS: T NO not now\n"
        + &"C: * UID FETCH *\n".repeat(4)
        + "S: m7 OK done\nS: m8 OK done\nS: m9 OK done\nS: m10 OK done\n";
    let script = Script::play(&[&(script + rest)]);
    let (settings, said) = settings(script.port, Compress::Auto { nearby: true });
    let mut store = ImapOpener::new(settings, Stop::new()).connect().expect("connected");
    let mut basket = Basket::default();
    inbox(&mut store).fetch(&keys, &mut basket).expect("fetched");
    assert_eq!(basket.0[&Key::Uid(1)], "x".repeat(150_000).into_bytes());
    assert_eq!(times(&said, "COMPRESS DEFLATE"), 1);
    script.finish();
}
