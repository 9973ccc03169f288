//! What changed in a folder, and the proof that something vanished from it.

use super::keywords::Keywords;
use super::scan::{Index, Now, Stamps};
use crate::mail::{Appeared, Changes, Cursor, Key};
use crate::store::{Known, StoreError};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// How often a folder is read again while others keep changing it.
const ROUNDS: usize = 8;
const PAUSE: Duration = Duration::from_millis(40);

/// Compares a folder with what is known of it. The index is `None` where the cursor proves that nothing changed.
///
/// A message has vanished only when a second reading lacks it too, during which the directories kept their stamps;
/// if they never stand still, the answer is not complete and nothing vanished.
pub(super) fn look(
    dir: &Path,
    keywords: &Keywords,
    since: Option<&Cursor>,
    known: &dyn Known,
) -> Result<(Changes, Option<Index>), StoreError> {
    let cursor = Stamps::take(dir)?.cursor(&Now::on(dir));
    if since.is_some_and(|since| since.proves_unchanged(&cursor)) {
        return Ok((Changes::none(cursor), None));
    }
    let all = known.all()?;
    let mut changes = Changes::none(cursor);
    let mut index = Index::scan(dir)?;
    let mut missing: Vec<&Key> = all.iter().map(|(key, _)| key).filter(|key| !holds(&mut index, key)).collect();
    if !missing.is_empty() {
        let mut settled = false;
        for round in 0..ROUNDS {
            if round > 0 {
                std::thread::sleep(PAUSE);
            }
            let now = Now::on(dir);
            let before = Stamps::take(dir)?;
            changes.cursor = before.cursor(&now);
            index = Index::scan(dir)?;
            missing.retain(|key| !holds(&mut index, key));
            settled = before.settled(&now) && Stamps::take(dir)? == before;
            if settled || missing.is_empty() {
                break;
            }
        }
        if !settled && !missing.is_empty() {
            changes.complete = false;
            changes.cursor.conclusive = false;
            changes.notes.push("the folder kept changing while it was read; what is missing waits".to_owned());
            missing.clear();
        }
    }
    changes.vanished = missing.into_iter().cloned().collect();
    changes.count = Some(index.entries.values().filter(|entry| entry.plain).count() as u64);
    // After the last reading: a message that was found the second time is there under its old key.
    for (key, _) in &all {
        holds(&mut index, key);
    }
    let mut rest: Vec<(&Key, &super::scan::Entry)> = index.entries.iter().filter(|(_, entry)| entry.plain).collect();
    rest.sort_by(|a, b| a.0.cmp(b.0));
    for (key, entry) in rest {
        let flags = entry.flags(keywords);
        match all.binary_search_by(|(known, _)| known.cmp(key)) {
            Ok(at) if all[at].1 == flags => {}
            Ok(_) => changes.reflagged.push((key.clone(), flags)),
            Err(_) => {
                let size = fs::symlink_metadata(entry.path(dir)).ok().map(|meta| meta.len());
                changes.appeared.push(Appeared { key: key.clone(), flags, size });
            }
        }
    }
    changes.notes.append(&mut index.notes);
    Ok((changes, Some(index)))
}

fn holds(index: &mut Index, key: &Key) -> bool {
    index.entries.contains_key(key) || index.rekey(key)
}
