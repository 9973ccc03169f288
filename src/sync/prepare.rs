//! Prepares an account's folders: makes, renames and takes note of them, and gives the pairs that take part in the run.

use super::Account;
use super::account::Run;
use super::event::{Counts, Event};
use super::folders::{Entry, FolderPlan, Status};
use super::gone::Folders;
use super::pair::{Failure, Job, Stores};
use super::trash::{Fate, fate};
use crate::mail::{Cursor, FolderId, FolderName, Side, Sides};
use crate::state::{Backlog, Change, Pair};
use crate::store::{FolderInfo, Kind, Reach, StoreError};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

impl Run<'_> {
    /// Makes and renames folders, and gives the pairs that take part.
    pub fn jobs(
        &self,
        plan: FolderPlan,
        mut pairs: Vec<Pair>,
        lists: &mut Sides<Vec<FolderInfo>>,
        stores: &mut Stores,
    ) -> Result<Vec<Work>, Failure> {
        let fates = Sides::try_from_fn(|side| {
            let archives = stores[side].archives_removed().map_err(Failure::on(side))?;
            let Account { disposal, rules, .. } = self.account;
            Ok::<Fate, Failure>(fate(&disposal[side], side, &lists[side], rules, archives))
        })?;
        let intents: HashSet<FolderId> = self.state.folders_with_intents()?.into_iter().collect();
        let backlogs = self.state.backlogs()?;
        let now = SystemTime::now();
        let due_by = if self.options.retry { backlogs.iter().map(|b| b.last).max().unwrap_or(now) } else { now };
        let mut jobs = Vec::with_capacity(plan.entries.len());
        let mut matched = HashSet::new();
        let waits = |entry: &Entry| {
            !self.options.only_waiting || backlogs.iter().any(|backlog| Some(backlog.folder) == entry.known)
        };
        let mut folders = Folders::count(&plan.entries, lists);
        let lists = folders.lists;
        let entries = plan.entries.into_iter().enumerate();
        let entries: Vec<(usize, Entry)> =
            entries.filter(|(_, entry)| self.wanted(entry, &mut matched) && waits(entry)).collect();
        // Names are given up before others take them.
        self.forget(&entries)?;
        let renames: Vec<(usize, &Entry)> = entries.iter().map(|(number, entry)| (*number, entry)).collect();
        let mut renamed = self.retitle(&renames, &pairs, lists, stores)?;
        let mut made = self.make_missing(&entries, stores);
        pairs.sort_unstable_by_key(|pair| pair.id);
        for (number, entry) in entries {
            let at = entry.known.and_then(|id| pairs.binary_search_by_key(&id, |pair| pair.id).ok());
            let known = at.map(|at| &mut pairs[at]);
            let names = entry.names.clone();
            let renamed = renamed.remove(&number).transpose();
            let ready = renamed.and_then(|renamed| Ok(Ready { renamed, made: made.remove(&number).transpose()? }));
            let job = |ready| self.job(entry, number, known, ready, &mut folders, stores);
            match ready.and_then(job) {
                Ok(Some(mut work)) => {
                    work.job.intents = intents.contains(&work.job.id);
                    work.job.due_by = due_by;
                    let due = |backlog: &Backlog| backlog.folder == work.job.id && backlog.next <= due_by;
                    work.job.due = backlogs.iter().any(due);
                    work.job.fates = Sides::from_fn(|side| fates[side].within(&work.job.wires[side]));
                    jobs.push(work);
                }
                Ok(None) => {}
                Err(failure) if failure.error.reach > Reach::Folder => return Err(failure),
                Err(failure) => {
                    let name = names.remote.or(names.local).unwrap_or_else(FolderName::inbox);
                    self.fail(Some(&Sides::new(name.clone(), name)), &failure);
                }
            }
        }
        for (at, pattern) in self.options.only.iter().enumerate() {
            if !matched.contains(&at) {
                let error = StoreError::new(
                    Reach::Folder,
                    Kind::Missing,
                    "select folders",
                    format!("no folder is called {:?}", pattern.text),
                )
                .with_hint("`mailsync info` lists all names");
                self.fail(None, &Failure { side: None, error });
            }
        }
        Ok(jobs)
    }

    /// Makes the folders that are missing on either side, all of them at once.
    fn make_missing(
        &self,
        entries: &[(usize, Entry)],
        stores: &mut Stores,
    ) -> HashMap<usize, Result<FolderInfo, Failure>> {
        let mut made = HashMap::new();
        if self.options.dry_run {
            return made;
        }
        for side in Side::BOTH {
            let missing = entries.iter().filter(|(_, entry)| entry.status == Status::Create(side));
            let (numbers, names): (Vec<usize>, Vec<FolderName>) = missing
                .filter(|(_, entry)| entry.names[side.other()].is_some())
                .filter_map(|(number, entry)| Some((*number, entry.names[side].clone()?)))
                .unzip();
            let results = stores[side].create_all(&names).into_iter();
            made.extend(numbers.into_iter().zip(results.map(|result| result.map_err(Failure::on(side)))));
        }
        made
    }

    fn forget(&self, entries: &[(usize, Entry)]) -> Result<(), Failure> {
        let forgotten = entries.iter().filter(|(_, entry)| entry.status == Status::Forget);
        let changes = forgotten.filter_map(|(_, entry)| Some(Change::ForgetFolder { folder: entry.known? }));
        if !self.options.dry_run {
            self.state.apply(&changes.collect::<Vec<_>>())?;
        }
        Ok(())
    }

    /// Whether the user asked for this folder; notes which patterns named it.
    fn wanted(&self, entry: &Entry, matched: &mut HashSet<usize>) -> bool {
        if self.options.only.is_empty() {
            return true;
        }
        let names = [&entry.names.local, &entry.names.remote];
        let mut wanted = false;
        for (at, pattern) in self.options.only.iter().enumerate() {
            if names.iter().any(|name| name.as_ref().is_some_and(|name| pattern.matches(name, entry.role))) {
                matched.insert(at);
                wanted = true;
            }
        }
        wanted
    }

    fn job(
        &self,
        entry: Entry,
        number: usize,
        mut known: Option<&mut Pair>,
        Ready { renamed, mut made }: Ready,
        folders: &mut Folders<'_>,
        stores: &mut Stores,
    ) -> Result<Option<Work>, Failure> {
        let lists = folders.lists;
        let info = |side: Side| entry.at[side].map(|at| &lists[side][at]);
        let mut missing = None;
        let mut wires = Sides::from_fn(|side| info(side).map(|info| info.wire.clone()));
        let mut keep = true;
        match &entry.status {
            Status::Excluded | Status::Container | Status::Forget | Status::OneWay(_) => return Ok(None),
            Status::Problem(_) if !entry.verdict.selected => return Ok(None),
            Status::Problem(why) => {
                let error = StoreError::new(Reach::Folder, Kind::Refused, "pair folders", why)
                    .with_hint("`mailsync info` shows all names; exclude the folder, or change the rename rules");
                return Err(Failure { side: None, error });
            }
            Status::Pair => {}
            Status::Create(side) => missing = Some(*side),
            Status::Rename { on, .. } => wires[*on] = renamed,
            Status::Gone(side) => {
                if !self.recreate(&entry, *side, known.as_deref(), folders, stores)? {
                    return Ok(None);
                }
                missing = Some(*side);
                keep = !self.options.restore;
            }
        }
        let (Some(local), Some(remote)) = (entry.names.local.clone(), entry.names.remote.clone()) else {
            return Ok(None);
        };
        let names = Sides::new(local, remote);
        let mut counted = Sides::default();
        if let Some(side) = missing {
            let account = self.account.name.clone();
            if self.options.dry_run {
                let what = format!("make the folder {} on {side}", names[side]);
                self.tell(Event::WouldDo { account, folder: names.remote.clone(), what });
            } else {
                let info = match made.take() {
                    Some(info) => info,
                    None => stores[side].create(&names[side]).map_err(Failure::on(side))?,
                };
                wires[side] = Some(info.wire);
                counted[side] = info.messages;
                self.tell(Event::FolderCreated { account, folder: names[side].clone(), on: side });
            }
            let mut counts = Counts::default();
            counts.folders_created[side] = 1;
            self.add_counts(&counts);
        }
        // Of a folder that is made now or again, the other side is looked at whatever its list says; where nothing is known
        // of it, what the list says is the question that is asked along with its opening.
        known = known.filter(|_| keep);
        let told = |side: Side| missing.is_none() || (missing != Some(side) && known.is_none());
        let seen = Sides::from_fn(|side| folders.cursors[side][entry.at[side].filter(|_| told(side))?].take());
        let listed = Sides::from_fn(|side| info(side).map_or(counted[side], |info| info.messages));
        let wires = wires.map(Option::unwrap_or_default);
        let objects = Sides::from_fn(|side| info(side).and_then(|info| info.object.as_deref()));
        let id = self.folder_id(known.as_deref(), number, (&wires, &names, &objects), &entry)?;
        let held = known.as_deref().map(|pair| pair.held).unwrap_or_default();
        let mut stored = known.map(|pair| std::mem::take(&mut pair.cursors)).unwrap_or_default();
        if let Some(side) = missing {
            stored[side] = None;
        }
        if self.options.thorough {
            stored = stored.map(|cursor| cursor.map(|cursor| Cursor::start(cursor.generation)));
        }
        let policy = self.account.rules.policy(&names.remote, entry.role, &self.account.policy);
        let patience = if self.options.dry_run { Duration::ZERO } else { self.account.patience };
        let job = Job {
            id,
            wires,
            names,
            role: entry.role,
            policy,
            fates: Sides::default(),
            stored,
            seen,
            listed,
            held,
            intents: false,
            due: false,
            due_by: SystemTime::UNIX_EPOCH,
            patience,
            stop: self.stop.clone(),
        };
        Ok(Some(Work { job, missing: missing.filter(|_| self.options.dry_run) }))
    }

    fn folder_id(
        &self,
        known: Option<&Pair>,
        number: usize,
        (wires, names, objects): (&Sides<Vec<u8>>, &Sides<FolderName>, &Sides<Option<&str>>),
        entry: &Entry,
    ) -> Result<FolderId, Failure> {
        if !self.options.dry_run && known.is_none_or(|pair| pair.wires != *wires) {
            for side in Side::BOTH {
                self.must_be_free(known.map(|pair| pair.id), side, &wires[side], &names[side])?;
            }
        }
        let id = match known {
            Some(pair) => pair.id,
            // Nothing is known of it, and nothing will be: a number that no row has.
            None if self.options.dry_run => return Ok(FolderId(-1 - number as i64)),
            None => self.state.add_folder(wires, names, entry.role)?,
        };
        let mut changes = Vec::new();
        for side in Side::BOTH {
            if known.is_some_and(|pair| pair.wires[side] != wires[side]) && !wires[side].is_empty() {
                let (wire, name) = (wires[side].clone(), names[side].clone());
                changes.push(Change::Rename { folder: id, side, wire, name });
            }
            if let Some(object) = objects[side]
                && known.is_none_or(|pair| pair.objects[side].as_deref() != Some(object))
            {
                changes.push(Change::Object { folder: id, side, object: object.to_owned() });
            }
        }
        if known.is_some_and(|pair| pair.role != entry.role) {
            changes.push(Change::Role { folder: id, role: entry.role });
        }
        if !self.options.dry_run {
            self.state.apply(&changes)?;
        }
        Ok(id)
    }

    /// Fails where another pair has the folder.
    pub fn must_be_free(
        &self,
        known: Option<FolderId>,
        side: Side,
        wire: &[u8],
        name: &FolderName,
    ) -> Result<(), Failure> {
        let owner = self.state.folder_at(side, wire)?;
        if owner.is_none() || owner == known {
            return Ok(());
        }
        let cause = format!("the {side} folder {name} is paired with another one");
        let error = StoreError::new(Reach::Folder, Kind::Refused, "pair folders", cause)
            .with_hint("give one of them another name on this side, or change the rename rules");
        Err(Failure { side: None, error })
    }
}

/// What was done for a pair before it takes part: its folder on one side has another name, or was made.
struct Ready {
    renamed: Option<Vec<u8>>,
    made: Option<FolderInfo>,
}

/// A pair that takes part; in a dry run one of its folders may not be there.
pub(super) struct Work {
    pub job: Job,
    /// The side on which its folder is not there, in a dry run that would make it.
    pub missing: Option<Side>,
}

impl Work {
    pub fn is_unchanged(&self) -> bool {
        self.missing.is_none() && self.job.is_unchanged()
    }
}
