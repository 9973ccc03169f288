//! Greetings, logins and capabilities.

use crate::harness::*;
use crate::support::{Dovecot, Script, dovecot};
use mailsync::mail::{Login, Noted, Secret};
use mailsync::net::{Pin, Stop, TlsMode};
use mailsync::store::imap::{Compress, ImapOpener, ImapSettings};
use mailsync::store::{Kind, Opener, Reach, Store, StoreError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn fails(script: &str) -> StoreError {
    let script = Script::play(&[script]);
    let error = ImapOpener::new(settings(script.port), Stop::new()).open().map(drop).expect_err("no login");
    script.finish();
    error
}

#[test]
fn a_greeting_of_bye_is_a_matter_of_the_network() {
    let error = fails("S: * BYE go away\nEOF");
    assert_eq!((error.kind, error.reach), (Kind::Network, Reach::Connection), "{error}");
}

#[test]
fn what_is_no_imap_server_is_shown() {
    for line in
        ["+OK POP3 ready", "220 mail.example.org ESMTP", "SSH-2.0-OpenSSH_9.2", "HTTP/1.1 400 Bad Request", "* what"]
    {
        let error = fails(&format!("S: {line}\nEOF"));
        let said = error.to_string();
        assert!(said.ends_with(&format!("this is not the greeting of an IMAP server: {line}")), "{said}");
        assert_eq!((error.kind, error.reach), (Kind::Protocol, Reach::Connection));
    }
}

#[test]
fn a_preauth_greeting_is_refused_where_the_line_is_not_protected() {
    let error = fails("S: * PREAUTH [CAPABILITY IMAP4rev1] welcome\nEOF");
    assert_eq!(error.kind, Kind::Tls, "{error}");
}

#[test]
fn a_preauth_greeting_is_refused_behind_tls_too() {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let dir = tempfile::tempdir().expect("a directory");
    let openssl = |args: &str| {
        let mut command = Command::new("openssl");
        command.current_dir(dir.path()).args(args.split(' ')).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let made = openssl("req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -subj /CN=localhost -days 2");
    assert!({ made }.status().expect("openssl is installed").success());
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let mut server = openssl(&format!("s_server -quiet -naccept 1 -accept {free} -cert cert.pem -key key.pem"));
    let mut server = server.stdin(Stdio::piped()).spawn().expect("openssl is installed");
    let greeting = b"* PREAUTH [CAPABILITY IMAP4rev1] welcome\r\n";
    server.stdin.as_mut().expect("a pipe").write_all(greeting).expect("written");
    let mut settings = settings(free.port());
    settings.host = "127.0.0.1".to_owned();
    settings.tls.mode = TlsMode::Implicit;
    settings.tls.pins = vec![Pin::parse(&fingerprint(dir.path())).expect("a pin")];
    let begin = std::time::Instant::now();
    let error = loop {
        match ImapOpener::new(settings.clone(), Stop::new()).open() {
            // It is not up yet.
            Err(error) if error.kind == Kind::Network && begin.elapsed() < Duration::from_secs(20) => {}
            opened => break opened.map(drop).expect_err("it is refused"),
        }
    };
    let _gone = server.kill().and_then(|()| server.wait());
    assert!(error.kind == Kind::Tls && error.to_string().contains("(PREAUTH)"), "{error}");
}

/// The SHA-256 of the certificate in a directory.
fn fingerprint(dir: &std::path::Path) -> String {
    let mut command = std::process::Command::new("openssl");
    command.current_dir(dir).args(["x509", "-in", "cert.pem", "-noout", "-fingerprint", "-sha256"]);
    let said = String::from_utf8(command.output().expect("openssl is installed").stdout).expect("text");
    said.trim_end().split_once('=').expect("a fingerprint").1.to_owned()
}

#[test]
fn a_real_refusal_is_not_followed_by_another_mechanism() {
    let error = fails(
        "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hello
         C: T AUTHENTICATE PLAIN AG1lAHNlY3JldA==
         S: T NO [AUTHENTICATIONFAILED] wrong
         EOF",
    );
    assert_eq!((error.kind, error.reach), (Kind::Auth, Reach::Account), "{error}");
    assert!(!format!("{error:?}").contains("secret"));
}

#[test]
fn a_password_that_the_server_repeats_is_not_told() {
    for (greeting, sent) in [
        ("IMAP4rev1", r#"LOGIN "me" "secret""#),
        ("IMAP4rev1 LOGINDISABLED AUTH=PLAIN SASL-IR", "AUTHENTICATE PLAIN AG1lAHNlY3JldA=="),
    ] {
        for refusal in ["T BAD", "T NO [ALERT]", "* BYE"] {
            let end = if refusal == "* BYE" { "DROP" } else { "EOF" };
            let script = format!(
                "S: * OK [CAPABILITY {greeting}] hello
                 C: T {sent}
                 S: {refusal} not understood: {sent}
                 {end}"
            );
            let script = Script::play(&[&script]);
            let log = Arc::new(std::sync::Mutex::new(String::new()));
            let sink = log.clone();
            let wire_log: mailsync::net::WireLog = Arc::new(move |line| sink.lock().expect("no panic").push_str(line));
            let settings = ImapSettings { wire_log: Some(wire_log), ..settings(script.port) };
            let error = ImapOpener::new(settings, Stop::new()).open().map(drop).expect_err("no login");
            script.finish();
            let told = format!("{error} {error:?} {}", log.lock().expect("no panic"));
            assert!(!told.contains("secret") && !told.contains("AG1lA"), "{told}");
        }
    }
}

#[test]
fn a_mechanism_that_is_not_understood_is_followed_by_the_next() {
    let script = Script::play(&["S: * OK hello
        C: T CAPABILITY
        S: * CAPABILITY IMAP4rev1  AUTH=PLAIN LITERAL+ 
        S: T OK done
        C: T AUTHENTICATE PLAIN
        S: +
        C: AG1lAHNlY3JldA==
        S: T BAD what is that?
        C: T LOGIN \"me\" \"secret\"
        S: * CAPABILITY IMAP4rev1 UNSELECT
        S: T OK in
        C: T LOGOUT
        EOF"]);
    let store: Box<dyn Store> = Box::new(connect(&script));
    // Nobody waits for the answer to LOGOUT, which never comes.
    store.close();
    script.finish();
}

#[test]
fn a_connection_that_was_begun_waits_for_its_login() {
    let script = Script::play(&["S: * OK hello
        C: T CAPABILITY
        S: * CAPABILITY IMAP4rev1
        S: T OK done
        C: T LOGIN \"me\" \"secret\"
        S: T OK [CAPABILITY IMAP4rev1] in
        C: T LOGOUT
        EOF"]);
    let asked = Arc::new(Mutex::new(0));
    let mut settings = settings(script.port);
    let (usual, count) = (settings.login.clone(), asked.clone());
    settings.login = Arc::new(move || {
        *count.lock().expect("no panic") += 1;
        usual()
    });
    let opener = ImapOpener::new(settings, Stop::new());
    opener.begin();
    opener.begin();
    while !script.transcript().contains("S: m1 OK done") {
        std::thread::yield_now();
    }
    assert_eq!(*asked.lock().expect("no panic"), 0);
    let store = opener.open().expect("connected");
    assert_eq!(*asked.lock().expect("no panic"), 1);
    store.close();
    script.finish();
}

#[test]
fn what_fails_in_a_connection_that_was_begun_is_told_when_it_is_opened() {
    let script = Script::play(&["S: * BYE too busy\nDROP", "S: * BYE still too busy\nDROP"]);
    let opener = ImapOpener::new(settings(script.port), Stop::new());
    opener.begin();
    for why in ["too busy", "still too busy"] {
        let error = opener.open().map(drop).expect_err("no connection");
        assert!(error.to_string().contains(why), "{error}");
    }
    script.finish();
}

#[test]
fn a_challenge_that_makes_no_sense_is_cancelled() {
    let error = fails(
        "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN LOGINDISABLED] hello
         C: T AUTHENTICATE PLAIN
         S: + what is your name?
         C: *
         S: T NO cancelled
         EOF",
    );
    assert_eq!(error.kind, Kind::Auth, "{error}");
}

#[test]
fn no_password_is_sent_where_the_server_takes_none() {
    let error = fails("S: * OK [CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=GSSAPI] hello\nEOF");
    assert_eq!((error.kind, error.reach), (Kind::Auth, Reach::Account), "{error}");
}

#[test]
fn capabilities_are_asked_for_after_the_login_where_they_were_not_told() {
    let script = Script::play(&["S: * OK [CAPABILITY IMAP4rev1] hello
        C: T LOGIN \"me\" \"secret\"
        S: T OK in
        C: T CAPABILITY
        S: * CAPABILITY IMAP4rev1 ID
        S: T OK done
        C: T ID (\"name\" \"mailsync\" \"version\" \"*\")
        S: T BAD Parse command error
        C: T LIST \"\" \"\"
        S: * LIST (\\Noselect) \".\" \"\"
        S: T OK done"]);
    let facts = connect(&script).facts().expect("facts");
    assert_eq!(facts.delimiter.as_deref(), Some("."));
    assert!(facts.uses.contains(&("ID".to_owned(), true)) && facts.uses.contains(&("UIDPLUS".to_owned(), false)));
    script.finish();
}

/// A server that lets us in by LOGIN, with these capabilities beside IMAP4rev1.
const LETS_IN: &str = "S: * OK [CAPABILITY IMAP4rev1 ID] hello
    C: a1 LOGIN \"me\" \"secret\"
    S: a1 OK [CAPABILITY IMAP4rev1 ID] in\n";

/// The same up to its answer, with what goes along.
const HEARS_ALL: &str = "S: * OK [CAPABILITY IMAP4rev1 ID] hello
    C: a1 LOGIN \"me\" \"secret\"
    C: m1 ID *
    C: m2 LIST \"\" \"*\"
    C: m3 LSUB \"\" \"*\"\n";

const ASKS: &str = "C: m1 ID *
    C: m2 LIST \"\" \"*\"
    C: m3 LSUB \"\" \"*\"\n";

const LISTS: &str = "S: m1 OK done
    S: * LIST () \"/\" INBOX
    S: m2 OK done
    S: m3 OK done
    C: m4 STATUS \"INBOX\" *
    S: * STATUS INBOX (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 7 UNSEEN 0)
    S: m4 OK done
    C: m5 LOGOUT\n";

/// What an opener of an earlier run remembers of such a server.
fn remembered() -> Noted {
    let script = Script::play(&[LETS_IN]);
    let opener = ImapOpener::new(settings(script.port), Stop::new());
    opener.recall(None);
    drop(opener.connect().expect("connected"));
    script.finish();
    opener.noted().expect("something to remember")
}

/// The names that are listed with what is remembered, and what is to be remembered from then on, if it is something else.
fn listed(noted: &Noted, scripts: &[&str], change: impl FnOnce(&mut ImapSettings)) -> (Vec<String>, Option<Noted>) {
    let script = Script::play(scripts);
    let mut settings = settings(script.port);
    change(&mut settings);
    let opener = ImapOpener::new(settings, Stop::new());
    opener.recall(Some(noted));
    let mut store = Box::new(opener.connect().expect("connected"));
    let names = store.list().expect("listed").into_iter().map(|info| info.name.to_string()).collect();
    store.close();
    script.finish();
    (names, opener.noted())
}

#[test]
fn what_a_server_could_do_the_last_time_is_asked_along_with_the_login() {
    let script = [HEARS_ALL, "S: a1 OK [CAPABILITY IMAP4rev1 ID] in\n", LISTS].concat();
    assert_eq!(listed(&remembered(), &[&script], |_| ()), (vec!["INBOX".to_owned()], None));
}

#[test]
fn nothing_goes_along_with_another_login_or_where_the_user_does_not_want_it() {
    let noted = remembered();
    let plain = [LETS_IN, ASKS, LISTS].concat();
    let changes: [&dyn Fn(&mut ImapSettings); 2] =
        [&|settings| settings.pipeline = 3, &|settings| settings.compress = Compress::On];
    for change in changes {
        assert_eq!(listed(&noted, &[&plain], change), (vec!["INBOX".to_owned()], None));
    }
    let other = "S: * OK [CAPABILITY IMAP4rev1 ID AUTH=PLAIN SASL-IR] hello
        C: a1 AUTHENTICATE PLAIN *
        QUIET 200
        S: a1 OK [CAPABILITY IMAP4rev1 ID] in\n";
    let (names, now) = listed(&noted, &[&[other, ASKS, LISTS].concat()], |_| ());
    assert_eq!(names, ["INBOX"]);
    assert!(now.is_some_and(|now| now != noted), "the mechanism is another one now");
}

#[test]
fn a_server_that_can_do_something_else_now_is_asked_once_more() {
    let script = "S: a1 OK [CAPABILITY IMAP4rev1 ID NAMESPACE] in
        S: m1 OK done
        S: * LIST () \"/\" of-before
        S: m2 OK done
        S: m3 OK done
        C: m4 ID *
        S: m4 OK done
        C: m5 NAMESPACE
        S: m5 OK done
        C: m6 LIST \"\" \"*\"
        S: * LIST () \"/\" INBOX
        S: m6 OK done
        C: m7 LSUB \"\" \"*\"
        S: m7 OK done
        C: T STATUS \"INBOX\" *
        S: * STATUS INBOX (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 7 UNSEEN 0)
        S: T OK done
        C: T LOGOUT";
    let noted = remembered();
    let (names, now) = listed(&noted, &[&[HEARS_ALL, script].concat()], |_| ());
    assert_eq!(names, ["INBOX"]);
    assert!(now.is_some_and(|now| now != noted), "it can do more now");
}

#[test]
fn a_server_that_goes_wrong_over_what_goes_along_is_not_asked_so_for_a_while() {
    let noted = remembered();
    let plain = [LETS_IN, ASKS, LISTS].concat();
    // In one piece: the client is gone with the first line that it can't use.
    for odd in [
        // Threw away what it had read with the login.
        "S: a1 OK [CAPABILITY IMAP4rev1 ID] in\nEOF",
        "S: a1 OK [CAPABILITY IMAP4rev1 ID] in\nDROP",
        // Took it for another login (Cyrus 3.6).
        "R: a1 OK [CAPABILITY IMAP4rev1 ID] in\\r\\na1 BAD Already authenticated\\r\\n\nEOF",
        // Does not say any more what it can do.
        "R: a1 OK in\\r\\nm1 OK done\\r\\nm2 OK done\\r\\nm3 OK done\\r\\n\nEOF",
        "R: a1 BAD too much\\r\\nm1 OK done\\r\\nm2 BAD not now\\r\\nm3 BAD not now\\r\\n\nEOF",
        "S: * BYE too much\nDROP",
    ] {
        let odd = [HEARS_ALL, odd].concat();
        let hurry = |settings: &mut ImapSettings| settings.timeout = Duration::from_secs(1);
        let (names, now) = listed(&noted, &[&odd, &plain], hurry);
        assert_eq!(names, ["INBOX"], "{odd}");
        let resting = now.expect("something new to remember");
        assert_eq!(listed(&resting, &[&plain], |_| ()), (vec!["INBOX".to_owned()], None), "{odd}");
    }
}

#[test]
fn a_password_that_is_wrong_is_sent_once_whatever_goes_along() {
    let noted = remembered();
    let refusal = [HEARS_ALL, "S: a1 NO [AUTHENTICATIONFAILED] wrong\nEOF"].concat();
    let script = Script::play(&[&refusal]);
    let opener = ImapOpener::new(settings(script.port), Stop::new());
    opener.recall(Some(&noted));
    let error = opener.open().map(drop).expect_err("no login");
    script.finish();
    assert_eq!((error.kind, error.reach), (Kind::Auth, Reach::Account), "{error}");
    // What is known of the server holds none the less.
    assert_eq!(opener.noted(), None);
}

#[test]
fn a_capability_that_is_switched_off_is_not_used() {
    let script = Script::play(&["S: * OK [CAPABILITY IMAP4rev1 ID NAMESPACE] hello
        C: T LOGIN \"me\" \"secret\"
        S: T OK [CAPABILITY IMAP4rev1 ID NAMESPACE] in
        C: T NAMESPACE
        S: * NAMESPACE ((\"INBOX.\" \".\")) NIL NIL
        S: T OK done"]);
    let settings = ImapSettings { disable_capabilities: vec!["id".into()], ..settings(script.port) };
    let facts = ImapOpener::new(settings, Stop::new()).connect().expect("connected").facts().expect("facts");
    assert_eq!(facts.namespace.as_deref(), Some("INBOX."));
    script.finish();
}

#[test]
fn a_stop_ends_every_wait() {
    let script = Script::play(&["HANG"]);
    let stop = Stop::new();
    let opener = ImapOpener::new(settings(script.port), stop.clone());
    let waiting = std::thread::spawn(move || opener.open().map(drop).expect_err("stopped"));
    std::thread::sleep(Duration::from_millis(100));
    let begin = Instant::now();
    stop.set();
    assert_eq!(waiting.join().expect("no panic").kind, Kind::Stopped);
    assert!(begin.elapsed() < Duration::from_secs(2));
}

#[test]
fn silence_is_a_matter_of_the_network() {
    let script = Script::play(&["HANG"]);
    let settings = ImapSettings { timeout: Duration::from_millis(300), ..settings(script.port) };
    let error = ImapOpener::new(settings, Stop::new()).open().map(drop).expect_err("no answer");
    assert_eq!((error.kind, error.reach), (Kind::Network, Reach::Connection), "{error}");
}

#[test]
fn silence_on_a_port_that_may_want_tls_at_once_is_told_with_that() {
    let script = Script::play(&["HANG"]);
    let settings = ImapSettings { timeout: Duration::from_millis(300), ..settings(script.port) };
    let error = ImapOpener::new(settings, Stop::new()).open().map(drop).expect_err("no answer");
    assert!(error.hint.as_deref().is_some_and(|hint| hint.contains("tls = \"implicit\"")), "{error}");
}

#[test]
fn a_tunnel_may_be_logged_in_from_the_start() {
    let say = "printf '* PREAUTH [CAPABILITY IMAP4rev1] hi\\r\\n'; read a b c; \
               printf '* LIST () \"/\" \"\"\\r\\n%s OK done\\r\\n' \"$a\"; read a b; printf '%s OK bye\\r\\n' \"$a\"";
    let command = Some(["sh", "-c", say].map(str::to_owned).to_vec());
    let unasked = Arc::new(|| panic!("no password is needed"));
    let settings = ImapSettings { command, login: unasked, ..settings(1) };
    let mut store = ImapOpener::new(settings, Stop::new()).open().expect("connected");
    assert_eq!(store.facts().expect("facts").delimiter.as_deref(), Some("/"));
    store.close();
}

fn odd_password_server() -> (Dovecot, Login) {
    let password = "pä\"ss\\w örd€";
    let users = vec![("ann".to_owned(), password.to_owned())];
    let server = Dovecot::with(dovecot::Options { users, ..dovecot::Options::default() });
    (server, Login { user: "ann".into(), password: Secret::new(password) })
}

#[test]
fn passwords_with_quotes_and_8_bit_letters_log_in_by_every_mechanism() {
    let (server, login) = odd_password_server();
    for (auth, disabled) in [("PLAIN", ""), ("PLAIN", "SASL-IR"), ("LOGIN", ""), ("LOGIN", "LITERAL+")] {
        let login = login.clone();
        let settings = ImapSettings {
            auth: vec![auth.to_owned()],
            disable_capabilities: vec![disabled.to_owned()],
            login: Arc::new(move || Ok(login.clone())),
            ..settings(server.port)
        };
        let mut store = ImapOpener::new(settings, Stop::new()).connect().expect("logged in");
        assert!(store.list().expect("listed").iter().any(|info| info.name.is_inbox()), "{auth} {disabled}");
    }
}

#[test]
fn starttls_and_tls_check_the_certificate() {
    let server = Dovecot::start();
    for (mode, port) in [(TlsMode::StartTls, server.port), (TlsMode::Implicit, server.tls_port)] {
        let mut settings = settings(port);
        let login = || Ok(Login { user: "alice".into(), password: Secret::new("secret-alice") });
        settings.login = Arc::new(login);
        settings.tls.mode = mode;
        let refused = ImapOpener::new(settings.clone(), Stop::new()).open().map(drop).expect_err("not trusted");
        assert_eq!((refused.kind, refused.reach), (Kind::Tls, Reach::Account), "{refused}");
        // It is looked at once more to be shown, behind STARTTLS too.
        let told = refused.to_string();
        assert!(told.contains("it is for ") && told.contains("signed by CN=test-authority"), "{told}");
        assert!(told.contains(&server.sha256.to_lowercase().replace(':', "")[6..]), "{told}");
        let mut with_ca = settings.clone();
        with_ca.tls.ca_file = Some(server.ca_file.clone());
        let mut with_pin = settings.clone();
        with_pin.tls.pins = vec![Pin::parse(&server.sha256).expect("a pin")];
        for settings in [with_ca, with_pin] {
            let mut store = ImapOpener::new(settings, Stop::new()).connect().expect("connected");
            assert_eq!(store.facts().expect("facts").transport.as_deref(), Some("TLS"));
        }
    }
}

#[test]
fn no_secret_gets_into_the_wire_log() {
    let (server, login) = odd_password_server();
    let log = Arc::new(std::sync::Mutex::new(String::new()));
    for auth in ["PLAIN", "LOGIN"] {
        let (login, sink) = (login.clone(), log.clone());
        let settings = ImapSettings {
            auth: vec![auth.to_owned()],
            login: Arc::new(move || Ok(login.clone())),
            wire_log: Some(Arc::new(move |line: &str| sink.lock().expect("no panic").push_str(line))),
            ..settings(server.port)
        };
        ImapOpener::new(settings, Stop::new()).connect().expect("logged in").facts().expect("facts");
    }
    let log = log.lock().expect("no panic");
    assert!(log.contains("NAMESPACE") && !log.contains("rd€") && !log.contains("w6RzcyI"), "{log}");
}
