//! What a run shows of itself: bars on a terminal, a line for each thing done elsewhere. Knows events and nothing else.
//!
//! Results and the summary go to standard output, problems, notes and bars to standard error.

mod bars;
mod line;
mod text;

pub use text::{clean, done, harmful, plain, span, width};

use crate::sync::event::{Event, Report};
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// How a run is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum UiKind {
    /// Bars where standard error is a terminal, else lines
    #[default]
    Auto,
    /// A line for each thing done
    Basic,
    /// Nothing unless something failed or was held
    Quiet,
}

/// Where a run is written to: results first, problems second.
pub struct Writers {
    pub out: Box<dyn Write + Send>,
    pub err: Box<dyn Write + Send>,
}

impl Writers {
    /// The process's own.
    pub fn standard() -> Writers {
        Writers { out: Box::new(io::stdout()), err: Box::new(io::stderr()) }
    }
}

/// What a face does with events. Failures to write are nobody's: a reader that is gone wants no more, and the exit
/// code tells the outcome.
trait Face: Send {
    fn event(&mut self, event: &Event);
    fn finish(&mut self, report: &Report);
}

enum Said {
    Event(Event),
    Finish(Report),
    End,
}

/// The bars on the process's own terminal, while there are any.
static SHOWN: Mutex<Option<indicatif::MultiProgress>> = Mutex::new(None);

/// Asks something on the terminal, with no bar in the way.
pub fn undisturbed<T>(ask: impl FnOnce() -> T) -> T {
    let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match shown {
        Some(bars) => bars.suspend(ask),
        None => ask(),
    }
}

/// A running face. It writes from a thread of its own, so that a slow terminal never holds up a run.
pub struct Ui {
    said: Sender<Said>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Ui {
    /// Starts a face on the process's own streams; `quiet` overrides `kind`.
    pub fn new(kind: UiKind, quiet: bool) -> Ui {
        let quiet = quiet || kind == UiKind::Quiet;
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        match kind {
            UiKind::Auto if !quiet && !dumb && io::stderr().is_terminal() => {
                let target = indicatif::ProgressDrawTarget::stderr();
                let bars = bars::Bars::new(Writers::standard(), target);
                *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(bars.all());
                Ui::start(Box::new(bars))
            }
            _ => Ui::lines(Writers::standard(), quiet),
        }
    }

    /// Starts the face of lines on any two writers.
    pub fn lines(writers: Writers, quiet: bool) -> Ui {
        Ui::start(Box::new(line::Lines::new(writers, quiet)))
    }

    /// Starts the face of bars on any two writers and any terminal.
    pub fn bars(writers: Writers, target: indicatif::ProgressDrawTarget) -> Ui {
        Ui::start(Box::new(bars::Bars::new(writers, target)))
    }

    fn start(mut face: Box<dyn Face>) -> Ui {
        let (said, heard) = channel();
        let writer = std::thread::spawn(move || {
            for said in heard {
                match said {
                    Said::Event(event) => face.event(&event),
                    Said::Finish(report) => return face.finish(&report),
                    Said::End => return,
                }
            }
        });
        Ui { said, writer: Mutex::new(Some(writer)) }
    }

    /// Where the engine's events go. Never blocks; what comes after [`Ui::finish`] is dropped.
    pub fn observer(&self) -> Arc<dyn Fn(Event) + Send + Sync> {
        let said = self.said.clone();
        Arc::new(move |event| {
            // Fails only after the end, when nobody listens any more.
            let _ = said.send(Said::Event(event));
        })
    }

    /// Waits until all is written, and writes no summary. Only the first call does anything.
    pub fn end(&self) {
        self.stop(Said::End);
    }

    /// Clears the bars, writes the summary and waits until all is written. Only the first call does anything.
    pub fn finish(&self, report: &Report) {
        self.stop(Said::Finish(report.clone()));
    }

    fn stop(&self, last: Said) {
        let _ = self.said.send(last);
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // A face that panicked has said so on standard error; the run's outcome is not its own.
            let _ = writer.join();
        }
    }
}
