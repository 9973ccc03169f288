//! The programs: where they are found, how each is told what to do, and where it puts mail.

use crate::options::Options;
use crate::server::{User, make_dir};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program that synchronises.
#[derive(Clone, Debug)]
pub struct Program {
    /// As in the table.
    pub name: String,
    pub kind: Kind,
    path: PathBuf,
    /// The first number with a dot that it says of itself.
    pub version: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Mailsync,
    Mbsync {
        /// Whether it may use COMPRESS, as it does unless told otherwise.
        compress: bool,
    },
    OfflineImap,
    InterImap,
}

/// One program's place: its user on the server, and its own home.
#[derive(Clone, Debug)]
pub struct Seat {
    pub user: User,
    /// Everything of the program's own: config, state, mail.
    pub home: PathBuf,
    /// For programs that keep IMAP servers in step: the user whose mail, in `home`, is the local side.
    pub local_user: Option<User>,
}

impl Seat {
    /// The root of the local folders.
    pub fn mail(&self) -> PathBuf {
        self.home.join("Mail")
    }
}

/// The programs that are here and asked for, mailsync first.
pub fn found(options: &Options) -> Vec<Program> {
    let mut all = vec![("mailsync".to_owned(), Kind::Mailsync, PathBuf::from(env!("CARGO_BIN_EXE_mailsync")))];
    for (number, path) in options.mailsync.iter().enumerate() {
        let path = path.canonicalize().unwrap_or_else(|err| panic!("--mailsync {}: {err}", path.display()));
        all.push((format!("mailsync {}", number + 2), Kind::Mailsync, path));
    }
    let peers = [
        ("mbsync", "mbsync", Kind::Mbsync { compress: true }),
        ("mbsync nc", "mbsync", Kind::Mbsync { compress: false }),
        ("offlineimap3", "offlineimap", Kind::OfflineImap),
        ("interimap", "interimap", Kind::InterImap),
    ];
    for (name, file, kind) in peers {
        match in_path(file) {
            Some(path) => all.push((name.to_owned(), kind, path)),
            None => eprintln!("peers: {file} is not installed here: {name} is left out"),
        }
    }
    let wanted = all.into_iter().filter(|(name, ..)| options.wants(name));
    let found = wanted.map(|(name, kind, path)| Program { name, kind, version: version(&path), path });
    found.collect()
}

fn in_path(file: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(file)).find(|path| path.is_file())
}

fn version(path: &Path) -> String {
    let out = Command::new(path).arg("--version").output();
    let out = out.unwrap_or_else(|err| panic!("{} --version: {err}", path.display()));
    let text = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
    let number =
        text.split_whitespace().find(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()));
    number.unwrap_or("of unknown version").to_owned()
}

impl Program {
    /// Whether the local side is an IMAP server too.
    pub fn wants_a_local_server(&self) -> bool {
        self.kind == Kind::InterImap
    }

    /// Writes the program's config. `line` is the port behind which the server is, `server` the port without a line.
    pub fn settle(&self, seat: &Seat, line: u16, server: u16) {
        let (user, password) = (&seat.user.name, &seat.user.password);
        let (home, mail) = (seat.home.display(), seat.mail());
        let mail = mail.display();
        match self.kind {
            Kind::Mailsync => write(
                seat,
                ".config/mailsync/config.toml",
                &format!(
                    "[account.main]\n\
                     remote = {{ host = \"127.0.0.1\", port = {line}, user = \"{user}\", password = \"{password}\", tls = \"none\" }}\n\
                     local = {{ path = \"{mail}\" }}\n"
                ),
            ),
            Kind::Mbsync { compress } => {
                make_dir(&seat.mail());
                let tls = if self.version.starts_with("1.4") || self.version.starts_with("1.3") {
                    "SSLType"
                } else {
                    "TLSType"
                };
                let disable = if compress { "" } else { "DisableExtensions COMPRESS=DEFLATE\n" };
                write(
                    seat,
                    ".mbsyncrc",
                    &format!(
                        "IMAPStore remote\nHost 127.0.0.1\nPort {line}\nUser {user}\nPass {password}\n{tls} None\n\
                         AuthMechs LOGIN\nTimeout 120\n{disable}\n\
                         MaildirStore local\nPath {mail}/\nInbox {mail}/INBOX\nSubFolders Verbatim\n\n\
                         Channel main\nFar :remote:\nNear :local:\nPatterns *\nCreate Near\nExpunge Both\n\
                         CopyArrivalDate yes\nSyncState *\n"
                    ),
                );
            }
            Kind::OfflineImap => write(
                seat,
                ".offlineimaprc",
                &format!(
                    "[general]\naccounts = main\nmetadata = {home}/.offlineimap\nui = quiet\n\n\
                     [Account main]\nlocalrepository = local\nremoterepository = remote\n\n\
                     [Repository local]\ntype = Maildir\nlocalfolders = {mail}\nsep = /\n\n\
                     [Repository remote]\ntype = IMAP\nremotehost = 127.0.0.1\nremoteport = {line}\nremoteuser = {user}\n\
                     remotepass = {password}\nssl = no\nstarttls = no\nmaxconnections = 2\n"
                ),
            ),
            Kind::InterImap => {
                let local = seat.local_user.as_ref().expect("it was given a local user");
                write(
                    seat,
                    ".config/interimap/config",
                    &format!(
                        "database = {home}/state.db\n\n\
                         [local]\ntype = imap\nhost = 127.0.0.1\nport = {server}\nSTARTTLS = NO\n\
                         username = {}\npassword = {}\n\n\
                         [remote]\ntype = imap\nhost = 127.0.0.1\nport = {line}\nSTARTTLS = NO\n\
                         username = {user}\npassword = {password}\n",
                        local.name, local.password
                    ),
                );
            }
        }
    }

    /// The command that brings both sides in step.
    pub fn command(&self, seat: &Seat) -> Command {
        let mut command = Command::new(&self.path);
        match self.kind {
            Kind::Mailsync => command.args(["sync", "-q"]),
            Kind::Mbsync { .. } => command.args(["-q", "-c"]).arg(seat.home.join(".mbsyncrc")).arg("main"),
            Kind::OfflineImap => command.args(["-o", "-u", "quiet", "-c"]).arg(seat.home.join(".offlineimaprc")),
            Kind::InterImap => command.args(["--quiet", "--config"]).arg(seat.home.join(".config/interimap/config")),
        };
        let at = |below: &str| seat.home.join(below);
        command.current_dir(&seat.home).env("HOME", &seat.home).env("LC_ALL", "C.UTF-8");
        command.env("XDG_CONFIG_HOME", at(".config")).env("XDG_STATE_HOME", at(".local/state"));
        command.env("XDG_DATA_HOME", at(".local/share")).env("XDG_CACHE_HOME", at(".cache"));
        // Cargo's, in which the loader would look for each library in vain.
        command.env_remove("LD_LIBRARY_PATH");
        command
    }

    /// How the program is used, for the text under the table.
    pub fn told(&self) -> String {
        let how = match self.kind {
            Kind::Mailsync => "default settings",
            Kind::Mbsync { compress: true } => "`CopyArrivalDate yes`, `Expunge Both`, `SyncState *`",
            Kind::Mbsync { compress: false } => "the same, and `DisableExtensions COMPRESS=DEFLATE`",
            Kind::OfflineImap => "`maxconnections = 2`",
            Kind::InterImap => {
                "the local side is another user of the same Dovecot, not behind the line; its CPU is not counted"
            }
        };
        format!("{} {} ({how})", self.name, self.version)
    }
}

fn write(seat: &Seat, name: &str, text: &str) {
    let path = seat.home.join(name);
    fs::create_dir_all(path.parent().expect("a file has a parent")).expect("make directories");
    fs::write(&path, text).expect("write a config");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("close a config that holds a password");
}
