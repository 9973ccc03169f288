//! mutt and NeoMutt on a terminal, between two syncs.

mod support;

use support::dovecot::Options;
use support::*;

const READERS: [&str; 2] = ["mutt", "neomutt"];

/// A home with three synced messages, and the server they came from.
fn synced() -> (Dovecot, Home, Imap) {
    let dovecot = Dovecot::start();
    let home = Home::new();
    home.account(&dovecot, "alice", "");
    let mut server = dovecot.login("alice");
    for (at, subject) in ["first letter", "second letter", "third letter"].iter().enumerate() {
        server.append("INBOX", &crlf(&mail(subject)), &[], Some(1_500_000_000 + at as i64));
    }
    server.create("Work");
    home.sync();
    (dovecot, home, server)
}

fn muttrc(home: &Home, more: &str) {
    let mail = home.mail().display().to_string();
    home.write(
        "muttrc",
        &format!(
            "set folder=\"{mail}\"\nset spoolfile=\"{mail}/INBOX\"\nset mbox_type=Maildir\nset sort=subject\n\
             set confirmappend=no\nset delete=yes\nset quit=yes\nset header_cache=\"\"\nset sleep_time=0\n\
             set mark_old=no\n{more}\n"
        ),
        0o600,
    );
}

/// Goes to a message by its number. What is typed before a question stands there is thrown away by both programs.
fn jump(terminal: &Tmux, number: &str) {
    terminal.keys(&[number]);
    terminal.wait_for(&format!("Jump to message: {number}"));
    terminal.keys(&["Enter"]);
    terminal.wait_until_gone("Jump to message");
}

#[test]
fn what_is_read_flagged_and_deleted_in_mutt_reaches_the_server() {
    for reader in READERS {
        let (_dovecot, home, mut server) = synced();
        muttrc(&home, "");
        let terminal = Tmux::start(&home, &format!("{reader} -n -F muttrc"));
        terminal.wait_for("third letter");
        // Read the first, flag the second, delete the third.
        jump(&terminal, "1");
        terminal.keys(&["Enter"]);
        terminal.wait_for("The text of first letter.");
        terminal.keys(&["i"]);
        terminal.wait_for("third letter");
        jump(&terminal, "2");
        terminal.keys(&["F"]);
        terminal.wait_for("!");
        jump(&terminal, "3");
        terminal.keys(&["d"]);
        terminal.wait_for("D ");
        terminal.keys(&["q"]);
        terminal.wait_for_end();
        home.sync();
        assert_eq!(server.message("INBOX", "first letter").flags, ["\\Seen"], "{reader}");
        assert_eq!(server.message("INBOX", "second letter").flags, ["\\Flagged"], "{reader}");
        assert_eq!(server.messages("INBOX").len(), 2, "{reader}");
        home.nothing_to_do();
    }
}

#[test]
fn a_message_saved_to_another_folder_in_mutt_moves_on_the_server() {
    for reader in READERS {
        let (_dovecot, home, mut server) = synced();
        muttrc(&home, "");
        let terminal = Tmux::start(&home, &format!("{reader} -n -F muttrc"));
        terminal.wait_for("third letter");
        jump(&terminal, "2");
        terminal.keys(&["s"]);
        // Not only the help line's word for it: what is typed before the question is thrown away.
        terminal.wait_for("to mailbox");
        terminal.keys(&["C-u", "=Work"]);
        terminal.wait_for("=Work");
        terminal.keys(&["Enter"]);
        terminal.wait_for("D ");
        terminal.keys(&["q"]);
        terminal.wait_for_end();
        home.sync();
        server.message("Work", "second letter");
        assert_eq!(server.messages("INBOX").len(), 2, "{reader}");
        assert_eq!(home.maildir().messages("INBOX").len(), 2, "{reader}");
        home.nothing_to_do();
    }
}

#[test]
fn generated_mailboxes_are_sourced_and_run_nothing() {
    for reader in READERS {
        let dovecot =
            Dovecot::with(Options { mail_location: "mdbox:~/mdbox".into(), separator: '/', ..Options::default() });
        let home = Home::new();
        home.account(&dovecot, "alice", "");
        let mut server = dovecot.login("alice");
        let names = [
            "x`touch pwned`",
            "';source 'cmd|'",
            "\";source \"cmd|\"",
            "$(touch pwned)",
            "a b",
            "Größe",
            "#x",
            "=y",
            "+z",
        ];
        for name in names {
            server.create(name);
        }
        server.append("Größe", &crlf(&mail("new one")), &[], None);
        home.write("cmd", "#!/bin/sh\ntouch pwned\n", 0o755);
        home.sync();
        home.mailsync(&["mutt-mailboxes", "--dialect", reader, "-o", "mailboxes"]).exits(0).done();
        muttrc(&home, "source ./mailboxes\nset sidebar_visible=yes\nset sidebar_width=30");
        let terminal = Tmux::start(&home, &format!("{reader} -n -F muttrc; echo ended with $?; read word"));
        terminal.wait_for("INBOX");
        let screen = terminal.wait_for("Gr");
        assert!(!screen.contains("Error"), "{reader}:\n{screen}");
        terminal.keys(&["q"]);
        terminal.wait_for("ended with 0");
        assert!(!home.path().join("pwned").exists(), "{reader} ran a command");
    }
}
