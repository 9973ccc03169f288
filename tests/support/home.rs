//! A home directory of a test's own, and the program run in it with nothing of the real one in sight.

use super::dovecot::Dovecot;
use super::maildir::Maildir;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A private `$HOME`, mode 0700, removed when dropped.
pub struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    pub fn new() -> Home {
        let dir = tempfile::Builder::new().prefix("home-").tempdir_in("/tmp").expect("a directory under /tmp");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).expect("close the home directory");
        Home { dir }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Where [`Home::account`] puts the mail: `~/Mail`.
    pub fn mail(&self) -> PathBuf {
        self.path().join("Mail")
    }

    /// The Maildirs below `~/Mail`.
    pub fn maildir(&self) -> Maildir {
        Maildir::new(self.mail())
    }

    /// The state file of an account.
    pub fn state(&self, account: &str) -> PathBuf {
        self.path().join(".local/state/mailsync").join(format!("{account}.db"))
    }

    /// Writes a file below the home directory, and its parents.
    pub fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a file has a parent")).expect("make directories");
        fs::write(&path, text).expect("write a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set its mode");
        path
    }

    /// Writes the config.
    pub fn config(&self, text: &str) {
        self.write(".config/mailsync/config.toml", text, 0o600);
    }

    /// Writes `~/.netrc`.
    pub fn netrc(&self, text: &str) {
        self.write(".netrc", text, 0o600);
    }

    /// Writes the config and netrc of the account `main`: `user` on the server's plain port, and `~/Mail`.
    /// `more` holds further lines of TOML, from inside `[account.main]` on.
    pub fn account(&self, server: &Dovecot, user: &str, more: &str) {
        self.config(&format!(
            "[account.main]\nremote = {{ host = \"127.0.0.1\", port = {}, user = \"{user}\", tls = \"none\" }}\n\
             local = {{ path = \"~/Mail\" }}\n{more}\n",
            server.port
        ));
        self.netrc(&format!("machine 127.0.0.1 login {user} password {}\n", server.password(user)));
    }

    /// The program, to be run in this home with these arguments.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailsync"));
        command.args(args);
        self.surround(&mut command);
        command.stdin(Stdio::null());
        command
    }

    /// Gives a command this home's environment and nothing else but PATH.
    pub fn surround(&self, command: &mut Command) {
        command.env_clear().current_dir(self.path());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        for (name, value) in self.environment() {
            command.env(name, value);
        }
    }

    /// The environment of everything that runs in this home.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let at = |below: &str| self.path().join(below).display().to_string();
        vec![
            ("HOME", self.path().display().to_string()),
            ("XDG_CONFIG_HOME", at(".config")),
            ("XDG_STATE_HOME", at(".local/state")),
            ("XDG_DATA_HOME", at(".local/share")),
            ("XDG_CACHE_HOME", at(".cache")),
            // Nor tickets of the one who runs the tests.
            ("KRB5CCNAME", format!("FILE:{}", at("tickets"))),
            ("LC_ALL", "C.UTF-8".to_owned()),
            ("TERM", "xterm".to_owned()),
        ]
    }

    /// Runs the program to its end.
    pub fn mailsync(&self, args: &[&str]) -> Output {
        self.mailsync_with(args, &[], "")
    }

    /// Runs the program to its end with more in its environment, and with this on standard input.
    pub fn mailsync_with(&self, args: &[&str], more: &[(&str, &str)], input: &str) -> Output {
        let mut command = self.command(args);
        command.envs(more.iter().copied());
        if !input.is_empty() {
            let path = self.write("standard-input", input, 0o600);
            command.stdin(fs::File::open(path).expect("open the input"));
        }
        let out = command.output().expect("run mailsync");
        Output {
            args: args.join(" "),
            code: out.status.code(),
            stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
        }
    }

    /// Runs `sync` and expects both sides to be in step.
    #[track_caller]
    pub fn sync(&self) {
        self.mailsync(&["sync"]).exits(0).done();
    }

    /// Runs `sync` and expects it to find nothing to do.
    #[track_caller]
    pub fn nothing_to_do(&self) {
        let before = self.maildir().snapshot();
        let out = self.mailsync(&["sync"]).exits(0);
        assert_eq!(self.maildir().snapshot(), before, "a run with nothing to do changed the Maildirs\n{out}");
    }

    /// Starts the program and leaves it running.
    pub fn start(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start mailsync")
    }
}

impl Default for Home {
    fn default() -> Self {
        Home::new()
    }
}

/// What a run of the program left behind.
#[must_use = "a run whose result nobody looks at tests nothing"]
#[derive(Clone, Debug)]
pub struct Output {
    pub args: String,
    /// `None` where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Expects this exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Output {
        assert!(self.code == Some(code), "expected exit code {code}\n{self}");
        self
    }

    /// Expects standard output or standard error to hold this text.
    #[track_caller]
    pub fn says(self, text: &str) -> Output {
        assert!(self.stdout.contains(text) || self.stderr.contains(text), "expected it to say {text:?}\n{self}");
        self
    }

    /// Expects neither to hold this text.
    #[track_caller]
    pub fn never_says(self, text: &str) -> Output {
        assert!(!self.stdout.contains(text) && !self.stderr.contains(text), "expected it not to say {text:?}\n{self}");
        self
    }

    /// Ends the looking: everything that matters has been expected.
    pub fn done(self) {}
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "mailsync {} ended with {:?}", self.args, self.code)?;
        writeln!(f, "--- standard output\n{}--- standard error\n{}---", self.stdout, self.stderr)
    }
}
