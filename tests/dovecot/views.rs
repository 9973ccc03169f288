//! `info` and `mutt-mailboxes` show what is there and change nothing.

use crate::support::dovecot::Options;
use crate::support::*;
use crate::world::*;
use std::fs;

#[test]
fn info_shows_both_sides_and_changes_nothing() {
    let dovecot = Dovecot::with(Options { special_use: true, ..Options::default() });
    let mut world = World::with(dovecot, "[account.main.folders]\nexclude = [\"Private*\"]\n");
    world.server.create("Private");
    world.server.append("INBOX", &crlf(&mail("a")), &[], None);
    for args in [&["info"][..], &["--info"], &["info", "main"]] {
        let out = world.home.mailsync(args).exits(0);
        out.says("INBOX").says("Private").says("127.0.0.1").says("Dovecot").says("CONDSTORE").done();
    }
    assert!(!world.home.mail().exists(), "info made the Maildir");
    assert!(!world.home.state("main").exists(), "info made a state");
    world.server.delete_folder("Private");
    world.sync();
    let before = world.maildir().snapshot();
    world.home.mailsync(&["info"]).exits(0).done();
    assert_eq!(world.maildir().snapshot(), before);
}

#[test]
fn info_speaks_json() {
    let mut world = World::synced(Dovecot::start(), &["a"]);
    world.server.create("Größe");
    let out = world.home.mailsync(&["info", "--json"]).exits(0);
    let value: serde_json::Value = serde_json::from_str(&out.stdout).expect("JSON on standard output");
    let text = value.to_string();
    assert!(text.contains("Größe") && text.contains("INBOX") && text.contains("main"), "{text}");
}

#[test]
fn info_names_folders_that_clash() {
    let mut world = World::with(Dovecot::start(), "[account.main.folders]\nrename = [{ lower = true }]\n");
    world.server.create("Work");
    world.server.create("WORK");
    let out = world.home.mailsync(&["info"]);
    out.says("Work").says("WORK").done();
}

#[test]
fn the_mailboxes_of_mutt_are_the_maildirs_that_are_there() {
    let mut world = World::synced(Dovecot::start(), &["a"]);
    world.server.create("Größe/b c");
    world.home.sync();
    let out = world.home.mailsync(&["mutt-mailboxes"]).exits(0);
    let lines: Vec<&str> = out.stdout.lines().filter(|line| line.starts_with("mailboxes ")).collect();
    let expected = world.maildir().folders().len();
    assert_eq!(lines.len(), expected, "{out}");
    assert!(out.stdout.contains("Größe"), "{out}");
}

#[test]
fn the_file_of_mutt_is_replaced_only_when_it_changes() {
    let mut world = World::synced(Dovecot::start(), &["a"]);
    let file = world.home.path().join("mailboxes");
    let write = |world: &World| world.home.mailsync(&["mutt-mailboxes", "-o", "mailboxes"]).exits(0).done();
    write(&world);
    let (text, before) = (fs::read_to_string(&file).expect("the file"), fs::metadata(&file).expect("the file"));
    write(&world);
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(&file).expect("the file").ino(), before.ino());
    world.server.create("New");
    world.home.sync();
    write(&world);
    assert_ne!(fs::read_to_string(&file).expect("the file"), text);
}

#[test]
fn a_sync_refreshes_the_file_of_mutt() {
    let mut world = World::with(Dovecot::start(), "[mutt]\nfile = \"~/mailboxes\"\n");
    world.server.create("Work");
    world.home.sync();
    let text = fs::read_to_string(world.home.path().join("mailboxes")).expect("the file");
    assert!(text.contains("Work"), "{text}");
}

#[test]
fn the_mailboxes_of_mutt_need_no_server() {
    let world = World::synced(Dovecot::start(), &["a"]);
    let World { dovecot, home, server } = world;
    drop(server);
    drop(dovecot);
    home.mailsync(&["mutt-mailboxes"]).exits(0).says("INBOX").done();
}

#[test]
fn offlineimaps_mbnames_form_is_a_template() {
    let world = World::with(Dovecot::start(), "[mutt]\nheader = \"mailboxes \"\nitem = \"+%(accountname)s\"\n");
    world.home.sync();
    world.home.mailsync(&["mutt-mailboxes", "--template", "mbnames"]).exits(0).done();
}
