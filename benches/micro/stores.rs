//! Looking at a big Maildir.

use crate::sampler::Sampler;
use crate::support::world::scratch;
use mailsync::mail::{Appeared, Changes, FolderId, FolderName, Identity, Key, Side, Sides};
use mailsync::state::{Change, State};
use mailsync::store::maildir::{MaildirOpener, MaildirSettings};
use mailsync::store::{Access, Known, NothingKnown, Opener, Store};
use mailsync::sync::known::KnownIn;
use std::fs;

const NAMES: usize = 50_000;

pub fn measure(sampler: &Sampler) {
    let (first, again, unchanged) = (
        "maildir: first scan of 50,000 names",
        "maildir: scan of 50,000 names that are all known",
        "maildir: list of a tree in which nothing changed",
    );
    if ![first, again, unchanged].iter().any(|name| sampler.wants(name)) {
        return;
    }
    let dir = scratch();
    let cur = dir.path().join("Big/cur");
    fs::create_dir_all(&cur).expect("make a Maildir");
    for sub in ["new", "tmp"] {
        fs::create_dir(dir.path().join("Big").join(sub)).expect("make a Maildir");
    }
    for number in 0..NAMES {
        let letters = if number.is_multiple_of(10) { "" } else { "S" };
        fs::write(cur.join(format!("17{number:08}.M{number}P1.host:2,{letters}")), "").expect("make a message");
    }
    let opener = MaildirOpener::new(MaildirSettings::new(dir.path()));
    let mut store = opener.open().expect("open the tree");
    let units = (NAMES as u64, "names");
    sampler.run(first, units, || (), |()| scan(&mut *store, &NothingKnown));
    let appeared = scan(&mut *store, &NothingKnown).appeared;
    let (state, folder) = all_known(appeared);
    let known = KnownIn { state: &state, folder, side: Side::Local };
    sampler.run(again, units, || (), |()| assert!(scan(&mut *store, &known).appeared.is_empty()));
    sampler.run(unchanged, (1, "lists"), || (), |()| store.list().expect("list the tree"));
}

/// Looks at all of the folder.
fn scan(store: &mut dyn Store, known: &dyn Known) -> Changes {
    let mut folder = store.open(b"Big", Access::Write, None).expect("open the folder");
    let changes = folder.changes(None, known).expect("look at the folder");
    assert!(changes.complete && changes.vanished.is_empty());
    changes
}

/// A state that knows everything.
fn all_known(appeared: Vec<Appeared>) -> (State, FolderId) {
    let state = State::in_memory().expect("a state");
    let name = FolderName::parse("Big").expect("a name");
    let wires = Sides::from_fn(|_| b"Big".to_vec());
    let folder = state.add_folder(&wires, &Sides::from_fn(|_| name.clone()), None).expect("a folder");
    let bind = |(number, Appeared { key, flags, .. }): (usize, Appeared)| Change::Bind {
        folder,
        keys: Sides::new(key, Key::Uid(1 + number as u32)),
        flags: Sides::from_fn(|_| flags.clone()),
        identity: Identity::default(),
    };
    state.apply(&appeared.into_iter().enumerate().map(bind).collect::<Vec<_>>()).expect("all of it is known");
    (state, folder)
}
