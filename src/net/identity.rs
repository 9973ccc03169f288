//! Who we are to a server that asks for a certificate: PEM of any kind, or PKCS#12 (RFC 7292).

use super::NetError;
use super::tls::refused;
use crate::mail::Secret;
use native_tls::Identity;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use x509_cert::der::asn1::{AnyRef, ContextSpecific, ObjectIdentifier};
use x509_cert::der::pem::{LineEnding, decode_vec, encode_string};
use x509_cert::der::{Decode, Reader, SliceReader, TagNumber};

/// A certificate of ours, and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and what leads from it to an authority, in PEM; or all of it and the key in PKCS#12.
    pub file: PathBuf,
    /// The key in PEM; in `file` where there is none.
    pub key: Option<PathBuf>,
    /// What a PKCS#12 file or a key is encrypted with.
    pub password: Option<Secret>,
}

/// The kinds of keys, by what their PEM is labelled with (RFC 7468; the older two are OpenSSL's).
const PKCS8: &str = "PRIVATE KEY";
const PKCS1: &str = "RSA PRIVATE KEY";
const SEC1: &str = "EC PRIVATE KEY";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// Tags of DER (X.690 section 8).
const INTEGER: u8 = 2;
const OCTETS: u8 = 4;
const OID: u8 = 6;
const SEQUENCE: u8 = 0x30;

/// rsaEncryption (RFC 8017) with its NULL, and id-ecPublicKey (RFC 5480).
const RSA: [u8; 15] = [0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
const EC: [u8; 9] = [6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];

impl ClientCertificate {
    /// When its files were changed.
    pub(super) fn changed(&self) -> [Option<SystemTime>; 2] {
        let changed = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
        [changed(&self.file), self.key.as_deref().and_then(changed)]
    }

    /// Reads both, as the TLS library wants them.
    pub(super) fn load(&self) -> Result<Identity, NetError> {
        let file = read("client_cert", &self.file)?;
        if !contains(&file, b"-----BEGIN ") {
            let password = self.password.as_ref().map_or("", Secret::expose);
            return Identity::from_pkcs12(&file, password).map_err(|error| {
                let hint = "it must be PEM, or PKCS#12 with client_cert_password; see `openssl pkcs12 -info -in FILE`";
                unusable("client_cert", &self.file, &error.to_string(), hint)
            });
        }
        let (name, path) = match &self.key {
            Some(path) => ("client_key", path),
            None => ("client_cert", &self.file),
        };
        let pem = if self.key.is_some() { read(name, path)? } else { file.clone() };
        let key =
            private_key(&pem, self.password.as_ref()).map_err(|(cause, hint)| unusable(name, path, cause, hint))?;
        Identity::from_pkcs8(&file, key.expose().as_bytes()).map_err(|error| {
            let hint = "the certificate comes first, in PEM, and client_key is its key";
            unusable("client_cert", &self.file, &error.to_string(), hint)
        })
    }
}

fn read(name: &str, path: &Path) -> Result<Vec<u8>, NetError> {
    fs::read(path).map_err(|error| refused(format!("{name} {}: {error}", path.display()), None))
}

fn unusable(name: &str, path: &Path, cause: &str, hint: &str) -> NetError {
    refused(format!("{name} {}: {cause}", path.display()), Some(hint.to_owned()))
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    memchr::memmem::find(bytes, what).is_some()
}

/// Why there is no key, and what to do.
type Trouble = (&'static str, &'static str);

/// The first private key in a PEM file, as PKCS#8 (RFC 5958) in PEM.
fn private_key(pem: &[u8], password: Option<&Secret>) -> Result<Secret, Trouble> {
    let text = String::from_utf8_lossy(pem);
    for label in [PKCS8, PKCS1, SEC1, ENCRYPTED] {
        let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
        let Some(start) = text.find(&begin) else { continue };
        let Some(length) = text[start..].find(&end) else { return Err(("its key has no end", "copy it anew")) };
        let block = &text[start..start + length + end.len()];
        if block.contains("ENCRYPTED") {
            let Some(password) = password else {
                return Err(("its key is encrypted", "say with what: client_cert_password"));
            };
            return decrypted(block.as_bytes(), password);
        }
        if label == PKCS8 {
            return Ok(Secret::new(block));
        }
        let broken =
            ("its key can't be read", "convert it: openssl pkcs8 -topk8 -nocrypt -in KEY -out FILE (mode 600)");
        let (_, der) = decode_vec(block.as_bytes()).map_err(|_| broken)?;
        let wrapped = if label == PKCS1 { Some(pkcs8(&RSA, &der)) } else { curve(&der).map(|of| pkcs8(&of, &der)) };
        let pem = encode_string(PKCS8, LineEnding::LF, &wrapped.ok_or(broken)?).map_err(|_| broken)?;
        return Ok(Secret::new(pem));
    }
    Err(("there is no private key in it", "name the key's file with client_key"))
}

/// An encrypted key in PEM, by the library that native-tls uses here.
#[cfg(not(any(target_os = "macos", target_os = "ios", windows)))]
fn decrypted(pem: &[u8], password: &Secret) -> Result<Secret, Trouble> {
    use openssl::pkey::PKey;
    let wrong = ("its key can't be decrypted", "check client_cert_password");
    let key = PKey::private_key_from_pem_passphrase(pem, password.expose().as_bytes()).map_err(|_| wrong)?;
    let plain = key.private_key_to_pem_pkcs8().ok().and_then(|pem| String::from_utf8(pem).ok());
    plain.map(Secret::new).ok_or(wrong)
}

#[cfg(any(target_os = "macos", target_os = "ios", windows))]
fn decrypted(_: &[u8], _: &Secret) -> Result<Secret, Trouble> {
    Err(("its key is encrypted", "decrypt it: openssl pkcs8 -topk8 -nocrypt -in KEY -out FILE (mode 600)"))
}

/// What kind of key an ECPrivateKey (RFC 5915) is: its parameters name the curve.
fn curve(der: &[u8]) -> Option<Vec<u8>> {
    let mut reader = SliceReader::new(der).ok()?;
    let parameters = reader.sequence(|inner| -> Result<_, x509_cert::der::Error> {
        let _version = u8::decode(inner)?;
        let _key = AnyRef::decode(inner)?;
        let named = ContextSpecific::<ObjectIdentifier>::decode_explicit(inner, TagNumber(0))?;
        let rest = inner.remaining_len();
        inner.read_slice(rest)?;
        Ok(named)
    });
    let oid = parameters.ok()??.value;
    Some(tlv(SEQUENCE, &[&EC[..], &tlv(OID, oid.as_bytes())].concat()))
}

/// PrivateKeyInfo around a key.
fn pkcs8(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let version = tlv(INTEGER, &[0]);
    tlv(SEQUENCE, &[&version[..], algorithm, &tlv(OCTETS, key)].concat())
}

/// A value in DER, at most 64 KB.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match length {
        0..=127 => vec![tag, length as u8],
        128..=255 => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [&head[..], content].concat()
}
