//! The lock that makes sure of one run at a time.

use super::StateError;
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::process::{Flock, FlockType, fcntl_getlk};
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Takes the kernel lock beside the state at `path`, at once or not at all. It ends with the process. Nothing is written
/// into the file: who has it, the kernel tells.
pub(super) fn take(path: &Path) -> Result<File, StateError> {
    let path = path.with_extension("lock");
    let failed = |err: std::io::Error| StateError::new(format!("lock {}", path.display()), err);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(StateError::Locked { holder: holder(&file) }),
        Err(TryLockError::Error(err)) => return Err(failed(err)),
    }
    // A second lock, of the kind whose holder can be asked for. Only that: without it, others are told less.
    let _ = fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive);
    Ok(file)
}

fn holder(file: &File) -> String {
    let held = fcntl_getlk(file, &Flock::from(FlockType::WriteLock)).ok().flatten();
    // There is none where it is another machine's, one that can't be seen from here, or this process itself.
    let pid = held.and_then(|held| held.pid).map(|pid| pid.as_raw_nonzero().get()).filter(|pid| *pid > 0);
    let Some(pid) = pid else { return "another process".to_owned() };
    // Linux's own, as everything there is that tells what a process is called.
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let name: String = name.trim().chars().filter(|c| !c.is_control()).collect();
    if name.is_empty() { format!("process {pid}") } else { format!("process {pid} ({name})") }
}
