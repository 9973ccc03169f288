//! Carries out what was decided, folder by folder. Where no message is known in any of them and no copy was begun, as in an
//! account's first sync, nothing can be gone from one, nor have been moved to another: then each is looked at, decided on and
//! done with by itself, and the messages of the first ones come while others are still looked at.

use super::account::{Run, WORTH_A_CONNECTION};
use super::execute::{Done, execute, graver};
use super::guard;
use super::pair::{Failure, Job, Look, Stores, count, look};
use super::plan::{Held, Plan, Reason};
use super::pool::{Pool, Prepare};
use super::prepare::Work;
use crate::mail::{Side, Sides};
use crate::store::Reach;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A folder pair that was looked at, and what is to be done in it.
pub type Planned = (Look, Plan);

/// A folder pair on its way to be done with.
pub struct Acting {
    job: Job,
    /// How many messages are to be copied, or may have to be.
    copies: usize,
    stage: Mutex<Stage>,
}

/// How far a folder pair has come.
enum Stage {
    /// Nobody has looked at it.
    Unseen,
    /// It can't be looked at, and trying again would not help.
    Failed(Failure),
    /// What was planned before anything was done.
    Planned(Box<Planned>),
    /// It was begun with. What was held then has been reported.
    Begun(Vec<Held>),
}

impl Acting {
    /// One that was looked at.
    pub fn planned((look, plan): Planned) -> Acting {
        let copies = copies(&plan);
        let job = look.job.clone();
        Acting { job, copies, stage: Mutex::new(Stage::Planned(Box::new((look, plan)))) }
    }

    /// One that is still to be looked at, in an account's first sync.
    pub fn first(job: Job) -> Acting {
        let listed = Side::BOTH.into_iter().filter_map(|side| job.listed[side]).max();
        let copies = usize::try_from(listed.unwrap_or(1)).unwrap_or(usize::MAX);
        Acting { job, copies, stage: Mutex::new(Stage::Unseen) }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_unseen(&self) -> bool {
        matches!(*self.stage(), Stage::Unseen)
    }
}

/// How many messages a plan copies.
fn copies(plan: &Plan) -> usize {
    let copied = count(plan).copied;
    copied.local + copied.remote
}

impl Run<'_> {
    /// Whether no message is known in any of the folders that changed: none of them has to wait for what others show. A copy
    /// that was begun may turn out to be one of a message that is gone, or elsewhere.
    pub fn is_first(&self, works: &[Work]) -> Result<bool, Failure> {
        if self.options.dry_run || self.is_lacking() {
            return Ok(false);
        }
        for work in works {
            if work.job.intents || self.state.count(work.job.id)? > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Does what is to be done in folders. `doubt` is what the account as a whole knows against each side. Where they are still
    /// to be looked at, what concerns more than a folder fails all of it, unless it befell one that was begun with; all else is
    /// reported.
    pub fn act(&self, folders: Vec<Acting>, pool: &Pool<'_>, doubt: &Sides<Option<Reason>>) -> Result<(), Failure> {
        let worth = (|acting: &Acting| acting.copies, WORTH_A_CONNECTION);
        let look_ahead = |acting: &Acting, stores: &mut Stores| self.look_ahead(acting, stores, doubt);
        let unseen = folders.iter().any(Acting::is_unseen);
        let prepare: Option<Prepare<'_, Acting>> = if unseen { Some(&look_ahead) } else { None };
        let results = pool.run_prepared(&folders, worth, self.stop, prepare, |acting, stores, attempt| {
            let (mut look, plan) = self.planned(acting, stores, doubt, attempt)?;
            let mut done = Done::default();
            let result = execute(&mut look, plan, stores, &self.context(), &mut done);
            self.folder_done(&acting.job, done);
            result
        });
        let mut ended = Ok(());
        for (acting, result) in folders.iter().zip(results) {
            let Some(Err(failure)) = result else { continue };
            let begun = matches!(*acting.stage(), Stage::Begun(_));
            match unseen && !begun && failure.error.reach > Reach::Folder {
                true => ended = graver(ended, Err(failure)),
                false => self.fail(Some(&acting.job.names), &failure),
            }
        }
        ended
    }

    /// Looks at a folder, and plans, where nobody did. Gives how many messages are to be copied.
    fn look_ahead(
        &self,
        acting: &Acting,
        stores: &mut Stores,
        doubt: &Sides<Option<Reason>>,
    ) -> Result<usize, Failure> {
        if !acting.is_unseen() {
            return Ok(acting.copies);
        }
        let looked = look(acting.job.clone(), stores, self.state, false)
            .and_then(|look| self.take_turn(std::slice::from_ref(&look), stores).map(|()| look));
        let (stage, copies) = match looked {
            Ok(look) => {
                let planned = self.plan(look, doubt);
                let copies = copies(&planned.1);
                (Stage::Planned(Box::new(planned)), copies)
            }
            Err(failure) if failure.error.reach == Reach::Connection => return Err(failure),
            Err(failure) => (Stage::Failed(failure), 0),
        };
        *acting.stage() = stage;
        Ok(copies)
    }

    /// What is to be done in a folder.
    fn planned(
        &self,
        acting: &Acting,
        stores: &mut Stores,
        doubt: &Sides<Option<Reason>>,
        attempt: usize,
    ) -> Result<Planned, Failure> {
        let current = attempt == 0 || acting.is_unseen();
        self.look_ahead(acting, stores, doubt)?;
        if let Stage::Failed(failure) = &*acting.stage() {
            return Err(failure.clone());
        }
        let stage = std::mem::replace(&mut *acting.stage(), Stage::Unseen);
        let (planned, reported) = match stage {
            Stage::Unseen | Stage::Failed(_) => (None, Vec::new()),
            Stage::Planned(planned) => {
                let held = planned.1.held.clone();
                (Some(*planned).filter(|_| current), held)
            }
            Stage::Begun(reported) => (None, reported),
        };
        *acting.stage() = Stage::Begun(reported.clone());
        if let Some(planned) = planned {
            return Ok(planned);
        }
        let job = &acting.job;
        // After a lost connection nothing that was seen before counts, and the state has gone on.
        let pairs = self.state.folders()?;
        let stored = pairs.into_iter().find(|pair| pair.id == job.id).map(|pair| pair.cursors);
        let job = Job { intents: true, stored: stored.unwrap_or_default(), ..job.clone() };
        let mut look = look(job, stores, self.state, false)?;
        let plan = guard::postpone(self.decide(&mut look, doubt));
        for held in plan.held.iter().filter(|held| !reported.contains(held)) {
            self.hold(Some(&look.job.names.remote), held.clone());
        }
        Ok((look, plan))
    }
}
