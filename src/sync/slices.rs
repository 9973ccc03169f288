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
use super::pool::Pool;
use super::prepare::Work;
use crate::mail::{Cursor, FlagSpace, FolderId, Key, Side, Sides};
use crate::state::{Change, Intent};
use crate::store::{Access, Depth, Folder, Identified, Kind, Reach, Slice, Store};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

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
        self.begin_turn(pool)?;
        let new: u64 = large.iter().map(|large| large.new).sum();
        let at_once = self.account.at_once;
        let share = (at_once / large.len() as u64).max(LEAST.min(at_once)).max(1);
        let worth = (usize::try_from(new).unwrap_or(usize::MAX), WORTH_A_CONNECTION);
        let results = pool.run(large, worth, self.stop, |large, stores, _| {
            let most = share.max(large.new / SLICES) as usize;
            match large.from {
                Some(from) => self.copy_large(large.job, from, most, stores),
                None => self.pair_large(large.job, (large.new, most), stores),
            }
        });
        for (large, result) in large.iter().zip(results) {
            outcome.insert(large.job.id, true);
            if let Some(result) = result {
                self.try_on(large.job, result, outcome)?;
            }
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
            let new = Sides::try_from_fn(|side| {
                let there = if first[side] { self.count(job, side, pool)? } else { job.listed[side] };
                Ok::<_, Failure>(there.unwrap_or_default().saturating_sub(known))
            });
            let Some(new) = self.try_on(job, new, outcome)? else { continue };
            let copied = |from: &Side| {
                first[*from] && new[*from] > 0 && job.policy.copy[from.other()] && new[from.other()] <= begun
            };
            let from = Side::BOTH.into_iter().find(copied);
            if from.is_some() || (first.local && first.remote && begun == 0 && new.local > 0 && new.remote > 0) {
                let new = from.map_or(new.local + new.remote, |from| new[from]);
                all.push(Large { job, from, new });
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

    /// How many messages a folder holds; `None` where its store does not say.
    fn count(&self, job: &Job, side: Side, pool: &Pool<'_>) -> Result<Option<u64>, Failure> {
        if job.listed[side].is_some() {
            return Ok(job.listed[side]);
        }
        let mut stores = pool.take()?;
        let opened = stores[side].open(&job.wires[side], Access::Read, None);
        let count = opened.and_then(|mut folder| folder.count()).map_err(Failure::on(side));
        pool.give(stores);
        count
    }

    fn copy_large(&self, job: &Job, from: Side, most: usize, stores: &mut Stores) -> Result<(), Failure> {
        let (mut counts, mut after) = (Counts::default(), None);
        let mut generation = job.stored[from].as_ref().map(|cursor| cursor.generation);
        let Some(there) = self.nothing_new(job, from.other(), stores)? else { return Ok(()) };
        let result = loop {
            let (mut look, reached) =
                match self.look_at_slice((job, from), (after.as_ref(), most), (&there, generation), stores) {
                    Ok(Some(found)) => found,
                    Ok(None) => break Ok(()),
                    Err(failure) => break Err(failure),
                };
            generation = Some(look.cursors[from].generation);
            let plan = look.plan(self.account, self.options, &Sides::default());
            look.new = Sides::default();
            let mut done = Done::default();
            let result = execute(&mut look, plan, stores, &self.context(), &mut done);
            counts.add(&done.counts);
            done.problems.drain(..).for_each(|problem| self.problem(problem));
            let full = self.full[from.other()].load(Ordering::Relaxed);
            if result.is_err() || reached.is_none() || full || self.stop.is_set() {
                break result;
            }
            after = reached;
        };
        self.folder_done(job, Done::of(counts));
        result
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
