//! An account whose line runs through a recorder, and the proof that a run did no harm.

use crate::support::recorder::{is_append, is_destructive};
use crate::support::*;
use crate::world::World;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

pub struct Scene {
    pub world: World,
    pub line: Recorder,
}

/// Every message of the server, by folder: UID, flags and hash.
type Server = BTreeMap<String, Vec<(u32, Vec<String>, String)>>;
/// Every file of the home but the program's own, its state and its marker: inode and hash.
type Files = BTreeMap<PathBuf, (u64, String)>;

impl Scene {
    /// `many` messages in INBOX and three in Work, in step.
    pub fn new(dovecot: Dovecot, many: usize) -> Scene {
        let line = Recorder::before(dovecot.port);
        let mut scene = Scene { world: World::new(dovecot), line };
        scene.config("");
        for at in 0..many {
            let message = crlf(&mail(&format!("m{at}")));
            scene.world.server.append("INBOX", &message, &["\\Seen", "kept"], Some(1_500_000_000 + at as i64));
        }
        scene.world.server.create("Work");
        for at in 0..3 {
            scene.world.server.append("Work", &crlf(&mail(&format!("w{at}"))), &["\\Flagged"], Some(1_400_000_000));
        }
        scene.world.sync();
        scene.line.commands();
        scene
    }

    /// Writes the config anew, with more lines from inside `[account.main]` on.
    pub fn config(&self, more: &str) {
        self.world.home.config(&format!(
            "[account.main]\nremote = {{ host = \"127.0.0.1\", port = {}, user = \"alice\", tls = \"none\" }}\n\
             local = {{ path = \"~/Mail\" }}\n{more}\n",
            self.line.port
        ));
    }

    /// Deletes a mailbox; a session that has it selected would be thrown out.
    pub fn delete_on_server(&mut self, folder: &str) {
        self.world.server.command("EXAMINE INBOX");
        self.world.server.delete_folder(folder);
    }

    /// What is on the server.
    pub fn server(&mut self) -> Server {
        let names = self.world.server.list();
        names.into_iter().map(|name| (name.clone(), self.world.uids(&name))).collect()
    }

    /// Runs the program and proves that nothing was destroyed, marked or sent: the server is as it was, and so is
    /// every file; others may have come.
    #[track_caller]
    pub fn harmless(&mut self, args: &[&str]) -> Output {
        let (there, here) = (self.server(), files(self.world.home.path()));
        self.line.commands();
        let out = self.world.home.mailsync(args);
        let sent = self.line.commands();
        let bad: Vec<&String> = sent.iter().filter(|command| is_destructive(command) || is_append(command)).collect();
        assert!(bad.is_empty(), "these were sent: {bad:#?}\n{out}");
        assert_eq!(self.server(), there, "the server was changed\n{out}");
        let now = files(self.world.home.path());
        let harmed: Vec<_> = here.iter().filter(|(path, file)| now.get(*path) != Some(file)).collect();
        assert!(harmed.is_empty(), "these files are gone or changed: {harmed:#?}\n{out}");
        out
    }

    /// A harmless run that must say what it held, and end with 1.
    #[track_caller]
    pub fn holds(&mut self, args: &[&str]) -> Output {
        let out = self.harmless(args).exits(1);
        assert!(!out.stderr.is_empty(), "it must say what was held\n{out}");
        out
    }

    /// Both sides are the same, and a further run has nothing to do.
    #[track_caller]
    pub fn is_over(&mut self) {
        self.world.in_step();
        self.harmless(&["sync"]).exits(0).says("nothing to do").done();
    }

    /// Bodies that were asked for since the last look at the line.
    pub fn bodies(sent: &[String]) -> usize {
        sent.iter().filter(|command| command.contains("BODY.PEEK[]")).count()
    }
}

fn files(dir: &Path) -> Files {
    let mut found = Files::new();
    let Ok(entries) = fs::read_dir(dir) else { return found };
    for entry in entries {
        let path = entry.expect("read a directory").path();
        let meta = fs::symlink_metadata(&path).expect("an entry's data");
        if meta.is_dir() && !path.ends_with(".local/state") {
            found.append(&mut files(&path));
        } else if meta.is_file() && !path.ends_with(".mailsync") {
            found.insert(path.clone(), (meta.ino(), sha256(&fs::read(&path).expect("read a file"))));
        }
    }
    found
}

/// Moves a tree away and back.
pub fn away(world: &World) -> PathBuf {
    let away = world.home.path().join("away");
    fs::rename(world.home.mail(), &away).expect("move the tree away");
    away
}
