//! A `mailsync watch` that runs, and what can be asked of it from outside.

use crate::support::*;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that takes a moment: these machines are busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running watch, which is killed when it is dropped.
pub struct Watch {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Watch {
    pub fn start(home: &Home, args: &[&str]) -> Watch {
        Watch::with(home, args, &[])
    }

    /// Has it run by another program, which it takes the place of.
    pub fn by(home: &Home, other: &[&str], args: &[&str]) -> Watch {
        let mut command = Command::new(other[0]);
        home.surround(&mut command);
        command.args(&other[1..]).arg(env!("CARGO_BIN_EXE_mailsync")).args(args).arg("watch");
        Watch::run(command)
    }

    pub fn with(home: &Home, args: &[&str], variables: &[(&str, &str)]) -> Watch {
        let mut command = home.command(&[args, &["watch"]].concat());
        command.envs(variables.iter().copied());
        Watch::run(command)
    }

    fn run(mut command: Command) -> Watch {
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut child = command.spawn().expect("start mailsync");
        let said: Arc<Mutex<String>> = Arc::default();
        let stdout: Box<dyn Read + Send> = Box::new(child.stdout.take().expect("a pipe"));
        let stderr: Box<dyn Read + Send> = Box::new(child.stderr.take().expect("a pipe"));
        for stream in [stdout, stderr] {
            let said = said.clone();
            thread::spawn(move || {
                for line in BufReader::new(stream).lines() {
                    let line = line.expect("it says text");
                    said.lock().expect("no panic").push_str(&format!("{line}\n"));
                }
            });
        }
        Watch { child, said }
    }

    /// All that it said so far.
    pub fn said(&self) -> String {
        self.said.lock().expect("no panic").clone()
    }

    /// Waits until something is so.
    #[track_caller]
    pub fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "never: {what}; it said:\n{}", self.said());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it says so.
    #[track_caller]
    pub fn says(&self, text: &str) {
        self.until(&format!("it says {text:?}"), || self.said().contains(text));
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.id().to_string()]).status().expect("run kill");
        assert!(sent.success(), "kill -s {name}: {sent}");
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it with this signal: how it ended, and how long that took.
    pub fn end(&mut self, signal: &str) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        self.signal(signal);
        let status = self.child.wait().expect("its end");
        (status, begun.elapsed())
    }

    /// Ends it as a supervisor does, and expects it to end well and soon.
    #[track_caller]
    pub fn stop(mut self) {
        let (status, took) = self.end("TERM");
        assert_eq!((status.code(), status.signal()), (Some(0), None), "{}", self.said());
        assert!(took < Duration::from_secs(2), "{took:?}");
    }

    /// How often its threads woke up so far, as the kernel counts it, and how many there are.
    pub fn wakeups(&self) -> (u64, usize) {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id())).expect("its threads");
        let counts: Vec<u64> = tasks.filter_map(|task| switches(&task.expect("a thread").path())).collect();
        (counts.iter().sum(), counts.len())
    }
}

fn switches(task: &std::path::Path) -> Option<u64> {
    let status = fs::read_to_string(task.join("status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?.trim().parse().ok()
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Leads from a port to another one, until it is dropped.
pub struct Relay {
    pub port: u16,
    over: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    /// From this port, or any where it is 0.
    pub fn open(from: u16, to: u16) -> Relay {
        let listener = TcpListener::bind(("127.0.0.1", from)).expect("the port");
        let port = listener.local_addr().expect("an address").port();
        listener.set_nonblocking(true).expect("set");
        let (over, open): (Arc<AtomicBool>, Arc<Mutex<Vec<TcpStream>>>) = Default::default();
        let (ended, opened) = (over.clone(), open.clone());
        thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                let Ok((client, _)) = listener.accept() else {
                    thread::sleep(Duration::from_millis(10));
                    continue;
                };
                client.set_nonblocking(false).expect("set");
                let server = TcpStream::connect(("127.0.0.1", to)).expect("the server");
                let both = |stream: &TcpStream| stream.try_clone().expect("a clone");
                opened.lock().expect("no panic").extend([both(&client), both(&server)]);
                for (mut from, mut to) in [(both(&client), both(&server)), (server, client)] {
                    thread::spawn(move || {
                        // It was cut, or one of them has gone: the other one is to know.
                        drop(std::io::copy(&mut from, &mut to));
                        drop(to.shutdown(Shutdown::Both));
                    });
                }
            }
        });
        Relay { port, over, open }
    }

    /// Cuts all connections that there are.
    pub fn cut(&self) {
        for stream in self.open.lock().expect("no panic").drain(..) {
            // It may have ended.
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        self.cut();
    }
}

/// The letters of the message with this subject, in a tree that is being changed: what goes while it is read is passed over.
pub fn letters(home: &Home, folder: &str, subject: &str) -> Option<String> {
    let dirs = ["new", "cur"].into_iter().filter_map(|dir| fs::read_dir(home.mail().join(folder).join(dir)).ok());
    dirs.flatten().find_map(|entry| {
        let path = entry.ok()?.path();
        let fits = subject_of(&fs::read(&path).ok()?) == subject;
        let name = path.file_name()?.to_str()?.to_owned();
        fits.then(|| name.split_once(":2,").map_or(String::new(), |(_, letters)| letters.to_owned()))
    })
}

/// Whether there is a message with this subject.
pub fn has(home: &Home, folder: &str, subject: &str) -> bool {
    letters(home, folder, subject).is_some()
}
