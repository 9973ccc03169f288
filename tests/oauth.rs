//! OAuth2 from the login to the mailbox: a provider of the tests, and Dovecot, which asks it about every token.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use support::dovecot::Options;
use support::oauth::{Provider, browse, fields};
use support::*;

struct Scene {
    provider: Provider,
    server: Dovecot,
    home: Home,
}

impl Scene {
    fn new() -> Scene {
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
        home.config(&format!(
            "[account.main.remote]\nhost = \"localhost\"\nport = {}\nuser = \"alice\"\nca_file = \"{}\"\n\
             [account.main.remote.oauth2]\nclient_id = \"an id\"\nclient_secret = \"a secret\"\n\
             provider = {{ auth_url = \"{}\", token_url = \"{}\", device_url = \"{}\", scope = \"mail\" }}\n\
             [account.main.local]\npath = \"~/Mail\"\n",
            server.tls_port,
            server.ca_file.display(),
            provider.url("auth"),
            provider.url("token"),
            provider.url("device"),
        ));
        Scene { provider, server, home }
    }

    /// Logs in as somebody with a browser does; what is said, and the status.
    fn log_in(&self, answer: impl FnOnce(&str) -> String) -> (String, Option<i32>) {
        let mut command = self.home.command(&["login", "main"]);
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

    fn log_in_well(&self) {
        let (said, code) = self.log_in(|url| {
            let (to, _) = browse(url);
            browse(&to.expect("the way back")).1
        });
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("logged in: main\n") && said.contains("You can close this window"), "{said}");
    }

    fn tokens(&self) -> PathBuf {
        let dir = self.home.path().join(".local/state/mailsync/tokens");
        fs::read_dir(dir).expect("the tokens").next().expect("a file").expect("a file").path()
    }

    /// Syncs with all that is ever said, which must hold nothing secret.
    fn sync(&self) -> Output {
        let out = self.home.mailsync(&["-vv", "-d", "imap,state,maildir", "sync"]);
        let known = self.provider.known();
        for secret in known.access.iter().chain(&known.refresh).map(String::as_str).chain(["a secret"]) {
            assert!(!out.to_string().contains(secret), "{secret}: {out}");
        }
        out
    }
}

#[test]
fn a_login_with_a_browser_gives_tokens_that_are_renewed() {
    let scene = Scene::new();
    scene.sync().exits(4).says("there is no OAuth2 token yet").says("mailsync login main").done();
    scene.log_in_well();
    let tokens = scene.tokens();
    assert_eq!(fs::metadata(&tokens).expect("there").permissions().mode() & 0o777, 0o600);
    scene.sync().exits(0).done();
    assert_eq!(scene.home.maildir().messages("INBOX").len(), 1);
    let form = |at: usize| scene.provider.known().asked[at].clone();
    assert_eq!((form(0)["client_id"].as_str(), form(0)["client_secret"].as_str()), ("an id", "a secret"));
    assert_eq!(scene.provider.known().asked.len(), 1, "a token that is good is not renewed");

    // One that ends in a moment is, and what renews it is another one each time.
    scene.provider.known().expires_in = 30;
    scene.log_in_well();
    for round in 0..3 {
        scene.server.login("alice").append("INBOX", &crlf(&mail(&format!("more {round}"))), &[], None);
        scene.sync().exits(0).done();
        assert_eq!(scene.home.maildir().messages("INBOX").len(), 2 + round);
    }
    let asked = scene.provider.known().asked.len();
    assert!(asked >= 5, "{asked}");
    assert_eq!(form(asked - 1)["grant_type"], "refresh_token");
    scene.home.mailsync(&["info"]).exits(0).says("mailsync login").done();
}

#[test]
fn a_token_that_was_withdrawn_is_renewed_in_the_middle_of_things() {
    let scene = Scene::new();
    scene.log_in_well();
    scene.provider.known().access.clear();
    scene.sync().exits(0).done();
    assert_eq!(scene.home.maildir().messages("INBOX").len(), 1);
    // What renews it too: only another login helps, and the provider says why.
    let mut known = scene.provider.known();
    known.access.clear();
    known.refresh.clear();
    drop(known);
    let out = scene.sync().exits(4);
    out.done();
    scene.provider.known().expires_in = 1;
    scene.log_in_well();
    scene.provider.known().refuse = Some(("invalid_grant", "Token has been expired or revoked."));
    let out =
        scene.sync().exits(4).says("invalid_grant: Token has been expired or revoked.").says("mailsync login main");
    out.done();
}

#[test]
fn a_login_on_another_device_waits_until_somebody_has_logged_in() {
    let scene = Scene::new();
    scene.provider.known().pending = 2;
    let out = scene.home.mailsync(&["login", "main", "--device"]).exits(0);
    out.says("https://example.org/device").says("ABCD-EFGH").never_says("device-secret").done();
    assert_eq!(scene.provider.known().asked.len(), 3);
    scene.sync().exits(0).done();
    assert_eq!(scene.home.maildir().messages("INBOX").len(), 1);
    scene.provider.known().refuse = Some(("access_denied", "the user said no"));
    let out = scene.home.mailsync(&["login", "main", "--device"]).exits(4);
    out.says("access_denied: the user said no").done();
}

#[test]
fn answers_that_are_not_the_providers_are_not_taken() {
    let scene = Scene::new();
    let (said, code) = scene.log_in(|url| {
        let back = fields(url.split_once('?').expect("a query").1)["redirect_uri"].clone();
        for other in ["favicon.ico", "?code=evil", "?code=evil&state=guessed"] {
            assert!(browse(&format!("{back}{other}")).1.starts_with("HTTP/1.1 404"), "{other}");
        }
        let state = &fields(url.split_once('?').expect("a query").1)["state"];
        browse(&format!("{back}?error=access_denied&error_description=not+today&state={state}")).1
    });
    assert_eq!(code, Some(4), "{said}");
    assert!(
        said.contains("the provider says access_denied: not today") && said.contains("You are not logged in"),
        "{said}"
    );
    assert!(scene.provider.known().asked.is_empty());
}

#[test]
fn the_browser_of_the_environment_is_shown_the_url() {
    let scene = Scene::new();
    let (script, seen) = (scene.home.path().join("browser"), scene.home.path().join("seen"));
    fs::write(&script, format!("#!/bin/sh\necho \"$1\" > '{0}.new'; mv '{0}.new' '{0}'\n", seen.display()))
        .expect("written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a mode");
    let mut command = scene.home.command(&["login", "main"]);
    let mut child = command.env("BROWSER", &script).stderr(Stdio::null()).stdout(Stdio::null()).spawn().expect("runs");
    let begin = std::time::Instant::now();
    while !seen.exists() {
        assert!(begin.elapsed().as_secs() < 30, "no browser was opened");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let url = fs::read_to_string(&seen).expect("read");
    browse(&browse(url.trim_end()).0.expect("the way back"));
    assert_eq!(child.wait().expect("ends").code(), Some(0));
}

#[test]
fn an_account_without_oauth2_has_no_login_to_make() {
    let home = Home::new();
    home.config("[account.main]\nremote = { host = \"h\", user = \"u\" }\nlocal = { path = \"~/Mail\" }\n");
    home.mailsync(&["login", "main"]).exits(2).says("no `oauth2`").done();
    home.mailsync(&["login", "other"]).exits(2).done();
}
