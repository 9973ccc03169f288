//! `check` over two worlds in memory: every way in which a state may be wrong is found, changes nothing, and can be
//! mended so that the next sync copies nothing twice and deletes nothing.

mod support;

use mailsync::mail::{Side, Sides};
use mailsync::store::memory::{Action, Fault, MemorySettings, Step, World};
use mailsync::store::{Claim, Stop};
use mailsync::sync::Outcome;
use mailsync::sync::check::report::{Ahead, Checked, Seen};
use mailsync::sync::check::{Options, check};
use rusqlite::Connection;
use std::sync::{Arc, Mutex};
use support::world::{Bench, date, delete, fill, flags, folder, mail, reflag, relocate, show};

/// Checks; no store may be asked to change anything.
#[track_caller]
fn checked(bench: &Bench, options: &Options) -> Checked {
    let wrote = Arc::new(Mutex::new(Vec::new()));
    for side in Side::BOTH {
        let wrote = Arc::clone(&wrote);
        bench.worlds[side].set_hook(Some(Arc::new(move |step: &Step| {
            if !matches!(
                step.action,
                Action::List | Action::Open | Action::Changes | Action::Identify | Action::Reserve
            ) {
                wrote.lock().expect("nobody panicked").push(step.action);
            }
            Fault::None
        })));
    }
    let before = bench.worlds.as_ref().map(World::snapshot);
    let found = check(&bench.account("main"), options, &Stop::new());
    assert_eq!(bench.worlds.as_ref().map(World::snapshot), before, "a check changed something");
    assert_eq!(*wrote.lock().expect("nobody panicked"), [], "a check asked for a change");
    bench.worlds.iter().for_each(|(_, world)| world.set_hook(None));
    found
}

/// The words of all findings, sorted, each once.
fn words(found: &Checked) -> Vec<&'static str> {
    let in_folders = found.folders.iter().flat_map(|folder| &folder.findings);
    let mut words: Vec<_> = found.faults.iter().chain(in_folders).map(|finding| finding.fault.word()).collect();
    words.sort_unstable();
    words.dedup();
    words
}

#[track_caller]
fn in_order(bench: &Bench) {
    let found = checked(bench, &Options::default());
    assert_eq!((found.outcome, words(&found)), (Outcome::InStep, vec![]), "{found:#?}");
}

fn ahead(found: &Checked) -> Ahead {
    found
        .folders
        .iter()
        .find(|folder| folder.names.remote == Some(support::world::folder("INBOX")))
        .expect("INBOX")
        .ahead
}

fn sql(bench: &Bench, text: &str) {
    Connection::open(bench.state()).and_then(|db| db.execute_batch(text)).expect("the state can be spoiled");
}

/// A copy of every row that `of` names, with some columns changed.
fn copy_row(of: &str, local: &str, remote: &str) -> String {
    format!(
        "INSERT INTO message (folder, local, remote, local_flags, local_keywords, remote_flags, remote_keywords, size, \
         message_id, email_id, hash) SELECT folder, {local}, {remote}, local_flags, local_keywords, remote_flags, \
         remote_keywords, size, message_id, email_id, hash FROM message WHERE {of}"
    )
}

/// The first and the last row of the first folder.
const FIRST: &str = "id = (SELECT min(id) FROM message WHERE folder = (SELECT min(id) FROM folder))";
const LAST: &str = "id = (SELECT max(id) FROM message WHERE folder = (SELECT min(id) FROM folder))";

/// What is done to the state, and what of it must be found; where one of several will do, the first that is there.
fn spoilings() -> Vec<(&'static str, String, &'static [&'static str])> {
    let exchange = |side: &str| {
        format!(
            "CREATE TEMP TABLE old AS SELECT * FROM message; \
             UPDATE message SET {side} = (SELECT {side} FROM old WHERE old.{LAST}) WHERE {FIRST}; \
             UPDATE message SET {side} = (SELECT {side} FROM old WHERE old.{FIRST}) WHERE {LAST}; DROP TABLE old"
        )
    };
    let shift = "CREATE TEMP TABLE old AS SELECT id, folder, remote AS key, \
                 row_number() OVER (PARTITION BY folder ORDER BY id) AS at, count(*) OVER (PARTITION BY folder) AS of \
                 FROM message; \
                 UPDATE message SET remote = (SELECT b.key FROM old a JOIN old b ON b.folder = a.folder \
                 AND b.at = a.at % a.of + 1 WHERE a.id = message.id); DROP TABLE old";
    vec![
        ("remote keys of two rows exchanged", exchange("remote"), &["wrong-pair"]),
        ("local keys of two rows exchanged", exchange("local"), &["wrong-pair"]),
        ("every row has the remote key of the next", shift.to_owned(), &["wrong-pair"]),
        ("a row deleted", format!("DELETE FROM message WHERE {FIRST}"), &["overlooked"]),
        ("all rows deleted", "DELETE FROM message".to_owned(), &["overlooked"]),
        ("a row twice", copy_row(FIRST, "local", "remote"), &["second-pair"]),
        ("all rows twice", copy_row("1", "local", "remote"), &["second-pair"]),
        ("a second row with a key of nowhere", copy_row(FIRST, "local", "99999"), &["second-pair"]),
        ("a second row with a file of nowhere", copy_row(FIRST, "CAST('nowhere' AS BLOB)", "remote"), &["second-pair"]),
        ("a row of two keys of nowhere", copy_row(FIRST, "CAST('nowhere' AS BLOB)", "99999"), &["dead-pair"]),
        ("a UID that was never given", format!("UPDATE message SET remote = 99999 WHERE {FIRST}"), &["dead-pair"]),
        (
            "other flags",
            format!("UPDATE message SET local_flags = 63, remote_flags = 63 WHERE {FIRST}"),
            &["wrong-flags"],
        ),
        ("other keywords", "UPDATE message SET remote_keywords = 'nonsense'".to_owned(), &["wrong-flags"]),
        ("another UIDVALIDITY", "UPDATE folder SET remote_generation = 7".to_owned(), &["wrong-generation"]),
        ("another local generation", "UPDATE folder SET local_generation = 7".to_owned(), &["wrong-generation"]),
        (
            "no cursors",
            "UPDATE folder SET local_generation = NULL, remote_generation = NULL".to_owned(),
            &["no-cursor"],
        ),
        ("a cursor ahead", "UPDATE folder SET remote_mark = '99 0 99999'".to_owned(), &["wrong-cursor"]),
        ("a cursor of nonsense", "UPDATE folder SET local_mark = 'nonsense'".to_owned(), &["wrong-cursor"]),
        ("another Message-ID", "UPDATE message SET message_id = '<no@such>'".to_owned(), &["wrong-memory"]),
        ("another hash", "UPDATE message SET hash = zeroblob(32)".to_owned(), &["wrong-memory"]),
        ("another size", "UPDATE message SET size = 5".to_owned(), &["wrong-memory"]),
        ("nothing remembered", "UPDATE message SET hash = NULL, message_id = NULL, size = NULL".to_owned(), &[]),
        (
            "a row deleted and one of nowhere in its place",
            format!("DELETE FROM message WHERE {LAST}; {}", copy_row(FIRST, "CAST('nowhere' AS BLOB)", "99999")),
            &["overlooked"],
        ),
        (
            "a folder of nowhere",
            "INSERT INTO folder (local_wire, remote_wire, local_name, remote_name) VALUES (x'78', x'78', 'x', 'x')"
                .to_owned(),
            &["dead-folder"],
        ),
        (
            "rows of no folder",
            format!(
                "PRAGMA foreign_keys = OFF; {}; UPDATE message SET folder = 77 WHERE {LAST}",
                copy_row(FIRST, "local", "remote")
            ),
            &["damaged"],
        ),
    ]
}

/// Messages of which some share a Message-ID, some have none, and two are equal.
const MESSAGES: [&str; 2] = ["INBOX: a:S b c:FS+todo d1 d2 x1 e e", "Work: f x2:R"];

#[test]
fn whatever_is_wrong_with_a_state_is_found_and_mended_without_a_copy_or_a_deletion() {
    for remote in [MemorySettings::server(), MemorySettings::plain_server()] {
        let start = Bench::new(MemorySettings::maildir(), remote);
        fill(&start.worlds.remote, &MESSAGES);
        start.settle();
        in_order(&start);
        for (what, spoil, expected) in spoilings() {
            let bench = start.fork();
            sql(&bench, &spoil);
            let before = bench.worlds.as_ref().map(World::snapshot);
            let found = checked(&bench, &Options::default());
            let there = words(&found);
            // Without modification numbers the next sync looks at everything anyway, and mends some of it by itself.
            let plain = !bench.worlds.remote.settings().condstore;
            let all_found = expected.iter().all(|word| there.contains(word));
            assert!(all_found || plain, "{what}: {there:?} and not {expected:?}");
            assert_eq!(found.outcome == Outcome::InStep, there.is_empty(), "{what}: {found:#?}");
            let again = checked(&bench, &Options::default());
            assert_eq!(words(&again), there, "{what}: a check without --repair changed the state");
            if expected == ["damaged"] {
                continue;
            }
            let repaired = checked(&bench, &Options { repair: true, ..Options::default() });
            assert_eq!(repaired.outcome, Outcome::InStep, "{what}: {repaired:#?}");
            let counts = bench.run().counts;
            assert_eq!((counts.copied, counts.deleted), (Sides::default(), Sides::default()), "{what}: {counts:?}");
            assert_eq!(counts.flagged, Sides::default(), "{what}");
            assert_eq!(bench.worlds.as_ref().map(World::snapshot), before, "{what}: the repair changed messages");
            bench.settle();
            in_order(&bench);
            assert_eq!(bench.worlds.as_ref().map(World::snapshot), before, "{what}");
        }
    }
}

#[test]
fn a_deep_check_finds_the_same_and_reads_every_message() {
    let start = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    fill(&start.worlds.remote, &MESSAGES);
    start.settle();
    let deep = Options { deep: true, ..Options::default() };
    assert_eq!(words(&checked(&start, &deep)), Vec::<&str>::new());
    for (what, spoil, expected) in spoilings() {
        let bench = start.fork();
        sql(&bench, &spoil);
        let found = checked(&bench, &deep);
        assert!(expected.iter().all(|word| words(&found).contains(word)), "{what}: {:?}", words(&found));
    }
}

#[test]
fn messages_of_one_id_and_size_that_are_mixed_up_are_told_apart_by_their_content() {
    let bench = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    let twin = |text: &str| format!("Subject: d{text}\nMessage-ID: <one@test>\n\n{text}\n").into_bytes();
    for text in ["1", "2", "3"] {
        bench.worlds.remote.put(&folder("INBOX"), &twin(text), &flags(""), Some(date(&format!("d{text}"))));
    }
    bench.settle();
    in_order(&bench);
    let (_, exchange, _) = spoilings().remove(0);
    sql(&bench, &exchange);
    let found = checked(&bench, &Options { repair: true, ..Options::default() });
    assert_eq!(words(&found), ["wrong-pair"]);
    assert_eq!(found.folders[0].findings.len(), 2);
    bench.run().in_step();
    in_order(&bench);
}

#[test]
fn work_for_the_next_sync_is_counted_and_is_no_error() {
    let bench = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    fill(&bench.worlds.remote, &["INBOX: a b c e f", "Work: g"]);
    bench.settle();
    fill(&bench.worlds.local, &["INBOX: new1 both"]);
    fill(&bench.worlds.remote, &["INBOX: new2 new3 both"]);
    delete(&bench.worlds.local, "INBOX", "a");
    delete(&bench.worlds.remote, "INBOX", "b");
    reflag(&bench.worlds.local, "INBOX", "c", "F");
    relocate(&bench.worlds.remote, "INBOX", "f", "Work");
    let found = checked(&bench, &Options { repair: true, ..Options::default() });
    assert_eq!((found.outcome, words(&found)), (Outcome::InStep, vec![]), "{found:#?}");
    let expected = Ahead {
        new: Sides::new(2, 3),
        to_pair: 1,
        gone: Sides::new(1, 2),
        flags: Sides::new(1, 0),
        ..Ahead::default()
    };
    assert_eq!(ahead(&found), expected);
    bench.settle();
    assert_eq!(show(&bench.worlds.local), ["INBOX: both c:F e new1 new2 new3", "Work: f g"]);
}

#[test]
fn a_repair_leaves_the_users_deletions_for_the_next_sync() {
    let bench = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    fill(&bench.worlds.remote, &["INBOX: a b c e"]);
    bench.settle();
    delete(&bench.worlds.local, "INBOX", "a");
    delete(&bench.worlds.remote, "INBOX", "b");
    sql(&bench, "UPDATE message SET hash = zeroblob(32), message_id = '<no@such>' WHERE message_id = '<c@test>'");
    let found = checked(&bench, &Options { repair: true, ..Options::default() });
    assert_eq!((words(&found), ahead(&found).gone), (vec!["wrong-memory"], Sides::new(1, 1)));
    bench.settle();
    assert_eq!(show(&bench.worlds.local), ["INBOX: c e"]);
}

#[test]
fn a_new_uidvalidity_is_work_for_the_next_sync() {
    let bench = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    fill(&bench.worlds.remote, &["INBOX: a b:S c"]);
    bench.settle();
    bench.worlds.remote.new_generation(&folder("INBOX"), true);
    let found = checked(&bench, &Options { repair: true, ..Options::default() });
    assert_eq!((found.outcome, ahead(&found).renumbered), (Outcome::InStep, 3), "{found:#?}");
    let counts = bench.run().in_step();
    assert_eq!((counts.copied, counts.deleted), (Sides::default(), Sides::default()));
    in_order(&bench);
}

#[test]
fn equal_messages_are_counted_and_a_lost_state_is_all_to_pair() {
    let bench = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    fill(&bench.worlds.remote, &["INBOX: a a a b"]);
    bench.settle();
    let found = checked(&bench, &Options::default());
    assert_eq!(found.folders[0].seen, Seen { doubles: Sides::new(2, 2), ..Seen::default() });
    bench.lose_state();
    let found = checked(&bench, &Options::default());
    assert_eq!((found.outcome, ahead(&found).to_pair), (Outcome::InStep, 4), "{found:#?}");
}

#[test]
fn a_message_that_one_side_keeps_in_another_form_is_left_alone() {
    let bench = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    fill(&bench.worlds.remote, &["INBOX: a b"]);
    bench.settle();
    let (inbox, old) = (folder("INBOX"), support::world::key(&bench.worlds.remote, "INBOX", "a"));
    let rewritten = [mail("a"), b"The server's own footer\n".to_vec()].concat();
    let new = bench.worlds.remote.put(&inbox, &rewritten, &flags(""), Some(date("a")));
    assert!(bench.worlds.remote.delete(&inbox, &old));
    let number = |key: &mailsync::mail::Key| key.uid().expect("a UID");
    sql(&bench, &format!("UPDATE message SET remote = {} WHERE remote = {}", number(&new), number(&old)));
    let found = checked(&bench, &Options { repair: true, ..Options::default() });
    assert_eq!((found.outcome, found.folders[0].seen.altered), (Outcome::InStep, 1), "{found:#?}");
    bench.settle_counts();
}

trait SettleCounts {
    fn settle_counts(&self);
}

impl SettleCounts for Bench {
    /// Runs, and expects that nothing was copied or deleted.
    fn settle_counts(&self) {
        let counts = self.run().counts;
        assert_eq!((counts.copied, counts.deleted), (Sides::default(), Sides::default()), "{counts:?}");
    }
}

#[test]
fn a_tree_that_is_not_there_is_not_checked_and_the_state_not_mended() {
    let bench = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    fill(&bench.worlds.remote, &["INBOX: a b"]);
    bench.settle();
    for claim in [Claim::Missing, Claim::Unmarked, Claim::Foreign("other 1".to_owned())] {
        bench.worlds.local.set_claim(Some(claim));
        let image = bench.state_image();
        let found = checked(&bench, &Options { repair: true, ..Options::default() });
        assert_eq!((found.outcome, found.problems.len()), (Outcome::Failed, 1));
        assert_eq!(bench.state_image(), image);
    }
}

#[test]
fn an_incomplete_listing_is_told_and_proves_nothing() {
    let bench = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    fill(&bench.worlds.remote, &["INBOX: a b", "Work: c"]);
    bench.settle();
    bench.worlds.remote.cut_short(&folder("INBOX"), true);
    let found = checked(&bench, &Options { repair: true, ..Options::default() });
    assert_eq!((found.outcome, words(&found), found.folders.len()), (Outcome::Partial, vec![], 1));
    bench.worlds.remote.cut_short(&folder("INBOX"), false);
    in_order(&bench);
}

#[test]
fn what_is_spoiled_at_random_is_mended_without_a_copy_or_a_deletion() {
    let start = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    fill(&start.worlds.remote, &MESSAGES);
    start.settle();
    let spoilings: Vec<_> = spoilings().into_iter().filter(|(_, _, expected)| *expected != ["damaged"]).collect();
    let before = start.worlds.as_ref().map(World::snapshot);
    for (at, (first, spoil, _)) in spoilings.iter().enumerate() {
        for step in [1, 5, 11] {
            let (second, more, _) = &spoilings[(at + step) % spoilings.len()];
            let bench = start.fork();
            sql(&bench, spoil);
            sql(&bench, more);
            checked(&bench, &Options { repair: true, ..Options::default() });
            let counts = bench.run().counts;
            let unharmed = (counts.copied, counts.deleted) == (Sides::default(), Sides::default());
            assert!(unharmed, "{first}, then {second}: {counts:?}");
            assert_eq!(bench.worlds.as_ref().map(World::snapshot), before, "{first}, then {second}");
        }
    }
}

/// Gives the message of this name another key, as a program that renames its file, or moves it away and back.
fn rekey(world: &World, name: &str) {
    let (inbox, old) = (folder("INBOX"), support::world::key(world, "INBOX", name));
    let all = world.messages();
    let flags = all.into_iter().find(|one| *one.content == *mail(name)).map(|one| one.flags).expect("it is there");
    world.put(&inbox, &mail(name), &flags, Some(date(name)));
    assert!(world.delete(&inbox, &old));
}

#[test]
fn messages_that_have_other_keys_are_paired_again_after_a_repair() {
    let (server, plain) = (&MemorySettings::server(), &MemorySettings::plain_server());
    // A server without modification numbers is listed anew whatever the state says: nothing of it is overlooked.
    let cases: [(&MemorySettings, &[Side], bool); 7] = [
        (server, &Side::BOTH, false),
        (server, &Side::BOTH, true),
        (server, &[Side::Local], true),
        (server, &[Side::Remote], true),
        (plain, &Side::BOTH, false),
        (plain, &Side::BOTH, true),
        (plain, &[Side::Local], true),
    ];
    for (remote, sides, passed) in cases {
        let bench = Bench::new(MemorySettings::maildir(), remote.clone());
        fill(&bench.worlds.remote, &MESSAGES);
        bench.settle();
        for name in ["a", "c", "d1", "e", "x1"] {
            sides.iter().for_each(|side| rekey(&bench.worlds[*side], name));
        }
        if passed {
            // The state has the old keys and the cursors of after: no sync would notice what became of them.
            let other = bench.fork();
            other.run();
            let marks = format!(
                "ATTACH '{}' AS other; UPDATE folder SET \
                 local_mark = (SELECT local_mark FROM other.folder o WHERE o.id = folder.id), \
                 remote_mark = (SELECT remote_mark FROM other.folder o WHERE o.id = folder.id)",
                other.state().display()
            );
            sql(&bench, &marks);
        }
        let before = bench.worlds.as_ref().map(World::snapshot);
        let at = format!("{sides:?}, passed: {passed}, {:?}", bench.worlds.remote.settings());
        let found = checked(&bench, &Options { repair: true, ..Options::default() });
        assert_eq!(words(&found).contains(&"overlooked"), passed, "{at}: {found:#?}");
        let counts = bench.run().in_step();
        assert_eq!((counts.copied, counts.deleted), (Sides::default(), Sides::default()), "{at}: {counts:?}");
        assert_eq!(counts.flagged, Sides::default(), "{at}: {counts:?}");
        bench.settle();
        in_order(&bench);
        assert_eq!(bench.worlds.as_ref().map(World::snapshot), before, "{at}");
    }
}
