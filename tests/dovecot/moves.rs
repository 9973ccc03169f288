//! Moves between folders, in every way that programs make them: no body crosses the line, nothing is lost or doubled.

use crate::support::*;
use crate::world::*;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Three messages in INBOX, and an empty Archive.
fn world(dovecot: Dovecot) -> World {
    let mut world = World::synced(dovecot, &["a", "b", "keep"]);
    world.server.create("Archive");
    world.sync();
    world
}

/// Syncs; both sides must then be in step, and no message's content may have crossed the line. Gives the commands.
#[track_caller]
fn sync_without_bodies(world: &mut World) -> Vec<String> {
    let out = world.home.mailsync(&["-d", "imap", "sync"]).exits(0);
    let sent: Vec<String> = out.stderr.lines().filter(|line| line.contains(" C: ")).map(str::to_owned).collect();
    assert!(sent.len() > 2, "the line was not told\n{out}");
    for line in &sent {
        assert!(!line.contains("APPEND") && !line.contains("BODY.PEEK[]"), "{line}\n{out}");
    }
    world.in_step();
    world.home.nothing_to_do();
    sent
}

/// The subjects of Archive and INBOX on the server, where both sides are in step.
fn subjects(world: &mut World) -> (Vec<String>, Vec<String>) {
    let mut of = |folder: &str| {
        let mut subjects: Vec<String> = world.server.messages(folder).iter().map(ServerMessage::subject).collect();
        subjects.sort();
        subjects
    };
    (of("Archive"), of("INBOX"))
}

/// Where a message's file lands that is moved with this very name.
fn beside(world: &World, message: &LocalMessage, folder: &str, name: &str) -> PathBuf {
    world.home.mail().join(folder).join(&message.dir).join(name)
}

fn name_of(message: &LocalMessage) -> String {
    message.path.file_name().expect("a name").to_string_lossy().into_owned()
}

#[test]
fn a_file_that_is_moved_is_moved_on_the_server_whatever_becomes_of_its_name() {
    on_both_servers(|dovecot| {
        let mut world = world(dovecot);
        let maildir = world.maildir();
        // Saved as mutt does: a new file under a new name, the old one removed.
        let a = maildir.message("INBOX", "a");
        maildir.save("Archive", &a.bytes(), "S", Some(a.date));
        maildir.remove(&a);
        // Moved as scripts do, under its own name.
        let b = maildir.message("INBOX", "b");
        fs::rename(&b.path, beside(&world, &b, "Archive", &name_of(&b))).expect("move a file");
        let sent = sync_without_bodies(&mut world);
        let sent = |word: &str| sent.iter().any(|line| line.contains(word));
        assert!(sent("UID MOVE") != sent("UID COPY"), "one of the two ways, and no other");
        assert_eq!(subjects(&mut world), (vec!["a".into(), "b".into()], vec!["keep".into()]));
    });
}

#[test]
fn foreign_marks_in_file_names_say_nothing() {
    on_both_servers(|dovecot| {
        let mut world = world(dovecot);
        let maildir = world.maildir();
        // Names as mbsync and OfflineIMAP give them, with UIDs that are other messages' here.
        for (subject, mark) in [("a", ",U=3"), ("b", ",U=3,FMD5=7e33429f656f1e6e9d79b29c3f82c57e")] {
            let message = maildir.message("INBOX", subject);
            let name = format!("{}{mark}:2,S", message.unique);
            fs::rename(&message.path, world.home.mail().join("INBOX/cur").join(name)).expect("rename a file");
        }
        sync_without_bodies(&mut world);
        assert_eq!(world.server.message("INBOX", "a").flags, ["\\Seen"]);
        for subject in ["a", "b"] {
            let message = maildir.message("INBOX", subject);
            fs::rename(&message.path, beside(&world, &message, "Archive", &name_of(&message))).expect("move a file");
        }
        sync_without_bodies(&mut world);
        assert_eq!(subjects(&mut world), (vec!["a".into(), "b".into()], vec!["keep".into()]));
    });
}

#[test]
fn a_copy_and_a_hard_link_are_messages_of_their_own() {
    on_both_servers(|dovecot| {
        let mut world = world(dovecot);
        let maildir = world.maildir();
        let (a, b) = (maildir.message("INBOX", "a"), maildir.message("INBOX", "b"));
        fs::hard_link(&a.path, beside(&world, &a, "Archive", &name_of(&a))).expect("link a file");
        fs::copy(&b.path, beside(&world, &b, "Archive", &name_of(&b))).expect("copy a file");
        world.home.sync();
        let (archive, inbox) = subjects(&mut world);
        assert_eq!((archive, inbox.len()), (vec!["a".into(), "b".into()], 3));
        // And what is done to one of the two is done to that one alone.
        maildir.remove(&maildir.message("INBOX", "a"));
        maildir.set_letters(&maildir.message("Archive", "b"), "F");
        world.home.sync();
        assert_eq!(subjects(&mut world), (vec!["a".into(), "b".into()], vec!["b".into(), "keep".into()]));
        assert_eq!(world.server.message("Archive", "b").flags, ["\\Flagged"]);
        assert!(!world.server.message("INBOX", "b").has("\\Flagged"));
        world.home.nothing_to_do();
    });
}

#[test]
fn a_message_that_is_moved_on_the_server_is_the_same_file_here() {
    on_both_servers(|dovecot| {
        let mut world = world(dovecot);
        let before = fs::metadata(&world.maildir().message("INBOX", "a").path).expect("a file");
        let uid = world.server.message("INBOX", "a").uid;
        world.server.move_to("INBOX", uid, "Archive");
        let uid = world.server.message("Archive", "a").uid;
        world.server.set_flags("Archive", uid, &["\\Flagged"], &[]);
        sync_without_bodies(&mut world);
        let after = world.maildir().message("Archive", "a");
        assert_eq!((fs::metadata(&after.path).expect("a file").ino(), after.letters.as_str()), (before.ino(), "F"));
    });
}

#[test]
fn moves_there_and_back_and_across_each_other_end_right() {
    on_both_servers(|dovecot| {
        let mut world = world(dovecot);
        let maildir = world.maildir();
        for _ in 0..3 {
            maildir.move_to(&maildir.message("INBOX", "a"), "Archive");
            let uid = world.server.message("INBOX", "b").uid;
            world.server.move_to("INBOX", uid, "Archive");
            sync_without_bodies(&mut world);
            let uid = world.server.message("Archive", "a").uid;
            world.server.move_to("Archive", uid, "INBOX");
            maildir.move_to(&maildir.message("Archive", "b"), "INBOX");
            sync_without_bodies(&mut world);
        }
        // Both sides make the same move: one message it was, and one it stays.
        maildir.move_to(&maildir.message("INBOX", "a"), "Archive");
        let uid = world.server.message("INBOX", "a").uid;
        world.server.move_to("INBOX", uid, "Archive");
        world.sync();
        world.home.nothing_to_do();
        assert_eq!(subjects(&mut world), (vec!["a".into()], vec!["b".into(), "keep".into()]));
    });
}

#[test]
fn a_move_of_which_a_run_sees_only_one_half_ends_right_in_the_next() {
    on_both_servers(|dovecot| {
        let mut world = world(dovecot);
        let maildir = world.maildir();
        // Here: first the copy, then the removal; and the other way around, the message being nowhere in between.
        let a = maildir.message("INBOX", "a");
        maildir.save("Archive", &a.bytes(), "", Some(a.date));
        world.home.sync();
        maildir.remove(&maildir.message("INBOX", "a"));
        world.sync();
        let b = maildir.message("INBOX", "b");
        let kept = (b.bytes(), b.date);
        maildir.remove(&b);
        world.home.sync();
        maildir.save("Archive", &kept.0, "", Some(kept.1));
        world.sync();
        assert_eq!(subjects(&mut world), (vec!["a".into(), "b".into()], vec!["keep".into()]));
        // There: the folder that it left is synced alone, then the one into which it went, and the other way around.
        for (subject, order) in [("a", ["INBOX", "Archive"]), ("b", ["Archive", "INBOX"])] {
            let uid = world.server.message("Archive", subject).uid;
            world.server.move_to("Archive", uid, "INBOX");
            for folder in order {
                world.home.mailsync(&["sync", "-f", folder]).exits(0).done();
            }
            world.sync();
        }
        assert_eq!(subjects(&mut world), (vec![], vec!["a".into(), "b".into(), "keep".into()]));
        world.home.nothing_to_do();
    });
}

#[test]
fn equal_messages_that_are_moved_stay_as_many() {
    on_both_servers(|dovecot| {
        let mut world = World::synced(dovecot, &["same", "same", "same"]);
        world.server.create("Archive");
        world.sync();
        let maildir = world.maildir();
        maildir.move_to(&maildir.messages("INBOX")[0], "Archive");
        maildir.move_to(&maildir.messages("INBOX")[0], "Archive");
        world.sync();
        assert_eq!((world.server.messages("INBOX").len(), world.server.messages("Archive").len()), (1, 2));
        let uid = world.server.messages("Archive")[0].uid;
        world.server.move_to("Archive", uid, "INBOX");
        world.sync();
        assert_eq!((maildir.messages("INBOX").len(), maildir.messages("Archive").len()), (2, 1));
        world.home.nothing_to_do();
    });
}
