//! A program that prints a password.

use super::SecretError;
use super::file;
use crate::environment;
use crate::mail::Secret;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long a program may take.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// How long output may lag behind the end of the program. What it left running may hold the pipes open for ever.
const GRACE: Duration = Duration::from_millis(500);

/// No password and no complaint is longer, in bytes.
const MAX_OUTPUT: u64 = 64 << 10;

/// Runs a program without a shell, a terminal or input, and gives the first line that it prints.
///
/// `key` is what the config calls it. It has a session and so a process group of its own; all of that is killed when the time is over.
pub fn first_line(
    key: &str,
    argv: &[String],
    timeout: Duration,
    cancelled: &dyn Fn() -> bool,
) -> Result<Secret, SecretError> {
    let name = argv.first().map(String::as_str).unwrap_or_default();
    let mut child = spawn(argv).map_err(|err| SecretError::new(format!("{key}: run {name}: {err}")))?;
    let output = child.stdout.take().map(drain);
    let complaints = child.stderr.take().map(drain);
    let deadline = Instant::now() + timeout;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if cancelled() => {
                kill(&mut child);
                return Err(SecretError::Cancelled);
            }
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) => {
                kill(&mut child);
                return Err(SecretError::with(
                    format!("{key}: {name} gave no answer within {} s and was stopped", timeout.as_secs()),
                    "it runs without a terminal: whatever it asks for must come from an agent or a window",
                ));
            }
            Err(err) => {
                kill(&mut child);
                return Err(SecretError::new(format!("{key}: wait for {name}: {err}")));
            }
        }
    };
    let output = collect(output);
    if !status.success() {
        let complaint = last_line(&collect(complaints)).map_or(String::new(), |line| format!(": {line}"));
        return Err(SecretError::new(format!("{key}: {name} failed ({status}){complaint}")));
    }
    file::line_of(&output).map_err(|why| SecretError::new(format!("{key}: the output of {name} {why}")))
}

fn spawn(argv: &[String]) -> std::io::Result<Child> {
    let mut command = Command::new(argv.first().map(String::as_str).unwrap_or_default());
    command.args(argv.get(1..).unwrap_or_default());
    environment::restore(&mut command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // SAFETY: setsid is async-signal-safe and touches no memory of this process.
    unsafe {
        command.pre_exec(|| rustix::process::setsid().map(drop).map_err(std::io::Error::from));
    }
    command.spawn()
}

fn kill(child: &mut Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        // Fails only where nothing is left to be killed.
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
    let _ = child.wait();
}

/// Reads all of a pipe in a thread, so that the program is never held up by it.
fn drain(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut kept = 0;
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            if kept < MAX_OUTPUT && sender.send(buffer[..length].to_vec()).is_err() {
                return;
            }
            kept += length as u64;
        }
    });
    receiver
}

fn collect(receiver: Option<Receiver<Vec<u8>>>) -> Vec<u8> {
    let deadline = Instant::now() + GRACE;
    let mut bytes = Vec::new();
    while let Some(receiver) = &receiver
        && let Ok(chunk) = receiver.recv_timeout(deadline.saturating_duration_since(Instant::now()))
    {
        bytes.extend_from_slice(&chunk);
    }
    bytes
}

/// The last line that says something, made fit for a message.
fn last_line(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(line.trim().chars().filter(|c| !c.is_control()).take(200).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, timeout: Duration) -> Result<Secret, SecretError> {
        first_line("password_command", &["sh".to_owned(), "-c".to_owned(), script.to_owned()], timeout, &|| false)
    }

    #[test]
    fn the_first_line_of_the_output_is_the_password() {
        for (script, password) in [("echo pw; echo user: me", "pw"), ("printf 'p w\\r\\n'", "p w"), ("printf x", "x")] {
            assert_eq!(sh(script, TIMEOUT).expect("a password").expose(), password);
        }
    }

    #[test]
    fn a_failure_shows_the_last_complaint_and_never_the_output() {
        let err = sh("echo sesame; echo one >&2; echo no key >&2; echo >&2; exit 3", TIMEOUT).expect_err("a failure");
        assert_eq!(err.to_string(), "password_command: sh failed (exit status: 3): no key");
        let err = sh("exit 0", TIMEOUT).expect_err("no output");
        assert_eq!(err.to_string(), "password_command: the output of sh has an empty first line");
        let err = first_line("password_command", &["/nonexistent/pass".to_owned()], TIMEOUT, &|| false)
            .expect_err("no program");
        assert!(err.to_string().starts_with("password_command: run /nonexistent/pass: "), "{err}");
    }

    #[test]
    fn a_program_that_hangs_is_killed_with_all_it_started() {
        let dir = tempfile::tempdir().expect("a directory");
        let pid_file = dir.path().join("pid");
        let script = format!("sleep 100 & echo $! > '{}'; wait", pid_file.display());
        let start = Instant::now();
        let err = sh(&script, Duration::from_millis(700)).expect_err("a timeout");
        assert!(start.elapsed() < Duration::from_secs(10));
        assert!(err.to_string().contains("gave no answer"), "{err}");
        let pid = std::fs::read_to_string(&pid_file).expect("the child's id").trim().parse().expect("a number");
        let pid = rustix::process::Pid::from_raw(pid).expect("a process id");
        let gone = || match std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())) {
            // Nobody may be there to reap it.
            Ok(stat) => stat.contains(") Z "),
            Err(_) => true,
        };
        let deadline = Instant::now() + Duration::from_secs(5);
        while !gone() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(gone(), "the grandchild lives");
    }

    #[test]
    fn what_it_leaves_behind_with_the_pipes_open_holds_nobody_up() {
        let start = Instant::now();
        assert_eq!(sh("echo pw; sleep 5 &", TIMEOUT).expect("a password").expose(), "pw");
        assert!(start.elapsed() < Duration::from_secs(4));
    }

    #[test]
    fn it_has_no_terminal_and_no_input() {
        assert_eq!(sh("cat; (: < /dev/tty) 2>/dev/null || echo none", TIMEOUT).expect("a password").expose(), "none");
    }

    #[test]
    fn the_wish_to_stop_ends_the_wait() {
        let argv = ["sleep".to_owned(), "100".to_owned()];
        assert_eq!(first_line("password_command", &argv, TIMEOUT, &|| true), Err(SecretError::Cancelled));
    }
}
