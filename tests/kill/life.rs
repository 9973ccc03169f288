//! What happens to mail on both sides between runs, and what both must come to hold.

use crate::support::corpus::{FLAGS, Random, letter};
use crate::support::*;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

pub const FOLDERS: [&str; 3] = ["INBOX", "Archive", "Work/Größe"];
const KEYWORDS: [&str; 2] = ["$Label1", "project-x"];
/// From so many messages on more of them go than come.
const CROWDED: usize = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Here,
    There,
}

/// A message as both sides must come to hold it.
#[derive(Clone, Debug)]
struct Mail {
    bytes: Vec<u8>,
    sha256: String,
    folder: &'static str,
    flags: BTreeSet<&'static str>,
    date: i64,
    /// Whether something happened to it since both sides were last in step: one thing at a time has one outcome.
    touched: bool,
    /// The side that it came to since both sides were last in step; it is known to be on no other.
    young: Option<Side>,
    /// Whether there may be others with the same bytes: which of them is which can't be told.
    twin: bool,
}

/// Folder, hash, flags, date.
pub type Row = (String, String, Vec<String>, i64);

/// Both sides, and the model.
pub struct Life {
    pub home: Home,
    server: Imap,
    pub random: Random,
    mails: Vec<Mail>,
    born: usize,
    /// The hashes of all messages that ever were.
    hashes: BTreeSet<String>,
    /// What happened since both sides were last in step, for people.
    pub story: Vec<String>,
}

impl Life {
    pub fn new(home: Home, server: Imap, seed: u64) -> Life {
        let mut life = Life {
            home,
            server,
            random: Random(seed),
            mails: Vec::new(),
            born: 0,
            hashes: BTreeSet::new(),
            story: Vec::new(),
        };
        FOLDERS[1..].iter().for_each(|folder| life.server.create(folder));
        (0..12).for_each(|_| life.born_there());
        life
    }

    /// Both sides are in step: anything may happen to any message.
    pub fn in_step(&mut self) {
        for mail in &mut self.mails {
            (mail.touched, mail.young) = (false, None);
        }
        self.story.clear();
    }

    /// Lets one thing happen.
    pub fn happen(&mut self) {
        let births = if self.mails.len() > CROWDED { 2 } else { 8 };
        match self.random.below(12 + births) {
            0 | 1 => self.deleted_there(),
            2 | 3 => self.deleted_here(),
            4 => self.deleted_on_both(),
            5 => self.deleted_here_and_flagged_there(),
            6 => self.flagged_here(),
            7 => self.flagged_there(),
            8 => self.flagged_on_both(),
            9 => self.moved_there(),
            10 => self.moved_here(),
            11 => self.one_of_twins_deleted(),
            12 => self.born_here(),
            13 | 14 => self.born_there(),
            15 => self.born_on_both(),
            16 => self.doubled(),
            _ => self.born_here(),
        }
    }

    /// Lets one thing of every kind happen, as many messages coming as going.
    pub fn all_happen(&mut self) {
        self.born_here();
        self.born_here();
        self.born_there();
        self.born_there();
        self.flagged_here();
        self.flagged_there();
        self.moved_here();
        self.moved_there();
        self.deleted_here();
        self.deleted_here();
        self.deleted_there();
        self.deleted_there();
    }

    /// What both sides must hold.
    pub fn expected(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self
            .mails
            .iter()
            .map(|mail| {
                let flags = mail.flags.iter().map(|flag| (*flag).to_owned()).collect();
                (mail.folder.to_owned(), mail.sha256.clone(), flags, mail.date)
            })
            .collect();
        rows.sort();
        rows
    }

    /// What the server holds.
    pub fn there(&mut self) -> Vec<Row> {
        let mut rows = Vec::new();
        for folder in self.server.list() {
            let messages = self.server.messages(&folder);
            rows.extend(messages.into_iter().map(|m| (folder.clone(), m.sha256, m.flags, m.date)));
        }
        rows.sort();
        rows
    }

    /// The hashes of what the server holds and must go on to hold.
    pub fn alive_there(&mut self) -> Vec<String> {
        let wanted: BTreeSet<String> = self.mails.iter().map(|mail| mail.sha256.clone()).collect();
        let mut hashes: Vec<String> = self.there().into_iter().map(|(_, hash, ..)| hash).collect();
        hashes.retain(|hash| wanted.contains(hash));
        hashes.sort();
        hashes.dedup();
        hashes
    }

    /// What the Maildirs hold.
    pub fn here(&self) -> Vec<Row> {
        let maildir = self.home.maildir();
        let row = |m: LocalMessage| {
            let name = |c: char| FLAGS.iter().find(|(_, letter)| *letter == c).map_or("\\Deleted", |(name, _)| *name);
            let mut flags: Vec<String> = m.letters.chars().map(|c| name(c).to_owned()).collect();
            flags.extend(maildir.keywords(&m));
            flags.sort();
            (m.folder, m.sha256, flags, m.date)
        };
        let mut rows: Vec<Row> = maildir.all().into_iter().map(row).collect();
        rows.sort();
        rows
    }

    /// Files among messages whose content is none that ever was whole.
    pub fn partial(&self) -> Vec<PathBuf> {
        let all = self.home.maildir().all().into_iter();
        all.filter(|message| !self.hashes.contains(&message.sha256)).map(|message| message.path).collect()
    }

    fn folder(&mut self) -> &'static str {
        FOLDERS[self.random.below(FOLDERS.len() as u64) as usize]
    }

    /// A message that there is not yet, some without a Message-ID of their own, some large.
    fn bear(&mut self, what: &str) -> Mail {
        self.born += 1;
        let mut text = format!("From: Ann <ann@example.org>\nSubject: life {}\n", self.born);
        match self.random.below(6) {
            0 => {}
            // Of those that have one ID the size must tell: content is not read where both are the same.
            1 => text.push_str(&format!("Message-ID: <the-same-for-many@test>\nX-Size: {}\n", "x".repeat(self.born))),
            _ => text.push_str(&format!("Message-ID: <{}.{}@test>\n", self.born, self.random.below(1 << 40))),
        }
        // Sizes of messages of one ID must not meet by chance, so that these have one line.
        let lines = match text.contains("X-Size") {
            true => 0,
            false if self.random.below(8) == 0 => 3000,
            false => self.random.below(30),
        };
        (0..=lines).for_each(|line| {
            text.push_str(&format!("{}line {line} of {}\n", ["\n", ""][(line > 0) as usize], self.born))
        });
        let flags = FLAGS.iter().map(|(name, _)| *name).filter(|_| self.random.below(3) == 0).collect();
        let mail = Mail {
            sha256: sha256_of_lf(text.as_bytes()),
            bytes: text.into_bytes(),
            folder: self.folder(),
            flags,
            date: 1_000_000_000 + self.random.below(500_000_000) as i64,
            touched: true,
            young: None,
            twin: false,
        };
        self.story.push(format!("{what}: {} in {}, {:?}", mail.sha256, mail.folder, mail.flags));
        self.hashes.insert(mail.sha256.clone());
        mail
    }

    fn put_there(&mut self, mail: &Mail) {
        let flags: Vec<&str> = mail.flags.iter().copied().collect();
        self.server.append(mail.folder, &crlf(&mail.bytes), &flags, Some(mail.date));
    }

    fn put_here(&mut self, mail: &Mail) {
        let maildir = self.home.maildir();
        maildir.create(mail.folder);
        maildir.save(mail.folder, &mail.bytes, &letters_of(&mail.flags), Some(mail.date));
    }

    fn born_there(&mut self) {
        let mut mail = self.bear("born there");
        mail.young = Some(Side::There);
        self.put_there(&mail);
        self.mails.push(mail);
    }

    fn born_here(&mut self) {
        let mut mail = self.bear("born here");
        mail.young = Some(Side::Here);
        self.put_here(&mail);
        self.mails.push(mail);
    }

    /// The same message comes by itself to both sides: it is one, with the flags of both.
    fn born_on_both(&mut self) {
        let mut mail = self.bear("born on both");
        self.put_here(&mail);
        let flags = std::mem::replace(&mut mail.flags, BTreeSet::from(["\\Flagged"]));
        self.put_there(&mail);
        mail.flags.extend(flags);
        self.mails.push(mail);
    }

    /// A second message with the same bytes and flags, in the same folder or another.
    fn doubled(&mut self) {
        let Some(at) = self.pick("doubled", |mail| !mail.twin && has_no_keywords(mail)) else { return };
        self.mails[at].twin = true;
        let mut twin = self.mails[at].clone();
        if self.random.below(2) == 0 {
            twin.folder = self.folder();
        }
        match self.random.below(2) {
            0 => self.put_there(&twin),
            _ => self.put_here(&twin),
        }
        self.mails.push(twin);
    }

    /// A message to which nothing happened yet, and to which this is to happen.
    fn pick(&mut self, what: &str, fits: impl Fn(&Mail) -> bool) -> Option<usize> {
        let fitting: Vec<usize> =
            (0..self.mails.len()).filter(|at| !self.mails[*at].touched && fits(&self.mails[*at])).collect();
        let at = *fitting.get(self.random.below(fitting.len().max(1) as u64) as usize)?;
        let mail = &mut self.mails[at];
        mail.touched = true;
        self.story.push(format!("{what}: {} in {}, {:?}", mail.sha256, mail.folder, mail.flags));
        Some(at)
    }

    fn on_server(&mut self, at: usize) -> ServerMessage {
        let Mail { folder, sha256, .. } = &self.mails[at];
        let found = self.server.messages(folder).into_iter().find(|message| message.sha256 == *sha256);
        found.unwrap_or_else(|| panic!("not on the server: {:?}", self.mails[at].sha256))
    }

    fn on_disk(&self, at: usize) -> LocalMessage {
        let Mail { folder, sha256, .. } = &self.mails[at];
        let found = self.home.maildir().messages(folder).into_iter().find(|message| message.sha256 == *sha256);
        found.unwrap_or_else(|| panic!("not in the Maildir: {:?}", self.mails[at].sha256))
    }

    fn deleted_there(&mut self) {
        let Some(at) = self.pick("deleted there", |mail| !mail.twin) else { return };
        let uid = self.on_server(at).uid;
        self.server.expunge(self.mails[at].folder, &[uid]);
        self.mails.remove(at);
    }

    fn deleted_here(&mut self) {
        let Some(at) = self.pick("deleted here", |mail| !mail.twin) else { return };
        self.home.maildir().remove(&self.on_disk(at));
        self.mails.remove(at);
    }

    /// The state went back to before the last run: whether what that one copied was deleted since, nobody can know.
    pub fn rolled_back(&mut self) {
        self.mails.iter_mut().for_each(|mail| mail.young = None);
    }

    /// A message that just came goes from where it came to, copied or not.
    pub fn born_and_gone(&mut self) {
        let Some(at) = self.mails.iter().position(|mail| mail.young.is_some()) else { return };
        let Mail { sha256, folder, young, .. } = self.mails[at].clone();
        self.story.push(format!("gone again: {sha256} in {folder}"));
        match young {
            Some(Side::Here) => self.home.maildir().remove(&self.on_disk(at)),
            _ => {
                let uid = self.on_server(at).uid;
                self.server.expunge(folder, &[uid]);
            }
        }
        self.mails.remove(at);
    }

    fn deleted_on_both(&mut self) {
        let Some(at) = self.pick("deleted on both", |mail| !mail.twin) else { return };
        self.home.maildir().remove(&self.on_disk(at));
        let uid = self.on_server(at).uid;
        self.server.expunge(self.mails[at].folder, &[uid]);
        self.mails.remove(at);
    }

    fn deleted_here_and_flagged_there(&mut self) {
        let Some(at) = self.pick("deleted here and flagged there", |mail| !mail.twin) else { return };
        self.home.maildir().remove(&self.on_disk(at));
        let flag = self.flag();
        self.flag_there(at, flag);
        self.mails.remove(at);
    }

    /// Of several messages with the same bytes in a folder one goes: the others stay.
    fn one_of_twins_deleted(&mut self) {
        let Some(at) = self.pick("one of twins deleted", |mail| mail.twin) else { return };
        let sha256 = self.mails[at].sha256.clone();
        if self.mails.iter().enumerate().any(|(other, mail)| other != at && mail.sha256 == sha256 && mail.touched) {
            return;
        }
        self.mails.iter_mut().filter(|mail| mail.sha256 == sha256).for_each(|mail| mail.touched = true);
        match self.random.below(2) {
            0 => self.home.maildir().remove(&self.on_disk(at)),
            _ => {
                let uid = self.on_server(at).uid;
                self.server.expunge(self.mails[at].folder, &[uid]);
            }
        }
        self.mails.remove(at);
    }

    fn flag(&mut self) -> &'static str {
        let all: Vec<&'static str> = FLAGS.iter().map(|(name, _)| *name).chain(KEYWORDS).collect();
        all[self.random.below(all.len() as u64) as usize]
    }

    fn flagged_here(&mut self) {
        let Some(at) = self.pick("flagged here", |mail| !mail.twin) else { return };
        let flag = self.flag();
        self.flag_here(at, flag);
        toggle(&mut self.mails[at].flags, flag);
    }

    fn flagged_there(&mut self) {
        let Some(at) = self.pick("flagged there", |mail| !mail.twin) else { return };
        let flag = self.flag();
        self.flag_there(at, flag);
        toggle(&mut self.mails[at].flags, flag);
    }

    /// One flag changes on each side, or the same one on both.
    fn flagged_on_both(&mut self) {
        let Some(at) = self.pick("flagged on both", |mail| !mail.twin) else { return };
        let (here, there) = (self.flag(), self.flag());
        self.flag_here(at, here);
        self.flag_there(at, there);
        let flags = &mut self.mails[at].flags;
        toggle(flags, here);
        if here != there {
            toggle(flags, there);
        }
    }

    fn flag_there(&mut self, at: usize, flag: &'static str) {
        let uid = self.on_server(at).uid;
        let (add, remove) = match self.mails[at].flags.contains(flag) {
            true => (vec![], vec![flag]),
            false => (vec![flag], vec![]),
        };
        self.server.set_flags(self.mails[at].folder, uid, &add, &remove);
    }

    fn flag_here(&mut self, at: usize, flag: &'static str) {
        let message = self.on_disk(at);
        let mut info: BTreeSet<char> = message.letters.chars().chain(message.custom.chars()).collect();
        let folder = self.home.mail().join(&message.folder);
        let sign = if KEYWORDS.contains(&flag) { keyword_letter(&folder, flag) } else { letter(flag) };
        if !info.remove(&sign) {
            info.insert(sign);
        }
        let info: String = info.into_iter().collect();
        let to = folder.join("cur").join(format!("{}:2,{info}", message.unique));
        fs::rename(&message.path, &to).expect("rename a message");
    }

    fn moved_there(&mut self) {
        let Some(at) = self.pick("moved there", |mail| !mail.twin) else { return };
        let into = self.elsewhere(at);
        let uid = self.on_server(at).uid;
        self.server.move_to(self.mails[at].folder, uid, into);
        self.mails[at].folder = into;
    }

    /// Another program moves the file, under its own name or a new one. Letters of keywords mean something else in
    /// another folder, so messages that have any stay.
    fn moved_here(&mut self) {
        let Some(at) = self.pick("moved here", |mail| !mail.twin && has_no_keywords(mail)) else {
            return;
        };
        let into = self.elsewhere(at);
        let message = self.on_disk(at);
        let name = message.path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        let name = match self.random.below(2) {
            0 => format!("{}.moved{}{}", self.mails[at].date, self.story.len(), &name[message.unique.len()..]),
            _ => name,
        };
        let to = self.home.mail().join(into).join(&message.dir).join(name);
        assert!(!to.exists(), "the name is taken");
        fs::rename(&message.path, to).expect("move a message");
        self.mails[at].folder = into;
    }

    fn elsewhere(&mut self, at: usize) -> &'static str {
        loop {
            let folder = self.folder();
            if folder != self.mails[at].folder {
                return folder;
            }
        }
    }
}

fn has_no_keywords(mail: &Mail) -> bool {
    mail.flags.iter().all(|flag| !KEYWORDS.contains(flag))
}

fn toggle(flags: &mut BTreeSet<&'static str>, flag: &'static str) {
    if !flags.remove(flag) {
        flags.insert(flag);
    }
}

fn letters_of(flags: &BTreeSet<&'static str>) -> String {
    let mut letters: Vec<char> = flags.iter().map(|flag| letter(flag)).collect();
    letters.sort();
    letters.into_iter().collect()
}

/// The letter of a keyword in a Maildir, which is given one as Dovecot would where it has none.
fn keyword_letter(folder: &Path, keyword: &str) -> char {
    let path = folder.join("dovecot-keywords");
    let text = fs::read_to_string(&path).unwrap_or_default();
    let known = text.lines().filter_map(|line| line.split_once(' ')).find(|(_, name)| *name == keyword);
    let number = match known {
        Some((number, _)) => number.parse().expect("a number"),
        None => {
            let number = u8::try_from(text.lines().count()).expect("few keywords");
            fs::write(&path, format!("{text}{number} {keyword}\n")).expect("write the keywords");
            number
        }
    };
    char::from(b'a' + number)
}
