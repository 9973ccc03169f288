//! Response codes: what a status tells programs.

use super::UidSet;
use super::scan::{Scanner, number, text_of};
use super::uids::parse_ordered;

/// More messages than any one command of ours copies or appends.
const PAIRS_MAX: usize = 1_000_000;

/// A response code (RFC 3501 section 7.1, RFC 5530 and the extensions).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    Alert,
    AlreadyExists,
    /// Where APPEND put the messages, in their order (RFC 4315).
    AppendUid {
        validity: u32,
        uids: Vec<u32>,
    },
    AuthenticationFailed,
    AuthorizationFailed,
    Cannot,
    /// In upper case.
    Capability(Vec<String>),
    ClientBug,
    Closed,
    CompressionActive,
    ContactAdmin,
    /// Old and new UID of each message that was copied or moved (RFC 4315).
    CopyUid {
        validity: u32,
        pairs: Vec<(u32, u32)>,
    },
    Expired,
    HighestModSeq(u64),
    InUse,
    Limit,
    MailboxId(String),
    /// Those that a conditional STORE left alone (RFC 7162).
    Modified(UidSet),
    NoModSeq,
    NonExistent,
    NoPerm,
    OverQuota,
    PermanentFlags(Vec<String>),
    PrivacyRequired,
    ReadOnly,
    ReadWrite,
    ServerBug,
    Throttled,
    TooBig,
    TryCreate,
    UidNext(u32),
    UidNotSticky,
    UidValidity(u32),
    Unavailable,
    Unseen(u32),
    /// One that is not known, or a known one that makes no sense: its name in upper case.
    Other(String),
}

const PLAIN: [(&str, Code); 24] = [
    ("ALERT", Code::Alert),
    ("ALREADYEXISTS", Code::AlreadyExists),
    ("AUTHENTICATIONFAILED", Code::AuthenticationFailed),
    ("AUTHORIZATIONFAILED", Code::AuthorizationFailed),
    ("CANNOT", Code::Cannot),
    ("CLIENTBUG", Code::ClientBug),
    ("CLOSED", Code::Closed),
    ("COMPRESSIONACTIVE", Code::CompressionActive),
    ("CONTACTADMIN", Code::ContactAdmin),
    ("EXPIRED", Code::Expired),
    ("INUSE", Code::InUse),
    ("LIMIT", Code::Limit),
    ("NOMODSEQ", Code::NoModSeq),
    ("NONEXISTENT", Code::NonExistent),
    ("NOPERM", Code::NoPerm),
    ("OVERQUOTA", Code::OverQuota),
    ("PRIVACYREQUIRED", Code::PrivacyRequired),
    ("READ-ONLY", Code::ReadOnly),
    ("READ-WRITE", Code::ReadWrite),
    ("SERVERBUG", Code::ServerBug),
    ("THROTTLED", Code::Throttled),
    ("TOOBIG", Code::TooBig),
    ("TRYCREATE", Code::TryCreate),
    ("UNAVAILABLE", Code::Unavailable),
];

impl Code {
    /// The code's name, as it stands on the wire.
    pub fn name(&self) -> &str {
        match self {
            Code::AppendUid { .. } => "APPENDUID",
            Code::Capability(_) => "CAPABILITY",
            Code::CopyUid { .. } => "COPYUID",
            Code::HighestModSeq(_) => "HIGHESTMODSEQ",
            Code::MailboxId(_) => "MAILBOXID",
            Code::Modified(_) => "MODIFIED",
            Code::PermanentFlags(_) => "PERMANENTFLAGS",
            Code::UidNext(_) => "UIDNEXT",
            Code::UidNotSticky => "UIDNOTSTICKY",
            Code::UidValidity(_) => "UIDVALIDITY",
            Code::Unseen(_) => "UNSEEN",
            Code::Other(name) => name,
            plain => PLAIN.iter().find(|(_, code)| code == plain).map_or("", |(name, _)| name),
        }
    }

    /// Reads what stands between `[` and `]`.
    fn parse(inner: &[u8]) -> Option<Code> {
        let mut scan = Scanner::new(inner, &[]);
        let name = text_of(scan.atom()).to_ascii_uppercase();
        if name.is_empty() {
            return None;
        }
        Some(Code::known(&name, &mut scan).unwrap_or(Code::Other(name)))
    }

    fn known(name: &str, scan: &mut Scanner<'_>) -> Option<Code> {
        let short = |scan: &mut Scanner<'_>| scan.number_value().and_then(|n| u32::try_from(n).ok());
        match name {
            "CAPABILITY" => Some(Code::Capability(super::upper_words(scan))),
            "PERMANENTFLAGS" => Some(Code::PermanentFlags(scan.strings())),
            "UIDVALIDITY" => short(scan).map(Code::UidValidity),
            "UIDNEXT" => short(scan).map(Code::UidNext),
            "UNSEEN" => short(scan).map(Code::Unseen),
            "HIGHESTMODSEQ" => scan.number_value().map(Code::HighestModSeq),
            "MAILBOXID" => scan.strings().into_iter().next().map(Code::MailboxId),
            "MODIFIED" => UidSet::parse(scan.word()).map(Code::Modified),
            "UIDNOTSTICKY" => Some(Code::UidNotSticky),
            "APPENDUID" => {
                let validity = number(scan.word()).and_then(|n| u32::try_from(n).ok())?;
                let uids = parse_ordered(scan.word(), PAIRS_MAX).filter(|uids| !uids.is_empty())?;
                Some(Code::AppendUid { validity, uids })
            }
            "COPYUID" => {
                let validity = number(scan.word()).and_then(|n| u32::try_from(n).ok())?;
                let from = parse_ordered(scan.word(), PAIRS_MAX)?;
                let to = parse_ordered(scan.word(), PAIRS_MAX)?;
                let equal = from.len() == to.len();
                equal.then(|| Code::CopyUid { validity, pairs: from.into_iter().zip(to).collect() })
            }
            plain => PLAIN.iter().find(|(name, _)| *name == plain).map(|(_, code)| code.clone()),
        }
    }
}

/// Splits the text of a status into its code and what is for people. The code stands before the text, or, with Gmail,
/// behind it (`Success [THROTTLED]`).
pub(super) fn split(text: &[u8]) -> (Option<Code>, &[u8]) {
    if let Some(inner) = text.strip_prefix(b"[") {
        return match code_end(inner) {
            Some(end) => (Code::parse(&inner[..end]), inner[end + 1..].trim_ascii()),
            None => (None, text),
        };
    }
    let trailing = text.strip_suffix(b"]").and_then(|head| Some((head, head.iter().rposition(|byte| *byte == b'[')?)));
    if let Some((head, open)) = trailing {
        let name = &head[open + 1..];
        if !name.is_empty() && name.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'-') {
            return (Code::parse(name), head[..open].trim_ascii_end());
        }
    }
    (None, text)
}

/// The `]` that ends a code: flags in parentheses and quoted strings may hold others.
fn code_end(inner: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quoted = false;
    for (at, byte) in inner.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'(' if !quoted => depth += 1,
            b')' if !quoted => depth = depth.saturating_sub(1),
            b']' if !quoted && depth == 0 => return Some(at),
            _ => {}
        }
    }
    inner.iter().position(|byte| *byte == b']')
}
