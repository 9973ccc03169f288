//! Hooks and mutt's file around the syncs of a watch.

use crate::scene::Watch;
use crate::support::*;
use std::fs;
use std::thread;
use std::time::Duration;

fn ran(home: &Home) -> Vec<String> {
    let text = fs::read_to_string(home.path().join("ran")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn they_are_run_for_each_change_and_not_for_its_echo() {
    let server = Dovecot::start();
    let mut imap = server.login("alice");
    let home = Home::new();
    home.account(
        &server,
        "alice",
        "[mutt]\nfile = \"~/mailboxes\"\n[hooks]\n\
         pre_sync = \"echo pre $OFFLINEIMAPSYNCMODE >> ~/ran\"\n\
         post_sync = \"echo post $MAILSYNC_MODE $MAILSYNC_CHANGED >> ~/ran\"\n\
         new_mail = \"echo new $MAILSYNC_NEW >> ~/ran\"\n",
    );
    let running = Watch::start(&home, &["-d", "imap"]);
    running.says("+ idling");
    // The folders that the first sync made are told back; there may be an echo, without a hook.
    running.until("the first sync", || ran(&home).len() == 2);
    assert_eq!(ran(&home)[0], "pre full");
    assert!(ran(&home)[1].starts_with("post full"), "{:?}", ran(&home));
    imap.append("INBOX", &crlf(&mail("hello")), &[], None);
    running.until("new mail", || ran(&home).len() == 5);
    assert_eq!(ran(&home)[2..], ["pre idle", "post idle 1", "new 1"]);
    thread::sleep(Duration::from_secs(4));
    assert_eq!(ran(&home).len(), 5, "{:?}", ran(&home));
    let message = home.maildir().message("INBOX", "hello");
    home.maildir().set_letters(&message, "S");
    running.until("a flag from here", || imap.message("INBOX", "hello").has("\\Seen"));
    running.until("its hooks", || ran(&home).len() == 7);
    assert_eq!(ran(&home)[5..], ["pre idle", "post idle 1"]);
    imap.create("Another");
    running.signal("USR1");
    let mailboxes = home.path().join("mailboxes");
    running.until("mutt's file", || fs::read_to_string(&mailboxes).unwrap_or_default().contains("Another"));
    running.stop();
}
