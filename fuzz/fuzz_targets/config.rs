//! Any config is read or refused, and whatever is wrong with it is said with a place that is in the file.

#![no_main]

#[path = "../support/file.rs"]
mod file;

use libfuzzer_sys::fuzz_target;
use mailsync::config::{Config, Problem, Rename as Written};
use mailsync::mail::FolderName;
use mailsync::sync::rules::{Filter, Pattern, Rename};

fuzz_target!(|file: &[u8]| {
    // The last line may be an option of the command line, as it stands behind `-o`.
    let (text, option) = match file.iter().rposition(|byte| *byte == b'\n') {
        Some(at) if file[at + 1..].starts_with(b"-o ") => (&file[..=at], std::str::from_utf8(&file[at + 4..]).ok()),
        _ => (file, None),
    };
    let set: Vec<String> = option.into_iter().map(str::to_owned).collect();
    let config = file::written(text, if file.len().is_multiple_of(2) { 0o600 } else { 0o644 });
    match Config::load(Some(config.path()), &set) {
        Ok(config) => understood(&config),
        Err(error) => {
            assert!(!error.problems.is_empty());
            error.problems.iter().for_each(|problem| placed(problem, text, &config.path().display().to_string()));
        }
    }
});

/// A place has a line of the file and a column of that line, or stands for all of it, or for an option.
fn placed(problem: &Problem, text: &[u8], file: &str) {
    let shown = problem.to_string();
    assert!(!problem.what.is_empty());
    match (problem.at.position(), std::str::from_utf8(text)) {
        (Some((line, column)), Ok(text)) => {
            let lines: Vec<&str> = text.split('\n').collect();
            assert!((1..=lines.len()).contains(&line), "{shown}");
            assert!((1..=lines[line - 1].chars().count() + 1).contains(&column), "{shown}");
            assert!(shown.starts_with(&format!("{file}:{line}:{column}: ")), "{shown}");
        }
        (Some(_), Err(_)) => panic!("it is no text: {shown}"),
        (None, _) => assert!(shown.starts_with(file) || shown.starts_with("-o "), "{shown}"),
    }
}

/// What the config says leads to rules, or to the reason why not.
fn understood(config: &Config) {
    assert!(!config.accounts.is_empty() && config.general.max_sync_accounts >= 1);
    for account in &config.accounts {
        let state = config.state_file(&account.name);
        assert_eq!(state.parent(), Some(config.general.state_dir.as_path()), "{state:?}");
        for filter in &account.folders.filters {
            let parsed = Filter::parse(filter.include, &filter.pattern.value);
            let _ = parsed.is_ok_and(|filter| filter.pattern.matches(&FolderName::inbox(), None));
        }
        for rename in &account.folders.renames {
            match &rename.value {
                Written::Regex { re, to, back_re, back_to } => {
                    drop(Rename::regex(&re.value, to, &back_re.value, back_to));
                }
                Written::Folder { folder, .. } => drop(Pattern::parse(&folder.value)),
                _ => {}
            }
        }
        assert!(account.servers().count() >= 1);
    }
}
