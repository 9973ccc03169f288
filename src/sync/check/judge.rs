//! Whether the two messages of a pair are one message, and whether the state remembers it rightly. Pure.

use crate::mail::{Identity, PairId, Side, Sides};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What is proven of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Both are the same message.
    Same,
    /// They are two messages.
    Different,
    /// Their content differs under one Message-ID: two messages, or one that a server keeps in another form.
    Altered,
    /// Only their content can tell.
    Doubt,
}

/// What the headers prove of a pair, together with what the state remembers of it. Where content is known on both
/// sides, it decides.
pub fn by_header(known: &Identity, found: Sides<&Identity>) -> Proof {
    let Sides { local, remote } = found;
    if local.hash.is_some() && remote.hash.is_some() {
        return by_content(found);
    }
    // EMAILID names the content for ever, but only on one server.
    let by_email_id = |side: Side| known.email_id.is_some() && known.email_id == found[side].email_id;
    let by_hash = |side: Side| known.hash.is_some() && known.hash == found[side].hash;
    if Side::BOTH.into_iter().any(|side| by_email_id(side) && by_hash(side.other())) {
        return Proof::Same;
    }
    // A file that was changed in its place bears the same Message-ID, and perhaps even the same size.
    let changed =
        [local, remote].iter().any(|one| known.hash.is_some() && one.hash.is_some() && one.hash != known.hash);
    let alike = local.message_id.is_some() && local.message_id == remote.message_id;
    match alike && local.size.is_some() && local.size == remote.size && !changed {
        true => Proof::Same,
        false => Proof::Doubt,
    }
}

/// What the content of both proves; [`Proof::Doubt`] where it is not known on both sides.
pub fn by_content(found: Sides<&Identity>) -> Proof {
    let Sides { local, remote } = found;
    match (local.hash, remote.hash) {
        (Some(here), Some(there)) if here == there => Proof::Same,
        (Some(_), Some(_)) if local.message_id.is_some() && local.message_id == remote.message_id => Proof::Altered,
        (Some(_), Some(_)) => Proof::Different,
        _ => Proof::Doubt,
    }
}

/// Whether what the state remembers of a message is what it is, as far as its two copies tell.
pub fn remembered(known: &Identity, found: Sides<&Identity>) -> bool {
    let both = [found.local, found.remote];
    let fits = |known: Option<&str>, of: fn(&Identity) -> Option<&str>| {
        let there: Vec<&str> = both.iter().filter_map(|one| of(one)).collect();
        known.is_none_or(|known| there.is_empty() || there.contains(&known))
    };
    let hashes: Vec<[u8; 32]> = both.iter().filter_map(|one| one.hash).collect();
    let hash = known.hash.is_none_or(|known| hashes.is_empty() || hashes.contains(&known));
    // Servers lie about sizes: only what both sides agree upon speaks against the state.
    let size = found.local.size == found.remote.size;
    let size = known.size.is_none() || !size || found.local.size.is_none() || known.size == found.local.size;
    hash && size
        && fits(known.message_id.as_deref(), |one| one.message_id.as_deref())
        && fits(known.email_id.as_deref(), |one| one.email_id.as_deref())
}

/// Whether what the state remembers is surely of another message than this one.
pub fn contradicts(known: &Identity, found: &Identity) -> bool {
    let other_id = known.message_id.is_some() && found.message_id.is_some() && known.message_id != found.message_id;
    let other_content = known.hash.is_some() && found.hash.is_some() && known.hash != found.hash;
    other_id || other_content
}

/// What a message is, from both copies of it: content and sizes as the local one has them.
pub fn joined(found: Sides<&Identity>) -> Identity {
    let Sides { local, remote } = found;
    Identity {
        size: local.size.or(remote.size),
        message_id: local.message_id.clone().or(remote.message_id.clone()),
        email_id: remote.email_id.clone().or(local.email_id.clone()),
        hash: local.hash.or(remote.hash),
    }
}

/// A number that stands for a message among many: by its content in a check that reads all of it, else by its
/// Message-ID and size, where it has them. `None` where nothing is known of it.
pub fn digest(identity: &Identity, deep: bool) -> Option<u64> {
    match (&identity.message_id, identity.size, identity.hash) {
        (Some(id), Some(size), None) => Some(number(&(0, id, size))),
        (Some(id), Some(size), _) if !deep => Some(number(&(0, id, size))),
        (_, _, Some(hash)) => Some(number(&(1, hash))),
        _ => None,
    }
}

/// A number that stands for a content; `None` where it is not known.
pub fn content(identity: &Identity) -> Option<u64> {
    identity.hash.map(|hash| number(&hash))
}

/// A number that stands for a Message-ID.
pub fn label(identity: &Identity) -> Option<u64> {
    identity.message_id.as_ref().map(number)
}

fn number(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// A message among those that look alike: the pair it belongs to, if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alike {
    pub digest: u64,
    pub content: Option<u64>,
    pub pair: Option<PairId>,
}

/// The pairs whose messages can't be told from others by Message-ID and size, unless all of these are equal anyway.
pub fn confusable(mut messages: Vec<Alike>) -> Vec<PairId> {
    messages.sort_unstable();
    let groups = messages.chunk_by(|a, b| a.digest == b.digest);
    let doubtful = groups.filter(|group| {
        group.len() > 1 && group.iter().any(|one| one.content.is_none() || one.content != group[0].content)
    });
    let mut pairs: Vec<PairId> = doubtful.flatten().filter_map(|one| one.pair).collect();
    pairs.sort_unstable();
    pairs
}

/// A pair whose content was read and differs under one Message-ID.
#[derive(Clone, Copy, Debug)]
pub struct Altered {
    pub pair: PairId,
    pub contents: Sides<u64>,
}

/// The pairs among `altered` of which one message has its true partner elsewhere: these are mixed up, not rewritten.
/// `others` is the content of every other message that was read.
pub fn mixed_up(altered: &[Altered], others: &Sides<HashSet<u64>>) -> HashSet<PairId> {
    let mut contents = others.clone();
    for one in altered {
        for side in Side::BOTH {
            contents[side].insert(one.contents[side]);
        }
    }
    let elsewhere =
        |one: &&Altered| Side::BOTH.into_iter().any(|side| contents[side.other()].contains(&one.contents[side]));
    altered.iter().filter(elsewhere).map(|one| one.pair).collect()
}

/// How many of these stand for a message that is there more than once.
pub fn surplus(mut digests: Vec<u64>) -> usize {
    digests.sort_unstable();
    digests.chunk_by(|a, b| a == b).map(|group| group.len() - 1).sum()
}

/// How many pairs could be made of these.
pub fn in_common(mut digests: Sides<Vec<u64>>) -> usize {
    digests.local.sort_unstable();
    digests.remote.sort_unstable();
    let (mut here, mut there) = (digests.local.iter().peekable(), digests.remote.iter().peekable());
    let mut pairs = 0;
    while let (Some(a), Some(b)) = (here.peek(), there.peek()) {
        let order = a.cmp(b);
        pairs += usize::from(order.is_eq());
        if order.is_le() {
            here.next();
        }
        if order.is_ge() {
            there.next();
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `id size hash`, with `-` for what is not known.
    fn identity(text: &str) -> Identity {
        let words: Vec<&str> = text.split(' ').collect();
        let known = |at: usize| words.get(at).copied().filter(|word| *word != "-");
        Identity {
            message_id: known(0).map(str::to_owned),
            size: known(1).map(|size| size.parse().expect("a number")),
            hash: known(2).map(|hash| [hash.parse().expect("a number"); 32]),
            email_id: known(3).map(str::to_owned),
        }
    }

    fn proof(known: &str, local: &str, remote: &str) -> Proof {
        let (known, local, remote) = (identity(known), identity(local), identity(remote));
        let swapped = by_header(&known, Sides::new(&remote, &local));
        assert_eq!(by_header(&known, Sides::new(&local, &remote)), swapped, "the sides are not alike");
        swapped
    }

    #[test]
    fn a_message_id_with_the_same_size_is_proof() {
        assert_eq!(proof("a 10 1", "a 10 1", "a 10 -"), Proof::Same);
        assert_eq!(proof("a 10 -", "a 10 -", "a 10 -"), Proof::Same);
    }

    #[test]
    fn another_size_or_id_or_a_changed_file_is_a_doubt_until_the_content_was_read() {
        assert_eq!(proof("a 10 1", "a 10 1", "a 11 -"), Proof::Doubt);
        assert_eq!(proof("a 10 1", "a 10 1", "b 10 -"), Proof::Doubt);
        assert_eq!(proof("- 10 1", "- 10 1", "- 10 -"), Proof::Doubt);
        assert_eq!(proof("a 10 1", "a 10 2", "a 10 -"), Proof::Doubt);
        assert_eq!(proof("a 10 1", "a 10 1", "a 11 1"), Proof::Same);
        assert_eq!(proof("a 10 1", "a 10 1", "b 11 2"), Proof::Different);
        assert_eq!(proof("a 10 1", "a 10 1", "a 11 2"), Proof::Altered);
    }

    #[test]
    fn an_email_id_and_a_hash_that_the_state_knows_are_proof_whatever_the_sizes() {
        assert_eq!(proof("a 10 1 M", "a 10 1", "a 12 - M"), Proof::Same);
        assert_eq!(proof("a 10 1 M", "a 10 1", "a 12 - N"), Proof::Doubt);
    }

    #[test]
    fn what_the_state_remembers_must_be_true_of_one_copy_at_least() {
        let fits = |known: &str, local: &str, remote: &str| {
            remembered(&identity(known), Sides::new(&identity(local), &identity(remote)))
        };
        assert!(fits("a 10 1 M", "a 10 1", "a 10 - M"));
        assert!(fits("a 10 1", "a 10 1", "a 11 -"), "a server that lies about sizes");
        assert!(fits("- - -", "a 10 1", "a 10 -"));
        for wrong in ["b 10 1 M", "a 11 1 M", "a 10 2 M", "a 10 1 N"] {
            assert!(!fits(wrong, "a 10 1", "a 10 - M"), "{wrong}");
        }
    }

    #[test]
    fn only_what_could_be_mixed_up_is_read() {
        const NONE: [i64; 0] = [];
        let alike =
            |digest, content, pair: i64| Alike { digest, content, pair: Some(PairId(pair)).filter(|p| p.0 > 0) };
        let pairs = |list: &[Alike]| confusable(list.to_vec()).iter().map(|pair| pair.0).collect::<Vec<_>>();
        assert_eq!(pairs(&[alike(1, Some(5), 1), alike(2, Some(6), 2)]), NONE);
        assert_eq!(pairs(&[alike(1, Some(5), 1), alike(1, Some(5), 2)]), NONE, "equal messages can't be mixed up");
        assert_eq!(pairs(&[alike(1, Some(5), 1), alike(1, Some(6), 2)]), [1, 2]);
        assert_eq!(pairs(&[alike(1, None, 1), alike(1, None, 2)]), [1, 2]);
        assert_eq!(pairs(&[alike(1, Some(5), 1), alike(1, Some(6), 0)]), [1], "a message without a pair");
    }

    #[test]
    fn a_rewritten_message_is_no_mixed_up_pair() {
        let altered = |pair, local, remote| Altered { pair: PairId(pair), contents: Sides::new(local, remote) };
        assert!(mixed_up(&[altered(1, 10, 11), altered(2, 20, 21)], &Sides::default()).is_empty());
        assert_eq!(mixed_up(&[altered(1, 10, 20), altered(2, 20, 10)], &Sides::default()).len(), 2);
        let others = Sides::new(HashSet::new(), HashSet::from([10]));
        assert_eq!(mixed_up(&[altered(1, 10, 11)], &others).len(), 1);
    }

    #[test]
    fn equal_messages_are_counted() {
        assert_eq!((surplus(vec![3, 1, 3, 3]), surplus(vec![1, 2])), (2, 0));
        assert_eq!(in_common(Sides::new(vec![1, 1, 2], vec![1, 3, 1, 1])), 2);
    }
}
