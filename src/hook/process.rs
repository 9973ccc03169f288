//! One hook's process: fed, listened to, and ended.
//!
//! One loop does all of it, without a thread that a process could leave hanging: pipes that it left open to others are
//! closed on our side when it has ended.

use crate::environment;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long output may lag behind the end of the process: what it left running may hold the pipes open for ever.
const GRACE: Duration = Duration::from_millis(300);
/// How long it has to end by itself when it is asked to.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often is looked whether it has ended, or is to be.
const TICK: Duration = Duration::from_millis(20);
/// So many lines of it are told, each of so many bytes.
const MAX_LINES: usize = 100;
const MAX_LINE: usize = 1_000;

/// What came of a process.
pub struct Ran {
    pub ended: Ended,
    /// Lines that were not told.
    pub unsaid: usize,
    /// The last line that says anything.
    pub last: Option<String>,
}

/// How a process ended.
pub enum Ended {
    Done(ExitStatus),
    NotStarted(io::Error),
    /// It was stopped after this time.
    TimedOut(Duration),
    /// The user wants to stop.
    Stopped,
    /// The system does not say what became of it.
    Lost(io::Error),
}

/// Runs a process to its end with `input`, and gives `said` the lines that it prints. It has a session of its own: no
/// terminal, and no Ctrl-C but ours.
pub fn run(
    command: Command,
    input: &[u8],
    timeout: Option<Duration>,
    stopped: &dyn Fn() -> bool,
    said: &mut dyn FnMut(String),
) -> Ran {
    let mut ears = Ears { said, told: 0, unsaid: 0, last: None };
    let ended = match spawn(command) {
        Ok((child, pipes)) => attend(child, pipes, input, timeout, stopped, &mut ears),
        Err(err) => Ended::NotStarted(err),
    };
    Ran { ended, unsaid: ears.unsaid, last: ears.last }
}

/// Our ends of its pipes.
struct Pipes {
    input: Option<ChildStdin>,
    outputs: Vec<Output>,
}

struct Output {
    pipe: Box<dyn Pipe>,
    line: Vec<u8>,
}

trait Pipe: Read + AsFd {}
impl<T: Read + AsFd> Pipe for T {}

fn spawn(mut command: Command) -> io::Result<(Child, Pipes)> {
    environment::restore(&mut command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // SAFETY: setsid is async-signal-safe and touches no memory of this process.
    unsafe {
        command.pre_exec(|| rustix::process::setsid().map(drop).map_err(io::Error::from));
    }
    let mut child = command.spawn()?;
    let stdout = child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Pipe>);
    let stderr = child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Pipe>);
    let outputs = stdout.into_iter().chain(stderr).map(|pipe| Output { pipe, line: Vec::new() }).collect();
    let pipes = Pipes { input: child.stdin.take(), outputs };
    let all = pipes.input.iter().map(AsFd::as_fd).chain(pipes.outputs.iter().map(|output| output.pipe.as_fd()));
    // Of our own ends: what the process has is as it expects it.
    let quick = all.map(|fd| fcntl_setfl(fd, OFlags::NONBLOCK)).collect::<Result<Vec<()>, _>>();
    match quick {
        Ok(_) => Ok((child, pipes)),
        Err(err) => {
            signal(&child, Signal::KILL);
            child.wait()?;
            Err(err.into())
        }
    }
}

fn attend(
    mut child: Child,
    mut pipes: Pipes,
    mut input: &[u8],
    timeout: Option<Duration>,
    stopped: &dyn Fn() -> bool,
    ears: &mut Ears<'_>,
) -> Ended {
    let begun = Instant::now();
    // Why it was asked to end, and when it is made to.
    let mut asked: Option<(Ended, Instant)> = None;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => {}
            Err(err) => {
                signal(&child, Signal::KILL);
                return Ended::Lost(err);
            }
        }
        match &asked {
            Some((_, until)) if Instant::now() >= *until => signal(&child, Signal::KILL),
            Some(_) => {}
            None => {
                let over = timeout.filter(|timeout| begun.elapsed() >= *timeout).map(Ended::TimedOut);
                if let Some(why) = if stopped() { Some(Ended::Stopped) } else { over } {
                    signal(&child, Signal::TERM);
                    asked = Some((why, Instant::now() + LAST_WORDS));
                }
            }
        }
        pipes.serve(&mut input, ears, TICK);
    };
    let until = Instant::now() + GRACE;
    while !pipes.outputs.is_empty() && Instant::now() < until {
        pipes.serve(&mut input, ears, TICK);
    }
    pipes.outputs.iter_mut().for_each(|output| ears.end_line(&mut output.line));
    match asked {
        Some((why, _)) => {
            // What it started goes with it.
            signal(&child, Signal::KILL);
            why
        }
        None => Ended::Done(status),
    }
}

/// Sends a signal to all of the group that a process leads.
fn signal(child: &Child, signal: Signal) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // Fails only where nothing is left of it.
        let _ = kill_process_group(group, signal);
    }
}

impl Pipes {
    /// Gives and takes what can be given and taken, and waits no longer than `tick` for it.
    fn serve(&mut self, input: &mut &[u8], ears: &mut Ears<'_>, tick: Duration) {
        if input.is_empty() {
            self.input = None;
        }
        let reader: Option<BorrowedFd<'_>> = self.input.as_ref().map(AsFd::as_fd);
        let mut fds: Vec<PollFd<'_>> =
            self.outputs.iter().map(|output| PollFd::from_borrowed_fd(output.pipe.as_fd(), PollFlags::IN)).collect();
        fds.extend(reader.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::OUT)));
        let limit = Timespec { tv_sec: 0, tv_nsec: i64::from(tick.subsec_nanos()) as _ };
        // A signal that cuts it short is as good as its end.
        let _ = poll(&mut fds, Some(&limit));
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let mut at = 0;
        self.outputs.retain_mut(|output| {
            let open = !ready[at] || output.take(ears);
            at += 1;
            open
        });
        if ready.get(at).copied().unwrap_or_default()
            && let Some(pipe) = &mut self.input
        {
            match pipe.write(input) {
                Ok(given) => *input = &input[given..],
                Err(err) if is_early(&err) => {}
                // It does not want to know.
                Err(_) => self.input = None,
            }
        }
    }
}

impl Output {
    /// Takes what is there; whether more may come.
    fn take(&mut self, ears: &mut Ears<'_>) -> bool {
        let mut buffer = [0; 8192];
        match self.pipe.read(&mut buffer) {
            Ok(length @ 1..) => {
                for byte in &buffer[..length] {
                    match byte {
                        b'\n' => ears.end_line(&mut self.line),
                        _ if self.line.len() < MAX_LINE => self.line.push(*byte),
                        _ => {}
                    }
                }
                true
            }
            Err(err) if is_early(&err) => true,
            Ok(0) | Err(_) => {
                ears.end_line(&mut self.line);
                false
            }
        }
    }
}

fn is_early(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Takes lines.
struct Ears<'a> {
    said: &'a mut dyn FnMut(String),
    told: usize,
    unsaid: usize,
    last: Option<String>,
}

impl Ears<'_> {
    fn end_line(&mut self, line: &mut Vec<u8>) {
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        line.clear();
        if text.is_empty() {
            return;
        }
        self.last = Some(text.clone());
        match self.told < MAX_LINES {
            true => (self.said)(text),
            false => self.unsaid += 1,
        }
        self.told += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const LONG: Option<Duration> = Some(Duration::from_secs(60));

    fn sh(script: &str, input: &[u8], timeout: Option<Duration>, stopped: &dyn Fn() -> bool) -> (Ran, Vec<String>) {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        let mut lines = Vec::new();
        let ran = run(command, input, timeout, stopped, &mut |line| lines.push(line));
        (ran, lines)
    }

    fn status(ran: &Ran) -> Option<i32> {
        match &ran.ended {
            Ended::Done(status) => status.code(),
            _ => None,
        }
    }

    fn is_gone(pid_file: &std::path::Path) -> bool {
        let pid = fs::read_to_string(pid_file).expect("a process's number");
        match fs::read_to_string(format!("/proc/{}/stat", pid.trim())) {
            // Nobody may be there to reap it.
            Ok(stat) => stat.contains(") Z "),
            Err(_) => true,
        }
    }

    fn becomes_gone(pid_file: &std::path::Path) -> bool {
        (0..500).any(|_| is_gone(pid_file) || (std::thread::sleep(Duration::from_millis(10)), false).1)
    }

    #[test]
    fn all_of_a_large_input_comes_and_what_is_printed_is_told_by_lines() {
        let input = vec![b'x'; 3 << 20];
        let (ran, lines) = sh("wc -c; echo two >&2; printf three; exit 4", &input, LONG, &|| false);
        assert_eq!(status(&ran), Some(4));
        let mut lines: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
        lines.sort_unstable();
        assert_eq!(lines, ["3145728", "three", "two"]);
    }

    #[test]
    fn who_does_not_read_the_input_is_neither_held_up_nor_a_failure() {
        let input = vec![b'x'; 3 << 20];
        assert_eq!(status(&sh("exit 0", &input, LONG, &|| false).0), Some(0));
        assert_eq!(status(&sh("exec 0<&-; sleep 0.2; exit 0", &input, LONG, &|| false).0), Some(0));
    }

    #[test]
    fn a_flood_is_taken_and_only_some_of_it_told() {
        let script =
            "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done; head -c 5000000 /dev/zero | tr '\\0' y";
        let (ran, lines) = sh(script, b"", LONG, &|| false);
        assert_eq!((status(&ran), lines.len(), ran.unsaid), (Some(0), 100, 201));
        assert_eq!(ran.last.map(|line| line.len()), Some(MAX_LINE));
    }

    #[test]
    fn after_its_time_it_is_ended_with_all_it_started_however_deaf() {
        let dir = tempfile::tempdir().expect("a directory");
        let pid = dir.path().join("pid");
        let script = format!("trap '' TERM; sleep 100 & echo $! > '{}'; wait; wait", pid.display());
        let (ran, _) = sh(&script, b"", Some(Duration::from_millis(500)), &|| false);
        assert!(matches!(ran.ended, Ended::TimedOut(_)));
        assert!(becomes_gone(&pid), "what it started lives");
    }

    #[test]
    fn what_it_leaves_behind_with_its_pipes_lives_on_and_holds_nobody_up() {
        let dir = tempfile::tempdir().expect("a directory");
        let pid = dir.path().join("pid");
        let (ran, _) = sh(&format!("sleep 30 & echo $! > '{}'", pid.display()), b"x", None, &|| false);
        assert_eq!(status(&ran), Some(0));
        assert!(!is_gone(&pid));
        let pid = fs::read_to_string(&pid).expect("a number").trim().parse().expect("a number");
        rustix::process::kill_process(Pid::from_raw(pid).expect("a process"), Signal::KILL).expect("it is ended");
    }

    #[test]
    fn the_wish_to_stop_ends_it() {
        assert!(matches!(sh("sleep 100", b"", None, &|| true).0.ended, Ended::Stopped));
    }

    #[test]
    fn what_can_not_be_started_says_why() {
        let ran = run(Command::new("/no/such/program"), b"", LONG, &|| false, &mut |_| ());
        assert!(matches!(ran.ended, Ended::NotStarted(err) if err.kind() == io::ErrorKind::NotFound));
    }
}
