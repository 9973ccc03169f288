//! Random histories of two stores with syncs in between: in the end both are the same, nothing is lost, nothing is
//! doubled, and a further sync does nothing.
//!
//! `PROPTEST_CASES` says how many histories each property tries.

mod support;

use mailsync::mail::{FlagSpace, Flags, FolderName, Key, Side, Sides};
use mailsync::store::memory::{Keys, MemorySettings, World};
use mailsync::sync::{Limits, Options, Outcome, Policy};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::Config;
use std::collections::BTreeMap;
use support::world::{
    Bench, Ran, contents, date, fill, flags, folder, mail, name_of, run_all, show, show_flags, space,
};

/// One thing that happens. Messages and folders are picked by number, whatever there are.
#[derive(Clone, Debug)]
enum Act {
    Put {
        on: Side,
        folder: usize,
        mail: usize,
        flags: usize,
    },
    Flag {
        on: Side,
        message: usize,
        flags: usize,
    },
    Delete {
        on: Side,
        message: usize,
    },
    Move {
        on: Side,
        message: usize,
        into: usize,
    },
    MakeFolder {
        on: Side,
        folder: usize,
    },
    Sync,
    /// The state's file is gone.
    LoseState,
    /// The state's file is what it was after an earlier sync.
    OlderState {
        which: usize,
    },
    /// A server gives a folder a new UIDVALIDITY, and its messages new UIDs in another order.
    NewValidity {
        on: Side,
        folder: usize,
    },
}

const FOLDERS: [&str; 4] = ["INBOX", "Lists/x", "Lists", "Work"];
const MAILS: [&str; 12] = ["a", "b", "c", "e", "f", "g", "h", "i", "x1", "x2", "d1", "d2"];
const FLAGS: [&str; 9] = ["", "S", "F", "FS", "R+todo", "T", "S+todo", "+later", "D"];
/// Messages that nothing happens to, so that no side is ever emptied.
const ANCHORS: [&str; 2] = ["INBOX: anchor1", "Lists/x: anchor2"];

fn any_side() -> impl Strategy<Value = Side> + Clone {
    prop_oneof![Just(Side::Local), Just(Side::Remote)]
}

fn everyday(on: impl Strategy<Value = Side> + Clone + 'static) -> impl Strategy<Value = Act> {
    let (puts, reflags, deletes, moves, folders) = (on.clone(), on.clone(), on.clone(), on.clone(), on);
    prop_oneof![
        6 => (puts, 0..FOLDERS.len(), 0..MAILS.len(), 0..FLAGS.len())
            .prop_map(|(on, folder, mail, flags)| Act::Put { on, folder, mail, flags }),
        4 => (reflags, 0..100_usize, 0..FLAGS.len())
            .prop_map(|(on, message, flags)| Act::Flag { on, message, flags }),
        3 => (deletes, 0..100_usize).prop_map(|(on, message)| Act::Delete { on, message }),
        3 => (moves, 0..100_usize, 0..FOLDERS.len()).prop_map(|(on, message, into)| Act::Move { on, message, into }),
        1 => (folders, 0..FOLDERS.len()).prop_map(|(on, folder)| Act::MakeFolder { on, folder }),
        4 => Just(Act::Sync),
    ]
}

fn disaster() -> impl Strategy<Value = Act> {
    prop_oneof![
        Just(Act::LoseState),
        (0..10_usize).prop_map(|which| Act::OlderState { which }),
        (any_side(), 0..FOLDERS.len()).prop_map(|(on, folder)| Act::NewValidity { on, folder }),
    ]
}

fn any_settings() -> impl Strategy<Value = MemorySettings> {
    let spaces = prop_oneof![3 => Just("all"), 1 => Just("DFPRST"), 1 => Just("FRS+todo")];
    (any::<[bool; 5]>(), spaces).prop_map(|([names, condstore, tell_keys, email_ids, list_cursors], text)| {
        let base = if names { MemorySettings::maildir() } else { MemorySettings::server() };
        MemorySettings {
            condstore,
            tell_keys: names || tell_keys,
            email_ids: email_ids && !names,
            list_cursors,
            space: if text == "all" { FlagSpace::all() } else { space(text) },
            ..base
        }
    })
}

fn worlds() -> impl Strategy<Value = Sides<MemorySettings>> {
    (any_settings(), any_settings()).prop_map(|(local, remote)| Sides::new(local, remote))
}

fn config() -> Config {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(200);
    Config { cases, failure_persistence: None, max_shrink_iters: 3000, ..Config::default() }
}

/// How often something happened to messages of one name on one side, since both sides were last the same.
#[derive(Clone, Copy, Default)]
struct Tally {
    put: usize,
    deleted: usize,
    moved: usize,
    reflagged: usize,
}

impl Tally {
    fn is_nothing(&self) -> bool {
        self.put + self.deleted + self.moved + self.reflagged == 0
    }
}

/// A history as it is played, and what must come of it.
struct Play {
    bench: Bench,
    /// What both sides had when they were last the same.
    agreed: Sides<BTreeMap<String, Vec<Flags>>>,
    tallies: BTreeMap<String, Sides<Tally>>,
    /// Whether what was agreed upon may be forgotten: then what one side deleted may come back.
    forgetful: bool,
    states: Vec<Vec<(String, Vec<u8>)>>,
}

impl Play {
    fn new(settings: Sides<MemorySettings>) -> Play {
        let mut bench = Bench::new(settings.local, settings.remote);
        bench.limits = Limits { whole_folder: 1000, messages: 1000 };
        for (_, world) in bench.worlds.iter() {
            fill(world, &ANCHORS);
        }
        let mut play =
            Play { bench, agreed: Sides::default(), tallies: BTreeMap::new(), forgetful: false, states: Vec::new() };
        play.agree();
        play
    }

    fn world(&self, side: Side) -> &World {
        &self.bench.worlds[side]
    }

    /// The messages of a side that something may happen to, in an order that does not depend on keys.
    fn pick(&self, side: Side, number: usize) -> Option<(FolderName, String, Key)> {
        let world = self.world(side);
        let mut all = Vec::new();
        for folder in world.folders() {
            for key in world.keys(&folder) {
                let name = name_of(&world.content_of(&folder, &key).expect("a key of the world"));
                let flags = show_flags(&world.flags_of(&folder, &key).expect("a key of the world"));
                if !name.starts_with("anchor") {
                    all.push((folder.clone(), name, flags, key));
                }
            }
        }
        all.sort();
        let (folder, name, _, key) = all.into_iter().cycle().nth(number)?;
        Some((folder, name, key))
    }

    fn note(&mut self, name: &str, side: Side, what: impl FnOnce(&mut Tally)) {
        what(&mut self.tallies.entry(name.to_owned()).or_default()[side]);
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Put { on, folder: at, mail: which, flags: set } => {
                let name = MAILS[which];
                self.world(on).put(&folder(FOLDERS[at]), &mail(name), &flags(FLAGS[set]), Some(date(name)));
                self.note(name, on, |tally| tally.put += 1);
            }
            Act::Flag { on, message, flags: set } => {
                let Some((at, name, key)) = self.pick(on, message) else { return };
                self.world(on).set_flags(&at, &key, &flags(FLAGS[set]));
                self.note(&name, on, |tally| tally.reflagged += 1);
            }
            Act::Delete { on, message } => {
                let Some((at, name, key)) = self.pick(on, message) else { return };
                self.world(on).delete(&at, &key);
                self.note(&name, on, |tally| tally.deleted += 1);
            }
            Act::Move { on, message, into } => {
                let Some((at, name, key)) = self.pick(on, message) else { return };
                let into = folder(FOLDERS[into]);
                if at != into && self.world(on).move_message(&at, &key, &into).is_some() {
                    self.note(&name, on, |tally| tally.moved += 1);
                }
            }
            Act::MakeFolder { on, folder: at } => self.world(on).make_folder(&folder(FOLDERS[at])),
            Act::Sync => drop(self.sync()),
            Act::LoseState => {
                self.bench.lose_state();
                self.states.clear();
                self.forgetful = true;
            }
            Act::OlderState { which } => {
                if let Some(state) = self.states.get(which % self.states.len().max(1)) {
                    self.bench.put_state_back(state);
                    self.forgetful = true;
                }
            }
            Act::NewValidity { on, folder: at } => {
                if self.world(on).settings().keys == Keys::Uids {
                    self.world(on).new_generation(&folder(FOLDERS[at]), true);
                    self.forgetful = true;
                }
            }
        }
    }

    fn sync(&mut self) -> Ran {
        let before = self.bench.worlds.as_ref().map(show);
        let dry = self.bench.dry_run();
        assert_eq!(before, self.bench.worlds.as_ref().map(show), "a dry run changed something");
        let ran = self.bench.run();
        assert_eq!(ran.outcome, Outcome::InStep, "{ran:?}");
        if self.predictable() {
            assert_eq!(dry.counts, ran.counts, "the dry run said something else");
        }
        self.states.push(self.bench.state_image());
        if self.same() {
            self.check();
            self.agree();
        }
        ran
    }

    /// Whether a dry run can know all that a run will do: neither keywords that find no room, nor keys not told.
    fn predictable(&self) -> bool {
        let settings = self.bench.worlds.as_ref().map(World::settings);
        let all = |settings: &MemorySettings| settings.tell_keys && settings.space == FlagSpace::all();
        all(&settings.local) && all(&settings.remote)
    }

    /// Whether both sides have the same messages, with the same flags but for those that only one of them can hold.
    fn same(&self) -> bool {
        let spaces = self.bench.worlds.as_ref().map(|world| world.settings().space);
        let sides = self.bench.worlds.as_ref().map(|world| {
            let shared = |flags: &Flags| show_flags(&flags.within(&spaces.local).within(&spaces.remote));
            let mut all = contents(world).into_iter().map(|(folder, messages)| {
                let mut messages: Vec<(String, String)> =
                    messages.iter().map(|(name, flags)| (name.clone(), shared(flags))).collect();
                messages.sort();
                (folder, messages)
            });
            all.by_ref().collect::<Vec<_>>()
        });
        sides.local == sides.remote
    }

    fn agree(&mut self) {
        self.agreed = self.bench.worlds.as_ref().map(by_name);
        self.tallies.clear();
        self.forgetful = false;
    }

    /// Says of every message how often it must be there, and with which flags.
    fn check(&self) {
        let now = self.bench.worlds.as_ref().map(by_name);
        let nothing = Vec::new();
        for name in MAILS.iter().copied().chain(["anchor1", "anchor2"]) {
            let count = now.local.get(name).map_or(0, Vec::len);
            let before = self.agreed.local.get(name).unwrap_or(&nothing).len();
            let Sides { local, remote } = self.tallies.get(name).copied().unwrap_or_default();
            let least = least(before, &local, &remote);
            let most = most(before, &local, &remote, self.forgetful);
            assert!((least..=most).contains(&count), "{count} times {name}, not {least} to {most}: {:?}", self.shown());
            // Equal messages can't be told apart once the state is lost: they may exchange their flags.
            if local.is_nothing() && remote.is_nothing() && (count == 1 || !self.forgetful) {
                for (side, now) in now.iter() {
                    let (was, is) = (self.agreed[side].get(name), now.get(name));
                    assert_eq!(was, is, "{name}, which nobody touched, on {side}: {:?}", self.shown());
                }
            }
        }
        self.check_flags(&now);
    }

    /// Says that what only one side did to a single message's flags is what that side still has.
    fn check_flags(&self, now: &Sides<BTreeMap<String, Vec<Flags>>>) {
        for (name, tallies) in &self.tallies {
            for side in Side::BOTH {
                let (here, there) = (tallies[side], tallies[side.other()]);
                let untouched = there.is_nothing() && here.put + here.deleted == 0 && !self.forgetful;
                let (was, is) = (self.agreed[side].get(name), now[side].get(name));
                if untouched && here.reflagged == 0 && was.is_some_and(|was| was.len() == 1) {
                    assert_eq!(was, is, "{name} was only moved, on {side}: {:?}", self.shown());
                }
            }
        }
    }

    fn shown(&self) -> Sides<Vec<String>> {
        self.bench.worlds.as_ref().map(show)
    }

    /// Plays the history to its end, and says that it ends well.
    fn play(&mut self, history: &[Act]) {
        history.iter().for_each(|act| self.act(act));
        let runs = [self.sync(), self.sync()];
        assert!(self.same(), "after two runs: {:?} {runs:?}", self.shown());
        let further = self.sync();
        assert!(further.counts.is_empty(), "nothing was left to do: {further:?} after {runs:?}");
    }
}

fn by_name(world: &World) -> BTreeMap<String, Vec<Flags>> {
    let mut all: BTreeMap<String, Vec<Flags>> = BTreeMap::new();
    for (name, flags) in contents(world).into_values().flatten() {
        all.entry(name).or_default().push(flags);
    }
    all.values_mut().for_each(|flags| flags.sort_by_key(show_flags));
    all
}

/// How often a message must be there at least. Equal ones that came into the same folder on both sides become one.
fn least(before: usize, local: &Tally, remote: &Tally) -> usize {
    let bound = (local.put + local.moved).min(remote.put + remote.moved);
    let deleted = local.deleted + remote.deleted;
    let there = before + local.put + remote.put;
    let least = there.saturating_sub(deleted + bound);
    if deleted == 0 { least.max(there.min(1)) } else { least }
}

/// How often a message may be there at most. What one side moved and the other moved elsewhere or deleted may stay.
fn most(before: usize, local: &Tally, remote: &Tally, forgetful: bool) -> usize {
    let there = before + local.put + remote.put;
    if forgetful {
        return there + local.moved + remote.moved;
    }
    let extra = local.moved.min(remote.moved + remote.deleted) + remote.moved.min(local.moved + local.deleted);
    (there + extra).saturating_sub(local.deleted.max(remote.deleted))
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_happens_both_sides_become_the_same_and_nothing_is_lost_or_doubled(
        settings in worlds(), history in vec(everyday(any_side()), 1..30),
    ) {
        Play::new(settings).play(&history);
    }

    #[test]
    fn lost_and_old_states_and_new_uidvalidities_lose_and_double_nothing(
        settings in worlds(), history in vec(prop_oneof![4 => everyday(any_side()), 1 => disaster()], 1..30),
    ) {
        Play::new(settings).play(&history);
    }

    #[test]
    fn exchanged_sides_end_alike(settings in worlds(), history in vec(everyday(any_side()), 1..20)) {
        let mut plain = Play::new(settings.clone());
        let mut exchanged = Play::new(settings.swap());
        plain.play(&history);
        exchanged.play(&history.iter().map(exchange).collect::<Vec<_>>());
        prop_assert_eq!(plain.shown(), exchanged.shown().swap());
    }

    #[test]
    fn a_side_that_may_not_be_changed_never_is(
        settings in worlds(), source in any_side(), history in vec(everyday(any_side()), 1..30),
    ) {
        let mut play = Play::new(settings);
        play.bench.policy = one_way(source);
        for act in history.iter().chain([&Act::Sync, &Act::Sync]) {
            match act {
                Act::Sync => {
                    let before = show(play.world(source));
                    play.bench.run();
                    assert_eq!(before, show(play.world(source)));
                }
                act => play.act(act),
            }
        }
        prop_assert!(play.bench.run().counts.is_empty());
    }

    #[test]
    fn a_side_that_nobody_else_changes_mirrors_its_source(
        settings in worlds(), history in vec(everyday(Just(Side::Remote)), 1..30),
    ) {
        let mut play = Play::new(settings);
        play.bench.policy = one_way(Side::Remote);
        play.play(&history);
    }
}

fn exchange(act: &Act) -> Act {
    let mut act = act.clone();
    match &mut act {
        Act::Put { on, .. }
        | Act::Flag { on, .. }
        | Act::Delete { on, .. }
        | Act::Move { on, .. }
        | Act::MakeFolder { on, .. }
        | Act::NewValidity { on, .. } => *on = on.other(),
        Act::Sync | Act::LoseState | Act::OlderState { .. } => {}
    }
    act
}

fn one_way(source: Side) -> Policy {
    let target = Sides::with(source, false, true);
    Policy { copy: target, flags: target, delete: target, create: target }
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
