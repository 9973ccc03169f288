//! What `info` shows of made-up surveys.

use mailsync::cli::End;
use mailsync::cli::info::{end, render, render_json};
use mailsync::mail::{FolderName, Role, Sides};
use mailsync::store::{Kind, Reach, StoreError, StoreFacts};
use mailsync::sync::survey::{Row, Survey};
use mailsync::sync::trash::Fate;

fn row(remote: Option<&str>, local: Option<&str>, remote_there: bool, local_there: bool) -> Row {
    Row {
        names: Sides::new(local, remote).map(|name| name.map(|name| FolderName::parse(name).unwrap())),
        exists: Sides::new(local_there, remote_there),
        selectable: true,
        role: None,
        subscribed: Some(true),
        selected: true,
        rule: "no rule".to_owned(),
        messages: Sides::new(local_there.then_some(12), remote_there.then_some(12)),
        unseen: Sides::new(local_there.then_some(0), remote_there.then_some(2)),
        problem: None,
    }
}

fn server() -> StoreFacts {
    let names = ["IDLE", "CONDSTORE", "QRESYNC", "UIDPLUS", "MOVE", "LITERAL+", "MULTIAPPEND", "LIST-STATUS"];
    let more = ["SPECIAL-USE", "NAMESPACE", "ENABLE", "SASL-IR"];
    let mut uses: Vec<(String, bool)> = names.iter().chain(&more).map(|name| ((*name).to_owned(), true)).collect();
    uses.push(("COMPRESS=DEFLATE".to_owned(), false));
    StoreFacts {
        software: Some("Dovecot".to_owned()),
        uses,
        delimiter: Some("/".to_owned()),
        namespace: Some(String::new()),
        transport: Some("TLSv1.3".to_owned()),
    }
}

fn healthy() -> Survey {
    let local = StoreFacts { software: Some("Maildir, nested directories".to_owned()), ..StoreFacts::default() };
    let mut folders = vec![
        Row { role: Some(Role::Inbox), ..row(Some("INBOX"), Some("INBOX"), true, true) },
        row(Some("Entwürfe/日本"), Some("entwürfe/日本"), true, true),
        row(Some("New"), Some("new"), true, false),
        Row { subscribed: None, ..row(Some("Work/Notes"), Some("work/notes"), false, true) },
    ];
    folders.push(Row {
        role: Some(Role::All),
        selected: false,
        rule: "default: role:all".to_owned(),
        subscribed: Some(false),
        messages: Sides::new(None, Some(123_456)),
        unseen: Sides::new(None, Some(789)),
        ..row(Some("[Gmail]/All Mail"), Some("bak/all_mail"), true, false)
    });
    folders.push(Row {
        selectable: false,
        selected: false,
        messages: Sides::new(None, None),
        ..row(Some("[Gmail]"), Some("bak"), true, false)
    });
    folders.push(Row {
        rule: "include \"Lists/*\"".to_owned(),
        ..row(Some("Lists/a name that is much too long for its column"), Some("lists/a"), true, false)
    });
    Survey {
        account: "main".to_owned(),
        places: Sides::new("~/Mail".to_owned(), "imap.example.org".to_owned()),
        facts: Sides::new(Ok(local), Ok(server())),
        passwords: Sides::new(None, Some("~/.netrc line 3".to_owned())),
        fates: Sides::default(),
        folders,
        problems: Vec::new(),
    }
}

fn failing(kind: Kind) -> Survey {
    let error = StoreError::new(Reach::Account, kind, "log in", "wrong password").with_hint("look into ~/.netrc");
    Survey { facts: Sides::new(Ok(StoreFacts::default()), Err(error)), folders: Vec::new(), ..healthy() }
}

fn text(surveys: &[Survey]) -> String {
    let mut out = Vec::new();
    render(surveys, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn json(surveys: &[Survey]) -> String {
    let mut out = Vec::new();
    render_json(surveys, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_trash_in_force_is_shown() {
    let name = FolderName::parse("Deleted Items").unwrap();
    let trash = Fate::MovedTo { wire: b"Deleted Items".to_vec(), name, generation: None };
    let survey = Survey { fates: Sides::new(Fate::Removed, trash), ..healthy() };
    assert!(text(&[survey]).contains("\n          deletions go to Deleted Items\n"));
    assert!(!text(&[healthy()]).contains("deletions"));
}

#[test]
fn every_folder_is_shown_in_both_directions() {
    let expected = r#"main: imap.example.org <-> ~/Mail
  remote  Dovecot
          transport TLSv1.3, delimiter "/", namespace ""
          uses  IDLE CONDSTORE QRESYNC UIDPLUS MOVE LITERAL+ MULTIAPPEND
                LIST-STATUS SPECIAL-USE NAMESPACE ENABLE SASL-IR
          lacks COMPRESS=DEFLATE
          password from ~/.netrc line 3
  local   Maildir, nested directories

  on the server       here           role   sub        server  local
  INBOX            -> INBOX          inbox  yes        12 (2)     12
  Entwürfe/日本    -> entwürfe/日本  -      yes        12 (2)     12
  New              -> new            -      yes        12 (2)      -
      will be created here
  [Gmail]/All Mail -> bak/all_mail   all    no   123456 (789)      -
      not synced: default: role:all
  [Gmail]          -> bak            -      yes             -      -
      not synced: holds no messages
  Lists/a name that is much too long for its column -> lists/a
                                     -      yes        12 (2)      -
      will be created here; include "Lists/*"

  only here     on the server  role  sub  server  local
  work/notes -> Work/Notes     -     -         -     12
      will be created on the server
"#;
    let told = text(&[healthy()]);
    assert_eq!(told, expected);
    assert!(told.lines().all(|line| mailsync::ui::width(line) <= 80), "wider than 80 columns");
}

#[test]
fn an_account_that_is_well_gives_0() {
    assert_eq!(end(&[healthy(), healthy()]), End::InStep);
}

#[test]
fn what_is_wrong_is_named_and_gives_1() {
    let mut survey = healthy();
    survey.problems.push("\"Work\" and \"work\" would both be work here".to_owned());
    survey.folders[2].problem = Some("can't be mapped back".to_owned());
    assert_eq!(end(&[survey]), End::Undone);
    let mut survey = healthy();
    survey.folders[2].problem = Some("can't be mapped back".to_owned());
    survey.problems.push("\"Work\" and \"work\" would both be work here".to_owned());
    let told = text(&[survey]);
    let end = "\n  wrong:\n    \"Work\" and \"work\" would both be work here\n    New: can't be mapped back\n";
    assert!(told.ends_with(end), "{told}");
}

#[test]
fn a_refused_login_gives_4_and_shows_its_hint() {
    assert_eq!(end(&[healthy(), failing(Kind::Auth)]), End::Auth);
    assert_eq!(end(&[failing(Kind::Network)]), End::Undone);
    assert_eq!(end(&[failing(Kind::Stopped), failing(Kind::Auth)]), End::Interrupted);
    let told = text(&[failing(Kind::Auth)]);
    assert!(told.contains("  remote  could not be asked: log in: wrong password\n"), "{told}");
    assert!(told.contains("    imap.example.org: log in: wrong password\n      hint: look into ~/.netrc\n"), "{told}");
}

#[test]
fn nothing_that_a_server_sent_controls_the_terminal() {
    let evil = "\u{1b}[2J\n\u{9b}2J\u{202e}";
    let mut survey = failing(Kind::Network);
    let name = FolderName::new([evil]);
    survey.account = evil.to_owned();
    survey.places = Sides::new(evil.to_owned(), evil.to_owned());
    survey.facts.local = Ok(StoreFacts {
        software: Some(evil.to_owned()),
        uses: vec![(evil.to_owned(), true)],
        delimiter: Some(evil.to_owned()),
        namespace: Some(evil.to_owned()),
        transport: Some(evil.to_owned()),
    });
    survey.problems.push(evil.to_owned());
    survey.folders.push(Row {
        names: Sides::new(name.clone(), name),
        rule: evil.to_owned(),
        problem: Some(evil.to_owned()),
        ..row(None, None, true, false)
    });
    for told in [text(std::slice::from_ref(&survey)), json(&[survey])] {
        assert!(!told.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{told:?}");
    }
}

#[test]
fn the_json_form_is_stable() {
    let mut survey = healthy();
    survey.folders.truncate(1);
    survey.facts.local = Err(StoreError::new(Reach::Account, Kind::Missing, "list", "no such directory"));
    if let Ok(facts) = &mut survey.facts.remote {
        facts.uses.truncate(1);
    }
    let expected = r#"{
  "version": 1,
  "accounts": [
    {
      "account": "main",
      "remote": {
        "place": "imap.example.org",
        "software": "Dovecot",
        "transport": "TLSv1.3",
        "password_from": "~/.netrc line 3",
        "delimiter": "/",
        "namespace": "",
        "capabilities": [
          {
            "name": "IDLE",
            "present": true
          }
        ],
        "trash": null,
        "error": null
      },
      "local": {
        "place": "~/Mail",
        "software": null,
        "transport": null,
        "password_from": null,
        "delimiter": null,
        "namespace": null,
        "capabilities": [],
        "trash": null,
        "error": {
          "action": "list",
          "cause": "no such directory",
          "hint": null
        }
      },
      "folders": [
        {
          "names": {
            "remote": "INBOX",
            "local": "INBOX"
          },
          "exists": {
            "remote": true,
            "local": true
          },
          "selectable": true,
          "role": "inbox",
          "subscribed": true,
          "selected": true,
          "rule": "no rule",
          "messages": {
            "remote": 12,
            "local": 12
          },
          "unseen": {
            "remote": 2,
            "local": 0
          },
          "problem": null
        }
      ],
      "problems": []
    }
  ]
}
"#;
    assert_eq!(json(&[survey]), expected);
}

#[test]
fn names_are_whole_and_read_back_in_json() {
    let name = FolderName::new(["a\u{9b}/b\"\u{1b}"]).unwrap();
    let mut survey = healthy();
    survey.folders = vec![Row { names: Sides::new(Some(name.clone()), None), ..row(None, None, false, true) }];
    let value: serde_json::Value = serde_json::from_str(&json(&[survey])).unwrap();
    let told = value["accounts"][0]["folders"][0]["names"]["local"].as_str().unwrap();
    assert_eq!(FolderName::parse(told), Some(name));
}
