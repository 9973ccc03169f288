//! The network of this machine: whether there is one, whether its use costs money, and when it changes.
//!
//! Nothing is sent in order to know this.

#[cfg(feature = "keyring")]
mod desktop;
#[cfg(target_os = "linux")]
mod news;

/// What there is without D-Bus.
#[cfg(not(feature = "keyring"))]
mod desktop {
    use super::Said;

    pub(super) fn ask(_: Option<&str>) -> Said {
        Said::default()
    }
}

/// Where nobody tells of changes: whoever listens finds out by himself.
#[cfg(not(target_os = "linux"))]
mod news {
    use std::os::fd::{AsFd, BorrowedFd};

    #[derive(Debug)]
    pub enum News {}

    impl News {
        pub fn begin() -> Option<News> {
            None
        }

        pub fn changed(&mut self) -> bool {
            match *self {}
        }
    }

    impl AsFd for News {
        fn as_fd(&self) -> BorrowedFd<'_> {
            match *self {}
        }
    }
}

pub use news::News;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Some address of either family that is on no network of one's own: a root server's.
const FAR_AWAY: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(198, 41, 0, 4)), IpAddr::V6(Ipv6Addr::new(0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30))];

/// What is known of the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Nothing that is far away can be reached: no route leads there, or a page to log in at stands before it.
    pub offline: bool,
    /// Whether what passes costs money; `None` where nobody knows.
    pub metered: Option<bool>,
}

/// What NetworkManager says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// A page to log in at is shown in place of everything.
    pub portal: bool,
    pub metered: Option<bool>,
}

/// How things are now. Takes a few milliseconds, and two seconds where the system's bus hangs.
pub fn state() -> State {
    let routed = FAR_AWAY.into_iter().any(is_routed);
    State::of(routed, if routed { manager_says(None) } else { Said::default() })
}

impl State {
    fn of(routed: bool, said: Said) -> State {
        State { offline: !routed || said.portal, metered: said.metered }
    }
}

/// What NetworkManager says, asked by this bus or by the system's; nothing where there is none, or it does not answer.
pub fn manager_says(bus: Option<&str>) -> Said {
    desktop::ask(bus)
}

/// Whether a route leads to this address. For a server in the house, or on this machine, no way out of it is needed.
///
/// The kernel is asked, and not a list of routes: that may be one of many, among which rules choose (a VPN's).
pub fn is_routed(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // To connect such a socket is to look for a route; nothing is sent. The port is of no account.
    UdpSocket::bind((any, 0)).is_ok_and(|socket| socket.connect((address, 993)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_always_reached() {
        assert!(is_routed(Ipv4Addr::LOCALHOST.into()));
    }

    #[test]
    fn without_a_way_out_or_behind_a_page_to_log_in_at_it_is_offline() {
        for (routed, portal) in [(true, false), (true, true), (false, false)] {
            let said = Said { portal, metered: Some(true) };
            let state = State { offline: !routed || portal, metered: Some(true) };
            assert_eq!(State::of(routed, said), state);
        }
    }

    #[test]
    fn without_a_bus_nobody_knows_anything() {
        assert_eq!(manager_says(Some("unix:path=/nonexistent/bus")), Said::default());
        assert_eq!(manager_says(Some("no address")), Said::default());
    }
}
