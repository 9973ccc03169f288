//! From the first byte to the login: greeting, STARTTLS, capabilities, mechanisms.

use super::caps::Caps;
use super::conn::Along;
use super::error::ImapError;
use super::facade::{Handle, Ignore, Line};
use super::recall::Recall;
use super::refusal::is_about_mechanism;
use super::sasl::{Channel, Mechanism, Offer, Who, Wish, choose};
use super::session::{Done, Failed, Greeted, Session};
use super::token::{Code, Response, Status, StatusKind};
use super::wire::{Command, Tag, Wire};
use super::{Compress, ImapSettings};
use crate::mail::{Login, Secret};
use crate::net::{NetError, Stop, TlsMode, trusts_bundle};
use crate::store::{Kind, LOG_IN, Reach, StoreError};
use std::sync::{Mutex, PoisonError};

/// A connection that has just been logged in.
pub struct LoggedIn {
    pub handle: Handle,
    pub session: Session,
    pub caps: Caps,
    /// What was sent along with the login.
    pub along: Along,
    /// What is to be remembered of it; `None` where nothing can go along with such a login.
    pub recall: Option<Recall>,
}

/// A login that failed.
pub struct NotIn {
    pub error: StoreError,
    /// Whether other commands had been sent along with it, which may be to blame.
    pub along: bool,
}

impl From<StoreError> for NotIn {
    fn from(error: StoreError) -> NotIn {
        NotIn { error, along: false }
    }
}

/// A connection on its way there.
struct Start<'a> {
    handle: Handle,
    /// `None` where the server has not said them yet.
    caps: Option<Caps>,
    settings: &'a ImapSettings,
}

/// A connection before its login: it has been greeted, and is protected. Nothing secret was said or asked for.
pub struct Arrival {
    handle: Handle,
    caps: Option<Caps>,
    /// The server takes us as logged in.
    preauth: bool,
}

/// Connects and protects the line.
pub fn arrive(settings: &ImapSettings, stop: &Stop) -> Result<Arrival, StoreError> {
    settings.check()?;
    let bundle = trusts_bundle();
    match Start::arrive(settings, stop) {
        // The authority may be one that only the system's bundle has, which is asked now.
        Err(_) if !bundle && trusts_bundle() => Start::arrive(settings, stop),
        arrived => arrived,
    }
}

/// The mechanism by which a server let us in before: later connections begin with it, so that nothing is refused once more.
#[derive(Debug, Default)]
pub struct Known(Mutex<Option<Mechanism>>);

impl Known {
    /// These mechanisms, without those that come before the one that is known.
    fn or_from(&self, mechanisms: Vec<Mechanism>) -> Vec<Mechanism> {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = mechanisms.iter().position(|mechanism| Some(*mechanism) == known).unwrap_or(0);
        mechanisms[from..].to_vec()
    }

    fn set(&self, mechanism: Mechanism) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(mechanism);
    }
}

/// Logs in. Where it goes by this mechanism, these commands are sent along.
pub fn log_in(
    settings: &ImapSettings,
    arrival: Arrival,
    known: &Known,
    along: Option<(Mechanism, Vec<Command>)>,
) -> Result<LoggedIn, NotIn> {
    let Arrival { handle, caps, preauth } = arrival;
    let mut start = Start { handle, caps, settings };
    let greeted = Greeted::new(start.handle.clone());
    let failed = |error: ImapError| error.into_store(Reach::Account, LOG_IN);
    let (mut commands, mut tags, mut by) = (Vec::new(), Vec::new(), None);
    let session = match preauth {
        true => greeted.adopt().map_err(failed)?,
        false => {
            let (session, mechanism, sent) = start.try_mechanisms(greeted, known, along.as_ref())?;
            known.set(mechanism);
            by = Some(mechanism);
            (commands, tags) = (along.map(|(_, commands)| commands).unwrap_or_default(), sent);
            session
        }
    };
    // Asked for now, they would come behind the answers to what was sent along.
    let told = start.caps.is_some();
    if !told && !tags.is_empty() {
        let error = failed(ImapError::Protocol("the server no longer says what it can do".to_owned()));
        return Err(NotIn { error, along: true });
    }
    let caps = start.capabilities().map_err(failed)?;
    start.compress(&caps).map_err(|error| error.into_store(Reach::Account, "compress the line"))?;
    let recall = by.filter(|_| told).map(|mechanism| Recall::new(mechanism, caps.clone()));
    Ok(LoggedIn { handle: start.handle, session, caps, along: Along { commands, tags }, recall })
}

impl Start<'_> {
    fn arrive(settings: &ImapSettings, stop: &Stop) -> Result<Arrival, StoreError> {
        let transport = settings.connect(stop)?;
        let mut start = Start { handle: Handle::new(Line::new(transport)), caps: None, settings };
        let preauth = start.greeting().map_err(|error| start.not_greeted(error))?;
        // Somebody between may say so to keep us from STARTTLS, and nobody but a tunnel knows whose mail it is.
        if preauth && settings.command.is_none() {
            let cause = "the server took us as logged in before it was told who we are (PREAUTH)";
            let error = StoreError::new(Reach::Account, Kind::Tls, LOG_IN, cause);
            return Err(error.with_hint("only what `command` runs may do that; here somebody may be between"));
        }
        if settings.command.is_none() && settings.tls.mode == TlsMode::StartTls {
            start.starttls(stop)?;
        }
        if !preauth {
            start.capabilities().map_err(|error| error.into_store(Reach::Account, LOG_IN))?;
        }
        Ok(Arrival { handle: start.handle, caps: start.caps, preauth })
    }

    /// Why there is no greeting; with what can be done, where the server seems to wait for a handshake.
    fn not_greeted(&self, error: ImapError) -> StoreError {
        let silent = matches!(error, ImapError::Net(NetError::Timeout(_)));
        let plain = self.settings.command.is_none() && self.settings.tls.mode != TlsMode::Implicit;
        let error = error.into_store(Reach::Account, "connect");
        match silent && plain {
            true => {
                error.with_hint("a port that speaks TLS from the first byte on says nothing first: tls = \"implicit\"")
            }
            false => error,
        }
    }

    fn wire(&mut self) -> Wire<'_> {
        Wire::new(self.handle.line())
    }

    fn learn(&mut self, names: &[String]) {
        let caps = Caps::new(names, &self.settings.disable_capabilities);
        self.handle.line().literals = caps.literals();
        self.caps = Some(caps);
    }

    fn learn_from(&mut self, status: &Status) {
        if let Some(Code::Capability(names)) = &status.code {
            self.learn(names);
        }
    }

    /// Reads the greeting. True where the server takes us as logged in.
    fn greeting(&mut self) -> Result<bool, ImapError> {
        loop {
            let response = self.handle.line().response(&mut Ignore)?;
            match response {
                Response::Status(status) if status.kind == StatusKind::Bye => {
                    return Err(ImapError::Bye { code: status.code, text: status.text });
                }
                Response::Status(status) if matches!(status.kind, StatusKind::Ok | StatusKind::Preauth) => {
                    self.learn_from(&status);
                    return Ok(status.kind == StatusKind::Preauth);
                }
                // What a tunnel says of itself.
                Response::Junk if self.settings.command.is_some() => {}
                _ => {
                    let seen = self.handle.line().shown();
                    return Err(ImapError::Protocol(format!("this is not the greeting of an IMAP server: {seen}")));
                }
            }
        }
    }

    /// The capabilities, asked for where the server did not tell them.
    fn capabilities(&mut self) -> Result<Caps, ImapError> {
        if let Some(caps) = &self.caps {
            return Ok(caps.clone());
        }
        let mut names = Vec::new();
        self.wire().run_ok(&Command::new("CAPABILITY"), &mut |response| {
            if let Response::Capability(found) = response {
                names.extend(found);
            }
        })?;
        self.learn(&names);
        Ok(self.caps.clone().unwrap_or_default())
    }

    /// Compresses the line now, or lets that be done later, or does neither.
    fn compress(&mut self, caps: &Caps) -> Result<(), ImapError> {
        if !caps.has("COMPRESS=DEFLATE") {
            return Ok(());
        }
        match self.settings.compress {
            Compress::On => return self.wire().compress(),
            Compress::Auto { nearby } => {
                let mut line = self.handle.line();
                line.compress = nearby || !line.transport.is_near();
            }
            Compress::Off => {}
        }
        Ok(())
    }

    /// STARTTLS (RFC 3501 section 6.2.1). What was known of the server before is forgotten.
    fn starttls(&mut self, stop: &Stop) -> Result<(), StoreError> {
        let caps = self.capabilities().map_err(|error| error.into_store(Reach::Account, "connect"))?;
        if !caps.has("STARTTLS") {
            let error = StoreError::new(Reach::Account, Kind::Tls, "protect the line", "the server has no STARTTLS");
            return Err(error.with_hint("use tls = \"implicit\" (port 993)"));
        }
        let result = self.wire().run_ok(&Command::new("STARTTLS"), &mut |_| {});
        result.map_err(|error| error.into_store(Reach::Account, "protect the line"))?;
        let settings = self.settings;
        let mut line = self.handle.line();
        let upgraded = line.transport.start_tls(&settings.tls);
        upgraded.map_err(|error| {
            let error = match error {
                NetError::Untrusted { .. } => error.showing_if(Start::shown_certificate(settings, stop)),
                error => error,
            };
            ImapError::Net(error).into_store(Reach::Account, "protect the line")
        })?;
        line.literals = Default::default();
        drop(line);
        self.caps = None;
        Ok(())
    }

    /// What the certificate says behind STARTTLS, over a line of its own.
    fn shown_certificate(settings: &ImapSettings, stop: &Stop) -> Result<String, NetError> {
        let broken = |_| NetError::Closed;
        let transport = settings.dial(stop)?;
        let mut start = Start { handle: Handle::new(Line::new(transport)), caps: None, settings };
        start.greeting().map_err(broken)?;
        start.wire().run_ok(&Command::new("STARTTLS"), &mut |_| {}).map_err(broken)?;
        start.handle.line().transport.shown_certificate(&settings.tls)
    }

    /// Tries the mechanisms that both sides allow, best first.
    fn try_mechanisms(
        &mut self,
        greeted: Greeted,
        known: &Known,
        along: Option<&(Mechanism, Vec<Command>)>,
    ) -> Result<(Session, Mechanism, Vec<Tag>), NotIn> {
        let caps = self.capabilities().map_err(|error| error.into_store(Reach::Account, LOG_IN))?;
        let end_point = self.handle.line().transport.end_point();
        let has = |name: &str| caps.has(name);
        let kerberos = cfg!(feature = "gssapi");
        let offer = Offer { has: &has, bindable: end_point.is_some(), kerberos };
        let settings = self.settings;
        let authzid = settings.authzid.as_deref();
        let wish = Wish { named: &settings.auth, token: settings.token, authzid: authzid.is_some() };
        let mechanisms = known.or_from(choose(&offer, &wish));
        let channel = self.channel(&caps, end_point);
        let (user, host, port) = (settings.user.as_deref(), settings.known_host(), settings.port);
        let (mut greeted, mut login, mut last) = (greeted, None, None);
        for mechanism in mechanisms {
            if mechanism.takes_secret() && login.is_none() {
                login = Some((settings.login)().map_err(|error| self.after(last.as_ref(), error))?);
            }
            let nobody = Login { user: String::new(), password: Secret::new("") };
            let login = login.as_ref().unwrap_or(&nobody);
            let who = Who { login, user, authzid, host, port, channel: &channel };
            let along = along.filter(|(by, _)| *by == mechanism).map_or(&[][..], |(_, commands)| commands);
            match greeted.login(&who, mechanism, caps.has("SASL-IR"), along) {
                Ok((session, done, sent)) => {
                    self.learn_after(&done);
                    return Ok((session, mechanism, sent));
                }
                Err(Failed { error, tried, greeted: Some(back), .. }) if is_about_mechanism(&error, tried) => {
                    if let (ImapError::Lacking { .. }, Some(log)) = (&error, &settings.wire_log) {
                        log(&format!("({} is passed over: {error})", mechanism.name()));
                    }
                    greeted = *back;
                    last = Some(error);
                }
                Err(Failed { error, tried, along, .. }) => {
                    // A password that was refused is not sent again: what came along can't be to blame for a NO.
                    let refused = matches!(error, ImapError::Refused { bad: false, .. });
                    let final_word = refused && !is_about_mechanism(&error, tried);
                    return Err(NotIn { error: login_error(error), along: along && !final_word });
                }
            }
        }
        Err(login_error(last.unwrap_or_else(|| ImapError::Auth(nothing_in_common(&caps, &settings.auth)))).into())
    }

    /// The failure to find a secret, with what made it necessary: that may be easier to help.
    fn after(&self, before: Option<&ImapError>, mut error: StoreError) -> StoreError {
        let (why, hint) = match before {
            // Where nobody uses it, nobody misses it.
            Some(ImapError::Lacking { used: false, .. }) if self.settings.auth.is_empty() => return error,
            Some(ImapError::Lacking { cause, hint, .. }) => (cause.clone(), Some(hint.clone())),
            Some(refused) => (refused.to_string(), None),
            None => return error,
        };
        if error.kind == Kind::Auth {
            error.cause = format!("{why}; then: {}", error.cause);
            error.hint = hint.or(error.hint);
        }
        error
    }

    /// What SCRAM is told of the line.
    fn channel(&self, caps: &Caps, end_point: Option<Vec<u8>>) -> Channel {
        let is_plus = |name: &str| name.starts_with("AUTH=SCRAM-") && name.ends_with("-PLUS");
        // What the user hides, the server has none the less.
        let hidden = self.settings.disable_capabilities.iter().any(|name| is_plus(&name.to_ascii_uppercase()));
        match end_point {
            Some(end_point) if caps.any(is_plus) => Channel::EndPoint(end_point),
            Some(_) if !hidden => Channel::Unoffered,
            _ => Channel::Unbound,
        }
    }

    /// Capabilities change with the login.
    fn learn_after(&mut self, done: &Done) {
        self.caps = None;
        for response in &done.untagged {
            if let Response::Capability(names) = response {
                self.learn(names);
            }
        }
        self.learn_from(&done.status);
    }
}

/// A NO to a login is about the login, whatever its code, unless the code says otherwise.
fn login_error(error: ImapError) -> StoreError {
    error.into_store(Reach::Account, LOG_IN)
}

fn nothing_in_common(caps: &Caps, named: &[String]) -> String {
    let offered: Vec<&str> = caps.mechanisms().collect();
    let offered = if offered.is_empty() { "none".to_owned() } else { offered.join(", ") };
    let named = if named.is_empty() { String::new() } else { format!(", `auth` names {}", named.join(", ")) };
    match caps.has("LOGINDISABLED") {
        true => format!(
            "the server takes no plain password on this line (LOGINDISABLED), and offers no other way to log in that the \
             settings allow: it has {offered}{named}"
        ),
        false => format!("the server offers no way to log in that the settings allow: it has {offered}{named}"),
    }
}
