//! Networks that come and go, in a network namespace of a test's own.

use crate::scene::Watch;
use crate::support::*;
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Runs a command to its end; what it says where it fails.
fn run(words: &[&str]) -> Result<(), String> {
    let output = Command::new(words[0]).args(&words[1..]).output().map_err(|err| format!("{words:?}: {err}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{words:?}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

#[test]
fn who_is_told_to_pause_offline_waits_for_a_network_and_goes_on_at_once() {
    if let Err(why) = run(&["unshare", "--net", "ip", "link"]) {
        println!("no network namespace is to be had here, left out: {why}");
        return;
    }
    let home = Home::new();
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    home.config(&format!(
        "[account.main]\nremote = {{ host = \"192.0.2.1\", port = {port}, user = \"x\", password = \"x\" }}\n\
         local = {{ path = \"~/Mail\" }}\n[watch]\npause_on = [\"offline\"]\n"
    ));
    // The namespace is the watch's own, and goes with it.
    let running = Watch::by(&home, &["unshare", "--net"], &["-d", "sync"]);
    running.until("it waits", || home.mailsync(&["status"]).stdout.contains("offline"));
    thread::sleep(Duration::from_secs(2));
    assert!(!running.said().contains("started"), "{}", running.said());
    let id = running.id().to_string();
    let inside = |words: &[&str]| run(&[&["nsenter", "--target", &id, "--net", "ip"], words].concat());
    for words in [
        &["link", "add", "away", "type", "veth", "peer", "name", "far"][..],
        &["address", "add", "198.51.100.1/24", "dev", "away"],
        &["link", "set", "away", "up"],
        &["link", "set", "far", "up"],
        &["route", "add", "default", "via", "198.51.100.2"],
    ] {
        if let Err(why) = inside(words) {
            println!("no such network is to be had here, left out: {why}");
            return;
        }
    }
    running.says("started");
    inside(&["route", "del", "default"]).expect("taken away again");
    running.until("it waits again", || home.mailsync(&["status"]).stdout.contains("offline"));
    running.stop();
}
