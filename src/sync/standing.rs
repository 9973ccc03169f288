//! Whether a side stands where the last sync left it: what is asked before another one is begun over what may have been
//! that sync's own doing.

use super::Account;
use crate::mail::{Cursor, FolderName, Side};
use crate::state::{State, StateError};
use std::time::{Duration, SystemTime};

/// The folders that stand elsewhere than at the end of the last sync, of those that are `found`. What the state does not
/// know is none of them. Changes nothing; fails where another run has the state.
pub fn moved_on(
    account: &Account,
    side: Side,
    found: Vec<(Vec<u8>, Cursor)>,
) -> Result<Vec<(FolderName, Cursor)>, StateError> {
    let known = State::open_dry(&account.state)?.folders()?;
    let moved = |(wire, now): (Vec<u8>, Cursor)| {
        let pair = known.iter().find(|pair| pair.wires[side] == wire)?;
        let stands = pair.cursors[side].as_ref().is_some_and(|before| before.stands_at(&now));
        (!stands).then(|| (pair.names[side].clone(), now))
    };
    Ok(found.into_iter().filter_map(moved).collect())
}

/// When every message of both sides was last compared; `None` if that is not known to have happened.
pub fn compared_at(account: &Account) -> Option<SystemTime> {
    let seconds = State::open_dry(&account.state).and_then(|state| state.compared()).ok().flatten()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}
