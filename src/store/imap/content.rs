//! A message's content on the line: with CRLF line ends, and exactly as long as was announced. It is read from its file
//! when it is sent, so that many messages may wait for their turn and cost no memory.

use super::error::ImapError;
use super::facade::Line;
use crate::store::draft::draft_error;
use crate::store::{Draft, Kind, Reach, StoreError};
use std::hash::{Hash, Hasher};
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const PIECE: usize = 64 * 1024;

/// The content of one message; a clone is the same one.
#[derive(Clone, Debug)]
pub struct Content {
    body: Arc<Mutex<Draft>>,
    size: u64,
    has_nul: bool,
}

impl Content {
    /// Measures a message, which must not change any more.
    pub fn new(mut body: Draft) -> Result<Content, StoreError> {
        let measure = body.measure().map_err(|error| draft_error("read a message", error))?;
        let (size, has_nul) = (measure.wire_size, measure.has_nul);
        Ok(Content { body: Arc::new(Mutex::new(body)), size, has_nul })
    }

    /// Bytes on the line.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether there is a NUL byte, which no plain literal can carry.
    pub fn has_nul(&self) -> bool {
        self.has_nul
    }

    fn body(&self) -> MutexGuard<'_, Draft> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends exactly as many bytes as were announced. A file that changed since it was measured ends the connection: the
    /// server would take what follows for the message.
    pub fn send(&self, line: &mut Line) -> Result<(), ImapError> {
        let broken =
            |error| ImapError::Source(Box::new(draft_error("read a message", error).reaching(Reach::Connection)));
        let mut body = self.body();
        let mut reader = body.reader().map_err(broken)?;
        let mut piece = vec![0; PIECE.min(usize::try_from(self.size).unwrap_or(PIECE)).max(1)];
        let mut to_crlf = ToCrlf::default();
        let mut sent = 0;
        loop {
            let count = reader.read(&mut piece).map_err(broken)?;
            if count == 0 {
                break;
            }
            let wire_form = to_crlf.feed(&piece[..count]);
            sent += wire_form.len() as u64;
            if sent > self.size {
                break;
            }
            line.send_body(wire_form)?;
        }
        match sent == self.size {
            true => Ok(()),
            false => Err(ImapError::Source(Box::new(changed(self.size, sent)))),
        }
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Content) -> bool {
        Arc::ptr_eq(&self.body, &other.body)
    }
}

impl Eq for Content {}

impl Hash for Content {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.body).hash(state);
    }
}

fn changed(before: u64, now: u64) -> StoreError {
    let cause = format!("the message changed while it was read: {before} bytes before, {now} now");
    StoreError::new(Reach::Connection, Kind::Disk, "append", cause)
}

/// Puts a CR before every LF that has none.
#[derive(Default)]
struct ToCrlf {
    /// The last byte of the piece before.
    last: u8,
    out: Vec<u8>,
}

impl ToCrlf {
    fn feed(&mut self, piece: &[u8]) -> &[u8] {
        self.out.clear();
        let mut from = 0;
        for at in memchr::memchr_iter(b'\n', piece) {
            let before = if at == 0 { self.last } else { piece[at - 1] };
            self.out.extend_from_slice(&piece[from..at]);
            if before != b'\r' {
                self.out.push(b'\r');
            }
            from = at;
        }
        self.out.extend_from_slice(&piece[from..]);
        self.last = piece.last().copied().unwrap_or(self.last);
        &self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crlf(pieces: &[&[u8]]) -> Vec<u8> {
        let mut to_crlf = ToCrlf::default();
        pieces.iter().flat_map(|piece| to_crlf.feed(piece).to_vec()).collect()
    }

    #[test]
    fn only_a_bare_lf_gets_a_cr() {
        assert_eq!(crlf(&[b"a\nb\r\nc\rd\n\n"]), b"a\r\nb\r\nc\rd\r\n\r\n");
    }

    #[test]
    fn a_cut_between_cr_and_lf_makes_no_difference() {
        let text = b"a\r\n\nb\r\r\n\r";
        for at in 0..=text.len() {
            assert_eq!(crlf(&[&text[..at], &text[at..]]), crlf(&[text]), "cut at {at}");
        }
    }
}
