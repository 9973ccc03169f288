//! A conversation with one client.

use super::House;
use super::relay::relay;
use super::wire::{AccountTold, Broken, Channel, Hello, MAX_REQUEST, Reply, Request, Wanted};
use crate::sync::rules::Pattern;
use crate::sync::{Counts, Observer, Options, Outcome};
use crate::watch::desk::{Desk, Loan, Order};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

/// How long a keeper may take to leave an account alone.
const LENDING: Duration = Duration::from_secs(60);

/// So often somebody who waits for an account is looked at: whether he is there still.
const GLANCE: Duration = Duration::from_millis(200);

/// How often one who waits is told that he is not forgotten.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) const ENDING: &str = "`mailsync watch` ends";

/// Another process holds the account.
const LOCKED: u8 = 3;

/// Tells one client too many that nobody has time, without waiting for it.
pub(super) fn turn_away(line: UnixStream) -> io::Result<()> {
    let hello = Hello { error: Some("too many ask `mailsync watch` at once".to_owned()), ..Hello::default() };
    // It may not listen.
    let _ = Channel::new(line, MAX_REQUEST)?.send(&hello, Instant::now());
    Ok(())
}

/// Answers until the client goes, is silent for too long, or all ends.
pub(super) fn talk(line: UnixStream, house: &House) {
    let Ok(channel) = Channel::new(line, MAX_REQUEST) else { return };
    let mut talk = Talk { channel, house, loans: Vec::new() };
    let ended = talk.run();
    let farewell = match ended {
        _ if house.is_ending() => failed(ENDING.to_owned(), None),
        Err(Broken::TooLong) => failed(format!("no line may be longer than {MAX_REQUEST} bytes"), None),
        _ => return,
    };
    // A client that has gone hears no farewell.
    let _ = talk.channel.send(&farewell, Instant::now() + Duration::from_millis(100));
}

struct Talk<'a> {
    channel: Channel,
    house: &'a House,
    /// Accounts that the client has to itself, for as long as it stays.
    loans: Vec<Loan>,
}

impl Talk<'_> {
    fn run(&mut self) -> Result<(), Broken> {
        self.say(&self.house.hello())?;
        loop {
            // Whoever has borrowed something may keep it for as long as he likes.
            let deadline = self.loans.is_empty().then(|| Instant::now() + self.house.patience);
            match self.channel.receive(deadline, None) {
                Ok(request) => self.answer(request)?,
                Err(Broken::Garbled(why)) => {
                    let hint = "one JSON object a line: {\"do\": \"status\"}".to_owned();
                    self.say(&failed(format!("not understood: {why}"), Some(hint)))?;
                }
                Err(broken) => return Err(broken),
            }
        }
    }

    fn say(&mut self, line: &impl serde::Serialize) -> Result<(), Broken> {
        self.channel.send(line, Instant::now() + self.house.patience)
    }

    fn answer(&mut self, request: Request) -> Result<(), Broken> {
        match request {
            Request::Status {} => {
                let told = |desk: &Arc<Desk>| AccountTold::of(&desk.account, &desk.status());
                let accounts = self.house.desks.all().iter().map(told).collect();
                self.say(&Reply { accounts: Some(accounts), ..Reply::default() })
            }
            Request::Trigger { accounts, folders } => {
                let wanted = Wanted { accounts, folders, ..Wanted::default() };
                let reply = self.prepare(&wanted).map_or_else(
                    |refusal| *refusal,
                    |(desks, options)| {
                        // Nobody hears how it ends.
                        let (done, _) = channel();
                        order(&desks, &options, None, &done);
                        ok()
                    },
                );
                self.say(&reply)
            }
            Request::Sync(wanted) => match self.prepare(&wanted) {
                Ok((desks, options)) => relay(&mut self.channel, self.house, &desks, &options, wanted.quiet),
                Err(refusal) => self.say(&*refusal),
            },
            Request::Borrow { accounts } => self.lend(&accounts),
        }
    }

    /// The desks, and what is asked of them; or what is wrong with it.
    fn prepare(&self, wanted: &Wanted) -> Result<(Vec<Arc<Desk>>, Options), Box<Reply>> {
        let kept = self.house.desks.all();
        let mut desks: Vec<Arc<Desk>> = Vec::new();
        for name in &wanted.accounts {
            let Some(desk) = kept.iter().find(|desk| desk.account == *name) else {
                let hint = "it keeps those that are named when it begins, or are enabled; SIGHUP reads the config anew";
                let what = format!("`mailsync watch` does not keep the account `{name}`");
                return Err(Box::new(failed(what, Some(hint.to_owned()))));
            };
            if !desks.iter().any(|chosen| chosen.account == *name) {
                desks.push(desk.clone());
            }
        }
        let desks = if wanted.accounts.is_empty() { kept } else { desks };
        let parse = |text: &String| {
            Pattern::parse(text).map_err(|what| Box::new(failed(format!("folder {text}: {what}"), None)))
        };
        let options = Options {
            allow_delete: wanted.allow_delete,
            restore: wanted.restore,
            retry: wanted.retry,
            thorough: wanted.full,
            only: wanted.folders.iter().map(parse).collect::<Result<_, _>>()?,
            accounts_at_once: 1,
            ..Options::default()
        };
        Ok((desks, options))
    }

    /// Has the accounts left alone, those of them that are kept.
    fn lend(&mut self, accounts: &[String]) -> Result<(), Broken> {
        let kept = self.house.desks.all();
        let (deadline, mut said) = (Instant::now() + LENDING, Instant::now());
        for desk in kept.iter().filter(|desk| accounts.contains(&desk.account)) {
            loop {
                if let Some(loan) = desk.borrow_account(GLANCE) {
                    self.loans.push(loan);
                    break;
                }
                self.must_be_there()?;
                if Instant::now() > deadline {
                    self.loans.clear();
                    let what = format!("{}: `mailsync watch` is still syncing it", desk.account);
                    let hint = Some("try again when it has ended; `mailsync status` tells".to_owned());
                    return self.say(&Reply { exit: Some(LOCKED), ..failed(what, hint) });
                }
                if said.elapsed() > KEEP_ALIVE {
                    said = Instant::now();
                    self.say(&Reply::default())?;
                }
            }
        }
        self.say(&ok())
    }

    /// Fails where the client has gone, or was told to.
    fn must_be_there(&mut self) -> Result<(), Broken> {
        self.channel.fill()
    }
}

fn ok() -> Reply {
    Reply { ok: Some(true), ..Reply::default() }
}

pub(super) fn failed(error: String, hint: Option<String>) -> Reply {
    Reply { error: Some(error), hint, ..Reply::default() }
}

/// Asks each desk for a sync.
pub(super) fn order(
    desks: &[Arc<Desk>],
    options: &Options,
    observer: Option<&Arc<Observer>>,
    done: &Sender<(String, Outcome, Counts)>,
) {
    for desk in desks {
        desk.order(Order { options: options.clone(), observer: observer.cloned(), done: done.clone() });
    }
}
