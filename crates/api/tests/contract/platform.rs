//! The API in this process over a fresh store, and a client that judges every answer.

use std::cell::RefCell;
use std::collections::BTreeSet;

use axum::Router;
use axum::body::Body;
use control::authorities::{Acme, Authorities};
use control::slugs::{self, NewSlug};
use control::{Control, builds};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use logplex::Logplex;
use model::dyno::DynoKind;
use model::{Account, AppId, Dyno, DynoId, DynoSize, DynoState, LogSink, Secret, Timestamp};
use serde_json::Value;
use store::dynos::Life;
use tempfile::TempDir;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::schema::Schema;

/// The host that every request names unless it says otherwise.
pub const HOST: &str = "api.example.test";

/// The first part of every URL the API gives out.
pub const URL: &str = "https://api.example.test";

/// The API over a fresh store.
pub struct Platform {
    router: Router,
    pub control: Control,
    pub logs: LogSink,
    logplex: Logplex,
    pub account: Account,
    pub token: Secret,
    pub schema: Schema,
    pub obeyed: RefCell<BTreeSet<String>>,
    tasks: TaskTracker,
    directory: TempDir,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null when there is none.
    pub fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a header of text"))
    }

    /// Status and error id: `404 not_found`.
    pub fn error(&self) -> String {
        format!("{} {}", self.status.as_u16(), self.json()["id"].as_str().unwrap_or("(no id)"))
    }
}

/// A stream that goes on.
pub struct Tail {
    body: Body,
}

impl Tail {
    /// The next piece.
    pub async fn next(&mut self) -> String {
        let frame = self.body.frame().await.expect("it goes on").expect("it is whole");
        String::from_utf8(frame.into_data().expect("data").to_vec()).expect("text")
    }
}

impl Platform {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = directory.path();
        let store = store::Store::open(&root.join("db"), [7; 32]).expect("a store");
        let blobs = store::blobs::BlobStore::open(&root.join("blobs")).expect("blobs");
        let outputs = store::outputs::Outputs::open(&root.join("outputs")).expect("outputs");
        let (logs, lines, lost) = LogSink::channel(64);
        let logplex = logplex::start(lines, lost, logplex::Config::default()).expect("logs");
        let control = Control::new(store, blobs, outputs, logs.clone(), settings(root))
            .with_authorities(authorities());
        let first = control::accounts::ensure_first(&control, "me@example.test").await;
        let (account, token) = first.expect("a store").expect("the first account");
        let config = api::Config {
            api_url: URL.to_owned(),
            git_host: HOST.to_owned(),
            attach_host: format!("{HOST}:443"),
            hosts: [HOST.into()].into(),
            stream_key: Secret::new("a key for tests"),
        };
        let tasks = TaskTracker::new();
        let state = api::ApiState::new(control.clone(), logplex.clone(), config, tasks.clone())
            .with_buildpacks(["heroku/nodejs".to_owned()]);
        Self {
            router: api::router(state),
            control,
            logs,
            logplex,
            account,
            token,
            schema: Schema::load(),
            obeyed: RefCell::default(),
            tasks,
            directory,
        }
    }

    /// Sends a request as it is.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Waits for handlers whose clients have gone.
    pub async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }

    /// Waits until a line is in the app's log.
    pub async fn until_logged(&self, app: AppId, text: &str) {
        let query = logplex::Query {
            filter: logplex::Filter::default(),
            lines: 1500,
            mode: logplex::Mode::Tail,
            after: None,
        };
        let mut session = self.logplex.session(app, query);
        while !session.next().await.expect("the log goes on").text.ends_with(text) {}
    }

    /// A request of the account, as the CLI sends it.
    pub fn request(&self, method: &str, path: &str) -> http::request::Builder {
        let method: Method = method.parse().expect("a method");
        Request::builder()
            .method(method)
            .uri(path)
            .header("host", HOST)
            .header("accept", "application/vnd.heroku+json; version=3.sdk")
            .header("authorization", format!("Bearer {}", self.token.reveal()))
    }

    /// Asks for something, and judges a success by the schema.
    pub async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        let text = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let answer = self.send(self.request(method, path).body(text).expect("a request")).await;
        self.judge(method, path, &answer);
        answer
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, Value::Null).await
    }

    /// Asks for what must succeed.
    pub async fn good(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.ask(method, path, body).await;
        assert!(answer.status.is_success(), "{method} {path}: {answer:?}: {}", answer.text());
        answer.json()
    }

    /// Uploads to a URL that the API gave out, as the CLI does: without credentials or type.
    pub async fn upload(&self, url: &str, content: &str) -> Answer {
        let path = url.strip_prefix(URL).expect("a URL of this API");
        let request = Request::put(path).header("host", HOST).body(Body::from(content.to_owned()));
        self.send(request.expect("a request")).await
    }

    /// Reads a URL that the API gave out, without credentials.
    pub async fn read(&self, url: &str) -> Answer {
        let path = url.strip_prefix(URL).expect("a URL of this API");
        let request = Request::get(path).header("host", HOST).body(Body::empty());
        self.send(request.expect("a request")).await
    }

    /// Opens a stream that may go on for ever.
    pub async fn open(&self, url: &str, accept: &str) -> Tail {
        let path = url.strip_prefix(URL).expect("a URL of this API");
        let request = Request::get(path).header("host", HOST).header("accept", accept);
        let request = request.body(Body::empty()).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        assert_eq!(response.status(), StatusCode::OK);
        Tail { body: response.into_body() }
    }

    /// Does the builder's part for the oldest queued build.
    pub async fn build(&self, procfile: &[&str]) {
        let control = &self.control;
        let build = builds::claim_next(control).await.expect("a store").expect("a queued build");
        let output = builds::output(control, build.id).expect("an output");
        output.write(b"-----> Building\n-----> Done\n").expect("a disk");
        let path = self.directory.path().join(format!("image-{}", build.id));
        std::fs::write(&path, build.id.to_string()).expect("a disk");
        let slug = NewSlug {
            image: slugs::store_image(control, &path).await.expect("a blob"),
            commit: build.source_version,
            buildpack_description: Some("Test".to_owned()),
            process_types: model::procfile::parse(&procfile.join("\n")),
            stack: build.stack,
        };
        builds::release(control, build.id, slug).await.expect("a release");
        builds::succeed(control, build.id).await.expect("a store");
    }

    /// Does the dyno manager's part: a dyno of the current release that is up.
    pub async fn start_dyno(&self, app: &str, name: &str) {
        let app = control::apps::info(&self.control, &self.account, app).await.expect("the app");
        let releases = control::releases::list(&self.control, &self.account, app.id).await;
        let current = releases.expect("a store").into_iter().find(|release| release.current);
        let release = current.expect("a current release");
        let now = Timestamp::now();
        let dyno = Dyno {
            id: DynoId::random(),
            app: app.id,
            name: name.parse().expect("a dyno's name"),
            kind: DynoKind::Formation,
            release: Some(release.id),
            release_version: release.version,
            command: "run".to_owned(),
            size: DynoSize::Standard1X,
            state: DynoState::Up,
            exit: None,
            created_at: now,
            up_at: Some(now),
            updated_at: now,
        };
        let life = Life { dyno, crashes: 0, address: None, stop_reason: None, ended_at: None };
        let insert = move |tx: &mut store::Tx<'_>| store::dynos::insert(tx, &life);
        self.control.store.write(insert).await.expect("a row");
    }

    fn judge(&self, method: &str, path: &str, answer: &Answer) {
        assert!(answer.header("request-id").is_some(), "{method} {path}: no Request-Id");
        let path = path.split('?').next().unwrap_or(path);
        if !answer.status.is_success() {
            let error = answer.json();
            assert!(error["id"].is_string() && error["message"].is_string(), "{path}: {error}");
            return;
        }
        let Some(link) = self.schema.link(method, path) else { return };
        let faults = self.schema.faults(link, &answer.json());
        assert!(faults.is_empty(), "{}: {faults:#?}\n{}", link.name(), answer.text());
        self.obeyed.borrow_mut().insert(link.name());
    }
}

/// An authority that nobody asks: what asks is not running.
fn authorities() -> Authorities {
    let acme = Acme {
        directory: "https://acme.example.test/directory".to_owned(),
        contact: None,
        roots: vec![],
        renew_after: None,
        platform_names: false,
    };
    Authorities::new(vec![], Some(acme))
}

fn settings(root: &std::path::Path) -> control::Settings {
    control::Settings {
        base_domain: "example.test".to_owned(),
        scheme: control::Scheme::Https,
        port: 443,
        git_host: HOST.to_owned(),
        platform_hosts: vec![HOST.to_owned()],
        stacks: vec!["heroku-24".to_owned(), "heroku-26".to_owned()],
        default_size: DynoSize::Basic,
        repositories: root.join("repositories"),
        caches: root.join("caches"),
        slugs_per_app: 20,
    }
}
