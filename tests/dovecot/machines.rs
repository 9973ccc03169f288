//! Several machines on one account, syncing at the same time while yet another client works on the server.

use crate::support::corpus::Random;
use crate::support::*;
use crate::world::*;
use std::collections::BTreeMap;

const FOLDERS: [&str; 3] = ["INBOX", "Archive", "Work"];
const ROUNDS: usize = 8;
const MACHINES: usize = 2;

/// What must have become of a message: every one is changed by one of the clients only, so that it is certain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fate {
    folder: String,
    flagged: bool,
}

struct Account {
    server: Imap,
    machines: Vec<Home>,
    random: Random,
    alive: BTreeMap<String, Fate>,
    born: usize,
}

#[test]
fn machines_that_sync_at_the_same_time_lose_nothing_and_double_nothing() {
    on_both_servers(|dovecot| {
        let seed = std::env::var("MAILSYNC_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
        eprintln!("MAILSYNC_SEED={seed}");
        let mut server = dovecot.login("alice");
        FOLDERS[1..].iter().for_each(|folder| server.create(folder));
        let machine = |_| {
            let home = Home::new();
            home.account(&dovecot, "alice", "");
            home.sync();
            home
        };
        let machines = (0..MACHINES).map(machine).collect();
        let mut account = Account { server, machines, random: Random(seed), alive: BTreeMap::new(), born: 0 };
        for _ in 0..ROUNDS {
            (0..MACHINES).for_each(|at| account.live_on(at));
            let runs: Vec<_> = account.machines.iter().map(|home| home.start(&["sync"])).collect();
            account.live_there();
            for run in runs {
                let out = run.wait_with_output().expect("a run that ends");
                let told = String::from_utf8_lossy(&out.stderr).into_owned();
                // What another client takes away under a run's hands may be told: then it is left to the next one.
                assert!(matches!(out.status.code(), Some(0 | 1)), "{:?}: {told}", out.status);
            }
        }
        account.settle();
    });
}

impl Account {
    fn bear(&mut self) -> (String, &'static str) {
        self.born += 1;
        let folder = FOLDERS[self.random.below(3) as usize];
        let subject = format!("life {}", self.born);
        self.alive.insert(subject.clone(), Fate { folder: folder.to_owned(), flagged: false });
        (subject, folder)
    }

    /// Whose message it is: a machine's, or the other client's.
    fn owner(subject: &str) -> usize {
        let number: usize = subject.split(' ').nth(1).and_then(|number| number.parse().ok()).expect("a number");
        number % (MACHINES + 1)
    }

    fn live_on(&mut self, at: usize) {
        let maildir = self.machines[at].maildir();
        for message in maildir.all().into_iter().filter(|message| Self::owner(&message.subject()) == at) {
            let subject = message.subject();
            match self.random.below(6) {
                0 => {
                    maildir.remove(&message);
                    self.alive.remove(&subject);
                }
                1 => {
                    let into = FOLDERS[self.random.below(3) as usize];
                    if into != message.folder {
                        maildir.move_to(&message, into);
                    }
                    self.fate(&subject).folder = into.to_owned();
                }
                2 => {
                    maildir.set_letters(&message, "F");
                    self.fate(&subject).flagged = true;
                }
                _ => {}
            }
        }
        for _ in 0..self.random.below(5) {
            let (subject, folder) = self.bear();
            maildir.deliver(folder, &mail(&subject));
        }
    }

    fn live_there(&mut self) {
        for folder in FOLDERS {
            for message in self.server.messages(folder) {
                let subject = message.subject();
                // Moved on by this very loop, it would be met twice.
                let here = self.alive.get(&subject).is_some_and(|fate| fate.folder == folder);
                if !here || Self::owner(&subject) != MACHINES {
                    continue;
                }
                match self.random.below(6) {
                    0 => {
                        self.server.expunge(folder, &[message.uid]);
                        self.alive.remove(&subject);
                    }
                    1 => {
                        let into = FOLDERS[self.random.below(3) as usize];
                        if into != folder {
                            self.server.move_to(folder, message.uid, into);
                        }
                        self.fate(&subject).folder = into.to_owned();
                    }
                    2 => {
                        self.server.set_flags(folder, message.uid, &["\\Flagged"], &[]);
                        self.fate(&subject).flagged = true;
                    }
                    _ => {}
                }
            }
        }
        for _ in 0..self.random.below(5) {
            let (subject, folder) = self.bear();
            self.server.append(folder, &crlf(&mail(&subject)), &[], Some(1_500_000_000));
        }
    }

    fn fate(&mut self, subject: &str) -> &mut Fate {
        self.alive.get_mut(subject).expect("a message that is alive")
    }

    /// Everything comes to rest, and everything is where it must be, on the server and on every machine.
    fn settle(&mut self) {
        for _ in 0..3 {
            for home in &self.machines {
                home.mailsync(&["sync"]).done();
            }
        }
        self.machines.iter().for_each(Home::nothing_to_do);
        let expected: Vec<(String, Fate)> = self.alive.clone().into_iter().collect();
        let mut there = Vec::new();
        for folder in FOLDERS {
            let fate = |m: &ServerMessage| Fate { folder: folder.to_owned(), flagged: m.has("\\Flagged") };
            there.extend(self.server.messages(folder).iter().map(|m| (m.subject(), fate(m))));
        }
        there.sort();
        assert_eq!(there, expected, "on the server");
        for home in &self.machines {
            let fate = |m: &LocalMessage| Fate { folder: m.folder.clone(), flagged: m.letters.contains('F') };
            let mut here: Vec<_> = home.maildir().all().iter().map(|m| (m.subject(), fate(m))).collect();
            here.sort();
            assert_eq!(here, expected, "on a machine");
        }
    }
}
