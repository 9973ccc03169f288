//! A bar for each folder that is being copied, and what matters above them.

use super::line::write_line;
use super::text::{Line, Tally, at, bytes, clean, lines};
use super::{Face, Writers};
use crate::mail::{FolderName, Side};
use crate::sync::event::{Event, Report};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What a bar is about.
type Place = (String, FolderName, Side);

struct Bar {
    bar: ProgressBar,
    since: Instant,
}

pub(super) struct Bars {
    writers: Writers,
    all: MultiProgress,
    copying: HashMap<Place, Bar>,
    /// An account's own line, above those of its folders.
    accounts: HashMap<String, ProgressBar>,
    tally: Tally,
}

impl Bars {
    pub fn new(writers: Writers, target: ProgressDrawTarget) -> Bars {
        Bars {
            writers,
            all: MultiProgress::with_draw_target(target),
            copying: HashMap::new(),
            accounts: HashMap::new(),
            tally: Tally::default(),
        }
    }

    /// All that is drawn, to be hidden while somebody else writes.
    pub fn all(&self) -> MultiProgress {
        self.all.clone()
    }

    /// Writes above the bars. What was done is told by the bars and the summary, so only the rest is written.
    fn above(&mut self, lines: Vec<Line>) {
        let (all, writers) = (&self.all, &mut self.writers);
        if !lines.is_empty() {
            all.suspend(|| lines.iter().for_each(|line| write_line(writers, false, line)));
        }
    }

    fn account(&mut self, account: &str, doing: String) {
        let bar = self.accounts.entry(account.to_owned()).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new_spinner().with_style(style("{spinner} {prefix}: {wide_msg}")));
            bar.set_prefix(clean(account).into_owned());
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        bar.set_message(doing);
    }

    fn copied(&mut self, place: Place, done: usize, of: usize, size: u64) {
        let (all, accounts) = (&self.all, &self.accounts);
        let entry = self.copying.entry(place);
        let name = {
            let (account, folder, to) = entry.key();
            format!("{} to {to}", at(account, Some(folder)))
        };
        let account = accounts.get(&entry.key().0);
        let bar = entry.or_insert_with(|| {
            let bar = ProgressBar::new(of as u64)
                .with_style(style("{prefix:30!} [{bar:12}] {pos}/{len} {msg} {eta}"))
                .with_prefix(name);
            let bar = match account {
                Some(account) => all.insert_after(account, bar),
                None => all.add(bar),
            };
            Bar { bar, since: Instant::now() }
        });
        let seconds = bar.since.elapsed().as_secs_f64();
        let rate = if seconds > 0.5 { format!(" {}/s", bytes((size as f64 / seconds) as u64)) } else { String::new() };
        bar.bar.set_length(of as u64);
        bar.bar.set_message(format!("{}{rate}", bytes(size)));
        bar.bar.set_position(done as u64);
    }

    fn drop_bars(&mut self, gone: impl Fn(&Place) -> bool) {
        let all = &self.all;
        self.copying.retain(|place, bar| {
            let gone = gone(place);
            if gone {
                bar.bar.finish_and_clear();
                all.remove(&bar.bar);
            }
            !gone
        });
    }
}

/// The templates are literals of this file and the test below reads each of them.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("## ")
}

impl Face for Bars {
    fn event(&mut self, event: &Event) {
        self.tally.hear(event);
        match event {
            Event::AccountStarted { account } => self.account(account, "connecting".to_owned()),
            Event::Listed { account, folders, to_look_at } => {
                let folder = if *folders == 1 { "folder" } else { "folders" };
                self.account(account, format!("{folders} {folder}, {to_look_at} to look at"));
            }
            Event::Copying { account, folder, to, done, of, bytes } => {
                self.copied((account.clone(), folder.clone(), *to), *done, *of, *bytes);
            }
            Event::FolderDone { account, folder, .. } => self.drop_bars(|(a, f, _)| a == account && f == folder),
            Event::AccountDone { account, .. } => {
                self.drop_bars(|(a, _, _)| a == account);
                if let Some(bar) = self.accounts.remove(account) {
                    bar.finish_and_clear();
                    self.all.remove(&bar);
                }
            }
            Event::FolderCreated { .. } | Event::FolderRenamed { .. } | Event::FolderDeleted { .. } => {}
            Event::Planned { .. } | Event::Messages { .. } => {}
            Event::WouldDo { .. }
            | Event::Held { .. }
            | Event::Problem { .. }
            | Event::Waiting { .. }
            | Event::Hook { .. }
            | Event::Note { .. } => self.above(lines(event)),
        }
    }

    fn finish(&mut self, report: &Report) {
        self.drop_bars(|_| true);
        self.accounts.drain().for_each(|(_, bar)| bar.finish_and_clear());
        // A terminal that is gone needs no clearing.
        let _ = self.all.clear();
        let end = self.tally.end(report);
        self.above(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_sound() {
        for template in ["{spinner} {prefix}: {wide_msg}", "{prefix:30!} [{bar:12}] {pos}/{len} {msg} {eta}"] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
