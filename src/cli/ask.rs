//! Asks a running `watch`: for a sync, how things are, or to leave accounts alone for a while.

use super::args::SyncArgs;
use super::end::{End, Failure};
use super::signals;
use crate::config::{Account, Config};
use crate::hook;
use crate::watch::control::connect;
use crate::watch::control::wire::{AccountTold, Broken, Channel, ConfigFile, Hello, MAX_REPLY, Reply, Request, Wanted};
use anyhow::Error;
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long it may take until a `watch` says who it is.
const GREETING: Duration = Duration::from_secs(10);

/// How long one that has no time is left alone.
const PAUSE: Duration = Duration::from_millis(200);

/// How long it may say nothing: while it works, it says so every few seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is done in good time needs no word.
const UNNOTICED: Duration = Duration::from_secs(2);

/// A `watch` runs, as it seems, and does not answer.
#[derive(Debug)]
pub struct Unanswered(String);

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`mailsync watch` does not answer: {}", self.0)
    }
}

impl From<Unanswered> for Error {
    fn from(unanswered: Unanswered) -> Error {
        let hint = "is it stopped, or does it hang? it can be ended and started again at any time";
        Failure { what: unanswered.to_string(), hint: Some(hint.to_owned()), end: End::Undone }.into()
    }
}

/// A line to the `watch` that runs.
pub struct Watch {
    channel: Channel,
    pub hello: Hello,
}

impl Watch {
    /// The one that keeps accounts with this state directory; `None` where there is none. That costs one call.
    pub fn find(state_dir: &Path) -> Result<Option<Watch>, Unanswered> {
        let deadline = Instant::now() + GREETING;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(stream) = connect(state_dir, left).map_err(|err| Unanswered(err.to_string()))? else {
                return Ok(None);
            };
            let mut channel = Channel::new(stream, MAX_REPLY).map_err(|err| Unanswered(err.to_string()))?;
            let busy = match channel.receive::<Hello>(Some(deadline), None) {
                Ok(Hello { error: Some(why), .. }) => why,
                Ok(hello) => return Ok(Some(Watch { channel, hello })),
                // It ends just now, or can't serve one more: what is there the next time says which.
                Err(Broken::Gone) => "it hung up".to_owned(),
                Err(broken) => return Err(Unanswered(told(&broken))),
            };
            if Instant::now() + PAUSE > deadline {
                return Err(Unanswered(busy));
            }
            thread::sleep(PAUSE);
        }
    }

    pub fn keeps(&self, account: &str) -> bool {
        self.hello.accounts.iter().any(|kept| kept == account)
    }

    /// Whether it has the same config as this process.
    pub fn has_config(&self, file: &ConfigFile) -> bool {
        self.hello.config == *file
    }

    /// How things are with the accounts that it keeps.
    pub fn status(&mut self) -> Result<Vec<AccountTold>, Error> {
        self.send(&Request::Status {})?;
        self.reply()?.accounts.ok_or_else(|| self.failed(&Broken::Garbled("it says nothing of accounts".to_owned())))
    }

    /// Has it sync, and waits for nothing.
    pub fn trigger(&mut self, accounts: Vec<String>, folders: Vec<String>) -> Result<(), Error> {
        self.send(&Request::Trigger { accounts, folders })?;
        self.reply().map(drop)
    }

    /// Has it sync, and passes on what it says of that. A signal ends the listening, and not the sync.
    pub fn sync(mut self, wanted: Wanted, flag: &Arc<AtomicBool>) -> Result<ExitCode, Error> {
        let quiet = wanted.quiet;
        signals::note(flag)?;
        self.send(&Request::Sync(wanted))?;
        let stopped = || flag.load(Ordering::Relaxed);
        loop {
            let reply: Reply = match self.channel.receive(Some(Instant::now() + PATIENCE), Some(&stopped)) {
                Err(Broken::Stopped) if quiet => return Ok(End::Interrupted.into()),
                Err(Broken::Stopped) => {
                    note(&format!("the sync goes on without you, in `mailsync watch` (process {})", self.hello.pid));
                    return Ok(End::Interrupted.into());
                }
                reply => reply.map_err(|broken| self.failed(&broken))?,
            };
            // A reader that is gone wants no more, and the sync is not its own.
            if let Some(text) = &reply.out {
                let mut out = std::io::stdout().lock();
                let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            }
            if let Some(text) = &reply.err {
                let _ = std::io::stderr().lock().write_all(text.as_bytes());
            }
            if reply.error.is_some() {
                return Err(refused(reply));
            }
            if let Some(code) = reply.exit {
                return Ok(ExitCode::from(code));
            }
        }
    }

    /// Has it leave the accounts alone for as long as this line is open.
    fn borrow(&mut self, accounts: Vec<String>, flag: &AtomicBool) -> Result<(), Error> {
        self.send(&Request::Borrow { accounts })?;
        let (begun, mut noted) = (Instant::now(), false);
        let stopped = || flag.load(Ordering::Relaxed);
        let mut deadline = begun + UNNOTICED;
        loop {
            match self.channel.receive::<Reply>(Some(deadline), Some(&stopped)) {
                Ok(reply) if reply.error.is_some() => return Err(refused(reply)),
                Ok(Reply { ok: Some(true), .. }) => return Ok(()),
                Ok(_) => {}
                Err(Broken::Silent) if !noted => {
                    noted = true;
                    note("waiting for `mailsync watch` to end what it does with it");
                }
                Err(Broken::Stopped) => {
                    return Err(Failure { what: "interrupted".to_owned(), hint: None, end: End::Interrupted }.into());
                }
                Err(broken) => return Err(self.failed(&broken)),
            }
            deadline = Instant::now() + PATIENCE;
        }
    }

    fn send(&mut self, request: &Request) -> Result<(), Error> {
        self.channel.send(request, Instant::now() + GREETING).map_err(|broken| self.failed(&broken))
    }

    fn reply(&mut self) -> Result<Reply, Error> {
        let reply: Reply =
            self.channel.receive(Some(Instant::now() + GREETING), None).map_err(|broken| self.failed(&broken))?;
        if reply.error.is_some() { Err(refused(reply)) } else { Ok(reply) }
    }

    fn failed(&self, broken: &Broken) -> Error {
        let what = format!("`mailsync watch` (process {}): {}", self.hello.pid, told(broken));
        let hint = matches!(broken, Broken::Gone).then(|| "what it began is taken up by the next sync".to_owned());
        Failure { what, hint, end: End::Undone }.into()
    }
}

fn told(broken: &Broken) -> String {
    match broken {
        Broken::Gone => "it ended before it had answered".to_owned(),
        Broken::Silent => "it says nothing".to_owned(),
        Broken::TooLong => "it sends a line that has no end".to_owned(),
        Broken::Garbled(why) => format!("it says what is not understood: {why}"),
        Broken::Stopped => "interrupted".to_owned(),
    }
}

/// What it does not do, and why.
fn refused(reply: Reply) -> Error {
    let end = if reply.exit == Some(End::Locked.code()) { End::Locked } else { End::Undone };
    Failure { what: reply.error.unwrap_or_default(), hint: reply.hint, end }.into()
}

/// Says that nobody was asked. The accounts' own locks see to it that nothing is done twice.
pub fn go_on_without(unanswered: &Unanswered) {
    note(&format!("{unanswered}; going on without it"));
}

fn note(text: &str) {
    // Nobody is left to be told where this fails.
    let _ = writeln!(std::io::stderr().lock(), "mailsync: {text}");
}

/// How a sync is asked for.
pub fn wanted(args: &SyncArgs, accounts: &[&Account], quiet: bool) -> Wanted {
    Wanted {
        accounts: accounts.iter().map(|account| account.name.clone()).collect(),
        folders: args.folders.clone(),
        allow_delete: args.allow_delete,
        restore: args.restore,
        retry: args.retry,
        full: args.full,
        quiet,
    }
}

/// Accounts that a running `watch` leaves alone for as long as this lives.
#[must_use = "it is given back when it is dropped"]
pub struct Borrowed(#[expect(dead_code, reason = "held for what its end tells the other side")] Option<Watch>);

/// Has the `watch` that runs, if one does, leave these accounts alone. `flag` ends the waiting.
pub fn borrow<'a>(
    config: &Config,
    accounts: impl IntoIterator<Item = &'a str>,
    flag: &AtomicBool,
) -> Result<Borrowed, Error> {
    let accounts: Vec<&str> = accounts.into_iter().collect();
    // A keeper waits for its hooks, and must not be waited for by them.
    if accounts.is_empty() || hook::is_inside() {
        return Ok(Borrowed(None));
    }
    let mut watch = match Watch::find(&config.general.state_dir) {
        Ok(Some(watch)) => watch,
        Ok(None) => return Ok(Borrowed(None)),
        Err(unanswered) => {
            go_on_without(&unanswered);
            return Ok(Borrowed(None));
        }
    };
    let accounts: Vec<String> =
        accounts.into_iter().filter(|account| watch.keeps(account)).map(str::to_owned).collect();
    if accounts.is_empty() {
        return Ok(Borrowed(None));
    }
    watch.borrow(accounts, flag)?;
    Ok(Borrowed(Some(watch)))
}
