//! A private Kerberos realm on loopback: MIT's key centre with a database of its own, gone when it is dropped.

use super::dovecot::{Options, free_port};
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub const REALM: &str = "TEST.EXAMPLE";

/// A key centre that knows `alice` and `carol` by their passwords, and the server `imap/localhost`.
pub struct Kerberos {
    pub port: u16,
    kdc: Child,
    dir: tempfile::TempDir,
}

impl Kerberos {
    pub fn start() -> Kerberos {
        let dir = tempfile::Builder::new().prefix("kerberos-").tempdir_in("/tmp").expect("a directory under /tmp");
        // The server's processes read the key table, whoever they are.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("open the directory");
        for _ in 0..5 {
            let port = free_port();
            write_config(dir.path(), port);
            if !dir.path().join("principal").exists() {
                fill(dir.path());
            }
            let log = fs::File::create(dir.path().join("stderr")).expect("a file for stderr");
            let mut command = tool(dir.path(), "krb5kdc");
            let mut kdc = command.arg("-n").stderr(log).spawn().expect("start krb5kdc");
            if wait_until_it_accepts(&mut kdc, port) {
                return Kerberos { port, kdc, dir };
            }
            end(&mut kdc);
        }
        let log = ["stderr", "kdc.log"].map(|name| fs::read_to_string(dir.path().join(name)).unwrap_or_default());
        panic!("krb5kdc does not start:\n{}", log.concat());
    }

    /// Lets a Dovecot take tickets beside passwords.
    pub fn options(&self) -> Options {
        let at = |name: &str| self.dir.path().join(name).display().to_string();
        let extra = format!(
            "auth_mechanisms = plain login gssapi\nauth_krb5_keytab = {}\nauth_gssapi_hostname = localhost\n\
             auth_username_format = %Ln\nimport_environment = $import_environment KRB5_CONFIG={}\n\
             service anvil {{\n  unix_listener anvil-auth-penalty {{\n    mode = 0\n  }}\n}}\n",
            at("keytab"),
            at("krb5.conf"),
        );
        let users = ["alice", "carol"].map(|user| (user.to_owned(), format!("secret-{user}")));
        Options { extra, users: users.to_vec(), ..Options::default() }
    }

    /// The keys of `imap/localhost`.
    pub fn keytab(&self) -> PathBuf {
        self.dir.path().join("keytab")
    }

    /// What a server needs in its environment that takes tickets.
    pub fn server_environment(&self) -> Vec<(&'static str, String)> {
        let at = |name: &str| self.dir.path().join(name).display().to_string();
        vec![("KRB5_CONFIG", at("krb5.conf")), ("KRB5_KTNAME", format!("FILE:{}", at("keytab")))]
    }

    /// What a program needs in its environment to find the realm, and the tickets in this file.
    pub fn environment(&self, tickets: &Path) -> Vec<(&'static str, String)> {
        vec![
            ("KRB5_CONFIG", self.dir.path().join("krb5.conf").display().to_string()),
            ("KRB5CCNAME", format!("FILE:{}", tickets.display())),
        ]
    }

    /// Gets a ticket for so long.
    pub fn kinit(&self, user: &str, lifetime: &str, tickets: &Path) {
        let mut command = tool(self.dir.path(), "kinit");
        command.envs(self.environment(tickets)).args(["-l", lifetime, user]).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::null()).spawn().expect("start kinit");
        let mut input = child.stdin.take().expect("a pipe");
        writeln!(input, "kerberos-{user}").expect("tell the password");
        drop(input);
        assert!(child.wait().expect("wait for kinit").success(), "kinit {user}");
    }

    /// What `klist` says of the tickets.
    pub fn klist(&self, tickets: &Path) -> String {
        let out = tool(self.dir.path(), "klist").envs(self.environment(tickets)).output().expect("run klist");
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// The key centre goes away.
    pub fn stop(&mut self) {
        end(&mut self.kdc);
    }
}

impl Drop for Kerberos {
    fn drop(&mut self) {
        end(&mut self.kdc);
    }
}

fn end(kdc: &mut Child) {
    // It may be gone already.
    kdc.kill().ok();
    kdc.wait().ok();
}

fn tool(dir: &Path, name: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|program| program.is_file());
    let mut command = Command::new(found.unwrap_or_else(|| panic!("install {name}: tests/run does it")));
    command.env("KRB5_CONFIG", dir.join("krb5.conf")).env("KRB5_KDC_PROFILE", dir.join("kdc.conf")).env("LC_ALL", "C");
    command.stdin(Stdio::null());
    command
}

fn write_config(dir: &Path, port: u16) {
    let shown = dir.display();
    let client = format!(
        "[libdefaults]\n  default_realm = {REALM}\n  dns_lookup_kdc = false\n  dns_lookup_realm = false\n  rdns = false\n  \
         dns_canonicalize_hostname = false\n  udp_preference_limit = 1\n\
         [realms]\n  {REALM} = {{\n    kdc = 127.0.0.1:{port}\n  }}\n\
         [domain_realm]\n  localhost = {REALM}\n  127.0.0.1 = {REALM}\n"
    );
    let centre = format!(
        "[kdcdefaults]\n  kdc_listen = 127.0.0.1:{port}\n  kdc_tcp_listen = 127.0.0.1:{port}\n\
         [realms]\n  {REALM} = {{\n    database_name = {shown}/principal\n    key_stash_file = {shown}/stash\n  }}\n\
         [logging]\n  kdc = FILE:{shown}/kdc.log\n"
    );
    fs::write(dir.join("krb5.conf"), client).expect("write krb5.conf");
    fs::write(dir.join("kdc.conf"), centre).expect("write kdc.conf");
}

/// Makes the database, and the server's key table.
fn fill(dir: &Path) {
    let done = |out: Output| {
        let said = [out.stdout, out.stderr].concat();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&said));
    };
    let made = tool(dir, "kdb5_util").args(["create", "-s", "-r", REALM, "-P", "master"]).output();
    done(made.expect("run kdb5_util"));
    let keytab = dir.join("keytab");
    for query in [
        "addprinc -pw kerberos-alice alice".to_owned(),
        "addprinc -pw kerberos-carol carol".to_owned(),
        "addprinc -randkey imap/localhost".to_owned(),
        format!("ktadd -k {} imap/localhost", keytab.display()),
    ] {
        done(tool(dir, "kadmin.local").args(["-r", REALM, "-q", &query]).output().expect("run kadmin.local"));
    }
    fs::set_permissions(keytab, fs::Permissions::from_mode(0o644)).expect("open the key table");
}

fn wait_until_it_accepts(kdc: &mut Child, port: u16) -> bool {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end && matches!(kdc.try_wait(), Ok(None)) {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        thread::sleep(Duration::from_millis(20));
    }
    false
}
