//! Mailbox names between the wire and people: modified UTF-7 (RFC 3501 section 5.1.3), delimiters, the personal
//! namespace, and how a name stands in a command.

use crate::mail::FolderName;
use std::borrow::Cow;
use std::collections::HashMap;

/// The base64 of modified UTF-7: `,` in the place of `/`.
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// Writes a name in modified UTF-7; most names stand in it as they are.
pub fn encode(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'&') {
        return Cow::Borrowed(name);
    }
    let mut wire = String::with_capacity(name.len());
    let mut shifted = String::new();
    for c in name.chars() {
        if matches!(c, ' '..='~') {
            flush_shifted(&mut shifted, &mut wire);
            wire.push(c);
            if c == '&' {
                wire.push('-');
            }
        } else {
            shifted.push(c);
        }
    }
    flush_shifted(&mut shifted, &mut wire);
    Cow::Owned(wire)
}

fn flush_shifted(shifted: &mut String, wire: &mut String) {
    if shifted.is_empty() {
        return;
    }
    wire.push('&');
    let mut bits = 0_u32;
    let mut count = 0;
    let mut push = |value: u32| wire.push(char::from(BASE64[(value & 63) as usize]));
    for unit in shifted.encode_utf16() {
        bits = bits << 16 | u32::from(unit);
        count += 16;
        while count >= 6 {
            count -= 6;
            push(bits >> count);
        }
        bits &= (1 << count) - 1;
    }
    if count > 0 {
        push(bits << (6 - count));
    }
    wire.push('-');
    shifted.clear();
}

/// Reads a wire name. What is not modified UTF-7 is taken as it stands: as UTF-8 (RFC 6855) if it is that, else as
/// Latin-1. [`encode`] of the answer is the wire name only where that was in the one right form.
pub fn decode(wire: &[u8]) -> String {
    match std::str::from_utf8(wire) {
        Ok(text) if text.is_ascii() => decode_utf7(text).unwrap_or_else(|| text.to_owned()),
        Ok(text) => text.to_owned(),
        Err(_) => wire.iter().copied().map(char::from).collect(),
    }
}

fn decode_utf7(wire: &str) -> Option<String> {
    let mut name = String::with_capacity(wire.len());
    let mut rest = wire;
    while let Some((plain, shifted)) = rest.split_once('&') {
        name.push_str(plain);
        let (shifted, after) = shifted.split_once('-')?;
        match shifted {
            "" => name.push('&'),
            _ => name.push_str(&decode_shifted(shifted)?),
        }
        rest = after;
    }
    name.push_str(rest);
    Some(name)
}

fn decode_shifted(shifted: &str) -> Option<String> {
    let mut units = Vec::with_capacity(shifted.len() / 2);
    let mut bits = 0_u32;
    let mut count = 0;
    for byte in shifted.bytes() {
        let value = BASE64.iter().position(|other| *other == byte)? as u32;
        bits = bits << 6 | value;
        count += 6;
        if count >= 16 {
            count -= 16;
            units.push((bits >> count) as u16);
            bits &= (1 << count) - 1;
        }
    }
    // What is left over is padding: less than one digit, and zero.
    (count < 6 && bits == 0).then(|| String::from_utf16(&units).ok()).flatten()
}

/// How one server's wire names are built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// `None` where the server has no hierarchy.
    pub delimiter: Option<u8>,
    /// The prefix of the personal namespace (RFC 2342) in wire form, its delimiter included: `INBOX.`, or nothing.
    pub prefix: Vec<u8>,
    /// The prefixes of the other namespaces, other users' and shared ones: names below them never get `prefix`.
    pub others: Vec<Vec<u8>>,
}

/// What people call a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub name: FolderName,
    /// Whether the name leads back to the very same wire bytes. A mailbox whose name has another spelling than the
    /// one right one (8-bit, `R&D`) can be used by its wire bytes.
    pub exact: bool,
    /// Why the name can be shown and not used: it leads to another mailbox, to none, or out of the tree.
    pub problem: Option<String>,
}

/// Of mailboxes that people would call the same, leaves the name to one: the exact one, else the first. The others
/// get a problem.
pub fn settle(names: &mut [Named]) {
    let mut owners: HashMap<FolderName, usize> = HashMap::new();
    for (at, named) in names.iter().enumerate().filter(|(_, named)| named.problem.is_none()) {
        let owner = owners.entry(named.name.clone()).or_insert(at);
        if named.exact && !names[*owner].exact {
            *owner = at;
        }
    }
    for (at, named) in names.iter_mut().enumerate().filter(|(_, named)| named.problem.is_none()) {
        if owners.get(&named.name) != Some(&at) {
            named.problem = Some(format!("another mailbox on the server is called {} too", named.name));
        }
    }
}

impl Naming {
    /// The name that people see for a wire name that LIST gave with `delimiter`.
    pub fn name_of(&self, wire: &[u8], delimiter: Option<u8>) -> Named {
        let own = match delimiter == self.delimiter {
            true => Cow::Borrowed(self),
            false => Cow::Owned(Naming { delimiter, ..self.clone() }),
        };
        let name = match own.read(wire) {
            Ok(name) => name,
            Err(problem) => return Named { name: shown_name(wire), exact: false, problem: Some(problem) },
        };
        let (exact, problem) = match own.write(&name) {
            Ok(back) if back == wire => (true, None),
            Ok(back) if own.same_mailbox(&back, wire) => (false, None),
            Ok(back) => {
                let (wire, back) = (escaped(wire), escaped(&back));
                (false, Some(format!("the server's name {wire} reads as {name}, which is {back} there")))
            }
            Err(problem) => (false, Some(problem)),
        };
        Named { name, exact, problem }
    }

    /// The wire name for a new folder, or why the server can't have it.
    pub fn wire_of(&self, name: &FolderName) -> Result<Vec<u8>, String> {
        let wire = self.write(name)?;
        match self.read(&wire)? {
            back if back == *name => Ok(wire),
            back => Err(format!("{name} would be {} on the server, which is the place of {back}", escaped(&wire))),
        }
    }

    fn read(&self, wire: &[u8]) -> Result<FolderName, String> {
        if wire.eq_ignore_ascii_case(b"INBOX") {
            return Ok(FolderName::inbox());
        }
        let below = self.strip_prefix(wire);
        let parts: Vec<String> = match self.delimiter {
            Some(delimiter) => below.split(|byte| *byte == delimiter).map(decode).collect(),
            None => vec![decode(below)],
        };
        let what = |what: &str| format!("the server's name {} {what}", escaped(wire));
        if parts.iter().any(String::is_empty) {
            return Err(what("has an empty part"));
        }
        if parts.iter().any(|part| part == "." || part == "..") {
            return Err(what("has a part that means another directory"));
        }
        FolderName::new(parts).ok_or_else(|| what("holds NUL"))
    }

    fn write(&self, name: &FolderName) -> Result<Vec<u8>, String> {
        if name.is_inbox() {
            return Ok(b"INBOX".to_vec());
        }
        let length = name.parts().iter().map(|part| part.len() + 1).sum::<usize>();
        let mut wire = Vec::with_capacity(self.prefix.len() + length);
        for (at, part) in name.parts().iter().enumerate() {
            match self.delimiter {
                Some(delimiter) if at > 0 => wire.push(delimiter),
                None if at > 0 => return Err(format!("the server has no folders in folders, so it can't hold {name}")),
                _ => {}
            }
            let encoded = encode(part);
            if let Some(delimiter) = self.delimiter.filter(|delimiter| encoded.as_bytes().contains(delimiter)) {
                let delimiter = char::from(delimiter);
                return Err(format!("{part:?} holds {delimiter:?}, which parts folders on the server"));
            }
            wire.extend_from_slice(encoded.as_bytes());
        }
        let elsewhere = |prefix: &Vec<u8>| !prefix.is_empty() && wire.starts_with(prefix);
        if name.parts()[0] != "INBOX" && !self.others.iter().any(elsewhere) {
            wire.splice(..0, self.prefix.iter().copied());
        }
        Ok(wire)
    }

    /// Whether two wire names have the same parts, however they are spelled.
    fn same_mailbox(&self, a: &[u8], b: &[u8]) -> bool {
        let parts = |wire: &[u8]| match self.delimiter {
            Some(delimiter) => wire.split(|byte| *byte == delimiter).map(decode).collect(),
            None => vec![decode(wire)],
        };
        FolderName::new(parts(a)) == FolderName::new(parts(b))
    }

    /// What stands behind the prefix; all of it where it does not.
    fn strip_prefix<'a>(&self, wire: &'a [u8]) -> &'a [u8] {
        match wire.split_at_checked(self.prefix.len()) {
            Some((head, below)) if same_wire(&self.prefix, head, self.delimiter) && !below.is_empty() => below,
            _ => wire,
        }
    }
}

/// Whether two wire names are one: a first component INBOX is the same in any case, all else in its one spelling.
fn same_wire(a: &[u8], b: &[u8], delimiter: Option<u8>) -> bool {
    let inbox = |wire: &[u8]| {
        let first = wire.split(|byte| Some(*byte) == delimiter).next().unwrap_or_default();
        first.eq_ignore_ascii_case(b"INBOX")
    };
    a == b || (inbox(a) && inbox(b) && a.len() == b.len() && a[5..] == b[5..])
}

/// A name to show where there is none to use.
fn shown_name(wire: &[u8]) -> FolderName {
    let text = decode(wire).replace('\0', "\u{fffd}");
    FolderName::new([text]).unwrap_or_else(|| FolderName::new(["\u{fffd}"]).expect("one character, not NUL"))
}

fn escaped(wire: &[u8]) -> String {
    format!("\"{}\"", decode(wire).escape_debug())
}

/// A mailbox name, or another string, as a command carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Astring {
    /// Ready to be sent, quotes included.
    Quoted(Vec<u8>),
    /// A quoted string can't hold it: it must go as a literal.
    Literal(Vec<u8>),
}

impl Astring {
    /// Quotes `text`, `\` and `"` escaped; 8-bit bytes, CR, LF and NUL need a literal.
    pub fn new(text: &[u8]) -> Astring {
        if text.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n' | 0x80..)) {
            return Astring::Literal(text.to_vec());
        }
        let mut quoted = Vec::with_capacity(text.len() + 2);
        quoted.push(b'"');
        for byte in text {
            if matches!(byte, b'"' | b'\\') {
                quoted.push(b'\\');
            }
            quoted.push(*byte);
        }
        quoted.push(b'"');
        Astring::Quoted(quoted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naming(delimiter: &str, prefix: &str) -> Naming {
        let delimiter = delimiter.bytes().next();
        Naming { delimiter, prefix: prefix.as_bytes().to_vec(), others: vec![b"Shared.".to_vec()] }
    }

    fn name(text: &str) -> FolderName {
        FolderName::parse(text).expect("a name")
    }

    #[test]
    fn modified_utf7_is_read_and_written() {
        for (wire, text) in [
            ("INBOX", "INBOX"),
            ("Entw&APw-rfe", "Entwürfe"),
            ("~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),
            ("R&-D", "R&D"),
            ("&-&-", "&&"),
            ("&2D3eAA-", "😀"),
            ("a&AAo-b", "a\nb"),
            ("sp&AOk-cial", "spécial"),
        ] {
            assert_eq!(decode(wire.as_bytes()), text, "{wire}");
            assert_eq!(encode(text), wire, "{text}");
        }
    }

    #[test]
    fn what_is_no_modified_utf7_is_taken_as_it_stands() {
        for wire in ["a&b", "&", "&AP", "&A-", "&AP!-", "&2D0-", "&AAoA-", "x&====-"] {
            assert_eq!(decode(wire.as_bytes()), wire, "{wire}");
        }
        assert_eq!(decode("Entwürfe".as_bytes()), "Entwürfe");
        assert_eq!(decode(b"Entw\xfcrfe"), "Entwürfe");
        assert_eq!(decode("ü&APw-".as_bytes()), "ü&APw-");
    }

    #[test]
    fn names_lead_to_the_wire_and_back() {
        for (delimiter, prefix, wire, text) in [
            ("/", "", "INBOX", "INBOX"),
            ("/", "", "inbox", "INBOX"),
            ("/", "", "Inbox/a", "INBOX/a"),
            ("/", "", "a/b.c", "a/b.c"),
            (".", "", "a.b/c", "a/b\\/c"),
            (".", "INBOX.", "INBOX", "INBOX"),
            (".", "INBOX.", "INBOX.Sent", "Sent"),
            (".", "INBOX.", "Inbox.Sent", "Sent"),
            (".", "INBOX.", "INBOX.a.b", "a/b"),
            (".", "INBOX.", "Shared.x", "Shared/x"),
            ("", "", "a/b", "a\\/b"),
            ("\\", "", "a\\b", "a/b"),
            ("/", "", "Entw&APw-rfe/R&-D", "Entwürfe/R&D"),
        ] {
            let naming = naming(delimiter, prefix);
            let named = naming.name_of(wire.as_bytes(), naming.delimiter);
            assert_eq!((&named.name, &named.problem), (&name(text), &None), "{wire}");
            assert_eq!(named.exact, naming.wire_of(&named.name).as_deref() == Ok(wire.as_bytes()), "{wire}");
            let back = naming.wire_of(&named.name).expect("a wire name");
            assert!(same_wire(&back, wire.as_bytes(), naming.delimiter), "{wire} {}", back.escape_ascii());
        }
    }

    #[test]
    fn names_that_lead_nowhere_are_shown_with_the_reason() {
        let wires: [&[u8]; 10] = [b"a//b", b"/a", b"a/", b"/", b"", b"..", b"../../.ssh", b"a/./b", b"/etc/x", b"a\0b"];
        for wire in wires {
            let named = naming("/", "").name_of(wire, Some(b'/'));
            assert!(named.problem.is_some(), "{}: {named:?}", wire.escape_ascii());
        }
        for wire in ["INBOX.INBOX", "INBOX.INBOX.a", "Elsewhere", "INBOX.Shared.x", "INBOX."] {
            let named = naming(".", "INBOX.").name_of(wire.as_bytes(), Some(b'.'));
            assert!(named.problem.is_some(), "{wire}: {named:?}");
        }
    }

    #[test]
    fn names_in_another_spelling_are_used_by_their_wire_bytes() {
        let spellings: [(&[u8], &str); 5] = [
            (b"R&D", "R&D"),
            (b"&AGEAYg-", "ab"),
            (b"x/Entw\xc3\xbcrfe", "x/Entwürfe"),
            (b"Entw\xfcrfe", "Entwürfe"),
            (b"inbox/a", "INBOX/a"),
        ];
        for (wire, text) in spellings {
            let named = naming("/", "").name_of(wire, Some(b'/'));
            assert_eq!(named, Named { name: name(text), exact: false, problem: None }, "{}", wire.escape_ascii());
        }
    }

    #[test]
    fn one_name_is_left_to_one_mailbox() {
        let naming = naming("/", "");
        let wires = ["R&D", "R&-D", "a", "inbox", "Inbox"];
        let mut names: Vec<Named> = wires.iter().map(|wire| naming.name_of(wire.as_bytes(), Some(b'/'))).collect();
        settle(&mut names);
        let usable: Vec<bool> = names.iter().map(|named| named.problem.is_none()).collect();
        assert_eq!(usable, [false, true, true, true, false]);
    }

    #[test]
    fn names_that_the_server_cannot_have_are_refused() {
        assert!(naming(".", "").wire_of(&name("a.b")).is_err());
        assert!(naming("", "").wire_of(&name("a/b")).is_err());
        assert!(naming(".", "INBOX.").wire_of(&name("INBOX/a")).is_err());
        assert!(naming("/", "").wire_of(&name("../a")).is_err());
    }

    #[test]
    fn names_are_quoted_or_sent_as_literals() {
        assert_eq!(Astring::new(br#"a "b\c"#), Astring::Quoted(br#""a \"b\\c""#.to_vec()));
        assert_eq!(Astring::new(b""), Astring::Quoted(b"\"\"".to_vec()));
        for raw in [b"\xfc".as_slice(), b"a\rb", b"a\nb", b"a\0b"] {
            assert_eq!(Astring::new(raw), Astring::Literal(raw.to_vec()));
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same(text in any::<String>()) {
            let wire = encode(&text);
            prop_assert!(wire.bytes().all(|byte| matches!(byte, b' '..=b'~')));
            prop_assert_eq!(decode(wire.as_bytes()), text);
        }

        #[test]
        fn any_wire_name_leads_to_the_same_mailbox_or_has_a_problem(
            wire in proptest::collection::vec(prop_oneof![Just(b'/'), Just(b'&'), Just(b'-'), any::<u8>()], 0..20),
        ) {
            let naming = naming("/", "");
            let named = naming.name_of(&wire, Some(b'/'));
            if named.problem.is_none() {
                let back = naming.wire_of(&named.name);
                prop_assert_eq!(named.exact, back.as_deref() == Ok(wire.as_slice()));
                prop_assert!(back.is_ok_and(|back| naming.same_mailbox(&back, &wire)));
            }
        }
    }
}
