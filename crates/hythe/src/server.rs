//! `hythe server`: builds the rooms, joins them, runs until told to stop, and takes them down in
//! order: the router first, the log last. Dynos are left alone unless `--stop-dynos` was given.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use builds::Builder;
use control::Control;
use control::traffic::Traffic;
use dynos::Dynos;
use git::GitState;
use logplex::Logplex;
use model::log::Lost;
use model::traffic::Report;
use model::{AppId, LogSink};
use router::{Handover, Listen, Routes, Running, Tls};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::foundation::Foundation;
use crate::platform::{self, Platform};
use crate::settings::{Flags, Settings};
use crate::{certificates, environment, first_start, foundation, gap, metrics, open_files, ports};

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
/// Everything else may take so long.
const WIND_DOWN: Duration = Duration::from_secs(15);

/// Runs the platform until SIGTERM or SIGINT.
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
    let settings = Settings::read(flags)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("hythe")
        .build()
        .context("start the async runtime")?;
    let result = runtime.block_on(serve(settings));
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

async fn serve(mut settings: Settings) -> anyhow::Result<()> {
    let _lock = first_start::lock(&settings.data_dir)?;
    let reserved = ports::reserve(&mut settings.listen)?;
    let (sink, lines, lost) = LogSink::channel(LOG_BATCHES);
    let logs = start_logs(&settings, lines, lost)?;
    let foundation = Foundation::lay(settings, sink.clone()).await?;
    let house = House::start(&foundation, logs.clone()).await?;
    drop(reserved);
    announce(&foundation, &house.router);
    let stop_dynos = wait_for_signal(&foundation).await?;
    let all_ended = house.wind_down(stop_dynos).await;
    gap::note(&foundation.settings.data_dir);
    tokio::task::spawn_blocking(move || logs.shutdown(&sink)).await.context("end the log")?;
    tracing::info!(all_ended, "The server has stopped.");
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
    /// Tells connections to finish, before anything they need is taken away.
    stop_connections: CancellationToken,
    /// Tells the rest.
    stop: CancellationToken,
}

impl House {
    async fn start(foundation: &Foundation, logs: Logplex) -> anyhow::Result<Self> {
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let stop_connections = CancellationToken::new();
        gap::announce(foundation, &logs).await?;
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
        let router = start_router(foundation, routes, Ways { wake, handover, report })?;

        // Before dynos start, so that none is started for a build that nobody works on.
        let control = &foundation.control;
        control::builds::end_interrupted(control).await.context("end interrupted builds")?;
        let dynos = start_dynos(foundation, &tasks, &stop).await?;
        tasks.spawn(copy_views(dynos.views(), views));
        tasks.spawn(wake_apps(dynos.clone(), asleep));
        let git = start_git(foundation, &tasks, &stop)?;
        start_jobs(foundation, &dynos, &tasks, &stop);
        start_log_rules(foundation, &logs, &tasks, &stop)?;
        tasks.spawn(gap::forget_destroyed(foundation.control.clone(), logs.clone(), stop.clone()));

        let api_config = foundation.api_config()?;
        let api =
            api::ApiState::new(foundation.control.clone(), logs.clone(), api_config, tasks.clone())
                .with_buildpacks(builds::buildpack_names())
                .with_sizes(foundation.settings.sizes.clone());
        let platform = Platform::new(
            own_routes(foundation, traffic)?,
            api::router(api),
            git::router(git),
            dynos.clone(),
            tasks.clone(),
            stop_connections.clone(),
        );
        // Ends when the router, the only sender, is gone.
        tasks.spawn(platform.run(handovers));
        Ok(Self { router, dynos, logs, tasks, stop_connections, stop })
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
        self.stop.cancel();
        self.tasks.close();
        let ended = tokio::time::timeout(WIND_DOWN, self.tasks.wait()).await;
        ended.is_ok() && drained == router::Drained::All
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

fn start_router(foundation: &Foundation, routes: Routes, ways: Ways) -> anyhow::Result<Running> {
    let tls = Tls::Sniffed(foundation.certificates.certificates().clone());
    let listen = |&addr: &SocketAddr| Listen { addr, tls: tls.clone() };
    let listen = foundation.settings.listen.iter().map(listen).collect();
    let mut config = router::Config::new(listen, ways.wake);
    config.traffic = ways.report;
    config.threads = foundation.settings.workers.try_into().unwrap_or(config.threads);
    router::start(config, routes, foundation.control.logs.clone(), ways.handover)
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

/// Tells the dyno manager of requests for sleeping apps. Ends when the router, the only sender, is
/// gone.
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

/// Says where the platform is. The line `ready http://ADDRESS` is for programs.
#[allow(clippy::print_stdout, reason = "the operator, and the tests, read where the server is")]
fn announce(foundation: &Foundation, router: &Running) {
    if let Some((email, token)) = &foundation.first_account {
        println!("Made the account {email}. Its API token, shown only this once:");
        println!("  {}", token.reveal());
    }
    println!("Hythe is at {}", foundation.public_url());
    for address in &router.addrs {
        println!("ready http://{address}");
    }
}

/// Waits for the order to stop; answers whether the dynos are to stop too.
async fn wait_for_signal(foundation: &Foundation) -> anyhow::Result<bool> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    // Either arm, dropped, has lost nothing: the first signal ends the wait.
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("Stopping.");
    Ok(foundation.settings.stop_dynos)
}
