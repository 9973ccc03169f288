//! Odd messages, the same ones for the same seed.

/// A message with LF line ends, what it is flagged with, and its date.
#[derive(Clone, Debug)]
pub struct Odd {
    pub bytes: Vec<u8>,
    /// System flags and `$Forwarded`.
    pub flags: Vec<&'static str>,
    pub keywords: Vec<&'static str>,
    /// Seconds since 1970, up to the end of 2037.
    pub date: i64,
}

impl Odd {
    /// With CRLF line ends, as it goes over the wire.
    pub fn wire(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.len() + self.bytes.len() / 32);
        for (at, byte) in self.bytes.iter().enumerate() {
            if *byte == b'\n' && (at == 0 || self.bytes[at - 1] != b'\r') {
                out.push(b'\r');
            }
            out.push(*byte);
        }
        out
    }

    /// Flags and keywords together, sorted.
    pub fn all_flags(&self) -> Vec<&'static str> {
        let mut all: Vec<&str> = self.flags.iter().chain(&self.keywords).copied().collect();
        all.sort();
        all
    }

    /// The Maildir letters of the flags, sorted.
    pub fn letters(&self) -> String {
        let mut letters: Vec<char> = self.flags.iter().map(|flag| letter(flag)).collect();
        letters.sort();
        letters.into_iter().collect()
    }
}

/// The flags of the corpus with their Maildir letters. `\Deleted` is left out: whoever expunges would take it along.
pub const FLAGS: [(&str, char); 5] =
    [("\\Draft", 'D'), ("\\Flagged", 'F'), ("$Forwarded", 'P'), ("\\Answered", 'R'), ("\\Seen", 'S')];
const KEYWORDS: [&str; 4] = ["$Label1", "Junk", "NonJunk", "project-x"];

/// The Maildir letter of an IMAP flag.
pub fn letter(flag: &str) -> char {
    let found = FLAGS.iter().find(|(name, _)| *name == flag);
    found.unwrap_or_else(|| panic!("{flag} has no letter")).1
}

/// So many messages. Every kind of oddity comes up once in 24, with huge ones among them only where `huge` is set.
pub fn corpus(count: usize, seed: u64, huge: bool) -> Vec<Odd> {
    let mut random = Random(seed);
    let mut all: Vec<Odd> = Vec::with_capacity(count);
    for at in 0..count {
        let bytes = match at % 24 {
            // The same bytes once more: two messages all the same.
            17 if at > 0 => all[at - 1].bytes.clone(),
            kind => message(kind, at, &mut random, huge),
        };
        let combination = random.below(32);
        let flags = FLAGS.iter().enumerate().filter(|(bit, _)| combination >> bit & 1 == 1).map(|(_, (name, _))| *name);
        let keywords = KEYWORDS.iter().copied().filter(|_| random.below(6) == 0).collect();
        let date = match at % 24 {
            3 => 0,
            4 => 2_145_916_799,
            _ => random.below(2_145_916_800) as i64,
        };
        all.push(Odd { bytes, flags: flags.collect(), keywords, date });
    }
    all
}

fn message(kind: usize, at: usize, random: &mut Random, huge: bool) -> Vec<u8> {
    let header = format!("From: a@example.org\nSubject: odd {at}\nMessage-ID: <{at}.{}@odd>\n", random.below(1 << 40));
    let text = |body: &str| format!("{header}\n{body}").into_bytes();
    match kind {
        0 => [header.as_bytes(), b"X-Raw: caf\xe9 \xff\xfe\n\nb\xf6dy\n"].concat(),
        // None at the very end: Dovecot itself drops it.
        1 => text("a lone CR\rin a line, and one at the end of a line\rx\n"),
        2 => text("no newline at the end"),
        3 => text(""),
        4 => header.clone().into_bytes(),
        5 => b"\nno header at all\n".to_vec(),
        6 => text(&"long ".repeat(20_000)),
        7 => format!("{header}X-Long: {}\n\nshort\n", "y".repeat(30_000)).into_bytes(),
        8 if huge => attachment(&header, 3 << 20, random),
        8 => attachment(&header, 200 << 10, random),
        9 => text("From the start of a line\n>From quoted\nFrom\n"),
        10 => text(".\n..\n.\r.\n"),
        11 => format!("From: a@example.org\nSubject: odd {at}\n\nno Message-ID\n").into_bytes(),
        12 => format!("{header}Message-ID: <second@odd>\n\ntwo of them\n").into_bytes(),
        13 => format!("Message-ID: <same@odd>\nSubject: odd {at}\n\nan ID that others have\n").into_bytes(),
        14 => format!("From: a@example.org\nSubject:\n folded {at}\n\tand again\nMESSAGE-id:\n <f{at}@odd>\n\nx\n")
            .into_bytes(),
        15 => text(") OK (\n* BYE\nA1 OK done\n{5}\n* 1 EXPUNGE\n"),
        16 => text("\n\n\n\n"),
        18 => format!("not a header line\n{header}\nodd header\n").into_bytes(),
        19 => text("\u{feff}日本語 🎈 \u{202e}reversed\n"),
        20 => [header.as_bytes(), b"\n", (1..=255u8).filter(|b| !matches!(b, 10 | 13)).collect::<Vec<u8>>().as_slice()]
            .concat(),
        21 => b"x".to_vec(),
        22 => b"\n".to_vec(),
        _ => text(&format!("plain {}\n", random.below(1 << 30))),
    }
}

fn attachment(header: &str, size: usize, random: &mut Random) -> Vec<u8> {
    let mut out = format!("{header}Content-Transfer-Encoding: base64\n\n").into_bytes();
    while out.len() < size {
        for _ in 0..19 {
            out.extend_from_slice(format!("{:04x}", random.below(65_536)).as_bytes());
        }
        out.push(b'\n');
    }
    out
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    /// A number from 0 to below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}
