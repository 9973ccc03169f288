//! The IMAP store: one connection to a server's folders.
//!
//! `session` holds the conversation (login, mailbox commands) with the help of a crate, behind the stream that `facade`
//! shows it; `wire` holds the bulk (listings, downloads, uploads, flags) on the same connection. `conn` owns both.

mod ahead;
mod caps;
mod changes;
mod conn;
mod content;
mod download;
mod ear;
mod edit;
pub mod error;
mod facade;
mod folder;
mod headers;
mod kept;
mod list;
mod login;
pub mod names;
mod question;
mod recall;
mod refusal;
pub mod sasl;
mod select;
mod session;
pub mod token;
mod turn;
mod upload;
mod wire;

/// What the fuzz targets feed: see fuzz/README.md.
#[cfg(fuzzing)]
#[doc(hidden)]
pub use facade::{Bodies, Handle, Line};
pub use refusal::is_about_token;

use crate::mail::{Cursor, FolderName, Login, Noted};
use crate::net::{NetError, Route, Stop, TlsMode, TlsSettings, Transport, WireLog};
use crate::store::{
    Access, Claim, Ear, Folder, FolderInfo, Kind, LOG_IN, Listen, Opener, Reach, Store, StoreError, StoreFacts,
};
use ahead::Ahead;
use conn::{Conn, Opened, during};
use ear::ImapEar;
use edit::Guarded;
use error::ImapError;
use folder::ImapFolder;
use kept::Kept;
use login::{Arrival, NotIn};
use question::Questions;
use recall::Recall;
use sasl::Mechanism;
use std::fmt;
use std::net::IpAddr;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use wire::Command as SentCommand;

/// Gives user and password (or token), asked once a connection, and not at all where the login needs none.
pub type LoginSource = Arc<dyn Fn() -> Result<Login, StoreError> + Send + Sync>;

/// Whether a line is compressed (COMPRESS=DEFLATE, RFC 4978) where the server can do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compress {
    Off,
    /// In the middle of a download, where the line turns out to be slower than a server compresses and much is still to
    /// come. Never on lines within this machine or through tunnels, unless `nearby`.
    Auto {
        nearby: bool,
    },
    /// Right after the login, for a round trip.
    On,
}

impl Default for Compress {
    fn default() -> Self {
        Compress::Auto { nearby: false }
    }
}

/// How to reach a server and talk to it.
#[derive(Clone)]
pub struct ImapSettings {
    pub host: String,
    pub port: u16,
    pub tls: TlsSettings,
    /// Allows [`TlsMode::None`] to hosts that are not this machine.
    pub allow_plaintext: bool,
    /// How `host` is reached.
    pub route: Route,
    /// A command to talk to instead of `host` and `port`: program and arguments. It protects the line, or not.
    pub command: Option<Vec<String>>,
    /// How long nothing may move on the line.
    pub timeout: Duration,
    /// Capabilities to treat as missing, in any case.
    pub disable_capabilities: Vec<String>,
    /// Ways to log in by their names, best first; the strongest that the server has where empty.
    pub auth: Vec<String>,
    /// Who logs in, where that is known before a login is asked for.
    pub user: Option<String>,
    /// Whose mail is wanted, where that is another user's than the one who logs in.
    pub authzid: Option<String>,
    /// Whether the secret is an access token (OAUTHBEARER, XOAUTH2) and no password.
    pub token: bool,
    /// Whether the server is told who we are (ID, RFC 2971).
    pub send_id: bool,
    /// How many commands may be unanswered, 1 or more.
    pub pipeline: usize,
    pub compress: Compress,
    /// Lists subscribed folders only.
    pub subscribed_only: bool,
    /// Nothing may be changed on the server: EXAMINE only, and no command is sent that writes.
    pub read_only: bool,
    /// Takes what is said on the line, secrets and message bodies left out.
    pub wire_log: Option<WireLog>,
    pub login: LoginSource,
}

impl ImapSettings {
    /// The usual settings for a host: TLS on port 993.
    pub fn new(host: impl Into<String>, login: LoginSource) -> ImapSettings {
        let host = host.into();
        let tls = TlsSettings { server_name: host.clone(), ..TlsSettings::default() };
        ImapSettings {
            host,
            port: 993,
            tls,
            allow_plaintext: false,
            route: Route::default(),
            command: None,
            timeout: Duration::from_secs(60),
            disable_capabilities: Vec::new(),
            auth: Vec::new(),
            user: None,
            authzid: None,
            token: false,
            send_id: true,
            pipeline: usize::MAX,
            compress: Compress::default(),
            subscribed_only: false,
            read_only: false,
            wire_log: None,
            login,
        }
    }

    /// Refuses to send a password over a line that others can read.
    fn check(&self) -> Result<(), StoreError> {
        if self.command.is_some() || self.tls.mode != TlsMode::None || self.allow_plaintext || is_loopback(&self.host) {
            return Ok(());
        }
        let cause = format!("the line to {} would not be protected", self.host);
        let hint = "use TLS; or, if the network is trusted, write both tls = \"none\" and allow_plaintext = true";
        Err(StoreError::new(Reach::Account, Kind::Tls, "connect", cause).with_hint(hint))
    }

    fn connect(&self, stop: &Stop) -> Result<Transport, StoreError> {
        let connected = match self.command.as_deref() {
            Some([program, arguments @ ..]) => {
                let mut command = Command::new(program);
                command.args(arguments);
                Transport::tunnel(command, stop)
            }
            Some([]) => {
                let cause = "the tunnel's command is empty";
                return Err(StoreError::new(Reach::Account, Kind::Network, "connect", cause));
            }
            None => self.dial(stop),
        };
        let mut transport = connected.map_err(|error| ImapError::Net(error).into_store(Reach::Account, "connect"))?;
        transport.set_timeout(self.timeout);
        transport.set_log(self.wire_log.clone());
        Ok(transport)
    }
}

impl ImapSettings {
    /// The server's own name; empty behind a tunnel that needs none, where `host` is what the tunnel is called by.
    fn known_host(&self) -> &str {
        if self.command.is_some() { &self.tls.server_name } else { &self.host }
    }

    fn dial(&self, stop: &Stop) -> Result<Transport, NetError> {
        Transport::connect_by(&self.route, (&self.host, self.port), &self.tls, stop, self.timeout)
    }
}

impl fmt::Debug for ImapSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImapSettings").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// Whether a host is this machine by its very name: what a resolver says is not asked.
fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a host is one of Gmail's.
fn is_gmail(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    ["imap.gmail.com", "imap.googlemail.com"].contains(&host.as_str())
}

/// How long a server may take to answer what went along with the login, once it has let us in; then it is taken for one that
/// threw that away.
const ALONG: Duration = Duration::from_secs(10);

/// Makes connections to one server.
pub struct ImapOpener {
    settings: Arc<ImapSettings>,
    stop: Stop,
    guarded: Guarded,
    known: login::Known,
    remembered: Mutex<Remembered>,
    /// A connection on its way.
    begun: Mutex<Option<JoinHandle<Result<Arrival, StoreError>>>>,
    kept: Arc<Kept>,
    ahead: Ahead,
    opened: Opened,
}

/// What is remembered of the server.
#[derive(Default)]
struct Remembered {
    recall: Option<Recall>,
    /// As it was noted in an earlier run.
    noted: Option<Noted>,
    /// Whether a connection was made: later ones have no need of the list.
    connected: bool,
}

impl ImapOpener {
    pub fn new(settings: ImapSettings, stop: Stop) -> ImapOpener {
        let (guarded, known) = (Guarded::default(), login::Known::default());
        let (remembered, begun, kept) = (Mutex::default(), Mutex::default(), Arc::default());
        let (ahead, opened) = (Ahead::default(), Opened::default());
        ImapOpener { settings: Arc::new(settings), stop, guarded, known, remembered, begun, kept, ahead, opened }
    }

    fn arrive(&self) -> Result<Arrival, StoreError> {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner).take();
        match begun.map(JoinHandle::join) {
            Some(Ok(arrived)) => arrived,
            // None was begun, or its thread panicked.
            _ => login::arrive(&self.settings, &self.stop),
        }
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is sent along with a login, and by which mechanism that has to be.
    fn along(&self) -> Option<(Mechanism, Vec<SentCommand>)> {
        let remembered = self.remembered();
        let recall = remembered.recall.as_ref().filter(|recall| !recall.rests())?;
        let mut commands = conn::first_flight(&recall.caps, self.settings.send_id);
        // None of the first flight makes the server work: its answer shows at once whether it was heard.
        if commands.is_empty() || self.settings.compress == Compress::On {
            return None;
        }
        if !remembered.connected {
            commands.extend(list::list_commands(&recall.caps));
        }
        (commands.len() < self.settings.pipeline).then_some((recall.mechanism, commands))
    }

    fn log_in(&self, along: Option<(Mechanism, Vec<SentCommand>)>) -> Result<Conn, NotIn> {
        let logged_in = login::log_in(&self.settings, self.arrive()?, &self.known, along)?;
        let recall = logged_in.recall.clone();
        let (send_id, pipeline) = (self.settings.send_id, self.settings.pipeline.max(1));
        let conn = Conn::new(logged_in, send_id, pipeline, self.opened.clone(), &self.stop);
        let silent = || ImapError::Protocol("the server does not answer what was sent along with the login".to_owned());
        let heard =
            conn.hears(ALONG.min(self.settings.timeout)).and_then(|heard| if heard { Ok(()) } else { Err(silent()) });
        heard.map_err(|error| NotIn { error: error.into_store(Reach::Account, LOG_IN), along: true })?;
        let mut remembered = self.remembered();
        remembered.connected = true;
        remembered.recall = match (remembered.recall.take(), recall) {
            (Some(before), Some(now)) => Some(before.renewed(now)),
            (_, now) => now,
        };
        Ok(conn)
    }

    /// Connects and logs in. What goes along with the login goes along once: where it may be to blame for a failure, all is
    /// done again without, and for some time after.
    pub fn connect(&self) -> Result<ImapStore, StoreError> {
        let mut conn = match self.log_in(self.along()) {
            Err(NotIn { error, along: true }) if error.kind != Kind::Stopped => {
                let resting = self.remembered().recall.take().map(Recall::resting);
                let conn = self.log_in(None).map_err(|failed| failed.error)?;
                let mut remembered = self.remembered();
                remembered.recall = resting.zip(remembered.recall.take()).map(|(resting, now)| resting.renewed(now));
                drop(remembered);
                conn
            }
            result => result.map_err(|failed| failed.error)?,
        };
        conn.set_read_only(self.settings.read_only);
        let subscribed_only = self.settings.subscribed_only;
        Ok(ImapStore {
            conn,
            subscribed_only,
            guarded: self.guarded.clone(),
            at_gmail: is_gmail(&self.settings.host),
            listed_delimiter: false,
            kept: self.kept.clone(),
            ahead: self.ahead.clone(),
        })
    }

    /// The connection that was kept, or a new one.
    fn kept_or_new(&self) -> Result<ImapStore, StoreError> {
        match self.kept.take() {
            Some(store) => Ok(store),
            None => self.connect(),
        }
    }
}

impl Opener for ImapOpener {
    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        Ok(Box::new(self.kept_or_new()?))
    }

    fn keep(&self, on: bool) {
        self.kept.keep(on);
    }

    fn listen(&self, to: &Listen) -> Result<Option<Box<dyn Ear>>, StoreError> {
        if self.kept.is_deaf() {
            return Ok(None);
        }
        let mut store = if to.apart { self.connect()? } else { self.kept_or_new()? };
        store.settle()?;
        match ImapEar::new(store, to, self.kept.clone())? {
            Ok(ear) => Ok(Some(Box::new(ear))),
            Err(store) => {
                Box::new(store).close();
                Ok(None)
            }
        }
    }

    fn recall(&self, noted: Option<&Noted>) {
        let mut remembered = self.remembered();
        remembered.recall = noted.and_then(Recall::read);
        remembered.noted = noted.cloned();
    }

    fn noted(&self) -> Option<Noted> {
        let mut remembered = self.remembered();
        let now = remembered.recall.as_ref().map_or_else(|| Noted(Vec::new()), Recall::write);
        let is_new = now != remembered.noted.clone().unwrap_or_else(|| Noted(Vec::new()));
        is_new.then(|| remembered.noted.insert(now).clone())
    }

    fn begin(&self) {
        self.ahead.begin();
        self.opened.clear();
        if self.kept.has_one() {
            return;
        }
        // A tunnel may log in by itself, and its command must not outlive a run that ends before it is wanted.
        if self.settings.command.is_some() {
            return;
        }
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if begun.is_none() {
            let (settings, stop) = (self.settings.clone(), self.stop.clone());
            let arrive = move || login::arrive(&settings, &stop);
            // Where no thread can be had, `open` does all of it.
            *begun = thread::Builder::new().name("connect".into()).spawn(arrive).ok();
        }
    }

    fn place(&self) -> String {
        self.settings.host.clone()
    }
}

impl Drop for ImapOpener {
    fn drop(&mut self) {
        // It knows where it is kept, and would stay for ever.
        self.kept.keep(false);
    }
}

/// One connection, logged in.
pub struct ImapStore {
    conn: Conn,
    subscribed_only: bool,
    guarded: Guarded,
    /// Whether the host is Gmail's, whatever it says that it can.
    at_gmail: bool,
    /// Whether the delimiter is known for sure: from NAMESPACE, or from a LIST.
    listed_delimiter: bool,
    /// Where the connection goes when it is closed.
    kept: Arc<Kept>,
    ahead: Ahead,
}

impl ImapStore {
    /// Sends the first flight, and asks for the delimiter where NAMESPACE did not tell.
    fn settle(&mut self) -> Result<(), StoreError> {
        self.conn.settle().map_err(during("log in"))?;
        if !self.listed_delimiter && self.conn.setup().naming.delimiter.is_none() {
            let delimiter = list::delimiter(&mut self.conn).map_err(during("list"))?;
            self.conn.setup_mut().naming.delimiter = delimiter;
        }
        self.listed_delimiter = true;
        Ok(())
    }

    /// Makes folders, looks at what came of it, and subscribes to them: three flights, each as long as the server lets it be.
    fn make(&mut self, wires: &[&[u8]]) -> Result<Vec<Result<FolderInfo, StoreError>>, StoreError> {
        let created = self.conn.with_each("CREATE", wires).map_err(during("create"))?;
        let listed = list::some(&mut self.conn, wires).map_err(during("list"))?;
        let of = |(created, listed): (Result<(), ImapError>, Result<Option<FolderInfo>, ImapError>)| {
            // It may be there already, whatever the code of a refusal: the list decides.
            let found = listed.map_err(during("list"))?.filter(|info| created.is_ok() || info.selectable);
            match (found, created) {
                (Some(info), created) => Ok(FolderInfo { messages: created.is_ok().then_some(0), ..info }),
                (None, Err(refused)) => Err(during("create")(refused)),
                (None, Ok(())) => Err(unlisted("create")),
            }
        };
        let mut made: Vec<Result<FolderInfo, StoreError>> = created.into_iter().zip(listed).map(of).collect();
        let there: Vec<Vec<u8>> = made.iter().flatten().map(|info| info.wire.clone()).collect();
        let there: Vec<&[u8]> = there.iter().map(Vec::as_slice).collect();
        let subscribed = self.conn.with_each("SUBSCRIBE", &there).map_err(during("subscribe"))?;
        for (info, subscribed) in made.iter_mut().flatten().zip(subscribed) {
            // The folder is there; a subscription is a courtesy.
            info.subscribed = subscribed.is_ok().then_some(true);
        }
        Ok(made)
    }

    /// The listed folder that has this name.
    fn find(&mut self, wire: &[u8]) -> Result<Option<FolderInfo>, StoreError> {
        list::one(&mut self.conn, wire).map_err(during("list"))
    }
}

fn unlisted(action: &str) -> StoreError {
    StoreError::new(Reach::Folder, Kind::Protocol, action, "the server said OK, and does not list the folder")
}

impl Store for ImapStore {
    fn facts(&mut self) -> Result<StoreFacts, StoreError> {
        self.settle()?;
        let setup = self.conn.setup();
        Ok(StoreFacts {
            software: setup.software.clone(),
            uses: self.conn.caps().uses(),
            delimiter: setup.naming.delimiter.map(|delimiter| char::from(delimiter).to_string()),
            namespace: Some(names::decode(&setup.naming.prefix)).filter(|prefix| !prefix.is_empty()),
            transport: Some(self.conn.protection()),
        })
    }

    /// UIDVALIDITY tells one folder from another: a server needs no mark.
    fn claim(&mut self, _: &str) -> Result<Claim, StoreError> {
        Ok(Claim::Ours)
    }

    fn mark(&mut self, _: &str, _: u64) -> Result<(), StoreError> {
        Ok(())
    }

    fn advance(&mut self, _: &str, _: u64) -> Result<(), StoreError> {
        Ok(())
    }

    fn turn(&mut self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    fn list(&mut self) -> Result<Vec<FolderInfo>, StoreError> {
        self.conn.unselect().map_err(during("list"))?;
        let listed = list::all(&mut self.conn, self.subscribed_only).map_err(during("list"))?;
        self.listed_delimiter = true;
        Ok(listed)
    }

    fn begin_to_open(&mut self, wire: &[u8], access: Access, look: Option<(Option<&Cursor>, Option<&Cursor>)>) {
        let ask = |(since, seen)| Questions::worth_asking(&self.conn, &self.ahead, since, seen);
        let commands = look.map(ask).unwrap_or_default().commands(&self.conn);
        select::begin(&mut self.conn, wire, access, &commands);
    }

    fn open(&mut self, wire: &[u8], access: Access, expect: Option<u64>) -> Result<Box<dyn Folder + '_>, StoreError> {
        let shared = (self.guarded.clone(), self.ahead.clone());
        Ok(Box::new(ImapFolder::open(&mut self.conn, wire, access, expect, shared)?))
    }

    fn open_to_look(
        &mut self,
        wire: &[u8],
        access: Access,
        since: Option<&Cursor>,
        seen: Option<&Cursor>,
    ) -> Result<Box<dyn Folder + '_>, StoreError> {
        let shared = (self.guarded.clone(), self.ahead.clone());
        Ok(Box::new(ImapFolder::open_to_look(&mut self.conn, wire, access, (since, seen), shared)?))
    }

    fn another(&mut self) -> Option<Box<dyn Store>> {
        // What fails here fails again, and is told, when the connection is used.
        self.settle().ok()?;
        Some(Box::new(ImapStore {
            conn: self.conn.another()?,
            subscribed_only: self.subscribed_only,
            guarded: self.guarded.clone(),
            at_gmail: self.at_gmail,
            listed_delimiter: self.listed_delimiter,
            kept: self.kept.clone(),
            ahead: self.ahead.clone(),
        }))
    }

    fn is_broken(&self) -> bool {
        self.conn.is_broken()
    }

    fn wire_for(&mut self, name: &FolderName) -> Result<Vec<u8>, StoreError> {
        self.settle()?;
        let refused = |cause| StoreError::new(Reach::Folder, Kind::Refused, "name a folder", cause);
        self.conn.setup().naming.wire_of(name).map_err(refused)
    }

    fn create(&mut self, name: &FolderName) -> Result<FolderInfo, StoreError> {
        let made = self.create_all(std::slice::from_ref(name)).pop();
        made.unwrap_or_else(|| Err(unlisted("create")))
    }

    fn create_all(&mut self, names: &[FolderName]) -> Vec<Result<FolderInfo, StoreError>> {
        let wires: Vec<Result<Vec<u8>, StoreError>> = names.iter().map(|name| self.wire_for(name)).collect();
        let known: Vec<&[u8]> = wires.iter().flatten().map(Vec::as_slice).collect();
        let mut made = match self.make(&known) {
            Ok(made) => made.into_iter(),
            // Whatever was made, the next list tells.
            Err(error) => return names.iter().map(|_| Err(error.clone())).collect(),
        };
        let of = |wire: Result<Vec<u8>, StoreError>| {
            wire.and_then(|_| made.next().unwrap_or_else(|| Err(unlisted("create"))))
        };
        wires.into_iter().map(of).collect()
    }

    fn rename(&mut self, wire: &[u8], to: &FolderName) -> Result<FolderInfo, StoreError> {
        let target = self.wire_for(to)?;
        self.conn.step_out().map_err(during("rename"))?;
        self.conn.rename(wire, &target).map_err(during("rename"))?;
        let info = self.find(&target)?.ok_or_else(|| unlisted("rename"))?;
        // Subscriptions are by name, and stay behind.
        for courtesy in [self.conn.subscribe(&target), self.conn.unsubscribe(wire)] {
            match courtesy {
                Ok(_) | Err(ImapError::Refused { .. }) => {}
                Err(error) => return Err(during("subscribe")(error)),
            }
        }
        Ok(info)
    }

    fn delete(&mut self, wire: &[u8]) -> Result<(), StoreError> {
        let refused = |cause: String| Err(StoreError::new(Reach::Folder, Kind::Refused, "delete", cause));
        self.settle()?;
        self.conn.step_out().map_err(during("delete"))?;
        if !self.find(wire)?.is_some_and(|info| info.selectable) {
            return Ok(());
        }
        match self.conn.count(wire).map_err(during("delete"))? {
            Some(0) => {}
            Some(count) => return refused(format!("it holds {count} messages")),
            None => return refused("the server does not say whether it is empty".to_owned()),
        }
        self.conn.delete(wire).map_err(during("delete"))?;
        match self.conn.unsubscribe(wire) {
            Ok(_) | Err(ImapError::Refused { .. }) => Ok(()),
            Err(error) => Err(during("unsubscribe")(error)),
        }
    }

    fn archives_removed(&mut self) -> Result<bool, StoreError> {
        Ok(self.at_gmail || self.conn.caps().has("X-GM-EXT-1"))
    }

    fn close(self: Box<Self>) {
        self.ahead.clear();
        if let Some(store) = self.kept.clone().put(*self) {
            store.conn.log_out();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gmail_is_known_by_its_name() {
        assert!(is_gmail("imap.gmail.com") && is_gmail("IMAP.GoogleMail.com."));
        assert!(!is_gmail("imap.example.org") && !is_gmail("imap.gmail.com.example.org"));
    }

    #[test]
    fn plain_text_goes_to_this_machine_only_unless_allowed() {
        let login: LoginSource = Arc::new(|| Err(StoreError::stopped()));
        let mut settings = ImapSettings::new("imap.example.org", login);
        assert!(settings.check().is_ok());
        settings.tls.mode = TlsMode::None;
        let error = settings.check().expect_err("refused");
        let hint = error.hint.expect("a hint");
        assert!(hint.contains("tls = \"none\"") && hint.contains("allow_plaintext = true"), "{hint}");
        for host in ["localhost", "127.0.0.1", "127.8.8.8", "::1", "[::1]"] {
            settings.host = host.to_owned();
            assert!(settings.check().is_ok(), "{host}");
        }
        for host in ["localhost.example.org", "10.0.0.1", "127.0.0.1.example.org"] {
            settings.host = host.to_owned();
            assert!(settings.check().is_err(), "{host}");
        }
        settings.allow_plaintext = true;
        assert!(settings.check().is_ok());
    }
}
