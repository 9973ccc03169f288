//! Deletes what was deleted on the other side: removes it, or moves it to the trash.
//!
//! Where a move is a copy and an expunge, a run may be killed between the two. So that the next one does not copy
//! again, the state knows from before the first copy from which key on the copies are in the trash.

use super::event::{Deed, Touch};
use super::execute::{Context, Done};
use super::pair::{Failure, Look, Stores};
use super::recognise::match_up;
use super::reconcile::{Now, Touched};
use super::rematch::Candidate;
use super::trash::Fate;
use crate::mail::{Appeared, Cursor, Flag, FlagDelta, Flags, Identity, Key, PairId, Side, Sides};
use crate::state::{Change, Discard, State};
use crate::store::{Access, Depth, Folder, Kind, Mark, NothingKnown, Reach, StoreError};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// Between two looks into a trash that may still be growing.
const STEP: Duration = Duration::from_millis(250);

/// A message that is to go, as the state knows it.
struct Doomed {
    identity: Identity,
    flags: Flags,
}

/// Takes what an earlier run took away, without living to note it, and what is back on the other side since, for new
/// there: that it is gone here is nobody's wish. A Maildir may give it back its name.
pub fn take_back(look: &mut Look, state: &State) -> Result<(), Failure> {
    for (pair, on) in state.doomed(look.job.id)? {
        let from = on.other();
        let now = look.touched.get(&pair).map(|(touched, _)| touched.now.clone());
        match now.map(|now| (now[on] == Now::Gone, now[from] == Now::Gone)) {
            Some((true, false)) => {
                let Some((Touched { keys, mut now, .. }, _)) = look.touched.remove(&pair) else { continue };
                look.known = look.known.saturating_sub(1);
                look.prelude.push(Change::Forget { pair });
                if let Now::There(flags) = std::mem::replace(&mut now[from], Now::Gone) {
                    look.new[from].push(Appeared { key: keys[from].clone(), flags, size: None });
                }
            }
            // It is still to be taken away.
            Some((_, true)) => {}
            // It may be gone, and only not be listed as such.
            _ if !look.complete[on] => {}
            _ => look.prelude.push(Change::Spare { pair }),
        }
    }
    Ok(())
}

/// Messages that are to be deleted in one folder, on one side.
pub struct Deletion<'a> {
    pub look: &'a Look,
    pub on: Side,
    pub deletes: &'a [(PairId, Key)],
    pub context: &'a Context<'a>,
}

impl Deletion<'_> {
    /// Removes them from the open folder.
    pub fn remove(&self, folder: &mut dyn Folder, done: &mut Done) -> Result<(), Failure> {
        if self.deletes.is_empty() {
            return Ok(());
        }
        self.context.check_stop()?;
        let mut doomed = self.doomed()?;
        self.spare_others(folder, &mut doomed, done)?;
        self.doom(&doomed)?;
        let keys: Vec<Key> = doomed.into_keys().collect();
        let files = self.context.files(folder, &keys).map_err(Failure::on(self.on))?;
        let failed = folder.remove(&keys).map_err(Failure::on(self.on))?;
        self.tell(keys.iter().zip(files), &failed);
        self.confirm(keys.len(), failed, Vec::new(), done)
    }

    /// Moves them to the trash of their side; does nothing where there is none for them.
    pub fn discard(&self, stores: &mut Stores, done: &mut Done) -> Result<(), Failure> {
        let (look, on, folder) = (self.look, self.on, self.look.job.id);
        let Fate::MovedTo { wire: into, generation, .. } = &look.job.fates[on] else { return Ok(()) };
        if self.deletes.is_empty() {
            return Ok(());
        }
        self.context.check_stop()?;
        let mut doomed = self.doomed()?;
        let expect = Some(look.cursors[on].generation);
        let mut source = stores[on].open(&look.job.wires[on], Access::Write, expect).map_err(Failure::on(on))?;
        self.spare_others(source.as_mut(), &mut doomed, done)?;
        drop(source);
        if doomed.is_empty() {
            return Ok(());
        }
        let mut trash = stores[on].open(into, Access::Write, None).map_err(Failure::on(on))?;
        let candidates = self.doomed_before(&doomed)?;
        let begun = self.context.state.discard(folder, on)?.filter(|_| !candidates.is_empty());
        let earlier = match &begun {
            Some(begun) => copied_before(look, begun, &candidates, trash.as_mut()).map_err(Failure::on(on))?,
            None => Earlier::default(),
        };
        self.doom(&doomed)?;
        let (there, rest): (Vec<Key>, Vec<Key>) = doomed.keys().cloned().partition(|key| earlier.keys.contains(key));
        let marks = trash.reserve(rest.len()).map_err(Failure::on(on))?;
        drop(trash);
        // A store that lets keys be chosen moves by a rename: that is done or not done.
        if let Some(Mark::NotBelow(mark)) = marks.first() {
            let mark = begun.filter(|_| earlier.counts).map_or_else(|| mark.clone(), |begun| begun.mark);
            let discard = Discard { generation: *generation, mark, begun: SystemTime::now() };
            self.context.state.apply(&[Change::Discard { folder, side: on, discard }])?;
        }
        let mut source = stores[on].open(&look.job.wires[on], Access::Write, expect).map_err(Failure::on(on))?;
        let mut failed = source.remove(&there).map_err(Failure::on(on))?;
        failed.extend(carry_over(source.as_mut(), rest, &marks, into, &doomed).map_err(Failure::on(on))?);
        let ended = match failed.is_empty() {
            true => vec![Change::Discarded { folder, side: on }],
            false => Vec::new(),
        };
        self.tell(doomed.keys().map(|key| (key, None)), &failed);
        self.confirm(doomed.len(), failed, ended, done)
    }

    /// Tells which are gone, with the files that they had.
    fn tell<'k>(&self, removed: impl Iterator<Item = (&'k Key, Option<PathBuf>)>, failed: &[(Key, StoreError)]) {
        if self.context.each_message {
            let stays: HashSet<&Key> = failed.iter().map(|(key, _)| key).collect();
            let gone = removed.filter(|(key, _)| !stays.contains(key));
            let touches = gone.map(|(_, file)| Touch { file, was: None, unread: false }).collect();
            self.context.tell_messages(&self.look.job, self.on, Deed::Deleted, touches);
        }
    }

    /// What the state knows of them, by key. A message that another pair still has is not deleted with this one.
    fn doomed(&self) -> Result<BTreeMap<Key, Doomed>, Failure> {
        let pairs: HashSet<PairId> = self.deletes.iter().map(|(pair, _)| *pair).collect();
        let mut doomed = BTreeMap::new();
        for (_, key) in self.deletes {
            let rows = self.context.state.pairs_of(self.look.job.id, self.on, key)?;
            if rows.iter().all(|row| pairs.contains(&row.id)) {
                let row = rows.into_iter().next();
                let (identity, flags) = row.map(|row| (row.identity, row.flags[self.on].clone())).unwrap_or_default();
                doomed.insert(key.clone(), Doomed { identity, flags });
            }
        }
        Ok(doomed)
    }

    /// Notes, before anything is done, that it is this run that takes them away.
    fn doom(&self, doomed: &BTreeMap<Key, Doomed>) -> Result<(), Failure> {
        let those = self.deletes.iter().filter(|(_, key)| doomed.contains_key(key));
        let dooms: Vec<Change> = those.map(|(pair, _)| Change::Doom { pair: *pair, side: self.on }).collect();
        self.context.commit(&dooms)
    }

    /// Those that an earlier run was about to take away already.
    fn doomed_before(&self, doomed: &BTreeMap<Key, Doomed>) -> Result<Vec<Candidate>, Failure> {
        let before: HashSet<(PairId, Side)> = self.context.state.doomed(self.look.job.id)?.into_iter().collect();
        let again = self.deletes.iter().filter(|(pair, _)| before.contains(&(*pair, self.on)));
        let keys: HashSet<&Key> = again.map(|(_, key)| key).collect();
        let found = doomed.iter().filter(|(key, _)| keys.contains(key));
        Ok(found.map(|(key, doomed)| Candidate { key: key.clone(), identity: doomed.identity.clone() }).collect())
    }

    /// Leaves alone those that are other messages than the state says, and has the folder looked at anew: a server whose
    /// files were put back from a backup, or that renumbers its messages, gives their numbers to new ones. A store that
    /// lets keys be chosen never does.
    fn spare_others(
        &self,
        folder: &mut dyn Folder,
        doomed: &mut BTreeMap<Key, Doomed>,
        done: &mut Done,
    ) -> Result<(), Failure> {
        let keys: Vec<Key> = doomed.keys().filter(|key| key.uid().is_some()).cloned().collect();
        if keys.is_empty() {
            return Ok(());
        }
        let now = folder.identify(&keys, Depth::Header).map_err(Failure::on(self.on))?;
        let mut changes = Vec::new();
        for (key, now) in now.known {
            if !doomed.get(&key).is_some_and(|then| contradict(&then.identity, &now)) {
                continue;
            }
            doomed.remove(&key);
            let pairs = self.deletes.iter().filter(|(_, other)| *other == key);
            changes.extend(pairs.map(|(pair, _)| Change::Forget { pair: *pair }));
            let error = StoreError::new(Reach::Message, Kind::Reset, "delete", "it is another message than it was")
                .with_hint("it stays where it is, and the next run looks at the whole folder anew");
            done.problem(self.look, self.on, &key, &error);
        }
        if !changes.is_empty() {
            done.pending = Sides::new(true, true);
            let generations = self.look.cursors.as_ref().map(|cursor| cursor.generation);
            changes.extend(Side::BOTH.map(|side| Change::Cursor {
                folder: self.look.job.id,
                side,
                cursor: Cursor::start(generations[side]),
            }));
        }
        self.context.commit(&changes)
    }

    /// Forgets the pairs whose messages are gone now, and reports those that stayed.
    fn confirm(
        &self,
        count: usize,
        failed: Vec<(Key, StoreError)>,
        ended: Vec<Change>,
        done: &mut Done,
    ) -> Result<(), Failure> {
        let stays: HashSet<&Key> = failed.iter().map(|(key, _)| key).collect();
        done.counts.deleted[self.on] += count - stays.len().min(count);
        let gone = self.deletes.iter().filter(|(_, key)| !stays.contains(key));
        let mut changes: Vec<Change> = gone.map(|(pair, _)| Change::Forget { pair: *pair }).collect();
        for (key, error) in &failed {
            done.failed_edit(self.look, self.on, key, error);
            // As with what is held: its flags are still to be noticed.
            done.pending[self.on] = true;
        }
        changes.extend(ended);
        self.context.commit(&changes)
    }
}

/// Whether two messages can't be the same. A size may be a guess, and some servers have no header to show.
fn contradict(a: &Identity, b: &Identity) -> bool {
    let differ = |a: &Option<String>, b: &Option<String>| matches!((a, b), (Some(a), Some(b)) if a != b);
    differ(&a.message_id, &b.message_id)
}

/// Moves messages, without the mark of being deleted: in the trash it would have them expunged by whoever comes first.
fn carry_over(
    source: &mut dyn Folder,
    keys: Vec<Key>,
    marks: &[Mark],
    into: &[u8],
    doomed: &BTreeMap<Key, Doomed>,
) -> Result<Vec<(Key, StoreError)>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let deleted: Flags = [Flag::Deleted].into_iter().collect();
    let marked = keys.iter().filter(|key| doomed.get(key).is_some_and(|doomed| doomed.flags.contains(&Flag::Deleted)));
    let clear = FlagDelta { add: Flags::new(), remove: deleted };
    let changes: Vec<(Key, FlagDelta)> = marked.map(|key| (key.clone(), clear.clone())).collect();
    let mut failed = if changes.is_empty() { Vec::new() } else { source.set_flags(&changes)? };
    let stay: HashSet<&Key> = failed.iter().map(|(key, _)| key).collect();
    let (keys, marks): (Vec<Key>, Vec<Mark>) =
        keys.into_iter().zip(marks.iter().cloned()).filter(|(key, _)| !stay.contains(key)).unzip();
    let answers = source.move_to(&keys, into, &marks)?;
    for (key, answer) in keys.into_iter().zip(answers) {
        match answer {
            Err(error) if error.reach > Reach::Message => return Err(error),
            Err(error) if error.kind != Kind::Missing => failed.push((key, error)),
            _ => {}
        }
    }
    Ok(failed)
}

/// What an earlier run copied to the trash and did not live to remove.
#[derive(Default)]
struct Earlier {
    /// The messages whose copies are there.
    keys: HashSet<Key>,
    /// Whether the trash is still the one into which they were copied.
    counts: bool,
}

/// Looks for copies in the trash. A server may still be making those of a connection that broke: they are waited for
/// as long as the account's patience says.
fn copied_before(
    look: &Look,
    begun: &Discard,
    candidates: &[Candidate],
    trash: &mut dyn Folder,
) -> Result<Earlier, StoreError> {
    let mut identities = HashMap::new();
    let (patience, since) = (look.job.patience, Instant::now());
    loop {
        let changes = trash.changes(None, &NothingKnown)?;
        if begun.generation.is_some_and(|generation| generation != changes.cursor.generation) {
            return Ok(Earlier::default());
        }
        if !changes.complete {
            let text = "the trash could not be listed in full, and an earlier run may have moved messages there";
            return Err(StoreError::new(Reach::Folder, Kind::Protocol, "move to the trash", text)
                .with_hint("nothing is deleted before it can be seen; the next run looks again"));
        }
        let appeared = changes.appeared.into_iter().map(|appeared| appeared.key).filter(|key| *key >= begun.mark);
        let found = match_up(candidates, appeared.collect(), trash, &mut identities)?;
        let age = SystemTime::now().duration_since(begun.begun).unwrap_or_default();
        if found.len() == candidates.len() || age >= patience || since.elapsed() >= patience {
            return Ok(Earlier { keys: found.into_iter().map(|pair| pair.local).collect(), counts: true });
        }
        if look.job.stop.is_set() {
            return Err(StoreError::stopped());
        }
        std::thread::sleep(STEP.min(patience));
    }
}
