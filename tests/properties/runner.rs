//! Plays many histories, each from a seed of its own; the first that fails is shrunk, and printed as a test.

use super::acts::Case;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use std::fmt::Write;
use std::time::SystemTime;

/// How many histories each part of a property plays, unless `PROPTEST_CASES` says otherwise.
pub const EACH: u64 = 5600;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, but is {text:?}")))
}

/// The seed of the first history where nobody gives another: a change is judged by the same histories as the one
/// before it. New ones are played at night.
const FIRST: u64 = 1_000_000;

/// The seed of the first history: `MAILSYNC_SEED`, which may be `new` for one that nobody had before.
fn seed() -> u64 {
    match std::env::var("MAILSYNC_SEED").as_deref() {
        Ok("new") => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            // Short enough to be typed.
            now.map_or(0, |time| time.as_nanos() as u64) % 1_000_000_000_000
        }
        _ => number("MAILSYNC_SEED").unwrap_or(FIRST),
    }
}

/// Plays histories of `cases` by `play`, which panics where one ends badly. History number n has the seed of the first
/// one plus n, so that any of them can be played alone.
///
/// `part` says whose turn it is: the parts of a property play one after the other's histories.
pub fn histories(property: &str, part: u64, cases: impl Strategy<Value = Case>, play: impl Fn(&Case)) {
    let count = number("PROPTEST_CASES").unwrap_or(EACH);
    let first = seed().wrapping_add(part * count);
    eprintln!("{property}: {count} histories from MAILSYNC_SEED={first} on");
    for seed in (0..count).map(|number| first.wrapping_add(number)) {
        let config = Config {
            cases: 1,
            rng_seed: RngSeed::Fixed(seed),
            failure_persistence: None,
            max_shrink_iters: 20_000,
            ..Config::default()
        };
        let outcome = TestRunner::new(config).run(&cases, |case| {
            play(&case);
            Ok::<(), TestCaseError>(())
        });
        match outcome {
            Ok(()) => {}
            Err(TestError::Fail(reason, case)) => panic!("{}", failure(property, seed, reason.message(), &case)),
            Err(TestError::Abort(reason)) => panic!("{property}: MAILSYNC_SEED={seed}: {reason}"),
        }
    }
}

fn failure(property: &str, seed: u64, reason: &str, case: &Case) -> String {
    let mut text = format!("{reason}\n\nTo see it again: MAILSYNC_SEED={seed} PROPTEST_CASES=1 tests/run {property}\n");
    text += "For tests/properties/found.rs, shrunk:\n\n";
    let mut line = |line: std::fmt::Arguments<'_>| writeln!(text, "{line}").expect("memory takes all");
    line(format_args!("#[test]\nfn seed_{seed}() {{\n    {property}(&Case {{"));
    line(format_args!("        natures: {:?},", case.natures));
    line(format_args!("        way: {:?},", case.way));
    line(format_args!("        history: vec!["));
    for act in &case.history {
        // What is in it of lists are vectors; boxes do not say that they are boxes.
        let act = format!("{act:?}").replace('[', "vec![").replace("Meanwhile(", "meanwhile(");
        let act = act.replace("reach: ", "reach: Reach::").replace("kind: ", "kind: Kind::");
        line(format_args!("            {act},"));
    }
    line(format_args!("        ],\n    }});\n}}"));
    text
}
