//! An account's connections, and the threads that use them.

use super::Account;
use super::pair::{Failure, Stores};
use crate::mail::{Side, Sides};
use crate::store::{Reach, Stop};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

/// The connections of one account that nobody uses at the moment.
pub struct Pool<'a> {
    account: &'a Account,
    idle: Mutex<Vec<Stores>>,
}

impl<'a> Pool<'a> {
    pub fn new(account: &'a Account) -> Self {
        Pool { account, idle: Mutex::new(Vec::new()) }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Stores>> {
        self.idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// An idle connection to each side, or new ones.
    pub fn take(&self) -> Result<Stores, Failure> {
        if let Some(stores) = self.idle().pop() {
            return Ok(stores);
        }
        Sides::try_from_fn(|side: Side| self.account.stores[side].open().map_err(Failure::on(side)))
    }

    /// Gives connections back. Broken ones are not given back but dropped.
    pub fn give(&self, stores: Stores) {
        self.idle().push(stores);
    }

    /// Says goodbye on all idle connections.
    pub fn close(&self) {
        for stores in std::mem::take(&mut *self.idle()) {
            stores.local.close();
            stores.remote.close();
        }
    }

    /// Does `work` for every job, on at most `workers` threads and never more than the account's `connections`. A job
    /// whose connection broke is tried once more on a new one, as attempt 1. `None` for jobs that were not begun: the
    /// user asked to stop, or a failure reached the whole account.
    pub fn run<J: Sync, R: Send>(
        &self,
        jobs: &[J],
        workers: usize,
        stop: &Stop,
        work: impl Fn(&J, &mut Stores, usize) -> Result<R, Failure> + Sync,
    ) -> Vec<Option<Result<R, Failure>>> {
        let results: Vec<Mutex<Option<Result<R, Failure>>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
        let next = AtomicUsize::new(0);
        let given_up = AtomicBool::new(false);
        let worker = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= jobs.len() || stop.is_set() || given_up.load(Ordering::Relaxed) {
                    break;
                }
                let result = self.attempts(&jobs[at], stop, &work);
                if matches!(&result, Err(failure) if failure.error.reach >= Reach::Connection) {
                    given_up.store(true, Ordering::Relaxed);
                }
                *results[at].lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(result);
            }
        };
        let workers = workers.min(self.account.connections).min(jobs.len());
        std::thread::scope(|scope| {
            for _ in 1..workers {
                scope.spawn(worker);
            }
            worker();
        });
        results.into_iter().map(|result| result.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())).collect()
    }

    fn attempts<J, R>(
        &self,
        job: &J,
        stop: &Stop,
        work: &(impl Fn(&J, &mut Stores, usize) -> Result<R, Failure> + Sync),
    ) -> Result<R, Failure> {
        let mut attempt = 0;
        loop {
            let result = self.take().and_then(|mut stores| {
                let result = work(job, &mut stores, attempt);
                match &result {
                    Err(failure) if failure.error.reach >= Reach::Connection => {}
                    _ => self.give(stores),
                }
                result
            });
            match result {
                Err(failure) if failure.error.reach == Reach::Connection && attempt == 0 && !stop.is_set() => {
                    attempt = 1;
                }
                result => return result,
            }
        }
    }
}
