//! What the TLS library trusts: loaded once per process, on a thread beside the TCP connection, and only for TLS.
//!
//! The system's authorities come from its certificate directories, one by one and when they are needed, where these are
//! hashed (`openssl rehash`). To load the bundle that holds all of them costs more than a whole run without changes.

use super::NetError;
use super::identity::ClientCertificate;
use super::tls::{TlsVersion, refused};
use crate::environment;
use native_tls::{Certificate, Protocol, TlsConnector, TlsConnectorBuilder};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

/// Whether a certificate was refused for want of an authority that the directories do not have.
static WANTS_BUNDLE: AtomicBool = AtomicBool::new(false);

/// Few: most accounts depend on the same.
static CONNECTORS: Mutex<Vec<(Key, TlsConnector)>> = Mutex::new(Vec::new());

/// The file that holds all authorities, if there is one, where the library was told to use the directories alone.
static BUNDLE: OnceLock<Option<PathBuf>> = OnceLock::new();

/// Whether the system's bundle of authorities counts beside its directories, because these did not know the authority
/// of a server. Where this has become true while a connection failed, another try may succeed.
pub fn trusts_bundle() -> bool {
    WANTS_BUNDLE.load(Ordering::Relaxed)
}

/// Has the TLS library look the system's authorities up where they are in hashed directories. The environment is all that
/// it goes by.
///
/// # Safety
///
/// No other thread may be running: the environment is changed.
pub unsafe fn look_authorities_up() {
    let directories = hashed_directories();
    let bundle = openssl_probe::probe().cert_file;
    let Ok(joined) = env::join_paths(&directories) else { return };
    // SAFETY: the caller promises that there is no other thread.
    let told = || unsafe { environment::set(&[("SSL_CERT_FILE", "/dev/null".into()), ("SSL_CERT_DIR", joined)]) };
    if !directories.is_empty() && told() {
        // Nobody else sets it: the environment is set once.
        drop(BUNDLE.set(bundle));
    }
}

/// Takes note of a certificate that was not trusted, and why.
pub(super) fn not_trusted(why: &str) {
    let unknown =
        ["unable to get local issuer certificate", "unable to get issuer certificate", "self-signed", "self signed"];
    if BUNDLE.get().is_some() && unknown.iter().any(|reason| why.contains(reason)) {
        WANTS_BUNDLE.store(true, Ordering::Relaxed);
    }
}

/// What a connector depends on.
pub(super) struct Needs {
    pub(super) trust: Trust,
    pub(super) min_version: TlsVersion,
    pub(super) client: Option<ClientCertificate>,
}

/// The same, to find it again: the client's certificate by its files, as they were at these times.
type Key = (Trust, TlsVersion, Option<(ClientCertificate, [Option<SystemTime>; 2])>);

impl Needs {
    fn key(&self) -> Key {
        let client = self.client.as_ref().map(|client| (client.clone(), client.changed()));
        (self.trust.clone(), self.min_version, client)
    }
}

/// Whom a connector trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// The system's hashed directories alone.
    Directories,
    /// All that the system has.
    System,
    /// As it was at this time.
    File(PathBuf, Option<SystemTime>),
    /// The pins alone decide.
    Pins,
}

impl Trust {
    pub(super) fn system() -> Trust {
        match BUNDLE.get() {
            Some(_) if !trusts_bundle() => Trust::Directories,
            _ => Trust::System,
        }
    }

    pub(super) fn file(path: PathBuf) -> Trust {
        let changed = fs::metadata(&path).and_then(|found| found.modified()).ok();
        Trust::File(path, changed)
    }
}

/// Where the system keeps its authorities by the hash of their names. None where `SSL_CERT_FILE` names a bundle, unless
/// that is the system's own.
fn hashed_directories() -> Vec<PathBuf> {
    let directories = all_hashed_directories();
    match env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty()) {
        Some(file) if !is_of(Path::new(&file), &directories) => Vec::new(),
        _ => directories,
    }
}

/// Whether a bundle holds what one of these directories does: it stands in it, and is large. The library trusts the
/// directory beside the bundle in any case, and a server whose authority only the bundle has is tried again with that.
fn is_of(bundle: &Path, directories: &[PathBuf]) -> bool {
    const LARGE: u64 = 64 << 10;
    let is_in = |directory: &PathBuf| bundle.parent() == Some(directory);
    directories.iter().any(is_in) && fs::metadata(bundle).is_ok_and(|found| found.len() >= LARGE)
}

fn all_hashed_directories() -> Vec<PathBuf> {
    let chosen = env::var_os("SSL_CERT_DIR").unwrap_or_default();
    let chosen: Vec<PathBuf> = env::split_paths(&chosen).filter(|path| !path.as_os_str().is_empty()).collect();
    let usual = openssl_probe::candidate_cert_dirs().map(Path::to_path_buf);
    chosen.into_iter().chain(usual).filter(|directory| is_hashed(directory)).collect()
}

fn is_hashed(directory: &Path) -> bool {
    // What can't be listed is not hashed, as far as can be known.
    let Ok(entries) = fs::read_dir(directory) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_str().is_some_and(is_hash_name))
}

/// Eight hexadecimal digits, a dot, a number.
fn is_hash_name(name: &str) -> bool {
    name.split_once('.').is_some_and(|(hash, number)| {
        hash.len() == 8
            && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
            && !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// A connector in the making.
pub(super) struct Preparation(JoinHandle<Result<TlsConnector, NetError>>);

impl Preparation {
    pub(super) fn begin(needs: Needs) -> Result<Preparation, NetError> {
        let build = move || connector(&needs);
        thread::Builder::new().name("tls".into()).spawn(build).map(Preparation).map_err(NetError::Io)
    }

    pub(super) fn finish(self) -> Result<TlsConnector, NetError> {
        self.0.join().map_err(|_| refused("the TLS library failed", None))?
    }
}

/// Builds a connector, or takes the one that this process built before.
fn connector(needs: &Needs) -> Result<TlsConnector, NetError> {
    // Held while building: who needs the same one waits for it rather than build another.
    let mut cache = CONNECTORS.lock().unwrap_or_else(PoisonError::into_inner);
    let key = needs.key();
    if let Some((_, connector)) = cache.iter().find(|(made, _)| *made == key) {
        return Ok(connector.clone());
    }
    let mut builder = TlsConnector::builder();
    builder.min_protocol_version(Some(match needs.min_version {
        TlsVersion::V1_0 => Protocol::Tlsv10,
        TlsVersion::V1_1 => Protocol::Tlsv11,
        TlsVersion::V1_2 => Protocol::Tlsv12,
        TlsVersion::V1_3 => Protocol::Tlsv13,
    }));
    if let Some(client) = &needs.client {
        builder.identity(client.load()?);
    }
    match &needs.trust {
        Trust::Directories => {}
        Trust::System => add_bundle(&mut builder),
        Trust::File(path, _) => {
            builder.disable_built_in_roots(true);
            for certificate in read_certificates(path)? {
                builder.add_root_certificate(certificate);
            }
        }
        Trust::Pins => {
            builder.disable_built_in_roots(true);
            builder.danger_accept_invalid_certs(true);
            builder.danger_accept_invalid_hostnames(true);
        }
    }
    let connector = builder.build().map_err(|error| refused(format!("TLS can't be set up: {error}"), None))?;
    cache.push((key, connector.clone()));
    Ok(connector)
}

/// Adds what the library was told not to read by itself. A file that can't be used leaves the directories.
fn add_bundle(builder: &mut TlsConnectorBuilder) {
    let bundle = BUNDLE.get().and_then(Option::as_deref);
    for certificate in bundle.and_then(|path| read_certificates(path).ok()).into_iter().flatten() {
        builder.add_root_certificate(certificate);
    }
}

fn read_certificates(path: &Path) -> Result<Vec<Certificate>, NetError> {
    let failed = |cause: String| {
        let hint = "ca_file must hold one or more certificates in PEM form".to_owned();
        refused(format!("ca_file {}: {cause}", path.display()), Some(hint))
    };
    let pem = fs::read(path).map_err(|error| failed(error.to_string()))?;
    match Certificate::stack_from_pem(&pem) {
        Ok(certificates) if certificates.is_empty() => Err(failed("no certificate in it".into())),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(failed(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hashed_directory_is_known_by_a_name_in_it() {
        assert!(is_hash_name("002c0b4f.0") && is_hash_name("ABCDEF01.12"));
        for name in ["ca-certificates.crt", "002c0b4f.pem", "002c0b4f.", "02c0b4f.0", "002c0b4g.0", "002c0b4f.r0"] {
            assert!(!is_hash_name(name), "{name}");
        }
        let directory = tempfile::tempdir().expect("a directory");
        assert!(!is_hashed(directory.path()) && !is_hashed(Path::new("/nonexistent")));
        fs::write(directory.path().join("002c0b4f.0"), "").expect("write");
        assert!(is_hashed(directory.path()));
    }

    #[test]
    fn a_large_bundle_in_a_hashed_directory_is_the_systems() {
        let directory = tempfile::tempdir().expect("a directory");
        let (bundle, own) = (directory.path().join("all.crt"), directory.path().join("own.pem"));
        fs::write(&bundle, [b'x'; 100_000]).expect("written");
        fs::write(&own, [b'x'; 2_000]).expect("written");
        let directories = [directory.path().to_path_buf()];
        assert!(is_of(&bundle, &directories));
        assert!(!is_of(&own, &directories) && !is_of(&bundle, &[]));
        assert!(!is_of(&directory.path().join("missing"), &directories));
    }
}
