//! Times as the user's clock and calendar show them.

use crate::ui::span;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A time that is past, or almost: `10:32 (2 min ago)`; with its day where that is another one.
pub fn past(then: u64, now: SystemTime) -> String {
    let ago = now.duration_since(time(then)).unwrap_or_default();
    format!("{} ({} ago)", shown(then, now), span(ago))
}

/// A time to come: `10:32 (in 2 min)`; `now` where it is past.
pub fn coming(then: u64, now: SystemTime) -> String {
    match time(then).duration_since(now) {
        Ok(rest) if !rest.is_zero() => format!("{} (in {})", shown(then, now), span(rest)),
        _ => "now".to_owned(),
    }
}

/// Seconds since 1970 as a time; the farthest that can be said where they are too many.
fn time(seconds: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH)
}

fn shown(then: u64, now: SystemTime) -> String {
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (Some(then), Some(now)) = (local(then), local(now)) else { return "?".to_owned() };
    let clock = format!("{:02}:{:02}", then.tm_hour, then.tm_min);
    match (then.tm_year, then.tm_yday) == (now.tm_year, now.tm_yday) {
        true => clock,
        false => {
            format!("{:04}-{:02}-{:02} {clock}", i64::from(then.tm_year) + 1900, then.tm_mon + 1, then.tm_mday)
        }
    }
}

/// The parts of a time where the user is; `None` where no calendar goes so far.
fn local(seconds: u64) -> Option<libc::tm> {
    let seconds = libc::time_t::try_from(seconds).ok()?;
    let mut parts = std::mem::MaybeUninit::<libc::tm>::uninit();
    // SAFETY: both pointers are good for the call. It reads TZ, and no thread is there that changes the environment.
    let done = unsafe { libc::localtime_r(&seconds, parts.as_mut_ptr()) };
    // SAFETY: all parts are set where it gives the pointer back.
    (!done.is_null()).then(|| unsafe { parts.assume_init() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_500_000_000;

    #[test]
    fn times_are_told_with_how_far_away_they_are() {
        let now = time(NOW);
        let minutes = past(NOW - 1, now);
        assert!(minutes.ends_with(" (1 min ago)") && minutes.as_bytes()[2] == b':', "{minutes}");
        let days = past(NOW - 20 * 86_400, now);
        assert!(days.starts_with("2017-06-2") && days.ends_with(" (20 days ago)"), "{days}");
        assert!(coming(NOW + 300, now).ends_with(" (in 5 min)"));
        assert_eq!(coming(NOW - 1, now), "now");
    }

    #[test]
    fn times_of_no_calendar_and_of_the_future_are_told_somehow() {
        let now = time(NOW);
        assert!(past(u64::MAX, now).starts_with("? "));
        assert!(past(NOW + 3600, now).contains("(1 min ago)"));
    }
}
