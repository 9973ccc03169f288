//! An IMAP side: which server, and how to get in.

use super::keys;
use super::oauth::{self, OAuth2};
use super::reader::{Reader, Section};
use super::tree::{At, Located, Node};
use crate::mail::Secret;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// An IMAP server, and how to get in.
#[derive(Clone, Debug)]
pub struct Imap {
    pub at: At,
    /// Empty where a tunnel needs none.
    pub host: String,
    pub port: u16,
    pub user: Option<String>,
    pub tls: Tls,
    pub allow_plaintext: bool,
    pub ca_file: Option<Located<PathBuf>>,
    pub pins: Vec<Located<String>>,
    pub tls_min_version: TlsVersion,
    pub client: Option<ClientCert>,
    /// The URL of a proxy, which may hold a password.
    pub proxy: Option<Located<Secret>>,
    pub family: Family,
    /// Connections at most; 1 or more.
    pub connections: usize,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Mechanisms in upper case, best first, of [`MECHANISMS`]; the strongest that the server has where empty.
    pub auth: Vec<String>,
    /// Whose mail is wanted, where that is another user's than the one who logs in.
    pub authzid: Option<String>,
    pub password: Password,
    pub netrc: Option<PathBuf>,
    /// A program and its arguments that speak IMAP on stdin and stdout, instead of a connection.
    pub command: Option<Vec<String>>,
    /// Capabilities, in upper case, that are not used although the server has them.
    pub disable_capabilities: Vec<String>,
    /// Whether the program says who it is (RFC 2971).
    pub send_id: bool,
    /// How many commands may be unanswered, 1 or more; `None` where nothing is said.
    pub pipeline: Option<usize>,
    pub compress: Compress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    Implicit,
    StartTls,
    None,
}

/// The oldest version of TLS that will do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    V1_0,
    V1_1,
    #[default]
    V1_2,
    V1_3,
}

/// What is shown to a server that asks who we are.
#[derive(Clone, Debug)]
pub struct ClientCert {
    /// PEM or PKCS#12.
    pub file: PathBuf,
    /// The key, where it is not in the same file.
    pub key: Option<PathBuf>,
    /// Of a PKCS#12 file, or of the key.
    pub password: Option<Secret>,
}

/// Which addresses of a host are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    #[default]
    Any,
    V4,
    V6,
}

/// Whether what passes between both is compressed (RFC 4978).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compress {
    /// Where the line is slow, and much comes over it.
    #[default]
    Auto,
    On,
    Off,
}

/// Where the file says that the password is.
#[derive(Clone, Debug)]
pub enum Password {
    /// It does not: netrc, then a prompt.
    Unsaid,
    Inline(Secret),
    Command(Vec<String>),
    /// A program that prints an access token, which takes the place of a password.
    Token(Vec<String>),
    /// Tokens that `mailsync login` gets.
    OAuth2(Box<OAuth2>),
    File(PathBuf),
    /// A variable of the environment, by its name.
    Env(String),
    /// The Secret Service, then a prompt.
    Keyring,
}

/// What may be named in `auth`.
pub const MECHANISMS: [&str; 11] = [
    "GSSAPI",
    "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-256",
    "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-1",
    "PLAIN",
    "LOGIN",
    "CRAM-MD5",
    "EXTERNAL",
    "OAUTHBEARER",
    "XOAUTH2",
];

impl Imap {
    /// Whether both lead to the same user of the same server, as far as the config tells.
    pub fn is_same_mailbox(&self, other: &Imap) -> bool {
        let server = self.host.eq_ignore_ascii_case(&other.host) && self.port == other.port;
        server && self.user == other.user && self.authzid == other.authzid && self.command == other.command
    }
}

/// What has no meaning without TLS.
const TLS_KEYS: [&str; 6] = ["pin", "ca_file", "tls_min_version", "client_cert", "client_key", "client_cert_password"];

pub fn read(reader: &mut Reader, node: &Node) -> Option<Imap> {
    let section = Section::new(reader, &keys::IMAP, node)?;
    let command = section.argv(reader, "command");
    let tls = [("implicit", Tls::Implicit), ("starttls", Tls::StartTls), ("none", Tls::None)];
    let compress = [("auto", Compress::Auto), ("on", Compress::On), ("off", Compress::Off)];
    let tunnel = section.get("command").is_some();
    let standard = if tunnel { Tls::None } else { Tls::Implicit };
    let tls = section.choice(reader, "tls", &tls).unwrap_or(standard);
    if let (true, false, Some(node)) = (tunnel, tls == Tls::None, section.get("tls")) {
        reader.complain(&node.at, "`tls` has no meaning with `command`: the program protects the line, or not");
    }
    for key in TLS_KEYS.into_iter().filter(|_| tls == Tls::None && !tunnel) {
        if let Some(node) = section.get(key) {
            reader.complain(&node.at, format!("`{key}` has a meaning with TLS only"));
        }
    }
    for key in ["proxy", "address_family"].into_iter().filter(|_| tunnel) {
        if let Some(node) = section.get(key) {
            reader
                .complain(&node.at, format!("`{key}` has no meaning with `command`: the program makes the connection"));
        }
    }
    let host = host(reader, &section, tunnel)?;
    let allow_plaintext = section.flag(reader, "allow_plaintext").unwrap_or(false);
    if tls == Tls::None && !allow_plaintext && !tunnel && !is_loopback(&host) {
        let at = section.get("tls").map_or(&section.at, |node| &node.at);
        let hint = "use \"implicit\" or \"starttls\"; if the network between is trusted, add allow_plaintext = true";
        reader.complain_with(at, format!("tls = \"none\" would send the password to {host} in the clear"), hint);
    }
    let port = section.number(reader, "port", 1..=65535).and_then(|port| u16::try_from(port).ok());
    let upper = |texts: Vec<Located<String>>| texts.into_iter().map(|text| text.value.to_ascii_uppercase()).collect();
    let password = password(reader, &section);
    let user = section.word(reader, "user").map(|user| user.value);
    if user.is_none() && !matches!(password, Password::Unsaid) {
        reader.complain(&section.at, "`user` may be left out only where the password comes from netrc");
    }
    if let (Password::OAuth2(oauth2), Some(node), true) = (&password, section.get("oauth2"), host.is_empty())
        && oauth2.keyring
    {
        let what = "`oauth2` with store = \"keyring\" needs `host`: tokens are found there by host and user";
        reader.complain(&node.at, what);
    }
    Some(Imap {
        at: section.at.clone(),
        host,
        port: port.unwrap_or(if tls == Tls::Implicit { 993 } else { 143 }),
        user,
        tls,
        allow_plaintext,
        ca_file: section.path(reader, "ca_file"),
        pins: section.texts(reader, "pin"),
        tls_min_version: section.choice(reader, "tls_min_version", &VERSIONS).unwrap_or_default(),
        client: client(reader, &section),
        proxy: section.word(reader, "proxy").map(|url| Located { value: Secret::new(url.value), at: url.at }),
        family: section.choice(reader, "address_family", &FAMILIES).unwrap_or_default(),
        connections: section.number(reader, "connections", 1..=32).unwrap_or(2),
        timeout: Duration::from_secs(section.number(reader, "timeout", 1..=3600).unwrap_or(60) as u64),
        auth: mechanisms(reader, &section),
        authzid: authzid(reader, &section),
        password,
        netrc: section.path(reader, "netrc").map(|path| path.value),
        command,
        disable_capabilities: upper(section.texts(reader, "disable_capabilities")),
        send_id: section.flag(reader, "send_id").unwrap_or(true),
        pipeline: section.number(reader, "pipeline", 1..=1000),
        compress: section.choice(reader, "compress", &compress).unwrap_or_default(),
    })
}

const VERSIONS: [(&str, TlsVersion); 4] =
    [("1.0", TlsVersion::V1_0), ("1.1", TlsVersion::V1_1), ("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)];
const FAMILIES: [(&str, Family); 3] = [("any", Family::Any), ("ipv4", Family::V4), ("ipv6", Family::V6)];

fn client(reader: &mut Reader, section: &Section<'_>) -> Option<ClientCert> {
    let file = section.path(reader, "client_cert").map(|path| path.value);
    let key = section.path(reader, "client_key").map(|path| path.value);
    let password = section.word(reader, "client_cert_password").map(|text| Secret::new(text.value));
    for name in ["client_key", "client_cert_password"].into_iter().filter(|_| section.get("client_cert").is_none()) {
        if let Some(node) = section.get(name) {
            reader.complain(&node.at, format!("`{name}` belongs to a `client_cert`, and there is none"));
        }
    }
    Some(ClientCert { file: file?, key, password })
}

fn host(reader: &mut Reader, section: &Section<'_>, tunnel: bool) -> Option<String> {
    match section.get("host") {
        Some(_) => {
            let host = section.word(reader, "host")?;
            if host.value.chars().any(|c| c.is_whitespace() || c.is_control() || c == '/') {
                reader.complain(&host.at, "`host` must be a host name or an address, nothing else");
                return None;
            }
            Some(host.value)
        }
        None if tunnel => Some(String::new()),
        None => {
            reader.complain_with(&section.at, "an IMAP side needs `host`", "host = \"imap.example.org\"");
            None
        }
    }
}

/// Whether `host` names this machine without a look into any name service.
fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

fn mechanisms(reader: &mut Reader, section: &Section<'_>) -> Vec<String> {
    let mut mechanisms = Vec::new();
    for text in section.texts(reader, "auth") {
        let name = text.value.to_ascii_uppercase();
        if !MECHANISMS.contains(&name.as_str()) {
            let what = format!("unknown mechanism \"{}\" in `auth`", text.value.escape_debug());
            reader.complain_with(&text.at, what, format!("there are: {}", MECHANISMS.join(", ").to_ascii_lowercase()));
        }
        if name == "GSSAPI" && !cfg!(feature = "gssapi") {
            let hint = "build it with: cargo install --features gssapi; or name another mechanism";
            reader.complain_with(&text.at, "this mailsync was built without Kerberos (gssapi)", hint);
        }
        mechanisms.push(name);
    }
    let by_token = |name: &String| ["OAUTHBEARER", "XOAUTH2"].contains(&name.as_str());
    for key in ["token_command", "oauth2"].into_iter().filter(|key| section.get(key).is_some()) {
        if let Some(node) = section.get("auth").filter(|_| !mechanisms.iter().any(by_token)) {
            let what = format!("`{key}` gives a token, and `auth` names nothing that takes one");
            reader.complain_with(&node.at, what, "name xoauth2 or oauthbearer in `auth`, or leave it out");
        }
    }
    mechanisms
}

fn authzid(reader: &mut Reader, section: &Section<'_>) -> Option<String> {
    let authzid = section.word(reader, "authzid")?;
    if authzid.value.chars().any(char::is_control) {
        reader.complain(&authzid.at, "`authzid` must be a user's name, without control characters");
    }
    Some(authzid.value)
}

fn password(reader: &mut Reader, section: &Section<'_>) -> Password {
    const WAYS: [&str; 7] =
        ["password", "password_command", "token_command", "oauth2", "password_file", "password_env", "keyring"];
    let keyring = section.flag(reader, "keyring").unwrap_or(false);
    let said = |key: &&str| if *key == "keyring" { keyring } else { section.get(key).is_some() };
    let given: Vec<&str> = WAYS.into_iter().filter(said).collect();
    if let [first, second, ..] = given[..] {
        let at = section.get(second).map_or(&section.at, |node| &node.at);
        let what = format!("`{second}` beside `{first}`: one of them only");
        match (first, second) {
            ("oauth2", "keyring") => {
                reader.complain_with(at, what, "tokens in the keyring: oauth2 = { store = \"keyring\", ... }")
            }
            _ => reader.complain(at, what),
        }
    }
    let way = match given.first().copied() {
        Some("password") => section.word(reader, "password").map(|text| Password::Inline(Secret::new(text.value))),
        Some("password_command") => section.argv(reader, "password_command").map(Password::Command),
        Some("oauth2") => {
            section.get("oauth2").and_then(|node| oauth::read(reader, node)).map(|o| Password::OAuth2(Box::new(o)))
        }
        Some("token_command") => section.argv(reader, "token_command").map(Password::Token),
        Some("password_env") => variable(reader, section).map(Password::Env),
        Some("keyring") => keyring_of(reader, section),
        Some(_) => section.path(reader, "password_file").map(|path| Password::File(path.value)),
        None => None,
    };
    way.unwrap_or(Password::Unsaid)
}

fn variable(reader: &mut Reader, section: &Section<'_>) -> Option<String> {
    let name = section.word(reader, "password_env")?;
    if name.value.chars().any(|c| !c.is_ascii_alphanumeric() && c != '_') {
        reader.complain(&name.at, "`password_env` must be the name of a variable: letters, digits and `_`");
        return None;
    }
    Some(name.value)
}

fn keyring_of(reader: &mut Reader, section: &Section<'_>) -> Option<Password> {
    let at = section.get("keyring").map_or(&section.at, |node| &node.at);
    if !cfg!(feature = "keyring") {
        let hint = "use password_command with secret-tool: mailsync-config(5) shows how";
        reader.complain_with(at, "this mailsync was built without the keyring", hint);
    }
    if section.get("host").is_none() {
        reader.complain(at, "`keyring` needs `host`: passwords are found there by host and user");
    }
    Some(Password::Keyring)
}
