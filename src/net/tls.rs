//! TLS: which certificates are trusted, and how a refusal is explained.

use super::certificate::{Shown, public_key};
use super::connector::{Needs, Preparation, Trust, not_trusted};
use super::identity::ClientCertificate;
use super::{NetError, WANTS_CLIENT};
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

/// How the line is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// TLS from the first byte on.
    #[default]
    Implicit,
    /// STARTTLS (RFC 3501 section 6.2.1), before anything else is said.
    StartTls,
    /// Not at all.
    None,
}

/// What a fingerprint is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The whole certificate in DER.
    Certificate,
    /// Its public key (SubjectPublicKeyInfo in DER), which a new certificate may keep.
    Key,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Hash {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// Their names, and how many bytes they have.
const HASHES: [(&str, Hash, usize); 5] = [
    ("sha1", Hash::Sha1, 20),
    ("sha224", Hash::Sha224, 28),
    ("sha256", Hash::Sha256, 32),
    ("sha384", Hash::Sha384, 48),
    ("sha512", Hash::Sha512, 64),
];

impl Hash {
    fn of(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Hash::Sha1 => Sha1::digest(bytes).to_vec(),
            Hash::Sha224 => Sha224::digest(bytes).to_vec(),
            Hash::Sha256 => Sha256::digest(bytes).to_vec(),
            Hash::Sha384 => Sha384::digest(bytes).to_vec(),
            Hash::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }
}

/// The fingerprint of a certificate that is trusted, or of its key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pin {
    of: Subject,
    hash: Hash,
    digest: Vec<u8>,
}

impl Pin {
    /// Reads `sha256:HEX`, `spki-sha256:HEX` for a public key, the same with sha1, sha224, sha384 and sha512, or
    /// hexadecimal digits alone, of which the number tells; colons, blanks and case do not matter. The error says what
    /// is wrong.
    pub fn parse(text: &str) -> Result<Pin, String> {
        let lower = text.trim().to_ascii_lowercase();
        let known = "use sha256 or sha1, sha224, sha384, sha512; spki-sha256 and so on for a public key";
        let (kind, digits) = match lower.split_once(':') {
            Some((kind, _)) if !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                (None, lower.as_str())
            }
            Some((kind, digits)) => (Some(kind), digits),
            None => (None, lower.as_str()),
        };
        let (of, name) = match kind.map(|kind| (kind, kind.strip_prefix("spki-"))) {
            Some((_, Some(name))) => (Subject::Key, Some(name.replacen("sha-", "sha", 1))),
            Some((name, None)) => (Subject::Certificate, Some(name.replacen("sha-", "sha", 1))),
            None => (Subject::Certificate, None),
        };
        if let (Some(kind), Some(name)) = (kind, &name)
            && !HASHES.iter().any(|(known, ..)| name == known)
        {
            return Err(format!("pin {text:?}: {kind:?} is not known; {known}"));
        }
        let digits: Vec<u8> = digits.bytes().filter(|byte| !matches!(byte, b':' | b' ')).collect();
        let value = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
        let bytes: Option<Vec<u8>> =
            digits.chunks(2).map(|pair| Some(value(pair[0])? << 4 | value(*pair.get(1)?)?)).collect();
        let digest = bytes.ok_or_else(|| format!("pin {text:?}: these are not pairs of hexadecimal digits"))?;
        let fits = |(known, _, bytes): &&(&str, Hash, usize)| match &name {
            Some(name) => name == known,
            None => digest.len() == *bytes,
        };
        let count = digits.len();
        match HASHES.iter().find(fits) {
            Some((_, hash, length)) if digest.len() == *length => Ok(Pin { of, hash: *hash, digest }),
            Some((name, _, length)) => Err(format!("pin {text:?}: {name} has {} digits, not {count}", 2 * length)),
            None => Err(format!("pin {text:?}: sha256 has 64 digits and sha1 has 40, not {count}")),
        }
    }

    /// The pin that a certificate in DER needs, by SHA-256; `None` where its key can't be read.
    pub fn of(subject: Subject, der: &[u8]) -> Option<Pin> {
        let digest = Hash::Sha256.of(&subject.of(der)?);
        Some(Pin { of: subject, hash: Hash::Sha256, digest })
    }

    /// Whether this is the certificate's fingerprint, or its key's.
    pub fn fits(&self, der: &[u8]) -> bool {
        self.of.of(der).is_some_and(|bytes| self.hash.of(&bytes) == self.digest)
    }
}

impl Subject {
    fn of(self, der: &[u8]) -> Option<Cow<'_, [u8]>> {
        match self {
            Subject::Certificate => Some(Cow::Borrowed(der)),
            Subject::Key => public_key(der).map(Cow::Owned),
        }
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.of == Subject::Key {
            f.write_str("spki-")?;
        }
        let name = HASHES.iter().find(|(_, hash, _)| *hash == self.hash).map_or("", |(name, ..)| name);
        write!(f, "{name}:")?;
        self.digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The oldest version of TLS that will do. What the TLS library itself allows may be less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TlsVersion {
    V1_0,
    V1_1,
    /// RFC 5246; what is older is deprecated (RFC 8996).
    #[default]
    V1_2,
    /// RFC 8446.
    V1_3,
}

/// What a server's certificate is held against.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    pub mode: TlsMode,
    /// Only these CAs (PEM) are trusted, not the system's; a server's own self-signed certificate will do.
    pub ca_file: Option<PathBuf>,
    /// If there are any, the certificate must have one of these fingerprints. Without `ca_file` that is all that is
    /// checked; with it, both must hold.
    pub pins: Vec<Pin>,
    /// The name that the certificate must be for: the host.
    pub server_name: String,
    /// The host's port, for what is said; 0 where it is the usual one.
    pub port: u16,
    pub min_version: TlsVersion,
    /// What is shown to a server that asks who we are.
    pub client: Option<ClientCertificate>,
}

impl TlsSettings {
    /// Starts to build what checks the certificate, so that it is ready when the TCP connection is.
    pub(super) fn prepare(&self) -> Result<Preparation, NetError> {
        self.prepare_with(match &self.ca_file {
            Some(path) => Trust::file(path.clone()),
            None if self.pins.is_empty() => Trust::system(),
            None => Trust::Pins,
        })
    }

    /// The same for a look at a certificate that is not trusted.
    pub(super) fn prepare_to_look(&self) -> Result<Preparation, NetError> {
        self.prepare_with(Trust::Pins)
    }

    fn prepare_with(&self, trust: Trust) -> Result<Preparation, NetError> {
        Preparation::begin(Needs { trust, min_version: self.min_version, client: self.client.clone() })
    }

    /// Compares the certificate with the pins.
    pub(super) fn check_pins(&self, der: Option<&[u8]>) -> Result<(), NetError> {
        let Some(der) = der else {
            return match self.pins.is_empty() {
                true => Ok(()),
                false => Err(refused("the server showed no certificate to compare with pin", None)),
            };
        };
        if self.pins.is_empty() || self.pins.iter().any(|pin| pin.fits(der)) {
            return Ok(());
        }
        // Shown in the form of those that were expected.
        let subject =
            if self.pins.iter().all(|pin| pin.of == Subject::Key) { Subject::Key } else { Subject::Certificate };
        let seen = Pin::of(subject, der).map_or_else(|| "nothing that can be read".to_owned(), |pin| pin.to_string());
        let host = &self.server_name;
        let mut cause = format!("the certificate of {host} has none of the pinned fingerprints, but {seen}");
        if let Some(shown) = Shown::read(der) {
            cause += &format!(" (it is {shown})");
        }
        Err(refused(cause, Some(format!("if this is really your server: pin = [\"{seen}\"]"))))
    }

    /// Explains why the handshake failed.
    pub(super) fn explain(&self, error: &native_tls::Error) -> NetError {
        let reason = error.to_string();
        let host = &self.server_name;
        if reason.contains("certificate verify failed") {
            let why = reason.rsplit_once('(').map_or(reason.as_str(), |(_, why)| why.trim_end_matches(')'));
            not_trusted(why);
            let (kind, advice) = distrust(why);
            let cause = format!("the certificate of {host} is not trusted: {why}{kind}");
            return NetError::Untrusted { cause, hint: format!("{advice} pin it: {}", self.how_to_pin()) };
        }
        let is_io = std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>());
        if is_io || reason.to_ascii_lowercase().contains("unexpected eof") {
            return NetError::Handshake { cause: format!("TLS with {host} failed: {reason}") };
        }
        let asks = ["certificate required", "bad certificate", "certificate unknown", "unknown ca"];
        let hint = if reason.contains("wrong version number") {
            Some(match self.mode {
                TlsMode::StartTls => "the server broke off STARTTLS".to_owned(),
                _ => "this port does not speak TLS: try port 993, or tls = \"starttls\"".to_owned(),
            })
        } else if reason.contains("unsupported protocol") || reason.contains("protocol version") {
            Some("the server speaks no version of TLS that is allowed: see tls_min_version".to_owned())
        } else if asks.iter().any(|ask| reason.contains(ask)) {
            Some(match self.client {
                None => WANTS_CLIENT.to_owned(),
                Some(_) => "the server does not take client_cert: ask its administrator which one it takes".to_owned(),
            })
        } else {
            None
        };
        refused(format!("TLS with {host} failed: {}", bare(&reason)), hint)
    }

    fn how_to_pin(&self) -> String {
        let port = |usual| if self.port == 0 { usual } else { self.port };
        let to = match self.mode {
            TlsMode::StartTls => format!("{}:{} -starttls imap", self.server_name, port(143)),
            _ => format!("{}:{}", self.server_name, port(993)),
        };
        format!(
            "pin = [\"sha256:...\"], see \
             `openssl s_client -connect {to} </dev/null | openssl x509 -noout -fingerprint -sha256`"
        )
    }
}

/// What OpenSSL says without its numbers and the places in its source: `error:0A00010B:SSL routines:function:REASON:file`.
fn bare(reason: &str) -> &str {
    let Some((before, said)) = reason.split_once("error:") else { return reason };
    let words = said.split(':').nth(3).filter(|words| before.is_empty() && !words.is_empty());
    words.unwrap_or(reason)
}

/// What the library's words mean, where they don't say it plainly, and what can be done; that goes on with how to pin.
fn distrust(why: &str) -> (&'static str, &'static str) {
    let lower = why.to_ascii_lowercase();
    if lower.contains("mismatch") {
        (" (it is for another name)", "use a name that the certificate is for as host, or")
    } else if lower.contains("expired") {
        ("", "the server's administrator has to renew it; check the clock of this machine, or")
    } else if lower.contains("not yet valid") {
        ("", "check the clock of this machine, or")
    } else if lower.contains("revoked") {
        ("", "do not use this server before its administrator has replaced it; or, knowing that,")
    } else {
        (" (its authority is unknown)", "name the CA's certificate with ca_file, or")
    }
}

pub(super) fn refused(cause: impl Into<String>, hint: Option<String>) -> NetError {
    NetError::Tls { cause: cause.into(), hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_read_in_all_their_forms() {
        let sha1 = "0102030405060708090a0b0c0d0e0f1011121314";
        let sha256 = format!("{sha1}15161718191a1b1c1d1e1f20");
        let colons: Vec<String> =
            sha256.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).into()).collect();
        for text in [
            sha256.clone(),
            format!("SHA256:{}", sha256.to_uppercase()),
            colons.join(":"),
            format!("sha256:{}", colons.join(":")),
        ] {
            assert_eq!(Pin::parse(&text).map(|pin| pin.to_string()), Ok(format!("sha256:{sha256}")), "{text}");
        }
        for text in [sha1.to_owned(), format!("sha1:{sha1}")] {
            assert_eq!(Pin::parse(&text).map(|pin| pin.to_string()), Ok(format!("sha1:{sha1}")), "{text}");
        }
        for (name, digits) in [("sha224", 56), ("sha384", 96), ("sha512", 128)] {
            let hex = "a1".repeat(digits / 2);
            assert_eq!(Pin::parse(&hex).map(|pin| pin.to_string()), Ok(format!("{name}:{hex}")));
            let key = format!("spki-{name}:{hex}");
            assert_eq!(Pin::parse(&key.to_uppercase()).map(|pin| pin.to_string()), Ok(key));
        }
    }

    #[test]
    fn the_library_s_numbers_are_not_told() {
        let reason =
            "error:0A00042E:SSL routines:ssl3_read_bytes:tlsv1 alert protocol version:../ssl/x.c:1602:SSL alert 70";
        assert_eq!(bare(reason), "tlsv1 alert protocol version");
        for other in ["error:0A00042E", "the peer went away", "", "x error:a:b:c:d"] {
            assert_eq!(bare(other), other);
        }
    }

    #[test]
    fn what_is_no_pin_is_explained() {
        for (text, why) in [
            ("", "64 digits"),
            ("sha256:00", "64 digits, not 2"),
            ("sha1:00", "40 digits, not 2"),
            ("md5:00", "use sha256 or sha1"),
            ("spki-md5:00", "use sha256 or sha1"),
            ("spki-sha512:00", "128 digits, not 2"),
            ("0", "pairs"),
            ("sha1:0g", "pairs"),
            ("é", "pairs"),
        ] {
            let error = Pin::parse(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_pin_fits_its_certificate_alone() {
        let pin = Pin::of(Subject::Certificate, b"certificate").expect("a pin");
        assert!(pin.fits(b"certificate") && !pin.fits(b"another"));
        let sha1 = Pin::parse("sha1:7a3fd2bcdd3f7dd4c7f2e8f6b5bd1c4e6d9bf1e7").expect("a pin");
        assert!(!sha1.fits(b"certificate"));
        // What is no certificate has no key.
        assert!(Pin::of(Subject::Key, b"certificate").is_none());
    }
}
