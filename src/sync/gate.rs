//! In which order, and how many at a time, the jobs of a pool are begun.

use crate::store::Stop;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Over each of several connections so many jobs are done side by side, or more if they are small: what waits for one of them
/// is not waited for by all, and what is left is for whichever connection is done first.
const AT_ONCE: usize = 4;

/// Gives jobs out, in their order.
pub struct Gate {
    /// Of each job, as far as that is known before it was prepared.
    pieces: Vec<usize>,
    /// How many pieces each connection may be at work on, where there are several.
    most: usize,
    /// How many files all that was begun may hold open, and how many one job holds at most.
    files: usize,
    held: usize,
    queue: Mutex<Queue>,
    /// Whoever may begin passes on what is left: to wake all who wait, each time, would cost more than small jobs do.
    to_begin: Condvar,
}

#[derive(Default)]
struct Queue {
    /// How many jobs were given out, and how many of them were begun.
    given: usize,
    begun: usize,
    /// Jobs that were begun and are not done, their pieces, and how many files they may hold open.
    running: usize,
    pieces: usize,
    files: usize,
    /// How many connections there are, and how many are to come. Where that is no more than one, nothing is kept for others.
    connections: usize,
    coming: usize,
    shut: bool,
}

/// A job that is being done.
pub struct Pass<'a> {
    gate: &'a Gate,
    pieces: usize,
    files: usize,
}

impl Gate {
    /// `files` may be open for all that was begun; one job has `held` of them at most.
    pub fn new(pieces: Vec<usize>, most: usize, (files, held): (usize, usize)) -> Gate {
        Gate { pieces, most, files, held, queue: Mutex::default(), to_begin: Condvar::new() }
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
        self.to_begin.notify_one();
    }

    /// No more jobs are begun.
    pub fn shut(&self) {
        self.queue().shut = true;
        self.to_begin.notify_one();
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
    /// `pieces` are those that it was found to have.
    pub fn enter(&self, at: usize, pieces: Option<usize>, stop: &Stop) -> Option<Pass<'_>> {
        let mut queue = self.queue();
        loop {
            if queue.shut || stop.is_set() {
                self.to_begin.notify_one();
                return None;
            }
            if self.is_open(&queue) {
                let pieces = pieces.unwrap_or(self.pieces[at]);
                let files = pieces.min(self.held);
                queue.begun += 1;
                queue.running += 1;
                queue.pieces += pieces;
                queue.files += files;
                self.to_begin.notify_one();
                return Some(Pass { gate: self, pieces, files });
            }
            queue = self.to_begin.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether a job may be begun, whichever it is.
    fn is_open(&self, queue: &Queue) -> bool {
        let Queue { running, pieces, files, connections, coming, .. } = *queue;
        let alone = connections + coming <= 1;
        let has_files = running == 0 || files + self.held <= self.files;
        has_files && (alone || running < AT_ONCE * connections || pieces < self.most * connections)
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut queue = self.gate.queue();
        queue.running -= 1;
        queue.pieces -= self.pieces;
        queue.files -= self.files;
        self.gate.to_begin.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    fn enter<'a>(gate: &'a Gate, stop: &Stop) -> Option<(usize, Pass<'a>)> {
        let at = gate.next(stop)?;
        Some((at, gate.enter(at, None, stop)?))
    }

    #[test]
    fn what_keeps_a_connection_busy_is_begun_and_the_rest_waits_for_another_one() {
        let stop = &Stop::new();
        // Small ones are begun as far as they are no more than that together, and a few large ones.
        for (pieces, begun) in [(1, 10), (100, 10), (400, 4)] {
            let gate = &Gate::new(vec![pieces; 20], 1000, (usize::MAX, 300));
            gate.expect(1, 1);
            let entered: Vec<(usize, Pass<'_>)> = (0..begun).map(|_| enter(gate, stop).expect("a job")).collect();
            assert_eq!(gate.left(), (20 - begun, 20 - begun));
            if pieces < 100 {
                continue;
            }
            std::thread::scope(|scope| {
                // It can be prepared all the same.
                let at = gate.next(stop).expect("a job");
                assert_eq!(at, begun);
                let next = scope.spawn(move || gate.enter(at, None, stop).is_some());
                std::thread::sleep(Duration::from_millis(50));
                assert!(!next.is_finished(), "{pieces} pieces each");
                assert_eq!(gate.left(), (19 - begun, 20 - begun));
                gate.came(true);
                assert!(next.join().expect("no panic"));
            });
            drop(entered);
            let (at, _pass) = enter(gate, stop).expect("a job");
            assert_eq!((at, gate.left()), (begun + 1, (18 - begun, 18 - begun)));
            let at = gate.next(stop).expect("a job");
            gate.shut();
            assert!(gate.enter(at, None, stop).is_none() && gate.next(stop).is_none());
        }
        // Where no other one is wanted, or none to be had, nothing waits.
        for refused in [false, true] {
            let gate = Gate::new(vec![400; 20], 1000, (usize::MAX, 300));
            gate.expect(1, usize::from(refused));
            if refused {
                gate.came(false);
            }
            let all: Vec<(usize, Pass<'_>)> = std::iter::from_fn(|| enter(&gate, stop)).collect();
            assert_eq!(all.iter().map(|(at, _)| *at).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_more_is_begun_than_there_are_files_for() {
        let (stop, most) = (&Stop::new(), 300);
        // What was found counts, not what was announced.
        let gate = &Gate::new(vec![0; 50], 1000, (3 * most + 10, most));
        gate.expect(1, 0);
        let begun = AtomicUsize::new(0);
        let enter = |pieces| {
            let pass = gate.enter(gate.next(stop).expect("a job"), Some(pieces), stop);
            begun.fetch_add(1, Ordering::SeqCst);
            pass.expect("not shut")
        };
        let small: Vec<Pass<'_>> = (0..10).map(|_| enter(1)).collect();
        let large: Vec<Pass<'_>> = (0..3).map(|_| enter(10_000)).collect();
        std::thread::scope(|scope| {
            let waiting: Vec<_> = (0..20).map(|_| scope.spawn(|| drop(enter(10_000)))).collect();
            std::thread::sleep(Duration::from_millis(50));
            assert_eq!(begun.load(Ordering::SeqCst), 13);
            drop(small);
            std::thread::sleep(Duration::from_millis(50));
            assert_eq!(begun.load(Ordering::SeqCst), 13);
            drop(large);
            waiting.into_iter().for_each(|waiting| waiting.join().expect("no panic"));
        });
        // One job is begun in any case.
        let gate = Gate::new(vec![10_000; 2], 1000, (0, 300));
        gate.expect(1, 0);
        drop(gate.enter(0, None, stop).expect("a job"));
        drop(gate.enter(1, None, stop).expect("a job"));
    }

    #[test]
    fn all_who_wait_are_told_that_it_is_over() {
        let stopped = Stop::new();
        for shut in [true, false] {
            let gate = &Gate::new(vec![2000; 40], 1000, (usize::MAX, 300));
            gate.expect(2, 0);
            let entered: Vec<(usize, Pass<'_>)> = (0..8).map(|_| enter(gate, &stopped).expect("a job")).collect();
            std::thread::scope(|scope| {
                let waiting: Vec<_> = (8..40).map(|_| scope.spawn(|| enter(gate, &stopped).is_none())).collect();
                while gate.left().0 > 0 {
                    std::thread::yield_now();
                }
                match shut {
                    true => gate.shut(),
                    false => stopped.set(),
                }
                drop(entered);
                assert!(waiting.into_iter().all(|waiting| waiting.join().expect("no panic")));
            });
        }
    }
}
