//! Prepares an account's folders: makes, renames and takes note of them, and gives the pairs that take part in the run.

use super::account::Run;
use super::event::{Counts, Event};
use super::folders::{Entry, FolderPlan, Status};
use super::pair::{Failure, Job, Stores};
use super::plan::{Held, Reason, What};
use crate::mail::{FolderId, FolderName, Side, Sides};
use crate::state::{Change, Pair};
use crate::store::{FolderInfo, Kind, Reach, StoreError};
use std::collections::HashSet;
use std::time::{Duration, SystemTime};

impl Run<'_> {
    /// Makes and renames folders, and gives the pairs that take part.
    pub fn jobs(
        &self,
        plan: FolderPlan,
        pairs: &[Pair],
        lists: &Sides<Vec<FolderInfo>>,
        stores: &mut Stores,
    ) -> Result<Vec<Work>, Failure> {
        let intents: HashSet<FolderId> = self.state.folders_with_intents()?.into_iter().collect();
        let backlogs = self.state.backlogs()?;
        let now = SystemTime::now();
        let due_by = if self.options.retry { backlogs.iter().map(|b| b.last).max().unwrap_or(now) } else { now };
        let mut jobs = Vec::new();
        let mut matched = HashSet::new();
        for (number, entry) in plan.entries.into_iter().enumerate() {
            if !self.wanted(&entry, &mut matched) {
                continue;
            }
            let backlog = backlogs.iter().find(|backlog| Some(backlog.folder) == entry.known);
            if self.options.only_waiting && backlog.is_none() {
                continue;
            }
            let known = pairs.iter().find(|pair| Some(pair.id) == entry.known);
            let names = entry.names.clone();
            match self.job(entry, number, known, lists, stores) {
                Ok(Some(mut work)) => {
                    work.job.intents = intents.contains(&work.job.id);
                    work.job.due_by = due_by;
                    work.job.due = backlog.is_some_and(|backlog| backlog.next <= due_by);
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
        known: Option<&Pair>,
        lists: &Sides<Vec<FolderInfo>>,
        stores: &mut Stores,
    ) -> Result<Option<Work>, Failure> {
        let info = |side: Side| entry.at[side].map(|at| &lists[side][at]);
        let mut missing = None;
        let mut wires = Sides::from_fn(|side| info(side).map(|info| info.wire.clone()));
        let mut keep = known;
        match &entry.status {
            Status::Excluded | Status::Container | Status::OneWay(_) => return Ok(None),
            Status::Problem(_) if !entry.verdict.selected => return Ok(None),
            Status::Problem(why) => {
                let error = StoreError::new(Reach::Folder, Kind::Refused, "pair folders", why)
                    .with_hint("`mailsync info` shows all names; exclude the folder, or change the rename rules");
                return Err(Failure { side: None, error });
            }
            Status::Forget => {
                if let (Some(pair), false) = (known, self.options.dry_run) {
                    self.state.apply(&[Change::ForgetFolder { folder: pair.id }])?;
                }
                return Ok(None);
            }
            Status::Pair => {}
            Status::Create(side) => missing = Some(*side),
            Status::RenameLocal { from, old } => {
                wires.local = Some(self.rename_local(&entry, known, from, old, stores)?);
            }
            Status::Gone(side) => {
                if !self.recreate(&entry, *side, known)? {
                    return Ok(None);
                }
                missing = Some(*side);
                keep = known.filter(|_| !self.options.restore);
            }
        }
        let (Some(local), Some(remote)) = (entry.names.local.clone(), entry.names.remote.clone()) else {
            return Ok(None);
        };
        let names = Sides::new(local, remote);
        if let Some(side) = missing {
            let account = self.account.name.clone();
            if self.options.dry_run {
                let what = format!("make the folder {} on {side}", names[side]);
                self.tell(Event::WouldDo { account, folder: names.remote.clone(), what });
            } else {
                wires[side] = Some(stores[side].create(&names[side]).map_err(Failure::on(side))?.wire);
                self.tell(Event::FolderCreated { account, folder: names[side].clone(), on: side });
            }
            let mut counts = Counts::default();
            counts.folders_created[side] = 1;
            self.add_counts(&counts);
        }
        let seen = Sides::from_fn(|side| info(side).filter(|_| missing.is_none()).and_then(|info| info.cursor.clone()));
        let wires = wires.map(Option::unwrap_or_default);
        let id = self.folder_id(keep, number, &wires, &names, &entry)?;
        let mut stored = keep.map(|pair| pair.cursors.clone()).unwrap_or_default();
        if let Some(side) = missing {
            stored[side] = None;
        }
        let policy = self.account.rules.policy(&names.remote, entry.role, &self.account.policy);
        let patience = if self.options.dry_run { Duration::ZERO } else { self.account.patience };
        let held = keep.map(|pair| pair.held).unwrap_or_default();
        let job = Job {
            id,
            wires,
            names,
            role: entry.role,
            policy,
            stored,
            seen,
            held,
            intents: false,
            due: false,
            due_by: SystemTime::UNIX_EPOCH,
            patience,
            stop: self.stop.clone(),
        };
        Ok(Some(Work { job, missing: missing.filter(|_| self.options.dry_run) }))
    }

    /// Whether a folder that is gone on `side` is to be made again; else it is held and reported.
    fn recreate(&self, entry: &Entry, side: Side, known: Option<&Pair>) -> Result<bool, Failure> {
        if self.options.restore {
            if let (Some(pair), false) = (known, self.options.dry_run) {
                self.state.apply(&[Change::ForgetFolder { folder: pair.id }])?;
            }
            return Ok(true);
        }
        if self.options.allow_delete && side == Side::Local {
            return Ok(true);
        }
        let reason =
            Reason::Unavailable(format!("the folder is gone on the {side} side; nothing is deleted on the other"));
        let hint = match side {
            Side::Local => {
                "to have it back, run once with --restore; to delete its messages on the server too, once with --allow-delete"
            }
            Side::Remote => {
                "to put it back on the server, run once with --restore; if it is not wanted any more, remove the local folder"
            }
        };
        let held = Held { what: What::Folder, on: side.other(), count: 0, reason, hint: Some(hint.to_owned()) };
        self.hold(entry.names.remote.as_ref(), held);
        Ok(false)
    }

    fn rename_local(
        &self,
        entry: &Entry,
        known: Option<&Pair>,
        from: &[u8],
        old: &FolderName,
        stores: &mut Stores,
    ) -> Result<Vec<u8>, Failure> {
        let Some(new) = &entry.names.local else { return Ok(from.to_vec()) };
        let account = self.account.name.clone();
        let mut counts = Counts::default();
        counts.folders_renamed.local = 1;
        if self.options.dry_run {
            self.add_counts(&counts);
            let what = format!("rename the local folder {old} to {new}");
            self.tell(Event::WouldDo { account, folder: new.clone(), what });
            return Ok(from.to_vec());
        }
        let made = stores.local.rename(from, new).map_err(Failure::on(Side::Local))?;
        if let Some(pair) = known {
            let change =
                Change::Rename { folder: pair.id, side: Side::Local, wire: made.wire.clone(), name: new.clone() };
            self.state.apply(&[change])?;
        }
        self.add_counts(&counts);
        self.tell(Event::FolderRenamed { account, from: old.clone(), to: new.clone(), on: Side::Local });
        Ok(made.wire)
    }

    fn folder_id(
        &self,
        known: Option<&Pair>,
        number: usize,
        wires: &Sides<Vec<u8>>,
        names: &Sides<FolderName>,
        entry: &Entry,
    ) -> Result<FolderId, Failure> {
        let Some(pair) = known else {
            return match self.options.dry_run {
                // Nothing is known of it, and nothing will be: a number that no row has.
                true => Ok(FolderId(-1 - number as i64)),
                false => Ok(self.state.add_folder(wires, names, entry.role)?),
            };
        };
        let mut changes = Vec::new();
        for side in Side::BOTH {
            if pair.wires[side] != wires[side] && !wires[side].is_empty() {
                let (wire, name) = (wires[side].clone(), names[side].clone());
                changes.push(Change::Rename { folder: pair.id, side, wire, name });
            }
        }
        if pair.role != entry.role {
            changes.push(Change::Role { folder: pair.id, role: entry.role });
        }
        if !self.options.dry_run {
            self.state.apply(&changes)?;
        }
        Ok(pair.id)
    }
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
