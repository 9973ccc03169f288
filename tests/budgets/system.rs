//! In system calls: a run with nothing to do, and what a change costs here.

use crate::scene::{GRAIN, Scene, folder};
use crate::support::*;
use std::thread;

const SYNCS: &[&str] = &["fsync", "fdatasync", "sync", "syncfs", "sync_file_range"];
const READS: &[&str] = &["read", "readv", "pread64", "preadv", "preadv2"];
const WRITES: &[&str] = &["write", "writev", "pwrite64", "pwritev", "pwritev2", "ftruncate", "truncate"];
const OPENS: &[&str] = &["open", "openat", "openat2", "creat"];
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
    // Nothing at all is made, changed or removed: a disk that sleeps may sleep on.
    let home = scene.home.path().display().to_string();
    for call in trace.calls(WRITES) {
        assert!(!call.of().starts_with(&home), "wrote: {call:?}");
    }
    assert!(trace.calls(NAMES).is_empty(), "{:?}", trace.calls(NAMES));
    let lock = scene.home.state("main").with_extension("lock").display().to_string();
    for call in
        trace.calls(OPENS).iter().filter(|call| ["O_CREAT", "O_TMPFILE"].iter().any(|how| call.args.contains(how)))
    {
        assert_eq!(call.opened.as_ref(), Some(&lock), "made: {call:?}");
    }
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

/// How often the folder's directory of seen messages was listed to its end.
fn listings(scene: &Scene, number: usize, trace: &Trace) -> usize {
    let cur = scene.maildir().root.join(folder(number)).join("cur").display().to_string();
    trace.calls(LISTS).into_iter().filter(|call| call.of() == cur && call.result == 0).count()
}

#[test]
fn a_new_message_is_read_twice_and_a_folder_listed_twice_at_most() {
    let scene = Scene::new(3, 4);
    for number in 0..3 {
        scene.maildir().remove(&scene.maildir().messages(&folder(number))[0]);
        // It may be one of those that went, under another name, in whatever folder.
        scene.save(number, &format!("9 of {number}"), "S");
    }
    // What a file holds is known for good only where it did not change a moment ago.
    thread::sleep(GRAIN);
    let trace = Trace::of(&scene.home, &["sync", "-q"]);
    for number in 0..3 {
        let new = scene.maildir().message(&folder(number), &format!("9 of {number}"));
        let path = new.path.display().to_string();
        let read: i64 = trace.calls(READS).iter().filter(|call| call.of() == path).map(|call| call.result).sum();
        // Once to know what it is, and once to send it.
        assert_eq!(read, 2 * new.bytes().len() as i64, "{path}");
        // What is missing is looked for a second time.
        assert_eq!(listings(&scene, number, &trace), 2);
    }
}

#[test]
fn flags_and_deletions_of_a_server_list_a_folder_once() {
    let mut scene = Scene::new(2, 6);
    for number in 0..2 {
        let uids: Vec<u32> = scene.server.messages(&folder(number)).iter().map(|message| message.uid).collect();
        scene.server.set_flags(&folder(number), uids[0], &["\\Flagged"], &[]);
        scene.server.expunge(&folder(number), &uids[3..4]);
    }
    let trace = Trace::of(&scene.home, &["sync", "-q"]);
    (0..2).for_each(|number| assert_eq!(listings(&scene, number, &trace), 1, "folder {number}"));
}
