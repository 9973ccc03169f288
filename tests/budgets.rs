//! What a run may cost, counted: round trips, commands, bytes, system calls, reads of the state. Nothing here is timed.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use support::*;

/// What passed over all connections.
#[derive(Clone, Default)]
struct Passed {
    connections: usize,
    bytes: usize,
    /// How often the client spoke after it had been told something. A goodbye is not waited for and does not count.
    round_trips: usize,
    said: String,
}

impl Passed {
    /// The commands, without tags and arguments, and without the goodbye: it may still be on its way.
    fn commands(&self) -> Vec<&str> {
        let ours = |tag: &str| {
            tag.strip_prefix(['a', 'm'])
                .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let name = |line: &'_ str| {
            let (tag, rest) = line.split_once(' ').filter(|(tag, _)| ours(tag))?;
            let words = if rest.starts_with("UID ") { 2 } else { 1 };
            let end = rest.match_indices(' ').nth(words - 1).map_or(rest.len(), |(at, _)| at);
            Some((tag.len() + 1, end))
        };
        let named = |line| name(line).map(|(from, length)| (line, from, length));
        self.said
            .lines()
            .filter_map(named)
            .map(|(line, from, length): (&str, _, _)| &line[from..from + length])
            .collect()
    }

    fn has(&self, command: &str) -> bool {
        self.commands().iter().any(|said| said.ends_with(command))
    }
}

/// A line to a server that counts what passes.
struct Counter {
    port: u16,
    passed: Arc<Mutex<Passed>>,
}

impl Counter {
    fn before(server: u16) -> Counter {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind to loopback");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let counter = Counter { port, passed: Arc::default() };
        let passed = counter.passed.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("a connection");
                let server = TcpStream::connect(("127.0.0.1", server)).expect("connect to the server");
                passed.lock().expect("no panic").connections += 1;
                let told = Arc::new(Mutex::new(false));
                let ends = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
                let (up, down) = ((passed.clone(), told.clone()), (passed.clone(), told));
                thread::spawn(move || pass(client, server, |piece| hear(&up.0, &up.1, piece)));
                thread::spawn(move || {
                    pass(ends.1, ends.0, |piece| {
                        *down.1.lock().expect("no panic") = true;
                        down.0.lock().expect("no panic").bytes += piece.len();
                    });
                });
            }
        });
        counter
    }

    /// What passed since the last call.
    fn take(&self) -> Passed {
        std::mem::take(&mut *self.passed.lock().expect("no panic"))
    }
}

fn hear(passed: &Mutex<Passed>, told: &Mutex<bool>, piece: &[u8]) {
    let text = String::from_utf8_lossy(piece);
    let mut passed = passed.lock().expect("no panic");
    let was_told = std::mem::take(&mut *told.lock().expect("no panic"));
    let goodbye = text.lines().count() == 1 && text.trim_end().ends_with(" LOGOUT");
    passed.round_trips += usize::from(was_told && !goodbye);
    passed.bytes += piece.len();
    passed.said.push_str(&text);
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut each: impl FnMut(&[u8])) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        each(&piece[..count]);
        if to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    // Either end may have gone already.
    to.shutdown(Shutdown::Write).ok();
}

/// An account on a server, over a line that counts.
struct World {
    dovecot: Dovecot,
    home: Home,
    counter: Counter,
    folders: Vec<String>,
}

impl World {
    /// So many folders beside INBOX, with so many messages each.
    fn with(dovecot: Dovecot, folders: usize, messages: usize) -> World {
        let counter = Counter::before(dovecot.port);
        let home = Home::new();
        home.config(&format!(
            "[account.main]\nremote = {{ host = \"127.0.0.1\", port = {}, user = \"alice\", tls = \"none\" }}\n\
             local = {{ path = \"~/Mail\" }}\n",
            counter.port
        ));
        home.netrc(&format!("machine 127.0.0.1 login alice password {}\n", dovecot.password("alice")));
        let mut server = dovecot.login("alice");
        let folders: Vec<String> = (0..folders).map(|number| format!("folder{number}")).collect();
        for folder in &folders {
            server.create(folder);
            for number in 0..messages {
                server.append(folder, &crlf(&mail(&format!("{folder} {number}"))), &["\\Seen"], None);
            }
        }
        World { dovecot, home, counter, folders }
    }

    /// Syncs until nothing is left to look at: what was changed a moment ago is looked at once more.
    fn settle(&self) {
        self.home.sync();
        thread::sleep(Duration::from_millis(2500));
        self.home.sync();
        self.home.sync();
        self.counter.take();
    }

    /// What one run costs.
    fn cost(&self) -> Passed {
        self.counter.take();
        self.home.sync();
        self.counter.take()
    }

    /// The system calls of one run, a line each, files named.
    fn calls(&self) -> Vec<String> {
        let log = self.home.path().join("calls");
        let mut command = Command::new("strace");
        self.home.surround(&mut command);
        command.args(["-f", "-y", "-qq", "-s", "0", "-o"]).arg(&log);
        command.args(["-e", "trace=open,openat,getdents64,fsync,fdatasync,syncfs,pread64,pwrite64,rename,renameat2"]);
        command.arg(env!("CARGO_BIN_EXE_mailsync")).arg("sync");
        let out = command.output().expect("install strace: tests/run does it");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let calls = std::fs::read_to_string(log).expect("strace wrote a log");
        calls.lines().map(str::to_owned).collect()
    }

    fn reads_of_the_state(&self) -> usize {
        self.calls().iter().filter(|call| call.contains("pread64(") && call.contains("main.db")).count()
    }
}

fn reduced(words: &str) -> Dovecot {
    Dovecot::with(dovecot::Options { capability: Some(words.into()), ..dovecot::Options::default() })
}

#[test]
fn nothing_to_do_costs_two_round_trips_for_any_number_of_folders() {
    let mut kinds = Vec::new();
    for folders in [20, 120] {
        let world = World::with(Dovecot::start(), folders, 1);
        world.settle();
        let passed = world.cost();
        assert_eq!((passed.round_trips, passed.connections), (2, 1), "{}", passed.said);
        assert!(passed.bytes < 2000 + 200 * folders, "{} bytes", passed.bytes);
        for command in ["SELECT", "EXAMINE", "FETCH", "STATUS"] {
            assert!(!passed.has(command), "{}", passed.said);
        }
        kinds.push(passed.commands().into_iter().map(str::to_owned).collect::<Vec<_>>());
    }
    assert_eq!(kinds[0], kinds[1]);
}

#[test]
fn nothing_to_do_costs_one_more_round_trip_without_list_status() {
    let words = "IMAP4rev1 SASL-IR LITERAL+ ENABLE UIDPLUS CONDSTORE QRESYNC NAMESPACE LIST-EXTENDED UNSELECT";
    let world = World::with(reduced(words), 20, 1);
    world.settle();
    let passed = world.cost();
    assert!(passed.round_trips <= 3, "{} round trips\n{}", passed.round_trips, passed.said);
    assert!(passed.has("STATUS") && !passed.has("SELECT"), "{}", passed.said);
}

#[test]
fn nothing_to_do_opens_no_message_reads_no_folder_and_writes_nothing() {
    let world = World::with(Dovecot::start(), 5, 3);
    world.settle();
    for call in world.calls() {
        let path = |end: &str| call.contains(&format!("{end}>")) || call.contains(&format!("{end}\""));
        assert!(!call.contains("/cur/") && !call.contains("/new/"), "opens a message: {call}");
        assert!(!(call.contains("getdents64") && (path("/cur") || path("/new"))), "reads a folder: {call}");
        for durable in ["fsync(", "fdatasync(", "syncfs(", "rename"] {
            assert!(!call.contains(durable), "makes something durable: {call}");
        }
        assert!(!(call.contains("pwrite64(") && call.contains("main.db<")), "writes the state: {call}");
        assert!(!call.contains("/etc/ssl/certs"), "loads authorities for a line without TLS: {call}");
    }
}

#[test]
fn nothing_to_do_reads_as_much_of_the_state_for_many_messages_as_for_few() {
    let few = World::with(Dovecot::start(), 1, 10);
    few.settle();
    let many = World::with(Dovecot::start(), 1, 10);
    many.home.sync();
    for number in 0..2000 {
        many.home.maildir().deliver("INBOX", &mail(&format!("many {number}")));
    }
    many.settle();
    let (few, many) = (few.reads_of_the_state(), many.reads_of_the_state());
    assert!(many <= few + 4, "{few} reads for few messages, {many} for many");
}

#[test]
fn a_new_message_costs_three_round_trips_and_little_more_than_itself() {
    let world = World::with(Dovecot::start(), 3, 300);
    world.settle();
    let text = "x".repeat(900);
    let message = format!("Message-ID: <new@test>\r\nSubject: new\r\n\r\n{text}\r\n");
    world.dovecot.login("alice").append("folder1", message.as_bytes(), &[], None);
    let passed = world.cost();
    assert!(passed.round_trips <= 1 + 3, "{} round trips\n{}", passed.round_trips, passed.said);
    assert!(passed.bytes < 5000, "{} bytes", passed.bytes);
    assert!(!passed.said.contains("folder0") && !passed.said.contains("folder2"), "{}", passed.said);
}

#[test]
fn changed_folders_cost_the_round_trips_of_one() {
    let world = World::with(Dovecot::start(), 20, 10);
    let pull = world.cost();
    assert!(pull.round_trips <= 30, "{} round trips to pull\n{}", pull.round_trips, pull.said);
    world.settle();
    let mut server = world.dovecot.login("alice");
    for folder in &world.folders {
        server.append(folder, &crlf(&mail(&format!("new in {folder}"))), &[], None);
    }
    let delta = world.cost();
    assert!(delta.round_trips <= 12, "{} round trips\n{}", delta.round_trips, delta.said);
}

#[test]
fn what_is_new_marked_and_deleted_here_goes_side_by_side() {
    let world = World::with(Dovecot::start(), 20, 10);
    world.settle();
    let maildir = world.home.maildir();
    for folder in &world.folders {
        (0..25).for_each(|number| drop(maildir.deliver(folder, &mail(&format!("born in {folder} {number}")))));
    }
    let push = world.cost();
    assert!(push.has("APPEND") && push.round_trips <= 40, "{} round trips\n{}", push.round_trips, push.said);
    world.settle();
    for folder in &world.folders {
        let messages = maildir.messages(folder);
        messages[..10].iter().for_each(|message| drop(maildir.set_letters(message, "FS")));
    }
    let flags = world.cost();
    assert!(flags.has("STORE") && flags.round_trips <= 12, "{} round trips\n{}", flags.round_trips, flags.said);
    world.settle();
    for folder in &world.folders {
        maildir.messages(folder)[..3].iter().for_each(|message| maildir.remove(message));
    }
    let deletions = world.cost();
    assert!(deletions.has("EXPUNGE"), "{}", deletions.said);
    assert!(deletions.round_trips <= 40, "{} round trips\n{}", deletions.round_trips, deletions.said);
}

#[test]
fn without_condstore_only_what_changed_is_listed() {
    let world =
        World::with(reduced("IMAP4rev1 SASL-IR LITERAL+ UIDPLUS NAMESPACE LIST-EXTENDED LIST-STATUS UNSELECT"), 3, 5);
    world.settle();
    world.dovecot.login("alice").append("folder1", &crlf(&mail("new")), &[], None);
    let passed = world.cost();
    let listings = passed.said.matches("UID FETCH 1:* (UID FLAGS)").count();
    // Flags may have changed anywhere: each folder is listed at most once, and with one command.
    assert!((1..=world.folders.len() + 1).contains(&listings), "{listings} listings\n{}", passed.said);
}
