//! Names of folders between the wire, people and the disk: what was written is what is read again, and no name leads
//! out of the tree.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use mailsync::mail::FolderName;
use mailsync::store::imap::names::{self, Astring, Naming};
use mailsync::store::maildir::fuzzing::{is_wire, name_of};
use mailsync::store::maildir::{Layout, path_of, wire_for};
use mailsync::sync::rules::{Pattern, Remote, Rename, Rules};
use std::path::{Component, Path};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    /// A name on the wire, or the path of a directory.
    wire: &'a [u8],
    /// A name as people write it.
    text: &'a str,
    delimiter: Option<u8>,
    prefix: &'a [u8],
    separator: char,
    renames: Vec<Step<'a>>,
}

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    Lower,
    Replace(&'a str, &'a str),
    Prefix(&'a str, &'a str),
    Folder(&'a str, &'a str),
}

fuzz_target!(|input: Input<'_>| {
    utf7(input.text, input.wire);
    text_form(input.text);
    Pattern::parse(input.text).into_iter().for_each(|pattern| {
        pattern.matches(&FolderName::inbox(), None);
    });
    let naming =
        Naming { delimiter: input.delimiter, prefix: input.prefix.to_vec(), others: vec![b"Shared.".to_vec()] };
    on_the_wire(&naming, input.wire);
    quoted(input.wire);
    let layouts = [Layout::Nested, Layout::MaildirPlusPlus, Layout::Flat('.'), Layout::Flat(input.separator)];
    for layout in layouts {
        directory(layout, input.wire);
    }
    let Some(name) = FolderName::parse(input.text) else { return };
    for layout in layouts {
        on_disk(layout, &name);
    }
    to_the_wire(&naming, &name);
    renamed(&input.renames, &name);
});

fn utf7(text: &str, wire: &[u8]) {
    let encoded = names::encode(text);
    assert!(encoded.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{encoded:?}");
    assert_eq!(names::decode(encoded.as_bytes()), text, "{encoded:?}");
    let decoded = names::decode(wire);
    assert_eq!(names::decode(names::encode(&decoded).as_bytes()), decoded);
}

fn text_form(text: &str) {
    let Some(name) = FolderName::parse(text) else { return };
    assert_eq!(FolderName::parse(&name.text()).as_ref(), Some(&name));
    assert!(!name.to_string().chars().any(char::is_control));
}

/// A name that can be used leads back to the mailbox that it came from.
fn on_the_wire(naming: &Naming, wire: &[u8]) {
    let named = naming.name_of(wire, naming.delimiter);
    assert!(!(named.exact && named.problem.is_some()));
    if named.problem.is_none() {
        assert!(named.name.parts().iter().all(|part| part != "." && part != ".."), "{named:?}");
    }
    if named.exact {
        assert_eq!(naming.wire_of(&named.name).as_deref(), Ok(wire), "{named:?}");
    }
}

fn to_the_wire(naming: &Naming, name: &FolderName) {
    let Ok(wire) = naming.wire_of(name) else { return };
    let named = naming.name_of(&wire, naming.delimiter);
    assert_eq!((&named.name, named.exact, named.problem), (name, true, None), "{}", wire.escape_ascii());
}

/// A quoted string is a line's part, and holds what went in.
fn quoted(text: &[u8]) {
    match Astring::new(text) {
        Astring::Literal(bytes) => assert_eq!(bytes, text),
        Astring::Quoted(quoted) => {
            assert!(quoted.iter().all(|byte| byte.is_ascii() && !b"\0\r\n".contains(byte)));
            let inner = quoted.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).expect("quotes");
            let mut plain = Vec::new();
            let mut bytes = inner.iter();
            while let Some(byte) = bytes.next() {
                assert_ne!(*byte, b'"');
                plain.push(if *byte == b'\\' { *bytes.next().expect("something is escaped") } else { *byte });
            }
            assert_eq!(plain, text);
        }
    }
}

fn on_disk(layout: Layout, name: &FolderName) {
    let Ok(wire) = wire_for(layout, name) else { return };
    let shown = wire.escape_ascii().to_string();
    assert!(is_wire(&wire), "{shown}");
    assert_eq!(name_of(layout, &wire).as_ref(), Ok(name), "{shown}");
    let names = wire.split(|byte| *byte == b'/');
    if !(layout == Layout::MaildirPlusPlus && name.is_inbox()) {
        for part in names.clone() {
            let reserved: [&[u8]; 6] = [b"", b".", b"..", b"cur", b"new", b"tmp"];
            assert!(
                !reserved.contains(&part) && part.len() <= 255 && !part.iter().any(u8::is_ascii_control),
                "{shown}"
            );
            assert!(layout != Layout::Nested || part != b"dovecot-keywords", "{shown}");
            assert!(layout == Layout::MaildirPlusPlus || !part.starts_with(b"."), "{shown}");
        }
    }
    let directories = match layout {
        Layout::Nested => name.parts().len(),
        _ => 1,
    };
    assert_eq!(names.count(), directories, "{shown}");
    assert!(std::str::from_utf8(&wire).is_ok(), "{shown}");
    inside(&wire);
}

/// Any directory has one name, or none that leads elsewhere.
fn directory(layout: Layout, wire: &[u8]) {
    inside(wire);
    if let Ok(name) = name_of(layout, wire) {
        assert_eq!(wire_for(layout, &name).as_deref(), Ok(wire), "{name:?}");
    }
}

fn inside(wire: &[u8]) {
    let path = path_of(Path::new("/root"), wire);
    assert!(path.starts_with("/root"), "{path:?}");
    assert!(path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_))), "{path:?}");
}

/// A local name that the rules give a remote one is what that one leads to.
fn renamed(steps: &[Step<'_>], name: &FolderName) {
    let owned = |text: &str| text.to_owned();
    let rename = |step: &Step<'_>| {
        Some(match step {
            Step::Lower => Rename::Lower,
            Step::Replace(from, to) if !from.is_empty() => Rename::Replace { from: owned(from), to: owned(to) },
            Step::Prefix(from, to) if FolderName::parse(from).is_some() && FolderName::parse(to).is_some() => {
                Rename::Prefix { from: owned(from), to: owned(to) }
            }
            Step::Folder(folder, to) if FolderName::parse(to).is_some() => {
                Rename::Folder { folder: Pattern::parse(folder).ok()?, to: owned(to) }
            }
            _ => return None,
        })
    };
    let rules = Rules { renames: steps.iter().take(4).filter_map(rename).collect(), ..Rules::default() };
    let parent = name.parent().map(|name| Remote { name, role: None });
    let remotes: Vec<Remote> = parent.into_iter().collect();
    if let Ok(remote) = rules.remote_name(name, &remotes) {
        assert_eq!(rules.local_name(&remote, None).as_ref(), Some(name), "by way of {remote:?}");
    }
    if let Some(local) = rules.local_name(name, None) {
        // It can be refused, but what comes of it is never another folder.
        if let Ok(remote) = rules.remote_name(&local, &remotes) {
            assert_eq!(rules.local_name(&remote, None), Some(local));
        }
    }
}
