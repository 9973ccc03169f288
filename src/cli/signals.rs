//! SIGINT, SIGTERM and SIGHUP: the first one asks for a stop at the next safe point, the second one ends at once.

use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use signal_hook::{flag, low_level};
use std::fs::File;
use std::io::Write;
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
    if !quiet {
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let (stop, stderr) = (stop.clone(), std::io::stderr());
            let tell = move || {
                if !stop.load(Ordering::SeqCst) {
                    let text = b"mailsync: stopping at the next safe point; once more to stop at once\n";
                    // Nobody is left to be told where this fails.
                    let _ = rustix::io::write(&stderr, text);
                }
            };
            // SAFETY: it reads a flag and calls write(2): what a handler may do (signal-safety(7)). No lock is taken and
            // nothing allocated. A thread that waits for signals would cost every run its share.
            unsafe { low_level::register(signal, tell) }?;
        }
    }
    note(stop)
}
