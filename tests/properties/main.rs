//! Random histories of two stores with syncs in between, calm or disturbed: in the end both are the same, nothing is
//! lost, nothing is doubled, and a further sync does nothing.
//!
//! Every property is played in two parts, [`runner::EACH`] histories a part, which makes more than 100,000 in all;
//! `PROPTEST_CASES` says another number a part: 100000 is good for a night. Each history has a seed, which is printed if
//! it fails; `MAILSYNC_SEED` is that of the first one, or `new` for one that nobody had before.

#[path = "../support/mod.rs"]
mod support;

mod acts;
mod found;
mod model;
mod play;
mod runner;
mod scene;

use acts::*;
use mailsync::mail::Sides;
use mailsync::store::memory::MemorySettings;
use mailsync::sync::{Options, Outcome};
use play::Play;
use proptest::prelude::*;
use support::world::{Bench, fill, run_all, show};

/// Makes two tests of each property, so that two processors have something to do.
macro_rules! properties {
    ($($name:ident: $cases:expr;)*) => {
        $(mod $name {
            use super::*;

            #[test]
            fn one_half() {
                runner::histories(stringify!($name), 0, $cases, super::$name);
            }

            #[test]
            fn the_other_half() {
                runner::histories(stringify!($name), 1, $cases, super::$name);
            }
        })*
        const PROPERTIES: u64 = [$(stringify!($name)),*].len() as u64;
    };
}

const _: () = assert!(PROPERTIES * 2 * runner::EACH >= 100_000, "too few histories");

properties! {
    whatever_happens_nothing_is_lost_or_doubled: cases(Just(Both), everyday_on_both());
    disasters_lose_and_double_nothing: cases(
        Just(Both), prop_oneof![4 => everyday_on_both(), 1 => disaster()].boxed(),
    );
    other_writers_during_a_run_are_no_harm: cases(Just(Both), prop_oneof![4 => everyday_on_both(), 1 => busy()].boxed());
    failures_are_overcome: cases(Just(Both), prop_oneof![4 => everyday_on_both(), 1 => failing()].boxed());
    all_of_it_at_once_is_no_harm: cases(
        Just(Both),
        prop_oneof![6 => everyday_on_both(), 1 => busy(), 2 => failing(), 1 => disaster()].boxed(),
    );
    exchanged_sides_end_alike: cases(Just(Both), everyday_on_both());
    a_side_that_may_not_be_changed_never_is: cases(
        one_way(), prop_oneof![6 => everyday_on_both(), 1 => busy(), 1 => failing()].boxed(),
    );
    a_side_that_nobody_else_changes_mirrors_its_source: mirrored();
    whatever_is_allowed_nothing_else_is_done: cases(
        mixed(), prop_oneof![8 => everyday_on_both(), 1 => busy(), 1 => failing(), 1 => disaster()].boxed(),
    );
}

fn mirrored() -> BoxedStrategy<Case> {
    let from = |source: Side| cases(Just(Mirror(source)), everyday(Just(source)));
    prop_oneof![from(Local), from(Remote)].boxed()
}

fn two_way(case: &Case) {
    Play::new(case.natures, case.way).play(&case.history);
}

fn whatever_happens_nothing_is_lost_or_doubled(case: &Case) {
    let mut play = Play::new(case.natures, case.way);
    for act in &case.history {
        let dry = matches!(act, Sync).then(|| play.look());
        if let Some(dry) = dry.filter(|_| play.is_predictable()) {
            assert_eq!(dry.counts, play.sync().counts, "the dry run said something else");
        } else {
            play.act(act);
        }
    }
    play.finish();
}

fn disasters_lose_and_double_nothing(case: &Case) {
    two_way(case);
}

fn other_writers_during_a_run_are_no_harm(case: &Case) {
    two_way(case);
}

fn failures_are_overcome(case: &Case) {
    two_way(case);
}

fn all_of_it_at_once_is_no_harm(case: &Case) {
    two_way(case);
}

fn exchanged_sides_end_alike(case: &Case) {
    let mut plain = Play::new(case.natures, case.way);
    let mut exchanged = Play::new(case.natures.swap(), case.way);
    plain.play(&case.history);
    exchanged.play(&case.history.iter().map(exchange).collect::<Vec<_>>());
    // Equal messages may exchange their flags: of those only the places are compared.
    let ends = |play: &Play| {
        play.census().map(|mut census| {
            let equal = census.values_mut().filter(|messages| messages.len() > 1).flatten();
            equal.for_each(|(_, flags)| *flags = Default::default());
            census
        })
    };
    assert_eq!(ends(&plain), ends(&exchanged).swap());
}

/// The source is watched by the scene; what it has, the other side comes to have, unless it was taken away there.
fn a_side_that_may_not_be_changed_never_is(case: &Case) {
    let (Mirror(source) | Archive(source)) = case.way else { panic!("{:?} goes both ways", case.way) };
    let mut play = Play::new(case.natures, case.way);
    play.play(&case.history);
    let now = play.census();
    for (name, messages) in &now[source] {
        let tally = play.scene().model.tally(name)[source.other()].clone();
        let there = now[source.other()].get(name).map_or(0, Vec::len);
        assert!(there + tally.deleted + tally.moved >= messages.len(), "{name}: {:?}", play.shown());
    }
}

fn a_side_that_nobody_else_changes_mirrors_its_source(case: &Case) {
    let Mirror(source) = case.way else { panic!("{:?} is no mirror", case.way) };
    Play::mirror(case.natures, source).play(&case.history);
}

fn whatever_is_allowed_nothing_else_is_done(case: &Case) {
    two_way(case);
}

#[test]
fn several_accounts_and_connections_work_at_the_same_time() {
    let bench = |number: usize| {
        let mut bench = Bench::new(MemorySettings::maildir(), MemorySettings::plain_server());
        bench.connections = 3;
        for at in 0..6 {
            let messages: String = (0..10).map(|n| format!(" m{number}.{at}.{n}:S x{n} x{n}")).collect();
            let line = format!("F{at}:{messages}");
            fill(if at % 2 == 0 { &bench.worlds.local } else { &bench.worlds.remote }, &[&line]);
        }
        bench
    };
    let benches: Vec<Bench> = (0..4).map(bench).collect();
    let accounts = || benches.iter().enumerate().map(|(n, bench)| bench.account(&format!("account{n}"))).collect();
    let options = Options { accounts_at_once: 3, ..Options::default() };
    let (report, told) = run_all(accounts(), &options, &benches[0].stop);
    assert!(report.accounts.iter().all(|(_, outcome, _)| *outcome == Outcome::InStep), "{told:?}");
    assert_eq!(report.counts().copied, Sides::new(4 * 3 * 30, 4 * 3 * 30));
    benches.iter().for_each(Bench::in_step);
    let (report, _) = run_all(accounts(), &options, &benches[0].stop);
    assert!(report.counts().is_empty());
}

#[test]
fn a_lost_state_copies_nothing_deletes_nothing_and_merges_flags() {
    for (local, remote) in [
        (MemorySettings::maildir(), MemorySettings::server()),
        (MemorySettings::maildir(), MemorySettings::plain_server()),
        (MemorySettings::server(), MemorySettings::plain_server()),
    ] {
        let bench = Bench::new(local, remote);
        fill(&bench.worlds.local, &["INBOX: a b:S c x1 x1 d1 d2:F", "Work: a e:S+todo"]);
        bench.settle();
        support::world::reflag(&bench.worlds.local, "INBOX", "a", "F");
        support::world::reflag(&bench.worlds.remote, "INBOX", "a", "S");
        bench.lose_state();
        let counts = bench.run().in_step();
        assert_eq!((counts.copied, counts.deleted, counts.moved), Default::default());
        assert_eq!(show(&bench.worlds.local), ["INBOX: a:FS b:S c d1 d2:F x1 x1", "Work: a e:S+todo"]);
        bench.settle();
    }
}
