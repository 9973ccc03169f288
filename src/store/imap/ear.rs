//! Listening to a server: IDLE (RFC 2177), and NOTIFY (RFC 5465) where it has that.
//!
//! With NOTIFY one connection hears of every folder. Until a server has shown that it means it, IDLE on one folder goes with
//! it. Then no folder is selected, and all are told of alike, by STATUS: servers wake up those who idle every few minutes, to
//! see whether they are still there.

use super::ImapStore;
use super::conn::{Conn, during};
use super::error::ImapError;
use super::facade::{Ignore, Line};
use super::kept::{ALIVE, Kept};
use super::select::{cursor, reselect};
use super::token::{Code, MailboxStatus, Response, Status, StatusKind};
use super::wire::{Command, Tag, write};
use crate::fault;
use crate::mail::{Cursor, FolderName};
use crate::net::{NetError, Waited};
use crate::store::ear::Standings;
use crate::store::{Access, Ear, Listen, Reach, Store, StoreError};
use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Servers and what is on the way to them forget whom they have not heard for longer: RFC 2177 says 29 minutes, and boxes
/// that translate addresses say 10 or less.
const RENEW: Duration = Duration::from_secs(9 * 60);

/// How long the server may take to let us idle. One that never says so may tell news all the same.
const ADMISSION: Duration = Duration::from_secs(15);

/// An IDLE that the server ends by itself has lasted so long, or is none.
const LASTING: Duration = Duration::from_secs(10);

/// So many responses may come before the answer to DONE.
const MANY: usize = 10_000;

/// What is wanted of NOTIFY. `STATUS` has it say where every folder stands to begin with.
const EVENTS: &str = " SET STATUS (selected (MessageNew (UID) MessageExpunge FlagChange)) \
                      (personal (MessageNew MessageExpunge FlagChange MailboxName))";

/// A connection that listens.
pub struct ImapEar {
    /// There until it rests.
    store: Option<ImapStore>,
    folder: FolderName,
    wire: Vec<u8>,
    notify: bool,
    /// NOTIFY needs no IDLE beside it.
    sure: bool,
    idle: bool,
    apart: bool,
    kept: Arc<Kept>,
    /// The IDLE that goes on, and whether it was waited for in vain that the server lets us.
    idling: Option<Tag>,
    unadmitted: bool,
    descriptor: Option<OwnedFd>,
    /// The time limit that the line has otherwise.
    timeout: Option<Duration>,
    /// What was told while nobody asked.
    early: Vec<String>,
    /// Where folders stand, as far as the server told it whole.
    known: HashMap<Vec<u8>, Cursor>,
    begun: Instant,
}

impl ImapEar {
    /// An ear on this connection, which is given back where the server tells nothing.
    pub fn new(mut store: ImapStore, to: &Listen, kept: Arc<Kept>) -> Result<Result<ImapEar, ImapStore>, StoreError> {
        let has = |name: &str| store.conn.caps().has(name);
        let idle = has("IDLE") && kept.may_idle();
        let notify = to.all && has("NOTIFY") && kept.may_notify();
        if !idle && !notify {
            return Ok(Err(store));
        }
        let wire = match store.wire_for(&to.folder) {
            Ok(wire) => wire,
            Err(error) => {
                // The connection is none the worse for it.
                Box::new(store).close();
                return Err(error);
            }
        };
        let folder = to.folder.clone();
        let (idling, descriptor, timeout, early) = (None, None, None, Vec::new());
        let (apart, known, begun) = (to.apart, HashMap::new(), Instant::now());
        let store = Some(store);
        Ok(Ok(ImapEar {
            store,
            folder,
            wire,
            notify,
            sure: to.sure,
            idle,
            apart,
            kept,
            idling,
            unadmitted: false,
            descriptor,
            timeout,
            early,
            known,
            begun,
        }))
    }

    fn conn(&self) -> &Conn {
        &self.store.as_ref().expect("it has a connection until it rests").conn
    }

    fn conn_mut(&mut self) -> &mut Conn {
        &mut self.store.as_mut().expect("it has a connection until it rests").conn
    }

    /// Asks for the news of every folder.
    fn notify(&mut self, standings: &mut Standings) -> Result<(), StoreError> {
        let mut told = Vec::new();
        let command = Command::new("NOTIFY").text(EVENTS);
        let status = self.conn_mut().run(&command, &mut |response| told.extend(standing(&response)));
        let status = status.map_err(during("listen"))?;
        if status.kind == StatusKind::Ok {
            standings.extend(told);
            return Ok(());
        }
        self.kept.without_notify();
        self.notify = false;
        match self.idle {
            true => Ok(()),
            false => Err(self.refused("NOTIFY", status)),
        }
    }

    fn refused(&self, command: &str, status: Status) -> StoreError {
        let error = ImapError::check(command, status).err();
        let error = error.unwrap_or_else(|| ImapError::Protocol(format!("{command} ended at once")));
        error.into_store(Reach::Folder, "listen")
    }

    fn line<T>(&self, act: impl FnOnce(&mut Line) -> Result<T, ImapError>) -> Result<T, StoreError> {
        let Some(mut line) = self.conn().line() else {
            return Err(
                ImapError::Protocol("somebody else uses the line".to_owned()).into_store(Reach::Connection, "listen")
            );
        };
        let done = act(&mut line);
        drop(line);
        done.map_err(|error| {
            self.conn().break_off();
            error.into_store(Reach::Connection, "listen")
        })
    }

    /// Selects the folder; where it stands.
    fn select(&mut self) -> Result<(Vec<u8>, Cursor), StoreError> {
        let wire = self.wire.clone();
        let selected = reselect(self.conn_mut(), &wire, Access::Read, None)?;
        Ok((wire, selected.cursor()))
    }

    /// Waits until the server lets us idle; what it says before is news.
    fn idle(&mut self) -> Result<(), StoreError> {
        let says_admission = self.kept.says_admission();
        let (tag, heard, unadmitted) = self.line(|line| {
            let tag = write(line, &Command::new("IDLE"))?;
            line.flush()?;
            if !says_admission {
                return Ok((tag, None, false));
            }
            match line.response(&mut Ignore) {
                Ok(response) => Ok((tag, Some(response), false)),
                // It says nothing: what it has to tell may come all the same.
                Err(ImapError::Net(NetError::Timeout(_))) => Ok((tag, None, true)),
                Err(error) => Err(error),
            }
        })?;
        self.unadmitted = unadmitted;
        if let Some(Response::Tagged { tag: ended, status }) = &heard
            && tag.is(ended)
        {
            // One that is refused may be granted later.
            if status.kind != StatusKind::No {
                self.kept.without_idle();
            }
            self.idle = false;
            return match self.notify {
                true => Ok(()),
                false => Err(self.refused("IDLE", status.clone())),
            };
        }
        // Where it tells already, the admission that is on its way is read with the rest.
        let news = heard.and_then(|response| self.news(&response));
        self.early.extend(news);
        self.idling = Some(tag);
        Ok(())
    }

    /// Ends IDLE and NOTIFY, so that the connection is as any other.
    fn done(&mut self) -> Result<(), StoreError> {
        let timeout = self.timeout.take();
        self.descriptor = None;
        self.conn().set_timeout(ALIVE);
        let (idling, notify) = (self.idling.take(), self.notify);
        self.line(|line| {
            let mut open: Vec<Tag> = idling.into_iter().collect();
            if idling.is_some() {
                line.send(b"DONE\r\n")?;
            }
            if notify {
                open.push(write(line, &Command::new("NOTIFY").text(" NONE"))?);
            }
            line.flush()?;
            for _ in 0..MANY {
                if open.is_empty() {
                    return Ok(());
                }
                if let Response::Tagged { tag: ended, .. } = line.next(&mut Ignore)? {
                    open.retain(|tag| !tag.is(&ended));
                }
            }
            Err(ImapError::Protocol("the server does not end IDLE".to_owned()))
        })?;
        if std::mem::take(&mut self.unadmitted) {
            // It did idle.
            self.kept.without_admission();
        }
        if let Some(timeout) = timeout {
            self.conn().set_timeout(timeout);
        }
        Ok(())
    }

    /// The folder that a response brings news of.
    fn news(&self, response: &Response) -> Option<String> {
        match response {
            Response::Exists(_)
            | Response::Recent(_)
            | Response::Expunge(_)
            | Response::Vanished { .. }
            | Response::Fetch(_) => Some(self.folder.text().to_owned()),
            // Where messages are told of by STATUS alone, this may be all that comes.
            Response::Status(Status { code: Some(Code::HighestModSeq(_)), .. }) => Some(self.folder.text().to_owned()),
            Response::MailboxStatus(status) => {
                // Some say once more how all stands, behind their OK.
                let is_known = standing(response).is_some_and(|(name, now)| self.known.get(&name) == Some(&now));
                (!is_known).then(|| self.name(&status.name, None))
            }
            Response::List(listed) | Response::Lsub(listed) => Some(self.name(&listed.name, listed.delimiter)),
            _ => None,
        }
    }

    fn name(&self, wire: &[u8], delimiter: Option<u8>) -> String {
        let naming = &self.conn().setup().naming;
        naming.name_of(wire, delimiter.or(naming.delimiter)).name.text().to_owned()
    }
}

impl Drop for ImapEar {
    /// Says goodbye where it still listens, waiting for nothing.
    fn drop(&mut self) {
        let Some(store) = self.store.as_ref().filter(|store| self.timeout.is_some() && !store.conn.is_broken()) else {
            return;
        };
        if let Some(mut line) = store.conn.line() {
            let done = if self.idling.is_some() { line.send(b"DONE\r\n") } else { Ok(()) };
            // What fails here matters to nobody any more.
            drop(done.and_then(|()| write(&mut line, &Command::new("LOGOUT"))));
            line.transport.hang_up();
        }
    }
}

/// Where a STATUS says that a folder stands, if it says all of it.
fn standing(response: &Response) -> Option<(Vec<u8>, Cursor)> {
    let Response::MailboxStatus(MailboxStatus { name, messages, uidvalidity, uidnext, highestmodseq, .. }) = response
    else {
        return None;
    };
    let whole = messages.is_some() && uidvalidity.is_some() && uidnext.is_some();
    whole.then(|| (name.clone(), cursor(*uidvalidity, *uidnext, highestmodseq.unwrap_or(0), *messages)))
}

impl Ear for ImapEar {
    fn describe(&self) -> String {
        match self.notify {
            true => "NOTIFY".to_owned(),
            false => format!("IDLE on {}", self.folder),
        }
    }

    fn hears_all(&self) -> bool {
        self.notify
    }

    fn is_apart(&self) -> bool {
        self.apart
    }

    fn begin(&mut self) -> Result<Standings, StoreError> {
        if self.timeout.is_some() {
            self.done()?;
        }
        let mut standings = Standings::new();
        self.idle &= self.kept.may_idle();
        let alone = self.notify && (self.sure || !self.idle);
        if alone {
            self.conn_mut().unselect().map_err(during("listen"))?;
        } else {
            standings.push(self.select()?);
        }
        // From here on the line is not as others expect it.
        self.timeout = Some(self.conn().set_timeout(ADMISSION));
        if self.notify {
            self.notify(&mut standings)?;
        }
        if alone && !self.notify {
            standings.push(self.select()?);
        }
        if !alone || !self.notify {
            self.idle()?;
        }
        self.known.extend(standings.iter().cloned());
        self.begun = Instant::now();
        self.descriptor = Some(self.line(|line| {
            line.transport.slim();
            line.transport.descriptor().map_err(ImapError::Net)
        })?);
        Ok(standings)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.descriptor.as_ref().map(AsFd::as_fd)
    }

    fn hear(&mut self) -> Result<Vec<String>, StoreError> {
        let idling = self.idling;
        let (responses, ended) = self.line(|line| {
            let mut responses = Vec::new();
            while line.has_input() || line.transport.wait_input(Duration::ZERO, None)? == Waited::Input {
                match line.next(&mut Ignore)? {
                    // Some end it by themselves after a while.
                    Response::Tagged { tag, status } if idling.is_some_and(|idling| idling.is(&tag)) => {
                        return Ok((responses, Some(status)));
                    }
                    response => responses.push(response),
                }
                if responses.len() >= MANY {
                    break;
                }
            }
            line.transport.slim();
            Ok((responses, None))
        })?;
        if let Some(status) = ended {
            self.idling = None;
            self.early.push(self.folder.text().to_owned());
            // It does not mean it.
            if status.kind == StatusKind::Bad || self.begun.elapsed() < LASTING {
                self.kept.without_idle();
            }
        }
        let mut news = std::mem::take(&mut self.early);
        news.extend(responses.iter().filter_map(|response| self.news(response)));
        news.sort();
        news.dedup();
        Ok(news)
    }

    fn lasts(&self) -> Option<Duration> {
        Some(Duration::from_secs(fault::number("MAILSYNC_RENEW", RENEW.as_secs())))
    }

    fn rest(mut self: Box<Self>) -> Result<Option<Box<dyn Ear>>, StoreError> {
        if self.apart {
            return Ok(Some(self));
        }
        // A connection that does not end IDLE is of no use any more.
        self.done()?;
        self.conn_mut().close();
        self.store.take().into_iter().for_each(|store| Box::new(store).close());
        Ok(None)
    }
}
