//! Several users of one connection.

use crate::harness::*;
use crate::support::Script;
use mailsync::mail::{Flag, FlagDelta, Flags, Key};
use mailsync::store::{Access, Kind, Store};
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
