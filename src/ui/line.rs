//! A line for each thing done; where quiet, only what failed or was held.

use super::text::{Line, Tally, lines};
use super::{Face, Writers};
use crate::sync::event::{Event, Report};
use std::io::Write;

pub(super) struct Lines {
    writers: Writers,
    quiet: bool,
    tally: Tally,
}

impl Lines {
    pub fn new(writers: Writers, quiet: bool) -> Lines {
        Lines { writers, quiet, tally: Tally::default() }
    }

    fn write(&mut self, lines: Vec<Line>) {
        for line in lines {
            write_line(&mut self.writers, self.quiet, &line);
        }
    }
}

impl Face for Lines {
    fn event(&mut self, event: &Event) {
        self.tally.hear(event);
        self.write(lines(event));
    }

    fn finish(&mut self, report: &Report) {
        let end = self.tally.end(report);
        self.write(end);
    }
}

/// Writes a line to where it belongs. A reader that is gone is passed over.
pub(super) fn write_line(writers: &mut Writers, quiet: bool, line: &Line) {
    let (to, text) = match line {
        Line::Result(_) | Line::Note(_) if quiet => return,
        Line::Result(text) => (&mut writers.out, text),
        Line::Note(text) | Line::Problem(text) => (&mut writers.err, text),
    };
    // One write a line, so that lines of several processes do not mix.
    let _ = to.write_all(format!("{text}\n").as_bytes()).and_then(|()| to.flush());
}
