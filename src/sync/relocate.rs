//! Carries moves over to the other side: a message that one side moved between folders is moved there too, and not
//! copied and deleted.

use super::event::{Deed, Event, Touch};
use super::execute::{Context, Done};
use super::moves::{Found, Trace, find_moves};
use super::pair::{Failure, Look, Stores, count};
use super::reconcile::{Bound, Input, Now, reconcile};
use crate::mail::{Appeared, Cursor, Flags, FolderName, Identity, Key, PairId, Role, Side, Sides};
use crate::state::{Change, Intent};
use crate::store::{Access, Depth, Kind, Mark, Reach};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::time::SystemTime;

/// A move that one side made and the other has yet to make.
#[derive(Clone, Debug)]
struct Move {
    pair: PairId,
    /// The message's key on the other side, in the folder it is to leave.
    key: Key,
    /// What it is now on the side that moved it.
    arrived: Appeared,
    /// What each side was last known to have, and what it has now.
    base: Sides<Flags>,
    now: Sides<Flags>,
    identity: Identity,
}

impl Move {
    /// The pair as it will be, the message being `there` on the other side.
    fn bound(&self, side: Side, there: Key) -> Bound {
        let keys = Sides::with(side, self.arrived.key.clone(), there);
        Bound { keys, base: Some(self.base.clone()), now: self.now.clone() }
    }
}

/// Finds the moves among what was seen, and makes them on the other side. What could not be moved is copied instead, and
/// deleted by a later run, when its copy is there. With `dry_run`, only says what it would do. What the new messages are must
/// have been asked ([`questions`]): of what is not known no move is found.
///
/// Folders that failed are taken out of `looks`: what became of their messages is seen by the next run. The answer
/// has a failure and the names of the folder for each cause.
pub fn relocate(
    looks: &mut Vec<Look>,
    stores: &mut Stores,
    context: &Context<'_>,
    done: &mut Done,
    dry_run: bool,
) -> Result<Vec<(Sides<FolderName>, Failure)>, Failure> {
    let mut failures = Vec::new();
    for side in Side::BOTH {
        while let Err(Broken { folders, failure }) = relocate_on(looks, side, stores, context, done, dry_run) {
            if failure.error.reach > Reach::Folder {
                return Err(failure);
            }
            failures.extend(folders.first().map(|at| (looks[*at].job.names.clone(), failure)));
            let mut at = 0;
            looks.retain(|_| (!folders.contains(&at), at += 1).0);
        }
    }
    Ok(failures)
}

/// Why no more can be moved, and the folders about which nothing is certain now; the first is the one to be named.
struct Broken {
    folders: Vec<usize>,
    failure: Failure,
}

fn broken(folders: impl Into<Vec<usize>>) -> impl FnOnce(Failure) -> Broken {
    let folders = folders.into();
    move |failure| Broken { folders, failure }
}

/// Makes the moves that `side` made on the other one.
fn relocate_on(
    looks: &mut [Look],
    side: Side,
    stores: &mut Stores,
    context: &Context<'_>,
    done: &mut Done,
    dry_run: bool,
) -> Result<(), Broken> {
    let on = side.other();
    for ((from, to), moves) in find(looks, side, stores, dry_run)? {
        let allowed = looks[from].job.policy.delete[on] && looks[to].job.policy.copy[on];
        if !allowed || !looks[from].writable[on] {
            continue;
        }
        // Its copy is refused as well: it would be left on one side only.
        if !looks[to].writable[on] {
            moves.iter().for_each(|moved| looks[from].leave(moved.pair));
        } else if dry_run {
            announce(looks, (from, to), side, moves, context, done);
        } else {
            carry_out(looks, (from, to), side, moves, stores, context, done).map_err(broken([to, from]))?;
        }
    }
    Ok(())
}

/// The moves that `side` made, by the folders between which they went.
fn find(
    looks: &mut [Look],
    side: Side,
    stores: &mut Stores,
    dry_run: bool,
) -> Result<BTreeMap<(usize, usize), Vec<Move>>, Broken> {
    let mut found: BTreeMap<(usize, usize), Vec<Move>> = BTreeMap::new();
    let mut vanished: Vec<(Trace, PairId)> = looks
        .iter()
        .enumerate()
        .filter(|(_, look)| look.job.policy.delete[side.other()])
        .flat_map(|(folder, look)| {
            look.went(side).map(move |(touched, identity)| {
                (Trace { folder, key: touched.keys[side].clone(), identity: identity.clone() }, touched.pair)
            })
        })
        .collect();
    leave_waiting(&mut vanished, looks, side, stores, dry_run)?;
    if vanished.is_empty() || looks.iter().all(|look| look.new[side].is_empty()) {
        return Ok(found);
    }
    let mut appeared: Vec<Trace> = Vec::new();
    for (folder, look) in looks.iter().enumerate() {
        let known = look.new[side].iter().filter_map(|a| Some((&a.key, look.identities[side].get(&a.key)?)));
        appeared.extend(known.map(|(key, identity)| Trace { folder, key: key.clone(), identity: identity.clone() }));
    }
    let (gone, pairs): (Vec<Trace>, Vec<PairId>) = vanished.into_iter().unzip();
    for Found { from, to, proven } in find_moves(&gone, &appeared) {
        let is_draft = looks[gone[from].folder].job.role == Some(Role::Drafts);
        if is_draft && !proven && !is_same(&gone[from], &appeared[to], looks, side, stores, dry_run)? {
            continue;
        }
        let (source, target) = (&looks[gone[from].folder], &looks[appeared[to].folder]);
        let Some((touched, identity)) = source.touched.get(&pairs[from]) else { continue };
        let Some(arrived) = target.new[side].iter().find(|a| a.key == appeared[to].key) else { continue };
        let Now::There(there) = &touched.now[side.other()] else { continue };
        found.entry((gone[from].folder, appeared[to].folder)).or_default().push(Move {
            pair: touched.pair,
            key: touched.keys[side.other()].clone(),
            arrived: arrived.clone(),
            base: touched.base.clone(),
            now: Sides::with(side, arrived.flags.clone(), there.clone()),
            identity: identity.clone(),
        });
    }
    Ok(found)
}

/// Reads what only seems to be a draft that was moved: one that was edited, and sent or saved elsewhere, keeps its
/// Message-ID, and may keep its size.
fn is_same(
    gone: &Trace,
    appeared: &Trace,
    looks: &[Look],
    side: Side,
    stores: &mut Stores,
    dry_run: bool,
) -> Result<bool, Broken> {
    let keys = std::slice::from_ref(&appeared.key);
    let read = ask(&looks[appeared.folder], side, keys, Depth::Content, stores, dry_run);
    let read = read.map_err(broken([appeared.folder]))?;
    let hash = read.into_iter().find_map(|(_, identity)| identity.hash);
    Ok(hash.is_some() && hash == gone.identity.hash)
}

/// Leaves those alone that were moved to where their copies were refused: as long as these wait to be tried again, the
/// other side would have none of them.
fn leave_waiting(
    vanished: &mut Vec<(Trace, PairId)>,
    looks: &mut [Look],
    side: Side,
    stores: &mut Stores,
    dry_run: bool,
) -> Result<(), Broken> {
    if vanished.is_empty() {
        return Ok(());
    }
    let mut waiting: Vec<Trace> = Vec::new();
    for (folder, look) in looks.iter().enumerate().filter(|(_, look)| !look.resting[side].is_empty()) {
        let known = ask(look, side, &look.resting[side], Depth::Header, stores, dry_run).map_err(broken([folder]))?;
        waiting.extend(known.into_iter().map(|(key, identity)| Trace { folder, key, identity }));
    }
    let gone: Vec<Trace> = vanished.iter().map(|(trace, _)| trace.clone()).collect();
    let left: HashSet<usize> = find_moves(&gone, &waiting).into_iter().map(|found| found.from).collect();
    for at in &left {
        looks[gone[*at].folder].leave(vanished[*at].1);
    }
    let mut at = 0;
    vanished.retain(|_| (!left.contains(&at), at += 1).0);
    Ok(())
}

/// The new messages of a folder that may be a vanished one of these sizes, and of which too little is known. A size tells
/// nothing where the store does not count bytes as the wire does.
fn unidentified(look: &Look, side: Side, sizes: &HashSet<u64>) -> Vec<Key> {
    let known = &look.identities[side];
    look.new[side]
        .iter()
        .filter(|a| !known.contains_key(&a.key))
        .filter(|a| a.key.name().is_some() || a.size.is_none_or(|size| sizes.contains(&size)))
        .map(|a| a.key.clone())
        .collect()
}

/// The messages on `side` of which [`relocate`] has to know what they are, by the folder's place in `looks`: for [`ask`].
pub fn questions(looks: &[Look], side: Side) -> Vec<(usize, Vec<Key>)> {
    let looked = looks.iter().filter(|look| look.job.policy.delete[side.other()]);
    let sizes: Vec<Option<u64>> = looked.flat_map(|look| look.went(side)).map(|(_, identity)| identity.size).collect();
    if sizes.is_empty() {
        return Vec::new();
    }
    let sizes: HashSet<u64> = sizes.into_iter().flatten().collect();
    let wanted = looks.iter().map(|look| unidentified(look, side, &sizes)).enumerate();
    wanted.filter(|(_, keys)| !keys.is_empty()).collect()
}

/// Asks what messages on `side` of a folder are.
pub fn ask(
    look: &Look,
    side: Side,
    keys: &[Key],
    depth: Depth,
    stores: &mut Stores,
    dry_run: bool,
) -> Result<Vec<(Key, Identity)>, Failure> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let access = look.job.policy.access(side, dry_run);
    let generation = Some(look.cursors[side].generation);
    let mut folder = stores[side].open(&look.job.wires[side], access, generation).map_err(Failure::on(side))?;
    Ok(folder.identify(keys, depth).map_err(Failure::on(side))?.known)
}

/// Takes a move out of what was seen: neither is the message gone in the one folder, nor new in the other.
fn forget_traces(looks: &mut [Look], (from, to): (usize, usize), side: Side, moved: &Move) {
    looks[from].touched.remove(&moved.pair);
    looks[from].known = looks[from].known.saturating_sub(1);
    looks[to].new[side].retain(|appeared| appeared.key != moved.arrived.key);
}

fn announce(
    looks: &mut [Look],
    (from, to): (usize, usize),
    side: Side,
    moves: Vec<Move>,
    context: &Context<'_>,
    done: &mut Done,
) {
    let on = side.other();
    let mut bound = Vec::new();
    for moved in moves {
        forget_traces(looks, (from, to), side, &moved);
        done.counts.moved[on] += 1;
        let what = format!("move {} to {} on {on}", moved.key, looks[to].job.names[on]);
        let folder = looks[from].job.names.remote.clone();
        (context.observer)(Event::WouldDo { account: context.account.to_owned(), folder, what });
        bound.push(moved.bound(side, moved.key.clone()));
    }
    // The messages are not there yet, so that the folder's own plan can't tell what their flags will need.
    let Look { spaces, writable, job, .. } = &looks[to];
    let (spaces, policy, writable) = (spaces.clone(), job.policy, *writable);
    let plan = reconcile(Input { touched: Vec::new(), new: Sides::default(), bound, spaces, policy, writable });
    done.counts.add(&count(&plan));
}

fn carry_out(
    looks: &mut [Look],
    (from, to): (usize, usize),
    side: Side,
    moves: Vec<Move>,
    stores: &mut Stores,
    context: &Context<'_>,
    done: &mut Done,
) -> Result<(), Failure> {
    let on = side.other();
    for at in [from, to] {
        context.state.apply(&std::mem::take(&mut looks[at].prelude))?;
    }
    let marks = {
        let generation = Some(looks[to].cursors[on].generation);
        let target = stores[on].open(&looks[to].job.wires[on], Access::Write, generation);
        target.and_then(|mut target| target.reserve(moves.len())).map_err(Failure::on(on))?
    };
    let target = looks[to].job.id;
    let mut begun: Vec<Change> = moves
        .iter()
        .zip(&marks)
        .map(|(moved, mark)| {
            let (exact, mark) = match mark {
                Mark::Exact(key) => (true, key.clone()),
                Mark::NotBelow(key) => (false, key.clone()),
            };
            let (source, identity) = (moved.arrived.key.clone(), moved.identity.clone());
            // One set for both sides: what only one was known to have would look as if the other had removed it.
            let flags = moved.base.local.iter().filter(|flag| moved.base.remote.contains(flag)).collect();
            let intent = Intent { to: on, source, exact, mark, flags, identity, begun: SystemTime::now() };
            Change::Intend { folder: target, intent }
        })
        .collect();
    // Should the message go back to where it came from, it was not deleted there.
    begun.extend(moves.iter().map(|moved| Change::Doom { pair: moved.pair, side: on }));
    context.state.apply(&begun)?;
    let keys: Vec<Key> = moves.iter().map(|moved| moved.key.clone()).collect();
    let (files, answers) = {
        let generation = Some(looks[from].cursors[on].generation);
        let into = looks[to].job.wires[on].clone();
        let source = stores[on].open(&looks[from].job.wires[on], Access::Write, generation);
        let moved = source.and_then(|mut source| {
            let files = context.files(source.as_mut(), &keys)?;
            Ok((files, source.move_to(&keys, &into, &marks)?))
        });
        moved.map_err(Failure::on(on))?
    };
    let moved = answers.iter().zip(files).filter_map(|(answer, was)| Some((answer.as_ref().ok()?.clone(), was)));
    tell(moved.collect(), looks, (from, to), on, stores, context)?;
    let mut changes = Vec::new();
    for (moved, answer) in moves.into_iter().zip(answers) {
        let done_with = Change::Done { folder: target, to: on, source: moved.arrived.key.clone() };
        match answer {
            Ok(place) => {
                forget_traces(looks, (from, to), side, &moved);
                changes.push(Change::Forget { pair: moved.pair });
                done.counts.moved[on] += 1;
                // Where the store does not tell the new key, the intent stays and the copy is looked for.
                if let Some(key) = place {
                    let bound = moved.bound(side, key);
                    looks[to].identities[side].insert(bound.keys[side].clone(), moved.identity);
                    looks[to].bound.push(bound);
                } else {
                    let look = &mut looks[to];
                    look.unsettled = true;
                    look.pending[side] = true;
                    // What flags it has now shows by the next listing, and the cursor is past one that waited.
                    if look.ledger.copies[side].contains_key(&moved.arrived.key) {
                        let (folder, cursor) = (look.job.id, Cursor::start(look.cursors[side].generation));
                        look.prelude.push(Change::Cursor { folder, side, cursor });
                    }
                }
            }
            Err(error) if error.reach > Reach::Message => return Err(Failure { side: Some(on), error }),
            // It is copied like any other.
            Err(error) => {
                changes.extend([done_with, Change::Spare { pair: moved.pair }]);
                if error.kind != Kind::Missing {
                    let hint = "it is copied instead, and deleted where it was by the next run";
                    let error = if error.hint.is_none() { error.with_hint(hint) } else { error };
                    done.problem(&looks[from], on, &moved.key, &error);
                    looks[from].leave(moved.pair);
                }
            }
        }
    }
    Ok(context.state.apply(&changes)?)
}

/// Tells that messages were moved: their new keys as far as they are known, and the files that they had.
fn tell(
    moved: Vec<(Option<Key>, Option<PathBuf>)>,
    looks: &[Look],
    (from, to): (usize, usize),
    on: Side,
    stores: &mut Stores,
    context: &Context<'_>,
) -> Result<(), Failure> {
    if !context.each_message || moved.is_empty() {
        return Ok(());
    }
    let (from, to) = (&looks[from].job, &looks[to].job);
    let left = vec![Touch::default(); moved.len()];
    let keys: Vec<Key> = moved.iter().filter(|(_, was)| was.is_some()).filter_map(|(key, _)| key.clone()).collect();
    let files = match keys.is_empty() {
        true => Vec::new(),
        false => {
            let target = stores[on].open(&to.wires[on], Access::Read, None);
            target.and_then(|mut target| target.files(&keys)).map_err(Failure::on(on))?
        }
    };
    let mut files: HashMap<Key, PathBuf> =
        keys.into_iter().zip(files).filter_map(|(key, file)| Some((key, file?))).collect();
    let arrived = moved.into_iter().map(|(key, was)| {
        let file = key.and_then(|key| files.remove(&key));
        Touch { file, was, unread: false }
    });
    let arrived = arrived.collect();
    context.tell_messages(from, on, Deed::Left, left);
    context.tell_messages(to, on, Deed::Arrived, arrived);
    Ok(())
}
