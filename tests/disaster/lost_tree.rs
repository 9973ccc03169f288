//! Lessons, row 1: the local tree is empty, missing, unmounted, a dangling link, made anew, or another one.

use crate::scene::{Scene, away};
use crate::support::*;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// What is in its place, and how it comes there.
type Loss = (&'static str, fn(&Scene));

/// What may become of a tree that was moved away.
fn losses() -> Vec<Loss> {
    vec![
        ("nothing in its place", |_| ()),
        ("an empty directory, as below a mount point", |scene| {
            fs::create_dir(scene.world.home.mail()).expect("make a directory");
        }),
        ("a dangling link", |scene| symlink("/nowhere/at/all", scene.world.home.mail()).expect("make a link")),
        ("empty Maildirs without the marker", |scene| {
            scene.world.maildir().create("INBOX");
            scene.world.maildir().create("Work");
        }),
        ("a file", |scene| fs::write(scene.world.home.mail(), "").expect("make a file")),
    ]
}

#[test]
fn a_tree_that_is_gone_is_waited_for() {
    let mut scene = Scene::new(Dovecot::start(), 5);
    for (what, lose) in losses() {
        let away = away(&scene.world);
        lose(&scene);
        for args in [&["sync"][..], &["sync", "-n"], &["sync", "-f", "INBOX"]] {
            let out = scene.holds(args);
            assert!(out.stderr.contains("--restore") || what == "a file", "{what}\n{out}");
        }
        let mail = scene.world.home.mail();
        if fs::symlink_metadata(&mail).is_ok_and(|meta| meta.is_dir()) {
            fs::remove_dir_all(&mail).expect("remove what was in its place");
        } else {
            fs::remove_file(&mail).ok();
        }
        fs::rename(&away, &mail).expect("bring it back");
        scene.is_over();
    }
}

#[test]
fn a_tree_that_is_lost_is_brought_back_when_that_is_asked_for() {
    for empty in [false, true] {
        let mut scene = Scene::new(Dovecot::start(), 5);
        fs::remove_dir_all(scene.world.home.mail()).expect("remove the tree");
        if empty {
            fs::create_dir(scene.world.home.mail()).expect("make an empty one");
        }
        scene.holds(&["sync"]).says("--restore").done();
        scene.harmless(&["sync", "--restore"]).exits(0).done();
        scene.is_over();
        assert_eq!(scene.world.maildir().messages("INBOX").len(), 5);
    }
}

#[test]
fn an_older_copy_of_the_tree_deletes_nothing_there() {
    let mut scene = Scene::new(Dovecot::start(), 5);
    let backup = scene.world.home.path().join("backup");
    let copy = |from: &Path, to: &Path| {
        let done = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("run cp");
        assert!(done.success(), "the copy failed");
    };
    copy(&scene.world.home.mail(), &backup);
    for at in 0..3 {
        scene.world.server.append("INBOX", &crlf(&mail(&format!("later {at}"))), &["\\Seen"], Some(1_500_000_000));
    }
    scene.world.maildir().save("Work", &mail("later here"), "S", Some(1_500_000_000));
    scene.world.sync();
    for args in [&["sync", "--restore", "-f", "Work"][..], &["sync", "--restore"]] {
        fs::remove_dir_all(scene.world.home.mail()).expect("remove the tree");
        copy(&backup, &scene.world.home.mail());
        for args in [&["sync"][..], &["sync", "-n"], &["sync", "-f", "INBOX"]] {
            scene.holds(args).says("older copy").says("--restore").done();
        }
        scene.world.home.mailsync(&["check"]).exits(1).says("older copy").done();
        scene.harmless(args).exits(0).done();
        if args.contains(&"-f") {
            scene.holds(&["sync"]).says("older copy").done();
        }
    }
    scene.is_over();
    assert_eq!(scene.world.maildir().messages("INBOX").len(), 8);
    assert_eq!(scene.world.maildir().messages("Work").len(), 4);
}

#[test]
fn the_tree_of_another_account_is_left_alone() {
    let mut scene = Scene::new(Dovecot::start(), 5);
    let other = Scene::new(Dovecot::start(), 2);
    let (away, mail) = (away(&scene.world), scene.world.home.mail());
    fs::rename(other.world.home.mail(), &mail).expect("put the other in its place");
    for args in [&["sync"][..], &["sync", "--restore"], &["sync", "--allow-delete"]] {
        scene.holds(args).says("belongs to another account").done();
    }
    fs::rename(&mail, other.world.home.mail()).expect("give it back");
    fs::rename(away, mail).expect("bring it back");
    scene.is_over();
}

#[test]
fn a_folder_whose_directory_is_gone_is_brought_back_when_that_is_asked_for() {
    let mut scene = Scene::new(Dovecot::start(), 5);
    fs::remove_dir_all(scene.world.home.mail().join("Work")).expect("remove a folder");
    scene.holds(&["sync"]).says("--restore").done();
    scene.holds(&["sync"]).done();
    scene.harmless(&["sync", "--restore"]).exits(0).done();
    scene.is_over();
    assert_eq!(scene.world.maildir().messages("Work").len(), 3);
}

#[test]
fn a_folder_whose_cur_or_new_is_gone_deletes_nothing() {
    // The messages of INBOX are seen and stand in `cur`, those of Work in `new`.
    for gone in ["INBOX/cur", "INBOX/new", "Work/cur", "Work/new"] {
        let mut scene = Scene::new(Dovecot::start(), 5);
        let (gone, kept) = (scene.world.home.mail().join(gone), scene.world.home.path().join("kept"));
        fs::rename(&gone, &kept).expect("move it away");
        scene.holds(&["sync"]).done();
        fs::rename(kept, gone).expect("bring it back");
        scene.is_over();
    }
}

#[test]
fn every_folder_emptied_is_held_however_few_messages_there_were() {
    let mut scene = Scene::new(Dovecot::start(), 2);
    let maildir = scene.world.maildir();
    maildir.all().iter().for_each(|message| maildir.remove(message));
    scene.holds(&["sync"]).says("--restore").done();
    scene.harmless(&["sync", "--restore"]).exits(0).done();
    scene.is_over();
    assert_eq!(maildir.all().len(), 5);
}
