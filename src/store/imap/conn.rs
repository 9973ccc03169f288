//! The one connection type: what the rest of the IMAP store sees of a server.
//!
//! [`Conn`] owns the line, the crate's session and the counter of our tags. Our engine borrows all of it, so that the
//! two can't talk at once.

use super::caps::Caps;
use super::error::ImapError;
use super::facade::Handle;
use super::login::LoggedIn;
use super::names::{Astring, Naming};
use super::session::{Done, Session};
use super::token::{Response, Status};
use super::wire::{Command, Wire};
use crate::store::{Reach, StoreError};

/// A connection that is logged in.
pub struct Conn {
    handle: Handle,
    session: Session,
    tags: u32,
    caps: Caps,
    send_id: bool,
    /// Whether the first flight (ID, ENABLE, NAMESPACE) is still to be sent.
    fresh: bool,
    setup: Setup,
    /// Whether a mailbox is selected.
    selected: bool,
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
    pub fn new(logged_in: LoggedIn, send_id: bool) -> Conn {
        let LoggedIn { handle, session, tags, caps } = logged_in;
        Conn { handle, session, tags, caps, send_id, fresh: true, setup: Setup::default(), selected: false }
    }

    /// The line for commands of our own.
    pub fn wire(&mut self) -> Wire<'_> {
        Wire::new(self.handle.line(), &mut self.tags)
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

    /// How many messages the selected mailbox has now.
    pub fn exists(&self) -> u32 {
        self.handle.line().exists
    }

    /// How the line is protected.
    pub fn protection(&self) -> String {
        self.handle.line().transport.protection().to_owned()
    }

    /// The commands that come before all others on a new connection; to be sent along with the first one. ID comes
    /// first: some servers select nothing before it. It is never empty, and its refusal means nothing.
    pub fn first_flight(&mut self) -> Vec<Command> {
        if !std::mem::take(&mut self.fresh) {
            return Vec::new();
        }
        let mut flight = Vec::new();
        if self.send_id && self.caps.has("ID") {
            let version = env!("CARGO_PKG_VERSION");
            flight.push(Command::new("ID").text(format!(" (\"name\" \"mailsync\" \"version\" \"{version}\")")));
        }
        if self.caps.has("QRESYNC") && self.caps.has("ENABLE") {
            flight.push(Command::new("ENABLE").text(" QRESYNC"));
        }
        if self.caps.has("NAMESPACE") {
            flight.push(Command::new("NAMESPACE"));
        }
        flight
    }

    /// Sends the first flight, if that was not done yet.
    pub fn settle(&mut self) -> Result<(), ImapError> {
        let flight = self.first_flight();
        let mut setup = std::mem::take(&mut self.setup);
        let result = self.wire().run_all(&flight, &mut |response| setup.take(&response));
        self.setup = setup;
        result.map(drop)
    }

    /// Whether modification sequences mean something on this server (CONDSTORE, RFC 7162).
    pub fn condstore(&self) -> bool {
        self.caps.has("CONDSTORE") || self.caps.has("QRESYNC")
    }

    pub fn set_selected(&mut self, selected: bool) {
        self.selected = selected;
    }

    /// Leaves the selected mailbox without an expunge, where the server can (UNSELECT, RFC 3691).
    pub fn unselect(&mut self) -> Result<(), ImapError> {
        if self.selected && self.caps.has("UNSELECT") {
            self.wire().run(&Command::new("UNSELECT"), &mut |_| {})?;
            self.selected = false;
        }
        Ok(())
    }

    /// Makes sure that a mailbox that is about to be renamed or deleted is not the selected one: some servers end the
    /// connection over it.
    pub fn step_out(&mut self) -> Result<(), ImapError> {
        self.unselect()?;
        if self.selected {
            self.wire().run(&Command::new("EXAMINE").string(b"INBOX"), &mut |_| {})?;
        }
        Ok(())
    }

    pub fn create(&mut self, mailbox: &[u8]) -> Result<Status, ImapError> {
        self.wire().may("CREATE")?;
        match plain(mailbox) {
            Some(name) => self.session.create(name).map(status),
            None => self.by_literal(Command::new("CREATE").string(mailbox)),
        }
    }

    pub fn subscribe(&mut self, mailbox: &[u8]) -> Result<Status, ImapError> {
        self.wire().may("SUBSCRIBE")?;
        match plain(mailbox) {
            Some(name) => self.session.subscribe(name).map(status),
            None => self.by_literal(Command::new("SUBSCRIBE").string(mailbox)),
        }
    }

    pub fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<Status, ImapError> {
        self.wire().may("RENAME")?;
        match (plain(from), plain(to)) {
            (Some(from), Some(to)) => self.session.rename(from, to).map(status),
            _ => self.by_literal(Command::new("RENAME").string(from).string(to)),
        }
    }

    /// How many messages a mailbox has that is not selected; `None` where the server does not say.
    pub fn count(&mut self, mailbox: &[u8]) -> Result<Option<u32>, ImapError> {
        let mut count = None;
        let command = Command::new("STATUS").string(mailbox).text(" (MESSAGES)");
        self.wire().run_ok(&command, &mut |response| {
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
    /// all that matters was answered before.
    pub fn log_out(mut self) {
        let mut wire = self.wire();
        // The line may be broken already; then there is nobody to say it to.
        drop(wire.send(&Command::new("LOGOUT")));
        wire.line().transport.hang_up();
    }

    fn by_literal(&mut self, command: Command) -> Result<Status, ImapError> {
        let status = self.wire().run(&command, &mut |_| {})?;
        ImapError::check(command.name, status)
    }
}

fn status(done: Done) -> Status {
    done.status
}

/// A name that a quoted string can hold; the crate sends no literals.
fn plain(mailbox: &[u8]) -> Option<&str> {
    match Astring::new(mailbox) {
        Astring::Quoted(_) => std::str::from_utf8(mailbox).ok(),
        Astring::Literal(_) => None,
    }
}
