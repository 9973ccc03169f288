//! Uploads: APPEND in groups (MULTIAPPEND), pipelined (LITERAL+, LITERAL-), or with literals that wait.

use super::conn::{Conn, during};
use super::error::ImapError;
use super::facade::Ignore;
use super::names::Astring;
use super::token::{Code, Status, StatusKind, internal_date};
use super::wire::{Command, Flight, Sorted, Tag, Wire};
use crate::mail::{FlagSpace, Flags, Key};
use crate::store::draft::draft_error;
use crate::store::{Kind, Mark, Outgoing, Reach, StoreError};
use std::collections::VecDeque;
use std::io::Read;

/// How many messages one command stores.
const GROUP_COUNT: usize = 100;

/// How many bytes one command stores, if it stores several messages.
const GROUP_BYTES: u64 = 4 * 1024 * 1024;

/// How many bytes may be on their way unanswered.
const WINDOW_BYTES: u64 = 8 * 1024 * 1024;

/// So little is sent in one piece, along with what goes into other mailboxes.
const SMALL: u64 = 256 * 1024;

/// How many commands may be unanswered.
const WINDOW: usize = 64;

const PIECE: usize = 64 * 1024;

/// What one message's upload came to.
type Stored = Result<Option<Key>, StoreError>;

/// Messages that go with one command: where they stand in the batch, and their size on the wire.
#[derive(Clone, Debug, Default)]
struct Group {
    members: Vec<usize>,
    bytes: u64,
}

/// Where messages are stored, and what may be sent along.
pub struct Target<'a> {
    pub mailbox: &'a [u8],
    /// UIDVALIDITY: an APPENDUID of another one is not believed.
    pub validity: Option<u32>,
    pub space: &'a FlagSpace,
}

/// Stores each message once or not at all; the answers are in the order of the messages.
pub fn upload(conn: &mut Conn, target: &Target<'_>, mut batch: Vec<Outgoing>) -> Result<Vec<Stored>, StoreError> {
    let mut results: Vec<Option<Stored>> = Vec::new();
    let limit = conn.caps().append_limit();
    for outgoing in &mut batch {
        let meter = outgoing.body.measure().map_err(|error| draft_error("read a message", error))?;
        let size = meter.wire_size();
        results.push(limit.filter(|limit| size > *limit).map(|limit| Err(too_large(size, limit))));
    }
    let fit: Vec<usize> = (0..batch.len()).filter(|at| results[*at].is_none()).collect();
    let several = conn.caps().has("MULTIAPPEND");
    let mut queue = groups(&fit, &batch, several);
    let binary = conn.caps().has("BINARY");
    while !queue.is_empty() {
        run_in_turn(conn, target, &mut batch, &mut queue, binary, &mut results)?;
    }
    // Without an answer it may have been stored: it is looked for, and not sent again unseen.
    Ok(results.into_iter().map(|result| result.unwrap_or(Ok(None))).collect())
}

/// Stores the groups that there are. What is left in `queue` then are those that were refused and made smaller.
fn run_in_turn(
    conn: &mut Conn,
    target: &Target<'_>,
    batch: &mut [Outgoing],
    queue: &mut VecDeque<Group>,
    binary: bool,
    results: &mut [Option<Stored>],
) -> Result<(), StoreError> {
    let small = queue.iter().map(|group| group.bytes).sum::<u64>() <= SMALL;
    let commands = match small {
        true => queue.iter().map(|group| whole(group, target, batch, binary)).collect::<Result<Vec<_>, _>>()?,
        false => Vec::new(),
    };
    let mut flight: Flight<Group> = Flight::default();
    let mut wire = match small && conn.may_go_apart(&commands) {
        true => {
            let (wire, tags) = conn.apart(commands).map_err(during("append"))?;
            tags.into_iter().for_each(|tag| flight.extend(tag, queue.pop_front()));
            wire
        }
        false => conn.wire().map_err(during("append"))?,
    };
    // Whether the last command was refused on its way: what its end says decides about the next one.
    let mut cut_off = false;
    let mut again = VecDeque::new();
    while !queue.is_empty() || !flight.is_empty() {
        let on_the_way: u64 = flight.iter().map(|group| group.bytes).sum();
        let fits =
            |group: &Group| flight.is_empty() || (flight.len() < WINDOW && on_the_way + group.bytes <= WINDOW_BYTES);
        if !cut_off
            && queue.front().is_some_and(fits)
            && let Some(group) = queue.pop_front()
        {
            let mut sender = Sender { wire: &mut wire, target, binary };
            let (tag, whole) = sender.send(&group, batch)?;
            flight.push(tag, group);
            cut_off = !whole;
            continue;
        }
        if queue.is_empty() {
            wire.close();
        }
        let response = wire.next(&mut Ignore).map_err(during("append"))?;
        let Sorted::Ended(group, status) = flight.sort(response).map_err(during("append"))? else { continue };
        cut_off &= !flight.is_empty();
        if let Some(error) = refuses_all(&group, &status) {
            // What is not on its way yet would be refused as well.
            let unsent = queue.drain(..).chain(again.drain(..)).flat_map(|group: Group| group.members);
            group.members.into_iter().chain(unsent).for_each(|at| results[at] = Some(Err(error.clone())));
            continue;
        }
        if status.kind != StatusKind::Ok && group.members.len() > 1 {
            // All or nothing: it was nothing.
            let alone = |at: &usize| Group { members: vec![*at], bytes: batch[*at].body.meter().wire_size() };
            again.extend(group.members.iter().map(alone));
            continue;
        }
        settle(&group, status, target.validity, batch, results);
    }
    *queue = again;
    Ok(())
}

/// The command that stores a group, messages and all.
fn whole(group: &Group, target: &Target<'_>, batch: &mut [Outgoing], binary: bool) -> Result<Command, StoreError> {
    let broken = |error| draft_error("read a message", error);
    let mut command = Command::new("APPEND").string(target.mailbox);
    for at in &group.members {
        let outgoing = &mut batch[*at];
        let size = outgoing.body.meter().wire_size();
        let prefix = prefix(outgoing, target.space, binary);
        let mut content = Vec::new();
        let reader = outgoing.body.reader().map_err(broken)?;
        // A file that grows is cut off by what it was measured to be.
        reader.take(2 * SMALL).read_to_end(&mut content).map_err(broken)?;
        let wire_form = ToCrlf::default().feed(&content).to_vec();
        if wire_form.len() as u64 != size {
            return Err(changed(Reach::Folder, size, wire_form.len() as u64));
        }
        command = command.text(prefix).literal(wire_form);
    }
    Ok(command)
}

/// What stands before a message: flags, date, and the mark of a binary literal.
fn prefix(outgoing: &Outgoing, space: &FlagSpace, binary: bool) -> String {
    let tilde = if outgoing.body.meter().has_nul && binary { "~" } else { "" };
    let flags = sendable(&outgoing.flags, space);
    let date = outgoing.date.filter(|date| (0..=LAST_DATE).contains(date));
    let date = date.map(|date| format!("\"{}\" ", internal_date(date))).unwrap_or_default();
    format!(" ({flags}) {date}{tilde}")
}

/// Why nothing more is taken, where that is so. A mailbox that has no room for a group may have some for each of its
/// messages.
fn refuses_all(group: &Group, status: &Status) -> Option<StoreError> {
    let error = ImapError::check("APPEND", status.clone()).err()?.into_store(Reach::Message, "append");
    if status.code == Some(Code::TryCreate) {
        // The mailbox is gone, and was there a moment ago.
        return Some(StoreError { reach: error.reach.max(Reach::Folder), kind: Kind::Missing, ..error });
    }
    let least = if group.members.len() > 1 { Reach::Connection } else { Reach::Folder };
    (error.reach >= least).then_some(error)
}

fn too_large(size: u64, limit: u64) -> StoreError {
    let cause = format!("the message has {size} bytes, and the server takes no more than {limit} (APPENDLIMIT)");
    StoreError::new(Reach::Message, Kind::Refused, "append", cause)
}

/// An empty message goes alone: in a group it would end the command (RFC 3502 section 6.3.11).
fn groups(which: &[usize], batch: &[Outgoing], several: bool) -> VecDeque<Group> {
    let mut groups: VecDeque<Group> = VecDeque::new();
    let mut open = false;
    for at in which {
        let size = batch[*at].body.meter().wire_size();
        match groups.back_mut() {
            Some(group)
                if several
                    && open
                    && size > 0
                    && group.members.len() < GROUP_COUNT
                    && group.bytes + size <= GROUP_BYTES =>
            {
                group.members.push(*at);
                group.bytes += size;
            }
            _ => groups.push_back(Group { members: vec![*at], bytes: size }),
        }
        open = size > 0;
    }
    groups
}

fn settle(group: &Group, status: Status, validity: Option<u32>, batch: &[Outgoing], results: &mut [Option<Stored>]) {
    let may_be_new = |(uid, at): (&u32, &usize)| is_above(*uid, &batch[*at].mark);
    let uids = match &status.code {
        Some(Code::AppendUid { validity: given, uids })
            if Some(*given) == validity
                && uids.len() == group.members.len()
                && uids.iter().zip(&group.members).all(may_be_new) =>
        {
            Some(uids.clone())
        }
        _ => None,
    };
    let refusal = ImapError::check("APPEND", status).err().map(|error| error.into_store(Reach::Message, "append"));
    if let (Some(error), [at]) = (refusal, group.members.as_slice()) {
        results[*at] = Some(Err(error));
        return;
    }
    for (number, at) in group.members.iter().enumerate() {
        results[*at] = Some(Ok(uids.as_ref().and_then(|uids| uids.get(number)).map(|uid| Key::Uid(*uid))));
    }
}

/// Whether a message that was stored after `mark` was reserved can have this UID: an older message can't be it,
/// whatever the server says.
pub fn is_above(uid: u32, mark: &Mark) -> bool {
    match mark {
        Mark::NotBelow(Key::Uid(floor)) => uid >= (*floor).max(1),
        _ => uid > 0,
    }
}

/// Puts APPEND commands on the line.
struct Sender<'a, 'w> {
    wire: &'a mut Wire<'w>,
    target: &'a Target<'a>,
    binary: bool,
}

impl Sender<'_, '_> {
    /// Sends one command, and says whether it went whole: where the server refuses it on the way, what is left of it is
    /// not sent.
    fn send(&mut self, group: &Group, batch: &mut [Outgoing]) -> Result<(Tag, bool), StoreError> {
        let tag = self.wire.begin("APPEND").map_err(during("append"))?;
        self.send_text(b"APPEND ")?;
        match Astring::new(self.target.mailbox) {
            Astring::Quoted(quoted) => self.send_text(&quoted)?,
            Astring::Literal(name) => {
                if !self.wire.literal(tag, "", name.len() as u64).map_err(during("append"))? {
                    return Ok((tag, false));
                }
                self.send_text(&name)?;
            }
        }
        for at in &group.members {
            let outgoing = &mut batch[*at];
            let size = outgoing.body.meter().wire_size();
            let prefix = prefix(outgoing, self.target.space, self.binary);
            if !self.wire.literal(tag, &prefix, size).map_err(during("append"))? {
                return Ok((tag, false));
            }
            self.send_content(outgoing, size)?;
        }
        self.send_text(b"\r\n")?;
        Ok((tag, true))
    }

    fn send_text(&mut self, text: &[u8]) -> Result<(), StoreError> {
        self.wire.line().send(text).map_err(during("append"))
    }

    /// Sends exactly `size` bytes. A file that changed since it was measured ends the connection: the server would
    /// take what follows for the message.
    fn send_content(&mut self, outgoing: &mut Outgoing, size: u64) -> Result<(), StoreError> {
        let broken = |error| draft_error("read a message", error).reaching(Reach::Connection);
        let mut reader = outgoing.body.reader().map_err(broken)?;
        let mut piece = vec![0; PIECE];
        let mut to_crlf = ToCrlf::default();
        let mut sent = 0;
        loop {
            let count = reader.read(&mut piece).map_err(broken)?;
            if count == 0 {
                break;
            }
            let wire_form = to_crlf.feed(&piece[..count]);
            sent += wire_form.len() as u64;
            if sent > size {
                break;
            }
            self.wire.line().send_body(wire_form).map_err(during("append"))?;
        }
        match sent == size {
            true => Ok(()),
            false => Err(changed(Reach::Connection, size, sent)),
        }
    }
}

fn changed(reach: Reach, before: u64, now: u64) -> StoreError {
    let cause = format!("the message changed while it was read: {before} bytes before, {now} now");
    StoreError::new(reach, Kind::Disk, "append", cause)
}

/// The last second of the year 9999: dates have four digits.
const LAST_DATE: i64 = 253_402_300_799;

/// The flags that may be sent, as they stand between parentheses.
fn sendable(flags: &Flags, space: &FlagSpace) -> String {
    flags.within(space).to_string()
}

/// Puts a CR before every LF that has none.
#[derive(Default)]
struct ToCrlf {
    /// The last byte of the piece before.
    last: u8,
    out: Vec<u8>,
}

impl ToCrlf {
    fn feed(&mut self, piece: &[u8]) -> &[u8] {
        self.out.clear();
        let mut from = 0;
        for at in memchr::memchr_iter(b'\n', piece) {
            let before = if at == 0 { self.last } else { piece[at - 1] };
            self.out.extend_from_slice(&piece[from..at]);
            if before != b'\r' {
                self.out.push(b'\r');
            }
            from = at;
        }
        self.out.extend_from_slice(&piece[from..]);
        self.last = piece.last().copied().unwrap_or(self.last);
        &self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Draft;

    fn crlf(pieces: &[&[u8]]) -> Vec<u8> {
        let mut to_crlf = ToCrlf::default();
        pieces.iter().flat_map(|piece| to_crlf.feed(piece).to_vec()).collect()
    }

    #[test]
    fn only_a_bare_lf_gets_a_cr() {
        assert_eq!(crlf(&[b"a\nb\r\nc\rd\n\n"]), b"a\r\nb\r\nc\rd\r\n\r\n");
    }

    #[test]
    fn a_cut_between_cr_and_lf_makes_no_difference() {
        let text = b"a\r\n\nb\r\r\n\r";
        for at in 0..=text.len() {
            assert_eq!(crlf(&[&text[..at], &text[at..]]), crlf(&[text]), "cut at {at}");
        }
    }

    fn outgoing(content: &[u8]) -> Outgoing {
        let mut body = Draft::new(tempfile::tempfile().expect("a file"), None);
        body.write(content).expect("writes");
        Outgoing { mark: Mark::NotBelow(Key::Uid(1)), flags: Flags::new(), date: None, body }
    }

    #[test]
    fn an_empty_message_goes_alone() {
        let batch: Vec<Outgoing> = [&b"a"[..], b"b", b"", b"c", b"d"].into_iter().map(outgoing).collect();
        let which: Vec<usize> = (0..5).collect();
        let members = |several| groups(&which, &batch, several).into_iter().map(|g| g.members).collect::<Vec<_>>();
        assert_eq!(members(true), [vec![0, 1], vec![2], vec![3, 4]]);
        assert_eq!(members(false).len(), 5);
    }

    #[test]
    fn an_appenduid_of_another_generation_or_length_or_of_older_messages_is_not_believed() {
        let group = Group { members: vec![0, 1], bytes: 2 };
        let mut batch = vec![outgoing(b"a"), outgoing(b"b")];
        batch.iter_mut().for_each(|outgoing| outgoing.mark = Mark::NotBelow(Key::Uid(4)));
        let status = |validity, uids: &[u32]| Status {
            kind: StatusKind::Ok,
            code: Some(Code::AppendUid { validity, uids: uids.to_vec() }),
            text: String::new(),
        };
        let settled = |status| {
            let mut results = vec![None, None];
            settle(&group, status, Some(7), &batch, &mut results);
            results.into_iter().map(|r| r.and_then(Result::ok).flatten()).collect::<Vec<_>>()
        };
        assert_eq!(settled(status(7, &[4, 5])), [Some(Key::Uid(4)), Some(Key::Uid(5))]);
        assert_eq!(settled(status(8, &[4, 5])), [None, None]);
        assert_eq!(settled(status(7, &[4])), [None, None]);
        assert_eq!(settled(status(7, &[3, 4])), [None, None]);
    }
}
