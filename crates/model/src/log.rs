//! Log lines on their way into Logplex.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::{AppId, Timestamp};

/// Which part of the platform speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The app's own dynos, and events of the API (`app[api]`).
    App,
    /// The dyno manager, the router, Logplex.
    Heroku,
}

impl Source {
    /// The word in the line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Heroku => "heroku",
        }
    }
}

/// One line of an app's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Whose stream.
    pub app: AppId,
    /// When it was said.
    pub at: Timestamp,
    /// Which part of the platform speaks.
    pub source: Source,
    /// `web.1`, `run.4821`, `router`, `api`.
    pub process: Arc<str>,
    /// The text, without its line end.
    pub text: String,
}

/// The way into Logplex. It never blocks: when the queue is full a batch is dropped and counted
/// per app, and Logplex tells the app (L12).
#[derive(Clone)]
pub struct LogSink {
    queue: SyncSender<Vec<LogEntry>>,
    lost: Arc<Lost>,
    sent: Arc<AtomicU64>,
    heir: Arc<OnceLock<LogSink>>,
}

/// Lines dropped on the way in, per app, since they were last taken.
#[derive(Default)]
pub struct Lost {
    total: AtomicU64,
    /// All since the start.
    ever: AtomicU64,
    by_app: Mutex<HashMap<AppId, u64>>,
    /// Lines that were altered on the way in, since they were last taken.
    altered: Mutex<HashMap<AppId, Altered>>,
}

/// Lines that were not kept as they were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Altered {
    /// What was not UTF-8, or NUL, was replaced.
    pub replaced: u64,
    /// They were too long, and cut into several.
    pub cut: u64,
}

impl Altered {
    /// Adds up.
    pub const fn add(&mut self, other: Self) {
        self.replaced += other.replaced;
        self.cut += other.cut;
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.replaced == 0 && self.cut == 0
    }
}

impl Lost {
    /// Takes the counts, leaving zero.
    pub fn take(&self) -> HashMap<AppId, u64> {
        if self.total.swap(0, Ordering::Relaxed) == 0 {
            return HashMap::new();
        }
        std::mem::take(&mut *self.by_app.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the counts of altered lines, leaving none.
    pub fn take_altered(&self) -> HashMap<AppId, Altered> {
        std::mem::take(&mut *self.altered.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, batch: &[LogEntry]) {
        let mut by_app = self.by_app.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in batch {
            *by_app.entry(entry.app).or_default() += 1;
        }
        self.total.fetch_add(batch.len() as u64, Ordering::Relaxed);
        self.ever.fetch_add(batch.len() as u64, Ordering::Relaxed);
    }
}

impl LogSink {
    /// A sink and the receiving end that Logplex owns. `batches` bounds the queue.
    #[must_use]
    pub fn channel(batches: usize) -> (Self, Receiver<Vec<LogEntry>>, Arc<Lost>) {
        let (queue, receiver) = sync_channel(batches);
        let lost = Arc::new(Lost::default());
        let sink = Self { queue, lost: lost.clone(), sent: Arc::default(), heir: Arc::default() };
        (sink, receiver, lost)
    }

    /// Hands over lines, in order. Never blocks.
    pub fn send(&self, batch: Vec<LogEntry>) {
        if batch.is_empty() {
            return;
        }
        self.sent.fetch_add(batch.len() as u64, Ordering::Relaxed);
        let batch = match (self.queue.try_send(batch), self.heir.get()) {
            (Ok(()), _) => return,
            (Err(TrySendError::Disconnected(batch)), Some(heir)) => return heir.send(batch),
            (Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)), _) => batch,
        };
        self.lost.add(&batch);
        // Logplex may just have emptied the queue and looked at the counts before these.
        self.wake();
    }

    /// When Logplex has ended, lines go to `heir`. Only the first heir counts.
    pub fn bequeath(&self, heir: Self) {
        let _ = self.heir.set(heir);
    }

    /// Counts lines that were altered before they are handed over.
    pub fn note_altered(&self, app: AppId, altered: Altered) {
        if !altered.is_none() {
            let mut all = self.lost.altered.lock().unwrap_or_else(PoisonError::into_inner);
            all.entry(app).or_default().add(altered);
        }
    }

    /// Lines handed over since the start, and how many of them were dropped.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.lost.ever.load(Ordering::Relaxed))
    }

    /// Makes Logplex look up: at the counts of lost lines, or whether it is to stop. A full queue
    /// needs nothing, for then it has yet to look.
    pub fn wake(&self) {
        let _ = self.queue.try_send(Vec::new());
    }

    /// Hands over one line, stamped now.
    pub fn say(&self, app: AppId, source: Source, process: &str, text: impl Into<String>) {
        let at = Timestamp::now();
        self.send(vec![LogEntry { app, at, source, process: process.into(), text: text.into() }]);
    }

    /// An event of the API: `app[api]: Set A config vars by user X`.
    pub fn api(&self, app: AppId, text: impl Into<String>) {
        self.say(app, Source::App, "api", text);
    }
}
