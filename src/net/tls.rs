//! TLS: which certificates are trusted, and how a refusal is explained.

use super::NetError;
use super::connector::{Preparation, Trust, not_trusted};
use sha1::Sha1;
use sha2::{Digest, Sha256};
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

/// The fingerprint of a certificate that is trusted: of the whole certificate in DER.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Pin {
    Sha1([u8; 20]),
    Sha256([u8; 32]),
}

impl Pin {
    /// Reads `sha256:HEX`, `sha1:HEX`, or hexadecimal digits alone, of which the number tells; colons, blanks and
    /// case do not matter. The error says what is wrong.
    pub fn parse(text: &str) -> Result<Pin, String> {
        let lower = text.trim().to_ascii_lowercase();
        let (kind, digits) = match lower.split_once(':') {
            Some((kind @ ("sha256" | "sha1" | "sha-256" | "sha-1"), digits)) => (Some(kind.replace('-', "")), digits),
            Some((kind, _)) if !kind.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                return Err(format!("pin {text:?}: {kind:?} is not known; use sha256 or sha1"));
            }
            _ => (None, lower.as_str()),
        };
        let digits: Vec<u8> = digits.bytes().filter(|byte| !matches!(byte, b':' | b' ')).collect();
        let value = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
        let bytes: Option<Vec<u8>> =
            digits.chunks(2).map(|pair| Some(value(pair[0])? << 4 | value(*pair.get(1)?)?)).collect();
        let bytes = bytes.ok_or_else(|| format!("pin {text:?}: these are not pairs of hexadecimal digits"))?;
        match (kind.as_deref(), <[u8; 32]>::try_from(bytes.as_slice()), <[u8; 20]>::try_from(bytes.as_slice())) {
            (Some("sha256") | None, Ok(hash), _) => Ok(Pin::Sha256(hash)),
            (Some("sha1") | None, _, Ok(hash)) => Ok(Pin::Sha1(hash)),
            (Some("sha256"), ..) => Err(format!("pin {text:?}: sha256 has 64 digits, not {}", digits.len())),
            (Some(_), ..) => Err(format!("pin {text:?}: sha1 has 40 digits, not {}", digits.len())),
            (None, ..) => Err(format!("pin {text:?}: sha256 has 64 digits and sha1 has 40, not {}", digits.len())),
        }
    }

    /// The pin that a certificate in DER needs.
    pub fn of(der: &[u8]) -> Pin {
        Pin::Sha256(Sha256::digest(der).into())
    }

    /// Whether this is the certificate's fingerprint.
    pub fn fits(&self, der: &[u8]) -> bool {
        match self {
            Pin::Sha1(hash) => hash.as_slice() == Sha1::digest(der).as_slice(),
            Pin::Sha256(hash) => hash.as_slice() == Sha256::digest(der).as_slice(),
        }
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, bytes) = match self {
            Pin::Sha1(hash) => ("sha1", hash.as_slice()),
            Pin::Sha256(hash) => ("sha256", hash.as_slice()),
        };
        write!(f, "{name}:")?;
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
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
}

impl TlsSettings {
    /// Starts to build what checks the certificate, so that it is ready when the TCP connection is.
    pub(super) fn prepare(&self) -> Result<Preparation, NetError> {
        Preparation::begin(match &self.ca_file {
            Some(path) => Trust::file(path.clone()),
            None if self.pins.is_empty() => Trust::system(),
            None => Trust::Pins,
        })
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
        let seen = Pin::of(der);
        let cause = format!("the certificate of {} has none of the pinned fingerprints, but {seen}", self.server_name);
        Err(refused(cause, Some(format!("if this is really your server: pin = [\"{seen}\"]"))))
    }

    /// Explains why the handshake failed.
    pub(super) fn explain(&self, error: &native_tls::Error) -> NetError {
        let reason = error.to_string();
        let host = &self.server_name;
        if reason.contains("certificate verify failed") {
            let why = reason.rsplit_once('(').map_or(reason.as_str(), |(_, why)| why.trim_end_matches(')'));
            not_trusted(why);
            let hint = match why.to_ascii_lowercase().contains("mismatch") {
                true => format!("use the name that the certificate is for as host, or pin it: {}", self.how_to_pin()),
                false => format!("name the CA's certificate with ca_file, or pin the server's: {}", self.how_to_pin()),
            };
            return refused(format!("the certificate of {host} is not trusted: {why}"), Some(hint));
        }
        let hint = reason.contains("wrong version number").then(|| match self.mode {
            TlsMode::StartTls => "the server broke off STARTTLS".to_owned(),
            _ => "this port does not speak TLS: try port 993, or tls = \"starttls\"".to_owned(),
        });
        refused(format!("TLS with {host} failed: {reason}"), hint)
    }

    fn how_to_pin(&self) -> String {
        let to = match self.mode {
            TlsMode::StartTls => format!("{}:143 -starttls imap", self.server_name),
            _ => format!("{}:993", self.server_name),
        };
        format!(
            "pin = [\"sha256:...\"], see \
             `openssl s_client -connect {to} </dev/null | openssl x509 -noout -fingerprint -sha256`"
        )
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
    }

    #[test]
    fn what_is_no_pin_is_explained() {
        for (text, why) in [
            ("", "64 digits"),
            ("sha256:00", "64 digits, not 2"),
            ("sha1:00", "40 digits, not 2"),
            ("md5:00", "use sha256 or sha1"),
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
        let pin = Pin::of(b"certificate");
        assert!(pin.fits(b"certificate") && !pin.fits(b"another"));
        let sha1 = Pin::Sha1(Sha1::digest(b"certificate").into());
        assert!(sha1.fits(b"certificate") && !sha1.fits(b"another"));
    }
}
