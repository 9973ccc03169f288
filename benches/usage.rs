//! What the kernel says that processes used.

#![allow(dead_code, reason = "each bench takes what it needs of this and leaves the rest")]

use std::time::Duration;

/// What was used so far.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// User and system time, of all threads.
    pub cpu: Duration,
    /// Peak of resident memory in KB, of the largest process.
    pub rss_kb: u64,
}

/// Whose.
#[derive(Clone, Copy, Debug)]
pub enum Of {
    Myself,
    /// Children that were waited for, with theirs.
    Children,
}

/// Asks the kernel.
pub fn usage(of: Of) -> Usage {
    let who = match of {
        Of::Myself => libc::RUSAGE_SELF,
        Of::Children => libc::RUSAGE_CHILDREN,
    };
    // SAFETY: rusage is plain numbers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a variable that lives here and is of the type that the call writes.
    let failed = unsafe { libc::getrusage(who, &raw mut usage) };
    assert_eq!(failed, 0, "getrusage: {}", std::io::Error::last_os_error());
    let time = |t: libc::timeval| {
        Duration::from_secs(u64::try_from(t.tv_sec).expect("a time"))
            + Duration::from_micros(u64::try_from(t.tv_usec).expect("a time"))
    };
    Usage { cpu: time(usage.ru_utime) + time(usage.ru_stime), rss_kb: u64::try_from(usage.ru_maxrss).expect("a size") }
}
