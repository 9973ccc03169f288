//! What the command line understands.

use super::mutt::MuttArgs;
use crate::config::parse_duration;
use crate::ui::UiKind;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Keeps IMAP accounts and local Maildirs in step, both ways, and feeds mutt and NeoMutt
#[derive(Clone, Debug, Parser)]
#[command(name = "mailsync", version, arg_required_else_help = true, subcommand_required = true)]
#[command(after_help = "mailsync --info [ACCOUNT]... is the same as mailsync info.\n\
    Exit codes: 0 in step, 1 something was left undone, 2 usage or configuration, 3 another run holds the lock, \
    4 authentication, 130 interrupted.\nManuals: mailsync(1), mailsync-config(5)")]
pub struct Cli {
    /// The config file [default: $XDG_CONFIG_HOME/mailsync/config.toml]
    #[arg(short, long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set a key of the config for this run, as in general.max_sync_accounts=1
    #[arg(short = 'o', long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Say on standard error what is done; twice for all topics of -d
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Say all about these topics on standard error: imap, maildir, state, sync; secrets are masked
    #[arg(short, long, global = true, value_name = "TOPICS", value_delimiter = ',', value_enum)]
    pub debug: Vec<Topic>,
    /// The same as the command info
    #[arg(long)]
    pub info: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Bring accounts in step
    Sync(SyncArgs),
    /// Keep accounts in step for as long as it runs
    Watch(WatchArgs),
    /// Show servers, folders and what the rules make of them; changes nothing
    Info(InfoArgs),
    /// Tell how things are with the accounts that a running `mailsync watch` keeps
    Status(StatusArgs),
    /// Have a running `mailsync watch` sync an account now, and wait for nothing
    Trigger(TriggerArgs),
    /// List messages that wait after errors, or try them again
    Problems(ProblemsArgs),
    /// List messages that were deleted here and are still kept, or put them back; asks no server
    Undelete(UndeleteArgs),
    /// Verify what is remembered against both sides, message by message; changes neither
    Check(CheckArgs),
    /// Store a password in the keyring, write to standard output the one that is used, or forget it
    Password(PasswordArgs),
    /// Get OAuth2 tokens: somebody logs in with a browser, or on another device
    Login(LoginArgs),
    /// Write mutt's `mailboxes` commands, from what the last sync learned
    MuttMailboxes(MuttCommand),
    /// Write completions for a shell
    Completions { shell: clap_complete::Shell },
}

#[derive(Clone, Debug, Default, Args)]
pub struct SyncArgs {
    /// Accounts [default: all that are enabled]
    #[arg(value_name = "ACCOUNT")]
    pub accounts: Vec<String>,
    /// Only this folder, by its name on either side; a pattern as in the config
    #[arg(short, long = "folder", value_name = "FOLDER")]
    pub folders: Vec<String>,
    /// Show what would be done, and do nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Say nothing unless something fails
    #[arg(short, long)]
    pub quiet: bool,
    /// How the run is shown [default: `ui` of the config]
    #[arg(short, long, value_name = "UI", value_enum)]
    pub ui: Option<UiKind>,
    /// Do deletions that were held because there are so many of them, this once
    #[arg(long)]
    pub allow_delete: bool,
    /// Copy back what is gone on one side, where that was held, this once
    #[arg(long, conflicts_with = "allow_delete")]
    pub restore: bool,
    /// Try messages again now that wait after errors
    #[arg(long)]
    pub retry: bool,
    /// Compare every message of both sides, whatever they say of what changed
    #[arg(long)]
    pub full: bool,
    /// Set a key of the config for this run
    #[arg(short = 'o', long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    /// Accounts [default: all that are enabled]
    #[arg(value_name = "ACCOUNT")]
    pub accounts: Vec<String>,
    /// Say nothing unless something fails
    #[arg(short, long)]
    pub quiet: bool,
    /// Set a key of the config for this run
    #[arg(short = 'o', long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

#[derive(Clone, Debug, Args)]
pub struct InfoArgs {
    /// Accounts [default: all that are enabled]
    #[arg(value_name = "ACCOUNT")]
    pub accounts: Vec<String>,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
    /// Set a key of the config for this run
    #[arg(short = 'o', long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// Accounts [default: all that are enabled, or kept]
    #[arg(value_name = "ACCOUNT")]
    pub accounts: Vec<String>,
    /// Write JSON, for status bars
    #[arg(long)]
    pub json: bool,
    /// Set a key of the config for this run
    #[arg(short = 'o', long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

#[derive(Clone, Debug, Args)]
pub struct TriggerArgs {
    /// The account
    #[arg(value_name = "ACCOUNT")]
    pub account: String,
    /// Only these folders, by their names on either side; patterns as in the config
    #[arg(value_name = "FOLDER")]
    pub folders: Vec<String>,
    /// Set a key of the config for this run
    #[arg(short = 'o', long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

#[derive(Clone, Debug, Args)]
pub struct ProblemsArgs {
    /// Accounts [default: all that are enabled]
    #[arg(value_name = "ACCOUNT")]
    pub accounts: Vec<String>,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
    /// Sync the folders of these messages, and try them again now
    #[arg(long, conflicts_with = "json")]
    pub retry: bool,
    /// Set a key of the config for this run
    #[arg(short = 'o', long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

#[derive(Clone, Debug, Args)]
pub struct LoginArgs {
    /// The account
    #[arg(value_name = "ACCOUNT")]
    pub account: String,
    /// Log in on another device: for machines without a browser
    #[arg(long)]
    pub device: bool,
    /// For the account's local side, where that is an IMAP server too
    #[arg(long)]
    pub local: bool,
    /// Set a key of the config for this run
    #[arg(short = 'o', long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

#[derive(Clone, Debug, Args)]
pub struct UndeleteArgs {
    /// Accounts [default: all that are enabled], and IDs from the list of what to put back
    #[arg(value_name = "ACCOUNT|ID")]
    pub words: Vec<String>,
    /// Put back all that the list shows
    #[arg(long)]
    pub all: bool,
    /// Only what was deleted in this folder; a pattern as in the config
    #[arg(short, long = "folder", value_name = "FOLDER")]
    pub folders: Vec<String>,
    /// Only what was deleted within this time, as 2d or 12h
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub since: Option<Duration>,
    /// Show what would be put back, and do nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Write the list as JSON
    #[arg(long)]
    pub json: bool,
    /// Set a key of the config for this run
    #[arg(short = 'o', long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// Accounts [default: all that are enabled]
    #[arg(value_name = "ACCOUNT")]
    pub accounts: Vec<String>,
    /// Only this folder, by its name on either side; a pattern as in the config
    #[arg(short, long = "folder", value_name = "FOLDER")]
    pub folders: Vec<String>,
    /// Compare the content of every message: downloads all of them
    #[arg(long)]
    pub deep: bool,
    /// Mend what is remembered; messages are never changed
    #[arg(long)]
    pub repair: bool,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
    /// Set a key of the config for this run
    #[arg(short = 'o', long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

#[derive(Clone, Debug, Args)]
pub struct PasswordArgs {
    #[command(subcommand)]
    pub action: PasswordAction,
    /// The server on the local side, of an account that has one there
    #[arg(long, global = true)]
    pub local: bool,
    /// Set a key of the config for this run
    #[arg(short = 'o', long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// What is done about the password of an account.
#[derive(Clone, Debug, Subcommand)]
pub enum PasswordAction {
    /// Ask for it, or read a line of standard input where that is no terminal, and store it in the keyring
    Set {
        #[arg(value_name = "ACCOUNT")]
        account: String,
    },
    /// Find it where a sync would, and write it to standard output
    Get {
        #[arg(value_name = "ACCOUNT")]
        account: String,
    },
    /// Remove it from the keyring, or the tokens that a login gave
    Forget {
        #[arg(value_name = "ACCOUNT")]
        account: String,
    },
}

#[derive(Clone, Debug, Args)]
pub struct MuttCommand {
    #[command(flatten)]
    pub mutt: MuttArgs,
    /// Set a key of the config for this run
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// What troubleshooting output is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Topic {
    Imap,
    Maildir,
    State,
    Sync,
}

/// Turns `--info` into the command `info`.
pub fn info_as_command(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = words.into_iter().collect();
    if !words.iter().any(|word| word == "--info") {
        return words;
    }
    let mut cli = Cli::command();
    // What stands behind a command is its own.
    cli.build();
    let commands: Vec<&str> = cli.get_subcommands().map(clap::Command::get_name).chain(["--"]).collect();
    let end = words.iter().position(|word| commands.iter().any(|command| word == command)).unwrap_or(words.len());
    if let Some(flag) = words[..end].iter().position(|word| word == "--info") {
        words[flag] = "info".into();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_agree_with_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn info_is_a_flag_too() {
        let parse = |words: &[&str]| Cli::try_parse_from(info_as_command(words.iter().map(OsString::from)));
        for words in [&["mailsync", "-c", "f", "--info", "a", "--json"][..], &["mailsync", "--info", "a", "--json"]] {
            match parse(words).expect("understood").command {
                Command::Info(args) => assert!(args.json && args.accounts == ["a"], "{args:?}"),
                other => panic!("{other:?}"),
            }
        }
        assert!(parse(&["mailsync"]).is_err());
    }

    #[test]
    fn o_sets_a_key_but_names_the_output_of_mutt_mailboxes() {
        let parse = |words: &[&str]| Cli::try_parse_from(words).expect("understood");
        assert_eq!(parse(&["mailsync", "-o", "a=b", "sync"]).set, ["a=b"]);
        match parse(&["mailsync", "--set", "a=b", "mutt-mailboxes", "-o", "f", "--set", "c=d"]).command {
            Command::MuttMailboxes(args) => {
                assert_eq!((args.mutt.output, args.set), (Some("f".into()), vec!["c=d".to_owned()]));
            }
            other => panic!("{other:?}"),
        }
    }
}
