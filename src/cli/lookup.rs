//! A login, looked for once, and the store that tells where its password came from.

use super::setup::Notes;
use super::signals::Asking;
use crate::config;
use crate::fault;
use crate::mail::{Login, Noted, Secret};
use crate::net::Stop;
use crate::secret::keyring::{self, Entry};
use crate::secret::oauth::{Client, Provider};
use crate::secret::{self, Context, Decrypted, Found, Origin, SecretError, Source, Spec};
use crate::store::imap::is_about_token;
use crate::store::imap::sasl::has_ticket;
use crate::store::{Ear, Kind, LOG_IN, Listen, Lock, Opener, Reach, Store, StoreError};
use crate::ui::undisturbed;
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
    let user = imap.user.as_deref().unwrap_or_default();
    Client {
        account: oauth2.account.clone(),
        user: imap.user.clone(),
        provider,
        id: oauth2.client_id.clone(),
        secret: oauth2.client_secret.clone(),
        proxy: imap.proxy.as_ref().map(|url| url.value.clone()),
        file: oauth2.file.clone(),
        keyring: oauth2.keyring.then(|| Entry::of_tokens(&imap.host, user)),
        // Whoever has the same tokens has the same lock, whatever the account's name and wherever they are kept.
        lock: oauth2.file.with_file_name(format!("{user}@{}.lock", imap.host).replace('/', "_")),
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

/// A login that somebody typed, and for what.
pub struct Typed {
    account: String,
    server: (String, u16, Option<String>),
    found: Found,
}

/// A login, looked for once.
pub struct Lookup {
    account: String,
    spec: Spec,
    /// Whether no password may be needed: the line is a program's, which may have logged in already, or a certificate or a
    /// ticket does.
    needs_none: bool,
    /// Whether a Kerberos ticket may do, where there is one.
    by_ticket: bool,
    decrypted: Arc<Decrypted>,
    stop: Stop,
    notes: Notes,
    found: OnceLock<Result<Found, SecretError>>,
    /// The last token. Held while one is asked for: programs and providers that renew tokens don't like to be asked twice
    /// at a time.
    token: Mutex<Option<Secret>>,
    /// Whether somebody may be asked.
    prompt: bool,
    /// Whether the user wants the keyring to have what was typed, once the server has taken it.
    keep: AtomicBool,
}

impl Lookup {
    pub fn new(
        account: &str,
        imap: &config::Imap,
        decrypted: Arc<Decrypted>,
        prompt: bool,
        stop: Stop,
        notes: Notes,
    ) -> Lookup {
        let without = |name: &String| ["EXTERNAL", "GSSAPI"].contains(&name.as_str());
        let needs_none = !imap.auth.is_empty() && imap.auth.iter().all(without);
        Lookup {
            account: account.to_owned(),
            spec: spec(imap),
            needs_none: imap.command.is_some() || needs_none,
            by_ticket: cfg!(feature = "gssapi")
                && (imap.auth.is_empty() || imap.auth.iter().any(|name| name == "GSSAPI")),
            decrypted,
            stop,
            notes,
            found: OnceLock::new(),
            token: Mutex::default(),
            prompt,
            keep: AtomicBool::new(false),
        }
    }

    /// Whose login it is.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// What somebody typed, if it was that.
    pub fn typed(&self) -> Option<Typed> {
        let found = self.found.get()?.as_ref().ok()?;
        matches!(found.origin, Origin::Prompt { .. }).then(|| Typed {
            account: self.account.clone(),
            server: self.server(),
            found: found.clone(),
        })
    }

    /// Takes what was typed before for the same login.
    pub fn take_typed(&self, all: &[Typed]) {
        let fits = |typed: &&Typed| typed.account == self.account && typed.server == self.server();
        if let Some(typed) = all.iter().find(fits) {
            // It was not looked for yet.
            drop(self.found.set(Ok(typed.found.clone())));
        }
    }

    fn server(&self) -> (String, u16, Option<String>) {
        (self.spec.host.clone(), self.spec.port, self.spec.user.clone())
    }

    /// Whether a prompt may come of it, and it is likely to be needed.
    pub fn may_ask(&self) -> bool {
        // Where nobody can be asked, neither a ticket nor a password need be looked for yet.
        let ticket = || self.by_ticket && (!secret::has_terminal() || has_ticket());
        self.may_prompt() && !self.needs_none && !ticket()
    }

    fn may_prompt(&self) -> bool {
        self.prompt && matches!(self.spec.source, Source::Unsaid | Source::Keyring)
    }

    pub fn found(&self) -> &Result<Found, SecretError> {
        self.found.get_or_init(|| {
            // It may turn out in the middle of a run that a password is needed: then Ctrl-C ends what waits for an answer.
            match self.may_prompt() && (self.needs_none || self.by_ticket) && secret::has_terminal() {
                true => undisturbed(|| {
                    let _asking = Asking::begin();
                    self.find()
                }),
                false => self.find(),
            }
        })
    }

    fn find(&self) -> Result<Found, SecretError> {
        let found = self.asking(None, |context| secret::resolve(&self.spec, context))?;
        if found.origin == (Origin::Prompt { keyring: true }) {
            self.keep.store(offer(self.looks_in_keyring()), Ordering::Relaxed);
        }
        Ok(found)
    }

    /// Whether what is found ends some day.
    fn is_token(&self) -> bool {
        matches!(self.spec.source, Source::Token(_) | Source::OAuth2(_))
    }

    /// A token that is good now: it is asked for with every connection, as the last one may have ended, or been `refused`.
    fn fresh(&self, refused: bool) -> Result<Found, SecretError> {
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let last = token.as_ref().filter(|_| refused);
        let found = self.asking(last, |context| secret::resolve(&self.spec, context))?;
        *token = Some(found.login.password.clone());
        Ok(found)
    }

    fn asking<T>(&self, refused: Option<&Secret>, act: impl FnOnce(&Context<'_>) -> T) -> T {
        let note = |text| (self.notes)(&self.account, text);
        act(&Context {
            refused,
            prompt: self.prompt,
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
        match self.asking(None, set) {
            Err(error) => (self.notes)(&self.account, format!("the password was not stored: {error}")),
            Ok(()) if self.looks_in_keyring() => {}
            Ok(()) => {
                let text = "stored in the keyring; to use it, say keyring = true in the config";
                (self.notes)(&self.account, text.to_owned());
            }
        }
    }

    /// Whether the next run finds what was stored.
    fn looks_in_keyring(&self) -> bool {
        matches!(self.spec.source, Source::Keyring)
    }

    /// Says with an error about the login where the password came from: it may be another place than the user thinks.
    fn explain(&self, mut error: StoreError) -> StoreError {
        match (error.kind, self.found.get()) {
            (Kind::Auth, Some(Ok(found))) => error.cause.push_str(&format!(" (password from {})", found.origin)),
            (Kind::Auth, None) if self.has_token() => {
                error.cause.push_str(&format!(" (token from {})", self.spec.origin()));
                if let (Source::OAuth2(_), true, Some(hint)) =
                    (&self.spec.source, is_about_token(&error), &mut error.hint)
                {
                    hint.push_str(&format!(": mailsync login {}", self.account));
                }
            }
            _ => {}
        }
        error
    }

    fn has_token(&self) -> bool {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).is_some()
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

/// Asks whether the keyring is to have what was typed; `usual` is what no answer means.
fn offer(usual: bool) -> bool {
    let mut answer = String::new();
    let question = if usual { "Store it in the keyring? [Y/n] " } else { "Store it in the keyring? [y/N] " };
    let asked = std::io::stderr().lock().write_all(question.as_bytes());
    let read = asked.and_then(|()| std::io::stdin().read_line(&mut answer));
    // The end of the input is no answer.
    let yes = match answer.trim().to_lowercase().as_str() {
        "" => usual,
        word => ["y", "yes"].contains(&word),
    };
    read.is_ok_and(|length| length > 0) && yes
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

impl Sourced {
    /// Does what may log in, once more with another token where one was refused.
    fn logging_in<T>(&self, act: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let done = match act() {
            Err(error) if is_about_token(&error) => match self.lookup.renew() {
                None => Err(error),
                Some(Ok(())) => act(),
                Some(Err(why)) => return Err(into_store(LOG_IN, why)),
            },
            done => done,
        };
        let done = done.map_err(|error| self.lookup.explain(error))?;
        self.lookup.accepted();
        Ok(done)
    }
}

impl Opener for Sourced {
    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        self.logging_in(|| self.inner.open())
    }

    fn keep(&self, on: bool) {
        self.inner.keep(on);
    }

    fn listen(&self, to: &Listen) -> Result<Option<Box<dyn Ear>>, StoreError> {
        self.logging_in(|| self.inner.listen(to))
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
