//! Plays a history: acts between the runs, runs, and what must be true after each.

use super::acts::*;
use super::model::{ANCHORS, Census, Model, census};
use super::scene::Scene;
use super::support::world::{QuickBench, Ran, fill, show};
use mailsync::mail::FlagSpace;
use mailsync::store::Stop;
use mailsync::store::memory::World;
use mailsync::sync::{AT_ONCE, Options, Outcome, Policy};
use rusqlite::{Connection, MAIN_DB};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

/// After a history no more runs than these may have anything to do.
const PATIENCE: usize = 4;

/// A history as it is played.
pub struct Play {
    pub bench: QuickBench,
    scene: Arc<Mutex<Scene>>,
    /// Whether all that one side has must come to be on the other.
    whole: bool,
    states: Vec<Vec<u8>>,
}

impl Play {
    pub fn new(natures: Sides<Nature>, way: Way) -> Play {
        let settings = natures.as_ref().map(Nature::settings);
        // Half of the plays know only first syncs in slices.
        let at_once = if settings.remote.condstore == settings.local.condstore { 2 } else { AT_ONCE };
        let mut bench = QuickBench::new(settings.local, settings.remote);
        bench.at_once = at_once;
        bench.policy = way.policy();
        for (_, world) in bench.worlds.iter() {
            fill(world, &ANCHORS);
        }
        let model = Model::new(bench.worlds.clone());
        let scene = Arc::new(Mutex::new(Scene::new(model, bench.policy, Arc::clone(&bench.state))));
        for (side, world) in bench.worlds.iter() {
            let scene = Arc::clone(&scene);
            world.set_hook(Some(Arc::new(move |step| scene.lock().expect("no step failed before").step(side, step))));
        }
        Play { bench, scene, whole: matches!(way, Both), states: Vec::new() }
    }

    /// The same, for a policy under which nobody but its source is changed by people.
    pub fn mirror(natures: Sides<Nature>, source: Side) -> Play {
        let mut play = Play::new(natures, Mirror(source));
        play.whole = true;
        play
    }

    pub fn scene(&self) -> MutexGuard<'_, Scene> {
        self.scene.lock().expect("no step failed before")
    }

    pub fn shown(&self) -> Sides<Vec<String>> {
        self.bench.worlds.as_ref().map(show)
    }

    pub fn census(&self) -> Sides<Census> {
        self.bench.worlds.as_ref().map(census)
    }

    pub fn act(&mut self, act: &Act) {
        match act {
            Sync => drop(self.sync()),
            Look => drop(self.look()),
            Troubled { during } => drop(self.troubled(during.clone())),
            Blind { on, folder } => self.blind(*on, FOLDERS[*folder]),
            StateFails { at } => self.state_fails(*at),
            LoseState => {
                self.bench.state = QuickBench::new_state();
                self.states.clear();
                self.scene().model.forgetful = true;
            }
            OlderState { which } => {
                if let Some(state) = self.states.get(which % self.states.len().max(1)).cloned() {
                    self.bench.put_state_back(&state);
                    let mut scene = self.scene();
                    (scene.model.forgetful, scene.model.aged) = (true, true);
                }
            }
            ForeignState => self.foreign(),
            people => self.scene().model.act(people),
        }
    }

    fn run(&mut self, dry_run: bool, during: Vec<(usize, During)>) -> Ran {
        self.run_with(Options { accounts_at_once: 1, dry_run, ..Options::default() }, during)
    }

    fn run_with(&mut self, options: Options, during: Vec<(usize, During)>) -> Ran {
        self.bench.stop = Stop::new();
        let (state, stop) = (Arc::clone(&self.bench.state), self.bench.stop.clone());
        self.scene().begin(options.dry_run, during, state, stop);
        let ran = self.bench.run_with(&options);
        let silent = matches!(ran.outcome, Outcome::InStep | Outcome::Interrupted);
        assert!(silent || !ran.told.is_empty(), "what was left undone is told: {ran:?}");
        assert!(ran.outcome != Outcome::InStep || ran.told.is_empty(), "what is told was left undone: {ran:?}");
        let left = self.scene().left.take();
        if let Some(left) = left {
            self.bench.put_state_back(&left);
        }
        ran
    }

    /// A dry run; what it says.
    pub fn look(&mut self) -> Ran {
        let before = self.shown();
        let ran = self.run(true, Vec::new());
        assert_eq!(before, self.shown(), "a dry run changed something");
        ran
    }

    /// A run that nothing disturbs.
    pub fn sync(&mut self) -> Ran {
        // What failed before need not wait for its time.
        let usual = Options { accounts_at_once: 1, retry: true, ..Options::default() };
        let mut ran = self.run_with(usual.clone(), Vec::new());
        if ran.told.iter().any(|told| told.contains("every message that was known is gone")) {
            // A state that knows little yet, because the runs before were disturbed: people say that it is all right.
            ran = self.run_with(Options { allow_delete: true, ..usual }, Vec::new());
        }
        if self.whole {
            assert_eq!(ran.outcome, Outcome::InStep, "{ran:?}");
        }
        self.states.push(self.bench.state.image().expect("the state's image"));
        let now = self.census();
        let mut scene = self.scene();
        scene.model.check_counts(&now);
        // Where a policy keeps things back both sides may look the same, and not be.
        if self.whole && ran.outcome == Outcome::InStep && scene.model.same(&now) {
            scene.model.check_agreement(&now);
            scene.model.agree(now);
        }
        ran
    }

    /// A run during which something happens; whether it did.
    fn troubled(&mut self, during: Vec<(usize, During)>) -> bool {
        self.scene().model.troubled = true;
        self.run(false, during);
        let now = self.census();
        let scene = self.scene();
        scene.model.check_counts(&now);
        scene.disturbed
    }

    fn blind(&mut self, on: Side, of: &str) {
        // What a state does not know any more and a listing does not show can't be known: it is copied once more.
        if self.scene().model.aged {
            return;
        }
        let (world, of) = (self.bench.worlds[on].clone(), super::support::world::folder(of));
        world.cut_short(&of, true);
        self.troubled(Vec::new());
        world.cut_short(&of, false);
    }

    fn state_fails(&mut self, at: usize) {
        let image = self.bench.state.image().expect("the state's image");
        self.bench.put_state_back(&fused(&image, at));
        self.troubled(Vec::new());
        let image = self.bench.state.image().expect("the state's image");
        self.bench.put_state_back(&mended(&image));
    }

    /// Where a store is marked, a state that is another account's must not be worked with.
    fn foreign(&mut self) {
        let marked = self.bench.worlds.iter().any(|(_, world)| world.settings().marks);
        if !marked {
            return;
        }
        let (own, before) = (Arc::clone(&self.bench.state), self.shown());
        self.bench.put_state_back(another_account());
        let ran = self.run(false, Vec::new());
        assert!(ran.outcome != Outcome::InStep && ran.counts.is_empty(), "with another account's state: {ran:?}");
        assert_eq!(before, self.shown(), "with another account's state: {ran:?}");
        self.bench.state = own;
    }

    /// Runs until there is nothing left to do, and says that it ends well.
    pub fn finish(&mut self) {
        let mut runs = Vec::new();
        loop {
            let ran = self.sync();
            let over = ran.counts.is_empty();
            runs.push(ran);
            if over {
                break;
            }
            assert!(runs.len() <= PATIENCE, "it does not come to an end: {:?} {runs:?}", self.shown());
        }
        let last = runs.last().expect("there was a run");
        let now = self.census();
        let same = self.scene().model.same(&now);
        // What a policy does not carry over is no news; in both directions there is nothing of that kind.
        let silent = last.outcome == Outcome::InStep && self.scene().policy == Policy::default();
        assert!(same || !silent, "not the same, but in step: {:?} {runs:?}", self.shown());
        assert!(same || !self.whole, "not the same in the end: {:?} {runs:?}", self.shown());
        let dry = self.look();
        assert!(dry.counts.is_empty(), "a dry run finds something to do: {dry:?}");
        let changes = self.scene().changes;
        assert_eq!(changes, Sides::default(), "something was done that was not counted: {runs:?}");
    }

    /// Plays the history to its end.
    pub fn play(&mut self, history: &[Act]) {
        history.iter().for_each(|act| self.act(act));
        self.finish();
    }

    /// Whether a dry run can know all that a run will do: neither keywords that find no room, nor keys not told.
    pub fn is_predictable(&self) -> bool {
        let settings = self.bench.worlds.as_ref().map(World::settings);
        settings.iter().all(|(_, settings)| settings.tell_keys && settings.space == FlagSpace::all())
    }
}

/// The worlds know the scene and the scene knows the worlds: neither would ever be dropped.
impl Drop for Play {
    fn drop(&mut self) {
        self.bench.worlds.iter().for_each(|(_, world)| world.set_hook(None));
    }
}

/// The state of an account that has the same folders, and UIDs from 1 on as well.
fn another_account() -> &'static [u8] {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let nature =
            Nature { names: true, condstore: true, tell_keys: true, email_ids: false, list_cursors: true, space: "" };
        let mut other = Play::new(Sides::new(nature, Nature { names: false, ..nature }), Both);
        other.bench.state = QuickBench::new_state();
        fill(&other.bench.worlds.remote, &["INBOX: a b c e f g", "Work: a b", "Lists/x: c e", "Lists: x1 x2"]);
        other.bench.worlds.iter().for_each(|(_, world)| world.set_hook(None));
        other.bench.run_with(&Options { accounts_at_once: 1, ..Options::default() });
        other.bench.state.image().expect("the state's image")
    })
}

/// The same state, which refuses the change of a row after `at` of them, as a full disk would.
fn fused(image: &[u8], at: usize) -> Vec<u8> {
    let mut sql = format!("CREATE TABLE IF NOT EXISTS fuse (left); DELETE FROM fuse; INSERT INTO fuse VALUES ({at});");
    for (table, event) in
        ["folder", "message", "intent"].iter().flat_map(|t| ["INSERT", "UPDATE", "DELETE"].map(|e| (t, e)))
    {
        sql += &format!(
            "CREATE TRIGGER IF NOT EXISTS fuse_{table}_{event} BEFORE {event} ON {table} BEGIN \
             UPDATE fuse SET left = left - 1; SELECT RAISE(ABORT, 'blown') FROM fuse WHERE left < 0; END;"
        );
    }
    edited(image, &sql)
}

fn mended(image: &[u8]) -> Vec<u8> {
    edited(image, "UPDATE fuse SET left = 1000000000;")
}

fn edited(image: &[u8], sql: &str) -> Vec<u8> {
    let mut connection = Connection::open_in_memory().expect("a database");
    connection.deserialize_read_exact(MAIN_DB, image, image.len(), false).expect("an image");
    connection.execute_batch(sql).expect("the statements");
    connection.serialize(MAIN_DB).expect("an image").to_vec()
}

#[test]
fn a_state_with_a_fuse_refuses_a_change() {
    let image = fused(&QuickBench::new_state().image().expect("an image"), 0);
    let state = mailsync::state::State::of_image(&image).expect("a state");
    let name = mailsync::mail::FolderName::inbox();
    let wires = mailsync::mail::Sides::from_fn(|_| b"INBOX".to_vec());
    assert!(state.add_folder(&wires, &mailsync::mail::Sides::new(name.clone(), name), None).is_err());
}
