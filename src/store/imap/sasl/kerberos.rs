//! The system's GSSAPI: tickets, and the security context of one login. The only file that names its crate.

use super::{Unfit, Wait, shown};
use libgssapi::context::{ClientCtx, CtxFlags, SecurityContext};
use libgssapi::credential::{Cred, CredUsage};
use libgssapi::error::Error;
use libgssapi::name::Name;
use libgssapi::oid::{GSS_MECH_KRB5, GSS_NT_HOSTBASED_SERVICE, OidSet};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long a look at the tickets may take: they are in a file, or with a daemon of this machine.
const LOOK: Duration = Duration::from_secs(5);

/// How long name servers and key centres may take at most: another mechanism may be waiting.
const ASK: Duration = Duration::from_secs(20);

/// How long a wait goes on before it looks whether it should stop.
const SLICE: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ticket {
    Good,
    Expired,
    Missing,
}

/// Whether a ticket is there that is still good.
pub fn has_ticket() -> bool {
    let wait = Wait { stop: Default::default(), timeout: LOOK };
    matches!(beside(&wait, ticket), Ok(Ticket::Good))
}

fn ticket() -> Ticket {
    life(credentials().and_then(|credentials| credentials.lifetime()))
}

/// The user's tickets, wherever they are kept: which of several is used is settled by the first server.
fn credentials() -> Result<Cred, Error> {
    let kerberos = OidSet::singleton(GSS_MECH_KRB5)?;
    Cred::acquire(None, None, CredUsage::Initiate, Some(&kerberos))
}

fn life(left: Result<Duration, Error>) -> Ticket {
    match left {
        Ok(left) if left.is_zero() => Ticket::Expired,
        Ok(_) => Ticket::Good,
        Err(error) if error.major.bits() & ROUTINE_ERRORS == CREDENTIALS_EXPIRED => Ticket::Expired,
        Err(_) => Ticket::Missing,
    }
}

/// GSS_S_CREDENTIALS_EXPIRED (RFC 2744 section 3.9.1), a number in the bits of these errors and no bit of its own.
const CREDENTIALS_EXPIRED: u32 = 11 << 16;
const ROUTINE_ERRORS: u32 = 0xff << 16;

/// What Kerberos knows of one login. Every login has its own: they are good for one server's answers only.
pub struct Context(ClientCtx);

impl Context {
    /// Asks for a ticket for the server's IMAP, and gives what it is shown first.
    pub fn begin(host: &str, wait: &Wait) -> Result<(Context, Vec<u8>), Unfit> {
        let host = host.trim_end_matches('.').to_owned();
        // It may have to ask name servers and key centres, which the library does without end in sight.
        beside(wait, move || Context::ask(&host))?
    }

    fn ask(host: &str) -> Result<(Context, Vec<u8>), Unfit> {
        let credentials = credentials().map_err(|error| lacking(&said(&error), Ticket::Missing, host))?;
        let begun = Name::new(format!("imap@{host}").as_bytes(), Some(GSS_NT_HOSTBASED_SERVICE)).and_then(|server| {
            // RFC 4752 section 3.1: the server has to prove itself, and nothing is delegated.
            let flags = CtxFlags::GSS_C_MUTUAL_FLAG | CtxFlags::GSS_C_INTEG_FLAG;
            let mut context = ClientCtx::new(Some(credentials.clone()), server, flags, Some(GSS_MECH_KRB5));
            let token = context.step(None, None)?;
            Ok((Context(context), token.map(|token| token.to_vec()).unwrap_or_default()))
        });
        // The library keeps what it has to say with the thread, until it is asked again.
        let begun = begun.map_err(|error| said(&error));
        match (begun, life(credentials.lifetime())) {
            // Clocks may differ, so key centres still take it for some minutes; the library no more.
            (Ok(_), Ticket::Expired) => Err(lacking("", Ticket::Expired, host)),
            (Ok(begun), _) => Ok(begun),
            (Err(said), ticket) => Err(lacking(&said, ticket, host)),
        }
    }

    /// What the server is told next, if anything, and whether all was said.
    pub fn step(&mut self, token: &[u8]) -> Result<(Vec<u8>, bool), String> {
        let next = self.0.step(Some(token), None).map_err(|error| said(&error))?;
        Ok((next.map(|token| token.to_vec()).unwrap_or_default(), self.0.is_complete()))
    }

    /// Whether the server has proved who it is.
    pub fn is_mutual(&self) -> bool {
        self.0.flags().is_ok_and(|flags| flags.contains(CtxFlags::GSS_C_MUTUAL_FLAG))
    }

    pub fn unwrap(&mut self, message: &[u8]) -> Result<Vec<u8>, String> {
        self.0.unwrap(message).map(|message| message.to_vec()).map_err(|error| said(&error))
    }

    /// Signs; what is said is no secret.
    pub fn wrap(&mut self, message: &[u8]) -> Result<Vec<u8>, String> {
        self.0.wrap(false, message).map(|message| message.to_vec()).map_err(|error| said(&error))
    }
}

/// Runs what may take long on a thread of its own, which is left alone where nobody waits for it any more.
fn beside<T: Send + 'static>(wait: &Wait, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Unfit> {
    let (sender, receiver) = channel();
    let work = move || {
        // Nobody may be waiting any more.
        let _ = sender.send(work());
    };
    thread::Builder::new().name("kerberos".into()).spawn(work).map_err(|error| late(&format!("no thread: {error}")))?;
    let time = wait.timeout.min(ASK);
    let deadline = Instant::now() + time;
    loop {
        match receiver.recv_timeout(SLICE) {
            Ok(done) => return Ok(done),
            Err(RecvTimeoutError::Disconnected) => return Err(late("it failed")),
            Err(RecvTimeoutError::Timeout) if wait.stop.is_set() => return Err(Unfit::Stopped),
            Err(RecvTimeoutError::Timeout) if Instant::now() >= deadline => {
                return Err(late(&format!("no answer for {} s", time.as_secs())));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

fn late(what: &str) -> Unfit {
    let hint = "check that the key centre (KDC) can be reached: kinit".to_owned();
    Unfit::Lacking { cause: format!("Kerberos: {what}"), hint, used: true }
}

/// Why there is no ticket for the server.
fn lacking(said: &str, ticket: Ticket, host: &str) -> Unfit {
    let (cause, hint, used) = match ticket {
        Ticket::Missing => (format!("no Kerberos ticket: {said}"), "get one: kinit".to_owned(), false),
        Ticket::Expired => ("the Kerberos ticket has expired".to_owned(), "get a new one: kinit".to_owned(), true),
        Ticket::Good => {
            let hint = format!("Kerberos must know the server by the name in `host`: kvno -S imap {host}");
            (format!("no Kerberos ticket for imap/{host}: {said}"), hint, true)
        }
    };
    Unfit::Lacking { cause, hint, used }
}

/// The library's words, without those that say that there are better ones.
fn said(error: &Error) -> String {
    let text = error.to_string();
    let better = text.split_once("provide more information (").and_then(|(_, rest)| rest.trim().strip_suffix(')'));
    shown(better.unwrap_or(&text).trim().as_bytes())
}
