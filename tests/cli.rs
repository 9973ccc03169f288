//! What the program says of its arguments, its config and its failures, and how it ends.

mod support;

use std::process::Child;
use std::time::{Duration, Instant};
use support::{Dovecot, Home, Output, Script, Tmux, mail};

const MINIMAL: &str =
    "[account.main]\nremote = { host = \"imap.example.org\", user = \"me\" }\nlocal = { path = \"~/Mail\" }\n";

/// Standard error with the home directory written as HOME.
fn complaint(home: &Home, out: &Output) -> String {
    out.stderr.replace(&home.path().display().to_string(), "HOME")
}

#[track_caller]
fn fails(home: &Home, args: &[&str], code: i32, stderr: &str) {
    let out = home.mailsync(args).exits(code);
    assert_eq!(complaint(home, &out), stderr, "{out}");
    assert_eq!(out.stdout, "", "{out}");
}

#[test]
fn a_missing_config_says_where_it_belongs() {
    let home = Home::new();
    fails(
        &home,
        &["sync"],
        2,
        "mailsync: HOME/.config/mailsync/config.toml: read: No such file or directory (os error 2)\n\
         hint: write it (mailsync-config(5) shows the smallest one), or name another with -c FILE\n",
    );
    for args in [&["info"][..], &["mutt-mailboxes"], &["-c", "no.toml", "sync"]] {
        home.mailsync(args).exits(2).says("No such file").done();
    }
}

#[test]
fn every_mistake_in_the_config_is_told_at_once() {
    let home = Home::new();
    home.config(
        "[general]\nmax_sync_acounts = 2\n[account.main]\n\
         remote = { host = \"imap.example.org\", port = 0 }\nlocal = { path = 3 }\n",
    );
    fails(
        &home,
        &["sync"],
        2,
        "mailsync: HOME/.config/mailsync/config.toml:2:1: unknown key `max_sync_acounts` in [general]\n\
         hint: did you mean `max_sync_accounts`?\n\
         mailsync: HOME/.config/mailsync/config.toml:4:46: `port` must be from 1 to 65535\n\
         mailsync: HOME/.config/mailsync/config.toml:5:18: `path` must be a text, not a number\n",
    );
}

#[test]
fn patterns_and_pins_are_judged_where_they_stand() {
    let home = Home::new();
    home.config(
        "[account.main]\n\
         remote = { host = \"imap.example.org\", user = \"me\", pin = \"sha256:00\" }\n\
         local = { path = \"~/Mail\" }\n\
         [account.main.folders]\n\
         include = [\"role:nonsense\"]\n\
         rename = [{ re = '(', to = 'x', back = { re = 'x', to = 'y' } }]\n",
    );
    let out = home.mailsync(&["sync"]).exits(2);
    let said = complaint(&home, &out);
    for place in ["config.toml:2:58: pin", "config.toml:5:12: no such role", "config.toml:6:18: bad regular expression"]
    {
        assert!(said.contains(place), "{place}\n{out}");
    }
}

#[test]
fn an_unknown_account_is_told_with_the_nearest_name() {
    let home = Home::new();
    home.config(MINIMAL);
    let expected = "mailsync: no such account: `mian`\nhint: did you mean `main`?\n";
    fails(&home, &["sync", "mian"], 2, expected);
    fails(&home, &["info", "mian"], 2, expected);
    fails(&home, &["--info", "mian"], 2, expected);
    fails(&home, &["sync", "work"], 2, "mailsync: no such account: `work`\nhint: there are: main\n");
}

#[test]
fn accounts_that_are_all_disabled_leave_nothing_to_do() {
    let home = Home::new();
    home.config(&MINIMAL.replace("[account.main]", "[account.main]\nenabled = false"));
    fails(
        &home,
        &["sync"],
        2,
        "mailsync: no account is enabled\nhint: name one on the command line, or remove `enabled = false`\n",
    );
}

#[test]
fn a_password_in_an_open_config_is_refused_and_not_said() {
    let home = Home::new();
    let text = MINIMAL.replace("user = \"me\"", "user = \"me\", password = \"sesame\"");
    home.write(".config/mailsync/config.toml", &text, 0o644);
    fails(
        &home,
        &["sync"],
        2,
        "mailsync: HOME/.config/mailsync/config.toml:2:10: holds a password, and group or others can read the file\n\
         hint: chmod 600 HOME/.config/mailsync/config.toml\n",
    );
}

#[test]
fn a_bad_pattern_on_the_command_line_is_a_usage_error() {
    let home = Home::new();
    home.config(MINIMAL);
    home.mailsync(&["sync", "-f", "role:nonsense"]).exits(2).says("mailsync: -f role:nonsense: no such role").done();
    home.mailsync(&["-o", "general.uy=1", "sync"]).exits(2).says("mailsync: -o general.uy: unknown key `uy`").done();
    home.mailsync(&["sync", "-o", "general"]).exits(2).says("mailsync: -o general: must be KEY=VALUE").done();
}

#[test]
fn wrong_usage_ends_with_two_and_help_with_none() {
    let home = Home::new();
    for args in [&[][..], &["snyc"], &["sync", "--nope"], &["-d", "nope", "sync"], &["sync", "-u", "nope"]] {
        home.mailsync(args).exits(2).done();
    }
    for args in [&["--help"][..], &["--version"], &["sync", "--help"], &["completions", "bash"]] {
        let out = home.mailsync(args).exits(0);
        assert!(!out.stdout.is_empty() && out.stderr.is_empty(), "{out}");
    }
    home.mailsync(&["snyc"]).exits(2).says("sync").done();
}

#[test]
fn the_completions_in_contrib_are_those_that_the_program_writes() {
    let home = Home::new();
    for (shell, file) in [("bash", "mailsync.bash"), ("zsh", "_mailsync"), ("fish", "mailsync.fish")] {
        let path = format!("{}/contrib/completions/{file}", env!("CARGO_MANIFEST_DIR"));
        let shipped = std::fs::read_to_string(&path).expect("shipped completions");
        let written = home.mailsync(&["completions", shell]).exits(0);
        assert!(
            written.stdout == shipped,
            "write {file} anew: mailsync completions {shell} > contrib/completions/{file}"
        );
    }
}

#[test]
fn completions_know_every_command() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        home.mailsync(&["completions", shell]).exits(0).says("mutt-mailboxes").says("dry-run").done();
    }
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let home = Home::new();
    let mut command = std::process::Command::new("sh");
    let program = env!("CARGO_BIN_EXE_mailsync");
    command.args(["-c", &format!("'{program}' completions bash 2>err | head -c 1; cat err")]);
    home.surround(&mut command);
    let out = command.output().expect("run sh");
    assert_eq!(String::from_utf8_lossy(&out.stdout), "_");
}

/// An account `main` at a scripted server.
fn scripted(home: &Home, port: u16, more: &str) {
    home.config(&format!(
        "[account.main]\nremote = {{ host = \"127.0.0.1\", port = {port}, user = \"me\", tls = \"none\"{more} }}\n\
         local = {{ path = \"~/Mail\" }}\n"
    ));
}

#[test]
fn a_run_in_step_ends_with_nought_and_is_silent_when_quiet() {
    let (home, server) = (Home::new(), Dovecot::start());
    home.account(&server, "alice", "[mutt]\nfile = \"~/mailboxes\"");
    server.login("alice").append("INBOX", &mail("one"), &[], None);
    let out = home.mailsync(&["sync", "-q"]).exits(0);
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("", ""), "{out}");
    let mailboxes = std::fs::read_to_string(home.path().join("mailboxes")).expect("the file of [mutt]");
    assert!(mailboxes.contains("Mail/INBOX"), "{mailboxes}");
    home.nothing_to_do();
}

#[test]
fn troubleshooting_output_shows_the_line_and_no_secret() {
    let (home, server) = (Home::new(), Dovecot::start());
    home.account(&server, "alice", "");
    let out = home.mailsync(&["-d", "imap,maildir,state,sync", "sync"]).exits(0);
    for text in [" imap main: ", "LIST", " maildir main: root ", " state main: ", " sync main: started"] {
        assert!(out.stderr.contains(text), "{text}\n{out}");
    }
    let password = server.password("alice");
    out.never_says(password).done();
    home.mailsync(&["-vv", "sync"]).exits(0).says(" imap main: ").never_says(password).done();
    home.mailsync(&["-v", "sync"]).exits(0).says(" sync main: started").never_says(" imap main: ").done();
}

#[test]
fn a_refused_login_ends_with_four_and_leaves_the_mutt_file_alone() {
    let (home, server) = (Home::new(), Dovecot::start());
    home.account(&server, "alice", "[mutt]\nfile = \"~/mailboxes\"");
    home.netrc("machine 127.0.0.1 login alice password sesame\n");
    home.write("mailboxes", "mailboxes \"/good\"\n", 0o600);
    home.mailsync(&["sync"]).exits(4).says("main").never_says("sesame").done();
    let kept = std::fs::read_to_string(home.path().join("mailboxes")).expect("the file of [mutt]");
    assert_eq!(kept, "mailboxes \"/good\"\n");
}

#[test]
fn a_missing_password_ends_with_four_and_says_what_to_write_where() {
    let (home, server) = (Home::new(), Dovecot::start());
    home.account(&server, "alice", "");
    std::fs::remove_file(home.path().join(".netrc")).expect("a netrc");
    let out = home.mailsync(&["sync"]).exits(4);
    let out = out.says("no password for alice on 127.0.0.1; looked in: ");
    let out = out.says("~/.netrc (no such file), no terminal to ask at");
    out.says("hint: add to ~/.netrc (mode 600): machine 127.0.0.1 login alice password PASSWORD").done();
    home.write(".netrc", "machine 127.0.0.1 login alice password x\n", 0o644);
    home.mailsync(&["sync"]).exits(4).says("hint: chmod 600 ~/.netrc").done();
    home.mailsync(&["info"]).exits(4).says("chmod 600 ~/.netrc").done();
}

#[test]
fn every_way_to_a_password_leads_into_the_server() {
    let (home, server) = (Home::new(), Dovecot::start());
    let password = server.password("alice");
    let file = home.write("password", &format!("{password}\nnot this\n"), 0o600);
    for way in [
        format!("password = {password:?}"),
        format!("password_command = [\"printf\", \"%s\", {password:?}]"),
        format!("password_file = {:?}", file.display().to_string()),
    ] {
        scripted(&home, server.port, &format!(", {way}"));
        home.mailsync(&["sync", "-o", "account.main.remote.user=alice"]).exits(0).never_says(password).done();
    }
    scripted(&home, server.port, "");
    let netrc = home.write("elsewhere", &format!("machine 127.0.0.1 login alice password \"{password}\"\n"), 0o600);
    let mut command = home.command(&["sync", "-o", "account.main.remote.user=alice"]);
    let out = command.env("NETRC", netrc).output().expect("run mailsync");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn a_password_is_asked_for_where_there_is_a_terminal() {
    let (home, server) = (Home::new(), Dovecot::start());
    home.account(&server, "alice", "");
    std::fs::remove_file(home.path().join(".netrc")).expect("a netrc");
    let program = env!("CARGO_BIN_EXE_mailsync");
    let screen = Tmux::start(&home, &format!("'{program}' sync; echo \"ended with $?\"; sleep 60"));
    screen.wait_for("Password of alice on 127.0.0.1:");
    screen.keys(&[server.password("alice"), "Enter"]);
    let shown = screen.wait_for("ended with 0");
    assert!(!shown.contains(server.password("alice")), "{shown}");
}

#[test]
fn a_signal_at_the_question_gives_the_terminal_its_echo_back() {
    let home = Home::new();
    scripted(&home, 1, "");
    let program = env!("CARGO_BIN_EXE_mailsync");
    let shell =
        format!("trap : INT; '{program}' sync; echo \"ended with $?\"; stty -a | tr ' ' '\\n' | grep -w echo; cat");
    let screen = Tmux::start(&home, &shell);
    screen.wait_for("Password of me on 127.0.0.1:");
    screen.keys(&["C-c"]);
    let shown = screen.wait_for("echo");
    assert!(shown.contains("ended with 130") && !shown.contains("-echo"), "{shown}");
}

/// Waits until the program has a connection.
fn connected(server: &Script) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.transcript().is_empty() {
        assert!(Instant::now() < deadline, "the program never connected");
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(200));
}

/// Signals the program, and gives exit code, time since the last signal and what it said.
fn interrupted(child: Child, signals: &[rustix::process::Signal]) -> (Option<i32>, Duration, String) {
    let pid = rustix::process::Pid::from_child(&child);
    for signal in signals {
        rustix::process::kill_process(pid, *signal).expect("the program runs");
        std::thread::sleep(Duration::from_millis(100));
    }
    let start = Instant::now();
    let out = child.wait_with_output().expect("the program ends");
    (out.status.code(), start.elapsed(), String::from_utf8_lossy(&out.stderr).into_owned())
}

#[test]
fn a_signal_stops_the_run_soon_and_says_so() {
    use rustix::process::Signal;
    for signals in [&[Signal::INT][..], &[Signal::TERM], &[Signal::INT, Signal::INT]] {
        let server = Script::play(&["S: * OK ready\nHANG"]);
        let home = Home::new();
        scripted(&home, server.port, ", password = \"x\"");
        let run = home.start(&["sync"]);
        connected(&server);
        let (code, time, stderr) = interrupted(run, signals);
        assert_eq!(code, Some(130), "{stderr}");
        assert!(time < Duration::from_secs(5), "{time:?}");
        assert!(stderr.contains("mailsync: stopping at the next safe point; once more to stop at once"), "{stderr}");
    }
}

#[test]
fn a_signal_ends_a_run_whose_standard_error_nobody_reads() {
    use rustix::fs::{OFlags, fcntl_setfl};
    let server = Script::play(&["S: * OK ready\nHANG"]);
    let home = Home::new();
    scripted(&home, server.port, ", password = \"x\"");
    let (_reader, mut pipe) = std::io::pipe().expect("a pipe");
    fcntl_setfl(&pipe, OFlags::NONBLOCK).expect("set");
    while std::io::Write::write(&mut pipe, &[b'x'; 512]).is_ok() {}
    fcntl_setfl(&pipe, OFlags::empty()).expect("set");
    let mut command = home.command(&["sync"]);
    let run = command.stdout(std::process::Stdio::piped()).stderr(pipe).spawn().expect("start mailsync");
    connected(&server);
    let (code, time, _) = interrupted(run, &[rustix::process::Signal::TERM, rustix::process::Signal::TERM]);
    assert_eq!(code, Some(130));
    assert!(time < Duration::from_secs(5), "{time:?}");
}

#[test]
fn a_signal_stops_the_wait_for_a_password() {
    let server = Script::play(&["S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready\nHANG"]);
    let home = Home::new();
    scripted(&home, server.port, ", password_command = [\"sleep\", \"100\"]");
    let run = home.start(&["sync", "-q"]);
    connected(&server);
    let (code, time, stderr) = interrupted(run, &[rustix::process::Signal::INT]);
    assert_eq!(code, Some(130), "{stderr}");
    assert!(time < Duration::from_secs(5), "{time:?}");
    assert!(!stderr.contains("stopping"), "{stderr}");
}

#[test]
fn a_second_run_ends_with_three_at_once() {
    let server = Script::play(&["S: * OK ready\nHANG"]);
    let home = Home::new();
    scripted(&home, server.port, ", password = \"x\"");
    let first = home.start(&["-oaccount.main.remote.password=\"sesame\"", "sync"]);
    connected(&server);
    let start = Instant::now();
    let second = home.mailsync(&["sync"]);
    let told = second.stderr.clone();
    assert!(told.contains(&format!("process {}", first.id())) && !told.contains("sesame"), "{told}");
    second.exits(3).says("main").done();
    assert!(start.elapsed() < Duration::from_secs(3));
    let lock = std::fs::read(home.state("main").with_extension("lock")).expect("the lock's file");
    assert!(lock.is_empty(), "the kernel knows who has it");
    assert_eq!(interrupted(first, &[rustix::process::Signal::INT]).0, Some(130));
}
