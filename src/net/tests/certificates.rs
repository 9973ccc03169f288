//! Certificates of the server's that are not trusted, pins in all their forms, and certificates of ours.

use super::*;
use std::process::{Child, Stdio};

/// A certificate that was valid in January 2020 only.
fn expired() -> Certificate {
    let certificate = Certificate::new();
    let dir = certificate.dir.path();
    std::fs::write(dir.join("index"), "").expect("written");
    let config = "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nnew_certs_dir=.\nrand_serial=yes\npolicy=p\ncopy_extensions=copy\n\
                  [p]\ncommonName=supplied\n";
    std::fs::write(dir.join("ca.conf"), config).expect("written");
    openssl(dir, "req -new -key key.pem -out request.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost");
    let dates = "-startdate 20200101000000Z -enddate 20200201000000Z";
    openssl(
        dir,
        &format!(
            "ca -batch -notext -md sha256 -config ca.conf -selfsign -keyfile key.pem -in request.pem -out cert.pem {dates}"
        ),
    );
    let identity = std::fs::read(dir.join("cert.pem")).expect("a file");
    Certificate { identity, ..certificate }
}

/// Why a certificate is not trusted is said, and what it is.
#[test]
fn what_is_not_trusted_is_shown() {
    let certificate = Certificate::new();
    let seen = certificate.fingerprint("-sha256");
    let shown = |cause: &str, is: &str| {
        assert!(cause.contains(&format!("it is for localhost, signed by {is}")), "{cause}");
        assert!(cause.contains(", valid from 20") && cause.ends_with(&seen.to_string()), "{cause}");
    };
    let unknown = TlsSettings { ca_file: None, ..certificate.settings() };
    let (cause, hint) = tls_error(dial(certificate.serve(), &unknown));
    assert!(cause.contains("not trusted: self") && cause.contains("(its authority is unknown)"), "{cause}");
    assert!(hint.contains("ca_file"), "{hint}");
    shown(&cause, "itself");

    let elsewhere = TlsSettings { server_name: "another.example".into(), ..certificate.settings() };
    let (cause, hint) = tls_error(dial(certificate.serve(), &elsewhere));
    assert!(cause.contains("another.example is not trusted") && cause.contains("(it is for another name)"), "{cause}");
    assert!(hint.contains("host"), "{hint}");
    shown(&cause, "itself");

    let expired = expired();
    let (cause, hint) = tls_error(dial(expired.serve(), &expired.settings()));
    assert!(cause.contains("expired") && cause.contains("valid from 2020-01-01 to 2020-02-01"), "{cause}");
    assert!(hint.contains("renew") && hint.contains("clock"), "{hint}");
    // A pin alone is enough, whatever else is wrong with it.
    let pinned = TlsSettings { ca_file: None, pins: vec![expired.fingerprint("-sha256")], ..expired.settings() };
    dial(expired.serve(), &pinned).expect("connects");
}

/// The same for a certificate that is not for the host and has a long list of names.
#[test]
fn of_many_names_some_are_told() {
    let certificate = Certificate::new();
    let names = (0..7).map(|n| format!("DNS:n{n}.example")).collect::<Vec<_>>().join(",") + ",IP:192.0.2.7";
    let extension = format!("-addext subjectAltName={names}");
    openssl(
        certificate.dir.path(),
        &format!("req -x509 -key key.pem -out cert.pem -subj /CN=localhost -days 2 {extension}"),
    );
    let identity = std::fs::read(certificate.file()).expect("a file");
    let certificate = Certificate { identity, ..certificate };
    let (cause, _) = tls_error(dial(certificate.serve(), &certificate.settings()));
    assert!(cause.contains("for n0.example, n1.example, n2.example, n3.example, n4.example and 3 more,"), "{cause}");
}

/// One that only resets the connection is no reason to wait, and the first error is the one that is told.
#[test]
fn a_server_that_can_be_reached_once_is_told_of_all_the_same() {
    let certificate = Certificate::new();
    let acceptor = certificate.acceptor();
    let port = serve(move |stream| drop(acceptor.accept(stream)));
    let unknown = TlsSettings { ca_file: None, ..certificate.settings() };
    let (cause, _) = tls_error(dial(port, &unknown));
    assert!(cause.contains("not trusted"), "{cause}");
}

#[test]
fn pins_of_every_kind_fit() {
    let certificate = Certificate::new();
    let key = {
        let command = "openssl x509 -in cert.pem -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -r";
        move |certificate: &Certificate, hash: &str| {
            let command = format!("{command} -{hash} | cut -d' ' -f1");
            let out = Command::new("sh").current_dir(certificate.dir.path()).args(["-c", &command]).output();
            let digits = String::from_utf8(out.expect("a shell").stdout).expect("text");
            Pin::parse(&format!("spki-{hash}:{digits}")).expect("a pin")
        }
    };
    for hash in ["sha1", "sha224", "sha256", "sha384", "sha512"] {
        for pin in [certificate.fingerprint(&format!("-{hash}")), key(&certificate, hash)] {
            let settings =
                TlsSettings { ca_file: None, pins: vec![no_pin("sha512", 64), pin], ..certificate.settings() };
            dial(certificate.serve(), &settings).expect("connects");
        }
    }
    // Another certificate for the same key.
    let kept = key(&certificate, "sha256");
    let subject = "req -x509 -key key.pem -out cert.pem -subj /CN=renewed -days 3";
    openssl(certificate.dir.path(), subject);
    let identity = std::fs::read(certificate.file()).expect("a file");
    let renewed = Certificate { identity, ..certificate };
    let settings = TlsSettings { ca_file: None, pins: vec![kept.clone()], ..renewed.settings() };
    dial(renewed.serve(), &settings).expect("connects");
    let other = Certificate::new();
    let (cause, hint) = tls_error(dial(other.serve(), &settings));
    let seen = key(&other, "sha256");
    assert!(cause.contains(&seen.to_string()) && cause.contains("it is for localhost"), "{cause}");
    assert_eq!(hint, format!("if this is really your server: pin = [\"{seen}\"]"));
}

#[test]
fn a_version_that_is_too_old_is_refused() {
    let certificate = Certificate::new();
    let server = |versions: &str| Server::start(&certificate, &format!("-rev {versions}"));
    let newest = TlsSettings { min_version: TlsVersion::V1_3, ..certificate.settings() };
    let old = server("-tls1_2");
    dial(old.port, &certificate.settings()).expect("1.2 is enough by default");
    let (cause, hint) = tls_error(dial(old.port, &newest));
    assert!(hint.contains("tls_min_version"), "{cause}: {hint}");
    dial(server("-tls1_3").port, &newest).expect("connects");
    // Where the library is built to allow it.
    let ancient = server("-tls1_1 -cipher ALL:@SECLEVEL=0");
    tls_error(dial(ancient.port, &certificate.settings()));
}

#[test]
fn the_server_is_told_who_is_asked_for() {
    let certificate = Certificate::new();
    let dir = certificate.dir.path();
    openssl(dir, "req -x509 -newkey rsa:2048 -keyout 2.key -out 2.pem -subj /CN=behind-sni -days 2 -nodes");
    // Whoever names localhost (SNI, RFC 6066 section 3) is shown the other one.
    let server = Server::start(&certificate, "-rev -servername localhost -cert2 2.pem -key2 2.key");
    let (cause, _) = tls_error(dial(server.port, &certificate.settings()));
    assert!(cause.contains("behind-sni"), "{cause}");
}

/// `openssl s_server`, which sends each line back reversed.
struct Server {
    port: u16,
    child: Child,
}

impl Server {
    fn start(certificate: &Certificate, options: &str) -> Server {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let mut command = Command::new("openssl");
        command
            .current_dir(certificate.dir.path())
            .args(["s_server", "-quiet", "-cert", "cert.pem", "-key", "key.pem"]);
        command.args(["-accept", &free.to_string()]).args(options.split_whitespace());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.expect("openssl is installed");
        let begin = Instant::now();
        while TcpStream::connect(free).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(20), "openssl s_server does not come up");
            thread::sleep(Duration::from_millis(20));
        }
        Server { port: free.port(), child }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// Asks whether the server answers.
fn answers(port: u16, settings: &TlsSettings) -> Result<String, NetError> {
    let mut transport = dial(port, settings)?;
    transport.write(b"olleh\r\n")?;
    transport.flush()?;
    line(&mut transport)
}

#[test]
fn a_certificate_of_ours_is_shown_in_all_the_forms_that_it_may_have() {
    let certificate = Certificate::new();
    let dir = certificate.dir.path();
    let authority = "req -x509 -newkey rsa:2048 -keyout us.key -out us.pem -subj /CN=us -days 2 -nodes";
    openssl(dir, authority);
    openssl(dir, "rsa -traditional -in us.key -out us.pkcs1");
    openssl(dir, "ecparam -name prime256v1 -genkey -out us.sec1");
    openssl(dir, "req -x509 -key us.sec1 -out ec.pem -subj /CN=ec -days 2");
    openssl(dir, "pkcs12 -export -inkey us.key -in us.pem -out us.p12 -passout pass:sesame");
    openssl(dir, "pkcs8 -topk8 -in us.key -out us.encrypted -passout pass:sesame");
    openssl(dir, "rsa -traditional -aes256 -in us.key -out us.encrypted1 -passout pass:sesame");
    openssl(dir, "ec -aes128 -in us.sec1 -out us.encrypted2 -passout pass:sesame");
    openssl(dir, "req -x509 -newkey ed25519 -nodes -keyout ed.key -out ed.pem -subj /CN=ed -days 2");
    let read = |name: &str| std::fs::read(dir.join(name)).expect("a file");
    std::fs::write(dir.join("both.pem"), [read("us.key"), read("us.pem")].concat()).expect("written");
    std::fs::write(dir.join("trusted.pem"), [read("us.pem"), read("ec.pem"), read("ed.pem")].concat())
        .expect("written");
    let server = Server::start(&certificate, "-rev -Verify 2 -verify_return_error -CAfile trusted.pem");
    let with = |file: &str, key: Option<&str>, password: Option<&str>| TlsSettings {
        client: Some(ClientCertificate {
            file: dir.join(file),
            key: key.map(|key| dir.join(key)),
            password: password.map(crate::mail::Secret::new),
        }),
        ..certificate.settings()
    };
    for settings in [
        with("us.pem", Some("us.key"), None),
        with("us.pem", Some("us.pkcs1"), None),
        with("ec.pem", Some("us.sec1"), None),
        with("both.pem", None, None),
        with("us.p12", None, Some("sesame")),
        with("us.pem", Some("us.encrypted"), Some("sesame")),
        with("us.pem", Some("us.encrypted1"), Some("sesame")),
        with("ec.pem", Some("us.encrypted2"), Some("sesame")),
        with("ed.pem", Some("ed.key"), None),
    ] {
        assert_eq!(answers(server.port, &settings).expect("an answer").trim_end(), "hello", "{settings:?}");
    }
    let error = answers(server.port, &certificate.settings()).expect_err("none was shown");
    assert!(error.hint().is_some_and(|hint| hint.contains("client_cert")), "{error}");
    for (settings, why, help) in [
        (with("us.pem", Some("us.encrypted"), None), "its key is encrypted", "client_cert_password"),
        (with("us.pem", Some("us.encrypted"), Some("wrong")), "can't be decrypted", "client_cert_password"),
        (with("us.pem", None, None), "no private key", "client_key"),
        (with("us.p12", None, Some("wrong")), "client_cert", "client_cert_password"),
        (with("us.key", Some("us.key"), None), "client_cert", "certificate comes first"),
    ] {
        let (cause, hint) = tls_error(dial(server.port, &settings));
        assert!(cause.contains(why) && hint.contains(help), "{cause}: {hint}");
    }
    let (cause, _) = tls_error(dial(server.port, &with("nothing", None, None)));
    assert!(cause.starts_with("client_cert ") && cause.contains("No such file"), "{cause}");
}
