//! The seeds of the fuzz targets, which hold all that ever fell out, go through the targets themselves: those that need
//! nothing but what the library shows to everybody.

#![allow(
    unused_attributes,
    dead_code,
    clippy::duplicate_mod,
    reason = "the targets are programs of their own, and each takes what it needs"
)]

#[path = "../fuzz/fuzz_targets/config.rs"]
mod config;
#[path = "../fuzz/fuzz_targets/engine.rs"]
mod engine;
#[path = "../fuzz/fuzz_targets/netrc.rs"]
mod netrc;
#[path = "../fuzz/fuzz_targets/token.rs"]
mod token;

// What the targets know as the crate of this name is the macro below.
extern crate self as libfuzzer_sys;

/// Makes a function of what a target does.
#[macro_export]
macro_rules! fuzz_target {
    (|$input:ident: &[u8]| $body:block) => {
        pub fn fuzz($input: &[u8]) {
            $body
        }
    };
}

fn all_seeds_of(target: &str, fuzz: fn(&[u8])) {
    let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut count = 0;
    for seed in std::fs::read_dir(seeds).expect("the target has seeds") {
        let path = seed.expect("read the seeds").path();
        // Shown only where it fails.
        println!("{}", path.display());
        fuzz(&std::fs::read(&path).expect("read a seed"));
        count += 1;
    }
    assert!(count > 5, "{target} has {count} seeds");
}

#[test]
fn seeds_of_token_keep_their_promise() {
    all_seeds_of("token", token::fuzz);
}

#[test]
fn seeds_of_netrc_keep_their_promise() {
    all_seeds_of("netrc", netrc::fuzz);
}

#[test]
fn seeds_of_config_keep_their_promise() {
    all_seeds_of("config", config::fuzz);
}

#[test]
fn seeds_of_the_engine_keep_their_promise() {
    all_seeds_of("engine", engine::fuzz);
}
