//! FETCH.

use super::date::parse_internal_date;
use super::frame::is_body_name;
use super::scan::{LONGEST, Scanner, Value, upper};

/// The content of a message in a FETCH response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// It went past the frame; this many bytes.
    Streamed(u64),
    /// It came as a quoted string.
    Inline(Vec<u8>),
    /// The server has the message and not its content.
    Nil,
}

/// One FETCH response. An item that was not sent, or that makes no sense, is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetch {
    pub seq: u32,
    /// Never 0.
    pub uid: Option<u32>,
    pub flags: Option<Vec<String>>,
    pub modseq: Option<u64>,
    /// RFC822.SIZE: a hint only.
    pub size: Option<u64>,
    /// INTERNALDATE, seconds since 1970.
    pub date: Option<i64>,
    /// EMAILID (RFC 8474).
    pub email_id: Option<String>,
    pub gm_msgid: Option<u64>,
    /// `BODY[HEADER...]` of any kind.
    pub header: Option<Vec<u8>>,
    pub body: Option<Body>,
}

pub(super) fn fetch(seq: u32, scan: &mut Scanner<'_>) -> Fetch {
    let mut fetch = Fetch { seq, ..Fetch::default() };
    if !scan.open() {
        return fetch;
    }
    loop {
        let name = scan.item_name();
        if name.is_empty() {
            // A stray value is passed over; `)` or nothing is the end.
            if scan.value().is_none() {
                return fetch;
            }
            continue;
        }
        item(&mut fetch, name, scan);
    }
}

fn item(fetch: &mut Fetch, name: &[u8], scan: &mut Scanner<'_>) {
    if is_body_name(name) {
        fetch.body = scan.value().map(body);
        return;
    }
    let mut room = [0; LONGEST];
    match upper(name, &mut room) {
        b"UID" => fetch.uid = scan.number_value().and_then(|uid| u32::try_from(uid).ok()).filter(|uid| *uid > 0),
        b"FLAGS" => fetch.flags = Some(scan.strings()),
        b"MODSEQ" => fetch.modseq = scan.number_value(),
        b"RFC822.SIZE" => fetch.size = scan.number_value(),
        b"X-GM-MSGID" => fetch.gm_msgid = scan.number_value(),
        b"INTERNALDATE" => fetch.date = scan.string_or_nil().and_then(|text| parse_internal_date(&text)),
        b"EMAILID" => fetch.email_id = scan.strings().into_iter().next(),
        b"RFC822.HEADER" => fetch.header = header(scan),
        upper if upper.starts_with(b"BODY[HEADER") || upper.starts_with(b"BODY.PEEK[HEADER") => {
            fetch.header = header(scan);
        }
        _ => scan.skip_value(),
    }
}

fn header(scan: &mut Scanner<'_>) -> Option<Vec<u8>> {
    match scan.value()? {
        Value::Text(text) => Some(text.into_owned()),
        Value::Nil => Some(Vec::new()),
        Value::Atom(atom) => Some(atom.to_vec()),
        Value::Streamed(_) | Value::List => None,
    }
}

fn body(value: Value<'_>) -> Body {
    match value {
        Value::Streamed(size) => Body::Streamed(size),
        Value::Text(text) => Body::Inline(text.into_owned()),
        Value::Nil | Value::Atom(_) | Value::List => Body::Nil,
    }
}
