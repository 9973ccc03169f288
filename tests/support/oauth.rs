//! A provider of OAuth2 tokens: it lets everybody in, and gives tokens that its Dovecot asks it about.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// What the provider knows, and what it will do.
#[derive(Default)]
pub struct Known {
    /// Seconds that an access token is said to be good.
    pub expires_in: u64,
    /// Tokens that are good.
    pub access: Vec<String>,
    pub refresh: Vec<String>,
    /// Said instead of an answer: error, and description.
    pub refuse: Option<(&'static str, &'static str)>,
    /// How often somebody who asks for a device's login is told to wait.
    pub pending: usize,
    /// Said one after the other to who asks for a device's login; `broken` is no answer at all.
    pub device: Vec<&'static str>,
    /// Given instead of an answer to who asks for tokens.
    pub answer: Option<String>,
    /// How long each answer to who asks for tokens takes.
    pub pause: Duration,
    /// How many have come to ask for tokens.
    pub coming: usize,
    /// Once so many questions about tokens were answered, those that were given are good no more.
    pub withdraw_at: Option<usize>,
    asked_about: usize,
    /// The forms that came to the token's URL.
    pub asked: Vec<HashMap<String, String>>,
    /// Of a login that began: its code, and the challenge.
    begun: HashMap<String, String>,
    given: usize,
}

pub struct Provider {
    pub port: u16,
    known: Arc<Mutex<Known>>,
}

impl Provider {
    pub fn open() -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind to loopback");
        let port = listener.local_addr().expect("an address").port();
        let known = Arc::new(Mutex::new(Known { expires_in: 3600, ..Known::default() }));
        let shared = known.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, known) = (client.expect("accept"), shared.clone());
                thread::spawn(move || serve(client, &known));
            }
        });
        Provider { port, known }
    }

    pub fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("nobody panicked")
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }
}

fn serve(client: TcpStream, known: &Mutex<Known>) {
    let mut writer = client.try_clone().expect("a stream");
    let mut reader = BufReader::new(client);
    // A client may ask several things over one connection, and go away whenever it likes.
    while let Some((path, query, form)) = question(&mut reader) {
        if path == "/token" {
            let pause = {
                let mut known = known.lock().expect("nobody panicked");
                known.coming += 1;
                known.pause
            };
            thread::sleep(pause);
        }
        let (status, answer) = answer(&path, &query, form, &mut known.lock().expect("nobody panicked"));
        if answer == "broken" {
            return;
        }
        let location = answer.strip_prefix("to ").map_or(String::new(), |to| format!("Location: {to}\r\n"));
        let head = format!("HTTP/1.1 {status}\r\n{location}Content-Type: application/json\r\n");
        if write!(writer, "{head}Content-Length: {}\r\n\r\n{answer}", answer.len()).is_err() {
            return;
        }
    }
}

type Fields = HashMap<String, String>;

fn question(reader: &mut BufReader<TcpStream>) -> Option<(String, Fields, Fields)> {
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|count| *count > 0)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().ok()?,
            None if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let target = first.split(' ').nth(1)?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Some((path.to_owned(), fields(query), fields(&String::from_utf8_lossy(&body))))
}

/// What a query or a form says.
pub fn fields(text: &str) -> Fields {
    let field = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    };
    text.split('&').filter(|pair| !pair.is_empty()).map(field).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || char::from(rest.next().expect("a digit")).to_digit(16).expect("a digit") as u8;
        bytes.push(match byte {
            b'%' => digit() * 16 + digit(),
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).expect("text")
}

fn answer(path: &str, query: &Fields, form: Fields, known: &mut Known) -> (&'static str, String) {
    match path {
        "/auth" => {
            let code = format!("code-{}", known.begun.len());
            known.begun.insert(code.clone(), query["code_challenge"].clone());
            assert_eq!(query["code_challenge_method"], "S256");
            ("302 Found", format!("to {}?code={code}&state={}", query["redirect_uri"], query["state"]))
        }
        "/device" => {
            let place = "\"verification_uri\": \"https://example.org/device\"";
            let codes = "\"device_code\": \"device-secret\", \"user_code\": \"ABCD-EFGH\"";
            ("200 OK", format!("{{{codes}, {place}, \"interval\": 1, \"expires_in\": 60}}"))
        }
        "/introspect" => {
            known.asked_about += 1;
            if known.withdraw_at == Some(known.asked_about) {
                known.access.clear();
            }
            let good = query.get("token").is_some_and(|token| known.access.contains(token));
            ("200 OK", format!("{{\"active\": {good}, \"username\": \"alice\"}}"))
        }
        "/token" => token(form, known),
        _ => ("404 Not Found", "{}".to_owned()),
    }
}

fn refused(error: &str, description: &str) -> (&'static str, String) {
    ("400 Bad Request", format!("{{\"error\": \"{error}\", \"error_description\": \"{description}\"}}"))
}

fn token(form: Fields, known: &mut Known) -> (&'static str, String) {
    known.asked.push(form.clone());
    if let Some(answer) = &known.answer {
        return ("200 OK", answer.clone());
    }
    if let Some((error, description)) = known.refuse {
        return refused(error, description);
    }
    match form["grant_type"].as_str() {
        "authorization_code" => {
            let challenge = known.begun.remove(&form["code"]);
            if challenge != Some(super::challenge(&form["code_verifier"])) {
                return refused("invalid_grant", "the verifier is another one");
            }
        }
        "refresh_token" => {
            // Each is good once.
            let Some(at) = known.refresh.iter().position(|token| *token == form["refresh_token"]) else {
                return refused("invalid_grant", "Token has been expired or revoked.");
            };
            known.refresh.remove(at);
        }
        _ if !known.device.is_empty() => {
            return match known.device.remove(0) {
                "broken" => ("200 OK", "broken".to_owned()),
                error => refused(error, ""),
            };
        }
        _ if known.pending > 0 => {
            known.pending -= 1;
            return refused("authorization_pending", "");
        }
        _ => assert_eq!(form["device_code"], "device-secret"),
    }
    known.given += 1;
    let (access, refresh) = (format!("access-{}", known.given), format!("refresh-{}", known.given));
    known.access.push(access.clone());
    known.refresh.push(refresh.clone());
    let tokens = format!("\"access_token\": \"{access}\", \"refresh_token\": \"{refresh}\"");
    ("200 OK", format!("{{{tokens}, \"token_type\": \"Bearer\", \"expires_in\": {}}}", known.expires_in))
}

/// Asks as a browser does; the place that it is sent to, and what it is shown.
pub fn browse(url: &str) -> (Option<String>, String) {
    let (place, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("a URL");
    let mut stream = TcpStream::connect(place.replace("localhost", "127.0.0.1")).expect("somebody is there");
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n").expect("sends");
    stream.shutdown(std::net::Shutdown::Write).expect("all is said");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let location = answer.lines().find_map(|line| line.strip_prefix("Location: ")).map(str::to_owned);
    (location, answer)
}
