//! Maildirs: a directory tree in one of three layouts.
//!
//! A root bears a marker that names its owner, so that an empty mount point or another account's tree is never
//! taken for an emptied mailbox. All files are made with mode 0600 and all directories with 0700, whatever the umask.

mod bin;
mod deliver;
#[cfg(target_os = "linux")]
mod ear;
mod error;
mod filename;
mod folder;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod keywords;
mod layout;
mod list;
mod look;
mod marker;
mod measured;
mod remove;
mod scan;
mod seen;
mod stamps;
mod tree;

pub use bin::{Bin, Kept};
pub use layout::{Layout, path_of, wire_for};

use super::{Access, Claim, Folder, FolderInfo, Kind, Lock, Opener, Reach, Store, StoreError, StoreFacts, sys};
#[cfg(target_os = "linux")]
use super::{Ear, Listen};
use crate::mail::{FolderName, Noted};
use error::disk;
use folder::MaildirFolder;
use layout::{name_of, shown_name};
use list::Listing;
use seen::Seen;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tree::Tree;

/// The directories of a folder, in the order in which they are made: a folder that has `cur` is whole.
const SUBS: [&str; 3] = ["tmp", "new", "cur"];

/// By this empty file other programs know that a directory is a folder of a Maildir++ and not its root.
const SUBFOLDER: &str = "maildirfolder";

/// Where a tree of Maildirs is, and how it is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaildirSettings {
    pub root: PathBuf,
    pub layout: Layout,
    /// Stands before the info part of names that we give: `:`, or `!` where a file system can't hold a colon. Both
    /// are understood when reading.
    pub info_separator: u8,
    /// Keeps what is removed; without it, it is gone.
    pub bin: Option<Bin>,
}

impl MaildirSettings {
    /// Nested directories below `root`.
    pub fn new(root: impl Into<PathBuf>) -> MaildirSettings {
        MaildirSettings { root: root.into(), layout: Layout::Nested, info_separator: b':', bin: None }
    }
}

/// Opens the tree; as often as is wanted.
pub struct MaildirOpener {
    settings: MaildirSettings,
    seen: Arc<Seen>,
}

impl MaildirOpener {
    pub fn new(settings: MaildirSettings) -> MaildirOpener {
        MaildirOpener { settings, seen: Arc::default() }
    }
}

impl Opener for MaildirOpener {
    #[cfg(target_os = "linux")]
    fn listen(&self, _: &Listen) -> Result<Option<Box<dyn Ear>>, StoreError> {
        Ok(ear::MaildirEar::new(&self.settings).map(|ear| Box::new(ear) as Box<dyn Ear>))
    }

    /// A run begins.
    fn begin(&self) {
        self.seen.clear();
    }

    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        let refused = |cause: String| Err(StoreError::new(Reach::Account, Kind::Refused, "open the Maildir", cause));
        if !filename::SEPARATORS.contains(&self.settings.info_separator) {
            return refused("only : or ! can stand before the info part of a file's name".to_owned());
        }
        if let Err(why) = wire_for(self.settings.layout, &FolderName::inbox()) {
            return refused(why);
        }
        Ok(Box::new(MaildirStore { settings: self.settings.clone(), seen: self.seen.clone() }))
    }

    fn place(&self) -> String {
        self.settings.root.display().to_string()
    }

    fn lock(&self) -> Result<Option<Lock>, StoreError> {
        marker::lock(&self.settings.root)
    }
}

struct MaildirStore {
    settings: MaildirSettings,
    seen: Arc<Seen>,
}

impl MaildirStore {
    fn wire(&self, name: &FolderName, action: &str) -> Result<Vec<u8>, StoreError> {
        wire_for(self.settings.layout, name).map_err(|why| {
            let told = StoreError::new(Reach::Folder, Kind::Refused, action, why);
            told.with_hint("give the folder another name on this side with a rename rule")
        })
    }

    /// The root has to be there: one that is not mounted must not be made again.
    fn root(&self, action: &str) -> Result<&Path, StoreError> {
        let root = &self.settings.root;
        match root.is_dir() {
            true => Ok(root),
            false => Err(StoreError::new(
                Reach::Account,
                Kind::Missing,
                action,
                format!("{} is not there or is no directory", root.display()),
            )
            .with_hint(sys::AWAY)),
        }
    }

    fn info(&self, name: &FolderName, wire: Vec<u8>) -> FolderInfo {
        list::info(&self.settings.root, name.clone(), wire)
    }
}

impl Store for MaildirStore {
    fn facts(&mut self) -> Result<StoreFacts, StoreError> {
        let layout = self.settings.layout;
        Ok(StoreFacts {
            software: Some(format!("Maildir, {}, in {}", layout.describe(), self.settings.root.display())),
            delimiter: Some(layout.separator().to_string()),
            ..StoreFacts::default()
        })
    }

    fn claim(&mut self, owner: &str) -> Result<Claim, StoreError> {
        marker::claim(&self.settings.root, owner)
    }

    fn mark(&mut self, owner: &str, turn: u64) -> Result<(), StoreError> {
        make_dirs(&self.settings.root)?;
        marker::mark(&self.settings.root, owner, turn)
    }

    fn advance(&mut self, owner: &str, turn: u64) -> Result<(), StoreError> {
        marker::advance(&self.settings.root, owner, turn)
    }

    fn turn(&mut self) -> Result<Option<u64>, StoreError> {
        marker::turn(&self.settings.root).map(Some)
    }

    fn list(&mut self) -> Result<Vec<FolderInfo>, StoreError> {
        self.root("list")?;
        list::list(&self.settings, Tree::default()).map(|listing| listing.folders)
    }

    fn list_again(&mut self, noted: Option<&Noted>) -> Result<(Vec<FolderInfo>, Option<Noted>), StoreError> {
        self.root("list")?;
        let layout = self.settings.layout;
        let Listing { folders, tree, same, .. } = list::list(&self.settings, Tree::read(noted, layout))?;
        let now = (!same || noted.is_none()).then(|| tree.write(layout));
        Ok((folders, now.filter(|now| noted != Some(now))))
    }

    fn open(&mut self, wire: &[u8], access: Access, expect: Option<u64>) -> Result<Box<dyn Folder + '_>, StoreError> {
        if let Some(generation) = expect.filter(|generation| *generation != 0) {
            let cause = format!("generation {generation} was expected, but a Maildir has none");
            return Err(StoreError::new(Reach::Folder, Kind::Reset, "open", cause));
        }
        let root = &self.settings.root;
        let dir = folder_dir(root, wire, "open")?;
        let folder = MaildirFolder::open(root, dir, self.settings.info_separator, access)?;
        let name = name_of(self.settings.layout, wire).unwrap_or_else(|_| shown_name(wire));
        let bin = self.settings.bin.clone().map(|bin| (bin, name));
        Ok(Box::new(folder.with_bin(bin).with_seen(self.seen.clone())))
    }

    fn wire_for(&mut self, name: &FolderName) -> Result<Vec<u8>, StoreError> {
        self.wire(name, "name a folder")
    }

    fn create(&mut self, name: &FolderName) -> Result<FolderInfo, StoreError> {
        let wire = self.wire(name, "create")?;
        let dir = make_below(self.root("create")?, &wire)?;
        for sub in SUBS {
            make_dir(&dir.join(sub))?;
        }
        if self.settings.layout == Layout::MaildirPlusPlus && wire != layout::ROOT_WIRE {
            deliver::touch(&dir.join(SUBFOLDER))?;
        }
        sync(&dir)?;
        Ok(self.info(name, wire))
    }

    fn rename(&mut self, wire: &[u8], to: &FolderName) -> Result<FolderInfo, StoreError> {
        let new = self.wire(to, "rename")?;
        self.seen.clear();
        let root = self.root("rename")?;
        let from = folder_dir(root, wire, "rename")?;
        let refused = |cause: &str| Err(StoreError::new(Reach::Folder, Kind::Refused, "rename", cause));
        if from == *root || new == layout::ROOT_WIRE {
            return refused("INBOX is the root itself, which can't be renamed");
        }
        if !from.join("cur").is_dir() {
            return Err(disk(Reach::Folder, "rename", &from, io::Error::from(io::ErrorKind::NotFound)));
        }
        if from.is_symlink() {
            return refused("the folder is a link to a directory elsewhere: rename the link by hand");
        }
        let target = path_of(root, &new);
        if target.join("cur").exists() {
            return refused("there is a folder of that name");
        }
        move_folder(root, &from, &new)?;
        Ok(self.info(to, new))
    }

    fn delete(&mut self, wire: &[u8]) -> Result<(), StoreError> {
        self.seen.clear();
        let root = self.root("delete")?;
        remove::folder(root, &folder_dir(root, wire, "delete")?)
    }

    fn may_delete(&mut self, wire: &[u8]) -> Result<(), StoreError> {
        let root = self.root("delete")?;
        remove::removable(root, &folder_dir(root, wire, "delete")?).map(drop)
    }

    fn close(self: Box<Self>) {
        self.seen.clear();
    }
}

/// The directory that `wire` names; fails where it can't be one of ours.
fn folder_dir(root: &Path, wire: &[u8], action: &str) -> Result<PathBuf, StoreError> {
    match layout::is_wire(wire) {
        true => Ok(path_of(root, wire)),
        false => {
            let cause = format!("{:?} is no folder of this tree", String::from_utf8_lossy(wire));
            Err(StoreError::new(Reach::Folder, Kind::Missing, action, cause))
        }
    }
}

/// Moves a folder: the whole directory where nothing else is in it and nothing is in the way, else what makes it a
/// folder, `cur` last, so that the folders inside stay where they are and an interrupted move can be done again.
fn move_folder(root: &Path, from: &Path, new: &[u8]) -> Result<(), StoreError> {
    let target = path_of(root, new);
    let failed = |err: io::Error| disk(Reach::Folder, "rename", from, err);
    let parent = new.iter().rposition(|b| *b == b'/').map_or(&b""[..], |at| &new[..at]);
    if !target.starts_with(from) && !has_folders(from).map_err(failed)? {
        let parent = if parent.is_empty() { root.to_owned() } else { make_below(root, parent)? };
        match sys::rename_to_free(from, &target) {
            Ok(()) => {
                sync(&parent)?;
                sync_parent(from)?;
                return prune(root, from);
            }
            // In the way, or a file system that can't be asked not to replace: the slow way will do.
            Err(rustix::io::Errno::EXIST | rustix::io::Errno::INVAL | rustix::io::Errno::NOTEMPTY) => {}
            Err(err) => return Err(failed(err.into())),
        }
    }
    make_below(root, new)?;
    // Without a `cur` it was no folder, but mail may have been delivered there all the same.
    let news = target.join("new");
    if news.exists() && from.join("new").exists() && sys::list(&news).map_err(failed)?.next().is_some() {
        let cause = format!("{} holds files already", news.display());
        let refused = StoreError::new(Reach::Folder, Kind::Refused, "rename", cause);
        return Err(refused.with_hint("move them to where they belong, or away, then run again"));
    }
    for part in [keywords::FILE, "tmp", "new", "cur"] {
        let (source, goal) = (from.join(part), target.join(part));
        match sys::rename(&source, &goal) {
            Ok(()) => {}
            // An earlier try came as far as this.
            Err(err) if err.kind() == io::ErrorKind::NotFound && part != "cur" => {}
            // Nothing in there is a message yet.
            Err(err) if err.kind() == io::ErrorKind::DirectoryNotEmpty && part == "tmp" => {}
            Err(err) => return Err(failed(err)),
        }
    }
    sync(&target)?;
    sync(from)?;
    match sys::remove_dir(from) {
        // Folders inside, or files of other programs.
        Err(err) if err.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        Err(err) => Err(failed(err)),
        Ok(()) => {
            sync_parent(from)?;
            prune(root, from)
        }
    }
}

/// Removes the directories between the root and what was there, as far as nothing is left in them.
fn prune(root: &Path, from: &Path) -> Result<(), StoreError> {
    let above = from.ancestors().skip(1).take_while(|dir| *dir != root && dir.starts_with(root));
    for dir in above {
        match sys::remove_dir(dir) {
            Ok(()) => sync_parent(dir)?,
            // A link is somebody's own doing.
            Err(err) if matches!(err.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory) => break,
            Err(err) => return Err(disk(Reach::Folder, "remove", dir, err)),
        }
    }
    Ok(())
}

/// Whether a folder's directory holds others.
fn has_folders(dir: &Path) -> io::Result<bool> {
    for entry in sys::list(dir)? {
        let entry = entry?;
        if !SUBS.iter().any(|sub| entry.file_name() == *sub) && entry.path().is_dir() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes the directory that `wire` names, and those between the root and it.
fn make_below(root: &Path, wire: &[u8]) -> Result<PathBuf, StoreError> {
    let mut at = 0;
    loop {
        let end = wire[at..].iter().position(|b| *b == b'/').map_or(wire.len(), |slash| at + slash);
        let dir = path_of(root, &wire[..end]);
        if dir != root && !make_dir(&dir)? {
            must_be_told_apart(&dir)?;
        }
        if end == wire.len() {
            return Ok(dir);
        }
        at = end + 1;
    }
}

/// A file system that takes two names for one would make two folders one.
fn must_be_told_apart(dir: &Path) -> Result<(), StoreError> {
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else { return Ok(()) };
    let failed = |err| disk(Reach::Folder, "create", parent, err);
    for entry in sys::list(parent).map_err(failed)? {
        if entry.map_err(failed)?.file_name() == name {
            return Ok(());
        }
    }
    let cause = format!("{} is there under another spelling, and this file system takes both for one", dir.display());
    let told = StoreError::new(Reach::Folder, Kind::Refused, "create", cause);
    Err(told.with_hint("give the folder another name on this side with a rename rule"))
}

/// Makes a directory for the owner alone; `false` where it was there already.
fn make_dir(path: &Path) -> Result<bool, StoreError> {
    let failed = |err| disk(Reach::Folder, "create", path, err);
    match sys::make_dir(path) {
        Ok(()) => {
            sync_parent(path)?;
            Ok(true)
        }
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(false),
        Err(err) => Err(failed(err)),
    }
}

/// Makes the root and what leads to it.
fn make_dirs(root: &Path) -> Result<(), StoreError> {
    let lacking: Vec<&Path> = root.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.is_dir()).collect();
    for dir in lacking.into_iter().rev() {
        make_dir(dir).map_err(|error| {
            let error = error.reaching(Reach::Account);
            if dir.is_symlink() {
                error.with_hint("it is a link that leads nowhere: is something not mounted?")
            } else {
                error
            }
        })?;
    }
    Ok(())
}

/// Makes what was made, renamed or removed in a directory durable.
fn sync(dir: &Path) -> Result<(), StoreError> {
    sys::sync_dir(dir).map_err(|err| disk(Reach::Folder, "sync", dir, err))
}

fn sync_parent(path: &Path) -> Result<(), StoreError> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync(parent),
        _ => sync(Path::new(".")),
    }
}

#[cfg(test)]
mod tests;
