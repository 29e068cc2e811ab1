//! The streams of all apps, within one bound.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use model::log::{Altered, Source};
use model::{AppId, DrainId, LogEntry, Timestamp};
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::disk::{Disk, Kept};
use crate::drains::Buffer;
use crate::history::{self, History, gone};
use crate::query::Query;
use crate::record::{Record, clean};
use crate::rules::Rules;
use crate::search::{self, Field, Search, Searching};
use crate::segments::Segments;
use crate::session::Session;
use crate::stream::{Older, Opened, Stream, Wanted, oldest};

/// How many apps that are gone are remembered, so that their dynos' last words are not kept.
const MAX_GONE: usize = 1024;

/// Searches at once; others wait.
const SEARCHES: usize = 2;

/// A reader of a search must take something within this time.
const READER_PATIENCE: Duration = Duration::from_secs(10);

/// The streams of all apps.
pub(crate) struct Streams {
    apps: Mutex<Apps>,
    /// Bytes in all rings. For a moment it may be below the truth, even below zero, when an app
    /// is forgotten while a line of it comes in.
    bytes: AtomicIsize,
    altered: Mutex<HashMap<AppId, Altered>>,
    searches: Arc<Semaphore>,
    rules: OnceLock<Rules>,
    disk: Arc<Disk>,
    config: Config,
}

/// What is known about an app's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Lines that can be read without the disk.
    pub lines_in_memory: usize,
    /// Bytes of memory they cost.
    pub bytes_in_memory: usize,
    /// The time of the oldest line on disk.
    pub kept_since: Option<Timestamp>,
    /// Lines that were not kept as they were written.
    pub altered: Altered,
    /// How the lines fare on disk.
    pub kept: Kept,
}

#[derive(Default)]
struct Apps {
    streams: HashMap<AppId, Arc<Stream>>,
    gone: VecDeque<AppId>,
    /// The newest ids on disk when the server started.
    past: HashMap<AppId, u64>,
    /// The server stops: no tail may stay.
    closing: bool,
}

impl Streams {
    /// Streams that go on after what is on disk: the newest id of each app that has lines there.
    pub fn new(past: HashMap<AppId, u64>, disk: Disk, config: Config) -> Self {
        Self {
            apps: Mutex::new(Apps { past, ..Apps::default() }),
            bytes: AtomicIsize::new(0),
            altered: Mutex::default(),
            searches: Arc::new(Semaphore::new(SEARCHES)),
            rules: OnceLock::new(),
            disk: Arc::new(disk),
            config,
        }
    }

    /// Adds lines of any apps, in order.
    pub fn append(&self, entries: Vec<LogEntry>) {
        if entries.is_empty() {
            return;
        }
        let (entries, altered) = clean(entries);
        self.count_altered(altered);
        let by_app = by_app(entries);
        self.add(
            by_app
                .into_iter()
                .map(|(app, entries)| (app, |stream: &Stream| stream.append(entries))),
        );
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
        if let Some(rules) = self.rules.get() {
            rules.offer(&batch);
        }
        self.disk.keep(batch);
        self.make_room();
    }

    /// Says something in an app's stream.
    pub fn say(&self, app: AppId, text: String) {
        let process = "logplex".into();
        let at = Timestamp::now();
        self.append(vec![LogEntry { app, at, source: Source::Heroku, process, text }]);
    }

    /// Opens a reader.
    pub fn session(&self, app: AppId, query: Query) -> Session {
        let Some(stream) = self.stream(app) else { return Session::ended() };
        let filter = query.filter.clone();
        let Opened { older, recent, tail } = stream.session(query, &self.config);
        if self.apps().closing {
            stream.end_tails();
        }
        let Some(Older { before, oldest, wanted: Wanted { count, after } }) = older else {
            return Session::new(None, recent, tail);
        };
        let Some(segments) = self.segments(app) else {
            let gone = after.and_then(|after| gone(after, before));
            return Session::new(None, gone.into_iter().chain(recent).collect(), tail);
        };
        let disk = self.disk.clone();
        let history = History { disk, segments, filter, before, count, oldest, after };
        Session::new(Some(history), recent, tail)
    }

    /// Looks for lines in all that is kept of an app. Needs a tokio runtime.
    pub fn search(&self, app: AppId, search: Search) -> Searching {
        let (recent, before) = self.stream(app).map(|stream| stream.snapshot()).unwrap_or_default();
        let field = Field {
            recent,
            before,
            disk: self.disk.clone(),
            segments: self.segments(app),
            oldest: oldest(&self.config),
            patience: READER_PATIENCE,
        };
        search::begin(field, search, self.searches.clone())
    }

    /// What is known about an app's log. Reads directories.
    pub fn status(&self, app: AppId) -> Status {
        let kept = self.disk.kept(app);
        let segments = self.segments(app);
        let bytes = segments.as_ref().and_then(|segments| segments.bytes().ok());
        let (lines, memory) = self.stream(app).map(|stream| stream.size()).unwrap_or_default();
        Status {
            lines_in_memory: lines,
            bytes_in_memory: memory,
            kept_since: segments.and_then(|segments| segments.oldest().ok().flatten()),
            altered: self.altered().get(&app).copied().unwrap_or_default(),
            kept: Kept { bytes: bytes.unwrap_or(0), ..kept },
        }
    }

    /// Of the lines on disk between two ids the newest `max`, and how many there are besides. Blocks.
    pub fn kept_after(
        &self,
        app: AppId,
        after: u64,
        before: u64,
        max: usize,
    ) -> (u64, Vec<Arc<Record>>) {
        let Some(segments) = self.segments(app) else { return (0, Vec::new()) };
        self.disk.flush();
        history::between(&segments, after, before, max).unwrap_or_else(|error| {
            tracing::warn!(%app, %error, "cannot read kept log lines");
            (0, Vec::new())
        })
    }

    /// Offers all lines from now on to rules. Once.
    pub fn watch(&self, rules: Rules) {
        let _set_before = self.rules.set(rules);
    }

    /// The rules at work.
    pub fn rules(&self) -> Option<&Rules> {
        self.rules.get()
    }

    fn segments(&self, app: AppId) -> Option<Segments> {
        self.disk.directory().map(|directory| Segments::new(directory, app))
    }

    fn altered(&self) -> MutexGuard<'_, HashMap<AppId, Altered>> {
        self.altered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts lines that were not kept as they were written.
    pub fn count_altered(&self, more: impl IntoIterator<Item = (AppId, Altered)>) {
        for (app, altered) in more {
            self.altered().entry(app).or_default().add(altered);
        }
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
        self.altered().remove(&app);
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
        let last = apps.past.get(&app).copied();
        let new = || Arc::new(Stream::new(last, &self.config));
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
        self.past.remove(&app);
        self.streams.remove(&app)
    }
}

/// Each app's lines, in order.
fn by_app(entries: Vec<LogEntry>) -> Vec<(AppId, Vec<LogEntry>)> {
    let mut apps: Vec<(AppId, Vec<LogEntry>)> = Vec::new();
    let mut places: HashMap<AppId, usize> = HashMap::new();
    let mut last = None;
    for entry in entries {
        // Lines of one app come in rows.
        let place = match last {
            Some((app, place)) if app == entry.app => place,
            _ => *places.entry(entry.app).or_insert_with(|| {
                apps.push((entry.app, Vec::new()));
                apps.len() - 1
            }),
        };
        last = Some((entry.app, place));
        apps[place].1.push(entry);
    }
    apps
}
