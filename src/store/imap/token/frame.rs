//! Collecting one response: lines, and the literals between them.

use super::{Response, parse_with};
use std::fmt;

/// Literals other than message bodies are names and header fields; none is larger than this.
const GATHER_MAX: u64 = 1024 * 1024;

/// RFC 3501 knows no message beyond 32 bit.
const BODY_MAX: u64 = u32::MAX as u64;

/// A response with all its lines and gathered literals; SEARCH of a million messages takes 8 MB.
const FRAME_MAX: usize = 64 * 1024 * 1024;

/// What the wire has to do after a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The response is whole: [`Frame::parse`].
    End,
    /// Read this many bytes, give them to [`Frame::literal`], then read the next line.
    Gather(u64),
    /// Stream this many bytes of a message body past the frame, then read the next line.
    Stream(u64),
}

/// A response that no sane server sends; the connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A literal of this many bytes (`u64::MAX` where it is more than that).
    Literal(u64),
    /// A response without end.
    Response,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Literal(u64::MAX) => f.write_str("the server announced a literal of impossible size"),
            FrameError::Literal(size) => write!(f, "the server announced a literal of {size} bytes"),
            FrameError::Response => write!(f, "a response of the server goes beyond {FRAME_MAX} bytes"),
        }
    }
}

impl std::error::Error for FrameError {}

/// One response, while it comes in.
///
/// ```text
/// loop { match frame.line(line)? { End => break frame.parse(), Gather(n) => frame.literal(bytes)?, Stream(n) => .. } }
/// ```
#[derive(Debug, Default)]
pub struct Frame {
    bytes: Vec<u8>,
    streamed: Vec<usize>,
}

impl Frame {
    pub fn new() -> Frame {
        Frame::default()
    }

    /// Makes room for the next response.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.streamed.clear();
        self.bytes.shrink_to(1024 * 1024);
    }

    /// The bytes so far, without what was streamed: for the log, and for the tagged line verbatim.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the response is a FETCH, as far as it is here.
    pub fn is_fetch(&self) -> bool {
        is_fetch(&self.bytes)
    }

    /// Adds a line, its line end (CRLF or LF) included.
    pub fn line(&mut self, line: &[u8]) -> Result<Next, FrameError> {
        self.add(line)?;
        // A status may end in `{5}`: it is text for people.
        if !has_literals(&self.bytes) {
            return Ok(Next::End);
        }
        let Some((brace, _)) = brace_at_end(line) else { return Ok(Next::End) };
        let brace = self.bytes.len() - line.len() + brace;
        let streams = is_body_literal(&self.bytes[..brace]);
        match literal_at_end(line, if streams { BODY_MAX } else { GATHER_MAX })? {
            Some(size) if streams => {
                self.streamed.push(brace);
                Ok(Next::Stream(size))
            }
            Some(size) => Ok(Next::Gather(size)),
            None => Ok(Next::End),
        }
    }

    /// Adds a gathered literal's content.
    pub fn literal(&mut self, content: &[u8]) -> Result<(), FrameError> {
        self.add(content)
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        if self.bytes.len() + bytes.len() > FRAME_MAX {
            return Err(FrameError::Response);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Parses what is here; streamed bodies are [`Body::Streamed`](super::Body::Streamed).
    pub fn parse(&self) -> Response {
        parse_with(&self.bytes, &self.streamed)
    }
}

fn has_literals(response: &[u8]) -> bool {
    let Some(rest) = response.strip_prefix(b"*") else { return false };
    let rest = rest.trim_ascii_start();
    let word = rest.split(|byte| byte.is_ascii_whitespace()).next().unwrap_or_default();
    super::StatusKind::parse(word).is_none()
}

fn is_fetch(response: &[u8]) -> bool {
    let Some(rest) = response.strip_prefix(b"*") else { return false };
    let mut words = rest.split(|byte| byte.is_ascii_whitespace() || *byte == b'(').filter(|word| !word.is_empty());
    let number = words.next().is_some_and(|word| word.iter().all(u8::is_ascii_digit));
    number && words.next().is_some_and(|word| word.eq_ignore_ascii_case(b"FETCH"))
}

/// The offset of the `{` of `{n}`, `{n+}` or `~{n}` at the end of a line, and the digits.
fn brace_at_end(line: &[u8]) -> Option<(usize, &[u8])> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let inner = line.strip_suffix(b"}")?;
    let inner = inner.strip_suffix(b"+").unwrap_or(inner);
    let digits = inner.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (before, digits) = inner.split_at(inner.len() - digits);
    let before = before.strip_suffix(b"{")?;
    let opens = before.last().is_none_or(|byte| matches!(byte, b' ' | b'\t' | b'(' | b'~' | b']' | b'>'));
    (opens && !digits.is_empty()).then_some((before.len(), digits))
}

/// The size of the literal that a line ends with, the line end there or not. A size beyond `max` is an error.
pub fn literal_at_end(line: &[u8], max: u64) -> Result<Option<u64>, FrameError> {
    let Some((_, digits)) = brace_at_end(line) else { return Ok(None) };
    match super::scan::number(digits) {
        Some(size) if size <= max => Ok(Some(size)),
        size => Err(FrameError::Literal(size.unwrap_or(u64::MAX))),
    }
}

/// Whether the literal that follows `prefix` (the response up to its `{`) is a whole message: `BODY[]`, `BODY[]<0>`,
/// `BINARY[]` or `RFC822` of a FETCH.
pub fn is_body_literal(prefix: &[u8]) -> bool {
    let before = prefix.strip_suffix(b"~").unwrap_or(prefix).trim_ascii_end();
    let from = before.iter().rposition(|byte| matches!(byte, b' ' | b'\t' | b'(')).map_or(0, |at| at + 1);
    is_fetch(prefix) && is_body_name(&before[from..])
}

/// Whether a FETCH item is the whole message.
pub(super) fn is_body_name(item: &[u8]) -> bool {
    let item = match item.strip_suffix(b">").and_then(|item| item.iter().rposition(|byte| *byte == b'<')) {
        Some(origin) => &item[..origin],
        None => item,
    };
    [b"BODY[]".as_slice(), b"BODY.PEEK[]", b"BINARY[]", b"BINARY.PEEK[]", b"RFC822"]
        .iter()
        .any(|name| item.eq_ignore_ascii_case(name))
}
