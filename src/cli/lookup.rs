//! A login, looked for once, and the store that tells where its password came from.

use super::setup::Notes;
use crate::config;
use crate::fault;
use crate::mail::{Login, Noted};
use crate::net::Stop;
use crate::secret::keyring::{self, Entry};
use crate::secret::oauth::{Client, Provider};
use crate::secret::{self, Context, Decrypted, Found, Origin, SecretError, Source, Spec};
use crate::store::{Kind, LOG_IN, Lock, Opener, Reach, Store, StoreError};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// For what a login is wanted, as the config says it.
pub fn spec(imap: &config::Imap) -> Spec {
    let source = match &imap.password {
        config::Password::Unsaid => Source::Unsaid,
        config::Password::Inline(password) => Source::Given(password.clone()),
        config::Password::Command(argv) => Source::Command(argv.clone()),
        config::Password::Token(argv) => Source::Token(argv.clone()),
        config::Password::OAuth2(oauth2) => Source::OAuth2(Box::new(client(imap, oauth2))),
        config::Password::File(path) => Source::File(path.clone()),
        config::Password::Env(name) => Source::Env(name.clone()),
        config::Password::Keyring => Source::Keyring,
    };
    Spec { host: imap.host.clone(), port: imap.port, user: imap.user.clone(), source, netrc: imap.netrc.clone() }
}

/// Who we are to a provider of tokens.
pub fn client(imap: &config::Imap, oauth2: &config::OAuth2) -> Client {
    let provider = match &oauth2.provider {
        // The config knows no others: a test sees to that.
        config::Provider::Named(name) => Provider::named(name).unwrap_or_default(),
        config::Provider::Own { auth_url, token_url, device_url, scope } => Provider {
            auth_url: auth_url.clone(),
            token_url: token_url.clone(),
            device_url: device_url.clone(),
            scope: scope.clone(),
            more: &[],
        },
    };
    Client {
        account: oauth2.account.clone(),
        user: imap.user.clone(),
        provider,
        id: oauth2.client_id.clone(),
        secret: oauth2.client_secret.clone(),
        proxy: imap.proxy.as_ref().map(|url| url.value.clone()),
        file: oauth2.file.clone(),
    }
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
    /// Whether no password may be needed: the line is a program's, which may have logged in already, or a certificate does.
    needs_none: bool,
    decrypted: Arc<Decrypted>,
    stop: Stop,
    notes: Notes,
    found: OnceLock<Result<Found, SecretError>>,
    /// Whether there was a token. Held while one is asked for: programs and providers that renew tokens don't like to be
    /// asked twice at a time.
    token: Mutex<bool>,
    /// Whether the user wants the keyring to have what was typed, once the server has taken it.
    keep: AtomicBool,
}

impl Lookup {
    pub fn new(account: &str, imap: &config::Imap, decrypted: Arc<Decrypted>, stop: Stop, notes: Notes) -> Lookup {
        let by_certificate = !imap.auth.is_empty() && imap.auth.iter().all(|name| name == "EXTERNAL");
        Lookup {
            account: account.to_owned(),
            spec: spec(imap),
            needs_none: imap.command.is_some() || by_certificate,
            decrypted,
            stop,
            notes,
            found: OnceLock::new(),
            token: Mutex::default(),
            keep: AtomicBool::new(false),
        }
    }

    /// Whether a prompt may come of it.
    pub fn may_ask(&self) -> bool {
        matches!(self.spec.source, Source::Unsaid | Source::Keyring) && !self.needs_none
    }

    pub fn found(&self) -> &Result<Found, SecretError> {
        self.found.get_or_init(|| {
            let found = self.asking(false, |context| secret::resolve(&self.spec, context))?;
            if found.origin == (Origin::Prompt { keyring: true }) {
                self.keep.store(offer(), Ordering::Relaxed);
            }
            Ok(found)
        })
    }

    /// Whether what is found ends some day.
    fn is_token(&self) -> bool {
        matches!(self.spec.source, Source::Token(_) | Source::OAuth2(_))
    }

    /// A token that is good now: it is asked for with every connection, as the last one may have ended.
    fn fresh(&self, refused: bool) -> Result<Found, SecretError> {
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.asking(refused, |context| secret::resolve(&self.spec, context))?;
        *token = true;
        Ok(found)
    }

    fn asking<T>(&self, refused: bool, act: impl FnOnce(&Context<'_>) -> T) -> T {
        let note = |text| (self.notes)(&self.account, text);
        act(&Context {
            refused,
            prompt: true,
            timeout: timeout(),
            decrypted: &self.decrypted,
            note: &note,
            cancelled: &|| self.stop.is_set(),
        })
    }

    /// The login, as a store wants it.
    pub fn login(&self) -> Result<Login, StoreError> {
        let found = if self.is_token() { self.fresh(false) } else { self.found().clone() };
        found.map(|found| found.login).map_err(|error| into_store(LOG_IN, error))
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
        if let Err(error) = self.asking(false, set) {
            (self.notes)(&self.account, format!("the password was not stored: {error}"));
        }
    }

    /// Says with an error about the login where the password came from: it may be another place than the user thinks.
    fn explain(&self, mut error: StoreError) -> StoreError {
        match (error.kind, self.found.get()) {
            (Kind::Auth, Some(Ok(found))) => error.cause.push_str(&format!(" (password from {})", found.origin)),
            (Kind::Auth, None) if self.has_token() => {
                error.cause.push_str(&format!(" (token from {})", self.spec.origin()));
            }
            _ => {}
        }
        error
    }

    fn has_token(&self) -> bool {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gets another token in place of one that was refused: it may have been withdrawn, or have ended early. `None` where
    /// nothing can be renewed.
    fn renew(&self) -> Option<Result<(), SecretError>> {
        let renewable = matches!(self.spec.source, Source::OAuth2(_)) && self.has_token();
        renewable.then(|| self.fresh(true).map(drop))
    }

    fn origin(&self) -> Option<Origin> {
        match self.found.get() {
            Some(Ok(found)) => Some(found.origin.clone()),
            // The program may have logged in by itself.
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
        let store = match self.inner.open() {
            Err(error) if error.kind == Kind::Auth => match self.lookup.renew() {
                None => Err(error),
                Some(Ok(())) => self.inner.open(),
                Some(Err(why)) => return Err(into_store(LOG_IN, why)),
            },
            opened => opened,
        };
        let store = store.map_err(|error| self.lookup.explain(error))?;
        self.lookup.accepted();
        Ok(store)
    }

    fn recall(&self, noted: Option<&Noted>) {
        self.inner.recall(noted);
    }

    fn noted(&self) -> Option<Noted> {
        self.inner.noted()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_provider_of_the_config_is_there() {
        for name in config::PROVIDERS {
            assert!(Provider::named(name).is_some(), "{name}");
        }
    }
}
