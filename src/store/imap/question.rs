//! What is asked of a mailbox along with its opening, and the answers.

use super::ahead::{self, Ahead};
use super::conn::Conn;
use super::download::flags_of;
use super::headers::header_command;
use super::select::Mark;
use super::token::{Fetch, Response, UidSet};
use super::wire::Command;
use crate::mail::{Cursor, Flags};

/// What can be asked of a mailbox before it is known how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Flags of all that changed after a modification sequence, and, with `vanished`, what is gone since.
    Since { modseq: u64, vanished: bool },
    /// Flags of all, with or without sizes.
    All { sizes: bool },
}

impl Question {
    pub fn command(&self) -> Command {
        let text = match self {
            Question::Since { modseq, vanished } => {
                let vanished = if *vanished { " VANISHED" } else { "" };
                format!(" 1:* (UID FLAGS) (CHANGEDSINCE {modseq}{vanished})")
            }
            Question::All { sizes: true } => " 1:* (UID FLAGS RFC822.SIZE)".to_owned(),
            Question::All { sizes: false } => " 1:* (UID FLAGS)".to_owned(),
        };
        Command::new("UID FETCH").text(text)
    }
}

/// What came in answer to a [`Question`].
#[derive(Debug, Default)]
pub struct Answer {
    /// UID, flags and size, as they came.
    pub listed: Vec<(u32, Flags, Option<u64>)>,
    /// Sets of UIDs that are said to be gone.
    pub vanished: Vec<UidSet>,
}

impl Answer {
    pub fn take(&mut self, response: Response) {
        match response {
            Response::Fetch(Fetch { uid: Some(uid), flags: Some(names), size, .. }) => {
                self.listed.push((uid, flags_of(&names), size));
            }
            Response::Vanished { uids, .. } => self.vanished.push(uids),
            _ => {}
        }
    }
}

/// A question that was sent along with the opening of the mailbox, and its answer.
pub struct Asked {
    pub question: Question,
    pub answer: Answer,
}

/// With fewer commands in flight, none is spent on what may not be needed.
const ROOMY: usize = 16;

/// Of larger mailboxes, not all is asked before it can be compared line by line: its answer would have to be kept.
const ALL_AHEAD: u64 = 20_000;

/// What is asked of a mailbox along with its opening.
#[derive(Default)]
pub struct Questions {
    pub changed: Option<Question>,
    /// What the messages of these UIDs are, the first and the last one: they are few, and new.
    pub new: Option<(u32, u32)>,
}

impl Questions {
    /// What will be asked of a mailbox most likely, going by what the list said of it.
    pub fn worth_asking(conn: &Conn, ahead: &Ahead, since: Option<&Cursor>, seen: Option<&Cursor>) -> Questions {
        let before = since.and_then(|since| Mark::parse(&since.mark));
        let now = seen.and_then(|seen| Mark::parse(&seen.mark));
        let same = since.is_none_or(|since| seen.is_some_and(|seen| seen.generation == since.generation));
        let Some(now) = now.filter(|now| now.count > 0 && same) else { return Questions::default() };
        match before {
            Some(before) if conn.condstore() && before.modseq > 0 && now.modseq >= before.modseq => {
                let changed = Question::Since { modseq: before.modseq, vanished: conn.setup().qresync };
                let (first, grown) = (before.uidnext, now.uidnext.saturating_sub(before.uidnext));
                let few = first > 0 && (1..=ahead::ASKED).contains(&grown);
                let asks = few && conn.pipeline() >= ROOMY && ahead.is_on();
                Questions { changed: Some(changed), new: asks.then(|| (first, now.uidnext - 1)) }
            }
            _ if u64::from(now.count) > ALL_AHEAD => Questions::default(),
            before => {
                let sizes = before.is_none_or(|before| before.uidnext == 0);
                Questions { changed: Some(Question::All { sizes }), new: None }
            }
        }
    }

    /// The commands, in this order.
    pub fn commands(&self, conn: &Conn) -> Vec<Command> {
        let new = |(first, last)| header_command(conn, &format!("{first}:{last}"), ahead::ASKED.into());
        self.changed.iter().map(Question::command).chain(self.new.map(new)).collect()
    }

    /// Whether it was asked what this message is.
    pub fn names(&self, uid: u32) -> bool {
        self.new.is_some_and(|(first, last)| (first..=last).contains(&uid))
    }
}
