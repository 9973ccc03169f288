//! What a folder says about itself: where it stands, what changed since, and what a message is.

use super::{Flags, Key};
use std::fmt;

/// Where a folder stood when it was looked at. Only the store that made it reads `mark`; the engine compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Keys of another generation mean nothing: UIDVALIDITY (RFC 3501 section 2.3.1.1); 0 in a Maildir.
    pub generation: u64,
    /// The store's own note: UIDNEXT, HIGHESTMODSEQ and count, or the stamps of `cur` and `new`. Empty for a cursor
    /// that stands before everything: the store then lists the whole folder.
    pub mark: String,
    /// Whether an equal cursor proves that nothing at all changed. Not so without CONDSTORE, where flags move
    /// unseen, nor for a directory that changed so recently that its time stamp may not show the next change.
    pub conclusive: bool,
}

impl Cursor {
    /// A cursor before everything: nothing is known but the generation of the known keys.
    pub fn start(generation: u64) -> Cursor {
        Cursor { generation, mark: String::new(), conclusive: false }
    }

    /// Whether it stands before everything.
    pub fn is_start(&self) -> bool {
        self.mark.is_empty()
    }

    /// Whether nothing seems to have changed until `now`: as far as the store can tell at all.
    pub fn stands_at(&self, now: &Cursor) -> bool {
        self.generation == now.generation && self.mark == now.mark && (self.conclusive || !now.conclusive)
    }

    /// Whether `now` proves that nothing changed since this cursor was taken.
    pub fn proves_unchanged(&self, now: &Cursor) -> bool {
        self.conclusive && now.conclusive && self == now
    }
}

/// What a store noted of a listing of its folders, so that the next one costs less. Only the store that made it reads it.
#[derive(Clone, PartialEq, Eq)]
pub struct Noted(pub Vec<u8>);

impl fmt::Debug for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// Deletions that the guard held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Withheld {
    pub count: u64,
    /// They were held because the whole store had lost its mail, not for their number.
    pub emptied: bool,
}

/// What changed in a folder since a cursor.
#[derive(Clone, Debug)]
pub struct Changes {
    /// Messages that are not among the known ones.
    pub appeared: Vec<Appeared>,
    /// Known messages whose flags may differ from those known, with all their flags now.
    pub reflagged: Vec<(Key, Flags)>,
    /// Known messages that are no more. Empty where `reset` is set.
    pub vanished: Vec<Key>,
    /// Where the folder stands now; looking again from here shows what comes later.
    pub cursor: Cursor,
    /// Whether the listing was complete. Where it wasn't, nothing that it lacks may be taken for deleted.
    pub complete: bool,
    /// The generation changed: `appeared` lists the whole folder, and no known key means anything any more.
    pub reset: bool,
    /// How many messages the folder holds, as far as known.
    pub count: Option<u64>,
    /// What was odd, for the report: a line each.
    pub notes: Vec<String>,
}

impl Changes {
    /// Nothing changed.
    pub fn none(cursor: Cursor) -> Self {
        Changes {
            appeared: Vec::new(),
            reflagged: Vec::new(),
            vanished: Vec::new(),
            cursor,
            complete: true,
            reset: false,
            count: None,
            notes: Vec::new(),
        }
    }
}

/// A message that is new to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appeared {
    pub key: Key,
    pub flags: Flags,
    /// Bytes as the store counts them, a hint only: RFC822.SIZE, or the file's length.
    pub size: Option<u64>,
}

/// What tells one message from another, whatever folder or store it is in.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Bytes in wire form (CRLF line ends). Servers lie about it: a hint.
    pub size: Option<u64>,
    /// The value of Message-ID as it stands, without blanks around it; `None` where it is missing or empty.
    pub message_id: Option<String>,
    /// EMAILID (RFC 8474) or X-GM-MSGID, which name the content for ever.
    pub email_id: Option<String>,
    /// BLAKE3 over the canonical form (CRs before an LF left out); `None` until the content was read.
    pub hash: Option<[u8; 32]>,
}

/// What is known of it, the hash by its first digits.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_list();
        shown.entries(self.size.map(|size| format!("{size} bytes")));
        shown.entries(&self.message_id).entries(&self.email_id);
        shown.entries(self.hash.map(|hash| hash[..6].iter().map(|byte| format!("{byte:02x}")).collect::<String>()));
        shown.finish()
    }
}
