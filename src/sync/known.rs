//! What the state knows, as a store asks for it.

use super::pair::state_error;
use crate::mail::{Flags, FolderId, Key, Side};
use crate::state::{State, Sums};
use crate::store::{Known, StoreError, Tally};
use std::collections::HashMap;

/// What one side was known to have, read from the state as it is asked for. Messages that wait to be copied are known:
/// the cursor has gone on without them.
pub struct KnownIn<'a> {
    pub state: &'a State,
    pub folder: FolderId,
    pub side: Side,
}

impl KnownIn<'_> {
    fn waiting(&self) -> Result<Vec<(Key, Flags)>, StoreError> {
        self.state.waiting_keys(self.folder, self.side).map_err(state_error)
    }
}

impl Known for KnownIn<'_> {
    fn get(&self, key: &Key) -> Result<Option<Flags>, StoreError> {
        let rows = self.state.pairs_of(self.folder, self.side, key).map_err(state_error)?;
        match rows.into_iter().next() {
            Some(row) => Ok(Some(row.flags[self.side].clone())),
            None => self.state.waiting_flags(self.folder, self.side, key).map_err(state_error),
        }
    }

    fn get_all(&self, keys: &[Key]) -> Result<Vec<Option<Flags>>, StoreError> {
        let mut known = self.state.flags_of(self.folder, self.side, keys).map_err(state_error)?;
        if known.contains(&None) {
            let waiting: HashMap<Key, Flags> = self.waiting()?.into_iter().collect();
            for (known, key) in known.iter_mut().zip(keys).filter(|(known, _)| known.is_none()) {
                *known = waiting.get(key).cloned();
            }
        }
        Ok(known)
    }

    fn count(&self) -> Result<u64, StoreError> {
        Ok(self.state.count_keys(self.folder, self.side).map_err(state_error)? + self.waiting()?.len() as u64)
    }

    fn after(&self, after: Option<&Key>, count: usize) -> Result<Vec<(Key, Flags)>, StoreError> {
        let mut keys = self.state.keys_after(self.folder, self.side, after, count).map_err(state_error)?;
        let mut waiting = self.waiting()?;
        // What comes behind the page belongs to a later one: between the two there may be more.
        let last = keys.last().map(|(key, _)| key.clone());
        waiting.retain(|(key, _)| after.is_none_or(|after| key > after) && last.as_ref().is_none_or(|last| key < last));
        if !waiting.is_empty() {
            keys.append(&mut waiting);
            keys.sort_by(|a, b| a.0.cmp(&b.0));
        }
        Ok(keys)
    }

    fn tally(&self) -> Result<Option<Box<dyn Tally + '_>>, StoreError> {
        let mut sums = self.state.sums(self.folder, self.side).map_err(state_error)?;
        for (key, flags) in self.waiting()? {
            if let Some(name) = key.name() {
                sums.add(name, &flags);
            }
        }
        Ok(Some(Box::new(sums)))
    }
}

impl Tally for Sums {
    fn part(&self, name: &[u8]) -> usize {
        Sums::part(self, name)
    }

    fn take(&mut self, name: &[u8], flags: &Flags) {
        self.subtract(name, flags);
    }

    fn add(&mut self, name: &[u8], flags: &Flags) {
        Sums::add(self, name, flags);
    }

    fn remaining(&self) -> Vec<bool> {
        Sums::remaining(self)
    }
}
