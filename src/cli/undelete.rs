//! `mailsync undelete`: lists what was deleted in the Maildirs and is still kept, and puts it back. Asks no server.

use super::args::UndeleteArgs;
use super::ask;
use super::end::{End, UsageError, explain};
use super::info::write_json;
use super::setup::select;
use super::stores::maildir_settings;
use crate::config::{self, Config, Mode};
use crate::state::State;
use crate::store::maildir::{Bin, Kept, MaildirOpener};
use crate::store::{Claim, Kind, Opener, Reach, StoreError};
use crate::sync::rules::Pattern;
use crate::ui::plain;
use anyhow::Context;
use serde::Serialize;
use std::fs::File;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

/// So much of a message is read to show whose it is.
const HEADER_LIMIT: u64 = 64 * 1024;
/// Fewer digits of an ID are too easily those of another one.
const SHORTEST_ID: usize = 4;

/// An account's Maildirs, and what its bin keeps of those messages that are asked for.
struct Found<'a> {
    account: &'a config::Account,
    maildir: &'a config::Maildir,
    bin: Bin,
    kept: Vec<Kept>,
}

/// Lists, or puts back what is named.
pub fn run(config: &Config, args: &UndeleteArgs) -> anyhow::Result<ExitCode> {
    let (names, ids): (Vec<String>, Vec<String>) =
        args.words.iter().cloned().partition(|word| config.account(word).is_some() || !is_id(word));
    if args.json && (args.all || !ids.is_empty()) {
        let hint = Some("leave out --json to put messages back".to_owned());
        return Err(UsageError { what: "--json only lists".to_owned(), hint }.into());
    }
    let mut found = find(config, &names, args)?;
    if !ids.is_empty() {
        pick(&mut found, &ids)?;
    } else if !args.all {
        let text = if args.json { json(&found)? } else { listing(&found) };
        write(&text)?;
        return Ok(End::InStep.into());
    }
    let names = found.iter().filter(|found| !found.kept.is_empty()).map(|found| found.account.name.as_str());
    // Without a flag: nothing has been done yet, and a signal ends the program.
    let _borrowed = match args.dry_run {
        true => None,
        false => Some(ask::borrow(config, names, &AtomicBool::new(false))?),
    };
    let mut end = End::InStep;
    let mut count = 0;
    for found in found.iter().filter(|found| !found.kept.is_empty()) {
        match put_back(config, found, args.dry_run) {
            Ok((done, ended)) => {
                count += done;
                end = end.max(ended);
            }
            Err(error) => end = end.max(explain(&error.context(found.account.name.clone()))),
        }
    }
    if count == 0 && end == End::InStep {
        write("nothing that was deleted is kept, of what was asked for\n")?;
    }
    Ok(end.into())
}

fn is_id(word: &str) -> bool {
    (SHORTEST_ID..=8).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn write(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("write to standard output")
}

/// What is kept for the accounts, as far as folders and time were named.
fn find<'a>(config: &'a Config, names: &[String], args: &UndeleteArgs) -> anyhow::Result<Vec<Found<'a>>> {
    let wrong = |folder: &str, what| UsageError { what: format!("-f {folder}: {what}"), hint: None };
    let folders: Vec<Pattern> = args
        .folders
        .iter()
        .map(|folder| Pattern::parse(folder).map_err(|what| wrong(folder, what)))
        .collect::<Result<_, _>>()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let since = args.since.map(|since| now.saturating_sub(since).as_secs() as i64);
    let mut found = Vec::new();
    for account in select(config, names)? {
        let config::Local::Maildir(maildir) = &account.local else { continue };
        let bin = Bin::new(config.bin(&account.name));
        let mut kept = bin.list().with_context(|| account.name.clone())?;
        kept.retain(|kept| since.is_none_or(|since| kept.deleted >= since));
        kept.retain(|kept| folders.is_empty() || folders.iter().any(|folder| folder.matches(&kept.folder, None)));
        found.push(Found { account, maildir, bin, kept });
    }
    Ok(found)
}

/// Leaves those messages that the IDs name. Each must name one.
fn pick(found: &mut [Found<'_>], ids: &[String]) -> Result<(), UsageError> {
    let ids: Vec<String> = ids.iter().map(|id| id.to_ascii_lowercase()).collect();
    for id in &ids {
        let hint = Some("`mailsync undelete` lists all of them".to_owned());
        let what = match found.iter().flat_map(|found| &found.kept).filter(|kept| kept.id.starts_with(id)).count() {
            1 => continue,
            0 => format!("no deleted message that is kept has the ID {id}"),
            many => format!("{many} deleted messages have an ID that begins with {id}"),
        };
        return Err(UsageError { what, hint });
    }
    for found in found {
        found.kept.retain(|kept| ids.iter().any(|id| kept.id.starts_with(id)));
    }
    Ok(())
}

/// Puts an account's messages back; how many, and how that ended.
fn put_back(config: &Config, found: &Found<'_>, dry_run: bool) -> anyhow::Result<(usize, End)> {
    let name = &found.account.name;
    let mut text = String::new();
    let line = |what: &str, kept: &Kept| {
        let (_, subject) = header(kept);
        format!("{}: {what} {} in {}: {}\n", plain(name), kept.id, kept.folder, plain(&subject))
    };
    if dry_run {
        found.kept.iter().for_each(|kept| text.push_str(&line("would put back", kept)));
        write(&text)?;
        return Ok((found.kept.len(), End::InStep));
    }
    // Held until all is done: no sync may meet a message that is half back.
    let state = State::open(&config.state_file(name))?;
    let settings = maildir_settings(found.maildir);
    let opener = MaildirOpener::new(settings.clone());
    must_be_ours(&opener, name, state.id())?;
    let _lock = opener.lock()?;
    let shown: Vec<String> = found.kept.iter().map(|kept| line("put back", kept)).collect();
    let failed = found.bin.put_back(&found.kept, &settings)?;
    let succeeded = |at: &usize| failed.iter().all(|(other, _)| other != at);
    shown.iter().enumerate().filter(|(at, _)| succeeded(at)).for_each(|(_, line)| text.push_str(line));
    let count = found.kept.len() - failed.len();
    if count > 0 && matches!(found.account.mode, Mode::TwoWay | Mode::Push) {
        text.push_str(&format!("{}: the next sync takes {count} to the server\n", plain(name)));
    }
    write(&text)?;
    let mut end = End::InStep;
    for (at, error) in failed {
        let error = anyhow::Error::from(error).context(format!("{name}: {}", found.kept[at].id));
        end = end.max(explain(&error));
    }
    Ok((count, end))
}

/// Nothing is put into a directory that is not the account's own tree: an empty mount point, say.
fn must_be_ours(opener: &MaildirOpener, account: &str, state: &str) -> Result<(), StoreError> {
    let place = opener.place();
    let why = match opener.open()?.claim(&format!("{account} {state}"))? {
        Claim::Ours => return Ok(()),
        // Of the same account before its state was lost.
        Claim::Foreign(owner) if owner.rsplit_once(' ').is_some_and(|(name, _)| name == account) => return Ok(()),
        Claim::Foreign(_) => format!("{place} belongs to another account"),
        Claim::Unmarked => format!("{place} does not bear this account's mark (the file `.mailsync`)"),
        Claim::Missing => format!("{place} is not there"),
    };
    let error = StoreError::new(Reach::Account, Kind::Missing, "undelete", why);
    Err(error.with_hint("mount it or put it back; the messages stay where they are kept"))
}

/// The values of From and Subject, for people: as they stand, folded lines joined.
fn header(kept: &Kept) -> (String, String) {
    let mut text = Vec::new();
    // What can't be read has nothing to show; putting it back needs no look into it.
    let _ = File::open(&kept.path).and_then(|file| file.take(HEADER_LIMIT).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    let (mut from, mut subject) = (String::new(), String::new());
    let mut current: Option<&mut String> = None;
    for line in text.lines().take_while(|line| !line.is_empty()) {
        if line.starts_with([' ', '\t']) {
            if let Some(value) = &mut current {
                value.push(' ');
                value.push_str(line.trim());
            }
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        current = match field.to_ascii_lowercase().as_str() {
            "from" if from.is_empty() => Some(&mut from),
            "subject" if subject.is_empty() => Some(&mut subject),
            _ => None,
        };
        if let Some(slot) = &mut current {
            slot.push_str(value.trim());
        }
    }
    (from, subject)
}

fn listing(found: &[Found<'_>]) -> String {
    let mut text = String::new();
    for Found { account, bin, kept, .. } in found {
        let name = plain(&account.name);
        if kept.is_empty() {
            text.push_str(&format!("{name}: nothing that was deleted is kept\n"));
            continue;
        }
        text.push_str(&format!(
            "{name}: {} deleted, kept in {}\n",
            kept.len(),
            plain(&bin.root().display().to_string())
        ));
        for kept in kept {
            let (from, subject) = header(kept);
            text.push_str(&format!("  {}  deleted {}  {}\n", kept.id, utc(kept.deleted), kept.folder));
            text.push_str(&format!("            {}  {}, {} bytes\n", plain(&from), utc(kept.date), kept.size));
            text.push_str(&format!("            {}\n", plain(&subject)));
        }
    }
    text
}

/// The form of `undelete --json`. Fields are added in later versions, never renamed or taken away while `version` is 1.
#[derive(Serialize)]
struct Told {
    version: u32,
    messages: Vec<MessageTold>,
}

#[derive(Serialize)]
struct MessageTold {
    account: String,
    id: String,
    folder: String,
    /// Seconds since 1970, as `date`.
    deleted: i64,
    date: i64,
    from: String,
    subject: String,
    size: u64,
    flags: Vec<String>,
    path: String,
}

fn json(found: &[Found<'_>]) -> anyhow::Result<String> {
    let told = |account: &config::Account, kept: &Kept| {
        let (from, subject) = header(kept);
        MessageTold {
            account: account.name.clone(),
            id: kept.id.clone(),
            folder: kept.folder.text(),
            deleted: kept.deleted,
            date: kept.date,
            from,
            subject,
            size: kept.size,
            flags: kept.flags.to_string().split_whitespace().map(str::to_owned).collect(),
            path: kept.path.display().to_string(),
        }
    };
    let all = found.iter().flat_map(|found| found.kept.iter().map(|kept| told(found.account, kept)));
    let mut text = Vec::new();
    write_json(&Told { version: 1, messages: all.collect() }, &mut text)?;
    Ok(String::from_utf8(text)?)
}

/// Seconds since 1970 as a date and a time of day, in UTC (Hinnant's algorithm for the calendar).
fn utc(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400) + 719_468, seconds.rem_euclid(86_400));
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", rest / 3600, rest / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_utc() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_827_696, "2000-02-29 12:34 UTC"),
            (1_500_000_000, "2017-07-14 02:40 UTC"),
            (4_107_542_399, "2100-02-28 23:59 UTC"),
            (-1, "1969-12-31 23:59 UTC"),
        ] {
            assert_eq!(utc(seconds), text);
        }
    }

    #[test]
    fn an_id_is_told_from_an_account() {
        assert!(is_id("1a2b") && is_id("DEADBEEF") && !is_id("abc") && !is_id("work") && !is_id("123456789"));
    }
}
