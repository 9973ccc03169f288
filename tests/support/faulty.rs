//! Makes the stores of a bench fail at a chosen step, and keeps the state as it was at that moment.

use super::world::{Bench, image};
use mailsync::mail::Side;
use mailsync::store::memory::{Action, Fault, Hook, Step, When};
use mailsync::store::{Kind, Reach, StoreError};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

type Image = Vec<(String, Vec<u8>)>;

/// What happens at the chosen step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// The program dies: no step after it has an effect, and the state stays as it was.
    Crash,
    /// The step fails, once, so far.
    Fail(Reach),
}

/// Counts the steps of both worlds of a bench, and strikes at one of them.
pub struct Faulty {
    struck: Arc<AtomicBool>,
    taken: Arc<AtomicUsize>,
    last: Arc<Mutex<Option<Action>>>,
    left: Arc<Mutex<Option<Image>>>,
}

impl Faulty {
    /// Strikes at step `at` of both worlds together, counted from 0, before or after its effect.
    pub fn arm(bench: &Bench, at: usize, when: When, blow: Blow) -> Faulty {
        let faulty =
            Faulty { struck: Arc::default(), taken: Arc::default(), last: Arc::default(), left: Arc::default() };
        for side in Side::BOTH {
            bench.worlds[side].set_hook(Some(faulty.hook(bench, at, when, blow)));
        }
        faulty
    }

    fn hook(&self, bench: &Bench, at: usize, when: When, blow: Blow) -> Hook {
        let (struck, taken, left) = (Arc::clone(&self.struck), Arc::clone(&self.taken), Arc::clone(&self.left));
        let last = Arc::clone(&self.last);
        let (stop, state) = (bench.stop.clone(), bench.state());
        Arc::new(move |step: &Step| {
            if blow == Blow::Crash && struck.load(Ordering::SeqCst) {
                return Fault::Crash;
            }
            if step.when != when || taken.fetch_add(1, Ordering::SeqCst) != at {
                return Fault::None;
            }
            struck.store(true, Ordering::SeqCst);
            *last.lock().expect("nobody panicked") = Some(step.action);
            match blow {
                Blow::Crash => {
                    *left.lock().expect("nobody panicked") = Some(image(&state));
                    stop.set();
                    Fault::Crash
                }
                Blow::Fail(reach) => Fault::Fail(StoreError::new(reach, Kind::Network, step.action.name(), "a fault")),
            }
        })
    }

    /// Whether the run came as far as the step.
    pub fn struck(&self) -> bool {
        self.struck.load(Ordering::SeqCst)
    }

    /// What was struck.
    pub fn last(&self) -> Option<Action> {
        *self.last.lock().expect("nobody panicked")
    }

    /// Takes the fault away; after a crash, the state is what it was at that moment.
    pub fn disarm(self, bench: &mut Bench) {
        for side in Side::BOTH {
            bench.worlds[side].set_hook(None);
        }
        bench.stop = mailsync::store::Stop::new();
        if let Some(image) = self.left.lock().expect("nobody panicked").take() {
            bench.put_state_back(&image);
        }
    }
}
