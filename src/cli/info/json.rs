//! What `info` tells programs.

use crate::mail::Sides;
use crate::store::{StoreError, StoreFacts};
use crate::sync::survey::{Row, Survey};
use crate::sync::trash::Fate;
use crate::ui::harmful;
use serde::Serialize;
use std::io::{self, Write};

/// The form of `info --json`. Fields are added in later versions, never renamed or taken away while `version` is 1.
#[derive(Serialize)]
struct Told<'a> {
    version: u32,
    accounts: Vec<AccountTold<'a>>,
}

#[derive(Serialize)]
struct AccountTold<'a> {
    account: &'a str,
    remote: StoreTold<'a>,
    local: StoreTold<'a>,
    folders: Vec<FolderTold<'a>>,
    problems: &'a [String],
}

#[derive(Serialize)]
struct StoreTold<'a> {
    place: &'a str,
    software: Option<&'a str>,
    transport: Option<&'a str>,
    delimiter: Option<&'a str>,
    namespace: Option<&'a str>,
    capabilities: Vec<CapabilityTold<'a>>,
    /// The folder that deleted messages go to; null where they are removed.
    trash: Option<String>,
    error: Option<ErrorTold<'a>>,
}

#[derive(Serialize)]
struct CapabilityTold<'a> {
    name: &'a str,
    present: bool,
}

#[derive(Serialize)]
struct ErrorTold<'a> {
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

#[derive(Serialize)]
struct FolderTold<'a> {
    names: Both<Option<String>>,
    exists: Both<bool>,
    selectable: bool,
    role: Option<&'static str>,
    subscribed: Option<bool>,
    selected: bool,
    rule: &'a str,
    messages: Both<Option<u64>>,
    unseen: Both<Option<u64>>,
    problem: Option<&'a str>,
}

fn both<T>(sides: Sides<T>) -> Both<T> {
    Both { remote: sides.remote, local: sides.local }
}

/// Writes the surveys for programs: one JSON object; mailsync(1) describes it.
pub fn render_json(surveys: &[Survey], out: &mut dyn Write) -> io::Result<()> {
    let accounts = surveys.iter().map(account_told).collect();
    write_json(&Told { version: 1, accounts }, out)
}

/// Writes a value as JSON that does a terminal no harm.
pub fn write_json(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    let mut safe = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        // JSON lets these stand; a terminal does not. They can only be inside a string.
        match c != '\n' && harmful(c) {
            true => safe.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => safe.push(c),
        }
    }
    writeln!(out, "{safe}")
}

fn account_told(survey: &Survey) -> AccountTold<'_> {
    AccountTold {
        account: &survey.account,
        remote: store_told(&survey.places.remote, &survey.facts.remote, &survey.fates.remote),
        local: store_told(&survey.places.local, &survey.facts.local, &survey.fates.local),
        folders: survey.folders.iter().map(folder_told).collect(),
        problems: &survey.problems,
    }
}

fn store_told<'a>(place: &'a str, facts: &'a Result<StoreFacts, StoreError>, fate: &Fate) -> StoreTold<'a> {
    let known = facts.as_ref().ok();
    let told = |err: &'a StoreError| ErrorTold { action: &err.action, cause: &err.cause, hint: err.hint.as_deref() };
    let capability = |(name, present): &'a (String, bool)| CapabilityTold { name, present: *present };
    StoreTold {
        place,
        software: known.and_then(|facts| facts.software.as_deref()),
        transport: known.and_then(|facts| facts.transport.as_deref()),
        delimiter: known.and_then(|facts| facts.delimiter.as_deref()),
        namespace: known.and_then(|facts| facts.namespace.as_deref()),
        capabilities: known.map(|facts| facts.uses.iter().map(capability).collect()).unwrap_or_default(),
        trash: match fate {
            Fate::MovedTo { name, .. } => Some(name.text()),
            _ => None,
        },
        error: facts.as_ref().err().map(told),
    }
}

fn folder_told(row: &Row) -> FolderTold<'_> {
    FolderTold {
        names: both(row.names.as_ref().map(|name| name.as_ref().map(|name| name.text()))),
        exists: both(row.exists),
        selectable: row.selectable,
        role: row.role.map(|role| role.name()),
        subscribed: row.subscribed,
        selected: row.selected,
        rule: &row.rule,
        messages: both(row.messages),
        unseen: both(row.unseen),
        problem: row.problem.as_deref(),
    }
}
