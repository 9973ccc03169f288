//! Where providers of mail are asked for tokens.

/// Where a provider is asked, and for what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provider {
    /// Where somebody logs in with a browser (RFC 6749 section 3.1), if that can be done.
    pub auth_url: Option<String>,
    /// Where tokens are given (RFC 6749 section 3.2).
    pub token_url: String,
    /// Where a login on another device begins (RFC 8628 section 3.1), if there is one.
    pub device_url: Option<String>,
    pub scope: String,
    /// What else the provider wants to be told along with the login.
    pub more: &'static [(&'static str, &'static str)],
}

impl Provider {
    /// A provider by its name: `gmail` or `outlook`.
    pub fn named(name: &str) -> Option<Provider> {
        match name {
            "gmail" => Some(Provider {
                auth_url: Some("https://accounts.google.com/o/oauth2/v2/auth".to_owned()),
                token_url: "https://oauth2.googleapis.com/token".to_owned(),
                // Its device flow gives no access to mail.
                device_url: None,
                scope: "https://mail.google.com/".to_owned(),
                // Else no refresh token comes, or none the second time.
                more: &[("access_type", "offline"), ("prompt", "consent")],
            }),
            "outlook" => Some(Provider {
                auth_url: Some("https://login.microsoftonline.com/common/oauth2/v2.0/authorize".to_owned()),
                token_url: "https://login.microsoftonline.com/common/oauth2/v2.0/token".to_owned(),
                device_url: Some("https://login.microsoftonline.com/common/oauth2/v2.0/devicecode".to_owned()),
                scope: "https://outlook.office.com/IMAP.AccessAsUser.All offline_access".to_owned(),
                more: &[],
            }),
            _ => None,
        }
    }
}
