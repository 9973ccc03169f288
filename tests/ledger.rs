//! Messages that fail by themselves: each waits in the ledger, and nothing else does.

mod support;

use mailsync::mail::{Flags, FolderName, Side, Sides};
use mailsync::state::{ProblemRow, read_problems};
use mailsync::store::memory::{Action, Fault, Hook, MemorySettings, Step, When};
use mailsync::store::{Kind, Reach, StoreError};
use mailsync::sync::{Options, Outcome};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::world::{Bench, Ran, date, delete, fill, flags, folder, key, mail, reflag, relocate, show};

/// Every pair of kinds that a ledger must work with.
fn benches() -> Vec<Bench> {
    let servers = [MemorySettings::server(), MemorySettings::plain_server()];
    let mut benches: Vec<Bench> =
        servers.iter().map(|server| Bench::new(MemorySettings::maildir(), server.clone())).collect();
    benches.push(Bench::new(MemorySettings::plain_server(), MemorySettings::server()));
    benches
}

/// Refuses an action on some messages of a side by their names, and counts how often.
struct Poison {
    tries: Arc<AtomicUsize>,
}

impl Poison {
    /// No message of these names can be fetched from `side`, wherever it is.
    fn fetch(bench: &Bench, side: Side, names: &[&'static str]) -> Poison {
        let names = names.to_vec();
        let world = bench.worlds[side].clone();
        Poison::on(bench, side, Action::Fetch, move |step| {
            let (Some(of), Some(key)) = (&step.folder, &step.key) else { return false };
            names.iter().any(|name| world.find(of, &mail(name)).as_ref() == Some(key))
        })
    }

    fn on(bench: &Bench, side: Side, action: Action, bad: impl Fn(&Step) -> bool + Send + Sync + 'static) -> Poison {
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = tries.clone();
        let hook: Hook = Arc::new(move |step| {
            if step.action != action || step.when != When::Before || !bad(step) {
                return Fault::None;
            }
            counted.fetch_add(1, Ordering::SeqCst);
            Fault::Fail(StoreError::new(Reach::Message, Kind::Refused, action.name(), "poison").with_hint("wait"))
        });
        bench.worlds[side].set_hook(Some(hook));
        Poison { tries }
    }

    /// How often it struck since it was last asked.
    fn struck(&self) -> usize {
        self.tries.swap(0, Ordering::SeqCst)
    }
}

fn cure(bench: &Bench) {
    Side::BOTH.into_iter().for_each(|side| bench.worlds[side].set_hook(None));
}

fn ledger(bench: &Bench) -> Vec<ProblemRow> {
    read_problems(&bench.state()).expect("the ledger")
}

/// Lets the time pass after which every message is tried again.
fn wait_a_day(bench: &Bench) {
    let state = rusqlite::Connection::open(bench.state()).expect("the state");
    state.execute("UPDATE problem SET next = 0", []).expect("a day later");
}

fn retry(bench: &Bench) -> Ran {
    bench.run_with(&Options { retry: true, accounts_at_once: 1, ..Options::default() })
}

/// What the run said, but for how many messages wait.
fn told(ran: &Ran) -> Vec<&str> {
    ran.told.iter().map(String::as_str).filter(|told| !told.ends_with("wait after failures of their own")).collect()
}

/// The run did nothing, and said that something is left.
#[track_caller]
fn rested(ran: &Ran) {
    assert!(ran.counts.is_empty() && ran.outcome == Outcome::Partial && told(ran).is_empty(), "{ran:?}");
}

#[test]
fn what_cannot_be_fetched_waits_and_the_rest_of_the_folder_is_synced() {
    for side in Side::BOTH {
        for bench in benches() {
            let (sick, well) = (&bench.worlds[side], &bench.worlds[side.other()]);
            fill(sick, &["INBOX: a b:S c x1"]);
            bench.settle();
            fill(sick, &["INBOX: bad:F new worse"]);
            fill(well, &["INBOX: other"]);
            reflag(sick, "INBOX", "a", "F");
            delete(sick, "INBOX", "b");
            delete(well, "INBOX", "c");
            let poison = Poison::fetch(&bench, side, &["bad", "worse"]);
            let ran = bench.run();
            assert_eq!(ran.outcome, Outcome::Partial);
            assert!(told(&ran).len() == 2 && told(&ran).iter().all(|told| told.ends_with("fetch: poison")), "{ran:?}");
            assert_eq!(poison.struck(), 2);
            assert_eq!(show(well), ["INBOX: a:F new other x1"]);
            assert_eq!(show(sick), ["INBOX: a:F bad:F new other worse x1"]);
            let rows = ledger(&bench);
            assert_eq!(rows.len(), 2);
            assert_eq!(rows[0].waiting.key, key(sick, "INBOX", "bad"));
            assert_eq!((rows[0].waiting.side, rows[0].waiting.tries), (side, 1));
            assert_eq!((&*rows[0].waiting.cause, rows[0].waiting.hint.as_deref()), ("poison", Some("wait")));
            assert_eq!(rows[0].waiting.next.duration_since(rows[0].waiting.last).expect("later").as_secs(), 15 * 60);

            // It is left alone, and what happens meanwhile is seen.
            rested(&bench.run());
            fill(sick, &["INBOX: later"]);
            fill(well, &["INBOX: there"]);
            delete(well, "INBOX", "a");
            assert_eq!(bench.run().outcome, Outcome::Partial);
            assert_eq!(poison.struck(), 0);
            assert_eq!(show(well), ["INBOX: later new other there x1"]);
            assert_eq!(show(sick), ["INBOX: bad:F later new other there worse x1"]);

            // Its time comes, and comes again.
            wait_a_day(&bench);
            let ran = bench.run();
            assert!(ran.counts.is_empty() && told(&ran).len() == 2, "{ran:?}");
            assert_eq!((poison.struck(), ledger(&bench)[0].waiting.tries), (2, 2));
            rested(&bench.run());
            cure(&bench);
            rested(&bench.run());
            wait_a_day(&bench);
            bench.run().in_step();
            assert_eq!(show(well), ["INBOX: bad:F later new other there worse x1"]);
            assert_eq!(ledger(&bench), []);
            bench.run().did_nothing();
            bench.in_step();
        }
    }
}

#[test]
fn what_the_other_side_refuses_waits_too_and_both_sides_may_have_such_messages() {
    for bench in benches() {
        fill(&bench.worlds.local, &["INBOX: a l"]);
        fill(&bench.worlds.remote, &["INBOX: a r"]);
        for side in Side::BOTH {
            // One append and no more is refused on each side: the one message that is to be copied there.
            Poison::on(&bench, side, Action::Append, |_| true);
        }
        let ran = bench.run();
        assert_eq!((ran.outcome, told(&ran).len()), (Outcome::Partial, 2), "{ran:?}");
        let mut sides: Vec<Side> = ledger(&bench).iter().map(|row| row.waiting.side).collect();
        sides.sort();
        assert_eq!(sides, Side::BOTH);
        rested(&bench.run());
        cure(&bench);
        let ran = retry(&bench);
        assert_eq!((ran.in_step().copied, ledger(&bench).len()), (Sides::new(1, 1), 0));
        bench.settle();
    }
}

#[test]
fn a_retry_asks_at_once_and_only_where_it_is_told_to() {
    for bench in benches() {
        fill(&bench.worlds.remote, &["INBOX: bad", "Work: worse"]);
        let poison = Poison::fetch(&bench, Side::Remote, &["bad", "worse"]);
        bench.run();
        poison.struck();
        retry(&bench);
        assert_eq!(poison.struck(), 2);
        cure(&bench);
        fill(&bench.worlds.remote, &["Lists: a"]);
        let only = Options { retry: true, only_waiting: true, accounts_at_once: 1, ..Options::default() };
        assert_eq!(bench.run_with(&only).in_step().copied, Sides::new(2, 0));
        assert_eq!(show(&bench.worlds.local), ["INBOX: bad", "Work: worse"]);
        bench.settle();
    }
}

#[test]
fn a_message_that_goes_while_it_waits_leaves_the_ledger_and_nothing_is_deleted_for_it() {
    for bench in benches() {
        fill(&bench.worlds.remote, &["INBOX: a bad b"]);
        Poison::fetch(&bench, Side::Remote, &["bad"]);
        bench.run();
        delete(&bench.worlds.remote, "INBOX", "bad");
        let ran = bench.run();
        assert_eq!((ran.in_step().deleted, ledger(&bench).len()), (Sides::default(), 0), "{ran:?}");
        bench.settle();
        assert_eq!(show(&bench.worlds.local), ["INBOX: a b"]);
    }
}

#[test]
fn a_message_that_waits_is_copied_with_the_flags_that_it_has_by_then() {
    for bench in benches() {
        fill(&bench.worlds.remote, &["INBOX: a bad:F"]);
        Poison::fetch(&bench, Side::Remote, &["bad"]);
        bench.run();
        reflag(&bench.worlds.remote, "INBOX", "bad", "RS+todo");
        rested(&bench.run());
        assert_eq!(ledger(&bench)[0].waiting.flags, flags("RS+todo"));
        cure(&bench);
        reflag(&bench.worlds.remote, "INBOX", "bad", "S+todo");
        retry(&bench).in_step();
        assert_eq!(show(&bench.worlds.local), ["INBOX: a bad:S+todo"]);
        bench.settle();
    }
}

#[test]
fn a_message_that_is_moved_while_it_waits_is_tried_where_it_is_now() {
    for bench in benches() {
        fill(&bench.worlds.remote, &["INBOX: a bad", "Work: c"]);
        let poison = Poison::fetch(&bench, Side::Remote, &["bad"]);
        bench.run();
        poison.struck();
        relocate(&bench.worlds.remote, "INBOX", "bad", "Work");
        assert_eq!(bench.run().outcome, Outcome::Partial);
        assert_eq!(poison.struck(), 1);
        let rows = ledger(&bench);
        assert_eq!((rows.len(), rows[0].names.remote.clone(), rows[0].waiting.tries), (1, folder("Work"), 1));
        cure(&bench);
        retry(&bench).in_step();
        assert_eq!(show(&bench.worlds.local), ["INBOX: a", "Work: bad c"]);
        bench.settle();
    }
}

#[test]
fn a_new_uidvalidity_forgets_what_waited_under_the_old_one() {
    for bench in benches() {
        fill(&bench.worlds.local, &["INBOX: local"]);
        fill(&bench.worlds.remote, &["INBOX: a bad b"]);
        let poison = Poison::fetch(&bench, Side::Remote, &["bad"]);
        let refused = Poison::on(&bench, Side::Local, Action::Fetch, |_| true);
        bench.run();
        assert_eq!((poison.struck(), refused.struck(), ledger(&bench).len()), (1, 1, 2));
        bench.worlds.remote.new_generation(&folder("INBOX"), true);
        let ran = bench.run();
        assert_eq!((ran.outcome, ran.counts), (Outcome::Partial, Default::default()), "{ran:?}");
        assert_eq!(poison.struck(), 1);
        let rows = ledger(&bench);
        let remote = rows.iter().find(|row| row.waiting.side == Side::Remote).expect("it is found anew");
        assert_eq!((remote.waiting.key.clone(), rows.len()), (key(&bench.worlds.remote, "INBOX", "bad"), 2));
        assert_eq!(bench.run().counts, Default::default());
        cure(&bench);
        retry(&bench).in_step();
        bench.settle();
        assert_eq!(show(&bench.worlds.local), ["INBOX: a b bad local"]);
    }
}

#[test]
fn a_lost_state_finds_the_poison_anew() {
    for bench in benches() {
        fill(&bench.worlds.remote, &["INBOX: a bad b"]);
        let poison = Poison::fetch(&bench, Side::Remote, &["bad"]);
        bench.run();
        bench.lose_state();
        bench.worlds.local.set_claim(Some(mailsync::store::Claim::Ours));
        poison.struck();
        let ran = bench.run();
        assert_eq!((ran.counts, poison.struck(), ledger(&bench).len()), (Default::default(), 1, 1), "{ran:?}");
        cure(&bench);
        retry(&bench).in_step();
        bench.settle();
    }
}

#[test]
fn the_same_message_arriving_on_the_other_side_is_bound_to_the_one_that_waits() {
    for bench in benches() {
        fill(&bench.worlds.remote, &["INBOX: a bad:F worse"]);
        let poison = Poison::fetch(&bench, Side::Remote, &["bad", "worse"]);
        bench.run();
        poison.struck();
        bench.worlds.local.put(&folder("INBOX"), &mail("bad"), &flags("S"), Some(date("bad")));
        let ran = bench.run();
        assert_eq!((ran.counts.copied, poison.struck()), (Sides::default(), 0), "{ran:?}");
        assert_eq!(show(&bench.worlds.local), ["INBOX: a bad:FS"]);
        assert_eq!(show(&bench.worlds.remote), ["INBOX: a bad:FS worse"]);
        assert_eq!(ledger(&bench).len(), 1);
        rested(&bench.run());
    }
}

#[test]
fn flags_and_deletions_that_are_refused_are_listed_until_they_are_done() {
    for action in [Action::SetFlags, Action::Remove] {
        for bench in benches() {
            fill(&bench.worlds.remote, &["INBOX: a b c"]);
            bench.settle();
            match action {
                Action::SetFlags => reflag(&bench.worlds.local, "INBOX", "a", "F"),
                _ => delete(&bench.worlds.local, "INBOX", "a"),
            }
            delete(&bench.worlds.local, "INBOX", "c");
            let sick = key(&bench.worlds.remote, "INBOX", "a");
            let poison = Poison::on(&bench, Side::Remote, action, move |step| step.key.as_ref() == Some(&sick));
            for tries in 1..3 {
                let ran = bench.run();
                assert_eq!((ran.outcome, told(&ran).len(), poison.struck()), (Outcome::Partial, 1, 1), "{ran:?}");
                assert_eq!(show(&bench.worlds.remote), ["INBOX: a b"]);
                let rows = ledger(&bench);
                assert_eq!((rows.len(), rows[0].waiting.tries, rows[0].waiting.side), (1, tries, Side::Remote));
                assert_eq!(rows[0].waiting.action, action.name());
            }
            cure(&bench);
            bench.run().in_step();
            assert_eq!(ledger(&bench), []);
            bench.settle();
        }
    }
}

#[test]
fn a_side_that_is_full_takes_no_more_and_everything_else_goes_on() {
    for bench in benches() {
        fill(&bench.worlds.remote, &["INBOX: a b", "Work: c"]);
        bench.settle();
        fill(&bench.worlds.local, &["INBOX: one two three", "Work: four"]);
        fill(&bench.worlds.remote, &["INBOX: down", "Work: load"]);
        delete(&bench.worlds.local, "INBOX", "a");
        reflag(&bench.worlds.local, "INBOX", "b", "S");
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = tries.clone();
        bench.worlds.remote.set_hook(Some(Arc::new(move |step| match (step.action, step.when) {
            (Action::Append, When::Before) => {
                counted.fetch_add(1, Ordering::SeqCst);
                Fault::Fail(StoreError::new(Reach::Folder, Kind::Later, "append", "over quota"))
            }
            _ => Fault::None,
        })));
        let ran = bench.run();
        assert_eq!((ran.outcome, told(&ran).len()), (Outcome::Partial, 1), "{ran:?}");
        assert!(tries.load(Ordering::SeqCst) == 1 && ledger(&bench).is_empty(), "{ran:?}");
        assert_eq!(show(&bench.worlds.local), ["INBOX: b:S down one three two", "Work: c four load"]);
        // What was deleted here makes room there.
        assert_eq!(show(&bench.worlds.remote), ["INBOX: b:S down", "Work: c load"]);
        cure(&bench);
        bench.settle();
    }
}

#[test]
fn a_dry_run_notes_nothing_and_says_that_something_waits() {
    let bench = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    fill(&bench.worlds.remote, &["INBOX: a bad"]);
    Poison::fetch(&bench, Side::Remote, &["bad"]);
    bench.run();
    let before = ledger(&bench);
    reflag(&bench.worlds.remote, "INBOX", "bad", "S");
    wait_a_day(&bench);
    assert_eq!(bench.dry_run().outcome, Outcome::Partial);
    let after = ledger(&bench);
    assert_eq!((after.len(), &after[0].waiting.flags, after[0].waiting.tries), (1, &Flags::new(), 1));
    assert_eq!(before[0].waiting.key, after[0].waiting.key);
}

#[test]
fn a_folder_that_is_forgotten_takes_its_entries_along() {
    let bench = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    fill(&bench.worlds.remote, &["Work: a bad"]);
    Poison::fetch(&bench, Side::Remote, &["bad"]);
    bench.run();
    let work: FolderName = folder("Work");
    Side::BOTH.into_iter().for_each(|side| assert!(bench.worlds[side].remove_folder(&work)));
    bench.run().in_step();
    assert_eq!(ledger(&bench), []);
}

#[test]
fn a_folder_with_a_message_that_waits_is_not_deleted_with_its_counterpart() {
    let mut bench = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    bench.delete_folders = true;
    fill(&bench.worlds.local, &["Work: a bad", "Other: b"]);
    Poison::fetch(&bench, Side::Local, &["bad"]);
    assert_eq!(bench.run().outcome, Outcome::Partial);
    assert!(bench.worlds.remote.remove_folder(&folder("Work")));
    let ran = bench.run();
    assert_eq!((ran.outcome, ran.counts), (Outcome::Partial, Default::default()), "{ran:?}");
    assert_eq!(bench.worlds.local.keys(&folder("Work")).len(), 2);
}

#[test]
fn a_run_that_dies_while_it_tries_again_neither_doubles_nor_forgets() {
    let start = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    fill(&start.worlds.remote, &["INBOX: a bad b"]);
    fill(&start.worlds.local, &["INBOX: big"]);
    Poison::fetch(&start, Side::Remote, &["bad"]);
    Poison::on(&start, Side::Local, Action::Fetch, |_| true);
    start.run();
    assert_eq!(ledger(&start).len(), 2);
    wait_a_day(&start);
    for when in [When::Before, When::After] {
        for step in 0.. {
            let mut bench = start.fork();
            let faulty = support::faulty::Faulty::arm(&bench, step, when, support::faulty::Blow::Crash);
            bench.run();
            let struck = faulty.struck();
            faulty.disarm(&mut bench);
            bench.run();
            bench.settle();
            assert_eq!(show(&bench.worlds.local), ["INBOX: a b bad big"], "{when:?} step {step}");
            assert_eq!(ledger(&bench), []);
            if !struck {
                break;
            }
        }
    }
}
