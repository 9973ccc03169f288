//! Plays the scenarios: every run, every latency, every scenario, and within it one program after the other.

use crate::bare;
use crate::line::{Line, Traffic};
use crate::measure::{self, Cost};
use crate::options::Options;
use crate::programs::{self, Program, Seat};
use crate::scenario::{self, Delta, Scenario};
use crate::server::{Server, Template, logout, make_dir, open_dir, remove};
use crate::verify::{self, Hashes};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The name of the row that is no program.
pub const BARE: &str = "bare limit";

/// One run of one program.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    pub cost: Cost,
    pub traffic: Traffic,
    /// What was wrong with the contents afterwards.
    pub difference: Option<String>,
    /// Messages whose header has a line that the program added.
    pub marked: usize,
    /// Only of the bare limit: writing the files.
    pub writing: Duration,
}

/// Everything that was measured.
#[derive(Default)]
pub struct Results {
    pub programs: Vec<Program>,
    pub samples: BTreeMap<(Scenario, u64, String), Vec<Sample>>,
    /// The mailbox of the first four scenarios, in bytes.
    pub bytes: u64,
    /// The kind of the local file system.
    pub file_system: String,
}

impl Results {
    /// Whether every program did its work every time.
    pub fn all_verified(&self) -> bool {
        self.samples.values().flatten().all(|sample| sample.difference.is_none() && sample.cost.failure.is_none())
    }
}

/// One mailbox that scenarios are played on.
struct Stage {
    template: Template,
    /// The number of its first message.
    first: u64,
    /// Per program.
    seats: BTreeMap<String, Seat>,
    /// Messages of the template that deltas have touched.
    touched: usize,
    /// New messages that they have made.
    made: u64,
}

struct Player<'a> {
    options: &'a Options,
    programs: Vec<Program>,
    server: Server,
    line: Line,
    dir: tempfile::TempDir,
    homes: usize,
    hashes: Hashes,
    results: Results,
}

/// Between what prepares a run and the run: programs look twice, or wait, where a directory was changed a moment ago, which
/// is not how they are used.
const APART: Duration = Duration::from_millis(2_500);

/// Numbers of messages of one stage are below those of the next.
const STAGE: u64 = 1 << 32;
/// The number of the first message that a delta makes. Whenever all begin anew, so does this: every round has the same.
const FRESH: u64 = 100 * STAGE;

/// Measures all that is asked for.
pub fn all(options: &Options) -> Results {
    let server = Server::start();
    let line = Line::to(server.dovecot.port);
    let dir = open_dir("peers-local-", &options.local_dir());
    let programs = programs::found(options);
    let file_system = file_system(dir.path());
    let results = Results { programs: programs.clone(), file_system, ..Results::default() };
    let mut player = Player { options, programs, server, line, dir, homes: 0, hashes: Hashes::default(), results };
    player.play();
    player.results
}

impl Player<'_> {
    fn play(&mut self) {
        let scenarios = self.options.scenarios();
        let has = |wanted: &[Scenario]| scenarios.iter().any(|scenario| wanted.contains(scenario));
        let (messages, folders) = (self.options.messages, self.options.folders);
        let on_main = [Scenario::Pull, Scenario::Noop, Scenario::ServerDelta, Scenario::LocalDelta];
        if has(&on_main) {
            let mut stage = self.stage(folders, messages, 0);
            self.results.bytes = stage.template.bytes;
            self.rounds(&mut stage, &on_main);
        }
        let folders = self.options.noop_folders;
        if has(&[Scenario::NoopFolders]) {
            let mut stage = self.stage(folders, folders * 10, STAGE);
            self.rounds(&mut stage, &[Scenario::NoopFolders]);
        }
        let folders = self.options.many;
        if has(&[Scenario::Many]) {
            let mut stage = self.stage(folders, folders * 2, 2 * STAGE);
            self.rounds(&mut stage, &[Scenario::Many]);
        }
    }

    fn stage(&mut self, folders: usize, messages: usize, first: u64) -> Stage {
        eprintln!("peers: {messages} messages in {folders} folders are delivered");
        let template = self.server.template(folders, messages, first);
        self.hashes.remember(template.dir());
        Stage { template, first, seats: BTreeMap::new(), touched: 0, made: 0 }
    }

    fn rounds(&mut self, stage: &mut Stage, scenarios: &[Scenario]) {
        let wanted: Vec<Scenario> = self.options.scenarios().into_iter().filter(|s| scenarios.contains(s)).collect();
        for run in 1..=self.options.runs {
            for rtt in self.options.rtt.clone() {
                for scenario in &wanted {
                    eprintln!("peers: run {run} of {}, RTT {rtt} ms, {scenario}", self.options.runs);
                    self.scenario(stage, *scenario, rtt, run);
                }
            }
        }
    }

    fn scenario(&mut self, stage: &mut Stage, scenario: Scenario, rtt: u64, run: usize) {
        let delta = Delta::of(scenario, stage.template.messages());
        let first_sync = matches!(scenario, Scenario::Pull | Scenario::Many);
        let is_delta = matches!(scenario, Scenario::ServerDelta | Scenario::LocalDelta);
        if first_sync || (is_delta && stage.touched + delta.touched() > stage.template.messages()) {
            self.clear(stage);
        }
        if first_sync && self.options.wants(BARE) {
            self.bare(stage, scenario, rtt);
        }
        let mut seats = self.prepare(stage, scenario, delta);
        if !first_sync {
            thread::sleep(APART);
        }
        // Whoever comes first finds the machine as the pause left it.
        let count = seats.len().max(1);
        seats.rotate_left((run - 1) % count);
        if let Some((_, seat)) = seats.first() {
            logout(self.server.login(&seat.user));
        }
        for (program, seat) in seats {
            let (traffic, cost) = self.sync(&program, &seat, rtt);
            let server = verify::read(&seat.user.mail, &self.hashes);
            let local = verify::read(&seat.mail(), &self.hashes);
            let difference = verify::difference(&server, &local);
            let marked = verify::marked(&server) + verify::marked(&local);
            let sample = Sample { cost, traffic, difference, marked, ..Sample::default() };
            self.keep(scenario, rtt, &program.name, sample);
        }
        if is_delta {
            stage.touched += delta.touched();
            stage.made += delta.new as u64;
        }
    }

    /// Brings every program to where the scenario begins for it.
    fn prepare(&mut self, stage: &mut Stage, scenario: Scenario, delta: Delta) -> Vec<(Program, Seat)> {
        let mut seats = Vec::new();
        for program in self.programs.clone() {
            let seat = match stage.seats.get(&program.name) {
                Some(seat) => seat.clone(),
                None => self.seat(stage, &program, !matches!(scenario, Scenario::Pull | Scenario::Many)),
            };
            let (template, from, fresh) = (&stage.template, stage.touched, FRESH + stage.made);
            match scenario {
                Scenario::Pull | Scenario::Many | Scenario::Noop | Scenario::NoopFolders => (),
                Scenario::ServerDelta => {
                    scenario::on_server(&self.server, &seat, template, delta, from, fresh);
                }
                Scenario::LocalDelta => {
                    scenario::on_local(&self.server, &seat, template, delta, from, fresh);
                }
            }
            seats.push((program, seat));
        }
        if matches!(scenario, Scenario::Noop | Scenario::NoopFolders) {
            // What the last run left for the next one to look at belongs to the last one.
            thread::sleep(APART);
            for (program, seat) in &seats {
                self.sync(program, seat, 0).1.settled(program);
            }
        }
        self.flush();
        seats
    }

    fn keep(&mut self, scenario: Scenario, rtt: u64, program: &str, sample: Sample) {
        let trouble = sample.cost.failure.iter().chain(&sample.difference).cloned().collect::<Vec<_>>().join("; ");
        let (wall, cpu) = (sample.cost.wall.as_secs_f64(), sample.cost.cpu.as_secs_f64());
        eprintln!("peers:   {program}: {wall:.3} s, CPU {cpu:.3} s {trouble}");
        self.results.samples.entry((scenario, rtt, program.to_owned())).or_default().push(sample);
    }

    /// Everybody begins anew.
    fn clear(&mut self, stage: &mut Stage) {
        for seat in std::mem::take(&mut stage.seats).into_values() {
            remove(&seat.home);
            self.server.release(seat.user);
            seat.local_user.into_iter().for_each(|user| self.server.release(user));
        }
        (stage.touched, stage.made) = (0, 0);
    }

    /// A fresh home and a fresh mailbox, synced already where that is asked for.
    fn seat(&mut self, stage: &mut Stage, program: &Program, synced: bool) -> Seat {
        let home = self.home();
        let mut user = self.server.user();
        self.server.give(&mut user, &stage.template);
        let mut seat = Seat { user, home, local_user: None };
        if program.wants_a_local_server() {
            let mut local = self.server.user();
            make_dir(&seat.mail());
            self.server.point(&mut local, seat.mail());
            seat.local_user = Some(local);
        }
        program.settle(&seat, self.line.port, self.server.dovecot.port);
        stage.seats.insert(program.name.clone(), seat.clone());
        self.flush();
        if synced {
            self.sync(program, &seat, 0).1.settled(program);
        }
        seat
    }

    fn home(&mut self) -> PathBuf {
        self.homes += 1;
        let home = self.dir.path().join(self.homes.to_string());
        fs::create_dir(&home).expect("make a home");
        home
    }

    /// Nobody pays for what was written before.
    fn flush(&self) {
        let dir = fs::File::open(self.dir.path()).expect("open a directory");
        rustix::fs::syncfs(&dir).expect("sync a file system");
    }

    fn sync(&self, program: &Program, seat: &Seat, rtt: u64) -> (Traffic, Cost) {
        self.line.set_rtt(rtt);
        self.line.take();
        let cost = measure::run(&program.command(seat), &seat.home, Duration::from_secs(self.options.timeout));
        (self.line.take(), cost)
    }

    fn bare(&mut self, stage: &Stage, scenario: Scenario, rtt: u64) {
        let mut user = self.server.user();
        self.server.give(&mut user, &stage.template);
        let seat = Seat { user, home: self.home(), local_user: None };
        self.line.set_rtt(rtt);
        self.line.take();
        let command = bare::command(&seat, &stage.template, self.line.port);
        let cost = measure::run(&command, &seat.home, Duration::from_secs(self.options.timeout));
        let traffic = self.line.take();
        let writing = bare::write(&stage.template, &seat.home.join("files"), stage.first, self.options);
        self.keep(scenario, rtt, BARE, Sample { cost, traffic, writing, ..Sample::default() });
        remove(&seat.home);
        self.server.release(seat.user);
    }
}

impl Cost {
    /// Of a run that only prepares: a failure is told; the verification after the measured run shows what it left.
    fn settled(&self, program: &Program) {
        if let Some(failure) = &self.failure {
            eprintln!("peers:   {}: a run that prepares failed: {failure}", program.name);
        }
    }
}

/// The type of the file system of a directory, by the longest mount point above it.
fn file_system(dir: &Path) -> String {
    let dir = dir.canonicalize().expect("the directory is there");
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let fields = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let above = fields.filter(|(point, _)| dir.starts_with(point)).max_by_key(|(point, _)| point.len());
    above.map_or("a file system of unknown kind", |(_, kind)| kind).to_owned()
}
