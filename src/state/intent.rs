//! Copies that were begun and may not have ended.

use super::{Column, State, StateError, key_of, side_number};
use crate::mail::{Flags, FolderId, Identity, Key, Side};
use rusqlite::{Connection, params};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A copy that is about to begin, or that was begun by a run that did not live to confirm it.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    /// The side that the copy goes to.
    pub to: Side,
    /// The message on the other side.
    pub source: Key,
    /// Whether the copy will have exactly the key `mark`, or one that is not below it.
    pub exact: bool,
    pub mark: Key,
    /// The flags that the copy is given.
    pub flags: Flags,
    pub identity: Identity,
    /// When it was committed.
    pub begun: SystemTime,
}

impl State {
    /// The intents of a folder, oldest first.
    pub fn intents(&self, folder: FolderId) -> Result<Vec<Intent>, StateError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT side, source, exact, mark, flags, keywords, size, message_id, hash, begun, email_id FROM intent \
             WHERE folder = ? ORDER BY id",
        )?;
        let rows = statement.query_map([folder.0], |row| {
            let size: Option<i64> = row.get(6)?;
            let hash: Option<Vec<u8>> = row.get(8)?;
            Ok(Intent {
                to: if row.get::<_, i64>(0)? == 0 { Side::Local } else { Side::Remote },
                source: key_of(row.get_ref(1)?)?,
                exact: row.get(2)?,
                mark: key_of(row.get_ref(3)?)?,
                flags: Flags::from_stored(row.get(4)?, row.get_ref(5)?.as_str()?),
                identity: Identity {
                    size: size.and_then(|size| u64::try_from(size).ok()),
                    message_id: row.get(7)?,
                    email_id: row.get(10)?,
                    hash: hash.and_then(|hash| hash.try_into().ok()),
                },
                begun: UNIX_EPOCH + Duration::from_millis(row.get::<_, i64>(9)?.unsigned_abs()),
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

pub(super) fn insert(connection: &Connection, folder: FolderId, intent: &Intent) -> rusqlite::Result<()> {
    let (flags, keywords) = intent.flags.to_stored();
    let mut statement = connection.prepare_cached(
        "INSERT INTO intent (folder, side, source, exact, mark, flags, keywords, size, message_id, hash, \
         begun, email_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    statement.execute(params![
        folder.0,
        side_number(intent.to),
        Column(&intent.source),
        intent.exact,
        Column(&intent.mark),
        flags,
        keywords,
        intent.identity.size.and_then(|size| i64::try_from(size).ok()),
        intent.identity.message_id,
        intent.identity.hash.as_ref().map(|hash| hash.as_slice()),
        intent.begun.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64),
        intent.identity.email_id,
    ])?;
    Ok(())
}

pub(super) fn delete(connection: &Connection, folder: FolderId, to: Side, source: &Key) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("DELETE FROM intent WHERE folder = ? AND side = ? AND source = ?")?;
    statement.execute(params![folder.0, side_number(to), Column(source)])?;
    Ok(())
}
