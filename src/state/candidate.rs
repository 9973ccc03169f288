//! Messages that are set aside until their partners are looked for. Not in the state's file but in a temporary one, which
//! is gone with the process at the latest.

use super::{Column, State, StateError, key_of, side_number};
use crate::mail::{Appeared, Flags, FolderId, Identity, Side};
use rusqlite::params;

/// A message that has no partner yet.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its partner has the same number.
    pub part: u64,
    pub appeared: Appeared,
    pub identity: Identity,
}

const TABLE: &str = "CREATE TEMP TABLE IF NOT EXISTS candidate (
        folder INTEGER, part INTEGER, side INTEGER, key ANY, flags INTEGER, keywords TEXT,
        listed INTEGER, size INTEGER, message_id TEXT, email_id TEXT, hash BLOB
    ) STRICT;
    CREATE INDEX IF NOT EXISTS temp.candidate_part ON candidate (folder, part, side);";

impl State {
    /// Sets messages of a folder aside.
    pub fn set_aside(
        &self,
        folder: FolderId,
        side: Side,
        candidates: impl Iterator<Item = Candidate>,
    ) -> Result<(), StateError> {
        let mut connection = self.lock();
        // What is set aside would be lost with the connection that only reads.
        let connection = connection.writing()?;
        connection.execute_batch(TABLE)?;
        let transaction = connection.transaction()?;
        {
            let mut statement =
                transaction.prepare_cached("INSERT INTO temp.candidate VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
            for Candidate { part, appeared, identity } in candidates {
                let (flags, keywords) = appeared.flags.to_stored();
                statement.execute(params![
                    folder.0,
                    part as i64,
                    side_number(side),
                    Column(&appeared.key),
                    flags,
                    keywords,
                    appeared.size.and_then(|size| i64::try_from(size).ok()),
                    identity.size.and_then(|size| i64::try_from(size).ok()),
                    identity.message_id,
                    identity.email_id,
                    identity.hash.as_ref().map(|hash| hash.as_slice()),
                ])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// The messages of one side that were set aside with this number, in the order in which they were.
    pub fn candidates(&self, folder: FolderId, side: Side, part: u64) -> Result<Vec<Candidate>, StateError> {
        let connection = self.lock();
        connection.execute_batch(TABLE)?;
        let mut statement = connection.prepare_cached(
            "SELECT key, flags, keywords, listed, size, message_id, email_id, hash FROM temp.candidate \
             WHERE folder = ? AND part = ? AND side = ? ORDER BY rowid",
        )?;
        let rows = statement.query_map(params![folder.0, part as i64, side_number(side)], |row| {
            let size = |column| row.get(column).map(|size: Option<i64>| size.and_then(|size| u64::try_from(size).ok()));
            let hash: Option<Vec<u8>> = row.get(7)?;
            Ok(Candidate {
                part,
                appeared: Appeared {
                    key: key_of(row.get_ref(0)?)?,
                    flags: Flags::from_stored(row.get(1)?, row.get_ref(2)?.as_str()?),
                    size: size(3)?,
                },
                identity: Identity {
                    size: size(4)?,
                    message_id: row.get(5)?,
                    email_id: row.get(6)?,
                    hash: hash.and_then(|hash| hash.try_into().ok()),
                },
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Nothing of a folder is set aside any more.
    pub fn drop_candidates(&self, folder: FolderId) -> Result<(), StateError> {
        let connection = self.lock();
        connection.execute_batch(TABLE)?;
        connection.prepare_cached("DELETE FROM temp.candidate WHERE folder = ?")?.execute([folder.0])?;
        Ok(())
    }
}
