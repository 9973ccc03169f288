//! A store on a scripted server, and what the tests ask of it.

use crate::support::Script;
use mailsync::mail::{Changes, Cursor, Flag, Flags, Key, Login, Secret};
use mailsync::net::{Stop, TlsMode};
use mailsync::store::imap::{ImapOpener, ImapSettings, ImapStore};
use mailsync::store::{Access, Draft, Fetched, Folder, Known, Mark, Outgoing, Receive, Store, StoreError};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

pub fn settings(port: u16) -> ImapSettings {
    let login = || Ok(Login { user: "me".into(), password: Secret::new("secret") });
    let mut settings = ImapSettings::new("127.0.0.1", Arc::new(login));
    settings.port = port;
    settings.tls.mode = TlsMode::None;
    settings.timeout = Duration::from_secs(10);
    settings
}

/// Plays a script that begins behind the login; the server has these capabilities beside IMAP4rev1.
pub fn play(capabilities: &str, script: &str) -> Script {
    let start = format!(
        "S: * OK [CAPABILITY IMAP4rev1 {capabilities}] hello
         C: T LOGIN \"me\" \"secret\"
         S: T OK [CAPABILITY IMAP4rev1 {capabilities}] in\n"
    );
    Script::play(&[&(start + script)])
}

pub fn connect(script: &Script) -> ImapStore {
    ImapOpener::new(settings(script.port), Stop::new()).connect().expect("connected")
}

/// The steps of a SELECT; `more` are further steps before its end.
pub fn select(exists: u32, more: &str) -> String {
    format!(
        "C: T SELECT \"INBOX\"*
         S: * FLAGS (\\Seen \\Deleted)
         S: * {exists} EXISTS
         S: * OK [UIDVALIDITY 7] ok
         S: * OK [UIDNEXT 100] ok
         {more}
         S: T OK [READ-WRITE] done\n"
    )
}

pub fn inbox(store: &mut dyn Store) -> Box<dyn Folder + '_> {
    store.open(b"INBOX", Access::Write, None).expect("opened")
}

pub fn flags(names: &str) -> Flags {
    names.split_whitespace().filter_map(Flag::from_imap).collect()
}

pub fn uids(list: &[u32]) -> Vec<Key> {
    list.iter().map(|uid| Key::Uid(*uid)).collect()
}

/// What a folder is known to hold.
#[derive(Default)]
pub struct Remembered(pub BTreeMap<Key, Flags>);

impl Remembered {
    /// These UIDs, without flags.
    pub fn plain(uids: &[u32]) -> Remembered {
        Remembered(uids.iter().map(|uid| (Key::Uid(*uid), Flags::new())).collect())
    }
}

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

/// A cursor of UIDVALIDITY 7.
pub fn cursor(uidnext: u32, modseq: u64, count: u32) -> Cursor {
    Cursor { generation: 7, mark: format!("uidnext={uidnext} modseq={modseq} count={count}"), conclusive: modseq > 0 }
}

/// Selects INBOX and looks for changes.
pub fn look(script: &Script, since: Option<&Cursor>, known: &Remembered) -> Changes {
    let mut store = connect(script);
    inbox(&mut store).changes(since, known).expect("looked")
}

/// Takes messages and keeps their content.
#[derive(Default)]
pub struct Basket {
    pub email_ids: Vec<String>,
    pub got: BTreeMap<Key, Vec<u8>>,
    pub failed: BTreeMap<Key, StoreError>,
}

impl Receive for Basket {
    fn draft(&mut self) -> Result<Draft, StoreError> {
        Ok(Draft::new(tempfile::tempfile().expect("a file"), None))
    }
    fn message(&mut self, mut fetched: Fetched) -> Result<(), StoreError> {
        let mut bytes = Vec::new();
        fetched.body.reader().expect("a reader").read_to_end(&mut bytes).expect("read");
        self.email_ids.extend(fetched.email_id);
        assert!(self.got.insert(fetched.key, bytes).is_none(), "a message came twice");
        Ok(())
    }
    fn failed(&mut self, key: Key, error: StoreError) -> Result<(), StoreError> {
        self.failed.insert(key, error);
        Ok(())
    }
}

/// Selects INBOX and downloads.
pub fn fetch(script: &Script, list: &[u32]) -> Basket {
    let mut store = connect(script);
    let mut basket = Basket::default();
    inbox(&mut store).fetch(&uids(list), &mut basket).expect("fetched");
    basket
}

pub fn outgoing(content: &[u8], names: &str) -> Outgoing {
    let mut body = Draft::new(tempfile::tempfile().expect("a file"), None);
    body.write(content).expect("written");
    Outgoing { mark: Mark::NotBelow(Key::Uid(1)), flags: flags(names), date: Some(1_000_000_000), body }
}
