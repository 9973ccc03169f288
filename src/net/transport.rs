//! One line to a server: TCP, TLS, or a tunnel's pipes, with deadlines on every wait.
//!
//! All sockets are non-blocking. Whoever waits to write also takes in what the peer is sending meanwhile, so that two
//! sides that both talk never wait for each other.

mod dial;

use super::deflate::Deflate;
use super::input::Input;
use super::meter::Meter;
use super::stream::{Stream, Tunnel};
use super::wirelog::{Log, Mask, WireLog};
use super::{NetError, Stop};
use crate::fault::point;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};
use zeroize::Zeroize;

/// How long a wait goes on before it looks whether it should stop.
pub(super) const SLICE: Duration = Duration::from_millis(200);

/// How much is collected before it is sent without being told to.
const OUTPUT_SIZE: usize = 256 * 1024;

/// How long an answer is waited for once the line may have broken without a sign.
const PATIENCE: Duration = Duration::from_secs(8);

/// What came of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// There is input, or the peer closed the line.
    Input,
    /// The other file descriptor is readable.
    Woken,
    /// Nothing happened in time.
    Nothing,
}

/// One line to a server.
pub struct Transport {
    stream: Stream,
    input: Input,
    output: Vec<u8>,
    /// The line is compressed.
    deflate: Option<Deflate>,
    /// Measures while a download goes on.
    meter: Meter,
    measuring: bool,
    /// How long was waited since something came in.
    waited: Duration,
    /// The peer has said all it will ever say.
    ended: bool,
    timeout: Duration,
    stop: Stop,
    log: Log,
    received: u64,
    sent: u64,
    // Behind the stream: a tunnel ends when its pipes are closed.
    tunnel: Option<Tunnel>,
}

impl Transport {
    /// Goes over to DEFLATE (RFC 4978) after the server's OK to COMPRESS: all that comes behind it is compressed, and all
    /// that is sent from now on. Nothing may be unsent.
    pub fn start_deflate(&mut self) {
        self.deflate = Some(Deflate::begin(self.input.available()));
        self.input.clear();
    }

    /// Whether the line is compressed.
    pub fn is_deflated(&self) -> bool {
        self.deflate.is_some()
    }

    /// Whether the peer is on this machine, or behind a tunnel that may compress by itself.
    pub fn is_near(&self) -> bool {
        let peer = match &self.stream {
            Stream::Tcp(stream) => stream.peer_addr(),
            Stream::Tls(stream) => stream.get_ref().peer_addr(),
            Stream::Local(_) | Stream::Gone => return true,
        };
        peer.map_or(true, |peer| peer.ip().to_canonical().is_loopback())
    }

    /// Measures how fast the line is from now on, or no longer: while a download goes on.
    pub fn measure(&mut self, on: bool) {
        self.measuring = on;
        self.waited = Duration::ZERO;
        self.meter.pause();
    }

    /// Whether the line has shown that it is slow, and that it is not us.
    pub fn is_slow(&self) -> bool {
        self.meter.is_slow_for(u64::MAX)
    }

    /// Whether it is so slow that it needs several seconds for so many bytes.
    pub fn is_slow_for(&self, bytes: u64) -> bool {
        self.meter.is_slow_for(bytes)
    }

    /// How long a wait may last in which nothing moves; 60 seconds at first.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The user's wish to stop.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Where the wire log goes. What stands in message bodies and logins never gets there.
    pub fn set_log(&mut self, log: Option<WireLog>) {
        self.log.set_sink(log);
    }

    /// While set, nothing of what is sent is shown in the log, and nothing received that holds a secret: for logins.
    pub fn set_mask(&mut self, mask: Option<Mask>) {
        // The login was sent; what stood in the buffer is overwritten.
        if mask.is_none() && self.output.is_empty() {
            self.output.zeroize();
        }
        self.log.set_mask(mask);
    }

    /// The mask, which is taken off.
    pub fn take_mask(&mut self) -> Option<Mask> {
        self.log.take_mask()
    }

    /// How the line is protected: `TLS`, `tunnel`, `none`.
    pub fn protection(&self) -> &'static str {
        match self.stream {
            Stream::Tls(_) => "TLS",
            Stream::Local(_) => "tunnel",
            Stream::Tcp(_) | Stream::Gone => "none",
        }
    }

    /// The hash of the server's certificate that a login is bound to (`tls-server-end-point`, RFC 5929 section 4); `None`
    /// without TLS, and for a certificate whose signature names no hash.
    pub fn end_point(&self) -> Option<Vec<u8>> {
        match &self.stream {
            Stream::Tls(stream) => stream.tls_server_end_point().ok().flatten(),
            _ => None,
        }
    }

    /// Bytes received and sent so far, as they are on the way when they are compressed; TLS not counted.
    pub fn traffic(&self) -> (u64, u64) {
        (self.received, self.sent)
    }

    /// What has come in and was not consumed; waits for it if there is none, and sends what is unsent meanwhile.
    /// Empty only when the peer has closed the line.
    pub fn fill_buf(&mut self) -> Result<&[u8], NetError> {
        if self.input.available().is_empty() {
            self.pump_until(|line| !line.input.available().is_empty() || line.ended)?;
        }
        Ok(self.input.available())
    }

    /// What has come in, without waiting.
    pub fn buffered(&self) -> &[u8] {
        self.input.available()
    }

    pub fn consume(&mut self, count: usize) {
        self.input.consume(count);
    }

    /// Appends one line to `line`, its LF included. [`NetError::LongLine`] beyond `max` bytes, [`NetError::Closed`]
    /// where the line has no end.
    pub fn read_line(&mut self, line: &mut Vec<u8>, max: usize) -> Result<(), NetError> {
        let from = line.len();
        loop {
            let available = self.fill_buf()?;
            if available.is_empty() {
                return Err(NetError::Closed);
            }
            let end = memchr::memchr(b'\n', available);
            let taken = end.map_or(available.len(), |at| at + 1);
            if line.len() - from + taken > max {
                return Err(NetError::LongLine(max));
            }
            line.extend_from_slice(&available[..taken]);
            self.consume(taken);
            if end.is_some() {
                self.log.received(&line[from..]);
                return Ok(());
            }
        }
    }

    /// Appends exactly `count` bytes to `bytes`. The caller bounds `count`.
    pub fn read_exact(&mut self, bytes: &mut Vec<u8>, count: usize) -> Result<(), NetError> {
        let mut left = count;
        while left > 0 {
            let available = self.fill_buf()?;
            if available.is_empty() {
                return Err(NetError::Closed);
            }
            let taken = available.len().min(left);
            bytes.extend_from_slice(&available[..taken]);
            self.consume(taken);
            left -= taken;
        }
        Ok(())
    }

    /// Collects what is to be sent; sends it when there is much of it. Shown in the log.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        self.log.sent(bytes);
        self.queue(bytes)
    }

    /// Like [`Transport::write`], for what stands in a message: the log shows its size alone.
    pub fn write_body(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        self.log.sent_body(bytes.len());
        self.queue(bytes)
    }

    fn queue(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        for piece in bytes.chunks(OUTPUT_SIZE) {
            self.output.extend_from_slice(piece);
            if self.output.len() >= OUTPUT_SIZE {
                self.pump_until(|line| line.unsent() < OUTPUT_SIZE / 4)?;
            }
        }
        Ok(())
    }

    /// How much was written and not sent yet.
    pub fn unsent(&self) -> usize {
        self.output.len() + self.deflate.as_ref().map_or(0, Deflate::unsent)
    }

    /// Sends all that was written, and takes in what the peer sends meanwhile: up to 16 MB, which the next reads give.
    /// Where the peer went away, the next reads give its last words.
    pub fn flush(&mut self) -> Result<(), NetError> {
        self.pump_until(|line| line.unsent() == 0)
    }

    /// Closes the line without waiting for anything: what was written goes out as far as it can at once, and nobody
    /// reads an answer to it. For the goodbye, by which nothing can be lost.
    pub fn hang_up(&mut self) {
        // Input that nobody read would make the kernel reset the connection, and what we send now might be thrown away.
        if self.push().is_ok() {
            drop(self.pull());
        }
        self.stream.close();
        self.ended = true;
        self.output.clear();
        self.deflate = None;
        self.tunnel = None;
    }

    /// Waits until there is input, `wake` is readable, or `time` is over, and sends what is unsent meanwhile: for
    /// IDLE, and to go on writing without waiting for an answer (`time` zero).
    pub fn wait_input(&mut self, time: Duration, wake: Option<BorrowedFd<'_>>) -> Result<Waited, NetError> {
        let deadline = Instant::now() + time;
        loop {
            self.push()?;
            self.pull()?;
            if !self.input.available().is_empty() || self.ended {
                return Ok(Waited::Input);
            }
            if self.stop.is_set() {
                return Err(NetError::Stopped);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let mut fds = vec![(self.stream.fd()?, self.interest())];
            fds.extend(wake.map(|fd| (fd, PollFlags::IN)));
            let begin = Instant::now();
            let woken = wait(&fds, left.min(SLICE))?.get(1) == Some(&true);
            self.waited += begin.elapsed();
            if woken {
                return Ok(Waited::Woken);
            }
            if left.is_zero() {
                return Ok(Waited::Nothing);
            }
        }
    }

    /// Gives back the room for what is on its way: for lines on which hardly anything will be for a long time.
    pub fn slim(&mut self) {
        self.input.give_back();
        if self.output.is_empty() {
            self.output = Vec::new();
        }
    }

    /// Another descriptor of the line, to wait for input with others. What was taken in already does not show there.
    pub fn descriptor(&self) -> Result<OwnedFd, NetError> {
        self.stream.fd()?.try_clone_to_owned().map_err(NetError::Io)
    }

    fn interest(&self) -> PollFlags {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, !self.ended && !self.input.is_full());
        flags.set(PollFlags::OUT, self.unsent() > 0);
        flags
    }

    /// Moves bytes in both directions until `done`.
    fn pump_until(&mut self, done: impl Fn(&Transport) -> bool) -> Result<(), NetError> {
        let mut last = Instant::now();
        let mut shaken = Shaken::new(&self.stop);
        loop {
            let pushed = match self.push() {
                Ok(pushed) => pushed,
                // The server may have said why before it went: that can still be read.
                Err(error) => {
                    while self.pull().unwrap_or(false) && !self.ended {}
                    return if done(self) { Ok(()) } else { Err(error) };
                }
            };
            if done(self) {
                return Ok(());
            }
            let pulled = self.pull()?;
            if done(self) {
                return Ok(());
            }
            if pushed || pulled {
                last = Instant::now();
                shaken = Shaken::new(&self.stop);
                if self.stop.is_set() {
                    return Err(NetError::Stopped);
                }
                continue;
            }
            self.check(last)?;
            if shaken.for_too_long(&self.stop) {
                return Err(NetError::Timeout(last.elapsed()));
            }
            let left = self.timeout.saturating_sub(last.elapsed());
            let begin = Instant::now();
            wait(&[(self.stream.fd()?, self.interest())], left.min(SLICE))?;
            self.waited += begin.elapsed();
        }
    }

    fn check(&self, since: Instant) -> Result<(), NetError> {
        match (self.stop.is_set(), since.elapsed() >= self.timeout) {
            (true, _) => Err(NetError::Stopped),
            (_, true) => Err(NetError::Timeout(self.timeout)),
            _ => Ok(()),
        }
    }

    /// Sends what can be sent without waiting; whether anything moved. All that is unsent is offered every time: a
    /// TLS write that could not go on must be repeated with the same bytes.
    fn push(&mut self) -> Result<bool, NetError> {
        let unsent = match &mut self.deflate {
            None => &mut self.output,
            Some(deflate) => {
                if !self.output.is_empty() {
                    deflate.pack(&self.output).map_err(NetError::Io)?;
                    self.output.clear();
                }
                deflate.packed()
            }
        };
        if unsent.is_empty() {
            return Ok(false);
        }
        let mut written = 0;
        let outcome = loop {
            match point("line.send").and_then(|()| self.stream.write(&unsent[written..])) {
                Ok(0) => break Err(NetError::Closed),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(broken(error)),
            }
            if written == unsent.len() {
                break Ok(());
            }
        };
        unsent.drain(..written);
        self.sent += written as u64;
        outcome.map(|()| written > 0)
    }

    /// Takes in what is there, once; whether anything came, the end included.
    fn pull(&mut self) -> Result<bool, NetError> {
        if self.ended || self.input.is_full() {
            return Ok(false);
        }
        loop {
            let before = self.received;
            let read = match &mut self.deflate {
                None => self.input.read_from(&mut self.stream).inspect(|count| self.received += *count as u64),
                Some(deflate) => self.input.read_from(&mut deflate.reader(&mut self.stream, &mut self.received)),
            };
            match read {
                Ok(0) => {
                    self.ended = true;
                    return Ok(true);
                }
                Ok(_) => {
                    if self.measuring {
                        self.gauge(self.received - before);
                    }
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(broken(error)),
            }
        }
    }

    fn gauge(&mut self, bytes: u64) {
        let waited = std::mem::take(&mut self.waited);
        self.meter.came(Instant::now(), bytes, waited);
    }
}

/// A wait in which the line may have broken without a sign.
struct Shaken {
    shakes: u32,
    since: Option<Instant>,
}

impl Shaken {
    fn new(stop: &Stop) -> Shaken {
        Shaken { shakes: stop.shakes(), since: None }
    }

    /// Whether nothing moved for longer than a line may take that is well.
    fn for_too_long(&mut self, stop: &Stop) -> bool {
        if self.since.is_none() && stop.shakes() != self.shakes {
            self.since = Some(Instant::now());
        }
        self.since.is_some_and(|since| since.elapsed() >= PATIENCE)
    }
}

fn broken(error: io::Error) -> NetError {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    match error.kind() {
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => NetError::Closed,
        _ => NetError::Io(error),
    }
}

/// Waits for at most `time`; which of them are ready.
/// Waits until something can be done with a socket, or for so long.
pub(super) fn poll_one(socket: &impl AsFd, until: PollFlags, time: Duration) -> Result<(), NetError> {
    wait(&[(socket.as_fd(), until)], time).map(drop)
}

fn wait(fds: &[(BorrowedFd<'_>, PollFlags)], time: Duration) -> Result<Vec<bool>, NetError> {
    let mut polled: Vec<PollFd<'_>> = fds.iter().map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
    let time = Timespec { tv_sec: 0, tv_nsec: i64::from(time.min(SLICE).subsec_nanos()) };
    match poll(&mut polled, Some(&time)) {
        Ok(_) => Ok(polled.iter().map(|fd| !fd.revents().is_empty()).collect()),
        Err(Errno::INTR) => Ok(vec![false; fds.len()]),
        Err(error) => Err(NetError::Io(error.into())),
    }
}
