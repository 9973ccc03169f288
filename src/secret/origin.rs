//! Where a password came from, in words that hold nothing of it.

use super::{Source, Spec, file};
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a password came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Config,
    /// A program, by its name and that of its key in the config.
    Command {
        key: &'static str,
        program: String,
    },
    /// Tokens that a login gave, and that are in a file or in the keyring.
    OAuth2 {
        keyring: bool,
    },
    File(PathBuf),
    /// A variable, by its name.
    Env(String),
    Keyring,
    /// The line in which the entry begins, counted from 1.
    Netrc {
        file: PathBuf,
        line: usize,
    },
    Prompt {
        /// Whether there may be a keyring that could hold it.
        keyring: bool,
    },
    /// Not looked for yet: the netrc files, else a prompt.
    Unsaid,
}

impl Origin {
    /// Where the config says that it is.
    pub fn named(source: &Source) -> Origin {
        match source {
            Source::Unsaid => Origin::Unsaid,
            Source::Given(_) => Origin::Config,
            Source::Command(argv) => Origin::command("password_command", argv),
            Source::Token(argv) => Origin::command("token_command", argv),
            Source::OAuth2(client) => Origin::OAuth2 { keyring: client.keyring.is_some() },
            Source::File(path) => Origin::File(path.clone()),
            Source::Env(name) => Origin::Env(name.clone()),
            Source::Keyring => Origin::Keyring,
        }
    }

    fn command(key: &'static str, argv: &[String]) -> Origin {
        Origin::Command { key, program: argv.first().cloned().unwrap_or_default() }
    }
}

impl Spec {
    /// Where its password is to come from, as far as that can be told without looking.
    pub fn origin(&self) -> Origin {
        Origin::named(&self.source)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Config => f.write_str("the config"),
            Origin::Command { key, program } => write!(f, "{key} {}", file::shown(Path::new(program))),
            Origin::OAuth2 { keyring: false } => f.write_str("mailsync login (OAuth2)"),
            Origin::OAuth2 { keyring: true } => f.write_str("mailsync login (OAuth2), by the keyring"),
            Origin::File(path) => write!(f, "password_file {}", file::shown(path)),
            Origin::Env(name) => write!(f, "the environment's {name}"),
            Origin::Keyring => f.write_str("the keyring"),
            Origin::Netrc { file, line } => write!(f, "{} line {line}", file::shown(file)),
            Origin::Prompt { .. } => f.write_str("the prompt"),
            Origin::Unsaid => f.write_str("netrc or a prompt"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Secret;

    #[test]
    fn a_source_is_named_without_its_secret_and_arguments() {
        let command = ["pass", "show", "mail"].map(str::to_owned).to_vec();
        for (source, words) in [
            (Source::Given(Secret::new("sesame")), "the config"),
            (Source::Command(command), "password_command pass"),
            (Source::File("/run/pw".into()), "password_file /run/pw"),
            (Source::Env("PW".into()), "the environment's PW"),
            (Source::Keyring, "the keyring"),
            (Source::Unsaid, "netrc or a prompt"),
        ] {
            assert_eq!(Origin::named(&source).to_string(), words);
        }
        let netrc = Origin::Netrc { file: "/etc/my.netrc".into(), line: 3 };
        assert_eq!(netrc.to_string(), "/etc/my.netrc line 3");
    }
}
