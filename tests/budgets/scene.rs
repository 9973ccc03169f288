//! One account in step, behind a line that counts.

use crate::support::dovecot::Options;
use crate::support::*;
use std::thread;
use std::time::Duration;

/// Changes this young do not let a folder's stamps prove that it is unchanged: the grain of the coarsest clock.
pub const GRAIN: Duration = Duration::from_millis(2_100);

pub struct Scene {
    pub home: Home,
    pub line: Flights,
    pub server: Imap,
    _dovecot: Dovecot,
}

/// The name of a folder.
pub fn folder(number: usize) -> String {
    format!("folder-{number}")
}

impl Scene {
    /// Folders with so many messages each, on both sides.
    pub fn with(options: Options, folders: usize, messages: usize) -> Scene {
        let dovecot = Dovecot::with(options);
        let line = Flights::to(dovecot.port);
        let home = Home::new();
        home.account(&dovecot, "alice", "");
        home.config(&format!(
            "[account.main]\nremote = {{ host = \"127.0.0.1\", port = {}, user = \"alice\", tls = \"none\" }}\n\
             local = {{ path = \"~/Mail\" }}\n",
            line.port
        ));
        let server = dovecot.login("alice");
        let scene = Scene { home, line, server, _dovecot: dovecot };
        for number in 0..folders {
            scene.maildir().create(&folder(number));
            (0..messages).for_each(|message| scene.save(number, &format!("{message} of {number}"), "S"));
        }
        scene.home.sync();
        scene.settle();
        scene
    }

    /// The same with everything that Dovecot can.
    pub fn new(folders: usize, messages: usize) -> Scene {
        Scene::with(Options::default(), folders, messages)
    }

    pub fn maildir(&self) -> Maildir {
        self.home.maildir()
    }

    /// Saves a message on the local side.
    pub fn save(&self, number: usize, subject: &str, letters: &str) {
        self.maildir().save(&folder(number), &mail(subject), letters, Some(1_500_000_000));
    }

    /// Stores a message on the server.
    pub fn append(&mut self, number: usize, subject: &str) {
        self.server.append(&folder(number), &crlf(&mail(subject)), &["\\Seen"], Some(1_500_000_000));
    }

    /// Ends with nothing to do, noted, and with nothing counted.
    pub fn settle(&self) {
        thread::sleep(GRAIN);
        self.home.sync();
        self.home.nothing_to_do();
        self.line.take();
    }

    /// What one run costs on the line.
    pub fn run(&self) -> Seen {
        self.home.sync();
        let seen = self.line.take();
        println!(
            "{} connections, round trips {:?}, {} bytes, {} commands",
            seen.0.len(),
            seen.0.iter().map(|flight| flight.round_trips).collect::<Vec<_>>(),
            seen.bytes(),
            seen.commands().len()
        );
        seen
    }
}

/// The first words of the commands, `UID` with the one after it.
pub fn kinds(seen: &Seen) -> Vec<String> {
    let kind = |command: &String| {
        let mut words = command.split(' ');
        let first = words.next().unwrap_or_default().to_ascii_uppercase();
        match first.as_str() {
            "UID" => format!("UID {}", words.next().unwrap_or_default().to_ascii_uppercase()),
            _ => first,
        }
    };
    seen.commands().iter().map(kind).collect()
}
