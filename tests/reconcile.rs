//! The decision table, row by row; every row also with its sides exchanged.
//!
//! A message is a word: `a` with no flags, `a:FS+todo` with Maildir letters and keywords, `-` where it is gone. A row
//! has what both sides last agreed upon (`base`, or each side's own after `|`), and what each side has now.

mod support;

use mailsync::mail::{Appeared, FlagDelta, FlagSpace, Flags, Key, PairId, Role, Side, Sides};
use mailsync::sync::guard::{Facts, guard};
use mailsync::sync::plan::{Held, Op, Plan, Reason};
use mailsync::sync::reconcile::{Bound, Input, Now, Touched, reconcile};
use mailsync::sync::{Limits, Policy};
use support::world::{flags, show_flags, space};

/// A row of the table, being written.
#[derive(Clone)]
struct Row {
    input: Input<'static>,
}

/// Begins a row in which both sides may be changed and can hold everything.
fn row() -> Row {
    let none = Sides::new(Vec::new().into(), Vec::new().into());
    let spaces = Sides::new(FlagSpace::all(), FlagSpace::all());
    Row {
        input: Input {
            touched: Vec::new(),
            new: none,
            bound: Vec::new(),
            spaces,
            policy: Policy::default(),
            writable: Sides::new(true, true),
        },
    }
}

/// The flags of a word: what stands after the colon.
fn flags_of(word: &str) -> Flags {
    flags(word.split_once(':').map_or("", |(_, letters)| letters))
}

fn name(word: &str) -> Key {
    Key::Name(word.split(':').next().expect("a name").as_bytes().into())
}

impl Row {
    /// A known message: `base`, then what is there now. `base` is `a:S`, or `a:S|a:SF` where the sides' bases differ.
    fn known(mut self, base: &str, local: &str, remote: &str) -> Row {
        let (base_local, base_remote) = base.split_once('|').unwrap_or((base, base));
        let now = |word: &str| if word == "-" { Now::Gone } else { Now::There(flags_of(word)) };
        self.input.touched.push(Touched {
            pair: PairId(self.input.touched.len() as i64),
            keys: Sides::new(name(base_local), name(base_local)),
            base: Sides::new(flags_of(base_local), flags_of(base_remote)),
            now: Sides::new(now(local), now(remote)),
        });
        self
    }

    /// A message that only one side has, and that nothing is known of.
    fn fresh(mut self, side: Side, word: &str) -> Row {
        self.input.new[side].to_mut().push(Appeared { key: name(word), flags: flags_of(word), size: None });
        self
    }

    /// A message that is new on both sides and proven to be the same.
    fn bound(mut self, base: Option<&str>, local: &str, remote: &str) -> Row {
        let base = base.map(|base| Sides::new(flags_of(base), flags_of(base)));
        let now = Sides::new(flags_of(local), flags_of(remote));
        self.input.bound.push(Bound { keys: Sides::new(name(local), name(local)), base, now });
        self
    }

    /// A side can hold these flags and no others.
    fn holds(mut self, side: Side, what: &str) -> Row {
        self.input.spaces[side] = space(what);
        self
    }

    /// A side has room for so many new keywords.
    fn room_for(mut self, side: Side, more: usize) -> Row {
        self.input.spaces[side] = FlagSpace { fixed: Flags::lettered(), more };
        self
    }

    /// Nothing may be changed on this side.
    fn read_only(mut self, side: Side) -> Row {
        self.input.writable[side] = false;
        self
    }

    /// The user lets nothing be changed on this side.
    fn one_way_from(mut self, side: Side) -> Row {
        let policy = &mut self.input.policy;
        for allowed in [&mut policy.copy, &mut policy.flags, &mut policy.delete, &mut policy.create] {
            allowed[side] = false;
        }
        self
    }

    /// Says what the plan is, a line each in any order, and that exchanged sides give the exchanged plan.
    #[track_caller]
    fn is(self, expected: &[&str]) {
        let swapped = Row { input: swap(self.input.clone()) };
        assert_eq!(lines(&reconcile(self.input)), sorted(expected.iter().map(|line| (*line).to_owned())));
        let expected: Vec<String> = expected.iter().map(|line| swap_words(line)).collect();
        assert_eq!(lines(&reconcile(swapped.input)), sorted(expected), "with the sides exchanged");
    }
}

fn swap(input: Input<'static>) -> Input<'static> {
    let Input { touched, new, bound, spaces, policy, writable } = input;
    let touched = touched.into_iter().map(|Touched { pair, keys, base, now }| Touched {
        pair,
        keys: keys.swap(),
        base: base.swap(),
        now: now.swap(),
    });
    let bound = bound.into_iter().map(|Bound { keys, base, now }| Bound {
        keys: keys.swap(),
        base: base.map(Sides::swap),
        now: now.swap(),
    });
    let Policy { copy, flags, delete, create } = policy;
    let policy = Policy { copy: copy.swap(), flags: flags.swap(), delete: delete.swap(), create: create.swap() };
    let (touched, bound) = (touched.collect(), bound.collect());
    Input { touched, new: new.swap(), bound, spaces: spaces.swap(), policy, writable: writable.swap() }
}

/// Exchanges the sides' names, and what stands on each side of a `|`.
fn swap_words(line: &str) -> String {
    let word = |word: &str| match (word, word.split_once('|')) {
        ("local", _) => "remote".to_owned(),
        ("remote", _) => "local".to_owned(),
        (_, Some((left, right))) => format!("{right}|{left}"),
        _ => word.to_owned(),
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn sorted(lines: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.into_iter().collect();
    lines.sort();
    lines
}

fn lines(plan: &Plan) -> Vec<String> {
    sorted(plan.ops.iter().flat_map(show).chain(plan.held.iter().map(show_held)))
}

fn show_held(held: &Held) -> String {
    format!("hold {} {:?} on {} : {:?}", held.count, held.what, held.on, held.reason)
}

fn show(op: &Op) -> Vec<String> {
    match op {
        Op::Copy { to, key, from, put } if from == put => vec![format!("copy {key}:{} to {to}", show_flags(put))],
        Op::Copy { to, key, from, put } => {
            vec![format!("copy {key}:{} to {to} as :{}", show_flags(from), show_flags(put))]
        }
        Op::Bind { keys, set, base } => {
            let mut lines = vec![format!("bind {}", keys.local)];
            lines.extend(show_set(&keys.local, set, base));
            lines
        }
        Op::Flags { keys, set, base, .. } => show_set(&keys.local, set, base),
        Op::Delete { on, key, .. } => vec![format!("delete {key} on {on}")],
        Op::Forget { pair } => vec![format!("forget {}", pair.0)],
    }
}

/// What is set on each side, and the base after it.
fn show_set(key: &Key, set: &Sides<FlagDelta>, base: &Sides<Flags>) -> Vec<String> {
    let mut lines = Vec::new();
    for (side, delta) in set.iter().filter(|(_, delta)| !delta.is_empty()) {
        let signed = |sign: &str, flags: &Flags| match flags.is_empty() {
            true => String::new(),
            false => format!(" {sign}{}", show_flags(flags).trim_start_matches('+')),
        };
        lines.push(format!("set {key} on {side}{}{}", signed("+", &delta.add), signed("-", &delta.remove)));
    }
    let (local, remote) = (show_flags(&base.local), show_flags(&base.remote));
    lines.push(if local == remote { format!("base {key}:{local}") } else { format!("base {key} {local}|{remote}") });
    lines
}

use Side::{Local, Remote};

#[test]
fn what_is_new_on_one_side_is_copied_with_its_flags() {
    row().fresh(Local, "a:S+todo").is(&["copy a:S+todo to remote"]);
    row().fresh(Remote, "a").fresh(Local, "b:F").is(&["copy a: to local", "copy b:F to remote"]);
}

#[test]
fn the_same_message_new_on_both_sides_is_bound_and_not_copied() {
    row().bound(None, "a", "a").is(&["bind a", "base a:"]);
    row().bound(None, "a:S", "a:F+todo").is(&[
        "bind a",
        "set a on local +F+todo",
        "set a on remote +S",
        "base a:FS+todo",
    ]);
}

#[test]
fn a_bound_message_whose_base_is_known_keeps_removals() {
    row().bound(Some("a:SF"), "a:S", "a:SF").is(&["bind a", "set a on remote -F", "base a:S"]);
    row().bound(Some("a:S"), "a", "a:SF").is(&["bind a", "set a on local +F", "set a on remote -S", "base a:F"]);
}

#[test]
fn a_changed_flag_is_set_on_the_other_side() {
    row().known("a", "a:S", "a").is(&["set a on remote +S", "base a:S"]);
    row().known("a:S", "a", "a:S").is(&["set a on remote -S", "base a:"]);
    row().known("a:S", "a:F", "a:S").is(&["set a on remote +F -S", "base a:F"]);
    row().known("a", "a:+todo", "a").is(&["set a on remote +todo", "base a:+todo"]);
}

#[test]
fn flags_are_merged_one_by_one() {
    row().known("a:S", "a:SF", "a:R").is(&["set a on local +R -S", "set a on remote +F", "base a:FR"]);
    row().known("a:S+x", "a:S", "a:ST+x").is(&["set a on local +T", "set a on remote -x", "base a:ST"]);
}

#[test]
fn what_both_sides_changed_alike_needs_nothing() {
    row().known("a", "a:S", "a:S").is(&["base a:S"]);
    row().known("a:S", "a", "a").is(&["base a:"]);
}

#[test]
fn what_nobody_changed_is_no_work() {
    row().known("a:S", "a:S", "a:S").is(&[]);
    row().known("a:S+todo|a:S", "a:S+todo", "a:S").is(&[]);
    row().is(&[]);
}

#[test]
fn deletion_wins_over_a_flag_change_on_the_other_side() {
    row().known("a:S", "-", "a:S").is(&["delete a on remote"]);
    row().known("a:S", "-", "a:SF").is(&["delete a on remote"]);
}

#[test]
fn what_is_gone_on_both_sides_is_forgotten() {
    row().known("a", "-", "-").known("b", "-", "-").is(&["forget 0", "forget 1"]);
    row().known("a", "-", "-").read_only(Local).read_only(Remote).is(&["forget 0"]);
}

#[test]
fn a_keyword_that_a_side_cannot_hold_stays_where_it_is() {
    row().holds(Remote, "DFPRST").known("a", "a:S+todo", "a").is(&["set a on remote +S", "base a S+todo|S"]);
    row().holds(Remote, "S").fresh(Local, "a:FS+todo").is(&["copy a:FS+todo to remote as :S"]);
    row().holds(Remote, "S").bound(None, "a:F", "a:S").is(&["bind a", "set a on local +S", "base a FS|S"]);
}

#[test]
fn a_keyword_that_a_side_never_held_is_not_taken_for_removed_there() {
    row().holds(Remote, "DFPRST").known("a:+todo|a", "a:F+todo", "a").is(&["set a on remote +F", "base a F+todo|F"]);
    row().holds(Remote, "DFPRST").known("a:+todo|a", "a", "a").is(&["base a:"]);
    // It can be held by now, and the side that has it changes something else: nothing is made of it.
    row().known("a:+todo|a", "a:S+todo", "a").is(&["set a on remote +S", "base a S+todo|S"]);
}

#[test]
fn where_the_bases_differ_and_both_sides_change_a_flag_it_is_set() {
    row().known("a:+todo|a", "a", "a:+todo").is(&["set a on local +todo", "base a:+todo"]);
}

#[test]
fn keywords_take_up_the_room_that_is_left() {
    row().room_for(Remote, 1).fresh(Local, "a:+x").fresh(Local, "b:+y").fresh(Local, "c:+x").is(&[
        "copy a:+x to remote",
        "copy b:+y to remote as :",
        "copy c:+x to remote",
    ]);
    row().room_for(Remote, 1).known("a", "a:+x+y", "a").is(&["set a on remote +x", "base a +x+y|+x"]);
    row().room_for(Remote, 0).known("a", "a:+x", "a").is(&["base a +x|"]);
}

#[test]
fn a_side_that_may_not_be_changed_is_left_alone() {
    row().read_only(Remote).fresh(Local, "a").is(&["hold 1 Copies on remote : ReadOnly"]);
    row().read_only(Remote).known("a", "-", "a").known("b", "-", "b").is(&["hold 2 Deletions on remote : ReadOnly"]);
    row().read_only(Remote).fresh(Remote, "a:S").known("b", "b", "-").is(&["copy a:S to local", "delete b on local"]);
    let held = "hold 1 FlagChanges on remote : ReadOnly";
    row().read_only(Remote).known("a", "a:F", "a:S").is(&["set a on local +S", "base a:S", held]);
    row().read_only(Remote).bound(None, "a:F", "a:S").is(&["bind a", "set a on local +S", "base a:S", held]);
}

#[test]
fn where_the_user_lets_nothing_be_changed_that_is_the_reason() {
    row().one_way_from(Remote).fresh(Local, "a").is(&["hold 1 Copies on remote : OneWay"]);
    row().one_way_from(Remote).known("a", "-", "a").is(&["hold 1 Deletions on remote : OneWay"]);
    row().one_way_from(Remote).read_only(Remote).known("a", "a:F", "a").is(&["hold 1 FlagChanges on remote : OneWay"]);
    row().one_way_from(Remote).known("a", "a", "a:F").is(&["set a on local +F", "base a:F"]);
}

#[test]
fn a_held_flag_change_does_not_turn_into_another_one_later() {
    // Flagged here, where only the other side counts: it waits. Then flagged there too, and later not any more.
    row().read_only(Remote).known("a", "a:F", "a").is(&["hold 1 FlagChanges on remote : ReadOnly"]);
    row().read_only(Remote).known("a", "a:F", "a:F").is(&["base a:F"]);
    row().read_only(Remote).known("a:F|a", "a:F", "a:F").is(&["base a:F"]);
    row().read_only(Remote).known("a:F", "a:F", "a").is(&["set a on local -F", "base a:"]);
}

#[test]
fn each_kind_of_change_has_a_permission_of_its_own() {
    let mut only_copies = row().fresh(Local, "a").known("b", "b:S", "b").known("c", "-", "c");
    only_copies.input.policy.flags.remote = false;
    only_copies.input.policy.delete.remote = false;
    only_copies.is(&[
        "copy a: to remote",
        "hold 1 FlagChanges on remote : OneWay",
        "hold 1 Deletions on remote : OneWay",
    ]);
    let mut only_flags = row().fresh(Local, "a").known("b", "b:S", "b").known("c", "-", "c");
    only_flags.input.policy.copy.remote = false;
    only_flags.is(&["set b on remote +S", "base b:S", "delete c on remote", "hold 1 Copies on remote : OneWay"]);
}

/// A plan that deletes `count` of `known` messages on the remote side, after the guard has seen it.
fn guarded(count: usize, facts: Facts) -> Vec<String> {
    let plan = |on: Side| {
        let names = (0..count).map(|number| format!("m{number}"));
        let rows = names.fold(row().fresh(on.other(), "new"), |row, name| match on {
            Remote => row.known(&name, "-", &name),
            Local => row.known(&name, &name, "-"),
        });
        reconcile(rows.input)
    };
    let digest = |plan: Plan| {
        let deletions = plan.ops.iter().filter(|op| matches!(op, Op::Delete { .. })).count();
        let others = plan.ops.len() - deletions;
        let held: Vec<String> = plan.held.iter().map(show_held).collect();
        let counts = [(deletions, "deletions"), (others, "others")];
        let counts = counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}"));
        counts.chain(held).collect::<Vec<_>>()
    };
    let swapped = Facts {
        doubt: facts.doubt.clone().swap(),
        blind: facts.blind.swap(),
        held: facts.held.swap(),
        ..facts.clone()
    };
    let found = digest(guard(plan(Remote), &facts));
    let exchanged: Vec<String> = digest(guard(plan(Local), &swapped)).iter().map(|line| swap_words(line)).collect();
    assert_eq!(found, exchanged, "with the sides exchanged");
    found
}

fn facts(known: usize) -> Facts {
    Facts {
        known,
        role: None,
        limits: Limits::default(),
        doubt: Sides::default(),
        blind: Sides::default(),
        held: Sides::default(),
        allow_delete: false,
    }
}

#[test]
fn a_plan_that_deletes_a_whole_folder_or_most_of_a_large_one_is_held() {
    assert_eq!(guarded(19, facts(19)), ["19 deletions", "1 others"]);
    assert_eq!(guarded(19, facts(20)), ["19 deletions", "1 others"]);
    assert_eq!(guarded(20, facts(20)), ["1 others", "hold 20 Deletions on remote : TooMany { of: 20 }"]);
    assert_eq!(guarded(100, facts(150)), ["100 deletions", "1 others"]);
    assert_eq!(guarded(101, facts(202)), ["101 deletions", "1 others"]);
    assert_eq!(guarded(101, facts(201)), ["1 others", "hold 101 Deletions on remote : TooMany { of: 201 }"]);
}

#[test]
fn a_person_may_let_it_through_and_trash_may_be_emptied() {
    assert_eq!(guarded(20, Facts { allow_delete: true, ..facts(20) }), ["20 deletions", "1 others"]);
    for role in [Role::Trash, Role::Junk] {
        assert_eq!(guarded(20, Facts { role: Some(role), ..facts(20) }), ["20 deletions", "1 others"]);
    }
}

#[test]
fn an_emptied_side_deletes_nothing_unless_a_person_says_so() {
    let doubt = Sides::new(Some(Reason::Emptied), None);
    let emptied = Facts { doubt, role: Some(Role::Trash), ..facts(3) };
    assert_eq!(guarded(1, emptied.clone()), ["1 others", "hold 1 Deletions on remote : Emptied"]);
    assert_eq!(guarded(1, Facts { allow_delete: true, ..emptied }), ["1 deletions", "1 others"]);
}

#[test]
fn an_incomplete_listing_deletes_nothing_whoever_says_so() {
    let doubt = Sides::new(Some(Reason::Incomplete), None);
    let cut = Facts { doubt, allow_delete: true, ..facts(3) };
    assert_eq!(guarded(1, cut), ["1 others", "hold 1 Deletions on remote : Incomplete"]);
    let harmless = Facts { doubt: Sides::new(None, Some(Reason::Incomplete)), ..facts(3) };
    assert_eq!(guarded(1, harmless), ["1 deletions", "1 others"]);
}

#[test]
fn nothing_is_copied_to_a_side_that_was_never_seen_whole() {
    let blind = Facts { blind: Sides::new(false, true), ..facts(3) };
    assert_eq!(guarded(0, blind), ["hold 1 Copies on remote : Incomplete"]);
    assert_eq!(guarded(0, Facts { blind: Sides::new(true, false), ..facts(3) }), ["1 others"]);
}
