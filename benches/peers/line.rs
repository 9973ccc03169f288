//! The line between the programs and the server: delays each direction by half a round trip, limits nothing else, and
//! counts what passes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What one read takes at most.
const CHUNK: usize = 256 * 1024;
/// Chunks under way in one direction before the sender is held back: far more than any program has at 100 ms.
const UNDER_WAY: usize = 16_384;

/// A line to one port of the server.
pub struct Line {
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    rtt_ms: AtomicU64,
    connections: Mutex<Vec<Arc<Counts>>>,
}

/// What passed on one connection.
#[derive(Default)]
struct Counts {
    up: AtomicU64,
    down: AtomicU64,
    turns: AtomicU64,
    /// Whether the client was told something since it last spoke.
    told: AtomicBool,
}

/// What passed on all connections.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Bytes from the client.
    pub up: u64,
    /// Bytes to the client.
    pub down: u64,
    /// How often the client spoke after it had been told something, over all connections.
    pub turns: u64,
    /// The same on the connection that has most of it.
    pub longest: u64,
    pub connections: u64,
}

impl Line {
    /// A line to this port of loopback, without delay.
    pub fn to(server: u16) -> Line {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind to loopback");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let shared = Arc::<Shared>::default();
        let ours = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("accept a client");
                let counts = Arc::<Counts>::default();
                ours.connections.lock().expect("no panic").push(counts.clone());
                let half = Duration::from_micros(ours.rtt_ms.load(SeqCst) * 500);
                thread::spawn(move || connect(client, server, half, &counts));
            }
        });
        Line { port, shared }
    }

    /// The round-trip time of the connections that follow.
    pub fn set_rtt(&self, ms: u64) {
        self.shared.rtt_ms.store(ms, SeqCst);
    }

    /// What passed since the last call.
    pub fn take(&self) -> Traffic {
        let mut connections = self.shared.connections.lock().expect("no panic");
        let mut sum = Traffic::default();
        for counts in connections.drain(..) {
            let turns = counts.turns.load(SeqCst);
            sum.up += counts.up.load(SeqCst);
            sum.down += counts.down.load(SeqCst);
            sum.turns += turns;
            sum.longest = sum.longest.max(turns);
            sum.connections += 1;
        }
        sum
    }
}

/// The kernel has let the client connect at once; over a real line that takes it one round trip, and its acknowledgement
/// is with the server half of one later. Only then is the server connected to: its greeting, and whatever the client
/// sends, arrive when they would.
fn connect(client: TcpStream, server: u16, half: Duration, counts: &Arc<Counts>) {
    thread::sleep(half * 3);
    let server = TcpStream::connect(("127.0.0.1", server)).expect("connect to the server");
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("set TCP_NODELAY");
    }
    let twin = |stream: &TcpStream| stream.try_clone().expect("a second handle");
    let (client_in, server_in) = (twin(&client), twin(&server));
    let (up, down, told) = (counts.clone(), counts.clone(), counts.clone());
    let said = move |count: usize| {
        up.up.fetch_add(count as u64, SeqCst);
        if up.told.swap(false, SeqCst) {
            up.turns.fetch_add(1, SeqCst);
        }
    };
    let answered = move |count: usize| {
        down.down.fetch_add(count as u64, SeqCst);
    };
    let tell = move || told.told.store(true, SeqCst);
    if half.is_zero() {
        thread::spawn(move || carry_at_once(client_in, &server, said, || ()));
        thread::spawn(move || carry_at_once(server_in, &client, answered, tell));
    } else {
        carry_late(client_in, server, half, said, || ());
        carry_late(server_in, client, half, answered, tell);
    }
}

/// `seen` is told what was read, and `before` is called before that is passed on.
fn carry_at_once(mut from: TcpStream, mut to: &TcpStream, seen: impl Fn(usize), before: impl Fn()) {
    let mut bytes = vec![0; CHUNK];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        seen(count);
        before();
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    end(&from, to);
}

/// The same, half a round trip later. Reading and writing have a thread each, so that neither waits for the other.
fn carry_late(
    from: TcpStream,
    to: TcpStream,
    half: Duration,
    seen: impl Fn(usize) + Send + 'static,
    before: impl Fn() + Send + 'static,
) {
    let (sender, receiver) = sync_channel(UNDER_WAY);
    let source = from.try_clone().expect("a second handle");
    thread::spawn(move || take_in(from, half, &sender, seen));
    thread::spawn(move || give_out(&source, &to, &receiver, before));
}

fn take_in(mut from: TcpStream, half: Duration, queue: &SyncSender<(Instant, Vec<u8>)>, seen: impl Fn(usize)) {
    let mut bytes = vec![0; CHUNK];
    loop {
        // A connection that breaks ends like one that is closed.
        let count = from.read(&mut bytes).unwrap_or(0);
        if count > 0 {
            seen(count);
        }
        let sent = queue.send((Instant::now() + half, bytes[..count].to_vec()));
        if count == 0 || sent.is_err() {
            return;
        }
    }
}

/// Nothing, as the last chunk, is the end, which takes its time too.
fn give_out(from: &TcpStream, mut to: &TcpStream, queue: &Receiver<(Instant, Vec<u8>)>, before: impl Fn()) {
    for (due, bytes) in queue {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        before();
        if bytes.is_empty() || to.write_all(&bytes).is_err() {
            break;
        }
    }
    end(from, to);
}

/// Either side may be gone already.
fn end(from: &TcpStream, to: &TcpStream) {
    to.shutdown(Shutdown::Write).ok();
    from.shutdown(Shutdown::Read).ok();
}
