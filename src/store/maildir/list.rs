//! Which folders a tree holds.

use super::error::disk;
use super::layout::{Layout, ROOT_WIRE, name_of, path_of, shown_name};
use super::scan::{Now, Stamps};
use super::{MaildirSettings, SUBS};
use crate::mail::{Cursor, FolderName, Role};
use crate::store::{FolderInfo, Reach, StoreError, sys};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// How deep directories may be nested; a path has no room for more.
const DEPTH: usize = 256;

/// Lists the folders of a tree, by wire name. Directories behind links count once, under the name that needs no link.
pub(super) fn list(settings: &MaildirSettings) -> Result<Vec<FolderInfo>, StoreError> {
    let mut walk = Walk {
        root: &settings.root,
        layout: settings.layout,
        now: Now::on(&settings.root),
        seen: HashMap::new(),
        links: Vec::new(),
        found: Vec::new(),
    };
    if settings.layout == Layout::MaildirPlusPlus && settings.root.join("cur").is_dir() {
        walk.visit(ROOT_WIRE.to_vec(), None)?;
    }
    walk.directory(b"", 0)?;
    // Those that are met behind a link may hold links again.
    while let Some((wire, depth)) = walk.links.pop() {
        walk.enter_link(wire, depth)?;
    }
    walk.found.sort_by(|a, b| a.wire.cmp(&b.wire));
    Ok(walk.found)
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

struct Walk<'a> {
    root: &'a Path,
    layout: Layout,
    now: Now,
    /// Device and inode of every directory, and its wire name.
    seen: HashMap<(u64, u64), Vec<u8>>,
    /// Links to directories, looked at when all that needs no link is known.
    links: Vec<(Vec<u8>, usize)>,
    found: Vec<FolderInfo>,
}

impl Walk<'_> {
    /// Looks at what is in a directory. Answers how many folders are in it, at any depth.
    fn directory(&mut self, wire: &[u8], depth: usize) -> Result<usize, StoreError> {
        let path = path_of(self.root, wire);
        let failed = |err| disk(Reach::Account, "list", &path, err);
        let meta = fs::metadata(&path).map_err(failed)?;
        self.seen.entry((meta.dev(), meta.ino())).or_insert_with(|| wire.to_vec());
        let mut children = Vec::new();
        for entry in sys::list(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let name = entry.file_name().into_vec();
            if (kind.is_dir() || kind.is_symlink()) && self.may_be_folder(&name) {
                children.push((name, kind.is_symlink()));
            }
        }
        children.sort();
        let before = self.found.len();
        for (name, link) in children {
            let child = if wire.is_empty() { name } else { [wire, b"/", &name].concat() };
            match link {
                true => self.links.push((child, depth + 1)),
                false => self.enter(child, depth + 1)?,
            }
        }
        Ok(self.found.len() - before)
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
        let at = self.found.len();
        let mut inside = 0;
        if self.layout == Layout::Nested {
            if depth > DEPTH {
                let cause = io::Error::other(format!("directories are nested more than {DEPTH} deep"));
                return Err(disk(Reach::Account, "list", &path, cause));
            }
            inside = self.directory(&wire, depth)?;
        }
        match path.join("cur").is_dir() {
            true => self.visit(wire, Some(at)),
            false if inside > 0 => {
                let container = self.named(wire);
                self.found.insert(at, container);
                Ok(())
            }
            false => Ok(()),
        }
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

    /// Notes a directory that holds messages.
    fn visit(&mut self, wire: Vec<u8>, at: Option<usize>) -> Result<(), StoreError> {
        let path = path_of(self.root, &wire);
        let meta = fs::metadata(&path).map_err(|err| disk(Reach::Account, "list", &path, err))?;
        self.seen.entry((meta.dev(), meta.ino())).or_insert_with(|| wire.clone());
        let cursor = cursor(self.root, &wire, &self.now);
        let info = FolderInfo { selectable: true, cursor, ..self.named(wire) };
        self.found.insert(at.unwrap_or(self.found.len()), info);
        Ok(())
    }

    /// A folder under the name that its directory has; where that can't be read back, under one for people.
    fn named(&self, wire: Vec<u8>) -> FolderInfo {
        match name_of(self.layout, &wire) {
            Ok(name) => bare(name, wire),
            Err(why) => FolderInfo { problem: Some(why), ..bare(shown_name(&wire), wire) },
        }
    }
}
