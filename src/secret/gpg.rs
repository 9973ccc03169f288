//! Files that gpg decrypts. Nothing of them is ever written to disk.

use super::command::{self, Ran};
use super::{Context, HUMAN, SecretError, file};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// What stands in a file.
pub type Content = Arc<Zeroizing<Vec<u8>>>;

/// What gpg made of files, for as long as it lives: a passphrase is asked for once, whatever comes of it, and however
/// many accounts have their passwords in one file.
#[derive(Default)]
pub struct Decrypted(Mutex<Vec<(PathBuf, Result<Content, SecretError>)>>);

impl Decrypted {
    /// The content of an encrypted file. The agent may ask for a passphrase, in a window or on the terminal that
    /// `GPG_TTY` names.
    pub fn content(&self, path: &Path, context: &Context<'_>) -> Result<Content, SecretError> {
        // Locked for as long as gpg runs: whoever else wants the file waits for what comes of it.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, content)) = known.iter().find(|(file, _)| file == path) {
            return content.clone();
        }
        let content = decrypt(path, context).map(Arc::new);
        known.push((path.to_owned(), content.clone()));
        content
    }
}

/// What gpg complains of (in English; in other languages the general hint must do), and what helps.
const HINTS: [(&str, &str); 5] = [
    ("cancel", "the passphrase was not given: run it again and answer the question"),
    // Older versions of gpg say this of a question that was dismissed, too.
    ("no secret key", "its passphrase was not given, or none of the keys that open it is here"),
    ("inappropriate ioctl", "the agent can't ask here: export GPG_TTY=$(tty), or have the passphrase cached"),
    ("no pinentry", "the agent can't ask for the passphrase: install a pinentry"),
    ("no valid openpgp data", "the file is not encrypted: give it a name without .gpg, and mode 600"),
];

/// Whether a file is one that gpg has to decrypt, by its name.
pub fn is_encrypted(path: &Path) -> bool {
    path.extension().is_some_and(|ext| ext.eq_ignore_ascii_case("gpg"))
}

fn decrypt(path: &Path, context: &Context<'_>) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let shown = file::shown(path);
    let argv = ["gpg", "-q", "--batch", "--decrypt"].map(OsString::from).into_iter().chain([path.into()]);
    let by_hand = format!("see what it says: gpg -q --batch --decrypt {}", file::word(path));
    match command::run(argv, context.timeout * HUMAN, file::MAX_SIZE, context.cancelled) {
        Ran::Done { status, output, .. } if status.success() => Ok(output),
        Ran::Done { status, complaints, .. } => {
            let said = String::from_utf8_lossy(&complaints).to_lowercase();
            let known = HINTS.iter().find(|(text, _)| said.contains(text));
            let line = match known {
                Some((text, _)) => command::line_with(&complaints, text),
                None => command::last_line(&complaints),
            };
            let why = line.unwrap_or_else(|| status.to_string());
            let cause = format!("{shown} can't be decrypted: {why}");
            Err(SecretError::with(cause, known.map_or(by_hand, |(_, hint)| (*hint).to_owned())))
        }
        Ran::NotStarted(err) if err.kind() == std::io::ErrorKind::NotFound => Err(SecretError::with(
            format!("{shown} can't be decrypted: there is no program gpg"),
            "install GnuPG, or name another source of the password in the config",
        )),
        Ran::NotStarted(err) => Err(SecretError::new(format!("{shown} can't be decrypted: run gpg: {err}"))),
        Ran::TimedOut(timeout) => Err(SecretError::with(
            format!("{shown} can't be decrypted: gpg gave no answer within {} s and was stopped", timeout.as_secs()),
            by_hand,
        )),
        Ran::Cancelled => Err(SecretError::Cancelled),
        Ran::Lost(err) => Err(SecretError::new(format!("{shown} can't be decrypted: wait for gpg: {err}"))),
    }
}
