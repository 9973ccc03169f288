//! A sync for a client: what is said of it is passed on while it runs.

use super::House;
use super::talk::{ENDING, KEEP_ALIVE, failed, order};
use super::wire::{Broken, Channel, Reply, await_one};
use crate::sync::{Counts, Options, Outcome, Report};
use crate::watch::bell::Bell;
use crate::watch::control::Face;
use crate::watch::desk::Desk;
use rustix::event::{PollFd, PollFlags};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a client may not listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often the one who waits for the end looks whether anybody wants to know of it still.
const GLANCE: Duration = Duration::from_secs(1);

/// How long the keepers may take to say how it ended, when all ends.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// Written as JSON, a character takes six bytes at most: such a piece fits into a line.
const PIECE: usize = 8 * 1024;

/// What is to be passed on.
struct Outbox {
    lines: Mutex<VecDeque<Reply>>,
    bell: Bell,
    /// Nobody listens any more.
    closed: AtomicBool,
}

impl Outbox {
    fn put(&self, reply: Reply) {
        if !self.closed.load(Ordering::SeqCst) {
            self.lines.lock().unwrap_or_else(PoisonError::into_inner).push_back(reply);
            self.bell.ring();
        }
    }

    fn take(&self) -> Option<Reply> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Closes the outbox, however the conversation ends.
struct Closing(Arc<Outbox>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Makes lines of what is written for one of the client's streams.
struct Writer {
    outbox: Arc<Outbox>,
    is_error: bool,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let mut rest = &*text;
        while !rest.is_empty() {
            let end = (0..=PIECE.min(rest.len())).rev().find(|at| rest.is_char_boundary(*at)).unwrap_or(rest.len());
            let (piece, more) = rest.split_at(end);
            let said = Some(piece.to_owned());
            self.outbox.put(match self.is_error {
                false => Reply { out: said, ..Reply::default() },
                true => Reply { err: said, ..Reply::default() },
            });
            rest = more;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Has the accounts synced and tells the client of it, to the end. The sync goes on where the client goes.
pub(super) fn relay(
    line: &mut Channel,
    house: &House,
    desks: &[Arc<Desk>],
    options: &Options,
    quiet: bool,
) -> Result<(), Broken> {
    let Ok(bell) = Bell::new() else {
        return line.send(&failed("no descriptors are left".to_owned(), None), Instant::now() + PATIENCE);
    };
    let outbox = Arc::new(Outbox { lines: Mutex::default(), bell, closed: AtomicBool::new(false) });
    let closing = Closing(outbox.clone());
    let writer = |is_error| Box::new(Writer { outbox: outbox.clone(), is_error });
    let face = house.desks.face(writer(false), writer(true), quiet);
    let (done, ended) = channel();
    order(desks, options, Some(&face.observer()), &done);
    // Where a keeper lets go of it without a word, that is noticed.
    drop(done);
    let accounts: Vec<String> = desks.iter().map(|desk| desk.account.clone()).collect();
    let waiter = {
        let outbox = outbox.clone();
        thread::Builder::new().name("sync".to_owned()).spawn(move || await_end(&accounts, &ended, &*face, &outbox))
    };
    if waiter.is_err() {
        return line.send(&failed("no threads are left".to_owned(), None), Instant::now() + PATIENCE);
    }
    let passed = pass_on(line, house, &closing.0);
    drop(closing);
    passed
}

/// Sends what there is until the last line of it was sent.
fn pass_on(line: &mut Channel, house: &House, outbox: &Outbox) -> Result<(), Broken> {
    let mut last = None;
    loop {
        outbox.bell.hush();
        while let Some(reply) = outbox.take() {
            line.send(&reply, Instant::now() + PATIENCE)?;
            if reply.exit.is_some() || reply.error.is_some() {
                return Ok(());
            }
        }
        if house.is_ending() {
            // What the keepers still say of it is worth more than that all ends.
            let last = *last.get_or_insert_with(|| Instant::now() + LAST_WORDS);
            await_one(&mut [PollFd::new(&outbox.bell, PollFlags::IN)], Some(last), None)?;
            continue;
        }
        let mut fds = [PollFd::new(&outbox.bell, PollFlags::IN), PollFd::new(&*line, PollFlags::IN)];
        let waited = await_one(&mut fds, Some(Instant::now() + KEEP_ALIVE), None);
        let spoke = !fds[1].revents().is_empty();
        match waited {
            Err(Broken::Silent) => line.send(&Reply::default(), Instant::now() + PATIENCE)?,
            waited => waited?,
        }
        // Most likely it has gone.
        if spoke && line.fill().is_err() && !house.is_ending() {
            return Err(Broken::Gone);
        }
    }
}

/// Waits until all accounts were synced, or nothing will come of it any more, and says so.
fn await_end(accounts: &[String], ended: &Receiver<(String, Outcome, Counts)>, face: &dyn Face, outbox: &Outbox) {
    let mut found: Vec<(String, Outcome, Counts)> = Vec::new();
    while found.len() < accounts.len() {
        match ended.recv_timeout(GLANCE) {
            Ok(end) => found.push(end),
            Err(RecvTimeoutError::Timeout) if outbox.closed.load(Ordering::SeqCst) => return,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let lost: Vec<&String> =
        accounts.iter().filter(|name| !found.iter().any(|(account, _, _)| account == *name)).collect();
    let names = lost.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    found.extend(lost.into_iter().map(|name| (name.clone(), Outcome::Interrupted, Counts::default())));
    found.sort_by_key(|(account, _, _)| accounts.iter().position(|name| name == account));
    let exit = face.finish(&Report { accounts: found });
    outbox.put(match names.is_empty() {
        true => Reply { exit: Some(exit), ..Reply::default() },
        false => {
            let what = format!("{names}: {ENDING}, or keeps it no longer: it was not synced");
            failed(what, Some("run it again".to_owned()))
        }
    });
}
