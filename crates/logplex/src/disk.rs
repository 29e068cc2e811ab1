//! The thread that keeps the newest lines on disk, so that they outlive the server.
//!
//! The intake never waits for it: what does not fit in its queue is not written, and the file says
//! so at that place.

pub(crate) mod files;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use model::AppId;

use crate::config::Config;
use crate::record::Record;

pub(crate) use files::load;

/// Lines of several apps, each app's in order.
pub(crate) type Batch = Vec<(AppId, Vec<Arc<Record>>)>;

/// How long lines gather before they are written together. A killed server loses no more.
const GATHER: Duration = Duration::from_millis(100);

/// Batches that may wait.
const MAX_BATCHES: usize = 256;

/// Bytes that may wait.
const MAX_BYTES: usize = 16 << 20;

/// When so many bytes were written at once, more wait, and nothing is gathered.
const BUSY_BYTES: usize = 1 << 20;

/// The intake's end of the disk.
pub(crate) struct Disk {
    queue: Mutex<Option<SyncSender<Batch>>>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    waiting_bytes: AtomicUsize,
    /// Lines that were not written, by app, and not yet said in its file.
    missed: Mutex<HashMap<AppId, u64>>,
    /// Apps whose files are to be deleted.
    forgotten: Mutex<Vec<AppId>>,
}

struct Writer {
    queue: Receiver<Batch>,
    shared: Arc<Shared>,
    directory: PathBuf,
    lines_per_app: usize,
    bytes_per_file: u64,
    gone: HashSet<AppId>,
    is_failing: bool,
}

impl Disk {
    /// Starts the thread. Without a directory there is none, and nothing is kept.
    pub fn start(config: &Config) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let Some(directory) = config.directory.clone() else {
            return Ok(Self { queue: Mutex::default(), shared, thread: Mutex::default() });
        };
        let (sender, queue) = sync_channel(MAX_BATCHES);
        let writer = Writer {
            queue,
            shared: shared.clone(),
            directory,
            lines_per_app: config.lines_per_app,
            bytes_per_file: config.bytes_per_file,
            gone: HashSet::new(),
            is_failing: false,
        };
        let thread =
            thread::Builder::new().name("logplex-disk".to_owned()).spawn(|| writer.run())?;
        Ok(Self { queue: Mutex::new(Some(sender)), shared, thread: Mutex::new(Some(thread)) })
    }

    /// Hands lines over. Never blocks.
    pub fn keep(&self, batch: Batch) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = queue.as_ref() else { return };
        let bytes = batch_bytes(&batch);
        let before = self.shared.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let unsent = if before + bytes > MAX_BYTES {
            Some(batch)
        } else {
            queue.try_send(batch).err().map(|error| match error {
                std::sync::mpsc::TrySendError::Full(batch)
                | std::sync::mpsc::TrySendError::Disconnected(batch) => batch,
            })
        };
        if let Some(batch) = unsent {
            self.shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            batch.iter().for_each(|(app, records)| self.shared.miss(*app, records.len()));
        }
    }

    /// Deletes an app's files, soon.
    pub fn forget(&self, app: AppId) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = queue.as_ref() else { return };
        self.shared.forgotten().push(app);
        // Only a wake-up: when the queue is full, the thread is awake.
        let _ = queue.try_send(Vec::new());
    }

    /// Writes what waits and joins the thread.
    pub fn shutdown(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the log disk thread panicked; the last lines are not on disk");
        }
    }
}

impl Shared {
    fn miss(&self, app: AppId, lines: usize) {
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        *missed.entry(app).or_default() += lines as u64;
    }

    fn take_missed(&self, app: AppId) -> Option<u64> {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner).remove(&app)
    }

    fn forgotten(&self) -> MutexGuard<'_, Vec<AppId>> {
        self.forgotten.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    fn run(mut self) {
        let mut is_busy = false;
        while let Ok(first) = self.queue.recv() {
            if !is_busy {
                thread::sleep(GATHER);
            }
            let mut round = HashMap::new();
            let mut bytes = self.merge(first, &mut round);
            while let Ok(batch) = self.queue.try_recv() {
                bytes += self.merge(batch, &mut round);
            }
            self.delete_forgotten();
            round.into_iter().for_each(|(app, records)| self.write(app, &records));
            self.shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            is_busy = bytes >= BUSY_BYTES;
        }
        self.delete_forgotten();
    }

    fn merge(&self, batch: Batch, round: &mut HashMap<AppId, Vec<Arc<Record>>>) -> usize {
        let bytes = batch_bytes(&batch);
        for (app, records) in batch {
            round.entry(app).or_default().extend(records);
        }
        bytes
    }

    /// Appends an app's lines: only the newest, for more would not be read back anyway.
    fn write(&mut self, app: AppId, records: &[Arc<Record>]) {
        let records = &records[records.len().saturating_sub(self.lines_per_app)..];
        let Some(first) = records.first().filter(|_| !self.gone.contains(&app)) else { return };
        let missed = self.shared.take_missed(app);
        let note = missed.map(|count| {
            let text = format!("{count} messages before this one were not kept on disk.");
            Record::note(first.id.saturating_sub(1), first.at, text)
        });
        let all = note.iter().chain(records.iter().map(AsRef::as_ref));
        let result = files::append(&self.directory, app, all, self.bytes_per_file);
        if result.is_err() {
            let lines = records.len() + usize::try_from(missed.unwrap_or(0)).unwrap_or(0);
            self.shared.miss(app, lines);
        }
        self.report(result);
    }

    /// Says once that writing fails, and once that it works again.
    fn report(&mut self, result: io::Result<()>) {
        let was_failing = std::mem::replace(&mut self.is_failing, result.is_err());
        match result {
            Err(error) if !was_failing => {
                tracing::error!(%error, "cannot keep log lines on disk; they are kept in memory");
            }
            Ok(()) if was_failing => tracing::info!("log lines are kept on disk again"),
            Ok(()) | Err(_) => {}
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
            let deleted = files::delete(&self.directory, app);
            self.report(deleted);
        }
    }
}

fn batch_bytes(batch: &Batch) -> usize {
    batch.iter().flat_map(|(_, records)| records).map(|record| record.bytes()).sum()
}

#[cfg(test)]
mod tests;
