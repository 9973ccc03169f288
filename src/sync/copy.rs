//! Copies messages from one side to the other. One thread takes them in and another one stores them, so that the line never
//! waits for the disk, nor the disk for the line.
//!
//! Batches go from the one to the other, in order, and few at a time: each holds files open.

use super::event::{Deed, Event, Problem, Touch};
use super::execute::{Context, Done, is_unread};
use super::pair::{Failure, Look};
use crate::mail::{Flags, Identity, Key, Side, Sides};
use crate::state::{Change, Intent};
use crate::store::draft::draft_error;
use crate::store::{Draft, Drafter, Fetched, Folder, Kind, Mark, Outgoing, Reach, Receive, StoreError, start_thread};
use std::mem;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::SystemTime;

/// A batch of copies is stored at once: large enough that its fsyncs don't count, small enough that its files can all
/// be open.
const BATCH_MESSAGES: usize = 100;
/// Where few files may be open, this part of them for a batch: there are three of them for each of some connections, and others.
const BATCH_SHARE: usize = 16;
const BATCH_BYTES: u64 = 8 << 20;
/// How many whole batches may wait while one is stored.
const WAITING: usize = 1;

/// How many messages make a batch, where so many files may be open.
pub fn batch_messages(files: usize) -> usize {
    BATCH_MESSAGES.min(files / BATCH_SHARE).max(1)
}

/// How many files may be open for copies in one folder, of so many for the account: a batch that is stored, those that wait,
/// and one that comes in.
pub fn files_held(files: usize) -> usize {
    batch_messages(files) * (WAITING + 2)
}

/// Messages to be copied to one side, ascending by the key that they have on the other one.
#[derive(Default)]
pub struct Copies {
    keys: Vec<Key>,
    flags: Vec<Given>,
}

/// The flags that a message has, and those of them that its copy is given.
struct Given {
    from: Flags,
    put: Flags,
}

impl Copies {
    pub fn push(&mut self, key: Key, from: Flags, put: Flags) {
        self.keys.push(key);
        self.flags.push(Given { from, put });
    }

    /// Brings them into order: the others ask for them by key.
    pub fn sort(&mut self) {
        if !self.keys.is_sorted() {
            let mut all: Vec<(Key, Given)> =
                mem::take(&mut self.keys).into_iter().zip(mem::take(&mut self.flags)).collect();
            all.sort_by(|a, b| a.0.cmp(&b.0));
            (self.keys, self.flags) = all.into_iter().unzip();
        }
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// The messages that are copied.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Whether a message is among them, once they are in order.
    pub fn contains(&self, key: &Key) -> bool {
        self.keys.binary_search(key).is_ok()
    }
}

/// Copies messages to side `to`.
pub fn copy(
    look: &Look,
    to: Side,
    copies: &Copies,
    folders: &mut Sides<Box<dyn Folder + '_>>,
    context: &Context<'_>,
    done: &mut Done,
) -> Result<(), Failure> {
    if copies.is_empty() {
        return Ok(());
    }
    if context.full[to].load(Ordering::Relaxed) {
        done.pending[to.other()] = true;
        return Ok(());
    }
    let (target, source) = match to {
        Side::Local => (&mut folders.local, &mut folders.remote),
        Side::Remote => (&mut folders.remote, &mut folders.local),
    };
    let task = Task { look, to, copies, context };
    let drafter = target.drafter();
    let (result, failed, stored, all) = thread::scope(|scope| {
        let mut taking = Taking::new(scope, &task, drafter, Storing::new(&task, target.as_mut()));
        let fetched = source.fetch(&copies.keys, &mut taking);
        let all = !taking.come.contains(&false);
        let (result, failed, stored) = taking.end(fetched);
        (result, failed, stored, all)
    });
    // They are gone by now, says the source. The next look has to say so as well before it is believed.
    done.pending[to.other()] |= !all;
    done.counts.copied[to] += stored.bound;
    for (at, error) in failed.into_iter().chain(stored.failed) {
        done.failed_copy(look, to.other(), &copies.keys[at], &copies.flags[at].from, &error);
    }
    match result {
        Err(Failure { side: Some(side), error }) if side == to && is_full(&error) => {
            // Said once for the account: the other folders wait for the same reason.
            if !context.full[to].swap(true, Ordering::Relaxed) {
                done.problems.push(Problem::new(Some(&look.job.names.remote), Some(to), &error));
            }
            done.pending[to.other()] = true;
            Ok(())
        }
        result => result,
    }
}

/// Whether a side has no room for more mail. What it has can still be read, changed and deleted.
fn is_full(error: &StoreError) -> bool {
    error.kind == Kind::Later && error.reach == Reach::Folder
}

/// What is to be done, as both threads know it.
struct Task<'a> {
    look: &'a Look,
    to: Side,
    copies: &'a Copies,
    context: &'a Context<'a>,
}

/// A message that came whole.
struct Taken {
    /// Where it stands among the copies.
    at: usize,
    date: Option<i64>,
    email_id: Option<String>,
    body: Draft,
}

type Batch = Vec<Taken>;
/// Messages that failed by themselves, by where they stand among the copies.
type Failed = Vec<(usize, StoreError)>;

/// Takes messages from one side and makes batches of them.
struct Taking<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    task: &'env Task<'env>,
    drafter: Box<dyn Drafter>,
    /// What has come: a message that was not asked for, or that comes twice, is not taken.
    come: Vec<bool>,
    batch: Batch,
    bytes: u64,
    /// How many messages make a batch.
    most: usize,
    failed: Failed,
    /// Why the transfer ends, where it is neither the source's doing nor that of who stores.
    failure: Option<Failure>,
    /// Stores what is less than a batch at the end, which is not worth a thread, and all where no thread can be had.
    storing: Option<Storing<'env>>,
    /// The thread that stores, once there was a whole batch.
    aside: Option<Aside<'scope>>,
}

/// The other thread.
struct Aside<'scope> {
    batches: SyncSender<Batch>,
    thread: ScopedJoinHandle<'scope, Ended>,
}

/// What was stored, and why no more of it.
type Ended = (Stored, Result<(), Failure>);

impl<'scope> Aside<'scope> {
    /// A thread, and what it stores with is to be sent to; `None` where none can be had.
    fn begin<'env>(scope: &'scope Scope<'scope, 'env>) -> Option<(Self, SyncSender<Storing<'env>>)> {
        let (batches, waiting) = mpsc::sync_channel(WAITING);
        let (hand, handed) = mpsc::sync_channel(1);
        let store = move || match handed.recv() {
            Ok(storing) => Storing::store_all(storing, &waiting),
            Err(_) => (Stored::default(), Ok(())),
        };
        let thread = start_thread(scope, store).ok()?;
        Some((Aside { batches, thread }, hand))
    }
}

impl<'scope, 'env> Taking<'scope, 'env> {
    fn new(
        scope: &'scope Scope<'scope, 'env>,
        task: &'env Task<'env>,
        drafter: Box<dyn Drafter>,
        storing: Storing<'env>,
    ) -> Self {
        Taking {
            scope,
            task,
            drafter,
            come: vec![false; task.copies.keys.len()],
            batch: Vec::new(),
            bytes: 0,
            most: task.context.batch,
            failed: Vec::new(),
            failure: None,
            storing: Some(storing),
            aside: None,
        }
    }

    /// Notes why the transfer ends, and gives the source an error to end with.
    fn fail(&mut self, failure: Failure) -> StoreError {
        let error = StoreError::new(failure.error.reach, failure.error.kind, "copy", &failure.error.cause);
        self.failure = Some(failure);
        error
    }

    /// Where a message stands that has not come yet.
    fn expected(&mut self, key: &Key) -> Option<usize> {
        let at = self.task.copies.keys.binary_search(key).ok()?;
        (!mem::replace(&mut self.come[at], true)).then_some(at)
    }

    /// Gives what came so far to the thread that stores it, which begins with the first batch. Waits while too much is
    /// waiting there. Fails where that thread has ended: it will say why.
    fn hand_over(&mut self) -> Result<(), StoreError> {
        self.bytes = 0;
        let batch = mem::take(&mut self.batch);
        if let Some(mut storing) = self.storing.take() {
            match Aside::begin(self.scope) {
                Some((aside, hand)) => {
                    // It fails only where that thread is gone, which is seen below.
                    let _gone = hand.send(storing);
                    self.aside = Some(aside);
                }
                None => {
                    let stored = storing.store(batch).and_then(|()| storing.commit(Vec::new()));
                    self.storing = Some(storing);
                    return stored.map_err(|failure| self.fail(failure));
                }
            }
        }
        match &self.aside {
            Some(aside) if aside.batches.send(batch).is_ok() => Ok(()),
            _ => Err(ended()),
        }
    }

    /// Has the rest stored and waits until it is. What came whole before the source failed, or before the user asked to
    /// stop, is as good as any.
    fn end(mut self, fetched: Result<(), StoreError>) -> (Result<(), Failure>, Failed, Stored) {
        let broken = self.failure.as_ref().is_some_and(|failure| failure.error.kind != Kind::Stopped);
        let rest = if broken { Vec::new() } else { mem::take(&mut self.batch) };
        let (stored, result) = match (self.aside, self.storing) {
            (Some(Aside { batches, thread }), _) => {
                // Where that fails the thread has ended, and says why.
                let _ended = batches.send(rest);
                drop(batches);
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }
            (None, storing) => storing.map_or_else(|| (Stored::default(), Ok(())), |storing| storing.store_last(rest)),
        };
        let result = match self.failure {
            Some(failure) => Err(failure),
            None => result.and(fetched.map_err(Failure::on(self.task.to.other()))),
        };
        (result, self.failed, stored)
    }
}

/// What ends a source whose messages nobody stores any more.
fn ended() -> StoreError {
    StoreError::new(Reach::Folder, Kind::Stopped, "copy", "what came before could not be stored")
}

impl Receive for Taking<'_, '_> {
    fn draft(&mut self) -> Result<Draft, StoreError> {
        if self.aside.as_ref().is_some_and(|aside| aside.thread.is_finished()) {
            return Err(ended());
        }
        self.drafter.draft().map_err(|error| self.fail(Failure { side: Some(self.task.to), error }))
    }

    fn message(&mut self, fetched: Fetched) -> Result<(), StoreError> {
        let Some(at) = self.expected(&fetched.key) else { return Ok(()) };
        let Fetched { date, email_id, body, .. } = fetched;
        self.bytes += body.bytes();
        self.batch.push(Taken { at, date, email_id, body });
        if self.task.context.stop.is_set() {
            return Err(self.fail(Failure { side: None, error: StoreError::stopped() }));
        }
        match self.batch.len() >= self.most || self.bytes >= BATCH_BYTES {
            true => self.hand_over(),
            false => Ok(()),
        }
    }

    fn failed(&mut self, key: Key, error: StoreError) -> Result<(), StoreError> {
        if error.reach > Reach::Message {
            return Err(self.fail(Failure { side: Some(self.task.to.other()), error }));
        }
        if let Some(at) = self.expected(&key) {
            self.failed.push((at, error));
        }
        Ok(())
    }
}

/// What became of what was stored.
#[derive(Default)]
struct Stored {
    /// Copies that are confirmed.
    bound: usize,
    failed: Failed,
}

/// Stores batches: marks and intents first, then the messages, then the confirmation. Where the next batch is there
/// already, its intents are committed together with the confirmation.
struct Storing<'a> {
    task: &'a Task<'a>,
    target: &'a mut dyn Folder,
    /// What confirms the last batch, and how many copies that binds.
    confirmation: (Vec<Change>, usize),
    stored: Stored,
    copied: usize,
    bytes: u64,
}

impl<'a> Storing<'a> {
    fn new(task: &'a Task<'a>, target: &'a mut dyn Folder) -> Self {
        Storing { task, target, confirmation: Default::default(), stored: Stored::default(), copied: 0, bytes: 0 }
    }

    /// Stores batches until no more come.
    fn store_all(mut self, batches: &mpsc::Receiver<Batch>) -> Ended {
        let mut result = Ok(());
        while result.is_ok()
            && let Ok(batch) = batches.recv()
        {
            result = self.store(batch);
            while result.is_ok()
                && let Ok(next) = batches.try_recv()
            {
                result = self.store(next);
            }
            // What was stored is confirmed, whatever became of the rest.
            let confirmed = self.commit(Vec::new());
            result = result.and(confirmed);
        }
        (self.stored, result)
    }

    /// Stores the only batch there is.
    fn store_last(mut self, batch: Batch) -> Ended {
        let result = self.store(batch);
        let confirmed = self.commit(Vec::new());
        (self.stored, result.and(confirmed))
    }

    /// Commits the confirmation of the last batch, and what goes with it.
    fn commit(&mut self, more: Vec<Change>) -> Result<(), Failure> {
        let (mut changes, bound) = mem::take(&mut self.confirmation);
        changes.extend(more);
        self.task.context.state.apply(&changes)?;
        self.stored.bound += bound;
        Ok(())
    }

    fn store(&mut self, batch: Batch) -> Result<(), Failure> {
        if batch.is_empty() {
            return Ok(());
        }
        let Task { look, to, copies, .. } = self.task;
        let marks = self.target.reserve(batch.len()).map_err(Failure::on(*to))?;
        let (mut intents, mut outgoing) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        let mut sources = Vec::with_capacity(batch.len());
        for (Taken { at, date, email_id, mut body }, mark) in batch.into_iter().zip(marks) {
            let read = body.identity().map_err(|err| Failure::on(*to)(draft_error("read a message", err)))?;
            let identity = Identity { email_id, ..read };
            let (exact, key) = match &mark {
                Mark::Exact(key) => (true, key.clone()),
                Mark::NotBelow(key) => (false, key.clone()),
            };
            let flags = &copies.flags[at].put;
            let intent = Intent {
                to: *to,
                source: copies.keys[at].clone(),
                exact,
                mark: key,
                flags: flags.clone(),
                identity: identity.clone(),
                begun: SystemTime::now(),
            };
            intents.push(Change::Intend { folder: look.job.id, intent });
            outgoing.push(Outgoing { mark, flags: flags.clone(), date, body });
            sources.push((at, identity));
        }
        self.commit(intents)?;
        let answers = self.target.append(outgoing).map_err(Failure::on(*to))?;
        self.confirm(sources, answers)?;
        self.report();
        Ok(())
    }

    /// Notes what is to be committed of what became of a batch.
    fn confirm(
        &mut self,
        sources: Vec<(usize, Identity)>,
        answers: Vec<Result<Option<Key>, StoreError>>,
    ) -> Result<(), Failure> {
        let Task { look, to, copies, context } = self.task;
        let (to, folder) = (*to, look.job.id);
        let (mut changes, mut bound) = (Vec::with_capacity(2 * sources.len()), 0);
        let mut touches = Vec::new();
        let mut failure = None;
        for ((at, identity), answer) in sources.into_iter().zip(answers) {
            let source = &copies.keys[at];
            let done = Change::Done { folder, to, source: source.clone() };
            let size = identity.size.unwrap_or_default();
            match answer {
                Ok(Some(key)) => {
                    let Given { from, put } = &copies.flags[at];
                    if context.each_message {
                        let file = self.target.stored_as(&key, put);
                        touches.push(Touch { file, was: None, unread: is_unread(put) });
                    }
                    let flags = Sides::with(to, put.clone(), from.clone());
                    let keys = Sides::with(to, key, source.clone());
                    changes.push(Change::Bind { folder, keys, flags, identity });
                    changes.push(done);
                    bound += 1;
                    (self.copied, self.bytes) = (self.copied + 1, self.bytes + size);
                }
                // The intent stays until the copy was found.
                Ok(None) => (self.copied, self.bytes) = (self.copied + 1, self.bytes + size),
                Err(error) => {
                    changes.push(done);
                    match error.reach {
                        Reach::Message => self.stored.failed.push((at, error)),
                        _ => failure = failure.or(Some(Failure { side: Some(to), error })),
                    }
                }
            }
        }
        context.tell_messages(&look.job, to, Deed::Copied, touches);
        self.confirmation = (changes, bound);
        failure.map_or(Ok(()), Err)
    }

    fn report(&self) {
        let Task { look, to, copies, context } = self.task;
        (context.observer)(Event::Copying {
            account: context.account.to_owned(),
            folder: look.job.names.remote.clone(),
            to: *to,
            done: self.copied,
            of: copies.keys.len(),
            bytes: self.bytes,
        });
    }
}
