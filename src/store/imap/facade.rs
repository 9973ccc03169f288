//! The one line to a server, shared by our engine and by the crate's session.
//!
//! [`Line`] reads whole responses. [`Handle`] is what the crate owns: each of its reads gets exactly one response, and
//! only those that the crate can parse: `+`, its own tagged line in plain form, and `* n EXISTS|RECENT|EXPUNGE`. So the
//! crate never reads ahead of us. All else is kept for whoever called it.

use super::error::ImapError;
use super::refusal::{self, When};
use super::sasl::base64;
use super::token::{Code, Frame, Next, Response, Status, StatusKind};
use super::wire::{Command, Tag, write};
use crate::fault::point;
use crate::net::{NetError, Transport, Waited};
use crate::store::Reach;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

/// How long what may follow a server's goodbye is waited for.
const AFTER_BYE: Duration = Duration::from_secs(3);

/// How the server takes literals (RFC 7888).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Literals {
    /// Only after it said `+`.
    #[default]
    Wait,
    /// Small ones at once (LITERAL-).
    Small,
    /// All at once (LITERAL+).
    Free,
}

impl Literals {
    /// Whether a literal of `size` bytes may be sent without waiting.
    pub fn free(self, size: u64) -> bool {
        match self {
            Literals::Wait => false,
            Literals::Small => size <= 4096,
            Literals::Free => true,
        }
    }
}

/// Takes the content of message bodies as it streams by, as it stands on the wire.
pub trait Bodies {
    /// A body begins.
    fn begin(&mut self);

    /// The next piece of it, cut anywhere.
    fn piece(&mut self, piece: &[u8]);
}

/// Lets bodies that nobody asked for pass.
pub struct Ignore;

impl Bodies for Ignore {
    fn begin(&mut self) {}
    fn piece(&mut self, _: &[u8]) {}
}

/// The line and what was read from it that nobody has taken yet.
pub struct Line {
    pub transport: Transport,
    pub literals: Literals,
    /// Lets no command through that changes anything on the server.
    pub read_only: bool,
    /// How many commands of ours were sent.
    pub tags: u32,
    /// Whether the line may be compressed as soon as it shows that it is slow.
    pub compress: bool,
    frame: Frame,
    text: Vec<u8>,
    /// Read while waiting for `+`.
    held: VecDeque<Response>,
    /// How many messages the selected mailbox has, as the server keeps telling.
    pub exists: u32,
    /// What the server said with its last `* BYE`.
    bye: Option<Status>,
    /// The last answer, if it was a refusal that is about the whole account.
    verdict: Option<Status>,
    foreign: Foreign,
}

/// What passed between the server and the crate.
#[derive(Default)]
struct Foreign {
    /// For the crate, not read yet.
    pending: Vec<u8>,
    /// The end of its command as it really was.
    tagged: Option<Status>,
    untagged: Vec<Response>,
    /// What ended the conversation; the crate only knows an I/O error.
    failure: Option<ImapError>,
    /// The crate's next command goes nowhere and is answered OK.
    pretend: bool,
    /// The crate's next line is replaced by `*`: there is no answer to the server's challenge.
    cancel: bool,
    /// How many challenges its command has met.
    challenges: u32,
    /// Commands of ours that go along with its next command, and the tags that they were sent with.
    along: Vec<Command>,
    sent: Vec<Tag>,
}

impl Line {
    pub fn new(transport: Transport) -> Line {
        Line {
            transport,
            literals: Literals::Wait,
            read_only: false,
            tags: 0,
            compress: false,
            frame: Frame::new(),
            text: Vec::new(),
            held: VecDeque::new(),
            exists: 0,
            bye: None,
            verdict: None,
            foreign: Foreign::default(),
        }
    }

    /// The next response, one that was held first.
    pub fn next(&mut self, bodies: &mut dyn Bodies) -> Result<Response, ImapError> {
        loop {
            let response = self.held.pop_front().map_or_else(|| self.response(bodies), Ok)?;
            // A server that ended IDLE by itself takes the DONE that was on its way for the tag of a command.
            if !matches!(&response, Response::Tagged { tag, .. } if tag.eq_ignore_ascii_case("DONE")) {
                return Ok(response);
            }
        }
    }

    /// Keeps a response for the next [`Line::next`].
    pub fn hold(&mut self, response: Response) {
        self.held.push_back(response);
    }

    /// Reads one whole response off the line, bodies streamed past it.
    pub fn response(&mut self, bodies: &mut dyn Bodies) -> Result<Response, ImapError> {
        self.frame.clear();
        loop {
            self.read_line()?;
            match self.frame.line(&self.text).map_err(|error| ImapError::Protocol(error.to_string()))? {
                Next::End => break,
                Next::Gather(size) => {
                    let mut content = Vec::new();
                    self.read_literal(size, &mut |piece| content.extend_from_slice(piece))?;
                    self.frame.literal(&content).map_err(|error| ImapError::Protocol(error.to_string()))?;
                }
                Next::Stream(size) => {
                    bodies.begin();
                    self.read_literal(size, &mut |piece| bodies.piece(piece))?;
                }
            }
        }
        // What it says has happened on the server, and is not known here yet.
        point("line.reply").map_err(|error| self.failed(NetError::Io(error)))?;
        let response = self.frame.parse();
        self.note(&response);
        Ok(response)
    }

    /// The last line that came, fit for a message and not without end.
    pub fn shown(&self) -> String {
        let text = String::from_utf8_lossy(self.text.trim_ascii_end());
        text.chars().map(|c| if c.is_control() { '?' } else { c }).take(120).collect()
    }

    /// Keeps what every response means for the line as a whole.
    fn note(&mut self, response: &Response) {
        match response {
            Response::Exists(count) => self.exists = *count,
            Response::Expunge(_) => self.exists = self.exists.saturating_sub(1),
            Response::Vanished { earlier: false, uids } => {
                self.exists = self.exists.saturating_sub(u32::try_from(uids.len()).unwrap_or(u32::MAX));
            }
            // The numbers so far were those of the mailbox that was selected before.
            Response::Status(status) if status.code == Some(Code::Closed) => self.exists = 0,
            Response::Status(status) if status.kind == StatusKind::Bye => {
                self.bye = Some(status.clone());
                // Some servers never hang up.
                self.transport.set_timeout(self.transport.timeout().min(AFTER_BYE));
            }
            Response::Tagged { status, .. } => self.verdict = is_about_account(status).then(|| status.clone()),
            _ => {}
        }
    }

    /// Whether the line is so slow that it is worth two round trips to compress what is still to come, as many bytes as
    /// `left` says.
    pub fn wants_compression(&self, left: impl FnOnce() -> u64) -> bool {
        self.compress && self.transport.is_slow() && self.transport.is_slow_for(left())
    }

    fn read_line(&mut self) -> Result<(), ImapError> {
        self.text.clear();
        match self.transport.read_line(&mut self.text, LINE_MAX) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn read_literal(&mut self, size: u64, take: &mut dyn FnMut(&[u8])) -> Result<(), ImapError> {
        let mut left = size;
        while left > 0 {
            let buffer = match self.transport.fill_buf() {
                Ok([]) => return Err(self.failed(NetError::Closed)),
                Ok(buffer) => buffer,
                Err(error) => return Err(self.failed(error)),
            };
            let taken = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            take(&buffer[..taken]);
            self.transport.consume(taken);
            left -= taken as u64;
        }
        Ok(())
    }

    /// Queues and sends what a command consists of.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), ImapError> {
        match self.transport.write(bytes) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Queues a piece of a message, which the log does not show.
    pub fn send_body(&mut self, bytes: &[u8]) -> Result<(), ImapError> {
        match self.transport.write_body(bytes) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Sends what is queued.
    pub fn flush(&mut self) -> Result<(), ImapError> {
        match self.transport.flush() {
            Ok(()) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Whether something was read, or came in, that nobody has taken yet.
    pub fn has_input(&self) -> bool {
        !self.held.is_empty() || !self.transport.buffered().is_empty()
    }

    /// Whether the server says anything within so long.
    pub fn hears(&mut self, time: Duration) -> Result<bool, ImapError> {
        match self.transport.wait_input(time, None) {
            // The end of the line is something that comes as well.
            Ok(_) => Ok(self.has_input()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Waits for input, or until `wake` is readable.
    pub fn wait(&mut self, wake: Option<BorrowedFd<'_>>) -> Result<Waited, ImapError> {
        let timeout = self.transport.timeout();
        match self.transport.wait_input(timeout, wake) {
            Ok(waited) => Ok(waited),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The line failed; a BYE that came before says more than a broken pipe, and a refusal that is about the account, as
    /// of a mailbox that Microsoft does not give out, more than the BYE behind it.
    fn failed(&mut self, error: NetError) -> ImapError {
        let bye = self.bye.take();
        match self.verdict.take().or(bye) {
            Some(status) if !matches!(error, NetError::Stopped) => {
                ImapError::Bye { code: status.code, text: status.text }
            }
            _ => ImapError::Net(error),
        }
    }

    /// Sends what the crate wrote, and what is to go along with it.
    fn flush_crate(&mut self) -> Result<(), ImapError> {
        let along = std::mem::take(&mut self.foreign.along);
        if !along.is_empty() {
            // They hold no secret.
            let mask = self.transport.take_mask();
            for command in &along {
                let tag = write(self, command)?;
                self.foreign.sent.push(tag);
            }
            self.transport.set_mask(mask);
        }
        self.flush()
    }

    /// Reads on until there is something that the crate may see, and puts it into `pending`.
    fn feed_crate(&mut self) -> Result<(), ImapError> {
        loop {
            let response = self.response(&mut Ignore)?;
            let plain = match &response {
                Response::Continue(text) => {
                    self.foreign.challenges += 1;
                    if self.foreign.challenges > CHALLENGES_MAX {
                        return Err(ImapError::Protocol("the server asks without end in the login".to_owned()));
                    }
                    let sound = base64::decode(text).is_some();
                    self.foreign.cancel = !sound;
                    match sound && !text.is_empty() {
                        true => Some(format!("+ {}\r\n", String::from_utf8_lossy(text))),
                        false => Some("+\r\n".to_owned()),
                    }
                }
                Response::Tagged { tag, status } if tag.starts_with('a') => {
                    let word = match status.kind {
                        StatusKind::Ok => "OK",
                        StatusKind::No => "NO",
                        _ => "BAD",
                    };
                    self.foreign.tagged = Some(status.clone());
                    Some(format!("{tag} {word} -\r\n"))
                }
                Response::Tagged { tag, .. } => {
                    return Err(ImapError::Protocol(format!("the server ended a command {tag:?} that was never sent")));
                }
                Response::Exists(count) => Some(format!("* {count} EXISTS\r\n")),
                Response::Recent(count) => Some(format!("* {count} RECENT\r\n")),
                Response::Expunge(number) => Some(format!("* {number} EXPUNGE\r\n")),
                _ => None,
            };
            if !matches!(response, Response::Tagged { .. } | Response::Continue(_)) {
                self.foreign.untagged.push(response);
            }
            if let Some(plain) = plain {
                self.foreign.pending.extend_from_slice(plain.as_bytes());
                return Ok(());
            }
        }
    }
}

/// Whether a refusal is one of everything, whatever the command.
fn is_about_account(status: &Status) -> bool {
    let meant = || refusal::meaning(When::Command, status.code.as_ref(), &status.text);
    let refused = matches!(status.kind, StatusKind::No | StatusKind::Bad);
    refused && meant().is_some_and(|meant| meant.reach == Reach::Account)
}

impl Foreign {
    /// Keeps the failure and gives the crate something like it.
    fn fail(&mut self, error: ImapError) -> io::Error {
        let shown = io::Error::other(error.to_string());
        self.failure = Some(error);
        shown
    }
}

/// No line outside a literal is longer: what SEARCH finds in a folder of some million messages.
const LINE_MAX: usize = 64 * 1024 * 1024;

/// No mechanism has so many challenges.
const CHALLENGES_MAX: u32 = 16;

/// What a command of the crate led to.
pub struct Outcome {
    /// How the command ended; `None` where the line broke before.
    pub tagged: Option<Status>,
    pub untagged: Vec<Response>,
    pub failure: Option<ImapError>,
}

/// The stream that the crate owns.
#[derive(Clone)]
pub struct Handle(Arc<Mutex<Line>>);

impl Handle {
    pub fn new(line: Line) -> Handle {
        Handle(Arc::new(Mutex::new(line)))
    }

    /// The line, for as long as no command of the crate runs.
    pub fn line(&self) -> MutexGuard<'_, Line> {
        // A panic while the line was in use can't have left memory in a bad state; the server will notice the rest.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The line, if nobody has it.
    pub fn free_line(&self) -> Option<MutexGuard<'_, Line>> {
        match self.0.try_lock() {
            Ok(line) => Some(line),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Answers the crate's next command with OK and does not send it: the login was done without the crate.
    pub fn pretend(&self) {
        let mut line = self.line();
        line.foreign.pretend = true;
        line.foreign.pending.clear();
    }

    /// Sends these commands right behind the crate's next one, which must be a login that needs no second line.
    pub fn send_along(&self, commands: &[Command]) {
        self.line().foreign.along = commands.to_vec();
    }

    /// The tags of the commands that were sent so; those that were not are not sent any more.
    pub fn sent_along(&self) -> Vec<Tag> {
        let foreign = &mut self.line().foreign;
        foreign.along.clear();
        std::mem::take(&mut foreign.sent)
    }

    /// Breaks the login off: the crate's next line is not sent, but `*` (RFC 3501 section 6.2.2).
    pub fn cancel(&self) {
        self.line().foreign.cancel = true;
    }

    /// What the crate's last command really led to.
    pub fn outcome(&self) -> Outcome {
        let foreign = &mut self.line().foreign;
        foreign.challenges = 0;
        foreign.cancel = false;
        Outcome {
            tagged: foreign.tagged.take(),
            untagged: std::mem::take(&mut foreign.untagged),
            failure: foreign.failure.take(),
        }
    }
}

impl Read for Handle {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut line = self.line();
        if line.foreign.pending.is_empty()
            && let Err(error) = line.feed_crate()
        {
            return Err(line.foreign.fail(error));
        }
        let pending = &mut line.foreign.pending;
        let taken = pending.len().min(into.len());
        into[..taken].copy_from_slice(&pending[..taken]);
        pending.drain(..taken);
        Ok(taken)
    }
}

impl Write for Handle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut line = self.line();
        if std::mem::take(&mut line.foreign.pretend) {
            let tag: Vec<u8> = bytes.iter().copied().take_while(|byte| *byte != b' ').collect();
            line.foreign.pending = [&tag, b" OK -\r\n".as_slice()].concat();
            return Ok(bytes.len());
        }
        let sent = match (line.foreign.cancel, bytes.ends_with(b"\n")) {
            (false, _) => line.send(bytes),
            (true, false) => Ok(()),
            (true, true) => {
                line.foreign.cancel = false;
                line.send(b"*\r\n")
            }
        };
        match sent {
            Ok(()) => Ok(bytes.len()),
            Err(error) => Err(line.foreign.fail(error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut line = self.line();
        match line.flush_crate() {
            Ok(()) => Ok(()),
            Err(error) => Err(line.foreign.fail(error)),
        }
    }
}
