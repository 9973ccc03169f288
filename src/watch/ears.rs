//! All that tells one keeper of changes: ears on both sides, and the wait for any of them.

use super::wait::wait;
use crate::mail::{FolderName, Side};
use crate::store::ear::Standings;
use crate::store::{Ear, Kind, Listen, Opener, StoreError};
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

    /// Begins, or begins anew.
    fn begin(&mut self) -> Result<Begun, StoreError> {
        let standings = self.ear.begin()?;
        self.begun = Instant::now();
        // What came along with the beginning shows on no descriptor any more.
        let told = self.ear.hear()?.into_iter().collect();
        Ok(Begun { side: self.side, standings, told })
    }
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
    /// Folders of the local side came or went.
    pub tree: bool,
    /// The names of those folders that are known to have changed.
    pub folders: BTreeSet<String>,
}

impl Told {
    /// Whether there is any news.
    pub fn any(&self) -> bool {
        self.local || self.remote
    }

    fn add(&mut self, side: Side, news: Vec<String>) {
        match side {
            _ if news.is_empty() => return,
            Side::Local => self.local = true,
            Side::Remote => self.remote = true,
        }
        self.tree |= side == Side::Local && news.iter().any(String::is_empty);
        self.folders.extend(news.into_iter().filter(|name| !name.is_empty()));
    }

    pub fn join(&mut self, more: Told) {
        self.local |= more.local;
        self.remote |= more.remote;
        self.tree |= more.tree;
        self.folders.extend(more.folders);
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
        let of_side = self.list.iter().filter(|listening| listening.side == side);
        let ways: Vec<String> = of_side.map(|listening| listening.ear.describe()).collect();
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
        all: bool,
        note: &dyn Fn(String),
    ) -> Result<Vec<Begun>, StoreError> {
        let Some((first, others)) = folders.split_first() else { return Ok(Vec::new()) };
        let listen = |folder: &FolderName, all, apart| store.listen(&Listen { folder: folder.clone(), all, apart });
        let Some(ear) = listen(first, all, false)? else { return Ok(Vec::new()) };
        let mut found = vec![self.begin(side, first, ear)?];
        let apart = |listening: &Listening| listening.side == side && listening.ear.is_apart();
        if self.list.last().is_some_and(|listening| listening.ear.hears_all()) {
            self.list.retain(|listening| !apart(listening));
        } else {
            for folder in others {
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
                        note(format!("{folder} is not listened to: {error}"));
                    }
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
    pub fn renew(&mut self) -> Result<Vec<Begun>, StoreError> {
        let now = Instant::now();
        self.begin_anew(|listening| listening.renewal().is_some_and(|renewal| renewal <= now))
    }

    /// Begins a side's ears anew, to see where its folders stand.
    pub fn look(&mut self, side: Side) -> Result<Vec<Begun>, StoreError> {
        self.begin_anew(|listening| listening.side == side)
    }

    fn begin_anew(&mut self, which: impl Fn(&Listening) -> bool) -> Result<Vec<Begun>, StoreError> {
        let mut found = Vec::new();
        for at in (0..self.list.len()).rev() {
            if which(&self.list[at]) {
                match self.list[at].begin() {
                    Ok(begun) => found.push(begun),
                    Err(error) => {
                        self.list.remove(at);
                        return Err(error);
                    }
                }
            }
        }
        Ok(found)
    }

    /// What was told while nobody waited.
    pub fn hear(&mut self) -> Result<Told, StoreError> {
        self.take_in(|_| true)
    }

    /// Waits for `bell`, for any of them, or until that time. Fails where one broke that heard of a whole side: it is gone.
    pub fn wait(&mut self, bell: BorrowedFd<'_>, until: Option<Instant>) -> Result<Told, StoreError> {
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

    fn take_in(&mut self, which: impl Fn(usize) -> bool) -> Result<Told, StoreError> {
        let mut told = Told::default();
        let mut broken = None;
        for at in (0..self.list.len()).rev().filter(|at| which(*at)) {
            match self.list[at].ear.hear() {
                Ok(news) => told.add(self.list[at].side, news),
                Err(error) => {
                    let gone = self.list.remove(at);
                    // That of one folder is made again with the next connection.
                    broken = broken.or(Some(error).filter(|_| !gone.ear.is_apart()));
                }
            }
        }
        broken.map_or(Ok(told), Err)
    }
}
