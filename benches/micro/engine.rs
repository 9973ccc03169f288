//! What decides, and whole runs between stores in memory.

use crate::sampler::Sampler;
use crate::support::world::{Bench, folder};
use mailsync::mail::{Appeared, Flag, FlagSpace, Flags, Identity, Key, PairId, Side, Sides};
use mailsync::store::memory::MemorySettings;
use mailsync::sync::reconcile::{Input, Now, Touched, reconcile};
use mailsync::sync::rematch::{Candidate, Trust, rematch};
use mailsync::sync::{Outcome, Policy};

/// Changes of a folder, half of them of flags, a quarter deletions, a quarter new.
const CHANGES: usize = 1_000;
/// Messages of a first sync.
const MESSAGES: usize = 50_000;
const FOLDERS: usize = 20;

pub fn measure(sampler: &Sampler) {
    sampler.run("engine: reconcile 1,000 changes", (CHANGES as u64, "changes"), changes, reconcile);

    let sides = candidates();
    let given = || sides.as_ref().map(Vec::as_slice);
    let match_them = |sides| rematch(sides, Trust::MessageId);
    sampler.run("engine: rematch 50,000 messages by Message-ID", (MESSAGES as u64, "messages"), given, match_them);

    let whole = "engine: first sync of 50,000 messages between stores in memory";
    let nothing = "engine: nothing to do in 50,000 messages between stores in memory";
    if !sampler.wants(whole) && !sampler.wants(nothing) {
        return;
    }
    let bench = filled();
    let run = |bench: Bench| {
        let ran = bench.run();
        assert_eq!(ran.outcome, Outcome::InStep, "{ran:?}");
        bench
    };
    sampler.run(whole, (MESSAGES as u64, "messages"), || bench.fork(), run);
    let synced = run(bench);
    assert_eq!(synced.worlds.local.messages().len(), MESSAGES);
    sampler.run(nothing, (MESSAGES as u64, "messages"), || (), |()| synced.run().did_nothing());
}

fn uid(number: usize) -> Key {
    Key::Uid(u32::try_from(number + 1).expect("a UID"))
}

fn name(number: usize) -> Key {
    Key::Name(format!("1700000000.M{number}P1.host").into_bytes().into())
}

fn seen() -> Flags {
    [Flag::Seen].into_iter().collect()
}

fn changes() -> Input<'static> {
    let touched = (0..CHANGES * 3 / 4).map(|number| Touched {
        pair: PairId(number as i64),
        keys: Sides { local: name(number), remote: uid(number) },
        base: Sides::new(Flags::default(), Flags::default()),
        now: match number % 3 {
            0 => Sides { local: Now::There(seen()), remote: Now::There(Flags::default()) },
            1 => Sides { local: Now::There(Flags::default()), remote: Now::There(seen()) },
            _ => Sides { local: Now::There(Flags::default()), remote: Now::Gone },
        },
    });
    let appeared = |number: usize| Appeared { key: uid(number), flags: seen(), size: Some(8_000) };
    Input {
        touched: touched.collect(),
        new: Sides { local: Vec::new().into(), remote: (CHANGES * 3 / 4..CHANGES).map(appeared).collect() },
        bound: Vec::new(),
        spaces: Sides::new(FlagSpace::all(), FlagSpace::all()),
        policy: Policy::default(),
        writable: Sides::new(true, true),
    }
}

fn candidates() -> Sides<Vec<Candidate>> {
    let candidate = |key: Key, number: usize| {
        let message_id = Some(format!("<{number}.{}@example.org>", number * 7919));
        Candidate { key, identity: Identity { size: Some(8_000), message_id, ..Identity::default() } }
    };
    Sides::from_fn(|side| {
        let key = |number| if side == Side::Local { name(number) } else { uid(number) };
        (0..MESSAGES).map(|number| candidate(key(number), number)).collect()
    })
}

/// A server with messages and a Maildir without.
fn filled() -> Bench {
    let bench = Bench::new(MemorySettings::maildir(), MemorySettings::server());
    let folders: Vec<_> = (0..FOLDERS).map(|n| folder(&format!("Folder-{n}"))).collect();
    folders.iter().for_each(|name| bench.worlds.remote.make_folder(name));
    for number in 0..MESSAGES {
        let content = format!("Subject: {number}\nMessage-ID: <{number}@example.org>\n\nA text.\n");
        bench.worlds.remote.put(&folders[number % FOLDERS], content.as_bytes(), &seen(), Some(1_700_000_000));
    }
    bench
}
