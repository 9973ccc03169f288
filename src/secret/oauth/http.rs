//! Questions to a provider: forms that are sent to it, answers in JSON.

use super::Client;
use crate::mail::Secret;
use serde_json::Value;
use std::fmt;
use std::time::Duration;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Proxy};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// No answer is longer, in bytes.
const MAX_ANSWER: u64 = 256 << 10;
/// No text of a provider's is shown at greater length, in characters.
const MAX_SHOWN: usize = 300;

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// The provider says why (RFC 6749 section 5.2).
    Refused { error: String, description: String },
    /// It could not be asked, or does not answer as it should.
    Broken(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused { error, description } if description.is_empty() => write!(f, "the provider says {error}"),
            Failure::Refused { error, description } => write!(f, "the provider says {error}: {description}"),
            Failure::Broken(cause) => f.write_str(cause),
        }
    }
}

/// Sends a form along with who we are, and gives the answer.
pub fn post(client: &Client, url: &str, form: &[(&str, &str)]) -> Result<Value, Failure> {
    let broken = |what: String| Failure::Broken(format!("{url}: {what}"));
    let mut fields = form.to_vec();
    fields.push(("client_id", &client.id));
    if let Some(secret) = &client.secret {
        fields.push(("client_secret", secret.expose()));
    }
    let proxy = client.proxy.as_ref().map(|url| Proxy::new(url.expose()));
    let proxy = proxy.transpose().map_err(|_| broken("the proxy can't be used for it".to_owned()))?;
    let tls = TlsConfig::builder().provider(TlsProvider::NativeTls).root_certs(RootCerts::PlatformVerifier).build();
    let config = Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        // Secrets go to the URL of the provider, and to no other.
        .max_redirects(0)
        .proxy(proxy)
        .tls_config(tls)
        .user_agent(concat!("mailsync/", env!("CARGO_PKG_VERSION")));
    let agent: Agent = config.build().into();
    let mut response = agent.post(url).send_form(fields).map_err(|err| broken(err.to_string()))?;
    let status = response.status();
    let text = response.body_mut().with_config().limit(MAX_ANSWER).read_to_string();
    let text = Secret::new(text.map_err(|err| broken(err.to_string()))?);
    let answer: Value = match serde_json::from_str(text.expose()) {
        Ok(answer) => answer,
        Err(_) => return Err(broken(format!("its answer (status {status}) is not JSON"))),
    };
    match answer.get("error") {
        None if status.is_success() => Ok(answer),
        None => Err(broken(format!("it answers with status {status}"))),
        Some(error) => Err(Failure::Refused {
            error: plain(error.as_str().unwrap_or("error")),
            description: plain(answer.get("error_description").and_then(Value::as_str).unwrap_or_default()),
        }),
    }
}

/// A provider's words, made fit for a message.
pub fn plain(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().filter(|c| !c.is_control()).take(MAX_SHOWN).collect()
}
