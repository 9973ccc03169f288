//! Does what was planned for one folder pair: intend, do, confirm. Deletions come last, cursors after them.

use super::copy::{Copies, copy};
use super::dispose::Deletion;
use super::event::{Counts, Deed, Event, Observer, Place, Problem, Touch};
use super::known::KnownIn;
use super::pair::{Failure, Job, Look, Stores};
use super::plan::{Op, Plan, What};
use super::recognise::find_copies;
use super::trash::Fate;
use crate::mail::{Appeared, Flag, FlagDelta, Flags, Identity, Key, PairId, Side, Sides};
use crate::state::{Change, Intent, State, Waiting};
use crate::store::{Folder, Kind, Reach, Stop, StoreError};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

/// State changes that are committed together.
const COMMIT: usize = 1000;

/// What an execution needs besides its plan.
pub struct Context<'a> {
    pub account: &'a str,
    pub state: &'a State,
    pub observer: &'a Observer,
    pub stop: &'a Stop,
    /// Sides that have no room left: nothing is copied there any more.
    pub full: &'a Sides<AtomicBool>,
    /// Whether the observer is told of each message.
    pub each_message: bool,
    /// How many messages are stored together, at most.
    pub batch: usize,
}

impl Context<'_> {
    /// Ends what goes on where the user asked to stop.
    pub fn check_stop(&self) -> Result<(), Failure> {
        match self.stop.is_set() {
            true => Err(Failure { side: None, error: StoreError::stopped() }),
            false => Ok(()),
        }
    }

    /// Tells what was done to messages, where anybody wants to know.
    pub fn tell_messages(&self, job: &Job, on: Side, deed: Deed, messages: Vec<Touch>) {
        if !self.each_message || messages.is_empty() {
            return;
        }
        let place = Place { names: job.names.clone(), wires: job.wires.clone(), role: job.role };
        let (account, folder) = (self.account.to_owned(), Arc::new(place));
        (self.observer)(Event::Messages { account, folder, on, deed, messages });
    }

    /// The files of messages, where anybody wants to know; else as many that are not known.
    pub fn files(&self, folder: &mut dyn Folder, keys: &[Key]) -> Result<Vec<Option<PathBuf>>, StoreError> {
        match self.each_message {
            true => folder.files(keys),
            false => Ok(vec![None; keys.len()]),
        }
    }

    /// Commits changes, so many at a time.
    pub fn commit(&self, changes: &[Change]) -> Result<(), Failure> {
        commit(self.state, changes)
    }
}

/// What came of it. Filled as the work goes on, so that a failure does not hide what was done before it.
#[derive(Debug, Default)]
pub struct Done {
    pub counts: Counts,
    pub problems: Vec<Problem>,
    /// Sides whose cursor must not advance.
    pub pending: Sides<bool>,
    /// Messages that failed by themselves, as the ledger is to have them: those that could not be copied, and those of
    /// pairs that could not be changed or removed.
    copies: Vec<Waiting>,
    edits: Vec<Waiting>,
    /// Whether it is not known what became of a copy: nothing is deleted then.
    unsure: bool,
}

impl Done {
    /// Only counts.
    pub fn of(counts: Counts) -> Done {
        Done { counts, ..Done::default() }
    }

    /// Notes what failed with one message of a folder.
    pub fn problem(&mut self, look: &Look, side: Side, key: &Key, error: &StoreError) {
        let mut problem = Problem::new(Some(&look.job.names.remote), Some(side), error);
        problem.message = Some(key.to_string());
        self.problems.push(problem);
    }

    /// A message on `side` could not be copied to the other one. It waits; the folder goes on without it.
    pub fn failed_copy(&mut self, look: &Look, side: Side, key: &Key, flags: &Flags, error: &StoreError) {
        self.problem(look, side, key, error);
        self.copies.push(look.ledger.failed_copy(side, key, flags, error, SystemTime::now()));
    }

    /// A message of a pair could not be changed or removed on `side`: what the other side wants stays to be done.
    pub fn failed_edit(&mut self, look: &Look, side: Side, key: &Key, error: &StoreError) {
        self.problem(look, side, key, error);
        self.edits.push(look.ledger.failed_edit(side, key, error, SystemTime::now()));
        self.pending[side.other()] = true;
    }
}

/// Executes a plan.
pub fn execute(
    look: &mut Look,
    plan: Plan,
    stores: &mut Stores,
    context: &Context<'_>,
    done: &mut Done,
) -> Result<(), Failure> {
    for side in Side::BOTH {
        done.pending[side] |= look.pending[side];
    }
    for side in Side::BOTH {
        for (Appeared { key, flags, .. }, error) in std::mem::take(&mut look.unread[side]) {
            let hint = "what is new on the other side waits for the next run: this may be one of those";
            let error = if error.hint.is_none() { error.with_hint(hint) } else { error };
            done.failed_copy(look, side, &key, &flags, &error);
        }
    }
    for held in &plan.held {
        done.pending[held.on.other()] = true;
        // The message that stays may have other flags by now, which nobody took note of.
        done.pending[held.on] |= held.what == What::Deletions;
    }
    context.state.apply(&std::mem::take(&mut look.prelude))?;
    let mut work = Work::sort(plan);
    let worked = carry_out(look, &mut work, stores, context, done);
    // What failed is noted whatever became of the rest.
    record(look, worked.is_ok(), context.state, done)?;
    worked?;
    let forget: Vec<Change> = work.forget.iter().map(|pair| Change::Forget { pair: *pair }).collect();
    context.commit(&forget)?;
    let cursors: Vec<Change> = Side::BOTH
        .into_iter()
        .filter(|side| !done.pending[*side])
        .map(|side| Change::Cursor { folder: look.job.id, side, cursor: look.cursors[side].clone() })
        .collect();
    context.state.apply(&cursors)?;
    Ok(())
}

fn carry_out(
    look: &mut Look,
    work: &mut Work,
    stores: &mut Stores,
    context: &Context<'_>,
    done: &mut Done,
) -> Result<(), Failure> {
    let needed = Sides::from_fn(|side| work.touches(side));
    if !needed.local && !needed.remote && !look.unsettled {
        return Ok(());
    }
    let Sides { local, remote } = stores;
    let job = &look.job;
    let access = Sides::from_fn(|side| job.policy.access(side, false));
    let expect = look.cursors.as_ref().map(|cursor| Some(cursor.generation));
    let mut folders: Sides<Box<dyn Folder + '_>> = Sides {
        local: local.open(&job.wires.local, access.local, expect.local).map_err(Failure::on(Side::Local))?,
        remote: remote.open(&job.wires.remote, access.remote, expect.remote).map_err(Failure::on(Side::Remote))?,
    };
    for on in Side::BOTH {
        folders[on].expect(&work.concerned(on));
        if !matches!(job.fates[on], Fate::MovedTo { .. }) {
            folders[on].foresee(&work.deletes[on].iter().map(|(_, key)| key.clone()).collect::<Vec<Key>>());
        }
    }
    let mut refused = Refused::default();
    set_flags(look, work, Side::Remote, &mut refused, &mut folders, context, done)?;
    // What comes from the server is asked for before flags are set here, which takes time; but they do not wait for much.
    let late = work.copies.local.len() <= FEW;
    if !late {
        set_flags(look, work, Side::Local, &mut refused, &mut folders, context, done)?;
    }
    note_flags(look, work, &refused, context, |work| !late || work.set.local.is_empty())?;
    let mut copied = Ok(());
    for to in Side::BOTH {
        copied = copied.and_then(|()| copy(look, to, &work.copies[to], &mut folders, context, done));
    }
    // They need neither the copies nor the room for them.
    let flagged = set_flags(look, work, Side::Local, &mut refused, &mut folders, context, done)
        .and_then(|()| note_flags(look, work, &refused, context, |_| true));
    graver(copied, flagged)?;
    for to in Side::BOTH {
        settle(look, to, &work.copies[to], &mut folders, context, done)?;
    }
    for on in Side::BOTH.into_iter().filter(|on| !work.deletes[*on].is_empty()) {
        if done.unsure {
            done.pending = Sides::new(true, true);
            let count = work.deletes[on].len();
            let text = format!("{count} deletions on {on} wait until it is known what became of every copy");
            let (account, folder) = (context.account.to_owned(), Some(look.job.names.remote.clone()));
            (context.observer)(Event::Note { account, folder, text });
        } else if !matches!(look.job.fates[on], Fate::MovedTo { .. }) {
            Deletion { look, on, deletes: &work.deletes[on], context }.remove(folders[on].as_mut(), done)?;
        }
    }
    // Each connection has one folder open at a time.
    drop(folders);
    for on in Side::BOTH.into_iter().filter(|_| !done.unsure).collect::<Vec<_>>() {
        Deletion { look, on, deletes: &work.deletes[on], context }.discard(stores, done)?;
    }
    Ok(())
}

/// Brings the ledger to what was found. Only a folder that was done with says which pairs failed: what did not fail
/// this time is solved.
fn record(look: &Look, all: bool, state: &State, done: &mut Done) -> Result<(), Failure> {
    let folder = look.job.id;
    let mut changes = Vec::new();
    let mut failed = std::mem::take(&mut done.copies);
    let edits = std::mem::take(&mut done.edits);
    if all {
        let known = Side::BOTH.into_iter().flat_map(|side| look.ledger.edits[side].keys().map(move |key| (side, key)));
        changes.extend(known.map(|(side, key)| Change::Solved { folder, side, key: key.clone() }));
        failed.extend(edits);
    }
    changes.extend(failed.into_iter().map(|waiting| Change::Problem { folder, waiting }));
    commit(state, &changes)
}

fn commit(state: &State, changes: &[Change]) -> Result<(), Failure> {
    for chunk in changes.chunks(COMMIT) {
        state.apply(chunk)?;
    }
    Ok(())
}

/// A pair to be bound, or whose flags change.
struct FlagWork {
    /// The row, if there is one.
    pair: Option<PairId>,
    keys: Sides<Key>,
    set: Box<Sides<FlagDelta>>,
    base: Box<Sides<Flags>>,
}

/// A plan's operations by kind.
#[derive(Default)]
struct Work {
    flags: Vec<FlagWork>,
    copies: Sides<Copies>,
    deletes: Sides<Vec<(PairId, Key)>>,
    forget: Vec<PairId>,
}

impl Work {
    fn sort(plan: Plan) -> Work {
        let mut work = Work::default();
        for op in plan.ops {
            match op {
                Op::Copy { to, key, from, put } => work.copies[to].push(key, from, put),
                Op::Bind { keys, set, base } => work.flags.push(FlagWork { pair: None, keys, set, base }),
                Op::Flags { pair, keys, set, base } => work.flags.push(FlagWork { pair: Some(pair), keys, set, base }),
                Op::Delete { on, pair, key } => work.deletes[on].push((pair, key)),
                Op::Forget { pair } => work.forget.push(pair),
            }
        }
        Side::BOTH.into_iter().for_each(|side| work.copies[side].sort());
        work
    }

    /// The messages on a side that something is done to, or that are read there.
    fn concerned(&self, on: Side) -> Vec<Key> {
        let flagged = self.flags.iter().filter(|work| !work.set[on].is_empty()).map(|work| &work.keys[on]);
        let deleted = self.deletes[on].iter().map(|(_, key)| key);
        flagged.chain(deleted).chain(self.copies[on.other()].keys()).cloned().collect()
    }

    fn touches(&self, side: Side) -> bool {
        !self.flags.is_empty() || !self.copies[side].is_empty() || !self.deletes[side].is_empty()
    }
}

/// So many copies at most are made before flags are set here.
const FEW: usize = 100;

/// The messages on each side whose flags could not be set.
type Refused = HashSet<(Side, Key)>;

/// Sets flags on one side.
fn set_flags(
    look: &Look,
    work: &Work,
    side: Side,
    refused: &mut Refused,
    folders: &mut Sides<Box<dyn Folder + '_>>,
    context: &Context<'_>,
    done: &mut Done,
) -> Result<(), Failure> {
    let changed = work.flags.iter().filter(|work| !work.set[side].is_empty());
    let changes: Vec<(Key, FlagDelta)> =
        changed.map(|work| (work.keys[side].clone(), work.set[side].clone())).collect();
    if changes.is_empty() {
        return Ok(());
    }
    context.check_stop()?;
    let keys: Vec<Key> = changes.iter().map(|(key, _)| key.clone()).collect();
    let before = context.files(folders[side].as_mut(), &keys).map_err(Failure::on(side))?;
    let failed = folders[side].set_flags(&changes).map_err(Failure::on(side))?;
    done.counts.flagged[side] += changes.len() - failed.len().min(changes.len());
    for (key, error) in failed {
        done.failed_edit(look, side, &key, &error);
        refused.insert((side, key));
    }
    let now = context.files(folders[side].as_mut(), &keys).map_err(Failure::on(side))?;
    let flagged = keys.into_iter().zip(before.into_iter().zip(now));
    let flagged = flagged.filter(|(key, _)| !refused.contains(&(side, key.clone())));
    let touches = flagged.map(|(_, (was, file))| Touch { file, was, unread: false }).collect();
    context.tell_messages(&look.job, side, Deed::Flagged, touches);
    Ok(())
}

/// The failure that reaches further, where there are two.
pub(super) fn graver(first: Result<(), Failure>, second: Result<(), Failure>) -> Result<(), Failure> {
    match (first, second) {
        (Err(first), Err(second)) if second.error.reach > first.error.reach => Err(second),
        (first, second) => first.and(second),
    }
}

/// Commits what both sides agree upon now, for those that are done on both.
fn note_flags(
    look: &Look,
    work: &mut Work,
    refused: &Refused,
    context: &Context<'_>,
    is_done: impl Fn(&FlagWork) -> bool,
) -> Result<(), Failure> {
    let mut changes = Vec::new();
    let (over, rest): (Vec<FlagWork>, Vec<FlagWork>) = std::mem::take(&mut work.flags).into_iter().partition(is_done);
    work.flags = rest;
    for FlagWork { pair, keys, set, base } in over {
        let mut flags = *base;
        for side in Side::BOTH {
            if refused.contains(&(side, keys[side].clone())) {
                // What was refused is tried again: both sides' flags stay as they were before the change.
                let undo = FlagDelta { add: set[side].remove.clone(), remove: set[side].add.clone() };
                flags = flags.map(|flags| flags.with(&undo));
            }
        }
        match pair {
            Some(pair) => changes.push(Change::Flags { pair, flags }),
            None => {
                let identity = identity_of(look, &keys);
                for to in Side::BOTH {
                    changes.push(Change::Done { folder: look.job.id, to, source: keys[to.other()].clone() });
                }
                changes.push(Change::Bind { folder: look.job.id, keys, flags, identity });
            }
        }
    }
    context.commit(&changes)
}

/// What both sides together know of a message.
fn identity_of(look: &Look, keys: &Sides<Key>) -> Identity {
    let mut identity = look.identities.local.get(&keys.local).cloned().unwrap_or_default();
    if let Some(remote) = look.identities.remote.get(&keys.remote) {
        identity.size = identity.size.or(remote.size);
        identity.message_id = identity.message_id.or_else(|| remote.message_id.clone());
        identity.email_id = match (identity.email_id, &remote.email_id) {
            // Two servers name it each in its own way: neither name says anything about the other's messages.
            (Some(local), Some(remote)) if local != *remote => None,
            (local, remote) => local.or_else(|| remote.clone()),
        };
        identity.hash = identity.hash.or(remote.hash);
    }
    identity
}

/// Binds copies whose key the store did not tell: looks for them. Others may be making copies in the same folder, where
/// it is known beforehand what their keys will be.
fn settle(
    look: &mut Look,
    to: Side,
    copies: &Copies,
    folders: &mut Sides<Box<dyn Folder + '_>>,
    context: &Context<'_>,
    done: &mut Done,
) -> Result<(), Failure> {
    let folder = look.job.id;
    let unsettled = look.unsettled;
    let ours = |intent: &Intent| intent.to == to && (!intent.exact || unsettled || copies.contains(&intent.source));
    let open: Vec<Intent> = context.state.intents(folder)?.into_iter().filter(ours).collect();
    if open.is_empty() {
        return Ok(());
    }
    let known = KnownIn { state: context.state, folder, side: to };
    let changes = folders[to].changes(Some(&look.cursors[to]), &known).map_err(Failure::on(to))?;
    let found = find_copies(&open, &changes.appeared, folders[to].as_mut(), &mut look.identities[to])
        .map_err(Failure::on(to))?;
    let (mut confirmed, mut copied) = (Vec::new(), Vec::new());
    for (intent, at) in open.into_iter().zip(found) {
        let Some(key) = at else {
            let text = "the server took it, but it is not to be seen there yet";
            let error = StoreError::new(Reach::Message, Kind::Missing, "append", text)
                .with_hint("the next run looks for it before anything is sent again");
            done.problem(look, to.other(), &intent.source, &error);
            done.pending = Sides::new(true, true);
            done.unsure = true;
            continue;
        };
        // What was moved here was told when it was moved.
        if copies.contains(&intent.source) {
            copied.push(Touch { unread: is_unread(&intent.flags), ..Touch::default() });
        }
        let flags = Sides::new(intent.flags.clone(), intent.flags.clone());
        let keys = Sides::with(to, key, intent.source.clone());
        confirmed.push(Change::Bind { folder, keys, flags, identity: intent.identity });
        confirmed.push(Change::Done { folder, to, source: intent.source });
        done.counts.copied[to] += 1;
    }
    context.tell_messages(&look.job, to, Deed::Copied, copied);
    Ok(context.state.apply(&confirmed)?)
}

/// Whether a message with these flags is one that waits to be read.
pub fn is_unread(flags: &Flags) -> bool {
    ![Flag::Seen, Flag::Draft, Flag::Deleted].iter().any(|flag| flags.contains(flag))
}
