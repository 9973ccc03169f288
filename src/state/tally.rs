//! What a folder's pairs add up to: their numbers, and sums over names and flags that tell a listing which is the same
//! without a look at any row. Every commit that changes a pair changes them too.

use super::{Column, State, StateError, committing, key_of, side_word};
use crate::mail::{Flags, FolderId, Key, PairId, Side, Sides};
use rusqlite::{Connection, MAIN_DB, OptionalExtension, params};
use siphasher::sip::SipHasher13;
use std::collections::HashMap;
use std::hash::Hasher;

/// How many names a part has once the sums are made anew; they are when it has four times as many.
const PART: u64 = 128;
const PARTS_MAX: u64 = 4096;

/// The bit of `\Seen` in stored flags.
const SEEN: i64 = 16;

/// Sums over names with their flags, one for each part of the names. A part is what shares some bits of a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums(Vec<u64>);

impl Sums {
    fn new(names: u64) -> Sums {
        let parts = (names / PART).next_power_of_two().min(PARTS_MAX);
        Sums(vec![0; parts as usize])
    }

    /// Reads the form that the state keeps; `None` where it is none.
    fn read(bytes: &[u8]) -> Option<Sums> {
        let (words, rest) = bytes.as_chunks::<8>();
        let sound = rest.is_empty() && words.len().is_power_of_two();
        sound.then(|| Sums(words.iter().map(|word| u64::from_le_bytes(*word)).collect()))
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|sum| sum.to_le_bytes()).collect()
    }

    /// The part that a name belongs to.
    pub fn part(&self, name: &[u8]) -> usize {
        self.place(&hashed(name))
    }

    fn place(&self, hasher: &SipHasher13) -> usize {
        // A power of two, so that the mask is exact.
        hasher.finish() as usize & (self.0.len() - 1)
    }

    pub fn add(&mut self, name: &[u8], flags: &Flags) {
        let (part, number) = self.number(name, flags);
        self.0[part] = self.0[part].wrapping_add(number);
    }

    pub fn subtract(&mut self, name: &[u8], flags: &Flags) {
        let (part, number) = self.number(name, flags);
        self.0[part] = self.0[part].wrapping_sub(number);
    }

    /// The parts in which something remains.
    pub fn remaining(&self) -> Vec<bool> {
        self.0.iter().map(|sum| *sum != 0).collect()
    }

    fn number(&self, name: &[u8], flags: &Flags) -> (usize, u64) {
        let mut hasher = hashed(name);
        let part = self.place(&hasher);
        let (lettered, keywords) = flags.to_stored();
        // No name has a NUL, so that none together with its flags reads like another one.
        hasher.write(&[0, lettered as u8]);
        hasher.write(keywords.to_ascii_lowercase().as_bytes());
        (part, hasher.finish())
    }
}

/// The state keeps what comes of it: neither the keys nor the algorithm may ever change without a new layout.
fn hashed(name: &[u8]) -> SipHasher13 {
    let mut hasher = SipHasher13::new_with_keys(0x6d61_696c_7379_6e63, 0x7461_6c6c_7931_0000);
    hasher.write(name);
    hasher
}

/// What one side's keys add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Keys {
    count: u64,
    /// The highest UID that ever was among them: a higher one is new for sure.
    top: u32,
    sums: Sums,
}

impl Keys {
    fn new(messages: u64) -> Keys {
        Keys { count: 0, top: 0, sums: Sums::new(messages) }
    }

    fn add(&mut self, key: &Key, flags: &Flags) {
        if let Key::Name(name) = key {
            self.sums.add(name, flags);
        }
    }

    fn subtract(&mut self, key: &Key, flags: &Flags) {
        if let Key::Name(name) = key {
            self.sums.subtract(name, flags);
        }
    }
}

/// What a folder's pairs add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tally {
    messages: u64,
    unseen: u64,
    keys: Sides<Keys>,
}

/// What the tally takes of a row.
struct Entry {
    folder: FolderId,
    keys: Sides<Key>,
    flags: Sides<Flags>,
}

impl Tally {
    fn new(messages: u64) -> Tally {
        Tally { messages: 0, unseen: 0, keys: Sides::from_fn(|_| Keys::new(messages)) }
    }

    fn load(connection: &Connection, folder: FolderId) -> rusqlite::Result<Option<Tally>> {
        let mut statement = connection.prepare_cached(
            "SELECT messages, unseen, local_keys, local_top, local_sums, remote_keys, remote_top, remote_sums \
             FROM tally WHERE folder = ?",
        )?;
        let number = |row: &rusqlite::Row<'_>, column: usize| row.get::<_, i64>(column).map(i64::unsigned_abs);
        let found = statement.query_row([folder.0], |row| {
            let keys = |column: usize| -> rusqlite::Result<Option<Keys>> {
                let top = u32::try_from(row.get::<_, i64>(column + 1)?).unwrap_or(u32::MAX);
                let sums = Sums::read(row.get_ref(column + 2)?.as_blob()?);
                let count = number(row, column)?;
                Ok(sums.map(|sums| Keys { count, top, sums }))
            };
            let (Some(local), Some(remote)) = (keys(2)?, keys(5)?) else { return Ok(None) };
            Ok(Some(Tally { messages: number(row, 0)?, unseen: number(row, 1)?, keys: Sides { local, remote } }))
        });
        Ok(found.optional()?.flatten())
    }

    fn save(&self, connection: &Connection, folder: FolderId) -> rusqlite::Result<()> {
        let Tally { messages, unseen, keys: Sides { local, remote } } = self;
        let mut statement = connection.prepare_cached(
            // A folder that was forgotten gets none.
            "INSERT OR REPLACE INTO tally SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 \
             WHERE EXISTS (SELECT 1 FROM folder WHERE id = ?1)",
        )?;
        statement.execute(params![
            folder.0,
            *messages as i64,
            *unseen as i64,
            local.count as i64,
            local.top,
            local.sums.bytes(),
            remote.count as i64,
            remote.top,
            remote.sums.bytes(),
        ])?;
        Ok(())
    }

    /// Counts all of a folder's rows. Costs what their number says.
    fn make(connection: &Connection, folder: FolderId) -> rusqlite::Result<Tally> {
        let sql = "SELECT count(*) FROM message WHERE folder = ?";
        let messages: i64 = connection.query_row(sql, [folder.0], |row| row.get(0))?;
        let mut tally = Tally::new(messages.unsigned_abs());
        let sql = format!("SELECT {ENTRY} FROM message WHERE folder = ?");
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query([folder.0])?;
        while let Some(row) = rows.next()? {
            let entry = read(row)?;
            tally.messages += 1;
            tally.flags(&entry.flags, 1);
            for side in Side::BOTH {
                tally.keys[side].add(&entry.keys[side], &entry.flags[side]);
            }
        }
        for side in Side::BOTH {
            let word = side_word(side);
            // Integers come before names, and are all there are on a side that has any.
            let sql = format!(
                "SELECT CASE typeof(max({word})) WHEN 'integer' THEN count(DISTINCT {word}) ELSE count(*) END, \
                 CASE typeof(max({word})) WHEN 'integer' THEN max({word}) ELSE 0 END FROM message WHERE folder = ?"
            );
            let (count, top): (i64, u32) =
                connection.query_row(&sql, [folder.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
            (tally.keys[side].count, tally.keys[side].top) = (count.unsigned_abs(), top);
        }
        Ok(tally)
    }

    /// Whether the sums have become too few for all the names.
    fn is_coarse(&self) -> bool {
        let coarse = |keys: &Keys| {
            let parts = keys.sums.0.len() as u64;
            parts < PARTS_MAX && keys.count > parts * PART * 4
        };
        Side::BOTH.into_iter().any(|side| coarse(&self.keys[side]))
    }

    fn flags(&mut self, flags: &Sides<Flags>, sign: i64) {
        if flags.remote.to_stored().0 & SEEN == 0 {
            self.unseen = self.unseen.saturating_add_signed(sign);
        }
    }
}

const ENTRY: &str = "folder, local, remote, local_flags, local_keywords, remote_flags, remote_keywords";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Entry> {
    let flags = |number: usize| -> rusqlite::Result<Flags> {
        Ok(Flags::from_stored(row.get(number)?, row.get_ref(number + 1)?.as_str()?))
    };
    Ok(Entry {
        folder: FolderId(row.get(0)?),
        keys: Sides::new(key_of(row.get_ref(1)?)?, key_of(row.get_ref(2)?)?),
        flags: Sides::new(flags(3)?, flags(5)?),
    })
}

/// The tallies that a commit changes: read before the first change of a pair, and written at the end. A folder without one
/// gets none: it is made when it is asked for.
#[derive(Default)]
pub(super) struct Tallies(HashMap<FolderId, Option<Tally>>);

impl Tallies {
    fn of(&mut self, connection: &Connection, folder: FolderId) -> rusqlite::Result<Option<&mut Tally>> {
        use std::collections::hash_map::Entry::{Occupied, Vacant};
        Ok(match self.0.entry(folder) {
            Occupied(slot) => slot.into_mut().as_mut(),
            Vacant(slot) => slot.insert(Tally::load(connection, folder)?).as_mut(),
        })
    }

    /// A pair is about to be inserted.
    pub(super) fn bind(
        &mut self,
        connection: &Connection,
        folder: FolderId,
        keys: &Sides<Key>,
        flags: &Sides<Flags>,
    ) -> rusqlite::Result<()> {
        let Some(tally) = self.of(connection, folder)? else { return Ok(()) };
        tally.messages += 1;
        tally.flags(flags, 1);
        for side in Side::BOTH {
            arrive(connection, &mut tally.keys[side], folder, side, &keys[side], &flags[side])?;
        }
        Ok(())
    }

    /// A pair's flags are about to change.
    pub(super) fn reflag(
        &mut self,
        connection: &Connection,
        pair: PairId,
        flags: &Sides<Flags>,
    ) -> rusqlite::Result<()> {
        let Some(old) = entry(connection, pair)? else { return Ok(()) };
        let Some(tally) = self.of(connection, old.folder)? else { return Ok(()) };
        tally.flags(&old.flags, -1);
        tally.flags(flags, 1);
        for side in Side::BOTH {
            tally.keys[side].subtract(&old.keys[side], &old.flags[side]);
            tally.keys[side].add(&old.keys[side], &flags[side]);
        }
        Ok(())
    }

    /// A pair's key is about to become another one.
    pub(super) fn rekey(
        &mut self,
        connection: &Connection,
        pair: PairId,
        side: Side,
        key: &Key,
    ) -> rusqlite::Result<()> {
        let Some(old) = entry(connection, pair)?.filter(|old| old.keys[side] != *key) else { return Ok(()) };
        let Some(tally) = self.of(connection, old.folder)? else { return Ok(()) };
        leave(connection, &mut tally.keys[side], old.folder, side, &old.keys[side], &old.flags[side])?;
        arrive(connection, &mut tally.keys[side], old.folder, side, key, &old.flags[side])
    }

    /// A pair is about to be deleted.
    pub(super) fn forget(&mut self, connection: &Connection, pair: PairId) -> rusqlite::Result<()> {
        let Some(old) = entry(connection, pair)? else { return Ok(()) };
        let Some(tally) = self.of(connection, old.folder)? else { return Ok(()) };
        tally.messages = tally.messages.saturating_sub(1);
        tally.flags(&old.flags, -1);
        for side in Side::BOTH {
            leave(connection, &mut tally.keys[side], old.folder, side, &old.keys[side], &old.flags[side])?;
        }
        Ok(())
    }

    /// A folder is about to be forgotten.
    pub(super) fn forget_folder(&mut self, folder: FolderId) {
        self.0.insert(folder, None);
    }

    /// How many pairs a folder has, and how many of them are unseen, as of the changes so far.
    pub(super) fn numbers(&mut self, connection: &Connection, folder: FolderId) -> rusqlite::Result<(u64, u64)> {
        if self.of(connection, folder)?.is_none() {
            let made = Tally::make(connection, folder)?;
            self.0.insert(folder, Some(made));
        }
        Ok(self.of(connection, folder)?.map_or((0, 0), |tally| (tally.messages, tally.unseen)))
    }

    pub(super) fn save(self, connection: &Connection) -> rusqlite::Result<()> {
        for (folder, tally) in self.0 {
            if let Some(tally) = tally {
                tally.save(connection, folder)?;
            }
        }
        Ok(())
    }
}

fn entry(connection: &Connection, pair: PairId) -> rusqlite::Result<Option<Entry>> {
    let mut statement = connection.prepare_cached(&format!("SELECT {ENTRY} FROM message WHERE id = ?"))?;
    statement.query_row([pair.0], read).optional()
}

/// How many pairs have a UID, as far as two.
fn uses(connection: &Connection, folder: FolderId, side: Side, key: &Key) -> rusqlite::Result<usize> {
    let sql = format!("SELECT 1 FROM message WHERE folder = ? AND {} = ? LIMIT 2", side_word(side));
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![folder.0, Column(key)])?;
    let mut count = 0;
    while rows.next()?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// A key that is about to be given to a pair.
fn arrive(
    connection: &Connection,
    keys: &mut Keys,
    folder: FolderId,
    side: Side,
    key: &Key,
    flags: &Flags,
) -> rusqlite::Result<()> {
    let uid = key.uid().unwrap_or_default();
    // Equal messages may have one UID, but never one name.
    if key.uid().is_none() || uid > keys.top || uses(connection, folder, side, key)? == 0 {
        keys.count += 1;
    }
    keys.top = keys.top.max(uid);
    keys.add(key, flags);
    Ok(())
}

/// A key that is about to be taken from a pair.
fn leave(
    connection: &Connection,
    keys: &mut Keys,
    folder: FolderId,
    side: Side,
    key: &Key,
    flags: &Flags,
) -> rusqlite::Result<()> {
    if key.uid().is_none() || uses(connection, folder, side, key)? < 2 {
        keys.count = keys.count.saturating_sub(1);
    }
    keys.subtract(key, flags);
    Ok(())
}

/// A new folder has nothing to be counted.
pub(super) fn begin(connection: &Connection, folder: FolderId) -> rusqlite::Result<()> {
    Tally::new(0).save(connection, folder)
}

impl State {
    /// How many pairs a folder has.
    pub fn count(&self, folder: FolderId) -> Result<u64, StateError> {
        self.tally(folder, |tally| tally.messages)
    }

    /// How many messages of a side are known.
    pub fn count_keys(&self, folder: FolderId, side: Side) -> Result<u64, StateError> {
        self.tally(folder, |tally| tally.keys[side].count)
    }

    /// The sums over the names of a side's messages, with the flags that it was last known to have.
    pub fn sums(&self, folder: FolderId, side: Side) -> Result<Sums, StateError> {
        self.tally(folder, |tally| tally.keys[side].sums.clone())
    }

    /// What a folder's rows add up to, counted anew: `false` where the tally that is kept says something else.
    pub fn adds_up(&self, folder: FolderId) -> Result<bool, StateError> {
        let connection = self.lock();
        let Some(kept) = Tally::load(&connection, folder)? else { return Ok(true) };
        let made = Tally::make(&connection, folder)?;
        let same = |side: Side| {
            let (kept, made) = (&kept.keys[side], &made.keys[side]);
            // Of different fineness, only all of it can be compared.
            let total = |sums: &Sums| sums.0.iter().fold(0_u64, |total, sum| total.wrapping_add(*sum));
            kept.count == made.count && kept.top >= made.top && total(&kept.sums) == total(&made.sums)
        };
        let sides = Side::BOTH.into_iter().all(same);
        Ok(sides && (kept.messages, kept.unseen) == (made.messages, made.unseen))
    }

    fn tally<T>(&self, folder: FolderId, ask: impl FnOnce(&Tally) -> T) -> Result<T, StateError> {
        let mut connection = self.lock();
        if let Some(tally) = Tally::load(&connection, folder)?.filter(|tally| !tally.is_coarse()) {
            return Ok(ask(&tally));
        }
        let tally = Tally::make(&connection, folder)?;
        let connection = connection.writing()?;
        if !is_dry(connection)? {
            committing(|| tally.save(connection, folder))?;
        }
        Ok(ask(&tally))
    }
}

/// Whether nothing may be written.
fn is_dry(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(connection.is_readonly(MAIN_DB)?
        || connection.query_row("PRAGMA query_only", [], |row| row.get::<_, bool>(0))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Cursor, Flag, FolderName, Identity};
    use crate::state::Change;
    use rusqlite::config::DbConfig;

    /// Numbers that are the same in every run.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, most: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % most
        }

        fn flags(&mut self) -> Flags {
            let mut flags = Flags::new();
            for flag in [Flag::Seen, Flag::Flagged, Flag::Draft] {
                if self.below(2) == 0 {
                    flags.insert(flag);
                }
            }
            if self.below(3) == 0 {
                let keyword = ["todo", "TODO", "$Junk"][self.below(3) as usize];
                flags.insert(Flag::from_imap(keyword).expect("a keyword"));
            }
            flags
        }

        /// A name on the local side and a UID on the remote one, which another message may have as well.
        fn keys(&mut self, next: &mut u32) -> Sides<Key> {
            *next += 1;
            let uid = if self.below(4) == 0 { 1 + self.below(u64::from(*next)) as u32 } else { *next };
            Sides::new(Key::Name(format!("name {next}").into_bytes().into()), Key::Uid(uid))
        }
    }

    fn folder(state: &State, name: &str) -> FolderId {
        let wires = Sides::new(name.as_bytes().to_vec(), name.as_bytes().to_vec());
        let name = FolderName::parse(name).expect("a name");
        state.add_folder(&wires, &Sides::new(name.clone(), name), None).expect("made")
    }

    fn sums_of(state: &State, folder: FolderId) -> Sums {
        let mut sums = Sums(vec![0; state.sums(folder, Side::Local).expect("sums").0.len()]);
        for row in state.rows(folder).expect("rows") {
            sums.add(row.keys.local.name().expect("a name"), &row.flags.local);
        }
        sums
    }

    #[test]
    fn a_tally_follows_every_change() {
        let state = State::in_memory().expect("a state");
        let mut folders = [folder(&state, "a"), folder(&state, "b")];
        let (mut numbers, mut next) = (Numbers(7), 0);
        for round in 0..400 {
            let mut changes = Vec::new();
            let mut rows: Vec<_> = folders.iter().flat_map(|f| state.rows(*f).expect("rows")).collect();
            for _ in 0..=numbers.below(6) {
                let folder = folders[numbers.below(2) as usize];
                let drawn = if rows.is_empty() { 0 } else { numbers.below(8) };
                let row = (drawn > 3).then(|| rows.swap_remove(numbers.below(rows.len() as u64) as usize));
                let flags = Sides::from_fn(|_| numbers.flags());
                changes.push(match (drawn, row) {
                    (4, Some(row)) => Change::Flags { pair: row.id, flags },
                    (5, Some(row)) => Change::Forget { pair: row.id },
                    (6, Some(row)) => {
                        let side = if numbers.below(2) == 0 { Side::Local } else { Side::Remote };
                        Change::Rekey { pair: row.id, side, key: numbers.keys(&mut next)[side].clone() }
                    }
                    _ => Change::Bind { folder, keys: numbers.keys(&mut next), flags, identity: Identity::default() },
                });
            }
            if round == 350 {
                changes.push(Change::ForgetFolder { folder: folders[1] });
            }
            state.apply(&changes).expect("applied");
            if round == 350 {
                assert!(state.adds_up(folders[1]).expect("counted"));
                folders[1] = folder(&state, "b");
            }
            for folder in folders {
                assert!(state.adds_up(folder).expect("counted"), "round {round}");
                let rows = state.rows(folder).expect("rows");
                assert_eq!(state.count(folder).expect("counted"), rows.len() as u64, "round {round}");
                let uids: std::collections::BTreeSet<_> = rows.iter().map(|row| row.keys.remote.clone()).collect();
                let counted = state.count_keys(folder, Side::Remote).expect("counted");
                assert_eq!(counted, uids.len() as u64, "round {round}");
                assert_eq!(state.sums(folder, Side::Local).expect("sums"), sums_of(&state, folder), "round {round}");
            }
        }
    }

    #[test]
    fn sums_get_finer_with_the_folder() {
        let state = State::in_memory().expect("a state");
        let folder = folder(&state, "a");
        let (mut numbers, mut next) = (Numbers(3), 0);
        assert_eq!(state.sums(folder, Side::Local).expect("sums").0.len(), 1);
        let bind = |_| Change::Bind {
            folder,
            keys: numbers.keys(&mut next),
            flags: Sides::from_fn(|_| numbers.flags()),
            identity: Identity::default(),
        };
        state.apply(&(0..2000).map(bind).collect::<Vec<_>>()).expect("applied");
        let sums = state.sums(folder, Side::Local).expect("sums");
        assert_eq!((sums.0.len(), &sums), (16, &sums_of(&state, folder)));
        assert!(state.adds_up(folder).expect("counted"));
    }

    #[test]
    fn what_the_state_shows_of_a_folder_is_what_its_rows_say() {
        let state = State::in_memory().expect("a state");
        let folder = folder(&state, "a");
        let seen: Flags = [Flag::Seen].into_iter().collect();
        let bind = |number: u32, flags: &Flags| Change::Bind {
            folder,
            keys: Sides::new(Key::Name(format!("{number}").into_bytes().into()), Key::Uid(number)),
            flags: Sides::from_fn(|_| flags.clone()),
            identity: Identity::default(),
        };
        let cursor = Change::Cursor { folder, side: Side::Local, cursor: Cursor::start(0) };
        state.apply(&[bind(1, &seen), bind(2, &Flags::new()), bind(3, &seen), cursor]).expect("applied");
        let numbers = |state: &State| {
            let sql = "SELECT messages, unseen FROM folder";
            state.lock().query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("read")
        };
        assert_eq!(numbers(&state), (3_i64, 1_i64));
        // A state of an older layout has none yet.
        state.lock().execute("DELETE FROM tally", []).expect("deleted");
        let cursor = Change::Cursor { folder, side: Side::Remote, cursor: Cursor::start(7) };
        state.apply(&[Change::Forget { pair: PairId(2) }, cursor]).expect("applied");
        assert_eq!(numbers(&state), (2, 0));
        assert_eq!((state.count(folder).expect("counted"), state.adds_up(folder).expect("counted")), (2, true));
        // Somebody who knows nothing of tallies.
        let theirs = |on| state.lock().set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, on).expect("switched");
        theirs(true);
        state.lock().execute("DELETE FROM message WHERE id = 1", []).expect("deleted");
        theirs(false);
        assert_eq!((state.count(folder).expect("counted"), state.adds_up(folder).expect("counted")), (1, true));
    }

    #[test]
    fn the_same_names_and_flags_leave_nothing() {
        let (mut sums, mut numbers) = (Sums::new(5000), Numbers(1));
        let messages: Vec<(Vec<u8>, Flags)> =
            (0..5000).map(|number| (format!("{number}.host").into_bytes(), numbers.flags())).collect();
        messages.iter().for_each(|(name, flags)| sums.add(name, flags));
        messages.iter().rev().for_each(|(name, flags)| sums.subtract(name, flags));
        assert!(!sums.remaining().contains(&true));
        let upper: Flags = Flag::from_imap("TODO").into_iter().collect();
        let lower: Flags = Flag::from_imap("todo").into_iter().collect();
        sums.add(b"x", &upper);
        sums.subtract(b"x", &lower);
        assert!(!sums.remaining().contains(&true), "keywords differ by case");
        sums.subtract(b"x", &Flags::new());
        sums.add(b"x", &lower);
        assert_eq!(sums.remaining().iter().filter(|part| **part).count(), 1);
        assert!(sums.remaining()[sums.part(b"x")]);
    }

    #[test]
    fn the_numbers_in_the_state_never_change() {
        let mut sums = Sums::new(0);
        sums.add(b"1500000000.M1.host", &[Flag::Seen].into_iter().collect());
        assert_eq!(sums.0, [5_117_062_221_427_121_362]);
    }
}
