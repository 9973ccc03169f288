//! `mailsync sync`.

use super::args::SyncArgs;
use super::around::Around;
use super::ask::{self, Watch};
use super::end::{End, UsageError, explain};
use super::setup::{Notes, Setup};
use super::signals;
use crate::config::UiChoice;
use crate::hook::{self, Mode};
use crate::sync::event::Event;
use crate::sync::rules::Pattern;
use crate::sync::{self, Options};
use crate::ui::{Ui, UiKind};
use crate::watch::control::wire::ConfigFile;
use std::collections::HashSet;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Has the accounts synced: by the `watch` that keeps them with the same config, if one does, else by this process. With
/// `own` always by this one.
pub fn run(setup: &Setup<'_>, args: &SyncArgs, own: bool, flag: &Arc<AtomicBool>) -> anyhow::Result<ExitCode> {
    let chosen = setup.select(&args.accounts)?;
    for folder in &args.folders {
        only(folder)?;
    }
    // A keeper waits for its hooks, and must not be waited for by them.
    if hook::is_inside() {
        return by_itself(setup, args, false, false, flag);
    }
    match Watch::find(&setup.config.general.state_dir) {
        Ok(None) => by_itself(setup, args, false, false, flag),
        Ok(Some(watch)) => {
            let shared = !own && !args.dry_run && watch.has_config(&ConfigFile::of(&setup.config.file));
            if shared && chosen.iter().all(|account| watch.keeps(&account.name)) {
                let (_, quiet) = face(setup.config.general.ui, args);
                return watch.sync(ask::wanted(args, &chosen, quiet), flag);
            }
            // Questions for passwords may take longer than it waits.
            drop(watch);
            by_itself(setup, args, false, true, flag)
        }
        Err(unanswered) => {
            ask::go_on_without(&unanswered);
            by_itself(setup, args, false, false, flag)
        }
    }
}

/// Syncs the accounts with all that stands around it, shows it, and tells how it ended.
/// With `only_waiting`, only folders in which something waits after an error. With `borrowing`, a `watch` that keeps some
/// of them is asked to leave these alone.
pub fn by_itself(
    setup: &Setup<'_>,
    args: &SyncArgs,
    only_waiting: bool,
    borrowing: bool,
    flag: &Arc<AtomicBool>,
) -> anyhow::Result<ExitCode> {
    let around = Around::new(setup.config);
    let options = Options {
        dry_run: args.dry_run,
        allow_delete: args.allow_delete,
        restore: args.restore,
        retry: args.retry,
        only_waiting,
        thorough: args.full,
        only: args.folders.iter().map(|folder| only(folder)).collect::<Result<_, _>>()?,
        each_message: !args.dry_run && around.wants_messages(),
        accounts_at_once: setup.config.general.max_sync_accounts,
    };
    // The face is started after the questions for passwords; what is noted before that waits.
    let observer: Arc<OnceLock<Arc<sync::Observer>>> = Arc::default();
    let (kind, quiet) = face(setup.config.general.ui, args);
    let accounts = setup.accounts(&args.accounts, &notes(&observer, quiet))?;
    setup.ask_beforehand();
    signals::watch(flag, quiet)?;
    let names = accounts.iter().map(|account| account.name.as_str());
    let _borrowed = borrowing.then(|| ask::borrow(setup.config, names, flag)).transpose()?;
    let ui = Ui::new(kind, quiet);
    let seen = around.observer(setup.log.observer(ui.observer()));
    let observer = observer.get_or_init(|| seen).clone();
    let stop = crate::net::Stop::from_flag(flag.clone());
    let failed = Mutex::new(Vec::new());
    let report = sync::run_each(&accounts, options.accounts_at_once, &stop, &|account| {
        if options.dry_run {
            return sync::sync_account(account, &options, &*observer, &stop);
        }
        around.before(&account.name, Mode::Full, &*observer, &stop);
        let (outcome, counts) = sync::sync_account(account, &options, &*observer, &stop);
        let more = around.after(&account.name, outcome, Mode::Full, &*observer, &stop);
        failed.lock().unwrap_or_else(PoisonError::into_inner).extend(more);
        (outcome, counts)
    });
    ui.finish(&report);
    let mut failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    // Each account has the same file written for mutt.
    let mut told = HashSet::new();
    failed.retain(|error| told.insert(format!("{error:#}")));
    let end = failed.iter().map(explain).fold(End::from(&report), End::max);
    // A hook may have been cut short after all was in step.
    Ok(if stop.is_set() { end.max(End::Interrupted) } else { end }.into())
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
