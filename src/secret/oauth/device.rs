//! A login on another device (RFC 8628): for machines without a browser.

use super::http::{self, Failure, plain};
use super::{Client, Talk};
use crate::secret::SecretError;
use std::thread;
use std::time::{Duration, Instant};

/// How often the provider is asked that does not say how often, and how much more seldom where it was too often, in
/// seconds (RFC 8628 section 3.5).
const INTERVAL: u64 = 5;
/// The longest that a provider may have us wait between two questions, and for the login, in seconds.
const MAX_INTERVAL: u64 = 60;
const MAX_WAIT: u64 = 1800;
/// So many questions in a row may fail for want of an answer.
const MAX_BROKEN: usize = 3;
/// How often it is looked whether the user wants to stop.
const LOOK: Duration = Duration::from_millis(100);

/// Has somebody log in elsewhere, and keeps the tokens that come of it.
pub fn log_in(client: &Client, talk: &Talk<'_>) -> Result<(), SecretError> {
    let Some(url) = &client.provider.device_url else {
        let hint =
            "leave out --device: a browser on this machine, or one that reaches its port through ssh -L, will do";
        return Err(SecretError::with("this provider has no login on another device for mail", hint));
    };
    let cancelled = talk.context.cancelled;
    let answer = http::post(client, url, &[("scope", &client.provider.scope)], cancelled);
    let answer = answer.map_err(|failure| failure.into_error("begin the login", client))?;
    let text = |name: &str| answer.text(name).map(plain).filter(|text| !text.is_empty());
    // Some providers name it as it was in the draft.
    let place = text("verification_uri").or_else(|| text("verification_url"));
    let (Some(device), Some(code), Some(place)) = (answer.text("device_code"), text("user_code"), place) else {
        return Err(SecretError::new(format!("the answer of {url} lacks device_code, user_code or verification_uri")));
    };
    (talk.tell)(&format!("Open {place} on any device, and enter the code {code}"));
    let mut interval = answer.number("interval").unwrap_or(INTERVAL).clamp(1, MAX_INTERVAL);
    let end = Instant::now() + Duration::from_secs(answer.number("expires_in").unwrap_or(MAX_WAIT).min(MAX_WAIT));
    let form = [("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), ("device_code", device)];
    let mut broken = 0;
    loop {
        wait(Duration::from_secs(interval), talk)?;
        if Instant::now() >= end {
            return Err(SecretError::with(
                "nobody logged in in time",
                format!("mailsync login {} --device", client.account),
            ));
        }
        match http::post(client, &client.provider.token_url, &form, cancelled) {
            Ok(answer) => return client.keep(&answer, talk.context),
            Err(Failure::Refused { error, .. }) if error == "authorization_pending" => broken = 0,
            Err(Failure::Refused { error, .. }) if error == "slow_down" => {
                interval = (interval + INTERVAL).min(MAX_INTERVAL);
                broken = 0;
            }
            // A line that is gone for a moment: somebody may be about to enter the code (RFC 8628 section 3.5).
            Err(Failure::Broken(_)) if broken < MAX_BROKEN => {
                interval = (interval * 2).min(MAX_INTERVAL);
                broken += 1;
            }
            Err(failure) => return Err(failure.into_error("get an OAuth2 token", client)),
        }
    }
}

fn wait(time: Duration, talk: &Talk<'_>) -> Result<(), SecretError> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if talk.cancelled() {
            return Err(SecretError::Cancelled);
        }
        thread::sleep(LOOK.min(time));
    }
    Ok(())
}
