//! A log room with drains, and what has gone through it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use logplex::drains::{self, DrainStatus, Transit};
use logplex::{Drains, Filter, Logplex, Mode, Query};
use model::drain::{Drain, Form, Reach};
use model::log::Source;
use model::{AppId, DrainId, LogEntry, LogSink, Timestamp};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Everything a test waits for is there within this time.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What a receiver has got.
#[derive(Default)]
pub struct Tally {
    /// Whole messages, once each: a duplicate is the same bytes.
    pub unique: BTreeSet<Vec<u8>>,
    /// Sequence numbers in the order of their first coming.
    pub order: Vec<u64>,
    /// Messages, duplicates included.
    pub messages: u64,
}

pub type Got = Arc<Mutex<Tally>>;

impl Tally {
    /// A message: everything behind its octet count.
    pub fn add(&mut self, message: &[u8]) {
        self.messages += 1;
        if !self.unique.insert(message.to_vec()) {
            return;
        }
        let text = String::from_utf8_lossy(message);
        let number =
            text.split_once(" - seq=").and_then(|(_, rest)| rest.get(..8)?.parse::<u64>().ok());
        self.order.extend(number);
    }

    /// Lines received, and lines reported lost.
    pub fn sums(&self) -> (u64, u64) {
        let (mut received, mut reported) = (0, 0);
        for message in &self.unique {
            let text = String::from_utf8_lossy(message);
            match text.split_once("Error L10 (output buffer overflow): ") {
                Some((_, rest)) if !rest.starts_with("drain") => {
                    reported +=
                        rest.split(' ').next().expect("a count").parse::<u64>().expect("it");
                }
                _ => received += 1,
            }
        }
        (received, reported)
    }

    pub fn has(&self, text: &str) -> bool {
        self.unique.iter().any(|message| String::from_utf8_lossy(message).contains(text))
    }
}

pub fn transit(socket: std::os::fd::BorrowedFd<'_>) -> std::io::Result<Transit> {
    let sandbox::tcp::Transit { unacknowledged, window } = sandbox::tcp::transit(socket)?;
    Ok(Transit { unacknowledged, window })
}

/// Short times, loopback allowed.
pub fn config() -> drains::Config {
    let mut config = drains::Config::new(transit);
    config.reach = Reach { networks: vec!["127.0.0.0/8".parse().expect("a network")] };
    config.timing.request = Duration::from_millis(500);
    config.timing.otlp_request = Duration::from_millis(500);
    config.timing.give_up = Duration::from_millis(400);
    config.timing.first_retry = Duration::from_millis(20);
    config.timing.longest_retry = Duration::from_millis(100);
    config.timing.first_wait = Duration::from_millis(20);
    config.timing.longest_wait = Duration::from_millis(200);
    config.timing.flush = Duration::from_secs(2);
    config
}

pub struct Bed {
    pub logplex: Logplex,
    pub sink: LogSink,
    pub app: AppId,
    pub drains: Drains,
    pub wanted: watch::Sender<Arc<Vec<Drain>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Lines of the app's stream.
    sent: Arc<Mutex<Vec<String>>>,
    follower: JoinHandle<()>,
    next: u64,
}

impl Bed {
    pub async fn start(config: drains::Config) -> Self {
        Self::start_at(None, AppId::random(), config, Vec::new()).await
    }

    /// A room whose lines and drains outlive it.
    pub async fn start_at(
        directory: Option<&Path>,
        app: AppId,
        mut config: drains::Config,
        wanted: Vec<Drain>,
    ) -> Self {
        let (sink, receiver, lost) = LogSink::channel(1 << 16);
        let room = logplex::Config {
            directory: directory.map(|directory| directory.join("logs")),
            lines_per_tail: 1 << 22,
            bytes_per_tail: 1 << 30,
            ..logplex::Config::default()
        };
        config.directory = directory.map(|directory| directory.join("drains"));
        let logplex = logplex::start(receiver, lost, room).expect("a room");
        let (sent, follower) = follow(&logplex, app);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let (wanted, follow) = watch::channel(Arc::new(wanted));
        let drains =
            logplex.start_drains(follow, config, &tasks, stop.clone()).expect("authorities");
        Self { logplex, sink, app, drains, wanted, tasks, stop, sent, follower, next: 0 }
    }

    /// A drain of the app to this URL.
    pub async fn add(&self, url: &str) -> DrainId {
        self.add_form(url, Form::Logplex).await
    }

    pub async fn add_form(&self, url: &str, form: Form) -> DrainId {
        let drain = self.drain(url, form);
        let id = drain.id;
        self.wanted.send_modify(|all| Arc::make_mut(all).push(drain));
        until("the drain is at work", || self.drains.status(id).is_some()).await;
        id
    }

    pub fn drain(&self, url: &str, form: Form) -> Drain {
        Drain {
            id: DrainId::random(),
            app: self.app,
            app_name: "demo".parse().expect("a name"),
            url: url.parse().expect("a URL"),
            form,
        }
    }

    pub fn status(&self, id: DrainId) -> DrainStatus {
        self.drains.status(id).expect("at work")
    }

    /// Says so many lines with sequence numbers at once.
    pub fn say(&mut self, count: u64) {
        let (app, at) = (self.app, Timestamp::now());
        let entries = (0..count)
            .map(|_| {
                self.next += 1;
                let process = format!("web.{}", self.next % 20);
                let text = format!("seq={:08} {}", self.next, "x".repeat(80));
                LogEntry { app, at, source: Source::App, process: process.into(), text }
            })
            .collect();
        self.sink.send(entries);
    }

    /// Says lines steadily, a few at a time.
    pub async fn say_steadily(&mut self, batches: u64, per_batch: u64) {
        for _ in 0..batches {
            self.say(per_batch);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Says a line that is told from all others, until the receiver has one of them.
    pub async fn finish(&mut self, got: &Got) {
        let mut count = 0;
        let begun = Instant::now();
        loop {
            count += 1;
            self.sink.say(self.app, Source::App, "end.1", format!("the end {count}"));
            for _ in 0..20 {
                if got.lock().expect("lock").has("the end") {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert!(begun.elapsed() < PATIENCE, "the end never arrived");
        }
    }

    /// Lines of the app's stream.
    pub fn sent(&self) -> Vec<String> {
        self.sent.lock().expect("lock").clone()
    }

    /// Lines sent = unique lines received + losses reported.
    #[track_caller]
    pub fn identity<'a>(&'a self, got: &'a Got, drain: DrainId) -> impl Future<Output = ()> + 'a {
        let place = std::panic::Location::caller();
        async move {
            let begun = Instant::now();
            loop {
                let (received, reported) = got.lock().expect("lock").sums();
                let sent = self.sent.lock().expect("lock").len() as u64;
                let waiting = self.status(drain).waiting;
                if sent == received + reported && waiting == 0 {
                    let tally = got.lock().expect("lock");
                    assert!(!tally.order.is_empty() && tally.order.is_sorted(), "not in order");
                    return;
                }
                if begun.elapsed() > Duration::from_secs(10) {
                    panic!(
                        "{place}: sent {sent}, received {received}, reported {reported}, \
                         {:?}",
                        self.status(drain)
                    );
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Stops as the server does: drains first, then the room. Answers how many lines the stream
    /// had in all.
    pub async fn stop(self) -> u64 {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout(PATIENCE, self.tasks.wait()).await.expect("the drains end");
        let (logplex, sink) = (self.logplex, self.sink);
        tokio::task::spawn_blocking(move || logplex.shutdown(&sink)).await.expect("it ends");
        self.follower.await.expect("the stream ends");
        self.sent.lock().expect("lock").len() as u64
    }
}

/// Follows the app's stream. Only a part of each line is kept, enough to count and to know them.
fn follow(logplex: &Logplex, app: AppId) -> (Arc<Mutex<Vec<String>>>, JoinHandle<()>) {
    let query = Query { filter: Filter::default(), lines: 0, mode: Mode::Tail, after: None };
    let mut tail = logplex.session(app, query);
    let sent = Arc::<Mutex<Vec<String>>>::default();
    let stream = sent.clone();
    let follower = tokio::spawn(async move {
        while let Some(lines) = tail.next_batch().await {
            let parts = lines.into_iter().map(|line| line.text.chars().take(300).collect());
            stream.lock().expect("lock").extend(parts);
        }
    });
    (sent, follower)
}

/// Waits for a condition.
#[track_caller]
pub fn until<'a>(
    what: &'a str,
    mut check: impl FnMut() -> bool + 'a,
) -> impl Future<Output = ()> + 'a {
    let place = std::panic::Location::caller();
    async move {
        let begun = Instant::now();
        while !check() {
            assert!(begun.elapsed() < PATIENCE, "{place}: {what} did not come true");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
