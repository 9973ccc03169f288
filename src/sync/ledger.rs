//! Messages that failed by themselves: each waits in the ledger, is tried again ever more seldom, and holds nothing
//! else up. None of them is ever taken for deleted.

use super::pair::Look;
use crate::mail::{Appeared, Changes, Flags, FolderId, Key, Side, Sides};
use crate::state::{Change, State, StateError, Waiting};
use crate::store::{Kind, StoreError};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, SystemTime};

/// How long a message rests after its first failure; after each further one `FACTOR` times as long, up to `LONGEST`.
const SHORTEST: Duration = Duration::from_secs(15 * 60);
const FACTOR: u32 = 4;
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a message rests that failed so often.
pub fn rest(tries: u32) -> Duration {
    let times = FACTOR.checked_pow(tries.saturating_sub(1));
    times.and_then(|times| SHORTEST.checked_mul(times)).map_or(LONGEST, |rest| rest.min(LONGEST))
}

/// What the ledger has of one folder pair, by the key on the side that has the message.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Messages that could not be copied.
    pub copies: Sides<BTreeMap<Key, Waiting>>,
    /// Messages of known pairs that could not be changed or removed.
    pub edits: Sides<BTreeMap<Key, Waiting>>,
}

impl Ledger {
    pub fn load(state: &State, folder: FolderId) -> Result<Ledger, StateError> {
        let mut ledger = Ledger::default();
        for (waiting, paired) in state.problems(folder)? {
            let entries = if paired { &mut ledger.edits } else { &mut ledger.copies };
            entries[waiting.side].insert(waiting.key.clone(), waiting);
        }
        Ok(ledger)
    }

    /// The same without the pairs: for work that leaves these alone.
    pub fn of_copies(self) -> Ledger {
        Ledger { edits: Sides::default(), ..self }
    }

    /// The entry of a message on `side` that could not be copied at `now`. A disk that fails is no fault of the
    /// message's: when it is mended, the next run goes on.
    pub fn failed_copy(&self, side: Side, key: &Key, flags: &Flags, error: &StoreError, now: SystemTime) -> Waiting {
        let mut waiting = failed(self.copies[side].get(key), side, key, error, now);
        waiting.flags = flags.clone();
        if error.kind != Kind::Disk {
            waiting.next = now + rest(waiting.tries);
        }
        waiting
    }

    /// The entry of a message on `side` that could not be changed or removed at `now`: every run tries it again.
    pub fn failed_edit(&self, side: Side, key: &Key, error: &StoreError, now: SystemTime) -> Waiting {
        failed(self.edits[side].get(key), side, key, error, now)
    }
}

fn failed(before: Option<&Waiting>, side: Side, key: &Key, error: &StoreError, now: SystemTime) -> Waiting {
    Waiting {
        side,
        key: key.clone(),
        flags: Flags::new(),
        action: error.action.clone(),
        cause: error.cause.clone(),
        hint: error.hint.clone(),
        tries: before.map_or(0, |before| before.tries).saturating_add(1),
        first: before.map_or(now, |before| before.first),
        last: now,
        next: now,
    }
}

/// Brings what was seen and the ledger together: messages that are gone leave it, those that are due count as new, and
/// the others too where they may be what a copy without an owner is. These are the answer: they rest again, unless
/// they are found on the other side.
pub fn attend(look: &mut Look, changes: &mut Sides<Changes>) -> Sides<HashSet<Key>> {
    let folder = look.job.id;
    let mut resting = Sides::<HashSet<Key>>::default();
    for side in Side::BOTH {
        if look.ledger.copies[side].is_empty() {
            continue;
        }
        let wanted = look.job.intents || !changes[side.other()].appeared.is_empty();
        let seen = &mut changes[side];
        let vanished: HashSet<Key> = seen.vanished.iter().cloned().collect();
        let reflagged: HashMap<Key, Flags> = seen.reflagged.iter().cloned().collect();
        let mut entries = std::mem::take(&mut look.ledger.copies[side]);
        entries.retain(|key, _| {
            // Under a new UIDVALIDITY the message has another number, and is found anew.
            let stays = !seen.reset && !vanished.contains(key);
            if !stays {
                look.prelude.push(Change::Solved { folder, side, key: key.clone() });
            }
            stays
        });
        for (key, waiting) in &mut entries {
            if let Some(flags) = reflagged.get(key) {
                waiting.flags = flags.clone();
                look.prelude.push(Change::Problem { folder, waiting: waiting.clone() });
            }
            let due = waiting.next <= look.job.due_by;
            if due || wanted {
                look.new[side].push(Appeared { key: key.clone(), flags: waiting.flags.clone(), size: None });
            }
            if !due {
                resting[side].insert(key.clone());
            }
        }
        seen.reflagged.retain(|(key, _)| !entries.contains_key(key));
        look.ledger.copies[side] = entries;
    }
    resting
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Reach;

    #[test]
    fn each_failure_makes_the_rest_longer_up_to_a_day() {
        let minutes: Vec<u64> = [0, 1, 2, 3, 4, 5, 20, u32::MAX].map(|tries| rest(tries).as_secs() / 60).into();
        assert_eq!(minutes, [15, 15, 60, 240, 960, 1440, 1440, 1440]);
    }

    #[test]
    fn a_further_failure_keeps_the_first_time_and_says_the_last_cause() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let error = |cause| StoreError::new(Reach::Message, Kind::Refused, "fetch", cause);
        let (key, flags) = (Key::Uid(3), Flags::new());
        let mut ledger = Ledger::default();
        let first = ledger.failed_copy(Side::Remote, &key, &flags, &error("one"), at(100));
        assert_eq!((first.tries, first.first, first.next), (1, at(100), at(1000)));
        ledger.copies.remote.insert(key.clone(), first);
        let second = ledger.failed_copy(Side::Remote, &key, &flags, &error("two"), at(2000));
        assert_eq!((second.tries, second.first, second.last, second.next), (2, at(100), at(2000), at(5600)));
        assert_eq!(second.cause, "two");
        assert_eq!(ledger.failed_copy(Side::Local, &key, &flags, &error("x"), at(1)).tries, 1);
        let disk = StoreError::new(Reach::Message, Kind::Disk, "fetch", "I/O error");
        assert_eq!(ledger.failed_copy(Side::Local, &key, &flags, &disk, at(9)).next, at(9));
        assert_eq!(ledger.failed_edit(Side::Remote, &key, &error("x"), at(7)).next, at(7));
    }
}
