//! Templates for mutt: which there are, what they are given, and what keeps a value from becoming a command.
//!
//! Every `{{ value }}` of every template is put through [`mutt_quote`]; only the filters `raw` and `safe` let a value
//! through as it is, and they refuse whatever means something to mutt.

use super::quote::{MARK, audit, fill_item, marked, mutt_quote, mutt_raw, mutt_regex, unmark};
use crate::config::{Dialect, Mutt, Sort};
use crate::mail::{FolderName, Role};
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use tera::{Context, Kwargs, State, Tera, Value};

/// The templates that are compiled in, by name.
pub const SHIPPED: [(&str, &str); 4] = [
    ("default", include_str!("../../templates/default.muttrc")),
    ("named", include_str!("../../templates/named.muttrc")),
    ("mbnames", include_str!("../../templates/mbnames.muttrc")),
    ("hooks", include_str!("../../templates/hooks.muttrc")),
];

/// An account, as far as mutt is concerned.
#[derive(Clone, Debug)]
pub struct Mailboxes {
    pub account: String,
    /// The root of the account's Maildirs, absolute.
    pub root: String,
    /// Whether the root is not there although it is known to have held folders.
    pub root_is_gone: bool,
    /// Those that exist.
    pub folders: Vec<Mailbox>,
}

/// A folder that exists as a Maildir.
#[derive(Clone, Debug)]
pub struct Mailbox {
    /// What it is called here.
    pub name: FolderName,
    /// What it is called on the server.
    pub remote: FolderName,
    pub role: Option<Role>,
    /// Its directory, absolute.
    pub dir: String,
    /// What mutt is to call it: the directory, or `+` and the path below `$folder`.
    pub path: String,
    pub messages: u64,
    pub unseen: u64,
}

/// A template: what it is called in errors, and its text.
#[derive(Clone, Debug)]
pub struct Template {
    pub name: String,
    pub text: String,
}

impl Template {
    /// The shipped template of that name.
    pub fn shipped(name: &str) -> Option<Template> {
        let (name, text) = SHIPPED.iter().find(|(shipped, _)| *shipped == name)?;
        Some(Template { name: (*name).to_owned(), text: (*text).to_owned() })
    }
}

#[derive(Clone, Serialize)]
struct FolderView {
    account: String,
    name: String,
    remote: String,
    role: Option<&'static str>,
    dir: String,
    path: String,
    messages: u64,
    unseen: u64,
}

#[derive(Serialize)]
struct AccountView {
    name: String,
    root: String,
    /// A regular expression for `folder-hook`: the root and all below it.
    pattern: String,
    folders: Vec<FolderView>,
    roles: BTreeMap<&'static str, FolderView>,
}

/// Renders the whole text, or fails: the same for the same input, LF line ends, one at the end.
pub fn render(accounts: &[Mailboxes], template: &Template, settings: &Mutt) -> Result<String> {
    let accounts: Vec<Mailboxes> = accounts.iter().map(sorted).collect();
    let mut tera = environment();
    let place = || format!("template {}", template.name);
    tera.add_raw_template(&template.name, &template.text).map_err(told).with_context(place)?;
    let views: Vec<AccountView> = accounts.iter().map(account_view).collect();
    let mut folders: Vec<&FolderView> = views.iter().flat_map(|account| &account.folders).collect();
    if settings.sort == Sort::Name {
        folders.sort_by(|a, b| (&a.name, &a.account).cmp(&(&b.name, &b.account)));
    }
    let mut context = Context::new();
    context.insert("dialect", if settings.dialect == Dialect::Neomutt { "neomutt" } else { "mutt" });
    context.insert("accounts", &views);
    context.insert("folders", &folders);
    let authored = mbnames(&mut context, &views, &folders, settings)? + &template.text;
    if authored.contains(MARK) {
        return Err(anyhow::anyhow!("holds a NUL")).with_context(place);
    }
    let mut text = tera.render(&template.name, &context).map_err(told).with_context(place)?.replace("\r\n", "\n");
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let text = unmark(&text).with_context(place)?;
    audit(&text, &authored).with_context(place)?;
    Ok(text)
}

/// INBOX first, then by role, then by name.
fn sorted(account: &Mailboxes) -> Mailboxes {
    let mut account = account.clone();
    account.folders.sort_by(|a, b| key(a).cmp(&key(b)));
    account
}

fn key(folder: &Mailbox) -> (bool, bool, Option<Role>, &FolderName) {
    (!folder.name.is_inbox(), folder.role.is_none(), folder.role, &folder.name)
}

fn account_view(account: &Mailboxes) -> AccountView {
    let view = |folder: &Mailbox| FolderView {
        account: account.account.clone(),
        name: folder.name.text(),
        remote: folder.remote.text(),
        role: folder.role.map(Role::name),
        dir: folder.dir.clone(),
        path: folder.path.clone(),
        messages: folder.messages,
        unseen: folder.unseen,
    };
    let mut roles = BTreeMap::new();
    for folder in &account.folders {
        if let Some(role) = folder.role {
            roles.entry(role.name()).or_insert_with(|| view(folder));
        }
    }
    AccountView {
        name: account.account.clone(),
        root: account.root.clone(),
        pattern: format!("(^{}(/|$))", mutt_regex(account.root.trim_end_matches('/'))),
        folders: account.folders.iter().map(view).collect(),
        roles,
    }
}

/// What the template `mbnames` is made of: OfflineIMAP's header, items, separator and footer. Gives what of them was
/// written by people.
fn mbnames(
    context: &mut Context,
    accounts: &[AccountView],
    folders: &[&FolderView],
    settings: &Mutt,
) -> Result<String> {
    let or = |text: &Option<String>, default: &str| text.clone().unwrap_or_else(|| default.to_owned());
    let header = or(&settings.header, "mailboxes ");
    let item = or(&settings.item, "%(path)s");
    let separator = or(&settings.separator, " ");
    let footer = or(&settings.footer, "\n");
    let mut items = Vec::new();
    for folder in folders {
        let root = accounts.iter().find(|account| account.name == folder.account).map_or("", |a| a.root.as_str());
        let below = folder.dir.strip_prefix(root).map(|below| below.trim_start_matches('/')).unwrap_or_default();
        let values = HashMap::from([
            ("accountname", folder.account.as_str()),
            ("foldername", if below.is_empty() { folder.name.as_str() } else { below }),
            ("localfolders", root),
            ("path", folder.path.as_str()),
        ]);
        items.push(Value::safe_string(&fill_item(&item, &values).context("[mutt]")?));
    }
    context.insert_value("header", Value::safe_string(&header));
    context.insert_value("items", Value::from(items));
    context.insert_value("separator", Value::safe_string(&separator));
    context.insert_value("footer", Value::safe_string(&footer));
    Ok([header, item, separator, footer].concat())
}

fn environment() -> Tera {
    let mut tera = Tera::default();
    // Every name ends in nothing: all templates are escaped.
    tera.autoescape_on([""]);
    tera.set_escape_fn(|text, to| to.write_all(marked(&mutt_quote(text)).as_bytes()));
    tera.register_filter("mutt_quote", |text: &str, _: Kwargs, _: &State| {
        Value::safe_string(&mutt_quote(&unmarked(text)))
    });
    tera.register_filter("mutt_regex", |text: &str, _: Kwargs, _: &State| mutt_regex(&unmarked(text)));
    for name in ["raw", "safe"] {
        tera.register_filter(name, |text: &str, _: Kwargs, _: &State| {
            mutt_raw(&unmarked(text)).map(Value::safe_string).map_err(|err| tera::Error::message(err.to_string()))
        });
    }
    refuse_to_cut(&mut tera);
    tera
}

/// What a block has captured may bear marks already.
fn unmarked(text: &str) -> String {
    text.replace(MARK, "")
}

/// Tera's own filters of these names keep a quoted text marked as quoted after they took a quote away from it; these
/// do not, so that it is quoted again.
fn refuse_to_cut(tera: &mut Tera) {
    tera.register_filter("replace", |text: &str, args: Kwargs, _: &State| -> tera::TeraResult<String> {
        Ok(unmarked(text).replace(args.must_get::<&str>("from")?, args.must_get::<&str>("to")?))
    });
    tera.register_filter("truncate", |text: &str, args: Kwargs, _: &State| -> tera::TeraResult<String> {
        let text = &unmarked(text);
        let length = args.get::<u64>("length")?.unwrap_or(255);
        let end = args.get::<&str>("end")?.unwrap_or("…");
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        match text.char_indices().nth(length) {
            Some((at, _)) => Ok(format!("{}{end}", &text[..at])),
            None => Ok(text.to_owned()),
        }
    });
    tera.register_filter("trim", |text: &str, args: Kwargs, _: &State| -> tera::TeraResult<String> {
        let (text, pattern) = (unmarked(text), args.get::<&str>("pat")?);
        Ok(pattern.map_or(text.trim(), |pat| text.trim_start_matches(pat).trim_end_matches(pat)).to_owned())
    });
    tera.register_filter("trim_start", |text: &str, args: Kwargs, _: &State| -> tera::TeraResult<String> {
        let text = unmarked(text);
        Ok(args.get::<&str>("pat")?.map_or(text.trim_start(), |pat| text.trim_start_matches(pat)).to_owned())
    });
    tera.register_filter("trim_end", |text: &str, args: Kwargs, _: &State| -> tera::TeraResult<String> {
        let text = unmarked(text);
        Ok(args.get::<&str>("pat")?.map_or(text.trim_end(), |pat| text.trim_end_matches(pat)).to_owned())
    });
}

/// Tera's errors, on one line.
fn told(err: tera::Error) -> anyhow::Error {
    let text = err.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    anyhow::anyhow!("{}", crate::ui::plain(&lines.join(" ")))
}
