//! A provider, a server that believes it, and a home.

use crate::support::dovecot::Options;
use crate::support::oauth::{Provider, browse};
use crate::support::*;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

/// All that a login takes.
pub struct Scene {
    pub provider: Provider,
    pub server: Dovecot,
    pub home: Home,
    /// What the program's environment has besides.
    pub more: Vec<(&'static str, String)>,
}

impl Scene {
    pub fn new() -> Scene {
        let provider = Provider::open();
        let home = Home::new();
        let args = home.path().join("dovecot-oauth2.conf");
        let introspection = format!("introspection_url = {}?token=\n", provider.url("introspect"));
        let text = format!(
            "{introspection}introspection_mode = get\nusername_attribute = username\nactive_attribute = active\nactive_value = true\n"
        );
        fs::write(&args, text).expect("written");
        let passdb = format!(
            "passdb {{\n  driver = oauth2\n  mechanisms = xoauth2 oauthbearer\n  args = {}\n}}\n",
            args.display()
        );
        // Dovecot's own users have to be able to read it.
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
        let extra = format!("auth_mechanisms = plain login xoauth2 oauthbearer\n{passdb}");
        let server = Dovecot::with(Options { extra, ..Options::default() });
        server.login("alice").append("INBOX", &crlf(&mail("hello")), &[], None);
        let scene = Scene { provider, server, home, more: Vec::new() };
        let tls = format!("port = {}\nca_file = \"{}\"", scene.server.tls_port, scene.server.ca_file.display());
        scene.config(&tls, "");
        scene
    }

    /// The tokens in a keyring.
    pub fn with_keyring(keyring: &Keyring) -> Scene {
        let mut scene = Scene::new();
        scene.more.push(("DBUS_SESSION_BUS_ADDRESS", keyring.address()));
        scene.config(&format!("port = {}\ntls = \"none\"", scene.server.port), "store = \"keyring\"");
        scene
    }

    /// Writes the config, with these keys of the server and of `oauth2`.
    pub fn config(&self, server: &str, oauth2: &str) {
        let url = |path: &str| self.provider.url(path);
        self.home.config(&format!(
            "[account.main.remote]\nhost = \"localhost\"\nuser = \"alice\"\n{server}\n\
             [account.main.remote.oauth2]\nclient_id = \"an id\"\nclient_secret = \"a secret\"\n{oauth2}\n\
             provider = {{ auth_url = \"{}\", token_url = \"{}\", device_url = \"{}\", scope = \"mail\" }}\n\
             [account.main.local]\npath = \"~/Mail\"\n",
            url("auth"),
            url("token"),
            url("device"),
        ));
    }

    /// Syncs with another value in the environment.
    pub fn more_with(&self, name: &str, value: &str) -> Output {
        let more = self.more.iter().map(|(name, value)| (*name, value.as_str())).filter(|(one, _)| *one != name);
        let more: Vec<(&str, &str)> = more.chain([(name, value)]).collect();
        self.home.mailsync_with(&["-vv", "sync"], &more, "")
    }

    pub fn run(&self, args: &[&str]) -> Output {
        let more: Vec<(&str, &str)> = self.more.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.home.mailsync_with(args, &more, "")
    }

    /// Logs in as somebody with a browser does; what is said, and the status.
    pub fn log_in(&self, answer: impl FnOnce(&str) -> String) -> (String, Option<i32>) {
        let mut command = self.home.command(&["login", "main"]);
        command.envs(self.more.iter().map(|(name, value)| (*name, value)));
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("runs");
        let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut said = String::new();
        stderr.read_line(&mut said).expect("a line");
        let url = said.trim_end().split(' ').next_back().expect("a URL").to_owned();
        let shown = answer(&url);
        stderr.read_to_string(&mut said).expect("read");
        child.stdout.take().expect("a pipe").read_to_string(&mut said).expect("read");
        (said + &shown, child.wait().expect("ends").code())
    }

    pub fn log_in_well(&self) {
        let (said, code) = self.log_in(|url| {
            let (to, _) = browse(url);
            browse(&to.expect("the way back")).1
        });
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("logged in: main\n") && said.contains("You can close this window"), "{said}");
    }

    /// The files that have tokens.
    pub fn tokens(&self) -> Vec<PathBuf> {
        let dir = fs::read_dir(self.home.path().join(".local/state/mailsync/tokens")).expect("the tokens");
        let files = dir.map(|entry| entry.expect("a file").path());
        files.filter(|path| path.extension().is_some_and(|end| end == "json")).collect()
    }

    /// Syncs with all that is ever said, which must hold nothing secret.
    pub fn sync(&self) -> Output {
        let out = self.run(&["-vv", "-d", "imap,state,maildir,sync", "sync"]);
        let known = self.provider.known();
        for secret in known.access.iter().chain(&known.refresh).map(String::as_str).chain(["a secret"]) {
            assert!(!out.to_string().contains(secret), "{secret}: {out}");
        }
        out
    }
}
