//! Sets of UIDs.

use super::scan::number;
use std::fmt;

/// A set of UIDs as sorted ranges that neither touch nor overlap. Never holds 0.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct UidSet {
    /// First and last of each range.
    ranges: Vec<(u32, u32)>,
}

impl UidSet {
    pub fn new() -> UidSet {
        UidSet::default()
    }

    /// Reads `1:3,5`, `9:7`; 0 and what is beyond 32 bit is left out of it. `None` where it is no set of numbers
    /// (`1:*` is none).
    pub fn parse(text: &[u8]) -> Option<UidSet> {
        Some(UidSet::from_ranges(parse_ranges(text)?))
    }

    /// Ranges in any order, overlapping or not, either end first.
    pub fn from_ranges(ranges: impl IntoIterator<Item = (u32, u32)>) -> UidSet {
        let ordered = ranges.into_iter().map(|(a, b)| (a.min(b).max(1), a.max(b))).filter(|(_, last)| *last > 0);
        let mut ranges: Vec<(u32, u32)> = ordered.collect();
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(previous) if first <= previous.1.saturating_add(1) => previous.1 = previous.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        UidSet { ranges: merged }
    }

    /// First and last of each range, ascending.
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.ranges
    }

    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many UIDs it holds.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|(first, last)| u64::from(last - first) + 1).sum()
    }

    pub fn contains(&self, uid: u32) -> bool {
        let after = self.ranges.partition_point(|(first, _)| *first <= uid);
        after > 0 && uid <= self.ranges[after - 1].1
    }

    /// Adds one UID; 0 is passed over. Cheap where UIDs come in ascending order; collect them where they do not.
    pub fn insert(&mut self, uid: u32) {
        if uid == 0 || self.contains(uid) {
            return;
        }
        let at = self.ranges.partition_point(|(first, _)| *first < uid);
        let follows = at > 0 && self.ranges[at - 1].1 + 1 == uid;
        let precedes = self.ranges.get(at).is_some_and(|(first, _)| first - 1 == uid);
        match (follows, precedes) {
            (true, true) => self.ranges[at - 1].1 = self.ranges.remove(at).1,
            (true, false) => self.ranges[at - 1].1 = uid,
            (false, true) => self.ranges[at].0 = uid,
            (false, false) => self.ranges.insert(at, (uid, uid)),
        }
    }

    /// The UIDs, ascending, one by one: a set of 4 thousand million costs nothing until it is walked.
    pub fn iter(&self) -> UidSetIter<'_> {
        UidSetIter { ranges: self.ranges.iter(), current: None }
    }

    /// The set in pieces for commands, each text at most `max` bytes long (one range at least: 21 bytes).
    pub fn chunks(&self, max: usize) -> Vec<String> {
        let mut chunks = Vec::new();
        let mut chunk = String::new();
        for (first, last) in &self.ranges {
            let range = if first == last { first.to_string() } else { format!("{first}:{last}") };
            if !chunk.is_empty() && chunk.len() + 1 + range.len() > max {
                chunks.push(std::mem::take(&mut chunk));
            }
            if !chunk.is_empty() {
                chunk.push(',');
            }
            chunk.push_str(&range);
        }
        if !chunk.is_empty() {
            chunks.push(chunk);
        }
        chunks
    }
}

impl FromIterator<u32> for UidSet {
    fn from_iter<I: IntoIterator<Item = u32>>(uids: I) -> UidSet {
        UidSet::from_ranges(uids.into_iter().map(|uid| (uid, uid)))
    }
}

impl<'a> IntoIterator for &'a UidSet {
    type Item = u32;
    type IntoIter = UidSetIter<'a>;

    fn into_iter(self) -> UidSetIter<'a> {
        self.iter()
    }
}

impl fmt::Display for UidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chunks(usize::MAX).concat())
    }
}

impl fmt::Debug for UidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

/// Walks a [`UidSet`].
#[derive(Clone, Debug)]
pub struct UidSetIter<'a> {
    ranges: std::slice::Iter<'a, (u32, u32)>,
    current: Option<(u32, u32)>,
}

impl Iterator for UidSetIter<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (first, last) = self.current.take().or_else(|| self.ranges.next().copied())?;
        self.current = first.checked_add(1).filter(|next| *next <= last).map(|next| (next, last));
        Some(first)
    }
}

/// Ranges in the order in which they stand, ends put in order; 0 and numbers beyond 32 bit are left out.
fn parse_ranges(text: &[u8]) -> Option<Vec<(u32, u32)>> {
    let mut ranges = Vec::new();
    for item in text.split(|byte| *byte == b',').filter(|item| !item.is_empty()) {
        let mut ends = item.splitn(2, |byte| *byte == b':');
        let a = number(ends.next()?)?;
        let b = ends.next().map_or(Some(a), number)?;
        if let (Ok(a), Ok(b)) = (u32::try_from(a), u32::try_from(b))
            && a.max(b) > 0
        {
            ranges.push((a.min(b).max(1), a.max(b)));
        }
    }
    (!text.is_empty()).then_some(ranges)
}

/// The UIDs in the order in which they stand: what COPYUID and APPENDUID pair by. `None` beyond `max` UIDs.
pub(super) fn parse_ordered(text: &[u8], max: usize) -> Option<Vec<u32>> {
    let ranges = parse_ranges(text)?;
    let count: u64 = ranges.iter().map(|(first, last)| u64::from(last - first) + 1).sum();
    (count <= max as u64).then(|| ranges.into_iter().flat_map(|(first, last)| first..=last).collect())
}
