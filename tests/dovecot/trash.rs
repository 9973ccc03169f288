//! What becomes of deleted messages: into the trash on the server, into the bin here, and back.

use crate::support::dovecot::Options;
use crate::support::*;
use crate::world::*;
use std::path::PathBuf;

fn special_use(capability: Option<&str>) -> Dovecot {
    Dovecot::with(Options { special_use: true, capability: capability.map(str::to_owned), ..Options::default() })
}

/// A synced world with more config, and these messages in INBOX.
fn synced_with(dovecot: Dovecot, more: &str, subjects: &[&str]) -> World {
    let mut world = World::with(dovecot, more);
    for subject in subjects {
        world.server.append("INBOX", &crlf(&mail(subject)), &["\\Seen", "$Work"], Some(1_500_000_000));
    }
    world.sync();
    world
}

fn subjects(world: &mut World, folder: &str) -> Vec<String> {
    let mut subjects: Vec<String> = world.server.messages(folder).iter().map(|message| message.subject()).collect();
    subjects.sort();
    subjects
}

fn bin(world: &World) -> PathBuf {
    world.home.path().join(".local/state/mailsync/main.deleted")
}

#[test]
fn what_is_deleted_here_goes_to_the_trash_of_a_server_that_marks_one() {
    for capability in [None, Some("IMAP4rev1 SPECIAL-USE"), Some("IMAP4rev1 SPECIAL-USE UIDPLUS")] {
        let mut world = synced_with(special_use(capability), "", &["a", "b", "c"]);
        let maildir = world.maildir();
        maildir.set_letters(&maildir.message("INBOX", "a"), "ST");
        world.sync();
        assert_eq!(subjects(&mut world, "INBOX"), ["a", "b", "c"], "a mark deletes nothing");
        assert!(world.server.message("INBOX", "a").has("\\Deleted"));
        maildir.remove(&maildir.message("INBOX", "a"));
        maildir.remove(&maildir.message("INBOX", "b"));
        let dry = world.home.mailsync(&["sync", "-n"]).exits(0);
        dry.says("would move UID 1 to Trash on remote: gone on the other side").done();
        assert_eq!(subjects(&mut world, "Trash"), [""; 0]);
        world.home.sync();
        assert_eq!(subjects(&mut world, "INBOX"), ["c"]);
        assert_eq!(subjects(&mut world, "Trash"), ["a", "b"]);
        let trashed = world.server.message("Trash", "a");
        assert!(trashed.has("$Work") && !trashed.has("\\Deleted"), "{:?}", trashed.flags);
        assert_eq!(trashed.date, 1_500_000_000);
        // What came to the trash comes down, and what is deleted there is gone for good.
        world.sync();
        maildir.remove(&maildir.message("Trash", "a"));
        world.sync();
        assert_eq!(subjects(&mut world, "Trash"), ["b"]);
        world.home.nothing_to_do();
    }
}

#[test]
fn without_a_marked_trash_or_with_none_it_is_expunged() {
    for (dovecot, more) in [(Dovecot::start(), ""), (special_use(None), "trash = \"none\"")] {
        let mut world = World::with(dovecot, more);
        // On the first server it is only called so.
        if !world.server.list().contains(&"Trash".to_owned()) {
            world.server.create("Trash");
        }
        world.server.append("INBOX", &crlf(&mail("a")), &[], None);
        world.sync();
        world.maildir().remove(&world.maildir().message("INBOX", "a"));
        world.sync();
        assert_eq!(subjects(&mut world, "INBOX").len() + subjects(&mut world, "Trash").len(), 0);
    }
}

#[test]
fn a_trash_that_was_asked_for_is_used_or_missed() {
    on_both_servers(|dovecot| {
        let mut world = synced_with(dovecot, "trash = \"role:trash\"", &["a", "b"]);
        world.maildir().remove(&world.maildir().message("INBOX", "a"));
        let out = world.home.mailsync(&["sync"]).exits(1).says("no folder has the role of trash");
        out.says("hint: make the folder there").done();
        assert_eq!(subjects(&mut world, "INBOX"), ["a", "b"]);
        world.server.create("Trash");
        world.home.sync();
        assert_eq!(
            (subjects(&mut world, "INBOX"), subjects(&mut world, "Trash")),
            (vec!["b".to_owned()], vec!["a".to_owned()])
        );
        world.sync();
        let other = ["sync", "-o", "account.main.trash=\"Old\""];
        world.maildir().remove(&world.maildir().message("INBOX", "b"));
        world.home.mailsync(&other).exits(1).says("there is no folder Old").done();
        world.server.create("Old");
        world.home.mailsync(&other).exits(0).done();
        assert_eq!(subjects(&mut world, "Old"), ["b"]);
    });
}

#[test]
fn the_mark_of_being_deleted_deletes_no_file() {
    on_both_servers(|dovecot| {
        let mut world = World::synced(dovecot, &["a"]);
        let uid = world.server.message("INBOX", "a").uid;
        world.server.set_flags("INBOX", uid, &["\\Deleted"], &[]);
        world.sync();
        assert_eq!(world.maildir().message("INBOX", "a").letters, "T");
        assert_eq!(world.server.messages("INBOX").len(), 1);
        world.home.nothing_to_do();
        assert!(!bin(&world).exists());
    });
}

#[test]
fn what_is_deleted_on_the_server_can_be_had_back() {
    on_both_servers(|dovecot| {
        let mut world = synced_with(dovecot, "", &["a", "b", "c"]);
        world.server.delete("INBOX", "a");
        world.server.delete("INBOX", "b");
        world.sync();
        let kept = Maildir::new(bin(&world)).messages("INBOX");
        assert_eq!(kept.len(), 2);
        assert!(kept.iter().all(|kept| kept.date == 1_500_000_000 && kept.letters == "S"), "{kept:?}");
        let list = world.home.mailsync(&["undelete"]).exits(0);
        list.clone().says("main: 2 deleted, kept in ").says("Ann <ann@example.org>  2017-07-14 02:40 UTC").done();
        let json: serde_json::Value =
            serde_json::from_str(&world.home.mailsync(&["undelete", "--json"]).exits(0).stdout).expect("JSON");
        let messages = json["messages"].as_array().expect("messages");
        let of = |subject: &str| messages.iter().find(|m| m["subject"] == subject).expect("it is listed").clone();
        assert_eq!(
            (of("a")["folder"].as_str(), of("a")["flags"].to_string()),
            (Some("INBOX"), r#"["\\Seen","$Work"]"#.to_owned())
        );
        let id = of("a")["id"].as_str().expect("an ID").to_owned();
        world.home.mailsync(&["undelete", "-n", &id]).exits(0).says("would put back").says(": a").done();
        assert_eq!(world.maildir().messages("INBOX").len(), 1);
        world.home.mailsync(&["undelete", &id]).exits(0).says("the next sync takes 1 to the server").done();
        world.home.mailsync(&["undelete", &id]).exits(2).says("no deleted message that is kept has the ID").done();
        world.sync();
        let back = world.server.message("INBOX", "a");
        assert!(back.has("\\Seen") && back.has("$Work") && back.date == 1_500_000_000, "{back:?}");
        world.home.nothing_to_do();
        // A folder that is gone is made again, here and there.
        world.home.mailsync(&["undelete", "--all", "-f", "Nowhere"]).exits(0).says("nothing that was deleted").done();
        world.home.mailsync(&["undelete", "main", "--all", "-f", "INBOX", "--since", "2d"]).exits(0).says(": b").done();
        world.sync();
        assert_eq!(subjects(&mut world, "INBOX"), ["a", "b", "c"]);
        world.home.mailsync(&["undelete"]).exits(0).says("main: nothing that was deleted is kept").done();
    });
}

#[test]
fn what_was_kept_for_long_enough_is_gone_and_no_retention_keeps_nothing() {
    let mut world = synced_with(Dovecot::start(), "retain_deleted = \"1s\"", &["a", "b"]);
    world.server.delete("INBOX", "a");
    world.sync();
    world.home.mailsync(&["undelete"]).exits(0).says("1 deleted").done();
    std::thread::sleep(std::time::Duration::from_millis(2100));
    world.home.sync();
    assert!(Maildir::new(bin(&world)).all().is_empty());
    world.server.delete("INBOX", "b");
    world.home.mailsync(&["sync", "-o", "account.main.retain_deleted=0"]).exits(0).done();
    assert!(world.maildir().messages("INBOX").is_empty() && Maildir::new(bin(&world)).all().is_empty());
}

#[test]
fn what_the_bin_cannot_take_stays_and_is_deleted_later() {
    let mut world = synced_with(Dovecot::start(), "", &["a", "b"]);
    std::fs::write(bin(&world), "in the way").expect("written");
    world.server.delete("INBOX", "a");
    for _ in 0..2 {
        world.home.mailsync(&["sync"]).exits(1).says("keep what is deleted").says("retain_deleted = \"0\"").done();
        assert_eq!(world.maildir().messages("INBOX").len(), 2);
    }
    std::fs::remove_file(bin(&world)).expect("removed");
    world.sync();
    assert_eq!(Maildir::new(bin(&world)).messages("INBOX").len(), 1);
}

#[test]
fn nothing_is_put_back_during_a_sync_nor_where_nothing_is_mounted() {
    let mut world = synced_with(Dovecot::start(), "", &["a", "b"]);
    world.server.delete("INBOX", "a");
    world.sync();
    let lock =
        std::fs::File::options().write(true).open(world.home.state("main").with_extension("lock")).expect("a lock");
    lock.try_lock().expect("locked");
    world.home.mailsync(&["undelete", "--all"]).exits(3).says("another run holds the lock").done();
    drop(lock);
    std::fs::rename(world.home.mail(), world.home.path().join("away")).expect("moved");
    world.home.mailsync(&["undelete", "--all"]).exits(1).says("is not there").done();
    std::fs::create_dir(world.home.mail()).expect("made");
    world.home.mailsync(&["undelete", "--all"]).exits(1).says("does not bear this account's mark").done();
    assert_eq!(Maildir::new(bin(&world)).messages("INBOX").len(), 1);
}
