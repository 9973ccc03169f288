//! How a line comes to be: over TCP, protected by TLS, or through a tunnel.

use super::{SLICE, Transport, wait};
use crate::environment;
use crate::net::certificate::Shown;
use crate::net::connector::Preparation;
use crate::net::input::Input;
use crate::net::meter::Meter;
use crate::net::stream::{Stream, Tunnel};
use crate::net::tls::{TlsMode, TlsSettings, refused};
use crate::net::wirelog::Log;
use crate::net::{NetError, Route, Stop};
use native_tls::{HandshakeError, TlsStream};
use rustix::event::PollFlags;
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long nothing may move, unless told otherwise.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The same while a look is had at a certificate that is not trusted.
const LOOK: Duration = Duration::from_secs(5);

impl Transport {
    /// Connects, and makes the TLS handshake where `tls.mode` is `Implicit`. With `StartTls` the caller goes on to
    /// [`Transport::start_tls`]. The certificate is checked before a byte is sent over it.
    pub fn connect(host: &str, port: u16, tls: &TlsSettings, stop: &Stop) -> Result<Transport, NetError> {
        Transport::connect_by(&Route::default(), (host, port), tls, stop, TIMEOUT)
    }

    /// Like [`Transport::connect`], by a certain way; `timeout` counts for each step, and for the waits to come.
    pub fn connect_by(
        route: &Route,
        (host, port): (&str, u16),
        tls: &TlsSettings,
        stop: &Stop,
        timeout: Duration,
    ) -> Result<Transport, NetError> {
        // Loading the CAs takes longer than most connections: both at once.
        let preparation = match tls.mode {
            TlsMode::None => None,
            TlsMode::Implicit | TlsMode::StartTls => Some(tls.prepare()?),
        };
        let dial = |timeout| {
            let stream = route.connect(host, port, timeout, stop)?;
            let mut line = Transport::over(Stream::Tcp(stream), stop.clone());
            line.timeout = timeout;
            Ok(line)
        };
        let mut line = dial(timeout)?;
        match (tls.mode, preparation) {
            (TlsMode::Implicit, Some(preparation)) => match line.handshake(tls, preparation) {
                Err(error @ NetError::Untrusted { .. }) => {
                    let shown = dial(timeout.min(LOOK)).and_then(|mut line| line.shown_certificate(tls));
                    return Err(error.showing_if(shown));
                }
                shaken => shaken?,
            },
            // Built and cached by now: start_tls finds it.
            (_, Some(preparation)) => drop(preparation.finish()?),
            (_, None) => {}
        }
        Ok(line)
    }

    /// Runs a command and talks to its standard input and output. It gets a process group of its own, so that Ctrl-C
    /// does not end it before the goodbye is said; it is killed if it outlives the line by a second.
    pub fn tunnel(mut command: Command, stop: &Stop) -> Result<Transport, NetError> {
        environment::restore(&mut command);
        let (ours, theirs) = UnixStream::pair().map_err(NetError::Io)?;
        ours.set_nonblocking(true).map_err(NetError::Io)?;
        let output = theirs.try_clone().map_err(NetError::Io)?;
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::from(OwnedFd::from(output))).process_group(0);
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().map_err(|cause| NetError::Tunnel { command: name, cause })?;
        let mut line = Transport::over(Stream::Local(ours), stop.clone());
        line.tunnel = Some(Tunnel::new(child));
        Ok(line)
    }

    /// A line within this process, and its other end, which blocks.
    pub fn pair(stop: &Stop) -> io::Result<(Transport, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        Ok((Transport::local(ours, stop)?, theirs))
    }

    /// A line over a socket of this machine that is connected already.
    pub fn local(socket: UnixStream, stop: &Stop) -> io::Result<Transport> {
        socket.set_nonblocking(true)?;
        Ok(Transport::over(Stream::Local(socket), stop.clone()))
    }

    fn over(stream: Stream, stop: Stop) -> Transport {
        Transport {
            stream,
            input: Input::default(),
            output: Vec::new(),
            deflate: None,
            meter: Meter::default(),
            measuring: false,
            waited: Duration::ZERO,
            ended: false,
            timeout: TIMEOUT,
            stop,
            log: Log::default(),
            received: 0,
            sent: 0,
            tunnel: None,
        }
    }

    /// Goes over to TLS after the server's OK to STARTTLS. What came in before that is thrown away: somebody on the
    /// way may have put it there. After an error the line is of no use any more.
    pub fn start_tls(&mut self, tls: &TlsSettings) -> Result<(), NetError> {
        self.flush()?;
        self.handshake(tls, tls.prepare()?)
    }

    /// What the server's certificate says of itself, whoever it is for: behind the server's OK to STARTTLS, or instead
    /// of the handshake. Nothing is sent to the server, and the line is closed. Fails where the server shows none.
    pub fn shown_certificate(&mut self, tls: &TlsSettings) -> Result<String, NetError> {
        self.timeout = self.timeout.min(LOOK);
        let stream = self.shake(tls, tls.prepare_to_look()?)?;
        let certificate = stream.peer_certificate().map_err(|error| tls.explain(&error))?;
        let der = certificate.and_then(|certificate| certificate.to_der().ok());
        let shown = der.and_then(|der| Shown::read(&der));
        shown.map(|shown| shown.to_string()).ok_or_else(|| refused("its certificate can't be read", None))
    }

    fn handshake(&mut self, tls: &TlsSettings, preparation: Preparation) -> Result<(), NetError> {
        let stream = self.shake(tls, preparation)?;
        let certificate = stream.peer_certificate().map_err(|error| tls.explain(&error))?;
        let der = certificate.map(|certificate| certificate.to_der()).transpose();
        tls.check_pins(der.map_err(|error| tls.explain(&error))?.as_deref())?;
        self.stream = Stream::Tls(Box::new(stream));
        self.input.clear();
        Ok(())
    }

    fn shake(&mut self, tls: &TlsSettings, preparation: Preparation) -> Result<TlsStream<TcpStream>, NetError> {
        let connector = preparation.finish()?;
        let Stream::Tcp(stream) = std::mem::replace(&mut self.stream, Stream::Gone) else {
            return Err(refused("TLS is for TCP connections that have none yet", None));
        };
        let name = tls.server_name.trim_matches(['[', ']']);
        let mut progress = connector.connect(name, stream);
        let begin = Instant::now();
        loop {
            match progress {
                Ok(stream) => return Ok(stream),
                Err(HandshakeError::Failure(error)) => return Err(tls.explain(&error)),
                Err(HandshakeError::WouldBlock(middle)) => {
                    self.check(begin)?;
                    wait(&[(middle.get_ref().as_fd(), PollFlags::IN)], SLICE)?;
                    progress = middle.handshake();
                }
            }
        }
    }
}
