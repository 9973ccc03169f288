//! Questions to a provider: forms that are sent to it, answers in JSON.

use super::Client;
use super::answer::Answer;
use crate::mail::Secret;
use crate::secret::SecretError;
use crate::secret::wait::{Ended, within};
use std::fmt;
use std::io::Read;
use std::time::Duration;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Proxy};
use zeroize::Zeroizing;

/// How long an answer may take; and what is waited for in any case.
const TIMEOUT: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(5);
/// No answer is longer, in bytes.
const MAX_ANSWER: usize = 64 << 10;
/// No text of a provider's is shown at greater length, in characters.
const MAX_SHOWN: usize = 300;

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// The provider says why (RFC 6749 section 5.2).
    Refused {
        error: String,
        description: String,
    },
    /// It could not be asked, or does not answer as it should.
    Broken(String),
    Cancelled,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused { error, description } if description.is_empty() => write!(f, "the provider says {error}"),
            Failure::Refused { error, description } => write!(f, "the provider says {error}: {description}"),
            Failure::Broken(cause) => f.write_str(cause),
            Failure::Cancelled => f.write_str("interrupted"),
        }
    }
}

impl Failure {
    /// The failure of `action`, with what can be done about it.
    pub fn into_error(self, action: &str, client: &Client) -> SecretError {
        let cause = format!("{action}: {self}");
        match self {
            Failure::Cancelled => SecretError::Cancelled,
            Failure::Broken(_) if client.proxy.is_some() => {
                SecretError::with(cause, "the provider is asked through the `proxy` of the config")
            }
            Failure::Broken(_) => SecretError::new(cause),
            Failure::Refused { error, .. } => match hint(&error) {
                Some(hint) => SecretError::with(cause, hint.replace("ACCOUNT", &client.account)),
                None => SecretError::new(cause),
            },
        }
    }
}

/// What can be done about an error of a provider's (RFC 6749 sections 4.1.2.1 and 5.2, RFC 8628 section 3.5; the second
/// half are Microsoft's).
fn hint(error: &str) -> Option<&'static str> {
    match error {
        "invalid_grant" => Some(
            "the login has ended or was withdrawn (by a new password, by months without use, at Google after 7 days where \
             the program is in testing): mailsync login ACCOUNT",
        ),
        "invalid_client" | "unauthorized_client" => Some(
            "the provider does not know this program: check client_id and client_secret, and that it is registered as one \
             for the desktop",
        ),
        "invalid_scope" => Some("the program may not ask for this: check `scope`, and what it was registered for"),
        "expired_token" => Some("nobody entered the code in time: mailsync login ACCOUNT --device"),
        "access_denied" => {
            Some("the login was refused; where nobody did that, the administrator has to allow the program")
        }
        "server_error" | "temporarily_unavailable" => Some("the provider has trouble; try again later"),
        "interaction_required" | "consent_required" | "login_required" => {
            Some("the provider wants to see you: mailsync login ACCOUNT")
        }
        _ => None,
    }
}

/// Sends a form along with who we are, and gives the answer.
pub fn post(
    client: &Client,
    url: &str,
    form: &[(&str, &str)],
    cancelled: &dyn Fn() -> bool,
) -> Result<Answer, Failure> {
    let mut fields: Vec<(String, Secret)> =
        form.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))).collect();
    fields.push(("client_id".to_owned(), Secret::new(client.id.as_str())));
    if let Some(secret) = &client.secret {
        fields.push(("client_secret".to_owned(), secret.clone()));
    }
    let (to, proxy) = (url.to_owned(), client.proxy.clone());
    let broken = |what: &dyn fmt::Display| Failure::Broken(format!("{url}: {what}"));
    match within("oauth2", TIMEOUT + GRACE, cancelled, move || send(&to, &fields, proxy.as_ref())) {
        Ok(answer) => answer,
        Err(Ended::Cancelled) => Err(Failure::Cancelled),
        Err(Ended::TimedOut) => Err(broken(&"no answer")),
        Err(Ended::NotStarted(err)) => Err(broken(&err)),
        Err(Ended::Lost) => Err(broken(&"the conversation broke down")),
    }
}

fn send(url: &str, fields: &[(String, Secret)], proxy: Option<&Secret>) -> Result<Answer, Failure> {
    let broken = |what: String| Failure::Broken(format!("{url}: {what}"));
    let proxy = proxy.map(|url| Proxy::new(url.expose())).transpose();
    let proxy = proxy.map_err(|_| broken("the proxy can't be used for it".to_owned()))?;
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
    let form = fields.iter().map(|(name, value)| (name.as_str(), value.expose()));
    let mut response = agent.post(url).send_form(form).map_err(|err| broken(told(&err)))?;
    let status = response.status();
    let text = all_of(response.body_mut().as_reader()).map_err(|err| broken(err.to_string()))?;
    let Some(answer) = Answer::read(&text) else {
        return Err(broken(format!("its answer (status {status}) is not JSON")));
    };
    if let Some((error, description)) = answer.error() {
        return Err(Failure::Refused { error: plain(error), description: plain(description) });
    }
    match status.is_success() {
        true => Ok(answer),
        false => Err(broken(format!("it answers with status {status}"))),
    }
}

/// Why nothing came, in fewer words than the libraries use.
fn told(err: &ureq::Error) -> String {
    if matches!(err, ureq::Error::Timeout(_)) {
        return format!("no answer within {} s", TIMEOUT.as_secs());
    }
    let text = err.to_string();
    let text = ["io: ", "native-tls: "].iter().find_map(|start| text.strip_prefix(start)).unwrap_or(&text);
    match text.contains("certificate verify failed").then(|| text.rsplit_once('(')).flatten() {
        Some((_, why)) => format!("its certificate is not trusted: {}", plain(why.trim_end_matches(')'))),
        None => plain(text),
    }
}

/// An answer as it came; one that is too long is none.
fn all_of(body: impl Read) -> std::io::Result<Zeroizing<Vec<u8>>> {
    // Of the right size from the start: what grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_ANSWER + 1));
    body.take(MAX_ANSWER as u64).read_to_end(&mut bytes)?;
    match bytes.len() < MAX_ANSWER {
        true => Ok(bytes),
        false => Err(std::io::Error::other("its answer is too long")),
    }
}

/// A provider's words, made fit for a message.
pub fn plain(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().filter(|c| !c.is_control()).take(MAX_SHOWN).collect()
}
