//! What came along with the look at a mailbox, until it is asked for: how large its new messages are, and, of few, what they
//! are, and their content.
//!
//! What they are is asked when the mailbox is opened, so that moves are known without another question. And where something
//! is gone from a mailbox, the server is asked once more whether it is. That takes a flight in which new messages can come
//! too, and the run saves the one that would fetch them. They wait in memory, so they are few and small. What is not wanted
//! in the end, as of a message that turns out to have been moved, is thrown away.
//!
//! None of it is needed. Where a connection ends over it, nothing is asked ahead any more in that run: a message at which a
//! server breaks off must not keep all others from being synced.

use super::download::{Along, Sink, inline_target};
use super::facade::Bodies;
use super::folder::FRESH;
use super::headers::Headers;
use crate::mail::Identity;
use crate::store::{Kind, Reach, StoreError};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Of so many messages that are above the highest one before it is asked ahead what they are. Those that were uploaded in
/// the last run are among them.
pub const ASKED: u32 = 64;

/// So many new messages of a mailbox are fetched ahead.
pub const FEW: usize = 16;

/// Of so many mailboxes it is kept what their new messages are.
const MAILBOXES: usize = 256;

/// Of so many looks at a mailbox it is kept what they told of sizes.
const LOOKS: usize = 4;

/// How many bytes of one mailbox's new messages are fetched ahead: all of them, or none.
const MAILBOX_BYTES: u64 = 2 << 20;

/// How many bytes wait for all mailboxes of an account.
const BYTES: u64 = 8 << 20;

/// How much longer bodies may be than the server says that they are.
const SLACK: u64 = 16 * 1024;

/// What waits for all mailboxes of one account; a clone is the same.
#[derive(Clone, Default)]
pub struct Ahead(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    headers: HashMap<Mailbox, (Instant, Headers)>,
    bodies: HashMap<Mailbox, BTreeMap<u32, Arrived>>,
    /// What each of the last looks brought.
    sizes: HashMap<Mailbox, VecDeque<Sizes>>,
    /// Bytes for which room was taken.
    bytes: u64,
    /// Whether a connection ended, maybe over what was asked ahead.
    off: bool,
}

/// A mailbox by its name on the wire, and its UIDVALIDITY.
pub type Mailbox = (Vec<u8>, Option<u32>);

/// What the server says of sizes, in bytes, by UID ascending.
pub type Sizes = Arc<[(u32, u64)]>;

/// A message that came, as it was on the wire.
pub struct Arrived {
    pub body: Vec<u8>,
    pub along: Along,
}

impl Ahead {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything is asked ahead.
    pub fn is_on(&self) -> bool {
        !self.waiting().off
    }

    /// Takes room for messages of one mailbox that have so many bytes together, as their server says; `None` where there is
    /// none, or where that can't be.
    pub fn take_room(&self, bytes: u64) -> Option<Gathering> {
        let mut waiting = self.waiting();
        let room = bytes.saturating_add(SLACK);
        let may = !waiting.off && (1..=MAILBOX_BYTES).contains(&bytes) && waiting.bytes + room <= BYTES;
        may.then(|| {
            waiting.bytes += room;
            Gathering { left: room, body: None }
        })
    }

    /// Keeps what came.
    pub fn keep(&self, mailbox: Mailbox, arrived: BTreeMap<u32, Arrived>) {
        self.waiting().bodies.insert(mailbox, arrived);
    }

    /// Keeps what messages are.
    pub fn keep_headers(&self, mailbox: Mailbox, headers: Headers) {
        let mut waiting = self.waiting();
        if waiting.headers.len() >= MAILBOXES {
            waiting.headers.retain(|_, (at, _)| at.elapsed() < FRESH);
        }
        if waiting.headers.len() < MAILBOXES {
            waiting.headers.insert(mailbox, (Instant::now(), headers));
        }
    }

    /// Keeps how large new messages are, which makes downloads even: those of some looks, for several connections may each
    /// have a part of a mailbox to fetch.
    pub fn keep_sizes(&self, mailbox: Mailbox, sizes: Vec<(u32, u64)>) {
        if !sizes.is_empty() {
            let mut waiting = self.waiting();
            let looks = waiting.sizes.entry(mailbox).or_default();
            looks.truncate(LOOKS - 1);
            looks.push_front(sizes.into());
        }
    }

    /// What the look told of sizes that brought this message.
    pub fn sizes(&self, mailbox: &Mailbox, uid: u32) -> Sizes {
        let waiting = self.waiting();
        let mut looks = waiting.sizes.get(mailbox).into_iter().flatten();
        let has = |sizes: &&Sizes| sizes.binary_search_by_key(&uid, |(uid, _)| *uid).is_ok();
        looks.find(has).cloned().unwrap_or_default()
    }

    /// What a message is, if that came a moment ago.
    pub fn identity(&self, mailbox: &Mailbox, uid: u32) -> Option<Identity> {
        let waiting = self.waiting();
        let (at, headers) = waiting.headers.get(mailbox)?;
        headers.answered(uid).filter(|_| at.elapsed() < FRESH).cloned()
    }

    /// Hands on those of these messages that are here; gives the others.
    pub fn deliver<S: Sink>(&self, mailbox: &Mailbox, uids: Vec<u32>, sink: &mut S) -> Result<Vec<u32>, StoreError> {
        let Some(mut arrived) = self.waiting().bodies.remove(mailbox) else { return Ok(uids) };
        let mut others = Vec::new();
        for uid in uids {
            match arrived.remove(&uid) {
                Some(Arrived { body, along }) => {
                    let target = inline_target(sink, &body)?;
                    sink.finish(uid, target, along)?;
                }
                None => others.push(uid),
            }
        }
        Ok(others)
    }

    /// Throws away what nobody has asked for.
    pub fn clear(&self) {
        let mut waiting = self.waiting();
        *waiting = Waiting { off: waiting.off, ..Waiting::default() };
    }

    /// Nothing more is asked ahead until [`Ahead::begin`].
    fn give_up(&self) {
        let mut waiting = self.waiting();
        *waiting = Waiting { off: true, sizes: std::mem::take(&mut waiting.sizes), ..Waiting::default() };
    }

    /// What a flight came to; with `more` something was asked ahead in it, and not again where the connection ended over it.
    pub fn unless_broken<T>(&self, more: bool, ended: Result<T, StoreError>) -> Result<T, StoreError> {
        ended.inspect_err(|error| {
            if more && error.reach >= Reach::Connection && error.kind != Kind::Stopped {
                self.give_up();
            }
        })
    }

    /// A run begins.
    pub fn begin(&self) {
        *self.waiting() = Waiting::default();
    }
}

/// Takes bodies as they stream by, no more of them than were announced.
pub struct Gathering {
    left: u64,
    body: Option<Vec<u8>>,
}

impl Gathering {
    /// For none at all.
    pub fn nothing() -> Gathering {
        Gathering { left: 0, body: None }
    }

    /// The body that has come since the last call, if there was one and it was whole.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        self.body.take()
    }
}

impl Bodies for Gathering {
    fn begin(&mut self) {
        // Of a response with two, which one is the message's?
        self.left = if self.body.is_some() { 0 } else { self.left };
        self.body = (self.left > 0).then(Vec::new);
    }

    fn piece(&mut self, piece: &[u8]) {
        let Some(body) = &mut self.body else { return };
        match self.left.checked_sub(piece.len() as u64) {
            Some(left) => {
                self.left = left;
                body.extend_from_slice(piece);
            }
            // Of one that is cut short nothing is kept, nor of what follows.
            None => (self.left, self.body) = (0, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::parse;
    use super::*;
    use crate::store::draft::Lines;

    #[derive(Default)]
    struct Listed(Vec<(u32, Vec<u8>)>);

    impl Sink for Listed {
        type Target = Vec<u8>;

        fn begin(&mut self) -> Result<Vec<u8>, StoreError> {
            Ok(Vec::new())
        }
        fn piece(&mut self, target: &mut Vec<u8>, piece: Lines<'_>) -> Result<(), StoreError> {
            target.extend_from_slice(piece.text);
            Ok(())
        }
        fn finish(&mut self, uid: u32, target: Vec<u8>, _: Along) -> Result<(), StoreError> {
            self.0.push((uid, target));
            Ok(())
        }
        fn failed(&mut self, _: u32, error: StoreError) -> Result<(), StoreError> {
            Err(error)
        }
    }

    fn mailbox(validity: u32) -> Mailbox {
        (b"INBOX".to_vec(), Some(validity))
    }

    #[test]
    fn what_came_is_handed_on_once_and_to_the_same_mailbox() {
        let ahead = Ahead::default();
        let arrived = || BTreeMap::from([(7, Arrived { body: b"a\r\nb\r\n".to_vec(), along: Along::default() })]);
        ahead.keep(mailbox(1), arrived());
        let mut sink = Listed::default();
        assert_eq!(ahead.deliver(&mailbox(2), vec![7], &mut sink).expect("delivered"), [7]);
        assert_eq!(ahead.deliver(&mailbox(1), vec![6, 7, 8], &mut sink).expect("delivered"), [6, 8]);
        assert_eq!(sink.0, [(7, b"a\nb\n".to_vec())]);
        assert_eq!(ahead.deliver(&mailbox(1), vec![7], &mut sink).expect("delivered"), [7]);
        ahead.keep(mailbox(1), arrived());
        ahead.clear();
        assert_eq!(ahead.deliver(&mailbox(1), vec![7], &mut sink).expect("delivered"), [7]);
    }

    #[test]
    fn room_is_bounded_for_a_mailbox_and_for_all() {
        let ahead = Ahead::default();
        assert!(ahead.take_room(MAILBOX_BYTES + 1).is_none() && ahead.take_room(0).is_none());
        for bytes in [MAILBOX_BYTES, 1] {
            let fit = BYTES / (bytes + SLACK);
            assert_eq!((0..2 * fit).filter(|_| ahead.take_room(bytes).is_some()).count() as u64, fit);
            ahead.clear();
        }
        ahead.give_up();
        ahead.clear();
        assert!(ahead.take_room(1).is_none());
        ahead.begin();
        assert!(ahead.take_room(1).is_some());
    }

    #[test]
    fn sizes_are_kept_of_the_last_looks_at_the_same_mailbox() {
        let ahead = Ahead::default();
        (0..=LOOKS as u32).for_each(|look| ahead.keep_sizes(mailbox(1), vec![(10 * look, 5), (10 * look + 1, 7)]));
        ahead.keep_sizes(mailbox(1), Vec::new());
        assert_eq!(*ahead.sizes(&mailbox(1), 11), [(10, 5), (11, 7)]);
        assert!(ahead.sizes(&mailbox(1), 12).is_empty() && ahead.sizes(&mailbox(2), 11).is_empty());
        assert!(ahead.sizes(&mailbox(1), 0).is_empty(), "the oldest go first");
        ahead.give_up();
        assert!(!ahead.sizes(&mailbox(1), 11).is_empty());
        ahead.clear();
        assert!(ahead.sizes(&mailbox(1), 11).is_empty());
    }

    #[test]
    fn what_messages_are_is_kept_of_some_mailboxes() {
        let ahead = Ahead::default();
        let mut headers = Headers::default();
        headers.take(&parse(b"* 1 FETCH (UID 7 RFC822.SIZE 20)"));
        (0..=MAILBOXES as u32).for_each(|validity| ahead.keep_headers(mailbox(validity), headers.clone()));
        let size = |validity, uid| ahead.identity(&mailbox(validity), uid).map(|identity| identity.size);
        assert_eq!((size(0, 7), size(0, 8), size(MAILBOXES as u32, 7)), (Some(Some(20)), None, None));
    }

    #[test]
    fn bodies_are_whole_or_not_kept() {
        let ahead = Ahead::default();
        let mut gathering = ahead.take_room(2).expect("room");
        gathering.begin();
        gathering.piece(b"a");
        gathering.piece(b"b");
        assert_eq!(gathering.take(), Some(b"ab".to_vec()));
        assert_eq!(gathering.take(), None);
        let mut two = ahead.take_room(100).expect("room");
        for _ in 0..2 {
            two.begin();
            two.piece(b"a");
        }
        assert_eq!(two.take(), None);
        gathering.begin();
        gathering.piece(&vec![b'x'; SLACK as usize]);
        gathering.piece(b"one too many");
        gathering.piece(b"y");
        assert_eq!(gathering.take(), None);
        gathering.begin();
        gathering.piece(b"z");
        assert_eq!(gathering.take(), None);
    }
}
