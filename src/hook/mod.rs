//! Programs of the user's that are run before and after the sync of an account.
//!
//! [`Hooks`] hears a run's events ([`Hooks::observer`]), and is told when an account's sync begins ([`Hooks::before`]) and
//! has ended ([`Hooks::after`]). What a hook does changes nothing about the sync: a failure is an event, and no more.
//! Never do two hooks of one process run at the same time. mailsync-hooks(7) says what they are given.

mod header;
mod heard;
mod payload;
mod process;

use crate::config::{self, Command, Config, Located};
use crate::sync::event::{Event, Observer, Outcome};
use heard::Heard;
use payload::Payload;
use process::{Ended, Ran};
use std::collections::HashMap;
use std::env;
use std::path::PathBuf;
use std::process::Command as Process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Held while a hook runs, whichever [`Hooks`] it belongs to.
static RUNNING: Mutex<()> = Mutex::new(());

/// Whether this process was started by a hook.
pub fn is_inside() -> bool {
    env::var_os("MAILSYNC_HOOK").is_some()
}

/// Why an account is synced: what OfflineIMAP calls the mode of a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Somebody wants it to be in step, or it is time.
    Full,
    /// Only what was quick to see.
    Quick,
    /// Something was seen to change.
    Idle,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Mode::Full => "full",
            Mode::Quick => "quick",
            Mode::Idle => "idle",
        }
    }
}

/// The hooks of a config.
pub struct Hooks {
    /// Those that have any.
    accounts: HashMap<String, Account>,
    /// Variables of our environment that hold a password.
    hidden: Vec<String>,
    heard: Mutex<HashMap<String, Heard>>,
}

struct Account {
    hooks: config::Hooks,
    /// Where its messages are files.
    maildir: Option<PathBuf>,
}

impl Hooks {
    pub fn new(config: &Config) -> Hooks {
        // A hook may sync, and is not run for that again, and again.
        let own = !is_inside();
        let with_hooks = config.accounts.iter().filter(|account| own && !account.hooks.is_empty());
        let accounts = with_hooks.map(|account| {
            let maildir = match &account.local {
                config::Local::Maildir(maildir) => Some(maildir.path.value.clone()),
                config::Local::Imap(_) => None,
            };
            (account.name.clone(), Account { hooks: account.hooks.clone(), maildir })
        });
        let passwords = config.accounts.iter().flat_map(config::Account::servers).map(|server| &server.password);
        let hidden = passwords.filter_map(|password| match password {
            config::Password::Env(name) => Some(name.clone()),
            _ => None,
        });
        Hooks { accounts: accounts.collect(), hidden: hidden.collect(), heard: Mutex::default() }
    }

    /// Whether the engine is to tell of each message: `Options::each_message`.
    pub fn want_messages(&self) -> bool {
        let after = |hooks: &config::Hooks| [&hooks.post_sync, &hooks.new_mail, &hooks.error].map(Option::is_some);
        self.accounts.values().any(|account| after(&account.hooks).contains(&true))
    }

    /// An observer that hears what hooks are told later, and passes on what others want to hear.
    pub fn observer(self: &Arc<Self>, next: Arc<Observer>) -> Arc<Observer> {
        if self.accounts.is_empty() {
            return next;
        }
        let hooks = self.clone();
        Arc::new(move |event: Event| {
            hooks.hear(&event);
            // Of each message nobody else wants to know, and there may be a million.
            if !matches!(event, Event::Messages { .. }) {
                next(event);
            }
        })
    }

    /// Runs what is to be run before an account is synced. What it says and how it fails goes to `observer`; it ends
    /// when `stopped` says so.
    pub fn before(&self, account: &str, mode: Mode, observer: &Observer, stopped: &dyn Fn() -> bool) {
        let Some(of) = self.accounts.get(account) else { return };
        let run = Run { hooks: self, account, of, mode, observer, stopped };
        run.hook("pre_sync", of.hooks.pre_sync.as_ref(), &Payload::before(account, of.maildir.as_deref()));
    }

    /// Runs what is to be run after an account was synced, with what was heard of it since it began.
    pub fn after(&self, account: &str, outcome: Outcome, mode: Mode, observer: &Observer, stopped: &dyn Fn() -> bool) {
        let heard = self.all_heard().remove(account).unwrap_or_default();
        let Some(of) = self.accounts.get(account) else { return };
        if outcome == Outcome::Interrupted || stopped() {
            return;
        }
        let synced = matches!(outcome, Outcome::InStep | Outcome::Partial);
        // An index must not miss what was done before the line broke.
        let post_sync = of.hooks.post_sync.as_ref().filter(|_| synced || heard.changed());
        let new_mail = of.hooks.new_mail.as_ref().filter(|_| heard.new > 0);
        // Another run is at work: nothing is wrong.
        let error = of.hooks.error.as_ref().filter(|_| !matches!(outcome, Outcome::InStep | Outcome::Locked));
        let run = Run { hooks: self, account, of, mode, observer, stopped };
        if post_sync.is_none() && new_mail.is_none() && error.is_none() {
            return;
        }
        let payload = Payload::after(account, of.maildir.as_deref(), outcome, &heard, of.hooks.subjects);
        // The index first, so that what tells of new mail finds it there.
        run.hook("post_sync", post_sync, &payload);
        run.hook("new_mail", new_mail, &payload);
        run.hook("error", error, &payload);
    }

    fn hear(&self, event: &Event) {
        if let Some(account) = heard::account(event).filter(|account| self.accounts.contains_key(*account)) {
            let mut all = self.all_heard();
            let heard = match event {
                Event::AccountStarted { .. } => all.entry(account.to_owned()).insert_entry(Heard::default()).into_mut(),
                _ => all.entry(account.to_owned()).or_default(),
            };
            heard.hear(event);
        }
    }

    fn all_heard(&self) -> MutexGuard<'_, HashMap<String, Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the hooks of an account have in common.
struct Run<'a> {
    hooks: &'a Hooks,
    account: &'a str,
    of: &'a Account,
    mode: Mode,
    observer: &'a Observer,
    stopped: &'a dyn Fn() -> bool,
}

impl Run<'_> {
    fn hook(&self, hook: &'static str, command: Option<&Located<Command>>, payload: &Payload<'_>) {
        let Some(command) = command else { return };
        let _turn = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if (self.stopped)() {
            return;
        }
        let input = payload.json(hook, self.mode.name());
        let process = self.process(hook, &command.value, payload);
        let timeout = Some(self.of.hooks.timeout).filter(|timeout| !timeout.is_zero());
        let mut said = |line: String| self.note(format!("{hook}: {line}"));
        let ran = process::run(process, &input, timeout, self.stopped, &mut said);
        if ran.unsaid > 0 {
            self.note(format!("{hook}: {} more lines", ran.unsaid));
        }
        self.report(hook, command, &ran);
    }

    fn note(&self, text: String) {
        (self.observer)(Event::Note { account: self.account.to_owned(), folder: None, text });
    }

    fn process(&self, hook: &str, command: &Command, payload: &Payload<'_>) -> Process {
        let mut process = match command {
            Command::Program(words) => {
                let mut process = Process::new(words.first().map(String::as_str).unwrap_or_default());
                process.args(words.iter().skip(1));
                process
            }
            Command::Shell(line) => {
                let mut process = Process::new("/bin/sh");
                process.args(["-c", line, "sh"]);
                process
            }
        };
        payload.surround(&mut process, hook, self.mode.name());
        for name in &self.hooks.hidden {
            process.env_remove(name);
        }
        process
    }

    fn report(&self, hook: &'static str, command: &Located<Command>, ran: &Ran) {
        let program = match &command.value {
            Command::Program(words) => words.first().map(String::as_str).unwrap_or_default(),
            Command::Shell(_) => "/bin/sh",
        };
        let last = ran.last.as_deref().map(|line| format!(": {line}")).unwrap_or_default();
        let cause = match &ran.ended {
            Ended::Done(status) if status.success() => return,
            // The user wants to stop, and knows.
            Ended::Stopped => return,
            Ended::Done(status) => format!("it failed ({status}){last}"),
            Ended::NotStarted(err) => format!("run {program}: {err}"),
            Ended::TimedOut(timeout) => format!("it took longer than {} s and was stopped{last}", timeout.as_secs()),
            Ended::Lost(err) => format!("wait for it: {err}"),
        };
        let hint = match &ran.ended {
            Ended::NotStarted(_) => format!("{} names it", command.at),
            Ended::TimedOut(_) => "`timeout` of the hooks says how long one may take".to_owned(),
            _ => format!("it is that of {}; the sync is none the worse for it", command.at),
        };
        (self.observer)(Event::Hook { account: self.account.to_owned(), hook, cause, hint: Some(hint) });
    }
}
