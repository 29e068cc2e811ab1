//! The lines that wait for one drain.
//!
//! The intake pushes and never waits. When a buffer is full its oldest line is dropped and counted;
//! the count travels as a line of its own (L10) in front of the lines that came after the loss.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{DrainId, Timestamp};
use tokio::sync::Notify;

use crate::record::Record;

/// What a frame has beside its text, about.
const HEADER: usize = 80;

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Lines that a drain may always keep waiting (Heroku: 1,024).
    pub lines: usize,
    /// Bytes that it may always keep waiting.
    pub bytes: usize,
    /// Lines while all drains together have room.
    pub most_lines: usize,
    /// Bytes while all drains together have room.
    pub most_bytes: usize,
}

/// The room that drains share beyond what each may always use.
pub(crate) struct Pool {
    borrowed: AtomicUsize,
    size: usize,
}

impl Pool {
    /// A pool of so many bytes.
    pub fn new(size: usize) -> Self {
        Self { borrowed: AtomicUsize::new(0), size }
    }

    /// Whether more may be borrowed.
    pub fn has_room(&self) -> bool {
        self.borrowed.load(Ordering::Relaxed) < self.size
    }

    /// Who borrowed so much borrows so much now.
    pub fn change(&self, from: usize, to: usize) {
        if to >= from {
            self.borrowed.fetch_add(to - from, Ordering::Relaxed);
        } else {
            self.borrowed.fetch_sub(from - to, Ordering::Relaxed);
        }
    }
}

/// A bounded queue between the intake and one drain.
pub(crate) struct Buffer {
    pub id: DrainId,
    bounds: Bounds,
    pool: Arc<Pool>,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Arc<Record>>,
    bytes: usize,
    borrowed: usize,
    /// Not yet said in the drain. Older than all that waits.
    loss: Option<Loss>,
    /// Not yet said in the app's stream.
    untold: Option<Loss>,
    /// Since the drain was begun.
    lost: u64,
}

/// Lines that the receiver will not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loss {
    pub count: u64,
    pub since: Timestamp,
    /// The last of them.
    pub last_id: u64,
}

impl Loss {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.since = self.since.min(other.since);
        self.last_id = self.last_id.max(other.last_id);
    }
}

impl Buffer {
    /// An empty buffer.
    pub fn new(id: DrainId, bounds: Bounds, pool: Arc<Pool>) -> Self {
        Self { id, bounds, pool, state: Mutex::default(), wake: Notify::new() }
    }

    /// Takes in the newest lines. Never waits.
    pub fn push(&self, records: &[Arc<Record>]) {
        if records.is_empty() {
            return;
        }
        {
            let mut state = self.state();
            for record in records {
                state.bytes += record.bytes();
                state.waiting.push_back(record.clone());
                self.make_room(&mut state);
            }
        }
        self.wake.notify_one();
    }

    /// Puts lines in front of those that wait: they were kept while no server ran. `skipped` came
    /// before them and is lost.
    pub fn push_kept(&self, skipped: Option<Loss>, records: Vec<Arc<Record>>) {
        {
            let mut state = self.state();
            for record in records.into_iter().rev() {
                state.bytes += record.bytes();
                state.waiting.push_front(record);
            }
            if let Some(skipped) = skipped {
                state.lose(skipped);
            }
            self.make_room(&mut state);
        }
        self.wake.notify_one();
    }

    /// These were taken and will not arrive. They are older than what waits.
    pub fn lose<'a>(&self, records: impl IntoIterator<Item = &'a Arc<Record>>) {
        let mut state = self.state();
        records.into_iter().for_each(|record| state.lose_record(record));
    }

    /// So many of the lines that were sent last were refused by the receiver, nobody knows which.
    pub fn lose_some(&self, count: u64, last: &Record) {
        self.state().lose(Loss { count, since: last.at, last_id: last.id });
    }

    /// The oldest lines, at least one if there is any, about so many bytes of frames; a loss that was
    /// not said yet comes first, as a line.
    pub fn take(&self, max_lines: usize, max_bytes: usize) -> Vec<Arc<Record>> {
        let mut state = self.state();
        let mut taken = Vec::new();
        if state.waiting.is_empty() {
            return taken;
        }
        taken.extend(state.loss.take().map(|loss| Arc::new(notice(loss))));
        let mut bytes = 0;
        while let Some(next) = state.waiting.front() {
            bytes += next.text.len() + HEADER;
            if taken.len() >= max_lines.max(2) || (bytes > max_bytes && !taken.is_empty()) {
                break;
            }
            taken.extend(state.pop());
        }
        self.settle(&mut state);
        taken
    }

    /// Waits until something can be taken. Nothing is lost if the future is dropped.
    pub async fn ready(&self) {
        while self.is_empty() {
            // `notify_one` leaves a permit, so a line that came since the look is not missed.
            self.wake.notified().await;
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.state().waiting.is_empty()
    }

    /// Lines that wait.
    pub fn len(&self) -> usize {
        self.state().waiting.len()
    }

    /// Lines lost since the drain was begun.
    pub fn lost(&self) -> u64 {
        self.state().lost
    }

    /// What was lost and is yet to be said in the app's stream; it counts as said from now on.
    pub fn take_untold(&self) -> Option<Loss> {
        self.state().untold.take()
    }

    /// Drops the oldest lines while more wait than may.
    fn make_room(&self, state: &mut State) {
        self.settle(state);
        while state.waiting.len() > 1 && self.is_over(state) {
            if let Some(dropped) = state.pop() {
                state.lose_record(&dropped);
            }
            self.settle(state);
        }
    }

    fn is_over(&self, state: &State) -> bool {
        let (lines, bytes) = (state.waiting.len(), state.bytes);
        let always = lines <= self.bounds.lines && bytes <= self.bounds.bytes;
        let never = lines > self.bounds.most_lines || bytes > self.bounds.most_bytes;
        !always && (never || !self.pool.has_room())
    }

    /// Tells the pool what is borrowed.
    fn settle(&self, state: &mut State) {
        let borrowed = state.bytes.saturating_sub(self.bounds.bytes);
        if borrowed != state.borrowed {
            self.pool.change(state.borrowed, borrowed);
            state.borrowed = borrowed;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let borrowed = self.state().borrowed;
        self.pool.change(borrowed, 0);
    }
}

impl State {
    fn pop(&mut self) -> Option<Arc<Record>> {
        let record = self.waiting.pop_front()?;
        self.bytes -= record.bytes();
        Some(record)
    }

    fn lose(&mut self, loss: Loss) {
        self.lost += loss.count;
        add(&mut self.loss, loss);
        add(&mut self.untold, loss);
    }

    /// A record is lost: itself, or what it says is lost.
    fn lose_record(&mut self, record: &Record) {
        let loss = Loss { count: record.lost.max(1), since: record.at, last_id: record.id };
        match announced(record) {
            // These were counted when they were lost; the drain must be told again.
            Some(_) => add(&mut self.loss, loss),
            None => self.lose(loss),
        }
    }
}

fn add(kept: &mut Option<Loss>, loss: Loss) {
    match kept {
        Some(kept) => kept.add(loss),
        None => *kept = Some(loss),
    }
}

/// What the lines of a drain's own losses begin with.
const NOTICE: &str = "Error L10 (output buffer overflow):";

/// How many lost lines of a drain this line tells of; `None` for any other.
pub(crate) fn announced(record: &Record) -> Option<u64> {
    (record.lost > 0 && record.text.starts_with(NOTICE)).then_some(record.lost)
}

/// A loss as a line (L10). It bears the id of the last lost line: whoever has it needs nothing
/// before.
fn notice(loss: Loss) -> Record {
    let Loss { count, since, last_id } = loss;
    let text = format!("{NOTICE} {count} messages dropped since {since}.");
    Record { lost: count, ..Record::note(last_id, Timestamp::now(), text) }
}

#[cfg(test)]
mod tests;
