//! Decides what is to be done in one folder pair. Pure; `reconcile(swap(x)) == swap(reconcile(x))`.

use super::Policy;
use super::plan::{Held, Op, Plan, Reason, What};
use crate::mail::{Appeared, Flag, FlagDelta, FlagSpace, Flags, Key, PairId, Side, Sides};
use std::borrow::Cow;

/// What a side has of a message that was known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Now {
    /// It is there, with these flags.
    There(Flags),
    Gone,
}

/// A pair on which something changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    pub pair: PairId,
    pub keys: Sides<Key>,
    /// The flags that each side was last known to have.
    pub base: Sides<Flags>,
    pub now: Sides<Now>,
}

/// Two messages that are proven to be the same, and that no row knows yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    pub keys: Sides<Key>,
    /// The flags that they last agreed upon, where that is known (an interrupted copy, an old UIDVALIDITY).
    pub base: Option<Sides<Flags>>,
    pub now: Sides<Flags>,
}

/// All that matters for one folder pair.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    pub touched: Vec<Touched>,
    /// Messages that one side has and the baseline does not, and that were bound to nothing.
    pub new: Sides<Cow<'a, [Appeared]>>,
    pub bound: Vec<Bound>,
    /// The flags that each side can hold.
    pub spaces: Sides<FlagSpace>,
    /// What the user lets be done.
    pub policy: Policy,
    /// Whether each side can be written to.
    pub writable: Sides<bool>,
}

/// Decides.
pub fn reconcile(input: Input<'_>) -> Plan {
    let Input { touched, new, bound, mut spaces, policy: wanted, writable } = input;
    let both = |wanted: Sides<bool>| Sides::from_fn(|side| wanted[side] && writable[side]);
    let policy = Policy {
        copy: both(wanted.copy),
        flags: both(wanted.flags),
        delete: both(wanted.delete),
        create: wanted.create,
    };
    let mut plan = Plan::default();
    let mut held_deletions = Sides::<usize>::default();
    let mut held_flags = Sides::<usize>::default();
    for Touched { pair, keys, base, now } in touched {
        let now = match (now.local, now.remote) {
            (Now::There(local), Now::There(remote)) => Sides::new(local, remote),
            (Now::Gone, Now::Gone) => {
                plan.ops.push(Op::Forget { pair });
                continue;
            }
            (local, _) => {
                let on = if local == Now::Gone { Side::Remote } else { Side::Local };
                match policy.delete[on] {
                    true => plan.ops.push(Op::Delete { on, pair, key: keys[on].clone() }),
                    false => held_deletions[on] += 1,
                }
                continue;
            }
        };
        let Merged { set, base: agreed, held } = merge(&base, &now, &mut spaces, &policy);
        Side::BOTH.into_iter().for_each(|side| held_flags[side] += usize::from(held[side]));
        let nothing = set.local.is_empty() && set.remote.is_empty();
        if !nothing || agreed != base {
            plan.ops.push(Op::Flags { pair, keys, set: Box::new(set), base: Box::new(agreed) });
        }
    }
    for Bound { keys, base, now } in bound {
        let base = base.unwrap_or_default();
        let Merged { set, base, held } = merge(&base, &now, &mut spaces, &policy);
        Side::BOTH.into_iter().for_each(|side| held_flags[side] += usize::from(held[side]));
        plan.ops.push(Op::Bind { keys, set: Box::new(set), base: Box::new(base) });
    }
    let mut held_copies = Sides::<usize>::default();
    for side in Side::BOTH {
        let to = side.other();
        plan.ops.reserve_exact(if policy.copy[to] { new[side].len() } else { 0 });
        for Appeared { key, flags, .. } in new[side].iter() {
            if !policy.copy[to] {
                held_copies[to] += 1;
                continue;
            }
            let put = flags.iter().filter(|flag| claim(&mut spaces[to], flag)).collect();
            plan.ops.push(Op::Copy { to, key: key.clone(), from: flags.clone(), put });
        }
    }
    for on in Side::BOTH {
        let kinds = [
            (What::Copies, held_copies[on], wanted.copy[on]),
            (What::FlagChanges, held_flags[on], wanted.flags[on]),
            (What::Deletions, held_deletions[on], wanted.delete[on]),
        ];
        for (what, count, wanted) in kinds {
            if count > 0 {
                let reason = if wanted { Reason::ReadOnly } else { Reason::OneWay };
                plan.held.push(Held { what, on, count, reason, hint: None });
            }
        }
    }
    plan
}

/// Three-way merge, flag by flag: what one side changed is set on the other. Where both changed a flag they agree
/// already, unless their bases differed: then it is set. Without a base, what either has both get.
///
/// A change that a side can't hold is passed over, and both sides' own flags become the base: a later change of either
/// still shows. One that a side may not be given waits: the base of the side that made it stays what it was.
fn merge(base: &Sides<Flags>, now: &Sides<Flags>, spaces: &mut Sides<FlagSpace>, policy: &Policy) -> Merged {
    let mut held = Sides::<bool>::default();
    let mut set = Sides::<FlagDelta>::default();
    let mut agreed = now.clone();
    let every = base.local.union(&base.remote).union(&now.local).union(&now.remote);
    for flag in every.iter() {
        let has = now.as_ref().map(|flags| flags.contains(&flag));
        let changed = Sides::from_fn(|side| has[side] != base[side].contains(&flag));
        let want = match (changed.local, changed.remote) {
            (true, true) => has.local || has.remote,
            (true, false) => has.local,
            (false, true) => has.remote,
            (false, false) => continue,
        };
        for side in Side::BOTH {
            if has[side] == want {
                continue;
            }
            if !policy.flags[side] {
                held[side] = true;
                let other = side.other();
                match base[other].contains(&flag) {
                    true => agreed[other].insert(flag.clone()),
                    false => agreed[other].remove(&flag),
                }
                continue;
            }
            if !claim(&mut spaces[side], &flag) {
                continue;
            }
            match want {
                true => {
                    set[side].add.insert(flag.clone());
                    agreed[side].insert(flag.clone());
                }
                false => {
                    set[side].remove.insert(flag.clone());
                    agreed[side].remove(&flag);
                }
            }
        }
    }
    Merged { set, base: agreed, held }
}

/// What becomes of a pair's flags.
struct Merged {
    set: Sides<FlagDelta>,
    /// What each side is known to have afterwards.
    base: Sides<Flags>,
    /// Whether a change that each side should have been given waits.
    held: Sides<bool>,
}

/// Whether the side can hold the flag; if it is a new keyword there, it takes up room from now on.
fn claim(space: &mut FlagSpace, flag: &Flag) -> bool {
    if !space.holds(flag) {
        return false;
    }
    if !space.fixed.contains(flag) {
        space.fixed.insert(flag.clone());
        space.more = if space.more == usize::MAX { usize::MAX } else { space.more - 1 };
    }
    true
}
