//! Lessons, row 5: a new UIDVALIDITY.

use crate::scene::Scene;
use crate::support::*;

/// Replaces a mailbox by one with the same messages in another order, and another UIDVALIDITY.
fn renumber(scene: &mut Scene, folder: &str) {
    let mut messages = scene.world.server.messages(folder);
    messages.sort_by_key(|message| message.sha256.clone());
    let validity = scene.world.server.status(folder, "UIDVALIDITY");
    scene.world.server.create("Other");
    for message in &messages {
        let flags: Vec<&str> = message.flags.iter().map(String::as_str).collect();
        scene.world.server.append("Other", &message.bytes, &flags, Some(message.date));
    }
    scene.delete_on_server(folder);
    scene.world.server.rename("Other", folder);
    assert_ne!(scene.world.server.status(folder, "UIDVALIDITY"), validity);
}

fn with_many(dovecot: Dovecot, count: usize) -> Scene {
    let mut scene = Scene::new(dovecot, 2);
    scene.world.server.create("Many");
    for at in 0..count {
        let flags = if at % 3 == 0 { &["\\Seen", "kept"][..] } else { &[] };
        let message = crlf(&mail(&format!("n{at}")));
        scene.world.server.append("Many", &message, flags, Some(1_300_000_000 + at as i64));
    }
    scene.world.sync();
    scene
}

#[test]
fn a_thousand_messages_under_new_numbers_move_nothing() {
    for (dovecot, count) in [(Dovecot::start(), 1000), (Dovecot::bare(), 100)] {
        let mut scene = with_many(dovecot, count);
        renumber(&mut scene, "Many");
        scene.line.commands();
        let before = scene.world.maildir().snapshot();
        let there = scene.server();
        let out = scene.world.home.mailsync(&["sync"]).exits(0);
        let sent = scene.line.commands();
        assert!(!sent.iter().any(|c| recorder::is_destructive(c) || recorder::is_append(c)), "{sent:#?}\n{out}");
        assert_eq!(Scene::bodies(&sent), 0, "bodies were fetched\n{out}");
        assert_eq!((scene.server(), scene.world.maildir().snapshot()), (there, before), "{out}");
        scene.is_over();
    }
}

#[test]
fn what_was_changed_here_meanwhile_is_carried_over_and_nothing_is_deleted() {
    let mut scene = with_many(Dovecot::start(), 30);
    renumber(&mut scene, "Many");
    let maildir = scene.world.maildir();
    maildir.set_letters(&maildir.message("Many", "n1"), "F");
    maildir.deliver("Many", &mail("new here"));
    maildir.remove(&maildir.message("Many", "n2"));
    scene.line.commands();
    scene.world.home.mailsync(&["sync"]).exits(0).done();
    let sent = scene.line.commands();
    assert!(!sent.iter().any(|command| recorder::is_destructive(command)), "{sent:#?}");
    assert_eq!(sent.iter().filter(|command| recorder::is_append(command)).count(), 1, "{sent:#?}");
    assert!(scene.world.server.message("Many", "n1").has("\\Flagged"));
    // Nothing is deleted under new numbers: what was deleted here comes back.
    assert_eq!(scene.world.server.messages("Many").len(), 31);
    scene.is_over();
}
