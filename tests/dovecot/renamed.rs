//! Folders that got another name on one side: no message goes over the line for it, no file is touched.

use crate::support::dovecot::Options;
use crate::support::*;
use crate::world::*;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Servers that keep a folder's UIDVALIDITY when it is renamed, with all extensions and with none.
fn servers() -> [Dovecot; 3] {
    let mdbox = Options { mail_location: "mdbox:~/mdbox".into(), ..Options::default() };
    [Dovecot::start(), Dovecot::bare(), Dovecot::with(mdbox)]
}

/// A world with these folders on the server, two messages in each of them, synced.
fn synced(dovecot: Dovecot, folders: &[&str]) -> World {
    let mut world = World::new(dovecot);
    world.server.append("INBOX", &crlf(&mail("in")), &[], None);
    for folder in folders {
        world.server.create(folder);
        for number in 1..3 {
            world.server.append(folder, &crlf(&mail(&format!("{folder} {number}"))), &["\\Seen"], Some(1_500_000_000));
        }
    }
    world.sync();
    // The server ends a connection on which a folder is selected that is then renamed or deleted.
    world.server = world.dovecot.login("alice");
    world
}

/// Every message's file name and inode.
fn files(world: &World) -> BTreeMap<u64, String> {
    let inode = |path: &Path| fs::metadata(path).expect("a message").ino();
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    world.maildir().all().iter().map(|message| (inode(&message.path), name(&message.path))).collect()
}

/// Syncs, and expects that no message was sent, read or deleted, and that every file is the one it was.
#[track_caller]
fn sync_names(world: &mut World) {
    let before = files(world);
    let out = world.home.mailsync(&["-d", "imap", "sync"]).exits(0);
    transfers_nothing(&out);
    assert_eq!(files(world), before, "files were changed\n{out}");
    world.in_step();
    world.home.nothing_to_do();
    world.server = world.dovecot.login("alice");
}

#[track_caller]
fn transfers_nothing(out: &Output) {
    let sent = |line: &&str| {
        let commands = ["APPEND ", "BODY.PEEK[]", "UID COPY", "UID MOVE", "EXPUNGE", "\\Deleted", "DELETE "];
        line.contains("C: ") && commands.iter().any(|command| line.contains(command))
    };
    let lines: Vec<&str> = out.stderr.lines().filter(sent).collect();
    assert!(out.stderr.contains("LOGIN") && lines.is_empty(), "{lines:#?}\n{out}");
}

#[test]
fn a_folder_renamed_on_the_server_is_renamed_here() {
    for dovecot in servers() {
        let mut world = synced(dovecot, &["Work", "Other"]);
        world.server.rename("Work", "Büro/2024");
        sync_names(&mut world);
        assert_eq!(world.maildir().message("Büro/2024", "Work 1").letters, "S");
        assert!(!world.home.mail().join("Work").exists());
    }
}

#[test]
fn a_folder_renamed_here_is_renamed_on_the_server() {
    for dovecot in servers() {
        let mut world = synced(dovecot, &["Work", "Other"]);
        let before = world.uids("Work");
        fs::rename(world.home.mail().join("Work"), world.home.mail().join("Office")).expect("renamed");
        sync_names(&mut world);
        assert_eq!(world.uids("Office"), before);
    }
}

#[test]
fn a_parent_takes_its_children_along_from_either_side() {
    for dovecot in servers() {
        let mut world = synced(dovecot, &["P", "P/x", "P/x/y"]);
        world.server.rename("P", "Q");
        sync_names(&mut world);
        assert!(!world.home.mail().join("P").exists(), "what held the folders is left behind");
        fs::rename(world.home.mail().join("Q"), world.home.mail().join("R")).expect("renamed");
        sync_names(&mut world);
        assert!(world.server.list().contains(&"R/x/y".to_owned()));
    }
}

#[test]
fn a_folder_in_another_one_is_renamed_alone() {
    for dovecot in servers() {
        let mut world = synced(dovecot, &["P", "P/x"]);
        fs::rename(world.home.mail().join("P/x"), world.home.mail().join("P/z")).expect("renamed");
        sync_names(&mut world);
        world.server.rename("P/z", "P/q");
        sync_names(&mut world);
    }
}

#[test]
fn only_the_case_of_a_name_may_change() {
    let mut world = synced(Dovecot::start(), &["Work"]);
    world.server.rename("Work", "work");
    sync_names(&mut world);
    fs::rename(world.home.mail().join("work"), world.home.mail().join("WORK")).expect("renamed");
    sync_names(&mut world);
}

#[test]
fn every_layout_follows() {
    for (layout, name) in [("maildir++", ".New.Name"), ("flat", "New.Name")] {
        let mut world = World::new(Dovecot::start());
        world.home.config(&format!(
            "[account.main]\nremote = {{ host = \"127.0.0.1\", port = {}, user = \"alice\", tls = \"none\" }}\n\
             local = {{ path = \"~/Mail\", layout = \"{layout}\" }}\n",
            world.dovecot.port
        ));
        world.server.create("Old");
        world.server.append("Old", &crlf(&mail("o")), &[], None);
        world.home.sync();
        let before = files(&world);
        world.server.rename("Old", "New/Name");
        transfers_nothing(&world.home.mailsync(&["-d", "imap", "sync"]).exits(0));
        world.maildir().message(name, "o");
        let back = world.home.mail().join(name);
        fs::rename(&back, back.with_file_name(if layout == "flat" { "Old" } else { ".Old" })).expect("renamed");
        transfers_nothing(&world.home.mailsync(&["-d", "imap", "sync"]).exits(0));
        assert!(world.server.list().contains(&"Old".to_owned()));
        assert_eq!(files(&world), before);
        world.home.nothing_to_do();
    }
}

#[test]
fn what_happened_meanwhile_is_synced_in_the_same_run() {
    for dovecot in servers() {
        let mut world = synced(dovecot, &["Work"]);
        world.server.rename("Work", "Office");
        world.server.append("Office", &crlf(&mail("new there")), &[], None);
        world.maildir().deliver("Work", &mail("new here"));
        let first = world.maildir().message("Work", "Work 1");
        world.maildir().set_letters(&first, "FS");
        world.sync();
        assert_eq!(world.maildir().messages("Office").len(), 4);
        assert!(world.server.message("Office", "Work 1").has("\\Flagged"));
        world.home.nothing_to_do();
    }
}

#[test]
fn names_that_changed_hands_lose_nothing() {
    for dovecot in servers() {
        let mut world = synced(dovecot, &["A", "B"]);
        for (from, to) in [("A", "T"), ("B", "A"), ("T", "B")] {
            world.server.rename(from, to);
        }
        world.home.sync();
        world.home.sync();
        world.in_step();
        for (folder, subject) in [("A", "B 1"), ("A", "B 2"), ("B", "A 1"), ("B", "A 2")] {
            world.server.message(folder, subject);
        }
    }
}

#[test]
fn a_dry_run_shows_the_renames_and_does_none() {
    let mut world = synced(Dovecot::start(), &["Work", "Other"]);
    world.server.rename("Work", "Office");
    fs::rename(world.home.mail().join("Other"), world.home.mail().join("Mine")).expect("renamed");
    let here = world.maildir().snapshot();
    let out = world.home.mailsync(&["sync", "-n"]).exits(0);
    assert!(out.stdout.contains("rename the local folder Work to Office"), "{out}");
    assert!(out.stdout.contains("rename the remote folder Other to Mine"), "{out}");
    assert_eq!(world.maildir().snapshot(), here);
    sync_names(&mut world);
}
