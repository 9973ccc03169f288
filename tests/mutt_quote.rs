//! What mutt and NeoMutt themselves make of quoted values and of the shipped templates. Hostile names try to leave a
//! file called `pwned`.

use mailsync::cli::quote::mutt_quote;
use mailsync::cli::template::{Mailbox, Mailboxes, SHIPPED, Template, render};
use mailsync::config::{Dialect, Mutt, PathForm, Sort};
use mailsync::mail::{FolderName, Role};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const PROGRAMS: [(&str, Dialect); 2] = [("mutt", Dialect::Mutt), ("neomutt", Dialect::Neomutt)];

/// Free-text variables that both programs have and keep as they are set.
const VARIABLES: [&str; 10] = [
    "attribution",
    "index_format",
    "status_format",
    "folder_format",
    "alias_format",
    "attach_format",
    "compose_format",
    "message_format",
    "indent_string",
    "forward_format",
];

const NAMES: [&str; 66] = [
    "INBOX",
    "two words",
    " leading and trailing ",
    "a \"quoted\" name",
    "it's",
    "'",
    "''",
    "\"",
    "\\",
    "$",
    "`",
    ";",
    "#",
    "$HOME",
    "${HOME}",
    "$(touch pwned)",
    "`touch pwned`",
    "x`touch pwned`",
    "a'`touch pwned`'b",
    "\"`touch pwned`\"",
    "';source 'touch pwned|'",
    "; source \"touch pwned|\"",
    "x;shell-escape",
    "a#comment",
    "back\\slash",
    "trailing\\",
    "trailing\\\\",
    "\\'`touch pwned`",
    "(lisp)",
    "(setq a 1)",
    "touch pwned|",
    "|touch pwned",
    "~root",
    "=x",
    "+x",
    "!x",
    "<",
    ">",
    "^",
    "-",
    "-label",
    "-nopoll",
    "@alias",
    "%s %d",
    "tab\there",
    "line\nset realname=owned",
    "line\n`touch pwned`\n",
    "\n",
    "carriage\rreturn\r\n",
    "\u{1b}[31mred",
    "bell\u{7}",
    "del\u{7f}ete",
    "\u{1}1\u{2}2",
    "Entwürfe",
    "日本語",
    "Entw&APw-rfe",
    "evil\u{202e}txt.exe",
    "{a,b}",
    "[Gmail]/All Mail",
    "*?[a-z]*",
    "imaps://user@host/INBOX",
    "non\u{a0}breaking",
    "\u{1f4ec}",
    "\u{9b}31m",
    "*",
    "mailboxes",
];

/// A home of its own, in which the programs run.
struct Home(TempDir);

impl Home {
    fn new() -> Home {
        let home = Home(tempfile::tempdir().unwrap());
        fs::create_dir(home.0.path().join("Mail")).unwrap();
        home
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path()).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.path());
        command.env("LC_ALL", "C.UTF-8").env("TERM", "xterm");
        command
    }

    /// Sources `rc` and asks for variables; the program must have nothing to complain of.
    fn ask(&self, program: &str, rc: &str, variables: &[&str]) -> String {
        fs::write(self.path().join("rc"), rc).unwrap();
        let mut command = self.command(program);
        command.args(["-n", "-F", "rc"]);
        variables.iter().for_each(|variable| _ = command.args(["-Q", variable]));
        let output = command.output().unwrap_or_else(|err| panic!("{program} must be installed: {err}"));
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && complaint.is_empty(), "{program}: {complaint}\n{rc}");
        assert!(!self.path().join("pwned").exists(), "{program} ran a command\n{rc}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the program on a terminal; gives its exit code and what it showed.
    fn on_terminal(&self, command: &str) -> (i32, String) {
        let mut script = self.command("script");
        let output = script.args(["-qec", command, "/dev/null"]).output().unwrap();
        assert!(!self.path().join("pwned").exists(), "{command}: ran a command");
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Makes Maildirs below the home, each with as many new messages.
    fn maildirs(&self, names: &[&str], messages: usize) -> Mailboxes {
        let root = self.path().join("Mail").join("it's `touch pwned` $HOME");
        let mut folders = Vec::new();
        for name in names.iter().filter(|name| **name != "*") {
            let dir = root.join(format!("f{}", name.replace('/', "%2F")));
            ["cur", "new", "tmp"].iter().for_each(|part| fs::create_dir_all(dir.join(part)).unwrap());
            for number in 0..messages {
                fs::write(dir.join("new").join(format!("{number}.a.b")), "Subject: x\n\nx\n").unwrap();
            }
            let dir = dir.to_str().unwrap().to_owned();
            let role = match *name {
                "x`touch pwned`" => Some(Role::Sent),
                "';source 'touch pwned|'" => Some(Role::Drafts),
                "a'`touch pwned`'b" => Some(Role::Trash),
                _ => None,
            };
            let name = FolderName::new([*name]).unwrap();
            folders.push(Mailbox { remote: name.clone(), name, role, path: dir.clone(), dir, messages: 3, unseen: 1 });
        }
        Mailboxes {
            account: "it's `touch pwned`".to_owned(),
            root: root.to_str().unwrap().to_owned(),
            root_is_gone: false,
            folders,
        }
    }
}

/// What the programs print for a value: `"`, `\` and some control characters escaped, for `set NAME="..."`.
fn printed(output: &str, variable: &str) -> String {
    let (plain, spaced) = (format!("{variable}=\""), format!("set {variable} = \""));
    let line = output.split('\n').find_map(|line| line.strip_prefix(&plain).or(line.strip_prefix(&spaced)));
    let line = line.and_then(|line| line.strip_suffix('"')).unwrap_or_else(|| panic!("{variable} in {output:?}"));
    let mut value = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        value.push(match c {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('g') => '\u{7}',
                Some(other) => other,
                None => '\\',
            },
            c => c,
        });
    }
    value
}

fn settings(dialect: Dialect) -> Mutt {
    Mutt {
        file: None,
        template: None,
        dialect,
        paths: PathForm::Absolute,
        folder: None,
        accounts: Vec::new(),
        sort: Sort::Account,
        header: None,
        item: None,
        separator: None,
        footer: None,
    }
}

fn own(text: &str) -> Template {
    Template { name: "own".to_owned(), text: text.to_owned() }
}

#[test]
fn every_name_reads_back_in_both_programs() {
    let home = Home::new();
    for (program, _) in PROGRAMS {
        for names in NAMES.chunks(VARIABLES.len()) {
            let set = |(variable, name): (&&str, &&str)| format!("set {variable}={}\n", mutt_quote(name));
            let rc: String = VARIABLES.iter().zip(names).map(set).collect();
            let output = home.ask(program, &rc, &VARIABLES[..names.len()]);
            for (variable, name) in VARIABLES.iter().zip(names) {
                assert_eq!(printed(&output, variable), **name, "{program}: {name:?} as {}", mutt_quote(name));
            }
        }
    }
}

#[test]
fn hostile_names_run_nothing_in_any_shipped_template() {
    let home = Home::new();
    let accounts = [home.maildirs(&NAMES, 0)];
    for (program, dialect) in PROGRAMS {
        for (name, _) in SHIPPED {
            for sort in [Sort::Account, Sort::Name] {
                let settings = Mutt { sort, ..settings(dialect) };
                let text = render(&accounts, &Template::shipped(name).unwrap(), &settings).unwrap();
                assert!(text.ends_with('\n') && !text.contains("\\\n"), "{name}: {text}");
                let output = home.ask(program, &format!("{text}set attribution='done'\n"), &["attribution"]);
                assert_eq!(printed(&output, "attribution"), "done", "{name}");
                fs::write(home.path().join("fragment"), text).unwrap();
                home.ask(program, "source \"cat fragment|\"\nsource fragment\n", &["attribution"]);
            }
        }
    }
}

#[test]
fn offlineimaps_forms_run_nothing_whatever_their_quotes() {
    let home = Home::new();
    let accounts = [home.maildirs(&NAMES, 0)];
    let items = [
        "\"%(localfolders)s/%(foldername)s\"",
        "'%(localfolders)s/%(foldername)s'",
        "%(localfolders)s/%(foldername)s",
        "\"$my_nothing%(localfolders)s/%(foldername)s\"",
    ];
    for (program, dialect) in PROGRAMS {
        for item in items {
            let settings = Mutt { item: Some(item.to_owned()), ..settings(dialect) };
            let text = render(&accounts, &Template::shipped("mbnames").unwrap(), &settings).unwrap();
            home.ask(program, &format!("set my_nothing=''\n{text}"), &["attribution"]);
        }
        let continued = Mutt { separator: Some(" \\\n  ".to_owned()), ..settings(dialect) };
        let text = render(&accounts, &Template::shipped("mbnames").unwrap(), &continued).unwrap();
        home.ask(program, &text, &["attribution"]);
    }
}

#[test]
fn both_programs_look_into_the_very_directory() {
    let names =
        ["x`touch pwned`", "';source 'touch pwned|'", "a b\"c", "line\nset x", "-label", "trailing\\", "ü$HOME"];
    for (program, dialect) in PROGRAMS {
        for (name, messages) in names.iter().map(|name| (name, 1)).chain([(&"empty", 0)]) {
            let home = Home::new();
            let accounts = [home.maildirs(&[name], messages)];
            let text = render(&accounts, &Template::shipped("default").unwrap(), &settings(dialect)).unwrap();
            fs::write(home.path().join("rc"), text).unwrap();
            // -Z opens the first mailbox with new mail, or exits with 1 if there is none.
            let (code, shown) = home.on_terminal(&format!("{program} -n -F rc -Z -e 'push q'"));
            assert_eq!(code == 0, messages == 1, "{program}: {name:?}: {shown}");
        }
    }
}

#[test]
fn hooks_set_the_paths_of_the_account_and_run_nothing() {
    for (program, dialect) in PROGRAMS {
        let home = Home::new();
        let accounts = [home.maildirs(&["x`touch pwned`", "';source 'touch pwned|'", "a'`touch pwned`'b"], 1)];
        let text = render(&accounts, &Template::shipped("hooks").unwrap(), &settings(dialect)).unwrap();
        let ask = "push ':setenv RECORD $record<enter>:source \"printenv RECORD >record|\"<enter>q'\n";
        fs::write(home.path().join("rc"), format!("{text}{ask}")).unwrap();
        let (code, shown) = home.on_terminal(&format!("{program} -n -F rc -Z"));
        assert_eq!(code, 0, "{program}: {shown}");
        let record = fs::read_to_string(home.path().join("record")).unwrap_or_default();
        // mutt writes a path below $folder with a `=`, NeoMutt in full.
        assert!(record.ends_with("it's `touch pwned` $HOME/fx`touch pwned`\n"), "{program}: {record:?}");
    }
}

fn plain_accounts() -> Vec<Mailboxes> {
    let folder = |root: &str, name: &str, role: Option<Role>| Mailbox {
        name: FolderName::parse(name).unwrap(),
        remote: FolderName::parse(name).unwrap(),
        role,
        dir: format!("{root}/{name}"),
        path: format!("{root}/{name}"),
        messages: 12,
        unseen: 3,
    };
    let (home, work) = ("/home/me/Mail/home", "/home/me/Mail/job");
    vec![
        Mailboxes {
            account: "home".to_owned(),
            root: home.to_owned(),
            root_is_gone: false,
            folders: vec![
                folder(home, "Zebra", None),
                folder(home, "Gesendet", Some(Role::Sent)),
                folder(home, "Anna's", None),
                folder(home, "INBOX", Some(Role::Inbox)),
            ],
        },
        Mailboxes {
            account: "never".to_owned(),
            root: "/home/me/Mail/never".to_owned(),
            root_is_gone: false,
            folders: Vec::new(),
        },
        Mailboxes {
            account: "work".to_owned(),
            root: work.to_owned(),
            root_is_gone: false,
            folders: vec![folder(work, "INBOX", Some(Role::Inbox)), folder(work, "Trash", Some(Role::Trash))],
        },
    ]
}

fn rendered(name: &str, settings: &Mutt) -> String {
    render(&plain_accounts(), &Template::shipped(name).unwrap(), settings).unwrap()
}

#[test]
fn the_default_is_one_command_a_folder() {
    let expected = r"mailboxes '/home/me/Mail/home/INBOX'
mailboxes '/home/me/Mail/home/Gesendet'
mailboxes '/home/me/Mail/home/Anna'\''s'
mailboxes '/home/me/Mail/home/Zebra'
mailboxes '/home/me/Mail/job/INBOX'
mailboxes '/home/me/Mail/job/Trash'
";
    assert_eq!(rendered("default", &settings(Dialect::Mutt)), expected);
}

#[test]
fn names_are_labels_in_mutt_and_names_in_neomutt() {
    let told = rendered("named", &settings(Dialect::Mutt));
    assert!(told.starts_with("mailboxes -label 'home/INBOX' '/home/me/Mail/home/INBOX'\n"), "{told}");
    let told = rendered("named", &settings(Dialect::Neomutt));
    assert!(told.starts_with("named-mailboxes 'home/INBOX' '/home/me/Mail/home/INBOX'\n"), "{told}");
    assert_eq!(told.lines().count(), 6);
}

#[test]
fn offlineimaps_usual_mbnames_give_its_usual_file() {
    let text = |text: &str| Some(text.to_owned());
    let settings = Mutt {
        header: text("mailboxes "),
        item: text("\"+%(accountname)s/%(foldername)s\""),
        separator: text(" "),
        footer: text("\n"),
        ..settings(Dialect::Mutt)
    };
    let expected = r"mailboxes '+home/INBOX' '+home/Gesendet' '+home/Anna'\''s' '+home/Zebra' '+work/INBOX' '+work/Trash'
";
    assert_eq!(rendered("mbnames", &settings), expected);
}

#[test]
fn hooks_are_for_the_folders_of_their_account() {
    let told = rendered("hooks", &settings(Dialect::Mutt));
    let record = r#"folder-hook '(^/home/me/Mail/home(/|$))' 'set record='\''/home/me/Mail/home/Gesendet'\'"#;
    let trash = r#"folder-hook '(^/home/me/Mail/job(/|$))' 'set trash='\''/home/me/Mail/job/Trash'\'"#;
    let hooks: Vec<&str> = told.lines().filter(|line| line.starts_with("folder-hook")).collect();
    assert_eq!(hooks, [record, trash]);
}

#[test]
fn sorting_by_name_mixes_the_accounts() {
    let told = rendered("named", &Mutt { sort: Sort::Name, ..settings(Dialect::Mutt) });
    let labels: Vec<&str> = told.lines().filter_map(|line| line.split('\'').nth(1)).collect();
    assert_eq!(labels, ["home/Anna", "home/Gesendet", "home/INBOX", "work/INBOX", "work/Trash", "home/Zebra"]);
}

#[test]
fn nothing_synced_yet_is_an_empty_text_and_no_error() {
    for (name, _) in SHIPPED {
        let text = render(&[], &Template::shipped(name).unwrap(), &settings(Dialect::Mutt)).unwrap();
        assert!(text.is_empty() || text == "mailboxes \n", "{name}: {text:?}");
    }
}

#[test]
fn values_are_quoted_in_every_place_of_a_template() {
    let accounts = plain_accounts();
    for (template, expected) in [
        ("{{ folders[2].name }}", r"'Anna'\''s'"),
        ("{{ folders[2].name | mutt_quote }}", r"'Anna'\''s'"),
        ("{{ folders[2].name | upper }}", r"'ANNA'\''S'"),
        ("{{ folders[0].messages }}", "12"),
        ("{% set x %}{{ folders[2].name }}{% endset %}{{ x }}", r"'Anna'\''s'"),
        ("{{ folders[1].name | raw }}", "Gesendet"),
        ("{{ folders[1].name | safe }}", "Gesendet"),
        ("{{ folders[2].name ~ `;` }}", r"'Anna'\''s;'"),
        ("{{ '(^' ~ (folders[0].path | mutt_regex) ~ '$)' }}", "'(^/home/me/Mail/home/INBOX$)'"),
    ] {
        let told = render(&accounts, &own(template), &settings(Dialect::Mutt)).unwrap();
        assert_eq!(told, format!("{expected}\n"), "{template}");
    }
}

#[test]
fn a_template_that_would_let_a_value_out_is_refused() {
    let mut accounts = plain_accounts();
    accounts[0].folders[0].name = FolderName::new(["x'`touch pwned`"]).unwrap();
    let name = "folders[3].name";
    for template in [
        format!("{{{{ {name} | raw }}}}"),
        format!("{{{{ {name} | safe }}}}"),
        format!("'{{{{ {name} }}}}'"),
        format!("mailboxes {{{{ {name} }}}} \\"),
        "mailboxes 'open".to_owned(),
        "{{ no_such_value }}".to_owned(),
        "{{ folders | no_such_filter }}".to_owned(),
        "{% for %}".to_owned(),
    ] {
        let told = render(&accounts, &own(&template), &settings(Dialect::Mutt));
        assert!(told.is_err(), "{template}: {told:?}");
        let told = told.unwrap_err().to_string();
        assert!(told.contains("template own"), "{told}");
    }
    for cut in ["truncate(length=3)", "replace(from=\"'\", to=\"\")", "trim(pat=\"'\")", "trim_end(pat=\"'\")"] {
        let template = format!("{{% set x %}}{{{{ {name} }}}}{{% endset %}}{{{{ x | {cut} }}}}");
        let told = render(&accounts, &own(&template), &settings(Dialect::Mutt)).unwrap();
        assert!(told.starts_with(['\'', '\\']), "{cut}: {told}");
    }
}

#[test]
fn a_value_within_quotes_of_the_template_is_refused() {
    for text in [
        "{% for folder in folders %}mailboxes \"{{ folder.path }}\"\n{% endfor %}",
        "{% for folder in folders %}mailboxes '+{{ folder.name }}'\n{% endfor %}",
        "{% for folder in folders %}mailboxes \\{{ folder.path }}\n{% endfor %}",
    ] {
        let refused = render(&plain_accounts(), &own(text), &settings(Dialect::Mutt)).expect_err(text);
        assert!(format!("{refused:#}").contains("within quotes"), "{refused:#}");
    }
    let text = "# it's {{ folders[0].name }}\nmailboxes \"a\"{{ folders[0].path }} # {{ folders[0].name }}\n";
    assert!(render(&plain_accounts(), &own(text), &settings(Dialect::Mutt)).is_ok());
}
