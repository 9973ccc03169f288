//! Two worlds in memory and an account between them: what the tests of the engine stand on, and the notation in which
//! they say what is there.
//!
//! A folder is a line: `INBOX: a b:S c:FS+todo`. Each message is the letters of its content, then `:`, its Maildir
//! letters and its keywords, each after a `+`.

use mailsync::mail::{Flag, FlagSpace, Flags, FolderName, Key, Keyword, Side, Sides};
use mailsync::state::State;
use mailsync::store::Stop;
use mailsync::store::memory::{MemorySettings, World};
use mailsync::sync::rules::Rules;
use mailsync::sync::{
    AT_ONCE, Account, Counts, Disposal, Event, Limits, Options, Outcome, Policy, Report, run, sync_with,
};
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use tempfile::TempDir;

/// A folder's name.
pub fn folder(text: &str) -> FolderName {
    FolderName::parse(text).expect("a folder name")
}

/// Flags by Maildir letters and keywords: `FS+todo+later`.
pub fn flags(text: &str) -> Flags {
    let (letters, keywords) = text.split_once('+').unwrap_or((text, ""));
    let letters = letters.bytes().map(|letter| Flag::from_letter(letter).expect("a Maildir letter"));
    let keywords = keywords.split('+').filter_map(Keyword::new).map(Flag::Keyword);
    letters.chain(keywords).collect()
}

/// Flags in the notation of [`flags`].
pub fn show_flags(flags: &Flags) -> String {
    let letters = flags.iter().filter_map(|flag| flag.letter()).map(char::from);
    letters
        .chain(flags.keywords().iter().flat_map(|keyword| ['+'].into_iter().chain(keyword.as_str().chars())))
        .collect()
}

/// The message that a name stands for; its date is [`date`]. Names that begin with `x` have no Message-ID, all that
/// begin with `d` share one. Every name gives another size, but those that begin with `=`: they share both.
pub fn mail(name: &str) -> Vec<u8> {
    let id = match name.as_bytes()[0] {
        b'x' => String::new(),
        b'd' => "Message-ID: <the-same@test>\n".to_owned(),
        b'=' => "Message-ID: <twin@test>\n".to_owned(),
        _ => format!("Message-ID: <{name}@test>\n"),
    };
    let weight = match name.as_bytes()[0] {
        b'=' => 10,
        _ => name.bytes().fold(0_usize, |sum, byte| sum * 7 + usize::from(byte)) % 1000,
    };
    format!("Subject: {name}\n{id}\n{}\n", "-".repeat(weight)).into_bytes()
}

/// The name that a message was made of.
pub fn name_of(mail: &[u8]) -> String {
    let text = std::str::from_utf8(mail).expect("a message of the tests");
    text.lines().next().and_then(|line| line.strip_prefix("Subject: ")).expect("a subject").to_owned()
}

/// The date that messages of this name have.
pub fn date(name: &str) -> i64 {
    name.bytes().fold(1_000_000, |sum, byte| sum + 86_400 * i64::from(byte))
}

/// Puts what the lines say into a world.
pub fn fill(world: &World, lines: &[&str]) {
    for line in lines {
        let (name, messages) = line.split_once(':').expect("FOLDER: messages");
        world.make_folder(&folder(name));
        for message in messages.split_whitespace() {
            let (name_of_mail, letters) = message.split_once(':').unwrap_or((message, ""));
            world.put(&folder(name), &mail(name_of_mail), &flags(letters), Some(date(name_of_mail)));
        }
    }
}

/// What is in a world, a line a folder, messages ordered.
pub fn show(world: &World) -> Vec<String> {
    let line = |(name, messages): (FolderName, Vec<(String, Flags)>)| {
        let words = messages.iter().map(|(name, flags)| match flags.is_empty() {
            true => format!(" {name}"),
            false => format!(" {name}:{}", show_flags(flags)),
        });
        format!("{name}:{}", words.collect::<String>())
    };
    contents(world).into_iter().map(line).collect()
}

/// The messages of every folder by name, with their flags; dates are checked on the way.
pub fn contents(world: &World) -> BTreeMap<FolderName, Vec<(String, Flags)>> {
    let mut all: BTreeMap<FolderName, Vec<(String, Flags)>> =
        world.folders().into_iter().map(|folder| (folder, Vec::new())).collect();
    for message in world.messages() {
        let name = name_of(&message.content);
        assert_eq!(message.date, Some(date(&name)), "the date of {name} was changed in {}", message.folder);
        all.entry(message.folder).or_default().push((name, message.flags));
    }
    all.values_mut()
        .for_each(|messages| messages.sort_by_cached_key(|(name, flags)| (name.clone(), show_flags(flags))));
    all
}

/// The key of the first message of this name.
pub fn key(world: &World, of: &str, name: &str) -> Key {
    world.find(&folder(of), &mail(name)).unwrap_or_else(|| panic!("{name} is not in {of}"))
}

pub fn delete(world: &World, of: &str, name: &str) {
    assert!(world.delete(&folder(of), &key(world, of, name)));
}

pub fn reflag(world: &World, of: &str, name: &str, to: &str) {
    assert!(world.set_flags(&folder(of), &key(world, of, name), &flags(to)));
}

pub fn relocate(world: &World, of: &str, name: &str, into: &str) {
    assert!(world.move_message(&folder(of), &key(world, of, name), &folder(into)).is_some());
}

/// A space that holds the letters given and the keywords given, and no others.
pub fn space(text: &str) -> FlagSpace {
    FlagSpace { fixed: flags(text), more: 0 }
}

/// An account between two worlds, with a state on disk that the tests may lose.
pub struct Bench {
    pub worlds: Sides<World>,
    pub policy: Policy,
    pub delete_folders: bool,
    pub disposal: Sides<Disposal>,
    pub limits: Limits,
    pub connections: usize,
    pub at_once: u64,
    pub stop: Stop,
    dir: TempDir,
}

/// The same with a state in memory, which stays open from run to run: for tests that run thousands of times.
pub struct QuickBench {
    bench: Bench,
    pub state: Arc<State>,
}

impl Deref for QuickBench {
    type Target = Bench;

    fn deref(&self) -> &Bench {
        &self.bench
    }
}

impl DerefMut for QuickBench {
    fn deref_mut(&mut self) -> &mut Bench {
        &mut self.bench
    }
}

impl QuickBench {
    pub fn new(local: MemorySettings, remote: MemorySettings) -> QuickBench {
        // All of them begin with copies of one state: to make one takes longer than a run.
        static EMPTY: OnceLock<Vec<u8>> = OnceLock::new();
        let empty = EMPTY.get_or_init(|| QuickBench::new_state().image().expect("the state's image"));
        // So few messages as there are would often be all that a folder has: the guard is tested elsewhere.
        let limits = Limits { whole_folder: 1000, messages: 1000 };
        let bench = Bench { limits, ..Bench::new(local, remote) };
        QuickBench { bench, state: Arc::new(State::of_image(empty).expect("the image of a state")) }
    }

    /// A state that knows nothing, and whose name no other has.
    pub fn new_state() -> Arc<State> {
        Arc::new(State::in_memory().expect("a state in memory"))
    }

    pub fn run_with(&self, options: &Options) -> Ran {
        let told = Arc::new(Mutex::new(Vec::new()));
        let observer = listener(Arc::clone(&told));
        let (outcome, counts) = sync_with(&self.account("main"), &self.state, options, &observer, &self.stop);
        let told = told.lock().expect("nobody panicked").clone();
        Ran { outcome, counts, told }
    }

    /// Replaces the state by what an [image](State::image) has.
    pub fn put_state_back(&mut self, image: &[u8]) {
        self.state = Arc::new(State::of_image(image).expect("the image of a state"));
    }
}

/// How a run went.
#[derive(Clone, Debug)]
pub struct Ran {
    pub outcome: Outcome,
    pub counts: Counts,
    /// What was held or failed, in words.
    pub told: Vec<String>,
}

impl Ran {
    /// Fails unless the run found both sides in step and did nothing.
    #[track_caller]
    pub fn did_nothing(&self) {
        assert!(
            self.counts.is_empty() && self.outcome == Outcome::InStep,
            "it should have had nothing to do: {self:?}"
        );
    }

    #[track_caller]
    pub fn in_step(&self) -> Counts {
        assert_eq!(self.outcome, Outcome::InStep, "{self:?}");
        self.counts
    }
}

/// A directory that costs no disk, where there is one.
pub fn scratch() -> TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary directory")
}

impl Bench {
    pub fn new(local: MemorySettings, remote: MemorySettings) -> Bench {
        Bench::between(Sides::new(World::new(local), World::new(remote)))
    }

    pub fn between(worlds: Sides<World>) -> Bench {
        Bench {
            worlds,
            policy: Policy::default(),
            delete_folders: false,
            disposal: Sides::default(),
            limits: Limits::default(),
            connections: 1,
            at_once: AT_ONCE,
            stop: Stop::new(),
            dir: scratch(),
        }
    }

    /// The same account with worlds and a state of its own.
    pub fn fork(&self) -> Bench {
        let worlds = self.worlds.as_ref().map(World::fork);
        let disposal = self.disposal.clone();
        let bench = Bench { stop: Stop::new(), dir: scratch(), worlds, disposal, ..*self };
        bench.put_state_back(&self.state_image());
        bench
    }

    /// Where the state is.
    pub fn state(&self) -> PathBuf {
        self.dir.path().join("account.db")
    }

    pub fn account(&self, name: &str) -> Account {
        let opener = |side: Side| -> Box<dyn mailsync::store::Opener> { Box::new(self.worlds[side].opener()) };
        Account {
            name: name.to_owned(),
            stores: Sides::from_fn(opener),
            rules: Rules::default(),
            policy: self.policy,
            delete_folders: self.delete_folders,
            disposal: self.disposal.clone(),
            limits: self.limits,
            connections: self.connections,
            at_once: self.at_once,
            files: 10_000,
            state: self.state(),
            patience: std::time::Duration::ZERO,
            state_log: None,
        }
    }

    pub fn run(&self) -> Ran {
        self.run_with(&Options { accounts_at_once: 1, ..Options::default() })
    }

    pub fn dry_run(&self) -> Ran {
        self.run_with(&Options { accounts_at_once: 1, dry_run: true, ..Options::default() })
    }

    pub fn run_with(&self, options: &Options) -> Ran {
        let (report, told) = run_all(vec![self.account("main")], options, &self.stop);
        let (_, outcome, counts) = report.accounts[0];
        Ran { outcome, counts, told }
    }

    /// Runs at most twice; a further run must do nothing, and both sides must be the same.
    #[track_caller]
    pub fn settle(&self) {
        let first = self.run();
        let second = self.run();
        let third = self.run();
        assert!(third.counts.is_empty() && third.outcome == Outcome::InStep, "{first:?}\n{second:?}\n{third:?}");
        self.in_step();
    }

    #[track_caller]
    pub fn in_step(&self) {
        assert_eq!(show(&self.worlds.local), show(&self.worlds.remote), "local and remote differ");
    }

    /// Forgets all that is known.
    pub fn lose_state(&self) {
        self.put_state_back(&[]);
    }

    /// The state's files as they are now: whole after a run, and in the middle of one what a crash would leave.
    pub fn state_image(&self) -> Vec<(String, Vec<u8>)> {
        image(&self.state())
    }

    pub fn put_state_back(&self, image: &[(String, Vec<u8>)]) {
        for end in ["", "-wal", "-shm", "-journal"] {
            let path = format!("{}{end}", self.state().display());
            match image.iter().find(|(of, _)| of == end) {
                Some((_, bytes)) => std::fs::write(&path, bytes).expect("the state is written"),
                None => drop(std::fs::remove_file(&path)),
            }
        }
    }
}

/// The files of a state; its index of the log (`-shm`) is left out, as it is made anew.
pub fn image(state: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let read = |end: &str| Some((end.to_owned(), std::fs::read(format!("{}{end}", state.display())).ok()?));
    ["", "-wal"].into_iter().filter_map(read).collect()
}

/// Runs accounts; the report, and what was held or failed in words.
pub fn run_all(accounts: Vec<Account>, options: &Options, stop: &Stop) -> (Report, Vec<String>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let report = run(accounts, options, &listener(Arc::clone(&told)), stop);
    let told = told.lock().expect("nobody panicked").clone();
    (report, told)
}

/// Notes what was held or failed, in words.
fn listener(told: Arc<Mutex<Vec<String>>>) -> impl Fn(Event) + Send + Sync {
    move |event: Event| {
        let text = match event {
            Event::Held { folder, held, .. } => format!("{folder:?}: {held}"),
            Event::Problem { problem, .. } => problem.to_string(),
            Event::Waiting { count, .. } => format!("{count} messages wait after failures of their own"),
            _ => return,
        };
        told.lock().expect("nobody panicked").push(text);
    }
}
