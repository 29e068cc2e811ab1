//! What tests start from: control over a new database, an account, and the lines it says.

use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;

use model::release::ReleaseStatus;
use model::{Account, App, DynoSize, LogEntry, LogSink, Release};
use store::Store;
use store::blobs::BlobStore;
use store::outputs::Outputs;

use crate::apps::NewApp;
use crate::builds::NewBuild;
use crate::slugs::NewSlug;
use crate::{Control, Scheme, Settings, accounts, apps, builds, sources};

/// Control over a new database in its own directory.
pub(crate) struct Lab {
    pub control: Control,
    pub who: Account,
    pub directory: tempfile::TempDir,
    lines: Receiver<Vec<LogEntry>>,
}

pub(crate) const KEY: [u8; 32] = [7; 32];

impl Lab {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (control, lines) = open(&directory);
        let first = accounts::ensure_first(&control, "ada@example.com").await.expect("made");
        let (who, _) = first.expect("the first");
        Self { control, who, directory, lines }
    }

    /// The same directory after a restart of the server.
    pub(crate) fn restarted(self) -> Self {
        let Self { control, who, directory, lines } = self;
        drop((control, lines));
        let (control, lines) = open(&directory);
        Self { control, who, directory, lines }
    }

    pub(crate) async fn app(&self, name: &str) -> App {
        let new = NewApp { name: Some(name.parse().expect("a name")), stack: None };
        apps::create(&self.control, &self.who, new).await.expect("created")
    }

    pub(crate) async fn stranger(&self) -> Account {
        accounts::create(&self.control, "eve@example.com").await.expect("made").0
    }

    /// The lines said since the last call.
    pub(crate) fn said(&self) -> Vec<String> {
        self.lines.try_iter().flatten().map(|entry| entry.text).collect()
    }

    /// Builds and releases a slug with these process types, as a push does.
    pub(crate) async fn deploy(&self, app: &App, commit: &str, types: &[(&str, &str)]) -> Release {
        let source = sources::put(&self.control, commit.as_bytes(), 1000).await.expect("put");
        let new = NewBuild {
            source: model::build::BuildSource::Stored(source.name.clone()),
            source_version: Some(commit.to_owned()),
            buildpacks: vec![],
        };
        builds::create(&self.control, &self.who, app.id, new).await.expect("queued");
        let build = builds::claim_next(&self.control).await.expect("asked").expect("one");
        let typed = |(name, command): &(&str, &str)| {
            (name.parse().expect("a process type"), (*command).to_owned())
        };
        let slug = NewSlug {
            image: source,
            commit: Some(commit.to_owned()),
            buildpack_description: Some("Node.js".to_owned()),
            process_types: types.iter().map(typed).collect::<BTreeMap<_, _>>(),
            stack: build.stack.clone(),
        };
        let release = builds::release(&self.control, build.id, slug).await.expect("released");
        builds::succeed(&self.control, build.id).await.expect("ended");
        release
    }

    pub(crate) async fn ledger(&self, app: &App) -> Vec<(u32, String, ReleaseStatus, bool)> {
        let all = crate::releases::list(&self.control, &self.who, app.id).await.expect("listed");
        let row = |row: Release| (row.version, row.description, row.status, row.current);
        all.into_iter().map(row).collect()
    }
}

pub(crate) fn settings() -> Settings {
    Settings {
        base_domain: "localhost".to_owned(),
        scheme: Scheme::Http,
        port: 8300,
        git_host: "localhost".to_owned(),
        platform_hosts: vec!["localhost".to_owned(), "api.localhost".to_owned()],
        stacks: vec!["heroku-24".to_owned(), "other-1".to_owned()],
        default_size: DynoSize::Standard1X,
        repositories: "repositories".into(),
        caches: "caches".into(),
        slugs_per_app: 2,
    }
}

fn open(directory: &tempfile::TempDir) -> (Control, Receiver<Vec<LogEntry>>) {
    let at = |name: &str| directory.path().join(name);
    let store = Store::open(&at("hythe.db"), KEY).expect("opened");
    let blobs = BlobStore::open(&at("blobs")).expect("opened");
    let outputs = Outputs::open(&at("outputs")).expect("opened");
    let (logs, lines, _lost) = LogSink::channel(1000);
    let settings =
        Settings { repositories: at("repositories"), caches: at("caches"), ..settings() };
    (Control::new(store, blobs, outputs, logs, settings), lines)
}
