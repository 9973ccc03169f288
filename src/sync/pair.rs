//! One folder pair from look to outcome, and nothing else.

use super::dispose::take_back;
use super::event::Counts;
use super::known::KnownIn;
use super::ledger::{self, Ledger};
use super::plan::{Held, Op, Plan, Reason, What};
use super::recognise::{Former, bind_new, bind_renamed, done, resume, unbind};
use super::reconcile::{Bound, Input, Now, Touched, reconcile};
use super::trash::{self, Fate};
use super::{Account, Options, Policy, guard};
use crate::mail::{
    Appeared, Changes, Cursor, FlagSpace, FolderId, FolderName, Identity, Key, PairId, Role, Side, Sides, Withheld,
};
use crate::state::{Change, State, StateError};
use crate::store::{Access, Folder, Kind, NothingKnown, Reach, Stop, Store, StoreError};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

/// Both stores of an account, over one connection each.
pub type Stores = Sides<Box<dyn Store>>;

/// A failure, and the side that failed; none where it was the state.
#[derive(Clone, Debug)]
pub struct Failure {
    pub side: Option<Side>,
    pub error: StoreError,
}

impl Failure {
    /// Makes a closure that says on which side an error happened.
    pub fn on(side: Side) -> impl Fn(StoreError) -> Failure {
        move |error| Failure { side: Some(side), error }
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        Failure { side: None, error: state_error(error) }
    }
}

/// A failure of the state as an error that ends the account's run.
pub fn state_error(error: StateError) -> StoreError {
    let hint = error.hint();
    StoreError::new(Reach::Account, Kind::State, "state", error).with_hint(hint)
}

/// A folder pair that takes part in this run.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: FolderId,
    pub wires: Sides<Vec<u8>>,
    pub names: Sides<FolderName>,
    pub role: Option<Role>,
    /// What may be done in it.
    pub policy: Policy,
    /// What becomes of the messages that are deleted on each side.
    pub fates: Sides<Fate>,
    /// Where each side stood at the end of the last run that dealt with everything.
    pub stored: Sides<Option<Cursor>>,
    /// Where each side stands now, as far as the folder lists told.
    pub seen: Sides<Option<Cursor>>,
    /// How many messages each side has, as far as the folder lists told.
    pub listed: Sides<Option<u64>>,
    /// Deletions on each side that the guard held when the folder was last looked at.
    pub held: Sides<Withheld>,
    /// Whether copies were begun that may not have ended.
    pub intents: bool,
    /// Whether a message waits whose time has come to be tried again.
    pub due: bool,
    /// Messages that wait are tried again if their time is not after this one.
    pub due_by: SystemTime,
    /// How long a copy is waited for whose connection broke off.
    pub patience: Duration,
    pub stop: Stop,
}

impl Job {
    /// Whether the two cursors prove that there is nothing to do.
    pub fn is_unchanged(&self) -> bool {
        !self.intents && !self.due && Side::BOTH.into_iter().all(|side| self.is_unchanged_on(side))
    }

    /// Whether no run ever came to its end that began with all of this side.
    pub fn never_dealt_with(&self, side: Side) -> bool {
        self.stored[side].as_ref().is_none_or(Cursor::is_start)
    }

    /// Whether a side need not be asked for its changes.
    pub fn needs_no_look_on(&self, side: Side) -> bool {
        !self.intents && self.is_unchanged_on(side)
    }

    fn is_unchanged_on(&self, side: Side) -> bool {
        match (&self.stored[side], &self.seen[side]) {
            (Some(stored), Some(seen)) => stored.proves_unchanged(seen),
            _ => false,
        }
    }
}

/// What looking at a folder pair showed.
#[derive(Debug)]
pub struct Look {
    pub job: Job,
    /// Where each side stood when it was looked at.
    pub cursors: Sides<Cursor>,
    pub spaces: Sides<FlagSpace>,
    pub writable: Sides<bool>,
    /// Whether each side's listing was complete.
    pub complete: Sides<bool>,
    /// Whether each side's listing has fewer messages than the folder, or may have.
    pub lacking: Sides<bool>,
    /// Known messages on which something changed, with what the state knows of them.
    pub touched: BTreeMap<PairId, (Touched, Identity)>,
    /// Messages that are not known and were bound to nothing.
    pub new: Sides<Vec<Appeared>>,
    /// Messages whose copies failed, and whose time to be tried again has not come.
    pub resting: Sides<Vec<Key>>,
    /// New messages that can't be read, while others are new on the other side that may be the same.
    pub unread: Sides<Vec<(Appeared, StoreError)>>,
    pub bound: Vec<Bound>,
    pub ledger: Ledger,
    /// What is known of messages that no row knows.
    pub identities: Sides<HashMap<Key, Identity>>,
    /// What must be committed before anything is done.
    pub prelude: Vec<Change>,
    /// Pairs that the baseline had.
    pub known: usize,
    /// Whether messages were moved here whose new keys are not known yet.
    pub unsettled: bool,
    /// Sides whose cursor must not advance: something there is not dealt with yet.
    pub pending: Sides<bool>,
    pub notes: Vec<(Side, String)>,
}

impl Look {
    /// A pair of which nothing was found out yet, with both sides whole and writable.
    pub fn new(job: Job, cursors: Sides<Cursor>, ledger: Ledger, known: usize) -> Look {
        Look {
            job,
            cursors,
            spaces: Sides::new(FlagSpace::all(), FlagSpace::all()),
            writable: Sides::new(true, true),
            complete: Sides::new(true, true),
            lacking: Sides::default(),
            touched: BTreeMap::new(),
            new: Sides::default(),
            resting: Sides::default(),
            unread: Sides::default(),
            bound: Vec::new(),
            ledger,
            identities: Sides::default(),
            prelude: Vec::new(),
            known,
            unsettled: false,
            pending: Sides::default(),
            notes: Vec::new(),
        }
    }

    /// How many known messages are gone on `side`.
    pub fn gone(&self, side: Side) -> usize {
        self.touched.values().filter(|(touched, _)| touched.now[side] == Now::Gone).count()
    }

    /// Known messages that went on `side` and are still there on the other, if its listing can be believed.
    pub fn went(&self, side: Side) -> impl Iterator<Item = &(Touched, Identity)> {
        let went = move |touched: &Touched| touched.now[side] == Now::Gone && touched.now[side.other()] != Now::Gone;
        self.touched.values().filter(move |(touched, _)| self.complete[side] && went(touched))
    }

    /// Leaves a pair as it is: a later run sees what became of it.
    pub fn leave(&mut self, pair: PairId) {
        self.touched.remove(&pair);
        self.pending = Sides::new(true, true);
    }

    /// Takes what is gone on `side` for lost, not deleted: what the other side still has of it is new again.
    pub fn restore(&mut self, side: Side) {
        let gone: Vec<PairId> = self
            .touched
            .values()
            .filter(|(touched, _)| touched.now[side] == Now::Gone && touched.now[side.other()] != Now::Gone)
            .map(|(touched, _)| touched.pair)
            .collect();
        for pair in gone {
            let Some((touched, _)) = self.touched.remove(&pair) else { continue };
            self.prelude.push(Change::Forget { pair });
            if let Now::There(flags) = touched.now[side.other()].clone() {
                let key = touched.keys[side.other()].clone();
                self.new[side.other()].push(Appeared { key, flags, size: None });
            }
        }
        // Should this run not come to its end, what was forgotten must be found again.
        self.start_over();
    }

    /// Has both sides listed whole again, until a run has dealt with everything.
    pub(super) fn start_over(&mut self) {
        let (folder, cursors) = (self.job.id, &self.cursors);
        let starts = Side::BOTH.map(|side| {
            let cursor = Cursor::start(cursors[side].generation);
            Change::Cursor { folder, side, cursor }
        });
        self.prelude.extend(starts);
    }

    /// Decides, and lets the guard judge. `doubt` is what the account as a whole knows against a side.
    pub fn plan(&self, account: &Account, options: &Options, doubt: &Sides<Option<Reason>>) -> Plan {
        let plan = reconcile(Input {
            touched: self.touched.values().map(|(touched, _)| touched.clone()).collect(),
            new: self.new.as_ref().map(Cow::from),
            bound: self.bound.clone(),
            spaces: self.spaces.clone(),
            policy: self.job.policy,
            writable: self.writable,
        });
        let doubt = Sides::from_fn(|side| match self.complete[side] {
            true => doubt[side].clone(),
            false => Some(Reason::Incomplete),
        });
        let facts = guard::Facts {
            known: self.known,
            role: self.job.role,
            held: self.job.held,
            limits: account.limits,
            doubt,
            blind: Sides::from_fn(|side| self.lacking[side] && self.job.never_dealt_with(side)),
            allow_delete: options.allow_delete,
        };
        trash::hold(guard::guard(plan, &facts), &self.job.fates)
    }
}

/// What is planned, counted.
pub fn count(plan: &Plan) -> Counts {
    let mut counts = Counts::default();
    for op in &plan.ops {
        match op {
            Op::Copy { to, .. } => counts.copied[*to] += 1,
            Op::Delete { on, .. } => counts.deleted[*on] += 1,
            Op::Bind { set, .. } | Op::Flags { set, .. } => {
                for side in Side::BOTH {
                    counts.flagged[side] += usize::from(!set[side].is_empty());
                }
            }
            Op::Forget { .. } => {}
        }
    }
    counts
}

/// Looks at a pair: what changed on each side, and what belongs together. Changes nothing.
pub fn look(job: Job, stores: &mut Stores, state: &State, dry_run: bool) -> Result<Look, Failure> {
    let Sides { local, remote } = stores;
    // While the server opens its folder, the local one is looked at.
    let look = (!job.needs_no_look_on(Side::Remote)).then_some((job.stored.remote.as_ref(), job.seen.remote.as_ref()));
    remote.begin_to_open(&job.wires.remote, job.policy.access(Side::Remote, dry_run), look);
    let here = open_to_look(&job, Side::Local, local.as_mut(), dry_run)
        .and_then(|mut folder| Ok((ask_for_changes(&job, Side::Local, folder.as_mut(), state)?, folder)));
    let there = open_to_look(&job, Side::Remote, remote.as_mut(), dry_run);
    let ((local, here), mut there) = (here?, there?);
    let remote = ask_for_changes(&job, Side::Remote, there.as_mut(), state)?;
    let (mut folders, changes) = (Sides { local: here, remote: there }, Sides { local, remote });
    let cursors = changes.as_ref().map(|changes| changes.cursor.clone());
    let (ledger, known) = (Ledger::load(state, job.id)?, state.count(job.id)? as usize);
    let mut look = Look {
        // EXAMINE says nothing of what could be written: a dry run plans as if everything could.
        spaces: folders.as_ref().map(|f| if dry_run { FlagSpace::all() } else { f.flag_space() }),
        writable: folders.as_ref().map(|f| dry_run || f.writable()),
        complete: changes.as_ref().map(|changes| changes.complete),
        pending: changes.as_ref().map(|changes| !changes.complete),
        ..Look::new(job, cursors, ledger, known)
    };
    let mut changes = changes;
    // A server may be doubted for other reasons, and have shown all the same as many messages as it counts.
    look.lacking = Sides::from_fn(|side| {
        let changes = &changes[side];
        let shown = (changes.appeared.len() + look.known + look.ledger.copies[side].len()) as u64;
        !changes.complete && changes.count.is_none_or(|count| shown < count)
    });
    let reset = changes.local.reset || changes.remote.reset;
    if let Some(side) = Side::BOTH.into_iter().find(|side| reset && look.lacking[*side]) {
        return Err(unpairable(side, "the other side's messages all have new numbers (UIDVALIDITY)"));
    }
    for side in Side::BOTH {
        look.notes.extend(std::mem::take(&mut changes[side].notes).into_iter().map(|note| (side, note)));
    }
    let resting = ledger::attend(&mut look, &mut changes);
    let former = if reset { unbind(&mut look, state, &mut changes)? } else { Former::default() };
    touch(&mut look, state, &mut changes)?;
    for side in Side::BOTH {
        look.new[side].append(&mut changes[side].appeared);
    }
    match reset {
        // The keys that they name mean nothing any more.
        true => look.prelude.extend(state.intents(look.job.id)?.into_iter().map(|intent| done(look.job.id, intent))),
        false if look.job.intents => resume(&mut look, &mut folders, state, dry_run)?,
        false => {}
    }
    take_back(&mut look, state)?;
    // Before equal messages that are new on the other side can claim what has only another name.
    bind_renamed(&mut look, &mut folders)?;
    bind_new(&mut look, &mut folders, &former)?;
    for side in Side::BOTH {
        look.new[side].retain(|appeared| !resting[side].contains(&appeared.key));
    }
    look.resting = resting.map(|keys| keys.into_iter().collect());
    let lost = former.pairs.iter().filter(|pair| !look.touched.contains_key(pair));
    look.prelude.extend(lost.map(|pair| Change::Forget { pair: *pair }));
    // Whatever comes of this run, the keys that it stores must not be taken for those of another generation.
    if reset || (look.known == 0 && look.job.stored.local.is_none() && look.job.stored.remote.is_none()) {
        look.start_over();
    }
    Ok(look)
}

fn open_to_look<'a>(
    job: &Job,
    side: Side,
    store: &'a mut dyn Store,
    dry_run: bool,
) -> Result<Box<dyn Folder + 'a>, Failure> {
    let access = job.policy.access(side, dry_run);
    let (since, seen) = (job.stored[side].as_ref(), job.seen[side].as_ref());
    let opened = match job.needs_no_look_on(side) {
        true => store.open(&job.wires[side], access, None),
        false => store.open_to_look(&job.wires[side], access, since, seen),
    };
    let mut folder = opened.map_err(Failure::on(side))?;
    if !dry_run && job.policy.copy[side.other()] {
        folder.want_new();
    }
    Ok(folder)
}

fn ask_for_changes(job: &Job, side: Side, folder: &mut dyn Folder, state: &State) -> Result<Changes, Failure> {
    match job.stored[side].as_ref() {
        Some(stored) if job.needs_no_look_on(side) => Ok(Changes::none(stored.clone())),
        since => {
            let known = KnownIn { state, folder: job.id, side };
            let changes = folder.changes(since, &known).map_err(Failure::on(side))?;
            check(side, changes)
        }
    }
}

/// Fails where a listing can't be worked with.
fn check(side: Side, changes: Changes) -> Result<Changes, Failure> {
    if changes.reset && !changes.complete {
        return Err(unpairable(side, "all its messages have new numbers (UIDVALIDITY)"));
    }
    Ok(changes)
}

/// What is not listed can't be paired anew: it would be copied a second time.
fn unpairable(side: Side, why: &str) -> Failure {
    let text = format!("{why}, and its listing was incomplete");
    let error = StoreError::new(Reach::Folder, Kind::Protocol, "look", text)
        .with_hint("nothing is copied or deleted on the strength of it; the next run looks again");
    Failure { side: Some(side), error }
}

/// Turns changes of known messages into rows that are touched.
fn touch(look: &mut Look, state: &State, changes: &mut Sides<Changes>) -> Result<(), Failure> {
    for side in Side::BOTH {
        let vanished = std::mem::take(&mut changes[side].vanished).into_iter().map(|key| (key, Now::Gone));
        let reflagged = std::mem::take(&mut changes[side].reflagged);
        let reflagged = reflagged.into_iter().map(|(key, flags)| (key, Now::There(flags)));
        let changed: Vec<(Key, Now)> = vanished.chain(reflagged).collect();
        let rows = state.pairs_of_all(look.job.id, side, changed.iter().map(|(key, _)| key))?;
        for ((_, now), rows) in changed.into_iter().zip(rows) {
            for row in rows {
                let (touched, _) = look.touched.entry(row.id).or_insert_with(|| {
                    let now = row.flags.clone().map(Now::There);
                    (Touched { pair: row.id, keys: row.keys, base: row.flags, now }, row.identity)
                });
                touched.now[side] = now.clone();
            }
        }
    }
    Ok(())
}

/// A pair of which one folder does not exist, in a dry run that would make it: all of the other is new.
pub fn look_one_side(job: Job, there: Side, stores: &mut Stores) -> Result<Look, Failure> {
    let mut folder = stores[there].open(&job.wires[there], Access::Read, None).map_err(Failure::on(there))?;
    let changes = folder.changes(None, &NothingKnown).map_err(Failure::on(there))?;
    let cursors = Sides::new(changes.cursor.clone(), changes.cursor);
    let mut look = Look::new(job, cursors, Ledger::default(), 0);
    look.complete[there] = changes.complete;
    look.new[there] = changes.appeared;
    Ok(look)
}

/// What a plan would do, a line each, for a dry run.
pub fn describe(plan: &Plan, job: &Job) -> Vec<String> {
    let names = &job.names;
    let mut lines = Vec::new();
    for op in &plan.ops {
        match op {
            Op::Copy { to, key, put, .. } => {
                let flags = if put.is_empty() { String::new() } else { format!(" with {put}") };
                lines.push(format!("copy {key} to {to} {}{flags}", names[*to]));
            }
            Op::Delete { on, key, .. } => lines.push(match &job.fates[*on] {
                Fate::MovedTo { name, .. } => format!("move {key} to {name} on {on}: gone on the other side"),
                _ => format!("delete {key} on {on}: gone on the other side"),
            }),
            Op::Bind { keys, set, .. } => {
                lines.push(format!("take local {} and remote {} for one message", keys.local, keys.remote));
                lines.extend(describe_flags(keys, set));
            }
            Op::Flags { keys, set, .. } => lines.extend(describe_flags(keys, set)),
            Op::Forget { .. } => {}
        }
    }
    lines
}

fn describe_flags(keys: &Sides<Key>, set: &Sides<crate::mail::FlagDelta>) -> Vec<String> {
    let mut lines = Vec::new();
    for side in Side::BOTH {
        for (sign, flags) in [("set", &set[side].add), ("clear", &set[side].remove)] {
            if !flags.is_empty() {
                lines.push(format!("{sign} {flags} on {side} {}", keys[side]));
            }
        }
    }
    lines
}

/// A thing to report where the listing of a side was incomplete and nothing else says so.
pub fn incomplete(look: &Look) -> Vec<Held> {
    let sides = Side::BOTH.into_iter().filter(|side| !look.complete[*side]);
    sides
        .map(|side| Held {
            what: What::Deletions,
            on: side.other(),
            count: 0,
            reason: Reason::Incomplete,
            hint: Some("nothing is deleted on the strength of it; the next run looks again".to_owned()),
        })
        .collect()
}
