//! The composition root: turns what the config says into accounts of the engine. From here on nothing knows the
//! config file or the kind of a store.

use super::args::Topic;
use super::end::UsageError;
use super::log::Log;
use super::lookup::{Lookup, Sourced, Typed};
use super::signals::Asking;
use super::stores;
use crate::config::{self, Config, ConfigError, Located, Problem, nearest};
use crate::fault::{self, patience};
use crate::mail::{FolderName, Side, Sides};
use crate::net::Stop;
use crate::secret::{Decrypted, SecretError, has_terminal};
use crate::store::maildir::Bin;
use crate::store::{Opener, most_files};
use crate::sync::rules::{Filter, Pattern, Rename, Rules};
use crate::sync::{AT_ONCE, Account, Disposal, Limits, Policy};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Takes what is odd about an account but does not hinder: its name, and what.
pub type Notes = Arc<dyn Fn(&str, String) + Send + Sync>;

/// Notes as lines on standard error.
pub fn notes_to_stderr() -> Notes {
    Arc::new(|account, text| {
        use std::io::Write;
        // Nobody is left to be told where this fails.
        let _ = writeln!(std::io::stderr().lock(), "mailsync: {account}: {}", crate::ui::plain(&text));
    })
}

/// A server has dealt with what was on its way to it when a connection broke, after so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// So many files are open for an account whatever is done: its state, its locks, its connections, what it listens to.
const FILES: usize = 16;

/// Makes accounts, and keeps every login that was found for as long as it lives.
pub struct Setup<'a> {
    pub config: &'a Config,
    pub log: Arc<Log>,
    stop: Stop,
    logins: Mutex<Vec<Arc<Lookup>>>,
    decrypted: Mutex<Arc<Decrypted>>,
    /// Whether somebody may be asked for passwords.
    prompt: AtomicBool,
    /// What was typed for an earlier config.
    typed: Vec<Typed>,
    /// How many accounts may be synced at the same time.
    at_once: usize,
    /// How many files may be open for each of them, once that is known.
    files: OnceLock<usize>,
}

impl<'a> Setup<'a> {
    pub fn new(config: &'a Config, log: Arc<Log>, stop: Stop) -> Setup<'a> {
        Setup {
            config,
            log,
            stop,
            logins: Mutex::new(Vec::new()),
            decrypted: Mutex::default(),
            prompt: AtomicBool::new(true),
            typed: Vec::new(),
            at_once: config.general.max_sync_accounts,
            files: OnceLock::new(),
        }
    }

    /// The same, with all accounts synced at the same time.
    pub fn all_at_once(mut self) -> Setup<'a> {
        self.at_once = usize::MAX;
        self
    }

    /// The accounts called `names`, disabled ones too; all that are enabled where there are no names.
    pub fn select(&self, names: &[String]) -> Result<Vec<&'a config::Account>, UsageError> {
        select(self.config, names)
    }

    /// Makes the engine's accounts. All patterns of the config are judged, those of other accounts too.
    pub fn accounts(&self, names: &[String], notes: &Notes) -> anyhow::Result<Vec<Account>> {
        let chosen = self.select(names)?;
        let mut problems = Vec::new();
        let mut accounts = Vec::new();
        for account in &self.config.accounts {
            let rules = rules(&account.folders, &mut problems);
            stores::check(account, &mut problems);
            for name in account.watch.idle.iter().flatten() {
                if FolderName::parse(&name.value).is_none() {
                    problems.push(Problem::new(name.at.clone(), format!("not a folder name: {:?}", name.value)));
                }
            }
            if let config::Trash::Folder(name) = &account.trash
                && FolderName::parse(&name.value).is_none()
            {
                problems.push(Problem::new(name.at.clone(), format!("not a folder name: {:?}", name.value)));
            }
            if chosen.iter().any(|one| one.name == account.name) {
                accounts.push((account, rules));
            }
        }
        if !problems.is_empty() {
            return Err(ConfigError::from(problems).into());
        }
        let files = *self.files.get_or_init(|| {
            let share = most_files() / self.at_once.min(accounts.len()).max(1);
            share.saturating_sub(FILES).max(1)
        });
        // The order of the command line.
        accounts.sort_by_key(|(account, _)| chosen.iter().position(|one| one.name == account.name));
        Ok(accounts.into_iter().map(|(account, rules)| self.account(account, rules, files, notes)).collect())
    }

    fn account(&self, account: &config::Account, rules: Rules, files: usize, notes: &Notes) -> Account {
        let state = self.config.state_file(&account.name);
        self.log.line(Topic::State, &account.name, &format!("state in {}", state.display()));
        let policy = policy(account.mode);
        let changes = |side| policy.changes(side) || rules.policies.iter().any(|(_, policy)| policy.changes(side));
        let remote = self.imap(account, &account.remote, !changes(Side::Remote), notes);
        let local = match &account.local {
            config::Local::Maildir(maildir) => {
                let bin = bin(self.config, account);
                stores::maildir(&account.name, maildir, bin, &self.log)
            }
            config::Local::Imap(imap) => self.imap(account, imap, !changes(Side::Local), notes),
        };
        Account {
            name: account.name.clone(),
            stores: Sides { local, remote },
            rules,
            policy,
            delete_folders: account.folders.delete == config::FolderDeletion::Propagate,
            disposal: disposal(account),
            limits: Limits { whole_folder: account.guard.max_delete_folder, messages: account.guard.max_delete },
            connections: account.servers().map(|server| server.connections).min().unwrap_or(1),
            at_once: fault::number("MAILSYNC_AT_ONCE", AT_ONCE),
            files,
            state,
            patience: patience(PATIENCE),
            state_log: self.log.sink(Topic::State, &account.name),
        }
    }

    fn imap(&self, account: &config::Account, imap: &config::Imap, read_only: bool, notes: &Notes) -> Box<dyn Opener> {
        let prompt = self.prompt.load(Ordering::SeqCst);
        let decrypted = self.decrypted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let stop = self.stop.clone();
        let lookup = Arc::new(Lookup::new(&account.name, imap, decrypted, prompt, stop, notes.clone()));
        lookup.take_typed(&self.typed);
        self.logins.lock().unwrap_or_else(PoisonError::into_inner).push(lookup.clone());
        let opener = stores::imap(&account.name, imap, read_only, lookup.clone(), &self.stop, &self.log);
        Box::new(Sourced::new(opener, lookup))
    }

    /// Makes an account anew, so that its passwords are looked for again; `None` where somebody typed one of them, who can't
    /// be asked again.
    pub fn renewed(&self, name: &str, notes: &Notes) -> Option<Account> {
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        if logins.iter().any(|lookup| lookup.account() == name && lookup.typed().is_some()) {
            return None;
        }
        logins.retain(|lookup| lookup.account() != name);
        drop(logins);
        *self.decrypted.lock().unwrap_or_else(PoisonError::into_inner) = Arc::default();
        // It was made of the same config before.
        self.accounts(&[name.to_owned()], notes).ok()?.pop()
    }

    /// What was typed so far.
    pub fn typed(&self) -> Vec<Typed> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(|lookup| lookup.typed()).collect()
    }

    /// The same, with what was typed for an earlier config; nobody is asked again.
    pub fn after(mut self, typed: Vec<Typed>) -> Setup<'a> {
        self.typed = typed;
        self.ask_no_more();
        self
    }

    /// Asks nobody for a password any more.
    pub fn ask_no_more(&self) {
        self.prompt.store(false, Ordering::SeqCst);
    }

    /// Looks now for the passwords that may need a question, while nothing else writes to the terminal. Where there is none,
    /// each account looks for itself: what hangs there costs no other one its time.
    pub fn ask_beforehand(&self) {
        if !has_terminal() {
            return;
        }
        let logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        let _asking = Asking::begin();
        for lookup in logins.iter().filter(|lookup| lookup.may_ask()) {
            // A failure is kept, and told by the account that it hinders; Ctrl-C ends all of it.
            if matches!(lookup.found(), Err(SecretError::Cancelled)) {
                self.stop.set();
                return;
            }
        }
    }
}

/// The accounts called `names`, disabled ones too; all that are enabled where there are no names.
pub fn select<'a>(config: &'a Config, names: &[String]) -> Result<Vec<&'a config::Account>, UsageError> {
    let mut chosen: Vec<&config::Account> = Vec::new();
    for name in names {
        let Some(account) = config.account(name) else {
            let all = config.accounts.iter().map(|account| account.name.as_str());
            let hint = match nearest(name, all.clone()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are: {}", all.collect::<Vec<_>>().join(", ")),
            };
            return Err(UsageError { what: format!("no such account: `{name}`"), hint: Some(hint) });
        };
        if !chosen.iter().any(|other| other.name == account.name) {
            chosen.push(account);
        }
    }
    if names.is_empty() {
        chosen.extend(config.accounts.iter().filter(|account| account.enabled));
    }
    if chosen.is_empty() {
        let hint = Some("name one on the command line, or remove `enabled = false`".to_owned());
        return Err(UsageError { what: "no account is enabled".to_owned(), hint });
    }
    Ok(chosen)
}

/// The engine's rules; what is wrong with one is a problem at its place.
fn rules(folders: &config::Folders, problems: &mut Vec<Problem>) -> Rules {
    let mut complain = |at: &config::At, what: String| problems.push(Problem::new(at.clone(), what));
    let mut rules = Rules { subscribed_only: folders.subscribed_only, ..Rules::default() };
    for filter in &folders.filters {
        match Filter::parse(filter.include, &filter.pattern.value) {
            Ok(parsed) => rules.filters.push(parsed),
            Err(what) => complain(&filter.pattern.at, what),
        }
    }
    for rename in &folders.renames {
        match parse_rename(rename) {
            Ok(parsed) => rules.renames.push(parsed),
            Err((at, what)) => complain(at, what),
        }
    }
    for (folder, given) in &folders.modes {
        match Pattern::parse(&folder.value) {
            Ok(pattern) => rules.policies.push((pattern, policy(*given))),
            Err(what) => complain(&folder.at, what),
        }
    }
    for (role, name) in &folders.roles {
        match FolderName::parse(&name.value) {
            Some(_) => rules.roles.push((*role, name.value.clone())),
            None => complain(&name.at, format!("not a folder name: {:?}", name.value)),
        }
    }
    rules
}

/// The folders that are listened to, by their names on the server.
pub fn listened_to(watch: &config::Watch) -> Vec<FolderName> {
    match &watch.idle {
        None => vec![FolderName::inbox()],
        // All of them are names: `Setup::accounts` has seen them.
        Some(names) => names.iter().filter_map(|name| FolderName::parse(&name.value)).collect(),
    }
}

/// The bin of an account, if it keeps what is deleted here.
pub fn bin(config: &Config, account: &config::Account) -> Option<Bin> {
    let keeps = !account.retain_deleted.is_zero() && matches!(account.local, config::Local::Maildir(_));
    keeps.then(|| Bin::new(config.bin(&account.name)))
}

/// What becomes on each side of what was deleted on the other one: a Maildir has its bin.
fn disposal(account: &config::Account) -> Sides<Disposal> {
    let remote = match &account.trash {
        config::Trash::Auto => Disposal::Auto,
        config::Trash::None => Disposal::Remove,
        config::Trash::Role => Disposal::Trash,
        // It is a name: `accounts` has seen it.
        config::Trash::Folder(name) => FolderName::parse(&name.value).map_or(Disposal::Auto, Disposal::Folder),
    };
    match account.local {
        config::Local::Maildir(_) => Sides::new(Disposal::Remove, remote),
        config::Local::Imap(_) => Sides::new(remote.clone(), remote),
    }
}

/// What a mode lets be done.
fn policy(mode: config::Mode) -> Policy {
    match mode {
        config::Mode::TwoWay => Policy::default(),
        config::Mode::PullMirror => Policy::only(Side::Local),
        config::Mode::PullArchive => Policy { delete: Sides::new(false, false), ..Policy::only(Side::Local) },
        config::Mode::Push => Policy::only(Side::Remote),
    }
}

fn parse_rename(rename: &Located<config::Rename>) -> Result<Rename, (&config::At, String)> {
    let fit = |name: &str| match FolderName::parse(name) {
        Some(_) => Ok(name.to_owned()),
        None => Err((&rename.at, format!("not a folder name: {name:?}"))),
    };
    Ok(match &rename.value {
        config::Rename::Lower => Rename::Lower,
        config::Rename::Replace { from, to } => Rename::Replace { from: from.clone(), to: to.clone() },
        config::Rename::Prefix { from, to } => Rename::Prefix { from: fit(from)?, to: fit(to)? },
        config::Rename::Folder { folder, to } => {
            let pattern = Pattern::parse(&folder.value).map_err(|what| (&folder.at, what))?;
            Rename::Folder { folder: pattern, to: fit(to)? }
        }
        config::Rename::Regex { re, to, back_re, back_to } => {
            // Each alone first, so that the error stands at the right one.
            for one in [re, back_re] {
                Rename::regex(&one.value, "", "", "").map_err(|what| (&one.at, what))?;
            }
            Rename::regex(&re.value, to, &back_re.value, back_to).map_err(|what| (&rename.at, what))?
        }
    })
}
