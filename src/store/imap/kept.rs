//! The connection that is kept from one sync to the next, and what its server has shown that it can't do.

use super::ImapStore;
use super::wire::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So long after its last answer a connection is taken for alive.
const FRESH: Duration = Duration::from_secs(3);

/// How long a connection may take to show that it is alive.
pub const ALIVE: Duration = Duration::from_secs(5);

/// What one opener keeps.
#[derive(Default)]
pub struct Kept {
    on: AtomicBool,
    store: Mutex<Option<(ImapStore, Instant)>>,
    /// IDLE, NOTIFY: it says that it has them, and refuses them.
    no_idle: AtomicBool,
    no_notify: AtomicBool,
    /// It idles without saying so.
    no_admission: AtomicBool,
}

impl Kept {
    /// Whether a connection is to be kept. If not, the one that is there is closed.
    pub fn keep(&self, on: bool) {
        self.on.store(on, Ordering::SeqCst);
        if !on && let Some((store, _)) = self.slot().take() {
            store.conn.log_out();
        }
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<(ImapStore, Instant)>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn has_one(&self) -> bool {
        self.slot().is_some()
    }

    /// Keeps a connection; gives it back where it is not wanted. One that others use is of no use here.
    pub fn put(&self, store: ImapStore) -> Option<ImapStore> {
        let wanted = self.on.load(Ordering::SeqCst) && store.conn.is_last() && !store.conn.is_broken();
        let mut slot = self.slot();
        if !wanted || slot.is_some() {
            return Some(store);
        }
        if let Some(mut line) = store.conn.line() {
            line.transport.slim();
        }
        *slot = Some((store, Instant::now()));
        None
    }

    /// The connection that was kept, if it is alive.
    pub fn take(&self) -> Option<ImapStore> {
        let (mut store, since) = self.slot().take()?;
        if since.elapsed() < FRESH {
            return Some(store);
        }
        let usual = store.conn.set_timeout(ALIVE);
        // Whatever comes of it but an answer means that a new one is needed.
        let answered = store.conn.run_ok(&Command::new("NOOP"), &mut |_| {}).is_ok();
        store.conn.set_timeout(usual);
        answered.then_some(store)
    }

    /// The server refused IDLE, for which it has no more.
    pub fn without_idle(&self) {
        self.no_idle.store(true, Ordering::SeqCst);
    }

    pub fn without_notify(&self) {
        self.no_notify.store(true, Ordering::SeqCst);
    }

    pub fn may_idle(&self) -> bool {
        !self.no_idle.load(Ordering::SeqCst)
    }

    pub fn may_notify(&self) -> bool {
        !self.no_notify.load(Ordering::SeqCst)
    }

    /// The server idles, and never said that it lets us.
    pub fn without_admission(&self) {
        self.no_admission.store(true, Ordering::SeqCst);
    }

    pub fn says_admission(&self) -> bool {
        !self.no_admission.load(Ordering::SeqCst)
    }

    /// Whether the server has shown that it tells nothing.
    pub fn is_deaf(&self) -> bool {
        !self.may_idle() && !self.may_notify()
    }
}
