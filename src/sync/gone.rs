//! What becomes of a folder whose counterpart is gone: it stays and that is told, it is brought back, or it goes too.

use super::account::Run;
use super::event::{Counts, Event};
use super::folders::{Entry, Status};
use super::guard::{Departed, refuse_departed};
use super::known::KnownIn;
use super::pair::{Failure, Stores};
use super::plan::{Held, Reason, What};
use crate::mail::{Cursor, Key, Side, Sides};
use crate::state::{Change, Pair};
use crate::store::{Access, FolderInfo, Kind, Reach, StoreError};
use std::collections::HashSet;

/// What is known of the account's folders as a whole.
pub(super) struct Folders<'a> {
    pub lists: &'a Sides<Vec<FolderInfo>>,
    /// Where they stand: taken out of the lists by whoever asks.
    pub cursors: Sides<Vec<Option<Cursor>>>,
    /// Whether INBOX is listed.
    inbox: Sides<bool>,
    /// Known folders that take part: those that are gone, and all.
    gone: Sides<usize>,
    of: usize,
}

impl<'a> Folders<'a> {
    pub fn count(entries: &[Entry], lists: &'a mut Sides<Vec<FolderInfo>>) -> Folders<'a> {
        let cursors = Sides::from_fn(|side| lists[side].iter_mut().map(|info| info.cursor.take()).collect());
        let mut gone = Sides::default();
        let mut of = 0;
        // Nothing is done to those that the rules leave out: they neither hold the others nor hide how many went.
        for entry in entries.iter().filter(|entry| entry.known.is_some() && entry.verdict.selected) {
            of += 1;
            match entry.status {
                Status::Gone(side) => gone[side] += 1,
                Status::Forget => gone = Sides::new(gone.local + 1, gone.remote + 1),
                _ => {}
            }
        }
        let inbox = lists.as_ref().map(|list| list.iter().any(|info| info.name.is_inbox() && info.selectable));
        Folders { lists, cursors, inbox, gone, of }
    }
}

impl Run<'_> {
    /// Whether a folder that is gone on `side` is to be made again. Else the other one is held and reported, or, where
    /// the user's policy is that, deleted.
    pub fn recreate(
        &self,
        entry: &Entry,
        side: Side,
        known: Option<&Pair>,
        folders: &Folders<'_>,
        stores: &mut Stores,
    ) -> Result<bool, Failure> {
        if self.options.restore {
            if let (Some(pair), false) = (known, self.options.dry_run) {
                self.state.apply(&[Change::ForgetFolder { folder: pair.id }])?;
            }
            return Ok(true);
        }
        if self.options.allow_delete && side == Side::Local {
            return Ok(true);
        }
        // A mode that deletes nothing on that side means to keep what is gone here.
        let kept = side == Side::Remote && !self.may_delete(entry, side.other());
        let mut why = format!("the folder is gone on the {side} side; nothing is deleted on the other");
        if let (Some(pair), Side::Remote, true) = (known, side, self.account.delete_folders && !kept) {
            match self.follow(entry, pair, side, folders, stores)? {
                None => return Ok(false),
                Some(refused) => why = format!("the folder is gone on the {side} side, and stays here: {refused}"),
            }
        }
        let hint = match (side, self.account.delete_folders) {
            (Side::Local, _) => {
                "to have it back, run once with --restore; to delete its messages on the server too, once with --allow-delete"
            }
            (Side::Remote, false) => {
                "to put it back on the server, run once with --restore; if it is not wanted any more, remove the local \
                 folder, or write delete = \"propagate\" in [account.NAME.folders]"
            }
            (Side::Remote, true) => {
                "to put it back on the server, run once with --restore; if nothing of it is wanted any more, remove the \
                 local folder; if many folders were deleted on purpose, run once with --allow-delete"
            }
        };
        let reason = if kept { Reason::OneWay } else { Reason::Unavailable(why) };
        let held = Held { what: What::Folder, on: side.other(), count: 0, reason, hint: Some(hint.to_owned()) };
        self.hold(entry.names.remote.as_ref(), held);
        Ok(false)
    }

    fn may_delete(&self, entry: &Entry, on: Side) -> bool {
        let policy = |name| self.account.rules.policy(name, entry.role, &self.account.policy);
        entry.names.remote.as_ref().is_none_or(|name| policy(name).delete[on])
    }

    /// Deletes the folder whose counterpart on `side` is gone, if nothing is lost by it; else says why it stays.
    fn follow(
        &self,
        entry: &Entry,
        pair: &Pair,
        side: Side,
        folders: &Folders<'_>,
        stores: &mut Stores,
    ) -> Result<Option<String>, Failure> {
        let on = side.other();
        let opens = match stores[side].open(&pair.wires[side], Access::Read, None) {
            Ok(_) => true,
            Err(error) if error.kind == Kind::Missing => false,
            // What is left of it holds other folders and no messages.
            Err(error) if error.kind == Kind::Refused && entry.at[side].is_some() => false,
            Err(error) => return Err(Failure { side: Some(side), error }),
        };
        // The user may have given it another name since.
        let wire = entry.at[on].map_or(&pair.wires[on], |at| &folders.lists[on][at].wire);
        let expect = pair.cursors[on].as_ref().map(|cursor| cursor.generation);
        let access = if self.options.dry_run { Access::Read } else { Access::Write };
        let mut folder = stores[on].open(wire, access, expect).map_err(Failure::on(on))?;
        let known = KnownIn { state: self.state, folder: pair.id, side: on };
        // All of it is listed: what was passed over before, whatever the reason, is as unknown as what is new.
        let changes = folder.changes(None, &known).map_err(Failure::on(on))?;
        let vanished: HashSet<&Key> = changes.vanished.iter().collect();
        // The other side never had what waits to be copied.
        let waiting = self.state.waiting_keys(pair.id, on)?;
        let waiting = waiting.iter().filter(|(key, _)| !vanished.contains(key)).count();
        let facts = Departed {
            opens,
            inbox: folders.inbox[side],
            gone: folders.gone[side],
            of: folders.of,
            unknown: changes.appeared.len() + waiting,
            reflagged: changes.reflagged.len(),
            complete: changes.complete,
            unfinished: !self.state.intents(pair.id)?.is_empty(),
            allow_delete: self.options.allow_delete,
        };
        if let Some(why) = refuse_departed(&facts) {
            return Ok(Some(why));
        }
        drop(folder);
        // Not emptied first, and then found to be one that stays.
        stores[on].may_delete(wire).map_err(Failure::on(on))?;
        let keys: Vec<Key> =
            self.state.keys_after(pair.id, on, None, usize::MAX)?.into_iter().map(|(key, _)| key).collect();
        let keys: Vec<Key> = keys.into_iter().filter(|key| !vanished.contains(key)).collect();
        let mut counts = Counts::default();
        (counts.deleted[on], counts.folders_deleted[on]) = (keys.len(), 1);
        let name = entry.names[on].clone().unwrap_or_else(|| pair.names[on].clone());
        let account = self.account.name.clone();
        if self.options.dry_run {
            let what = format!("delete the {on} folder with {} messages: deleted on {side}", keys.len());
            self.tell(Event::WouldDo { account, folder: name, what });
            self.add_counts(&counts);
            return Ok(None);
        }
        let mut folder = stores[on].open(wire, access, expect).map_err(Failure::on(on))?;
        let failed = folder.remove(&keys).map_err(Failure::on(on))?;
        drop(folder);
        if let Some((key, error)) = failed.into_iter().next() {
            let cause = format!("{key} could not be removed: {}", error.cause);
            let error = StoreError { cause, reach: Reach::Folder, ..error };
            return Err(Failure { side: Some(on), error });
        }
        stores[on].delete(wire).map_err(Failure::on(on))?;
        self.state.apply(&[Change::ForgetFolder { folder: pair.id }])?;
        self.add_counts(&counts);
        self.tell(Event::FolderDeleted { account, folder: name, on });
        Ok(None)
    }
}
