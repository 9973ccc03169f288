//! Pairs the two folder lists. Pure: lists, rules and what was paired before give one entry a folder.
//!
//! # What becomes of folders
//!
//! Whether a known folder has another name now was found out before (`renames`).
//!
//! | one side | other side | outcome |
//! |---|---|---|
//! | new | - | made there, and paired |
//! | new | new, under the name that the rules give | paired |
//! | has another name | unchanged | renamed there; nothing is transferred |
//! | unchanged | has another name than the rules give now | the local one is renamed |
//! | has another name | has another name | the remote name counts |
//! | gone | there | held and told; or deleted there, where the user's policy wants that and nothing is lost by it |
//! | gone | gone | forgotten |
//!
//! A folder that is gone is never made again unasked. One whose remote name is left with other folders in it, and
//! no messages of its own, is gone.

use super::Policy;
use super::rules::{Remotes, Rules, Verdict, looks_like_exchange};
use crate::mail::{FolderId, FolderName, Role, Side, Sides};
use crate::store::FolderInfo;
use foldhash::HashMap;
use std::cell::OnceCell;
use std::collections::{BTreeMap, HashSet};

/// A folder pair of an earlier run.
#[derive(Clone, Debug)]
pub struct Paired {
    pub id: FolderId,
    pub wires: Sides<Vec<u8>>,
    pub names: Sides<FolderName>,
    /// What the remote folder was for when it was last listed.
    pub role: Option<Role>,
    /// The sides on which it got another name since; `wires` and `names` have the new one.
    pub moved: Sides<bool>,
}

/// What is to become of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is on both sides.
    Pair,
    /// It must be made on this side.
    Create(Side),
    /// The folder on this side, which is paired with that on the other one, must have the name that the entry says.
    Rename { on: Side, from: Vec<u8>, old: FolderName },
    /// It is not on this side, and the folder's mode lets none be made there.
    OneWay(Side),
    /// It was paired, and is no more on this side.
    Gone(Side),
    /// It was paired, and is no more on either side.
    Forget,
    /// The rules leave it out.
    Excluded,
    /// It holds no messages, only other folders.
    Container,
    /// It can't be synced; why.
    Problem(String),
}

/// One folder: on one side, on both, or only remembered.
#[derive(Clone, Debug)]
pub struct Entry {
    pub status: Status,
    /// Its name on each side, or the one that it would have.
    pub names: Sides<Option<FolderName>>,
    /// Where it stands in each side's list.
    pub at: Sides<Option<usize>>,
    pub known: Option<FolderId>,
    pub role: Option<Role>,
    pub verdict: Verdict,
}

/// All folders of an account.
#[derive(Clone, Debug, Default)]
pub struct FolderPlan {
    /// Ordered: INBOX, then by remote name, local-only ones after that. A parent stands before what it holds.
    pub entries: Vec<Entry>,
    /// Two remote folders that would have one local name: nothing may be done before that is mended.
    pub clashes: Vec<String>,
}

/// Pairs the lists.
pub fn plan_folders(lists: Sides<&[FolderInfo]>, rules: &Rules, known: &[Paired], policy: &Policy) -> FolderPlan {
    Planner::new(lists, rules, known, policy).run()
}

/// What the rules say of a remote folder.
#[derive(Clone)]
struct Judged {
    role: Option<Role>,
    verdict: Verdict,
    /// Its name on the local side.
    local: Option<FolderName>,
}

struct Planner<'a> {
    lists: Sides<&'a [FolderInfo]>,
    rules: &'a Rules,
    known: &'a [Paired],
    known_by_remote: HashMap<&'a [u8], &'a Paired>,
    /// Made when it is looked for whose a local folder is.
    known_by_local: OnceCell<HashMap<&'a [u8], &'a Paired>>,
    policy: &'a Policy,
    exchange: bool,
    /// What the rules say of each remote folder.
    judged: Vec<Judged>,
    /// The roles that remote folders have.
    roles: Vec<Role>,
    /// Made when a name is looked for that leads back.
    remotes: OnceCell<Remotes>,
    local_by_name: HashMap<&'a FolderName, usize>,
    /// Made when a name is looked for.
    remote_by_name: OnceCell<HashMap<&'a FolderName, usize>>,
    by_wire: Sides<HashMap<&'a [u8], usize>>,
    /// Local folders that belong to an entry already.
    taken: Vec<bool>,
    /// Folders that are going to have other names: their present ones are free for others.
    vacated: Sides<HashSet<usize>>,
    plan: FolderPlan,
}

impl<'a> Planner<'a> {
    fn new(lists: Sides<&'a [FolderInfo]>, rules: &'a Rules, known: &'a [Paired], policy: &'a Policy) -> Self {
        let listed: Vec<Role> = lists.remote.iter().filter_map(|info| info.role).collect();
        let exchange = looks_like_exchange(lists.remote.iter().map(|info| &info.name));
        let judge = |info: &FolderInfo| {
            let role = rules.role(&info.name, info.role, &listed);
            let verdict = rules.verdict(&info.name, role, info.subscribed, exchange);
            Judged { role, verdict, local: rules.local_name(&info.name, role) }
        };
        let judged: Vec<Judged> = lists.remote.iter().map(judge).collect();
        let mut planner = Planner {
            lists,
            rules,
            known,
            known_by_remote: by_wire(known, Side::Remote),
            known_by_local: OnceCell::new(),
            policy,
            exchange,
            roles: judged.iter().filter_map(|judged| judged.role).collect(),
            judged,
            remotes: OnceCell::new(),
            local_by_name: by_name(lists.local),
            remote_by_name: OnceCell::new(),
            by_wire: lists.map(|list| list.iter().enumerate().map(|(at, info)| (info.wire.as_slice(), at)).collect()),
            taken: vec![false; lists.local.len()],
            vacated: Sides::default(),
            plan: FolderPlan::default(),
        };
        planner.vacated = planner.vacated();
        planner
    }

    /// What every known pair's folders are called now and will be called: only those that can have their new names.
    fn vacated(&self) -> Sides<HashSet<usize>> {
        let mut moves: Sides<Vec<(usize, Option<usize>)>> = Sides::default();
        for pair in self.known {
            let at = Sides::from_fn(|side| self.by_wire[side].get(pair.wires[side].as_slice()).copied());
            let (Some(remote), Some(local)) = (at.remote, at.local) else { continue };
            let (info, judged) = (&self.lists.remote[remote], &self.judged[remote]);
            let usable = info.selectable && info.problem.is_none() && self.lists.local[local].selectable;
            if !judged.verdict.selected || !usable {
                continue;
            }
            if self.follows_local(pair, judged.role) {
                if let Ok(name) = self.rules.remote_name(&pair.names.local, self.remotes()) {
                    moves.remote.push((remote, self.remote_by_name().get(&name).copied()));
                }
            } else if let Some(name) = &judged.local
                && *name != self.lists.local[local].name
                && self.may_name(&info.name, judged.role, Side::Local)
            {
                moves.local.push((local, self.local_by_name.get(name).copied()));
            }
        }
        moves.map(|moves| vacated(moves.into_iter().filter(|(from, to)| Some(*from) != *to).collect()))
    }

    fn remote_by_name(&self) -> &HashMap<&'a FolderName, usize> {
        self.remote_by_name.get_or_init(|| by_name(self.lists.remote))
    }

    fn take(&mut self, local: Option<usize>) {
        local.into_iter().for_each(|at| self.taken[at] = true);
    }

    fn remotes(&self) -> &Remotes {
        let listed = || self.lists.remote.iter().zip(&self.judged).map(|(info, judged)| (&info.name, judged.role));
        self.remotes.get_or_init(|| Remotes::of(self.rules, listed()))
    }

    fn run(mut self) -> FolderPlan {
        let mut order: Vec<usize> = (0..self.lists.remote.len()).collect();
        order.sort_by_key(|at| {
            let name = &self.lists.remote[*at].name;
            (!name.is_inbox(), name)
        });
        let mut targets: BTreeMap<FolderName, usize> = BTreeMap::new();
        for at in order {
            let entry = self.remote_entry(at);
            let known = self.known_by_remote.get(self.lists.remote[at].wire.as_slice());
            let follows = known.is_some_and(|pair| self.follows_local(pair, entry.role));
            if let (true, Some(local)) = (entry.verdict.selected && takes_part(&entry.status), &entry.names.local)
                // Its name here is the user's doing, not that of the rules.
                && !follows
                && let Some(other) = targets.insert(local.clone(), at)
            {
                let (a, b) = (&self.lists.remote[other].name, &self.lists.remote[at].name);
                self.plan.clashes.push(format!("the remote folders {a:?} and {b:?} would both be {local:?} here"));
            }
            self.plan.entries.push(entry);
        }
        self.forgotten_remotes();
        let mut order: Vec<usize> = (0..self.lists.local.len()).filter(|at| !self.taken[*at]).collect();
        order.sort_by_key(|at| &self.lists.local[*at].name);
        for at in order {
            let entry = self.local_entry(at);
            self.plan.entries.push(entry);
        }
        self.plan
    }

    fn remote_entry(&mut self, at: usize) -> Entry {
        let info = &self.lists.remote[at];
        let known = self.known_by_remote.get(info.wire.as_slice()).copied();
        // Of a folder of which a container is left, the server may no longer say what it was for.
        let former = known.filter(|_| !info.selectable).and_then(|pair| pair.role);
        let Judged { role, verdict, mut local } = match &self.judged[at] {
            Judged { role: None, .. } if former.is_some() => Judged {
                role: former,
                verdict: self.rules.verdict(&info.name, former, info.subscribed, self.exchange),
                local: self.rules.local_name(&info.name, former),
            },
            judged => judged.clone(),
        };
        let follows = known.filter(|pair| self.follows_local(pair, role) && verdict.selected);
        if let Some(pair) = follows {
            local = Some(pair.names.local.clone());
        }
        let mut entry = Entry {
            status: Status::Pair,
            names: Sides::new(local, Some(info.name.clone())),
            at: Sides::new(None, Some(at)),
            known: known.map(|pair| pair.id),
            role,
            verdict,
        };
        // A local folder is spoken for even where its remote one is left out: it must not be taken for a new one.
        let by_pair = known.and_then(|pair| self.by_wire.local.get(pair.wires.local.as_slice())).copied();
        let by_name = entry.names.local.as_ref().and_then(|name| self.local_by_name.get(name)).copied();
        let usable = entry.verdict.selected && info.selectable && info.problem.is_none();
        if let (true, Some(pair), Some(at)) = (usable, follows, by_pair) {
            entry.at.local = Some(at);
            entry.status = self.rename_remote(&mut entry.names, pair, info);
        } else if usable {
            (entry.status, entry.at.local) = self.remote_status(&entry, known, by_pair, by_name);
        } else {
            // A container here is the counterpart of a container there; a Maildir is a folder of its own.
            let counterpart = |at: &usize| info.selectable || !self.lists.local[*at].selectable;
            entry.at.local = by_pair.or(by_name.filter(counterpart));
            let has_mail = by_pair.is_some_and(|at| self.lists.local[at].selectable);
            entry.status = match &info.problem {
                Some(problem) => Status::Problem(problem.clone()),
                None if !info.selectable && entry.verdict.selected && has_mail => Status::Gone(Side::Remote),
                None if !info.selectable && known.is_some() && by_pair.is_none() => Status::Forget,
                None if !info.selectable => Status::Container,
                None => Status::Excluded,
            };
        }
        self.take(entry.at.local);
        entry
    }

    fn remote_status(
        &self,
        entry: &Entry,
        known: Option<&Paired>,
        by_pair: Option<usize>,
        by_name: Option<usize>,
    ) -> (Status, Option<usize>) {
        let remote = || entry.names.remote.as_ref().map(FolderName::to_string).unwrap_or_default();
        let Some(local) = &entry.names.local else {
            return (Status::Problem(format!("the rename rules leave no usable name of {}", remote())), None);
        };
        let usable = |at: &usize| self.lists.local[*at].selectable;
        // A folder that is about to have another name is in nobody's way, but for its own pair.
        let by_name = by_name.filter(|at| by_pair == Some(*at) || !self.vacated.local.contains(at));
        if let Some(problem) = by_name.and_then(|at| self.lists.local[at].problem.clone()) {
            return (Status::Problem(problem), by_name);
        }
        if let Some(at) = by_name
            && by_pair != by_name
            && let Some(owner) = self.owner(at)
        {
            return (
                Status::Problem(format!("the local folder {local} is paired with {}", owner.names.remote)),
                by_pair,
            );
        }
        match (known, by_pair.filter(usable), by_name.filter(usable)) {
            (_, Some(pair), Some(name)) if pair == name => (Status::Pair, Some(pair)),
            // It is kept in step under the name that it has.
            (Some(_), Some(old), _) if !self.may_create(entry, Side::Local) => (Status::Pair, Some(old)),
            (Some(known), Some(old), None) => {
                let from = self.lists.local[old].wire.clone();
                (Status::Rename { on: Side::Local, from, old: known.names.local.clone() }, Some(old))
            }
            (Some(known), Some(_), Some(_)) => {
                let (old, new) = (&known.names.local, local);
                let why = format!("the rules now call {} {new:?}, which is there beside the old {old:?}", remote());
                (Status::Problem(why), by_pair)
            }
            // Renamed by hand to what the rules say now: the messages in it decide.
            (Some(known), None, Some(name)) if known.names.local != *local => (Status::Pair, Some(name)),
            (Some(_), None, _) => (Status::Gone(Side::Local), by_name),
            (None, _, Some(name)) => (Status::Pair, Some(name)),
            (None, _, None) if self.may_create(entry, Side::Local) => (Status::Create(Side::Local), by_name),
            (None, _, None) => (Status::OneWay(Side::Local), by_name),
        }
    }

    fn may_create(&self, entry: &Entry, side: Side) -> bool {
        let remote = entry.names.remote.as_ref();
        remote.map_or(self.policy.create[side], |name| self.may_name(name, entry.role, side))
    }

    /// Whether the mode of the folder with this remote name lets folders be made, and named, on a side.
    fn may_name(&self, remote: &FolderName, role: Option<Role>, side: Side) -> bool {
        self.rules.policy(remote, role, self.policy).create[side]
    }

    /// Whether the remote folder is to follow the local one, which the user gave another name.
    fn follows_local(&self, pair: &Paired, role: Option<Role>) -> bool {
        pair.moved.local && !pair.moved.remote && self.may_name(&pair.names.remote, role, Side::Remote)
    }

    /// The pair that a local folder belongs to, if its remote folder is there.
    fn owner(&self, at: usize) -> Option<&Paired> {
        let known = self.known_by_local.get_or_init(|| by_wire(self.known, Side::Local));
        let owner = known.get(self.lists.local[at].wire.as_slice())?;
        self.by_wire.remote.contains_key(owner.wires.remote.as_slice()).then_some(owner)
    }

    /// The local folder was given another name: what is to become of the remote one, whose new name goes into `names`.
    fn rename_remote(&self, names: &mut Sides<Option<FolderName>>, pair: &Paired, info: &FolderInfo) -> Status {
        let (here, old) = (&pair.names.local, &info.name);
        let name = match self.rules.remote_name(here, self.remotes()) {
            Ok(name) if name == *old => return Status::Pair,
            Ok(name) => name,
            Err(why) => return Status::Problem(format!("{old} is called {here} here now: {why}")),
        };
        let taken = self.remote_by_name().get(&name).filter(|at| !self.vacated.remote.contains(at));
        let verdict = self.rules.verdict(&name, self.rules.role(&name, None, &[]), None, self.exchange);
        let problem =
            |why: &str| Status::Problem(format!("{old} is called {here} here now, which would be {name:?}: {why}"));
        match () {
            () if taken.is_some() => problem("there is a folder of that name"),
            () if !verdict.selected => problem("the rules leave that out"),
            () => {
                names.remote = Some(name);
                Status::Rename { on: Side::Remote, from: info.wire.clone(), old: old.clone() }
            }
        }
    }

    /// Pairs whose remote folder is no more.
    fn forgotten_remotes(&mut self) {
        for pair in self.known {
            if self.by_wire.remote.contains_key(pair.wires.remote.as_slice()) {
                continue;
            }
            let local = self.by_wire.local.get(pair.wires.local.as_slice()).copied();
            let local = local.filter(|at| !self.taken[*at]);
            self.take(local);
            // No list has it any more: it is for what it was for.
            let role = self.rules.role(&pair.names.remote, pair.role, &self.roles);
            let verdict = self.rules.verdict(&pair.names.remote, role, None, self.exchange);
            self.plan.entries.push(Entry {
                status: match local {
                    None => Status::Forget,
                    Some(_) if !verdict.selected => Status::Excluded,
                    Some(_) => Status::Gone(Side::Remote),
                },
                names: Sides::new(Some(pair.names.local.clone()), Some(pair.names.remote.clone())),
                at: Sides::new(local, None),
                known: Some(pair.id),
                role,
                verdict,
            });
        }
    }

    fn local_entry(&self, at: usize) -> Entry {
        let info = &self.lists.local[at];
        let remote = self.rules.remote_name(&info.name, self.remotes());
        let judged = remote.as_ref().unwrap_or(&info.name);
        let role = self.rules.role(judged, None, &self.roles);
        let verdict = self.rules.verdict(judged, role, None, self.exchange);
        let there = remote.as_ref().ok().and_then(|name| self.remote_by_name().get(name)).copied();
        let status = match (&info.problem, &remote) {
            (Some(problem), _) => Status::Problem(problem.clone()),
            (None, _) if !info.selectable => Status::Container,
            (None, Err(why)) => Status::Problem(why.clone()),
            (None, Ok(_)) if !verdict.selected => Status::Excluded,
            (None, Ok(name)) if there.is_some_and(|at| self.lists.remote[at].selectable) => {
                Status::Problem(format!("its remote name would be {name:?}, which is another folder's"))
            }
            (None, Ok(_)) => Status::Create(Side::Remote),
        };
        let mut entry = Entry {
            status,
            names: Sides::new(Some(info.name.clone()), remote.ok()),
            at: Sides::new(Some(at), None),
            known: None,
            role,
            verdict,
        };
        if entry.status == Status::Create(Side::Remote) && !self.may_create(&entry, Side::Remote) {
            entry.status = Status::OneWay(Side::Remote);
        }
        entry
    }
}

/// Known pairs by what one side calls them. Where two have one wire name, the first one counts.
fn by_wire(known: &[Paired], side: Side) -> HashMap<&[u8], &Paired> {
    known.iter().rev().map(|pair| (pair.wires[side].as_slice(), pair)).collect()
}

fn by_name(list: &[FolderInfo]) -> HashMap<&FolderName, usize> {
    list.iter().enumerate().map(|(at, info)| (&info.name, at)).collect()
}

/// Of folders that are to go from one place to another, those that can: to a place that is free, or that becomes free.
fn vacated(mut moves: Vec<(usize, Option<usize>)>) -> HashSet<usize> {
    loop {
        let leaving: HashSet<usize> = moves.iter().map(|(from, _)| *from).collect();
        let before = moves.len();
        moves.retain(|(_, to)| to.is_none_or(|to| leaving.contains(&to)));
        if moves.len() == before {
            return leaving;
        }
    }
}

fn takes_part(status: &Status) -> bool {
    !matches!(status, Status::Container | Status::Excluded | Status::OneWay(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::rules::{Filter, Rename};

    fn name(text: &str) -> FolderName {
        FolderName::parse(text).expect("a folder name")
    }

    fn list(names: &[&str]) -> Vec<FolderInfo> {
        let one = |text: &&str| {
            let container = text.strip_prefix('-');
            let name = name(container.unwrap_or(text));
            FolderInfo {
                wire: name.text().into_bytes(),
                name,
                selectable: container.is_none(),
                subscribed: None,
                role: None,
                object: None,
                cursor: None,
                messages: None,
                unseen: None,
                problem: None,
            }
        };
        names.iter().map(one).collect()
    }

    fn paired(id: i64, local: &str, remote: &str) -> Paired {
        Paired {
            id: FolderId(id),
            wires: Sides::new(local.as_bytes().to_vec(), remote.as_bytes().to_vec()),
            names: Sides::new(name(local), name(remote)),
            role: None,
            moved: Sides::default(),
        }
    }

    /// A pair whose folder on one side has another name since.
    fn moved(id: i64, local: &str, remote: &str, side: Side) -> Paired {
        Paired { moved: Sides::with(side, true, false), ..paired(id, local, remote) }
    }

    /// `remote=local status` for every entry.
    fn plan(local: &[&str], remote: &[&str], rules: &Rules, known: &[Paired]) -> Vec<String> {
        let (local, remote) = (list(local), list(remote));
        let lists = Sides::new(local.as_slice(), remote.as_slice());
        let plan = plan_folders(lists, rules, known, &Policy::default());
        let show = |name: &Option<FolderName>| name.as_ref().map_or("-".to_owned(), |name| name.text());
        let lines = plan.entries.iter().map(|entry| {
            let status = match &entry.status {
                Status::Rename { on, old, .. } => format!("rename {on} {old}"),
                Status::Problem(_) => "problem".to_owned(),
                other => format!("{other:?}"),
            };
            format!("{}={} {status}", show(&entry.names.remote), show(&entry.names.local))
        });
        lines.chain(plan.clashes.iter().map(|clash| format!("clash: {clash}"))).collect()
    }

    #[test]
    fn folders_of_either_side_are_paired_or_made_on_the_other() {
        let found = plan(&["INBOX", "mine/deep"], &["Work", "INBOX"], &Rules::default(), &[]);
        assert_eq!(found, ["INBOX=INBOX Pair", "Work=Work Create(Local)", "mine/deep=mine/deep Create(Remote)"]);
    }

    #[test]
    fn containers_are_neither_paired_nor_made() {
        let found = plan(&["-a", "-[Gmail]"], &["-[Gmail]", "[Gmail]/x"], &Rules::default(), &[]);
        assert_eq!(found, ["[Gmail]=[Gmail] Container", "[Gmail]/x=[Gmail]/x Create(Local)", "a=a Container"]);
    }

    #[test]
    fn two_remote_folders_with_one_local_name_are_a_clash_that_names_both() {
        let rules = Rules { renames: vec![Rename::Lower], ..Rules::default() };
        let found = plan(&[], &["Work", "WORK"], &rules, &[]);
        assert_eq!(found[2], "clash: the remote folders WORK and Work would both be work here");
    }

    #[test]
    fn a_folder_that_is_left_out_is_not_made_anew_from_its_local_copy() {
        let rules = Rules { filters: vec![Filter::parse(false, "Old").expect("a filter")], ..Rules::default() };
        assert_eq!(plan(&["Old"], &["Old"], &rules, &[]), ["Old=Old Excluded"]);
        assert_eq!(plan(&["Old"], &[], &rules, &[]), ["Old=Old Excluded"]);
        let known = [paired(1, "Old", "Old")];
        assert_eq!(plan(&["Old"], &[], &rules, &known), ["Old=Old Excluded"]);
        assert_eq!(plan(&[], &[], &rules, &known), ["Old=Old Forget"]);
    }

    #[test]
    fn a_folder_that_was_paired_is_gone_and_not_made_again() {
        let known = [paired(1, "a", "a"), paired(2, "b", "b"), paired(3, "c", "c")];
        let found = plan(&["b"], &["a"], &Rules::default(), &known);
        assert_eq!(found, ["a=a Gone(Local)", "b=b Gone(Remote)", "c=c Forget"]);
    }

    #[test]
    fn a_folder_that_is_gone_is_for_what_it_was_for() {
        let archive = Paired { role: Some(Role::Archive), ..paired(1, "Old", "Old") };
        for remote in [list(&[]), list(&["-Old"])] {
            let local = list(&["Old"]);
            let lists = Sides::new(local.as_slice(), remote.as_slice());
            let rules = Rules::default();
            let plan = plan_folders(lists, &rules, std::slice::from_ref(&archive), &Policy::default());
            let [entry] = plan.entries.as_slice() else { panic!("{plan:?}") };
            assert_eq!((&entry.status, entry.role), (&Status::Gone(Side::Remote), Some(Role::Archive)));
            // What the config says of it now counts for more.
            let rules = Rules { roles: vec![(Role::Sent, "Old".to_owned())], ..rules };
            let plan = plan_folders(lists, &rules, std::slice::from_ref(&archive), &Policy::default());
            assert_eq!(plan.entries[0].role, Some(Role::Sent));
        }
    }

    #[test]
    fn a_changed_rule_is_a_local_rename() {
        let rules = Rules {
            renames: vec![Rename::Prefix { from: "Lists".to_owned(), to: "l".to_owned() }],
            ..Rules::default()
        };
        let known = [paired(1, "Lists/a", "Lists/a"), paired(2, "Lists/b", "Lists/b")];
        let found = plan(&["Lists/a", "l/b"], &["Lists/a", "Lists/b"], &rules, &known);
        assert_eq!(found, ["Lists/a=l/a rename local Lists/a", "Lists/b=l/b Pair"]);
    }

    #[test]
    fn what_was_renamed_on_one_side_is_renamed_on_the_other() {
        let known = [moved(1, "a", "b", Side::Remote), moved(2, "d", "c", Side::Local)];
        let found = plan(&["a", "d"], &["b", "c"], &Rules::default(), &known);
        assert_eq!(found, ["b=b rename local a", "d=d rename remote c"]);
        let both = [Paired { moved: Sides::new(true, true), ..paired(1, "here", "there") }];
        assert_eq!(plan(&["here"], &["there"], &Rules::default(), &both), ["there=there rename local here"]);
    }

    #[test]
    fn names_may_change_hands() {
        // A chain, and the first name anew.
        let known = [moved(1, "a", "b", Side::Remote), moved(2, "b", "c", Side::Remote)];
        let found = plan(&["a", "b"], &["a", "b", "c"], &Rules::default(), &known);
        assert_eq!(found, ["a=a Create(Local)", "b=b rename local a", "c=c rename local b"]);
        let known = [moved(1, "a", "b", Side::Remote), moved(2, "b", "a", Side::Remote)];
        let found = plan(&["a", "b"], &["a", "b"], &Rules::default(), &known);
        assert_eq!(found, ["a=a rename local b", "b=b rename local a"]);
        let known = [moved(1, "b", "a", Side::Local), moved(2, "a", "b", Side::Local)];
        let found = plan(&["a", "b"], &["a", "b"], &Rules::default(), &known);
        assert_eq!(found, ["b=b rename remote a", "a=a rename remote b"]);
    }

    #[test]
    fn a_name_that_is_taken_is_a_problem() {
        let known = [moved(1, "a", "b", Side::Remote)];
        assert_eq!(plan(&["a", "b"], &["b"], &Rules::default(), &known)[0], "b=b problem");
        let known = [moved(1, "b", "a", Side::Local), paired(2, "c", "b")];
        assert_eq!(plan(&["b", "c"], &["a", "b"], &Rules::default(), &known)[0], "a=b problem");
    }

    #[test]
    fn what_is_left_as_a_container_is_gone() {
        let known = [paired(1, "a", "a"), paired(2, "a/b", "a/b")];
        let found = plan(&["a", "a/b"], &["-a", "a/b"], &Rules::default(), &known);
        assert_eq!(found, ["a=a Gone(Remote)", "a/b=a/b Pair"]);
        let found = plan(&["-a", "a/b"], &["-a", "a/b"], &Rules::default(), &known[1..]);
        assert_eq!(found, ["a=a Container", "a/b=a/b Pair"]);
    }

    #[test]
    fn a_local_folder_whose_name_leads_nowhere_is_a_problem_of_its_own() {
        let rules = Rules { renames: vec![Rename::Lower], ..Rules::default() };
        assert_eq!(plan(&["Upper", "lower"], &[], &rules, &[]), ["-=Upper problem", "lower=lower Create(Remote)"]);
    }
}
