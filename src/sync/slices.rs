//! The first sync of large folders, a slice of it at a time, so that it takes no more memory than that of small ones.
//!
//! What is new on both sides is paired first (`adopt`). Copied is only what needs no comparison: one side has nothing that is new but copies that an earlier run began under names of
//! their own, and no message can have been moved from another folder, so that each new message of the other side is to be
//! copied. Nothing is concluded from a slice, and no cursor advances; the look at the whole folder comes afterwards, and
//! finds nearly all of it known.

use super::account::{Run, WORTH_A_CONNECTION};
use super::event::Counts;
use super::execute::{Done, execute};
use super::known::KnownIn;
use super::ledger::Ledger;
use super::pair::{Failure, Job, Look, Stores};
use super::plan::{Op, Plan};
use super::pool::Pool;
use super::prepare::Work;
use crate::mail::{Cursor, FlagSpace, Flags, FolderId, Key, Side, Sides};
use crate::state::{Change, Intent};
use crate::store::{Access, Depth, Folder, Identified, Kind, Mark, Reach, Slice, Store};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What [`Account::at_once`](super::Account::at_once) is in the program.
pub const AT_ONCE: u64 = 10_000;
/// No slice is smaller than this or that, however many folders are large.
const LEAST: u64 = 1000;

/// No folder is gone through in more slices than this: some stores read all names for each.
const SLICES: u64 = 32;

/// A folder pair of which much is new.
struct Large<'a> {
    job: &'a Job,
    /// The side that has it; `None` where both have, so that it is to be paired first.
    from: Option<Side>,
    new: u64,
    /// Whether it is known of each copy where it will be before it is made: then several may be made by several
    /// connections, and what becomes of one that breaks off can't be taken for the other's.
    exact: bool,
    queue: Mutex<Queue>,
}

/// How far a folder has come: several connections may take slices of it in turn.
#[derive(Default)]
struct Queue {
    /// Where the side stands that is copied to, once it was looked at.
    there: Option<Cursor>,
    generation: Option<u64>,
    after: Option<Key>,
    /// Nothing more is to be taken.
    ended: bool,
    counts: Counts,
}

impl Large<'_> {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The folders that were worked on, and whether they can be gone on with.
type Outcome = HashMap<FolderId, bool>;

impl Run<'_> {
    /// Pairs and copies what is new in folders that were never dealt with, if that is much. Takes those that failed out of
    /// `works`, and notes in the others what was left undone.
    pub fn in_slices(&self, works: &mut Vec<Work>, pool: &Pool<'_>) -> Result<(), Failure> {
        if self.options.dry_run || self.is_lacking() {
            return Ok(());
        }
        let mut outcome = HashMap::new();
        let mut large = self.large(works, pool, &mut outcome)?;
        if large.iter().any(|large| large.from.is_none()) {
            large.retain(|large| large.from.is_none());
            self.run_slices(&large, pool, &mut outcome)?;
            self.after_slices(works, &outcome)?;
            // What is left may be new on one side only.
            large = self.large(works, pool, &mut outcome)?;
            large.retain(|large| large.from.is_some());
        }
        self.run_slices(&large, pool, &mut outcome)?;
        self.after_slices(works, &outcome)
    }

    /// Works on large folders.
    fn run_slices(&self, large: &[Large<'_>], pool: &Pool<'_>, outcome: &mut Outcome) -> Result<(), Failure> {
        if large.is_empty() {
            return Ok(());
        }
        pool.with(|stores| self.begin_turn(stores))?;
        let at_once = self.account.at_once;
        let count = large.len() as u64;
        let share = (at_once / count).max(LEAST.min(at_once)).max(1);
        let worth = |(large, _): &(&Large<'_>, u64)| usize::try_from(large.new).unwrap_or(usize::MAX);
        let workers = |large: &Large<'_>| match large.exact {
            true => (self.account.connections as u64 / count).min(large.new / share).max(1),
            false => 1,
        };
        let tasks: Vec<(&Large<'_>, u64)> = large
            .iter()
            .flat_map(|large| std::iter::repeat_n((large, workers(large)), workers(large) as usize))
            .collect();
        let work = |(large, workers): &(&Large<'_>, u64), stores: &mut Stores, _| {
            let most = (share / workers).max(1).max(large.new / SLICES / workers) as usize;
            match large.from {
                Some(from) => self.copy_large(large, from, most, stores),
                None => self.pair_large(large.job, (large.new, most), stores),
            }
        };
        // Over a line that they share, one would wait for all that the other one fetches.
        let results = match tasks.len() <= self.account.connections {
            true => pool.run_apart(&tasks, self.stop, work),
            false => pool.run(&tasks, (worth, WORTH_A_CONNECTION), self.stop, work),
        };
        for (large, _) in &tasks {
            outcome.insert(large.job.id, true);
        }
        for ((large, _), result) in tasks.iter().zip(results) {
            if outcome[&large.job.id]
                && let Some(result) = result
            {
                self.try_on(large.job, result, outcome)?;
            }
        }
        for large in large.iter().filter(|large| large.from.is_some()) {
            self.folder_done(large.job, Done::of(std::mem::take(&mut large.queue().counts)));
        }
        Ok(())
    }

    /// Tells what failed in a folder, which is left alone then. Fails where it concerns more than that folder.
    fn try_on<T>(&self, job: &Job, result: Result<T, Failure>, outcome: &mut Outcome) -> Result<Option<T>, Failure> {
        match result {
            Err(failure) if failure.error.reach <= Reach::Folder => {
                self.fail(Some(&job.names), &failure);
                outcome.insert(job.id, false);
                Ok(None)
            }
            result => result.map(Some),
        }
    }

    fn after_slices(&self, works: &mut Vec<Work>, outcome: &Outcome) -> Result<(), Failure> {
        works.retain(|work| outcome.get(&work.job.id) != Some(&false));
        if outcome.is_empty() {
            return Ok(());
        }
        let intents: HashSet<FolderId> = self.state.folders_with_intents()?.into_iter().collect();
        for pair in self.state.folders()?.into_iter().filter(|pair| outcome.contains_key(&pair.id)) {
            // With the generation of the keys that are known now: should that change, they must not be taken for gone.
            for work in works.iter_mut().filter(|work| work.job.id == pair.id) {
                work.job.stored = pair.cursors.clone();
                work.job.intents |= intents.contains(&pair.id);
            }
        }
        Ok(())
    }

    /// The folders that are too large to be looked at together with the others.
    fn large<'a>(&self, works: &'a [Work], pool: &Pool<'_>, outcome: &mut Outcome) -> Result<Vec<Large<'a>>, Failure> {
        let mut all = Vec::new();
        let mut may_move: Sides<bool> = Sides::default();
        for Work { job, missing } in works {
            let known = self.state.count(job.id)?;
            let first = Sides::from_fn(|side| missing.is_none() && job.never_dealt_with(side));
            for side in Side::BOTH {
                may_move[side] |= known > 0 && !first[side] && !job.needs_no_look_on(side);
            }
            if !first.local && !first.remote {
                continue;
            }
            let begun = if job.intents { self.state.intents(job.id)?.len() as u64 } else { 0 };
            let counted = Sides::try_from_fn(|side| match (job.listed[side], first[side]) {
                (None, true) => self.count(job, side, pool),
                (listed, _) => Ok((listed, false)),
            });
            let Some(counted) = self.try_on(job, counted, outcome)? else { continue };
            let new = counted.as_ref().map(|(there, _)| there.unwrap_or_default().saturating_sub(known));
            let copied = |from: &Side| {
                first[*from] && new[*from] > 0 && job.policy.copy[from.other()] && new[from.other()] <= begun
            };
            let from = Side::BOTH.into_iter().find(copied);
            if from.is_some() || (first.local && first.remote && begun == 0 && new.local > 0 && new.remote > 0) {
                let new = from.map_or(new.local + new.remote, |from| new[from]);
                let exact = from.is_some_and(|from| counted[from.other()].1);
                all.push(Large { job, from, new, exact, queue: Mutex::default() });
            }
        }
        // What is missing from another folder may be here now: it is moved on the other side too, and neither copied nor
        // taken for what is there already.
        all.retain(|large| {
            !Side::BOTH.into_iter().any(|side| may_move[side] && large.from.is_none_or(|from| from == side))
        });
        all.sort_by_key(|large| large.new);
        let mut together = 0;
        all.retain(|large| {
            together += large.new;
            together > self.account.at_once
        });
        Ok(all)
    }

    /// How many messages a folder holds, `None` where its store does not say; and whether it says of a copy where it will be.
    fn count(&self, job: &Job, side: Side, pool: &Pool<'_>) -> Result<(Option<u64>, bool), Failure> {
        let mut stores = pool.take()?;
        let opened = stores[side].open(&job.wires[side], Access::Read, None);
        let counted = opened.and_then(|mut folder| {
            let exact = folder.reserve(1)?.iter().all(|mark| matches!(mark, Mark::Exact(_)));
            Ok((folder.count()?, exact))
        });
        pool.give(stores);
        counted.map_err(Failure::on(side))
    }

    /// Copies slices until there are no more.
    fn copy_large(&self, large: &Large<'_>, from: Side, most: usize, stores: &mut Stores) -> Result<(), Failure> {
        let to = from.other();
        loop {
            let mut queue = large.queue();
            if queue.ended || self.stop.is_set() {
                return Ok(());
            }
            let taken = self.next_slice(large.job, from, most, (&mut queue, stores));
            queue.ended |= match &taken {
                Ok(look) => look.is_none(),
                Err(failure) => failure.error.reach <= Reach::Folder,
            };
            let Some(mut look) = taken? else { return Ok(()) };
            let plan = look.plan(self.account, self.options, &Sides::default());
            look.new = Sides::default();
            // Where there is room for some more keywords, nobody else may plan with it until those have theirs.
            let alone = Some(queue).filter(|_| takes_room(&plan, &look.spaces[to]));
            let mut done = Done::default();
            let result = execute(&mut look, plan, stores, &self.context(), &mut done);
            done.problems.drain(..).for_each(|problem| self.problem(problem));
            let mut queue = alone.unwrap_or_else(|| large.queue());
            queue.counts.add(&done.counts);
            let full = self.full[to].load(Ordering::Relaxed);
            // After a lost connection others go on; what became of this slice is looked up with the whole folder.
            queue.ended |= full || result.as_ref().is_err_and(|failure| failure.error.reach <= Reach::Folder);
            drop(queue);
            result?;
        }
    }

    /// The next slice of a folder; `None` where there is none, or the folder is to be looked at as a whole.
    fn next_slice(
        &self,
        job: &Job,
        from: Side,
        most: usize,
        (queue, stores): (&mut Queue, &mut Stores),
    ) -> Result<Option<Look>, Failure> {
        if queue.there.is_none() {
            queue.there = self.nothing_new(job, from.other(), stores)?;
            queue.generation = job.stored[from].as_ref().map(|cursor| cursor.generation);
        }
        let Some(there) = queue.there.clone() else { return Ok(None) };
        let slice = (queue.after.as_ref(), most);
        let found = self.look_at_slice((job, from), slice, (&there, queue.generation), stores)?;
        let Some((look, reached)) = found else { return Ok(None) };
        queue.generation = Some(look.cursors[from].generation);
        queue.ended = reached.is_none();
        queue.after = reached;
        Ok(Some(look))
    }

    /// Where a side stands on which nothing is new but copies that an earlier run began, which are noted; `None` where more
    /// is, or can't be written to it.
    fn nothing_new(&self, job: &Job, side: Side, stores: &mut Stores) -> Result<Option<Cursor>, Failure> {
        let begun = self.state.intents(job.id)?;
        if begun.iter().any(|intent| intent.to != side || !intent.exact) {
            return Ok(None);
        }
        let access = job.policy.access(side, false);
        let mut folder = stores[side].open(&job.wires[side], access, None).map_err(Failure::on(side))?;
        if !folder.writable() {
            return Ok(None);
        }
        let marks: Vec<Key> = begun.iter().map(|intent| intent.mark.clone()).collect();
        let copies = if marks.is_empty() {
            Identified::default()
        } else {
            folder.identify(&marks, Depth::Header).map_err(Failure::on(side))?
        };
        if !copies.unread.is_empty() {
            return Ok(None);
        }
        let copies: HashSet<Key> = copies.known.into_iter().map(|(key, _)| key).collect();
        let mut known = Vec::new();
        for Intent { to, source, mark, flags, identity, .. } in begun {
            // What became of its source since is seen with the whole folder.
            if copies.contains(&mark) {
                let (keys, flags) = (Sides::with(to, mark, source.clone()), Sides::new(flags.clone(), flags));
                known.push(Change::Bind { folder: job.id, keys, flags, identity });
            }
            known.push(Change::Done { folder: job.id, to, source });
        }
        // Before the look: what is known need not be held to be compared.
        self.state.apply(&known)?;
        let known = KnownIn { state: self.state, folder: job.id, side };
        let changes = folder.changes(job.stored[side].as_ref(), &known).map_err(Failure::on(side))?;
        let nothing = changes.appeared.is_empty() && changes.complete && !changes.reset;
        Ok(Some(changes.cursor).filter(|_| nothing))
    }

    /// Some of what is new, and how far that goes; `None` where the folder is to be looked at as a whole.
    fn look_at_slice(
        &self,
        (job, from): (&Job, Side),
        (after, most): (Option<&Key>, usize),
        (there, generation): (&Cursor, Option<u64>),
        stores: &mut Stores,
    ) -> Result<Option<(Look, Option<Key>)>, Failure> {
        let to = from.other();
        let (folder, state) = (job.id, self.state);
        let Some(mut source) = open_again(job, from, generation, stores[from].as_mut())? else { return Ok(None) };
        let known = KnownIn { state, folder, side: from };
        let Some(slice) = source.some_new(after, &known, most).map_err(Failure::on(from))? else { return Ok(None) };
        let Slice { appeared, cursor, reached } = slice;
        let spaces = source.flag_space();
        drop(source);
        let target = stores[to].open(&job.wires[to], job.policy.access(to, false), None).map_err(Failure::on(to))?;
        let spaces = Sides::with(from, spaces, target.flag_space());
        let mut look = self.part(job, Sides::with(from, cursor, there.clone()), spaces)?;
        look.new[from] = appeared;
        Ok(Some((look, reached)))
    }

    /// A look at a part of a folder: no cursor advances for it, and nothing is concluded from what it lacks.
    pub(super) fn part(&self, job: &Job, cursors: Sides<Cursor>, spaces: Sides<FlagSpace>) -> Result<Look, Failure> {
        let ledger = Ledger::load(self.state, job.id)?.of_copies();
        let known = self.state.count(job.id)? as usize;
        let mut look =
            Look { spaces, pending: Sides::new(true, true), ..Look::new(job.clone(), cursors, ledger, known) };
        if known == 0 {
            look.start_over();
        }
        Ok(look)
    }
}

/// Whether copies come with keywords that their folder has to make room for.
fn takes_room(plan: &Plan, space: &FlagSpace) -> bool {
    let new = |put: &Flags| put.iter().any(|flag| !space.fixed.contains(&flag));
    space.more != usize::MAX && plan.ops.iter().any(|op| matches!(op, Op::Copy { put, .. } if new(put)))
}

/// Opens a folder that was looked at before; `None` where its messages have other keys now.
pub(super) fn open_again<'a>(
    job: &Job,
    side: Side,
    generation: Option<u64>,
    store: &'a mut dyn Store,
) -> Result<Option<Box<dyn Folder + 'a>>, Failure> {
    match store.open(&job.wires[side], job.policy.access(side, false), generation) {
        Err(error) if error.kind == Kind::Reset => Ok(None),
        opened => opened.map(Some).map_err(Failure::on(side)),
    }
}
