//! The environment that this process was given, and what was changed in it for the libraries that we use: programs that
//! we run get it as it was.

use std::env;
use std::ffi::OsString;
use std::process::Command;
use std::sync::OnceLock;

/// What the variables were that were changed.
static BEFORE: OnceLock<Vec<(&'static str, Option<OsString>)>> = OnceLock::new();

/// Sets variables, once in the life of the process; whether that was done.
///
/// # Safety
///
/// No other thread may be running: it could read the environment meanwhile.
pub unsafe fn set(variables: &[(&'static str, OsString)]) -> bool {
    let before = variables.iter().map(|(name, _)| (*name, env::var_os(name))).collect();
    let first = BEFORE.set(before).is_ok();
    if first {
        for (name, value) in variables {
            // SAFETY: the caller promises that there is no other thread.
            unsafe { env::set_var(name, value) };
        }
    }
    first
}

/// Gives a program that is to be run the environment that we were given.
pub fn restore(command: &mut Command) {
    for (name, value) in BEFORE.get().into_iter().flatten() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
}
