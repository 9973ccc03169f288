//! Runs that are ended, run into each other, or lose the line.

use crate::support::*;
use crate::world::*;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn a_run_that_is_killed_is_taken_up_again_without_loss_or_doubles() {
    on_both_servers(|dovecot| {
        let mut world = World::new(dovecot);
        for at in 0..150 {
            world.server.append("INBOX", &crlf(&mail(&format!("there {at}"))), &[], Some(1_500_000_000 + at));
        }
        let maildir = world.maildir();
        maildir.create("Mine");
        for at in 0..150 {
            maildir.save("Mine", &mail(&format!("here {at}")), "S", Some(1_400_000_000 + at));
        }
        for delay in [20, 40, 60, 80, 100, 130, 160, 200, 250, 300] {
            let mut run = world.home.start(&["sync", "-q"]);
            thread::sleep(Duration::from_millis(delay));
            run.kill().expect("kill the run");
            run.wait().expect("wait for it");
        }
        world.sync();
        assert_eq!(world.server.messages("Mine").len(), 150);
        assert_eq!(maildir.messages("INBOX").len(), 150);
        world.home.nothing_to_do();
    });
}

#[test]
fn where_no_other_thread_can_be_had_one_does_all() {
    // From the first one on, and where some folders have theirs.
    for at in [1, 4] {
        let mut world = World::new(Dovecot::start());
        for number in 0..6 {
            let folder = format!("There-{number}");
            world.server.create(&folder);
            (0..3).for_each(|at| world.server.append(&folder, &crlf(&mail(&format!("{at} of {number}"))), &[], None));
        }
        (0..250).for_each(|at| world.server.append("INBOX", &crlf(&mail(&format!("there {at}"))), &[], None));
        let maildir = world.maildir();
        maildir.create("Mine");
        for at in 0..250 {
            maildir.save("Mine", &mail(&format!("here {at}")), "S", Some(1_400_000_000 + at));
        }
        let none = format!("thread.start:{at}+=ENOMEM");
        world.home.mailsync_with(&["sync"], &[("MAILSYNC_FAULT", &none)], "").exits(0).done();
        assert_eq!((maildir.all().len(), maildir.messages("INBOX").len()), (250 + 250 + 18, 250));
        assert_eq!(world.server.messages("Mine").len(), 250);
        world.home.nothing_to_do();
    }
}

#[test]
fn where_a_file_system_can_not_rename_without_replacing_nothing_is_replaced() {
    let mut world = World::new(Dovecot::start());
    let maildir = world.maildir();
    maildir.create("Mine");
    // Of two messages that have one name, the older inode tells which is the known one.
    let mut files = ["a", "b"].map(|name| world.home.mail().join("Mine/tmp").join(name));
    files.iter().for_each(|file| fs::write(file, "").expect("write a file"));
    files.sort_by_key(|file| fs::metadata(file).expect("there").ino());
    let [one, three] = files;
    fs::write(&one, mail("one")).expect("write a message");
    fs::write(&three, mail("three")).expect("write a message");
    fs::rename(one, world.home.mail().join("Mine/cur/one:2,S")).expect("rename a message");
    maildir.save("Mine", &mail("two"), "S", Some(1_400_000_000));
    world.server.append("INBOX", &crlf(&mail("there")), &[], None);
    let can_not = [("MAILSYNC_FAULT", "disk.rename:1+=EINVAL")];
    world.home.mailsync_with(&["sync"], &can_not, "").exits(0).says("1 new on local, 2 new on remote").done();
    // The name that this one is to get is taken.
    let taken = world.home.mail().join("Mine/cur/one:2,FS");
    fs::rename(three, &taken).expect("rename a message");
    for message in world.server.messages("Mine") {
        world.server.set_flags("Mine", message.uid, &["\\Flagged"], &[]);
    }
    world.home.mailsync_with(&["sync"], &can_not, "").exits(1).says("File exists").done();
    let mut subjects: Vec<String> = maildir.messages("Mine").iter().map(|message| message.subject()).collect();
    subjects.sort();
    assert_eq!(subjects, ["one", "three", "two"]);
    fs::rename(&taken, taken.with_file_name("elsewhere:2,FS")).expect("rename a message");
    world.home.mailsync_with(&["sync"], &can_not, "").exits(0).done();
    world.in_step();
}

#[test]
fn a_second_run_ends_at_once_with_status_3() {
    let silent = Script::play(&["HANG"]);
    let home = Home::new();
    home.config(&format!(
        "[account.main]\nremote = {{ host = \"127.0.0.1\", port = {}, user = \"x\", tls = \"none\" }}\n\
         local = {{ path = \"~/Mail\" }}\n",
        silent.port
    ));
    home.netrc("machine 127.0.0.1 login x password y\n");
    let mut first = home.start(&["sync"]);
    let end = Instant::now() + Duration::from_secs(10);
    while !home.state("main").exists() {
        assert!(Instant::now() < end, "the first run made no state");
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_millis(300));
    let began = Instant::now();
    home.mailsync(&["sync"]).exits(3).says(&first.id().to_string()).done();
    assert!(began.elapsed() < Duration::from_secs(2));
    first.kill().expect("kill the first run");
    first.wait().expect("wait for it");
    silent.finish();
}

#[test]
fn the_lock_of_a_killed_run_is_no_lock() {
    let mut world = World::new(Dovecot::start());
    let mut run = world.home.start(&["sync"]);
    thread::sleep(Duration::from_millis(30));
    run.kill().expect("kill the run");
    run.wait().expect("wait for it");
    world.sync();
}

#[test]
fn a_run_with_another_state_that_uses_the_same_maildir_ends_this_one_at_once() {
    let mut world = World::synced(Dovecot::start(), &["before"]);
    let root = std::fs::File::open(world.home.mail()).expect("the Maildir");
    root.lock().expect("nobody has it");
    world.home.mailsync(&["sync"]).exits(3).says("another run uses").done();
    world.home.mailsync(&["sync", "--dry-run"]).exits(3).done();
    drop(root);
    world.sync();
}

#[test]
fn a_run_that_does_not_take_place_asks_for_no_password_and_connects_to_nobody() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    server.set_nonblocking(true).expect("do not block in accept");
    let home = Home::new();
    home.config(&format!(
        "[account.main]\nremote = {{ host = \"127.0.0.1\", port = {}, user = \"x\", tls = \"none\", \
         password_command = [\"touch\", \"{}\"] }}\nlocal = {{ path = \"~/Mail\" }}\n",
        server.local_addr().expect("an address").port(),
        home.path().join("asked").display()
    ));
    std::fs::create_dir(home.mail()).expect("made");
    let root = std::fs::File::open(home.mail()).expect("the Maildir");
    root.lock().expect("nobody has it");
    home.mailsync(&["sync"]).exits(3).says("another run uses").done();
    drop(root);
    let state = home.state("main").with_extension("lock");
    let state = std::fs::File::options().write(true).open(state).expect("the state's lock");
    state.lock().expect("nobody has it");
    home.mailsync(&["sync"]).exits(3).done();
    assert!(!home.path().join("asked").exists());
    assert!(server.accept().is_err());
}

#[test]
fn an_interrupt_ends_a_run_with_status_130() {
    let silent = Script::play(&["S: * OK ready\nHANG"]);
    let home = Home::new();
    home.config(&format!(
        "[account.main]\nremote = {{ host = \"127.0.0.1\", port = {}, user = \"x\", tls = \"none\" }}\n\
         local = {{ path = \"~/Mail\" }}\n",
        silent.port
    ));
    home.netrc("machine 127.0.0.1 login x password y\n");
    let run = home.start(&["sync"]);
    thread::sleep(Duration::from_millis(500));
    let pid = rustix::process::Pid::from_child(&run);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("interrupt the run");
    let began = Instant::now();
    let out = run.wait_with_output().expect("wait for the run");
    assert_eq!(out.status.code(), Some(130), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(began.elapsed() < Duration::from_secs(5));
}

/// Over what of one new message the server breaks off.
#[derive(Clone, Copy, PartialEq)]
enum Over {
    Content,
    Header,
    /// All that names a keyword that it has, the opening of its mailbox with the rest.
    Keyword,
}

/// A home whose account is that of alice, over this line.
fn home_behind(line: &Proxy, dovecot: &Dovecot) -> Home {
    let home = Home::new();
    home.account(dovecot, "alice", "");
    home.config(&format!(
        "[account.main]\nremote = {{ host = \"127.0.0.1\", port = {}, user = \"alice\", tls = \"none\" }}\n\
         local = {{ path = \"~/Mail\" }}\n",
        line.port
    ));
    home
}

/// The server breaks off over one new message. The others come, whether messages are gone besides or not.
fn broken_over_one(over: Over, deletes: bool) {
    let dovecot = Dovecot::start();
    let proxy = Proxy::to(dovecot.port);
    let home = home_behind(&proxy, &dovecot);
    let folder = |number| format!("folder-{number}");
    for number in 0..8 {
        home.maildir().create(&folder(number));
        for subject in ["one", "two", "three"] {
            home.maildir().save(&folder(number), &mail(&format!("{subject} of {number}")), "S", Some(1_500_000_000));
        }
    }
    home.sync();
    home.sync();
    let mut server = dovecot.login("alice");
    for number in 0..8 {
        let flags: &[&str] = if number == 0 && over == Over::Keyword { &["\\Seen", "Fatal"] } else { &["\\Seen"] };
        server.append(&folder(number), &crlf(&mail(&format!("later {number}"))), flags, Some(1_500_000_000));
        if deletes {
            server.delete(&folder(number), &format!("one of {number}"));
        }
    }
    let broken = String::from_utf8(mail("later 0")).expect("text");
    let id = broken.split_once("Message-ID: <").expect("an id").1.split_once('>').expect("its end").0.to_owned();
    proxy.falsify(Some(Box::new(move |reply| {
        let text = String::from_utf8_lossy(&reply);
        let about = |what: &str| text.contains(what) && text.contains(&id);
        let breaks = match over {
            Over::Content => about("BODY[] {"),
            Over::Header => about("BODY[] {") || about("BODY[HEADER.FIELDS"),
            Over::Keyword => text.contains("Fatal"),
        };
        match breaks {
            true => vec![b"x999 OK what was that?\r\n".to_vec()],
            false => vec![reply],
        }
    })));
    let arrived = || {
        let has = |number: &i32| {
            let messages = home.maildir().messages(&folder(*number));
            messages.iter().any(|message| message.subject() == format!("later {number}"))
        };
        (0..8).filter(has).collect::<Vec<_>>()
    };
    let run = home.mailsync(&["sync"]).exits(1);
    // What is to be deleted waits for a run that is not interrupted.
    let failures: Vec<&str> =
        run.stderr.lines().filter(|line| line.starts_with("mailsync: ") && !line.contains("held")).collect();
    assert!(matches!(failures.as_slice(), [one] if one.starts_with("mailsync: main/folder-0: ")), "{failures:?}");
    assert_eq!(arrived(), (1..8).collect::<Vec<_>>());
    proxy.falsify(None);
    home.sync();
    assert_eq!(arrived(), (0..8).collect::<Vec<_>>());
    home.nothing_to_do();
}

#[test]
fn a_message_over_which_the_server_breaks_off_keeps_no_others_away() {
    broken_over_one(Over::Content, false);
    broken_over_one(Over::Content, true);
}

#[test]
fn a_header_over_which_the_server_breaks_off_keeps_no_others_away() {
    broken_over_one(Over::Header, false);
}

#[test]
fn a_mailbox_over_which_the_server_breaks_off_keeps_no_others_away() {
    broken_over_one(Over::Keyword, false);
}

/// The server says nothing of a new message when it is asked for it, and has it all the same.
#[test]
fn a_new_message_that_does_not_come_is_asked_for_by_the_next_run() {
    on_both_servers(|dovecot| {
        let proxy = Proxy::to(dovecot.port);
        let home = home_behind(&proxy, &dovecot);
        home.sync();
        let mut server = dovecot.login("alice");
        ["comes", "comes late"].iter().for_each(|name| server.append("INBOX", &crlf(&mail(name)), &[], None));
        let late = server.messages("INBOX").iter().map(|message| message.uid).max().expect("a message");
        let (there, content) = (format!("(UID {late})"), format!("(UID {late} FLAGS"));
        proxy.falsify(Some(Box::new(move |reply| {
            let text = String::from_utf8_lossy(&reply);
            match text.contains(&there) || (text.contains(&content) && text.contains("BODY[]")) {
                true => Vec::new(),
                false => vec![reply],
            }
        })));
        let subjects = || -> Vec<String> { home.maildir().all().iter().map(|message| message.subject()).collect() };
        home.sync();
        assert_eq!(subjects(), ["comes"]);
        proxy.falsify(None);
        home.sync();
        assert_eq!(subjects().len(), 2);
        home.nothing_to_do();
    });
}
