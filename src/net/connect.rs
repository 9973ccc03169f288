//! Making a TCP connection: names, addresses of both families side by side (Happy Eyeballs, RFC 8305), deadlines.

use super::route::Family;
use super::transport::SLICE;
use super::{NetError, Stop};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How long an address may take before the next one is tried beside it (RFC 8305 section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// How long a wait goes on before it looks whether it should stop.
const LOOK: Duration = Duration::from_millis(50);

/// How long what we sent may stay unacknowledged before the line counts as dead.
const USER_TIMEOUT: Duration = Duration::from_secs(90);

/// Connects to the first address of `host` that answers. The socket is non-blocking. `timeout` counts for looking up
/// the name, and again for each address.
pub(super) fn connect(
    host: &str,
    port: u16,
    family: Family,
    timeout: Duration,
    stop: &Stop,
) -> Result<TcpStream, NetError> {
    let addresses = alternate(addresses(host, port, family, timeout, stop)?);
    match Race::new(&addresses, timeout).run(stop)? {
        Ok(stream) => Ok(stream),
        Err(failures) => {
            // The one address of a host that is called by it needs no mention.
            let cause = |(address, cause): &(SocketAddr, String)| match failures.len() {
                1 if address.ip().to_string() == bare(host) => cause.clone(),
                _ => format!("{}: {cause}", address.ip()),
            };
            let cause = failures.iter().map(cause).collect::<Vec<_>>().join("; ");
            Err(NetError::Connect { host: host.to_owned(), port, cause })
        }
    }
}

/// An address without the brackets that it may have in the config.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// The addresses of `host` that may be used, at least one.
pub(super) fn addresses(
    host: &str,
    port: u16,
    family: Family,
    timeout: Duration,
    stop: &Stop,
) -> Result<Vec<SocketAddr>, NetError> {
    let mut found = resolve(host, port, timeout, stop)?;
    found.retain(|address| family.has(address));
    match found.is_empty() {
        true => Err(NetError::Resolve { host: host.to_owned(), cause: format!("it has no {}", family.kind()) }),
        false => Ok(found),
    }
}

fn resolve(host: &str, port: u16, timeout: Duration, stop: &Stop) -> Result<Vec<SocketAddr>, NetError> {
    // Nobody has to be asked about an address.
    if let Ok(address) = bare(host).parse() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let name = (bare(host).to_owned(), port);
    answered(host, timeout, stop, move || name.to_socket_addrs().map(Iterator::collect))
}

/// The system's resolver can't be interrupted: it gets a thread, which is left behind where it takes too long.
fn answered(
    host: &str,
    timeout: Duration,
    stop: &Stop,
    look_up: impl FnOnce() -> io::Result<Vec<SocketAddr>> + Send + 'static,
) -> Result<Vec<SocketAddr>, NetError> {
    let failed = |cause: String| NetError::Resolve { host: host.to_owned(), cause };
    let (send, answer) = mpsc::channel();
    let look_up = move || {
        let found = look_up();
        // Nobody listens any more where the wait has ended.
        drop(send.send(found));
    };
    thread::Builder::new().name("resolve".into()).spawn(look_up).map_err(NetError::Io)?;
    let deadline = Instant::now() + timeout;
    loop {
        match answer.recv_timeout(SLICE) {
            Ok(Ok(addresses)) => return Ok(addresses),
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Err(RecvTimeoutError::Disconnected) => return Err(failed("the resolver failed".into())),
            Err(RecvTimeoutError::Timeout) if stop.is_set() => return Err(NetError::Stopped),
            Err(RecvTimeoutError::Timeout) if Instant::now() >= deadline => {
                return Err(failed("the name server does not answer".into()));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Keeps the resolver's order, but takes the families in turn.
fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|addr| addr.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut mixed = Vec::new();
    loop {
        let pair = (first.next(), second.next());
        if pair == (None, None) {
            return mixed;
        }
        mixed.extend(pair.0);
        mixed.extend(pair.1);
    }
}

/// Attempts at several addresses, of which the first that connects wins.
struct Race<'a> {
    waiting: std::slice::Iter<'a, SocketAddr>,
    started: Vec<Attempt>,
    failed: Vec<(SocketAddr, String)>,
    /// How long an attempt may take.
    timeout: Duration,
    /// When the next address is due, at the latest.
    next: Instant,
}

struct Attempt {
    socket: Socket,
    address: SocketAddr,
    since: Instant,
}

impl<'a> Race<'a> {
    fn new(addresses: &'a [SocketAddr], timeout: Duration) -> Race<'a> {
        Race { waiting: addresses.iter(), started: Vec::new(), failed: Vec::new(), timeout, next: Instant::now() }
    }

    /// Starts on the next address as soon as one failed or has had its head start. The winner, whose rivals are closed;
    /// or why every address failed.
    fn run(mut self, stop: &Stop) -> Result<Result<TcpStream, Vec<(SocketAddr, String)>>, NetError> {
        loop {
            if stop.is_set() {
                return Err(NetError::Stopped);
            }
            self.begin();
            if self.started.is_empty() {
                return Ok(Err(self.failed));
            }
            self.wait()?;
            if let Some(winner) = self.judge() {
                return finish(winner).map(Ok);
            }
        }
    }

    /// Begins as many attempts as are due.
    fn begin(&mut self) {
        while self.started.is_empty() || Instant::now() >= self.next {
            let Some(&address) = self.waiting.next() else { return };
            let since = Instant::now();
            match start(&address) {
                Ok(socket) => {
                    self.started.push(Attempt { socket, address, since });
                    self.next = since + HEAD_START;
                }
                Err(error) => self.failed.push((address, error.to_string())),
            }
        }
    }

    /// Waits until something happened to an attempt, or the next one is due.
    fn wait(&self) -> Result<(), NetError> {
        let mut fds: Vec<PollFd<'_>> =
            self.started.iter().map(|one| PollFd::from_borrowed_fd(one.socket.as_fd(), PollFlags::OUT)).collect();
        let due = match self.waiting.len() {
            0 => LOOK,
            _ => self.next.saturating_duration_since(Instant::now()).min(LOOK),
        };
        let time = Timespec { tv_sec: 0, tv_nsec: i64::from(due.subsec_nanos()) };
        match poll(&mut fds, Some(&time)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(NetError::Io(error.into())),
        }
    }

    /// Takes the one that connected, and drops those that failed; the next address is due at once then.
    fn judge(&mut self) -> Option<Socket> {
        let mut at = 0;
        while let Some(attempt) = self.started.get(at) {
            let failure = match outcome(&attempt.socket) {
                Ok(true) => return Some(self.started.swap_remove(at).socket),
                Ok(false) if attempt.since.elapsed() < self.timeout => {
                    at += 1;
                    continue;
                }
                Ok(false) => format!("no answer for {} seconds", self.timeout.as_secs_f32().round()),
                Err(error) => error.to_string(),
            };
            self.failed.push((self.started.remove(at).address, failure));
            self.next = Instant::now();
        }
        None
    }
}

fn start(address: &SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(*address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    match socket.connect(&(*address).into()) {
        Ok(()) => Ok(socket),
        Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => Ok(socket),
        Err(error) => Err(error),
    }
}

/// Whether the connection stands.
fn outcome(socket: &Socket) -> io::Result<bool> {
    match socket.take_error()? {
        Some(error) => Err(error),
        None => Ok(socket.peer_addr().is_ok()),
    }
}

fn finish(socket: Socket) -> Result<TcpStream, NetError> {
    let stream = TcpStream::from(socket);
    tune(&stream).map_err(NetError::Io)?;
    Ok(stream)
}

/// Small commands leave at once, and a peer that is gone is noticed without anybody asking.
fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let probes = TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15));
    socket.set_tcp_keepalive(&probes)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn families_take_turns() {
        let parse = |list: &[&str]| list.iter().map(|a| a.parse().expect("an address")).collect::<Vec<SocketAddr>>();
        let given = parse(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]);
        assert_eq!(alternate(given), parse(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]));
    }

    const LONG: Duration = Duration::from_secs(20);

    fn listener(at: &str) -> Listening {
        let listener = TcpListener::bind((at, 0)).expect("bind");
        listener.set_nonblocking(true).expect("do not block in accept");
        Listening { address: listener.local_addr().expect("address"), listener }
    }

    struct Listening {
        listener: TcpListener,
        address: SocketAddr,
    }

    /// An address that refuses.
    fn closed(at: &str) -> SocketAddr {
        listener(at).address
    }

    /// An address that does not answer: nobody takes the connections that were made to it, and no more fit.
    fn silent(at: &str) -> (SocketAddr, Vec<Socket>) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a socket");
        let any: SocketAddr = format!("{at}:0").parse().expect("an address");
        socket.bind(&any.into()).expect("bind");
        socket.listen(0).expect("listen");
        let address = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
        let mut held = vec![socket];
        loop {
            let one = start(&address).expect("begins");
            let mut fds = [PollFd::new(&one, PollFlags::OUT)];
            let answered = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 300_000_000 })).expect("waits");
            held.push(one);
            if answered == 0 {
                return (address, held);
            }
        }
    }

    fn race(addresses: &[SocketAddr], timeout: Duration) -> Result<SocketAddr, Vec<(SocketAddr, String)>> {
        let outcome = Race::new(addresses, timeout).run(&Stop::new()).expect("it comes to an end");
        outcome.map(|stream| stream.peer_addr().expect("a peer"))
    }

    #[test]
    fn an_address_that_refuses_is_followed_by_the_next_at_once() {
        let alive = listener("127.0.0.1");
        let mut addresses: Vec<SocketAddr> = (2..42).map(|host| closed(&format!("127.0.0.{host}"))).collect();
        addresses.push(alive.address);
        let begin = Instant::now();
        assert_eq!(race(&addresses, LONG), Ok(alive.address));
        // With a head start for each it would have taken ten seconds.
        assert!(begin.elapsed() < HEAD_START * 20, "{:?}", begin.elapsed());
    }

    #[test]
    fn an_address_that_is_silent_has_a_head_start_and_no_more() {
        let (alive, (silent, _held)) = (listener("127.0.0.1"), silent("127.0.0.2"));
        let begin = Instant::now();
        assert_eq!(race(&[silent, alive.address], LONG), Ok(alive.address));
        assert!(begin.elapsed() >= HEAD_START && begin.elapsed() < LONG, "{:?}", begin.elapsed());
    }

    #[test]
    fn the_first_that_connects_is_the_only_one_that_is_used() {
        let (first, second) = (listener("127.0.0.1"), listener("127.0.0.2"));
        assert_eq!(race(&[first.address, second.address], LONG), Ok(first.address));
        assert!(first.listener.accept().is_ok());
        assert!(second.listener.accept().is_err());
    }

    #[test]
    fn both_families_are_tried() {
        let four = listener("127.0.0.1");
        // A machine without version 6 refuses this address in its own way.
        let six = match TcpListener::bind("[::1]:0") {
            Ok(gone) => gone.local_addr().expect("an address"),
            Err(_) => "[::1]:9".parse().expect("an address"),
        };
        assert_eq!(race(&[six, four.address], LONG), Ok(four.address));
    }

    #[test]
    fn all_failures_are_told_with_their_addresses() {
        let (silent, _held) = silent("127.0.0.2");
        let closed = closed("127.0.0.3");
        let failures = race(&[silent, closed], Duration::from_millis(400)).expect_err("nobody there");
        let of = |address| failures.iter().find(|(one, _)| *one == address).map(|(_, why)| why.as_str());
        assert_eq!(failures.len(), 2);
        assert!(of(closed).is_some_and(|why| why.contains("refused")), "{failures:?}");
        assert!(of(silent).is_some_and(|why| why.starts_with("no answer for")), "{failures:?}");
    }

    #[test]
    fn the_wish_to_stop_ends_the_attempts() {
        let (silent, _held) = silent("127.0.0.2");
        let stop = Stop::new();
        stop.set();
        assert!(matches!(Race::new(&[silent], LONG).run(&stop), Err(NetError::Stopped)));
    }

    #[test]
    fn a_connection_sends_at_once_and_notices_a_dead_line() {
        let alive = listener("127.0.0.1");
        let stream = Race::new(&[alive.address], LONG).run(&Stop::new()).expect("an end").expect("connects");
        assert!(stream.nodelay().expect("an option") && SockRef::from(&stream).keepalive().expect("an option"));
    }

    #[test]
    fn failures_name_the_host() {
        let error = connect("no-such-host.invalid", 143, Family::Any, Duration::from_secs(20), &Stop::new())
            .expect_err("no host");
        assert!(matches!(error, NetError::Resolve { .. }) && error.to_string().contains("no-such-host.invalid"));
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let error =
            connect("127.0.0.1", port, Family::Any, Duration::from_secs(5), &Stop::new()).expect_err("nobody there");
        let told = format!("can't connect to 127.0.0.1 port {port}: Connection refused");
        assert!(error.to_string().starts_with(&told), "{error}");
        let error =
            connect("localhost", port, Family::Any, Duration::from_secs(5), &Stop::new()).expect_err("nobody there");
        assert!(error.to_string().contains("127.0.0.1: Connection refused"), "{error}");
    }

    #[test]
    fn a_name_server_that_does_not_answer_is_waited_for_no_longer_than_told() {
        let asked = |timeout, stop: &Stop| {
            let (hold, held) = mpsc::channel::<()>();
            let silent = move || held.recv().map(|()| Vec::new()).map_err(io::Error::other);
            let begin = Instant::now();
            let error = answered("h", timeout, stop, silent).expect_err("no answer");
            drop(hold);
            assert!(begin.elapsed() < LONG);
            error.to_string()
        };
        assert!(asked(Duration::from_millis(100), &Stop::new()).ends_with("the name server does not answer"));
        let stop = Stop::new();
        stop.set();
        assert_eq!(asked(LONG * 10, &stop), NetError::Stopped.to_string());
    }

    #[test]
    fn addresses_of_the_other_family_are_not_used() {
        let connect = |host: &str, family| connect(host, 9, family, LONG, &Stop::new()).map(drop);
        for (host, family, kind) in [("127.0.0.1", Family::V6, "IPv6"), ("[::1]", Family::V4, "IPv4")] {
            let error = connect(host, family).expect_err("no such address");
            assert!(error.to_string().ends_with(&format!("it has no {kind} address")), "{error}");
        }
        let error = connect("localhost", Family::V4).expect_err("nobody there");
        assert!(!error.to_string().contains("::1"), "{error}");
    }
}
