//! `[mutt]`: what is written for mutt and NeoMutt.

use super::account::Account;
use super::keys;
use super::nearest::nearest;
use super::reader::{Reader, Section};
use super::tree::{At, Located, Node, Value};
use std::path::PathBuf;

/// What `mutt-mailboxes` writes, and whether a sync does it by itself.
#[derive(Clone, Debug)]
pub struct Mutt {
    /// Refreshed after every sync in which something succeeded.
    pub file: Option<PathBuf>,
    /// The name of a shipped template, or the path of a file (one with a `/`), which is expanded already.
    pub template: Option<Located<String>>,
    pub dialect: Dialect,
    pub paths: PathForm,
    /// mutt's `$folder`; none where the file does not say.
    pub folder: Option<PathBuf>,
    /// Which accounts, in this order; all that are enabled where empty.
    pub accounts: Vec<String>,
    pub sort: Sort,
    /// What the template `mbnames` puts before, for, between and after the folders.
    pub header: Option<String>,
    pub item: Option<String>,
    pub separator: Option<String>,
    pub footer: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Mutt,
    Neomutt,
}

/// How the path of a folder is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathForm {
    Absolute,
    /// `+name`, below mutt's `$folder`.
    Folder,
}

/// The order of the folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Accounts as in the config; in each INBOX first, then by name.
    Account,
    /// By name over all accounts.
    Name,
}

pub fn read(reader: &mut Reader, node: Option<&Node>, accounts: &[Account]) -> Option<Mutt> {
    let empty = Node { at: At::whole("[mutt]"), value: Value::Table(Vec::new()) };
    let section = Section::new(reader, &keys::MUTT, node.unwrap_or(&empty))?;
    let dialects = [("mutt", Dialect::Mutt), ("neomutt", Dialect::Neomutt)];
    let forms = [("absolute", PathForm::Absolute), ("folder", PathForm::Folder)];
    let sorts = [("account", Sort::Account), ("name", Sort::Name)];
    let mut text = |key| section.text(reader, key).map(|text| text.value);
    let (header, item, separator, footer) = (text("header"), text("item"), text("separator"), text("footer"));
    let mutt = Mutt {
        file: section.path(reader, "file").map(|path| path.value),
        template: template(reader, &section),
        dialect: section.choice(reader, "dialect", &dialects).unwrap_or(Dialect::Mutt),
        paths: section.choice(reader, "paths", &forms).unwrap_or(PathForm::Absolute),
        folder: section.path(reader, "folder").map(|path| path.value),
        accounts: chosen(reader, &section, accounts),
        sort: section.choice(reader, "sort", &sorts).unwrap_or(Sort::Account),
        header,
        item,
        separator,
        footer,
    };
    if mutt.paths == PathForm::Folder && section.get("folder").is_none() {
        let hint = "set it to what mutt's `set folder` says";
        reader.complain_with(&section.at, "`paths = \"folder\"` needs `folder`", hint);
    }
    Some(mutt)
}

fn template(reader: &mut Reader, section: &Section<'_>) -> Option<Located<String>> {
    let text = section.word(reader, "template")?;
    if !text.value.contains('/') {
        return Some(text);
    }
    let path = reader.path(&text)?;
    match path.into_os_string().into_string() {
        Ok(path) => Some(text.map(|_| path)),
        Err(_) => {
            reader.complain(&text.at, "the path of a template must be UTF-8");
            None
        }
    }
}

fn chosen(reader: &mut Reader, section: &Section<'_>, accounts: &[Account]) -> Vec<String> {
    let names = section.texts(reader, "accounts");
    for name in names.iter().filter(|name| !accounts.iter().any(|account| account.name == name.value)) {
        let what = format!("no such account: {:?}", name.value);
        match nearest(&name.value, accounts.iter().map(|account| account.name.as_str())) {
            Some(near) => reader.complain_with(&name.at, what, format!("did you mean \"{near}\"?")),
            None => reader.complain(&name.at, what),
        }
    }
    names.into_iter().map(|name| name.value).collect()
}
