//! Uploads, flags, expunges and moves.

use crate::harness::*;
use crate::support::Script;
use mailsync::mail::{FlagDelta, Key};
use mailsync::store::{Access, Kind, Outgoing, Reach, Store, StoreError};

fn script(capabilities: &str, steps: &str) -> Script {
    play(capabilities, &(select(5, "") + steps))
}

fn append(capabilities: &str, steps: &str, contents: &[&[u8]]) -> Vec<Result<Option<Key>, StoreError>> {
    let script = script(capabilities, steps);
    let mut store = connect(&script);
    let batch: Vec<Outgoing> = contents.iter().map(|content| outgoing(content, "\\Seen $Odd")).collect();
    let told = inbox(&mut store).append(batch).expect("answered");
    drop(store);
    script.finish();
    told
}

const DATE: &str = "\" 9-Sep-2001 01:46:40 +0000\"";

#[test]
fn a_server_that_only_archives_is_known_by_its_extension() {
    for (capabilities, archives) in [("X-GM-EXT-1", true), ("MOVE SPECIAL-USE", false)] {
        let script = play(capabilities, "");
        assert_eq!(connect(&script).archives_removed().expect("known"), archives);
    }
}

#[test]
fn literals_wait_for_the_server_where_they_must() {
    let steps = format!(
        "C: T APPEND \"INBOX\" (\\Seen $Odd) {DATE} {{6}}
         S: +
         B: *
         C:
         C: m3 APPEND \"INBOX\" (\\Seen $Odd) {DATE} {{1}}
         S: m2 OK [APPENDUID 7 100] done
         S: * 7 EXISTS
         S: + go on
         B: c
         C:
         S: m3 OK done"
    );
    let told = append("UIDPLUS", &steps, &[b"a\nb\n", b"c"]);
    assert_eq!(told[0].as_ref().expect("stored"), &Some(Key::Uid(100)));
    assert_eq!(told[1].as_ref().expect("stored"), &None);
}

#[test]
fn a_literal_that_is_refused_is_not_sent() {
    let steps = "C: T APPEND *{3}
        S: T NO [TOOBIG] too large
        C: T APPEND *{1}
        S: T NO [LIMIT] too many keywords
        C: T APPEND *{2}
        S: T NO APPEND 8-bit header
        EOF";
    for told in append("", steps, &[b"a\n", b"c", b"de"]) {
        let error = told.expect_err("refused");
        assert_eq!((error.kind, error.reach), (Kind::Refused, Reach::Message));
    }
}

#[test]
fn a_full_mailbox_is_asked_once() {
    for answer in ["[OVERQUOTA] full", "APPEND The 1500 MB storage limit has been exceeded"] {
        let steps = format!("C: T APPEND *{{1}}\nS: T NO {answer}\nEOF");
        for told in append("", &steps, &[b"a", b"b", b"c"]) {
            let error = told.expect_err("refused");
            assert_eq!((error.kind, error.reach), (Kind::Later, Reach::Folder));
        }
    }
}

#[test]
fn a_mailbox_that_is_gone_is_asked_once_and_no_message_is_to_blame() {
    for (capabilities, command) in
        [("", "C: T APPEND *{1}\n"), ("MULTIAPPEND LITERAL+", "C: T APPEND *{1+}\nB: a\nC: *{1+}\nB: b\nC:\n")]
    {
        let steps = format!("{command}S: T NO [TRYCREATE] no such mailbox\nEOF");
        for told in append(capabilities, &steps, &[b"a", b"b"]) {
            let error = told.expect_err("refused");
            assert_eq!((error.kind, error.reach), (Kind::Missing, Reach::Folder));
        }
    }
}

#[test]
fn a_mailbox_without_room_for_a_group_may_have_some_for_a_message() {
    let steps = "C: T APPEND \"INBOX\" * {1+}
        B: a
        C: * {1+}
        B: b
        C: * {1+}
        B: c
        C:
        S: T NO [OVERQUOTA] full
        C: T APPEND * {1+}
        B: a
        C:
        C: * APPEND * {1+}
        B: b
        C:
        C: * APPEND * {1+}
        B: c
        C:
        S: m3 OK [APPENDUID 7 101] done
        S: m4 NO [OVERQUOTA] full
        S: m5 NO [OVERQUOTA] full";
    let told = append("MULTIAPPEND LITERAL+ UIDPLUS", steps, &[b"a", b"b", b"c"]);
    assert_eq!(told[0].as_ref().expect("stored"), &Some(Key::Uid(101)));
    assert!(told[1..].iter().all(|told| told.as_ref().is_err_and(|error| error.reach == Reach::Folder)));
}

#[test]
fn several_messages_go_with_one_command_and_alone_where_that_is_refused() {
    let steps = "C: T APPEND \"INBOX\" * {1+}
        B: a
        C: * {1+}
        B: b
        C:
        S: T NO [TOOBIG] one of them
        C: T APPEND * {1+}
        B: a
        C:
        C: * APPEND * {1+}
        B: b
        C:
        S: m3 OK [APPENDUID 7 101] done
        S: m4 NO [TOOBIG] this one";
    let told = append("MULTIAPPEND LITERAL+ UIDPLUS", steps, &[b"a", b"b"]);
    assert_eq!(told[0].as_ref().expect("stored"), &Some(Key::Uid(101)));
    assert!(told[1].is_err());
}

#[test]
fn small_literals_go_at_once_and_large_ones_wait() {
    let large = vec![b'x'; 5000];
    let steps = "C: T APPEND * {1+}
        B: a
        C:
        C: m3 APPEND * {5000}
        S: m2 OK done
        S: + go on
        B: *
        C:
        S: m3 OK [APPENDUID 8 1] of another generation";
    let told = append("LITERAL- UIDPLUS", steps, &[b"a", &large]);
    assert!(told.iter().all(|told| matches!(told, Ok(None))), "{told:?}");
}

#[test]
fn a_message_beyond_the_servers_limit_is_not_sent() {
    let told = append("APPENDLIMIT=3", "C: T APPEND *{1}\nS: +\nB: c\nC:\nS: T OK done", &[b"a\nb\n", b"c"]);
    assert!(told[0].as_ref().expect_err("too large").cause.contains("APPENDLIMIT"));
    assert!(told[1].is_ok());
}

#[test]
fn nul_goes_as_a_binary_literal_where_that_is_known() {
    append("BINARY LITERAL+", "C: T APPEND * ~{3+}\nB: *\nC:\nS: T OK done", &[b"a\0b"]);
    append("LITERAL+", "C: T APPEND *\" {3+}\nB: *\nC:\nS: T OK done", &[b"a\0b"]);
}

#[test]
fn a_line_that_breaks_within_an_upload_leaves_it_open_what_was_stored() {
    let script = script("", "C: T APPEND *{1}\nS: +\nDROP");
    let mut store = connect(&script);
    let error = inbox(&mut store).append(vec![outgoing(b"a", "")]).expect_err("not known");
    assert_eq!((error.kind, error.reach), (Kind::Network, Reach::Connection), "{error}");
}

fn delta(add: &str, remove: &str) -> FlagDelta {
    FlagDelta { add: flags(add), remove: flags(remove) }
}

fn set_flags(steps: &str, changes: &[(Key, FlagDelta)]) -> Vec<(Key, StoreError)> {
    let script = script("", steps);
    let mut store = connect(&script);
    let refused = inbox(&mut store).set_flags(changes).expect("answered");
    script.finish();
    refused
}

#[test]
fn equal_changes_go_together_and_refused_ones_are_named() {
    let change = |uid| (Key::Uid(uid), delta("\\Seen", ""));
    let refused = set_flags(
        "C: T UID STORE 1:3 +FLAGS.SILENT (\\Seen)
         S: T NO not all of them
         C: m3 UID STORE 1 *
         C: m4 UID STORE 2 *
         C: m5 UID STORE 3 *
         S: m3 OK done
         S: m4 NO no
         S: m5 NO gone
         C: T UID FETCH 2:3 (UID)
         S: * 2 FETCH (UID 2)
         S: T OK done",
        &[change(1), change(2), change(3)],
    );
    assert_eq!(refused.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>(), uids(&[2]));
}

fn remove(capabilities: &str, steps: &str, list: &[u32]) -> Result<Vec<(Key, StoreError)>, StoreError> {
    let script = script(capabilities, steps);
    let mut store = connect(&script);
    let removed = inbox(&mut store).remove(&uids(list));
    script.finish();
    removed
}

#[test]
fn an_expunge_without_uidplus_guards_what_others_marked() {
    let steps = "C: T UID SEARCH DELETED
        S: * SEARCH 9 2 9
        S: T OK done
        C: T UID STORE 9 -FLAGS.SILENT (\\Deleted)
        S: T OK done
        C: T UID STORE 2:3 +FLAGS.SILENT (\\Deleted)
        S: T OK done
        C: T UID SEARCH DELETED
        S: * SEARCH 2
        S: T OK done
        C: T EXPUNGE
        S: * 2 EXPUNGE
        S: T OK done
        C: T UID STORE 9 +FLAGS.SILENT (\\Deleted)
        S: T OK done";
    assert!(remove("", steps, &[2, 3]).expect("removed").is_empty());
}

#[test]
fn nothing_is_expunged_while_others_mark_messages() {
    let steps = "C: T UID SEARCH DELETED
        S: * SEARCH
        S: T OK done
        C: T UID STORE 2 +FLAGS.SILENT (\\Deleted)
        S: T OK done
        C: T UID SEARCH DELETED
        S: * SEARCH 2 9
        S: T OK done";
    match &remove("", steps, &[2]).expect("answered")[..] {
        [(Key::Uid(2), error)] => assert_eq!((error.kind, error.reach), (Kind::Later, Reach::Message)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn uid_expunge_that_is_refused_falls_back_to_the_guarded_way() {
    let steps = "C: T UID STORE 2 +FLAGS.SILENT (\\Deleted)
        S: * 2 EXPUNGE
        S: T OK done
        C: T UID EXPUNGE 2
        S: T NO UID EXPUNGE
        C: T UID SEARCH DELETED
        S: T OK nothing found
        C: T UID STORE 2 +FLAGS.SILENT (\\Deleted)
        S: T OK done
        C: T UID SEARCH DELETED
        S: * SEARCH 2
        S: T OK done
        C: T EXPUNGE
        S: T OK done";
    assert!(remove("UIDPLUS", steps, &[2]).expect("removed").is_empty());
}

#[test]
fn marks_that_could_not_be_put_back_are_put_back_by_the_next_connection() {
    let login = "S: * OK [CAPABILITY IMAP4rev1] hi\nC: T LOGIN *\nS: T OK [CAPABILITY IMAP4rev1] in\n";
    let first = login.to_owned()
        + &select(5, "")
        + "C: T UID SEARCH DELETED
           S: * SEARCH 9
           S: T OK done
           C: T UID STORE 9 -FLAGS.SILENT (\\Deleted)
           S: T OK done
           C: T UID STORE 2 +FLAGS.SILENT (\\Deleted)
           S: T OK done
           C: T UID SEARCH DELETED
           S: * SEARCH 2
           S: T OK done
           C: T EXPUNGE
           DROP";
    let second = login.to_owned() + &select(4, "") + "C: T UID STORE 9 +FLAGS.SILENT (\\Deleted)\nS: T OK done";
    let script = Script::play(&[&first, &second]);
    let opener = mailsync::store::imap::ImapOpener::new(settings(script.port), mailsync::net::Stop::new());
    let mut store = opener.connect().expect("connected");
    inbox(&mut store).remove(&uids(&[2])).expect_err("the line broke");
    let mut store = opener.connect().expect("connected");
    inbox(&mut store);
    script.finish();
}

#[test]
fn a_failed_expunge_puts_the_marks_back_at_once() {
    let steps = "C: T UID SEARCH DELETED
        S: * SEARCH 9
        S: T OK done
        C: T UID STORE 9 -FLAGS.SILENT (\\Deleted)
        S: T OK done
        C: T UID STORE 2 +FLAGS.SILENT (\\Deleted)
        S: T OK done
        C: T UID SEARCH DELETED
        S: * SEARCH 2
        S: T OK done
        C: T EXPUNGE
        S: T NO not now
        C: T UID STORE 9 +FLAGS.SILENT (\\Deleted)
        S: T OK done";
    assert_eq!(remove("", steps, &[2]).expect("answered").len(), 1);
}

fn move_to(capabilities: &str, steps: &str, list: &[u32]) -> Vec<Result<Option<Key>, StoreError>> {
    let script = script(capabilities, steps);
    let mut store = connect(&script);
    let mut folder = store.open(b"INBOX", Access::Write, None).expect("opened");
    let told = folder.move_to(&uids(list), b"Bin", &[]).expect("answered");
    drop(folder);
    drop(store);
    script.finish();
    told
}

#[test]
fn the_new_uids_come_from_copyuid_wherever_it_stands() {
    let steps = "C: T UID MOVE 2:3 \"Bin\"
        S: * OK [COPYUID 9 2:3 40:41] moved
        S: * 2 EXPUNGE
        S: * 2 EXPUNGE
        S: T OK done";
    let told = move_to("MOVE UIDPLUS", steps, &[3, 2]);
    let keys: Vec<_> = told.into_iter().map(|told| told.expect("moved")).collect();
    assert_eq!(keys, [Some(Key::Uid(41)), Some(Key::Uid(40))]);
}

#[test]
fn a_malformed_copyuid_tells_nothing() {
    let steps = "C: T UID MOVE 2 \"Bin\"\nS: T OK [COPYUID 14  ] done";
    assert!(matches!(move_to("MOVE", steps, &[2])[..], [Ok(None)]));
}

#[test]
fn a_server_that_does_not_understand_move_copies_and_expunges() {
    let steps = "C: T UID MOVE 2 \"Bin\"
        S: T BAD what?
        C: T UID COPY 2 \"Bin\"
        S: T OK [COPYUID 9 2 40] done
        C: T UID STORE 2 +FLAGS.SILENT (\\Deleted)
        S: T OK done
        C: T UID EXPUNGE 2
        S: T OK done";
    assert!(matches!(move_to("MOVE UIDPLUS", steps, &[2])[..], [Ok(Some(Key::Uid(40)))]));
}

#[test]
fn a_copy_that_is_refused_deletes_nothing() {
    let steps = "C: T UID COPY 2 \"Bin\"
        S: T NO [TRYCREATE] no such mailbox
        C: T UID FETCH 2 (UID)
        S: * 1 FETCH (UID 2)
        S: T OK done
        EOF";
    assert!(matches!(move_to("UIDPLUS", steps, &[2])[..], [Err(_)]));
}

#[test]
fn a_copy_whose_source_can_not_be_expunged_leaves_the_folder_to_the_next_run() {
    let steps = "C: T UID COPY 2 \"Bin\"
        S: T OK done
        C: T UID SEARCH DELETED
        S: * SEARCH
        S: T OK done
        C: T UID STORE 2 +FLAGS.SILENT (\\Deleted)
        S: T OK done
        C: T UID SEARCH DELETED
        S: * SEARCH 2
        S: T OK done
        C: T EXPUNGE
        S: T NO not today";
    match &move_to("", steps, &[2])[..] {
        // As one that merely stays it would be copied once more.
        [Err(error)] => assert_eq!(error.reach, Reach::Folder, "{error}"),
        other => panic!("{other:?}"),
    }
}
