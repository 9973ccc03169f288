//! Getting in: TLS, pins, certificates, and where passwords come from.

use crate::support::dovecot::Options;
use crate::support::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A home whose account reaches the server's port with these further keys of `remote`.
fn home(server: &Dovecot, port: u16, keys: &str) -> Home {
    let home = Home::new();
    home.config(&format!(
        "[account.main.remote]\nhost = \"localhost\"\nport = {port}\nuser = \"alice\"\n{keys}\n\n\
         [account.main.local]\npath = \"~/Mail\"\n"
    ));
    home.netrc(&format!("machine localhost login alice password {}\n", server.password("alice")));
    home
}

fn server() -> Dovecot {
    let server = Dovecot::start();
    server.login("alice").append("INBOX", &crlf(&mail("hello")), &[], None);
    server
}

#[track_caller]
fn gets_in(home: &Home) {
    home.sync();
    assert_eq!(home.maildir().messages("INBOX").len(), 1);
}

#[track_caller]
fn stays_out(home: &Home, code: i32) -> Output {
    let out = home.mailsync(&["sync"]).exits(code).never_says("secret-alice");
    assert!(!home.mail().join("INBOX").exists(), "{out}");
    out
}

#[test]
fn tls_and_starttls_verify_the_certificate_against_ca_file() {
    let server = server();
    let ca = format!("ca_file = \"{}\"", server.ca_file.display());
    gets_in(&home(&server, server.tls_port, &ca));
    gets_in(&home(&server, server.port, &format!("tls = \"starttls\"\n{ca}")));
}

#[test]
fn an_unknown_authority_is_refused_and_no_password_is_sent() {
    let server = server();
    let before = logins(&server);
    stays_out(&home(&server, server.tls_port, ""), 1).says("not trusted").says("ca_file").says("pin").done();
    stays_out(&home(&server, server.port, "tls = \"starttls\""), 1).done();
    assert_eq!(logins(&server), before, "{}", server.log());
}

/// A directory of authorities as `openssl rehash` makes it, which the system's then are.
fn hashed_directory(home: &Home, authority: &Path) -> PathBuf {
    let directory = home.path().join("authorities");
    fs::create_dir_all(&directory).expect("make a directory");
    fs::copy(authority, directory.join("authority.pem")).expect("copy the certificate");
    let out = Command::new("openssl").arg("rehash").arg(&directory).output().expect("openssl is installed");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    directory
}

#[test]
fn an_authority_in_a_hashed_directory_of_the_system_is_trusted() {
    let options = Options { extra: "listen = 127.0.0.1, 127.0.0.2".to_owned(), ..Options::default() };
    let server = Dovecot::with(options);
    server.login("alice").append("INBOX", &crlf(&mail("hello")), &[], None);
    let home = home(&server, server.tls_port, "");
    let directory = hashed_directory(&home, &server.ca_file);
    let out = home.command(&["sync"]).env("SSL_CERT_DIR", &directory).output().expect("runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(home.maildir().messages("INBOX").len(), 1);

    // The name counts there as it does everywhere.
    let config = fs::read_to_string(home.path().join(".config/mailsync/config.toml")).expect("the config");
    home.config(&config.replace("localhost", "127.0.0.2"));
    home.netrc("machine 127.0.0.2 login alice password secret-alice\n");
    let before = logins(&server);
    let out = home.command(&["sync"]).env("SSL_CERT_DIR", &directory).output().expect("runs");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains("the certificate of 127.0.0.2 is not trusted: IP address mismatch"), "{said}");
    assert_eq!(logins(&server), before, "{}", server.log());
}

#[test]
fn the_systems_bundle_is_trusted_where_it_is_named() {
    let server = server();
    let home = home(&server, server.tls_port, "");
    let out = home.command(&["sync"]).env("SSL_CERT_FILE", &server.ca_file).output().expect("runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

fn logins(server: &Dovecot) -> usize {
    server.log().matches("user=<alice>").count()
}

#[test]
fn a_name_that_is_not_in_the_certificate_is_refused() {
    let server = server();
    let home = home(&server, server.tls_port, &format!("ca_file = \"{}\"", server.ca_file.display()));
    let config = fs::read_to_string(home.path().join(".config/mailsync/config.toml")).expect("the config");
    home.config(&config.replace("localhost", "127.0.0.2"));
    home.netrc("machine 127.0.0.2 login alice password secret-alice\n");
    // Nobody listens there, or somebody with the wrong name does.
    stays_out(&home, 1).done();
}

#[test]
fn a_pin_lets_a_certificate_in_and_keeps_others_out() {
    let server = server();
    let wrong = "00".repeat(32);
    for pin in [
        format!("pin = \"sha256:{}\"", server.sha256),
        format!("pin = \"sha1:{}\"", server.sha1),
        format!("pin = [\"sha256:{wrong}\", \"sha256:{}\"]", server.sha256),
    ] {
        gets_in(&home(&server, server.tls_port, &pin));
        gets_in(&home(&server, server.port, &format!("tls = \"starttls\"\n{pin}")));
    }
    let ca = format!("ca_file = \"{}\"", server.ca_file.display());
    let home = home(&server, server.tls_port, &format!("{ca}\npin = \"sha256:{wrong}\""));
    stays_out(&home, 1).says(&server.sha256).done();
}

#[test]
fn plain_text_leaves_this_machine_only_when_it_is_asked_for_twice() {
    let home = Home::new();
    for (keys, host) in [("tls = \"none\"", "imap.example.org"), ("tls = \"none\"", "192.0.2.1")] {
        home.config(&format!(
            "[account.main.remote]\nhost = \"{host}\"\nuser = \"x\"\n{keys}\n[account.main.local]\npath = \"~/Mail\"\n"
        ));
        home.mailsync(&["sync"]).exits(2).says("allow_plaintext").done();
    }
}

#[test]
fn a_wrong_password_ends_with_status_4() {
    let server = server();
    let home = home(&server, server.port, "tls = \"none\"");
    home.netrc("machine localhost login alice password not-the-one\n");
    stays_out(&home, 4).never_says("not-the-one").done();
}

#[test]
fn a_missing_password_says_where_it_looked() {
    let server = server();
    let home = home(&server, server.port, "tls = \"none\"");
    home.netrc("machine other login alice password x\n");
    stays_out(&home, 4).says(".netrc").done();
}

#[test]
fn a_netrc_that_others_can_read_is_refused_with_the_command_that_helps() {
    let server = server();
    let home = home(&server, server.port, "tls = \"none\"");
    let netrc = home.path().join(".netrc");
    fs::set_permissions(&netrc, fs::Permissions::from_mode(0o644)).expect("open it");
    stays_out(&home, 4).says("chmod 600").done();
    fs::set_permissions(&netrc, fs::Permissions::from_mode(0o600)).expect("close it");
    gets_in(&home);
}

#[test]
fn netrc_is_matched_by_host_and_login() {
    let server = server();
    let home = home(&server, server.port, "tls = \"none\"");
    home.netrc(
        "# a comment\r\nmachine localhost login bob password \"secret-bob\"\r\n\
         macdef init\r\nmachine localhost login alice password no\r\n\r\n\
         machine localhost\r\n  login alice\r\n  password \"secret-alice\"\r\ndefault login x password y\r\n",
    );
    gets_in(&home);
}

#[test]
fn the_user_may_be_left_out_where_one_entry_decides() {
    let server = server();
    let home = home(&server, server.port, "tls = \"none\"");
    let config = fs::read_to_string(home.path().join(".config/mailsync/config.toml")).expect("the config");
    home.config(&config.replace("user = \"alice\"\n", ""));
    gets_in(&home);
}

#[test]
fn a_command_or_a_file_gives_the_password() {
    let server = server();
    let home_of = |keys: &str| {
        let home = home(&server, server.port, &format!("tls = \"none\"\n{keys}"));
        fs::remove_file(home.path().join(".netrc")).expect("remove the netrc");
        home
    };
    gets_in(&home_of("password_command = [\"printf\", \"secret-alice\\\\nmore\\\\n\"]"));
    let home = home_of("password_file = \"~/password\"");
    home.write("password", "secret-alice\n", 0o600);
    gets_in(&home);
}

#[test]
fn login_and_authenticate_plain_both_work() {
    let server = server();
    gets_in(&home(&server, server.port, "tls = \"none\"\nauth = [\"LOGIN\"]"));
    gets_in(&home(&server, server.port, "tls = \"none\"\nauth = [\"PLAIN\"]"));
    let bare = Dovecot::bare();
    bare.login("alice").append("INBOX", &crlf(&mail("hello")), &[], None);
    gets_in(&home(&bare, bare.port, "tls = \"none\""));
}

#[test]
fn no_secret_is_in_the_wire_log() {
    let server = server();
    for auth in ["LOGIN", "PLAIN"] {
        let home = home(&server, server.port, &format!("tls = \"none\"\nauth = [\"{auth}\"]"));
        let out = home.mailsync(&["sync", "-v", "-d", "imap"]).exits(0).never_says("secret-alice");
        // base64 of "\0alice\0secret-alice"
        out.never_says("AGFsaWNlAHNlY3JldC1hbGljZQ").done();
    }
}
