//! The lock that makes sure of one run at a time.

use super::StateError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Takes the kernel lock beside the state at `path`, at once or not at all, and writes into the file who has it. The
/// text is for people: only the lock decides, and it ends with the process.
pub(super) fn take(path: &Path) -> Result<File, StateError> {
    let path = path.with_extension("lock");
    let failed = |err: std::io::Error| StateError::new(format!("lock {}", path.display()), err);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(StateError::Locked { holder: holder(&mut file) }),
        Err(TryLockError::Error(err)) => return Err(failed(err)),
    }
    // Not its arguments: `-o` may hold a password.
    let program = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&program).file_name().unwrap_or_default().to_string_lossy();
    let text = format!("process {} ({name})\n", std::process::id());
    file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes())).map_err(failed)?;
    Ok(file)
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    // Unreadable or cut short, it only says less.
    let _ = file.take(200).read_to_string(&mut text);
    let text: String = text.trim().chars().filter(|c| !c.is_control()).collect();
    if text.is_empty() { "another process".to_owned() } else { text }
}
