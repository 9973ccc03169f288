//! Any bytes come from a server, cut anywhere: what is read of them does not depend on the cuts, and nothing that
//! the server announces makes us allocate it.
//!
//! The input is a byte that tells how to cut, and the stream.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mailsync::net::{Stop, Transport};
use mailsync::store::imap::token::Response;
use mailsync::store::imap::{Bodies, Handle, Line};
use rustix::net::{AddressFamily, SocketFlags, SocketType, send, socketpair};
use std::io::Read;
use std::os::unix::net::UnixStream;

/// Packets to a socket's buffer, which nobody empties while we fill it.
const PIECES: usize = 96;

fuzz_target!(|input: &[u8]| {
    let Some((cut, stream)) = input.split_first() else { return };
    let whole = [stream];
    let pieces = cut_up(stream, usize::from(*cut));
    let calm = ours(&whole);
    assert_eq!(calm, ours(&pieces), "the pieces {pieces:?} read otherwise");
    assert_eq!(the_crates(&whole), the_crates(&pieces), "the pieces {pieces:?} read otherwise");
    let taken: usize = calm.bodies.iter().map(Vec::len).sum();
    assert!(taken <= stream.len(), "{taken} bytes of bodies out of {}", stream.len());
});

/// Pieces of some sizes in turn; the last one is what is left.
fn cut_up(stream: &[u8], how: usize) -> Vec<&[u8]> {
    let sizes = [1 + how % 7, 1 + how / 7 % 11, 1 + how / 16, 2];
    let mut pieces = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() && pieces.len() < PIECES {
        let last = pieces.len() + 1 == PIECES;
        let size = if last { rest.len() } else { sizes[pieces.len() % 4].min(rest.len()) };
        let (piece, after) = rest.split_at(size);
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// A line on which each read gives one of the pieces, and then the end.
fn line(pieces: &[&[u8]]) -> Line {
    let (here, there) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).expect("a pair of sockets");
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        // Packets keep their borders, so that the cuts are what we want them to be.
        let sent = send(&there, piece, rustix::net::SendFlags::NOSIGNAL).expect("the socket's buffer holds it");
        assert_eq!(sent, piece.len());
    }
    drop(there);
    Line::new(Transport::local(UnixStream::from(here), &Stop::new()).expect("a line"))
}

/// What was read of a stream.
#[derive(Debug, PartialEq)]
struct Seen {
    responses: Vec<Response>,
    bodies: Vec<Vec<u8>>,
    exists: u32,
    end: String,
}

#[derive(Default)]
struct Collected(Vec<Vec<u8>>);

impl Bodies for Collected {
    fn begin(&mut self) {
        self.0.push(Vec::new());
    }

    fn piece(&mut self, piece: &[u8]) {
        self.0.last_mut().expect("a body has begun").extend_from_slice(piece);
    }
}

/// The stream as our own commands read it.
fn ours(pieces: &[&[u8]]) -> Seen {
    let mut line = line(pieces);
    let mut bodies = Collected::default();
    let mut responses = Vec::new();
    loop {
        match line.response(&mut bodies) {
            Ok(response) => responses.push(response),
            Err(error) => {
                return Seen { responses, bodies: bodies.0, exists: line.exists, end: error.to_string() };
            }
        }
    }
}

/// The stream as the crate gets to see it, and how that ended.
fn the_crates(pieces: &[&[u8]]) -> (Vec<u8>, String) {
    let mut handle = Handle::new(line(pieces));
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match handle.read(&mut buffer) {
            Ok(0) => panic!("an end that is no error"),
            Ok(count) => {
                let lines = &buffer[..count];
                // Each read gives one response, so that the crate never reads ahead of us.
                assert!(lines.ends_with(b"\r\n"), "{}", lines.escape_ascii());
                seen.extend_from_slice(lines);
            }
            Err(error) => {
                seen.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).for_each(is_plain);
                return (seen, error.to_string());
            }
        }
    }
}

fn is_plain(line: &[u8]) {
    let line = line.strip_suffix(b"\r").expect("CRLF ends a line");
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let plain = match words.as_slice() {
        [b"+"] => true,
        [b"+", text] => text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte)),
        [b"*", number, kind] => {
            number.iter().all(u8::is_ascii_digit) && [b"EXISTS".as_slice(), b"RECENT", b"EXPUNGE"].contains(kind)
        }
        [tag, kind, b"-"] => tag.starts_with(b"a") && [b"OK".as_slice(), b"NO", b"BAD"].contains(kind),
        _ => false,
    };
    assert!(plain, "the crate would see {}", line.escape_ascii());
}
