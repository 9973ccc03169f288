//! Logins by Kerberos, with a key centre of the tests' own and Dovecot.

#![cfg(feature = "gssapi")]

mod support;

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};
use support::kerberos::Kerberos;
use support::*;

/// A realm, a server in it, and a home with a place for tickets; no password anywhere.
struct World {
    kerberos: Kerberos,
    server: Dovecot,
    home: Home,
}

impl World {
    fn new() -> World {
        let kerberos = Kerberos::start();
        let server = Dovecot::with(kerberos.options());
        server.login("alice").append("INBOX", &crlf(&mail("hello")), &[], None);
        World { kerberos, server, home: Home::new() }
    }

    fn tickets(&self) -> PathBuf {
        self.home.path().join("tickets")
    }

    fn kinit(&self, user: &str, lifetime: &str) {
        self.kerberos.kinit(user, lifetime, &self.tickets());
    }

    /// The server's plain port, called localhost as Kerberos does.
    fn config(&self, keys: &str) {
        self.home.config(&format!(
            "[account.main.remote]\nhost = \"localhost\"\nport = {}\ntls = \"none\"\n{keys}\n\n\
             [account.main.local]\npath = \"~/Mail\"\n",
            self.server.port
        ));
    }

    fn mailsync(&self, args: &[&str]) -> Output {
        let environment = self.kerberos.environment(&self.tickets());
        let more: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.home.mailsync_with(args, &more, "")
    }

    /// Waits until the ticket is of no use any more.
    fn outlive(&self) {
        let end = Instant::now() + Duration::from_secs(30);
        let expired = || {
            let tickets = self.kerberos.environment(&self.tickets());
            let status = std::process::Command::new("klist").arg("-s").envs(tickets).status();
            !status.expect("run klist").success()
        };
        while !expired() {
            assert!(Instant::now() < end, "the ticket does not expire: {}", self.kerberos.klist(&self.tickets()));
            thread::sleep(Duration::from_millis(100));
        }
    }
}

const NAMED: &str = "user = \"alice\"\nauth = \"gssapi\"";

/// How the server let somebody in so far: the methods of its log.
fn methods(world: &World) -> Vec<String> {
    let log = world.server.log();
    let logins = log.lines().filter(|line| line.contains("Login: user=<alice>"));
    let method =
        |line: &str| line.split_once("method=").and_then(|(_, rest)| rest.split(',').next().map(str::to_owned));
    // The first one is the tests' own.
    logins.filter_map(method).skip(1).collect()
}

#[test]
fn a_ticket_logs_in_without_a_password_and_without_a_question() {
    let world = World::new();
    world.kinit("alice", "1h");
    for keys in [NAMED, "user = \"alice\"", "auth = [\"GSSAPI\"]\ndisable_capabilities = \"SASL-IR\""] {
        world.config(keys);
        world.mailsync(&["sync", "-d", "imap"]).exits(0).never_says("netrc").done();
        assert_eq!(world.home.maildir().messages("INBOX").len(), 1);
    }
    assert_eq!(methods(&world), ["GSSAPI"; 3]);
    assert!(world.kerberos.klist(&world.tickets()).contains("imap/localhost"));
    world.config(NAMED);
    world.mailsync(&["info"]).exits(0).never_says("netrc").done();
}

#[test]
fn a_terminal_sees_no_question_where_a_ticket_does() {
    let world = World::new();
    world.kinit("alice", "1h");
    let program = env!("CARGO_BIN_EXE_mailsync");
    let tickets = world.kerberos.environment(&world.tickets());
    let exports: String = tickets.iter().map(|(name, value)| format!("export {name}='{value}'; ")).collect();
    let command = format!("{exports}'{program}' sync; echo \"ended with $?\"; read line");
    world.config("user = \"alice\"");
    let terminal = Tmux::start(&world.home, &command);
    let screen = terminal.wait_for("ended with ");
    assert!(screen.contains("ended with 0") && !screen.contains("Password"), "{screen}");
    terminal.enter_and_end();
    // Where the server takes no tickets, the question comes when that is known.
    world.config("user = \"alice\"\ndisable_capabilities = \"AUTH=GSSAPI\"");
    let terminal = Tmux::start(&world.home, &command);
    terminal.wait_for("Password of alice on localhost:");
    terminal.keys(&["secret-alice", "Enter"]);
    let screen = terminal.wait_for("ended with ");
    assert!(screen.contains("ended with 0") && !screen.contains("secret"), "{screen}");
    terminal.enter_and_end();
    let terminal = Tmux::start(&world.home, &command);
    terminal.wait_for("Password of alice on localhost:");
    terminal.keys(&["C-c"]);
    terminal.wait_for("ended with 130");
    terminal.enter_and_end();
}

#[test]
fn every_connection_has_a_login_of_its_own_and_four_work_at_once() {
    let world = World::new();
    let mut alice = world.server.login("alice");
    for number in 1..60 {
        alice.append("INBOX", &crlf(&mail(&format!("message {number}"))), &[], None);
    }
    drop(alice);
    world.kinit("alice", "1h");
    world.config(&format!("{NAMED}\nconnections = 4"));
    let environment = world.kerberos.environment(&world.tickets());
    let more = environment.iter().map(|(name, value)| (*name, value.as_str())).chain([("MAILSYNC_AT_ONCE", "12")]);
    let more: Vec<(&str, &str)> = more.collect();
    world.home.mailsync_with(&["sync"], &more, "").exits(0).done();
    assert_eq!(world.home.maildir().messages("INBOX").len(), 60);
    let methods = methods(&world);
    let by_ticket = methods.iter().filter(|method| *method == "GSSAPI").count();
    assert_eq!(by_ticket, 4, "{methods:?}");
    let (mut now, mut most) = (0, 0);
    for line in world.server.log().lines() {
        now += usize::from(line.contains("method=GSSAPI"));
        most = most.max(now);
        now -= usize::from(now > 0 && line.contains("imap(alice)") && line.contains("Logged out"));
    }
    assert_eq!(most, 4, "connections at once");
}

#[test]
fn an_expired_ticket_is_told_and_another_mechanism_is_taken_where_that_is_allowed() {
    let world = World::new();
    world.kinit("alice", "2s");
    world.outlive();
    world.config(NAMED);
    let out = world.mailsync(&["sync"]).exits(4).says("the Kerberos ticket has expired");
    out.says("hint: get a new one: kinit").never_says("password").done();
    // What is allowed and not there does not hide it.
    for auth in ["", "auth = [\"gssapi\", \"plain\"]"] {
        world.config(&format!("user = \"alice\"\n{auth}"));
        let out =
            world.mailsync(&["sync"]).exits(4).says("the Kerberos ticket has expired; then: no password for alice");
        out.says("hint: get a new one: kinit").done();
    }
    assert!(methods(&world).is_empty());
    world.home.netrc("machine localhost login alice password secret-alice\n");
    for auth in ["", "auth = [\"gssapi\", \"plain\"]"] {
        world.config(&format!("user = \"alice\"\n{auth}"));
        world.mailsync(&["sync"]).exits(0).never_says("Kerberos").done();
        let told = "(GSSAPI is passed over: the Kerberos ticket has expired)";
        world.mailsync(&["sync", "-d", "imap"]).exits(0).says(told).never_says("secret-alice").done();
    }
    assert_eq!(methods(&world), ["PLAIN"; 4]);
    world.kinit("alice", "1h");
    world.mailsync(&["sync"]).exits(0).done();
    assert_eq!(methods(&world).last().map(String::as_str), Some("GSSAPI"));
}

#[test]
fn without_a_ticket_kerberos_is_passed_over_in_silence_unless_it_is_named() {
    let world = World::new();
    world.config("user = \"alice\"");
    world.mailsync(&["sync"]).exits(4).says("no password for alice").says("netrc").never_says("Kerberos").done();
    world.home.netrc("machine localhost login alice password secret-alice\n");
    world.mailsync(&["sync"]).exits(0).never_says("Kerberos").never_says("kinit").done();
    world.mailsync(&["sync", "-d", "imap"]).exits(0).says("(GSSAPI is passed over: no Kerberos ticket: ").done();
    assert_eq!(methods(&world), ["PLAIN"; 2]);
    world.config(NAMED);
    let out = world.mailsync(&["sync"]).exits(4).says("log in: no Kerberos ticket: ").says("hint: get one: kinit");
    out.never_says("Minor code").done();
}

#[test]
fn the_ticket_of_another_user_opens_no_mailbox_but_his_own() {
    let world = World::new();
    world.kinit("carol", "1h");
    for keys in [NAMED, "auth = \"gssapi\"\nauthzid = \"alice\""] {
        world.config(keys);
        let out = world.mailsync(&["sync"]).exits(4).says("server refused AUTHENTICATE GSSAPI");
        out.says("hint: the server does not let this Kerberos ticket in as that user").done();
    }
    world.config("auth = \"gssapi\"");
    world.mailsync(&["sync"]).exits(0).done();
    assert!(world.home.maildir().messages("INBOX").is_empty(), "carol has no mail");
    assert!(methods(&world).is_empty());
    // The account is alice's: her password is another way to it.
    let world = World { home: Home::new(), ..world };
    world.kinit("carol", "1h");
    world.config("user = \"alice\"");
    world.home.netrc("machine localhost login alice password secret-alice\n");
    world.mailsync(&["sync"]).exits(0).done();
    assert_eq!(methods(&world), ["PLAIN"]);
}

#[test]
fn a_server_that_kerberos_does_not_know_by_that_name_is_told() {
    let world = World::new();
    world.kinit("alice", "1h");
    world.home.config(&format!(
        "[account.main.remote]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n{NAMED}\n\n\
         [account.main.local]\npath = \"~/Mail\"\n",
        world.server.port
    ));
    let out = world.mailsync(&["sync"]).exits(4).says("no Kerberos ticket for imap/127.0.0.1: ");
    out.says("not found in Kerberos database").says("hint: Kerberos must know the server by the name in `host`").done();
}

#[test]
fn a_key_centre_that_is_gone_or_silent_costs_no_more_than_the_time_for_an_answer() {
    let mut world = World::new();
    world.kinit("alice", "1h");
    world.kerberos.stop();
    world.config(NAMED);
    world.mailsync(&["sync"]).exits(4).says("Cannot contact any KDC").done();
    let silent = std::net::TcpListener::bind(("127.0.0.1", world.kerberos.port)).expect("the port is free");
    world.config(&format!("{NAMED}\ntimeout = 1"));
    let begin = Instant::now();
    world
        .mailsync(&["sync"])
        .exits(4)
        .says("Kerberos: no answer for 1 s")
        .says("hint: check that the key centre")
        .done();
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    world.home.netrc("machine localhost login alice password secret-alice\n");
    world.config("user = \"alice\"\ntimeout = 1");
    world.mailsync(&["sync"]).exits(0).done();
    drop(silent);
}

#[test]
fn a_tunnel_has_the_name_that_the_config_gives_it() {
    let world = World::new();
    world.kinit("alice", "1h");
    let tunnel = format!("exec 3<>/dev/tcp/127.0.0.1/{} 4<&0; cat <&4 >&3 & exec cat <&3", world.server.port);
    let account = |host: &str| {
        world.home.config(&format!(
            "[account.main.remote]\ncommand = [\"bash\", \"-c\", \"{tunnel}\"]\n{host}{NAMED}\n\n\
             [account.main.local]\npath = \"~/Mail\"\n"
        ));
    };
    account("host = \"localhost\"\n");
    world.mailsync(&["sync"]).exits(0).done();
    assert_eq!(methods(&world), ["GSSAPI"]);
    account("");
    world.mailsync(&["sync"]).exits(4).says("no ticket for a server without a name").says("hint: set `host`").done();
}

/// Another implementation of the server's side, which may insist on a layer of its own.
#[test]
fn cyrus_takes_a_ticket_and_its_own_protection_is_refused() {
    let kerberos = Kerberos::start();
    for (layer, code) in [("", 0), ("sasl_minimum_layer: 56\n", 4)] {
        let extra = format!("sasl_mech_list: GSSAPI PLAIN\nsasl_keytab: {}\n{layer}", kerberos.keytab().display());
        let server = Cyrus::with(&extra, &kerberos.server_environment());
        let home = Home::new();
        let tickets = home.path().join("tickets");
        kerberos.kinit("alice", "1h", &tickets);
        home.config(&format!(
            "[account.main.remote]\nhost = \"localhost\"\nport = {}\ntls = \"none\"\n{NAMED}\n\n\
             [account.main.local]\npath = \"~/Mail\"\n",
            server.port
        ));
        let environment = kerberos.environment(&tickets);
        let more: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let out = home.mailsync_with(&["sync", "-d", "imap"], &more, "").exits(code);
        if code > 0 {
            out.says("the server wants the line to be protected by Kerberos, and not by TLS").done();
        }
    }
}

/// What a server may say that is not what Kerberos knows it by.
#[test]
fn a_server_that_does_not_prove_itself_gets_neither_trust_nor_a_password() {
    let kerberos = Kerberos::start();
    let home = Home::new();
    let tickets = home.path().join("tickets");
    kerberos.kinit("alice", "1h", &tickets);
    let environment = kerberos.environment(&tickets);
    let more: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    home.netrc("machine localhost login alice password secret-alice\n");
    let long = "QUFB".repeat(30_000);
    for (answer, said) in [
        ("S: T OK [CAPABILITY IMAP4rev1] in".to_owned(), "did not prove that Kerberos knows it"),
        ("S: + \nC: *\nS: T BAD gone".to_owned(), "not the next step of a login by Kerberos"),
        ("S: + QUJD\nC: *\nS: T BAD gone".to_owned(), "did not prove that Kerberos knows it"),
        // An answer of Kerberos's form, with nothing in it.
        ("S: + YA8GCSqGSIb3EgECAgIA\nC: *\nS: T BAD gone".to_owned(), "did not prove that Kerberos knows it"),
        (format!("S: + {long}\nC: *\nS: T BAD gone"), "is not one of Kerberos"),
    ] {
        let script = Script::play(&[&format!(
            "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=GSSAPI AUTH=PLAIN] hello\n\
             C: T AUTHENTICATE GSSAPI *\n{answer}\nEOF"
        )]);
        home.config(&format!(
            "[account.main.remote]\nhost = \"localhost\"\nport = {}\ntls = \"none\"\nuser = \"alice\"\n\n\
             [account.main.local]\npath = \"~/Mail\"\n",
            script.port
        ));
        let out = home.mailsync_with(&["sync", "-d", "imap"], &more, "").exits(4).says(said);
        out.says("C: <not shown>").never_says("secret-alice").done();
        script.finish();
    }
}
