//! Runs a piece of work some times and prints what it took.
//!
//! What is measured here takes from a millisecond to seconds, so that a clock around it is enough; the crate criterion
//! would bring twenty others along.

use crate::usage::{Of, usage};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// No more samples are taken once they took this long together.
const LONG_ENOUGH: Duration = Duration::from_secs(5);
const FEWEST: usize = 3;
const MOST: usize = 30;

pub struct Sampler {
    /// Parts of the names that are asked for; all where there are none.
    wanted: Vec<String>,
}

impl Sampler {
    /// Begins the table.
    pub fn new(wanted: Vec<String>) -> Sampler {
        println!("| what | median ms | least | most | CPU ms | per second |");
        println!("|---|---:|---:|---:|---:|---:|");
        Sampler { wanted }
    }

    /// Whether any of these names is asked for: what takes long to prepare asks first.
    pub fn wants(&self, name: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|part| name.contains(part))
    }

    /// Measures `work` on what `prepare` makes, which is not measured; nor is the end of what `work` gives. Each run does
    /// so many `units`, such as `(1_000, "changes")`. The CPU time is that of this process.
    pub fn run<T, R>(
        &self,
        name: &str,
        units: (u64, &str),
        mut prepare: impl FnMut() -> T,
        mut work: impl FnMut(T) -> R,
    ) {
        if !self.wants(name) {
            return;
        }
        // The first one fills caches.
        black_box(work(prepare()));
        let (mut walls, mut cpus) = (Vec::new(), Vec::new());
        let mut all = Duration::ZERO;
        while walls.len() < FEWEST || (walls.len() < MOST && all < LONG_ENOUGH) {
            let input = prepare();
            let (before, start) = (usage(Of::Myself).cpu, Instant::now());
            let result = black_box(work(black_box(input)));
            let wall = start.elapsed();
            cpus.push(usage(Of::Myself).cpu.saturating_sub(before));
            walls.push(wall);
            all += wall;
            drop(result);
        }
        walls.sort();
        cpus.sort();
        let ms = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1000.0);
        let (median, cpu) = (walls[walls.len() / 2], cpus[cpus.len() / 2]);
        let (least, most) = (walls[0], walls[walls.len() - 1]);
        let (count, unit) = units;
        let rate = count as f64 / median.as_secs_f64();
        println!("| {name} | {} | {} | {} | {} | {rate:.0} {unit} |", ms(median), ms(least), ms(most), ms(cpu));
    }
}
