//! What happens between two runs of a program.

use crate::message;
use crate::programs::Seat;
use crate::server::{Known, Server, Template, logout};
use crate::support::{Imap, Maildir, corpus};
use crate::verify::{Hashes, Item, Tree, read};
use clap::ValueEnum;
use std::collections::BTreeMap;
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Scenario {
    /// The first sync, into nothing.
    Pull,
    /// Nothing changed.
    Noop,
    /// Nothing changed, in many folders.
    NoopFolders,
    /// Something changed on the server.
    ServerDelta,
    /// Something changed here.
    LocalDelta,
    /// The first sync of many small folders.
    Many,
}

impl Scenario {
    /// In the order in which they are played; the first four on one mailbox, each on what the last one left.
    pub const ALL: [Scenario; 6] = [
        Scenario::Pull,
        Scenario::Noop,
        Scenario::ServerDelta,
        Scenario::LocalDelta,
        Scenario::NoopFolders,
        Scenario::Many,
    ];
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("no scenario is hidden");
        f.write_str(value.get_name())
    }
}

/// How much changes.
#[derive(Clone, Copy, Debug)]
pub struct Delta {
    pub new: usize,
    pub reflagged: usize,
    pub gone: usize,
}

impl Delta {
    /// As in the design's budgets; less in a small mailbox.
    pub fn of(scenario: Scenario, messages: usize) -> Delta {
        let new = if scenario == Scenario::LocalDelta { 500 } else { 100 };
        let at_most = |number: usize, part: usize| number.min(messages / part).max(1);
        Delta { new: at_most(new, 6), reflagged: at_most(200, 15), gone: at_most(50, 60) }
    }

    /// How many of the messages that were there it touches.
    pub fn touched(&self) -> usize {
        self.reflagged + self.gone
    }
}

/// The flag of a message that is toggled, Flagged or Seen by turns, and whether it is set.
fn toggled(number: usize, letters: &str) -> (char, bool) {
    let letter = if number.is_multiple_of(2) { 'F' } else { 'S' };
    (letter, !letters.contains(letter))
}

fn flag(letter: char) -> &'static str {
    let found = corpus::FLAGS.iter().find(|(_, of)| *of == letter);
    found.expect("a letter of the corpus").0
}

/// What a delta does, in the terms of the template: the same for every program.
struct Acts<'a> {
    /// Folder, message, letter, whether it is set.
    reflag: Vec<(&'a str, &'a Known, char, bool)>,
    gone: Vec<(&'a str, &'a Known)>,
    /// Folder, number of the message.
    new: Vec<(&'a str, u64)>,
}

fn acts<'a>(template: &'a Template, delta: Delta, from: usize, fresh: u64) -> Acts<'a> {
    let nth = |number: usize| template.nth(number).expect("the mailbox has as many messages as are touched");
    let reflag = (from..from + delta.reflagged).map(|number| {
        let (folder, known) = nth(number);
        let (letter, set) = toggled(number / template.folders.len(), &known.letters);
        (folder, known, letter, set)
    });
    let gone = (from + delta.reflagged..from + delta.touched()).map(nth);
    let new = (0..delta.new).map(|n| (template.folders[n % template.folders.len()].0.as_str(), fresh + n as u64));
    Acts { reflag: reflag.collect(), gone: gone.collect(), new: new.collect() }
}

/// Changes the mailbox on the server, past the line. `from` is the first message of the template that it touches,
/// `fresh` the number of the first new one.
pub fn on_server(server: &Server, seat: &Seat, template: &Template, delta: Delta, from: usize, fresh: u64) {
    let acts = acts(template, delta, from, fresh);
    by_imap(server.login(&seat.user), &acts, |_, known| known.uid);
}

/// Changes the local side: files, or by IMAP where that is what the program keeps.
pub fn on_local(server: &Server, seat: &Seat, template: &Template, delta: Delta, from: usize, fresh: u64) {
    let acts = acts(template, delta, from, fresh);
    if let Some(local) = &seat.local_user {
        let mut imap = server.login(local);
        let mut uids = BTreeMap::new();
        for (folder, _) in &template.folders {
            uids.extend(imap.messages(folder).into_iter().map(|m| ((folder.as_str(), m.sha256), m.uid)));
        }
        by_imap(imap, &acts, |folder, known| {
            let found = uids.get(&(folder, known.sha256.clone()));
            *found.unwrap_or_else(|| panic!("a message of {folder} is not on the local side"))
        });
        return;
    }
    let tree = read(&seat.mail(), &Hashes::default());
    by_files(&Maildir::new(seat.mail()), &tree, &acts);
}

fn by_imap(mut imap: Imap, acts: &Acts<'_>, uid: impl Fn(&str, &Known) -> u32) {
    let mut reflag: BTreeMap<(&str, char, bool), Vec<String>> = BTreeMap::new();
    for (folder, known, letter, set) in &acts.reflag {
        reflag.entry((folder, *letter, *set)).or_default().push(uid(folder, known).to_string());
    }
    for ((folder, letter, set), uids) in reflag {
        imap.command(&format!("SELECT \"{folder}\""));
        let sign = if set { '+' } else { '-' };
        imap.command(&format!("UID STORE {} {sign}FLAGS.SILENT ({})", uids.join(","), flag(letter)));
    }
    let mut gone: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (folder, known) in &acts.gone {
        gone.entry(folder).or_default().push(uid(folder, known));
    }
    for (folder, uids) in gone {
        imap.expunge(folder, &uids);
    }
    for (folder, number) in &acts.new {
        let letters = message::letters(*number);
        let flags: Vec<&str> = letters.chars().map(flag).collect();
        imap.append(folder, &message::bytes(*number), &flags, Some(message::date(*number)));
    }
    logout(imap);
}

fn by_files(maildir: &Maildir, tree: &Tree, acts: &Acts<'_>) {
    let index: BTreeMap<(&str, &str), &Item> = tree
        .iter()
        .flat_map(|(folder, items)| items.iter().map(move |item| ((folder.as_str(), item.sha256.as_str()), item)))
        .collect();
    let item = |folder: &str, known: &Known| {
        let found = index.get(&(folder, known.sha256.as_str()));
        *found.unwrap_or_else(|| panic!("a message of {folder} is not on the local side"))
    };
    for (folder, known, letter, set) in &acts.reflag {
        let item = item(folder, known);
        let mut letters: Vec<char> = item.letters.chars().filter(|c| c != letter).collect();
        letters.extend(set.then_some(*letter));
        letters.sort();
        let name = item.path.file_name().unwrap_or_default().to_string_lossy();
        let unique = name.split_once(":2,").map_or(&*name, |(unique, _)| unique);
        let dir = item.path.parent().and_then(|dir| dir.parent()).expect("a message is in a Maildir");
        let to = dir.join("cur").join(format!("{unique}:2,{}", letters.iter().collect::<String>()));
        std::fs::rename(&item.path, to).expect("reflag a message");
    }
    for (folder, known) in &acts.gone {
        std::fs::remove_file(&item(folder, known).path).expect("remove a message");
    }
    // A folder's own directory, where INBOX may be the root.
    for (folder, number) in &acts.new {
        let root_is_inbox = *folder == "INBOX" && maildir.root.join("cur").is_dir();
        let below = if root_is_inbox { "" } else { folder };
        let letters = message::letters(*number);
        let (bytes, date) = (message::bytes(*number), Some(message::date(*number)));
        maildir.save(below, &bytes, &letters, date);
    }
}
