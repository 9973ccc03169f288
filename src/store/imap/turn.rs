//! Several users of one line: who may write, and who may read.
//!
//! Each user says beforehand what it sends first, its *flight*. Flights are written in the order in which they were
//! announced, as soon as the one before is written whole; the answers are read in the same order, each by its own user.
//! So many folders cost hardly more round trips than one, and nobody ever reads what is not his.
//!
//! Answers come in that order because a server must not touch a selected mailbox before it is done with what was sent
//! before. What concerns none (LIST, STATUS) may overtake, and has the line for itself. APPEND concerns none either; a
//! SELECT, at which a server waits, is between it and what asks for something.
//!
//! A flight that needs a mailbox selected brings its SELECT along, for the case that another user's flight came in
//! between. What it finds is checked before any answer is believed. Flags may be set in the same flight: where the server
//! has UNSELECT, they can't be set in another mailbox. What removes messages goes only for those that were marked in a
//! flight before, so that it removes nothing from a mailbox that has just been made anew.

use super::error::ImapError;
use super::facade::Line;
use super::wire::{Command, Tag, write};
use crate::net::{NetError, Stop};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// How many flights may be unanswered: as many as a line may have users.
const WRITTEN_MAX: usize = 256;

/// How many bytes may be unanswered once a flight is that asks for much. While a server sends, it need not read: what is
/// sent then must fit into the sockets' buffers, or both sides wait for each other.
const BEHIND_MAX: u64 = 64 * 1024;

/// How many bytes may be unanswered, but for a flight that has more by itself: what was sent and not answered when a
/// connection breaks must be looked for.
pub const WRITTEN_BYTES: u64 = 8 * 1024 * 1024;

/// The number of a user of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane(pub u64);

/// What a user sends first.
pub struct Flight {
    pub lane: Lane,
    /// Selects the user's mailbox; sent if another one may be selected.
    pub select: Option<Command>,
    /// Whether it is sent whatever is selected.
    pub anew: bool,
    /// Whether UNSELECT goes before it: where the mailbox can't be selected, none is, and what follows is refused.
    pub unselect: bool,
    /// Whether the commands need no mailbox selected: it is only where a server may carry them out beside others.
    pub apart: bool,
    pub commands: Vec<Command>,
    /// Whether that is all: what comes next may be written behind it.
    pub closed: bool,
}

impl Flight {
    fn size(&self) -> u64 {
        self.select.iter().chain(&self.commands).map(Command::size).sum()
    }

    /// How many commands it has at most.
    fn count(&self) -> usize {
        usize::from(self.unselect) + usize::from(self.select.is_some()) + self.commands.len()
    }

    /// Whether its answers may be long: it asks for something, or it is not known yet what it does.
    fn asks_for_much(&self) -> bool {
        self.commands.is_empty() || self.commands.iter().any(|command| !command.is_brief())
    }

    /// Whether it only selects a mailbox.
    fn only_selects(&self) -> bool {
        self.commands.is_empty() && self.closed
    }
}

/// The right to the answers to a flight that was announced.
#[must_use]
pub struct Ticket {
    number: u64,
    closed: bool,
    turned: Arc<Condvar>,
}

/// A flight that was announced.
struct Waiting {
    ticket: u64,
    flight: Flight,
    turned: Arc<Condvar>,
}

/// A flight that was written and is not answered.
struct Written {
    ticket: u64,
    turned: Arc<Condvar>,
    sent: Sent,
    size: u64,
    commands: usize,
    asks_for_much: bool,
    only_selects: bool,
    /// Whether it needed no mailbox, and brought no SELECT.
    apart: bool,
}

/// The tags of a flight that was written.
#[derive(Debug, Default)]
pub struct Sent {
    pub unselect: Option<Tag>,
    pub select: Option<Tag>,
    pub tags: Vec<Tag>,
}

#[derive(Default)]
struct Order {
    tickets: u64,
    lanes: u64,
    waiting: VecDeque<Waiting>,
    written: VecDeque<Written>,
    /// Whether whoever wrote last has more to write.
    open: bool,
    /// Whose mailbox is selected once all that was written is carried out.
    selected: Option<Lane>,
    /// Client and server no longer agree on where they are.
    broken: bool,
    /// Why, where whom it befell could tell nobody.
    why: Option<ImapError>,
}

impl Order {
    /// Whether the next flight must wait for answers to others.
    fn is_full(&self, pipeline: usize) -> bool {
        let next = self.waiting.front().map_or(0, |waiting| waiting.flight.size());
        let unanswered: u64 = self.written.iter().map(|written| written.size).sum();
        let much = self.written.iter().any(|written| written.asks_for_much);
        let most = if much { BEHIND_MAX } else { WRITTEN_BYTES };
        let commands: usize = self.written.iter().map(|written| written.commands).sum();
        let more = self.waiting.front().map_or(0, |waiting| waiting.flight.count());
        self.written.len() >= WRITTEN_MAX
            || (!self.written.is_empty() && (unanswered + next > most || commands + more > pipeline))
    }

    /// Wakes whoever's turn it is: there may be many that wait, and they are woken one by one. All where nobody has a turn
    /// any more.
    fn wake_next(&self) {
        if self.broken {
            let written = self.written.iter().map(|written| &written.turned);
            written.chain(self.waiting.iter().map(|waiting| &waiting.turned)).for_each(|turned| turned.notify_all());
            return;
        }
        let next = self.written.front().map(|written| &written.turned);
        if let Some(turned) = next.or_else(|| self.waiting.front().map(|waiting| &waiting.turned)) {
            turned.notify_all();
        }
    }
}

/// The order of the users of one line.
pub struct Turns {
    order: Mutex<Order>,
    /// Readable when a flight was announced while somebody reads.
    wake: Option<(UnixStream, UnixStream)>,
    stop: Stop,
    pipeline: usize,
}

impl Turns {
    /// At most `pipeline` commands are ever unanswered.
    pub fn new(stop: Stop, pipeline: usize) -> Turns {
        // Without it, what is announced while somebody waits for an answer is written when that has come.
        let wake = UnixStream::pair().ok();
        let wake = wake.filter(|(ours, theirs)| [ours, theirs].iter().all(|end| end.set_nonblocking(true).is_ok()));
        Turns { order: Mutex::default(), wake, stop, pipeline }
    }

    fn order(&self) -> MutexGuard<'_, Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many commands may be unanswered.
    pub fn pipeline(&self) -> usize {
        self.pipeline
    }

    /// A number for another user.
    pub fn lane(&self) -> Lane {
        let mut order = self.order();
        order.lanes += 1;
        Lane(order.lanes)
    }

    pub fn is_broken(&self) -> bool {
        self.order().broken
    }

    /// Lets nobody use the line any more.
    pub fn break_off(&self) {
        let mut order = self.order();
        order.broken = true;
        order.wake_next();
    }

    /// Whose mailbox is selected once all that was written is carried out.
    pub fn selected(&self) -> Option<Lane> {
        self.order().selected
    }

    pub fn set_selected(&self, lane: Option<Lane>) {
        self.order().selected = lane;
    }

    /// A user's mailbox could not be selected: none is, unless somebody else selects one behind it.
    pub fn unselected(&self, lane: Lane) {
        let mut order = self.order();
        order.selected = order.selected.filter(|selected| *selected != lane);
    }

    /// What is readable when there may be something to write.
    pub fn wake(&self) -> Option<BorrowedFd<'_>> {
        self.wake.as_ref().map(|(reader, _)| reader.as_fd())
    }

    /// Takes note of having been woken.
    pub fn woken(&self) {
        if let Some((reader, _)) = &self.wake {
            // Nothing to read means that somebody else took note.
            drop((&*reader).read(&mut [0_u8; 64]));
        }
    }

    /// Announces a flight, and waits until its answers are the next to be read. `line` gives the line, which the user
    /// whose turn it is may keep.
    pub fn take<'a>(
        &'a self,
        flight: Flight,
        line: impl Fn() -> MutexGuard<'a, Line>,
    ) -> Result<(Turn<'a>, Sent), ImapError> {
        self.claim(self.queue(flight), line)
    }

    fn queue(&self, flight: Flight) -> Ticket {
        let mut order = self.order();
        order.tickets += 1;
        let (number, closed, turned) = (order.tickets, flight.closed, Arc::new(Condvar::new()));
        order.waiting.push_back(Waiting { ticket: number, flight, turned: turned.clone() });
        if let (Some((_, writer)), false) = (&self.wake, order.written.is_empty()) {
            // Where there is no room for another byte, the reader is woken as well.
            drop((&*writer).write(&[0]));
        }
        Ticket { number, closed, turned }
    }

    /// Announces a flight, and waits for no answer. It is sent at once if nobody uses the `line`, with what others announced
    /// before, and else by whoever does. Its ticket must be claimed: who comes behind it waits for that.
    pub fn announce<'a>(&'a self, flight: Flight, line: impl FnOnce() -> Option<MutexGuard<'a, Line>>) -> Ticket {
        let ticket = self.queue(flight);
        if let Some(mut line) = line()
            && let Err(error) = self.write(&mut line).and_then(|()| line.flush())
        {
            self.order().why = Some(error);
            self.break_off();
        }
        ticket
    }

    /// Waits until the answers to what was announced are the next to be read.
    pub fn claim<'a>(
        &'a self,
        Ticket { number: ticket, closed, turned }: Ticket,
        line: impl Fn() -> MutexGuard<'a, Line>,
    ) -> Result<(Turn<'a>, Sent), ImapError> {
        let mut order = self.order();
        loop {
            if order.broken {
                order.waiting.retain(|other| other.ticket != ticket);
                order.written.retain(|other| other.ticket != ticket);
                return Err(order.why.take().unwrap_or_else(|| self.broken()));
            }
            if let Some(first) = order.written.front_mut()
                && first.ticket == ticket
            {
                let sent = std::mem::take(&mut first.sent);
                return Ok((Turn { turns: self, ticket, open: !closed }, sent));
            }
            if order.written.is_empty() && order.waiting.front().is_some_and(|first| first.ticket == ticket) {
                drop(order);
                self.write(&mut line())?;
                order = self.order();
                continue;
            }
            order = turned.wait(order).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn broken(&self) -> ImapError {
        ImapError::Net(if self.stop.is_set() { NetError::Stopped } else { NetError::Closed })
    }

    /// Writes what was announced, as far as its turn has come.
    pub fn write(&self, line: &mut Line) -> Result<(), ImapError> {
        loop {
            let mut order = self.order();
            if order.open || order.is_full(self.pipeline) || order.broken {
                return Ok(());
            }
            let Some(Waiting { ticket, flight, turned }) = order.waiting.pop_front() else { return Ok(()) };
            order.open = !flight.closed;
            let (size, asks_for_much) = (flight.size(), flight.asks_for_much());
            let only_selects = flight.only_selects();
            let commands = flight.count();
            let select = flight.select.filter(|_| match flight.apart {
                // In the middle of a long answer Dovecot carries out what needs no mailbox, and ends it.
                true => {
                    let long = |written: &Written| written.asks_for_much && !written.only_selects;
                    order.selected != Some(flight.lane) && order.written.iter().any(long)
                }
                // It ends such a command behind the answers to the next one.
                false => {
                    let beside = order.written.iter().any(|written| written.apart);
                    flight.anew || beside || order.selected != Some(flight.lane)
                }
            });
            let apart = flight.apart && select.is_none();
            if select.is_some() {
                order.selected = Some(flight.lane);
            }
            drop(order);
            let mut sent = Sent::default();
            let written = (|| {
                if let Some(select) = &select {
                    if flight.unselect {
                        sent.unselect = Some(write(line, &Command::new("UNSELECT"))?);
                    }
                    sent.select = Some(write(line, select)?);
                }
                for command in &flight.commands {
                    sent.tags.push(write(line, command)?);
                }
                Ok(())
            })();
            if let Err(error) = written {
                self.break_off();
                // It stands among neither those that wait nor those that were written.
                turned.notify_all();
                return Err(error);
            }
            let mut order = self.order();
            order.written.push_back(Written {
                ticket,
                turned,
                sent,
                size,
                commands,
                asks_for_much,
                only_selects,
                apart,
            });
            // Its user may have begun to wait while it stood in neither list.
            if order.written.len() == 1 || order.broken {
                order.wake_next();
            }
        }
    }
}

/// The right to read the next answers, and to write where the flight was not closed.
pub struct Turn<'a> {
    turns: &'a Turns,
    ticket: u64,
    open: bool,
}

impl Turn<'_> {
    pub fn turns(&self) -> &Turns {
        self.turns
    }

    /// Whether this user may still write.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Nothing more is written in this turn, in which so many commands are unanswered that have so many bytes.
    pub fn close(&mut self, commands: usize, bytes: u64) {
        if std::mem::take(&mut self.open) {
            let mut order = self.turns.order();
            order.open = false;
            if let Some(written) = order.written.iter_mut().find(|written| written.ticket == self.ticket) {
                (written.commands, written.size) = (written.commands.max(commands), written.size.max(bytes));
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut order = self.turns.order();
        if self.open {
            order.open = false;
        }
        order.written.retain(|written| written.ticket != self.ticket);
        order.wake_next();
    }
}

#[cfg(test)]
mod tests {
    use super::super::content::Content;
    use super::*;
    use crate::net::Transport;
    use crate::store::Draft;
    use std::{io, thread};

    fn flight(lane: Lane, command: Command) -> Flight {
        Flight { lane, select: None, anew: false, unselect: false, apart: false, commands: vec![command], closed: true }
    }

    fn fetch() -> Command {
        Command::new("UID FETCH").text(" 1:* (BODY.PEEK[])")
    }

    fn append(size: u64) -> Command {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(size).expect("as large");
        Command::new("APPEND").text(" a ").content(Content::new(Draft::from_file(file)).expect("measured"))
    }

    /// Whether the second command is written before the first one is answered.
    fn is_sent_behind(first: Command, second: Command) -> bool {
        is_sent_behind_all_of(first, (1, 0), second)
    }

    /// Whether the second command is written before so many are answered, with so many bytes, of which the first one was
    /// announced; 20 may be unanswered.
    fn is_sent_behind_all_of(first: Command, (commands, bytes): (usize, u64), second: Command) -> bool {
        let stop = Stop::new();
        let (transport, mut peer) = Transport::pair(&stop).expect("a pair");
        thread::spawn(move || io::copy(&mut peer, &mut io::sink()));
        let (turns, line) = (Turns::new(stop, 20), Mutex::new(Line::new(transport)));
        let take = |lane, command| turns.take(flight(lane, command), || line.lock().expect("no panic"));
        let open = Flight { closed: false, ..flight(turns.lane(), first) };
        let (mut turn, _) = turns.take(open, || line.lock().expect("no panic")).expect("its turn");
        turn.close(commands, bytes);
        thread::scope(|scope| {
            let later = scope.spawn(|| take(turns.lane(), second).map(drop).expect("its turn"));
            while turns.order().waiting.is_empty() {
                thread::yield_now();
            }
            turns.write(&mut line.lock().expect("no panic")).expect("written");
            let sent = turns.order().written.len() == 2;
            drop(turn);
            later.join().expect("no panic");
            sent
        })
    }

    #[test]
    fn what_was_sent_after_it_was_announced_counts_for_those_who_come_next() {
        assert!(is_sent_behind_all_of(fetch(), (19, 0), fetch()));
        assert!(!is_sent_behind_all_of(fetch(), (20, 0), fetch()));
        assert!(is_sent_behind_all_of(fetch(), (5, BEHIND_MAX / 2), fetch()));
        assert!(!is_sent_behind_all_of(fetch(), (5, BEHIND_MAX), fetch()));
    }

    #[test]
    fn who_begins_to_wait_while_another_one_writes_his_flight_is_woken() {
        let stop = Stop::new();
        let (transport, mut peer) = Transport::pair(&stop).expect("a pair");
        let (turns, line) = (Turns::new(stop, usize::MAX), Mutex::new(Line::new(transport)));
        // More than the sockets hold: whoever writes it waits for the peer.
        let ticket = turns.queue(flight(turns.lane(), append(8 * 1024 * 1024)));
        thread::scope(|scope| {
            let other = scope.spawn(|| turns.announce(flight(turns.lane(), fetch()), || line.try_lock().ok()));
            let is_being_written = || {
                let order = turns.order();
                order.tickets == 2 && order.waiting.len() == 1
            };
            while !is_being_written() {
                thread::yield_now();
            }
            let waiting = scope.spawn(|| turns.claim(ticket, || line.lock().expect("no panic")).map(drop));
            // There is nothing to see of one who waits.
            thread::sleep(std::time::Duration::from_millis(50));
            thread::spawn(move || io::copy(&mut peer, &mut io::sink()));
            waiting.join().expect("no panic").expect("its turn");
            let other = other.join().expect("no panic");
            turns.claim(other, || line.lock().expect("no panic")).map(drop).expect("its turn");
        });
    }

    #[test]
    fn nobody_is_forgotten_whoever_announces_writes_and_ends() {
        const USERS: usize = 12;
        let stop = Stop::new();
        let (transport, mut peer) = Transport::pair(&stop).expect("a pair");
        thread::spawn(move || io::copy(&mut peer, &mut io::sink()));
        let (turns, line) = (Turns::new(stop, usize::MAX), Mutex::new(Line::new(transport)));
        let line = || line.lock().expect("no panic");
        thread::scope(|scope| {
            for user in 0..USERS {
                let (turns, line) = (&turns, &line);
                scope.spawn(move || {
                    let lane = turns.lane();
                    for round in 0..400 {
                        let next = Flight { closed: (user + round) % 7 != 0, ..flight(lane, fetch()) };
                        let turn = match (user * round) % 3 {
                            0 => turns.take(next, line),
                            pause => {
                                let ticket = turns.announce(next, || Some(line()));
                                (0..pause).for_each(|_| thread::yield_now());
                                turns.claim(ticket, line)
                            }
                        };
                        let (turn, _) = turn.expect("its turn");
                        if round % 2 == 0 {
                            turns.write(&mut line()).expect("written");
                        }
                        drop(turn);
                    }
                });
            }
        });
        let order = turns.order();
        assert!(order.waiting.is_empty() && order.written.is_empty() && order.tickets == 400 * USERS as u64);
    }

    #[test]
    fn little_is_sent_to_a_server_that_may_be_busy_with_sending() {
        let check = |few| Command::new("UID FETCH").text(" 1:9 (UID)").of_few(few);
        assert!(is_sent_behind(check(3), append(BEHIND_MAX)));
        assert!(!is_sent_behind(check(300), append(BEHIND_MAX)));
        assert!(is_sent_behind(fetch(), fetch()));
        assert!(is_sent_behind(fetch(), append(1000)));
        assert!(!is_sent_behind(fetch(), append(BEHIND_MAX)));
        assert!(is_sent_behind(append(BEHIND_MAX), append(BEHIND_MAX)));
        assert!(is_sent_behind(append(WRITTEN_BYTES / 2), append(WRITTEN_BYTES / 4)));
        assert!(!is_sent_behind(append(WRITTEN_BYTES / 2), append(WRITTEN_BYTES)));
    }
}
