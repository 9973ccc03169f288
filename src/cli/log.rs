//! Troubleshooting output: `-v` and `-d`. It goes to standard error, a line at a time, and never holds a secret.

use super::args::Topic;
use crate::sync::Observer;
use crate::sync::event::Event;
use crate::ui::{clean, done};
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

/// Takes the lines of one topic and place.
pub type Sink = Arc<dyn Fn(&str) + Send + Sync>;

/// Knows which topics are wanted, and writes their lines.
pub struct Log {
    topics: Vec<Topic>,
    start: Instant,
}

impl Log {
    /// `verbose` counts the `-v`: one is the topic sync, two are all of them.
    pub fn new(topics: &[Topic], verbose: u8) -> Log {
        let mut topics = topics.to_vec();
        match verbose {
            0 => {}
            1 => topics.push(Topic::Sync),
            _ => topics = vec![Topic::Imap, Topic::Maildir, Topic::State, Topic::Sync],
        }
        Log { topics, start: Instant::now() }
    }

    pub fn wants(&self, topic: Topic) -> bool {
        self.topics.contains(&topic)
    }

    /// Writes a line, if the topic is wanted: seconds since the start, topic, place, text.
    pub fn line(&self, topic: Topic, place: &str, text: &str) {
        if !self.wants(topic) {
            return;
        }
        let name = match topic {
            Topic::Imap => "imap",
            Topic::Maildir => "maildir",
            Topic::State => "state",
            Topic::Sync => "sync",
        };
        let text = clean(text.trim_end());
        let line = format!("{:9.3} {name} {place}: {text}\n", self.start.elapsed().as_secs_f64());
        // Nobody is left to be told where this fails.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }

    /// Where the lines of one topic and place go; `None` where nobody wants them, so that nobody makes them.
    pub fn sink(self: &Arc<Self>, topic: Topic, place: &str) -> Option<Sink> {
        if !self.wants(topic) {
            return None;
        }
        let (log, place) = (self.clone(), place.to_owned());
        Some(Arc::new(move |text| log.line(topic, &place, text)))
    }

    /// An observer that writes every event before it passes it on.
    pub fn observer(self: &Arc<Self>, next: Arc<Observer>) -> Arc<Observer> {
        if !self.wants(Topic::Sync) {
            return next;
        }
        let log = self.clone();
        Arc::new(move |event: Event| {
            let (place, text) = told(&event);
            log.line(Topic::Sync, place, &text);
            next(event);
        })
    }
}

fn told(event: &Event) -> (&str, String) {
    match event {
        Event::AccountStarted { account } => (account, "started".to_owned()),
        Event::Listed { account, folders, to_look_at } => {
            (account, format!("{folders} folder pairs, {to_look_at} to look at"))
        }
        Event::Note { account, folder: None, text } => (account, text.clone()),
        Event::Note { account, folder: Some(name), text } => (account, format!("{}: {text}", name)),
        Event::Problem { account, problem } => (account, format!("failed: {problem}")),
        Event::Waiting { account, count, next } => (account, format!("{count} in the ledger, next try in {next:?}")),
        Event::Held { account, folder: None, held } => (account, held.to_string()),
        Event::Held { account, folder: Some(name), held } => (account, format!("{}: {held}", name)),
        Event::WouldDo { account, folder, what } => (account, format!("{folder}: would {what}")),
        Event::Planned { account, folder, counts } => (account, format!("{folder}: to do: {}", done(counts))),
        Event::Copying { account, folder, to, done, of, bytes } => {
            (account, format!("{folder}: {done} of {of} copied to {to}, {bytes} bytes"))
        }
        Event::FolderCreated { account, folder, on } => (account, format!("{folder}: made on {on}")),
        Event::FolderRenamed { account, from, to, on } => (account, format!("{from}: renamed to {to} on {on}")),
        Event::FolderDeleted { account, folder, on } => (account, format!("{folder}: deleted on {on}")),
        Event::FolderDone { account, folder, counts } => (account, format!("{folder}: done: {}", done(counts))),
        Event::Messages { account, folder, on, deed, messages } => {
            (account, format!("{}: {} {deed:?} on {on}", folder.names.remote, messages.len()))
        }
        Event::Hook { account, hook, cause, .. } => (account, format!("hook {hook}: {cause}")),
        Event::AccountDone { account, outcome, counts } => (account, format!("ended: {outcome:?}; {}", done(counts))),
    }
}
