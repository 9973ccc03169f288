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
    // One that is not there, and one that says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = silent.local_addr().expect("an address").port();
    for (port, said) in [(1, "can't connect to it: "), (port, "no answer for 1 second")] {
        for scheme in ["socks5h", "http"] {
            let proxy = format!("proxy = \"{scheme}://me:key@127.0.0.1:{port}\"\ntimeout = 1");
            let out = home("localhost", server.tls_port, &proxy).mailsync(&["sync"]).exits(1);
            out.says(&format!("the proxy {scheme}://127.0.0.1:{port}: {said}")).says("hint: check `proxy`").done();
        }
    }
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

/// A server that lets in who shows a certificate of its authority; beside that are `alice.pem`, `alice.key` and `alice.p12`,
/// which has the password "sesame-of-p12".
fn certified() -> Dovecot {
    // The authority's files are where the server's are.
    let extra =
        "ssl_ca = <ca.pem\nssl_verify_client_cert = yes\nssl_require_crl = no\nauth_ssl_require_client_cert = yes\n"
            .to_owned();
    let server = Dovecot::with(Options { extra, ..Options::default() });
    let shown = certificate(&server, "alice");
    let mut pkcs12 = Command::new("openssl");
    pkcs12.args(["pkcs12", "-export", "-passout", "pass:sesame-of-p12", "-inkey", &format!("{shown}.key")]);
    pkcs12.args(["-in", &format!("{shown}.pem"), "-out", &format!("{shown}.p12")]);
    assert!(pkcs12.status().expect("openssl").success());
    server
}

#[test]
fn a_server_that_wants_a_certificate_of_ours_gets_it() {
    let server = certified();
    let shown = server.ca_file.parent().expect("a directory").display();
    let ca = format!("ca_file = \"{}\"", server.ca_file.display());
    for keys in [
        format!("client_cert = \"{shown}/alice.pem\"\nclient_key = \"{shown}/alice.key\""),
        format!("client_cert = \"{shown}/alice.p12\"\nclient_cert_password = \"sesame-of-p12\""),
    ] {
        for (tls, port) in [("implicit", server.tls_port), ("starttls", server.port)] {
            home("localhost", port, &format!("{ca}\ntls = \"{tls}\"\n{keys}")).sync();
        }
    }
    let none = home("localhost", server.tls_port, &ca);
    none.mailsync(&["sync"]).exits(4).says("hint: the server wants a certificate of yours: see client_cert").done();
}

fn through(command: &[&str], keys: &str) -> Home {
    let home = Home::new();
    let words: Vec<String> = command.iter().map(|word| format!("{word:?}")).collect();
    home.config(&format!(
        "[account.main.remote]\ncommand = [{}]\n{keys}\n[account.main.local]\npath = \"~/Mail\"\n",
        words.join(", ")
    ));
    home
}

#[test]
fn a_tunnel_leads_to_a_login() {
    let server = server(String::new());
    let place = format!("127.0.0.1:{}", server.tls_port);
    let ca = server.ca_file.display().to_string();
    let tunnel = ["openssl", "s_client", "-quiet", "-verify_return_error", "-CAfile", &ca, "-connect", &place];
    let home = through(&tunnel, "user = \"alice\"\npassword_command = [\"echo\", \"secret-alice\"]");
    home.sync();
    assert_eq!(home.maildir().messages("INBOX").len(), 1);
    let wrong = through(&tunnel, "user = \"alice\"\npassword_command = [\"echo\", \"sesame\"]");
    let out = wrong.mailsync(&["sync"]).exits(4).says("(password from password_command echo)").never_says("sesame");
    out.says("mailsync: main: openssl: log in: ").done();
    // By host and user, as without a tunnel.
    let netrc = through(&tunnel, "user = \"alice\"\nhost = \"imap.example.org\"");
    netrc.netrc("machine imap.example.org login alice password secret-alice\n");
    netrc.sync();
    assert_eq!(netrc.maildir().messages("INBOX").len(), 1);
}

#[test]
fn a_tunnel_may_have_logged_in() {
    let server = server(String::new());
    let conf = server.ca_file.with_file_name("dovecot.conf");
    let (home, conf) = (server.home("alice"), conf.display());
    // For root Dovecot's program takes no socket as its output.
    let script = format!("HOME='{}' USER=alice doveadm -c '{conf}' exec imap | cat", home.display());
    let home = through(&["sh", "-c", &script], "");
    home.sync();
    assert_eq!(home.maildir().messages("INBOX").len(), 1);
    home.mailsync(&["info"]).exits(0).says("tunnel").done();
}

#[test]
fn a_tunnel_that_fails_is_told_of() {
    for (command, said) in [
        (&["/nonexistent/ssh", "host"][..], "No such file or directory"),
        (&["sh", "-c", "echo 'ssh: connect to host h: no route' >&2; exit 255"], "the server closed the connection"),
    ] {
        let home = through(command, "user = \"alice\"\npassword_command = [\"echo\", \"sesame\"]");
        home.mailsync(&["sync"]).exits(1).says(said).done();
    }
    // What it started goes with it.
    let home =
        through(&["sh", "-c", "sleep 1000 & echo $! > pid; wait"], "user = \"alice\"\npassword = \"x\"\ntimeout = 1");
    home.mailsync(&["sync"]).exits(1).says("no answer for 1 second").done();
    let pid = std::fs::read_to_string(home.path().join("pid")).expect("it ran");
    let gone = || match std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())) {
        Ok(stat) => stat.contains(") Z "),
        Err(_) => true,
    };
    let begin = std::time::Instant::now();
    while !gone() {
        assert!(begin.elapsed().as_secs() < 10, "process {pid} lives");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// All that files below a directory hold.
fn everything_in(dir: &std::path::Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path()) {
        match entry.is_dir() {
            true => all.extend(everything_in(&entry)),
            // What is no file of ours may be gone by now.
            false => all.extend(std::fs::read(&entry).unwrap_or_default()),
        }
    }
    all
}

#[test]
fn nothing_secret_of_the_way_is_said_or_written_anywhere() {
    let server = certified();
    let shown = server.ca_file.parent().expect("a directory").display();
    // The last one is what HTTP makes of the proxy's.
    let secrets = ["secret-alice", "sesame-of-p12", "k@y-of-proxy", "k%40y-of-proxy", "bWU6a0B5LW9mLXByb3h5"];
    for scheme in ["socks5h", "http"] {
        let gateway = Gateway::open(Some(("me:k@y-of-proxy", secrets[4])));
        let keys = |proxy: &str, p12: &str, more: &str| {
            format!(
                "ca_file = \"{}\"\nproxy = \"{scheme}://me:{proxy}@127.0.0.1:{}\"\nclient_cert = \"{shown}/alice.p12\"\n\
                 client_cert_password = \"{p12}\"\n{more}",
                server.ca_file.display(),
                gateway.port
            )
        };
        let hooks = "password = \"secret-alice\"\n[hooks]\npost_sync = \"(env; cat) >> ~/told\"\nerror = \"(env; cat) >> ~/told\"";
        let good = keys(secrets[3], secrets[1], hooks);
        for (keys, code) in [
            (good.clone(), 0),
            (good.replace("secret-alice", "secret-alice-not"), 4),
            (good.replace("sesame-of-p12", "sesame-of-p12-not"), 1),
            (good.replace("y-of-proxy", "y-of-proxy-not"), 1),
        ] {
            let home = home("localhost", server.tls_port, &keys);
            std::fs::remove_file(home.path().join(".netrc")).expect("no other password");
            let out = home.mailsync(&["-vv", "-d", "imap,maildir,state,sync", "sync"]).exits(code);
            let info = home.mailsync(&["-vv", "-d", "imap,maildir,state,sync", "info", "--json"]).exits(code);
            let problems = home.mailsync(&["-vv", "problems"]);
            std::fs::remove_dir_all(home.path().join(".config")).expect("without the config");
            let files = everything_in(home.path());
            for secret in secrets {
                for out in [&out, &info, &problems] {
                    out.clone().never_says(secret).done();
                }
                assert!(
                    !files.windows(secret.len()).any(|window| window == secret.as_bytes()),
                    "{secret} is in a file"
                );
            }
            assert!(home.path().join("told").exists(), "the hooks did not run\n{out}");
        }
    }
}
