//! Says each trouble once: what runs for months would say it at every try.

use crate::sync::Observer;
use crate::sync::event::{Event, Outcome};
use std::collections::{HashMap, HashSet};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

/// What was told of each account in its last sync.
#[derive(Default)]
pub struct Repeats(Mutex<HashMap<String, Told>>);

#[derive(Default)]
struct Told {
    before: HashSet<String>,
    now: HashSet<String>,
}

impl Repeats {
    /// An observer that passes on what is new.
    pub fn observer(self: &Arc<Self>, next: Arc<Observer>) -> Arc<Observer> {
        let repeats = self.clone();
        Arc::new(move |event: Event| {
            if let Event::AccountDone { account, outcome, .. } = &event
                && repeats.end(account, *outcome)
            {
                next(Event::Note { account: account.clone(), folder: None, text: "in step again".to_owned() });
            }
            if repeats.is_new(&event) {
                next(event);
            }
        })
    }

    /// The end of an account's sync; whether all is well that was not.
    fn end(&self, account: &str, outcome: Outcome) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = all.entry(account.to_owned()).or_default();
        match outcome {
            // What was not looked at may still be so.
            Outcome::Interrupted | Outcome::Locked => {
                let now = mem::take(&mut told.now);
                told.before.extend(now);
                false
            }
            _ => {
                let before = mem::replace(&mut told.before, mem::take(&mut told.now));
                outcome == Outcome::InStep && !before.is_empty() && told.before.is_empty()
            }
        }
    }

    fn is_new(&self, event: &Event) -> bool {
        let (account, text) = match event {
            Event::Problem { account, problem } => (account, format!("{problem}")),
            Event::Held { account, folder, held } => (account, format!("{folder:?}: {held}")),
            Event::Waiting { account, count, .. } => (account, format!("{count} messages wait")),
            Event::Hook { account, hook, cause, .. } => (account, format!("{hook}: {cause}")),
            // Another run is at work, and tried again soon.
            _ => return true,
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = all.entry(account.clone()).or_default();
        let new = !told.before.contains(&text);
        told.now.insert(text) && new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Kind;
    use crate::sync::Counts;
    use crate::sync::event::Problem;

    #[test]
    fn a_trouble_is_told_when_it_begins_and_when_it_is_over() {
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let hears = heard.clone();
        let next: Arc<Observer> = Arc::new(move |event: Event| {
            let line = match event {
                Event::Problem { problem, .. } => problem.to_string(),
                Event::Note { text, .. } => text,
                _ => return,
            };
            hears.lock().expect("no panic").push(line);
        });
        let observer = Arc::new(Repeats::default()).observer(next);
        let sync = |causes: &[&str], outcome| {
            for cause in causes {
                let problem = Problem {
                    folder: None,
                    side: None,
                    message: None,
                    kind: Kind::Network,
                    action: "connect".into(),
                    cause: (*cause).into(),
                    hint: None,
                };
                observer(Event::Problem { account: "main".into(), problem });
            }
            observer(Event::AccountDone { account: "main".into(), outcome, counts: Counts::default() });
            mem::take(&mut *heard.lock().expect("no panic"))
        };
        assert!(sync(&[], Outcome::InStep).is_empty());
        assert_eq!(sync(&["gone", "gone"], Outcome::Failed), ["connect: gone"]);
        assert!(sync(&["gone"], Outcome::Failed).is_empty());
        assert_eq!(sync(&["gone", "full"], Outcome::Failed), ["connect: full"]);
        assert!(sync(&["gone"], Outcome::Locked).is_empty());
        assert!(sync(&["full"], Outcome::Failed).is_empty());
        assert_eq!(sync(&[], Outcome::InStep), ["in step again"]);
        assert_eq!(sync(&["gone"], Outcome::Failed), ["connect: gone"]);
    }
}
