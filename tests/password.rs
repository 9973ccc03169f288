//! Every source of passwords with the program as a whole: where it looks, what it says, and that it never says a secret.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use support::{Dovecot, Home, Keyring, Output, Script, Tmux};

/// An account for one server on a plain port, with these keys for its remote side.
fn account(name: &str, port: u16, more: &str) -> String {
    format!(
        "[account.{name}]\nremote = {{ host = \"127.0.0.1\", port = {port}, tls = \"none\", {more} }}\n\
         local = {{ path = \"~/Mail/{name}\" }}\n"
    )
}

fn one_account(home: &Home, more: &str) {
    home.config(&account("main", 1143, more));
}

/// A gpg in `~/bin` that takes note of being started, and then does this.
fn fake_gpg(home: &Home, script: &str) -> String {
    home.write("bin/gpg", &format!("#!/bin/sh\necho \"$*\" >> \"$HOME/gpg-ran\"\n{script}\n"), 0o755);
    format!("{}:{}", home.path().join("bin").display(), std::env::var("PATH").expect("a PATH"))
}

fn ran(home: &Home) -> String {
    std::fs::read_to_string(home.path().join("gpg-ran")).unwrap_or_default()
}

fn entry(user: &str, password: &str) -> String {
    format!("machine 127.0.0.1 login {user} password {password}\n")
}

/// What `mailsync password get main` finds.
fn got(home: &Home, path: &str) -> Output {
    home.mailsync_with(&["password", "get", "main"], &[("PATH", path)], "")
}

#[test]
fn files_are_looked_into_one_after_the_other_and_gpg_is_started_last() {
    let home = Home::new();
    one_account(&home, "user = \"me\"");
    // What stands for encryption here is the rot13 of the file.
    let path = fake_gpg(&home, "for file; do :; done; tr 'a-z' 'n-za-m' < \"$file\"");
    let rot13 = |text: &str| -> String {
        let turn = |c: char| if c.is_ascii_lowercase() { char::from((c as u8 - b'a' + 13) % 26 + b'a') } else { c };
        text.chars().map(turn).collect()
    };
    home.write(".authinfo.gpg", &rot13(&entry("me", "fourth")), 0o644);
    assert_eq!(got(&home, &path).exits(0).stdout, "fourth\n");
    let asked = |name: &str| format!("-q --batch --decrypt {}\n", home.path().join(name).display());
    assert_eq!(ran(&home), asked(".authinfo.gpg"));
    home.write(".netrc.gpg", &rot13(&entry("me", "third")), 0o644);
    assert_eq!(got(&home, &path).exits(0).stdout, "third\n");
    assert_eq!(ran(&home), asked(".authinfo.gpg") + &asked(".netrc.gpg"));
    std::fs::remove_file(home.path().join("gpg-ran")).expect("forget what ran");
    home.write(".authinfo", &format!("{}{}", entry("other", "no"), entry("me", "second")), 0o600);
    assert_eq!(got(&home, &path).exits(0).stdout, "second\n");
    home.write(".netrc", &entry("me", "first"), 0o600);
    assert_eq!(got(&home, &path).exits(0).stdout, "first\n");
    // A file that is named is the only one.
    home.write("named.gpg", &rot13(&entry("other", "no")), 0o600);
    let out = home.mailsync_with(
        &["-o", "account.main.remote.netrc=~/named.gpg", "password", "get", "main"],
        &[("PATH", &path)],
        "",
    );
    let out = out.exits(4).says("~/named.gpg (no entry that fits)").never_says(".authinfo");
    out.says("hint: add to ~/named.gpg (encrypted): machine 127.0.0.1 login me password PASSWORD").done();
    assert_eq!(ran(&home), asked("named.gpg"));
}

#[test]
fn ports_and_logins_are_told_apart_in_authinfo() {
    let home = Home::new();
    let lines = "machine 127.0.0.1 port smtp login me password smtp\n\
                 machine 127.0.0.1 port imap login me password imap\n\
                 machine 127.0.0.1 port imaps login me password imaps\n\
                 machine 127.0.0.1 port 1143 login me password number\n\
                 machine 127.0.0.1 port imaps login you password yours\n";
    home.write(".authinfo", lines, 0o600);
    one_account(&home, "user = \"me\"");
    for (port, password) in [("143", "imap"), ("993", "imaps"), ("1143", "number")] {
        let port = format!("account.main.remote.port={port}");
        assert_eq!(home.mailsync(&["-o", &port, "password", "get", "main"]).exits(0).stdout, format!("{password}\n"));
    }
    let you = ["-o", "account.main.remote.port=993", "-o", "account.main.remote.user=you", "password", "get", "main"];
    assert_eq!(home.mailsync(&you).exits(0).stdout, "yours\n");
}

#[test]
fn what_gpg_fails_at_is_one_clear_line_with_a_hint() {
    let home = Home::new();
    one_account(&home, "user = \"me\"");
    home.write(".netrc.gpg", "not encrypted at all", 0o600);
    let cases = [
        (
            "echo 'gpg: decryption failed: No secret key' >&2; exit 2",
            "No secret key",
            "its passphrase was not given, or none of the keys",
        ),
        (
            "echo 'gpg: public key decryption failed: Operation cancelled' >&2; \
             echo 'gpg: decryption failed: No secret key' >&2; exit 2",
            "Operation cancelled",
            "the passphrase was not given",
        ),
        ("echo 'gpg: Inappropriate ioctl for device' >&2; exit 2", "Inappropriate ioctl", "export GPG_TTY=$(tty)"),
        ("echo 'gpg: something else' >&2; exit 2", "gpg: something else", "gpg -q --batch --decrypt ~/.netrc.gpg"),
        ("exit 2", "exit status: 2", "gpg -q --batch --decrypt ~/.netrc.gpg"),
    ];
    for (script, cause, hint) in cases {
        let out = got(&home, &fake_gpg(&home, script)).exits(4);
        assert_eq!(out.stderr.lines().count(), 2, "{out}");
        let out = out.says("mailsync: main: find the password: ~/.netrc.gpg can't be decrypted: ").says("\nhint: ");
        out.says(cause).says(hint).done();
    }
    // The real one, of which nobody here has the key.
    let path = std::env::var("PATH").expect("a PATH");
    got(&home, &path).exits(4).says("no valid OpenPGP data").says("hint: the file is not encrypted").done();
    // None at all.
    home.write("empty/none", "", 0o600);
    let out = got(&home, &home.path().join("empty").display().to_string()).exits(4);
    out.says("there is no program gpg").says("hint: install GnuPG").done();
}

#[test]
fn a_gpg_that_hangs_is_stopped() {
    let home = Home::new();
    one_account(&home, "user = \"me\"");
    home.write(".netrc.gpg", "x", 0o600);
    let path = fake_gpg(&home, "sleep 1000");
    let more = [("PATH", path.as_str()), ("MAILSYNC_PASSWORD_TIMEOUT", "1")];
    let out = home.mailsync_with(&["password", "get", "main"], &more, "").exits(4);
    out.says("~/.netrc.gpg can't be decrypted: gpg gave no answer within 4 s and was stopped").done();
}

#[test]
fn gpg_is_asked_once_for_all_accounts() {
    let (server, home) = (Dovecot::start(), Home::new());
    let accounts = ["a", "b", "c"].map(|name| account(name, server.port, "user = \"alice\""));
    home.config(&accounts.concat());
    home.write(".netrc.gpg", "x", 0o600);
    for (script, code, complaints) in [
        ("echo 'gpg: decryption failed: Operation cancelled' >&2; exit 2", 4, 3),
        ("echo machine 127.0.0.1 login alice password secret-alice", 0, 0),
    ] {
        let path = fake_gpg(&home, script);
        let out = home.mailsync_with(&["sync"], &[("PATH", &path)], "").exits(code);
        assert_eq!(out.stderr.matches("Operation cancelled").count(), complaints, "{out}");
        assert_eq!(ran(&home).lines().count(), 1, "{}", ran(&home));
        std::fs::remove_file(home.path().join("gpg-ran")).expect("forget what ran");
    }
}

/// Makes a key with this passphrase, if there is none yet, and encrypts to it.
fn encrypted(home: &Home, name: &str, text: &str, passphrase: &str) {
    home.write("clear", text, 0o600);
    let gpg = |args: &[&str]| {
        let mut command = Command::new("gpg");
        home.surround(&mut command);
        let out = command.args(["-q", "--batch", "--yes"]).args(args).output().expect("install gpg: tests/run does it");
        assert!(out.status.success(), "gpg: {}", String::from_utf8_lossy(&out.stderr));
    };
    let keys = home.path().join(".gnupg");
    if !keys.exists() {
        std::fs::create_dir(&keys).expect("a directory for keys");
        std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o700)).expect("close it");
        home.write(".gnupg/gpg-agent.conf", "pinentry-program /usr/bin/pinentry-curses\n", 0o600);
        let key = ["--quick-gen-key", "me@example.org", "future-default", "default", "never"];
        gpg(&[&["--pinentry-mode", "loopback", "--passphrase", passphrase], &key[..]].concat());
    }
    gpg(&["-r", "me@example.org", "-o", &home.path().join(name).display().to_string(), "-e", "clear"]);
    std::fs::remove_file(home.path().join("clear")).expect("remove the clear text");
}

/// Ends the agent that gpg has started for a home.
struct Agent<'a>(&'a Home);

impl Agent<'_> {
    fn end(&self) {
        let mut command = Command::new("gpgconf");
        self.0.surround(&mut command);
        // Without one there is nothing to end.
        let _ = command.args(["--kill", "all"]).output();
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

#[test]
fn a_passphrase_is_asked_for_on_the_terminal() {
    let (server, home) = (Dovecot::start(), Home::new());
    let agent = Agent(&home);
    home.config(&account("main", server.port, "user = \"alice\""));
    encrypted(&home, ".netrc.gpg", &entry("alice", "secret-alice"), "open sesame");
    // It knows the passphrase of what it has made.
    agent.end();
    let program = env!("CARGO_BIN_EXE_mailsync");
    let sync = |keys: &[&str]| {
        let command = format!("export GPG_TTY=$(tty); '{program}' -vv sync; echo ended with $?; read line");
        let terminal = Tmux::start(&home, &command);
        terminal.wait_for("Passphrase");
        terminal.keys(keys);
        let screen = terminal.wait_for("ended with ");
        terminal.enter_and_end();
        screen
    };
    let screen = sync(&["Tab", "Tab", "Enter"]);
    assert!(screen.contains("ended with 4"), "{screen}");
    assert!(screen.contains("~/.netrc.gpg can't be decrypted: "), "{screen}");
    assert!(screen.contains("passphrase was not given"), "{screen}");
    let screen = sync(&["open sesame", "Enter"]);
    assert!(screen.contains("ended with 0"), "{screen}");
    assert!(!screen.contains("sesame") && !screen.contains("secret-alice"), "{screen}");
    // Now the agent knows it, and no terminal is needed.
    home.mailsync(&["sync"]).exits(0).done();
}

#[test]
fn the_environment_is_a_source() {
    let home = Home::new();
    one_account(&home, "user = \"me\", password_env = \"MAIL_PW\"");
    let get = |more: &[(&str, &str)]| home.mailsync_with(&["password", "get", "main"], more, "");
    assert_eq!(get(&[("MAIL_PW", " p w#\"")]).exits(0).stdout, " p w#\"\n");
    get(&[]).exits(4).says("password_env: the variable MAIL_PW is not set").says("hint: export MAIL_PW").done();
    get(&[("MAIL_PW", "")]).exits(4).says("password_env: the variable MAIL_PW is empty").done();
}

#[test]
fn a_credential_of_systemd_is_a_file() {
    let home = Home::new();
    one_account(&home, "user = \"me\", password_file = \"${CREDENTIALS_DIRECTORY}/imap\"");
    home.write("credentials/imap", "sesame\n", 0o440);
    let dir = home.path().join("credentials").display().to_string();
    let get = |more: &[(&str, &str)]| home.mailsync_with(&["password", "get", "main"], more, "");
    assert_eq!(get(&[("CREDENTIALS_DIRECTORY", &dir)]).exits(0).stdout, "sesame\n");
    get(&[]).exits(2).says("the environment has no variable `CREDENTIALS_DIRECTORY`").done();
    home.write("credentials/imap", "sesame\n", 0o444);
    get(&[("CREDENTIALS_DIRECTORY", &dir)]).exits(4).says("can be used by group or others (mode 444)").done();
}

#[test]
fn a_command_that_hangs_or_fails_costs_only_its_account() {
    let server = Dovecot::start();
    for (command, said) in [
        ("[\"sleep\", \"1000\"]", "password_command: sleep gave no answer within 1 s and was stopped"),
        ("[\"sh\", \"-c\", \"echo locked >&2; exit 1\"]", "password_command: sh failed (exit status: 1): locked"),
    ] {
        let home = Home::new();
        home.config(
            &(account("bad", server.port, &format!("user = \"bob\", password_command = {command}"))
                + &account("good", server.port, "user = \"alice\", password_command = [\"echo\", \"secret-alice\"]")),
        );
        let out = home.mailsync_with(&["sync"], &[("MAILSYNC_PASSWORD_TIMEOUT", "1")], "").exits(4).says(said);
        assert!(out.stderr.contains("mailsync: bad: 127.0.0.1: log in: "), "{out}");
        assert!(home.path().join("Mail/good/INBOX/cur").is_dir(), "the other account was not synced\n{out}");
        assert!(!home.path().join("Mail/bad").exists(), "{out}");
    }
}

#[test]
fn what_gpg_or_a_keyring_waits_for_holds_up_no_other_account() {
    let (server, home) = (Dovecot::start(), Home::new());
    let good = account("good", server.port, "user = \"alice\", password_command = [\"echo\", \"secret-alice\"]");
    home.config(&(account("bad", server.port, "user = \"bob\", netrc = \"~/x.gpg\"") + &good));
    home.write("x.gpg", "x", 0o600);
    // It goes on once the other account is there.
    let path = fake_gpg(&home, "until [ -d \"$HOME/Mail/good/INBOX/cur\" ]; do sleep 0.1; done; exit 2");
    let out = home.mailsync_with(&["sync"], &[("PATH", &path)], "").exits(4);
    out.says("mailsync: bad: 127.0.0.1: log in: ~/x.gpg can't be decrypted").says("exit status: 2").done();
}

/// An account for each source but the prompt, all of which have this password; what the program's environment needs.
fn every_source(home: &Home, server: &Dovecot, keyring: &Keyring, password: &str) -> Vec<(String, String)> {
    home.write("file.password", &format!("{password}\n"), 0o600);
    home.write("clear.netrc", &format!("\n{}", entry("alice", password)), 0o600);
    encrypted(home, "secret.gpg", &entry("alice", password), "");
    let command = home.write("say", &format!("#!/bin/sh\necho '{password}'; echo '{password}' >&2\n"), 0o700);
    let sources = [
        ("inline", format!("password = \"{password}\"")),
        ("command", format!("password_command = [\"{}\"]", command.display())),
        ("file", "password_file = \"~/file.password\"".to_owned()),
        ("env", "password_env = \"MAIL_PW\"".to_owned()),
        ("netrc", "netrc = \"~/clear.netrc\"".to_owned()),
        ("gpg", "netrc = \"~/secret.gpg\"".to_owned()),
        ("keyring", "keyring = true".to_owned()),
    ];
    let accounts = sources.map(|(name, keys)| account(name, server.port, &format!("user = \"alice\", {keys}")));
    home.config(&format!("[general]\nmax_sync_accounts = 8\n{}", accounts.concat()));
    keyring.secret_tool(&["clear", "service", "mailsync", "host", "127.0.0.1", "user", "alice"], "");
    let more =
        vec![("MAIL_PW".to_owned(), password.to_owned()), ("DBUS_SESSION_BUS_ADDRESS".to_owned(), keyring.address())];
    let out = home.mailsync_with(&["password", "set", "keyring"], &borrowed(&more), &format!("{password}\n")).exits(0);
    out.says("stored in the keyring (service mailsync host 127.0.0.1 user alice)").never_says(password).done();
    more
}

fn borrowed(more: &[(String, String)]) -> Vec<(&str, &str)> {
    more.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// What is said of each source.
const ORIGINS: [(&str, &str); 7] = [
    ("inline", "the config"),
    ("command", "password_command ~/say"),
    ("file", "password_file ~/file.password"),
    ("env", "the environment's MAIL_PW"),
    ("netrc", "~/clear.netrc line 2"),
    ("gpg", "~/secret.gpg line 1"),
    ("keyring", "the keyring"),
];

/// The forms in which a secret could show: itself, and what SASL PLAIN makes of it.
fn hides(out: &Output, password: &str) {
    let mut base64 = Command::new("sh");
    base64.args(["-c", &format!("printf '\\0alice\\0{password}' | base64")]);
    let base64 = String::from_utf8(base64.output().expect("run base64").stdout).expect("ASCII");
    for form in [password, base64.trim()] {
        out.clone().never_says(form).done();
    }
}

#[test]
fn every_source_is_named_and_its_secret_never_shown() {
    let (server, keyring, home) = (Dovecot::start(), Keyring::start(), Home::new());
    let _agent = Agent(&home);
    for (password, ends, code) in [("secret-alice", "in step", 0), ("wrong-sesame", "AUTHENTICATIONFAILED", 4)] {
        let more = every_source(&home, &server, &keyring, password);
        let more = borrowed(&more);
        let sync = home.mailsync_with(&["-vv", "-d", "imap,maildir,state,sync", "sync"], &more, "").exits(code);
        let info = home.mailsync_with(&["-vv", "info"], &more, "").exits(code);
        let json = home.mailsync_with(&["-vv", "info", "--json"], &more, "").exits(code);
        for out in [&sync, &info, &json] {
            hides(out, password);
        }
        sync.clone().says(ends).done();
        let told: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
        for (name, origin) in ORIGINS {
            info.clone().says(&format!("          password from {origin}\n")).done();
            let accounts = told["accounts"].as_array().expect("a list");
            let found = accounts.iter().find(|account| account["account"] == name).expect("the account");
            assert_eq!(found["remote"]["password_from"], origin, "{name}");
            assert!(found["local"]["password_from"].is_null());
            let failed = sync.stderr.lines().any(|line| {
                line.starts_with(&format!("mailsync: {name}: ")) && line.contains(&format!(" (password from {origin})"))
            });
            assert_eq!(failed, code == 4, "{name}\n{sync}");
        }
    }
}

#[test]
fn info_names_a_source_without_asking_it_where_nobody_logs_in() {
    let home = Home::new();
    let server = Script::play(&["S: * BYE no\nDROP"]);
    let marker = home.path().join("ran");
    home.config(&account(
        "main",
        server.port,
        &format!("user = \"me\", password_command = [\"touch\", \"{}\"]", marker.display()),
    ));
    let out = home.mailsync(&["info"]).exits(1);
    out.says("          password from password_command touch\n").done();
    assert!(!marker.exists(), "the command was run");
    server.finish();
}

#[test]
fn the_keyring_is_set_read_and_forgotten() {
    let (home, keyring) = (Home::new(), Keyring::start());
    one_account(&home, "user = \"me\", keyring = true");
    let address = keyring.address();
    let more = [("DBUS_SESSION_BUS_ADDRESS", address.as_str())];
    let password = |action: &str, input: &str| home.mailsync_with(&["password", action, "main"], &more, input);
    let attributes = ["service", "mailsync", "host", "127.0.0.1", "user", "me"];
    let tool = |words: &[&str], input: &str| keyring.secret_tool(&[words, &attributes].concat(), input);

    let out = password("get", "").exits(4);
    let out =
        out.says("no password for me on 127.0.0.1; the keyring has none (service mailsync host 127.0.0.1 user me)");
    out.says("hint: store it there: mailsync password set ACCOUNT").done();
    password("forget", "").exits(0).says("the keyring had none").done();

    password("set", "pass wörd\nmore\n").exits(0).says("stored in the keyring").done();
    assert_eq!(tool(&["lookup"], "").0, "pass wörd");
    assert_eq!(password("get", "").exits(0).stdout, "pass wörd\n");
    password("set", "second\n").exits(0).done();
    assert_eq!(password("get", "").exits(0).stdout, "second\n");
    password("forget", "").exits(0).says("removed from the keyring").done();
    assert!(!tool(&["lookup"], "").1);

    // What secret-tool stores has an attribute more.
    assert!(tool(&["store", "--label=mail"], "third").1);
    assert_eq!(password("get", "").exits(0).stdout, "third\n");
    password("set", "fourth\n").exits(0).done();
    assert_eq!(tool(&["lookup"], "").0, "fourth");
    assert_eq!(password("get", "").exits(0).stdout, "fourth\n");
    password("set", "\n").exits(4).says("standard input has an empty first line").done();

    // Stored for what does not look there: said.
    let unused = ["-o", "account.main.remote.keyring=false", "password", "set", "main"];
    home.mailsync_with(&unused, &more, "fifth\n").exits(0).says("the config does not say `keyring = true`").done();
}

#[test]
fn a_keyring_that_is_locked_or_not_there_is_a_clear_error() {
    let home = Home::new();
    one_account(&home, "user = \"me\", keyring = true");
    let get = |more: &[(&str, &str)]| home.mailsync_with(&["password", "get", "main"], more, "").exits(4);
    let out = get(&[]).says("the keyring can't be reached: ").says("DBUS_SESSION_BUS_ADDRESS");
    out.says("hint: a Secret Service").done();
    let none = Keyring::without_service();
    let address = none.address();
    get(&[("DBUS_SESSION_BUS_ADDRESS", &address)]).says("the keyring can't be reached: ").done();
    let locked = Keyring::start();
    let address = locked.address();
    let more = [("DBUS_SESSION_BUS_ADDRESS", address.as_str())];
    home.mailsync_with(&["password", "set", "main"], &more, "sesame\n").exits(0).done();
    locked.lock();
    let more = [more[0], ("MAILSYNC_PASSWORD_TIMEOUT", "1")];
    get(&more).says("hint: ").never_says("sesame").done();
}

#[test]
fn what_is_typed_is_stored_once_the_server_took_it() {
    let (server, keyring, home) = (Dovecot::start(), Keyring::start(), Home::new());
    home.config(&account("main", server.port, "user = \"alice\", keyring = true"));
    let lookup = ["lookup", "service", "mailsync", "host", "127.0.0.1", "user", "alice"];
    let sync = |password: &str, offer: &str, answer: &str| {
        let command = format!(
            "DBUS_SESSION_BUS_ADDRESS='{}' '{}' {} sync; echo ended with $?; read line",
            keyring.address(),
            env!("CARGO_BIN_EXE_mailsync"),
            // Where all that is said has to fit on the screen, less is.
            if offer == "[Y/n]" { "-vv" } else { "" },
        );
        let terminal = Tmux::start(&home, &command);
        terminal.wait_for("Password of alice on 127.0.0.1:");
        terminal.keys(&[password, "Enter"]);
        terminal.wait_for(&format!("Store it in the keyring? {offer}"));
        terminal.keys(&[answer, "Enter"]);
        let screen = terminal.wait_for("ended with ");
        assert!(!screen.contains(password), "{screen}");
        terminal.enter_and_end();
        screen
    };
    assert!(sync("not-hers", "[Y/n]", "y").contains("ended with 4"));
    assert!(!keyring.secret_tool(&lookup, "").1, "a wrong password was stored");
    assert!(sync("secret-alice", "[Y/n]", "n").contains("ended with 0"));
    assert!(!keyring.secret_tool(&lookup, "").1, "it was stored against the user's will");
    assert!(sync("secret-alice", "[Y/n]", "").contains("ended with 0"));
    assert_eq!(keyring.secret_tool(&lookup, "").0, "secret-alice");
    // Where the config names no keyring, it is offered and said what is missing.
    keyring.secret_tool(&["clear", "service", "mailsync"], "");
    home.config(&account("main", server.port, "user = \"alice\""));
    assert!(sync("secret-alice", "[y/N]", "").contains("ended with 0"));
    assert!(!keyring.secret_tool(&lookup, "").1, "nobody wanted it to be stored");
    let screen = sync("secret-alice", "[y/N]", "y");
    assert!(screen.contains("to use it, say keyring = true"), "{screen}");
    assert_eq!(keyring.secret_tool(&lookup, "").0, "secret-alice");
    home.config(&account("main", server.port, "user = \"alice\", keyring = true"));
    let address = keyring.address();
    home.mailsync_with(&["sync"], &[("DBUS_SESSION_BUS_ADDRESS", &address)], "").exits(0).done();
}

#[test]
fn one_way_to_a_password_is_named() {
    let home = Home::new();
    for (keys, said) in [
        ("user = \"me\", keyring = true, password_env = \"X\"", "`keyring` beside `password_env`: one of them only"),
        ("user = \"me\", password_env = \"a=b\"", "`password_env` must be the name of a variable"),
        ("user = \"me\", password_env = \"\"", "`password_env` is empty"),
        ("keyring = true", "`user` may be left out only where the password comes from netrc"),
        ("user = \"me\", keyring = 1", "`keyring` must be true or false"),
    ] {
        one_account(&home, keys);
        home.mailsync(&["info"]).exits(2).says(said).done();
    }
    home.config(
        "[account.main]\nremote = { command = [\"x\"], user = \"me\", keyring = true }\nlocal = { path = \"~/M\" }\n",
    );
    home.mailsync(&["info"]).exits(2).says("`keyring` needs `host`").done();
    one_account(&home, "user = \"me\", keyring = false, password_env = \"X\"");
    home.mailsync_with(&["password", "get", "main"], &[("X", "y")], "").exits(0).says("y\n").done();
    home.config(
        "[account.main]\nremote = { host = \"h\", user = \"u\", password = \"there\" }\n\
         local = { type = \"imap\", host = \"i\", user = \"v\", password = \"here\" }\n",
    );
    assert_eq!(home.mailsync(&["password", "get", "main"]).exits(0).stdout, "there\n");
    assert_eq!(home.mailsync(&["password", "get", "--local", "main"]).exits(0).stdout, "here\n");
    one_account(&home, "user = \"me\"");
    home.mailsync(&["password", "get", "mian"]).exits(2).says("hint: did you mean `main`?").done();
    home.mailsync(&["password", "get", "main", "--local"])
        .exits(2)
        .says("the local side of `main` is a Maildir")
        .done();
}
