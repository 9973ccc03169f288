//! `mailsync password`: stores a password in the keyring, finds the one that is used, forgets it.

use super::args::{PasswordAction, PasswordArgs};
use super::end::{End, UsageError};
use super::lookup::{into_store, spec, timeout};
use super::setup::{notes_to_stderr, select};
use super::signals::{self, Asking};
use crate::config::{self, Config};
use crate::mail::Secret;
use crate::secret::keyring::{self, Entry};
use crate::secret::{self, Context, Decrypted, SecretError, Source, Spec};
use anyhow::Context as _;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Does what the command line asks for, for one account.
pub fn run(config: &Config, args: &PasswordArgs, flag: &Arc<AtomicBool>) -> anyhow::Result<ExitCode> {
    let (name, action) = match &args.action {
        PasswordAction::Set { account } => (account, "store the password"),
        PasswordAction::Get { account } => (account, "find the password"),
        PasswordAction::Forget { account } => (account, "forget the password"),
    };
    let spec = spec(server(config, name, args.local)?);
    if let (PasswordAction::Set { .. }, Source::OAuth2(_)) = (&args.action, &spec.source) {
        let what = format!("`{name}` logs in by OAuth2, with no password");
        return Err(UsageError { what, hint: Some(format!("mailsync login {name}")) }.into());
    }
    let notes = notes_to_stderr();
    let note = |text| notes(name, text);
    let cancelled = || flag.load(Ordering::Relaxed);
    let decrypted = &Decrypted::default();
    let context =
        Context { refused: None, prompt: false, timeout: timeout(), decrypted, note: &note, cancelled: &cancelled };
    let failed = |error| anyhow::Error::new(into_store(action, error)).context(name.clone());
    let typed = match &args.action {
        PasswordAction::Set { .. } => typed(&spec).map(Some).map_err(failed)?,
        PasswordAction::Get { .. } | PasswordAction::Forget { .. } => None,
    };
    // A question ends at once with a signal; what follows ends where it waits.
    signals::watch(flag, true)?;
    let done = match (&args.action, &typed) {
        (PasswordAction::Set { .. }, Some(password)) => set(&spec, password, &context),
        (PasswordAction::Forget { .. }, _) => forget(&spec, &context),
        _ => secret::resolve(&spec, &context).map(|found| Secret::new(format!("{}\n", found.login.password.expose()))),
    };
    let said = done.map_err(failed)?;
    let mut out = io::stdout().lock();
    out.write_all(said.expose().as_bytes()).and_then(|()| out.flush()).context("write to standard output")?;
    Ok(End::InStep.into())
}

/// The IMAP side that is meant.
pub fn server<'a>(config: &'a Config, name: &str, local: bool) -> Result<&'a config::Imap, UsageError> {
    let usage = |what: String| UsageError { what, hint: None };
    let chosen = select(config, &[name.to_owned()])?;
    let account = chosen.first().ok_or_else(|| usage(format!("no such account: `{name}`")))?;
    match (&account.local, local) {
        (_, false) => Ok(&account.remote),
        (config::Local::Imap(imap), true) => Ok(imap),
        (config::Local::Maildir(_), true) => Err(usage(format!("--local: the local side of `{name}` is a Maildir"))),
    }
}

fn typed(spec: &Spec) -> Result<Secret, SecretError> {
    let entry = Entry::new(spec)?;
    if !secret::has_terminal() {
        return secret::first_line_of(io::stdin().lock());
    }
    let _asking = Asking::begin();
    secret::ask(&entry.user, &entry.host)
}

fn set(spec: &Spec, password: &Secret, context: &Context<'_>) -> Result<Secret, SecretError> {
    let entry = Entry::new(spec)?;
    keyring::set(&entry, password, context)?;
    if !matches!(spec.source, Source::Keyring) {
        (context.note)("the config does not say `keyring = true` for it: what was stored is not used".to_owned());
    }
    Ok(Secret::new(format!("stored in the keyring ({entry})\n")))
}

fn forget(spec: &Spec, context: &Context<'_>) -> Result<Secret, SecretError> {
    if let Source::OAuth2(client) = &spec.source {
        let said =
            if client.forget(context)? { "removed the OAuth2 tokens\n" } else { "there were no OAuth2 tokens\n" };
        return Ok(Secret::new(said));
    }
    let entry = Entry::new(spec)?;
    let said = match keyring::forget(&entry, context)? {
        true => format!("removed from the keyring ({entry})\n"),
        false => format!("the keyring had none ({entry})\n"),
    };
    Ok(Secret::new(said))
}
