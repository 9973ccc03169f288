//! Flags and keywords of a message, and the differences between two sets of them.

use std::cmp::Ordering;
use std::fmt;

/// A keyword (RFC 3501 section 2.3.2): kept as it was spelled, compared without regard to ASCII case.
#[derive(Clone)]
pub struct Keyword(Box<str>);

impl Keyword {
    /// Takes any text that could be sent as an atom: not empty, at most 255 bytes, no blank, control
    /// character, parenthesis, brace, quote or backslash. `None` for anything else; such a keyword is left
    /// alone where it is.
    pub fn new(text: &str) -> Option<Keyword> {
        let bad = |c: char| c.is_control() || c.is_whitespace() || "(){}\"\\*%".contains(c);
        if text.is_empty() || text.len() > 255 || text.contains(bad) {
            return None;
        }
        Some(Keyword(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn folded(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.bytes().map(|b| b.to_ascii_lowercase())
    }
}

impl PartialEq for Keyword {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}
impl Eq for Keyword {}
impl PartialOrd for Keyword {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Keyword {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded().cmp(other.folded())
    }
}
impl std::hash::Hash for Keyword {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.folded().for_each(|b| state.write_u8(b));
        state.write_u8(0xff);
    }
}
impl fmt::Debug for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One flag. `Forwarded` is the keyword `$Forwarded` on the wire and the letter P in a Maildir.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flag {
    Draft,
    Flagged,
    Forwarded,
    Answered,
    Seen,
    Deleted,
    Keyword(Keyword),
}

/// Every flag that has a letter of its own, with its IMAP name and its Maildir letter, in the letters' order.
pub const LETTERS: [(Flag, &str, u8); 6] = [
    (Flag::Draft, "\\Draft", b'D'),
    (Flag::Flagged, "\\Flagged", b'F'),
    (Flag::Forwarded, "$Forwarded", b'P'),
    (Flag::Answered, "\\Answered", b'R'),
    (Flag::Seen, "\\Seen", b'S'),
    (Flag::Deleted, "\\Deleted", b'T'),
];

impl Flag {
    /// Reads a flag as a server names it, in any case. `None` for `\Recent`, for system flags that no RFC
    /// knows, and for keywords that can't be sent back.
    pub fn from_imap(name: &str) -> Option<Flag> {
        for (flag, imap, _) in &LETTERS {
            if imap.eq_ignore_ascii_case(name) {
                return Some(flag.clone());
            }
        }
        if name.starts_with('\\') {
            return None;
        }
        Keyword::new(name).map(Flag::Keyword)
    }

    /// The flag's name on the wire.
    pub fn imap(&self) -> &str {
        match self {
            Flag::Keyword(keyword) => keyword.as_str(),
            known => LETTERS.iter().find(|(flag, _, _)| flag == known).map(|(_, imap, _)| *imap).unwrap_or_default(),
        }
    }

    /// The flag that stands for an upper-case letter of a Maildir info part.
    pub fn from_letter(letter: u8) -> Option<Flag> {
        LETTERS.iter().find(|(_, _, l)| *l == letter).map(|(flag, _, _)| flag.clone())
    }

    /// The flag's Maildir letter; keywords have none of their own.
    pub fn letter(&self) -> Option<u8> {
        LETTERS.iter().find(|(flag, _, _)| flag == self).map(|(_, _, letter)| *letter)
    }

    fn bit(&self) -> u8 {
        LETTERS.iter().position(|(flag, _, _)| flag == self).map_or(0, |at| 1 << at)
    }
}

/// A set of flags. Iterates in a fixed order: the lettered ones, then keywords by name.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Flags {
    lettered: u8,
    /// Sorted, without doubles. Boxed, because most sets have none and folders have many sets; never empty.
    #[expect(clippy::box_collection, reason = "a pointer to nothing is a third of an empty list")]
    keywords: Option<Box<Vec<Keyword>>>,
}

impl Flags {
    pub const fn new() -> Self {
        Flags { lettered: 0, keywords: None }
    }

    /// Every lettered flag and no keyword.
    pub fn lettered() -> Self {
        LETTERS.iter().map(|(flag, _, _)| flag.clone()).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.lettered == 0 && self.keywords.is_none()
    }

    pub fn contains(&self, flag: &Flag) -> bool {
        match flag {
            Flag::Keyword(keyword) => self.keywords().binary_search(keyword).is_ok(),
            lettered => self.lettered & lettered.bit() != 0,
        }
    }

    pub fn insert(&mut self, flag: Flag) {
        match flag {
            Flag::Keyword(keyword) => {
                let keywords = self.keywords.get_or_insert_default();
                if let Err(at) = keywords.binary_search(&keyword) {
                    keywords.insert(at, keyword);
                }
            }
            lettered => self.lettered |= lettered.bit(),
        }
    }

    pub fn remove(&mut self, flag: &Flag) {
        match flag {
            Flag::Keyword(keyword) => {
                if let Some(keywords) = &mut self.keywords
                    && let Ok(at) = keywords.binary_search(keyword)
                {
                    keywords.remove(at);
                    self.keywords = self.keywords.take().filter(|keywords| !keywords.is_empty());
                }
            }
            lettered => self.lettered &= !lettered.bit(),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = Flag> + '_ {
        LETTERS
            .iter()
            .filter(|(flag, _, _)| self.contains(flag))
            .map(|(flag, _, _)| flag.clone())
            .chain(self.keywords().iter().cloned().map(Flag::Keyword))
    }

    pub fn keywords(&self) -> &[Keyword] {
        self.keywords.as_deref().map_or(&[], Vec::as_slice)
    }

    /// All flags of either set.
    pub fn union(&self, other: &Flags) -> Flags {
        self.iter().chain(other.iter()).collect()
    }

    /// The flags of this set that `other` lacks.
    pub fn minus(&self, other: &Flags) -> Flags {
        self.iter().filter(|flag| !other.contains(flag)).collect()
    }

    /// The flags of this set that `space` can hold.
    pub fn within(&self, space: &FlagSpace) -> Flags {
        self.iter().filter(|flag| space.holds(flag)).collect()
    }

    /// What must change for this set to become `to`.
    pub fn delta(&self, to: &Flags) -> FlagDelta {
        FlagDelta { add: to.minus(self), remove: self.minus(to) }
    }

    /// This set after `delta`.
    pub fn with(&self, delta: &FlagDelta) -> Flags {
        self.union(&delta.add).minus(&delta.remove)
    }

    /// The lettered flags as one number and the keywords as one blank-separated text: the form the state keeps.
    pub fn to_stored(&self) -> (i64, String) {
        let words: Vec<&str> = self.keywords().iter().map(Keyword::as_str).collect();
        (i64::from(self.lettered), words.join(" "))
    }

    /// Reads the form that [`Flags::to_stored`] wrote; bits and words that mean nothing are dropped.
    pub fn from_stored(lettered: i64, keywords: &str) -> Flags {
        let mut flags: Flags = keywords.split(' ').filter_map(Keyword::new).map(Flag::Keyword).collect();
        flags.lettered = (lettered & 0x3f) as u8;
        flags
    }
}

impl FromIterator<Flag> for Flags {
    fn from_iter<I: IntoIterator<Item = Flag>>(flags: I) -> Self {
        let mut set = Flags::new();
        flags.into_iter().for_each(|flag| set.insert(flag));
        set
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.iter().map(|flag| flag.imap().to_owned()).collect();
        f.write_str(&names.join(" "))
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({self})")
    }
}

/// What one set of flags gains and loses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlagDelta {
    pub add: Flags,
    pub remove: Flags,
}

impl FlagDelta {
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }

    /// The part of this delta that `space` can hold.
    pub fn within(&self, space: &FlagSpace) -> FlagDelta {
        FlagDelta { add: self.add.within(space), remove: self.remove.within(space) }
    }
}

/// The flags that a folder can hold: PERMANENTFLAGS of a mailbox, the letters of a Maildir.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagSpace {
    /// Flags that can be held whatever `any_keyword` says.
    pub fixed: Flags,
    /// How many keywords that are not in `fixed` can still be added; `usize::MAX` for no limit (`\*`).
    pub more: usize,
}

impl FlagSpace {
    /// Everything can be held.
    pub fn all() -> Self {
        FlagSpace { fixed: Flags::lettered(), more: usize::MAX }
    }

    /// Nothing can be held (a read-only mailbox).
    pub fn none() -> Self {
        FlagSpace { fixed: Flags::new(), more: 0 }
    }

    /// Whether `flag` can be held. Where only some more keywords fit, the folder itself says which were taken.
    pub fn holds(&self, flag: &Flag) -> bool {
        self.fixed.contains(flag) || (self.more > 0 && matches!(flag, Flag::Keyword(_) | Flag::Forwarded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(names: &str) -> Flags {
        names.split_whitespace().filter_map(Flag::from_imap).collect()
    }

    #[test]
    fn keywords_are_compared_without_case_and_kept_as_spelled() {
        let mut set = flags("$Junk \\seen");
        set.insert(Flag::from_imap("$JUNK").expect("a keyword"));
        assert_eq!(set.to_string(), "\\Seen $Junk");
        assert!(set.contains(&Flag::from_imap("$junk").expect("a keyword")));
    }

    #[test]
    fn forwarded_is_a_lettered_flag_in_any_case() {
        assert_eq!(Flag::from_imap("$forwarded"), Some(Flag::Forwarded));
        assert_eq!(Flag::Forwarded.letter(), Some(b'P'));
    }

    #[test]
    fn recent_unknown_system_flags_and_unsendable_words_are_no_flags() {
        for name in ["\\Recent", "\\", "\\Foo", "", "a b", "a(b", "a\"", "a\u{7}"] {
            assert_eq!(Flag::from_imap(name), None, "{name:?}");
        }
    }

    #[test]
    fn a_delta_leads_from_one_set_to_the_other() {
        let (from, to) = (flags("\\Seen a b"), flags("\\Flagged B c"));
        assert_eq!(from.with(&from.delta(&to)), to);
        assert_eq!(from.delta(&to).remove, flags("\\Seen a"));
    }

    #[test]
    fn the_stored_form_reads_back() {
        let set = flags("\\Seen \\Deleted $Forwarded zeta Alpha");
        let (lettered, keywords) = set.to_stored();
        assert_eq!(Flags::from_stored(lettered, &keywords), set);
    }

    #[test]
    fn forwarded_fits_where_new_keywords_fit() {
        let space = FlagSpace { fixed: flags("\\Seen"), more: usize::MAX };
        assert!(space.holds(&Flag::Forwarded));
        assert!(!FlagSpace { more: 0, ..space }.holds(&Flag::Forwarded));
    }
}
