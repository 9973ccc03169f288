//! What a service manager is told of a watch.

use crate::scene::Watch;
use crate::support::*;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

#[test]
fn a_service_manager_is_told_when_it_has_begun_how_things_are_and_that_it_lives() {
    let server = Dovecot::start();
    let home = Home::new();
    home.account(&server, "alice", "");
    let place = home.path().join("notify");
    let socket = UnixDatagram::bind(&place).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("set");
    let mut told: Vec<String> = Vec::new();
    let mut hear = |what: &str| {
        let begun = Instant::now();
        while !told.iter().any(|news| news.starts_with(what)) {
            assert!(begun.elapsed() < Duration::from_secs(30), "never told {what:?}: {told:?}");
            let mut buffer = [0; 4096];
            if let Ok(length) = socket.recv(&mut buffer) {
                told.push(String::from_utf8(buffer[..length].to_vec()).expect("text"));
            }
        }
        std::mem::take(&mut told)
    };
    let variables = [("NOTIFY_SOCKET", place.to_str().expect("UTF-8")), ("WATCHDOG_USEC", "2000000")];
    let running = Watch::with(&home, &[], &variables);
    hear("READY=1");
    hear("STATUS=main in step");
    hear("WATCHDOG=1");
    running.signal("HUP");
    hear("RELOADING=1\nMONOTONIC_USEC=");
    hear("READY=1");
    home.netrc("machine 127.0.0.1 login alice password wrong\n");
    running.signal("HUP");
    hear("STATUS=main: 127.0.0.1: log in: server refused");
    running.stop();
    hear("STOPPING=1");
}
