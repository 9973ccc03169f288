//! Cyrus beside Dovecot: another SASL library, another namespace, other extensions.

mod support;

use support::*;

const PASSWORD: &str = "password_command = [\"sh\", \"-c\", \"echo $SECRET\"]";

fn config(server: &Cyrus, user: &str, keys: &str) -> String {
    format!(
        "[account.main.remote]\nhost = \"localhost\"\nport = {}\nuser = \"{user}\"\nca_file = \"{}\"\n{}\n\n\
         [account.main.local]\npath = \"~/Mail\"\n",
        server.tls_port,
        server.ca_file.display(),
        keys.replace("$SECRET", &format!("secret-{user}")),
    )
}

fn home(server: &Cyrus, user: &str, keys: &str) -> Home {
    let home = Home::new();
    home.config(&config(server, user, keys));
    home
}

#[test]
fn every_mechanism_that_it_has_logs_in() {
    let server = Cyrus::start();
    server.login("alice").append("INBOX", &crlf(&mail("hello")), &[], None);
    for auth in ["scram-sha-256", "scram-sha-1", "cram-md5", "plain", "login"] {
        let home = home(&server, "alice", &format!("auth = \"{auth}\"\n{PASSWORD}"));
        home.mailsync(&["sync", "-d", "imap"]).exits(0).never_says("secret-alice").done();
        assert_eq!(home.maildir().messages("INBOX").len(), 1, "{auth}");
        let wrong = format!("auth = \"{auth}\"\npassword_command = [\"echo\", \"sesame\"]");
        home.config(&config(&server, "alice", &wrong));
        let out = home.mailsync(&["sync", "-d", "imap"]).exits(4).says("hint: check the user name and password");
        out.never_says("sesame").done();
    }
}

/// It binds logins by `tls-unique` only, which is no more since TLS 1.3, and says so when a proof was sent.
#[test]
fn a_login_that_it_cannot_bind_is_done_without() {
    let server = Cyrus::start();
    server.login("alice").append("INBOX", &crlf(&mail("hello")), &[], None);
    let usual = home(&server, "alice", PASSWORD);
    usual
        .mailsync(&["sync", "-d", "imap"])
        .exits(0)
        .says("AUTH=SCRAM-SHA-256-PLUS")
        .says("bad protocol / cancel")
        .done();
    assert_eq!(usual.maildir().messages("INBOX").len(), 1);
    let bound = home(&server, "alice", &format!("auth = \"scram-sha-256-plus\"\n{PASSWORD}"));
    bound.mailsync(&["sync"]).exits(4).says("AUTHENTICATE SCRAM-SHA-256-PLUS").says("leave `auth` out").done();
}

#[test]
fn the_mail_of_another_user_is_opened_to_those_who_may() {
    let server = Cyrus::start();
    server.login("alice").append("INBOX", &crlf(&mail("for alice")), &[], None);
    for auth in ["plain", "scram-sha-256"] {
        let keys = |more: &str| format!("auth = \"{auth}\"\nauthzid = \"alice\"\n{more}");
        let boss = home(&server, "boss", &keys(PASSWORD));
        boss.sync();
        boss.maildir().message("INBOX", "for alice");
        home(&server, "bob", &keys(PASSWORD)).mailsync(&["sync"]).exits(4).done();
    }
}

/// Both of its namespaces: folders beside INBOX, and all of them below it.
#[test]
fn folders_messages_and_flags_travel_both_ways() {
    for (extra, below) in
        [("altnamespace: yes\nunixhierarchysep: yes\n", ""), ("altnamespace: no\nunixhierarchysep: no\n", "INBOX.")]
    {
        let server = Cyrus::with(extra, &[]);
        let there =
            |name: &str| format!("{below}{}", if below.is_empty() { name.to_owned() } else { name.replace('/', ".") });
        let home = home(&server, "alice", &format!("auth = \"plain\"\n{PASSWORD}"));
        let maildir = home.maildir();
        let mut alice = server.login("alice");
        alice.append("INBOX", &crlf(&mail("hello")), &["\\Seen"], None);
        alice.create(&there("Lists"));
        alice.create(&there("Lists/Müller"));
        alice.append(&there("Lists/Müller"), &crlf(&mail("deep")), &["\\Flagged", "$Work"], None);
        maildir.create("Notes");
        maildir.save("Notes", &mail("mine"), "FS", Some(1_333_333_333));
        home.sync();
        assert_eq!(maildir.message("INBOX", "hello").letters, "S");
        let deep = maildir.message("Lists/Müller", "deep");
        assert_eq!(maildir.keywords(&deep), ["$Work"]);
        assert_eq!(alice.message(&there("Notes"), "mine").date, 1_333_333_333);
        home.nothing_to_do();

        // Both sides change.
        alice.append("INBOX", &crlf(&mail("second")), &[], None);
        let uid = alice.message("INBOX", "hello").uid;
        alice.set_flags("INBOX", uid, &["\\Answered"], &["\\Seen"]);
        alice.delete(&there("Notes"), "mine");
        maildir.set_letters(&deep, "RS");
        maildir.deliver("INBOX", &mail("delivered here"));
        home.sync();
        assert_eq!(maildir.message("INBOX", "hello").letters, "R");
        maildir.message("INBOX", "second");
        assert!(maildir.messages("Notes").is_empty());
        let deep = alice.message(&there("Lists/Müller"), "deep");
        assert!(deep.has("\\Seen") && deep.has("\\Answered") && !deep.has("\\Flagged"), "{:?}", deep.flags);
        alice.message("INBOX", "delivered here");
        home.nothing_to_do();

        // A message that goes here goes there, one that is moved is moved, and a renamed folder is not copied.
        maildir.remove(&maildir.message("INBOX", "second"));
        maildir.move_to(&maildir.message("INBOX", "hello"), "Notes");
        alice.rename(&there("Lists/Müller"), &there("Lists/Maier"));
        home.sync();
        assert_eq!(alice.messages("INBOX").len(), 1);
        alice.message(&there("Notes"), "hello");
        maildir.message("Lists/Maier", "deep");
        home.nothing_to_do();
        home.mailsync(&["check"]).exits(0).done();
        home.mailsync(&["info", "-v"]).exits(0).says("Cyrus").says("QRESYNC").done();
    }
}
