//! Looks a login up in netrc files: those in clear first, so that gpg is started only where they have nothing.

use super::{Context, Found, Origin, SecretError, Spec, file, gpg, netrc};
use gpg::Content;
use std::path::{Path, PathBuf};

/// Looked into one after the other where neither the config nor `$NETRC` names one.
const FILES: [&str; 4] = [".netrc", ".authinfo", ".netrc.gpg", ".authinfo.gpg"];

/// The netrc files, in the order in which they are looked into.
pub fn files(spec: &Spec) -> Vec<PathBuf> {
    let named = || std::env::var_os("NETRC").filter(|path| !path.is_empty()).map(PathBuf::from);
    match spec.netrc.clone().or_else(named) {
        Some(path) => vec![path],
        None => {
            let home = directories::BaseDirs::new();
            home.map(|dirs| FILES.map(|name| dirs.home_dir().join(name)).into()).unwrap_or_default()
        }
    }
}

/// The login of the first file that has one; `looked` takes why the others have none.
pub fn netrc(spec: &Spec, context: &Context<'_>, looked: &mut Vec<String>) -> Result<Option<Found>, SecretError> {
    let files = files(spec);
    if files.is_empty() {
        looked.push("no netrc: no home directory is known".to_owned());
    }
    for (number, path) in files.iter().enumerate() {
        let shown = file::shown(path);
        if spec.host.is_empty() {
            looked.push(format!("{shown} (no look: the config has no `host`)"));
            break;
        }
        match read(path, context)? {
            Some(bytes) => match look_up(spec, path, &bytes, context)? {
                Ok(found) => return Ok(Some(found)),
                Err(why) => looked.push(format!("{shown} ({why})")),
            },
            // Of those that few have, nothing is said.
            None if number > 0 => {}
            None => looked.push(format!("{shown} (no such file)")),
        }
    }
    Ok(None)
}

fn read(path: &Path, context: &Context<'_>) -> Result<Option<Content>, SecretError> {
    match gpg::is_encrypted(path) {
        // Missing or not is all that matters: who may read it matters not.
        true if !path.exists() => Ok(None),
        true => context.decrypted.content(path, context).map(Some),
        false => Ok(file::read_private(path)?.map(Content::new)),
    }
}

/// The inner error says why there is no login in it.
fn look_up(
    spec: &Spec,
    path: &Path,
    bytes: &[u8],
    context: &Context<'_>,
) -> Result<Result<Found, String>, SecretError> {
    let shown = file::shown(path);
    let (entries, warnings) = netrc::parse(bytes);
    for warning in warnings {
        (context.note)(format!("{shown}:{}: {}", warning.line, warning.what));
    }
    match netrc::find(&entries, &spec.host, spec.user.as_deref(), spec.port) {
        netrc::Found::Login { login, line } => {
            Ok(Ok(Found { login, origin: Origin::Netrc { file: path.to_owned(), line } }))
        }
        netrc::Found::Nothing => Ok(Err("no entry that fits".to_owned())),
        netrc::Found::NoPassword { line } => Ok(Err(format!("the entry in line {line} has no password"))),
        netrc::Found::Several(logins) => Err(SecretError::with(
            format!("{shown} has several logins for {}: {}", spec.host, logins.join(", ")),
            "choose one: set `user` in the config",
        )),
    }
}
