//! Waits for a server that may still be busy with what a broken connection sent.
//!
//! A client that is killed, or that loses the line, leaves bytes behind that are on their way: the server goes on to
//! store messages that it has whole, for as long as it takes. Looked for too early they seem never to have arrived,
//! and would be sent twice.

use super::known::KnownIn;
use super::pair::Look;
use super::recognise::find_copies;
use crate::mail::{Key, Side};
use crate::state::{Intent, State};
use crate::store::{Folder, Kind, Reach, StoreError};
use std::collections::HashSet;
use std::time::{Duration, Instant, SystemTime};

const STEP: Duration = Duration::from_millis(250);
/// A folder that grew so recently may grow again.
const QUIET: Duration = Duration::from_secs(2);

/// Where each intent's copy is on the side it went to. Copies that are not to be seen are looked for again until
/// their intents are older than `patience` and the folder has stopped growing. What appears meanwhile is added to what
/// was seen; a look that can't be trusted makes the folder one that was not seen whole.
pub fn find_settled(
    intents: &[Intent],
    look: &mut Look,
    to: Side,
    folder: &mut dyn Folder,
    state: &State,
) -> Result<Vec<Option<Key>>, StoreError> {
    let patience = look.job.patience;
    let began = Instant::now();
    let mut grown = None;
    loop {
        let found = find_copies(intents, &look.new[to], folder, &mut look.identities[to])?;
        let lacking = intents.iter().zip(&found).filter(|(intent, found)| found.is_none() && !intent.exact);
        let wait = lacking.map(|(intent, _)| patience.saturating_sub(age(intent))).max();
        let growing = grown.is_some_and(|at: Instant| at.elapsed() < QUIET) && began.elapsed() < patience * 4;
        match wait {
            None => return Ok(found),
            // The time of the intent is the clock's, which may have been set back since.
            Some(wait) if (wait.is_zero() || began.elapsed() >= patience) && !growing => return Ok(found),
            Some(_) if look.job.stop.is_set() => return Err(StoreError::stopped()),
            Some(_) => std::thread::sleep(STEP.min(patience)),
        }
        let known = KnownIn { state, folder: look.job.id, side: to };
        let changes = folder.changes(Some(&look.cursors[to]), &known)?;
        if changes.reset {
            let text = "its messages were given new numbers (UIDVALIDITY) while it was looked at";
            return Err(StoreError::new(Reach::Folder, Kind::Reset, "look", text));
        }
        if !changes.complete {
            look.complete[to] = false;
            look.pending[to] = true;
        }
        let seen: HashSet<Key> = look.new[to].iter().map(|appeared| appeared.key.clone()).collect();
        let before = look.new[to].len();
        look.new[to].extend(changes.appeared.into_iter().filter(|appeared| !seen.contains(&appeared.key)));
        if look.new[to].len() > before {
            grown = Some(Instant::now());
        }
    }
}

fn age(intent: &Intent) -> Duration {
    SystemTime::now().duration_since(intent.begun).unwrap_or_default()
}
