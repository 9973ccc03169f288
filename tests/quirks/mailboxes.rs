//! Lists, states and selections of mailboxes.

use crate::harness::*;
use crate::support::Script;
use mailsync::mail::{FolderName, Role};
use mailsync::store::{Access, FolderInfo, Kind, Reach, Store};

fn list(capabilities: &str, steps: &str) -> Vec<FolderInfo> {
    let script = play(capabilities, steps);
    let list = connect(&script).list().expect("listed");
    script.finish();
    list
}

fn plain_list(lines: &str, lsub: &str, statuses: &str) -> Vec<FolderInfo> {
    let steps = format!(
        "C: m1 LIST \"\" \"*\"
         C: m2 LSUB \"\" \"*\"
         {lines}
         S: m1 OK done
         {lsub}
         S: m2 OK done
         {statuses}"
    );
    list("", &steps)
}

/// A server that says what parts its names, and then this.
fn play_named(steps: &str) -> Script {
    let delimiter = "C: T LIST \"\" \"\"\nS: * LIST () \"/\" \"\"\nS: T OK done\n";
    play("", &[delimiter, steps].concat())
}

fn names(list: &[FolderInfo]) -> Vec<String> {
    list.iter().map(|info| info.name.text()).collect()
}

#[test]
fn a_server_without_extensions_is_listed_with_lsub_and_status() {
    let list = plain_list(
        "S: * LIST (\\HasChildren) \"/\" INBOX
         S: * LIST (\\HasChildren \\Noselect \\) \"/\" \"[Gmail]\"
         S: * LIST () \"/\" \"[Gmail]/Sent Mail\"",
        "S: * LSUB () \"/\" INBOX
         S: * LSUB () \"/\" Gone",
        "C: m3 STATUS \"INBOX\" (MESSAGES UIDNEXT UIDVALIDITY UNSEEN)
         C: m4 STATUS \"[Gmail]/Sent Mail\" *
         S: * STATUS INBOX (MESSAGES 3 UIDNEXT 9 UIDVALIDITY 7 UNSEEN 1)
         S: m3 OK done
         S: * STATUS \"[Gmail]/Sent Mail\" ()
         S: m4 OK done",
    );
    assert_eq!(names(&list), ["INBOX", "[Gmail]", "[Gmail]/Sent Mail"]);
    assert_eq!((list[0].messages, list[0].unseen, list[0].subscribed), (Some(3), Some(1), Some(true)));
    assert_eq!(list[0].cursor, Some(cursor(9, 0, 3)));
    assert_eq!((list[1].selectable, list[2].cursor.is_none(), list[2].subscribed), (false, true, Some(false)));
}

#[test]
fn all_of_it_comes_in_one_flight_where_the_server_can() {
    let list = list(
        "ID ENABLE QRESYNC CONDSTORE NAMESPACE LIST-EXTENDED LIST-STATUS SPECIAL-USE",
        "C: m1 ID (*)
         C: m2 ENABLE QRESYNC
         C: m3 NAMESPACE
         C: m4 LIST \"\" \"*\" RETURN (SUBSCRIBED SPECIAL-USE STATUS (MESSAGES UIDNEXT UIDVALIDITY UNSEEN HIGHESTMODSEQ))
         S: * ID (\"name\" \"x\")
         S: m1 OK done
         S: * ENABLED QRESYNC
         S: m2 OK done
         S: * NAMESPACE ((\"\" \"/\")) ((\"~\" \"/\")) ((\"Shared/\" \"/\"))
         S: m3 OK done
         S: * LIST (\\Subscribed) \"/\" INBOX
         S: * STATUS INBOX (MESSAGES 2 UIDNEXT 5 UIDVALIDITY 7 UNSEEN 0 HIGHESTMODSEQ 44)
         S: * LIST (\\Trash) \"/\" Bin
         S: * STATUS Bin (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 8 UNSEEN 0 HIGHESTMODSEQ 0)
         S: * LIST () \"/\" \"Shared/All\"
         S: * LIST () \"/\" \"~ann/INBOX\"
         S: * LIST () \"/\" \"mail.lock\"
         S: m4 OK done",
    );
    assert_eq!(names(&list), ["INBOX", "Bin"]);
    assert_eq!((list[0].cursor.clone(), list[0].role), (Some(cursor(5, 44, 2)), Some(Role::Inbox)));
    assert_eq!((list[1].role, list[1].subscribed), (Some(Role::Trash), Some(false)));
    assert!(!list[1].cursor.as_ref().expect("a cursor").conclusive, "HIGHESTMODSEQ 0 proves nothing");
}

#[test]
fn mailboxids_come_along_with_the_list() {
    let list = list(
        "CONDSTORE LIST-EXTENDED LIST-STATUS OBJECTID",
        "C: m1 LIST \"\" \"*\" RETURN (SUBSCRIBED STATUS (MESSAGES UIDNEXT UIDVALIDITY UNSEEN HIGHESTMODSEQ MAILBOXID))
         S: * LIST () \"/\" INBOX
         S: * STATUS INBOX (MESSAGES 2 UIDNEXT 5 UIDVALIDITY 7 UNSEEN 0 HIGHESTMODSEQ 44 MAILBOXID (F-one_1))
         S: * LIST () \"/\" Work
         S: * STATUS Work (MAILBOXID () MESSAGES 0 UIDNEXT 1 UIDVALIDITY 8 UNSEEN 0 HIGHESTMODSEQ 1)
         S: m1 OK done",
    );
    assert_eq!((list[0].object.as_deref(), list[0].cursor.clone()), (Some("F-one_1"), Some(cursor(5, 44, 2))));
    assert_eq!((list[1].object.as_deref(), list[1].messages), (None, Some(0)));
}

/// As Cyrus 3.6 sends them, where they are asked for along with LIST.
#[test]
fn mailboxids_that_are_garbage_are_worth_nothing() {
    for odd in ["a\\x90!\\xd3\\xb9U", "\\x01", "a b", &"x".repeat(256)] {
        let list = list(
            "CONDSTORE LIST-EXTENDED LIST-STATUS OBJECTID",
            &format!(
                "C: m1 LIST \"\" \"*\" RETURN (SUBSCRIBED STATUS (MESSAGES UIDNEXT UIDVALIDITY UNSEEN HIGHESTMODSEQ MAILBOXID))
                 S: * LIST () \"/\" INBOX
                 S: * STATUS INBOX (MESSAGES 2 UIDNEXT 5 UIDVALIDITY 7 MAILBOXID (F1) UNSEEN 0 HIGHESTMODSEQ 44)
                 S: * LIST () \"/\" Work
                 R: * STATUS Work (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 8 MAILBOXID (\"{odd}\") UNSEEN 0 HIGHESTMODSEQ 3)\\r\\n
                 S: m1 OK done"
            ),
        );
        assert_eq!((list[0].object.as_deref(), list[0].cursor.clone()), (None, Some(cursor(5, 44, 2))));
        assert_eq!((list[1].object.as_deref(), list[1].messages), (None, Some(1)), "{odd}");
    }
}

#[test]
fn mailboxids_are_asked_with_status_where_the_list_can_not_tell() {
    let list = list(
        "OBJECTID",
        "C: m1 LIST \"\" \"*\"
         C: m2 LSUB \"\" \"*\"
         S: * LIST () \"/\" INBOX
         S: m1 OK done
         S: m2 OK done
         C: m3 STATUS \"INBOX\" (MESSAGES UIDNEXT UIDVALIDITY UNSEEN MAILBOXID)
         S: * STATUS INBOX (MESSAGES 3 UIDNEXT 9 UIDVALIDITY 7 UNSEEN 1 MAILBOXID (F9))
         S: m3 OK done",
    );
    assert_eq!((list[0].object.as_deref(), list[0].messages), (Some("F9"), Some(3)));
}

#[test]
fn a_server_that_does_not_know_the_mailboxids_it_promised_is_listed_all_the_same() {
    let listed = list(
        "OBJECTID",
        "C: m1 LIST \"\" \"*\"
         C: m2 LSUB \"\" \"*\"
         S: * LIST () \"/\" INBOX
         S: m1 OK done
         S: m2 OK done
         C: m3 STATUS \"INBOX\" (MESSAGES UIDNEXT UIDVALIDITY UNSEEN MAILBOXID)
         S: m3 BAD what is MAILBOXID?
         C: m4 STATUS \"INBOX\" (MESSAGES UIDNEXT UIDVALIDITY UNSEEN)
         S: * STATUS INBOX (MESSAGES 3 UIDNEXT 9 UIDVALIDITY 7 UNSEEN 1)
         S: m4 OK done",
    );
    assert_eq!((listed[0].object.as_deref(), listed[0].messages), (None, Some(3)));
    let listed = list(
        "LIST-EXTENDED LIST-STATUS OBJECTID",
        "C: m1 LIST \"\" \"*\" RETURN (SUBSCRIBED STATUS (MESSAGES UIDNEXT UIDVALIDITY UNSEEN MAILBOXID))
         S: m1 BAD what is MAILBOXID?
         C: m2 LIST \"\" \"*\"
         C: m3 LSUB \"\" \"*\"
         S: * LIST () \"/\" INBOX
         S: m2 OK done
         S: m3 OK done
         C: m4 STATUS \"INBOX\" (MESSAGES UIDNEXT UIDVALIDITY UNSEEN)
         S: * STATUS INBOX (MESSAGES 3 UIDNEXT 9 UIDVALIDITY 7 UNSEEN 1)
         S: m4 OK done",
    );
    assert_eq!((listed[0].object.as_deref(), listed[0].messages), (None, Some(3)));
}

#[test]
fn several_spellings_of_inbox_are_one_folder() {
    let status = |tag: u32, name: &str| {
        format!(
            "C: T STATUS \"{name}\" *\nS: * STATUS {name} (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 7 UNSEEN 0)\nS: m{tag} OK done\n"
        )
    };
    let list = plain_list(
        "S: * LIST () \".\" Inbox\nS: * LIST () \".\" INBOX\nS: * LIST () \".\" inbox",
        "S: * LSUB () \".\" inbox",
        &status(3, "INBOX"),
    );
    assert_eq!((names(&list), list[0].wire.as_slice()), (vec!["INBOX".to_owned()], b"INBOX".as_slice()));
    assert_eq!(list[0].subscribed, Some(true));
    let list = plain_list("S: * LIST () \".\" inbox", "", &status(3, "inbox"));
    assert_eq!((names(&list), list[0].wire.as_slice()), (vec!["INBOX".to_owned()], b"inbox".as_slice()));
}

#[test]
fn names_that_lead_nowhere_are_listed_with_their_problem() {
    let list = plain_list(
        "S: * LIST () \"/\" INBOX
         S: * LIST () \"/\" \"../../.ssh\"
         S: * LIST () \"/\" \"a//b\"
         R: * LIST () \"/\" \"sp\\xe9cial\"\\r\\n",
        "",
        "C: m3 STATUS \"INBOX\" *
         C: m4 STATUS *
         C: m5 STATUS *
         C: m6 STATUS {7}
         S: m3 OK done
         S: m4 NO no
         S: m5 NO no
         S: + go on
         B: *
         C: * (MESSAGES*)
         S: m6 NO no",
    );
    assert_eq!(list.len(), 4);
    assert!(list[1].problem.is_some() && list[2].problem.is_some(), "{list:?}");
}

#[test]
fn a_forgotten_inbox_is_found() {
    let list = plain_list(
        "S: * LIST () \"/\" Work",
        "",
        "C: m3 STATUS \"Work\" *
         C: m4 STATUS \"INBOX\" *
         S: m3 OK done
         S: * STATUS INBOX (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 7 UNSEEN 0)
         S: m4 OK done",
    );
    assert_eq!(names(&list), ["Work", "INBOX"]);
}

#[test]
fn a_list_that_is_cut_off_is_an_error() {
    let script = play("", "C: T LIST*\nC: T LSUB*\nS: * LIST () \"/\" INBOX\nDROP");
    let error = connect(&script).list().expect_err("half a list");
    assert_eq!((error.kind, error.reach), (Kind::Network, Reach::Connection), "{error}");
}

#[test]
fn a_folder_that_is_there_already_counts_as_created() {
    let script = play(
        "NAMESPACE",
        "C: T NAMESPACE
         S: * NAMESPACE ((\"INBOX.\" \".\")) NIL NIL
         S: T OK done
         C: T CREATE \"INBOX.Sent\"
         S: T NO Mailbox already exists!
         C: T LIST \"\" \"INBOX.Sent\"
         S: * LIST () \".\" INBOX.Sent
         S: T OK done
         C: T SUBSCRIBE \"INBOX.Sent\"
         S: T NO no",
    );
    let info = connect(&script).create(&FolderName::parse("Sent").expect("a name")).expect("created");
    assert_eq!((info.wire.as_slice(), info.name.text().as_str()), (b"INBOX.Sent".as_slice(), "Sent"));
    script.finish();
}

#[test]
fn several_folders_are_made_without_waiting_for_each() {
    let script = play_named(
        "C: m2 CREATE \"a\"
         C: m3 CREATE \"a/b\"
         C: m4 CREATE \"c\"
         S: m2 OK done
         S: m3 NO it is there
         S: m4 NO [CANNOT] no folder of that name
         C: m5 LIST \"\" \"a\"
         C: m6 LIST \"\" \"a/b\"
         C: m7 LIST \"\" \"c\"
         S: * LIST () \"/\" a
         S: m5 OK done
         S: * LIST () \"/\" a/b
         S: m6 OK done
         S: m7 OK done
         C: m8 SUBSCRIBE \"a\"
         C: m9 SUBSCRIBE \"a/b\"
         S: m8 NO never
         S: m9 OK done",
    );
    let names = ["a", "a/b", "c"].map(|name| FolderName::parse(name).expect("a name"));
    let made = connect(&script).create_all(&names);
    let told = made.iter().map(|made| made.as_ref().map(|info| (info.name.text(), info.messages, info.subscribed)));
    let told: Vec<_> = told.map(|told| told.map_err(|error| error.cause.clone())).collect();
    assert_eq!(told[..2], [Ok(("a".to_owned(), Some(0), None)), Ok(("a/b".to_owned(), None, Some(true)))]);
    assert!(told[2].as_ref().is_err_and(|cause| cause.contains("no folder of that name")), "{told:?}");
    script.finish();
}

#[test]
fn a_line_that_breaks_while_folders_are_made_fails_all_of_them() {
    let script = play_named(
        "C: m2 CREATE \"a\"
         C: m3 CREATE \"b\"
         S: m2 OK done
         DROP",
    );
    let names = ["a", "b"].map(|name| FolderName::parse(name).expect("a name"));
    let made = connect(&script).create_all(&names).into_iter();
    let reached: Vec<Reach> = made.map(|made| made.expect_err("not made").reach).collect();
    assert_eq!(reached, [Reach::Connection; 2]);
    script.finish();
}

#[test]
fn a_folder_that_can_not_be_created_says_why() {
    let script = play_named(
        "C: T CREATE \"x\"
         S: T NO [CANNOT] Unknown namespace.
         C: T LIST \"\" \"x\"
         S: T OK done",
    );
    let error = connect(&script).create(&FolderName::parse("x").expect("a name")).expect_err("not made");
    assert_eq!((error.kind, error.reach), (Kind::Refused, Reach::Folder));
    assert!(error.cause.contains("Unknown namespace"), "{error}");
}

#[test]
fn a_read_only_folder_holds_no_flags_and_is_not_written_to() {
    let steps = select(1, "").replace("[READ-WRITE]", "[READ-ONLY]");
    let script = play("", &steps);
    let mut store = connect(&script);
    let mut folder = inbox(&mut store);
    assert!(!folder.writable() && folder.flag_space().fixed.is_empty());
    assert_eq!(folder.remove(&uids(&[1])).expect("answered").len(), 1);
    assert!(folder.append(vec![outgoing(b"a", "")]).expect("answered")[0].is_err());
    script.finish();
}

#[test]
fn absent_permanent_flags_allow_all_and_a_bare_star_allows_keywords() {
    for (more, seen, keyword) in [
        ("", true, true),
        ("S: * OK [PERMANENTFLAGS ()] none", false, false),
        ("S: * OK [PERMANENTFLAGS (\\Seen *)] x", true, true),
    ] {
        let script = play("", &select(0, more));
        let mut store = connect(&script);
        let space = inbox(&mut store).flag_space();
        let holds = |name: &str| flags(name).iter().all(|flag| space.holds(&flag));
        assert_eq!((holds("\\Seen"), holds("$Junk")), (seen, keyword), "{more}");
    }
}

#[test]
fn another_uidvalidity_is_a_reset() {
    let script = play("", &select(0, ""));
    let error = connect(&script).open(b"INBOX", Access::Write, Some(6)).map(drop).expect_err("another generation");
    assert_eq!((error.kind, error.reach), (Kind::Reset, Reach::Folder));
}

#[test]
fn a_select_parameter_that_is_not_understood_is_left_out() {
    let script = play(
        "CONDSTORE",
        &("C: T SELECT \"INBOX\" (CONDSTORE)\nS: T BAD what?\n".to_owned() + &select(0, "S: * OK [NOMODSEQ] none")),
    );
    let mut store = connect(&script);
    inbox(&mut store);
    script.finish();
}
