//! Tokens, and the file that they are kept in.

use super::Client;
use crate::mail::Secret;
use crate::secret::{SecretError, file};
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a token is good whose provider does not say it.
const USUAL: u64 = 3600;
/// No token is good for longer, in seconds.
const LONGEST: u64 = 366 * 24 * 3600;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    pub access: Secret,
    /// What renews it.
    pub refresh: Option<Secret>,
    pub expires: SystemTime,
    /// Of whom they are: others are of no use to another client.
    client: String,
    url: String,
}

impl Tokens {
    /// Reads a provider's answer (RFC 6749 section 5.1). It need not repeat the refresh token that it had given `before`.
    pub fn read(client: &Client, answer: &Value, before: Option<&Tokens>) -> Result<Tokens, &'static str> {
        let text = |name: &str| answer.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let access = text("access_token").ok_or("it has no access_token")?;
        // Some say it as a text.
        let seconds =
            answer.get("expires_in").and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
        let refresh = text("refresh_token").map(Secret::new);
        Ok(Tokens {
            access: Secret::new(access),
            refresh: refresh.or_else(|| before.and_then(|before| before.refresh.clone())),
            expires: SystemTime::now() + Duration::from_secs(seconds.unwrap_or(USUAL).min(LONGEST)),
            client: client.id.clone(),
            url: client.provider.token_url.clone(),
        })
    }

    pub fn is_for(&self, client: &Client) -> bool {
        (self.client.as_str(), self.url.as_str()) == (&client.id, &client.provider.token_url)
    }
}

/// The tokens of a file; `None` where there is no such file.
pub fn load(path: &Path) -> Result<Option<Tokens>, SecretError> {
    let Some(bytes) = file::read_private(path)? else { return Ok(None) };
    let broken = || {
        let hint = "remove it, and log in once more: mailsync login ACCOUNT";
        SecretError::with(format!("{} does not hold tokens", file::shown(path)), hint)
    };
    let value: Value = serde_json::from_slice(&bytes).map_err(|_| broken())?;
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let expires = value.get("expires").and_then(Value::as_u64).map(|at| UNIX_EPOCH + Duration::from_secs(at));
    let found = || {
        Some(Tokens {
            access: Secret::new(text("access_token")?),
            refresh: text("refresh_token").map(Secret::new),
            expires: expires?,
            client: text("client_id")?,
            url: text("token_url")?,
        })
    };
    found().map(Some).ok_or_else(broken)
}

/// Keeps tokens in a file that nobody else can read, in place of those that were there.
pub fn save(path: &Path, tokens: &Tokens) -> Result<(), SecretError> {
    let expires = tokens.expires.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let text = json!({
        "access_token": tokens.access.expose(),
        "refresh_token": tokens.refresh.as_ref().map(Secret::expose),
        "expires": expires,
        "client_id": tokens.client,
        "token_url": tokens.url,
    });
    let text = Secret::new(text.to_string());
    write(path, text.expose().as_bytes())
        .map_err(|err| SecretError::new(format!("keep the OAuth2 token in {}: {err}", file::shown(path))))
}

/// A refresh token may be good only once: what takes its place must be on the disk before anybody uses it.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let aside = path.with_extension("new");
    let mut options = OpenOptions::new();
    // One that a killed run left may have another mode.
    match fs::remove_file(&aside) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
        _ => {}
    }
    let mut file = options.write(true).create_new(true).mode(0o600).open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::oauth::Provider;
    use std::os::unix::fs::PermissionsExt;

    fn client(path: &Path) -> Client {
        Client {
            account: "main".to_owned(),
            user: None,
            provider: Provider::named("gmail").expect("a provider"),
            id: "me".to_owned(),
            secret: None,
            proxy: None,
            file: path.to_owned(),
        }
    }

    #[test]
    fn what_is_kept_is_read_again_by_nobody_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("tokens/main.json");
        let client = client(&path);
        assert_eq!(load(&path), Ok(None));
        let first = json!({"access_token": "one", "refresh_token": "again", "expires_in": "60"});
        let first = Tokens::read(&client, &first, None).expect("tokens");
        save(&path, &first).expect("kept");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        let found = load(&path).expect("read").expect("tokens");
        assert_eq!((found.access.expose(), found.refresh.as_ref().map(Secret::expose)), ("one", Some("again")));
        assert!(found.is_for(&client) && !found.is_for(&Client { id: "other".to_owned(), ..client.clone() }));
        // A refresh token that is not given anew stays; one that is given anew takes its place.
        let second = Tokens::read(&client, &json!({"access_token": "two"}), Some(&found)).expect("tokens");
        assert_eq!(second.refresh, found.refresh);
        let third = json!({"access_token": "three", "refresh_token": "rotated", "expires_in": u64::MAX});
        let third = Tokens::read(&client, &third, Some(&found)).expect("tokens");
        assert_eq!(third.refresh, Some(Secret::new("rotated")));
        save(&path, &third).expect("kept");
        assert!(!format!("{:?}", load(&path)).contains("three"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a mode");
        assert!(load(&path).is_err());
    }

    #[test]
    fn what_is_no_answer_or_no_file_of_tokens_is_told() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("main.json");
        for answer in [json!({}), json!({"access_token": 3}), json!({"access_token": ""}), json!([])] {
            assert!(Tokens::read(&client(&path), &answer, None).is_err());
        }
        for text in ["", "{}", "[1]", r#"{"access_token": "a", "expires": -1, "client_id": "c", "token_url": "u"}"#] {
            write(&path, text.as_bytes()).expect("written");
            assert!(load(&path).expect_err(text).to_string().contains("does not hold tokens"));
        }
    }
}
