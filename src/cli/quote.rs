//! Text that mutt and NeoMutt read back as it was, and never run. Pure.
//!
//! Both read a config line alike: `'...'` is literal to the next `'`; in `"..."` and without quotes a backslash
//! escapes, `$NAME` and backticks are expanded; white space, `;` and `#` end a word; a backslash at the end of a line
//! joins the next one before quotes are looked at. So a value goes between single quotes, its own single quotes and
//! control characters outside of them.

use anyhow::{Result, bail};
use std::collections::HashMap;
use std::fmt::Write;

/// One word of a mutt command that means exactly `text`. Always quoted; never has a line break in it, and never ends
/// in a backslash.
pub fn mutt_quote(text: &str) -> String {
    if text.is_empty() {
        return "''".to_owned();
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    let mut open = false;
    for c in text.chars() {
        let plain = c != '\'' && c >= ' ' && c != '\u{7f}';
        if plain != open {
            quoted.push('\'');
            open = plain;
        }
        match c {
            '\'' => quoted.push_str("\\'"),
            // Three octal digits, which both programs read in double quotes.
            _ if !plain => {
                let _ = write!(quoted, "\"\\{:03o}\"", u32::from(c));
            }
            _ => quoted.push(c),
        }
    }
    if open {
        quoted.push('\'');
    }
    quoted
}

/// A regular expression (POSIX extended) that matches exactly `text`.
pub fn mutt_regex(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if ".[]()*+?^$|{}\\".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Lets `text` through as it is if nothing in it means anything to mutt.
pub fn mutt_raw(text: &str) -> Result<&str> {
    match text.chars().find(|c| c.is_control() || "'\"`$;#\\".contains(*c)) {
        Some(c) => bail!("raw: {} holds {c:?}, which means something to mutt", text.escape_debug()),
        None => Ok(text),
    }
}

/// Where in a line the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Nothing,
    Single,
    Double,
    Comment,
}

/// What stands before and after a value until [`unmark`]: no name of a file and no quoted value holds it.
pub const MARK: char = '\0';

/// A quoted value, so that [`unmark`] can tell it from what people wrote.
pub fn marked(quoted: &str) -> String {
    format!("{MARK}{quoted}{MARK}")
}

/// Takes the marks away. Refuses a value within quotes: there its own quotes mean something else.
pub fn unmark(text: &str) -> Result<String> {
    let mut bare = String::with_capacity(text.len());
    let (mut within, mut value) = (Within::Nothing, false);
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let mut escaped = false;
        for c in line.chars() {
            if c == MARK {
                if !value && (escaped || matches!(within, Within::Single | Within::Double)) {
                    bail!(
                        "line {number} of the result has a value within quotes: leave them out, values have their own"
                    );
                }
                value = !value;
            } else {
                if !value && within != Within::Comment {
                    (within, escaped) = match (within, escaped, c) {
                        (Within::Nothing, false, '#') => (Within::Comment, false),
                        _ => step(within, escaped, c),
                    };
                }
                bare.push(c);
            }
        }
        if !line.ends_with("\\\n") {
            within = Within::Nothing;
        }
    }
    Ok(bare)
}

/// The second line of defence: refuses a finished text in which a word runs over the end of its line, or that holds
/// a control character, a backtick, or a line that ends in a backslash, unless `authored`, the text that people
/// wrote, holds the latter two itself.
pub fn audit(text: &str, authored: &str) -> Result<()> {
    let (backticks, continued) = (authored.contains('`'), authored.contains("\\\n"));
    let mut within = Within::Nothing;
    for (number, line) in (1..).zip(text.split('\n')) {
        if let Some(c) = line.chars().find(|c| (c.is_ascii_control() && *c != '\t') || *c == '\u{feff}') {
            bail!("line {number} of the result holds the control character {c:?}");
        }
        if line.ends_with('\\') && !continued {
            bail!("line {number} of the result ends in a backslash");
        }
        within = audit_line(line, within, backticks).map_err(|what| anyhow::anyhow!("line {number} {what}"))?;
        if line.ends_with('\\') {
            continue;
        }
        if matches!(within, Within::Single | Within::Double) {
            bail!("line {number} of the result ends inside quotes");
        }
        within = Within::Nothing;
    }
    Ok(())
}

fn audit_line(line: &str, mut within: Within, backticks: bool) -> Result<Within, &'static str> {
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        within = match (within, c) {
            (Within::Comment, _) => Within::Comment,
            (Within::Nothing, '\'') => Within::Single,
            (Within::Single, '\'') => Within::Nothing,
            (Within::Single, _) => Within::Single,
            (Within::Nothing, '"') => Within::Double,
            (Within::Double, '"') => Within::Nothing,
            (Within::Nothing, '#') => Within::Comment,
            (_, '`') if !backticks => return Err("of the result would run a command"),
            (here, '\\') => {
                chars.next();
                here
            }
            (here, _) => here,
        };
    }
    Ok(within)
}

/// A piece of an item: text as it was written, or a placeholder.
enum Piece<'a> {
    Text(char),
    Value(&'a str),
}

/// Fills the `%(name)s` placeholders of OfflineIMAP's `peritem`; `%%` is a percent sign.
///
/// Whatever quotes the item has around a placeholder, the value is read back as it is: a word with placeholders is
/// quoted anew as a whole, or, where it has a variable or a backtick of its own, each value for itself.
pub fn fill_item(item: &str, values: &HashMap<&str, &str>) -> Result<String> {
    let pieces = pieces(item, values)?;
    let mut filled = String::new();
    let mut rest = pieces.as_slice();
    while !rest.is_empty() {
        let blanks = rest.iter().take_while(|piece| ends_word(piece)).count();
        for piece in &rest[..blanks] {
            if let Piece::Text(c) = piece {
                filled.push(*c);
            }
        }
        rest = &rest[blanks..];
        let length = word_length(rest);
        filled.push_str(&fill_word(&rest[..length]));
        rest = &rest[length..];
    }
    Ok(filled)
}

fn pieces<'a>(item: &str, values: &HashMap<&str, &'a str>) -> Result<Vec<Piece<'a>>> {
    let mut pieces = Vec::new();
    let mut rest = item;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match (c, after.strip_prefix('('), after.strip_prefix('%')) {
            ('%', Some(named), _) => {
                let Some((name, after)) = named.split_once(")s") else {
                    bail!("item: a placeholder without an end; it looks like %(foldername)s");
                };
                let Some(value) = values.get(name) else {
                    let mut known: Vec<&str> = values.keys().copied().collect();
                    known.sort_unstable();
                    bail!("item: no such placeholder: %({})s; there are {}", name.escape_debug(), known.join(", "));
                };
                pieces.push(Piece::Value(value));
                after
            }
            ('%', None, Some(after)) => {
                pieces.push(Piece::Text('%'));
                after
            }
            _ => {
                pieces.push(Piece::Text(c));
                after
            }
        };
    }
    Ok(pieces)
}

fn ends_word(piece: &Piece<'_>) -> bool {
    matches!(piece, Piece::Text(c) if c.is_whitespace() || ";#".contains(*c))
}

/// How many pieces the first word has.
fn word_length(pieces: &[Piece<'_>]) -> usize {
    let mut within = Within::Nothing;
    let mut escaped = false;
    for (at, piece) in pieces.iter().enumerate() {
        let Piece::Text(c) = piece else {
            escaped = false;
            continue;
        };
        if within == Within::Nothing && !escaped && ends_word(piece) {
            return at;
        }
        (within, escaped) = step(within, escaped, *c);
    }
    pieces.len()
}

/// Where a reader is after `c`, and whether the next character is escaped.
fn step(within: Within, escaped: bool, c: char) -> (Within, bool) {
    match (within, c) {
        _ if escaped => (within, false),
        (Within::Nothing, '\'') => (Within::Single, false),
        (Within::Single, '\'') | (Within::Double, '"') => (Within::Nothing, false),
        (Within::Nothing, '"') => (Within::Double, false),
        (Within::Nothing | Within::Double, '\\') => (within, true),
        _ => (within, false),
    }
}

fn fill_word(word: &[Piece<'_>]) -> String {
    let with_value = word.iter().any(|piece| matches!(piece, Piece::Value(_)));
    let active = word.iter().any(|piece| matches!(piece, Piece::Text('$' | '`' | '\\')));
    let mut filled = String::new();
    let (mut within, mut escaped) = (Within::Nothing, false);
    for piece in word {
        match piece {
            Piece::Text(c) if !with_value || active => {
                filled.push(*c);
                (within, escaped) = step(within, escaped, *c);
            }
            Piece::Text(c) => {
                let before = within;
                (within, escaped) = step(within, escaped, *c);
                if before == within {
                    filled.push(*c);
                }
            }
            Piece::Value(value) if active => {
                let quote = match within {
                    Within::Single => "'",
                    Within::Double => "\"",
                    Within::Nothing | Within::Comment => "",
                };
                filled.push_str(&format!("{quote}{}{quote}", mutt_quote(value)));
                escaped = false;
            }
            Piece::Value(value) => filled.push_str(value),
        }
    }
    if with_value && !active { mutt_quote(&filled) } else { filled }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_quoted_by_the_rule() {
        for (text, quoted) in [
            ("", "''"),
            ("INBOX", "'INBOX'"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("'", r"\'"),
            ("x`touch pwned`", "'x`touch pwned`'"),
            ("a\nset b", r#"'a'"\012"'set b'"#),
            ("\u{1b}\u{7f}", r#""\033""\177""#),
            ("back\\", r"'back\'"),
            ("Entwürfe", "'Entwürfe'"),
        ] {
            assert_eq!(mutt_quote(text), quoted);
            assert!(audit(&quoted.replace(r"'back\'", "'back\\' x"), "").is_ok(), "{quoted}");
        }
    }

    #[test]
    fn what_would_run_or_run_on_is_refused() {
        for text in ["x `touch y`", "\"`x`\"", "a \\", "# a\\", "'open", "\"open", "a\u{1b}b", "\u{feff}a"] {
            assert!(audit(text, "").is_err(), "{text:?}");
        }
        for text in ["'`x`'", "a \\` b", "# 'a `x`", "a\tb", "mailboxes 'x'\n"] {
            assert!(audit(text, "").is_ok(), "{text:?}");
        }
        assert!(audit("set x=`date`\nmailboxes \\\n'a'\n", "`\\\n").is_ok());
    }

    #[test]
    fn raw_lets_only_harmless_text_through() {
        assert_eq!(mutt_raw("plain text-1/ü").expect("harmless"), "plain text-1/ü");
        for bad in ["'", "\"", "`", "$", ";", "#", "\\", "\n"] {
            assert!(mutt_raw(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn items_are_filled_whatever_quotes_they_have() {
        let values = HashMap::from([("accountname", "main"), ("foldername", "a'b `x`\"$y")]);
        for (item, filled) in [
            ("\"+%(accountname)s/%(foldername)s\"", r#"'+main/a'\''b `x`"$y'"#),
            ("+%(foldername)s", r#"'+a'\''b `x`"$y'"#),
            ("'=%(foldername)s'", r#"'=a'\''b `x`"$y'"#),
            ("\"$my_mail/%(accountname)s\"", "\"$my_mail/\"'main'\"\""),
            ("$my_mail/%(accountname)s", "$my_mail/'main'"),
            ("mailboxes %(accountname)s 100%%", "mailboxes 'main' 100%"),
        ] {
            assert_eq!(fill_item(item, &values).expect("a good item"), filled, "{item}");
        }
        assert!(fill_item("%(folder)s", &values).is_err());
        assert!(fill_item("%(foldername", &values).is_err());
    }
}
