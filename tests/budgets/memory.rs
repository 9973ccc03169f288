//! In memory: how much a run has at most, for a large folder and for a small one.

use crate::support::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

/// A first sync takes this many messages in several slices, and this many in one look.
const MANY: usize = 13_000;
const FEW: usize = 500;

/// Where the first syncs of large folders stop to grow. Held in memory as a whole, so many messages take twice that.
const GROWTH_KB: u64 = 9 << 10;

/// Writes messages into a Maildir as a mail program would have put them there, for whoever `above` belongs to.
fn fill(dir: &Path, count: usize, above: &Path) {
    let owner = fs::metadata(above).expect("there");
    let give = |path: &Path| chown(path, Some(owner.uid()), Some(owner.gid())).expect("given");
    for sub in ["", "tmp", "new", "cur"] {
        fs::create_dir_all(dir.join(sub)).expect("made");
        give(&dir.join(sub));
    }
    for number in 0..count {
        let path = dir.join(format!("cur/{}.M{number}.host:2,S", 1_500_000_000 + number));
        fs::write(&path, mail(&format!("number {number}"))).expect("written");
        give(&path);
    }
}

/// Runs `sync`, and says how much memory it had at most, in KB.
fn peak(home: &Home) -> u64 {
    let mut child =
        home.command(&["sync", "-q"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().expect("waited").is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(peak);
        thread::sleep(Duration::from_millis(1));
    }
    let out = child.wait_with_output().expect("ended");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(peak > 0, "it was not seen to run");
    peak
}

/// A home with an account on a server of its own, whose INBOX has so many messages on each side.
fn place(local: usize, remote: usize) -> (Dovecot, Home) {
    let (dovecot, home) = (Dovecot::start(), Home::new());
    home.account(&dovecot, "alice", "");
    assert_eq!(dovecot.login("alice").status("INBOX", "MESSAGES"), 0);
    let mail = dovecot.home("alice").join("mail");
    fill(&mail, remote, &mail);
    if local > 0 {
        fill(&home.mail().join("INBOX"), local, home.path());
    }
    (dovecot, home)
}

fn grows_little(what: &str, sides: impl Fn(usize) -> (usize, usize)) {
    let [few, many] = [FEW, MANY].map(|count| {
        let (local, remote) = sides(count);
        let (dovecot, home) = place(local, remote);
        let peak = peak(&home);
        assert_eq!(home.maildir().folders().len(), 1);
        let there = fs::read_dir(home.mail().join("INBOX/cur")).expect("a folder").count();
        assert_eq!(there, count, "{what}");
        assert_eq!(dovecot.login("alice").status("INBOX", "MESSAGES"), count as u64, "{what}");
        peak
    });
    println!("{what}: {few} KB for {FEW} messages, {many} KB for {MANY}");
    assert!(many < few + GROWTH_KB, "{what}: {few} KB for {FEW} messages, {many} KB for {MANY}");
}

#[test]
fn a_first_pull_takes_no_more_for_many_messages() {
    grows_little("pull", |count| (0, count));
}

#[test]
fn a_first_push_takes_no_more_for_many_messages() {
    grows_little("push", |count| (count, 0));
}

#[test]
fn a_maildir_that_the_server_has_too_takes_no_more_for_many_messages() {
    grows_little("adoption", |count| (count, count));
}

#[test]
fn where_few_files_may_be_open_all_comes_down_all_the_same() {
    let (dovecot, home) = place(0, 2 * FEW);
    drop(dovecot.login("alice"));
    sync_with_files(&home, 200, &[]);
    assert_eq!(fs::read_dir(home.mail().join("INBOX/cur")).expect("a folder").count(), 2 * FEW);
}

#[test]
fn accounts_that_are_synced_at_the_same_time_share_the_files_that_may_be_open() {
    const ACCOUNTS: usize = 4;
    const FOLDERS: usize = 8;
    const MESSAGES: usize = 100;
    let (dovecot, home) = place(0, MESSAGES);
    let mut server = dovecot.login("alice");
    let mail = dovecot.home("alice").join("mail");
    for number in 0..FOLDERS {
        server.create(&format!("f{number}"));
        fill(&mail.join(format!("f{number}")), MESSAGES, &mail);
    }
    home.account(&dovecot, "alice", "");
    // All of them have the same mailbox, each in a directory of its own.
    let account = |number: usize| {
        format!(
            "[account.a{number}]\nremote = {{ host = \"127.0.0.1\", port = {}, user = \"alice\", tls = \"none\" }}\n\
             local = {{ path = \"~/Mail/a{number}\" }}\n",
            dovecot.port
        )
    };
    let accounts: String = (0..ACCOUNTS).map(account).collect();
    home.config(&format!("[general]\nmax_sync_accounts = {ACCOUNTS}\n{accounts}"));
    sync_with_files(&home, 128, &[]);
    for number in 0..ACCOUNTS {
        for folder in 0..FOLDERS {
            let cur = home.mail().join(format!("a{number}/f{folder}/cur"));
            assert_eq!(fs::read_dir(&cur).expect("a folder").count(), MESSAGES, "{}", cur.display());
        }
    }
}

#[test]
fn large_folders_with_a_connection_each_share_the_files_that_may_be_open() {
    const CONNECTIONS: usize = 8;
    const MESSAGES: usize = 150;
    let (dovecot, home) = place(0, 0);
    let mut server = dovecot.login("alice");
    let mail = dovecot.home("alice").join("mail");
    for number in 0..CONNECTIONS {
        server.create(&format!("f{number}"));
        fill(&mail.join(format!("f{number}")), MESSAGES, &mail);
    }
    home.config(&format!(
        "[account.main]\nlocal = {{ path = \"~/Mail\" }}\n\
         remote = {{ host = \"127.0.0.1\", port = {}, user = \"alice\", tls = \"none\", connections = {CONNECTIONS} }}\n",
        dovecot.port
    ));
    sync_with_files(&home, 256, &[("MAILSYNC_AT_ONCE", "100")]);
    for number in 0..CONNECTIONS {
        let cur = home.mail().join(format!("f{number}/cur"));
        assert_eq!(fs::read_dir(&cur).expect("a folder").count(), MESSAGES, "{}", cur.display());
    }
}

/// Runs `sync` where so many files may be open.
fn sync_with_files(home: &Home, files: usize, environment: &[(&str, &str)]) {
    let program = home.command(&["sync"]).get_program().to_string_lossy().into_owned();
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", &format!("ulimit -n {files} && exec {program} sync -q")]);
    home.surround(&mut limited);
    let out = limited.envs(environment.iter().copied()).output().expect("run it");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}
