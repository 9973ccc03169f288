//! OAuth 2.0 (RFC 6749) as programs on a desk use it (RFC 8252): somebody logs in with a browser or on another device, and
//! the tokens that come of it are kept, and renewed for as long as the provider allows it.

mod answer;
mod browser;
mod device;
mod http;
mod kept;
mod provider;
mod tokens;

pub use browser::log_in as log_in_by_browser;
pub use device::log_in as log_in_by_device;
pub use provider::Provider;

use super::keyring::Entry;
use super::{Context, SecretError};
use crate::mail::Secret;
use answer::Answer;
use std::path::PathBuf;
use tokens::Tokens;

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
    /// The item that has the tokens in place of the file.
    pub keyring: Option<Entry>,
    /// Held by the process that renews them.
    pub lock: PathBuf,
}

/// What a login talks to while it waits for somebody.
pub struct Talk<'a> {
    /// Says what is to be done.
    pub tell: &'a dyn Fn(&str),
    pub context: &'a Context<'a>,
}

impl Talk<'_> {
    fn cancelled(&self) -> bool {
        (self.context.cancelled)()
    }
}

impl Client {
    /// A token that is good for a login now. Renewed where it has ended, or will while it is used, or was refused.
    pub fn access(&self, context: &Context<'_>) -> Result<Secret, SecretError> {
        let tokens = self.tokens(context)?;
        if tokens.is_good(context.refused) {
            return Ok(tokens.access);
        }
        let _locked = kept::lock(self, context)?;
        // Another process may have renewed them by now.
        let tokens = self.tokens(context)?;
        match tokens.is_good(context.refused) {
            true => Ok(tokens.access),
            false => self.renewed(&tokens, context),
        }
    }

    fn tokens(&self, context: &Context<'_>) -> Result<Tokens, SecretError> {
        let tokens = kept::load(self, context)?.filter(|tokens| tokens.is_for(self));
        tokens.ok_or_else(|| SecretError::with("there is no OAuth2 token yet", self.log_in()))
    }

    /// Has the provider give new tokens for these, and keeps them.
    fn renewed(&self, tokens: &Tokens, context: &Context<'_>) -> Result<Secret, SecretError> {
        let Some(refresh) = &tokens.refresh else {
            let cause = "the OAuth2 token has ended, and the provider gave none to renew it with";
            return Err(SecretError::with(cause, self.log_in()));
        };
        kept::make_room(self)?;
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.expose())];
        let answer = http::post(self, &self.provider.token_url, &form, context.cancelled);
        let answer = answer.map_err(|failure| failure.into_error("renew the OAuth2 token", self))?;
        let renewed = Tokens::read(self, &answer, Some(tokens)).map_err(|why| self.unreadable(why))?;
        // Before it is used: the one that was there may be worth nothing by now.
        kept::save(self, &renewed, context)?;
        Ok(renewed.access)
    }

    /// Exchanges what a login gave for tokens, and keeps them.
    fn exchange(&self, form: &[(&str, &str)], context: &Context<'_>) -> Result<(), SecretError> {
        let answer = http::post(self, &self.provider.token_url, form, context.cancelled);
        self.keep(&answer.map_err(|failure| failure.into_error("get an OAuth2 token", self))?, context)
    }

    fn keep(&self, answer: &Answer, context: &Context<'_>) -> Result<(), SecretError> {
        let tokens = Tokens::read(self, answer, None).map_err(|why| self.unreadable(why))?;
        let _locked = kept::lock(self, context)?;
        kept::save(self, &tokens, context)?;
        kept::forget_file(self)
    }

    /// Removes the tokens; whether there were any.
    pub fn forget(&self, context: &Context<'_>) -> Result<bool, SecretError> {
        let _locked = kept::lock(self, context)?;
        kept::forget(self, context)
    }

    fn log_in(&self) -> String {
        format!("mailsync login {}", self.account)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{Decrypted, TIMEOUT};
    use std::path::Path;

    pub fn client(path: &Path) -> Client {
        Client {
            account: "main".to_owned(),
            user: None,
            provider: Provider::named("gmail").expect("a provider"),
            id: "me".to_owned(),
            secret: None,
            proxy: None,
            file: path.to_owned(),
            keyring: None,
            lock: path.with_extension("lock"),
        }
    }

    pub fn asking<T>(cancelled: bool, act: impl FnOnce(&Context<'_>) -> T) -> T {
        act(&Context {
            refused: None,
            prompt: false,
            timeout: TIMEOUT,
            decrypted: &Decrypted::default(),
            note: &|note| panic!("{note}"),
            cancelled: &|| cancelled,
        })
    }
}
