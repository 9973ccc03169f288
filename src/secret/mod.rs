//! One resolver of passwords for all commands: the config, a command, a file, netrc, a prompt, in this order.
//!
//! No error, note or `Debug` output of this module holds a secret, or a word that could be part of one.

mod command;
mod file;
pub mod lexer;
pub mod netrc;

use crate::mail::{Login, Secret};
use std::fmt;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// For what a login is wanted, and where the config says that its password is.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The host as the config names it; empty where a tunnel needs none.
    pub host: String,
    pub port: u16,
    /// `None` leaves it to netrc.
    pub user: Option<String>,
    pub source: Source,
    /// Read instead of `$NETRC` and `~/.netrc`.
    pub netrc: Option<PathBuf>,
}

/// Where the config says that the password is.
#[derive(Clone, Debug)]
pub enum Source {
    /// It does not: netrc, then a prompt.
    Unsaid,
    Given(Secret),
    /// The first line that a program prints.
    Command(Vec<String>),
    /// The same for an access token.
    Token(Vec<String>),
    /// The first line of a file.
    File(PathBuf),
}

/// What the resolver may do while it looks.
pub struct Context<'a> {
    /// Whether it may ask, where there is a terminal.
    pub prompt: bool,
    /// Takes what is odd but does not hinder.
    pub note: &'a dyn Fn(String),
    /// Whether the user wants to stop; asked while a command runs.
    pub cancelled: &'a dyn Fn() -> bool,
}

/// Why there is no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretError {
    /// The user wants to stop.
    Cancelled,
    Failed {
        cause: String,
        /// The one thing to do about it.
        hint: Option<String>,
    },
}

impl SecretError {
    fn new(cause: impl Into<String>) -> SecretError {
        SecretError::Failed { cause: cause.into(), hint: None }
    }

    fn with(cause: impl Into<String>, hint: impl Into<String>) -> SecretError {
        SecretError::Failed { cause: cause.into(), hint: Some(hint.into()) }
    }
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretError::Cancelled => f.write_str("interrupted"),
            SecretError::Failed { cause, .. } => f.write_str(cause),
        }
    }
}

impl std::error::Error for SecretError {}

/// Finds out who logs in, and with what.
pub fn resolve(spec: &Spec, context: &Context<'_>) -> Result<Login, SecretError> {
    let password = match &spec.source {
        Source::Given(password) => password.clone(),
        Source::Command(argv) => command::first_line("password_command", argv, command::TIMEOUT, context.cancelled)?,
        Source::Token(argv) => command::first_line("token_command", argv, command::TIMEOUT, context.cancelled)?,
        Source::File(path) => file::first_line(path)?,
        Source::Unsaid => return from_netrc_or_prompt(spec, context),
    };
    let user = spec.user.clone().ok_or_else(|| SecretError::with("no user is known", "set `user` in the config"))?;
    Ok(Login { user, password })
}

fn from_netrc_or_prompt(spec: &Spec, context: &Context<'_>) -> Result<Login, SecretError> {
    let mut looked = vec!["the config (no password, password_command, password_file)".to_owned()];
    match netrc_path(spec) {
        None => looked.push("no netrc: no home directory is known".to_owned()),
        Some(path) => match search_netrc(spec, &path, context)? {
            Ok(login) => return Ok(login),
            Err(why) => looked.push(why),
        },
    }
    let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if let (true, true, Some(user)) = (context.prompt, terminal, &spec.user) {
        return ask(user, &spec.host);
    }
    looked.push(match (terminal, &spec.user) {
        (true, None) => "no prompt without `user`".to_owned(),
        (true, Some(_)) => "no prompt here".to_owned(),
        (false, _) => "no terminal to ask at".to_owned(),
    });
    Err(missing(spec, &looked))
}

/// Looks into a netrc file; the inner error says why nothing was found there.
fn search_netrc(spec: &Spec, path: &Path, context: &Context<'_>) -> Result<Result<Login, String>, SecretError> {
    let shown = file::shown(path);
    if spec.host.is_empty() {
        return Ok(Err(format!("{shown} (no look: the config has no `host`)")));
    }
    let Some(bytes) = file::read_private(path)? else {
        return Ok(Err(format!("{shown} (no such file)")));
    };
    let (entries, warnings) = netrc::parse(&bytes);
    for warning in warnings {
        (context.note)(format!("{shown}:{}: {}", warning.line, warning.what));
    }
    match netrc::find(&entries, &spec.host, spec.user.as_deref(), spec.port) {
        netrc::Found::Login(login) => Ok(Ok(login)),
        netrc::Found::Nothing => Ok(Err(format!("{shown} (no entry that fits)"))),
        netrc::Found::NoPassword { line } => Ok(Err(format!("{shown} (the entry in line {line} has no password)"))),
        netrc::Found::Several(logins) => Err(SecretError::with(
            format!("{shown} has several logins for {}: {}", spec.host, logins.join(", ")),
            "choose one: set `user` in the config",
        )),
    }
}

fn netrc_path(spec: &Spec) -> Option<PathBuf> {
    let named = || std::env::var_os("NETRC").filter(|path| !path.is_empty()).map(PathBuf::from);
    spec.netrc.clone().or_else(named).or_else(|| Some(directories::BaseDirs::new()?.home_dir().join(".netrc")))
}

fn ask(user: &str, host: &str) -> Result<Login, SecretError> {
    let place = if host.is_empty() { String::new() } else { format!(" on {host}") };
    let prompt: String = format!("Password of {user}{place}: ").chars().filter(|c| !c.is_control()).collect();
    match rpassword::prompt_password(prompt) {
        Ok(password) if !password.is_empty() => Ok(Login { user: user.to_owned(), password: Secret::new(password) }),
        Ok(_) => Err(SecretError::new("no password was given")),
        Err(err) if err.kind() == std::io::ErrorKind::Interrupted => Err(SecretError::Cancelled),
        Err(err) => Err(SecretError::new(format!("ask for the password: {err}"))),
    }
}

/// Says where it looked, and what to write where.
fn missing(spec: &Spec, looked: &[String]) -> SecretError {
    let whom = match (&spec.user, spec.host.as_str()) {
        (Some(user), "") => user.clone(),
        (Some(user), host) => format!("{user} on {host}"),
        (None, host) => host.to_owned(),
    };
    let cause = format!("no password for {whom}; looked in: {}", looked.join(", "));
    if spec.host.is_empty() {
        return SecretError::with(cause, "set `password_command` in the config");
    }
    let shown = netrc_path(spec).map_or("~/.netrc".to_owned(), |path| file::shown(&path));
    let user = spec.user.as_deref().unwrap_or("USER");
    let line = format!("machine {} login {} password PASSWORD", lexer::quote(&spec.host), lexer::quote(user));
    SecretError::with(cause, format!("add to {shown} (mode 600): {line}"))
}
