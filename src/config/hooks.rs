//! `[hooks]` and `[account.NAME.hooks]`: programs that are run before and after a sync.

use super::keys;
use super::reader::{Reader, Section};
use super::tree::{Located, Node, Value};
use std::time::Duration;

/// How long a hook may run, unless told otherwise.
const TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// What is run for an account, and when.
#[derive(Clone, Debug)]
pub struct Hooks {
    pub pre_sync: Option<Located<Command>>,
    pub post_sync: Option<Located<Command>>,
    pub new_mail: Option<Located<Command>>,
    pub error: Option<Located<Command>>,
    /// After so long a hook is stopped; zero for never.
    pub timeout: Duration,
    /// Whether hooks are told senders and subjects of new messages.
    pub subjects: bool,
}

/// A program and how it is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The program and its arguments, one or more words.
    Program(Vec<String>),
    /// A line for the shell.
    Shell(String),
}

impl Default for Hooks {
    fn default() -> Self {
        Hooks { pre_sync: None, post_sync: None, new_mail: None, error: None, timeout: TIMEOUT, subjects: false }
    }
}

impl Hooks {
    /// Whether anything is run at all.
    pub fn is_empty(&self) -> bool {
        [&self.pre_sync, &self.post_sync, &self.new_mail, &self.error].iter().all(|hook| hook.is_none())
    }
}

/// The hooks of one table; what it does not say is as in `above`.
pub(super) fn read(reader: &mut Reader, node: Option<&Node>, above: &Hooks) -> Hooks {
    let Some(section) = node.and_then(|node| Section::new(reader, &keys::HOOKS, node)) else { return above.clone() };
    let mut hook = |key, above: &Option<Located<Command>>| command(reader, &section, key).unwrap_or(above.clone());
    let (pre_sync, post_sync) = (hook("pre_sync", &above.pre_sync), hook("post_sync", &above.post_sync));
    let (new_mail, error) = (hook("new_mail", &above.new_mail), hook("error", &above.error));
    Hooks {
        pre_sync,
        post_sync,
        new_mail,
        error,
        timeout: section.duration(reader, "timeout").unwrap_or(above.timeout),
        subjects: section.flag(reader, "subjects").unwrap_or(above.subjects),
    }
}

/// What a key says, if it stands there: a list is a program and its arguments, a text is for the shell; empty, either
/// means none.
fn command(reader: &mut Reader, section: &Section<'_>, key: &str) -> Option<Option<Located<Command>>> {
    let node = section.get(key)?;
    let command = match &node.value {
        Value::List(words) if words.is_empty() => return Some(None),
        Value::Text(text) if text.is_empty() => return Some(None),
        Value::Text(text) if text.contains('\0') => {
            reader.complain(&node.at, format!("`{key}` holds a NUL"));
            return None;
        }
        Value::Text(text) => Command::Shell(text.clone()),
        Value::List(_) => Command::Program(section.argv(reader, key)?),
        other => {
            let what = format!("`{key}` must be a list (a program and its arguments) or a text for the shell");
            reader.complain(&node.at, format!("{what}, not {}", other.kind()));
            return None;
        }
    };
    Some(Some(Located::new(command, node.at.clone())))
}
