//! What a hook is given: variables of the environment, and JSON on standard input. Stable: mailsync-hooks(7).

use super::header::{self, Header};
use super::heard::{File, FolderHeard, Heard, Tree, Undone};
use crate::mail::Side;
use crate::store::maildir::path_of;
use crate::sync::event::{Counts, Outcome};
use serde::Serialize;
use std::path::Path;
use std::process::Command;

/// Grows when something that is there gets another meaning.
const VERSION: u32 = 1;
/// Of so many new messages sender and subject are read.
const MAX_HEADERS: usize = 100;
/// What the service manager told us is not the business of others.
const NOT_THEIRS: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// What the hooks of an account are told.
pub struct Payload<'a> {
    account: &'a str,
    maildir: Option<&'a Path>,
    ended: Option<Told<'a>>,
}

struct Told<'a> {
    outcome: Outcome,
    heard: &'a Heard,
    headers: Option<Vec<(&'a File, Header)>>,
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    hook: &'a str,
    account: &'a str,
    mode: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    maildir: Option<String>,
    #[serde(flatten)]
    ended: Option<EndedJson<'a>>,
}

#[derive(Serialize)]
struct EndedJson<'a> {
    outcome: &'static str,
    changed: bool,
    new: usize,
    counts: CountsJson,
    folders: Vec<FolderJson<'a>>,
    folder_changes: Vec<TreeJson<'a>>,
    changed_files: Vec<FileJson<'a>>,
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<MessageJson<'a>>>,
    problems: Vec<ProblemJson>,
}

#[derive(Serialize)]
struct CountsJson {
    local: SideJson,
    remote: SideJson,
}

#[derive(Serialize)]
struct SideJson {
    copied: usize,
    moved: usize,
    flagged: usize,
    deleted: usize,
    folders_created: usize,
    folders_renamed: usize,
    folders_deleted: usize,
}

#[derive(Serialize)]
struct FolderJson<'a> {
    remote: String,
    local: String,
    role: Option<&'a str>,
    path: Option<String>,
    new: usize,
    counts: CountsJson,
}

#[derive(Serialize)]
struct TreeJson<'a> {
    what: &'a str,
    on: &'a str,
    folder: String,
    from: Option<String>,
}

#[derive(Serialize)]
struct FileJson<'a> {
    what: &'a str,
    path: String,
    from: Option<String>,
    folder: String,
    new: bool,
}

#[derive(Serialize)]
struct MessageJson<'a> {
    folder: String,
    path: String,
    #[serde(flatten)]
    header: &'a Header,
}

#[derive(Serialize)]
struct ProblemJson {
    kind: &'static str,
    folder: Option<String>,
    text: String,
    hint: Option<String>,
}

impl<'a> Payload<'a> {
    /// What is known before a sync.
    pub fn before(account: &'a str, maildir: Option<&'a Path>) -> Payload<'a> {
        Payload { account, maildir, ended: None }
    }

    /// What is known after it. With `subjects`, messages are read for that.
    pub fn after(
        account: &'a str,
        maildir: Option<&'a Path>,
        outcome: Outcome,
        heard: &'a Heard,
        subjects: bool,
    ) -> Payload<'a> {
        let headers = subjects.then(|| {
            let new = heard.files.iter().filter(|file| file.new).take(MAX_HEADERS);
            new.map(|file| (file, header::read(&file.path))).collect()
        });
        Payload { account, maildir, ended: Some(Told { outcome, heard, headers }) }
    }

    /// The JSON, with a line end.
    pub fn json(&self, hook: &str, mode: &str) -> Vec<u8> {
        let json = Json {
            version: VERSION,
            hook,
            account: self.account,
            mode,
            maildir: self.maildir.map(text),
            ended: self.ended.as_ref().map(|told| self.ended(told)),
        };
        let mut bytes = serde_json::to_vec(&json).expect("texts and numbers can be written as JSON");
        bytes.push(b'\n');
        bytes
    }

    fn ended<'t>(&self, told: &'t Told<'_>) -> EndedJson<'t> {
        let heard = told.heard;
        let messages = told.headers.as_ref().map(|all| {
            let message = |(file, header): &'t (&File, Header)| MessageJson {
                folder: file.place.names.remote.text(),
                path: text(&file.path),
                header,
            };
            all.iter().map(message).collect()
        });
        EndedJson {
            outcome: told.outcome.name(),
            changed: heard.changed(),
            new: heard.new,
            counts: counts(&heard.counts),
            folders: heard.folders.values().map(|folder| self.folder(folder)).collect(),
            folder_changes: heard.trees.iter().map(tree).collect(),
            changed_files: heard.files.iter().map(file).collect(),
            truncated: heard.truncated,
            messages,
            problems: heard.problems.iter().map(problem).collect(),
        }
    }

    fn folder<'t>(&self, heard: &'t FolderHeard) -> FolderJson<'t> {
        let place = &heard.place;
        FolderJson {
            remote: place.names.remote.text(),
            local: place.names.local.text(),
            role: place.role.map(|role| role.name()),
            path: self.maildir.map(|root| text(&path_of(root, &place.wires.local))),
            new: heard.new,
            counts: counts(&heard.counts),
        }
    }

    /// Gives a hook its variables. None of them holds what a server said.
    pub fn surround(&self, process: &mut Command, hook: &str, mode: &str) {
        for name in NOT_THEIRS {
            process.env_remove(name);
        }
        process.env("MAILSYNC_HOOK", hook).env("MAILSYNC_ACCOUNT", self.account);
        process.env("MAILSYNC_MODE", mode).env("OFFLINEIMAPSYNCMODE", mode);
        match self.maildir {
            Some(maildir) => process.env("MAILSYNC_MAILDIR", maildir),
            None => process.env_remove("MAILSYNC_MAILDIR"),
        };
        match &self.ended {
            Some(Told { outcome: ended, heard, .. }) => {
                process.env("MAILSYNC_OUTCOME", ended.name()).env("MAILSYNC_NEW", heard.new.to_string());
                process.env("MAILSYNC_CHANGED", if heard.changed() { "1" } else { "0" });
            }
            None => {
                for name in ["MAILSYNC_OUTCOME", "MAILSYNC_NEW", "MAILSYNC_CHANGED"] {
                    process.env_remove(name);
                }
            }
        }
    }
}

/// JSON knows no other texts than Unicode: what of a path is none is replaced.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn counts(counts: &Counts) -> CountsJson {
    let side = |side| SideJson {
        copied: counts.copied[side],
        moved: counts.moved[side],
        flagged: counts.flagged[side],
        deleted: counts.deleted[side],
        folders_created: counts.folders_created[side],
        folders_renamed: counts.folders_renamed[side],
        folders_deleted: counts.folders_deleted[side],
    };
    CountsJson { local: side(Side::Local), remote: side(Side::Remote) }
}

fn tree(tree: &Tree) -> TreeJson<'_> {
    let on = match tree.on {
        Side::Local => "local",
        Side::Remote => "remote",
    };
    TreeJson { what: tree.what, on, folder: tree.folder.text(), from: tree.from.as_ref().map(|from| from.text()) }
}

fn file(file: &File) -> FileJson<'_> {
    FileJson {
        what: file.what,
        path: text(&file.path),
        from: file.from.as_deref().map(text),
        folder: file.place.names.remote.text(),
        new: file.new,
    }
}

fn problem(undone: &Undone) -> ProblemJson {
    match undone {
        Undone::Failed(problem) => {
            let message = problem.message.as_deref().map(|message| format!("{message}: ")).unwrap_or_default();
            ProblemJson {
                kind: "failed",
                folder: problem.folder.as_ref().map(|folder| folder.text()),
                text: format!("{message}{}: {}", problem.action, problem.cause),
                hint: problem.hint.clone(),
            }
        }
        Undone::Held { folder, text, hint } => ProblemJson {
            kind: "held",
            folder: folder.as_ref().map(|folder| folder.text()),
            text: text.clone(),
            hint: hint.clone(),
        },
        Undone::Waiting(count) => ProblemJson {
            kind: "waiting",
            folder: None,
            text: format!("messages that wait after errors: {count}"),
            hint: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{FolderName, Sides};
    use crate::sync::event::{Deed, Event, Place, Touch};
    use std::sync::Arc;

    #[test]
    fn hostile_names_stay_what_they_are_in_json_and_never_reach_the_environment() {
        let evil = "a\"b\n\u{1b}]0;x\u{7}";
        let name = FolderName::parse(evil).expect("a name");
        let wires = Sides::new(b"a".to_vec(), b"a".to_vec());
        let place = Arc::new(Place { names: Sides::new(name.clone(), name), wires, role: None });
        let mut heard = Heard::default();
        let messages = vec![Touch { file: Some(format!("/m/{evil}/new/1").into()), was: None, unread: true }];
        heard.hear(&Event::Messages {
            account: "work".into(),
            folder: place,
            on: Side::Local,
            deed: Deed::Copied,
            messages,
        });
        let payload = Payload::after("work", Some(Path::new("/m")), Outcome::InStep, &heard, true);
        let bytes = payload.json("new_mail", "full");
        assert_eq!(bytes.iter().filter(|byte| byte.is_ascii_control()).count(), 1, "only the line end");
        let json: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(json["folders"][0]["remote"], evil);
        assert_eq!(json["changed_files"][0]["path"], format!("/m/{evil}/new/1"));
        assert_eq!((&json["new"], &json["changed"]), (&1.into(), &true.into()));
        assert_eq!(json["messages"][0]["subject"], serde_json::Value::Null);
        let mut process = Command::new("true");
        payload.surround(&mut process, "new_mail", "full");
        assert!(process.get_envs().all(|(_, value)| value.is_none_or(|value| !value.to_string_lossy().contains('"'))));
    }

    #[test]
    fn before_a_sync_nothing_is_said_of_its_end() {
        let payload = Payload::before("work", None);
        let json: serde_json::Value = serde_json::from_slice(&payload.json("pre_sync", "idle")).expect("JSON");
        assert_eq!(json, serde_json::json!({"version": 1, "hook": "pre_sync", "account": "work", "mode": "idle"}));
    }
}
