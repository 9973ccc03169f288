//! Calm and storm.

use crate::life::{Life, Side, now};
use crate::line::{How, Line, Way};
use crate::support::corpus::Random;
use crate::support::dovecot::Options;
use crate::support::*;
use crate::watch::{Needs, Watch};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// How long it may take until both sides are equal, once all is well again. Whoever failed several times in a row tries
/// again after half a minute or more.
const PATIENCE: Duration = Duration::from_secs(60);

/// What takes longer than this is told.
const LONG: Duration = Duration::from_secs(15);

/// How long a storm lasts, and how long it may take until new mail, and a change here, are on the other side.
const STORM: Duration = Duration::from_secs(15);
const NEW_MAIL: Duration = Duration::from_secs(2);
const CHANGE: Duration = Duration::from_secs(3);

const CAPABILITIES: &str = "IMAP4rev1 LITERAL+ UIDPLUS MOVE UNSELECT NAMESPACE ENABLE CONDSTORE ESEARCH";

/// Settings of the clock, in seconds after the machine's: it is set forward, far forward, and back.
const CLOCKS: [i64; 5] = [0, 90, 3600, 13 * 3600, 26 * 3600];

/// An account: its server, the line to it, and its mail.
struct Account {
    life: Life,
    line: Line,
    /// Until when the server is down.
    down: Option<Instant>,
    dovecot: Dovecot,
}

pub struct Soak {
    watch: Watch,
    accounts: Vec<Account>,
    random: Random,
    /// Until when the process is stopped.
    asleep: Option<Instant>,
    /// What was done to all of them since they were last in step, for people.
    story: Vec<String>,
    /// What it takes of the machine, whenever all was in step.
    needs: Vec<Needs>,
    /// How long it took until all was in step: after storms, and after changes when all was well.
    waits: (Vec<Duration>, Vec<Duration>),
    /// Runs of `mailsync sync` beside it.
    visitors: Vec<Child>,
    home: Home,
}

impl Soak {
    pub fn begin(seed: u64) -> Soak {
        let home = Home::new();
        let with = |more: &str| {
            let capability = Some(format!("{CAPABILITIES}{more}"));
            Dovecot::with(Options { capability, ..Options::default() })
        };
        // Dovecot has NOTIFY only with an index of all folders.
        let indexed = Options { extra: "mailbox_list_index = yes".into(), ..Options::default() };
        let servers = [("notify", Dovecot::with(indexed)), ("idle", with(" IDLE")), ("poll", with(""))];
        let (mut config, mut accounts) = (String::new(), Vec::new());
        for (number, (name, dovecot)) in (0..).zip(servers) {
            let tls = name == "idle";
            let line = Line::to(if tls { dovecot.tls_port } else { dovecot.port });
            let (port, interval) = (line.port, if name == "notify" { "1m" } else { "10s" });
            let tls =
                if tls { format!("ca_file = \"{}\"", dovecot.ca_file.display()) } else { "tls = \"none\"".into() };
            config.push_str(&format!(
                "[account.{name}]\nremote = {{ host = \"127.0.0.1\", port = {port}, user = \"alice\", {tls}, \
                 connections = {}, timeout = 4 }}\nlocal = {{ path = \"~/Mail/{name}\" }}\n\
                 [account.{name}.watch]\ninterval = \"{interval}\"\nidle = [\"INBOX\", \"Archive\"]\n",
                3 - number
            ));
            let life = Life::new(name, home.mail().join(name), dovecot.login("alice"), seed.wrapping_mul(10) + number);
            accounts.push(Account { life, line, down: None, dovecot });
        }
        home.config(&config);
        home.netrc(&format!("machine 127.0.0.1 login alice password {}\n", accounts[0].dovecot.password("alice")));
        let watch = Watch::start(&home);
        let (asleep, story, needs, waits, visitors) = (None, Vec::new(), Vec::new(), Default::default(), Vec::new());
        Soak { watch, accounts, random: Random(seed), asleep, story, needs, waits, visitors, home }
    }

    /// With nothing in the way, each change is on the other side at once.
    pub fn measure(&mut self) {
        self.calm();
        let listens = |log: &str| ["notify: C: m* NOTIFY SET", "idle: C: m* IDLE"].iter().all(|said| says(log, said));
        let begun = Instant::now();
        while !listens(&self.watch.log()) {
            assert!(begun.elapsed() < PATIENCE, "it does not listen");
            thread::sleep(Duration::from_millis(100));
        }
        self.tell_time();
        for at in 0..self.accounts.len() {
            let pushes = self.accounts[at].life.name != "poll";
            let (mut new, mut changed) = (Vec::new(), Vec::new());
            for _ in 0..3 {
                if pushes {
                    new.push(self.crossing(at, Side::There, NEW_MAIL));
                }
                changed.push(self.crossing(at, Side::Here, CHANGE));
            }
            let name = self.accounts[at].life.name;
            println!("{name}: new mail is here after {:?}, a change is there after {:?}", median(new), median(changed));
        }
        self.calm();
    }

    /// Its clock can be set: the name that it gives a file begins with the time.
    fn tell_time(&mut self) {
        let here = |life: &Life| life.names().into_iter().collect::<BTreeSet<String>>();
        let before = here(&self.accounts[0].life);
        self.watch.set_clock(3600);
        self.crossing(0, Side::There, NEW_MAIL);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970").as_secs();
        let after = here(&self.accounts[0].life);
        let ahead = |name: &&String| {
            let time: u64 = name.split('.').next().and_then(|time| time.parse().ok()).expect("a time");
            time > now + 3000
        };
        assert_eq!(after.difference(&before).filter(ahead).count(), 1, "its clock was not set");
        self.watch.set_clock(0);
    }

    /// How long a new message in INBOX takes to come to the other side.
    fn crossing(&mut self, at: usize, from: Side, usual: Duration) -> Duration {
        // What the sync before did is told back: here nothing depends on whether it was.
        thread::sleep(Duration::from_millis(500 + self.random.below(2000)));
        let life = &mut self.accounts[at].life;
        let (to, begun) = (if from == Side::Here { Side::There } else { Side::Here }, Instant::now());
        let sha256 = life.born_in(from, "INBOX");
        while !life.has(to, "INBOX", &sha256) {
            if begun.elapsed() > usual * 3 {
                panic!("{from:?}: not on the other side in time\n{}", life.complaint());
            }
            thread::sleep(Duration::from_millis(20));
        }
        begun.elapsed()
    }

    /// Storm and calm in turn, for so long.
    pub fn rage(&mut self, duration: Duration) {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            let storm = Instant::now() + STORM;
            while Instant::now() < storm {
                self.happen();
                self.pass();
                thread::sleep(Duration::from_millis(self.random.below(250)));
            }
            self.calm();
        }
    }

    fn happen(&mut self) {
        let at = self.random.below(self.accounts.len() as u64) as usize;
        match self.random.below(20) {
            0 => self.sleep(),
            1 => self.all(),
            2..5 => self.weather(at),
            _ => self.accounts[at].life.happen(),
        }
    }

    fn tell(&mut self, what: String) {
        self.story.push(format!("{} {what}", now()));
    }

    fn seconds(&mut self, most: u64) -> Duration {
        Duration::from_millis(200 + self.random.below(most * 1000))
    }

    /// The machine sleeps, and its clock runs on.
    fn sleep(&mut self) {
        if self.asleep.is_none() {
            let time = self.seconds(4);
            self.tell(format!("asleep for {time:?}"));
            self.watch.signal(Signal::STOP);
            self.asleep = Some(Instant::now() + time);
        }
    }

    /// What concerns all accounts.
    fn all(&mut self) {
        match self.random.below(5) {
            4 if self.visitors.is_empty() => {
                self.tell("mailsync sync".to_owned());
                let mut command = self.home.command(&["sync"]);
                command.stdout(Stdio::null()).stderr(Stdio::null());
                self.visitors.push(command.spawn().expect("start mailsync"));
            }
            0 => {
                self.tell("SIGHUP".to_owned());
                self.watch.signal(Signal::HUP);
            }
            1 => {
                self.tell("SIGUSR1".to_owned());
                self.watch.signal(Signal::USR1);
            }
            _ => {
                let ahead = CLOCKS[self.random.below(CLOCKS.len() as u64) as usize];
                self.tell(format!("the clock is {ahead} s ahead"));
                self.watch.set_clock(ahead);
            }
        }
    }

    fn weather(&mut self, at: usize) {
        let (time, delay) = (self.seconds(8), Duration::from_millis(20 + self.random.below(400)));
        let cut = [How::Fin, How::Rst, How::Silence][self.random.below(3) as usize];
        let ways: &[Way] = [&[Way::Up, Way::Down][..], &[Way::Up], &[Way::Down]][self.random.below(3) as usize];
        let kind = self.random.below(7);
        let account = &mut self.accounts[at];
        let what = match kind {
            0..2 => {
                account.line.cut(cut);
                format!("cut by {cut:?}")
            }
            2..4 => {
                account.line.swallow(ways, time);
                format!("nothing passes {ways:?} for {time:?}")
            }
            4 => {
                account.line.refuse(time);
                format!("no new connection for {time:?}")
            }
            5 => {
                account.line.slow(delay, time);
                format!("everything takes {delay:?} for {time:?}")
            }
            _ if account.down.is_some() => return,
            _ => {
                account.life.server = None;
                account.dovecot.go_down();
                account.down = Some(Instant::now() + time);
                format!("the server is down for {time:?}")
            }
        };
        let name = self.accounts[at].life.name;
        self.tell(format!("{name}: {what}"));
    }

    /// Whatever is over ends.
    fn pass(&mut self) {
        let over = |until: &mut Option<Instant>| until.take_if(|until| *until <= Instant::now()).is_some();
        if over(&mut self.asleep) {
            self.tell("awake".to_owned());
            self.watch.signal(Signal::CONT);
        }
        for at in 0..self.accounts.len() {
            if over(&mut self.accounts[at].down) {
                let account = &mut self.accounts[at];
                account.dovecot.come_up();
                account.life.server = Some(account.dovecot.login("alice"));
                let name = account.life.name;
                self.tell(format!("{name}: the server is up"));
            }
        }
    }

    /// All is well again: both sides of every account come to be equal. What happens then is on both of them, too.
    fn calm(&mut self) {
        self.tell("calm".to_owned());
        let now = Instant::now();
        self.asleep = self.asleep.map(|_| now);
        for account in &mut self.accounts {
            account.line.fair();
            account.down = account.down.map(|_| now);
        }
        self.pass();
        let settled = self.settle();
        self.waits.0.push(settled);
        self.leave();
        for account in &mut self.accounts {
            (0..3).for_each(|_| account.life.happen());
        }
        let settled = self.settle();
        self.waits.1.push(settled);
        self.needs.push(self.watch.needs());
    }

    /// Waits until both sides of every account are equal; how long that took.
    fn settle(&mut self) -> Duration {
        let now = Instant::now();
        while let Some(at) = (0..self.accounts.len()).find(|at| !self.accounts[*at].life.is_in_step()) {
            assert!(self.watch.is_running(), "it ended");
            if now.elapsed() > PATIENCE {
                panic!("not in step:\n{}{}", self.accounts[at].life.complaint(), self.story.join("\n"));
            }
            thread::sleep(Duration::from_millis(100));
        }
        if now.elapsed() > LONG {
            println!("it took {:?} after\n{}", now.elapsed(), self.story.join("\n"));
        }
        self.accounts.iter_mut().for_each(|account| account.life.in_step());
        self.story.clear();
        now.elapsed()
    }

    /// Those that were started beside it end.
    fn leave(&mut self) {
        let now = Instant::now();
        for mut visitor in self.visitors.drain(..) {
            let status = loop {
                if let Some(status) = visitor.try_wait().expect("look at mailsync") {
                    break status;
                }
                assert!(now.elapsed() < PATIENCE, "mailsync sync does not end");
                thread::sleep(Duration::from_millis(20));
            };
            // Much may be left undone in a storm, and a new config interrupts what goes on.
            assert!(matches!(status.code(), Some(0 | 1 | 3 | 130)), "mailsync sync ended with {status}");
        }
    }

    /// It grew in nothing, told nobody's password, ends when it is asked to, and leaves both sides in step.
    pub fn end(mut self) {
        println!("in step {:?} after a storm, {:?} after changes in a calm", self.waits.0, self.waits.1);
        println!("{:?}", self.needs);
        let (warm, last) = (self.needs[2.min(self.needs.len() - 1)], self.rested());
        assert!(last.memory <= warm.memory + warm.memory / 3 + 4096, "it grows: {:?}, {last:?}", self.needs);
        let (status, time) = self.watch.end();
        println!("ended with {:?} after {time:?}", status.code());
        assert!(status.code() == Some(0) && time < Duration::from_secs(2), "ended with {status:?} after {time:?}");
        let log = self.watch.log();
        let passwords = ["alice", "bob"].map(|user| self.accounts[0].dovecot.password(user).to_owned());
        assert!(!log.contains("panicked"), "it panicked");
        assert!(!passwords.iter().any(|password| log.contains(password)), "it told a password");
        let changes: usize = self.accounts.iter().map(|account| account.life.changes).sum();
        println!("{changes} changes");
        self.home.mailsync(&["sync"]).exits(0).done();
        self.home.mailsync(&["check"]).exits(0).done();
        self.accounts.iter_mut().for_each(|account| assert!(account.life.is_in_step(), "{}", account.life.complaint()));
    }

    /// What it takes once it has nothing to do: each account's connections, and no more.
    fn rested(&self) -> Needs {
        // As it was before the first storm.
        let Needs { descriptors, threads, .. } = self.needs[1];
        let begun = Instant::now();
        loop {
            let needs = self.watch.needs();
            if needs.descriptors <= descriptors + 2 && needs.threads <= threads + 1 {
                return needs;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "it grows: {:?}, {needs:?}", self.needs);
            thread::sleep(Duration::from_millis(500));
        }
    }
}

/// Whether a line of the log ends so; `*` stands for a number.
fn says(log: &str, what: &str) -> bool {
    let (start, end) = what.split_once('*').expect("a star");
    log.lines()
        .filter_map(|line| line.split_once(start))
        .any(|(_, rest)| rest.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(end))
}

fn median(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort();
    times.get(times.len() / 2).copied()
}
