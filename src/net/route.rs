//! The way to a server: straight or through a proxy, and over which version of IP.

use super::{NetError, Proxy, Stop, connect};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Which addresses of a host are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    #[default]
    Any,
    V4,
    V6,
}

impl Family {
    pub(super) fn has(self, address: &SocketAddr) -> bool {
        match self {
            Family::Any => true,
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        }
    }

    /// What an address of it is called.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Family::Any => "address",
            Family::V4 => "IPv4 address",
            Family::V6 => "IPv6 address",
        }
    }
}

/// How a server is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    pub family: Family,
    pub proxy: Option<Proxy>,
}

impl Route {
    /// Connects to a host. The socket is non-blocking.
    pub(super) fn connect(&self, host: &str, port: u16, timeout: Duration, stop: &Stop) -> Result<TcpStream, NetError> {
        match &self.proxy {
            None => connect::connect(host, port, self.family, timeout, stop),
            Some(proxy) => proxy.connect(host, port, self.family, timeout, stop),
        }
    }
}
