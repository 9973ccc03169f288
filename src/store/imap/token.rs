//! A tolerant tokenizer of server responses.
//!
//! It reads what servers really send: RFC 3501 and 9051 with CONDSTORE and QRESYNC (7162), UIDPLUS (4315), LIST-STATUS
//! (5819), SPECIAL-USE (6154), MOVE (6851), ESEARCH (4731), OBJECTID (8474), NAMESPACE (2342) and ID (2971), and their
//! bent forms. It rejects nothing that it can skip, never panics, needs no stack for nesting, and allocates no more
//! than what it was given.
//!
//! The wire collects a response in a [`Frame`]: lines, and the literals between them. What stands in a message body
//! is not collected: [`Frame::line`] tells the wire to stream it, and the parsed [`Fetch`] has [`Body::Streamed`] in
//! its place.

mod code;
mod date;
mod fetch;
mod frame;
mod mailbox;
mod scan;
mod uids;

#[cfg(test)]
mod tests;

pub use code::Code;
pub use date::{internal_date, parse_internal_date};
pub use fetch::{Body, Fetch};
pub use frame::{Frame, FrameError, Next, is_body_literal, literal_at_end};
pub use mailbox::{Listed, MailboxStatus, Namespace};
pub use uids::{UidSet, UidSetIter};

use scan::{LONGEST, Scanner, text_of, upper};

/// How a command ended, or what a status response says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusKind {
    Ok,
    No,
    Bad,
    Bye,
    Preauth,
}

impl StatusKind {
    fn parse(word: &[u8]) -> Option<StatusKind> {
        const WORDS: [(&[u8], StatusKind); 5] = [
            (b"OK", StatusKind::Ok),
            (b"NO", StatusKind::No),
            (b"BAD", StatusKind::Bad),
            (b"BYE", StatusKind::Bye),
            (b"PREAUTH", StatusKind::Preauth),
        ];
        WORDS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name)).map(|(_, kind)| *kind)
    }
}

/// A status response: `OK`, `NO`, `BAD`, `BYE` or `PREAUTH`, with its code and what it says to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub kind: StatusKind,
    pub code: Option<Code>,
    /// The text without the code; what is not UTF-8 is read as Latin-1.
    pub text: String,
}

/// The answer to an extended SEARCH (RFC 4731).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Esearch {
    pub tag: Option<String>,
    /// Whether the numbers are UIDs.
    pub uid: bool,
    pub min: Option<u32>,
    pub max: Option<u32>,
    pub count: Option<u32>,
    /// `None` where the server left ALL out: nothing was found, or ALL was not asked for.
    pub all: Option<UidSet>,
    pub modseq: Option<u64>,
}

/// One whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// The end of the command with this tag.
    Tagged {
        tag: String,
        status: Status,
    },
    Status(Status),
    /// `+`, with its text verbatim.
    Continue(Vec<u8>),
    /// In upper case.
    Capability(Vec<String>),
    List(Listed),
    Lsub(Listed),
    MailboxStatus(MailboxStatus),
    Exists(u32),
    Recent(u32),
    /// The message with this sequence number, never 0, is gone.
    Expunge(u32),
    /// These UIDs are gone (RFC 7162 section 3.2.10).
    Vanished {
        earlier: bool,
        uids: UidSet,
    },
    Fetch(Fetch),
    /// Numbers as they came, 0 and what is beyond 32 bit left out: unsorted, perhaps doubled.
    Search {
        numbers: Vec<u32>,
        modseq: Option<u64>,
    },
    Esearch(Esearch),
    Flags(Vec<String>),
    /// In upper case.
    Enabled(Vec<String>),
    Namespace(Namespace),
    /// What the server says of itself (RFC 2971); keys in lower case.
    Id(Vec<(String, Option<String>)>),
    /// A response of a kind that is not known: its first word.
    Other(String),
    /// What is no response at all, or a known one that makes no sense.
    Junk,
}

/// Parses one response whose literals, if any, stand verbatim behind their `{n}` and line end.
pub fn parse(response: &[u8]) -> Response {
    parse_with(response, &[])
}

/// Like [`parse`], but the content of the literals whose `{` stand at the offsets `streamed` (ascending) is not in the
/// buffer.
fn parse_with(response: &[u8], streamed: &[usize]) -> Response {
    let line = response.strip_suffix(b"\n").unwrap_or(response);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut scan = Scanner::new(line, streamed);
    match line.first() {
        Some(b'+') => {
            let text = &line[1..];
            Response::Continue(text.strip_prefix(b" ").unwrap_or(text).to_vec())
        }
        Some(b'*') => {
            scan.skip(1);
            untagged(&mut scan)
        }
        Some(_) => tagged(&mut scan),
        None => Response::Junk,
    }
}

fn tagged(scan: &mut Scanner<'_>) -> Response {
    let tag = scan.word();
    let kind = StatusKind::parse(scan.word());
    match kind {
        Some(kind @ (StatusKind::Ok | StatusKind::No | StatusKind::Bad)) if !tag.is_empty() => {
            Response::Tagged { tag: text_of(tag), status: status(kind, scan) }
        }
        _ => Response::Junk,
    }
}

fn status(kind: StatusKind, scan: &mut Scanner<'_>) -> Status {
    let (code, text) = code::split(scan.rest());
    Status { kind, code, text: text_of(text) }
}

fn untagged(scan: &mut Scanner<'_>) -> Response {
    let word = scan.word();
    if let Some(number) = scan::number(word) {
        return numbered(number, scan);
    }
    if let Some(kind) = StatusKind::parse(word) {
        return Response::Status(status(kind, scan));
    }
    match upper(word, &mut [0; LONGEST]) {
        b"" => Response::Junk,
        b"CAPABILITY" => Response::Capability(upper_words(scan)),
        b"ENABLED" => Response::Enabled(upper_words(scan)),
        b"LIST" | b"XLIST" => mailbox::listed(scan).map_or(Response::Junk, Response::List),
        b"LSUB" => mailbox::listed(scan).map_or(Response::Junk, Response::Lsub),
        b"STATUS" => mailbox::status(scan).map_or(Response::Junk, Response::MailboxStatus),
        b"NAMESPACE" => Response::Namespace(mailbox::namespace(scan)),
        b"FLAGS" => Response::Flags(scan.strings()),
        b"SEARCH" => search(scan),
        b"ESEARCH" => Response::Esearch(esearch(scan)),
        b"VANISHED" => vanished(scan),
        b"ID" => Response::Id(id(scan)),
        _ => Response::Other(text_of(word)),
    }
}

fn numbered(number: u64, scan: &mut Scanner<'_>) -> Response {
    let Ok(number) = u32::try_from(number) else { return Response::Junk };
    let word = scan.word();
    match upper(word, &mut [0; LONGEST]) {
        b"EXISTS" => Response::Exists(number),
        b"RECENT" => Response::Recent(number),
        b"EXPUNGE" if number > 0 => Response::Expunge(number),
        b"FETCH" => Response::Fetch(fetch::fetch(number, scan)),
        b"" | b"EXPUNGE" => Response::Junk,
        _ => Response::Other(text_of(word).to_ascii_uppercase()),
    }
}

fn upper_words(scan: &mut Scanner<'_>) -> Vec<String> {
    let mut words = Vec::new();
    loop {
        let word = scan.word();
        if word.is_empty() {
            return words;
        }
        words.push(text_of(word).to_ascii_uppercase());
    }
}

fn search(scan: &mut Scanner<'_>) -> Response {
    let mut numbers = Vec::new();
    let mut modseq = None;
    loop {
        if scan.open() {
            if scan.atom().eq_ignore_ascii_case(b"MODSEQ") {
                modseq = scan.number_value();
            }
            scan.close_list();
            continue;
        }
        let word = scan.word();
        if word.is_empty() {
            return Response::Search { numbers, modseq };
        }
        numbers.extend(scan::number(word).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0));
    }
}

fn esearch(scan: &mut Scanner<'_>) -> Esearch {
    let mut found = Esearch::default();
    if scan.open() {
        if scan.atom().eq_ignore_ascii_case(b"TAG") {
            found.tag = scan.string().map(|tag| text_of(&tag));
        }
        scan.close_list();
    }
    let number = |scan: &mut Scanner<'_>| scan.number_value().and_then(|n| u32::try_from(n).ok());
    loop {
        match upper(scan.atom(), &mut [0; LONGEST]) {
            b"" => return found,
            b"UID" => found.uid = true,
            b"MIN" => found.min = number(scan),
            b"MAX" => found.max = number(scan),
            b"COUNT" => found.count = number(scan),
            b"MODSEQ" => found.modseq = scan.number_value(),
            b"ALL" => found.all = UidSet::parse(scan.word()),
            _ => scan.skip_value(),
        }
    }
}

/// A set that makes no sense (`1:*`) is no proof that anything is gone.
fn vanished(scan: &mut Scanner<'_>) -> Response {
    let mut earlier = false;
    if scan.open() {
        earlier = scan.atom().eq_ignore_ascii_case(b"EARLIER");
        scan.close_list();
    }
    UidSet::parse(scan.word()).map_or(Response::Junk, |uids| Response::Vanished { earlier, uids })
}

fn id(scan: &mut Scanner<'_>) -> Vec<(String, Option<String>)> {
    let mut pairs = Vec::new();
    if !scan.open() {
        return pairs;
    }
    while let Some(key) = scan.string() {
        let value = scan.string_or_nil();
        pairs.push((text_of(&key).to_ascii_lowercase(), value.map(|v| text_of(&v))));
    }
    pairs
}
