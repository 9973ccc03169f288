//! A file for what reads files, in memory where there is such a place.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::{Builder, NamedTempFile, env};

/// Writes a file, which is gone when it is dropped.
pub fn written(content: &[u8], mode: u32) -> NamedTempFile {
    let memory = Path::new("/dev/shm");
    let directory = if memory.is_dir() { memory.to_owned() } else { env::temp_dir() };
    let made = Builder::new().permissions(Permissions::from_mode(mode)).tempfile_in(directory);
    let mut file = made.expect("a temporary file");
    // Not what the umask left of it.
    file.as_file().set_permissions(Permissions::from_mode(mode)).expect("the file is ours");
    file.write_all(content).expect("there is room");
    file
}
