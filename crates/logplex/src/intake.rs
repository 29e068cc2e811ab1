//! The thread that takes lines in.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use model::log::Lost;
use model::{AppId, LogEntry, Timestamp};

use crate::streams::Streams;

/// How long lines gather before they are taken in together: one wake-up per line would cost six
/// times the CPU at ten thousand lines a second. The collector of what dynos print and the router
/// have gathered theirs before, so this is only for what they hand over at one time.
const GATHER: Duration = Duration::from_millis(2);

/// Lines taken in at once. When so many waited, more will, and nothing is gathered.
const MAX_AT_ONCE: usize = 4096;

/// Losses of one app are told at most so often.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The thread that takes lines in.
pub(crate) struct Intake {
    receiver: Receiver<Vec<LogEntry>>,
    lost: Arc<Lost>,
    streams: Arc<Streams>,
    closing: Arc<AtomicBool>,
    losses: Losses,
    busy: bool,
}

/// Losses that were not told yet.
struct Losses {
    by_app: HashMap<AppId, Loss>,
    tell_at: Option<Instant>,
    /// When the queue was last seen empty enough: a loss that shows up now happened since.
    checked_at: Timestamp,
}

struct Loss {
    count: u64,
    since: Timestamp,
}

impl Intake {
    /// An intake that has not begun.
    pub fn new(
        receiver: Receiver<Vec<LogEntry>>,
        lost: Arc<Lost>,
        streams: Arc<Streams>,
        closing: Arc<AtomicBool>,
    ) -> Self {
        let losses = Losses { by_app: HashMap::new(), tell_at: None, checked_at: Timestamp::now() };
        Self { receiver, lost, streams, closing, losses, busy: false }
    }

    /// Takes lines in until all senders are gone, or until `closing` and a wake-up; then what
    /// still waits.
    pub fn run(mut self) {
        while let Some(entries) = self.receive() {
            self.take_in(entries);
            if self.closing.load(Ordering::Acquire) {
                break;
            }
        }
        loop {
            let rest = self.gathered(Vec::new());
            if rest.is_empty() {
                break;
            }
            self.take_in(rest);
        }
        self.losses.note(&self.lost);
        self.losses.tell(&self.streams);
    }

    fn take_in(&mut self, entries: Vec<LogEntry>) {
        self.streams.append(entries);
        self.streams.count_altered(self.lost.take_altered());
        self.losses.note(&self.lost);
        if self.losses.are_due() {
            self.losses.tell(&self.streams);
        }
    }

    /// Waits for lines, or for the time to tell of losses. `None` when nothing can come any more.
    fn receive(&mut self) -> Option<Vec<LogEntry>> {
        let first = match self.losses.tell_at {
            None => self.receiver.recv().ok()?,
            Some(at) => match self.receiver.recv_timeout(at.duration_since(Instant::now())) {
                Ok(batch) => batch,
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => return None,
            },
        };
        if !first.is_empty() && !self.busy && !self.closing.load(Ordering::Acquire) {
            std::thread::sleep(GATHER);
        }
        let entries = self.gathered(first);
        self.busy = entries.len() >= MAX_AT_ONCE;
        Some(entries)
    }

    /// `entries` and what waits behind them, up to a bound.
    fn gathered(&self, mut entries: Vec<LogEntry>) -> Vec<LogEntry> {
        while entries.len() < MAX_AT_ONCE {
            match self.receiver.try_recv() {
                Ok(batch) => entries.extend(batch),
                Err(_) => break,
            }
        }
        entries
    }
}

impl Losses {
    fn note(&mut self, lost: &Lost) {
        let since = std::mem::replace(&mut self.checked_at, Timestamp::now());
        for (app, count) in lost.take() {
            self.by_app.entry(app).or_insert(Loss { count: 0, since }).count += count;
            self.tell_at.get_or_insert_with(|| Instant::now() + TELL_EVERY);
        }
    }

    fn are_due(&self) -> bool {
        self.tell_at.is_some_and(|at| at <= Instant::now())
    }

    fn tell(&mut self, streams: &Streams) {
        self.tell_at = None;
        streams.tell_lost(self.by_app.drain().map(|(app, loss)| (app, loss.count, loss.since)));
    }
}
