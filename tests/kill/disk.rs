//! A disk that is full, broken or read-only: the run says so and fails for what it concerns, nothing is left half done,
//! and the next run finishes the job.

use crate::attack::Siege;
use crate::support::*;

const ERRORS: [(&str, &str); 4] = [
    ("ENOSPC", "No space left on device"),
    ("EIO", "Input/output error"),
    ("EROFS", "Read-only file system"),
    ("EDQUOT", "Disk quota exceeded"),
];

/// Lets one thing of every kind happen, and has the n-th passing of a point fail, for every n; all after it too for
/// every second n, and both for every n where the environment asks for many rounds.
fn fail_at_each(point: &str) {
    let mut siege = Siege::of(Dovecot::start(), 5);
    siege.settle();
    let all = std::env::var_os("MAILSYNC_ROUNDS").is_some();
    for at in 1.. {
        let kinds: &[&str] = if all { &["", "+"] } else { [&["+"], &[""]][at % 2] };
        if !kinds.iter().all(|onwards| fails_at(&mut siege, point, at, onwards)) {
            return;
        }
    }
}

/// Whether so many points were passed at all.
fn fails_at(siege: &mut Siege, point: &str, at: usize, onwards: &str) -> bool {
    siege.life.all_happen();
    let (error, text) = ERRORS[at / 2 % ERRORS.len()];
    let run = siege.run(None, Some(&format!("{point}:{at}{onwards}={error}")));
    siege.ended(&run);
    assert_eq!(siege.settle(), 1, "the next run does not finish the job\n{}", run.output);
    let Some(struck) = run.points.iter().filter(|name| name.starts_with(point)).nth(at - 1) else {
        assert!(at > 10, "a run passes too few points\n{}", run.output);
        return false;
    };
    // What is only asked for to save work may fail once without harm.
    let harmless = onwards.is_empty() && ["disk.stat", "disk.open"].contains(&struck.as_str());
    if !(harmless && run.output.code == Some(0)) {
        run.output.exits(1).says("mailsync: main").says(text).says("hint: ").done();
    }
    true
}

#[test]
fn a_disk_that_fails_costs_one_run() {
    fail_at_each("disk");
}

#[test]
fn a_state_that_cannot_be_written_costs_one_run() {
    fail_at_each("state");
}
