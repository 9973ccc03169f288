//! What becomes of tokens: where they are kept, and when they are renewed.

use crate::scene::Scene;
use crate::support::*;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;

/// Says goodbye in the middle of a download, and then nothing more of that connection.
fn goodbye(text: &'static str, after: usize) -> proxy::Falsify {
    let (mut bodies, mut silent) = (0, false);
    Box::new(move |reply| {
        let line = String::from_utf8_lossy(&reply[..reply.len().min(80)]).into_owned();
        if line.starts_with("* OK [CAPABILITY") {
            silent = false;
        }
        bodies += usize::from(line.contains(" FETCH ") && reply.len() > 4000);
        match (silent, bodies == after) {
            (true, _) => Vec::new(),
            (false, true) => {
                (bodies, silent) = (after + 1, true);
                vec![format!("* BYE {text}\r\n").into_bytes()]
            }
            (false, false) => vec![reply],
        }
    })
}

#[test]
fn a_login_with_a_browser_gives_tokens_that_are_renewed() {
    let scene = Scene::new();
    scene.sync().exits(4).says("there is no OAuth2 token yet").says("mailsync login main").done();
    scene.log_in_well();
    let tokens = scene.tokens();
    assert_eq!(fs::metadata(&tokens[0]).expect("there").permissions().mode() & 0o777, 0o600);
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

/// Somebody who has logged in, with sixty messages of some length to come over one connection.
fn with_a_download() -> (Scene, Proxy) {
    let scene = Scene::new();
    let mut alice = scene.server.login("alice");
    for number in 0..60 {
        let text = [mail(&format!("long {number}")), "a line of a long text\n".repeat(400).into_bytes()].concat();
        alice.append("INBOX", &crlf(&text), &[], None);
    }
    let line = Proxy::to(scene.server.port);
    scene.config(&format!("port = {}\ntls = \"none\"\nconnections = 1", line.port), "");
    scene.log_in_well();
    (scene, line)
}

#[test]
fn tokens_that_end_in_the_middle_of_a_download_are_renewed_and_it_goes_on() {
    let (scene, line) = with_a_download();
    let begin = std::time::Instant::now();
    line.falsify(Some(goodbye("Session invalidated - AccessTokenExpired", 20)));
    // What was taken is taken no more: the server is told so by the provider.
    scene.provider.known().withdraw_at = Some(2);
    let out = scene.sync().exits(0);
    assert!(out.stderr.contains("AccessTokenExpired"), "{out}");
    // This server says goodbye without hanging up.
    assert!(begin.elapsed().as_secs() < 40, "{:?}", begin.elapsed());
    let said = String::from_utf8_lossy(&line.rearm(None).said).into_owned();
    assert_eq!(scene.home.maildir().messages("INBOX").len(), 61);
    let asked = scene.provider.known().asked.clone();
    assert_eq!(asked.iter().filter(|form| form["grant_type"] == "refresh_token").count(), 1, "{asked:?}");
    assert!(said.matches("AUTHENTICATE").count() <= 3, "{said}");
    scene.home.nothing_to_do();
}

#[test]
fn tokens_that_end_for_good_in_the_middle_end_the_run_and_the_next_one_resumes() {
    let (scene, line) = with_a_download();
    line.falsify(Some(goodbye("Session invalidated - AccessTokenExpired", 20)));
    scene.provider.known().withdraw_at = Some(2);
    scene.provider.known().refuse = Some(("invalid_grant", "revoked"));
    scene.sync().exits(4).says("the provider says invalid_grant: revoked").says("mailsync login main").done();
    let asked = scene.provider.known().asked.iter().filter(|form| form["grant_type"] == "refresh_token").count();
    assert!(asked <= 2, "asked {asked} times");
    line.falsify(None);
    scene.provider.known().refuse = None;
    scene.log_in_well();
    let before = line.rearm(None);
    assert!(before.down > 0);
    scene.sync().exits(0).done();
    assert_eq!(scene.home.maildir().messages("INBOX").len(), 61);
    // What the first run had got is not got again.
    let again = line.rearm(None);
    assert!(again.down < 61 * 8800 - 15 * 8800, "{} bytes", again.down);
}

#[test]
fn a_refresh_token_is_not_spent_where_the_next_one_can_not_be_kept() {
    let scene = Scene::new();
    scene.provider.known().expires_in = 1;
    scene.log_in_well();
    let hindrance = scene.tokens()[0].with_extension("new");
    fs::create_dir(&hindrance).expect("something in the way");
    scene.sync().exits(4).says("keep the OAuth2 token in ~/.local/state/mailsync/tokens/").done();
    assert_eq!(scene.provider.known().asked.len(), 1, "the refresh token was spent");
    fs::remove_dir(&hindrance).expect("out of the way");
    scene.sync().exits(0).done();
    assert!(!hindrance.exists());
}

#[test]
fn processes_that_renew_at_once_do_it_once() {
    let scene = Scene::new();
    scene.provider.known().expires_in = 1;
    scene.log_in_well();
    scene.provider.known().expires_in = 3600;
    scene.provider.known().pause = std::time::Duration::from_millis(300);
    let children: Vec<_> = (0..5).map(|_| scene.home.start(&["password", "get", "main"])).collect();
    for child in children {
        let out = child.wait_with_output().expect("ends");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        assert_eq!(String::from_utf8_lossy(&out.stdout).trim_end(), "access-2");
    }
    assert_eq!(scene.provider.known().asked.len(), 2);
}

#[test]
fn a_run_that_is_killed_after_it_renewed_leaves_the_new_tokens() {
    let scene = Scene::new();
    scene.provider.known().expires_in = 1;
    scene.log_in_well();
    // Whoever listens there says nothing: the run ends with the line that it waits for.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = silent.local_addr().expect("an address").port();
    scene.config(&format!("port = {port}\ntls = \"none\""), "");
    scene.provider.known().expires_in = 3600;
    let server = std::thread::spawn(move || {
        let (mut line, _) = silent.accept().expect("a client");
        std::io::Write::write_all(&mut line, b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] hello\r\n")
            .expect("sends");
        let mut said = String::new();
        BufReader::new(line.try_clone().expect("a stream")).read_line(&mut said).expect("a line");
        (line, said)
    });
    let mut child = scene.home.start(&["sync"]);
    let (_line, said) = server.join().expect("it was asked");
    assert!(said.contains("AUTHENTICATE XOAUTH2"), "{said}");
    child.kill().expect("killed");
    child.wait().expect("ends");
    let kept = fs::read_to_string(&scene.tokens()[0]).expect("the tokens");
    assert!(kept.contains("\"refresh-2\"") && kept.contains("\"access-2\""), "{kept}");
    let tls = format!("port = {}\nca_file = \"{}\"", scene.server.tls_port, scene.server.ca_file.display());
    scene.config(&tls, "");
    scene.sync().exits(0).done();
    assert_eq!(scene.provider.known().asked.len(), 2);
}

#[test]
fn tokens_may_be_in_the_keyring() {
    let keyring = Keyring::start();
    let scene = Scene::with_keyring(&keyring);
    let lookup = ["lookup", "service", "mailsync-oauth2", "host", "localhost", "user", "alice"];
    scene.sync().exits(4).says("there is no OAuth2 token yet").says("mailsync login main").done();
    // One that was kept in a file before is in the keyring alone then.
    let stale = scene.home.write(".local/state/mailsync/tokens/main.alice@localhost.json", "{}", 0o600);
    scene.log_in_well();
    assert!(!stale.exists());
    assert!(keyring.secret_tool(&lookup, "").0.contains("\"refresh-1\""));
    scene.sync().exits(0).done();
    assert_eq!(scene.home.maildir().messages("INBOX").len(), 1);
    scene.run(&["info"]).exits(0).says("password from mailsync login (OAuth2), by the keyring").done();

    // What was renewed is there too, and no file has any of it.
    scene.provider.known().access.clear();
    scene.sync().exits(0).done();
    assert!(keyring.secret_tool(&lookup, "").0.contains("\"refresh-2\""));
    let found =
        std::process::Command::new("grep").args(["-rlE", "(access|refresh)-[0-9]"]).arg(scene.home.path()).output();
    assert_eq!(String::from_utf8_lossy(&found.expect("grep").stdout), "");
    scene.run(&["password", "set", "main"]).exits(2).says("hint: mailsync login main").done();
    assert_eq!(scene.run(&["password", "get", "main"]).exits(0).stdout, "access-2\n");

    keyring.lock();
    scene.more_with("MAILSYNC_PASSWORD_TIMEOUT", "1").exits(4).says("keyring").never_says("refresh-").done();
    let none = Keyring::without_service();
    let address = none.address();
    scene.more_with("DBUS_SESSION_BUS_ADDRESS", &address).exits(4).says("the keyring can't be reached").done();
}

#[test]
fn tokens_are_forgotten() {
    let keyring = Keyring::start();
    for scene in [Scene::new(), Scene::with_keyring(&keyring)] {
        scene.run(&["password", "forget", "main"]).exits(0).says("there were no OAuth2 tokens").done();
        scene.log_in_well();
        scene.run(&["password", "forget", "main"]).exits(0).says("removed the OAuth2 tokens").done();
        assert!(scene.tokens().is_empty());
        scene.sync().exits(4).says("there is no OAuth2 token yet").done();
    }
}

#[test]
fn a_provider_that_says_nothing_holds_nobody_up_who_wants_to_stop() {
    let scene = Scene::new();
    scene.provider.known().expires_in = 1;
    scene.log_in_well();
    scene.provider.known().pause = std::time::Duration::from_secs(60);
    let child = scene.home.start(&["sync"]);
    let begin = std::time::Instant::now();
    while scene.provider.known().coming < 2 {
        assert!(begin.elapsed().as_secs() < 30, "the provider is not asked");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
    assert_eq!(child.wait_with_output().expect("ends").status.code(), Some(130));
    assert!(begin.elapsed().as_secs() < 20);
}

#[test]
fn what_a_provider_answers_instead_of_tokens_is_told() {
    let scene = Scene::new();
    scene.provider.known().expires_in = 1;
    scene.log_in_well();
    scene.provider.known().asked.clear();
    for (error, description, hint) in [
        ("invalid_grant", "AADSTS70008: The refresh token has expired.", "hint: the login has ended or was withdrawn"),
        ("invalid_client", "The OAuth client was not found.", "hint: the provider does not know this program"),
        ("invalid_scope", "", "hint: the program may not ask for this"),
        ("temporarily_unavailable", "", "hint: the provider has trouble"),
        ("interaction_required", "AADSTS50076", "hint: the provider wants to see you: mailsync login main"),
    ] {
        scene.provider.known().refuse = Some((error, description));
        let out = scene.sync().exits(4).says(&format!("the provider says {error}")).says(description).says(hint);
        // One question, whatever the number of connections.
        assert_eq!(out.stderr.matches("mailsync: main: ").count(), 1, "{out}");
        let asked = std::mem::take(&mut scene.provider.known().asked);
        assert_eq!(asked.len(), 1, "{asked:?}");
    }
    scene.provider.known().refuse = None;
    for (answer, said) in [
        ("<html>gateway timeout</html>", "is not JSON"),
        ("{\"error\": {\"status\": \"PERMISSION_DENIED\", \"message\": \"no\"}}", "says PERMISSION_DENIED: no"),
        ("{}", "it has no access_token"),
        ("[]", "it has no access_token"),
        ("{\"access_token\": \"\"}", "it has no access_token"),
    ] {
        scene.provider.known().answer = Some(answer.to_owned());
        scene.sync().exits(4).says(said).done();
    }
    scene.provider.known().answer = Some(format!("{{\"access_token\": \"{}\"}}", "x".repeat(70_000)));
    scene.sync().exits(4).says("its answer is too long").done();
    // Nothing of that took the place of the tokens that there are.
    scene.provider.known().answer = None;
    scene.provider.known().expires_in = 3600;
    scene.sync().exits(0).done();
}

#[test]
fn where_tokens_are_kept_is_one_of_two_places() {
    let scene = Scene::new();
    scene.config("port = 1\ntls = \"none\"", "store = \"paper\"");
    scene.run(&["info"]).exits(2).says("`store` must be \"file\" or \"keyring\"").done();
    scene.config("port = 1\ntls = \"none\"\nkeyring = true", "");
    let out = scene.run(&["info"]).exits(2).says("`keyring` beside `oauth2`: one of them only");
    out.says("hint: tokens in the keyring: oauth2 = { store = \"keyring\"").done();
    scene.home.config(
        "[account.main]\nremote = { command = [\"x\"], user = \"me\", oauth2 = { provider = \"gmail\", client_id = \"i\", \
         store = \"keyring\" } }\nlocal = { path = \"~/M\" }\n",
    );
    scene.run(&["info"]).exits(2).says("needs `host`: tokens are found there by host and user").done();
}

#[test]
fn a_provider_whose_certificate_is_not_trusted_is_told_nothing() {
    let scene = Scene::new();
    let url =
        format!("account.main.remote.oauth2.provider.device_url=https://localhost:{}/device", scene.server.tls_port);
    let out = scene.run(&["-o", &url, "login", "main", "--device"]).exits(4);
    out.says("begin the login: https://localhost:").says("its certificate is not trusted: ").done();
    // No network at all.
    let url = "account.main.remote.oauth2.provider.device_url=http://localhost:1/device";
    scene
        .run(&["-o", url, "login", "main", "--device"])
        .exits(4)
        .says("http://localhost:1/device: Connection refused")
        .done();
}

#[test]
fn a_proxy_leads_to_the_provider_too() {
    let scene = Scene::new();
    let server = scene.server.port;
    for scheme in ["socks5h", "http"] {
        let gateway = gateway::Gateway::open(Some(("me:k@y-of-it", "bWU6a0B5LW9mLWl0")));
        let proxy = format!("{scheme}://me:k%40y-of-it@127.0.0.1:{}", gateway.port);
        scene.config(&format!("port = {server}\ntls = \"none\"\nproxy = \"{proxy}\""), "");
        scene.provider.known().expires_in = 1;
        scene.run(&["login", "main", "--device"]).exits(0).done();
        let out =
            scene.sync().exits(0).never_says("k@y-of-it").never_says("k%40y-of-it").never_says("bWU6a0B5LW9mLWl0");
        out.done();
        let provider = format!("127.0.0.1:{}", scene.provider.port);
        let led = gateway.led();
        assert!(led.contains(&provider) && led.contains(&format!("localhost:{server}")), "{led:?}");
        let wrong = proxy.replace("k%40y", "another");
        scene.config(&format!("port = {server}\ntls = \"none\"\nproxy = \"{wrong}\""), "");
        let out = scene
            .run(&["-vv", "password", "get", "main"])
            .exits(4)
            .says("hint: the provider is asked through the `proxy`")
            .never_says("another-of-it");
        out.done();
    }
}

#[test]
fn a_refusal_that_no_token_can_help_costs_one_login() {
    let scene = Scene::new();
    scene.log_in_well();
    for (refusal, logins, hint) in [
        ("NO AUTHENTICATE failed.", 2, "get a new one: mailsync login main"),
        ("BAD User is authenticated but not connected.", 1, "the login was accepted and the mailbox refused"),
        ("NO [ALERT] Your account is not enabled for IMAP use. (Failure)", 1, "IMAP is switched off"),
        ("NO [ALERT] Too many simultaneous connections. (Failure)", 1, "fewer connections"),
        ("NO Temporary authentication failure. Request was throttled.", 1, "a pause"),
    ] {
        let play = format!(
            "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] hello
             C: T AUTHENTICATE XOAUTH2 *
             S: T {refusal}
             EOF"
        );
        scene.provider.known().asked.clear();
        let server = Script::play(&vec![play.as_str(); logins]);
        scene.config(&format!("port = {}\ntls = \"none\"\nconnections = 4", server.port), "");
        scene.sync().exits(4).says(hint).done();
        server.finish();
        assert_eq!(scene.provider.known().asked.len(), logins - 1, "{refusal}");
    }
}
