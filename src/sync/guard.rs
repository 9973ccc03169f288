//! Refuses a plan that empties a side, or that rests on doubt. Pure.

use super::Limits;
use super::plan::{Held, Op, Plan, Reason, What};
use crate::mail::{Flag, Role, Side, Sides, Withheld};

/// What the guard must know besides the plan.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Pairs that the baseline has.
    pub known: usize,
    pub role: Option<Role>,
    pub limits: Limits,
    /// Why what is missing on a side must not be believed, if there is a reason.
    pub doubt: Sides<Option<Reason>>,
    /// Sides of which not one complete listing was ever had: what seems new on the other side may well be there.
    pub blind: Sides<bool>,
    /// Deletions on each side that were held before and that nobody has decided about since.
    pub held: Sides<Withheld>,
    /// Lets deletions through that are merely many.
    pub allow_delete: bool,
}

/// The hint that goes with held deletions.
pub const HINT: &str = "to delete them on the other side too, run once with --allow-delete; \
                        to have them back, run once with --restore";

/// The hint that goes with held marks.
const HINT_MARKED: &str =
    "to mark them on the other side too, run once with --allow-delete; else take the marks away again";

/// Holds the deletions that must not be done unasked, and copies that might be second ones.
pub fn guard(mut plan: Plan, facts: &Facts) -> Plan {
    let forgotten = plan.ops.iter().filter(|op| matches!(op, Op::Forget { .. })).count();
    let known = facts.known.saturating_sub(forgotten);
    for on in Side::BOTH {
        let is_delete = |op: &Op| matches!(op, Op::Delete { on: side, .. } if *side == on);
        let count = plan.ops.iter().filter(|op| is_delete(op)).count();
        if count == 0 {
            continue;
        }
        let Some(reason) = refuse(on, count, known, facts) else { continue };
        plan.ops.retain(|op| !is_delete(op));
        let hint = match reason {
            Reason::Incomplete | Reason::Unavailable(_) => None,
            _ => Some(HINT.to_owned()),
        };
        plan.held.push(Held { what: What::Deletions, on, count, reason, hint });
    }
    for on in Side::BOTH {
        hold_marks(&mut plan, on, known, facts);
    }
    for on in Side::BOTH.into_iter().filter(|side| facts.blind[*side]) {
        let is_copy = |op: &Op| matches!(op, Op::Copy { to, .. } if *to == on);
        let count = plan.ops.iter().filter(|op| is_copy(op)).count();
        if count > 0 {
            plan.ops.retain(|op| !is_copy(op));
            plan.held.push(Held { what: What::Copies, on, count, reason: Reason::Incomplete, hint: None });
        }
    }
    plan
}

/// Holds marks of deletion that are as many as deletions may not be: the next EXPUNGE, whoever sends it, removes them.
fn hold_marks(plan: &mut Plan, on: Side, known: usize, facts: &Facts) {
    let marks = |op: &Op| matches!(op, Op::Flags { set, .. } if set[on].add.contains(&Flag::Deleted));
    let count = plan.ops.iter().filter(|op| marks(op)).count();
    if facts.allow_delete || matches!(facts.role, Some(Role::Trash | Role::Junk)) || !is_most(count, known, facts) {
        return;
    }
    plan.ops.retain(|op| !marks(op));
    let (reason, hint) = (Reason::TooManyMarked { of: known }, Some(HINT_MARKED.to_owned()));
    plan.held.push(Held { what: What::FlagChanges, on, count, reason, hint });
}

/// Whether so many messages of a folder that had `known` are more than somebody deletes by hand.
fn is_most(count: usize, known: usize, facts: &Facts) -> bool {
    let whole = count >= known && known >= facts.limits.whole_folder;
    whole || (count > facts.limits.messages && count * 2 > known)
}

fn refuse(on: Side, count: usize, known: usize, facts: &Facts) -> Option<Reason> {
    match facts.doubt[on.other()].clone() {
        // Nothing proves that these are gone: no wish can make it so.
        Some(Reason::Incomplete) => return Some(Reason::Incomplete),
        Some(reason) if !facts.allow_delete => return Some(reason),
        _ => {}
    }
    if facts.allow_delete {
        return None;
    }
    // A message that came since makes an emptied folder no less emptied: what was held stays held until somebody
    // decides, or most of it is there again.
    let before = facts.held[on];
    let was = usize::try_from(before.count).unwrap_or(usize::MAX);
    let numbers = was >= facts.limits.whole_folder || was > facts.limits.messages;
    if count > was / 2 && was > 0 && (before.emptied || numbers) {
        return Some(if before.emptied { Reason::Emptied } else { Reason::TooMany { of: known } });
    }
    if matches!(facts.role, Some(Role::Trash | Role::Junk)) {
        return None;
    }
    is_most(count, known, facts).then_some(Reason::TooMany { of: known })
}

/// What is known where a folder is gone on one side and the other one's folder is to be deleted for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Departed {
    /// Whether the store could open the folder, although its list lacks it.
    pub opens: bool,
    /// Whether INBOX is listed on that side.
    pub inbox: bool,
    /// Known folders that are gone on that side, and all that were known.
    pub gone: usize,
    pub of: usize,
    /// Messages in the other side's folder that are not known, and those whose flags were changed.
    pub unknown: usize,
    pub reflagged: usize,
    /// Whether its listing was complete.
    pub complete: bool,
    /// Whether copies were begun that may not have ended.
    pub unfinished: bool,
    /// Lets folders go that are merely many.
    pub allow_delete: bool,
}

/// So many known folders may vanish at once, whatever their share.
const FOLDERS: usize = 2;

/// Why the other side's folder must stay; `None` where nothing is lost with it.
pub fn refuse_departed(facts: &Departed) -> Option<String> {
    let Departed { gone, of, unknown, reflagged, .. } = *facts;
    match () {
        () if facts.opens => Some("it can be opened there, although it is not listed".to_owned()),
        () if !facts.inbox => Some("INBOX is gone there too".to_owned()),
        () if gone >= FOLDERS && gone * 2 > of && !facts.allow_delete => {
            Some(format!("{gone} of {of} folders are gone there"))
        }
        () if !facts.complete => Some("its listing was incomplete".to_owned()),
        () if facts.unfinished => Some("copies that were begun have not ended".to_owned()),
        () if unknown > 0 => Some(format!("{unknown} messages in it were never synced")),
        () if reflagged > 0 => Some(format!("{reflagged} messages in it have flags that were never synced")),
        () => None,
    }
}

/// Holds all deletions of a plan that was made after a connection was lost: nobody asked then whether the other folders
/// are as they were, nor where messages were moved.
pub fn postpone(mut plan: Plan) -> Plan {
    for on in Side::BOTH {
        let is_delete = |op: &Op| matches!(op, Op::Delete { on: side, .. } if *side == on);
        let count = plan.ops.iter().filter(|op| is_delete(op)).count();
        if count > 0 {
            plan.ops.retain(|op| !is_delete(op));
            let reason = Reason::Unavailable("the connection was lost in between".to_owned());
            let hint = Some("the next run looks at everything again".to_owned());
            plan.held.push(Held { what: What::Deletions, on, count, reason, hint });
        }
    }
    plan
}

/// Whether a side lost every message that was known, over folders of which more than one had any, or so many that it
/// can't be a person's doing: an emptied tree, an unmounted disk, a server that shows nothing.
pub fn is_emptied(known_and_gone: &[(usize, usize)], limits: &Limits) -> bool {
    let with_mail: Vec<&(usize, usize)> = known_and_gone.iter().filter(|(known, _)| *known > 0).collect();
    let known: usize = with_mail.iter().map(|(known, _)| known).sum();
    let all_gone = !with_mail.is_empty() && with_mail.iter().all(|(known, gone)| gone >= known);
    all_gone && (with_mail.len() > 1 || known >= limits.whole_folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Key, PairId};

    fn deletions(count: usize, on: Side) -> Plan {
        let op = |n| Op::Delete { on, pair: PairId(n as i64), key: Key::Uid(n as u32 + 1) };
        Plan { ops: (0..count).map(op).collect(), held: Vec::new() }
    }

    fn facts(known: usize) -> Facts {
        Facts {
            known,
            role: None,
            limits: Limits::default(),
            doubt: Sides::default(),
            held: Sides::default(),
            blind: Sides::default(),
            allow_delete: false,
        }
    }

    /// How many deletions go through.
    fn through(count: usize, facts: &Facts) -> usize {
        guard(deletions(count, Side::Remote), facts).ops.len()
    }

    #[test]
    fn every_message_of_a_folder_is_held_from_twenty_on() {
        assert_eq!(through(19, &facts(19)), 19);
        assert_eq!(through(20, &facts(20)), 0);
        assert_eq!(through(20, &facts(21)), 20);
    }

    #[test]
    fn more_than_a_hundred_and_more_than_half_are_held() {
        assert_eq!(through(100, &facts(110)), 100);
        assert_eq!(through(101, &facts(201)), 0);
        assert_eq!(through(101, &facts(202)), 101);
    }

    #[test]
    fn marks_of_deletion_are_held_as_deletions_are() {
        use crate::mail::{FlagDelta, Flags};
        let marked = |count: usize, facts: &Facts| {
            let add: Flags = [Flag::Deleted].into_iter().collect();
            let set = Sides::new(FlagDelta::default(), FlagDelta { add, remove: Flags::new() });
            let keys = Sides::new(Key::Uid(1), Key::Uid(1));
            let op = |n| Op::Flags {
                pair: PairId(n as i64),
                keys: keys.clone(),
                set: Box::new(set.clone()),
                base: Box::default(),
            };
            let plan = guard(Plan { ops: (0..count).map(op).collect(), held: Vec::new() }, facts);
            assert_eq!(plan.ops.len() + plan.held.iter().map(|held| held.count).sum::<usize>(), count);
            plan.ops.len()
        };
        assert_eq!([marked(19, &facts(19)), marked(20, &facts(20)), marked(20, &facts(21))], [19, 0, 20]);
        assert_eq!(marked(20, &Facts { allow_delete: true, ..facts(20) }), 20);
        assert_eq!(marked(20, &Facts { role: Some(Role::Trash), ..facts(20) }), 20);
    }

    #[test]
    fn what_was_held_stays_held_though_a_message_came_since() {
        let withheld = |count, emptied| Sides::new(Withheld::default(), Withheld { count, emptied });
        let facts = |count| Facts { held: withheld(count, false), ..facts(26) };
        assert_eq!(through(25, &facts(0)), 25);
        assert_eq!(through(25, &facts(25)), 0);
        assert_eq!(through(13, &facts(25)), 0);
        assert_eq!(through(12, &facts(25)), 12);
        assert_eq!(through(25, &Facts { allow_delete: true, ..facts(25) }), 25);
        // Numbers that would not be held now are not held for what was; an emptied store stays one.
        assert_eq!(through(10, &facts(10)), 10);
        assert_eq!(through(10, &Facts { held: withheld(10, true), ..facts(10) }), 0);
    }

    #[test]
    fn trash_and_junk_are_excepted_and_so_is_a_run_that_allows_it() {
        for role in [Role::Trash, Role::Junk] {
            assert_eq!(through(500, &Facts { role: Some(role), ..facts(500) }), 500);
        }
        assert_eq!(through(500, &Facts { allow_delete: true, ..facts(500) }), 500);
    }

    #[test]
    fn an_incomplete_listing_never_deletes_whatever_was_allowed() {
        let doubt = Sides::new(Some(Reason::Incomplete), None);
        assert_eq!(through(1, &Facts { doubt, allow_delete: true, ..facts(50) }), 0);
    }

    #[test]
    fn doubt_about_one_side_holds_only_what_it_would_delete_on_the_other() {
        let facts = Facts { doubt: Sides::new(Some(Reason::Emptied), None), ..facts(50) };
        assert_eq!(guard(deletions(1, Side::Remote), &facts).held[0].reason, Reason::Emptied);
        assert_eq!(guard(deletions(1, Side::Local), &facts).ops.len(), 1);
    }

    #[test]
    fn after_a_lost_connection_every_deletion_waits() {
        let plan = postpone(deletions(3, Side::Remote));
        assert!(plan.ops.is_empty());
        assert_eq!((plan.held[0].count, plan.held[0].on), (3, Side::Remote));
        let harmless = Plan { ops: vec![Op::Forget { pair: PairId(1) }], held: Vec::new() };
        assert_eq!(postpone(harmless.clone()), harmless);
    }

    #[test]
    fn a_folder_goes_only_where_nothing_is_lost_with_it() {
        let fine = Departed { inbox: true, gone: 1, of: 4, complete: true, ..Departed::default() };
        assert_eq!(refuse_departed(&fine), None);
        for (facts, why) in [
            (Departed { opens: true, ..fine.clone() }, "opened"),
            (Departed { inbox: false, ..fine.clone() }, "INBOX"),
            (Departed { gone: 3, ..fine.clone() }, "3 of 4"),
            (Departed { gone: 2, of: 3, ..fine.clone() }, "2 of 3"),
            (Departed { complete: false, ..fine.clone() }, "incomplete"),
            (Departed { unfinished: true, ..fine.clone() }, "begun"),
            (Departed { unknown: 1, ..fine.clone() }, "never synced"),
            (Departed { reflagged: 1, ..fine.clone() }, "flags"),
        ] {
            assert!(refuse_departed(&facts).is_some_and(|said| said.contains(why)), "{facts:?}");
        }
        for facts in [
            Departed { gone: 2, ..fine.clone() },
            Departed { gone: 1, of: 1, ..fine.clone() },
            Departed { gone: 4, allow_delete: true, ..fine },
        ] {
            assert_eq!(refuse_departed(&facts), None, "{facts:?}");
        }
    }

    #[test]
    fn a_tree_is_emptied_when_every_known_message_of_it_is_gone() {
        let limits = Limits::default();
        assert!(is_emptied(&[(3, 3), (2, 2), (0, 0)], &limits));
        assert!(is_emptied(&[(20, 20)], &limits));
        assert!(!is_emptied(&[(3, 3), (2, 1)], &limits));
        assert!(!is_emptied(&[(3, 3)], &limits));
        assert!(!is_emptied(&[(0, 0)], &limits));
    }
}
