//! Looks for folders that have another name than before; `renames` decides.

use super::account::Run;
use super::folders::Paired;
use super::pair::{Failure, Stores};
use super::renames::{Former, Renamed, Suspect, by_object, by_wire, is_same, one_to_one, suspects};
use crate::mail::{Identity, Key, Side, Sides};
use crate::state::{Change, Pair};
use crate::store::{Access, Depth, FolderInfo, NothingKnown, Reach, Store};
use std::collections::{HashMap, HashSet};

impl Run<'_> {
    /// The known pairs under the names that their folders have now. Costs something only where a folder is gone and
    /// another is new.
    pub fn refind(
        &self,
        pairs: &[Pair],
        lists: &Sides<Vec<FolderInfo>>,
        stores: &mut Stores,
    ) -> Result<Vec<Paired>, Failure> {
        let mut known: Vec<Paired> = pairs.iter().map(Paired::from).collect();
        for side in Side::BOTH {
            let list = &lists[side];
            let former: Vec<Former<'_>> = pairs.iter().map(|pair| former(pair, side)).collect();
            let by_wire = by_wire(list);
            let mut found = by_object(&former, list, &by_wire);
            for suspect in suspects(&former, list, &by_wire, &found) {
                let info = &list[suspect.at];
                match self.compare(&suspect, info, side, &former, stores[side].as_mut()) {
                    Ok(same) => found.extend(same),
                    // It will be told when the folder is synced.
                    Err(failure) if failure.error.reach <= Reach::Folder => {}
                    Err(failure) => return Err(failure),
                }
            }
            let found = one_to_one(found);
            let mut settled = Vec::new();
            let of_others = found.iter().any(|one| former.iter().any(|former| former.wire == list[one.at].wire));
            for one in &found {
                let info = &list[one.at];
                for (pair, stored) in known.iter_mut().zip(pairs).filter(|(pair, _)| pair.id == one.id) {
                    (pair.wires[side], pair.names[side]) = (info.wire.clone(), info.name.clone());
                    pair.moved[side] = side == Side::Remote || self.is_settled(stored);
                    // What the user renamed here is committed together with the rename there: until then the former
                    // name says which side is to follow. Names that change hands leave no such choice.
                    if side == Side::Remote || of_others || !pair.moved[side] {
                        let (wire, name) = (info.wire.clone(), info.name.clone());
                        settled.push(Change::Rename { folder: one.id, side, wire, name });
                    }
                }
            }
            if !self.options.dry_run {
                self.state.apply(&settled)?;
            }
        }
        Ok(known)
    }

    /// Whether the local folder had the name that the rules give; if not, it was this program that was renaming it.
    fn is_settled(&self, pair: &Pair) -> bool {
        self.account.rules.local_name(&pair.names.remote, pair.role).as_ref() == Some(&pair.names.local)
    }

    /// Which of the folders that are gone this one is.
    fn compare(
        &self,
        suspect: &Suspect,
        info: &FolderInfo,
        side: Side,
        former: &[Former<'_>],
        store: &mut dyn Store,
    ) -> Result<Vec<Renamed>, Failure> {
        let mut folder = store.open(&info.wire, Access::Read, None).map_err(Failure::on(side))?;
        let changes = folder.changes(None, &NothingKnown).map_err(Failure::on(side))?;
        let listed: HashSet<&Key> = changes.appeared.iter().map(|appeared| &appeared.key).collect();
        let mut found = Vec::new();
        for id in &suspect.former {
            let generation = former.iter().find(|former| former.id == *id).and_then(|former| former.generation);
            if generation != Some(changes.cursor.generation) {
                continue;
            }
            let rows = self.state.rows(*id)?;
            let known: Vec<(Key, Identity)> =
                rows.into_iter().map(|row| (row.keys[side].clone(), row.identity)).collect();
            let there: Vec<Key> =
                known.iter().map(|(key, _)| key).filter(|key| listed.contains(key)).cloned().collect();
            if there.is_empty() || there.len() * 2 < known.len() {
                continue;
            }
            let there: HashMap<Key, Identity> = match there.iter().all(|key| matches!(key, Key::Name(_))) {
                // Nothing but the name is asked of a file.
                true => there.into_iter().map(|key| (key, Identity::default())).collect(),
                false => folder.identify(&there, Depth::Header).map_err(Failure::on(side))?.known.into_iter().collect(),
            };
            if is_same(&known, &there) {
                found.push(Renamed { id: *id, at: suspect.at });
            }
        }
        Ok(found)
    }
}

fn former(pair: &Pair, side: Side) -> Former<'_> {
    Former {
        id: pair.id,
        wire: &pair.wires[side],
        inbox: pair.names.local.is_inbox() || pair.names.remote.is_inbox(),
        object: pair.objects[side].as_deref(),
        generation: pair.cursors[side].as_ref().map(|cursor| cursor.generation),
    }
}

impl From<&Pair> for Paired {
    fn from(pair: &Pair) -> Paired {
        let (id, wires, names) = (pair.id, pair.wires.clone(), pair.names.clone());
        Paired { id, wires, names, role: pair.role, moved: Sides::default() }
    }
}
