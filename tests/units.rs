//! What `contrib` has for those who start programs: systemd, OpenRC, launchd and cron take it, and it starts what there is.

mod support;

use clap::Parser;
use mailsync::cli::args::Cli;
use regex::Regex;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::Home;

const SERVICES: [&str; 3] = ["mailsync.service", "mailsync-sync.service", "mailsync-sync@.service"];
const TIMERS: [&str; 2] = ["mailsync-sync.timer", "mailsync-sync@.timer"];

fn contrib(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(contrib(name)).unwrap_or_else(|err| panic!("contrib/{name}: {err}"))
}

fn unit(name: &str) -> String {
    text(&format!("systemd/{name}"))
}

/// The values of a key in a unit.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

/// The units in a directory of their own, where they are not taken for those of the one who runs the tests.
fn installed(home: &Home) -> PathBuf {
    for name in SERVICES.iter().chain(&TIMERS) {
        home.write(&format!("units/{name}"), &unit(name), 0o644);
    }
    home.path().join("units")
}

/// Runs systemd-analyze for a user's service manager; `None` where it is not installed.
fn analyze(home: &Home, args: &[&str], units: &[PathBuf]) -> Option<Output> {
    let mut command = Command::new("systemd-analyze");
    home.surround(&mut command);
    command.env("XDG_RUNTIME_DIR", home.path()).args(["--user", "--no-pager"]).args(args).args(units);
    match command.output() {
        Ok(output) => Some(output),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => {
            println!("systemd-analyze is not installed: left out (tests/run installs it)");
            None
        }
        Err(err) => panic!("run systemd-analyze: {err}"),
    }
}

#[test]
fn systemd_has_nothing_to_say_against_the_units() {
    let home = Home::new();
    let dir = installed(&home);
    let units: Vec<PathBuf> = SERVICES.iter().chain(&TIMERS).map(|name| dir.join(name)).collect();
    let Some(output) = analyze(&home, &["--man=no", "verify"], &units) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let about_us: Vec<&str> = said.lines().filter(|line| line.contains("mailsync")).collect();
    assert!(output.status.success() && about_us.is_empty(), "{}: {said}", output.status);
}

/// The score is made for services of the system, run by root: the one of a user's service is told that no user has
/// capabilities, as none is dropped for users (some kernels do not let them).
#[test]
fn the_sandbox_has_a_good_score() {
    let home = Home::new();
    let dir = installed(&home);
    for name in SERVICES {
        let of_a_user = unit(name).replace("[Service]", "[Service]\nUser=alice\nCapabilityBoundingSet=");
        fs::write(dir.join(name), of_a_user).expect("write a unit");
        // Tenths of the points of exposure, of which 10.0 are the worst.
        let args = ["security", "--offline=true", "--threshold=25"];
        let Some(output) = analyze(&home, &args, &[dir.join(name)]) else {
            return;
        };
        let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if complained.contains("offline") {
            println!("this systemd-analyze judges no files: left out");
            return;
        }
        assert!(output.status.success() && said.contains("Overall exposure level"), "{said}{complained}");
    }
}

#[test]
fn all_services_have_the_same_sandbox() {
    let sandbox = |name: &str| {
        let unit = unit(name);
        let from = unit.find("# What may be written").expect("it begins");
        let sandbox = unit[from..].split("\n[Install]").next().expect("a part").trim_end().to_owned();
        sandbox.replace(&format!("edit {name}"), "edit UNIT")
    };
    let first = sandbox(SERVICES[0]);
    assert!(first.contains("edit UNIT") && first.ends_with("LimitCORE=0"), "{first}");
    for key in ["ProtectSystem=strict", "ProtectHome=read-only", "PrivateUsers=yes", "NoNewPrivileges=yes"] {
        assert!(first.lines().any(|line| line == key), "{key}");
    }
    for name in SERVICES {
        assert_eq!(sandbox(name), first, "{name}");
    }
}

/// Each of these has ended services of users, or made a mess of their directories.
#[test]
fn what_does_not_work_for_users_is_not_in_the_units() {
    let traps = [
        // Drop capabilities: status 218 where namespaces of users are restricted.
        "CapabilityBoundingSet=",
        "AmbientCapabilities=",
        "PrivateDevices=",
        "ProtectClock=",
        "ProtectKernelLogs=",
        "ProtectKernelModules=",
        // Is ~/.config before systemd 254, and from then on a link to it where that is there.
        "StateDirectory=",
        "%S",
        // Exist in the system's manager only.
        "network-online.target",
        "multi-user.target",
        "User=",
    ];
    for name in SERVICES.iter().chain(&TIMERS) {
        let unit = unit(name);
        let settings = unit.lines().filter(|line| !line.starts_with('#'));
        // A key begins its line; all else may be anywhere.
        let is_in =
            |line: &str, trap: &str| if trap.ends_with('=') { line.starts_with(trap) } else { line.contains(trap) };
        let found: Vec<&str> = settings.filter(|line| traps.iter().any(|trap| is_in(line, trap))).collect();
        assert!(found.is_empty(), "{name}: {found:?}");
    }
}

#[test]
fn the_service_is_left_alone_only_where_somebody_is_needed() {
    let unit = unit("mailsync.service");
    let one = |key: &str| {
        let values = values(&unit, key);
        assert_eq!(values.len(), 1, "{key}: {values:?}");
        values[0].to_owned()
    };
    assert_eq!((one("Type"), one("NotifyAccess")), ("notify".to_owned(), "main".to_owned()));
    assert_eq!(one("ExecReload"), "/bin/kill -HUP $MAINPID");
    assert_eq!((one("Restart"), one("StartLimitIntervalSec")), ("on-failure".to_owned(), "0".to_owned()));
    // The config, and a login.
    assert_eq!(one("RestartPreventExitStatus"), "2 4");
    // Twice a period it is told that all is well: at most once every two minutes of the idle machine's sleep.
    let minutes: u32 = one("WatchdogSec").strip_suffix("min").expect("minutes").parse().expect("a number");
    assert!(minutes >= 4);
}

/// Every `mailsync` in it with what follows, up to what a shell makes of it.
fn commands(text: &str) -> Vec<Vec<String>> {
    let command = Regex::new(r"\bmailsync ((?:sync|watch|status|trigger)\b[^\n;|&><`]*)").expect("a pattern");
    let without_comments: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let lines = without_comments.join("\n");
    let words = |words: &str| words.split_whitespace().map(|word| word.replace("%i", "work")).collect();
    command.captures_iter(&lines).map(|found| words(&found[1])).collect()
}

#[test]
fn what_is_started_every_five_minutes_is_understood_by_the_program() {
    for (name, text) in [
        ("mailsync-sync.service", unit("mailsync-sync.service")),
        ("mailsync-sync@.service", unit("mailsync-sync@.service")),
        ("crontab", text("crontab")),
    ] {
        let commands = commands(&text);
        assert_eq!(commands.len(), 1, "{name}: {commands:?}");
        let words = ["mailsync".to_owned()].into_iter().chain(commands[0].iter().cloned());
        if let Err(err) = Cli::try_parse_from(words) {
            panic!("{name}: {err}");
        }
    }
}

#[test]
fn cron_finds_the_program_and_hears_nothing_of_what_went_well() {
    let crontab = text("crontab");
    let lines: Vec<&str> = crontab.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines[0], "PATH=/usr/local/bin:/usr/bin:/bin");
    let job = Regex::new(r"^(\S+ ){5}mailsync sync -q$").expect("a pattern");
    assert!(lines.len() == 2 && job.is_match(lines[1]), "{lines:?}");
}

/// Runs the service script up to its end, as openrc-run does before it calls one of its functions, and then this.
fn openrc(name: &str, script: &str) -> String {
    let home = Home::new();
    let mut command = Command::new("sh");
    home.surround(&mut command);
    let file = contrib("openrc/mailsync");
    let all = format!(". '{}'\n{script}", file.display());
    let output = command.env("RC_SVCNAME", name).args(["-euc", &all]).output().expect("run sh");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).replace(&home.path().display().to_string(), "~")
}

#[test]
fn openrc_starts_it_as_the_user_that_the_service_is_named_after() {
    let show = "echo \"$command $command_args|$command_user|$output_log|$supervisor\"";
    assert_eq!(
        openrc("mailsync.root", show),
        "/usr/local/bin/mailsync watch|root|/var/log/mailsync.root.log|supervise-daemon\n"
    );
    assert!(openrc("mailsync.root", "echo \"$supervise_daemon_args\"").contains("XDG_RUNTIME_DIR=/run/user/0"));
    let show = "echo \"$command $command_args|${command_user-nobody else}|$output_log\"";
    let own = "/usr/local/bin/mailsync watch|nobody else|~/.local/state/mailsync.log\n";
    assert_eq!(openrc("mailsync", show), own);
}

#[test]
fn openrc_asks_the_supervisor_to_signal_it() {
    let home = Home::new();
    home.write("bin/supervise-daemon", "#!/bin/sh\necho \"$*\"\n", 0o755);
    let prepare = format!("ebegin() {{ :; }}; eend() {{ :; }}; PATH={}:$PATH\n", home.path().join("bin").display());
    assert_eq!(openrc("mailsync.root", &format!("{prepare}reload")), "mailsync.root --signal HUP\n");
    assert_eq!(openrc("mailsync.root", &format!("{prepare}sync")), "mailsync.root --signal USR1\n");
}

/// A value of a property list.
#[derive(Debug, PartialEq)]
enum Value {
    Text(String),
    Flag(bool),
    List(Vec<Value>),
    Table(Vec<(String, Value)>),
}

impl Value {
    /// What this key has. Fails where it is not there.
    fn get(&self, key: &str) -> &Value {
        let Value::Table(entries) = self else { panic!("{self:?} has no keys") };
        &entries.iter().find(|(known, _)| known == key).unwrap_or_else(|| panic!("no {key}")).1
    }
}

/// Tags and texts, without comments and what stands before the root.
fn pieces(xml: &str) -> Vec<String> {
    let comments = Regex::new("(?s)<!--.*?-->").expect("a pattern");
    let xml = comments.replace_all(xml, "");
    let root = &xml[xml.find("<plist").expect("a root")..];
    let piece = Regex::new("<[^<>]+>|[^<>]+").expect("a pattern");
    let pieces: Vec<String> = piece.find_iter(root).map(|piece| piece.as_str().to_owned()).collect();
    assert_eq!(pieces.concat(), root, "a bracket that belongs to no tag");
    pieces.into_iter().filter(|piece| !piece.trim().is_empty()).collect()
}

/// Reads one value off the pieces, of which the first comes last.
fn value(pieces: &mut Vec<String>) -> Value {
    let mut next = || pieces.pop().expect("it goes on");
    match next().as_str() {
        "<true/>" => Value::Flag(true),
        "<false/>" => Value::Flag(false),
        tag @ ("<string>" | "<integer>" | "<key>") => {
            let (text, end) = (next(), next());
            assert_eq!(end, tag.replace('<', "</"));
            let bare = Regex::new("&(?:amp|lt|gt|quot|apos);").expect("a pattern").replace_all(&text, "");
            assert!(!bare.contains('&'), "{text}");
            Value::Text(text.replace("&gt;", ">").replace("&amp;", "&"))
        }
        "<array>" => {
            let mut values = Vec::new();
            while pieces.last().is_some_and(|piece| piece != "</array>") {
                values.push(value(pieces));
            }
            assert!(pieces.pop().is_some(), "an array without an end");
            Value::List(values)
        }
        "<dict>" => {
            let mut entries = Vec::new();
            while pieces.last().is_some_and(|piece| piece != "</dict>") {
                assert_eq!(pieces.last().map(String::as_str), Some("<key>"));
                let Value::Text(key) = value(pieces) else { panic!("a key is a text") };
                entries.push((key, value(pieces)));
            }
            assert!(pieces.pop().is_some(), "a table without an end");
            Value::Table(entries)
        }
        other => panic!("{other} is no value"),
    }
}

#[test]
fn launchd_is_given_a_property_list() {
    let file = text("launchd/org.mailsync.watch.plist");
    assert!(file.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist "));
    let mut pieces = pieces(&file);
    pieces.reverse();
    assert_eq!(pieces.pop().as_deref(), Some("<plist version=\"1.0\">"));
    let job = value(&mut pieces);
    assert_eq!(pieces, ["</plist>"]);
    assert_eq!(job.get("Label"), &Value::Text("org.mailsync.watch".to_owned()));
    assert_eq!(job.get("RunAtLoad"), &Value::Flag(true));
    assert_eq!(job.get("KeepAlive").get("SuccessfulExit"), &Value::Flag(false));
    let Value::List(arguments) = job.get("ProgramArguments") else { panic!("no arguments") };
    let [Value::Text(shell), Value::Text(option), Value::Text(script)] = &arguments[..] else {
        panic!("{arguments:?}")
    };
    assert_eq!((shell.as_str(), option.as_str()), ("/bin/sh", "-c"));
    // The shell understands it, and what runs in the end is in its place.
    let home = Home::new();
    home.write(".cargo/bin/mailsync", "#!/bin/sh\necho \"$$ $*\"\necho error >&2\n", 0o755);
    fs::create_dir_all(home.path().join("Library/Logs")).expect("a directory");
    let mut command = Command::new(shell);
    home.surround(&mut command);
    let child = command.args([option, script]).spawn().expect("run sh");
    let id = child.id();
    assert!(child.wait_with_output().expect("its end").status.success());
    let log = fs::read_to_string(home.path().join("Library/Logs/mailsync.log")).expect("a log");
    assert_eq!(log, format!("{id} watch\nerror\n"));
}

#[test]
fn every_file_is_named_in_the_readme() {
    let readme = text("README.md");
    let mut missing = Vec::new();
    for dir in ["systemd", "openrc", "launchd"] {
        for entry in fs::read_dir(contrib(dir)).expect("a directory") {
            let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
            if !readme.contains(&name) {
                missing.push(format!("{dir}/{name}"));
            }
        }
    }
    assert!(missing.is_empty(), "contrib/README.md lacks {missing:?}");
}
