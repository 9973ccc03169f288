//! Random life on both sides between syncs, the same for the same seed: nothing is lost, nothing doubled.

use crate::support::corpus::Random;
use crate::support::*;
use crate::world::*;
use std::collections::BTreeSet;

const FOLDERS: [&str; 3] = ["INBOX", "Archive", "Work/Größe"];
const LETTERS: [char; 4] = ['F', 'S', 'R', 'P'];

/// A world, and the subjects of the messages that must be there.
struct Life {
    world: World,
    random: Random,
    alive: BTreeSet<String>,
    born: usize,
}

#[test]
fn random_life_loses_nothing_and_doubles_nothing() {
    for (seed, bare) in [(11, false), (12, true), (13, false)] {
        let dovecot = if bare { Dovecot::bare() } else { Dovecot::start() };
        let mut world = World::new(dovecot);
        FOLDERS[1..].iter().for_each(|folder| world.server.create(folder));
        world.sync();
        let mut life = Life { world, random: Random(seed), alive: BTreeSet::new(), born: 0 };
        for round in 0..12 {
            life.live();
            life.world.home.sync();
            life.world.in_step();
            let there: Vec<String> =
                FOLDERS.iter().flat_map(|f| life.world.server.messages(f)).map(|m| m.subject()).collect();
            let unique: BTreeSet<String> = there.iter().cloned().collect();
            assert_eq!(unique, life.alive, "seed {seed}, round {round}");
            assert_eq!(there.len(), unique.len(), "doubles; seed {seed}, round {round}: {there:?}");
        }
    }
}

impl Life {
    /// One round: births, flags, deletions and moves on both sides. No message is taken away twice.
    fn live(&mut self) {
        for _ in 0..self.random.below(8) {
            self.bear();
        }
        for folder in FOLDERS {
            for message in self.world.server.messages(folder) {
                if self.alive.contains(&message.subject()) {
                    self.change_there(folder, &message);
                }
            }
            for message in self.world.maildir().messages(folder) {
                self.change_here(&message);
            }
        }
    }

    fn bear(&mut self) {
        self.born += 1;
        let subject = format!("life {}", self.born);
        let folder = FOLDERS[self.random.below(3) as usize];
        match self.random.below(3) {
            0 => self.world.server.append(folder, &crlf(&mail(&subject)), &["\\Seen"], Some(1_500_000_000)),
            1 => drop(self.world.maildir().deliver(folder, &mail(&subject))),
            _ => drop(self.world.maildir().save(folder, &mail(&subject), "RS", Some(1_400_000_000))),
        }
        self.alive.insert(subject);
    }

    fn change_there(&mut self, folder: &str, message: &ServerMessage) {
        let is_here = self.here(&message.subject()).is_some();
        match self.random.below(10) {
            0 => {
                self.world.server.expunge(folder, &[message.uid]);
                // A message that the other side never saw is just gone.
                self.alive.remove(&message.subject());
            }
            1 if is_here => {
                let into = FOLDERS[self.random.below(3) as usize];
                if into != folder {
                    self.world.server.move_to(folder, message.uid, into);
                }
            }
            2 | 3 => {
                let flag = imap_flag(LETTERS[self.random.below(4) as usize]);
                let (add, remove) = if message.has(flag) { (vec![], vec![flag]) } else { (vec![flag], vec![]) };
                self.world.server.set_flags(folder, message.uid, &add, &remove);
            }
            _ => {}
        }
    }

    fn change_here(&mut self, message: &LocalMessage) {
        // Moved or deleted there in this round: taking it away here too would ask for two things at once.
        let subject = message.subject();
        let there = self.world.server.messages(&message.folder).iter().any(|m| m.subject() == subject);
        match self.random.below(10) {
            0 if there => {
                self.world.maildir().remove(message);
                self.alive.remove(&subject);
            }
            1 if there => {
                let into = FOLDERS[self.random.below(3) as usize];
                if into != message.folder {
                    self.world.maildir().move_to(message, into);
                }
            }
            2 | 3 => {
                let letter = LETTERS[self.random.below(4) as usize];
                let mut letters: BTreeSet<char> = message.letters.chars().collect();
                if !letters.remove(&letter) {
                    letters.insert(letter);
                }
                self.world.maildir().set_letters(message, &letters.into_iter().collect::<String>());
            }
            _ => {}
        }
    }

    fn here(&self, subject: &str) -> Option<LocalMessage> {
        self.world.maildir().all().into_iter().find(|message| message.subject() == subject)
    }
}
