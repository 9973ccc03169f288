//! Where passwords come from, and what is said where there is none.

mod support;

use mailsync::mail::{Login, Secret};
use mailsync::secret::{Context, Decrypted, SecretError, Source, Spec, TIMEOUT, resolve};
use std::cell::RefCell;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use support::Home;

fn spec(home: &Home, user: Option<&str>, source: Source) -> Spec {
    Spec {
        host: "imap.example.org".to_owned(),
        port: 993,
        user: user.map(str::to_owned),
        source,
        netrc: Some(home.path().join("netrc")),
    }
}

/// A cause and a hint.
type Failure = (String, String);

/// The login and where it came from, or what is said and hinted at; and the notes.
fn traced(spec: &Spec) -> (Result<(Login, String), Failure>, Vec<String>) {
    let notes = RefCell::new(Vec::new());
    let note = |text| notes.borrow_mut().push(text);
    let decrypted = &Decrypted::default();
    let context =
        Context { refused: None, prompt: false, timeout: TIMEOUT, decrypted, note: &note, cancelled: &|| false };
    let found = resolve(spec, &context).map(|found| (found.login, found.origin.to_string()));
    let found = found.map_err(|err| match err {
        SecretError::Cancelled => panic!("nobody cancelled"),
        SecretError::Failed { cause, hint } => (cause, hint.unwrap_or_default()),
    });
    (found, notes.into_inner())
}

fn found(spec: &Spec) -> (Result<Login, Failure>, Vec<String>) {
    let (found, notes) = traced(spec);
    (found.map(|(login, _)| login), notes)
}

fn login(user: &str, password: &str) -> Login {
    Login { user: user.to_owned(), password: Secret::new(password) }
}

#[test]
fn what_the_config_says_comes_before_netrc() {
    let home = Home::new();
    home.write("netrc", "machine imap.example.org login me password netrc\n", 0o600);
    let file = home.write("password", "file\nnot this\n", 0o600);
    let command = ["sh", "-c", "echo command"].map(str::to_owned).to_vec();
    let shown = |name: &str| home.path().join(name).display().to_string();
    for (source, password, origin) in [
        (Source::Given(Secret::new("config")), "config", "the config".to_owned()),
        (Source::Command(command), "command", "password_command sh".to_owned()),
        (Source::File(file), "file", format!("password_file {}", shown("password"))),
        (Source::Unsaid, "netrc", format!("{} line 1", shown("netrc"))),
    ] {
        assert_eq!(traced(&spec(&home, Some("me"), source)).0, Ok((login("me", password), origin)));
    }
}

#[test]
fn the_user_may_be_left_out_where_one_entry_decides() {
    let home = Home::new();
    home.write("netrc", "machine imap.example.org login me password \"p w\"\ndefault login x password y\n", 0o600);
    assert_eq!(found(&spec(&home, None, Source::Unsaid)).0, Ok(login("me", "p w")));
    home.write(
        "netrc",
        "machine imap.example.org login a password sesame1\nmachine imap.example.org login b password sesame2\n",
        0o600,
    );
    let (cause, hint) = found(&spec(&home, None, Source::Unsaid)).0.expect_err("two logins");
    let netrc = home.path().join("netrc");
    assert_eq!(cause, format!("{} has several logins for imap.example.org: a, b", netrc.display()));
    assert_eq!(hint, "choose one: set `user` in the config");
    assert_eq!(found(&spec(&home, Some("b"), Source::Unsaid)).0, Ok(login("b", "sesame2")));
}

#[test]
fn a_netrc_that_others_can_read_is_refused_with_the_command_to_type() {
    let home = Home::new();
    let netrc = home.write("netrc", "machine imap.example.org login me password sesame\n", 0o644);
    let (cause, hint) = found(&spec(&home, Some("me"), Source::Unsaid)).0.expect_err("an open file");
    assert_eq!(cause, format!("{} can be used by group or others (mode 644)", netrc.display()));
    assert_eq!(hint, format!("chmod 600 {}", netrc.display()));
    std::fs::set_permissions(&netrc, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    assert!(found(&spec(&home, Some("me"), Source::Unsaid)).0.is_ok());
}

#[test]
fn a_missing_password_says_where_it_was_looked_for_and_what_to_write_where() {
    let home = Home::new();
    let netrc = home.path().join("netrc");
    let (cause, hint) = found(&spec(&home, Some("me@example.org"), Source::Unsaid)).0.expect_err("no file");
    let start = format!(
        "no password for me@example.org on imap.example.org; looked in: the config (no password, password_command, \
         password_file, password_env or keyring), {} (no such file), ",
        netrc.display()
    );
    assert!(cause.starts_with(&start), "{cause}");
    assert_eq!(
        hint,
        format!(
            "add to {} (mode 600): machine imap.example.org login me@example.org password PASSWORD",
            netrc.display()
        )
    );
    home.write("netrc", "machine other login me password x\n", 0o600);
    let (cause, _) = found(&spec(&home, Some("me"), Source::Unsaid)).0.expect_err("no entry");
    assert!(cause.contains("netrc (no entry that fits), "), "{cause}");
    home.write("netrc", "\nmachine imap.example.org login me\n", 0o600);
    let (cause, hint) = found(&spec(&home, Some("m e"), Source::Unsaid)).0.expect_err("no entry");
    assert!(cause.contains("netrc (no entry that fits), "), "{cause}");
    assert!(hint.contains("login \"m e\" password"), "{hint}");
    let (cause, _) = found(&spec(&home, Some("me"), Source::Unsaid)).0.expect_err("no password");
    assert!(cause.contains("netrc (the entry in line 2 has no password), "), "{cause}");
}

#[test]
fn odd_words_in_netrc_are_noted_by_line_without_being_said() {
    let home = Home::new();
    home.write("netrc", "machine imap.example.org login me\npassword my sesame\n", 0o600);
    let (found, notes) = found(&spec(&home, Some("me"), Source::Unsaid));
    assert_eq!(found, Ok(login("me", "my")));
    assert_eq!(notes.len(), 1);
    assert!(notes[0].contains("netrc:2: an unknown word"), "{notes:?}");
    assert!(!notes[0].contains("sesame"));
}

#[test]
fn a_netrc_that_is_no_file_is_an_error_and_no_panic() {
    let home = Home::new();
    let mut spec = spec(&home, Some("me"), Source::Unsaid);
    spec.netrc = Some(Path::new("/dev").to_owned());
    assert!(found(&spec).0.is_err());
    home.write("netrc", "", 0o600);
    std::fs::write(home.path().join("netrc"), (0..=255u8).cycle().take(5000).collect::<Vec<_>>()).expect("written");
    spec.netrc = Some(home.path().join("netrc"));
    assert!(found(&spec).0.is_err());
}
