//! Stands before a server and answers IDLE and NOTIFY in its place, as the test wants it. All else the server answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What is said to the n-th IDLE, or NOTIFY, counted from 1 over all connections, a line each. `T` stands for its tag: the
/// line ends it. `HANG` has nothing pass over the connection any more, in either direction, and `DROP` closes it. `RACE` has
/// the server end IDLE by itself while the client's DONE is on its way.
pub type Answer = fn(usize) -> Vec<&'static str>;

/// As a server does that knows how.
pub fn idles(_: usize) -> Vec<&'static str> {
    vec!["+ idling"]
}

pub struct Meddler {
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    idle: Answer,
    notify: Option<Answer>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    commands: Vec<String>,
    idles: usize,
    notifies: usize,
    /// The clients that idle.
    idling: Vec<Arc<Mutex<TcpStream>>>,
}

impl Meddler {
    /// NOTIFY is the server's own business where there is no answer to it.
    pub fn before(server: u16, idle: Answer, notify: Option<Answer>) -> Meddler {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind to loopback");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let shared = Arc::new(Shared { idle, notify, seen: Mutex::default() });
        let ours = shared.clone();
        // Ends with the process: nobody else waits in accept.
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("accept a client");
                let server = TcpStream::connect(("127.0.0.1", server)).expect("connect to the server");
                let down = server.try_clone().expect("a second handle");
                let to = Arc::new(Mutex::new(client.try_clone().expect("a second handle")));
                let (shared, back) = (ours.clone(), to.clone());
                thread::spawn(move || pass_back(down, &back));
                thread::spawn(move || {
                    let from = BufReader::new(client);
                    Conversation { shared, from, to, server }.go_on();
                });
            }
        });
        Meddler { port, shared }
    }

    /// Says a line to all clients that idle, and how many these were.
    pub fn say(&self, line: &str) -> usize {
        let idling = self.shared.seen().idling.clone();
        idling.iter().for_each(|client| send(client, &format!("{line}\r\n")));
        idling.len()
    }

    /// How many commands came that begin so.
    pub fn count(&self, command: &str) -> usize {
        self.shared.seen().commands.iter().filter(|said| said.starts_with(command)).count()
    }

    pub fn commands(&self) -> String {
        self.shared.seen().commands.join("\n")
    }

    /// Whether a client idles, now or within some time.
    pub fn has_idler(&self) -> bool {
        (0..3000).any(|at| {
            thread::sleep(Duration::from_millis(if at == 0 { 0 } else { 10 }));
            !self.shared.seen().idling.is_empty()
        })
    }
}

impl Shared {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().expect("no panic")
    }
}

fn send(client: &Mutex<TcpStream>, text: &str) {
    // One that is gone hears nothing.
    client.lock().expect("no panic").write_all(text.as_bytes()).ok();
}

fn pass_back(mut server: TcpStream, client: &Mutex<TcpStream>) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(count @ 1..) = server.read(&mut bytes) {
        if client.lock().expect("no panic").write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    client.lock().expect("no panic").shutdown(Shutdown::Both).ok();
}

struct Conversation {
    shared: Arc<Shared>,
    from: BufReader<TcpStream>,
    to: Arc<Mutex<TcpStream>>,
    server: TcpStream,
}

impl Conversation {
    fn go_on(&mut self) {
        while let Some(line) = self.line() {
            let (tag, command) = line.trim_end().split_once(' ').unwrap_or((&line, ""));
            let (tag, command) = (tag.to_owned(), command.to_owned());
            self.shared.seen().commands.push(command.clone());
            let goes_on = match command.as_str() {
                "IDLE" => self.idle(&tag),
                _ if command.starts_with("NOTIFY") && self.shared.notify.is_some() => self.notify(&tag, &command),
                _ => self.forward(&line),
            };
            if !goes_on {
                break;
            }
        }
        self.server.shutdown(Shutdown::Both).ok();
        self.from.get_ref().shutdown(Shutdown::Both).ok();
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        (self.from.read_line(&mut line).ok()? > 0).then_some(line)
    }

    fn forward(&mut self, line: &str) -> bool {
        let length = line.trim_end().strip_suffix('}').and_then(|line| line.rsplit_once('{')).map(|(_, digits)| digits);
        let length = length.and_then(|digits| digits.trim_end_matches(['+', '-']).parse::<u64>().ok()).unwrap_or(0);
        self.server.write_all(line.as_bytes()).is_ok()
            && std::io::copy(&mut (&mut self.from).take(length), &mut self.server).is_ok_and(|count| count == length)
    }

    /// Says the lines; whether they ended the command, or nothing where the conversation is over.
    fn answer(&mut self, tag: &str, lines: &[&str]) -> Option<bool> {
        let mut ended = false;
        for line in lines {
            match *line {
                "DROP" => return None,
                "RACE" => {}
                "HANG" => {
                    std::io::copy(&mut self.from, &mut std::io::sink()).ok();
                    return None;
                }
                line => {
                    let ends = line.strip_prefix("T ");
                    ended |= ends.is_some();
                    send(&self.to, &ends.map_or(format!("{line}\r\n"), |rest| format!("{tag} {rest}\r\n")));
                }
            }
        }
        Some(ended)
    }

    fn idle(&mut self, tag: &str) -> bool {
        let mut seen = self.shared.seen();
        seen.idles += 1;
        let lines = (self.shared.idle)(seen.idles);
        drop(seen);
        let Some(ended) = self.answer(tag, &lines) else { return false };
        if ended {
            return true;
        }
        let to = self.to.clone();
        self.shared.seen().idling.push(to.clone());
        let line = self.line();
        self.shared.seen().idling.retain(|client| !Arc::ptr_eq(client, &to));
        let race = if lines.contains(&"RACE") { "DONE BAD Unknown command\r\n" } else { "" };
        send(&self.to, &format!("{tag} OK done\r\n{race}"));
        line.is_some_and(|line| line.trim_end() == "DONE")
    }

    fn notify(&mut self, tag: &str, command: &str) -> bool {
        if command == "NOTIFY NONE" {
            send(&self.to, &format!("{tag} OK none\r\n"));
            return true;
        }
        let mut seen = self.shared.seen();
        seen.notifies += 1;
        let lines = self.shared.notify.expect("it was looked at")(seen.notifies);
        drop(seen);
        self.answer(tag, &lines).is_some()
    }
}
