//! How far a server is believed that tells of changes. Pure.

use super::keeper::Why;
use crate::sync::Counts;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// So often in a row a server may tell of changes in a folder of which there are none; then it is believed more slowly.
const ALARMS: u32 = 4;

/// It is waited for no longer than 2 to this, in seconds.
const LONGEST: u32 = 3;

/// So often it may happen that a look finds what NOTIFY did not tell.
const STRIKES: u32 = 2;

/// What is known of a server's word.
#[derive(Debug, Default)]
pub struct Trust {
    /// How often in a row it told of changes in a folder, and there were none that matter.
    alarms: HashMap<String, u32>,
    /// How often a look found what NOTIFY had not told.
    strikes: u32,
    /// It has told of a change that nothing but NOTIFY can have told of.
    sure: bool,
}

impl Trust {
    /// Whether it tells of all folders if it says that it does (NOTIFY).
    pub fn in_notify(&self) -> bool {
        self.strikes < STRIKES
    }

    /// Whether it has shown that it means NOTIFY.
    pub fn is_sure(&self) -> bool {
        self.sure && self.in_notify()
    }

    /// Learns from a sync: what the server had told before it, and what came of it. With `all` it was to tell of every
    /// folder, and nothing kept it from that; IDLE may have told of the one that is `selected`. Whether that was the last time
    /// that it was believed in this.
    pub fn learn(
        &mut self,
        why: Why,
        told: &BTreeSet<String>,
        counts: &Counts,
        all: bool,
        selected: Option<&str>,
    ) -> bool {
        match why {
            Why::News if counts.is_empty() => {
                told.iter().for_each(|folder| *self.alarms.entry(folder.clone()).or_default() += 1);
            }
            // Everybody is given another chance now and then.
            Why::Time | Why::Full => self.alarms.clear(),
            _ => self.alarms.retain(|folder, _| !told.contains(folder)),
        }
        let came = [counts.copied, counts.moved, counts.flagged, counts.deleted].iter().any(|count| count.local > 0);
        match (why, told.is_empty()) {
            (Why::News, false) if all && came && self.in_notify() => {
                if told.iter().any(|folder| Some(folder.as_str()) != selected) {
                    (self.strikes, self.sure) = (0, true);
                }
            }
            (Why::Time | Why::Full, true) if all && came => self.strikes += 1,
            _ => return false,
        }
        self.strikes == STRIKES
    }

    /// How long nothing is begun for news of these folders: there are servers that tell of nothing, over and over, and
    /// folders that are left out and busy. `None` where one of them is believed at once.
    pub fn pause(&self, folders: &BTreeSet<String>) -> Option<Duration> {
        let least = folders.iter().map(|folder| self.alarms.get(folder).copied().unwrap_or(0)).min()?;
        least.checked_sub(ALARMS).map(|more| Duration::from_secs(1 << more.min(LONGEST)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn one_came() -> Counts {
        let mut counts = Counts::default();
        counts.copied.local = 1;
        counts
    }

    #[test]
    fn a_folder_that_is_told_of_in_vain_is_believed_more_slowly_and_others_as_before() {
        let mut trust = Trust::default();
        let (noisy, inbox) = (folders(&["Noisy"]), folders(&["INBOX"]));
        for _ in 0..4 {
            assert_eq!(trust.pause(&noisy), None);
            trust.learn(Why::News, &noisy, &Counts::default(), true, None);
        }
        let mut pauses = Vec::new();
        for _ in 0..9 {
            pauses.push(trust.pause(&noisy).map_or(0, |pause| pause.as_secs()));
            trust.learn(Why::News, &noisy, &Counts::default(), true, None);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 8, 8, 8, 8, 8]);
        assert_eq!(trust.pause(&inbox), None);
        assert_eq!(trust.pause(&folders(&["INBOX", "Noisy"])), None);
        trust.learn(Why::News, &noisy, &one_came(), true, None);
        assert_eq!(trust.pause(&noisy), None);
        for _ in 0..5 {
            trust.learn(Why::News, &noisy, &Counts::default(), true, None);
        }
        // What is told here is not the server's doing.
        trust.learn(Why::News, &folders(&[]), &Counts::default(), true, None);
        assert!(trust.pause(&noisy).is_some());
        trust.learn(Why::Time, &folders(&[]), &Counts::default(), true, None);
        assert_eq!(trust.pause(&noisy), None);
    }

    #[test]
    fn notify_is_given_up_where_looks_find_what_it_does_not_tell() {
        let mut trust = Trust::default();
        let nothing = folders(&[]);
        // What was told may not have been dealt with yet, and who is not to tell of all is not to blame.
        assert!(!trust.learn(Why::Time, &folders(&["INBOX"]), &one_came(), true, None));
        assert!(!trust.learn(Why::Time, &nothing, &one_came(), false, None));
        assert!(!trust.learn(Why::Time, &nothing, &Counts::default(), true, None));
        assert!(!trust.learn(Why::Time, &nothing, &one_came(), true, None));
        // It does tell.
        assert!(!trust.learn(Why::News, &folders(&["INBOX"]), &one_came(), true, None));
        assert!(!trust.learn(Why::Full, &nothing, &one_came(), true, None));
        assert!(trust.in_notify() && trust.is_sure());
        assert!(trust.learn(Why::Time, &nothing, &one_came(), true, None));
        assert!(!trust.in_notify());
        assert!(!trust.learn(Why::News, &folders(&["INBOX"]), &one_came(), true, None));
        assert!(!trust.in_notify() && !trust.is_sure());
    }

    #[test]
    fn what_idle_may_have_told_says_nothing_of_notify() {
        let mut trust = Trust::default();
        let inbox = folders(&["INBOX"]);
        assert!(!trust.learn(Why::News, &inbox, &one_came(), true, Some("INBOX")));
        assert!(!trust.is_sure());
        assert!(!trust.learn(Why::Time, &folders(&[]), &one_came(), true, Some("INBOX")));
        assert!(!trust.learn(Why::News, &inbox, &one_came(), true, Some("INBOX")));
        assert!(trust.learn(Why::Time, &folders(&[]), &one_came(), true, Some("INBOX")));
    }
}
