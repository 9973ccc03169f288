//! `info`: every folder as it is on the server and as it is called here, and what is wrong. Changes nothing.

mod json;

pub use json::{render_json, write_json};

use super::end::End;
use crate::config::Config;
use crate::mail::Side;
use crate::net::Stop;
use crate::store::{Kind, StoreError, StoreFacts};
use crate::sync::survey::{Row, Survey, survey};
use crate::sync::trash::Fate;
use crate::sync::{Account, side_by_side};
use crate::ui::{clean, plain, width};
use anyhow::{Context, Result};
use std::io::{self, Write};
use std::process::ExitCode;

/// Columns of the narrowest terminal that is still served well.
const COLUMNS: usize = 80;
/// Widest column of names; longer names have their line to themselves.
const NAMES: usize = 26;

/// Surveys the accounts, as many at a time as a sync would, and writes what was found to standard output.
pub fn run(config: &Config, accounts: Vec<Account>, json: bool, stop: &Stop) -> Result<ExitCode> {
    let at_once = config.general.max_sync_accounts;
    let surveys = side_by_side(&accounts, at_once, |account| survey(account, stop));
    let mut text = Vec::new();
    match json {
        true => render_json(&surveys, &mut text)?,
        false => render(&surveys, &mut text)?,
    }
    let mut out = io::stdout().lock();
    match out.write_all(&text).and_then(|()| out.flush()) {
        // Whoever reads has enough: `mailsync info | head`.
        Err(err) if err.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.context("write to standard output")?,
    }
    Ok(end(&surveys).into())
}

/// How it ended: something wrong on either side counts as undone.
pub fn end(surveys: &[Survey]) -> End {
    let failures = || surveys.iter().flat_map(|s| [&s.facts.local, &s.facts.remote]).filter_map(|f| f.as_ref().err());
    let wrong = |s: &Survey| !s.problems.is_empty() || s.folders.iter().any(|row| row.problem.is_some());
    let of = |err: &StoreError| match err.kind {
        Kind::Stopped => End::Interrupted,
        _ if err.failed_login() => End::Auth,
        _ => End::Undone,
    };
    let found = if surveys.iter().any(wrong) { End::Undone } else { End::InStep };
    failures().map(of).fold(found, End::max)
}

/// Writes the surveys for people, aligned by display width.
pub fn render(surveys: &[Survey], out: &mut dyn Write) -> io::Result<()> {
    for (number, survey) in surveys.iter().enumerate() {
        if number > 0 {
            writeln!(out)?;
        }
        let title = clean(&survey.account).into_owned();
        writeln!(out, "{title}: {} <-> {}", plain(&survey.places.remote), plain(&survey.places.local))?;
        for side in [Side::Remote, Side::Local] {
            store(out, side, &survey.facts[side])?;
            if let Some(from) = &survey.passwords[side] {
                writeln!(out, "          password from {}", plain(from))?;
            }
            if let Fate::MovedTo { name, .. } = &survey.fates[side] {
                writeln!(out, "          deletions go to {}", clean(&name.to_string()))?;
            }
        }
        table(out, &survey.folders)?;
        wrong(out, survey)?;
    }
    Ok(())
}

fn store(out: &mut dyn Write, side: Side, facts: &Result<StoreFacts, StoreError>) -> io::Result<()> {
    let label = pad(&side.to_string(), 7);
    let facts = match facts {
        Ok(facts) => facts,
        Err(err) => return writeln!(out, "  {label} could not be asked: {}", plain(&err.to_string())),
    };
    let unknown = match side {
        Side::Remote => "does not say what it is",
        Side::Local => "Maildir",
    };
    writeln!(out, "  {label} {}", facts.software.as_deref().map_or(unknown.to_owned(), plain))?;
    let quoted = |text: &String| format!("\"{}\"", plain(text));
    let mut said = Vec::new();
    said.extend(facts.transport.as_ref().map(|transport| format!("transport {}", plain(transport))));
    said.extend(facts.delimiter.as_ref().map(|delimiter| format!("delimiter {}", quoted(delimiter))));
    said.extend(facts.namespace.as_ref().map(|namespace| format!("namespace {}", quoted(namespace))));
    if !said.is_empty() {
        writeln!(out, "          {}", said.join(", "))?;
    }
    for (label, present) in [("uses", true), ("lacks", false)] {
        let names = facts.uses.iter().filter(|(_, found)| *found == present).map(|(name, _)| plain(name));
        let words: Vec<String> = names.collect();
        if !words.is_empty() {
            wrapped(out, &format!("          {label:<5} "), &words)?;
        }
    }
    Ok(())
}

/// Words in lines of at most [`COLUMNS`], each under the first.
fn wrapped(out: &mut dyn Write, label: &str, words: &[String]) -> io::Result<()> {
    let mut line = label.to_owned();
    let mut empty = true;
    for word in words {
        if !empty && width(&line) + 1 + width(word) > COLUMNS {
            writeln!(out, "{line}")?;
            line = " ".repeat(width(label));
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    writeln!(out, "{line}")
}

/// A folder's line in words.
struct Cells {
    names: [String; 2],
    role: String,
    subscribed: &'static str,
    counts: [String; 2],
    /// What becomes of it, and why; then what is wrong with it.
    fate: String,
    problem: Option<String>,
}

fn table(out: &mut dyn Write, rows: &[Row]) -> io::Result<()> {
    let (here_only, there): (Vec<&Row>, Vec<&Row>) =
        rows.iter().partition(|row| row.exists.local && !row.exists.remote);
    section(out, ["on the server", "here"], Side::Remote, &there)?;
    section(out, ["only here", "on the server"], Side::Local, &here_only)
}

/// Folders that are on side `from`, and what they are called on the other one.
fn section(out: &mut dyn Write, titles: [&str; 2], from: Side, rows: &[&Row]) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let cells: Vec<Cells> = rows.iter().map(|row| cells(row, from)).collect();
    let widest = |texts: &mut dyn Iterator<Item = usize>, least: usize, most: usize| {
        texts.filter(|width| *width <= most).max().unwrap_or(0).max(least)
    };
    let first = widest(&mut cells.iter().map(|c| width(&c.names[0])), titles[0].len(), NAMES);
    let second = widest(&mut cells.iter().map(|c| width(&c.names[1])), titles[1].len(), NAMES);
    let role = widest(&mut cells.iter().map(|c| c.role.len()), 4, 9);
    let count = |at: usize, title: &str| widest(&mut cells.iter().map(|c| c.counts[at].len()), title.len(), 15);
    let (there, here) = (count(0, "server"), count(1, "local"));
    writeln!(out)?;
    let columns = |names: String, role_is: &str, sub: &str, counts: [&str; 2]| {
        let [on_server, on_disk] = counts;
        let line = format!("  {names}  {role_is:<role$}  {sub:<3}  {on_server:>there$}  {on_disk:>here$}");
        line.trim_end().to_owned()
    };
    let head = format!("{}    {}", pad(titles[0], first), pad(titles[1], second));
    writeln!(out, "{}", columns(head, "role", "sub", ["server", "local"]))?;
    for cells in &cells {
        let names = format!("{} -> {}", pad(&cells.names[0], first), pad(&cells.names[1], second));
        let [on_server, on_disk] = &cells.counts;
        // A long name has its line to itself, so that the columns stay where they are.
        let names = if width(&names) > first + second + 4 {
            writeln!(out, "  {}", names.trim_end())?;
            " ".repeat(first + second + 4)
        } else {
            names
        };
        let line = columns(names, &cells.role, cells.subscribed, [on_server, on_disk]);
        match width(&line) + 2 + width(&cells.fate) {
            _ if cells.fate.is_empty() => writeln!(out, "{line}")?,
            fits if fits <= COLUMNS => writeln!(out, "{line}  {}", cells.fate)?,
            _ => writeln!(out, "{line}\n      {}", cells.fate)?,
        }
        if let Some(problem) = &cells.problem {
            writeln!(out, "      ! {problem}")?;
        }
    }
    Ok(())
}

fn pad(text: &str, to: usize) -> String {
    format!("{text}{}", " ".repeat(to.saturating_sub(width(text))))
}

fn cells(row: &Row, from: Side) -> Cells {
    let to = from.other();
    let name = |side: Side| row.names[side].as_ref().map_or("(no name)".to_owned(), |n| clean(&n.to_string()).into());
    let count = |side: Side| match (row.messages[side], row.unseen[side]) {
        (Some(all), Some(unseen)) if unseen > 0 => format!("{all} ({unseen})"),
        (Some(all), _) => all.to_string(),
        (None, _) => "-".to_owned(),
    };
    let rule = plain(&row.rule);
    let created = match to {
        Side::Local => "will be created here",
        Side::Remote => "will be created on the server",
    };
    let to_create = row.selected && !row.exists[to] && row.names[to].is_some();
    let fate = match row.selected {
        false if !row.selectable => "not synced: holds no messages".to_owned(),
        false => format!("not synced: {rule}"),
        true if to_create && rule == "no rule" => created.to_owned(),
        true if to_create => format!("{created}; {rule}"),
        true if rule == "no rule" => String::new(),
        true => rule,
    };
    Cells {
        names: [name(from), name(to)],
        role: row.role.map_or("-", |role| role.name()).to_owned(),
        subscribed: row.subscribed.map_or("-", |yes| if yes { "yes" } else { "no" }),
        counts: [count(Side::Remote), count(Side::Local)],
        fate,
        problem: row.problem.as_deref().map(plain),
    }
}

/// What is wrong, at the end where it is not overlooked.
fn wrong(out: &mut dyn Write, survey: &Survey) -> io::Result<()> {
    let mut lines: Vec<String> = Vec::new();
    for (side, facts) in survey.facts.iter() {
        if let Err(err) = facts {
            lines.push(format!("{}: {}", plain(&survey.places[side]), plain(&err.to_string())));
            lines.extend(err.hint.as_deref().map(|hint| format!("  hint: {}", plain(hint))));
        }
    }
    lines.extend(survey.problems.iter().map(|problem| plain(problem)));
    for row in &survey.folders {
        let name = row.names.remote.as_ref().or(row.names.local.as_ref());
        if let (Some(problem), Some(name)) = (&row.problem, name) {
            lines.push(format!("{}: {}", clean(&name.to_string()), plain(problem)));
        }
    }
    if !lines.is_empty() {
        writeln!(out, "\n  wrong:")?;
    }
    lines.iter().try_for_each(|line| writeln!(out, "    {line}"))
}
