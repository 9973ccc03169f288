//! The keyring of a desktop: the Secret Service, as GNOME Keyring, KWallet and KeePassXC have it.
//!
//! A password is an item with the attributes `service` ("mailsync"), `host` and `user`, so that
//! `secret-tool lookup service mailsync host HOST user USER` finds it, and what `secret-tool store` wrote is found here.
//! The tokens of OAuth2 have "mailsync-oauth2" as `service`.

#[cfg(feature = "keyring")]
mod service;

/// What a build without the keyring says.
#[cfg(not(feature = "keyring"))]
mod service {
    use super::{Entry, SecretError};
    use crate::mail::Secret;

    fn lacking<T>() -> Result<T, SecretError> {
        let hint = "use secret-tool: mailsync-config(5) shows how";
        Err(SecretError::with("this mailsync was built without the keyring", hint))
    }

    pub fn get(_: &Entry, _: u64) -> Result<Option<Secret>, SecretError> {
        lacking()
    }

    pub fn set(_: &Entry, _: &Secret, _: u64) -> Result<(), SecretError> {
        lacking()
    }

    pub fn forget(_: &Entry, _: u64) -> Result<bool, SecretError> {
        lacking()
    }
}

use super::wait::{self, Ended};
use super::{Context, HUMAN, SecretError, Spec, no_user};
use crate::mail::Secret;
use std::fmt;
use std::path::Path;

/// What the items of passwords and of tokens have as their `service`.
const PASSWORDS: &str = "mailsync";
const TOKENS: &str = "mailsync-oauth2";

/// What an item is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    service: &'static str,
    pub host: String,
    pub user: String,
}

impl Entry {
    /// The item of a login. Fails where the config does not say whose it is.
    pub fn new(spec: &Spec) -> Result<Entry, SecretError> {
        if spec.host.is_empty() {
            return Err(SecretError::with("no host is known", "set `host` in the config: the keyring goes by it"));
        }
        Ok(Entry { service: PASSWORDS, host: spec.host.clone(), user: spec.user.clone().ok_or_else(no_user)? })
    }

    /// The item of the tokens of a user of a server.
    pub fn of_tokens(host: &str, user: &str) -> Entry {
        Entry { service: TOKENS, host: host.to_owned(), user: user.to_owned() }
    }

    fn attributes(&self) -> [(&str, &str); 3] {
        [("service", self.service), ("host", &self.host), ("user", &self.user)]
    }
}

impl fmt::Display for Entry {
    /// As the arguments of secret-tool.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.attributes().map(|(name, value)| format!("{name} {value}"));
        f.write_str(&words.join(" "))
    }
}

/// Whether there is a bus on which a keyring may be; it is not asked.
pub fn may_be_there() -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let bus = || set("XDG_RUNTIME_DIR").is_some_and(|dir| Path::new(&dir).join("bus").exists());
    cfg!(feature = "keyring") && (set("DBUS_SESSION_BUS_ADDRESS").is_some() || bus())
}

/// The password, if there is one. The keyring may ask the user to unlock it.
pub fn get(entry: &Entry, context: &Context<'_>) -> Result<Option<Secret>, SecretError> {
    let entry = entry.clone();
    within(context, move |seconds| service::get(&entry, seconds))
}

/// Stores a password in place of the one that was there.
pub fn set(entry: &Entry, password: &Secret, context: &Context<'_>) -> Result<(), SecretError> {
    let (entry, password) = (entry.clone(), password.clone());
    within(context, move |seconds| service::set(&entry, &password, seconds))
}

/// Removes the password; whether there was one.
pub fn forget(entry: &Entry, context: &Context<'_>) -> Result<bool, SecretError> {
    let entry = entry.clone();
    within(context, move |seconds| service::forget(&entry, seconds))
}

/// The bus has waits that nothing ends. What is done is told how many seconds the user has for an answer.
fn within<T: Send + 'static>(
    context: &Context<'_>,
    act: impl FnOnce(u64) -> Result<T, SecretError> + Send + 'static,
) -> Result<T, SecretError> {
    let patience = context.timeout * HUMAN;
    let seconds = patience.as_secs();
    match wait::within("keyring", patience, context.cancelled, move || act(seconds.max(1))) {
        Ok(result) => result,
        Err(Ended::Cancelled) => Err(SecretError::Cancelled),
        Err(Ended::TimedOut) => Err(SecretError::with(
            format!("the keyring gave no answer within {seconds} s"),
            "it may wait for its own password, in a window",
        )),
        Err(Ended::NotStarted(err)) => Err(SecretError::new(format!("ask the keyring: {err}"))),
        Err(Ended::Lost) => Err(SecretError::new("the conversation with the keyring broke down")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Decrypted;
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    fn waited(timeout: Duration, cancelled: bool) -> SecretError {
        let decrypted = &Decrypted::default();
        let context =
            Context { refused: None, prompt: false, timeout, decrypted, note: &|_| (), cancelled: &|| cancelled };
        let (hold, held) = channel::<()>();
        let act = move |_| {
            // Until the sender is gone.
            let _ = held.recv();
            Ok(())
        };
        let error = within(&context, act).expect_err("it waits");
        drop(hold);
        error
    }

    #[test]
    fn a_keyring_that_never_answers_holds_nobody_up() {
        let error = waited(Duration::from_millis(50), false);
        assert!(error.to_string().starts_with("the keyring gave no answer"), "{error}");
        assert_eq!(waited(Duration::from_secs(30), true), SecretError::Cancelled);
    }

    #[test]
    fn an_entry_is_shown_as_secret_tool_takes_it() {
        let entry = Entry { service: PASSWORDS, host: "h".into(), user: "u".into() };
        assert_eq!(entry.to_string(), "service mailsync host h user u");
        assert_eq!(Entry::of_tokens("h", "u").to_string(), "service mailsync-oauth2 host h user u");
    }
}
