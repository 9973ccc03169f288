//! Jumps of the clock: the machine slept, or somebody set the time.

use std::os::fd::{AsFd, BorrowedFd};

/// Listens for jumps: its descriptor becomes readable when the clock of the day was set, which it is after every sleep.
#[derive(Debug)]
pub struct Jumps(inner::Timer);

impl Jumps {
    /// Begins to listen; `None` where the system does not tell.
    pub fn begin() -> Option<Jumps> {
        inner::Timer::begin().map(Jumps)
    }

    /// Takes note of jumps that were told, and listens on.
    pub fn jumped(&self) -> bool {
        self.0.jumped()
    }
}

impl AsFd for Jumps {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A timer that never ends, and that the kernel takes back when the clock jumps (timerfd_create(2),
/// `TFD_TIMER_CANCEL_ON_SET`).
#[cfg(target_os = "linux")]
mod inner {
    use rustix::io::{Errno, read};
    use rustix::time::{
        ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
        timerfd_settime,
    };
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

    /// Longer than any process lives: 30 years, in seconds.
    const NEVER: i64 = 30 * 365 * 24 * 3600;

    #[derive(Debug)]
    pub struct Timer(OwnedFd);

    impl Timer {
        pub fn begin() -> Option<Timer> {
            let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
            let timer = Timer(timerfd_create(TimerfdClockId::Realtime, flags).ok()?);
            timer.set().then_some(timer)
        }

        fn set(&self) -> bool {
            let end = clock_gettime(ClockId::Realtime).tv_sec.saturating_add(NEVER);
            let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
            let time = Itimerspec { it_interval: zero, it_value: Timespec { tv_sec: end, tv_nsec: 0 } };
            let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
            timerfd_settime(&self.0, flags, &time).is_ok()
        }

        pub fn jumped(&self) -> bool {
            let jumped = matches!(read(&self.0, &mut [0_u8; 8]), Err(Errno::CANCELED) | Ok(_));
            if jumped {
                self.set();
            }
            jumped
        }
    }

    impl AsFd for Timer {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod inner {
    use std::os::fd::{AsFd, BorrowedFd};

    #[derive(Debug)]
    pub enum Timer {}

    impl Timer {
        pub fn begin() -> Option<Timer> {
            None
        }

        pub fn jumped(&self) -> bool {
            match *self {}
        }
    }

    impl AsFd for Timer {
        fn as_fd(&self) -> BorrowedFd<'_> {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_clock_that_runs_on_is_no_news() {
        let jumps = Jumps::begin().expect("a timer");
        assert!(!jumps.jumped());
    }
}
