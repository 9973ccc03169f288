//! Copies that take several batches: one thread takes messages in while another one stores them.

mod support;

use mailsync::mail::{Side, Sides};
use mailsync::store::memory::{Action, Fault, MemorySettings, Step, When};
use mailsync::store::{Kind, Reach, StoreError};
use mailsync::sync::{Options, Outcome};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use support::faulty::{Blow, Faulty};
use support::world::{Bench, contents, fill, folder, key};

/// More than two batches.
const MANY: usize = 230;

/// What a batch holds, and how many of them there can be at a time: one that comes in, one that waits, one that is stored.
const BATCH: usize = 100;
const AT_ONCE: usize = 3;

fn names(first: char, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{first}{number}")).collect()
}

/// Each side has messages that the other one lacks.
fn bench(local: MemorySettings, remote: MemorySettings) -> Bench {
    let bench = Bench::new(local, remote);
    fill(&bench.worlds.local, &[&format!("INBOX: {}", names('l', MANY).join(" "))]);
    fill(&bench.worlds.remote, &[&format!("INBOX: {}", names('r', MANY).join(" "))]);
    bench
}

fn benches() -> Vec<Bench> {
    vec![
        bench(MemorySettings::maildir(), MemorySettings::server()),
        bench(MemorySettings::maildir(), MemorySettings::plain_server()),
        bench(MemorySettings::plain_server(), MemorySettings::server()),
    ]
}

fn all() -> BTreeMap<String, usize> {
    names('l', MANY).into_iter().chain(names('r', MANY)).map(|name| (name, 1)).collect()
}

/// How often each message is in a side's INBOX.
fn tally(bench: &Bench, side: Side) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (name, _) in contents(&bench.worlds[side]).remove(&folder("INBOX")).expect("an INBOX") {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

#[track_caller]
fn in_step(bench: &Bench, at: &str) {
    for side in Side::BOTH {
        assert_eq!(tally(bench, side), all(), "{at}: on {side}");
    }
    bench.run().did_nothing();
}

fn retry(bench: &Bench) {
    bench.run_with(&Options { retry: true, accounts_at_once: 1, ..Options::default() });
}

#[test]
fn all_batches_arrive_in_both_directions() {
    for bench in benches() {
        let ran = bench.run();
        assert_eq!((ran.outcome, ran.counts.copied), (Outcome::InStep, Sides::new(MANY, MANY)), "{ran:?}");
        in_step(&bench, "no fault");
    }
}

/// Wherever one of the threads is when the run ends, and whatever the other one does meanwhile.
#[test]
fn a_run_that_ends_at_any_step_is_finished_by_the_next_one() {
    let blows = [
        Blow::Crash,
        Blow::Fail(Reach::Message),
        Blow::Fail(Reach::Folder),
        Blow::Fail(Reach::Connection),
        Blow::Fail(Reach::Account),
    ];
    for start in benches() {
        for (number, blow) in blows.into_iter().enumerate() {
            for when in [When::Before, When::After] {
                if (blow, when) == (Blow::Fail(Reach::Message), When::After) {
                    // What a store refuses has no effect.
                    continue;
                }
                // Each kind of blow at steps of its own.
                let steps = (number..).step_by(197).take_while(|step| strike(&start, *step, when, blow)).count();
                assert!(steps > 3, "{blow:?} {when:?}: only {steps} steps");
            }
        }
    }
}

/// Runs with a blow at one step, then to the end; `false` where the run has no such step.
fn strike(start: &Bench, step: usize, when: When, blow: Blow) -> bool {
    let mut bench = start.fork();
    let faulty = Faulty::arm(&bench, step, when, blow);
    let ran = bench.run();
    let struck = faulty.struck();
    faulty.disarm(&mut bench);
    let at = format!("{blow:?} {when:?} step {step}: {ran:?}");
    if struck && blow == Blow::Crash {
        assert_eq!(ran.outcome, Outcome::Interrupted, "{at}");
    }
    (0..3).for_each(|_| retry(&bench));
    in_step(&bench, &at);
    struck
}

/// The first batch is not stored before more than it has been fetched.
#[test]
fn the_line_does_not_wait_for_a_batch_that_is_being_stored() {
    for (to, from) in [(Side::Local, Side::Remote), (Side::Remote, Side::Local)] {
        let bench = Bench::new(MemorySettings::maildir(), MemorySettings::server());
        fill(&bench.worlds[from], &[&format!("INBOX: {}", names('m', MANY).join(" "))]);
        let fetched = Arc::new((Mutex::new(0), Condvar::new()));
        let counted = fetched.clone();
        bench.worlds[from].set_hook(Some(Arc::new(move |step: &Step| {
            if step.action == Action::Fetch && step.when == When::After {
                *counted.0.lock().expect("nobody panicked") += 1;
                counted.1.notify_all();
            }
            Fault::None
        })));
        bench.worlds[to].set_hook(Some(Arc::new(move |step: &Step| {
            if step.action == Action::Append && step.when == When::Before && step.nth_of_action == 0 {
                let count = fetched.0.lock().expect("nobody panicked");
                let enough = |count: &mut usize| *count < 2 * BATCH;
                let waited = fetched.1.wait_timeout_while(count, Duration::from_secs(60), enough);
                assert!(!waited.expect("nobody panicked").1.timed_out(), "only one batch is fetched");
            }
            Fault::None
        })));
        assert_eq!(bench.run().counts.copied[to], MANY);
    }
}

/// Nothing is fetched that nobody will store.
#[test]
fn a_store_that_fails_ends_the_download() {
    let bench = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    fill(&bench.worlds.remote, &[&format!("INBOX: {}", names('m', 1000).join(" "))]);
    let fetched = Arc::new(AtomicUsize::new(0));
    let counted = fetched.clone();
    bench.worlds.remote.set_hook(Some(Arc::new(move |step: &Step| {
        counted.fetch_add(usize::from(step.action == Action::Fetch && step.when == When::Before), Ordering::SeqCst);
        Fault::None
    })));
    let counted = fetched.clone();
    bench.worlds.local.set_hook(Some(Arc::new(move |step: &Step| match (step.action, step.when) {
        (Action::Append, When::Before) => {
            // Not before as much has come as may come meanwhile.
            while counted.load(Ordering::SeqCst) < AT_ONCE * BATCH {
                std::thread::yield_now();
            }
            Fault::Fail(StoreError::new(Reach::Folder, Kind::Disk, "deliver", "the disk is broken"))
        }
        _ => Fault::None,
    })));
    let ran = bench.run();
    assert_eq!((ran.outcome, ran.counts.copied.local), (Outcome::Partial, 0), "{ran:?}");
    assert!(ran.told.iter().any(|told| told.contains("the disk is broken")), "{ran:?}");
    let fetched = fetched.load(Ordering::SeqCst);
    assert_eq!(fetched, AT_ONCE * BATCH);
    bench.worlds.local.set_hook(None);
    assert_eq!(bench.run().counts.copied.local, 1000);
}

/// What is refused is known by its own key, whichever batch it was in.
#[test]
fn of_many_messages_those_that_were_refused_wait() {
    for (to, from) in [(Side::Local, Side::Remote), (Side::Remote, Side::Local)] {
        let bench = Bench::new(MemorySettings::maildir(), MemorySettings::server());
        fill(&bench.worlds[from], &[&format!("INBOX: {}", names('m', MANY).join(" "))]);
        let bad = ["m7", "m150", "m229"].map(|name| key(&bench.worlds[from], "INBOX", name));
        let refused = |action: Action| StoreError::new(Reach::Message, Kind::Refused, action.name(), "poison");
        bench.worlds[from].set_hook(Some(Arc::new(move |step: &Step| match (&step.key, step.action, step.when) {
            (Some(key), Action::Fetch, When::Before) if bad.contains(key) => Fault::Fail(refused(step.action)),
            _ => Fault::None,
        })));
        bench.worlds[to].set_hook(Some(Arc::new(move |step: &Step| {
            match (step.action, step.when, step.nth_of_action) {
                (Action::Append, When::Before, 20 | 120 | 220) => Fault::Fail(refused(step.action)),
                _ => Fault::None,
            }
        })));
        let ran = bench.run();
        assert_eq!((ran.outcome, ran.counts.copied[to]), (Outcome::Partial, MANY - 6), "{ran:?}");
        Side::BOTH.into_iter().for_each(|side| bench.worlds[side].set_hook(None));
        retry(&bench);
        let expected = names('m', MANY).into_iter().map(|name| (name, 1)).collect();
        assert_eq!(tally(&bench, to), expected);
        bench.run().did_nothing();
    }
}
