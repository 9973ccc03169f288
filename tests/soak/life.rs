//! What happens to the mail of an account on both sides at any time, and what both must come to hold.
//!
//! Between two moments at which both sides are in step a message is touched by one side alone, as often as it likes: so
//! there is one way in which things may end.

use crate::support::corpus::{FLAGS, Random, letter};
use crate::support::*;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

pub const FOLDERS: [&str; 3] = ["INBOX", "Archive", "Work"];

/// From so many messages on more of them go than come.
const CROWDED: usize = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Here,
    There,
}

/// A message as both sides must come to hold it.
#[derive(Clone, Debug)]
struct Mail {
    id: String,
    sha256: String,
    folder: &'static str,
    flags: BTreeSet<&'static str>,
    /// Who touched it since both sides were last in step.
    side: Option<Side>,
}

/// Folder, hash, flags.
pub type Row = (String, String, Vec<String>);

/// Both sides of an account, and the model.
pub struct Life {
    pub name: &'static str,
    root: PathBuf,
    /// Nobody, while the server is down.
    pub server: Option<Imap>,
    pub random: Random,
    mails: Vec<Mail>,
    born: usize,
    /// What happened since both sides were last in step, for people.
    pub story: Vec<String>,
    pub changes: usize,
}

impl Life {
    pub fn new(name: &'static str, root: PathBuf, server: Imap, seed: u64) -> Life {
        let (mails, story) = (Vec::new(), Vec::new());
        let mut life =
            Life { name, root, server: Some(server), random: Random(seed), mails, born: 0, story, changes: 0 };
        FOLDERS[1..].iter().for_each(|folder| life.server().create(folder));
        (0..15).for_each(|_| life.born(Side::There));
        life
    }

    pub fn server(&mut self) -> &mut Imap {
        self.server.as_mut().expect("the server is up")
    }

    /// Both sides are in step: either may touch any message.
    pub fn in_step(&mut self) {
        self.mails.iter_mut().for_each(|mail| mail.side = None);
        self.story.clear();
    }

    /// Lets one thing happen.
    pub fn happen(&mut self) {
        let side = match self.server {
            Some(_) if self.random.below(2) == 0 => Side::There,
            _ => Side::Here,
        };
        let births = if self.mails.len() > CROWDED { 2 } else { 5 };
        match self.random.below(8 + births) {
            0..3 => self.flagged(side),
            3..5 => self.moved(side),
            5..8 => self.deleted(side),
            _ => self.born(side),
        }
        self.changes += 1;
    }

    fn born(&mut self, side: Side) {
        let folder = self.folder();
        self.born_in(side, folder);
    }

    /// A new message comes; its hash.
    pub fn born_in(&mut self, side: Side, folder: &'static str) -> String {
        self.born += 1;
        let id = format!("{}.{}@{}", self.born, self.random.below(1 << 40), self.name);
        let lines = if self.random.below(8) == 0 { 2000 } else { self.random.below(30) };
        let lines: String = (0..lines).map(|line| format!("line {line} of {}\n", self.born)).collect();
        let text = format!("From: Ann <ann@example.org>\nSubject: life {}\nMessage-ID: <{id}>\n\n{lines}", self.born)
            .into_bytes();
        // What is delivered has no flags.
        let delivered = side == Side::Here && self.random.below(2) == 0;
        let flags: BTreeSet<&str> =
            FLAGS.iter().map(|(name, _)| *name).filter(|_| !delivered && self.random.below(3) == 0).collect();
        let sha256 = sha256_of_lf(&text);
        match side {
            Side::There => {
                let flags: Vec<&str> = flags.iter().copied().collect();
                self.server().append(folder, &crlf(&text), &flags, None);
            }
            Side::Here => {
                let dir = self.root.join(folder);
                ["cur", "new", "tmp"].iter().for_each(|sub| fs::create_dir_all(dir.join(sub)).expect("make a Maildir"));
                let name = self.unique();
                fs::write(dir.join("tmp").join(&name), &text).expect("write a message");
                let to = match delivered {
                    true => dir.join("new").join(&name),
                    false => dir.join("cur").join(format!("{name}:2,{}", letters_of(&flags))),
                };
                fs::rename(dir.join("tmp").join(&name), to).expect("deliver a message");
            }
        }
        let mail = Mail { id, sha256: sha256.clone(), folder, flags, side: Some(side) };
        self.tell(side, "born", &mail);
        self.mails.push(mail);
        sha256
    }

    fn unique(&mut self) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970").as_secs();
        format!("{now}.{}_{}.there", std::process::id(), self.random.below(1 << 60))
    }

    fn tell(&mut self, side: Side, what: &str, mail: &Mail) {
        self.story.push(format!(
            "{} {side:?} {what}: {} {} in {}, {:?}",
            now(),
            mail.sha256,
            mail.id,
            mail.folder,
            mail.flags
        ));
    }

    fn folder(&mut self) -> &'static str {
        FOLDERS[self.random.below(FOLDERS.len() as u64) as usize]
    }

    /// A message that this side may touch.
    fn pick(&mut self, side: Side) -> Option<usize> {
        let fitting: Vec<usize> =
            (0..self.mails.len()).filter(|at| self.mails[*at].side.is_none_or(|toucher| toucher == side)).collect();
        let at = *fitting.get(self.random.below(fitting.len().max(1) as u64) as usize)?;
        self.mails[at].side = Some(side);
        Some(at)
    }

    fn flagged(&mut self, side: Side) {
        let Some(at) = self.pick(side) else { return };
        let (flag, sign) = FLAGS[self.random.below(FLAGS.len() as u64) as usize];
        let mail = &mut self.mails[at];
        let adds = !mail.flags.remove(flag) && mail.flags.insert(flag);
        let mail = mail.clone();
        self.tell(side, "flagged", &mail);
        match side {
            Side::There => {
                let uid = self.on_server(&mail, mail.folder);
                let (add, remove): (&[&str], &[&str]) = if adds { (&[flag], &[]) } else { (&[], &[flag]) };
                self.server().set_flags(mail.folder, uid, add, remove);
            }
            Side::Here => self.rename(&mail, mail.folder, |name| {
                let (unique, info) = name.split_once(":2,").unwrap_or((name, ""));
                let mut letters: BTreeSet<char> = info.chars().filter(|letter| *letter != sign).collect();
                letters.extend(adds.then_some(sign));
                ("cur", format!("{unique}:2,{}", letters.into_iter().collect::<String>()))
            }),
        }
    }

    fn moved(&mut self, side: Side) {
        let into = self.folder();
        let Some(at) = self.pick(side).filter(|at| self.mails[*at].folder != into) else { return };
        let before = self.mails[at].clone();
        self.mails[at].folder = into;
        let mail = self.mails[at].clone();
        self.tell(side, "moved", &mail);
        match side {
            Side::There => {
                let uid = self.on_server(&mail, before.folder);
                self.server().move_to(before.folder, uid, into);
            }
            Side::Here => {
                // Some give it a new name, and some do not.
                let new = Some(self.unique()).filter(|_| self.random.below(2) == 0);
                ["cur", "new", "tmp"]
                    .iter()
                    .for_each(|sub| fs::create_dir_all(self.root.join(into).join(sub)).expect("make a Maildir"));
                self.rename(&before, into, |name| {
                    let (unique, info) = name.split_once(":2,").unwrap_or((name, ""));
                    ("cur", format!("{}:2,{info}", new.as_deref().unwrap_or(unique)))
                });
            }
        }
    }

    fn deleted(&mut self, side: Side) {
        let Some(at) = self.pick(side) else { return };
        let mail = self.mails.remove(at);
        self.tell(side, "deleted", &mail);
        match side {
            Side::There => {
                let uid = self.on_server(&mail, mail.folder);
                self.server().expunge(mail.folder, &[uid]);
            }
            Side::Here => self.on_disk(&mail, |path| fs::remove_file(path)),
        }
    }

    fn on_server(&mut self, mail: &Mail, folder: &str) -> u32 {
        let server = self.server();
        server.command(&format!("SELECT {folder}"));
        let found = server.command(&format!("UID SEARCH HEADER Message-ID {}", mail.id));
        let uid =
            found.iter().find_map(|line| line.text.strip_prefix("* SEARCH")?.split_whitespace().next()?.parse().ok());
        uid.unwrap_or_else(|| panic!("not on the server: {mail:?}"))
    }

    /// Does something with a message's file. The program may give it another name at the same time.
    fn on_disk(&self, mail: &Mail, act: impl Fn(&Path) -> io::Result<()>) {
        for _ in 0..100 {
            let found = files(&self.root.join(mail.folder)).into_iter().find(|(_, sha256)| *sha256 == mail.sha256);
            match found.map(|(path, _)| act(&path)) {
                Some(Ok(())) => return,
                Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => panic!("{error}: {mail:?}"),
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        panic!("not in the Maildir: {mail:?}");
    }

    fn rename(&self, mail: &Mail, folder: &str, how: impl Fn(&str) -> (&'static str, String)) {
        self.on_disk(mail, |path| {
            let (sub, name) = how(&path.file_name().expect("a file has a name").to_string_lossy());
            fs::rename(path, self.root.join(folder).join(sub).join(name))
        });
    }

    /// What both sides must hold.
    pub fn expected(&self) -> Vec<Row> {
        let row = |mail: &Mail| {
            (mail.folder.to_owned(), mail.sha256.clone(), mail.flags.iter().map(|flag| (*flag).to_owned()).collect())
        };
        sorted(self.mails.iter().map(row).collect())
    }

    /// What the server holds.
    pub fn there(&mut self) -> Vec<Row> {
        let mut rows = Vec::new();
        for folder in self.server().list() {
            rows.extend(self.server().messages(&folder).into_iter().map(|m| (folder.clone(), m.sha256, m.flags)));
        }
        sorted(rows)
    }

    /// What the Maildirs hold.
    pub fn here(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for folder in Maildir::new(&self.root).folders() {
            rows.extend(files(&self.root.join(&folder)).into_iter().map(|(path, sha256)| {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let letters = name.split_once(":2,").map_or("", |(_, letters)| letters);
                let flag = |sign: char| FLAGS.iter().find(|(_, letter)| *letter == sign).map(|(name, _)| *name);
                let flags = letters.chars().map(|sign| flag(sign).map_or_else(|| sign.to_string(), str::to_owned));
                let flags: BTreeSet<String> = flags.collect();
                (folder.clone(), sha256, flags.into_iter().collect())
            }));
        }
        sorted(rows)
    }

    /// The names of all message files.
    pub fn names(&self) -> Vec<String> {
        let paths = FOLDERS.iter().flat_map(|folder| files(&self.root.join(folder)));
        paths.map(|(path, _)| path.file_name().unwrap_or_default().to_string_lossy().into_owned()).collect()
    }

    /// Whether both sides hold what they must.
    pub fn is_in_step(&mut self) -> bool {
        let expected = self.expected();
        self.here() == expected && self.there() == expected
    }

    /// Whether a folder of a side holds this message.
    pub fn has(&mut self, side: Side, folder: &str, sha256: &str) -> bool {
        match side {
            Side::Here => files(&self.root.join(folder)).iter().any(|(_, found)| found == sha256),
            Side::There => self.server().messages(folder).iter().any(|found| found.sha256 == sha256),
        }
    }

    /// What is wrong on both sides, for people.
    pub fn complaint(&mut self) -> String {
        let expected = self.expected();
        let sides = [("here", self.here()), ("there", self.there())].map(|(side, rows)| {
            let (missing, odd) = (difference(&expected, &rows), difference(&rows, &expected));
            format!("{}: {side}: missing {missing:#?}, not expected {odd:#?}\n", self.name)
        });
        format!("{}what happened:\n{}\n", sides.concat(), self.story.join("\n"))
    }
}

/// Seconds since 1970 with milliseconds, as the logs have it.
pub fn now() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970");
    format!("{}.{:03}", now.as_secs(), now.subsec_millis())
}

/// The message files of a Maildir with their hashes; one that goes meanwhile is left out.
fn files(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for sub in ["new", "cur"] {
        let entries = fs::read_dir(dir.join(sub)).into_iter().flatten().flatten();
        found.extend(entries.filter_map(|entry| {
            let path = entry.path();
            let bytes = fs::read(&path).ok()?;
            Some((path, sha256_of_lf(&bytes)))
        }));
    }
    found
}

fn letters_of(flags: &BTreeSet<&'static str>) -> String {
    flags.iter().map(|flag| letter(flag)).collect::<BTreeSet<char>>().into_iter().collect()
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort();
    rows
}

/// The rows of `these` that `those` have not, or less often.
fn difference(these: &[Row], those: &[Row]) -> Vec<Row> {
    let mut left: HashMap<Row, usize> = HashMap::new();
    those.iter().for_each(|row| *left.entry(row.clone()).or_default() += 1);
    let mut missing = Vec::new();
    for row in these {
        match left.get_mut(row) {
            Some(count) if *count > 0 => *count -= 1,
            _ => missing.push(row.clone()),
        }
    }
    missing
}
