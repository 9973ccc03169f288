//! Gives folders their new names, in an order in which none is in another's way.

use super::account::Run;
use super::event::{Counts, Event};
use super::folders::{Entry, Status};
use super::pair::{Failure, Stores};
use crate::mail::{FolderId, FolderName, Side, Sides};
use crate::state::{Change, Pair};
use crate::store::{Access, FolderInfo, Kind, Reach, Store};
use std::collections::HashMap;

/// A folder that is to have another name.
struct Renaming {
    /// The entry's place in the plan.
    number: usize,
    id: FolderId,
    on: Side,
    from: Vec<u8>,
    old: FolderName,
    /// What it is called until all is done: it may have to step aside.
    now: FolderName,
    new: FolderName,
    /// The generation that its messages are known under.
    generation: Option<u64>,
    /// What the folder on the other side is called now.
    other: (Vec<u8>, FolderName),
}

impl Run<'_> {
    /// Renames what is to be renamed; the wire name of each entry's folder, or why it could not be had.
    pub fn retitle(
        &self,
        entries: &[(usize, &Entry)],
        pairs: &[Pair],
        lists: &Sides<Vec<FolderInfo>>,
        stores: &mut Stores,
    ) -> Result<HashMap<usize, Result<Vec<u8>, Failure>>, Failure> {
        let of = |(number, entry): &(usize, &Entry)| renaming(*number, entry, pairs, lists);
        let mut waiting: Vec<Renaming> = entries.iter().filter_map(of).collect();
        // What was renamed here is not committed before it is renamed there, and others may have its former name.
        waiting.sort_by_key(|one| one.on == Side::Local);
        let mut done = HashMap::new();
        while !waiting.is_empty() {
            let blocked = |one: &Renaming| waiting.iter().any(|other| other.on == one.on && other.now == one.new);
            let next = waiting.iter().position(|one| self.options.dry_run || !blocked(one));
            let result = match next {
                Some(at) => {
                    let one = waiting.remove(at);
                    (one.number, self.rename(&one, stores[one.on].as_mut()))
                }
                // They go round in a circle: one steps aside.
                None => match self.step_aside(&mut waiting[0], stores) {
                    Ok(()) => continue,
                    Err(failure) => (waiting.remove(0).number, Err(failure)),
                },
            };
            match result {
                (_, Err(failure)) if failure.error.reach > Reach::Folder => return Err(failure),
                (number, result) => drop(done.insert(number, result)),
            }
        }
        Ok(done)
    }

    fn rename(&self, one: &Renaming, store: &mut dyn Store) -> Result<Vec<u8>, Failure> {
        let (on, new) = (one.on, &one.new);
        let account = self.account.name.clone();
        let mut counts = Counts::default();
        counts.folders_renamed[on] = 1;
        if self.options.dry_run {
            self.add_counts(&counts);
            let what = format!("rename the {on} folder {} to {new}", one.old);
            self.tell(Event::WouldDo { account, folder: new.clone(), what });
            return Ok(one.from.clone());
        }
        let wire = self.rename_to(one, new, store)?;
        self.add_counts(&counts);
        self.tell(Event::FolderRenamed { account, from: one.old.clone(), to: new.clone(), on });
        Ok(wire)
    }

    fn rename_to(&self, one: &Renaming, to: &FolderName, store: &mut dyn Store) -> Result<Vec<u8>, Failure> {
        let on = one.on;
        let wire = store.wire_for(to).map_err(Failure::on(on))?;
        self.must_be_free(Some(one.id), on, &wire, to)?;
        let wire = match came_along(one, wire, store) {
            // Made again, which it is: that subscribes to its new name.
            Some(_) => store.create(to).map_err(Failure::on(on))?.wire,
            None => store.rename(&one.from, to).map_err(Failure::on(on))?.wire,
        };
        let rename = |side: Side, wire: &[u8], name: &FolderName| Change::Rename {
            folder: one.id,
            side,
            wire: wire.to_vec(),
            name: name.clone(),
        };
        self.state.apply(&[rename(on, &wire, to), rename(on.other(), &one.other.0, &one.other.1)])?;
        Ok(wire)
    }

    fn step_aside(&self, one: &mut Renaming, stores: &mut Stores) -> Result<(), Failure> {
        let (last, above) = one.now.parts().split_last().map_or(("", &[][..]), |(last, above)| (last.as_str(), above));
        let aside = above.iter().cloned().chain([format!("{last}~{}", one.id.0)]);
        let aside = FolderName::new(aside).expect("no part of it is empty, or has NUL in it");
        one.from = self.rename_to(one, &aside, stores[one.on].as_mut())?;
        one.now = aside;
        Ok(())
    }
}

fn renaming(number: usize, entry: &Entry, pairs: &[Pair], lists: &Sides<Vec<FolderInfo>>) -> Option<Renaming> {
    let Status::Rename { on, from, old } = &entry.status else { return None };
    let pair = pairs.iter().find(|pair| Some(pair.id) == entry.known)?;
    let other = &lists[on.other()][entry.at[on.other()]?];
    Some(Renaming {
        number,
        id: pair.id,
        on: *on,
        from: from.clone(),
        old: old.clone(),
        now: old.clone(),
        new: entry.names[*on].clone()?,
        generation: pair.cursors[*on].as_ref().map(|cursor| cursor.generation),
        other: (other.wire.clone(), other.name.clone()),
    })
}

/// The folder's wire name where it has its new name already: many servers rename what is in a folder with it.
fn came_along(one: &Renaming, wire: Vec<u8>, store: &mut dyn Store) -> Option<Vec<u8>> {
    one.old.parent()?;
    // What else may hinder it hinders the rename too, which then says why.
    let left = matches!(store.open(&one.from, Access::Read, None), Err(error) if error.kind == Kind::Missing);
    let arrived = left && store.open(&wire, Access::Read, Some(one.generation?)).is_ok();
    arrived.then_some(wire)
}
