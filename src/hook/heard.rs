//! What was heard of an account's sync: as much as hooks are told, and never more than fits.

use crate::mail::{FolderName, Role, Side, Sides};
use crate::sync::event::{Counts, Deed, Event, Place, Problem, Touch};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// So many files are named; of more it is only said that there are more.
pub const MAX_FILES: usize = 10_000;
/// So many problems are told.
const MAX_PROBLEMS: usize = 1_000;

/// What was heard of one sync.
#[derive(Debug, Default)]
pub struct Heard {
    pub counts: Counts,
    /// By the remote name.
    pub folders: BTreeMap<FolderName, FolderHeard>,
    /// Folders that were made, renamed or deleted.
    pub trees: Vec<Tree>,
    pub files: Vec<File>,
    /// Whether the files are not all.
    pub truncated: bool,
    /// Unread messages that came to the local side, into folders where they are news.
    pub new: usize,
    pub problems: Vec<Undone>,
}

/// What was heard of one folder.
#[derive(Debug)]
pub struct FolderHeard {
    pub place: Arc<Place>,
    pub new: usize,
    pub counts: Counts,
}

/// A folder that was made, renamed or deleted.
#[derive(Debug)]
pub struct Tree {
    pub what: &'static str,
    pub on: Side,
    pub folder: FolderName,
    pub from: Option<FolderName>,
}

/// A file that is there, has another name, or is gone.
#[derive(Debug)]
pub struct File {
    pub what: &'static str,
    pub path: PathBuf,
    pub from: Option<PathBuf>,
    pub place: Arc<Place>,
    /// Whether it is one of the new messages.
    pub new: bool,
}

/// Something that was left undone.
#[derive(Debug)]
pub enum Undone {
    Failed(Problem),
    Held { folder: Option<FolderName>, text: String, hint: Option<String> },
    Waiting(usize),
}

/// Which account an event is about, where hooks are told of such.
pub fn account(event: &Event) -> Option<&str> {
    match event {
        Event::AccountStarted { account }
        | Event::Messages { account, .. }
        | Event::FolderCreated { account, .. }
        | Event::FolderRenamed { account, .. }
        | Event::FolderDeleted { account, .. }
        | Event::Held { account, .. }
        | Event::Problem { account, .. }
        | Event::Waiting { account, .. }
        | Event::AccountDone { account, .. } => Some(account),
        _ => None,
    }
}

impl Heard {
    /// Whether anything was changed on either side.
    pub fn changed(&self) -> bool {
        !self.counts.is_empty() || !self.folders.is_empty() || !self.trees.is_empty()
    }

    pub fn hear(&mut self, event: &Event) {
        match event {
            Event::Messages { folder, on, deed, messages, .. } => self.messages(folder, *on, *deed, messages),
            Event::FolderCreated { folder, on, .. } => self.tree("created", *on, folder, None),
            Event::FolderRenamed { from, to, on, .. } => self.tree("renamed", *on, to, Some(from)),
            Event::FolderDeleted { folder, on, .. } => self.tree("deleted", *on, folder, None),
            Event::Problem { problem, .. } => self.undone(Undone::Failed(problem.clone())),
            Event::Held { folder, held, .. } => {
                let (folder, text) = (folder.clone(), held.to_string());
                self.undone(Undone::Held { folder, text, hint: held.hint.clone() });
            }
            Event::Waiting { count, .. } => self.undone(Undone::Waiting(*count)),
            Event::AccountDone { counts, .. } => self.counts = *counts,
            _ => {}
        }
    }

    fn undone(&mut self, undone: Undone) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(undone);
        }
    }

    fn tree(&mut self, what: &'static str, on: Side, folder: &FolderName, from: Option<&FolderName>) {
        // With a directory all the files in it go, and none of them is named.
        self.truncated |= on == Side::Local && what != "created";
        self.trees.push(Tree { what, on, folder: folder.clone(), from: from.cloned() });
    }

    fn messages(&mut self, place: &Arc<Place>, on: Side, deed: Deed, messages: &[Touch]) {
        let new = match (on, deed) {
            (Side::Local, Deed::Copied) if is_news(place.role) => messages.iter().filter(|m| m.unread).count(),
            _ => 0,
        };
        self.new += new;
        let of = self.folders.entry(place.names.remote.clone());
        let of = of.or_insert_with(|| FolderHeard { place: place.clone(), new: 0, counts: Counts::default() });
        of.new += new;
        if let Some(count) = counted(&mut of.counts, deed) {
            count[on] += messages.len();
        }
        if on == Side::Local {
            let place = of.place.clone();
            messages.iter().for_each(|touch| self.file(&place, deed, touch));
        }
    }

    fn file(&mut self, place: &Arc<Place>, deed: Deed, touch: &Touch) {
        let (what, path, from) = match (deed, &touch.file, &touch.was) {
            (Deed::Left, ..) | (_, None, None) => return,
            (_, now, was) if now == was => return,
            (Deed::Deleted, Some(file), _) | (_, None, Some(file)) => ("removed", file, None),
            (_, Some(file), None) => ("added", file, None),
            (_, Some(file), Some(was)) => ("renamed", file, Some(was.clone())),
        };
        if self.files.len() == MAX_FILES {
            self.truncated = true;
            return;
        }
        let new = deed == Deed::Copied && touch.unread && is_news(place.role);
        self.files.push(File { what, path: path.clone(), from, place: place.clone(), new });
    }
}

fn counted(counts: &mut Counts, deed: Deed) -> Option<&mut Sides<usize>> {
    match deed {
        Deed::Copied => Some(&mut counts.copied),
        Deed::Arrived => Some(&mut counts.moved),
        // Counted where it arrived.
        Deed::Left => None,
        Deed::Flagged => Some(&mut counts.flagged),
        Deed::Deleted => Some(&mut counts.deleted),
    }
}

/// Whether what is unread in such a folder is news to anybody, and not in another folder as well.
fn is_news(role: Option<Role>) -> bool {
    use Role::*;
    !matches!(role, Some(Trash | Junk | Sent | Drafts | Outbox | All | Flagged | Important))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(role: Option<Role>) -> Arc<Place> {
        let name = FolderName::parse("INBOX").expect("a name");
        let wires = Sides::new(b"INBOX".to_vec(), b"INBOX".to_vec());
        Arc::new(Place { names: Sides::new(name.clone(), name), wires, role })
    }

    fn copied(role: Option<Role>, on: Side, messages: Vec<Touch>) -> Event {
        Event::Messages { account: "a".into(), folder: place(role), on, deed: Deed::Copied, messages }
    }

    fn unread(file: &str) -> Touch {
        Touch { file: Some(file.into()), was: None, unread: true }
    }

    #[test]
    fn unread_mail_is_new_unless_its_folder_says_otherwise_or_it_went_to_the_server() {
        for (role, on, new) in [
            (None, Side::Local, 1),
            (Some(Role::Inbox), Side::Local, 1),
            (Some(Role::Junk), Side::Local, 0),
            (Some(Role::All), Side::Local, 0),
            (Some(Role::Inbox), Side::Remote, 0),
        ] {
            let mut heard = Heard::default();
            heard.hear(&copied(role, on, vec![unread("/m/new/1"), Touch { unread: false, ..unread("/m/cur/2") }]));
            assert_eq!(heard.new, new, "{role:?} {on}");
            assert!(heard.changed());
        }
    }

    #[test]
    fn a_million_new_messages_are_counted_and_not_all_kept() {
        let mut heard = Heard::default();
        for batch in 0..10_000 {
            let files = (0..100).map(|at| unread(&format!("/m/new/{batch}.{at}"))).collect();
            heard.hear(&copied(None, Side::Local, files));
        }
        assert_eq!((heard.new, heard.files.len(), heard.truncated), (1_000_000, MAX_FILES, true));
    }

    #[test]
    fn what_happened_to_a_file_is_told_by_where_it_was_and_is() {
        let mut heard = Heard::default();
        let told = |deed, file: Option<&str>, was: Option<&str>| Event::Messages {
            account: "a".into(),
            folder: place(None),
            on: Side::Local,
            deed,
            messages: vec![Touch { file: file.map(Into::into), was: was.map(Into::into), unread: false }],
        };
        heard.hear(&told(Deed::Flagged, Some("/m/cur/1:2,S"), Some("/m/new/1")));
        heard.hear(&told(Deed::Flagged, Some("/m/cur/2:2,S"), Some("/m/cur/2:2,S")));
        heard.hear(&told(Deed::Left, None, None));
        heard.hear(&told(Deed::Arrived, Some("/n/cur/3"), Some("/m/cur/3")));
        heard.hear(&told(Deed::Arrived, None, Some("/m/cur/4")));
        heard.hear(&told(Deed::Deleted, Some("/m/cur/5"), None));
        let told: Vec<String> =
            heard.files.iter().map(|file| format!("{} {}", file.what, file.path.display())).collect();
        assert_eq!(told, ["renamed /m/cur/1:2,S", "renamed /n/cur/3", "removed /m/cur/4", "removed /m/cur/5"]);
        assert_eq!(heard.files[0].from.as_deref(), Some("/m/new/1".as_ref()));
    }
}
