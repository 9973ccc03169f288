//! Splits a netrc file into words: quotes, escapes, comments, macros, any encoding, any line ends.

use zeroize::Zeroize;

/// A word and where it stands; overwritten when it is dropped, for it may be a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    /// Counted from 1.
    pub line: usize,
    /// Whether it was written in quotes: then it is no keyword.
    pub quoted: bool,
}

impl Drop for Token {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

/// Something odd, said without a word that could be part of a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub line: usize,
    pub what: &'static str,
}

/// Reads tokens one by one; the parser says what it expects, for that decides what a `#` is.
pub struct Lexer<'a> {
    bytes: &'a [u8],
    position: usize,
    line: usize,
    /// Whether nothing but blanks stood before the position in its line.
    fresh: bool,
    pub warnings: Vec<Warning>,
}

impl<'a> Lexer<'a> {
    pub fn new(bytes: &'a [u8]) -> Lexer<'a> {
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        Lexer { bytes, position: 0, line: 1, fresh: true, warnings: Vec::new() }
    }

    /// The next word where a keyword is expected: `#` begins a comment.
    pub fn keyword(&mut self) -> Option<Token> {
        self.token(true)
    }

    /// The next word where a value is expected: it may begin with `#`, unless that begins a line.
    pub fn value(&mut self) -> Option<Token> {
        self.token(false)
    }

    /// Passes over the rest of this line and all lines up to an empty one: the body of a macro.
    pub fn skip_macro(&mut self) {
        self.skip_line();
        while self.position < self.bytes.len() {
            let start = self.position;
            self.skip_line();
            if self.bytes[start..self.position].iter().all(u8::is_ascii_whitespace) {
                return;
            }
        }
    }

    fn token(&mut self, keyword: bool) -> Option<Token> {
        loop {
            match self.peek()? {
                b'\n' => self.newline(),
                byte if is_blank(byte) => self.position += 1,
                b'#' if keyword || self.fresh => self.skip_line(),
                _ => break,
            }
        }
        self.fresh = false;
        let (line, quoted) = (self.line, self.peek() == Some(b'"'));
        let word = if quoted { self.quoted() } else { self.bare() };
        Some(Token { text: decode(word), line, quoted })
    }

    fn quoted(&mut self) -> Vec<u8> {
        let mut word = Vec::new();
        self.position += 1;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.position += 1;
                    return word;
                }
                b'\n' => break,
                b'\\' => word.extend(self.escaped()),
                byte => {
                    word.push(byte);
                    self.position += 1;
                }
            }
        }
        if word.last() == Some(&b'\r') {
            word.pop();
        }
        self.warnings.push(Warning { line: self.line, what: "a quote that does not end in its line" });
        word
    }

    fn bare(&mut self) -> Vec<u8> {
        let mut word = Vec::new();
        while let Some(byte) = self.peek() {
            match byte {
                byte if byte == b'\n' || is_blank(byte) => break,
                b'\\' => word.extend(self.escaped()),
                byte => {
                    word.push(byte);
                    self.position += 1;
                }
            }
        }
        word
    }

    /// What a backslash makes of the byte behind it: that byte. At the end of a line it is itself.
    fn escaped(&mut self) -> Option<u8> {
        self.position += 1;
        match self.peek() {
            None | Some(b'\n') => Some(b'\\'),
            Some(b'\r') if self.bytes.get(self.position + 1) == Some(&b'\n') => Some(b'\\'),
            Some(byte) => {
                self.position += 1;
                Some(byte)
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.position).copied()
    }

    fn newline(&mut self) {
        self.position += 1;
        self.line += 1;
        self.fresh = true;
    }

    fn skip_line(&mut self) {
        while let Some(byte) = self.peek() {
            if byte == b'\n' {
                return self.newline();
            }
            self.position += 1;
        }
    }
}

/// What separates words within a line. Only ASCII: a no-break space may be part of a password.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | 0x0B | 0x0C)
}

/// A word that is not UTF-8 is Latin-1.
fn decode(word: Vec<u8>) -> String {
    String::from_utf8(word).unwrap_or_else(|err| err.into_bytes().into_iter().map(char::from).collect())
}

/// Writes a word so that the lexer reads it back; it must not hold a line end.
pub fn quote(word: &str) -> String {
    let plain = !word.is_empty()
        && !word.starts_with('#')
        && word.chars().all(|c| !c.is_ascii_whitespace() && !matches!(c, '"' | '\\' | '\u{b}'));
    match plain {
        true => word.to_owned(),
        false => format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}
