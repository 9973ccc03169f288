//! Waits for what can't be interrupted: the keyring's bus, a provider, a name server.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How often the wish to stop is looked at.
const TICK: Duration = Duration::from_millis(20);

/// Why there is nothing.
#[derive(Debug)]
pub enum Ended {
    /// The user wants to stop.
    Cancelled,
    /// The time was over.
    TimedOut,
    NotStarted(io::Error),
    /// It ended without a result.
    Lost,
}

/// Does something in a thread of its own, called `name`, which is left to itself when the time is over.
pub fn within<T: Send + 'static>(
    name: &str,
    patience: Duration,
    cancelled: &dyn Fn() -> bool,
    act: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Ended> {
    let (sender, receiver) = channel();
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Nobody is there to take it once the time was over.
        let _ = sender.send(act());
    });
    spawned.map_err(Ended::NotStarted)?;
    let deadline = Instant::now() + patience;
    loop {
        match receiver.recv_timeout(TICK) {
            Ok(result) => return Ok(result),
            Err(RecvTimeoutError::Timeout) if cancelled() => return Err(Ended::Cancelled),
            Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
            Err(RecvTimeoutError::Timeout) => return Err(Ended::TimedOut),
            Err(RecvTimeoutError::Disconnected) => return Err(Ended::Lost),
        }
    }
}
