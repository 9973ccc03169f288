//! News of the network from the kernel (rtnetlink(7)): links, addresses and default routes that come and go.
//!
//! The kernel also tells what does not matter: an address whose lease was renewed, a radio that has looked around, the
//! insides of containers. What is known already is no news.

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What is listened to: both families' addresses and routes, and all links. A provider's new prefix shows as an address only;
/// the price is a wake-up for each router advertisement.
const GROUPS: i32 = libc::RTMGRP_LINK
    | libc::RTMGRP_IPV4_IFADDR
    | libc::RTMGRP_IPV4_ROUTE
    | libc::RTMGRP_IPV6_IFADDR
    | libc::RTMGRP_IPV6_ROUTE;

/// The kernel sends no more at a time, in bytes.
const BUFFER: usize = 32 << 10;

/// How much is taken in at a time, in reads: the rest stays for the next time.
const READS: usize = 100;

/// No more than this of any kind is remembered; then all of it is forgotten, and may be news once more.
const MOST: usize = 1000;

/// The size of a message's head, of what two kinds begin with, and of an attribute's head: `struct nlmsghdr`,
/// `ifaddrmsg`, `rtmsg`, `rtattr`.
const HEAD: usize = 16;
const ADDRESS: usize = 8;
const ROUTING: usize = 12;
const ATTRIBUTE: usize = 4;

/// Listens to the kernel: its descriptor becomes readable when something was told.
#[derive(Debug)]
pub struct News {
    socket: OwnedFd,
    known: Known,
}

impl News {
    /// Begins to listen; `None` where the system, or a sandbox, does not allow it.
    pub fn begin() -> Option<News> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // NETLINK_ROUTE is the protocol 0, and so the one that is there if none is asked for.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None).ok()?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUPS.cast_unsigned())).ok()?;
        let mut news = News { socket, known: Known::default() };
        // The answer is there with the first read. Without it every address is news once.
        if send(&news.socket, &addresses_please(), SendFlags::empty()).is_ok() {
            news.changed();
        }
        Some(news)
    }

    /// Takes in all that was told; whether any of it may have ended connections, or opened a way for new ones.
    pub fn changed(&mut self) -> bool {
        let mut buffer = vec![0; BUFFER];
        let mut changed = false;
        for _ in 0..READS {
            match recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((_, length)) => changed |= self.known.hear(&buffer[..length.min(BUFFER)]),
                Err(Errno::INTR) => {}
                // There was more than the kernel keeps.
                Err(Errno::NOBUFS) => changed = true,
                Err(_) => break,
            }
        }
        changed
    }
}

impl AsFd for News {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Asks for all addresses of all links.
fn addresses_please() -> Vec<u8> {
    let flags = u16::try_from(libc::NLM_F_REQUEST | libc::NLM_F_DUMP).expect("flags have 16 bits");
    message(libc::RTM_GETADDR, flags, &[0; ADDRESS])
}

/// A message with this body.
fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEAD + body.len()).expect("a message is short");
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(body);
    bytes
}

/// What was told so far.
#[derive(Debug, Default)]
struct Known {
    /// Whether a link carries anything, by its index.
    links: BTreeMap<u32, bool>,
    /// Addresses that others can reach, with the index of their link.
    addresses: BTreeSet<(u32, Vec<u8>)>,
    routes: BTreeSet<Route>,
}

/// A default route.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Route {
    family: u8,
    table: u32,
    link: Option<u32>,
    gateway: Vec<u8>,
}

impl Known {
    /// Takes in some messages; whether there was news. What can't be read is skipped.
    fn hear(&mut self, mut messages: &[u8]) -> bool {
        let mut news = false;
        while let (Some(length), Some(kind)) = (u32_at(messages, 0), u16_at(messages, 4)) {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let Some(body) = messages.get(HEAD..length) else {
                break;
            };
            news |= match kind {
                libc::RTM_NEWLINK | libc::RTM_DELLINK => self.link(kind == libc::RTM_NEWLINK, body),
                libc::RTM_NEWADDR | libc::RTM_DELADDR => self.address(kind == libc::RTM_NEWADDR, body),
                libc::RTM_NEWROUTE | libc::RTM_DELROUTE => self.route(kind == libc::RTM_NEWROUTE, body),
                _ => None,
            }
            .unwrap_or(false);
            messages = messages.get(aligned(length)..).unwrap_or_default();
        }
        if self.links.len().max(self.addresses.len()).max(self.routes.len()) > MOST {
            *self = Known::default();
        }
        news
    }

    /// A link without an address has nothing to do with us.
    fn link(&mut self, there: bool, body: &[u8]) -> Option<bool> {
        let (index, flags) = (u32_at(body, 4)?, u32_at(body, 8)?);
        let running = there && flags & libc::IFF_RUNNING.cast_unsigned() != 0;
        // One of which nothing was told was there, as its addresses show.
        let before = self.links.insert(index, running).unwrap_or(true);
        if !there {
            self.links.remove(&index);
        }
        if !running {
            self.forget_routes(index);
        }
        Some(before != running && self.addresses.iter().any(|(link, _)| *link == index))
    }

    fn address(&mut self, there: bool, body: &[u8]) -> Option<bool> {
        let (scope, index) = (*body.get(3)?, u32_at(body, 4)?);
        if scope >= libc::RT_SCOPE_LINK {
            return None;
        }
        let mut own = None;
        for (kind, value) in attributes(body.get(ADDRESS..)?) {
            match kind {
                // The own end of a link between two; the other attribute is then its far end.
                libc::IFA_LOCAL => own = Some(value),
                libc::IFA_ADDRESS => own = own.or(Some(value)),
                _ => {}
            }
        }
        if !there {
            self.forget_routes(index);
        }
        let address = (index, own?.to_vec());
        Some(if there { self.addresses.insert(address) } else { self.addresses.remove(&address) })
    }

    /// The kernel does not tell of routes that go with their link or their address: one that is back is news.
    fn forget_routes(&mut self, link: u32) {
        self.routes.retain(|route| route.link != Some(link));
    }

    fn route(&mut self, there: bool, body: &[u8]) -> Option<bool> {
        let [family, prefix, _, _, table, _, _, kind] = *body.first_chunk()?;
        if prefix != 0 || kind != libc::RTN_UNICAST {
            return None;
        }
        let mut route = Route { family, table: table.into(), link: None, gateway: Vec::new() };
        for (kind, value) in attributes(body.get(ROUTING..)?) {
            match kind {
                libc::RTA_TABLE => route.table = u32_at(value, 0)?,
                libc::RTA_OIF => route.link = u32_at(value, 0),
                // Several ways at once have their gateways inside.
                libc::RTA_GATEWAY | libc::RTA_MULTIPATH => route.gateway = value.to_vec(),
                _ => {}
            }
        }
        // Those that were there from the beginning are not known.
        let known = self.routes.remove(&route);
        if there {
            self.routes.insert(route);
        }
        Some(!(there && known))
    }
}

/// The attributes of a message: kind and value.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (length, kind) = (usize::from(u16_at(bytes, 0)?), u16_at(bytes, 2)?);
        let value = bytes.get(ATTRIBUTE..length)?;
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// Everything begins at a multiple of four.
fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use libc::{RTM_DELADDR, RTM_DELLINK, RTM_DELROUTE, RTM_NEWADDR, RTM_NEWLINK, RTM_NEWROUTE};

    const HOME: [u8; 4] = [192, 168, 1, 5];
    const ROUTER: [u8; 4] = [192, 168, 1, 1];
    const UP: i32 = libc::IFF_UP | libc::IFF_RUNNING;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(ATTRIBUTE + value.len()).expect("short");
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(aligned(bytes.len()), 0);
        bytes
    }

    fn link(kind: u16, index: u32, flags: i32) -> Vec<u8> {
        let head = [[0; 4], index.to_ne_bytes(), flags.to_ne_bytes(), [0xff; 4]].concat();
        message(kind, 0, &[head, attribute(libc::IFLA_IFNAME, b"wlan0\0")].concat())
    }

    fn address(kind: u16, index: u32, scope: u8, address: &[u8]) -> Vec<u8> {
        let head = [vec![2, 24, 0, scope], index.to_ne_bytes().to_vec()].concat();
        let cache = attribute(libc::IFA_CACHEINFO, &[7; 16]);
        message(kind, 0, &[head, attribute(libc::IFA_ADDRESS, address), cache].concat())
    }

    fn route(kind: u16, prefix: u8, gateway: [u8; 4]) -> Vec<u8> {
        let head = [2, prefix, 0, 0, 254, 16, 0, libc::RTN_UNICAST, 0, 0, 0, 0].to_vec();
        let ways = [attribute(libc::RTA_GATEWAY, &gateway), attribute(libc::RTA_OIF, &3_u32.to_ne_bytes())].concat();
        message(kind, 0, &[head, attribute(libc::RTA_TABLE, &254_u32.to_ne_bytes()), ways].concat())
    }

    /// At home: a link with an address.
    fn known() -> Known {
        let mut known = Known::default();
        assert!(known.hear(&address(RTM_NEWADDR, 3, 0, &HOME)));
        known
    }

    /// Whether each of these is news after those before it.
    fn heard(known: &mut Known, messages: &[Vec<u8>]) -> Vec<bool> {
        messages.iter().map(|message| known.hear(message)).collect()
    }

    #[test]
    fn what_is_known_is_no_news() {
        let messages = [
            address(RTM_NEWADDR, 3, 0, &HOME),
            address(RTM_NEWADDR, 3, 0, &[10, 0, 0, 1]),
            address(RTM_NEWADDR, 3, 0, &[10, 0, 0, 1]),
            address(RTM_DELADDR, 3, 0, &[10, 0, 0, 1]),
            address(RTM_DELADDR, 3, 0, &[10, 0, 0, 1]),
        ];
        assert_eq!(heard(&mut known(), &messages), [false, true, false, true, false]);
    }

    #[test]
    fn a_link_that_loses_its_carrier_or_goes_is_news() {
        let messages = [
            link(RTM_NEWLINK, 3, UP),
            link(RTM_NEWLINK, 3, libc::IFF_UP),
            link(RTM_NEWLINK, 3, libc::IFF_UP),
            link(RTM_NEWLINK, 3, UP),
            link(RTM_DELLINK, 3, UP),
        ];
        assert_eq!(heard(&mut known(), &messages), [false, true, false, true, true]);
        assert!(known().hear(&link(RTM_NEWLINK, 3, 0)));
    }

    #[test]
    fn links_and_addresses_that_lead_nowhere_are_no_news() {
        let messages = [
            link(RTM_NEWLINK, 9, UP),
            address(RTM_NEWADDR, 9, libc::RT_SCOPE_LINK, &[169, 254, 0, 1]),
            link(RTM_NEWLINK, 9, 0),
            link(RTM_DELLINK, 9, 0),
            address(RTM_NEWADDR, 1, libc::RT_SCOPE_HOST, &[127, 0, 0, 1]),
            route(RTM_NEWROUTE, 24, ROUTER),
            message(libc::RTM_NEWNEIGH, 0, &[0; 40]),
        ];
        assert_eq!(heard(&mut known(), &messages), [false; 7]);
    }

    #[test]
    fn another_way_out_is_news() {
        let messages = [
            route(RTM_NEWROUTE, 0, ROUTER),
            route(RTM_NEWROUTE, 0, ROUTER),
            route(RTM_NEWROUTE, 0, [10, 0, 0, 1]),
            route(RTM_DELROUTE, 0, ROUTER),
            route(RTM_NEWROUTE, 0, ROUTER),
        ];
        assert_eq!(heard(&mut known(), &messages), [true, false, true, true, true]);
        // One that was there from the beginning.
        assert!(known().hear(&route(RTM_DELROUTE, 0, ROUTER)));
    }

    #[test]
    fn a_way_out_that_is_back_with_its_link_or_its_address_is_news() {
        for gone in [link(RTM_NEWLINK, 3, 0), address(RTM_DELADDR, 3, 0, &HOME)] {
            let messages = [route(RTM_NEWROUTE, 0, ROUTER), gone, route(RTM_NEWROUTE, 0, ROUTER)];
            assert_eq!(heard(&mut known(), &messages), [true; 3]);
        }
        let messages = [route(RTM_NEWROUTE, 0, ROUTER), link(RTM_NEWLINK, 4, 0), route(RTM_NEWROUTE, 0, ROUTER)];
        assert_eq!(heard(&mut known(), &messages), [true, false, false]);
    }

    #[test]
    fn the_own_end_of_a_link_between_two_is_what_counts() {
        let ends = |own: u8| {
            let head = [vec![2, 32, 0, 0], 5_u32.to_ne_bytes().to_vec()].concat();
            let far = attribute(libc::IFA_ADDRESS, &[10, 0, 0, 9]);
            message(RTM_NEWADDR, 0, &[head, far, attribute(libc::IFA_LOCAL, &[10, 0, 0, own])].concat())
        };
        assert_eq!(heard(&mut known(), &[ends(1), ends(2), ends(1)]), [true, true, false]);
    }

    #[test]
    fn several_messages_come_at_once_and_broken_ones_are_skipped() {
        let mut known = known();
        let both = [link(RTM_NEWLINK, 3, UP), address(RTM_NEWADDR, 3, 0, &[10, 0, 0, 1])].concat();
        assert!(known.hear(&both));
        assert!(!known.hear(&both));
        // Every beginning of it, and every byte changed.
        for length in 0..both.len() {
            known.hear(&both[..length]);
            for byte in [0, 1, 3, 0xff] {
                let mut broken = both.clone();
                broken[length] = byte;
                known.hear(&broken);
            }
        }
        let endless = message(RTM_NEWADDR, 0, &[&[2, 24, 0, 0, 3, 0, 0, 0][..], &[0; 64]].concat());
        assert!(!known.hear(&endless));
    }

    #[test]
    fn no_more_than_enough_is_remembered() {
        let mut known = known();
        for number in 0..3000_u32 {
            known.hear(&address(RTM_NEWADDR, 3, 0, &number.to_ne_bytes()));
            assert!(known.addresses.len() <= MOST);
        }
    }

    #[test]
    fn the_kernel_is_listened_to() {
        let mut news = News::begin().expect("a socket");
        // What this machine has is known from the beginning. Others may be changing it.
        let own = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
        if own.connect("198.41.0.4:53").is_ok() {
            assert!(!news.known.addresses.is_empty());
        }
        news.changed();
    }
}
