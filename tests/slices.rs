//! First syncs of large folders, a part at a time and over several connections.

mod support;

use mailsync::mail::{Side, Sides};
use mailsync::store::memory::{Action, Fault, MemorySettings, Step, When};
use mailsync::store::{Kind, Reach, StoreError};
use mailsync::sync::{Options, Outcome};
use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use support::faulty::{Blow, Faulty};
use support::world::{Bench, contents, fill, folder, key, show_flags};

const CONNECTIONS: usize = 3;
const AT_ONCE: u64 = 12;

/// What a connection takes at a time.
const SLICE: usize = AT_ONCE as usize / CONNECTIONS;

fn bench(messages: &str) -> Bench {
    let mut bench = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    (bench.connections, bench.at_once) = (CONNECTIONS, AT_ONCE);
    fill(&bench.worlds.remote, &[messages]);
    bench
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("m{number}")).collect()
}

fn inbox(count: usize) -> String {
    format!("INBOX: {}", names(count).join(" "))
}

/// The messages of a side's INBOX, with their flags.
fn held(bench: &Bench, side: Side) -> Vec<String> {
    let messages = contents(&bench.worlds[side]).remove(&folder("INBOX")).expect("an INBOX");
    messages.iter().map(|(name, flags)| format!("{name}:{}", show_flags(flags))).collect()
}

fn retry(bench: &Bench) {
    bench.run_with(&Options { retry: true, accounts_at_once: 1, ..Options::default() });
}

/// While the first slice is being stored, the others are fetched.
#[test]
fn a_large_folder_is_pulled_over_several_connections_at_once() {
    let bench = bench(&inbox(60));
    let fetched = Arc::new((Mutex::new(0), Condvar::new()));
    let counted = fetched.clone();
    bench.worlds.remote.set_hook(Some(Arc::new(move |step: &Step| {
        if step.action == Action::Fetch && step.when == When::After {
            *counted.0.lock().expect("nobody panicked") += 1;
            counted.1.notify_all();
        }
        Fault::None
    })));
    bench.worlds.local.set_hook(Some(Arc::new(move |step: &Step| {
        if step.action == Action::Append && step.when == When::Before && step.nth_of_action == 0 {
            let count = fetched.0.lock().expect("nobody panicked");
            let enough = |count: &mut usize| *count < CONNECTIONS * SLICE;
            let waited = fetched.1.wait_timeout_while(count, Duration::from_secs(60), enough);
            assert!(!waited.expect("nobody panicked").1.timed_out(), "nobody else fetches");
        }
        Fault::None
    })));
    assert_eq!(bench.run().in_step().copied, Sides::new(60, 0));
    Side::BOTH.into_iter().for_each(|side| bench.worlds[side].set_hook(None));
    assert_eq!(held(&bench, Side::Local), held(&bench, Side::Remote));
    bench.run().did_nothing();
}

/// A Maildir has 26 letters for keywords. Whoever comes too late for one must know it: what a copy was not given is not
/// taken for removed there.
#[test]
fn keywords_that_find_no_room_stay_on_the_server() {
    for keywords in [20, 26, 40] {
        let messages: String = (0..60).map(|n| format!(" m{n}:+k{}+common", n % keywords)).collect();
        let bench = bench(&format!("INBOX:{messages}"));
        let before = held(&bench, Side::Remote);
        assert_eq!(bench.run().counts.copied, Sides::new(60, 0));
        retry(&bench);
        bench.run().did_nothing();
        assert_eq!(held(&bench, Side::Remote), before);
        let local = held(&bench, Side::Local);
        let kept: BTreeSet<&str> = local.iter().flat_map(|message| message.split('+').skip(1)).collect();
        assert_eq!((local.len(), kept.len()), (60, 26.min(keywords + 1)), "{local:?}");
    }
}

/// A message that is refused, by either side, waits; the others come.
#[test]
fn of_many_messages_those_that_were_refused_wait() {
    let bench = bench(&inbox(60));
    let bad = ["m1", "m17", "m59"].map(|name| key(&bench.worlds.remote, "INBOX", name));
    let refused = |action: Action| StoreError::new(Reach::Message, Kind::Refused, action.name(), "poison");
    bench.worlds.remote.set_hook(Some(Arc::new(move |step: &Step| match (&step.key, step.action, step.when) {
        (Some(key), Action::Fetch, When::Before) if bad.contains(key) => Fault::Fail(refused(step.action)),
        _ => Fault::None,
    })));
    bench.worlds.local.set_hook(Some(Arc::new(move |step: &Step| {
        match (step.action, step.when, step.nth_of_action) {
            (Action::Append, When::Before, 5 | 30) => Fault::Fail(refused(step.action)),
            _ => Fault::None,
        }
    })));
    let ran = bench.run();
    assert_eq!((ran.outcome, ran.counts.copied.local), (Outcome::Partial, 55), "{ran:?}");
    assert_eq!(ran.told.iter().filter(|told| told.contains("poison")).count(), 5, "{ran:?}");
    Side::BOTH.into_iter().for_each(|side| bench.worlds[side].set_hook(None));
    retry(&bench);
    assert_eq!(held(&bench, Side::Local), held(&bench, Side::Remote));
    bench.run().did_nothing();
}

#[test]
fn a_run_that_ends_at_any_step_is_finished_by_the_next_one() {
    let start = bench(&inbox(40));
    let blows = [
        Blow::Crash,
        Blow::Fail(Reach::Message),
        Blow::Fail(Reach::Folder),
        Blow::Fail(Reach::Connection),
        Blow::Fail(Reach::Account),
    ];
    for (number, blow) in blows.into_iter().enumerate() {
        for when in [When::Before, When::After] {
            if (blow, when) == (Blow::Fail(Reach::Message), When::After) {
                // What a store refuses has no effect.
                continue;
            }
            let steps = (number..).step_by(7).take_while(|step| strike(&start, *step, when, blow)).count();
            assert!(steps > 10, "{blow:?} {when:?}: only {steps} steps");
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
    (0..3).for_each(|_| retry(&bench));
    let expected: Vec<String> = held(start, Side::Remote);
    for side in Side::BOTH {
        assert_eq!(held(&bench, side), expected, "{at}: on {side}");
    }
    bench.run().did_nothing();
    struck
}
