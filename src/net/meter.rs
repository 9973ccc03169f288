//! How fast a line is, told from what comes over it while nothing else is waited for.

use std::time::{Duration, Instant};

/// Over how long a rate is measured.
const WINDOW: Duration = Duration::from_secs(1);

/// A line that brings less in a second is slower than a server compresses: Dovecot makes 30 MB/s of one core, and what
/// it sends is compressed to a half or a third.
const SLOW: u64 = 8 * 1024 * 1024;

/// Measures while it is on. It is off but for downloads: between two commands a line is idle, not slow.
#[derive(Debug, Default)]
pub(super) struct Meter {
    window: Option<Window>,
    /// Bytes a second in the last whole window, where the line was what held things up.
    last: Option<u64>,
    /// The same, once two windows in a row agree that the line is slow. TCP begins slowly on a fast line, too.
    slow: Option<u64>,
}

#[derive(Debug)]
struct Window {
    begin: Instant,
    bytes: u64,
    waited: Duration,
}

impl Window {
    fn at(begin: Instant) -> Window {
        Window { begin, bytes: 0, waited: Duration::ZERO }
    }
}

impl Meter {
    /// Forgets the window that was begun: a pause follows, or has been.
    pub(super) fn pause(&mut self) {
        self.window = None;
    }

    /// So many bytes came in at this time, after so long a wait for them.
    pub(super) fn came(&mut self, now: Instant, bytes: u64, waited: Duration) {
        // Bytes count from the first ones on, which had been waited for in another way.
        let Some(window) = &mut self.window else {
            self.window = Some(Window::at(now));
            return;
        };
        window.bytes += bytes;
        window.waited += waited;
        let took = now.saturating_duration_since(window.begin);
        if took < WINDOW {
            return;
        }
        // Who reads slowly finds something to read every time.
        let rate = (window.waited * 2 >= took).then(|| rate(window.bytes, took));
        self.slow = match (self.last, rate) {
            (Some(before), Some(rate)) if before.max(rate) < SLOW && rate < before.saturating_mul(2) => Some(rate),
            _ => None,
        };
        self.last = rate;
        self.window = Some(Window::at(now));
    }

    /// Whether the line is so slow that this much takes several seconds.
    pub(super) fn is_slow_for(&self, bytes: u64) -> bool {
        self.slow.is_some_and(|rate| bytes >= rate.saturating_mul(WORTH))
    }
}

/// For how many seconds something must still come for a change to be worth its round trips.
const WORTH: u64 = 2;

fn rate(bytes: u64, took: Duration) -> u64 {
    (bytes as f64 / took.as_secs_f64()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets `bytes` come every ten milliseconds, of which so many were waited, for so many seconds.
    fn feed(meter: &mut Meter, from: Instant, seconds: u64, bytes: u64, waited: u64) -> Instant {
        let tick = |at: u64| from + Duration::from_millis(10 * at);
        (1..=seconds * 100).for_each(|at| meter.came(tick(at), bytes, Duration::from_millis(waited)));
        tick(seconds * 100)
    }

    const MUCH: u64 = 1 << 40;

    #[test]
    fn a_line_is_slow_when_two_seconds_agree() {
        let mut meter = Meter::default();
        let now = feed(&mut meter, Instant::now(), 1, 10_000, 9);
        assert!(!meter.is_slow_for(MUCH));
        let now = feed(&mut meter, now, 2, 10_000, 9);
        assert!(meter.is_slow_for(MUCH));
        // 1 MB/s: what comes within two seconds is not worth it.
        assert!(meter.is_slow_for(2_100_000) && !meter.is_slow_for(1_900_000));
        feed(&mut meter, now, 2, 1_000_000, 9);
        assert!(!meter.is_slow_for(MUCH));
    }

    #[test]
    fn a_line_that_becomes_faster_and_faster_is_not_slow_yet() {
        let mut meter = Meter::default();
        let mut now = Instant::now();
        for bytes in [1_000, 4_000, 16_000, 64_000] {
            now = feed(&mut meter, now, 1, bytes, 9);
            assert!(!meter.is_slow_for(MUCH), "{bytes}");
        }
    }

    #[test]
    fn whoever_is_busy_with_other_things_says_nothing_of_the_line() {
        let mut meter = Meter::default();
        feed(&mut meter, Instant::now(), 5, 10_000, 3);
        assert!(!meter.is_slow_for(MUCH));
    }

    #[test]
    fn pauses_do_not_count() {
        let mut meter = Meter::default();
        let mut now = Instant::now();
        for _ in 0..20 {
            // A burst of 40 ms at 10 MB/s, then a pause.
            for _ in 0..4 {
                now += Duration::from_millis(10);
                meter.came(now, 100_000, Duration::from_millis(9));
            }
            meter.pause();
            now += Duration::from_millis(200);
        }
        assert!(!meter.is_slow_for(MUCH));
    }
}
