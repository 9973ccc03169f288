//! What the other tests stand on, tested by itself.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use support::corpus::corpus;
use support::date::{internal, parse_internal};
use support::dovecot::Options;
use support::imap::{from_utf7, utf7};
use support::*;

#[test]
fn the_private_server_keeps_what_the_tests_own_client_gives_it() {
    let dovecot = Dovecot::with(Options { special_use: true, ..Options::default() });
    let mut server = dovecot.login("alice");
    server.create("Entwürfe/tief");
    server.append("Entwürfe/tief", &crlf(&mail("x")), &["\\Seen", "$Work"], Some(1_000_000_000));
    server.append("INBOX", &crlf(&mail("y")), &[], None);
    let found = server.message("Entwürfe/tief", "x");
    assert_eq!(found.flags, ["$Work", "\\Seen"]);
    assert_eq!(found.date, 1_000_000_000);
    assert_eq!(found.sha256, sha256(&mail("x")));
    assert_eq!(server.list(), ["Archive", "Drafts", "Entwürfe/tief", "INBOX", "Junk", "Sent", "Trash"]);
    server.delete("INBOX", "y");
    assert!(server.messages("INBOX").is_empty());
    assert_eq!(server.status("Entwürfe/tief", "MESSAGES"), 1);
}

#[test]
fn a_bare_server_says_that_it_has_no_extension() {
    let dovecot = Dovecot::bare();
    let said = dovecot.login("bob").command("CAPABILITY");
    assert_eq!(said[0].text, "* CAPABILITY IMAP4rev1");
}

#[test]
fn a_script_is_played() {
    let (heard, server) = talk("a1 LOGIN x y\r\n");
    assert_eq!(heard, "* OK ready\r\na1 OK [CAPABILITY X] done\r\n* 1 EXISTS\r\n");
    server.finish();
}

#[test]
#[should_panic(expected = "expected LOGIN *\n  got      LOGOUT")]
fn a_breach_of_a_script_is_told() {
    talk("a1 LOGOUT\r\n").1.finish();
}

fn talk(line: &str) -> (String, Script) {
    let script = "S: * OK ready\nC: T LOGIN *\nS: T OK [CAPABILITY X] done\nR: * 1 EX\nPAUSE 5\nR: ISTS\\r\\n\nEOF";
    let server = Script::play(&[script]);
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).expect("connect");
    stream.write_all(line.as_bytes()).expect("send");
    stream.shutdown(Shutdown::Write).expect("say no more");
    let mut heard = String::new();
    stream.read_to_string(&mut heard).expect("read");
    (heard, server)
}

#[test]
fn the_same_seed_gives_the_same_corpus() {
    let (one, two) = (corpus(60, 7, false), corpus(60, 7, false));
    assert!(one.iter().zip(&two).all(|(a, b)| a.bytes == b.bytes && a.date == b.date && a.flags == b.flags));
    assert_eq!(one[17].bytes, one[16].bytes);
    assert!(one.iter().all(|odd| !odd.bytes.contains(&0)));
}

#[test]
fn names_survive_modified_utf7() {
    for name in ["INBOX", "Entwürfe & mehr", "日本語/台北", "a&b", "🎈", "x`y"] {
        assert_eq!(from_utf7(&utf7(name)), name);
    }
    assert_eq!(utf7("Entwürfe"), "Entw&APw-rfe");
}

#[test]
fn dates_survive_their_text_form() {
    for seconds in [0, 86_399, 951_782_400, 1_700_000_000, 2_145_916_800] {
        assert_eq!(parse_internal(&internal(seconds)), seconds);
    }
    assert_eq!(parse_internal("01-Jan-1970 01:00:00 +0100"), 0);
    assert_eq!(parse_internal("31-Dec-1969 22:30:00 -0130"), 0);
}

#[test]
fn a_terminal_shows_what_runs_on_it() {
    let home = Home::new();
    let terminal = Tmux::start(&home, "read word; echo got $word; read word");
    terminal.keys(&["hello", "Enter"]);
    terminal.wait_for("got hello");
    terminal.keys(&["Enter"]);
    terminal.wait_for_end();
}

#[test]
fn a_message_is_found_again_after_every_change_to_its_file() {
    let home = Home::new();
    let maildir = home.maildir();
    maildir.create("INBOX");
    maildir.create("INBOX/deep");
    let message = maildir.deliver("INBOX", &mail("one"));
    let message = maildir.set_letters(&message, "FS");
    assert_eq!(maildir.message("INBOX", "one"), message);
    maildir.move_to(&message, "INBOX/deep");
    assert_eq!(maildir.message("INBOX/deep", "one").letters, "FS");
    assert_eq!(maildir.folders(), ["INBOX", "INBOX/deep"]);
    maildir.remove(&maildir.message("INBOX/deep", "one"));
    assert!(maildir.all().is_empty());
}
