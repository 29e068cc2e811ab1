//! The thread that keeps lines on disk, so that they outlive the server.
//!
//! The intake never waits for it: what does not fit in its queue is not written, and the file says
//! so at that place, which a jump of the ids shows.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use model::{AppId, Timestamp};

use crate::config::Config;
use crate::record::Record;
use crate::retention::{Cut, Retention};
use crate::segments::{self, Sealer, Segments};

/// Lines of several apps, each app's in order.
pub(crate) type Batch = Vec<(AppId, Vec<Arc<Record>>)>;

/// Says something in an app's stream.
pub(crate) type Tell = Box<dyn Fn(AppId, String) + Send>;

/// How long lines gather before they are written together. A killed server loses no more.
const GATHER: Duration = Duration::from_millis(100);

/// Batches that may wait.
const MAX_BATCHES: usize = 1024;

/// Bytes that may wait.
const MAX_BYTES: usize = 32 << 20;

/// When so many bytes were written at once, more wait, and nothing is gathered.
const BUSY_BYTES: usize = 1 << 20;

/// Old files are looked for so often.
const EXPIRE_EVERY: Duration = Duration::from_mins(10);

/// The same thing is said to an app at most so often.
const SAY_EVERY: Duration = Duration::from_mins(1);

/// A reader waits so long for lines to be written.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// The intake's end of the disk.
pub(crate) struct Disk {
    directory: Option<PathBuf>,
    queue: Mutex<Option<SyncSender<Order>>>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// How an app's lines fare on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Bytes on disk.
    pub bytes: u64,
    /// Lines that were not written since the server's start: the disk was full, or too slow.
    pub unkept: u64,
    /// Lines up to then were deleted before their time, because of the bounds.
    pub cut_until: Option<Timestamp>,
}

enum Order {
    Keep(Batch),
    /// Something was forgotten.
    Look,
    /// Answer when all before is written.
    Flush(SyncSender<()>),
}

#[derive(Default)]
struct Shared {
    waiting_bytes: AtomicUsize,
    /// Lines that were not written, by app, and not yet said in its file.
    missed: Mutex<HashMap<AppId, u64>>,
    /// Apps whose files are to be deleted.
    forgotten: Mutex<Vec<AppId>>,
    kept: Mutex<HashMap<AppId, Kept>>,
}

/// The thread's end, before the thread.
pub(crate) struct Writer {
    queue: Receiver<Order>,
    shared: Arc<Shared>,
    directory: PathBuf,
    sealer: Sealer,
    retention: Retention,
    gone: HashSet<AppId>,
    /// The newest line of each app that this run of the server has written.
    newest: HashMap<AppId, u64>,
    /// Apps whose lines cannot be written now.
    failing: HashSet<AppId>,
    /// When an app was last told of something.
    said: HashMap<AppId, Instant>,
    tell: Tell,
}

/// What is written together.
#[derive(Default)]
struct Round {
    apps: HashMap<AppId, Vec<Arc<Record>>>,
    bytes: usize,
    flushed: Vec<SyncSender<()>>,
}

impl Disk {
    /// The two ends of the queue. Without a directory there is no thread's end, and nothing is kept.
    pub fn new(config: &Config) -> (Self, Option<Writer>) {
        let shared = Arc::new(Shared::default());
        let Some(directory) = config.directory.clone() else {
            let queue = Mutex::default();
            return (Self { directory: None, queue, shared, thread: Mutex::default() }, None);
        };
        let (sender, queue) = sync_channel(MAX_BATCHES);
        let writer = Writer {
            queue,
            shared: shared.clone(),
            sealer: Sealer::new(config.disk.bytes_per_block, config.disk.bytes_per_file()),
            retention: Retention::new(&directory, config),
            directory: directory.clone(),
            gone: HashSet::new(),
            newest: HashMap::new(),
            failing: HashSet::new(),
            said: HashMap::new(),
            tell: Box::new(|_, _| {}),
        };
        let queue = Mutex::new(Some(sender));
        (Self { directory: Some(directory), queue, shared, thread: Mutex::default() }, Some(writer))
    }

    /// Starts the thread.
    pub fn start(&self, writer: Writer, tell: Tell) -> io::Result<()> {
        let writer = Writer { tell, ..writer };
        let builder = thread::Builder::new().name("logplex-disk".to_owned());
        let thread = builder.spawn(|| writer.run())?;
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    /// Where lines are kept, if they are.
    pub fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// Hands lines over. Never blocks.
    pub fn keep(&self, batch: Batch) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = queue.as_ref() else { return };
        let bytes = batch_bytes(&batch);
        let before = self.shared.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let unsent = if before + bytes > MAX_BYTES {
            Some(Order::Keep(batch))
        } else {
            queue.try_send(Order::Keep(batch)).err().map(|error| match error {
                TrySendError::Full(order) | TrySendError::Disconnected(order) => order,
            })
        };
        if let Some(Order::Keep(batch)) = unsent {
            self.shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            batch.iter().for_each(|(app, records)| self.shared.miss(*app, records));
        }
    }

    /// Waits, not for ever, until everything handed over before is written. Blocks.
    pub fn flush(&self) {
        let (done, written) = sync_channel(1);
        let until = Instant::now() + FLUSH_WITHIN;
        let mut order = Order::Flush(done);
        loop {
            let sent = {
                let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(queue) = queue.as_ref() else { return };
                queue.try_send(order)
            };
            match sent {
                Ok(()) => break,
                Err(TrySendError::Full(unsent)) if Instant::now() < until => order = unsent,
                Err(_) => return,
            }
            // The queue is full, which is rare: its thread takes all of it at once, soon.
            thread::sleep(Duration::from_millis(5));
        }
        self.hurry();
        // Late or never: then the reader says what it does not find.
        let _ = written.recv_timeout(until.saturating_duration_since(Instant::now()));
    }

    /// Ends the gathering.
    fn hurry(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.as_ref() {
            thread.thread().unpark();
        }
    }

    /// How an app's lines fare.
    pub fn kept(&self, app: AppId) -> Kept {
        self.shared.kept().get(&app).copied().unwrap_or_default()
    }

    /// Deletes an app's files, soon.
    pub fn forget(&self, app: AppId) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = queue.as_ref() else { return };
        self.shared.forgotten().push(app);
        // Only a wake-up: when the queue is full, the thread is awake.
        let _ = queue.try_send(Order::Look);
    }

    /// Writes what waits and joins the thread.
    pub fn shutdown(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.hurry();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the log disk thread panicked; the last lines are not on disk");
        }
    }
}

impl Shared {
    /// A line that says that others are lost counts as those.
    fn miss(&self, app: AppId, records: &[Arc<Record>]) {
        let lines = records.iter().map(|record| record.lost.max(1)).sum();
        self.miss_again(app, lines);
        self.kept().entry(app).or_default().unkept += lines;
    }

    fn take_missed(&self, app: AppId) -> Option<u64> {
        self.missed().remove(&app)
    }

    /// Lines that could not be said to be missing are missing still.
    fn miss_again(&self, app: AppId, lines: u64) {
        if lines > 0 {
            *self.missed().entry(app).or_default() += lines;
        }
    }

    fn missed(&self) -> MutexGuard<'_, HashMap<AppId, u64>> {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forgotten(&self) -> MutexGuard<'_, Vec<AppId>> {
        self.forgotten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<AppId, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Mends what a crash left behind. Gives the newest id of each app that has lines.
    pub fn recover(&mut self) -> io::Result<Vec<(AppId, u64)>> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let mut newest = Vec::new();
        for app in segments::apps(&self.directory)? {
            let recovered = Segments::new(&self.directory, app).recover();
            match recovered.and_then(|last| self.measure(app).map(|()| last)) {
                Ok(Some(last)) => newest.push((app, last)),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%app, %error, "cannot read the kept log lines of an app")
                }
            }
        }
        self.expire();
        Ok(newest)
    }

    fn run(mut self) {
        let mut expire_at = Instant::now() + EXPIRE_EVERY;
        let mut is_busy = false;
        loop {
            let wait = expire_at.saturating_duration_since(Instant::now());
            match self.queue.recv_timeout(wait) {
                Ok(first) => {
                    let round = self.gather(first, if is_busy { Duration::ZERO } else { GATHER });
                    is_busy = round.bytes >= BUSY_BYTES;
                    self.carry_out(round);
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.expire();
                    expire_at = Instant::now() + EXPIRE_EVERY;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.delete_forgotten();
        self.note_missed();
    }

    /// What comes within a time, or until somebody wants it written. Nobody wakes the thread for
    /// each batch: that would cost more than the writing.
    fn gather(&self, first: Order, time: Duration) -> Round {
        let mut round = Round::default();
        round.take(first);
        if round.flushed.is_empty() && !time.is_zero() {
            thread::park_timeout(time);
        }
        while round.bytes < MAX_BYTES
            && let Ok(order) = self.queue.try_recv()
        {
            round.take(order);
        }
        round
    }

    fn carry_out(&mut self, round: Round) {
        self.delete_forgotten();
        for (app, mut records) in round.apps {
            // Whoever says something in a stream hands it over beside the intake.
            records.sort_by_key(|record| record.id);
            self.write(app, &records);
        }
        self.shared.waiting_bytes.fetch_sub(round.bytes, Ordering::Relaxed);
        // A reader that has gone needs no answer.
        for done in round.flushed {
            let _gone = done.try_send(());
        }
    }

    /// Appends an app's lines, and where some are missing between them a note of those that were
    /// missed. When none are, the missed ones are newer than all of these.
    fn write(&mut self, app: AppId, records: &[Arc<Record>]) {
        let Some(last) = records.last().filter(|_| !self.gone.contains(&app)) else { return };
        let gap = self.gap(app, records);
        let missed = gap.and_then(|_| self.shared.take_missed(app));
        let (before, behind) = records.split_at(gap.unwrap_or(records.len()));
        let note = missed.zip(behind.first());
        let note = note.map(|(lost, next)| unkept(lost, next.id.saturating_sub(1), next.at));
        let all = before.iter().map(AsRef::as_ref).chain(&note);
        let all = all.chain(behind.iter().map(AsRef::as_ref));
        let written = Segments::new(&self.directory, app).append(all, &mut self.sealer);
        match written {
            Ok(sealed) => {
                self.newest.insert(app, last.id);
                self.succeeded(app, missed);
                if sealed {
                    self.make_room(app);
                }
            }
            Err(error) => {
                self.shared.miss_again(app, missed.unwrap_or(0));
                self.failed(app, records, &error);
            }
        }
    }

    /// The first line before which one is missing. Within one run of the server, ids have no jumps.
    fn gap(&self, app: AppId, records: &[Arc<Record>]) -> Option<usize> {
        let Some(newest) = self.newest.get(&app) else { return Some(0) };
        let mut before = *newest;
        records.iter().position(|record| record.id > std::mem::replace(&mut before, record.id) + 1)
    }

    /// Nothing comes any more: lines that are still missing would be behind all others.
    fn note_missed(&mut self) {
        let missed = std::mem::take(&mut *self.shared.missed());
        for (app, lost) in missed {
            let Some(newest) = self.newest.get(&app) else { continue };
            let note = unkept(lost, newest + 1, Timestamp::now());
            let segments = Segments::new(&self.directory, app);
            if let Err(error) = segments.append(std::iter::once(&note), &mut self.sealer) {
                tracing::error!(%app, %error, lost, "cannot note the log lines that were not kept");
            }
        }
    }

    /// Says that an app's lines are kept again.
    fn succeeded(&mut self, app: AppId, missed: Option<u64>) {
        if self.failing.remove(&app) {
            tracing::info!(%app, "log lines are kept on disk again");
            let lost = missed.unwrap_or(0);
            let text = format!("Log lines are kept on disk again; {lost} are in memory only.");
            (self.tell)(app, text);
        } else if let Some(lost) = missed.or_else(|| self.shared.missed().get(&app).copied()) {
            self.say(app, format!("The disk is too slow: {lost} log lines are in memory only."));
        }
    }

    /// Says once that an app's lines cannot be kept.
    fn failed(&mut self, app: AppId, records: &[Arc<Record>], error: &io::Error) {
        self.shared.miss(app, records);
        // Bounded: when so many fail, it is the disk and not an app.
        if self.failing.len() < 10_000 && self.failing.insert(app) {
            tracing::error!(%app, %error, "cannot keep log lines on disk; they are kept in memory");
            let text =
                format!("Log lines cannot be kept on disk ({error}); the newest stay in memory.");
            self.say(app, text);
        }
    }

    fn say(&mut self, app: AppId, text: String) {
        let now = Instant::now();
        if self.said.len() > 10_000 {
            self.said.retain(|_, at| now.duration_since(*at) < SAY_EVERY);
        }
        if self.said.get(&app).is_none_or(|at| now.duration_since(*at) >= SAY_EVERY) {
            self.said.insert(app, now);
            (self.tell)(app, text);
        }
    }

    fn make_room(&mut self, app: AppId) {
        match self.retention.make_room(app) {
            Ok(cuts) => cuts.iter().for_each(|cut| self.tell_cut(cut)),
            Err(error) => tracing::error!(%app, %error, "cannot delete old log lines"),
        }
        if let Err(error) = self.measure(app) {
            tracing::warn!(%app, %error, "cannot measure the kept log lines of an app");
        }
    }

    fn tell_cut(&mut self, cut: &Cut) {
        let Cut { app, bytes, until, .. } = *cut;
        tracing::info!(%app, bytes, %until, "deleted log lines before their time");
        self.shared.kept().entry(app).or_default().cut_until = Some(until);
        self.say(app, cut.text());
        if let Err(error) = self.measure(app) {
            tracing::warn!(%app, %error, "cannot measure the kept log lines of an app");
        }
    }

    fn measure(&mut self, app: AppId) -> io::Result<()> {
        let bytes = self.retention.measure(app)?;
        self.shared.kept().entry(app).or_default().bytes = bytes;
        Ok(())
    }

    fn expire(&mut self) {
        if let Err(error) = self.retention.expire(Timestamp::now()) {
            tracing::error!(%error, "cannot delete old log lines");
        }
    }

    fn delete_forgotten(&mut self) {
        let forgotten = std::mem::take(&mut *self.shared.forgotten());
        for app in forgotten {
            // Bounded: lines of an app that is gone come for seconds, not for a thousand apps.
            if self.gone.len() >= 1024 {
                self.gone.clear();
            }
            self.gone.insert(app);
            self.newest.remove(&app);
            self.shared.kept().remove(&app);
            self.shared.missed().remove(&app);
            let deleted = Segments::new(&self.directory, app).delete();
            if let Err(error) = deleted.and_then(|()| self.retention.measure(app)) {
                tracing::error!(%app, %error, "cannot delete the log lines of an app that is gone");
            }
        }
    }
}

impl Round {
    fn take(&mut self, order: Order) {
        match order {
            Order::Keep(batch) => {
                self.bytes += batch_bytes(&batch);
                for (app, records) in batch {
                    self.apps.entry(app).or_default().extend(records);
                }
            }
            Order::Look => {}
            Order::Flush(done) => self.flushed.push(done),
        }
    }
}

/// Says in the file that lines are not there.
fn unkept(lost: u64, id: u64, at: Timestamp) -> Record {
    let text = format!("{lost} messages before this one were not kept on disk.");
    Record { lost, ..Record::note(id, at, text) }
}

fn batch_bytes(batch: &Batch) -> usize {
    batch.iter().flat_map(|(_, records)| records).map(|record| record.bytes()).sum()
}

#[cfg(test)]
mod tests;
