//! What a certificate says of itself (X.509, RFC 5280): told where it is not trusted. Nothing of it is believed.

use super::tls::{Pin, Subject};
use std::fmt;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

/// So many names are told; some certificates are for hundreds.
const NAMES: usize = 5;
/// No name is told at greater length, in characters.
const LENGTH: usize = 80;

/// A server's certificate as it is told to people.
pub(super) struct Shown {
    names: Vec<String>,
    issuer: String,
    /// Signed by itself, as far as the names tell.
    own: bool,
    begins: String,
    ends: String,
    pin: Pin,
}

impl Shown {
    /// Reads a certificate in DER; `None` where that is not possible.
    pub(super) fn read(der: &[u8]) -> Option<Shown> {
        let certificate = Certificate::from_der(der).ok()?;
        let content = certificate.tbs_certificate();
        let alternatives = content.get_extension::<SubjectAltName>().ok().flatten();
        let mut names: Vec<String> = alternatives.iter().flat_map(|(_, names)| &names.0).filter_map(name).collect();
        if names.is_empty() {
            names.push(content.subject().to_string());
        }
        let valid = content.validity();
        Some(Shown {
            names: names.iter().map(|name| plain(name)).collect(),
            issuer: plain(&content.issuer().to_string()),
            own: content.issuer() == content.subject(),
            begins: day(&valid.not_before),
            ends: day(&valid.not_after),
            pin: Pin::of(Subject::Certificate, der)?,
        })
    }
}

/// The public key of a certificate in DER (SubjectPublicKeyInfo), itself in DER.
pub(super) fn public_key(der: &[u8]) -> Option<Vec<u8>> {
    Certificate::from_der(der).ok()?.tbs_certificate().subject_public_key_info().to_der().ok()
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self.names.iter().take(NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = match self.names.len().saturating_sub(NAMES) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let by = if self.own { "itself" } else { self.issuer.as_str() };
        write!(f, "for {told}{more}, signed by {by}, valid from {} to {}, {}", self.begins, self.ends, self.pin)
    }
}

/// A name that a host may go by.
fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
        GeneralName::IpAddress(bytes) => match bytes.as_bytes() {
            four @ [_, _, _, _] => {
                <[u8; 4]>::try_from(four).ok().map(|four| std::net::Ipv4Addr::from(four).to_string())
            }
            bytes => <[u8; 16]>::try_from(bytes).ok().map(|six| std::net::Ipv6Addr::from(six).to_string()),
        },
        _ => None,
    }
}

/// A server's words, made fit for a message.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(LENGTH).collect()
}

fn day(time: &Time) -> String {
    let date = time.to_date_time();
    format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day())
}
