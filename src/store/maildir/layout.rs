//! How folder names stand on disk: reversible, in UTF-8, and never outside the root.
//!
//! What a file system or a layout can't hold is written `%XX`: a `/` inside a component, control characters, a
//! leading dot, a trailing blank, the layout's own separator, and the first letter of a component that has a meaning
//! of its own (`cur`, `new`, `tmp`, `dovecot-keywords`). A `%` is escaped only where two hexadecimal digits follow.

use crate::mail::FolderName;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How folders are laid out below the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `root/A/B`, INBOX at `root/INBOX`.
    Nested,
    /// `root/.A.B`; INBOX is the root itself.
    MaildirPlusPlus,
    /// `root/A<separator>B`, INBOX at `root/INBOX`. The separator is neither a letter, a digit, a control
    /// character, `%`, `/` nor a blank.
    Flat(char),
}

/// The wire name of a Maildir++'s INBOX, whose path below the root is empty.
pub const ROOT_WIRE: &[u8] = b".";

/// Longest file name that the usual file systems hold, in bytes.
const COMPONENT_LIMIT: usize = 255;
/// Leaves room for the root and a message's name below PATH_MAX (4096).
const WIRE_LIMIT: usize = 3000;

/// Names that mean something else inside a folder's directory.
const RESERVED: [&str; 5] = ["cur", "new", "tmp", "dovecot-keywords", "dovecot-keywords.lock"];

impl Layout {
    /// The layout in words.
    pub fn describe(self) -> String {
        match self {
            Layout::Nested => "nested directories".to_owned(),
            Layout::MaildirPlusPlus => "Maildir++".to_owned(),
            Layout::Flat(separator) => format!("flat, separated by {separator:?}"),
        }
    }

    /// What stands between the components on disk.
    pub fn separator(self) -> char {
        match self {
            Layout::Nested => '/',
            Layout::MaildirPlusPlus => '.',
            Layout::Flat(separator) => separator,
        }
    }

    fn separator_fits(self) -> bool {
        match self {
            Layout::Flat(c) => !c.is_alphanumeric() && !c.is_control() && !c.is_whitespace() && c != '%' && c != '/',
            _ => true,
        }
    }
}

/// The path of the folder that `wire` names. Whatever `wire` is, the path is the root or below it.
pub fn path_of(root: &Path, wire: &[u8]) -> PathBuf {
    let plain = wire.split(|b| *b == b'/').filter(|part| !matches!(*part, b"" | b"." | b"..") && !part.contains(&0));
    plain.fold(root.to_owned(), |path, part| path.join(OsStr::from_bytes(part)))
}

/// Whether `wire` could have come from [`wire_for`] or a listing: no empty, `.` or `..` component, no NUL.
pub fn is_wire(wire: &[u8]) -> bool {
    let plain = |part: &[u8]| !matches!(part, b"" | b"." | b"..") && !part.contains(&0);
    wire == ROOT_WIRE || (wire.len() <= WIRE_LIMIT && wire.split(|b| *b == b'/').all(plain))
}

/// The wire name of a folder: its path below the root. Fails, saying why, where it would be too long.
pub fn wire_for(layout: Layout, name: &FolderName) -> Result<Vec<u8>, String> {
    if !layout.separator_fits() {
        return Err(format!("{:?} can't separate the parts of a folder name", layout.separator()));
    }
    if layout == Layout::MaildirPlusPlus && name.is_inbox() {
        return Ok(ROOT_WIRE.to_vec());
    }
    let mut wire = if layout == Layout::MaildirPlusPlus { ".".to_owned() } else { String::new() };
    for (at, part) in name.parts().iter().enumerate() {
        if at > 0 {
            wire.push(layout.separator());
        }
        encode(layout, part, &mut wire);
    }
    let longest = wire.split('/').map(str::len).max().unwrap_or(0);
    if longest > COMPONENT_LIMIT {
        return Err(format!("{longest} bytes are too long for a file name, which has {COMPONENT_LIMIT} at most"));
    }
    if wire.len() > WIRE_LIMIT {
        return Err(format!("{} bytes are too long for a path", wire.len()));
    }
    Ok(wire.into_bytes())
}

/// The folder that a path below the root names, or why it names none: not one that [`wire_for`] would make.
pub fn name_of(layout: Layout, wire: &[u8]) -> Result<FolderName, String> {
    let text = std::str::from_utf8(wire).map_err(|_| "the directory's name is not UTF-8".to_owned())?;
    let name = match layout {
        Layout::MaildirPlusPlus if wire == ROOT_WIRE => Some(FolderName::inbox()),
        Layout::MaildirPlusPlus => text.strip_prefix('.').and_then(|rest| decode_all(rest, '.')),
        layout => decode_all(text, layout.separator()),
    };
    let name = name.ok_or("the directory's name can't be read as a folder's name")?;
    match wire_for(layout, &name) {
        Ok(back) if back == wire => Ok(name),
        Ok(back) => Err(format!("the folder {name} would be the directory {:?}", String::from_utf8_lossy(&back))),
        Err(why) => Err(why),
    }
}

/// A name to show for a directory that has none of its own: as it stands on disk.
pub(super) fn shown_name(wire: &[u8]) -> FolderName {
    let shown = String::from_utf8_lossy(wire).into_owned();
    FolderName::new(shown.split('/')).unwrap_or_else(FolderName::inbox)
}

fn decode_all(text: &str, separator: char) -> Option<FolderName> {
    let parts: Option<Vec<String>> = text.split(separator).map(decode).collect();
    FolderName::new(parts?)
}

fn encode(layout: Layout, part: &str, into: &mut String) {
    let reserved = RESERVED.contains(&part);
    for (at, c) in part.char_indices() {
        let after = &part.as_bytes()[at + c.len_utf8()..];
        let escape = match c {
            '/' => true,
            '%' => after.len() >= 2 && after[..2].iter().all(u8::is_ascii_hexdigit),
            '.' if at == 0 => true,
            ' ' => after.is_empty(),
            c => c.is_control() || c == layout.separator() || (at == 0 && reserved),
        };
        match escape || c == layout.separator() {
            true => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| into.push_str(&format!("%{byte:02X}"))),
            false => into.push(c),
        }
    }
}

fn decode(part: &str) -> Option<String> {
    let bytes = part.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = bytes.get(at + 1..at + 3).filter(|pair| bytes[at] == b'%' && pair.iter().all(u8::is_ascii_hexdigit));
        match pair.and_then(|pair| std::str::from_utf8(pair).ok()).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LAYOUTS: [Layout; 4] = [Layout::Nested, Layout::MaildirPlusPlus, Layout::Flat('.'), Layout::Flat('+')];

    fn wire(layout: Layout, name: &str) -> String {
        let name = FolderName::parse(name).expect("a name");
        String::from_utf8(wire_for(layout, &name).expect("a wire name")).expect("UTF-8")
    }

    #[test]
    fn plain_names_stand_as_they_are() {
        assert_eq!(wire(Layout::Nested, "A/B c/ü"), "A/B c/ü");
        assert_eq!(wire(Layout::MaildirPlusPlus, "A/B"), ".A.B");
        assert_eq!(wire(Layout::MaildirPlusPlus, "inbox"), ".");
        assert_eq!(wire(Layout::MaildirPlusPlus, "INBOX/A"), ".INBOX.A");
        assert_eq!(wire(Layout::Flat('+'), "inbox/A.b"), "INBOX+A.b");
        assert_eq!(wire(Layout::Nested, "100%"), "100%");
    }

    #[test]
    fn what_disk_or_layout_cannot_hold_is_escaped() {
        assert_eq!(wire(Layout::Nested, "FSF \\/ GNU"), "FSF %2F GNU");
        assert_eq!(wire(Layout::Nested, "A/../.x"), "A/%2E./%2Ex");
        assert_eq!(wire(Layout::Nested, "A/cur/New"), "A/%63ur/New");
        assert_eq!(wire(Layout::Nested, "a\nb "), "a%0Ab%20");
        assert_eq!(wire(Layout::Nested, "%41%4"), "%2541%4");
        assert_eq!(wire(Layout::MaildirPlusPlus, "v1.2/x"), ".v1%2E2.x");
        assert_eq!(wire(Layout::Flat('+'), "c++/x"), "c%2B%2B+x");
    }

    #[test]
    fn names_that_do_not_lead_back_are_told_so() {
        for bad in [&b"%41"[..], b"a%2fb", b"\xff", b"Inbox", b"a%00", b"%FF", b"a%20b"] {
            assert!(name_of(Layout::Nested, bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        for bad in [&b".inbox"[..], b".INBOX", b".A..B", b".A."] {
            assert!(name_of(Layout::MaildirPlusPlus, bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn a_name_that_is_too_long_is_refused_with_the_length() {
        let long = FolderName::new(["ü".repeat(200)]).expect("a name");
        assert!(wire_for(Layout::Nested, &long).expect_err("too long").contains("400 bytes"));
        assert!(wire_for(Layout::Flat('a'), &FolderName::inbox()).is_err());
        assert!(wire_for(Layout::Flat('%'), &FolderName::inbox()).is_err());
    }

    #[test]
    fn no_wire_name_leads_out_of_the_root() {
        let root = Path::new("/r");
        assert_eq!(path_of(root, b"."), root);
        assert_eq!(path_of(root, b"/etc/passwd"), Path::new("/r/etc/passwd"));
        assert_eq!(path_of(root, b"../../x"), Path::new("/r/x"));
        assert!(!is_wire(b"../x") && !is_wire(b"/x") && !is_wire(b"a//b") && !is_wire(b"") && !is_wire(b"a\0"));
    }

    fn component() -> impl Strategy<Value = String> {
        let nasty =
            prop::sample::select(vec!["cur", "new", "tmp", "..", ".", "%41", "%", "+", "a/b", " ", "INBOX", "%2", "4"]);
        let piece = prop_oneof![nasty.prop_map(str::to_owned), "[ -~]{1,6}", any::<char>().prop_map(String::from)];
        prop::collection::vec(piece, 1..4).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn every_name_reads_back(parts in prop::collection::vec(component(), 1..4)) {
            prop_assume!(parts.iter().all(|part| !part.contains('\0')));
            let name = FolderName::new(parts).expect("no empty component");
            for layout in LAYOUTS {
                let wire = wire_for(layout, &name).expect("short enough");
                prop_assert!(is_wire(&wire));
                prop_assert_eq!(name_of(layout, &wire), Ok(name.clone()));
                let path = path_of(Path::new("/root"), &wire);
                prop_assert!(path.starts_with("/root"));
                prop_assert!(path.components().all(|c| c.as_os_str() != ".." && c.as_os_str() != "cur"));
            }
        }

        #[test]
        fn no_directory_name_is_read_in_two_ways(wire in prop::collection::vec(any::<u8>(), 0..12)) {
            for layout in LAYOUTS {
                if let Ok(name) = name_of(layout, &wire) {
                    prop_assert_eq!(wire_for(layout, &name), Ok(wire.clone()));
                }
            }
        }
    }
}
