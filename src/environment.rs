//! The environment that this process was given, and what was changed in it for the libraries that we use: programs that
//! we run get it as it was, but for what was meant for this process alone.

use std::env;
use std::ffi::OsString;
use std::process::Command;
use std::sync::OnceLock;

/// What the variables were that were changed.
static BEFORE: OnceLock<Vec<(&'static str, Option<OsString>)>> = OnceLock::new();

/// How a service manager is reached, and what it handed over: a program that we run could speak in our name.
const OURS: [&str; 7] =
    ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDNAMES", "LISTEN_FDS", "LISTEN_PID", "LISTEN_PIDFDID"];

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

/// Gives a program that is to be run the environment that we were given, without what concerns nobody but us.
pub fn restore(command: &mut Command) {
    for name in OURS {
        command.env_remove(name);
    }
    for (name, value) in BEFORE.get().into_iter().flatten() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_do_not_learn_where_the_service_manager_listens() {
        let mut command = Command::new("sh");
        command.args(["-c", "env | grep -E '^(NOTIFY|WATCHDOG|LISTEN)_' | sort"]);
        for name in OURS {
            command.env(name, "1");
        }
        let shown = |command: &mut Command| command.output().expect("run sh").stdout;
        assert_eq!(shown(&mut command).split(|byte| *byte == b'\n').count(), OURS.len() + 1);
        restore(&mut command);
        assert_eq!(String::from_utf8_lossy(&shown(&mut command)), "");
    }
}
