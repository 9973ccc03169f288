//! Runs that are attacked, and those after them that must put everything right.

use crate::life::Life;
use crate::support::*;
use std::env;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// After so many undisturbed runs everything must be in step.
const RUNS: usize = 6;
const ERRORS: [&str; 5] = ["EIO", "ENOSPC", "EDQUOT", "EROFS", "EACCES"];

/// One account under attack.
pub struct Siege {
    pub life: Life,
    proxy: Proxy,
    /// How many more lines of a listing pass before one is left out; none is where it is negative.
    hide: Option<Arc<AtomicI64>>,
    /// What a run passed lately: how far into the next one an attack may come.
    usual: Usual,
    struck: Struck,
    seed: u64,
    round: usize,
    /// Before the server, so that the client's connection ends first.
    _dovecot: Dovecot,
}

#[derive(Debug)]
struct Usual {
    points: u64,
    replies: u64,
    down: u64,
    up: u64,
}

/// How many attacks there were of each kind, and how many of them hit.
#[derive(Debug, Default)]
struct Struck {
    kills: Hits,
    cuts: Hits,
    errors: Hits,
    rollbacks: Hits,
    lies: Hits,
}

#[derive(Debug, Default)]
struct Hits {
    tried: usize,
    hit: usize,
}

impl Hits {
    fn count(&mut self, hit: bool) {
        self.tried += 1;
        self.hit += usize::from(hit);
    }
}

/// How an attacked run ended.
pub struct Run {
    pub output: Output,
    killed: bool,
    passed: Passed,
    /// The names of the points that it passed.
    pub points: Vec<String>,
}

impl Siege {
    /// An account whose luck is its own by `number`, and begins with the environment's seed.
    pub fn of(dovecot: Dovecot, number: u64) -> Siege {
        let seed: u64 = env::var("MAILSYNC_SEED").map_or(1, |text| text.parse().expect("MAILSYNC_SEED is a number"));
        let home = Home::new();
        let proxy = Proxy::to(dovecot.port);
        let connections = 1 + number % 3;
        home.config(&format!(
            "[account.main]\nremote = {{ host = \"127.0.0.1\", port = {}, user = \"alice\", tls = \"none\", \
             connections = {connections} }}\nlocal = {{ path = \"~/Mail\" }}\n",
            proxy.port
        ));
        home.netrc(&format!("machine 127.0.0.1 login alice password {}\n", dovecot.password("alice")));
        let server = dovecot.login("alice");
        let life = Life::new(home, server, seed.wrapping_mul(100) + number);
        let usual = Usual { points: 100, replies: 30, down: 3000, up: 1000 };
        Siege { life, proxy, hide: None, usual, struck: Struck::default(), seed, round: 0, _dovecot: dovecot }
    }

    /// The server keeps the UIDs of what was stored and copied to itself, says things twice, and leaves lines out.
    pub fn by_liars(mut self) -> Siege {
        let hide = Arc::new(AtomicI64::new(-1));
        let left = hide.clone();
        self.proxy.falsify(Some(Box::new(move |reply| falsify(reply, &left))));
        self.hide = Some(hide);
        self
    }

    /// So many rounds, or as many as the environment says.
    pub fn rounds(mut self, usual: usize) {
        let rounds =
            env::var("MAILSYNC_ROUNDS").map_or(usual, |text| text.parse().expect("MAILSYNC_ROUNDS is a number"));
        println!("MAILSYNC_SEED={} MAILSYNC_ROUNDS={rounds}", self.seed);
        self.settle();
        (0..rounds).for_each(|_| self.round());
        println!("{:?}", self.struck);
        let Struck { kills, cuts, .. } = &self.struck;
        assert!(rounds < 25 || (kills.hit * 2 > kills.tried && cuts.hit > 0), "too few attacks hit");
    }

    fn round(&mut self) {
        (0..=self.life.random.below(8)).for_each(|_| self.life.happen());
        for _ in 0..=self.life.random.below(3) {
            self.attack();
            match self.life.random.below(6) {
                0 | 1 => self.life.happen(),
                2 => self.life.born_and_gone(),
                _ => {}
            }
        }
        self.settle();
    }

    fn attack(&mut self) {
        match self.life.random.below(20) {
            0..=8 => drop(self.kill()),
            9..=12 => self.cut(),
            13..=15 => self.error(),
            16 => self.roll_back(),
            17 => self.tear(),
            _ if self.hide.is_some() => self.lie(),
            _ => drop(self.kill()),
        }
    }

    /// Kills a run at any point.
    fn kill(&mut self) -> bool {
        let at = 1 + self.life.random.below(self.usual.points);
        // Some file systems can't rename without replacing: then it is looked first what stands there.
        let looking = if self.life.random.below(4) == 0 { ";disk.rename:1+=EINVAL" } else { "" };
        let killed = self.run(None, Some(&format!("any:{at}=kill{looking}"))).killed;
        self.struck.kills.count(killed);
        killed
    }

    /// Breaks the line at the end of a reply, or anywhere.
    fn cut(&mut self) {
        let Usual { replies, down, up, .. } = self.usual;
        let cut = match self.life.random.below(5) {
            0 | 1 => Cut::Replies(1 + self.life.random.below(replies)),
            2 => Cut::Down(self.life.random.below(down)),
            3 => Cut::Up(self.life.random.below(up)),
            _ => Cut::Stored(1 + self.life.random.below(2)),
        };
        let run = self.run(Some(cut), None);
        self.struck.cuts.count(run.passed.cut);
        self.ended(&run);
    }

    /// Has a system call fail, or all of them from one on.
    fn error(&mut self) {
        let at = 1 + self.life.random.below(self.usual.points);
        let onwards = if self.life.random.below(2) == 0 { "+" } else { "" };
        let error = ERRORS[self.life.random.below(ERRORS.len() as u64) as usize];
        let run = self.run(None, Some(&format!("any:{at}{onwards}={error}")));
        self.struck.errors.count(run.points.len() as u64 >= at);
        self.ended(&run);
    }

    /// Puts the state back to what it was before one or two runs.
    fn roll_back(&mut self) {
        let state = self.life.home.state("main");
        let kept: Vec<(PathBuf, Option<Vec<u8>>)> =
            files_of(&state).into_iter().map(|path| (path.clone(), fs::read(path).ok())).collect();
        match self.life.random.below(2) {
            0 => drop(self.kill()),
            _ => {
                let run = self.run(None, None);
                self.ended(&run);
            }
        }
        for (path, content) in kept {
            match content {
                Some(content) => fs::write(path, content).expect("put a file of the state back"),
                // There may be none now, either.
                None => drop(fs::remove_file(path)),
            }
        }
        self.life.rolled_back();
        self.struck.rollbacks.count(true);
    }

    /// Kills a run and takes its last commits away, at any byte.
    fn tear(&mut self) {
        let killed = self.kill();
        let [_, wal, shm] = files_of(&self.life.home.state("main"));
        let length = fs::metadata(&wal).map_or(0, |meta| meta.len());
        if killed && length > 0 {
            let file = fs::File::options().write(true).open(&wal).expect("open the log of the state");
            file.set_len(self.life.random.below(length)).expect("cut it");
            fs::remove_file(shm).expect("remove the index of the log");
        }
        self.life.rolled_back();
        self.struck.rollbacks.count(killed && length > 0);
    }

    /// Has the server leave a line out.
    fn lie(&mut self) {
        let Some(hide) = self.hide.clone() else { return };
        let left = i64::try_from(self.life.random.below(60)).expect("a small number");
        hide.store(left, Ordering::SeqCst);
        let run = self.run(None, None);
        self.ended(&run);
        self.struck.lies.count(hide.swap(-1, Ordering::SeqCst) < 0);
    }

    /// Runs once.
    pub fn run(&mut self, cut: Option<Cut>, fault: Option<&str>) -> Run {
        self.proxy.rearm(cut);
        let log = self.life.home.path().join("points");
        // There is none before the first run.
        fs::remove_file(&log).ok();
        let mut command = self.life.home.command(&["sync"]);
        // The proxy makes sure that a server is done before its client goes on: nothing has to be waited for.
        command.env("MAILSYNC_PATIENCE", "20").env("MAILSYNC_FAULT_LOG", &log);
        command.envs(fault.map(|fault| ("MAILSYNC_FAULT", fault)));
        let out = command.output().expect("run mailsync");
        let passed = self.proxy.rearm(None);
        if cut.is_some() || fault.is_some() {
            let what = format!("run: {cut:?} {fault:?}, {:?}", out.status);
            self.life.story.push(what);
        }
        let partial = self.life.partial();
        assert!(partial.is_empty(), "{}: files of no message: {partial:?}", self.place());
        let points = fs::read_to_string(&log).unwrap_or_default().lines().map(str::to_owned).collect();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Run {
            killed: out.status.signal() == Some(9),
            output: Output {
                args: format!("sync, {cut:?}, {fault:?}"),
                code: out.status.code(),
                stdout: text(&out.stdout),
                stderr: text(&out.stderr),
            },
            passed,
            points,
        }
    }

    /// Expects a run that was attacked and lives to have come to an end of its own: in step, or something left undone and
    /// said so.
    pub fn ended(&mut self, run: &Run) {
        let place = self.place();
        match run.output.code {
            Some(0) => self.expect_in_step(&run.output.to_string()),
            code => assert!(code == Some(1) && !run.output.stderr.is_empty(), "{place}\n{}", run.output),
        }
    }

    /// Runs to the end, and expects both sides to hold what the model says, and the next run to do nothing. How many runs
    /// it took.
    pub fn settle(&mut self) -> usize {
        let mut told = Vec::new();
        loop {
            let run = self.run(None, None);
            self.usual.take(&run);
            told.push(run.output.to_string());
            if run.output.code == Some(0) {
                break;
            }
            assert!(told.len() < RUNS, "{}: never in step\n{}", self.place(), told.join("\n"));
            // What several attacks hit in turn rests for longer than we wait.
            if run.output.stderr.contains("problems --retry") {
                let retried = self.life.home.mailsync(&["problems", "--retry"]);
                told.push(retried.to_string());
            }
        }
        self.expect_in_step(&told.join("\n"));
        self.expect_idle();
        self.life.in_step();
        self.round += 1;
        told.len()
    }

    /// Expects both sides to hold what the model says.
    fn expect_in_step(&mut self, told: &str) {
        let place = self.place();
        let (expected, there, here) = (self.life.expected(), self.life.there(), self.life.here());
        assert!(there == expected, "{place}: the server\n{}\n{told}", difference(&expected, &there));
        assert!(here == expected, "{place}: the Maildirs\n{}\n{told}", difference(&expected, &here));
    }

    /// Expects a run to find nothing to do, and to do nothing.
    fn expect_idle(&mut self) {
        let place = self.place();
        let before = self.life.home.maildir().snapshot();
        let Run { output, passed, .. } = self.run(None, None);
        assert!(output.code == Some(0) && output.stdout.contains("nothing to do"), "{place}\n{output}");
        assert_eq!(self.life.home.maildir().snapshot(), before, "{place}: a run with nothing to do changed files");
        let said = String::from_utf8_lossy(&passed.said).into_owned();
        let writes = ["APPEND", "STORE", "EXPUNGE", "COPY", "MOVE", "CREATE", "DELETE", "RENAME"];
        let written = said.lines().find(|line| line.split(' ').skip(1).take(2).any(|word| writes.contains(&word)));
        assert_eq!(written, None, "{place}: a run with nothing to do wrote");
    }

    /// Where we are, and how we came here since both sides were last in step.
    fn place(&self) -> String {
        format!("seed {}, round {}\n{}\n", self.seed, self.round, self.life.story.join("\n"))
    }
}

impl Usual {
    /// Follows what runs pass: up at once, down slowly.
    fn take(&mut self, run: &Run) {
        let follow = |usual: u64, now: u64| now.max(usual - usual / 4).max(1);
        self.points = follow(self.points, run.points.len() as u64);
        self.replies = follow(self.replies, run.passed.replies);
        self.down = follow(self.down, run.passed.down);
        self.up = follow(self.up, run.passed.up);
    }
}

/// The files of a state: the database, the log of what is not in it yet, and the index of the log.
fn files_of(state: &Path) -> [PathBuf; 3] {
    ["db", "db-wal", "db-shm"].map(|extension| state.with_extension(extension))
}

fn difference<T: PartialEq + std::fmt::Debug>(expected: &[T], found: &[T]) -> String {
    let missing: Vec<&T> = expected.iter().filter(|row| count(found, row) < count(expected, row)).collect();
    let surplus: Vec<&T> = found.iter().filter(|row| count(found, row) > count(expected, row)).collect();
    format!("missing: {missing:#?}\nsurplus: {surplus:#?}")
}

fn count<T: PartialEq>(rows: &[T], row: &T) -> usize {
    rows.iter().filter(|other| *other == row).count()
}

/// A reply as a server says it that lies: UIDs of copies are not told or are those of an older message, every ninth untagged
/// line comes twice, and the line of a listing that `hide` counts down to is left out.
fn falsify(reply: Vec<u8>, hide: &AtomicI64) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(&reply).into_owned();
    if let Some(from) = ["[APPENDUID ", "[COPYUID "].iter().find_map(|code| text.find(code)) {
        let end = text[from..].find("] ").map_or(text.len(), |end| from + end);
        let digits = text[..end].rfind(|c: char| !c.is_ascii_digit()).map_or(end, |at| at + 1);
        return match text[digits..end].parse::<u32>() {
            Ok(uid) if uid % 3 == 0 => {
                vec![format!("{}1{}", &text[..digits], &text[end..]).into_bytes()]
            }
            _ => vec![[&text[..from], &text[(end + 2).min(text.len())..]].concat().into_bytes()],
        };
    }
    let listing = text.starts_with("* ") && text.contains(" FETCH (");
    if listing && hide.load(Ordering::SeqCst) >= 0 && hide.fetch_sub(1, Ordering::SeqCst) == 0 {
        return Vec::new();
    }
    match listing && reply.len().is_multiple_of(9) {
        true => vec![reply.clone(), reply],
        false => vec![reply],
    }
}
