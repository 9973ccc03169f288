//! What `check` tells programs.

use crate::cli::info::write_json;
use crate::mail::Sides;
use crate::sync::Problem;
use crate::sync::check::report::{Checked, Finding, FolderChecked};
use serde::Serialize;
use std::io::{self, Write};

/// The form of `check --json`. Fields are added in later versions, never renamed or taken away while `version` is 1.
#[derive(Serialize)]
struct Told<'a> {
    version: u32,
    accounts: Vec<AccountTold<'a>>,
}

#[derive(Serialize)]
struct AccountTold<'a> {
    account: &'a str,
    in_order: bool,
    folders: Vec<FolderTold>,
    findings: Vec<FindingTold>,
    problems: Vec<ProblemTold<'a>>,
}

#[derive(Serialize)]
struct FolderTold {
    names: Both<Option<String>>,
    exists: Both<bool>,
    pairs: u64,
    findings: Vec<FindingTold>,
    next_sync: AheadTold,
    doubles: Both<usize>,
    waiting: Both<usize>,
    altered: usize,
}

#[derive(Serialize)]
struct AheadTold {
    new: Both<usize>,
    to_pair: usize,
    gone: Both<usize>,
    flags: Both<usize>,
    begun: usize,
    renumbered: usize,
}

#[derive(Serialize)]
struct FindingTold {
    fault: &'static str,
    text: String,
    keys: Both<Option<String>>,
    mended: bool,
}

#[derive(Serialize)]
struct ProblemTold<'a> {
    folder: Option<String>,
    action: &'a str,
    cause: &'a str,
    hint: Option<&'a str>,
}

/// Both sides, the remote one first.
#[derive(Serialize)]
struct Both<T> {
    remote: T,
    local: T,
}

fn both<T>(sides: Sides<T>) -> Both<T> {
    Both { remote: sides.remote, local: sides.local }
}

/// Writes what was found for programs: one JSON object; mailsync(1) describes it.
pub fn render_json(all: &[Checked], out: &mut dyn Write) -> io::Result<()> {
    write_json(&Told { version: 1, accounts: all.iter().map(account_told).collect() }, out)
}

fn account_told(checked: &Checked) -> AccountTold<'_> {
    AccountTold {
        account: &checked.account,
        in_order: checked.outcome == crate::sync::Outcome::InStep,
        folders: checked.folders.iter().map(folder_told).collect(),
        findings: checked.faults.iter().map(finding_told).collect(),
        problems: checked.problems.iter().map(problem_told).collect(),
    }
}

fn folder_told(folder: &FolderChecked) -> FolderTold {
    let (ahead, seen) = (&folder.ahead, &folder.seen);
    FolderTold {
        names: both(folder.names.as_ref().map(|name| name.as_ref().map(|name| name.text()))),
        exists: both(ahead.folder.map(|missing| !missing)),
        pairs: folder.pairs,
        findings: folder.findings.iter().map(finding_told).collect(),
        next_sync: AheadTold {
            new: both(ahead.new),
            to_pair: ahead.to_pair,
            gone: both(ahead.gone),
            flags: both(ahead.flags),
            begun: ahead.begun,
            renumbered: ahead.renumbered,
        },
        doubles: both(seen.doubles),
        waiting: both(seen.waiting),
        altered: seen.altered,
    }
}

fn finding_told(finding: &Finding) -> FindingTold {
    FindingTold {
        fault: finding.fault.word(),
        text: finding.to_string(),
        keys: both(finding.keys.as_ref().map(|key| key.as_ref().map(|key| key.to_string()))),
        mended: finding.mended,
    }
}

fn problem_told(problem: &Problem) -> ProblemTold<'_> {
    ProblemTold {
        folder: problem.folder.as_ref().map(|name| name.text()),
        action: &problem.action,
        cause: &problem.cause,
        hint: problem.hint.as_deref(),
    }
}
