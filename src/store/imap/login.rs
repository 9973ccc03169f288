//! From the first byte to the login: greeting, STARTTLS, capabilities, mechanisms.

use super::caps::Caps;
use super::error::ImapError;
use super::facade::{Handle, Ignore, Line};
use super::session::{Failed, Greeted, Mechanism, Session};
use super::token::{Code, Response, Status, StatusKind};
use super::wire::{Command, Wire};
use super::{Compress, ImapSettings};
use crate::mail::Login;
use crate::net::{NetError, Stop, TlsMode, trusts_bundle};
use crate::store::{Kind, Reach, StoreError};

/// A connection that has just been logged in.
pub struct LoggedIn {
    pub handle: Handle,
    pub session: Session,
    pub caps: Caps,
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

/// Logs in.
pub fn log_in(settings: &ImapSettings, arrival: Arrival) -> Result<LoggedIn, StoreError> {
    let Arrival { handle, caps, preauth } = arrival;
    let mut start = Start { handle, caps, settings };
    let greeted = Greeted::new(start.handle.clone());
    let session = match preauth {
        true => greeted.adopt().map_err(|error| error.into_store(Reach::Account, "log in"))?,
        false => {
            let login = (settings.login)()?;
            start.try_mechanisms(greeted, &login)?
        }
    };
    let caps = start.capabilities().map_err(|error| error.into_store(Reach::Account, "log in"))?;
    start.compress(&caps).map_err(|error| error.into_store(Reach::Account, "compress the line"))?;
    Ok(LoggedIn { handle: start.handle, session, caps })
}

impl Start<'_> {
    fn arrive(settings: &ImapSettings, stop: &Stop) -> Result<Arrival, StoreError> {
        let transport = settings.connect(stop)?;
        let mut start = Start { handle: Handle::new(Line::new(transport)), caps: None, settings };
        let preauth = start.greeting().map_err(|error| error.into_store(Reach::Account, "connect"))?;
        if preauth && settings.command.is_none() && settings.tls.mode != TlsMode::Implicit {
            let cause = "the server took us as logged in on a line that is not protected (PREAUTH)";
            return Err(StoreError::new(Reach::Account, Kind::Tls, "log in", cause));
        }
        if settings.command.is_none() && settings.tls.mode == TlsMode::StartTls {
            start.starttls(stop)?;
        }
        if !preauth {
            start.capabilities().map_err(|error| error.into_store(Reach::Account, "log in"))?;
        }
        Ok(Arrival { handle: start.handle, caps: start.caps, preauth })
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
                Response::Junk => {}
                _ => return Err(ImapError::Protocol("the server's greeting is not that of an IMAP server".to_owned())),
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

    /// Tries the mechanisms that both sides allow, in the order of the settings. Only a server that does not know
    /// what a mechanism is (BAD) is asked again with the next one.
    fn try_mechanisms(&mut self, greeted: Greeted, login: &Login) -> Result<Session, StoreError> {
        let caps = self.capabilities().map_err(|error| error.into_store(Reach::Account, "log in"))?;
        let mechanisms = mechanisms(&caps, &self.settings.auth);
        let mut greeted = greeted;
        let mut last = None;
        for mechanism in mechanisms {
            match greeted.login(login, mechanism) {
                Ok((session, done)) => {
                    self.caps = None;
                    for response in &done.untagged {
                        if let Response::Capability(names) = response {
                            self.learn(names);
                        }
                    }
                    self.learn_from(&done.status);
                    return Ok(session);
                }
                Err(Failed { error, greeted: Some(back) }) if is_bad(&error) => {
                    greeted = *back;
                    last = Some(error);
                }
                Err(Failed { error, .. }) => return Err(login_error(error)),
            }
        }
        match last {
            Some(error) => Err(login_error(error)),
            None => {
                let offered = match caps.has("LOGINDISABLED") {
                    true => "the server takes no password on this line (LOGINDISABLED)",
                    false => "the server offers no way to log in that the settings allow",
                };
                Err(ImapError::Auth(offered.to_owned()).into_store(Reach::Account, "log in"))
            }
        }
    }
}

fn is_bad(error: &ImapError) -> bool {
    matches!(error, ImapError::Refused { bad: true, .. })
}

/// A NO to a login is about the login, whatever its code, unless the code says otherwise.
fn login_error(error: ImapError) -> StoreError {
    error.into_store(Reach::Account, "log in")
}

fn mechanisms(caps: &Caps, allowed: &[String]) -> Vec<Mechanism> {
    let mut found = Vec::new();
    for name in allowed {
        let mechanism = match name.to_ascii_uppercase().as_str() {
            "PLAIN" if caps.has("AUTH=PLAIN") => Mechanism::Plain { initial: caps.has("SASL-IR") },
            "LOGIN" if !caps.has("LOGINDISABLED") => Mechanism::Login,
            _ => continue,
        };
        found.push(mechanism);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(caps: &str, allowed: &[&str]) -> Vec<Mechanism> {
        let names: Vec<String> = caps.split_whitespace().map(str::to_owned).collect();
        let allowed: Vec<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
        mechanisms(&Caps::new(&names, &[]), &allowed)
    }

    #[test]
    fn mechanisms_are_those_that_both_sides_allow() {
        let both = ["PLAIN", "LOGIN"];
        assert_eq!(tried("IMAP4REV1", &both), [Mechanism::Login]);
        assert_eq!(tried("AUTH=PLAIN LOGINDISABLED SASL-IR", &both), [Mechanism::Plain { initial: true }]);
        assert_eq!(tried("AUTH=PLAIN", &both), [Mechanism::Plain { initial: false }, Mechanism::Login]);
        assert_eq!(tried("AUTH=PLAIN", &["login"]), [Mechanism::Login]);
        assert_eq!(tried("LOGINDISABLED AUTH=CRAM-MD5", &both), []);
    }
}
