//! A real machine: shims, crun, networks. Everything is gone after the test.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dynos::{Addresses, Config, Dynos, Rooms, Timing};
use model::DynoId;
use sandbox::protocol::{Limits, Root};
use store::blobs::BlobStore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::{App, PATIENCE};

/// A machine with one server and one app.
pub(crate) struct Machine {
    app: App,
    config: Config,
    server: Option<Server>,
    dir: tempfile::TempDir,
}

struct Server {
    dynos: Dynos,
    cancel: CancellationToken,
    tracker: TaskTracker,
}

impl Deref for Machine {
    type Target = App;
    fn deref(&self) -> &App {
        &self.app
    }
}

impl Machine {
    /// `files` are the app's code.
    pub(crate) async fn build(files: &[(&str, &str)]) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "these tests start containers: run them as root");
        let dir = tempfile::Builder::new().prefix("hythe-dynos-").tempdir().expect("a directory");
        let config = config(dir.path());
        let slug = image(dir.path(), files);
        let app = App::found(dir.path(), |blobs| put(blobs, &slug)).await;
        let mut machine = Self { app, config, server: None, dir };
        machine.new_server().await;
        machine
    }

    /// Ends the server, if one runs, and begins another.
    pub(crate) async fn new_server(&mut self) {
        self.stop_server().await;
        let (cancel, tracker) = (CancellationToken::new(), TaskTracker::new());
        let App { store, blobs, outputs, logs, .. } = &self.app;
        let (store, blobs) = (store.clone(), blobs.clone());
        let rooms = Rooms { store, blobs, outputs: outputs.clone(), logs: logs.clone() };
        let dynos = dynos::start(self.config.clone(), rooms, cancel.clone(), &tracker).await;
        self.server = Some(Server { dynos: dynos.expect("a manager"), cancel, tracker });
    }

    /// Ends the server; the dynos go on.
    pub(crate) async fn stop_server(&mut self) {
        if let Some(server) = self.server.take() {
            server.cancel.cancel();
            server.tracker.close();
            let ended = tokio::time::timeout(PATIENCE, server.tracker.wait()).await;
            ended.expect("all tasks end on shutdown");
        }
    }

    pub(crate) fn dynos(&self) -> &Dynos {
        &self.server.as_ref().expect("a server runs").dynos
    }

    /// Directories of dynos: each is a shim that lives, or something left behind.
    pub(crate) fn left(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.config.run_dir.join("dynos")).expect("a directory");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    }

    /// The process id of a dyno's shim.
    pub(crate) fn shim(&self, dyno: DynoId) -> i32 {
        let dir = self.config.run_dir.join("dynos").join(dyno.to_string());
        let found = std::fs::read_dir("/proc").expect("processes").flatten().find_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let command = std::fs::read(entry.path().join("cmdline")).ok()?;
            let arguments: Vec<_> = command.split(|&byte| byte == 0).collect();
            (arguments.get(2) == Some(&dir.as_os_str().as_encoded_bytes())).then_some(pid)
        });
        found.expect("a shim")
    }

    /// Stops all dynos and the server, and looks whether anything is left.
    pub(crate) async fn tear_down(mut self) {
        if self.server.is_none() {
            self.new_server().await;
        }
        self.dynos().stop_all().await;
        self.app.wait("nothing to be left", async || self.left().is_empty()).await;
        self.stop_server().await;
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Also after a failed assertion: no dyno outlives its test.
        for dir in self.left() {
            sandbox::sweep(&dir).expect("swept");
        }
        sandbox::network::remove_host(self.dir.path()).expect("the network is removed");
        // The parent group, in each hierarchy of version 1, or in the one of version 2.
        let root = Path::new("/sys/fs/cgroup");
        let hierarchies = std::fs::read_dir(root).expect("control groups").flatten();
        for place in hierarchies.map(|entry| entry.path()).chain([root.to_owned()]) {
            let group = place.join(&self.config.cgroup_parent);
            if group.exists() {
                std::fs::remove_dir(&group).expect("no dyno is left in the group");
            }
        }
    }
}

fn config(dir: &Path) -> Config {
    let subnet = sandbox::network::claim(dir).expect("a subnet");
    sandbox::network::ensure_host(&subnet).expect("a network");
    let scratch = dir.join("scratch");
    std::fs::create_dir(&scratch).expect("a directory");
    Config {
        exe: env!("CARGO_BIN_EXE_dyno-shim-for-tests").into(),
        run_dir: dir.to_owned(),
        scratch: Some(scratch),
        runtime: "/usr/bin/crun".into(),
        cgroup_parent: format!("hythe-dynos-{}", std::process::id()),
        root: Root::Host,
        addresses: Addresses {
            first: subnet.first,
            slots: subnet.slots,
            interface_prefix: subnet.interface_prefix,
            id_base: subnet.id_base,
        },
        sizes: model::size::SizeTable::default(),
        disk_bytes: 256 << 20,
        open_files: 10_000,
        build_limits: Limits {
            memory_bytes: 64 << 20,
            memory_quota_bytes: 64 << 20,
            cpu_shares: 512,
            cpu_millis: None,
            pids: 64,
            open_files: 1024,
            disk_bytes: 64 << 20,
        },
        timing: Timing { stop_grace: Duration::from_secs(5), ..Timing::default() },
        limits: model::plan::Limits::default(),
    }
}

/// A slug with these files.
fn image(dir: &Path, files: &[(&str, &str)]) -> PathBuf {
    let (tree, image) = (dir.join("tree"), dir.join("slug"));
    std::fs::create_dir(&tree).expect("a directory");
    for (name, text) in files {
        let path = tree.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, text).expect("a file");
    }
    let made = Command::new("mksquashfs")
        .arg(&tree)
        .arg(&image)
        .args(["-quiet", "-no-progress", "-force-uid", "1000", "-force-gid", "1000"])
        .output()
        .expect("mksquashfs is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    image
}

fn put(blobs: &BlobStore, image: &Path) -> String {
    let file = std::fs::File::open(image).expect("an image");
    blobs.put_blocking(file, 1 << 30).expect("a blob").name
}
