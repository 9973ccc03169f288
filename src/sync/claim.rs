//! Whose the stores are: the account's, of which state, and whether they are as the state left them.

use super::account::Run;
use super::pair::{Failure, Look, Stores};
use super::plan::{Held, Reason, What};
use super::pool::Pool;
use crate::mail::Side;
use crate::state::Change;
use crate::store::{Claim, Reach};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

/// The account in an owner's mark: all but the state's name at its end.
fn name_of(owner: &str) -> &str {
    owner.rsplit_once(' ').map_or(owner, |(name, _)| name)
}

impl Run<'_> {
    fn owner(&self) -> String {
        format!("{} {}", self.account.name, self.state.id())
    }

    /// Begins a turn where something is to be stored: a copy of a side that was made before is known to be older. Once, for
    /// all folders: whoever comes while somebody else begins it waits until it has begun.
    pub fn take_turn(&self, looks: &[Look], stores: &mut Stores) -> Result<(), Failure> {
        let comes = |look: &Look, side: Side| !look.new[side].is_empty() && look.job.policy.copy[side.other()];
        let writes = |look: &Look| !look.bound.is_empty() || Side::BOTH.into_iter().any(|side| comes(look, side));
        if self.options.dry_run || self.is_lacking() || !looks.iter().any(writes) {
            return Ok(());
        }
        let mut taken = self.turn_taken.lock().unwrap_or_else(PoisonError::into_inner);
        if !*taken {
            self.begin_turn(stores)?;
            *taken = true;
        }
        Ok(())
    }

    /// Begins a turn.
    pub fn begin_turn(&self, stores: &mut Stores) -> Result<(), Failure> {
        // A side to which nothing may be done is the user's own affair.
        self.mark(|side| self.account.policy.changes(side), 1, stores)
    }

    /// What a side lacked is there again, if nothing failed on the way.
    pub fn end_restoring(&self, pool: &Pool<'_>) -> Result<(), Failure> {
        let whole = !self.broken.load(Ordering::Relaxed) && self.options.only.is_empty() && !self.options.only_waiting;
        match self.is_lacking() && whole && !self.options.dry_run && !self.stop.is_set() {
            true => pool.with(|stores| self.mark(|side| self.lacking[side].load(Ordering::Relaxed), 0, stores)),
            false => Ok(()),
        }
    }

    /// Marks sides with a turn that is `further` than the last one, if they are of those that bear marks.
    fn mark(&self, wanted: impl Fn(Side) -> bool, further: u64, stores: &mut Stores) -> Result<(), Failure> {
        for side in Side::BOTH.into_iter().filter(|side| wanted(*side)) {
            let Some(there) = stores[side].turn().map_err(Failure::on(side))? else { continue };
            let turn = self.state.turn(side)?.max(there).saturating_add(further);
            match stores[side].advance(&self.owner(), turn) {
                // Not before the mark is there: one that was left behind is older.
                Ok(()) => self.state.apply(&[Change::Turn { side, turn }])?,
                Err(error) => self.fail(None, &Failure { side: Some(side), error: error.reaching(Reach::Folder) }),
            }
        }
        Ok(())
    }

    pub fn is_lacking(&self) -> bool {
        self.lacking.iter().any(|(_, lacking)| lacking.load(Ordering::Relaxed))
    }

    /// Makes sure that both stores are the ones the state knows. `fresh` says that it knows nothing yet.
    pub fn claim(&self, stores: &mut Stores, fresh: bool) -> Result<bool, Failure> {
        let owner = self.owner();
        for side in Side::BOTH {
            let turn = self.state.turn(side)?;
            let place = self.account.stores[side].place();
            let allowed = fresh || self.options.allow_delete || self.options.restore;
            let why = match stores[side].claim(&owner).map_err(Failure::on(side))? {
                Claim::Ours => {
                    let there = stores[side].turn().map_err(Failure::on(side))?;
                    match there.is_none_or(|there| there >= turn) {
                        true => continue,
                        false if allowed => None,
                        false => Some((
                            format!("{place} is an older copy of what was synced: it lacks what came since"),
                            "to download again what it lacks, run once with --restore; to delete on the server what \
                             is not in it, run once with --allow-delete",
                        )),
                    }
                }
                Claim::Foreign(theirs) if fresh && name_of(&theirs) == self.account.name => None,
                Claim::Foreign(theirs) => {
                    let theirs: String = theirs.chars().filter(|c| !c.is_control()).take(80).collect();
                    Some((
                        format!("{place} belongs to another account or state ({theirs})"),
                        "give this account a path of its own; if the tree is to be this account's, remove the file \
                         `.mailsync` in it and run once with --restore",
                    ))
                }
                _ if allowed => None,
                Claim::Missing => Some((
                    format!("{place} is not there, although it was synced before"),
                    "mount it or put it back; to download everything again, run once with --restore; to delete on \
                     the server what is gone here, run once with --allow-delete",
                )),
                Claim::Unmarked => Some((
                    format!(
                        "{place} does not bear this account's mark (the file `.mailsync`), although it was synced before"
                    ),
                    "mount it or put it back; if it is the right tree, run once with --restore; to delete on the \
                     server what is gone here, run once with --allow-delete",
                )),
            };
            match why {
                None => {
                    let restored = self.options.restore && !fresh;
                    self.lacking[side].store(restored, Ordering::Relaxed);
                    if !self.options.dry_run {
                        // It is an older copy until all that it lacks is there again, or is said not to be wanted: what
                        // is said of some folders is not said of the others.
                        let older = restored || !(fresh || self.options.only.is_empty());
                        self.state.apply(&[Change::Turn { side, turn: turn.max(1) }])?;
                        let turn = if older { 0 } else { turn.max(1) };
                        stores[side].mark(&owner, turn).map_err(Failure::on(side))?;
                    }
                }
                Some((why, hint)) => {
                    let reason = Reason::Unavailable(why);
                    let held =
                        Held { what: What::Folder, on: side.other(), count: 0, reason, hint: Some(hint.to_owned()) };
                    self.hold(None, held);
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}
