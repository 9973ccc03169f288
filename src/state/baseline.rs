//! Pairs of messages.

use super::{Column, State, StateError, key_of, side_word};
use crate::mail::{Flags, FolderId, Identity, Key, PairId, Side, Sides};
use rusqlite::{Connection, params};

/// A pair of messages as the state knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub id: PairId,
    pub keys: Sides<Key>,
    /// What each side was last known to have.
    pub flags: Sides<Flags>,
    pub identity: Identity,
}

const COLUMNS: &str = "id, local, remote, local_flags, local_keywords, remote_flags, remote_keywords, \
                       size, message_id, email_id, hash";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let flags = |number: usize| -> rusqlite::Result<Flags> {
        Ok(Flags::from_stored(row.get(number)?, row.get_ref(number + 1)?.as_str()?))
    };
    let size: Option<i64> = row.get(7)?;
    let hash: Option<Vec<u8>> = row.get(10)?;
    Ok(Row {
        id: PairId(row.get(0)?),
        keys: Sides::new(key_of(row.get_ref(1)?)?, key_of(row.get_ref(2)?)?),
        flags: Sides::new(flags(3)?, flags(5)?),
        identity: Identity {
            size: size.and_then(|size| u64::try_from(size).ok()),
            message_id: row.get(8)?,
            email_id: row.get(9)?,
            hash: hash.and_then(|hash| hash.try_into().ok()),
        },
    })
}

impl State {
    /// The pairs whose message on `side` is `key`: one, or several where a server stores equal messages once.
    pub fn pairs_of(&self, folder: FolderId, side: Side, key: &Key) -> Result<Vec<Row>, StateError> {
        pairs_of(&self.lock(), folder, side, key)
    }

    /// The same for several keys, one after the other, as they were at one moment.
    pub fn pairs_of_all<'a>(
        &self,
        folder: FolderId,
        side: Side,
        keys: impl IntoIterator<Item = &'a Key>,
    ) -> Result<Vec<Vec<Row>>, StateError> {
        let mut keys = keys.into_iter().peekable();
        if keys.peek().is_none() {
            return Ok(Vec::new());
        }
        let connection = self.lock();
        // Each statement by itself takes the lock of the file, and gives it back.
        let reading = connection.unchecked_transaction()?;
        keys.map(|key| pairs_of(&reading, folder, side, key)).collect()
    }

    /// The flags that messages on `side` were last known to have, in the order of `keys`; `None` where a key is in no pair.
    pub fn flags_of(&self, folder: FolderId, side: Side, keys: &[Key]) -> Result<Vec<Option<Flags>>, StateError> {
        let word = side_word(side);
        let sql = format!(
            "SELECT {word}_flags, {word}_keywords FROM message WHERE folder = ? AND {word} = ? ORDER BY id LIMIT 1"
        );
        let connection = self.lock();
        let reading = connection.unchecked_transaction()?;
        let mut statement = reading.prepare_cached(&sql)?;
        let mut flags = |key: &Key| {
            let mut rows = statement.query(params![folder.0, Column(key)])?;
            let row = rows.next()?;
            row.map(|row| Ok(Flags::from_stored(row.get(0)?, row.get_ref(1)?.as_str()?))).transpose()
        };
        Ok(keys.iter().map(&mut flags).collect::<rusqlite::Result<_>>()?)
    }

    /// All pairs of a folder. Costs what the folder's length says.
    pub fn rows(&self, folder: FolderId) -> Result<Vec<Row>, StateError> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached(&format!("SELECT {COLUMNS} FROM message WHERE folder = ? ORDER BY id"))?;
        let rows = statement.query_map([folder.0], read)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The pairs of a folder that come after `after`, at most `count` of them.
    pub fn rows_after(&self, folder: FolderId, after: PairId, count: usize) -> Result<Vec<Row>, StateError> {
        let sql = format!("SELECT {COLUMNS} FROM message WHERE folder = ? AND id > ? ORDER BY id LIMIT ?");
        let connection = self.lock();
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![folder.0, after.0, count as i64], read)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// One pair; `None` where there is none of that number.
    pub fn row(&self, pair: PairId) -> Result<Option<Row>, StateError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM message WHERE id = ?"))?;
        let mut rows = statement.query_map([pair.0], read)?;
        Ok(rows.next().transpose()?)
    }

    /// The keys of a side that come after `after`, ascending, with the flags that each was last known to have: at most
    /// `count` of them, and none only where there are no more.
    pub fn keys_after(
        &self,
        folder: FolderId,
        side: Side,
        after: Option<&Key>,
        count: usize,
    ) -> Result<Vec<(Key, Flags)>, StateError> {
        let word = side_word(side);
        // No key is below UID 0.
        let after = after.unwrap_or(&Key::Uid(0));
        let sql = format!(
            "SELECT {word}, {word}_flags, {word}_keywords FROM message WHERE folder = ? AND {word} > ? \
             ORDER BY {word} LIMIT ?"
        );
        let connection = self.lock();
        let mut statement = connection.prepare_cached(&sql)?;
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![folder.0, Column(after), count], |row| {
            Ok((key_of(row.get_ref(0)?)?, Flags::from_stored(row.get(1)?, row.get_ref(2)?.as_str()?)))
        })?;
        let mut keys: Vec<(Key, Flags)> = rows.collect::<rusqlite::Result<_>>()?;
        keys.dedup_by(|a, b| a.0 == b.0);
        Ok(keys)
    }
}

fn pairs_of(connection: &Connection, folder: FolderId, side: Side, key: &Key) -> Result<Vec<Row>, StateError> {
    let sql = format!("SELECT {COLUMNS} FROM message WHERE folder = ? AND {} = ? ORDER BY id", side_word(side));
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![folder.0, Column(key)], read)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn insert(
    connection: &Connection,
    folder: FolderId,
    keys: &Sides<Key>,
    flags: &Sides<Flags>,
    identity: &Identity,
) -> rusqlite::Result<()> {
    let (local, remote) = (flags.local.to_stored(), flags.remote.to_stored());
    let mut statement = connection.prepare_cached(
        "INSERT INTO message (folder, local, remote, local_flags, local_keywords, remote_flags, remote_keywords, \
         size, message_id, email_id, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    statement.execute(params![
        folder.0,
        Column(&keys.local),
        Column(&keys.remote),
        local.0,
        local.1,
        remote.0,
        remote.1,
        identity.size.and_then(|size| i64::try_from(size).ok()),
        identity.message_id,
        identity.email_id,
        identity.hash.as_ref().map(|hash| hash.as_slice()),
    ])?;
    Ok(())
}

pub(super) fn set_flags(connection: &Connection, pair: PairId, flags: &Sides<Flags>) -> rusqlite::Result<()> {
    let (local, remote) = (flags.local.to_stored(), flags.remote.to_stored());
    let mut statement = connection.prepare_cached(
        "UPDATE message SET local_flags = ?, local_keywords = ?, remote_flags = ?, remote_keywords = ? WHERE id = ?",
    )?;
    statement.execute(params![local.0, local.1, remote.0, remote.1, pair.0])?;
    Ok(())
}

pub(super) fn set_key(connection: &Connection, pair: PairId, side: Side, key: &Key) -> rusqlite::Result<()> {
    let sql = format!("UPDATE message SET {} = ? WHERE id = ?", side_word(side));
    connection.prepare_cached(&sql)?.execute(params![Column(key), pair.0])?;
    Ok(())
}

pub(super) fn delete(connection: &Connection, pair: PairId) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM message WHERE id = ?")?.execute([pair.0])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Flag, FolderName};
    use crate::state::Change;

    #[test]
    fn several_keys_are_answered_in_their_order_as_each_by_itself() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = State::open(&dir.path().join("a.db")).expect("opened");
        let name = FolderName::parse("a").expect("a name");
        let wires = Sides::new(b"a".to_vec(), b"a".to_vec());
        let folder = state.add_folder(&wires, &Sides::new(name.clone(), name), None).expect("added");
        let seen: Flags = [Flag::Seen].into_iter().collect();
        // A server that stores equal messages once has one UID for two of ours.
        for (local, uid, remote) in [("x", 7, Flags::new()), ("y", 7, seen.clone()), ("z", 9, seen.clone())] {
            let keys = Sides::new(Key::Name(local.as_bytes().into()), Key::Uid(uid));
            let flags = Sides::new(Flags::new(), remote);
            let bind = Change::Bind { folder, keys, flags, identity: Identity::default() };
            state.apply(&[bind]).expect("bound");
        }
        let keys = [9, 8, 7].map(Key::Uid);
        let rows = state.pairs_of_all(folder, Side::Remote, &keys).expect("read");
        assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), [1, 0, 2]);
        for (key, rows) in keys.iter().zip(&rows) {
            assert_eq!(state.pairs_of(folder, Side::Remote, key).expect("read"), *rows);
        }
        let flags = state.flags_of(folder, Side::Remote, &keys).expect("read");
        assert_eq!(flags, [Some(seen), None, Some(Flags::new())]);
    }
}
