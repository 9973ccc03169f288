//! Who wrote a new message, and about what: read from its file, decoded as far as it can be (RFC 2047).
//!
//! Whatever a message holds, what comes of it is text without control characters, and not long.

use serde::Serialize;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What is looked through for the header fields, in bytes.
const MAX_HEADER: u64 = 64 << 10;
/// No text is longer, in characters.
const MAX_TEXT: usize = 500;

/// `None` for what a message does not say, or where it is no longer there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Header {
    pub from: Option<String>,
    pub subject: Option<String>,
}

/// Reads the header of a message's file.
pub fn read(path: &Path) -> Header {
    // What is no plain file is no message, and must not hold anybody up.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = File::options().read(true).custom_flags(flags).open(path);
    let mut bytes = Vec::new();
    let plain = file.and_then(|file| Ok(file.metadata()?.is_file().then_some(file)));
    // Another program may have renamed or removed it meanwhile.
    if let Ok(Some(file)) = plain
        && file.take(MAX_HEADER).read_to_end(&mut bytes).is_ok()
    {
        return Header { from: field(&bytes, "from"), subject: field(&bytes, "subject") };
    }
    Header::default()
}

/// The first field of that name (in lower case), unfolded and decoded.
fn field(message: &[u8], name: &str) -> Option<String> {
    let mut value: Option<Vec<u8>> = None;
    for line in message.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match (&mut value, line.first()) {
            (_, None) => break,
            (Some(value), Some(b' ' | b'\t')) => value.extend_from_slice(line),
            (Some(_), _) => break,
            (None, _) => {
                let colon = line.iter().position(|byte| *byte == b':');
                let named = colon.filter(|at| line[..*at].trim_ascii().eq_ignore_ascii_case(name.as_bytes()));
                value = named.map(|at| line[at + 1..].to_vec());
            }
        }
    }
    value.map(|value| decode(&value))
}

/// Decodes encoded words; what is none, or is of an unknown kind, stays as it is.
fn decode(value: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = value;
    let mut after_word = false;
    while let Some(at) = find(rest, b"=?") {
        let (before, from) = rest.split_at(at);
        match encoded_word(from) {
            Some((word, length)) => {
                // Blanks between two encoded words are not part of the text (RFC 2047 section 6.2).
                if !(after_word && before.trim_ascii().is_empty()) {
                    text.push_str(&raw(before));
                }
                text.push_str(&word);
                (rest, after_word) = (&from[length..], true);
            }
            None => {
                text.push_str(&raw(&rest[..at + 2]));
                (rest, after_word) = (&from[2..], false);
            }
        }
    }
    text.push_str(&raw(rest));
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAX_TEXT).collect()
}

/// Bytes that nobody encoded: UTF-8, or what Windows calls Latin.
fn raw(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap_or_else(|_| bytes.iter().map(|byte| western(*byte)).collect())
}

/// The encoded word with which `text` begins, and its length.
fn encoded_word(text: &[u8]) -> Option<(String, usize)> {
    let charset_end = 2 + text.get(2..)?.iter().position(|byte| *byte == b'?')?;
    let charset = std::str::from_utf8(&text[2..charset_end]).ok()?;
    let body = charset_end + 3;
    let (encoding, mark) = (*text.get(charset_end + 1)?, *text.get(charset_end + 2)?);
    let end = body + find(text.get(body..)?, b"?=")?;
    if mark != b'?' || text[..end].contains(&b'\n') {
        return None;
    }
    let bytes = match encoding.to_ascii_lowercase() {
        b'q' => quoted(&text[body..end]),
        b'b' => base64(&text[body..end]),
        _ => return None,
    };
    // RFC 2231 section 5 lets a language stand behind the character set.
    let charset = charset.split('*').next().unwrap_or_default();
    Some((in_charset(charset, &bytes)?, end + 2))
}

fn in_charset(charset: &str, bytes: &[u8]) -> Option<String> {
    match charset.to_ascii_lowercase().as_str() {
        "utf-8" | "utf8" | "us-ascii" | "ascii" => Some(String::from_utf8_lossy(bytes).into_owned()),
        "iso-8859-1" | "latin1" | "windows-1252" | "cp1252" => Some(bytes.iter().map(|b| western(*b)).collect()),
        "iso-8859-15" | "latin9" => Some(bytes.iter().map(|b| latin9(*b)).collect()),
        _ => None,
    }
}

/// Windows-1252, which is also what many a message means by ISO-8859-1.
fn western(byte: u8) -> char {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘',
        '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => HIGH[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

fn latin9(byte: u8) -> char {
    match byte {
        0xa4 => '€',
        0xa6 => 'Š',
        0xa8 => 'š',
        0xb4 => 'Ž',
        0xb8 => 'ž',
        0xbc => 'Œ',
        0xbd => 'œ',
        0xbe => 'Ÿ',
        _ => char::from(byte),
    }
}

/// The Q encoding (RFC 2047 section 4.2).
fn quoted(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (mut bytes, mut at) = (Vec::with_capacity(text.len()), 0);
    while let Some(byte) = text.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'=', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'_', ..) => bytes.push(b' '),
            (other, ..) => bytes.push(*other),
        }
        at += 1;
    }
    bytes
}

/// Base64 up to where it ends, whatever else is in it.
fn base64(text: &[u8]) -> Vec<u8> {
    let (mut bytes, mut bits, mut count) = (Vec::with_capacity(text.len()), 0u32, 0);
    for byte in text.iter().take_while(|byte| **byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = (bits << 6 | u32::from(value)) & 0xff_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn encoded_words_become_text() {
        for (written, read) in [
            ("plain", "plain"),
            ("=?utf-8?Q?Gr=C3=BC=C3=9Fe_an_dich?=", "Grüße an dich"),
            ("=?UTF-8?B?R3LDvMOfZQ==?= und mehr", "Grüße und mehr"),
            ("=?iso-8859-1?q?caf=E9?=", "café"),
            ("=?windows-1252?Q?=80_100?=", "€ 100"),
            ("=?iso-8859-15?Q?=A4?=", "€"),
            ("=?utf-8?q?one?=\r\n =?utf-8?q?two?= three", "onetwo three"),
            ("=?utf-8*de?q?eins?=", "eins"),
            ("=?koi8-r?Q?=F0?=", "=?koi8-r?Q?=F0?="),
            ("=?utf-8?x?y?=", "=?utf-8?x?y?="),
            ("a =? b", "a =? b"),
            ("=?utf-8?q?broken", "=?utf-8?q?broken"),
            ("=?utf-8?q?=1B]0;evil=07=0Aline?=", "]0;evil line"),
        ] {
            assert_eq!(decode(written.as_bytes()), read, "{written}");
        }
        assert_eq!(decode(b"caf\xe9"), "café");
    }

    #[test]
    fn a_field_is_unfolded_and_ends_with_the_next_one_or_the_header() {
        let message = b"From: Ann <a@b>\r\nSUBJECT : one\r\n\ttwo\r\nTo: me\r\n\r\nSubject: of the body\r\n";
        assert_eq!(field(message, "subject").as_deref(), Some("one two"));
        assert_eq!(field(message, "from").as_deref(), Some("Ann <a@b>"));
        assert_eq!(field(b"To: me\n\nSubject: body\n", "subject"), None);
    }

    #[test]
    fn what_is_no_plain_file_says_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(read(dir.path()), Header::default());
        assert_eq!(read(&dir.path().join("gone")), Header::default());
    }

    proptest! {
        #[test]
        fn whatever_a_header_holds_it_becomes_short_and_plain_text(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut words = b"Subject: =?utf-8?q?".to_vec();
            words.extend(&bytes);
            for text in [decode(&bytes), decode(&words)] {
                prop_assert!(text.chars().count() <= MAX_TEXT && !text.contains(char::is_control));
            }
            let _ = field(&bytes, "subject");
        }
    }
}
