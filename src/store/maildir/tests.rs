//! What a Maildir does beyond the contract of every store: where files stand, and what other programs do to them.

use super::*;
use crate::mail::{Changes, Flag, FlagDelta, Flags, Key};
use crate::store::{Draft, Fetched, Known, Mark, Outgoing, Receive, Tally};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[derive(Default)]
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
    fn tally(&self) -> Result<Option<Box<dyn Tally + '_>>, StoreError> {
        let mut counted = Counted::default();
        self.0.iter().for_each(|(key, flags)| counted.add(key.name().expect("a name"), flags));
        Ok(Some(Box::new(counted)))
    }
}

/// The same without a tally.
struct Uncounted<'a>(&'a Remembered);

impl Known for Uncounted<'_> {
    fn get(&self, key: &Key) -> Result<Option<Flags>, StoreError> {
        self.0.get(key)
    }
    fn count(&self) -> Result<u64, StoreError> {
        self.0.count()
    }
    fn after(&self, after: Option<&Key>, count: usize) -> Result<Vec<(Key, Flags)>, StoreError> {
        self.0.after(after, count)
    }
}

/// A tally that forgets nothing: how often each name stands there with each set of flags. A part is a last letter.
#[derive(Default)]
struct Counted(BTreeMap<(Vec<u8>, String), i64>);

impl Counted {
    fn change(&mut self, name: &[u8], flags: &Flags, by: i64) {
        let key = (name.to_vec(), flags.to_string());
        *self.0.entry(key.clone()).or_default() += by;
        self.0.retain(|other, count| *other != key || *count != 0);
    }
}

impl Tally for Counted {
    fn part(&self, name: &[u8]) -> usize {
        usize::from(name.last().copied().unwrap_or_default())
    }
    fn take(&mut self, name: &[u8], flags: &Flags) {
        self.change(name, flags, -1);
    }
    fn add(&mut self, name: &[u8], flags: &Flags) {
        self.change(name, flags, 1);
    }
    fn remaining(&self) -> Vec<bool> {
        let mut parts = vec![false; 256];
        self.0.keys().for_each(|(name, _)| parts[self.part(name)] = true);
        parts
    }
}

struct Place {
    _keep: tempfile::TempDir,
    root: PathBuf,
    store: Box<dyn Store>,
}

fn place(layout: Layout) -> Place {
    let keep = tempfile::tempdir().expect("a directory");
    let root = keep.path().join("a/Mail");
    let mut store =
        MaildirOpener::new(MaildirSettings { layout, ..MaildirSettings::new(&root) }).open().expect("opened");
    store.mark("me", 1).expect("marked");
    Place { _keep: keep, root, store }
}

impl Place {
    fn make(&mut self, name: &str) -> PathBuf {
        let info = self.store.create(&FolderName::parse(name).expect("a name")).expect("created");
        path_of(&self.root, &info.wire)
    }

    fn open(&mut self, wire: &str) -> Box<dyn Folder + '_> {
        self.store.open(wire.as_bytes(), Access::Write, None).expect("opened")
    }

    /// The listing in words: a container in brackets, what has a problem with a question mark.
    fn listed(&mut self) -> Vec<String> {
        let show = |info: FolderInfo| match (&info.problem, info.selectable) {
            (Some(_), _) => format!("{}?", info.name),
            (None, true) => info.name.to_string(),
            (None, false) => format!("[{}]", info.name),
        };
        self.store.list().expect("listed").into_iter().map(show).collect()
    }
}

fn key(name: &str) -> Key {
    Key::Name(name.as_bytes().into())
}

fn flags(names: &str) -> Flags {
    names.split_whitespace().filter_map(Flag::from_imap).collect()
}

fn set(folder: &mut dyn Folder, name: &str, add: &str, remove: &str) {
    let delta = FlagDelta { add: flags(add), remove: flags(remove) };
    assert!(folder.set_flags(&[(key(name), delta)]).expect("set").is_empty());
}

fn look(folder: &mut dyn Folder, known: &Remembered) -> Changes {
    folder.changes(None, known).expect("looked")
}

fn known_now(folder: &mut dyn Folder) -> Remembered {
    let changes = look(folder, &Remembered::default());
    Remembered(changes.appeared.into_iter().map(|a| (a.key, a.flags)).collect())
}

fn outgoing(folder: &mut dyn Folder, name: &str, names: &str) -> Outgoing {
    let mut body = folder.drafter().draft().expect("a draft");
    body.write(name.as_bytes()).expect("written");
    Outgoing { mark: Mark::Exact(key(name)), flags: flags(names), date: Some(86_400), body }
}

fn files(dir: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for sub in SUBS {
        for entry in fs::read_dir(dir.join(sub)).expect("listed") {
            files.push(format!("{sub}/{}", entry.expect("an entry").file_name().to_string_lossy()));
        }
    }
    files.sort();
    files
}

#[test]
fn unseen_mail_goes_to_new_and_seen_mail_to_cur_for_the_owner_alone() {
    let mut place = place(Layout::Nested);
    let dir = place.make("Deep/Down");
    let mut folder = place.open("Deep/Down");
    let batch = [("a", ""), ("b", "\\Flagged"), ("c", "\\Seen \\Answered")].map(|(n, f)| outgoing(&mut *folder, n, f));
    folder
        .append(batch.into_iter().collect())
        .expect("appended")
        .into_iter()
        .for_each(|told| drop(told.expect("stored")));
    assert_eq!(files(&dir), ["cur/c:2,RS", "new/a", "new/b:2,F"]);
    let meta = fs::metadata(dir.join("new/a")).expect("there");
    assert_eq!((meta.mode() & 0o777, meta.mtime(), meta.mtime_nsec()), (0o600, 86_400, 0));
    drop(folder);
    for made in ["", "Deep", "Deep/Down", "Deep/Down/cur", "Deep/Down/new", "Deep/Down/tmp"] {
        assert_eq!(fs::metadata(place.root.join(made)).expect("there").mode() & 0o777, 0o700, "{made}");
    }
}

#[test]
fn only_seeing_a_message_moves_it_and_never_back() {
    let mut place = place(Layout::Nested);
    let dir = place.make("A");
    fs::write(dir.join("new/m,U=4,FMD5=x"), "m").expect("written");
    let mut folder = place.open("A");
    set(&mut *folder, "m,U=4,FMD5=x", "\\Flagged", "");
    assert_eq!(files(&dir), ["new/m,U=4,FMD5=x:2,F"]);
    set(&mut *folder, "m,U=4,FMD5=x", "\\Seen", "");
    assert_eq!(files(&dir), ["cur/m,U=4,FMD5=x:2,FS"]);
    set(&mut *folder, "m,U=4,FMD5=x", "", "\\Seen \\Flagged");
    assert_eq!(files(&dir), ["cur/m,U=4,FMD5=x:2,"]);
}

#[test]
fn letters_without_a_name_are_kept_and_never_given_away() {
    let mut place = place(Layout::Nested);
    let dir = place.make("A");
    fs::write(dir.join("cur/m:2,QSac,x"), "m").expect("written");
    fs::write(dir.join("dovecot-keywords"), "2 named\n").expect("written");
    let mut folder = place.open("A");
    set(&mut *folder, "m", "\\Flagged fresh", "named");
    assert_eq!(files(&dir), ["cur/m:2,FQSab,x"]);
    assert_eq!(fs::read_to_string(dir.join("dovecot-keywords")).expect("read"), "1 fresh\n2 named\n");
    assert_eq!(known_now(&mut *folder).0[&key("m")], flags("\\Seen \\Flagged fresh"));
}

#[test]
fn a_message_that_another_program_renamed_is_found_again() {
    let mut place = place(Layout::Nested);
    let dir = place.make("A");
    let mut folder = place.open("A");
    for name in ["one", "two", "three"] {
        fs::write(dir.join("new").join(name), name).expect("written");
    }
    assert_eq!(known_now(&mut *folder).0.len(), 3);
    for name in ["one", "two", "three"] {
        fs::rename(dir.join("new").join(name), dir.join(format!("cur/{name}:2,R"))).expect("renamed");
    }
    set(&mut *folder, "one", "\\Seen", "");
    assert!(folder.remove(&[key("two")]).expect("removed").is_empty());
    assert_eq!(folder.identify(&[key("three")], crate::store::Depth::Content).expect("read").known.len(), 1);
    assert_eq!(files(&dir), ["cur/one:2,RS", "cur/three:2,R"]);
}

/// The hash of one message.
fn hash(folder: &mut dyn Folder, name: &str) -> [u8; 32] {
    let identified = folder.identify(&[key(name)], crate::store::Depth::Header).expect("read");
    identified.known[0].1.hash.expect("a hash")
}

#[test]
fn what_was_seen_is_handed_on_and_what_changed_since_is_seen() {
    let mut place = place(Layout::Nested);
    let dir = place.make("A");
    for name in ["moved", "gone", "edited", "same"] {
        fs::write(dir.join("cur").join(name), name).expect("written");
    }
    // What changed just now is measured anew each time, so that the rest of this would show nothing.
    std::thread::sleep(Duration::from_millis(2_100));
    let mut folder = place.open("A");
    assert_eq!(known_now(&mut *folder).0.len(), 4);
    let (edited, same) = (hash(&mut *folder, "edited"), hash(&mut *folder, "same"));
    drop(folder);
    fs::rename(dir.join("cur/moved"), dir.join("cur/moved:2,R")).expect("renamed");
    fs::remove_file(dir.join("cur/gone")).expect("removed");
    fs::write(dir.join("cur/edited"), "EDITED").expect("written");
    fs::write(dir.join("new/late"), "late").expect("written");
    let mut folder = place.open("A");
    set(&mut *folder, "moved", "\\Seen", "");
    assert!(folder.identify(&[key("gone")], crate::store::Depth::Header).expect("read").known.is_empty());
    assert_ne!(hash(&mut *folder, "edited"), edited);
    assert_eq!(hash(&mut *folder, "same"), same);
    assert!(folder.remove(&[key("late")]).expect("removed").is_empty());
    drop(folder);
    // What was taken for gone once is looked for again.
    fs::write(dir.join("new/gone"), "back").expect("written");
    assert!(place.open("A").remove(&[key("gone")]).expect("removed").is_empty());
    assert_eq!(files(&dir), ["cur/edited", "cur/moved:2,RS", "cur/same"]);
}

#[test]
fn what_is_expected_is_found_along_with_what_is_asked_for_first() {
    let mut place = place(Layout::Nested);
    let dir = place.make("A");
    for name in ["one", "two", "three"] {
        fs::write(dir.join("cur").join(name), name).expect("written");
    }
    let mut folder = place.open("A");
    folder.expect(&[key("two"), key("never")]);
    set(&mut *folder, "one", "\\Seen", "");
    // It was found before this: under its new name it has to be looked for.
    fs::rename(dir.join("cur/two"), dir.join("cur/two:2,R")).expect("renamed");
    set(&mut *folder, "two", "\\Seen", "");
    set(&mut *folder, "three", "\\Seen", "");
    set(&mut *folder, "never", "\\Seen", "");
    assert_eq!(files(&dir), ["cur/one:2,S", "cur/three:2,S", "cur/two:2,RS"]);
}

#[test]
fn nothing_is_ever_replaced() {
    let mut place = place(Layout::Nested);
    let dir = place.make("A");
    for (file, content) in [("new/a", "mine"), ("cur/b:2,S", "mine too"), ("cur/c:2,", "old"), ("cur/c:2,S", "new")] {
        fs::write(dir.join(file), content).expect("written");
    }
    let mut folder = place.open("A");
    let batch =
        vec![outgoing(&mut *folder, "a", ""), outgoing(&mut *folder, "b", "\\Seen"), outgoing(&mut *folder, "d", "")];
    let told = folder.append(batch).expect("appended");
    assert!(told[0].is_err() && told[1].is_err() && told[2].is_ok());
    let delta = FlagDelta { add: flags("\\Seen"), remove: Flags::new() };
    assert_eq!(folder.set_flags(&[(key("c"), delta)]).expect("set").len(), usize::from(first_is(&dir, "cur/c:2,")));
    assert_eq!(fs::read_to_string(dir.join("new/a")).expect("read"), "mine");
    assert_eq!(fs::read_to_string(dir.join("cur/c:2,S")).expect("read"), "new");
    drop(folder);
    assert_eq!(files(&dir), ["cur/b:2,S", "cur/c:2,", "cur/c:2,S", "new/a", "new/d"], "drafts are swept");
}

/// Whether this file is the one that has the key for itself.
fn first_is(dir: &Path, file: &str) -> bool {
    let inode = |file: &str| fs::metadata(dir.join(file)).expect("there").ino();
    inode(file) == inode("cur/c:2,").min(inode("cur/c:2,S"))
}

#[test]
fn a_message_in_two_files_is_removed_from_both() {
    let mut place = place(Layout::Nested);
    let dir = place.make("A");
    fs::write(dir.join("cur/m:2,S"), "m").expect("written");
    fs::hard_link(dir.join("cur/m:2,S"), dir.join("new/m")).expect("linked");
    let mut folder = place.open("A");
    assert_eq!(known_now(&mut *folder).0[&key("m")], flags("\\Seen"));
    folder.remove(&[key("m")]).expect("removed");
    assert!(files(&dir).is_empty());
}

#[test]
fn a_moved_message_keeps_its_keywords_under_other_letters() {
    let mut place = place(Layout::MaildirPlusPlus);
    let (from, into) = (place.make("A"), place.make("B/C"));
    fs::write(from.join("dovecot-keywords"), "0 work\n3 play\n").expect("written");
    fs::write(into.join("dovecot-keywords"), "0 other\n7 play\n").expect("written");
    fs::write(from.join("new/m:2,Fad"), "m").expect("written");
    let mut folder = place.open(".A");
    let told = folder.move_to(&[key("m")], b".B.C", &[Mark::Exact(key("n"))]).expect("moved");
    assert_eq!(told[0].as_ref().expect("moved"), &Some(key("n")));
    assert_eq!(files(&into), ["new/n:2,Fbh"]);
    assert!(files(&from).is_empty());
    drop(folder);
    assert_eq!(known_now(&mut *place.open(".B.C")).0[&key("n")], flags("\\Flagged work play"));
}

#[test]
fn a_move_into_a_folder_that_is_not_there_leaves_the_message() {
    let mut place = place(Layout::Nested);
    let dir = place.make("A");
    fs::write(dir.join("new/m"), "m").expect("written");
    for into in [&b"B"[..], b"../A", b""] {
        let error = place.open("A").move_to(&[key("m")], into, &[]).expect_err("no such folder");
        assert_eq!((error.kind, error.reach), (Kind::Missing, Reach::Folder));
    }
    assert_eq!(files(&dir), ["new/m"]);
}

#[derive(Default)]
struct Basket(Vec<Key>, Vec<Key>);

impl Receive for Basket {
    fn draft(&mut self) -> Result<Draft, StoreError> {
        unreachable!("a file is handed on as it is")
    }
    fn message(&mut self, fetched: Fetched) -> Result<(), StoreError> {
        self.0.push(fetched.key);
        Ok(())
    }
    fn failed(&mut self, key: Key, _: StoreError) -> Result<(), StoreError> {
        self.1.push(key);
        Ok(())
    }
}

#[test]
fn what_can_not_be_read_neither_vanishes_nor_stops_the_others() {
    let mut place = place(Layout::Nested);
    let dir = place.make("A");
    for name in ["good", "link", "pipe", "dir"] {
        fs::write(dir.join("cur").join(name), name).expect("written");
    }
    let mut folder = place.open("A");
    let known = known_now(&mut *folder);
    assert_eq!(known.0.len(), 4);
    for name in ["link", "pipe", "dir"] {
        fs::remove_file(dir.join("cur").join(name)).expect("removed");
    }
    symlink("/etc/passwd", dir.join("cur/link")).expect("linked");
    fs::create_dir(dir.join("cur/dir")).expect("made");
    rustix::fs::mknodat(rustix::fs::CWD, dir.join("cur/pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .expect("made");
    let changes = look(&mut *folder, &known);
    assert!(changes.vanished.is_empty() && changes.appeared.is_empty() && changes.notes.len() == 3, "{changes:?}");
    let mut basket = Basket::default();
    let keys: Vec<Key> = known.0.keys().cloned().collect();
    folder.fetch(&keys, &mut basket).expect("fetched");
    assert_eq!((basket.0, basket.1), (vec![key("good")], vec![key("dir"), key("link"), key("pipe")]));
}

#[test]
fn what_a_crash_left_in_tmp_is_swept_when_it_is_old() {
    let mut place = place(Layout::Nested);
    let dir = place.make("A");
    fs::write(dir.join("tmp/fresh.mailsync"), "").expect("written");
    let old = fs::File::create(dir.join("tmp/dated.mailsync")).expect("made");
    old.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1)).expect("dated");
    drop(place.open("A"));
    assert_eq!(files(&dir), ["tmp/dated.mailsync", "tmp/fresh.mailsync"], "a draft may bear its message's date");
}

#[test]
fn the_listing_tells_folders_from_what_only_looks_like_one() {
    let mut place = place(Layout::Nested);
    let dir = place.make("Box/Inner/Most");
    place.make("INBOX");
    let root = place.root.clone();
    fs::create_dir_all(root.join("attachments/x")).expect("made");
    fs::create_dir_all(root.join(".notmuch/cur")).expect("made");
    fs::create_dir_all(root.join("%41/cur")).expect("made");
    fs::create_dir_all(root.join(OsStr::from_bytes(b"bad\xff/cur"))).expect("made");
    fs::create_dir_all(root.join("half/new")).expect("made");
    fs::write(root.join("file"), "").expect("written");
    symlink("/nowhere/at/all", root.join("dangling")).expect("linked");
    symlink(&root, dir.join("loop")).expect("linked");
    symlink(&dir, root.join("alias")).expect("linked");
    let outside = tempfile::tempdir().expect("a directory");
    fs::create_dir_all(outside.path().join("sub/cur")).expect("made");
    fs::create_dir_all(outside.path().join("cur")).expect("made");
    symlink(outside.path(), root.join("elsewhere")).expect("linked");
    let listed = place.listed();
    let bad = "bad\u{fffd}?";
    assert_eq!(
        listed,
        [
            "%41?",
            "[Box]",
            "[Box/Inner]",
            "Box/Inner/Most",
            "INBOX",
            "alias?",
            bad,
            "dangling?",
            "elsewhere",
            "elsewhere/sub"
        ]
    );
}

#[test]
fn maildir_plus_plus_and_flat_trees_are_listed_by_their_separators() {
    let mut plus = place(Layout::MaildirPlusPlus);
    for name in ["INBOX", "A/B", "v1.2", "INBOX/Sub"] {
        plus.make(name);
    }
    assert!(plus.root.join(".A.B/cur").is_dir() && plus.root.join("cur").is_dir() && !plus.root.join(".A").exists());
    fs::create_dir(plus.root.join(".noise")).expect("made");
    assert_eq!(plus.listed(), ["INBOX", "A/B", "INBOX/Sub", "v1.2"]);
    let mut flat = place(Layout::Flat('+'));
    for name in ["INBOX", "A/B", "c++"] {
        flat.make(name);
    }
    assert!(flat.root.join("A+B/cur").is_dir() && flat.root.join("c%2B%2B").is_dir());
    assert_eq!(flat.listed(), ["A/B", "INBOX", "c++"]);
}

#[test]
fn an_interrupted_rename_can_be_done_again() {
    let mut place = place(Layout::Nested);
    let dir = place.make("A");
    place.make("A/Inside");
    fs::write(dir.join("cur/m:2,a"), "m").expect("written");
    fs::write(dir.join("dovecot-keywords"), "0 work\n").expect("written");
    // As if it had ended after the first two steps.
    fs::create_dir_all(place.root.join("B")).expect("made");
    fs::rename(dir.join("dovecot-keywords"), place.root.join("B/dovecot-keywords")).expect("renamed");
    fs::rename(dir.join("tmp"), place.root.join("B/tmp")).expect("renamed");
    place.store.rename(b"A", &FolderName::parse("B").expect("a name")).expect("renamed");
    assert_eq!(place.listed(), ["[A]", "A/Inside", "B"]);
    assert_eq!(known_now(&mut *place.open("B")).0[&key("m")], flags("work"));
}

#[test]
fn a_rename_takes_all_mail_along_whatever_is_left_in_its_way() {
    let mut place = place(Layout::Nested);
    let dir = place.make("A");
    fs::write(dir.join("new/m"), "m").expect("written");
    fs::write(dir.join("cur/n:2,a"), "n").expect("written");
    fs::write(dir.join("dovecot-keywords"), "0 work\n").expect("written");
    // What is left of a folder that was taken away half.
    let left = place.root.join("B");
    ["new", "tmp"].iter().for_each(|sub| fs::create_dir_all(left.join(sub)).expect("made"));
    fs::write(left.join("tmp/half"), "h").expect("written");
    fs::write(left.join("new/lost"), "l").expect("written");
    fs::write(left.join("dovecot-keywords"), "0 play\n").expect("written");
    let to = FolderName::parse("B").expect("a name");
    let error = place.store.rename(b"A", &to).expect_err("refused").to_string();
    assert!(error.contains("B/new holds files already"), "{error}");
    assert_eq!(known_now(&mut *place.open("A")).0[&key("n")], flags("work"));
    fs::remove_file(left.join("new/lost")).expect("removed");
    place.store.rename(b"A", &to).expect("renamed");
    assert_eq!(place.listed(), ["B"]);
    let known = known_now(&mut *place.open("B")).0;
    assert_eq!((known.len(), &known[&key("n")]), (2, &flags("work")));
}

#[test]
fn a_folder_can_be_renamed_into_itself_and_out_again() {
    let mut place = place(Layout::Nested);
    let dir = place.make("A");
    fs::write(dir.join("new/m"), "m").expect("written");
    place.store.rename(b"A", &FolderName::parse("A/B").expect("a name")).expect("renamed");
    assert_eq!(place.listed(), ["[A]", "A/B"]);
    place.store.rename(b"A/B", &FolderName::parse("A").expect("a name")).expect("renamed");
    assert_eq!(place.listed(), ["A"]);
    assert_eq!(known_now(&mut *place.open("A")).0.len(), 1);
}

#[test]
fn a_root_that_is_gone_is_neither_listed_nor_made_again() {
    let mut place = place(Layout::Nested);
    place.make("A");
    fs::remove_dir_all(&place.root).expect("removed");
    assert_eq!(place.store.claim("me").expect("asked"), Claim::Missing);
    for error in [
        place.store.list().map(drop).expect_err("gone"),
        place.store.create(&FolderName::inbox()).map(drop).expect_err("gone"),
    ] {
        assert_eq!((error.kind, error.reach), (Kind::Missing, Reach::Account));
    }
    assert!(!place.root.exists());
}

#[test]
fn a_folder_that_another_program_keeps_renaming_loses_nothing() {
    let mut place = place(Layout::Nested);
    let dir = place.make("A");
    for n in 0..300 {
        fs::write(dir.join(format!("new/m{n:03}")), format!("{n}")).expect("written");
    }
    let mut folder = place.open("A");
    let known = known_now(&mut *folder);
    assert_eq!(known.0.len(), 300);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut at: Vec<PathBuf> = (0..300).map(|n| dir.join(format!("new/m{n:03}"))).collect();
            for round in 0.. {
                for (n, path) in at.iter_mut().enumerate() {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let info = [":2,", ":2,S", ":2,FS", ":2,R"][(round + n) % 4];
                    let sub = if (round + n) % 5 == 0 { "new" } else { "cur" };
                    let to = dir.join(format!("{sub}/m{n:03}{info}"));
                    fs::rename(&*path, &to).expect("renamed");
                    *path = to;
                }
            }
        });
        let until = Instant::now() + Duration::from_secs(3);
        let mut looks = 0;
        while Instant::now() < until {
            let changes = look(&mut *folder, &known);
            assert!(changes.vanished.is_empty(), "after {looks} looks: {:?}", changes.vanished);
            assert!(changes.appeared.is_empty(), "after {looks} looks: {:?}", changes.appeared);
            looks += 1;
        }
        stop.store(true, Ordering::Relaxed);
        assert!(looks > 3);
    });
    std::thread::sleep(Duration::from_millis(60));
    fs::remove_file(fs::read_dir(dir.join("cur")).expect("listed").next().expect("one").expect("an entry").path())
        .expect("removed");
    let changes = look(&mut *folder, &known);
    assert!(changes.complete);
    assert_eq!(changes.vanished.len(), 1);
}

#[test]
fn a_folder_is_deleted_with_its_index_files_and_with_nothing_else() {
    for layout in [Layout::Nested, Layout::MaildirPlusPlus, Layout::Flat('.')] {
        let mut place = place(layout);
        let dir = place.make("A/B");
        let wire = wire_for(layout, &FolderName::parse("A/B").expect("a name")).expect("a wire name");
        for name in ["dovecot.index.log", "dovecot-uidlist", "dovecot-keywords"] {
            fs::write(dir.join(name), "0 work\n").expect("written");
        }
        for odd in ["new/1.2.there", "tmp/draft", "notes"] {
            fs::write(dir.join(odd), "x").expect("written");
            let error = place.store.delete(&wire).expect_err("something is in it");
            assert_eq!((error.kind, error.reach), (Kind::Refused, Reach::Folder), "{error}");
            assert!(SUBS.iter().all(|sub| dir.join(sub).is_dir()) && dir.join("dovecot-keywords").exists(), "{odd}");
            fs::remove_file(dir.join(odd)).expect("removed");
        }
        // What a run left that was killed half-way.
        ["tmp", "new"].iter().for_each(|sub| fs::remove_dir(dir.join(sub)).expect("removed"));
        assert!(place.open(std::str::from_utf8(&wire).expect("UTF-8")).writable() && dir.join("new").is_dir());
        place.store.delete(&wire).expect("deleted");
        let left = |path: &Path| path.exists() && path != place.root;
        assert!(!left(&dir) && !dir.parent().is_some_and(left), "{layout:?}");
    }
}

#[test]
fn neither_the_root_nor_a_link_is_deleted() {
    let mut place = place(Layout::MaildirPlusPlus);
    place.make("INBOX");
    assert!(place.store.delete(b".").is_err() && place.root.join("cur").is_dir());
    let elsewhere = place.root.with_file_name("elsewhere");
    for sub in SUBS {
        fs::create_dir_all(elsewhere.join(sub)).expect("made");
    }
    symlink(&elsewhere, place.root.join(".Link")).expect("linked");
    assert!(place.store.delete(b".Link").is_err() && elsewhere.join("cur").is_dir());
}

#[test]
fn what_is_no_message_takes_no_messages_name() {
    let mut place = place(Layout::Nested);
    let dir = place.make("a");
    // Whichever of the two has the lower inode.
    fs::create_dir(dir.join("cur/1.a:2,S")).expect("made");
    fs::write(dir.join("cur/1.a:2,"), "one").expect("written");
    fs::write(dir.join("cur/2.b:2,"), "two").expect("written");
    fs::create_dir(dir.join("cur/2.b:2,S")).expect("made");
    let changes = place.open("a").changes(None, &Remembered::default()).expect("looked");
    let keys: Vec<String> = changes.appeared.iter().map(|appeared| appeared.key.to_string()).collect();
    assert_eq!((keys, changes.count), (vec!["1.a".to_owned(), "2.b".to_owned()], Some(2)));
    assert_eq!(changes.notes.len(), 2, "{:?}", changes.notes);
}

/// Changes in words, without the cursor.
fn told(changes: &Changes) -> String {
    let Changes { appeared, reflagged, vanished, complete, count, notes, .. } = changes;
    format!("{appeared:?} {reflagged:?} {vanished:?} {complete} {count:?} {notes:?}")
}

#[test]
fn what_is_added_up_shows_the_same_as_what_is_compared_one_by_one() {
    let mut place = place(Layout::Nested);
    let dir = place.make("a");
    let mut known = Remembered::default();
    let mut number: u64 = 5;
    let mut below = |most: u64| {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (number >> 33) % most
    };
    for round in 0..80 {
        let files = || -> Vec<PathBuf> {
            let all = ["new", "cur"].iter().flat_map(|sub| fs::read_dir(dir.join(sub)).expect("listed"));
            let mut all: Vec<PathBuf> = all.map(|entry| entry.expect("an entry").path()).collect();
            all.sort();
            all
        };
        for _ in 0..below(5) {
            let sub = if below(3) == 0 { "new" } else { "cur" };
            let name = format!("{}.{}", below(60), ["a", "b", "c", "dd"][below(4) as usize]);
            let info = ["", ":2,", ":2,S", ":2,FS", ":2,Sa"][below(5) as usize];
            let target = dir.join(sub).join(format!("{name}{info}"));
            let files = files();
            let drawn = if files.is_empty() { 0 } else { below(7) };
            match drawn {
                0..=2 if !target.exists() => fs::write(&target, format!("{round} {}", below(3))).expect("written"),
                3 if files[0].is_file() => fs::remove_file(&files[below(files.len() as u64) as usize]).unwrap_or(()),
                4 => {
                    let from = &files[below(files.len() as u64) as usize];
                    let unique =
                        from.file_name().expect("a name").to_string_lossy().split(":2,").next().map(str::to_owned);
                    let to = dir.join("cur").join(format!("{}{info}", unique.expect("a name")));
                    if !to.exists() {
                        fs::rename(from, to).expect("renamed");
                    }
                }
                5 if !target.exists() && below(4) == 0 => fs::create_dir(&target).expect("made"),
                6 if !target.exists() && files[0].is_file() => fs::hard_link(&files[0], &target).expect("linked"),
                _ => {}
            }
        }
        std::thread::sleep(Duration::from_millis(60));
        let changes = {
            let mut folder = place.open("a");
            let one_by_one = folder.changes(None, &Uncounted(&known)).expect("looked");
            let added_up = folder.changes(None, &known).expect("looked");
            assert_eq!(told(&added_up), told(&one_by_one), "round {round}");
            added_up
        };
        // What is told is sometimes forgotten, so that it is told again.
        changes.vanished.iter().filter(|_| below(4) > 0).collect::<Vec<_>>().into_iter().for_each(|key| {
            known.0.remove(key);
        });
        known.0.extend(changes.reflagged.into_iter().filter(|_| below(4) > 0));
        let appeared = changes.appeared.into_iter().filter(|_| below(4) > 0);
        known.0.extend(appeared.map(|appeared| (appeared.key, appeared.flags)));
    }
    assert!(known.0.len() > 20, "the test tests little: {}", known.0.len());
}

/// An empty folder.
pub(super) fn maildir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for sub in SUBS {
        fs::create_dir(dir.path().join(sub)).expect("made");
    }
    dir
}
