//! What a service manager is told: the protocol of sd_notify(3), a datagram for each piece of news.
//!
//! Nobody else may speak for this process: programs that are run do not inherit the socket (`environment`).

use rustix::time::{ClockId, clock_gettime};
use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long a manager that does not read holds us up, at most.
const PATIENCE: Duration = Duration::from_secs(2);

/// No status is longer, in characters: a datagram has 4096 bytes.
const MAX_STATUS: usize = 500;

/// The service manager that started this process, if one did and wants to be told.
///
/// What can't be told is told to nobody: no call fails, and none waits for more than two seconds.
#[derive(Debug, Default)]
pub struct Manager {
    line: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
    /// What it was told last.
    status: Mutex<String>,
}

impl Manager {
    /// The one that the environment names: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    pub fn from_environment() -> Manager {
        Manager::named(|name| env::var_os(name), process::id())
    }

    fn named(variable: impl Fn(&str) -> Option<OsString>, me: u32) -> Manager {
        let number = |name: &str| variable(name).and_then(|value| value.to_str()?.parse::<u64>().ok());
        let line = variable("NOTIFY_SOCKET").and_then(|name| connect(&name));
        // A process that was started by the one that is watched has its variables, too.
        let meant = variable("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(u64::from(me));
        let period = number("WATCHDOG_USEC").filter(|period| *period > 0 && meant && line.is_some());
        // Half of it, as sd_watchdog_enabled(3) recommends.
        Manager { line, watchdog: period.map(|period| Duration::from_micros(period) / 2), status: Mutex::default() }
    }

    /// Whether there is one.
    pub fn is_there(&self) -> bool {
        self.line.is_some()
    }

    /// Everything that was to be done before work begins, or goes on with another config, is done.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// The config is read anew; [`Manager::ready`] follows, whatever comes of it.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        // What a reload is told apart by from the one before; the clock does not run backwards.
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1_000_000 + now.tv_nsec / 1000));
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// What `systemctl status` shows: a line of plain text. The same one again is not told.
    pub fn status(&self, status: &str) {
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let line: String = status.trim().chars().map(plain).take(MAX_STATUS).collect();
        let mut told = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != line {
            self.tell(&format!("STATUS={line}"));
            *told = line;
        }
    }

    /// How often [`Manager::alive`] is to be said, if at all.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// All that must go on goes on.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    fn tell(&self, news: &str) {
        if let Some((socket, address)) = &self.line {
            // A manager that is gone, or hears nothing, is not what this process is there for.
            let _ = socket.send_to_addr(news.as_bytes(), address);
        }
    }
}

/// A socket, and where it speaks to: a path, or behind `@` an abstract name.
fn connect(name: &OsStr) -> Option<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] if !name.is_empty() => abstract_address(name)?,
        [b'/', ..] => SocketAddr::from_pathname(name).ok()?,
        _ => return None,
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_write_timeout(Some(PATIENCE)).ok()?;
    Some((socket, address))
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &[u8]) -> Option<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    SocketAddr::from_abstract_name(name).ok()
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &[u8]) -> Option<SocketAddr> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: u32 = 4711;

    struct Listener {
        socket: UnixDatagram,
        dir: tempfile::TempDir,
    }

    impl Listener {
        fn new() -> Listener {
            let dir = tempfile::tempdir().expect("a directory");
            let socket = UnixDatagram::bind(dir.path().join("notify")).expect("a socket");
            socket.set_nonblocking(true).expect("set");
            Listener { socket, dir }
        }

        fn name(&self) -> OsString {
            self.dir.path().join("notify").into()
        }

        /// All that has come.
        fn heard(&self) -> Vec<String> {
            let mut buffer = [0; 4096];
            let mut next = || self.socket.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec());
            std::iter::from_fn(&mut next).map(|news| String::from_utf8(news).expect("text")).collect()
        }
    }

    fn manager(variables: &[(&str, &OsStr)]) -> Manager {
        let value = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into());
        Manager::named(value, ME)
    }

    #[test]
    fn a_manager_is_told_of_every_stage() {
        let listener = Listener::new();
        let manager = manager(&[("NOTIFY_SOCKET", &listener.name())]);
        assert!(manager.is_there());
        manager.ready();
        manager.alive();
        manager.stopping();
        assert_eq!(listener.heard(), ["READY=1", "WATCHDOG=1", "STOPPING=1"]);
        let monotonic = || clock_gettime(ClockId::Monotonic).tv_sec;
        let before = monotonic();
        manager.reloading();
        let heard = listener.heard().concat();
        let time: i64 = heard.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("both").parse().expect("a number");
        assert!((before..=monotonic()).contains(&(time / 1_000_000)), "{time}");
    }

    #[test]
    fn a_status_is_one_short_line_and_told_once() {
        let listener = Listener::new();
        let manager = manager(&[("NOTIFY_SOCKET", &listener.name())]);
        manager.status("work: in step\nREADY=1");
        manager.status("work: in step\nREADY=1");
        manager.status(&"ä".repeat(5000));
        assert_eq!(
            listener.heard(),
            ["STATUS=work: in step READY=1".to_owned(), format!("STATUS={}", "ä".repeat(500))]
        );
        manager.status("work: in step\nREADY=1");
        assert_eq!(listener.heard().len(), 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_abstract_socket_is_reached() {
        use std::os::linux::net::SocketAddrExt;
        let name = format!("mailsync-test-{}", process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let socket = UnixDatagram::bind_addr(&address).expect("a socket");
        manager(&[("NOTIFY_SOCKET", OsStr::new(&format!("@{name}")))]).ready();
        let mut buffer = [0; 16];
        let length = socket.recv(&mut buffer).expect("heard");
        assert_eq!(&buffer[..length], b"READY=1");
    }

    #[test]
    fn the_watchdog_is_told_twice_a_period_if_it_is_ours() {
        let listener = Listener::new();
        let name = listener.name();
        let period = |usec: &str, pid: Option<&str>| {
            let mut variables = vec![("NOTIFY_SOCKET", name.as_os_str()), ("WATCHDOG_USEC", OsStr::new(usec))];
            variables.extend(pid.map(|pid| ("WATCHDOG_PID", OsStr::new(pid))));
            manager(&variables).watchdog()
        };
        let half = Some(Duration::from_secs(150));
        assert_eq!(period("300000000", Some("4711")), half);
        assert_eq!(period("300000000", None), half);
        for (usec, pid) in [("300000000", "1"), ("300000000", "x"), ("0", "4711"), ("-1", "4711"), ("", "4711")] {
            assert_eq!(period(usec, Some(pid)), None, "{usec:?}, {pid:?}");
        }
        assert_eq!(manager(&[("WATCHDOG_USEC", OsStr::new("300000000"))]).watchdog(), None);
    }

    #[test]
    fn where_nobody_listens_nothing_fails() {
        let dir = tempfile::tempdir().expect("a directory");
        let gone = dir.path().join("gone");
        let long = format!("/{}", "x".repeat(200));
        for name in ["", "@", "relative", "vsock:2:1234", &long, gone.to_str().expect("UTF-8")] {
            let manager = manager(&[("NOTIFY_SOCKET", OsStr::new(name))]);
            assert_eq!(manager.is_there(), gone == *name, "{name:?}");
            manager.ready();
            manager.status("in step");
        }
        Manager::default().stopping();
    }

    #[test]
    fn one_that_does_not_read_holds_nobody_up_for_ever() {
        let listener = Listener::new();
        let manager = manager(&[("NOTIFY_SOCKET", &listener.name())]);
        let (socket, address) = manager.line.as_ref().expect("a line");
        socket.set_nonblocking(true).expect("set");
        while socket.send_to_addr(b"WATCHDOG=1", address).is_ok() {}
        socket.set_nonblocking(false).expect("set");
        assert_eq!(socket.write_timeout().expect("asked"), Some(PATIENCE));
        socket.set_write_timeout(Some(Duration::from_millis(1))).expect("set");
        manager.alive();
        assert!(listener.heard().iter().all(|news| news == "WATCHDOG=1"));
    }
}
