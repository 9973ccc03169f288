//! Downloads: batches of UID FETCH in flight, bodies streamed from the line to where they belong.

use super::conn::{Conn, during};
use super::error::ImapError;
use super::facade::Bodies;
use super::token::{Body, Fetch, Response, UidSet};
use super::wire::{Command, Flight, SET_MAX, Sorted};
use crate::mail::{Flag, Flags};
use crate::store::draft::Lines;
use crate::store::{Kind, Reach, StoreError};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// How many messages a batch holds at most.
const BATCH_COUNT: usize = 500;

/// How many bytes a batch holds, by what the server says of sizes; a larger message is a batch of its own.
const BATCH_BYTES: u64 = 8 * 1024 * 1024;

/// What a message counts as whose size is not known.
const SIZE_GUESS: u64 = 16 * 1024;

/// How many batches are on their way at first, and at most: one more for each that comes quickly.
const WINDOW: usize = 4;
const WIDEST: usize = 8;

/// How many commands are in flight, those included whose batches have come: Dovecot carries out four, and says of all at once
/// that they have ended, so that to wait for that would leave the line idle.
const COMMANDS: usize = 2 * WIDEST;

/// A batch comes quickly if it is there within this time after the one before. Of others the end is waited for: they keep the line busy
/// meanwhile, and all that is in flight has to come before a slow line can be compressed.
const QUICK: Duration = Duration::from_millis(250);

/// How many messages wait for their flags or date with a file open.
const HELD_MAX: usize = 32;

/// How much converted content is handed on at once.
const PIECE: usize = 64 * 1024;

/// What came along with a body.
#[derive(Clone, Debug, Default)]
pub struct Along {
    pub flags: Option<Flags>,
    pub date: Option<i64>,
    pub email_id: Option<String>,
}

/// Takes downloaded messages. After an error nothing more is asked for.
pub trait Sink {
    /// Where one message's content goes.
    type Target;

    fn begin(&mut self) -> Result<Self::Target, StoreError>;

    fn piece(&mut self, target: &mut Self::Target, piece: Lines<'_>) -> Result<(), StoreError>;

    /// The message is whole.
    fn finish(&mut self, uid: u32, target: Self::Target, along: Along) -> Result<(), StoreError>;

    /// The message is there and can't be had.
    fn failed(&mut self, uid: u32, error: StoreError) -> Result<(), StoreError>;
}

/// Turns CRLF into LF; a CR that stands elsewhere stays.
#[derive(Default)]
struct ToLf {
    held_cr: bool,
    out: Vec<u8>,
    /// The LFs in `out`.
    lfs: u64,
}

impl ToLf {
    /// Converts a piece; the result is in `out`.
    fn feed(&mut self, piece: &[u8]) {
        let Some(first) = piece.first() else { return };
        if std::mem::take(&mut self.held_cr) && *first != b'\n' {
            self.out.push(b'\r');
        }
        self.out.reserve(piece.len());
        // What is copied at once reaches to a CR that goes, and begins with the LF behind the last one.
        let mut from = 0;
        for at in memchr::memchr_iter(b'\n', piece) {
            self.lfs += 1;
            if at > from && piece[at - 1] == b'\r' {
                self.out.extend_from_slice(&piece[from..at - 1]);
                from = at;
            }
        }
        self.out.extend_from_slice(&piece[from..]);
        if piece.ends_with(b"\r") {
            self.held_cr = self.out.pop().is_some();
        }
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.held_cr) {
            self.out.push(b'\r');
        }
    }

    fn lines(&self) -> Lines<'_> {
        Lines { text: &self.out, lfs: self.lfs }
    }

    fn clear(&mut self) {
        self.out.clear();
        self.lfs = 0;
    }
}

/// Streams the bodies of one response into a sink. The first error is kept, and all that follows passes by.
struct Streaming<'a, S: Sink> {
    sink: &'a mut S,
    error: Option<StoreError>,
    target: Option<S::Target>,
    /// Whether the response had a body already; a second one is not believed.
    second: bool,
    /// Its buffer is used again and again.
    to_lf: &'a mut ToLf,
}

impl<'a, S: Sink> Streaming<'a, S> {
    fn new(sink: &'a mut S, to_lf: &'a mut ToLf, error: Option<StoreError>) -> Self {
        Streaming { sink, error, target: None, second: false, to_lf }
    }

    fn hand_on(&mut self) {
        if let Some(target) = &mut self.target
            && self.error.is_none()
            && !self.to_lf.out.is_empty()
        {
            self.error = self.sink.piece(target, self.to_lf.lines()).err();
        }
        self.to_lf.clear();
    }

    /// Makes ready for the next response, and gives what the last one brought.
    fn take(&mut self) -> Option<S::Target> {
        self.to_lf.end();
        self.hand_on();
        self.second = false;
        self.target.take()
    }
}

impl<S: Sink> Bodies for Streaming<'_, S> {
    fn begin(&mut self) {
        if self.target.is_some() {
            self.second = true;
        } else if self.error.is_none() {
            match self.sink.begin() {
                Ok(target) => self.target = Some(target),
                Err(error) => self.error = Some(error),
            }
        }
    }

    fn piece(&mut self, piece: &[u8]) {
        if self.error.is_some() || self.second {
            return;
        }
        for part in piece.chunks(PIECE) {
            self.to_lf.feed(part);
            if self.to_lf.out.len() >= PIECE {
                self.hand_on();
            }
        }
    }
}

/// The UIDs asked for with one command, ascending.
type Batch = Vec<u32>;

/// A batch that was asked for.
struct Asked {
    batch: Batch,
    /// Whether the last of its messages has come, and quickly.
    come: bool,
}

impl Asked {
    fn new(batch: Batch) -> Asked {
        Asked { batch, come: false }
    }
}

/// What came so far of one message.
struct Part<T> {
    target: Option<T>,
    nil: bool,
    along: Along,
}

impl<T> Part<T> {
    fn is_whole(&self) -> bool {
        self.target.is_some() && self.along.flags.is_some() && self.along.date.is_some()
    }
}

impl<T> Default for Part<T> {
    fn default() -> Self {
        Part { target: None, nil: false, along: Along::default() }
    }
}

/// Downloads messages. `size` gives what is known of a message's size. Messages that are gone are left out.
pub fn download<S: Sink>(
    conn: &mut Conn,
    uids: &[u32],
    size: impl Fn(u32) -> Option<u64>,
    sink: &mut S,
) -> Result<(), StoreError> {
    let mut arrivals = Arrivals::new(uids.iter().copied().filter(|uid| *uid > 0).collect());
    let sorted: Vec<u32> = arrivals.waiting.iter().copied().collect();
    run(conn, batches(&sorted, &size), &size, &mut arrivals, sink)?;
    if arrivals.waiting.is_empty() {
        return Ok(());
    }
    // What did not come and is there nevertheless is asked for once more, each message alone.
    only_existing(conn, &mut arrivals)?;
    arrivals.errors.clear();
    let again = arrivals.waiting.iter().map(|uid| vec![*uid]).collect();
    run(conn, again, &size, &mut arrivals, sink)?;
    only_existing(conn, &mut arrivals)?;
    let Arrivals { waiting, mut errors, .. } = arrivals;
    for uid in waiting {
        let error = errors.remove(&uid).unwrap_or_else(|| not_sent("the server has the message and does not send it"));
        sink.failed(uid, error)?;
    }
    Ok(())
}

fn only_existing<T>(conn: &mut Conn, arrivals: &mut Arrivals<T>) -> Result<(), StoreError> {
    if !arrivals.waiting.is_empty() {
        let left: UidSet = arrivals.waiting.iter().copied().collect();
        let there = existing(conn, &left).map_err(during("fetch"))?;
        arrivals.waiting.retain(|uid| there.contains(*uid));
    }
    Ok(())
}

fn not_sent(cause: &str) -> StoreError {
    StoreError::new(Reach::Message, Kind::Refused, "fetch", cause)
}

fn batches(uids: &[u32], size: impl Fn(u32) -> Option<u64>) -> VecDeque<Batch> {
    let mut batches = VecDeque::new();
    let mut batch: Vec<u32> = Vec::new();
    let (mut bytes, mut text) = (0_u64, 0_usize);
    for uid in uids {
        let more = size(*uid).unwrap_or(SIZE_GUESS);
        // Each UID takes at most 11 bytes of the set; ranges make it shorter.
        let longer = if batch.last().is_some_and(|last| last.checked_add(1) == Some(*uid)) { 0 } else { 22 };
        let full = batch.len() >= BATCH_COUNT || bytes.saturating_add(more) > BATCH_BYTES || text + longer > SET_MAX;
        if full && !batch.is_empty() {
            batches.push_back(std::mem::take(&mut batch));
            (bytes, text) = (0, 0);
        }
        batch.push(*uid);
        bytes = bytes.saturating_add(more);
        text += longer;
    }
    if !batch.is_empty() {
        batches.push_back(batch);
    }
    batches
}

/// The question for the content of messages, and what comes along with it.
pub fn command(batch: &[u32], email_id: &str) -> Command {
    let set: UidSet = batch.iter().copied().collect();
    Command::new("UID FETCH").text(format!(" {set} (UID FLAGS INTERNALDATE{email_id} BODY.PEEK[])"))
}

/// The FETCH item that names a message's content for ever, where the server has one.
pub fn email_id_item(conn: &Conn) -> &'static str {
    match (conn.caps().has("OBJECTID"), conn.caps().has("X-GM-EXT-1")) {
        (true, _) => " EMAILID",
        (_, true) => " X-GM-MSGID",
        _ => "",
    }
}

/// The content's name, from whichever item brought it.
pub fn email_id_of(fetch: &Fetch) -> Option<String> {
    fetch.email_id.clone().or_else(|| fetch.gm_msgid.map(|id| id.to_string()))
}

/// Reads flags as a server names them.
pub fn flags_of(names: &[String]) -> Flags {
    names.iter().filter_map(|name| Flag::from_imap(name)).collect()
}

/// The messages that have not come, and those of which something came.
struct Arrivals<T> {
    waiting: BTreeSet<u32>,
    parts: HashMap<u32, Part<T>>,
    /// Those with a body that lack something else, oldest first.
    held: VecDeque<u32>,
    /// Why a message did not come, where that is known.
    errors: HashMap<u32, StoreError>,
}

impl<T> Arrivals<T> {
    fn new(waiting: BTreeSet<u32>) -> Self {
        Arrivals { waiting, parts: HashMap::new(), held: VecDeque::new(), errors: HashMap::new() }
    }

    /// Adds what a FETCH line says to what is known of its message. Hands a message on as soon as it is whole; one
    /// that lacks its flags or date waits for another line, but not for long: it holds a file open.
    fn take<S: Sink<Target = T>>(&mut self, fetch: Fetch, target: Option<T>, sink: &mut S) -> Result<(), StoreError> {
        let Some(uid) = fetch.uid.filter(|uid| self.waiting.contains(uid)) else { return Ok(()) };
        let email_id = email_id_of(&fetch);
        let part = self.parts.entry(uid).or_default();
        if let Some(names) = &fetch.flags {
            part.along.flags = Some(flags_of(names));
        }
        part.along.date = fetch.date.or(part.along.date);
        part.along.email_id = email_id.or(part.along.email_id.take());
        part.nil |= fetch.body == Some(Body::Nil);
        if part.target.is_none() && target.is_some() {
            part.target = target;
            self.held.push_back(uid);
        }
        if part.is_whole() {
            return self.hand_on(uid, sink);
        }
        match self.held.len() > HELD_MAX {
            true => self.held.front().copied().map_or(Ok(()), |oldest| self.hand_on(oldest, sink)),
            false => Ok(()),
        }
    }

    fn hand_on<S: Sink<Target = T>>(&mut self, uid: u32, sink: &mut S) -> Result<(), StoreError> {
        self.held.retain(|other| *other != uid);
        match self.parts.remove(&uid) {
            Some(Part { target: Some(target), along, .. }) => {
                self.waiting.remove(&uid);
                sink.finish(uid, target, along)
            }
            Some(Part { nil: true, .. }) => {
                self.errors.insert(uid, not_sent("the server gives no content for it (NIL)"));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A batch was refused: what came of it nevertheless is whole; the rest is halved until it is clear which message
    /// is to blame. Fails where no message is.
    fn refuse(&mut self, batch: &[u32], error: ImapError, queue: &mut VecDeque<Batch>) -> Result<(), StoreError> {
        let error = error.into_store(Reach::Message, "fetch");
        if error.reach > Reach::Message {
            return Err(error);
        }
        let left: Vec<u32> = batch.iter().copied().filter(|uid| self.waiting.contains(uid)).collect();
        match left.as_slice() {
            [] => {}
            [uid] => drop(self.errors.insert(*uid, error)),
            more => {
                let (first, second) = more.split_at(more.len() / 2);
                queue.push_front(second.to_vec());
                queue.push_front(first.to_vec());
            }
        }
        Ok(())
    }
}

/// Runs the batches. An error of the sink is given once nothing is in flight any more.
fn run<S: Sink>(
    conn: &mut Conn,
    mut queue: VecDeque<Batch>,
    size: impl Fn(u32) -> Option<u64>,
    arrivals: &mut Arrivals<S::Target>,
    sink: &mut S,
) -> Result<(), StoreError> {
    while !queue.is_empty() {
        run_in_turn(conn, &mut queue, &size, arrivals, sink)?;
    }
    Ok(())
}

/// Runs the batches that there are. What is left in `queue` then are those that were refused and made smaller.
fn run_in_turn<S: Sink>(
    conn: &mut Conn,
    queue: &mut VecDeque<Batch>,
    size: &impl Fn(u32) -> Option<u64>,
    arrivals: &mut Arrivals<S::Target>,
    sink: &mut S,
) -> Result<(), StoreError> {
    let item = email_id_item(conn);
    let first: Vec<Command> = queue.iter().take(WINDOW).map(|batch| command(batch, item)).collect();
    let (mut wire, tags) = conn.ahead(&first, first.len() == queue.len()).map_err(during("fetch"))?;
    let mut flight: Flight<Asked> = Flight::default();
    for tag in tags {
        flight.extend(tag, queue.pop_front().map(Asked::new));
    }
    let (mut window, most) = (WINDOW, COMMANDS.min(wire.pipeline()));
    let mut before = Instant::now();
    let mut to_lf = ToLf::default();
    let mut failure: Option<StoreError> = None;
    let mut refused = VecDeque::new();
    // Once the line is to be compressed, nothing is asked for until nothing is in flight.
    let mut compressing = false;
    wire.line().transport.measure(true);
    loop {
        if failure.is_some() {
            queue.clear();
        }
        while flight.iter().filter(|asked| !asked.come).count() < window && flight.len() < most && !compressing {
            compressing = !queue.is_empty() && wire.line().wants_compression(|| bytes_of(queue, size));
            if compressing {
                break;
            }
            let Some(batch) = queue.pop_front() else { break };
            let tag = wire.send(&command(&batch, item)).map_err(during("fetch"))?;
            flight.push(tag, Asked::new(batch));
        }
        if flight.is_empty() && compressing && !queue.is_empty() {
            wire.compress().map_err(during("fetch"))?;
            compressing = false;
            continue;
        }
        if queue.is_empty() {
            wire.close();
        }
        if flight.is_empty() {
            break;
        }
        let mut streaming = Streaming::new(sink, &mut to_lf, failure.take());
        let response = wire.next(&mut streaming).map_err(during("fetch"))?;
        let target = streaming.take();
        failure = streaming.error.take();
        let sorted = wire.sort(&mut flight, response).map_err(during("fetch"))?;
        let done = match sorted {
            _ if failure.is_some() => Ok(()),
            Sorted::Untagged(Response::Fetch(fetch)) => {
                let last = fetch.uid.filter(|_| fetch.body.is_some());
                if let Some(asked) = flight.iter_mut().find(|asked| !asked.come && asked.batch.last().copied() == last)
                {
                    asked.come = before.elapsed() < QUICK;
                    window = WIDEST.min(window + usize::from(asked.come));
                    before = Instant::now();
                }
                match (&fetch.body, target) {
                    (Some(Body::Inline(text)), None) => {
                        inline_target(sink, text).and_then(|target| arrivals.take(fetch, Some(target), sink))
                    }
                    (_, target) => arrivals.take(fetch, target, sink),
                }
            }
            Sorted::Untagged(_) => Ok(()),
            Sorted::Ended(Asked { batch, .. }, status) => {
                let done = batch.iter().try_for_each(|uid| arrivals.hand_on(*uid, sink));
                let ended = ImapError::check("UID FETCH", status).map(drop);
                done.and(ended.or_else(|error| arrivals.refuse(&batch, error, &mut refused)))
            }
        };
        failure = failure.or(done.err());
    }
    wire.line().transport.measure(false);
    *queue = refused;
    failure.map_or(Ok(()), Err)
}

/// What is still to be asked for.
fn bytes_of(queue: &VecDeque<Batch>, size: impl Fn(u32) -> Option<u64>) -> u64 {
    queue.iter().flatten().fold(0, |sum, uid| sum.saturating_add(size(*uid).unwrap_or(SIZE_GUESS)))
}

/// A target that holds this content, which is in wire form.
pub fn inline_target<S: Sink>(sink: &mut S, text: &[u8]) -> Result<S::Target, StoreError> {
    let mut to_lf = ToLf::default();
    to_lf.feed(text);
    to_lf.end();
    let mut target = sink.begin()?;
    sink.piece(&mut target, to_lf.lines())?;
    Ok(target)
}

/// The questions whether messages are there.
pub fn existing_commands(uids: &UidSet) -> Vec<Command> {
    let ask = |set: &String| Command::new("UID FETCH").text(format!(" {set} (UID)")).of_few(uids.len());
    uids.chunks(SET_MAX).iter().map(ask).collect()
}

/// Which of these messages are there.
pub fn existing(conn: &mut Conn, uids: &UidSet) -> Result<UidSet, ImapError> {
    let mut found = Vec::new();
    let ended = conn.run_all(&existing_commands(uids), &mut |response| {
        if let Response::Fetch(Fetch { uid: Some(uid), .. }) = response {
            found.push(uid);
        }
    })?;
    for status in ended {
        ImapError::check("UID FETCH", status)?;
    }
    Ok(found.into_iter().filter(|uid| uids.contains(*uid)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lf(pieces: &[&[u8]]) -> Vec<u8> {
        let mut to_lf = ToLf::default();
        pieces.iter().for_each(|piece| to_lf.feed(piece));
        to_lf.end();
        assert_eq!(to_lf.lfs, to_lf.out.iter().filter(|b| **b == b'\n').count() as u64);
        to_lf.out
    }

    #[test]
    fn only_a_cr_right_before_an_lf_goes() {
        assert_eq!(lf(&[b"a\r\nb\rc\r\r\nd\ne\r"]), b"a\nb\rc\r\nd\ne\r");
    }

    #[test]
    fn line_ends_are_converted_wherever_the_pieces_are_cut() {
        let text = b"a\r\n\r\r\nb\r\rc\n\r";
        let whole = lf(&[text]);
        for at in 0..text.len() {
            assert_eq!(lf(&[&text[..at], &text[at..]]), whole, "cut at {at}");
        }
        let single: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(lf(&single), whole);
    }

    #[test]
    fn batches_are_bounded_in_count_bytes_and_text() {
        let many: Vec<u32> = (1..=1200).collect();
        let counts: Vec<usize> = batches(&many, |_| Some(10)).iter().map(Vec::len).collect();
        assert_eq!(counts, [500, 500, 200]);
        let large = batches(&[1, 2, 3], |uid| Some(if uid == 2 { 300 << 20 } else { 1 }));
        assert_eq!(large, [vec![1], vec![2], vec![3]]);
        let odd: Vec<u32> = (0..1000).map(|n| 4_000_000_000 + 2 * n).collect();
        for batch in batches(&odd, |_| None) {
            let set: UidSet = batch.into_iter().collect();
            assert!(set.to_string().len() <= SET_MAX);
        }
    }
}
