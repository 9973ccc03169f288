//! Which folders a tree holds.

use super::error::disk;
use super::layout::{Layout, ROOT_WIRE, name_of, path_of, shown_name};
use super::scan::{Now, Stamps};
use super::tree::{Child, Tree};
use super::{MaildirSettings, SUBS};
use crate::mail::{Cursor, FolderName, Role};
use crate::store::{FolderInfo, Reach, StoreError, sys};
use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// How deep directories may be nested; a path has no room for more.
const DEPTH: usize = 256;

/// Lists the folders of a tree, by wire name. Directories behind links count once, under the name that needs no link.
/// Those that are as they were `before` are not read; what is known of them now comes along.
pub(super) fn list(settings: &MaildirSettings, before: &Tree) -> Result<(Vec<FolderInfo>, Tree), StoreError> {
    list_at(settings, before, Now::on(&settings.root))
}

fn list_at(settings: &MaildirSettings, before: &Tree, now: Now) -> Result<(Vec<FolderInfo>, Tree), StoreError> {
    let mut walk = Walk {
        root: &settings.root,
        layout: settings.layout,
        now,
        before,
        tree: Tree::default(),
        seen: HashMap::new(),
        links: Vec::new(),
        found: Vec::new(),
    };
    let root = walk.met(b"")?;
    if settings.layout == Layout::MaildirPlusPlus {
        let (is_folder, cursor) = walk.look(&settings.root)?;
        if is_folder {
            walk.seen.insert((root.dev(), root.ino()), ROOT_WIRE.to_vec());
            walk.note_folder(ROOT_WIRE.to_vec(), cursor, 0);
        }
    }
    walk.directory(b"", &root, 0)?;
    // Those that are met behind a link may hold links again.
    while let Some((wire, depth)) = walk.links.pop() {
        walk.enter_link(wire, depth)?;
    }
    walk.found.sort_by(|a, b| a.wire.cmp(&b.wire));
    Ok((walk.found, walk.tree))
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
    Stamps::take(&path_of(root, wire)).ok().map(|stamps| stamps.cursor(now))
}

/// Whether what was looked for is not there, or behind something that is no directory.
fn is_absent(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

struct Walk<'a> {
    root: &'a Path,
    layout: Layout,
    now: Now,
    before: &'a Tree,
    tree: Tree,
    /// Device and inode of every directory, and its wire name.
    seen: HashMap<(u64, u64), Vec<u8>>,
    /// Links to directories, looked at when all that needs no link is known.
    links: Vec<(Vec<u8>, usize)>,
    found: Vec<FolderInfo>,
}

impl Walk<'_> {
    /// A directory that is there, and the name under which it is met first.
    fn met(&mut self, wire: &[u8]) -> Result<Metadata, StoreError> {
        let path = path_of(self.root, wire);
        let meta = fs::metadata(&path).map_err(|err| disk(Reach::Account, "list", &path, err))?;
        self.seen.entry((meta.dev(), meta.ino())).or_insert_with(|| wire.to_vec());
        Ok(meta)
    }

    /// Looks at what is in a directory. Answers how many folders are in it, at any depth.
    fn directory(&mut self, wire: &[u8], meta: &Metadata, depth: usize) -> Result<usize, StoreError> {
        let children = match self.before.children(wire, meta) {
            Some(children) => children.to_vec(),
            None => self.read(wire)?,
        };
        self.tree.note(wire, meta, &children, &self.now);
        let before = self.found.len();
        for Child { name, link } in children {
            let child = if wire.is_empty() { name } else { [wire, b"/", &name].concat() };
            match link {
                true => self.links.push((child, depth + 1)),
                false => self.enter(child, depth + 1)?,
            }
        }
        Ok(self.found.len() - before)
    }

    fn read(&self, wire: &[u8]) -> Result<Vec<Child>, StoreError> {
        let path = path_of(self.root, wire);
        let failed = |err| disk(Reach::Account, "list", &path, err);
        let mut children = Vec::new();
        for entry in sys::list(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let name = entry.file_name().into_vec();
            if (kind.is_dir() || kind.is_symlink()) && self.may_be_folder(&name) {
                children.push(Child { name, link: kind.is_symlink() });
            }
        }
        children.sort();
        Ok(children)
    }

    fn may_be_folder(&self, name: &[u8]) -> bool {
        match self.layout {
            Layout::MaildirPlusPlus => name.starts_with(b"."),
            _ => !name.starts_with(b".") && !SUBS.iter().any(|sub| sub.as_bytes() == name),
        }
    }

    /// Looks at one directory below the root.
    fn enter(&mut self, wire: Vec<u8>, depth: usize) -> Result<(), StoreError> {
        let path = path_of(self.root, &wire);
        let meta = self.met(&wire)?;
        let at = self.found.len();
        let mut inside = 0;
        if self.layout == Layout::Nested {
            if depth > DEPTH {
                let cause = io::Error::other(format!("directories are nested more than {DEPTH} deep"));
                return Err(disk(Reach::Account, "list", &path, cause));
            }
            inside = self.directory(&wire, &meta, depth)?;
        }
        let (is_folder, cursor) = self.look(&path)?;
        if is_folder {
            self.note_folder(wire, cursor, at);
        } else if inside > 0 {
            let container = self.named(wire);
            self.found.insert(at, container);
        }
        Ok(())
    }

    fn enter_link(&mut self, wire: Vec<u8>, depth: usize) -> Result<(), StoreError> {
        let path = path_of(self.root, &wire);
        let meta = match fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => meta,
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
        match self.seen.get(&(meta.dev(), meta.ino())) {
            Some(known) if path.join("cur").is_dir() => {
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
    fn look(&self, path: &Path) -> Result<(bool, Option<Cursor>), StoreError> {
        match Stamps::take(path) {
            Ok(stamps) => Ok((stamps.of_folder, Some(stamps.cursor(&self.now)))),
            Err(_) => match fs::metadata(path.join("cur")) {
                Ok(meta) => Ok((meta.is_dir(), None)),
                Err(err) if is_absent(&err) => Ok((false, None)),
                Err(err) => Err(disk(Reach::Account, "list", &path.join("cur"), err)),
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
        let acts: [&Act; 11] = [
            &|root| fs::create_dir_all(root.join("a/cur")).and_then(|()| fs::create_dir(root.join("a/new"))),
            &|root| fs::create_dir_all(root.join("a/b/c/cur")),
            &|root| fs::create_dir_all(root.join(".x.y/cur")),
            &|root| fs::rename(root.join("a/b"), root.join("d")),
            &|root| fs::create_dir_all(root.join("d/c/new")),
            &|root| std::os::unix::fs::symlink("d/c", root.join("link")),
            &|root| fs::remove_file(root.join("link")).and_then(|()| fs::create_dir_all(root.join("link/cur"))),
            &|root| fs::write(root.join("d/c/cur/message"), "text"),
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
                let later = Now::later(&fs::metadata(dir.path()).expect("there"));
                let (anew, _) = list_at(&settings, &Tree::default(), later).expect("listed");
                let (again, tree) = list_at(&settings, &before, later).expect("listed again");
                assert_eq!(told(&again), told(&anew), "after act {number} in {layout:?}");
                before = tree;
            }
            assert_eq!(
                list_at(&settings, &before, Now::on(dir.path())).expect("listed").1,
                Tree::default(),
                "all of it is young"
            );
        }
    }
}
