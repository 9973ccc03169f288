//! A login with a browser on this machine, which comes back to a port of ours (RFC 8252 section 7.3), with PKCE (RFC 7636).

use super::http::{Failure, plain};
use super::{Client, Talk, random};
use crate::environment;
use crate::secret::SecretError;
use base64ct::{Base64UrlUnpadded, Encoding};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long somebody may take to log in.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often it is looked whether the browser came back, or the user wants to stop.
const LOOK: Duration = Duration::from_millis(50);
/// How long a browser may take for its question, and no question is longer, in bytes.
const QUESTION: Duration = Duration::from_secs(5);
const MAX_QUESTION: usize = 16 << 10;
/// So many are heard at once.
const MAX_QUESTIONS: usize = 64;

/// Has somebody log in with a browser, and keeps the tokens that come of it.
pub fn log_in(client: &Client, talk: &Talk<'_>) -> Result<(), SecretError> {
    let Some(auth_url) = &client.provider.auth_url else {
        return Err(SecretError::with("this provider has no login with a browser", "add --device"));
    };
    let failed = |err: io::Error| SecretError::new(format!("wait for the browser: {err}"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    let (state, verifier) = (random(24)?, random(48)?);
    let redirect = format!("http://localhost:{port}/");
    let url = question(client, auth_url, &redirect, &state, &verifier);
    (talk.tell)(&format!("Log in with a browser on this machine: {url}"));
    open(&url);
    let end = Instant::now() + PATIENCE;
    let (sender, answers) = channel();
    let waiting = Arc::new(());
    loop {
        if talk.cancelled() {
            return Err(SecretError::Cancelled);
        }
        if Instant::now() >= end {
            return Err(SecretError::with("nobody logged in in time", client.log_in()));
        }
        if let Ok((mut browser, answer)) = answers.try_recv() {
            return finish(client, &mut browser, &answer, (&redirect, &verifier), talk);
        }
        match listener.accept() {
            // Whoever has nothing to ask, as browsers that connect beforehand, keeps nobody waiting.
            Ok((browser, _)) if Arc::strong_count(&waiting) <= MAX_QUESTIONS => {
                let (sender, state, waiting) = (sender.clone(), state.clone(), waiting.clone());
                thread::spawn(move || {
                    hear(browser, &state, &sender);
                    drop(waiting);
                });
            }
            Ok(_) => {}
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => thread::sleep(LOOK),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(failed(err)),
        }
    }
}

/// Passes on the answer that is waited for. Whatever else a browser asks for, and whoever else comes by: the login is still
/// to come.
fn hear(mut browser: TcpStream, state: &String, sender: &Sender<(TcpStream, HashMap<String, String>)>) {
    match answer_of(&mut browser).filter(|answer| answer.get("state") == Some(state)) {
        // Nobody listens any more where another one was faster.
        Some(answer) => drop(sender.send((browser, answer))),
        None => reply(&mut browser, "404 Not Found", "This is not the answer that mailsync waits for."),
    }
}

fn finish(
    client: &Client,
    browser: &mut TcpStream,
    answer: &HashMap<String, String>,
    (redirect, verifier): (&str, &str),
    talk: &Talk<'_>,
) -> Result<(), SecretError> {
    let Some(code) = answer.get("code") else {
        let said = |name: &str| answer.get(name).map(|text| plain(text)).filter(|text| !text.is_empty());
        let error = said("error").unwrap_or_else(|| "nothing".to_owned());
        reply(browser, "200 OK", "You are not logged in. mailsync says why.");
        let refused = Failure::Refused { error, description: said("error_description").unwrap_or_default() };
        return Err(refused.into_error("get an OAuth2 token", client));
    };
    let form =
        [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", redirect), ("code_verifier", verifier)];
    let exchanged = client.exchange(&form, talk.context);
    match &exchanged {
        Ok(()) => reply(browser, "200 OK", "You are logged in. You can close this window."),
        Err(_) => reply(browser, "200 OK", "You are not logged in. mailsync says why."),
    }
    exchanged
}

/// The URL that somebody logs in at.
fn question(client: &Client, url: &str, redirect: &str, state: &str, verifier: &str) -> String {
    let challenge = Base64UrlUnpadded::encode_string(&Sha256::digest(verifier.as_bytes()));
    let mut fields = vec![
        ("response_type", "code"),
        ("client_id", &client.id),
        ("redirect_uri", redirect),
        ("scope", &client.provider.scope),
        ("state", state),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    fields.extend(client.user.as_deref().map(|user| ("login_hint", user)));
    fields.extend(client.provider.more);
    let pairs: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))).collect();
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}{}", pairs.join("&"))
}

/// Shows a URL to the user, where there is a screen. Who has none opens it elsewhere.
fn open(url: &str) {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let program = match set("BROWSER") {
        Some(program) => program,
        None if cfg!(target_os = "macos") => OsString::from("open"),
        None if set("DISPLAY").or_else(|| set("WAYLAND_DISPLAY")).is_some() => OsString::from("xdg-open"),
        None => return,
    };
    let mut command = Command::new(program);
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    environment::restore(&mut command);
    // Where that fails the URL is on the screen all the same.
    if let Ok(mut child) = command.spawn() {
        thread::spawn(move || drop(child.wait()));
    }
}

/// What a browser brings along in its question; `None` where that is not a question for us.
fn answer_of(browser: &mut TcpStream) -> Option<HashMap<String, String>> {
    browser.set_nonblocking(false).ok()?;
    browser.set_read_timeout(Some(QUESTION)).ok()?;
    let end = Instant::now() + QUESTION;
    let mut bytes = Vec::new();
    let mut piece = [0; 1024];
    while !bytes.windows(4).any(|four| four == b"\r\n\r\n") {
        let count = browser.read(&mut piece).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&piece[..count]);
        if bytes.len() > MAX_QUESTION || Instant::now() >= end {
            return None;
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let query = text.lines().next()?.strip_prefix("GET /?")?.split(' ').next()?;
    let field = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        (decoded(name), decoded(value))
    };
    Some(query.split('&').map(field).collect())
}

fn reply(browser: &mut TcpStream, status: &str, text: &str) {
    let page = format!("<!doctype html><title>mailsync</title><p>{text}</p>\n");
    let head = "Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\nConnection: close";
    let answer = format!("HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {}\r\n\r\n{page}", page.len());
    // A browser that went away misses nothing: the terminal says the same.
    drop(browser.write_all(answer.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::oauth::tests::client;

    #[test]
    fn the_url_has_all_that_a_provider_wants_and_no_secret() {
        let client = Client {
            user: Some("me+x@example.org".to_owned()),
            id: "an id".to_owned(),
            secret: Some(crate::mail::Secret::new("sesame")),
            ..client("/nowhere".as_ref())
        };
        // The example of RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let auth_url = client.provider.auth_url.as_deref().expect("a URL");
        let url = question(&client, auth_url, "http://localhost:1/", "st", verifier);
        for part in [
            "https://accounts.google.com/o/oauth2/v2/auth?response_type=code&client_id=an%20id",
            "redirect_uri=http%3A%2F%2Flocalhost%3A1%2F",
            "login_hint=me%2Bx%40example%2Eorg",
            "code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw%2DcM",
            "access_type=offline",
        ] {
            assert!(url.contains(part), "{part}: {url}");
        }
        assert!(!url.contains("sesame") && !url.contains(verifier));
    }
}
