//! What follows when a run is cut off, a server renumbers its messages, or a listing can't be trusted.

mod support;

use mailsync::mail::{FlagSpace, Key, Side, Sides};
use mailsync::state::State;
use mailsync::store::memory::{Action, Fault, MemorySettings, Step, When, World};
use mailsync::store::{Kind, Reach, Stop, StoreError};
use mailsync::sync::rules::Pattern;
use mailsync::sync::{Options, Outcome};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Duration;
use support::faulty::{Blow, Faulty};
use support::world::{Bench, date, delete, fill, flags, folder, image, key, mail, reflag, relocate, show, space};

/// Lets a run die at the first append.
fn die_at_the_first_append(bench: &mut Bench, when: When) {
    die_at_the_first(Action::Append, bench, when);
}

/// Lets a run die at the first step of this kind.
fn die_at_the_first(action: Action, bench: &mut Bench, when: When) {
    let mut step = 0;
    loop {
        let mut trial = bench.fork();
        let faulty = Faulty::arm(&trial, step, when, Blow::Crash);
        trial.run();
        let last = faulty.last();
        faulty.disarm(&mut trial);
        if last == Some(action) {
            *bench = trial;
            return;
        }
        assert!(last.is_some(), "no {action:?} in the whole run");
        step += 1;
    }
}

#[test]
fn a_new_uidvalidity_after_an_interrupted_first_sync_deletes_nothing() {
    for local in [MemorySettings::maildir(), MemorySettings::server()] {
        let mut bench = Bench::new(local, MemorySettings::server());
        let many: String = (0..120).map(|number| format!(" m{number}")).collect();
        fill(&bench.worlds.remote, &[&format!("INBOX:{many}")]);
        // One batch is bound; the run ends in the second one, before any cursor is stored.
        let world = bench.worlds.local.clone();
        let stop = bench.stop.clone();
        world.set_hook(Some(Arc::new(move |step| match (step.action, step.nth_of_action) {
            (Action::Append, 105..) => {
                stop.set();
                Fault::Crash
            }
            _ => Fault::None,
        })));
        assert_eq!(bench.run().outcome, Outcome::Interrupted);
        world.set_hook(None);
        bench.stop = Stop::new();
        delete(&bench.worlds.remote, "INBOX", "m7");
        bench.worlds.remote.new_generation(&folder("INBOX"), true);
        let ran = bench.run();
        assert_eq!((ran.outcome, ran.counts.deleted), (Outcome::InStep, Sides::default()), "{ran:?}");
        bench.settle();
        assert_eq!(bench.worlds.local.keys(&folder("INBOX")).len(), 120);
    }
}

#[test]
fn a_new_uidvalidity_after_a_crash_does_not_mix_up_messages() {
    for remote in [MemorySettings::server(), MemorySettings::plain_server()] {
        for (here, there) in [(&[][..], &["INBOX: a b c"][..]), (&["INBOX: a b c"][..], &[][..])] {
            for when in [When::Before, When::After] {
                let mut bench = Bench::new(MemorySettings::maildir(), remote.clone());
                fill(&bench.worlds.local, here);
                fill(&bench.worlds.remote, there);
                die_at_the_first_append(&mut bench, when);
                bench.worlds.remote.new_generation(&folder("INBOX"), true);
                bench.run();
                bench.settle();
                assert_eq!(show(&bench.worlds.local), ["INBOX: a b c"], "{when:?}");
                // What was bound wrongly would show as soon as one of them is deleted.
                delete(&bench.worlds.remote, "INBOX", "a");
                bench.run();
                assert_eq!(show(&bench.worlds.local), ["INBOX: b c"], "{when:?}");
            }
        }
    }
}

#[test]
fn what_is_deleted_before_its_copy_was_noted_does_not_come_back() {
    for remote in [MemorySettings::server(), MemorySettings::plain_server()] {
        for from in Side::BOTH {
            let mut bench = Bench::new(MemorySettings::maildir(), remote.clone());
            fill(&bench.worlds[from], &["INBOX: a b"]);
            die_at_the_first_append(&mut bench, When::After);
            delete(&bench.worlds[from], "INBOX", "a");
            bench.dry_run();
            bench.settle();
            assert_eq!(show(&bench.worlds[from]), ["INBOX: b"], "deleted on {from}");
        }
    }
}

#[test]
fn what_is_moved_before_its_copy_was_noted_stays_one_message() {
    for remote in [MemorySettings::server(), MemorySettings::plain_server()] {
        for from in Side::BOTH {
            let mut bench = Bench::new(MemorySettings::maildir(), remote.clone());
            fill(&bench.worlds[from], &["INBOX: a b", "Work: c"]);
            die_at_the_first_append(&mut bench, When::After);
            relocate(&bench.worlds[from], "INBOX", "a", "Work");
            bench.settle();
            assert_eq!(show(&bench.worlds[from]), ["INBOX: b", "Work: a c"], "moved on {from}");
        }
    }
}

/// Lets a run die when in each of these folders so many messages were stored on `side`, before any of them was noted.
fn die_unnoted(bench: &mut Bench, side: Side, stored: &'static [(&str, usize)]) {
    let there: Arc<(Mutex<HashMap<String, usize>>, Condvar)> = Arc::default();
    let died = Arc::new(OnceLock::new());
    for (at, world) in bench.worlds.iter() {
        let (there, died, stop, state) = (there.clone(), died.clone(), bench.stop.clone(), bench.state());
        world.set_hook(Some(Arc::new(move |step: &Step| {
            if died.get().is_some() {
                return Fault::Crash;
            }
            if (at, step.action, step.when) != (side, Action::Append, When::After) {
                return Fault::None;
            }
            let name = step.folder.as_ref().expect("a folder").to_string();
            let (_, last) = *stored.iter().find(|(folder, _)| *folder == name).expect("one of them");
            let mut counts = there.0.lock().expect("no panic");
            let count = counts.entry(name).or_default();
            *count += 1;
            if *count < last {
                return Fault::None;
            }
            there.1.notify_all();
            // Each waits at its last message for the others.
            let all = |counts: &HashMap<String, usize>| stored.iter().all(|(name, all)| counts.get(*name) == Some(all));
            let long = Duration::from_secs(20);
            let (counts, _) = there.1.wait_timeout_while(counts, long, |counts| !all(counts)).expect("no panic");
            assert!(all(&counts), "{counts:?} of {stored:?}");
            died.get_or_init(|| image(&state));
            stop.set();
            Fault::Crash
        })));
    }
    assert_eq!(bench.run().outcome, Outcome::Interrupted);
    bench.worlds.iter().for_each(|(_, world)| world.set_hook(None));
    bench.stop = Stop::new();
    bench.put_state_back(died.get().expect("died"));
}

/// So many names of messages.
fn many(letter: char, count: usize) -> String {
    (0..count).map(|number| format!(" {letter}{number}")).collect()
}

#[test]
fn what_is_moved_before_anything_of_a_first_sync_was_noted_is_moved() {
    let mut bench = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    fill(&bench.worlds.remote, &[&format!("INBOX:{}", many('m', 30)), "Archive:"]);
    die_unnoted(&mut bench, Side::Local, &[("INBOX", 30)]);
    (0..30).for_each(|number| relocate(&bench.worlds.remote, "INBOX", &format!("m{number}"), "Archive"));
    let ran = bench.run();
    assert_eq!((ran.outcome, ran.counts.moved.local, ran.counts.copied.local), (Outcome::InStep, 30, 0), "{ran:?}");
    assert_eq!(show(&bench.worlds.local), show(&bench.worlds.remote));
    bench.in_step();
}

#[test]
fn a_side_that_is_emptied_before_anything_of_a_first_sync_was_noted_deletes_nothing() {
    let mut bench = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    bench.connections = 2;
    fill(&bench.worlds.local, &[&format!("INBOX:{}", many('a', 15)), &format!("Lists:{}", many('b', 15))]);
    die_unnoted(&mut bench, Side::Remote, &[("INBOX", 15), ("Lists", 15)]);
    for number in 0..15 {
        delete(&bench.worlds.local, "INBOX", &format!("a{number}"));
        delete(&bench.worlds.local, "Lists", &format!("b{number}"));
    }
    let before = show(&bench.worlds.remote);
    let ran = bench.run();
    assert_eq!((ran.outcome, ran.counts.deleted), (Outcome::Partial, Sides::default()), "{ran:?}");
    assert_eq!(show(&bench.worlds.remote), before);
}

/// Fails the look at a folder, and counts how often that was tried.
fn fail_a_look(bench: &Bench, reach: Reach) -> Arc<AtomicUsize> {
    let tried = Arc::new(AtomicUsize::new(0));
    let count = tried.clone();
    bench.worlds.remote.set_hook(Some(Arc::new(move |step: &Step| {
        let hit = step.action == Action::Open && step.when == When::Before && step.folder == Some(folder("f3"));
        if !hit {
            return Fault::None;
        }
        count.fetch_add(1, Ordering::SeqCst);
        Fault::Fail(StoreError::new(reach, Kind::Network, "open", "no"))
    })));
    tried
}

#[test]
fn a_look_that_fails_in_a_first_sync_is_tried_no_more_often_than_it_helps() {
    for (reach, outcome, tried, others) in [
        (Reach::Folder, Outcome::Partial, 1, Some(7)),
        // Twice with the others, and alone.
        (Reach::Connection, Outcome::Partial, 3, Some(7)),
        (Reach::Account, Outcome::Failed, 1, None),
    ] {
        let mut bench = Bench::new(MemorySettings::maildir(), MemorySettings::server());
        bench.connections = 1;
        (0..8).for_each(|number| fill(&bench.worlds.remote, &[&format!("f{number}: a{number}")]));
        let count = fail_a_look(&bench, reach);
        let ran = bench.run();
        assert_eq!((ran.outcome, count.load(Ordering::SeqCst)), (outcome, tried), "{reach:?}: {ran:?}");
        assert_eq!(ran.told.iter().filter(|told| told.contains("no")).count(), 1, "{reach:?}: {ran:?}");
        assert!(others.is_none_or(|others| ran.counts.copied.local == others), "{reach:?}: {ran:?}");
        bench.worlds.remote.set_hook(None);
        bench.run();
        assert_eq!(show(&bench.worlds.local), show(&bench.worlds.remote), "{reach:?}");
        bench.in_step();
    }
}

#[test]
fn what_is_moved_again_before_its_move_was_noted_stays_one_message() {
    for remote in [MemorySettings::server(), MemorySettings::plain_server()] {
        for from in Side::BOTH {
            let mut bench = Bench::new(MemorySettings::maildir(), remote.clone());
            fill(&bench.worlds[from], &["INBOX: a b", "Other: e", "Work: c"]);
            bench.settle();
            relocate(&bench.worlds[from], "INBOX", "a", "Work");
            die_at_the_first(Action::Move, &mut bench, When::After);
            relocate(&bench.worlds[from], "Work", "a", "Other");
            bench.settle();
            assert_eq!(show(&bench.worlds[from]), ["INBOX: b", "Other: a e", "Work: c"], "moved on {from}");
        }
    }
}

/// Puts a message back under the key that it had in INBOX.
fn put_back(world: &World, key: &Key, message: &str) {
    let (name, letters) = message.split_once(':').expect("NAME:letters");
    assert!(world.put_as(&folder("INBOX"), key, &mail(name), &flags(letters), Some(date(name))));
}

#[test]
fn what_goes_back_to_where_it_was_before_that_was_noted_is_not_deleted() {
    for local in [MemorySettings::maildir(), MemorySettings::server(), MemorySettings::plain_server()] {
        for action in [Action::Remove, Action::Move] {
            let mut bench = Bench::new(local.clone(), MemorySettings::maildir());
            fill(&bench.worlds.remote, &["INBOX: a b", "Other: e", "Work: c"]);
            bench.settle();
            // Here a run takes it away, and does not live to note it; there it goes back under its old name.
            let kept = key(&bench.worlds.remote, "INBOX", "a");
            match action {
                Action::Move => relocate(&bench.worlds.remote, "INBOX", "a", "Work"),
                _ => delete(&bench.worlds.remote, "INBOX", "a"),
            }
            die_at_the_first(action, &mut bench, When::After);
            match action {
                Action::Move => relocate(&bench.worlds.remote, "Work", "a", "INBOX"),
                _ => put_back(&bench.worlds.remote, &kept, "a:F"),
            }
            assert_eq!(key(&bench.worlds.remote, "INBOX", "a"), kept);
            bench.dry_run();
            bench.settle();
            let a = if action == Action::Move { "a" } else { "a:F" };
            assert_eq!(show(&bench.worlds.remote), [&format!("INBOX: {a} b"), "Other: e", "Work: c"], "{action:?}");
            // It is deleted when somebody deletes it.
            delete(&bench.worlds.local, "INBOX", "a");
            bench.settle();
            assert_eq!(show(&bench.worlds.remote), ["INBOX: b", "Other: e", "Work: c"]);
        }
    }
}

#[test]
fn what_was_spared_can_be_deleted_on_either_side() {
    for side in Side::BOTH {
        let mut bench = Bench::new(MemorySettings::maildir(), MemorySettings::maildir());
        fill(&bench.worlds.remote, &["INBOX: a b"]);
        bench.settle();
        let kept = key(&bench.worlds.remote, "INBOX", "a");
        delete(&bench.worlds.remote, "INBOX", "a");
        // The run dies before it takes anything away.
        die_at_the_first(Action::Remove, &mut bench, When::Before);
        put_back(&bench.worlds.remote, &kept, "a:");
        bench.run().did_nothing();
        delete(&bench.worlds[side], "INBOX", "a");
        assert_eq!(bench.run().in_step().deleted[side.other()], 1);
        assert_eq!(show(&bench.worlds.local), ["INBOX: b"]);
        bench.settle();
    }
}

#[test]
fn another_message_with_the_same_message_id_and_size_is_not_taken_for_the_one_that_went() {
    for remote in [MemorySettings::server(), MemorySettings::plain_server()] {
        for (from, to) in [("Work", "Work"), ("Drafts", "Drafts"), ("Drafts", "Sent")] {
            let bench = Bench::new(MemorySettings::maildir(), remote.clone());
            fill(&bench.worlds.remote, &[&format!("{from}: =1 a"), &format!("{to}: b")]);
            bench.settle();
            // A draft is edited, or sent: a letter is another.
            delete(&bench.worlds.remote, from, "=1");
            fill(&bench.worlds.remote, &[&format!("{to}: =2")]);
            bench.dry_run();
            assert_eq!(bench.run().in_step().copied.local, 1, "{from} {to}");
            bench.in_step();
            assert_eq!(bench.worlds.local.count_of(&mail("=1")), 0);
            bench.settle();
        }
    }
}

#[test]
fn what_is_moved_to_where_it_is_refused_stays_where_it_was() {
    for remote in [MemorySettings::server(), MemorySettings::plain_server()] {
        for from in Side::BOTH {
            let bench = Bench::new(MemorySettings::maildir(), remote.clone());
            fill(&bench.worlds[from], &["INBOX: a b", "Work: c"]);
            bench.settle();
            relocate(&bench.worlds[from], "INBOX", "a", "Work");
            let (on, work) = (from.other(), folder("Work"));
            bench.worlds[on].set_hook(Some(Arc::new(move |step| match (step.action, step.when) {
                (Action::Move, When::Before) => refusal(),
                (Action::Append, When::Before) if step.folder.as_ref() == Some(&work) => refusal(),
                _ => Fault::None,
            })));
            for _ in 0..3 {
                let ran = bench.run();
                assert_eq!((ran.outcome, ran.counts.is_empty()), (Outcome::Partial, true), "{ran:?}");
                assert_eq!(show(&bench.worlds[on]), ["INBOX: a b", "Work: c"]);
            }
            bench.worlds[on].set_hook(None);
            let options = Options { retry: true, accounts_at_once: 1, ..Options::default() };
            assert_eq!(bench.run_with(&options).in_step().moved[on], 1);
            bench.settle();
            assert_eq!(show(&bench.worlds[on]), ["INBOX: b", "Work: a c"]);
        }
    }
}

fn refusal() -> Fault {
    Fault::Fail(StoreError::new(Reach::Message, Kind::Refused, "store", "not this one"))
}

#[test]
fn an_incomplete_listing_under_a_new_uidvalidity_is_not_worked_with() {
    let bench = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    fill(&bench.worlds.remote, &["INBOX: a:S b c"]);
    bench.settle();
    bench.worlds.remote.new_generation(&folder("INBOX"), true);
    bench.worlds.remote.cut_short(&folder("INBOX"), true);
    let ran = bench.run();
    assert!(ran.outcome == Outcome::Partial && ran.counts.is_empty(), "{ran:?}");
    bench.worlds.remote.cut_short(&folder("INBOX"), false);
    bench.settle();
    assert_eq!(show(&bench.worlds.local), ["INBOX: a:S b c"]);
}

#[test]
fn nothing_is_copied_to_a_folder_that_was_never_seen_whole() {
    let bench = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    fill(&bench.worlds.local, &["INBOX: a"]);
    fill(&bench.worlds.remote, &["INBOX: a"]);
    bench.worlds.remote.cut_short(&folder("INBOX"), true);
    let ran = bench.run();
    assert!(ran.outcome == Outcome::Partial && ran.counts.copied == Sides::default(), "{ran:?}");
    bench.worlds.remote.cut_short(&folder("INBOX"), false);
    bench.settle();
    assert_eq!(show(&bench.worlds.remote), ["INBOX: a"]);
}

#[test]
fn a_keyword_that_only_one_side_holds_survives_a_move() {
    for tell_keys in [true, false] {
        let poor = MemorySettings { space: space("DFPRST"), tell_keys, ..MemorySettings::server() };
        let bench = Bench::new(MemorySettings { space: FlagSpace::all(), ..MemorySettings::maildir() }, poor);
        fill(&bench.worlds.local, &["INBOX: a:S+todo b", "Work: c"]);
        bench.run();
        relocate(&bench.worlds.local, "INBOX", "a", "Work");
        assert_eq!(bench.run().counts.moved, Sides::new(0, 1));
        bench.run();
        assert_eq!(show(&bench.worlds.local), ["INBOX: b", "Work: a:S+todo c"]);
        assert_eq!(show(&bench.worlds.remote), ["INBOX: b", "Work: a:S c"]);
        relocate(&bench.worlds.remote, "Work", "a", "INBOX");
        bench.run();
        bench.run();
        assert_eq!(show(&bench.worlds.local), ["INBOX: a:S+todo b", "Work: c"]);
    }
}

#[test]
fn a_moved_message_that_only_its_email_id_names_is_found_at_once() {
    let server = MemorySettings { email_ids: true, tell_keys: false, ..MemorySettings::server() };
    let bench = Bench::new(server.clone(), server);
    fill(&bench.worlds.local, &["INBOX: x1", "Work: e"]);
    fill(&bench.worlds.remote, &["INBOX: x1"]);
    bench.settle();
    relocate(&bench.worlds.local, "INBOX", "x1", "Work");
    bench.run().in_step();
    bench.run().did_nothing();
    bench.in_step();
}

#[test]
fn what_was_downloaded_is_known_by_its_email_id() {
    let bench = Bench::new(MemorySettings::maildir(), MemorySettings { email_ids: true, ..MemorySettings::server() });
    fill(&bench.worlds.remote, &["INBOX: a b"]);
    bench.settle();
    let state = State::open(&bench.state()).expect("the state");
    let rows = state.rows(state.folders().expect("folders")[0].id).expect("rows");
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.identity.email_id.is_some()), "{rows:?}");
}

#[test]
fn a_side_that_seems_emptied_is_not_believed_because_another_folder_could_not_be_looked_at() {
    let bench = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    fill(&bench.worlds.remote, &["INBOX: a b", "Work: c"]);
    bench.settle();
    for (at, name) in [("INBOX", "a"), ("INBOX", "b"), ("Work", "c")] {
        delete(&bench.worlds.local, at, name);
    }
    bench.worlds.remote.set_hook(Some(Arc::new(|step| match (step.action, &step.folder) {
        (Action::Changes | Action::Open, Some(name)) if *name == folder("Work") => {
            Fault::Fail(StoreError::new(Reach::Folder, Kind::Refused, "look", "not today"))
        }
        _ => Fault::None,
    })));
    assert_eq!(bench.run().outcome, Outcome::Partial);
    assert_eq!(show(&bench.worlds.remote), ["INBOX: a b", "Work: c"]);
}

#[test]
fn what_is_brought_back_comes_even_if_the_connection_is_lost_on_the_way() {
    let start = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    fill(&start.worlds.remote, &["INBOX: a b:S c", "Work: e"]);
    start.settle();
    for name in ["a", "b", "c"] {
        delete(&start.worlds.local, "INBOX", name);
    }
    delete(&start.worlds.local, "Work", "e");
    assert_eq!(start.run().outcome, Outcome::Partial);
    for when in [When::Before, When::After] {
        for step in 0.. {
            let mut bench = start.fork();
            let faulty = Faulty::arm(&bench, step, when, Blow::Fail(Reach::Connection));
            let restore = Options { restore: true, accounts_at_once: 1, ..Options::default() };
            bench.run_with(&restore);
            let struck = faulty.struck();
            faulty.disarm(&mut bench);
            bench.run_with(&restore);
            assert_eq!(show(&bench.worlds.local), ["INBOX: a b:S c", "Work: e"], "{when:?} step {step}");
            bench.run().did_nothing();
            if !struck {
                break;
            }
        }
    }
}

#[test]
fn a_folder_whose_moves_fail_does_not_keep_the_others_from_being_synced() {
    let bench = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    fill(&bench.worlds.local, &["INBOX: a b", "Other: c", "Work: e"]);
    bench.settle();
    relocate(&bench.worlds.local, "INBOX", "a", "Work");
    fill(&bench.worlds.local, &["Other: f"]);
    bench.worlds.remote.set_hook(Some(Arc::new(|step| match step.action {
        Action::Move => Fault::Fail(StoreError::new(Reach::Folder, Kind::Refused, "move", "not today")),
        _ => Fault::None,
    })));
    let ran = bench.run();
    assert_eq!(ran.outcome, Outcome::Partial, "{ran:?}");
    assert_eq!(show(&bench.worlds.remote), ["INBOX: a b", "Other: c f", "Work: e"]);
    bench.worlds.remote.set_hook(None);
    bench.settle();
    assert_eq!(show(&bench.worlds.remote), ["INBOX: b", "Other: c f", "Work: a e"]);
}

#[test]
fn a_message_under_a_new_name_in_its_folder_is_the_same_message() {
    let bench = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    fill(&bench.worlds.remote, &["INBOX: a b:F c"]);
    bench.settle();
    let there = bench.worlds.remote.keys(&folder("INBOX"));
    for name in ["a", "b"] {
        let (world, inbox) = (&bench.worlds.local, folder("INBOX"));
        delete(world, "INBOX", name);
        world.put(&inbox, &mail(name), &flags("S"), Some(date(name)));
    }
    let counts = bench.run().in_step();
    assert_eq!((counts.copied, counts.deleted), (Sides::default(), Sides::default()), "{counts:?}");
    assert_eq!(bench.worlds.remote.keys(&folder("INBOX")), there);
    assert_eq!(show(&bench.worlds.remote), ["INBOX: a:S b:S c"]);
    bench.settle();
    bench.run().did_nothing();
}

#[test]
fn deletions_that_were_held_stay_held_when_mail_arrives() {
    let bench = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    let many: String = (0..25).map(|number| format!(" m{number}")).collect();
    fill(&bench.worlds.remote, &[&format!("INBOX:{many}")]);
    bench.settle();
    for number in 0..25 {
        delete(&bench.worlds.local, "INBOX", &format!("m{number}"));
    }
    for late in ["x", "y", "z"] {
        let ran = bench.run();
        assert!(ran.outcome == Outcome::Partial && ran.counts.deleted == Sides::default(), "{ran:?}");
        fill(&bench.worlds.remote, &[&format!("INBOX: {late}")]);
    }
    assert_eq!(bench.worlds.remote.keys(&folder("INBOX")).len(), 28);
    let allowed = bench.run_with(&Options { allow_delete: true, accounts_at_once: 1, ..Options::default() });
    assert_eq!(allowed.counts.deleted, Sides::new(0, 25));
    bench.settle();
}

#[test]
fn what_is_read_while_its_deletion_is_held_comes_back_read() {
    let bench = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    let many: String = (0..25).map(|number| format!(" m{number}")).collect();
    fill(&bench.worlds.remote, &[&format!("INBOX:{many}")]);
    bench.settle();
    for number in 0..25 {
        delete(&bench.worlds.local, "INBOX", &format!("m{number}"));
    }
    assert_eq!(bench.run().outcome, Outcome::Partial);
    reflag(&bench.worlds.remote, "INBOX", "m3", "S");
    assert_eq!(bench.run().outcome, Outcome::Partial);
    bench.run_with(&Options { restore: true, accounts_at_once: 1, ..Options::default() }).in_step();
    bench.settle();
    assert!(show(&bench.worlds.local)[0].contains(" m3:S "), "{:?}", show(&bench.worlds.local));
}

#[test]
fn after_a_lost_connection_deletions_wait_for_the_next_run() {
    let start = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    fill(&start.worlds.remote, &["INBOX: a b c"]);
    start.settle();
    delete(&start.worlds.local, "INBOX", "a");
    fill(&start.worlds.local, &["INBOX: new"]);
    let mut lost = 0;
    for step in 0.. {
        let mut bench = start.fork();
        let faulty = Faulty::arm(&bench, step, When::Before, Blow::Fail(Reach::Connection));
        let ran = bench.run();
        let (struck, last) = (faulty.struck(), faulty.last());
        faulty.disarm(&mut bench);
        if struck && last == Some(Action::Append) {
            lost += 1;
            assert_eq!((ran.outcome, ran.counts.deleted), (Outcome::Partial, Sides::default()), "{ran:?}");
            assert_eq!(show(&bench.worlds.remote), ["INBOX: a b c new"]);
        }
        bench.settle();
        assert_eq!(show(&bench.worlds.remote), ["INBOX: b c new"], "step {step}");
        if !struck {
            break;
        }
    }
    assert!(lost > 0, "no connection was lost in an append");
}

/// A Maildir whose folders are read whole.
fn read_whole() -> MemorySettings {
    MemorySettings { condstore: false, list_cursors: false, ..MemorySettings::maildir() }
}

/// A Maildir that was put back from a backup, while the state went on.
fn put_back_older(bench: &mut Bench, change: impl Fn(&Bench)) {
    let older = bench.worlds.local.fork();
    change(bench);
    bench.settle();
    bench.worlds.local = older;
}

#[test]
fn an_older_copy_of_a_maildir_deletes_nothing() {
    let changes: [fn(&Bench); 2] = [
        |bench| fill(&bench.worlds.remote, &["INBOX: new", "Work: more"]),
        |bench| fill(&bench.worlds.local, &["INBOX: new"]),
    ];
    for change in changes {
        let mut bench = Bench::new(read_whole(), MemorySettings::server());
        fill(&bench.worlds.remote, &["INBOX: a b c", "Work: e"]);
        bench.settle();
        put_back_older(&mut bench, change);
        let before = bench.worlds.as_ref().map(show);
        for _ in 0..2 {
            let ran = bench.run();
            assert!(ran.counts.is_empty() && ran.outcome == Outcome::Partial, "{ran:?}");
            assert!(ran.told[0].contains("older copy"), "{ran:?}");
            assert_eq!(bench.worlds.as_ref().map(show), before);
        }
        // A run that was cut off brings nothing back, and nothing is deleted after it either.
        let mut cut = bench.fork();
        let stop = cut.stop.clone();
        cut.worlds.local.set_hook(Some(Arc::new(move |step| match step.action {
            Action::Append => {
                stop.set();
                Fault::Crash
            }
            _ => Fault::None,
        })));
        let restore = Options { restore: true, accounts_at_once: 1, ..Options::default() };
        assert_eq!(cut.run_with(&restore).outcome, Outcome::Interrupted);
        cut.worlds.local.set_hook(None);
        cut.stop = Stop::new();
        assert!(cut.run().counts.is_empty());
        for bench in [&cut, &bench] {
            assert_eq!(bench.run_with(&restore).in_step().deleted, Sides::default());
            bench.in_step();
            bench.settle();
            let everything: usize =
                ["a", "b", "c", "e"].iter().map(|name| bench.worlds.remote.count_of(&mail(name))).sum();
            assert_eq!(everything, 4);
        }
    }
}

#[test]
fn an_older_copy_of_a_maildir_is_believed_where_that_is_said() {
    let mut bench = Bench::new(read_whole(), MemorySettings::server());
    fill(&bench.worlds.remote, &["INBOX: a b c"]);
    bench.settle();
    put_back_older(&mut bench, |bench| fill(&bench.worlds.remote, &["INBOX: new"]));
    let believe = Options { allow_delete: true, accounts_at_once: 1, ..Options::default() };
    // What is said of one folder is not said of the others.
    let one = Options { only: vec![Pattern::parse("Work").expect("a pattern")], ..believe.clone() };
    assert!(bench.run_with(&one).counts.is_empty() && bench.run().counts.is_empty());
    assert_eq!(bench.run_with(&believe).in_step().deleted.remote, 1);
    bench.settle();
    assert_eq!(show(&bench.worlds.remote), ["INBOX: a b c"]);
}

#[test]
fn a_folder_that_never_could_be_synced_keeps_nobody_from_bringing_the_others_back() {
    let mut bench = Bench::new(read_whole(), MemorySettings::server());
    fill(&bench.worlds.remote, &["Bad: x", "INBOX: a b c"]);
    let bad = folder("Bad");
    bench.worlds.remote.set_hook(Some(Arc::new(move |step| match (step.action, &step.folder) {
        (Action::Open, Some(of)) if *of == bad => {
            Fault::Fail(StoreError::new(Reach::Folder, Kind::Refused, "select", "not this one"))
        }
        _ => Fault::None,
    })));
    bench.run();
    let older = bench.worlds.local.fork();
    fill(&bench.worlds.remote, &["INBOX: new"]);
    assert_eq!(bench.run().counts.copied.local, 1);
    bench.worlds.local = older;
    assert!(bench.run().told[0].contains("older copy"));
    let restore = Options { restore: true, accounts_at_once: 1, ..Options::default() };
    assert_eq!(bench.run_with(&restore).counts.copied.local, 1);
    let ran = bench.run();
    assert!(ran.counts.is_empty() && ran.told.iter().all(|told| told.contains("not this one")), "{ran:?}");
}
