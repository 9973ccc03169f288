//! Making a TCP connection: names, addresses of both families, deadlines.

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

/// How long an address may take before the next one is tried beside it (RFC 8305 section 5: 250 ms).
const HEAD_START: Duration = Duration::from_millis(300);

/// How long what we sent may stay unacknowledged before the line counts as dead.
const USER_TIMEOUT: Duration = Duration::from_secs(90);

/// Connects to the first address of `host` that answers. The socket is non-blocking. `timeout` counts for looking up
/// the name, and again for each address.
pub(super) fn connect(host: &str, port: u16, timeout: Duration, stop: &Stop) -> Result<TcpStream, NetError> {
    let addresses = alternate(resolve(host, port, timeout, stop)?);
    match connect_any(&addresses, timeout, stop) {
        Err(NetError::Io(error)) => Err(NetError::Connect { host: host.to_owned(), port, cause: error.to_string() }),
        Err(NetError::Timeout(time)) => {
            let cause = format!("no answer for {} seconds", time.as_secs_f32().round());
            Err(NetError::Connect { host: host.to_owned(), port, cause })
        }
        other => other,
    }
}

/// The system's resolver can't be interrupted: it gets a thread, which is left behind where it takes too long.
fn resolve(host: &str, port: u16, timeout: Duration, stop: &Stop) -> Result<Vec<SocketAddr>, NetError> {
    let failed = |cause: String| NetError::Resolve { host: host.to_owned(), cause };
    let (send, answer) = mpsc::channel();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let name = (bare.to_owned(), port);
    let lookup = move || {
        let found = name.to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        // Nobody listens any more where the wait has ended.
        drop(send.send(found));
    };
    thread::Builder::new().name("resolve".into()).spawn(lookup).map_err(NetError::Io)?;
    let deadline = Instant::now() + timeout;
    loop {
        match answer.recv_timeout(SLICE) {
            Ok(Ok(addresses)) if addresses.is_empty() => return Err(failed("it has none".into())),
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

/// Starts on the next address as soon as one failed or took longer than its head start; the first to answer wins.
fn connect_any(addresses: &[SocketAddr], timeout: Duration, stop: &Stop) -> Result<TcpStream, NetError> {
    let mut waiting = addresses.iter();
    let mut started: Vec<(Socket, Instant)> = Vec::new();
    let mut failure = NetError::Timeout(timeout);
    let mut next_start = Instant::now();
    loop {
        if stop.is_set() {
            return Err(NetError::Stopped);
        }
        let now = Instant::now();
        if now >= next_start || started.is_empty() {
            match waiting.next() {
                Some(address) => {
                    next_start = now + HEAD_START;
                    match start(address) {
                        Ok(socket) => started.push((socket, now)),
                        Err(error) => {
                            failure = NetError::Io(error);
                            next_start = now;
                            continue;
                        }
                    }
                }
                None if started.is_empty() => return Err(failure),
                None => {}
            }
        }
        let before = started.len();
        wait_writable(&started)?;
        let mut at = 0;
        while at < started.len() {
            match outcome(&started[at].0) {
                Ok(true) => return finish(started.swap_remove(at).0),
                Ok(false) if started[at].1.elapsed() < timeout => at += 1,
                Ok(false) => drop(started.remove(at)),
                Err(error) => {
                    failure = NetError::Io(error);
                    started.remove(at);
                }
            }
        }
        if started.len() < before {
            next_start = Instant::now();
        }
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

fn wait_writable(started: &[(Socket, Instant)]) -> Result<(), NetError> {
    let mut fds: Vec<PollFd<'_>> =
        started.iter().map(|(s, _)| PollFd::from_borrowed_fd(s.as_fd(), PollFlags::OUT)).collect();
    let slice = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    match poll(&mut fds, Some(&slice)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(NetError::Io(error.into())),
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

    #[test]
    fn an_address_that_refuses_is_followed_by_the_next_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let dead = {
            let gone = TcpListener::bind("127.0.0.1:0").expect("bind");
            gone.local_addr().expect("address")
        };
        let alive = listener.local_addr().expect("address");
        let begin = Instant::now();
        let stream = connect_any(&[dead, dead, alive], Duration::from_secs(5), &Stop::new()).expect("connects");
        assert_eq!(stream.peer_addr().expect("peer"), alive);
        assert!(begin.elapsed() < Duration::from_secs(1));
        assert!(matches!(connect_any(&[dead], Duration::from_secs(5), &Stop::new()), Err(NetError::Io(_))));
    }

    #[test]
    fn failures_name_the_host() {
        let error = connect("no-such-host.invalid", 143, Duration::from_secs(20), &Stop::new()).expect_err("no host");
        assert!(matches!(error, NetError::Resolve { .. }) && error.to_string().contains("no-such-host.invalid"));
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let error = connect("127.0.0.1", port, Duration::from_secs(5), &Stop::new()).expect_err("nobody there");
        assert!(error.to_string().starts_with(&format!("can't connect to 127.0.0.1 port {port}: ")), "{error}");
    }
}
