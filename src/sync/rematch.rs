//! Finds out which messages of both sides are the same, where the baseline does not know: a first sync with mail on
//! both sides, a lost state, a new UIDVALIDITY, an import, a crash. Pure.
//!
//! What counts as proof: EMAILID, the hash of the content, and under [`Trust::MessageId`] a Message-ID that is unique on
//! both sides, with the same size. Equal messages stay as many as they are: they are bound one to one, and the rest is left over.

use crate::mail::{Identity, Key, Side, Sides};
use std::collections::{BTreeMap, BTreeSet};

/// A message that may be the same as one of the other side.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub key: Key,
    pub identity: Identity,
}

/// How far a Message-ID is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Unique on both sides, and with the same size, it is proof: where to read all content is to read whole folders.
    MessageId,
    /// It never is: programs give edited drafts and their daily reports the same one.
    Content,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matched {
    /// Pairs that are proven.
    pub bound: Vec<Sides<Key>>,
    /// Messages whose content must be read before anything can be said.
    pub ask: Sides<Vec<Key>>,
}

/// Binds what is proven, and says what must be read to prove more.
pub fn rematch(candidates: Sides<&[Candidate]>, trust: Trust) -> Matched {
    let mut matched = Matched::default();
    let open = bind_by_email_id(candidates, &mut matched);
    let mut groups: BTreeMap<Option<&str>, Sides<Vec<&Candidate>>> = BTreeMap::new();
    for side in Side::BOTH {
        for candidate in &open[side] {
            let id = candidate.identity.message_id.as_deref();
            groups.entry(id).or_default()[side].push(candidate);
        }
    }
    for (id, group) in groups {
        if group.local.is_empty() || group.remote.is_empty() {
            continue;
        }
        let single = trust == Trust::MessageId && group.local.len() == 1 && group.remote.len() == 1 && id.is_some();
        let sizes = Sides::new(group.local[0].identity.size, group.remote[0].identity.size);
        // What is known of the content, for nothing, is not passed over.
        let hashes = (group.local[0].identity.hash, group.remote[0].identity.hash);
        let differ = matches!(hashes, (Some(local), Some(remote)) if local != remote);
        if single && !differ && sizes.local.is_some() && sizes.local == sizes.remote {
            matched.bound.push(Sides::new(group.local[0].key.clone(), group.remote[0].key.clone()));
            continue;
        }
        bind_by_hash(&group, &mut matched);
    }
    matched
}

fn bind_by_email_id<'a>(candidates: Sides<&'a [Candidate]>, matched: &mut Matched) -> Sides<Vec<&'a Candidate>> {
    let mut local: BTreeMap<&str, Vec<&Candidate>> = BTreeMap::new();
    for candidate in candidates.local.iter().rev() {
        if let Some(id) = &candidate.identity.email_id {
            local.entry(id).or_default().push(candidate);
        }
    }
    let mut done: Vec<&Key> = Vec::new();
    let mut open = Sides::<Vec<&Candidate>>::default();
    for candidate in candidates.remote {
        let id = candidate.identity.email_id.as_deref();
        match id.and_then(|id| local.get_mut(id)).and_then(Vec::pop) {
            Some(same) => {
                matched.bound.push(Sides::new(same.key.clone(), candidate.key.clone()));
                done.push(&same.key);
            }
            None => open.remote.push(candidate),
        }
    }
    done.sort();
    open.local = candidates.local.iter().filter(|candidate| done.binary_search(&&candidate.key).is_err()).collect();
    open
}

fn bind_by_hash(group: &Sides<Vec<&Candidate>>, matched: &mut Matched) {
    let unread = group.as_ref().map(|side| side.iter().filter(|c| c.identity.hash.is_none()).count());
    if unread.local + unread.remote > 0 {
        for side in Side::BOTH {
            let keys = group[side].iter().filter(|c| c.identity.hash.is_none()).map(|c| c.key.clone());
            matched.ask[side].extend(keys);
        }
    }
    let mut remote: BTreeMap<[u8; 32], Vec<&Key>> = BTreeMap::new();
    for candidate in group.remote.iter().rev() {
        if let Some(hash) = candidate.identity.hash {
            remote.entry(hash).or_default().push(&candidate.key);
        }
    }
    for candidate in &group.local {
        let same = candidate.identity.hash.and_then(|hash| remote.get_mut(&hash)).and_then(Vec::pop);
        if let Some(same) = same {
            matched.bound.push(Sides::new(candidate.key.clone(), same.clone()));
        }
    }
}

/// Binds those local candidates whose content nobody knows, after all others have found theirs: as many remote ones must
/// be left that have their Message-ID and size, and these must be equal.
pub fn bind_rest(candidates: Sides<&[Candidate]>, bound: &mut Vec<Sides<Key>>) {
    let taken = Sides::from_fn(|side| bound.iter().map(|keys| keys[side].clone()).collect::<BTreeSet<Key>>());
    let mut groups: BTreeMap<(&str, u64), Sides<Vec<&Candidate>>> = BTreeMap::new();
    for side in Side::BOTH {
        for candidate in candidates[side].iter().filter(|candidate| !taken[side].contains(&candidate.key)) {
            let Identity { message_id, size, hash, .. } = &candidate.identity;
            if let (Some(id), Some(size), true) = (message_id, size, side == Side::Remote || hash.is_none()) {
                groups.entry((id, *size)).or_default()[side].push(candidate);
            }
        }
    }
    for group in groups.into_values().filter(|group| group.local.len() == group.remote.len()) {
        if group.remote.iter().all(|candidate| candidate.identity.hash == group.remote[0].identity.hash) {
            let pairs = group.local.iter().zip(&group.remote);
            bound.extend(pairs.map(|(local, remote)| Sides::new(local.key.clone(), remote.key.clone())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `uid id size hash`, with `-` for what is not known.
    fn candidates(lines: &[&str]) -> Vec<Candidate> {
        let one = |line: &&str| {
            let words: Vec<&str> = line.split(' ').collect();
            let known = |at: usize| Some(words[at]).filter(|word| *word != "-");
            Candidate {
                key: Key::Uid(words[0].parse().expect("a number")),
                identity: Identity {
                    message_id: known(1).map(str::to_owned),
                    size: known(2).map(|size| size.parse().expect("a number")),
                    hash: known(3).map(|hash| [hash.parse().expect("a number"); 32]),
                    email_id: words.get(4).map(|id| id.to_string()),
                },
            }
        };
        lines.iter().map(one).collect()
    }

    fn found(local: &[&str], remote: &[&str]) -> (Vec<(u32, u32)>, Vec<u32>, Vec<u32>) {
        found_by(Trust::MessageId, local, remote)
    }

    fn found_by(trust: Trust, local: &[&str], remote: &[&str]) -> (Vec<(u32, u32)>, Vec<u32>, Vec<u32>) {
        let (local, remote) = (candidates(local), candidates(remote));
        let matched = rematch(Sides::new(&local, &remote), trust);
        let uid = |key: &Key| key.uid().expect("a UID");
        let mut bound: Vec<(u32, u32)> = matched.bound.iter().map(|k| (uid(&k.local), uid(&k.remote))).collect();
        bound.sort();
        (bound, matched.ask.local.iter().map(uid).collect(), matched.ask.remote.iter().map(uid).collect())
    }

    #[test]
    fn a_unique_message_id_with_the_same_size_is_proof() {
        assert_eq!(found(&["1 a 10 1", "2 b 10 2"], &["8 b 10 -", "9 a 10 -"]), (vec![(1, 9), (2, 8)], vec![], vec![]));
    }

    #[test]
    fn a_message_id_proves_nothing_where_content_can_be_read() {
        assert_eq!(found_by(Trust::Content, &["1 a 10 1"], &["9 a 10 -"]), (vec![], vec![], vec![9]));
        assert_eq!(found_by(Trust::Content, &["1 a 10 1"], &["9 a 10 1"]).0, [(1, 9)]);
        assert_eq!(found_by(Trust::Content, &["1 a 10 1"], &["9 a 10 2"]), (vec![], vec![], vec![]));
    }

    #[test]
    fn content_that_is_known_to_be_another_is_no_match() {
        assert_eq!(found(&["1 a 10 1"], &["9 a 10 2"]), (vec![], vec![], vec![]));
    }

    #[test]
    fn another_size_must_be_proven_by_content() {
        assert_eq!(found(&["1 a 10 1"], &["9 a 11 -"]), (vec![], vec![], vec![9]));
        assert_eq!(found(&["1 a 10 1"], &["9 a 11 1"]), (vec![(1, 9)], vec![], vec![]));
        assert_eq!(found(&["1 a 10 1"], &["9 a 11 2"]), (vec![], vec![], vec![]));
    }

    #[test]
    fn equal_messages_stay_as_many_as_they_are() {
        let local = ["1 a 10 1", "2 a 10 1"];
        assert_eq!(found(&local, &["7 a 10 -", "8 a 10 -", "9 a 10 -"]).2, [7, 8, 9]);
        assert_eq!(found(&local, &["7 a 10 1", "8 a 10 1", "9 a 10 1"]).0, [(1, 7), (2, 8)]);
    }

    #[test]
    fn the_same_id_twice_with_other_content_is_told_apart() {
        assert_eq!(found(&["1 a 10 1", "2 a 10 2"], &["8 a 10 2", "9 a 10 1"]).0, [(1, 9), (2, 8)]);
    }

    #[test]
    fn messages_without_an_id_are_only_bound_by_content() {
        assert_eq!(found(&["1 - 10 1"], &["9 - 10 -"]), (vec![], vec![], vec![9]));
        assert_eq!(found(&["1 - 10 1"], &["9 - 10 1"]).0, [(1, 9)]);
        assert_eq!(found(&["1 - 10 1"], &["9 a 10 -"]), (vec![], vec![], vec![]));
    }

    #[test]
    fn what_nobody_has_read_is_the_one_that_is_left() {
        let rest = |local: &[&str], remote: &[&str], bound: &[(u32, u32)]| {
            let (local, remote) = (candidates(local), candidates(remote));
            let mut bound: Vec<Sides<Key>> =
                bound.iter().map(|(local, remote)| Sides::new(Key::Uid(*local), Key::Uid(*remote))).collect();
            let before = bound.len();
            bind_rest(Sides::new(&local, &remote), &mut bound);
            let uid = |key: &Key| key.uid().expect("a UID");
            bound[before..].iter().map(|keys| (uid(&keys.local), uid(&keys.remote))).collect::<Vec<_>>()
        };
        assert_eq!(rest(&["1 a 10 1", "2 a 10 -"], &["8 a 10 1", "9 a 10 1"], &[(1, 8)]), [(2, 9)]);
        assert_eq!(rest(&["1 a 10 -", "2 a 10 -"], &["8 a 10 1", "9 a 10 1"], &[]), [(1, 8), (2, 9)]);
        assert_eq!(rest(&["1 a 10 -", "2 a 10 -"], &["8 a 10 1", "9 a 10 2"], &[]), []);
        assert_eq!(rest(&["1 a 10 -"], &["8 a 10 1", "9 a 10 1"], &[]), []);
        assert_eq!(rest(&["1 a 10 -"], &["8 a 11 1"], &[]), []);
        assert_eq!(rest(&["1 - 10 -"], &["8 - 10 1"], &[]), []);
        assert_eq!(rest(&["1 a 10 2"], &["8 a 10 1"], &[]), []);
    }

    #[test]
    fn an_email_id_is_proof_enough() {
        assert_eq!(found(&["1 a 10 - M1", "2 a 10 - M2"], &["8 a 10 - M2", "9 a 10 - M1"]).0, [(1, 9), (2, 8)]);
    }
}
