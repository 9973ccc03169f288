//! The command line: what it understands, which file does what, and how a run ends. Only this module and `ui` print.

mod answer;
pub mod args;
mod around;
mod ask;
pub mod check;
mod clock;
mod end;
mod heap;
pub mod info;
mod log;
mod login;
mod lookup;
pub mod mutt;
mod password;
pub mod problems;
pub mod quote;
mod repeats;
mod setup;
mod signals;
mod status;
mod stores;
mod sync;
pub mod template;
mod trigger;
mod undelete;
mod watch;

pub use end::End;

use crate::config::{self, Config};
use crate::net::{Stop, look_authorities_up, wait_for_tunnels};
use anyhow::Context as _;
use args::{Cli, Command};
use clap::{CommandFactory, Parser};
use log::Log;
use setup::Setup;
use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Runs the program: `words` are its arguments, its own name first.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    heap::settle();
    let cli = match Cli::try_parse_from(args::info_as_command(words)) {
        Ok(cli) => cli,
        Err(err) => {
            // Nobody is left to be told that the terminal is gone.
            let _ = err.print();
            return if err.use_stderr() { End::Usage.into() } else { End::InStep.into() };
        }
    };
    let code = dispatch(&cli).unwrap_or_else(|err| end::explain(&err).into());
    // None is left behind, neither as a zombie nor because it did not notice that its line was closed.
    wait_for_tunnels();
    code
}

fn dispatch(cli: &Cli) -> anyhow::Result<ExitCode> {
    let log = Arc::new(Log::new(&cli.debug, cli.verbose));
    let flag = Arc::new(AtomicBool::new(false));
    match &cli.command {
        Command::Sync(args) => {
            // What is set here, or is to be said on this terminal, another process knows nothing of.
            let own =
                [&cli.set, &args.set].iter().any(|set| !set.is_empty()) || cli.verbose > 0 || !cli.debug.is_empty();
            let config = load(cli, &args.set)?;
            sync::run(&Setup::new(&config, log, Stop::from_flag(flag.clone())), args, own, &flag)
        }
        Command::Watch(args) => watch::run(cli, args, &log),
        Command::Info(args) => {
            let config = load(cli, &args.set)?;
            let stop = Stop::from_flag(flag.clone());
            let setup = Setup::new(&config, log, stop.clone());
            let accounts = setup.accounts(&args.accounts, &setup::notes_to_stderr())?;
            setup.ask_beforehand();
            signals::watch(&flag, false)?;
            info::run(&config, accounts, args.json, &stop)
        }
        Command::Problems(args) => {
            let config = load(cli, &args.set)?;
            match args.retry {
                true => problems::retry(&Setup::new(&config, log, Stop::from_flag(flag.clone())), args, &flag),
                false => problems::run(&config, args),
            }
        }
        Command::Status(args) => status::run(&read(cli, &args.set)?, args),
        Command::Trigger(args) => trigger::run(&read(cli, &args.set)?, args),
        Command::Undelete(args) => undelete::run(&load(cli, &args.set)?, args),
        Command::Check(args) => {
            let config = load(cli, &args.set)?;
            check::run(&Setup::new(&config, log, Stop::from_flag(flag.clone())), args, cli.verbose > 0, &flag)
        }
        Command::Password(args) => password::run(&load(cli, &args.set)?, args, &flag),
        Command::Login(args) => login::run(&load(cli, &args.set)?, args, &flag),
        Command::MuttMailboxes(args) => mutt::run(&load(cli, &args.set)?, &args.mutt),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "mailsync", &mut script);
            std::io::stdout().lock().write_all(&script).context("write to standard output")?;
            Ok(End::InStep.into())
        }
    }
}

/// The config, for what asks no server.
fn read(cli: &Cli, more: &[String]) -> anyhow::Result<Config> {
    let set: Vec<String> = cli.set.iter().chain(more).cloned().collect();
    Ok(Config::load(cli.config.as_deref(), &set)?)
}

fn load(cli: &Cli, more: &[String]) -> anyhow::Result<Config> {
    let config = read(cli, more)?;
    if config.accounts.iter().flat_map(config::Account::servers).any(|server| server.tls != config::Tls::None) {
        // SAFETY: this is the program's first thread, and nothing has been done but to read the config.
        unsafe { look_authorities_up() };
    }
    Ok(config)
}
