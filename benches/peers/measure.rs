//! One run of a program: how long, how much CPU, how much memory.

use crate::usage::{Of, Usage, usage};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// The first argument with which this program starts itself as the parent of one measured program. The parent is new and
/// small each time: what the kernel says of a child's peak of memory is never less than what its parent had.
pub const CHILD: &str = "--measure-one";

/// This program, even when its file was built anew meanwhile.
pub const MYSELF: &str = "/proc/self/exe";

/// What one run took.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    pub wall: Duration,
    /// User and system time of the program and of its children that it waited for.
    pub cpu: Duration,
    /// Peak of resident memory in KB, the largest process counted.
    pub rss_kb: u64,
    /// Why the run counts as failed: its exit code and the end of what it said.
    pub failure: Option<String>,
}

/// Runs a command to its end and measures it. What it says goes to files in `dir`.
pub fn run(command: &Command, dir: &Path, timeout: Duration) -> Cost {
    let result = dir.join("cost");
    let file = |name: &str| std::fs::File::create(dir.join(name)).expect("make a file for output");
    let mut parent = Command::new(MYSELF);
    parent
        .arg(CHILD)
        .arg(&result)
        .arg(timeout.as_secs().to_string())
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => parent.env(name, value),
            None => parent.env_remove(name),
        };
    }
    parent.current_dir(command.get_current_dir().unwrap_or(dir));
    parent.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr"));
    let status = parent.status().expect("start the measuring parent");
    assert!(status.success(), "the measuring parent failed: {}", said(dir));
    let text = std::fs::read_to_string(&result).expect("read what a run took");
    let numbers: Vec<i64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [wall, cpu, rss, code] = numbers[..] else { panic!("odd result of a run: {text}") };
    let micros = |n: i64| Duration::from_micros(u64::try_from(n).expect("a duration"));
    let failure = (code != 0).then(|| format!("exit {code}: {}", said(dir)));
    Cost { wall: micros(wall), cpu: micros(cpu), rss_kb: u64::try_from(rss).expect("a size"), failure }
}

/// The end of what a program said.
fn said(dir: &Path) -> String {
    let text = ["stdout", "stderr"].map(|name| {
        let bytes = std::fs::read(dir.join(name)).expect("read what a program said");
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let text = text.concat();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(2)..].join(" / ").chars().take(200).collect()
}

/// The measuring parent: `RESULT SECONDS PROGRAM ARGUMENT...`.
pub fn child(args: &[String]) -> ExitCode {
    let [result, seconds, program, rest @ ..] = args else { panic!("{CHILD} lacks arguments") };
    let timeout = Duration::from_secs(seconds.parse().expect("a number of seconds"));
    let start = Instant::now();
    let started = Command::new(program).args(rest).spawn();
    let mut program = started.unwrap_or_else(|err| panic!("start {program}: {err}"));
    let pid = i32::try_from(program.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a process ID");
    let (done, waits) = channel::<()>();
    let watch = thread::spawn(move || {
        if waits.recv_timeout(timeout) == Err(RecvTimeoutError::Timeout) {
            // It may have ended in this moment.
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
        }
    });
    let status = program.wait().expect("wait for the measured program");
    let wall = start.elapsed();
    drop(done);
    watch.join().expect("the watch does not panic");
    // Here there is only one child.
    let Usage { cpu, rss_kb } = usage(Of::Children);
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    let text = format!("{} {} {rss_kb} {code}\n", wall.as_micros(), cpu.as_micros());
    std::fs::write(result, text).expect("write the result");
    ExitCode::SUCCESS
}
