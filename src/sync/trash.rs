//! What becomes of a message that is deleted on one side because it is gone on the other one. Pure.

use super::plan::{Held, Op, Plan, Reason, What};
use super::rules::Rules;
use crate::mail::{FolderName, Role, Side, Sides};
use crate::store::FolderInfo;

/// What the user wants to become of deleted messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Disposal {
    /// Into the trash, where the store itself or the user says which folder that is, or where removing a message would
    /// not delete it; else as [`Disposal::Remove`].
    #[default]
    Auto,
    /// Removed from the store, in the way that the store removes.
    Remove,
    /// Into the folder with the role of trash.
    Trash,
    /// Into this folder, by its remote name.
    Folder(FolderName),
}

/// What becomes of the messages that are deleted in a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    #[default]
    Removed,
    /// They are moved to this folder; its generation, as far as the list told.
    MovedTo { wire: Vec<u8>, name: FolderName, generation: Option<u64> },
    /// They should be moved, and the folder is not there: what is missing.
    Nowhere(String),
}

impl Fate {
    /// The fate of messages in the folder `wire`: out of the trash itself there is but one way.
    pub fn within(&self, wire: &[u8]) -> Fate {
        match self {
            Fate::MovedTo { wire: trash, .. } if trash == wire => Fate::Removed,
            other => other.clone(),
        }
    }
}

/// Finds the trash among the folders of a side. `archives` says that what the store removes stays in it elsewhere.
pub fn fate(disposal: &Disposal, side: Side, list: &[FolderInfo], rules: &Rules, archives: bool) -> Fate {
    let listed: Vec<Role> = list.iter().filter_map(|info| info.role).collect();
    let named =
        |info: &FolderInfo| side == Side::Remote && rules.roles.iter().any(|(_, name)| *name == info.name.text());
    let role = |info: &FolderInfo| match side {
        Side::Remote => rules.role(&info.name, info.role, &listed),
        // The roles of the config are by remote name.
        Side::Local => Rules::default().role(&info.name, info.role, &listed),
    };
    let is_trash = |info: &&FolderInfo| info.selectable && role(info) == Some(Role::Trash);
    let (found, lacking) = match disposal {
        Disposal::Remove => return Fate::Removed,
        Disposal::Folder(name) => {
            let name = match side {
                Side::Remote => Some(name.clone()),
                Side::Local => rules.local_name(name, None),
            };
            let found = list.iter().find(|info| info.selectable && Some(&info.name) == name.as_ref());
            (found, format!("there is no folder {}", name.map_or_else(|| "of that name".to_owned(), |n| n.to_string())))
        }
        Disposal::Auto if !archives => {
            match list.iter().filter(is_trash).find(|info| named(info) || info.role.is_some()) {
                None => return Fate::Removed,
                found => (found, String::new()),
            }
        }
        // What is only called so is good enough where somebody asked for it, after what is said to be so.
        Disposal::Auto | Disposal::Trash => (list.iter().find(is_trash), "no folder has the role of trash".to_owned()),
    };
    match found {
        None => Fate::Nowhere(lacking),
        Some(info) => Fate::MovedTo {
            wire: info.wire.clone(),
            name: info.name.clone(),
            generation: info.cursor.as_ref().map(|cursor| cursor.generation),
        },
    }
}

/// Holds the deletions that should end in a trash which is not there.
pub fn hold(mut plan: Plan, fates: &Sides<Fate>) -> Plan {
    for (on, fate) in fates.iter() {
        let Fate::Nowhere(lacking) = fate else { continue };
        let is_delete = |op: &Op| matches!(op, Op::Delete { on: side, .. } if *side == on);
        let count = plan.ops.iter().filter(|op| is_delete(op)).count();
        if count > 0 {
            plan.ops.retain(|op| !is_delete(op));
            let reason = Reason::NoTrash(lacking.clone());
            let hint = "make the folder there (with Gmail: let IMAP show it), or name another one, or say in `roles` which \
                        it is; with trash = \"none\" what is deleted is gone";
            plan.held.push(Held { what: What::Deletions, on, count, reason, hint: Some(hint.to_owned()) });
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> FolderName {
        FolderName::parse(text).expect("a folder name")
    }

    fn folder(text: &str, role: Option<Role>) -> FolderInfo {
        FolderInfo {
            name: name(text),
            wire: text.as_bytes().to_vec(),
            selectable: true,
            subscribed: None,
            role,
            cursor: None,
            object: None,
            messages: None,
            unseen: None,
            problem: None,
        }
    }

    /// The fate of what is deleted on a server with these folders, in a word.
    fn on_server(disposal: &Disposal, list: &[FolderInfo], rules: &Rules, archives: bool) -> String {
        match fate(disposal, Side::Remote, list, rules, archives) {
            Fate::Removed => "removed".to_owned(),
            Fate::MovedTo { name, .. } => format!("to {name}"),
            Fate::Nowhere(lacking) => lacking,
        }
    }

    #[test]
    fn unasked_only_a_folder_that_is_said_to_be_the_trash_is_one() {
        let rules = Rules::default();
        let auto = |list: &[FolderInfo], rules: &Rules| on_server(&Disposal::Auto, list, rules, false);
        assert_eq!(auto(&[folder("INBOX", Some(Role::Inbox)), folder("Trash", None)], &rules), "removed");
        assert_eq!(auto(&[folder("Trash", None), folder("Papierkorb", Some(Role::Trash))], &rules), "to Papierkorb");
        let mine = Rules { roles: vec![(Role::Trash, "Bin".to_owned())], ..Rules::default() };
        assert_eq!(auto(&[folder("Bin", None), folder("Trash", Some(Role::Trash))], &mine), "to Bin");
        let hidden = FolderInfo { selectable: false, ..folder("Trash", Some(Role::Trash)) };
        assert_eq!(auto(&[hidden], &rules), "removed");
    }

    #[test]
    fn where_removing_only_archives_there_must_be_a_trash() {
        let rules = Rules::default();
        let gmail = [folder("INBOX", Some(Role::Inbox)), folder("[Google Mail]/Papierkorb", Some(Role::Trash))];
        assert_eq!(on_server(&Disposal::Auto, &gmail, &rules, true), "to [Google Mail]/Papierkorb");
        assert_eq!(on_server(&Disposal::Auto, &gmail[..1], &rules, true), "no folder has the role of trash");
        assert_eq!(on_server(&Disposal::Remove, &gmail, &rules, true), "removed");
    }

    #[test]
    fn a_trash_that_was_asked_for_is_found_by_role_or_name_or_missed() {
        let rules = Rules::default();
        let list = [folder("Trash", None), folder("Old", None)];
        assert_eq!(on_server(&Disposal::Trash, &list, &rules, false), "to Trash");
        assert_eq!(on_server(&Disposal::Trash, &list[1..], &rules, false), "no folder has the role of trash");
        assert_eq!(on_server(&Disposal::Folder(name("Old")), &list, &rules, false), "to Old");
        assert_eq!(on_server(&Disposal::Folder(name("None")), &list, &rules, false), "there is no folder None");
    }

    #[test]
    fn what_is_deleted_in_the_trash_is_removed() {
        let list = [folder("Trash", Some(Role::Trash))];
        let fate = fate(&Disposal::Auto, Side::Remote, &list, &Rules::default(), false);
        assert_eq!(fate.within(b"Trash"), Fate::Removed);
        assert_eq!(fate.within(b"INBOX"), fate);
    }
}
