//! Keeps one account in step for as long as the process lives: syncs it, listens, and syncs it again.
//!
//! A keeper is one thread. While nothing happens it waits in one poll(2) for all that may tell of changes: the server's
//! connection, inotify, and its desk's bell. It wakes up by itself only to look at everything (`interval`) and to keep the
//! connection alive, which is one and the same time. The connection by which it listens is the one by which it syncs.
//!
//! Nothing depends on being told: what was missed is found at the next look, and a look at every message (`full_every`)
//! finds what the server hid. What a sync itself changed is told back: such news is compared with where the sync left the
//! folders (`sync::moved_on`), and only what moved on since is synced again.

use super::desk::{Desk, Doing, Order};
use super::ears::{Begun, Ears, Lost, Told};
use super::heard::{Heard, Hearing};
use super::schedule::{back_off, dice, on_the_beat};
use super::trust::Trust;
use crate::mail::{Cursor, FolderName, Side, Sides};
use crate::store::ear::Standings;
use crate::store::{FolderInfo, Kind, Reach, Stop, StoreError};
use crate::sync::{Account, Counts, Observer, Options, Outcome, compared_at, moved_on};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// A batch of changes is over when so long nothing more was told, and is not waited for longer than that: a mail program
/// that writes a folder back, and a server on which several messages arrive.
const LOCAL: (Duration, Duration) = (Duration::from_millis(400), Duration::from_millis(1500));
const REMOTE: (Duration, Duration) = (Duration::from_millis(80), Duration::from_millis(500));

/// How often a tree is looked at of which nobody tells.
const SCAN: Duration = Duration::from_secs(15);

/// News that comes so soon after a sync may be that sync's own doing.
const ECHO: Duration = Duration::from_secs(3);

/// A connection that must be renewed so soon after the next look is renewed by it.
const NEAR: Duration = Duration::from_secs(60);

/// A connection that broke is made anew after so long; each time it does within the other time after twice as long.
const AGAIN: Duration = Duration::from_millis(500);
const LASTING: Duration = Duration::from_secs(5);

/// So long a login that was refused is not tried before its time once more.
const HURRY: Duration = Duration::from_secs(10 * 60);

/// A clock may be wrong by so much.
const DOUBT: Duration = Duration::from_secs(3600);

/// Why an account is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The keeper has just begun.
    Start,
    /// Somebody asked for it.
    Asked,
    /// It is time to look, or to try again.
    Time,
    /// It is time to look at every message.
    Full,
    /// Something changed.
    News,
    /// Something changed that the last sync may have done itself.
    Echo,
}

/// What keepers need of those who know the config.
pub trait Work: Sync {
    /// Syncs the account, with all that stands around a sync. `heard` hears of it as well.
    fn sync(
        &self,
        account: &Account,
        why: Why,
        options: &Options,
        heard: Arc<Observer>,
        stop: &Stop,
    ) -> (Outcome, Counts);

    /// The account made anew, so that its password is looked for again; `None` where somebody would have to be asked.
    fn renewed(&self, account: &str) -> Option<Account>;

    /// Why the account must leave the network alone now, if it must.
    fn hindered(&self, account: &str) -> Option<&'static str>;

    /// Tells what is odd.
    fn note(&self, account: &str, text: String);

    /// How things are with an account is another now.
    fn changed(&self);
}

/// How an account is kept.
#[derive(Clone, Debug)]
pub struct Terms {
    /// How often everything is looked at, on the beat that begins with `origin`; `None` for never.
    pub interval: Option<Duration>,
    pub origin: Instant,
    /// What is listened to on each side where it does not tell of all folders, the most important one first. Where there is
    /// none, the side is not listened to.
    pub folders: Sides<Vec<FolderName>>,
    /// Whether the local side can be looked at without asking anybody, and is, where nobody tells of it.
    pub scan: bool,
    /// How often every message is looked at.
    pub full_every: Option<Duration>,
}

/// Keeps an account.
pub struct Keeper<'a> {
    account: Account,
    terms: Terms,
    desk: Arc<Desk>,
    work: &'a dyn Work,
    stop: Stop,
    ears: Ears,
    /// What was told to be odd.
    noted: BTreeSet<String>,
    /// A side is not listened to until the next look: it does not let us.
    mute: Sides<bool>,
    /// What the server told since the last sync: folders.
    told: BTreeSet<String>,
    /// When it was begun to listen to the server, and how often that ended soon.
    listening: Instant,
    heard: bool,
    losses: u32,
    /// Where folders stood when a sync was begun over it.
    answered: HashMap<(Side, String), Cursor>,
    /// When to look next whatever is told, and why.
    next: Option<(Instant, Why)>,
    /// When all was last compared.
    compared: SystemTime,
    failures: u32,
    /// Whether the last failure was a login that was refused, and when one was last tried again before its time.
    refused: bool,
    hurried: Option<Instant>,
    /// How many syncs in a row left something undone that may be better soon.
    partial: u32,
    /// When the last sync ended that changed something.
    changed: Option<Instant>,
    trust: Trust,
    order: Option<Order>,
}

impl<'a> Keeper<'a> {
    pub fn new(account: Account, terms: Terms, desk: Arc<Desk>, work: &'a dyn Work, stop: Stop) -> Keeper<'a> {
        let compared = compared_at(&account).unwrap_or(SystemTime::UNIX_EPOCH);
        Keeper {
            account,
            terms,
            desk,
            work,
            stop,
            ears: Ears::default(),
            noted: BTreeSet::new(),
            mute: Sides::default(),
            told: BTreeSet::new(),
            listening: Instant::now(),
            heard: false,
            losses: 0,
            answered: HashMap::new(),
            next: None,
            compared,
            failures: 0,
            refused: false,
            hurried: None,
            partial: 0,
            changed: None,
            trust: Trust::default(),
            order: None,
        }
    }

    /// Keeps the account in step until it is to stop.
    pub fn keep(mut self) {
        self.keep_connections(true);
        let mut why = match self.work.hindered(&self.account.name) {
            Some(_) => self.attend(),
            None => (!self.stop.is_set()).then_some(Why::Start),
        };
        while let Some(reason) = why {
            self.sync(reason);
            why = self.attend();
        }
        self.ears.rest();
        self.keep_connections(false);
    }

    fn keep_connections(&self, on: bool) {
        Side::BOTH.into_iter().for_each(|side| self.account.stores[side].keep(on));
    }

    fn sync(&mut self, why: Why) {
        // What it was about to hear was told, too.
        if let Ok(told) = self.ears.hear() {
            self.take_note(&told);
        }
        let hears_all = self.heard && self.ears.hear_all(Side::Remote);
        let heard_all = self.ears.rest() && hears_all;
        self.heard = false;
        if !matches!(why, Why::News | Why::Echo) {
            self.mute = Sides::default();
            self.ears.hope();
        }
        let order = self.order.take();
        let why = if matches!(why, Why::Start | Why::Time | Why::News) && self.is_full_due() { Why::Full } else { why };
        let options = match &order {
            Some(order) => order.options.clone(),
            None => Options { thorough: why == Why::Full, ..Options::default() },
        };
        let whole = options.only.is_empty();
        let pending = self.desk.status().pending;
        self.desk.say(|status| {
            status.doing = Doing::Syncing;
            status.next = None;
            if whole {
                status.pending.clear();
            }
        });
        let more = order.as_ref().and_then(|order| order.observer.clone());
        let (hearing, observer) = Hearing::begin(&self.desk, more);
        let (outcome, counts) = self.work.sync(&self.account, why, &options, observer, &self.stop);
        let heard = hearing.heard();
        self.changed = (!counts.is_empty()).then(Instant::now);
        let selected = self.terms.folders.remote.first().map(FolderName::text);
        if self.trust.learn(why, &std::mem::take(&mut self.told), &counts, heard_all, selected.as_deref()) {
            let text = "the server does not tell of all changes (NOTIFY): it is listened to by IDLE from now on";
            self.work.note(&self.account.name, text.to_owned());
        }
        if options.thorough && whole && outcome <= Outcome::Partial {
            self.compared = SystemTime::now();
        }
        self.conclude(outcome, &heard);
        if outcome > Outcome::Partial {
            self.desk.say(|status| status.pending.extend(pending));
        }
        self.tell_end(outcome, heard, whole);
        if let Some(order) = order {
            // Whoever asked may have gone.
            drop(order.done.send((self.account.name.clone(), outcome, counts)));
        }
    }

    /// How long until every message is to be compared; `None` where it never is.
    fn until_full(&self) -> Option<Duration> {
        let every = self.terms.full_every?;
        match self.compared.elapsed() {
            Ok(elapsed) => Some(every.saturating_sub(elapsed)),
            // The clock was wrong then, or is now.
            Err(ahead) if ahead.duration() > DOUBT => Some(Duration::ZERO),
            Err(_) => Some(every),
        }
    }

    fn is_full_due(&self) -> bool {
        self.until_full().is_some_and(|left| left.is_zero())
    }

    fn tell_end(&self, outcome: Outcome, heard: Heard, whole: bool) {
        let ended = SystemTime::now();
        let failures = self.failures;
        let next = self.next_time();
        self.desk.say(|status| {
            status.doing = if failures > 0 { Doing::Failed } else { Doing::Waiting };
            status.synced = Some((ended, outcome));
            if outcome == Outcome::InStep && whole {
                status.in_step = Some(ended);
            }
            (status.held, status.problems, status.waiting) = (heard.held, heard.problems, heard.waiting);
            (status.trouble, status.failures, status.next) = (heard.trouble, failures, next);
        });
        self.work.changed();
    }

    fn next_time(&self) -> Option<SystemTime> {
        self.next.map(|(at, _)| SystemTime::now() + at.saturating_duration_since(Instant::now()))
    }

    /// Says when to look next.
    fn conclude(&mut self, outcome: Outcome, heard: &Heard) {
        if outcome > Outcome::Partial && outcome != Outcome::Interrupted {
            return self.fail(outcome, heard.kind);
        }
        self.failures = 0;
        let now = Instant::now();
        let beat = self.terms.interval.map(|interval| on_the_beat(self.terms.origin, interval, now));
        // With the beat, where there is one.
        let full = self.until_full().filter(|_| beat.is_none()).map(|left| now + left.max(AGAIN));
        // Messages in the ledger have times of their own.
        let undone = outcome == Outcome::Partial && heard.problems > 0;
        self.partial = if undone { self.partial.saturating_add(1) } else { 0 };
        let again = undone.then(|| now + back_off(outcome, heard.kind, self.partial, dice()));
        let waiting = heard.next.map(|next| now + next.max(AGAIN));
        let next = [beat, full, again, waiting].into_iter().flatten().min();
        self.next = next.map(|at| (at, Why::Time));
    }

    fn fail(&mut self, outcome: Outcome, kind: Option<Kind>) {
        self.failures = self.failures.saturating_add(1);
        self.refused = outcome == Outcome::AuthFailed || kind == Some(Kind::Later);
        self.next = Some((Instant::now() + back_off(outcome, kind, self.failures, dice()), Why::Time));
        if outcome == Outcome::AuthFailed
            && let Some(account) = self.work.renewed(&self.account.name)
        {
            self.keep_connections(false);
            self.account = account;
            self.keep_connections(true);
        }
    }

    /// Whether things may be different now for what failed. A login that was refused is tried before its time now and then
    /// only: nobody is helped by a wrong password that is tried whenever the network changes.
    fn may_hurry(&mut self) -> bool {
        let waits = self.failures > 0 && self.refused && self.hurried.is_some_and(|hurried| hurried.elapsed() < HURRY);
        if !waits {
            self.hurried = (self.failures > 0 && self.refused).then(Instant::now).or(self.hurried);
        }
        !waits
    }

    /// Waits until there is a reason for a sync; `None` where it is to stop.
    fn attend(&mut self) -> Option<Why> {
        let (mut hindered, mut lent) = (false, false);
        loop {
            self.desk.bell.hush();
            if self.stop.is_set() {
                return None;
            }
            if let Some(order) = self.desk.next_order() {
                self.order = Some(order);
                return Some(Why::Asked);
            }
            if self.desk.lend() {
                lent = true;
                self.desk.say(|status| status.doing = Doing::Lent);
                if let Err(lost) = self.wait(None) {
                    self.lose(&lost);
                }
                continue;
            }
            if let Some(why) = self.work.hindered(&self.account.name) {
                hindered = true;
                self.pause(why);
                continue;
            }
            // Taken note of in any case: one sync answers both.
            let shaken = self.desk.was_shaken();
            if hindered || (shaken && self.may_hurry()) {
                // Whatever was waited for, things are different now.
                self.failures = 0;
                self.heard = false;
                self.ears.doubt();
                return Some(Why::Time);
            }
            if lent {
                // What was told meanwhile was most likely the borrower's doing.
                return Some(Why::Echo);
            }
            if let Some((at, why)) = self.next
                && at <= Instant::now()
            {
                return Some(why);
            }
            if self.listen() {
                return Some(self.news());
            }
            match self.hear() {
                Ok(None) => {}
                Ok(Some(why)) => return Some(why),
                Err(lost) => self.lose(&lost),
            }
        }
    }

    /// News: of others, or of what the last sync did.
    fn news(&self) -> Why {
        match self.changed.is_some_and(|changed| changed.elapsed() < ECHO) {
            true => Why::Echo,
            false => Why::News,
        }
    }

    fn pause(&mut self, why: &'static str) {
        self.ears = Ears::default();
        self.keep_connections(false);
        self.keep_connections(true);
        self.desk.say(|status| {
            status.doing = Doing::Paused(why);
            (status.connected, status.next) = (None, None);
        });
        // There is nothing to be lost but the local side's ear.
        drop(self.wait(None));
    }

    /// A side can't be listened to any more, or can't be at all.
    fn lose(&mut self, Lost { side, error }: &Lost) {
        let files = *side == Side::Local && self.terms.scan;
        if error.kind == Kind::Stopped {
            return;
        }
        if error.reach <= Reach::Folder || files {
            // Whoever does not let us listen is looked at now and then.
            self.mute[*side] = true;
            let scan = format!("; it is looked at every {} seconds", SCAN.as_secs());
            let hint = error.hint.as_ref().map(|hint| format!(": {hint}")).unwrap_or_default();
            let more = if files { format!("{hint}{scan}") } else { hint };
            let place = self.account.stores[*side].place();
            return self.note_once(place.clone(), format!("{place} is not listened to: {error}{more}"));
        }
        if *side == Side::Remote && std::mem::take(&mut self.heard) {
            // It was there a moment ago: whatever it would have told is asked for over a new connection.
            self.losses = if self.listening.elapsed() > LASTING { 0 } else { self.losses.saturating_add(1) };
            let pause = AGAIN.mul_f64(2_f64.powi(self.losses.min(7).cast_signed()) + dice());
            self.next = Some((Instant::now() + pause, Why::Time));
            self.failures = self.failures.max(1);
            return;
        }
        let outcome = if error.failed_login() { Outcome::AuthFailed } else { Outcome::Failed };
        self.fail(outcome, Some(error.kind));
        let trouble = format!("{}: {error}", self.account.stores[*side].place());
        self.desk.say(|status| (status.doing, status.trouble) = (Doing::Failed, Some(trouble)));
        self.work.changed();
    }

    /// Listens to both sides, if it does not yet; whether something changed since the last sync.
    fn listen(&mut self) -> bool {
        self.ears.drop_stale();
        let mut moved = false;
        for side in Side::BOTH {
            if self.ears.listen_to(side) {
                if side == Side::Local {
                    moved |= self.came_meanwhile();
                }
                continue;
            }
            if self.failures > 0 || self.mute[side] {
                continue;
            }
            match self.listen_to(side) {
                Ok(more) => {
                    moved |= more;
                    // One that tells of nothing is not asked for it again and again.
                    self.mute[side] = !self.ears.listen_to(side);
                    if side == Side::Remote {
                        (self.heard, self.listening) = (!self.mute[side], Instant::now());
                    }
                }
                Err(error) => self.lose(&Lost { side, error }),
            }
        }
        // While it fails nothing is begun.
        moved && self.failures == 0
    }

    /// Whether there is more that is new on the local side than what the last sync did there: what came during it.
    fn came_meanwhile(&mut self) -> bool {
        let told = match self.ears.hear() {
            Ok(told) => told,
            Err(lost) => {
                self.lose(&lost);
                return true;
            }
        };
        self.take_note(&told);
        told.any() && (told.remote || told.tree || self.moved_here())
    }

    /// Says what is odd about something, once.
    fn note_once(&mut self, about: String, text: String) {
        if self.noted.insert(about) {
            self.work.note(&self.account.name, text);
        }
    }

    fn listen_to(&mut self, side: Side) -> Result<bool, StoreError> {
        let Keeper { account, terms, ears, trust, .. } = self;
        let notes = RefCell::new(Vec::new());
        let note = |folder: &FolderName, text| notes.borrow_mut().push((folder.text().to_owned(), text));
        let found = ears.add(
            side,
            account.stores[side].as_ref(),
            &terms.folders[side],
            (trust.in_notify(), trust.is_sure()),
            &note,
        )?;
        notes.into_inner().into_iter().for_each(|(folder, text)| self.note_once(folder, text));
        Ok(self.moved_among(found))
    }

    fn moved_among(&mut self, found: Vec<Begun>) -> bool {
        found.into_iter().fold(false, |moved, Begun { side, standings, told }| {
            let news = !told.is_empty() && (side == Side::Local || !self.waits_with(&told));
            let told = told.into_iter().filter(|name| !name.is_empty()).collect::<BTreeSet<String>>();
            if side == Side::Remote {
                self.told.extend(told.iter().cloned());
            }
            self.desk.say(|status| status.pending.extend(told));
            self.moved(side, standings) || news || moved
        })
    }

    /// Whether folders stand elsewhere than the last sync left them, or was begun over.
    fn moved(&mut self, side: Side, standings: Standings) -> bool {
        let Ok(moved) = moved_on(&self.account, side, standings) else {
            // Somebody else syncs it.
            return true;
        };
        let mut any = false;
        for (name, cursor) in moved {
            let key = (side, name.text().to_owned());
            if self.answered.get(&key) != Some(&cursor) {
                self.desk.say(|status| status.pending.extend([key.1.clone()]));
                self.answered.insert(key, cursor);
                any = true;
            }
        }
        any
    }

    /// Whether the local side has more that is new than what the last sync did there.
    fn moved_here(&mut self) -> bool {
        let moved = match self.ears.look(Side::Local) {
            Ok(found) => self.moved_among(found),
            // A sync says what is wrong with it.
            Err(_) => true,
        };
        if !moved {
            self.desk.say(|status| status.pending.clear());
        }
        moved
    }

    /// Waits for news, or until something is to be done; the reason for a sync, if there is one.
    fn hear(&mut self) -> Result<Option<Why>, Lost> {
        self.tell_how();
        let told = self.wait(self.until())?;
        if told.remote && !told.local && self.waits_with(&told.folders.remote) {
            return Ok(None);
        }
        if told.any() {
            return self.settle(told);
        }
        if self.next.is_some_and(|(at, _)| at <= Instant::now()) || self.failures > 0 {
            return Ok(None);
        }
        let renewed = self.ears.renew()?;
        let moved = self.moved_among(renewed) || (self.scans() && self.has_changed());
        Ok(moved.then_some(Why::News))
    }

    /// Whether it waits with news of these folders: it was told of them in vain too often.
    fn waits_with(&mut self, folders: &BTreeSet<String>) -> bool {
        let Some(pause) = self.trust.pause(folders) else { return false };
        let at = Instant::now() + pause;
        if self.next.is_none_or(|(next, _)| at < next) {
            self.next = Some((at, Why::News));
        }
        true
    }

    /// How it hears of changes, for the status.
    fn tell_how(&self) {
        let said = [Side::Remote, Side::Local].into_iter().filter_map(|side| {
            let ways = self.ears.ways(side)?;
            Some(format!("{}: {ways}", self.account.stores[side].place()))
        });
        let said = said.collect::<Vec<String>>().join("; ");
        let (failing, listens, next) = (self.failures > 0, self.ears.listen_to(Side::Remote), self.next_time());
        self.desk.say(|status| {
            status.doing = match (failing, listens) {
                (true, _) => Doing::Failed,
                (false, true) => Doing::Listening,
                (false, false) => Doing::Waiting,
            };
            status.connected = Some(said).filter(|said| !said.is_empty() && !failing);
            status.next = next;
        });
    }

    /// Until when nothing is to be done.
    fn until(&self) -> Option<Instant> {
        let next = self.next.map(|(at, _)| at);
        if self.failures > 0 {
            return next;
        }
        let renewal = self.ears.renewal().map(|renewal| match next {
            // Looking renews it.
            Some(next) if next >= renewal && next - renewal <= NEAR => next,
            _ => renewal,
        });
        let scan = self.scans().then(|| Instant::now() + SCAN);
        next.into_iter().chain(renewal).chain(scan).min()
    }

    /// Whether the local side is looked at every few seconds.
    fn scans(&self) -> bool {
        self.terms.scan && !self.ears.listen_to(Side::Local)
    }

    /// Waits for the bell, the ears, or that time, and takes note of what was told.
    fn wait(&mut self, until: Option<Instant>) -> Result<Told, Lost> {
        self.desk.promise_until(until.map(|until| until + NEAR));
        let told = self.ears.wait(self.desk.bell.as_fd(), until)?;
        self.take_note(&told);
        Ok(told)
    }

    fn take_note(&mut self, told: &Told) {
        if told.any() {
            let Sides { local, remote } = &told.folders;
            self.told.extend(remote.iter().cloned());
            self.desk.say(|status| status.pending.extend(local.union(remote).cloned()));
        }
    }

    /// Waits until a batch of changes is over.
    fn settle(&mut self, mut told: Told) -> Result<Option<Why>, Lost> {
        let begun = Instant::now();
        loop {
            let (quiet, most) = if told.local { LOCAL } else { REMOTE };
            let end = begun + most;
            let more = self.wait(Some((Instant::now() + quiet).min(end)))?;
            let over = !more.any();
            told.join(more);
            // An order does not wait.
            if over || Instant::now() >= end || self.desk.has_orders() || self.stop.is_set() {
                break;
            }
        }
        // While it fails, what is told waits for the next try.
        if self.failures > 0 {
            return Ok(None);
        }
        if told.fresh {
            return Ok(Some(Why::News));
        }
        Ok((told.remote || told.tree || self.moved_here()).then(|| self.news()))
    }

    /// Looks at a tree of which nobody tells.
    fn has_changed(&mut self) -> bool {
        let listed = self.account.stores[Side::Local].open().and_then(|mut store| store.list());
        let standing = |info: FolderInfo| Some((info.wire, info.cursor?));
        match listed {
            Ok(folders) => self.moved(Side::Local, folders.into_iter().filter_map(standing).collect()),
            // The next sync says so.
            Err(_) => false,
        }
    }
}
