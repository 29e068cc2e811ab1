//! One app's stream: its ring, its counter and its tails.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use model::{DrainId, LogEntry, Timestamp};

use crate::config::Config;
use crate::drains::Buffer;
use crate::query::{Filter, Mode, Query};
use crate::record::Record;
use crate::ring::Ring;
use crate::session::Session;
use crate::tail::Tail;

/// One app's stream.
pub(crate) struct Stream {
    state: Mutex<State>,
}

struct State {
    ring: Ring,
    next_id: u64,
    /// The first id given by this run of the server. From here on ids have no jumps.
    run_start: u64,
    tails: Vec<Weak<Tail>>,
    drains: Vec<Arc<Buffer>>,
    ended: bool,
}

impl Stream {
    /// A stream that goes on after the lines of earlier runs, oldest first.
    pub fn new(past: Vec<Record>, config: &Config) -> Self {
        let mut ring = Ring::new(config.lines_per_app.max(1), config.bytes_per_app);
        let last = past.last().map_or(0, |record| record.id);
        past.into_iter().for_each(|record| ring.push(Arc::new(record)));
        // The clock runs faster than lines come, so it is beyond every id an earlier run gave,
        // also beyond those that a crash kept from the disk.
        let run_start = now_as_id().max(last + 1);
        let (tails, drains) = (Vec::new(), Vec::new());
        let state = State { ring, next_id: run_start, run_start, tails, drains, ended: false };
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
    pub fn session(&self, query: Query, config: &Config) -> Session {
        let mut state = self.state();
        let past = match query.after {
            Some(id) => state.since(id, &query),
            None => {
                let keep_micros = i64::try_from(config.keep_for.as_micros()).unwrap_or(i64::MAX);
                let now = Timestamp::now().micros();
                let oldest = Timestamp::from_micros(now.saturating_sub(keep_micros));
                state.ring.recent(&query.filter, query.lines, oldest)
            }
        };
        let tail = match query.mode {
            Mode::Recent => None,
            Mode::Tail => Some(state.tail(Tail::new(query.filter, config))),
        };
        Session::new(past, tail)
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

    /// What came after `id`, with a note first when not all of it is kept.
    fn since(&self, id: u64, query: &Query) -> Vec<Arc<Record>> {
        let first = self.ring.first_id().unwrap_or(self.next_id);
        let note = gone(id, first, self.run_start)
            .map(|text| Arc::new(Record::note(first.saturating_sub(1), Timestamp::now(), text)));
        note.into_iter().chain(self.ring.after(&query.filter, id)).collect()
    }
}

/// Says what is missing between the last line a reader saw and the first that is kept. Only ids
/// of this run of the server can be counted; the count is of all lines, whatever the filter.
fn gone(seen: u64, first: u64, run_start: u64) -> Option<String> {
    let next = seen.saturating_add(1);
    if next >= first {
        return None;
    }
    Some(if next >= run_start {
        let count = first - next;
        format!("This session was interrupted: {count} messages since then are no longer kept.")
    } else {
        "This session was interrupted: some messages since then may no longer be kept.".to_owned()
    })
}

fn now_as_id() -> u64 {
    u64::try_from(Timestamp::now().micros()).unwrap_or(0)
}
