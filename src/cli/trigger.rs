//! `mailsync trigger`: has a running `watch` sync an account now.

use super::args::TriggerArgs;
use super::ask::Watch;
use super::end::{End, Failure, UsageError};
use super::setup::select;
use crate::config::Config;
use crate::sync::rules::Pattern;
use std::path::Path;
use std::process::ExitCode;

/// Succeeds as soon as the `watch` has taken it.
pub fn run(config: &Config, args: &TriggerArgs) -> anyhow::Result<ExitCode> {
    select(config, std::slice::from_ref(&args.account))?;
    for folder in &args.folders {
        Pattern::parse(folder).map_err(|what| UsageError { what: format!("folder {folder}: {what}"), hint: None })?;
    }
    let state_dir = &config.general.state_dir;
    let Some(mut watch) = Watch::find(state_dir)? else {
        let hint = format!("`mailsync sync {}` syncs it without one; {}", args.account, HOW_TO_BEGIN);
        return Err(Failure { what: nobody(state_dir), hint: Some(hint), end: End::Undone }.into());
    };
    watch.trigger(vec![args.account.clone()], args.folders.clone())?;
    Ok(End::InStep.into())
}

pub const HOW_TO_BEGIN: &str = "`systemctl --user enable --now mailsync` or `mailsync watch` begins one";

/// That there is no `watch`, and where it would be.
pub fn nobody(state_dir: &Path) -> String {
    format!("no `mailsync watch` runs (with its state in {})", state_dir.display())
}
