//! One account's run: lock, lists, looks, moves, plans, work.

use super::act::{Acting, Planned};
use super::copy::batch_messages;
use super::event::{Counts, Event, Observer, Outcome, Problem};
use super::execute::{Context, Done};
use super::folders::plan_folders;
use super::pair::{Failure, Job, Look, Stores, count, describe, incomplete, look, look_one_side, state_error};
use super::plan::{Held, Plan, Reason, What};
use super::pool::{Lease, Pool};
use super::prepare::Work;
use super::relocate::{ask, questions, relocate};
use super::{Account, Options, guard};
use crate::mail::{FolderId, FolderName, Noted, Side, Sides, Withheld};
use crate::state::{Backlog, Change, State, StateError};
use crate::store::{Claim, Depth, FolderInfo, Kind, Lock, Reach, Stop, Store, StoreError, start_thread};
use std::collections::HashSet;
use std::panic::resume_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::SystemTime;

/// So few messages are not worth another connection.
pub(super) const WORTH_A_CONNECTION: usize = 10;
/// So few folders to look at are not, either.
const LOOKS_WORTH_A_CONNECTION: usize = 4;

/// Syncs one account and says how it ended.
pub fn sync_account(account: &Account, options: &Options, observer: &Observer, stop: &Stop) -> (Outcome, Counts) {
    observer(Event::AccountStarted { account: account.name.clone() });
    let opened = if options.dry_run { State::open_dry(&account.state) } else { State::open(&account.state) };
    let (outcome, counts) = match opened {
        Ok(state) => sync_with(account, &state.told_to(account.state_log.clone()), options, observer, stop),
        Err(error) => {
            let outcome = match &error {
                StateError::Locked { .. } => Outcome::Locked,
                StateError::Failed { .. } | StateError::Useless { .. } => Outcome::Failed,
            };
            let problem = Problem::new(None, None, &state_error(error));
            observer(Event::Problem { account: account.name.clone(), problem });
            (outcome, Counts::default())
        }
    };
    observer(Event::AccountDone { account: account.name.clone(), outcome, counts });
    (outcome, counts)
}

/// Syncs one account on a state that is open: what [`sync_account`] does, but for opening it.
pub fn sync_with(
    account: &Account,
    state: &State,
    options: &Options,
    observer: &Observer,
    stop: &Stop,
) -> (Outcome, Counts) {
    Run {
        account,
        options,
        observer,
        stop,
        state,
        tally: Mutex::default(),
        full: Sides::default(),
        lacking: Sides::default(),
        broken: AtomicBool::default(),
        turn_taken: Mutex::default(),
    }
    .run()
}

#[derive(Default)]
struct Tally {
    counts: Counts,
    worst: Option<Outcome>,
}

pub(super) struct Run<'a> {
    pub account: &'a Account,
    pub options: &'a Options,
    pub observer: &'a Observer,
    pub stop: &'a Stop,
    pub state: &'a State,
    tally: Mutex<Tally>,
    /// Sides that have no room left for more mail.
    pub full: Sides<AtomicBool>,
    /// Sides that are not as the state knows them, and that are brought back to it.
    pub lacking: Sides<AtomicBool>,
    /// Whether anything failed that concerns more than a message, where messages are known.
    pub broken: AtomicBool,
    /// Whether a turn was begun for what was seen to be stored.
    pub turn_taken: Mutex<bool>,
}

impl Run<'_> {
    fn run(&self) -> (Outcome, Counts) {
        if let Err(failure) = self.all() {
            self.fail(None, &failure);
        }
        if let Err(failure) = self.note_comparison() {
            self.fail(None, &failure);
        }
        let tally = self.tally.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let outcome = if self.stop.is_set() { Outcome::Interrupted } else { tally.worst.unwrap_or(Outcome::InStep) };
        (outcome, tally.counts)
    }

    /// Takes note of when all of the account was compared, whatever was held or failed in it by itself.
    fn note_comparison(&self) -> Result<(), Failure> {
        let worst = self.tally.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).worst;
        let whole = self.options.thorough && self.options.only.is_empty() && !self.options.dry_run;
        if !whole || self.stop.is_set() || worst.is_some_and(|worst| worst > Outcome::Partial) {
            return Ok(());
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(self.state.apply(&[Change::Compared { at: now.as_secs() }])?)
    }

    fn all(&self) -> Result<(), Failure> {
        // Held to the end of the run. The state's own lock knows nothing of a run that has another state.
        let mut locks = self.lock_stores()?;
        let noted = Sides::try_from_fn(|side| self.state.noted(side))?;
        Side::BOTH.into_iter().for_each(|side| self.account.stores[side].recall(noted[side].as_ref()));
        // Only now that this run will take place: a server sees nothing of one that does not.
        Side::BOTH.into_iter().for_each(|side| self.account.stores[side].begin());
        let pairs = self.state.folders()?;
        let pool = Pool::new(self.account);
        let opened = pool.take();
        self.note(Sides::from_fn(|side| self.account.stores[side].noted()))?;
        let mut stores = opened?;
        if !self.claim(&mut stores, pairs.is_empty())? {
            return Ok(());
        }
        // A root that was made just now could not be locked before.
        for side in Side::BOTH {
            if locks[side].is_none() {
                locks[side] = self.account.stores[side].lock().map_err(Failure::on(side))?;
            }
        }
        let mut lists = self.lists(&mut stores, &noted, pairs.is_empty())?;
        let known = self.refind(&pairs, &lists, &mut stores)?;
        let listed = Sides::new(lists.local.as_slice(), lists.remote.as_slice());
        let plan = plan_folders(listed, &self.account.rules, &known, &self.account.policy);
        if !plan.clashes.is_empty() {
            for clash in &plan.clashes {
                let error = StoreError::new(Reach::Account, Kind::Refused, "pair folders", clash)
                    .with_hint("change the rename rules, or exclude one of the two; `mailsync info` shows all names");
                self.fail(None, &Failure { side: None, error });
            }
            return Ok(());
        }
        let jobs = self.jobs(plan, pairs, &mut lists, &mut stores)?;
        let taking_part: HashSet<FolderId> = jobs.iter().map(|work| work.job.id).collect();
        let synced = self.sync(jobs, &pool, stores);
        self.tell_waiting(&taking_part)?;
        synced
    }

    /// Looks at the folders, decides, and acts.
    fn sync(&self, mut jobs: Vec<Work>, pool: &Pool<'_>, stores: Lease) -> Result<(), Failure> {
        let folders = jobs.len();
        let mut changed: Vec<Work> = jobs.extract_if(.., |work| !work.is_unchanged()).collect();
        let mut unchanged = jobs;
        self.tell(Event::Listed { account: self.account.name.clone(), folders, to_look_at: changed.len() });
        let mut unseen: HashSet<FolderId> = changed.iter().map(|work| work.job.id).collect();
        pool.give(stores);
        self.in_slices(&mut changed, pool)?;
        if self.is_first(&changed)? {
            let folders = changed.into_iter().map(|work| Acting::first(work.job)).collect();
            let acted = self.act(folders, pool, &Sides::default());
            self.close(pool);
            return acted;
        }
        let mut looks = self.look_at(&changed, pool)?;
        if Side::BOTH.into_iter().any(|side| looks.iter().any(|look| look.gone(side) > 0)) {
            // What went may be what waits elsewhere to be copied.
            let backlogs: HashSet<FolderId> = self.state.backlogs()?.iter().map(|backlog| backlog.folder).collect();
            let waiting = unchanged.extract_if(.., |work| backlogs.contains(&work.job.id)).collect::<Vec<Work>>();
            unseen.extend(waiting.iter().map(|work| work.job.id));
            looks.extend(self.look_at(&waiting, pool)?);
        }
        if self.stop.is_set() || looks.is_empty() {
            self.end_restoring(pool)?;
            self.close(pool);
            return Ok(());
        }
        pool.with(|stores| self.take_turn(&looks, stores))?;
        self.relocate(&mut looks, pool)?;
        unseen.retain(|folder| looks.iter().all(|look| look.job.id != *folder));
        let doubt = self.doubt(&looks, &unchanged, &unseen)?;
        let planned: Vec<Acting> = looks.into_iter().map(|look| Acting::planned(self.plan(look, &doubt))).collect();
        if !self.options.dry_run {
            self.act(planned, pool, &doubt)?;
        }
        self.end_restoring(pool)?;
        self.close(pool);
        Ok(())
    }

    fn close(&self, pool: &Pool<'_>) {
        if let Some(Failure { error, .. }) = pool.refused() {
            let text = format!("another connection could not be made, which cost nothing but time: {error}");
            self.tell(Event::Note { account: self.account.name.clone(), folder: None, text });
        }
        pool.close();
    }

    /// Says how many messages of these folders wait after failures of their own, and until when.
    fn tell_waiting(&self, folders: &HashSet<FolderId>) -> Result<(), Failure> {
        let backlogs = self.state.backlogs()?;
        let waiting: Vec<&Backlog> = backlogs.iter().filter(|backlog| folders.contains(&backlog.folder)).collect();
        let Some(next) = waiting.iter().map(|backlog| backlog.next).min() else { return Ok(()) };
        self.note_outcome(Outcome::Partial);
        let count = waiting.iter().map(|backlog| backlog.count).sum();
        let next = next.duration_since(SystemTime::now()).ok();
        self.tell(Event::Waiting { account: self.account.name.clone(), count, next });
        Ok(())
    }

    fn lock_stores(&self) -> Result<Sides<Option<Lock>>, Failure> {
        Sides::try_from_fn(|side| self.account.stores[side].lock().map_err(Failure::on(side)))
    }

    pub fn tell(&self, event: Event) {
        (self.observer)(event);
    }

    fn note_outcome(&self, outcome: Outcome) {
        let mut tally = self.tally.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        tally.worst = tally.worst.max(Some(outcome));
    }

    pub fn add_counts(&self, counts: &Counts) {
        self.tally.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).counts.add(counts);
    }

    /// Reports a failure. An interruption is the user's own doing and is not reported as one.
    pub fn fail(&self, names: Option<&Sides<FolderName>>, failure: &Failure) {
        if names.is_none_or(|names| self.is_known(names)) {
            self.broken.store(true, Ordering::Relaxed);
        }
        let outcome = match (failure.error.kind, failure.error.reach) {
            (Kind::Stopped, _) => return,
            _ if failure.error.failed_login() => Outcome::AuthFailed,
            (Kind::Locked, _) => Outcome::Locked,
            (_, Reach::Account | Reach::Connection) if names.is_none() => Outcome::Failed,
            _ => Outcome::Partial,
        };
        self.note_outcome(outcome);
        let mut problem = Problem::new(names.map(|names| &names.remote), failure.side, &failure.error);
        if names.is_none()
            && let Some(side) = failure.side
        {
            problem.action = format!("{}: {}", self.account.stores[side].place(), problem.action);
        }
        self.tell(Event::Problem { account: self.account.name.clone(), problem });
    }

    /// Whether the state knows messages of a folder.
    fn is_known(&self, names: &Sides<FolderName>) -> bool {
        let known = || -> Result<bool, StateError> {
            match self.state.folders()?.iter().find(|pair| pair.names.remote == names.remote) {
                Some(pair) => Ok(self.state.count(pair.id)? > 0),
                None => Ok(false),
            }
        };
        // What can't be asked may well be.
        known().unwrap_or(true)
    }

    pub fn problem(&self, problem: Problem) {
        self.note_outcome(Outcome::Partial);
        self.tell(Event::Problem { account: self.account.name.clone(), problem });
    }

    /// Reports what was held. What the user wants to be left alone is no news, but for a dry run.
    pub fn hold(&self, folder: Option<&FolderName>, held: Held) {
        if held.reason == Reason::OneWay {
            let (account, text) = (self.account.name.clone(), held.to_string());
            if self.options.dry_run {
                self.tell(Event::Note { account, folder: folder.cloned(), text });
            }
            return;
        }
        self.note_outcome(Outcome::Partial);
        self.tell(Event::Held { account: self.account.name.clone(), folder: folder.cloned(), held });
    }

    /// Lists both sides at once: one of them works while the other one waits for its server.
    fn lists(
        &self,
        stores: &mut Stores,
        noted: &Sides<Option<Noted>>,
        fresh: bool,
    ) -> Result<Sides<Vec<FolderInfo>>, Failure> {
        let Sides { local, remote } = stores;
        let remote = Mutex::new(remote);
        let list_remote = || {
            let mut remote = remote.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            self.list(Side::Remote, remote.as_mut(), noted, fresh)
        };
        thread::scope(|scope| {
            let aside = start_thread(scope, list_remote);
            let local = self.list(Side::Local, local.as_mut(), noted, fresh);
            let remote = match aside {
                Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                Err(_) => list_remote(),
            };
            Ok(Sides::new(local?, remote?))
        })
    }

    fn list(
        &self,
        side: Side,
        store: &mut dyn Store,
        noted: &Sides<Option<Noted>>,
        fresh: bool,
    ) -> Result<Vec<FolderInfo>, Failure> {
        // A dry run before the first real one finds no root, and makes none.
        if self.options.dry_run && fresh && store.claim("").map_err(Failure::on(side))? == Claim::Missing {
            return Ok(Vec::new());
        }
        let (list, noted) = store.list_again(noted[side].as_ref()).map_err(Failure::on(side))?;
        self.note(Sides::with(side, noted, None))?;
        Ok(list)
    }

    /// Keeps what stores are to be told in the next run.
    fn note(&self, noted: Sides<Option<Noted>>) -> Result<(), Failure> {
        let Sides { local, remote } = noted;
        let both = [(Side::Local, local), (Side::Remote, remote)];
        let changes = both.into_iter().filter_map(|(side, noted)| Some(Change::Noted { side, noted: noted? }));
        if !self.options.dry_run {
            self.state.apply(&changes.collect::<Vec<_>>())?;
        }
        Ok(())
    }

    fn look_at(&self, changed: &[Work], pool: &Pool<'_>) -> Result<Vec<Look>, Failure> {
        let results =
            pool.run(changed, (|_: &_| 1, LOOKS_WORTH_A_CONNECTION), self.stop, |work, stores, _| match work.missing {
                Some(missing) => look_one_side(work.job.clone(), missing.other(), stores),
                None => look(work.job.clone(), stores, self.state, self.options.dry_run),
            });
        let mut looks = Vec::new();
        for (work, result) in changed.iter().zip(results) {
            match result {
                Some(Ok(look)) => looks.push(look),
                Some(Err(failure)) if failure.error.reach > Reach::Folder => return Err(failure),
                Some(Err(failure)) => self.fail(Some(&work.job.names), &failure),
                None => {}
            }
        }
        Ok(looks)
    }

    pub(super) fn context(&self) -> Context<'_> {
        Context {
            account: &self.account.name,
            state: self.state,
            observer: self.observer,
            stop: self.stop,
            full: &self.full,
            each_message: self.options.each_message,
            batch: batch_messages(self.account.files),
        }
    }

    fn relocate(&self, looks: &mut Vec<Look>, pool: &Pool<'_>) -> Result<(), Failure> {
        for side in Side::BOTH {
            self.ask_for_moves(looks, side, pool)?;
        }
        let mut stores = pool.take()?;
        let mut done = Done::default();
        let moved = relocate(looks, &mut stores, &self.context(), &mut done, self.options.dry_run);
        self.add_counts(&done.counts);
        std::mem::take(&mut done.problems).into_iter().for_each(|problem| self.problem(problem));
        for (names, failure) in moved? {
            self.fail(Some(&names), &failure);
        }
        pool.give(stores);
        Ok(())
    }

    /// Asks, for all folders at once, what is to be known of new messages to see whether they were moved there.
    fn ask_for_moves(&self, looks: &mut Vec<Look>, side: Side, pool: &Pool<'_>) -> Result<(), Failure> {
        let questions = questions(looks, side);
        let answers =
            pool.run(&questions, (|_: &_| 1, LOOKS_WORTH_A_CONNECTION), self.stop, |(at, keys), stores, _| {
                ask(&looks[*at], side, keys, Depth::Header, stores, self.options.dry_run)
            });
        let mut failed = HashSet::new();
        for ((at, _), answer) in questions.iter().zip(answers) {
            match answer {
                Some(Ok(known)) => looks[*at].identities[side].extend(known),
                Some(Err(failure)) if failure.error.reach > Reach::Folder => return Err(failure),
                Some(Err(failure)) => {
                    self.fail(Some(&looks[*at].job.names), &failure);
                    failed.insert(*at);
                }
                None => {}
            }
        }
        let mut at = 0;
        looks.retain(|_| (!failed.contains(&at), at += 1).0);
        Ok(())
    }

    /// What the account as a whole knows against each side: that it was emptied.
    fn doubt(
        &self,
        looks: &[Look],
        unchanged: &[Work],
        unseen: &HashSet<FolderId>,
    ) -> Result<Sides<Option<Reason>>, Failure> {
        let mut doubt = Sides::default();
        for side in Side::BOTH {
            if self.lacking[side].load(Ordering::Relaxed) {
                doubt[side] = Some(Reason::Unavailable("it is not what was synced last".to_owned()));
                continue;
            }
            let mut folders: Vec<(usize, usize)> = looks.iter().map(|look| (look.known, look.gone(side))).collect();
            if folders.iter().all(|(_, gone)| *gone == 0) {
                continue;
            }
            for work in unchanged {
                folders.push((self.state.count(work.job.id)? as usize, 0));
            }
            if guard::is_emptied(&folders, &self.account.limits) {
                doubt[side] = Some(Reason::Emptied);
                continue;
            }
            // A folder that could not be looked at speaks for nobody: it may be as empty as the others. The next run
            // may see it, so this is no more than a reason to wait for it.
            for folder in unseen {
                let known = self.state.count(*folder)? as usize;
                folders.push((known, known));
            }
            if guard::is_emptied(&folders, &self.account.limits) {
                let why = "all is gone in the folders that could be looked at, and others could not".to_owned();
                doubt[side] = Some(Reason::Unavailable(why));
            }
        }
        Ok(doubt)
    }

    /// Plans, and reports what is held and, in a dry run, what would be done.
    pub(super) fn plan(&self, mut look: Look, doubt: &Sides<Option<Reason>>) -> Planned {
        let plan = self.decide(&mut look, doubt);
        let folder = &look.job.names.remote;
        let account = self.account.name.clone();
        for (side, text) in &look.notes {
            let text = format!("{side}: {text}");
            self.tell(Event::Note { account: account.clone(), folder: Some(folder.clone()), text });
        }
        let listed = plan.held.iter().any(|held| held.reason == Reason::Incomplete);
        let incomplete = if listed { Vec::new() } else { incomplete(&look) };
        for held in plan.held.iter().chain(&incomplete) {
            self.hold(Some(folder), held.clone());
        }
        let counts = count(&plan);
        if !counts.is_empty() {
            self.tell(Event::Planned { account: account.clone(), folder: folder.clone(), counts });
        }
        if self.options.dry_run {
            self.add_counts(&counts);
            for what in describe(&plan, &look.job) {
                self.tell(Event::WouldDo { account: account.clone(), folder: folder.clone(), what });
            }
        }
        // What is new is in the plan now, and is not held twice.
        look.new = Sides::default();
        (look, plan)
    }

    pub(super) fn decide(&self, look: &mut Look, doubt: &Sides<Option<Reason>>) -> Plan {
        let mut plan = look.plan(self.account, self.options, doubt);
        let guarded =
            |held: &&Held| held.what == What::Deletions && !matches!(held.reason, Reason::ReadOnly | Reason::OneWay);
        if self.options.restore {
            for held in plan.held.iter().filter(guarded) {
                look.restore(held.on.other());
            }
            plan = look.plan(self.account, self.options, doubt);
        }
        for side in Side::BOTH {
            // Once there is a trash, nobody has to decide about them.
            let counted = |held: &&Held| guarded(held) && !matches!(held.reason, Reason::NoTrash(_));
            let on_side = plan.held.iter().filter(counted).filter(|held| held.on == side);
            let held = on_side.fold(Withheld::default(), |sum, held| Withheld {
                count: sum.count + held.count as u64,
                emptied: sum.emptied || held.reason == Reason::Emptied,
            });
            if look.job.held[side] != held {
                look.prelude.push(Change::Held { folder: look.job.id, side, held });
            }
        }
        plan
    }

    pub(super) fn folder_done(&self, job: &Job, done: Done) {
        self.add_counts(&done.counts);
        if !done.counts.is_empty() {
            let (account, folder) = (self.account.name.clone(), job.names.remote.clone());
            self.tell(Event::FolderDone { account, folder, counts: done.counts });
        }
        done.problems.into_iter().for_each(|problem| self.problem(problem));
    }
}
