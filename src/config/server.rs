//! An IMAP side: which server, and how to get in.

use super::keys;
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
    File(PathBuf),
}

/// What may be named in `auth`.
pub const MECHANISMS: [&str; 10] = [
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
    for key in ["pin", "ca_file"].into_iter().filter(|_| tls == Tls::None && !tunnel) {
        if let Some(node) = section.get(key) {
            reader.complain(&node.at, format!("`{key}` has a meaning with TLS only"));
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
    Some(Imap {
        at: section.at.clone(),
        host,
        port: port.unwrap_or(if tls == Tls::Implicit { 993 } else { 143 }),
        user,
        tls,
        allow_plaintext,
        ca_file: section.path(reader, "ca_file"),
        pins: section.texts(reader, "pin"),
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
        mechanisms.push(name);
    }
    let by_token = |name: &String| ["OAUTHBEARER", "XOAUTH2"].contains(&name.as_str());
    if let (true, Some(node)) = (section.get("token_command").is_some(), section.get("auth"))
        && !mechanisms.iter().any(by_token)
    {
        let hint = "name xoauth2 or oauthbearer in `auth`, or leave it out";
        reader.complain_with(&node.at, "`token_command` gives a token, and `auth` names nothing that takes one", hint);
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
    const WAYS: [&str; 4] = ["password", "password_command", "token_command", "password_file"];
    let given: Vec<&str> = WAYS.into_iter().filter(|key| section.get(key).is_some()).collect();
    if let [first, second, ..] = given[..] {
        let at = section.get(second).map_or(&section.at, |node| &node.at);
        reader.complain(at, format!("`{second}` beside `{first}`: one of them only"));
    }
    let way = match given.first().copied() {
        Some("password") => section.word(reader, "password").map(|text| Password::Inline(Secret::new(text.value))),
        Some("password_command") => section.argv(reader, "password_command").map(Password::Command),
        Some("token_command") => section.argv(reader, "token_command").map(Password::Token),
        Some(_) => section.path(reader, "password_file").map(|path| Password::File(path.value)),
        None => None,
    };
    way.unwrap_or(Password::Unsaid)
}
