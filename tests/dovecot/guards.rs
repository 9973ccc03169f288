//! Doubt never deletes: what is missing for no proven reason is held, explained, and ends with status 1.

use crate::support::dovecot::Options;
use crate::support::*;
use crate::world::*;
use std::fs;

fn many(count: usize) -> World {
    let subjects: Vec<String> = (0..count).map(|at| format!("m{at}")).collect();
    let subjects: Vec<&str> = subjects.iter().map(String::as_str).collect();
    World::synced(Dovecot::start(), &subjects)
}

/// Runs a sync that must hold something, and change nothing on the server.
#[track_caller]
fn held(world: &mut World) -> Output {
    let before = world.there();
    let out = world.home.mailsync(&["sync"]).exits(1);
    assert!(!out.stderr.is_empty(), "it must say what was held\n{out}");
    assert_eq!(world.there(), before, "the server was changed");
    out
}

#[test]
fn a_removed_tree_deletes_nothing() {
    let mut world = many(3);
    fs::remove_dir_all(world.home.mail()).expect("remove the tree");
    held(&mut world).done();
}

#[test]
fn an_emptied_tree_deletes_nothing() {
    let mut world = many(3);
    fs::remove_dir_all(world.home.mail()).expect("remove the tree");
    fs::create_dir(world.home.mail()).expect("make an empty one");
    held(&mut world).done();
}

#[test]
fn what_waits_for_a_folder_that_could_not_be_looked_at_goes_on_by_itself() {
    let mut world = many(3);
    world.server.create("Lists");
    world.server.append("Lists", &crlf(&mail("listed")), &[], Some(1_500_000_000));
    world.sync();
    world.server.delete("Lists", "listed");
    let (there, away) = (world.home.mail().join("INBOX/new"), world.home.path().join("away"));
    fs::rename(&there, &away).expect("take a directory away");
    held(&mut world).says("INBOX").says("main/Lists: held 1 deletion").never_says("--allow-delete").done();
    assert_eq!(world.maildir().messages("Lists").len(), 1);
    fs::rename(&away, &there).expect("bring it back");
    world.sync();
}

#[test]
fn folders_that_could_not_be_looked_at_here_hold_up_no_others() {
    let mut world = many(3);
    let names: Vec<String> = (0..8).map(|number| format!("Lists {number}")).collect();
    for name in &names {
        world.server.create(name);
        world.server.append(name, &crlf(&mail("first")), &[], Some(1_500_000_000));
    }
    world.sync();
    names.iter().for_each(|name| world.server.append(name, &crlf(&mail("later")), &[], Some(1_500_000_000)));
    let (away, mail) = (world.home.path().join("away"), world.home.mail());
    // The server has been asked for all of them by then, and what it says of these must not be waited for by the others.
    for name in &names[..4] {
        fs::rename(mail.join(name).join("new"), away.with_extension(name)).expect("take a directory away");
    }
    let mut told = world.home.mailsync(&["sync"]).exits(1);
    for name in &names[..4] {
        told = told.says(name);
    }
    told.done();
    names[4..].iter().for_each(|name| assert_eq!(world.maildir().messages(name).len(), 2, "{name}"));
    for name in &names[..4] {
        fs::rename(away.with_extension(name), mail.join(name).join("new")).expect("bring it back");
    }
    world.sync();
}

#[test]
fn a_tree_without_its_marker_deletes_nothing() {
    let mut world = many(3);
    for entry in fs::read_dir(world.home.mail()).expect("read the tree") {
        let path = entry.expect("read the tree").path();
        if path.is_file() {
            fs::remove_file(path).expect("remove the marker");
        }
    }
    world.maildir().remove(&world.maildir().message("INBOX", "m1"));
    held(&mut world).done();
}

#[test]
fn the_tree_of_another_account_is_left_alone() {
    let mut world = many(3);
    let other = many(2);
    fs::remove_dir_all(world.home.mail()).expect("remove the tree");
    fs::rename(other.home.mail(), world.home.mail()).expect("put another in its place");
    // The other account bears the same name; its state is what differs.
    let here = world.maildir().snapshot();
    held(&mut world).done();
    assert_eq!(world.maildir().snapshot(), here);
}

#[test]
fn a_removed_folder_deletes_nothing() {
    let mut world = many(3);
    world.server.create("Work");
    world.server.append("Work", &crlf(&mail("w")), &[], None);
    world.sync();
    fs::remove_dir_all(world.home.mail().join("Work")).expect("remove a folder");
    let before = world.there();
    let out = world.home.mailsync(&["sync"]);
    assert_eq!(world.there(), before, "the server was changed\n{out}");
}

#[test]
fn a_folder_deleted_on_the_server_deletes_no_message_here() {
    let mut world = many(3);
    world.server.create("Work");
    world.server.append("Work", &crlf(&mail("w")), &[], None);
    world.sync();
    world.server.delete_folder("Work");
    let out = world.home.mailsync(&["sync"]);
    assert_eq!(world.maildir().messages("Work").len(), 1, "{out}");
}

#[test]
fn a_folder_that_was_emptied_is_held_until_it_is_allowed_once() {
    let mut world = many(20);
    let maildir = world.maildir();
    maildir.messages("INBOX").iter().for_each(|message| maildir.remove(message));
    held(&mut world).says("--allow-delete").done();
    held(&mut world).done();
    world.home.mailsync(&["sync", "--allow-delete"]).exits(0).done();
    assert!(world.server.messages("INBOX").is_empty());
    world.in_step();
}

#[test]
fn a_folder_that_was_emptied_on_the_server_is_held_too() {
    let mut world = many(25);
    let uids: Vec<u32> = world.server.messages("INBOX").iter().map(|m| m.uid).collect();
    world.server.expunge("INBOX", &uids);
    held(&mut world).says("--allow-delete").done();
    assert_eq!(world.maildir().messages("INBOX").len(), 25);
    world.home.mailsync(&["sync", "--allow-delete"]).exits(0).done();
    world.in_step();
}

#[test]
fn more_than_a_hundred_deletions_and_half_of_a_folder_are_held() {
    let mut world = many(201);
    let maildir = world.maildir();
    let all = maildir.messages("INBOX");
    all[..100].iter().for_each(|message| maildir.remove(message));
    world.sync();
    world.server.append("INBOX", &crlf(&mail("new meanwhile")), &[], None);
    all[100..200].iter().for_each(|message| maildir.remove(message));
    world.sync();
    assert_eq!(world.server.messages("INBOX").len(), 2);
    let mut world = many(201);
    let maildir = world.maildir();
    maildir.messages("INBOX")[..101].iter().for_each(|message| maildir.remove(message));
    held(&mut world).says("101").done();
}

#[test]
fn the_numbers_of_the_guard_are_in_the_config() {
    let mut world = many(30);
    world.home.account(&world.dovecot, "alice", "max_delete = 5\nmax_delete_folder = 40");
    let maildir = world.maildir();
    maildir.messages("INBOX")[..16].iter().for_each(|message| maildir.remove(message));
    held(&mut world).done();
    world.home.account(&world.dovecot, "alice", "max_delete = 16");
    world.sync();
}

#[test]
fn trash_and_junk_may_be_emptied() {
    let mut world = World::new(Dovecot::with(Options { special_use: true, ..Options::default() }));
    // An account that loses all it had is held, Trash or not.
    world.server.append("INBOX", &crlf(&mail("stays")), &[], None);
    for at in 0..30 {
        world.server.append("Trash", &crlf(&mail(&format!("t{at}"))), &[], None);
        world.server.append("Junk", &crlf(&mail(&format!("j{at}"))), &[], None);
    }
    world.sync();
    let maildir = world.maildir();
    let empty = |folder: &str| maildir.messages(folder).iter().for_each(|message| maildir.remove(message));
    empty("Junk");
    // What was deleted there goes to the trash, and comes down.
    world.home.sync();
    world.sync();
    assert_eq!((world.server.messages("Junk").len(), world.server.messages("Trash").len()), (0, 60));
    empty("Trash");
    world.sync();
    assert!(world.server.messages("Trash").is_empty());
}

#[test]
fn moving_every_message_elsewhere_is_no_deletion() {
    let mut world = many(25);
    let maildir = world.maildir();
    maildir.create("Old");
    for message in maildir.messages("INBOX") {
        maildir.move_to(&message, "Old");
    }
    world.sync();
    assert_eq!(world.server.messages("Old").len(), 25);
    assert!(world.server.messages("INBOX").is_empty());
}

#[test]
fn what_is_held_does_not_hold_up_the_rest() {
    let mut world = many(20);
    let maildir = world.maildir();
    maildir.messages("INBOX").iter().for_each(|message| maildir.remove(message));
    world.server.append("INBOX", &crlf(&mail("new")), &[], None);
    world.server.create("Other");
    world.server.append("Other", &crlf(&mail("x")), &[], None);
    world.home.mailsync(&["sync"]).exits(1).done();
    assert_eq!(world.server.messages("INBOX").len(), 21);
    assert_eq!(maildir.messages("INBOX").len(), 1);
    assert_eq!(maildir.messages("Other").len(), 1);
}

/// Puts a user's mail on the server back to what it was, as from a backup.
fn roll_back(world: &mut World, then: &std::path::Path) {
    let home = world.dovecot.home("alice");
    fs::remove_dir_all(&home).expect("remove what the server has");
    copied(then, &home);
    world.server = world.dovecot.login("alice");
}

fn copied(from: &std::path::Path, to: &std::path::Path) {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().expect("run cp");
    assert!(status.success(), "copy {} to {}", from.display(), to.display());
}

#[test]
fn a_server_that_was_put_back_from_a_backup_gets_what_it_lost_and_loses_nothing_new() {
    on_both_servers(|dovecot| {
        let mut world = World::synced(dovecot, &["a", "b", "c"]);
        let backup = world.home.path().join("backup");
        copied(&world.dovecot.home("alice"), &backup);
        for subject in ["d", "e"] {
            world.server.append("INBOX", &crlf(&mail(subject)), &[], Some(1_500_000_000));
        }
        world.sync();
        roll_back(&mut world, &backup);
        // It gets the number of a message that is known here.
        world.server.append("INBOX", &crlf(&mail("new")), &[], Some(1_500_000_000));
        world.sync();
        let mut subjects: Vec<String> = world.maildir().messages("INBOX").iter().map(LocalMessage::subject).collect();
        subjects.sort();
        assert_eq!(subjects, ["a", "b", "c", "d", "e", "new"]);
        world.home.nothing_to_do();
    });
}

#[test]
fn a_number_that_is_another_message_now_is_not_deleted() {
    let mut world = World::synced(Dovecot::start(), &["a", "b"]);
    let backup = world.home.path().join("backup");
    copied(&world.dovecot.home("alice"), &backup);
    world.server.append("INBOX", &crlf(&mail("c")), &[], Some(1_500_000_000));
    world.sync();
    roll_back(&mut world, &backup);
    // As many as before, so that nothing but the messages themselves tells.
    world.server.append("INBOX", &crlf(&mail("other")), &[], Some(1_500_000_000));
    let maildir = world.maildir();
    maildir.remove(&maildir.message("INBOX", "c"));
    world.home.mailsync(&["sync"]).exits(1).says("another message").done();
    world.sync();
    assert_eq!(maildir.message("INBOX", "other").subject(), "other");
    world.home.nothing_to_do();
}
