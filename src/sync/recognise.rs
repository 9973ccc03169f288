//! Finds out what the messages are that no row names: copies that a broken run began, all of a folder after a new
//! UIDVALIDITY, messages that are new on both sides, files under a new name.

use super::moves::{Found, Trace, find_moves};
use super::pair::{Failure, Look};
use super::reconcile::{Bound, Now, Touched};
use super::rematch::{Candidate, Trust, bind_rest, rematch};
use super::settle::find_settled;
use crate::mail::{Appeared, Changes, Cursor, Flags, FolderId, Identity, Key, PairId, Side, Sides};
use crate::state::{Change, Intent, Row, State};
use crate::store::{Depth, Folder, StoreError};
use std::collections::{BTreeMap, HashMap, HashSet};

/// So many messages that are new on both sides can be read to be sure.
const FEW: usize = 50;

/// The intent is no more.
pub fn done(folder: FolderId, intent: Intent) -> Change {
    Change::Done { folder, to: intent.to, source: intent.source }
}

/// Rows whose messages must be found anew after a new UIDVALIDITY.
#[derive(Default)]
pub struct Former {
    /// All of the folder.
    pub pairs: Vec<PairId>,
    /// By the key that still means something, where the message is still there.
    rows: Sides<HashMap<Key, Row>>,
}

/// After a new UIDVALIDITY no row of the folder means anything: what the other side still has is new until it is
/// bound again, and nothing is deleted on either side.
pub fn unbind(look: &mut Look, state: &State, changes: &mut Sides<Changes>) -> Result<Former, Failure> {
    let mut former = Former::default();
    let reset = changes.as_ref().map(|changes| changes.reset);
    let vanished = changes.as_mut().map(|changes| std::mem::take(&mut changes.vanished).into_iter().collect());
    let vanished: Sides<HashSet<Key>> = vanished;
    let reflagged = changes.as_mut().map(|changes| std::mem::take(&mut changes.reflagged).into_iter().collect());
    let mut reflagged: Sides<HashMap<Key, Flags>> = reflagged;
    for row in state.rows(look.job.id)? {
        former.pairs.push(row.id);
        for side in Side::BOTH {
            let key = &row.keys[side];
            if reset[side] || vanished[side].contains(key) || former.rows[side].contains_key(key) {
                continue;
            }
            let flags = reflagged[side].remove(key).unwrap_or_else(|| row.flags[side].clone());
            look.new[side].push(Appeared { key: key.clone(), flags, size: row.identity.size });
            look.identities[side].insert(key.clone(), row.identity.clone());
            former.rows[side].insert(key.clone(), row.clone());
        }
    }
    look.known = 0;
    Ok(former)
}

/// Finds what became of copies that an earlier run began.
pub fn resume(
    look: &mut Look,
    folders: &mut Sides<Box<dyn Folder + '_>>,
    state: &State,
    dry_run: bool,
) -> Result<(), Failure> {
    let folder = look.job.id;
    for to in Side::BOTH {
        let from = to.other();
        let intents: Vec<Intent> = state.intents(folder)?.into_iter().filter(|intent| intent.to == to).collect();
        let found = find_settled(&intents, look, to, folders[to].as_mut(), state).map_err(Failure::on(to))?;
        for (intent, at) in intents.into_iter().zip(found) {
            let source = look.new[from].iter().position(|appeared| appeared.key == intent.source);
            match (at, source) {
                (Some(key), Some(source)) => {
                    let source = look.new[from].remove(source);
                    let copy = look.new[to].iter().position(|appeared| appeared.key == key);
                    let Some(copy) = copy.map(|at| look.new[to].remove(at)) else { continue };
                    look.identities[from].insert(source.key.clone(), intent.identity.clone());
                    let base = Sides::new(intent.flags.clone(), intent.flags.clone());
                    look.bound.push(Bound {
                        keys: Sides::with(from, source.key, copy.key),
                        base: Some(base),
                        now: Sides::with(from, source.flags, copy.flags),
                    });
                }
                // It may be there all the same: it is not sent again before the folder can be seen whole.
                (None, Some(source)) if !look.complete[to] => {
                    look.new[from].remove(source);
                    look.pending[from] = true;
                }
                // The copy may only be hidden, and its source have gone since.
                (None, None) if !look.complete[to] => look.pending[to] = true,
                // Nor is the copy sent back, as long as its source may only be hidden.
                (Some(key), None) if !look.complete[from] => {
                    look.new[to].retain(|appeared| appeared.key != key);
                    look.pending[to] = true;
                }
                (Some(key), None) if state.pairs_of(folder, from, &intent.source)?.is_empty() => {
                    orphan(look, intent, key, state, dry_run)?;
                }
                _ => look.prelude.push(done(folder, intent)),
            }
        }
    }
    Ok(())
}

/// The copy was made, and its source has gone since: deleted, or moved to another folder. Both are a pair all the same,
/// or the copy would come back as a new message, a second one where its source was moved.
fn orphan(look: &mut Look, intent: Intent, key: Key, state: &State, dry_run: bool) -> Result<(), Failure> {
    let (folder, to) = (look.job.id, intent.to);
    let Some(at) = look.new[to].iter().position(|appeared| appeared.key == key) else { return Ok(()) };
    let copy = look.new[to].remove(at);
    let keys = Sides::with(to, copy.key, intent.source.clone());
    let base = Sides::new(intent.flags.clone(), intent.flags.clone());
    let identity = intent.identity.clone();
    let pair = match dry_run {
        // A number that no row has.
        true => PairId(-1 - look.touched.len() as i64),
        false => {
            let (keys, flags, identity) = (keys.clone(), base.clone(), identity.clone());
            // The cursor of its source's side may be past its end: should this run end here, it must show again.
            let (side, generation) = (to.other(), look.cursors[to.other()].generation);
            let start = Change::Cursor { folder, side, cursor: Cursor::start(generation) };
            state.apply(&[Change::Bind { folder, keys, flags, identity }, done(folder, intent), start])?;
            let Some(row) = state.pairs_of(folder, to, &key)?.pop() else { return Ok(()) };
            row.id
        }
    };
    let now = Sides::with(to, Now::There(copy.flags), Now::Gone);
    look.touched.insert(pair, (Touched { pair, keys, base, now }, identity));
    look.known += 1;
    Ok(())
}

/// Where each intent's copy is among what appeared on the side it went to.
pub fn find_copies(
    intents: &[Intent],
    appeared: &[Appeared],
    folder: &mut dyn Folder,
    identities: &mut HashMap<Key, Identity>,
) -> Result<Vec<Option<Key>>, StoreError> {
    let there: HashSet<&Key> = appeared.iter().map(|appeared| &appeared.key).collect();
    let floor = intents.iter().filter(|intent| !intent.exact).map(|intent| &intent.mark).min();
    let mut found: HashMap<Key, Key> = HashMap::new();
    if let Some(floor) = floor {
        let above: Vec<Key> = there.iter().filter(|key| **key >= floor).map(|key| (*key).clone()).collect();
        let begun: Vec<Candidate> = intents
            .iter()
            .filter(|intent| !intent.exact)
            .map(|intent| Candidate { key: intent.source.clone(), identity: intent.identity.clone() })
            .collect();
        for pair in match_up(&begun, above, folder, identities)? {
            found.insert(pair.local, pair.remote);
        }
        put_in_order(intents, &mut found);
    }
    let place = |intent: &Intent| match intent.exact {
        true => there.contains(&intent.mark).then(|| intent.mark.clone()),
        false => found.get(&intent.source).filter(|key| **key >= intent.mark).cloned(),
    };
    Ok(intents.iter().map(place).collect())
}

/// Which of equal copies belongs to which intent can't be told, but that none is below its mark.
fn put_in_order(intents: &[Intent], found: &mut HashMap<Key, Key>) {
    let mut alike: HashMap<[u8; 32], Vec<&Intent>> = HashMap::new();
    for intent in intents.iter().filter(|intent| found.contains_key(&intent.source)) {
        if let Some(hash) = intent.identity.hash {
            alike.entry(hash).or_default().push(intent);
        }
    }
    for mut group in alike.into_values().filter(|group| group.len() > 1) {
        let mut keys: Vec<Key> = group.iter().filter_map(|intent| found.get(&intent.source).cloned()).collect();
        keys.sort();
        group.sort_by(|a, b| a.mark.cmp(&b.mark));
        found.extend(group.into_iter().map(|intent| intent.source.clone()).zip(keys));
    }
}

/// Matches what is known (`local` of the result) with messages of a folder (`remote` of the result).
pub fn match_up(
    begun: &[Candidate],
    mut keys: Vec<Key>,
    folder: &mut dyn Folder,
    identities: &mut HashMap<Key, Identity>,
) -> Result<Vec<Sides<Key>>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    keys.sort();
    let wanted: Vec<Key> = keys.iter().filter(|key| !identities.contains_key(key)).cloned().collect();
    identities.extend(folder.identify(&wanted, Depth::Header)?.known);
    let candidates = |identities: &HashMap<Key, Identity>| -> Vec<Candidate> {
        let known = keys.iter().filter_map(|key| Some((key, identities.get(key)?)));
        known.map(|(key, identity)| Candidate { key: key.clone(), identity: identity.clone() }).collect()
    };
    let first = rematch(Sides::new(begun, &candidates(identities)), Trust::MessageId);
    if first.ask.remote.is_empty() {
        return Ok(first.bound);
    }
    identities.extend(folder.identify(&first.ask.remote, Depth::Content)?.known);
    let read = candidates(identities);
    let mut bound = rematch(Sides::new(begun, &read), Trust::MessageId).bound;
    // A move notes what is known of a message, and the content of one that was paired by its Message-ID never was.
    bind_rest(Sides::new(begun, &read), &mut bound);
    Ok(bound)
}

/// Binds messages that are new on both sides and are the same.
pub fn bind_new(look: &mut Look, folders: &mut Sides<Box<dyn Folder + '_>>, former: &Former) -> Result<(), Failure> {
    if look.new.local.is_empty() || look.new.remote.is_empty() {
        return Ok(());
    }
    let mut unread = Sides::<HashMap<Key, StoreError>>::default();
    for side in Side::BOTH {
        let known = &look.identities[side];
        let ask: Vec<Key> =
            look.new[side].iter().map(|a| &a.key).filter(|key| !known.contains_key(key)).cloned().collect();
        let answers = folders[side].identify(&ask, Depth::Header).map_err(Failure::on(side))?;
        look.identities[side].extend(answers.known);
        unread[side].extend(answers.unread);
    }
    let candidates = |look: &Look, side: Side| -> Vec<Candidate> {
        let known = look.new[side].iter().filter_map(|a| Some((&a.key, look.identities[side].get(&a.key)?)));
        known.map(|(key, identity)| Candidate { key: key.clone(), identity: identity.clone() }).collect()
    };
    let (local, remote) = (candidates(look, Side::Local), candidates(look, Side::Remote));
    // Pairing a whole folder anew must not mean to read all of it; in one that was in step little is new on both sides,
    // unless its state is an older one that was put back.
    let anew = !former.pairs.is_empty()
        || Side::BOTH.into_iter().any(|side| look.job.never_dealt_with(side))
        || Side::BOTH.into_iter().all(|side| look.new[side].len() > FEW);
    let trust = if anew { Trust::MessageId } else { Trust::Content };
    let mut matched = rematch(Sides::new(&local, &remote), trust);
    if !matched.ask.local.is_empty() || !matched.ask.remote.is_empty() {
        for side in Side::BOTH {
            let answers = folders[side].identify(&matched.ask[side], Depth::Content).map_err(Failure::on(side))?;
            look.identities[side].extend(answers.known);
            unread[side].extend(answers.unread);
        }
        let (local, remote) = (candidates(look, Side::Local), candidates(look, Side::Remote));
        matched = rematch(Sides::new(&local, &remote), trust);
    }
    let mut taken = Sides::from_fn(|side| {
        let appeared = std::mem::take(&mut look.new[side]);
        appeared.into_iter().map(|appeared| (appeared.key.clone(), appeared)).collect::<BTreeMap<_, _>>()
    });
    for keys in matched.bound {
        let (Some(local), Some(remote)) = (taken.local.remove(&keys.local), taken.remote.remove(&keys.remote)) else {
            continue;
        };
        let now = Sides::new(local.flags, remote.flags);
        let rows = &former.rows;
        let Some(row) = rows.local.get(&keys.local).or(rows.remote.get(&keys.remote)) else {
            look.bound.push(Bound { keys, base: None, now });
            continue;
        };
        // The row stays, so that what both last agreed upon outlives a crash.
        let (pair, base) = (row.id, row.flags.clone());
        look.prelude.extend(Side::BOTH.map(|side| Change::Rekey { pair, side, key: keys[side].clone() }));
        look.touched.insert(pair, (Touched { pair, keys, base, now: now.map(Now::There) }, row.identity.clone()));
        look.known += 1;
    }
    for side in Side::BOTH {
        look.new[side] = std::mem::take(&mut taken[side]).into_values().collect();
    }
    hold_unread(look, unread);
    Ok(())
}

/// What can't be read may be what is new on the other side: neither is copied, lest there be two of it. That is for one
/// run: a message which is in the ledger already, and still can't be read, holds nothing up.
fn hold_unread(look: &mut Look, mut unread: Sides<HashMap<Key, StoreError>>) {
    for side in Side::BOTH {
        unread[side].retain(|key, _| !look.ledger.copies[side].contains_key(key));
        for appeared in std::mem::take(&mut look.new[side]) {
            match unread[side].remove(&appeared.key) {
                Some(error) => look.unread[side].push((appeared, error)),
                None => look.new[side].push(appeared),
            }
        }
    }
    for side in Side::BOTH.into_iter().filter(|side| !look.unread[side.other()].is_empty()) {
        look.pending[side] |= !look.new[side].is_empty();
        look.new[side].clear();
    }
}

/// Gives known messages their new keys where one vanished and the same appeared in the same folder: a program gave a
/// file another name, a client stored a message anew. Nothing is copied and nothing deleted for it.
pub fn bind_renamed(look: &mut Look, folders: &mut Sides<Box<dyn Folder + '_>>) -> Result<(), Failure> {
    for side in Side::BOTH {
        let (vanished, known): (Vec<Trace>, Vec<(PairId, Key)>) = look
            .went(side)
            .map(|(touched, identity)| {
                let trace = Trace { folder: 0, key: touched.keys[side].clone(), identity: identity.clone() };
                (trace, (touched.pair, touched.keys[side.other()].clone()))
            })
            .unzip();
        let (pairs, rest): (Vec<PairId>, Vec<Key>) = known.into_iter().unzip();
        if vanished.is_empty() || look.new[side].is_empty() {
            continue;
        }
        let known = &look.identities[side];
        let lost: Vec<Option<u64>> = vanished.iter().map(|trace| trace.identity.size).collect();
        let ask = look.new[side].iter().filter(|a| !known.contains_key(&a.key) && may_be_one_of(a.size, &lost));
        let ask: Vec<Key> = ask.map(|a| a.key.clone()).collect();
        let answers = folders[side].identify(&ask, Depth::Header).map_err(Failure::on(side))?;
        look.identities[side].extend(answers.known);
        let appeared: Vec<Trace> = look.new[side]
            .iter()
            .filter_map(|a| Some((&a.key, look.identities[side].get(&a.key)?)))
            .map(|(key, identity)| Trace { folder: 1, key: key.clone(), identity: identity.clone() })
            .collect();
        let found = prove(find_moves(&vanished, &appeared), (&vanished, &appeared), &rest, side, folders)?;
        for Found { from, to, .. } in found {
            let (pair, key) = (pairs[from], &appeared[to].key);
            let (Some((touched, _)), Some(at)) =
                (look.touched.get_mut(&pair), look.new[side].iter().position(|a| a.key == *key))
            else {
                continue;
            };
            let arrived = look.new[side].swap_remove(at);
            touched.keys[side] = arrived.key.clone();
            touched.now[side] = Now::There(arrived.flags);
            look.prelude.push(Change::Rekey { pair, side, key: arrived.key });
        }
        look.new[side].sort_by(|a, b| a.key.cmp(&b.key));
    }
    Ok(())
}

/// Whether a message of this size may be one of those that had these sizes in wire form. A file or a server may count line
/// ends otherwise, which makes a factor of two at most; what is not known may be anything.
fn may_be_one_of(size: Option<u64>, lost: &[Option<u64>]) -> bool {
    let alike = |size: u64, lost: u64| size <= lost.saturating_mul(2) && lost <= size.saturating_mul(2);
    lost.iter().any(|lost| size.zip(*lost).is_none_or(|(size, lost)| alike(size, lost)))
}

/// Reads those that only seem to be the same, and leaves out those that are not: an edited draft keeps its Message-ID,
/// and may keep its size. Many at once are no drafts, and are believed.
fn prove(
    found: Vec<Found>,
    (vanished, appeared): (&[Trace], &[Trace]),
    rest: &[Key],
    side: Side,
    folders: &mut Sides<Box<dyn Folder + '_>>,
) -> Result<Vec<Found>, Failure> {
    let (mut proven, open): (Vec<Found>, Vec<Found>) = found.into_iter().partition(|found| found.proven);
    if open.len() > FEW {
        proven.extend(open);
        return Ok(proven);
    }
    let now = open.iter().map(|found| (&appeared[found.to].key, appeared[found.to].identity.hash));
    let now = contents(folders[side].as_mut(), &now.collect::<Vec<_>>()).map_err(Failure::on(side))?;
    // What the other side still has of it.
    let then = open.iter().map(|found| (&rest[found.from], vanished[found.from].identity.hash));
    let other = side.other();
    let then = contents(folders[other].as_mut(), &then.collect::<Vec<_>>()).map_err(Failure::on(other))?;
    let same = now.iter().zip(&then).map(|(now, then)| now.is_some() && now == then);
    proven.extend(open.iter().zip(same).filter(|(_, same)| *same).map(|(found, _)| *found));
    Ok(proven)
}

/// The hashes of messages; those that are not known are read. None where a message is gone.
fn contents(
    folder: &mut dyn Folder,
    messages: &[(&Key, Option<[u8; 32]>)],
) -> Result<Vec<Option<[u8; 32]>>, StoreError> {
    let ask: Vec<Key> = messages.iter().filter(|(_, hash)| hash.is_none()).map(|(key, _)| (*key).clone()).collect();
    let read = if ask.is_empty() { Vec::new() } else { folder.identify(&ask, Depth::Content)?.known };
    let read: HashMap<Key, Identity> = read.into_iter().collect();
    let hash = |key: &Key| read.get(key).and_then(|identity| identity.hash);
    Ok(messages.iter().map(|(key, known)| known.or_else(|| hash(key))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_far_too_small_or_too_big_is_not_read_for_a_message_that_vanished() {
        let one_of =
            |size: u64, lost: &[u64]| may_be_one_of(Some(size), &lost.iter().copied().map(Some).collect::<Vec<_>>());
        // All of its lines are empty, and end in LF here and in CRLF there.
        assert!(one_of(500, &[1000]) && one_of(1000, &[500]) && one_of(980, &[7, 1000]));
        assert!(!one_of(499, &[1000]) && !one_of(1001, &[500]) && !one_of(100, &[7, 1000]));
        assert!(may_be_one_of(None, &[Some(1)]) && may_be_one_of(Some(9), &[Some(1), None]) && one_of(0, &[0]));
        assert!(!may_be_one_of(None, &[]));
    }
}
