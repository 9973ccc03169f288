//! Recognises folders that were given another name on one side. Pure.
//!
//! What names a folder for ever is its MAILBOXID. Without one, a folder that is not there any more is the one under a new
//! name if that has the same generation (UIDVALIDITY) and the same messages: their keys say little by themselves, as two
//! folders that were made in the same second may both have one UIDVALIDITY and the UIDs 1 to n, so Message-IDs and
//! sizes have to agree too. A file's unique name is proof enough. Where two folders could be meant, none is.
//!
//! INBOX is never taken for renamed: RENAME moves its messages away and leaves it where it is (RFC 3501 section 6.3.5).

use crate::mail::{FolderId, Identity, Key};
use crate::store::FolderInfo;
use std::collections::{HashMap, HashSet};

/// One side of a folder pair, as it was.
#[derive(Clone, Copy, Debug)]
pub struct Former<'a> {
    pub id: FolderId,
    pub wire: &'a [u8],
    /// Whether it is INBOX on either side.
    pub inbox: bool,
    pub object: Option<&'a str>,
    /// The generation of its known keys; `None` where none are known.
    pub generation: Option<u64>,
}

/// A folder that is in the list under another name than before: its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renamed {
    pub id: FolderId,
    pub at: usize,
}

/// A folder of the list that must be looked into: it may be one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    pub at: usize,
    pub former: Vec<FolderId>,
}

/// Where each wire name stands in a list.
pub type ByWire<'a> = foldhash::HashMap<&'a [u8], usize>;

pub fn by_wire(list: &[FolderInfo]) -> ByWire<'_> {
    list.iter().enumerate().map(|(at, info)| (info.wire.as_slice(), at)).collect()
}

/// Those that their MAILBOXID shows. A name that was another folder's counts only if that one has moved on as well.
pub fn by_object(known: &[Former<'_>], list: &[FolderInfo], by_wire: &ByWire<'_>) -> Vec<Renamed> {
    let mut found = Vec::new();
    // Most often, each is where it was.
    let away = |former: &&Former<'_>| {
        let there = by_wire.get(former.wire).and_then(|at| list[*at].object.as_deref());
        !former.inbox && former.object.is_some() && former.object != there
    };
    let away: Vec<&Former<'_>> = known.iter().filter(away).collect();
    if away.is_empty() {
        return found;
    }
    let mut objects: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, info) in list.iter().enumerate().filter(|(_, info)| is_candidate(info)) {
        if let Some(object) = &info.object {
            objects.entry(object).or_default().push(at);
        }
    }
    let rivals = |object: &str| known.iter().filter(|former| former.object == Some(object)).count();
    for former in away {
        let Some(object) = former.object else { continue };
        if let Some([at]) = objects.get(object).map(Vec::as_slice)
            && list[*at].wire != former.wire
            && rivals(object) == 1
        {
            found.push(Renamed { id: former.id, at: *at });
        }
    }
    loop {
        let moving: HashSet<FolderId> = found.iter().map(|one| one.id).collect();
        let owner = |at: usize| known.iter().find(|former| former.wire == list[at].wire);
        let before = found.len();
        found.retain(|one| owner(one.at).is_none_or(|owner| moving.contains(&owner.id)));
        if found.len() == before {
            return found;
        }
    }
}

/// What may have been renamed besides `found`: folders that no pair knows, each with the known ones that are gone and
/// that it may be.
pub fn suspects(known: &[Former<'_>], list: &[FolderInfo], by_wire: &ByWire<'_>, found: &[Renamed]) -> Vec<Suspect> {
    let is_there = |wire: &[u8]| by_wire.get(wire).is_some_and(|at| list[*at].selectable);
    let settled: HashSet<FolderId> = found.iter().map(|one| one.id).collect();
    let is_gone = |former: &&Former<'_>| {
        !former.inbox && !is_there(former.wire) && !settled.contains(&former.id) && former.generation.is_some()
    };
    let gone: Vec<&Former<'_>> = known.iter().filter(is_gone).collect();
    if gone.is_empty() {
        return Vec::new();
    }
    let wires: HashSet<&[u8]> = known.iter().map(|former| former.wire).collect();
    let is_new = |at: usize, info: &FolderInfo| {
        is_candidate(info) && !wires.contains(info.wire.as_slice()) && found.iter().all(|one| one.at != at)
    };
    let may_be = |former: &Former<'_>, info: &FolderInfo| {
        let generation = info.cursor.as_ref().map(|cursor| cursor.generation);
        let other = former.object.is_some() && info.object.is_some();
        !other && (generation.is_none() || generation == former.generation)
    };
    let new = list.iter().enumerate().filter(|(at, info)| is_new(*at, info));
    let suspects = new.map(|(at, info)| {
        let former = gone.iter().filter(|former| may_be(former, info)).map(|former| former.id);
        Suspect { at, former: former.collect() }
    });
    suspects.filter(|suspect| !suspect.former.is_empty()).collect()
}

fn is_candidate(info: &FolderInfo) -> bool {
    info.selectable && info.problem.is_none() && !info.name.is_inbox()
}

/// Whether a folder holds the messages that are known: at least half of them are proven to be there, and none that has
/// a known key is another message. `there` has what is in it by key; only the known keys matter.
pub fn is_same(known: &[(Key, Identity)], there: &HashMap<Key, Identity>) -> bool {
    let mut proven = 0;
    for (key, identity) in known {
        match there.get(key).map(|other| agree(key, identity, other)) {
            Some(Some(true)) => proven += 1,
            Some(Some(false)) => return false,
            Some(None) | None => {}
        }
    }
    proven > 0 && proven * 2 >= known.len()
}

/// Whether two messages with one key are the same; `None` where nothing proves it.
fn agree(key: &Key, known: &Identity, there: &Identity) -> Option<bool> {
    if matches!(key, Key::Name(_)) {
        return Some(true);
    }
    let both = |known: Option<&str>, there: Option<&str>| Some(known? == there?);
    let sizes = known.size.zip(there.size).map(|(known, there)| known == there);
    let ids = both(known.message_id.as_deref(), there.message_id.as_deref());
    let contents = both(known.email_id.as_deref(), there.email_id.as_deref())
        .or(known.hash.zip(there.hash).map(|(known, there)| known == there));
    match (contents, ids, sizes) {
        (Some(same), ..) => Some(same),
        (_, Some(false), _) | (_, _, Some(false)) => Some(false),
        (_, Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

/// Leaves out what is ambiguous: a folder under two names, a name for two folders.
pub fn one_to_one(found: Vec<Renamed>) -> Vec<Renamed> {
    let count = |is_it: &dyn Fn(&Renamed) -> bool| found.iter().filter(|one| is_it(one)).count();
    let only = |one: &&Renamed| count(&|other| other.id == one.id) == 1 && count(&|other| other.at == one.at) == 1;
    found.iter().filter(only).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Cursor, FolderName};

    /// `name=object@generation`, in any order; both ends may be missing. A leading `-` is a container.
    fn info(text: &str) -> FolderInfo {
        let (rest, generation) = text.split_once('@').unwrap_or((text, ""));
        let (name, object) = rest.split_once('=').unwrap_or((rest, ""));
        let container = name.strip_prefix('-');
        let name = FolderName::parse(container.unwrap_or(name)).expect("a name");
        FolderInfo {
            wire: name.text().into_bytes(),
            name,
            selectable: container.is_none(),
            subscribed: None,
            role: None,
            object: Some(object.to_owned()).filter(|object| !object.is_empty()),
            cursor: generation.parse().ok().map(Cursor::start),
            messages: None,
            unseen: None,
            problem: None,
        }
    }

    fn list(texts: &str) -> Vec<FolderInfo> {
        texts.split_whitespace().map(info).collect()
    }

    fn former(known: &[FolderInfo]) -> Vec<Former<'_>> {
        let one = |(at, info): (usize, &'_ FolderInfo)| -> Former<'_> {
            Former {
                id: FolderId(at as i64),
                wire: &known[at].wire,
                inbox: info.name.is_inbox(),
                object: known[at].object.as_deref(),
                generation: info.cursor.as_ref().map(|cursor| cursor.generation),
            }
        };
        known.iter().enumerate().map(one).collect()
    }

    /// `old>new` for every folder that its MAILBOXID shows to be renamed.
    fn renamed(known: &str, now: &str) -> Vec<String> {
        let (known, now) = (list(known), list(now));
        let found = by_object(&former(&known), &now, &by_wire(&now));
        found.iter().map(|one| format!("{}>{}", known[one.id.0 as usize].name, now[one.at].name)).collect()
    }

    /// `new?old,old` for every folder that is to be looked into.
    fn suspected(known: &str, now: &str) -> Vec<String> {
        let (known, now) = (list(known), list(now));
        let former = former(&known);
        let found = by_object(&former, &now, &by_wire(&now));
        let olds =
            |ids: &[FolderId]| ids.iter().map(|id| known[id.0 as usize].name.text()).collect::<Vec<_>>().join(",");
        let all = suspects(&former, &now, &by_wire(&now), &found);
        all.iter().map(|suspect| format!("{}?{}", now[suspect.at].name, olds(&suspect.former))).collect()
    }

    #[test]
    fn a_mailboxid_follows_its_folder() {
        for (known, now, found) in [
            ("a=1 b=2", "a=1 b=2", &[][..]),
            ("a=1 b=2", "x=1 b=2", &["a>x"]),
            ("p=1 p/c=2", "q=1 q/c=2", &["p>q", "p/c>q/c"]),
            ("work=1", "Work=1", &["work>Work"]),
            // A chain, a swap, a circle of three.
            ("a=1 b=2", "b=1 c=2", &["a>b", "b>c"]),
            ("a=1 b=2", "a=2 b=1", &["a>b", "b>a"]),
            ("a=1 b=2 c=3", "a=3 b=1 c=2", &["a>b", "b>c", "c>a"]),
            // The old name was given to a new folder.
            ("a=1", "a=9 b=1", &["a>b"]),
        ] {
            assert_eq!(renamed(known, now), found, "{known} | {now}");
        }
    }

    #[test]
    fn a_mailboxid_that_proves_nothing_is_passed_over() {
        for (known, now) in [
            // Two folders with one MAILBOXID, on either end.
            ("a=1", "b=1 c=1"),
            ("a=1 b=1", "c=1"),
            // The name belongs to a pair whose folder is gone: what is there now is found out by its messages.
            ("a=1 b=2", "b=1"),
            // RENAME of INBOX moves its messages and leaves it.
            ("INBOX=1", "INBOX=9 old=1"),
            ("old=1", "INBOX=1"),
            ("a=1", "-b=1"),
            ("a", "b=1"),
        ] {
            assert_eq!(renamed(known, now), &[] as &[&str], "{known} | {now}");
        }
    }

    #[test]
    fn only_what_is_new_is_looked_into_and_only_where_something_is_gone() {
        for (known, now, expected) in [
            ("a@7", "a@7 b@7", &[][..]),
            ("a@7", "b@7", &["b?a"]),
            ("a@7", "b@8", &[]),
            // Where the list says no generation, the look tells.
            ("a@7", "b", &["b?a"]),
            ("a", "b@7", &[]),
            ("a@7 c@7", "b@7 d@9", &["b?a,c"]),
            ("a@7", "-a b@7", &["b?a"]),
            // A MAILBOXID on both ends has said already that they differ.
            ("a=1@7", "b=2@7", &[]),
            ("a=1@7", "b@7", &["b?a"]),
            ("a=1@7 c@7", "b=1@7 d@7", &["d?c"]),
            ("INBOX@7", "b@7", &[]),
        ] {
            assert_eq!(suspected(known, now), expected, "{known} | {now}");
        }
    }

    /// `uid:message-id/size`; a missing Message-ID is `-`.
    fn messages(text: &str) -> Vec<(Key, Identity)> {
        let one = |word: &str| {
            let (uid, rest) = word.split_once(':').expect("a UID");
            let (id, size) = rest.split_once('/').expect("a size");
            let message_id = Some(id.to_owned()).filter(|id| id != "-");
            let identity = Identity { size: size.parse().ok(), message_id, ..Identity::default() };
            (Key::Uid(uid.parse().expect("a UID")), identity)
        };
        text.split_whitespace().map(one).collect()
    }

    #[test]
    fn the_same_messages_are_the_same_folder() {
        for (known, there, same) in [
            ("1:a/5 2:b/6", "1:a/5 2:b/6", true),
            // One came, one went.
            ("1:a/5 2:b/6", "2:b/6 3:c/7", true),
            ("1:a/5 2:b/6 3:c/7", "3:c/7", false),
            ("1:a/5 2:b/6", "", false),
            ("", "1:a/5", false),
            // The UIDs alone agree: another folder that was made in the same second.
            ("1:a/5 2:b/6", "1:x/5 2:y/6", false),
            ("1:a/5 2:b/6", "1:a/5 2:y/6", false),
            ("1:a/5 2:b/6", "1:a/5 2:b/9", false),
            // Nothing names these but the size.
            ("1:-/5", "1:-/5", false),
            ("1:-/5 2:b/6", "1:-/5 2:b/6", true),
            ("1:a/5", "1:-/5", false),
        ] {
            let found: HashMap<Key, Identity> = messages(there).into_iter().collect();
            assert_eq!(is_same(&messages(known), &found), same, "{known} | {there}");
        }
    }

    #[test]
    fn a_unique_file_name_is_proof() {
        let named = |names: &[&str]| -> Vec<(Key, Identity)> {
            names.iter().map(|name| (Key::Name(name.as_bytes().into()), Identity::default())).collect()
        };
        let there: HashMap<Key, Identity> = named(&["a", "b", "z"]).into_iter().collect();
        assert!(is_same(&named(&["a", "b", "c"]), &there));
        assert!(!is_same(&named(&["a", "c", "d"]), &there));
    }

    #[test]
    fn what_could_be_two_folders_is_none() {
        let one = |id, at| Renamed { id: FolderId(id), at };
        assert_eq!(one_to_one(vec![one(1, 4), one(2, 5)]), [one(1, 4), one(2, 5)]);
        assert_eq!(one_to_one(vec![one(1, 4), one(1, 5), one(2, 6)]), [one(2, 6)]);
        assert_eq!(one_to_one(vec![one(1, 4), one(2, 4)]), []);
    }
}
