//! Histories of two stores with syncs in between, and what must come of them: both sides become the same, nothing is
//! lost, nothing is doubled, and a further sync does nothing.

use super::faulty::{Blow, Faulty};
use super::world::{Bench, Ran, contents, date, fill, flags, folder, mail, name_of, show, show_flags};
use mailsync::mail::{FlagSpace, Flags, FolderName, Key, Side, Sides};
use mailsync::store::memory::{Keys, MemorySettings, When, World};
use mailsync::sync::{Limits, Outcome};
use std::collections::BTreeMap;

/// One thing that happens. Messages and folders are picked by number, whatever there are.
#[derive(Clone, Debug)]
pub enum Act {
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
    /// A sync in which step `at` of both stores together goes wrong.
    Struck {
        at: usize,
        when: When,
        blow: Blow,
    },
}

pub const FOLDERS: [&str; 4] = ["INBOX", "Lists/x", "Lists", "Work"];
pub const MAILS: [&str; 12] = ["a", "b", "c", "e", "f", "g", "h", "i", "x1", "x2", "d1", "d2"];
pub const FLAGS: [&str; 9] = ["", "S", "F", "FS", "R+todo", "T", "S+todo", "+later", "D"];
/// Messages that nothing happens to, so that no side is ever emptied.
pub const ANCHORS: [&str; 2] = ["INBOX: anchor1", "Lists/x: anchor2"];

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
pub struct Play {
    pub bench: Bench,
    /// What both sides had when they were last the same.
    agreed: Sides<BTreeMap<String, Vec<Flags>>>,
    tallies: BTreeMap<String, Sides<Tally>>,
    /// Whether what was agreed upon may be forgotten: then what one side deleted may come back.
    forgetful: bool,
    /// Whether a sync went wrong since the last one that did not: a dry run looks at no intents.
    unfinished: bool,
    states: Vec<Vec<(String, Vec<u8>)>>,
}

impl Play {
    pub fn new(settings: Sides<MemorySettings>) -> Play {
        let mut bench = Bench::new(settings.local, settings.remote);
        bench.limits = Limits { whole_folder: 1000, messages: 1000 };
        for (_, world) in bench.worlds.iter() {
            fill(world, &ANCHORS);
        }
        let mut play = Play {
            bench,
            agreed: Sides::default(),
            tallies: BTreeMap::new(),
            forgetful: false,
            unfinished: false,
            states: Vec::new(),
        };
        play.agree();
        play
    }

    pub fn world(&self, side: Side) -> &World {
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

    pub fn act(&mut self, act: &Act) {
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
            Act::Struck { at, when, blow } => self.struck_sync(at, when, blow),
        }
    }

    fn struck_sync(&mut self, at: usize, when: When, blow: Blow) {
        let faulty = Faulty::arm(&self.bench, at, when, blow);
        let ran = self.bench.run();
        let struck = faulty.struck();
        faulty.disarm(&mut self.bench);
        assert!(struck || ran.outcome == Outcome::InStep, "{ran:?}");
        self.unfinished = struck;
        self.synced(!struck);
    }

    fn sync(&mut self) -> Ran {
        let before = self.bench.worlds.as_ref().map(show);
        let dry = self.bench.dry_run();
        assert_eq!(before, self.bench.worlds.as_ref().map(show), "a dry run changed something");
        let ran = self.bench.run();
        assert_eq!(ran.outcome, Outcome::InStep, "{ran:?}");
        if self.predictable() && !std::mem::take(&mut self.unfinished) {
            assert_eq!(dry.counts, ran.counts, "the dry run said something else");
        }
        self.synced(true);
        ran
    }

    /// Checks what a sync led to. That both sides are the same is agreed upon only if it came to its end: else the
    /// state may not know it yet.
    fn synced(&mut self, whole: bool) {
        self.states.push(self.bench.state_image());
        if self.same() {
            self.check();
            if whole {
                self.agree();
            }
        }
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

    pub fn shown(&self) -> Sides<Vec<String>> {
        self.bench.worlds.as_ref().map(show)
    }

    /// Plays the history to its end, and says that it ends well.
    pub fn play(&mut self, history: &[Act]) {
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
