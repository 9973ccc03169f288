//! The Secret Service over D-Bus: the only file that names the crate.

use super::{Entry, SecretError, TOKENS};
use crate::mail::Secret;
use crate::secret::file;
use dbus_secret_service::{EncryptionType, Error, Item, SecretService};
use std::collections::HashMap;
use zeroize::Zeroizing;

pub fn get(entry: &Entry, seconds: u64) -> Result<Option<Secret>, SecretError> {
    let service = connect(seconds)?;
    let Some(item) = find(&service, entry)? else {
        return Ok(None);
    };
    let bytes = Zeroizing::new(item.get_secret().map_err(failed)?);
    file::line_of(&bytes).map(Some).map_err(|why| SecretError::new(format!("the keyring's item ({entry}) {why}")))
}

pub fn set(entry: &Entry, password: &Secret, seconds: u64) -> Result<(), SecretError> {
    const PLAIN: &str = "text/plain";
    let service = connect(seconds)?;
    let bytes = password.expose().as_bytes();
    // An item that another program made may have more attributes: a second one beside it would be found in its place.
    if let Some(item) = find(&service, entry)? {
        return item.set_secret(bytes, PLAIN).map_err(failed);
    }
    let collection = service.get_default_collection().map_err(|err| match err {
        Error::NoResult => {
            SecretError::with("the keyring has no default collection", "make one with the keyring's own program")
        }
        err => failed(err),
    })?;
    collection.ensure_unlocked().map_err(failed)?;
    collection.create_item(&label(entry), attributes(entry), bytes, true, PLAIN).map(drop).map_err(failed)
}

pub fn forget(entry: &Entry, seconds: u64) -> Result<bool, SecretError> {
    let service = connect(seconds)?;
    let found = service.search_items(attributes(entry)).map_err(failed)?;
    let items: Vec<Item<'_>> = found.unlocked.into_iter().chain(found.locked).collect();
    for item in &items {
        item.ensure_unlocked().map_err(failed)?;
        item.delete().map_err(failed)?;
    }
    Ok(!items.is_empty())
}

/// What is secret passes as it is: the session's bus is a socket of the user's own.
fn connect(seconds: u64) -> Result<SecretService, SecretError> {
    SecretService::connect_with_max_prompt_timeout(EncryptionType::Plain, seconds).map_err(|err| {
        SecretError::with(
            format!("the keyring can't be reached: {}", said(&err)),
            "a Secret Service (GNOME Keyring, KWallet, KeePassXC) must run, and its bus be known: set \
             DBUS_SESSION_BUS_ADDRESS or XDG_RUNTIME_DIR, in cron too",
        )
    })
}

/// The item, unlocked.
fn find<'a>(service: &'a SecretService, entry: &Entry) -> Result<Option<Item<'a>>, SecretError> {
    let found = service.search_items(attributes(entry)).map_err(failed)?;
    if let Some(item) = found.unlocked.into_iter().next() {
        return Ok(Some(item));
    }
    let Some(item) = found.locked.into_iter().next() else {
        return Ok(None);
    };
    item.unlock().map_err(failed)?;
    Ok(Some(item))
}

/// What the keyring's own program calls it.
fn label(entry: &Entry) -> String {
    let what = if entry.service == TOKENS { "OAuth2 tokens of " } else { "" };
    format!("mailsync: {what}{} on {}", entry.user, entry.host)
}

fn attributes(entry: &Entry) -> HashMap<&str, &str> {
    entry.attributes().into_iter().collect()
}

fn failed(err: Error) -> SecretError {
    match err {
        Error::Prompt | Error::Locked => SecretError::with(
            "the keyring is locked, and was not unlocked",
            "unlock it, with its own program or by answering its question",
        ),
        err => SecretError::new(format!("the keyring failed: {}", said(&err))),
    }
}

/// What the service said, without the crate's own words where it said something.
fn said(err: &Error) -> String {
    match err {
        Error::Dbus(err) => match (err.message(), err.name()) {
            (Some(text), _) if !text.is_empty() => text.to_owned(),
            (_, Some(name)) => name.to_owned(),
            _ => "no reason was given".to_owned(),
        },
        err => err.to_string(),
    }
}
