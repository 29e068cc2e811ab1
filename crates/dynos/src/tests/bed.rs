//! A manager on a pretended machine, with one app.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::time::Duration;

use model::dyno::DynoKind;
use model::routes::{WebState, WebView};
use model::{Dyno, DynoId, DynoSize, DynoState, ReleaseId, Timestamp};
use sandbox::protocol::{self, Limits, Root};
use store::blobs::BlobStore;
use store::dynos::Life;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::launch::{Launch, Recorded};
use crate::manager::start_on;
use crate::runtime::Runtime;
use crate::runtime::sim::Sim;
use crate::{Addresses, Config, Dynos, Rooms, Timing};

use super::app::{App, PATIENCE};

/// Tells the limits of builds from all others.
pub(super) const BUILD_PIDS: u32 = 4711;

/// A manager on a pretended machine.
pub(super) struct Bed {
    pub(super) sim: Sim,
    app: App,
    config: Config,
    server: Option<Server>,
    _dir: tempfile::TempDir,
}

struct Server {
    dynos: Dynos,
    cancel: CancellationToken,
    tracker: TaskTracker,
}

impl Deref for Bed {
    type Target = App;
    fn deref(&self) -> &App {
        &self.app
    }
}

impl Bed {
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut config = config(dir.path());
        change(&mut config);
        let app = App::found(dir.path(), slug).await;
        let mut bed = Self { sim: Sim::default(), app, config, server: None, _dir: dir };
        bed.new_server().await;
        bed
    }

    /// Ends the server, if one runs, and begins another on the same machine.
    pub(super) async fn new_server(&mut self) {
        self.stop_server().await;
        let (cancel, tracker) = (CancellationToken::new(), TaskTracker::new());
        let runtime = Runtime::Sim(self.sim.clone());
        let config = self.config.clone();
        let App { store, blobs, outputs, logs, .. } = &self.app;
        let (store, blobs) = (store.clone(), blobs.clone());
        let rooms = Rooms { store, blobs, outputs: outputs.clone(), logs: logs.clone() };
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
        self.app.wait(what, async || condition(self).await).await;
    }

    pub(super) async fn view(&self) -> WebView {
        let views = self.dynos().views().borrow().clone();
        let none = || WebView { state: WebState::Blank, backends: Vec::new().into() };
        views.get(&self.app.id).cloned().unwrap_or_else(none)
    }

    pub(super) async fn addresses(&self) -> Vec<SocketAddr> {
        let view = self.view().await;
        let mut addresses: Vec<_> = view.backends.iter().map(|one| one.address).collect();
        addresses.sort_unstable();
        addresses
    }

    /// How many processes the machine has.
    pub(super) async fn processes(&self) -> usize {
        Runtime::Sim(self.sim.clone()).list().await.expect("a list").len()
    }

    /// Puts a process on the machine that no row speaks of.
    pub(super) async fn haunt(&self) {
        self.put(DynoId::random(), "work");
    }

    /// Leaves what a server leaves that dies between starting a process and writing where it is.
    pub(super) async fn half_begun(&self, release: ReleaseId) {
        let (id, now) = (DynoId::random(), Timestamp::now());
        let dyno = Dyno {
            id,
            app: self.app.id,
            name: "web.1".parse().expect("a name"),
            kind: DynoKind::Formation,
            release: Some(release),
            release_version: 1,
            command: "serve".into(),
            size: DynoSize::Standard1X,
            state: DynoState::Starting,
            exit: None,
            created_at: now,
            up_at: None,
            updated_at: now,
        };
        let life = Life { dyno, crashes: 0, address: None, stop_reason: None, ended_at: None };
        self.put(id, "serve");
        self.app.intend(move |tx| store::dynos::insert(tx, &life)).await;
    }

    fn put(&self, id: DynoId, command: &str) {
        self.sim.haunt(Launch {
            id,
            argv: vec![command.into()],
            env: BTreeMap::new(),
            cwd: "/".into(),
            slug: None,
            mounts: Vec::new(),
            limits: self.config.build_limits,
            terminal: protocol::Terminal::Output,
            port: 1,
            shown_command: command.into(),
            recorded: Recorded::seen(),
        });
    }
}

/// A slug that nobody looks into.
pub(super) fn slug(blobs: &BlobStore) -> String {
    blobs.put_blocking(&b"a slug"[..], 100).expect("stored").name
}

pub(super) fn config(dir: &std::path::Path) -> Config {
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
        sizes: model::size::SizeTable::default(),
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
