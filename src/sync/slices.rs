//! The first sync of large folders, a slice of it at a time, so that it takes no more memory than that of small ones.
//!
//! Only where it needs no comparison: one side has nothing that is new but copies that an earlier run began under names of
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
use crate::mail::{Cursor, FolderId, Key, Side, Sides};
use crate::state::{Change, Intent};
use crate::store::{Access, Depth, Identified, Kind, Reach, Slice};
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::Ordering;

/// What [`Account::at_once`](super::Account::at_once) is in the program.
pub const AT_ONCE: u64 = 10_000;
/// No slice is smaller than this or that, however many folders are large.
const LEAST: u64 = 1000;

/// A folder pair of which much is new on side `from`.
struct Large<'a> {
    job: &'a Job,
    from: Side,
    new: u64,
}

impl Run<'_> {
    /// Copies what is new in folders that were never dealt with, if that is much. Takes those that failed out of `works`,
    /// and notes in the others what was left undone.
    pub fn copy_slices(&self, works: &mut Vec<Work>, pool: &Pool<'_>) -> Result<(), Failure> {
        if self.options.dry_run || self.is_lacking() {
            return Ok(());
        }
        let large = self.large(works, pool)?;
        if large.is_empty() {
            return Ok(());
        }
        self.begin_turn(pool)?;
        let new: u64 = large.iter().map(|large| large.new).sum();
        let at_once = self.account.at_once;
        let most = (at_once / large.len() as u64).max(LEAST.min(at_once)).max(1) as usize;
        let worth = (usize::try_from(new).unwrap_or(usize::MAX), WORTH_A_CONNECTION);
        let results = pool.run(&large, worth, self.stop, |large, stores, _| self.copy_large(large, most, stores));
        let mut failed = HashSet::new();
        for (large, result) in large.iter().zip(results) {
            match result {
                Some(Err(failure)) if failure.error.reach > Reach::Folder => return Err(failure),
                Some(Err(failure)) => {
                    self.fail(Some(&large.job.names), &failure);
                    failed.insert(large.job.id);
                }
                Some(Ok(())) | None => {}
            }
        }
        let large: HashSet<FolderId> = large.iter().map(|large| large.job.id).collect();
        works.retain(|work| !failed.contains(&work.job.id));
        let intents: HashSet<FolderId> = self.state.folders_with_intents()?.into_iter().collect();
        for pair in self.state.folders()?.into_iter().filter(|pair| large.contains(&pair.id)) {
            // With the generation of the keys that are known now: should that change, they must not be taken for gone.
            for work in works.iter_mut().filter(|work| work.job.id == pair.id) {
                work.job.stored = pair.cursors.clone();
                work.job.intents |= intents.contains(&pair.id);
            }
        }
        Ok(())
    }

    /// The folders that are too large to be looked at together with the others.
    fn large<'a>(&self, works: &'a [Work], pool: &Pool<'_>) -> Result<Vec<Large<'a>>, Failure> {
        let mut all = Vec::new();
        let mut may_move: Sides<bool> = Sides::default();
        for Work { job, missing } in works {
            let known = self.state.count(job.id)?;
            let first = Sides::from_fn(|side| missing.is_none() && job.never_dealt_with(side));
            for side in Side::BOTH {
                may_move[side] |= known > 0 && !first[side] && !job.needs_no_look_on(side);
            }
            if Side::BOTH.into_iter().all(|from| !first[from] || !job.policy.copy[from.other()]) {
                continue;
            }
            let begun = if job.intents { self.state.intents(job.id)?.len() as u64 } else { 0 };
            let new = Sides::try_from_fn(|side| {
                let there = if first[side] { self.count(job, side, pool)? } else { job.listed[side] };
                Ok::<_, Failure>(there.map(|there| there.saturating_sub(known)))
            })?;
            for from in Side::BOTH {
                let beside = new[from.other()].unwrap_or_default();
                if let Some(new) = new[from].filter(|new| *new > 0)
                    && first[from]
                    && job.policy.copy[from.other()]
                    && beside <= begun
                {
                    all.push(Large { job, from, new });
                }
            }
        }
        // What is missing from another folder may be here now: it is moved on the other side too, not copied.
        all.retain(|large| !may_move[large.from]);
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
        let mut opened = stores[side].open(&job.wires[side], Access::Read, None);
        let count = opened.as_mut().map_or(Ok(None), |folder| folder.count());
        drop(opened);
        pool.give(stores);
        match count {
            Err(error) if error.reach > Reach::Folder => Err(Failure::on(side)(error)),
            // The look at the whole folder meets it again, and tells it.
            count => Ok(count.unwrap_or_default()),
        }
    }

    fn copy_large(&self, large: &Large<'_>, most: usize, stores: &mut Stores) -> Result<(), Failure> {
        let Large { job, from, .. } = *large;
        let (mut counts, mut after) = (Counts::default(), None);
        let mut generation = job.stored[from].as_ref().map(|cursor| cursor.generation);
        let Some(there) = self.nothing_new(job, from.other(), stores)? else { return Ok(()) };
        let result = loop {
            let (mut look, reached) =
                match self.look_at_slice(large, (after.as_ref(), most), (&there, generation), stores) {
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
        large: &Large<'_>,
        (after, most): (Option<&Key>, usize),
        (there, generation): (&Cursor, Option<u64>),
        stores: &mut Stores,
    ) -> Result<Option<(Look, Option<Key>)>, Failure> {
        let Large { job, from, .. } = *large;
        let to = from.other();
        let (folder, state) = (job.id, self.state);
        let access = Sides::from_fn(|side| job.policy.access(side, false));
        let opened = stores[from].open(&job.wires[from], access[from], generation);
        let mut source = match opened {
            Err(error) if error.kind == Kind::Reset => return Ok(None),
            opened => opened.map_err(Failure::on(from))?,
        };
        let known = KnownIn { state, folder, side: from };
        let Some(slice) = source.some_new(after, &known, most).map_err(Failure::on(from))? else { return Ok(None) };
        let Slice { appeared, cursor, reached } = slice;
        let spaces = source.flag_space();
        drop(source);
        let target = stores[to].open(&job.wires[to], access[to], None).map_err(Failure::on(to))?;
        let cursors = Sides::with(from, cursor, there.clone());
        let mut look = Look {
            spaces: Sides::with(from, spaces, target.flag_space()),
            writable: Sides::new(true, true),
            complete: Sides::new(true, true),
            lacking: Sides::default(),
            touched: BTreeMap::new(),
            new: Sides::with(from, appeared, Vec::new()),
            resting: Sides::default(),
            unread: Sides::default(),
            bound: Vec::new(),
            ledger: Ledger::load(state, folder)?.of_copies(),
            identities: Sides::default(),
            prelude: Vec::new(),
            known: state.count(folder)? as usize,
            unsettled: false,
            pending: Sides::new(true, true),
            notes: Vec::new(),
            cursors,
            job: job.clone(),
        };
        if look.known == 0 {
            look.start_over();
        }
        Ok(Some((look, reached)))
    }
}
