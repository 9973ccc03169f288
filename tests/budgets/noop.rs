//! On the line, a run with nothing to do.

use crate::scene::{Scene, kinds};
use crate::support::dovecot::Options;

/// All that Dovecot says it can, but for some words.
fn without(words: &[&str]) -> Options {
    let all = "IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE CHILDREN NAMESPACE UIDPLUS LIST-EXTENDED \
               CONDSTORE QRESYNC ESEARCH LIST-STATUS SPECIAL-USE LITERAL+ MULTIAPPEND UNSELECT MOVE";
    let left: Vec<&str> = all.split_whitespace().filter(|word| !words.contains(word)).collect();
    Options { capability: Some(left.join(" ")), ..Options::default() }
}

#[test]
fn takes_one_round_trip_for_any_number_of_folders() {
    let [few, many] = [20, 200].map(|folders| {
        let seen = Scene::new(folders, 1).run();
        assert_eq!(seen.0.len(), 1, "connections");
        // The login, and behind it all that is asked.
        assert_eq!(seen.round_trips(), 1, "{:?}", seen.commands());
        assert_eq!(seen.count("SELECT") + seen.count("EXAMINE") + seen.count("UID"), 0, "{:?}", seen.commands());
        seen
    });
    assert_eq!(kinds(&few), kinds(&many));

    let each = (many.bytes() - few.bytes()) / 180;
    // A LIST and a STATUS.
    assert!(each <= 200, "{each} bytes for each folder");
    assert!(few.bytes() - 20 * each <= 2_000, "{} bytes, {each} for each folder", few.bytes());
}

#[test]
fn without_list_status_asks_for_all_folders_at_once() {
    let seen = Scene::with(without(&["LIST-STATUS"]), 100, 0).run();
    assert!(seen.round_trips() <= 2, "{:?}", seen.commands());
    assert!(seen.count("STATUS") >= 100, "{:?}", seen.commands());
    assert_eq!(seen.count("SELECT") + seen.count("EXAMINE") + seen.count("UID"), 0, "{:?}", seen.commands());
}

#[test]
fn without_condstore_the_flags_of_each_folder_come_in_one_command() {
    // Nothing but a look at all flags shows that none changed, so every folder that holds something is due.
    let mut scene = Scene::with(without(&["CONDSTORE", "QRESYNC"]), 20, 3);
    let calm = scene.run();
    assert_eq!(calm.count("UID FETCH 1:* (UID FLAGS)"), 20, "{:?}", calm.commands());
    assert_eq!(calm.count("UID FETCH"), 20, "{:?}", calm.commands());
    assert!(calm.round_trips() <= 5, "{:?}", calm.commands());
    scene.append(7, "later");
    let seen = scene.run();
    assert_eq!(seen.count("UID FETCH 1:* (UID FLAGS)"), 20, "{:?}", seen.commands());
    assert_eq!(seen.count("UID FETCH"), 21, "{:?}", seen.commands());
    assert!(seen.round_trips() <= 6, "{:?}", seen.commands());
}
