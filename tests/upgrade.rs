//! States of older layouts: brought to today's, with all that they know; those of newer ones are refused.

mod support;

use mailsync::mail::{FolderId, FolderName, Key, Side};
use mailsync::state::{Change, State};
use mailsync::store::memory::MemorySettings;
use mailsync::store::{Claim, Stop};
use mailsync::sync::check::{Options, check};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use support::world::{Bench, delete, fill};

const OLDEST: &str = include_str!("upgrade/schema-1.sql");

/// A state of layout 1 with one pair of folders, one pair of messages and one intent.
fn oldest(home: &Path) -> PathBuf {
    let path = home.join("old.db");
    let connection = Connection::open(&path).expect("a database");
    connection.execute_batch(OLDEST).expect("the layout");
    connection
        .execute_batch(
            "INSERT INTO meta VALUES ('id', 'an id');
             INSERT INTO folder (id, local_wire, remote_wire, local_name, remote_name, remote_held)
                 VALUES (7, x'61', x'62', 'a', 'b', 25);
             INSERT INTO message VALUES (3, 7, x'6e616d65', 42, 16, '', 16, '', 100, '<x@y>', NULL, x'abcd');
             INSERT INTO intent VALUES (1, 7, 1, x'6e', 0, 43, 0, '', 5, NULL, x'abcd', NULL, 1000);
             PRAGMA user_version = 1;",
        )
        .expect("what it knows");
    path
}

/// Every table's columns and every index, as SQLite tells them.
fn layout(path: &Path) -> BTreeMap<String, Vec<String>> {
    let connection = Connection::open(path).expect("a database");
    let mut tables = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").expect("a statement");
    let names: Vec<String> =
        tables.query_map([], |row| row.get(0)).expect("tables").collect::<Result<_, _>>().expect("names");
    let of = |name: &String| {
        let sql = "SELECT name || ' ' || type || ' ' || \"notnull\" FROM pragma_table_info(?1) \
                   UNION ALL SELECT 'index ' || name FROM pragma_index_list(?1)";
        let mut columns = connection.prepare(sql).expect("a statement");
        let mut lines: Vec<String> =
            columns.query_map([name], |row| row.get(0)).expect("columns").collect::<Result<_, _>>().expect("lines");
        // Where a column stands says nothing: all are named.
        lines.sort();
        (name.clone(), lines)
    };
    names.iter().map(of).collect()
}

#[test]
fn an_older_state_is_brought_up_with_all_that_it_knows() {
    let home = tempfile::tempdir().expect("a directory");
    let path = oldest(home.path());
    let state = State::open(&path).expect("an older state");
    assert_eq!(state.id(), "an id");
    let pairs = state.folders().expect("folders");
    assert_eq!((pairs.len(), pairs[0].id, pairs[0].held.remote.count), (1, FolderId(7), 25));
    assert_eq!(state.keys_after(FolderId(7), Side::Remote, None, 9).expect("keys")[0].0, Key::Uid(42));
    assert_eq!(state.intents(FolderId(7)).expect("intents").len(), 1);
    drop(state);
    // They were of another kind.
    let hashes = "SELECT count(hash) + (SELECT count(hash) FROM intent) FROM message";
    let hashes = Connection::open(&path).expect("a database").query_row(hashes, [], |row| row.get::<_, u32>(0));
    assert_eq!(hashes, Ok(0));
    let fresh = home.path().join("new.db");
    drop(State::open(&fresh).expect("a new state"));
    assert_eq!(layout(&path), layout(&fresh));
    drop(State::open(&path).expect("the same state again"));
}

/// Every file in a directory but the locks, which say who ran last.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    let files = entries.filter(|path| path.extension().is_none_or(|end| end != "lock"));
    files.map(|path| (path.clone(), std::fs::read(path).expect("a file"))).collect()
}

/// Copies a database as a run leaves it that is killed: with its log, and without the log's index.
fn as_killed(database: &Path, to: &Path) {
    for end in ["", "-wal"] {
        let of = |path: &Path| PathBuf::from(format!("{}{end}", path.display()));
        std::fs::copy(of(database), of(to)).expect("copied");
    }
}

#[test]
fn an_older_state_that_is_only_looked_at_stays_as_it_is() {
    let home = tempfile::tempdir().expect("a directory");
    let path = oldest(home.path());
    let logged = home.path().join("a log's? #1 100%.db");
    let writer = Connection::open(&path).expect("a database");
    writer.execute_batch("PRAGMA journal_mode = WAL; UPDATE meta SET value = 'in the log'").expect("written");
    as_killed(&path, &logged);
    drop(writer);
    for (path, id) in [(&path, "in the log"), (&logged, "in the log")] {
        let before = files(home.path());
        let state = State::open_dry(path).expect("an older state");
        assert_eq!(state.id(), id);
        assert_eq!(state.folders().expect("folders")[0].held.remote.count, 25);
        assert_eq!(state.keys_after(FolderId(7), Side::Remote, None, 9).expect("keys")[0].0, Key::Uid(42));
        assert_eq!(state.intents(FolderId(7)).expect("intents").len(), 1);
        assert_eq!(files(home.path()), before, "while it is open");
        drop(state);
        assert_eq!(files(home.path()), before);
    }
}

#[test]
fn a_dry_run_and_a_check_leave_every_file_of_the_state_as_it_is() {
    let start = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    fill(&start.worlds.remote, &["INBOX: a b:S c", "Work: e f"]);
    start.settle();
    let older = tempfile::tempdir().expect("a directory");
    let older = oldest(older.path());
    for (what, today) in [("today's", true), ("older", false)] {
        for killed in [false, true] {
            let bench = start.fork();
            let dir = bench.state().parent().expect("a directory").to_owned();
            if !today {
                std::fs::copy(&older, bench.state()).expect("copied");
                bench.worlds.iter().for_each(|(_, world)| world.set_claim(Some(Claim::Ours)));
            }
            if killed {
                let source = dir.join("source");
                std::fs::rename(bench.state(), &source).expect("renamed");
                let writer = Connection::open(&source).expect("a database");
                let last = "PRAGMA journal_mode = WAL; INSERT INTO meta VALUES ('last', 'commit')";
                writer.execute_batch(last).expect("written");
                as_killed(&source, &bench.state());
                drop(writer);
            }
            delete(&bench.worlds.remote, "INBOX", "a");
            let before = files(&dir);
            let at = format!("{what}, killed: {killed}");
            let ran = bench.dry_run();
            assert_eq!(files(&dir), before, "dry run, {at}");
            let found = check(&bench.account("main"), &Options::default(), &Stop::new());
            assert_eq!(files(&dir), before, "check, {at}");
            assert!(found.problems.is_empty(), "{at}: {found:?}");
            if today {
                assert_eq!(ran.counts.deleted.local, 1, "{at}: {ran:?}");
                assert_eq!(bench.run().counts, ran.counts, "{at}");
            }
        }
    }
}

#[test]
fn a_state_that_is_only_looked_at_takes_no_change() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("state.db");
    drop(State::open(&path).expect("a state"));
    let before = files(home.path());
    let state = State::open_dry(&path).expect("the state");
    let name = FolderName::parse("x").expect("a name");
    let rename = Change::Rename { folder: FolderId(1), side: Side::Local, wire: b"x".to_vec(), name };
    state.apply(&[rename]).expect_err("nothing may be written");
    drop(state);
    assert_eq!(files(home.path()), before);
}

#[test]
fn a_run_that_changes_nothing_leaves_an_older_state_as_it_is() {
    let home = tempfile::tempdir().expect("a directory");
    let path = oldest(home.path());
    Connection::open(&path).and_then(|db| db.pragma_update(None, "journal_mode", "wal")).expect("a log");
    let before = std::fs::read(&path).expect("the state");
    let state = State::open_dry(&path).expect("an older state");
    assert_eq!(state.id(), "an id");
    assert_eq!(state.keys_after(FolderId(7), Side::Remote, None, 9).expect("keys")[0].0, Key::Uid(42));
    assert!(state.doomed(FolderId(7)).expect("what only today's layout has").is_empty());
    drop(state);
    assert!(std::fs::read(&path).expect("the state") == before, "it was changed");
    drop(State::open(&path).expect("an older state"));
    assert!(std::fs::read(&path).expect("the state") != before);
}

#[test]
fn a_newer_state_is_refused_and_left_as_it_is() {
    let home = tempfile::tempdir().expect("a directory");
    let path = oldest(home.path());
    Connection::open(&path).and_then(|db| db.pragma_update(None, "user_version", 99)).expect("a version");
    let error = State::open(&path).err().expect("refused").to_string();
    assert!(error.contains("layout 99 is of a newer mailsync"), "{error}");
    let version = |db: Connection| db.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
    assert_eq!(Connection::open(&path).and_then(version).expect("a version"), 99);
}

#[test]
fn a_file_that_is_no_state_is_told_apart_from_one_that_cannot_be_reached() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("no.db");
    std::fs::write(&path, "this is no database, and long enough to be seen to be none ".repeat(20)).expect("written");
    let error = State::open(&path).err().expect("refused");
    assert!(error.hint().contains("moved away"), "{error}: {}", error.hint());
    let error = State::open(&home.path().join("no.db/below")).err().expect("refused");
    assert!(error.hint().contains("disk"), "{error}: {}", error.hint());
}
