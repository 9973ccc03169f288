//! Measures single parts of the program: the engine, the scan of a Maildir, the tokenizer, line ends.
//!
//! ```text
//! cargo bench --bench micro -- [PART OF A NAME]...
//! ```

#[path = "../../tests/support/mod.rs"]
mod support;
#[path = "../usage.rs"]
mod usage;

mod engine;
mod sampler;
mod stores;
mod wire;

use sampler::Sampler;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if !args.iter().any(|arg| arg == "--bench") {
        // `cargo test --benches` builds and starts this too; a measurement is not what it asks for.
        eprintln!("micro: nothing is measured without --bench; cargo bench --bench micro does it");
        return;
    }
    let wanted = args.into_iter().filter(|arg| !arg.starts_with('-')).collect();
    let sampler = Sampler::new(wanted);
    engine::measure(&sampler);
    stores::measure(&sampler);
    wire::measure(&sampler);
}
