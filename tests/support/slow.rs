//! A slow line to a server on loopback.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// How often bytes pass.
const BEAT: Duration = Duration::from_millis(20);

/// Listens on loopback and connects to a server there, whose bytes come one after another.
pub struct Slow {
    pub port: u16,
    came: Arc<AtomicU64>,
}

impl Slow {
    /// Lets at most so many bytes a second come from the server; what is sent to it is not held up.
    pub fn to(server: u16, bytes_a_second: usize) -> Slow {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind to loopback");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let came = Arc::new(AtomicU64::new(0));
        let counter = came.clone();
        // Ends with the process: nobody else waits in accept.
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("accept a client");
                let server = TcpStream::connect(("127.0.0.1", server)).expect("connect to the server");
                let (up, down) = (client.try_clone().expect("a handle"), server.try_clone().expect("a handle"));
                let counter = counter.clone();
                thread::spawn(move || pass(up, server, 1 << 16, Duration::ZERO, &AtomicU64::new(0)));
                thread::spawn(move || pass(down, client, bytes_a_second / 50, BEAT, &counter));
            }
        });
        Slow { port, came }
    }

    /// How many bytes came from the server so far.
    pub fn came(&self) -> u64 {
        self.came.load(Ordering::SeqCst)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, at_once: usize, pause: Duration, counter: &AtomicU64) {
    let mut buffer = vec![0; at_once];
    // Either end may go at any time.
    while let Ok(count) = from.read(&mut buffer)
        && count > 0
        && to.write_all(&buffer[..count]).is_ok()
    {
        counter.fetch_add(count as u64, Ordering::SeqCst);
        thread::sleep(pause.mul_f64(count as f64 / at_once as f64));
    }
    drop(to.shutdown(Shutdown::Write));
}
