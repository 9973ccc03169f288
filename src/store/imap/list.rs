//! Which folders there are, and where each of them stands.

use super::caps::Caps;
use super::conn::Conn;
use super::error::ImapError;
use super::names::{Named, settle};
use super::select::cursor;
use super::token::{Listed, MailboxStatus, Response, Status, StatusKind};
use super::wire::Command;
use crate::mail::Role;
use crate::store::FolderInfo;
use foldhash::{HashMap, HashSet, HashSetExt};

/// What the server said of all its folders.
#[derive(Default)]
struct Found {
    listed: Vec<Listed>,
    subscribed: HashSet<Vec<u8>>,
    statuses: HashMap<Vec<u8>, MailboxStatus>,
}

impl Found {
    fn take(&mut self, response: Response) {
        match response {
            Response::List(listed) => self.listed.push(listed),
            Response::Lsub(listed) => drop(self.subscribed.insert(folded(&listed.name).to_vec())),
            Response::MailboxStatus(mut status) => {
                let name = std::mem::take(&mut status.name);
                self.statuses.insert(if is_inbox(&name) { INBOX.to_vec() } else { name }, status);
            }
            _ => {}
        }
    }
}

/// Every folder of ours, or an error.
pub fn all(conn: &mut Conn, subscribed_only: bool) -> Result<Vec<FolderInfo>, ImapError> {
    let mut found = Found::default();
    let mut commands = conn.first_flight();
    let before = commands.len();
    commands.extend(list_commands(conn.caps()));
    let mut setup = std::mem::take(conn.setup_mut());
    let ended = conn.run_all(&commands, &mut |response| {
        setup.take(&response);
        found.take(response);
    });
    *conn.setup_mut() = setup;
    for (command, status) in commands.iter().zip(ended?).skip(before) {
        match command.name {
            // Subscriptions are no reason to see no folders at all.
            "LSUB" => {}
            "LIST" if status.kind != StatusKind::Ok && is_extended(conn) => return plainly(conn, subscribed_only),
            name => drop(ImapError::check(name, status)?),
        }
    }
    finish(conn, found, subscribed_only, is_extended(conn))
}

/// The same with nothing but RFC 3501: the server did not take more.
fn plainly(conn: &mut Conn, subscribed_only: bool) -> Result<Vec<FolderInfo>, ImapError> {
    let mut found = Found::default();
    conn.caps_mut().forget("OBJECTID");
    let commands = plain_commands();
    let ended = conn.run_all(&commands, &mut |response| found.take(response))?;
    if let Some(status) = ended.into_iter().next() {
        ImapError::check("LIST", status)?;
    }
    finish(conn, found, subscribed_only, false)
}

fn is_extended(conn: &Conn) -> bool {
    is_extended_by(conn.caps())
}

fn is_extended_by(caps: &Caps) -> bool {
    caps.has("LIST-EXTENDED")
}

fn plain_commands() -> Vec<Command> {
    vec![Command::new("LIST").text(" \"\" \"*\""), Command::new("LSUB").text(" \"\" \"*\"")]
}

/// What lists all folders of a server that can do this.
pub fn list_commands(caps: &Caps) -> Vec<Command> {
    if !is_extended_by(caps) {
        return plain_commands();
    }
    let mut options = vec!["SUBSCRIBED".to_owned()];
    if caps.has("SPECIAL-USE") {
        options.push("SPECIAL-USE".to_owned());
    }
    if caps.has("LIST-STATUS") {
        options.push(format!("STATUS ({})", status_items(caps)));
    }
    vec![Command::new("LIST").text(format!(" \"\" \"*\" RETURN ({})", options.join(" ")))]
}

fn status_items(caps: &Caps) -> String {
    let mut items = "MESSAGES UIDNEXT UIDVALIDITY UNSEEN".to_owned();
    if caps.condstore() {
        items.push_str(" HIGHESTMODSEQ");
    }
    if caps.has("OBJECTID") {
        items.push_str(" MAILBOXID");
    }
    items
}

fn finish(
    conn: &mut Conn,
    mut found: Found,
    subscribed_only: bool,
    extended: bool,
) -> Result<Vec<FolderInfo>, ImapError> {
    let setup = conn.setup_mut();
    if setup.naming.delimiter.is_none() {
        setup.naming.delimiter = found.listed.iter().find_map(|listed| listed.delimiter);
    }
    let naming = setup.naming.clone();
    let ours = |name: &[u8]| !naming.others.iter().any(|prefix| !prefix.is_empty() && name.starts_with(prefix));
    let wanted = |listed: &Listed| !listed.name.is_empty() && ours(&listed.name) && !listed.name.ends_with(b".lock");
    let listed: Vec<Listed> = one_inbox(std::mem::take(&mut found.listed)).into_iter().filter(wanted).collect();
    let mut names: Vec<Named> = listed.iter().map(|listed| naming.name_of(&listed.name, listed.delimiter)).collect();
    // Where one delimiter parts all of them, those that lead back to their mailboxes are all different.
    let alike = listed.iter().all(|one| one.delimiter == listed[0].delimiter);
    if !alike || names.iter().any(|named| !named.exact && named.problem.is_none()) {
        settle(&mut names);
    }
    let mut folders = Vec::with_capacity(listed.len());
    for (named, listed) in names.into_iter().zip(listed) {
        let subscribed = match extended {
            true => listed.has("\\Subscribed"),
            false => found.subscribed.contains(folded(&listed.name)),
        };
        if !subscribed_only || subscribed || is_inbox(&listed.name) {
            folders.push(info(named, listed, Some(subscribed)));
        }
    }
    // Some servers forget to list INBOX, which every server has.
    let forgotten = !folders.iter().any(|folder| is_inbox(&folder.wire));
    if forgotten {
        let inbox = Listed { attrs: Vec::new(), delimiter: naming.delimiter, name: INBOX.to_vec() };
        folders.push(info(naming.name_of(INBOX, None), inbox, None));
    }
    ask_statuses(conn, &folders, &mut found)?;
    if found.statuses.values().any(|status| status.mailboxid.as_deref().is_some_and(is_odd)) {
        found.statuses.values_mut().for_each(|status| status.mailboxid = None);
    }
    for folder in &mut folders {
        if let Some(status) = found.statuses.remove(folded(&folder.wire)) {
            add_status(folder, status);
        }
    }
    if forgotten {
        folders.retain(|folder| !is_inbox(&folder.wire) || folder.messages.is_some());
    }
    Ok(folders)
}

/// Asks where those folders stand of which the server did not say it along with their names.
fn ask_statuses(conn: &mut Conn, folders: &[FolderInfo], found: &mut Found) -> Result<(), ImapError> {
    loop {
        let items = status_items(conn.caps());
        let unknown = |folder: &&FolderInfo| folder.selectable && !found.statuses.contains_key(folded(&folder.wire));
        let commands: Vec<Command> = folders
            .iter()
            .filter(unknown)
            .map(|folder| Command::new("STATUS").string(&folder.wire).text(format!(" ({items})")))
            .collect();
        let ended = conn.run_all(&commands, &mut |response| found.take(response))?;
        let refused = !ended.is_empty() && ended.iter().all(|status| status.kind != StatusKind::Ok);
        if !(refused && conn.caps().has("OBJECTID")) {
            // A folder that can't be looked at now is found out when it is opened.
            return Ok(());
        }
        // A server that says OBJECTID and does not know MAILBOXID.
        conn.caps_mut().forget("OBJECTID");
    }
}

/// Whether a MAILBOXID can't be one (RFC 8474 section 7). Cyrus 3.6 sends what happens to be in its memory, another one
/// every time, where it is asked for along with LIST: then none of them is worth anything.
fn is_odd(id: &str) -> bool {
    !(1..=255).contains(&id.len()) || !id.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Names are compared as they are; INBOX alone has no case.
fn folded(name: &[u8]) -> &[u8] {
    if is_inbox(name) { INBOX } else { name }
}

const INBOX: &[u8] = b"INBOX";

fn is_inbox(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(INBOX)
}

/// Leaves one of several spellings of INBOX, that in capitals if there is one, and one of equal names.
fn one_inbox(listed: Vec<Listed>) -> Vec<Listed> {
    let exact = listed.iter().any(|folder| folder.name == INBOX);
    let wanted = |folder: &Listed| !is_inbox(&folder.name) || !exact || folder.name == INBOX;
    let mut seen = HashSet::with_capacity(listed.len());
    let first: Vec<bool> = listed.iter().map(|folder| wanted(folder) && seen.insert(folded(&folder.name))).collect();
    listed.into_iter().zip(first).filter_map(|(folder, first)| first.then_some(folder)).collect()
}

fn info(named: Named, listed: Listed, subscribed: Option<bool>) -> FolderInfo {
    let role = listed.attrs.iter().filter(|attr| attr.starts_with('\\')).find_map(|attr| Role::parse(attr));
    FolderInfo {
        role: if is_inbox(&listed.name) { Some(Role::Inbox) } else { role },
        name: named.name,
        selectable: !listed.has("\\Noselect") && !listed.has("\\NonExistent"),
        wire: listed.name,
        subscribed,
        object: None,
        cursor: None,
        messages: None,
        unseen: None,
        problem: named.problem,
    }
}

fn add_status(folder: &mut FolderInfo, status: MailboxStatus) {
    folder.messages = status.messages.map(u64::from);
    folder.unseen = status.unseen.map(u64::from);
    folder.object = status.mailboxid;
    if status.messages.is_some() && status.uidvalidity.is_some() && status.uidnext.is_some() {
        let modseq = status.highestmodseq.unwrap_or(0);
        folder.cursor = Some(cursor(status.uidvalidity, status.uidnext, modseq, status.messages));
    }
}

/// The one folder of this wire name.
pub fn one(conn: &mut Conn, wire: &[u8]) -> Result<Option<FolderInfo>, ImapError> {
    some(conn, &[wire])?.pop().unwrap_or(Ok(None))
}

/// The folders of these wire names, asked for in one flight.
pub fn some(conn: &mut Conn, wires: &[&[u8]]) -> Result<Vec<Result<Option<FolderInfo>, ImapError>>, ImapError> {
    let commands: Vec<Command> = wires.iter().map(|wire| Command::new("LIST").text(" \"\"").string(wire)).collect();
    let mut listed: HashMap<&[u8], Option<Listed>> = wires.iter().map(|wire| (folded(wire), None)).collect();
    let ended = conn.run_all(&commands, &mut |response| {
        // Wildcards in a name may match others too.
        if let Response::List(one) = response
            && let Some(of) = listed.get_mut(folded(&one.name))
        {
            of.get_or_insert(one);
        }
    })?;
    let naming = conn.setup().naming.clone();
    let of = |(wire, status): (&&[u8], Status)| {
        ImapError::check("LIST", status)?;
        let listed = listed.get(folded(wire)).cloned().flatten();
        Ok(listed.map(|listed| info(naming.name_of(&listed.name, listed.delimiter), listed, None)))
    };
    Ok(wires.iter().zip(ended).map(of).collect())
}

/// The delimiter at the root of the server's names.
pub fn delimiter(conn: &mut Conn) -> Result<Option<u8>, ImapError> {
    let mut delimiter = None;
    conn.run_ok(&Command::new("LIST").text(" \"\" \"\""), &mut |response| {
        if let Response::List(listed) = response {
            delimiter = listed.delimiter.or(delimiter);
        }
    })?;
    Ok(delimiter)
}
