//! The first sync of large folders that both sides have already, a part of it at a time.
//!
//! Each side is gone through once, and what tells its messages apart is set aside in the state. Messages of one Message-ID
//! are in one part, on both sides, so that a part shows all that the whole folder would show of them: as many messages of
//! a Message-ID, as many on the other side. What has none is left to the look at the whole folder, as is all that finds no
//! partner.

use super::account::Run;
use super::event::Counts;
use super::execute::{Done, execute};
use super::known::KnownIn;
use super::pair::{Failure, Job, Look, Stores};
use super::recognise::{Former, bind_new};
use super::slices::open_again;
use crate::mail::{Cursor, FlagSpace, Identity, Key, Side, Sides};
use crate::state::Candidate;
use crate::store::{Depth, Folder, Slice};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// How many messages are copied with the memory that one takes which is compared.
const COMPARED: u64 = 3;

impl Run<'_> {
    /// Pairs what is the same of `new` messages, `most` of them at a time. Nothing is copied and no cursor advances.
    pub(super) fn pair_large(&self, job: &Job, (new, most): (u64, usize), stores: &mut Stores) -> Result<(), Failure> {
        self.state.drop_candidates(job.id)?;
        let mut counts = Counts::default();
        let result = self.pair_parts(job, (new, most), stores, &mut counts);
        self.state.drop_candidates(job.id)?;
        self.folder_done(job, Done::of(counts));
        result
    }

    fn pair_parts(
        &self,
        job: &Job,
        (new, most): (u64, usize),
        stores: &mut Stores,
        counts: &mut Counts,
    ) -> Result<(), Failure> {
        let (parts, most) = (new / (most as u64 / COMPARED).max(1) + 1, most.div_ceil(2));
        let cursors = Sides::try_from_fn(|side| self.set_aside(job, side, (parts, most), stores))?;
        let Sides { local: Some(local), remote: Some(remote) } = cursors else { return Ok(()) };
        let cursors = Sides::new(local, remote);
        for part in 0..parts {
            let Some(mut look) = self.look_at_part(job, part, &cursors, stores)? else { return Ok(()) };
            let plan = look.plan(self.account, self.options, &Sides::default());
            let mut done = Done::default();
            let result = execute(&mut look, plan, stores, &self.context(), &mut done);
            counts.add(&done.counts);
            done.problems.drain(..).for_each(|problem| self.problem(problem));
            result?;
        }
        Ok(())
    }

    /// Sets aside what tells the new messages of one side apart. Where that side stands; `None` where the folder is to be
    /// looked at as a whole.
    fn set_aside(
        &self,
        job: &Job,
        side: Side,
        (parts, most): (u64, usize),
        stores: &mut Stores,
    ) -> Result<Option<Cursor>, Failure> {
        let mut generation = job.stored[side].as_ref().map(|cursor| cursor.generation);
        let mut after: Option<Key> = None;
        loop {
            self.context().check_stop()?;
            let Some(mut folder) = open_again(job, side, generation, stores[side].as_mut())? else { return Ok(None) };
            let known = KnownIn { state: self.state, folder: job.id, side };
            let slice = folder.some_new(after.as_ref(), &known, most).map_err(Failure::on(side))?;
            let Some(Slice { appeared, cursor, reached }) = slice else { return Ok(None) };
            let keys: Vec<Key> = appeared.iter().map(|appeared| appeared.key.clone()).collect();
            let identified = folder.identify(&keys, Depth::Header).map_err(Failure::on(side))?;
            drop(folder);
            let mut identities: HashMap<Key, Identity> = identified.known.into_iter().collect();
            let candidates = appeared.into_iter().filter_map(|appeared| {
                let identity = identities.remove(&appeared.key)?;
                let part = part_of(identity.message_id.as_deref()?, parts);
                Some(Candidate { part, appeared, identity })
            });
            self.state.set_aside(job.id, side, candidates)?;
            generation = Some(cursor.generation);
            match reached {
                Some(reached) => after = Some(reached),
                None => return Ok(Some(cursor)),
            }
        }
    }

    /// What is the same in a part, ready to be planned; `None` where the folder is to be looked at as a whole.
    fn look_at_part(
        &self,
        job: &Job,
        part: u64,
        cursors: &Sides<Cursor>,
        stores: &mut Stores,
    ) -> Result<Option<Look>, Failure> {
        let mut look = self.part(job, cursors.clone(), Sides::new(FlagSpace::all(), FlagSpace::all()))?;
        for side in Side::BOTH {
            for Candidate { appeared, identity, .. } in self.state.candidates(job.id, side, part)? {
                look.identities[side].insert(appeared.key.clone(), identity);
                look.new[side].push(appeared);
            }
        }
        let Sides { local, remote } = stores;
        let local = open_again(job, Side::Local, Some(cursors.local.generation), local.as_mut())?;
        let remote = open_again(job, Side::Remote, Some(cursors.remote.generation), remote.as_mut())?;
        let (Some(local), Some(remote)) = (local, remote) else { return Ok(None) };
        let mut folders: Sides<Box<dyn Folder + '_>> = Sides { local, remote };
        look.spaces = folders.as_ref().map(|folder| folder.flag_space());
        look.writable = folders.as_ref().map(|folder| folder.writable());
        bind_new(&mut look, &mut folders, &Former::default())?;
        // The look at the whole folder meets these again.
        (look.new, look.unread) = (Sides::default(), Sides::default());
        Ok(Some(look))
    }
}

/// The same for all messages of one Message-ID.
fn part_of(message_id: &str, parts: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    message_id.hash(&mut hasher);
    hasher.finish() % parts.max(1)
}
