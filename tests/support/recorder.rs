//! Stands between the program and a server: keeps every command that was sent, and may change what is answered. What
//! was sent is known from the line, not from the program's own words.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What becomes of a response's first line, without its line end: another one, or `None` where the response is lost.
pub type Twist = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// A recorder before a server on loopback, for as long as the test runs.
pub struct Recorder {
    pub port: u16,
    heard: Arc<Mutex<Vec<String>>>,
    twist: Arc<Mutex<Option<Twist>>>,
}

impl Recorder {
    pub fn before(server: u16) -> Recorder {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind to loopback");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let recorder = Recorder { port, heard: Arc::default(), twist: Arc::default() };
        let (heard, twist) = (recorder.heard.clone(), recorder.twist.clone());
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("a connection");
                let server = TcpStream::connect(("127.0.0.1", server)).expect("connect to the server");
                let copies = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
                let (heard, twist) = (heard.clone(), twist.clone());
                thread::spawn(move || listen(client, server, &heard));
                thread::spawn(move || answer(copies.1, copies.0, &twist));
            }
        });
        recorder
    }

    /// The commands since the last call, without tags and literals.
    pub fn commands(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().expect("no panic"))
    }

    /// From now on responses are changed so.
    pub fn twist(&self, how: impl Fn(&str) -> Option<String> + Send + Sync + 'static) {
        *self.twist.lock().expect("no panic") = Some(Arc::new(how));
    }

    /// From now on responses are passed on as they are.
    pub fn straighten(&self) {
        *self.twist.lock().expect("no panic") = None;
    }
}

/// Whether a command removes messages or folders, marks messages as deleted, or may.
pub fn is_destructive(command: &str) -> bool {
    let upper = command.to_ascii_uppercase();
    let words = upper.strip_prefix("UID ").unwrap_or(&upper);
    let verb = words.split(' ').next().unwrap_or_default();
    let marks =
        verb == "STORE" && (words.contains("\\DELETED") || !(words.contains("+FLAGS") || words.contains("-FLAGS")));
    marks || matches!(verb, "EXPUNGE" | "MOVE" | "DELETE" | "RENAME" | "CLOSE")
}

/// Whether a command stores a message.
pub fn is_append(command: &str) -> bool {
    command.to_ascii_uppercase().starts_with("APPEND")
}

/// The length of the literal that a line announces.
fn literal(line: &[u8]) -> Option<u64> {
    let line = std::str::from_utf8(line).ok()?.trim_end().strip_suffix('}')?;
    let (_, digits) = line.rsplit_once('{')?;
    digits.trim_end_matches(['+', '-']).parse().ok()
}

/// Passes commands on and keeps them. Where either end has gone, so does the other.
fn listen(client: TcpStream, mut server: TcpStream, heard: &Mutex<Vec<String>>) {
    let mut client = BufReader::new(client);
    let mut command = String::new();
    loop {
        let mut line = Vec::new();
        if client.read_until(b'\n', &mut line).unwrap_or(0) == 0 || server.write_all(&line).is_err() {
            break;
        }
        command.push_str(String::from_utf8_lossy(&line).trim_end());
        match literal(&line) {
            Some(length) => {
                let copied = std::io::copy(&mut (&mut client).take(length), &mut server);
                if copied.ok() != Some(length) {
                    break;
                }
            }
            None => {
                let whole = std::mem::take(&mut command);
                let bare = whole.split_once(' ').map_or(whole.as_str(), |(_, bare)| bare);
                heard.lock().expect("no panic").push(bare.to_owned());
            }
        }
    }
    // Gone already, where this fails.
    server.shutdown(Shutdown::Both).ok();
}

/// Passes responses on, each changed as the test wants it.
fn answer(server: TcpStream, mut client: TcpStream, twist: &Mutex<Option<Twist>>) {
    let mut server = BufReader::new(server);
    let (mut begins, mut lost) = (true, false);
    loop {
        let mut line = Vec::new();
        if server.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
            break;
        }
        let length = literal(&line);
        let twist = twist.lock().expect("no panic").clone();
        if let (true, Some(twist), Ok(text)) = (begins, twist, std::str::from_utf8(&line)) {
            match twist(text.trim_end()) {
                Some(other) => line = format!("{other}\r\n").into_bytes(),
                None => lost = true,
            }
        }
        if !lost && client.write_all(&line).is_err() {
            break;
        }
        let mut sink = std::io::sink();
        let body: &mut dyn Write = if lost { &mut sink } else { &mut client };
        if let Some(length) = length
            && std::io::copy(&mut (&mut server).take(length), body).ok() != Some(length)
        {
            break;
        }
        begins = length.is_none();
        lost &= !begins;
    }
    client.shutdown(Shutdown::Both).ok();
}
