//! `mailsync sync`.

use super::args::SyncArgs;
use super::end::{End, UsageError, explain};
use super::setup::{Notes, Setup, bin};
use super::{mutt, signals};
use crate::config::UiChoice;
use crate::sync::event::Event;
use crate::sync::rules::Pattern;
use crate::sync::{self, Options, Outcome, Report};
use crate::ui::{Ui, UiKind};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

/// Syncs the accounts, shows it, refreshes mutt's file and tells how it ended.
/// With `only_waiting`, only folders in which something waits after an error.
pub fn run(setup: &Setup<'_>, args: &SyncArgs, only_waiting: bool, flag: &Arc<AtomicBool>) -> anyhow::Result<ExitCode> {
    let options = Options {
        dry_run: args.dry_run,
        allow_delete: args.allow_delete,
        restore: args.restore,
        retry: args.retry,
        only_waiting,
        only: args.folders.iter().map(|folder| only(folder)).collect::<Result<_, _>>()?,
        accounts_at_once: setup.config.general.max_sync_accounts,
    };
    // The face is started after the questions for passwords; what is noted before that waits.
    let observer: Arc<OnceLock<Arc<sync::Observer>>> = Arc::default();
    let (kind, quiet) = face(setup.config.general.ui, args);
    let accounts = setup.accounts(&args.accounts, &notes(&observer, quiet))?;
    setup.ask_beforehand();
    signals::watch(flag, quiet)?;
    let ui = Ui::new(kind, quiet);
    let seen = setup.log.observer(ui.observer());
    let observer = observer.get_or_init(|| seen).clone();
    let stop = crate::net::Stop::from_flag(flag.clone());
    let report = sync::run(accounts, &options, &*observer, &stop);
    ui.finish(&report);
    let refreshed = if options.dry_run { None } else { refresh_mutt(setup, &report) };
    let swept = if options.dry_run { None } else { sweep_bins(setup, &report) };
    Ok(refreshed.into_iter().chain(swept).fold(End::from(&report), End::max).into())
}

/// A folder that the user named.
pub fn only(folder: &str) -> Result<Pattern, UsageError> {
    Pattern::parse(folder).map_err(|what| UsageError { what: format!("-f {folder}: {what}"), hint: None })
}

/// Notes become events, as soon as there is somebody to show them.
fn notes(observer: &Arc<OnceLock<Arc<sync::Observer>>>, quiet: bool) -> Notes {
    let (observer, early) = (observer.clone(), super::setup::notes_to_stderr());
    Arc::new(move |account, text| match observer.get() {
        Some(observer) => observer(Event::Note { account: account.to_owned(), folder: None, text }),
        None if quiet => {}
        None => early(account, text),
    })
}

fn face(configured: UiChoice, args: &SyncArgs) -> (UiKind, bool) {
    let kind = args.ui.unwrap_or(match configured {
        UiChoice::Auto => UiKind::Auto,
        UiChoice::Basic => UiKind::Basic,
        UiChoice::Quiet => UiKind::Quiet,
    });
    (kind, args.quiet || kind == UiKind::Quiet)
}

/// Deletes what the bins have kept for long enough; how that ended, if it failed.
fn sweep_bins(setup: &Setup<'_>, report: &Report) -> Option<End> {
    let mut end = None;
    for (name, outcome, _) in &report.accounts {
        let account = setup.config.account(name).filter(|_| matches!(outcome, Outcome::InStep | Outcome::Partial));
        let Some((account, bin)) = account.and_then(|account| Some((account, bin(setup.config, account)?))) else {
            continue;
        };
        if let Err(error) = bin.sweep(account.retain_deleted) {
            end = end.max(Some(explain(&anyhow::Error::from(error).context(name.clone()))));
        }
    }
    end
}

/// Writes the `file` of `[mutt]` anew; how that ended, if it was tried and failed. A file that is there stays as it
/// is where no account succeeded.
fn refresh_mutt(setup: &Setup<'_>, report: &Report) -> Option<End> {
    let succeeded = |outcome: &Outcome| matches!(outcome, Outcome::InStep | Outcome::Partial);
    if !report.accounts.iter().any(|(_, outcome, _)| succeeded(outcome)) {
        return None;
    }
    match mutt::refresh(setup.config) {
        Ok(_) => None,
        Err(err) => Some(explain(&err.context("[mutt] file"))),
    }
}
