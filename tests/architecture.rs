//! The house rules that a compiler does not check: who uses whom, who prints, who speaks SQL, and that the manual
//! knows every option and every key.

use clap::CommandFactory;
use regex::Regex;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// For every module (the longest prefix of a file's path that is listed), what it may use of the crate.
const EDGES: &[(&str, &[&str])] = &[
    ("mail", &["mail"]),
    ("config", &["config", "mail"]),
    ("secret", &["secret", "mail", "environment"]),
    ("environment", &[]),
    ("fault", &[]),
    ("net", &["net", "mail", "fault", "environment"]),
    ("state", &["state", "mail", "fault"]),
    ("store", &["store", "mail", "net", "fault"]),
    ("sync", &["sync", "mail", "store"]),
    // What carries out a run keeps the state; what decides never sees it.
    ("sync/account", &["sync", "mail", "store", "state"]),
    ("sync/adopt", &["sync", "mail", "store", "state"]),
    ("sync/claim", &["sync", "mail", "store", "state"]),
    ("sync/known", &["sync", "mail", "store", "state"]),
    ("sync/pair", &["sync", "mail", "store", "state"]),
    ("sync/ledger", &["sync", "mail", "store", "state"]),
    ("sync/dispose", &["sync", "mail", "store", "state"]),
    ("sync/execute", &["sync", "mail", "store", "state"]),
    ("sync/copy", &["sync", "mail", "store", "state"]),
    ("sync/check", &["sync", "mail", "store", "state"]),
    ("sync/check/judge", &["sync", "mail", "store"]),
    ("sync/check/report", &["sync", "mail", "store"]),
    ("sync/survey", &["sync", "mail", "store", "state"]),
    ("sync/relocate", &["sync", "mail", "store", "state"]),
    ("sync/gone", &["sync", "mail", "store", "state"]),
    ("sync/refind", &["sync", "mail", "store", "state"]),
    ("sync/retitle", &["sync", "mail", "store", "state"]),
    ("sync/prepare", &["sync", "mail", "store", "state"]),
    ("sync/recognise", &["sync", "mail", "store", "state"]),
    ("sync/settle", &["sync", "mail", "store", "state"]),
    ("sync/slices", &["sync", "mail", "store", "state"]),
    ("sync/standing", &["sync", "mail", "store", "state"]),
    ("hook", &["hook", "sync::event", "config", "mail", "store::maildir", "environment"]),
    ("ui", &["ui", "sync::event", "sync::plan", "mail"]),
    ("watch", &["watch", "sync", "store", "mail"]),
    ("cli", &["cli", "ui", "hook", "config", "secret", "sync", "watch", "store", "state", "net", "mail", "fault"]),
    ("main", &["cli"]),
    ("lib", &[]),
];

/// What decides by pure functions: no file, no clock, no thread, no log.
const PURE: &[&str] = &[
    "sync/check/judge",
    "sync/reconcile",
    "sync/rematch",
    "sync/moves",
    "sync/guard",
    "sync/plan",
    "sync/folders",
    "sync/rules",
    "sync/renames",
    "sync/trash",
];

struct Source {
    /// Below `src`, without `.rs`: `sync/mod`.
    name: String,
    /// Without comments, literals and unit tests.
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files.sort();
    let found: Vec<Source> = files
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).expect("it is below src").with_extension("");
            let text = fs::read_to_string(&path).expect("read a source file");
            Source { name: name.to_str().expect("names are UTF-8").to_owned(), code: bare(&text) }
        })
        // Files of unit tests may use what they like.
        .filter(|source| !source.name.ends_with("tests"))
        .collect();
    assert!(found.len() > 20, "the sources were not found");
    found
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("read src") {
        let path = entry.expect("read src").path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            files.push(path);
        }
    }
}

/// The text without comments, string literals and everything from the unit tests on.
fn bare(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    let strings =
        Regex::new(r##"b?r#"(?s:.*?)"#|b?"(?:[^"\\]|\\(?s:.))*"|'(?:[^'\\\n]|\\[^\n])'|//[^\n]*"##).expect("a pattern");
    strings.replace_all(&text[..end], "_").into_owned()
}

/// Every path of the crate that the code names, from the crate's root on: `store::draft::Draft`.
fn paths(source: &Source) -> BTreeSet<String> {
    let mut module: Vec<&str> = source.name.split('/').collect();
    if matches!(module.last(), Some(&"mod" | &"lib" | &"main")) {
        module.pop();
    }
    let start = Regex::new(r"\b(crate|mailsync|(?:super::)*super)::").expect("a pattern");
    let mut found = BTreeSet::new();
    for hit in start.find_iter(&source.code) {
        // `pub(in crate::x)` and the like name no dependency; neither does the tail of a longer path.
        if source.code[..hit.start()].ends_with("::") {
            continue;
        }
        let supers = hit.as_str().matches("super").count();
        let prefix = match supers {
            0 => String::new(),
            n => module[..module.len().saturating_sub(n)].join("::"),
        };
        tree(&prefix, &source.code[hit.end()..], &mut found);
    }
    found
}

/// Reads one use-tree and adds its paths; gives what follows it.
fn tree<'a>(prefix: &str, text: &'a str, found: &mut BTreeSet<String>) -> &'a str {
    let join = |name: &str| if prefix.is_empty() { name.to_owned() } else { format!("{prefix}::{name}") };
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start_matches([' ', '\n', ',']);
            match rest.chars().next() {
                Some('}') => return &rest[1..],
                None => return rest,
                Some(_) => {
                    let after = tree(prefix, rest, found);
                    // What is no path can't be read: stop rather than turn in circles.
                    if after.len() == rest.len() {
                        return "";
                    }
                    rest = after;
                }
            }
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if let Some(rest) = rest.strip_prefix("::") {
        return tree(&join(name), rest, found);
    }
    found.insert(join(name));
    let rest =
        rest.strip_prefix(" as ").map(|alias| alias.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'));
    rest.unwrap_or(&text[end..]).trim_start_matches('*')
}

#[test]
fn modules_use_only_what_the_design_allows() {
    let mut wrong = Vec::new();
    for source in sources() {
        let rule = EDGES
            .iter()
            .filter(|(module, _)| source.name == *module || source.name.starts_with(&format!("{module}/")))
            .max_by_key(|(module, _)| module.len());
        let Some((_, allowed)) = rule else {
            wrong.push(format!("src/{}.rs belongs to no known module", source.name));
            continue;
        };
        for path in paths(&source) {
            let fits = |module: &str| path == module || path.starts_with(&format!("{module}::"));
            if !allowed.iter().any(|module| fits(module)) && !path.is_empty() {
                wrong.push(format!("src/{}.rs uses {path}", source.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_engine_knows_no_kind_of_store() {
    let kinds = ["store::imap", "store::maildir", "store::memory"];
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.name.starts_with("sync/")) {
        wrong.extend(paths(source).into_iter().filter(|path| kinds.iter().any(|kind| path.starts_with(kind))));
    }
    assert!(wrong.is_empty(), "sync uses {wrong:?}");
}

/// The sources whose code the pattern is found in.
fn with(pattern: &str) -> Vec<String> {
    let pattern = Regex::new(pattern).expect("a pattern");
    sources().into_iter().filter(|source| pattern.is_match(&source.code)).map(|source| source.name).collect()
}

#[test]
fn one_file_names_the_crate_imap() {
    let own = with(r"\bmod imap\b|\bstore::imap\b|\bstore::\{[^;]*\bimap\b");
    let named: Vec<String> =
        with(r"(?:^|[^:\w])(?:::)?imap::|extern crate imap").into_iter().filter(|name| !own.contains(name)).collect();
    assert_eq!(named, ["store/imap/session"]);
}

#[test]
fn only_the_state_speaks_sql() {
    let elsewhere: Vec<String> = with(r"\brusqlite\b").into_iter().filter(|name| !name.starts_with("state/")).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

/// Each such call passes a fault point there, so that tests can let any of them fail or be the last.
#[test]
fn stores_change_the_disk_through_one_file() {
    let calls = [
        r"\bfs::(write|copy|rename|hard_link|remove_\w+|create_dir\w*|set_permissions|read_dir)\(",
        r"\.sync_(all|data)\(|\b(syncfs|renameat\w*|futimens)\(|\bDirBuilder::",
        r"\bOpenOptions::new\(\)[^;,]*\.open\(",
    ];
    let mut elsewhere = with(&calls.join("|"));
    elsewhere.retain(|name| name.starts_with("store/") && name != "store/sys");
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

#[test]
fn only_cli_and_ui_print() {
    // Asking whether there is a terminal prints nothing.
    let printing = with(r"\be?print(ln)?!|\b(stdout|stderr)\(\)(;|\.[^i]|\))|\bdbg!");
    let elsewhere: Vec<&String> =
        printing.iter().filter(|name| !name.starts_with("cli/") && !name.starts_with("ui/")).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

/// What a library, or the service manager, was told by the environment is no affair of theirs.
#[test]
fn programs_that_are_run_get_the_environment_as_it_was() {
    let running = with(r"\.(spawn|output|status)\(\)");
    let mut wrong = with(r"\bprocess::(Command|\{[^}]*\b(Child|Command))\b");
    assert!(wrong.len() > 2, "{wrong:?}");
    let restoring = with(r"\benvironment::restore\(");
    // What tests ask for by a point of fault is theirs.
    let tests = |name: &str| name == "fault" || name.contains("/tests/");
    wrong.retain(|name| running.contains(name) && !restoring.contains(name) && !tests(name));
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn what_decides_touches_nothing() {
    let impure = with(r"\bstd::(fs|io|net|process|thread|time|env)\b|\bInstant\b|\bSystemTime\b");
    let wrong: Vec<&String> = impure.iter().filter(|name| PURE.contains(&name.as_str())).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn nothing_gives_up_by_unwrap_or_leaves_a_stub() {
    let wrong = with(r"\.unwrap\(\)|\btodo!|\bunimplemented!|#!?\[allow\(");
    assert!(wrong.is_empty(), "{wrong:?}");
}

fn manual(page: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("man").join(page);
    let text = fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    // Hyphens are escaped in man pages, and mdoc writes an option's first one for us.
    text.replace('\\', "").replace("Fl -", "Fl --").replace("Fl ---", "Fl --")
}

#[test]
fn the_manual_knows_every_command_and_option() {
    let page = manual("mailsync.1");
    let mut missing = Vec::new();
    check_command(&mailsync::cli::args::Cli::command(), &page, &mut missing);
    assert!(missing.is_empty(), "man/mailsync.1 lacks {missing:?}");
}

fn check_command(command: &clap::Command, page: &str, missing: &mut Vec<String>) {
    let word = |word: &str| {
        Regex::new(&format!(r"(^|[^\w-]){}($|[^\w-])", regex::escape(word))).expect("a pattern").is_match(page)
    };
    for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
        if let Some(long) = arg.get_long().map(|long| format!("--{long}")).filter(|long| !word(long)) {
            missing.push(format!("{} {long}", command.get_name()));
        }
        let short = arg.get_short().filter(|short| !word(&format!("-{short}")) && !word(&format!("Fl {short}")));
        missing.extend(short.map(|short| format!("{} -{short}", command.get_name())));
    }
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        if !word(sub.get_name()) {
            missing.push(sub.get_name().to_owned());
        }
        check_command(sub, page, missing);
    }
}

#[test]
fn the_manual_knows_every_key_of_the_config() {
    let page = manual("mailsync-config.5");
    let mut missing = Vec::new();
    for table in mailsync::config::keys::ALL {
        for key in table.keys {
            let known = Regex::new(&format!(r"(^|[^\w]){key}($|[^\w])")).expect("a pattern");
            if !known.is_match(&page) {
                missing.push(format!("{key} of {}", table.name));
            }
        }
    }
    assert!(missing.is_empty(), "man/mailsync-config.5 lacks {missing:?}");
}

#[test]
fn the_reader_of_paths_reads_what_rust_code_has() {
    let code = "use crate::a::{self, b::C as D, e::{F, g::*}};\nfn f() { super::x::y(); crate::z::Z::new() }";
    let source = Source { name: "m/n".to_owned(), code: code.to_owned() };
    let found: Vec<String> = paths(&source).into_iter().collect();
    assert_eq!(found, ["a::b::C", "a::e::F", "a::e::g::", "a::self", "m::x::y", "z::Z::new"]);
}
