//! What `info` shows: every folder of both sides, and what the rules make of it. Changes nothing on either side.

use super::Account;
use super::folders::{Entry, Paired, Status, plan_folders};
use super::trash::{Fate, fate};
use crate::mail::{Flag, FolderId, FolderName, Role, Side, Sides};
use crate::state::StateError;
use crate::store::{Access, Claim, FolderInfo, NothingKnown, Reach, Stop, Store, StoreError, StoreFacts};
use std::path::Path;

/// What is known of one account's stores and folders.
#[derive(Debug)]
pub struct Survey {
    pub account: String,
    /// Where each store is, and what it says of itself or why it can't be asked.
    pub places: Sides<String>,
    pub facts: Sides<Result<StoreFacts, StoreError>>,
    /// Where the password came from, in words, or is to come from where nobody had to log in.
    pub passwords: Sides<Option<String>>,
    /// What becomes on each side of what is deleted on the other one.
    pub fates: Sides<Fate>,
    /// Every folder of either side, ordered by remote name, then local name.
    pub folders: Vec<Row>,
    /// What is wrong with the account as a whole: names that clash, a root that is missing.
    pub problems: Vec<String>,
}

/// A folder: on one side or on both.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it is called on each side, or would be; `None` where no name can be made for that side.
    pub names: Sides<Option<FolderName>>,
    /// Whether it is there.
    pub exists: Sides<bool>,
    pub selectable: bool,
    pub role: Option<Role>,
    pub subscribed: Option<bool>,
    /// Whether it is synced.
    pub selected: bool,
    /// The rule that decided: `exclude "[Gmail]/All*"`, `default: role:all`, `no rule`.
    pub rule: String,
    pub messages: Sides<Option<u64>>,
    pub unseen: Sides<Option<u64>>,
    pub problem: Option<String>,
}

/// Looks at both sides of an account.
pub fn survey(account: &Account, stop: &Stop) -> Survey {
    let mut survey = Survey {
        account: account.name.clone(),
        places: account.stores.as_ref().map(|opener| opener.place()),
        facts: Sides::new(Ok(StoreFacts::default()), Ok(StoreFacts::default())),
        passwords: Sides::default(),
        fates: Sides::default(),
        folders: Vec::new(),
        problems: Vec::new(),
    };
    let mut lists: Sides<Vec<FolderInfo>> = Sides::default();
    let known: Vec<Paired> = match read_pairs(&account.state) {
        Ok(pairs) => pairs,
        Err(error) => {
            survey.problems.push(error.to_string());
            Vec::new()
        }
    };
    for side in Side::BOTH {
        if stop.is_set() {
            survey.facts[side] = Err(StoreError::stopped());
            continue;
        }
        match look(account, side) {
            Ok(Seen { facts, list, archives, problem }) => {
                let fate = fate(&account.disposal[side], side, &list, &account.rules, archives);
                if let Fate::Nowhere(lacking) = &fate {
                    survey.problems.push(format!("deletions on the {side} side are held: {lacking}"));
                }
                survey.fates[side] = fate;
                survey.facts[side] = Ok(facts);
                lists[side] = list;
                // Before the first sync nobody misses it.
                survey.problems.extend(problem.filter(|_| !known.is_empty()));
            }
            Err(error) => survey.facts[side] = Err(error),
        }
    }
    survey.passwords = account.stores.as_ref().map(|opener| opener.password_from());
    if survey.facts.local.is_err() || survey.facts.remote.is_err() {
        return survey;
    }
    let listed = Sides::new(lists.local.as_slice(), lists.remote.as_slice());
    let plan = plan_folders(listed, &account.rules, &known, &account.policy);
    survey.problems.extend(plan.clashes);
    survey.folders = plan.entries.into_iter().map(|entry| row(entry, listed)).collect();
    survey
}

/// What one store said.
struct Seen {
    facts: StoreFacts,
    list: Vec<FolderInfo>,
    archives: bool,
    problem: Option<String>,
}

fn look(account: &Account, side: Side) -> Result<Seen, StoreError> {
    let mut store = account.stores[side].open()?;
    let facts = store.facts()?;
    let place = account.stores[side].place();
    let (list, problem) = match store.claim("")? {
        Claim::Missing => (Vec::new(), Some(format!("{place} is not there, although it was synced before"))),
        _ => (counted(store.as_mut())?, None),
    };
    let archives = store.archives_removed()?;
    store.close();
    Ok(Seen { facts, list, archives, problem })
}

/// The folders, with counts also where the list has none: those of a Maildir cost a look into it.
fn counted(store: &mut dyn Store) -> Result<Vec<FolderInfo>, StoreError> {
    let mut list = store.list()?;
    for info in list.iter_mut().filter(|info| info.selectable && info.problem.is_none() && info.messages.is_none()) {
        match store.open(&info.wire, Access::Read, None).and_then(|mut folder| folder.changes(None, &NothingKnown)) {
            Ok(changes) => {
                let unseen = changes.appeared.iter().filter(|a| !a.flags.contains(&Flag::Seen)).count();
                (info.messages, info.unseen) = (Some(changes.appeared.len() as u64), Some(unseen as u64));
            }
            Err(error) if error.reach > Reach::Folder => return Err(error),
            Err(error) => info.problem = Some(error.to_string()),
        }
    }
    Ok(list)
}

fn read_pairs(state: &Path) -> Result<Vec<Paired>, StateError> {
    let rows = crate::state::read_folders(state)?.into_iter().enumerate();
    Ok(rows
        .map(|(at, row)| Paired {
            id: FolderId(at as i64),
            wires: row.wires,
            names: row.names,
            role: row.role,
            moved: Sides::default(),
        })
        .collect())
}

fn row(entry: Entry, lists: Sides<&[FolderInfo]>) -> Row {
    let info = |side: Side| entry.at[side].map(|at| &lists[side][at]);
    let problem = match &entry.status {
        Status::Problem(why) => Some(why.clone()),
        Status::Gone(side) => Some(format!("it was synced, and is gone on the {side} side")),
        Status::Forget => Some("it was synced, and is gone on both sides".to_owned()),
        Status::Rename { on, old, .. } => Some(format!("the next sync renames the {on} folder {old}")),
        Status::OneWay(side) => Some(format!("not on the {side} side, and its mode lets no folder be made there")),
        Status::Pair | Status::Create(_) | Status::Excluded | Status::Container => None,
    };
    Row {
        exists: Sides::from_fn(|side| entry.at[side].is_some()),
        selectable: !matches!(entry.status, Status::Container),
        subscribed: info(Side::Remote).and_then(|info| info.subscribed),
        messages: Sides::from_fn(|side| info(side).and_then(|info| info.messages)),
        unseen: Sides::from_fn(|side| info(side).and_then(|info| info.unseen)),
        problem,
        role: entry.role,
        selected: entry.verdict.selected && !matches!(entry.status, Status::Container | Status::OneWay(_)),
        rule: entry.verdict.rule.into_owned(),
        names: entry.names,
    }
}
