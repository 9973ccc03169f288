//! From a side of the config to a store's opener.

use super::args::Topic;
use super::log::Log;
use super::lookup::Lookup;
use crate::config::{self, Problem};
use crate::net::{ClientCertificate, Family, Pin, Proxy, Route, Stop, TlsMode, TlsSettings, TlsVersion};
use crate::store::Opener;
use crate::store::imap::{Compress, ImapOpener, ImapSettings};
use crate::store::maildir::{Bin, Layout, MaildirOpener, MaildirSettings};
use crate::store::traced::TracedOpener;
use std::sync::Arc;

/// How a tree of Maildirs is opened, without a bin.
pub fn maildir_settings(maildir: &config::Maildir) -> MaildirSettings {
    let layout = match maildir.layout {
        config::Layout::Nested => Layout::Nested,
        config::Layout::MaildirPlusPlus => Layout::MaildirPlusPlus,
        config::Layout::Flat { separator } => Layout::Flat(separator),
    };
    // Of the config's two, both are ASCII.
    let info_separator = if maildir.info_separator == '!' { b'!' } else { b':' };
    MaildirSettings { root: maildir.path.value.clone(), layout, info_separator, bin: None }
}

/// A tree of Maildirs, and the bin for what is deleted in it.
pub fn maildir(account: &str, maildir: &config::Maildir, bin: Option<Bin>, log: &Arc<Log>) -> Box<dyn Opener> {
    let settings = MaildirSettings { bin, ..maildir_settings(maildir) };
    log.line(Topic::Maildir, account, &format!("root {}, {}", settings.root.display(), settings.layout.describe()));
    let opener = Box::new(MaildirOpener::new(settings));
    match log.sink(Topic::Maildir, account) {
        Some(tell) => Box::new(TracedOpener::new(opener, tell)),
        None => opener,
    }
}

/// Judges what only the network layer can judge; what is wrong is a problem at its place.
pub fn check(account: &config::Account, problems: &mut Vec<Problem>) {
    for pin in account.servers().flat_map(|server| &server.pins) {
        if let Err(what) = Pin::parse(&pin.value) {
            problems.push(Problem::new(pin.at.clone(), what));
        }
    }
    for url in account.servers().filter_map(|server| server.proxy.as_ref()) {
        if let Err(what) = Proxy::parse(url.value.expose()) {
            problems.push(Problem::new(url.at.clone(), what));
        }
    }
}

/// A server; one that is `read_only` is never sent a command that changes anything on it.
pub fn imap(
    account: &str,
    imap: &config::Imap,
    read_only: bool,
    lookup: Arc<Lookup>,
    stop: &Stop,
    log: &Arc<Log>,
) -> Box<dyn Opener> {
    let mode = match imap.tls {
        config::Tls::Implicit => TlsMode::Implicit,
        config::Tls::StartTls => TlsMode::StartTls,
        config::Tls::None => TlsMode::None,
    };
    let tls = TlsSettings {
        mode,
        ca_file: imap.ca_file.as_ref().map(|path| path.value.clone()),
        // All of them are pins: `check` has seen them.
        pins: imap.pins.iter().filter_map(|pin| Pin::parse(&pin.value).ok()).collect(),
        server_name: imap.host.clone(),
        port: imap.port,
        min_version: match imap.tls_min_version {
            config::TlsVersion::V1_0 => TlsVersion::V1_0,
            config::TlsVersion::V1_1 => TlsVersion::V1_1,
            config::TlsVersion::V1_2 => TlsVersion::V1_2,
            config::TlsVersion::V1_3 => TlsVersion::V1_3,
        },
        client: imap.client.clone().map(|config::ClientCert { file, key, password }| ClientCertificate {
            file,
            key,
            password,
        }),
    };
    let route = Route {
        family: match imap.family {
            config::Family::Any => Family::Any,
            config::Family::V4 => Family::V4,
            config::Family::V6 => Family::V6,
        },
        // It is a proxy: `check` has seen it.
        proxy: imap.proxy.as_ref().and_then(|url| Proxy::parse(url.value.expose()).ok()),
    };
    // A tunnel without a host is called by its program.
    let tunnel = imap.command.as_ref().and_then(|command| command.first());
    let place = if imap.host.is_empty() { tunnel.unwrap_or(&imap.host) } else { &imap.host };
    let usual = ImapSettings::new(place, Arc::new(move || lookup.login()));
    let settings = ImapSettings {
        port: imap.port,
        tls,
        route,
        allow_plaintext: imap.allow_plaintext,
        command: imap.command.clone(),
        timeout: imap.timeout,
        disable_capabilities: imap.disable_capabilities.clone(),
        auth: imap.auth.clone(),
        user: imap.user.clone(),
        authzid: imap.authzid.clone(),
        token: matches!(imap.password, config::Password::Token(_) | config::Password::OAuth2(_)),
        send_id: imap.send_id,
        pipeline: imap.pipeline.unwrap_or(usual.pipeline),
        compress: match imap.compress {
            config::Compress::Auto => Compress::default(),
            config::Compress::On => Compress::On,
            config::Compress::Off => Compress::Off,
        },
        read_only,
        wire_log: log.sink(Topic::Imap, account),
        ..usual
    };
    Box::new(ImapOpener::new(settings, stop.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::imap::sasl::Mechanism;

    #[test]
    fn every_mechanism_of_the_config_is_there() {
        for name in config::MECHANISMS {
            assert_eq!(Mechanism::parse(name).map(Mechanism::name), Some(name));
        }
    }
}
