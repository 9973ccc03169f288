//! Pairs of folders, and where each side stood.

use super::{State, StateError, committing, name_of, open_read_only, side_word, tally};
use crate::mail::{Cursor, FolderId, FolderName, Role, Side, Sides, Withheld};
use rusqlite::{Connection, params};
use std::path::Path;

/// A folder pair as the engine knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    pub id: FolderId,
    /// Each store's own name for the folder, verbatim.
    pub wires: Sides<Vec<u8>>,
    pub names: Sides<FolderName>,
    pub role: Option<Role>,
    /// What each store calls the folder whatever its name.
    pub objects: Sides<Option<String>>,
    /// Where each side stood when everything up to there had been dealt with.
    pub cursors: Sides<Option<Cursor>>,
    /// The deletions on each side that the guard held when the folder was last looked at.
    pub held: Sides<Withheld>,
}

/// A folder pair as it is shown to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderRow {
    pub wires: Sides<Vec<u8>>,
    pub names: Sides<FolderName>,
    pub role: Option<Role>,
    /// Messages known, and of those unseen, when the pair was last in step.
    pub messages: u64,
    pub unseen: u64,
}

/// Reads the folder pairs of a state file without locking it and without changing anything; empty where there is
/// no such file.
pub fn read_folders(path: &Path) -> Result<Vec<FolderRow>, StateError> {
    let Some(connection) = open_read_only(path)? else { return Ok(Vec::new()) };
    let mut statement = connection.prepare(
        "SELECT local_wire, remote_wire, local_name, remote_name, role, messages, unseen FROM folder ORDER BY remote_name",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(FolderRow {
            wires: Sides::new(row.get(0)?, row.get(1)?),
            names: names_of(row, 2)?,
            role: row.get_ref(4)?.as_str_or_null()?.and_then(Role::parse),
            messages: row.get::<_, i64>(5)?.unsigned_abs(),
            unseen: row.get::<_, i64>(6)?.unsigned_abs(),
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The local name, and the remote one behind it: most often the same.
fn names_of(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Sides<FolderName>> {
    let local = name_of(row, column)?;
    let same = row.get_ref(column)? == row.get_ref(column + 1)?;
    let remote = if same { local.clone() } else { name_of(row, column + 1)? };
    Ok(Sides::new(local, remote))
}

fn cursor_of(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Option<Cursor>> {
    let Some(generation) = row.get::<_, Option<i64>>(column)? else { return Ok(None) };
    let mark: Option<String> = row.get(column + 1)?;
    let conclusive: Option<bool> = row.get(column + 2)?;
    Ok(Some(Cursor {
        generation: generation as u64,
        mark: mark.unwrap_or_default(),
        conclusive: conclusive.unwrap_or_default(),
    }))
}

fn withheld(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Withheld> {
    Ok(Withheld { count: row.get::<_, i64>(column)?.unsigned_abs(), emptied: row.get(column + 1)? })
}

impl State {
    /// All folder pairs.
    pub fn folders(&self) -> Result<Vec<Pair>, StateError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT id, local_wire, remote_wire, local_name, remote_name, role, local_generation, local_mark, \
             local_conclusive, remote_generation, remote_mark, remote_conclusive, local_held, \
             local_emptied, remote_held, remote_emptied, local_object, remote_object \
             FROM folder ORDER BY id",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(Pair {
                id: FolderId(row.get(0)?),
                wires: Sides::new(row.get(1)?, row.get(2)?),
                names: names_of(row, 3)?,
                role: row.get_ref(5)?.as_str_or_null()?.and_then(Role::parse),
                objects: Sides::new(row.get(16)?, row.get(17)?),
                cursors: Sides::new(cursor_of(row, 6)?, cursor_of(row, 9)?),
                held: Sides::new(withheld(row, 12)?, withheld(row, 14)?),
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Makes a folder pair.
    pub fn add_folder(
        &self,
        wires: &Sides<Vec<u8>>,
        names: &Sides<FolderName>,
        role: Option<Role>,
    ) -> Result<FolderId, StateError> {
        let mut connection = self.lock();
        let transaction = connection.writing()?.transaction()?;
        let sql = "INSERT INTO folder (local_wire, remote_wire, local_name, remote_name, role) VALUES (?, ?, ?, ?, ?)";
        let values = params![wires.local, wires.remote, names.local.text(), names.remote.text(), role.map(Role::name)];
        transaction.prepare_cached(sql)?.execute(values)?;
        let folder = FolderId(transaction.last_insert_rowid());
        tally::begin(&transaction, folder)?;
        committing(|| transaction.commit())?;
        Ok(folder)
    }

    /// The pair whose folder on this side has this wire name.
    pub fn folder_at(&self, side: Side, wire: &[u8]) -> Result<Option<FolderId>, StateError> {
        let connection = self.lock();
        let sql = format!("SELECT id FROM folder WHERE {}_wire = ?", side_word(side));
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query_map([wire], |row| row.get(0).map(FolderId))?;
        Ok(rows.next().transpose()?)
    }

    /// The folders that have intents.
    pub fn folders_with_intents(&self) -> Result<Vec<FolderId>, StateError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached("SELECT DISTINCT folder FROM intent")?;
        let rows = statement.query_map([], |row| row.get(0).map(FolderId))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

pub(super) fn set_cursor(
    connection: &Connection,
    folder: FolderId,
    side: Side,
    cursor: &Cursor,
) -> rusqlite::Result<()> {
    let word = side_word(side);
    let sql =
        format!("UPDATE folder SET {word}_generation = ?2, {word}_mark = ?3, {word}_conclusive = ?4 WHERE id = ?1");
    let generation = cursor.generation as i64;
    connection.prepare_cached(&sql)?.execute(params![folder.0, generation, cursor.mark, cursor.conclusive])?;
    Ok(())
}

pub(super) fn set_numbers(
    connection: &Connection,
    folder: FolderId,
    messages: u64,
    unseen: u64,
) -> rusqlite::Result<()> {
    let sql = "UPDATE folder SET messages = ?, unseen = ? WHERE id = ?";
    connection.prepare_cached(sql)?.execute(params![messages as i64, unseen as i64, folder.0])?;
    Ok(())
}

pub(super) fn set_held(connection: &Connection, folder: FolderId, side: Side, held: &Withheld) -> rusqlite::Result<()> {
    let word = side_word(side);
    let sql = format!("UPDATE folder SET {word}_held = ?, {word}_emptied = ? WHERE id = ?");
    let count = i64::try_from(held.count).unwrap_or(i64::MAX);
    connection.prepare_cached(&sql)?.execute(params![count, held.emptied, folder.0])?;
    Ok(())
}

pub(super) fn rename(
    connection: &Connection,
    folder: FolderId,
    side: Side,
    wire: &[u8],
    name: &FolderName,
) -> rusqlite::Result<()> {
    let word = side_word(side);
    let sql = format!("UPDATE folder SET {word}_wire = ?, {word}_name = ? WHERE id = ?");
    connection.prepare_cached(&sql)?.execute(params![wire, name.text(), folder.0])?;
    Ok(())
}

/// Takes a folder's wire name from it, so that another one can get it in the same transaction.
pub(super) fn unname(connection: &Connection, folder: FolderId, side: Side) -> rusqlite::Result<()> {
    // No store has a name with NUL in it.
    let nameless = format!("\0{}", folder.0).into_bytes();
    let sql = format!("UPDATE folder SET {}_wire = ? WHERE id = ?", side_word(side));
    connection.execute(&sql, params![nameless, folder.0])?;
    Ok(())
}

pub(super) fn set_object(connection: &Connection, folder: FolderId, side: Side, object: &str) -> rusqlite::Result<()> {
    let word = side_word(side);
    connection.execute(&format!("UPDATE folder SET {word}_object = ? WHERE id = ?"), params![object, folder.0])?;
    Ok(())
}

pub(super) fn set_role(connection: &Connection, folder: FolderId, role: Option<Role>) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE folder SET role = ? WHERE id = ?")?
        .execute(params![role.map(Role::name), folder.0])?;
    Ok(())
}

pub(super) fn delete(connection: &Connection, folder: FolderId) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM folder WHERE id = ?")?.execute([folder.0])?;
    Ok(())
}
