//! Servers that can't listen properly: new mail comes all the same, and nothing spins.

use crate::meddler::{Answer, Meddler, idles};
use crate::scene::Watch;
use crate::support::dovecot::Options;
use crate::support::*;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

const CAPABILITIES: &str = "IMAP4rev1 LITERAL+ UIDPLUS UNSELECT NAMESPACE IDLE";

/// How long new mail may take that nobody tells of: the interval is 10 seconds, and a connection may take 5 to show that it
/// is dead.
const SOME_TIME: Duration = Duration::from_secs(40);

/// An account that is watched, on a server that is meddled with.
struct Watched {
    watch: Watch,
    meddler: Meddler,
    server: Imap,
    home: Home,
    _dovecot: Dovecot,
}

impl Watched {
    fn by_idle(idle: Answer) -> Watched {
        Watched::with(CAPABILITIES, idle, None, "")
    }

    fn with(capabilities: &str, idle: Answer, notify: Option<Answer>, more: &str) -> Watched {
        let dovecot = Dovecot::with(Options { capability: Some(capabilities.into()), ..Options::default() });
        let meddler = Meddler::before(dovecot.port, idle, notify);
        let mut server = dovecot.login("alice");
        ["Archive", "Work"].iter().for_each(|folder| server.create(folder));
        server.append("INBOX", &crlf(&mail("first")), &[], None);
        let home = Home::new();
        home.account(&dovecot, "alice", &format!("[account.main.watch]\ninterval = \"10s\"\n{more}"));
        let watch = Watch::start(&home, &["-o", &format!("account.main.remote.port={}", meddler.port)]);
        let watched = Watched { watch, meddler, server, home, _dovecot: dovecot };
        watched.comes("INBOX", "first", SOME_TIME);
        watched
    }

    /// New mail comes to the server.
    fn append(&mut self, folder: &str, subject: &str) {
        self.server.append(folder, &crlf(&mail(subject)), &[], None);
    }

    #[track_caller]
    fn comes(&self, folder: &str, subject: &str, within: Duration) {
        let begun = Instant::now();
        let has = |sub: &str| {
            let entries = fs::read_dir(self.home.mail().join(folder).join(sub)).into_iter().flatten().flatten();
            entries.map(|entry| fs::read(entry.path()).unwrap_or_default()).any(|bytes| bytes == mail(subject))
        };
        while !has("new") && !has("cur") {
            assert!(
                begun.elapsed() < within,
                "{subject} does not come\n{}\n{}",
                self.watch.said(),
                self.meddler.commands()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What is saved here is on the server soon.
    #[track_caller]
    fn goes(&mut self, subject: &str, within: Duration) {
        self.home.maildir().save("INBOX", &mail(subject), "S", None);
        let begun = Instant::now();
        while !self.server.messages("INBOX").iter().any(|message| message.subject() == subject) {
            assert!(
                begun.elapsed() < within,
                "{subject} does not go\n{}\n{}",
                self.watch.said(),
                self.meddler.commands()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// So many connections come to idle.
    #[track_caller]
    fn idlers(&self, count: usize) {
        let begun = Instant::now();
        while self.meddler.say("* OK Still here") != count {
            assert!(begun.elapsed() < SOME_TIME, "never {count} that idle\n{}", self.meddler.commands());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Nothing happens in the world, so hardly anything does here.
    #[track_caller]
    fn keeps_still(&self) {
        thread::sleep(Duration::from_secs(4));
        let before = self.meddler.count("");
        thread::sleep(Duration::from_secs(8));
        let commands = self.meddler.count("") - before;
        assert!(commands < 40, "{commands} commands in 8 seconds\n{}", self.meddler.commands());
    }
}

const SOON: Duration = Duration::from_secs(8);

#[test]
fn a_server_that_falls_silent_for_ever_is_noticed_at_the_next_look() {
    let mut watched = Watched::by_idle(|nth| if nth == 1 { vec!["+ idling", "HANG"] } else { idles(nth) });
    watched.append("INBOX", "second");
    watched.comes("INBOX", "second", SOME_TIME);
    assert!(watched.meddler.has_idler());
    watched.append("INBOX", "third");
    watched.meddler.say("* 3 EXISTS");
    watched.comes("INBOX", "third", SOON);
}

#[test]
fn signs_of_life_are_no_news() {
    let mut watched = Watched::by_idle(|_| vec!["+ idling", "* OK Still here"]);
    assert!(watched.meddler.has_idler());
    for _ in 0..5 {
        assert_eq!(watched.meddler.say("* OK Still here"), 1);
    }
    watched.keeps_still();
    watched.append("INBOX", "second");
    watched.meddler.say("* 2 EXISTS");
    watched.comes("INBOX", "second", SOON);
}

#[test]
fn after_a_farewell_it_listens_over_a_new_connection() {
    let mut watched =
        Watched::by_idle(|nth| if nth == 1 { vec!["+ idling", "* BYE good night", "DROP"] } else { idles(nth) });
    watched.append("INBOX", "second");
    watched.comes("INBOX", "second", SOON);
    assert!(watched.meddler.has_idler());
    watched.append("INBOX", "third");
    watched.meddler.say("* 3 EXISTS");
    watched.comes("INBOX", "third", SOON);
}

#[test]
fn a_server_that_always_says_farewell_to_idle_is_not_stormed() {
    let mut watched = Watched::by_idle(|_| vec!["+ idling", "* BYE good night", "DROP"]);
    thread::sleep(Duration::from_secs(10));
    let connections = watched.meddler.count("AUTHENTICATE") + watched.meddler.count("LOGIN");
    assert!(connections < 15, "{connections} connections\n{}", watched.meddler.commands());
    watched.append("INBOX", "second");
    watched.comes("INBOX", "second", SOME_TIME);
}

#[test]
fn without_an_admission_to_idle_it_listens_all_the_same() {
    let mut watched = Watched::by_idle(|_| vec![]);
    assert!(watched.meddler.has_idler());
    watched.append("INBOX", "second");
    while watched.meddler.say("* 2 EXISTS") == 0 {
        thread::sleep(Duration::from_millis(10));
    }
    watched.comes("INBOX", "second", SOON);
    watched.goes("third", SOME_TIME);
    // By now it is known that there will be none.
    watched.goes("fourth", SOON);
}

#[test]
fn news_before_the_admission_to_idle_are_news() {
    let mut watched = Watched::by_idle(|nth| if nth == 2 { vec!["* 2 EXISTS", "+ idling"] } else { vec!["+ idling"] });
    assert!(watched.meddler.has_idler());
    watched.append("INBOX", "second");
    watched.goes("third", SOON);
    watched.comes("INBOX", "second", SOON);
    assert!(watched.meddler.has_idler());
}

#[test]
fn news_without_news_at_every_beginning_do_not_have_it_spin() {
    let watched = Watched::by_idle(|_| vec!["* 1 EXISTS", "* 0 RECENT", "+ idling"]);
    watched.keeps_still();
}

#[test]
fn where_idle_is_unknown_it_looks_now_and_then() {
    let mut watched = Watched::by_idle(|_| vec!["T BAD Unknown command"]);
    watched.append("INBOX", "second");
    watched.comes("INBOX", "second", SOME_TIME);
    watched.goes("third", SOON);
    watched.append("INBOX", "fourth");
    watched.comes("INBOX", "fourth", SOME_TIME);
    assert_eq!(watched.meddler.count("IDLE"), 1, "{}", watched.meddler.commands());
}

#[test]
fn where_idle_is_refused_for_now_it_is_tried_again_later() {
    let mut watched = Watched::by_idle(|nth| if nth == 1 { vec!["T NO [UNAVAILABLE] Try later"] } else { idles(nth) });
    watched.append("INBOX", "second");
    watched.comes("INBOX", "second", SOME_TIME);
    assert!(watched.meddler.has_idler(), "{}", watched.meddler.commands());
    watched.append("INBOX", "third");
    watched.meddler.say("* 3 EXISTS");
    watched.comes("INBOX", "third", SOON);
}

#[test]
fn where_one_connection_alone_may_idle_that_of_the_first_folder_does() {
    let mut watched = Watched::with(
        CAPABILITIES,
        |nth| if nth == 2 { vec!["T NO One is enough"] } else { idles(nth) },
        None,
        "idle = [\"INBOX\", \"Archive\"]",
    );
    assert!(watched.meddler.has_idler());
    watched.append("INBOX", "second");
    watched.meddler.say("* 2 EXISTS");
    watched.comes("INBOX", "second", SOON);
    assert!(watched.meddler.has_idler());
    watched.append("Archive", "third");
    watched.comes("Archive", "third", SOME_TIME);
}

#[test]
fn each_folder_that_has_a_connection_of_its_own_gets_another_one_when_it_breaks() {
    let mut watched = Watched::with(
        CAPABILITIES,
        |nth| if nth == 2 { vec!["+ idling", "DROP"] } else { idles(nth) },
        None,
        "idle = [\"INBOX\", \"Archive\", \"Work\"]",
    );
    watched.append("INBOX", "second");
    watched.comes("INBOX", "second", SOME_TIME);
    watched.idlers(3);
}

#[test]
fn after_a_sleep_no_connection_is_trusted() {
    let watched = Watched::with(
        CAPABILITIES,
        |nth| if nth == 2 { vec!["+ idling", "HANG"] } else { idles(nth) },
        None,
        "idle = [\"INBOX\", \"Archive\"]",
    );
    watched.idlers(1);
    watched.watch.signal("STOP");
    watched.watch.signal("CONT");
    watched.idlers(2);
}

#[test]
fn a_server_without_notify_is_not_blamed_for_what_it_does_not_tell() {
    let mut watched = Watched::by_idle(idles);
    for subject in ["second", "third", "fourth"] {
        thread::sleep(Duration::from_secs(4));
        watched.append("Archive", subject);
        watched.comes("Archive", subject, SOME_TIME);
    }
    assert!(!watched.watch.said().contains("NOTIFY"), "{}", watched.watch.said());
}

#[test]
fn only_that_there_is_something_recent_is_news() {
    let mut watched = Watched::by_idle(idles);
    assert!(watched.meddler.has_idler());
    watched.append("INBOX", "second");
    watched.meddler.say("* 1 RECENT");
    watched.comes("INBOX", "second", SOON);
}

#[test]
fn a_message_that_goes_while_another_comes_is_news() {
    let mut watched = Watched::by_idle(idles);
    assert!(watched.meddler.has_idler());
    watched.append("INBOX", "second");
    watched.server.delete("INBOX", "first");
    watched.meddler.say("* 1 EXPUNGE\r\n* 1 EXISTS");
    watched.comes("INBOX", "second", SOON);
    let begun = Instant::now();
    while watched.home.maildir().messages("INBOX").len() > 1 {
        assert!(begun.elapsed() < SOON, "first is still there");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn idle_that_ends_by_itself_is_begun_anew_but_not_at_once_for_ever() {
    let mut watched = Watched::by_idle(|_| vec!["+ idling", "T OK That was long enough"]);
    watched.keeps_still();
    watched.append("INBOX", "second");
    watched.comes("INBOX", "second", SOME_TIME);
}

#[test]
fn idle_that_ends_by_itself_while_it_is_ended_here_is_no_reason_to_stop() {
    let mut watched = Watched::by_idle(|_| vec!["+ idling", "RACE"]);
    for subject in ["second", "third"] {
        assert!(watched.meddler.has_idler());
        watched.goes(subject, SOON);
    }
    assert_eq!(watched.meddler.count("AUTHENTICATE"), 1, "{}", watched.meddler.commands());
}

#[test]
fn where_notify_is_refused_idle_takes_its_place() {
    let refusals: [Answer; 2] = [|_| vec!["T NO Not today"], |_| vec!["T BAD Unknown command"]];
    for refusal in refusals {
        let mut watched = Watched::with(&format!("{CAPABILITIES} NOTIFY"), idles, Some(refusal), "");
        assert!(watched.meddler.has_idler());
        watched.append("INBOX", "second");
        watched.meddler.say("* 2 EXISTS");
        watched.comes("INBOX", "second", SOON);
        assert!(watched.meddler.count("NOTIFY SET") == 1, "{}", watched.meddler.commands());
    }
}

#[test]
fn where_notify_does_not_tell_of_changes_idle_takes_its_place() {
    let lies: Answer = |_| vec!["T OK I will tell you everything"];
    let mut watched = Watched::with(&format!("{CAPABILITIES} NOTIFY"), idles, Some(lies), "");
    assert!(watched.meddler.has_idler());
    for subject in ["second", "third"] {
        thread::sleep(Duration::from_secs(4));
        watched.append("Archive", subject);
        watched.comes("Archive", subject, SOME_TIME);
    }
    let begun = Instant::now();
    while !watched.watch.said().contains("does not tell of all changes (NOTIFY)") {
        assert!(begun.elapsed() < SOON, "{}\n{}", watched.watch.said(), watched.meddler.commands());
        thread::sleep(Duration::from_millis(20));
    }
    let notifies = watched.meddler.count("NOTIFY SET");
    assert!(watched.meddler.has_idler());
    watched.append("INBOX", "fourth");
    watched.meddler.say("* 2 EXISTS");
    watched.comes("INBOX", "fourth", SOON);
    thread::sleep(Duration::from_secs(1));
    watched.idlers(1);
    assert_eq!(watched.meddler.count("NOTIFY SET"), notifies, "{}", watched.meddler.commands());
}
