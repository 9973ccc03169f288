//! Checks the state of an account against both sides, message by message, and mends it where that is asked for.
//!
//! Nothing is changed on either side. Mending forgets what is doubtful rather than believing it: what is forgotten is
//! found again by the next sync, which pairs what is the same and copies what one side lacks, but deletes nothing for
//! it. What looks like a deletion by the user is left for the next sync to carry over.

mod folder;
pub mod judge;
pub mod report;

use super::folders::{Entry, FolderPlan, Paired, Status, plan_folders};
use super::pair::{Failure, Stores, state_error};
use super::rules::Pattern;
use super::{Account, Outcome, Problem};
use crate::mail::{FolderName, Side, Sides};
use crate::state::{Change, Pair, State, StateError};
use crate::store::{Claim, FolderInfo, Kind, Reach, Stop, StoreError};
use folder::Task;
use report::{Ahead, Checked, Fault, Finding, FolderChecked};

/// What the user asked of a check.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Compares the content of every message, which downloads all of them.
    pub deep: bool,
    /// Mends the state.
    pub repair: bool,
    /// Only folders that one of these names, by their name on either side; all where empty.
    pub only: Vec<Pattern>,
}

/// Checks one account.
pub fn check(account: &Account, options: &Options, stop: &Stop) -> Checked {
    let found = Checked {
        account: account.name.clone(),
        folders: Vec::new(),
        faults: Vec::new(),
        problems: Vec::new(),
        outcome: Outcome::InStep,
    };
    let opened = if options.repair { State::open(&account.state) } else { State::open_dry(&account.state) };
    let mut checking = match opened {
        Ok(state) => Checking { account, options, stop, state: state.told_to(account.state_log.clone()), found },
        Err(error) => return refused(found, error),
    };
    if let Err(failure) = checking.all() {
        checking.fail(None, &failure);
    }
    let mut found = checking.found;
    let mut findings = found.folders.iter().flat_map(|folder| &folder.findings).chain(&found.faults);
    if findings.any(|finding| !finding.mended) {
        found.outcome = found.outcome.max(Outcome::Partial);
    }
    if stop.is_set() {
        found.outcome = Outcome::Interrupted;
    }
    found
}

/// The state could not be opened.
fn refused(mut found: Checked, error: StateError) -> Checked {
    let outcome = match &error {
        StateError::Locked { .. } => Outcome::Locked,
        StateError::Failed { .. } | StateError::Useless { .. } => Outcome::Failed,
    };
    found.problems.push(Problem::new(None, None, &state_error(error)));
    found.outcome = outcome;
    found
}

struct Checking<'a> {
    account: &'a Account,
    options: &'a Options,
    stop: &'a Stop,
    state: State,
    found: Checked,
}

impl Checking<'_> {
    fn all(&mut self) -> Result<(), Failure> {
        self.damage()?;
        let pairs = self.state.folders()?;
        let account = self.account;
        let mut stores: Stores =
            Sides::try_from_fn(|side: Side| account.stores[side].open().map_err(Failure::on(side)))?;
        if self.claimed(&mut stores, pairs.is_empty())? {
            let fresh = pairs.is_empty();
            let lists = Sides::try_from_fn(|side| list(&mut stores, side, fresh))?;
            let plan = self.plan(&lists, &pairs);
            self.folders(plan, &pairs, &lists, &mut stores)?;
        }
        stores.local.close();
        stores.remote.close();
        Ok(())
    }

    fn damage(&mut self) -> Result<(), Failure> {
        let lines = self.state.damage()?.into_iter().map(Fault::Damaged);
        self.found.faults.extend(lines.map(|fault| Finding { fault, keys: Sides::default(), mended: false }));
        Ok(())
    }

    fn fail(&mut self, folder: Option<&FolderName>, failure: &Failure) {
        let outcome = match (failure.error.kind, failure.error.reach) {
            (Kind::Stopped, _) => return,
            _ if failure.error.failed_login() => Outcome::AuthFailed,
            (_, Reach::Account | Reach::Connection) => Outcome::Failed,
            _ => Outcome::Partial,
        };
        let mut problem = Problem::new(folder, failure.side, &failure.error);
        if let (None, Some(side)) = (folder, failure.side) {
            problem.action = format!("{}: {}", self.account.stores[side].place(), problem.action);
        }
        self.found.problems.push(problem);
        self.found.outcome = self.found.outcome.max(outcome);
    }

    /// Whether both stores are the ones the state knows: against others nothing can be checked.
    fn claimed(&mut self, stores: &mut Stores, fresh: bool) -> Result<bool, Failure> {
        let owner = format!("{} {}", self.account.name, self.state.id());
        for side in Side::BOTH {
            let place = self.account.stores[side].place();
            let why = match stores[side].claim(&owner).map_err(Failure::on(side))? {
                Claim::Ours => match stores[side].turn().map_err(Failure::on(side))? {
                    Some(there) if there < self.state.turn(side)? => {
                        format!("{place} is an older copy of what was synced: it lacks what came since")
                    }
                    _ => continue,
                },
                _ if fresh => continue,
                Claim::Missing => format!("{place} is not there, although it was synced before"),
                Claim::Unmarked => format!("{place} does not bear this account's mark (the file `.mailsync`)"),
                Claim::Foreign(_) => format!("{place} belongs to another account or state"),
            };
            let error = StoreError::new(Reach::Account, Kind::Missing, "check", why)
                .with_hint("`mailsync sync` says what can be done about it; nothing was checked and nothing mended");
            self.fail(None, &Failure { side: Some(side), error });
            return Ok(false);
        }
        Ok(true)
    }

    fn plan(&mut self, lists: &Sides<Vec<FolderInfo>>, pairs: &[Pair]) -> FolderPlan {
        let paired = |pair: &Pair| {
            let (wires, names) = (pair.wires.clone(), pair.names.clone());
            Paired { id: pair.id, wires, names, role: pair.role, moved: Sides::default() }
        };
        let known: Vec<Paired> = pairs.iter().map(paired).collect();
        let listed = Sides::new(lists.local.as_slice(), lists.remote.as_slice());
        let plan = plan_folders(listed, &self.account.rules, &known, &self.account.policy);
        for clash in &plan.clashes {
            let error = StoreError::new(Reach::Folder, Kind::Refused, "pair folders", clash)
                .with_hint("change the rename rules, or exclude one of the two; `mailsync info` shows all names");
            self.fail(None, &Failure { side: None, error });
        }
        plan
    }

    fn folders(
        &mut self,
        plan: FolderPlan,
        pairs: &[Pair],
        lists: &Sides<Vec<FolderInfo>>,
        stores: &mut Stores,
    ) -> Result<(), Failure> {
        let mut named = vec![false; self.options.only.len()];
        for entry in plan.entries {
            if self.stop.is_set() {
                return Ok(());
            }
            if !self.wanted(&entry, &mut named) {
                continue;
            }
            let known = pairs.iter().find(|pair| Some(pair.id) == entry.known);
            match self.folder(&entry, known, lists, stores) {
                Ok(Some(checked)) => self.found.folders.push(checked),
                Ok(None) => {}
                Err(failure) if failure.error.reach > Reach::Folder => return Err(failure),
                Err(failure) => self.fail(entry.names.remote.as_ref().or(entry.names.local.as_ref()), &failure),
            }
        }
        for (pattern, _) in self.options.only.iter().zip(named).filter(|(_, named)| !named) {
            let cause = format!("no folder is called {:?}", pattern.text);
            let error = StoreError::new(Reach::Folder, Kind::Missing, "select folders", cause)
                .with_hint("`mailsync info` lists all names");
            self.fail(None, &Failure { side: None, error });
        }
        Ok(())
    }

    /// Whether the user asked for this folder; notes which patterns named it.
    fn wanted(&self, entry: &Entry, named: &mut [bool]) -> bool {
        let names = [&entry.names.local, &entry.names.remote];
        let mut wanted = self.options.only.is_empty();
        for (pattern, named) in self.options.only.iter().zip(named) {
            if names.into_iter().flatten().any(|name| pattern.matches(name, entry.role)) {
                (*named, wanted) = (true, true);
            }
        }
        wanted
    }

    fn folder(
        &mut self,
        entry: &Entry,
        known: Option<&Pair>,
        lists: &Sides<Vec<FolderInfo>>,
        stores: &mut Stores,
    ) -> Result<Option<FolderChecked>, Failure> {
        let missing = |sides: Sides<bool>| FolderChecked {
            names: entry.names.clone(),
            ahead: Ahead { folder: sides, ..Ahead::default() },
            ..FolderChecked::default()
        };
        match (&entry.status, known) {
            (Status::Pair | Status::Rename { .. }, _) => {}
            (Status::Create(side), _) | (Status::Gone(side), _) => {
                return Ok(Some(missing(Sides::with(*side, true, false))));
            }
            (Status::Forget, Some(pair)) => {
                let mut checked = missing(Sides::new(true, true));
                if self.options.repair {
                    self.state.apply(&[Change::ForgetFolder { folder: pair.id }])?;
                }
                let (fault, mended) = (Fault::DeadFolder, self.options.repair);
                checked.findings.push(Finding { fault, keys: Sides::default(), mended });
                return Ok(Some(checked));
            }
            (Status::Problem(why), _) if entry.verdict.selected => {
                let error = StoreError::new(Reach::Folder, Kind::Refused, "pair folders", why);
                return Err(Failure { side: None, error });
            }
            _ => return Ok(None),
        }
        let info = |side: Side| entry.at[side].map(|at| lists[side][at].wire.clone());
        let (Some(local), Some(remote)) = (info(Side::Local), info(Side::Remote)) else { return Ok(None) };
        let task = Task { known, wires: Sides::new(local, remote), options: self.options, stop: self.stop };
        let mut checked = folder::check(&task, &self.state, stores)?;
        checked.names = entry.names.clone();
        Ok(Some(checked))
    }
}

/// A side's folders. Before the first sync there may be no root, and none is made.
fn list(stores: &mut Stores, side: Side, fresh: bool) -> Result<Vec<FolderInfo>, Failure> {
    if fresh && stores[side].claim("").map_err(Failure::on(side))? == Claim::Missing {
        return Ok(Vec::new());
    }
    stores[side].list().map_err(Failure::on(side))
}
