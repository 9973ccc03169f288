//! The results as Markdown.

use crate::options::Options;
use crate::play::{BARE, Results, Sample};
use crate::scenario::{Delta, Scenario};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Between these two lines of a file the results stand.
const BEGIN: &str = "<!-- results: written by cargo bench --bench peers -- --write -->";
const END: &str = "<!-- end of the results -->";

/// Medians of all runs of one program in one scenario.
struct Medians {
    wall: f64,
    cpu: f64,
    rss: f64,
    up: u64,
    down: u64,
    turns: u64,
    longest: u64,
    connections: u64,
    writing: f64,
    marked: u64,
    trouble: Option<String>,
}

impl Medians {
    fn of(samples: &[Sample]) -> Medians {
        let seconds = |of: fn(&Sample) -> Duration| median(samples.iter().map(|s| of(s).as_secs_f64()).collect());
        let count = |of: fn(&Sample) -> u64| median(samples.iter().map(|s| of(s) as f64).collect()).round() as u64;
        let trouble = samples.iter().find_map(|s| s.difference.clone().or_else(|| s.cost.failure.clone()));
        Medians {
            wall: seconds(|s| s.cost.wall),
            cpu: seconds(|s| s.cost.cpu),
            rss: count(|s| s.cost.rss_kb) as f64 / 1024.0,
            up: count(|s| s.traffic.up),
            down: count(|s| s.traffic.down),
            turns: count(|s| s.traffic.turns),
            longest: count(|s| s.traffic.longest),
            connections: count(|s| s.traffic.connections),
            writing: seconds(|s| s.writing),
            marked: count(|s| s.marked as u64),
            trouble,
        }
    }

    /// What the last column says.
    fn contents(&self) -> String {
        match (&self.trouble, self.marked) {
            // It stands in a table.
            (Some(trouble), _) => trouble.replace('|', "/"),
            (None, 0) => "same".to_owned(),
            (None, marked) => format!("same, but for a header line added to {marked} messages"),
        }
    }

    /// With the time of writing, which only the bare limit has apart.
    fn all(&self) -> f64 {
        self.wall + self.writing
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) { (values[middle - 1] + values[middle]) / 2.0 } else { values[middle] }
}

/// All of it: how it was measured, one table of times, one of everything for each scenario, and where a peer is ahead.
pub fn markdown(options: &Options, results: &Results) -> String {
    let mut out = String::new();
    conditions(&mut out, options, results).expect("write to a string");
    overview(&mut out, results).expect("write to a string");
    ahead(&mut out, results).expect("write to a string");
    for scenario in options.scenarios() {
        details(&mut out, options, results, scenario).expect("write to a string");
    }
    out
}

fn conditions(out: &mut String, options: &Options, results: &Results) -> std::fmt::Result {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    writeln!(out, "Command: `{}`\n", options.command())?;
    writeln!(
        out,
        "{cores} cores shared by client, server and line; {}; local side on {}; {} messages, {} MB, {} folders; median of {}.\n",
        std::env::consts::OS,
        results.file_system,
        options.messages,
        results.bytes / 1_000_000,
        options.folders,
        if options.runs == 1 { "one run".to_owned() } else { format!("{} runs", options.runs) },
    )?;
    for program in &results.programs {
        writeln!(out, "- {}", program.told())?;
    }
    writeln!(out, "- server: Dovecot {}\n", dovecot())
}

fn dovecot() -> String {
    let out = std::process::Command::new("dovecot").arg("--version").output();
    let text = out.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
    text.split_whitespace().next().unwrap_or("of unknown version").to_owned()
}

/// Names of the rows, mailsync first and the bare limit last.
fn rows(results: &Results) -> Vec<String> {
    let programs = results.programs.iter().map(|program| program.name.clone());
    programs.chain([BARE.to_owned()]).collect()
}

fn medians(results: &Results, scenario: Scenario, rtt: u64, program: &str) -> Option<Medians> {
    results.samples.get(&(scenario, rtt, program.to_owned())).map(|samples| Medians::of(samples))
}

/// The pairs of scenario and latency that were measured.
fn cases(results: &Results) -> Vec<(Scenario, u64)> {
    let mut cases: Vec<(Scenario, u64)> = results.samples.keys().map(|(scenario, rtt, _)| (*scenario, *rtt)).collect();
    cases.dedup();
    cases
}

fn overview(out: &mut String, results: &Results) -> std::fmt::Result {
    let names = rows(results);
    writeln!(out, "### Wall and CPU seconds\n")?;
    writeln!(out, "A star marks contents that were not right afterwards.\n")?;
    writeln!(out, "| | RTT | {} |", names.join(" | "))?;
    writeln!(out, "|---|---:|{}", "---:|".repeat(names.len()))?;
    for (scenario, rtt) in cases(results) {
        let cells: Vec<String> = names
            .iter()
            .map(|name| match medians(results, scenario, rtt, name) {
                None => String::new(),
                Some(m) if name == BARE => format!("{} + {}", time(m.wall), time(m.writing)),
                Some(m) => format!("{} / {}{}", time(m.wall), time(m.cpu), m.trouble.map_or("", |_| " *")),
            })
            .collect();
        writeln!(out, "| {scenario} | {rtt} | {} |", cells.join(" | "))?;
    }
    writeln!(out)
}

/// Two digits that mean something.
fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 10.0 => format!("{s:.1}"),
        s if s >= 0.1 => format!("{s:.2}"),
        s => format!("{s:.3}"),
    }
}

type Number = fn(&Medians) -> f64;

/// What is compared in order to say who is ahead: a name, and the number of which less is better.
const COMPARED: [(&str, Number); 5] = [
    ("wall", |m| m.wall),
    ("CPU", |m| m.cpu),
    ("memory", |m| m.rss),
    ("bytes", |m| (m.up + m.down) as f64),
    ("round trips", |m| m.longest as f64),
];
/// Two programs are even where the better one needs this much of what the other needs.
const EVEN: f64 = 0.98;

fn ahead(out: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(out, "### Where a peer is ahead\n")?;
    writeln!(
        out,
        "What it needs compared with mailsync, where that is less; round trips are those of the connection that has most.\n"
    )?;
    let mut scenarios: Vec<Scenario> = cases(results).into_iter().map(|(scenario, _)| scenario).collect();
    scenarios.dedup();
    let mut none = true;
    for scenario in scenarios {
        for name in rows(results).iter().filter(|name| !name.starts_with("mailsync") && *name != BARE) {
            let less: Vec<String> =
                COMPARED.iter().filter_map(|(what, of)| less(results, scenario, name, what, *of)).collect();
            if !less.is_empty() {
                none = false;
                writeln!(out, "- {scenario}, {name}: {}", less.join("; "))?;
            }
        }
    }
    if none {
        writeln!(out, "- nowhere")?;
    }
    writeln!(out)
}

/// Where a peer that did its work needs less of one thing in one scenario: `wall 0.92 x (RTT 0)`.
fn less(results: &Results, scenario: Scenario, peer: &str, what: &str, of: Number) -> Option<String> {
    let mut found = Vec::new();
    for rtt in cases(results).iter().filter(|(of, _)| *of == scenario).map(|(_, rtt)| *rtt) {
        let ours = medians(results, scenario, rtt, "mailsync")?;
        let Some(theirs) = medians(results, scenario, rtt, peer).filter(|m| m.trouble.is_none()) else { continue };
        let ratio = of(&theirs) / of(&ours);
        if ratio < EVEN {
            found.push(format!("{ratio:.2} x at RTT {rtt}"));
        }
    }
    (!found.is_empty()).then(|| format!("{what} {}", found.join(", ")))
}

/// What was done in a scenario.
fn told(scenario: Scenario, options: &Options) -> String {
    match scenario {
        Scenario::Pull => "the first sync, into nothing".to_owned(),
        Scenario::Noop => "nothing changed".to_owned(),
        Scenario::NoopFolders => format!("nothing changed, {} folders of ten messages", options.noop_folders),
        Scenario::Many => format!("the first sync, {} folders of two messages", options.many),
        Scenario::ServerDelta | Scenario::LocalDelta => {
            let Delta { new, reflagged, gone } = Delta::of(scenario, options.messages);
            let side = if scenario == Scenario::ServerDelta { "on the server" } else { "on the local side" };
            format!("{side} {new} new, {reflagged} with other flags, {gone} gone")
        }
    }
}

fn details(out: &mut String, options: &Options, results: &Results, scenario: Scenario) -> std::fmt::Result {
    writeln!(out, "### {scenario}: {}\n", told(scenario, options))?;
    writeln!(
        out,
        "| RTT | program | wall s | x mailsync | CPU s | x mailsync | peak MB | kB up | kB down | round trips | connections | contents |"
    )?;
    writeln!(out, "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|")?;
    for rtt in cases(results).iter().filter(|(of, _)| *of == scenario).map(|(_, rtt)| *rtt) {
        let ours = medians(results, scenario, rtt, "mailsync");
        for name in rows(results) {
            let Some(m) = medians(results, scenario, rtt, &name) else { continue };
            let ratio = |of: f64, to: Option<f64>| to.map_or(String::new(), |to| format!("{:.2}", of / to));
            let wall = if name == BARE { format!("{} + {}", time(m.wall), time(m.writing)) } else { time(m.wall) };
            let turns =
                if m.turns == m.longest { m.turns.to_string() } else { format!("{} (longest {})", m.turns, m.longest) };
            writeln!(
                out,
                "| {rtt} | {name} | {wall} | {} | {} | {} | {:.1} | {} | {} | {turns} | {} | {} |",
                ratio(m.all(), ours.as_ref().map(|ours| ours.wall)),
                time(m.cpu),
                ratio(m.cpu, ours.as_ref().map(|ours| ours.cpu)),
                m.rss,
                kilobytes(m.up),
                kilobytes(m.down),
                m.connections,
                if name == BARE { String::new() } else { m.contents() },
            )?;
        }
    }
    writeln!(out)
}

fn kilobytes(bytes: u64) -> String {
    if bytes < 100_000 { format!("{:.1}", bytes as f64 / 1000.0) } else { (bytes / 1000).to_string() }
}

/// Puts the results between the marker lines of a file.
pub fn write_into(path: &Path, results: &str) {
    let text = fs::read_to_string(path).unwrap_or_else(|err| panic!("read {}: {err}", path.display()));
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.unwrap_or_else(|| panic!("{} lacks the lines {BEGIN:?} and {END:?}", path.display()));
    let text = format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", results.trim_end());
    fs::write(path, text).unwrap_or_else(|err| panic!("write {}: {err}", path.display()));
}
