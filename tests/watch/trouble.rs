//! What goes wrong is tried again, costs nobody else anything, and is told once.

use crate::scene::{Relay, Watch, has};
use crate::support::*;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn a_server_that_is_not_there_yet_is_waited_for_and_told_of_once() {
    let server = Dovecot::start();
    server.login("alice").append("INBOX", &crlf(&mail("hello")), &[], None);
    // A port on which nobody answers, until there is a way to the server.
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let home = Home::new();
    home.account(&server, "alice", "");
    let running = Watch::start(&home, &["-o", &format!("account.main.remote.port={port}")]);
    running.says("can't connect to 127.0.0.1");
    thread::sleep(Duration::from_secs(12));
    assert_eq!(running.said().matches("can't connect to").count(), 1, "{}", running.said());
    let way = Relay::open(port, server.port);
    running.until("it came through", || has(&home, "INBOX", "hello"));
    running.says("in step again");
    drop(way);
    running.stop();
}

#[test]
fn an_account_whose_server_says_nothing_holds_up_nobody() {
    let server = Dovecot::start();
    let mut imap = server.login("alice");
    let silent: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    let home = Home::new();
    let mut config = format!(
        "[account.main]\nremote = {{ host = \"127.0.0.1\", port = {}, user = \"alice\", tls = \"none\", \
         password = \"secret-alice\" }}\nlocal = {{ path = \"~/Mail\" }}\n",
        server.port
    );
    for (number, listener) in silent.iter().enumerate() {
        config.push_str(&format!(
            "[account.silent{number}]\nremote = {{ host = \"127.0.0.1\", port = {}, user = \"x\", tls = \"none\", \
             password = \"x\" }}\nlocal = {{ path = \"~/Silent{number}\" }}\n",
            listener.local_addr().expect("an address").port()
        ));
    }
    home.config(&config);
    let running = Watch::start(&home, &["-d", "imap"]);
    running.says("+ idling");
    for subject in ["one", "two"] {
        imap.append("INBOX", &crlf(&mail(subject)), &[], None);
        running.until(subject, || has(&home, "INBOX", subject));
    }
    // In the middle of the others' logins.
    running.stop();
}

#[test]
fn a_wrong_password_is_not_tried_over_and_over() {
    let server = Dovecot::start();
    let home = Home::new();
    home.account(&server, "alice", "");
    home.netrc("machine 127.0.0.1 login alice password wrong\n");
    let running = Watch::start(&home, &[]);
    running.says("log in: server refused");
    thread::sleep(Duration::from_secs(8));
    let tried = server.log().matches("auth failed").count();
    assert!(tried <= 2, "{tried} times:\n{}", server.log());
    // Who has put it right says so.
    home.netrc("machine 127.0.0.1 login alice password secret-alice\n");
    running.signal("USR1");
    running.says("in step again");
    running.stop();
}

#[test]
fn a_run_that_has_the_account_is_waited_for() {
    let server = Dovecot::start();
    let mut imap = server.login("alice");
    let home = Home::new();
    home.account(&server, "alice", "");
    home.sync();
    let lock = std::fs::OpenOptions::new()
        .write(true)
        .open(home.state("main").with_extension("lock"))
        .expect("the lock's file");
    lock.lock().expect("locked");
    let running = Watch::start(&home, &[]);
    running.says("another run holds the lock");
    imap.append("INBOX", &crlf(&mail("hello")), &[], None);
    thread::sleep(Duration::from_secs(1));
    assert!(!has(&home, "INBOX", "hello"));
    drop(lock);
    running.until("it goes on", || has(&home, "INBOX", "hello"));
    running.stop();
}

#[test]
fn a_line_that_breaks_is_made_anew_and_nothing_is_missed() {
    let server = Dovecot::start();
    let mut imap = server.login("alice");
    let way = Relay::open(0, server.port);
    let home = Home::new();
    home.account(&server, "alice", "");
    let running = Watch::start(&home, &["-o", &format!("account.main.remote.port={}", way.port), "-d", "imap"]);
    running.says("+ idling");
    for number in 0..3 {
        way.cut();
        let subject = format!("after cut {number}");
        imap.append("INBOX", &crlf(&mail(&subject)), &[], None);
        running.until(&subject, || has(&home, "INBOX", &subject));
    }
    running.stop();
}

#[test]
fn a_stopped_process_that_goes_on_looks_at_once() {
    let server = Dovecot::start();
    let mut imap = server.login("alice");
    let home = Home::new();
    home.account(&server, "alice", "");
    let running = Watch::start(
        &home,
        &["-d", "imap", "-o", "account.main.watch.idle=[]", "-o", "account.main.watch.interval=1h"],
    );
    running.says("LIST");
    running.signal("STOP");
    imap.append("INBOX", &crlf(&mail("while asleep")), &[], None);
    thread::sleep(Duration::from_secs(2));
    let begun = Instant::now();
    running.signal("CONT");
    running.until("what came meanwhile", || has(&home, "INBOX", "while asleep"));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    running.stop();
}
