//! `check`: what the state of each account says, compared with both sides message by message.

mod json;

pub use json::render_json;

use super::args::CheckArgs;
use super::ask;
use super::end::End;
use super::setup::{Setup, notes_to_stderr};
use super::signals;
use super::sync::only;
use crate::mail::{FolderName, Side, Sides};
use crate::net::Stop;
use crate::sync::check::report::{Ahead, Checked, Finding, FolderChecked, Seen};
use crate::sync::check::{Options, check};
use crate::sync::{Outcome, Problem, side_by_side};
use crate::ui::{clean, plain};
use anyhow::Context;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Findings of one folder that are told without `-v`.
const FINDINGS: usize = 20;

/// Checks the accounts, as many at a time as a sync would, and writes what was found.
pub(super) fn run(
    setup: &Setup<'_>,
    args: &CheckArgs,
    verbose: bool,
    flag: &Arc<AtomicBool>,
) -> anyhow::Result<ExitCode> {
    let options = Options {
        deep: args.deep,
        repair: args.repair,
        only: args.folders.iter().map(|folder| only(folder)).collect::<Result<_, _>>()?,
    };
    let accounts = setup.accounts(&args.accounts, &notes_to_stderr())?;
    setup.ask_beforehand();
    signals::watch(flag, false)?;
    let names = accounts.iter().map(|account| account.name.as_str());
    let _borrowed = ask::borrow(setup.config, names, flag)?;
    let stop = Stop::from_flag(flag.clone());
    let mut all = Vec::new();
    for some in accounts.chunks(setup.config.general.max_sync_accounts.max(1)) {
        let found = side_by_side(some, some.len(), |account| check(account, &options, &stop));
        if !args.json {
            found.iter().for_each(tell_problems);
            written(render(&found, verbose).as_bytes())?;
        }
        all.extend(found);
    }
    if args.json {
        let mut text = Vec::new();
        render_json(&all, &mut text)?;
        written(&text)?;
    }
    Ok(all.iter().map(|checked| End::from(checked.outcome)).max().unwrap_or(End::InStep).into())
}

fn written(text: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        // Whoever reads has enough: `mailsync check | head`.
        Err(err) if err.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("write to standard output"),
    }
}

/// What could not be checked, on standard error.
fn tell_problems(checked: &Checked) {
    let mut text = String::new();
    for problem in &checked.problems {
        text.push_str(&problem_lines(&checked.account, problem));
    }
    // Nobody is left to be told where this fails.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

fn problem_lines(account: &str, problem: &Problem) -> String {
    let folder = problem.folder.as_ref().map(|folder| format!("/{}", clean(&folder.to_string()))).unwrap_or_default();
    let (action, cause) = (plain(&problem.action), plain(&problem.cause));
    let hint = problem.hint.as_deref().map(|hint| format!("hint: {}\n", plain(hint))).unwrap_or_default();
    format!("mailsync: {}{folder}: {action}: {cause}\n{hint}", clean(account))
}

/// What was found, for people: a line each, what to do about it, and a line for the account.
pub fn render(all: &[Checked], verbose: bool) -> String {
    let mut text = String::new();
    for checked in all {
        let account = clean(&checked.account).into_owned();
        told(&mut text, &account, &checked.faults, verbose);
        for folder in &checked.folders {
            let place = format!("{account}/{}", name(&folder.names));
            told(&mut text, &place, &folder.findings, verbose);
            let notes = [ahead(&folder.ahead), seen(&folder.seen)].concat();
            if !notes.is_empty() && (verbose || !folder.findings.is_empty()) {
                push(&mut text, &format!("{place}: {}", notes.join(", ")));
            }
        }
        push(&mut text, &summary(checked));
        advice(&mut text, checked);
    }
    text
}

fn push(text: &mut String, line: &str) {
    // Writing to a String can't fail.
    let _ = writeln!(text, "{line}");
}

fn told(text: &mut String, place: &str, findings: &[Finding], verbose: bool) {
    let shown = if verbose { findings.len() } else { FINDINGS.min(findings.len()) };
    for finding in &findings[..shown] {
        let mended = if finding.mended { " (mended)" } else { "" };
        push(text, &format!("{place}: {}{mended}", plain(&finding.to_string())));
    }
    if shown < findings.len() {
        push(text, &format!("{place}: and {} more; -v shows all", findings.len() - shown));
    }
}

fn name(names: &Sides<Option<FolderName>>) -> String {
    let name = names.remote.as_ref().or(names.local.as_ref());
    name.map(|name| clean(&name.to_string()).into_owned()).unwrap_or_default()
}

fn findings(checked: &Checked) -> impl Iterator<Item = &Finding> {
    checked.faults.iter().chain(checked.folders.iter().flat_map(|folder| &folder.findings))
}

/// `main: 12 folders, 10,234 messages, in order`.
fn summary(checked: &Checked) -> String {
    let pairs: u64 = checked.folders.iter().map(|folder| folder.pairs).sum();
    let (mended, wrong): (Vec<&Finding>, Vec<&Finding>) = findings(checked).partition(|finding| finding.mended);
    let found = match (wrong.len(), mended.len(), checked.problems.is_empty()) {
        (0, 0, true) => "in order".to_owned(),
        (0, 0, false) => "not all of it could be checked".to_owned(),
        (0, mended, _) => format!("{} mended", counted(mended as u64, "error")),
        (wrong, 0, _) => counted(wrong as u64, "error"),
        (wrong, mended, _) => format!("{}, {mended} more mended", counted(wrong as u64, "error")),
    };
    let (folders, messages) = (counted(checked.folders.len() as u64, "folder"), counted(pairs, "message"));
    let line = format!("{}: {folders}, {messages}, {found}", clean(&checked.account));
    let total = checked.folders.iter().fold((Ahead::default(), Seen::default()), |sum, folder: &FolderChecked| {
        (add_ahead(sum.0, &folder.ahead), add_seen(sum.1, &folder.seen))
    });
    let gone = checked.folders.iter().filter(|folder| folder.ahead.folder != Sides::default()).count();
    let mut next = ahead(&Ahead { folder: Sides::default(), ..total.0 });
    next.extend((gone > 0).then(|| format!("{} on one side only", counted(gone as u64, "folder"))));
    let next = if next.is_empty() { String::new() } else { format!("; for the next sync: {}", next.join(", ")) };
    let seen = seen(&total.1);
    let seen = if seen.is_empty() { String::new() } else { format!("; {}", seen.join(", ")) };
    format!("{line}{next}{seen}")
}

fn advice(text: &mut String, checked: &Checked) {
    if checked.outcome > Outcome::Partial {
        return;
    }
    let mut hints: Vec<&str> = findings(checked).filter(|f| !f.mended).filter_map(|f| f.fault.advice()).collect();
    if findings(checked).any(|finding| !finding.mended && finding.fault.can_be_mended()) {
        hints.push("`mailsync check --repair` mends what is remembered; no message is changed for it");
    }
    if findings(checked).any(|finding| finding.mended) {
        hints.push("the next `mailsync sync` pairs again what was unpaired");
    }
    hints.sort_unstable();
    hints.dedup();
    hints.iter().for_each(|hint| push(text, &format!("hint: {hint}")));
}

fn add_ahead(mut sum: Ahead, more: &Ahead) -> Ahead {
    for side in Side::BOTH {
        sum.new[side] += more.new[side];
        sum.gone[side] += more.gone[side];
        sum.flags[side] += more.flags[side];
    }
    sum.to_pair += more.to_pair;
    sum.begun += more.begun;
    sum.renumbered += more.renumbered;
    sum
}

fn add_seen(mut sum: Seen, more: &Seen) -> Seen {
    for side in Side::BOTH {
        sum.doubles[side] += more.doubles[side];
        sum.waiting[side] += more.waiting[side];
    }
    sum.altered += more.altered;
    sum
}

fn ahead(ahead: &Ahead) -> Vec<String> {
    let mut said = Vec::new();
    for side in Side::BOTH.into_iter().filter(|side| ahead.folder[*side]) {
        said.push(format!("the folder is not on {side}"));
    }
    for (sides, word) in [(ahead.new, "new"), (ahead.gone, "gone"), (ahead.flags, "reflagged")] {
        said.extend(each_side(sides, word));
    }
    let counts = [
        (ahead.to_pair, "of the new on both sides"),
        (ahead.begun, "copied, not yet confirmed"),
        (ahead.renumbered, "under a new UIDVALIDITY"),
    ];
    said.extend(some(&counts));
    said
}

fn seen(seen: &Seen) -> Vec<String> {
    let mut said = each_side(seen.doubles, "more than once");
    said.extend(each_side(seen.waiting, "waiting to be tried again"));
    said.extend(some(&[(seen.altered, "with other content on either side (rewritten by the server, or edited)")]));
    said
}

fn each_side(sides: Sides<usize>, word: &str) -> Vec<String> {
    let some = sides.iter().filter(|(_, count)| **count > 0);
    some.map(|(side, count)| format!("{} {word} on {side}", grouped(*count as u64))).collect()
}

fn some<'a>(counts: &'a [(usize, &str)]) -> impl Iterator<Item = String> + 'a {
    counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{} {word}", grouped(*count as u64)))
}

fn counted(count: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// The number with a comma between thousands.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let said: Vec<String> = [0, 999, 1000, 10_234, 1_234_567].map(grouped).into();
        assert_eq!(said, ["0", "999", "1,000", "10,234", "1,234,567"]);
    }
}
