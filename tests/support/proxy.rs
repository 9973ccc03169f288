//! A line between client and server that can be cut at any place, on which replies can be falsified, and which knows
//! when the server has done with what came over it.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// How long a server may take to end a conversation whose client is gone.
const END: Duration = Duration::from_secs(60);

/// Where the line breaks, counted over all connections since [`Proxy::rearm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Right after so many whole replies of the server.
    Replies(u64),
    /// After so many bytes of the server.
    Down(u64),
    /// After so many bytes of the client.
    Up(u64),
    /// Instead of the n-th answer that says a message was stored.
    Stored(u64),
}

/// What the server says is passed on by this: one whole reply, literals included, to none, one or several.
pub type Falsify = Box<dyn FnMut(Vec<u8>) -> Vec<Vec<u8>> + Send>;

/// What passed since [`Proxy::rearm`].
#[derive(Clone, Debug, Default)]
pub struct Passed {
    pub replies: u64,
    pub down: u64,
    pub up: u64,
    /// Answers that say a message was stored.
    pub stored: u64,
    /// What the client sent, of all connections.
    pub said: Vec<u8>,
    /// Whether the line broke.
    pub cut: bool,
}

/// Listens on loopback and connects to a server there. What a client says after it closed a connection is passed on when
/// the server is done with what it said over that one.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    cut: Option<Cut>,
    falsify: Option<Falsify>,
    passed: Passed,
    /// The clients of connections that the server has not closed yet, by number.
    open: BTreeMap<u64, TcpStream>,
}

impl Proxy {
    pub fn to(server: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind to loopback");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let shared = Arc::new(Shared { state: Mutex::default(), ended: Condvar::new() });
        let ours = shared.clone();
        // Ends with the process: nobody else waits in accept.
        thread::spawn(move || {
            for (number, client) in (0..).zip(listener.incoming()) {
                let client = client.expect("accept a client");
                drop(ours.wait_while(|state| state.open.values().any(has_hung_up)));
                let server = TcpStream::connect(("127.0.0.1", server)).expect("connect to the server");
                ours.lock().open.insert(number, client.try_clone().expect("a second handle"));
                Line::start(ours.clone(), number, client, server);
            }
        });
        Proxy { port, shared }
    }

    /// Waits for what is under way to end, gives what passed, and counts anew, up to a new cut.
    pub fn rearm(&self, cut: Option<Cut>) -> Passed {
        let mut state = self.settled();
        state.cut = cut;
        std::mem::take(&mut state.passed)
    }

    /// What is to be done to replies from now on.
    pub fn falsify(&self, how: Option<Falsify>) {
        self.shared.lock().falsify = how;
    }

    /// Waits until the server has closed every connection: it has done all that it will ever do.
    fn settled(&self) -> MutexGuard<'_, State> {
        self.shared.wait_while(|state| !state.open.is_empty())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    fn wait_while(&self, goes_on: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.ended.wait_timeout_while(self.lock(), END, |state| goes_on(state)).expect("no panic");
        assert!(!waited.1.timed_out(), "the server does not end {} conversations", waited.0.open.len());
        waited.0
    }
}

/// Whether a client is gone, though there may be something left to be read of what it said.
fn has_hung_up(client: &TcpStream) -> bool {
    let mut fds = [PollFd::new(client, PollFlags::RDHUP)];
    poll(&mut fds, Some(&Timespec::default())).expect("look at a socket");
    !fds[0].revents().is_empty()
}

/// One connection.
struct Line {
    shared: Arc<Shared>,
    number: u64,
    client: TcpStream,
    server: TcpStream,
    /// Whether nothing passes any more.
    broken: Arc<AtomicBool>,
}

impl Line {
    fn start(shared: Arc<Shared>, number: u64, client: TcpStream, server: TcpStream) {
        for stream in [&client, &server] {
            stream.set_nodelay(true).expect("set TCP_NODELAY");
        }
        let broken = Arc::new(AtomicBool::new(false));
        let twin = || Line {
            shared: shared.clone(),
            number,
            client: client.try_clone().expect("a second handle"),
            server: server.try_clone().expect("a second handle"),
            broken: broken.clone(),
        };
        let (up, down) = (twin(), twin());
        thread::spawn(move || up.up());
        thread::spawn(move || {
            down.down();
            down.shared.lock().open.remove(&down.number);
            down.shared.ended.notify_all();
        });
    }

    /// Client to server. Whatever ends it, the server is told that nothing more will come.
    fn up(mut self) {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = self.client.read(&mut bytes) {
            // A client may also turn to another of its connections, where the server would not wait for this one.
            let others_left = |state: &State| {
                let left = |(number, client): (&u64, &TcpStream)| *number != self.number && has_hung_up(client);
                !has_hung_up(&self.client) && state.open.iter().any(left)
            };
            drop(self.shared.wait_while(others_left));
            let passing = self.let_up(&bytes[..count]);
            if self.server.write_all(&bytes[..passing]).is_err() || passing < count {
                break;
            }
        }
        // One that is gone needs not be told.
        self.server.shutdown(Shutdown::Write).ok();
    }

    /// How much of what the client said may pass.
    fn let_up(&self, bytes: &[u8]) -> usize {
        let mut state = self.shared.lock();
        let left = match state.cut {
            Some(Cut::Up(limit)) => usize::try_from(limit.saturating_sub(state.passed.up)).expect("a count of bytes"),
            _ => usize::MAX,
        };
        let passing = left.min(bytes.len());
        if passing < bytes.len() {
            self.cut(&mut state);
        }
        state.passed.up += passing as u64;
        state.passed.said.extend_from_slice(&bytes[..passing]);
        passing
    }

    fn cut(&self, state: &mut State) {
        state.cut = None;
        state.passed.cut = true;
        self.broken.store(true, Ordering::SeqCst);
    }

    /// Server to client. After a cut the client hears nothing more, and learns of it only when the server is done.
    fn down(&self) {
        let mut server = BufReader::new(self.server.try_clone().expect("a second handle"));
        while let Some(reply) = read_reply(&mut server) {
            let passing = self.let_down(reply);
            let heard = (&self.client).write_all(&passing);
            if heard.is_err() || self.broken.load(Ordering::SeqCst) {
                self.server.shutdown(Shutdown::Write).ok();
                std::io::copy(&mut server, &mut std::io::sink()).ok();
            }
        }
        self.client.shutdown(Shutdown::Both).ok();
    }

    /// What of a reply passes.
    fn let_down(&self, reply: Vec<u8>) -> Vec<u8> {
        let mut state = self.shared.lock();
        let replies = match state.falsify.as_mut() {
            Some(falsify) => falsify(reply),
            None => vec![reply],
        };
        let mut passing = Vec::new();
        for reply in replies {
            if self.broken.load(Ordering::SeqCst) {
                break;
            }
            let (stored, size) = (says_stored(&reply), reply.len() as u64);
            let passed = &mut state.passed;
            passed.replies += 1;
            passed.stored += u64::from(stored);
            passed.down += size;
            let over = match state.cut {
                Some(Cut::Stored(number)) if stored && state.passed.stored == number => size,
                Some(Cut::Replies(number)) if state.passed.replies == number => 0,
                Some(Cut::Down(limit)) if state.passed.down > limit => state.passed.down - limit,
                _ => {
                    passing.extend_from_slice(&reply);
                    continue;
                }
            };
            self.cut(&mut state);
            passing.extend_from_slice(&reply[..usize::try_from(size - over).expect("a part of the reply")]);
        }
        passing
    }
}

/// One line with the literals that it announces, and what follows them.
fn read_reply(server: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut reply = Vec::new();
    loop {
        let from = reply.len();
        let count = server.read_until(b'\n', &mut reply).unwrap_or(0);
        if count == 0 {
            return None;
        }
        let line = String::from_utf8_lossy(&reply[from..]);
        let digits = line.trim_end().strip_suffix('}').and_then(|line| line.rsplit_once('{')).map(|(_, digits)| digits);
        let Some(size) = digits.and_then(|digits| digits.parse::<u64>().ok()) else { return Some(reply) };
        server.take(size).read_to_end(&mut reply).ok()?;
    }
}

/// Whether a reply ends an APPEND well, as Dovecot says it.
fn says_stored(reply: &[u8]) -> bool {
    let line = String::from_utf8_lossy(reply);
    !line.starts_with('*') && line.contains(" OK ") && line.contains("Append completed")
}
