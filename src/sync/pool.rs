//! An account's connections, and the threads that use them.

use super::Account;
use super::copy::files_held;
use super::gate::Gate;
use super::pair::{Failure, Stores};
use crate::mail::{Side, Sides};
use crate::store::{Reach, Stop, start_thread};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Scope;

/// How many threads share the connections, where they can be shared. What one of them waits for on a line is waited for by
/// all at once, so this many folders cost the round trips of one.
const USERS: usize = 256;

/// How many files each of them may hold open, beside the messages that it copies.
const FILES: usize = 20;
/// This part of all files that may be open is for that; the rest is for messages that are copied.
const SHARE: usize = 2;

/// This many users there are whatever they do, and more only for jobs that have no more pieces than that together: each keeps
/// what it knows of its own, and large ones keep the line busy anyway.
const FEW: usize = 32;
const SMALL: usize = 10_000;

/// A connection that is shared is kept busy by so many times as much as one that is not.
const SHARED_WORTH: usize = 128;

/// After so many jobs in a row that broke their connection, each alone, it is not they who do it.
const BROKEN_IN_A_ROW: usize = 3;

/// The connections of one account that nobody uses at the moment.
pub struct Pool<'a> {
    account: &'a Account,
    idle: Mutex<Idle>,
    /// How many connections were made. One that breaks counts on: where lines break, a run has rather fewer than more of
    /// them than the account allows. Held while another one is being made.
    made: Mutex<usize>,
    /// Why no more can be made: whoever needs one is told at once, and need not wait for the server in turn.
    lost: Mutex<Option<Failure>>,
    /// Why there are fewer connections than there could be.
    refused: Mutex<Option<Failure>>,
    /// How many threads do the jobs at hand.
    threads: AtomicUsize,
}

/// What can be done of a job before it is its turn; gives how many pieces of work it turned out to have.
pub type Prepare<'a, J> = &'a (dyn Fn(&J, &mut Stores) -> Result<usize, Failure> + Sync);

/// One user of a connection to each side.
pub struct Lease {
    stores: Stores,
    /// The number of the connection, which may have other users.
    line: usize,
}

impl Deref for Lease {
    type Target = Stores;

    fn deref(&self) -> &Stores {
        &self.stores
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Stores {
        &mut self.stores
    }
}

#[derive(Default)]
struct Idle {
    leases: Vec<Lease>,
    /// How many users of each connection are at work, by its number.
    busy: Vec<usize>,
}

impl Idle {
    /// Whoever is idle on the connection that has the least to do.
    fn pop(&mut self) -> Option<Lease> {
        self.leases.retain(|lease| Side::BOTH.into_iter().all(|side| !lease.stores[side].is_broken()));
        let busy = |line: usize| self.busy.get(line).copied().unwrap_or_default();
        let at = (0..self.leases.len()).min_by_key(|at| busy(self.leases[*at].line))?;
        let lease = self.leases.swap_remove(at);
        self.lend(lease.line);
        Some(lease)
    }

    fn lend(&mut self, line: usize) {
        self.busy.resize(self.busy.len().max(line + 1), 0);
        self.busy[line] += 1;
    }

    fn end(&mut self, line: usize) {
        if let Some(busy) = self.busy.get_mut(line) {
            *busy = busy.saturating_sub(1);
        }
    }
}

impl<'a> Pool<'a> {
    pub fn new(account: &'a Account) -> Self {
        Pool {
            account,
            idle: Mutex::default(),
            made: Mutex::default(),
            lost: Mutex::default(),
            refused: Mutex::default(),
            threads: AtomicUsize::new(1),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn made(&self) -> MutexGuard<'_, usize> {
        self.made.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn pop(&self) -> Option<Lease> {
        self.idle().pop()
    }

    /// An idle connection to each side, or new ones.
    pub fn take(&self) -> Result<Lease, Failure> {
        if let Some(lease) = self.pop() {
            return Ok(lease);
        }
        let mut made = self.made();
        // Somebody else may have made one that can be shared.
        if let Some(lease) = self.pop() {
            return Ok(lease);
        }
        let mut lost = self.lost.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(failure) = &*lost {
            return Err(failure.clone());
        }
        let stores = self.open().inspect_err(|failure| {
            *lost = Some(failure.clone()).filter(|failure| failure.error.reach >= Reach::Account);
        })?;
        drop(lost);
        let mut lease = self.lease(&mut made, stores);
        if *made > 1 {
            // Those whose connection broke as well wait for this one.
            let idle = self.idle().leases.len();
            self.share(&mut lease, self.threads.load(Ordering::Relaxed).saturating_sub(idle + 1));
        }
        Ok(lease)
    }

    /// The first user of a connection that has just been made.
    fn lease(&self, made: &mut usize, stores: Stores) -> Lease {
        let line = *made;
        *made += 1;
        self.idle().lend(line);
        Lease { stores, line }
    }

    fn open(&self) -> Result<Stores, Failure> {
        Sides::try_from_fn(|side: Side| self.account.stores[side].open().map_err(Failure::on(side)))
    }

    /// Makes so many more users of a connection, where one side's can be shared; gives how many they became. Never both
    /// sides': two users that each have their turn on one and wait for the other would wait for ever.
    fn share(&self, lease: &mut Lease, more: usize) -> usize {
        for made in 0..more {
            let others = lease.stores.as_mut().map(|store| store.another());
            let (side, shared) = match others {
                Sides { local: None, remote: Some(remote) } => (Side::Remote, remote),
                Sides { local: Some(local), remote: None } => (Side::Local, local),
                _ => return made,
            };
            // Should it fail, there are fewer users, and whoever needs it is told why.
            let Ok(own) = self.account.stores[side.other()].open() else { return made };
            self.idle().leases.push(Lease { stores: Sides::with(side, shared, own), line: lease.line });
        }
        more
    }

    /// Makes another connection, beside those that there are. If that does not go well, all is done over those.
    fn add(&self) -> Option<Lease> {
        match self.open() {
            Ok(stores) => Some(self.lease(&mut self.made(), stores)),
            Err(failure) => {
                *self.refused.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(failure);
                None
            }
        }
    }

    /// Why there are fewer connections than there could be; asked once.
    pub fn refused(&self) -> Option<Failure> {
        self.refused.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take()
    }

    /// Gives connections back. Broken ones are not given back but dropped.
    pub fn give(&self, lease: Lease) {
        let mut idle = self.idle();
        idle.end(lease.line);
        idle.leases.push(lease);
    }

    /// Says goodbye on all idle connections.
    pub fn close(&self) {
        for Lease { stores, .. } in std::mem::take(&mut self.idle().leases) {
            stores.local.close();
            stores.remote.close();
        }
    }

    /// Does `work` for every job, on as many threads as there are users of the connections: each connection has one, or
    /// several where it can be shared. There are as many connections as are worth it for the jobs' `pieces` of work, at `worth`
    /// pieces each, and never more than the account's `connections`. A job whose connection broke is tried once more on a
    /// new one, as attempt 1, and then again while no other is. `None` for jobs that were not begun: the user asked to stop,
    /// or a failure reached the whole account.
    pub fn run<J: Sync, R: Send>(
        &self,
        jobs: &[J],
        (pieces, worth): (impl Fn(&J) -> usize, usize),
        stop: &Stop,
        work: impl Fn(&J, &mut Stores, usize) -> Result<R, Failure> + Sync,
    ) -> Vec<Option<Result<R, Failure>>> {
        self.run_prepared(jobs, (pieces, worth), stop, None, work)
    }

    /// Like [`Pool::run`]; what prepares a job is done before it waits for its turn. Where that fails, as over a connection that
    /// breaks, the job is begun as attempt 1; where the whole account fails, not at all.
    pub fn run_prepared<J: Sync, R: Send>(
        &self,
        jobs: &[J],
        (pieces, worth): (impl Fn(&J) -> usize, usize),
        stop: &Stop,
        prepare: Option<Prepare<'_, J>>,
        work: impl Fn(&J, &mut Stores, usize) -> Result<R, Failure> + Sync,
    ) -> Vec<Option<Result<R, Failure>>> {
        let pieces: Vec<usize> = jobs.iter().map(pieces).collect();
        let users = self.users(most_at_once(&pieces));
        // A connection that is shared waits for the line once for all its users: more of them only bring more bytes.
        let worth = if users > 1 { worth * SHARED_WORTH } else { worth };
        let connections = 1 + pieces.iter().sum::<usize>() / worth;
        self.run_over(jobs, (users, connections), Gate::new(pieces, worth, self.files()), stop, (prepare, work))
    }

    /// Like [`Pool::run`], for jobs that are worth a connection of their own each, as far as the account has them.
    pub fn run_apart<J: Sync, R: Send>(
        &self,
        jobs: &[J],
        stop: &Stop,
        work: impl Fn(&J, &mut Stores, usize) -> Result<R, Failure> + Sync,
    ) -> Vec<Option<Result<R, Failure>>> {
        let (made, idle) = (*self.made(), self.idle().leases.len());
        let users = made.min(self.account.connections).min(idle).clamp(1, jobs.len().max(1));
        let (files, held) = self.files();
        let gate = Gate::new(vec![held; jobs.len()], 1, (files, held));
        self.run_over(jobs, (users, jobs.len()), gate, stop, (None, work))
    }

    fn run_over<J: Sync, R: Send>(
        &self,
        jobs: &[J],
        (users, connections): (usize, usize),
        gate: Gate,
        stop: &Stop,
        (prepare, work): (Option<Prepare<'_, J>>, impl Fn(&J, &mut Stores, usize) -> Result<R, Failure> + Sync),
    ) -> Vec<Option<Result<R, Failure>>> {
        let results: Vec<Mutex<Option<Result<R, Failure>>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
        let connections = connections.min(self.account.connections).min(jobs.len());
        // Those that broke are counted as well.
        let made = (*self.made()).min(self.account.connections);
        gate.expect(made.max(1), connections.saturating_sub(made));
        let worker = || {
            while let Some(at) = gate.next(stop) {
                let prepared = prepare.map(|prepare| self.with(|stores| prepare(&jobs[at], stores)));
                let mut pass = None;
                let result = match prepared {
                    Some(Err(failure)) if failure.error.reach > Reach::Connection => Err(failure),
                    prepared => {
                        let pieces = prepared.as_ref().and_then(|prepared| prepared.as_ref().ok().copied());
                        pass = gate.enter(at, pieces, stop);
                        if pass.is_none() {
                            return;
                        }
                        // What broke its connection had one of its attempts.
                        let attempt = usize::from(matches!(prepared, Some(Err(_))));
                        self.attempts(&jobs[at], attempt, stop, &work)
                    }
                };
                if matches!(&result, Err(failure) if failure.error.reach >= Reach::Connection) {
                    gate.shut();
                }
                *results[at].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                // Not before the gate is shut: who waits for this one is not to begin.
                drop(pass);
            }
        };
        let worker = &worker;
        let coming = connections.saturating_sub(made);
        // Those that come are to have as many users as those that there are.
        let users = users.min((self.most_users() * made.max(1)).div_ceil(made.max(1) + coming));
        let each = users.div_ceil(made.max(1));
        self.threads.store(users + coming * each, Ordering::Relaxed);
        std::thread::scope(|scope| {
            spawn(scope, users - 1, worker);
            let connect = || {
                let Some(mut lease) = self.add() else { return gate.came(false) };
                let (to_give, to_begin) = gate.left();
                let more = self.share(&mut lease, each.min(to_begin).saturating_sub(1));
                self.give(lease);
                gate.came(true);
                spawn(scope, more.min(to_give), worker);
                worker();
            };
            let begun = spawn(scope, coming, connect);
            (begun..coming).for_each(|_| gate.came(false));
            worker();
        });
        let results = results.into_iter().map(|result| result.into_inner().unwrap_or_else(PoisonError::into_inner));
        let mut results: Vec<_> = results.collect();
        self.one_by_one(jobs, &mut results, stop, &work);
        results
    }

    /// Does once more what failed because its connection broke, or was not begun for that, one job after another. Over a line
    /// that many share, one that breaks it fails all of them, and again when all of them try again: alone, each shows whose
    /// doing it is. Where others get through, those that do not are a matter of their folders.
    fn one_by_one<J, R>(
        &self,
        jobs: &[J],
        results: &mut [Option<Result<R, Failure>>],
        stop: &Stop,
        work: &impl Fn(&J, &mut Stores, usize) -> Result<R, Failure>,
    ) {
        let reach = |result: &Option<Result<R, Failure>>| match result {
            Some(Err(failure)) => Some(failure.error.reach),
            _ => None,
        };
        let worst = results.iter().filter_map(reach).max();
        if jobs.len() < 2 || worst != Some(Reach::Connection) {
            return;
        }
        self.threads.store(1, Ordering::Relaxed);
        let mut in_a_row = 0;
        let mut broken: Vec<usize> = Vec::new();
        for (at, (job, result)) in jobs.iter().zip(results.iter_mut()).enumerate() {
            if stop.is_set() || in_a_row == BROKEN_IN_A_ROW {
                return;
            }
            let attempt = match result {
                None => 0,
                Some(Err(failure)) if failure.error.reach == Reach::Connection => 1,
                _ => continue,
            };
            let again = Some(self.attempt(job, attempt, work));
            match reach(&again) {
                Some(Reach::Connection) => {
                    in_a_row += 1;
                    broken.push(at);
                }
                Some(Reach::Account) => in_a_row = BROKEN_IN_A_ROW,
                _ => in_a_row = 0,
            }
            *result = again;
        }
        let through = in_a_row < BROKEN_IN_A_ROW && results.iter().any(|result| matches!(result, Some(Ok(_))));
        for at in broken.into_iter().filter(|_| through) {
            if let Some(Err(failure)) = &mut results[at] {
                failure.error.reach = Reach::Folder;
            }
        }
    }

    /// How many users all connections may have together.
    fn most_users(&self) -> usize {
        USERS.min(self.account.files / SHARE / FILES).max(1)
    }

    /// How many files may be open for messages that are copied, and how many of them one job has at most.
    fn files(&self) -> (usize, usize) {
        let all = self.account.files;
        (all - all / SHARE, files_held(all))
    }

    /// How many users the connections that there are have, at most as many as are wanted; 1 or more.
    fn users(&self, wanted: usize) -> usize {
        let wanted = wanted.min(self.most_users());
        if let Some(mut lease) = self.pop() {
            let idle = self.idle().leases.len();
            self.share(&mut lease, wanted.saturating_sub(idle + 1));
            self.give(lease);
        }
        self.idle().leases.len().clamp(1, wanted.max(1))
    }

    fn attempts<J, R>(
        &self,
        job: &J,
        mut attempt: usize,
        stop: &Stop,
        work: &impl Fn(&J, &mut Stores, usize) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        loop {
            match self.attempt(job, attempt, work) {
                Err(failure) if failure.error.reach == Reach::Connection && attempt == 0 && !stop.is_set() => {
                    attempt = 1;
                }
                result => return result,
            }
        }
    }

    fn attempt<J, R>(
        &self,
        job: &J,
        attempt: usize,
        work: &impl Fn(&J, &mut Stores, usize) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        self.with(|stores| work(job, stores, attempt))
    }

    /// Does something over a connection that is given back, unless it failed with it.
    pub fn with<R>(&self, work: impl FnOnce(&mut Stores) -> Result<R, Failure>) -> Result<R, Failure> {
        let mut lease = self.take()?;
        let result = work(&mut lease);
        match &result {
            Err(failure) if failure.error.reach >= Reach::Connection => self.idle().end(lease.line),
            _ => self.give(lease),
        }
        result
    }
}

/// How many jobs of so many pieces each are done side by side, at most.
fn most_at_once(pieces: &[usize]) -> usize {
    let mut pieces = pieces.to_vec();
    pieces.sort_unstable();
    let mut together = 0_usize;
    let small = pieces.iter().take_while(|pieces| {
        together = together.saturating_add(**pieces);
        together <= SMALL
    });
    small.count().max(FEW).min(pieces.len())
}

/// Starts so many threads, or as many as can be had, and says how many that are.
pub fn spawn<'scope>(scope: &'scope Scope<'scope, '_>, count: usize, work: impl Fn() + Send + Copy + 'scope) -> usize {
    let mut started = (0..count).map(|_| start_thread(scope, work));
    started.position(|started| started.is_err()).unwrap_or(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::{MemoryOpener, MemorySettings, World};
    use crate::store::{Kind, Opener, Store, StoreError};
    use crate::sync::rules::Rules;
    use crate::sync::{Limits, Policy};
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::{Arc, Barrier};
    use std::time::{Duration, Instant};

    /// A server that goes away.
    struct Server {
        inner: MemoryOpener,
        /// How often somebody tried in vain; none yet while it is there.
        refused: Arc<Mutex<Option<usize>>>,
    }

    impl Opener for Server {
        fn open(&self) -> Result<Box<dyn Store>, StoreError> {
            match &mut *self.refused.lock().expect("no panic") {
                None => self.inner.open(),
                Some(count) => {
                    *count += 1;
                    Err(StoreError::new(Reach::Account, Kind::Network, "connect", "nobody there"))
                }
            }
        }

        fn place(&self) -> String {
            self.inner.place()
        }
    }

    /// A server that lets wait for a connection.
    struct Late {
        inner: MemoryOpener,
        comes: Arc<AtomicBool>,
    }

    impl Opener for Late {
        fn open(&self) -> Result<Box<dyn Store>, StoreError> {
            until(|| self.comes.load(Ordering::SeqCst));
            self.inner.open()
        }

        fn place(&self) -> String {
            self.inner.place()
        }
    }

    fn until(is_so: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !is_so() {
            assert!(Instant::now() < end, "waited in vain");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn account(remote: Box<dyn Opener>, connections: usize) -> Account {
        Account {
            name: "main".into(),
            stores: Sides::new(Box::new(MemoryOpener::new(World::new(MemorySettings::maildir()))), remote),
            rules: Rules::default(),
            policy: Policy::default(),
            delete_folders: false,
            disposal: Sides::default(),
            limits: Limits::default(),
            connections,
            at_once: 1,
            files: 16_384,
            state: "unused".into(),
            patience: Duration::ZERO,
            state_log: None,
        }
    }

    fn cut_off() -> Failure {
        Failure::on(Side::Remote)(StoreError::new(Reach::Connection, Kind::Network, "fetch", "cut off"))
    }

    #[test]
    fn who_breaks_the_connection_keeps_nobody_else_from_it() {
        // Those that break it, and how far that reaches in the end.
        for (breakers, reach) in [
            (vec![0], Reach::Folder),
            (vec![0, 4], Reach::Folder),
            (vec![5, 6, 7], Reach::Connection),
            ((0..8).collect(), Reach::Connection),
        ] {
            let remote = Box::new(MemoryOpener::new(World::new(MemorySettings::maildir())));
            let account = account(remote, 4);
            let pool = Pool::new(&account);
            let jobs: Vec<usize> = (0..8).collect();
            let at_work = Mutex::new(0);
            let work = |job: &usize, _: &mut Stores, attempt: usize| {
                let others = std::mem::replace(&mut *at_work.lock().expect("no panic"), 1) > 0;
                std::thread::sleep(Duration::from_millis(5));
                *at_work.lock().expect("no panic") = 0;
                // What one breaks, the others have broken too.
                match breakers.contains(job) || (attempt == 0 && *job < 4) || others {
                    true => Err(cut_off()),
                    false => Ok(*job),
                }
            };
            let results = pool.run(&jobs, (|_| 1, 1), &Stop::new(), work);
            for (job, result) in jobs.iter().zip(&results) {
                match (breakers.contains(job), result) {
                    (false, Some(Ok(done))) => assert_eq!(done, job),
                    (true, Some(Err(failure))) => assert_eq!(failure.error.reach, reach, "{breakers:?}"),
                    (true, None) => assert_eq!(reach, Reach::Connection, "{breakers:?}"),
                    other => panic!("{job} of {breakers:?}: {:?}", other.1.is_some()),
                }
            }
        }
    }

    #[test]
    fn who_needs_a_connection_gets_the_one_with_the_least_to_do() {
        let account = account(Box::new(MemoryOpener::new(World::new(MemorySettings::maildir()))), 4);
        let pool = Pool::new(&account);
        let lease = |line| Lease { stores: pool.open().expect("opened"), line };
        for line in [0, 0, 1, 0, 1, 2] {
            pool.idle().leases.push(lease(line));
        }
        let mut taken: Vec<Lease> = (0..3).map(|_| pool.take().expect("idle")).collect();
        let mut lines: Vec<usize> = taken.iter().map(|lease| lease.line).collect();
        lines.sort_unstable();
        assert_eq!(lines, [0, 1, 2]);
        taken.retain(|lease| lease.line != 1);
        pool.idle().end(1);
        assert_eq!(pool.take().expect("idle").line, 1);
        taken.into_iter().for_each(|lease| pool.give(lease));
        assert_eq!(pool.idle().busy, [0, 1, 0]);
    }

    #[test]
    fn more_than_a_few_are_done_side_by_side_where_they_are_small() {
        assert_eq!(most_at_once(&[1; 20]), 20);
        assert_eq!(most_at_once(&[1; 5000]), 5000);
        assert_eq!(most_at_once(&[100; 5000]), 100);
        assert_eq!(most_at_once(&[1000; 5000]), FEW);
        assert_eq!(most_at_once(&[[usize::MAX; 50], [1; 50]].concat()), 50);
    }

    #[test]
    fn many_folders_are_worked_on_side_by_side() {
        let account = account(Box::new(MemoryOpener::new(World::new(MemorySettings::maildir()))), 1);
        let pool = Pool::new(&account);
        let users = pool.most_users();
        // More of them than may be at work.
        let leases = (0..users + 10).map(|_| Lease { stores: pool.open().expect("opened"), line: 0 });
        pool.idle().leases.extend(leases);
        *pool.made() = 1;
        let (all, at_work, most) = (Barrier::new(users), AtomicUsize::new(0), AtomicUsize::new(0));
        let results = pool.run(&vec![(); 2 * users], (|()| 1, 1), &Stop::new(), |(), _, _| {
            most.fetch_max(at_work.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // Nobody goes on before as many are there as may be.
            all.wait();
            at_work.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        });
        assert!(results.into_iter().all(|result| matches!(result, Some(Ok(())))));
        assert_eq!(most.into_inner(), users);
    }

    #[test]
    fn what_waits_for_its_turn_is_prepared_meanwhile() {
        const JOBS: usize = 12;
        let mut account = account(Box::new(MemoryOpener::new(World::new(MemorySettings::maildir()))), 2);
        let (prepared, begun) = (AtomicUsize::new(0), AtomicUsize::new(0));
        // The second connection is long in coming, and the first jobs are not done before it has come.
        let comes = Arc::new(AtomicBool::new(true));
        account.stores.remote =
            Box::new(Late { inner: MemoryOpener::new(World::new(MemorySettings::maildir())), comes: comes.clone() });
        let pool = Pool::new(&account);
        let first: Vec<Lease> = (0..JOBS).map(|_| Lease { stores: pool.open().expect("opened"), line: 0 }).collect();
        *pool.made() = 1;
        pool.idle().leases.extend(first);
        comes.store(false, Ordering::SeqCst);
        let prepare = |job: &usize, _: &mut Stores| {
            if prepared.fetch_add(1, Ordering::SeqCst) + 1 == JOBS {
                assert!(begun.load(Ordering::SeqCst) <= 4);
                comes.store(true, Ordering::SeqCst);
            }
            match job % 2 {
                0 => Ok(10_000),
                // It is done all the same, over another connection.
                _ => Err(cut_off()),
            }
        };
        let results = pool.run_prepared(&Vec::from_iter(0..JOBS), (|_| 10_000, 1), &Stop::new(), Some(&prepare), {
            |job: &usize, _: &mut Stores, attempt| {
                begun.fetch_add(1, Ordering::SeqCst);
                until(|| comes.load(Ordering::SeqCst));
                Ok((*job, attempt))
            }
        });
        let done: Vec<(usize, usize)> =
            results.into_iter().map(|result| result.expect("begun").expect("done")).collect();
        assert_eq!(done, (0..JOBS).map(|job| (job, job % 2)).collect::<Vec<_>>());
        assert_eq!(prepared.load(Ordering::SeqCst), JOBS);
    }

    #[test]
    fn a_server_that_went_away_is_asked_once_whoever_needs_it() {
        const USERS: usize = 8;
        let refused = Arc::new(Mutex::new(None));
        let remote =
            Server { inner: MemoryOpener::new(World::new(MemorySettings::maildir())), refused: refused.clone() };
        let account = account(Box::new(remote), USERS);
        let pool = Pool::new(&account);
        pool.take().map(|stores| pool.give(stores)).expect("connects");
        let all = Barrier::new(USERS);
        let results: Vec<_> = pool.run(&[(); USERS], (|()| 1, 1), &Stop::new(), |(), _, _| -> Result<(), Failure> {
            all.wait();
            refused.lock().expect("no panic").get_or_insert(0);
            Err(cut_off())
        });
        assert_eq!(*refused.lock().expect("no panic"), Some(1));
        let causes = |result| matches!(result, Some(Err(Failure { error, .. })) if error.cause == "nobody there");
        assert!(results.into_iter().all(causes));
    }
}
