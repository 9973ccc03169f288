//! One mailbox, open: messages by UID.

use super::ahead::{self, Ahead, Mailbox, Sizes};
use super::changes;
use super::conn::{Conn, during};
use super::download::{Along, Sink, download};
use super::edit::{self, Guarded};
use super::error::ImapError;
use super::headers::{Headers, header_commands, headers};
use super::question::{Answer, Asked, Questions};
use super::select::{self, Selected, select};
use super::token::{Fetch, Response, StatusKind, UidSet};
use super::upload::{self, upload};
use super::wire::Command;
use crate::mail::{Changes, Cursor, FlagDelta, FlagSpace, Identity, Key};
use crate::store::draft::{Lines, Meter, draft_error};
use crate::store::{
    Access, Depth, Draft, Drafter, Fetched, Folder, Identified, Kind, Known, Mark, Outgoing, Reach, Receive, Slice,
    StoreError, sys,
};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What is asked of more messages is asked when it is wanted: answers are held until then.
const FORESEEN_MAX: usize = 1000;

/// How long UIDNEXT, and what a message is, count as freshly known: since that was read off the line.
pub(super) const FRESH: Duration = Duration::from_secs(5);

/// One mailbox that is selected on its connection.
pub struct ImapFolder<'a> {
    pub(super) conn: &'a mut Conn,
    pub(super) mailbox: Vec<u8>,
    pub(super) access: Access,
    pub(super) selected: Selected,
    /// Whether anything was done since the mailbox was selected.
    pub(super) touched: bool,
    /// Whether nothing was uploaded since UIDNEXT was told.
    uidnext_known: bool,
    /// What was asked for along with the opening.
    pub(super) asked: Option<Asked>,
    /// What was asked of new messages along with the opening, or with the look at what changed.
    pub(super) headers: Headers,
    pub(super) ahead: Ahead,
    /// Whether what is new will be fetched, most likely.
    pub(super) wants_new: bool,
    /// Messages of which is to be known what they are, soon, and what was asked of them along with something else.
    foreseen: UidSet,
    foretold: Option<(Instant, Headers)>,
    guarded: Guarded,
}

impl<'a> ImapFolder<'a> {
    /// Selects the mailbox, and gives back marks that an earlier expunge could not.
    pub fn open(
        conn: &'a mut Conn,
        mailbox: &[u8],
        access: Access,
        expect: Option<u64>,
        (guarded, ahead): (Guarded, Ahead),
    ) -> Result<ImapFolder<'a>, StoreError> {
        let selected = select(conn, mailbox, access, expect)?;
        let mut folder = ImapFolder::opened(conn, mailbox, access, selected, (guarded, ahead))?;
        // What is expected is believed until the first command; its numbers may be those of a while ago.
        folder.touched = expect.is_some();
        Ok(folder)
    }

    /// Selects the mailbox, and asks for its changes in the same flight.
    pub fn open_to_look(
        conn: &'a mut Conn,
        mailbox: &[u8],
        access: Access,
        (since, seen): (Option<&Cursor>, Option<&Cursor>),
        (guarded, ahead): (Guarded, Ahead),
    ) -> Result<ImapFolder<'a>, StoreError> {
        conn.settle().map_err(during("log in"))?;
        let asked = Questions::worth_asking(conn, &ahead, since, seen);
        let commands = asked.commands(conn);
        let (mut answer, mut headers) = (Answer::default(), Headers::default());
        let selected = select::select_and(conn, mailbox, access, None, &commands, &mut |response| {
            if let Response::Fetch(Fetch { uid: Some(uid), .. }) = &response
                && asked.names(*uid)
            {
                headers.take(&response);
            }
            answer.take(response);
        });
        let (selected, ended) = ahead.unless_broken(asked.new.is_some(), selected)?;
        let mut folder = ImapFolder::opened(conn, mailbox, access, selected, (guarded, ahead))?;
        if let (Some(question), Some(status)) = (asked.changed, ended.first())
            && status.kind == StatusKind::Ok
        {
            folder.asked = Some(Asked { question, answer });
            folder.headers = headers;
        }
        Ok(folder)
    }

    fn opened(
        conn: &'a mut Conn,
        mailbox: &[u8],
        access: Access,
        selected: Selected,
        (guarded, ahead): (Guarded, Ahead),
    ) -> Result<ImapFolder<'a>, StoreError> {
        let mailbox = mailbox.to_vec();
        if selected.writable {
            guarded.restore(conn, &mailbox, selected.validity)?;
        }
        Ok(ImapFolder {
            conn,
            mailbox,
            access,
            selected,
            touched: false,
            uidnext_known: true,
            asked: None,
            headers: Headers::default(),
            ahead,
            wants_new: false,
            foreseen: UidSet::default(),
            foretold: None,
            guarded,
        })
    }

    /// Selects the mailbox again, so that its numbers are those of now.
    pub(super) fn refresh(&mut self) -> Result<(), StoreError> {
        let expect = self.selected.validity.map(u64::from);
        self.selected = select::reselect(self.conn, &self.mailbox, self.access, expect)?;
        (self.touched, self.uidnext_known, self.asked) = (false, true, None);
        Ok(())
    }

    /// By what it is known beyond this opening.
    pub(super) fn known_by(&self) -> Mailbox {
        (self.mailbox.clone(), self.selected.validity)
    }

    /// What is known of the sizes of these messages.
    fn sizes_of(&self, uids: &[u32]) -> Sizes {
        uids.first().map_or_else(Sizes::default, |first| self.ahead.sizes(&self.known_by(), *first))
    }

    fn refuse_if_read_only(&self, action: &str) -> Result<(), StoreError> {
        match self.selected.writable {
            true => Ok(()),
            false => Err(StoreError::new(Reach::Message, Kind::Refused, action, "the folder is read-only")),
        }
    }

    /// One more than the highest UID there is, as the server says now.
    fn next_uid(&mut self) -> Result<u32, StoreError> {
        if self.uidnext_known
            && self.selected.at.elapsed() < FRESH
            && let Some(next) = self.selected.uidnext
        {
            return Ok(next);
        }
        let mut highest = 0;
        let command = Command::new("UID FETCH").text(" * (UID)");
        let result = self.conn.run_ok(&command, &mut |response| {
            if let Response::Fetch(Fetch { uid: Some(uid), .. }) = response {
                highest = highest.max(uid);
            }
        });
        match result {
            // An empty mailbox may have no message `*`.
            Ok(_) | Err(ImapError::Refused { .. }) => {}
            Err(error) => return Err(during("reserve")(error)),
        }
        let next = highest.saturating_add(1).max(self.selected.uidnext.unwrap_or(1));
        (self.selected.uidnext, self.selected.at, self.uidnext_known) = (Some(next), Instant::now(), true);
        Ok(next)
    }

    /// Keeps UIDNEXT true after an upload; notes it where the server did not tell the UIDs.
    fn grew(&mut self, told: &[Result<Option<Key>, StoreError>]) {
        let new = told.iter().filter_map(|told| told.as_ref().ok());
        let highest = new.clone().filter_map(|key| key.as_ref()?.uid()).max();
        self.selected.uidnext = self.selected.uidnext.max(highest.map(|uid| uid.saturating_add(1)));
        if new.clone().any(Option::is_none) {
            self.uidnext_known = false;
        }
    }
}

/// The UIDs among the keys.
pub(super) fn uids(keys: &[Key]) -> UidSet {
    keys.iter().filter_map(Key::uid).collect()
}

impl Folder for ImapFolder<'_> {
    fn changes(&mut self, since: Option<&Cursor>, known: &dyn Known) -> Result<Changes, StoreError> {
        if self.touched {
            self.refresh()?;
        }
        self.touched = true;
        let changes = changes::look(self, since, known)?;
        if (1..=ahead::ASKED as usize).contains(&self.headers.len()) {
            self.ahead.keep_headers(self.known_by(), self.headers.clone());
        }
        Ok(changes)
    }

    fn some_new(&mut self, after: Option<&Key>, known: &dyn Known, most: usize) -> Result<Option<Slice>, StoreError> {
        changes::some_new(self, after.and_then(Key::uid).unwrap_or(0), known, most)
    }

    fn disowns(&mut self, cursor: &Cursor) -> bool {
        // A server that lost CONDSTORE since says nothing against a modification sequence that it gave before.
        let ahead = |mark: select::Mark| {
            (self.selected.modseq > 0 && mark.modseq > self.selected.modseq)
                || self.selected.uidnext.is_some_and(|next| mark.uidnext > next)
        };
        select::Mark::parse(&cursor.mark).is_none_or(ahead)
    }

    fn flag_space(&self) -> FlagSpace {
        self.selected.flag_space.clone()
    }

    fn writable(&self) -> bool {
        self.selected.writable
    }

    fn identify(&mut self, keys: &[Key], depth: Depth) -> Result<Identified, StoreError> {
        match depth {
            Depth::Header => {
                let foretold = self.foretold.take().filter(|(at, _)| at.elapsed() < FRESH).map(|(_, headers)| headers);
                let mailbox = self.known_by();
                let answered = |uid: u32| {
                    let here = self.headers.answered(uid);
                    let told = here.or_else(|| foretold.as_ref().and_then(|headers| headers.answered(uid)));
                    told.cloned().or_else(|| self.ahead.identity(&mailbox, uid))
                };
                let (mut here, mut lacking) = (Vec::new(), UidSet::default());
                for uid in uids(keys).iter() {
                    match answered(uid) {
                        Some(identity) => here.push((Key::Uid(uid), identity)),
                        None => lacking.insert(uid),
                    }
                }
                let mut found = match lacking.is_empty() {
                    true => Identified::default(),
                    false => headers(self.conn, &lacking)?,
                };
                found.known.append(&mut here);
                Ok(found)
            }
            Depth::Content => {
                let mut sink = Measuring::default();
                let wanted: Vec<u32> = keys.iter().filter_map(Key::uid).collect();
                let sizes = self.sizes_of(&wanted);
                download(self.conn, &wanted, |uid| size_of(&sizes, uid), &mut sink)?;
                Ok(sink.found)
            }
        }
    }

    fn fetch(&mut self, keys: &[Key], to: &mut dyn Receive) -> Result<(), StoreError> {
        let wanted: Vec<u32> = keys.iter().filter_map(Key::uid).collect();
        let mut sink = Delivering { to };
        let wanted = self.ahead.deliver(&self.known_by(), wanted, &mut sink)?;
        let sizes = self.sizes_of(&wanted);
        download(self.conn, &wanted, |uid| size_of(&sizes, uid), &mut sink)
    }

    fn want_new(&mut self) {
        self.wants_new = true;
    }

    fn drafter(&self) -> Box<dyn Drafter> {
        Box::new(|| {
            let file =
                anonymous_file(&std::env::temp_dir()).map_err(|error| draft_error("make a temporary file", error))?;
            Ok(Draft::new(file, None))
        })
    }

    fn reserve(&mut self, count: usize) -> Result<Vec<Mark>, StoreError> {
        let next = self.next_uid()?;
        Ok(vec![Mark::NotBelow(Key::Uid(next)); count])
    }

    fn append(&mut self, batch: Vec<Outgoing>) -> Result<Vec<Result<Option<Key>, StoreError>>, StoreError> {
        if !self.selected.writable {
            return Ok(batch.iter().map(|_| self.refuse_if_read_only("append").map(|()| None)).collect());
        }
        self.touched = true;
        let (validity, space) = (self.selected.validity, &self.selected.flag_space);
        let told = upload(self.conn, &upload::Target { mailbox: &self.mailbox, validity, space }, batch)?;
        self.grew(&told);
        Ok(told)
    }

    fn foresee(&mut self, keys: &[Key]) {
        self.foreseen = if keys.len() <= FORESEEN_MAX { uids(keys) } else { UidSet::default() };
    }

    fn set_flags(&mut self, changes: &[(Key, FlagDelta)]) -> Result<Vec<(Key, StoreError)>, StoreError> {
        if !self.selected.writable {
            let refused = |key: &Key| Some((key.clone(), self.refuse_if_read_only("set flags").err()?));
            return Ok(changes.iter().filter_map(|(key, _)| refused(key)).collect());
        }
        self.touched = true;
        let ask = header_commands(self.conn, &std::mem::take(&mut self.foreseen));
        let mut headers = Headers::default();
        let mut take = |response| headers.take(&response);
        let refused = edit::set_flags(self.conn, changes, &self.selected.flag_space, &ask, &mut take)?;
        self.foretold = Some((Instant::now(), headers));
        Ok(refused)
    }

    fn remove(&mut self, keys: &[Key]) -> Result<Vec<(Key, StoreError)>, StoreError> {
        if !self.selected.writable {
            let refused = |key: &Key| Some((key.clone(), self.refuse_if_read_only("expunge").err()?));
            return Ok(keys.iter().filter_map(refused).collect());
        }
        self.touched = true;
        edit::remove(self.conn, &uids(keys), &self.mailbox, self.selected.validity, &self.guarded)
    }

    fn move_to(
        &mut self,
        keys: &[Key],
        into: &[u8],
        marks: &[Mark],
    ) -> Result<Vec<Result<Option<Key>, StoreError>>, StoreError> {
        if !self.selected.writable {
            return Ok(keys.iter().map(|_| self.refuse_if_read_only("move").map(|()| None)).collect());
        }
        self.touched = true;
        let mut moved = edit::move_to(self.conn, keys, into, &self.mailbox, self.selected.validity, &self.guarded)?;
        for (answer, mark) in moved.iter_mut().zip(marks) {
            if matches!(answer, Ok(Some(Key::Uid(uid))) if !upload::is_above(*uid, mark)) {
                *answer = Ok(None);
            }
        }
        Ok(moved)
    }
}

fn size_of(sizes: &[(u32, u64)], uid: u32) -> Option<u64> {
    sizes.binary_search_by_key(&uid, |(uid, _)| *uid).ok().map(|at| sizes[at].1)
}

/// Gives downloads to whoever asked for them.
struct Delivering<'a> {
    to: &'a mut dyn Receive,
}

impl Sink for Delivering<'_> {
    type Target = Draft;

    fn begin(&mut self) -> Result<Draft, StoreError> {
        self.to.draft()
    }

    fn piece(&mut self, draft: &mut Draft, piece: Lines<'_>) -> Result<(), StoreError> {
        draft.write_lines(piece).map_err(|error| draft_error("write a message", error))
    }

    fn finish(&mut self, uid: u32, mut body: Draft, along: Along) -> Result<(), StoreError> {
        body.measure().map_err(|error| draft_error("write a message", error))?;
        self.to.message(Fetched {
            key: Key::Uid(uid),
            flags: along.flags,
            date: along.date,
            email_id: along.email_id,
            body,
        })
    }

    fn failed(&mut self, uid: u32, error: StoreError) -> Result<(), StoreError> {
        self.to.failed(Key::Uid(uid), error)
    }
}

/// Reads messages and keeps nothing but what they are.
#[derive(Default)]
struct Measuring {
    found: Identified,
}

impl Sink for Measuring {
    type Target = Meter;

    fn begin(&mut self) -> Result<Meter, StoreError> {
        Ok(Meter::default())
    }

    fn piece(&mut self, meter: &mut Meter, piece: Lines<'_>) -> Result<(), StoreError> {
        meter.update_lines(piece);
        Ok(())
    }

    fn finish(&mut self, uid: u32, meter: Meter, along: Along) -> Result<(), StoreError> {
        self.found.known.push((Key::Uid(uid), Identity { email_id: along.email_id, ..meter.identity() }));
        Ok(())
    }

    fn failed(&mut self, uid: u32, error: StoreError) -> Result<(), StoreError> {
        self.found.unread.push((Key::Uid(uid), error));
        Ok(())
    }
}

/// An open file that nobody else can find: it goes with its last user.
fn anonymous_file(directory: &Path) -> io::Result<File> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!(".mailsync-{}-{number}", std::process::id()));
        match sys::open(OpenOptions::new().read(true).write(true).create_new(true).mode(0o600), &path) {
            Ok(file) => {
                sys::remove_file(&path)?;
                return Ok(file);
            }
            // Left behind by a process of the same number.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}
