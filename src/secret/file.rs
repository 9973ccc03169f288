//! Files that hold secrets: read only where nobody else can read them.

use super::SecretError;
use crate::mail::Secret;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use zeroize::Zeroizing;

/// No file of passwords is larger, in bytes.
pub const MAX_SIZE: u64 = 4 << 20;

/// The bytes of a file that belongs to the user, or where the user is root to root, and that nobody else can use;
/// `None` where there is no such file.
pub fn read_private(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, SecretError> {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
    read_of(path, credentials.is_some_and(|dir| !dir.is_empty() && path.starts_with(dir)))
}

/// A credential of systemd's is root's, and the user may read it by an access list, which shows as the group's mode:
/// nobody else gets into its directory.
fn read_of(path: &Path, credential: bool) -> Result<Option<Zeroizing<Vec<u8>>>, SecretError> {
    let fail = |what: &str, err: std::io::Error| SecretError::new(format!("{what} {}: {err}", shown(path)));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(fail("open", err)),
    };
    // Of the open file: what the path names may be another file by now.
    let meta = file.metadata().map_err(|err| fail("look at", err))?;
    let me = rustix::process::geteuid().as_raw();
    if meta.uid() != me && !(credential && meta.uid() == 0) {
        return Err(SecretError::with(
            format!("{} belongs to another user (uid {})", shown(path), meta.uid()),
            format!("chown {me} {}", word(path)),
        ));
    }
    if meta.mode() & if credential { 0o007 } else { 0o077 } != 0 {
        return Err(SecretError::with(
            format!("{} can be used by group or others (mode {:o})", shown(path), meta.mode() & 0o777),
            format!("chmod 600 {}", word(path)),
        ));
    }
    let bytes = all_of(file).map_err(|err| fail("read", err))?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(SecretError::new(format!("{} is larger than 4 MB", shown(path))));
    }
    Ok(Some(bytes))
}

/// Up to a byte more than [`MAX_SIZE`] of some input.
pub fn all_of(input: impl Read) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut input = input.take(MAX_SIZE + 1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    loop {
        if bytes.len() == bytes.capacity() {
            // What grows by itself leaves copies behind.
            let mut larger = Zeroizing::new(Vec::with_capacity(bytes.capacity() * 4));
            larger.extend_from_slice(&bytes);
            bytes = larger;
        }
        let room = (bytes.capacity() - bytes.len()) as u64;
        if input.by_ref().take(room).read_to_end(&mut bytes)? == 0 {
            return Ok(bytes);
        }
    }
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
pub fn word(path: &Path) -> String {
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
    fn a_credential_may_be_readable_by_an_access_list() {
        let (_dir, path) = written(b"pw\n", 0o440);
        assert!(read_of(&path, true).is_ok());
        assert!(read_of(&path, false).is_err());
        let (_dir, path) = written(b"pw\n", 0o444);
        assert!(read_of(&path, true).is_err());
    }

    #[test]
    fn input_of_any_length_is_read_whole_up_to_the_limit() {
        for length in [0, 1, 4095, 4096, 4097, 100_000] {
            assert_eq!(all_of(std::io::repeat(7).take(length)).expect("read").len() as u64, length);
        }
        assert_eq!(all_of(std::io::repeat(7)).expect("read").len() as u64, MAX_SIZE + 1);
    }

    #[test]
    fn an_empty_or_missing_password_file_is_an_error() {
        let (dir, path) = written(b"\nsecond\n", 0o600);
        assert!(first_line(&path).is_err());
        assert!(first_line(&dir.path().join("none")).is_err());
    }
}
