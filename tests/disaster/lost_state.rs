//! Lessons, row 32: the state is gone, cut short, garbage, another account's, or an older one.

use crate::scene::Scene;
use crate::support::*;
use std::fs;
use std::path::PathBuf;

/// The state's file and those beside it.
fn parts(scene: &Scene) -> [PathBuf; 3] {
    let state = scene.world.home.state("main");
    ["", "-wal", "-shm"].map(|end| PathBuf::from(format!("{}{end}", state.display())))
}

fn remove(scene: &Scene) {
    parts(scene).iter().for_each(|path| drop(fs::remove_file(path)));
}

/// A run that may refuse the state, but does no harm; then the way out: the state is moved away.
#[track_caller]
fn survives(scene: &mut Scene, what: &str) {
    let out = scene.harmless(&["sync"]);
    if out.code != Some(0) {
        assert!(out.code == Some(1) && out.stderr.contains("moved away"), "{what}\n{out}");
        remove(scene);
        scene.harmless(&["sync"]).exits(0).done();
    }
    scene.is_over();
}

#[test]
fn a_lost_state_costs_nothing() {
    let mut scene = Scene::new(Dovecot::start(), 20);
    remove(&scene);
    scene.line.commands();
    scene.world.home.mailsync(&["sync"]).exits(0).done();
    let sent = scene.line.commands();
    assert_eq!(Scene::bodies(&sent), 0, "{sent:#?}");
    assert!(!sent.iter().any(|c| recorder::is_destructive(c) || recorder::is_append(c)), "{sent:#?}");
    scene.is_over();
    remove(&scene);
    survives(&mut scene, "lost again");
}

#[test]
fn a_state_that_was_cut_short_or_is_garbage_costs_nothing() {
    let mut scene = Scene::new(Dovecot::start(), 20);
    let state = scene.world.home.state("main");
    let whole = fs::read(&state).expect("the state");
    let marker = scene.world.home.mail().join(".mailsync");
    let mark = fs::read(&marker).expect("the marker");
    // A state that was made anew has marked the tree as its own.
    let put = |scene: &Scene, bytes: &[u8]| {
        remove(scene);
        fs::write(&state, bytes).expect("spoil the state");
        fs::write(&marker, &mark).expect("mark the tree");
    };
    let page = 4096;
    for length in [0, 1, 50, 100, 1000, page, page * 2, page * 3 + 7, whole.len() / 2, whole.len() - 1] {
        put(&scene, &whole[..length.min(whole.len())]);
        survives(&mut scene, &format!("cut to {length} of {}", whole.len()));
    }
    for (what, bytes) in [("zeros", vec![0; 9000]), ("text", b"not a database\n".repeat(900))] {
        put(&scene, &bytes);
        survives(&mut scene, what);
    }
    for at in [0, 20, page + 3, page * 2 + 100, page * 4] {
        let mut spoilt = whole.clone();
        let end = (at + 40).min(spoilt.len());
        spoilt.get_mut(at..end).into_iter().for_each(|bytes| bytes.fill(0xff));
        put(&scene, &spoilt);
        survives(&mut scene, &format!("spoilt at {at}"));
    }
}

#[test]
fn the_state_of_another_account_costs_nothing() {
    let mut scene = Scene::new(Dovecot::start(), 20);
    let other = Scene::new(Dovecot::start(), 4);
    let state = scene.world.home.state("main");
    let own = fs::read(&state).expect("the state");
    remove(&scene);
    fs::copy(other.world.home.state("main"), &state).expect("put the other's in its place");
    scene.holds(&["sync"]).says("belongs to another account or state").done();
    remove(&scene);
    fs::write(&state, own).expect("bring it back");
    scene.is_over();
}

#[test]
fn an_older_copy_of_the_state_costs_nothing() {
    for dovecot in [Dovecot::start(), Dovecot::bare()] {
        let mut scene = Scene::new(dovecot, 20);
        let state = scene.world.home.state("main");
        let old = fs::read(&state).expect("the state");
        let maildir = scene.world.maildir();
        // Since then: mail came and went on both sides, and flags changed.
        scene.world.server.append("INBOX", &crlf(&mail("later there")), &[], Some(1_600_000_000));
        maildir.save("INBOX", &mail("later here"), "S", Some(1_600_000_000));
        maildir.remove(&maildir.message("INBOX", "m1"));
        scene.world.server.delete("INBOX", "m2");
        maildir.set_letters(&maildir.message("INBOX", "m3"), "FS");
        scene.world.sync();
        remove(&scene);
        fs::write(&state, old).expect("bring the old one back");
        survives(&mut scene, "an older copy");
        assert_eq!(maildir.messages("INBOX").len(), 20);
    }
}

#[test]
fn a_log_that_was_removed_from_beside_the_state_costs_nothing() {
    let mut scene = Scene::new(Dovecot::start(), 20);
    // A run that is killed leaves its log behind.
    scene.world.server.append("INBOX", &crlf(&mail("new")), &[], None);
    let mut run = scene.world.home.start(&["sync"]);
    std::thread::sleep(std::time::Duration::from_millis(60));
    run.kill().expect("kill the run");
    run.wait().expect("wait for it");
    let [_, wal, shm] = parts(&scene);
    fs::remove_file(wal).ok();
    fs::remove_file(shm).ok();
    scene.harmless(&["sync"]).exits(0).done();
    scene.is_over();
    assert_eq!(scene.world.maildir().messages("INBOX").len(), 21);
}
