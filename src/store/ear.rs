//! Listening to a store: who hears at once what others change in it.

use super::StoreError;
use crate::mail::{Cursor, FolderName};
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// What is to be listened to.
#[derive(Clone, Debug)]
pub struct Listen {
    /// This folder, by the store's own name, where not all of them can be heard.
    pub folder: FolderName,
    /// Whether all folders are wanted, if the store can tell of them all at once.
    pub all: bool,
    /// Whether it has shown that it does.
    pub sure: bool,
    /// Whether the ear has a connection of its own, which nobody else wants.
    pub apart: bool,
}

/// Where folders stood, by the store's own names for them.
pub type Standings = Vec<(Vec<u8>, Cursor)>;

/// Who listens to a store. Used by one thread.
pub trait Ear: Send {
    /// By what it listens, in words: `IDLE on INBOX`.
    fn describe(&self) -> String;

    /// Whether it hears of every folder.
    fn hears_all(&self) -> bool;

    /// Whether it has a connection of its own.
    fn is_apart(&self) -> bool {
        false
    }

    /// Whether what it listens to is no longer what the store has: something else was mounted in its place.
    fn is_stale(&self) -> bool {
        false
    }

    /// Begins to listen, or begins anew: whatever changes from now on is heard. Says where those folders stand now of which
    /// it knows. Its waits end.
    fn begin(&mut self) -> Result<Standings, StoreError>;

    /// What is readable when there may be something to hear; `None` before it began.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;

    /// Takes in what was told, and waits for nothing but the rest of what has begun to arrive: the names of folders that
    /// changed. Empty where that was no news. After an error it hears no more.
    fn hear(&mut self) -> Result<Vec<String>, StoreError>;

    /// How long it may listen before it has to begin anew; `None` for ever.
    fn lasts(&self) -> Option<Duration>;

    /// To be called before the store is used: gives up what is needed for that. It is given back where it goes on
    /// listening meanwhile. Fails where it can't have heard of late.
    fn rest(self: Box<Self>) -> Result<Option<Box<dyn Ear>>, StoreError>;
}
