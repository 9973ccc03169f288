//! A private Dovecot 2.3 on loopback: its own directories, ports, users and certificates, gone when it is dropped.
//! Works as root (mail then belongs to `nobody`) and as any other user.

use super::imap::Imap;
use std::fmt::Write as _;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What is in the server: everything has a useful default.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names and passwords; no colon in either.
    pub users: Vec<(String, String)>,
    /// How mail is kept: `maildir:~/mail:LAYOUT=fs` unless told otherwise, so that names may hold dots.
    pub mail_location: String,
    /// The hierarchy separator.
    pub separator: char,
    /// The prefix of the personal namespace, such as `INBOX.`.
    pub prefix: String,
    /// Replaces what the server says it can: `IMAP4rev1` turns every extension off.
    pub capability: Option<String>,
    /// Whether Drafts, Sent, Junk, Trash and Archive are there with their SPECIAL-USE attributes.
    pub special_use: bool,
    /// Further lines of dovecot.conf.
    pub extra: String,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            users: vec![("alice".into(), "secret-alice".into()), ("bob".into(), "secret-bob".into())],
            mail_location: "maildir:~/mail:LAYOUT=fs".into(),
            separator: '/',
            prefix: String::new(),
            capability: None,
            special_use: false,
            extra: String::new(),
        }
    }
}

/// A running server.
pub struct Dovecot {
    /// Plain IMAP, with STARTTLS on offer.
    pub port: u16,
    /// IMAP over TLS.
    pub tls_port: u16,
    /// The certificate of the authority that signed the server's; the server's names localhost and 127.0.0.1.
    pub ca_file: PathBuf,
    /// Fingerprint of the server's certificate: 64 lower-case hex digits.
    pub sha256: String,
    /// Fingerprint of the server's certificate: 40 lower-case hex digits.
    pub sha1: String,
    options: Options,
    master: Child,
    dir: tempfile::TempDir,
}

impl Dovecot {
    /// Starts a server with the default options: users `alice` and `bob`, every extension.
    pub fn start() -> Dovecot {
        Dovecot::with(Options::default())
    }

    /// Starts a server that says it can do nothing beyond RFC 3501.
    pub fn bare() -> Dovecot {
        Dovecot::with(Options { capability: Some("IMAP4rev1".into()), ..Options::default() })
    }

    /// Starts a server and waits until it accepts logins.
    pub fn with(options: Options) -> Dovecot {
        let program = find_program();
        // Socket names are short by law (108 bytes), so a long TMPDIR can't be used.
        let dir = tempfile::Builder::new().prefix("dovecot-").tempdir_in("/tmp").expect("a directory under /tmp");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("open the directory");
        let (sha256, sha1) = make_certificates(dir.path());
        write_users(dir.path(), &options);
        for _ in 0..5 {
            let (port, tls_port) = (free_port(), free_port());
            let conf = dir.path().join("dovecot.conf");
            fs::write(&conf, config(dir.path(), &options, port, tls_port)).expect("write dovecot.conf");
            let mut master = launch(&program, dir.path());
            if wait_until_it_accepts(&mut master, port, tls_port) {
                let ca_file = dir.path().join("ca.pem");
                return Dovecot { port, tls_port, ca_file, sha256, sha1, options, master, dir };
            }
            stop(&mut master);
        }
        panic!("dovecot does not start:\n{}", log_of(dir.path()));
    }

    /// The password of a user.
    pub fn password(&self, user: &str) -> &str {
        let found = self.options.users.iter().find(|(name, _)| name == user);
        &found.unwrap_or_else(|| panic!("no user {user}")).1
    }

    /// Logs a client in that is independent of the program under test.
    pub fn login(&self, user: &str) -> Imap {
        Imap::login(self.port, user, self.password(user))
    }

    /// The user's home directory on the server.
    pub fn home(&self, user: &str) -> PathBuf {
        self.dir.path().join("home").join(user)
    }

    /// Ends the server, and waits until nobody answers any more; what it holds stays.
    pub fn go_down(&mut self) {
        stop(&mut self.master);
        let end = Instant::now() + Duration::from_secs(30);
        while [self.port, self.tls_port].iter().any(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok()) {
            assert!(Instant::now() < end, "dovecot does not end:\n{}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts the server that went down again, on the same ports.
    pub fn come_up(&mut self) {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            self.master = launch(&find_program(), self.dir.path());
            if wait_until_it_accepts(&mut self.master, self.port, self.tls_port) {
                return;
            }
            // The children of the one before may still have the ports.
            stop(&mut self.master);
            assert!(Instant::now() < end, "dovecot does not start again:\n{}", self.log());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// All that the server logged so far. A process of its own writes that down, a moment after it has happened: what is
    /// asked for is the log that does not grow any more.
    pub fn log(&self) -> String {
        let mut log = log_of(self.dir.path());
        loop {
            thread::sleep(Duration::from_millis(60));
            let now = log_of(self.dir.path());
            if now == log {
                return log;
            }
            log = now;
        }
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(30).collect();
            eprintln!("the end of dovecot's log:");
            tail.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
        stop(&mut self.master);
    }
}

fn find_program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|dir| dir.join("dovecot"))
        .find(|program| program.is_file())
        .expect("install dovecot-imapd: tests/run does it")
}

fn launch(program: &Path, dir: &Path) -> Child {
    Command::new(program)
        .args(["-F", "-c"])
        .arg(dir.join("dovecot.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::from(fs::File::create(dir.join("stderr")).expect("a file for stderr")))
        .spawn()
        .expect("start dovecot")
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind to loopback");
    listener.local_addr().expect("a bound socket has an address").port()
}

pub fn wait_until_it_accepts(master: &mut Child, port: u16, tls_port: u16) -> bool {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        if !matches!(master.try_wait(), Ok(None)) {
            return false;
        }
        if [port, tls_port].iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok()) {
            return true;
        }
        thread::sleep(Duration::from_millis(20));
    }
    false
}

/// Ends the master, whose children end with it. The last of them, which writes the log, takes a second; it isn't
/// waited for.
pub fn stop(master: &mut Child) {
    if let Some(pid) = i32::try_from(master.id()).ok().and_then(rustix::process::Pid::from_raw) {
        // A server that is gone already needs no signal.
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
    }
    let end = Instant::now() + Duration::from_millis(200);
    while Instant::now() < end {
        if !matches!(master.try_wait(), Ok(None)) {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    master.kill().ok();
    master.wait().ok();
}

fn log_of(dir: &Path) -> String {
    ["stderr", "log"].map(|name| fs::read_to_string(dir.join(name)).unwrap_or_default()).concat()
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn write_users(dir: &Path, options: &Options) {
    let mut users = String::new();
    for (name, password) in &options.users {
        writeln!(users, "{name}:{{PLAIN}}{password}").expect("write to a string");
        let home = dir.join("home").join(name);
        fs::create_dir_all(&home).expect("make a home directory");
        if is_root() {
            std::os::unix::fs::chown(&home, Some(65534), Some(65534)).expect("give the home directory to nobody");
        }
    }
    fs::write(dir.join("users"), users).expect("write the users file");
}

fn config(dir: &Path, options: &Options, port: u16, tls_port: u16) -> String {
    let dir = dir.display();
    let name = |id: Result<String, String>| id.unwrap_or_else(|id| format!("#{id}"));
    let (internal, login, group, uid, gid) = if is_root() {
        ("dovecot".into(), "dovenull".into(), "dovecot".into(), 65534, 65534)
    } else {
        let (user, group) = (name(id("-un")), name(id("-gn")));
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        (user.clone(), user, group, uid, gid)
    };
    let capability = options.capability.as_ref().map(|words| format!("imap_capability = {words}")).unwrap_or_default();
    let special = if options.special_use { special_use() } else { String::new() };
    let chroots: String = ["anvil", "imap-login", "ipc", "old-stats", "director", "aggregator"]
        .iter()
        .map(|service| format!("service {service} {{\n  chroot =\n}}\n"))
        .collect();
    let (separator, prefix, extra) = (options.separator, &options.prefix, &options.extra);
    format!(
        "base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/log
protocols = imap
listen = 127.0.0.1
default_internal_user = {internal}
default_internal_group = {group}
default_login_user = {login}
first_valid_uid = 1
first_valid_gid = 1
mail_uid = {uid}
mail_gid = {gid}
mail_location = {location}
mail_max_userip_connections = 200
mail_fsync = never
maildir_very_dirty_syncs = no
mailbox_list_index = no
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_failure_delay = 0
auth_verbose = yes
ssl = yes
ssl_cert = <{dir}/server.pem
ssl_key = <{dir}/server.key
{capability}
passdb {{
  driver = passwd-file
  args = {dir}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={dir}/home/%u
}}
namespace inbox {{
  inbox = yes
  separator = {separator}
  prefix = {prefix}
{special}}}
{chroots}service imap-login {{
  service_count = 0
  process_min_avail = 1
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
{extra}
",
        location = options.mail_location,
    )
}

fn special_use() -> String {
    ["Drafts", "Sent", "Junk", "Trash", "Archive"]
        .iter()
        .map(|name| format!("  mailbox {name} {{\n    auto = create\n    special_use = \\{name}\n  }}\n"))
        .collect()
}

/// What `id` says of this user: a name, or the number where it has none.
pub fn id(what: &str) -> Result<String, String> {
    let out = Command::new("id").arg(what).output().expect("run id");
    let said = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    if out.status.success() { Ok(said) } else { Err(said) }
}

/// Makes an authority and a server certificate; gives the latter's SHA-256 and SHA-1.
pub fn make_certificates(dir: &Path) -> (String, String) {
    let openssl = |args: &str| {
        let out = Command::new("openssl").current_dir(dir).args(args.split(' ')).output();
        let out = out.expect("install openssl: tests/run does it");
        assert!(out.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let names = "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n";
    fs::write(dir.join("names"), names).expect("write the certificate's names");
    openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -days 30 -subj /CN=test-authority",
    );
    openssl(
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server.key -out server.csr -subj /CN=localhost",
    );
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile names -out server.pem",
    );
    let fingerprint = |kind: &str| {
        let said = openssl(&format!("x509 -in server.pem -noout -fingerprint -{kind}"));
        let hex = said.trim().rsplit('=').next().unwrap_or_default();
        hex.replace(':', "").to_ascii_lowercase()
    };
    (fingerprint("sha256"), fingerprint("sha1"))
}
