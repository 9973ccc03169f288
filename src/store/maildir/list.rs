//! Which folders a tree holds.

use super::error::disk;
use super::layout::{Layout, ROOT_WIRE, name_of, path_of, shown_name};
use super::stamps::{Now, Stamps};
use super::tree::{Child, Directory, Tree};
use super::{MaildirSettings, SUBS, keywords};
use crate::mail::{Cursor, FolderName, Role};
use crate::store::sys::{self, Seen};
use crate::store::{FolderInfo, Reach, StoreError};
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// How deep directories may be nested; a path has no room for more.
const DEPTH: usize = 256;

/// Lists the folders of a tree, by wire name. Directories behind links count once, under the name that needs no link.
/// Those that are as they were `before` are not read.
pub(super) fn list(settings: &MaildirSettings, before: Tree) -> Result<Listing, StoreError> {
    list_at(settings, before, Now::on(&settings.root))
}

/// What a tree holds.
pub(super) struct Listing {
    pub(super) folders: Vec<FolderInfo>,
    /// Directories that are no folders, and lead to none, yet: their wire names.
    pub(super) bare: Vec<Vec<u8>>,
    /// What is known of the directories, and whether that is the same as before.
    pub(super) tree: Tree,
    pub(super) same: bool,
}

fn list_at(settings: &MaildirSettings, before: Tree, now: Now) -> Result<Listing, StoreError> {
    let top = sys::open_to_look(&settings.root);
    let mut walk = Walk {
        root: &settings.root,
        top: top.map_err(|err| disk(Reach::Account, "list", &settings.root, err))?,
        layout: settings.layout,
        now,
        tree: Tree::like(&before),
        before,
        same: true,
        met: Met::default(),
        links: Vec::new(),
        bare: Vec::new(),
        found: Vec::new(),
    };
    let root = walk.meet(b"")?;
    let keywords = settings.layout == Layout::MaildirPlusPlus;
    if keywords {
        let (is_folder, cursor) = walk.look(b"", keywords)?;
        if is_folder {
            walk.met.add(&root, ROOT_WIRE);
            walk.note_folder(ROOT_WIRE.to_vec(), cursor, 0);
        }
    }
    walk.directory(b"", &root, 0)?;
    // Those that are met behind a link may hold links again.
    while let Some((wire, depth)) = walk.links.pop() {
        walk.enter_link(wire, depth)?;
    }
    walk.found.sort_by(|a, b| a.wire.cmp(&b.wire));
    let same = walk.same && walk.before.is_empty();
    Ok(Listing { folders: walk.found, bare: walk.bare, tree: walk.tree, same })
}

/// What is to be said of one folder that is there.
pub(super) fn info(root: &Path, name: FolderName, wire: Vec<u8>) -> FolderInfo {
    let cursor = cursor(root, &wire, &Now::on(root));
    FolderInfo { cursor, selectable: true, ..bare(name, wire) }
}

fn bare(name: FolderName, wire: Vec<u8>) -> FolderInfo {
    FolderInfo {
        role: name.is_inbox().then_some(Role::Inbox),
        name,
        wire,
        selectable: false,
        subscribed: None,
        object: None,
        cursor: None,
        messages: None,
        unseen: None,
        problem: None,
    }
}

/// No cursor where the folder lacks something: opening it tells what.
fn cursor(root: &Path, wire: &[u8], now: &Now) -> Option<Cursor> {
    Stamps::take(&path_of(root, wire)).ok().map(|stamps| stamps.into_cursor(now))
}

/// Whether what was looked for is not there, or behind something that is no directory.
fn is_absent(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Directories that were met: device and inode of each, and its wire name.
#[derive(Default)]
struct Met {
    /// Each with where its name ends. Looked through only where there are links.
    all: Vec<(u64, u64, usize)>,
    names: Vec<u8>,
}

impl Met {
    fn add(&mut self, seen: &Seen, wire: &[u8]) {
        self.names.extend_from_slice(wire);
        self.all.push((seen.dev, seen.ino, self.names.len()));
    }

    /// The name under which a directory was met first.
    fn name_of(&self, seen: &Seen) -> Option<&[u8]> {
        let at = self.all.iter().position(|(dev, ino, _)| (*dev, *ino) == (seen.dev, seen.ino))?;
        let from = at.checked_sub(1).map_or(0, |before| self.all[before].2);
        Some(&self.names[from..self.all[at].2])
    }
}

struct Walk<'a> {
    root: &'a Path,
    /// The root, open.
    top: OwnedFd,
    layout: Layout,
    now: Now,
    before: Tree,
    tree: Tree,
    /// Whether all that was met so far is as it was before.
    same: bool,
    met: Met,
    /// Links to directories, looked at when all that needs no link is known.
    links: Vec<(Vec<u8>, usize)>,
    bare: Vec<Vec<u8>>,
    found: Vec<FolderInfo>,
}

impl Walk<'_> {
    fn look_at(&self, wire: &[u8], part: &str) -> io::Result<Seen> {
        let mut path = Vec::with_capacity(wire.len() + 1 + part.len());
        path.extend_from_slice(wire);
        if !wire.is_empty() && !part.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(part.as_bytes());
        let path = if path.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(&path) };
        sys::look_below(&self.top, Path::new(path))
    }

    /// A directory that is there.
    fn meet(&mut self, wire: &[u8]) -> Result<Seen, StoreError> {
        let seen = self.look_at(wire, "");
        let seen = seen.map_err(|err| disk(Reach::Account, "list", &path_of(self.root, wire), err))?;
        self.met.add(&seen, wire);
        Ok(seen)
    }

    /// Looks at what is in a directory. Answers how many folders are in it, at any depth, and whether a file of keywords
    /// may be.
    fn directory(&mut self, wire: &[u8], seen: &Seen, depth: usize) -> Result<(usize, bool), StoreError> {
        let (wire, directory) = match self.before.take(wire, seen) {
            Some(known) => known,
            None => {
                self.same = false;
                (wire.to_vec(), self.read(wire, seen)?)
            }
        };
        let before = self.found.len();
        for Child { name, link } in &directory.children {
            let child = if wire.is_empty() { name.clone() } else { [&wire, &b"/"[..], name].concat() };
            match link {
                true => self.links.push((child, depth + 1)),
                false => self.enter(child, depth + 1)?,
            }
        }
        let keywords = directory.keywords;
        self.same &= self.tree.note(wire, directory, &self.now);
        Ok((self.found.len() - before, keywords))
    }

    fn read(&self, wire: &[u8], seen: &Seen) -> Result<Directory, StoreError> {
        let path = path_of(self.root, wire);
        let failed = |err| disk(Reach::Account, "list", &path, err);
        let mut children = Vec::new();
        let mut keywords = false;
        for entry in sys::list(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let name = entry.file_name().into_vec();
            keywords |= name == keywords::FILE.as_bytes();
            if (kind.is_dir() || kind.is_symlink()) && self.may_be_folder(&name) {
                children.push(Child { name, link: kind.is_symlink() });
            }
        }
        children.sort();
        Ok(Directory::new(seen, children, keywords))
    }

    fn may_be_folder(&self, name: &[u8]) -> bool {
        match self.layout {
            Layout::MaildirPlusPlus => name.starts_with(b"."),
            _ => !name.starts_with(b".") && !SUBS.iter().any(|sub| sub.as_bytes() == name),
        }
    }

    /// Looks at one directory below the root.
    fn enter(&mut self, wire: Vec<u8>, depth: usize) -> Result<(), StoreError> {
        let seen = self.meet(&wire)?;
        let at = self.found.len();
        // Only those that are read themselves show whether there are keywords in them.
        let (mut inside, mut keywords) = (0, true);
        if self.layout == Layout::Nested {
            if depth > DEPTH {
                let cause = io::Error::other(format!("directories are nested more than {DEPTH} deep"));
                return Err(disk(Reach::Account, "list", &path_of(self.root, &wire), cause));
            }
            (inside, keywords) = self.directory(&wire, &seen, depth)?;
        }
        let (is_folder, cursor) = self.look(&wire, keywords)?;
        if is_folder {
            self.note_folder(wire, cursor, at);
        } else if inside > 0 {
            let container = self.named(wire);
            self.found.insert(at, container);
        } else {
            self.bare.push(wire);
        }
        Ok(())
    }

    fn enter_link(&mut self, wire: Vec<u8>, depth: usize) -> Result<(), StoreError> {
        let seen = match self.look_at(&wire, "") {
            Ok(seen) if seen.is_dir => seen,
            // A link to a file is no folder's business.
            Ok(_) => return Ok(()),
            Err(_) => {
                let dangling = FolderInfo {
                    problem: Some("it is a link that leads nowhere: is something not mounted?".to_owned()),
                    ..self.named(wire)
                };
                self.found.push(dangling);
                return Ok(());
            }
        };
        match self.met.name_of(&seen) {
            Some(known) if self.look_at(&wire, "cur").is_ok_and(|cur| cur.is_dir) => {
                let known = String::from_utf8_lossy(known).into_owned();
                let double =
                    FolderInfo { problem: Some(format!("it is the same directory as {known:?}")), ..self.named(wire) };
                self.found.push(double);
                Ok(())
            }
            // A loop, or another way to directories that are listed already.
            Some(_) => Ok(()),
            None => self.enter(wire, depth),
        }
    }

    /// Whether a directory holds messages, and where it stands; no cursor where the folder lacks something: opening it
    /// tells what.
    fn look(&self, wire: &[u8], keywords: bool) -> Result<(bool, Option<Cursor>), StoreError> {
        let path = |part: &str| path_of(self.root, wire).join(part);
        match Stamps::of(keywords, |part| self.look_at(wire, part), path) {
            Ok(stamps) => Ok((stamps.of_folder, Some(stamps.into_cursor(&self.now)))),
            Err(_) => match self.look_at(wire, "cur") {
                Ok(seen) => Ok((seen.is_dir, None)),
                Err(err) if is_absent(&err) => Ok((false, None)),
                Err(err) => Err(disk(Reach::Account, "list", &path("cur"), err)),
            },
        }
    }

    fn note_folder(&mut self, wire: Vec<u8>, cursor: Option<Cursor>, at: usize) {
        let info = FolderInfo { selectable: true, cursor, ..self.named(wire) };
        self.found.insert(at, info);
    }

    /// A folder under the name that its directory has; where that can't be read back, under one for people.
    fn named(&self, wire: Vec<u8>) -> FolderInfo {
        match name_of(self.layout, &wire) {
            Ok(name) => bare(name, wire),
            Err(why) => FolderInfo { problem: Some(why), ..bare(shown_name(&wire), wire) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::thread;
    use std::time::Duration;

    /// Longer than the kernel gives two changes one stamp.
    const TICK: Duration = Duration::from_millis(20);

    type Act = dyn Fn(&Path) -> io::Result<()>;

    fn told(folders: &[FolderInfo]) -> Vec<String> {
        let one = |info: &FolderInfo| {
            let wire = String::from_utf8_lossy(&info.wire).into_owned();
            format!(
                "{wire} {} {:?} {:?}",
                info.selectable,
                info.cursor.as_ref().map(|cursor| &cursor.mark),
                info.problem
            )
        };
        folders.iter().map(one).collect()
    }

    #[test]
    fn what_is_listed_again_is_what_is_there_whatever_happened_in_between() {
        let acts: [&Act; 15] = [
            &|root| fs::create_dir_all(root.join("a/cur")).and_then(|()| fs::create_dir(root.join("a/new"))),
            &|root| fs::create_dir_all(root.join("a/b/c/cur")),
            &|root| fs::create_dir_all(root.join(".x.y/cur")),
            &|root| fs::rename(root.join("a/b"), root.join("d")),
            &|root| fs::create_dir_all(root.join("d/c/new")),
            &|root| std::os::unix::fs::symlink("d/c", root.join("link")),
            &|root| fs::remove_file(root.join("link")).and_then(|()| fs::create_dir_all(root.join("link/cur"))),
            &|root| fs::write(root.join("d/c/cur/message"), "text"),
            &|root| fs::write(root.join("d/c/dovecot-keywords"), "0 a\n"),
            &|root| fs::write(root.join("d/c/dovecot-keywords"), "0 a\n1 b\n"),
            &|root| fs::remove_file(root.join("d/c/dovecot-keywords")),
            &|root| fs::write(root.join("dovecot-keywords"), "0 a\n"),
            &|root| fs::remove_dir_all(root.join("d/c")),
            &|root| fs::rename(root.join("a"), root.join("d/c")),
            &|root| fs::remove_dir_all(root.join(".x.y")),
        ];
        for layout in [Layout::Nested, Layout::MaildirPlusPlus, Layout::Flat('.')] {
            let dir = tempfile::tempdir().expect("a directory");
            for sub in SUBS {
                fs::create_dir(dir.path().join(sub)).expect("made");
            }
            let settings = MaildirSettings { layout, ..MaildirSettings::new(dir.path()) };
            let mut before = Tree::default();
            for (number, act) in acts.iter().enumerate() {
                thread::sleep(TICK);
                act(dir.path()).expect("done");
                let later = Now::later(&sys::look(dir.path()).expect("there"));
                let list = |before: &Tree| list_at(&settings, before.clone(), later).expect("listed");
                let (anew, again) = (list(&Tree::default()), list(&before));
                assert_eq!(told(&again.folders), told(&anew.folders), "after act {number} in {layout:?}");
                assert_eq!((&again.tree, &again.bare), (&anew.tree, &anew.bare), "after act {number} in {layout:?}");
                before = again.tree;
                // When none of it is young any more, nothing is new.
                let list = |before: &Tree| list_at(&settings, before.clone(), Now::in_a_while()).expect("listed");
                let tree = list(&before).tree;
                let old = list(&tree);
                assert_eq!(told(&old.folders), told(&anew.folders), "after act {number} in {layout:?}");
                assert_eq!((&old.tree, old.same), (&tree, true), "after act {number} in {layout:?}");
            }
            let young = list_at(&settings, before, Now::on(dir.path())).expect("listed");
            assert_eq!((young.tree, young.same), (Tree::default(), false), "all of it is young");
        }
    }
}
