use super::*;
use crate::mail::FolderName;
use crate::sync::event::Event;
use crate::sync::{Counts, Outcome};
use crate::watch::desk::{Doing, Status};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use wire::Channel;

/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(60);

/// The keepers' side, with a thread for each account.
struct Office {
    desks: Mutex<Vec<Arc<Desk>>>,
}

impl Office {
    fn new(accounts: &[&str]) -> Arc<Office> {
        let desks = accounts.iter().map(|name| Arc::new(Desk::new(name).expect("a desk"))).collect();
        Arc::new(Office { desks: Mutex::new(desks) })
    }

    fn desk(&self, at: usize) -> Arc<Desk> {
        self.desks.lock().expect("no panic")[at].clone()
    }
}

impl Desks for Office {
    fn all(&self) -> Vec<Arc<Desk>> {
        self.desks.lock().expect("no panic").clone()
    }

    fn config(&self) -> ConfigFile {
        ConfigFile { path: "/home/me/config.toml".to_owned(), stamp: "1".to_owned() }
    }

    fn face(&self, out: Box<dyn Write + Send>, err: Box<dyn Write + Send>, quiet: bool) -> Box<dyn Face> {
        let (said, heard) = channel();
        Box::new(Plain { said: Mutex::new(said), rest: Mutex::new((out, err, heard)), quiet })
    }
}

type Rest = (Box<dyn Write + Send>, Box<dyn Write + Send>, Receiver<String>);

/// Says the accounts' notes, and how each ended.
struct Plain {
    said: Mutex<Sender<String>>,
    rest: Mutex<Rest>,
    quiet: bool,
}

impl Face for Plain {
    fn observer(&self) -> Arc<Observer> {
        let said = Mutex::new(self.said.lock().expect("no panic").clone());
        Arc::new(move |event| {
            if let Event::Note { text, .. } = event {
                drop(said.lock().expect("no panic").send(text));
            }
        })
    }

    fn finish(&self, report: &Report) -> u8 {
        let (out, err, heard) = &mut *self.rest.lock().expect("no panic");
        let write = |to: &mut dyn Write, text: String| to.write_all(text.as_bytes()).expect("an outbox takes all");
        heard.try_iter().for_each(|text| write(err, format!("{text}\n")));
        if !self.quiet {
            let ended: Vec<String> = report.accounts.iter().map(|(name, how, _)| format!("{name} {how:?}")).collect();
            write(out, format!("{}\n", ended.join(", ")));
        }
        u8::from(report.accounts.iter().any(|(_, outcome, _)| *outcome != Outcome::InStep))
    }
}

/// A keeper that does what it is asked for until it is told to go; gives the orders that it had.
fn keep(desk: Arc<Desk>, outcome: Outcome) -> (Arc<AtomicBool>, JoinHandle<Vec<crate::sync::Options>>) {
    let gone = Arc::new(AtomicBool::new(false));
    let told = gone.clone();
    let thread = thread::spawn(move || {
        let mut had = Vec::new();
        while !told.load(Ordering::SeqCst) {
            let mut fds = [PollFd::new(&desk.bell, PollFlags::IN)];
            let _ = await_one(&mut fds, Some(Instant::now() + Duration::from_millis(20)), None);
            desk.bell.hush();
            if desk.lend() {
                continue;
            }
            while let Some(order) = desk.next_order() {
                if let Some(observer) = &order.observer {
                    let text = format!("{} is synced", desk.account);
                    observer(Event::Note { account: desk.account.clone(), folder: None, text });
                }
                had.push(order.options);
                let _ = order.done.send((desk.account.clone(), outcome, Counts::default()));
            }
        }
        desk.close();
        had
    });
    (gone, thread)
}

struct Scene {
    dir: tempfile::TempDir,
    office: Arc<Office>,
    serving: Serving,
}

impl Scene {
    fn new(accounts: &[&str]) -> Scene {
        Scene::patient(accounts, LONG)
    }

    fn patient(accounts: &[&str], patience: Duration) -> Scene {
        let dir = tempfile::tempdir().expect("a directory");
        let office = Office::new(accounts);
        let control = Control::open(dir.path()).expect("the place is free");
        let serving = control.serve_with(office.clone(), patience).expect("serving");
        Scene { dir, office, serving }
    }

    /// A client that has heard who is there.
    fn client(&self) -> Client {
        let mut client = self.stranger();
        assert!(client.next()["pid"].is_u64());
        client
    }

    fn stranger(&self) -> Client {
        let stream = connect(self.dir.path(), LONG).expect("connected").expect("somebody is there");
        stream.set_read_timeout(Some(LONG)).expect("set");
        Client { reader: BufReader::new(stream) }
    }
}

struct Client {
    reader: BufReader<UnixStream>,
}

impl Client {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    fn ask(&mut self, request: &Value) {
        self.send(format!("{request}\n").as_bytes()).expect("sent");
    }

    /// The next line; null at the end.
    fn next(&mut self) -> Value {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => Value::Null,
            Ok(_) => serde_json::from_str(&line).expect("JSON"),
            Err(err) if err.kind() == ErrorKind::ConnectionReset => Value::Null,
            Err(err) => panic!("no line: {err}"),
        }
    }

    /// All lines up to the one that ends a sync.
    fn rest_of_it(&mut self) -> Vec<Value> {
        let mut lines = Vec::new();
        loop {
            let line = self.next();
            let last = line.is_null() || line.get("exit").is_some() || line.get("error").is_some();
            lines.push(line);
            if last {
                return lines;
            }
        }
    }
}

fn end(keeper: (Arc<AtomicBool>, JoinHandle<Vec<crate::sync::Options>>)) -> Vec<crate::sync::Options> {
    keeper.0.store(true, Ordering::SeqCst);
    keeper.1.join().expect("no panic")
}

#[test]
fn whoever_connects_hears_who_is_there_and_how_things_are() {
    let scene = Scene::new(&["work", "home"]);
    scene.office.desk(1).say(|status| {
        *status = Status {
            doing: Doing::Paused("metered"),
            connected: Some("imap.example.org: IDLE on INBOX".to_owned()),
            in_step: Some(UNIX_EPOCH + Duration::from_secs(100)),
            synced: Some((UNIX_EPOCH + Duration::from_secs(160), Outcome::AuthFailed)),
            pending: ["INBOX".to_owned()].into(),
            held: 1,
            problems: 2,
            waiting: 3,
            trouble: Some("log in: refused".to_owned()),
            failures: 4,
            next: None,
        }
    });
    let mut client = scene.stranger();
    let hello = client.next();
    assert_eq!(hello["mailsync"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&hello["pid"], &hello["config"]), (&std::process::id().into(), &"/home/me/config.toml".into()));
    assert_eq!(hello["accounts"], json!(["work", "home"]));
    assert!(hello["since"].as_u64().is_some_and(|since| since > 1_600_000_000), "{hello}");
    client.ask(&json!({"do": "status", "unknown": [1, {"a": null}]}));
    let told = client.next();
    assert_eq!((&told["accounts"][0]["doing"], &told["accounts"][0]["synced"]), (&"starting".into(), &Value::Null));
    assert_eq!(
        told["accounts"][1],
        json!({
            "account": "home", "doing": "paused", "paused": "metered", "connected": "imap.example.org: IDLE on INBOX",
            "in_step": 100, "synced": 160, "outcome": "auth-failed", "next": null, "pending": ["INBOX"], "held": 1,
            "problems": 2, "waiting": 3, "trouble": "log in: refused", "failures": 4,
        })
    );
}

#[test]
fn a_trigger_is_taken_at_once_and_reaches_the_keeper() {
    let scene = Scene::new(&["work", "home"]);
    let mut client = scene.client();
    client.ask(&json!({"do": "trigger", "accounts": ["home"], "folders": ["INBOX", "Lists/*"]}));
    assert_eq!(client.next(), json!({"ok": true}));
    client.ask(&json!({"do": "trigger", "accounts": ["hime"]}));
    assert!(client.next()["error"].as_str().is_some_and(|why| why.contains("`hime`")));
    client.ask(&json!({"do": "trigger", "accounts": ["work"], "folders": ["re:["]}));
    assert!(client.next()["error"].as_str().is_some_and(|why| why.contains("re:[")));
    let order = scene.office.desk(1).next_order().expect("an order");
    assert_eq!(order.options.only.len(), 2);
    let inbox = FolderName::parse("INBOX").expect("a name");
    assert!(order.options.only[0].matches(&inbox, None) && !order.options.allow_delete);
    assert!(!scene.office.desk(0).has_orders());
}

#[test]
fn a_sync_is_told_to_its_end() {
    let scene = Scene::new(&["work", "home", "other"]);
    let keepers = [keep(scene.office.desk(0), Outcome::InStep), keep(scene.office.desk(1), Outcome::Partial)];
    let mut client = scene.client();
    client.ask(&json!({"do": "sync", "accounts": ["home", "work", "home"], "allow_delete": true, "retry": true}));
    let mut lines = client.rest_of_it();
    assert_eq!(lines.pop(), Some(json!({"exit": 1})));
    assert_eq!(lines.pop(), Some(json!({"out": "home Partial, work InStep\n"})));
    lines.sort_by_key(Value::to_string);
    assert_eq!(lines, [json!({"err": "home is synced\n"}), json!({"err": "work is synced\n"})]);
    // The line can be used again.
    client.ask(&json!({"do": "sync", "accounts": ["work"], "quiet": true}));
    assert_eq!(client.rest_of_it(), [json!({"err": "work is synced\n"}), json!({"exit": 0})]);
    let had = keepers.map(end);
    let asked = |options: &crate::sync::Options| (options.allow_delete, options.restore, options.retry);
    assert_eq!(had[0].iter().map(asked).collect::<Vec<_>>(), [(true, false, true), (false, false, false)]);
    assert_eq!(had[1].iter().map(asked).collect::<Vec<_>>(), [(true, false, true)]);
}

#[test]
fn what_is_written_in_one_piece_comes_in_lines_that_fit() {
    let scene = Scene::new(&["work"]);
    let text = "\u{1}ä".repeat(40_000);
    let (sent, observed) = (text.clone(), scene.office.desk(0));
    let keeper = thread::spawn(move || {
        loop {
            if let Some(order) = observed.next_order() {
                let observer = order.observer.expect("somebody listens");
                observer(Event::Note { account: "work".to_owned(), folder: None, text: sent });
                return order.done.send(("work".to_owned(), Outcome::InStep, Counts::default())).expect("taken");
            }
            thread::yield_now();
        }
    });
    let mut client = scene.client();
    client.ask(&json!({"do": "sync"}));
    let lines = client.rest_of_it();
    keeper.join().expect("no panic");
    assert!(lines.iter().all(|line| line.to_string().len() < wire::MAX_REQUEST));
    let whole: String = lines.iter().filter_map(|line| line.get("err")?.as_str()).collect();
    assert_eq!(whole, format!("{text}\n"));
}

#[test]
fn where_the_keeper_goes_the_client_is_told() {
    let scene = Scene::new(&["work"]);
    let mut client = scene.client();
    client.ask(&json!({"do": "sync", "accounts": ["work"]}));
    let desk = scene.office.desk(0);
    while !desk.has_orders() {
        thread::yield_now();
    }
    desk.close();
    let lines = client.rest_of_it();
    assert_eq!(lines[0], json!({"out": "work Interrupted\n"}));
    assert!(lines[1]["error"].as_str().is_some_and(|why| why.starts_with("work: ")), "{lines:?}");
}

#[test]
fn a_client_that_goes_in_the_middle_of_a_sync_leaves_the_sync_alone() {
    let scene = Scene::new(&["work"]);
    let mut client = scene.client();
    client.ask(&json!({"do": "sync", "accounts": ["work"]}));
    let desk = scene.office.desk(0);
    while !desk.has_orders() {
        thread::yield_now();
    }
    drop(client);
    while !scene.serving.house.guests().lines.is_empty() {
        thread::sleep(Duration::from_millis(5));
    }
    let order = desk.next_order().expect("it is there still");
    order.observer.expect("an observer")(Event::Note { account: "work".to_owned(), folder: None, text: String::new() });
    // The one who would have waited for it goes as well.
    while order.done.send(("home".to_owned(), Outcome::InStep, Counts::default())).is_ok() {
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn accounts_are_lent_until_the_line_is_closed() {
    let scene = Scene::new(&["work", "home"]);
    let keepers = [keep(scene.office.desk(0), Outcome::InStep), keep(scene.office.desk(1), Outcome::InStep)];
    let mut client = scene.client();
    client.ask(&json!({"do": "borrow", "accounts": ["work", "not kept"]}));
    assert_eq!(client.next(), json!({"ok": true}));
    assert!(scene.office.desk(0).lend() && !scene.office.desk(1).lend());
    // Nobody keeps the others from being used.
    let mut other = scene.client();
    other.ask(&json!({"do": "sync", "accounts": ["home"]}));
    assert_eq!(other.rest_of_it().pop(), Some(json!({"exit": 0})));
    drop(client);
    while scene.office.desk(0).lend() {
        thread::sleep(Duration::from_millis(5));
    }
    let _ = keepers.map(end);
}

#[test]
fn one_who_stops_waiting_for_an_account_does_not_keep_it() {
    let scene = Scene::new(&["work"]);
    let mut client = scene.client();
    client.ask(&json!({"do": "borrow", "accounts": ["work"]}));
    thread::sleep(Duration::from_millis(50));
    drop(client);
    while !scene.serving.house.guests().lines.is_empty() {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(!scene.office.desk(0).lend());
}

#[test]
fn whoever_borrowed_may_be_silent_for_as_long_as_he_likes() {
    let scene = Scene::patient(&["work"], Duration::from_millis(50));
    let keeper = keep(scene.office.desk(0), Outcome::InStep);
    let mut client = scene.client();
    client.ask(&json!({"do": "borrow", "accounts": ["work"]}));
    assert_eq!(client.next(), json!({"ok": true}));
    thread::sleep(Duration::from_millis(300));
    assert!(scene.office.desk(0).lend());
    client.ask(&json!({"do": "status"}));
    assert!(client.next()["accounts"].is_array());
    end(keeper);
}

#[test]
fn garbage_is_answered_and_does_no_harm() {
    let scene = Scene::new(&["work"]);
    let mut client = scene.client();
    let deep = "[".repeat(60_000);
    for line in
        ["", "x", "{}", "null", "[]", "{\"do\": 1}", "{\"do\": \"dance\"}", "{\"do\": \"trigger\"}", "\0\u{1b}", &deep]
    {
        client.send(format!("{line}\n").as_bytes()).expect("sent");
        let said = client.next();
        assert!(said["error"].as_str().is_some_and(|why| why.starts_with("not understood")), "{line:.20}: {said}");
    }
    client.send(b"\xff\xfe\n").expect("sent");
    assert!(client.next()["error"].is_string());
    client.ask(&json!({"do": "status"}));
    assert!(client.next()["accounts"].is_array());
}

#[test]
fn a_line_without_an_end_is_not_kept() {
    let scene = Scene::new(&["work"]);
    let mut client = scene.client();
    // It may be cut off while it sends.
    let _ = client.send(&vec![b'x'; 1024 * 1024]);
    assert!(client.next()["error"].as_str().is_some_and(|why| why.contains("longer")));
    assert_eq!(client.next(), Value::Null);
    scene.client();
}

#[test]
fn half_a_line_is_no_request() {
    let scene = Scene::new(&["work"]);
    let mut client = scene.client();
    client.send(b"{\"do\": \"trigger\", \"accounts\": [\"work\"]}").expect("sent");
    drop(client);
    while !scene.serving.house.guests().lines.is_empty() {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(!scene.office.desk(0).has_orders());
}

#[test]
fn those_who_say_nothing_are_sent_away() {
    let scene = Scene::patient(&["work"], Duration::from_millis(50));
    assert_eq!(scene.client().next(), Value::Null);
    let mut slow = scene.client();
    // Each byte in time, and never a line.
    while slow.send(b" ").is_ok() {
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn of_a_hundred_clients_sixteen_are_served_and_the_others_told_so() {
    let scene = Scene::new(&["work"]);
    let mut clients: Vec<Client> = (0..100).map(|_| scene.stranger()).collect();
    let greetings: Vec<Value> = clients.iter_mut().map(Client::next).collect();
    let (turned_away, served): (Vec<_>, Vec<_>) = greetings.iter().partition(|hello| hello.get("error").is_some());
    assert_eq!((served.len(), turned_away.len()), (MAX_CLIENTS, 100 - MAX_CLIENTS));
    drop(clients);
    while !scene.serving.house.guests().lines.is_empty() {
        thread::sleep(Duration::from_millis(5));
    }
    scene.client();
}

#[test]
fn the_end_is_at_once_whatever_is_going_on() {
    let mut scene = Scene::new(&["work", "home"]);
    let (mut idle, mut waiting, mut borrowing) = (scene.client(), scene.client(), scene.client());
    waiting.ask(&json!({"do": "sync", "accounts": ["work"]}));
    borrowing.ask(&json!({"do": "borrow", "accounts": ["home"]}));
    while !scene.office.desk(0).has_orders() {
        thread::yield_now();
    }
    let begun = Instant::now();
    scene.serving.end();
    assert!(begun.elapsed() < Duration::from_secs(10));
    for client in [&mut idle, &mut waiting, &mut borrowing] {
        assert!(client.next()["error"].as_str().is_some_and(|why| why.contains("ends")));
        assert_eq!(client.next(), Value::Null);
    }
    assert!(connect(scene.dir.path(), LONG).expect("no error").is_none());
    // The place is kept until all is over.
    assert!(matches!(Control::open(scene.dir.path()), Err(OpenError::Taken { .. })));
    let Scene { dir, serving, .. } = scene;
    drop(serving);
    Control::open(dir.path()).expect("free again");
}

#[test]
fn what_the_keepers_said_last_still_reaches_the_client() {
    let mut scene = Scene::new(&["work"]);
    let mut client = scene.client();
    client.ask(&json!({"do": "sync", "accounts": ["work"]}));
    let desk = scene.office.desk(0);
    let order = loop {
        match desk.next_order() {
            Some(order) => break order,
            None => thread::yield_now(),
        }
    };
    order.done.send(("work".to_owned(), Outcome::Interrupted, Counts::default())).expect("taken");
    scene.serving.end();
    assert_eq!(client.rest_of_it(), [json!({"out": "work Interrupted\n"}), json!({"exit": 1})]);
}

#[test]
fn a_second_one_is_told_who_has_the_place() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = Control::open(dir.path()).expect("free");
    let error = Control::open(dir.path()).expect_err("taken");
    assert_eq!(error.to_string(), format!("another `mailsync watch` runs: process {}", std::process::id()));
    drop(first);
    Control::open(dir.path()).expect("free again");
}

#[test]
fn a_socket_that_was_left_behind_is_replaced() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("watch.sock");
    drop(UnixListener::bind(&path).expect("bound"));
    fs::write(dir.path().join("watch.pid"), "4711\n").expect("written");
    assert!(path.exists() && connect(dir.path(), LONG).expect("no error").is_none());
    let control = Control::open(dir.path()).expect("nobody is there");
    assert!(connect(dir.path(), LONG).expect("connected").is_some());
    drop(control);
    assert!(!path.exists());
}

#[test]
fn only_the_user_can_connect_and_only_what_is_its_own_is_taken_away() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().join("state/mailsync");
    let control = Control::open(&state).expect("free");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    let socket = state.join("watch.sock");
    assert_eq!((mode(&state), mode(&socket), mode(&state.join("watch.pid"))), (0o700, 0o600, 0o600));
    fs::remove_file(&socket).expect("removed");
    let other = UnixListener::bind(&socket).expect("another one's");
    drop(control);
    assert!(socket.exists());
    drop(other);
    fs::remove_file(&socket).expect("removed");
    fs::write(&socket, "a file").expect("written");
    let error = Control::open(&state).expect_err("in the way").to_string();
    assert!(error.contains("watch.sock") && error.contains("no socket"), "{error}");
    assert_eq!(fs::read_to_string(&socket).expect("it is there"), "a file");
}

#[cfg(target_os = "linux")]
#[test]
fn a_long_path_is_no_hindrance() {
    let dir = tempfile::tempdir().expect("a directory");
    let long: PathBuf = dir.path().join("l".repeat(200)).join("o".repeat(200));
    assert!(connect(&long, LONG).expect("no error").is_none());
    let control = Control::open(&long).expect("free");
    let serving = control.serve(Office::new(&["work"])).expect("serving");
    let stream = connect(&long, LONG).expect("connected").expect("somebody is there");
    let mut channel = Channel::new(stream, wire::MAX_REPLY).expect("a channel");
    let hello: Hello = channel.receive(Some(Instant::now() + LONG), None).expect("a hello");
    assert_eq!(hello.accounts, ["work"]);
    drop(serving);
    assert!(!long.join("watch.sock").exists());
}

#[test]
fn a_config_that_was_written_anew_is_another_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("config.toml");
    fs::write(&file, "a").expect("written");
    let before = ConfigFile::of(&file);
    std::os::unix::fs::symlink(&file, dir.path().join("link")).expect("linked");
    assert_eq!(ConfigFile::of(&dir.path().join("link")), before);
    fs::write(&file, "ab").expect("written");
    assert_ne!(ConfigFile::of(&file), before);
}
