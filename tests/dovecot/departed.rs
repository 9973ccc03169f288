//! Folders that were deleted on one side.

use crate::support::*;
use crate::world::*;
use std::fs;

const PROPAGATE: &str = "[account.main.folders]\ndelete = \"propagate\"\n";

/// A world with five folders of two messages each, synced.
fn synced(dovecot: Dovecot, more: &str) -> World {
    let mut world = World::with(dovecot, more);
    for folder in ["INBOX", "Old", "Old/in", "Other", "Work"] {
        if folder != "INBOX" {
            world.server.create(folder);
        }
        for number in 1..3 {
            world.server.append(
                folder,
                &crlf(&mail(&format!("{folder} {number}"))),
                &["\\Seen", "later"],
                Some(1_500_000_000),
            );
        }
    }
    world.sync();
    world.server = world.dovecot.login("alice");
    world
}

#[test]
fn a_folder_deleted_on_the_server_is_kept_and_told_until_somebody_decides() {
    let mut world = synced(Dovecot::start(), "");
    world.server.delete_folder("Other");
    let before = world.maildir().snapshot();
    for _ in 0..2 {
        world.home.mailsync(&["sync"]).exits(1).says("Other").says("--restore").says("propagate").done();
        assert_eq!(world.maildir().snapshot(), before);
        assert!(!world.server.list().contains(&"Other".to_owned()), "it was made again");
    }
    fs::remove_dir_all(world.home.mail().join("Other")).expect("removed by hand");
    world.sync();
    world.home.nothing_to_do();
}

#[test]
fn a_folder_deleted_on_the_server_goes_here_too_where_that_is_wanted() {
    on_both_servers(|dovecot| {
        let mut world = synced(dovecot, PROPAGATE);
        world.server.delete_folder("Other");
        let out = world.home.mailsync(&["sync", "-n"]).exits(0);
        assert!(out.stdout.contains("delete the local folder with 2 messages"), "{out}");
        assert!(world.home.mail().join("Other").exists());
        world.sync();
        assert!(!world.home.mail().join("Other").exists());
        world.home.nothing_to_do();
    });
}

#[test]
fn a_folder_with_files_of_others_is_not_emptied_either() {
    let mut world = synced(Dovecot::start(), PROPAGATE);
    world.server.delete_folder("Other");
    let foreign = world.home.mail().join("Other/.mbsyncstate");
    fs::write(&foreign, "of another program").expect("written");
    let before = world.maildir().snapshot();
    for args in [&["sync", "-n"][..], &["sync"], &["sync"]] {
        world.home.mailsync(args).exits(1).says("Other").says(".mbsyncstate").says("move it away").done();
        assert_eq!(world.maildir().snapshot(), before);
    }
    fs::remove_file(foreign).expect("removed");
    world.sync();
    assert!(!world.home.mail().join("Other").exists());
}

#[test]
fn the_folders_inside_stay() {
    on_both_servers(|dovecot| {
        let mut world = synced(dovecot, PROPAGATE);
        world.server.delete_folder("Old");
        world.home.sync();
        let maildir = world.maildir();
        assert!(!maildir.folders().contains(&"Old".to_owned()) && maildir.messages("Old/in").len() == 2);
        world.home.nothing_to_do();
        world.server.delete_folder("Old/in");
        world.home.sync();
        assert!(!world.home.mail().join("Old").exists());
    });
}

#[test]
fn a_folder_with_something_of_its_own_stays() {
    let mut world = synced(Dovecot::start(), PROPAGATE);
    world.maildir().deliver("Other", &mail("never synced"));
    world.server.delete_folder("Other");
    world.home.mailsync(&["sync"]).exits(1).says("never synced").done();
    assert_eq!(world.maildir().messages("Other").len(), 3);
    world.home.mailsync(&["sync", "--restore"]).exits(0).done();
    assert_eq!(world.server.messages("Other").len(), 3);
    world.sync();
    world.server = world.dovecot.login("alice");
    world.server.delete_folder("Other");
    fs::write(world.home.mail().join("Other/notes"), "mine").expect("written");
    world.home.mailsync(&["sync"]).exits(1).says("notes").done();
    assert!(world.home.mail().join("Other/notes").exists() && world.home.mail().join("Other/cur").exists());
    fs::remove_file(world.home.mail().join("Other/notes")).expect("moved away");
    world.sync();
    assert!(!world.home.mail().join("Other").exists());
}

#[test]
fn a_folder_deleted_here_stays_on_the_server() {
    let mut world = synced(Dovecot::start(), PROPAGATE);
    fs::remove_dir_all(world.home.mail().join("Other")).expect("removed");
    let before = world.there();
    world.home.mailsync(&["sync"]).exits(1).says("--allow-delete").done();
    assert_eq!(world.there(), before);
    world.home.mailsync(&["sync", "--restore"]).exits(0).done();
    world.in_step();
}

#[test]
fn a_folder_deleted_and_made_again_is_paired_again() {
    on_both_servers(|dovecot| {
        let mut world = synced(dovecot, PROPAGATE);
        world.server.delete_folder("Work");
        world.server.create("Work");
        world.server.append("Work", &crlf(&mail("Work 2")), &["\\Seen"], Some(1_500_000_000));
        world.server.append("Work", &crlf(&mail("other")), &[], Some(1_500_000_001));
        world.home.sync();
        world.home.sync();
        world.in_step();
        let here: Vec<String> = world.maildir().messages("Work").iter().map(LocalMessage::subject).collect();
        for subject in ["Work 1", "Work 2", "other"] {
            assert_eq!(here.iter().filter(|one| *one == subject).count(), 1, "{subject} of {here:?}");
        }
    });
}

#[test]
fn a_subscription_alone_makes_no_folder() {
    on_both_servers(|dovecot| {
        let mut world = synced(dovecot, "");
        world.server.subscribe("Other");
        world.server.delete_folder("Other");
        fs::remove_dir_all(world.home.mail().join("Other")).expect("removed");
        world.sync();
        assert!(!world.home.mail().join("Other").exists());
        assert!(!world.server.list().contains(&"Other".to_owned()));
        world.home.nothing_to_do();
    });
}
