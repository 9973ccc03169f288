//! What the engine tells of single messages: each change once, on the side where it was made, and only where it is asked to.

mod support;

use mailsync::mail::{Side, Sides};
use mailsync::store::memory::MemorySettings;
use mailsync::sync::event::Deed;
use mailsync::sync::{Counts, Event, Options, run};
use std::sync::Mutex;
use support::world::{Bench, delete, fill, reflag, relocate};

/// What was counted, and what was told of single messages: unread ones that came to the local side, too.
#[derive(Debug, Default)]
struct Heard {
    counts: Counts,
    told: Counts,
    left: Sides<usize>,
    unread: usize,
}

fn sync(bench: &Bench, each_message: bool) -> Heard {
    let heard = Mutex::new(Heard::default());
    let heard_by = std::sync::Arc::new(heard);
    let listener = heard_by.clone();
    let observer = move |event: Event| {
        let Event::Messages { on, deed, messages, .. } = event else { return };
        let mut heard = listener.lock().expect("nobody panicked");
        heard.unread += messages.iter().filter(|message| message.unread && on == Side::Local).count();
        match deed {
            Deed::Copied => heard.told.copied[on] += messages.len(),
            Deed::Arrived => heard.told.moved[on] += messages.len(),
            Deed::Left => heard.left[on] += messages.len(),
            Deed::Flagged => heard.told.flagged[on] += messages.len(),
            Deed::Deleted => heard.told.deleted[on] += messages.len(),
        }
    };
    let options = Options { accounts_at_once: 1, each_message, ..Options::default() };
    let report = run(vec![bench.account("main")], &options, &observer, &bench.stop);
    drop(observer);
    let mut heard = std::mem::take(&mut *heard_by.lock().expect("nobody panicked"));
    heard.counts = report.counts();
    heard
}

fn benches() -> [Bench; 3] {
    [
        Bench::new(MemorySettings::maildir(), MemorySettings::server()),
        Bench::new(MemorySettings::maildir(), MemorySettings::plain_server()),
        Bench::new(MemorySettings::plain_server(), MemorySettings::server()),
    ]
}

#[test]
fn every_change_is_told_once_and_as_it_is_counted() {
    for bench in benches() {
        let Sides { local, remote } = &bench.worlds;
        fill(remote, &["INBOX: a b:S c d e", "Other: o"]);
        fill(local, &["INBOX: l m"]);
        let first = sync(&bench, true);
        assert_eq!(first.told.copied, Sides::new(6, 2), "{first:?}");
        assert_eq!((first.told.copied, first.unread), (first.counts.copied, 5));
        reflag(remote, "INBOX", "a", "S");
        delete(remote, "INBOX", "c");
        relocate(remote, "INBOX", "d", "Other");
        delete(local, "INBOX", "l");
        let second = sync(&bench, true);
        let (told, counts) = (second.told, second.counts);
        assert_eq!((told.copied, told.moved), (Sides::default(), counts.moved), "{second:?}");
        assert_eq!((told.flagged, told.deleted), (counts.flagged, counts.deleted), "{second:?}");
        assert_eq!(told.deleted, Sides::new(1, 1), "{second:?}");
        assert_eq!((told.flagged.local, told.moved, second.left), (1, second.left, Sides::new(1, 0)), "{second:?}");
        assert_eq!(second.unread, 0);
    }
}

#[test]
fn who_does_not_ask_is_told_of_no_message() {
    for bench in benches() {
        fill(&bench.worlds.remote, &["INBOX: a b"]);
        let heard = sync(&bench, false);
        assert_eq!((heard.counts.copied.local, heard.told), (2, Counts::default()));
    }
}
