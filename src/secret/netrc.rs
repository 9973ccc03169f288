//! netrc: who logs in where. The crate `netrc` reads each entry in a canonical form that our [lexer](super::lexer)
//! makes of it, because it knows neither quotes nor comments nor anything but ASCII.

use super::lexer::{Lexer, Warning};
use crate::mail::{Login, Secret};
use zeroize::Zeroizing;

/// One `machine` or `default`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it begins, counted from 1.
    pub line: usize,
    /// `None` for `default`.
    pub host: Option<String>,
    pub login: Option<String>,
    pub password: Option<Secret>,
    pub port: Option<u16>,
}

/// What a look-up comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    Nothing,
    /// The entry that fits best has no password.
    NoPassword {
        line: usize,
    },
    /// The login, and the line in which its entry begins.
    Login {
        login: Login,
        line: usize,
    },
    /// No user was named, and these fit equally well.
    Several(Vec<String>),
}

/// The words of an entry that the crate understands, encoded.
struct Canonical {
    line: usize,
    /// Overwritten when it is dropped.
    text: Zeroizing<String>,
    usable: bool,
}

/// Reads a file. Whatever is odd becomes a warning; no input is an error.
pub fn parse(bytes: &[u8]) -> (Vec<Entry>, Vec<Warning>) {
    let mut lexer = Lexer::new(bytes);
    let mut entries: Vec<Canonical> = Vec::new();
    let mut warnings: Vec<Warning> = Vec::new();
    let mut warn = |line, what| {
        if warnings.last().is_none_or(|last: &Warning| last.line != line) {
            warnings.push(Warning { line, what });
        }
    };
    // Whether words belong to the last entry; not after a macro, nor before the first entry.
    let mut open = false;
    while let Some(word) = lexer.keyword() {
        let keyword = if word.quoted { "" } else { word.text.as_str() };
        match keyword {
            "default" => {
                entries.push(Canonical::new(word.line, "default".to_owned()));
                open = true;
            }
            "macdef" => {
                lexer.value();
                lexer.skip_macro();
                open = false;
            }
            "machine" | "login" | "user" | "password" | "passwd" | "pass" | "account" | "port" | "protocol" => {
                let Some(value) = lexer.value() else {
                    warn(word.line, "a keyword without its value at the end");
                    break;
                };
                match entries.last_mut().filter(|_| open) {
                    _ if keyword == "machine" => {
                        let text = format!("machine {}", encode(&value.text));
                        entries.push(Canonical::new(word.line, text));
                        open = true;
                    }
                    Some(entry) => entry.add(keyword, &value.text),
                    None => warn(word.line, "a word that belongs to no machine, passed over"),
                }
            }
            _ => warn(word.line, "an unknown word, passed over (a password with blanks needs quotes)"),
        }
    }
    warnings.append(&mut lexer.warnings);
    warnings.sort_by_key(|warning| warning.line);
    (entries.iter().filter(|entry| entry.usable).filter_map(Canonical::read).collect(), warnings)
}

impl Canonical {
    fn new(line: usize, text: String) -> Canonical {
        Canonical { line, text: Zeroizing::new(text), usable: true }
    }

    fn add(&mut self, keyword: &str, value: &str) {
        let (keyword, value) = match keyword {
            "user" => ("login", encode(value)),
            "passwd" | "pass" => ("password", encode(value)),
            "port" | "protocol" => match port(value) {
                Some(port) => ("port", port.to_string()),
                None => {
                    // It is for another protocol.
                    self.usable = false;
                    return;
                }
            },
            other => (other, encode(value)),
        };
        self.text.push_str(&format!(" {keyword} {value}"));
    }

    fn read(&self) -> Option<Entry> {
        let parsed = netrc::Netrc::parse(self.text.as_bytes()).ok()?;
        let (host, machine) = match (parsed.hosts.into_iter().next(), parsed.default) {
            (Some((host, machine)), _) => (Some(decode(&host)), machine),
            (None, Some(machine)) => (None, machine),
            (None, None) => return None,
        };
        Some(Entry {
            line: self.line,
            host,
            login: Some(machine.login).filter(|login| !login.is_empty()).map(|login| decode(&login)),
            password: machine.password.map(|password| Secret::new(decode(&Zeroizing::new(password)))),
            port: machine.port,
        })
    }
}

fn port(value: &str) -> Option<u16> {
    match value.to_ascii_lowercase().as_str() {
        "imap" | "imap2" | "imap4" => Some(143),
        "imaps" | "imap4-ssl" => Some(993),
        number => number.parse().ok(),
    }
}

/// A word of letters, digits and `%`, never empty, whatever the text.
fn encode(text: &str) -> String {
    let mut word = String::from("=");
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() {
            true => word.push(byte.into()),
            false => word.push_str(&format!("%{byte:02x}")),
        }
    }
    word
}

/// The inverse of `encode`.
fn decode(word: &str) -> String {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.strip_prefix('=').unwrap_or(word).bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16)).unwrap_or_default();
        bytes.push(if byte == b'%' { (digit() * 16 + digit()) as u8 } else { byte });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Finds the entry for a login. An entry that names host, login and port fits best, then one without the port, then
/// one without a login; `default` comes last, and within a rank the first wins.
pub fn find(entries: &[Entry], host: &str, user: Option<&str>, port: u16) -> Found {
    let wanted = host.trim_end_matches('.');
    let fits = |entry: &&Entry| {
        let host = entry.host.as_ref().is_none_or(|host| host.trim_end_matches('.').eq_ignore_ascii_case(wanted));
        let login = user.is_none() || entry.login.is_none() || entry.login.as_deref() == user;
        host && login && entry.port.is_none_or(|own| own == port) && (user.is_some() || entry.login.is_some())
    };
    let rank = |entry: &&Entry| (entry.host.is_none(), user.is_some() && entry.login.is_none(), entry.port.is_none());
    let mut fitting: Vec<&Entry> = entries.iter().filter(fits).collect();
    fitting.sort_by_key(rank);
    let Some(first) = fitting.first() else {
        return Found::Nothing;
    };
    let best = rank(first);
    let mut logins: Vec<&str> = Vec::new();
    for entry in fitting.iter().filter(|entry| rank(entry) == best) {
        match entry.login.as_deref() {
            Some(login) if !logins.contains(&login) => logins.push(login),
            _ => {}
        }
    }
    if user.is_none() && logins.len() > 1 && first.host.is_some() {
        return Found::Several(logins.into_iter().map(str::to_owned).collect());
    }
    // An entry without a password stands in nobody's way but that of `default`.
    let with_password = |entry: &&&Entry| entry.password.is_some() && entry.host.is_some() == first.host.is_some();
    let entry = fitting.iter().find(with_password).unwrap_or(first);
    match (&entry.password, user.or(entry.login.as_deref())) {
        (Some(password), Some(user)) => {
            let login = Login { user: user.to_owned(), password: password.clone() };
            Found::Login { login, line: entry.line }
        }
        _ => Found::NoPassword { line: entry.line },
    }
}

#[cfg(test)]
mod tests {
    use super::super::lexer::{Lexer, quote};
    use super::*;
    use proptest::prelude::*;

    /// `host login password port` of every entry, `-` for what is missing.
    fn shown(text: &str) -> Vec<String> {
        let (entries, _) = parse(text.as_bytes());
        let entry = |entry: &Entry| {
            let password = entry.password.as_ref().map(|password| password.expose().to_owned());
            let fields = [entry.host.clone(), entry.login.clone(), password, entry.port.map(|port| port.to_string())];
            fields.map(|field| field.unwrap_or("-".to_owned())).join(" ")
        };
        entries.iter().map(entry).collect()
    }

    #[test]
    fn what_is_written_in_the_wild_is_understood() {
        let table: &[(&str, &[&str])] = &[
            ("machine h login u password p", &["h u p -"]),
            ("machine h\n\tlogin u\n\tpassword p\n", &["h u p -"]),
            ("machine h login u password p port 993 account a", &["h u p 993"]),
            ("machine h user u pass p protocol imaps", &["h u p 993"]),
            ("machine h login u password p port imap", &["h u p 143"]),
            ("machine h login u password p port smtp machine i login v password q", &["i v q -"]),
            ("default login u password p", &["- u p -"]),
            ("machine h login u password \"p \\\"q\\\" \\\\r\"", &["h u p \"q\" \\r -"]),
            ("machine h login u password p\\ q\\\"", &["h u p q\" -"]),
            ("machine h login u password p#q", &["h u p#q -"]),
            ("machine h login u password #p", &["h u #p -"]),
            ("# machine x\nmachine h # login v\n  login u\n#password q\n  password p # r", &["h u p -"]),
            ("machine h login ü password пароль", &["h ü пароль -"]),
            ("\u{feff}machine h login u password p\r\nmachine i login v password q\r\n", &["h u p -", "i v q -"]),
            ("macdef init\r\nmachine no\r\n\r\nmachine h login u password p", &["h u p -"]),
            ("machine h login u password p macdef m\ncd /\n \nmachine i login v password q", &["h u p -", "i v q -"]),
            ("machine h login u password p\nmacdef m\nlogin x", &["h u p -"]),
            ("machine h login u password \"\" machine i login v password q", &["h u  -", "i v q -"]),
            ("machine h login u password machine", &["h u machine -"]),
            ("machine h login u password \"p\nmachine i login v password q", &["h u p -", "i v q -"]),
            ("machine h force yes login u password p", &["h u p -"]),
            ("machine a\u{a0}b login u password p", &["a\u{a0}b u p -"]),
            ("login u password p", &[]),
            ("machine", &[]),
            ("", &[]),
        ];
        for (text, entries) in table {
            assert_eq!(shown(text), *entries, "{text:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_latin1() {
        let (entries, _) = parse(b"machine h login u password p\xe4ss");
        assert_eq!(entries[0].password, Some(Secret::new("päss")));
    }

    #[test]
    fn odd_words_are_warnings_with_their_line_and_say_nothing_of_the_word() {
        let (entries, warnings) = parse(b"machine h\n login u password my secret words\n\nfoo bar\npassword \"x\n");
        assert_eq!(entries.len(), 1);
        assert_eq!(warnings.iter().map(|warning| warning.line).collect::<Vec<_>>(), [2, 4, 5]);
        assert!(warnings.iter().all(|warning| !warning.what.contains("secret words")));
    }

    const FILE: &str = "machine h login a password 1\n\
                        machine H login b password 2 port 993\n\
                        machine h login b password 3\n\
                        machine one login u password 4\n\
                        machine nologin password 5\n\
                        machine nopw login u\n\
                        default login d password 7";

    #[test]
    fn the_entry_that_says_most_wins_and_default_comes_last() {
        let (entries, _) = parse(FILE.as_bytes());
        // The password is the number of the line.
        let login = |user: &str, password: &str| Found::Login {
            login: Login { user: user.into(), password: Secret::new(password) },
            line: password.parse().expect("a number"),
        };
        for (host, user, port, found) in [
            ("h", Some("a"), 993, login("a", "1")),
            ("h.", Some("b"), 993, login("b", "2")),
            ("h", Some("b"), 143, login("b", "3")),
            ("h", Some("A"), 993, Found::Nothing),
            ("h", None, 993, login("b", "2")),
            ("h", None, 143, Found::Several(vec!["a".into(), "b".into()])),
            ("ONE", None, 1, login("u", "4")),
            ("one", Some("u"), 1, login("u", "4")),
            ("nologin", Some("x"), 1, login("x", "5")),
            ("nologin", None, 1, login("d", "7")),
            ("nopw", None, 1, Found::NoPassword { line: 6 }),
            ("elsewhere", None, 1, login("d", "7")),
            ("elsewhere", Some("d"), 1, login("d", "7")),
            ("elsewhere", Some("x"), 1, Found::Nothing),
        ] {
            assert_eq!(find(&entries, host, user, port), found, "{host} {user:?} {port}");
        }
    }

    proptest! {
        #[test]
        fn any_password_survives_quoting(login in "[^\r\n]{1,20}", password in "[^\r\n]{0,40}") {
            let text = format!("machine h login {} password {}\n", quote(&login), quote(&password));
            let (entries, warnings) = parse(text.as_bytes());
            prop_assert_eq!(warnings, vec![]);
            prop_assert_eq!(entries.len(), 1);
            prop_assert_eq!(entries[0].login.as_deref(), Some(login.as_str()));
            prop_assert_eq!(entries[0].password.as_ref().map(Secret::expose), Some(password.as_str()));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            parse(&bytes);
            let mut lexer = Lexer::new(&bytes);
            while lexer.value().is_some() {}
        }

        #[test]
        fn no_words_make_it_panic(words in "(machine|default|login|password|port|macdef|\"|\\\\|#|\r\n|\n| |x|9){0,40}") {
            let (entries, _) = parse(words.as_bytes());
            find(&entries, "x", None, 9);
        }
    }
}
