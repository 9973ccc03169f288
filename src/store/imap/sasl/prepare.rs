//! SASLprep (RFC 4013): the one form of a user name or password that is written in several ways.

use unicode_normalization::UnicodeNormalization;

/// The prepared form. What SASLprep forbids stays as it is: a server that took such a password when it was set did not
/// prepare it either.
pub fn prepare(text: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    let mapped = text.chars().filter(|c| !is_nothing(*c)).map(|c| if is_space(c) { ' ' } else { c });
    let prepared: String = mapped.nfkc().collect();
    match prepared.chars().any(is_forbidden) || prepared.is_empty() {
        true => text.to_owned(),
        false => prepared,
    }
}

/// Characters that are commonly mapped to nothing (RFC 3454 table B.1).
fn is_nothing(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{1806}' | '\u{180b}'..='\u{180d}' | '\u{200c}' | '\u{200d}' | '\u{2060}')
        || matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

/// Spaces that are not ASCII's (RFC 3454 table C.1.2); U+200B stands in both tables, and this one comes first.
fn is_space(c: char) -> bool {
    matches!(c, '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200b}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

/// Control characters, those of private use, of no use in plain text or of none at all (RFC 3454 tables C.2 to C.9).
fn is_forbidden(c: char) -> bool {
    let code = u32::from(c);
    c.is_control()
        || matches!(c, '\u{6dd}' | '\u{70f}' | '\u{180e}' | '\u{200c}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{2063}' | '\u{206a}'..='\u{206f}' | '\u{2ff0}'..='\u{2ffb}')
        || matches!(c, '\u{340}' | '\u{341}' | '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}' | '\u{feff}')
        || matches!(c, '\u{fff9}'..='\u{fffd}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{10ffff}')
        || code & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 4013 section 3, and more.
    #[test]
    fn one_form_for_all_ways_to_write_it() {
        for (text, prepared) in [
            ("I\u{ad}X", "IX"),
            ("user", "user"),
            ("USER", "USER"),
            ("\u{aa}", "a"),
            ("\u{2168}", "IX"),
            ("pa\u{308}ss", "p\u{e4}ss"),
            ("p\u{e4}\"ss\\w \u{f6}rd\u{20ac}", "p\u{e4}\"ss\\w \u{f6}rd\u{20ac}"),
            ("two\u{a0}words\u{3000}", "two words "),
            ("\u{ff11}", "1"),
        ] {
            assert_eq!(prepare(text), prepared, "{text:?}");
        }
    }

    #[test]
    fn what_is_forbidden_stays_as_it_is() {
        for text in ["\u{7}", "\u{7}\u{aa}", "\u{e000}\u{2168}", "\u{ad}", ""] {
            assert_eq!(prepare(text), text);
        }
    }
}
