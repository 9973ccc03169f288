//! A login, looked for once, and the store that tells where its password came from.

use super::setup::Notes;
use crate::config;
use crate::fault;
use crate::mail::Login;
use crate::net::Stop;
use crate::secret::keyring::{self, Entry};
use crate::secret::{self, Context, Decrypted, Found, Origin, SecretError, Source, Spec};
use crate::store::{Kind, Lock, Opener, Reach, Store, StoreError};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// For what a login is wanted, as the config says it.
pub fn spec(imap: &config::Imap) -> Spec {
    let source = match &imap.password {
        config::Password::Unsaid => Source::Unsaid,
        config::Password::Inline(password) => Source::Given(password.clone()),
        config::Password::Command(argv) => Source::Command(argv.clone()),
        config::Password::File(path) => Source::File(path.clone()),
        config::Password::Env(name) => Source::Env(name.clone()),
        config::Password::Keyring => Source::Keyring,
    };
    Spec { host: imap.host.clone(), port: imap.port, user: imap.user.clone(), source, netrc: imap.netrc.clone() }
}

/// How long a program may take.
pub fn timeout() -> Duration {
    Duration::from_secs(fault::number("MAILSYNC_PASSWORD_TIMEOUT", secret::TIMEOUT.as_secs()))
}

/// The failure of a look-up, as one of a store.
pub fn into_store(action: &str, error: SecretError) -> StoreError {
    match error {
        SecretError::Cancelled => StoreError::stopped(),
        SecretError::Failed { cause, hint } => {
            let error = StoreError::new(Reach::Account, Kind::Auth, action, cause);
            hint.into_iter().fold(error, StoreError::with_hint)
        }
    }
}

/// A login, looked for once.
pub struct Lookup {
    account: String,
    spec: Spec,
    /// Whether it may be that nobody wants a password: a tunnel may have logged in already.
    needs_none: bool,
    decrypted: Arc<Decrypted>,
    stop: Stop,
    notes: Notes,
    found: OnceLock<Result<Found, SecretError>>,
    /// Whether the user wants the keyring to have what was typed, once the server has taken it.
    keep: AtomicBool,
}

impl Lookup {
    pub fn new(account: &str, imap: &config::Imap, decrypted: Arc<Decrypted>, stop: Stop, notes: Notes) -> Lookup {
        Lookup {
            account: account.to_owned(),
            spec: spec(imap),
            needs_none: imap.command.is_some(),
            decrypted,
            stop,
            notes,
            found: OnceLock::new(),
            keep: AtomicBool::new(false),
        }
    }

    /// Whether a prompt may come of it.
    pub fn may_ask(&self) -> bool {
        matches!(self.spec.source, Source::Unsaid | Source::Keyring) && !self.needs_none
    }

    pub fn found(&self) -> &Result<Found, SecretError> {
        self.found.get_or_init(|| {
            let found = self.asking(|context| secret::resolve(&self.spec, context))?;
            if found.origin == (Origin::Prompt { keyring: true }) {
                self.keep.store(offer(), Ordering::Relaxed);
            }
            Ok(found)
        })
    }

    fn asking<T>(&self, act: impl FnOnce(&Context<'_>) -> T) -> T {
        let note = |text| (self.notes)(&self.account, text);
        act(&Context {
            prompt: true,
            timeout: timeout(),
            decrypted: &self.decrypted,
            note: &note,
            cancelled: &|| self.stop.is_set(),
        })
    }

    /// The login, as a store wants it.
    pub fn login(&self) -> Result<Login, StoreError> {
        match self.found() {
            Ok(found) => Ok(found.login.clone()),
            Err(error) => Err(into_store("log in", error.clone())),
        }
    }

    /// The server took it: now it may be stored, if the user wanted that.
    fn accepted(&self) {
        if !self.keep.swap(false, Ordering::Relaxed) {
            return;
        }
        let Some(Ok(found)) = self.found.get() else {
            return;
        };
        let set = |context: &Context<'_>| keyring::set(&Entry::new(&self.spec)?, &found.login.password, context);
        if let Err(error) = self.asking(set) {
            (self.notes)(&self.account, format!("the password was not stored: {error}"));
        }
    }

    /// Says with an error about the login where the password came from: it may be another place than the user thinks.
    fn explain(&self, mut error: StoreError) -> StoreError {
        if let (Kind::Auth, Some(Ok(found))) = (error.kind, self.found.get()) {
            error.cause.push_str(&format!(" (password from {})", found.origin));
        }
        error
    }

    fn origin(&self) -> Option<Origin> {
        match self.found.get() {
            Some(Ok(found)) => Some(found.origin.clone()),
            None if self.needs_none && matches!(self.spec.source, Source::Unsaid) => None,
            _ => Some(self.spec.origin()),
        }
    }
}

/// Asks whether the keyring is to have what was typed.
fn offer() -> bool {
    let mut answer = String::new();
    let asked = std::io::stderr().lock().write_all(b"Store it in the keyring? [Y/n] ");
    let read = asked.and_then(|()| std::io::stdin().read_line(&mut answer));
    // The end of the input is no answer.
    read.is_ok_and(|length| length > 0) && matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes")
}

/// A server of which is told where its password came from.
pub struct Sourced {
    inner: Box<dyn Opener>,
    lookup: Arc<Lookup>,
}

impl Sourced {
    pub fn new(inner: Box<dyn Opener>, lookup: Arc<Lookup>) -> Sourced {
        Sourced { inner, lookup }
    }
}

impl Opener for Sourced {
    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        let store = self.inner.open().map_err(|error| self.lookup.explain(error))?;
        self.lookup.accepted();
        Ok(store)
    }

    fn begin(&self) {
        self.inner.begin();
    }

    fn place(&self) -> String {
        self.inner.place()
    }

    fn password_from(&self) -> Option<String> {
        self.lookup.origin().map(|origin| origin.to_string())
    }

    fn lock(&self) -> Result<Option<Lock>, StoreError> {
        self.inner.lock()
    }
}
