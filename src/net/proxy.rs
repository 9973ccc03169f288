//! Proxies: SOCKS5 (RFC 1928, RFC 1929) and HTTP CONNECT (RFC 9110 section 9.3.6).

use super::route::Family;
use super::transport::{SLICE, poll_one};
use super::{NetError, Stop, connect};
use crate::mail::Secret;
use base64ct::{Base64, Encoding};
use rustix::event::PollFlags;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::{Duration, Instant};

/// No answer to CONNECT is longer, in bytes.
const MAX_ANSWER: usize = 16 << 10;
const HINT: &str = "check `proxy`, and what it lets through";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// SOCKS5; whether the proxy looks the host's name up.
    Socks5 {
        names: bool,
    },
    Http,
}

/// The schemes that there are, with the usual port.
const SCHEMES: [(&str, Kind, u16); 3] = [
    ("socks5h", Kind::Socks5 { names: true }, 1080),
    ("socks5", Kind::Socks5 { names: false }, 1080),
    ("http", Kind::Http, 8080),
];

/// Who leads us to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    kind: Kind,
    host: String,
    port: u16,
    login: Option<(String, Secret)>,
}

impl Proxy {
    /// Reads `socks5h://[USER:PASSWORD@]HOST[:PORT]`, where the scheme is `socks5h`, `socks5` or `http`. In user and
    /// password, `%HH` is a byte. The error says what is wrong, and shows nothing of what may be a password.
    pub fn parse(text: &str) -> Result<Proxy, String> {
        let known = "use socks5h://HOST:PORT, socks5://HOST:PORT or http://HOST:PORT";
        let Some((scheme, rest)) = text.trim().split_once("://") else {
            return Err(format!("not a proxy's URL: {known}"));
        };
        let Some((_, kind, usual)) = SCHEMES.iter().find(|(name, ..)| name.eq_ignore_ascii_case(scheme)) else {
            return Err(format!("no such kind of proxy: {:?}; {known}", scheme));
        };
        let (login, place) = match rest.trim_end_matches('/').rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, rest.trim_end_matches('/')),
        };
        let login = match login {
            None => None,
            Some(login) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                let decoded = decode(user).zip(decode(password));
                let (user, password) = decoded.ok_or("user or password of the proxy: `%` stands before two digits")?;
                let fits = |text: &str| (1..=255).contains(&text.len());
                if *kind != Kind::Http && !(fits(&user) && fits(&password)) {
                    return Err("user and password of a SOCKS proxy have 1 to 255 bytes".to_owned());
                }
                Some((user, Secret::new(password)))
            }
        };
        // An IPv6 address has colons of its own, and stands in brackets.
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                let port = port.parse().ok().filter(|port| *port > 0);
                (host, port.ok_or_else(|| "the proxy's port is a number from 1 to 65535".to_owned())?)
            }
            _ => (place, *usual),
        };
        let odd = |c: char| c.is_whitespace() || c.is_control() || c == '/';
        match host.is_empty() || host.chars().any(odd) {
            true => Err(format!("the proxy has no host: {known}")),
            false => Ok(Proxy { kind: *kind, host: host.to_owned(), port, login }),
        }
    }

    /// Connects to the proxy, and has it connect to the host. `timeout` counts for each step.
    pub(super) fn connect(
        &self,
        host: &str,
        port: u16,
        family: Family,
        timeout: Duration,
        stop: &Stop,
    ) -> Result<TcpStream, NetError> {
        let bare = host.trim_matches(['[', ']']);
        let targets = match self.kind {
            Kind::Socks5 { names: false } if bare.parse::<IpAddr>().is_err() => {
                let addresses = connect::addresses(host, port, family, timeout, stop)?;
                addresses.iter().map(|address| address.ip().to_string()).collect()
            }
            _ => vec![bare.to_owned()],
        };
        let mut last = None;
        for target in targets {
            // The proxy itself is found by any address that it has.
            let stream = connect::connect(&self.host, self.port, Family::Any, timeout, stop);
            let stream = stream.map_err(|error| self.broken(error))?;
            let mut talk = Talk { stream, timeout, begun: Instant::now(), stop };
            let led = match self.kind {
                Kind::Socks5 { .. } => self.socks5(&mut talk, &target, port),
                Kind::Http => self.http(&mut talk, &target, port),
            };
            match led {
                Ok(()) => return Ok(talk.stream),
                Err(Led::Broken(error)) => return Err(self.broken(error)),
                Err(Led::Refused(cause)) => last = Some(self.error(cause)),
            }
        }
        Err(last.unwrap_or_else(|| self.error(format!("{host} has no address"))))
    }

    /// A failure of the line to the proxy, which is not the server.
    fn broken(&self, error: NetError) -> NetError {
        match error {
            NetError::Stopped => NetError::Stopped,
            NetError::Closed => self.error("it closed the connection".to_owned()),
            NetError::Connect { cause, .. } => self.error(format!("can't connect to it: {cause}")),
            error => self.error(error.to_string()),
        }
    }

    fn error(&self, cause: String) -> NetError {
        NetError::Proxy { proxy: self.to_string(), cause, hint: HINT }
    }

    fn socks5(&self, talk: &mut Talk<'_>, host: &str, port: u16) -> Result<(), Led> {
        const NONE: u8 = 0;
        const PASSWORD: u8 = 2;
        let methods: &[u8] = if self.login.is_some() { &[5, 2, NONE, PASSWORD] } else { &[5, 1, NONE] };
        talk.send(methods)?;
        match (talk.take::<2>()?, &self.login) {
            ([5, NONE], _) => {}
            ([5, PASSWORD], Some((user, password))) => {
                let password = password.expose().as_bytes();
                let lengths = [user.len() as u8, password.len() as u8];
                talk.send(&[&[1, lengths[0]], user.as_bytes(), &[lengths[1]], password].concat())?;
                if talk.take::<2>()?[1] != 0 {
                    return Err(Led::Refused("it does not take the user and password of `proxy`".to_owned()));
                }
            }
            ([5, 0xff | PASSWORD], None) => {
                return Err(Led::Refused("it wants a login: socks5h://USER:PASSWORD@HOST:PORT".to_owned()));
            }
            ([5, _], _) => return Err(Led::Refused("it takes none of the ways to log in that we have".to_owned())),
            _ => return Err(Led::Refused("it does not speak SOCKS5".to_owned())),
        }
        let address = match host.parse() {
            Ok(IpAddr::V4(four)) => [&[1][..], &four.octets()].concat(),
            Ok(IpAddr::V6(six)) => [&[4][..], &six.octets()].concat(),
            Err(_) => {
                let length = u8::try_from(host.len());
                let length = length.map_err(|_| Led::Refused("it takes no host name of over 255 bytes".to_owned()))?;
                [&[3, length], host.as_bytes()].concat()
            }
        };
        talk.send(&[&[5, 1, 0], &address[..], &port.to_be_bytes()].concat())?;
        let [version, reply, _, kind] = talk.take::<4>()?;
        if (version, reply) != (5, 0) {
            return Err(Led::Refused(refusal(reply, host, port)));
        }
        // Where it connected from: of no use.
        match kind {
            1 => drop(talk.take::<6>()?),
            4 => drop(talk.take::<18>()?),
            3 => {
                let [length] = talk.take::<1>()?;
                for _ in 0..usize::from(length) + 2 {
                    talk.take::<1>()?;
                }
            }
            _ => return Err(Led::Refused("its answer can't be read".to_owned())),
        }
        Ok(())
    }

    fn http(&self, talk: &mut Talk<'_>, host: &str, port: u16) -> Result<(), Led> {
        let place = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let login = self.login.as_ref().map_or(String::new(), |(user, password)| {
            let pair = format!("{user}:{}", password.expose());
            format!("Proxy-Authorization: Basic {}\r\n", Base64::encode_string(pair.as_bytes()))
        });
        let request = Secret::new(format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{login}\r\n"));
        talk.send(request.expose().as_bytes())?;
        // A byte at a time: what comes behind the empty line is the server's.
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() == MAX_ANSWER {
                return Err(Led::Refused("it does not speak HTTP".to_owned()));
            }
            answer.extend(talk.take::<1>()?);
        }
        let text = String::from_utf8_lossy(&answer);
        let line = text.lines().next().unwrap_or_default();
        let status = line.split(' ').nth(1).unwrap_or_default();
        match (line.starts_with("HTTP/1."), status) {
            (true, status) if status.len() == 3 && status.starts_with('2') => Ok(()),
            (true, "407") if self.login.is_none() => {
                Err(Led::Refused("it wants a login: http://USER:PASSWORD@HOST:PORT".to_owned()))
            }
            (true, "407") => Err(Led::Refused("it does not take the user and password of `proxy`".to_owned())),
            (true, _) => {
                let said: String = line.chars().filter(|c| !c.is_control()).take(100).collect();
                Err(Led::Refused(format!("it does not connect to {place}: {said}")))
            }
            (false, _) => Err(Led::Refused("it does not speak HTTP".to_owned())),
        }
    }
}

/// Without user and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = SCHEMES.iter().find(|(_, kind, _)| *kind == self.kind).map_or("", |(name, ..)| name);
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// Why a proxy did not connect (RFC 1928 section 6).
fn refusal(reply: u8, host: &str, port: u16) -> String {
    let why = match reply {
        1 => "it failed",
        2 => "its rules do not allow it",
        3 => "the network can't be reached",
        4 => "the host can't be reached",
        5 => "the connection was refused",
        6 => "it took too long",
        7 => "it can't make connections",
        8 => "it does not take that kind of address",
        _ => "it does not say why",
    };
    format!("it does not connect to {host} port {port}: {why}")
}

/// Bytes for `%HH`; `None` where that is no text.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        bytes.push((digit()? * 16 + digit()?) as u8);
    }
    String::from_utf8(bytes).ok()
}

/// Why there is no connection.
enum Led {
    /// By what the proxy says.
    Refused(String),
    Broken(NetError),
}

impl From<NetError> for Led {
    fn from(error: NetError) -> Led {
        Led::Broken(error)
    }
}

/// What is said with a proxy, before the line is the server's.
struct Talk<'a> {
    stream: TcpStream,
    timeout: Duration,
    begun: Instant,
    stop: &'a Stop,
}

impl Talk<'_> {
    fn send(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) => self.wait(error, PollFlags::OUT)?,
            }
        }
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], NetError> {
        let mut taken = [0; N];
        let mut filled = 0;
        while filled < N {
            match self.stream.read(&mut taken[filled..]) {
                Ok(0) => return Err(NetError::Closed),
                Ok(count) => filled += count,
                Err(error) => self.wait(error, PollFlags::IN)?,
            }
        }
        Ok(taken)
    }

    /// Waits where nothing can be done now; fails where that lasts too long, or where it never will.
    fn wait(&self, error: io::Error, until: PollFlags) -> Result<(), NetError> {
        match error.kind() {
            io::ErrorKind::Interrupted => return Ok(()),
            io::ErrorKind::WouldBlock => {}
            _ => return Err(NetError::Io(error)),
        }
        if self.stop.is_set() {
            return Err(NetError::Stopped);
        }
        if self.begun.elapsed() >= self.timeout {
            return Err(NetError::Timeout(self.timeout));
        }
        poll_one(&self.stream, until, SLICE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread::{self, JoinHandle};

    #[test]
    fn urls_are_read_in_all_their_forms() {
        for (text, shown) in [
            ("socks5h://127.0.0.1:9050", "socks5h://127.0.0.1:9050"),
            ("SOCKS5://proxy.example", "socks5://proxy.example:1080"),
            ("http://u%3a:p%40%2f@[::1]:3128/", "http://[::1]:3128"),
            ("http://[::1]", "http://[::1]:8080"),
        ] {
            assert_eq!(Proxy::parse(text).map(|proxy| proxy.to_string()), Ok(shown.to_owned()), "{text}");
        }
        let proxy = Proxy::parse("http://u%3a:p%40%2f@h").expect("a proxy");
        assert_eq!(proxy.login, Some(("u:".to_owned(), Secret::new("p@/"))));
        assert!(!format!("{proxy:?} {proxy}").contains("p@/"));
    }

    #[test]
    fn what_is_no_proxy_is_explained_without_its_password() {
        for (text, why) in [
            ("127.0.0.1:9050", "not a proxy's URL"),
            ("ftp://u:sesame@h", "no such kind"),
            ("http://", "no host"),
            ("http://u:sesame@h:0", "from 1 to 65535"),
            ("http://u:sesame@h:http", "from 1 to 65535"),
            ("http://u:sesame%@h", "two digits"),
            ("socks5://u@h", "1 to 255"),
            ("http://a b", "no host"),
        ] {
            let error = Proxy::parse(text).expect_err(text);
            assert!(error.contains(why) && !error.contains("sesame"), "{text}: {error}");
        }
    }

    /// A proxy that hears and says what it is told to, then a greeting. What it hears is compared.
    fn proxy(steps: Vec<(Vec<u8>, Vec<u8>)>) -> (u16, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("an address").port();
        let play = move || {
            let (mut stream, _) = listener.accept().expect("somebody comes");
            for (heard, said) in steps {
                let mut bytes = vec![0; heard.len()];
                stream.read_exact(&mut bytes).expect("they speak");
                assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(&heard));
                stream.write_all(&said).expect("they listen");
            }
        };
        (port, thread::spawn(play))
    }

    fn lead(url: &str, steps: &[(&[u8], &[u8])], to: &str) -> Result<String, String> {
        let (port, played) = proxy(steps.iter().map(|(heard, said)| (heard.to_vec(), said.to_vec())).collect());
        let proxy = Proxy::parse(&url.replace("PORT", &port.to_string())).expect("a proxy");
        let led = proxy.connect(to, 993, Family::Any, Duration::from_secs(10), &Stop::new());
        played.join().expect("it heard what it should");
        let mut stream = led.map_err(|error| error.to_string())?;
        stream.set_nonblocking(false).expect("block");
        let mut rest = String::new();
        stream.read_to_string(&mut rest).expect("the greeting");
        Ok(rest)
    }

    #[test]
    fn socks5_leads_to_names_and_addresses() {
        let hello = |kind: &'static [u8]| [&[5, 0, 0], kind, b"* OK hello"].concat();
        let asked = [&[5, 1, 0, 3, 16][..], b"imap.example.org", &993_u16.to_be_bytes()].concat();
        let four = hello(&[1, 1, 2, 3, 4, 9, 9]);
        let steps: [(&[u8], &[u8]); 2] = [(&[5, 1, 0], &[5, 0]), (&asked, &four)];
        assert_eq!(lead("socks5h://127.0.0.1:PORT", &steps, "imap.example.org"), Ok("* OK hello".to_owned()));
        let asked = [&[5, 1, 0, 4][..], &[0; 15], &[1], &993_u16.to_be_bytes()].concat();
        let name = hello(&[3, 2, b'h', b'h', 9, 9]);
        let steps: [(&[u8], &[u8]); 2] = [(&[5, 1, 0], &[5, 0]), (&asked, &name)];
        assert_eq!(lead("socks5h://127.0.0.1:PORT", &steps, "[::1]"), Ok("* OK hello".to_owned()));
        let asked = [&[5, 1, 0, 1, 127, 0, 0, 1][..], &993_u16.to_be_bytes()].concat();
        let steps: [(&[u8], &[u8]); 3] = [(&[5, 2, 0, 2], &[5, 2]), (b"\x01\x02me\x03key", &[1, 0]), (&asked, &four)];
        assert_eq!(lead("socks5://me:key@127.0.0.1:PORT", &steps, "127.0.0.1"), Ok("* OK hello".to_owned()));
    }

    #[test]
    fn what_a_socks5_proxy_refuses_is_told() {
        let asked = [&[5, 1, 0, 1, 127, 0, 0, 1][..], &993_u16.to_be_bytes()].concat();
        let refused: [(&[u8], &[u8]); 2] = [(&[5, 1, 0], &[5, 0]), (&asked, &[5, 5, 0, 1, 0, 0, 0, 0, 0, 0])];
        for (url, steps, why) in [
            (
                "socks5h://127.0.0.1:PORT",
                &refused[..],
                "does not connect to 127.0.0.1 port 993: the connection was refused",
            ),
            ("socks5h://127.0.0.1:PORT", &[(&[5, 1, 0], &[5, 0xff])], "it wants a login"),
            ("socks5h://127.0.0.1:PORT", &[(&[5, 1, 0], b"HT")], "it does not speak SOCKS5"),
            (
                "socks5h://me:key@127.0.0.1:PORT",
                &[(&[5, 2, 0, 2], &[5, 2]), (b"\x01\x02me\x03key", &[1, 1])],
                "does not take the user and password",
            ),
        ] {
            let error = lead(url, steps, "127.0.0.1").expect_err(why);
            assert!(error.contains(why) && error.starts_with("the proxy socks5h://127.0.0.1:"), "{error}");
        }
    }

    #[test]
    fn http_connect_leads_on_and_takes_nothing_of_what_follows() {
        let ask =
            |login: &str| format!("CONNECT imap.example.org:993 HTTP/1.1\r\nHost: imap.example.org:993\r\n{login}\r\n");
        let ok = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n* OK hello";
        let without = ask("");
        let steps: [(&[u8], &[u8]); 1] = [(without.as_bytes(), ok)];
        assert_eq!(lead("http://127.0.0.1:PORT", &steps, "imap.example.org"), Ok("* OK hello".to_owned()));
        let with = ask("Proxy-Authorization: Basic bWU6a2V5\r\n");
        let steps: [(&[u8], &[u8]); 1] = [(with.as_bytes(), ok)];
        assert_eq!(lead("http://me:key@127.0.0.1:PORT", &steps, "imap.example.org"), Ok("* OK hello".to_owned()));
        for (said, why) in [
            ("HTTP/1.1 403 Forbidden\r\n\r\n", "it does not connect to imap.example.org:993: HTTP/1.1 403 Forbidden"),
            ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "it wants a login"),
            ("* OK this is IMAP\r\n\r\n", "it does not speak HTTP"),
        ] {
            let steps: [(&[u8], &[u8]); 1] = [(without.as_bytes(), said.as_bytes())];
            let error = lead("http://127.0.0.1:PORT", &steps, "imap.example.org").expect_err(why);
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_proxy_that_is_silent_or_goes_away_costs_no_more_than_the_deadline() {
        let (port, played) = proxy(vec![(vec![5, 1, 0], Vec::new())]);
        let proxy = Proxy::parse(&format!("socks5h://127.0.0.1:{port}")).expect("a proxy");
        let connect = |timeout| proxy.connect("h", 993, Family::Any, timeout, &Stop::new()).map(drop);
        let closed = connect(Duration::from_secs(10)).expect_err("it went away").to_string();
        assert!(closed.ends_with("it closed the connection"), "{closed}");
        played.join().expect("it heard what it should");
        let silent = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = silent.local_addr().expect("an address").port();
        let proxy = Proxy::parse(&format!("http://127.0.0.1:{port}")).expect("a proxy");
        let failed = proxy.connect("h", 993, Family::Any, Duration::from_millis(300), &Stop::new()).map(drop);
        assert_eq!(
            failed.expect_err("no answer").to_string(),
            format!("the proxy http://127.0.0.1:{port}: no answer for 0 seconds")
        );
    }
}
