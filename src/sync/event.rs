//! What the engine tells observers. Events own all they say, and nothing in them leads back.

use super::plan::Held;
use crate::mail::{FolderName, Role, Side, Sides};
use crate::store::{Kind, StoreError};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Where the engine's events go. Sending never blocks and never fails the run.
pub type Observer = dyn Fn(Event) + Send + Sync;

/// Something that happened in a run.
#[derive(Clone, Debug)]
pub enum Event {
    AccountStarted {
        account: String,
    },
    /// Both folder lists are known: so many pairs, so many of which must be looked at.
    Listed {
        account: String,
        folders: usize,
        to_look_at: usize,
    },
    /// A folder was looked at; what is going to be done in it. Not sent where there is nothing to do.
    Planned {
        account: String,
        folder: FolderName,
        counts: Counts,
    },
    /// In a dry run: one thing that a real run would do, in words.
    WouldDo {
        account: String,
        folder: FolderName,
        what: String,
    },
    /// Messages copied to `to` so far, of those planned, and the bytes among them.
    Copying {
        account: String,
        folder: FolderName,
        to: Side,
        done: usize,
        of: usize,
        bytes: u64,
    },
    FolderCreated {
        account: String,
        folder: FolderName,
        on: Side,
    },
    FolderRenamed {
        account: String,
        from: FolderName,
        to: FolderName,
        on: Side,
    },
    FolderDeleted {
        account: String,
        folder: FolderName,
        on: Side,
    },
    /// A folder is done with: what was really done. Sent only where something was.
    FolderDone {
        account: String,
        folder: FolderName,
        counts: Counts,
    },
    /// Messages of a folder were changed on one side: a batch of them, and only where
    /// [`Options::each_message`](super::Options::each_message) asks for it.
    Messages {
        account: String,
        folder: Arc<Place>,
        on: Side,
        deed: Deed,
        messages: Vec<Touch>,
    },
    /// Not done, on purpose.
    Held {
        account: String,
        folder: Option<FolderName>,
        held: Held,
    },
    /// Failed.
    Problem {
        account: String,
        problem: Problem,
    },
    /// So many messages wait in the ledger after failures of their own; how long until the first of them is tried
    /// again, `None` where the next run does.
    Waiting {
        account: String,
        count: usize,
        next: Option<Duration>,
    },
    /// Odd, but nothing failed.
    Note {
        account: String,
        folder: Option<FolderName>,
        text: String,
    },
    AccountDone {
        account: String,
        outcome: Outcome,
        counts: Counts,
    },
    /// A program of the user's failed that is run beside the sync: nothing of the sync did.
    Hook {
        account: String,
        hook: &'static str,
        cause: String,
        hint: Option<String>,
    },
}

/// A pair of folders, as both sides know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub names: Sides<FolderName>,
    /// The stores' own names for them.
    pub wires: Sides<Vec<u8>>,
    pub role: Option<Role>,
}

/// What was done to messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Deed {
    /// They came from the other side.
    Copied,
    /// They were moved here from another folder of the same side.
    Arrived,
    /// They were moved to another folder.
    Left,
    Flagged,
    Deleted,
}

/// A message to which something was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touch {
    /// Its file, where messages are files: the one that it has now, or had before it was deleted.
    pub file: Option<PathBuf>,
    /// The file that it had before, where it has another one now.
    pub was: Option<PathBuf>,
    /// Whether it is a copy that nobody has read yet: not `\Seen`, no draft, not marked as deleted.
    pub unread: bool,
}

/// What was or will be done, by the side it is done on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages copied to a side.
    pub copied: Sides<usize>,
    pub moved: Sides<usize>,
    /// Messages whose flags are changed on a side.
    pub flagged: Sides<usize>,
    pub deleted: Sides<usize>,
    pub folders_created: Sides<usize>,
    pub folders_renamed: Sides<usize>,
    pub folders_deleted: Sides<usize>,
}

impl Counts {
    pub fn is_empty(&self) -> bool {
        *self == Counts::default()
    }

    pub fn add(&mut self, more: &Counts) {
        for side in Side::BOTH {
            self.copied[side] += more.copied[side];
            self.moved[side] += more.moved[side];
            self.flagged[side] += more.flagged[side];
            self.deleted[side] += more.deleted[side];
            self.folders_created[side] += more.folders_created[side];
            self.folders_renamed[side] += more.folders_renamed[side];
            self.folders_deleted[side] += more.folders_deleted[side];
        }
    }
}

/// Something that failed: place, action, cause, hint.
#[derive(Clone, Debug)]
pub struct Problem {
    pub folder: Option<FolderName>,
    pub side: Option<Side>,
    /// The message, where it is about one.
    pub message: Option<String>,
    pub kind: Kind,
    pub action: String,
    pub cause: String,
    pub hint: Option<String>,
}

impl Problem {
    pub fn new(folder: Option<&FolderName>, side: Option<Side>, error: &StoreError) -> Problem {
        Problem {
            folder: folder.cloned(),
            side,
            message: None,
            kind: error.kind,
            action: error.action.clone(),
            cause: error.cause.clone(),
            hint: error.hint.clone(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(folder) = &self.folder {
            write!(f, "{folder}: ")?;
        }
        if let Some(message) = &self.message {
            write!(f, "{message}: ")?;
        }
        write!(f, "{}: {}", self.action, self.cause)
    }
}

/// How an account's run ended. Ordered from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    InStep,
    /// Something was held or failed; the rest was done.
    Partial,
    /// Nothing could be done: no connection, no folder list.
    Failed,
    AuthFailed,
    /// Another run holds the account's lock.
    Locked,
    Interrupted,
}

impl Outcome {
    /// In one word, the same from release to release: for programs.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::InStep => "in-step",
            Outcome::Partial => "partial",
            Outcome::Failed => "failed",
            Outcome::AuthFailed => "auth-failed",
            Outcome::Locked => "locked",
            Outcome::Interrupted => "interrupted",
        }
    }
}

/// How a whole run ended.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub accounts: Vec<(String, Outcome, Counts)>,
}

impl Report {
    pub fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        self.accounts.iter().for_each(|(_, _, counts)| sum.add(counts));
        sum
    }
}
