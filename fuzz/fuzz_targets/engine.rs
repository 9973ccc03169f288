//! Any history of two stores, with syncs, faults and disasters in between: in the end both sides are the same, nothing
//! was lost, nothing was doubled, and a further sync does nothing.
//!
//! The input is three bytes that say what the stores are like, and four bytes for each thing that happens.

#![no_main]
#![allow(dead_code, reason = "the model serves the tests of the program too")]

#[path = "../../tests/support/faulty.rs"]
mod faulty;
#[path = "../../tests/support/history.rs"]
mod history;
#[path = "../../tests/support/world.rs"]
mod world;

use faulty::Blow;
use history::{Act, FLAGS, FOLDERS, MAILS, Play};
use libfuzzer_sys::fuzz_target;
use mailsync::mail::{FlagSpace, Side, Sides};
use mailsync::store::Reach;
use mailsync::store::memory::{MemorySettings, When};

/// More would only be slower.
const ACTS: usize = 40;

fuzz_target!(|input: &[u8]| {
    let Some((stores, acts)) = input.split_first_chunk::<3>() else { return };
    let (acts, _) = acts.as_chunks::<4>();
    let history: Vec<Act> = acts.iter().take(ACTS).map(act).collect();
    let [local, remote, spaces] = *stores;
    let settings = Sides::new(settings(local, spaces & 15), settings(remote, spaces >> 4));
    Play::new(settings).play(&history);
});

fn settings(bits: u8, space: u8) -> MemorySettings {
    let bit = |at: u8| bits >> at & 1 == 1;
    let names = bit(0);
    let base = if names { MemorySettings::maildir() } else { MemorySettings::server() };
    let space = match space {
        1 => world::space("DFPRST"),
        2 => world::space("FRS+todo"),
        3 if names => base.space,
        _ => FlagSpace::all(),
    };
    MemorySettings {
        condstore: bit(1),
        tell_keys: names || bit(2),
        email_ids: !names && bit(3),
        list_cursors: bit(4),
        space,
        ..base
    }
}

fn act(bytes: &[u8; 4]) -> Act {
    let [kind, a, b, c] = bytes.map(usize::from);
    let on = if a & 1 == 0 { Side::Local } else { Side::Remote };
    let folder = b % FOLDERS.len();
    match kind % 24 {
        0..6 => Act::Put { on, folder, mail: c % MAILS.len(), flags: a / 2 % FLAGS.len() },
        6..9 => Act::Flag { on, message: b, flags: c % FLAGS.len() },
        9..12 => Act::Delete { on, message: b },
        12..15 => Act::Move { on, message: b, into: c % FOLDERS.len() },
        15 => Act::MakeFolder { on, folder },
        16 | 17 => Act::Sync,
        18 | 19 => Act::Struck { at: b, when: when(a), blow: Blow::Crash },
        20 => Act::Struck { at: b, when: when(a), blow: Blow::Fail(reach(c)) },
        21 => Act::LoseState,
        22 => Act::OlderState { which: b },
        _ => Act::NewValidity { on, folder },
    }
}

fn when(number: usize) -> When {
    if number & 1 == 0 { When::Before } else { When::After }
}

fn reach(number: usize) -> Reach {
    [Reach::Message, Reach::Folder, Reach::Connection, Reach::Account][number % 4]
}
