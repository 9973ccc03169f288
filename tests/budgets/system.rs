//! In system calls, a run with nothing to do.

use crate::scene::Scene;
use crate::support::*;

const SYNCS: &[&str] = &["fsync", "fdatasync", "sync", "syncfs", "sync_file_range"];
const READS: &[&str] = &["read", "readv", "pread64", "preadv", "preadv2"];
const WRITES: &[&str] = &["write", "writev", "pwrite64", "pwritev", "pwritev2", "ftruncate", "truncate"];
const LISTS: &[&str] = &["getdents", "getdents64"];
const NAMES: &[&str] = &[
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
];

/// Whether a path leads into a directory of messages, or is one.
fn is_among_messages(path: &str) -> bool {
    path.split('/').any(|part| part == "cur" || part == "new")
}

/// How often the state was read, and how many bytes.
fn read_of_state(home: &Home, trace: &Trace) -> (usize, i64) {
    let state = home.state("main").display().to_string();
    let reads: Vec<&Call> = trace.calls(READS).into_iter().filter(|call| call.of().starts_with(&state)).collect();
    (reads.len(), reads.iter().map(|call| call.result).sum())
}

#[test]
fn looks_at_no_message_lists_no_directory_and_writes_nothing() {
    let scene = Scene::new(20, 3);
    let trace = Trace::of(&scene.home, &["sync", "-q"]);
    for path in trace.opened() {
        assert!(!is_among_messages(path), "opened {path}");
    }
    assert!(trace.calls(SYNCS).is_empty(), "{:?}", trace.calls(SYNCS));
    // The lock says who has it. What SQLite keeps in shared memory while the state is open is made anew and removed.
    let home = scene.home.path().display().to_string();
    let state = scene.home.state("main");
    let passing = ["lock", "db-shm"].map(|end| state.with_extension(end).display().to_string());
    for call in trace.calls(WRITES) {
        assert!(!call.of().starts_with(&home) || passing.iter().any(|path| path == call.of()), "wrote: {call:?}");
    }
    let removed = |call: &Call| call.name.starts_with("unlink") && call.of().is_empty();
    assert!(trace.calls(NAMES).iter().all(|call| removed(call)), "{:?}", trace.calls(NAMES));
    assert!(trace.calls(NAMES).len() <= 2, "{:?}", trace.calls(NAMES));
    assert!(trace.calls(LISTS).is_empty(), "{:?}", trace.calls(LISTS));
}

#[test]
fn reads_as_much_of_the_state_for_many_messages_as_for_few() {
    let scene = Scene::new(2, 5);
    let (calls, few) = read_of_state(&scene.home, &Trace::of(&scene.home, &["sync", "-q"]));
    assert!(calls > 0, "the state was not seen to be read");
    (0..5_000).for_each(|message| scene.save(0, &format!("bulk {message}"), "S"));
    scene.home.sync();
    scene.settle();
    let (more_calls, many) = read_of_state(&scene.home, &Trace::of(&scene.home, &["sync", "-q"]));
    println!("{calls} reads, {few} bytes of the state with 10 messages; {more_calls}, {many} with 5,010");
    assert!(many <= 128 << 10 && many <= few + (16 << 10), "{few} bytes of the state, then {many}");
}

#[test]
fn on_a_plain_line_starts_no_tls_no_template_and_reads_the_config_once() {
    let scene = Scene::new(1, 1);
    let trace = Trace::of(&scene.home, &["sync", "-q"]);
    let opened = trace.opened();
    for path in &opened {
        assert!(!path.starts_with("/etc/ssl") && !path.contains("certs"), "opened {path}");
        assert!(!path.contains("template"), "opened {path}");
    }
    assert_eq!(opened.iter().filter(|path| path.ends_with("/config.toml")).count(), 1, "{opened:?}");
}
