//! What a listing notes of the directories that it read, so that the next one need not read those that stayed the same.

use super::layout::Layout;
use super::stamps::{Now, nanos};
use crate::mail::Noted;
use crate::store::sys::Seen;
use foldhash::{HashMap, HashMapExt};

/// Goes up when what is noted gets another form: what an older program noted is then not understood, and read anew.
const FORM: u8 = 2;

/// What may be a folder in a directory, or lead to folders.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Child {
    pub(super) name: Vec<u8>,
    pub(super) link: bool,
}

/// A directory as it was: nothing was made, removed or renamed in it as long as it has this stamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directory {
    stamp: [u64; 6],
    pub(super) children: Vec<Child>,
    /// Whether the file is in it that says what a folder's keywords are. It may change without the directory.
    pub(super) keywords: bool,
}

impl Directory {
    /// What was found in a directory that was looked at before it was read.
    pub(super) fn new(seen: &Seen, children: Vec<Child>, keywords: bool) -> Directory {
        Directory { stamp: stamp_of(seen), children, keywords }
    }
}

/// The directories of a tree, by wire name.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tree {
    directories: HashMap<Vec<u8>, Directory>,
}

fn stamp_of(seen: &Seen) -> [u64; 6] {
    let times = [seen.mtime.0, seen.mtime.1, seen.ctime.0, seen.ctime.1].map(i64::cast_unsigned);
    [seen.dev, seen.ino, times[0], times[1], times[2], times[3]]
}

impl Tree {
    /// One for about as many directories.
    pub(super) fn like(other: &Tree) -> Tree {
        Tree { directories: HashMap::with_capacity(other.directories.len()) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.directories.is_empty()
    }

    /// Takes out what was in a directory, if that is what is in it now.
    pub(super) fn take(&mut self, wire: &[u8], seen: &Seen) -> Option<(Vec<u8>, Directory)> {
        self.directories.remove_entry(wire).filter(|(_, directory)| directory.stamp == stamp_of(seen))
    }

    /// Notes what is in a directory, and says whether it did: not where it changed so recently that its stamp may not
    /// show the next change.
    pub(super) fn note(&mut self, wire: Vec<u8>, directory: Directory, now: &Now) -> bool {
        let [_, _, mtime, mtime_nanos, ctime, ctime_nanos] = directory.stamp.map(u64::cast_signed);
        let old = now.is_long_after(nanos((mtime, mtime_nanos)).max(nanos((ctime, ctime_nanos))));
        if old {
            self.directories.insert(wire, directory);
        }
        old
    }

    /// What an earlier listing noted; nothing where that was of another layout, or is damaged.
    pub(super) fn read(noted: Option<&Noted>, layout: Layout) -> Tree {
        let mut rest = match noted.map(|noted| &noted.0[..]) {
            Some([FORM, kind, rest @ ..]) if *kind == kind_of(layout) => rest,
            _ => return Tree::default(),
        };
        let mut tree = Tree::default();
        while !rest.is_empty() {
            let Some((wire, directory)) = take_directory(&mut rest) else { return Tree::default() };
            tree.directories.insert(wire, directory);
        }
        tree
    }

    /// What the next listing is to be told.
    pub(super) fn write(&self, layout: Layout) -> Noted {
        let mut bytes = vec![FORM, kind_of(layout)];
        let mut all: Vec<_> = self.directories.iter().collect();
        all.sort_by_key(|(wire, _)| *wire);
        for (wire, directory) in all {
            put(&mut bytes, wire);
            directory.stamp.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
            bytes.push(u8::from(directory.keywords));
            bytes.extend_from_slice(&(directory.children.len() as u32).to_le_bytes());
            for child in &directory.children {
                bytes.push(u8::from(child.link));
                put(&mut bytes, &child.name);
            }
        }
        Noted(bytes)
    }
}

/// Layouts of one kind look for the same names.
fn kind_of(layout: Layout) -> u8 {
    match layout {
        Layout::Nested | Layout::Flat(_) => b'/',
        Layout::MaildirPlusPlus => b'+',
    }
}

fn put(bytes: &mut Vec<u8>, name: &[u8]) {
    bytes.extend_from_slice(&(name.len() as u32).to_le_bytes());
    bytes.extend_from_slice(name);
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

fn take_name(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let length = usize::try_from(u32::from_le_bytes(take_array(rest)?)).ok()?;
    let (name, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(name.to_vec())
}

fn take_directory(rest: &mut &[u8]) -> Option<(Vec<u8>, Directory)> {
    let wire = take_name(rest)?;
    let mut directory = Directory { stamp: [0; 6], children: Vec::new(), keywords: false };
    for number in &mut directory.stamp {
        *number = u64::from_le_bytes(take_array(rest)?);
    }
    let [keywords] = take_array(rest)?;
    directory.keywords = keywords != 0;
    for _ in 0..u32::from_le_bytes(take_array(rest)?) {
        let [link] = take_array(rest)?;
        directory.children.push(Child { link: link != 0, name: take_name(rest)? });
    }
    Some((wire, directory))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sys;
    use std::fs;
    use std::path::Path;

    fn noted() -> (tempfile::TempDir, Seen, Tree) {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("a")).expect("made");
        let seen = look(dir.path());
        let mut tree = Tree::default();
        let children = vec![Child { name: b"a\nb".to_vec(), link: false }, Child { name: b"l".to_vec(), link: true }];
        assert!(tree.note(b"".to_vec(), Directory::new(&seen, children, false), &Now::later(&seen)));
        assert!(tree.note(b"x/y".to_vec(), Directory::new(&seen, Vec::new(), true), &Now::later(&seen)));
        (dir, seen, tree)
    }

    fn look(dir: &Path) -> Seen {
        sys::look(dir).expect("there")
    }

    #[test]
    fn what_was_noted_is_read_again_by_the_same_kind_of_layout() {
        let (_dir, _, tree) = noted();
        let noted = tree.write(Layout::Nested);
        assert_eq!(Tree::read(Some(&noted), Layout::Flat('.')), tree);
        assert_eq!(Tree::read(Some(&noted), Layout::MaildirPlusPlus), Tree::default());
        assert_eq!(Tree::read(None, Layout::Nested), Tree::default());
    }

    #[test]
    fn what_is_damaged_is_nothing() {
        let (_dir, _, tree) = noted();
        let whole = tree.write(Layout::Nested).0;
        for length in 3..whole.len() {
            let cut = Tree::read(Some(&Noted(whole[..length].to_vec())), Layout::Nested);
            assert!(
                cut == Tree::default()
                    || tree.directories.iter().any(|(wire, directory)| cut.directories.get(wire) == Some(directory)),
                "{length}"
            );
        }
        let mut long = whole.clone();
        long[2..6].fill(0xff);
        assert_eq!(Tree::read(Some(&Noted(long)), Layout::Nested), Tree::default());
    }

    #[test]
    fn a_directory_counts_until_something_is_made_in_it_and_not_while_it_is_young() {
        let (dir, seen, mut tree) = noted();
        assert_eq!(tree.take(b"", &seen).map(|(_, directory)| directory.children.len()), Some(2));
        assert_eq!(tree.take(b"x/y", &seen).map(|(_, directory)| directory.keywords), Some(true));
        let young = Directory::new(&seen, Vec::new(), false);
        assert!(!tree.note(b"young".to_vec(), young.clone(), &Now::on(dir.path())));
        assert_eq!(tree.take(b"young", &seen), None);
        assert!(tree.note(b"".to_vec(), young, &Now::later(&seen)));
        fs::remove_dir(dir.path().join("a")).expect("removed");
        fs::create_dir(dir.path().join("b")).expect("made");
        assert_eq!(tree.take(b"", &look(dir.path())), None);
    }
}
