//! What one part of a run saw of a folder, for the next part that opens it: where files are, and what they hold. A file that
//! has another name since is looked for again, and one that has changed is read again, as within one part.

use super::scan::Index;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So many messages are kept in all: of a folder with more new ones than that, looking is the smaller part.
const MOST: usize = 4_000;

/// What was read longer ago is read anew.
const FRESH: Duration = Duration::from_secs(60);

/// The folders of one tree.
#[derive(Debug, Default)]
pub(super) struct Seen {
    folders: Mutex<HashMap<PathBuf, Index>>,
}

impl Seen {
    fn folders(&self) -> MutexGuard<'_, HashMap<PathBuf, Index>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was seen of the folder in `dir` a moment ago.
    pub(super) fn take(&self, dir: &Path) -> Option<Index> {
        self.folders().remove(dir).filter(is_fresh)
    }

    /// Keeps what was seen, if there is room for it.
    pub(super) fn put(&self, dir: &Path, index: Index) {
        if index.entries.is_empty() || !is_fresh(&index) {
            return;
        }
        let mut folders = self.folders();
        folders.retain(|_, index| is_fresh(index));
        let there: usize = folders.values().map(|index| index.entries.len()).sum();
        if there + index.entries.len() <= MOST {
            folders.insert(dir.to_owned(), index.handed_on());
        }
    }

    /// Nothing of it is worth anything from now on: a run ends or begins, folders get other names.
    pub(super) fn clear(&self) {
        *self.folders() = HashMap::new();
    }
}

fn is_fresh(index: &Index) -> bool {
    index.age().is_some_and(|age| age < FRESH)
}
