//! In which order, and how many at a time, the jobs of a pool are begun.

use crate::store::Stop;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Over each of several connections so many jobs are done side by side, or more if they are small: what waits for one of them
/// is not waited for by all, and what is left is for whichever connection is done first.
const AT_ONCE: usize = 4;

/// Gives jobs out, in their order.
pub struct Gate {
    /// Of each job.
    pieces: Vec<usize>,
    /// How many pieces each connection may be at work on, where there are several.
    most: usize,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    /// How many jobs were given out, and how many of them were begun.
    given: usize,
    begun: usize,
    /// Jobs that were begun and are not done, and their pieces.
    running: usize,
    pieces: usize,
    /// How many connections there are, and how many are to come. Where that is no more than one, nothing is kept for others.
    connections: usize,
    coming: usize,
    shut: bool,
}

/// A job that is being done.
pub struct Pass<'a> {
    gate: &'a Gate,
    at: usize,
}

impl Gate {
    pub fn new(pieces: Vec<usize>, most: usize) -> Gate {
        Gate { pieces, most, queue: Mutex::default(), changed: Condvar::new() }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many connections there are, and how many are to come.
    pub fn expect(&self, connections: usize, coming: usize) {
        let mut queue = self.queue();
        (queue.connections, queue.coming) = (connections, coming);
    }

    /// One that was to come is there, or will not be.
    pub fn came(&self, there: bool) {
        let mut queue = self.queue();
        queue.connections += usize::from(there);
        queue.coming -= 1;
        self.changed.notify_all();
    }

    /// No more jobs are begun.
    pub fn shut(&self) {
        self.queue().shut = true;
        self.changed.notify_all();
    }

    /// How many jobs were not given out, and how many were not begun.
    pub fn left(&self) -> (usize, usize) {
        let Queue { given, begun, .. } = *self.queue();
        (self.pieces.len() - given, self.pieces.len() - begun)
    }

    /// The next job; `None` when no more is to be begun.
    pub fn next(&self, stop: &Stop) -> Option<usize> {
        let mut queue = self.queue();
        let next = Some(queue.given).filter(|at| *at < self.pieces.len() && !queue.shut && !stop.is_set());
        queue.given += usize::from(next.is_some());
        next
    }

    /// Leave to begin a job, once there is a connection for it that has not enough to do; `None` when no more is to be begun.
    pub fn enter(&self, at: usize, stop: &Stop) -> Option<Pass<'_>> {
        let mut queue = self.queue();
        loop {
            if queue.shut || stop.is_set() {
                return None;
            }
            let Queue { running, pieces, connections, coming, .. } = *queue;
            let alone = connections + coming <= 1;
            if alone || running < AT_ONCE * connections || pieces < self.most * connections {
                queue.begun += 1;
                queue.running += 1;
                queue.pieces += self.pieces[at];
                return Some(Pass { gate: self, at });
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut queue = self.gate.queue();
        queue.running -= 1;
        queue.pieces -= self.gate.pieces[self.at];
        self.gate.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn enter<'a>(gate: &'a Gate, stop: &Stop) -> Option<Pass<'a>> {
        gate.enter(gate.next(stop)?, stop)
    }

    #[test]
    fn what_keeps_a_connection_busy_is_begun_and_the_rest_waits_for_another_one() {
        let stop = &Stop::new();
        // Small ones are begun as far as they are no more than that together, and a few large ones.
        for (pieces, begun) in [(1, 10), (100, 10), (400, 4)] {
            let gate = &Gate::new(vec![pieces; 20], 1000);
            gate.expect(1, 1);
            let entered: Vec<Pass<'_>> = (0..begun).map(|_| enter(gate, stop).expect("a job")).collect();
            assert_eq!(gate.left(), (20 - begun, 20 - begun));
            if pieces < 100 {
                continue;
            }
            std::thread::scope(|scope| {
                // It can be prepared all the same.
                let at = gate.next(stop).expect("a job");
                let next = scope.spawn(move || gate.enter(at, stop).map(|pass| pass.at));
                std::thread::sleep(Duration::from_millis(50));
                assert!(!next.is_finished(), "{pieces} pieces each");
                assert_eq!(gate.left(), (19 - begun, 20 - begun));
                gate.came(true);
                assert_eq!(next.join().expect("no panic"), Some(begun));
            });
            drop(entered);
            assert_eq!((enter(gate, stop).expect("a job").at, gate.left()), (begun + 1, (18 - begun, 18 - begun)));
            let at = gate.next(stop).expect("a job");
            gate.shut();
            assert!(gate.enter(at, stop).is_none() && gate.next(stop).is_none());
        }
        // Where no other one is wanted, or none to be had, nothing waits.
        for refused in [false, true] {
            let gate = Gate::new(vec![400; 20], 1000);
            gate.expect(1, usize::from(refused));
            if refused {
                gate.came(false);
            }
            let all: Vec<Pass<'_>> = std::iter::from_fn(|| enter(&gate, stop)).collect();
            assert_eq!(all.iter().map(|pass| pass.at).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
        }
    }
}
