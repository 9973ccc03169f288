//! `mailsync watch` for a while, with three accounts on servers of different talents, while mail changes on both sides,
//! lines break in every way, servers go and come, the clock is set, and the process is stopped as by a machine that
//! sleeps. In between, and at the end, nothing of that happens: then both sides must come to be equal.
//!
//! `MAILSYNC_SOAK` says for how long (`90s`, `30m`; 2 minutes otherwise), `MAILSYNC_SEED` what chance begins with.

#[path = "../support/mod.rs"]
mod support;

mod life;
mod line;
mod soak;
mod watch;

use soak::Soak;
use std::env;
use std::time::Duration;

fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.len().checked_sub(1)?);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    Some(Duration::from_secs(number.parse::<u64>().ok()? * unit))
}

#[test]
fn it_keeps_accounts_in_step_whatever_happens_around_it() {
    let told = env::var("MAILSYNC_SOAK").unwrap_or_else(|_| "2m".to_owned());
    let duration = duration(&told).expect("MAILSYNC_SOAK is a number and one of s, m and h");
    let seed = env::var("MAILSYNC_SEED").map_or(1, |text| text.parse().expect("MAILSYNC_SEED is a number"));
    println!("MAILSYNC_SEED={seed} MAILSYNC_SOAK={told}");
    let mut soak = Soak::begin(seed);
    soak.measure();
    soak.rage(duration);
    soak.end();
}
