//! What is to be measured, and how big.

use crate::scenario::Scenario;
use clap::Parser;
use std::path::PathBuf;

/// Measures mailsync and the peers that are found in PATH.
#[derive(Parser, Clone, Debug)]
#[command(name = "cargo bench --bench peers --")]
pub struct Options {
    /// Messages of the mailbox.
    #[arg(long, default_value_t = 10_000)]
    pub messages: usize,
    /// Folders that they are spread over.
    #[arg(long, default_value_t = 20)]
    pub folders: usize,
    /// Folders, of two messages each, of the scenario `many`.
    #[arg(long, default_value_t = 500)]
    pub many: usize,
    /// Folders, of ten messages each, of the scenario `noop-folders`.
    #[arg(long, default_value_t = 200)]
    pub noop_folders: usize,
    /// Round-trip times of the line, in ms.
    #[arg(long, value_delimiter = ',', default_value = "0,20,50,100")]
    pub rtt: Vec<u64>,
    /// How often all of it is done; medians are told.
    #[arg(long, default_value_t = 3)]
    pub runs: usize,
    /// Only these programs, by the names in the table.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// Only these scenarios.
    #[arg(long, value_delimiter = ',')]
    pub scenario: Vec<Scenario>,
    /// A small mailbox, two latencies, one run: shows in a minute whether all of it works.
    #[arg(long)]
    pub quick: bool,
    /// Another build of mailsync, measured beside this one as `mailsync 2`, `mailsync 3`...
    #[arg(long, value_name = "PATH")]
    pub mailsync: Vec<PathBuf>,
    /// Where the local side is kept. Default: /dev/shm where there is one, else the directory of temporary files.
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Seconds after which a program is stopped and taken for failed.
    #[arg(long, default_value_t = 1800)]
    pub timeout: u64,
    /// Also writes the results into this file, between its two marker lines.
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// Cargo says this.
    #[arg(long, hide = true)]
    pub bench: bool,
}

impl Options {
    /// With `--quick` applied.
    pub fn sized(&self) -> Options {
        let mut sized = self.clone();
        if self.quick {
            (sized.messages, sized.folders, sized.many, sized.noop_folders) = (300, 5, 30, 40);
            (sized.rtt, sized.runs) = (vec![0, 20], 1);
        }
        // A delta needs a slice of the messages, and a folder one at least.
        sized.messages = sized.messages.max(60).max(sized.folders);
        sized.folders = sized.folders.max(1);
        sized
    }

    /// Whether this program is asked for.
    pub fn wants(&self, program: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == program)
    }

    /// The scenarios, in the order in which they are played.
    pub fn scenarios(&self) -> Vec<Scenario> {
        let wanted = |scenario: &Scenario| self.scenario.is_empty() || self.scenario.contains(scenario);
        Scenario::ALL.into_iter().filter(wanted).collect()
    }

    /// The command that does the same again. Paths are left out: they change nothing but the machine.
    pub fn command(&self) -> String {
        let rtt: Vec<String> = self.rtt.iter().map(u64::to_string).collect();
        let mut line = format!(
            "cargo bench --bench peers -- --messages {} --folders {} --many {} --noop-folders {} --rtt {} --runs {}",
            self.messages,
            self.folders,
            self.many,
            self.noop_folders,
            rtt.join(","),
            self.runs
        );
        if !self.only.is_empty() {
            line.push_str(&format!(" --only '{}'", self.only.join(",")));
        }
        if !self.scenario.is_empty() {
            let names: Vec<String> = self.scenarios().iter().map(Scenario::to_string).collect();
            line.push_str(&format!(" --scenario {}", names.join(",")));
        }
        line
    }

    /// Where the local side is kept.
    pub fn local_dir(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(memory)
    }
}

/// A directory in memory, where the system has one.
pub fn memory() -> PathBuf {
    let shm = PathBuf::from("/dev/shm");
    if shm.is_dir() { shm } else { std::env::temp_dir() }
}
