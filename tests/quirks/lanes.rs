//! Several users of one connection.

use crate::harness::*;
use crate::support::Script;
use mailsync::mail::{Flag, FlagDelta, Flags, Key};
use mailsync::store::{Access, Kind, Reach, Store, StoreError};
use std::thread;
use std::time::Duration;

/// Waits until the server has heard or said this.
fn wait_for(script: &Script, text: &str) {
    for _ in 0..3000 {
        if script.transcript().contains(text) {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{text:?} was never said:\n{}", script.transcript());
}

/// What the first of several users asks of a server without NAMESPACE.
fn delimiter() -> String {
    "C: m1 LIST \"\" \"\"\nS: * LIST (\\Noselect) \"/\" \"\"\nS: m1 OK done\n".to_owned()
}

fn seen() -> FlagDelta {
    FlagDelta { add: Flags::from_iter([Flag::Seen]), remove: Flags::new() }
}

#[test]
fn a_list_waits_for_what_it_could_overtake_and_is_not_overtaken() {
    let script = play(
        "",
        &(delimiter()
            + &select(2, "")
            + "C: T UID STORE 1 +FLAGS.SILENT (\\Seen)
               QUIET 500
               S: T OK done
               C: m4 LIST \"\" \"*\"
               C: m5 LSUB \"\" \"*\"
               QUIET 500
               S: * LIST (\\Noselect) \"/\" INBOX
               S: m4 OK done
               S: m5 OK done
               C: T EXAMINE \"other\"*
               S: * 0 EXISTS
               S: * OK [UIDVALIDITY 8] ok
               S: T OK done"),
    );
    let mut one = connect(&script);
    let mut two = one.another().expect("another user");
    let mut three = one.another().expect("another user");
    thread::scope(|scope| {
        scope.spawn(|| {
            let refused = inbox(&mut one).set_flags(&[(Key::Uid(1), seen())]).expect("set");
            assert!(refused.is_empty(), "{refused:?}");
        });
        wait_for(&script, "UID STORE");
        scope.spawn(|| assert_eq!(two.list().expect("listed").len(), 1));
        wait_for(&script, "LSUB");
        three.open(b"other", Access::Read, None).map(drop).expect("opened");
    });
    script.finish();
}

/// The steps that open `other`.
const OTHER: &str = "C: m2 SELECT \"other\"
    S: * 0 EXISTS
    S: * OK [UIDVALIDITY 8] ok
    S: m2 OK [READ-WRITE] done\n";

/// Stores a message in `other`.
fn store(store: &mut dyn Store) -> Result<(), StoreError> {
    let mut folder = store.open(b"other", Access::Write, Some(8)).expect("opened");
    let told = folder.append(vec![outgoing(b"abc\n", "")])?;
    assert!(matches!(told.as_slice(), [Ok(None)]), "{told:?}");
    Ok(())
}

/// Fetches a message of INBOX.
fn get(store: &mut dyn Store) {
    let mut basket = Basket::default();
    let mut folder = store.open(b"INBOX", Access::Write, Some(7)).expect("opened");
    folder.fetch(&uids(&[1]), &mut basket).expect("fetched");
    assert_eq!(basket.got.len(), 1);
}

/// Dovecot ends an APPEND behind the answers to what comes next, but for a SELECT.
#[test]
fn who_fetches_behind_an_upload_selects_first() {
    let script = play(
        "LITERAL+",
        &(delimiter()
            + OTHER
            + &select(1, "")
            + "C: m4 APPEND \"other\" () * {5+}
               B: abc*
               C:
               C: m5 SELECT \"INBOX\"
               C: m6 UID FETCH 1 (UID FLAGS INTERNALDATE BODY.PEEK[])
               S: m4 OK done
               S: * 1 EXISTS
               S: * OK [UIDVALIDITY 7] ok
               S: m5 OK [READ-WRITE] done
               S: * 1 FETCH (UID 1 FLAGS () INTERNALDATE \" 1-Jan-2020 00:00:00 +0000\" BODY[] \"abc\")
               S: m6 OK done
               C: m7 UID FETCH 1 (UID FLAGS INTERNALDATE BODY.PEEK[])
               S: * 1 FETCH (UID 1 FLAGS () INTERNALDATE \" 1-Jan-2020 00:00:00 +0000\" BODY[] \"abc\")
               S: m7 OK done"),
    );
    let mut one = connect(&script);
    let mut two = one.another().expect("another user");
    two.open(b"other", Access::Write, None).map(drop).expect("opened");
    inbox(&mut one);
    thread::scope(|scope| {
        scope.spawn(|| store(two.as_mut()).expect("stored"));
        wait_for(&script, "APPEND");
        get(&mut one);
    });
    get(&mut one);
    script.finish();
}

/// Dovecot ends an APPEND in the middle of the answers to what came before, but for a SELECT. A mailbox that can't be selected is
/// not one that is full.
#[test]
fn who_uploads_behind_a_fetch_selects_first() {
    let fetched = "S: * 1 FETCH (UID 1 FLAGS () INTERNALDATE \" 1-Jan-2020 00:00:00 +0000\" BODY[] \"abc\")
        S: m4 OK done\n";
    for (answer, more, kind) in [
        ("S: * OK [UIDVALIDITY 8] ok\nS: m5 OK [READ-WRITE] done\nS: m6 OK done\n", "", None),
        ("S: m5 NO [INUSE] locked, come again\nS: m6 NO [TRYCREATE] none\n", "", Some(Kind::Refused)),
        (
            "S: m5 NO no such mailbox\nS: m6 NO [TRYCREATE] none\n",
            "C: m7 LIST \"\" \"other\"\nS: m7 OK none\n",
            Some(Kind::Missing),
        ),
    ] {
        let script = play(
            "LITERAL+",
            &(delimiter()
                + OTHER
                + &select(1, "")
                + "C: m4 UID FETCH 1 (UID FLAGS INTERNALDATE BODY.PEEK[])
                   C: m5 SELECT \"other\"
                   C: m6 APPEND \"other\" () * {5+}
                   B: abc*
                   C:\n"
                + fetched
                + answer
                + more),
        );
        let mut one = connect(&script);
        let mut two = one.another().expect("another user");
        two.open(b"other", Access::Write, None).map(drop).expect("opened");
        inbox(&mut one);
        thread::scope(|scope| {
            scope.spawn(|| get(&mut one));
            wait_for(&script, "UID FETCH");
            let error = store(two.as_mut()).err();
            let told = error.as_ref().map(|error| (error.kind, error.reach));
            assert_eq!(told, kind.map(|kind| (kind, Reach::Folder)), "{error:?}");
        });
        script.finish();
    }
}

#[test]
fn marks_that_met_another_mailbox_are_taken_off_again() {
    let made_anew = "S: * 2 EXISTS
        S: * OK [UIDVALIDITY 9] another one
        S: T OK [READ-WRITE] done\n";
    let script = play(
        "UNSELECT",
        &(delimiter()
            + &select(2, "")
            + "C: m3 UID SEARCH DELETED
               C: m4 EXAMINE \"other\"
               S: * SEARCH
               S: m3 OK done
               S: * 0 EXISTS
               S: * OK [UIDVALIDITY 8] ok
               S: m4 OK done
               C: T UNSELECT
               S: T OK done
               C: T SELECT \"INBOX\"\n"
            + made_anew
            + "C: T UID STORE 2 +FLAGS.SILENT (\\Deleted)
               S: T OK done
               C: T SELECT \"INBOX\"\n"
            + made_anew
            + "C: T UID STORE 2 -FLAGS.SILENT (\\Deleted)
               S: T OK done"),
    );
    let mut one = connect(&script);
    let mut two = one.another().expect("another user");
    thread::scope(|scope| {
        scope.spawn(|| {
            let error = inbox(&mut one).remove(&[Key::Uid(2)]).expect_err("it is another mailbox");
            assert_eq!(error.kind, Kind::Reset, "{error}");
        });
        wait_for(&script, "UID SEARCH");
        two.open(b"other", Access::Read, None).map(drop).expect("opened");
    });
    script.finish();
}
