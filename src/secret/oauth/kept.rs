//! Where tokens are kept: in a file that nobody else can read, or in the keyring.

use super::Client;
use super::tokens::Tokens;
use crate::secret::{Context, SecretError, file, keyring};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How long another process may take to renew the same tokens, and how often it is looked whether it has.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

/// No tokens are longer, as far as is seen, in bytes.
const ROOM: usize = 16 << 10;

/// The tokens of an account, if there are any.
pub fn load(client: &Client, context: &Context<'_>) -> Result<Option<Tokens>, SecretError> {
    let (found, place) = match &client.keyring {
        Some(entry) => {
            let item = keyring::get(entry, context)?;
            (
                item.as_ref().map(|item| Tokens::from_kept(item.expose().as_bytes())),
                format!("the keyring's item ({entry})"),
            )
        }
        None => {
            let bytes = file::read_private(&client.file)?;
            (bytes.as_ref().map(|bytes| Tokens::from_kept(bytes)), file::shown(&client.file))
        }
    };
    let broken = || {
        let hint = format!("log in once more: mailsync login {}", client.account);
        SecretError::with(format!("{place} does not hold tokens"), hint)
    };
    found.map(|tokens| tokens.ok_or_else(broken)).transpose()
}

/// Fails where there will be no room for tokens: before the one that was there is spent on them.
pub fn make_room(client: &Client) -> Result<(), SecretError> {
    let try_it = |path: &Path| {
        directory_of(path)?;
        beside(path)?.1.write_all(&[b' '; ROOM])
    };
    match client.keyring {
        // It has given what it has a moment ago.
        Some(_) => Ok(()),
        None => try_it(&client.file).map_err(|err| not_kept(client, &err)),
    }
}

fn not_kept(client: &Client, err: &io::Error) -> SecretError {
    SecretError::new(format!("keep the OAuth2 token in {}: {err}", file::shown(&client.file)))
}

/// Keeps tokens in place of those that were there.
pub fn save(client: &Client, tokens: &Tokens, context: &Context<'_>) -> Result<(), SecretError> {
    let text = tokens.kept_form();
    match &client.keyring {
        Some(entry) => keyring::set(entry, &text, context),
        None => write(&client.file, text.expose().as_bytes()).map_err(|err| not_kept(client, &err)),
    }
}

/// Removes the tokens; whether there were any.
pub fn forget(client: &Client, context: &Context<'_>) -> Result<bool, SecretError> {
    match &client.keyring {
        Some(entry) => keyring::forget(entry, context),
        None => {
            remove(&client.file).map_err(|err| SecretError::new(format!("remove {}: {err}", file::shown(&client.file))))
        }
    }
}

/// Removes a file; whether there was one.
fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(err) => Err(err),
    }
}

/// Removes the file that tokens were kept in before the keyring has them.
pub fn forget_file(client: &Client) -> Result<(), SecretError> {
    if client.keyring.is_none() {
        return Ok(());
    }
    let removed = remove(&client.file).map(drop);
    removed.map_err(|err| SecretError::new(format!("remove {}: {err}", file::shown(&client.file))))
}

/// Has no other process renew the tokens of this user at the same time, for as long as the file is open: each refresh
/// token may be good only once, and a provider may take its second use for a theft, and withdraw all of them.
pub fn lock(client: &Client, context: &Context<'_>) -> Result<File, SecretError> {
    let fail = |err: io::Error| SecretError::new(format!("lock {}: {err}", file::shown(&client.lock)));
    let end = Instant::now() + PATIENCE;
    directory_of(&client.lock).map_err(fail)?;
    let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&client.lock);
    let lock = open.map_err(fail)?;
    loop {
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(lock),
            Err(err) if err != rustix::io::Errno::WOULDBLOCK && err != rustix::io::Errno::INTR => {
                return Err(fail(err.into()));
            }
            Err(_) if (context.cancelled)() => return Err(SecretError::Cancelled),
            Err(_) if Instant::now() >= end => {
                return Err(SecretError::with(
                    format!("another process holds {} for {} s", file::shown(&client.lock), PATIENCE.as_secs()),
                    "it renews the same tokens, or hangs: see which one by lsof",
                ));
            }
            Err(_) => thread::sleep(LOOK),
        }
    }
}

fn directory_of(path: &Path) -> io::Result<&Path> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    Ok(dir)
}

/// A refresh token may be good only once: what takes its place must be on the disk before anybody uses it.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = directory_of(path)?;
    let (aside, mut file) = beside(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    File::open(dir)?.sync_all()
}

/// A new file that is to take the place of another one.
fn beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let aside = path.with_extension("new");
    // One that a killed run left may have another mode.
    remove(&aside)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    Ok((aside, file))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{asking, client};
    use super::*;
    use crate::mail::Secret;
    use crate::secret::oauth::answer::Answer;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_kept_is_read_again_by_nobody_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("tokens/main.json");
        let client = client(&path);
        asking(false, |context| {
            assert_eq!(load(&client, context), Ok(None));
            let answer = Answer::read(br#"{"access_token": "one", "refresh_token": "again"}"#).expect("JSON");
            let tokens = Tokens::read(&client, &answer, None).expect("tokens");
            save(&client, &tokens, context).expect("kept");
            assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
            let found = load(&client, context).expect("read").expect("tokens");
            assert_eq!((found.access.expose(), found.refresh.as_ref().map(Secret::expose)), ("one", Some("again")));
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a mode");
            load(&client, context).expect_err("others can read it");
            assert_eq!((forget(&client, context), forget(&client, context)), (Ok(true), Ok(false)));
            write(&path, b"{}").expect("written");
            let error = load(&client, context).expect_err("no tokens");
            assert!(error.to_string().ends_with("main.json does not hold tokens"), "{error}");
        });
    }

    #[test]
    fn who_waits_for_another_process_can_be_stopped() {
        let dir = tempfile::tempdir().expect("a directory");
        let client = client(&dir.path().join("tokens/main.json"));
        let held = asking(false, |context| lock(&client, context)).expect("the lock");
        assert_eq!(fs::metadata(&client.lock).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(asking(true, |context| lock(&client, context).map(drop)), Err(SecretError::Cancelled));
        drop(held);
        asking(false, |context| lock(&client, context)).expect("the lock");
    }
}
