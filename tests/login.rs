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
        + "C: T LIST \"\" \"\"
           S: * LIST (\\Noselect) \"/\" \"\"
           S: T OK done
           C: T SELECT *
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
