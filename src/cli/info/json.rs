//! What `info` tells programs.

use crate::mail::{Side, Sides};
use crate::store::StoreError;
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
    /// Where the password came from; null where none is needed.
    password_from: Option<&'a str>,
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
        remote: store_told(survey, Side::Remote),
        local: store_told(survey, Side::Local),
        folders: survey.folders.iter().map(folder_told).collect(),
        problems: &survey.problems,
    }
}

fn store_told(survey: &Survey, side: Side) -> StoreTold<'_> {
    let facts = &survey.facts[side];
    let known = facts.as_ref().ok();
    StoreTold {
        place: &survey.places[side],
        software: known.and_then(|facts| facts.software.as_deref()),
        transport: known.and_then(|facts| facts.transport.as_deref()),
        password_from: survey.passwords[side].as_deref(),
        delimiter: known.and_then(|facts| facts.delimiter.as_deref()),
        namespace: known.and_then(|facts| facts.namespace.as_deref()),
        capabilities: known.map(|facts| facts.uses.iter().map(capability_told).collect()).unwrap_or_default(),
        trash: match &survey.fates[side] {
            Fate::MovedTo { name, .. } => Some(name.text()),
            _ => None,
        },
        error: facts.as_ref().err().map(error_told),
    }
}

fn capability_told((name, present): &(String, bool)) -> CapabilityTold<'_> {
    CapabilityTold { name, present: *present }
}

fn error_told(err: &StoreError) -> ErrorTold<'_> {
    ErrorTold { action: &err.action, cause: &err.cause, hint: err.hint.as_deref() }
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
