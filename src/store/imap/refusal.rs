//! What a server's NO, BAD or BYE means beyond that: told by its code, and by texts that servers send in place of one.

use super::error::ImapError;
use super::token::Code;
use crate::store::{Kind, Reach, StoreError};

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// A login with a password.
    Login,
    /// A login with an access token.
    TokenLogin,
    /// A login with a client certificate, or whatever else the server knows us by.
    ExternalLogin,
    /// A login with a Kerberos ticket.
    TicketLogin,
    /// The whole connection, in a login or later.
    Bye,
    /// Any other command.
    Command,
}

/// How far a refusal reaches at least, its kind, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meant {
    pub reach: Reach,
    pub kind: Kind,
    pub hint: Option<&'static str>,
}

impl When {
    /// What a command is, by the name that errors give it: `SELECT`, `AUTHENTICATE PLAIN`.
    pub fn of(command: &str) -> When {
        match command.split_once(' ').unwrap_or((command, "")) {
            ("AUTHENTICATE", "OAUTHBEARER" | "XOAUTH2") => When::TokenLogin,
            ("AUTHENTICATE", "EXTERNAL") => When::ExternalLogin,
            ("AUTHENTICATE", "GSSAPI") => When::TicketLogin,
            ("AUTHENTICATE" | "LOGIN", _) => When::Login,
            _ => When::Command,
        }
    }

    pub fn is_login(self) -> bool {
        matches!(self, When::Login | When::TokenLogin | When::ExternalLogin | When::TicketLogin)
    }

    /// What a refusal means that says nothing we know.
    pub fn unknown(self) -> Meant {
        match self.is_login() {
            true => Meaning::WrongLogin.meant(self),
            false => Meant { reach: Reach::Message, kind: Kind::Refused, hint: None },
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Connections,
    NotConnected,
    TokenExpired,
    UnsafeLogin,
    AppPassword,
    Gmail,
    WebLogin,
    ImapOff,
    /// The server does not tell which.
    WrongLoginOrImapOff,
    OnlyTokens,
    NeedsTls,
    WantsCertificate,
    Locked,
    PasswordExpired,
    NotAuthorized,
    Intercepted,
    /// The server's SASL library did not understand an exchange, as Cyrus's where a login is bound to the certificate: it
    /// knows no binding but that of old versions of TLS.
    Misunderstood,
    AskAdmin,
    Failures,
    Throttled,
    /// As throttled, unless a code says that it is about one thing only.
    Busy,
    Full,
    Unavailable,
    WrongLogin,
    Missing,
}

/// Texts in lower case of which all words must be there, and what they mean. First match wins.
const TEXTS: [(&[&str], Meaning); 20] = [
    (&["too many simultaneous connections"], Meaning::Connections),
    (&["maximum number of connections"], Meaning::Connections),
    (&["too many connections"], Meaning::Connections),
    (&["too many", "connections"], Meaning::Connections),
    (&["connection limit"], Meaning::Connections),
    (&["authenticated but not connected"], Meaning::NotConnected),
    (&["accesstokenexpired"], Meaning::TokenExpired),
    (&["unsafe login"], Meaning::UnsafeLogin),
    (&["command or bandwidth limits"], Meaning::Throttled),
    (&["server unavailable. 15"], Meaning::Throttled),
    (&["throttl"], Meaning::Throttled),
    (&["rate limit"], Meaning::Throttled),
    (&["try again later"], Meaning::Busy),
    (&["too busy"], Meaning::Busy),
    (&["temporarily unavailable"], Meaning::Busy),
    (&["temporary authentication failure"], Meaning::Throttled),
    (&["storage limit"], Meaning::Full),
    (&["over quota"], Meaning::Full),
    (&["quota exceeded"], Meaning::Full),
    (&["mailbox is full"], Meaning::Full),
];

/// The same for logins, where they come first but for what is about connections.
const LOGIN_TEXTS: [(&[&str], Meaning); 45] = [
    // RFC 5802 section 7. Whoever goes on after these does what somebody between wants.
    (&["channel-bindings-dont-match"], Meaning::Intercepted),
    (&["server-does-support-channel-binding"], Meaning::Intercepted),
    (&["bad protocol / cancel"], Meaning::Misunderstood),
    (&["web login required"], Meaning::WebLogin),
    (&["log in via your web browser"], Meaning::WebLogin),
    // Yandex, then QQ.
    (&["credentials or imap is disabled"], Meaning::WrongLoginOrImapOff),
    (&["service is not open", "password is incorrect"], Meaning::WrongLoginOrImapOff),
    (&["not enabled for imap"], Meaning::ImapOff),
    (&["enable imap"], Meaning::ImapOff),
    (&["imap", "is disabled"], Meaning::ImapOff),
    (&["imap", "is not enabled"], Meaning::ImapOff),
    (&["imap", "has been disabled"], Meaning::ImapOff),
    (&["imap access disabled"], Meaning::ImapOff),
    (&["application-specific password"], Meaning::AppPassword),
    (&["application specific password"], Meaning::AppPassword),
    (&["app-specific password"], Meaning::AppPassword),
    (&["application password"], Meaning::AppPassword),
    (&["app password"], Meaning::AppPassword),
    (&["authorized code"], Meaning::AppPassword),
    (&["authorization code"], Meaning::AppPassword),
    (&["basicauthblocked"], Meaning::OnlyTokens),
    (&["basic auth", "disabled"], Meaning::OnlyTokens),
    (&["plaintext authentication dis"], Meaning::NeedsTls),
    (&["client", "certificate"], Meaning::WantsCertificate),
    (&["too many", "attempts"], Meaning::Failures),
    (&["too many", "failures"], Meaning::Failures),
    (&["too many", "failed"], Meaning::Failures),
    (&["too many", "logins"], Meaning::Failures),
    (&["rate-limit"], Meaning::Throttled),
    (&["account", "locked"], Meaning::Locked),
    (&["account", "disabled"], Meaning::Locked),
    (&["account", "deactivated"], Meaning::Locked),
    (&["account", "suspended"], Meaning::Locked),
    (&["account", "restricted"], Meaning::Locked),
    (&["account", "inactive"], Meaning::Locked),
    (&["user", "locked"], Meaning::Locked),
    (&["user", "disabled"], Meaning::Locked),
    (&["user", "suspended"], Meaning::Locked),
    (&["mailbox", "locked out"], Meaning::Locked),
    (&["mailbox", "disabled"], Meaning::Locked),
    (&["mailbox", "suspended"], Meaning::Locked),
    (&["token", "expired"], Meaning::TokenExpired),
    (&["password", "expired"], Meaning::PasswordExpired),
    (&["invalid credentials (failure)"], Meaning::Gmail),
    (&["login rate"], Meaning::Throttled),
];

/// Hints about a token that another one may help with.
const EXPIRED: &str = "the access token has expired: get a new one";
const NOT_ACCEPTED: &str =
    "the access token was not accepted: it may have expired or be for another scope or user; get a new one";

/// Whether a failure is about the access token alone, so that another login with a new one may succeed. Both hints end with
/// the advice to get one.
pub fn is_about_token(error: &StoreError) -> bool {
    error.kind == Kind::Auth && error.hint.as_deref().is_some_and(|hint| [EXPIRED, NOT_ACCEPTED].contains(&hint))
}

/// What a refusal means beyond `no`; `None` where neither code nor text is known.
pub fn meaning(when: When, code: Option<&Code>, text: &str) -> Option<Meant> {
    find(when, code, text).map(|meaning| meaning.meant(when))
}

fn find(when: When, code: Option<&Code>, text: &str) -> Option<Meaning> {
    let text = text.to_ascii_lowercase();
    let login = when.is_login();
    let fits = |(words, _): &&(&[&str], Meaning)| words.iter().all(|word| text.contains(word));
    let (connections, others) = TEXTS.split_at(CONNECTIONS);
    let at_login = if login || when == When::Bye { LOGIN_TEXTS.as_slice() } else { &[] };
    // Texts first: a server that is out of connections may well answer AUTHENTICATIONFAILED.
    let told = connections.iter().chain(at_login).chain(others).find(fits).map(|(_, meaning)| *meaning);
    let coded = code.and_then(|code| by_code(code, login));
    told.filter(|told| login || (*told, coded) != (Meaning::Busy, Some(Meaning::Unavailable))).or(coded)
}

/// How many of [`TEXTS`] are about connections.
const CONNECTIONS: usize = 5;

fn by_code(code: &Code, login: bool) -> Option<Meaning> {
    match code {
        Code::OverQuota | Code::Limit if login => Some(Meaning::Throttled),
        Code::OverQuota => Some(Meaning::Full),
        Code::Throttled => Some(Meaning::Throttled),
        Code::Unavailable | Code::InUse => Some(Meaning::Unavailable),
        Code::AuthorizationFailed if login => Some(Meaning::NotAuthorized),
        Code::AuthenticationFailed | Code::AuthorizationFailed => Some(Meaning::WrongLogin),
        Code::Expired => Some(Meaning::PasswordExpired),
        Code::PrivacyRequired if login => Some(Meaning::NeedsTls),
        Code::ContactAdmin if login => Some(Meaning::AskAdmin),
        Code::NonExistent => Some(Meaning::Missing),
        Code::Other(name) if name == "WEBALERT" => Some(Meaning::WebLogin),
        _ => None,
    }
}

impl Meaning {
    fn meant(self, when: When) -> Meant {
        let (reach, kind, hint) = match self {
            Meaning::Connections => (
                Reach::Account,
                Kind::Later,
                "the server allows fewer connections at once: close other mail programs, or lower `connections`",
            ),
            Meaning::NotConnected => (
                Reach::Account,
                Kind::Auth,
                "the login was accepted and the mailbox refused: check the user name, the token's scope and tenant, the \
                 login form of a shared mailbox, and that IMAP is enabled for it",
            ),
            Meaning::TokenExpired => (Reach::Connection, Kind::Auth, EXPIRED),
            Meaning::UnsafeLogin => {
                (Reach::Account, Kind::Auth, "allow IMAP clients in the provider's web mail settings, then try again")
            }
            Meaning::Failures => (
                Reach::Account,
                Kind::Later,
                "logins failed too often: check the password, and wait some minutes before the next try",
            ),
            Meaning::Throttled | Meaning::Busy => {
                (Reach::Account, Kind::Later, "the server asks for a pause; the next run goes on from here")
            }
            Meaning::Full => (Reach::Folder, Kind::Later, "the mailbox is full: make room on the server"),
            Meaning::Unavailable => return Meant { reach: Reach::Message, kind: Kind::Later, hint: None },
            Meaning::Missing => return Meant { reach: Reach::Folder, kind: Kind::Missing, hint: None },
            login => (Reach::Account, Kind::Auth, login.login_hint(when)),
        };
        Meant { reach, kind, hint: Some(hint) }
    }

    /// What to do about a login that was refused for good.
    fn login_hint(self, when: When) -> &'static str {
        match self {
            Meaning::AppPassword => "make an application password on the provider's web site and use that",
            Meaning::Gmail if when == When::Login => {
                "check the user name; Gmail takes no account passwords: make an application password, or use a token"
            }
            Meaning::WebLogin => {
                "the provider wants to see you: log in with a web browser and confirm that it was you, then try again; \
                 an application password or a token avoids this"
            }
            Meaning::ImapOff => {
                "IMAP is switched off for this account: switch it on in the web mail settings, or ask the administrator"
            }
            Meaning::WrongLoginOrImapOff => {
                "switch IMAP on in the web mail settings, and use the application password that is made there"
            }
            Meaning::OnlyTokens => {
                "the provider takes no passwords any more: use an access token (oauth2 or token_command)"
            }
            Meaning::NeedsTls => {
                "the server wants a protected line for this login: use tls = \"starttls\" or \"implicit\""
            }
            Meaning::WantsCertificate if when != When::ExternalLogin => {
                "the server wants a certificate of yours: see client_cert"
            }
            Meaning::Locked => {
                "the account is locked or disabled: unlock it on the provider's web site, or ask the administrator; more \
                 tries may keep it locked"
            }
            Meaning::PasswordExpired if when == When::TokenLogin => EXPIRED,
            Meaning::PasswordExpired => "the password has expired: set a new one with the provider",
            Meaning::NotAuthorized => {
                "the login was accepted, and may not use this mailbox: check the user name and `authzid`"
            }
            Meaning::Intercepted => {
                "somebody may be between: the server sees another certificate than mailsync does, or offers more than came \
                 through; ask its administrator before you name a weaker mechanism in `auth`"
            }
            Meaning::Misunderstood => {
                "the server does not know this mechanism as mailsync speaks it: leave `auth` out, or name another one"
            }
            Meaning::AskAdmin => "the server's administrator can tell more",
            _ => match when {
                When::TokenLogin => NOT_ACCEPTED,
                When::ExternalLogin => {
                    "the server does not know you by the client certificate: check it, and `authzid`"
                }
                When::TicketLogin => {
                    "the server does not let this Kerberos ticket in as that user: check klist, `user` and `authzid`"
                }
                _ => "check the user name and password; some providers want an application password",
            },
        }
    }
}

/// Whether a refused login says nothing about the secret, so that another mechanism may be tried: the server does not know
/// this one (BAD), has nothing for this user to check it with, or refused before the secret was `tried`. A secret that
/// was tried and refused is never sent again: that is how accounts get locked.
pub fn is_about_mechanism(error: &ImapError, tried: bool) -> bool {
    let ImapError::Refused { command, bad, code, text } = error else {
        return matches!(error, ImapError::Lacking { .. });
    };
    let found = find(When::of(command), code.as_ref(), text);
    let text = text.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let absent = ["support", "available", "enabled", "unknown", "unrecognized", "invalid", "too weak", "allowed"];
    let secret = ["password", "credentials"];
    let unknown = says(&["mechanism", "authentication method", "auth type"]) && says(&absent) && !says(&secret);
    let blamed = says(&secret) || says(&["authentication failed", "authenticate failed", "login failed"]);
    match found {
        None | Some(Meaning::WrongLogin) if unknown => true,
        None if *code == Some(Code::Cannot) => true,
        None => !tried || (*bad && !blamed),
        Some(Meaning::Misunderstood) => true,
        Some(Meaning::WrongLogin) => !tried,
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::{Response, parse};
    use super::*;

    /// The error that a line is to a command.
    fn refused(command: &str, line: &str) -> ImapError {
        let (Response::Tagged { status, .. } | Response::Status(status)) = parse(line.as_bytes()) else {
            panic!("{line}")
        };
        ImapError::check(command, status).expect_err(line)
    }

    /// Texts as servers send them.
    #[test]
    fn refused_logins_are_told_apart() {
        use Kind::{Auth, Later};
        for (line, kind, hint) in [
            // Dovecot, Yahoo, iCloud, Exchange, NetEase.
            ("T NO [AUTHENTICATIONFAILED] Authentication failed.", Auth, "check the user name and password"),
            ("T NO [AUTHENTICATIONFAILED] LOGIN Invalid credentials", Auth, "check the user name and password"),
            ("T NO LOGIN failed.", Auth, "check the user name and password"),
            ("T NO AUTHENTICATE failed.", Auth, "check the user name and password"),
            ("T NO LOGIN Login error or password error", Auth, "check the user name and password"),
            // Gmail.
            ("T NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)", Auth, "Gmail takes no account passwords"),
            (
                "T NO [ALERT] Application-specific password required: https://support.google.com/accounts/answer/185833 \
                 (Failure)",
                Auth,
                "make an application password",
            ),
            (
                "T NO [ALERT] Please log in via your web browser: https://support.google.com/mail/accounts/answer/78754 \
                 (Failure)",
                Auth,
                "log in with a web browser",
            ),
            (
                "T NO [ALERT] Web login required: http://support.google.com/mail/bin/answer.py?answer=78754 (Failure)",
                Auth,
                "log in with a web browser",
            ),
            ("T NO [WEBALERT https://accounts.google.com/signin/continue] Login needed.", Auth, "with a web browser"),
            (
                "T NO [ALERT] Your account is not enabled for IMAP use. Please visit your Gmail settings page and enable \
                 your account for IMAP access. (Failure)",
                Auth,
                "IMAP is switched off",
            ),
            (
                "T NO [ALERT] IMAP access is disabled for your domain. Please contact your domain administrator for \
                 questions about this feature. (Failure)",
                Auth,
                "IMAP is switched off",
            ),
            ("T NO [ALERT] Too many simultaneous connections. (Failure)", Later, "fewer connections"),
            ("T NO [OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)", Later, "a pause"),
            // Zoho, Yandex, QQ, Mail.ru, Purelymail.
            (
                "T NO [ALERT] You are yet to enable IMAP for your account. Please contact your administrator (Failure)",
                Auth,
                "IMAP is switched off",
            ),
            (
                "T NO [AUTHENTICATIONFAILED] LOGIN invalid credentials or IMAP is disabled sc=cDdQwR5MouQ0",
                Auth,
                "switch IMAP on",
            ),
            (
                "T NO Login fail. Account is abnormal, service is not open, password is incorrect, login frequency \
                 limited, or system is busy.",
                Auth,
                "switch IMAP on",
            ),
            ("T NO [AUTHENTICATIONFAILED] Application password is REQUIRED", Auth, "make an application password"),
            ("T NO Login failed \u{2013} please create an app password", Auth, "make an application password"),
            // Microsoft.
            ("T BAD User is authenticated but not connected.", Auth, "the mailbox refused"),
            (
                "T NO LOGIN failed. Account is blocked. Login to your account via a web browser to verify your identity.",
                Auth,
                "locked or disabled",
            ),
            ("T NO LOGIN failed. [Error=\"LogonDenied-BasicAuthBlocked\"]", Auth, "token_command"),
            // Accounts.
            ("T NO [AUTHENTICATIONFAILED] Account is temporarily locked, try again later", Auth, "locked or disabled"),
            ("T NO [ALERT] Your account has been suspended", Auth, "locked or disabled"),
            ("T NO [CONTACTADMIN] Account disabled", Auth, "locked or disabled"),
            ("T NO [CONTACTADMIN] no", Auth, "administrator"),
            ("T NO [EXPIRED] That password isn't valid any more.", Auth, "set a new one"),
            ("T NO [AUTHORIZATIONFAILED] Authorization failed", Auth, "authzid"),
            ("T NO [PRIVACYREQUIRED] Connection offers no privacy.", Auth, "starttls"),
            ("T NO [ALERT] Client didn't present valid SSL certificate", Auth, "see client_cert"),
            ("T NO [ALERT] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", Auth, "starttls"),
            // Too much.
            (
                "T NO [UNAVAILABLE] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=16)",
                Later,
                "fewer connections",
            ),
            (
                "T NO [AUTHENTICATIONFAILED] Authentication failed: authentication failure (Too many simultaneous \
                 connections.)",
                Later,
                "fewer connections",
            ),
            ("* BYE Too many open connections", Later, "fewer connections"),
            ("T NO [LIMIT] LOGIN Rate limit hit", Later, "a pause"),
            ("T NO Temporary authentication failure (rate-limit)", Later, "a pause"),
            ("T NO Too many bad login attempts.", Later, "too often"),
            ("T NO [UNAVAILABLE] Temporary authentication failure.", Later, "a pause"),
        ] {
            let error = refused("AUTHENTICATE PLAIN", line).into_store(Reach::Message, "log in");
            assert_eq!((error.kind, error.reach), (kind, Reach::Account), "{line}: {error}");
            assert!(error.hint.as_deref().is_some_and(|said| said.contains(hint)), "{line}: {:?}", error.hint);
        }
    }

    #[test]
    fn the_hint_is_about_what_was_shown() {
        for (command, line, hint) in [
            ("LOGIN", "T NO no", "user name and password"),
            ("AUTHENTICATE SCRAM-SHA-256", "T NO no", "user name and password"),
            ("AUTHENTICATE XOAUTH2", "T NO AUTHENTICATE failed. (status 400)", "access token was not accepted"),
            ("AUTHENTICATE XOAUTH2", "T NO [EXPIRED] no more", "the access token has expired"),
            ("AUTHENTICATE OAUTHBEARER", "T NO SASL failed (status invalid_token)", "access token was not accepted"),
            ("AUTHENTICATE XOAUTH2", "T NO no (error_description the access token expired)", "has expired"),
            (
                "AUTHENTICATE XOAUTH2",
                "T NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)",
                "access token was not accepted",
            ),
            ("AUTHENTICATE EXTERNAL", "T NO no", "client certificate"),
            ("AUTHENTICATE GSSAPI", "T NO no", "Kerberos ticket"),
        ] {
            let error = refused(command, line).into_store(Reach::Message, "log in");
            assert_eq!((error.kind, error.reach), (Kind::Auth, Reach::Account), "{line}: {error}");
            assert_eq!(is_about_token(&error), hint.contains("token") || hint.contains("expired"), "{line}");
            assert!(error.hint.as_deref().is_some_and(|said| said.contains(hint)), "{line}: {:?}", error.hint);
        }
    }

    #[test]
    fn texts_about_logins_mean_nothing_elsewhere() {
        for line in ["T NO Mailbox disabled", "T NO too many failed attempts", "T NO [LIMIT] user restricted"] {
            let error = refused("SELECT", line).into_store(Reach::Folder, "select");
            assert_eq!((error.kind, error.reach), (Kind::Refused, Reach::Folder), "{line}: {error}");
        }
    }

    #[test]
    fn the_table_of_texts_is_in_order() {
        let connections = TEXTS.iter().take_while(|(_, meaning)| *meaning == Meaning::Connections).count();
        assert_eq!(connections, CONNECTIONS);
        let words = TEXTS.iter().chain(&LOGIN_TEXTS).flat_map(|(words, _)| words.iter());
        words.for_each(|word| assert_eq!(*word, word.to_ascii_lowercase()));
    }

    #[test]
    fn a_secret_that_was_refused_is_not_sent_again() {
        for (line, after_trying, before) in [
            ("T NO [AUTHENTICATIONFAILED] wrong", false, true),
            ("T NO go away", false, true),
            ("T BAD what is that?", true, true),
            ("T BAD invalid user name or password", false, true),
            ("T NO SASL authentication failed: invalid credentials", false, true),
            ("T NO mechanism PLAIN: invalid password", false, true),
            ("T BAD User is authenticated but not connected.", false, false),
            ("T NO [ALERT] Application-specific password required", false, false),
            ("T NO [LIMIT] LOGIN Rate limit hit", false, false),
            ("T NO [AUTHENTICATIONFAILED] Too many simultaneous connections.", false, false),
            ("T NO Account is locked", false, false),
            ("T NO no (server-does-support-channel-binding)", false, false),
            ("T NO no (channel-bindings-dont-match)", false, false),
            ("T NO no (unsupported-channel-binding-type)", false, true),
            ("T NO bad protocol / cancel", true, true),
            // Cyrus SASL, and servers that offer more than they have.
            ("T NO no mechanism available", true, true),
            ("T NO mechanism too weak for this user", true, true),
            ("T NO Unsupported authentication mechanism", true, true),
            ("T NO [AUTHENTICATIONFAILED] Unsupported authentication mechanism", true, true),
            ("T NO [CANNOT] not with this one", true, true),
            ("* BYE go away", false, false),
        ] {
            let error = refused("AUTHENTICATE PLAIN", line);
            assert_eq!(is_about_mechanism(&error, true), after_trying, "{line}");
            assert_eq!(is_about_mechanism(&error, false), before, "{line}");
        }
    }
}
