//! Takes typed values out of the tree and gathers what is wrong with them, so that one run shows all of it.

use super::duration::parse_duration;
use super::error::Problem;
use super::keys::{self, Table};
use super::nearest::nearest;
use super::tree::{At, Located, Node, Value};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Gathers problems; knows what paths are relative to.
pub struct Reader {
    pub problems: Vec<Problem>,
    /// The directory of the config file.
    base: PathBuf,
    home: Option<PathBuf>,
}

impl Reader {
    pub fn new(base: PathBuf, home: Option<PathBuf>) -> Reader {
        Reader { problems: Vec::new(), base, home }
    }

    pub fn complain(&mut self, at: &At, what: impl Into<String>) {
        self.problems.push(Problem::new(at.clone(), what));
    }

    pub fn complain_with(&mut self, at: &At, what: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(Problem::new(at.clone(), what).with_hint(hint));
    }

    /// A path with `~` and `${VAR}` expanded, relative to the config file's directory.
    pub fn path(&mut self, text: &Located<String>) -> Option<PathBuf> {
        match expand(&text.value, self.home.as_deref()) {
            Ok(path) => Some(self.base.join(path)),
            Err(what) => {
                self.complain(&text.at, what);
                None
            }
        }
    }
}

/// Expands a leading `~` or `~/`, and `${VAR}` anywhere.
fn expand(text: &str, home: Option<&Path>) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains('\0') {
        return Err("an empty path, or one with a NUL".to_owned());
    }
    let (mut expanded, mut rest) = match text.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            let home = home.ok_or("`~` can't be expanded: no home directory is known")?;
            (home.as_os_str().to_owned(), rest)
        }
        Some(_) => return Err("only `~/` is expanded, not another user's home".to_owned()),
        None => (Default::default(), text),
    };
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else {
            return Err("`${` without `}`".to_owned());
        };
        let name = &rest[start + 2..start + length];
        expanded.push(&rest[..start]);
        let valid = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let value = if valid { std::env::var_os(name) } else { None };
        expanded.push(value.ok_or_else(|| format!("the environment has no variable `{name}`"))?);
        rest = &rest[start + length + 1..];
    }
    expanded.push(rest);
    Ok(PathBuf::from(expanded))
}

/// A table being read. Every key that is not among those of its [`Table`] is a problem.
pub struct Section<'a> {
    table: &'static Table,
    entries: &'a [(Located<String>, Node)],
    pub at: At,
}

impl<'a> Section<'a> {
    /// A table whose keys are `table`'s.
    pub fn new(reader: &mut Reader, table: &'static Table, node: &'a Node) -> Option<Section<'a>> {
        let entries = entries(reader, table.name, node)?;
        for (key, _) in entries.iter().filter(|(key, _)| !table.keys.contains(&key.value.as_str())) {
            let what = format!("unknown key `{}` in {}", key.value.escape_debug(), table.name);
            match (nearest(&key.value, table.keys.iter().copied()), keys::homes(&key.value)) {
                (_, Some(homes)) => reader.complain_with(&key.at, what, format!("`{}` belongs in {homes}", key.value)),
                (Some(near), None) => reader.complain_with(&key.at, what, format!("did you mean `{near}`?")),
                (None, None) => {
                    reader.complain_with(&key.at, what, format!("it knows: {}", table.keys.join(", ")));
                }
            }
        }
        Some(Section { table, entries, at: node.at.clone() })
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&'a Node> {
        debug_assert!(self.table.keys.contains(&key), "{key} is not listed for {}", self.table.name);
        self.entries.iter().find(|(name, _)| name.value == key).map(|(_, node)| node)
    }

    /// The keys in the order in which they are written.
    pub fn keys(&self) -> impl Iterator<Item = (&'a str, &'a Node)> {
        self.entries.iter().map(|(key, node)| (key.value.as_str(), node))
    }

    pub fn flag(&self, reader: &mut Reader, key: &str) -> Option<bool> {
        let node = self.get(key)?;
        match node.value {
            Value::Boolean(yes) => Some(yes),
            _ => mistyped(reader, key, node, "true or false"),
        }
    }

    pub fn number(&self, reader: &mut Reader, key: &str, range: RangeInclusive<i64>) -> Option<usize> {
        let node = self.get(key)?;
        match node.value {
            Value::Integer(number) if range.contains(&number) => usize::try_from(number).ok(),
            Value::Integer(_) => {
                reader.complain(&node.at, format!("`{key}` must be from {} to {}", range.start(), range.end()));
                None
            }
            _ => mistyped(reader, key, node, "a number"),
        }
    }

    /// A length of time: a text as `30d`, or 0.
    pub fn duration(&self, reader: &mut Reader, key: &str) -> Option<Duration> {
        let node = self.get(key)?;
        let parsed = match &node.value {
            Value::Integer(0) => Ok(Duration::ZERO),
            Value::Text(text) => parse_duration(text),
            _ => return mistyped(reader, key, node, "a text as \"30d\""),
        };
        parsed.map_err(|what| reader.complain(&node.at, format!("`{key}`: {what}"))).ok()
    }

    /// A text that may be empty.
    pub fn text(&self, reader: &mut Reader, key: &str) -> Option<Located<String>> {
        let node = self.get(key)?;
        match &node.value {
            Value::Text(text) => Some(Located::new(text.clone(), node.at.clone())),
            _ => mistyped(reader, key, node, "a text"),
        }
    }

    /// A text of one character or more.
    pub fn word(&self, reader: &mut Reader, key: &str) -> Option<Located<String>> {
        let text = self.text(reader, key)?;
        if text.value.is_empty() {
            reader.complain(&text.at, format!("`{key}` is empty"));
            return None;
        }
        Some(text)
    }

    pub fn path(&self, reader: &mut Reader, key: &str) -> Option<Located<PathBuf>> {
        let text = self.word(reader, key)?;
        let path = reader.path(&text)?;
        Some(text.map(|_| path))
    }

    /// One text, or a list of them; empty where the key is missing.
    pub fn texts(&self, reader: &mut Reader, key: &str) -> Vec<Located<String>> {
        match self.get(key) {
            Some(node) => texts(reader, key, node, true),
            None => Vec::new(),
        }
    }

    /// A program and its arguments: a list of one text or more. The program is a path if it has a `/`.
    pub fn argv(&self, reader: &mut Reader, key: &str) -> Option<Vec<String>> {
        let node = self.get(key)?;
        let mut words = texts(reader, key, node, false);
        match words.first_mut() {
            Some(program) if !program.value.is_empty() => {
                if program.value.contains('/') {
                    program.value = reader.path(program)?.into_os_string().into_string().ok()?;
                }
            }
            _ => {
                if matches!(node.value, Value::List(_)) {
                    reader.complain(&node.at, format!("`{key}` names no program"));
                }
                return None;
            }
        }
        if let Some(word) = words.iter().find(|word| word.value.contains('\0')) {
            reader.complain(&word.at, format!("`{key}` holds a NUL"));
        }
        Some(words.into_iter().map(|word| word.value).collect())
    }

    /// One of `choices`.
    pub fn choice<T: Copy>(&self, reader: &mut Reader, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(reader, key)?;
        if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == text.value) {
            return Some(*choice);
        }
        let names: Vec<String> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        reader.complain(&text.at, format!("`{key}` must be {}", names.join(" or ")));
        None
    }
}

/// The entries of a table.
pub fn entries<'a>(reader: &mut Reader, name: &str, node: &'a Node) -> Option<&'a [(Located<String>, Node)]> {
    match &node.value {
        Value::Table(entries) => Some(entries),
        other => {
            reader.complain(&node.at, format!("{name} must be a table, not {}", other.kind()));
            None
        }
    }
}

/// A list of texts, or with `single` one text too.
pub fn texts(reader: &mut Reader, key: &str, node: &Node, single: bool) -> Vec<Located<String>> {
    let expected = if single { "a text or a list of texts" } else { "a list of texts: a program and its arguments" };
    let text = |reader: &mut Reader, node: &Node| match &node.value {
        Value::Text(text) => Some(Located::new(text.clone(), node.at.clone())),
        _ => mistyped(reader, key, node, expected),
    };
    match &node.value {
        Value::List(nodes) => nodes.iter().filter_map(|node| text(reader, node)).collect(),
        Value::Text(_) if !single => mistyped(reader, key, node, expected).into_iter().collect(),
        _ => text(reader, node).into_iter().collect(),
    }
}

fn mistyped<T>(reader: &mut Reader, key: &str, node: &Node, expected: &str) -> Option<T> {
    reader.complain(&node.at, format!("`{key}` must be {expected}, not {}", node.value.kind()));
    None
}
