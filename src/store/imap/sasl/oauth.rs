//! Access tokens: OAUTHBEARER (RFC 7628) and its forerunner XOAUTH2, which Gmail and Outlook know.

use super::{Exchange, Who, scram, shown};
use crate::mail::Secret;
use serde_json::Value;

/// Keeps fields apart.
const SEPARATOR: char = '\u{1}';

pub struct Bearer {
    message: Secret,
    /// What is answered to an error, so that the server says NO.
    pity: &'static [u8],
    said: bool,
    reason: Option<String>,
}

impl Bearer {
    pub fn oauthbearer(who: &Who<'_>) -> Bearer {
        let user = scram::escaped(who.authzid.unwrap_or(&who.login.user));
        let place = match who.host {
            "" => String::new(),
            host => format!("host={host}{SEPARATOR}port={}{SEPARATOR}", who.port),
        };
        // RFC 7628 section 3.2.3: the client answers an error with a separator alone.
        Bearer::new(&format!("n,a={user},{SEPARATOR}{place}"), who, b"\x01")
    }

    pub fn xoauth2(who: &Who<'_>) -> Bearer {
        let user = who.authzid.unwrap_or(&who.login.user);
        Bearer::new(&format!("user={user}{SEPARATOR}"), who, b"")
    }

    fn new(header: &str, who: &Who<'_>, pity: &'static [u8]) -> Bearer {
        let token = who.login.password.expose();
        let message = Secret::new(format!("{header}auth=Bearer {token}{SEPARATOR}{SEPARATOR}"));
        Bearer { message, pity, said: false, reason: None }
    }
}

impl Exchange for Bearer {
    fn first(&mut self) -> Option<Vec<u8>> {
        self.said = true;
        Some(self.message.expose().as_bytes().to_vec())
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, String> {
        if !self.said {
            return Ok(self.first().unwrap_or_default());
        }
        if self.reason.is_some() {
            return Err("the server asks without end".to_owned());
        }
        self.reason = Some(reason(challenge));
        Ok(self.pity.to_vec())
    }

    fn tried(&self) -> bool {
        self.said
    }

    fn reason(&self) -> Option<String> {
        self.reason.clone().filter(|reason| !reason.is_empty())
    }
}

/// What the server's error says, in words: RFC 7628 section 3.2.2, and what providers add to it.
fn reason(challenge: &[u8]) -> String {
    let Ok(Value::Object(fields)) = serde_json::from_slice(challenge) else { return shown(challenge) };
    let said = ["status", "error", "error_description", "scope"].into_iter().filter_map(|name| {
        let value = match fields.get(name)? {
            Value::String(text) if !text.is_empty() => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        Some(format!("{name} {}", shown(value.as_bytes())))
    });
    said.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{who, with_authzid};
    use super::*;

    /// The example of RFC 7628 section 4.1, without its host.
    #[test]
    fn the_message_is_that_of_the_standard() {
        let here = |who: Who<'static>| Who { host: "server.example.com", port: 143, ..who };
        let first =
            Bearer::oauthbearer(&here(who("user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="))).first();
        let expected = "n,a=user@example.com,\u{1}host=server.example.com\u{1}port=143\u{1}auth=Bearer \
                        vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\u{1}\u{1}";
        assert_eq!(first.as_deref(), Some(expected.as_bytes()));
        let odd = Bearer::oauthbearer(&Who { host: "", ..with_authzid("me", "t", "a=b,c") }).first();
        assert_eq!(odd.as_deref(), Some(b"n,a=a=3Db=2Cc,\x01auth=Bearer t\x01\x01".as_slice()));
        let google = Bearer::xoauth2(&who("someuser@example.com", "ya29.x")).first();
        assert_eq!(google.as_deref(), Some(b"user=someuser@example.com\x01auth=Bearer ya29.x\x01\x01".as_slice()));
    }

    #[test]
    fn an_error_is_answered_once_and_told() {
        for (mut bearer, pity) in
            [(Bearer::oauthbearer(&who("me", "t")), b"\x01".as_slice()), (Bearer::xoauth2(&who("me", "t")), b"")]
        {
            let first = bearer.answer(b"").expect("the token");
            assert!(first.ends_with(b"auth=Bearer t\x01\x01") && bearer.tried());
            let json = br#"{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}"#;
            assert_eq!(bearer.answer(json).as_deref(), Ok(pity));
            assert_eq!(bearer.reason().as_deref(), Some("status 400, scope https://mail.google.com/"));
            assert!(bearer.answer(json).is_err());
        }
    }

    #[test]
    fn errors_are_read_in_any_form() {
        for (json, said) in [
            (r#"{"status":401}"#, "status 401"),
            (
                r#"{"error":"invalid_grant","error_description":"AADSTS700082:\nexpired"}"#,
                "error invalid_grant, error_description AADSTS700082: expired",
            ),
            ("no json\u{1b}", "no json "),
            ("{}", ""),
            ("", ""),
        ] {
            assert_eq!(reason(json.as_bytes()), said);
        }
    }
}
