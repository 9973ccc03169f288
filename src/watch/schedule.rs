//! When an account is synced next, if nothing is told before. Pure, but for the dice.

use crate::store::Kind;
use crate::sync::Outcome;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

/// The next time after `now` that is a multiple of `interval` after `origin`, and not at once: all accounts look at the
/// same moment, so that the machine wakes up once for all of them.
pub fn on_the_beat(origin: Instant, interval: Duration, now: Instant) -> Instant {
    let least = now + interval / 4;
    let since = least.saturating_duration_since(origin);
    let beats = since.as_nanos().div_ceil(interval.as_nanos().max(1));
    // What does not fit is beyond every process's life.
    let beats = u32::try_from(beats).unwrap_or(u32::MAX);
    origin.checked_add(interval.saturating_mul(beats)).unwrap_or(least)
}

/// How long is waited after the `failures`th failure in a row, the first being 1; `dice` from 0 to 1 spreads those who
/// failed together.
pub fn back_off(outcome: Outcome, kind: Option<Kind>, failures: u32, dice: f64) -> Duration {
    const MINUTE: u64 = 60;
    let (first, most) = match (outcome, kind) {
        (Outcome::Locked, _) => (1, MINUTE),
        // It was refused for now: too many connections, or too much of something.
        (_, Some(Kind::Later)) => (MINUTE, 30 * MINUTE),
        // Nobody is helped by trying a wrong password often, and some servers lock the account.
        (Outcome::AuthFailed, _) => (15 * MINUTE, 240 * MINUTE),
        (_, Some(Kind::Tls | Kind::Protocol)) => (MINUTE, 15 * MINUTE),
        // What is left undone of an account of which the rest was done.
        (Outcome::Partial, _) => (15, 5 * MINUTE),
        _ => (3, 2 * MINUTE),
    };
    let doubled = first << failures.saturating_sub(1).min(20);
    Duration::from_secs(doubled.min(most)).mul_f64(0.8 + 0.4 * dice)
}

/// A number from 0 to 1.
pub fn dice() -> f64 {
    // Every state of the hasher has keys of its own.
    (RandomState::new().hash_one(0) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_account_looks_at_the_same_time() {
        let origin = Instant::now();
        let interval = Duration::from_secs(300);
        let after = |seconds: u64| on_the_beat(origin, interval, origin + Duration::from_secs(seconds)) - origin;
        for (now, next) in [(0, 300), (1, 300), (224, 300), (226, 600), (300, 600), (86_399, 86_700)] {
            assert_eq!(after(now).as_secs(), next, "{now}");
        }
        assert!(on_the_beat(origin, Duration::ZERO, origin) >= origin);
    }

    #[test]
    fn who_fails_waits_longer_each_time_and_a_wrong_password_longest() {
        let wait = |outcome, kind, failures| back_off(outcome, kind, failures, 0.5).as_secs();
        let network = Some(Kind::Network);
        assert_eq!([1, 2, 3, 40].map(|n| wait(Outcome::Failed, network, n)), [3, 6, 12, 120]);
        assert_eq!([1, 2, 9].map(|n| wait(Outcome::AuthFailed, Some(Kind::Auth), n)), [900, 1800, 14_400]);
        assert_eq!([1, 9].map(|n| wait(Outcome::AuthFailed, Some(Kind::Later), n)), [60, 1800]);
        assert_eq!([1, 9].map(|n| wait(Outcome::Locked, None, n)), [1, 60]);
        assert_eq!([1, 9].map(|n| wait(Outcome::Partial, Some(Kind::Disk), n)), [15, 300]);
        assert!(back_off(Outcome::Failed, network, 1, 0.0) < back_off(Outcome::Failed, network, 1, 1.0));
    }

    #[test]
    fn the_dice_falls_between_0_and_1_and_not_always_alike() {
        let thrown: Vec<f64> = (0..100).map(|_| dice()).collect();
        assert!(thrown.iter().all(|number| (0.0..1.0).contains(number)));
        assert!(thrown.iter().any(|number| *number < 0.5) && thrown.iter().any(|number| *number > 0.5));
    }
}
