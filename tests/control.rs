//! Asking a `watch`: what the commands say where there is none, and what they make of one that is played here.

mod support;

use mailsync::sync::Report;
use mailsync::watch::control::wire::ConfigFile;
use mailsync::watch::control::{Control, Desks, Face};
use mailsync::watch::desk::Desk;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use support::{Dovecot, Home, crlf, mail};

const LONG: Duration = Duration::from_secs(60);

/// A home with two accounts whose server is not there.
fn home() -> Home {
    let home = Home::new();
    let account = |name: &str| {
        format!(
            "[account.{name}]\nremote = {{ host = \"127.0.0.1\", port = 9, user = \"me\", tls = \"none\" }}\n\
             local = {{ path = \"~/{name}\" }}\n"
        )
    };
    home.config(&format!("{}{}", account("work"), account("home")));
    home.netrc("machine 127.0.0.1 login me password secret\n");
    home
}

/// One who says that it keeps accounts.
struct Played {
    thread: JoinHandle<()>,
}

impl Played {
    /// Plays to a client.
    fn begin(home: &Home, play: impl FnOnce(&mut Line) + Send + 'static) -> Played {
        Played::after(home, |_| false, play)
    }

    /// Plays to the first client that does not only ask who is there.
    fn after(
        home: &Home,
        only_asks: impl Fn(&mut Line) -> bool + Send + 'static,
        play: impl FnOnce(&mut Line) + Send + 'static,
    ) -> Played {
        let dir = home.path().join(".local/state/mailsync");
        fs::create_dir_all(&dir).expect("a directory");
        let listener = UnixListener::bind(dir.join("watch.sock")).expect("bound");
        let thread = thread::spawn(move || {
            loop {
                let (stream, _) = listener.accept().expect("a client");
                stream.set_read_timeout(Some(LONG)).expect("set");
                let mut line = Line(BufReader::new(stream));
                if !only_asks(&mut line) {
                    return play(&mut line);
                }
            }
        });
        Played { thread }
    }

    /// Expects that all went as it was played.
    fn ends(self) {
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

struct Line(BufReader<UnixStream>);

impl Line {
    fn say(&mut self, line: &Value) {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes()).expect("sent");
    }

    /// Says who it is: the one that keeps `accounts` by the config at `file`.
    fn greet(&mut self, file: &ConfigFile, accounts: &[&str]) {
        self.say(&json!({
            "mailsync": "9.9", "pid": 4711, "since": 100, "accounts": accounts, "config": file.path,
            "config_stamp": file.stamp, "from": "a later version",
        }));
    }

    /// What is asked for; null where the client has gone.
    fn hear(&mut self) -> Value {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) => Value::Null,
            Ok(_) => serde_json::from_str(&line).expect("JSON"),
            Err(err) => panic!("nothing was heard: {err}"),
        }
    }
}

fn file(home: &Home) -> ConfigFile {
    ConfigFile::of(&home.path().join(".config/mailsync/config.toml"))
}

#[test]
fn without_a_watch_status_says_how_to_begin_one_and_what_the_states_know() {
    let home = home();
    home.mailsync(&["status"])
        .exits(1)
        .says("mailsync: no `mailsync watch` runs")
        .says("hint: `systemctl --user enable --now mailsync`")
        .says("work: never synced; nothing is held or waits\nhome: never synced")
        .done();
    home.mailsync(&["status", "wrok"]).exits(2).says("did you mean `work`?").done();
    let out = home.mailsync(&["status", "--json", "home"]).exits(1);
    let told: Value = serde_json::from_str(&out.stdout).expect("JSON");
    assert_eq!((&told["version"], &told["watch"], &told["all_in_step"]), (&1.into(), &Value::Null, &false.into()));
    let account = &told["accounts"][0];
    assert_eq!(
        (&account["account"], &account["kept"], &account["in_step"]),
        (&"home".into(), &false.into(), &Value::Null)
    );
    assert_eq!((&account["held"], &account["waiting"], &account["last_run"]), (&0.into(), &0.into(), &Value::Null));
    assert!(!home.path().join(".local/state/mailsync").exists(), "a question made a directory");
}

#[test]
fn without_a_watch_nothing_is_triggered_and_a_wrong_name_is_told() {
    let home = home();
    home.mailsync(&["trigger", "work", "INBOX"])
        .exits(1)
        .says("no `mailsync watch` runs")
        .says("hint: `mailsync sync work`")
        .done();
    home.mailsync(&["trigger", "wrok"]).exits(2).says("did you mean `work`?").done();
    home.mailsync(&["trigger", "work", "re:["]).exits(2).says("folder re:[").done();
    home.mailsync(&["trigger"]).exits(2).done();
}

#[test]
fn a_socket_that_nobody_listens_at_is_no_watch() {
    let server = Dovecot::start();
    server.login("alice").append("INBOX", &crlf(&mail("one")), &[], None);
    let home = Home::new();
    home.account(&server, "alice", "");
    fs::create_dir_all(home.path().join(".local/state/mailsync")).expect("a directory");
    drop(UnixListener::bind(home.path().join(".local/state/mailsync/watch.sock")).expect("bound"));
    let out = home.mailsync(&["sync"]).exits(0);
    assert_eq!(out.stderr, "");
    home.mailsync(&["status"]).exits(1).says("no `mailsync watch` runs").says("main: last run ").done();
}

#[test]
fn a_trigger_is_handed_over() {
    let home = home();
    let file = file(&home);
    let watch = Played::begin(&home, move |line| {
        line.greet(&file, &["work"]);
        assert_eq!(line.hear(), json!({"do": "trigger", "accounts": ["work"], "folders": ["INBOX"]}));
        line.say(&json!({"ok": true}));
    });
    let out = home.mailsync(&["trigger", "work", "INBOX"]).exits(0);
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("", ""));
    watch.ends();
}

#[test]
fn what_the_watch_says_of_a_sync_is_what_a_sync_says() {
    let home = home();
    let file = file(&home);
    let watch = Played::begin(&home, move |line| {
        line.greet(&file, &["home", "work"]);
        assert_eq!(
            line.hear(),
            json!({
                "do": "sync", "accounts": ["work", "home"], "folders": ["INBOX"], "allow_delete": false, "restore": true,
                "retry": true, "full": false, "quiet": false,
            })
        );
        line.say(&json!({}));
        line.say(&json!({"err": "mailsync: work: note: odd\n"}));
        line.say(&json!({"out": "work/INBOX: 1 ne"}));
        line.say(&json!({"out": "w on local\n"}));
        line.say(&json!({"exit": 4}));
    });
    let out = home.mailsync(&["sync", "-f", "INBOX", "--restore", "--retry"]).exits(4);
    assert_eq!(out.stdout, "work/INBOX: 1 new on local\n");
    assert_eq!(out.stderr, "mailsync: work: note: odd\n");
    watch.ends();
}

#[test]
fn a_watch_that_dies_in_the_middle_of_a_sync_is_an_error() {
    let home = home();
    let file = file(&home);
    let watch = Played::begin(&home, move |line| {
        line.greet(&file, &["home", "work"]);
        line.hear();
        line.say(&json!({"out": "work/INBOX: 1 new on local\n"}));
    });
    home.mailsync(&["sync", "-q", "work"])
        .exits(1)
        .says("work/INBOX: 1 new on local\n")
        .says("mailsync: `mailsync watch` (process 4711): it ended before it had answered\nhint: ")
        .done();
    watch.ends();
}

#[test]
fn what_no_watch_would_say_is_an_error() {
    for garbage in [&b"\xff\xff\n"[..], b"[1]\n", b"{\"exit\": 1000}\n", b"{\"out\": 7}\n"] {
        let home = home();
        let file = file(&home);
        let watch = Played::begin(&home, move |line| {
            line.greet(&file, &["work"]);
            line.hear();
            line.0.get_mut().write_all(garbage).expect("sent");
            line.hear();
        });
        home.mailsync(&["sync", "work"]).exits(1).says("it says what is not understood").done();
        watch.ends();
    }
}

#[test]
fn a_line_without_an_end_is_not_read_for_ever() {
    let home = home();
    let file = file(&home);
    let watch = Played::begin(&home, move |line| {
        line.greet(&file, &["work"]);
        line.hear();
        let some = vec![b'x'; 1024 * 1024];
        while line.0.get_mut().write_all(&some).is_ok() {}
    });
    home.mailsync(&["status", "work"]).exits(1).says("a line that has no end").says("work: never synced").done();
    watch.ends();
}

#[test]
fn a_refusal_is_told_with_its_hint() {
    let home = home();
    let file = file(&home);
    let watch = Played::begin(&home, move |line| {
        line.greet(&file, &["work"]);
        line.hear();
        line.say(&json!({"error": "it \u{1b}ends", "hint": "run it again"}));
    });
    home.mailsync(&["sync", "work"]).exits(1).says("mailsync: it  ends\nhint: run it again\n").done();
    watch.ends();
}

#[test]
fn one_that_says_nothing_is_gone_on_without() {
    let home = home();
    let watch = Played::begin(&home, |line| assert_eq!(line.hear(), Value::Null));
    home.mailsync(&["sync", "work"])
        .exits(1)
        .says("`mailsync watch` does not answer: it says nothing; going on without it")
        .says("mailsync: work: ")
        .done();
    watch.ends();
}

#[test]
fn ctrl_c_ends_the_listening_and_not_the_sync() {
    let home = home();
    let file = file(&home);
    let (asked, was_asked) = channel();
    let watch = Played::begin(&home, move |line| {
        line.greet(&file, &["work"]);
        line.hear();
        asked.send(()).expect("somebody waits");
        assert_eq!(line.hear(), Value::Null);
    });
    let client = home.start(&["sync", "work"]);
    was_asked.recv_timeout(LONG).expect("a sync is asked for");
    kill_process(Pid::from_child(&client), Signal::INT).expect("signalled");
    let out = client.wait_with_output().expect("its end");
    assert_eq!(out.status.code(), Some(130));
    assert!(String::from_utf8_lossy(&out.stderr).contains("the sync goes on without you"));
    watch.ends();
}

/// Runs a command for which the watch has to leave `main` alone, and expects the line to be open to its end. `sync` asks
/// first who is there.
#[track_caller]
fn borrows(home: &Home, file: &ConfigFile, args: &[&str]) {
    let (greeting, is_sync) = (file.clone(), args.contains(&"sync"));
    let asked = std::sync::atomic::AtomicBool::new(!is_sync);
    let only_asks = move |line: &mut Line| {
        line.greet(&greeting, &["main"]);
        if asked.swap(true, std::sync::atomic::Ordering::SeqCst) {
            return false;
        }
        assert_eq!(line.hear(), Value::Null);
        true
    };
    let watch = Played::after(home, only_asks, |line| {
        assert_eq!(line.hear(), json!({"do": "borrow", "accounts": ["main"]}));
        line.say(&json!({}));
        line.say(&json!({"ok": true}));
        assert_eq!(line.hear(), Value::Null);
    });
    home.mailsync(args).exits(0).done();
    watch.ends();
    fs::remove_file(home.path().join(".local/state/mailsync/watch.sock")).expect("removed");
}

#[test]
fn what_the_watch_can_not_do_is_done_while_it_leaves_the_accounts_alone() {
    let server = Dovecot::start();
    server.login("alice").append("INBOX", &crlf(&mail("one")), &[], None);
    let home = Home::new();
    home.account(&server, "alice", "");
    let file = file(&home);
    let other = ConfigFile { stamp: "another".to_owned(), ..file.clone() };
    borrows(&home, &file, &["sync", "-n"]);
    borrows(&home, &file, &["sync", "-o", "general.max_sync_accounts=1"]);
    borrows(&home, &file, &["-o", "general.ui=\"basic\"", "sync"]);
    borrows(&home, &file, &["sync", "-v"]);
    borrows(&home, &other, &["sync"]);
    borrows(&home, &file, &["check"]);
    assert_eq!(home.maildir().messages("INBOX").len(), 1);
}

#[test]
fn an_account_that_is_not_lent_is_locked() {
    let home = home();
    let watch = Played::begin(&home, move |line| {
        line.greet(&ConfigFile::default(), &["work"]);
        assert_eq!(line.hear(), json!({"do": "borrow", "accounts": ["work"]}));
        line.say(&json!({"error": "work: it is being synced", "exit": 3}));
    });
    home.mailsync(&["check", "work"]).exits(3).says("work: it is being synced").done();
    watch.ends();
}

#[test]
fn other_accounts_are_none_of_its_business() {
    let home = home();
    let watch = Played::begin(&home, move |line| {
        line.greet(&ConfigFile::default(), &["other"]);
        assert_eq!(line.hear(), Value::Null);
    });
    home.mailsync(&["check", "work"]).exits(1).says("mailsync: work: ").done();
    watch.ends();
}

/// Asks for the status of what is told.
fn status(home: &Home, args: &[&str], accounts: Value) -> support::Output {
    let file = file(home);
    let watch = Played::begin(home, move |line| {
        line.greet(&file, &["work"]);
        assert_eq!(line.hear(), json!({"do": "status"}));
        line.say(&json!({"accounts": accounts}));
    });
    let out = home.mailsync(args);
    watch.ends();
    fs::remove_file(home.path().join(".local/state/mailsync/watch.sock")).expect("removed");
    out
}

#[test]
fn the_status_of_a_watch_is_told_in_words_and_by_the_exit_status() {
    let home = home();
    let work = |change: &dyn Fn(&mut Value)| {
        let mut told = json!({
            "account": "work", "doing": "listening", "connected": "imap.example.org: IDLE on INBOX",
            "in_step": 1_500_000_000, "outcome": "in-step", "from": "a later version",
        });
        change(&mut told);
        json!([told])
    };
    status(&home, &["status", "work"], work(&|_| {}))
        .exits(0)
        .says("work: in step since 2017-07-1")
        .says("; listening: imap.example.org: IDLE on INBOX\n")
        .done();
    // Nobody keeps the other one.
    status(&home, &["status"], work(&|_| {})).exits(1).says("home: not kept by the `mailsync watch`").done();
    status(&home, &["status", "work"], work(&|told| told["held"] = 1.into())).exits(1).says("1 held").done();
    let refused = work(&|told| told["outcome"] = "auth-failed".into());
    status(&home, &["status", "work"], refused).exits(4).says("the login failed").done();
    let out = status(&home, &["status", "--json"], work(&|told| told["pending"] = json!(["INBOX"]))).exits(1);
    let told: Value = serde_json::from_str(&out.stdout).expect("JSON");
    assert_eq!((&told["watch"]["pid"], &told["watch"]["version"]), (&4711.into(), &"9.9".into()));
    assert_eq!(told["watch"]["since"], 100);
    let keys: Vec<&String> = told["accounts"][0].as_object().expect("an object").keys().collect();
    let known = [
        "account",
        "connected",
        "doing",
        "failures",
        "held",
        "in_step",
        "kept",
        "last_run",
        "next",
        "outcome",
        "paused",
        "pending",
        "problems",
        "synced",
        "trouble",
        "waiting",
    ];
    assert_eq!(keys, known);
    assert_eq!(told["accounts"][0]["pending"], json!(["INBOX"]));
    assert_eq!((&told["accounts"][1]["account"], &told["accounts"][1]["kept"]), (&"home".into(), &false.into()));
}

/// The side that answers, with a desk at which nobody sits.
struct Office {
    desk: Arc<Desk>,
    config: ConfigFile,
    /// Told when somebody wants a sync.
    asked: Mutex<Sender<()>>,
}

impl Desks for Office {
    fn all(&self) -> Vec<Arc<Desk>> {
        vec![self.desk.clone()]
    }

    fn config(&self) -> ConfigFile {
        self.config.clone()
    }

    fn face(&self, out: Box<dyn Write + Send>, _: Box<dyn Write + Send>, _: bool) -> Box<dyn Face> {
        self.asked.lock().expect("no panic").send(()).expect("somebody waits");
        Box::new(Last(Mutex::new(out)))
    }
}

/// Says how it ended, and nothing else.
struct Last(Mutex<Box<dyn Write + Send>>);

impl Face for Last {
    fn observer(&self) -> Arc<mailsync::sync::Observer> {
        Arc::new(|_| {})
    }

    fn finish(&self, report: &Report) -> u8 {
        let text = format!("{:?}\n", report.accounts[0].1);
        self.0.lock().expect("no panic").write_all(text.as_bytes()).expect("an outbox takes all");
        1
    }
}

#[test]
fn the_commands_and_the_one_who_answers_understand_each_other() {
    let home = home();
    let desk = Arc::new(Desk::new("work").expect("a desk"));
    let (asked, was_asked) = channel();
    let office = Arc::new(Office { desk, config: file(&home), asked: Mutex::new(asked) });
    let control = Control::open(&home.path().join(".local/state/mailsync")).expect("the place is free");
    let mut serving = control.serve(office).expect("serving");
    home.mailsync(&["status", "work"]).exits(1).says("work: not synced yet\n").never_says("no `mailsync watch`").done();
    home.mailsync(&["trigger", "work", "INBOX"]).exits(0).done();
    home.mailsync(&["trigger", "home"]).exits(1).says("does not keep the account `home`").says("hint: ").done();
    // Nobody does it, and then all ends.
    let client = home.start(&["sync", "work"]);
    was_asked.recv_timeout(LONG).expect("a sync is asked for");
    serving.end();
    let out = client.wait_with_output().expect("its end");
    assert_eq!(out.status.code(), Some(1), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(String::from_utf8_lossy(&out.stderr).contains("`mailsync watch` ends"));
    home.mailsync(&["trigger", "work"]).exits(1).says("no `mailsync watch` runs").done();
}
