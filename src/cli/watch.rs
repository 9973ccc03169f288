//! `mailsync watch`: keeps accounts in step for as long as it runs.
//!
//! Each account has a keeper, a thread of its own (`watch::keeper`). The main thread waits for signals, for news of the
//! network, for jumps of the clock and for the service manager's next question, and tells the keepers.

use super::args::{Cli, WatchArgs};
use super::around::Around;
use super::end::{End, Failure, explain};
use super::log::Log;
use super::lookup::Typed;
use super::repeats::Repeats;
use super::setup::{Setup, notes_to_stderr};
use super::{answer, heap};
use crate::config::{self, Config};
use crate::hook::Mode;
use crate::mail::{FolderName, Sides};
use crate::net::Stop;
use crate::sync::event::Event;
use crate::sync::{self, Account, Counts, Observer, Options, Outcome};
use crate::ui::{Ui, UiKind};
use crate::watch::bell::Bell;
use crate::watch::clock::Jumps;
use crate::watch::control::wire::ConfigFile;
use crate::watch::control::{Control, Desks, Face, OpenError};
use crate::watch::desk::{Desk, Doing};
use crate::watch::keeper::{Keeper, Terms, Why, Work};
use crate::watch::manager::Manager;
use crate::watch::network::{self, News};
use crate::watch::wait::wait;
use anyhow::{Context as _, bail};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::{flag, low_level};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// How long the end may take: after that it is forced, which costs no more than a kill at any other time.
const LAST: Duration = Duration::from_millis(1800);

/// How often is looked at the network where somebody wants to know of it.
const LOOK: Duration = Duration::from_secs(60);

/// How long is waited before a keeper that broke down is put back to work.
const BREAKDOWN: Duration = Duration::from_secs(60);

/// What signals ask for.
struct Signals {
    stop: Arc<AtomicBool>,
    interrupted: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
    now: Arc<AtomicBool>,
    resumed: Arc<AtomicBool>,
    bell: Bell,
}

impl Signals {
    fn begin() -> std::io::Result<Signals> {
        let (stop, interrupted, reload, now, resumed) = Default::default();
        let signals = Signals { stop, interrupted, reload, now, resumed, bell: Bell::new()? };
        let Signals { stop, interrupted, reload, now, resumed, bell } = &signals;
        for signal in [SIGINT, SIGTERM] {
            // The second one ends it at once.
            flag::register_conditional_shutdown(signal, 130, stop.clone())?;
            flag::register(signal, stop.clone())?;
        }
        for (signal, flag) in [(SIGINT, interrupted), (SIGHUP, reload), (SIGUSR1, now), (SIGCONT, resumed)] {
            flag::register(signal, flag.clone())?;
        }
        // Behind the flags, which are set when it rings.
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCONT] {
            low_level::pipe::register(signal, bell.rope()?)?;
        }
        Ok(signals)
    }

    /// The exit code: a supervisor ends it without a complaint, somebody at a terminal interrupts it.
    fn end(&self) -> u8 {
        if self.interrupted.load(Ordering::SeqCst) { 130 } else { 0 }
    }
}

/// How a config's time is over.
enum Over {
    Stopped,
    /// Another config takes its place.
    Replaced(Box<Config>),
}

/// Runs until a signal ends it.
pub fn run(cli: &Cli, args: &WatchArgs, log: &Arc<Log>) -> anyhow::Result<ExitCode> {
    // For what has to be done before there is a second thread.
    let state_dir = super::load(cli, &args.set)?.general.state_dir;
    let mut control = Some(Control::open(&state_dir).map_err(not_opened)?);
    let (manager, origin, reception) = (Manager::from_environment(), Instant::now(), Arc::default());
    let watch = Watch { cli, args, log, manager: &manager, origin, reception };
    let mut config = watch.read()?;
    let (mut signals, mut serving, mut typed) = (None, None, None);
    let mut open = || {
        if let Some(control) = control.take() {
            serving = Some(control.serve(watch.reception.clone())?);
        }
        Ok(())
    };
    while let Over::Replaced(other) = watch.by(&config, &mut signals, &mut typed, &mut open)? {
        config = *other;
    }
    // The keepers have gone: whoever waits for them is told so.
    drop(serving);
    Ok(ExitCode::from(signals.map_or(0, |signals| signals.end())))
}

fn not_opened(error: OpenError) -> anyhow::Error {
    match &error {
        OpenError::Taken { .. } => {
            let hint = "`mailsync status` asks it how things are, `mailsync sync` has it sync".to_owned();
            Failure { what: error.to_string(), hint: Some(hint), end: End::Locked }.into()
        }
        OpenError::Failed { .. } => error.into(),
    }
}

/// What those are shown who come by the socket: the desks of the config that is in use.
#[derive(Default)]
struct Reception {
    desks: Mutex<Vec<Arc<Desk>>>,
    config: Mutex<ConfigFile>,
}

impl Reception {
    fn desks(&self) -> MutexGuard<'_, Vec<Arc<Desk>>> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desks for Reception {
    fn all(&self) -> Vec<Arc<Desk>> {
        self.desks().clone()
    }

    fn config(&self) -> ConfigFile {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn face(&self, out: Box<dyn Write + Send>, err: Box<dyn Write + Send>, quiet: bool) -> Box<dyn Face> {
        answer::face(out, err, quiet)
    }
}

struct Watch<'a> {
    cli: &'a Cli,
    args: &'a WatchArgs,
    log: &'a Arc<Log>,
    manager: &'a Manager,
    origin: Instant,
    reception: Arc<Reception>,
}

impl Watch<'_> {
    /// The config as it is now.
    fn read(&self) -> anyhow::Result<Config> {
        let file = super::read(self.cli, &self.args.set)?.file;
        let of = ConfigFile::of(&file);
        // Once more: what is written after this moment counts as another one.
        let config = super::read(self.cli, &self.args.set)?;
        // Nobody else knows of what is set here.
        let own = !self.cli.set.is_empty() || !self.args.set.is_empty();
        let told = if own { ConfigFile::default() } else { of };
        *self.reception.config.lock().unwrap_or_else(PoisonError::into_inner) = told;
        Ok(config)
    }

    /// Keeps the accounts of this config until it is over. Signals are listened to once no password is asked for any more;
    /// `open` is called when others may come.
    fn by(
        &self,
        config: &Config,
        signals: &mut Option<Signals>,
        typed: &mut Option<Vec<Typed>>,
        open: &mut dyn FnMut() -> std::io::Result<()>,
    ) -> anyhow::Result<Over> {
        // Of this config: the program goes on with the next one.
        let over = Stop::new();
        let setup = Setup::new(config, self.log.clone(), over.clone()).all_at_once();
        let setup = match typed.take() {
            // Others wait for this: nobody is asked in the middle of it.
            Some(typed) => setup.after(typed),
            None => setup,
        };
        let accounts = setup.accounts(&self.args.accounts, &notes_to_stderr())?;
        setup.ask_beforehand();
        setup.ask_no_more();
        let signals = match signals {
            Some(signals) => signals,
            none => none.insert(Signals::begin().context("listen to signals")?),
        };
        let names: Vec<String> = accounts.iter().map(|account| account.name.clone()).collect();
        let desks = names.iter().map(|name| Ok(Arc::new(Desk::new(name)?))).collect::<std::io::Result<Vec<_>>>()?;
        let ui = Ui::new(UiKind::Basic, self.args.quiet || config.general.ui == config::UiChoice::Quiet);
        let around = Around::new(config);
        let repeats = Arc::new(Repeats::default());
        let observer = around.observer(self.log.observer(repeats.observer(ui.observer())));
        let network = Network::begin(config);
        let work = Keep { watch: self, setup: &setup, around, observer, desks: desks.clone(), network: &network };
        let ended = thread::scope(|scope| {
            let mut begin = |(account, desk): (Account, _)| {
                let terms = self.terms(config, &account.name);
                let (name, work, over) = (format!("keep {}", account.name), &work, over.clone());
                let keep = move || keep(account, &terms, desk, work, &over);
                thread::Builder::new().name(name).spawn_scoped(scope, keep).map(drop)
            };
            let begun = accounts.into_iter().zip(&desks).try_for_each(&mut begin).context("begin a thread");
            let ended = begun.and_then(|()| {
                *self.reception.desks() = desks.clone();
                open().context("answer others")?;
                self.manager.ready();
                self.attend(config, signals, &desks, &network, &over)
            });
            // Those that have begun end in any case.
            over.set();
            if matches!(ended, Ok(Over::Stopped)) {
                self.manager.stopping();
                force_the_end(signals.end());
            }
            desks.iter().for_each(|desk| desk.bell.ring());
            ended
        });
        ui.end();
        *typed = Some(setup.typed());
        ended
    }

    fn terms(&self, config: &Config, account: &str) -> Terms {
        let account = config.account(account);
        let watch = account.map(|account| account.watch.clone()).unwrap_or_default();
        let files = account.is_some_and(|account| matches!(account.local, config::Local::Maildir(_)));
        let listened_to = super::setup::listened_to(&watch);
        let some = |time: Duration| Some(time).filter(|time| !time.is_zero());
        Terms {
            interval: some(watch.interval),
            origin: self.origin,
            folders: Sides::new(if files { vec![FolderName::inbox()] } else { listened_to.clone() }, listened_to),
            scan: files,
            full_every: some(watch.full_every),
        }
    }

    /// What the main thread does.
    fn attend(
        &self,
        config: &Config,
        signals: &Signals,
        desks: &[Arc<Desk>],
        network: &Network,
        over: &Stop,
    ) -> anyhow::Result<Over> {
        let mut news = News::begin();
        let jumps = Jumps::begin();
        let all = |tell: &dyn Fn(&Desk)| desks.iter().for_each(|desk| tell(desk));
        let mut alive = self.manager.watchdog().map(|period| Instant::now() + period);
        loop {
            // Whether the network costs money may change without any news of the kernel's.
            let look = network.asked.then(|| Instant::now() + LOOK);
            let told = {
                let news = news.as_ref().map(AsFd::as_fd);
                let jumps = jumps.as_ref().map(AsFd::as_fd);
                let fds: Vec<_> = [Some(signals.bell.as_fd()), news, jumps].into_iter().flatten().collect();
                wait(&fds, alive.into_iter().chain(look).min())
            };
            told.context("wait for signals")?;
            signals.bell.hush();
            let asked = |flag: &AtomicBool| flag.swap(false, Ordering::SeqCst);
            if signals.stop.load(Ordering::SeqCst) {
                return Ok(Over::Stopped);
            }
            if asked(&signals.reload)
                && let Some(config) = self.reload(&config.general.state_dir)
            {
                return Ok(Over::Replaced(Box::new(config)));
            }
            if asked(&signals.now) {
                all(&|desk| desk.order(order_for_nobody()));
            }
            let moved = news.as_mut().is_some_and(News::changed);
            if network.look() {
                all(&|desk| desk.bell.ring());
            }
            if jumps.as_ref().is_some_and(Jumps::jumped) | asked(&signals.resumed) | moved {
                over.shake();
                all(&|desk| desk.shake());
            }
            if let (Some(period), Some(at)) = (self.manager.watchdog(), alive)
                && at <= Instant::now()
            {
                // Whoever hangs is started anew by not being told of.
                if !desks.iter().any(|desk| desk.is_overdue()) {
                    self.manager.alive();
                }
                alive = Some(Instant::now() + period);
            }
        }
    }

    /// The config as it is now; `None`, with what is wrong told, where it can't be used.
    fn reload(&self, state_dir: &Path) -> Option<Config> {
        self.manager.reloading();
        let before = self.reception.config();
        let read = self.read().and_then(|config| {
            if config.general.state_dir != *state_dir {
                bail!("`state_dir` can't be changed while it runs: end it, and start it again");
            }
            // What is wrong with patterns and the like is found here.
            let setup = Setup::new(&config, self.log.clone(), Stop::new());
            setup.accounts(&self.args.accounts, &notes_to_stderr())?;
            drop(setup);
            Ok(config)
        });
        match read {
            Ok(config) => Some(config),
            Err(error) => {
                *self.reception.config.lock().unwrap_or_else(PoisonError::into_inner) = before;
                explain(&error);
                let text = "mailsync: the config is not taken over; the one before goes on\n";
                // Nobody is left to be told where this fails.
                drop(std::io::stderr().lock().write_all(text.as_bytes()));
                self.manager.ready();
                None
            }
        }
    }
}

/// A sync of which nobody needs to hear.
fn order_for_nobody() -> crate::watch::desk::Order {
    let (done, _) = mpsc::channel();
    crate::watch::desk::Order { options: Options::default(), observer: None, done }
}

/// Ends the process if it does not end by itself in time.
fn force_the_end(code: u8) {
    let end = move || {
        thread::sleep(LAST);
        std::process::exit(code.into());
    };
    // Without a thread it takes the time it takes.
    drop(thread::Builder::new().name("end".into()).spawn(end));
}

/// Keeps an account, whatever happens to its keeper.
fn keep(account: Account, terms: &Terms, desk: &Arc<Desk>, work: &Keep<'_>, stop: &Stop) {
    let name = account.name.clone();
    let mut next = Some(account);
    while let Some(account) = next.take() {
        let keeper = Keeper::new(account, terms.clone(), desk.clone(), work, stop.clone());
        // The panic itself has been told.
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| keeper.keep())).is_err() {
            let text = format!("its keeper broke down, and is put back to work in {} seconds", BREAKDOWN.as_secs());
            work.note(&name, text);
            let until = Instant::now() + BREAKDOWN;
            while !stop.is_set() && Instant::now() < until {
                thread::sleep(Duration::from_millis(200));
            }
            next = (!stop.is_set()).then(|| work.renewed(&name)).flatten();
        }
    }
    desk.close();
}

/// What keepers need of the config.
struct Keep<'a> {
    watch: &'a Watch<'a>,
    setup: &'a Setup<'a>,
    around: Around<'a>,
    observer: Arc<Observer>,
    desks: Vec<Arc<Desk>>,
    network: &'a Network,
}

impl Work for Keep<'_> {
    fn sync(
        &self,
        account: &Account,
        why: Why,
        options: &Options,
        heard: Arc<Observer>,
        stop: &Stop,
    ) -> (Outcome, Counts) {
        let (base, told) = (self.observer.clone(), heard.clone());
        let observer: Arc<Observer> = Arc::new(move |event: Event| {
            heard(event.clone());
            base(event);
        });
        let options = Options { each_message: self.around.wants_messages(), ..options.clone() };
        let mode = match why {
            Why::Start | Why::Asked | Why::Full => Mode::Full,
            Why::Time => Mode::Quick,
            Why::News | Why::Echo => Mode::Idle,
        };
        // What the last sync did itself is told back as news: nothing is run for that, unless there is more to it.
        if why != Why::Echo {
            self.around.before(&account.name, mode, &*observer, stop);
        }
        let (outcome, counts) = sync::sync_account(account, &options, &*observer, stop);
        if why != Why::Echo || !counts.is_empty() || outcome > Outcome::Partial {
            let failed = self.around.after(&account.name, outcome, mode, &*observer, stop);
            for error in &failed {
                explain(error);
                // Whoever asked for it has another terminal.
                let (account, text) = (account.name.clone(), format!("{error:#}"));
                told(Event::Note { account, folder: None, text });
            }
        }
        heap::trim();
        (outcome, counts)
    }

    fn renewed(&self, account: &str) -> Option<Account> {
        self.setup.renewed(account, &notes_to_stderr())
    }

    fn hindered(&self, account: &str) -> Option<&'static str> {
        let pause = self.setup.config.account(account)?.watch.pause_on;
        self.network.hindrance(pause)
    }

    fn changed(&self) {
        let statuses: Vec<_> = self.desks.iter().map(|desk| (desk.account.clone(), desk.status())).collect();
        let bad = |(_, status): &&(String, crate::watch::desk::Status)| {
            status.synced.is_some_and(|(_, outcome)| outcome != Outcome::InStep) || status.doing == Doing::Failed
        };
        let troubles: Vec<String> = statuses
            .iter()
            .filter(bad)
            .map(|(name, status)| {
                format!("{name}: {}", status.trouble.as_deref().unwrap_or("something was left undone"))
            })
            .collect();
        let text = match troubles.is_empty() {
            true => {
                format!("{} in step", statuses.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "))
            }
            false => troubles.join("; "),
        };
        self.watch.manager.status(&text);
    }

    fn note(&self, account: &str, text: String) {
        (self.observer)(Event::Note { account: account.to_owned(), folder: None, text });
    }
}

/// The network as it was when it last changed.
struct Network {
    state: Mutex<network::State>,
    /// Whether any account wants to know.
    asked: bool,
}

impl Network {
    fn begin(config: &Config) -> Network {
        let asked = config.accounts.iter().any(|account| account.watch.pause_on != config::Pause::default());
        let network = Network { state: Mutex::default(), asked };
        network.look();
        network
    }

    /// Looks whether it is another one now; if anybody wants to know.
    fn look(&self) -> bool {
        if !self.asked {
            return false;
        }
        let now = network::state();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *state, now) != now
    }

    fn hindrance(&self, pause: config::Pause) -> Option<&'static str> {
        let state = *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match () {
            () if pause.offline && state.offline => Some("offline"),
            () if pause.metered && state.metered == Some(true) => Some("metered"),
            () => None,
        }
    }
}
