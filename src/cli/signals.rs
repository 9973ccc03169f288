//! SIGINT, SIGTERM and SIGHUP: the first one asks for a stop at the next safe point, the second one ends at once.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use signal_hook::{flag, low_level};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// While it lives, a signal ends the program at once, and leaves the terminal as it was: a question for a password
/// turns its echo off.
pub struct Asking(Handle);

impl Asking {
    /// Nothing where there is no terminal.
    pub fn begin() -> Option<Asking> {
        let terminal = File::options().read(true).write(true).open("/dev/tty").ok()?;
        let before = tcgetattr(&terminal).ok()?;
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).ok()?;
        let handle = signals.handle();
        std::thread::spawn(move || {
            if signals.forever().next().is_some() {
                // Where the terminal is gone, nothing has to be put right.
                let _ = tcsetattr(&terminal, OptionalActions::Now, &before);
                let _ = (&terminal).write_all(b"\n");
                std::process::exit(130);
            }
        });
        Some(Asking(handle))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Sets `stop` at the first signal, and ends the program at the second one.
pub fn note(stop: &Arc<AtomicBool>) -> std::io::Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // In this order: the first signal finds the flag unset, and sets it.
        flag::register_conditional_shutdown(signal, 130, stop.clone())?;
        flag::register(signal, stop.clone())?;
    }
    Ok(())
}

/// Sets `stop` at the first signal, and says so unless `quiet`.
pub fn watch(stop: &Arc<AtomicBool>, quiet: bool) -> std::io::Result<()> {
    // Behind what stops the run, which depends on nobody.
    note(stop)?;
    if quiet {
        return Ok(());
    }
    let told = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let (told, stderr) = (told.clone(), std::io::stderr());
        let tell = move || {
            if !told.swap(true, Ordering::SeqCst) && takes_more(&stderr) {
                let text = b"mailsync: stopping at the next safe point; once more to stop at once\n";
                // Nobody is left to be told where this fails.
                let _ = rustix::io::write(&stderr, text);
            }
        };
        // SAFETY: it uses a flag and calls poll(2) and write(2): what a handler may do (signal-safety(7)). No lock is taken,
        // nothing allocated, and nothing waited for. A thread that waits for signals would cost every run its share.
        unsafe { low_level::register(signal, tell) }?;
    }
    Ok(())
}

/// Whether a short text can be written at once. A signal waits as long as the one before is dealt with.
fn takes_more(file: &impl AsFd) -> bool {
    let mut files = [PollFd::new(file, PollFlags::OUT)];
    let ready = poll(&mut files, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    ready == Ok(1) && files[0].revents().contains(PollFlags::OUT)
}
