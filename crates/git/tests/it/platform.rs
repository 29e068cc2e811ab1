//! The room with everything it needs, in a directory and on a port of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use control::{Control, Scheme, Settings, accounts, apps, builds};
use git::{GitConfig, GitState};
use model::build::Build;
use model::{Account, App, DynoSize, LogSink, Secret};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::builder;
use crate::client::Checkout;

pub struct Platform {
    pub control: Control,
    pub account: Account,
    pub token: Secret,
    pub app: App,
    pub address: String,
    /// Lets a held build go on.
    pub release: Arc<Notify>,
    pub stop: CancellationToken,
    pub directory: TempDir,
    tasks: TaskTracker,
}

/// The usual limits, with a few adjusted.
pub struct Limits {
    pub max_push_bytes: u64,
    pub max_source_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_push_bytes: 1 << 30, max_source_bytes: 1 << 30 }
    }
}

impl Platform {
    /// With one account and its app `demo`.
    pub async fn start() -> Self {
        Self::start_with(Limits::default()).await
    }

    pub async fn start_with(limits: Limits) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let control = control(&directory);
        let (account, token) = accounts::ensure_first(&control, "me@example.com")
            .await
            .expect("a database")
            .expect("the first account");
        let new = apps::NewApp { name: Some("demo".parse().expect("good")), stack: None };
        let app = apps::create(&control, &account, new).await.expect("created");
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let hook = PathBuf::from(env!("CARGO_BIN_EXE_git-hook-for-tests"));
        let mut config = GitConfig::below(directory.path(), directory.path(), hook);
        config.max_push_bytes = limits.max_push_bytes;
        config.max_source_bytes = limits.max_source_bytes;
        let state = GitState::open(config, control.clone(), tasks.clone(), stop.clone());
        let state = state.expect("git is new enough");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let release = Arc::new(Notify::new());
        tasks.spawn(git::serve_hooks(state.clone()));
        tasks.spawn(builder::run(control.clone(), release.clone(), stop.clone()));
        let served = axum::serve(listener, git::router(state));
        tasks.spawn(served.with_graceful_shutdown(stop.clone().cancelled_owned()).into_future());
        Self { control, account, token, app, address, release, stop, directory, tasks }
    }

    /// The app's URL with the token in it.
    pub fn url(&self) -> String {
        format!("http://x:{}@{}/demo.git", self.token.reveal(), self.address)
    }

    /// The app's repository.
    pub fn repository(&self) -> PathBuf {
        apps::repository(&self.control, self.app.id)
    }

    /// A checkout with a commit of these files, and the app as remote `hythe`.
    pub async fn checkout(&self, files: &[(&str, &str)]) -> Checkout {
        let checkout = Checkout::new(self.directory.path()).await;
        checkout.git(&["remote", "add", "hythe", &self.url()]).await.ok();
        checkout.commit(files).await;
        checkout
    }

    /// All builds, oldest first.
    pub async fn builds(&self) -> Vec<Build> {
        builds::list(&self.control, &self.account, self.app.id).await.expect("a database")
    }

    /// Where a branch of the app's repository is.
    pub fn branch(&self, name: &str) -> Option<String> {
        let git = git::Git::at("/usr/bin/git");
        let mut command = git.command(&self.repository());
        command.args(["rev-parse", "--verify", "--quiet", &format!("refs/heads/{name}")]);
        let output = command.output().expect("git runs");
        let text = String::from_utf8(output.stdout).expect("text").trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// Waits until `condition` holds; fails after half a minute.
    pub async fn wait_for(&self, what: &str, mut condition: impl AsyncFnMut() -> bool) {
        for _ in 0..600 {
            if condition().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("waited in vain: {what}");
    }

    /// Stops everything and waits for its end.
    pub async fn shut_down(self) {
        self.stop.cancel();
        self.tasks.close();
        let ended = tokio::time::timeout(Duration::from_secs(20), self.tasks.wait()).await;
        ended.expect("every task ends when it is told to");
    }
}

fn control(directory: &TempDir) -> Control {
    let root = directory.path();
    let store = store::Store::open(&root.join("db"), [7; 32]).expect("a store");
    let blobs = store::blobs::BlobStore::open(&root.join("blobs")).expect("blobs");
    let outputs = store::outputs::Outputs::open(&root.join("outputs")).expect("outputs");
    let (logs, _, _) = LogSink::channel(16);
    let settings = Settings {
        base_domain: "localhost".into(),
        scheme: Scheme::Http,
        port: 8300,
        git_host: "localhost".into(),
        platform_hosts: vec!["localhost".into()],
        stacks: vec!["heroku-24".into()],
        default_size: DynoSize::Basic,
        repositories: root.join("repos"),
        caches: root.join("caches"),
        slugs_per_app: 20,
    };
    Control::new(store, blobs, outputs, logs, settings)
}
