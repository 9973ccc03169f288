//! One resolver of passwords for all commands: what the config names, else netrc, else a prompt.
//!
//! No error, note or `Debug` output of this module holds a secret, or a word that could be part of one.

mod command;
mod file;
mod gpg;
pub mod keyring;
pub mod lexer;
pub mod netrc;
pub mod oauth;
mod origin;
mod search;
mod wait;

pub use gpg::Decrypted;
pub use origin::Origin;

use crate::mail::{Login, Secret};
use keyring::Entry;
use std::fmt;
use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::time::Duration;

/// How long a program may take, unless a test says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Where people are asked for a passphrase, they have so many times as long.
const HUMAN: u32 = 4;

/// For what a login is wanted, and where the config says that its password is.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The host as the config names it; empty where a tunnel needs none.
    pub host: String,
    pub port: u16,
    /// `None` leaves it to netrc.
    pub user: Option<String>,
    pub source: Source,
    /// Read instead of `$NETRC` and the files in the home directory.
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
    /// Tokens that a login gave.
    OAuth2(Box<oauth::Client>),
    /// The first line of a file.
    File(PathBuf),
    /// A variable of the environment.
    Env(String),
    /// The Secret Service, then a prompt.
    Keyring,
}

/// A login, and where its password came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub login: Login,
    pub origin: Origin,
}

/// What the resolver may do while it looks.
pub struct Context<'a> {
    /// The token that was found before, where the server refused it and another one is needed.
    pub refused: Option<&'a Secret>,
    /// Whether it may ask, where there is a terminal.
    pub prompt: bool,
    /// How long a program may take; one that may have to ask somebody has four times as long.
    pub timeout: Duration,
    /// What gpg has made of files so far.
    pub decrypted: &'a Decrypted,
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
pub fn resolve(spec: &Spec, context: &Context<'_>) -> Result<Found, SecretError> {
    let password = match &spec.source {
        Source::Given(password) => password.clone(),
        Source::Command(argv) => command::first_line("password_command", argv, context)?,
        Source::Token(argv) => command::first_line("token_command", argv, context)?,
        Source::OAuth2(client) => client.access(context)?,
        Source::File(path) => file::first_line(path)?,
        Source::Env(name) => from_environment(name)?,
        Source::Keyring => return from_keyring_or_prompt(spec, context),
        Source::Unsaid => return from_netrc_or_prompt(spec, context),
    };
    let user = spec.user.clone().ok_or_else(no_user)?;
    Ok(Found { login: Login { user, password }, origin: Origin::named(&spec.source) })
}

fn no_user() -> SecretError {
    SecretError::with("no user is known", "set `user` in the config")
}

fn from_environment(name: &str) -> Result<Secret, SecretError> {
    let hint = format!("export {name} for the program, or name another source in the config");
    let fail = |what: &str| SecretError::with(format!("password_env: the variable {name} {what}"), hint.clone());
    let value = std::env::var_os(name).ok_or_else(|| fail("is not set"))?;
    match value.into_string() {
        Ok(value) if value.is_empty() => Err(fail("is empty")),
        Ok(value) => Ok(Secret::new(value)),
        Err(_) => Err(fail("is not UTF-8")),
    }
}

fn from_keyring_or_prompt(spec: &Spec, context: &Context<'_>) -> Result<Found, SecretError> {
    let entry = Entry::new(spec)?;
    let keyring = match keyring::get(&entry, context) {
        Ok(Some(password)) => {
            let login = Login { user: entry.user, password };
            return Ok(Found { login, origin: Origin::Keyring });
        }
        Ok(None) => true,
        // Whoever sits at a terminal can do without it.
        Err(err @ SecretError::Failed { .. }) if context.prompt && has_terminal() => {
            (context.note)(err.to_string());
            false
        }
        Err(err) => return Err(err),
    };
    if context.prompt && has_terminal() {
        return asked(&entry.user, &spec.host, keyring);
    }
    let cause = format!("no password for {} on {}; the keyring has none ({entry})", entry.user, entry.host);
    Err(SecretError::with(cause, "store it there: mailsync password set ACCOUNT"))
}

fn from_netrc_or_prompt(spec: &Spec, context: &Context<'_>) -> Result<Found, SecretError> {
    const NAMED: &str = "the config (no password, password_command, password_file, password_env or keyring)";
    let mut looked = vec![NAMED.to_owned()];
    if let Some(found) = search::netrc(spec, context, &mut looked)? {
        return Ok(found);
    }
    if let (true, true, Some(user)) = (context.prompt, has_terminal(), &spec.user) {
        return asked(user, &spec.host, !spec.host.is_empty() && keyring::may_be_there());
    }
    looked.push(match (has_terminal(), &spec.user) {
        (true, None) => "no prompt without `user`".to_owned(),
        (true, Some(_)) => "no prompt here".to_owned(),
        (false, _) => "no terminal to ask at".to_owned(),
    });
    Err(missing(spec, &looked))
}

/// Whether there is somebody to ask.
pub fn has_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

fn asked(user: &str, host: &str, keyring: bool) -> Result<Found, SecretError> {
    let login = Login { user: user.to_owned(), password: ask(user, host)? };
    Ok(Found { login, origin: Origin::Prompt { keyring } })
}

/// Asks at the terminal.
pub fn ask(user: &str, host: &str) -> Result<Secret, SecretError> {
    let place = if host.is_empty() { String::new() } else { format!(" on {host}") };
    let prompt: String = format!("Password of {user}{place}: ").chars().filter(|c| !c.is_control()).collect();
    match rpassword::prompt_password(prompt) {
        Ok(password) if !password.is_empty() => Ok(Secret::new(password)),
        Ok(_) => Err(SecretError::new("no password was given")),
        Err(err) if err.kind() == std::io::ErrorKind::Interrupted => Err(SecretError::Cancelled),
        Err(err) => Err(SecretError::new(format!("ask for the password: {err}"))),
    }
}

/// The first line of some input that is no terminal.
pub fn first_line_of(input: impl Read) -> Result<Secret, SecretError> {
    let bytes = file::all_of(input).map_err(|err| SecretError::new(format!("read the password: {err}")))?;
    file::line_of(&bytes).map_err(|why| SecretError::new(format!("standard input {why}")))
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
    let path = search::files(spec).into_iter().next();
    let how = if path.as_deref().is_some_and(gpg::is_encrypted) { "encrypted" } else { "mode 600" };
    let shown = path.map_or("~/.netrc".to_owned(), |path| file::shown(&path));
    let user = spec.user.as_deref().unwrap_or("USER");
    let line = format!("machine {} login {} password PASSWORD", lexer::quote(&spec.host), lexer::quote(user));
    SecretError::with(cause, format!("add to {shown} ({how}): {line}"))
}
