//! Memory does not grow with the size of a message.

use crate::support::*;
use crate::world::*;
use std::time::Duration;

/// More than twice what the program may use.
const SIZE: usize = 150 << 20;
/// In KiB.
const LIMIT: u64 = 64 << 10;

#[test]
fn a_message_larger_than_memory_may_be_passes_both_ways() {
    let mut world = World::new(Dovecot::start());
    let line = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789\n";
    let mut message = mail("large");
    message.extend(line.iter().cycle().take(SIZE / line.len() * line.len()));
    world.server.append("INBOX", &crlf(&message), &[], Some(1_500_000_000));
    let peak = peak_of_sync(&world);
    assert!(peak < LIMIT, "a download took {peak} KiB");
    assert_eq!(world.maildir().message("INBOX", "large").sha256, sha256(&message));
    world.maildir().create("Up");
    message.extend_from_slice(b"and one more line\n");
    world.maildir().save("Up", &message, "S", Some(1_400_000_000));
    let peak = peak_of_sync(&world);
    assert!(peak < LIMIT, "an upload took {peak} KiB");
    assert_eq!(world.server.message("Up", "large").sha256, sha256(&message));
}

/// Runs a sync that must succeed; its largest resident set, in KiB.
fn peak_of_sync(world: &World) -> u64 {
    let mut run = world.home.start(&["sync", "-q"]);
    let status = format!("/proc/{}/status", run.id());
    let mut peak = 0;
    let code = loop {
        if let Some(code) = run.try_wait().expect("wait for the run") {
            break code;
        }
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let now =
            text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(now.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(code.success(), "{:?}", run.wait_with_output());
    assert!(peak > 0, "its memory could not be seen");
    peak
}
