//! Changes on either side are on the other one within seconds, whatever the server can do.

use crate::scene::{Watch, has, letters};
use crate::support::*;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::{Duration, Instant};

/// Kinds of servers, by what is left out of Dovecot's, and by what they are listened to.
const KINDS: [(&str, &str, &str); 3] = [
    ("", "NOTIFY", ""),
    ("\"NOTIFY\"", "IDLE on INBOX, IDLE on Lists", "idle = [\"INBOX\", \"Lists\"]"),
    ("\"NOTIFY\", \"IDLE\"", "", "interval = \"10s\""),
];

/// One that has NOTIFY, and does not wake up those who idle to see whether they are still there.
fn dovecot() -> Dovecot {
    let extra = "mailbox_list_index = yes\nimap_idle_notify_interval = 29 mins\n".to_owned();
    Dovecot::with(dovecot::Options { extra, ..dovecot::Options::default() })
}

fn home(server: &Dovecot, without: &str, watch: &str) -> Home {
    let home = Home::new();
    home.config(&format!(
        "[account.main]\nlocal = {{ path = \"~/Mail\" }}\n[account.main.remote]\nhost = \"127.0.0.1\"\n\
         port = {}\nuser = \"alice\"\ntls = \"none\"\ndisable_capabilities = [{without}]\n\
         [account.main.watch]\n{watch}\n",
        server.port
    ));
    home.netrc("machine 127.0.0.1 login alice password secret-alice\n");
    home
}

#[test]
fn what_changes_on_either_side_is_on_the_other_one_soon() {
    for (without, heard, watch) in KINDS {
        let server = dovecot();
        let mut imap = server.login("alice");
        imap.create("Lists");
        imap.append("INBOX", &crlf(&mail("before")), &[], None);
        let home = home(&server, without, watch);
        let running = Watch::start(&home, &[]);
        running.until("the first sync", || has(&home, "INBOX", "before"));
        running.until(heard, || home.mailsync(&["status"]).stdout.contains(heard));
        running.until("folders", || home.maildir().folders().contains(&"Lists".to_owned()));
        // From the server: new messages, flags, deletions, folders.
        for (folder, subject) in [("INBOX", "first"), ("Lists", "second"), ("INBOX", "third")] {
            imap.append(folder, &crlf(&mail(subject)), &[], None);
            running.until(subject, || has(&home, folder, subject));
        }
        let uid = imap.message("INBOX", "first").uid;
        imap.set_flags("INBOX", uid, &["\\Flagged"], &[]);
        running.until("a flag", || letters(&home, "INBOX", "first").is_some_and(|letters| letters.contains('F')));
        imap.delete("INBOX", "third");
        running.until("a deletion", || !has(&home, "INBOX", "third"));
        // From here: the same.
        let message = home.maildir().message("INBOX", "before");
        home.maildir().set_letters(&message, "S");
        running.until("a flag from here", || imap.message("INBOX", "before").has("\\Seen"));
        home.maildir().deliver("Lists", &mail("fourth"));
        let there = |imap: &mut Imap, folder: &str, subject: &str| {
            imap.messages(folder).iter().any(|message| message.subject() == subject)
        };
        running.until("a message from here", || there(&mut imap, "Lists", "fourth"));
        home.maildir().remove(&home.maildir().message("Lists", "second"));
        running.until("a deletion from here", || !there(&mut imap, "Lists", "second"));
        home.maildir().create("Made here");
        home.maildir().deliver("Made here", &mail("fifth"));
        running.until("a folder from here", || imap.list().contains(&"Made here".to_owned()));
        running.until("its message", || there(&mut imap, "Made here", "fifth"));
        home.maildir().deliver("Made here", &mail("sixth"));
        running.until("another one", || there(&mut imap, "Made here", "sixth"));
        running.stop();
        home.nothing_to_do();
    }
}

#[test]
fn a_folder_that_is_written_back_is_one_batch() {
    let server = Dovecot::start();
    let mut imap = server.login("alice");
    for number in 0..30 {
        imap.append("INBOX", &crlf(&mail(&number.to_string())), &[], None);
    }
    let home = home(&server, "", "");
    home.sync();
    let running = Watch::start(&home, &["-d", "imap,sync"]);
    running.says("+ idling");
    for message in home.maildir().messages("INBOX") {
        home.maildir().set_letters(&message, "S");
        thread::sleep(Duration::from_millis(10));
    }
    running.until("all flags", || imap.messages("INBOX").iter().all(|message| message.has("\\Seen")));
    running.says("30 flag changes on remote");
    let stores = running.said().lines().filter(|line| line.contains("UID STORE")).count();
    assert_eq!(stores, 1, "{}", running.said());
    running.stop();
}

#[test]
fn one_connection_listens_and_syncs() {
    let server = Dovecot::start();
    let home = home(&server, "\"NOTIFY\"", "");
    let running = Watch::start(&home, &["-d", "imap"]);
    running.says("+ idling");
    let mut imap = server.login("alice");
    for subject in ["one", "two", "three"] {
        imap.append("INBOX", &crlf(&mail(subject)), &[], None);
        running.until(subject, || has(&home, "INBOX", subject));
    }
    let logins = running.said().lines().filter(|line| line.contains("S: * OK") && line.contains("ready")).count();
    assert_eq!(logins, 1, "{}", running.said());
    running.stop();
}

#[test]
fn an_idle_machine_is_left_asleep() {
    let server = dovecot();
    let home = Home::new();
    // Both users, five times each.
    let mut config = String::new();
    for number in 0..10 {
        let user = ["alice", "bob"][number % 2];
        config.push_str(&format!(
            "[account.a{number}]\nremote = {{ host = \"127.0.0.1\", port = {}, user = \"{user}\", tls = \"none\" }}\n\
             local = {{ path = \"~/Mail{number}\" }}\n",
            server.port
        ));
    }
    home.config(&config);
    home.netrc(
        "machine 127.0.0.1 login alice password secret-alice\nmachine 127.0.0.1 login bob password secret-bob\n",
    );
    let running = Watch::start(&home, &["-d", "imap"]);
    running.until("ten that listen", || running.said().matches("OK NOTIFY completed").count() >= 10);
    // What the first syncs set in motion comes to rest.
    let mut last = running.wakeups();
    let begun = Instant::now();
    loop {
        thread::sleep(Duration::from_secs(2));
        let now = running.wakeups();
        if now == last {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not come to rest: {last:?}, {now:?}");
        last = now;
    }
    thread::sleep(Duration::from_secs(8));
    let (wakeups, threads) = running.wakeups();
    assert_eq!(wakeups - last.0, 0, "it woke up");
    // The main thread, the face, and one for each account.
    assert!(threads <= 13, "{threads} threads");
    running.stop();
}

#[test]
fn signals_sync_now_end_it_and_read_the_config_anew() {
    let server = Dovecot::start();
    let mut imap = server.login("alice");
    let home = home(&server, "\"NOTIFY\", \"IDLE\"", "interval = \"1h\"");
    let mut running = Watch::start(&home, &["-d", "sync"]);
    running.says("ended: InStep");
    imap.append("INBOX", &crlf(&mail("unheard of")), &[], None);
    thread::sleep(Duration::from_millis(1500));
    assert!(!has(&home, "INBOX", "unheard of"));
    running.signal("USR1");
    running.until("the sync that was asked for", || has(&home, "INBOX", "unheard of"));
    // A config that is wrong is told, and the one before goes on.
    let good = fs::read_to_string(home.path().join(".config/mailsync/config.toml")).expect("the config");
    home.config(&good.replace("interval", "intervall"));
    running.signal("HUP");
    running.says("did you mean `interval`?");
    imap.append("INBOX", &crlf(&mail("still there")), &[], None);
    running.signal("USR1");
    running.until("a sync by the old config", || has(&home, "INBOX", "still there"));
    // A good one is taken over.
    home.config(&good.replace("\"NOTIFY\", \"IDLE\"", ""));
    running.signal("HUP");
    thread::sleep(Duration::from_millis(500));
    running.until("it listens by the new config", || {
        imap.append("INBOX", &crlf(&mail("told at once")), &[], None);
        thread::sleep(Duration::from_secs(1));
        has(&home, "INBOX", "told at once")
    });
    let (status, took) = running.end("INT");
    assert_eq!((status.code(), status.signal()), (Some(130), None), "{}", running.said());
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(!running.said().contains("panicked"), "{}", running.said());
}

#[test]
fn every_message_is_compared_now_and_then() {
    let server = Dovecot::start();
    server.login("alice").append("INBOX", &crlf(&mail("one")), &[], None);
    let home = home(&server, "", "interval = \"10s\"\nfull_every = \"1s\"");
    home.sync();
    let full = "UID FETCH 1:* (UID FLAGS)";
    home.mailsync(&["sync", "-d", "imap"]).exits(0).never_says(full).done();
    home.mailsync(&["sync", "--full", "-d", "imap"]).exits(0).says("UID FETCH 1:*").says("nothing to do").done();
    let running = Watch::start(&home, &["-d", "imap"]);
    running.says("UID FETCH 1:*");
    running.stop();
    home.nothing_to_do();
}

#[test]
fn others_ask_the_one_that_runs() {
    let server = Dovecot::start();
    let mut imap = server.login("alice");
    let home = home(&server, "\"NOTIFY\", \"IDLE\"", "interval = \"1h\"");
    home.mailsync(&["status"]).exits(1).says("mailsync watch").done();
    let running = Watch::start(&home, &["-d", "imap"]);
    running.until("the first sync", || home.mailsync(&["status"]).code == Some(0));
    home.mailsync(&["status"]).exits(0).says("main: in step since").done();
    // A second one has nothing to do here.
    home.mailsync(&["watch"]).exits(3).says("another `mailsync watch` runs: process").done();
    imap.append("INBOX", &crlf(&mail("one")), &[], None);
    home.mailsync(&["sync"]).exits(0).says("main/INBOX: 1 new on local").done();
    assert!(has(&home, "INBOX", "one"));
    home.mailsync(&["sync"]).exits(0).says("in step: nothing to do").done();
    home.mailsync(&["sync", "--full"]).exits(0).says("in step: nothing to do").done();
    running.says("UID FETCH 1:*");
    imap.append("INBOX", &crlf(&mail("two")), &[], None);
    home.mailsync(&["trigger", "main"]).exits(0).done();
    running.until("what was triggered", || has(&home, "INBOX", "two"));
    // What is set for one run is done beside it, over a connection of its own.
    imap.append("INBOX", &crlf(&mail("three")), &[], None);
    home.mailsync(&["sync", "-o", "account.main.remote.connections=1"]).exits(0).done();
    assert!(has(&home, "INBOX", "three"));
    home.mailsync(&["check"]).exits(0).done();
    home.mailsync(&["sync", "-n"]).exits(0).done();
    // What came beside it is looked at once.
    running.until("all is in step", || home.mailsync(&["status"]).code == Some(0));
    let told = home.mailsync(&["status", "--json"]).exits(0);
    let told: serde_json::Value = serde_json::from_str(&told.stdout).expect("JSON");
    assert_eq!(told["accounts"][0]["account"], "main", "{told}");
    assert_eq!(told["accounts"][0]["outcome"], "in-step", "{told}");
    // One login for it, and one each for those beside it: sync -o, check, sync -n.
    let logins = running.said().lines().filter(|line| line.contains("S: * OK") && line.contains("ready")).count();
    assert_eq!(logins, 1, "{}", running.said());
    running.stop();
    home.mailsync(&["status"]).exits(1).done();
    home.mailsync(&["sync"]).exits(0).done();
}
