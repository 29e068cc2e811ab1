//! One app's stream: its ring, its counter and its tails.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use model::{DrainId, LogEntry, Timestamp};

use crate::config::Config;
use crate::drains::Buffer;
use crate::history::{After, MAX_MISSED};
use crate::query::{Filter, Mode, Query};
use crate::record::Record;
use crate::ring::Ring;
use crate::tail::Tail;

/// More ids than a crash can have kept from the disk.
const MARGIN: u64 = 1 << 20;

/// One app's stream.
pub(crate) struct Stream {
    state: Mutex<State>,
}

struct State {
    ring: Ring,
    next_id: u64,
    /// The first id given by this run of the server. From here on ids have no jumps.
    run_start: u64,
    /// Whether there are lines of earlier runs.
    has_past: bool,
    tails: Vec<Weak<Tail>>,
    drains: Vec<Arc<Buffer>>,
    ended: bool,
}

/// A reader that was opened.
pub(crate) struct Opened {
    /// What it wants of the lines before those in memory.
    pub older: Option<Older>,
    pub recent: Vec<Arc<Record>>,
    pub tail: Option<Arc<Tail>>,
}

/// Lines before those in memory.
pub(crate) struct Older {
    /// The first id in memory.
    pub before: u64,
    pub oldest: Timestamp,
    pub wanted: Wanted,
}

/// How many, and after which.
pub(crate) struct Wanted {
    pub count: usize,
    pub after: Option<After>,
}

impl Stream {
    /// A stream that goes on after the lines of earlier runs, if there are any.
    pub fn new(last: Option<u64>, config: &Config) -> Self {
        let ring = Ring::new(config.lines_per_app.max(1), config.bytes_per_app);
        // The clock runs faster than lines come, so it is beyond every id an earlier run gave,
        // also beyond those that a crash kept from the disk. Should it have been set back, the
        // margin is.
        let run_start = now_as_id().max(last.map_or(1, |last| last + MARGIN));
        let state = State {
            ring,
            next_id: run_start,
            run_start,
            has_past: last.is_some(),
            tails: Vec::new(),
            drains: Vec::new(),
            ended: false,
        };
        Self { state: Mutex::new(state) }
    }

    /// Adds lines and wakes the tails. Gives them at their places, and by how many bytes the ring
    /// grew.
    pub fn append(&self, entries: Vec<LogEntry>) -> (Vec<Arc<Record>>, isize) {
        self.add(entries.into_iter().map(|entry| |id| Record::new(id, entry)))
    }

    /// Adds a line that says how many were lost; as [`append`](Self::append).
    pub fn tell_lost(&self, lost: u64, since: Timestamp) -> (Vec<Arc<Record>>, isize) {
        self.add(std::iter::once(|id| Record::loss(id, lost, since)))
    }

    fn add(
        &self,
        records: impl Iterator<Item = impl FnOnce(u64) -> Record>,
    ) -> (Vec<Arc<Record>>, isize) {
        let mut state = self.state();
        if state.ended {
            return (Vec::new(), 0);
        }
        let before = state.ring.bytes();
        let records: Vec<_> = records.map(|record| state.push(record)).collect();
        state.feed(&records);
        (records, state.ring.bytes().cast_signed() - before.cast_signed())
    }

    /// Opens a reader: what it sees of the past and what its tail gets meet without gap or overlap.
    pub fn session(&self, query: Query, config: &Config) -> Opened {
        let mut state = self.state();
        let oldest = oldest(config);
        let (recent, wanted) = match query.after {
            Some(id) => {
                let after = After { id, run_start: state.run_start };
                (
                    state.ring.after(&query.filter, id),
                    Wanted { count: MAX_MISSED, after: Some(after) },
                )
            }
            None => {
                let recent = state.ring.recent(&query.filter, query.lines, oldest);
                let count = query.lines - recent.len();
                (recent, Wanted { count, after: None })
            }
        };
        let before = state.first();
        let older = state.may_have(&wanted).then_some(Older { before, oldest, wanted });
        let tail = match query.mode {
            Mode::Recent => None,
            Mode::Tail => Some(state.tail(Tail::new(query.filter, config))),
        };
        Opened { older, recent, tail }
    }

    /// The lines in memory, the newest first, and the id below which all others are.
    pub fn snapshot(&self) -> (Vec<Arc<Record>>, u64) {
        let state = self.state();
        (state.ring.newest_first().cloned().collect(), state.first())
    }

    /// Gives a drain's buffer every line from now on. With `after`, the id of the last line that
    /// the drain has sent, it first gets those that the ring holds since. Answers the id of the
    /// first line that it gets: older ones it must find elsewhere.
    pub fn attach(&self, buffer: Arc<Buffer>, after: Option<u64>) -> u64 {
        let mut state = self.state();
        let held = after.map(|id| state.ring.after(&Filter::default(), id)).unwrap_or_default();
        let first = held.first().map_or(state.next_id, |record| record.id);
        buffer.push(&held);
        if !state.ended {
            state.drains.push(buffer);
        }
        first
    }

    /// Gives a drain's buffer no more lines.
    pub fn detach(&self, drain: DrainId) {
        self.state().drains.retain(|buffer| buffer.id != drain);
    }

    /// Ends all tails and drains; those to come end at once.
    pub fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        state.drains.clear();
        state.end_tails();
    }

    /// Ends the tails of now.
    pub fn end_tails(&self) {
        self.state().end_tails();
    }

    /// Lines and bytes in memory.
    pub fn size(&self) -> (usize, usize) {
        let state = self.state();
        (state.ring.len(), state.ring.bytes())
    }

    /// Bytes the ring uses.
    pub fn bytes(&self) -> usize {
        self.state().ring.bytes()
    }

    /// Drops the oldest lines until `bytes` are won or none is left. Gives the bytes won.
    pub fn evict(&self, bytes: usize) -> usize {
        let mut state = self.state();
        let mut won = 0;
        while won < bytes {
            match state.ring.evict() {
                0 => break,
                more => won += more,
            }
        }
        won
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, record: impl FnOnce(u64) -> Record) -> Arc<Record> {
        let record = Arc::new(record(self.next_id));
        self.next_id += 1;
        self.ring.push(record.clone());
        record
    }

    fn feed(&mut self, records: &[Arc<Record>]) {
        self.drains.iter().for_each(|buffer| buffer.push(records));
        self.tails.retain(|tail| match tail.upgrade() {
            Some(tail) => {
                tail.feed(records);
                true
            }
            None => false,
        });
    }

    fn tail(&mut self, tail: Tail) -> Arc<Tail> {
        let tail = Arc::new(tail);
        if self.ended {
            tail.end();
        }
        self.tails.retain(|tail| tail.strong_count() > 0);
        self.tails.push(Arc::downgrade(&tail));
        tail
    }

    fn end_tails(&mut self) {
        self.tails.drain(..).filter_map(|tail| tail.upgrade()).for_each(|tail| tail.end());
    }

    /// The id of the oldest line in memory, or of the next one.
    fn first(&self) -> u64 {
        self.ring.first_id().unwrap_or(self.next_id)
    }

    /// Whether there were lines before those in memory that a reader wants.
    fn may_have(&self, wanted: &Wanted) -> bool {
        let first = self.first();
        match wanted.after {
            Some(after) => after.id.saturating_add(1) < first,
            None => wanted.count > 0 && (self.has_past || first > self.run_start),
        }
    }
}

/// Lines older than this are not shown.
pub(crate) fn oldest(config: &Config) -> Timestamp {
    let keep_micros = i64::try_from(config.keep_for.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(Timestamp::now().micros().saturating_sub(keep_micros))
}

fn now_as_id() -> u64 {
    u64::try_from(Timestamp::now().micros()).unwrap_or(0)
}
