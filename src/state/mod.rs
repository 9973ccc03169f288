//! The state of one account: what both sides last agreed upon, in one SQLite file. The only SQL there is.
//!
//! WAL with `synchronous=FULL`: what was committed survives a power cut. One run at a time writes, which a kernel
//! lock on a file beside the database ensures; it goes with the process, however that ends. A run that has nothing to
//! write writes nothing: neither a log nor its index is made before the first change.

mod baseline;
mod candidate;
mod check;
mod discard;
mod doom;
mod dry;
mod folder;
mod intent;
mod left;
mod listing;
mod lock;
mod memory;
mod problem;
mod tally;
mod together;

pub use baseline::Row;
pub use candidate::Candidate;
pub use discard::Discard;
pub use folder::{FolderRow, Pair, read_folders};
pub use intent::Intent;
pub use left::{Left, read_left};
pub use problem::{Backlog, ProblemRow, Waiting, read_problems};
pub use tally::Sums;

use together::Request;

use crate::fault::point;
use crate::mail::{Cursor, Flags, FolderId, FolderName, Identity, Key, Noted, PairId, Role, Side, Sides, Withheld};
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSql, ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use std::fmt;
use std::fs::File;
use std::ops::Deref;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// The layout that [`schema.sql`](../../../src/state/schema.sql) describes.
const VERSION: i64 = 7;

/// What brings each older layout to the next one: the first is for layout 1.
const STEPS: [&str; 6] = [
    include_str!("schema-1-to-2.sql"),
    include_str!("schema-2-to-3.sql"),
    include_str!("schema-3-to-4.sql"),
    include_str!("schema-4-to-5.sql"),
    include_str!("schema-5-to-6.sql"),
    include_str!("schema-6-to-7.sql"),
];

/// No fewer than there are: a statement that does not find room is compiled again and again.
const STATEMENTS: usize = 64;

/// A failure of the state's file.
#[derive(Clone, Debug)]
pub enum StateError {
    /// Another run holds the lock; who, as far as it says.
    Locked { holder: String },
    /// What was being done, and why it failed.
    Failed { action: String, cause: String },
    /// The file can't be understood: it is damaged, or no state at all, or one of a newer mailsync.
    Useless { action: String, cause: String },
}

impl StateError {
    fn new(action: impl Into<String>, cause: impl fmt::Display) -> StateError {
        StateError::Failed { action: action.into(), cause: cause.to_string() }
    }

    /// A failure of SQLite's.
    fn sqlite(action: impl Into<String>, error: rusqlite::Error) -> StateError {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match error.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) => {
                StateError::Useless { action: action.into(), cause: error.to_string() }
            }
            _ => StateError::new(action, error),
        }
    }

    /// The one thing to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            StateError::Locked { .. } => "it goes on by itself; try again when it has ended",
            StateError::Failed { .. } => {
                "is its disk full, or can't be written to? nothing is lost, and the next run goes on where this one ended"
            }
            StateError::Useless { .. } => "the state holds no mail: moved away, the next run pairs both sides anew",
        }
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StateError::Locked { holder } => write!(f, "another run holds the lock: {holder}"),
            StateError::Failed { action, cause } | StateError::Useless { action, cause } => {
                write!(f, "{action}: {cause}")
            }
        }
    }
}

impl std::error::Error for StateError {}

impl From<rusqlite::Error> for StateError {
    fn from(error: rusqlite::Error) -> Self {
        StateError::sqlite("use the state file", error)
    }
}

/// One thing that changes in the state. A list of them is committed together or not at all.
#[derive(Clone, Debug)]
pub enum Change {
    /// Two messages are a pair from now on.
    Bind { folder: FolderId, keys: Sides<Key>, flags: Sides<Flags>, identity: Identity },
    /// What each side is known to have.
    Flags { pair: PairId, flags: Sides<Flags> },
    /// The pair is no more.
    Forget { pair: PairId },
    /// The pair's message is about to be taken away on this side.
    Doom { pair: PairId, side: Side },
    /// It was not, or was and is back.
    Spare { pair: PairId },
    /// A copy is about to begin.
    Intend { folder: FolderId, intent: Intent },
    /// A copy ended, whichever way.
    Done { folder: FolderId, to: Side, source: Key },
    /// Messages of this folder are about to be moved to the trash of this side.
    Discard { folder: FolderId, side: Side, discard: Discard },
    /// All of those are there.
    Discarded { folder: FolderId, side: Side },
    /// Everything on this side up to here has been dealt with.
    Cursor { folder: FolderId, side: Side, cursor: Cursor },
    /// The pair's message on this side has another key.
    Rekey { pair: PairId, side: Side, key: Key },
    /// These deletions on this side are held.
    Held { folder: FolderId, side: Side, held: Withheld },
    /// The folder is called otherwise.
    Rename { folder: FolderId, side: Side, wire: Vec<u8>, name: FolderName },
    /// What the store calls the folder whatever its name.
    Object { folder: FolderId, side: Side, object: String },
    /// What the folder is for, as the other side says it.
    Role { folder: FolderId, role: Option<Role> },
    /// A message failed by itself: its entry in the ledger as it is from now on.
    Problem { folder: FolderId, waiting: Waiting },
    /// Nothing is left to be tried with this message.
    Solved { folder: FolderId, side: Side, key: Key },
    /// This side bears the mark of this turn.
    Turn { side: Side, turn: u64 },
    /// Every message of both sides was compared, at this time in seconds since 1970.
    Compared { at: u64 },
    /// What this side's store is to be told when it lists its folders again.
    Noted { side: Side, noted: Noted },
    /// The folder pair and all that is known of it is forgotten.
    ForgetFolder { folder: FolderId },
}

/// Takes a line for every change.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// An open state, used by all threads of an account's run.
pub struct State {
    connection: Mutex<Access>,
    /// What waits to be committed while the connection is in use.
    queue: Mutex<Vec<Arc<Request>>>,
    id: String,
    tell: Option<Tell>,
    /// Held for its kernel lock.
    _lock: Option<File>,
}

impl State {
    /// Opens the state, making it where there is none, and locks it for this run.
    pub fn open(path: &Path) -> Result<State, StateError> {
        if let Some(parent) = path.parent() {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent);
            made.map_err(|err| StateError::new(format!("make {}", parent.display()), err))?;
        }
        point("state.open").map_err(|err| StateError::new(format!("open {}", path.display()), err))?;
        let lock = lock::take(path)?;
        if let Some((connection, file)) = dry::settled(path) {
            let access = Access { connection, to_write: Some((path.to_owned(), file)) };
            return State::over(access, Some(lock)).map_err(|err| opening(path, err));
        }
        // SQLite gives its side files the mode of the database, so that one is made first.
        let made = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        made.map_err(|err| StateError::new(format!("open {}", path.display()), err))?;
        State::prepare(Connection::open(path)?, Some(lock), path)
    }

    fn prepare(connection: Connection, lock: Option<File>, path: &Path) -> Result<State, StateError> {
        let failed = |err: rusqlite::Error| opening(path, err);
        durable(&connection).map_err(failed)?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
        match version {
            0 => committing(|| create(&connection).map_err(failed))?,
            VERSION => {}
            older @ 1..VERSION => committing(|| upgrade(&connection, older).map_err(failed))?,
            version => return Err(newer(path, version)),
        }
        State::over(Access { connection, to_write: None }, lock).map_err(failed)
    }

    /// The state in a database of today's layout.
    fn over(connection: Access, lock: Option<File>) -> rusqlite::Result<State> {
        let id = connection.query_row("SELECT value FROM meta WHERE name = 'id'", [], |row| row.get(0))?;
        Ok(State { connection: Mutex::new(connection), queue: Mutex::default(), id, tell: None, _lock: lock })
    }

    /// A random name that this state has had since it was made.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The turn whose mark a side bears; 0 before the first.
    pub fn turn(&self, side: Side) -> Result<u64, StateError> {
        self.number(&turn_of(side)).map(|turn| turn.unwrap_or(0))
    }

    /// When every message of both sides was last compared, in seconds since 1970; `None` if never.
    pub fn compared(&self) -> Result<Option<u64>, StateError> {
        self.number(COMPARED)
    }

    fn number(&self, name: &str) -> Result<Option<u64>, StateError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE name = ?")?;
        let found: Option<String> = statement.query_row([name], |row| row.get(0)).optional()?;
        Ok(found.and_then(|number| number.parse().ok()))
    }

    /// The same state, which tells of every change that it commits.
    pub fn told_to(self, tell: Option<Tell>) -> State {
        State { tell, ..self }
    }

    fn lock(&self) -> MutexGuard<'_, Access> {
        // A thread that panicked in here left a transaction that was rolled back: the connection is sound.
        self.connection.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// The connection to a state.
struct Access {
    connection: Connection,
    /// Where it is to be opened as soon as something is to be written, and which file that was: this connection only
    /// reads.
    to_write: Option<(PathBuf, FileId)>,
}

impl Access {
    /// The connection that writes, if anything may be written at all. Nothing that is temporary outlives the change from
    /// the one that reads.
    fn writing(&mut self) -> Result<&mut Connection, StateError> {
        if let Some((path, file)) = &self.to_write {
            let failed = |err| opening(path, err);
            // What was read, and decided by, must be what is written: no other file, and none that is made now.
            if FileId::of(path).as_ref() != Some(file) {
                let action = format!("open the state {}", path.display());
                return Err(StateError::new(action, "it was moved away or replaced while it was in use"));
            }
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
            durable(&connection).map_err(failed)?;
            *self = Access { connection, to_write: None };
        }
        Ok(&mut self.connection)
    }
}

/// A file's device and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId(u64, u64);

impl FileId {
    fn of(path: &Path) -> Option<FileId> {
        path.metadata().ok().map(|found| FileId(found.dev(), found.ino()))
    }
}

impl Deref for Access {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

fn opening(path: &Path, err: rusqlite::Error) -> StateError {
    StateError::sqlite(format!("open the state {}", path.display()), err)
}

/// How every connection that writes is set up.
fn durable(connection: &Connection) -> rusqlite::Result<()> {
    settings(connection)?;
    // Half of the cache that SQLite takes by itself: what a commit works on is far less, and the system keeps the rest.
    connection.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-1000;")?;
    // They speak of changes that somebody else makes. To run one, SQLite keeps a copy of every page that a statement changes.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, has_fuses(connection)?)?;
    Ok(())
}

/// How every connection to a state is set up.
fn settings(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.execute_batch("PRAGMA foreign_keys=ON;")?;
    // Else every statement that names an indexed column is compiled anew for each value: it asks for one message.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

/// Whether a test has put triggers into the state that let a change fail; only a build with debug assertions runs them.
fn has_fuses(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(cfg!(debug_assertions) && connection.table_exists(Some(rusqlite::MAIN_DB), c"fuse")?)
}

/// The state has a layout of which nothing is known here.
fn newer(path: &Path, version: i64) -> StateError {
    let action = format!("open the state {}", path.display());
    let cause = format!("layout {version} is of a newer mailsync than this one, which knows {VERSION}");
    StateError::Useless { action, cause }
}

/// Commits, between a point before and one after it.
fn committing<T, E: Into<StateError>>(commit: impl FnOnce() -> Result<T, E>) -> Result<T, StateError> {
    let failed = |err| StateError::new("write the state", err);
    point("state.commit").map_err(failed)?;
    let done = commit().map_err(E::into)?;
    point("state.committed").map_err(failed)?;
    Ok(done)
}

fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {} INSERT INTO meta VALUES ('id', lower(hex(randomblob(16)))); PRAGMA user_version = {VERSION}; COMMIT;",
        include_str!("schema.sql"),
    ))
}

/// Brings a state of an older layout to this one: all of the way, or none of it.
fn upgrade(connection: &Connection, from: i64) -> rusqlite::Result<()> {
    let steps: String = STEPS.iter().skip(from as usize - 1).copied().collect();
    let done = connection.execute_batch(&format!("BEGIN IMMEDIATE; {steps} PRAGMA user_version = {VERSION}; COMMIT;"));
    if done.is_err() {
        // Why the step failed is worth more than why it could not be undone; closing the file undoes it too.
        let _ = connection.execute_batch("ROLLBACK");
    }
    done
}

/// Opens a state file for reading, without lock; `None` where there is none.
fn open_read_only(path: &Path) -> Result<Option<Connection>, StateError> {
    if !path.exists() {
        return Ok(None);
    }
    let failed = |err| StateError::sqlite(format!("read the state {}", path.display()), err);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(Duration::from_secs(2)).map_err(failed)?;
    Ok(Some(connection))
}

/// A key as a column.
struct Column<'a>(&'a Key);

impl ToSql for Column<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Key::Uid(uid) => ToSqlOutput::Owned(Value::Integer(i64::from(*uid))),
            Key::Name(name) => ToSqlOutput::Borrowed(ValueRef::Blob(name)),
        })
    }
}

fn key_of(value: ValueRef<'_>) -> rusqlite::Result<Key> {
    match value {
        ValueRef::Integer(uid) => {
            u32::try_from(uid).map(Key::Uid).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, uid))
        }
        ValueRef::Blob(name) | ValueRef::Text(name) => Ok(Key::Name(name.into())),
        other => Err(rusqlite::Error::InvalidColumnType(0, "key".to_owned(), other.data_type())),
    }
}

fn name_of(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<FolderName> {
    let text = row.get_ref(column)?.as_str()?;
    FolderName::parse(text)
        .ok_or_else(|| rusqlite::Error::InvalidColumnType(column, text.to_owned(), rusqlite::types::Type::Text))
}

/// What the time of the last comparison of all is called.
const COMPARED: &str = "compared";

/// What a side's turn is called.
fn turn_of(side: Side) -> String {
    format!("{}_turn", side_word(side))
}

/// How a side stands in a column: 0 local, 1 remote.
fn side_number(side: Side) -> i64 {
    i64::from(side == Side::Remote)
}

/// The word that begins a side's columns.
fn side_word(side: Side) -> &'static str {
    match side {
        Side::Local => "local",
        Side::Remote => "remote",
    }
}
