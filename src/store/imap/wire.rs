//! Our own commands on the line: tags, literals, several commands in flight.

use super::content::Content;
use super::error::ImapError;
use super::facade::{Bodies, Ignore, Line, Literals};
use super::names::Astring;
use super::token::{Response, Status, StatusKind};
use super::turn::Turn;
use crate::net::{NetError, Waited};
use std::collections::VecDeque;
use std::sync::MutexGuard;

/// How many small commands may be in flight: the STATUS of many folders, say. What the server answers meanwhile is taken
/// in while they are sent.
pub const WINDOW: usize = 128;

/// How many STATUS may be in flight where names are short, and how long all of them may be, in bytes. An answer is one
/// line, hardly longer than its command, so that this many fit too: 200 folders cost one round trip and not thirteen.
const STATUS_WINDOW: usize = 256;
const STATUS_BYTES: usize = 32 * 1024;

/// The longest set of UIDs in one command, in bytes: servers cut long lines off.
pub const SET_MAX: usize = 1000;

/// The commands that change something on a server.
const WRITES: [&str; 13] = [
    "APPEND",
    "COPY",
    "CREATE",
    "DELETE",
    "EXPUNGE",
    "MOVE",
    "RENAME",
    "SUBSCRIBE",
    "UID COPY",
    "UID EXPUNGE",
    "UID MOVE",
    "UID STORE",
    "UNSUBSCRIBE",
];

/// How many of these commands may be in flight.
pub fn window(commands: &[Command]) -> usize {
    let longest = commands.iter().map(Command::size).max().and_then(|size| usize::try_from(size).ok()).unwrap_or(1);
    match commands.iter().all(|command| command.name == "STATUS") {
        true => (STATUS_BYTES / longest).clamp(WINDOW, STATUS_WINDOW),
        false => WINDOW,
    }
}

/// A tag of ours: `m1`, `m2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(u32);

impl Tag {
    /// Whether it is written so.
    pub fn is(self, text: &str) -> bool {
        text.strip_prefix('m').and_then(|number| number.parse().ok()) == Some(self.0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    Text(Vec<u8>),
    Literal(Vec<u8>),
    Content(Content),
}

impl Part {
    /// Bytes, without what frames a literal.
    fn size(&self) -> u64 {
        match self {
            Part::Text(bytes) | Part::Literal(bytes) => bytes.len() as u64,
            Part::Content(content) => content.size(),
        }
    }
}

/// Of so many messages a line each fits into what a socket holds, in every flight that may be unanswered.
const FEW: u64 = 8;

/// A command without its tag and line end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Command {
    /// What it is called in errors: no arguments.
    pub name: &'static str,
    parts: Vec<Part>,
    /// Whether its answer is short for sure, unless the server means harm.
    brief: bool,
}

impl Command {
    /// A command that starts with its name.
    pub fn new(name: &'static str) -> Command {
        Command { name, parts: vec![Part::Text(name.as_bytes().to_vec())], brief: changes_something(name) }
    }

    /// Says that it asks for a line or two of so many messages: of a few, that is little.
    pub fn of_few(self, messages: u64) -> Command {
        Command { brief: messages <= FEW, ..self }
    }

    /// Whether its answer is short: all that changes something is told in a line.
    pub fn is_brief(&self) -> bool {
        self.brief
    }

    /// Adds text as it stands.
    pub fn text(mut self, text: impl AsRef<[u8]>) -> Command {
        match self.parts.last_mut() {
            Some(Part::Text(last)) => last.extend_from_slice(text.as_ref()),
            _ => self.parts.push(Part::Text(text.as_ref().to_vec())),
        }
        self
    }

    /// How long it is, in bytes, without what frames a literal.
    pub fn size(&self) -> u64 {
        self.parts.iter().map(Part::size).sum()
    }

    /// Whether it can be sent without waiting for the server in the middle of it.
    pub fn flows(&self, literals: Literals) -> bool {
        self.parts.iter().all(|part| match part {
            Part::Text(_) => true,
            literal => literals.free(literal.size()),
        })
    }

    /// Adds a message as a literal.
    pub fn content(mut self, content: Content) -> Command {
        self.parts.push(Part::Content(content));
        self
    }

    /// Adds a blank and a string: quoted, or as a literal where quotes can't hold it.
    pub fn string(self, string: &[u8]) -> Command {
        let mut command = self.text(" ");
        match Astring::new(string) {
            Astring::Quoted(quoted) => command.text(quoted),
            Astring::Literal(bytes) => {
                command.parts.push(Part::Literal(bytes));
                command
            }
        }
    }
}

/// Whether a command changes something on a server.
pub fn changes_something(command: &str) -> bool {
    WRITES.contains(&command)
}

/// Whether a command that changes something may be sent along with the SELECT of its mailbox: it sets flags, which can be
/// set back, or it removes what was marked in the mailbox before.
pub fn can_wait_its_turn(command: &str) -> bool {
    ["UID STORE", "UID EXPUNGE"].contains(&command)
}

/// Whether a command concerns no selected mailbox. Servers may carry it out beside others (RFC 3501 section 5.5), and
/// Dovecot does: a STATUS may end before the STORE that was sent before it.
pub fn may_overtake(command: &str) -> bool {
    !command.starts_with("UID ") && command != "EXPUNGE"
}

/// Fails where a command may not be sent over this line at all.
pub fn may(read_only: bool, command: &'static str) -> Result<(), ImapError> {
    match read_only && changes_something(command) {
        true => Err(ImapError::ReadOnly { command }),
        false => Ok(()),
    }
}

fn begin(line: &mut Line, command: &'static str) -> Result<Tag, ImapError> {
    may(line.read_only, command)?;
    line.tags = line.tags.wrapping_add(1);
    let tag = Tag(line.tags);
    line.send(format!("m{} ", tag.0).as_bytes())?;
    Ok(tag)
}

/// Writes a command whose literals need not be waited for.
pub fn write(line: &mut Line, command: &Command) -> Result<Tag, ImapError> {
    let tag = begin(line, command.name)?;
    for part in &command.parts {
        match part {
            Part::Text(text) => line.send(text)?,
            literal => {
                line.send(format!("{{{}+}}\r\n", literal.size()).as_bytes())?;
                send_literal(line, literal)?;
            }
        }
    }
    line.send(b"\r\n")?;
    Ok(tag)
}

fn send_literal(line: &mut Line, part: &Part) -> Result<(), ImapError> {
    match part {
        Part::Text(bytes) | Part::Literal(bytes) => line.send(bytes),
        Part::Content(content) => content.send(line),
    }
}

/// The line in our hands. The crate can't run meanwhile, nor can another user of the line.
pub struct Wire<'a> {
    line: MutexGuard<'a, Line>,
    // Behind the line: who comes next finds it free.
    turn: Option<Turn<'a>>,
    unanswered: usize,
    /// How many bytes the longest command has that was sent in this turn.
    longest: u64,
    /// Whether something was answered that nobody asked.
    lost: bool,
    /// Whether nobody may write before all is answered.
    alone: bool,
}

impl Drop for Wire<'_> {
    fn drop(&mut self) {
        if let Some(turn) = &self.turn
            && (self.unanswered > 0 || self.lost)
        {
            // Whoever came next would read answers that are not his.
            turn.turns().break_off();
        }
    }
}

impl<'a> Wire<'a> {
    /// The line of one user alone.
    pub fn new(line: MutexGuard<'a, Line>) -> Wire<'a> {
        Wire { line, turn: None, unanswered: 0, longest: 0, lost: false, alone: false }
    }

    /// The line in a user's turn, with so many commands unanswered.
    pub fn in_turn(line: MutexGuard<'a, Line>, turn: Turn<'a>, unanswered: usize) -> Wire<'a> {
        Wire { line, turn: Some(turn), unanswered, longest: 0, lost: false, alone: false }
    }

    /// So many commands more are unanswered: they were sent before.
    pub fn expect(&mut self, unanswered: usize) {
        self.unanswered += unanswered;
    }

    pub fn line(&mut self) -> &mut Line {
        &mut self.line
    }

    /// How many commands may be unanswered.
    pub fn pipeline(&self) -> usize {
        self.turn.as_ref().map_or(usize::MAX, |turn| turn.turns().pipeline())
    }

    /// Lets nobody write behind what is sent in this turn: their answers might come first.
    pub fn stay_alone(&mut self) {
        self.alone = true;
    }

    /// Lets others write behind what was sent: in this turn nothing more is.
    pub fn close(&mut self) {
        if let Some(turn) = &mut self.turn
            && !self.alone
        {
            turn.close(self.unanswered, self.unanswered as u64 * self.longest);
        }
    }

    /// A new tag for a command, with its text put on the line.
    pub fn begin(&mut self, command: &'static str) -> Result<Tag, ImapError> {
        if self.turn.as_ref().is_some_and(|turn| !turn.is_open()) {
            return Err(ImapError::Protocol(format!("{command} was to be sent when it was another one's turn")));
        }
        let tag = begin(&mut self.line, command)?;
        self.unanswered += 1;
        Ok(tag)
    }

    /// Sends a command. Where the server refuses it before it is whole, the rest is not sent.
    pub fn send(&mut self, command: &Command) -> Result<Tag, ImapError> {
        self.send_whole(command).map(|(tag, _)| tag)
    }

    /// Like [`Wire::send`]; says as well whether the command went whole.
    pub fn send_whole(&mut self, command: &Command) -> Result<(Tag, bool), ImapError> {
        let tag = self.begin(command.name)?;
        self.longest = self.longest.max(command.size());
        for part in &command.parts {
            match part {
                Part::Text(text) => self.line.send(text)?,
                literal => {
                    if !self.literal(tag, literal.size())? {
                        return Ok((tag, false));
                    }
                    send_literal(&mut self.line, literal)?;
                }
            }
        }
        self.line.send(b"\r\n")?;
        Ok((tag, true))
    }

    /// Announces a literal and waits for `+` where that is needed. False where the server refused the command instead;
    /// its tagged answer is then the next to be read.
    fn literal(&mut self, tag: Tag, size: u64) -> Result<bool, ImapError> {
        let free = self.line.literals.free(size);
        let plus = if free { "+" } else { "" };
        self.line.send(format!("{{{size}{plus}}}\r\n").as_bytes())?;
        if free {
            return Ok(true);
        }
        self.line.flush()?;
        loop {
            let response = self.line.response(&mut Ignore)?;
            let refused = matches!(&response, Response::Tagged { tag: ended, .. } if tag.is(ended));
            match response {
                Response::Continue(_) => return Ok(true),
                other => self.line.hold(other),
            }
            if refused {
                return Ok(false);
            }
        }
    }

    /// The next response, all that is queued being sent first.
    pub fn next(&mut self, bodies: &mut dyn Bodies) -> Result<Response, ImapError> {
        self.send_queued()?;
        let response = self.line.next(bodies)?;
        if matches!(response, Response::Tagged { .. }) {
            self.unanswered = self.unanswered.saturating_sub(1);
        }
        Ok(response)
    }

    /// Finds the command that a response ends.
    pub fn sort<T>(&mut self, flight: &mut Flight<T>, response: Response) -> Result<Sorted<T>, ImapError> {
        flight.sort(response).inspect_err(|_| self.lost = true)
    }

    /// Sends what is queued, what others announce included, until there is something to read.
    fn send_queued(&mut self) -> Result<(), ImapError> {
        let Some(turn) = &self.turn else { return self.line.flush() };
        let turns = turn.turns();
        loop {
            turns.write(&mut self.line)?;
            self.line.flush()?;
            if self.line.has_input() {
                return Ok(());
            }
            match self.line.wait(turns.wake())? {
                Waited::Woken => turns.woken(),
                Waited::Input => return Ok(()),
                Waited::Nothing => return Err(ImapError::Net(NetError::Timeout(self.line.transport.timeout()))),
            }
        }
    }

    /// Reads until everything that was sent is answered.
    pub fn drain(&mut self) -> Result<(), ImapError> {
        self.close();
        while self.unanswered > 0 {
            self.next(&mut Ignore)?;
        }
        Ok(())
    }

    /// Runs one command to its end; untagged responses go to `each`.
    pub fn run(&mut self, command: &Command, each: &mut dyn FnMut(Response)) -> Result<Status, ImapError> {
        let tag = self.send(command)?;
        self.until(tag, each)
    }

    /// Like [`Wire::run`], but NO and BAD are errors.
    pub fn run_ok(&mut self, command: &Command, each: &mut dyn FnMut(Response)) -> Result<Status, ImapError> {
        let status = self.run(command, each)?;
        ImapError::check(command.name, status)
    }

    /// Reads on until the command with this tag has ended; untagged responses go to `each`.
    pub fn until(&mut self, tag: Tag, each: &mut dyn FnMut(Response)) -> Result<Status, ImapError> {
        let mut flight = Flight::default();
        flight.push(tag, ());
        loop {
            let response = self.next(&mut Ignore)?;
            match self.sort(&mut flight, response)? {
                Sorted::Ended((), status) => return Ok(status),
                Sorted::Untagged(response) => each(response),
            }
        }
    }

    /// Compresses the line from now on where the server agrees (COMPRESS, RFC 4978 section 3); it is asked once. Nothing
    /// may be in flight.
    pub fn compress(&mut self) -> Result<(), ImapError> {
        self.line.compress = false;
        let status = self.run(&Command::new("COMPRESS").text(" DEFLATE"), &mut |_| {})?;
        if status.kind == StatusKind::Ok {
            self.line.transport.start_deflate();
        }
        Ok(())
    }

    /// Runs commands one after another without waiting in between; the first were sent already, with these tags. How each
    /// of them ended, in order. Nothing more is sent in this turn.
    pub fn go_on(&mut self, commands: &[Command], sent: Vec<Tag>, to: &mut dyn Take) -> Result<Vec<Status>, ImapError> {
        let mut ended: Vec<Option<Status>> = vec![None; commands.len()];
        let mut flight = Flight::default();
        let (mut next, window) = (0, window(commands).min(self.pipeline()));
        for tag in sent {
            flight.push(tag, next);
            next += 1;
        }
        while next < commands.len() || !flight.is_empty() {
            if next < commands.len() && flight.len() < window {
                let tag = self.send(&commands[next])?;
                flight.push(tag, next);
                next += 1;
                continue;
            }
            if next == commands.len() {
                self.close();
            }
            let response = self.next(to.bodies())?;
            match self.sort(&mut flight, response)? {
                Sorted::Ended(at, status) => ended[at] = Some(status),
                Sorted::Untagged(response) => to.take(response),
            }
        }
        Ok(ended.into_iter().flatten().collect())
    }
}

/// Takes what comes while commands run.
pub trait Take {
    /// Takes content of messages, which comes before the response that it belongs to.
    fn bodies(&mut self) -> &mut dyn Bodies;

    /// Takes an untagged response.
    fn take(&mut self, response: Response);
}

/// Takes responses, and lets content pass.
pub struct Responses<'a> {
    each: &'a mut dyn FnMut(Response),
    bodies: Ignore,
}

impl<'a> Responses<'a> {
    /// They go to `each`.
    pub fn to(each: &'a mut dyn FnMut(Response)) -> Responses<'a> {
        Responses { each, bodies: Ignore }
    }
}

impl Take for Responses<'_> {
    fn bodies(&mut self) -> &mut dyn Bodies {
        &mut self.bodies
    }

    fn take(&mut self, response: Response) {
        (self.each)(response);
    }
}

/// What a response was to the commands in flight.
pub enum Sorted<T> {
    /// One of them ended.
    Ended(T, Status),
    Untagged(Response),
}

/// Commands that were sent and have not ended, with what each is for.
pub struct Flight<T>(VecDeque<(Tag, T)>);

impl<T> Default for Flight<T> {
    fn default() -> Self {
        Flight(VecDeque::new())
    }
}

impl<T> Flight<T> {
    pub fn push(&mut self, tag: Tag, what: T) {
        self.0.push_back((tag, what));
    }

    /// Like [`Flight::push`], where there is something that the command is for.
    pub fn extend(&mut self, tag: Tag, what: Option<T>) {
        self.0.extend(what.map(|what| (tag, what)));
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, what)| what)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().map(|(_, what)| what)
    }

    /// Finds the command that a response ends. A tag that is not in flight means that client and server no longer
    /// agree on what is a command: nothing on this line can be trusted any more.
    fn sort(&mut self, response: Response) -> Result<Sorted<T>, ImapError> {
        let Response::Tagged { tag, status } = response else { return Ok(Sorted::Untagged(response)) };
        let found = self.0.iter().position(|(ours, _)| ours.is(&tag)).and_then(|at| self.0.remove(at));
        match found {
            Some((_, what)) => Ok(Sorted::Ended(what, status)),
            None => {
                let text = format!("the server ended a command {tag:?} that is not running: {}", status.text);
                Err(ImapError::Protocol(text))
            }
        }
    }
}
