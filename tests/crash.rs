//! Whatever step a run dies or fails at, the next one finishes the job: nothing is lost, nothing is doubled.

mod support;

use mailsync::mail::{Role, Sides};
use mailsync::state::State;
use mailsync::store::Reach;
use mailsync::store::memory::{MemorySettings, When};
use mailsync::sync::{Options, Outcome};
use std::collections::BTreeMap;
use support::faulty::{Blow, Faulty};
use support::world::{Bench, delete, fill, folder, reflag, relocate, show};

/// What is there before the run under test: worlds that may have been synced, and what happened to them since.
struct Scenario {
    name: &'static str,
    settings: fn() -> Sides<MemorySettings>,
    before: Sides<&'static [&'static str]>,
    /// Whether the worlds are synced before the changes.
    synced: bool,
    changes: fn(&Bench),
    /// Both sides in the end.
    after: &'static [&'static str],
}

fn usual() -> Sides<MemorySettings> {
    Sides::new(MemorySettings::maildir(), MemorySettings::server())
}

fn plain() -> Sides<MemorySettings> {
    Sides::new(MemorySettings::maildir(), MemorySettings::plain_server())
}

fn servers() -> Sides<MemorySettings> {
    Sides::new(MemorySettings::server(), MemorySettings::plain_server())
}

fn no_moves() -> Sides<MemorySettings> {
    Sides::new(MemorySettings::maildir(), MemorySettings { moves: false, ..MemorySettings::plain_server() })
}

const WITH_TRASH: &[&str] = &["INBOX: a:F b:S c d1 d2 x1", "Trash: x2 x3"];

/// Four messages are deleted here, one of which bears the mark of it, and one in the trash.
fn delete_with_trash(bench: &Bench) {
    bench.worlds.remote.describe(&folder("Trash"), Some(Role::Trash), Some(true), true);
    reflag(&bench.worlds.local, "INBOX", "a", "FT");
    bench.settle();
    for name in ["a", "c", "d1", "x1"] {
        delete(&bench.worlds.local, "INBOX", name);
    }
    delete(&bench.worlds.local, "Trash", "x2");
}

const NOTHING: &[&str] = &[];
const MAIL: &[&str] = &["INBOX: a b:S c", "Lists/x: d1 x1:F"];

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "first sync, all on the server",
        settings: usual,
        before: Sides { local: NOTHING, remote: MAIL },
        synced: false,
        changes: |_| {},
        after: MAIL,
    },
    Scenario {
        name: "first sync in slices, all on the server",
        settings: usual,
        before: Sides { local: NOTHING, remote: &["INBOX: a b:S c d1 d2:F e f", "Lists/x: x1:F x2 x3"] },
        synced: false,
        changes: |_| {},
        after: &["INBOX: a b:S c d1 d2:F e f", "Lists/x: x1:F x2 x3"],
    },
    Scenario {
        name: "first sync in slices, no UIDPLUS, all here",
        settings: plain,
        before: Sides { local: &["INBOX: a b:S c d1 d2:F", "Lists/x: x1"], remote: NOTHING },
        synced: false,
        changes: |_| {},
        after: &["INBOX: a b:S c d1 d2:F", "Lists/x: x1"],
    },
    Scenario {
        name: "first sync, all here",
        settings: usual,
        before: Sides { local: MAIL, remote: NOTHING },
        synced: false,
        changes: |_| {},
        after: MAIL,
    },
    Scenario {
        name: "first sync, some on both sides, no UIDPLUS",
        settings: plain,
        before: Sides { local: &["INBOX: a:F x1 x1 e"], remote: &["INBOX: a:S x1 x1 b"] },
        synced: false,
        changes: |_| {},
        after: &["INBOX: a:FS b e x1 x1"],
    },
    Scenario {
        name: "first sync in slices, most on both sides",
        settings: usual,
        before: Sides { local: &["INBOX: a:F x1 x1 e g h"], remote: &["INBOX: a:S x1 x1 x1 b g h:F i j k"] },
        synced: false,
        changes: |_| {},
        after: &["INBOX: a:FS b e g h:F i j k x1 x1 x1"],
    },
    Scenario {
        name: "new on both sides",
        settings: usual,
        before: Sides { local: MAIL, remote: MAIL },
        synced: true,
        changes: |bench| {
            fill(&bench.worlds.local, &["INBOX: e:S", "Lists/x: x2 x2"]);
            fill(&bench.worlds.remote, &["INBOX: f:FS+todo", "Lists/x: d2 d1"]);
        },
        after: &["INBOX: a b:S c e:S f:FS+todo", "Lists/x: d1 d1 d2 x1:F x2 x2"],
    },
    Scenario {
        name: "new on both sides, no UIDPLUS",
        settings: plain,
        before: Sides { local: MAIL, remote: MAIL },
        synced: true,
        changes: |bench| {
            fill(&bench.worlds.local, &["INBOX: e:S", "Lists/x: x2 x2"]);
            fill(&bench.worlds.remote, &["INBOX: f:FS+todo", "Lists/x: d2 d1"]);
        },
        after: &["INBOX: a b:S c e:S f:FS+todo", "Lists/x: d1 d1 d2 x1:F x2 x2"],
    },
    Scenario {
        name: "new on both sides of two servers",
        settings: servers,
        before: Sides { local: MAIL, remote: MAIL },
        synced: true,
        changes: |bench| {
            fill(&bench.worlds.local, &["INBOX: e:S", "Lists/x: x2 x2"]);
            fill(&bench.worlds.remote, &["INBOX: f:FS+todo", "Lists/x: d2 d1"]);
        },
        after: &["INBOX: a b:S c e:S f:FS+todo", "Lists/x: d1 d1 d2 x1:F x2 x2"],
    },
    Scenario {
        name: "flags on both sides",
        settings: usual,
        before: Sides { local: MAIL, remote: MAIL },
        synced: true,
        changes: |bench| {
            reflag(&bench.worlds.local, "INBOX", "a", "F+todo");
            reflag(&bench.worlds.remote, "INBOX", "a", "S");
            reflag(&bench.worlds.remote, "INBOX", "b", "");
            reflag(&bench.worlds.local, "Lists/x", "x1", "T");
        },
        after: &["INBOX: a:FS+todo b c", "Lists/x: d1 x1:T"],
    },
    Scenario {
        name: "deletions on both sides",
        settings: usual,
        before: Sides { local: MAIL, remote: MAIL },
        synced: true,
        changes: |bench| {
            delete(&bench.worlds.local, "INBOX", "a");
            delete(&bench.worlds.remote, "INBOX", "b");
            delete(&bench.worlds.remote, "Lists/x", "d1");
            reflag(&bench.worlds.local, "Lists/x", "d1", "F");
            fill(&bench.worlds.local, &["Lists/x: e"]);
        },
        after: &["INBOX: c", "Lists/x: e x1:F"],
    },
    Scenario {
        name: "moves here",
        settings: usual,
        before: Sides { local: MAIL, remote: MAIL },
        synced: true,
        changes: |bench| {
            relocate(&bench.worlds.local, "INBOX", "a", "Lists/x");
            relocate(&bench.worlds.local, "Lists/x", "x1", "INBOX");
            reflag(&bench.worlds.local, "Lists/x", "a", "S");
        },
        after: &["INBOX: b:S c x1:F", "Lists/x: a:S d1"],
    },
    Scenario {
        name: "moves on the server",
        settings: usual,
        before: Sides { local: MAIL, remote: MAIL },
        synced: true,
        changes: |bench| {
            relocate(&bench.worlds.remote, "INBOX", "a", "Lists/x");
            relocate(&bench.worlds.remote, "Lists/x", "x1", "INBOX");
            reflag(&bench.worlds.remote, "Lists/x", "a", "S");
        },
        after: &["INBOX: b:S c x1:F", "Lists/x: a:S d1"],
    },
    Scenario {
        name: "moves here, no UIDPLUS",
        settings: plain,
        before: Sides { local: MAIL, remote: MAIL },
        synced: true,
        changes: |bench| {
            relocate(&bench.worlds.local, "INBOX", "a", "Lists/x");
            relocate(&bench.worlds.local, "Lists/x", "x1", "INBOX");
            reflag(&bench.worlds.local, "Lists/x", "a", "S");
        },
        after: &["INBOX: b:S c x1:F", "Lists/x: a:S d1"],
    },
    Scenario {
        name: "new folders on both sides, mail moved into one",
        settings: usual,
        before: Sides { local: MAIL, remote: MAIL },
        synced: true,
        changes: |bench| {
            relocate(&bench.worlds.local, "INBOX", "b", "Here");
            fill(&bench.worlds.local, &["Here: e"]);
            fill(&bench.worlds.remote, &["There: f x1"]);
        },
        after: &["Here: b:S e", "INBOX: a c", "Lists/x: d1 x1:F", "There: f x1"],
    },
    Scenario {
        name: "deletions into the trash",
        settings: usual,
        before: Sides { local: WITH_TRASH, remote: WITH_TRASH },
        synced: true,
        changes: delete_with_trash,
        after: &["INBOX: b:S d2", "Trash: a:F c d1 x1 x3"],
    },
    Scenario {
        name: "deletions into the trash by a copy and an expunge",
        settings: no_moves,
        before: Sides { local: WITH_TRASH, remote: WITH_TRASH },
        synced: true,
        changes: delete_with_trash,
        after: &["INBOX: b:S d2", "Trash: a:F c d1 x1 x3"],
    },
    Scenario {
        name: "the state was lost",
        settings: usual,
        before: Sides { local: MAIL, remote: MAIL },
        synced: true,
        changes: |bench| {
            reflag(&bench.worlds.local, "INBOX", "a", "F");
            fill(&bench.worlds.remote, &["INBOX: e"]);
            bench.lose_state();
        },
        after: &["INBOX: a:F b:S c e", "Lists/x: d1 x1:F"],
    },
    Scenario {
        name: "new UIDVALIDITY, UIDs shuffled",
        settings: usual,
        before: Sides { local: MAIL, remote: MAIL },
        synced: true,
        changes: |bench| {
            reflag(&bench.worlds.local, "INBOX", "a", "F");
            reflag(&bench.worlds.remote, "INBOX", "b", "");
            fill(&bench.worlds.remote, &["INBOX: e"]);
            fill(&bench.worlds.local, &["INBOX: f", "Lists/x: x2"]);
            bench.worlds.remote.new_generation(&folder("INBOX"), true);
            bench.worlds.remote.new_generation(&folder("Lists/x"), true);
        },
        after: &["INBOX: a:F b c e f", "Lists/x: d1 x1:F x2"],
    },
];

impl Scenario {
    fn bench(&self, swapped: bool) -> Bench {
        let settings = (self.settings)();
        let mut bench = Bench::new(settings.local, settings.remote);
        if self.name.contains("slices") {
            bench.at_once = 2;
        }
        fill(&bench.worlds.local, self.before.local);
        fill(&bench.worlds.remote, self.before.remote);
        if self.synced {
            bench.settle();
        }
        (self.changes)(&bench);
        if swapped {
            bench.worlds = bench.worlds.swap();
        }
        bench
    }

    /// Says that both sides are as they should be in the end, and that a further run does nothing.
    #[track_caller]
    fn ended(&self, bench: &Bench, at: &str) {
        for (side, world) in bench.worlds.iter() {
            assert_eq!(show(world), self.after, "{}: {at}: {side}", self.name);
        }
        let rerun = bench.run();
        assert!(rerun.counts.is_empty() && rerun.outcome == Outcome::InStep, "{}: {at}: {rerun:?}", self.name);
        for (side, world) in bench.worlds.iter() {
            assert_eq!(show(world), self.after, "{}: {at}: rerun: {side}", self.name);
        }
    }

    /// What is there at most at any time: in each folder as often as before on either side, or in the end.
    fn most(&self, bench: &Bench) -> Tally {
        let mut most = tally(self.after);
        for (_, world) in bench.worlds.iter() {
            for (place, count) in tally(&show(world)) {
                let entry = most.entry(place).or_default();
                *entry = (*entry).max(count);
            }
        }
        most
    }
}

/// How often each message is in each folder.
type Tally = BTreeMap<(String, String), usize>;

fn tally(lines: &[impl AsRef<str>]) -> Tally {
    let mut counts = Tally::new();
    for line in lines {
        let (folder, messages) = line.as_ref().split_once(':').expect("FOLDER: messages");
        for message in messages.split_whitespace() {
            let name = message.split(':').next().expect("a name");
            *counts.entry((folder.to_owned(), name.to_owned())).or_default() += 1;
        }
    }
    counts
}

#[track_caller]
fn no_more_than(bench: &Bench, most: &Tally, at: &str) {
    for (side, world) in bench.worlds.iter() {
        for (place, count) in tally(&show(world)) {
            assert!(count <= most[&place], "{at}: {count} times {place:?} on {side}: {:?}", show(world));
        }
    }
}

/// Does every scenario with a blow at every step; what follows must bring it to its end.
fn at_every_step(blows: &[Blow], whens: &[When]) {
    for scenario in SCENARIOS {
        // The state knows the sides by name: what was synced can't be swapped any more.
        let sides: &[bool] = if scenario.synced { &[false] } else { &[false, true] };
        for swapped in sides {
            let start = scenario.bench(*swapped);
            for (blow, when) in blows.iter().flat_map(|blow| whens.iter().map(move |when| (*blow, *when))) {
                let steps = (0..).take_while(|step| strike(scenario, &start, *step, when, blow)).count();
                assert!(steps > 5, "{}: {blow:?} {when:?}: only {steps} steps", scenario.name);
            }
        }
    }
}

/// Runs with a blow at one step, then to the end; `false` where the run has no such step.
fn strike(scenario: &Scenario, start: &Bench, step: usize, when: When, blow: Blow) -> bool {
    let mut bench = start.fork();
    let most = scenario.most(&bench);
    let faulty = Faulty::arm(&bench, step, when, blow);
    let ran = bench.run();
    let struck = faulty.struck();
    faulty.disarm(&mut bench);
    let at = format!("{}: {blow:?} {when:?} step {step}: {ran:?}", scenario.name);
    no_more_than(&bench, &most, &at);
    if !struck {
        return false;
    }
    let expected: &[Outcome] = match blow {
        Blow::Crash => &[Outcome::Interrupted],
        // A refused message may not matter, and a connection is made anew.
        Blow::Fail(Reach::Message | Reach::Connection) => &[Outcome::InStep, Outcome::Partial, Outcome::Failed],
        Blow::Fail(_) => &[Outcome::Partial, Outcome::Failed],
    };
    assert!(expected.contains(&ran.outcome), "{at}");
    // What was refused is not due yet.
    let retry = Options { retry: true, accounts_at_once: 1, ..Options::default() };
    for _ in 0..2 {
        let ran = bench.run_with(&retry);
        no_more_than(&bench, &most, &at);
        if ran.counts.is_empty() {
            break;
        }
    }
    scenario.ended(&bench, &at);
    true
}

#[test]
fn every_scenario_ends_as_it_should() {
    for scenario in SCENARIOS {
        let bench = scenario.bench(false);
        let ran = bench.run();
        assert_eq!(ran.outcome, Outcome::InStep, "{}: {ran:?}", scenario.name);
        if ran.counts.moved != Sides::default() || ran.counts.deleted != Sides::default() {
            // Where a server does not tell the new keys, flags follow in the next run; so does what came to the trash.
            bench.run();
        }
        scenario.ended(&bench, "no fault");
    }
}

#[test]
fn a_run_that_dies_at_any_step_is_resumed() {
    at_every_step(&[Blow::Crash], &[When::Before, When::After]);
}

/// What a store refuses has no effect: there is only a before.
#[test]
fn a_message_that_is_refused_waits_for_the_next_run() {
    at_every_step(&[Blow::Fail(Reach::Message)], &[When::Before]);
}

#[test]
fn a_folder_that_fails_is_finished_by_the_next_run() {
    at_every_step(&[Blow::Fail(Reach::Folder)], &[When::Before, When::After]);
}

#[test]
fn an_account_that_fails_is_finished_by_the_next_run() {
    at_every_step(&[Blow::Fail(Reach::Account)], &[When::Before, When::After]);
}

#[test]
fn a_lost_connection_is_overcome() {
    at_every_step(&[Blow::Fail(Reach::Connection)], &[When::Before, When::After]);
}

/// A state that refuses the `at`-th change of a row, as a full disk would.
fn fuse(bench: &Bench, at: usize) {
    drop(State::open(&bench.state()).expect("a state"));
    let connection = rusqlite::Connection::open(bench.state()).expect("a state");
    let mut sql = format!("CREATE TABLE fuse (left); INSERT INTO fuse VALUES ({at});");
    for (table, event) in
        ["folder", "message", "intent", "discard"].iter().flat_map(|t| ["INSERT", "UPDATE", "DELETE"].map(|e| (t, e)))
    {
        sql += &format!(
            "CREATE TRIGGER fuse_{table}_{event} BEFORE {event} ON {table} BEGIN \
             UPDATE fuse SET left = left - 1; SELECT RAISE(ABORT, 'blown') FROM fuse WHERE left < 0; END;"
        );
    }
    connection.execute_batch(&sql).expect("triggers");
}

fn pull_fuse(bench: &Bench) {
    let connection = rusqlite::Connection::open(bench.state()).expect("a state");
    connection.execute_batch("UPDATE fuse SET left = 1000000").expect("no fuse any more");
}

#[test]
fn a_state_that_fails_at_any_commit_is_no_harm() {
    for scenario in SCENARIOS {
        let start = scenario.bench(false);
        for at in 0.. {
            let bench = start.fork();
            fuse(&bench, at);
            let most = scenario.most(&bench);
            let ran = bench.run();
            let disturbed = at > 0;
            let at = format!("{}: state change {at}: {ran:?}", scenario.name);
            no_more_than(&bench, &most, &at);
            pull_fuse(&bench);
            bench.run();
            bench.run();
            scenario.ended(&bench, &at);
            if ran.outcome == Outcome::InStep {
                assert!(disturbed, "{at}: the first change was not refused");
                break;
            }
        }
    }
}
