//! Logins from end to end: what the program says, how it ends, and that it does not try again.

mod support;

use support::{Home, Script};

/// A home whose account `main` goes to this server as `me`, with these further keys.
fn home(server: &Script, keys: &str) -> Home {
    let home = Home::new();
    home.config(&format!(
        "[account.main.remote]\nhost = \"127.0.0.1\"\nport = {}\nuser = \"me\"\ntls = \"none\"\nconnections = 4\n{keys}\n\
         [account.main.local]\npath = \"~/Mail\"\n",
        server.port
    ));
    home
}

#[test]
fn a_refused_login_says_what_to_do_ends_with_four_and_is_not_repeated() {
    for (refusal, hint) in [
        ("NO [AUTHENTICATIONFAILED] Authentication failed.", "hint: check the user name and password"),
        ("NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)", "hint: check the user name; Gmail takes no"),
        (
            "NO [ALERT] Application-specific password required: https://support.google.com/accounts/answer/185833 (Failure)",
            "hint: make an application password",
        ),
        ("NO [ALERT] Your account is not enabled for IMAP use. (Failure)", "hint: IMAP is switched off"),
        ("NO [ALERT] Account is locked", "hint: the account is locked"),
        ("BAD User is authenticated but not connected.", "hint: the login was accepted and the mailbox refused"),
        ("NO [ALERT] Too many simultaneous connections. (Failure)", "hint: the server allows fewer connections"),
        ("NO [LIMIT] LOGIN Rate limit hit", "hint: the server asks for a pause"),
    ] {
        for command in ["sync", "info"] {
            // Another connection would find nobody.
            let server = Script::play(&[&format!(
                "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hello
                 C: T AUTHENTICATE PLAIN AG1lAHNlc2FtZQ==
                 S: T {refusal}
                 EOF"
            )]);
            let home = home(&server, "password = \"sesame\"");
            let out = home.mailsync(&[command]).exits(4).never_says("sesame");
            out.says("AUTHENTICATE PLAIN").says(hint).done();
            server.finish();
        }
    }
}

#[test]
fn a_mailbox_that_is_refused_behind_the_login_is_a_matter_of_the_login() {
    let server = Script::play(&["S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] hello
        C: T AUTHENTICATE XOAUTH2 *
        S: T OK [CAPABILITY IMAP4rev1] AUTHENTICATE completed.
        C: T LIST *
        C: T LSUB *
        S: m1 BAD User is authenticated but not connected.
        S: * BYE Connection closed. 14
        DROP"]);
    let out = home(&server, "token_command = [\"echo\", \"sesame\"]").mailsync(&["sync"]).exits(4);
    out.says("hint: the login was accepted and the mailbox refused").never_says("sesame").done();
    server.finish();
}

#[test]
fn a_token_comes_from_its_command_and_is_never_said() {
    for (mechanism, challenge, pity) in [
        // {"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}
        (
            "XOAUTH2",
            "eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ==",
            "",
        ),
        (
            "OAUTHBEARER",
            "eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ==",
            "AQ==",
        ),
    ] {
        let server = Script::play(&[&format!(
            "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN AUTH={mechanism}] hello
             C: T AUTHENTICATE {mechanism} *
             S: + {challenge}
             C: {pity}
             S: T NO SASL authentication failed
             EOF"
        )]);
        let home = home(&server, "token_command = [\"sh\", \"-c\", \"echo sesame; echo not this\"]");
        let out =
            home.mailsync(&["--debug", "imap", "-vv", "sync"]).exits(4).never_says("sesame").never_says("c2VzYW1l");
        out.says("status 400, scope https://mail.google.com/").says("hint: the access token was not accepted").done();
        assert!(server.transcript().contains(match mechanism {
            "XOAUTH2" => "AUTHENTICATE XOAUTH2 dXNlcj1tZQFhdXRoPUJlYXJlciBzZXNhbWUBAQ==",
            _ => "AUTHENTICATE OAUTHBEARER bixhPW1lLAFob3N0PTEyNy4wLjAuMQFwb3J0P",
        }));
        server.finish();
    }
}

#[test]
fn a_token_that_expires_in_the_middle_of_a_run_is_replaced_and_the_run_goes_on() {
    let login = |token: &str| {
        format!(
            "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] hello
             C: T AUTHENTICATE XOAUTH2 {token}
             S: T OK [CAPABILITY IMAP4rev1] AUTHENTICATE completed.\n"
        )
    };
    let list = "C: T LIST *
        C: T LSUB *
        S: * LIST () \"/\" INBOX
        S: m1 OK done
        S: m2 OK done
        C: m3 STATUS *
        S: * STATUS INBOX (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 7 UNSEEN 0)
        S: m3 OK done\n";
    // user=me, auth=Bearer token-1 and token-2
    let first = login("dXNlcj1tZQFhdXRoPUJlYXJlciB0b2tlbi0xAQE=")
        + list
        + "C: T SELECT *
           S: * BYE Session invalidated - AccessTokenExpired
           DROP";
    let second = login("dXNlcj1tZQFhdXRoPUJlYXJlciB0b2tlbi0yAQE=")
        + "C: T SELECT *
           S: * FLAGS ()
           S: * 0 EXISTS
           S: * OK [UIDVALIDITY 7] ok
           S: * OK [UIDNEXT 1] ok
           S: T OK [READ-WRITE] done
           HANG";
    let server = Script::play(&[&first, &second]);
    let home = home(&server, "token_command = [\"sh\", \"-c\", \"echo x >> runs; echo token-$(wc -l < runs)\"]");
    home.mailsync(&["sync"]).exits(0).done();
    server.finish();
}

#[test]
fn a_command_for_tokens_that_fails_is_named() {
    let server = Script::play(&["S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] hello\nEOF"]);
    let keys = "token_command = [\"sh\", \"-c\", \"echo sesame; echo run oama authorize >&2; exit 1\"]";
    let out = home(&server, keys).mailsync(&["sync"]).exits(4);
    out.says("token_command: sh failed (exit status: 1): run oama authorize").never_says("sesame").done();
    server.finish();
}

#[test]
fn a_certificate_needs_no_password_and_nobody_is_asked_for_one() {
    let server = Script::play(&["S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=EXTERNAL AUTH=PLAIN] hello
        C: T AUTHENTICATE EXTERNAL =
        S: T NO [AUTHENTICATIONFAILED] no certificate
        EOF"]);
    let out = home(&server, "auth = \"external\"").mailsync(&["sync"]).exits(4);
    out.says("hint: the server does not know you by the client certificate").done();
    server.finish();
}

/// All that a process has in its memory and may read.
fn memory_of(pid: u32) -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("its maps");
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).expect("its memory");
    let mut all = Vec::new();
    for map in maps.lines().filter(|map| map.contains(" r") && !map.contains("[v")) {
        let (from, to) = map.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
        let address = |text: &str| u64::from_str_radix(text, 16).expect("an address");
        let mut piece = vec![0; usize::try_from(address(to) - address(from)).expect("a size")];
        // What is no memory, as a device, can't be read.
        if memory.read_exact_at(&mut piece, address(from)).is_ok() {
            all.extend_from_slice(&piece);
        }
    }
    all
}

#[test]
fn behind_the_login_the_secret_is_in_memory_once_for_the_connections_to_come() {
    // What PLAIN, XOAUTH2 and LOGIN make of the user "me" and this.
    let secret = "Xq7-sesame-Xq7";
    for (capability, command, sent) in [
        ("AUTH=PLAIN", "AUTHENTICATE PLAIN *", "AG1lAFhxNy1zZXNhbWUtWHE3"),
        ("AUTH=XOAUTH2", "AUTHENTICATE XOAUTH2 *", "dXNlcj1tZQFhdXRoPUJlYXJlciBYcTctc2VzYW1lLVhxNwEB"),
        ("X", "LOGIN *", "\"Xq7-sesame-Xq7\""),
    ] {
        let server = Script::play(&[&format!(
            "S: * OK [CAPABILITY IMAP4rev1 SASL-IR {capability}] hello
             C: T {command}
             S: T OK [CAPABILITY IMAP4rev1] done
             C: T LIST *
             C: T LSUB *
             HANG"
        )]);
        let source = if capability == "AUTH=XOAUTH2" { "token_command" } else { "password_command" };
        // It runs where the program does.
        let home = home(&server, &format!("{source} = [\"cat\", \"secret\"]"));
        home.write("secret", &format!("{secret}\n"), 0o600);
        let mut child = home.start(&["sync"]);
        let begin = std::time::Instant::now();
        while !server.transcript().contains(" LSUB ") {
            assert!(begin.elapsed().as_secs() < 30, "{}", server.transcript());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let memory = memory_of(child.id());
        child.kill().and_then(|()| child.wait()).expect("ended");
        let times = |text: &str| memory.windows(text.len()).filter(|window| *window == text.as_bytes()).count();
        assert!(server.transcript().contains(sent));
        // As it was sent it is nowhere. The crate's own strings, which are gone, end without a line end.
        assert_eq!((times(secret), times(&format!("{sent}\r\n"))), (1, 0), "{capability}");
        server.finish();
    }
}
