//! Ways to the server: proxies, families of addresses, certificates of ours.

use crate::support::dovecot::Options;
use crate::support::gateway::Gateway;
use crate::support::*;
use std::process::Command;

fn home(host: &str, port: u16, keys: &str) -> Home {
    let home = Home::new();
    home.config(&format!(
        "[account.main.remote]\nhost = \"{host}\"\nport = {port}\nuser = \"alice\"\n{keys}\n\n\
         [account.main.local]\npath = \"~/Mail\"\n"
    ));
    home.netrc(&format!("machine {host} login alice password secret-alice\n"));
    home
}

fn server(extra: String) -> Dovecot {
    let server = Dovecot::with(Options { extra, ..Options::default() });
    server.login("alice").append("INBOX", &crlf(&mail("hello")), &[], None);
    server
}

#[test]
fn a_proxy_leads_to_the_server() {
    let server = server(String::new());
    let ca = format!("ca_file = \"{}\"", server.ca_file.display());
    let login = ("me:k@y", "bWU6a0B5");
    for (scheme, name) in [("socks5h", true), ("socks5", false), ("http", true)] {
        for (tls, port) in [("implicit", server.tls_port), ("starttls", server.port)] {
            let gateway = Gateway::open(Some(login));
            let proxy = format!("{ca}\ntls = \"{tls}\"\nproxy = \"{scheme}://me:k%40y@127.0.0.1:{}\"", gateway.port);
            let home = home("localhost", port, &proxy);
            home.mailsync(&["sync"]).exits(0).never_says("k@y").never_says("k%40y").done();
            assert_eq!(home.maildir().messages("INBOX").len(), 1);
            let led = gateway.led();
            let asked = if name { format!("localhost:{port}") } else { format!("127.0.0.1:{port}") };
            assert!(!led.is_empty() && led.iter().all(|place| *place == asked), "{led:?}");
        }
    }
}

#[test]
fn a_proxy_that_refuses_is_told_with_what_to_do() {
    let server = server(String::new());
    let gateway = Gateway::open(Some(("me:key", "bWU6a2V5")));
    for (url, why) in [
        (format!("socks5h://127.0.0.1:{}", gateway.port), "it wants a login"),
        (format!("socks5h://me:wrong@127.0.0.1:{}", gateway.port), "does not take the user and password"),
        (format!("http://127.0.0.1:{}", gateway.port), "it wants a login"),
        (format!("socks5h://me:key@127.0.0.1:{}", server.port), "it does not speak SOCKS5"),
    ] {
        let home = home("localhost", server.tls_port, &format!("proxy = \"{url}\""));
        home.mailsync(&["sync"]).exits(1).says(why).says("check `proxy`").never_says("wrong@").done();
    }
    assert!(gateway.led().is_empty());
    let home = home("localhost", 9, &format!("proxy = \"http://me:key@127.0.0.1:{}\"", gateway.port));
    home.mailsync(&["sync"]).exits(1).says("it does not connect to localhost:9: HTTP/1.1 502 Bad Gateway").done();
}

#[test]
fn a_family_of_addresses_is_used_alone() {
    let server = server(String::new());
    let ca = format!("ca_file = \"{}\"", server.ca_file.display());
    let home_of = |family: &str| home("127.0.0.1", server.tls_port, &format!("{ca}\naddress_family = \"{family}\""));
    home_of("ipv4").sync();
    home_of("ipv6").mailsync(&["sync"]).exits(1).says("it has no IPv6 address").done();
}

/// Signs a certificate and key by the server's authority, for a user; gives where they are, without `.pem` and `.key`.
fn certificate(server: &Dovecot, user: &str) -> String {
    let dir = server.ca_file.parent().expect("a directory");
    let openssl = |args: String| {
        let out = Command::new("openssl").current_dir(dir).args(args.split(' ')).output().expect("openssl");
        assert!(out.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&out.stderr));
    };
    openssl(format!("req -newkey rsa:2048 -nodes -keyout {user}.key -out {user}.csr -subj /CN={user}"));
    openssl(format!("x509 -req -in {user}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out {user}.pem"));
    dir.join(user).display().to_string()
}

#[test]
fn a_certificate_takes_the_place_of_the_password() {
    let extra = "auth_mechanisms = plain external\nssl_ca = <ca.pem\nssl_verify_client_cert = yes\nssl_require_crl = no\n\
                 auth_ssl_username_from_cert = yes\nssl_cert_username_field = commonName\n\
                 passdb {\n  driver = static\n  mechanisms = external\n  args = nopassword\n}\n";
    let server = server(extra.to_owned());
    let home = |user: &str, keys: &str| {
        let (ca, shown) = (server.ca_file.display(), certificate(&server, user));
        let home = Home::new();
        home.config(&format!(
            "[account.main.remote]\nhost = \"localhost\"\nca_file = \"{ca}\"\nauth = \"external\"\n\
             client_cert = \"{shown}.pem\"\nclient_key = \"{shown}.key\"\n{keys}\n\n\
             [account.main.local]\npath = \"~/Mail\"\n"
        ));
        home
    };
    for (tls, port) in [("implicit", server.tls_port), ("starttls", server.port)] {
        let alice = home("alice", &format!("tls = \"{tls}\"\nport = {port}"));
        alice.sync();
        alice.maildir().message("INBOX", "hello");
    }
    // Whoever it is, a certificate opens the mailbox of its own name.
    let bob = home("bob", &format!("port = {}", server.tls_port));
    bob.sync();
    assert!(bob.maildir().messages("INBOX").is_empty());
    let as_alice = home("bob", &format!("port = {}\nauthzid = \"alice\"", server.tls_port));
    let out = as_alice.mailsync(&["sync"]).exits(4).says("server refused AUTHENTICATE EXTERNAL");
    out.says("hint: the server does not know you by the client certificate").done();
    let log = server.log();
    assert!(log.contains("user=<alice>, method=EXTERNAL") && log.contains("user=<bob>, method=EXTERNAL"), "{log}");
}

#[test]
fn a_server_that_wants_a_certificate_of_ours_gets_it() {
    // The authority's files are where the server's are.
    let extra =
        "ssl_ca = <ca.pem\nssl_verify_client_cert = yes\nssl_require_crl = no\nauth_ssl_require_client_cert = yes\n"
            .to_owned();
    let server = Dovecot::with(Options { extra, ..Options::default() });
    let shown = certificate(&server, "alice");
    let mut pkcs12 = Command::new("openssl");
    pkcs12.args(["pkcs12", "-export", "-passout", "pass:sesame", "-inkey", &format!("{shown}.key")]);
    pkcs12.args(["-in", &format!("{shown}.pem"), "-out", &format!("{shown}.p12")]);
    assert!(pkcs12.status().expect("openssl").success());
    let ca = format!("ca_file = \"{}\"", server.ca_file.display());
    for keys in [
        format!("client_cert = \"{shown}.pem\"\nclient_key = \"{shown}.key\""),
        format!("client_cert = \"{shown}.p12\"\nclient_cert_password = \"sesame\""),
    ] {
        for (tls, port) in [("implicit", server.tls_port), ("starttls", server.port)] {
            home("localhost", port, &format!("{ca}\ntls = \"{tls}\"\n{keys}")).sync();
        }
    }
    let none = home("localhost", server.tls_port, &ca);
    none.mailsync(&["sync"]).exits(4).done();
}
