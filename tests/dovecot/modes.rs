//! One way only: what the mode of an account or a folder leaves alone is left alone, and that is no failure.

use crate::support::*;
use crate::world::*;

/// Commands that change something on a server, and the one that would allow it.
const WRITES: [&str; 10] =
    ["APPEND", "STORE", "EXPUNGE", "MOVE", "COPY", "CREATE", "DELETE", "RENAME", " SUBSCRIBE ", " SELECT "];

fn world(dovecot: Dovecot, more: &str) -> World {
    let mut world = World::with(dovecot, more);
    for subject in ["one", "two", "three"] {
        world.server.append("INBOX", &crlf(&mail(subject)), &[], Some(1_500_000_000));
    }
    world.server.create("Archive");
    world.server.append("Archive", &crlf(&mail("old")), &[], Some(1_500_000_000));
    world.home.sync();
    world
}

/// Syncs, which must succeed, and expects that no command was sent that could change the server.
#[track_caller]
fn sync_without_writing(world: &World) {
    let out = world.home.mailsync(&["-d", "imap", "sync"]).exits(0);
    assert!(out.stderr.contains("EXAMINE"), "no folder was looked at\n{out}");
    for line in out.stderr.lines().filter(|line| line.contains(" C: ")) {
        assert!(!WRITES.iter().any(|word| line.contains(word)), "{line}\n{out}");
    }
}

fn subjects(mut subjects: Vec<String>) -> Vec<String> {
    subjects.sort();
    subjects
}

fn here(world: &World, folder: &str) -> Vec<String> {
    subjects(world.maildir().messages(folder).iter().map(LocalMessage::subject).collect())
}

fn there(world: &mut World, folder: &str) -> Vec<String> {
    subjects(world.server.messages(folder).iter().map(ServerMessage::subject).collect())
}

#[test]
fn a_mirror_follows_the_server_and_never_writes_to_it() {
    on_both_servers(|dovecot| {
        let mut world = world(dovecot, "mode = \"pull-mirror\"");
        let maildir = world.maildir();
        maildir.save("INBOX", &mail("mine"), "S", None);
        maildir.create("Local");
        maildir.save("Local", &mail("own"), "", None);
        maildir.remove(&maildir.message("INBOX", "one"));
        maildir.set_letters(&maildir.message("INBOX", "two"), "F");
        let before = world.there();
        sync_without_writing(&world);
        assert_eq!(world.there(), before);
        world.server.append("INBOX", &crlf(&mail("four")), &["\\Seen"], Some(1_500_000_000));
        world.server.delete("INBOX", "three");
        sync_without_writing(&world);
        assert_eq!(here(&world, "INBOX"), ["four", "mine", "two"]);
        assert_eq!(here(&world, "Local"), ["own"]);
        world.home.nothing_to_do();
    });
}

#[test]
fn an_archive_keeps_what_the_server_deletes() {
    on_both_servers(|dovecot| {
        let mut world = world(dovecot, "mode = \"pull-archive\"");
        world.server.delete("INBOX", "one");
        let two = world.server.message("INBOX", "two").uid;
        world.server.move_to("INBOX", two, "Archive");
        sync_without_writing(&world);
        assert_eq!(here(&world, "INBOX"), ["one", "three", "two"]);
        assert_eq!(here(&world, "Archive"), ["old", "two"]);
        sync_without_writing(&world);
        world.home.nothing_to_do();
    });
}

#[test]
fn what_is_pushed_changes_nothing_here() {
    on_both_servers(|dovecot| {
        let mut world = World::with(dovecot, "mode = \"push\"");
        let maildir = world.maildir();
        maildir.create("INBOX");
        for subject in ["one", "two"] {
            maildir.save("INBOX", &mail(subject), "", None);
        }
        world.home.sync();
        assert_eq!(there(&mut world, "INBOX"), ["one", "two"]);
        world.server.append("INBOX", &crlf(&mail("there only")), &[], None);
        world.server.create("Other");
        world.server.delete("INBOX", "one");
        let two = world.server.message("INBOX", "two").uid;
        world.server.set_flags("INBOX", two, &["\\Flagged"], &[]);
        let before = maildir.snapshot();
        world.home.sync();
        assert_eq!(maildir.snapshot(), before);
        assert_eq!(maildir.folders(), ["INBOX"]);
        maildir.remove(&maildir.message("INBOX", "two"));
        world.home.sync();
        assert_eq!(there(&mut world, "INBOX"), ["there only"]);
    });
}

#[test]
fn a_folder_may_have_a_mode_of_its_own() {
    let modes = "[account.main.folders]\nmodes = [{ folder = \"Archive\", mode = \"pull-archive\" }]";
    let mut world = world(Dovecot::start(), modes);
    let maildir = world.maildir();
    maildir.remove(&maildir.message("INBOX", "one"));
    maildir.save("Archive", &mail("mine"), "S", None);
    world.server.delete("Archive", "old");
    world.home.sync();
    assert_eq!(there(&mut world, "INBOX"), ["three", "two"]);
    assert_eq!((there(&mut world, "Archive"), here(&world, "Archive")), (vec![], vec!["mine".into(), "old".into()]));
    let three = maildir.message("INBOX", "three");
    maildir.move_to(&three, "Archive");
    world.home.sync();
    // What may not be moved there stays where it was on the server until its own folder says that it is gone.
    assert_eq!(there(&mut world, "Archive"), [] as [&str; 0]);
    world.home.mailsync(&["sync", "--dry-run"]).exits(0).says("mode leaves the remote side as it is").done();
}
