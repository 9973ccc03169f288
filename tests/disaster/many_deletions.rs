//! Lessons, row 2: many deletions at once, on either side, and marks of deletion that are as good as deletions.

use crate::scene::Scene;
use crate::support::*;
use crate::world::on_both_servers;

#[test]
fn an_emptied_folder_here_is_held_until_it_is_decided() {
    on_both_servers(|dovecot| {
        let mut scene = Scene::new(dovecot, 25);
        let maildir = scene.world.maildir();
        maildir.messages("INBOX").iter().for_each(|message| maildir.remove(message));
        scene.holds(&["sync"]).says("--allow-delete").done();
        scene.holds(&["sync", "-n"]).done();
        scene.world.home.mailsync(&["sync", "--allow-delete"]).exits(0).done();
        assert!(scene.world.server.messages("INBOX").is_empty());
        scene.is_over();
    });
}

#[test]
fn an_emptied_folder_there_is_held_until_it_is_decided() {
    for decision in ["--allow-delete", "--restore"] {
        let mut scene = Scene::new(Dovecot::start(), 25);
        let uids: Vec<u32> = scene.world.server.messages("INBOX").iter().map(|m| m.uid).collect();
        scene.world.server.expunge("INBOX", &uids);
        scene.holds(&["sync"]).says(decision).done();
        scene.world.home.mailsync(&["sync", decision]).exits(0).done();
        let left = if decision == "--restore" { 25 } else { 0 };
        assert_eq!(scene.world.maildir().messages("INBOX").len(), left);
        scene.is_over();
    }
}

#[test]
fn more_than_a_hundred_and_half_of_a_folder_are_held_on_either_side() {
    let mut scene = Scene::new(Dovecot::start(), 150);
    let maildir = scene.world.maildir();
    maildir.messages("INBOX")[..110].iter().for_each(|message| maildir.remove(message));
    scene.holds(&["sync"]).says("110 of 150").done();
    scene.harmless(&["sync", "--restore"]).exits(0).done();
    scene.is_over();
    let uids: Vec<u32> = scene.world.server.messages("INBOX")[..110].iter().map(|m| m.uid).collect();
    scene.world.server.expunge("INBOX", &uids);
    scene.holds(&["sync"]).says("110 of 150").done();
    scene.world.home.mailsync(&["sync", "--allow-delete"]).exits(0).done();
    assert_eq!(maildir.messages("INBOX").len(), 40);
    scene.is_over();
}

#[test]
fn marks_of_deletion_on_everything_are_held_on_either_side() {
    on_both_servers(|dovecot| {
        let mut scene = Scene::new(dovecot, 25);
        let maildir = scene.world.maildir();
        let marked: Vec<_> = maildir.messages("INBOX").iter().map(|m| maildir.set_letters(m, "ST")).collect();
        scene.holds(&["sync"]).says("marked deleted").says("--allow-delete").done();
        scene.holds(&["sync"]).done();
        marked.iter().for_each(|message| drop(maildir.set_letters(message, "S")));
        scene.is_over();
        maildir.messages("INBOX").iter().for_each(|message| drop(maildir.set_letters(message, "ST")));
        scene.holds(&["sync"]).done();
        scene.world.home.mailsync(&["sync", "--allow-delete"]).exits(0).done();
        assert!(scene.world.server.messages("INBOX").iter().all(|message| message.has("\\Deleted")));
        scene.is_over();
    });
}

#[test]
fn marks_of_deletion_on_the_server_remove_no_file() {
    let mut scene = Scene::new(Dovecot::start(), 25);
    for message in scene.world.server.messages("INBOX") {
        scene.world.server.set_flags("INBOX", message.uid, &["\\Deleted"], &[]);
    }
    scene.holds(&["sync"]).says("marked deleted").done();
    scene.world.home.mailsync(&["sync", "--allow-delete"]).exits(0).done();
    assert!(scene.world.maildir().messages("INBOX").iter().all(|message| message.letters.contains('T')));
    scene.is_over();
}
