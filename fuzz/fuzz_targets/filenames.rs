//! Names of message files and of keywords, whatever they are: nothing panics, the unique part stays when flags change,
//! and what was written is what is read again.
//!
//! The input is three texts with 0xFF between them: a `dovecot-keywords`, another one, and a file's name. The bytes
//! behind a further 0xFF choose flags.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mailsync::mail::{Flag, Flags, Keyword};
use mailsync::store::maildir::fuzzing::{Names, carried, read, with_flags};

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(4, |byte| *byte == 0xFF);
    let mut part = || parts.next().unwrap_or_default();
    let (names, others, name, choice) = (Names::parse(part()), Names::parse(part()), part(), part());
    for names in [&names, &others] {
        keywords(names);
    }
    if !name.is_empty() {
        file(name, choice, &names, &others);
    }
});

/// A file of keywords, written and read again, says the same.
fn keywords(names: &Names) {
    assert_eq!(&Names::parse(names.text().as_bytes()), names, "{:?}", names.text());
    let space = names.space(0);
    assert!(space.more <= 26 && space.fixed.keywords().len() + space.more <= 26);
    assert_eq!(names.space(u32::MAX).more, 0);
}

fn file(name: &[u8], choice: &[u8], names: &Names, others: &Names) {
    let old = read(name, names);
    assert!(!old.unique.is_empty() && name.starts_with(old.unique));
    // The same flags leave all that is understood as it is.
    for flags in [old.flags.clone(), Flags::new(), chosen(choice, names)] {
        let held = flags.within(&names.space(old.nameless));
        let renamed = with_flags(name, &flags, names, b':');
        let new = read(&renamed, names);
        assert_eq!(new.unique, old.unique, "{}", renamed.escape_ascii());
        assert_eq!(new.flags, settled(&held, names), "{} of {}", renamed.escape_ascii(), name.escape_ascii());
        assert_eq!(new.nameless, old.nameless, "a letter without a name came or went");
        assert_eq!(with_flags(&renamed, &flags, names, b':'), renamed, "a second time changes more");
        if let (Some((was, _)), Some((is, _))) = (old.info, new.info) {
            assert_eq!(was, is, "the separator changed");
        }
        assert!(!renamed[old.unique.len()..].contains(&b'/') || name.contains(&b'/'));
    }
    let (letters, rest) = carried(name, names, others);
    assert!(name.ends_with(rest) && letters.iter().all(|letter| name.contains(letter)));
}

/// Flags that have a letter: those that a name can say.
fn settled(flags: &Flags, names: &Names) -> Flags {
    let space = names.space(u32::MAX);
    flags.iter().filter(|flag| space.holds(flag)).collect()
}

/// A flag a byte: Maildir letters, and the keywords that are known.
fn chosen(choice: &[u8], names: &Names) -> Flags {
    let space = names.space(0);
    let known = space.fixed.keywords();
    let flag = |byte: &u8| match byte {
        b'A'..=b'Z' => Flag::from_letter(*byte),
        b'*' => Keyword::new("nobody-knows").map(Flag::Keyword),
        byte => known.get(usize::from(*byte) % known.len().max(1)).cloned().map(Flag::Keyword),
    };
    choice.iter().take(40).filter_map(flag).collect()
}
