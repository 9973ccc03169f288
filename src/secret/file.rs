//! Files that hold secrets: read only where nobody else can read them.

use super::SecretError;
use crate::mail::Secret;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// No file of passwords is larger, in bytes.
const MAX_SIZE: u64 = 4 << 20;

/// The bytes of a file that belongs to the user, or where the user is root to root, and that nobody else can use;
/// `None` where there is no such file.
pub fn read_private(path: &Path) -> Result<Option<Vec<u8>>, SecretError> {
    let fail = |what: &str, err: std::io::Error| SecretError::new(format!("{what} {}: {err}", shown(path)));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(fail("open", err)),
    };
    // Of the open file: what the path names may be another file by now.
    let meta = file.metadata().map_err(|err| fail("look at", err))?;
    let me = rustix::process::geteuid().as_raw();
    if meta.uid() != me {
        return Err(SecretError::with(
            format!("{} belongs to another user (uid {})", shown(path), meta.uid()),
            format!("chown {me} {}", word(path)),
        ));
    }
    if meta.mode() & 0o077 != 0 {
        return Err(SecretError::with(
            format!("{} can be used by group or others (mode {:o})", shown(path), meta.mode() & 0o777),
            format!("chmod 600 {}", word(path)),
        ));
    }
    let mut bytes = Vec::new();
    file.take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(|err| fail("read", err))?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(SecretError::new(format!("{} is larger than 4 MB", shown(path))));
    }
    Ok(Some(bytes))
}

/// The first line of a private file.
pub fn first_line(path: &Path) -> Result<Secret, SecretError> {
    let bytes = read_private(path)?
        .ok_or_else(|| SecretError::new(format!("the password_file {} is not there", shown(path))))?;
    line_of(&bytes).map_err(|why| SecretError::new(format!("the password_file {} {why}", shown(path))))
}

/// The first line without its end, or what is wrong with it.
pub fn line_of(bytes: &[u8]) -> Result<Secret, &'static str> {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match std::str::from_utf8(line) {
        Ok("") => Err("has an empty first line"),
        Ok(line) => Ok(Secret::new(line)),
        Err(_) => Err("has a first line that is not UTF-8"),
    }
}

/// The path as people write it: `~/.netrc`.
pub fn shown(path: &Path) -> String {
    let shown = match directories::BaseDirs::new() {
        Some(dirs) => match path.strip_prefix(dirs.home_dir()) {
            Ok(rest) => format!("~/{}", rest.display()),
            Err(_) => path.display().to_string(),
        },
        None => path.display().to_string(),
    };
    shown.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// The path as a word for the shell.
fn word(path: &Path) -> String {
    let plain = |text: &str| text.chars().all(|c| c.is_alphanumeric() || "/._-+~".contains(c));
    let path_text = path.display().to_string();
    match plain(&path_text) {
        true => shown(path),
        false => format!("'{}'", path_text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn written(content: &[u8], mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("secret");
        std::fs::write(&path, content).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("a mode");
        (dir, path)
    }

    #[test]
    fn the_first_line_is_the_password_without_its_end() {
        for (content, password) in [("pw\n", "pw"), ("pw", "pw"), ("p w \r\nmore\n", "p w "), ("#ü\n", "#ü")] {
            let (_dir, path) = written(content.as_bytes(), 0o600);
            assert_eq!(first_line(&path).expect("a password").expose(), password);
        }
    }

    #[test]
    fn a_file_that_others_can_use_is_refused_with_the_command_to_type() {
        for mode in [0o640, 0o604, 0o620, 0o601] {
            let (_dir, path) = written(b"pw\n", mode);
            let Err(SecretError::Failed { cause, hint }) = read_private(&path) else { panic!("{mode:o} was taken") };
            assert!(cause.contains(&format!("(mode {mode:o})")), "{cause}");
            assert_eq!(hint, Some(format!("chmod 600 {}", path.display())));
        }
        let (_dir, path) = written(b"pw\n", 0o400);
        assert!(read_private(&path).is_ok());
    }

    #[test]
    fn an_empty_or_missing_password_file_is_an_error() {
        let (dir, path) = written(b"\nsecond\n", 0o600);
        assert!(first_line(&path).is_err());
        assert!(first_line(&dir.path().join("none")).is_err());
    }
}
