//! `oauth2` of an IMAP side: whom tokens come from, and who we are to them.

use super::keys;
use super::reader::{Reader, Section};
use super::tree::{Located, Node, Value};
use crate::mail::Secret;
use std::path::PathBuf;

/// Providers that are known by name.
pub const PROVIDERS: [&str; 2] = ["gmail", "outlook"];

/// Whom tokens come from, and who we are to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth2 {
    pub provider: Provider,
    pub client_id: String,
    pub client_secret: Option<Secret>,
    /// The account's name.
    pub account: String,
    /// Where the tokens are kept.
    pub file: PathBuf,
    /// Whether the keyring has them in place of the file.
    pub keyring: bool,
}

/// Who gives tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provider {
    /// One of [`PROVIDERS`].
    Named(String),
    Own {
        auth_url: Option<String>,
        token_url: String,
        device_url: Option<String>,
        scope: String,
    },
}

/// Reads `oauth2`; where its tokens are kept is not known yet.
pub fn read(reader: &mut Reader, node: &Node) -> Option<OAuth2> {
    let section = Section::new(reader, &keys::OAUTH2, node)?;
    let provider = match section.get("provider") {
        Some(node) if matches!(node.value, Value::Table(_)) => own(reader, node),
        Some(_) => section.word(reader, "provider").and_then(|name| named(reader, &name)),
        None => {
            reader.complain_with(&section.at, "`oauth2` needs `provider`", known());
            None
        }
    };
    let id = section.word(reader, "client_id");
    if section.get("client_id").is_none() {
        let hint = "register a program of your own with the provider; mailsync-config(5) says where";
        reader.complain_with(&section.at, "`oauth2` needs `client_id`", hint);
    }
    let keyring = section.choice(reader, "store", &[("file", false), ("keyring", true)]).unwrap_or(false);
    if let (true, false, Some(node)) = (keyring, cfg!(feature = "keyring"), section.get("store")) {
        reader.complain_with(
            &node.at,
            "this mailsync was built without the keyring",
            "leave out `store`, or say \"file\"",
        );
    }
    let secret = section.word(reader, "client_secret").map(|text| Secret::new(text.value));
    Some(OAuth2 {
        provider: provider?,
        client_id: id?.value,
        client_secret: secret,
        account: String::new(),
        file: PathBuf::new(),
        keyring,
    })
}

fn known() -> String {
    format!("there are: {}; or a table with auth_url, token_url and scope", PROVIDERS.join(", "))
}

fn named(reader: &mut Reader, name: &Located<String>) -> Option<Provider> {
    if !PROVIDERS.contains(&name.value.as_str()) {
        let what = format!("no such provider: \"{}\"", name.value.escape_debug());
        reader.complain_with(&name.at, what, known());
        return None;
    }
    Some(Provider::Named(name.value.clone()))
}

fn own(reader: &mut Reader, node: &Node) -> Option<Provider> {
    let section = Section::new(reader, &keys::PROVIDER, node)?;
    let mut url = |key: &str| {
        let url = section.word(reader, key)?;
        // Tokens in the clear are anybody's; on this machine there is nobody between.
        let loopback = ["http://127.0.0.1", "http://localhost", "http://[::1]"].iter().any(|start| {
            url.value.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ':', '?']))
        });
        let odd = url.value.chars().any(|c| c.is_whitespace() || c.is_control() || c == '@');
        if odd || !(loopback || url.value.starts_with("https://")) {
            reader.complain(&url.at, format!("`{key}` must begin with https://"));
            return None;
        }
        Some(url.value)
    };
    let (auth_url, token_url, device_url) = (url("auth_url"), url("token_url"), url("device_url"));
    let scope = section.text(reader, "scope").map(|text| text.value).unwrap_or_default();
    if section.get("token_url").is_none() {
        reader.complain(&section.at, "a provider needs `token_url`");
    }
    if section.get("auth_url").is_none() && section.get("device_url").is_none() {
        reader.complain(&section.at, "a provider needs `auth_url` or `device_url`");
    }
    Some(Provider::Own { auth_url, token_url: token_url?, device_url, scope })
}
