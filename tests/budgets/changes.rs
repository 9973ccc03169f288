//! On the line, runs that have something to do: the cost follows the change.

use crate::scene::{Scene, folder};
use crate::support::*;
use std::collections::HashSet;

#[test]
fn one_new_message_on_the_server_costs_three_round_trips_with_the_login() {
    let mut scene = Scene::new(20, 1);
    (0..3_000).for_each(|message| scene.save(3, &format!("bulk {message}"), "S"));
    scene.home.sync();
    scene.settle();
    // What a run costs with nothing to do: the login and the list of folders.
    let list = scene.run().bytes();
    let kilobyte = [mail("later"), b"0123456789abcde\n".repeat(64)].concat();
    scene.server.append(&folder(3), &crlf(&kilobyte), &[], Some(1_500_000_000));
    let seen = scene.run();
    assert!(seen.round_trips() <= 3, "{:?}", seen.commands());
    assert!(seen.bytes() - list < 3_000, "{} bytes, {list} of them for the list", seen.bytes());
    assert_eq!(seen.count("SELECT") + seen.count("EXAMINE"), 1, "{:?}", seen.commands());
}

#[test]
fn new_messages_in_twenty_folders_of_the_server_do_not_wait_for_each_other() {
    let mut scene = Scene::new(20, 1);
    (0..20).for_each(|number| scene.append(number, &format!("later {number}")));
    let seen = scene.run();
    assert!(seen.round_trips() <= 5, "{:?}", seen.commands());
}

#[test]
fn new_messages_come_along_with_the_question_whether_others_are_gone() {
    let mut scene = Scene::new(20, 4);
    for number in 0..20 {
        scene.append(number, &format!("later {number}"));
        scene.server.delete(&folder(number), &format!("0 of {number}"));
    }
    // One that is moved to where another one went: it comes, and is not wanted.
    let moved = scene.server.message(&folder(3), "1 of 3").uid;
    scene.server.move_to(&folder(3), moved, &folder(4));
    let seen = scene.run();
    let commands = seen.commands();
    // The login and the list, the look, the second look.
    assert!(seen.round_trips() <= 5, "{commands:?}");
    assert_eq!(seen.count("SELECT"), 2 * 20, "{commands:?}");
    let fetched = commands.iter().filter(|command| command.ends_with("BODY.PEEK[])")).count();
    assert_eq!(fetched, 20, "nothing comes twice: {commands:?}");
    let subjects = |number| {
        let messages = scene.maildir().messages(&folder(number));
        messages.iter().map(|message| message.subject()).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(subjects(3), ["2 of 3", "3 of 3", "later 3"].map(String::from).into());
    assert_eq!(subjects(4), ["1 of 3", "1 of 4", "2 of 4", "3 of 4", "later 4"].map(String::from).into());
    scene.home.nothing_to_do();
}

#[test]
fn a_dry_run_and_one_that_copies_nothing_here_bring_no_messages_along() {
    let mut scene = Scene::new(2, 4);
    scene.append(1, "later");
    scene.server.delete(&folder(1), "0 of 1");
    let fetched = |seen: &Seen| seen.commands().iter().filter(|command| command.contains("BODY.PEEK[])")).count();
    let said = scene.home.mailsync(&["sync", "--dry-run"]).exits(0);
    assert!(said.stdout.contains("copy UID 5 to local folder-1"), "{}", said.stdout);
    assert_eq!(fetched(&scene.line.take()), 0);
    let config = |mode: &str| {
        scene.home.config(&format!(
            "[account.main]\nmode = \"{mode}\"\nlocal = {{ path = \"~/Mail\" }}\n\
             remote = {{ host = \"127.0.0.1\", port = {}, user = \"alice\", tls = \"none\" }}\n",
            scene.line.port
        ));
    };
    config("push");
    assert_eq!(fetched(&scene.run()), 0);
    config("two-way");
    assert_eq!(fetched(&scene.run()), 1);
}

#[test]
fn five_hundred_messages_go_up_side_by_side() {
    let scene = Scene::new(20, 1);
    (0..500).for_each(|message| scene.save(message % 20, &format!("mine {message}"), "S"));
    let seen = scene.run();
    assert!(seen.round_trips() <= 12, "{:?}", seen.commands());
    let total: u64 = seen.0.iter().map(|flight| flight.round_trips).sum();
    assert!(total < 3 * 20, "{total} round trips on {} connections", seen.0.len());
}

#[test]
fn flags_in_twenty_folders_go_up_side_by_side() {
    let scene = Scene::new(20, 3);
    for message in scene.maildir().all().iter().filter(|message| message.folder != "INBOX") {
        scene.maildir().set_letters(message, "FS");
    }
    let seen = scene.run();
    assert!(seen.round_trips() <= 6, "{:?}", seen.commands());
}

#[test]
fn deletions_in_twenty_folders_go_up_side_by_side() {
    let scene = Scene::new(20, 10);
    for number in 0..20 {
        scene.maildir().messages(&folder(number)).iter().take(3).for_each(|message| scene.maildir().remove(message));
    }
    let seen = scene.run();
    assert!(seen.round_trips() <= 12, "{:?}", seen.commands());
}

#[test]
fn changes_of_every_kind_in_twenty_folders_go_up_side_by_side() {
    let scene = Scene::new(20, 10);
    for number in 0..20 {
        let messages = scene.maildir().messages(&folder(number));
        scene.maildir().remove(&messages[0]);
        scene.maildir().set_letters(&messages[1], "FS");
        scene.save(number, &format!("mine {number}"), "S");
    }
    let seen = scene.run();
    // The login, the opening, flags and a look at what is to go, the upload, the mark, the removal; and turns that came too
    // late for a flight.
    assert!(seen.round_trips() <= 9, "{:?}", seen.commands());
    let asked = seen.commands().iter().filter(|command| command.contains("MESSAGE-ID")).count();
    assert_eq!(asked, 20, "nothing is asked twice: {:?}", seen.commands());
}

#[test]
fn twenty_folders_come_down_side_by_side() {
    let mut scene = Scene::new(0, 0);
    for number in 0..20 {
        scene.server.create(&folder(number));
        (0..10).for_each(|message| scene.append(number, &format!("{message} of {number}")));
    }
    let seen = scene.run();
    // No mailbox is opened without the question that follows: once to look, once to fetch.
    assert_eq!(seen.count("SELECT"), 2 * 20, "{:?}", seen.commands());
    assert!(seen.round_trips() <= 8, "{:?}", seen.commands());
}

#[test]
fn twenty_new_folders_go_up_side_by_side() {
    let scene = Scene::new(0, 0);
    for number in 0..20 {
        scene.maildir().create(&folder(number));
        (0..5).for_each(|message| scene.save(number, &format!("{message} of {number}"), "S"));
    }
    let seen = scene.run();
    for command in ["CREATE", "SUBSCRIBE", "SELECT"] {
        assert_eq!(seen.count(command), 20, "{:?}", seen.commands());
    }
    // The login, the list; three to make them; to open them, to upload; and turns that came too late for a flight.
    assert!(seen.round_trips() <= 10, "{:?}", seen.commands());
    scene.home.nothing_to_do();
}

#[test]
fn the_first_messages_come_before_all_folders_are_looked_at() {
    let mut scene = Scene::new(0, 0);
    const FOLDERS: usize = 300;
    for number in 0..FOLDERS {
        scene.server.create(&folder(number));
        (0..2).for_each(|message| scene.append(number, &format!("{message} of {number}")));
    }
    let seen = scene.run();
    let commands = seen.commands();
    let content = commands.iter().position(|command| command.ends_with("BODY.PEEK[])")).expect("content");
    let looks = commands.iter().filter(|command| command.contains("RFC822.SIZE)")).count();
    let looks_before = commands[..content].iter().filter(|command| command.contains("RFC822.SIZE)")).count();
    assert!(looks == FOLDERS && looks_before < FOLDERS, "{looks_before} of {looks}: {commands:?}");
    assert_eq!(seen.count("SELECT"), 2 * FOLDERS, "{commands:?}");
    assert_eq!(scene.maildir().all().len(), 2 * FOLDERS);
    scene.home.nothing_to_do();
}

#[test]
fn large_messages_are_asked_for_a_few_at_a_time() {
    let mut scene = Scene::new(0, 0);
    scene.server.create(&folder(0));
    let large = [mail("large"), b"0123456789abcde\n".repeat((3 << 20) / 16)].concat();
    (0..6).for_each(|_| scene.server.append(&folder(0), &crlf(&large), &["\\Seen"], Some(1_500_000_000)));
    let seen = scene.run();
    let asked = |set: &str| seen.commands().iter().filter(|command| command.contains(set)).count();
    // 8 MiB are asked for at once.
    for set in ["UID FETCH 1:2 (", "UID FETCH 3:4 (", "UID FETCH 5:6 ("] {
        assert_eq!(asked(set), 1, "{:?}", seen.commands());
    }
    assert_eq!(asked("BODY.PEEK[])"), 3, "{:?}", seen.commands());
    scene.home.nothing_to_do();
}

#[test]
fn folders_that_several_connections_share_are_opened_no_more_often() {
    let mut scene = Scene::new(0, 0);
    let text = [mail("one of many"), b"0123456789abcde\n".repeat(512)].concat();
    for number in 0..10 {
        scene.server.create(&folder(number));
        (0..300).for_each(|_| scene.server.append(&folder(number), &crlf(&text), &["\\Seen"], Some(1_500_000_000)));
    }
    let seen = scene.run();
    assert_eq!(seen.0.len(), 2, "3,000 messages are worth another connection");
    assert_eq!(seen.count("SELECT"), 2 * 10, "{:?}", seen.commands());
    let fetched = seen.commands().iter().filter(|command| command.ends_with("BODY.PEEK[])")).count();
    assert_eq!(fetched, 10, "{:?}", seen.commands());
    assert_eq!(scene.maildir().all().len(), 3_000);
    scene.home.nothing_to_do();
}

#[test]
fn large_folders_have_a_connection_each() {
    let mut scene = Scene::new(0, 0);
    for number in 0..2 {
        scene.server.create(&folder(number));
        (0..150).for_each(|message| scene.append(number, &format!("{message} of {number}")));
    }
    let out = scene.home.mailsync_with(&["sync"], &[("MAILSYNC_AT_ONCE", "100")], "").exits(0);
    let seen = scene.line.take();
    assert_eq!(seen.0.len(), 2, "{:?}\n{out}", seen.commands());
    assert_eq!(scene.maildir().all().len(), 300);
    scene.home.nothing_to_do();
}

#[test]
fn a_folder_whose_cursor_is_not_known_is_listed_once() {
    let scene = Scene::new(3, 5);
    let state = rusqlite::Connection::open(scene.home.state("main")).expect("the state");
    state
        .execute_batch("UPDATE folder SET remote_generation = NULL, remote_mark = NULL, remote_conclusive = NULL")
        .expect("forgotten");
    drop(state);
    let seen = scene.run();
    assert_eq!(
        seen.count("UID FETCH 1:*") + seen.commands().iter().filter(|c| c.contains(" UID FETCH 1:*")).count(),
        3
    );
    scene.home.nothing_to_do();
}

/// How many commands were unanswered at most in one run that logs what is said.
fn unanswered(scene: &Scene, pipeline: &str) -> usize {
    scene.home.config(&format!(
        "[account.main]\nlocal = {{ path = \"~/Mail\" }}\n\
         remote = {{ host = \"127.0.0.1\", port = {}, user = \"alice\", tls = \"none\", connections = 1{pipeline} }}\n",
        scene.line.port
    ));
    for number in 0..8 {
        for kind in 0..3 {
            scene.save(number, &format!("more {pipeline} {kind}"), "S");
        }
        let messages = scene.maildir().messages(&folder(number));
        scene.maildir().remove(&messages[0]);
        scene.maildir().set_letters(&messages[1], "FS");
    }
    let output = scene.home.mailsync(&["sync", "-d", "imap"]).exits(0);
    let (mut open, mut most) = (HashSet::new(), 0);
    for line in output.stderr.lines() {
        let tag = |mark: &str| {
            let word = line.split_once(mark)?.1.split(' ').next()?;
            word.strip_prefix('m')?.parse::<u32>().ok()
        };
        open.extend(tag(" C: "));
        most = most.max(open.len());
        tag(" S: ").inspect(|tag| assert!(open.remove(tag), "{line}"));
    }
    scene.home.nothing_to_do();
    most
}

#[test]
fn never_more_commands_are_unanswered_than_pipeline_says() {
    let mut scene = Scene::new(10, 5);
    assert!(unanswered(&scene, "") > 10);
    for most in [1, 2, 3, 6] {
        (0..10).for_each(|number| scene.append(number, &format!("later {most}")));
        let seen = unanswered(&scene, &format!(", pipeline = {most}"));
        assert!(seen <= most, "{seen} with pipeline = {most}");
    }
}
