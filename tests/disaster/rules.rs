//! Lessons, rows 3 and 16: rules that change between two runs. There is no window by age or size yet (`max_age`), so
//! what applies of row 16 is that a folder which leaves the selection, or comes back to it, loses nothing.

use crate::scene::Scene;
use crate::support::*;

#[test]
fn a_changed_rename_rule_renames_the_directory_and_sends_nothing() {
    let mut scene = Scene::new(Dovecot::start(), 3);
    let inodes = |scene: &Scene, folder: &str| -> Vec<String> {
        scene.world.maildir().messages(folder).into_iter().map(|m| m.unique).collect()
    };
    let before = inodes(&scene, "Work");
    scene.config("[[account.main.folders.rename]]\nfolder = \"Work\"\nto = \"Job\"");
    let there = scene.server();
    let out = scene.world.home.mailsync(&["sync"]).exits(0);
    let sent = scene.line.commands();
    assert!(!sent.iter().any(|c| recorder::is_destructive(c) || recorder::is_append(c)), "{sent:#?}\n{out}");
    assert_eq!((Scene::bodies(&sent), scene.server()), (0, there));
    assert_eq!(inodes(&scene, "Job"), before);
    scene.harmless(&["sync"]).exits(0).says("nothing to do").done();
}

#[test]
fn two_folders_that_would_get_one_name_stop_the_account() {
    let mut scene = Scene::new(Dovecot::start(), 3);
    scene.config("[[account.main.folders.rename]]\nfolder = \"Work\"\nto = \"INBOX\"");
    let out = scene.holds(&["sync"]);
    assert!(out.stderr.contains("Work") && out.stderr.contains("INBOX"), "{out}");
    scene.config("");
    scene.is_over();
}

#[test]
fn a_folder_that_is_excluded_and_included_again_loses_nothing() {
    let mut scene = Scene::new(Dovecot::start(), 3);
    scene.config("folders = { exclude = [\"Work\"] }");
    scene.harmless(&["sync"]).exits(0).done();
    let maildir = scene.world.maildir();
    // What happens meanwhile is carried over later.
    maildir.deliver("Work", &mail("meanwhile"));
    scene.world.server.append("Work", &crlf(&mail("there meanwhile")), &[], None);
    scene.harmless(&["sync"]).exits(0).done();
    scene.config("");
    scene.world.sync();
    assert_eq!(maildir.messages("Work").len(), 5);
    scene.is_over();
}

#[test]
fn an_excluded_folder_that_was_emptied_here_is_not_emptied_there_when_it_comes_back() {
    let mut scene = Scene::new(Dovecot::start(), 3);
    scene.config("folders = { exclude = [\"Work\"] }");
    scene.harmless(&["sync"]).exits(0).done();
    std::fs::remove_dir_all(scene.world.home.mail().join("Work")).expect("clear away what is not synced");
    scene.harmless(&["sync"]).exits(0).done();
    scene.config("");
    scene.holds(&["sync"]).says("--restore").done();
    scene.harmless(&["sync", "--restore"]).exits(0).done();
    scene.is_over();
}
