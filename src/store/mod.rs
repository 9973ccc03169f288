//! What the engine may ask of a store, and what a store promises.
//!
//! A [`Store`] is one connection to a set of folders; an [`Opener`] makes as many as are wanted. A [`Folder`] is one
//! folder, looked at and changed by key. Both are used by one thread at a time. Message content crosses as a
//! [`Draft`]: a file, never a buffer, so that memory does not grow with the size of a message.

pub mod draft;
pub mod ear;
pub mod imap;
pub mod maildir;
pub mod memory;
mod sys;
pub mod traced;

pub use crate::net::Stop;
pub use draft::Draft;
pub use ear::{Ear, Listen};
pub use sys::{most_files, start_thread};

use crate::mail::{Appeared, Changes, Cursor, FlagDelta, FlagSpace, Flags, FolderName, Identity, Key, Noted, Role};
use std::fmt;
use std::path::PathBuf;

/// Makes connections to one store.
pub trait Opener: Send + Sync {
    /// Connects and logs in.
    fn open(&self) -> Result<Box<dyn Store>, StoreError>;

    /// Tells the store what it noted in an earlier run; to be called before all else.
    fn recall(&self, noted: Option<&Noted>) {
        let _ = noted;
    }

    /// What the store is to be told in the next run, `None` where that is what it was told in this one. To be asked when it
    /// was opened, and also when that failed.
    fn noted(&self) -> Option<Noted> {
        None
    }

    /// Starts to connect in the background, so that the next [`Opener::open`] finds a connection and has only to log
    /// in. Asks for no password; what fails is told by `open`.
    fn begin(&self) {}

    /// What people call the store: `imap.example.org`, `~/Mail`. No secret in it.
    fn place(&self) -> String;

    /// Where the password comes from, or came from, in words: `~/.netrc line 3`. Never looks for it. `None` where the
    /// store needs none.
    fn password_from(&self) -> Option<String> {
        None
    }

    /// From now on, keeps one connection that is closed for whoever opens or listens next; or no longer, and says goodbye
    /// on the one that is kept. For those who open again and again.
    fn keep(&self, on: bool) {
        let _ = on;
    }

    /// Somebody who listens to the store from [`Ear::begin`] on; `None` where nobody tells of changes.
    fn listen(&self, to: &Listen) -> Result<Option<Box<dyn Ear>>, StoreError> {
        let _ = to;
        Ok(None)
    }

    /// Keeps other runs, whatever state they have, from this store for as long as the lock lives; `None` where many
    /// may use it at once, as a server, or where it isn't there yet. Fails with [`Kind::Locked`] where another run
    /// has it.
    fn lock(&self) -> Result<Option<Lock>, StoreError> {
        Ok(None)
    }
}

/// A store of this run's own: a kernel lock, which ends with the process at the latest.
#[derive(Debug)]
pub struct Lock {
    _file: std::fs::File,
}

impl Lock {
    /// Keeps a file whose lock has been taken.
    pub fn new(locked: std::fs::File) -> Lock {
        Lock { _file: locked }
    }
}

/// Whether a store is the one that the state knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It bears the owner's mark, or it is of a kind that needs none.
    Ours,
    /// It is there (or can be made) and bears no mark.
    Unmarked,
    /// Its root is not there: not mounted, moved away, a dangling link.
    Missing,
    /// It bears the mark of another owner, given here.
    Foreign(String),
}

/// What may be done to an opened folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Look only: EXAMINE (RFC 3501 section 6.3.2).
    Read,
    /// Look and change: SELECT.
    Write,
}

/// A folder as its store lists it.
#[derive(Clone, Debug)]
pub struct FolderInfo {
    pub name: FolderName,
    /// The store's own name for it, verbatim: mailbox name bytes on the wire, path below the root on disk.
    /// Handed back as it is; unique within the store.
    pub wire: Vec<u8>,
    /// Whether it can hold messages (not `\Noselect`, `\NonExistent`; a directory with `cur`).
    pub selectable: bool,
    /// `None` where the store knows no subscriptions.
    pub subscribed: Option<bool>,
    pub role: Option<Role>,
    /// What the store calls the folder whatever its name: MAILBOXID (RFC 8474 section 4).
    pub object: Option<String>,
    /// Where the folder stands, if the store could say so cheaply.
    pub cursor: Option<Cursor>,
    /// Number of messages, and of those without `\Seen`, if cheap.
    pub messages: Option<u64>,
    pub unseen: Option<u64>,
    /// Why this folder can't be synced although it is there: a name that can't be mapped back, say.
    pub problem: Option<String>,
}

/// What `info` shows of a store.
#[derive(Clone, Debug, Default)]
pub struct StoreFacts {
    /// The server's own name and version (ID, RFC 2971), or the Maildir's layout.
    pub software: Option<String>,
    /// Capabilities that the store makes use of, and those among them that it found.
    pub uses: Vec<(String, bool)>,
    pub delimiter: Option<String>,
    /// The prefix of the personal namespace (RFC 2342).
    pub namespace: Option<String>,
    /// How the line is protected: `TLSv1.3`, `none`.
    pub transport: Option<String>,
}

/// One connection to a set of folders.
pub trait Store: Send {
    /// What `info` shows. May ask the server; changes nothing.
    fn facts(&mut self) -> Result<StoreFacts, StoreError>;

    /// Says whether this is the store that `owner` marked. Changes nothing.
    fn claim(&mut self, owner: &str) -> Result<Claim, StoreError>;

    /// Marks the store as `owner`'s, making its root if need be. `turn` grows with what is stored, and tells a store from
    /// an older copy of it.
    fn mark(&mut self, owner: &str, turn: u64) -> Result<(), StoreError>;

    /// Marks the store anew with a later turn, if it bears the owner's mark now; fails where it does not.
    fn advance(&mut self, owner: &str, turn: u64) -> Result<(), StoreError>;

    /// The turn of the last mark, 0 where it names none; `None` where the store bears no marks.
    fn turn(&mut self) -> Result<Option<u64>, StoreError>;

    /// Lists every folder, those that can't be selected too, or fails: a list that may be incomplete is an error.
    /// The store's own doubts about one folder go into [`FolderInfo::problem`]. Cursors are given where they cost
    /// no round trip a folder.
    fn list(&mut self) -> Result<Vec<FolderInfo>, StoreError>;

    /// Like [`Store::list`]; a store that can lists with less work where it is told what it noted the last time. With
    /// what it is to be told the next time, `None` where that is the same.
    fn list_again(&mut self, noted: Option<&Noted>) -> Result<(Vec<FolderInfo>, Option<Noted>), StoreError> {
        let _ = noted;
        Ok((self.list()?, None))
    }

    /// Opens a folder by the `wire` name that `list` or `create` gave. With `expect`, fails with [`Kind::Reset`]
    /// where the folder's generation is another.
    fn open(&mut self, wire: &[u8], access: Access, expect: Option<u64>) -> Result<Box<dyn Folder + '_>, StoreError>;

    /// Like [`Store::open`], where [`Folder::changes`] is asked next, and with the same `since`: a store that can asks
    /// for them along with the opening. `seen` is the cursor that its last list gave.
    fn open_to_look(
        &mut self,
        wire: &[u8],
        access: Access,
        since: Option<&Cursor>,
        seen: Option<&Cursor>,
    ) -> Result<Box<dyn Folder + '_>, StoreError> {
        let _ = (since, seen);
        self.open(wire, access, None)
    }

    /// Says which folder will be opened next, by [`Store::open`] without `expect` or, with `look`, by
    /// [`Store::open_to_look`] with the same cursors: a store that has to wait for that begins to wait now. The opening has to
    /// follow, whatever becomes of other things: other users of the connection wait for it.
    fn begin_to_open(&mut self, wire: &[u8], access: Access, look: Option<(Option<&Cursor>, Option<&Cursor>)>) {
        let _ = (wire, access, look);
    }

    /// Another user of the same connection, for another thread; `None` where a connection has one user only. What
    /// several of them wait for is waited for at the same time.
    fn another(&mut self) -> Option<Box<dyn Store>> {
        None
    }

    /// Whether the connection broke, so that nothing more can be done with it.
    fn is_broken(&self) -> bool {
        false
    }

    /// The wire name that [`Store::create`] would use, or why there can be none.
    fn wire_for(&mut self, name: &FolderName) -> Result<Vec<u8>, StoreError>;

    /// Makes a folder, its parents too where the store needs them, and subscribes to it. A folder that is there
    /// already is success.
    fn create(&mut self, name: &FolderName) -> Result<FolderInfo, StoreError>;

    /// Like [`Store::create`] for several, parents before what they hold: a store that has to wait waits for all at once. Where
    /// that ends amid it, some of them may have been made.
    fn create_all(&mut self, names: &[FolderName]) -> Vec<Result<FolderInfo, StoreError>> {
        names.iter().map(|name| self.create(name)).collect()
    }

    /// Renames a folder with all it holds; folders inside it stay where they are on stores that allow it.
    fn rename(&mut self, wire: &[u8], to: &FolderName) -> Result<FolderInfo, StoreError>;

    /// Removes a folder that holds no message, with the index files of mail programs; folders inside it stay. Where
    /// it holds a message, or anything else, it fails and the folder is as it was. One that is not there is success.
    fn delete(&mut self, wire: &[u8]) -> Result<(), StoreError>;

    /// Fails where [`Store::delete`] would refuse the folder, were it empty, as far as that can be known.
    fn may_delete(&mut self, wire: &[u8]) -> Result<(), StoreError> {
        let _ = wire;
        Ok(())
    }

    /// Whether what [`Folder::remove`] takes out of a folder stays elsewhere in the store, so that only a move to the
    /// trash deletes it: Gmail's folders are labels.
    fn archives_removed(&mut self) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Says goodbye (LOGOUT) and waits for nothing. What fails here matters to nobody.
    fn close(self: Box<Self>) {}
}

/// How many known keys are read at a time.
pub(crate) const KNOWN_PAGE: usize = 1000;

/// What a folder had when it was last agreed upon: the engine lends it to [`Folder::changes`].
pub trait Known {
    /// The flags that this side was last known to have, or `None` where the key is not known.
    fn get(&self, key: &Key) -> Result<Option<Flags>, StoreError>;

    /// The same for several keys, in their order.
    fn get_all(&self, keys: &[Key]) -> Result<Vec<Option<Flags>>, StoreError> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    /// How many keys are known.
    fn count(&self) -> Result<u64, StoreError>;

    /// Known keys after `after` with their flags, ascending: at most `count` of them, and none only where no more come.
    fn after(&self, after: Option<&Key>, count: usize) -> Result<Vec<(Key, Flags)>, StoreError>;

    /// Gives every known key with its flags, keys ascending. Costs what their number says: only for full listings.
    fn each(&self, take: &mut dyn FnMut(Key, Flags)) -> Result<(), StoreError> {
        let mut last = None;
        loop {
            let page = self.after(last.as_ref(), KNOWN_PAGE)?;
            let Some((key, _)) = page.last() else { return Ok(()) };
            last = Some(key.clone());
            page.into_iter().for_each(|(key, flags)| take(key, flags));
        }
    }

    /// A comparison of names with all that are known; `None` where there is none.
    fn tally(&self) -> Result<Option<Box<dyn Tally + '_>>, StoreError> {
        Ok(None)
    }
}

/// Compares a listing of names with what is known, by sums over parts of the names, so that what is the same costs no look
/// at what is known of it. Begins with all that is known; what is listed is taken away, and in a part where that is the
/// same nothing remains.
pub trait Tally {
    /// The part that a name belongs to, whether it is known or not.
    fn part(&self, name: &[u8]) -> usize;

    /// Takes away a message that is there.
    fn take(&mut self, name: &[u8], flags: &Flags);

    /// Adds a message.
    fn add(&mut self, name: &[u8], flags: &Flags);

    /// For each part, whether anything remains.
    fn remaining(&self) -> Vec<bool>;
}

/// A folder of which nothing is known: all of it is new.
pub struct NothingKnown;

impl Known for NothingKnown {
    fn get(&self, _: &Key) -> Result<Option<Flags>, StoreError> {
        Ok(None)
    }

    fn count(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    fn after(&self, _: Option<&Key>, _: usize) -> Result<Vec<(Key, Flags)>, StoreError> {
        Ok(Vec::new())
    }
}

/// How much [`Folder::identify`] reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Size, Message-ID and EMAILID; a store that must read the file anyway gives the hash too.
    Header,
    /// The hash as well, at the cost of a download.
    Content,
}

/// Where a copy will end, as far as its store can tell beforehand: committed with the intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It will have exactly this key.
    Exact(Key),
    /// Its key will not be below this one (UIDNEXT before the APPEND).
    NotBelow(Key),
}

/// A message that [`Folder::fetch`] delivers.
#[derive(Debug)]
pub struct Fetched {
    pub key: Key,
    /// Flags as they were sent along, where they were.
    pub flags: Option<Flags>,
    /// INTERNALDATE, or the file's mtime; seconds since 1970. `None` where it makes no sense.
    pub date: Option<i64>,
    /// EMAILID or X-GM-MSGID, where it was sent along.
    pub email_id: Option<String>,
    pub body: Draft,
}

/// Who takes what [`Folder::fetch`] delivers. An error from here ends the fetch.
pub trait Receive {
    /// An empty draft for the next message; asked once for each, before its first byte.
    fn draft(&mut self) -> Result<Draft, StoreError>;

    /// A whole message. In no promised order.
    fn message(&mut self, fetched: Fetched) -> Result<(), StoreError>;

    /// A message that could not be had: its key, and why. The others still come.
    fn failed(&mut self, key: Key, error: StoreError) -> Result<(), StoreError>;
}

/// A message for [`Folder::append`].
#[derive(Debug)]
pub struct Outgoing {
    pub mark: Mark,
    pub flags: Flags,
    /// INTERNALDATE or mtime to be, seconds since 1970.
    pub date: Option<i64>,
    pub body: Draft,
}

/// Makes drafts for one folder.
pub trait Drafter: Send {
    /// An empty draft.
    fn draft(&mut self) -> Result<Draft, StoreError>;
}

impl<F: FnMut() -> Result<Draft, StoreError> + Send> Drafter for F {
    fn draft(&mut self) -> Result<Draft, StoreError> {
        self()
    }
}

/// Some of the messages of a folder that are not known.
#[derive(Debug)]
pub struct Slice {
    pub appeared: Vec<Appeared>,
    /// Where the folder stood when it was opened.
    pub cursor: Cursor,
    /// All keys up to this one were looked at; `None` where there are no others.
    pub reached: Option<Key>,
}

/// One folder, open. All it does is by key, and safe to be done again.
pub trait Folder: Send {
    /// What changed since `since` (all of it, where there is none), compared with what is `known`.
    ///
    /// Must not report a message as vanished on less than proof: the folder is there, the listing had as many
    /// messages as the store counts, and what was missing was looked for again.
    fn changes(&mut self, since: Option<&Cursor>, known: &dyn Known) -> Result<Changes, StoreError>;

    /// Messages with keys above `after` that are not known, about `most` of them: for folders of which so much is new
    /// that not all of it should be looked at together. It proves nothing about what is missing. `None` where a folder
    /// can only be looked at as a whole.
    fn some_new(&mut self, after: Option<&Key>, known: &dyn Known, most: usize) -> Result<Option<Slice>, StoreError> {
        let _ = (after, known, most);
        Ok(None)
    }

    /// How many messages there are, where the store's list does not say and it is cheap to count them.
    fn count(&mut self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    /// Whether `cursor`, of the generation that the folder has now, can't be one that it gave: its mark can't be read,
    /// or lies ahead of where the folder stands.
    fn disowns(&mut self, cursor: &Cursor) -> bool;

    /// The flags that this folder can hold, once open.
    fn flag_space(&self) -> FlagSpace;

    /// Whether it can be written to at all ([READ-ONLY], permissions).
    fn writable(&self) -> bool;

    /// What tells the messages apart. Keys that are gone are left out of the answer.
    fn identify(&mut self, keys: &[Key], depth: Depth) -> Result<Identified, StoreError>;

    /// The file that a message has which was just stored with these flags, where messages are files. Looks at nothing.
    fn stored_as(&self, key: &Key, flags: &Flags) -> Option<PathBuf> {
        let _ = (key, flags);
        None
    }

    /// The files of messages in their order, where messages are files; `None` for one that is not there.
    fn files(&mut self, keys: &[Key]) -> Result<Vec<Option<PathBuf>>, StoreError> {
        Ok(vec![None; keys.len()])
    }

    /// Delivers the messages' content in LF form. A message that is gone is left out; one that can't be read goes
    /// to [`Receive::failed`].
    fn fetch(&mut self, keys: &[Key], to: &mut dyn Receive) -> Result<(), StoreError>;

    /// Makes drafts in a place from which this folder can take them at no cost, on another thread if need be.
    fn drafter(&self) -> Box<dyn Drafter>;

    /// Chooses the marks for the next `count` appends, or moves into this folder, in order.
    fn reserve(&mut self, count: usize) -> Result<Vec<Mark>, StoreError>;

    /// Stores each message once or not at all, durably. The answer has one entry a message, in order: its key;
    /// `None` where the store does not tell (no UIDPLUS, RFC 4315 section 3), so that the caller looks for it;
    /// or why it was refused. An `Err` of the whole leaves open which of them were stored.
    fn append(&mut self, batch: Vec<Outgoing>) -> Result<Vec<Result<Option<Key>, StoreError>>, StoreError>;

    /// Says which messages will be read, changed or removed in a moment: a store that has to look for them looks for all at
    /// once.
    fn expect(&mut self, keys: &[Key]) {
        let _ = keys;
    }

    /// Says which messages [`Folder::identify`] will be asked about by header in a moment: a store that can asks along with
    /// what comes before that.
    fn foresee(&mut self, keys: &[Key]) {
        let _ = keys;
    }

    /// Says that what [`Folder::changes`] finds new will be fetched, most likely: a store that can brings a little of it along
    /// with that.
    fn want_new(&mut self) {}

    /// Adds and removes flags; flags outside [`Folder::flag_space`] are passed over, keys that are gone too.
    /// The answer names the messages that were refused.
    fn set_flags(&mut self, changes: &[(Key, FlagDelta)]) -> Result<Vec<(Key, StoreError)>, StoreError>;

    /// Removes exactly these messages and no other: for good (UID EXPUNGE, RFC 4315 section 2.1), or into the place
    /// where the store keeps what it removes; what that can't take is not removed. Keys that are gone are success. The answer names those that could not be removed.
    fn remove(&mut self, keys: &[Key]) -> Result<Vec<(Key, StoreError)>, StoreError>;

    /// Moves messages to the folder `into` of the same store: UID MOVE (RFC 6851), a rename. The answer has one
    /// entry a key, in order: the new key, `None` where the store does not tell, or why it stays. `marks` are what
    /// [`Folder::reserve`] of the target gave.
    fn move_to(
        &mut self,
        keys: &[Key],
        into: &[u8],
        marks: &[Mark],
    ) -> Result<Vec<Result<Option<Key>, StoreError>>, StoreError>;
}

/// How far a failure reaches. The engine decides by this alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// This message; the others of the folder go on.
    Message,
    /// This folder; the other folders go on.
    Folder,
    /// This connection; another one may be made.
    Connection,
    /// This account.
    Account,
}

/// What messages are.
#[derive(Debug, Default)]
pub struct Identified {
    pub known: Vec<(Key, Identity)>,
    /// Messages that are there and can't be read, and why.
    pub unread: Vec<(Key, StoreError)>,
}

/// What kind of failure it is: for hints and exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Wrong password, refused mechanism, nothing to log in with. Exit code 4.
    Auth,
    /// Certificate or pin.
    Tls,
    /// Can't connect, lost the line, no answer in time.
    Network,
    /// The server said NO or BAD.
    Refused,
    /// Over quota, or asked to come again later.
    Later,
    /// The folder or message is not there.
    Missing,
    /// The folder's generation is not the expected one.
    Reset,
    /// Disk full, permissions, I/O error on this machine.
    Disk,
    /// The other side broke the protocol.
    Protocol,
    /// The state's database failed.
    State,
    /// Another run uses the store. Exit code 3.
    Locked,
    /// The user asked to stop.
    Stopped,
}

/// The action of a failure that came while logging in.
pub const LOG_IN: &str = "log in";

/// A failure of a store: how far it reaches, what was being done, why it failed, and what can be done about it.
#[derive(Clone, Debug)]
pub struct StoreError {
    pub reach: Reach,
    pub kind: Kind,
    /// What was being done: `append`, `select`, `log in`.
    pub action: String,
    /// Why it failed: the server's code and text, the system's error. Never holds a secret or a control character.
    pub cause: String,
    /// The one thing to do about it, if there is one.
    pub hint: Option<String>,
}

impl StoreError {
    pub fn new(reach: Reach, kind: Kind, action: impl Into<String>, cause: impl fmt::Display) -> Self {
        let cause = cause.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        StoreError { reach, kind, action: action.into(), cause, hint: None }
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure, reaching as far as `reach` says.
    pub fn reaching(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }

    /// Whether somebody was not let in, if only for now: exit code 4.
    pub fn failed_login(&self) -> bool {
        self.kind == Kind::Auth || (self.kind == Kind::Later && self.action == LOG_IN)
    }

    /// The user asked to stop.
    pub fn stopped() -> Self {
        StoreError::new(Reach::Account, Kind::Stopped, "stop", "interrupted")
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.action, self.cause)
    }
}

impl std::error::Error for StoreError {}
