//! What may happen in a history, and how random histories are made of it.
//!
//! All of it is printed as Rust that can be pasted into a test.

pub use Act::*;
pub use During::*;
pub use Way::*;
pub use mailsync::mail::Side::{self, Local, Remote};
pub use mailsync::mail::Sides;
pub use mailsync::store::{Kind, Reach};

use super::support::world::space;
use mailsync::mail::FlagSpace;
use mailsync::store::memory::MemorySettings;
use mailsync::sync::Policy;
use proptest::collection::vec;
use proptest::prelude::*;

/// A history, between which stores and under which policy it is played.
#[derive(Clone, Debug)]
pub struct Case {
    pub natures: Sides<Nature>,
    pub way: Way,
    pub history: Vec<Act>,
}

/// One thing that happens. Folders, messages and flags are picked by number, whatever there are.
#[derive(Clone, Debug)]
pub enum Act {
    Put {
        on: Side,
        into: usize,
        mail: usize,
        flags: usize,
    },
    Reflag {
        on: Side,
        message: usize,
        flags: usize,
    },
    Delete {
        on: Side,
        message: usize,
    },
    /// A move by one command, by which a file keeps its name.
    Move {
        on: Side,
        message: usize,
        into: usize,
    },
    /// As mutt saves: a copy under a name of its own, then the old one is deleted.
    Save {
        on: Side,
        message: usize,
        into: usize,
    },
    /// The same bytes once more.
    Copy {
        on: Side,
        message: usize,
        into: usize,
    },
    /// A file gets another name, a client stores a message anew.
    Rekey {
        on: Side,
        message: usize,
    },
    MakeFolder {
        on: Side,
        folder: usize,
    },
    Sync,
    /// A dry run.
    Look,
    /// A sync during which something else happens.
    Troubled {
        during: Vec<(usize, During)>,
    },
    /// A sync during which a folder is listed without its last message, as incomplete.
    Blind {
        on: Side,
        folder: usize,
    },
    /// A sync whose state can't be written any more from a change of a row on.
    StateFails {
        at: usize,
    },
    /// The state is gone.
    LoseState,
    /// The state is what it was after an earlier sync.
    OlderState {
        which: usize,
    },
    /// A sync with the state of another account.
    ForeignState,
    /// A server gives a folder a new UIDVALIDITY, and its messages new UIDs in another order.
    NewValidity {
        on: Side,
        folder: usize,
    },
}

/// What happens during a run, at a step that is counted from its beginning: before and after each thing that the run
/// does to a store.
#[derive(Clone, Debug)]
pub enum During {
    /// Another program does something.
    Meanwhile(Box<Act>),
    /// The step fails.
    Fail { reach: Reach, kind: Kind },
    /// The step fails, and so does each that does the same for the rest of the run.
    FailOn { reach: Reach, kind: Kind },
    /// The program is killed.
    Killed,
}

/// What kind of store a side is.
#[derive(Clone, Copy, Debug)]
pub struct Nature {
    /// A Maildir; else a server.
    pub names: bool,
    pub condstore: bool,
    pub tell_keys: bool,
    pub email_ids: bool,
    pub list_cursors: bool,
    /// The flags that it can hold; all where empty.
    pub space: &'static str,
}

impl Nature {
    pub fn settings(&self) -> MemorySettings {
        let base = if self.names { MemorySettings::maildir() } else { MemorySettings::server() };
        MemorySettings {
            condstore: self.condstore,
            tell_keys: self.names || self.tell_keys,
            email_ids: self.email_ids && !self.names,
            list_cursors: self.list_cursors,
            space: if self.space.is_empty() { FlagSpace::all() } else { space(self.space) },
            ..base
        }
    }
}

/// What may be done to which side.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    Both,
    /// Everything goes from this side to the other, and nothing back.
    Mirror(Side),
    /// The same, but nothing is deleted.
    Archive(Side),
    /// Anything.
    Mixed {
        copy: Sides<bool>,
        flags: Sides<bool>,
        delete: Sides<bool>,
        create: Sides<bool>,
    },
}

impl Way {
    pub fn policy(self) -> Policy {
        let to = |source: Side| Sides::with(source, false, true);
        let nothing = Sides::new(false, false);
        match self {
            Both => Policy::default(),
            Mirror(from) => Policy { copy: to(from), flags: to(from), delete: to(from), create: to(from) },
            Archive(from) => Policy { copy: to(from), flags: to(from), delete: nothing, create: to(from) },
            Mixed { copy, flags, delete, create } => Policy { copy, flags, delete, create },
        }
    }
}

pub const FOLDERS: [&str; 4] = ["INBOX", "Lists/x", "Lists", "Work"];
/// Equal ones are put again and again; of these the `x` have no Message-ID, the `d` share one, and the `=` share size
/// and Message-ID.
pub const MAILS: [&str; 12] = ["a", "b", "c", "e", "f", "g", "x1", "x2", "d1", "d2", "=1", "=2"];
pub const FLAGS: [&str; 9] = ["", "S", "F", "FS", "R+todo", "T", "S+todo", "+later", "D"];

fn side() -> impl Strategy<Value = Side> + Clone {
    prop_oneof![Just(Local), Just(Remote)]
}

/// What people and other programs do on the sides that `on` gives.
fn people(on: impl Strategy<Value = Side> + Clone + 'static) -> BoxedStrategy<Act> {
    let all = (on, 0..100_usize, 0..FOLDERS.len(), 0..MAILS.len(), 0..FLAGS.len());
    let pick =
        |share: u32, act: fn((Side, usize, usize, usize, usize)) -> Act| (share, all.clone().prop_map(act).boxed());
    proptest::strategy::Union::new_weighted(vec![
        pick(6, |(on, _, into, mail, flags)| Put { on, into, mail, flags }),
        pick(4, |(on, message, _, _, flags)| Reflag { on, message, flags }),
        pick(3, |(on, message, ..)| Delete { on, message }),
        pick(3, |(on, message, into, ..)| Move { on, message, into }),
        pick(1, |(on, message, into, ..)| Save { on, message, into }),
        pick(1, |(on, message, into, ..)| Copy { on, message, into }),
        pick(1, |(on, message, ..)| Rekey { on, message }),
        pick(1, |(on, _, folder, ..)| MakeFolder { on, folder }),
    ])
    .boxed()
}

/// People, and syncs.
pub fn everyday(on: impl Strategy<Value = Side> + Clone + 'static) -> BoxedStrategy<Act> {
    prop_oneof![20 => people(on), 4 => Just(Sync), 1 => Just(Look)].boxed()
}

pub fn everyday_on_both() -> BoxedStrategy<Act> {
    everyday(side())
}

fn new_validity() -> BoxedStrategy<Act> {
    (side(), 0..FOLDERS.len()).prop_map(|(on, folder)| NewValidity { on, folder }).boxed()
}

/// What becomes of a state and of UIDs.
pub fn disaster() -> BoxedStrategy<Act> {
    prop_oneof![
        1 => Just(LoseState),
        1 => (0..10_usize).prop_map(|which| OlderState { which }),
        1 => Just(ForeignState),
        2 => new_validity(),
    ]
    .boxed()
}

fn failure() -> impl Strategy<Value = (Reach, Kind)> {
    let reach = prop_oneof![Just(Reach::Message), Just(Reach::Folder), Just(Reach::Connection), Just(Reach::Account)];
    let kind = prop_oneof![
        Just(Kind::Refused),
        Just(Kind::Later),
        Just(Kind::Network),
        Just(Kind::Disk),
        Just(Kind::Protocol),
        Just(Kind::Missing),
        Just(Kind::Reset),
    ];
    (reach, kind)
}

/// A sync in which other writers are at work.
pub fn busy() -> BoxedStrategy<Act> {
    let act = prop_oneof![12 => people(side()), 1 => new_validity()];
    let one = (0..60_usize, act.prop_map(|act| Meanwhile(Box::new(act))));
    vec(one, 1..4).prop_map(|during| Troubled { during }).boxed()
}

/// A sync in which something fails, with other writers at work or not.
pub fn failing() -> BoxedStrategy<Act> {
    let during = prop_oneof![
        3 => people(side()).prop_map(|act| Meanwhile(Box::new(act))),
        4 => failure().prop_map(|(reach, kind)| Fail { reach, kind }),
        2 => failure().prop_map(|(reach, kind)| FailOn { reach, kind }),
        2 => Just(Killed),
    ];
    prop_oneof![
        16 => vec((0..60_usize, during), 1..4).prop_map(|during| Troubled { during }),
        2 => (side(), 0..FOLDERS.len()).prop_map(|(on, folder)| Blind { on, folder }),
        1 => (0..30_usize).prop_map(|at| StateFails { at }),
    ]
    .boxed()
}

fn nature() -> impl Strategy<Value = Nature> {
    let space = prop_oneof![3 => Just(""), 1 => Just("DFPRST"), 1 => Just("FRS+todo")];
    (any::<[bool; 5]>(), space).prop_map(|([names, condstore, tell_keys, email_ids, list_cursors], space)| Nature {
        names,
        condstore,
        tell_keys,
        email_ids,
        list_cursors,
        space,
    })
}

/// Any two stores.
pub fn natures() -> BoxedStrategy<Sides<Nature>> {
    (nature(), nature()).prop_map(|(local, remote)| Sides::new(local, remote)).boxed()
}

/// Histories of acts like these, between any stores.
pub fn cases(way: impl Strategy<Value = Way> + 'static, act: BoxedStrategy<Act>) -> BoxedStrategy<Case> {
    let all = (natures(), way, vec(act, 1..25));
    all.prop_map(|(natures, way, history)| Case { natures, way, history }).boxed()
}

/// A policy that lets one side be.
pub fn one_way() -> BoxedStrategy<Way> {
    prop_oneof![side().prop_map(Mirror), side().prop_map(Archive)].boxed()
}

pub fn mixed() -> BoxedStrategy<Way> {
    let both = || (any::<bool>(), any::<bool>()).prop_map(|(local, remote)| Sides::new(local, remote));
    (both(), both(), both(), both())
        .prop_map(|(copy, flags, delete, create)| Mixed { copy, flags, delete, create })
        .boxed()
}

/// The same act on the other side.
pub fn exchange(act: &Act) -> Act {
    let mut act = act.clone();
    match &mut act {
        Put { on, .. }
        | Reflag { on, .. }
        | Delete { on, .. }
        | Move { on, .. }
        | Save { on, .. }
        | Copy { on, .. }
        | Rekey { on, .. }
        | MakeFolder { on, .. }
        | Blind { on, .. }
        | NewValidity { on, .. } => *on = on.other(),
        Sync | Look | Troubled { .. } | StateFails { .. } | LoseState | OlderState { .. } | ForeignState => {}
    }
    act
}
