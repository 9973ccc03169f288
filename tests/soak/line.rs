//! A line between the program and a server that has bad days: it is cut, swallows what is sent, is slow, or is not there.

use rustix::net::sockopt::set_socket_linger;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the program to the server.
    Up,
    Down,
}

/// How connections are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// In order, as by a server that closes.
    Fin,
    /// With a reset.
    Rst,
    /// Without a word to either end, as by a box that translates addresses and has forgotten: nothing passes any more.
    Silence,
}

/// Listens on loopback and connects to a server there.
pub struct Line {
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    weather: Mutex<Weather>,
    changed: Condvar,
}

#[derive(Default)]
struct Weather {
    pairs: Vec<Weak<Pair>>,
    /// Until when there is no new connection, and nothing passes up and down.
    refuses: Option<Instant>,
    holes: [Option<Instant>; 2],
    /// How long everything takes, and until when.
    delay: Option<(Duration, Instant)>,
}

struct Pair {
    client: TcpStream,
    server: TcpStream,
    cut: AtomicBool,
    forgotten: AtomicBool,
}

impl Line {
    pub fn to(server: u16) -> Line {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind to loopback");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let shared = Arc::new(Shared { weather: Mutex::default(), changed: Condvar::new() });
        let ours = shared.clone();
        // Ends with the process: nobody else waits in accept.
        thread::spawn(move || listener.incoming().for_each(|client| ours.take(client.expect("a client"), server)));
        Line { port, shared }
    }

    /// Cuts all connections that there are.
    pub fn cut(&self, how: How) {
        for pair in self.pairs() {
            match how {
                How::Fin => pair.shut(),
                How::Rst => pair.reset(),
                How::Silence => pair.forgotten.store(true, Ordering::SeqCst),
            }
        }
        self.shared.changed.notify_all();
    }

    fn pairs(&self) -> Vec<Arc<Pair>> {
        self.shared.lock().pairs.iter().filter_map(Weak::upgrade).collect()
    }

    /// New connections are reset for so long.
    pub fn refuse(&self, time: Duration) {
        self.shared.lock().refuses = Some(Instant::now() + time);
    }

    /// Nothing passes in these directions for so long; then everything does that was held up.
    pub fn swallow(&self, ways: &[Way], time: Duration) {
        let mut weather = self.shared.lock();
        ways.iter().for_each(|way| weather.holes[*way as usize] = Some(Instant::now() + time));
    }

    /// Whatever passes takes `delay`, for so long.
    pub fn slow(&self, delay: Duration, time: Duration) {
        self.shared.lock().delay = Some((delay, Instant::now() + time));
    }

    /// From now on everything passes.
    pub fn fair(&self) {
        let mut weather = self.shared.lock();
        (weather.refuses, weather.holes, weather.delay) = (None, [None; 2], None);
        drop(weather);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().expect("no panic")
    }

    fn take(self: &Arc<Shared>, client: TcpStream, server: u16) {
        let refused = self.lock().refuses.is_some_and(|until| Instant::now() < until);
        let server = TcpStream::connect(("127.0.0.1", server)).ok().filter(|_| !refused);
        let Some(server) = server else {
            without_farewell(&client);
            return;
        };
        for stream in [&client, &server] {
            stream.set_nodelay(true).expect("set TCP_NODELAY");
        }
        let pair = Arc::new(Pair { client, server, cut: AtomicBool::new(false), forgotten: AtomicBool::new(false) });
        let mut weather = self.lock();
        weather.pairs.retain(|pair| pair.strong_count() > 0);
        weather.pairs.push(Arc::downgrade(&pair));
        drop(weather);
        for way in [Way::Up, Way::Down] {
            let (shared, pair) = (self.clone(), pair.clone());
            thread::spawn(move || shared.pass(&pair, way));
        }
    }

    fn pass(&self, pair: &Pair, way: Way) {
        let (mut from, mut to) = match way {
            Way::Up => (&pair.client, &pair.server),
            Way::Down => (&pair.server, &pair.client),
        };
        let mut bytes = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            self.wait(pair, way);
            if !pair.forgotten.load(Ordering::SeqCst) && to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        self.wait(pair, way);
        let forgotten = pair.forgotten.load(Ordering::SeqCst);
        // The program never learns of what the server does over a connection that was forgotten; the other way round the
        // server is spared connections that nobody will ever use.
        let is_kept_secret = forgotten && way == Way::Down;
        if !is_kept_secret && !pair.cut.load(Ordering::SeqCst) {
            to.shutdown(Shutdown::Write).ok();
        }
    }

    /// Waits until something may pass.
    fn wait(&self, pair: &Pair, way: Way) {
        let mut weather = self.lock();
        let delay = weather.delay.filter(|(_, until)| Instant::now() < *until).map(|(delay, _)| Instant::now() + delay);
        loop {
            let hole = weather.holes[way as usize];
            let until = hole.into_iter().chain(delay).max().filter(|until| Instant::now() < *until);
            let Some(until) = until.filter(|_| !pair.cut.load(Ordering::SeqCst)) else { return };
            let left = until.saturating_duration_since(Instant::now());
            weather = self.changed.wait_timeout(weather, left).expect("no panic").0;
        }
    }
}

impl Pair {
    fn shut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        for stream in [&self.client, &self.server] {
            // Gone already, where this fails.
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// The reset goes out when the last of the two threads has let go, which it does at once.
    fn reset(&self) {
        self.cut.store(true, Ordering::SeqCst);
        for stream in [&self.client, &self.server] {
            without_farewell(stream);
            stream.shutdown(Shutdown::Read).ok();
        }
    }
}

/// Once it is closed, the other end is told by a reset.
fn without_farewell(stream: &TcpStream) {
    set_socket_linger(stream, Some(Duration::ZERO)).expect("set SO_LINGER");
}
