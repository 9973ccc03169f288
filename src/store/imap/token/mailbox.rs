//! LIST, LSUB, STATUS and NAMESPACE.

use super::scan::{LONGEST, Scanner, upper};

/// A mailbox as LIST or LSUB shows it. Extended data behind the name (CHILDINFO, OLDNAME) is passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub attrs: Vec<String>,
    pub delimiter: Option<u8>,
    /// The wire name, quotes and escapes taken off.
    pub name: Vec<u8>,
}

impl Listed {
    /// Whether it has the attribute, in any case.
    pub fn has(&self, attr: &str) -> bool {
        self.attrs.iter().any(|other| other.eq_ignore_ascii_case(attr))
    }
}

/// What STATUS says of a mailbox; what was not sent, or makes no sense, is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailboxStatus {
    /// The wire name.
    pub name: Vec<u8>,
    pub messages: Option<u32>,
    pub uidnext: Option<u32>,
    pub uidvalidity: Option<u32>,
    pub unseen: Option<u32>,
    pub highestmodseq: Option<u64>,
    pub mailboxid: Option<String>,
}

/// The namespaces (RFC 2342): prefixes with their delimiters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    pub personal: Vec<(Vec<u8>, Option<u8>)>,
    pub other: Vec<(Vec<u8>, Option<u8>)>,
    pub shared: Vec<(Vec<u8>, Option<u8>)>,
}

pub(super) fn listed(scan: &mut Scanner<'_>) -> Option<Listed> {
    let attrs = match scan.peek()? {
        b'(' => scan.strings(),
        _ => Vec::new(),
    };
    let delimiter = match scan.ahead().starts_with(b"\"\\\" ") {
        // A backslash that the server forgot to escape.
        true => {
            scan.skip(3);
            Some(b'\\')
        }
        false => scan.string_or_nil().and_then(|text| text.first().copied()),
    };
    match scan.peek()? {
        // The root's name, in the answer to `LIST "" ""`, is empty.
        b'"' | b'{' | b'~' => Some(Listed { attrs, delimiter, name: scan.string()?.into_owned() }),
        _ => {
            let name = bare_name(scan.rest()).to_vec();
            (!name.is_empty()).then_some(Listed { attrs, delimiter, name })
        }
    }
}

/// A name without quotes goes on to the end of the line, or to the extended data.
fn bare_name(rest: &[u8]) -> &[u8] {
    let extended = (0..rest.len()).find(|at| {
        let tail = &rest[*at..];
        let starts = |with: &[u8]| tail.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with));
        starts(b" (\"") || starts(b" (CHILDINFO ") || starts(b" (OLDNAME ")
    });
    rest[..extended.unwrap_or(rest.len())].trim_ascii_end()
}

pub(super) fn status(scan: &mut Scanner<'_>) -> Option<MailboxStatus> {
    let name = match scan.peek()? {
        b'"' | b'{' | b'~' => scan.string()?.into_owned(),
        _ => {
            let ahead = scan.ahead();
            let end = ahead.iter().rposition(|byte| *byte == b'(').unwrap_or(ahead.len());
            let end = match ahead[end..].iter().filter(|byte| **byte == b'(').count() {
                // MAILBOXID's value is a list of its own.
                1 => outer_list(ahead, end),
                _ => end,
            };
            scan.skip(end);
            ahead[..end].trim_ascii_end().to_vec()
        }
    };
    let mut status = MailboxStatus { name, ..MailboxStatus::default() };
    if !scan.open() {
        return Some(status);
    }
    loop {
        let item = scan.atom();
        let mut short = || scan.number_value().and_then(|n| u32::try_from(n).ok());
        match upper(item, &mut [0; LONGEST]) {
            b"" => match scan.value() {
                Some(_) => continue,
                None => return Some(status),
            },
            b"MESSAGES" => status.messages = short(),
            b"UIDNEXT" => status.uidnext = short(),
            b"UIDVALIDITY" => status.uidvalidity = short(),
            b"UNSEEN" => status.unseen = short(),
            b"HIGHESTMODSEQ" => status.highestmodseq = scan.number_value(),
            b"MAILBOXID" => status.mailboxid = scan.strings().into_iter().next(),
            _ => scan.skip_value(),
        }
    }
}

/// The offset of the `(` that opens the list in which the one at `inner` stands, or `inner` itself.
fn outer_list(text: &[u8], inner: usize) -> usize {
    let before = text[..inner].trim_ascii_end();
    match before.len() >= 9 && before[before.len() - 9..].eq_ignore_ascii_case(b"MAILBOXID") {
        true => before.iter().rposition(|byte| *byte == b'(').unwrap_or(inner),
        false => inner,
    }
}

pub(super) fn namespace(scan: &mut Scanner<'_>) -> Namespace {
    let personal = prefixes(scan);
    let other = prefixes(scan);
    let shared = prefixes(scan);
    Namespace { personal, other, shared }
}

fn prefixes(scan: &mut Scanner<'_>) -> Vec<(Vec<u8>, Option<u8>)> {
    let mut found = Vec::new();
    if !scan.open() {
        scan.skip_value();
        return found;
    }
    while scan.open() {
        let prefix = scan.string_or_nil();
        let delimiter = scan.string_or_nil().and_then(|text| text.first().copied());
        scan.close_list();
        found.extend(prefix.map(|prefix| (prefix.into_owned(), delimiter)));
    }
    scan.close_list();
    found
}
