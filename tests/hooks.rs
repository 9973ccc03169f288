//! Hooks, run by the program against Dovecot: when each is run, what it is given, and that none of them can do harm.

mod support;

use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;
use support::*;

/// Writes what it was given to a file of its own below `~/told`: the environment, and the JSON.
const RECORD: &str = "mkdir -p told; n=$(ls told | wc -l); f=told/$n.$MAILSYNC_ACCOUNT.$MAILSYNC_HOOK; \
                      cat > $f.json; env > $f.env";

struct World {
    dovecot: Dovecot,
    home: Home,
    server: Imap,
}

/// A hook run.
struct Told {
    hook: String,
    json: Value,
    env: String,
}

impl World {
    fn new(more: &str) -> World {
        let dovecot = Dovecot::with(dovecot::Options { special_use: true, ..dovecot::Options::default() });
        let home = Home::new();
        home.account(&dovecot, "alice", more);
        let server = dovecot.login("alice");
        World { dovecot, home, server }
    }

    /// With `RECORD` as every hook.
    fn recorded(more: &str) -> World {
        let hooks = ["pre_sync", "post_sync", "new_mail", "error"].map(|hook| format!("{hook} = '''{RECORD}'''\n"));
        World::new(&format!("{more}\n[hooks]\n{}", hooks.concat()))
    }

    fn add(&mut self, folder: &str, subject: &str, flags: &[&str]) {
        self.server.append(folder, &crlf(&mail(subject)), flags, None);
    }

    /// The hooks that were run since the last call, in their order.
    fn told(&self) -> Vec<Told> {
        let told = self.home.path().join("told");
        let mut files: Vec<PathBuf> = match fs::read_dir(&told) {
            Ok(files) => files.map(|file| file.expect("an entry").path()).collect(),
            Err(_) => return Vec::new(),
        };
        files.retain(|file| file.extension().is_some_and(|ext| ext == "json"));
        let number = |file: &PathBuf| -> usize {
            let name = file.file_name().expect("a name").to_string_lossy().into_owned();
            name.split('.').next().and_then(|number| number.parse().ok()).expect("a number")
        };
        files.sort_by_key(number);
        let read = |file: &PathBuf| {
            let json: Value = serde_json::from_slice(&fs::read(file).expect("a file")).expect("JSON");
            let env = fs::read_to_string(file.with_extension("env")).expect("a file");
            Told { hook: json["hook"].as_str().expect("its name").to_owned(), json, env }
        };
        let all = files.iter().map(read).collect();
        fs::remove_dir_all(&told).expect("remove what was read");
        all
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.home.path().join(name)).unwrap_or_default()
    }
}

fn names(told: &[Told]) -> Vec<&str> {
    told.iter().map(|told| told.hook.as_str()).collect()
}

impl Told {
    fn has(&self, line: &str) -> bool {
        self.env.lines().any(|have| have == line)
    }

    fn files(&self) -> Vec<(String, PathBuf)> {
        let files = self.json["changed_files"].as_array().expect("a list");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        files.iter().map(|file| (text(&file["what"]), text(&file["path"]).into())).collect()
    }
}

#[test]
fn each_hook_runs_in_its_turn_and_is_told_what_happened() {
    let mut world = World::recorded("");
    world.add("INBOX", "one", &[]);
    world.add("INBOX", "two", &["\\Seen"]);
    world.add("Junk", "bait", &[]);
    world.home.sync();
    let told = world.told();
    assert_eq!(names(&told), ["pre_sync", "post_sync", "new_mail"]);
    let [before, after, new] = &told[..] else { panic!("three hooks") };
    assert!(before.has("MAILSYNC_HOOK=pre_sync") && !before.env.contains("MAILSYNC_OUTCOME"), "{}", before.env);
    assert_eq!(before.json.get("outcome"), None);
    let mail = world.home.mail();
    for line in [
        "MAILSYNC_HOOK=post_sync",
        "MAILSYNC_ACCOUNT=main",
        "MAILSYNC_MODE=full",
        "OFFLINEIMAPSYNCMODE=full",
        "MAILSYNC_OUTCOME=in-step",
        "MAILSYNC_NEW=1",
        "MAILSYNC_CHANGED=1",
        &format!("MAILSYNC_MAILDIR={}", mail.display()),
    ] {
        assert!(after.has(line), "no {line} in\n{}", after.env);
    }
    assert_eq!((&after.json["new"], &new.json["counts"]["local"]["copied"]), (&1.into(), &3.into()));
    let folders = after.json["folders"].as_array().expect("a list");
    let inbox = folders.iter().find(|folder| folder["remote"] == "INBOX").expect("INBOX");
    assert_eq!((&inbox["new"], &inbox["counts"]["local"]["copied"]), (&1.into(), &2.into()));
    assert_eq!(inbox["path"], mail.join("INBOX").display().to_string());
    assert_eq!(after.files().len(), 3);
    assert!(after.files().iter().all(|(what, path)| what == "added" && path.is_file()), "{:?}", after.files());
    assert_eq!(after.json.get("messages"), None, "nobody asked for subjects");
    assert!(!after.env.contains(world.dovecot.password("alice")));
    world.home.sync();
    let told = world.told();
    assert_eq!(names(&told), ["pre_sync", "post_sync"]);
    assert!(told[1].has("MAILSYNC_CHANGED=0") && told[1].has("MAILSYNC_NEW=0"), "{}", told[1].env);
}

#[test]
fn files_that_are_renamed_moved_and_removed_are_named() {
    let mut world = World::recorded("");
    for subject in ["read", "moved", "deleted"] {
        world.add("INBOX", subject, &[]);
    }
    world.server.create("Other");
    world.home.sync();
    world.told();
    let before = |subject: &str| world.home.maildir().message("INBOX", subject).path;
    let (deleted, moved) = (before("deleted"), before("moved"));
    let uid = world.server.message("INBOX", "read").uid;
    world.server.set_flags("INBOX", uid, &["\\Seen"], &[]);
    let uid = world.server.message("INBOX", "moved").uid;
    world.server.move_to("INBOX", uid, "Other");
    world.server.delete("INBOX", "deleted");
    world.home.sync();
    let told = world.told();
    assert_eq!(names(&told), ["pre_sync", "post_sync"]);
    let files = told[1].files();
    let maildir = world.home.maildir();
    for (what, path) in [
        ("removed", deleted),
        ("renamed", maildir.message("INBOX", "read").path),
        ("renamed", maildir.message("Other", "moved").path),
    ] {
        assert!(files.contains(&(what.to_owned(), path.clone())), "{what} {path:?}: {files:?}");
    }
    let all = told[1].json["changed_files"].as_array().expect("a list");
    assert!(all.iter().any(|file| file["from"] == moved.display().to_string()), "{all:?}");
}

#[test]
fn an_account_that_fails_is_told_with_its_problems_and_without_an_index_run() {
    let world = World::recorded("");
    world.home.netrc("machine 127.0.0.1 login alice password wrong\n");
    world.home.mailsync(&["sync"]).exits(4).done();
    let told = world.told();
    assert_eq!(names(&told), ["pre_sync", "error"]);
    assert!(told[1].has("MAILSYNC_OUTCOME=auth-failed"), "{}", told[1].env);
    assert_eq!(told[1].json["problems"][0]["kind"], "failed");
}

#[test]
fn a_dry_run_runs_none() {
    let mut world = World::recorded("");
    world.add("INBOX", "one", &[]);
    world.home.mailsync(&["sync", "--dry-run"]).exits(0).done();
    assert!(world.told().is_empty());
}

#[test]
fn subjects_are_read_if_asked_for_and_hostile_ones_are_text() {
    let mut world = World::recorded("hooks = { subjects = true }");
    world.add("INBOX", "=?utf-8?Q?Gr=C3=BC=C3=9Fe=1B[2J=0A\"x?=", &[]);
    let folder = "a$(touch owned)`touch owned`";
    world.server.create(folder);
    world.add(folder, "plain", &[]);
    world.home.sync();
    let told = world.told();
    let messages = told[2].json["messages"].as_array().expect("a list").clone();
    let subject = |folder: &str| {
        let message = messages.iter().find(|message| message["folder"] == folder);
        message.unwrap_or_else(|| panic!("{folder} in {messages:?}"))["subject"].clone()
    };
    assert_eq!((subject("INBOX"), subject(folder)), ("Grüße [2J \"x".into(), "plain".into()));
    assert_eq!(messages[0]["from"], "Ann <ann@example.org>");
    assert!(!told[2].env.contains("touch owned"));
    assert!(!world.home.path().join("owned").exists());
}

#[test]
fn a_list_is_run_without_a_shell_and_an_empty_one_takes_the_place_of_the_common_hook() {
    let world = World::new(
        "hooks = { post_sync = [] }\n[hooks]\npre_sync = ['printf', '%s\\n', '$HOME; x']\npost_sync = 'echo common'",
    );
    world.home.mailsync(&["sync"]).exits(0).says("note: pre_sync: $HOME; x").never_says("common").done();
}

#[test]
fn a_failing_or_missing_hook_is_reported_also_when_quiet_and_fails_nothing() {
    let world = World::new(
        "[hooks]\npre_sync = 'echo said; printf \"\\033]0;evil\\007bad\\n\" >&2; exit 3'\npost_sync = ['/no/such/program']",
    );
    let out = world.home.mailsync(&["sync", "-q"]).exits(0);
    let out = out.says("hook pre_sync: it failed (exit status: 3): ").says("hook post_sync: run /no/such/program: ");
    let out = out.says("config.toml:5:").never_says("\u{1b}").never_says("left undone").never_says("said\n");
    assert!(!out.stderr.contains('\u{7}'), "{out}");
}

#[test]
fn a_hook_may_sync_and_is_not_run_for_that() {
    let program = env!("CARGO_BIN_EXE_mailsync");
    let mut world = World::new(&format!(
        "[hooks]\ntimeout = \"20s\"\npost_sync = \"echo run >> ran; '{program}' sync -q || echo failed >> ran\"\n"
    ));
    world.add("INBOX", "hello", &[]);
    world.home.sync();
    assert_eq!(fs::read_to_string(world.home.path().join("ran")).expect("it ran"), "run\n");
}

#[test]
fn who_takes_too_long_is_stopped_and_who_stays_behind_is_not_waited_for() {
    let world = World::new(
        "[hooks]\ntimeout = \"1s\"\npre_sync = 'sleep 60 & sleep 60'\npost_sync = 'sleep 60 & echo $! > left; echo done'",
    );
    let out = world.home.mailsync(&["sync"]).exits(0);
    out.says("hook pre_sync: it took longer than 1 s and was stopped").says("post_sync: done").done();
    let kill = Command::new("kill").arg(world.file("left").trim()).status().expect("run kill");
    assert!(kill.success(), "what the hook left behind did not live on");
}

#[test]
fn a_flood_is_cut_short_and_input_that_nobody_reads_holds_nobody_up() {
    let mut world =
        World::new("[hooks]\npost_sync = 'exec 0<&-; i=0; while [ $i -lt 500 ]; do echo n$i; i=$((i+1)); done'");
    for at in 0..300 {
        world.add("INBOX", &format!("message {at}"), &[]);
    }
    let out = world.home.mailsync(&["sync"]).exits(0);
    out.says("post_sync: n99\n").says("post_sync: 400 more lines").never_says("n100").done();
}

#[test]
fn the_hooks_of_two_accounts_never_run_at_the_same_time() {
    let world = World::new("");
    let port = world.dovecot.port;
    let account = |name: &str| {
        format!(
            "[account.{name}]\nremote = {{ host = \"127.0.0.1\", port = {port}, user = \"{name}\", tls = \"none\" }}\n\
             local = {{ path = \"~/{name}\" }}\n"
        )
    };
    let hook = "mkdir busy || echo both > collided; echo $MAILSYNC_ACCOUNT >> ran; sleep 0.3; rmdir busy";
    world.home.config(&format!(
        "{}{}[hooks]\npre_sync = '{hook}'\npost_sync = '{hook}'\n",
        account("alice"),
        account("bob")
    ));
    let entry = |user: &str| format!("machine 127.0.0.1 login {user} password {}\n", world.dovecot.password(user));
    world.home.netrc(&(entry("alice") + &entry("bob")));
    world.home.mailsync(&["sync"]).exits(0).done();
    assert_eq!(world.file("ran").lines().count(), 4);
    assert_eq!(world.file("collided"), "");
}

#[test]
fn ctrl_c_ends_a_hook_and_the_run() {
    let world =
        World::new("[hooks]\npost_sync = 'echo $$ > pid; sleep 60'\nnew_mail = 'touch later'\nerror = 'touch later'");
    let mut child = world.home.start(&["sync"]);
    while world.file("pid").trim().is_empty() {
        assert!(child.try_wait().expect("its state").is_none(), "it ended early");
        sleep(Duration::from_millis(20));
    }
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("run kill");
    assert!(kill.success());
    assert_eq!(child.wait().expect("its end").code(), Some(130));
    assert!(!Path::new("/proc").join(world.file("pid").trim()).join("fd/0").exists(), "the hook lives");
    assert!(!world.home.path().join("later").exists());
}

#[test]
fn mutts_file_is_there_when_a_hook_runs_and_a_password_in_the_environment_is_not() {
    let mut world = World::new("[mutt]\nfile = \"~/mailboxes\"\n[hooks]\npost_sync = 'cp mailboxes seen; env > env'");
    world.add("INBOX", "one", &[]);
    let port = world.dovecot.port;
    world.home.config(&format!(
        "[account.main]\nremote = {{ host = \"127.0.0.1\", port = {port}, user = \"alice\", tls = \"none\", \
         password_env = \"MAIL_PW\" }}\nlocal = {{ path = \"~/Mail\" }}\n[mutt]\nfile = \"~/mailboxes\"\n\
         [hooks]\npost_sync = 'cp mailboxes seen; env > env'\n"
    ));
    let password = world.dovecot.password("alice").to_owned();
    world.home.mailsync_with(&["sync"], &[("MAIL_PW", &password), ("NOTIFY_SOCKET", "/x")], "").exits(0).done();
    assert!(world.file("seen").contains("INBOX"), "{}", world.file("seen"));
    let env = world.file("env");
    assert!(
        env.contains("MAILSYNC_HOOK=post_sync") && !env.contains("MAIL_PW") && !env.contains("NOTIFY_SOCKET"),
        "{env}"
    );
    assert!(!env.contains(&password));
}

#[test]
fn wrong_keys_and_values_are_told_with_their_place() {
    let world = World::new("hooks = { post_synk = 'x' }\n[hooks]\nnew_mail = 3\nerror = ['']\ntimeout = 'soon'");
    let out = world.home.mailsync(&["sync"]).exits(2);
    let out = out.says("unknown key `post_synk`").says("did you mean `post_sync`?");
    out.says("`new_mail` must be a list").says("`error` names no program").says("`timeout`").done();
}

/// A directory with programs that write their arguments, a line for each call, to `~/called`.
fn fakes(home: &Home, programs: &[(&str, &str)]) -> String {
    for (name, more) in programs {
        let text = format!(
            "#!/bin/sh\n{{ printf '%s' {name}; for a; do printf ' [%s]' \"$a\"; done; echo; }} >> \"$HOME/called\"\n{more}\n"
        );
        let path = home.write(&format!("bin/{name}"), &text, 0o755);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
    }
    let path = std::env::var("PATH").expect("PATH");
    format!("{}:{path}", home.path().join("bin").display())
}

/// Syncs with a hook of `contrib/hooks` as `hook`.
fn with_shipped(world: &World, shipped: &str, hook: &str, path: &str, more: &str) -> Output {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/hooks").join(shipped);
    world.home.account(
        &world.dovecot,
        "alice",
        &format!("[hooks]\nsubjects = true\n{hook} = ['{}']\n{more}", program.display()),
    );
    world.home.mailsync_with(&["sync"], &[("PATH", path)], "").exits(0).never_says("hook ")
}

#[test]
fn the_shipped_hook_for_notmuch_indexes_and_tags() {
    let mut world = World::new("");
    let path = fakes(&world.home, &[("notmuch", "")]);
    world.add("INBOX", "one", &[]);
    with_shipped(&world, "notmuch", "post_sync", &path, "").done();
    let called = world.file("called");
    assert!(called.starts_with("notmuch [new] [--quiet]"), "{called}");
}

#[test]
fn the_shipped_hook_for_mu_asks_emacs_where_that_holds_the_index() {
    let world = World::new("");
    let path = fakes(&world.home, &[("mu", ""), ("emacsclient", "exit 1")]);
    with_shipped(&world, "mu", "post_sync", &path, "").done();
    assert!(world.file("called").contains("mu [index] [--quiet]"), "{}", world.file("called"));
    fs::remove_file(world.home.path().join("called")).expect("remove");
    let path = fakes(&world.home, &[("mu", ""), ("emacsclient", "echo t")]);
    with_shipped(&world, "mu", "post_sync", &path, "").done();
    let called = world.file("called");
    assert!(called.contains("emacsclient") && !called.contains("mu [index]"), "{called}");
}

#[test]
fn the_shipped_notification_holds_no_markup_of_others() {
    let mut world = World::new("");
    let path = fakes(&world.home, &[("notify-send", "")]);
    world.add("INBOX", "<b>bold</b> & $(touch owned)", &[]);
    with_shipped(&world, "notify", "new_mail", &path, "").done();
    let called = world.file("called");
    assert!(called.contains("main: 1 new") && !called.contains("<b>") && called.contains("[--]"), "{called}");
    assert!(!world.home.path().join("owned").exists());
}

#[test]
fn the_shipped_counter_counts_what_is_unread() {
    let mut world = World::new("");
    world.add("INBOX", "one", &[]);
    world.add("INBOX", "two", &["\\Seen"]);
    world.add("Junk", "bait", &[]);
    let path = std::env::var("PATH").expect("PATH");
    with_shipped(&world, "unread-count", "post_sync", &path, "").done();
    assert_eq!(world.file(".cache/mailsync/unread.main"), "1\n");
}

#[test]
fn the_shipped_hooks_are_sound_shell() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/hooks");
    for name in ["notmuch", "mu", "notify", "unread-count"] {
        let file = dir.join(name);
        assert!(Command::new("sh").arg("-n").arg(&file).status().expect("run sh").success(), "{name}");
        if let Ok(status) = Command::new("shellcheck").arg(&file).status() {
            assert!(status.success(), "{name}");
        }
    }
}
