//! What the status of an account shows of its last sync.

use super::desk::Desk;
use crate::store::Kind;
use crate::sync::Observer;
use crate::sync::event::Event;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A sync of which nothing is heard for so long hangs.
pub const SILENCE: Duration = Duration::from_secs(2 * 3600);

/// What was heard of a sync.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    pub held: usize,
    pub problems: usize,
    /// Messages that wait after errors.
    pub waiting: usize,
    /// The first failure, or what was held first, in words.
    pub trouble: Option<String>,
    /// When the first of these messages is tried again.
    pub next: Option<Duration>,
    /// The kind of the first failure.
    pub kind: Option<Kind>,
}

impl Heard {
    fn hear(&mut self, event: &Event) {
        match event {
            Event::Held { folder, held, .. } => {
                self.held += 1;
                let place = folder.as_ref().map_or(String::new(), |folder| format!("{folder}: "));
                self.trouble.get_or_insert_with(|| format!("{place}{held}"));
            }
            Event::Problem { problem, .. } => {
                self.problems += 1;
                self.kind.get_or_insert(problem.kind);
                self.trouble.get_or_insert_with(|| problem.to_string());
            }
            Event::Waiting { count, next, .. } => {
                self.waiting += count;
                self.next = self.next.into_iter().chain(*next).min();
            }
            _ => {}
        }
    }
}

/// Who hears a sync, and has the desk know that it goes on.
pub struct Hearing(Arc<Mutex<Heard>>);

impl Hearing {
    /// Begins; what is heard goes on to `more`, too.
    pub fn begin(desk: &Arc<Desk>, more: Option<Arc<Observer>>) -> (Hearing, Arc<Observer>) {
        desk.promise(SILENCE);
        let (desk, heard) = (desk.clone(), Arc::<Mutex<Heard>>::default());
        let hearing = Hearing(heard.clone());
        let observer = move |event: Event| {
            desk.promise(SILENCE);
            heard.lock().unwrap_or_else(PoisonError::into_inner).hear(&event);
            if let Some(more) = &more {
                more(event);
            }
        };
        (hearing, Arc::new(observer))
    }

    /// All that was heard.
    pub fn heard(&self) -> Heard {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
