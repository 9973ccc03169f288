//! The desk of an account's keeper: what others ask of it, and what it says of itself.

use super::bell::Bell;
use crate::sync::{Counts, Observer, Options, Outcome};
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// So many orders may wait that nobody hears of.
const MOST: usize = 64;

/// A sync that somebody asks for.
pub struct Order {
    pub options: Options,
    /// Hears of it as well, if somebody wants to.
    pub observer: Option<Arc<Observer>>,
    /// Is told how it ended, once; dropped without a word where nothing will come of it any more.
    pub done: Sender<(String, Outcome, Counts)>,
}

/// What a keeper is at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Doing {
    /// It has not synced yet.
    #[default]
    Starting,
    Syncing,
    /// It waits for something to change, and is told.
    Listening,
    /// It waits for the next time to look: nobody tells.
    Waiting,
    /// It failed, and tries again later.
    Failed,
    /// It may not use the network as it is now: why.
    Paused(&'static str),
    /// Somebody else has the account to himself.
    Lent,
}

impl Doing {
    /// In one word, the same from release to release.
    pub fn name(&self) -> &'static str {
        match self {
            Doing::Starting => "starting",
            Doing::Syncing => "syncing",
            Doing::Listening => "listening",
            Doing::Waiting => "waiting",
            Doing::Failed => "failed",
            Doing::Paused(_) => "paused",
            Doing::Lent => "lent",
        }
    }
}

/// How things are with an account.
#[derive(Clone, Debug, Default)]
pub struct Status {
    pub doing: Doing,
    /// How it hears of changes, in words: `imap.example.org: IDLE on INBOX; inotify`.
    pub connected: Option<String>,
    /// When all was last in step.
    pub in_step: Option<SystemTime>,
    /// When the last sync ended, and how.
    pub synced: Option<(SystemTime, Outcome)>,
    /// When it will look again, if nothing happens before.
    pub next: Option<SystemTime>,
    /// Folders that changed and were not synced yet, by the names of the side that told.
    pub pending: BTreeSet<String>,
    /// Of the last sync: how much was held, how much failed, and how many messages wait after errors.
    pub held: usize,
    pub problems: usize,
    pub waiting: usize,
    /// The last sync's first failure, or what was held first, in words.
    pub trouble: Option<String>,
    /// How many syncs failed one after another.
    pub failures: u32,
}

#[derive(Default)]
struct Papers {
    orders: VecDeque<Order>,
    /// How many have the account to themselves, or wait for it.
    borrowers: usize,
    lent: bool,
    shaken: bool,
    closed: bool,
    promised: Option<Instant>,
    status: Status,
}

/// Where a keeper and all others meet. Nothing here waits for a sync but [`Desk::borrow_account`].
pub struct Desk {
    pub account: String,
    pub bell: Bell,
    papers: Mutex<Papers>,
    changed: Condvar,
}

impl Desk {
    pub fn new(account: &str) -> io::Result<Desk> {
        let bell = Bell::new()?;
        Ok(Desk { account: account.to_owned(), bell, papers: Mutex::default(), changed: Condvar::new() })
    }

    fn papers(&self) -> MutexGuard<'_, Papers> {
        self.papers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a sync as soon as can be: one that begins after now. Where the keeper has gone, nothing will come of it.
    pub fn order(&self, order: Order) {
        let mut papers = self.papers();
        // One of all folders that is yet to begin does what is wanted, where nobody hears of it.
        let has_one = || papers.orders.iter().any(|order| order.options.only.is_empty() && !order.options.dry_run);
        let needless = order.observer.is_none() && (has_one() || papers.orders.len() >= MOST);
        if !papers.closed && !needless {
            papers.orders.push_back(order);
            self.bell.ring();
        }
    }

    /// Tells that connections may have broken without a sign: another network, or the machine slept.
    pub fn shake(&self) {
        self.papers().shaken = true;
        self.bell.ring();
    }

    /// How things are.
    pub fn status(&self) -> Status {
        self.papers().status.clone()
    }

    /// Has the keeper leave the account alone for as long as what is given lives. Waits until it does, for `patience` at
    /// most; `None` where that was not enough.
    pub fn borrow_account(self: &Arc<Self>, patience: Duration) -> Option<Loan> {
        let deadline = Instant::now() + patience;
        let mut papers = self.papers();
        papers.borrowers += 1;
        // From here on it is given back whatever happens.
        let loan = Loan(self.clone());
        self.bell.ring();
        while !papers.lent && !papers.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(papers);
                return None;
            }
            papers = self.changed.wait_timeout(papers, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Some(loan)
    }

    /// For the keeper: what is asked of it now.
    pub(super) fn next_order(&self) -> Option<Order> {
        self.papers().orders.pop_front()
    }

    /// For the keeper: whether somebody wants something.
    pub(super) fn has_orders(&self) -> bool {
        !self.papers().orders.is_empty()
    }

    /// For the keeper: whether it was shaken since it last asked.
    pub(super) fn was_shaken(&self) -> bool {
        std::mem::take(&mut self.papers().shaken)
    }

    /// For the keeper: whether somebody wants the account; it is lent by that, until nobody does.
    pub(super) fn lend(&self) -> bool {
        let mut papers = self.papers();
        papers.lent = papers.borrowers > 0;
        self.changed.notify_all();
        papers.lent
    }

    /// For the keeper: changes what is said of it.
    pub(super) fn say(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.papers().status);
    }

    /// For the keeper: within this time it will be heard of again.
    pub(super) fn promise(&self, within: Duration) {
        self.promise_until(Some(Instant::now() + within));
    }

    /// For the keeper: until then it will be heard of again; `None` where it waits for others alone.
    pub(super) fn promise_until(&self, until: Option<Instant>) {
        self.papers().promised = until;
    }

    /// Whether the keeper should have been heard of by now: it hangs.
    pub fn is_overdue(&self) -> bool {
        self.papers().promised.is_some_and(|promised| promised < Instant::now())
    }

    /// For the keeper that goes: nobody waits for it any more.
    pub fn close(&self) {
        let mut papers = self.papers();
        papers.closed = true;
        papers.orders.clear();
        self.changed.notify_all();
    }
}

/// An account that its keeper leaves alone.
pub struct Loan(Arc<Desk>);

impl Drop for Loan {
    fn drop(&mut self) {
        self.0.papers().borrowers -= 1;
        self.0.bell.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::thread;

    fn desk() -> Arc<Desk> {
        Arc::new(Desk::new("main").expect("a bell"))
    }

    #[test]
    fn an_account_is_lent_once_its_keeper_says_so_and_until_it_is_given_back() {
        let desk = desk();
        assert!(!desk.lend());
        assert!(desk.borrow_account(Duration::from_millis(10)).is_none());
        assert!(!desk.lend());
        let borrower = {
            let desk = desk.clone();
            thread::spawn(move || desk.borrow_account(Duration::from_secs(60)))
        };
        while !desk.lend() {
            thread::yield_now();
        }
        let loan = borrower.join().expect("no panic").expect("lent");
        assert!(desk.lend());
        drop(loan);
        assert!(!desk.lend());
    }

    #[test]
    fn where_the_keeper_has_gone_nobody_waits() {
        let desk = desk();
        let (done, ended) = channel();
        desk.order(Order { options: Options::default(), observer: None, done: done.clone() });
        desk.close();
        desk.order(Order { options: Options::default(), observer: None, done });
        assert!(ended.recv().is_err());
        assert!(desk.borrow_account(Duration::from_secs(60)).is_some());
    }
}
