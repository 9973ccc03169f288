//! Names of message files: the unique part, the info part, and the letters in it.
//!
//! The unique part is all that stands before `:2,` (or `!2,`), foreign marks like `,U=` and `,S=` included. What the
//! info part holds besides flags that we know is kept as it is.

use super::keywords::Keywords;
use super::scan::bit;
use crate::mail::{Flag, Flags};
use memchr::memchr2_iter;
use std::collections::hash_map::RandomState;
use std::fmt::Write;
use std::hash::{BuildHasher, Hasher};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The end of every name that we make.
pub(super) const SUFFIX: &str = ".mailsync";

/// How much room a name that we make may need.
const NAME: usize = 80;

/// What may stand before `2,`.
pub(super) const SEPARATORS: [u8; 2] = [b':', b'!'];

/// A file name taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parsed<'a> {
    pub(super) unique: &'a [u8],
    /// The separator and what stands behind `2,`; `None` where there is no info part.
    pub(super) info: Option<(u8, &'a [u8])>,
}

pub(super) fn parse(name: &[u8]) -> Parsed<'_> {
    // No unique part is empty: one that begins like an info part keeps that, and may have an info part behind it.
    let [colon, other] = SEPARATORS;
    let mut places = memchr2_iter(colon, other, name.get(1..).unwrap_or_default()).map(|at| at + 1);
    match places.find(|at| name[at + 1..].starts_with(b"2,")) {
        Some(at) => Parsed { unique: &name[..at], info: Some((name[at], &name[at + 3..])) },
        None => Parsed { unique: name, info: None },
    }
}

impl<'a> Parsed<'a> {
    /// The letters of the info part, and what follows them.
    fn letters(&self) -> (&'a [u8], &'a [u8]) {
        let info = self.info.map_or(&b""[..], |(_, info)| info);
        info.split_at(info.iter().take_while(|b| b.is_ascii_alphabetic()).count())
    }

    /// The flags that the letters stand for.
    pub(super) fn flags(&self, keywords: &Keywords) -> Flags {
        let flag = |letter: &u8| match letter.is_ascii_lowercase() {
            true => keywords.name(*letter).map(Flag::Keyword),
            false => Flag::from_letter(*letter),
        };
        self.letters().0.iter().filter_map(flag).collect()
    }

    /// Lower-case letters in use, as a bit each.
    pub(super) fn small_letters(&self) -> u32 {
        let letters = self.letters().0.iter().filter(|letter| letter.is_ascii_lowercase());
        letters.fold(0, |bits, letter| bits | bit(*letter))
    }

    /// The name of the same file with these flags: letters sorted, what we do not know kept. A file without an info
    /// part gets one, with `separator`, only if there is something to say.
    pub(super) fn with_flags(&self, flags: &Flags, keywords: &Keywords, separator: u8) -> Vec<u8> {
        let (letters, rest) = self.letters();
        let unknown = letters.iter().copied().filter(|letter| match letter.is_ascii_lowercase() {
            true => keywords.name(*letter).is_none(),
            false => Flag::from_letter(*letter).is_none(),
        });
        let own = flags.iter().filter_map(|flag| keywords.letter(&flag));
        let mut letters: Vec<u8> = unknown.chain(own).collect();
        letters.sort_unstable();
        letters.dedup();
        if letters.is_empty() && self.info.is_none() {
            return self.unique.to_vec();
        }
        let separator = self.info.map_or(separator, |(own, _)| own);
        [self.unique, &[separator][..], b"2,", &letters, rest].concat()
    }

    /// The info part's letters that no flag stands for, as far as they mean nothing in the target either, and its rest:
    /// for a file that moves to a folder with other keywords.
    pub(super) fn carried(&self, source: &Keywords, target: &Keywords) -> (Vec<u8>, &'a [u8]) {
        let (letters, rest) = self.letters();
        let keep = letters.iter().copied().filter(|letter| match letter.is_ascii_lowercase() {
            true => source.name(*letter).is_none() && !target.is_taken(*letter),
            false => Flag::from_letter(*letter).is_none(),
        });
        (keep.collect(), rest)
    }
}

/// A new unique name: time, process, a counter and something random; no host name, which would tie the mail to a
/// machine.
pub(super) fn unique() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    // Asked of the kernel each time otherwise; nothing here forks and goes on.
    static PROCESS: LazyLock<u32> = LazyLock::new(std::process::id);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (pid, n) = (*PROCESS, COUNTER.fetch_add(1, Ordering::Relaxed));
    // The standard library seeds each of these at random.
    let random = RandomState::new().build_hasher().finish();
    let mut name = String::with_capacity(NAME);
    // A string can always be written to.
    let _ = write!(name, "{}.M{}P{pid}Q{n}R{random:016x}{SUFFIX}", now.as_secs(), now.subsec_micros());
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Keyword;

    fn keywords(text: &str) -> Keywords {
        Keywords::parse(text.as_bytes())
    }

    #[test]
    fn the_unique_part_ends_at_either_kind_of_info() {
        assert_eq!(parse(b"1.a.b:2,FS"), Parsed { unique: b"1.a.b", info: Some((b':', b"FS")) });
        assert_eq!(parse(b"1.a.b!2,"), Parsed { unique: b"1.a.b", info: Some((b'!', b"")) });
        assert_eq!(parse(b"1,U=3,FMD5=ab,S=1:2,S").unique, b"1,U=3,FMD5=ab,S=1");
        assert_eq!(parse(b"1:1,x").unique, b"1:1,x");
        assert_eq!(parse(b":2,S").unique, b":2,S");
        for whole in [&b""[..], b":", b"x:", b"x:2", b"x!2", b"x:!2", b"2,"] {
            assert_eq!(parse(whole), Parsed { unique: whole, info: None });
        }
        assert_eq!(parse(b"x:!2,S"), Parsed { unique: b"x:", info: Some((b'!', b"S")) });
    }

    #[test]
    fn a_name_that_begins_like_an_info_part_keeps_its_unique_part_under_flags() {
        let none = keywords("");
        for (name, flagged) in [(&b":2,S"[..], &b":2,S:2,F"[..]), (b"!2,x", b"!2,x:2,F"), (b":2,:2,S", b":2,:2,F")] {
            let unique = parse(name).unique;
            let renamed = parse(name).with_flags(&[Flag::Flagged].into_iter().collect(), &none, b':');
            assert_eq!((renamed.as_slice(), parse(&renamed).unique), (flagged, unique), "{}", name.escape_ascii());
        }
    }

    #[test]
    fn flags_are_read_and_written_without_losing_what_is_unknown() {
        let names = keywords("0 $Junk\n2 todo\n");
        let parsed = parse(b"x:2,QSabcZ,rest");
        let junk = Flag::Keyword(Keyword::new("$Junk").expect("a keyword"));
        assert_eq!(parsed.flags(&names).to_string(), "\\Seen $Junk todo");
        assert_eq!(parsed.small_letters(), 0b111);
        let flags: Flags = [Flag::Flagged, junk].into_iter().collect();
        assert_eq!(parsed.with_flags(&flags, &names, b':'), b"x:2,FQZab,rest");
        assert_eq!(parse(b"x!2,S").with_flags(&flags, &names, b':'), b"x!2,Fa");
    }

    #[test]
    fn a_name_without_info_gets_one_only_for_a_reason() {
        let none = keywords("");
        assert_eq!(parse(b"x").with_flags(&Flags::new(), &none, b':'), b"x");
        assert_eq!(parse(b"x").with_flags(&[Flag::Seen].into_iter().collect(), &none, b'!'), b"x!2,S");
        assert_eq!(parse(b"x:2,S").with_flags(&Flags::new(), &none, b':'), b"x:2,");
    }

    #[test]
    fn unique_names_differ() {
        let mut names: Vec<String> = (0..1000).map(|_| unique()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 1000);
        assert!(names[0].ends_with(SUFFIX) && !names[0].contains([':', '/', '!', ',']));
    }
}
