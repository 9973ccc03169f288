//! The first sync of a home that has some of the mail already, ended or told of an error at each point in turn: the
//! state, the tree, its mark and the names of keywords are all made in it.

use crate::support::*;
use std::collections::BTreeSet;
use std::fs;

const FOLDERS: [&str; 2] = ["INBOX", "Work/Größe"];
const FLAGS: [&[&str]; 4] = [&[], &["\\Seen"], &["\\Flagged", "project-x"], &["$Label1", "\\Answered", "\\Seen"]];

/// What the server has: folder, hash and flags of every message, with its UID.
type Rows = Vec<(String, u32, String, Vec<String>)>;

fn rows(server: &mut Imap) -> Rows {
    let mut rows = Vec::new();
    for folder in FOLDERS {
        rows.extend(server.messages(folder).into_iter().map(|m| (folder.to_owned(), m.uid, m.sha256, m.flags)));
    }
    rows
}

/// Expects the Maildirs to hold what the server has.
#[track_caller]
fn expect_in_step(home: &Home, there: &Rows, how: &str) {
    let maildir = home.maildir();
    let mut found: Vec<(String, String, BTreeSet<String>)> = Vec::new();
    for m in maildir.all() {
        let mut flags: BTreeSet<String> = maildir.keywords(&m).into_iter().collect();
        flags.extend(m.letters.chars().map(|c| letter_of(c).to_owned()));
        found.push((m.folder, m.sha256, flags));
    }
    let expected =
        there.iter().map(|(folder, _, hash, flags)| (folder.clone(), hash.clone(), flags.iter().cloned().collect()));
    let mut expected: Vec<(String, String, BTreeSet<String>)> = expected.collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected, "{how}");
}

fn letter_of(letter: char) -> &'static str {
    corpus::FLAGS.iter().find(|(_, l)| *l == letter).map_or("\\Deleted", |(name, _)| *name)
}

/// Lets the first sync of a new home end so at the n-th point, for every `step`-th n, and expects the next to end it.
fn end_at_each(action: &str, step: usize) {
    let dovecot = Dovecot::start();
    let mut server = dovecot.login("alice");
    server.create(FOLDERS[1]);
    for (at, flags) in FLAGS.iter().enumerate() {
        let message = crlf(&mail(&format!("first {at}")));
        FOLDERS.iter().for_each(|folder| server.append(folder, &message, flags, Some(1_500_000_000)));
    }
    let there = rows(&mut server);
    for at in (1..).step_by(step) {
        let home = Home::new();
        home.account(&dovecot, "alice", "");
        home.maildir().create("INBOX");
        home.maildir().save("INBOX", &mail("first 1"), "S", Some(1_500_000_000));
        let log = home.path().join("points");
        let how = format!("any:{at}={action}");
        let mut first = home.command(&["sync"]);
        let out = first.env("MAILSYNC_FAULT", &how).env("MAILSYNC_FAULT_LOG", &log).output().expect("run mailsync");
        assert!(out.status.code().is_none_or(|code| code < 2), "{how}: {}", String::from_utf8_lossy(&out.stderr));
        assert_eq!(rows(&mut server), there, "{how}: the server was changed");
        home.sync();
        expect_in_step(&home, &there, &how);
        home.nothing_to_do();
        assert_eq!(rows(&mut server), there, "{how}: the server was changed");
        if fs::read_to_string(&log).unwrap_or_default().lines().count() < at {
            assert!(at > 60, "a run passes too few points");
            return;
        }
    }
}

/// Every point where the environment asks for many rounds.
fn step(usual: usize) -> usize {
    if std::env::var_os("MAILSYNC_ROUNDS").is_some() { 1 } else { usual }
}

#[test]
fn a_first_sync_that_is_killed_is_ended_by_the_next() {
    end_at_each("kill", step(4));
}

#[test]
fn a_first_sync_on_a_full_disk_is_ended_by_the_next() {
    end_at_each("ENOSPC", step(4));
}

#[test]
fn what_could_not_be_read_once_is_not_doubled() {
    let dovecot = Dovecot::start();
    let mut server = dovecot.login("alice");
    server.create(FOLDERS[1]);
    for at in 0..3 {
        server.append("INBOX", &crlf(&mail(&format!("first {at}"))), &[], Some(1_500_000_000));
    }
    let there = rows(&mut server);
    for errno in ["EIO", "EACCES", "EMFILE", "ENOMEM", "ENOSPC"] {
        for at in 1..=7 {
            let home = Home::new();
            home.account(&dovecot, "alice", "");
            home.maildir().create("INBOX");
            for at in 1..3 {
                home.maildir().save("INBOX", &mail(&format!("first {at}")), "", Some(1_500_000_000));
            }
            let how = format!("disk.open:{at}={errno}");
            let out = home.command(&["sync"]).env("MAILSYNC_FAULT", &how).output().expect("run mailsync");
            assert!(out.status.code() < Some(2), "{how}: {}", String::from_utf8_lossy(&out.stderr));
            assert_eq!(rows(&mut server), there, "{how}: the server was changed");
            home.sync();
            home.nothing_to_do();
            expect_in_step(&home, &there, &how);
            assert_eq!(rows(&mut server), there, "{how}: the server was changed");
        }
    }
}
