//! The field's nouns. Uses nothing but the standard library.

pub mod change;
pub mod flags;
pub mod login;
pub mod name;
pub mod side;

pub use change::{Appeared, Changes, Cursor, Identity, Noted, Withheld};
pub use flags::{Flag, FlagDelta, FlagSpace, Flags, Keyword};
pub use login::{Login, Secret};
pub use name::{FolderName, Role};
pub use side::{Side, Sides};

use std::fmt;

/// A pair of messages that are kept in step. Unique within an account's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PairId(pub i64);

/// A pair of folders that are kept in step. Unique within an account's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FolderId(pub i64);

/// What names a message within one folder of one store, for as long as the folder's
/// [generation](Cursor::generation) stays the same.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// An IMAP UID (RFC 3501 section 2.3.1.1); never 0.
    Uid(u32),
    /// The unique part of a Maildir file name: all that stands before the info part. Any bytes but `/` and NUL.
    Name(Box<[u8]>),
}

impl Key {
    /// The UID, where this is one.
    pub fn uid(&self) -> Option<u32> {
        match self {
            Key::Uid(uid) => Some(*uid),
            Key::Name(_) => None,
        }
    }

    /// The unique part of the file name, where this is one.
    pub fn name(&self) -> Option<&[u8]> {
        match self {
            Key::Uid(_) => None,
            Key::Name(name) => Some(name),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Uid(uid) => write!(f, "UID {uid}"),
            Key::Name(name) => write!(f, "{}", String::from_utf8_lossy(name).escape_debug()),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
