//! `hythe server`: builds the rooms, joins them, runs until told to stop, and takes them down in
//! order: the router first, the log last. Dynos are left alone unless `--stop-dynos` was given.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use builds::Builder;
use control::traffic::Traffic;
use control::{Control, Scheme};
use dynos::Dynos;
use git::GitState;
use logplex::Logplex;
use model::log::Lost;
use model::traffic::Report;
use model::{AppId, LogSink};
use router::{Drained, Handover, Listen, Routes, Running, Tls};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::first_start::Lock;
use crate::foundation::Foundation;
use crate::platform::{self, Platform};
use crate::settings::{Flags, Settings};
use crate::takeover::{Predecessor, Successor};
use crate::{
    certificates, environment, first_start, foundation, gap, metrics, open_files, ports,
    service_manager,
};

/// Batches of log lines that may wait for Logplex; beyond it they are dropped and counted.
const LOG_BATCHES: usize = 4096;
/// Connections to the platform that may wait to be served; beyond it the router answers 503.
const HANDOVERS: usize = 1024;
/// Requests for sleeping apps that may wait to be heard.
const WAKES: usize = 1024;
/// Reports of traffic that may wait; beyond it the router's threads go on adding.
const REPORTS: usize = 64;
/// Requests under way may take so long when the server stops.
const DRAIN: Duration = Duration::from_secs(30);
/// The same when another server takes over: they are in nobody's way.
const DRAIN_BESIDE: Duration = Duration::from_secs(60 * 60);
/// Connections to the platform may take so long then; who connects meanwhile waits.
const LAST_ANSWERS: Duration = Duration::from_secs(10);
/// Builds under way may take so long before another server takes over.
const LAST_BUILDS: Duration = Duration::from_secs(15 * 60);
/// Everything else may take so long.
const WIND_DOWN: Duration = Duration::from_secs(15);

/// Runs the platform until SIGTERM or SIGINT, or until another server has taken over.
///
/// # Errors
/// When it cannot start; the text says what was attempted.
pub fn run(flags: Flags) -> anyhow::Result<()> {
    trace();
    // What is private is in private directories; what dynos must read may not depend on the shell
    // that started the server.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    open_files::raise_limit();
    if let Some(step) = flags.crash_at {
        model::steps::arm(step);
    }
    if let Some(step) = flags.crash_shim_at {
        sandbox::steps::arm(step);
    }
    let take_over = flags.take_over;
    let mut settings = Settings::read(flags)?;
    let mut before = take_over.then(Predecessor::at_standard_input).transpose()?;
    let sockets = match &mut before {
        Some(before) => before.sockets()?,
        None => service_manager::sockets()?,
    };
    ports::adopt(&mut settings.listen, &sockets)?;
    let lock = match before {
        Some(_) => first_start::wait_for_lock(&settings.data_dir)?,
        None => first_start::lock(&settings.data_dir)?,
    };
    let start = Start { lock, sockets, before };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("hythe")
        .build()
        .context("start the async runtime")?;
    let result = runtime.block_on(serve(settings, start));
    // Whatever blocks in a thread now may not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

fn trace() {
    let filter = environment::LOG.get().unwrap_or_else(|| "info".to_owned());
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
}

/// What a server starts with.
struct Start {
    lock: Lock,
    /// Sockets that listen already.
    sockets: Vec<TcpListener>,
    /// The server to be taken over from.
    before: Option<Predecessor>,
}

/// What a server is told in the end.
enum Order {
    Stop,
    /// Another server takes over.
    HandOver(Successor),
}

async fn serve(mut settings: Settings, start: Start) -> anyhow::Result<()> {
    // From here on the signal does not end the process, however early it comes.
    let upgrade = signal(SignalKind::user_defined2()).context("listen for SIGUSR2")?;
    let reserved = ports::reserve(&mut settings.listen)?;
    let (sink, lines, lost) = LogSink::channel(LOG_BATCHES);
    let logs = start_logs(&settings, lines, lost)?;
    let foundation = Foundation::lay(settings, sink.clone()).await?;
    if start.before.is_none() {
        gap::announce(&foundation, &logs).await?;
    }
    let house = House::start(&foundation, logs.clone(), start.sockets).await?;
    drop(reserved);
    announce(&foundation, &house.router);
    if let Some(before) = start.before {
        before.relieve(sink.clone())?;
    }
    let order = wait_for_order(&foundation.control, upgrade).await?;
    let (all_ended, left) = match order {
        Order::Stop => (house.wind_down(foundation.settings.stop_dynos).await, None),
        Order::HandOver(successor) => {
            let (all_ended, left) = house.let_go(successor).await;
            (all_ended, Some(left))
        }
    };
    gap::note(&foundation.settings.data_dir);
    let end_logs = {
        let sink = sink.clone();
        move || logs.shutdown(&sink)
    };
    tokio::task::spawn_blocking(end_logs).await.context("end the log")?;
    drop((foundation, start.lock));
    match left {
        None => tracing::info!(all_ended, "The server has stopped."),
        Some(left) if all_ended => left.go(sink).await?,
        // Something may still write: the new server must wait for this process's end.
        Some(left) => left.successor.give(&left.sockets)?,
    }
    Ok(())
}

fn start_logs(
    settings: &Settings,
    lines: std::sync::mpsc::Receiver<Vec<model::LogEntry>>,
    lost: Arc<Lost>,
) -> anyhow::Result<Logplex> {
    let config = logplex::Config {
        directory: Some(settings.data_dir.join("logs")),
        keep_for: settings.logs.keep_for,
        disk: logplex::DiskConfig {
            bytes_per_app: settings.logs.app_bytes,
            bytes_overall: settings.logs.total_bytes,
            ..logplex::DiskConfig::default()
        },
        ..logplex::Config::default()
    };
    logplex::start(lines, lost, config).context("start Logplex")
}

/// The rooms at work, and the tasks they run in.
struct House {
    router: Running,
    dynos: Dynos,
    logs: Logplex,
    /// Reconcilers, jobs and connections.
    tasks: TaskTracker,
    /// Connections to the platform.
    connections: TaskTracker,
    /// Tells connections to finish, before anything they need is taken away.
    stop_connections: CancellationToken,
    /// Tells the rest.
    stop: CancellationToken,
}

impl House {
    async fn start(
        foundation: &Foundation,
        logs: Logplex,
        sockets: Vec<TcpListener>,
    ) -> anyhow::Result<Self> {
        let (tasks, connections) = (TaskTracker::new(), TaskTracker::new());
        let stop = CancellationToken::new();
        let stop_connections = CancellationToken::new();
        gap::keep(foundation.settings.data_dir.clone(), &tasks, stop.clone());

        // Requests are taken, and wait, while the dynos that still run are being found.
        let (views, seen) = watch::channel(dynos::Views::default());
        let routes = Routes::new();
        publish_routes(foundation, &routes, seen, &tasks, &stop).await;
        foundation.certificates.start(&foundation.control, &tasks, &stop).await;
        let (handover, handovers) = mpsc::channel(HANDOVERS);
        let (wake, asleep) = mpsc::channel(WAKES);
        let traffic = Traffic::default();
        let report = start_traffic(foundation, &traffic, &tasks, &stop);
        let router = start_router(foundation, routes, sockets, Ways { wake, handover, report })?;

        // Before dynos start, so that none is started for a build that nobody works on.
        let control = &foundation.control;
        control::builds::end_interrupted(control).await.context("end interrupted builds")?;
        let dynos = start_dynos(foundation, &tasks, &stop).await?;
        tasks.spawn(copy_views(dynos.views(), views));
        let waking = wake_apps(dynos.clone(), asleep);
        tasks.spawn(stop.clone().run_until_cancelled_owned(waking));
        let git = start_git(foundation, &tasks, &stop)?;
        start_jobs(foundation, &dynos, &tasks, &stop);
        start_log_rules(foundation, &logs, &tasks, &stop)?;
        let drains = start_drains(foundation, &logs, &tasks, &stop).await?;
        tasks.spawn(gap::forget_destroyed(foundation.control.clone(), logs.clone(), stop.clone()));

        let api_config = foundation.api_config()?;
        let api =
            api::ApiState::new(foundation.control.clone(), logs.clone(), api_config, tasks.clone())
                .with_drains(drains)
                .with_buildpacks(builds::buildpack_names())
                .with_sizes(foundation.settings.sizes.clone());
        let platform = Platform::new(
            own_routes(foundation, traffic)?,
            api::router(api),
            git::router(git),
            dynos.clone(),
            connections.clone(),
            stop_connections.clone(),
        );
        tasks.spawn(stop.clone().run_until_cancelled_owned(platform.run(handovers)));
        Ok(Self { router, dynos, logs, tasks, connections, stop_connections, stop })
    }

    /// In order: no new connections; tails and connections end; jobs and reconcilers end. Answers
    /// whether everything ended by itself.
    async fn wind_down(self, stop_dynos: bool) -> bool {
        self.logs.end_sessions();
        self.stop_connections.cancel();
        let drained = self.router.shutdown(DRAIN).await;
        if stop_dynos {
            self.dynos.stop_all().await;
        }
        end(&self.stop, &self.tasks).await && drained == Drained::All
    }

    /// Ends everything but the router, which takes no more connections and lets the requests under
    /// way end, so that `successor` can take over. Answers whether that went well, and what is left.
    async fn let_go(mut self, successor: Successor) -> (bool, Left) {
        let sockets = self.router.take_sockets();
        let router = tokio::spawn(self.router.shutdown(DRAIN_BESIDE));
        self.logs.end_sessions();
        self.stop_connections.cancel();
        self.connections.close();
        // Who takes longer than that is told by the connection's end.
        let _ = tokio::time::timeout(LAST_ANSWERS, self.connections.wait()).await;
        let ended = end(&self.stop, &self.tasks).await;
        sandbox::network::release();
        (ended, Left { successor, sockets, router })
    }
}

/// Ends jobs and reconcilers; answers whether they did by themselves.
async fn end(stop: &CancellationToken, tasks: &TaskTracker) -> bool {
    stop.cancel();
    tasks.close();
    tokio::time::timeout(WIND_DOWN, tasks.wait()).await.is_ok()
}

/// What is left of a server that another takes over from.
struct Left {
    successor: Successor,
    sockets: Vec<TcpListener>,
    /// Its last requests.
    router: JoinHandle<Drained>,
}

impl Left {
    /// Lets the successor serve, and waits for the last requests; what they have to say to the log
    /// goes to it.
    async fn go(self, sink: LogSink) -> anyhow::Result<()> {
        let Self { mut successor, sockets, router } = self;
        let (late, lines, _) = LogSink::channel(LOG_BATCHES);
        sink.bequeath(late.clone());
        let told = tokio::task::spawn_blocking(move || {
            successor.give(&sockets)?;
            drop(sockets);
            successor.serves()?;
            tracing::info!("Another server has taken over.");
            successor.tell(&lines);
            anyhow::Ok(())
        });
        let mut told = told;
        let drained = tokio::select! {
            // Without a successor there is nothing to wait for: let the service manager act.
            ended = &mut told => return ended.context("watch the new server")?,
            // The last request has ended: its line is on its way.
            drained = router => drained.context("wait for the last requests")?,
        };
        late.wake();
        told.await.context("send the last log lines")??;
        tracing::info!(?drained, "The last request has ended.");
        Ok(())
    }
}

/// Starts the reconciler of routes, and waits for its first table.
async fn publish_routes(
    foundation: &Foundation,
    routes: &Routes,
    views: watch::Receiver<dynos::Views>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let mut changed = routes.changed();
    let publisher = routes.clone();
    let publish = move |table| publisher.publish(table);
    let control = foundation.control.clone();
    tasks.spawn(control::routes::run(control, views, publish, stop.clone()));
    // An error would mean that the routes are gone, and they are ours.
    let _first_table = changed.changed().await;
}

/// Ways out of the router.
struct Ways {
    wake: mpsc::Sender<AppId>,
    handover: mpsc::Sender<Handover>,
    report: mpsc::Sender<Report>,
}

/// Sums up and keeps what the router reports; gives where it reports to.
fn start_traffic(
    foundation: &Foundation,
    traffic: &Traffic,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> mpsc::Sender<Report> {
    let (report, reports) = mpsc::channel(REPORTS);
    let control = foundation.control.clone();
    tasks.spawn(control::traffic::run(control, traffic.clone(), reports, stop.clone()));
    report
}

/// What the platform's hosts serve besides the API and git.
fn own_routes(foundation: &Foundation, traffic: Traffic) -> anyhow::Result<axum::Router> {
    let data_dir = &foundation.settings.data_dir;
    let token = first_start::metrics_token(data_dir)?;
    let metrics = metrics::route(foundation.control.clone(), traffic, token);
    Ok(platform::ca_route(certificates::ca(data_dir)?).merge(metrics))
}

fn start_router(
    foundation: &Foundation,
    routes: Routes,
    sockets: Vec<TcpListener>,
    ways: Ways,
) -> anyhow::Result<Running> {
    let certificates = foundation.certificates.certificates();
    let tls = |addr: &SocketAddr| match foundation.settings.schemes.get(addr) {
        None => Tls::Sniffed(certificates.clone()),
        Some(Scheme::Http) => Tls::Off,
        Some(Scheme::Https) => Tls::Required(certificates.clone()),
    };
    let listen = |&addr: &SocketAddr| Listen { addr, tls: tls(&addr) };
    let listen = foundation.settings.listen.iter().map(listen).collect();
    let mut config = router::Config::new(listen, ways.wake);
    config.traffic = ways.report;
    config.threads = foundation.settings.workers.try_into().unwrap_or(config.threads);
    router::start_on(sockets, config, routes, foundation.control.logs.clone(), ways.handover)
        .context("start the router")
}

async fn start_dynos(
    foundation: &Foundation,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<Dynos> {
    let control = &foundation.control;
    let rooms = dynos::Rooms {
        store: control.store.clone(),
        blobs: control.blobs.clone(),
        outputs: control.outputs.clone(),
        logs: control.logs.clone(),
    };
    let config = foundation::dynos_config(&foundation.settings)?;
    dynos::start(config, rooms, stop.clone(), tasks).await.context("start the dyno manager")
}

/// The dyno manager's views reach the routes through this copy, because routes are there first.
async fn copy_views(mut from: watch::Receiver<dynos::Views>, to: watch::Sender<dynos::Views>) {
    loop {
        to.send_replace(from.borrow_and_update().clone());
        if from.changed().await.is_err() {
            return;
        }
    }
}

/// Tells the dyno manager of requests for sleeping apps.
async fn wake_apps(dynos: Dynos, mut asleep: mpsc::Receiver<AppId>) {
    while let Some(app) = asleep.recv().await {
        dynos.wake(app).await;
    }
}

fn start_git(
    foundation: &Foundation,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<GitState> {
    let config = foundation.git_config()?;
    let state = GitState::open(config, foundation.control.clone(), tasks.clone(), stop.clone())
        .context("start git")?;
    let hooks = git::serve_hooks(state.clone());
    tasks.spawn(async move {
        if let Err(error) = hooks.await {
            tracing::error!(error = &error as &dyn std::error::Error, "hooks are not served");
        }
    });
    Ok(state)
}

/// Starts the drains. Waits until it is known which are wanted, so that none misses a line.
async fn start_drains(
    foundation: &Foundation,
    logs: &Logplex,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<logplex::Drains> {
    let control = foundation.control.clone();
    let wanted = control::log_drains::wanted(&control).await.context("read the drains")?;
    let (publisher, wanted) = watch::channel(Arc::new(wanted));
    tasks.spawn(control::log_drains::run(control, publisher, stop.clone()));
    let config = foundation::drains_config(&foundation.settings);
    logs.start_drains(wanted, config, tasks, stop.clone()).context("start the drains")
}

/// Starts the rules that tell somebody of log lines.
fn start_log_rules(
    foundation: &Foundation,
    logs: &Logplex,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let (publisher, wanted) = watch::channel(Arc::default());
    let control = foundation.control.clone();
    tasks.spawn(control::log_rules::publish(control, publisher, stop.clone()));
    let doors = foundation::drains_config(&foundation.settings);
    let config = logplex::rules::Config::new(doors, foundation.settings.mail.clone());
    logs.start_rules(wanted, config, tasks, stop.clone()).context("start the log rules")?;
    Ok(())
}

fn start_jobs(
    foundation: &Foundation,
    dynos: &Dynos,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let control: Control = foundation.control.clone();
    tasks.spawn(control::release_phase::run(control.clone(), stop.clone()));
    tasks.spawn(control::garbage::run(control.clone(), stop.clone()));
    let builder = Builder { control, dynos: dynos.clone(), config: foundation.builds_config() };
    let stop = stop.clone();
    tasks.spawn(async move {
        if let Err(error) = builds::run(builder, stop).await {
            tracing::error!(error = &error as &dyn std::error::Error, "the builder has stopped");
        }
    });
}

/// Says where the platform is. The lines `ready http://ADDRESS` are for programs.
#[allow(clippy::print_stdout, reason = "the operator, and the tests, read where the server is")]
fn announce(foundation: &Foundation, router: &Running) {
    if let Some((email, token)) = &foundation.first_account {
        println!("Made the account {email}. Its API token, shown only this once:");
        println!("  {}", token.reveal());
    }
    println!("Hythe is at {}", foundation.public_url());
    for address in &router.addrs {
        let scheme = match foundation.settings.schemes.get(address) {
            Some(Scheme::Https) => "https",
            Some(Scheme::Http) | None => "http",
        };
        println!("ready {scheme}://{address}");
    }
    service_manager::notify_ready();
}

/// Waits for the order to stop, or to let a new server take over.
async fn wait_for_order(control: &Control, mut upgrade: Signal) -> anyhow::Result<Order> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    loop {
        // Any arm, dropped, has lost nothing: signals are counted from the calls above on. A
        // successor that is dropped hears of it by the end of its socket, and ends.
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            successor = successor(&mut upgrade, control) => match successor {
                Ok(successor) => return Ok(Order::HandOver(successor)),
                Err(error) => tracing::error!("No new server takes over: {error:#}"),
            },
        }
    }
    tracing::info!("Stopping.");
    Ok(Order::Stop)
}

/// Waits for SIGUSR2, then for the end of all builds, and starts the new server.
async fn successor(upgrade: &mut Signal, control: &Control) -> anyhow::Result<Successor> {
    upgrade.recv().await;
    tracing::info!("A new server is to take over.");
    if tokio::time::timeout(LAST_BUILDS, control::builds::until_none_is_pending(control))
        .await
        .is_err()
    {
        tracing::warn!("Builds are still under way; they will be interrupted.");
    }
    tokio::task::spawn_blocking(Successor::start).await.context("start the new server")?
}
