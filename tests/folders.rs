//! Folders that are renamed or deleted on one side: nothing is transferred for a name, and nothing is lost with a folder.

mod support;

use mailsync::mail::{FolderName, Key, Role, Side, Sides};
use mailsync::store::memory::{Action, Fault, MemorySettings, When, World};
use mailsync::store::{Kind, Reach, StoreError};
use mailsync::sync::rules::{Filter, Pattern, Rules};
use mailsync::sync::{Account, Counts, Options, Outcome, Policy};
use std::collections::BTreeMap;
use std::sync::Arc;
use support::faulty::{Blow, Faulty};
use support::world::{Bench, Ran, delete, fill, folder, reflag, run_all, show};

fn with_objects() -> MemorySettings {
    MemorySettings { objects: true, ..MemorySettings::server() }
}

/// A server with MAILBOXID, one without, and one without any extension.
fn servers() -> [MemorySettings; 3] {
    [with_objects(), MemorySettings::server(), MemorySettings::plain_server()]
}

fn synced(local: MemorySettings, remote: MemorySettings, lines: &[&str]) -> Bench {
    let bench = Bench::new(local, remote);
    fill(&bench.worlds.remote, &["INBOX: i"]);
    fill(&bench.worlds.remote, lines);
    bench.settle();
    bench
}

#[track_caller]
fn rename(world: &World, from: &str, to: &str) {
    assert!(world.rename_folder(&folder(from), &folder(to)), "{from} to {to}");
}

/// Keys by folder: the same files, the same UIDs.
fn keys(world: &World) -> BTreeMap<FolderName, Vec<Key>> {
    world.folders().into_iter().map(|name| (name.clone(), world.keys(&name))).collect()
}

/// Runs, and expects so many folders to be renamed on `on` and nothing else to be done.
#[track_caller]
fn only_renames(bench: &Bench, on: Side, count: usize) -> Ran {
    let keys_before = bench.worlds.as_ref().map(|world| keys(world).into_values().flatten().collect::<Vec<_>>());
    let dry = bench.dry_run();
    let ran = bench.run();
    let expected = Counts { folders_renamed: Sides::with(on, count, 0), ..Counts::default() };
    assert_eq!((ran.outcome, ran.counts), (Outcome::InStep, expected), "{ran:?}");
    assert_eq!(dry.counts, ran.counts, "the dry run said something else: {dry:?}");
    let mut before = keys_before;
    let mut after = bench.worlds.as_ref().map(|world| keys(world).into_values().flatten().collect::<Vec<_>>());
    for side in Side::BOTH {
        before[side].sort();
        after[side].sort();
    }
    assert_eq!(after, before, "a message was copied");
    bench.run().did_nothing();
    bench.in_step();
    ran
}

#[test]
fn a_folder_renamed_on_the_server_is_renamed_here() {
    for server in servers() {
        let bench = synced(MemorySettings::maildir(), server, &["Work: a:S b c"]);
        rename(&bench.worlds.remote, "Work", "Office/2024");
        only_renames(&bench, Side::Local, 1);
        assert_eq!(show(&bench.worlds.local), ["INBOX: i", "Office/2024: a:S b c"]);
    }
}

#[test]
fn a_folder_renamed_here_is_renamed_on_the_server() {
    for server in servers() {
        let bench = synced(MemorySettings::maildir(), server, &["Work: a:S b c"]);
        rename(&bench.worlds.local, "Work", "Office/2024");
        only_renames(&bench, Side::Remote, 1);
        assert_eq!(show(&bench.worlds.remote), ["INBOX: i", "Office/2024: a:S b c"]);
    }
}

#[test]
fn a_parent_takes_its_children_along() {
    for (server, side) in servers().into_iter().flat_map(|server| Side::BOTH.map(|side| (server.clone(), side))) {
        let bench = synced(MemorySettings::maildir(), server, &["P: a", "P/x: b", "P/x/y: c"]);
        for (from, to) in [("P", "Q"), ("P/x", "Q/x"), ("P/x/y", "Q/x/y")] {
            rename(&bench.worlds[side], from, to);
        }
        only_renames(&bench, side.other(), 3);
        assert_eq!(show(&bench.worlds.local), ["INBOX: i", "Q: a", "Q/x: b", "Q/x/y: c"]);
    }
}

#[test]
fn what_happened_meanwhile_is_synced_in_the_same_run() {
    for (server, side) in servers().into_iter().flat_map(|server| Side::BOTH.map(|side| (server.clone(), side))) {
        let bench = synced(MemorySettings::maildir(), server, &["Work: a b c e"]);
        rename(&bench.worlds[side], "Work", "Office");
        delete(&bench.worlds[side], "Office", "a");
        fill(&bench.worlds[side], &["Office: new1"]);
        reflag(&bench.worlds[side.other()], "Work", "b", "F");
        fill(&bench.worlds[side.other()], &["Work: new2"]);
        let counts = bench.run().in_step();
        assert_eq!(counts.copied, Sides::new(1, 1), "{counts:?}");
        bench.run().did_nothing();
        bench.in_step();
        assert_eq!(show(&bench.worlds.local), ["INBOX: i", "Office: b:F c e new1 new2"]);
    }
}

#[test]
fn names_that_change_hands_are_followed_by_mailboxid() {
    let chain: &[(&str, &str)] = &[("B", "C"), ("A", "B")];
    let swap: &[(&str, &str)] = &[("A", "T"), ("B", "A"), ("T", "B")];
    for (moves, count, after) in [(chain, 2, ["B: a b", "C: c e"]), (swap, 2, ["A: c e", "B: a b"])] {
        for local in [MemorySettings::maildir(), with_objects()] {
            let sides: &[Side] = if local.objects { &Side::BOTH } else { &[Side::Remote] };
            for side in sides {
                let bench = synced(local.clone(), with_objects(), &["A: a b", "B: c e"]);
                moves.iter().for_each(|(from, to)| rename(&bench.worlds[*side], from, to));
                only_renames(&bench, side.other(), count);
                assert_eq!(show(&bench.worlds.local)[..2], after);
            }
        }
    }
}

#[test]
fn a_new_folder_under_the_old_name_is_another_one() {
    let bench = synced(MemorySettings::maildir(), with_objects(), &["A: a b"]);
    rename(&bench.worlds.remote, "A", "B");
    fill(&bench.worlds.remote, &["A: c"]);
    let counts = bench.run().in_step();
    assert_eq!((counts.copied, counts.folders_renamed.local, counts.folders_created.local), (Sides::new(1, 0), 1, 1));
    bench.run().did_nothing();
    bench.in_step();
    assert_eq!(show(&bench.worlds.local), ["A: c", "B: a b", "INBOX: i"]);
}

#[test]
fn without_mailboxid_swapped_folders_lose_nothing() {
    for server in [MemorySettings::server(), MemorySettings::plain_server()] {
        let bench = synced(MemorySettings::maildir(), server, &["A: a b", "B: c e"]);
        for (from, to) in [("A", "T"), ("B", "A"), ("T", "B")] {
            rename(&bench.worlds.remote, from, to);
        }
        bench.run();
        bench.settle();
        for name in ["a", "b", "c", "e"] {
            assert!(show(&bench.worlds.remote).iter().any(|line| line.contains(&format!(" {name}"))), "{name}");
        }
    }
}

#[test]
fn another_folder_with_the_same_numbers_is_not_taken_for_the_one_that_is_gone() {
    for server in [MemorySettings::server(), MemorySettings::plain_server()] {
        let bench = synced(MemorySettings::maildir(), server, &["Old: a b c"]);
        let remote = &bench.worlds.remote;
        let generation = remote.generation(&folder("Old")).expect("it is there");
        remote.remove_folder(&folder("Old"));
        fill(remote, &["New: e f g"]);
        remote.set_generation(&folder("New"), generation);
        assert_eq!(bench.run().outcome, Outcome::Partial);
        assert_eq!(show(&bench.worlds.local), ["INBOX: i", "New: e f g", "Old: a b c"]);
        assert_eq!(show(&bench.worlds.remote), ["INBOX: i", "New: e f g"]);
    }
}

#[test]
fn two_folders_with_the_same_messages_are_neither() {
    let bench = synced(MemorySettings::maildir(), MemorySettings::server(), &["Old: a b"]);
    let remote = &bench.worlds.remote;
    let generation = remote.generation(&folder("Old")).expect("it is there");
    remote.remove_folder(&folder("Old"));
    for name in ["One", "Two"] {
        fill(remote, &[&format!("{name}: a b")]);
        remote.set_generation(&folder(name), generation);
    }
    assert_eq!(bench.run().outcome, Outcome::Partial);
    assert_eq!(show(&bench.worlds.local), ["INBOX: i", "Old: a b", "One: a b", "Two: a b"]);
}

#[test]
fn a_rename_that_the_server_refuses_is_told_and_tried_again() {
    let bench = synced(MemorySettings::maildir(), MemorySettings::server(), &["Work: a b"]);
    rename(&bench.worlds.local, "Work", "Office");
    bench.worlds.remote.set_hook(Some(Arc::new(|step| match step.action {
        Action::Rename => Fault::Fail(StoreError::new(Reach::Folder, Kind::Refused, "rename", "not today")),
        _ => Fault::None,
    })));
    let ran = bench.run();
    assert!(ran.outcome == Outcome::Partial && ran.told.iter().any(|line| line.contains("not today")), "{ran:?}");
    assert_eq!(show(&bench.worlds.remote), ["INBOX: i", "Work: a b"]);
    bench.worlds.remote.set_hook(None);
    only_renames(&bench, Side::Remote, 1);
}

#[test]
fn a_name_that_is_taken_there_is_told() {
    let bench = synced(MemorySettings::maildir(), MemorySettings::server(), &["Work: a b"]);
    rename(&bench.worlds.local, "Work", "Office");
    fill(&bench.worlds.remote, &["Office: e"]);
    let ran = bench.run();
    assert!(ran.outcome == Outcome::Partial && ran.told.iter().any(|line| line.contains("of that name")), "{ran:?}");
    assert_eq!(show(&bench.worlds.remote), ["INBOX: i", "Office: e", "Work: a b"]);
    assert_eq!(show(&bench.worlds.local), ["INBOX: i", "Office: a b"]);
}

#[test]
fn a_folder_renamed_on_both_sides_gets_the_servers_name() {
    for server in servers() {
        let bench = synced(MemorySettings::maildir(), server, &["Work: a b"]);
        rename(&bench.worlds.local, "Work", "Here");
        rename(&bench.worlds.remote, "Work", "There");
        only_renames(&bench, Side::Local, 1);
        assert_eq!(show(&bench.worlds.local), ["INBOX: i", "There: a b"]);
    }
}

#[test]
fn a_renamed_inbox_has_moved_its_messages_and_stays() {
    for server in servers() {
        let many: String = (0..25).map(|number| format!(" m{number}")).collect();
        let bench = synced(MemorySettings::maildir(), server, &[&format!("INBOX:{many}")]);
        for key in bench.worlds.remote.keys(&folder("INBOX")) {
            bench.worlds.remote.move_message(&folder("INBOX"), &key, &folder("Old"));
        }
        let counts = bench.run().in_step();
        assert_eq!(
            (counts.moved, counts.copied, counts.folders_created.local),
            (Sides::new(26, 0), Sides::default(), 1)
        );
        bench.run().did_nothing();
        bench.in_step();
    }
}

/// Renames that a run may do, each with the side that the user did it on.
fn scenarios() -> Vec<(&'static str, Bench)> {
    let local = synced(MemorySettings::maildir(), with_objects(), &["A: a b", "B: c e"]);
    rename(&local.worlds.local, "A", "X");
    let remote = synced(MemorySettings::maildir(), MemorySettings::server(), &["A: a b", "A/in: c e"]);
    rename(&remote.worlds.remote, "A", "X");
    rename(&remote.worlds.remote, "A/in", "X/in");
    let swapped = synced(MemorySettings::maildir(), with_objects(), &["A: a b", "B: c e"]);
    for (from, to) in [("A", "T"), ("B", "A"), ("T", "B")] {
        rename(&swapped.worlds.remote, from, to);
    }
    vec![("local", local), ("remote", remote), ("swapped", swapped)]
}

#[test]
fn a_run_that_dies_while_it_renames_is_resumed() {
    for (name, start) in scenarios() {
        let count = |world: &World| ["a", "b", "c", "e"].map(|one| world.count_of(&support::world::mail(one)));
        for when in [When::Before, When::After] {
            for step in 0.. {
                let mut bench = start.fork();
                let faulty = Faulty::arm(&bench, step, when, Blow::Crash);
                bench.run();
                let struck = faulty.struck();
                faulty.disarm(&mut bench);
                let ran = bench.run();
                let at = format!("{name}: {when:?} step {step}: {ran:?}");
                assert_eq!((ran.outcome, ran.counts.copied), (Outcome::InStep, Sides::default()), "{at}");
                bench.run().did_nothing();
                bench.in_step();
                for (_, world) in bench.worlds.iter() {
                    assert_eq!(count(world), [1; 4], "{at}");
                }
                if !struck {
                    break;
                }
            }
        }
    }
}

/// An account that lets folders go, with a folder gone on the server.
fn departed(server: MemorySettings) -> Bench {
    let mut bench = synced(MemorySettings::maildir(), server, &["Old: a:S b c", "Other: e", "Work: f"]);
    bench.delete_folders = true;
    bench.worlds.remote.remove_folder(&folder("Old"));
    bench
}

const WITHOUT: [&str; 3] = ["INBOX: i", "Other: e", "Work: f"];
const WITH: [&str; 4] = ["INBOX: i", "Old: a:S b c", "Other: e", "Work: f"];

#[test]
fn a_folder_deleted_on_the_server_stays_here_and_that_is_told() {
    let mut bench = departed(MemorySettings::server());
    bench.delete_folders = false;
    for _ in 0..2 {
        let ran = bench.run();
        assert!(ran.outcome == Outcome::Partial && ran.counts.is_empty(), "{ran:?}");
        assert_eq!(show(&bench.worlds.local), WITH);
    }
    let restore = Options { restore: true, accounts_at_once: 1, ..Options::default() };
    bench.run_with(&restore);
    bench.settle();
    assert_eq!(show(&bench.worlds.remote), WITH);
}

#[test]
fn a_folder_deleted_on_the_server_goes_here_too_where_that_is_the_policy() {
    for server in servers() {
        let bench = departed(server);
        let dry = bench.dry_run();
        assert_eq!(show(&bench.worlds.local), WITH);
        let ran = bench.run();
        assert_eq!((ran.outcome, dry.counts), (Outcome::InStep, ran.counts), "{ran:?}");
        assert_eq!((ran.counts.folders_deleted.local, ran.counts.deleted), (1, Sides::new(3, 0)));
        assert_eq!(show(&bench.worlds.local), WITHOUT);
        bench.run().did_nothing();
        bench.in_step();
    }
}

#[test]
fn a_folder_stays_whose_messages_were_never_synced() {
    for what in ["new", "flags"] {
        let bench = departed(MemorySettings::server());
        match what {
            "new" => fill(&bench.worlds.local, &["Old: new"]),
            _ => reflag(&bench.worlds.local, "Old", "b", "F"),
        }
        let before = show(&bench.worlds.local);
        let ran = bench.run();
        assert!(ran.outcome == Outcome::Partial && ran.counts.is_empty(), "{what}: {ran:?}");
        assert!(ran.told.iter().any(|line| line.contains("never synced")), "{what}: {ran:?}");
        assert_eq!(show(&bench.worlds.local), before);
    }
}

#[test]
fn many_folders_that_vanish_at_once_stay() {
    let bench = departed(MemorySettings::server());
    bench.worlds.remote.remove_folder(&folder("Other"));
    bench.worlds.remote.remove_folder(&folder("Work"));
    let ran = bench.run();
    assert!(ran.outcome == Outcome::Partial && ran.counts.is_empty(), "{ran:?}");
    assert_eq!(show(&bench.worlds.local), WITH);
    let allowed = Options { allow_delete: true, accounts_at_once: 1, ..Options::default() };
    assert_eq!(bench.run_with(&allowed).counts.folders_deleted, Sides::new(3, 0));
    assert_eq!(show(&bench.worlds.local), ["INBOX: i"]);
}

/// A run with rules that the bench does not have.
fn run_by(bench: &Bench, rules: Rules) -> Ran {
    let account = Account { rules, ..bench.account("main") };
    let options = Options { accounts_at_once: 1, ..Options::default() };
    let (report, told) = run_all(vec![account], &options, &bench.stop);
    let (_, outcome, counts) = report.accounts[0];
    Ran { outcome, counts, told }
}

#[test]
fn the_mode_of_a_folder_by_its_role_holds_when_it_is_gone() {
    let mut bench =
        synced(MemorySettings::maildir(), MemorySettings::server(), &["Old: a:S b c", "Other: e", "Work: f"]);
    bench.delete_folders = true;
    bench.worlds.remote.describe(&folder("Old"), Some(Role::Archive), None, true);
    bench.run().did_nothing();
    bench.worlds.remote.remove_folder(&folder("Old"));
    let archive = Policy { delete: Sides::new(false, false), ..Policy::only(Side::Local) };
    let by_role = Pattern::parse("role:archive").expect("a pattern");
    for _ in 0..2 {
        let ran = run_by(&bench, Rules { policies: vec![(by_role.clone(), archive)], ..Rules::default() });
        assert!(ran.in_step().is_empty(), "{ran:?}");
        assert_eq!(show(&bench.worlds.local), WITH);
    }
}

#[test]
fn a_folder_that_the_rules_leave_out_stays_untold_when_it_is_gone() {
    for propagate in [false, true] {
        let mut bench = departed(MemorySettings::server());
        bench.delete_folders = propagate;
        // The three that are left out are no sign that the server lost what it had.
        bench.worlds.remote.remove_folder(&folder("Work"));
        let filters = ["Old", "Work"].map(|name| Filter::parse(false, name).expect("a filter")).to_vec();
        for _ in 0..2 {
            let ran = run_by(&bench, Rules { filters: filters.clone(), ..Rules::default() });
            assert!(ran.in_step().is_empty() && ran.told.is_empty(), "{ran:?}");
            assert_eq!(show(&bench.worlds.local), WITH);
        }
    }
}

#[test]
fn folders_that_the_rules_leave_out_do_not_count_among_those_that_are_gone() {
    let folders = ["A: a", "B: b", "C: c", "D: d", "E: e"];
    let mut bench = synced(MemorySettings::maildir(), MemorySettings::server(), &folders);
    bench.delete_folders = true;
    ["A", "B", "C", "D"].iter().for_each(|name| assert!(bench.worlds.remote.remove_folder(&folder(name))));
    let left_out = |names: &[&str]| {
        let filter = |name: &&str| Filter::parse(false, name).expect("a filter");
        Rules { filters: names.iter().map(filter).collect(), ..Rules::default() }
    };
    // One of three that take part is gone; of four, two.
    let ran = run_by(&bench, left_out(&["A", "B", "C"]));
    assert_eq!((ran.outcome, ran.counts.folders_deleted.local), (Outcome::InStep, 1), "{ran:?}");
    assert_eq!(show(&bench.worlds.local), ["A: a", "B: b", "C: c", "E: e", "INBOX: i"]);
    // Those that are left out do not hide that all the others but one are gone.
    bench.worlds.remote.remove_folder(&folder("E"));
    let ran = run_by(&bench, left_out(&["A", "B"]));
    assert!(ran.outcome == Outcome::Partial && ran.counts.is_empty(), "{ran:?}");
}

#[test]
fn a_run_that_dies_while_it_deletes_a_folder_is_resumed() {
    let start = departed(MemorySettings::server());
    for when in [When::Before, When::After] {
        for step in 0.. {
            let mut bench = start.fork();
            let faulty = Faulty::arm(&bench, step, when, Blow::Crash);
            bench.run();
            let struck = faulty.struck();
            faulty.disarm(&mut bench);
            let ran = bench.run();
            assert_eq!(ran.outcome, Outcome::InStep, "{when:?} step {step}: {ran:?}");
            bench.run().did_nothing();
            assert_eq!(show(&bench.worlds.local), WITHOUT, "{when:?} step {step}");
            assert_eq!(show(&bench.worlds.remote), WITHOUT, "{when:?} step {step}");
            if !struck {
                break;
            }
        }
    }
}

#[test]
fn a_folder_deleted_here_is_not_deleted_on_the_server() {
    let mut bench =
        synced(MemorySettings::maildir(), MemorySettings::server(), &["Old: a:S b c", "Other: e", "Work: f"]);
    bench.delete_folders = true;
    bench.worlds.local.remove_folder(&folder("Old"));
    let ran = bench.run();
    assert!(ran.outcome == Outcome::Partial && ran.counts.is_empty(), "{ran:?}");
    assert_eq!(show(&bench.worlds.remote), WITH);
}

#[test]
fn a_folder_renamed_here_and_deleted_there_is_found_under_its_new_name() {
    for propagate in [false, true] {
        let mut bench = departed(MemorySettings::server());
        bench.delete_folders = propagate;
        rename(&bench.worlds.local, "Old", "Mine");
        let ran = bench.run();
        assert_eq!(ran.outcome, if propagate { Outcome::InStep } else { Outcome::Partial }, "{ran:?}");
        let kept: &[&str] = if propagate { &[] } else { &["Mine: a:S b c"] };
        let expected: Vec<&str> = [&WITHOUT[..1], kept, &WITHOUT[1..]].concat();
        assert_eq!(show(&bench.worlds.local), expected);
    }
}

#[test]
fn a_mailboxid_holds_under_a_new_uidvalidity_too() {
    let bench = synced(MemorySettings::maildir(), with_objects(), &["Work: a:S b c"]);
    rename(&bench.worlds.remote, "Work", "Office");
    bench.worlds.remote.new_generation(&folder("Office"), true);
    let counts = bench.run().in_step();
    assert_eq!((counts.folders_renamed.local, counts.copied, counts.deleted), (1, Sides::default(), Sides::default()));
    bench.run().did_nothing();
    bench.in_step();
}

#[test]
fn a_pair_that_had_no_mailboxid_gets_one() {
    let bench = synced(MemorySettings::maildir(), MemorySettings::server(), &["Work: a b"]);
    bench.worlds.remote.set_settings(with_objects());
    bench.run().did_nothing();
    rename(&bench.worlds.remote, "Work", "Office");
    bench.worlds.remote.new_generation(&folder("Office"), true);
    assert_eq!(bench.run().in_step().folders_renamed.local, 1);
    bench.settle();
}

#[test]
fn a_name_changes_only_on_a_side_that_may_be_changed() {
    for (on, may) in [(Side::Local, Side::Remote), (Side::Remote, Side::Remote), (Side::Local, Side::Local)] {
        let mut bench = synced(MemorySettings::maildir(), MemorySettings::server(), &["Work: a b"]);
        bench.policy = Policy::only(may);
        rename(&bench.worlds[on], "Work", "Office");
        let there = show(&bench.worlds[may.other()]);
        let counts = bench.run().in_step();
        // The side that may be changed follows; where that is the one that was renamed, its folder is still paired.
        let renamed = usize::from(on != may || may == Side::Local);
        assert_eq!((counts.copied, counts.folders_renamed[may]), (Sides::default(), renamed), "{on} {may}");
        assert_eq!(show(&bench.worlds[may.other()]), there);
        bench.run().did_nothing();
        fill(&bench.worlds[may.other()], &[if on == may.other() { "Office: new" } else { "Work: new" }]);
        assert_eq!(bench.run().in_step().copied, Sides::with(may, 1, 0), "{on} {may}");
    }
}

#[test]
fn a_mode_that_keeps_what_is_gone_keeps_folders_too_and_says_nothing() {
    let mut bench = departed(MemorySettings::server());
    bench.policy.delete = Sides::new(false, false);
    bench.run().did_nothing();
    assert_eq!(show(&bench.worlds.local), WITH);
}
