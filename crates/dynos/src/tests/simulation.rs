//! Many worlds in which anything may happen, each from a seed that a failure names: the real
//! reconciler and the real tasks of dynos, with a real database, on a pretended machine whose clock the
//! test moves.
//!
//! People deploy, scale, restart; starts fail, dynos die, boot slowly or never, linger after SIGTERM;
//! requests stay inside; the server is ended or dies in the middle of anything, and the machine loses
//! its power or some of its memory. While it goes on, promises hold; when it has calmed down, what is
//! wanted is there, once.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use model::dyno::{DynoKind, StopReason, Terminal};
use model::feature::{Feature, Switch};
use model::formation::Formation;
use model::routes::{Backend, Visit};
use model::{DynoId, DynoSize, FormationId, Timestamp};
use store::dynos::Life as Row;
use store::restarts::Restart;
use tokio::runtime::Runtime as Tokio;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::manager::start_on;
use crate::runtime::Runtime;
use crate::runtime::sim::{Event, Fate, Gate, Sim};
use crate::{Config, Dynos, Rooms};

use super::app::App;
use super::bed;

/// So many worlds, in two threads.
const SEEDS: u64 = 240;
const STEPS: usize = 30;

/// A dyno waits 30 seconds for its requests, in steps of five seconds at most.
const PATIENT: Duration = Duration::from_secs(20);

/// Who is told to stop before has been up for so long may have been told as one who still boots.
const KNOWN: Duration = Duration::from_secs(30);

const DYNO: u64 = 512 << 20;
const TYPES: [&str; 2] = ["web", "worker"];

#[test]
fn whatever_happens_nothing_is_doubled_lost_or_stopped_under_its_requests() {
    std::thread::scope(|scope| {
        for share in 0..2 {
            scope.spawn(move || (share..SEEDS).step_by(2).for_each(world));
        }
    });
}

fn world(seed: u64) {
    let mut world = World::new(seed);
    let story = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run()));
    if story.is_err() {
        panic!("seed {seed}: its story was {}", world.story);
    }
}

/// SplitMix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).expect("small")]
    }
}

/// A server, and the runtime that dies with it.
struct Server {
    /// While this is there, the clock moves only when it is told to. It goes first, for the runtime
    /// waits for what it holds up.
    _clock: mpsc::SyncSender<()>,
    tokio: Tokio,
    dynos: Dynos,
    cancel: CancellationToken,
    tracker: TaskTracker,
}

struct World {
    dice: Dice,
    sim: Sim,
    app: App,
    config: Config,
    server: Option<Server>,
    wanted: HashMap<&'static str, u32>,
    version: u32,
    gapless: bool,
    /// Requests that are inside a dyno.
    visits: Vec<Visit>,
    /// Memory was short at some time: then dynos may be stopped before their successors are up.
    was_short: bool,
    story: String,
    /// All that was ever started, and how much of the journal has been looked at.
    launched: HashSet<DynoId>,
    checked: usize,
    _dir: tempfile::TempDir,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let dir = tempfile::tempdir_in(place()).expect("a directory");
        let founding = tokio();
        let app = founding.block_on(App::found(dir.path(), bed::slug));
        let mut config = bed::config(dir.path());
        config.limits.backoff = [0, 1, 2, 5].map(Duration::from_secs).into();
        config.limits.surge = 1 + u32::try_from(dice.below(3)).expect("small");
        let gapless = dice.percent(70);
        let sim = Sim::default();
        founding.block_on(async { sim.set_clock(Timestamp::now()) });
        let wanted = TYPES.map(|name| (name, 0)).into();
        let (visits, story) = (Vec::new(), String::new());
        let mut world = Self {
            dice,
            sim,
            app,
            config,
            server: None,
            wanted,
            version: 0,
            gapless,
            visits,
            was_short: false,
            story,
            launched: HashSet::new(),
            checked: 0,
            _dir: dir,
        };
        let (app, preboot, now) = (world.app.id, Switch::from_bool(gapless), world.sim.time());
        let set = world
            .app
            .intend(move |tx| store::features::set(tx, app, Feature::Preboot, preboot, now));
        founding.block_on(set);
        drop(founding);
        world.remember();
        world.begin();
        world
    }

    fn run(&mut self) {
        self.deploy();
        self.scale();
        for _ in 0..STEPS {
            self.happen();
            self.pass(self.time_that_passes());
            self.check();
        }
        self.calm_down();
    }

    fn time_that_passes(&self) -> Duration {
        // Taken from the story so far, so that the dice fall the same whatever the machine does.
        let times = [20, 150, 150, 400, 1_000, 3_000, 20_000, 70_000];
        Duration::from_millis(times[self.story.len() % times.len()])
    }

    /// One thing that nobody planned.
    fn happen(&mut self) {
        let fate = Fate {
            refused: self.dice.percent(8),
            boots: Duration::from_millis(self.dice.pick(&[0, 0, 100, 900, 15_000, 90_000])),
            lingers: Duration::from_millis(self.dice.pick(&[0, 0, 50, 2_000, 29_000, 90_000])),
        };
        self.sim.decide(fate);
        match self.dice.below(14) {
            0 | 1 => self.scale(),
            2..=4 => self.deploy(),
            5 => self.restart(),
            6 | 7 => self.crash_one(),
            8 => self.replace_server(),
            9 | 10 => self.slay_server(),
            11 if self.dice.percent(40) => self.lose_power(),
            11 | 12 => self.run_once(),
            _ => self.tell("nothing"),
        }
        if self.dice.percent(30) {
            self.visit();
        }
        if self.dice.percent(40) {
            self.visits.clear();
        }
    }

    fn tell(&mut self, what: &str) {
        let _infallible = write!(self.story, "{what}, ");
    }

    /// Lets the server do something that needs its runtime.
    fn within<T>(&self, work: impl Future<Output = T>) -> T {
        self.server.as_ref().expect("a server").tokio.block_on(work)
    }

    fn deploy(&mut self) {
        self.version += 1;
        let version = self.version.to_string();
        self.tell(&format!("deploy {version}"));
        self.within(self.app.deploy(&[("V", version.as_str())]));
    }

    fn scale(&mut self) {
        for name in TYPES {
            let quantity = u32::try_from(self.dice.below(4)).expect("small");
            self.wanted.insert(name, quantity);
        }
        self.tell(&format!("scale {:?}", TYPES.map(|name| self.wanted[name])));
        let (app, now) = (self.app.id, self.sim.time());
        let row = |(name, command): (&'static str, &str)| Formation {
            id: FormationId::random(),
            app,
            process_type: name.parse().expect("a process type"),
            command: command.to_owned(),
            quantity: self.wanted[name],
            size: DynoSize::Standard1X,
            created_at: now,
            updated_at: now,
        };
        let rows = [("web", "serve"), ("worker", "work")].map(row);
        let save = self
            .app
            .intend(move |tx| rows.iter().try_for_each(|row| store::formations::save(tx, row)));
        self.within(save);
    }

    fn restart(&mut self) {
        let target = self.dice.pick(&["*", "web", "worker", "web.1"]);
        self.tell(&format!("restart {target}"));
        let restart = Restart { target: target.to_owned(), not_before: self.sim.time() };
        let app = self.app.id;
        self.within(self.app.intend(move |tx| store::restarts::save(tx, app, &restart)));
    }

    fn run_once(&mut self) {
        let command = self.dice.pick(&["exit 0", "exit 3", "work"]);
        self.tell(&format!("run {command}"));
        let (seconds, now) = (self.dice.pick(&[1, 60]), self.sim.time());
        let number = u32::try_from(1 + self.story.len()).expect("small");
        let once = self.within(self.app.wish(DynoKind::Run, command, Terminal::Detached));
        let mut once =
            model::dyno::OneOff { time_to_live_seconds: seconds, created_at: now, ..once };
        once.name.number = number;
        self.within(self.app.intend(move |tx| store::one_offs::insert(tx, &once)));
    }

    fn crash_one(&mut self) {
        self.tell("crash");
        let mut alive = self.sim.alive();
        alive.sort_unstable();
        if !alive.is_empty() {
            // Ids are random: which one it is does not matter, that it is one of them does.
            self.sim.crash(alive[0], 1);
        }
    }

    /// A request comes and stays inside.
    fn visit(&mut self) {
        let backends = self.backends();
        self.visits.extend(backends.first().and_then(Backend::enter));
    }

    fn backends(&self) -> Vec<std::sync::Arc<Backend>> {
        let views = self.server.as_ref().expect("a server").dynos.views().borrow().clone();
        views.get(&self.app.id).map(|view| view.backends.to_vec()).unwrap_or_default()
    }

    /// The server is told to end, and another one begins.
    fn replace_server(&mut self) {
        self.tell("new server");
        self.remember();
        let server = self.server.take().expect("a server");
        server.cancel.cancel();
        server.tracker.close();
        server.tokio.block_on(async {
            let ended = std::time::Instant::now();
            while !server.tracker.is_empty() {
                assert!(ended.elapsed() < Duration::from_secs(20), "a task does not end");
                tokio::task::yield_now().await;
                std::thread::sleep(Duration::from_micros(50));
            }
        });
        self.end(server);
        self.begin();
    }

    /// The server dies in the middle of whatever it does.
    fn slay_server(&mut self) {
        self.tell("kill server");
        self.remember();
        let server = self.server.take().expect("a server");
        self.end(server);
        self.begin();
    }

    fn end(&mut self, server: Server) {
        // Requests that were inside went with it.
        self.visits.clear();
        self.sim.forget_ways_in();
        let now = server.tokio.block_on(async { self.sim.time() });
        let Server { tokio, _clock: clock, .. } = server;
        drop(clock);
        tokio.shutdown_background();
        self.anchor(now);
    }

    fn lose_power(&mut self) {
        self.tell("power");
        self.remember();
        let server = self.server.take().expect("a server");
        self.end(server);
        self.sim.lose_power();
        let most = self.dice.pick(&[u64::MAX, 6 * DYNO, 4 * DYNO]);
        self.config.limits.memory.total_bytes = most;
        self.was_short |= most < u64::MAX;
        self.begin();
    }

    /// The machine's clock goes on from here with the next runtime.
    fn anchor(&self, now: Timestamp) {
        let clock = tokio();
        clock.block_on(async { self.sim.set_clock(now) });
        drop(clock);
    }

    /// The machine's journal learns which ways in there are.
    fn remember(&self) {
        if self.server.is_some() {
            self.sim.knows(&self.backends());
        }
    }

    fn begin(&mut self) {
        let now = self.sim.time();
        let (tokio, (clock, stop)) = (tokio(), mpsc::sync_channel::<()>(0));
        // While something blocks, the clock does not move by itself.
        tokio.spawn_blocking(move || stop.recv());
        let (cancel, tracker) = (CancellationToken::new(), TaskTracker::new());
        let App { store, blobs, outputs, logs, .. } = &self.app;
        let rooms = Rooms {
            store: store.clone(),
            blobs: blobs.clone(),
            outputs: outputs.clone(),
            logs: logs.clone(),
        };
        let (sim, config) = (self.sim.clone(), self.config.clone());
        let (token, tasks) = (cancel.clone(), tracker.clone());
        let dynos = tokio.block_on(async move {
            sim.set_clock(now);
            start_on(Runtime::Sim(sim), config, rooms, token, &tasks).await
        });
        let dynos = dynos.expect("a manager");
        self.server = Some(Server { tokio, dynos, cancel, tracker, _clock: clock });
    }

    /// Time passes, in steps; between them the server does what it can.
    fn pass(&mut self, time: Duration) {
        let steps = u32::try_from(time.as_secs() / 5).expect("small").max(3);
        for _ in 0..steps {
            self.settle(3);
            self.within(tokio::time::advance(time / steps));
            self.sim.progress();
        }
        self.settle(6);
    }

    /// Lets the server work until it has probably nothing more to do now.
    fn settle(&self, rounds: usize) {
        for _ in 0..rounds {
            self.within(async {
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
                // All that was asked of the database before is done then.
                let done = self.app.store.write(|_| Ok::<_, store::Error>(()));
                done.await.expect("the database works");
            });
            self.remember();
        }
    }

    fn rows(&self) -> Vec<Row> {
        self.within(self.app.store.read(store::dynos::open)).expect("rows")
    }

    /// What must be true at any time. Work that was still under way gets more time.
    fn check(&mut self) {
        let mut complaint = self.complaint();
        for _ in 0..20 {
            if complaint.is_none() {
                break;
            }
            self.settle(10);
            complaint = self.complaint();
        }
        assert_eq!(complaint, None, "{:#?}\n{:#?}", self.sim.journal(), self.rows());
        self.check_journal();
    }

    fn complaint(&self) -> Option<String> {
        let rows = self.rows();
        let open: HashMap<DynoId, &Row> = rows
            .iter()
            .filter(|row| row.ended_at.is_none())
            .map(|row| (row.dyno.id, row))
            .collect();
        let alive: HashSet<DynoId> = self.sim.alive().into_iter().collect();
        if let Some(orphan) = alive.iter().find(|id| !open.contains_key(id)) {
            return Some(format!("{orphan} runs, and no row speaks of it"));
        }
        let mut slots: HashMap<String, u32> = HashMap::new();
        let untold = open.values().filter(|row| row.stop_reason.is_none());
        for row in untold.filter(|row| alive.contains(&row.dyno.id)) {
            let name = row.dyno.name.to_string();
            let most = if self.gapless && name.starts_with("web") { 2 } else { 1 };
            let count = slots.entry(name.clone()).or_default();
            *count += 1;
            if *count > most {
                return Some(format!("{name} is doubled"));
            }
        }
        None
    }

    /// No dyno is started twice; none gets SIGTERM while requests may come or, within the time they
    /// are given, are inside; none is stopped for its successor before that has listened.
    fn check_journal(&mut self) {
        let (journal, rows) = (self.sim.journal(), self.rows());
        for (at, event) in journal.iter().enumerate().skip(self.checked) {
            match event {
                Event::Launched { dyno, name } => {
                    assert!(self.launched.insert(*dyno), "{name} was started twice");
                }
                Event::Signalled { dyno, signal: 15, gate, at: then } => {
                    let fair = match gate {
                        Gate::None | Gate::Shut(_, 0) => true,
                        Gate::Shut(since, _inside) => *since > PATIENT,
                        Gate::Open => false,
                    };
                    assert!(fair, "{dyno} got SIGTERM, {gate:?}: {journal:#?}");
                    let row = rows.iter().find(|row| row.dyno.id == *dyno);
                    if let (Some(row), Gate::Shut(since, _)) = (row, gate)
                        && self.gapless
                        && !self.was_short
                        && is_steady(row, *then, *since)
                    {
                        check_relieved(row, &journal[..at]);
                    }
                }
                Event::Signalled { .. } | Event::Opened { .. } | Event::Ended { .. } => {}
            }
        }
        self.checked = journal.len();
    }

    /// No more faults: what is wanted comes to be, and nothing else stays.
    fn calm_down(&mut self) {
        self.tell("calm");
        self.visits.clear();
        let mut last = String::new();
        for _ in 0..120 {
            self.sim.decide(Fate::default());
            self.pass(Duration::from_secs(2));
            self.check();
            match self.is_as_wanted() {
                Ok(()) => return,
                Err(why) => last = why,
            }
        }
        panic!("it does not calm down: {last}\n{:#?}", self.sim.journal());
    }

    fn is_as_wanted(&self) -> Result<(), String> {
        let rows = self.rows();
        let mut expected: Vec<String> = TYPES
            .iter()
            .flat_map(|name| (1..=self.wanted[name]).map(move |number| format!("{name}.{number}")))
            .collect();
        expected.sort_unstable();
        let alive = self.sim.alive();
        let mut here = Vec::new();
        for id in &alive {
            let row =
                rows.iter().find(|row| row.dyno.id == *id).ok_or("a process without a row")?;
            let dyno = &row.dyno;
            let good = dyno.release_version == self.version
                && dyno.state == model::DynoState::Up
                && row.stop_reason.is_none();
            if !good {
                return Err(format!("{row:?}"));
            }
            here.push(dyno.name.to_string());
        }
        here.sort_unstable();
        let room = self.config.limits.memory.total_bytes / DYNO;
        let enough = expected.len() as u64 <= room;
        let right = if enough {
            here == expected
        } else {
            here.len() as u64 == room && here.iter().all(|name| expected.contains(name))
        };
        if !right {
            return Err(format!("{here:?} for {expected:?} in {room}"));
        }
        let backends = self.backends();
        let webs = here.iter().filter(|name| name.starts_with("web")).count();
        if backends.len() != webs || backends.iter().any(|one| one.is_closed()) {
            return Err(format!("{backends:?} for {webs}"));
        }
        let unfinished = self.within(self.app.store.read(store::one_offs::unfinished));
        if !unfinished.expect("one-offs").is_empty() {
            return Err("a one-off goes on".to_owned());
        }
        Ok(())
    }
}

/// Whether a dyno whose gate has been shut for so long was known to be up before.
fn is_steady(row: &Row, now: Timestamp, shut: Duration) -> bool {
    row.dyno.up_at.is_some_and(|up| now.since(up) > shut + KNOWN)
}

/// A web dyno that is replaced is stopped only when another of its slot has listened, be it newer or not.
fn check_relieved(row: &Row, before: &[Event]) {
    let name = row.dyno.name.to_string();
    let replaced = matches!(row.stop_reason, Some(StopReason::Restart | StopReason::Cycling));
    if !replaced {
        return;
    }
    let is = |event: &Event| matches!(event, Event::Launched { dyno, .. } if *dyno == row.dyno.id);
    let born = before.iter().position(is).unwrap_or_default();
    let peer = |event: &Event| match event {
        Event::Launched { dyno, name: its } if *its == name => Some(*dyno),
        _ => None,
    };
    let mut peers: HashSet<DynoId> = before.iter().filter_map(peer).collect();
    peers.remove(&row.dyno.id);
    for event in &before[..born] {
        if let Event::Ended { dyno } = event {
            peers.remove(dyno);
        }
    }
    let mut opened = before.iter().filter_map(|event| match event {
        Event::Opened { dyno } => Some(dyno),
        _ => None,
    });
    let relieved = opened.any(|dyno| peers.contains(dyno));
    assert!(
        relieved,
        "{name} was stopped before another of its slot listened: {row:?} {before:#?}"
    );
}

/// A runtime whose clock stands still.
fn tokio() -> Tokio {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().expect("a runtime")
}

/// Memory, where the machine has a file system on it: hundreds of databases are made.
fn place() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.exists() { memory.to_owned() } else { std::env::temp_dir() }
}
