//! A cursor over the bytes of a response.

use std::borrow::Cow;

/// What stands in the place of one value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Nil,
    Atom(&'a [u8]),
    /// A quoted string or a literal.
    Text(Cow<'a, [u8]>),
    /// A literal of this length whose content went elsewhere.
    Streamed(u64),
    /// A list, passed over.
    List,
}

/// Every method starts by passing over blanks, and moves on at least one byte or says that there is nothing.
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the `{` of streamed literals stand, ascending.
    streamed: &'a [usize],
}

impl<'a> Scanner<'a> {
    pub(super) fn new(bytes: &'a [u8], streamed: &'a [usize]) -> Scanner<'a> {
        Scanner { bytes, at: 0, streamed }
    }

    pub(super) fn skip(&mut self, count: usize) {
        self.at = (self.at + count).min(self.bytes.len());
    }

    /// The next byte that is no blank; it stays there.
    pub(super) fn peek(&mut self) -> Option<u8> {
        while self.bytes.get(self.at).is_some_and(|byte| is_blank(*byte)) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    /// All that is left, without blanks around it.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        self.peek();
        let rest = &self.bytes[self.at..];
        self.at = self.bytes.len();
        rest.trim_ascii_end()
    }

    /// All that is left; it stays there.
    pub(super) fn ahead(&mut self) -> &'a [u8] {
        self.peek();
        &self.bytes[self.at..]
    }

    /// What stands before the next blank; empty at the end.
    pub(super) fn word(&mut self) -> &'a [u8] {
        self.peek();
        self.take(is_blank)
    }

    /// What stands before the next blank or parenthesis; empty where there is nothing.
    pub(super) fn atom(&mut self) -> &'a [u8] {
        self.peek();
        self.take(|byte| is_blank(byte) || byte == b'(' || byte == b')')
    }

    /// The name of a FETCH item: an atom that may have a section (`BODY[HEADER.FIELDS (DATE)]<0>`) in it.
    pub(super) fn item_name(&mut self) -> &'a [u8] {
        self.peek();
        let mut in_section = false;
        self.take(|byte| {
            match byte {
                b'[' => in_section = true,
                b']' => in_section = false,
                _ => {}
            }
            !in_section && (is_blank(byte) || byte == b'(' || byte == b')' || byte == b'{')
        })
    }

    fn take(&mut self, mut ends: impl FnMut(u8) -> bool) -> &'a [u8] {
        let from = self.at;
        let length = self.bytes[from..].iter().position(|byte| ends(*byte)).unwrap_or(self.bytes.len() - from);
        self.at += length;
        &self.bytes[from..self.at]
    }

    /// Passes over `(` if it is next.
    pub(super) fn open(&mut self) -> bool {
        let open = self.peek() == Some(b'(');
        if open {
            self.at += 1;
        }
        open
    }

    /// Passes over `)` if it is next.
    pub(super) fn close(&mut self) -> bool {
        let close = self.peek() == Some(b')');
        if close {
            self.at += 1;
        }
        close
    }

    /// Passes over what is left of the list that is open, and its `)`.
    pub(super) fn close_list(&mut self) {
        let mut depth = 1_usize;
        while depth > 0 {
            match self.peek() {
                None => return,
                Some(b'(') => {
                    depth += 1;
                    self.at += 1;
                }
                Some(b')') => {
                    depth -= 1;
                    self.at += 1;
                }
                Some(_) => {
                    self.value();
                }
            }
        }
    }

    /// The next value; `None` at `)` and at the end.
    pub(super) fn value(&mut self) -> Option<Value<'a>> {
        match self.peek()? {
            b')' => None,
            b'(' => {
                self.at += 1;
                self.close_list();
                Some(Value::List)
            }
            b'"' => Some(Value::Text(self.quoted())),
            b'{' | b'~' => match self.literal() {
                Some(value) => Some(value),
                None => Some(Value::Atom(self.nonempty_atom())),
            },
            _ => match self.nonempty_atom() {
                atom if atom.eq_ignore_ascii_case(b"NIL") => Some(Value::Nil),
                atom => Some(Value::Atom(atom)),
            },
        }
    }

    fn nonempty_atom(&mut self) -> &'a [u8] {
        let from = self.at;
        if self.atom().is_empty() {
            self.skip(1);
        }
        &self.bytes[from..self.at]
    }

    /// `\"` and `\\` lose their backslash; before anything else it stays. Without an end, it goes to the end.
    fn quoted(&mut self) -> Cow<'a, [u8]> {
        let from = self.at + 1;
        let mut end = from;
        let mut escaped = false;
        while let Some(byte) = self.bytes.get(end) {
            match (byte, self.bytes.get(end + 1)) {
                (b'"', _) => break,
                (b'\\', Some(b'"' | b'\\')) => {
                    escaped = true;
                    end += 2;
                }
                _ => end += 1,
            }
        }
        self.at = (end + 1).min(self.bytes.len());
        let raw = &self.bytes[from.min(end)..end];
        if !escaped {
            return Cow::Borrowed(raw);
        }
        let mut text = Vec::with_capacity(raw.len());
        let mut bytes = raw.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            match (byte, bytes.peek().copied()) {
                (b'\\', Some(next @ (b'"' | b'\\'))) => {
                    bytes.next();
                    text.push(next);
                }
                _ => text.push(byte),
            }
        }
        Cow::Owned(text)
    }

    /// A literal, if there is a whole one here.
    fn literal(&mut self) -> Option<Value<'a>> {
        let brace = self.at + usize::from(self.bytes[self.at] == b'~');
        let inner = self.bytes.get(brace..)?.strip_prefix(b"{")?;
        let digits = inner.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let length = number(&inner[..digits])?;
        let after = &inner[digits..];
        let after = after.strip_prefix(b"+").unwrap_or(after).strip_prefix(b"}")?;
        let content = match after.strip_prefix(b"\r\n").or_else(|| after.strip_prefix(b"\n")) {
            Some(content) => content,
            None if after.is_empty() => after,
            None => return None,
        };
        let start = self.bytes.len() - content.len();
        // A hostile server can send millions of empty ones in one response.
        if self.streamed.binary_search(&brace).is_ok() {
            self.at = start;
            return Some(Value::Streamed(length));
        }
        let content = content.get(..usize::try_from(length).ok()?)?;
        self.at = start + content.len();
        Some(Value::Text(Cow::Borrowed(content)))
    }

    pub(super) fn skip_value(&mut self) {
        self.value();
    }

    /// The next value as a string, atoms and NIL included; `None` where it is none.
    pub(super) fn string(&mut self) -> Option<Cow<'a, [u8]>> {
        match self.value()? {
            Value::Nil => Some(Cow::Borrowed(b"NIL")),
            Value::Atom(atom) => Some(Cow::Borrowed(atom)),
            Value::Text(text) => Some(text),
            Value::Streamed(_) | Value::List => None,
        }
    }

    /// The next value as a string; `None` for NIL too.
    pub(super) fn string_or_nil(&mut self) -> Option<Cow<'a, [u8]>> {
        match self.value()? {
            Value::Atom(atom) => Some(Cow::Borrowed(atom)),
            Value::Text(text) => Some(text),
            Value::Nil | Value::Streamed(_) | Value::List => None,
        }
    }

    /// The strings of a list, or one that stands alone; lists inside it, and a lone backslash, are passed over.
    pub(super) fn strings(&mut self) -> Vec<String> {
        let mut strings = Vec::new();
        let one = !self.open();
        while let Some(value) = self.value() {
            match value {
                Value::Atom(atom) if atom != b"\\" => strings.push(text_of(atom)),
                Value::Text(text) if !text.is_empty() => strings.push(text_of(&text)),
                Value::Nil if !one => strings.push("NIL".to_owned()),
                _ => {}
            }
            if one {
                return strings;
            }
        }
        self.close();
        strings
    }

    /// The next value as a number, in parentheses or not, quoted or not.
    pub(super) fn number_value(&mut self) -> Option<u64> {
        let list = self.open();
        let value = self.string().and_then(|text| number(&text));
        if list {
            self.close_list();
        }
        value
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Longer than the names of responses, of STATUS items, and of FETCH items without their sections.
pub(super) const LONGEST: usize = 16;

/// A word in upper case; of one that is longer than all that are known, its beginning.
pub(super) fn upper<'a>(word: &[u8], room: &'a mut [u8; LONGEST]) -> &'a [u8] {
    let room = &mut room[..word.len().min(LONGEST)];
    room.copy_from_slice(&word[..room.len()]);
    room.make_ascii_uppercase();
    room
}

/// Digits and nothing else, up to 64 bit.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    digits.iter().try_fold(0_u64, |n, digit| n.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

/// UTF-8 if it is, else Latin-1.
pub(super) fn text_of(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}
