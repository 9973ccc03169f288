//! All that tells one keeper of changes: ears on both sides, and the wait for any of them.

use super::wait::wait;
use crate::mail::{FolderName, Side, Sides};
use crate::store::ear::Standings;
use crate::store::{Ear, Kind, Listen, Opener, Reach, StoreError};
use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// The ears of one account.
#[derive(Default)]
pub struct Ears {
    list: Vec<Listening>,
    /// Folders that have no ear of their own for now: the server does not let us.
    unheard: Vec<FolderName>,
}

struct Listening {
    side: Side,
    /// What it listens to, where it does not hear all.
    folder: FolderName,
    ear: Box<dyn Ear>,
    begun: Instant,
}

impl Listening {
    /// When it has to begin anew.
    fn renewal(&self) -> Option<Instant> {
        self.ear.lasts().map(|lasts| self.begun + lasts)
    }

    /// That something may have changed in its folder.
    fn news(&self) -> Begun {
        let told = BTreeSet::from([self.folder.text().to_owned()]);
        Begun { side: self.side, standings: Standings::new(), told }
    }

    /// Begins, or begins anew.
    fn begin(&mut self) -> Result<Begun, StoreError> {
        let standings = self.ear.begin()?;
        self.begun = Instant::now();
        // What came along with the beginning shows on no descriptor any more.
        let told = self.ear.hear()?.into_iter().collect();
        Ok(Begun { side: self.side, standings, told })
    }
}

/// A side of which nobody tells any more, and why.
pub struct Lost {
    pub side: Side,
    pub error: StoreError,
}

/// What an ear found when it began.
pub struct Begun {
    pub side: Side,
    /// Where folders stand.
    pub standings: Standings,
    /// The names of those that changed meanwhile.
    pub told: BTreeSet<String>,
}

/// What was told.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub local: bool,
    pub remote: bool,
    /// Who told of the remote side does not listen while it is synced: it was no echo.
    pub fresh: bool,
    /// Folders of the local side came or went.
    pub tree: bool,
    /// The names of those folders that are known to have changed, by the side that told.
    pub folders: Sides<BTreeSet<String>>,
}

impl Told {
    /// Whether there is any news.
    pub fn any(&self) -> bool {
        self.local || self.remote
    }

    fn add(&mut self, side: Side, news: Vec<String>, apart: bool) {
        self.fresh |= side == Side::Remote && !apart && !news.is_empty();
        match side {
            _ if news.is_empty() => return,
            Side::Local => self.local = true,
            Side::Remote => self.remote = true,
        }
        self.tree |= side == Side::Local && news.iter().any(String::is_empty);
        self.folders[side].extend(news.into_iter().filter(|name| !name.is_empty()));
    }

    pub fn join(&mut self, more: Told) {
        self.local |= more.local;
        self.remote |= more.remote;
        self.fresh |= more.fresh;
        self.tree |= more.tree;
        for side in Side::BOTH {
            self.folders[side].extend(more.folders[side].iter().cloned());
        }
    }
}

impl Ears {
    /// Whether somebody tells of changes of this side.
    pub fn listen_to(&self, side: Side) -> bool {
        self.list.iter().any(|listening| listening.side == side && !listening.ear.is_apart())
    }

    /// Whether all folders of this side are told of.
    pub fn hear_all(&self, side: Side) -> bool {
        self.list.iter().any(|listening| listening.side == side && listening.ear.hears_all())
    }

    /// By what a side is listened to, in words.
    pub fn ways(&self, side: Side) -> Option<String> {
        let of_side = |apart: bool| {
            self.list.iter().filter(move |listening| listening.side == side && listening.ear.is_apart() == apart)
        };
        let ways: Vec<String> = of_side(false).chain(of_side(true)).map(|listening| listening.ear.describe()).collect();
        (!ways.is_empty()).then(|| ways.join(", "))
    }

    /// Gives up what a sync needs. Whether all of them could hear up to now.
    pub fn rest(&mut self) -> bool {
        let mut heard = true;
        for listening in std::mem::take(&mut self.list) {
            match listening.ear.rest() {
                Ok(ear) => self.list.extend(ear.map(|ear| Listening { ear, ..listening })),
                // The sync says what is wrong with the server, if anything is.
                Err(_) => heard = false,
            }
        }
        heard
    }

    /// Gives up the ears that have a connection of their own: it may have broken without a sign.
    pub fn doubt(&mut self) {
        self.list.retain(|listening| !listening.ear.is_apart());
    }

    /// Gives up a side's ears that hear what is no longer there.
    pub fn drop_stale(&mut self) {
        self.list.retain(|listening| !listening.ear.is_stale());
    }

    /// Those that could not be had are tried again.
    pub fn hope(&mut self) {
        self.unheard.clear();
    }

    /// Begins to listen to a store: to `folders` of it, the first of which matters most, or to all where it tells of `all`
    /// and that is wanted. What was found; nothing where it tells nobody. What concerns one folder alone goes to `note`.
    pub fn add(
        &mut self,
        side: Side,
        store: &dyn Opener,
        folders: &[FolderName],
        (all, sure): (bool, bool),
        note: &dyn Fn(&FolderName, String),
    ) -> Result<Vec<Begun>, StoreError> {
        let listen =
            |folder: &FolderName, all, apart| store.listen(&Listen { folder: folder.clone(), all, sure, apart });
        let mut found = Vec::new();
        let mut folders = folders.iter();
        // The first that it lets us listen to.
        while let Some(folder) = folders.next() {
            let ear = listen(folder, all, false).and_then(|ear| match ear {
                Some(ear) => self.begin(side, folder, ear).map(Some),
                None => Ok(None),
            });
            match ear {
                Ok(Some(begun)) => {
                    found.push(begun);
                    break;
                }
                Ok(None) => return Ok(found),
                Err(error) if error.reach <= Reach::Folder && folders.len() > 0 => {
                    note(folder, format!("{folder} is not listened to: {error}"));
                }
                Err(error) => return Err(error),
            }
        }
        let apart = |listening: &Listening| listening.side == side && listening.ear.is_apart();
        if self.list.last().is_some_and(|listening| listening.ear.hears_all()) {
            self.list.retain(|listening| !apart(listening));
            return Ok(found);
        }
        for folder in folders {
            let has = |listening: &Listening| apart(listening) && listening.folder == *folder;
            if self.list.iter().any(has) || self.unheard.contains(folder) {
                continue;
            }
            let ear = listen(folder, false, true);
            let begun = ear.and_then(|ear| ear.map(|ear| self.begin(side, folder, ear)).transpose());
            match begun {
                Ok(begun) => found.extend(begun),
                Err(error) if error.kind == Kind::Stopped => return Err(error),
                // One connection more than the server has for us, say: it is looked at now and then.
                Err(error) => {
                    self.unheard.push(folder.clone());
                    note(folder, format!("{folder} is not listened to: {error}"));
                }
            }
        }
        Ok(found)
    }

    fn begin(&mut self, side: Side, folder: &FolderName, ear: Box<dyn Ear>) -> Result<Begun, StoreError> {
        let mut listening = Listening { side, folder: folder.clone(), ear, begun: Instant::now() };
        let begun = listening.begin()?;
        self.list.push(listening);
        Ok(begun)
    }

    /// When the first of them has to begin anew.
    pub fn renewal(&self) -> Option<Instant> {
        self.list.iter().filter_map(Listening::renewal).min()
    }

    /// Begins those anew that have to.
    pub fn renew(&mut self) -> Result<Vec<Begun>, Lost> {
        let now = Instant::now();
        self.begin_anew(|listening| listening.renewal().is_some_and(|renewal| renewal <= now))
    }

    /// Begins a side's ears anew, to see where its folders stand.
    pub fn look(&mut self, side: Side) -> Result<Vec<Begun>, Lost> {
        self.begin_anew(|listening| listening.side == side)
    }

    /// Fails only where one broke that heard of a whole side; others are made again with the next connection.
    fn begin_anew(&mut self, which: impl Fn(&Listening) -> bool) -> Result<Vec<Begun>, Lost> {
        let (mut found, mut lost) = (Vec::new(), None);
        for at in (0..self.list.len()).rev() {
            if !which(&self.list[at]) {
                continue;
            }
            match self.list[at].begin() {
                Ok(begun) => found.push(begun),
                Err(error) => {
                    let gone = self.list.remove(at);
                    match gone.ear.is_apart() {
                        true => found.push(gone.news()),
                        false => lost = lost.or(Some(Lost { side: gone.side, error })),
                    }
                }
            }
        }
        lost.map_or(Ok(found), Err)
    }

    /// What was told while nobody waited.
    pub fn hear(&mut self) -> Result<Told, Lost> {
        self.take_in(|_| true)
    }

    /// Waits for `bell`, for any of them, or until that time. Fails where one broke that heard of a whole side: it is gone.
    pub fn wait(&mut self, bell: BorrowedFd<'_>, until: Option<Instant>) -> Result<Told, Lost> {
        let mut fds = vec![bell];
        let mut whose = Vec::new();
        for (at, listening) in self.list.iter().enumerate() {
            if let Some(descriptor) = listening.ear.descriptor() {
                fds.push(descriptor);
                whose.push(at);
            }
        }
        let ready = wait(&fds, until).unwrap_or_else(|_| {
            // It is waited once more; the pause keeps that from taking all there is of the processor.
            std::thread::sleep(Duration::from_secs(1));
            Vec::new()
        });
        let told: Vec<usize> =
            whose.iter().zip(ready.iter().skip(1)).filter(|(_, ready)| **ready).map(|(at, _)| *at).collect();
        self.take_in(|at| told.contains(&at))
    }

    fn take_in(&mut self, which: impl Fn(usize) -> bool) -> Result<Told, Lost> {
        let mut told = Told::default();
        let mut lost = None;
        for at in (0..self.list.len()).rev().filter(|at| which(*at)) {
            match self.list[at].ear.hear() {
                Ok(news) => told.add(self.list[at].side, news, self.list[at].ear.is_apart()),
                Err(error) => {
                    let gone = self.list.remove(at);
                    match gone.ear.is_apart() {
                        // What it would have told is found by looking; it is made again with the next connection.
                        true => told.add(gone.side, vec![gone.folder.text().to_owned()], true),
                        false => lost = lost.or(Some(Lost { side: gone.side, error })),
                    }
                }
            }
        }
        lost.map_or(Ok(told), Err)
    }
}
