//! The checks, and what they need of a store.

use mailsync::mail::{Changes, Cursor, Flag, FlagDelta, Flags, FolderName, Key};
use mailsync::store::{
    Access, Claim, Depth, Draft, Fetched, Folder, Kind, Known, Mark, Opener, Outgoing, Reach, Receive, Store,
    StoreError,
};
use std::any::Any;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::time::Duration;

/// What another program does to a folder.
pub type Outsider = Box<dyn Fn(&FolderName)>;

/// A store to be checked.
pub struct Subject {
    pub opener: Box<dyn Opener>,
    /// How long after a change a cursor becomes conclusive; `None` where it never does.
    pub settle: Option<Duration>,
    /// Whether the store needs an owner's mark.
    pub bears_marks: bool,
    /// Whether a message can be empty, hold NUL, or end with CR.
    pub holds_any_byte: bool,
    /// Removes a folder behind the store's back.
    pub remove_folder: Option<Outsider>,
    /// What has to live as long as the store: a directory, a server.
    pub keep: Box<dyn Any>,
}

impl Drop for Subject {
    /// The place goes last.
    fn drop(&mut self) {
        self.remove_folder = None;
        drop(std::mem::replace(&mut self.keep, Box::new(())));
    }
}

/// Makes a module of tests, one for each check, out of an expression that makes a [`Subject`].
#[macro_export]
macro_rules! contract {
    ($name:ident, $subject:expr) => {
        $crate::contract!(@ $name, $subject,
            created_folders_are_listed_and_created_again,
            odd_names_read_back,
            a_renamed_folder_keeps_its_messages_and_leaves_those_inside,
            an_empty_folder_is_deleted_and_no_other,
            a_folder_opens_only_in_its_generation,
            a_folder_that_is_not_there_does_not_open,
            an_owner_finds_its_mark,
            an_appended_message_appears_once,
            a_batch_is_answered_in_order,
            content_and_date_survive,
            a_message_is_taken_from_any_file,
            flags_change_by_deltas,
            flags_outside_the_space_are_passed_over,
            another_programs_flag_changes_are_seen,
            exactly_the_named_messages_are_removed,
            a_moved_message_stays_the_same,
            the_same_content_has_the_same_identity,
            keys_stay,
            a_second_look_has_nothing_to_tell,
            nothing_vanishes_with_the_folder,
            slices_show_all_that_is_new_once,
            a_folder_opened_for_looking_is_not_changed,
            an_empty_folder_is_empty);
    };
    (@ $name:ident, $subject:expr, $($check:ident),*) => {
        mod $name {
            use super::*;
            $(#[test]
            fn $check() {
                $crate::suite::$check(&$subject);
            })*
        }
    };
}

/// What a folder is known to hold.
#[derive(Clone, Debug, Default, PartialEq)]
struct Remembered(BTreeMap<Key, Flags>);

impl Known for Remembered {
    fn get(&self, key: &Key) -> Result<Option<Flags>, StoreError> {
        Ok(self.0.get(key).cloned())
    }
    fn count(&self) -> Result<u64, StoreError> {
        Ok(self.0.len() as u64)
    }
    fn after(&self, after: Option<&Key>, count: usize) -> Result<Vec<(Key, Flags)>, StoreError> {
        let later = self.0.iter().filter(|(key, _)| after.is_none_or(|after| *key > after));
        Ok(later.take(count).map(|(key, flags)| (key.clone(), flags.clone())).collect())
    }
}

impl Remembered {
    fn apply(&mut self, changes: &Changes) {
        changes.vanished.iter().for_each(|key| drop(self.0.remove(key)));
        self.0.extend(changes.reflagged.iter().cloned());
        self.0.extend(changes.appeared.iter().map(|a| (a.key.clone(), a.flags.clone())));
    }
}

fn flags(names: &str) -> Flags {
    names.split_whitespace().filter_map(Flag::from_imap).collect()
}

fn name(text: &str) -> FolderName {
    FolderName::parse(text).expect("a name")
}

impl Subject {
    /// A connection, with the store's root made.
    fn store(&self) -> Box<dyn Store> {
        let mut store = self.opener.open().expect("opened");
        if self.bears_marks {
            store.mark("the suite", 1).expect("marked");
        }
        store
    }

    /// A connection, and a new folder's wire name.
    fn folder(&self, text: &str) -> (Box<dyn Store>, Vec<u8>) {
        let mut store = self.store();
        let info = store.create(&name(text)).expect("created");
        (store, info.wire)
    }
}

fn open<'a>(store: &'a mut Box<dyn Store>, wire: &[u8]) -> Box<dyn Folder + 'a> {
    store.open(wire, Access::Write, None).expect("opened")
}

fn all(folder: &mut dyn Folder) -> Remembered {
    let mut known = Remembered::default();
    known.apply(&look(folder, None, &Remembered::default()));
    known
}

fn look(folder: &mut dyn Folder, since: Option<&Cursor>, known: &Remembered) -> Changes {
    let changes = folder.changes(since, known).expect("looked");
    assert!(changes.complete && !changes.reset, "{changes:?}");
    changes
}

fn outgoing(folder: &mut dyn Folder, content: &[u8], names: &str, date: Option<i64>) -> Outgoing {
    let mark = folder.reserve(1).expect("reserved").remove(0);
    let mut body = folder.drafter().draft().expect("a draft");
    content.chunks(3).for_each(|piece| body.write(piece).expect("written"));
    Outgoing { mark, flags: flags(names), date, body }
}

/// Appends a message; its key, looked up where the store does not tell.
fn put(folder: &mut dyn Folder, content: &[u8], names: &str, date: Option<i64>) -> Key {
    let before = all(folder);
    let message = outgoing(folder, content, names, date);
    let mark = message.mark.clone();
    let mut told = folder.append(vec![message]).expect("appended");
    assert_eq!(told.len(), 1);
    let key = told.remove(0).expect("stored").unwrap_or_else(|| only_new(folder, &before));
    match mark {
        Mark::Exact(marked) => assert_eq!(key, marked),
        Mark::NotBelow(least) => assert!(key >= least),
    }
    key
}

fn only_new(folder: &mut dyn Folder, before: &Remembered) -> Key {
    let new: Vec<Key> = all(folder).0.into_keys().filter(|key| !before.0.contains_key(key)).collect();
    assert_eq!(new.len(), 1);
    new[0].clone()
}

/// What was delivered of a message: content, date, flags.
type Delivered = (Vec<u8>, Option<i64>, Option<Flags>);

#[derive(Default)]
struct Basket {
    got: BTreeMap<Key, Delivered>,
    failed: Vec<Key>,
}

impl Receive for Basket {
    fn draft(&mut self) -> Result<Draft, StoreError> {
        Ok(Draft::new(tempfile::tempfile().expect("a file"), None))
    }
    fn message(&mut self, mut fetched: Fetched) -> Result<(), StoreError> {
        let mut content = Vec::new();
        fetched.body.reader().expect("readable").read_to_end(&mut content).expect("read");
        let before = self.got.insert(fetched.key, (content, fetched.date, fetched.flags));
        assert!(before.is_none(), "delivered twice");
        Ok(())
    }
    fn failed(&mut self, key: Key, _: StoreError) -> Result<(), StoreError> {
        self.failed.push(key);
        Ok(())
    }
}

fn fetch(folder: &mut dyn Folder, keys: &[Key]) -> Basket {
    let mut basket = Basket::default();
    folder.fetch(keys, &mut basket).expect("fetched");
    basket
}

fn change(key: &Key, add: &str, remove: &str) -> (Key, FlagDelta) {
    (key.clone(), FlagDelta { add: flags(add), remove: flags(remove) })
}

pub fn created_folders_are_listed_and_created_again(subject: &Subject) {
    let mut store = subject.store();
    for text in ["Listed", "Listed/Inside", "INBOX"] {
        let wire = store.wire_for(&name(text)).expect("a wire name");
        for _ in 0..2 {
            let info = store.create(&name(text)).expect("created");
            assert_eq!((&info.name, &info.wire, info.selectable), (&name(text), &wire, true));
        }
        let list = store.list().expect("listed");
        let found: Vec<_> = list.iter().filter(|info| info.wire == wire).collect();
        assert_eq!(found.len(), 1, "{text}: {list:?}");
        assert_eq!((&found[0].name, found[0].selectable, &found[0].problem), (&name(text), true, &None));
        store.open(&wire, Access::Write, None).expect("opened");
    }
    store.close();
}

pub fn odd_names_read_back(subject: &Subject) {
    let mut store = subject.store();
    let texts =
        ["Odd", "Odd/ü & Grüße", "Odd/FSF \\/ GNU", "Odd/100%41", "Odd/a.b+c", "Odd/cur", "Odd/.dot", "Odd/日本語"];
    for text in texts {
        // A name that can't be is told before anything is made; a server's own taste shows when it is asked.
        let Ok(wire) = store.wire_for(&name(text)) else { continue };
        let info = match store.create(&name(text)) {
            Ok(info) => info,
            Err(error) => {
                assert_eq!((error.kind, error.reach), (Kind::Refused, Reach::Folder), "{text}: {error}");
                assert!(!store.list().expect("listed").iter().any(|info| info.wire == wire));
                continue;
            }
        };
        assert_eq!((info.name, &info.wire), (name(text), &wire));
        let list = store.list().expect("listed");
        let found = list.iter().find(|info| info.wire == wire).unwrap_or_else(|| panic!("{text} is not in {list:?}"));
        assert_eq!((&found.name, &found.problem), (&name(text), &None));
        store.open(&wire, Access::Read, None).expect("opened");
    }
}

pub fn a_renamed_folder_keeps_its_messages_and_leaves_those_inside(subject: &Subject) {
    let (mut store, wire) = subject.folder("Old");
    let inner = store.create(&name("Old/Inner")).expect("created").wire;
    let key = put(&mut *open(&mut store, &wire), b"A: b\n\nkept\n", "\\Flagged", Some(1_000_000_000));
    put(&mut *open(&mut store, &inner), b"A: b\n\ninside\n", "", None);
    let info = store.rename(&wire, &name("New/Name")).expect("renamed");
    assert_eq!(info.name, name("New/Name"));
    let mut folder = open(&mut store, &info.wire);
    let known = all(&mut *folder);
    assert_eq!(known.0.len(), 1);
    if known.0.keys().next().is_some_and(|key| key.name().is_some()) {
        assert!(known.0.contains_key(&key));
    }
    let key = known.0.into_keys().next().expect("one message");
    assert_eq!(fetch(&mut *folder, std::slice::from_ref(&key)).got[&key].0, b"A: b\n\nkept\n");
    drop(folder);
    let list = store.list().expect("listed");
    assert!(!list.iter().any(|info| info.name == name("Old") && info.selectable), "{list:?}");
    if let Some(inner) = list.iter().find(|info| info.name == name("Old/Inner")) {
        assert_eq!(all(&mut *open(&mut store, &inner.wire)).0.len(), 1);
    }
    assert!(store.rename(&wire, &name("Elsewhere")).is_err(), "it is not there any more");
    let second = store.create(&name("Second")).expect("created").wire;
    assert!(store.rename(&second, &name("New/Name")).is_err(), "that name is taken");
}

pub fn an_empty_folder_is_deleted_and_no_other(subject: &Subject) {
    let (mut store, wire) = subject.folder("Doomed");
    let inside = store.create(&name("Doomed/Inside")).expect("created").wire;
    let key = put(&mut *open(&mut store, &wire), b"A: b\n\n", "\\Seen later", None);
    let kept = put(&mut *open(&mut store, &inside), b"A: c\n\n", "", None);
    let known = all(&mut *open(&mut store, &wire));
    let error = store.delete(&wire).expect_err("it holds a message");
    assert_eq!((error.kind, error.reach), (Kind::Refused, Reach::Folder), "{error}");
    assert_eq!(all(&mut *open(&mut store, &wire)), known);
    assert!(open(&mut store, &wire).remove(&[key]).expect("removed").is_empty());
    store.delete(&wire).expect("deleted");
    assert!(store.list().expect("listed").iter().all(|info| info.wire != wire || !info.selectable));
    store.delete(&wire).expect("what is not there is success");
    assert_eq!(all(&mut *open(&mut store, &inside)).0.keys().collect::<Vec<_>>(), [&kept]);
    let again = store.create(&name("Doomed")).expect("created again").wire;
    assert!(all(&mut *open(&mut store, &again)).0.is_empty());
}

pub fn a_folder_opens_only_in_its_generation(subject: &Subject) {
    let (mut store, wire) = subject.folder("Generation");
    let generation = look(&mut *open(&mut store, &wire), None, &Remembered::default()).cursor.generation;
    store.open(&wire, Access::Write, Some(generation)).expect("opened");
    let error = store.open(&wire, Access::Write, Some(generation + 1)).map(|_| ()).expect_err("another generation");
    assert_eq!((error.kind, error.reach), (Kind::Reset, Reach::Folder));
}

pub fn a_folder_that_is_not_there_does_not_open(subject: &Subject) {
    let mut store = subject.store();
    let wire = store.wire_for(&name("Nowhere")).expect("a wire name");
    let error = store.open(&wire, Access::Read, None).map(|_| ()).expect_err("not there");
    assert_eq!(error.reach, Reach::Folder);
    assert!(matches!(error.kind, Kind::Missing | Kind::Refused), "{error:?}");
    store.list().expect("the store goes on");
}

pub fn an_owner_finds_its_mark(subject: &Subject) {
    let mut store = subject.opener.open().expect("opened");
    if !subject.bears_marks {
        assert_eq!(store.claim("anybody").expect("asked"), Claim::Ours);
        return;
    }
    assert!(matches!(store.claim("me").expect("asked"), Claim::Unmarked | Claim::Missing));
    store.mark("me", 1).expect("marked");
    assert_eq!(store.claim("me").expect("asked"), Claim::Ours);
    let mut second = subject.opener.open().expect("opened");
    assert_eq!(second.claim("you").expect("asked"), Claim::Foreign("me".to_owned()));
    assert!(second.list().expect("listed").iter().all(|info| info.problem.is_none()), "the mark is no folder");
}

pub fn an_appended_message_appears_once(subject: &Subject) {
    let (mut store, wire) = subject.folder("Appended");
    let mut folder = open(&mut store, &wire);
    let mut known = all(&mut *folder);
    for (content, names) in [(&b"A: 1\n\nx\n"[..], ""), (b"A: 2\n\nyy\n", "\\Seen"), (b"A: 3\n\n", "\\Flagged")] {
        let first = look(&mut *folder, None, &known);
        let key = put(&mut *folder, content, names, None);
        let changes = look(&mut *folder, Some(&first.cursor), &known);
        assert_eq!(changes.appeared.len(), 1, "{changes:?}");
        assert_eq!((&changes.appeared[0].key, &changes.appeared[0].flags), (&key, &flags(names)));
        assert!(changes.vanished.is_empty());
        known.apply(&changes);
        let again = look(&mut *folder, None, &known);
        assert!(again.appeared.is_empty() && again.reflagged.is_empty() && again.vanished.is_empty(), "{again:?}");
    }
    drop(folder);
    assert_eq!(all(&mut *open(&mut subject.store(), &wire)), known, "another connection sees the same");
}

pub fn a_batch_is_answered_in_order(subject: &Subject) {
    let (mut store, wire) = subject.folder("Batch");
    let mut folder = open(&mut store, &wire);
    let contents: Vec<Vec<u8>> = (0..20).map(|n| format!("N: {n}\n\nmessage {n}\n").into_bytes()).collect();
    let marks = folder.reserve(contents.len()).expect("reserved");
    let batch = contents.iter().zip(&marks).map(|(content, mark)| {
        let seen = if content.len() % 2 == 0 { "\\Seen" } else { "" };
        Outgoing { mark: mark.clone(), ..outgoing(&mut *folder, content, seen, Some(900_000_000)) }
    });
    let batch: Vec<Outgoing> = batch.collect();
    let told = folder.append(batch).expect("appended");
    assert_eq!(told.len(), contents.len());
    let known = all(&mut *folder);
    let keys: Vec<Key> = known.0.keys().cloned().collect();
    assert_eq!(keys.len(), contents.len());
    let basket = fetch(&mut *folder, &keys);
    for ((content, mark), told) in contents.iter().zip(&marks).zip(told) {
        let found: Vec<&Key> = keys.iter().filter(|key| basket.got[key].0 == *content).collect();
        assert_eq!(found.len(), 1, "once");
        if let Some(key) = told.expect("stored") {
            assert_eq!(&key, found[0]);
        }
        match mark {
            Mark::Exact(key) => assert_eq!(key, found[0]),
            Mark::NotBelow(key) => assert!(found[0] >= key),
        }
    }
}

pub fn content_and_date_survive(subject: &Subject) {
    let (mut store, wire) = subject.folder("Content");
    let mut folder = open(&mut store, &wire);
    let long = [&b"Subject: long\n\n"[..], &b"x".repeat(300_000), b"\n\n", &b"line\n".repeat(2000)].concat();
    let mut contents: Vec<&[u8]> = vec![
        b"A: b\n\nplain\n",
        b"A: b\n\nno end of line",
        b"A: b\n\nlone \r here\nand there\r.",
        b"A: b\n\n8 bit \xff\xfe\x80 \xc3\xbc\n",
        b"no header at all\n",
        b"\n\nempty header\n",
        b"\n",
        b"From x\nA: b\n\n.\n..\nFrom y\n>From z\n",
        &long,
    ];
    if subject.holds_any_byte {
        contents.extend([&b""[..], b"A: b\n\nNUL \0 here\n", b"A: b\n\nends with \r"]);
    }
    for (at, content) in contents.iter().enumerate() {
        let date = 500_000_000 + 86_399 * at as i64;
        let key = put(&mut *folder, content, "\\Answered", Some(date));
        let basket = fetch(&mut *folder, std::slice::from_ref(&key));
        let (got, got_date, _) = &basket.got[&key];
        assert!(got == content, "{} became {}", content.escape_ascii(), got.escape_ascii());
        assert_eq!(*got_date, Some(date));
    }
    let keys: Vec<Key> = all(&mut *folder).0.into_keys().collect();
    let (gone, kept) = keys.split_first().expect("messages");
    folder.remove(std::slice::from_ref(gone)).expect("removed");
    let basket = fetch(&mut *folder, &keys);
    assert_eq!(basket.got.keys().collect::<Vec<_>>(), kept.iter().collect::<Vec<_>>());
    assert!(basket.failed.is_empty());
}

pub fn a_message_is_taken_from_any_file(subject: &Subject) {
    let (mut store, wire) = subject.folder("File");
    let mut folder = open(&mut store, &wire);
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(b"A: b\n\nfrom a file\n").expect("written");
    let mark = folder.reserve(1).expect("reserved").remove(0);
    let body = Draft::from_file(file);
    let told = folder.append(vec![Outgoing { mark, flags: flags("\\Seen"), date: Some(1_111_111_111), body }]);
    assert!(told.expect("appended").remove(0).is_ok());
    let keys: Vec<Key> = all(&mut *folder).0.into_keys().collect();
    let basket = fetch(&mut *folder, &keys);
    assert_eq!(basket.got.len(), 1);
    assert_eq!(basket.got[&keys[0]].0, b"A: b\n\nfrom a file\n");
    assert_eq!(basket.got[&keys[0]].1, Some(1_111_111_111));
}

pub fn flags_change_by_deltas(subject: &Subject) {
    let (mut store, wire) = subject.folder("Deltas");
    let mut folder = open(&mut store, &wire);
    let space = folder.flag_space();
    let first = put(&mut *folder, b"A: 1\n\n", "\\Flagged", None);
    let second = put(&mut *folder, b"A: 2\n\n", "\\Seen", None);
    let gone = put(&mut *folder, b"A: 3\n\n", "", None);
    assert!(folder.remove(std::slice::from_ref(&gone)).expect("removed").is_empty());
    let changes = [
        change(&first, "\\Seen \\Flagged $Forwarded", "\\Answered"),
        change(&second, "", "\\Seen"),
        change(&gone, "\\Seen", ""),
    ];
    assert!(folder.set_flags(&changes).expect("set").is_empty());
    let known = all(&mut *folder);
    assert_eq!(known.0[&first], flags("\\Flagged \\Seen $Forwarded").within(&space));
    assert_eq!(known.0[&second], Flags::new());
    assert!(folder.set_flags(&changes).expect("set again").is_empty());
    assert_eq!(all(&mut *folder), known);
    assert!(folder.set_flags(&[change(&first, "", "\\Flagged")]).expect("set").is_empty());
    assert_eq!(all(&mut *folder).0[&first], flags("\\Seen $Forwarded").within(&space));
}

pub fn flags_outside_the_space_are_passed_over(subject: &Subject) {
    let (mut store, wire) = subject.folder("Space");
    let mut folder = open(&mut store, &wire);
    let space = folder.flag_space();
    let many: Vec<String> = (0..40).map(|n| format!("k{n:02}")).collect();
    let many = many.join(" ") + " \\Draft \\Deleted \\Seen";
    let key = put(&mut *folder, b"A: 1\n\n", "", None);
    assert!(folder.set_flags(&[change(&key, &many, "")]).expect("set").is_empty());
    let held = all(&mut *folder).0[&key].clone();
    let wanted = flags(&many);
    assert!(held.minus(&wanted).is_empty());
    for flag in wanted.iter().filter(|flag| !matches!(flag, Flag::Keyword(_))) {
        assert_eq!(held.contains(&flag), space.holds(&flag), "{flag:?}");
    }
    let fits = wanted.keywords().iter().filter(|k| space.fixed.contains(&Flag::Keyword((*k).clone()))).count();
    assert_eq!(held.keywords().len(), wanted.keywords().len().min(fits.saturating_add(space.more)));
    // The same keywords in another case are the same keywords.
    let other = put(&mut *folder, b"A: 2\n\n", &held.to_string().to_uppercase(), None);
    assert_eq!(all(&mut *folder).0[&other], held);
    assert!(folder.set_flags(&[change(&key, "", &many)]).expect("set").is_empty());
    assert_eq!(all(&mut *folder).0[&key], Flags::new());
}

pub fn another_programs_flag_changes_are_seen(subject: &Subject) {
    let (mut store, wire) = subject.folder("Other");
    let mut second = subject.store();
    let key = put(&mut *open(&mut store, &wire), b"A: 1\n\n", "", None);
    let mut known = all(&mut *open(&mut store, &wire));
    let mut cursor = look(&mut *open(&mut store, &wire), None, &known).cursor;
    for (add, remove, then) in
        [("\\Flagged", "", "\\Flagged"), ("\\Seen", "", "\\Flagged \\Seen"), ("", "\\Flagged", "\\Seen")]
    {
        open(&mut second, &wire).set_flags(&[change(&key, add, remove)]).expect("set");
        let changes = look(&mut *open(&mut store, &wire), Some(&cursor), &known);
        assert_eq!(changes.reflagged, [(key.clone(), flags(then))]);
        assert!(changes.appeared.is_empty() && changes.vanished.is_empty(), "{changes:?}");
        known.apply(&changes);
        cursor = changes.cursor;
    }
}

pub fn exactly_the_named_messages_are_removed(subject: &Subject) {
    let (mut store, wire) = subject.folder("Removed");
    let mut folder = open(&mut store, &wire);
    let deleted = put(&mut *folder, b"A: 0\n\n", "\\Seen", None);
    folder.set_flags(&[change(&deleted, "\\Deleted", "")]).expect("set");
    let keys: Vec<Key> = (1..5)
        .map(|n| put(&mut *folder, format!("A: {n}\n\n").as_bytes(), if n % 2 == 0 { "\\Seen" } else { "" }, None))
        .collect();
    let mut known = all(&mut *folder);
    let first = look(&mut *folder, None, &known);
    assert!(folder.remove(&keys[1..3]).expect("removed").is_empty());
    let changes = look(&mut *folder, Some(&first.cursor), &known);
    // In the order of the keys, which need not be that in which they were made.
    let mut removed = keys[1..3].to_vec();
    removed.sort();
    assert_eq!(changes.vanished, removed);
    known.apply(&changes);
    assert_eq!(known.0.keys().collect::<Vec<_>>().len(), 3);
    assert!(known.0.contains_key(&deleted), "another's deleted message stays");
    assert!(folder.remove(&keys[1..3]).expect("what is gone is success").is_empty());
    assert_eq!(all(&mut *folder), known);
}

pub fn a_moved_message_stays_the_same(subject: &Subject) {
    let (mut store, wire) = subject.folder("From");
    let into = store.create(&name("Into/There")).expect("created").wire;
    put(&mut *open(&mut store, &into), b"A: other\n\n", "", None);
    let mut folder = open(&mut store, &wire);
    let content = b"A: moved\n\nbody\r\xff\n";
    let fresh = put(&mut *folder, content, "\\Flagged work later", Some(777_777_777));
    let read = put(&mut *folder, b"A: read\n\n", "\\Seen later", None);
    let stays = put(&mut *folder, b"A: stays\n\n", "", None);
    let known = all(&mut *folder);
    drop(folder);
    let marks = open(&mut store, &into).reserve(3).expect("reserved");
    let before = all(&mut *open(&mut store, &into));
    let mut folder = open(&mut store, &wire);
    let gone = put(&mut *folder, b"A: gone\n\n", "", None);
    folder.remove(std::slice::from_ref(&gone)).expect("removed");
    let told = folder.move_to(&[fresh.clone(), gone, read.clone()], &into, &marks).expect("moved");
    assert_eq!(told.len(), 3);
    assert_eq!(all(&mut *folder).0.keys().collect::<Vec<_>>(), [&stays]);
    drop(folder);
    let mut folder = open(&mut store, &into);
    let now = all(&mut *folder);
    let new: Vec<Key> = now.0.keys().filter(|key| !before.0.contains_key(key)).cloned().collect();
    assert_eq!((now.0.len(), new.len()), (3, 2));
    let basket = fetch(&mut *folder, &new);
    let moved = new.iter().find(|key| basket.got[key].0 == content).expect("the content is there");
    assert_eq!(basket.got[moved].1, Some(777_777_777));
    let space = folder.flag_space();
    let held = |key: &Key| {
        known.0[key].iter().filter(|flag| space.holds(flag) || now.0[moved].contains(flag)).collect::<Flags>()
    };
    assert_eq!(now.0[moved], held(&fresh));
    for (at, told) in told.into_iter().enumerate() {
        match (at, told) {
            (0, Ok(Some(key))) => assert_eq!(&key, moved),
            (1, Ok(Some(key))) => panic!("a message that was gone became {key}"),
            (1, Err(error)) => assert_eq!(error.reach, Reach::Message),
            (_, Err(error)) => panic!("{error}"),
            (_, Ok(_)) => {}
        }
    }
    if let Mark::Exact(key) = &marks[0] {
        assert_eq!(moved, key);
    }
}

pub fn the_same_content_has_the_same_identity(subject: &Subject) {
    let (mut store, wire) = subject.folder("Identity");
    let mut folder = open(&mut store, &wire);
    let content = b"Message-ID:  <one@example.org>\nA: b\n\nx\n";
    let keys = [
        put(&mut *folder, content, "\\Seen", Some(1)),
        put(&mut *folder, content, "", Some(2)),
        put(&mut *folder, b"Message-ID: <one@example.org>\nA: b\n\nother\n", "", None),
        put(&mut *folder, b"A: none\n\n", "", None),
    ];
    for depth in [Depth::Header, Depth::Content] {
        let found: BTreeMap<Key, _> = folder.identify(&keys, depth).expect("identified").known.into_iter().collect();
        assert_eq!(found.len(), 4);
        assert_eq!(found[&keys[0]], found[&keys[1]]);
        assert_ne!(found[&keys[0]].size, found[&keys[2]].size);
        assert_eq!(found[&keys[2]].message_id.as_deref(), Some("<one@example.org>"));
        assert_eq!(found[&keys[3]].message_id, None);
        let mut draft = folder.drafter().draft().expect("a draft");
        draft.write(content).expect("written");
        let own = draft.identity().expect("measured");
        assert_eq!((found[&keys[0]].size, &found[&keys[0]].message_id), (own.size, &own.message_id));
        match depth {
            Depth::Content => assert_eq!(found[&keys[0]].hash, own.hash),
            Depth::Header => assert!(found[&keys[0]].hash.is_none_or(|hash| Some(hash) == own.hash)),
        }
    }
    folder.remove(&keys[..1]).expect("removed");
    let left: Vec<Key> =
        folder.identify(&keys, Depth::Header).expect("identified").known.into_iter().map(|(key, _)| key).collect();
    assert!(left.len() == 3 && !left.contains(&keys[0]));
}

pub fn keys_stay(subject: &Subject) {
    let (mut store, wire) = subject.folder("Stay");
    let key = put(&mut *open(&mut store, &wire), b"A: b\n\n", "", Some(1_234_567_890));
    for names in ["\\Flagged", "\\Seen", "\\Answered later", "\\Draft"] {
        open(&mut store, &wire).set_flags(&[change(&key, names, "\\Seen")]).expect("set");
        let mut second = subject.store();
        let mut folder = open(&mut second, &wire);
        assert_eq!(all(&mut *folder).0.keys().collect::<Vec<_>>(), [&key], "after {names}");
        assert_eq!(fetch(&mut *folder, std::slice::from_ref(&key)).got[&key].1, Some(1_234_567_890));
    }
}

pub fn a_second_look_has_nothing_to_tell(subject: &Subject) {
    let (mut store, wire) = subject.folder("Second");
    let mut folder = open(&mut store, &wire);
    put(&mut *folder, b"A: b\n\n", "", None);
    put(&mut *folder, b"A: c\n\n", "\\Seen later", None);
    let known = all(&mut *folder);
    std::thread::sleep(subject.settle.unwrap_or_default());
    let first = look(&mut *folder, None, &known);
    let second = look(&mut *folder, Some(&first.cursor), &known);
    assert!(second.appeared.is_empty() && second.reflagged.is_empty() && second.vanished.is_empty());
    assert_eq!(first.cursor.proves_unchanged(&second.cursor), subject.settle.is_some(), "{:?}", second.cursor);
    drop(folder);
    if let Some(listed) =
        store.list().expect("listed").into_iter().find(|info| info.wire == wire).and_then(|info| info.cursor)
    {
        assert_eq!(listed, second.cursor, "a listing says the same");
    }
    let mut folder = open(&mut store, &wire);
    put(&mut *folder, b"A: d\n\n", "", None);
    let third = look(&mut *folder, Some(&second.cursor), &known);
    assert!(!second.cursor.proves_unchanged(&third.cursor));
    assert_eq!(third.appeared.len(), 1);
}

pub fn slices_show_all_that_is_new_once(subject: &Subject) {
    let (mut store, wire) = subject.folder("Slices");
    let mut folder = open(&mut store, &wire);
    let keys: Vec<Key> = (0..11)
        .map(|number| put(&mut *folder, format!("Subject: {number}\n\n").as_bytes(), "\\Flagged", None))
        .collect();
    // Gaps in the keys, and messages that are known already.
    folder.remove(&[keys[2].clone(), keys[7].clone()]).expect("removed");
    let mut known = Remembered(BTreeMap::from([(keys[0].clone(), flags("")), (keys[5].clone(), flags(""))]));
    let expected: Vec<Key> =
        keys.iter().enumerate().filter(|(at, _)| ![0, 2, 5, 7].contains(at)).map(|(_, key)| key.clone()).collect();
    drop(folder);
    for most in [1, 3, 100] {
        let (mut after, mut seen, mut rounds) = (None, Vec::new(), 0);
        loop {
            // As the engine does: another opening for each slice, and what was seen is known from then on.
            let slice = open(&mut store, &wire).some_new(after.as_ref(), &known, most).expect("looked");
            let slice = slice.expect("every store that is there can do it");
            assert!(
                slice.appeared.iter().all(|one| after.as_ref().is_none_or(|after| one.key > *after)),
                "{after:?}: {slice:?}"
            );
            seen.extend(slice.appeared.iter().map(|one| (one.key.clone(), one.flags.clone())));
            rounds += 1;
            assert!(rounds < 50, "no end: {seen:?}");
            match slice.reached {
                Some(reached) => {
                    assert!(after.is_none_or(|after| reached > after));
                    after = Some(reached);
                }
                None => break,
            }
        }
        assert!(seen.iter().all(|(_, found)| found.contains(&Flag::from_imap("\\Flagged").expect("a flag"))));
        let mut found: Vec<Key> = seen.iter().map(|(key, _)| key.clone()).collect();
        found.sort();
        assert_eq!(
            found,
            {
                let mut sorted = expected.clone();
                sorted.sort();
                sorted
            },
            "at most {most}"
        );
    }
    // All of it is known: nothing is new.
    known.0.extend(expected.into_iter().map(|key| (key, flags(""))));
    let slice = open(&mut store, &wire).some_new(None, &known, 100).expect("looked").expect("it can");
    assert!(slice.appeared.is_empty() && slice.reached.is_none(), "{slice:?}");
    let there = open(&mut store, &wire).count().expect("counted");
    assert!(there.is_none_or(|there| there == 9), "{there:?}");
}

pub fn nothing_vanishes_with_the_folder(subject: &Subject) {
    let Some(remove_folder) = &subject.remove_folder else { return };
    let (mut store, wire) = subject.folder("Doomed");
    let mut folder = open(&mut store, &wire);
    put(&mut *folder, b"A: b\n\n", "", None);
    let known = all(&mut *folder);
    let cursor = look(&mut *folder, None, &known).cursor;
    remove_folder(&name("Doomed"));
    for since in [None, Some(&cursor)] {
        let error = folder.changes(since, &known).expect_err("the folder is not there");
        assert_eq!((error.kind, error.reach), (Kind::Missing, Reach::Folder), "{error}");
    }
}

pub fn a_folder_opened_for_looking_is_not_changed(subject: &Subject) {
    let (mut store, wire) = subject.folder("Looking");
    let into = store.create(&name("Target")).expect("created").wire;
    let key = put(&mut *open(&mut store, &wire), b"A: b\n\n", "", None);
    let mut folder = store.open(&wire, Access::Read, None).expect("opened");
    assert!(!folder.writable());
    let known = all(&mut *folder);
    assert_eq!(fetch(&mut *folder, std::slice::from_ref(&key)).got.len(), 1);
    let keys = [key.clone()];
    let refused = [
        folder.set_flags(&[change(&key, "\\Seen", "")]).map(|failed| failed.len()),
        folder.remove(&keys).map(|failed| failed.len()),
        folder.move_to(&keys, &into, &[]).map(|told| told.iter().filter(|one| one.is_err()).count()),
    ];
    for answer in refused {
        assert!(!matches!(answer, Ok(0)), "it was done");
    }
    drop(folder);
    let mut folder = open(&mut store, &wire);
    assert!(folder.writable());
    assert_eq!(all(&mut *folder), known);
}

pub fn an_empty_folder_is_empty(subject: &Subject) {
    let (mut store, wire) = subject.folder("Empty");
    let mut folder = open(&mut store, &wire);
    let changes = look(&mut *folder, None, &Remembered::default());
    assert!(changes.appeared.is_empty() && changes.vanished.is_empty() && changes.reflagged.is_empty());
    assert_eq!(changes.count, Some(0));
    assert!(folder.append(Vec::new()).expect("nothing to do").is_empty());
    assert!(folder.identify(&[], Depth::Content).expect("nothing to do").known.is_empty());
    assert!(folder.remove(&[]).expect("nothing to do").is_empty());
    assert!(folder.set_flags(&[]).expect("nothing to do").is_empty());
}
