//! This machine: a directory and a shim per dyno.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use model::DynoId;
use model::dyno::Exit;
use model::steps::{Step, reached};
use sandbox::frames;
use sandbox::freezer;
use sandbox::protocol::{Ending, Spec, VERSION};
use sandbox::usage::{self, Memory};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Config;
use crate::launch::Launch;

use super::shim::Shim;
use super::slots::{self, Slot, Slots};
use super::{Error, Over};

/// A shim listens within this time, or never.
const LISTEN: Duration = Duration::from_secs(20);

/// Where the shim's own words go, in the dyno's directory.
const SHIM_LOG: &str = "shim.log";

/// This machine.
pub(crate) struct Local {
    config: Config,
    dynos: PathBuf,
    slots: Slots,
    cancel: CancellationToken,
    tracker: TaskTracker,
}

impl Local {
    /// Makes the directory of dynos, and learns which slots are taken.
    pub(super) fn open(
        config: &Config,
        cancel: CancellationToken,
        tracker: TaskTracker,
    ) -> io::Result<Self> {
        let dynos = config.run_dir.join("dynos");
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dynos)?;
        let slots = Slots::new(config.addresses.clone());
        for entry in std::fs::read_dir(&dynos)? {
            slots.remember(&entry?.path());
        }
        Ok(Self { config: config.clone(), dynos, slots, cancel, tracker })
    }

    /// Has the wait before a container's start while rows are written and shims begin.
    pub(super) fn expect_starts(&self) {
        self.tracker.spawn_blocking(sandbox::rehearse);
    }

    /// Starts a shim with what `launch` says.
    pub(super) async fn start(&self, launch: Launch) -> Result<(Shim, SocketAddr), Error> {
        let (dyno, port) = (launch.id, launch.port);
        let slot = self.slots.take()?;
        let dir = self.dir(dyno);
        let address = self.reached(slot, port);
        if let Err(error) = make(&dir, slot) {
            self.slots.free(slot);
            return Err(Error::Io { attempt: "make the dyno's directory", source: error });
        }
        reached(Step::DynoDirectoryMade);
        match self.start_in(&dir, slot, launch).await {
            Ok(shim) => Ok((shim, address)),
            Err(error) => {
                self.clean(dyno).await;
                Err(error)
            }
        }
    }

    /// Ids of all dynos with a directory.
    pub(super) async fn list(&self) -> io::Result<Vec<DynoId>> {
        let mut entries = tokio::fs::read_dir(&self.dynos).await?;
        let mut found = Vec::new();
        while let Some(entry) = entries.next_entry().await? {
            let name = entry.file_name();
            found.extend(name.to_str().and_then(|name| name.parse::<DynoId>().ok()));
        }
        Ok(found)
    }

    /// Connects to a shim that another server started.
    pub(super) async fn find(&self, dyno: DynoId) -> Result<Shim, Error> {
        Shim::connect(&self.dir(dyno)).await
    }

    /// Where a dyno is reached, by the slot that its directory holds.
    pub(super) fn address(&self, dyno: DynoId, port: u16) -> Option<SocketAddr> {
        slots::read(&self.dir(dyno)).map(|slot| self.reached(slot, port))
    }

    /// Memory that a dyno uses.
    pub(super) fn memory(&self, dyno: DynoId) -> io::Result<Memory> {
        usage::memory(&self.config.cgroup_parent, &dyno.to_string())
    }

    /// How many of a dyno's threads want to run.
    pub(super) fn runnable(&self, dyno: DynoId) -> io::Result<usize> {
        usage::runnable(&self.config.cgroup_parent, &dyno.to_string())
    }

    /// Freezes a dyno in place.
    pub(super) async fn freeze(&self, dyno: DynoId) -> io::Result<()> {
        self.blocking(dyno, freezer::freeze).await
    }

    /// Lets a frozen dyno run.
    pub(super) fn thaw(&self, dyno: DynoId) -> io::Result<()> {
        freezer::thaw(&self.config.cgroup_parent, &dyno.to_string())
    }

    /// Whether a dyno is frozen.
    pub(super) fn is_frozen(&self, dyno: DynoId) -> bool {
        freezer::is_frozen(&self.config.cgroup_parent, &dyno.to_string()).unwrap_or(false)
    }

    /// Takes back what can be of a dyno's memory.
    pub(super) async fn reclaim(&self, dyno: DynoId) -> io::Result<()> {
        self.blocking(dyno, freezer::reclaim).await
    }

    async fn blocking(
        &self,
        dyno: DynoId,
        what: fn(&str, &str) -> io::Result<()>,
    ) -> io::Result<()> {
        let parent = self.config.cgroup_parent.clone();
        let done = tokio::task::spawn_blocking(move || what(&parent, &dyno.to_string()));
        done.await.map_err(io::Error::other)?
    }

    /// What the file that a shim left says.
    pub(super) async fn ending(&self, dyno: DynoId) -> Option<Over> {
        read_ending(&self.dir(dyno))
    }

    /// Removes what a shim has left, the dyno's directory included, and so frees its slot.
    pub(super) async fn clean(&self, dyno: DynoId) {
        let dir = self.dir(dyno);
        if !dir.exists() {
            return;
        }
        let slot = slots::read(&dir);
        let swept = dir.clone();
        let swept = tokio::task::spawn_blocking(move || sandbox::sweep(&swept)).await;
        let failure = match swept {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(sandbox::chain(&error)),
            Err(panic) => Some(panic.to_string()),
        };
        match failure {
            // What is left is found and cleaned at the next start; its slot stays taken.
            Some(error) => {
                tracing::error!(dyno.id = %dyno, error, "could not clean up after a dyno")
            }
            None => slot.into_iter().for_each(|slot| self.slots.free(slot)),
        }
    }

    fn reached(&self, slot: Slot, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.slots.network(slot).address), port)
    }

    fn dir(&self, dyno: DynoId) -> PathBuf {
        self.dynos.join(dyno.to_string())
    }

    async fn start_in(&self, dir: &Path, slot: Slot, launch: Launch) -> Result<Shim, Error> {
        let recorded = launch.recorded.clone();
        let frame = frames::encode(&self.spec(slot, launch));
        let frame = frame.map_err(Error::io("describe the dyno"))?;
        let mut child = self.spawn(dir).map_err(Error::io("start the program around the dyno"))?;
        reached(Step::ShimSpawned);
        let introduced = async {
            // While the shim begins, for it does nothing that lasts before it is told what.
            match recorded.settled().await {
                true => introduce(&mut child, &frame).await,
                false => Err(io::Error::other("the disk did not take that the dyno begins")),
            }
        };
        let listens = timeout(LISTEN, introduced).await;
        let listens = listens.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if let Err(error) = listens {
            // Nothing runs in it yet.
            let _gone = child.start_kill();
            note_end(dir, child.wait().await);
            return Err(Error::Spawn(last_words(dir).unwrap_or_else(|| error.to_string())));
        }
        reached(Step::ShimListens);
        self.reap(dir, child);
        Shim::connect(dir).await
    }

    /// Starts the shim. It makes itself independent of this process and its terminal.
    fn spawn(&self, dir: &Path) -> io::Result<Child> {
        let log = std::fs::File::create(dir.join(SHIM_LOG))?;
        let mut shim = Command::new(&self.config.exe);
        shim.arg("dyno").arg(dir);
        if let Some(step) = sandbox::steps::take() {
            shim.args(["--crash-at", step.name()]);
        }
        shim.env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
    }

    /// Waits for a shim's end, which may come long after its dyno's, so that no zombie stays. When
    /// this server ends first, init reaps.
    fn reap(&self, dir: &Path, mut child: Child) {
        let cancel = self.cancel.clone();
        let dir = dir.to_owned();
        self.tracker.spawn(async move {
            // None: this server ends.
            if let Some(status) = cancel.run_until_cancelled(child.wait()).await {
                note_end(&dir, status);
            }
        });
    }

    fn spec(&self, slot: Slot, launch: Launch) -> Spec {
        let config = &self.config;
        Spec {
            version: VERSION,
            id: launch.id.to_string(),
            hostname: launch.id.to_string(),
            runtime: config.runtime.clone(),
            cgroup_parent: config.cgroup_parent.clone(),
            root: config.root.clone(),
            slug: launch.slug,
            scratch: config.scratch.clone(),
            mounts: launch.mounts,
            argv: launch.argv,
            env: launch.env.into_iter().collect(),
            cwd: launch.cwd,
            id_base: self.slots.id_base(slot),
            limits: launch.limits,
            network: self.slots.network(slot),
            terminal: launch.terminal,
        }
    }
}

/// How a dyno ends is no concern of its shim's status; that the shim was killed is the operator's.
fn note_end(dir: &Path, status: io::Result<ExitStatus>) {
    if let Some(signal) = status.ok().and_then(|status| status.signal()) {
        tracing::warn!(dyno.dir = %dir.display(), signal, "a dyno's shim was killed");
    }
}

/// Makes a dyno's directory, which holds its slot from then on.
fn make(dir: &Path, slot: Slot) -> io::Result<()> {
    std::fs::DirBuilder::new().mode(0o700).create(dir)?;
    std::fs::write(dir.join(slots::FILE), slot.0.to_string())
}

/// How the program in `dir` ended, as its shim wrote it down.
pub(super) fn read_ending(dir: &Path) -> Option<Over> {
    Some(match sandbox::ending(dir).ok().flatten()? {
        Ending::Exited { status, out_of_memory } => Over::Exited(Exit { status, out_of_memory }),
        Ending::Failed { reason } => Over::Failed(reason),
    })
}

/// Tells a new shim what to do, and waits for its byte: from then on it listens.
async fn introduce(child: &mut Child, frame: &[u8]) -> io::Result<()> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (Some(mut stdin), Some(mut stdout)) = (stdin, stdout) else {
        return Err(io::Error::other("the pipes are missing"));
    };
    // The shim listens before it reads, so neither waits for the other.
    stdin.write_all(frame).await?;
    stdin.shutdown().await?;
    drop(stdin);
    stdout.read_u8().await.map(drop)
}

/// The end of what the shim said on its standard error.
fn last_words(dir: &Path) -> Option<String> {
    let said = std::fs::read_to_string(dir.join(SHIM_LOG)).ok()?;
    said.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}
