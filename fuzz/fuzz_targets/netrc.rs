//! Any netrc is read, and none of its secrets gets into an error, a note or a `Debug` output.
//!
//! What bears the mark `pw!` counts as secret; a file that has it in a host or login tells it by its own fault.

#![no_main]

#[path = "../support/file.rs"]
mod file;

use libfuzzer_sys::fuzz_target;
use mailsync::secret::lexer::{Lexer, quote};
use mailsync::secret::netrc::{Entry, find, parse};
use mailsync::secret::{Context, Decrypted, SecretError, Source, Spec, TIMEOUT, resolve};
use std::cell::RefCell;

const MARK: &str = "pw!";

fuzz_target!(|file: &[u8]| {
    let (entries, warnings) = parse(file);
    let lines = file.iter().filter(|byte| **byte == b'\n').count() + 1;
    assert!(entries.iter().all(|entry| (1..=lines).contains(&entry.line)));
    assert!(warnings.iter().all(|warning| (1..=lines).contains(&warning.line)));
    words(file);
    let told = |text: &Option<String>| text.as_ref().is_some_and(|text| text.contains(MARK));
    let by_itself = entries.iter().any(|entry| told(&entry.host) || told(&entry.login));
    let hide = |shown: &str| assert!(by_itself || !shown.contains(MARK), "a secret is told: {shown}");
    hide(&format!("{entries:?} {warnings:?}"));
    again(&entries);
    for (user, port) in [(None, 993), (Some("me"), 993), (Some("me"), 143), (Some("nobody"), 1)] {
        hide(&format!("{:?}", find(&entries, "h", user, port)));
    }
    for user in [None, Some("me")] {
        resolved(file, user, &hide);
    }
});

/// The lexer ends, and every word that can be written is read again.
fn words(file: &[u8]) {
    let mut lexer = Lexer::new(file);
    let mut count = 0;
    while let Some(word) = if count % 2 == 0 { lexer.keyword() } else { lexer.value() } {
        count += 1;
        assert!(count <= file.len());
        if !word.text.contains('\n') {
            // A word never begins a file: there a byte order mark would be none of it.
            let quoted = format!(" {}", quote(&word.text));
            let back = Lexer::new(quoted.as_bytes()).value().expect("a word");
            assert!(back.text == word.text, "{:?} became {:?}", word.text, back.text);
        }
    }
}

/// What was understood, written as plain as can be, is understood in the same way.
fn again(entries: &[Entry]) {
    let mut text = String::new();
    for entry in entries {
        match &entry.host {
            Some(host) => text.push_str(&format!("machine {}", quote(host))),
            None => text.push_str("default"),
        }
        let password = entry.password.as_ref().map(|password| password.expose());
        for (keyword, value) in [("login", entry.login.as_deref()), ("password", password)] {
            text.extend(value.map(|value| format!(" {keyword} {}", quote(value))));
        }
        text.extend(entry.port.map(|port| format!(" port {port}")));
        text.push('\n');
    }
    let values = |entry: &Entry| (entry.host.clone(), entry.login.clone(), entry.password.clone(), entry.port);
    if text.lines().count() == entries.len() && !text.contains('\r') {
        let back = parse(text.as_bytes()).0;
        assert!(back.iter().map(values).eq(entries.iter().map(values)), "{text:?} became {back:?}");
    }
}

fn resolved(file: &[u8], user: Option<&str>, hide: &impl Fn(&str)) {
    let netrc = file::written(file, 0o600);
    let spec = Spec {
        host: "h".to_owned(),
        port: 993,
        user: user.map(str::to_owned),
        source: Source::Unsaid,
        netrc: Some(netrc.path().to_owned()),
    };
    let notes = RefCell::new(Vec::new());
    let note = |text| notes.borrow_mut().push(text);
    let decrypted = &Decrypted::default();
    let context =
        Context { refused: None, prompt: false, timeout: TIMEOUT, decrypted, note: &note, cancelled: &|| false };
    match resolve(&spec, &context) {
        Ok(found) => hide(&format!("{found:?} {}", found.origin)),
        Err(error) => {
            hide(&format!("{error} {error:?}"));
            let SecretError::Failed { hint, .. } = error else { panic!("nobody cancelled") };
            hide(&hint.unwrap_or_default());
        }
    }
    hide(&notes.borrow().join("\n"));
}
