//! Lines to servers: sockets, TLS, deadlines, and the signal to stop.

mod certificate;
mod connect;
mod connector;
mod deflate;
mod identity;
mod input;
mod meter;
mod proxy;
mod route;
mod stream;
pub mod tls;
pub mod transport;
mod wirelog;

#[cfg(test)]
mod tests;

pub use connector::{look_authorities_up, trusts_bundle};
pub use identity::ClientCertificate;
pub use proxy::Proxy;
pub use route::{Family, Route};
pub use stream::wait_for_tunnels;
pub use tls::{Pin, Subject, TlsMode, TlsSettings, TlsVersion};
pub use transport::{Transport, Waited};
pub use wirelog::{Mask, NOT_SHOWN, WireLog};

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// The user's wish to stop: shared by all threads of a run, looked at between steps and while waiting.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    flag: Arc<AtomicBool>,
    shakes: Arc<AtomicU32>,
}

impl Stop {
    pub fn new() -> Stop {
        Stop::default()
    }

    /// A stop that is set when `flag` is: for signal handlers.
    pub fn from_flag(flag: Arc<AtomicBool>) -> Stop {
        Stop { flag, shakes: Arc::default() }
    }

    pub fn set(&self) {
        self.flag.store(true, Ordering::SeqCst);
    }

    pub fn is_set(&self) -> bool {
        self.flag.load(Ordering::SeqCst)
    }

    /// Tells those who wait for an answer that their lines may have broken without a sign: another network, or the machine
    /// slept. They wait for some seconds more and no longer.
    pub fn shake(&self) {
        self.shakes.fetch_add(1, Ordering::SeqCst);
    }

    /// How often that was told.
    pub fn shakes(&self) -> u32 {
        self.shakes.load(Ordering::SeqCst)
    }
}

/// A failure of the line to a server.
#[derive(Debug)]
pub enum NetError {
    /// The host's name can't be turned into an address.
    Resolve {
        host: String,
        cause: String,
    },
    /// No address of the host took the connection; the last address's failure.
    Connect {
        host: String,
        port: u16,
        cause: String,
    },
    /// The tunnel's command can't be started.
    Tunnel {
        command: String,
        cause: io::Error,
    },
    Io(io::Error),
    /// The peer closed the line.
    Closed,
    /// Nothing moved for this long.
    Timeout(Duration),
    /// A line longer than this many bytes.
    LongLine(usize),
    /// The line can't be protected, and what can be done about it.
    Tls {
        cause: String,
        hint: Option<String>,
    },
    /// The line broke before it was protected.
    Handshake {
        cause: String,
    },
    /// The server's certificate is not trusted, and what can be done about it.
    Untrusted {
        cause: String,
        hint: String,
    },
    /// The proxy, by its address, does not let us through.
    Proxy {
        proxy: String,
        cause: String,
        hint: &'static str,
    },
    /// The user asked to stop.
    Stopped,
}

/// What to do where a server asks who we are.
const WANTS_CLIENT: &str = "the server wants a certificate of yours: see client_cert";

impl NetError {
    /// The one thing to do about it, if there is one.
    pub fn hint(&self) -> Option<&str> {
        match self {
            NetError::Tls { hint, .. } => hint.as_deref(),
            NetError::Untrusted { hint, .. } => Some(hint),
            NetError::Proxy { hint, .. } => Some(hint),
            // With TLS 1.3 the server says so after the handshake, in answer to nothing.
            NetError::Io(error) if error.to_string().contains("certificate required") => Some(WANTS_CLIENT),
            NetError::Resolve { .. } => Some("check the spelling of host, and the network"),
            NetError::Connect { .. } => Some("check host, port and the network"),
            _ => None,
        }
    }
}

impl NetError {
    /// Adds what the certificate that is not trusted says of itself, if another look at it succeeded.
    pub fn showing_if(self, shown: Result<String, NetError>) -> NetError {
        match (self, shown) {
            (NetError::Untrusted { cause, hint }, Ok(shown)) => {
                NetError::Untrusted { cause: format!("{cause}; it is {shown}"), hint }
            }
            (error, _) => error,
        }
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetError::Resolve { host, cause } => write!(f, "can't find the address of {host}: {cause}"),
            NetError::Connect { host, port, cause } => write!(f, "can't connect to {host} port {port}: {cause}"),
            NetError::Tunnel { command, cause } => write!(f, "can't start the tunnel {command}: {cause}"),
            NetError::Io(error) => write!(f, "the connection broke: {error}"),
            NetError::Closed => f.write_str("the server closed the connection"),
            NetError::Timeout(time) => write!(f, "no answer for {} seconds", time.as_secs_f32().round()),
            NetError::LongLine(max) => write!(f, "the server sent a line of more than {max} bytes"),
            NetError::Tls { cause, .. } | NetError::Handshake { cause } | NetError::Untrusted { cause, .. } => {
                f.write_str(cause)
            }
            NetError::Proxy { proxy, cause, .. } => write!(f, "the proxy {proxy}: {cause}"),
            NetError::Stopped => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for NetError {}

impl From<NetError> for io::Error {
    fn from(error: NetError) -> io::Error {
        let kind = match &error {
            NetError::Io(inner) => inner.kind(),
            NetError::Closed => io::ErrorKind::UnexpectedEof,
            NetError::Timeout(_) => io::ErrorKind::TimedOut,
            NetError::LongLine(_) => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}
