//! What config files are understood, and what is said of those that are not.

mod support;

use mailsync::config::{
    Config, ConfigError, Dialect, Layout, Local, Maildir, Mode, Password, PathForm, Rename, Sort, Tls, Trash, UiChoice,
    keys,
};
use mailsync::mail::Role;
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::Home;

const MINIMAL: &str = include_str!("../contrib/config.minimal.toml");
const FULL: &str = include_str!("../contrib/config.full.toml");
const MANUAL: &str = include_str!("../man/mailsync-config.5");

/// Loads a config that stands in a file called `config.toml`.
fn load(text: &str) -> Result<Config, ConfigError> {
    load_with(text, 0o600, &[])
}

fn load_with(text: &str, mode: u32, set: &[&str]) -> Result<Config, ConfigError> {
    let home = Home::new();
    let file = home.write("config.toml", text, mode);
    let set: Vec<String> = set.iter().map(|option| option.to_string()).collect();
    Config::load(Some(&file), &set)
}

/// What is wrong with a config, with the directory of the file left out.
fn complaints(text: &str) -> Vec<String> {
    told(load(text))
}

fn told(loaded: Result<Config, ConfigError>) -> Vec<String> {
    let error = loaded.expect_err("a config that is wrong");
    let without_dir = |at: String| match at.find("/config.toml") {
        Some(end) => at[end + 1..].to_owned(),
        None => at,
    };
    let mut lines = Vec::new();
    for problem in &error.problems {
        lines.push(without_dir(problem.to_string()));
        lines.extend(problem.hint.iter().map(|hint| format!("hint: {hint}")));
    }
    lines
}

/// The smallest config with `lines` added to its remote.
fn remote(lines: &str) -> String {
    format!("[account.a.local]\npath = \"/m\"\n[account.a.remote]\n{lines}\n")
}

fn maildir(config: &Config) -> &Maildir {
    match &config.accounts[0].local {
        Local::Maildir(maildir) => maildir,
        Local::Imap(_) => panic!("the local side is no Maildir"),
    }
}

#[test]
fn what_becomes_of_deleted_messages_is_said_for_all_accounts_or_one() {
    let more = "trash = \"Deleted Items\"\nretain_deleted = \"12h\"\n";
    let text = format!("[general]\nretain_deleted = \"2w\"\n[account.b]\n{more}{MINIMAL}");
    let config = load(
        &text.replace("[account.b]", "[account.b]\nremote = { host = \"h\", user = \"u\" }\nlocal = { path = \"/b\" }"),
    )
    .expect("a config");
    let hours = |at: usize| config.accounts[at].retain_deleted.as_secs() / 3600;
    assert_eq!((hours(0), hours(1)), (12, 336));
    assert!(matches!(&config.accounts[0].trash, Trash::Folder(name) if name.value == "Deleted Items"));
    assert!(matches!(config.accounts[1].trash, Trash::Auto));
    let wrong = complaints(&format!("{MINIMAL}\n[general]\nretain_deleted = 30\n"));
    assert!(wrong[0].contains("`retain_deleted` must be a text as \"30d\", not"), "{wrong:?}");
    let wrong = complaints(&format!("{MINIMAL}\n[general]\nretain_deleted = \"a month\"\n"));
    assert!(wrong[0].contains("\"a month\" is no length of time"), "{wrong:?}");
    let wrong = complaints(&MINIMAL.replace("remote =", "trash = \"role:junk\"\nremote ="));
    assert!(wrong[0].contains("the only role that `trash` may have"), "{wrong:?}");
}

#[test]
fn the_smallest_file_is_enough() {
    let config = load(MINIMAL).expect("the minimal config");
    let account = &config.accounts[0];
    assert_eq!((account.name.as_str(), account.enabled), ("main", true));
    assert_eq!((account.remote.host.as_str(), account.remote.port), ("imap.example.org", 993));
    assert_eq!(account.remote.user.as_deref(), Some("me@example.org"));
    assert_eq!((account.remote.tls, account.remote.connections), (Tls::Implicit, 2));
    assert!(matches!(account.remote.password, Password::Unsaid));
    assert_eq!(maildir(&config).layout, Layout::Nested);
    assert!(MINIMAL.lines().count() <= 12);
}

#[test]
fn the_full_file_shows_every_default() {
    let (full, minimal) = (load(FULL).expect("the full config"), load(MINIMAL).expect("the minimal config"));
    let general = |config: &Config| format!("{:?}", config.general);
    assert_eq!(general(&full), general(&minimal));
    let account = |config: &Config| {
        let account = &config.accounts[0];
        let (mut remote, local) = (account.remote.clone(), maildir(config).clone());
        remote.at = minimal.accounts[0].remote.at.clone();
        let filters = account.folders.filters.len() + account.folders.renames.len() + account.folders.roles.len();
        let rest = (account.enabled, account.guard, account.folders.subscribed_only, account.folders.delete, filters);
        format!("{remote:?} {:?} {:?} {rest:?}", local.layout, local.info_separator)
    };
    assert_eq!(account(&full), account(&minimal));
    let mutt = &full.mutt;
    assert_eq!(mutt.template.as_ref().map(|template| template.value.as_str()), Some("default"));
    assert_eq!((mutt.dialect, mutt.paths, mutt.sort), (Dialect::Mutt, PathForm::Absolute, Sort::Account));
    let mutt = &minimal.mutt;
    assert_eq!((mutt.dialect, mutt.paths, mutt.sort), (Dialect::Mutt, PathForm::Absolute, Sort::Account));
}

#[test]
fn every_key_stands_in_the_full_file_and_in_the_manual() {
    for table in keys::ALL {
        for key in table.keys.iter().filter(|key| !["general", "account", "mutt"].contains(key)) {
            let assigned = FULL.lines().any(|line| line.contains(&format!("{key} = ")));
            let headed = FULL.contains(&format!(".{key}]"));
            assert!(assigned || headed, "`{key}` is not in contrib/config.full.toml");
            let tagged = MANUAL.lines().any(|line| line.starts_with(".It ") && line.contains(&format!("Ic {key}")));
            assert!(tagged, "`{key}` is not in man/mailsync-config.5");
        }
    }
}

#[test]
fn the_gmail_example_is_understood_in_the_order_of_its_rules() {
    let config = load(FULL).expect("the full config");
    let gmail = config.account("gmail").expect("the account gmail");
    let rules: Vec<String> = gmail.folders.renames.iter().map(|rule| format!("{:?}", rule.value)).collect();
    assert_eq!(rules.len(), 5);
    assert!(matches!(gmail.folders.renames[0].value, Rename::Lower));
    assert!(rules[4].contains("[gmail]") && rules[4].contains("bak"), "{rules:?}");
}

#[test]
fn unknown_keys_are_told_with_place_and_nearest_name() {
    let text = "[general]\nmax_sync_acounts = 1\n[account.a]\nremote = { host = \"h\", conections = 3 }\n\
                local = { path = \"/m\", zzz = 1 }\n[acount.b]\n";
    assert_eq!(
        complaints(text),
        [
            "config.toml:2:1: unknown key `max_sync_acounts` in [general]",
            "hint: did you mean `max_sync_accounts`?",
            "config.toml:4:24: unknown key `conections` in an IMAP side",
            "hint: did you mean `connections`?",
            "config.toml:5:24: unknown key `zzz` in a Maildir side",
            "hint: it knows: type, path, layout, separator, info_separator",
            "config.toml:6:2: unknown key `acount` in the file",
            "hint: did you mean `account`?",
        ]
    );
}

#[test]
fn kerberos_is_known_and_told_where_this_program_was_built_without_it() {
    let side = |auth: &str| {
        format!(
            "[account.a]\nlocal = {{ path = \"/m\" }}\n[account.a.remote]\nhost = \"h\"\nuser = \"u\"\nauth = {auth}\n"
        )
    };
    for auth in ["\"gssapi\"", "[\"GSSAPI\", \"plain\"]"] {
        match cfg!(feature = "gssapi") {
            true => drop(load(&side(auth)).expect("a config")),
            false => {
                let told = complaints(&side(auth)).join("\n");
                assert!(told.contains("this mailsync was built without Kerberos (gssapi)"), "{told}");
                assert!(told.contains("hint: build it with: cargo install --features gssapi"), "{told}");
            }
        }
    }
}

#[test]
fn a_key_in_the_wrong_table_is_sent_home() {
    assert_eq!(
        complaints("[general]\nconnections = 2\n[account.a]\nremote = { host = \"h\" }\nlocal = { path = \"/m\" }\n"),
        ["config.toml:2:1: unknown key `connections` in [general]", "hint: `connections` belongs in an IMAP side"]
    );
}

#[test]
fn wrong_types_and_values_are_told_where_they_stand() {
    for (line, complaint) in [
        ("host = 3", "config.toml:4:8: `host` must be a text, not a number"),
        ("host = \"\"", "config.toml:4:8: `host` is empty"),
        ("host = \"a b\"", "config.toml:4:8: `host` must be a host name or an address, nothing else"),
        ("host = \"h\"\nport = 0", "config.toml:5:8: `port` must be from 1 to 65535"),
        ("host = \"h\"\nport = 65536", "config.toml:5:8: `port` must be from 1 to 65535"),
        ("host = \"h\"\nport = \"imaps\"", "config.toml:5:8: `port` must be a number, not a text"),
        ("host = \"h\"\nport = 9.5", "config.toml:5:8: `port` must be a number, not a fraction"),
        (
            "host = \"h\"\nport = 99999999999999999999",
            "config.toml:5:8: `port` must be a number, not so large a number",
        ),
        ("host = \"h\"\ntls = \"ssl\"", "config.toml:5:7: `tls` must be \"implicit\" or \"starttls\" or \"none\""),
        ("host = \"h\"\nconnections = 0", "config.toml:5:15: `connections` must be from 1 to 32"),
        ("host = \"h\"\ncompress = true", "config.toml:5:12: `compress` must be a text, not true or false"),
        ("host = \"h\"\ncompress = \"zlib\"", "config.toml:5:12: `compress` must be \"auto\" or \"on\" or \"off\""),
        ("host = \"h\"\nsend_id = \"no\"", "config.toml:5:11: `send_id` must be true or false, not a text"),
        (
            "host = \"h\"\nauth = [\"plain\", 3]",
            "config.toml:5:18: `auth` must be a text or a list of texts, not a number",
        ),
        ("host = \"h\"\nauth = [\"plain\", \"ntlm\"]", "config.toml:5:18: unknown mechanism \"ntlm\" in `auth`"),
        (
            "host = \"h\"\nuser = \"u\"\ntoken_command = [\"t\"]\nauth = [\"external\", \"plain\"]",
            "config.toml:7:8: `token_command` gives a token, and `auth` names nothing that takes one",
        ),
        (
            "host = \"h\"\nuser = \"u\"\ntoken_command = [\"t\"]\npassword = \"x\"",
            "config.toml:6:17: `token_command` beside `password`: one of them only",
        ),
        (
            "host = \"h\"\nauthzid = \"a\\u0001b\"",
            "config.toml:5:11: `authzid` must be a user's name, without control characters",
        ),
        ("host = \"h\"\nuser = \"u\"\npassword_command = []", "config.toml:6:20: `password_command` names no program"),
        (
            "host = \"h\"\nuser = \"u\"\npassword_command = \"pass x\"",
            "config.toml:6:20: `password_command` must be a list of texts: a program and its arguments, not a text",
        ),
        (
            "host = \"h\"\nuser = \"u\"\npassword = \"x\"\npassword_file = \"y\"",
            "config.toml:7:17: `password_file` beside `password`: one of them only",
        ),
        (
            "host = \"h\"\npassword = \"x\"",
            "config.toml:3:1: `user` may be left out only where the password comes from netrc",
        ),
        ("host = \"h\"\ntls_min_version = 1.2", "config.toml:5:19: `tls_min_version` must be a text, not a fraction"),
        (
            "host = \"h\"\naddress_family = \"4\"",
            "config.toml:5:18: `address_family` must be \"any\" or \"ipv4\" or \"ipv6\"",
        ),
        (
            "host = \"h\"\nclient_key = \"k\"",
            "config.toml:5:14: `client_key` belongs to a `client_cert`, and there is none",
        ),
        (
            "host = \"localhost\"\ntls = \"none\"\nclient_cert = \"c\"",
            "config.toml:6:15: `client_cert` has a meaning with TLS only",
        ),
        (
            "command = [\"c\"]\nproxy = \"http://h\"",
            "config.toml:5:9: `proxy` has no meaning with `command`: the program makes the connection",
        ),
        (
            "host = \"h\"\nuser = \"u\"\noauth2 = { provider = \"mail\", client_id = \"i\" }",
            "config.toml:6:23: no such provider: \"mail\"",
        ),
        (
            "host = \"h\"\nuser = \"u\"\noauth2 = { provider = \"gmail\" }",
            "config.toml:6:10: `oauth2` needs `client_id`",
        ),
        (
            "host = \"h\"\nuser = \"u\"\n\
             oauth2 = { provider = { auth_url = \"https://x/a\", token_url = \"http://x/t\" }, client_id = \"i\" }",
            "config.toml:6:63: `token_url` must begin with https://",
        ),
        (
            "host = \"h\"\nuser = \"u\"\noauth2 = { provider = \"gmail\", client_id = \"i\" }\npassword_file = \"p\"",
            "config.toml:7:17: `password_file` beside `oauth2`: one of them only",
        ),
        (
            "host = \"h\"\nuser = \"u\"\noauth2 = { provider = \"gmail\", client_id = \"i\" }\nauth = \"plain\"",
            "config.toml:7:8: `oauth2` gives a token, and `auth` names nothing that takes one",
        ),
        (
            "host = \"h\"\noauth2 = { provider = \"gmail\", client_id = \"i\" }",
            "config.toml:3:1: `user` may be left out only where the password comes from netrc",
        ),
        ("type = \"pop3\"", "config.toml:4:8: `type` of `remote` must be \"imap\""),
        ("host = \"h\"\nca_file = \"~joe/ca\"", "config.toml:5:11: only `~/` is expanded, not another user's home"),
        (
            "host = \"h\"\nca_file = \"${NO_SUCH_VARIABLE}/ca\"",
            "config.toml:5:11: the environment has no variable `NO_SUCH_VARIABLE`",
        ),
    ] {
        assert_eq!(complaints(&remote(line)).first().map(String::as_str), Some(complaint), "{line}");
    }
}

#[test]
fn mechanisms_are_named_in_any_case_as_offlineimap_names_them() {
    let keys = "host = \"h\"\nuser = \"u\"\nauthzid = \"boss\"\ntoken_command = [\"oama\", \"access\", \"u\"]\n\
                auth = [\"XOAUTH2\", \"Cram-MD5\", \"plain\", \"LOGIN\", \"scram-sha-256-plus\"]";
    let config = load(&remote(keys)).expect("a config");
    let remote = &config.accounts[0].remote;
    assert_eq!(remote.auth, ["XOAUTH2", "CRAM-MD5", "PLAIN", "LOGIN", "SCRAM-SHA-256-PLUS"]);
    assert_eq!(remote.authzid.as_deref(), Some("boss"));
    assert!(matches!(&remote.password, Password::Token(argv) if argv == &["oama", "access", "u"]));
}

#[test]
fn the_clear_is_refused_but_on_this_machine() {
    let refused = complaints(&remote("host = \"imap.example.org\"\ntls = \"none\""));
    assert_eq!(refused[0], "config.toml:5:7: tls = \"none\" would send the password to imap.example.org in the clear");
    for fine in [
        "host = \"127.0.0.1\"\ntls = \"none\"",
        "host = \"::1\"\ntls = \"none\"",
        "host = \"localhost\"\ntls = \"none\"",
        "host = \"h\"\ntls = \"none\"\nallow_plaintext = true",
        "command = [\"ssh\", \"h\"]",
    ] {
        assert!(load(&remote(fine)).is_ok(), "{fine}");
    }
    assert!(load(&remote("host = \"127.0.0.1.example.org\"\ntls = \"none\"")).is_err());
}

#[test]
fn what_protects_the_line_is_refused_where_nothing_does() {
    for key in ["pin = \"sha1:0102030405060708090a0b0c0d0e0f1011121314\"", "ca_file = \"/ca.pem\""] {
        let told = complaints(&remote(&format!("host = \"localhost\"\ntls = \"none\"\n{key}")));
        assert!(told.len() == 1 && told[0].contains("has a meaning with TLS only"), "{told:?}");
    }
}

#[test]
fn ports_follow_tls_unless_given() {
    for (lines, port) in [("", 993), ("tls = \"starttls\"", 143), ("tls = \"starttls\"\nport = 1143", 1143)] {
        let config = load(&remote(&format!("host = \"h\"\n{lines}"))).expect(lines);
        assert_eq!(config.accounts[0].remote.port, port);
    }
}

#[test]
fn syntax_errors_have_their_place() {
    let told = complaints("[account.a]\nremote = { host = \"h\n");
    assert!(told[0].starts_with("config.toml:2:"), "{told:?}");
    let told = complaints("[account.a]\nremote = { host = \"h }\nlocal = { path = \"m\" }\n");
    assert!(told[0].starts_with("config.toml:2:"), "{told:?}");
    let told = complaints("[general]\nui = \"auto\"\nui = \"basic\"\n");
    assert!(told[0].starts_with("config.toml:3:1: duplicate key"), "{told:?}");
}

#[test]
fn account_names_must_be_fit_for_files() {
    for name in ["", "..", "a/b", ".hidden", "-x", "a\\u0007"] {
        let text = format!("[account.\"{name}\"]\nremote = {{ host = \"h\" }}\nlocal = {{ path = \"/m\" }}\n");
        assert!(complaints(&text)[0].starts_with("config.toml:1:10: bad account name"), "{name}");
    }
    assert!(load("[account.\"Älter & Söhne\"]\nremote = { host = \"h\" }\nlocal = { path = \"/m\" }\n").is_ok());
}

#[test]
fn two_accounts_never_share_a_maildir() {
    let two = |a: &str, b: &str| {
        format!(
            "[account.a]\nremote = {{ host = \"h\" }}\nlocal = {a}\n\
             [account.b]\nremote = {{ host = \"h\" }}\nlocal = {b}\n"
        )
    };
    let told = complaints(&two("{ path = \"/m/x\" }", "{ path = \"/m/./x/\" }"));
    assert_eq!(told[0], "config.toml:6:18: accounts `a` and `b` have the same Maildir");
    let told = complaints(&two("{ path = \"/m\" }", "{ path = \"/m/x\" }"));
    assert_eq!(told[0], "config.toml:6:18: the Maildirs of accounts `a` and `b` lie one in the other");
    assert!(load(&two("{ path = \"/m\", layout = \"maildir++\" }", "{ path = \"/m/x\" }")).is_ok());
    assert!(load(&two("{ path = \"/m/x\" }", "{ path = \"/m/xy\" }")).is_ok());
}

#[test]
fn a_password_in_a_file_that_others_can_read_is_refused() {
    let text = remote("host = \"h\"\nuser = \"u\"\npassword = \"sesame\"");
    let told = self::told(load_with(&text, 0o640, &[]));
    assert_eq!(told[0], "config.toml:3:1: holds a password, and group or others can read the file");
    assert!(told[1].starts_with("hint: chmod 600 /") && told[1].ends_with("/config.toml"), "{told:?}");
    assert!(!told.concat().contains("sesame"));
    let config = load_with(&text, 0o600, &[]).expect("a private file");
    assert!(!format!("{config:?}").contains("sesame"));
    assert!(load_with(MINIMAL, 0o644, &[]).is_ok());
    for line in ["proxy = \"http://me:sesame@h\"", "client_cert = \"c\"\nclient_cert_password = \"sesame\""] {
        let text = remote(&format!("host = \"h\"\n{line}"));
        let told = self::told(load_with(&text, 0o644, &[]));
        assert!(told[0].contains("group or others can read the file") && !told.concat().contains("sesame"), "{told:?}");
        assert!(!format!("{:?}", load_with(&text, 0o600, &[]).expect("a private file")).contains("sesame"));
    }
    assert!(load_with(&remote("host = \"h\"\nproxy = \"http://h\""), 0o644, &[]).is_ok());
}

#[test]
fn paths_are_expanded_and_relative_to_the_file() {
    let home = Home::new();
    let text = "[account.a]\nremote = { host = \"h\", ca_file = \"~/ca.pem\", command = [\"bin/x\", \"~/y\"] }\nlocal = { path = \"mail/${CARGO_PKG_NAME}\" }\n";
    let file = home.write("sub/config.toml", text, 0o600);
    let config = Config::load(Some(&file), &[]).expect("a config");
    assert_eq!(maildir(&config).path.value, home.path().join("sub/mail/mailsync"));
    let program = home.path().join("sub/bin/x").display().to_string();
    assert_eq!(config.accounts[0].remote.command, Some(vec![program, "~/y".to_owned()]));
    let ca = config.accounts[0].remote.ca_file.as_ref().map(|path| path.value.clone()).expect("a path");
    assert_eq!(ca, PathBuf::from(std::env::var_os("HOME").unwrap_or("/root".into())).join("ca.pem"));
}

#[test]
fn keys_are_set_from_the_command_line() {
    let set = [
        "general.max_sync_accounts=7",
        "general.ui=quiet",
        "account.main.remote.host=other.example.org",
        "account.main.remote.timeout = 5",
        "account.main.folders.exclude=[\"a\", \"b\"]",
        "account.\"x.y\".remote={ host = \"h\" }",
        "account.\"x.y\".local.path=/elsewhere",
    ];
    let config = load_with(MINIMAL, 0o600, &set).expect("a config");
    assert_eq!((config.general.max_sync_accounts, config.general.ui), (7, UiChoice::Quiet));
    let remote = &config.accounts[0].remote;
    assert_eq!((remote.host.as_str(), remote.timeout), ("other.example.org", Duration::from_secs(5)));
    assert_eq!(remote.user.as_deref(), Some("me@example.org"));
    assert_eq!(config.accounts[0].folders.filters.len(), 2);
    assert_eq!(config.accounts[1].name, "x.y");

    let wrong = |option: &str| told(load_with(MINIMAL, 0o600, &[option]));
    assert_eq!(wrong("general.uy=auto")[0], "-o general.uy: unknown key `uy` in [general]");
    assert_eq!(wrong("general.ui=nice")[0], "-o general.ui: `ui` must be \"auto\" or \"basic\" or \"quiet\"");
    assert_eq!(wrong("general")[0], "-o general: must be KEY=VALUE");
    assert!(wrong("a..b=1")[0].starts_with("-o a..b: is no key"));
}

#[test]
fn an_account_and_its_folders_have_modes() {
    let text = |mode: &str, modes: &str| {
        format!(
            "[account.a]\nremote = {{ host = \"h\" }}\nlocal = {{ path = \"/m\" }}\n{mode}\n\
             [account.a.folders]\nmodes = {modes}\n"
        )
    };
    let one = "{ folder = \"Old/*\", mode = \"pull-archive\" }";
    let config = load(&text("mode = \"push\"", one)).expect("modes");
    let (account, modes) = (&config.accounts[0], &config.accounts[0].folders.modes);
    assert_eq!((account.mode, modes[0].0.value.as_str(), modes[0].1), (Mode::Push, "Old/*", Mode::PullArchive));
    assert_eq!(load(&text("", "[]")).expect("no modes").accounts[0].mode, Mode::TwoWay);
    assert_eq!(
        complaints(&text("mode = \"pull\"", "[{ folder = \"x\" }]")),
        [
            "config.toml:4:8: `mode` must be \"two-way\" or \"pull-mirror\" or \"pull-archive\" or \"push\"",
            "config.toml:6:10: needs `folder` and `mode`",
            "hint: modes = [{ folder = \"Archive\", mode = \"pull-archive\" }]",
        ]
    );
}

#[test]
fn filters_keep_the_order_of_the_file_over_both_lists() {
    let text = |folders: &str| {
        format!(
            "[account.a]\nremote = {{ host = \"h\" }}\nlocal = {{ path = \"/m\" }}\n[account.a.folders]\n{folders}\n"
        )
    };
    let order = |folders: &str| {
        let config = load(&text(folders)).expect(folders);
        let filters = config.accounts[0].folders.filters.iter();
        filters
            .map(|filter| format!("{}{}", if filter.include { '+' } else { '-' }, filter.pattern.value))
            .collect::<Vec<_>>()
    };
    assert_eq!(order("include = [\"a\", \"b\"]\nexclude = \"c\""), ["+a", "+b", "-c"]);
    assert_eq!(order("exclude = [\"*\"]\ninclude = [\"a\"]"), ["-*", "+a"]);
    let config = load(&text("[account.a.folders.roles]\nsent = \"Sent Items\"")).expect("roles");
    assert_eq!(config.accounts[0].folders.roles[0].0, Role::Sent);
    assert_eq!(
        complaints(&text("[account.a.folders.roles]\nsend = \"x\"")),
        ["config.toml:6:1: no such role: `send`", "hint: did you mean `sent`?"]
    );
}

#[test]
fn rename_rules_say_what_they_lack() {
    let rule = |rule: &str| {
        let text = format!(
            "[account.a]\nremote = {{ host = \"h\" }}\nlocal = {{ path = \"/m\" }}\n[account.a.folders]\nrename = [{rule}]\n"
        );
        complaints(&text)[0].clone()
    };
    for (text, complaint) in [
        ("{}", "config.toml:5:11: a rename rule that says nothing"),
        ("{ lower = false }", "config.toml:5:11: `lower` can only be true; leave the rule out instead"),
        ("{ lower = true, to = \"x\" }", "config.toml:5:32: `to` has no place in a rename rule with `lower`"),
        ("{ from = \"a\" }", "config.toml:5:11: a rename rule with `from` needs `to`"),
        ("{ re = 'a', to = 'b' }", "config.toml:5:11: a rename rule with `re` needs `back`"),
        ("{ re = 'a', to = 'b', back = { re = 'b' } }", "config.toml:5:40: `back` needs `to`"),
        ("{ frm = \"a\", to = \"b\" }", "config.toml:5:13: unknown key `frm` in a rename rule"),
        ("3", "config.toml:5:11: a rename rule must be a table, not a number"),
    ] {
        assert_eq!(rule(text), complaint, "{text}");
    }
}

#[test]
fn a_second_server_has_the_keys_of_the_first() {
    let config =
        load("[account.a]\nremote = { host = \"h\" }\nlocal = { type = \"imap\", host = \"i\", user = \"u\" }\n");
    assert!(matches!(&config.expect("a config").accounts[0].local, Local::Imap(imap) if imap.host == "i"));
    let same = complaints("[account.a]\nremote = { host = \"h\" }\nlocal = { type = \"imap\", host = \"H\" }\n");
    assert_eq!(same, ["config.toml:3:9: both sides of account `a` are the same server and user"]);
    let propagated = complaints(
        "[account.a]\nremote = { host = \"h\" }\nlocal = { type = \"imap\", host = \"i\" }\nfolders.delete = \"propagate\"\n",
    );
    let needs = "config.toml:4:18: `delete = \"propagate\"` needs a Maildir as the `local` of account `a`";
    assert_eq!(propagated[0], needs);
}

#[test]
fn a_config_that_is_missing_or_no_text_is_told_so() {
    let missing = Config::load(Some(Path::new("/nonexistent/c.toml")), &[]).expect_err("no file");
    assert!(missing.to_string().starts_with("/nonexistent/c.toml: read: No such file"), "{missing}");
    assert!(missing.problems[0].hint.is_some());
    let home = Home::new();
    let file = home.write("config.toml", "", 0o600);
    std::fs::write(&file, b"# ok\n# \xff\n").expect("written");
    let garbage = Config::load(Some(&file), &[]).expect_err("no UTF-8");
    assert!(garbage.to_string().ends_with("config.toml:2: not UTF-8"), "{garbage}");
    assert_eq!(complaints("")[0], "config.toml: no account");
    assert_eq!(complaints("account = 3")[0], "config.toml:1:11: [account] must be a table, not a number");
}

#[test]
fn the_account_that_lacks_a_side_is_named() {
    let told = complaints("[account.work]\n");
    assert_eq!(told[0], "config.toml:1:10: account `work` has no `remote`");
    assert_eq!(told[2], "config.toml:1:10: account `work` has no `local`");
}
