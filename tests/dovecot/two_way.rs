//! New messages, flags, deletions, moves and folders travel both ways.

use crate::support::corpus::{Odd, corpus};
use crate::support::dovecot::Options;
use crate::support::*;
use crate::world::*;
use std::os::unix::fs::PermissionsExt;

#[test]
fn the_first_sync_brings_everything_both_ways() {
    on_both_servers(|dovecot| {
        let mut world = World::new(dovecot);
        world.server.append("INBOX", &crlf(&mail("unseen")), &[], Some(1_111_111_111));
        world.server.append("INBOX", &crlf(&mail("seen")), &["\\Seen", "\\Flagged"], Some(1_222_222_222));
        world.server.create("Archive");
        world.server.create("Archive/2024");
        world.server.append("Archive/2024", &crlf(&mail("deep")), &["$Work", "\\Answered"], None);
        let maildir = world.maildir();
        maildir.create("Notes");
        maildir.save("Notes", &mail("mine"), "FS", Some(1_333_333_333));
        maildir.deliver("Notes", &mail("mine too"));
        world.sync();
        assert_eq!(maildir.message("INBOX", "unseen").dir, "new");
        assert_eq!(maildir.message("INBOX", "seen").dir, "cur");
        assert_eq!(world.server.message("Notes", "mine").date, 1_333_333_333);
        world.home.nothing_to_do();
    });
}

#[test]
fn files_are_for_the_owner_alone() {
    let world = World::synced(Dovecot::start(), &["one"]);
    let mode = |path: &std::path::Path| path.metadata().expect("it is there").permissions().mode() & 0o777;
    let message = world.maildir().message("INBOX", "one");
    assert_eq!(mode(&message.path), 0o600);
    for dir in ["", "INBOX", "INBOX/cur", "INBOX/new", "INBOX/tmp"] {
        assert_eq!(mode(&world.home.mail().join(dir)), 0o700, "{dir}");
    }
    assert_eq!(mode(&world.home.state("main")), 0o600);
}

#[test]
fn a_run_with_nothing_to_do_touches_neither_side() {
    on_both_servers(|dovecot| {
        let mut world = World::synced(dovecot, &["one", "two"]);
        let before = world.uids("INBOX");
        world.home.nothing_to_do();
        assert_eq!(world.uids("INBOX"), before);
    });
}

#[test]
fn new_messages_travel_both_ways() {
    on_both_servers(|dovecot| {
        let mut world = World::synced(dovecot, &["one"]);
        world.server.append("INBOX", &crlf(&mail("from there")), &["\\Seen"], Some(1_444_444_444));
        world.maildir().deliver("INBOX", &mail("delivered here"));
        world.maildir().save("INBOX", &mail("saved here"), "RS", Some(1_000_000_000));
        world.sync();
        assert_eq!(world.server.messages("INBOX").len(), 4);
        world.home.nothing_to_do();
    });
}

#[test]
fn every_flag_travels_both_ways_and_back() {
    on_both_servers(|dovecot| {
        let mut world = World::synced(dovecot, &["a", "b"]);
        let maildir = world.maildir();
        for letter in "DFPRST".chars() {
            let flag = imap_flag(letter);
            let uid = world.server.message("INBOX", "a").uid;
            world.server.set_flags("INBOX", uid, &[flag], &[]);
            maildir.set_letters(&maildir.message("INBOX", "b"), &letter.to_string());
            world.sync();
            assert_eq!(maildir.message("INBOX", "a").letters, letter.to_string());
            assert_eq!(world.server.message("INBOX", "b").flags, [flag]);
            world.server.set_flags("INBOX", uid, &[], &[flag]);
            maildir.set_letters(&maildir.message("INBOX", "b"), "");
            world.sync();
            assert_eq!(maildir.message("INBOX", "a").letters, "");
            assert!(world.server.message("INBOX", "b").flags.is_empty());
        }
    });
}

#[test]
fn keywords_travel_both_ways() {
    on_both_servers(|dovecot| {
        let mut world = World::synced(dovecot, &["a"]);
        let maildir = world.maildir();
        let uid = world.server.message("INBOX", "a").uid;
        world.server.set_flags("INBOX", uid, &["Project-X", "$Label1"], &[]);
        world.sync();
        let message = maildir.message("INBOX", "a");
        assert_eq!(maildir.keywords(&message), ["$Label1", "Project-X"]);
        // A reader that knows Dovecot's letters takes the first one off.
        let names = std::fs::read_to_string(maildir.root.join("INBOX/dovecot-keywords")).expect("the names");
        let number: u8 = names
            .lines()
            .find_map(|line| line.strip_suffix(" $Label1"))
            .and_then(|number| number.parse().ok())
            .expect("a letter for $Label1");
        let info: String = message.custom.chars().filter(|letter| *letter != char::from(b'a' + number)).collect();
        let path = maildir.root.join(format!("INBOX/cur/{}:2,S{info}", message.unique));
        std::fs::rename(&message.path, path).expect("rename the message");
        world.sync();
        assert_eq!(world.server.message("INBOX", "a").flags, ["Project-X", "\\Seen"]);
    });
}

#[test]
fn flags_changed_on_both_sides_are_merged_one_by_one() {
    on_both_servers(|dovecot| {
        let mut world = World::synced(dovecot, &["a"]);
        let maildir = world.maildir();
        maildir.set_letters(&maildir.message("INBOX", "a"), "S");
        world.sync();
        let uid = world.server.message("INBOX", "a").uid;
        world.server.set_flags("INBOX", uid, &["\\Answered"], &["\\Seen"]);
        maildir.set_letters(&maildir.message("INBOX", "a"), "FS");
        world.sync();
        assert_eq!(world.server.message("INBOX", "a").flags, ["\\Answered", "\\Flagged"]);
        assert_eq!(maildir.message("INBOX", "a").letters, "FR");
        assert_eq!(maildir.message("INBOX", "a").dir, "cur", "a file never goes back to new/");
    });
}

#[test]
fn deletions_travel_both_ways_and_take_nothing_else_along() {
    on_both_servers(|dovecot| {
        let mut world = World::synced(dovecot, &["keep", "gone there", "gone here", "marked by others"]);
        let maildir = world.maildir();
        let uid = world.server.message("INBOX", "marked by others").uid;
        world.server.set_flags("INBOX", uid, &["\\Deleted"], &[]);
        world.sync();
        world.server.append("INBOX", &crlf(&mail("new and marked")), &["\\Deleted"], Some(1_600_000_000));
        maildir.remove(&maildir.message("INBOX", "gone here"));
        world.sync();
        let uid = world.server.message("INBOX", "gone there").uid;
        for marked in ["marked by others", "new and marked"] {
            let marked = world.server.message("INBOX", marked);
            assert!(marked.has("\\Deleted"), "the marks of others stay");
            world.server.set_flags("INBOX", marked.uid, &[], &["\\Deleted"]);
        }
        world.server.expunge("INBOX", &[uid]);
        world.sync();
        let mut left: Vec<String> = maildir.messages("INBOX").iter().map(LocalMessage::subject).collect();
        left.sort();
        assert_eq!(left, ["keep", "marked by others", "new and marked"]);
    });
}

#[test]
fn deletion_wins_over_a_flag_change_on_the_other_side() {
    on_both_servers(|dovecot| {
        let mut world = World::synced(dovecot, &["a", "b", "keep"]);
        let maildir = world.maildir();
        world.server.delete("INBOX", "a");
        maildir.set_letters(&maildir.message("INBOX", "a"), "F");
        let uid = world.server.message("INBOX", "b").uid;
        world.server.set_flags("INBOX", uid, &["\\Flagged"], &[]);
        maildir.remove(&maildir.message("INBOX", "b"));
        world.sync();
        assert_eq!(world.server.messages("INBOX").len(), 1);
    });
}

#[test]
fn a_message_that_is_moved_on_one_side_moves_on_the_other() {
    on_both_servers(|dovecot| {
        let mut world = World::synced(dovecot, &["a", "b", "keep"]);
        world.server.create("Archive");
        world.sync();
        let maildir = world.maildir();
        let moved = maildir.move_to(&maildir.message("INBOX", "a"), "Archive");
        maildir.set_letters(&moved, "S");
        let uid = world.server.message("INBOX", "b").uid;
        world.server.move_to("INBOX", uid, "Archive");
        world.sync();
        assert_eq!(world.server.message("Archive", "a").flags, ["\\Seen"]);
        assert_eq!(maildir.message("Archive", "b").date, 1_500_000_000);
        assert_eq!(maildir.messages("INBOX").len(), 1);
        world.home.nothing_to_do();
    });
}

#[test]
fn equal_messages_stay_as_many_as_they_are() {
    let mut world = World::synced(Dovecot::start(), &["same", "same", "same"]);
    let maildir = world.maildir();
    assert_eq!(maildir.messages("INBOX").len(), 3);
    maildir.remove(&maildir.messages("INBOX")[0]);
    world.sync();
    assert_eq!(world.server.messages("INBOX").len(), 2);
}

#[test]
fn a_dry_run_changes_nothing_and_says_what_it_would_do() {
    let mut world = World::synced(Dovecot::start(), &["a", "b"]);
    let maildir = world.maildir();
    world.server.append("INBOX", &crlf(&mail("c")), &[], None);
    maildir.remove(&maildir.message("INBOX", "a"));
    maildir.set_letters(&maildir.message("INBOX", "b"), "F");
    maildir.create("New");
    let (there, here) = (world.uids("INBOX"), maildir.snapshot());
    let state = std::fs::read(world.home.state("main")).expect("the state");
    world.home.mailsync(&["sync", "--dry-run"]).exits(0).says("INBOX").done();
    assert_eq!(world.uids("INBOX"), there);
    assert_eq!(maildir.snapshot(), here);
    assert_eq!(world.server.list(), ["INBOX"]);
    assert!(std::fs::read(world.home.state("main")).expect("the state") == state, "the state was written to");
    world.sync();
}

#[test]
fn a_first_dry_run_leaves_no_trace() {
    let mut world = World::new(Dovecot::start());
    world.server.append("INBOX", &crlf(&mail("a")), &[], None);
    world.home.mailsync(&["sync", "-n"]).exits(0).done();
    assert!(!world.home.mail().exists(), "the Maildir was made");
    world.sync();
}

#[test]
fn only_the_folders_that_are_asked_for_are_synced() {
    let mut world = World::synced(Dovecot::start(), &["a"]);
    world.server.create("Other");
    world.server.append("Other", &crlf(&mail("x")), &[], None);
    world.server.append("INBOX", &crlf(&mail("b")), &[], None);
    world.home.mailsync(&["sync", "main", "-f", "Other"]).exits(0).done();
    assert_eq!(world.maildir().messages("Other").len(), 1);
    assert_eq!(world.maildir().messages("INBOX").len(), 1);
    world.sync();
}

#[test]
fn lost_state_means_that_both_sides_are_paired_anew_and_nothing_is_copied() {
    let mut world = World::synced(Dovecot::start(), &["a", "b", "a"]);
    world.maildir().deliver("INBOX", &mail("only here"));
    let before = world.uids("INBOX");
    std::fs::remove_dir_all(world.home.path().join(".local/state/mailsync")).expect("remove the state");
    world.sync();
    assert_eq!(world.uids("INBOX")[..3], before[..]);
    assert_eq!(world.server.messages("INBOX").len(), 4);
}

#[test]
fn two_servers_are_kept_in_step_with_each_other() {
    let home = Home::new();
    let (one, two) = (Dovecot::start(), Dovecot::bare());
    let side = |server: &Dovecot, user: &str| {
        format!(
            "{{ type = \"imap\", host = \"127.0.0.1\", port = {}, user = \"{user}\", tls = \"none\" }}",
            server.port
        )
    };
    home.config(&format!("[account.both]\nremote = {}\nlocal = {}\n", side(&one, "alice"), side(&two, "bob")));
    home.netrc(&format!(
        "machine 127.0.0.1 login alice password {}\nmachine 127.0.0.1 login bob password {}\n",
        one.password("alice"),
        two.password("bob")
    ));
    let (mut alice, mut bob) = (one.login("alice"), two.login("bob"));
    for odd in corpus(24, 5, false) {
        alice.append("INBOX", &odd.wire(), &odd.all_flags(), Some(odd.date));
    }
    bob.create("From Bob");
    bob.append("From Bob", &crlf(&mail("x")), &["\\Seen"], Some(1_000_000_000));
    home.sync();
    for folder in ["INBOX", "From Bob"] {
        assert_eq!(server_rows(&mut alice, folder), server_rows(&mut bob, folder), "{folder}");
    }
    bob.delete("From Bob", "x");
    home.sync();
    assert!(alice.messages("From Bob").is_empty());
}

#[test]
fn several_accounts_are_synced_in_one_run() {
    let dovecot = Dovecot::start();
    let home = Home::new();
    let account = |user: &str| {
        format!(
            "[account.{user}]\nremote = {{ host = \"127.0.0.1\", port = {}, user = \"{user}\", tls = \"none\" }}\n\
             local = {{ path = \"~/Mail/{user}\" }}\n",
            dovecot.port
        )
    };
    home.config(&format!("[general]\nmax_sync_accounts = 2\n{}{}", account("alice"), account("bob")));
    home.netrc(
        "machine 127.0.0.1 login alice password secret-alice\nmachine 127.0.0.1 login bob password secret-bob\n",
    );
    for user in ["alice", "bob"] {
        dovecot.login(user).append("INBOX", &crlf(&mail(user)), &[], None);
    }
    home.sync();
    assert_eq!(home.maildir().messages("alice/INBOX")[0].subject(), "alice");
    assert_eq!(home.maildir().messages("bob/INBOX")[0].subject(), "bob");
    // Also where no thread can be had for one of them.
    for (command, told) in [("info", 0), ("check", 0), ("sync", 1)] {
        if told > 0 {
            for user in ["alice", "bob"] {
                dovecot.login(user).append("INBOX", &crlf(&mail("another")), &[], None);
            }
        }
        let run = home.mailsync_with(&[command], &[("MAILSYNC_FAULT", "thread.start:1+=ENOMEM")], "").exits(0);
        assert_eq!(["alice", "bob"].map(|user| home.maildir().messages(&format!("{user}/INBOX")).len()), [1 + told; 2]);
        let at = ["alice", "bob"].map(|user| run.stdout.find(user));
        assert!(at[0].is_some() && at.is_sorted(), "not in their order\n{run}");
    }
}

#[test]
fn odd_messages_survive_both_directions() {
    on_both_servers(|dovecot| {
        let mut world = World::new(dovecot);
        for odd in corpus(120, 1, true) {
            world.server.append("INBOX", &odd.wire(), &odd.all_flags(), Some(odd.date));
        }
        let maildir = world.maildir();
        maildir.create("Mine");
        let mine = corpus(120, 2, true);
        mine.iter().for_each(|odd| save(&maildir, odd));
        let mut expected: Vec<String> = mine.iter().map(|odd| sha256(&odd.bytes)).collect();
        world.sync();
        let mut found: Vec<String> = world.server.messages("Mine").into_iter().map(|m| m.sha256).collect();
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
        world.home.nothing_to_do();
    });
}

fn save(maildir: &Maildir, odd: &Odd) {
    // Dovecot takes no date of the future.
    let date = odd.date % 1_700_000_000;
    maildir.save("Mine", &odd.bytes, &odd.letters(), Some(date));
}

#[test]
fn crlf_in_local_files_is_taken_for_a_line_end() {
    let mut world = World::new(Dovecot::start());
    world.maildir().create("INBOX");
    world.maildir().deliver("INBOX", &crlf(&mail("crlf")));
    world.home.sync();
    assert_eq!(world.server.message("INBOX", "crlf").sha256, sha256(&mail("crlf")));
    world.home.nothing_to_do();
}

#[test]
fn special_folders_of_the_server_come_along() {
    let mut world = World::new(Dovecot::with(Options { special_use: true, ..Options::default() }));
    world.server.append("Sent", &crlf(&mail("sent")), &["\\Seen"], None);
    world.sync();
    assert_eq!(world.maildir().folders(), ["Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"]);
}

#[test]
fn two_messages_that_share_message_id_and_size_stay_two() {
    on_both_servers(|dovecot| {
        let mut world = World::synced(dovecot, &["old"]);
        let draft =
            |word: &str| format!("Subject: report\nMessage-ID: <the-same@test>\n\nAll is {word} today.\n").into_bytes();
        world.maildir().save("INBOX", &draft("well"), "S", Some(1_400_000_000));
        world.server.append("INBOX", &crlf(&draft("lost")), &["\\Seen"], Some(1_400_000_000));
        world.sync();
        assert_eq!(world.server.messages("INBOX").len(), 3);
    });
}
