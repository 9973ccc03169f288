//! Mechanisms: which is taken, what is said, and what comes after a refusal.

use crate::harness::*;
use crate::support::{Dovecot, Script, dovecot};
use mailsync::mail::{Login, Secret};
use mailsync::net::{Stop, TlsMode, WireLog};
use mailsync::store::imap::{ImapOpener, ImapSettings};
use mailsync::store::{Kind, Opener, Reach, Store, StoreError};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::thread;

const MECHANISMS: &str = "auth_mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256\n";
/// Else every refusal makes the next answer come later.
const PATIENT: &str = "service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}\n";
const PASSWORD: &str = "pä\"ss\\w örd€,=";

fn names(names: &str) -> Vec<String> {
    names.split_whitespace().map(str::to_owned).collect()
}

fn as_user(settings: &mut ImapSettings, user: &'static str, password: &'static str) {
    settings.login = Arc::new(move || Ok(Login { user: user.into(), password: Secret::new(password) }));
}

/// A server with many mechanisms, and how `ann` gets in.
fn server() -> (Dovecot, ImapSettings) {
    let users = vec![("ann".to_owned(), PASSWORD.to_owned())];
    // Anybody may read anybody's mail, who knows this.
    let master = "passdb {\n  driver = static\n  args = password=keys-to-all\n  master = yes\n}\n";
    let extra = format!("{MECHANISMS}{PATIENT}{master}");
    let server = Dovecot::with(dovecot::Options { users, extra, ..dovecot::Options::default() });
    let mut settings = settings(server.port);
    as_user(&mut settings, "ann", PASSWORD);
    (server, settings)
}

fn enter(settings: ImapSettings) -> Result<(), StoreError> {
    let mut store = ImapOpener::new(settings, Stop::new()).connect()?;
    assert!(store.list().expect("listed").iter().any(|info| info.name.is_inbox()));
    Ok(())
}

/// A place for what is said on a line.
fn log() -> (Arc<Mutex<String>>, WireLog) {
    let log = Arc::new(Mutex::new(String::new()));
    let sink = log.clone();
    let wire_log: WireLog = Arc::new(move |line: &str| {
        let mut log = sink.lock().expect("no panic");
        log.push_str(line);
        log.push('\n');
    });
    (log, wire_log)
}

#[test]
fn every_mechanism_lets_in_with_and_without_a_first_response() {
    let (server, settings) = server();
    for auth in ["", "scram-sha-256", "SCRAM-SHA-1", "cram-md5", "plain", "login"] {
        for disabled in ["", "SASL-IR"] {
            let settings =
                ImapSettings { auth: names(auth), disable_capabilities: names(disabled), ..settings.clone() };
            enter(settings).unwrap_or_else(|error| panic!("{auth} without {disabled}: {error}"));
        }
    }
    let mut over_tls = settings.clone();
    over_tls.port = server.tls_port;
    over_tls.tls.mode = TlsMode::Implicit;
    over_tls.tls.ca_file = Some(server.ca_file.clone());
    for auth in ["", "scram-sha-1"] {
        enter(ImapSettings { auth: names(auth), ..over_tls.clone() }).expect("in over TLS");
    }
    let methods: Vec<String> = server.log().lines().filter_map(method).collect();
    let expected = "SCRAM-SHA-256 SCRAM-SHA-256 SCRAM-SHA-256 SCRAM-SHA-256 SCRAM-SHA-1 SCRAM-SHA-1 CRAM-MD5 CRAM-MD5 \
                    PLAIN PLAIN PLAIN PLAIN SCRAM-SHA-256 SCRAM-SHA-1";
    assert_eq!(methods.join(" "), expected);
}

/// The mechanism of a login that the server's log tells of.
fn method(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("Login: user=<").and_then(|(_, rest)| rest.split_once("method="))?;
    rest.split(',').next().map(str::to_owned)
}

#[test]
fn several_connections_log_in_at_once() {
    let (_server, settings) = server();
    let opener = ImapOpener::new(settings, Stop::new());
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| opener.connect().expect("connected").list().expect("listed"));
        }
    });
}

#[test]
fn a_wrong_password_costs_one_try() {
    let (server, settings) = server();
    for (auth, tries) in [("", 1), ("scram-sha-1 plain", 2), ("cram-md5 plain login", 3), ("plain login", 4)] {
        let mut settings = ImapSettings { auth: names(auth), ..settings.clone() };
        as_user(&mut settings, "ann", "sesame");
        let error = enter(settings).expect_err("refused");
        assert_eq!((error.kind, error.reach), (Kind::Auth, Reach::Account), "{error}");
        assert!(error.hint.as_deref().is_some_and(|hint| hint.contains("password")), "{error:?}");
        let refused =
            server.log().lines().filter(|line| line.contains("ann,") && line.contains("assword mismatch")).count();
        assert_eq!(refused, tries, "{auth}: {}", server.log());
    }
}

/// As where a server learnt SCRAM after the passwords had been hashed.
#[test]
fn a_password_that_the_server_keeps_in_another_form_is_sent_where_scram_can_not_know_it() {
    let hashed = "{SHA512-CRYPT}$6$mailsync$LqiTWuz9yGn5cpKLxeUgLX6l80x1q8lq/LboySpxtmpV3os/\
                  wyKyTyC3tcZ/AHgmgYZ7Wc8adGm/BpbwVXHtR1";
    let extra = format!("{MECHANISMS}{PATIENT}passdb {{\n  driver = static\n  args = password={hashed}\n}}\n");
    let server = Dovecot::with(dovecot::Options { extra, ..dovecot::Options::default() });
    let home = server.home("old");
    fs::create_dir_all(&home).expect("a home");
    fs::set_permissions(&home, fs::Permissions::from_mode(0o777)).expect("a home for the server");
    let mut settings = settings(server.port);
    as_user(&mut settings, "old", "secret-old");
    enter(settings.clone()).unwrap_or_else(|error| panic!("{error}\n{}", server.log()));
    as_user(&mut settings, "old", "sesame");
    let error = enter(settings).expect_err("refused");
    assert_eq!(error.kind, Kind::Auth, "{error}");
    let (log, refused) = (server.log(), "assword mismatch");
    assert_eq!(log.lines().filter_map(method).next().as_deref(), Some("PLAIN"), "{log}");
    assert_eq!(log.lines().filter(|line| line.contains("(old,") && line.contains(refused)).count(), 1, "{log}");
}

#[test]
fn somebody_else_s_mail_can_be_wanted() {
    let (server, settings) = server();
    for auth in ["plain", ""] {
        let mut settings = ImapSettings { authzid: Some("ann".into()), auth: names(auth), ..settings.clone() };
        as_user(&mut settings, "boss", "keys-to-all");
        enter(settings).unwrap_or_else(|error| panic!("{auth}: {error}\n{}", server.log()));
    }
    let mut settings = ImapSettings { authzid: Some("ann".into()), auth: names("login cram-md5"), ..settings };
    as_user(&mut settings, "boss", "keys-to-all");
    let error = enter(settings).expect_err("neither can say it");
    assert!(error.to_string().contains("no way to log in"), "{error}");
}

#[test]
fn no_secret_of_any_mechanism_gets_into_the_wire_log() {
    let (_server, settings) = server();
    for auth in ["scram-sha-256", "scram-sha-1", "cram-md5", "plain", "login"] {
        for (password, works) in [(PASSWORD, true), ("sesame-sesame", false)] {
            let (log, wire_log) = log();
            let mut settings = ImapSettings { auth: names(auth), wire_log: Some(wire_log), ..settings.clone() };
            as_user(&mut settings, "ann", password);
            assert_eq!(enter(settings).is_ok(), works, "{auth}");
            let log = log.lock().expect("no panic");
            assert!(log.lines().any(|line| line == "C: <not shown>"), "{log}");
            for form in ["sesame", "rd€", "w6RzcyI", "AGFubg", "c2VzYW1l"] {
                assert!(!log.contains(form), "{auth}: {form} in\n{log}");
            }
        }
    }
}

/// In base64: a user `me` with the token `secret`.
const XOAUTH2: &str = "dXNlcj1tZQFhdXRoPUJlYXJlciBzZWNyZXQBAQ==";

#[test]
fn a_token_is_sent_by_what_the_server_offers() {
    let first = "C: T AUTHENTICATE OAUTHBEARER bixhPW1lLAFob3N0PTEyNy4wLjAuMQFwb3J0P*";
    for (offered, auth, token, steps) in [
        ("SASL-IR AUTH=PLAIN AUTH=XOAUTH2", "", true, format!("C: T AUTHENTICATE XOAUTH2 {XOAUTH2}")),
        ("SASL-IR AUTH=XOAUTH2 AUTH=OAUTHBEARER", "", true, first.to_owned()),
        ("SASL-IR AUTH=XOAUTH2 AUTH=OAUTHBEARER", "xoauth2", false, format!("C: T AUTHENTICATE XOAUTH2 {XOAUTH2}")),
        ("AUTH=XOAUTH2", "Xoauth2", false, format!("C: T AUTHENTICATE XOAUTH2\nS: +\nC: {XOAUTH2}")),
        // Without a token nobody takes a password for one.
        ("SASL-IR AUTH=PLAIN AUTH=XOAUTH2", "", false, "C: T AUTHENTICATE PLAIN AG1lAHNlY3JldA==".to_owned()),
        (
            "SASL-IR AUTH=PLAIN AUTH=XOAUTH2",
            "xoauth2 plain",
            false,
            "C: T AUTHENTICATE PLAIN AG1lAHNlY3JldA==".to_owned(),
        ),
    ] {
        let script = Script::play(&[&format!(
            "S: * OK [CAPABILITY IMAP4rev1 {offered}] hello\n{steps}\nS: T OK [CAPABILITY IMAP4rev1] in\nC: T LOGOUT\nEOF"
        )]);
        let settings = ImapSettings { auth: names(auth), token, ..settings(script.port) };
        ImapOpener::new(settings, Stop::new()).open().expect("logged in").close();
        script.finish();
    }
}

#[test]
fn what_the_server_says_of_a_token_is_told_and_the_token_is_not() {
    // {"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}
    let google = "eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ==";
    // {"status":"invalid_token: secret"}
    let telltale = "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuOiBzZWNyZXQifQ==";
    for (mechanism, error, pity, said) in [
        ("XOAUTH2", google, "", "status 400, scope https://mail.google.com/"),
        ("OAUTHBEARER", google, "AQ==", "status 400, scope https://mail.google.com/"),
        ("OAUTHBEARER", telltale, "AQ==", "<not shown>"),
    ] {
        let script = Script::play(&[&format!(
            "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN AUTH={mechanism}] hello
             C: T AUTHENTICATE {mechanism} *
             S: + {error}
             C: {pity}
             S: T NO SASL authentication failed
             EOF"
        )]);
        let (log, wire_log) = log();
        let settings = ImapSettings { token: true, wire_log: Some(wire_log), ..settings(script.port) };
        let error = ImapOpener::new(settings, Stop::new()).open().map(drop).expect_err("refused");
        script.finish();
        assert_eq!((error.kind, error.reach), (Kind::Auth, Reach::Account), "{error}");
        assert!(error.to_string().contains(said), "{error}");
        assert!(error.hint.as_deref().is_some_and(|hint| hint.contains("token")), "{error:?}");
        let told = format!("{error:?} {}", log.lock().expect("no panic"));
        assert!(!told.contains("secret") && !told.contains("zZWNyZXQ") && !told.contains(telltale), "{told}");
    }
}

#[test]
fn external_asks_for_no_password() {
    for (offered, authzid, steps) in [
        ("SASL-IR", None, "C: T AUTHENTICATE EXTERNAL ="),
        ("SASL-IR", Some("boss"), "C: T AUTHENTICATE EXTERNAL Ym9zcw=="),
        ("", None, "C: T AUTHENTICATE EXTERNAL\nS: +\nC: "),
    ] {
        let script = Script::play(&[&format!(
            "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=EXTERNAL {offered}] hello\n{steps}\n\
             S: T OK [CAPABILITY IMAP4rev1] in\nC: T LOGOUT\nEOF"
        )]);
        let mut settings = ImapSettings { auth: names("external"), ..settings(script.port) };
        settings.authzid = authzid.map(str::to_owned);
        settings.login = Arc::new(|| panic!("no password is needed"));
        ImapOpener::new(settings, Stop::new()).open().expect("logged in").close();
        script.finish();
    }
}

#[test]
fn what_is_refused_before_anything_was_proved_is_followed_by_the_next_and_not_tried_again() {
    let first = "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=SCRAM-SHA-1 AUTH=PLAIN AUTH=SCRAM-SHA-256] hello
        C: T AUTHENTICATE SCRAM-SHA-256 *
        S: T NO [AUTHENTICATIONFAILED] Authentication failed.
        C: T AUTHENTICATE SCRAM-SHA-1 *
        S: T BAD what?
        C: T AUTHENTICATE PLAIN AG1lAHNlY3JldA==
        S: T OK [CAPABILITY IMAP4rev1] in
        C: T LOGOUT
        EOF";
    let second = "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=SCRAM-SHA-1 AUTH=PLAIN AUTH=SCRAM-SHA-256] hello
        C: T AUTHENTICATE PLAIN AG1lAHNlY3JldA==
        S: T OK [CAPABILITY IMAP4rev1] in
        C: T LOGOUT
        EOF";
    let script = Script::play(&[first, second]);
    let opener = ImapOpener::new(settings(script.port), Stop::new());
    for _ in 0..2 {
        opener.open().expect("logged in").close();
    }
    script.finish();
}

#[test]
fn a_mechanism_that_is_offered_and_not_there_is_followed_by_the_next() {
    for refusal in ["NO no mechanism available", "NO [CANNOT] not this one", "BAD Unknown mechanism"] {
        let script = Script::play(&[&format!(
            "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hello
             C: T AUTHENTICATE PLAIN AG1lAHNlY3JldA==
             S: T {refusal}
             C: T LOGIN \"me\" \"secret\"
             S: T OK [CAPABILITY IMAP4rev1] in
             C: T LOGOUT
             EOF"
        )]);
        ImapOpener::new(settings(script.port), Stop::new()).open().expect("logged in").close();
        script.finish();
    }
}

#[test]
fn a_login_that_is_throttled_is_not_repeated() {
    for (refusal, hint) in [
        ("NO [LIMIT] LOGIN Rate limit hit", "pause"),
        ("BAD Too many failed logins", "wait"),
        ("NO [UNAVAILABLE] Maximum number of connections from user+IP exceeded", "connections"),
    ] {
        let script = Script::play(&[&format!(
            "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=SCRAM-SHA-256 AUTH=PLAIN] hello
             C: T AUTHENTICATE SCRAM-SHA-256 *
             S: T {refusal}
             EOF"
        )]);
        let error = ImapOpener::new(settings(script.port), Stop::new()).open().map(drop).expect_err("refused");
        script.finish();
        assert_eq!((error.kind, error.reach), (Kind::Later, Reach::Account), "{error}");
        assert!(error.hint.as_deref().is_some_and(|said| said.contains(hint)), "{error:?}");
    }
}

#[test]
fn a_server_that_asks_without_end_is_left() {
    for auth in ["plain", "xoauth2", "external"] {
        let script = Script::play(&[&format!(
            "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=XOAUTH2 AUTH=EXTERNAL] hello\nC: T AUTHENTICATE *\nR: {}\nHANG",
            "+\\r\\n".repeat(30)
        )]);
        let settings = ImapSettings { auth: names(auth), ..settings(script.port) };
        let error = ImapOpener::new(settings, Stop::new()).open().map(drop).expect_err("left");
        assert!(matches!(error.kind, Kind::Auth | Kind::Protocol), "{error}");
        script.finish();
    }
}

#[test]
fn what_the_server_has_is_told_where_nothing_fits() {
    let script = Script::play(&["S: * OK [CAPABILITY IMAP4rev1 AUTH=GSSAPI AUTH=PLAIN] hello\nEOF"]);
    let settings = ImapSettings { auth: names("SCRAM-SHA-256"), ..settings(script.port) };
    let error = ImapOpener::new(settings, Stop::new()).open().map(drop).expect_err("nothing fits");
    script.finish();
    let said = error.to_string();
    assert!(said.contains("it has GSSAPI, PLAIN, `auth` names SCRAM-SHA-256"), "{said}");
}
