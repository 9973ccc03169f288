//! Checks one pair of folders, in three steps: the pairs that the state knows, in batches and by their headers; the
//! messages that no pair names; and, by their content, what the headers left in doubt. Of every message only its key
//! and a few numbers are held.

use super::Options;
use super::judge::{self, Alike, Altered, Proof};
use super::report::{Fault, Finding, FolderChecked};
use crate::mail::{Changes, Cursor, Flags, FolderId, Identity, Key, PairId, Side, Sides};
use crate::state::{Change, Pair, Row, State};
use crate::store::{Access, Depth, Folder, Kind, Mark, NothingKnown, Reach, Stop, StoreError};
use crate::sync::known::KnownIn;
use crate::sync::pair::{Failure, Stores};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Messages that are looked at together.
const BATCH: usize = 1000;

/// A pair of folders to check.
pub struct Task<'a> {
    /// What the state knows of it.
    pub known: Option<&'a Pair>,
    pub wires: Sides<Vec<u8>>,
    pub options: &'a Options,
    pub stop: &'a Stop,
}

/// A pair, and what its messages are; `None` where one could not be read.
type Identified = (Row, Option<Sides<Identity>>);

type Folders<'f> = Sides<Box<dyn Folder + 'f>>;

/// Checks one pair of folders, and mends what the state has of it if that is asked for.
pub fn check(task: &Task<'_>, state: &State, stores: &mut Stores) -> Result<FolderChecked, Failure> {
    let Sides { local, remote } = stores;
    let mut folders: Folders<'_> = Sides {
        local: local.open(&task.wires.local, Access::Read, None).map_err(Failure::on(Side::Local))?,
        remote: remote.open(&task.wires.remote, Access::Read, None).map_err(Failure::on(Side::Remote))?,
    };
    let intents = task.known.map(|pair| state.intents(pair.id)).transpose()?.unwrap_or_default().len();
    let sights = Sides::try_from_fn(|side| Sight::take(task, state, side, folders[side].as_mut(), intents > 0))?;
    let mut checking = Checking {
        task,
        state,
        folders,
        sights,
        checked: FolderChecked::default(),
        faults: Vec::new(),
        mends: BTreeMap::new(),
        start_over: Sides::default(),
        alike: Vec::new(),
        doubts: Vec::new(),
        altered: Vec::new(),
        parted: Sides::default(),
        one_sided: Vec::new(),
        paired: Sides::default(),
        loose: Sides::default(),
    };
    checking.checked.ahead.begun = intents;
    if let Some(pair) = task.known {
        checking.pairs(pair.id)?;
    }
    for side in Side::BOTH {
        checking.strangers(side)?;
    }
    checking.read_doubts()?;
    checking.tell_mixed_up()?;
    checking.judge_one_sided()?;
    checking.end()
}

/// What one side has, and what the next sync will notice of it.
struct Sight {
    /// Every message, keys ascending.
    list: Vec<(Key, Flags)>,
    /// Whether a pair names it, and whether one does whose other message is there as well.
    named: Vec<Named>,
    noticed: Noticed,
    generation: u64,
    cursor: CursorIs,
    /// No message has a key that is not below this one; `None` where the store chooses keys in no order.
    next: Option<Key>,
    /// Messages that wait for another try to copy them, ascending.
    waiting: Vec<Key>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Named {
    by_any: bool,
    by_whole: bool,
}

/// Keys that the next sync will notice, each list ascending.
#[derive(Default)]
struct Noticed {
    appeared: Vec<Key>,
    reflagged: Vec<Key>,
    vanished: Vec<Key>,
}

/// What the state's cursor is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CursorIs {
    Sound,
    Absent,
    /// It is of another generation.
    Renumbered,
    /// The folder never gave it.
    Impossible,
}

impl Sight {
    fn take(
        task: &Task<'_>,
        state: &State,
        side: Side,
        folder: &mut dyn Folder,
        intents: bool,
    ) -> Result<Sight, Failure> {
        // All of it first, and then what is new: what changes in between is then seen, if only the second time.
        let whole = folder.changes(None, &NothingKnown).map_err(Failure::on(side))?;
        if !whole.complete {
            let why = whole.notes.first().cloned().unwrap_or_else(|| "its listing is incomplete".to_owned());
            let error = StoreError::new(Reach::Folder, Kind::Protocol, "check", why)
                .with_hint("check again when the whole folder can be seen");
            return Err(Failure { side: Some(side), error });
        }
        let mut list: Vec<(Key, Flags)> = whole.appeared.into_iter().map(|one| (one.key, one.flags)).collect();
        list.sort_by(|a, b| a.0.cmp(&b.0));
        let mut sight = Sight {
            named: vec![Named::default(); list.len()],
            list,
            noticed: Noticed::default(),
            generation: whole.cursor.generation,
            cursor: CursorIs::Sound,
            next: None,
            waiting: Vec::new(),
        };
        let Some(pair) = task.known else { return Ok(sight) };
        sight.next = match folder.reserve(1).map_err(Failure::on(side))?.pop() {
            Some(Mark::NotBelow(key)) => Some(key),
            _ => None,
        };
        sight.waiting = state.waiting(pair.id, side)?;
        let stored = pair.cursors[side].as_ref();
        let known = KnownIn { state, folder: pair.id, side };
        let changes = folder.changes(stored, &known).map_err(Failure::on(side))?;
        sight.cursor = match stored {
            None => CursorIs::Absent,
            Some(stored) if stored.generation != changes.cursor.generation => CursorIs::Renumbered,
            Some(stored) if stored.is_start() || *stored == changes.cursor => CursorIs::Sound,
            Some(stored) if folder.disowns(stored) => CursorIs::Impossible,
            Some(_) => CursorIs::Sound,
        };
        let unchanged = |stored: &Cursor| {
            !intents && stored.proves_unchanged(&whole.cursor) && stored.proves_unchanged(&changes.cursor)
        };
        // A sync does not even look where the cursors prove that nothing changed.
        if !stored.is_some_and(unchanged) {
            sight.notice(changes);
        }
        Ok(sight)
    }

    fn notice(&mut self, changes: Changes) {
        self.noticed.appeared = changes.appeared.into_iter().map(|one| one.key).collect();
        self.noticed.reflagged = changes.reflagged.into_iter().map(|(key, _)| key).collect();
        self.noticed.vanished = changes.vanished;
        for keys in [&mut self.noticed.appeared, &mut self.noticed.reflagged, &mut self.noticed.vanished] {
            keys.sort_unstable();
        }
    }

    /// Where a message stands in the list; `None` where it is gone.
    fn at(&self, key: &Key) -> Option<usize> {
        if self.noticed.vanished.binary_search(key).is_ok() {
            return None;
        }
        self.list.binary_search_by(|(other, _)| other.cmp(key)).ok()
    }

    /// Whether the folder can't have given a message this key.
    fn never_gave(&self, key: &Key) -> bool {
        self.next.as_ref().is_some_and(|next| key >= next)
    }
}

struct Checking<'a, 'f> {
    task: &'a Task<'a>,
    state: &'a State,
    folders: Folders<'f>,
    sights: Sides<Sight>,
    checked: FolderChecked,
    /// What is wrong, and with which pair.
    faults: Vec<(Option<PairId>, Fault, Sides<Option<Key>>)>,
    /// What mends the state; of several things for one pair the last.
    mends: BTreeMap<PairId, Vec<Change>>,
    /// Whether the next sync must look at everything again, on each side.
    start_over: Sides<bool>,
    alike: Vec<Alike>,
    /// Pairs that only content can judge.
    doubts: Vec<PairId>,
    /// Pairs that differ in content, and the Message-ID that both bear.
    altered: Vec<(Altered, u64)>,
    /// Contents of messages that were paired wrongly.
    parted: Sides<HashSet<u64>>,
    /// Pairs of which one message is gone, and where.
    one_sided: Vec<(PairId, Side)>,
    /// Digests of the messages that pairs name.
    paired: Sides<Vec<u64>>,
    loose: Sides<Loose>,
}

/// Messages that no pair names.
#[derive(Default)]
struct Loose {
    digests: Vec<u64>,
    /// The Message-IDs, and where in the list their messages stand.
    labels: Vec<(u64, usize)>,
}

impl Checking<'_, '_> {
    fn go_on(&self) -> Result<(), Failure> {
        match self.task.stop.is_set() {
            true => Err(Failure { side: None, error: StoreError::stopped() }),
            false => Ok(()),
        }
    }

    fn fault(&mut self, fault: Fault, row: &Row) {
        self.faults.push((Some(row.id), fault, row.keys.clone().map(Some)));
    }

    /// The pair is forgotten, and what is there of it found again. What else was wrong with it does not matter then.
    fn forget(&mut self, fault: Fault, row: &Row) {
        self.faults.retain(|(pair, _, _)| *pair != Some(row.id));
        self.fault(fault, row);
        self.mends.insert(row.id, vec![Change::Forget { pair: row.id }]);
        self.start_over = Sides::new(true, true);
    }

    fn identify(&mut self, side: Side, keys: &[Key], depth: Depth) -> Result<HashMap<Key, Identity>, Failure> {
        self.go_on()?;
        let found = self.folders[side].identify(keys, depth).map_err(Failure::on(side))?;
        Ok(found.known.into_iter().collect())
    }

    fn depth(&self) -> Depth {
        if self.task.options.deep { Depth::Content } else { Depth::Header }
    }

    /// Compares every pair that the state knows with what is there.
    fn pairs(&mut self, folder: FolderId) -> Result<(), Failure> {
        let mut after = PairId(i64::MIN);
        loop {
            let rows = self.state.rows_after(folder, after, BATCH)?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.id;
            self.checked.pairs += rows.len() as u64;
            let mut whole = Vec::with_capacity(rows.len());
            for row in rows {
                if self.is_whole(folder, &row)? {
                    whole.push(row);
                }
            }
            let depth = self.depth();
            for (row, found) in self.with_identities(whole, depth)? {
                self.judge(row, found);
            }
        }
    }

    /// Whether both messages of the pair are there, and it is the first of its kind; what else it is, is noted.
    fn is_whole(&mut self, folder: FolderId, row: &Row) -> Result<bool, Failure> {
        let at = Sides::from_fn(|side| self.sights[side].at(&row.keys[side]));
        let gone = at.map(|at| at.is_none());
        if gone.local && gone.remote {
            let noticed = |side: Side| self.sights[side].noticed.vanished.binary_search(&row.keys[side]).is_ok();
            match noticed(Side::Local) && noticed(Side::Remote) {
                true => Side::BOTH.into_iter().for_each(|side| self.checked.ahead.gone[side] += 1),
                false => self.forget(Fault::DeadPair, row),
            }
            return Ok(false);
        }
        let mut known = Sides::<bool>::default();
        for side in Side::BOTH {
            let Some(at) = at[side] else { continue };
            let named = &mut self.sights[side].named[at];
            known[side] = named.by_whole;
            named.by_any = true;
            named.by_whole |= !gone[side.other()];
        }
        if gone.local || gone.remote {
            self.one_sided.push((row.id, if gone.local { Side::Local } else { Side::Remote }));
            return Ok(false);
        }
        if known.local && known.remote {
            let rivals = self.state.pairs_of(folder, Side::Local, &row.keys.local)?;
            if rivals.iter().any(|rival| rival.id < row.id && rival.keys == row.keys) {
                self.fault(Fault::SecondPair, row);
                self.mends.insert(row.id, vec![Change::Forget { pair: row.id }]);
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Pairs with what their messages are; `None` where one could not be read.
    fn with_identities(&mut self, rows: Vec<Row>, depth: Depth) -> Result<Vec<Identified>, Failure> {
        let found = Sides::try_from_fn(|side| {
            let keys: Vec<Key> = rows.iter().map(|row| row.keys[side].clone()).collect();
            self.identify(side, &keys, depth)
        })?;
        let both = |row: Row| {
            // Two pairs may name one message where a server stores equal messages once.
            let of = |side: Side| found[side].get(&row.keys[side]).cloned();
            let identities = of(Side::Local).zip(of(Side::Remote)).map(|(local, remote)| Sides { local, remote });
            (row, identities)
        };
        Ok(rows.into_iter().map(both).collect())
    }

    fn judge(&mut self, row: Row, found: Option<Sides<Identity>>) {
        let Some(found) = found else {
            self.doubts.push(row.id);
            return;
        };
        match judge::by_header(&row.identity, found.as_ref()) {
            Proof::Same => {
                self.note_alike(&found.local, Some(row.id));
                for side in Side::BOTH {
                    self.paired[side].extend(judge::digest(&found[side], self.task.options.deep));
                }
                self.sound(&row, &found);
            }
            Proof::Different => self.part(&row, &found),
            Proof::Altered => self.alter(&row, &found),
            Proof::Doubt => self.doubts.push(row.id),
        }
    }

    fn note_alike(&mut self, identity: &Identity, pair: Option<PairId>) {
        let (content, deep) = (judge::content(identity), self.task.options.deep);
        self.alike.extend(judge::digest(identity, deep).map(|digest| Alike { digest, content, pair }));
    }

    /// Two messages that are no pair; either may be the true partner of another.
    fn part(&mut self, row: &Row, found: &Sides<Identity>) {
        for side in Side::BOTH {
            self.parted[side].extend(judge::content(&found[side]));
        }
        self.forget(Fault::WrongPair, row);
    }

    fn alter(&mut self, row: &Row, found: &Sides<Identity>) {
        let contents = found.as_ref().map(|one| judge::content(one).unwrap_or_default());
        let label = judge::label(&found.local).unwrap_or_default();
        self.altered.push((Altered { pair: row.id, contents }, label));
    }

    /// A pair of one message: what is left is whether the state remembers it rightly.
    fn sound(&mut self, row: &Row, found: &Sides<Identity>) {
        let mut flags = row.flags.clone();
        let mut wrong = false;
        for side in Side::BOTH {
            let sight = &self.sights[side];
            let Some(now) = sight.at(&row.keys[side]).map(|at| &sight.list[at].1) else { continue };
            if *now == row.flags[side] {
                continue;
            }
            match sight.noticed.reflagged.binary_search(&row.keys[side]).is_ok() {
                true => self.checked.ahead.flags[side] += 1,
                false => (flags[side], wrong) = (now.clone(), true),
            }
        }
        if wrong {
            self.fault(Fault::WrongFlags, row);
            self.mends.insert(row.id, vec![Change::Flags { pair: row.id, flags: flags.clone() }]);
        }
        if !judge::remembered(&row.identity, found.as_ref()) {
            self.fault(Fault::WrongMemory, row);
            let (Some(pair), identity) = (self.task.known, judge::joined(found.as_ref())) else { return };
            let anew = Change::Bind { folder: pair.id, keys: row.keys.clone(), flags, identity };
            self.mends.insert(row.id, vec![Change::Forget { pair: row.id }, anew]);
        }
    }

    /// Looks at the messages that no pair names.
    fn strangers(&mut self, side: Side) -> Result<(), Failure> {
        let sight = &self.sights[side];
        let known = self.task.known.is_some();
        let strangers: Vec<usize> = (0..sight.list.len()).filter(|at| !sight.named[*at].by_any).collect();
        let mut overlooked = Vec::new();
        for at in &strangers {
            let key = &sight.list[*at].0;
            if sight.waiting.binary_search(key).is_ok() {
                self.checked.seen.waiting[side] += 1;
            } else if known && sight.noticed.appeared.binary_search(key).is_err() {
                overlooked.push(key.clone());
            } else {
                self.checked.ahead.new[side] += 1;
            }
        }
        for key in overlooked {
            self.faults.push((None, Fault::Overlooked, Sides::with(side, Some(key), None)));
            self.start_over = Sides::new(true, true);
        }
        for batch in strangers.chunks(BATCH) {
            let keys: Vec<Key> = batch.iter().map(|at| self.sights[side].list[*at].0.clone()).collect();
            let depth = self.depth();
            let found = self.identify(side, &keys, depth)?;
            for (at, key) in batch.iter().zip(&keys) {
                let Some(identity) = found.get(key) else { continue };
                self.note_alike(identity, None);
                self.loose[side].digests.extend(judge::digest(identity, depth == Depth::Content));
                self.loose[side].labels.extend(judge::label(identity).map(|label| (label, *at)));
            }
        }
        Ok(())
    }

    /// Reads what the headers left in doubt, and pairs that they prove but that others look like.
    fn read_doubts(&mut self) -> Result<(), Failure> {
        let proven = judge::confusable(std::mem::take(&mut self.alike));
        let mut doubts = std::mem::take(&mut self.doubts);
        doubts.extend(&proven);
        doubts.sort_unstable();
        doubts.dedup();
        for batch in doubts.chunks(BATCH) {
            let mut rows = Vec::with_capacity(batch.len());
            for pair in batch {
                rows.extend(self.state.row(*pair)?);
            }
            for (row, found) in self.with_identities(rows, Depth::Content)? {
                let Some(found) = found else {
                    self.fault(Fault::Unreadable, &row);
                    continue;
                };
                match judge::by_content(found.as_ref()) {
                    Proof::Same if proven.binary_search(&row.id).is_ok() => {}
                    Proof::Same => self.sound(&row, &found),
                    Proof::Different => self.part(&row, &found),
                    Proof::Altered => self.alter(&row, &found),
                    Proof::Doubt => self.fault(Fault::Unreadable, &row),
                }
            }
        }
        Ok(())
    }

    /// Tells pairs that are mixed up from messages that a server, or a hand, has changed.
    fn tell_mixed_up(&mut self) -> Result<(), Failure> {
        if self.altered.is_empty() {
            return Ok(());
        }
        let labels: HashSet<u64> = self.altered.iter().map(|(_, label)| *label).collect();
        let mut others = std::mem::take(&mut self.parted);
        for side in Side::BOTH {
            let like = self.loose[side].labels.iter().filter(|(label, _)| labels.contains(label));
            let keys: Vec<Key> = like.map(|(_, at)| self.sights[side].list[*at].0.clone()).collect();
            let found = self.identify(side, &keys, Depth::Content)?;
            others[side].extend(found.values().filter_map(judge::content));
        }
        let altered: Vec<Altered> = self.altered.iter().map(|(altered, _)| *altered).collect();
        let mixed_up = judge::mixed_up(&altered, &others);
        self.checked.seen.altered = altered.len() - mixed_up.len();
        for pair in altered.iter().map(|one| one.pair).filter(|pair| mixed_up.contains(pair)) {
            if let Some(row) = self.state.row(pair)? {
                self.forget(Fault::WrongPair, &row);
            }
        }
        Ok(())
    }

    /// Pairs of which one message is gone are deletions to come, unless nobody can have deleted it.
    fn judge_one_sided(&mut self) -> Result<(), Failure> {
        for (pair, gone) in std::mem::take(&mut self.one_sided) {
            let Some(row) = self.state.row(pair)? else { continue };
            let (sight, other) = (&self.sights[gone], &self.sights[gone.other()]);
            let noticed = sight.noticed.vanished.binary_search(&row.keys[gone]).is_ok();
            let deleted = noticed && sight.cursor != CursorIs::Absent && !sight.never_gave(&row.keys[gone]);
            let whole = other.at(&row.keys[gone.other()]).is_some_and(|at| other.named[at].by_whole);
            match (whole, deleted) {
                (true, _) => self.forget(Fault::SecondPair, &row),
                (false, true) => self.checked.ahead.gone[gone] += 1,
                (false, false) => self.forget(Fault::DeadPair, &row),
            }
        }
        Ok(())
    }

    fn end(mut self) -> Result<FolderChecked, Failure> {
        for side in Side::BOTH {
            let mut all = std::mem::take(&mut self.paired[side]);
            all.extend(&self.loose[side].digests);
            self.checked.seen.doubles[side] = judge::surplus(all);
        }
        let loose = self.loose.as_mut().map(|loose| std::mem::take(&mut loose.digests));
        self.checked.ahead.to_pair = judge::in_common(loose);
        self.judge_cursors()?;
        let repair = self.task.options.repair;
        if let (Some(pair), true) = (self.task.known, repair) {
            let mut changes: Vec<Change> = self.mends.into_values().flatten().collect();
            for side in Side::BOTH.into_iter().filter(|side| self.start_over[*side]) {
                let cursor = Cursor::start(self.sights[side].generation);
                changes.push(Change::Cursor { folder: pair.id, side, cursor });
            }
            self.state.apply(&changes)?;
        }
        let finding =
            |(_, fault, keys): (_, Fault, _)| Finding { mended: repair && fault.can_be_mended(), fault, keys };
        self.checked.findings = self.faults.into_iter().map(finding).collect();
        Ok(self.checked)
    }

    /// Judges what the state says of how far it dealt with each side.
    fn judge_cursors(&mut self) -> Result<(), Failure> {
        let Some(pair) = self.task.known.filter(|_| self.checked.pairs > 0) else { return Ok(()) };
        let is = self.sights.as_ref().map(|sight| sight.cursor);
        let renumbered = is.map(|is| is == CursorIs::Renumbered);
        let mistaken = |fault: &Fault| matches!(fault, Fault::WrongPair | Fault::SecondPair | Fault::DeadPair);
        let mistaken = self.faults.iter().any(|(_, fault, _)| mistaken(fault));
        if (renumbered.local || renumbered.remote) && (mistaken || self.checked.ahead.gone != Sides::default()) {
            return self.judge_renumbered(pair.id, renumbered);
        }
        for side in Side::BOTH {
            let fault = match is[side] {
                CursorIs::Sound => continue,
                CursorIs::Absent => Fault::NoCursor,
                CursorIs::Renumbered => Fault::WrongGeneration,
                CursorIs::Impossible => Fault::WrongCursor,
            };
            self.faults.push((None, fault, Sides::default()));
            self.start_over = Sides::new(true, true);
        }
        Ok(())
    }

    /// The numbers of a side mean other messages now: the next sync pairs all of them anew, by what the state
    /// remembers of the messages on the other side. So that is what must be right.
    fn judge_renumbered(&mut self, folder: FolderId, renumbered: Sides<bool>) -> Result<(), Failure> {
        (self.faults, self.mends, self.start_over) = (Vec::new(), BTreeMap::new(), Sides::default());
        let ahead = &mut self.checked.ahead;
        (ahead.gone, ahead.flags) = (Sides::default(), Sides::default());
        ahead.renumbered = self.checked.pairs as usize;
        let Some(steady) = Side::BOTH.into_iter().find(|side| !renumbered[*side]) else { return Ok(()) };
        let mut after = PairId(i64::MIN);
        loop {
            let rows = self.state.rows_after(folder, after, BATCH)?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.id;
            let keys: Vec<Key> = rows.iter().map(|row| row.keys[steady].clone()).collect();
            let found = self.identify(steady, &keys, Depth::Header)?;
            for row in rows {
                let wrong = found.get(&row.keys[steady]).is_some_and(|one| judge::contradicts(&row.identity, one));
                if wrong {
                    self.fault(Fault::WrongMemory, &row);
                    self.mends.insert(row.id, vec![Change::Forget { pair: row.id }]);
                    // Of the other side the cursor must stay: it tells the next sync that the numbers are new.
                    self.start_over[steady] = true;
                }
            }
        }
    }
}
