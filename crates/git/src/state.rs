//! What this room is given, once, at the start of the server.

use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use control::Control;
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::exchange::Bounds;
use crate::push::{Pushes, Ticket};
use crate::repository::Repositories;
use crate::service::Service;
use crate::{Git, GitError, hook};

/// Where things are, and how much is allowed.
#[derive(Clone, Debug)]
pub struct GitConfig {
    /// The `git` program.
    pub git_program: PathBuf,
    /// Our own binary: git runs it as the hook.
    pub hook_program: PathBuf,
    /// A directory of our own for the link to the hook.
    pub hooks_dir: PathBuf,
    /// Socket between hooks and the server; its directory exists and is private.
    pub hook_socket: PathBuf,
    /// The largest push, in bytes as sent.
    pub max_push_bytes: u64,
    /// The largest source, in bytes unpacked.
    pub max_source_bytes: u64,
    /// A push, with its build and the wait for its turn, is ended after this.
    pub push_timeout: Duration,
    /// A clone or fetch is ended after this.
    pub fetch_timeout: Duration,
    /// Runs of git at once; others wait.
    pub max_running: usize,
}

impl GitConfig {
    /// The usual limits, with everything below the server's two directories.
    #[must_use]
    pub fn below(data_dir: &Path, run_dir: &Path, hook_program: PathBuf) -> Self {
        const GIB: u64 = 1024 * 1024 * 1024;
        Self {
            git_program: "/usr/bin/git".into(),
            hook_program,
            hooks_dir: data_dir.join("hooks"),
            hook_socket: run_dir.join("hook.sock"),
            max_push_bytes: GIB,
            max_source_bytes: GIB,
            push_timeout: Duration::from_secs(2 * 60 * 60),
            fetch_timeout: Duration::from_secs(60 * 60),
            max_running: 64,
        }
    }
}

/// The room's state; cheap to clone.
#[derive(Clone)]
pub struct GitState {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub config: GitConfig,
    pub control: Control,
    pub git: Git,
    pub repositories: Repositories,
    pub pushes: Arc<Pushes>,
    pub running: Arc<Semaphore>,
    pub tasks: TaskTracker,
    pub stop: CancellationToken,
}

impl GitState {
    /// Checks git, makes the directories and the hook's link. Tasks run in `tasks` and end on
    /// `stop`: a push under way is then declined, a build it has created goes on.
    ///
    /// # Errors
    /// When git is missing or too old, or a directory cannot be made.
    pub fn open(
        config: GitConfig,
        control: Control,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, GitError> {
        let git = Git::at(&config.git_program);
        git.check_version()?;
        private_directory(&control.settings.repositories)?;
        private_directory(&config.hooks_dir)?;
        link_hook(&config)?;
        let repositories = Repositories::new(control.clone(), git.clone());
        let running = Arc::new(Semaphore::new(config.max_running));
        let pushes = Arc::default();
        let shared = Shared { config, control, git, repositories, pushes, running, tasks, stop };
        Ok(Self { shared: Arc::new(shared) })
    }
}

impl Shared {
    pub(crate) fn bounds(&self, service: Service) -> Bounds {
        let idle = Duration::from_secs(120);
        match service {
            Service::UploadPack => {
                // What a client has and wants; never a pack.
                let max_request_bytes = 64 * 1024 * 1024;
                Bounds { max_request_bytes, idle, whole: self.config.fetch_timeout }
            }
            Service::ReceivePack => {
                // Git itself refuses a pack over the limit, with a better message; a little more is
                // taken so that it can.
                let max_request_bytes = self.config.max_push_bytes.saturating_add(1024 * 1024);
                Bounds { max_request_bytes, idle, whole: self.config.push_timeout }
            }
        }
    }

    /// Starts git to serve a request on a repository.
    pub(crate) fn serve(
        &self,
        service: Service,
        repository: &Path,
        protocol: Option<&str>,
    ) -> Result<Child, GitError> {
        let mut command = self.git.command(repository);
        command.args([service.verb(), "--stateless-rpc", "."]);
        spawn(command, service, protocol)
    }

    /// Starts git to serve a push. Its hook finds the server by `ticket`.
    pub(crate) fn serve_push(&self, repository: &Path, ticket: &Ticket) -> Result<Child, GitError> {
        let mut command = self.git.command(repository);
        let limit = self.config.max_push_bytes;
        command
            .arg("-c")
            .arg(format!("receive.maxInputSize={limit}"))
            .arg("-c")
            .arg(setting("core.hooksPath", &self.config.hooks_dir))
            .args([Service::ReceivePack.verb(), "--stateless-rpc", "."])
            .env(hook::SOCKET, &self.config.hook_socket)
            .env(hook::PUSH, &ticket.secret)
            .env(hook::GIT, self.git.program());
        spawn(command, Service::ReceivePack, None)
    }

    /// Starts git to say what a repository has.
    pub(crate) fn advertise(
        &self,
        service: Service,
        repository: &Path,
        protocol: Option<&str>,
    ) -> Result<Child, GitError> {
        let mut command = self.git.command(repository);
        command.args([service.verb(), "--stateless-rpc", "--advertise-refs", "."]);
        spawn(command, service, protocol)
    }
}

fn setting(name: &str, path: &Path) -> std::ffi::OsString {
    let mut setting = std::ffi::OsString::from(name);
    setting.push("=");
    setting.push(path);
    setting
}

fn spawn(
    mut command: std::process::Command,
    service: Service,
    protocol: Option<&str>,
) -> Result<Child, GitError> {
    use std::os::unix::process::CommandExt;
    if let Some(protocol) = protocol {
        command.env("GIT_PROTOCOL", protocol);
    }
    // A group of its own, so that it can be ended with everything it started.
    command.process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut command = Command::from(command);
    command.kill_on_drop(true);
    command.spawn().map_err(|source| GitError::Run { what: service.verb(), source })
}

fn private_directory(path: &Path) -> Result<(), GitError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(path).map_err(GitError::file("create", path))
}

/// Points the hook at the binary that runs now; it may have been upgraded since the last start.
fn link_hook(config: &GitConfig) -> Result<(), GitError> {
    let link = config.hooks_dir.join(hook::FILE_NAME);
    let draft = config.hooks_dir.join("new");
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(GitError::file("remove", &draft)(error));
        }
        _ => {}
    }
    symlink(&config.hook_program, &draft).map_err(GitError::file("create", &draft))?;
    std::fs::rename(&draft, &link).map_err(GitError::file("create", &link))
}
