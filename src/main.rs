//! Parses, runs, exits; see [`mailsync::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    mailsync::cli::run(std::env::args_os())
}
