//! One app in a real database, and a log that remembers: what the tests of this room share.
#![allow(dead_code, reason = "each of the two test programs uses its own part")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::dyno::{DynoKind, OneOff, Terminal};
use model::formation::Formation;
use model::release::ReleaseStatus;
use model::{
    Account, AccountId, AppId, ConfigVars, Dyno, DynoId, DynoName, DynoSize, FormationId, LogSink,
    Release, ReleaseId, Secret, Slug, SlugId, Timestamp,
};
use store::blobs::BlobStore;
use store::outputs::Outputs;
use store::restarts::Restart;
use store::{Poke, Store, Tx};

/// Opens the attached one-offs of these tests.
pub(crate) const SECRET: &str = "rv.1111111111111111111111111111111111111111";

/// Whatever a test waits for has happened by then.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One app, with all that a manager needs of other rooms.
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) blobs: BlobStore,
    pub(crate) outputs: Outputs,
    pub(crate) logs: LogSink,
    pub(crate) id: AppId,
    lines: Lines,
    account: AccountId,
    slug: SlugId,
}

impl App {
    /// Its data are in `dir`; `blob` is its slug.
    pub(crate) async fn found(dir: &Path, blob: impl FnOnce(&BlobStore) -> String) -> Self {
        let (logs, lines) = log();
        let blobs = BlobStore::open(&dir.join("blobs")).expect("blobs");
        let blob = blob(&blobs);
        let app = Self {
            store: Store::open(&dir.join("db"), [1; 32]).expect("a store"),
            blobs,
            outputs: Outputs::open(&dir.join("outputs")).expect("outputs"),
            logs,
            lines,
            id: AppId::random(),
            account: AccountId::random(),
            slug: SlugId::random(),
        };
        app.settle_in(blob).await;
        app
    }

    /// Waits until `condition` holds.
    pub(crate) async fn wait(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let until = tokio::time::Instant::now() + PATIENCE;
        while !condition().await {
            if tokio::time::Instant::now() > until {
                let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
                panic!("waited in vain for {what}; the log: {lines:#?}");
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }

    /// Waits until the manager reports the newest generation as made true.
    pub(crate) async fn settled(&self) {
        self.wait("the generation to be observed", async || {
            let desired = self.store.read(store::desired::read).await;
            let app = desired.expect("desired").apps.remove(0);
            app.observed_generation == app.generation
        })
        .await;
    }

    /// Releases a new version with these config vars; the formation stays.
    pub(crate) async fn deploy(&self, config: &[(&str, &str)]) -> ReleaseId {
        let config = config.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let config = ConfigVars(config.collect());
        let (app, account, slug, now) = (self.id, self.account, self.slug, Timestamp::now());
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
                slug_is_kept: true,
            };
            store::releases::insert(tx, &release, "")
        })
        .await;
        id
    }

    pub(crate) async fn scale(&self, formation: &[(&str, u32, &str)]) {
        let (app, now) = (self.id, Timestamp::now());
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

    pub(crate) async fn restart(&self, target: &str) {
        let restart = Restart { target: target.to_owned(), not_before: Timestamp::now() };
        let app = self.id;
        self.intend(move |tx| store::restarts::save(tx, app, &restart)).await;
    }

    pub(crate) async fn destroy(&self) {
        let (app, now) = (self.id, Timestamp::now());
        self.intend(move |tx| store::apps::mark_deleted(tx, app, now)).await;
    }

    pub(crate) async fn one_off(
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
    pub(crate) async fn cancelled_one_off(&self, command: &str) -> DynoId {
        let once = self.wish(DynoKind::Run, command, Terminal::Detached).await;
        let id = once.id;
        self.intend(move |tx| {
            store::one_offs::insert(tx, &once)?;
            store::one_offs::cancel(tx, id, Timestamp::now())
        })
        .await;
        id
    }

    pub(crate) async fn cancel(&self, once: DynoId) {
        self.intend(move |tx| store::one_offs::cancel(tx, once, Timestamp::now())).await;
    }

    /// What `ps` lists: name, state, version.
    pub(crate) async fn ps(&self) -> Vec<String> {
        let line =
            |dyno: Dyno| format!("{} {} v{}", dyno.name, dyno.state.as_str(), dyno.release_version);
        self.rows().await.into_iter().map(line).collect()
    }

    pub(crate) async fn rows(&self) -> Vec<Dyno> {
        let app = self.id;
        let rows = self.store.read(move |db| store::dynos::of_app(db, app)).await;
        rows.expect("rows")
    }

    /// What this process of the log has said.
    pub(crate) async fn said(&self, process: &str) -> Vec<String> {
        // Lines pass through a thread; a line of our own comes last.
        let mark = DynoId::random().to_string();
        self.logs.say(self.id, model::log::Source::Heroku, "mark", mark.clone());
        self.wait("the log", async || {
            let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.iter().any(|(_, text)| *text == mark)
        })
        .await;
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let of_process = lines.iter().filter(|(who, _)| who == process);
        of_process.map(|(_, text)| text.clone()).collect()
    }

    pub(crate) async fn output(&self, dyno: DynoId) -> String {
        let mut follow = self.outputs.follow(dyno).await.expect("readable").expect("there");
        let mut text = Vec::new();
        while let Some(bytes) = follow.next().await.expect("read") {
            text.extend_from_slice(&bytes);
        }
        String::from_utf8(text).expect("text")
    }

    pub(crate) async fn release_output(&self, release: ReleaseId) -> String {
        let verdict = store::outputs::Verdict::Succeeded;
        self.outputs.finish(release, verdict).expect("finished");
        let mut follow = self.outputs.follow(release).await.expect("readable").expect("there");
        let mut text = Vec::new();
        while let Some(bytes) = follow.next().await.expect("read") {
            text.extend_from_slice(&bytes);
        }
        String::from_utf8(text).expect("text")
    }

    pub(crate) async fn wish(&self, kind: DynoKind, command: &str, terminal: Terminal) -> OneOff {
        let process_type = match kind {
            DynoKind::Formation | DynoKind::Run => "run",
            DynoKind::Release => "release",
            DynoKind::Build => "build",
        };
        let process_type = process_type.parse().expect("a process type");
        let app = self.id;
        let current = self.store.read(move |db| store::releases::current(db, app)).await;
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
    pub(crate) async fn intend(
        &self,
        change: impl FnOnce(&mut Tx<'_>) -> store::Result<()> + Send + 'static,
    ) {
        let app = self.id;
        let done = self.store.write(move |tx| {
            change(tx)?;
            store::apps::raise_generation(tx, app)?;
            tx.poke(Poke::Dynos);
            Ok::<_, store::Error>(())
        });
        done.await.expect("written");
    }

    /// The account, the app and its slug.
    async fn settle_in(&self, blob: String) {
        let now = Timestamp::now();
        let email = "owner@example.com".to_owned();
        let account = Account {
            id: self.account,
            email: email.clone(),
            name: None,
            created_at: now,
            updated_at: now,
        };
        let app = model::App {
            id: self.id,
            name: "demo".parse().expect("a name"),
            owner: self.account,
            owner_email: email,
            stack: "heroku-24".into(),
            build_stack: "heroku-24".into(),
            maintenance: false,
            acm: false,
            buildpack_description: None,
            generation: 1,
            repo_bytes: None,
            slug_bytes: None,
            created_at: now,
            updated_at: now,
            released_at: None,
            deleted_at: None,
            boot_timeout_seconds: None,
        };
        let slug = Slug {
            id: self.slug,
            app: self.id,
            blob,
            bytes: 1,
            commit: None,
            buildpack_description: None,
            process_types: BTreeMap::new(),
            stack: "heroku-24".into(),
            created_at: now,
        };
        let done = self.store.write(move |tx| {
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
