//! The transport against real sockets: peers in threads, certificates made on the spot.

mod certificates;

use super::transport::Waited;
use super::*;
use native_tls::{Identity, TlsAcceptor};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

const SHORT: Duration = Duration::from_secs(10);

fn plain() -> TlsSettings {
    TlsSettings { mode: TlsMode::None, server_name: "localhost".into(), ..TlsSettings::default() }
}

/// Runs `peer` with each connection that it gets, up to this many; the port.
fn serve_each(count: usize, peer: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("address").port();
    thread::spawn(move || (0..count).for_each(|_| peer(listener.accept().expect("accept").0)));
    port
}

/// Runs `peer` with the one connection that it gets; the port.
fn serve(peer: impl FnOnce(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("address").port();
    thread::spawn(move || peer(listener.accept().expect("accept").0));
    port
}

fn dial(port: u16, tls: &TlsSettings) -> Result<Transport, NetError> {
    Transport::connect_by(&Route::default(), ("127.0.0.1", port), tls, &Stop::new(), SHORT)
}

/// A fingerprint that nothing has.
fn no_pin(kind: &str, bytes: usize) -> Pin {
    Pin::parse(&format!("{kind}:{}", "07".repeat(bytes))).expect("a pin")
}

fn line(transport: &mut Transport) -> Result<String, NetError> {
    let mut line = Vec::new();
    transport.read_line(&mut line, 1000)?;
    Ok(String::from_utf8(line).expect("text"))
}

fn openssl(dir: &Path, args: &str) {
    let out = Command::new("openssl").current_dir(dir).args(args.split(' ')).output().expect("openssl is installed");
    assert!(out.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&out.stderr));
}

/// A certificate for localhost, signed by itself.
struct Certificate {
    dir: tempfile::TempDir,
    identity: Vec<u8>,
    key: Vec<u8>,
}

impl Certificate {
    fn new() -> Certificate {
        let dir = tempfile::tempdir().expect("a directory");
        let subject = "-subj /CN=localhost -addext subjectAltName=DNS:localhost -days 2 -nodes";
        openssl(dir.path(), &format!("req -x509 -newkey rsa:2048 -keyout key.pem -out cert.pem {subject}"));
        let read = |name: &str| std::fs::read(dir.path().join(name)).expect("a file");
        let (identity, key) = (read("cert.pem"), read("key.pem"));
        Certificate { dir, identity, key }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    fn fingerprint(&self, hash: &str) -> Pin {
        let args = ["x509", "-in", "cert.pem", "-noout", "-fingerprint", hash];
        let out = Command::new("openssl").current_dir(self.dir.path()).args(args).output().expect("openssl");
        let text = String::from_utf8(out.stdout).expect("text");
        Pin::parse(text.split_once('=').expect("a fingerprint").1).expect("a pin")
    }

    fn acceptor(&self) -> TlsAcceptor {
        let identity = Identity::from_pkcs8(&self.identity, &self.key).expect("an identity");
        TlsAcceptor::new(identity).expect("an acceptor")
    }

    /// A server that greets over TLS and echoes lines. Whoever does not trust it comes again to look at its certificate.
    fn serve(&self) -> u16 {
        let acceptor = self.acceptor();
        serve_each(2, move |stream| {
            if let Ok(mut tls) = acceptor.accept(stream) {
                tls.write_all(b"* OK hello\r\n").expect("greets");
                let mut lines = BufReader::new(tls);
                let mut line = String::new();
                while lines.read_line(&mut line).is_ok_and(|count| count > 0) {
                    lines.get_mut().write_all(line.as_bytes()).expect("echoes");
                    line.clear();
                }
            }
        })
    }

    fn settings(&self) -> TlsSettings {
        TlsSettings {
            mode: TlsMode::Implicit,
            ca_file: Some(self.file()),
            server_name: "localhost".into(),
            ..TlsSettings::default()
        }
    }
}

fn tls_error(result: Result<Transport, NetError>) -> (String, String) {
    match result.map(|_| ()) {
        Err(NetError::Tls { cause, hint }) => (cause, hint.unwrap_or_default()),
        Err(NetError::Untrusted { cause, hint }) => (cause, hint),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_self_signed_certificate_is_trusted_as_ca_file_or_by_pin() {
    let certificate = Certificate::new();
    let pinned = |pin: Pin, host: &str| TlsSettings {
        ca_file: None,
        pins: vec![no_pin("sha1", 20), pin],
        server_name: host.into(),
        ..certificate.settings()
    };
    for settings in [
        certificate.settings(),
        pinned(certificate.fingerprint("-sha256"), "localhost"),
        pinned(certificate.fingerprint("-sha1"), "another.example"),
        TlsSettings { pins: vec![certificate.fingerprint("-sha256")], ..certificate.settings() },
    ] {
        let mut transport = dial(certificate.serve(), &settings).expect("connects");
        assert_eq!(line(&mut transport).expect("a greeting"), "* OK hello\r\n");
        transport.write(b"a1 NOOP\r\n").expect("queues");
        transport.flush().expect("sends");
        assert_eq!(line(&mut transport).expect("an echo"), "a1 NOOP\r\n");
        assert_eq!((transport.protection(), transport.traffic()), ("TLS", (21, 9)));
    }
}

#[test]
fn a_wrong_pin_shows_the_fingerprint_that_was_seen() {
    let certificate = Certificate::new();
    let seen = certificate.fingerprint("-sha256").to_string();
    for ca_file in [None, Some(certificate.file())] {
        let settings = TlsSettings { ca_file, pins: vec![no_pin("sha256", 32)], ..certificate.settings() };
        let (cause, hint) = tls_error(dial(certificate.serve(), &settings));
        assert!(cause.contains(&seen), "{cause}");
        assert_eq!(hint, format!("if this is really your server: pin = [\"{seen}\"]"));
    }
}

#[test]
fn an_untrusted_certificate_or_a_wrong_name_is_refused() {
    let certificate = Certificate::new();
    let unknown = TlsSettings { ca_file: None, ..certificate.settings() };
    let (cause, hint) = tls_error(dial(certificate.serve(), &unknown));
    assert!(cause.starts_with("the certificate of localhost is not trusted: self"), "{cause}");
    assert!(hint.contains("ca_file") && hint.contains("pin"), "{hint}");

    let elsewhere = TlsSettings { server_name: "another.example".into(), ..certificate.settings() };
    let (cause, hint) = tls_error(dial(certificate.serve(), &elsewhere));
    assert!(cause.to_lowercase().contains("another.example is not trusted: hostname mismatch"), "{cause}");
    assert!(hint.contains("host"), "{hint}");

    let right_pin_wrong_ca = Certificate::new();
    let settings = TlsSettings {
        ca_file: Some(right_pin_wrong_ca.file()),
        pins: vec![certificate.fingerprint("-sha256")],
        ..certificate.settings()
    };
    assert!(tls_error(dial(certificate.serve(), &settings)).0.contains("not trusted"));

    let missing = TlsSettings { ca_file: Some("/nonexistent/ca.pem".into()), ..certificate.settings() };
    assert!(tls_error(dial(certificate.serve(), &missing)).0.starts_with("ca_file /nonexistent/ca.pem: "));
}

#[test]
fn a_line_that_breaks_in_the_handshake_is_no_fault_of_tls() {
    let tls = TlsSettings { server_name: "localhost".into(), ..TlsSettings::default() };
    let in_order = |mut stream: TcpStream| {
        assert!(stream.read(&mut [0; 4096]).expect("the client's hello") > 0);
    };
    // What is left unread has the system reset the connection.
    for end in [in_order as fn(TcpStream), drop] {
        let error = dial(serve(end), &tls).map(drop).expect_err("no handshake");
        assert!(matches!(&error, NetError::Handshake { .. }), "{error:?}");
        assert!(error.to_string().starts_with("TLS with localhost failed: "), "{error}");
    }
}

#[test]
fn a_server_without_tls_is_recognised() {
    let certificate = Certificate::new();
    let port = serve(|mut stream| {
        stream.write_all(b"* OK hello\r\n").expect("greets");
        let _ended = stream.read(&mut [0; 1000]);
    });
    let (_, hint) = tls_error(dial(port, &certificate.settings()));
    assert!(hint.contains("starttls"), "{hint}");
}

#[test]
fn what_came_before_starttls_is_thrown_away() {
    let certificate = Certificate::new();
    let acceptor = certificate.acceptor();
    let port = serve(move |mut stream| {
        let mut command = [0; 13];
        stream.read_exact(&mut command).expect("STARTTLS");
        stream.write_all(b"a1 OK begin\r\n* CAPABILITY INJECTED\r\n").expect("answers");
        let mut tls = acceptor.accept(stream).expect("handshake");
        tls.write_all(b"* OK inside\r\n").expect("greets");
        let _ended = tls.read(&mut [0; 10]);
    });
    let settings = TlsSettings { mode: TlsMode::StartTls, ..certificate.settings() };
    let mut transport = dial(port, &settings).expect("connects");
    transport.write(b"a1 STARTTLS\r\n").expect("queues");
    transport.flush().expect("sends");
    assert_eq!(line(&mut transport).expect("an answer"), "a1 OK begin\r\n");
    transport.start_tls(&settings).expect("goes over to TLS");
    assert_eq!(line(&mut transport).expect("a line"), "* OK inside\r\n");
}

#[test]
fn a_silent_peer_ends_the_wait_in_time() {
    let port = serve(|mut stream| drop(stream.read(&mut [0; 10])));
    let mut transport = dial(port, &plain()).expect("connects");
    transport.set_timeout(Duration::from_millis(300));
    let begin = Instant::now();
    assert!(matches!(line(&mut transport), Err(NetError::Timeout(_))));
    assert!(begin.elapsed() < Duration::from_secs(3));

    let port = serve(|mut stream| while stream.read(&mut [0; 1000]).is_ok_and(|count| count > 0) {});
    let handshake = TlsSettings { mode: TlsMode::Implicit, pins: vec![no_pin("sha1", 20)], ..plain() };
    let result = Transport::connect_by(
        &Route::default(),
        ("127.0.0.1", port),
        &handshake,
        &Stop::new(),
        Duration::from_millis(500),
    );
    assert!(matches!(result.map(|_| ()), Err(NetError::Timeout(_))));
}

#[test]
fn the_wish_to_stop_ends_a_wait_at_once() {
    let stop = Stop::new();
    let (mut transport, _peer) = Transport::pair(&stop).expect("a pair");
    let setter = stop.clone();
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        setter.set();
    });
    let begin = Instant::now();
    assert!(matches!(line(&mut transport), Err(NetError::Stopped)));
    assert!(begin.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_write_goes_on_while_the_peer_sends_much_before_it_reads() {
    const SIZE: usize = 8 * 1024 * 1024;
    let certificate = Certificate::new();
    let acceptor = certificate.acceptor();
    let talk = |mut peer: Box<dyn ReadWrite>| {
        peer.write_all(&vec![b'x'; SIZE]).expect("sends all");
        let mut got = vec![0; SIZE];
        peer.read_exact(&mut got).expect("gets all");
        assert!(got.iter().enumerate().all(|(at, byte)| *byte == (at % 251) as u8));
        peer.write_all(b"\nfine\n").expect("says so");
    };
    let tcp = serve(move |stream| talk(Box::new(stream)));
    let tls = serve(move |stream| talk(Box::new(acceptor.accept(stream).expect("handshake"))));
    for (port, settings) in [(tcp, plain()), (tls, certificate.settings())] {
        let mut transport = dial(port, &settings).expect("connects");
        let ours: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8).collect();
        transport.write_body(&ours).expect("writes");
        transport.flush().expect("sends all");
        assert_eq!(transport.unsent(), 0);
        let mut theirs = Vec::new();
        transport.read_exact(&mut theirs, SIZE).expect("gets all");
        assert!(theirs.iter().all(|byte| *byte == b'x'));
        assert_eq!(
            (line(&mut transport).expect("a line"), line(&mut transport).expect("a line")),
            ("\n".into(), "fine\n".into())
        );
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

#[test]
fn lines_are_bounded_and_end_with_the_connection() {
    let (mut transport, mut peer) = Transport::pair(&Stop::new()).expect("a pair");
    peer.write_all(b"one\ntwo\r\nhalf").expect("writes");
    drop(peer);
    assert_eq!(line(&mut transport).expect("a line"), "one\n");
    assert!(matches!(transport.read_line(&mut Vec::new(), 3), Err(NetError::LongLine(3))));
    assert_eq!(line(&mut transport).expect("a line"), "two\r\n");
    assert!(matches!(line(&mut transport), Err(NetError::Closed)));
    assert!(transport.fill_buf().expect("the end").is_empty());
}

#[test]
fn the_last_words_of_a_peer_that_went_away_are_read() {
    let (mut transport, mut peer) = Transport::pair(&Stop::new()).expect("a pair");
    peer.write_all(b"* BYE too busy\r\n").expect("writes");
    drop(peer);
    transport.write(b"a1 NOOP\r\n").expect("queues");
    assert!(matches!(transport.flush(), Err(NetError::Closed)));
    assert_eq!(line(&mut transport).expect("a line"), "* BYE too busy\r\n");
    assert!(matches!(line(&mut transport), Err(NetError::Closed)));
}

#[test]
fn a_compressed_line_has_its_log_in_plain_text_and_its_deadlines() {
    let (mut transport, mut peer) = Transport::pair(&Stop::new()).expect("a pair");
    let seen = Arc::new(Mutex::new(Vec::<String>::new()));
    let sink = Arc::clone(&seen);
    transport.set_log(Some(Arc::new(move |line: &str| sink.lock().expect("no panic").push(line.to_owned()))));
    let mut theirs = flate2::write::DeflateEncoder::new(b"a1 OK go\r\n".to_vec(), flate2::Compression::fast());
    let long = "x".repeat(900);
    write!(theirs, "* OK {long}\r\n").expect("packs");
    theirs.flush().expect("packs");
    // The compressed bytes come with the answer after which they begin.
    peer.write_all(theirs.get_ref()).expect("sends");
    assert_eq!(line(&mut transport).expect("a line"), "a1 OK go\r\n");
    transport.start_deflate();
    assert!(transport.is_deflated());
    assert_eq!(line(&mut transport).expect("a line"), format!("* OK {long}\r\n"));
    transport.write(b"a2 NOOP\r\n").expect("queues");
    transport.write_body(long.repeat(1000).as_bytes()).expect("queues");
    transport.flush().expect("sends");
    let mut sent = vec![0; 100_000];
    let count = peer.read(&mut sent).expect("reads");
    let mut said = vec![0; 9];
    flate2::read::DeflateDecoder::new(&sent[..count]).read_exact(&mut said).expect("inflates");
    assert_eq!(said, b"a2 NOOP\r\n");
    // Counted as they are on the way.
    assert_eq!(transport.traffic(), (theirs.get_ref().len() as u64, count as u64));
    assert!(count < 10_000 && transport.unsent() == 0, "{count}");
    let want = ["S: a1 OK go".to_owned(), format!("S: * OK {long}"), "C: a2 NOOP".into(), "C: <900000 bytes>".into()];
    assert_eq!(*seen.lock().expect("no panic"), want);
    transport.set_timeout(Duration::from_millis(100));
    assert!(matches!(line(&mut transport), Err(NetError::Timeout(_))));
}

#[test]
fn lines_within_this_machine_are_near() {
    let port = serve(|mut stream| drop(stream.read(&mut [0; 10])));
    assert!(dial(port, &plain()).expect("connects").is_near());
    assert!(Transport::pair(&Stop::new()).expect("a pair").0.is_near());
}

#[test]
fn a_wait_tells_input_from_a_wake_and_from_nothing() {
    let (mut transport, mut peer) = Transport::pair(&Stop::new()).expect("a pair");
    let (waker, mut alarm) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let brief = Duration::from_millis(20);
    assert_eq!(transport.wait_input(brief, Some(waker.as_fd())).expect("waits"), Waited::Nothing);
    alarm.write_all(b"!").expect("wakes");
    assert_eq!(transport.wait_input(SHORT, Some(waker.as_fd())).expect("waits"), Waited::Woken);
    peer.write_all(b"x").expect("writes");
    assert_eq!(transport.wait_input(SHORT, None).expect("waits"), Waited::Input);
    assert_eq!(transport.buffered(), b"x");
}

#[test]
fn the_log_shows_the_talk_and_no_secret() {
    let seen = Arc::new(Mutex::new(Vec::<String>::new()));
    let sink = Arc::clone(&seen);
    let (mut transport, mut peer) = Transport::pair(&Stop::new()).expect("a pair");
    transport.set_log(Some(Arc::new(move |line: &str| sink.lock().expect("no panic").push(line.to_owned()))));
    transport.write(b"a1 LOG").expect("queues");
    transport.write(b"IN me hunter2\r\na2 NOOP\r\n").expect("queues");
    transport.set_mask(Some(Arc::new(|text| text.contains("hunter2"))));
    transport.write(b"aHVudGVyMg==\r\n").expect("queues");
    peer.write_all(b"a1 BAD me hunter2?\r\na1 NO\r\n").expect("writes");
    line(&mut transport).expect("a line");
    line(&mut transport).expect("a line");
    transport.set_mask(None);
    transport.write(b"a3 APPEND x {8}\r\n").expect("queues");
    transport.write_body(b"a body\r\n").expect("queues");
    transport.flush().expect("sends");
    peer.write_all(b"* OK \x1b[31mred\r\n").expect("writes");
    line(&mut transport).expect("a line");
    let want = [
        "C: a1 LOGIN <not shown>",
        "C: a2 NOOP",
        "C: <not shown>",
        "S: <not shown>",
        "S: a1 NO",
        "C: a3 APPEND x {8}",
        "C: <8 bytes>",
        "S: * OK \u{fffd}[31mred",
    ];
    assert_eq!(*seen.lock().expect("no panic"), want);
}

#[test]
fn a_line_is_hung_up_without_waiting_and_what_was_written_arrives() {
    let certificate = Certificate::new();
    let acceptor = certificate.acceptor();
    let (heard, said) = std::sync::mpsc::channel();
    let listen = move |mut peer: Box<dyn ReadWrite>| {
        // Unread by the client: it must not make the kernel throw the goodbye away.
        peer.write_all(b"* OK still here\r\n").expect("sends");
        let mut all = String::new();
        let ended = peer.read_to_string(&mut all).is_ok();
        heard.send((all, ended)).expect("the test listens");
    };
    let again = listen.clone();
    let tcp = serve(move |stream| listen(Box::new(stream)));
    let tls = serve(move |stream| again(Box::new(acceptor.accept(stream).expect("handshake"))));
    for (port, settings) in [(tcp, plain()), (tls, certificate.settings())] {
        let mut transport = dial(port, &settings).expect("connects");
        assert!(!transport.fill_buf().expect("input").is_empty());
        transport.write(b"a1 LOGOUT\r\n").expect("queues");
        transport.hang_up();
        assert_eq!(said.recv_timeout(SHORT).expect("an end"), ("a1 LOGOUT\r\n".to_owned(), true));
        assert!(matches!(transport.flush(), Ok(())));
        assert!(transport.write(b"more").and_then(|()| transport.flush()).is_err());
    }
}

#[test]
fn a_tunnel_talks_to_a_command_and_ends_with_it() {
    let mut command = Command::new("sh");
    command.args(["-c", "echo $$; read line; echo \"$line\"; sleep 60"]);
    let mut transport = Transport::tunnel(command, &Stop::new()).expect("starts");
    let process = format!("/proc/{}", line(&mut transport).expect("a line").trim());
    transport.write(b"echo\n").expect("queues");
    transport.flush().expect("sends");
    assert_eq!(line(&mut transport).expect("a line"), "echo\n");
    assert!(Path::new(&process).exists());
    transport.hang_up();
    // It notices nothing, and is waited for at the end; no zombie is left.
    wait_for_tunnels();
    assert!(!Path::new(&process).exists());

    let missing = Transport::tunnel(Command::new("/nonexistent/tunnel"), &Stop::new());
    assert!(matches!(missing.map(|_| ()), Err(NetError::Tunnel { .. })));
}
