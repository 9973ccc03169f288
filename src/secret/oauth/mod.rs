//! OAuth 2.0 (RFC 6749) as programs on a desk use it (RFC 8252): somebody logs in with a browser or on another device, and
//! the tokens that come of it are kept in a file and renewed for as long as the provider allows it.

mod browser;
mod device;
mod http;
mod provider;
mod tokens;

pub use browser::log_in as log_in_by_browser;
pub use device::log_in as log_in_by_device;
pub use provider::Provider;

use super::SecretError;
use crate::mail::Secret;
use http::Failure;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use tokens::Tokens;

/// A token that ends so soon is renewed: the login that it is for takes its time.
const SPARE: Duration = Duration::from_secs(120);

/// Who we are to a provider, and where its tokens are kept.
#[derive(Clone, Debug)]
pub struct Client {
    /// The account's name, for messages.
    pub account: String,
    /// Whose mail it is: told to the provider as who will log in.
    pub user: Option<String>,
    pub provider: Provider,
    pub id: String,
    /// Of programs on a desk it is none, but some providers want it.
    pub secret: Option<Secret>,
    /// The URL of a proxy to the provider.
    pub proxy: Option<Secret>,
    pub file: PathBuf,
}

/// What a login talks to while it waits for somebody.
pub struct Talk<'a> {
    /// Says what is to be done.
    pub tell: &'a dyn Fn(&str),
    pub cancelled: &'a dyn Fn() -> bool,
}

impl Client {
    /// A token that is good for a login now. Renewed where it has ended, or will while it is used, or is `refused`.
    pub fn access(&self, refused: bool) -> Result<Secret, SecretError> {
        let hint = format!("mailsync login {}", self.account);
        let tokens = tokens::load(&self.file)?.filter(|tokens| tokens.is_for(self));
        let tokens = tokens.ok_or_else(|| SecretError::with("there is no OAuth2 token yet", &hint))?;
        if tokens.expires > SystemTime::now() + SPARE && !refused {
            return Ok(tokens.access);
        }
        let Some(refresh) = &tokens.refresh else {
            return Err(SecretError::with(
                "the OAuth2 token has ended, and the provider gave none to renew it with",
                hint,
            ));
        };
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.expose())];
        let answer = http::post(self, &self.provider.token_url, &form).map_err(|failure| match failure {
            // It was withdrawn, or has ended (RFC 6749 section 5.2).
            Failure::Refused { ref error, .. } if error == "invalid_grant" => {
                SecretError::with(format!("renew the OAuth2 token: {failure}"), &hint)
            }
            failure => SecretError::new(format!("renew the OAuth2 token: {failure}")),
        })?;
        let renewed = Tokens::read(self, &answer, Some(&tokens)).map_err(|why| self.unreadable(why))?;
        tokens::save(&self.file, &renewed)?;
        Ok(renewed.access)
    }

    /// Exchanges what a login gave for tokens, and keeps them.
    fn exchange(&self, form: &[(&str, &str)]) -> Result<(), SecretError> {
        let answer = http::post(self, &self.provider.token_url, form);
        let answer = answer.map_err(|failure| SecretError::new(format!("get an OAuth2 token: {failure}")))?;
        self.keep(&answer)
    }

    fn keep(&self, answer: &serde_json::Value) -> Result<(), SecretError> {
        let tokens = Tokens::read(self, answer, None).map_err(|why| self.unreadable(why))?;
        tokens::save(&self.file, &tokens)
    }

    fn unreadable(&self, why: &str) -> SecretError {
        SecretError::new(format!("the answer of {}: {why}", self.provider.token_url))
    }
}

/// So many random bytes, in base64 for URLs.
fn random(bytes: usize) -> Result<String, SecretError> {
    use base64ct::{Base64UrlUnpadded, Encoding};
    use std::io::Read;
    let mut drawn = vec![0; bytes];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut drawn));
    read.map_err(|err| SecretError::new(format!("/dev/urandom: {err}")))?;
    Ok(Base64UrlUnpadded::encode_string(&drawn))
}
