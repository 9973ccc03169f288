//! What people did to the messages of both sides, and what may come of it: never does it ask what the program thinks.

use super::acts::*;
use super::support::world::{contents, date, flags, folder, mail, name_of, show_flags};
use mailsync::mail::{Flag, FlagSpace, Flags, FolderName, Key};
use mailsync::store::memory::{Keys, World};
use std::collections::{BTreeMap, BTreeSet};

/// Messages that nothing happens to, so that no side is ever emptied.
pub const ANCHORS: [&str; 2] = ["INBOX: anchor1", "Lists/x: anchor2"];

/// The messages of one name that a side has: where, and with which flags.
pub type Census = BTreeMap<String, Vec<(FolderName, Flags)>>;

/// What happened to the messages of one name on one side since both sides were last the same.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub put: usize,
    pub deleted: usize,
    pub moved: usize,
    /// What a run deleted or moved, by the way: it may do no more than people did on the other side.
    pub taken: usize,
    /// Between which runs somebody moved one, and set or cleared each flag.
    moves: BTreeSet<usize>,
    flags: BTreeMap<Flag, BTreeSet<usize>>,
}

impl Tally {
    fn gone(&self) -> usize {
        self.moved + self.deleted
    }

    fn is_nothing(&self) -> bool {
        self.put + self.gone() == 0 && self.flags.is_empty()
    }
}

/// The name under which messages are counted that may be taken for one another: those with the same size and the same
/// Message-ID, as nobody downloads all mail only to tell them apart.
pub fn kin(name: &str) -> &str {
    if name.starts_with('=') { "=" } else { name }
}

pub fn census(world: &World) -> Census {
    let mut all = Census::new();
    for (at, messages) in contents(world) {
        for (name, flags) in messages {
            all.entry(kin(&name).to_owned()).or_default().push((at.clone(), flags));
        }
    }
    all.values_mut().for_each(|messages| messages.sort_by_key(|(at, flags)| (at.clone(), show_flags(flags))));
    all
}

/// Both sides, what they had when they were last the same, and what people did since.
pub struct Model {
    pub worlds: Sides<World>,
    spaces: Sides<FlagSpace>,
    agreed: Sides<Census>,
    tallies: BTreeMap<String, Sides<Tally>>,
    /// Whether what was agreed upon may be forgotten: then what one side deleted may come back.
    pub forgetful: bool,
    /// Whether that is so because the state became an older one.
    pub aged: bool,
    /// Whether a run since then was disturbed.
    pub troubled: bool,
    /// How many runs began since then.
    pub runs: usize,
}

impl Model {
    pub fn new(worlds: Sides<World>) -> Model {
        let spaces = worlds.as_ref().map(|world| world.settings().space);
        let agreed = worlds.as_ref().map(census);
        let tallies = BTreeMap::new();
        Model { worlds, spaces, agreed, tallies, forgetful: false, aged: false, troubled: false, runs: 0 }
    }

    /// Both sides are the same, and the program has nothing left to do.
    pub fn agree(&mut self, now: Sides<Census>) {
        self.agreed = now;
        self.tallies.clear();
        (self.forgetful, self.aged, self.troubled, self.runs) = (false, false, false, 0);
    }

    fn note(&mut self, name: &str, side: Side, what: impl FnOnce(&mut Tally)) {
        what(&mut self.tallies.entry(kin(name).to_owned()).or_default()[side]);
    }

    pub fn tally(&self, name: &str) -> Sides<Tally> {
        self.tallies.get(kin(name)).cloned().unwrap_or_default()
    }

    /// A message of a side that something may happen to, in an order that does not depend on keys.
    fn pick(&self, side: Side, number: usize) -> Option<(FolderName, String, Key)> {
        let mut all = Vec::new();
        for message in self.worlds[side].messages() {
            let name = name_of(&message.content);
            if !name.starts_with("anchor") {
                all.push((message.folder, name, show_flags(&message.flags), message.key));
            }
        }
        all.sort();
        let (folder, name, _, key) = all.into_iter().cycle().nth(number)?;
        Some((folder, name, key))
    }

    fn put(&self, on: Side, at: &FolderName, name: &str, set: &Flags) {
        self.worlds[on].put(at, &mail(name), set, Some(date(name)));
    }

    /// Does what people and servers do.
    pub fn act(&mut self, act: &Act) {
        let run = self.runs;
        match *act {
            Put { on, into, mail, flags: set } => {
                self.put(on, &folder(FOLDERS[into]), MAILS[mail], &flags(FLAGS[set]));
                self.note(MAILS[mail], on, |tally| tally.put += 1);
            }
            Reflag { on, message, flags: set } => self.flag(on, message, &flags(FLAGS[set])),
            Delete { on, message } => {
                let Some((at, name, key)) = self.pick(on, message) else { return };
                self.worlds[on].delete(&at, &key);
                self.note(&name, on, |tally| tally.deleted += 1);
            }
            Move { on, message, into } => {
                let Some((at, name, key)) = self.pick(on, message) else { return };
                let into = folder(FOLDERS[into]);
                if at != into && self.worlds[on].move_message(&at, &key, &into).is_some() {
                    self.note(&name, on, |tally| {
                        tally.moved += 1;
                        tally.moves.insert(run);
                    });
                }
            }
            Save { on, message, into } => self.store_anew(on, message, Some(&folder(FOLDERS[into]))),
            Rekey { on, message } => self.store_anew(on, message, None),
            Copy { on, message, into } => {
                let Some((at, name, key)) = self.pick(on, message) else { return };
                let set = self.worlds[on].flags_of(&at, &key).expect("it was picked");
                self.put(on, &folder(FOLDERS[into]), &name, &set);
                self.note(&name, on, |tally| tally.put += 1);
            }
            MakeFolder { on, folder: at } => self.worlds[on].make_folder(&folder(FOLDERS[at])),
            NewValidity { on, folder: at } => {
                if self.worlds[on].settings().keys == Keys::Uids {
                    self.worlds[on].new_generation(&folder(FOLDERS[at]), true);
                    self.forgetful = true;
                }
            }
            Sync
            | Look
            | Troubled { .. }
            | Blind { .. }
            | StateFails { .. }
            | LoseState
            | OlderState { .. }
            | ForeignState => panic!("{act:?} is nothing that people do"),
        }
    }

    fn flag(&mut self, on: Side, message: usize, set: &Flags) {
        let Some((at, name, key)) = self.pick(on, message) else { return };
        let before = self.worlds[on].flags_of(&at, &key).expect("it was picked");
        self.worlds[on].set_flags(&at, &key, set);
        let after = self.worlds[on].flags_of(&at, &key).expect("it is there");
        let run = self.runs;
        for flag in before.union(&after).iter().filter(|flag| before.contains(flag) != after.contains(flag)) {
            self.note(&name, on, |tally| {
                tally.flags.entry(flag).or_default().insert(run);
            });
        }
    }

    /// Stores a message again, in this folder or another one, and removes the old one.
    fn store_anew(&mut self, on: Side, message: usize, into: Option<&FolderName>) {
        let Some((at, name, key)) = self.pick(on, message) else { return };
        let set = self.worlds[on].flags_of(&at, &key).expect("it was picked");
        self.put(on, into.unwrap_or(&at), &name, &set);
        self.worlds[on].delete(&at, &key);
        let run = self.runs;
        self.note(&name, on, |tally| {
            tally.moved += 1;
            tally.moves.insert(run);
        });
    }

    /// A run took a message away on a side.
    pub fn taken(&mut self, name: &str, on: Side) {
        self.note(name, on, |tally| tally.taken += 1);
        let tally = self.tally(name);
        // To an older state, what was done since is people's doing, and counted before both sides last agreed.
        if self.aged {
            return;
        }
        let (taken, gone) = (tally[on].taken, tally[on.other()].gone());
        assert!(taken <= gone, "{name}: {taken} times deleted or moved on {on}, which {gone} can explain: {tally:?}");
    }

    /// Whether both sides have the same messages, with the same flags but for those that only one of them can hold.
    pub fn same(&self, now: &Sides<Census>) -> bool {
        let shared = now.as_ref().map(|census| {
            let mut all = Vec::new();
            for (name, messages) in census {
                for (at, flags) in messages {
                    let flags = flags.within(&self.spaces.local).within(&self.spaces.remote);
                    all.push((at.clone(), name.clone(), show_flags(&flags)));
                }
            }
            all.sort();
            all
        });
        let folders = self.worlds.as_ref().map(World::folders);
        shared.local == shared.remote && folders.local == folders.remote
    }

    fn names(&self) -> BTreeSet<&str> {
        MAILS.iter().map(|name| kin(name)).chain(["anchor1", "anchor2"]).collect()
    }

    /// Says that at any moment every message that nobody deleted is there somewhere, and none too often.
    pub fn check_counts(&self, now: &Sides<Census>) {
        for name in self.names() {
            let counts = now.as_ref().map(|now| now.get(name).map_or(0, Vec::len));
            let tally = self.tally(name);
            let before = self.agreed.as_ref().map(|agreed| agreed.get(name).map_or(0, Vec::len));
            let least = self.least(before.local.max(before.remote), &tally);
            // What was deleted or moved on one side may not have been on the other yet.
            let waiting = tally.local.gone().max(tally.remote.gone());
            let most = self.most(name, before.local.max(before.remote), &tally) + waiting;
            let there = counts.local.max(counts.remote);
            assert!(there >= least, "{name} is there {counts:?} times, and must be {least} times: {tally:?}");
            assert!(there <= most, "{name} is there {counts:?} times, and may be {most} times: {tally:?}");
        }
    }

    /// Both sides being the same, says of every message how often it must be there, where, and with which flags.
    pub fn check_agreement(&self, now: &Sides<Census>) {
        let nothing = Vec::new();
        for name in self.names() {
            let tally = self.tally(name);
            let before = self.agreed.local.get(name).unwrap_or(&nothing).len();
            let count = now.local.get(name).unwrap_or(&nothing).len();
            let (least, most) = (self.least(before, &tally), self.most(name, before, &tally));
            assert!((least..=most).contains(&count), "{count} times {name}, not {least} to {most}: {tally:?}");
            // Equal messages can't be told apart once the state is lost, nor where a server does not say what became of
            // them in a move: they may exchange their flags.
            if tally.local.is_nothing() && tally.remote.is_nothing() && count == 1 {
                for (side, now) in now.iter() {
                    let (was, is) = (self.agreed[side].get(name), now.get(name));
                    assert_eq!(was, is, "{name}, which nobody touched, on {side}");
                }
            }
            let untouched = tally.local.put + tally.local.deleted + tally.remote.put + tally.remote.deleted == 0;
            if before == 1 && count == 1 && untouched && !self.forgetful {
                self.check_place(name, &tally, now);
                // What is half seen while it moves, and what nothing tells from others but its content, which would have
                // to be read, is deleted and copied anew: then what only one side could hold is gone.
                let moved = tally.local.moved + tally.remote.moved > 0;
                if !moved || !(self.troubled || name.starts_with(['x', '='])) {
                    self.check_flags(name, &tally, now);
                }
            }
        }
    }

    /// A message that nobody moved is where it was.
    fn check_place(&self, name: &str, tally: &Sides<Tally>, now: &Sides<Census>) {
        let is = &now.local[name][0].0;
        let was = &self.agreed.local[name][0].0;
        if tally.local.moved + tally.remote.moved == 0 {
            assert_eq!(was, is, "{name}, which nobody moved");
        }
    }

    /// A flag that only one side changed is on both sides what it is there; one that nobody changed is what it was.
    fn check_flags(&self, name: &str, tally: &Sides<Tally>, now: &Sides<Census>) {
        let was = self.agreed.as_ref().map(|agreed| &agreed[name][0].1);
        let is = now.as_ref().map(|now| &now[name][0].1);
        let every = was.local.union(was.remote).union(is.local).union(is.remote);
        for flag in every.iter() {
            let changed = tally.as_ref().map(|tally| tally.flags.get(&flag));
            if changed.local.is_none() && changed.remote.is_none() {
                for side in Side::BOTH {
                    let (was, is) = (was[side].contains(&flag), is[side].contains(&flag));
                    assert_eq!(was, is, "{flag:?} of {name} on {side}, which nobody changed: {tally:?}");
                }
            }
        }
    }

    /// How often a message must be there at least. What a file was moved away and back, a run took away on the other side
    /// in between: to an older state, somebody deleted it there.
    fn least(&self, before: usize, tally: &Sides<Tally>) -> usize {
        let Sides { local, remote } = tally;
        let back = local.moved.min(remote.taken) + remote.moved.min(local.taken);
        least(before, tally).saturating_sub(if self.aged { back } else { 0 })
    }

    /// How often a message may be there at most. What one side moved and the other moved elsewhere or deleted may stay.
    fn most(&self, name: &str, before: usize, tally: &Sides<Tally>) -> usize {
        let Sides { local, remote } = tally;
        let there = before + local.put + remote.put;
        if self.forgetful {
            let most = there + local.moved + remote.moved;
            // Those that were taken for one another are found to differ.
            return if name == "=" { 2 * most } else { most };
        }
        let extra = local.moved.min(remote.gone()) + remote.moved.min(local.gone());
        // What is deleted or moved before the run that copied it could take note of its copy is copied once more.
        let unnoted = match self.troubled {
            true => local.put.min(remote.gone()) + remote.put.min(local.gone()),
            false => 0,
        };
        let most = (there + extra + unnoted).saturating_sub(local.deleted.max(remote.deleted));
        // One that came back in a disturbed run may have been deleted twice, and have come back twice.
        if self.troubled { most.max(extra + unnoted) } else { most }
    }
}

/// How often a message must be there at least. Equal ones that came into the same folder on both sides become one.
fn least(before: usize, tally: &Sides<Tally>) -> usize {
    let Sides { local, remote } = tally;
    let bound = (local.put + local.moved).min(remote.put + remote.moved);
    let deleted = local.deleted + remote.deleted;
    let there = before + local.put + remote.put;
    let least = there.saturating_sub(deleted + bound);
    if deleted == 0 { least.max(there.min(1)) } else { least }
}
