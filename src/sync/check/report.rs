//! What a check found.

use crate::mail::{FolderName, Key, Sides};
use crate::sync::{Outcome, Problem};
use std::fmt;

/// What a check found in one account.
#[derive(Debug)]
pub struct Checked {
    pub account: String,
    pub folders: Vec<FolderChecked>,
    /// What is wrong with the state as a whole.
    pub faults: Vec<Finding>,
    /// What could not be checked, and why.
    pub problems: Vec<Problem>,
    /// [`Outcome::InStep`] where everything could be checked and nothing is wrong, or is no more.
    pub outcome: Outcome,
}

/// What a check found in one folder.
#[derive(Debug, Default)]
pub struct FolderChecked {
    pub names: Sides<Option<FolderName>>,
    /// Pairs of messages that the state knows.
    pub pairs: u64,
    pub findings: Vec<Finding>,
    pub ahead: Ahead,
    pub seen: Seen,
}

/// What the next sync will have to do: no fault of the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ahead {
    /// Messages that are new on a side.
    pub new: Sides<usize>,
    /// New messages of which each side has one: they will be paired, and not copied.
    pub to_pair: usize,
    /// Pairs whose message is gone on a side; on both, they are counted on both.
    pub gone: Sides<usize>,
    /// Messages whose flags changed on a side.
    pub flags: Sides<usize>,
    /// Copies that were begun and not confirmed.
    pub begun: usize,
    /// Pairs whose folder has new numbers (UIDVALIDITY): they will be made anew by identity.
    pub renumbered: usize,
    /// The folder is not there, on these sides.
    pub folder: Sides<bool>,
}

/// What is there and is nobody's fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Messages that a side has more than once, less one of each.
    pub doubles: Sides<usize>,
    /// Pairs whose content differs under one Message-ID: a server that rewrites mail, a file that was edited.
    pub altered: usize,
    /// Messages that wait for another try to copy them.
    pub waiting: Sides<usize>,
}

/// Something that is wrong.
#[derive(Clone, Debug)]
pub struct Finding {
    pub fault: Fault,
    /// The messages that it is about, where it is about any.
    pub keys: Sides<Option<Key>>,
    /// Whether the state was mended.
    pub mended: bool,
}

/// What may be wrong with a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A pair of two different messages.
    WrongPair,
    /// The same pair twice, or a second pair for a message whose other message is nowhere.
    SecondPair,
    /// A pair of which a message was never there, or vanished without the next sync noticing.
    DeadPair,
    /// The state remembers something else of a message than what it is.
    WrongMemory,
    /// The state remembers flags that the message does not have, and the next sync would not notice.
    WrongFlags,
    /// A message without a pair that the next sync would not notice.
    Overlooked,
    /// The state says that the folder has other numbers (UIDVALIDITY) than those that its pairs are known by.
    WrongGeneration,
    /// The state says that a side was dealt with up to a point that it has not reached.
    WrongCursor,
    /// Pairs of a side of which the state does not say how far it was dealt with.
    NoCursor,
    /// The state knows a folder that is on neither side.
    DeadFolder,
    /// A message that could not be read, so that nothing can be said of its pair.
    Unreadable,
    /// SQLite says that the file is damaged; what it says.
    Damaged(String),
}

impl Fault {
    /// A word for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Fault::WrongPair => "wrong-pair",
            Fault::SecondPair => "second-pair",
            Fault::DeadPair => "dead-pair",
            Fault::WrongMemory => "wrong-memory",
            Fault::WrongFlags => "wrong-flags",
            Fault::Overlooked => "overlooked",
            Fault::WrongGeneration => "wrong-generation",
            Fault::WrongCursor => "wrong-cursor",
            Fault::NoCursor => "no-cursor",
            Fault::DeadFolder => "dead-folder",
            Fault::Unreadable => "unreadable",
            Fault::Damaged(_) => "damaged",
        }
    }

    /// Whether `--repair` can mend it.
    pub fn can_be_mended(&self) -> bool {
        !matches!(self, Fault::Unreadable | Fault::Damaged(_))
    }

    /// What is to be done about it, where mending the state is not the answer.
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Fault::Unreadable => {
                Some("see whether the file may be read, or the server gives the message out; then check again")
            }
            Fault::Damaged(_) => {
                Some("move the state file away: the next sync pairs both sides anew and deletes nothing")
            }
            _ => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::WrongPair => "these are two different messages, and the state takes them for one",
            Fault::SecondPair => {
                "the state has a second pair for this message, with one that is not there or twice the same"
            }
            Fault::DeadPair => "the state has a pair of which a message is not there, and would go on believing in it",
            Fault::WrongMemory => "the state remembers another size, Message-ID or content than the message has",
            Fault::WrongFlags => "the state remembers other flags than the message has, and would go on doing so",
            Fault::Overlooked => "the state does not know this message, and the next sync would not notice it",
            Fault::WrongGeneration => "the state says another UIDVALIDITY than the one by which it knows the messages",
            Fault::WrongCursor => "the state says that it dealt with changes that have not happened yet",
            Fault::NoCursor => "the state does not say up to which change it dealt with this folder",
            Fault::DeadFolder => "the state knows this folder, which is on neither side",
            Fault::Unreadable => "a message could not be read, or went away meanwhile: its pair can't be judged",
            Fault::Damaged(what) => return write!(f, "the state file is damaged: {what}"),
        })
    }
}

/// The messages, as people are told of them: `local NAME, remote UID 7`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.keys.iter().filter_map(|(side, key)| Some(format!("{side} {}", key.as_ref()?)));
        let named: Vec<String> = named.collect();
        match named.is_empty() {
            true => write!(f, "{}", self.fault),
            false => write!(f, "{}: {}", named.join(", "), self.fault),
        }
    }
}
