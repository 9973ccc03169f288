//! Uploads: APPEND in groups (MULTIAPPEND), pipelined (LITERAL+, LITERAL-), or with literals that wait.

use super::conn::{Conn, during};
use super::content::Content;
use super::error::ImapError;
use super::facade::Ignore;
use super::select::explain;
use super::token::{Code, Status, StatusKind, internal_date};
use super::turn::WRITTEN_BYTES;
use super::wire::{Command, Flight, Sorted, Tag, Wire};
use crate::mail::{FlagSpace, Flags, Key};
use crate::store::{Kind, Mark, Outgoing, Reach, StoreError};
use std::collections::VecDeque;
use std::mem;

/// How many messages one command stores.
const GROUP_COUNT: usize = 100;

/// How many bytes one command stores, if it stores several messages.
const GROUP_BYTES: u64 = 4 * 1024 * 1024;

/// How many commands may be unanswered.
const WINDOW: usize = 64;

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

/// A message that is stored.
struct Item {
    mark: Mark,
    flags: Flags,
    date: Option<i64>,
    content: Content,
}

/// Stores each message once or not at all; the answers are in the order of the messages.
pub fn upload(conn: &mut Conn, target: &Target<'_>, batch: Vec<Outgoing>) -> Result<Vec<Stored>, StoreError> {
    let batch: Vec<Item> = batch
        .into_iter()
        .map(|Outgoing { mark, flags, date, body }| Ok(Item { mark, flags, date, content: Content::new(body)? }))
        .collect::<Result<_, StoreError>>()?;
    let limit = conn.caps().append_limit();
    let refused = |size: u64| limit.filter(|limit| size > *limit).map(|limit| Err(too_large(size, limit)));
    let mut results: Vec<Option<Stored>> = batch.iter().map(|item| refused(item.content.size())).collect();
    let fit: Vec<usize> = (0..batch.len()).filter(|at| results[*at].is_none()).collect();
    let several = conn.caps().has("MULTIAPPEND");
    let mut queue = groups(&fit, &batch, several);
    while !queue.is_empty() {
        run_in_turn(conn, target, &batch, &mut queue, &mut results)?;
    }
    // Without an answer it may have been stored: it is looked for, and not sent again unseen.
    Ok(results.into_iter().map(|result| result.unwrap_or(Ok(None))).collect())
}

/// Stores the groups that there are. What is left in `queue` then are those that were refused and made smaller.
fn run_in_turn(
    conn: &mut Conn,
    target: &Target<'_>,
    batch: &[Item],
    queue: &mut VecDeque<Group>,
    results: &mut [Option<Stored>],
) -> Result<(), StoreError> {
    let binary = conn.caps().has("BINARY");
    let mut commands: VecDeque<Command> = queue.iter().map(|group| command(group, target, batch, binary)).collect();
    let error = match open(conn, &mut commands) {
        Ok((wire, tags)) => return store(wire, (tags, commands), target.validity, batch, queue, results),
        Err(error) => error,
    };
    Err(not_opened(conn, target.mailbox, error))
}

/// The line with the mailbox selected; the commands are sent already, and taken, if they can be.
fn open<'a>(conn: &'a mut Conn, commands: &mut VecDeque<Command>) -> Result<(Wire<'a>, Vec<Tag>), ImapError> {
    match conn.may_store_ahead(commands.make_contiguous()) {
        true => conn.ahead_to_store(mem::take(commands).into()),
        false => Ok((conn.wire()?, Vec::new())),
    }
}

/// Stores groups: the first of them were sent, with these tags, and these commands are for the others.
fn store(
    mut wire: Wire<'_>,
    (tags, mut commands): (Vec<Tag>, VecDeque<Command>),
    validity: Option<u32>,
    batch: &[Item],
    queue: &mut VecDeque<Group>,
    results: &mut [Option<Stored>],
) -> Result<(), StoreError> {
    let mut flight: Flight<Group> = Flight::default();
    tags.into_iter().for_each(|tag| flight.extend(tag, queue.pop_front()));
    let window = WINDOW.min(wire.pipeline());
    // Whether the last command was refused on its way: what its end says decides about the next one.
    let mut cut_off = false;
    let mut again = VecDeque::new();
    while !queue.is_empty() || !flight.is_empty() {
        let on_the_way: u64 = flight.iter().map(|group| group.bytes).sum();
        let fits =
            |group: &Group| flight.is_empty() || (flight.len() < window && on_the_way + group.bytes <= WRITTEN_BYTES);
        if !cut_off
            && queue.front().is_some_and(fits)
            && let (Some(group), Some(command)) = (queue.pop_front(), commands.pop_front())
        {
            let (tag, whole) = wire.send_whole(&command).map_err(during("append"))?;
            flight.push(tag, group);
            cut_off = !whole;
            continue;
        }
        if queue.is_empty() {
            wire.close();
        }
        let response = wire.next(&mut Ignore).map_err(during("append"))?;
        let Sorted::Ended(group, status) = wire.sort(&mut flight, response).map_err(during("append"))? else {
            continue;
        };
        cut_off &= !flight.is_empty();
        if let Some(error) = refuses_all(&group, &status) {
            // What is not on its way yet would be refused as well.
            let unsent = queue.drain(..).chain(again.drain(..)).flat_map(|group: Group| group.members);
            group.members.into_iter().chain(unsent).for_each(|at| results[at] = Some(Err(error.clone())));
            continue;
        }
        if status.kind != StatusKind::Ok && group.members.len() > 1 {
            // All or nothing: it was nothing.
            let alone = |at: &usize| Group { members: vec![*at], bytes: batch[*at].content.size() };
            again.extend(group.members.iter().map(alone));
            continue;
        }
        settle(&group, status, validity, batch, results);
    }
    *queue = again;
    Ok(())
}

/// Why the mailbox could not be selected again. What was sent along may have been stored: it is looked for.
fn not_opened(conn: &mut Conn, mailbox: &[u8], error: ImapError) -> StoreError {
    if !matches!(error, ImapError::Refused { .. }) {
        return during("append")(error);
    }
    let error = explain(conn, mailbox, during("select")(error));
    match error.kind {
        // To come again later is not to have no room.
        Kind::Later if error.reach == Reach::Folder => StoreError { kind: Kind::Refused, ..error },
        _ => error,
    }
}

/// The command that stores a group.
fn command(group: &Group, target: &Target<'_>, batch: &[Item], binary: bool) -> Command {
    let command = Command::new("APPEND").string(target.mailbox);
    group
        .members
        .iter()
        .map(|at| &batch[*at])
        .fold(command, |command, item| command.text(prefix(item, target.space, binary)).content(item.content.clone()))
}

/// What stands before a message: flags, date, and the mark of a binary literal.
fn prefix(item: &Item, space: &FlagSpace, binary: bool) -> String {
    let tilde = if item.content.has_nul() && binary { "~" } else { "" };
    let flags = sendable(&item.flags, space);
    let date = item.date.filter(|date| (0..=LAST_DATE).contains(date));
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
fn groups(which: &[usize], batch: &[Item], several: bool) -> VecDeque<Group> {
    let mut groups: VecDeque<Group> = VecDeque::new();
    let mut open = false;
    for at in which {
        let size = batch[*at].content.size();
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

fn settle(group: &Group, status: Status, validity: Option<u32>, batch: &[Item], results: &mut [Option<Stored>]) {
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

/// The last second of the year 9999: dates have four digits.
const LAST_DATE: i64 = 253_402_300_799;

/// The flags that may be sent, as they stand between parentheses.
fn sendable(flags: &Flags, space: &FlagSpace) -> String {
    flags.within(space).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Draft;

    fn item(content: &[u8]) -> Item {
        let mut body = Draft::new(tempfile::tempfile().expect("a file"), None);
        body.write(content).expect("writes");
        let content = Content::new(body).expect("measured");
        Item { mark: Mark::NotBelow(Key::Uid(1)), flags: Flags::new(), date: None, content }
    }

    #[test]
    fn an_empty_message_goes_alone() {
        let batch: Vec<Item> = [&b"a"[..], b"b", b"", b"c", b"d"].into_iter().map(item).collect();
        let which: Vec<usize> = (0..5).collect();
        let members = |several| groups(&which, &batch, several).into_iter().map(|g| g.members).collect::<Vec<_>>();
        assert_eq!(members(true), [vec![0, 1], vec![2], vec![3, 4]]);
        assert_eq!(members(false).len(), 5);
    }

    #[test]
    fn an_appenduid_of_another_generation_or_length_or_of_older_messages_is_not_believed() {
        let group = Group { members: vec![0, 1], bytes: 2 };
        let mut batch = vec![item(b"a"), item(b"b")];
        batch.iter_mut().for_each(|item| item.mark = Mark::NotBelow(Key::Uid(4)));
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
