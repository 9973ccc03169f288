//! Lessons, row 26: a folder is deleted or renamed on one side.

use crate::scene::Scene;
use crate::support::*;
use std::fs;

#[test]
fn a_folder_deleted_on_the_server_stays_here_until_it_is_decided() {
    let mut scene = Scene::new(Dovecot::start(), 3);
    scene.delete_on_server("Work");
    for _ in 0..2 {
        scene.holds(&["sync"]).says("--restore").done();
    }
    scene.world.home.mailsync(&["sync", "--restore"]).exits(0).done();
    assert_eq!(scene.world.server.messages("Work").len(), 3);
    scene.is_over();
}

#[test]
fn a_folder_deleted_on_the_server_and_then_here_is_forgotten() {
    let mut scene = Scene::new(Dovecot::start(), 3);
    scene.delete_on_server("Work");
    scene.holds(&["sync"]).done();
    fs::remove_dir_all(scene.world.home.mail().join("Work")).expect("remove the local folder");
    scene.harmless(&["sync"]).exits(0).done();
    scene.is_over();
}

#[test]
fn a_folder_renamed_on_the_server_loses_no_message() {
    let mut scene = Scene::new(Dovecot::start(), 3);
    scene.world.server.rename("Work", "Job");
    let before = scene.world.maildir().all().len();
    scene.line.commands();
    for _ in 0..2 {
        scene.world.home.mailsync(&["sync"]).done();
        let sent = scene.line.commands();
        assert!(!sent.iter().any(|c| recorder::is_destructive(c) || recorder::is_append(c)), "{sent:#?}");
    }
    assert_eq!(scene.world.maildir().messages("Job").len(), 3);
    assert!(scene.world.maildir().all().len() >= before);
    assert_eq!(scene.world.server.messages("Job").len(), 3);
}

#[test]
fn a_directory_renamed_here_destroys_nothing_on_the_server() {
    let scene = Scene::new(Dovecot::start(), 3);
    let mail = scene.world.home.mail();
    fs::rename(mail.join("Work"), mail.join("Job")).expect("rename a folder");
    scene.line.commands();
    scene.world.home.mailsync(&["sync"]).done();
    let sent = scene.line.commands();
    let destroying = ["EXPUNGE", "UID EXPUNGE", "DELETE ", "CLOSE", "STORE", "UID STORE"];
    assert!(!sent.iter().any(|c| destroying.iter().any(|word| c.to_ascii_uppercase().starts_with(word))), "{sent:#?}");
    assert_eq!(scene.world.maildir().messages("Job").len(), 3);
}
