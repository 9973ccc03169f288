//! `mailsync mutt-mailboxes`, the program: what it reads, where it writes, and what it does when something is wrong.

use mailsync::config::Config;
use mailsync::mail::{FolderName, Role, Sides};
use mailsync::state::State;
use mailsync::store::maildir::{Layout, wire_for};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A home of its own with two accounts: `main`, and `later`, which was never synced.
struct World {
    home: TempDir,
}

/// How a command ended: its exit code, standard output, standard error.
type Ended = (i32, String, String);

impl World {
    fn new(mutt: &str) -> World {
        let world = World { home: tempfile::tempdir().unwrap() };
        let account = |name: &str| {
            format!(
                "[account.{name}]\nremote = {{ host = \"imap.invalid\", user = \"me\" }}\n\
                 local = {{ path = \"~/Mail/{name}\" }}\n"
            )
        };
        fs::create_dir_all(world.path(".config/mailsync/templates")).unwrap();
        let config = format!("{}{}[mutt]\n{mutt}", account("main"), account("later"));
        fs::write(world.path(".config/mailsync/config.toml"), config).unwrap();
        fs::create_dir(world.path("Mail")).unwrap();
        world
    }

    fn path(&self, below: &str) -> PathBuf {
        self.home.path().join(below)
    }

    /// Writes the state of `main` with these folders; the Maildirs are made too. The state is open, and locked.
    fn synced(&self, names: &[(&str, Option<Role>)]) -> State {
        let state = State::open(&self.path(".local/state/mailsync/main.db")).unwrap();
        for (name, role) in names {
            let name = FolderName::parse(name).unwrap();
            let wire = wire_for(Layout::Nested, &name).unwrap();
            self.maildir(&wire);
            let wires = Sides::new(wire, name.text().into_bytes());
            state.add_folder(&wires, &Sides::new(name.clone(), name), *role).unwrap();
        }
        state
    }

    fn maildir(&self, wire: &[u8]) {
        let dir = mailsync::store::maildir::path_of(&self.path("Mail/main"), wire);
        ["cur", "new", "tmp"].iter().for_each(|part| fs::create_dir_all(dir.join(part)).unwrap());
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", self.home.path()).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        let programs = Path::new(env!("CARGO_BIN_EXE_mailsync")).parent().unwrap().to_owned();
        let path = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect::<Vec<_>>();
        command.env("PATH", std::env::join_paths(std::iter::once(programs).chain(path)).unwrap());
        command.current_dir(self.home.path());
        command
    }

    fn run(&self, words: &[&str]) -> Ended {
        let output = self.command("mailsync").arg("mutt-mailboxes").args(words).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    fn lines(&self, names: &[&str]) -> String {
        names.iter().map(|name| format!("mailboxes '{}'\n", self.path("Mail/main").join(name).display())).collect()
    }
}

#[test]
fn every_existing_maildir_is_listed_without_server_or_lock() {
    let world = World::new("");
    let _locked = world.synced(&[("Zoo", None), ("Sent", Some(Role::Sent)), ("INBOX", None), ("gone", None)]);
    fs::remove_dir(world.path("Mail/main/gone/new")).unwrap();
    let expected = world.lines(&["INBOX", "Sent", "Zoo"]);
    assert_eq!(world.run(&[]), (0, expected.clone(), String::new()));
    assert_eq!(world.run(&["main"]), (0, expected, String::new()));
    assert_eq!(world.run(&["later"]), (0, String::new(), String::new()));
}

#[test]
fn mutt_sources_the_program_itself_and_hostile_names_run_nothing() {
    let world = World::new("");
    let names = ["x`touch pwned`", "';source 'touch pwned|'", "line\n`touch pwned`", "a\\/b'\"$HOME"];
    let _state = world.synced(&names.map(|name| (name, None)));
    fs::write(world.path("rc"), "source \"mailsync mutt-mailboxes|\"\nset attribution=done\n").unwrap();
    for program in ["mutt", "neomutt"] {
        let output = world.command(program).args(["-n", "-F", "rc", "-Q", "attribution"]).output().unwrap();
        let shown = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && shown.contains("done") && shown.lines().count() == 1, "{program}: {shown}");
        assert!(!world.path("pwned").exists(), "{program}");
    }
    assert_eq!(world.run(&[]).1.lines().count(), names.len());
}

#[test]
fn the_output_file_is_replaced_only_if_it_changes() {
    let world = World::new("");
    let state = world.synced(&[("INBOX", None)]);
    let (file, named) = (world.path("boxes"), world.path("boxes").to_str().unwrap().to_owned());
    assert_eq!(world.run(&["-o", &named]), (0, String::new(), String::new()));
    assert_eq!(fs::read_to_string(&file).unwrap(), world.lines(&["INBOX"]));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::metadata(&file).unwrap().modified().unwrap();
    assert_eq!(world.run(&["-o", &named]).0, 0);
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), before);
    drop(state);
    let _state = world.synced(&[("New", None)]);
    assert_eq!(world.run(&["-o", &named]).0, 0);
    assert_eq!(fs::read_to_string(&file).unwrap(), world.lines(&["INBOX", "New"]));
}

#[test]
fn a_failure_prints_nothing_and_leaves_the_file_alone() {
    let world = World::new("");
    drop(world.synced(&[("INBOX", None)]));
    fs::write(world.path("boxes"), "old\n").unwrap();
    let boxes = world.path("boxes").to_str().unwrap().to_owned();
    let fails = |words: &[&str], code: i32, why: &str| {
        for output in [&[][..], &["-o", &boxes]] {
            let (ended, out, err) = world.run(&[words, output].concat());
            assert_eq!((ended, out.as_str()), (code, ""), "{err}");
            assert!(err.starts_with("mailsync: ") && err.contains(why), "{err}");
            assert_eq!(fs::read_to_string(&boxes).unwrap(), "old\n");
        }
    };
    fails(&["man"], 2, "no such account: \"man\"\nhint: did you mean \"main\"?");
    fails(&["--template", "defalt"], 2, "no such template: \"defalt\"\nhint: there are default, named, mbnames, hooks");
    fs::write(world.path("bad.muttrc"), "{% for %}").unwrap();
    fails(&["--template", "bad.muttrc"], 1, "template bad.muttrc");
    fs::write(world.path(".local/state/mailsync/main.db"), "no database").unwrap();
    fails(&[], 1, "main: read the state");
}

#[test]
fn templates_of_ones_own_come_before_the_shipped_ones() {
    let world = World::new("");
    drop(world.synced(&[("INBOX", None)]));
    fs::write(world.path(".config/mailsync/templates/default.muttrc"), "mine\n").unwrap();
    assert_eq!(world.run(&[]), (0, "mine\n".to_owned(), String::new()));
    fs::write(world.path("other"), "{{ folders[0].name }}").unwrap();
    assert_eq!(world.run(&["--template", "./other"]), (0, "'INBOX'\n".to_owned(), String::new()));
    let named = world.run(&["--template", "named", "--dialect", "neomutt"]).1;
    assert!(named.starts_with("named-mailboxes 'main/INBOX' "), "{named}");
}

#[test]
fn the_config_chooses_paths_below_folder_template_and_accounts() {
    let mutt = "paths = \"folder\"\nfolder = \"~/Mail\"\ntemplate = \"mbnames\"\naccounts = [\"later\", \"main\"]\n\
                item = \"%(path)s\"\nheader = \"mailboxes \"\n";
    let world = World::new(mutt);
    drop(world.synced(&[("INBOX", None), ("two words", None)]));
    let expected = "mailboxes '+main/INBOX' '+main/two words'\n";
    assert_eq!(world.run(&[]), (0, expected.to_owned(), String::new()));
}

#[test]
fn a_sync_refreshes_the_file_for_all_accounts_but_not_while_a_root_is_gone() {
    let world = World::new("file = \"~/boxes\"\n");
    drop(world.synced(&[("INBOX", None), ("Work", None)]));
    let file = world.path(".config/mailsync/config.toml");
    let refresh = || mailsync::cli::mutt::refresh(&Config::load(Some(&file), &sets(&world)).unwrap());
    assert!(refresh().unwrap());
    assert!(!refresh().unwrap());
    let expected = world.lines(&["INBOX", "Work"]);
    assert_eq!(fs::read_to_string(world.path("boxes")).unwrap(), expected);
    fs::rename(world.path("Mail/main"), world.path("Mail/elsewhere")).unwrap();
    let why = refresh().unwrap_err().to_string();
    assert!(why.starts_with("main: ") && why.contains("is not there"), "{why}");
    assert_eq!(fs::read_to_string(world.path("boxes")).unwrap(), expected);
    assert_eq!(world.run(&[]), (0, String::new(), String::new()));
}

/// The paths of the config, which else are below the home of whoever runs the tests.
fn sets(world: &World) -> Vec<String> {
    let at = |key: &str, below: &str| format!("{key}={}", world.path(below).display());
    vec![
        at("general.state_dir", ".local/state/mailsync"),
        at("mutt.file", "boxes"),
        at("account.main.local.path", "Mail/main"),
        at("account.later.local.path", "Mail/later"),
    ]
}

#[test]
fn the_shipped_keys_for_mutt_are_understood() {
    let world = World::new("");
    let macros = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/mutt/macros.muttrc");
    let all = fs::read_to_string(macros).unwrap().replace("\n#folder-hook", "\nfolder-hook");
    fs::write(world.path("rc"), all).unwrap();
    for program in ["mutt", "neomutt"] {
        let output = world.command(program).args(["-n", "-F", "rc", "-Q", "mbox_type"]).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{program}: {output:?}");
    }
}
