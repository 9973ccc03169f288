//! Recorded events, and what each face makes of them.

use mailsync::mail::{FolderName, Side, Sides};
use mailsync::store::Kind;
use mailsync::sync::event::{Counts, Event, Outcome, Problem, Report};
use mailsync::sync::plan::{Held, Reason, What};
use mailsync::ui::{Ui, Writers};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Buffer {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// What a face wrote: standard output and standard error.
fn told(start: impl Fn(Writers) -> Ui, events: Vec<Event>, report: Report) -> (String, String) {
    let (out, err) = (Buffer::default(), Buffer::default());
    let ui = start(Writers { out: Box::new(out.clone()), err: Box::new(err.clone()) });
    let observer = ui.observer();
    events.into_iter().for_each(|event| observer(event));
    ui.finish(&report);
    (out.text(), err.text())
}

fn basic(writers: Writers) -> Ui {
    Ui::lines(writers, false)
}

fn quiet(writers: Writers) -> Ui {
    Ui::lines(writers, true)
}

fn bars(writers: Writers) -> Ui {
    Ui::bars(writers, indicatif::ProgressDrawTarget::hidden())
}

fn folder(name: &str) -> FolderName {
    FolderName::parse(name).unwrap()
}

fn main() -> String {
    "main".to_owned()
}

fn work_done() -> Counts {
    Counts { copied: Sides::new(3, 0), flagged: Sides::new(0, 1), deleted: Sides::new(0, 2), ..Counts::default() }
}

fn problem(kind: Kind, action: &str, cause: &str) -> Problem {
    Problem {
        folder: None,
        side: Some(Side::Remote),
        message: None,
        kind,
        action: action.to_owned(),
        cause: cause.to_owned(),
        hint: None,
    }
}

fn a_good_run() -> (Vec<Event>, Report) {
    let counts = Counts { folders_created: Sides::new(0, 1), ..work_done() };
    let events = vec![
        Event::AccountStarted { account: main() },
        Event::Listed { account: main(), folders: 4, to_look_at: 2 },
        Event::FolderCreated { account: main(), folder: folder("New"), on: Side::Remote },
        Event::Planned { account: main(), folder: folder("INBOX"), counts: work_done() },
        Event::Copying { account: main(), folder: folder("INBOX"), to: Side::Local, done: 1, of: 3, bytes: 1000 },
        Event::Copying { account: main(), folder: folder("INBOX"), to: Side::Local, done: 3, of: 3, bytes: 4000 },
        Event::FolderDone { account: main(), folder: folder("INBOX"), counts: work_done() },
        Event::AccountDone { account: main(), outcome: Outcome::InStep, counts },
    ];
    (events, Report { accounts: vec![(main(), Outcome::InStep, counts)] })
}

fn a_bad_run() -> (Vec<Event>, Report) {
    let full = Problem {
        folder: Some(folder("INBOX")),
        hint: Some("12 messages wait on the local side; they are tried again on the next run".to_owned()),
        ..problem(Kind::Later, "append", "server refused (OVERQUOTA): mailbox is full")
    };
    let held = Held {
        what: What::Deletions,
        on: Side::Remote,
        count: 150,
        reason: Reason::TooMany { of: 160 },
        hint: Some("run again with --allow-delete if this is meant".to_owned()),
    };
    let copied = Counts { copied: Sides::new(1, 0), ..Counts::default() };
    let events = vec![
        Event::AccountStarted { account: main() },
        Event::Problem { account: main(), problem: full },
        Event::Held { account: main(), folder: Some(folder("Lists/rust")), held },
        Event::Note { account: main(), folder: None, text: "the server sent an odd line".to_owned() },
        Event::FolderDone { account: main(), folder: folder("Sent"), counts: copied },
        Event::AccountDone { account: main(), outcome: Outcome::Partial, counts: copied },
    ];
    let accounts = vec![
        (main(), Outcome::Partial, copied),
        ("work".to_owned(), Outcome::Locked, Counts::default()),
        ("idle".to_owned(), Outcome::InStep, Counts::default()),
    ];
    (events, Report { accounts })
}

const PROBLEMS: &str = "\
mailsync: main/INBOX: append: server refused (OVERQUOTA): mailbox is full
hint: 12 messages wait on the local side; they are tried again on the next run
mailsync: main/Lists/rust: held 150 deletions on the remote side: 150 of 160 messages are gone on the local side
hint: run again with --allow-delete if this is meant
";
const NOTE: &str = "mailsync: main: note: the server sent an odd line\n";
const LOCKED: &str = "mailsync: work: another run holds the lock\n";
const UNDONE: &str = "left undone: main (1 held, 1 failed), work (another run holds the lock); done: 1 new on local\n";

#[test]
fn lines_tell_each_thing_done_and_a_summary() {
    let (events, report) = a_good_run();
    let (out, err) = told(basic, events, report);
    assert_eq!(
        out,
        "main/New: folder created on remote\n\
         main/INBOX: 3 new on local, 1 flag change on remote, 2 deleted on remote\n\
         in step: 1 folder created on remote, 3 new on local, 1 flag change on remote, 2 deleted on remote\n"
    );
    assert_eq!(err, "");
}

#[test]
fn problems_go_to_standard_error_with_their_hints() {
    let (events, report) = a_bad_run();
    let (out, err) = told(basic, events, report);
    assert_eq!(out, format!("main/Sent: 1 new on local\n{UNDONE}"));
    assert_eq!(err, format!("{PROBLEMS}{NOTE}{LOCKED}"));
}

#[test]
fn quiet_says_nothing_when_all_went_well() {
    let (events, report) = a_good_run();
    assert_eq!(told(quiet, events, report), (String::new(), String::new()));
}

#[test]
fn quiet_still_tells_what_failed_or_was_held() {
    let (events, report) = a_bad_run();
    assert_eq!(told(quiet, events, report), (String::new(), format!("{PROBLEMS}{LOCKED}")));
}

#[test]
fn bars_leave_the_summary_and_what_went_wrong() {
    let (events, report) = a_good_run();
    let (out, err) = told(bars, events, report);
    assert_eq!(
        out,
        "in step: 1 folder created on remote, 3 new on local, 1 flag change on remote, 2 deleted on remote\n"
    );
    assert_eq!(err, "");
    let (events, report) = a_bad_run();
    assert_eq!(told(bars, events, report), (UNDONE.to_owned(), format!("{PROBLEMS}{NOTE}{LOCKED}")));
}

#[test]
fn messages_that_wait_are_told_in_one_line_even_when_quiet() {
    let report = Report { accounts: vec![(main(), Outcome::Partial, Counts::default())] };
    let waiting = |count, minutes: Option<u64>| Event::Waiting {
        account: main(),
        count,
        next: minutes.map(|minutes| std::time::Duration::from_secs(60 * minutes)),
    };
    let hint = "hint: `mailsync problems` lists them; `mailsync problems --retry` tries again at once\n";
    for face in [basic as fn(Writers) -> Ui, quiet, bars] {
        let (out, err) = told(face, vec![waiting(2, Some(15))], report.clone());
        assert_eq!(err, format!("mailsync: main: 2 messages wait after errors (next try in 15 min)\n{hint}"));
        assert!(["", "left undone: main (2 waiting)\n"].contains(&out.as_str()), "{out}");
    }
    let (_, err) = told(quiet, vec![waiting(1, None)], report);
    assert_eq!(err, format!("mailsync: main: 1 message waits after errors (the next sync tries again)\n{hint}"));
}

#[test]
fn a_run_without_change_says_so_in_one_line() {
    let report = Report { accounts: vec![(main(), Outcome::InStep, Counts::default())] };
    let (out, err) = told(basic, vec![Event::AccountStarted { account: main() }], report);
    assert_eq!((out.as_str(), err.as_str()), ("in step: nothing to do\n", ""));
}

#[test]
fn a_dry_run_lists_what_it_would_do_and_says_that_it_did_nothing() {
    let would = |what: &str| Event::WouldDo { account: main(), folder: folder("INBOX"), what: what.to_owned() };
    let events = vec![would("copy UID 7 to local"), would("delete UID 9 on remote")];
    let planned = Counts { copied: Sides::new(1, 0), deleted: Sides::new(0, 1), ..Counts::default() };
    let report = Report { accounts: vec![(main(), Outcome::InStep, planned)] };
    for face in [basic as fn(Writers) -> Ui, bars] {
        let (out, err) = told(face, events.clone(), report.clone());
        assert_eq!(
            out,
            "main/INBOX: would copy UID 7 to local\nmain/INBOX: would delete UID 9 on remote\n\
             dry run: 2 things to do (1 new on local, 1 deleted on remote), nothing was changed\n"
        );
        assert_eq!(err, "");
    }
}

#[test]
fn a_refused_login_is_told_once() {
    let events = vec![Event::Problem { account: main(), problem: problem(Kind::Auth, "log in", "wrong password") }];
    let report = Report { accounts: vec![(main(), Outcome::AuthFailed, Counts::default())] };
    let (out, err) = told(basic, events, report);
    assert_eq!(out, "left undone: main (login failed)\n");
    assert_eq!(err, "mailsync: main: log in: wrong password\n");
}

#[test]
fn nothing_that_a_server_sent_controls_the_terminal() {
    let evil = "\u{1b}]0;owned\u{7}\r\n\u{9b}2J\u{202e}\u{8}";
    let name = FolderName::new([format!("a{evil}"), evil.to_owned()]).unwrap();
    let told_problem = Problem {
        folder: Some(name.clone()),
        message: Some(evil.to_owned()),
        hint: Some(evil.to_owned()),
        ..problem(Kind::Refused, evil, evil)
    };
    let held = Held {
        what: What::Folder,
        on: Side::Local,
        count: 0,
        reason: Reason::Unavailable(evil.to_owned()),
        hint: Some(evil.to_owned()),
    };
    let account = format!("x{evil}");
    let (a, f) = (|| account.clone(), || name.clone());
    let events = vec![
        Event::AccountStarted { account: a() },
        Event::FolderCreated { account: a(), folder: f(), on: Side::Local },
        Event::FolderRenamed { account: a(), from: f(), to: f(), on: Side::Local },
        Event::Copying { account: a(), folder: f(), to: Side::Local, done: 1, of: 2, bytes: 3 },
        Event::WouldDo { account: a(), folder: f(), what: evil.to_owned() },
        Event::Note { account: a(), folder: Some(f()), text: evil.to_owned() },
        Event::Held { account: a(), folder: Some(f()), held },
        Event::Problem { account: a(), problem: told_problem },
        Event::FolderDone { account: a(), folder: f(), counts: work_done() },
    ];
    let report = Report { accounts: vec![(account.clone(), Outcome::Partial, work_done())] };
    for face in [basic as fn(Writers) -> Ui, bars] {
        let (out, err) = told(face, events.clone(), report.clone());
        for text in [&out, &err] {
            let bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!text.contains(bad), "{text:?}");
            assert!(text.lines().all(|line| !line.is_empty()), "{text:?}");
        }
    }
}

#[test]
fn events_after_the_end_are_dropped_and_a_second_end_does_nothing() {
    let (out, err) = (Buffer::default(), Buffer::default());
    let ui = Ui::lines(Writers { out: Box::new(out.clone()), err: Box::new(err) }, false);
    let observer = ui.observer();
    ui.finish(&Report::default());
    let ended = out.text();
    observer(Event::FolderCreated { account: main(), folder: folder("x"), on: Side::Local });
    ui.finish(&Report::default());
    assert_eq!(out.text(), ended);
}
