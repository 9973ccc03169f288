//! The program that watches, seen from outside: what it says, and what it takes of the machine.

use crate::support::*;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A running `mailsync watch`, whose clock can be set.
pub struct Watch {
    child: Child,
    log: PathBuf,
    clock: PathBuf,
}

/// What a process takes of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// Resident memory, in kB.
    pub memory: u64,
    pub threads: u64,
    pub descriptors: u64,
}

impl Watch {
    pub fn start(home: &Home) -> Watch {
        let (log, clock) = (home.path().join("log"), home.path().join("clock"));
        fs::write(&clock, "+0\n").expect("write the clock");
        let mut command = home.command(&["-d", "imap", "watch"]);
        let file = fs::File::create(&log).expect("a log");
        command.stdout(Stdio::from(file.try_clone().expect("a second handle"))).stderr(Stdio::from(file));
        // The machine's clock of the day alone: as with a clock that is set, and after a sleep, time that is waited
        // for runs on as before.
        command.env("LD_PRELOAD", faketime()).env("FAKETIME_TIMESTAMP_FILE", &clock).env("FAKETIME_NO_CACHE", "1");
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("NO_FAKE_STAT", "1").env("FAKE_UTIME", "0");
        // What takes minutes in life takes seconds here.
        command.env("MAILSYNC_RENEW", "15").env("MAILSYNC_PATIENCE", "2000");
        Watch { child: command.spawn().expect("start mailsync"), log, clock }
    }

    fn proc(&self) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string())
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process has a number");
        kill_process(pid, signal).expect("send a signal");
    }

    /// Sets its clock to so many seconds after the machine's.
    pub fn set_clock(&self, ahead: i64) {
        let new = self.clock.with_extension("new");
        fs::write(&new, format!("{ahead:+}\n")).expect("write the clock");
        fs::rename(new, &self.clock).expect("set the clock");
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("look at mailsync").is_none()
    }

    pub fn needs(&self) -> Needs {
        let status = fs::read_to_string(self.proc().join("status")).expect("read its status");
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).expect("a number")
        };
        let descriptors = fs::read_dir(self.proc().join("fd")).expect("list its descriptors").count() as u64;
        Needs { memory: number("VmRSS:"), threads: number("Threads:"), descriptors }
    }

    /// All that it said.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).expect("read the log")).into_owned()
    }

    /// Asks it to end; how it did, and how long that took.
    pub fn end(&mut self) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        self.signal(Signal::TERM);
        loop {
            if let Some(status) = self.child.try_wait().expect("look at mailsync") {
                return (status, begun.elapsed());
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(400).collect();
            eprintln!("the end of its log:");
            tail.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
    }
}

/// The library that sets the clock of one process.
fn faketime() -> PathBuf {
    let multiarch = fs::read_dir("/usr/lib").expect("list /usr/lib").flatten().map(|entry| entry.path());
    let dirs = multiarch.chain(["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from));
    let found = dirs.map(|dir| dir.join("faketime/libfaketimeMT.so.1")).find(|library| library.is_file());
    found.expect("install faketime: tests/run does it")
}
