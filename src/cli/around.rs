//! What is done before and after an account is synced, whoever has it synced: hooks, the file for mutt, the bin.

use super::{mutt, setup};
use crate::config::Config;
use crate::hook::{Hooks, Mode};
use crate::net::Stop;
use crate::sync::{Observer, Outcome};
use anyhow::Error;
use std::sync::{Arc, Mutex, PoisonError};

/// What stands around the syncs of a config's accounts. Usable by several threads, for one account each.
pub struct Around<'a> {
    config: &'a Config,
    hooks: Arc<Hooks>,
    /// Held while the file for mutt is written.
    mutt: Mutex<()>,
}

impl<'a> Around<'a> {
    pub fn new(config: &'a Config) -> Around<'a> {
        Around { config, hooks: Arc::new(Hooks::new(config)), mutt: Mutex::new(()) }
    }

    /// Whether the engine is to tell of each message.
    pub fn wants_messages(&self) -> bool {
        self.hooks.want_messages()
    }

    /// An observer that hears on the way what the hooks are told later.
    pub fn observer(&self, next: Arc<Observer>) -> Arc<Observer> {
        self.hooks.observer(next)
    }

    /// To be called before an account is synced.
    pub fn before(&self, account: &str, mode: Mode, observer: &Observer, stop: &Stop) {
        self.hooks.before(account, mode, observer, &|| stop.is_set());
    }

    /// To be called when an account's sync has ended: brings the file for mutt up to date, sweeps the bin, and runs the
    /// hooks, which may have mutt read that file. What failed of the first two; hooks tell the observer.
    pub fn after(&self, account: &str, outcome: Outcome, mode: Mode, observer: &Observer, stop: &Stop) -> Vec<Error> {
        let mut failed = Vec::new();
        if matches!(outcome, Outcome::InStep | Outcome::Partial) {
            failed.extend(self.refresh_mutt().err());
            failed.extend(self.sweep_bin(account).err());
        }
        self.hooks.after(account, outcome, mode, observer, &|| stop.is_set());
        failed
    }

    fn refresh_mutt(&self) -> Result<(), Error> {
        let _turn = self.mutt.lock().unwrap_or_else(PoisonError::into_inner);
        mutt::refresh(self.config).map(drop).map_err(|err| err.context("[mutt] file"))
    }

    /// Deletes what the account's bin has kept for long enough.
    fn sweep_bin(&self, name: &str) -> Result<(), Error> {
        let account = self.config.account(name);
        let Some((account, bin)) = account.and_then(|account| Some((account, setup::bin(self.config, account)?)))
        else {
            return Ok(());
        };
        bin.sweep(account.retain_deleted).map(drop).map_err(|err| Error::from(err).context(name.to_owned()))
    }
}
