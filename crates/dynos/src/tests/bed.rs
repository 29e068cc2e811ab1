//! A manager on a pretended machine, with one app.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::dyno::{DynoKind, OneOff, Terminal};
use model::formation::Formation;
use model::release::ReleaseStatus;
use model::routes::{WebState, WebView};
use model::{
    Account, AccountId, App, AppId, ConfigVars, Dyno, DynoId, DynoName, DynoSize, FormationId,
    LogSink, Release, ReleaseId, Secret, Slug, SlugId, Timestamp,
};
use sandbox::protocol::{self, Limits, Root};
use store::restarts::Restart;
use store::{Poke, Store, Tx};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::launch::Launch;
use crate::manager::start_on;
use crate::runtime::Runtime;
use crate::runtime::sim::Sim;
use crate::{Addresses, Config, Dynos, Rooms, Timing};

/// Opens the attached one-offs of these tests.
pub(super) const SECRET: &str = "rv.1111111111111111111111111111111111111111";

/// Tells the limits of builds from all others.
pub(super) const BUILD_PIDS: u32 = 4711;

/// Whatever a test waits for has happened by then.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Bed {
    pub(super) sim: Sim,
    config: Config,
    rooms: Rooms,
    lines: Arc<Mutex<Vec<(String, String)>>>,
    app: AppId,
    account: AccountId,
    slug: SlugId,
    server: Option<Server>,
    _dir: tempfile::TempDir,
}

struct Server {
    dynos: Dynos,
    cancel: CancellationToken,
    tracker: TaskTracker,
}

impl Bed {
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut config = config(dir.path());
        change(&mut config);
        let (logs, lines) = log();
        let rooms = Rooms {
            store: Store::open(&dir.path().join("db"), [1; 32]).expect("a store"),
            blobs: store::blobs::BlobStore::open(&dir.path().join("blobs")).expect("blobs"),
            outputs: store::outputs::Outputs::open(&dir.path().join("outputs")).expect("outputs"),
            logs,
        };
        let (app, account, slug) = (AppId::random(), AccountId::random(), SlugId::random());
        let sim = Sim::default();
        let mut bed =
            Self { sim, config, rooms, lines, app, account, slug, server: None, _dir: dir };
        bed.settle_in().await;
        bed.new_server().await;
        bed
    }

    /// Ends the server, if one runs, and begins another on the same machine.
    pub(super) async fn new_server(&mut self) {
        self.stop_server().await;
        let (cancel, tracker) = (CancellationToken::new(), TaskTracker::new());
        let runtime = Runtime::Sim(self.sim.clone());
        let (config, rooms) = (self.config.clone(), self.rooms.clone());
        let dynos = start_on(runtime, config, rooms, cancel.clone(), &tracker).await;
        self.server = Some(Server { dynos: dynos.expect("a manager"), cancel, tracker });
    }

    /// Ends the server; every one of its tasks must end.
    pub(super) async fn stop_server(&mut self) {
        if let Some(server) = self.server.take() {
            server.cancel.cancel();
            server.tracker.close();
            let ended = tokio::time::timeout(PATIENCE, server.tracker.wait()).await;
            ended.expect("all tasks end on shutdown");
        }
    }

    pub(super) fn dynos(&self) -> &Dynos {
        &self.server.as_ref().expect("a server runs").dynos
    }

    /// Waits until `condition` holds.
    pub(super) async fn wait(&self, what: &str, condition: impl AsyncFn(&Self) -> bool) {
        let until = tokio::time::Instant::now() + PATIENCE;
        while !condition(self).await {
            if tokio::time::Instant::now() > until {
                let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
                panic!("waited in vain for {what}; the log: {lines:#?}");
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }

    /// Waits until the manager reports the newest generation as made true.
    pub(super) async fn settled(&self) {
        self.wait("the generation to be observed", async |bed| {
            let desired = bed.rooms.store.read(|db| store::desired::read(db)).await;
            let app = desired.expect("desired").apps.remove(0);
            app.observed_generation == app.generation
        })
        .await;
    }

    /// Releases a new version with these config vars; the formation stays.
    pub(super) async fn deploy(&self, config: &[(&str, &str)]) -> ReleaseId {
        let config = config.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let config = ConfigVars(config.collect());
        let (app, account, slug, now) = (self.app, self.account, self.slug, Timestamp::now());
        let id = ReleaseId::random();
        self.intend(move |tx| {
            let version = store::releases::newest(tx, app)?.map_or(1, |newest| newest.version + 1);
            let release = Release {
                id,
                app,
                version,
                description: "Deploy".into(),
                actor: account,
                actor_email: String::new(),
                slug: Some(slug),
                config,
                status: ReleaseStatus::Succeeded,
                current: true,
                has_output: false,
                hash: version.to_string(),
                created_at: now,
                updated_at: now,
            };
            store::releases::insert(tx, &release, "")
        })
        .await;
        id
    }

    pub(super) async fn scale(&self, formation: &[(&str, u32, &str)]) {
        let (app, now) = (self.app, Timestamp::now());
        let row = |&(name, quantity, command): &(&str, u32, &str)| Formation {
            id: FormationId::random(),
            app,
            process_type: name.parse().expect("a process type"),
            command: command.to_owned(),
            quantity,
            size: DynoSize::Standard1X,
            created_at: now,
            updated_at: now,
        };
        let rows: Vec<_> = formation.iter().map(row).collect();
        self.intend(move |tx| rows.iter().try_for_each(|row| store::formations::save(tx, row)))
            .await;
    }

    pub(super) async fn restart(&self, target: &str) {
        let restart = Restart { target: target.to_owned(), not_before: Timestamp::now() };
        let app = self.app;
        self.intend(move |tx| store::restarts::save(tx, app, &restart)).await;
    }

    pub(super) async fn destroy(&self) {
        let (app, now) = (self.app, Timestamp::now());
        self.intend(move |tx| store::apps::mark_deleted(tx, app, now)).await;
    }

    pub(super) async fn one_off(
        &self,
        kind: DynoKind,
        command: &str,
        terminal: Terminal,
    ) -> DynoId {
        let once = self.wish(kind, command, terminal).await;
        let id = once.id;
        self.intend(move |tx| store::one_offs::insert(tx, &once)).await;
        id
    }

    /// One that is cancelled in the transaction that makes it.
    pub(super) async fn cancelled_one_off(&self, command: &str) -> DynoId {
        let once = self.wish(DynoKind::Run, command, Terminal::Detached).await;
        let id = once.id;
        self.intend(move |tx| {
            store::one_offs::insert(tx, &once)?;
            store::one_offs::cancel(tx, id, Timestamp::now())
        })
        .await;
        id
    }

    pub(super) async fn cancel(&self, once: DynoId) {
        self.intend(move |tx| store::one_offs::cancel(tx, once, Timestamp::now())).await;
    }

    /// What `ps` lists: name, state, version.
    pub(super) async fn ps(&self) -> Vec<String> {
        let line =
            |dyno: Dyno| format!("{} {} v{}", dyno.name, dyno.state.as_str(), dyno.release_version);
        self.rows().await.into_iter().map(line).collect()
    }

    pub(super) async fn rows(&self) -> Vec<Dyno> {
        let app = self.app;
        let rows = self.rooms.store.read(move |db| store::dynos::of_app(db, app)).await;
        rows.expect("rows")
    }

    /// What this process of the log has said.
    pub(super) async fn said(&self, process: &str) -> Vec<String> {
        // Lines pass through a thread; a line of our own comes last.
        let mark = DynoId::random().to_string();
        self.rooms.logs.say(self.app, model::log::Source::Heroku, "mark", mark.clone());
        self.wait("the log", async |bed| {
            let lines = bed.lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.iter().any(|(_, text)| *text == mark)
        })
        .await;
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let of_process = lines.iter().filter(|(who, _)| who == process);
        of_process.map(|(_, text)| text.clone()).collect()
    }

    pub(super) async fn view(&self) -> WebView {
        let views = self.dynos().views().borrow().clone();
        let none = || WebView { state: WebState::Blank, backends: Vec::new().into() };
        views.get(&self.app).cloned().unwrap_or_else(none)
    }

    pub(super) async fn addresses(&self) -> Vec<SocketAddr> {
        let view = self.view().await;
        let mut addresses: Vec<_> = view.backends.iter().map(|one| one.address).collect();
        addresses.sort_unstable();
        addresses
    }

    pub(super) async fn output(&self, dyno: DynoId) -> String {
        let mut follow = self.rooms.outputs.follow(dyno).await.expect("readable").expect("there");
        let mut text = Vec::new();
        while let Some(bytes) = follow.next().await.expect("read") {
            text.extend_from_slice(&bytes);
        }
        String::from_utf8(text).expect("text")
    }

    pub(super) async fn release_output(&self, release: ReleaseId) -> String {
        let verdict = store::outputs::Verdict::Succeeded;
        self.rooms.outputs.finish(release, verdict).expect("finished");
        let mut follow =
            self.rooms.outputs.follow(release).await.expect("readable").expect("there");
        let mut text = Vec::new();
        while let Some(bytes) = follow.next().await.expect("read") {
            text.extend_from_slice(&bytes);
        }
        String::from_utf8(text).expect("text")
    }

    /// How many processes the machine has.
    pub(super) async fn processes(&self) -> usize {
        Runtime::Sim(self.sim.clone()).list().await.expect("a list").len()
    }

    /// Puts a process on the machine that no row speaks of.
    pub(super) async fn haunt(&self) {
        self.sim.haunt(Launch {
            id: DynoId::random(),
            argv: vec!["work".into()],
            env: BTreeMap::new(),
            cwd: "/".into(),
            slug: None,
            mounts: Vec::new(),
            limits: self.config.build_limits,
            terminal: protocol::Terminal::Output,
            port: 1,
            shown_command: "work".into(),
        });
    }

    async fn wish(&self, kind: DynoKind, command: &str, terminal: Terminal) -> OneOff {
        let process_type = match kind {
            DynoKind::Formation | DynoKind::Run => "run",
            DynoKind::Release => "release",
            DynoKind::Build => "build",
        };
        let process_type = process_type.parse().expect("a process type");
        let app = self.app;
        let current = self.rooms.store.read(move |db| store::releases::current(db, app)).await;
        OneOff {
            id: DynoId::random(),
            app,
            name: DynoName { process_type, number: 4821 },
            kind,
            release: current.expect("releases").map(|release| release.id),
            command: command.to_owned(),
            env: BTreeMap::new(),
            mounts: Vec::new(),
            size: DynoSize::Standard1X,
            terminal,
            time_to_live_seconds: 3600,
            attach_secret: terminal.is_attached().then(|| Secret::new(SECRET)),
            actor: self.account,
            created_at: Timestamp::now(),
            cancelled_at: None,
        }
    }

    /// Writes intent as `control` does.
    async fn intend(&self, change: impl FnOnce(&mut Tx<'_>) -> store::Result<()> + Send + 'static) {
        let app = self.app;
        let done = self.rooms.store.write(move |tx| {
            change(tx)?;
            store::apps::raise_generation(tx, app)?;
            tx.poke(Poke::Dynos);
            Ok::<_, store::Error>(())
        });
        done.await.expect("written");
    }

    /// The account, the app and its slug.
    async fn settle_in(&mut self) {
        let now = Timestamp::now();
        let email = "owner@example.com".to_owned();
        let account = Account {
            id: self.account,
            email: email.clone(),
            name: None,
            created_at: now,
            updated_at: now,
        };
        let app = App {
            id: self.app,
            name: "demo".parse().expect("a name"),
            owner: self.account,
            owner_email: email,
            stack: "heroku-24".into(),
            build_stack: "heroku-24".into(),
            maintenance: false,
            buildpack_description: None,
            generation: 1,
            repo_bytes: None,
            slug_bytes: None,
            created_at: now,
            updated_at: now,
            released_at: None,
            deleted_at: None,
        };
        let slug = Slug {
            id: self.slug,
            app: self.app,
            blob: "0".repeat(64),
            bytes: 1,
            commit: None,
            buildpack_description: None,
            process_types: BTreeMap::new(),
            stack: "heroku-24".into(),
            created_at: now,
        };
        let done = self.rooms.store.write(move |tx| {
            store::accounts::insert(tx, &account, None)?;
            store::apps::insert(tx, &app, &ConfigVars::default())?;
            store::slugs::insert(tx, &slug)
        });
        done.await.expect("settled in");
    }
}

type Lines = Arc<Mutex<Vec<(String, String)>>>;

/// A log that remembers who said what.
fn log() -> (LogSink, Lines) {
    let (logs, queue, _lost) = LogSink::channel(4096);
    let lines = Lines::default();
    let kept = lines.clone();
    std::thread::spawn(move || {
        for entry in queue.into_iter().flatten() {
            let who = format!("{}[{}]", entry.source.as_str(), entry.process);
            kept.lock().unwrap_or_else(PoisonError::into_inner).push((who, entry.text));
        }
    });
    (logs, lines)
}

fn config(dir: &std::path::Path) -> Config {
    Config {
        exe: "/nonexistent".into(),
        run_dir: dir.to_owned(),
        scratch: None,
        runtime: "/usr/bin/crun".into(),
        cgroup_parent: "test".into(),
        root: Root::Host,
        addresses: Addresses {
            first: Ipv4Addr::new(10, 1, 0, 0),
            slots: 10,
            interface_prefix: "t-".into(),
            id_base: 65_536,
        },
        disk_bytes: 1 << 30,
        open_files: 10_000,
        build_limits: Limits {
            memory_bytes: 1 << 30,
            memory_quota_bytes: 1 << 30,
            cpu_shares: 1024,
            cpu_millis: None,
            pids: BUILD_PIDS,
            open_files: 10_000,
            disk_bytes: 1 << 30,
        },
        timing: Timing { route_lag: Duration::from_millis(10), ..Timing::default() },
        limits: model::plan::Limits::default(),
    }
}
