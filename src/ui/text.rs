//! What events are in words. Pure.

use crate::sync::event::{Counts, Event, Outcome, Problem, Report};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;
use unicode_width::UnicodeWidthStr;

/// A line, and where it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Something done, or that would be: standard output, not when quiet.
    Result(String),
    /// Something odd: standard error, not when quiet.
    Note(String),
    /// Something failed or held: standard error, always.
    Problem(String),
}

/// Makes text from a server safe to be shown: characters that control a terminal, or turn the direction of the text
/// around, are escaped.
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match harmful(c) {
            true => safe.extend(c.escape_default()),
            false => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// [`clean`], with line breaks and tabs as blanks: for messages in words, where an escape would only disturb.
pub fn plain(text: &str) -> String {
    clean(&text.replace(['\n', '\r', '\t'], " ")).into_owned()
}

/// Whether a character controls a terminal, or how text runs on it. All such are below U+10000.
pub fn harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Columns that the text takes on a terminal.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// What an event has to say, if anything.
pub(super) fn lines(event: &Event) -> Vec<Line> {
    match event {
        Event::WouldDo { account, folder, what } => {
            vec![Line::Result(format!("{}: would {}", at(account, Some(folder)), plain(what)))]
        }
        Event::FolderCreated { account, folder, on } => {
            vec![Line::Result(format!("{}: folder created on {on}", at(account, Some(folder))))]
        }
        Event::FolderRenamed { account, from, to, on } => {
            vec![Line::Result(format!("{}: folder renamed to {} on {on}", at(account, Some(from)), shown(to)))]
        }
        Event::FolderDeleted { account, folder, on } => {
            vec![Line::Result(format!("{}: folder deleted on {on}", at(account, Some(folder))))]
        }
        Event::FolderDone { account, folder, counts } => {
            // Folders made, renamed or deleted have had their own line.
            let messages = Counts {
                folders_created: Default::default(),
                folders_renamed: Default::default(),
                folders_deleted: Default::default(),
                ..*counts
            };
            match messages.is_empty() {
                true => Vec::new(),
                false => vec![Line::Result(format!("{}: {}", at(account, Some(folder)), done(&messages)))],
            }
        }
        Event::Held { account, folder, held } => {
            let place = at(account, folder.as_ref());
            problem(&place, &plain(&held.to_string()), held.hint.as_deref())
        }
        Event::Problem { account, problem: told } => {
            problem(&at(account, told.folder.as_ref()), &cause(told), told.hint.as_deref())
        }
        Event::Waiting { account, count, next } => {
            let messages = if *count == 1 { "message waits" } else { "messages wait" };
            let next =
                next.map_or("the next sync tries again".to_owned(), |next| format!("next try in {}", span(next)));
            let hint = "`mailsync problems` lists them; `mailsync problems --retry` tries again at once";
            problem(&at(account, None::<&String>), &format!("{count} {messages} after errors ({next})"), Some(hint))
        }
        Event::Hook { account, hook, cause, hint } => {
            problem(&at(account, None::<&String>), &format!("hook {hook}: {}", plain(cause)), hint.as_deref())
        }
        Event::Note { account, folder, text } => {
            vec![Line::Note(format!("mailsync: {}: note: {}", at(account, folder.as_ref()), plain(text)))]
        }
        Event::AccountStarted { .. }
        | Event::Listed { .. }
        | Event::Planned { .. }
        | Event::Copying { .. }
        | Event::Messages { .. }
        | Event::AccountDone { .. } => Vec::new(),
    }
}

fn problem(place: &str, cause: &str, hint: Option<&str>) -> Vec<Line> {
    let mut lines = vec![Line::Problem(format!("mailsync: {place}: {cause}"))];
    lines.extend(hint.map(|hint| Line::Problem(format!("hint: {}", plain(hint)))));
    lines
}

fn cause(problem: &Problem) -> String {
    let message = problem.message.as_deref().map(|message| format!("{}: ", plain(message))).unwrap_or_default();
    format!("{message}{}: {}", plain(&problem.action), plain(&problem.cause))
}

fn shown(folder: &impl std::fmt::Display) -> String {
    clean(&folder.to_string()).into_owned()
}

/// `ACCOUNT/FOLDER`, as people read it.
pub(super) fn at(account: &str, folder: Option<&impl std::fmt::Display>) -> String {
    match folder {
        Some(folder) => format!("{}/{}", clean(account), shown(folder)),
        None => clean(account).into_owned(),
    }
}

/// What was done, side by side: `3 new on local, 1 flag change on remote`. Empty where nothing was.
pub fn done(counts: &Counts) -> String {
    let kinds = [
        (counts.folders_created, "folder created", "folders created"),
        (counts.folders_renamed, "folder renamed", "folders renamed"),
        (counts.folders_deleted, "folder deleted", "folders deleted"),
        (counts.copied, "new", "new"),
        (counts.moved, "moved", "moved"),
        (counts.flagged, "flag change", "flag changes"),
        (counts.deleted, "deleted", "deleted"),
    ];
    let mut said = Vec::new();
    for (sides, one, many) in kinds {
        for (side, count) in sides.iter().filter(|(_, count)| **count > 0) {
            said.push(format!("{count} {} on {side}", if *count == 1 { one } else { many }));
        }
    }
    said.join(", ")
}

/// What was heard of a run, for its end.
#[derive(Debug, Default)]
pub(super) struct Tally {
    would_do: usize,
    /// Things held and things failed, by account.
    undone: BTreeMap<String, (usize, usize)>,
    /// Messages that wait after errors, by account.
    waiting: BTreeMap<String, usize>,
}

impl Tally {
    pub fn hear(&mut self, event: &Event) {
        match event {
            Event::WouldDo { .. } => self.would_do += 1,
            Event::Held { account, .. } => self.undone.entry(account.clone()).or_default().0 += 1,
            Event::Problem { account, .. } => self.undone.entry(account.clone()).or_default().1 += 1,
            Event::Waiting { account, count, .. } => *self.waiting.entry(account.clone()).or_default() += count,
            _ => {}
        }
    }

    /// The last lines: a word on each account whose failure nobody told of yet, and the summary.
    pub fn end(&self, report: &Report) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut undone = Vec::new();
        for (account, outcome, _) in &report.accounts {
            let (held, failed) = self.undone.get(account).copied().unwrap_or_default();
            let waiting = self.waiting.get(account).copied().unwrap_or_default();
            if *outcome == Outcome::InStep && held + failed + waiting == 0 {
                continue;
            }
            if held + failed + waiting == 0 && *outcome != Outcome::Interrupted {
                lines.push(Line::Problem(format!("mailsync: {}: {}", clean(account), ended(*outcome))));
            }
            undone.push(format!("{} ({})", clean(account), left(*outcome, held, failed, waiting)));
        }
        lines.push(Line::Result(self.summary(report, &undone)));
        lines
    }

    fn summary(&self, report: &Report, undone: &[String]) -> String {
        let done = done(&report.counts());
        if self.would_do > 0 {
            let things = if self.would_do == 1 { "thing" } else { "things" };
            let also = if undone.is_empty() { String::new() } else { format!("; left undone: {}", undone.join(", ")) };
            let kinds = if done.is_empty() { String::new() } else { format!(" ({done})") };
            return format!("dry run: {} {things} to do{kinds}, nothing was changed{also}", self.would_do);
        }
        match (undone.is_empty(), done.is_empty()) {
            (true, true) => "in step: nothing to do".to_owned(),
            (true, false) => format!("in step: {done}"),
            (false, true) => format!("left undone: {}", undone.join(", ")),
            (false, false) => format!("left undone: {}; done: {done}", undone.join(", ")),
        }
    }
}

fn ended(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::InStep => "in step",
        Outcome::Partial => "something was left undone",
        Outcome::Failed => "nothing could be done",
        Outcome::AuthFailed => "login failed",
        Outcome::Locked => "another run holds the lock",
        Outcome::Interrupted => "interrupted",
    }
}

fn left(outcome: Outcome, held: usize, failed: usize, waiting: usize) -> String {
    let mut said = Vec::new();
    if outcome > Outcome::Partial || held + failed + waiting == 0 {
        said.push(ended(outcome).to_owned());
    }
    if held > 0 {
        said.push(format!("{held} held"));
    }
    if failed > 0 && !matches!(outcome, Outcome::AuthFailed | Outcome::Locked) {
        said.push(format!("{failed} failed"));
    }
    if waiting > 0 {
        said.push(format!("{waiting} waiting"));
    }
    said.join(", ")
}

/// A time span in words, rounded up: `15 min`, `4 h`, `2 days`.
pub fn span(span: Duration) -> String {
    let minutes = span.as_secs().div_ceil(60).max(1);
    match minutes {
        ..120 => format!("{minutes} min"),
        120..2880 => format!("{} h", minutes.div_ceil(60)),
        _ => format!("{} days", minutes.div_ceil(24 * 60)),
    }
}

/// Bytes in words: `17 B`, `1.2 MB`.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let (mut value, mut unit) = (count as f64 / 1000.0, 0);
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_controls_a_terminal_is_left() {
        assert_eq!(clean("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(clean("evil\u{202e}txt"), "evil\\u{202e}txt");
        assert_eq!(clean("Entwürfe 日本"), "Entwürfe 日本");
        assert_eq!(plain("two\r\nlines\u{9b}"), "two  lines\\u{9b}");
    }

    #[test]
    fn bytes_are_said_in_the_unit_that_fits() {
        let said: Vec<String> = [0, 999, 1000, 1_250_000, 999_999, 5_000_000_000].map(bytes).into();
        assert_eq!(said, ["0 B", "999 B", "1.0 kB", "1.2 MB", "1.0 MB", "5.0 GB"]);
    }

    #[test]
    fn time_spans_are_rounded_up_to_the_unit_that_fits() {
        let said: Vec<String> = [0, 60, 899, 7199, 7200, 100_000, 200_000].map(|s| span(Duration::from_secs(s))).into();
        assert_eq!(said, ["1 min", "1 min", "15 min", "2 h", "2 h", "28 h", "3 days"]);
    }

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!((width("日本"), width("é"), width("e\u{301}")), (4, 1, 1));
    }
}
