//! Tokens: what a provider answers, and the form in which they are kept.

use super::Client;
use super::answer::Answer;
use crate::mail::Secret;
use serde::Serialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a token is good whose provider does not say it.
const USUAL: u64 = 3600;
/// No token is good for longer, in seconds.
const LONGEST: u64 = 366 * 24 * 3600;
/// A token that ends so soon is renewed: the login that it is for takes its time.
const SPARE: Duration = Duration::from_secs(120);

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
    pub fn read(client: &Client, answer: &Answer, before: Option<&Tokens>) -> Result<Tokens, &'static str> {
        let text = |name: &str| answer.text(name).filter(|text| !text.is_empty());
        let access = text("access_token").ok_or("it has no access_token")?;
        let refresh = text("refresh_token").map(Secret::new);
        // Some say it as a text.
        let seconds = answer.number("expires_in").or_else(|| answer.text("expires_in")?.parse().ok());
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

    /// Whether a login that begins now can do with it; not with one that was `refused`.
    pub fn is_good(&self, refused: Option<&Secret>) -> bool {
        self.expires > SystemTime::now() + SPARE && Some(&self.access) != refused
    }

    /// Reads what [`Tokens::kept_form`] wrote.
    pub fn from_kept(bytes: &[u8]) -> Option<Tokens> {
        let kept = Answer::read(bytes)?;
        let text = |name: &str| kept.text(name).map(str::to_owned);
        let expires = UNIX_EPOCH.checked_add(Duration::from_secs(kept.number("expires")?))?;
        Some(Tokens {
            access: Secret::new(text("access_token")?),
            refresh: text("refresh_token").map(Secret::new),
            expires,
            client: text("client_id")?,
            url: text("token_url")?,
        })
    }

    /// A line of JSON.
    pub fn kept_form(&self) -> Secret {
        let kept = Kept {
            access_token: self.access.expose(),
            refresh_token: self.refresh.as_ref().map(Secret::expose),
            expires: self.expires.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            client_id: &self.client,
            token_url: &self.url,
        };
        // What grows leaves copies behind: room for all of it, and for what is escaped.
        let length: usize = [kept.access_token, kept.refresh_token.unwrap_or_default(), kept.client_id, kept.token_url]
            .map(|text| text.len() * 6)
            .iter()
            .sum();
        let mut bytes = Vec::with_capacity(length + 256);
        serde_json::to_writer(&mut bytes, &kept).expect("texts and numbers can be written to memory");
        Secret::new(String::from_utf8(bytes).expect("JSON is UTF-8"))
    }
}

/// The form in which tokens are kept.
#[derive(Serialize)]
struct Kept<'a> {
    access_token: &'a str,
    refresh_token: Option<&'a str>,
    /// Seconds since 1970.
    expires: u64,
    client_id: &'a str,
    token_url: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::oauth::tests::client;

    fn answer(text: &str) -> Answer {
        Answer::read(text.as_bytes()).expect("JSON")
    }

    #[test]
    fn a_refresh_token_stays_until_another_one_comes() {
        let client = client("/nowhere".as_ref());
        let first = answer(r#"{"access_token": "one", "refresh_token": "again", "expires_in": "60"}"#);
        let first = Tokens::read(&client, &first, None).expect("tokens");
        assert!(!first.is_good(None), "it ends in a moment");
        let second = Tokens::read(&client, &answer(r#"{"access_token": "two"}"#), Some(&first)).expect("tokens");
        assert_eq!(second.refresh, first.refresh);
        assert!(second.is_good(None) && second.is_good(Some(&first.access)));
        assert!(!second.is_good(Some(&second.access)), "the server refused it");
        let third =
            answer(&format!(r#"{{"access_token": "three", "refresh_token": "rotated", "expires_in": {}}}"#, u64::MAX));
        let third = Tokens::read(&client, &third, Some(&second)).expect("tokens");
        assert_eq!(third.refresh, Some(Secret::new("rotated")));
        let kept = third.kept_form();
        let found = Tokens::from_kept(kept.expose().as_bytes()).expect("tokens");
        assert_eq!((&found.access, &found.refresh), (&third.access, &third.refresh));
        assert!(found.is_for(&client) && !found.is_for(&Client { id: "other".to_owned(), ..client.clone() }));
        assert!(!format!("{found:?}").contains("three"));
    }

    #[test]
    fn what_has_no_token_is_told() {
        let client = client("/nowhere".as_ref());
        for text in ["{}", r#"{"access_token": 3}"#, r#"{"access_token": ""}"#, "[]", "null"] {
            assert!(Tokens::read(&client, &answer(text), None).is_err(), "{text}");
        }
        let odd = r#"{"access_token": "a", "expires": -1, "client_id": "c", "token_url": "u"}"#;
        for text in ["", "{}", "[1]", odd, &odd.replace("-1", "18446744073709551615")] {
            assert!(Tokens::from_kept(text.as_bytes()).is_none(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_token_is_kept_in_one_line(access in "\\PC{0,60}", refresh in ".{0,60}") {
            let text = serde_json::json!({"access_token": format!("x{access}"), "refresh_token": format!("y{refresh}")});
            let tokens = Tokens::read(&client("/nowhere".as_ref()), &answer(&text.to_string()), None).expect("tokens");
            let kept = tokens.kept_form();
            proptest::prop_assert!(!kept.expose().contains('\n'));
            let found = Tokens::from_kept(kept.expose().as_bytes()).expect("tokens");
            proptest::prop_assert_eq!((found.access, found.refresh), (tokens.access, tokens.refresh));
        }
    }
}
