//! The one connection type: what the rest of the IMAP store sees of a server.
//!
//! A [`Conn`] is one user of a line; several may share it, each with a mailbox of its own (see [`turn`](super::turn)).
//! Our engine and the crate's session borrow the line for a turn each, so that no two of them can talk at once.

use super::caps::Caps;
use super::error::ImapError;
use super::facade::{Handle, Ignore, Line};
use super::login::LoggedIn;
use super::names::{Astring, Naming};
use super::select::{Learned, Selected};
use super::session::{Done, Session};
use super::token::{Response, Status, StatusKind};
use super::turn::{Flight, Lane, Sent, Ticket, Turn, Turns};
use super::wire::{
    Command, Responses, Tag, Take, WINDOW, Wire, can_wait_its_turn, changes_something, may, may_overtake, window,
};
use crate::net::Stop;
use crate::store::{Reach, StoreError};
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many commands select a user's mailbox in the midst of others' commands: UNSELECT and SELECT.
const SELECTING: usize = 2;

/// A line that is logged in, and all who use it.
struct Shared {
    handle: Handle,
    session: Mutex<Session>,
    turns: Turns,
    opened: Opened,
}

/// The mailboxes that were selected on any connection of an account, by the command that did it; a clone is the same.
#[derive(Clone, Default)]
pub struct Opened(Arc<Mutex<HashMap<Command, Selected>>>);

impl Opened {
    fn all(&self) -> MutexGuard<'_, HashMap<Command, Selected>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets all of them.
    pub fn clear(&self) {
        self.all().clear();
    }
}

/// One user of a connection that is logged in.
pub struct Conn {
    shared: Arc<Shared>,
    lane: Lane,
    caps: Caps,
    send_id: bool,
    /// Whether the first flight (ID, ENABLE, NAMESPACE) is still to be sent.
    fresh: bool,
    /// What was sent along with the login and is not answered.
    along: Option<Along>,
    setup: Setup,
    read_only: bool,
    /// The mailbox that this user has open.
    open: Option<Open>,
    /// How many messages it had when something was last heard of it.
    exists: u32,
    /// A mailbox that is being selected.
    begun: Cell<Option<Begun>>,
}

/// What was announced to select a mailbox.
struct Begun {
    select: Command,
    ahead: Vec<Command>,
    ticket: Ticket,
}

/// Commands that were sent along with the login: the first flight, and maybe more.
#[derive(Debug, Default)]
pub struct Along {
    pub commands: Vec<Command>,
    pub tags: Vec<Tag>,
}

/// A mailbox that a user has open.
#[derive(Clone, Debug)]
struct Open {
    select: Command,
    selected: Selected,
}

/// What the first flight brought.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// QRESYNC was really switched on: `* ENABLED QRESYNC` was seen.
    pub qresync: bool,
    /// The server's name and version.
    pub software: Option<String>,
    pub naming: Naming,
}

impl Setup {
    /// Takes what it can use of a response.
    pub fn take(&mut self, response: &Response) {
        match response {
            Response::Enabled(names) => self.qresync |= names.iter().any(|name| name == "QRESYNC"),
            Response::Id(pairs) => self.software = software(pairs),
            Response::Namespace(namespace) => {
                if let Some((prefix, delimiter)) = namespace.personal.first() {
                    self.naming.delimiter = *delimiter;
                    self.naming.prefix = prefix.clone();
                }
                let others = namespace.other.iter().chain(&namespace.shared);
                self.naming.others = others.map(|(prefix, _)| prefix.clone()).collect();
            }
            _ => {}
        }
    }
}

fn software(pairs: &[(String, Option<String>)]) -> Option<String> {
    let value = |key: &str| pairs.iter().find(|(name, _)| name == key).and_then(|(_, value)| value.as_deref());
    let words: Vec<&str> = ["name", "version"].into_iter().filter_map(value).filter(|text| !text.is_empty()).collect();
    Some(words.join(" ")).filter(|text| !text.is_empty())
}

/// Turns a failure into the store's, naming what was being done; a mere refusal reaches the folder.
pub fn during(action: &str) -> impl Fn(ImapError) -> StoreError {
    move |error| error.into_store(Reach::Folder, action)
}

impl Conn {
    /// At most `pipeline` commands are ever unanswered.
    pub fn new(logged_in: LoggedIn, send_id: bool, pipeline: usize, opened: Opened, stop: &Stop) -> Conn {
        let LoggedIn { handle, session, caps, along, .. } = logged_in;
        let turns = Turns::new(stop.clone(), pipeline);
        let lane = turns.lane();
        let shared = Arc::new(Shared { handle, session: Mutex::new(session), turns, opened });
        Conn {
            shared,
            lane,
            caps,
            send_id,
            fresh: true,
            along: Some(along).filter(|along| !along.tags.is_empty()),
            setup: Setup::default(),
            read_only: false,
            open: None,
            exists: 0,
            begun: Cell::default(),
        }
    }

    /// Another user of the same line; `None` where it is not ready for one.
    pub fn another(&self) -> Option<Conn> {
        let shares = !self.fresh && !self.is_broken() && self.pipeline() > SELECTING;
        shares.then(|| Conn {
            shared: self.shared.clone(),
            lane: self.shared.turns.lane(),
            caps: self.caps.clone(),
            send_id: self.send_id,
            fresh: false,
            along: None,
            setup: self.setup.clone(),
            read_only: self.read_only,
            open: None,
            exists: 0,
            begun: Cell::default(),
        })
    }

    /// Whether nobody else uses the line.
    pub fn is_last(&self) -> bool {
        Arc::strong_count(&self.shared) == 1
    }

    /// Whether the line is of no use any more.
    pub fn is_broken(&self) -> bool {
        self.shared.turns.is_broken()
    }

    /// Lets no command through that changes anything on the server.
    pub fn set_read_only(&mut self, read_only: bool) {
        self.read_only = read_only;
        self.shared.handle.line().read_only = read_only;
    }

    /// How many commands may be unanswered.
    pub fn pipeline(&self) -> usize {
        self.shared.turns.pipeline()
    }

    fn take(&self, flight: Flight) -> Result<(Wire<'_>, Sent), ImapError> {
        self.leave_begun()?;
        let handle = &self.shared.handle;
        self.shared.turns.take(flight, || handle.line()).map(|(turn, sent)| self.wire_in(turn, sent))
    }

    fn claim(&self, ticket: Ticket) -> Result<(Wire<'_>, Sent), ImapError> {
        let handle = &self.shared.handle;
        self.shared.turns.claim(ticket, || handle.line()).map(|(turn, sent)| self.wire_in(turn, sent))
    }

    fn wire_in<'a>(&'a self, turn: Turn<'a>, sent: Sent) -> (Wire<'a>, Sent) {
        let unanswered = sent.tags.len() + [sent.unselect, sent.select].into_iter().flatten().count();
        (Wire::in_turn(self.shared.handle.line(), turn, unanswered), sent)
    }

    /// Begins to select a mailbox, if that can be: what is done until it is selected by the same command, with the same
    /// `ahead`, costs no time. That must follow, whatever becomes of the rest.
    pub fn begin(&mut self, select: &Command, ahead: &[Command]) {
        let ready = !self.fresh && self.along.is_none() && ahead.len() < self.pipeline();
        if ready && select.flows(self.caps.literals()) && self.leave_begun().is_ok() {
            let (select, ahead) = (select.clone(), ahead.to_vec());
            let flight = self.selecting(&select, &ahead);
            let ticket = self.shared.turns.announce(flight, || self.shared.handle.free_line());
            self.begun.set(Some(Begun { select, ahead, ticket }));
        }
    }

    /// Reads what is said of a mailbox that was to be selected, and is not wanted any more.
    fn leave_begun(&self) -> Result<(), ImapError> {
        let Some(begun) = self.begun.take() else { return Ok(()) };
        let (mut wire, _) = self.claim(begun.ticket)?;
        self.shared.turns.unselected(self.lane);
        wire.drain()
    }

    fn selecting(&self, select: &Command, ahead: &[Command]) -> Flight {
        let (select, commands) = (Some(select.clone()), ahead.to_vec());
        Flight { select, anew: true, commands, closed: true, ..self.exclusive() }
    }

    /// Nothing sent before the turn has come, and nobody else's command until it ends.
    fn exclusive(&self) -> Flight {
        Flight {
            lane: self.lane,
            select: None,
            anew: false,
            unselect: false,
            apart: false,
            commands: Vec::new(),
            closed: false,
        }
    }

    /// The line for as long as nothing but the crate uses it.
    fn alone(&self) -> Result<Turn<'_>, ImapError> {
        self.leave_begun()?;
        let handle = &self.shared.handle;
        self.shared.turns.take(self.exclusive(), || handle.line()).map(|(turn, _)| turn)
    }

    /// The line for commands of our own, with our mailbox selected if there is one.
    pub fn wire(&mut self) -> Result<Wire<'_>, ImapError> {
        let (mut wire, ..) = self.take(self.exclusive())?;
        let turns = &self.shared.turns;
        if let Some(open) = &self.open
            && turns.selected() != Some(self.lane)
        {
            turns.set_selected(None);
            let tag = wire.send(&open.select)?;
            open.check(&mut wire, tag)?;
            turns.set_selected(Some(self.lane));
        }
        Ok(wire)
    }

    /// The line once the answers to these commands are next to be read. They are sent as soon as can be: behind what
    /// others send, and before what others read. With `whole` nothing more is sent in this turn, and others may send what
    /// comes next. Only so many were sent as tags are given; the caller sends the rest. What concerns no selected mailbox
    /// is sent once all before it is answered.
    pub fn ahead(&mut self, commands: &[Command], whole: bool) -> Result<(Wire<'_>, Vec<Tag>), ImapError> {
        let sent = self.came_along(commands)?;
        if commands.iter().any(|command| may_overtake(command.name)) {
            let (mut wire, ..) = self.take(self.exclusive())?;
            wire.stay_alone();
            wire.expect(sent.len());
            return Ok((wire, sent));
        }
        let literals = self.caps.literals();
        let select = self.open.as_ref().map(|open| open.select.clone());
        let flows = commands.iter().chain(&select).all(|command| command.flows(literals));
        let writes = commands.iter().any(|command| changes_something(command.name));
        let may_write =
            commands.iter().all(|command| !changes_something(command.name) || can_wait_its_turn(command.name))
                && self.caps.has("UNSELECT")
                && !self.read_only;
        if !flows || (writes && !may_write) || self.pipeline() <= SELECTING {
            return Ok((self.wire()?, Vec::new()));
        }
        let most = window(commands).min(self.pipeline().saturating_sub(SELECTING));
        let first = commands[..commands.len().min(most)].to_vec();
        let closed = whole && first.len() == commands.len();
        self.fly(Flight { select, unselect: writes, commands: first, closed, ..self.exclusive() })
    }

    /// The tags of these commands where they are what was sent along with the login. Otherwise what was is read to its end,
    /// and only what it says of the server counts.
    fn came_along(&mut self, commands: &[Command]) -> Result<Vec<Tag>, ImapError> {
        let Some(along) = self.along.take() else { return Ok(Vec::new()) };
        if along.commands == commands {
            return Ok(along.tags);
        }
        let mut setup = std::mem::take(&mut self.setup);
        let (mut wire, ..) = self.take(self.exclusive())?;
        wire.expect(along.tags.len());
        let ended = wire.go_on(&along.commands, along.tags, &mut Responses::to(&mut |response| setup.take(&response)));
        drop(wire);
        self.setup = setup;
        ended.map(|_| Vec::new())
    }

    /// Waits until the first of what was sent along with the login is answered, and fails where the server goes wrong over
    /// it; says whether that began in time. Cyrus 3.6 takes what it had read with the login for another login.
    pub fn hears(&self, time: Duration) -> Result<bool, ImapError> {
        let Some(first) = self.along.as_ref().and_then(|along| along.tags.first()) else { return Ok(true) };
        let mut line = self.shared.handle.line();
        if !line.has_input() && !line.hears(time)? {
            return Ok(false);
        }
        loop {
            let response = line.response(&mut Ignore)?;
            let ended = match &response {
                Response::Tagged { tag, status } => Some(first.is(tag) && status.kind != StatusKind::Bad),
                _ => None,
            };
            line.hold(response);
            match ended {
                Some(true) => return Ok(true),
                Some(false) => {
                    let text = "the server does not take what is sent along with the login";
                    return Err(ImapError::Protocol(text.to_owned()));
                }
                None => {}
            }
        }
    }

    /// Whether [`Conn::ahead_to_store`] can take these commands: there are few, and the server need not be waited for in the
    /// middle of one.
    pub fn may_store_ahead(&self, commands: &[Command]) -> bool {
        let literals = self.caps.literals();
        let room = self.pipeline().saturating_sub(SELECTING);
        let select = self.open.as_ref().map(|open| &open.select);
        select.is_some()
            && commands.len() <= WINDOW.min(room)
            && commands.iter().chain(select).all(|command| command.flows(literals))
    }

    /// Like [`Conn::ahead`] for APPENDs into the open mailbox. They need none selected, but at a SELECT a server waits that
    /// carries out commands beside others: where one is not between an APPEND and another user's FETCH, Dovecot ends the APPEND
    /// behind the answers to the FETCH, or in the middle of them, and they would be read by the wrong user. Whatever overtook
    /// a SELECT would be seen by its tag.
    pub fn ahead_to_store(&mut self, commands: Vec<Command>) -> Result<(Wire<'_>, Vec<Tag>), ImapError> {
        commands.iter().try_for_each(|command| may(self.read_only, command.name))?;
        let select = self.open.as_ref().map(|open| open.select.clone());
        self.fly(Flight { select, apart: true, commands, closed: true, ..self.exclusive() })
    }

    /// The line once the answers to the commands of this flight are next to be read, its mailbox being the one that is open.
    fn fly(&mut self, flight: Flight) -> Result<(Wire<'_>, Vec<Tag>), ImapError> {
        let (mut wire, sent) = self.take(flight)?;
        if let Some(tag) = sent.unselect {
            // There was none selected, where it is refused.
            wire.until(tag, &mut |_| {})?;
        }
        if let Some(tag) = sent.select
            && let Some(open) = &self.open
            && let Err(error) = open.check(&mut wire, tag)
        {
            self.shared.turns.unselected(self.lane);
            wire.drain()?;
            return Err(error);
        }
        Ok((wire, sent.tags))
    }

    /// Opens a mailbox, and sends `ahead` in the same flight: its answers are those of the mailbox if it could be opened.
    /// They go to `each`, and how each command ended is given where the mailbox could be opened.
    pub fn select(
        &mut self,
        command: &Command,
        ahead: &[Command],
        each: &mut dyn FnMut(Response),
    ) -> Result<(Status, Selected, Vec<Status>), ImapError> {
        self.open = None;
        let begun = self.begun.take();
        let (begun, other) = match begun {
            Some(begun) if begun.select == *command && begun.ahead == ahead => (Some(begun), None),
            other => (None, other),
        };
        self.begun.set(other);
        let (mut wire, sent) = match begun {
            Some(Begun { ticket, .. }) => self.claim(ticket)?,
            None if command.flows(self.caps.literals()) && ahead.len() < self.pipeline() => {
                self.take(self.selecting(command, ahead))?
            }
            None => self.take(self.exclusive())?,
        };
        let selecting = match sent.select {
            Some(tag) => tag,
            None => {
                self.shared.turns.set_selected(Some(self.lane));
                wire.send(command)?
            }
        };
        let mut learned = Learned::new(command.name);
        wire.line().exists = 0;
        let status = wire.until(selecting, &mut |response| learned.take(&response))?;
        let exists = wire.line().exists;
        let selected = learned.finish(&status, exists);
        if status.kind != StatusKind::Ok {
            self.shared.turns.unselected(self.lane);
            wire.drain()?;
            return Ok((status, selected, Vec::new()));
        }
        let ended = match sent.tags.is_empty() {
            true => Vec::new(),
            false => wire.go_on(ahead, sent.tags, &mut Responses::to(each))?,
        };
        let exists = wire.line().exists;
        drop(wire);
        self.exists = exists;
        self.shared.opened.all().insert(command.clone(), selected.clone());
        self.open = Some(Open { select: command.clone(), selected: selected.clone() });
        Ok((status, selected, ended))
    }

    /// Takes the mailbox that this command opens for open, without asking, if it was opened before, on this line or on
    /// another one, and had this UIDVALIDITY: as it was then. That it still has it is found out with the first command.
    pub fn trust(&mut self, select: &Command, validity: u64) -> Option<Selected> {
        let known = self.shared.opened.all().get(select).cloned();
        let selected = known.filter(|known| known.validity.map(u64::from) == Some(validity))?;
        if self.open.as_ref().is_none_or(|open| open.select != *select) {
            self.open = Some(Open { select: select.clone(), selected: selected.clone() });
            self.exists = selected.exists;
            self.shared.turns.unselected(self.lane);
        }
        Some(selected)
    }

    /// Runs one command to its end; untagged responses go to `each`.
    pub fn run(&mut self, command: &Command, each: &mut dyn FnMut(Response)) -> Result<Status, ImapError> {
        let ended = self.run_all(std::slice::from_ref(command), each)?;
        ended.into_iter().next().ok_or_else(|| ImapError::Protocol(format!("{} did not end", command.name)))
    }

    /// Like [`Conn::run`], but NO and BAD are errors.
    pub fn run_ok(&mut self, command: &Command, each: &mut dyn FnMut(Response)) -> Result<Status, ImapError> {
        let status = self.run(command, each)?;
        ImapError::check(command.name, status)
    }

    /// Runs commands one after another without waiting in between. How each of them ended, in order.
    pub fn run_all(&mut self, commands: &[Command], each: &mut dyn FnMut(Response)) -> Result<Vec<Status>, ImapError> {
        self.run_all_with(commands, &mut Responses::to(each))
    }

    /// Like [`Conn::run_all`]; what comes goes to `to`, content of messages too.
    pub fn run_all_with(&mut self, commands: &[Command], to: &mut dyn Take) -> Result<Vec<Status>, ImapError> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let (mut wire, sent) = self.ahead(commands, true)?;
        let ended = wire.go_on(commands, sent, to)?;
        let exists = wire.line().exists;
        drop(wire);
        self.exists = exists;
        Ok(ended)
    }

    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    pub fn caps_mut(&mut self) -> &mut Caps {
        &mut self.caps
    }

    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    pub fn setup_mut(&mut self) -> &mut Setup {
        &mut self.setup
    }

    /// How many messages the open mailbox had when something was last heard of it.
    pub fn exists(&self) -> u32 {
        self.exists
    }

    /// How long a wait may last from now on; and until now.
    pub fn set_timeout(&self, timeout: Duration) -> Duration {
        let transport = &mut self.shared.handle.line().transport;
        let before = transport.timeout();
        transport.set_timeout(timeout);
        before
    }

    /// The line, for one who uses it alone and leaves no command unanswered; `None` where others use it.
    pub fn line(&self) -> Option<MutexGuard<'_, Line>> {
        self.is_last().then(|| self.shared.handle.line())
    }

    /// Nobody can use the line any more.
    pub fn break_off(&self) {
        self.shared.turns.break_off();
    }

    /// How the line is protected.
    pub fn protection(&self) -> String {
        self.shared.handle.line().transport.protection().to_owned()
    }

    /// The commands that come before all others on a new connection; to be sent along with the first one. ID comes
    /// first: some servers select nothing before it. It is never empty, and its refusal means nothing.
    pub fn first_flight(&mut self) -> Vec<Command> {
        if !std::mem::take(&mut self.fresh) {
            return Vec::new();
        }
        first_flight(&self.caps, self.send_id)
    }

    /// Sends the first flight, if that was not done yet.
    pub fn settle(&mut self) -> Result<(), ImapError> {
        let flight = self.first_flight();
        let mut setup = std::mem::take(&mut self.setup);
        let result = self.run_all(&flight, &mut |response| setup.take(&response));
        self.setup = setup;
        result.map(drop)
    }

    /// Whether modification sequences mean something on this server (CONDSTORE, RFC 7162).
    pub fn condstore(&self) -> bool {
        self.caps.condstore()
    }

    /// Lets go of the mailbox that is open, and of what is known of it, without telling the server.
    pub fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.shared.opened.all().remove(&open.select);
        }
    }

    /// Leaves the selected mailbox, and forgets all that were. Without an expunge, where the server can (UNSELECT, RFC 3691).
    pub fn unselect(&mut self) -> Result<(), ImapError> {
        self.open = None;
        self.shared.opened.clear();
        if self.shared.turns.selected().is_some() && self.caps.has("UNSELECT") {
            let shared = self.shared.clone();
            let mut wire = self.wire()?;
            shared.turns.set_selected(None);
            wire.run(&Command::new("UNSELECT"), &mut |_| {})?;
        }
        Ok(())
    }

    /// Makes sure that a mailbox that is about to be renamed or deleted is not the selected one: some servers end the
    /// connection over it.
    pub fn step_out(&mut self) -> Result<(), ImapError> {
        self.unselect()?;
        if self.shared.turns.selected().is_some() {
            let shared = self.shared.clone();
            let mut wire = self.wire()?;
            shared.turns.set_selected(None);
            wire.run(&Command::new("EXAMINE").string(b"INBOX"), &mut |_| {})?;
        }
        Ok(())
    }

    /// Runs a command of the crate.
    fn by_crate(
        &mut self,
        name: &'static str,
        run: impl FnOnce(&mut Session) -> Result<Done, ImapError>,
    ) -> Result<Status, ImapError> {
        may(self.read_only, name)?;
        let _turn = self.alone()?;
        let mut session = self.shared.session.lock().unwrap_or_else(PoisonError::into_inner);
        let result = run(&mut session);
        if !matches!(&result, Ok(_) | Err(ImapError::Refused { .. })) {
            self.shared.turns.break_off();
        }
        result.map(|done| done.status)
    }

    /// Runs a command for each of these mailboxes, without waiting in between, and says how each of them ended.
    pub fn with_each(
        &mut self,
        name: &'static str,
        mailboxes: &[&[u8]],
    ) -> Result<Vec<Result<(), ImapError>>, ImapError> {
        let commands: Vec<Command> = mailboxes.iter().map(|mailbox| Command::new(name).string(mailbox)).collect();
        let ended = self.run_all(&commands, &mut |_| {})?;
        Ok(ended.into_iter().map(|status| ImapError::check(name, status).map(drop)).collect())
    }

    pub fn subscribe(&mut self, mailbox: &[u8]) -> Result<Status, ImapError> {
        match plain(mailbox) {
            Some(name) => self.by_crate("SUBSCRIBE", |session| session.subscribe(name)),
            None => self.by_literal(Command::new("SUBSCRIBE").string(mailbox)),
        }
    }

    pub fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<Status, ImapError> {
        match (plain(from), plain(to)) {
            (Some(from), Some(to)) => self.by_crate("RENAME", |session| session.rename(from, to)),
            _ => self.by_literal(Command::new("RENAME").string(from).string(to)),
        }
    }

    /// How many messages a mailbox has that is not selected; `None` where the server does not say.
    pub fn count(&mut self, mailbox: &[u8]) -> Result<Option<u32>, ImapError> {
        let mut count = None;
        let command = Command::new("STATUS").string(mailbox).text(" (MESSAGES)");
        self.run_ok(&command, &mut |response| {
            if let Response::MailboxStatus(status) = response {
                count = status.messages.or(count);
            }
        })?;
        Ok(count)
    }

    pub fn delete(&mut self, mailbox: &[u8]) -> Result<Status, ImapError> {
        self.by_literal(Command::new("DELETE").string(mailbox))
    }

    pub fn unsubscribe(&mut self, mailbox: &[u8]) -> Result<Status, ImapError> {
        self.by_literal(Command::new("UNSUBSCRIBE").string(mailbox))
    }

    /// Says LOGOUT (RFC 3501 section 6.1.3) and closes the line, waiting neither for the answer nor for room to send:
    /// all that matters was answered before. Does nothing while others use the line.
    pub fn log_out(mut self) {
        if !self.is_last() {
            return;
        }
        self.open = None;
        // The line may be broken already; then there is nobody to say it to.
        if let Ok(mut wire) = self.wire() {
            drop(wire.send(&Command::new("LOGOUT")));
            wire.line().transport.hang_up();
        }
    }

    fn by_literal(&mut self, command: Command) -> Result<Status, ImapError> {
        let status = self.run(&command, &mut |_| {})?;
        ImapError::check(command.name, status)
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        // Nobody will read what it says, and the others wait for that.
        if self.begun.take().is_some() {
            self.break_off();
        }
    }
}

/// What [`Conn::first_flight`] consists of, with a server that can do this.
pub fn first_flight(caps: &Caps, send_id: bool) -> Vec<Command> {
    let mut flight = Vec::new();
    if send_id && caps.has("ID") {
        let version = env!("CARGO_PKG_VERSION");
        flight.push(Command::new("ID").text(format!(" (\"name\" \"mailsync\" \"version\" \"{version}\")")));
    }
    if caps.has("QRESYNC") && caps.has("ENABLE") {
        flight.push(Command::new("ENABLE").text(" QRESYNC"));
    }
    if caps.has("NAMESPACE") {
        flight.push(Command::new("NAMESPACE"));
    }
    flight
}

impl Open {
    /// Reads the answer to a SELECT that was sent only because others came in between: the mailbox must still be the one
    /// that was opened.
    fn check(&self, wire: &mut Wire<'_>, tag: Tag) -> Result<(), ImapError> {
        let mut learned = Learned::new(self.select.name);
        wire.line().exists = 0;
        let status = wire.until(tag, &mut |response| learned.take(&response))?;
        let now = learned.finish(&status, 0).validity;
        ImapError::check(self.select.name, status)?;
        match now == self.selected.validity {
            true => Ok(()),
            false => Err(ImapError::Renumbered { now, was: self.selected.validity }),
        }
    }
}

/// A name that a quoted string can hold; the crate sends no literals.
fn plain(mailbox: &[u8]) -> Option<&str> {
    match Astring::new(mailbox) {
        Astring::Quoted(_) => std::str::from_utf8(mailbox).ok(),
        Astring::Literal(_) => None,
    }
}
