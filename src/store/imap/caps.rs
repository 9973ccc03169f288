//! What a server can do, as far as we use it.

use super::facade::Literals;
use std::collections::BTreeSet;

/// The capabilities that are made use of; `info` shows which of them a server has.
pub const USED: [&str; 24] = [
    "APPENDLIMIT",
    "BINARY",
    "COMPRESS=DEFLATE",
    "CONDSTORE",
    "ENABLE",
    "ESEARCH",
    "ID",
    "IDLE",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "LITERAL+",
    "LITERAL-",
    "MOVE",
    "MULTIAPPEND",
    "NAMESPACE",
    "NOTIFY",
    "OBJECTID",
    "QRESYNC",
    "SASL-IR",
    "SPECIAL-USE",
    "STARTTLS",
    "UIDPLUS",
    "UNSELECT",
    "X-GM-EXT-1",
];

/// A server's capabilities, without those that the user switched off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caps(BTreeSet<String>);

impl Caps {
    /// Takes the names as the server sent them; `disabled` ones count as missing, whatever their case.
    pub fn new(names: &[String], disabled: &[String]) -> Caps {
        let wanted = |name: &String| !disabled.iter().any(|other| other.eq_ignore_ascii_case(name));
        Caps(names.iter().map(|name| name.to_ascii_uppercase()).filter(wanted).collect())
    }

    /// Whether the server has it; `name` in upper case.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// All of them, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether modification sequences mean something on this server (CONDSTORE, RFC 7162).
    pub fn condstore(&self) -> bool {
        self.has("CONDSTORE") || self.has("QRESYNC")
    }

    /// Whether the server has one that fits.
    pub fn any(&self, fits: impl Fn(&str) -> bool) -> bool {
        self.0.iter().any(|name| fits(name))
    }

    /// The SASL mechanisms that it has.
    pub fn mechanisms(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|name| name.strip_prefix("AUTH="))
    }

    /// Counts a capability as missing from now on: the server has shown that it does not mean it.
    pub fn forget(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// How literals may be sent.
    pub fn literals(&self) -> Literals {
        match (self.has("LITERAL+"), self.has("LITERAL-")) {
            (true, _) => Literals::Free,
            (_, true) => Literals::Small,
            _ => Literals::Wait,
        }
    }

    /// The largest message that APPEND takes, in bytes (RFC 7889).
    pub fn append_limit(&self) -> Option<u64> {
        self.0.iter().find_map(|name| name.strip_prefix("APPENDLIMIT=")).and_then(|limit| limit.parse().ok())
    }

    /// Each capability that is made use of, and whether it is there.
    pub fn uses(&self) -> Vec<(String, bool)> {
        let there = |name: &str| self.has(name) || (name == "APPENDLIMIT" && self.append_limit().is_some());
        USED.iter().map(|name| ((*name).to_owned(), there(name))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(names: &str, disabled: &[&str]) -> Caps {
        let names: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
        let disabled: Vec<String> = disabled.iter().map(|name| (*name).to_owned()).collect();
        Caps::new(&names, &disabled)
    }

    #[test]
    fn what_is_switched_off_is_missing_in_any_case() {
        let caps = caps("IMAP4rev1 LITERAL+ QRESYNC", &["literal+", "qresync"]);
        assert!(!caps.has("QRESYNC"));
        assert_eq!(caps.literals(), Literals::Wait);
    }

    #[test]
    fn a_limit_for_messages_is_read_where_it_is_a_number() {
        assert_eq!(caps("APPENDLIMIT=35651584", &[]).append_limit(), Some(35_651_584));
        assert_eq!(caps("APPENDLIMIT", &[]).append_limit(), None);
        assert!(caps("APPENDLIMIT=1", &[]).uses().contains(&("APPENDLIMIT".to_owned(), true)));
    }
}
