//! Measures mailsync beside mbsync, OfflineIMAP and InterIMAP, against one private Dovecot behind a latency line:
//!
//! ```text
//! cargo bench --bench peers -- --quick
//! ```
//!
//! docs/performance.md says what is measured and how.

#[path = "../../tests/support/mod.rs"]
mod support;
#[path = "../usage.rs"]
mod usage;

mod bare;
mod line;
mod measure;
mod message;
mod options;
mod play;
mod programs;
mod scenario;
mod server;
mod table;
mod verify;

use clap::Parser;
use options::Options;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some(measure::CHILD) => return measure::child(&args[2..]),
        Some(bare::CHILD) => return bare::child(&args[2..]),
        _ => {}
    }
    let options = Options::parse_from(args);
    if !options.bench {
        // `cargo test --benches` builds and starts this too; a measurement is not what it asks for.
        eprintln!("peers: nothing is measured without --bench; cargo bench --bench peers -- --quick does it");
        return ExitCode::SUCCESS;
    }
    let results = play::all(&options.sized());
    let text = table::markdown(&options.sized(), &results);
    println!("{text}");
    if let Some(path) = &options.write {
        table::write_into(path, &text);
    }
    if results.all_verified() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
