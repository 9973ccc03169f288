//! A small IMAP client of the tests' own, in plain text over loopback, that shares nothing with the program under test.
//! Every command that the server refuses is a panic.

use super::{date, sha256_of_lf};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A logged-in connection.
pub struct Imap {
    stream: BufReader<TcpStream>,
    tags: usize,
}

/// A message as the server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerMessage {
    pub uid: u32,
    /// Sorted, without `\Recent`.
    pub flags: Vec<String>,
    /// Seconds since 1970.
    pub date: i64,
    /// RFC822.SIZE.
    pub size: u64,
    /// Of the message with LF line ends.
    pub sha256: String,
    /// As it was sent, with CRLF.
    pub bytes: Vec<u8>,
}

impl ServerMessage {
    /// Whether the flag is set, in any case.
    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|have| have.eq_ignore_ascii_case(flag))
    }

    /// The value of Subject, for messages that tests made.
    pub fn subject(&self) -> String {
        super::subject_of(&self.bytes)
    }
}

/// One response: the text with the literals cut out, and the literals in order.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// Text before the first literal, between literals, and after the last.
    pub text: String,
    pub literals: Vec<Vec<u8>>,
}

impl Imap {
    /// Connects in plain text and logs in.
    pub fn login(port: u16, user: &str, password: &str) -> Imap {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("connect to the server");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set a timeout");
        stream.set_nodelay(true).expect("set TCP_NODELAY");
        let mut imap = Imap { stream: BufReader::new(stream), tags: 0 };
        let greeting = imap.response();
        assert!(greeting.text.starts_with("* OK"), "greeting: {}", greeting.text);
        imap.run(&[Arg::Word("LOGIN"), Arg::Text(user.as_bytes()), Arg::Text(password.as_bytes())]);
        imap
    }

    /// Sends one command line and gives its untagged responses.
    pub fn command(&mut self, line: &str) -> Vec<Response> {
        self.run(&[Arg::Word(line)])
    }

    /// Stores a message, its line ends as they are, and creates nothing. `date` is in seconds since 1970.
    pub fn append(&mut self, folder: &str, message: &[u8], flags: &[&str], date: Option<i64>) {
        let name = utf7(folder);
        let flags = format!("({})", flags.join(" "));
        let stamp = date.map(|seconds| format!("\"{}\"", date::internal(seconds)));
        let mut args = vec![Arg::Word("APPEND"), Arg::Text(name.as_bytes()), Arg::Word(&flags)];
        args.extend(stamp.as_deref().map(Arg::Word));
        args.push(Arg::Text(message));
        self.run(&args);
    }

    /// The names of all folders that can be selected, in text form, sorted.
    pub fn list(&mut self) -> Vec<String> {
        let lines = self.command("LIST \"\" \"*\"");
        let mut names: Vec<String> =
            lines.iter().filter(|line| !line.text.to_ascii_lowercase().contains("\\noselect")).map(list_name).collect();
        names.sort();
        names
    }

    /// All messages of a folder, by UID.
    pub fn messages(&mut self, folder: &str) -> Vec<ServerMessage> {
        self.folder("EXAMINE", folder);
        let lines = self.command("UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])");
        let mut messages: Vec<ServerMessage> = lines
            .into_iter()
            // What others just changed is told without a UID.
            .filter(|line| line.text.contains(" FETCH (") && line.text.contains("UID "))
            .map(message)
            .collect();
        messages.sort_by_key(|message| message.uid);
        messages
    }

    /// The one message of the folder with this subject.
    pub fn message(&mut self, folder: &str, subject: &str) -> ServerMessage {
        let mut found: Vec<_> = self.messages(folder).into_iter().filter(|m| m.subject() == subject).collect();
        assert_eq!(found.len(), 1, "messages {subject:?} in {folder}");
        found.remove(0)
    }

    /// Adds (`+FLAGS`) and removes (`-FLAGS`) flags of one message.
    pub fn set_flags(&mut self, folder: &str, uid: u32, add: &[&str], remove: &[&str]) {
        self.folder("SELECT", folder);
        for (sign, flags) in [('+', add), ('-', remove)] {
            if !flags.is_empty() {
                self.command(&format!("UID STORE {uid} {sign}FLAGS.SILENT ({})", flags.join(" ")));
            }
        }
    }

    /// Marks these messages deleted and expunges all that are so marked.
    pub fn expunge(&mut self, folder: &str, uids: &[u32]) {
        self.folder("SELECT", folder);
        for uid in uids {
            self.command(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)"));
        }
        self.command("EXPUNGE");
    }

    /// Expunges the one message with this subject.
    pub fn delete(&mut self, folder: &str, subject: &str) {
        let uid = self.message(folder, subject).uid;
        self.expunge(folder, &[uid]);
    }

    /// Moves a message with MOVE (RFC 6851).
    pub fn move_to(&mut self, folder: &str, uid: u32, into: &str) {
        self.folder("SELECT", folder);
        let (line, name) = (format!("UID MOVE {uid}"), utf7(into));
        self.run(&[Arg::Word(&line), Arg::Text(name.as_bytes())]);
    }

    pub fn create(&mut self, folder: &str) {
        self.folder("CREATE", folder);
    }

    pub fn subscribe(&mut self, folder: &str) {
        self.folder("SUBSCRIBE", folder);
    }

    pub fn delete_folder(&mut self, folder: &str) {
        self.folder("DELETE", folder);
    }

    pub fn rename(&mut self, from: &str, to: &str) {
        let (from, to) = (utf7(from), utf7(to));
        self.run(&[Arg::Word("RENAME"), Arg::Text(from.as_bytes()), Arg::Text(to.as_bytes())]);
    }

    /// The number after `item` in STATUS: MESSAGES, UIDNEXT, UIDVALIDITY, UNSEEN.
    pub fn status(&mut self, folder: &str, item: &str) -> u64 {
        let name = utf7(folder);
        let items = format!("({item})");
        let lines = self.run(&[Arg::Word("STATUS"), Arg::Text(name.as_bytes()), Arg::Word(&items)]);
        let text = lines.iter().map(|line| line.text.as_str()).find(|text| text.starts_with("* STATUS"));
        let text = text.unwrap_or_else(|| panic!("no STATUS for {folder}"));
        let inner = text.rsplit('(').next().unwrap_or_default().trim_end_matches(')');
        let number = inner.strip_prefix(item).map(str::trim).and_then(|number| number.parse().ok());
        number.unwrap_or_else(|| panic!("odd STATUS: {text}"))
    }

    fn folder(&mut self, command: &str, folder: &str) -> Vec<Response> {
        let name = utf7(folder);
        self.run(&[Arg::Word(command), Arg::Text(name.as_bytes())])
    }

    /// Sends a command, its texts as synchronising literals, and reads up to its OK.
    fn run(&mut self, args: &[Arg]) -> Vec<Response> {
        self.tags += 1;
        let tag = format!("T{}", self.tags);
        let mut out = tag.clone().into_bytes();
        let mut shown = String::new();
        for arg in args {
            out.push(b' ');
            match arg {
                Arg::Word(word) => {
                    out.extend_from_slice(word.as_bytes());
                    shown.push_str(&format!(" {word}"));
                }
                Arg::Text(text) => {
                    out.extend_from_slice(format!("{{{}}}\r\n", text.len()).as_bytes());
                    self.send(&out);
                    let answer = self.response();
                    assert!(answer.text.starts_with('+'), "{shown}: {}", answer.text);
                    out = text.to_vec();
                    shown.push_str(&format!(" {}", String::from_utf8_lossy(&text[..text.len().min(60)])));
                }
            }
        }
        out.extend_from_slice(b"\r\n");
        self.send(&out);
        let mut untagged = Vec::new();
        loop {
            let response = self.response();
            match response.text.strip_prefix(&format!("{tag} ")) {
                Some(rest) if rest.starts_with("OK") => return untagged,
                Some(rest) => panic!("{}: {rest}", shown.trim()),
                None => untagged.push(response),
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("send to the server");
    }

    fn response(&mut self) -> Response {
        let mut response = Response::default();
        loop {
            let mut line = Vec::new();
            let n = self.stream.read_until(b'\n', &mut line).expect("read from the server");
            assert!(n > 0, "the server closed the connection");
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            let Some(length) = literal_length(line) else {
                response.text.push_str(line);
                return response;
            };
            response.text.push_str(&line[..line.rfind('{').unwrap_or_default()]);
            let mut bytes = vec![0; length];
            self.stream.read_exact(&mut bytes).expect("read a literal");
            response.literals.push(bytes);
        }
    }
}

enum Arg<'a> {
    /// Sent as it stands.
    Word(&'a str),
    /// Sent as a literal.
    Text(&'a [u8]),
}

fn literal_length(line: &str) -> Option<usize> {
    line.strip_suffix('}')?.rsplit_once('{')?.1.parse().ok()
}

fn list_name(line: &Response) -> String {
    if let [name] = line.literals.as_slice() {
        return from_utf7(&String::from_utf8_lossy(name));
    }
    // * LIST (attributes) "/" name
    let after = line.text.split_once(") ").map(|(_, rest)| rest).unwrap_or_default();
    let name = after.split_once(' ').map(|(_, name)| name).unwrap_or_default();
    let name = match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => name.to_owned(),
    };
    from_utf7(&name)
}

fn message(response: Response) -> ServerMessage {
    let text = &response.text;
    let after = |item: &str| text.split_once(&format!("{item} ")).map(|(_, rest)| rest);
    let number = |item: &str| after(item).map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
    let number = |item: &str| number(item).and_then(|digits| digits.parse::<u64>().ok());
    let flags = after("FLAGS").and_then(|rest| rest.strip_prefix('(')?.split_once(')')).map(|(flags, _)| flags);
    let mut flags: Vec<String> = flags.unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    flags.retain(|flag| flag != "\\Recent");
    flags.sort();
    let stamp = after("INTERNALDATE").and_then(|rest| rest.strip_prefix('"')?.split_once('"'));
    // An empty message comes as "" or as an empty literal.
    let bytes = response.literals.into_iter().next().unwrap_or_default();
    ServerMessage {
        uid: number("UID").and_then(|uid| u32::try_from(uid).ok()).unwrap_or_else(|| panic!("no UID: {text}")),
        flags,
        date: stamp.map(|(stamp, _)| date::parse_internal(stamp)).unwrap_or_else(|| panic!("no date: {text}")),
        size: number("RFC822.SIZE").unwrap_or_else(|| panic!("no size: {text}")),
        sha256: sha256_of_lf(&bytes),
        bytes,
    }
}

/// Modified UTF-7 (RFC 3501 section 5.1.3).
pub fn utf7(name: &str) -> String {
    let mut out = String::new();
    let mut wide: Vec<u16> = Vec::new();
    for c in name.chars() {
        if matches!(c, ' '..='~') {
            flush(&mut wide, &mut out);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            wide.extend_from_slice(c.encode_utf16(&mut [0; 2]));
        }
    }
    flush(&mut wide, &mut out);
    out
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

fn flush(wide: &mut Vec<u16>, out: &mut String) {
    if wide.is_empty() {
        return;
    }
    out.push('&');
    let bits: Vec<u8> = wide.drain(..).flat_map(|unit| (0..16).rev().map(move |bit| (unit >> bit & 1) as u8)).collect();
    for six in bits.chunks(6) {
        let value = six.iter().fold(0, |value, bit| value << 1 | bit) << (6 - six.len());
        out.push(char::from(DIGITS[usize::from(value)]));
    }
    out.push('-');
}

/// Undoes [`utf7`]; what is not modified UTF-7 stays as it is.
pub fn from_utf7(name: &str) -> String {
    let mut out = String::new();
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let Some((coded, tail)) = after.split_once('-') else {
            out.push('&');
            rest = after;
            continue;
        };
        let bits: Vec<u8> = coded
            .bytes()
            .filter_map(|digit| DIGITS.iter().position(|d| *d == digit))
            .flat_map(|value| (0..6).rev().map(move |bit| (value >> bit & 1) as u8))
            .collect();
        let units: Vec<u16> =
            bits.chunks_exact(16).map(|unit| unit.iter().fold(0, |value, bit| value << 1 | u16::from(*bit))).collect();
        if coded.is_empty() {
            out.push('&');
        } else {
            out.push_str(&String::from_utf16_lossy(&units));
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}
