//! How somebody logs in: with a browser, or on another device.

use crate::scene::Scene;
use crate::support::oauth::{browse, fields};
use crate::support::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

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
        let elsewhere = browse(&format!("{back}elsewhere?code=evil&state={state}")).1;
        assert!(elsewhere.starts_with("HTTP/1.1 404"), "{elsewhere}");
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

#[test]
fn a_device_s_login_is_waited_for_patiently_but_not_for_ever() {
    let scene = Scene::new();
    let login = || scene.run(&["login", "main", "--device"]);
    // The line may be gone for a moment; to be asked more seldom is one second and five.
    scene.provider.known().device = vec!["broken", "authorization_pending", "slow_down"];
    let begin = std::time::Instant::now();
    login().exits(0).says("logged in: main").done();
    assert!(begin.elapsed().as_secs() >= 9, "{:?}", begin.elapsed());
    for (error, said) in [
        ("expired_token", "hint: nobody entered the code in time: mailsync login main --device"),
        ("access_denied", "hint: the login was refused"),
    ] {
        scene.provider.known().device = vec![error];
        login().exits(4).says(&format!("get an OAuth2 token: the provider says {error}")).says(said).done();
    }
}

#[test]
fn who_connects_and_says_nothing_keeps_no_browser_waiting() {
    let scene = Scene::new();
    let begin = std::time::Instant::now();
    let (said, code) = scene.log_in(|url| {
        let back = fields(url.split_once('?').expect("a query").1)["redirect_uri"].clone();
        let place = back.trim_start_matches("http://").trim_end_matches('/').replace("localhost", "127.0.0.1");
        let idle: Vec<_> = (0..20).map(|_| std::net::TcpStream::connect(&place).expect("it listens")).collect();
        let shown = browse(&browse(url).0.expect("the way back")).1;
        drop(idle);
        shown
    });
    assert_eq!(code, Some(0), "{said}");
    assert!(begin.elapsed().as_secs() < 40, "{:?}", begin.elapsed());
}
