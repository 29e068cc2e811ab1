//! How much came in by each log input since the server started.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::LogInputId;

/// What came in by one input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines taken.
    pub accepted: u64,
    /// Posts refused.
    pub refused: u64,
}

/// Counts per input. Bounded by the inputs there are: only a known token is counted.
#[derive(Default)]
pub struct InputTally(Mutex<HashMap<LogInputId, Counts>>);

impl InputTally {
    /// What came in by this input.
    pub fn of(&self, input: LogInputId) -> Counts {
        self.counts().get(&input).copied().unwrap_or_default()
    }

    /// Lines were taken.
    pub fn accept(&self, input: LogInputId, lines: u64) {
        self.counts().entry(input).or_default().accepted += lines;
    }

    /// A post was refused.
    pub fn refuse(&self, input: LogInputId) {
        self.counts().entry(input).or_default().refused += 1;
    }

    /// An input is gone; answers what had come in.
    pub fn forget(&self, input: LogInputId) -> Counts {
        self.counts().remove(&input).unwrap_or_default()
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<LogInputId, Counts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
