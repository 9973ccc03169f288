//! What `problems` shows of a made-up ledger.

use mailsync::cli::problems::{Entry, render, render_json};
use mailsync::mail::{Flags, FolderName, Key, Side, Sides};
use mailsync::state::{ProblemRow, Waiting};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn entries() -> Vec<Entry> {
    let row = |folder: &str, waiting| ProblemRow {
        names: Sides::new(folder.to_lowercase().as_str(), folder).map(|name| FolderName::parse(name).expect("a name")),
        wires: Sides::new(b"work".to_vec(), b"Work".to_vec()),
        waiting,
    };
    let poison = Waiting {
        side: Side::Remote,
        key: Key::Uid(4711),
        flags: Flags::new(),
        action: "fetch".to_owned(),
        cause: "the server has the message and does not send it".to_owned(),
        hint: None,
        tries: 3,
        first: at(1_000_000),
        last: at(1_007_200),
        next: at(1_021_600),
    };
    let large = Waiting {
        side: Side::Local,
        key: Key::Name(b"1700000000.M1P2.host\x1b[2J"[..].into()),
        action: "append".to_owned(),
        cause: "too\nlarge".to_owned(),
        hint: Some("make it smaller".to_owned()),
        tries: 1,
        next: at(1_000_000),
        ..poison.clone()
    };
    vec![
        Entry { account: "main".to_owned(), row: row("INBOX", poison), dir: None },
        Entry { account: "main".to_owned(), row: row("Work", large), dir: Some("/home/me/Mail/work".into()) },
    ]
}

fn written(render: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    render(&mut out).expect("a vector takes all");
    String::from_utf8(out).expect("text")
}

#[test]
fn each_message_is_told_with_its_place_cause_and_next_try() {
    assert_eq!(
        written(|out| render(&entries(), at(1_007_260), out)),
        "main/INBOX: remote UID 4711\n  \
           fetch: the server has the message and does not send it\n  \
           3 tries, first 3 h ago; again in 4 h\n\
         main/Work: local 1700000000.M1P2.host\\u{1b}[2J\n  \
           append: too large\n  \
           1 try, first 3 h ago; again with the next sync\n  \
           in /home/me/Mail/work\n  \
           hint: make it smaller\n"
    );
    assert_eq!(written(|out| render(&[], at(0), out)), "no problems\n");
}

#[test]
fn json_has_the_same_in_numbers() {
    let text = written(|out| render_json(&entries(), out));
    let told: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(told["version"], 1);
    let remote = &told["problems"][0];
    assert_eq!((&remote["uid"], &remote["file"], &remote["directory"]), (&4711.into(), &().into(), &().into()));
    assert_eq!((&remote["account"], &remote["folder"]["remote"]), (&"main".into(), &"INBOX".into()));
    assert_eq!(
        (&remote["tries"], &remote["first"], &remote["next"]),
        (&3.into(), &1_000_000.into(), &1_021_600.into())
    );
    let local = &told["problems"][1];
    assert_eq!(
        (&local["side"], &local["uid"], &local["folder"]["local"]),
        (&"local".into(), &().into(), &"work".into())
    );
    assert_eq!((&local["hint"], &local["directory"]), (&"make it smaller".into(), &"/home/me/Mail/work".into()));
    assert!(!text.contains('\u{1b}'), "{text}");
}
