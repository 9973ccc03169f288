//! A private Cyrus IMAP server on loopback, with its own directories, ports and users. Debian's package can't be installed
//! beside Dovecot, so its programs are used from where tests/prepare unpacks them. Works as root (mail then belongs to
//! `nobody`) and as any other user.

use super::dovecot::{free_port, id, is_root, make_certificates, stop, wait_until_it_accepts};
use super::imap::Imap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Who there is: `boss` may read everybody's mail.
const USERS: [&str; 3] = ["alice", "bob", "boss"];

/// A running server. The password of each user is `secret-` and the name.
pub struct Cyrus {
    /// Plain IMAP, with STARTTLS on offer.
    pub port: u16,
    /// IMAP over TLS.
    pub tls_port: u16,
    /// The certificate of the authority that signed the server's; the server's names localhost and 127.0.0.1.
    pub ca_file: PathBuf,
    master: Child,
    _dir: tempfile::TempDir,
}

impl Cyrus {
    /// Starts a server with its own mechanisms, a `/` between folders and no prefix.
    pub fn start() -> Cyrus {
        Cyrus::with("altnamespace: yes\nunixhierarchysep: yes\n", &[])
    }

    /// Starts a server with these further lines of imapd.conf and this in its environment, and waits until it accepts
    /// logins.
    pub fn with(extra: &str, environment: &[(&str, String)]) -> Cyrus {
        let dir = tempfile::Builder::new().prefix("cyrus-").tempdir_in("/tmp").expect("a directory under /tmp");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("open the directory");
        make_certificates(dir.path());
        write_users(dir.path());
        let owner = if is_root() { "nobody".to_owned() } else { id("-un").expect("a user with a name") };
        for _ in 0..5 {
            let (port, tls_port) = (free_port(), free_port());
            let shown = dir.path().display();
            fs::write(dir.path().join("imapd.conf"), imapd_conf(dir.path(), &owner, extra)).expect("write imapd.conf");
            fs::write(dir.path().join("cyrus.conf"), cyrus_conf(dir.path(), port, tls_port)).expect("write cyrus.conf");
            let ca_file = dir.path().join("ca.pem");
            hand_over(dir.path());
            let mut command = Command::new(programs().join("master"));
            command.args(["-D", "-C", &format!("{shown}/imapd.conf"), "-M", &format!("{shown}/cyrus.conf")]);
            command.args(["-p", &format!("{shown}/pid")]).stdin(Stdio::null()).stdout(Stdio::null());
            command.env("LD_LIBRARY_PATH", libraries()).envs(environment.iter().map(|(name, value)| (*name, value)));
            // At its end it ends the whole group.
            command.process_group(0);
            command.stderr(fs::File::create(dir.path().join("stderr")).expect("a file for stderr"));
            let mut master = command.spawn().expect("start Cyrus");
            if wait_until_it_accepts(&mut master, port, tls_port) {
                return Cyrus { port, tls_port, ca_file, master, _dir: dir };
            }
            stop(&mut master);
        }
        panic!("Cyrus does not start: {}", fs::read_to_string(dir.path().join("stderr")).unwrap_or_default());
    }

    /// Logs a client in that is independent of the program under test.
    pub fn login(&self, user: &str) -> Imap {
        Imap::login(self.port, user, &format!("secret-{user}"))
    }
}

impl Drop for Cyrus {
    fn drop(&mut self) {
        stop(&mut self.master);
    }
}

fn unpacked() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/cyrus")
}

/// The directory of the server's programs: unpacked, or installed.
fn programs() -> PathBuf {
    let places = [unpacked().join("usr/lib/cyrus/bin"), PathBuf::from("/usr/lib/cyrus/bin")];
    let found = places.into_iter().find(|place| place.join("imapd").is_file());
    found.expect("unpack cyrus-imapd and cyrus-common: tests/run does it")
}

/// The directories of its libraries, for the loader.
fn libraries() -> String {
    let below = fs::read_dir(unpacked().join("usr/lib")).into_iter().flatten().flatten();
    below.map(|entry| entry.path().display().to_string()).collect::<Vec<_>>().join(":")
}

fn imapd_conf(dir: &Path, owner: &str, extra: &str) -> String {
    let dir = dir.display();
    format!(
        "configdirectory: {dir}/conf\nproc_path: {dir}/proc\nmboxname_lockpath: {dir}/lock\n\
         defaultpartition: default\npartition-default: {dir}/mail\ncyrus_user: {owner}\nservername: localhost\n\
         idlesocket: {dir}/idle\nsyslog_prefix: mailsync-test\nautocreate_quota: 0\nproxyservers: boss\n\
         allowplaintext: yes\nsasl_pwcheck_method: auxprop\nsasl_auxprop_plugin: sasldb\nsasl_sasldb_path: {dir}/sasldb\n\
         tls_server_cert: {dir}/server.pem\ntls_server_key: {dir}/server.key\nskiplist_unsafe: 1\n{extra}"
    )
}

fn cyrus_conf(dir: &Path, port: u16, tls_port: u16) -> String {
    let (dir, programs) = (dir.display(), programs());
    let programs = programs.display();
    format!(
        "START {{\n  recover cmd=\"{programs}/ctl_cyrusdb -C {dir}/imapd.conf -r\"\n}}\n\
         SERVICES {{\n  imap cmd=\"{programs}/imapd -C {dir}/imapd.conf\" listen=\"127.0.0.1:{port}\" prefork=1\n  \
         imaps cmd=\"{programs}/imapd -C {dir}/imapd.conf -s\" listen=\"127.0.0.1:{tls_port}\" prefork=0\n}}\nEVENTS {{\n}}\n"
    )
}

fn write_users(dir: &Path) {
    for user in USERS {
        let mut command = Command::new("saslpasswd2");
        command.args(["-p", "-c", "-u", "localhost", "-f"]).arg(dir.join("sasldb")).arg(user).stdin(Stdio::piped());
        let mut child = command.spawn().expect("install sasl2-bin: tests/run does it");
        let mut input = child.stdin.take().expect("a pipe");
        write!(input, "secret-{user}").expect("tell the password");
        drop(input);
        assert!(child.wait().expect("wait for saslpasswd2").success(), "saslpasswd2 {user}");
    }
}

/// Makes the directories; where the server changes its user, all but the authority's key becomes that user's.
fn hand_over(dir: &Path) {
    for name in ["conf", "conf/socket", "mail", "proc", "lock"] {
        fs::create_dir_all(dir.join(name)).expect("make a directory");
    }
    if is_root() {
        for name in ["", "conf", "conf/socket", "mail", "proc", "lock", "sasldb", "server.key"] {
            chown(dir.join(name), Some(65534), Some(65534)).expect("hand it to nobody");
        }
    }
}
