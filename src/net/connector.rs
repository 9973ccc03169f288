//! What the TLS library trusts: loaded once per process, on a thread beside the TCP connection, and only for TLS.
//!
//! The system's authorities come from its certificate directories, one by one and when they are needed, where these are
//! hashed (`openssl rehash`). To load the bundle that holds all of them costs more than a whole run without changes.

use super::NetError;
use super::tls::refused;
use openssl::error::ErrorStack;
use openssl::ssl::{HandshakeError, Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions};
use openssl::ssl::{SslStream, SslVerifyMode, SslVersion};
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::X509CheckFlags;
use openssl::x509::{X509, X509VerifyResult};
use std::collections::HashMap;
use std::env;
use std::fs;
use std::net::{IpAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

/// What no server that can be trusted is asked to use: as the crate `openssl` has it for its own connectors.
const CIPHERS: &str = "DEFAULT:!aNULL:!eNULL:!MD5:!3DES:!DES:!RC4:!IDEA:!SEED:!aDSS:!SRP:!PSK";

/// Whether a certificate was refused for want of an authority that the directories do not have.
static WANTS_BUNDLE: AtomicBool = AtomicBool::new(false);

static CONNECTORS: Mutex<Option<HashMap<Trust, Connector>>> = Mutex::new(None);

/// Whether the system's bundle of authorities counts beside its directories, because these did not know the authority
/// of a server. Where this has become true while a connection failed, another try may succeed.
pub fn trusts_bundle() -> bool {
    WANTS_BUNDLE.load(Ordering::Relaxed)
}

/// What a connector depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Trust {
    /// These hashed directories alone.
    Directories(Vec<PathBuf>),
    /// All that the system has.
    System,
    /// As it was at this time.
    File(PathBuf, Option<SystemTime>),
    /// The pins alone decide.
    Pins,
}

impl Trust {
    pub(super) fn system() -> Trust {
        match hashed_directories() {
            directories if directories.is_empty() || trusts_bundle() => Trust::System,
            directories => Trust::Directories(directories),
        }
    }

    pub(super) fn file(path: PathBuf) -> Trust {
        let changed = fs::metadata(&path).and_then(|found| found.modified()).ok();
        Trust::File(path, changed)
    }
}

/// Where the system keeps its authorities by the hash of their names. None where `SSL_CERT_FILE` names a bundle.
fn hashed_directories() -> Vec<PathBuf> {
    if env::var_os("SSL_CERT_FILE").is_some_and(|file| !file.is_empty()) {
        return Vec::new();
    }
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

/// Makes TLS connections that are trusted in one way.
#[derive(Clone)]
pub(super) struct Connector {
    context: SslContext,
    trust: Trust,
}

/// A connector in the making.
pub(super) struct Preparation(JoinHandle<Result<Connector, NetError>>);

impl Preparation {
    pub(super) fn begin(trust: Trust) -> Result<Preparation, NetError> {
        let build = move || Connector::get(trust);
        thread::Builder::new().name("tls".into()).spawn(build).map(Preparation).map_err(NetError::Io)
    }

    pub(super) fn finish(self) -> Result<Connector, NetError> {
        self.0.join().map_err(|_| refused("the TLS library failed", None))?
    }
}

impl Connector {
    /// Builds a connector, or takes the one that this process built before.
    fn get(trust: Trust) -> Result<Connector, NetError> {
        // Held while building: who needs the same one waits for it rather than build another.
        let mut cache = CONNECTORS.lock().unwrap_or_else(PoisonError::into_inner);
        let cache = cache.get_or_insert_default();
        if let Some(connector) = cache.get(&trust) {
            return Ok(connector.clone());
        }
        let authorities = match &trust {
            Trust::File(path, _) => read_certificates(path)?,
            _ => Vec::new(),
        };
        let context = context(&trust, authorities);
        let context = context.map_err(|error| refused(format!("TLS can't be set up: {error}"), None))?;
        let connector = Connector { context, trust: trust.clone() };
        cache.insert(trust, connector.clone());
        Ok(connector)
    }

    /// Begins the handshake on a non-blocking socket. The certificate must be for `name`, a host name or an address,
    /// unless pins decide.
    pub(super) fn connect(
        &self,
        name: &str,
        stream: TcpStream,
    ) -> Result<SslStream<TcpStream>, HandshakeError<TcpStream>> {
        self.session(name).map_err(HandshakeError::SetupFailure)?.connect(stream)
    }

    fn session(&self, name: &str) -> Result<Ssl, ErrorStack> {
        let mut session = Ssl::new(&self.context)?;
        let address = name.parse::<IpAddr>();
        // Server name indication knows no addresses (RFC 6066 section 3).
        if address.is_err() {
            session.set_hostname(name)?;
        }
        if self.trust != Trust::Pins {
            let check = session.param_mut();
            check.set_hostflags(X509CheckFlags::NO_PARTIAL_WILDCARDS);
            match address {
                Ok(address) => check.set_ip(address)?,
                Err(_) => check.set_host(name)?,
            }
        }
        Ok(session)
    }

    /// Takes note of a certificate that was not trusted, and why.
    pub(super) fn refused(&self, verdict: X509VerifyResult) {
        // X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, DEPTH_ZERO_SELF_SIGNED_CERT, SELF_SIGNED_CERT_IN_CHAIN,
        // UNABLE_TO_GET_ISSUER_CERT_LOCALLY, UNABLE_TO_VERIFY_LEAF_SIGNATURE.
        let unknown = [2, 18, 19, 20, 21].contains(&verdict.as_raw());
        if unknown && matches!(self.trust, Trust::Directories(_)) {
            WANTS_BUNDLE.store(true, Ordering::Relaxed);
        }
    }
}

fn context(trust: &Trust, authorities: Vec<X509>) -> Result<SslContext, ErrorStack> {
    let mut context = SslContextBuilder::new(SslMethod::tls_client())?;
    let workarounds = SslOptions::ALL & !SslOptions::DONT_INSERT_EMPTY_FRAGMENTS;
    context.set_options(workarounds | SslOptions::NO_COMPRESSION);
    context.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    context.set_cipher_list(CIPHERS)?;
    // A write that could not go on is repeated with the same bytes, which may have been moved meanwhile.
    let moving = SslMode::ACCEPT_MOVING_WRITE_BUFFER | SslMode::ENABLE_PARTIAL_WRITE;
    context.set_mode(SslMode::AUTO_RETRY | SslMode::RELEASE_BUFFERS | moving);
    context.set_verify(SslVerifyMode::PEER);
    match trust {
        Trust::Directories(directories) => {
            for directory in directories {
                context.load_verify_locations(None, Some(directory))?;
            }
        }
        Trust::System => {
            context.set_default_verify_paths()?;
            let found = openssl_probe::probe();
            // One of them that can't be used hinders none of the others; without any, no certificate is trusted.
            if let Some(file) = &found.cert_file {
                drop(context.load_verify_locations(Some(file), None));
            }
            for directory in &found.cert_dir {
                drop(context.load_verify_locations(None, Some(directory)));
            }
        }
        Trust::File(..) => {
            let mut store = X509StoreBuilder::new()?;
            for authority in authorities {
                store.add_cert(authority)?;
            }
            context.set_cert_store(store.build());
        }
        Trust::Pins => context.set_verify(SslVerifyMode::NONE),
    }
    Ok(context.build())
}

fn read_certificates(path: &Path) -> Result<Vec<X509>, NetError> {
    let failed = |cause: String| {
        let hint = "ca_file must hold one or more certificates in PEM form".to_owned();
        refused(format!("ca_file {}: {cause}", path.display()), Some(hint))
    };
    let pem = fs::read(path).map_err(|error| failed(error.to_string()))?;
    match X509::stack_from_pem(&pem) {
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
}
