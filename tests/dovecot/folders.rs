//! Folders: layouts, separators, rules, and names that mean harm.

use crate::support::dovecot::Options;
use crate::support::*;
use crate::world::*;

/// A world whose Maildir has this layout.
fn laid_out(options: Options, local: &str) -> World {
    let world = World::new(Dovecot::with(options));
    world.home.config(&format!(
        "[account.main]\nremote = {{ host = \"127.0.0.1\", port = {}, user = \"alice\", tls = \"none\" }}\n\
         local = {{ path = \"~/Mail\", {local} }}\n",
        world.dovecot.port
    ));
    world
}

fn with_folders(world: &mut World, separator: char, prefix: &str) {
    let name = format!("{prefix}Arbeit{separator}Größe");
    world.server.create(&name);
    world.server.append(&name, &crlf(&mail("deep")), &["\\Seen"], Some(1_500_000_000));
    world.server.append("INBOX", &crlf(&mail("in")), &[], Some(1_500_000_001));
}

#[test]
fn nested_directories_are_the_default() {
    let mut world = World::new(Dovecot::start());
    with_folders(&mut world, '/', "");
    world.home.sync();
    assert_eq!(world.maildir().message("Arbeit/Größe", "deep").letters, "S");
    world.maildir().create("Arbeit/Neu/Tief");
    world.home.sync();
    assert!(world.server.list().contains(&"Arbeit/Neu/Tief".to_owned()));
    world.home.nothing_to_do();
}

#[test]
fn maildir_plus_plus_has_dots_below_the_inbox() {
    let mut world = laid_out(Options::default(), "layout = \"maildir++\"");
    with_folders(&mut world, '/', "");
    world.home.sync();
    let maildir = world.home.maildir();
    assert_eq!(maildir.message("", "in").dir, "new");
    assert_eq!(maildir.message(".Arbeit.Größe", "deep").dir, "cur");
    maildir.create(".Neu.Tief");
    maildir.deliver(".Neu.Tief", &mail("mine"));
    world.home.sync();
    world.server.message("Neu/Tief", "mine");
    world.home.nothing_to_do();
}

#[test]
fn a_flat_layout_joins_names_with_its_separator() {
    let mut world = laid_out(Options::default(), "layout = \"flat\", separator = \"+\"");
    with_folders(&mut world, '/', "");
    world.home.sync();
    let maildir = world.home.maildir();
    assert_eq!(maildir.message("Arbeit+Größe", "deep").dir, "cur");
    maildir.create("Neu+Tief");
    maildir.deliver("Neu+Tief", &mail("mine"));
    world.home.sync();
    world.server.message("Neu/Tief", "mine");
    world.home.nothing_to_do();
}

#[test]
fn the_servers_separator_and_prefix_do_not_show() {
    for capability in [None, Some("IMAP4rev1 NAMESPACE".to_owned())] {
        let options = Options {
            separator: '.',
            prefix: "INBOX.".into(),
            mail_location: "maildir:~/mail".into(),
            capability,
            ..Options::default()
        };
        let mut world = laid_out(options, "layout = \"nested\"");
        with_folders(&mut world, '.', "INBOX.");
        world.home.sync();
        let maildir = world.home.maildir();
        assert_eq!(maildir.message("Arbeit/Größe", "deep").dir, "cur");
        maildir.create("Neu/Tief");
        maildir.deliver("Neu/Tief", &mail("mine"));
        world.home.sync();
        world.server.message("INBOX.Neu.Tief", "mine");
        world.home.nothing_to_do();
    }
}

#[test]
fn hostile_names_stay_below_the_root_and_come_back_as_they_were() {
    let mut world = World::new(Dovecot::with(Options {
        mail_location: "mdbox:~/mdbox".into(),
        separator: '|',
        ..Options::default()
    }));
    let names = [
        "x`touch pwned`",
        "';source 'cmd",
        "$(touch pwned)",
        "a b  c ",
        "new",
        "cur",
        "tmp",
        ".hidden",
        "quote\"d",
        "back\\slash",
        "per%cent",
        "star#hash",
        "日本語",
        "e\u{301}",
        "a~",
        "-rf",
        "a:2,S",
        "Inbox2",
    ];
    for name in names {
        world.server.create(name);
        world.server.append(name, &crlf(&mail(name)), &[], None);
    }
    let all = world.server.list();
    world.home.sync();
    let maildir = world.maildir();
    let mut found: Vec<String> = maildir.all().iter().map(LocalMessage::subject).collect();
    found.sort();
    let mut expected: Vec<String> = names.iter().map(|name| subject_of(&mail(name))).collect();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(world.server.list(), all);
    assert!(!world.home.path().join("pwned").exists());
    world.home.nothing_to_do();
    // The way back: each message that is added here arrives in the folder of its name.
    for message in maildir.all() {
        maildir.deliver(&message.folder, &mail(&format!("re {}", message.subject())));
    }
    world.home.sync();
    for name in names {
        world.server.message(name, &subject_of(&mail(&format!("re {name}"))));
    }
    assert_eq!(world.server.list(), all);
}

#[test]
fn names_that_climb_or_split_lines_do_no_harm() {
    let line = |name: &str| format!("S: * LIST () \"/\" {name}");
    let names = ["INBOX", "\"../../up\"", "\"/etc/up\"", "\"a/../../up\"", "\"..\"", "\".\"", "\"a//b\"", "\"\""];
    let list: String = names.iter().map(|name| line(name) + "\n").collect();
    let script = format!(
        "S: * OK ready\nC: T CAPABILITY\nS: * CAPABILITY IMAP4rev1\nS: T OK done\nC: T LOGIN *\nS: T OK in\n\
         C: T CAPABILITY\nS: * CAPABILITY IMAP4rev1\nS: T OK done\nC: T LIST *\n{list}S: T OK done\nHANG"
    );
    let server = Script::play(&[&script]);
    let home = Home::new();
    home.config(&format!(
        "[account.main]\nremote = {{ host = \"127.0.0.1\", port = {}, user = \"x\", tls = \"none\", timeout = 2 }}\n\
         local = {{ path = \"~/Mail\" }}\n",
        server.port
    ));
    home.netrc("machine 127.0.0.1 login x password y\n");
    let out = home.mailsync(&["sync"]);
    assert_ne!(out.code, Some(0), "{out}");
    assert!(out.code.is_some_and(|code| code != 101), "{out}");
    assert!(!home.path().join("up").exists() && !std::path::Path::new("/etc/up").exists());
    for folder in home.maildir().folders() {
        assert!(!folder.contains(".."), "{folder}");
    }
}

/// Lower case, `[gmail]` to `bak`, blanks to underscores, All Mail left out.
const GMAIL: &str = r#"
[account.main.folders]
exclude = ["[Gmail]/All Mail"]
rename = [{ lower = true }, { prefix = "[gmail]", to = "bak" }, { from = " ", to = "_" }]
"#;

#[test]
fn the_gmail_rules_of_the_wiki_work_both_ways() {
    let mut world = World::with(Dovecot::start(), GMAIL);
    for name in ["[Gmail]/All Mail", "[Gmail]/Sent Mail", "[Gmail]/Trash", "Travel Plans"] {
        world.server.create(name);
        world.server.append(name, &crlf(&mail(name)), &[], None);
    }
    world.home.sync();
    let maildir = world.maildir();
    let folders = maildir.folders();
    for name in ["bak/sent_mail", "bak/trash", "travel_plans"] {
        assert!(folders.contains(&name.to_owned()), "{name} is not among {folders:?}");
    }
    assert!(!folders.iter().any(|name| name.contains("all")), "{folders:?}");
    maildir.deliver("bak/sent_mail", &mail("sent here"));
    maildir.create("bak/new_one");
    maildir.create("own_folder");
    world.home.sync();
    world.server.message("[Gmail]/Sent Mail", "sent here");
    let there = world.server.list();
    for name in ["[Gmail]/new one", "own folder"] {
        assert!(there.contains(&name.to_owned()), "{name} is not among {there:?}");
    }
    world.home.nothing_to_do();
}

#[test]
fn two_folders_that_would_get_one_name_stop_the_account() {
    let mut world = World::with(Dovecot::start(), "[account.main.folders]\nrename = [{ lower = true }]\n");
    for name in ["Work", "WORK"] {
        world.server.create(name);
    }
    world.home.mailsync(&["sync"]).exits(1).says("Work").says("WORK").done();
    assert!(!world.home.mail().join("work").exists());
}

#[test]
fn filters_choose_folders_in_order() {
    let rules = "[account.main.folders]\nexclude = [\"*\"]\ninclude = [\"INBOX\", \"Lists/%\", \"re:^20[0-9]{2}$\"]\n";
    let mut world = World::with(Dovecot::start(), rules);
    for name in ["Lists/a", "Lists/a/b", "2024", "1999", "Other"] {
        world.server.create(name);
    }
    world.home.sync();
    assert_eq!(world.maildir().folders(), ["2024", "INBOX", "Lists/a"]);
}

#[test]
fn filters_know_roles() {
    let dovecot = Dovecot::with(Options { special_use: true, ..Options::default() });
    let world = World::with(dovecot, "[account.main.folders]\nexclude = [\"role:junk\", \"role:trash\"]\n");
    world.home.sync();
    assert_eq!(world.maildir().folders(), ["Archive", "Drafts", "INBOX", "Sent"]);
}

#[test]
fn subscribed_folders_only_where_that_is_asked_for() {
    let mut world = World::with(Dovecot::start(), "[account.main.folders]\nsubscribed_only = true\n");
    for name in ["Wanted", "Other"] {
        world.server.create(name);
    }
    world.server.subscribe("Wanted");
    world.server.subscribe("INBOX");
    world.home.sync();
    assert_eq!(world.maildir().folders(), ["INBOX", "Wanted"]);
}

#[test]
fn a_rename_rule_that_changes_later_renames_and_copies_nothing() {
    let mut world = World::new(Dovecot::start());
    world.server.create("Work");
    world.server.append("Work", &crlf(&mail("w")), &[], None);
    world.home.sync();
    let before = world.uids("Work");
    world.home.account(
        &world.dovecot,
        "alice",
        "[account.main.folders]\nrename = [{ folder = \"Work\", to = \"Office\" }]\n",
    );
    world.home.sync();
    assert_eq!(world.uids("Work"), before);
    assert_eq!(world.maildir().message("Office", "w").folder, "Office");
    assert!(!world.home.mail().join("Work").exists());
    world.home.nothing_to_do();
}
