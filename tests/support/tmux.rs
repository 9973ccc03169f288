//! A program on a terminal of 100 columns and 30 lines, in a tmux server of its own.

use super::home::Home;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A running terminal; killed when dropped.
pub struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    /// Starts a shell command in the home's environment.
    pub fn start(home: &Home, command: &str) -> Tmux {
        // One of its own: the server of the terminal before may still be on its way out.
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let socket = home.path().join(format!("tmux.{}", STARTED.fetch_add(1, Ordering::Relaxed)));
        let mut start = Command::new("tmux");
        home.surround(&mut start);
        start.arg("-S").arg(&socket).args(["-f", "/dev/null", "-u", "new-session", "-d", "-x", "100", "-y", "30"]);
        start.arg(command);
        let out = start.output().expect("install tmux: tests/run does it");
        assert!(out.status.success(), "tmux: {}", String::from_utf8_lossy(&out.stderr));
        Tmux { socket }
    }

    fn tmux(&self, args: &[&str]) -> std::process::Output {
        Command::new("tmux").arg("-S").arg(&self.socket).args(args).output().expect("run tmux")
    }

    /// Sends keys by tmux's names: `Enter`, `Down`, or any character.
    pub fn keys(&self, keys: &[&str]) {
        let mut args = vec!["send-keys"];
        args.extend(keys);
        let out = self.tmux(&args);
        assert!(out.status.success(), "send keys: {}\n{}", String::from_utf8_lossy(&out.stderr), self.screen());
    }

    /// What is on the screen; empty once the program has ended.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p"]).stdout).into_owned()
    }

    /// Waits up to 20 seconds for a text on the screen.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> String {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let screen = self.screen();
            if screen.contains(text) {
                return screen;
            }
            assert!(Instant::now() < end, "never saw {text:?}; the screen:\n{screen}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits up to 20 seconds until a text is on the screen no more.
    #[track_caller]
    pub fn wait_until_gone(&self, text: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.screen().contains(text) {
            assert!(Instant::now() < end, "{text:?} stays; the screen:\n{}", self.screen());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Presses Enter, and waits for the program to end: only then another terminal may be started in the same home.
    #[track_caller]
    pub fn enter_and_end(self) {
        self.keys(&["Enter"]);
        self.wait_for_end();
    }

    /// Waits up to 20 seconds for the program to end.
    #[track_caller]
    pub fn wait_for_end(&self) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.tmux(&["has-session"]).status.success() {
            assert!(Instant::now() < end, "the program did not end; the screen:\n{}", self.screen());
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}
