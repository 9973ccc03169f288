//! Opening a mailbox: SELECT and EXAMINE, and what they say of it.

use super::conn::{Conn, during};
use super::error::ImapError;
use super::list;
use super::token::{Code, Response, Status, StatusKind};
use super::wire::Command;
use crate::mail::{Cursor, Flag, FlagSpace, Flags};
use crate::store::{Access, Kind, Reach, StoreError};
use std::time::Instant;

/// A mailbox as it was when it was selected.
#[derive(Clone, Debug)]
pub struct Selected {
    pub exists: u32,
    /// UIDVALIDITY; `None` where the server has none to speak of (missing, or 0).
    pub validity: Option<u32>,
    /// UIDNEXT; `None` where the server does not tell.
    pub uidnext: Option<u32>,
    /// HIGHESTMODSEQ; 0 where there are no modification sequences.
    pub modseq: u64,
    pub writable: bool,
    pub flag_space: FlagSpace,
    pub at: Instant,
}

impl Selected {
    /// Where the mailbox stood then.
    pub fn cursor(&self) -> Cursor {
        cursor(self.validity, self.uidnext, self.modseq, Some(self.exists))
    }
}

/// The cursor of a mailbox: the same from SELECT and from STATUS.
pub fn cursor(validity: Option<u32>, uidnext: Option<u32>, modseq: u64, count: Option<u32>) -> Cursor {
    let known = validity.is_some_and(|v| v > 0) && uidnext.is_some_and(|n| n > 0) && count.is_some();
    Cursor {
        generation: validity.unwrap_or(0).into(),
        mark: Mark { uidnext: uidnext.unwrap_or(0), modseq, count: count.unwrap_or(0) }.text(),
        conclusive: known && modseq > 0,
    }
}

/// What a cursor of an IMAP folder notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub uidnext: u32,
    pub modseq: u64,
    pub count: u32,
}

impl Mark {
    /// `uidnext=4 modseq=7 count=3`: made of every mailbox in every run.
    fn text(&self) -> String {
        let mut text = String::with_capacity("uidnext= modseq= count=".len() + 10 + 20 + 10);
        let numbers = [("uidnext=", self.uidnext.into()), (" modseq=", self.modseq), (" count=", self.count.into())];
        for (name, number) in numbers {
            text.push_str(name);
            text.push_str(itoa::Buffer::new().format::<u64>(number));
        }
        text
    }

    /// Reads its own text form back.
    pub fn parse(text: &str) -> Option<Mark> {
        let mut words = text.split(' ');
        let mut value = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
        let mark = Mark {
            uidnext: value("uidnext")?.parse().ok()?,
            modseq: value("modseq")?.parse().ok()?,
            count: value("count")?.parse().ok()?,
        };
        words.next().is_none().then_some(mark)
    }
}

/// Selects a mailbox. With `expect`, another UIDVALIDITY is [`Kind::Reset`].
pub fn select(conn: &mut Conn, mailbox: &[u8], access: Access, expect: Option<u64>) -> Result<Selected, StoreError> {
    select_and(conn, mailbox, access, expect, &[], &mut |_| {}).map(|(selected, _)| selected)
}

/// Selects a mailbox anew, whatever is selected.
pub fn reselect(conn: &mut Conn, mailbox: &[u8], access: Access, expect: Option<u64>) -> Result<Selected, StoreError> {
    conn.close();
    select(conn, mailbox, access, expect)
}

/// The command that selects a mailbox, without and with what this server is to be told besides.
fn commands(conn: &Conn, mailbox: &[u8], access: Access) -> (Command, Command) {
    let name = match access {
        Access::Read => "EXAMINE",
        Access::Write => "SELECT",
    };
    let plain = Command::new(name).string(mailbox);
    let command = match conn.condstore() && !conn.setup().qresync {
        true => plain.clone().text(" (CONDSTORE)"),
        false => plain.clone(),
    };
    (plain, command)
}

/// Begins what [`select_and`] will end, with the same `ahead`.
pub fn begin(conn: &mut Conn, mailbox: &[u8], access: Access, ahead: &[Command]) {
    let (_, command) = commands(conn, mailbox, access);
    conn.begin(&command, ahead);
}

/// Selects a mailbox and asks something of it in the same flight. How each of those commands ended is given unless they
/// could not be sent along.
pub fn select_and(
    conn: &mut Conn,
    mailbox: &[u8],
    access: Access,
    expect: Option<u64>,
    ahead: &[Command],
    each: &mut dyn FnMut(Response),
) -> Result<(Selected, Vec<Status>), StoreError> {
    conn.settle().map_err(during("log in"))?;
    let (plain, command) = commands(conn, mailbox, access);
    let name = plain.name;
    if let Some(expect) = expect
        && let Some(selected) = conn.trust(&command, expect)
    {
        return Ok((selected, Vec::new()));
    }
    let (mut status, mut selected, mut ended) = conn.select(&command, ahead, each).map_err(during("select"))?;
    if status.kind == StatusKind::Bad && conn.condstore() {
        // The parameter was too much for it.
        (status, selected, ended) = conn.select(&plain, &[], each).map_err(during("select"))?;
    }
    if let Err(error) = ImapError::check(name, status) {
        return Err(explain(conn, mailbox, during("select")(error)));
    }
    if let Some(expect) = expect
        && expect != u64::from(selected.validity.unwrap_or(0))
    {
        let cause = format!("its UIDVALIDITY is {}, and was {expect}", selected.validity.unwrap_or(0));
        return Err(StoreError::new(Reach::Folder, Kind::Reset, "select", cause));
    }
    Ok((selected, ended))
}

/// Many servers say NO and no more to the name of a folder that is not there.
pub fn explain(conn: &mut Conn, mailbox: &[u8], mut error: StoreError) -> StoreError {
    if error.kind == Kind::Refused && matches!(list::one(conn, mailbox), Ok(None)) {
        error.kind = Kind::Missing;
    }
    error
}

/// What the answers to a SELECT say, as they come.
pub struct Learned {
    found: Selected,
    /// Whether messages could be written to it, if nothing else is said.
    writable: bool,
}

impl Learned {
    /// Nothing yet, of what a command of this name opens.
    pub fn new(command: &str) -> Learned {
        let writable = command == "SELECT";
        Learned { found: Learned::nothing(writable), writable }
    }

    fn nothing(writable: bool) -> Selected {
        Selected {
            exists: 0,
            validity: None,
            uidnext: None,
            modseq: 0,
            writable,
            flag_space: FlagSpace::all(),
            at: Instant::now(),
        }
    }

    pub fn take(&mut self, response: &Response) {
        if let Response::Status(status) = response {
            if status.code == Some(Code::Closed) {
                // What came before was news of the mailbox that was selected before (RFC 7162 section 3.2.11).
                self.found = Learned::nothing(self.writable);
            }
            self.found.learn(status.code.as_ref());
        }
    }

    /// The whole of it, once the command has ended.
    pub fn finish(mut self, status: &Status, exists: u32) -> Selected {
        self.found.exists = exists;
        self.found.learn(status.code.as_ref());
        if !self.found.writable {
            self.found.flag_space = FlagSpace::none();
        }
        self.found
    }
}

impl Selected {
    fn learn(&mut self, code: Option<&Code>) {
        match code {
            Some(Code::UidValidity(validity)) => self.validity = Some(*validity).filter(|v| *v > 0),
            Some(Code::UidNext(next)) => self.uidnext = Some(*next).filter(|n| *n > 0),
            Some(Code::HighestModSeq(modseq)) => self.modseq = *modseq,
            Some(Code::NoModSeq) => self.modseq = 0,
            Some(Code::PermanentFlags(names)) => self.flag_space = flag_space(names),
            Some(Code::ReadOnly) => self.writable = false,
            _ => {}
        }
    }
}

/// What PERMANENTFLAGS allow; `*` stands for `\*` on some servers.
fn flag_space(names: &[String]) -> FlagSpace {
    let mut fixed: Flags = names.iter().filter_map(|name| Flag::from_imap(name)).collect();
    let any = names.iter().any(|name| name == "\\*" || name == "*");
    if any {
        // A keyword to the server, though it has a letter.
        fixed.insert(Flag::Forwarded);
    }
    FlagSpace { fixed, more: if any { usize::MAX } else { 0 } }
}

#[cfg(test)]
mod tests {
    use super::super::token::parse;
    use super::*;

    #[test]
    fn a_mark_reads_back() {
        let mark = Mark { uidnext: 4_294_967_295, modseq: 9_223_372_036_854_775_807, count: 3 };
        assert_eq!(Mark::parse(&mark.text()), Some(mark));
        for text in ["", "uidnext=1", "uidnext=1 modseq=2 count=x", "uidnext=1 modseq=2 count=3 more"] {
            assert_eq!(Mark::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_cursor_is_conclusive_only_with_all_of_it() {
        assert!(cursor(Some(1), Some(2), 3, Some(0)).conclusive);
        for (validity, uidnext, modseq, count) in [
            (None, Some(2), 3, Some(1)),
            (Some(1), None, 3, Some(1)),
            (Some(1), Some(2), 0, Some(1)),
            (Some(1), Some(2), 3, None),
        ] {
            assert!(!cursor(validity, uidnext, modseq, count).conclusive);
        }
    }

    #[test]
    fn what_is_said_of_the_mailbox_before_is_forgotten_when_that_is_closed() {
        let mut learned = Learned::new("SELECT");
        let say = |learned: &mut Learned, line: &[u8]| learned.take(&parse(line));
        say(&mut learned, b"* OK [HIGHESTMODSEQ 900] of the other one");
        say(&mut learned, b"* OK [PERMANENTFLAGS ()] of the other one");
        say(&mut learned, b"* OK [UIDNEXT 77] of the other one");
        say(&mut learned, b"* OK [CLOSED] the other one");
        say(&mut learned, b"* OK [UIDVALIDITY 7] of this one");
        let Response::Tagged { status, .. } = parse(b"m1 OK [READ-WRITE] done") else { panic!("a tagged line") };
        let selected = learned.finish(&status, 3);
        assert_eq!((selected.validity, selected.uidnext, selected.modseq), (Some(7), None, 0));
        assert!(selected.writable && selected.flag_space.holds(&Flag::Seen));
    }

    #[test]
    fn permanent_flags_say_what_can_be_held() {
        let names = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let space = flag_space(&names("\\Seen \\Flagged $Junk *"));
        assert!(space.holds(&Flag::Forwarded));
        assert!(space.holds(&Flag::Seen) && !space.holds(&Flag::Draft) && space.more > 0);
        assert!(!flag_space(&names("\\Seen")).holds(&Flag::from_imap("x").expect("a keyword")));
    }
}
