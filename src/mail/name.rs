//! Names of folders as people write them, whatever the server's delimiter and encoding and the disk's layout.

use std::fmt;
use std::sync::Arc;

/// A folder's name: one or more components, outermost first, in Unicode. Its text form joins them with `/`; a `/`
/// or `\` inside a component is written `\/` or `\\`. A first component that is INBOX in any case is `INBOX`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FolderName {
    /// Shared: a run hands each name on many times and changes none.
    parts: Arc<[String]>,
}

impl FolderName {
    /// Makes a name of its components. `None` where there is none, or one of them is empty or contains NUL.
    pub fn new<S: Into<String>>(parts: impl IntoIterator<Item = S>) -> Option<FolderName> {
        let mut parts: Vec<String> = parts.into_iter().map(Into::into).collect();
        if parts.is_empty() || parts.iter().any(|part| part.is_empty() || part.contains('\0')) {
            return None;
        }
        if parts[0].eq_ignore_ascii_case("INBOX") {
            parts[0] = "INBOX".to_owned();
        }
        Some(FolderName { parts: parts.into() })
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Option<FolderName> {
        if !text.contains('\\') {
            return FolderName::new(text.split('/'));
        }
        let mut parts = vec![String::new()];
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let last = parts.last_mut()?;
            match c {
                '/' => parts.push(String::new()),
                '\\' => match chars.next() {
                    Some(escaped @ ('/' | '\\')) => last.push(escaped),
                    Some(other) => last.extend(['\\', other]),
                    None => last.push('\\'),
                },
                c => last.push(c),
            }
        }
        FolderName::new(parts)
    }

    pub fn inbox() -> FolderName {
        FolderName { parts: ["INBOX".to_owned()].into() }
    }

    pub fn is_inbox(&self) -> bool {
        self.parts.len() == 1 && self.parts[0] == "INBOX"
    }

    /// The components, outermost first; never empty.
    pub fn parts(&self) -> &[String] {
        &self.parts
    }

    /// The folder that holds this one.
    pub fn parent(&self) -> Option<FolderName> {
        match self.parts.len() {
            1 => None,
            n => Some(FolderName { parts: self.parts[..n - 1].into() }),
        }
    }

    /// The text form.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(self.parts.iter().map(|part| part.len() + 1).sum());
        for (number, part) in self.parts.iter().enumerate() {
            if number > 0 {
                text.push('/');
            }
            for piece in part.split_inclusive(['/', '\\']) {
                // The character that needs it is the last one of the piece.
                match piece.strip_suffix(['/', '\\']) {
                    Some(plain) => text.extend([plain, "\\", &piece[plain.len()..]]),
                    None => text.push_str(piece),
                }
            }
        }
        text
    }
}

/// Shows the text form with control characters escaped: safe on a terminal, whatever a server sent.
impl fmt::Display for FolderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.text().chars() {
            match c.is_control() {
                true => write!(f, "{}", c.escape_default())?,
                false => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for FolderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a folder is for (RFC 6154), plus INBOX and two that no RFC names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    Inbox,
    Drafts,
    Sent,
    Archive,
    Flagged,
    Important,
    All,
    Junk,
    Trash,
    /// What is put here is sent: never synced unless asked for by name.
    Outbox,
}

impl Role {
    const NAMES: [(Role, &str); 10] = [
        (Role::Inbox, "inbox"),
        (Role::Drafts, "drafts"),
        (Role::Sent, "sent"),
        (Role::Archive, "archive"),
        (Role::Flagged, "flagged"),
        (Role::Important, "important"),
        (Role::All, "all"),
        (Role::Junk, "junk"),
        (Role::Trash, "trash"),
        (Role::Outbox, "outbox"),
    ];

    /// All roles, in the order in which mail programs show such folders.
    pub fn every() -> impl Iterator<Item = Role> {
        Role::NAMES.iter().map(|(role, _)| *role)
    }

    /// The role's lower-case name, as in `role:trash`.
    pub fn name(self) -> &'static str {
        Role::NAMES.iter().find(|(role, _)| *role == self).map_or("", |(_, name)| name)
    }

    /// Reads a lower-case name, or a SPECIAL-USE attribute (`\Trash`) in any case.
    pub fn parse(text: &str) -> Option<Role> {
        let bare = text.strip_prefix('\\').unwrap_or(text);
        Role::NAMES.iter().find(|(_, name)| name.eq_ignore_ascii_case(bare)).map(|(role, _)| *role)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_reads_back() {
        for parts in [vec!["a"], vec!["a", "b c"], vec!["FSF / GNU"], vec!["back\\slash", "x/y"], vec!["ü", "\n"]] {
            let name = FolderName::new(parts.clone()).expect("a name");
            assert_eq!(FolderName::parse(&name.text()), Some(name), "{parts:?}");
        }
    }

    #[test]
    fn inbox_is_one_folder_in_any_case() {
        assert_eq!(FolderName::parse("Inbox"), Some(FolderName::inbox()));
        assert_eq!(FolderName::parse("inbox/a").map(|n| n.text()), Some("INBOX/a".to_owned()));
        assert_eq!(FolderName::parse("a/inbox").map(|n| n.text()), Some("a/inbox".to_owned()));
    }

    #[test]
    fn empty_components_are_no_names() {
        for text in ["", "/", "a//b", "/a", "a/"] {
            assert_eq!(FolderName::parse(text), None, "{text:?}");
        }
    }
}
