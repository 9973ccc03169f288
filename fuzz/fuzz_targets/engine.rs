//! Any history of two stores, with syncs, other writers, faults and disasters in between: in the end both sides are the
//! same, nothing was lost, nothing was doubled, and a further sync does nothing.
//!
//! The input is four bytes that say what the stores are like and what may be done to them, and four bytes for each thing
//! that happens. What tests/properties plays at random is played here by what has been covered.

#![no_main]
#![allow(dead_code, reason = "the model serves the tests of the program too")]

#[path = "../../tests/properties/acts.rs"]
mod acts;
#[path = "../../tests/properties/model.rs"]
mod model;
#[path = "../../tests/properties/play.rs"]
mod play;
#[path = "../../tests/properties/scene.rs"]
mod scene;
#[path = "../../tests/support"]
mod support {
    pub mod world;
}

use acts::*;
use libfuzzer_sys::fuzz_target;
use play::Play;

/// More would only be slower.
const ACTS: usize = 40;

fuzz_target!(|input: &[u8]| {
    let mut groups = Groups(input);
    let Some([local, remote, spaces, way]) = groups.next() else { return };
    let natures = Sides::new(nature(local, spaces % 16), nature(remote, spaces / 16));
    let history: Vec<Act> = std::iter::from_fn(|| act(&mut groups)).take(ACTS).collect();
    if std::env::var_os("MAILSYNC_HISTORY").is_some() {
        eprintln!("{natures:?}\n{:?}\n{history:#?}", policy(way));
    }
    Play::new(natures, policy(way)).play(&history);
});

/// Four bytes at a time.
struct Groups<'a>(&'a [u8]);

impl Iterator for Groups<'_> {
    type Item = [usize; 4];

    fn next(&mut self) -> Option<[usize; 4]> {
        let (group, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(group.map(usize::from))
    }
}

fn nature(bits: usize, space: usize) -> Nature {
    let bit = |at: usize| bits >> at & 1 == 1;
    let space = ["", "", "DFPRST", "FRS+todo"][space % 4];
    Nature { names: bit(0), condstore: bit(1), tell_keys: bit(2), email_ids: bit(3), list_cursors: bit(4), space }
}

fn side(number: usize) -> Side {
    if number & 1 == 0 { Local } else { Remote }
}

/// Most ways lead both ways.
fn policy(number: usize) -> Way {
    let both = |at: usize| Sides::new(number >> at & 1 == 1, number >> (at + 1) & 1 == 1);
    match number {
        0..128 => Both,
        128..160 => Mirror(side(number)),
        160..192 => Archive(side(number)),
        _ => Mixed { copy: both(0), flags: both(1), delete: both(2), create: both(3) },
    }
}

fn act(groups: &mut Groups<'_>) -> Option<Act> {
    let group @ [kind, a, b, _] = groups.next()?;
    let folder = b % FOLDERS.len();
    Some(match kind % 32 {
        18 | 19 => Sync,
        20 => Look,
        21..26 => Troubled { during: (0..1 + a % 3).map_while(|_| during(groups)).collect() },
        26 => Blind { on: side(a), folder },
        27 => StateFails { at: b % 40 },
        28 => LoseState,
        29 => OlderState { which: b },
        30 => ForeignState,
        31 => NewValidity { on: side(a), folder },
        _ => people(group),
    })
}

fn people([kind, a, b, c]: [usize; 4]) -> Act {
    let on = side(a);
    let into = c % FOLDERS.len();
    match kind % 32 {
        0..6 => Put { on, into: b % FOLDERS.len(), mail: c % MAILS.len(), flags: a / 2 % FLAGS.len() },
        6..9 => Reflag { on, message: b, flags: c % FLAGS.len() },
        9..12 => Delete { on, message: b },
        12..14 => Move { on, message: b, into },
        14 => Save { on, message: b, into },
        15 => Copy { on, message: b, into },
        16 => Rekey { on, message: b },
        17 => MakeFolder { on, folder: into },
        _ => NewValidity { on, folder: into },
    }
}

fn during(groups: &mut Groups<'_>) -> Option<(usize, During)> {
    let [what, at, reach, kind] = groups.next()?;
    let reach = [Reach::Message, Reach::Folder, Reach::Connection, Reach::Account][reach % 4];
    let kinds = [Kind::Refused, Kind::Later, Kind::Network, Kind::Disk, Kind::Protocol, Kind::Missing, Kind::Reset];
    let kind = kinds[kind % kinds.len()];
    let what = match what % 8 {
        0..3 => Meanwhile(Box::new(people(groups.next()?))),
        3 | 4 => Fail { reach, kind },
        5 => FailOn { reach, kind },
        _ => Killed,
    };
    Some((at % 80, what))
}
