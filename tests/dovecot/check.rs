//! `check` from end to end: it finds what is wrong, changes nothing on either side, and mends the state only.

use crate::support::*;
use crate::world::*;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A world of three folders, among its messages two equal ones, two of one Message-ID and one without any.
fn filled(dovecot: Dovecot) -> World {
    let mut world = World::new(dovecot);
    let twin = |text: &str| format!("Subject: twin {text}\nMessage-ID: <twin@test>\n\n{text}\n").into_bytes();
    let bare = b"Subject: bare\n\nNo Message-ID.\n".to_vec();
    for message in [mail("a"), mail("b"), mail("equal"), mail("equal"), twin("1"), twin("2"), bare] {
        world.server.append("INBOX", &crlf(&message), &["\\Seen", "todo"], Some(1_500_000_000));
    }
    world.server.create("Work");
    world.server.append("Work", &crlf(&mail("w")), &["\\Flagged"], Some(1_500_000_000));
    world.maildir().create("Empty");
    world.sync();
    world.home.nothing_to_do();
    world
}

/// Every entry below a directory: inode, size, mode, mtime and ctime.
fn entries(dir: &Path) -> BTreeMap<PathBuf, Vec<i64>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("read a directory") {
        let path = entry.expect("read a directory").path();
        let meta = fs::symlink_metadata(&path).expect("an entry's data");
        let (inode, size) = (meta.ino() as i64, meta.size() as i64);
        let stamps = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()];
        found.insert(path.clone(), [&[inode, size, i64::from(meta.mode())][..], &stamps].concat());
        if meta.is_dir() {
            found.append(&mut entries(&path));
        }
    }
    found
}

fn sql(world: &World, text: &str) {
    Connection::open(world.home.state("main")).and_then(|db| db.execute_batch(text)).expect("the state can be spoiled");
}

const EXCHANGE: &str = "CREATE TEMP TABLE old AS SELECT * FROM message WHERE folder = (SELECT min(id) FROM folder); \
    UPDATE message SET remote = (SELECT remote FROM old WHERE id = (SELECT max(id) FROM old)) \
        WHERE id = (SELECT min(id) FROM old); \
    UPDATE message SET remote = (SELECT remote FROM old WHERE id = (SELECT min(id) FROM old)) \
        WHERE id = (SELECT max(id) FROM old);";

#[test]
fn a_check_of_what_is_in_order_says_so_and_touches_nothing() {
    on_both_servers(|dovecot| {
        let mut world = filled(dovecot);
        let (here, there) = (entries(&world.home.mail()), world.uids("INBOX"));
        for args in [&["check"][..], &["check", "--deep"], &["check", "--repair"]] {
            world.home.mailsync(args).exits(0).says("main: 3 folders, 8 messages, in order").done();
        }
        let out = world.home.mailsync(&["-d", "imap", "check", "--deep", "--repair"]).exits(0);
        let sent: Vec<&str> = out.stderr.lines().filter(|line| line.contains(" main: C: ")).collect();
        for word in ["SELECT", "STORE", "APPEND", "EXPUNGE", "MOVE", "COPY", "CREATE", "DELETE", "RENAME", "CLOSE"] {
            assert!(!sent.iter().any(|line| line.contains(&format!(" {word} "))), "{word} was sent\n{out}");
        }
        assert!(out.stderr.contains(" EXAMINE "), "{out}");
        assert_eq!(entries(&world.home.mail()), here, "the tree was touched");
        assert_eq!(world.uids("INBOX"), there);
        world.home.nothing_to_do();
    });
}

#[test]
fn what_is_wrong_is_told_mended_and_then_in_order() {
    on_both_servers(|dovecot| {
        let mut world = filled(dovecot);
        let (here, there) = (world.maildir().snapshot(), world.uids("INBOX"));
        sql(&world, EXCHANGE);
        let out = world.home.mailsync(&["check"]).exits(1).says("these are two different messages");
        assert!(out.stdout.contains("main/INBOX: local ") && out.stdout.contains("remote UID "), "{out}");
        out.says("2 errors").says("--repair").done();
        world.home.mailsync(&["check", "--repair"]).exits(0).says("2 errors mended").done();
        world.sync();
        assert_eq!((world.maildir().snapshot(), world.uids("INBOX")), (here, there));
        world.home.mailsync(&["check"]).exits(0).says("in order").done();
    });
}

#[test]
fn a_state_that_hides_a_message_is_found_and_mended() {
    let mut world = filled(Dovecot::start());
    // Once the directories' stamps are old enough to prove that nothing changed, a sync does not even look.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    world.home.sync();
    sql(&world, "DELETE FROM message WHERE id = (SELECT min(id) FROM message)");
    world.home.mailsync(&["check"]).exits(1).says("would not notice").done();
    world.home.mailsync(&["check", "--repair"]).exits(0).done();
    world.sync();
    world.home.mailsync(&["check"]).exits(0).says("8 messages, in order").done();
}

#[test]
fn work_for_the_next_sync_is_no_error() {
    let mut world = filled(Dovecot::start());
    let maildir = world.maildir();
    maildir.deliver("INBOX", &mail("new"));
    world.server.append("Work", &crlf(&mail("newer")), &[], None);
    maildir.remove(&maildir.message("INBOX", "a"));
    let b = world.server.message("INBOX", "b").uid;
    world.server.set_flags("INBOX", b, &["\\Answered"], &[]);
    let out = world.home.mailsync(&["check"]).exits(0);
    out.says("1 new on local").says("1 new on remote").says("1 gone on local").says("1 reflagged on remote").done();
    world.sync();
}

#[test]
fn findings_are_written_as_json_and_long_lists_are_cut() {
    let subjects: Vec<String> = (0..30).map(|at| format!("m{at}")).collect();
    let subjects: Vec<&str> = subjects.iter().map(String::as_str).collect();
    let mut world = World::synced(Dovecot::start(), &subjects);
    sql(&world, "UPDATE message SET message_id = '<no@such>'");
    world.home.mailsync(&["check"]).exits(1).says("and 10 more").says("30 errors").done();
    world.home.mailsync(&["-v", "check"]).exits(1).never_says("more; -v").done();
    let out = world.home.mailsync(&["check", "--json", "-f", "INBOX"]).exits(1);
    let told: serde_json::Value = serde_json::from_str(&out.stdout).expect("JSON");
    let folder = &told["accounts"][0]["folders"][0];
    assert_eq!((folder["pairs"].as_u64(), folder["findings"].as_array().map(Vec::len)), (Some(30), Some(30)));
    assert_eq!(folder["findings"][0]["fault"], "wrong-memory");
    world.home.mailsync(&["check", "-f", "Nowhere"]).exits(1).says("no folder is called").done();
    world.in_step();
}

#[test]
fn a_check_beside_a_running_sync_ends_with_3_and_of_a_missing_tree_with_1() {
    let world = filled(Dovecot::start());
    let lock = fs::File::options().write(true).open(world.home.state("main").with_extension("lock"));
    let lock = lock.expect("the lock's file");
    lock.lock().expect("the lock");
    world.home.mailsync(&["check"]).exits(3).done();
    drop(lock);
    fs::rename(world.home.mail(), world.home.path().join("away")).expect("move the tree away");
    world.home.mailsync(&["check", "--repair"]).exits(1).says("is not there").done();
    fs::rename(world.home.path().join("away"), world.home.mail()).expect("bring it back");
    world.home.mailsync(&["check"]).exits(0).says("in order").done();
}

#[test]
fn a_wrong_password_ends_a_check_with_4() {
    let world = filled(Dovecot::start());
    world.home.netrc("machine 127.0.0.1 login alice password wrong\n");
    world.home.mailsync(&["check"]).exits(4).done();
}
