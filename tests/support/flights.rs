//! A line to a server on loopback on which round trips are counted: replies take a while, as they do on a real one, so
//! that what a client sends without waiting for them is seen as one flight.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// How long a reply takes. Longer than a client needs to send what it need not wait for.
const DELAY: Duration = Duration::from_millis(40);
/// How long a server may take to end a conversation whose client is gone.
const END: Duration = Duration::from_secs(60);

/// What passed over one connection.
#[derive(Clone, Debug, Default)]
pub struct Flight {
    /// How often the client said something that it may have learned from an answer; LOGOUT by itself, whose answer
    /// nobody waits for, is none.
    pub round_trips: u64,
    /// Bytes of the server.
    pub down: u64,
    /// What the client said.
    pub said: Vec<u8>,
}

impl Flight {
    /// The commands without their tags, literals cut out, in order: `UID FETCH 1:* (FLAGS)`.
    pub fn commands(&self) -> Vec<String> {
        let mut commands = Vec::new();
        let mut rest = self.said.as_slice();
        let mut continued = false;
        while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
            let line = String::from_utf8_lossy(&rest[..end]).into_owned();
            rest = &rest[end + 2..];
            let literal = line.strip_suffix('}').and_then(|line| line.rsplit_once('{'));
            let size = literal.and_then(|(_, size)| size.trim_end_matches('+').parse::<usize>().ok());
            if let (false, Some((_, command))) = (continued, line.split_once(' ')) {
                commands.push(command.to_owned());
            }
            continued = size.is_some();
            rest = &rest[size.unwrap_or(0).min(rest.len())..];
        }
        commands
    }
}

/// What passed over all connections since the last [`Flights::take`].
#[derive(Clone, Debug, Default)]
pub struct Seen(pub Vec<Flight>);

impl Seen {
    /// Of the connection that took most.
    pub fn round_trips(&self) -> u64 {
        self.0.iter().map(|flight| flight.round_trips).max().unwrap_or(0)
    }

    /// In both directions.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|flight| flight.down + flight.said.len() as u64).sum()
    }

    pub fn commands(&self) -> Vec<String> {
        self.0.iter().flat_map(Flight::commands).collect()
    }

    /// How many commands begin with this word, or these words.
    pub fn count(&self, words: &str) -> usize {
        self.commands().iter().filter(|command| command.to_ascii_uppercase().starts_with(words)).count()
    }
}

/// Listens on loopback and connects to a server there.
pub struct Flights {
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    open: usize,
    done: Vec<Flight>,
}

impl Flights {
    pub fn to(server: u16) -> Flights {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind to loopback");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let shared = Arc::new(Shared::default());
        let ours = shared.clone();
        // Ends with the process: nobody else waits in accept.
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("accept a client");
                let server = TcpStream::connect(("127.0.0.1", server)).expect("connect to the server");
                ours.state.lock().expect("no panic").open += 1;
                let shared = ours.clone();
                thread::spawn(move || {
                    let flight = pass(&client, &server);
                    let mut state = shared.state.lock().expect("no panic");
                    state.open -= 1;
                    state.done.push(flight);
                    shared.ended.notify_all();
                });
            }
        });
        Flights { port, shared }
    }

    /// Waits for the connections to end and gives what passed over them.
    pub fn take(&self) -> Seen {
        let state = self.shared.state.lock().expect("no panic");
        let waited = self.shared.ended.wait_timeout_while(state, END, |state| state.open > 0).expect("no panic");
        let (mut state, timeout) = waited;
        assert!(!timeout.timed_out(), "{} conversations do not end", state.open);
        Seen(std::mem::take(&mut state.done))
    }
}

/// Passes what both say until both have ended.
///
/// An answer has the number of the flight that the server had heard when it gave it; what the client says has the
/// number after that of the last answer that it heard. The greeting has number 0.
fn pass(client: &TcpStream, server: &TcpStream) -> Flight {
    [client, server].iter().for_each(|stream| stream.set_nodelay(true).expect("set TCP_NODELAY"));
    let (sent, heard) = (AtomicU64::new(0), AtomicU64::new(0));
    let (queue, delayed) = mpsc::channel::<(Instant, u64, Vec<u8>)>();
    thread::scope(|scope| {
        scope.spawn(|| {
            for (due, number, bytes) in delayed {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                heard.fetch_max(number, Ordering::SeqCst);
                // A client may be gone; the server is heard to its end.
                (&*client).write_all(&bytes).ok();
            }
            client.shutdown(Shutdown::Both).ok();
        });
        let down = scope.spawn(|| {
            let queue = queue;
            let mut total = 0;
            let mut buffer = vec![0; 1 << 16];
            while let Ok(count @ 1..) = (&*server).read(&mut buffer) {
                total += count as u64;
                let answer = (Instant::now() + DELAY, sent.load(Ordering::SeqCst), buffer[..count].to_vec());
                queue.send(answer).expect("the other thread goes on to the end");
            }
            total
        });
        let mut said = Vec::new();
        let mut round_trips = 0;
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = (&*client).read(&mut buffer) {
            let number = heard.load(Ordering::SeqCst) + 1;
            said.extend_from_slice(&buffer[..count]);
            if !buffer[..count].ends_with(b" LOGOUT\r\n") || buffer[..count - 2].contains(&b'\n') {
                round_trips = round_trips.max(number);
            }
            sent.fetch_max(number, Ordering::SeqCst);
            if (&*server).write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        server.shutdown(Shutdown::Write).ok();
        Flight { round_trips, down: down.join().expect("no panic"), said }
    })
}
