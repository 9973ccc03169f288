//! A server that plays scripts, one per connection, on loopback.
//!
//! A script is lines of text; empty ones and those that begin with `#` mean nothing:
//!
//! ```text
//! S: * OK ready               sends the line and CRLF; a leading `T` becomes the last command's tag
//! C: T LOGIN *                reads a line; `T` stands for any tag, which is kept, and `*` for anything
//! B: *                        reads the literal that the last line announced; no newline in the pattern
//! R: * 1 FETCH (\r\n          sends the bytes as they are, after \r \n \t \0 \\ and \xNN
//! PAUSE 100                   waits so many milliseconds
//! QUIET 100                   expects that the client says nothing for so many milliseconds
//! HANG                        says nothing until the client goes
//! EOF                         expects the client to go
//! DROP                        closes the connection
//! ```

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long a client may say nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// A playing server.
pub struct Script {
    pub port: u16,
    thread: Option<JoinHandle<()>>,
    failures: Arc<Mutex<Vec<String>>>,
    transcript: Arc<Mutex<Vec<String>>>,
}

impl Script {
    /// Plays the scripts, the first to the first connection, and so on, each on a thread of its own.
    pub fn play(scripts: &[&str]) -> Script {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind to loopback");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let scripts: Vec<String> = scripts.iter().map(|script| (*script).to_owned()).collect();
        let failures = Arc::new(Mutex::new(Vec::new()));
        let transcript = Arc::new(Mutex::new(Vec::new()));
        let (failed, said) = (failures.clone(), transcript.clone());
        listener.set_nonblocking(true).expect("do not block in accept");
        let thread = thread::spawn(move || {
            let mut players = Vec::new();
            for (at, script) in scripts.into_iter().enumerate() {
                let Some(stream) = accept(&listener) else {
                    failed.lock().expect("no panic").push(format!("connection {} never came", at + 1));
                    break;
                };
                let (failed, said) = (failed.clone(), said.clone());
                players.push(thread::spawn(move || {
                    let mut player = Player { stream: BufReader::new(stream), tag: String::new(), literal: 0, said };
                    if let Err(why) = player.play(&script) {
                        failed.lock().expect("no panic").push(format!("connection {}: {why}", at + 1));
                    }
                }));
            }
            for player in players {
                player.join().expect("a player does not panic");
            }
        });
        Script { port, thread: Some(thread), failures, transcript }
    }

    /// Waits until all scripts are played and fails where one was not followed.
    #[track_caller]
    pub fn finish(mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server does not panic");
        }
        let failures = self.failures.lock().expect("no panic").join("\n");
        assert!(failures.is_empty(), "{failures}\n{}", self.transcript());
    }

    /// What was said so far, by both.
    pub fn transcript(&self) -> String {
        self.transcript.lock().expect("no panic").join("\n")
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("what the scripted server heard and said:\n{}", self.transcript());
        }
    }
}

fn accept(listener: &TcpListener) -> Option<TcpStream> {
    for _ in 0..3000 {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).expect("block again");
            stream.set_read_timeout(Some(PATIENCE)).expect("set a timeout");
            return Some(stream);
        }
        thread::sleep(Duration::from_millis(10));
    }
    None
}

struct Player {
    stream: BufReader<TcpStream>,
    tag: String,
    literal: usize,
    said: Arc<Mutex<Vec<String>>>,
}

impl Player {
    fn play(&mut self, script: &str) -> Result<(), String> {
        for (at, step) in script.lines().enumerate() {
            let step = step.trim_start();
            if step.is_empty() || step.starts_with('#') {
                continue;
            }
            self.step(step).map_err(|why| format!("line {}: {step}\n  {why}", at + 1))?;
        }
        Ok(())
    }

    fn step(&mut self, step: &str) -> Result<(), String> {
        let (word, rest) = step.split_once(' ').unwrap_or((step, ""));
        match word {
            "S:" => {
                let line = match rest.strip_prefix("T ") {
                    Some(rest) => format!("{} {rest}\r\n", self.tag),
                    None => format!("{rest}\r\n"),
                };
                self.send(line.as_bytes())
            }
            "R:" => self.send(&unescape(rest)),
            "C:" => {
                let line = self.line()?;
                self.hear(rest, &line)
            }
            "B:" => {
                let mut bytes = vec![0; self.literal];
                self.stream.read_exact(&mut bytes).map_err(|err| err.to_string())?;
                let text = String::from_utf8_lossy(&bytes).into_owned();
                self.note(format!("C: {text:?}"));
                expect(rest, &text)
            }
            "PAUSE" => {
                thread::sleep(Duration::from_millis(rest.parse().map_err(|_| "PAUSE takes milliseconds")?));
                Ok(())
            }
            "QUIET" => {
                let time = Duration::from_millis(rest.parse().map_err(|_| "QUIET takes milliseconds")?);
                self.stream.get_ref().set_read_timeout(Some(time)).map_err(|err| err.to_string())?;
                let heard = self.stream.fill_buf().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
                self.stream.get_ref().set_read_timeout(Some(PATIENCE)).map_err(|err| err.to_string())?;
                match heard {
                    Ok(text) => Err(format!("the client said {text:?}")),
                    Err(_) => Ok(()),
                }
            }
            "HANG" | "EOF" => match self.stream.read(&mut [0; 1]) {
                Ok(0) => Ok(()),
                Ok(_) if word == "HANG" => self.step("HANG"),
                Ok(_) => Err("the client went on talking".to_owned()),
                Err(err) if err.kind() == std::io::ErrorKind::ConnectionReset => Ok(()),
                Err(err) => Err(err.to_string()),
            },
            "DROP" => self.stream.get_ref().shutdown(std::net::Shutdown::Both).map_err(|err| err.to_string()),
            _ => Err("no such step".to_owned()),
        }
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = Vec::new();
        let n = self.stream.read_until(b'\n', &mut line).map_err(|err| err.to_string())?;
        if n == 0 {
            return Err("the client went away".to_owned());
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        self.note(format!("C: {line}"));
        let digits = line.strip_suffix('}').and_then(|line| line.rsplit_once('{')).map(|(_, digits)| digits);
        self.literal = digits.and_then(|digits| digits.trim_end_matches(['+', '-']).parse().ok()).unwrap_or(0);
        Ok(line)
    }

    fn hear(&mut self, pattern: &str, line: &str) -> Result<(), String> {
        let Some(pattern) = pattern.strip_prefix("T ") else { return expect(pattern, line) };
        let (tag, command) = line.split_once(' ').unwrap_or((line, ""));
        self.tag = tag.to_owned();
        expect(pattern, command)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.note(format!("S: {}", String::from_utf8_lossy(bytes).trim_end()));
        self.stream.get_mut().write_all(bytes).map_err(|err| err.to_string())
    }

    fn note(&self, line: String) {
        self.said.lock().expect("no panic").push(line);
    }
}

fn expect(pattern: &str, text: &str) -> Result<(), String> {
    if matches(pattern, text) { Ok(()) } else { Err(format!("expected {pattern}\n  got      {text}")) }
}

/// Whether `pattern`, in which `*` stands for anything, is the whole text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| matches(rest, &text[at..]))
        }),
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match bytes.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(b'x') => {
                let digits: String = bytes.by_ref().take(2).map(char::from).collect();
                u8::from_str_radix(&digits, 16).expect("two hex digits after \\x")
            }
            Some(other) => other,
            None => b'\\',
        });
    }
    out
}
