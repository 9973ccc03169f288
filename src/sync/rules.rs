//! The user's rules for folders: which are synced, and what they are called on the other side. Pure.
//!
//! All patterns see the *remote* name in its text form (`/` between components, whatever the server's delimiter).
//! Filters are asked in the order in which the config file has them, and the last one that matches decides. Where
//! the first filter includes, a folder that none matches is left out; else it is taken. Renames lead from the remote
//! name to the local one, each step has an inverse, and a folder that exists on the local side only gets the remote
//! name that leads back to it, or none.

use super::Policy;
use crate::mail::{FolderName, Role};
use regex::{Captures, Regex};
use std::borrow::Cow;
use std::collections::HashMap;

/// Names folders: a literal, a glob (`*` anything, `%` anything but `/`, `?` one character), `re:` and a regular
/// expression that is searched for, or `role:` and a role.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// As it was written.
    pub text: String,
    kind: PatternKind,
}

#[derive(Clone, Debug)]
enum PatternKind {
    Literal(FolderName),
    Match(Regex),
    Role(Role),
}

impl Pattern {
    /// Reads a pattern; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let kind = if let Some(expression) = text.strip_prefix("re:") {
            PatternKind::Match(compile(expression)?)
        } else if let Some(role) = text.strip_prefix("role:") {
            let known = || Role::every().map(Role::name).collect::<Vec<_>>().join(", ");
            PatternKind::Role(
                Role::parse(role).ok_or_else(|| format!("no such role: {role:?}; there are {}", known()))?,
            )
        } else if text.contains(['*', '%', '?']) {
            PatternKind::Match(compile(&glob(text))?)
        } else {
            let name = FolderName::parse(text).ok_or_else(|| format!("not a folder name: {text:?}"))?;
            PatternKind::Literal(name)
        };
        Ok(Pattern { text: text.to_owned(), kind })
    }

    /// Whether this pattern names the folder.
    pub fn matches(&self, name: &FolderName, role: Option<Role>) -> bool {
        match &self.kind {
            PatternKind::Literal(literal) => literal == name,
            PatternKind::Match(expression) => expression.is_match(&name.text()),
            PatternKind::Role(wanted) => role == Some(*wanted) || (*wanted == Role::Inbox && name.is_inbox()),
        }
    }

    /// Whether it names one folder, not any that looks alike.
    fn is_specific(&self) -> bool {
        !matches!(self.kind, PatternKind::Match(_))
    }
}

fn compile(expression: &str) -> Result<Regex, String> {
    // regex explains over several lines, with the last one in words.
    Regex::new(expression).map_err(|err| {
        let text = err.to_string();
        format!("bad regular expression {expression:?}: {}", text.lines().last().unwrap_or_default().trim())
    })
}

fn glob(text: &str) -> String {
    let mut expression = String::from("(?s)^");
    for c in text.chars() {
        match c {
            '*' => expression.push_str(".*"),
            '%' => expression.push_str("[^/]*"),
            '?' => expression.push('.'),
            c => expression.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    expression.push('$');
    expression
}

/// A filter: the folders that `pattern` names are synced, or not.
#[derive(Clone, Debug)]
pub struct Filter {
    pub include: bool,
    pub pattern: Pattern,
}

impl Filter {
    /// Reads an entry of an `include` or `exclude` list; a leading `!` turns its meaning round.
    pub fn parse(include: bool, text: &str) -> Result<Filter, String> {
        match text.strip_prefix('!') {
            Some(rest) => Ok(Filter { include: !include, pattern: Pattern::parse(rest)? }),
            None => Ok(Filter { include, pattern: Pattern::parse(text)? }),
        }
    }
}

/// Changes a remote name into a local one, step by step in order; each step has an inverse.
#[derive(Clone, Debug)]
pub enum Rename {
    /// To lower case.
    Lower,
    /// Every `from` becomes `to`.
    Replace { from: String, to: String },
    /// A name that is `from`, or that begins with `from` and `/`, begins with `to` instead.
    Prefix { from: String, to: String },
    /// The one folder that `folder` names is called `to`.
    Folder { folder: Pattern, to: String },
    /// A regular expression, and the one that undoes it. `\1`, `\g<1>` and `$1` name groups in the replacements.
    Regex { from: Regex, to: String, back_from: Regex, back_to: String },
}

impl Rename {
    /// Reads a pair of regular expressions with their replacements.
    pub fn regex(from: &str, to: &str, back_from: &str, back_to: &str) -> Result<Rename, String> {
        Ok(Rename::Regex {
            from: compile(from)?,
            to: group_names(to),
            back_from: compile(back_from)?,
            back_to: group_names(back_to),
        })
    }

    fn forward(&self, text: String, role: Option<Role>) -> String {
        match self {
            Rename::Lower => text.to_lowercase(),
            Rename::Replace { from, to } => text.replace(from.as_str(), to),
            Rename::Prefix { from, to } => exchange_prefix(&text, from, to).unwrap_or(text),
            Rename::Folder { folder, to } => match FolderName::parse(&text) {
                Some(name) if folder.matches(&name, role) => to.clone(),
                _ => text,
            },
            Rename::Regex { from, to, .. } => expand(from, to, &text),
        }
    }

    fn backward(&self, text: String, remotes: &Remotes) -> String {
        match self {
            Rename::Lower => text,
            Rename::Replace { to, .. } if to.is_empty() => text,
            Rename::Replace { from, to } => text.replace(to.as_str(), from),
            Rename::Prefix { from, to } => exchange_prefix(&text, to, from).unwrap_or(text),
            Rename::Folder { folder, to } if *to == text => match &folder.kind {
                PatternKind::Literal(name) => name.text(),
                PatternKind::Role(role) => remotes.by_role.get(role).map_or(text, FolderName::text),
                PatternKind::Match(_) => text,
            },
            Rename::Folder { .. } => text,
            Rename::Regex { back_from, back_to, .. } => expand(back_from, back_to, &text),
        }
    }
}

fn expand(from: &Regex, to: &str, text: &str) -> String {
    from.replace_all(text, |captures: &Captures<'_>| {
        let mut out = String::new();
        captures.expand(to, &mut out);
        out
    })
    .into_owned()
}

/// Turns Python's and sed's group names into those of the crate.
fn group_names(to: &str) -> String {
    let mut out = String::new();
    let mut chars = to.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some(d)) if d.is_ascii_digit() => {
                out.push_str(&format!("${{{d}}}"));
                chars.next();
            }
            ('\\', Some('g')) => {
                let rest: String = chars.by_ref().skip(1).take_while(|c| *c != '>').skip_while(|c| *c == '<').collect();
                out.push_str(&format!("${{{rest}}}"));
            }
            ('\\', Some('\\')) => {
                out.push('\\');
                chars.next();
            }
            (c, _) => out.push(c),
        }
    }
    out
}

fn exchange_prefix(text: &str, from: &str, to: &str) -> Option<String> {
    let rest = text.strip_prefix(from)?;
    let whole = rest.is_empty() || rest.starts_with('/') || from.ends_with('/') || from.is_empty();
    whole.then(|| format!("{to}{rest}"))
}

/// The folders of the remote list, as far as the way back from a local name needs them.
#[derive(Clone, Debug, Default)]
pub struct Remotes {
    /// The first folder of each role.
    by_role: HashMap<Role, FolderName>,
    /// The first folder that has each local name.
    by_local: HashMap<FolderName, FolderName>,
}

impl Remotes {
    /// Of the folders with these names and roles, in the order of the list.
    pub fn of<'a>(rules: &Rules, listed: impl Iterator<Item = (&'a FolderName, Option<Role>)>) -> Remotes {
        let mut remotes = Remotes::default();
        for (name, role) in listed {
            if let Some(role) = role {
                remotes.by_role.entry(role).or_insert_with(|| name.clone());
            }
            if let Some(local) = rules.local_name(name, role) {
                remotes.by_local.entry(local).or_insert_with(|| name.clone());
            }
        }
        remotes
    }
}

/// Whether a folder is synced, and by which rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub selected: bool,
    pub rule: Cow<'static, str>,
}

/// All rules of an account.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// In the order in which the config file has them, whichever list they are in.
    pub filters: Vec<Filter>,
    pub renames: Vec<Rename>,
    pub subscribed_only: bool,
    /// Roles that the config gives: remote names in text form.
    pub roles: Vec<(Role, String)>,
    /// Folders in which something else may be done than in the others; the last one that names a folder counts.
    pub policies: Vec<(Pattern, Policy)>,
}

/// Folders of Exchange that hold no mail. Left out by default where the list looks like Exchange's.
const EXCHANGE: [&str; 8] = [
    "Calendar",
    "Contacts",
    "Journal",
    "Notes",
    "Tasks",
    "Sync Issues",
    "Suggested Contacts",
    "Conversation Action Settings",
];

/// Names that tell a role where no server and no config does.
const USUAL: [(&str, Role); 19] = [
    ("drafts", Role::Drafts),
    ("sent", Role::Sent),
    ("sent items", Role::Sent),
    ("sent messages", Role::Sent),
    ("sent mail", Role::Sent),
    ("archive", Role::Archive),
    ("archives", Role::Archive),
    ("junk", Role::Junk),
    ("junk e-mail", Role::Junk),
    ("junk email", Role::Junk),
    ("spam", Role::Junk),
    ("bulk mail", Role::Junk),
    ("trash", Role::Trash),
    ("bin", Role::Trash),
    ("deleted items", Role::Trash),
    ("deleted messages", Role::Trash),
    ("outbox", Role::Outbox),
    ("postausgang", Role::Outbox),
    ("unsent messages", Role::Outbox),
];

impl Rules {
    /// The role of a remote folder: what the config says, else what the server says, else what its name tells.
    /// A role that the config or the server gives to one folder is not given to another by its name.
    pub fn role(&self, name: &FolderName, listed: Option<Role>, taken: &[Role]) -> Option<Role> {
        if name.is_inbox() {
            return Some(Role::Inbox);
        }
        if !self.roles.is_empty() {
            let text = name.text();
            if let Some((role, _)) = self.roles.iter().find(|(_, folder)| *folder == text) {
                return Some(*role);
            }
        }
        let overridden = |role: &Role| self.roles.iter().any(|(given, _)| given == role);
        if let Some(role) = listed.filter(|role| !overridden(role)) {
            return Some(role);
        }
        let bare = match name.parts() {
            [bare] => bare,
            [above, bare] if ["inbox", "[gmail]"].iter().any(|one| above.eq_ignore_ascii_case(one)) => bare,
            _ => return None,
        };
        // Not all that is no ASCII stays so in lower case.
        let bare = if bare.is_ascii() { Cow::Borrowed(bare.as_str()) } else { Cow::Owned(bare.to_lowercase()) };
        let usual = USUAL.iter().find(|(known, _)| known.eq_ignore_ascii_case(&bare)).map(|(_, role)| *role);
        usual.filter(|role| !taken.contains(role) && !overridden(role))
    }

    /// Whether the folder with this remote name is synced. `exchange` says that the whole list looks like that of an
    /// Exchange server ([`looks_like_exchange`]).
    pub fn verdict(&self, name: &FolderName, role: Option<Role>, subscribed: Option<bool>, exchange: bool) -> Verdict {
        let say = |selected, rule: Cow<'static, str>| Verdict { selected, rule };
        let last = self.filters.iter().rev().find(|filter| filter.pattern.matches(name, role));
        let named = last.is_some_and(|filter| filter.include && filter.pattern.is_specific());
        if !named {
            if let Some(role) = role.filter(|role| matches!(role, Role::All | Role::Important | Role::Outbox)) {
                return say(false, format!("default: role:{role} is left out").into());
            }
            if exchange && EXCHANGE.contains(&name.parts()[0].as_str()) {
                return say(false, "default: holds no mail on Exchange".into());
            }
        }
        if self.subscribed_only && subscribed == Some(false) && !name.is_inbox() && !named {
            return say(false, "subscribed_only".into());
        }
        match (last, self.filters.first()) {
            (Some(filter), _) => {
                let list = if filter.include { "include" } else { "exclude" };
                say(filter.include, format!("{list} {:?}", filter.pattern.text).into())
            }
            (None, Some(first)) if first.include => say(false, "no include names it".into()),
            (None, _) => say(true, "no rule".into()),
        }
    }

    /// What may be done in the folder with this remote name, where `usual` holds for the account.
    pub fn policy(&self, name: &FolderName, role: Option<Role>, usual: &Policy) -> Policy {
        let named = self.policies.iter().rev().find(|(pattern, _)| pattern.matches(name, role));
        named.map_or(*usual, |(_, policy)| *policy)
    }

    /// The local name of a remote folder; `None` where the rules leave no usable name.
    pub fn local_name(&self, remote: &FolderName, role: Option<Role>) -> Option<FolderName> {
        if self.renames.is_empty() {
            return Some(remote.clone());
        }
        let text = self.renames.iter().fold(remote.text(), |text, rename| rename.forward(text, role));
        FolderName::parse(&text)
    }

    /// The remote name for a folder that exists only locally: below the remote folder that its nearest ancestor is
    /// paired with, where there is one, and always one that leads back to `local`.
    pub fn remote_name(&self, local: &FolderName, remotes: &Remotes) -> Result<FolderName, String> {
        let text = self.renames.iter().rev().fold(local.text(), |text, rename| rename.backward(text, remotes));
        let plain = FolderName::parse(&text);
        let mut candidates: Vec<FolderName> = Vec::new();
        let mut ancestor = local.parent();
        while let Some(at) = ancestor {
            if let (Some(known), Some(plain)) = (remotes.by_local.get(&at), &plain) {
                let below = local.parts().len() - at.parts().len();
                if below < plain.parts().len() {
                    let rest = &plain.parts()[plain.parts().len() - below..];
                    candidates.extend(FolderName::new(known.parts().iter().chain(rest).cloned()));
                }
                break;
            }
            ancestor = at.parent();
        }
        candidates.extend(plain);
        // A name that no step touches is the safest of all: rules are often written for a few folders only.
        candidates.push(local.clone());
        candidates.into_iter().find(|name| self.local_name(name, None).as_ref() == Some(local)).ok_or_else(|| {
            let shown = FolderName::parse(&text).and_then(|name| self.local_name(&name, None));
            let shown = shown.map_or_else(|| "no name at all".to_owned(), |name| format!("{name:?}"));
            format!("no remote name leads back to {local:?}: the rename rules make {shown} of {text:?}")
        })
    }
}

/// Whether a list of top-level names is that of an Exchange server.
pub fn looks_like_exchange<'a>(names: impl Iterator<Item = &'a FolderName>) -> bool {
    let telling = |name: &&FolderName| matches!(name.parts(), [one] if ["Calendar", "Contacts", "Outbox"].contains(&one.as_str()));
    let found = names.filter(telling).count();
    found == 3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> FolderName {
        FolderName::parse(text).expect("a folder name")
    }

    fn rules(filters: &[(bool, &str)]) -> Rules {
        let filters = filters.iter().map(|(include, text)| Filter::parse(*include, text).expect("a filter")).collect();
        Rules { filters, ..Rules::default() }
    }

    fn selected(rules: &Rules, text: &str) -> bool {
        rules.verdict(&name(text), None, None, false).selected
    }

    /// The rules of OfflineIMAP's well-known Gmail example.
    fn gmail() -> Rules {
        let replace = |from: &str, to: &str| Rename::Replace { from: from.to_owned(), to: to.to_owned() };
        Rules {
            filters: vec![Filter::parse(false, "[Gmail]/All Mail").expect("a filter")],
            renames: vec![
                Rename::Lower,
                replace(" ", "_"),
                replace("starred", "flagged"),
                replace("sent_mail", "sent"),
                Rename::Prefix { from: "[gmail]".to_owned(), to: "bak".to_owned() },
            ],
            ..Rules::default()
        }
    }

    #[test]
    fn without_filters_everything_is_synced() {
        assert!(selected(&Rules::default(), "Any/Thing"));
    }

    #[test]
    fn the_last_filter_that_matches_decides_and_the_first_sets_the_default() {
        let first_include = rules(&[(true, "Lists/*"), (false, "Lists/spam*")]);
        assert!(selected(&first_include, "Lists/a"));
        assert!(!selected(&first_include, "Lists/spam/x"));
        assert!(!selected(&first_include, "INBOX"));
        let first_exclude = rules(&[(false, "*"), (true, "inbox")]);
        assert!(selected(&first_exclude, "INBOX"));
        assert!(!selected(&first_exclude, "Other"));
        let turned = rules(&[(false, "A*"), (false, "!Ab")]);
        assert!(selected(&turned, "Ab") && selected(&turned, "B") && !selected(&turned, "Ac"));
    }

    #[test]
    fn brackets_are_literal_and_percent_stays_within_a_component() {
        let rules = rules(&[(false, "[Gmail]/%")]);
        assert!(!selected(&rules, "[Gmail]/Spam"));
        assert!(selected(&rules, "[Gmail]/Spam/x"));
        assert!(selected(&rules, "G/Spam"));
    }

    #[test]
    fn all_mail_is_left_out_unless_it_is_named() {
        let verdict = |rules: &Rules| rules.verdict(&name("[Gmail]/Alle"), Some(Role::All), None, false).selected;
        assert!(!verdict(&Rules::default()));
        assert!(!verdict(&rules(&[(true, "*")])));
        assert!(verdict(&rules(&[(true, "*"), (true, "role:all")])));
        assert!(verdict(&rules(&[(false, "x"), (true, "[Gmail]/Alle")])));
    }

    #[test]
    fn the_gmail_example_leads_there_and_back() {
        let rules = gmail();
        let names = ["INBOX", "[Gmail]", "[Gmail]/Sent Mail", "[Gmail]/Starred", "Work", "Work/Old Stuff"].map(name);
        let remotes = Remotes::of(&rules, names.iter().map(|name| (name, None)));
        for (remote, local) in [
            ("INBOX", "INBOX"),
            ("[Gmail]/Sent Mail", "bak/sent"),
            ("[Gmail]/Starred", "bak/flagged"),
            ("Work/Old Stuff", "work/old_stuff"),
        ] {
            assert_eq!(rules.local_name(&name(remote), None), Some(name(local)));
        }
        for (local, remote) in [
            ("bak/new_one", "[Gmail]/new one"),
            ("work/old_stuff/more", "Work/Old Stuff/more"),
            ("plain", "plain"),
            ("two_words", "two words"),
        ] {
            assert_eq!(rules.remote_name(&name(local), &remotes), Ok(name(remote)));
        }
        assert!(rules.remote_name(&name("Upper"), &remotes).is_err());
    }

    #[test]
    fn a_role_can_be_renamed_whatever_the_server_calls_it() {
        let folder = Pattern::parse("role:sent").expect("a pattern");
        let rules = Rules { renames: vec![Rename::Folder { folder, to: "sent".to_owned() }], ..Rules::default() };
        assert_eq!(rules.local_name(&name("Gesendet"), Some(Role::Sent)), Some(name("sent")));
        assert_eq!(rules.local_name(&name("Gesendet"), None), Some(name("Gesendet")));
    }

    #[test]
    fn regular_expressions_take_group_names_of_python_and_sed() {
        let rename = Rename::regex(r"^Lists/(.*)$", r"l.\1", r"^l\.(.*)$", "Lists/${1}").expect("a rename");
        let rules = Rules { renames: vec![rename], ..Rules::default() };
        assert_eq!(rules.local_name(&name("Lists/mutt"), None), Some(name("l.mutt")));
        assert_eq!(rules.remote_name(&name("l.new"), &Remotes::default()), Ok(name("Lists/new")));
    }

    #[test]
    fn roles_come_from_the_config_then_the_server_then_the_name() {
        let rules = Rules { roles: vec![(Role::Trash, "Papierkorb".to_owned())], ..Rules::default() };
        assert_eq!(rules.role(&name("Papierkorb"), None, &[]), Some(Role::Trash));
        assert_eq!(rules.role(&name("Trash"), Some(Role::Trash), &[]), None);
        assert_eq!(rules.role(&name("Spam"), None, &[]), Some(Role::Junk));
        assert_eq!(rules.role(&name("Spam"), None, &[Role::Junk]), None);
        assert_eq!(rules.role(&name("inbox"), None, &[]), Some(Role::Inbox));
        for (usual, role) in [
            ("INBOX/Drafts", Some(Role::Drafts)),
            ("[gmail]/SENT Mail", Some(Role::Sent)),
            ("Junk E-Mail", Some(Role::Junk)),
            ("Archive", Some(Role::Archive)),
            ("Mail/Archive", None),
            ("INBOX/Archive/2020", None),
            ("Archive/2020", None),
            ("INBOX\\/Drafts", None),
            ("BUL\u{212a} Mail", Some(Role::Junk)),
        ] {
            assert_eq!(Rules::default().role(&name(usual), None, &[]), role, "{usual}");
        }
    }

    #[test]
    fn exchange_folders_without_mail_are_left_out_only_on_exchange() {
        let rules = Rules::default();
        assert!(!rules.verdict(&name("Calendar/x"), None, None, true).selected);
        assert!(rules.verdict(&name("Calendar"), None, None, false).selected);
    }
}
