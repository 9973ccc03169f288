//! Finds moves: what vanished in one folder of a side and appeared in another of the same side. Pure.

use crate::mail::{Identity, Key};
use std::collections::HashMap;

/// A message that vanished, or one that appeared, in some folder; `folder` and `key` mean something to the caller.
#[derive(Clone, Debug)]
pub struct Trace {
    pub folder: usize,
    pub key: Key,
    pub identity: Identity,
}

/// What vanished, and what it seems to be now: positions in the slices that were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub from: usize,
    pub to: usize,
    /// By the hash of the content or EMAILID; else only by a Message-ID and a size.
    pub proven: bool,
}

/// Pairs what vanished with what appeared. Proof is the hash of the content or EMAILID; a Message-ID with the same size
/// is a sign where only one message on either end has them.
pub fn find_moves(vanished: &[Trace], appeared: &[Trace]) -> Vec<Found> {
    let index = Index::new(appeared);
    let lost = Index::new(vanished);
    let mut moves: Vec<Found> = Vec::new();
    let mut taken = vec![false; appeared.len()];
    for (from, gone) in vanished.iter().enumerate() {
        let free = |at: &usize| !taken[*at] && appeared[*at].folder != gone.folder;
        let same = index.same_content(&gone.identity).find(free);
        let found = same.or_else(|| {
            let mut alike = index.alike(&gone.identity).filter(free);
            let only = alike.next()?;
            let rivals = lost.alike(&gone.identity).count() > 1;
            (alike.next().is_none() && !rivals && !differ(&gone.identity, &appeared[only].identity)).then_some(only)
        });
        if let Some(to) = found {
            taken[to] = true;
            moves.push(Found { from, to, proven: same.is_some() });
        }
    }
    moves
}

/// Whether the content is known to be another.
fn differ(a: &Identity, b: &Identity) -> bool {
    (a.hash.is_some() && b.hash.is_some() && a.hash != b.hash)
        || (a.email_id.is_some() && b.email_id.is_some() && a.email_id != b.email_id)
}

/// Traces by what proves them.
struct Index<'a> {
    by_hash: HashMap<[u8; 32], Vec<usize>>,
    by_email_id: HashMap<&'a str, Vec<usize>>,
    by_message_id: HashMap<(&'a str, u64), Vec<usize>>,
}

impl<'a> Index<'a> {
    fn new(traces: &'a [Trace]) -> Self {
        let mut index = Index { by_hash: HashMap::new(), by_email_id: HashMap::new(), by_message_id: HashMap::new() };
        for (at, Trace { identity, .. }) in traces.iter().enumerate() {
            if let Some(hash) = identity.hash {
                index.by_hash.entry(hash).or_default().push(at);
            }
            if let Some(id) = &identity.email_id {
                index.by_email_id.entry(id).or_default().push(at);
            }
            if let (Some(id), Some(size)) = (&identity.message_id, identity.size) {
                index.by_message_id.entry((id, size)).or_default().push(at);
            }
        }
        index
    }

    fn same_content<'b>(&'b self, identity: &'b Identity) -> impl Iterator<Item = usize> + 'b {
        let by_hash = identity.hash.and_then(|hash| self.by_hash.get(&hash));
        let by_email_id = identity.email_id.as_deref().and_then(|id| self.by_email_id.get(id));
        by_hash.into_iter().chain(by_email_id).flatten().copied()
    }

    fn alike<'b>(&'b self, identity: &'b Identity) -> impl Iterator<Item = usize> + 'b {
        let key = identity.message_id.as_deref().zip(identity.size);
        key.and_then(|key| self.by_message_id.get(&key)).into_iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(folder: usize, uid: u32, id: &str, size: u64, hash: Option<u8>) -> Trace {
        let identity = Identity {
            size: Some(size),
            message_id: Some(id.to_owned()).filter(|id| !id.is_empty()),
            email_id: None,
            hash: hash.map(|byte| [byte; 32]),
        };
        Trace { folder, key: Key::Uid(uid), identity }
    }

    /// Where what vanished was found, and whether that is proven.
    fn found(vanished: &[Trace], appeared: &[Trace]) -> Vec<(usize, usize, bool)> {
        find_moves(vanished, appeared).into_iter().map(|found| (found.from, found.to, found.proven)).collect()
    }

    #[test]
    fn the_same_content_in_another_folder_is_a_move() {
        let vanished = [trace(0, 1, "a", 5, Some(1)), trace(0, 2, "b", 5, Some(2))];
        let appeared = [trace(1, 7, "b", 5, Some(2)), trace(2, 8, "a", 5, Some(1))];
        assert_eq!(found(&vanished, &appeared), [(0, 1, true), (1, 0, true)]);
    }

    #[test]
    fn within_one_folder_there_is_no_move() {
        assert_eq!(found(&[trace(0, 1, "a", 5, Some(1))], &[trace(0, 2, "a", 5, Some(1))]), []);
    }

    #[test]
    fn a_message_id_and_size_are_enough_only_where_they_are_unique() {
        let gone = trace(0, 1, "a", 5, Some(1));
        assert_eq!(found(std::slice::from_ref(&gone), &[trace(1, 7, "a", 5, None)]), [(0, 0, false)]);
        assert_eq!(found(std::slice::from_ref(&gone), &[trace(1, 7, "a", 6, None)]), []);
        let two = [trace(1, 7, "a", 5, None), trace(1, 8, "a", 5, None)];
        assert_eq!(found(std::slice::from_ref(&gone), &two), []);
        assert_eq!(found(&[gone, trace(0, 2, "a", 5, Some(3))], &[trace(1, 7, "a", 5, None)]), []);
    }

    #[test]
    fn other_content_under_the_same_id_is_no_move() {
        assert_eq!(found(&[trace(0, 1, "a", 5, Some(1))], &[trace(1, 7, "a", 5, Some(2))]), []);
    }
}
