//! Looking at messages: changes, downloads, identities.

use crate::harness::*;
use mailsync::mail::Key;
use mailsync::store::imap::ImapOpener;
use mailsync::store::{Access, Depth, Kind, Reach, Stop, Store, StoreError};
use std::collections::BTreeMap;

fn script(capabilities: &str, exists: u32, more: &str, steps: &str) -> crate::support::Script {
    play(capabilities, &(select(exists, more) + steps))
}

const MODSEQ: &str = "S: * OK [HIGHESTMODSEQ 50] ok";

#[test]
fn a_listing_that_is_shorter_than_the_count_proves_no_deletion() {
    let once = "C: T UID FETCH 1:* (UID FLAGS)
        S: * 1 FETCH (FLAGS () UID 1)
        S: T OK done\n";
    let steps = once.to_owned() + &select(3, "") + once;
    let script = script("", 3, "", &steps);
    let changes = look(&script, None, &Remembered::plain(&[1, 2, 3]));
    assert!(!changes.complete && changes.vanished.is_empty() && changes.notes.len() == 1, "{changes:?}");
    script.finish();
}

#[test]
fn what_is_missing_is_asked_for_again_before_it_counts_as_gone() {
    let steps = "C: T UID FETCH 1:* (UID FLAGS)
        S: * 1 FETCH (UID 4000000000 FLAGS (\\Seen) )
        S: * 2 FETCH (FLAGS (\\Recent) UID 3)
        S: T OK done
        C: T UID FETCH 2 (UID)
        S: T OK done";
    let script = script("", 2, "", steps);
    let changes = look(&script, None, &Remembered::plain(&[2, 3]));
    assert!(changes.complete);
    assert_eq!(changes.vanished, uids(&[2]));
    assert_eq!((changes.appeared[0].key.clone(), changes.appeared[0].size), (Key::Uid(4_000_000_000), None));
    assert_eq!((changes.appeared[0].flags.clone(), changes.reflagged.len()), (flags("\\Seen"), 0));
    script.finish();
}

#[test]
fn what_comes_back_when_asked_again_is_not_gone() {
    let once = "C: T UID FETCH 1:* (UID FLAGS)
        S: * 1 FETCH (UID 3 FLAGS ())
        S: T OK done
        C: T UID FETCH 2 (UID)
        S: * 1 FETCH (UID 2)
        S: T OK done\n";
    let script = script("", 1, "", &(once.to_owned() + &select(1, "") + once));
    let changes = look(&script, None, &Remembered::plain(&[2, 3]));
    assert!(!changes.complete && changes.vanished.is_empty());
    script.finish();
}

#[test]
fn a_bogus_vanished_is_not_believed() {
    let setup = "C: T ENABLE QRESYNC\nS: * ENABLED QRESYNC\nS: T OK done\n";
    let steps = setup.to_owned()
        + &select(2, MODSEQ)
        + "C: T UID FETCH 1:* (UID FLAGS) (CHANGEDSINCE 40 VANISHED)
           S: * VANISHED (EARLIER) 1:99
           S: T OK done
           C: T UID SEARCH ALL
           S: * SEARCH 2 1 1
           S: T OK done";
    let script = play("ENABLE QRESYNC CONDSTORE", &steps);
    let changes = look(&script, Some(&cursor(100, 40, 2)), &Remembered::plain(&[1, 2]));
    assert!(changes.complete && changes.vanished.is_empty());
    script.finish();
}

#[test]
fn a_true_vanished_is_believed_after_a_second_look() {
    let setup = "C: T ENABLE QRESYNC\nS: * ENABLED QRESYNC\nS: T OK done\n";
    // What tells new messages apart comes along with that look: they may be those that vanished, under new numbers.
    let steps = setup.to_owned()
        + &select(2, MODSEQ)
        + "C: T UID FETCH 1:* (UID FLAGS) (CHANGEDSINCE 40 VANISHED)
           S: * VANISHED (EARLIER) 1,50:60
           S: * 1 FETCH (UID 2 FLAGS (\\Seen) MODSEQ (45))
           S: * 2 FETCH (UID 9 FLAGS () MODSEQ (46))
           S: * 3 FETCH (UID 10 FLAGS () MODSEQ (46))
           S: T OK done
           C: T UID FETCH 1 (UID)
           C: * UID FETCH 9:10 (UID RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])
           S: m4 OK done
           S: * 2 FETCH (UID 9 RFC822.SIZE 70)
           S: m5 NO [UNAVAILABLE] Server error
           C: T UID FETCH 10 (UID RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])
           S: * 3 FETCH (UID 10 RFC822.SIZE 80)
           S: T OK done";
    let script = play("ENABLE QRESYNC CONDSTORE", &steps.replace("S: * 2 EXISTS", "S: * 3 EXISTS"));
    let mut store = connect(&script);
    let mut folder = inbox(&mut store);
    let changes = folder.changes(Some(&cursor(100, 40, 2)), &Remembered::plain(&[1, 2])).expect("looked");
    assert_eq!(changes.vanished, uids(&[1]));
    assert_eq!(changes.reflagged, [(Key::Uid(2), flags("\\Seen"))]);
    assert_eq!(changes.appeared.len(), 2);
    assert_eq!(changes.cursor, cursor(100, 50, 3));
    // Only what did not come is asked for again.
    let found = folder.identify(&uids(&[9, 10]), Depth::Header).expect("identified");
    let sizes: BTreeMap<Key, _> = found.known.into_iter().map(|(key, identity)| (key, identity.size)).collect();
    assert_eq!(sizes, BTreeMap::from([(Key::Uid(9), Some(70)), (Key::Uid(10), Some(80))]));
    drop(folder);
    drop(store);
    script.finish();
}

/// The look at a mailbox that lost the message 1 and got 100 and 101: how those two come along with the second look, what
/// comes when they are fetched, and whether they are new there.
fn bring(arrival: &str, rest: &str) -> Basket {
    let setup = "C: T ENABLE QRESYNC\nS: * ENABLED QRESYNC\nS: T OK done\n";
    let opening = select(3, MODSEQ).replace("UIDNEXT 100", "UIDNEXT 102").replace("S: T OK [READ-WRITE] done\n", "");
    let question = "C: m3 UID FETCH 1:* (UID FLAGS) (CHANGEDSINCE 40 VANISHED)
        C: m4 UID FETCH 100:101 (UID RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])
        S: m2 OK [READ-WRITE] done
        S: * VANISHED (EARLIER) 1
        S: * 2 FETCH (UID 100 FLAGS () MODSEQ (46))
        S: * 3 FETCH (UID 101 FLAGS () MODSEQ (46))
        S: m3 OK done
        S: * 2 FETCH (UID 100 RFC822.SIZE 3)
        S: * 3 FETCH (UID 101 RFC822.SIZE 3)
        S: m4 OK done
        C: m5 UID FETCH 1 (UID)
        C: m6 UID FETCH 100:101 (UID FLAGS INTERNALDATE BODY.PEEK[])
        S: m5 OK done\n";
    let script = play("ENABLE QRESYNC CONDSTORE", &[setup, &opening, question, arrival, rest].join("\n"));
    let mut store = connect(&script);
    let (since, seen) = (cursor(100, 40, 2), cursor(102, 50, 3));
    let look = Some((Some(&since), Some(&seen)));
    store.begin_to_open(b"INBOX", Access::Write, look);
    let mut folder = store.open_to_look(b"INBOX", Access::Write, Some(&since), Some(&seen)).expect("opened");
    folder.want_new();
    let changes = folder.changes(Some(&since), &Remembered::plain(&[1, 2])).expect("looked");
    assert_eq!((changes.vanished, changes.appeared.len()), (uids(&[1]), 2));
    drop(folder);
    let mut basket = Basket::default();
    let mut folder = store.open(b"INBOX", Access::Write, Some(7)).expect("opened");
    // What they are was told as well.
    assert_eq!(folder.identify(&uids(&[100, 101]), Depth::Header).expect("identified").known.len(), 2);
    folder.fetch(&uids(&[100, 101]), &mut basket).expect("fetched");
    drop(folder);
    drop(store);
    script.finish();
    basket
}

const BOTH: &str = "S: * 2 FETCH (UID 100 FLAGS () INTERNALDATE \"01-Feb-2020 01:02:03 +0000\" BODY[] {3}
    R: a\\r\\n)\\r\\n
    S: * 3 FETCH (UID 101 FLAGS () INTERNALDATE \"01-Feb-2020 01:02:03 +0000\" BODY[] {3}
    R: b\\r\\n)\\r\\n
    S: m6 OK done";

fn two(first: &[u8], second: &[u8]) -> BTreeMap<Key, Vec<u8>> {
    [(Key::Uid(100), first.to_vec()), (Key::Uid(101), second.to_vec())].into()
}

#[test]
fn a_few_new_messages_come_along_with_the_second_look() {
    assert_eq!(bring(BOTH, "").got, two(b"a\n", b"b\n"));
}

#[test]
fn what_does_not_come_along_whole_is_fetched_when_it_is_wanted() {
    let fetch = "C: T UID FETCH 100:101 (UID FLAGS INTERNALDATE BODY.PEEK[])\n".to_owned() + &BOTH.replace("m6", "T");
    let one = "C: T UID FETCH 101 (UID FLAGS INTERNALDATE BODY.PEEK[])
        S: * 3 FETCH (UID 101 FLAGS () INTERNALDATE \"01-Feb-2020 01:02:03 +0000\" BODY[] {3}
        R: b\\r\\n)\\r\\n
        S: T OK done";
    let first = BOTH.split_once("S: * 3").expect("the second").0;
    let refused = "S: m6 NO [UNAVAILABLE] Server error";
    assert_eq!(bring(refused, &fetch).got, two(b"a\n", b"b\n"), "nothing of it");
    assert_eq!(bring(&format!("{first}\n{refused}"), one).got, two(b"a\n", b"b\n"), "half of it");
    // Whose content would that be, and which of the two?
    let apart = "S: * 2 FETCH (BODY[] {3}
        R: x\\r\\n)\\r\\n
        S: * 2 FETCH (UID 100 FLAGS () INTERNALDATE \"01-Feb-2020 01:02:03 +0000\")
        S: * 3 FETCH (UID 101 FLAGS () INTERNALDATE \"01-Feb-2020 01:02:03 +0000\" BODY[] {3}
        R: x\\r\\n BODY[] {3}\\r\\ny\\r\\n)\\r\\n
        S: m6 OK done";
    assert_eq!(bring(apart, &fetch).got, two(b"a\n", b"b\n"), "in pieces, and twice");
    let nil = "S: * 2 FETCH (UID 100 FLAGS () INTERNALDATE \"01-Feb-2020 01:02:03 +0000\" BODY[] NIL)
        S: m6 OK done";
    assert_eq!(bring(nil, &fetch).got, two(b"a\n", b"b\n"), "no content");
}

#[test]
fn qresync_that_was_not_enabled_is_not_used() {
    let setup = "C: T ENABLE QRESYNC\nS: T OK done\n";
    let steps = setup.to_owned()
        + &select(1, MODSEQ)
        + "C: T UID FETCH 1:* (UID FLAGS) (CHANGEDSINCE 40)
           S: T OK done
           C: T UID SEARCH RETURN (ALL) ALL
           S: * ESEARCH (TAG \"m4\") UID ALL 2
           S: T OK done
           C: T UID FETCH 1 (UID)
           S: T OK done";
    let script = play("ENABLE QRESYNC CONDSTORE ESEARCH", &steps);
    let changes = look(&script, Some(&cursor(100, 40, 2)), &Remembered::plain(&[1, 2]));
    assert_eq!(changes.vanished, uids(&[1]));
    script.finish();
}

#[test]
fn an_equal_cursor_needs_no_further_question() {
    let script = script("CONDSTORE", 2, MODSEQ, "EOF");
    let changes = look(&script, Some(&cursor(100, 50, 2)), &Remembered::plain(&[1, 2]));
    assert!(changes.appeared.is_empty() && changes.vanished.is_empty() && changes.complete);
    script.finish();
}

#[test]
fn a_modseq_that_went_back_leads_to_a_full_listing() {
    let steps = "C: T UID FETCH 1:* (UID FLAGS)\nS: * 1 FETCH (UID 1 FLAGS ())\nS: T OK done";
    let script = script("CONDSTORE", 1, MODSEQ, steps);
    assert!(look(&script, Some(&cursor(100, 60, 1)), &Remembered::plain(&[1])).complete);
    script.finish();
}

#[test]
fn without_uidvalidity_nothing_counts_as_gone() {
    let select = select(1, "").replace("[UIDVALIDITY 7]", "[UIDVALIDITY 0]").replace("[UIDNEXT 100]", "");
    let steps = "C: T UID FETCH 1:* (UID FLAGS)
        S: * 1 FETCH (UID 1 FLAGS ())
        S: T OK done
        C: T UID FETCH 2 (UID)
        S: T OK done";
    let script = play("", &(select + steps));
    let changes = look(&script, None, &Remembered::plain(&[1, 2]));
    assert!(!changes.complete && !changes.cursor.conclusive && changes.vanished.is_empty());
    assert_eq!(changes.notes.len(), 1, "{changes:?}");
}

#[test]
fn a_new_generation_lists_everything_anew() {
    let steps = "C: T UID FETCH 1:* (UID FLAGS RFC822.SIZE)
        S: * 1 FETCH (UID 1 FLAGS () RFC822.SIZE 5)
        S: T OK done";
    let script = script("", 1, "", steps);
    let since = mailsync::mail::Cursor { generation: 6, ..cursor(9, 0, 2) };
    let changes = look(&script, Some(&since), &Remembered::plain(&[1, 2]));
    assert!(changes.reset && changes.vanished.is_empty() && changes.appeared.len() == 1);
    script.finish();
}

#[test]
fn the_last_of_several_counts_stands_and_messages_may_go_meanwhile() {
    let steps = "C: T UID FETCH 1:* (UID FLAGS RFC822.SIZE)
        S: * OK Still here
        S: * 1 FETCH (UID 1 FLAGS () RFC822.SIZE 5)
        S: * 2 EXPUNGE
        S: * 1 FETCH (FLAGS (\\Seen) UID 1)
        S: T OK done";
    let script = script("", 1, "S: * 2 EXISTS", steps);
    let changes = look(&script, None, &Remembered::default());
    assert!(changes.complete);
    assert_eq!((changes.appeared.len(), changes.appeared[0].flags.clone()), (1, flags("\\Seen")));
    script.finish();
}

#[test]
fn the_newest_ten_thousand_are_a_window_and_not_a_deletion() {
    let mut steps = String::from("C: T UID FETCH 1:* (UID FLAGS)\n");
    (2..=10_001).for_each(|uid| steps += &format!("S: * {} FETCH (UID {uid} FLAGS ())\n", uid - 1));
    steps += "S: T OK done\n";
    let script = script("", 10_000, "", &(steps.clone() + &select(10_000, "") + &steps));
    let known: Vec<u32> = (1..=10_000).collect();
    let changes = look(&script, None, &Remembered::plain(&known));
    assert!(!changes.complete && changes.vanished.is_empty());
    script.finish();
}

const ITEMS: &str = "(UID FLAGS INTERNALDATE BODY.PEEK[])";

#[test]
fn a_message_may_come_in_two_lines_with_its_uid_last() {
    let steps = format!(
        "C: T UID FETCH 5:6 {ITEMS}
         S: * 2 FETCH (FLAGS (\\Seen) UID 6)
         R: * 1 FETCH (BODY[] {{7}}\\r\\na\\r\\nb\\rc\\n INTERNALDATE \" 1-Jan-2024 00:00:00 +0000\" FLAGS () UID 5)\\r\\n
         R: * 2 FETCH (UID 6 INTERNALDATE NIL BODY[] {{0}}\\r\\n)\\r\\n
         S: T OK done"
    );
    let script = script("", 2, "", &steps);
    let basket = fetch(&script, &[5, 6]);
    assert_eq!(basket.got[&Key::Uid(5)], b"a\nb\rc\n");
    assert_eq!(basket.got[&Key::Uid(6)], b"");
    script.finish();
}

#[test]
fn text_that_looks_like_responses_stays_text() {
    let steps = format!(
        "C: T UID FETCH 5 {ITEMS}
         R: * 1 FETCH (UID 5 BODY[] {{30}}\\r\\nm9 NO x\\r\\n* 1 EXPUNGE\\r\\n)\\r\\n{{5}}\\r\\n)\\r\\n
         S: T OK done"
    );
    let script = script("", 1, "", &steps);
    assert_eq!(fetch(&script, &[5]).got[&Key::Uid(5)], b"m9 NO x\n* 1 EXPUNGE\n)\n{5}\n");
    script.finish();
}

#[test]
fn sizes_that_lie_change_nothing() {
    let steps = format!(
        "C: T UID FETCH 5 {ITEMS}
         R: * 1 FETCH (UID 5 RFC822.SIZE -29 BODY[] \"abc\" FLAGS ())\\r\\n
         S: T OK done"
    );
    let script = script("", 1, "", &steps);
    assert_eq!(fetch(&script, &[5]).got[&Key::Uid(5)], b"abc");
    script.finish();
}

#[test]
fn a_message_that_does_not_come_is_a_problem_if_it_is_there_and_nothing_if_it_is_gone() {
    let steps = format!(
        "C: T UID FETCH 5:7 {ITEMS}
         R: * 1 FETCH (UID 5 FLAGS () BODY[] {{1}}\\r\\nx)\\r\\n
         S: T OK done
         C: T UID FETCH 6:7 (UID)
         S: * 2 FETCH (UID 6)
         S: T OK done
         C: T UID FETCH 6 {ITEMS}
         S: T OK done
         C: T UID FETCH 6 (UID)
         S: * 2 FETCH (UID 6)
         S: T OK done"
    );
    let script = script("", 2, "", &steps);
    let basket = fetch(&script, &[5, 6, 7]);
    assert_eq!(basket.got.len(), 1);
    assert_eq!(basket.failed.keys().collect::<Vec<_>>(), [&Key::Uid(6)]);
    assert_eq!(basket.failed[&Key::Uid(6)].reach, Reach::Message);
    script.finish();
}

#[test]
fn nil_for_a_body_is_a_problem() {
    let ask = format!("C: T UID FETCH 5 {ITEMS}\nS: * 1 FETCH (UID 5 FLAGS () BODY[] NIL)\nS: T OK done\n");
    let there = "C: T UID FETCH 5 (UID)\nS: * 1 FETCH (UID 5)\nS: T OK done\n";
    let script = script("", 1, "", &(ask.clone() + there + &ask + there));
    let basket = fetch(&script, &[5]);
    assert!(basket.failed[&Key::Uid(5)].cause.contains("NIL"));
    script.finish();
}

#[test]
fn a_batch_that_is_refused_is_halved_until_the_culprit_stands_alone() {
    let no = "S: T NO [UNAVAILABLE] try again later\n";
    let ask = |set: &str| format!("C: T UID FETCH {set} {ITEMS}\n");
    let mut steps = ask("1:4") + no;
    // Both halves are in flight at once.
    steps += &(ask("1:2") + "C: * UID FETCH 3:4 *\n");
    steps +=
        "R: * 1 FETCH (UID 1 FLAGS () BODY[] {1}\\r\\nx)\\r\\n* 2 FETCH (UID 2 FLAGS () BODY[] {1}\\r\\nx)\\r\\n\n";
    steps += "S: m3 OK done\nS: m4 NO [UNAVAILABLE] no\n";
    steps += &(ask("3") + "C: * UID FETCH 4 *\n");
    steps += "S: m5 NO [UNAVAILABLE] no\nR: * 4 FETCH (UID 4 FLAGS () BODY[] {1}\\r\\nx)\\r\\n\nS: m6 OK done\n";
    let there = "C: T UID FETCH 3 (UID)\nS: * 3 FETCH (UID 3)\nS: T OK done\n";
    steps += &(there.to_owned() + &ask("3") + no + there);
    let script = script("", 4, "", &steps);
    let basket = fetch(&script, &[1, 2, 3, 4]);
    assert_eq!(basket.got.len(), 3);
    assert_eq!(basket.failed.keys().collect::<Vec<_>>(), [&Key::Uid(3)]);
    script.finish();
}

#[test]
fn a_server_that_asks_for_a_pause_is_asked_no_more() {
    let error = fetch_error("S: T NO [OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)\nEOF");
    assert_eq!((error.kind, error.reach), (Kind::Later, Reach::Account), "{error}");
}

#[test]
fn a_message_whose_header_is_refused_has_no_identity_and_hides_no_other() {
    let ask = |set: &str| format!("UID FETCH {set} (UID RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])\n");
    let steps = format!(
        "C: T {}S: T NO [UNAVAILABLE] Server error
         C: T {}C: * {}S: * 1 FETCH (UID 5 RFC822.SIZE 9)
         S: m3 OK done
         S: m4 NO [UNAVAILABLE] Server error\n",
        ask("5:6"),
        ask("5"),
        ask("6")
    );
    let script = script("", 2, "", &steps);
    let mut store = connect(&script);
    let found = inbox(&mut store).identify(&uids(&[5, 6]), Depth::Header).expect("identified");
    let (key, error) = &found.unread[0];
    assert!(*key == Key::Uid(6) && error.to_string().contains("Server error"), "{found:?}");
    let found = found.known;
    assert_eq!(found.iter().map(|(key, identity)| (key, identity.size)).collect::<Vec<_>>(), [(&Key::Uid(5), Some(9))]);
    drop(store);
    script.finish();
}

fn fetch_error(steps: &str) -> StoreError {
    let script = script("", 1, "", &format!("C: T UID FETCH 5 {ITEMS}\n{steps}"));
    let mut store = connect(&script);
    let mut basket = Basket::default();
    let error = inbox(&mut store).fetch(&uids(&[5]), &mut basket).expect_err("no message");
    assert!(basket.got.is_empty());
    error
}

#[test]
fn a_line_that_breaks_within_a_message_delivers_nothing() {
    let error = fetch_error("R: * 1 FETCH (UID 5 BODY[] {1000}\\r\\nhalf of it\nDROP");
    assert_eq!((error.kind, error.reach), (Kind::Network, Reach::Connection), "{error}");
}

#[test]
fn a_goodbye_in_the_middle_says_why() {
    let error = fetch_error("S: * BYE Session invalidated - AccessTokenExpired\nDROP");
    assert!(error.cause.contains("AccessTokenExpired"), "{error}");
}

#[test]
fn an_impossible_literal_ends_the_connection() {
    for size in ["4294967296", "99999999999999999999999"] {
        let error = fetch_error(&format!("S: * 1 FETCH (UID 5 BODY[] {{{size}}}\nHANG"));
        assert_eq!((error.kind, error.reach), (Kind::Protocol, Reach::Connection), "{error}");
    }
}

#[test]
fn the_end_of_a_command_that_never_was_ends_the_connection() {
    let error = fetch_error("S: <body BAD Command Error. 10\nS: T9 OK done\nHANG");
    assert_eq!((error.kind, error.reach), (Kind::Protocol, Reach::Connection), "{error}");
}

#[test]
fn names_of_content_come_along_with_the_content() {
    for (capability, item, answer) in
        [("OBJECTID", "EMAILID", "EMAILID (M5)"), ("X-GM-EXT-1", "X-GM-MSGID", "X-GM-MSGID 1278455344230334865")]
    {
        let steps = format!(
            "C: T UID FETCH 5 (UID FLAGS INTERNALDATE {item} BODY.PEEK[])
             R: * 1 FETCH (UID 5 FLAGS () INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" {answer} BODY[] {{2}}\\r\\n\\r\\n)\\r\\n
             S: T OK done"
        );
        let script = script(capability, 1, "", &steps);
        let basket = fetch(&script, &[5]);
        assert!(basket.email_ids.len() == 1 && answer.contains(&basket.email_ids[0]), "{:?}", basket.email_ids);
    }
}

#[test]
fn names_of_content_are_asked_for_where_the_server_has_them() {
    for (capability, item, answer) in
        [("OBJECTID", "EMAILID", "EMAILID (M5)"), ("X-GM-EXT-1", "X-GM-MSGID", "X-GM-MSGID 1278455344230334865")]
    {
        let steps = format!(
            "C: T UID FETCH 5:6 (UID RFC822.SIZE {item} BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])
             R: * 1 FETCH (UID 5 RFC822.SIZE 9 {answer} BODY[HEADER.FIELDS (MESSAGE-ID)] {{19}}\\r\\nMessage-ID: <a>\\r\\n\\r\\n)\\r\\n
             S: T OK done"
        );
        let script = script(capability, 1, "", &steps);
        let mut store = connect(&script);
        let found = inbox(&mut store).identify(&uids(&[5, 6]), Depth::Header).expect("identified").known;
        assert_eq!(found.len(), 1);
        let identity = &found[0].1;
        assert_eq!((identity.size, identity.message_id.as_deref()), (Some(9), Some("<a>")));
        assert!(identity.email_id.as_deref().is_some_and(|id| answer.contains(id)));
    }
}

#[test]
fn a_server_that_ends_several_commands_at_once_is_asked_on_meanwhile() {
    // Every other UID: so few fit into one command.
    const BATCH: u32 = 45;
    // So many are on their way at first, and at most.
    const AT_FIRST: u32 = 4;
    const AT_MOST: u32 = 8;
    const BATCHES: u32 = 20;
    let wanted: Vec<u32> = (0..BATCHES * BATCH).map(|number| 2 * number + 1).collect();
    let messages = |batch: u32| -> String {
        let line = |uid: &u32| {
            format!(
                "R: * {uid} FETCH (UID {uid} FLAGS () INTERNALDATE \" 1-Jan-2020 00:00:00 +0000\" BODY[] {{3}}\\r\\nabc)\\r\\n\n"
            )
        };
        wanted[(batch * BATCH) as usize..][..BATCH as usize].iter().map(line).collect()
    };
    // The SELECT was the first command.
    let asked = |batch: u32| format!("C: m{} UID FETCH * (UID FLAGS INTERNALDATE BODY.PEEK[])\n", batch + 2);
    let ended = |batch: u32| format!("S: m{} OK done\n", batch + 2);
    // So many commands are unanswered at most, by default and where the user wants fewer.
    for (pipeline, unanswered) in [(None, 16), (Some(12), 12)] {
        let mut steps: String = (0..AT_FIRST).map(asked).collect();
        steps += "QUIET 20\n";
        let mut sent = AT_FIRST;
        for come in 0..unanswered - AT_MOST {
            steps += &messages(come);
            // One that has come makes room for two, as long as there are fewer than may be on their way.
            let next = unanswered.min(AT_MOST + come + 1).min(sent + 2);
            (sent..next).for_each(|batch| steps += &asked(batch));
            sent = next;
            // Each of them costs time, and what comes late makes room for nothing.
            if [AT_MOST - AT_FIRST, unanswered - AT_MOST - 1].contains(&come) {
                steps += "QUIET 20\n";
            }
        }
        assert_eq!(sent, unanswered);
        // No more, whatever comes, before something has ended.
        steps += &(messages(unanswered - AT_MOST) + "QUIET 20\n");
        (unanswered - AT_MOST + 1..unanswered).for_each(|batch| steps += &messages(batch));
        (0..BATCHES - unanswered).for_each(|batch| steps += &(ended(batch) + &asked(unanswered + batch)));
        (unanswered..BATCHES).for_each(|batch| steps += &messages(batch));
        (BATCHES - unanswered..BATCHES).for_each(|batch| steps += &ended(batch));
        let script = script("", wanted.len() as u32, "", &steps);
        let mut settings = settings(script.port);
        settings.pipeline = pipeline.unwrap_or(settings.pipeline);
        let mut store = ImapOpener::new(settings, Stop::new()).connect().expect("connected");
        let mut basket = Basket::default();
        inbox(&mut store).fetch(&uids(&wanted), &mut basket).expect("fetched");
        assert_eq!(basket.got.len(), wanted.len());
        script.finish();
    }
}
