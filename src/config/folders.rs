//! `[account.NAME.folders]`: which folders are synced, and what they are called.

use super::account::Mode;
use super::keys;
use super::nearest::nearest;
use super::reader::{self, Reader, Section};
use super::tree::{Located, Node, Value};
use crate::mail::Role;

/// The rules for folders as they are written.
#[derive(Clone, Debug, Default)]
pub struct Folders {
    /// In the order of the file, whichever of the two lists they are in.
    pub filters: Vec<Filter>,
    pub renames: Vec<Located<Rename>>,
    pub subscribed_only: bool,
    pub delete: FolderDeletion,
    /// Roles by remote name.
    pub roles: Vec<(Role, Located<String>)>,
    /// Folders that are synced another way than the account.
    pub modes: Vec<(Located<String>, Mode)>,
}

/// What becomes of a local folder whose remote one was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FolderDeletion {
    /// It stays, and that is told.
    #[default]
    Keep,
    /// It is deleted too, where nothing is lost by it.
    Propagate,
}

/// One pattern of `include` or `exclude`.
#[derive(Clone, Debug)]
pub struct Filter {
    pub include: bool,
    pub pattern: Located<String>,
}

/// One rule of `rename`, from remote to local names.
#[derive(Clone, Debug)]
pub enum Rename {
    /// To lower case.
    Lower,
    /// Every `from` becomes `to`, literally.
    Replace { from: String, to: String },
    /// The first part of the path `from` becomes `to`.
    Prefix { from: String, to: String },
    /// The one folder that the pattern names becomes `to`.
    Folder { folder: Located<String>, to: String },
    /// A regular expression and its replacement, and those for the way back.
    Regex { re: Located<String>, to: String, back_re: Located<String>, back_to: String },
}

pub fn read(reader: &mut Reader, node: Option<&Node>) -> Folders {
    let Some(section) = node.and_then(|node| Section::new(reader, &keys::FOLDERS, node)) else {
        return Folders::default();
    };
    let mut filters = Vec::new();
    for (key, node) in section.keys().filter(|(key, _)| matches!(*key, "include" | "exclude")) {
        for pattern in reader::texts(reader, key, node, true) {
            if pattern.value.is_empty() {
                reader.complain(&pattern.at, format!("an empty pattern in `{key}`"));
            }
            filters.push(Filter { include: key == "include", pattern });
        }
    }
    let subscribed_only = section.flag(reader, "subscribed_only").unwrap_or(false);
    let deletions = [("keep", FolderDeletion::Keep), ("propagate", FolderDeletion::Propagate)];
    let delete = section.choice(reader, "delete", &deletions).unwrap_or_default();
    let renames = section.get("rename").map(|node| renames(reader, node)).unwrap_or_default();
    let roles = section.get("roles").map(|node| roles(reader, node)).unwrap_or_default();
    let modes = section.get("modes").map(|node| modes(reader, node)).unwrap_or_default();
    Folders { filters, renames, subscribed_only, delete, roles, modes }
}

fn modes(reader: &mut Reader, node: &Node) -> Vec<(Located<String>, Mode)> {
    let nodes = one_or_more(node);
    let mut modes = Vec::new();
    for node in nodes {
        let Some(section) = Section::new(reader, &keys::FOLDER_MODE, node) else { continue };
        let folder = section.word(reader, "folder");
        let mode = section.choice(reader, "mode", &Mode::NAMES);
        if section.get("folder").is_none() || section.get("mode").is_none() {
            let example = "modes = [{ folder = \"Archive\", mode = \"pull-archive\" }]";
            reader.complain_with(&node.at, "needs `folder` and `mode`", example);
        }
        modes.extend(folder.zip(mode));
    }
    modes
}

/// The entries of a list; a single one needs no list around it.
fn one_or_more(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(nodes) => nodes.as_slice(),
        _ => std::slice::from_ref(node),
    }
}

fn roles(reader: &mut Reader, node: &Node) -> Vec<(Role, Located<String>)> {
    let mut roles = Vec::new();
    for (key, node) in reader::entries(reader, "`roles`", node).unwrap_or_default() {
        match (Role::parse(&key.value), &node.value) {
            (Some(role), Value::Text(name)) if !name.is_empty() => {
                roles.push((role, Located::new(name.clone(), node.at.clone())));
            }
            (Some(_), _) => reader.complain(&node.at, format!("`{}` must be the remote name of a folder", key.value)),
            (None, _) => {
                let names: Vec<&str> = Role::every().map(Role::name).collect();
                let hint = match nearest(&key.value, names.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there are: {}", names.join(", ")),
                };
                reader.complain_with(&key.at, format!("no such role: `{}`", key.value.escape_debug()), hint);
            }
        }
    }
    roles
}

fn renames(reader: &mut Reader, node: &Node) -> Vec<Located<Rename>> {
    one_or_more(node).iter().filter_map(|node| Some(Located::new(rename(reader, node)?, node.at.clone()))).collect()
}

/// A rule is told by the key that only it has.
const SHAPES: [(&str, &[&str]); 5] = [
    ("lower", &["lower"]),
    ("prefix", &["prefix", "to"]),
    ("folder", &["folder", "to"]),
    ("re", &["re", "to", "back"]),
    ("from", &["from", "to"]),
];

fn rename(reader: &mut Reader, node: &Node) -> Option<Rename> {
    let before = reader.problems.len();
    let section = Section::new(reader, &keys::RENAME, node)?;
    let Some((kind, wanted)) = SHAPES.iter().find(|(key, _)| section.get(key).is_some()) else {
        if reader.problems.len() == before {
            let hint = "write { lower = true }, { from = \" \", to = \"_\" }, { prefix = \"a\", to = \"b\" }, \
                        { folder = \"role:sent\", to = \"sent\" } or { re = '..', to = '..', back = { .. } }";
            reader.complain_with(&node.at, "a rename rule that says nothing", hint);
        }
        return None;
    };
    for (key, node) in section.keys().filter(|(key, _)| keys::RENAME.keys.contains(key) && !wanted.contains(key)) {
        reader.complain(&node.at, format!("`{key}` has no place in a rename rule with `{kind}`"));
    }
    for key in wanted.iter().filter(|key| section.get(key).is_none()) {
        let missing = format!("a rename rule with `{kind}` needs `{key}`");
        match *key {
            "back" => {
                let hint = "names must be turned back too: back = { re = '..', to = '..' }";
                reader.complain_with(&node.at, missing, hint);
            }
            _ => reader.complain(&node.at, missing),
        }
    }
    built(reader, &section, kind)
}

/// The rule that the section holds, which has the key `kind`.
fn built(reader: &mut Reader, section: &Section<'_>, kind: &str) -> Option<Rename> {
    if kind == "lower" {
        if !section.flag(reader, "lower")? {
            reader.complain(&section.at, "`lower` can only be true; leave the rule out instead");
        }
        return Some(Rename::Lower);
    }
    // A replacement may be nothing, a name may not.
    let to = match kind {
        "prefix" | "folder" => section.word(reader, "to")?.value,
        _ => section.text(reader, "to")?.value,
    };
    let from = section.word(reader, kind)?;
    Some(match kind {
        "prefix" => Rename::Prefix { from: from.value, to },
        "folder" => Rename::Folder { folder: from, to },
        "re" => {
            let back = Section::new(reader, &keys::RENAME_BACK, section.get("back")?)?;
            for key in keys::RENAME_BACK.keys.iter().filter(|key| back.get(key).is_none()) {
                reader.complain(&back.at, format!("`back` needs `{key}`"));
            }
            let (back_re, back_to) = (back.word(reader, "re")?, back.text(reader, "to")?);
            Rename::Regex { re: from, to, back_re, back_to: back_to.value }
        }
        _ => Rename::Replace { from: from.value, to },
    })
}
