//! The engine: keeps the folders of two stores in step.
//!
//! Look, decide, act. Stores report what changed since a cursor; the pure modules (`folders`, `rematch`, `moves`,
//! `reconcile`, `guard`) decide; `execute` and `relocate` act. Nothing here is proportional to the messages that did
//! not change.
//!
//! # The decision table
//!
//! *Base* is what both sides last agreed upon.
//!
//! | base | one side | other side | outcome |
//! |---|---|---|---|
//! | none | new | - | copy, flags and date included |
//! | none | new | new, same message (identity proven) | bind, merge flags, copy nothing |
//! | yes | flags changed | unchanged | set there |
//! | yes | flags changed | flags changed | three-way merge, flag by flag; both changed means both agree |
//! | yes | gone | unchanged or reflagged | delete there, or move to the trash; deletion wins over a flag change |
//! | yes | gone | gone | forget |
//! | yes | gone here, appeared in another folder of this side | unchanged or reflagged | move there |
//! | yes | gone, but folder unavailable, listing incomplete, or guard hit | any | hold and report; nothing is deleted |
//! | any | unreadable, or refused by the other side | any | goes to the ledger and is tried again ever more seldom; all else goes on; exit 1; never a deletion |
//!
//! The base is kept per side: what a side can't hold (a keyword that a mailbox refuses, the 27th of a Maildir) is then
//! not taken for removed there.

mod account;
mod act;
mod adopt;
pub mod check;
mod claim;
mod copy;
mod dispose;
pub mod event;
pub mod execute;
pub mod folders;
mod gate;
mod gone;
pub mod guard;
pub mod known;
pub mod ledger;
pub mod moves;
pub mod pair;
pub mod plan;
mod pool;
mod prepare;
mod recognise;
pub mod reconcile;
mod refind;
mod relocate;
pub mod rematch;
pub mod renames;
mod retitle;
pub mod rules;
mod settle;
mod slices;
mod standing;
pub mod survey;
pub mod trash;

use crate::mail::{Side, Sides};
use crate::store::traced::Tell;
use crate::store::{Access, Opener, Stop};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub use account::{sync_account, sync_with};
pub use event::{Counts, Event, Observer, Outcome, Problem, Report};
pub use slices::AT_ONCE;
pub use standing::{compared_at, moved_on};
pub use trash::Disposal;

/// One account, ready to be synced.
pub struct Account {
    pub name: String,
    pub stores: Sides<Box<dyn Opener>>,
    pub rules: rules::Rules,
    /// What may be done where no rule of `rules` says otherwise for a folder.
    pub policy: Policy,
    /// Whether a folder that was deleted on the server is deleted here too, where nothing is lost by it.
    pub delete_folders: bool,
    /// What becomes on each side of what was deleted on the other one.
    pub disposal: Sides<Disposal>,
    pub limits: Limits,
    /// Connections to each side at most; 1 or more.
    pub connections: usize,
    /// As many new messages of folders that were never dealt with are looked at together; the rest is copied beforehand,
    /// so many at a time. Memory grows with it, and with nothing else.
    pub at_once: u64,
    /// How many files may be open for it; 1 or more.
    pub files: usize,
    /// The account's state: a file that may not be there yet.
    pub state: PathBuf,
    /// How long a server may still be busy with what a broken connection sent: before that time is over, no message
    /// is sent again that may yet arrive.
    pub patience: Duration,
    /// Told every change of the state, for troubleshooting.
    pub state_log: Option<Tell>,
}

/// What may be done to each side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub copy: Sides<bool>,
    pub flags: Sides<bool>,
    pub delete: Sides<bool>,
    /// Whether folders are made.
    pub create: Sides<bool>,
}

impl Default for Policy {
    /// Two-way.
    fn default() -> Self {
        let both = Sides::new(true, true);
        Policy { copy: both, flags: both, delete: both, create: both }
    }
}

impl Policy {
    /// One way: everything may be done to `side`, and nothing to the other one.
    pub fn only(side: Side) -> Policy {
        let one = Sides::with(side, true, false);
        Policy { copy: one, flags: one, delete: one, create: one }
    }

    /// Whether anything at all may be done to a side.
    pub fn changes(&self, side: Side) -> bool {
        self.copy[side] || self.flags[side] || self.delete[side] || self.create[side]
    }

    /// How a folder is opened on a side.
    pub fn access(&self, side: Side, dry_run: bool) -> Access {
        if self.changes(side) && !dry_run { Access::Write } else { Access::Read }
    }
}

/// When a plan deletes so much that it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Every message of a folder that had at least so many.
    pub whole_folder: usize,
    /// More than so many, and more than half of the folder.
    pub messages: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { whole_folder: 20, messages: 100 }
    }
}

/// What the user asked of this run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub dry_run: bool,
    /// Lets held deletions through, this once.
    pub allow_delete: bool,
    /// Brings back what is gone on one side and held for that, this once.
    pub restore: bool,
    /// Tries messages again that wait after a failure, whether their time has come or not.
    pub retry: bool,
    /// Only folders with such messages.
    pub only_waiting: bool,
    /// Compares every message of both sides, whatever they say of what changed.
    pub thorough: bool,
    /// Only folders that one of these names, by their name on either side; all where empty.
    pub only: Vec<rules::Pattern>,
    /// Tells the observer of each message that was changed.
    pub each_message: bool,
    /// Accounts synced at the same time; 1 or more.
    pub accounts_at_once: usize,
}

/// Syncs the accounts, some of them at the same time, and tells the observer of it.
pub fn run(accounts: Vec<Account>, options: &Options, observer: &Observer, stop: &Stop) -> Report {
    run_each(&accounts, options.accounts_at_once, stop, &|account| sync_account(account, options, observer, stop))
}

/// Does `each` with every account, with so many of them at the same time, until it is to stop.
pub fn run_each(
    accounts: &[Account],
    at_once: usize,
    stop: &Stop,
    each: &(dyn Fn(&Account) -> (Outcome, Counts) + Sync),
) -> Report {
    let results = side_by_side(accounts, at_once, |account| match stop.is_set() {
        true => (Outcome::Interrupted, Counts::default()),
        false => each(account),
    });
    let ended =
        accounts.iter().zip(results).map(|(account, (outcome, counts))| (account.name.clone(), outcome, counts));
    Report { accounts: ended.collect() }
}

/// Does `work` with every item, with so many of them at the same time, or fewer where the system lets no more threads run. The
/// results are in the items' order.
pub fn side_by_side<T: Sync, R: Send>(items: &[T], at_once: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    let worker = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { break };
            let result = work(item);
            results.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
        }
    };
    std::thread::scope(|scope| {
        pool::spawn(scope, at_once.min(items.len()).saturating_sub(1), worker);
        worker();
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}
