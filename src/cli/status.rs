//! `mailsync status`: how things are with each account, as a running `watch` says it; else what the states know.

use super::args::StatusArgs;
use super::ask::Watch;
use super::clock::{coming, past};
use super::end::{End, Failure, explain};
use super::info::write_json;
use super::setup::select;
use super::trigger::{HOW_TO_BEGIN, nobody};
use crate::config::Config;
use crate::state::{self, Left};
use crate::ui::{clean, plain};
use crate::watch::control::wire::{AccountTold, Hello};
use anyhow::{Context, Error, Result};
use serde::Serialize;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// So many folders that are to be synced are named.
const NAMED: usize = 3;

/// Tells how things are, and by the exit status whether all is in step.
pub fn run(config: &Config, args: &StatusArgs) -> Result<ExitCode> {
    let (found, failed) = find(config, &args.accounts)?;
    let mut text = Vec::new();
    match args.json {
        true => write_json(&found, &mut text)?,
        false => render(&found, SystemTime::now(), &mut text)?,
    }
    let mut out = io::stdout().lock();
    match out.write_all(&text).and_then(|()| out.flush()) {
        // Whoever reads has enough.
        Err(err) if err.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.context("write to standard output")?,
    }
    let end = failed.iter().map(explain).fold(found.end(), End::max);
    Ok(end.into())
}

/// The form of `status --json`. Fields are added in later versions, never renamed or taken away while `version` is 1.
#[derive(Clone, Debug, Serialize)]
struct Found {
    version: u32,
    all_in_step: bool,
    watch: Option<WatchFound>,
    accounts: Vec<Entry>,
}

#[derive(Clone, Debug, Serialize)]
struct WatchFound {
    version: String,
    pid: u32,
    config: String,
    since: u64,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Entry {
    #[serde(flatten)]
    told: AccountTold,
    /// Whether the `watch` keeps it; else all is from the state.
    kept: bool,
    last_run: Option<u64>,
}

/// What is known of the accounts, and what failed meanwhile.
fn find(config: &Config, names: &[String]) -> Result<(Found, Vec<Error>)> {
    let chosen = match select(config, names) {
        // What is kept may be disabled by now.
        Err(_) if names.is_empty() => Vec::new(),
        chosen => chosen?,
    };
    let mut failed = Vec::new();
    let asked = Watch::find(&config.general.state_dir).map_err(Error::from).and_then(|watch| {
        let Some(mut watch) = watch else { return Ok(None) };
        let told = watch.status()?;
        Ok(Some((watch.hello, told)))
    });
    let (hello, mut told) = match asked {
        Ok(Some((hello, told))) => (Some(hello), told),
        Ok(None) => {
            let what = nobody(&config.general.state_dir);
            failed.push(Failure { what, hint: Some(HOW_TO_BEGIN.to_owned()), end: End::Undone }.into());
            (None, Vec::new())
        }
        Err(error) => {
            failed.push(error);
            (None, Vec::new())
        }
    };
    let mut wanted: Vec<String> = chosen.iter().map(|account| account.name.clone()).collect();
    if names.is_empty() {
        let more = told.iter().filter(|told| !wanted.contains(&told.account)).map(|told| told.account.clone());
        wanted.extend(more.collect::<Vec<_>>());
    }
    let mut accounts = Vec::new();
    for name in wanted {
        let kept = told.iter().position(|told| told.account == name).map(|at| told.swap_remove(at));
        let left = state::read_left(&config.state_file(&name)).unwrap_or_else(|error| {
            failed.push(Error::from(error).context(format!("{name}: read the state")));
            Left::default()
        });
        accounts.push(entry(name, kept, &left));
    }
    let all_in_step = accounts.iter().all(|entry| entry.end() == End::InStep);
    let watch = hello.map(WatchFound::from);
    Ok((Found { version: 1, all_in_step, watch, accounts }, failed))
}

impl From<Hello> for WatchFound {
    fn from(hello: Hello) -> WatchFound {
        WatchFound { version: hello.mailsync, pid: hello.pid, config: hello.config.path, since: hello.since }
    }
}

fn entry(account: String, kept: Option<AccountTold>, left: &Left) -> Entry {
    let last_run = left.run.and_then(|run| run.duration_since(UNIX_EPOCH).ok()).map(|since| since.as_secs());
    match kept {
        Some(told) => Entry { told, kept: true, last_run },
        None => {
            let number = |count| usize::try_from(count).unwrap_or(usize::MAX);
            let (held, waiting) = (number(left.held), number(left.waiting));
            Entry { told: AccountTold { account, held, waiting, ..AccountTold::default() }, kept: false, last_run }
        }
    }
}

impl Found {
    fn end(&self) -> End {
        self.accounts.iter().map(Entry::end).max().unwrap_or(End::InStep)
    }
}

impl Entry {
    fn outcome(&self) -> &str {
        self.told.outcome.as_deref().unwrap_or_default()
    }

    fn doing(&self) -> &str {
        self.told.doing.as_deref().unwrap_or_default()
    }

    fn end(&self) -> End {
        let told = &self.told;
        let left = told.held + told.problems + told.waiting + told.pending.len();
        match self.outcome() {
            "auth-failed" => End::Auth,
            "in-step" if self.kept && left == 0 && !matches!(self.doing(), "failed" | "paused") => End::InStep,
            _ => End::Undone,
        }
    }

    /// The account in a line, and what is wrong in one or two more.
    fn render(&self, now: SystemTime, watched: bool, out: &mut dyn Write) -> io::Result<()> {
        let told = &self.told;
        let mut said = if self.kept { vec![self.state(now)] } else { self.without_watch(now, watched) };
        if !told.pending.is_empty() {
            let names: Vec<String> = told.pending.iter().take(NAMED).map(|name| plain(name)).collect();
            let more = told.pending.len() - names.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            said.push(format!("to be synced: {}{more}", names.join(", ")));
        }
        match (self.doing(), &told.connected, told.next) {
            ("listening", Some(how), _) => said.push(format!("listening: {}", plain(how))),
            ("waiting" | "failed" | "paused", _, Some(next)) => said.push(format!("next look {}", coming(next, now))),
            _ => {}
        }
        writeln!(out, "{}: {}", clean(&told.account), said.join("; "))?;
        if let Some(trouble) = &told.trouble {
            writeln!(out, "  {}", plain(trouble))?;
        }
        self.hint().map_or(Ok(()), |hint| writeln!(out, "  hint: {hint}"))
    }

    /// How things are with an account that is kept.
    fn state(&self, now: SystemTime) -> String {
        let told = &self.told;
        let last = told.in_step.map(|then| format!(", last in step {}", past(then, now))).unwrap_or_default();
        let doing = match self.doing() {
            "starting" => "not synced yet",
            "syncing" => "syncing",
            "lent" => "left to another mailsync that works on it",
            "paused" => {
                let why = told.paused.as_deref().map_or(String::new(), |why| format!(" ({})", plain(why)));
                return format!("paused{why}{last}");
            }
            _ => "",
        };
        let left = self.left().join(", ");
        let times = if told.failures > 1 { format!(" {} times in a row", told.failures) } else { String::new() };
        let ended = match self.outcome() {
            _ if !doing.is_empty() => doing.to_owned(),
            "in-step" if left.is_empty() => {
                let since = told.in_step.or(told.synced);
                return since.map_or("in step".to_owned(), |then| format!("in step since {}", past(then, now)));
            }
            "in-step" | "partial" if left.is_empty() => "something was left undone".to_owned(),
            "in-step" | "partial" => format!("left undone: {left}"),
            "auth-failed" => format!("the login failed{times}"),
            "locked" => "another mailsync has it".to_owned(),
            "interrupted" => "the last sync was interrupted".to_owned(),
            _ => format!("could not be synced{times}"),
        };
        format!("{ended}{last}")
    }

    /// What the state of an account knows that nobody keeps.
    fn without_watch(&self, now: SystemTime, watched: bool) -> Vec<String> {
        let run = self.last_run.map_or("never synced".to_owned(), |then| format!("last run {}", past(then, now)));
        let left = self.left();
        let left = if left.is_empty() { "nothing is held or waits".to_owned() } else { left.join(", ") };
        let not_kept = watched.then(|| "not kept by the `mailsync watch` that runs".to_owned());
        not_kept.into_iter().chain([run, left]).collect()
    }

    fn left(&self) -> Vec<String> {
        let kinds = [(self.told.held, "held"), (self.told.problems, "failed")];
        let mut said: Vec<String> =
            kinds.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
        match self.told.waiting {
            0 => {}
            1 => said.push("1 message waits after an error".to_owned()),
            many => said.push(format!("{many} messages wait after errors")),
        }
        said
    }

    /// The one thing to do about it.
    fn hint(&self) -> Option<String> {
        let account = clean(&self.told.account);
        if self.outcome() == "auth-failed" {
            return Some(format!(
                "once the login of `{account}` is corrected: `systemctl --user reload mailsync`, or SIGHUP for `watch`"
            ));
        }
        match (self.told.held, self.told.waiting) {
            (0, 0) => None,
            (0, _) => Some(format!("`mailsync problems {account}` lists them; with --retry they are tried at once")),
            _ => Some(format!(
                "`mailsync sync -n {account}` shows what is held; then --allow-delete does it, or --restore copies back"
            )),
        }
    }
}

/// Writes it for people, as seen at `now`.
fn render(found: &Found, now: SystemTime, out: &mut dyn Write) -> io::Result<()> {
    found.accounts.iter().try_for_each(|entry| entry.render(now, found.watch.is_some(), out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const NOW: u64 = 1_500_000_000;

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(NOW)
    }

    fn entry(change: impl FnOnce(&mut AccountTold)) -> Entry {
        let mut told = AccountTold {
            account: "work".to_owned(),
            doing: Some("listening".to_owned()),
            connected: Some("imap.example.org: IDLE on INBOX".to_owned()),
            in_step: Some(NOW - 120),
            synced: Some(NOW - 120),
            outcome: Some("in-step".to_owned()),
            ..AccountTold::default()
        };
        change(&mut told);
        Entry { told, kept: true, last_run: Some(NOW - 120) }
    }

    fn text(entry: &Entry) -> String {
        let mut out = Vec::new();
        entry.render(now(), true, &mut out).expect("a vector takes all");
        String::from_utf8(out).expect("UTF-8").replace(&past(NOW - 120, now()), "THEN")
    }

    fn word(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn an_account_in_step_takes_one_line() {
        let entry = entry(|_| {});
        assert_eq!(text(&entry), "work: in step since THEN; listening: imap.example.org: IDLE on INBOX\n");
        assert_eq!(entry.end(), End::InStep);
    }

    #[test]
    fn what_is_at_work_says_so_and_stays_in_step() {
        let syncing = entry(|told| told.doing = word("syncing"));
        assert_eq!(text(&syncing), "work: syncing, last in step THEN\n");
        let lent = entry(|told| told.doing = word("lent"));
        assert_eq!(text(&lent), "work: left to another mailsync that works on it, last in step THEN\n");
        assert_eq!((syncing.end(), lent.end()), (End::InStep, End::InStep));
    }

    #[test]
    fn folders_that_wait_for_a_sync_are_named_up_to_three() {
        let entry = entry(|told| told.pending = ["a", "b\u{1b}", "c", "d", "e"].map(str::to_owned).into());
        assert!(
            text(&entry).starts_with("work: in step since THEN; to be synced: a, b\\u{1b}, c and 2 more; listening")
        );
        assert_eq!(entry.end(), End::Undone);
    }

    #[test]
    fn what_was_left_undone_is_told_with_what_to_do() {
        let waiting = entry(|told| {
            (told.outcome, told.problems, told.waiting) = (word("partial"), 1, 3);
            told.trouble = word("INBOX: append: too large");
            told.connected = None;
        });
        assert_eq!(
            text(&waiting),
            "work: left undone: 1 failed, 3 messages wait after errors, last in step THEN\n  \
               INBOX: append: too large\n  \
               hint: `mailsync problems work` lists them; with --retry they are tried at once\n"
        );
        let held = entry(|told| (told.outcome, told.held, told.doing) = (word("partial"), 2, word("waiting")));
        assert!(
            text(&held).starts_with("work: left undone: 2 held, last in step THEN\n  hint: `mailsync sync -n work`")
        );
        assert_eq!((waiting.end(), held.end()), (End::Undone, End::Undone));
    }

    #[test]
    fn what_failed_says_since_when_and_when_it_is_tried_again() {
        let failed = entry(|told| {
            (told.doing, told.outcome, told.failures) = (word("failed"), word("failed"), 3);
            (told.next, told.trouble) = (Some(NOW + 300), word("connect: no route"));
        });
        let next = coming(NOW + 300, now());
        assert_eq!(
            text(&failed),
            format!(
                "work: could not be synced 3 times in a row, last in step THEN; next look {next}\n  connect: no route\n"
            )
        );
        let login =
            entry(|told| (told.doing, told.outcome, told.in_step) = (word("failed"), word("auth-failed"), None));
        assert!(text(&login).starts_with("work: the login failed\n  hint: once the login of `work` is corrected"));
        assert_eq!((failed.end(), login.end()), (End::Undone, End::Auth));
    }

    #[test]
    fn what_is_not_known_is_not_in_step() {
        let starting = entry(|told| {
            *told = AccountTold { account: "work".to_owned(), doing: word("starting"), ..AccountTold::default() };
        });
        assert_eq!((text(&starting).as_str(), starting.end()), ("work: not synced yet\n", End::Undone));
        let paused = entry(|told| (told.doing, told.paused) = (word("paused"), word("metered network")));
        assert_eq!(text(&paused), "work: paused (metered network), last in step THEN\n");
        assert_eq!(paused.end(), End::Undone);
        let left = Left { run: Some(now() - Duration::from_secs(120)), held: 0, waiting: 1 };
        let unkept = super::entry("home".to_owned(), None, &left);
        assert_eq!(
            text(&unkept),
            "home: not kept by the `mailsync watch` that runs; last run THEN; 1 message waits after an error\n  \
               hint: `mailsync problems home` lists them; with --retry they are tried at once\n"
        );
        assert_eq!(unkept.end(), End::Undone);
    }
}
