//! The file as a tree of values in the order in which they are written, each with its place.

use super::error::{ConfigError, Problem};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use toml::de::{DeTable, DeValue};

/// A place in the config file, or the command line option that stands for one.
#[derive(Clone, PartialEq, Eq)]
pub struct At {
    source: Arc<str>,
    /// Line and column, counted from 1 in characters. `None` for all of the source.
    position: Option<(usize, usize)>,
}

impl At {
    /// All of a file.
    pub fn whole(source: &str) -> At {
        At { source: source.into(), position: None }
    }

    /// Line and column; what has none stands first.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.position
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        match self.position {
            Some((line, column)) => write!(f, ":{line}:{column}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A value and where it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    pub value: T,
    pub at: At,
}

impl<T> Located<T> {
    pub fn new(value: T, at: At) -> Self {
        Located { value, at }
    }

    /// Turns the value into another, at the same place.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Located<U> {
        Located { value: f(self.value), at: self.at }
    }
}

/// What stands at one place.
#[derive(Clone)]
pub struct Node {
    pub at: At,
    pub value: Value,
}

#[derive(Clone)]
pub enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Node>),
    Table(Vec<(Located<String>, Node)>),
    /// Something that no key takes, named as in `a date`.
    Other(&'static str),
}

impl Value {
    /// What it is, as in "must be X, not Y".
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "a text",
            Value::Integer(_) => "a number",
            Value::Boolean(_) => "true or false",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Other(kind) => kind,
        }
    }
}

/// Reads TOML. The error has every problem that the parser found.
pub fn parse(source: &str, text: &str) -> Result<Node, ConfigError> {
    let places = Places { source: source.into(), text };
    let (table, mut errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // The first one is the cause of the others.
        errors.sort_by_key(|err| err.span().map(|span| span.start));
        let problem = |err: &toml::de::Error| Problem::new(places.at(err.span().unwrap_or(0..0)), err.message());
        return Err(ConfigError::from(errors.iter().map(problem).collect::<Vec<_>>()));
    }
    Ok(Node { at: At::whole(source), value: places.table(table.get_ref()) })
}

/// Sets the value of `KEY=VALUE`, given on the command line: KEY is the path of a key, joined by dots; VALUE is TOML,
/// or else a text as it is.
pub fn set(root: &mut Node, option: &str) -> Result<(), ConfigError> {
    let (key, value) = option.split_once('=').unwrap_or((option, ""));
    let at = At::whole(&format!("-o {}", key.trim()));
    if !option.contains('=') || key.trim().is_empty() {
        return Err(Problem::new(at, "must be KEY=VALUE").with_hint("as in -o general.max_sync_accounts=1").into());
    }
    let quoted = toml::Value::String(value.to_owned());
    let node = parse("", option).or_else(|_| parse("", &format!("{key} = {quoted}"))).map_err(|_| {
        Problem::new(at.clone(), "is no key: parts joined by dots, quoted where they have odd characters")
    })?;
    merge(root, relocate(node, &at));
    Ok(())
}

/// Tables are merged key by key, anything else is replaced.
fn merge(old: &mut Node, new: Node) {
    match (&mut old.value, new.value) {
        (Value::Table(entries), Value::Table(more)) => {
            for (key, node) in more {
                match entries.iter_mut().find(|(name, _)| name.value == key.value) {
                    Some((_, old)) => merge(old, node),
                    None => entries.push((key, node)),
                }
            }
        }
        (_, value) => *old = Node { at: new.at, value },
    }
}

fn relocate(node: Node, at: &At) -> Node {
    let value = match node.value {
        Value::List(nodes) => Value::List(nodes.into_iter().map(|node| relocate(node, at)).collect()),
        Value::Table(entries) => Value::Table(
            entries.into_iter().map(|(key, node)| (Located::new(key.value, at.clone()), relocate(node, at))).collect(),
        ),
        other => other,
    };
    Node { at: at.clone(), value }
}

/// Turns byte ranges into lines and columns.
struct Places<'a> {
    source: Arc<str>,
    text: &'a str,
}

impl Places<'_> {
    fn at(&self, span: Range<usize>) -> At {
        let before = self.text.get(..span.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        At { source: self.source.clone(), position: Some((line, column)) }
    }

    fn table(&self, table: &DeTable<'_>) -> Value {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let entry = |(key, value): (&toml::Spanned<toml::de::DeString<'_>>, &toml::Spanned<DeValue<'_>>)| {
            (Located::new(key.get_ref().to_string(), self.at(key.span())), self.node(value.get_ref(), value.span()))
        };
        Value::Table(entries.into_iter().map(entry).collect())
    }

    fn node(&self, value: &DeValue<'_>, span: Range<usize>) -> Node {
        let value = match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => {
                let digits = number.as_str().replace('_', "");
                i64::from_str_radix(&digits, number.radix()).map_or(Value::Other("so large a number"), Value::Integer)
            }
            DeValue::Float(_) => Value::Other("a fraction"),
            DeValue::Boolean(yes) => Value::Boolean(*yes),
            DeValue::Datetime(_) => Value::Other("a date"),
            DeValue::Array(items) => {
                Value::List(items.iter().map(|item| self.node(item.get_ref(), item.span())).collect())
            }
            DeValue::Table(table) => self.table(table),
        };
        Node { at: self.at(span), value }
    }
}
