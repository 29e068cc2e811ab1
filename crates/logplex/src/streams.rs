//! The streams of all apps, within one bound.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{AppId, DrainId, LogEntry, Timestamp};

use crate::config::Config;
use crate::disk::Disk;
use crate::drains::Buffer;
use crate::query::Query;
use crate::record::{Record, clean};
use crate::session::Session;
use crate::stream::Stream;

/// How many apps that are gone are remembered, so that their dynos' last words are not kept.
const MAX_GONE: usize = 1024;

/// The streams of all apps.
pub(crate) struct Streams {
    apps: Mutex<Apps>,
    /// Bytes in all rings. For a moment it may be below the truth, even below zero, when an app
    /// is forgotten while a line of it comes in.
    bytes: AtomicIsize,
    disk: Disk,
    config: Config,
}

#[derive(Default)]
struct Apps {
    streams: HashMap<AppId, Arc<Stream>>,
    gone: VecDeque<AppId>,
    /// The server stops: no tail may stay.
    closing: bool,
}

impl Streams {
    /// Streams that go on after what is on disk.
    pub fn new(past: Vec<(AppId, Vec<Record>)>, disk: Disk, config: Config) -> Self {
        let mut apps = Apps::default();
        for (app, records) in past {
            apps.streams.insert(app, Arc::new(Stream::new(records, &config)));
        }
        let bytes: usize = apps.streams.values().map(|stream| stream.bytes()).sum();
        let bytes = AtomicIsize::new(bytes.cast_signed());
        Self { apps: Mutex::new(apps), bytes, disk, config }
    }

    /// Adds lines of any apps, in order.
    pub fn append(&self, entries: Vec<LogEntry>) {
        if entries.is_empty() {
            return;
        }
        let mut by_app: HashMap<AppId, Vec<LogEntry>> = HashMap::new();
        for entry in clean(entries) {
            by_app.entry(entry.app).or_default().push(entry);
        }
        let by_app = by_app.into_iter();
        self.add(by_app.map(|(app, entries)| (app, |stream: &Stream| stream.append(entries))));
    }

    /// Tells apps how many of their lines were lost, and since when.
    pub fn tell_lost(&self, losses: impl Iterator<Item = (AppId, u64, Timestamp)>) {
        self.add(
            losses.map(|(app, lost, since)| {
                (app, move |stream: &Stream| stream.tell_lost(lost, since))
            }),
        );
    }

    fn add(
        &self,
        apps: impl Iterator<Item = (AppId, impl FnOnce(&Stream) -> (Vec<Arc<Record>>, isize))>,
    ) {
        let mut batch = Vec::new();
        for (app, append) in apps {
            let Some(stream) = self.stream(app) else { continue };
            let (records, grown) = append(&stream);
            self.bytes.fetch_add(grown, Ordering::Relaxed);
            batch.push((app, records));
        }
        self.disk.keep(batch);
        self.make_room();
    }

    /// Opens a reader.
    pub fn session(&self, app: AppId, query: Query) -> Session {
        let Some(stream) = self.stream(app) else { return Session::new(Vec::new(), None) };
        let session = stream.session(query, &self.config);
        if self.apps().closing {
            stream.end_tails();
        }
        session
    }

    /// Gives a drain's buffer the app's lines; as [`Stream::attach`]. `None` when the app is gone.
    pub fn attach(&self, app: AppId, buffer: Arc<Buffer>, after: Option<u64>) -> Option<u64> {
        Some(self.stream(app)?.attach(buffer, after))
    }

    /// Gives a drain's buffer no more lines.
    pub fn detach(&self, app: AppId, drain: DrainId) {
        // Not `stream`, which would make one.
        let stream = self.apps().streams.get(&app).cloned();
        stream.iter().for_each(|stream| stream.detach(drain));
    }

    /// Ends an app's stream and deletes what was kept.
    pub fn forget(&self, app: AppId) {
        let stream = self.apps().forget(app);
        if let Some(stream) = stream {
            stream.end();
            self.bytes.fetch_sub(stream.evict(usize::MAX).cast_signed(), Ordering::Relaxed);
        }
        self.disk.forget(app);
    }

    /// Ends all tails, now and from now on.
    pub fn close(&self) {
        let streams: Vec<_> = {
            let mut apps = self.apps();
            apps.closing = true;
            apps.streams.values().cloned().collect()
        };
        streams.iter().for_each(|stream| stream.end_tails());
    }

    /// The disk's end of things.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The app's stream; `None` when the app is gone.
    fn stream(&self, app: AppId) -> Option<Arc<Stream>> {
        let mut apps = self.apps();
        if apps.gone.contains(&app) {
            return None;
        }
        let new = || Arc::new(Stream::new(Vec::new(), &self.config));
        Some(apps.streams.entry(app).or_insert_with(new).clone())
    }

    /// Takes the oldest lines from the largest stream while all together are too large. A
    /// sixteenth more than needed goes at once, so that this is rare.
    fn make_room(&self) {
        let max = self.config.bytes_overall.cast_signed();
        loop {
            let excess = self.bytes.load(Ordering::Relaxed) - max;
            if excess <= 0 {
                return;
            }
            let excess = (excess + max / 16).cast_unsigned();
            let streams: Vec<_> = self.apps().streams.values().cloned().collect();
            let Some(largest) = streams.iter().max_by_key(|stream| stream.bytes()) else { return };
            // Not all of the largest at once: then the next largest has its turn.
            let won = largest.evict(excess.min(largest.bytes() / 2).max(1));
            if won == 0 {
                return;
            }
            self.bytes.fetch_sub(won.cast_signed(), Ordering::Relaxed);
        }
    }

    fn apps(&self) -> MutexGuard<'_, Apps> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Apps {
    fn forget(&mut self, app: AppId) -> Option<Arc<Stream>> {
        if self.gone.len() == MAX_GONE {
            self.gone.pop_front();
        }
        self.gone.push_back(app);
        self.streams.remove(&app)
    }
}
