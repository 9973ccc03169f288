//! What is to be done, and what is not done and why.

use crate::mail::{FlagDelta, Flags, Key, PairId, Side, Sides};
use std::fmt;

/// One thing to be done in a folder pair. Small, because the first sync of a folder copies all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Copy the message `key` of the other side, which has the flags `from`, to side `to`, which can hold `put` of them.
    Copy { to: Side, key: Key, from: Flags, put: Flags },
    /// Two messages that are known to be the same become a pair; nothing is copied.
    Bind { keys: Sides<Key>, set: Box<Sides<FlagDelta>>, base: Box<Sides<Flags>> },
    /// Change flags; afterwards `base` is what each side is known to have.
    Flags { pair: PairId, keys: Sides<Key>, set: Box<Sides<FlagDelta>>, base: Box<Sides<Flags>> },
    /// Delete the message `key` on side `on`: it was deleted on the other one.
    Delete { on: Side, pair: PairId, key: Key },
    /// Gone on both sides.
    Forget { pair: PairId },
}

const _: () = assert!(size_of::<Op>() <= 64);

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The server or the file system lets this side not be changed.
    ReadOnly,
    /// The folder is synced one way only: that is as the user wants it, and nothing is left undone.
    OneWay,
    /// More deletions than the guard lets through.
    TooMany { of: usize },
    /// More messages marked `\Deleted` than the guard lets through: whoever expunges next would take them all.
    TooManyMarked { of: usize },
    /// Every known message of the folder, or of the whole store, is gone.
    Emptied,
    /// The folder or the store is not there, or is not the known one.
    Unavailable(String),
    /// What is deleted should be moved to a trash that is not there; what is missing.
    NoTrash(String),
    /// The listing was incomplete.
    Incomplete,
}

/// Something that was not done on purpose, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub what: What,
    /// The side that it would have changed.
    pub on: Side,
    pub count: usize,
    pub reason: Reason,
    /// The one thing to do about it.
    pub hint: Option<String>,
}

/// The kind of thing that was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    Copies,
    FlagChanges,
    Deletions,
    Folder,
}

/// What is to be done in one folder pair, and what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub ops: Vec<Op>,
    pub held: Vec<Held>,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, on) = (self.count, self.on);
        match self.what {
            What::Copies => write!(f, "held {n} {} to the {on} side: ", plural(n, "copy", "copies"))?,
            What::FlagChanges => write!(f, "held {n} flag {} on the {on} side: ", plural(n, "change", "changes"))?,
            What::Deletions => write!(f, "held {n} {} on the {on} side: ", plural(n, "deletion", "deletions"))?,
            What::Folder => write!(f, "left alone: ")?,
        }
        let other = self.on.other();
        match &self.reason {
            Reason::OneWay => write!(f, "the folder's mode leaves the {on} side as it is"),
            Reason::ReadOnly => write!(f, "the {on} side may not be changed"),
            Reason::TooMany { of } => write!(f, "{n} of {of} messages are gone on the {other} side"),
            Reason::TooManyMarked { of } => write!(f, "{n} of {of} messages are marked deleted on the {other} side"),
            Reason::Emptied => write!(f, "every message that was known is gone on the {other} side"),
            Reason::Unavailable(why) | Reason::NoTrash(why) => f.write_str(why),
            Reason::Incomplete if self.what == What::Copies => write!(f, "the {on} side's listing was incomplete"),
            Reason::Incomplete => write!(f, "the {other} side's listing was incomplete"),
        }
    }
}

fn plural<'a>(n: usize, one: &'a str, many: &'a str) -> &'a str {
    if n == 1 { one } else { many }
}
