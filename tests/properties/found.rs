//! Histories that once ended badly, shrunk.

use super::acts::*;
use super::*;

fn meanwhile(act: Act) -> During {
    Meanwhile(Box::new(act))
}

/// A server without any extension.
const PLAIN: Nature =
    Nature { names: false, condstore: false, tell_keys: false, email_ids: false, list_cursors: false, space: "" };

fn plain(history: Vec<Act>) -> Case {
    Case { natures: Sides { local: PLAIN, remote: PLAIN }, way: Both, history }
}

/// Deleted before its copy was noted: it came back.
#[test]
fn seed_559072425427() {
    all_of_it_at_once_is_no_harm(&plain(vec![
        Troubled {
            during: vec![
                (4, Fail { reach: Reach::Account, kind: Kind::Refused }),
                (0, meanwhile(Put { on: Remote, into: 1, mail: 0, flags: 0 })),
            ],
        },
        StateFails { at: 9 },
        Delete { on: Remote, message: 0 },
        Save { on: Remote, message: 0, into: 0 },
    ]));
}

/// Moved again before its move was noted: it became two.
#[test]
fn seed_565468408613() {
    failures_are_overcome(&plain(vec![
        Put { on: Local, into: 0, mail: 0, flags: 0 },
        Blind { on: Local, folder: 1 },
        Move { on: Local, message: 0, into: 2 },
        Sync,
        Move { on: Remote, message: 0, into: 1 },
        StateFails { at: 1 },
        Move { on: Remote, message: 0, into: 2 },
    ]));
}

/// Deletions and flags may not be carried over; after a new UIDVALIDITY the flags were those of long ago.
#[test]
fn seed_623858450414() {
    let local = Nature { condstore: true, ..PLAIN };
    let (copies, nothing) = (Sides::new(true, true), Sides::new(false, false));
    whatever_is_allowed_nothing_else_is_done(&Case {
        natures: Sides { local, remote: Nature { list_cursors: true, ..local } },
        way: Mixed { copy: copies, flags: nothing, delete: nothing, create: Sides::new(true, false) },
        history: vec![
            Put { on: Remote, into: 2, mail: 0, flags: 2 },
            Sync,
            Reflag { on: Remote, message: 0, flags: 0 },
            Delete { on: Local, message: 0 },
            Sync,
            NewValidity { on: Local, folder: 2 },
        ],
    });
}

/// Equal messages moved and copied at once to a server that tells no UIDs: one whose content was never read was not found.
#[test]
fn seed_1002456() {
    exchanged_sides_end_alike(&Case {
        natures: Sides { local: Nature { email_ids: true, ..PLAIN }, remote: PLAIN },
        way: Both,
        history: vec![
            Put { on: Local, into: 1, mail: 10, flags: 0 },
            Sync,
            Put { on: Local, into: 0, mail: 0, flags: 0 },
            Move { on: Remote, message: 0, into: 2 },
            Put { on: Remote, into: 2, mail: 1, flags: 0 },
            Put { on: Remote, into: 1, mail: 11, flags: 0 },
            Put { on: Remote, into: 2, mail: 1, flags: 0 },
            Save { on: Remote, message: 13, into: 0 },
            Copy { on: Remote, message: 1, into: 2 },
            Sync,
            Move { on: Local, message: 20, into: 2 },
            Move { on: Local, message: 5, into: 0 },
            Move { on: Local, message: 81, into: 0 },
        ],
    });
}

/// Twice a copy was deleted before it was noted: each time it came back.
#[test]
fn deleted_twice_before_it_was_noted() {
    let local = Nature { names: true, condstore: true, tell_keys: true, list_cursors: true, space: "DFPRST", ..PLAIN };
    let failing = || Troubled { during: vec![(43, Fail { reach: Reach::Account, kind: Kind::Later })] };
    failures_are_overcome(&Case {
        natures: Sides { local, remote: PLAIN },
        way: Both,
        history: vec![
            Put { on: Local, into: 0, mail: 8, flags: 1 },
            failing(),
            Put { on: Local, into: 3, mail: 7, flags: 1 },
            Delete { on: Remote, message: 43 },
            failing(),
            Delete { on: Remote, message: 43 },
        ],
    });
}

/// A move that the other side refused became a deletion in the one folder and a copy in the other that failed; then it was moved back.
#[test]
fn seed_1007642() {
    let maildir = Nature { names: true, ..PLAIN };
    failures_are_overcome(&Case {
        natures: Sides { local: maildir, remote: maildir },
        way: Both,
        history: vec![
            Put { on: Local, into: 3, mail: 1, flags: 0 },
            Sync,
            Put { on: Remote, into: 2, mail: 0, flags: 0 },
            Move { on: Remote, message: 31, into: 0 },
            Troubled {
                during: vec![
                    (58, FailOn { reach: Reach::Account, kind: Kind::Refused }),
                    (38, Fail { reach: Reach::Message, kind: Kind::Refused }),
                ],
            },
            Move { on: Remote, message: 2, into: 3 },
            Put { on: Local, into: 0, mail: 2, flags: 0 },
            Put { on: Local, into: 0, mail: 2, flags: 0 },
        ],
    });
}

/// An older state does not know a file's new name; an equal message on the other side took it, and its own was deleted.
#[test]
fn seed_50022229() {
    disasters_lose_and_double_nothing(&Case {
        natures: Sides { local: PLAIN, remote: Nature { names: true, ..PLAIN } },
        way: Both,
        history: vec![
            Put { on: Local, into: 2, mail: 6, flags: 0 },
            Sync,
            Rekey { on: Remote, message: 0 },
            Sync,
            Sync,
            OlderState { which: 9 },
            Put { on: Local, into: 2, mail: 6, flags: 0 },
            Put { on: Local, into: 0, mail: 0, flags: 0 },
        ],
    });
}

/// One of two equal messages waited to be copied, and was found to be the other one, which had been moved: it has other
/// flags.
#[test]
fn seed_50004250() {
    let refused = |at| (at, Fail { reach: Reach::Message, kind: Kind::Refused });
    failures_are_overcome(&Case {
        natures: Sides { local: PLAIN, remote: Nature { condstore: true, ..PLAIN } },
        way: Both,
        history: vec![
            Put { on: Remote, into: 1, mail: 8, flags: 0 },
            Put { on: Local, into: 0, mail: 0, flags: 0 },
            Put { on: Remote, into: 0, mail: 8, flags: 1 },
            Troubled { during: vec![(37, Fail { reach: Reach::Account, kind: Kind::Refused })] },
            Save { on: Remote, message: 44, into: 1 },
            Troubled { during: vec![refused(29), refused(34)] },
            Put { on: Local, into: 0, mail: 0, flags: 0 },
            Troubled { during: vec![(0, meanwhile(Put { on: Local, into: 0, mail: 0, flags: 0 }))] },
        ],
    });
}

/// A file was moved away and back while a run took it away on the other side: the next one finds it, an older state doesn't.
#[test]
fn seed_50025621() {
    let local = Nature { names: true, ..PLAIN };
    all_of_it_at_once_is_no_harm(&Case {
        natures: Sides { local, remote: PLAIN },
        way: Both,
        history: vec![
            Troubled { during: vec![(0, meanwhile(Put { on: Local, into: 1, mail: 0, flags: 0 }))] },
            Put { on: Local, into: 2, mail: 0, flags: 0 },
            Sync,
            Troubled { during: vec![(0, meanwhile(Put { on: Local, into: 0, mail: 0, flags: 0 }))] },
            Delete { on: Local, message: 15 },
            Move { on: Local, message: 32, into: 3 },
            Troubled {
                during: vec![
                    (25, meanwhile(Move { on: Local, message: 68, into: 2 })),
                    (0, meanwhile(Put { on: Local, into: 0, mail: 0, flags: 0 })),
                ],
            },
            OlderState { which: 0 },
        ],
    });
}

/// A copy of which nobody knew where it was, under new numbers, was not listed on the side that it came from: it became two.
#[test]
fn unlisted_while_the_other_side_is_paired_anew() {
    let put = Put { on: Remote, into: 2, mail: 2, flags: 1 };
    let blind = |on| Blind { on, folder: 2 };
    let renumber = NewValidity { on: Local, folder: 2 };
    two_way(&plain(vec![MakeFolder { on: Local, folder: 2 }, Sync, put, blind(Local), renumber, blind(Remote)]));
}

/// A copy that was not to be seen yet was forgotten when its source went elsewhere: it came back as a second one.
#[test]
fn seed_70001864() {
    let blind = || Blind { on: Local, folder: 2 };
    failures_are_overcome(&plain(vec![
        Put { on: Remote, into: 2, mail: 0, flags: 0 },
        Troubled { during: vec![(5, Fail { reach: Reach::Message, kind: Kind::Refused })] },
        blind(),
        Move { on: Remote, message: 0, into: 0 },
        blind(),
        Put { on: Local, into: 0, mail: 1, flags: 0 },
    ]));
}

/// A file was moved back while a run took it away on the other side, and its folder was not listed whole after that.
#[test]
fn seed_70006745() {
    let refused = |at| (at, Fail { reach: Reach::Message, kind: Kind::Refused });
    let there = |at, message, into| (at, meanwhile(Move { on: Local, message, into }));
    let maildir = Nature { names: true, ..PLAIN };
    failures_are_overcome(&Case {
        natures: Sides { local: maildir, remote: maildir },
        way: Both,
        history: vec![
            Put { on: Local, into: 2, mail: 10, flags: 0 },
            Put { on: Local, into: 2, mail: 0, flags: 0 },
            Put { on: Local, into: 2, mail: 0, flags: 0 },
            Troubled { during: vec![there(50, 3, 1), refused(10)] },
            Put { on: Remote, into: 3, mail: 0, flags: 0 },
            Troubled { during: vec![refused(55), there(31, 29, 2), refused(17)] },
            Blind { on: Local, folder: 2 },
        ],
    });
}

/// Equal messages were moved into one folder from two others: each was looked for where the other one was.
#[test]
fn seed_70017886() {
    let put = |on, into, mail| Put { on, into, mail, flags: 0 };
    let troubled = |at, act| Troubled { during: vec![(at, meanwhile(act))] };
    let local = Nature { names: true, condstore: true, list_cursors: true, ..PLAIN };
    other_writers_during_a_run_are_no_harm(&Case {
        natures: Sides { local, remote: Nature { email_ids: true, ..PLAIN } },
        way: Both,
        history: vec![
            troubled(0, put(Local, 1, 8)),
            Move { on: Remote, message: 0, into: 3 },
            troubled(0, put(Remote, 3, 3)),
            put(Local, 1, 3),
            put(Local, 2, 0),
            troubled(0, put(Local, 0, 0)),
            Sync,
            put(Remote, 0, 0),
            troubled(1, Move { on: Local, message: 64, into: 2 }),
            Delete { on: Local, message: 48 },
            Delete { on: Local, message: 35 },
            Save { on: Local, message: 14, into: 2 },
        ],
    });
}

/// Moved into a folder that was synced in slices: the copy was made anew, and a dry run had said otherwise.
#[test]
fn moved_into_a_folder_that_is_large() {
    let nature = Nature { names: true, list_cursors: true, ..PLAIN };
    whatever_happens_nothing_is_lost_or_doubled(&Case {
        natures: Sides { local: nature, remote: nature },
        way: Both,
        history: vec![
            Put { on: Local, into: 0, mail: 0, flags: 0 },
            Sync,
            Move { on: Local, message: 0, into: 3 },
            Put { on: Local, into: 0, mail: 0, flags: 0 },
            Put { on: Remote, into: 2, mail: 0, flags: 0 },
            Move { on: Local, message: 44, into: 2 },
            Sync,
        ],
    });
}

/// Deleted before its copy was noted, which then was not listed: it came back.
#[test]
fn deleted_before_its_copy_was_seen() {
    let local = Nature { names: true, condstore: true, tell_keys: true, list_cursors: true, ..PLAIN };
    two_way(&Case {
        natures: Sides { local, remote: PLAIN },
        way: Both,
        history: vec![
            Put { on: Local, into: 0, mail: 0, flags: 0 },
            Troubled { during: vec![(44, Killed)] },
            Delete { on: Local, message: 16 },
            Blind { on: Remote, folder: 0 },
        ],
    });
}

/// The same, and the run that found its copy was killed: it stayed on one side, and that was taken for in step.
#[test]
fn deleted_before_its_copy_was_seen_by_a_run_that_was_killed() {
    let killed = |at| Troubled { during: vec![(at, Killed)] };
    let local = Nature { names: true, condstore: true, ..PLAIN };
    two_way(&Case {
        natures: Sides { local, remote: PLAIN },
        way: Both,
        history: vec![
            Put { on: Local, into: 0, mail: 0, flags: 0 },
            killed(44),
            Delete { on: Local, message: 240 },
            Blind { on: Remote, folder: 0 },
            killed(17),
        ],
    });
}
