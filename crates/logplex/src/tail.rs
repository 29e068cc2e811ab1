//! The lines that wait for one tail's reader.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::Timestamp;
use tokio::sync::Notify;

use crate::config::Config;
use crate::query::Filter;
use crate::record::Record;

/// Lines handed to the reader at once.
const BATCH: usize = 256;

/// A bounded queue between the intake and one reader. When it is full its oldest line is dropped
/// and counted, and the reader is told (L11) whatever its filter.
pub(crate) struct Tail {
    filter: Filter,
    max_lines: usize,
    max_bytes: usize,
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Default)]
struct Waiting {
    records: VecDeque<Arc<Record>>,
    bytes: usize,
    dropped: Option<Dropped>,
    ended: bool,
}

struct Dropped {
    count: u64,
    since: Timestamp,
    last: u64,
}

impl Tail {
    /// An empty queue.
    pub fn new(filter: Filter, config: &Config) -> Self {
        Self {
            filter,
            max_lines: config.lines_per_tail.max(1),
            max_bytes: config.bytes_per_tail,
            waiting: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// Takes in those of the new lines that match. Never blocks on the reader.
    pub fn feed(&self, records: &[Arc<Record>]) {
        let mut waiting = self.waiting();
        // That lines were lost is said whatever the filter: some might have matched.
        let wanted = |record: &&Arc<Record>| record.lost > 0 || self.filter.matches(record);
        for record in records.iter().filter(wanted) {
            waiting.push(record.clone());
            while waiting.records.len() > self.max_lines || waiting.bytes > self.max_bytes {
                if waiting.records.len() == 1 {
                    break;
                }
                waiting.drop_oldest();
            }
        }
        if !waiting.records.is_empty() {
            self.wake.notify_one();
        }
    }

    /// Nothing more will come.
    pub fn end(&self) {
        self.waiting().ended = true;
        self.wake.notify_one();
    }

    /// Waits for lines. Empty only at the end. Nothing is lost if the future is dropped.
    pub async fn take(&self) -> Vec<Arc<Record>> {
        loop {
            if let Some(records) = self.waiting().take() {
                return records;
            }
            // `notify_one` leaves a permit, so a line that came since the look is not missed.
            self.wake.notified().await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn push(&mut self, record: Arc<Record>) {
        self.bytes += record.bytes();
        self.records.push_back(record);
    }

    fn pop(&mut self) -> Option<Arc<Record>> {
        let record = self.records.pop_front()?;
        self.bytes -= record.bytes();
        Some(record)
    }

    fn drop_oldest(&mut self) {
        let Some(record) = self.pop() else { return };
        let since = Dropped { count: 0, since: record.at, last: 0 };
        let dropped = self.dropped.get_or_insert(since);
        dropped.count += record.lost.max(1);
        dropped.last = record.id;
    }

    /// What can be read now: `None` to wait, nothing at the end.
    fn take(&mut self) -> Option<Vec<Arc<Record>>> {
        if self.records.is_empty() && !self.ended {
            return None;
        }
        // What was dropped is older than all that waits, so its note comes first.
        let note = self.dropped.take().map(|dropped| Arc::new(dropped.note()));
        let mut records: Vec<_> = note.into_iter().collect();
        while let Some(record) = self.pop() {
            records.push(record);
            if records.len() >= BATCH {
                break;
            }
        }
        Some(records)
    }
}

impl Dropped {
    /// Bears the id of the last dropped line, so that a reader who resumes there is not sent the
    /// lines it was told are gone.
    fn note(self) -> Record {
        let Self { count, since, last } = self;
        let text = format!(
            "Error L11 (Tail buffer overflow) -> This tail session dropped {count} messages since {since}."
        );
        Record::note(last, Timestamp::now(), text)
    }
}
