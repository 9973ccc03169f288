//! Our own commands on the line: tags, literals, several commands in flight.

use super::error::ImapError;
use super::facade::{Bodies, Ignore, Line};
use super::names::Astring;
use super::token::{Response, Status, StatusKind};
use std::collections::VecDeque;
use std::sync::MutexGuard;

/// How many small commands may be in flight. Their text and their answers fit into the sockets' buffers.
const WINDOW: usize = 16;

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

/// A tag of ours: `m1`, `m2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(u32);

impl Tag {
    fn is(self, text: &str) -> bool {
        text.strip_prefix('m').and_then(|number| number.parse().ok()) == Some(self.0)
    }
}

#[derive(Clone, Debug)]
enum Part {
    Text(Vec<u8>),
    Literal(Vec<u8>),
}

/// A command without its tag and line end.
#[derive(Clone, Debug)]
pub struct Command {
    /// What it is called in errors: no arguments.
    pub name: &'static str,
    parts: Vec<Part>,
}

impl Command {
    /// A command that starts with its name.
    pub fn new(name: &'static str) -> Command {
        Command { name, parts: vec![Part::Text(name.as_bytes().to_vec())] }
    }

    /// Adds text as it stands.
    pub fn text(mut self, text: impl AsRef<[u8]>) -> Command {
        match self.parts.last_mut() {
            Some(Part::Text(last)) => last.extend_from_slice(text.as_ref()),
            _ => self.parts.push(Part::Text(text.as_ref().to_vec())),
        }
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

/// The line in our hands. The crate can't run meanwhile: `Conn` lends the line to one of both.
pub struct Wire<'a> {
    line: MutexGuard<'a, Line>,
    tags: &'a mut u32,
}

impl<'a> Wire<'a> {
    pub fn new(line: MutexGuard<'a, Line>, tags: &'a mut u32) -> Wire<'a> {
        Wire { line, tags }
    }

    pub fn line(&mut self) -> &mut Line {
        &mut self.line
    }

    /// Whether a command may be sent over this line at all.
    pub fn may(&self, command: &'static str) -> Result<(), ImapError> {
        match self.line.read_only && WRITES.contains(&command) {
            true => Err(ImapError::ReadOnly { command }),
            false => Ok(()),
        }
    }

    /// A new tag for a command, with its text put on the line.
    pub fn begin(&mut self, command: &'static str) -> Result<Tag, ImapError> {
        self.may(command)?;
        *self.tags = self.tags.wrapping_add(1);
        let tag = Tag(*self.tags);
        self.line.send(format!("m{} ", tag.0).as_bytes())?;
        Ok(tag)
    }

    /// Sends a command. Where the server refuses it before it is whole, the rest is not sent.
    pub fn send(&mut self, command: &Command) -> Result<Tag, ImapError> {
        let tag = self.begin(command.name)?;
        for part in &command.parts {
            match part {
                Part::Text(text) => self.line.send(text)?,
                Part::Literal(bytes) => {
                    if !self.literal(tag, "", bytes.len() as u64)? {
                        return Ok(tag);
                    }
                    self.line.send(bytes)?;
                }
            }
        }
        self.line.send(b"\r\n")?;
        Ok(tag)
    }

    /// Announces a literal and waits for `+` where that is needed. False where the server refused the command instead;
    /// its tagged answer is then the next to be read.
    pub fn literal(&mut self, tag: Tag, prefix: &str, size: u64) -> Result<bool, ImapError> {
        let free = self.line.literals.free(size);
        let plus = if free { "+" } else { "" };
        self.line.send(format!("{prefix}{{{size}{plus}}}\r\n").as_bytes())?;
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
        self.line.flush()?;
        self.line.next(bodies)
    }

    /// Runs one command to its end; untagged responses go to `each`.
    pub fn run(&mut self, command: &Command, each: &mut dyn FnMut(Response)) -> Result<Status, ImapError> {
        let tag = self.send(command)?;
        let mut flight = Flight::default();
        flight.push(tag, ());
        loop {
            match flight.sort(self.next(&mut Ignore)?)? {
                Sorted::Ended((), status) => return Ok(status),
                Sorted::Untagged(response) => each(response),
            }
        }
    }

    /// Like [`Wire::run`], but NO and BAD are errors.
    pub fn run_ok(&mut self, command: &Command, each: &mut dyn FnMut(Response)) -> Result<Status, ImapError> {
        let status = self.run(command, each)?;
        ImapError::check(command.name, status)
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

    /// Runs commands one after another without waiting in between. How each of them ended, in order.
    pub fn run_all(&mut self, commands: &[Command], each: &mut dyn FnMut(Response)) -> Result<Vec<Status>, ImapError> {
        let mut ended: Vec<Option<Status>> = vec![None; commands.len()];
        let mut flight = Flight::default();
        let mut next = 0;
        while next < commands.len() || !flight.is_empty() {
            if next < commands.len() && flight.len() < WINDOW {
                let tag = self.send(&commands[next])?;
                flight.push(tag, next);
                next += 1;
                continue;
            }
            match flight.sort(self.next(&mut Ignore)?)? {
                Sorted::Ended(at, status) => ended[at] = Some(status),
                Sorted::Untagged(response) => each(response),
            }
        }
        Ok(ended.into_iter().flatten().collect())
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

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, what)| what)
    }

    /// Finds the command that a response ends. A tag that is not in flight means that client and server no longer
    /// agree on what is a command: nothing on this line can be trusted any more.
    pub fn sort(&mut self, response: Response) -> Result<Sorted<T>, ImapError> {
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
