//! A session bus of a test's own, with an unlocked GNOME keyring on it; gone when dropped.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A running keyring. Tests that need one fail where its programs are missing.
pub struct Keyring {
    dir: tempfile::TempDir,
    children: Vec<Child>,
}

impl Keyring {
    /// Starts a bus with a keyring.
    pub fn start() -> Keyring {
        let mut keyring = Keyring::without_service();
        let mut daemon = keyring.command("gnome-keyring-daemon");
        daemon.args(["--foreground", "--unlock", "--components=secrets"]);
        let mut daemon = daemon.stdin(Stdio::piped()).spawn().expect("install gnome-keyring: tests/run does it");
        daemon.stdin.take().expect("a pipe").write_all(b"of the keyring").expect("unlock the keyring");
        keyring.children.push(daemon);
        keyring.wait_for("its service", |keyring| {
            let asked = keyring.command("dbus-send").args(OWNER).stdout(Stdio::piped()).output();
            String::from_utf8_lossy(&asked.expect("run dbus-send").stdout).contains("boolean true")
        });
        keyring
    }

    /// Starts a bus and nothing else.
    pub fn without_service() -> Keyring {
        let dir = tempfile::Builder::new().prefix("bus-").tempdir_in("/tmp").expect("a directory under /tmp");
        let config = dir.path().join("bus.conf");
        // Nothing is started by asking for it: only what the test starts is there.
        let text = format!(
            "<busconfig><type>session</type><listen>unix:path={}</listen><policy context=\"default\">\
             <allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>\n",
            dir.path().join("bus").display()
        );
        fs::write(&config, text).expect("write the bus's config");
        let mut keyring = Keyring { dir, children: Vec::new() };
        let mut bus = keyring.command("dbus-daemon");
        bus.arg("--nofork").arg("--config-file").arg(&config);
        keyring.children.push(bus.spawn().expect("install dbus: tests/run does it"));
        // Its socket has a name a moment before anybody listens at it.
        keyring.wait_for("the bus", |keyring| UnixStream::connect(keyring.dir.path().join("bus")).is_ok());
        keyring
    }

    /// What the program's environment needs.
    pub fn address(&self) -> String {
        format!("unix:path={}", self.dir.path().join("bus").display())
    }

    /// Runs secret-tool with this on its standard input; what it printed, and whether it succeeded.
    pub fn secret_tool(&self, args: &[&str], input: &str) -> (String, bool) {
        let path = self.dir.path().join("input");
        fs::write(&path, input).expect("write the input");
        let mut command = self.command("secret-tool");
        command.args(args).stdin(fs::File::open(path).expect("open the input")).stdout(Stdio::piped());
        let out = command.output().expect("install libsecret-tools: tests/run does it");
        (String::from_utf8_lossy(&out.stdout).into_owned(), out.status.success())
    }

    /// Locks what [`Keyring::start`] unlocked. Nothing is there that could ask for its password.
    pub fn lock(&self) {
        let mut lock = self.command("dbus-send");
        lock.args(["--session", "--print-reply", "--dest=org.freedesktop.secrets", "/org/freedesktop/secrets"]);
        lock.args(["org.freedesktop.Secret.Service.Lock", "array:objpath:/org/freedesktop/secrets/collection/login"]);
        assert!(lock.status().expect("run dbus-send").success(), "the keyring can't be locked");
    }

    fn command(&self, program: &str) -> Command {
        let home: &Path = self.dir.path();
        let mut command = Command::new(program);
        command.env_clear().current_dir(home).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", home).env("XDG_RUNTIME_DIR", home).env("XDG_DATA_HOME", home.join("data"));
        command.env("DBUS_SESSION_BUS_ADDRESS", self.address()).env("LC_ALL", "C.UTF-8");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn wait_for(&self, what: &str, is_there: impl Fn(&Keyring) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !is_there(self) {
            assert!(Instant::now() < end, "the keyring: {what} does not come up");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Asks the bus whether there is a Secret Service.
const OWNER: [&str; 6] = [
    "--session",
    "--print-reply",
    "--dest=org.freedesktop.DBus",
    "/",
    "org.freedesktop.DBus.NameHasOwner",
    "string:org.freedesktop.secrets",
];

impl Drop for Keyring {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
