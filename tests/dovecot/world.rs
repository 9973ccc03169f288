//! A server, a home, and the question whether they are in step.

use crate::support::corpus::FLAGS;
use crate::support::*;
use std::collections::BTreeMap;

/// One account `main`: alice on the server, `~/Mail` here.
pub struct World {
    pub dovecot: Dovecot,
    pub home: Home,
    pub server: Imap,
}

/// A message on either side: hash, system flags and keywords, seconds since 1970.
type Row = (String, Vec<String>, i64);

impl World {
    pub fn new(dovecot: Dovecot) -> World {
        World::with(dovecot, "")
    }

    /// With more lines of config, from inside `[account.main]` on.
    pub fn with(dovecot: Dovecot, more: &str) -> World {
        let home = Home::new();
        home.account(&dovecot, "alice", more);
        let server = dovecot.login("alice");
        World { dovecot, home, server }
    }

    /// A world with these messages in the server's INBOX, synced and seen to be in step.
    pub fn synced(dovecot: Dovecot, subjects: &[&str]) -> World {
        let mut world = World::new(dovecot);
        for subject in subjects {
            world.server.append("INBOX", &crlf(&mail(subject)), &[], Some(1_500_000_000));
        }
        world.sync();
        world
    }

    pub fn maildir(&self) -> Maildir {
        self.home.maildir()
    }

    /// Syncs, and expects both sides to hold the same.
    #[track_caller]
    pub fn sync(&mut self) {
        self.home.sync();
        self.in_step();
    }

    /// Expects both sides to hold the same messages with the same flags and dates, in folders of the same names.
    #[track_caller]
    pub fn in_step(&mut self) {
        let (there, here) = (self.there(), self.here());
        let names = |side: &BTreeMap<String, Vec<Row>>| side.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&here), names(&there), "folders: left here, right on the server");
        for (folder, rows) in &there {
            let mine = &here[folder];
            let missing: Vec<&Row> = rows.iter().filter(|row| !mine.contains(row)).collect();
            let surplus: Vec<&Row> = mine.iter().filter(|row| !rows.contains(row)).collect();
            assert!(
                mine == rows,
                "{folder}: {} here, {} on the server\nonly on the server: {missing:#?}\nonly here: {surplus:#?}",
                mine.len(),
                rows.len()
            );
        }
    }

    /// What is on the server, by folder.
    pub fn there(&mut self) -> BTreeMap<String, Vec<Row>> {
        let names = self.server.list();
        names.into_iter().map(|name| (name.clone(), server_rows(&mut self.server, &name))).collect()
    }

    /// What is here, by folder.
    pub fn here(&self) -> BTreeMap<String, Vec<Row>> {
        let maildir = self.maildir();
        maildir.folders().into_iter().map(|name| (name.clone(), local_rows(&maildir, &name))).collect()
    }

    /// The UIDs, flags and hashes of a folder on the server: equal only where nobody touched it.
    pub fn uids(&mut self, folder: &str) -> Vec<(u32, Vec<String>, String)> {
        self.server.messages(folder).into_iter().map(|m| (m.uid, m.flags, m.sha256)).collect()
    }
}

pub fn server_rows(server: &mut Imap, folder: &str) -> Vec<Row> {
    let messages = server.messages(folder);
    let mut rows: Vec<Row> = messages.into_iter().map(|m| (m.sha256, m.flags, m.date)).collect();
    rows.sort();
    rows
}

pub fn local_rows(maildir: &Maildir, folder: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = maildir
        .messages(folder)
        .into_iter()
        .map(|m| {
            let mut flags: Vec<String> = m.letters.chars().map(|letter| imap_flag(letter).to_owned()).collect();
            flags.extend(maildir.keywords(&m));
            flags.sort();
            (m.sha256, flags, m.date)
        })
        .collect();
    rows.sort();
    rows
}

/// The IMAP flag of a Maildir letter.
pub fn imap_flag(letter: char) -> &'static str {
    let found = FLAGS.iter().find(|(_, l)| *l == letter).map(|(name, _)| *name);
    found.or((letter == 'T').then_some("\\Deleted")).unwrap_or_else(|| panic!("no flag has the letter {letter}"))
}

/// Runs the same test against a server that can do everything and one that can do nothing.
pub fn on_both_servers(test: impl Fn(Dovecot)) {
    test(Dovecot::start());
    test(Dovecot::bare());
}
