//! Lessons, row 15: messages that another client marked as deleted are its own affair.

use crate::scene::Scene;
use crate::support::dovecot::Options;
use crate::support::*;

#[test]
fn what_others_marked_survives_our_deletions() {
    let without_uidplus = "IMAP4rev1 LITERAL+ NAMESPACE CHILDREN UNSELECT";
    for capability in [None, Some("IMAP4rev1".to_owned()), Some(without_uidplus.to_owned())] {
        let mut scene = Scene::new(Dovecot::with(Options { capability, ..Options::default() }), 10);
        let foreign = scene.world.server.message("INBOX", "m3").uid;
        scene.world.server.set_flags("INBOX", foreign, &["\\Deleted"], &[]);
        let maildir = scene.world.maildir();
        ["m4", "m5"].iter().for_each(|subject| maildir.remove(&maildir.message("INBOX", subject)));
        scene.line.commands();
        scene.world.home.mailsync(&["sync"]).exits(0).done();
        let sent = scene.line.commands();
        assert!(!sent.iter().any(|command| command.to_ascii_uppercase().starts_with("CLOSE")), "{sent:#?}");
        let left = scene.world.server.message("INBOX", "m3");
        assert!(left.uid == foreign && left.has("\\Deleted"), "the mark of another client is gone: {sent:#?}");
        assert_eq!(scene.world.server.messages("INBOX").len(), 8);
        // The mark comes here as one, and removes no file.
        scene.world.home.mailsync(&["sync"]).exits(0).done();
        assert_eq!(maildir.message("INBOX", "m3").letters, "ST");
        scene.is_over();
    }
}
