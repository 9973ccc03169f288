//! `mailsync login`: gets OAuth2 tokens for an account.

use super::args::LoginArgs;
use super::end::{End, UsageError};
use super::lookup::{client, into_store, timeout};
use super::password::server;
use super::setup::notes_to_stderr;
use super::signals;
use crate::config::{Config, Password};
use crate::secret::oauth::{Talk, log_in_by_browser, log_in_by_device};
use crate::secret::{Context as Asking, Decrypted};
use anyhow::Context as _;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Has somebody log in for one account.
pub fn run(config: &Config, args: &LoginArgs, flag: &Arc<AtomicBool>) -> anyhow::Result<ExitCode> {
    let imap = server(config, &args.account, args.local)?;
    let Password::OAuth2(oauth2) = &imap.password else {
        let what = format!("`{}` has no `oauth2` in the config", args.account);
        let hint =
            "oauth2 = { provider = \"gmail\", client_id = \"...\" }; for passwords: mailsync password set ACCOUNT";
        return Err(UsageError { what, hint: Some(hint.to_owned()) }.into());
    };
    signals::watch(flag, true)?;
    let tell = |text: &str| {
        // Nobody is left to be told where this fails; the wait ends by itself.
        let _ = writeln!(io::stderr().lock(), "{}", crate::ui::plain(text));
    };
    let notes = notes_to_stderr();
    let context = Asking {
        refused: None,
        prompt: false,
        timeout: timeout(),
        decrypted: &Decrypted::default(),
        note: &|text| notes(&args.account, text),
        cancelled: &|| flag.load(Ordering::Relaxed),
    };
    let talk = Talk { tell: &tell, context: &context };
    let client = client(imap, oauth2);
    let done = if args.device { log_in_by_device(&client, &talk) } else { log_in_by_browser(&client, &talk) };
    done.map_err(|error| anyhow::Error::new(into_store("log in", error)).context(args.account.clone()))?;
    let mut out = io::stdout().lock();
    writeln!(out, "logged in: {}", args.account).and_then(|()| out.flush()).context("write to standard output")?;
    Ok(End::InStep.into())
}
