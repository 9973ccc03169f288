//! Looking at a big Maildir.

use crate::sampler::Sampler;
use crate::support::world::scratch;
use mailsync::mail::{Changes, Flags, Key};
use mailsync::store::maildir::{MaildirOpener, MaildirSettings};
use mailsync::store::{Access, Known, NothingKnown, Opener, Store, StoreError};
use std::collections::BTreeMap;
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
    let known = All(appeared.into_iter().map(|message| (message.key, message.flags)).collect());
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

/// Everything is known, as the state would have it.
struct All(BTreeMap<Key, Flags>);

impl Known for All {
    fn get(&self, key: &Key) -> Result<Option<Flags>, StoreError> {
        Ok(self.0.get(key).cloned())
    }

    fn count(&self) -> Result<u64, StoreError> {
        Ok(self.0.len() as u64)
    }

    fn all(&self) -> Result<Vec<(Key, Flags)>, StoreError> {
        Ok(self.0.iter().map(|(key, flags)| (key.clone(), flags.clone())).collect())
    }
}
