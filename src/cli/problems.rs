//! `problems`: the messages that wait after errors, from what the states know. Asks no server and waits for no lock.

use super::args::{ProblemsArgs, SyncArgs};
use super::end::End;
use super::info::write_json;
use super::setup::{Setup, select};
use super::sync;
use crate::config::{Account, Config, Local};
use crate::mail::Side;
use crate::state::{self, ProblemRow};
use crate::ui::{clean, plain, span};
use anyhow::{Context, Result};
use serde::Serialize;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

/// An entry of the ledger, and where it belongs.
#[derive(Clone, Debug)]
pub struct Entry {
    pub account: String,
    pub row: ProblemRow,
    /// The folder's directory, where the message is a file.
    pub dir: Option<PathBuf>,
}

/// Lists what waits; succeeds where the states could be read, whatever is in them.
pub fn run(config: &Config, args: &ProblemsArgs) -> Result<ExitCode> {
    let entries = entries(config, &args.accounts)?;
    let mut text = Vec::new();
    match args.json {
        true => render_json(&entries, &mut text)?,
        false => render(&entries, SystemTime::now(), &mut text)?,
    }
    write_out(&text)?;
    Ok(End::InStep.into())
}

/// Syncs the folders in which something waits, and tries all of it at once.
pub fn retry(setup: &Setup<'_>, args: &ProblemsArgs, flag: &Arc<AtomicBool>) -> Result<ExitCode> {
    let mut accounts: Vec<String> =
        entries(setup.config, &args.accounts)?.into_iter().map(|entry| entry.account).collect();
    accounts.dedup();
    if accounts.is_empty() {
        write_out(NOTHING)?;
        return Ok(End::InStep.into());
    }
    let args = SyncArgs { accounts, retry: true, ..SyncArgs::default() };
    sync::by_itself(setup, &args, true, true, flag)
}

const NOTHING: &[u8] = b"no problems\n";

fn entries(config: &Config, names: &[String]) -> Result<Vec<Entry>> {
    let mut all = Vec::new();
    for account in select(config, names)? {
        let rows = state::read_problems(&config.state_file(&account.name))
            .with_context(|| format!("{}: read the state", account.name))?;
        all.extend(rows.into_iter().map(|row| {
            let dir = directory(account, &row);
            Entry { account: account.name.clone(), row, dir }
        }));
    }
    Ok(all)
}

/// Where the file of a local message is: the wire name of a Maildir's folder is its path below the root.
fn directory(account: &Account, row: &ProblemRow) -> Option<PathBuf> {
    let Local::Maildir(maildir) = &account.local else { return None };
    use std::os::unix::ffi::OsStrExt;
    let below = Path::new(std::ffi::OsStr::from_bytes(&row.wires.local));
    (row.waiting.side == Side::Local).then(|| maildir.path.value.join(below))
}

fn write_out(text: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        // Whoever reads has enough: `mailsync problems | head`.
        Err(err) if err.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("write to standard output"),
    }
}

/// Writes the entries for people, as seen at `now`.
pub fn render(entries: &[Entry], now: SystemTime, out: &mut dyn Write) -> io::Result<()> {
    if entries.is_empty() {
        return out.write_all(NOTHING);
    }
    for Entry { account, row, dir } in entries {
        let waiting = &row.waiting;
        let folder = clean(&row.names.remote.to_string()).into_owned();
        let place = format!("{}/{folder}: {} {}", clean(account), waiting.side, plain(&waiting.key.to_string()));
        writeln!(out, "{place}")?;
        writeln!(out, "  {}: {}", plain(&waiting.action), plain(&waiting.cause))?;
        let tries = if waiting.tries == 1 { "try" } else { "tries" };
        let since = now.duration_since(waiting.first).map_or("now".to_owned(), |ago| format!("{} ago", span(ago)));
        let next = match waiting.next.duration_since(now) {
            Ok(rest) if !rest.is_zero() => format!("again in {}", span(rest)),
            _ => "again with the next sync".to_owned(),
        };
        writeln!(out, "  {} {tries}, first {since}; {next}", waiting.tries)?;
        if let Some(dir) = dir {
            writeln!(out, "  in {}", plain(&dir.display().to_string()))?;
        }
        if let Some(hint) = &waiting.hint {
            writeln!(out, "  hint: {}", plain(hint))?;
        }
    }
    Ok(())
}

/// The form of `problems --json`. Fields are added in later versions, never renamed or taken away while `version` is 1.
#[derive(Serialize)]
struct Told<'a> {
    version: u32,
    problems: Vec<ProblemTold<'a>>,
}

#[derive(Serialize)]
struct ProblemTold<'a> {
    account: &'a str,
    folder: FolderTold,
    side: &'static str,
    uid: Option<u32>,
    /// The unique part of the file name.
    file: Option<String>,
    directory: Option<String>,
    action: &'a str,
    cause: &'a str,
    hint: Option<&'a str>,
    tries: u32,
    /// Seconds since 1970.
    first: u64,
    last: u64,
    next: u64,
}

#[derive(Serialize)]
struct FolderTold {
    remote: String,
    local: String,
}

/// Writes the entries for programs: one JSON object; mailsync(1) describes it.
pub fn render_json(entries: &[Entry], out: &mut dyn Write) -> io::Result<()> {
    let problems = entries.iter().map(told).collect();
    write_json(&Told { version: 1, problems }, out)
}

fn told(entry: &Entry) -> ProblemTold<'_> {
    let waiting = &entry.row.waiting;
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    ProblemTold {
        account: &entry.account,
        folder: FolderTold { remote: entry.row.names.remote.text(), local: entry.row.names.local.text() },
        side: match waiting.side {
            Side::Local => "local",
            Side::Remote => "remote",
        },
        uid: waiting.key.uid(),
        file: waiting.key.name().map(|name| String::from_utf8_lossy(name).into_owned()),
        directory: entry.dir.as_ref().map(|dir| dir.to_string_lossy().into_owned()),
        action: &waiting.action,
        cause: &waiting.cause,
        hint: waiting.hint.as_deref(),
        tries: waiting.tries,
        first: seconds(waiting.first),
        last: seconds(waiting.last),
        next: seconds(waiting.next),
    }
}
