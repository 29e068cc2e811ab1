//! What the router saw of an app's requests: how many, how they ended, how long they took.
//!
//! A [`Tally`] is a sum: those of several threads, minutes or apps can be added up and give the same
//! as if everything had been counted in one place.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::codes::HCode;
use crate::{AppId, Timestamp};

/// Cells of one power of two. A cell is at most 1/16 of its values wide, so its middle is at most
/// 1/32 (3.2 %) away from each of them.
const CELLS_PER_OCTAVE: u64 = 16;
const OCTAVE_BITS: u32 = CELLS_PER_OCTAVE.ilog2();
/// The longest time told from longer ones is 2³² µs, 71 minutes.
const LONGEST: u64 = 1 << 32;
/// Cells of a histogram at most.
pub const CELLS: usize = cell_of(LONGEST - 1) + 1;
const _: () = assert!(CELLS <= 480, "an app's histogram is at most 4 KiB");

/// How long things took: a log-linear histogram of microseconds. Exact below 16 µs, within 3.2 %
/// above; it never has more than [`CELLS`] cells, and none above its longest time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    counts: Vec<u64>,
    longest: u64,
}

impl Latencies {
    /// Counts one.
    pub fn add(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.longest = self.longest.max(micros);
        self.add_to_cell(cell_of(micros.min(LONGEST - 1)), 1);
    }

    /// Adds another histogram's counts.
    pub fn merge(&mut self, other: &Self) {
        self.longest = self.longest.max(other.longest);
        for (cell, count) in other.cells() {
            self.add_to_cell(cell, count);
        }
    }

    /// The histogram with these counts; cells that cannot be are left out.
    #[must_use]
    pub fn from_cells(cells: impl IntoIterator<Item = (usize, u64)>, longest: Duration) -> Self {
        let longest = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        let mut latencies = Self { counts: Vec::new(), longest };
        for (cell, count) in cells.into_iter().filter(|(cell, _)| *cell < CELLS) {
            latencies.add_to_cell(cell, count);
        }
        latencies
    }

    /// The cells that are not empty, and their counts.
    pub fn cells(&self) -> impl Iterator<Item = (usize, u64)> {
        self.counts.iter().copied().enumerate().filter(|(_, count)| *count > 0)
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The longest of all; exact.
    #[must_use]
    pub const fn longest(&self) -> Duration {
        Duration::from_micros(self.longest)
    }

    /// The time that a share of all took at most: `percentile(95)`. `None` if nothing was counted.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Option<Duration> {
        let rank = (self.count() * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let cell = self.cells().find_map(|(cell, count)| {
            seen += count;
            (seen >= rank).then_some(cell)
        })?;
        Some(middle_of(cell).min(self.longest()))
    }

    /// How many took at most `time`, as exact as the cells.
    #[must_use]
    pub fn at_most(&self, time: Duration) -> u64 {
        let within = self.cells().take_while(|(cell, _)| middle_of(*cell) <= time);
        within.map(|(_, count)| count).sum()
    }

    /// The sum of all times, as exact as the cells.
    #[must_use]
    pub fn sum(&self) -> Duration {
        let micros = self.cells().map(|(cell, count)| {
            let middle = u64::try_from(middle_of(cell).as_micros()).unwrap_or(u64::MAX);
            middle.saturating_mul(count)
        });
        Duration::from_micros(micros.fold(0, u64::saturating_add))
    }

    fn add_to_cell(&mut self, cell: usize, count: u64) {
        if self.counts.len() <= cell {
            self.counts.resize(cell + 1, 0);
        }
        self.counts[cell] += count;
    }
}

/// The cell of a number of microseconds.
#[allow(clippy::cast_possible_truncation, reason = "a cell's number is at most `CELLS`")]
const fn cell_of(micros: u64) -> usize {
    if micros < CELLS_PER_OCTAVE {
        return micros as usize;
    }
    let shift = micros.ilog2() - OCTAVE_BITS;
    // The leading bit is the octave's own, hence `+ shift` and not `+ shift + 1`.
    ((shift as u64) * CELLS_PER_OCTAVE + (micros >> shift)) as usize
}

/// The middle of a cell.
const fn middle_of(cell: usize) -> Duration {
    let cell = cell as u64;
    if cell < 2 * CELLS_PER_OCTAVE {
        return Duration::from_micros(cell);
    }
    let shift = cell / CELLS_PER_OCTAVE - 1;
    let least = (CELLS_PER_OCTAVE + cell % CELLS_PER_OCTAVE) << shift;
    Duration::from_micros(least + (1 << shift) / 2)
}

/// What came of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The status the client got, or would have got.
    pub status: u16,
    /// The error, if it was one.
    pub code: Option<HCode>,
    /// Bytes of the response's body.
    pub bytes: u64,
    /// From the connect to the last byte; none if no dyno had it, or if it became an upgraded
    /// connection, whose length says nothing of the app's speed.
    pub took: Option<Duration>,
}

/// A sum over requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// By class of status: 1xx to 5xx.
    pub classes: [u64; 5],
    /// By H code.
    pub codes: BTreeMap<Cow<'static, str>, u64>,
    /// Bytes of response bodies.
    pub bytes: u64,
    /// How long they took.
    pub latencies: Latencies,
}

impl Tally {
    /// Counts one request.
    pub fn add(&mut self, outcome: &Outcome) {
        self.classes[class_of(outcome.status)] += 1;
        self.bytes += outcome.bytes;
        if let Some(code) = outcome.code {
            *self.codes.entry(Cow::Borrowed(code.code())).or_default() += 1;
        }
        if let Some(took) = outcome.took {
            self.latencies.add(took);
        }
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.classes.iter_mut().zip(other.classes) {
            *mine += theirs;
        }
        for (code, count) in &other.codes {
            *self.codes.entry(code.clone()).or_default() += count;
        }
        self.bytes += other.bytes;
        self.latencies.merge(&other.latencies);
    }

    /// All requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.classes.iter().sum()
    }
}

/// A dyno may answer with any number of three digits.
fn class_of(status: u16) -> usize {
    usize::from(status / 100).clamp(1, 5) - 1
}

/// What one of the router's threads saw since its last report.
#[derive(Debug, Default)]
pub struct Report {
    /// The thread's number.
    pub thread: usize,
    /// Client connections open now.
    pub connections: usize,
    /// Apps with traffic.
    pub apps: HashMap<AppId, Tally>,
}

/// The length of an interval that is kept as one sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Kept for a day.
    Minute,
    /// Kept for a month.
    Hour,
}

impl Step {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Minute, Self::Hour];

    /// How long one interval is.
    #[must_use]
    pub const fn length(self) -> Duration {
        Duration::from_secs(match self {
            Self::Minute => 60,
            Self::Hour => 60 * 60,
        })
    }

    /// How long intervals are kept.
    #[must_use]
    pub const fn kept(self) -> Duration {
        Duration::from_secs(match self {
            Self::Minute => 24 * 60 * 60,
            Self::Hour => 31 * 24 * 60 * 60,
        })
    }

    /// When the interval that `at` is in began.
    #[must_use]
    pub fn start(self, at: Timestamp) -> Timestamp {
        let length = i64::try_from(self.length().as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(at.micros() - at.micros().rem_euclid(length))
    }
}

/// One interval of an app's traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    /// When it began.
    pub at: Timestamp,
    /// What was seen.
    pub tally: Tally,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latencies(micros: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::default();
        micros.into_iter().for_each(|micros| latencies.add(Duration::from_micros(micros)));
        latencies
    }

    /// Numbers over all sizes, from a fixed start.
    fn numbers(count: usize) -> Vec<u64> {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        (0..count).map(|_| next() >> (32 + next() % 32)).collect()
    }

    #[test]
    fn a_cell_holds_its_middle_and_is_within_five_percent_of_its_values() {
        for cell in 0..CELLS {
            let middle = u64::try_from(middle_of(cell).as_micros()).expect("small");
            assert_eq!(cell_of(middle), cell);
        }
        for micros in numbers(100_000) {
            let middle = u64::try_from(middle_of(cell_of(micros)).as_micros()).expect("small");
            assert!(middle.abs_diff(micros) * 20 <= micros, "{micros} is taken for {middle}");
        }
        assert_eq!(cell_of(LONGEST - 1), CELLS - 1);
    }

    #[test]
    fn percentiles_are_within_five_percent_of_the_sorted_list() {
        let mut all = numbers(9_999);
        let histogram = latencies(all.iter().copied());
        all.sort_unstable();
        for percent in [1, 50, 95, 99, 100] {
            let exact = all[(all.len() * percent).div_ceil(100) - 1];
            let found = histogram.percentile(percent as u64).expect("there are some");
            let found = u64::try_from(found.as_micros()).expect("small");
            assert!(found.abs_diff(exact) * 20 <= exact, "p{percent}: {found} for {exact}");
        }
        assert_eq!(Latencies::default().percentile(50), None);
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let all = numbers(1_000);
        let (one, other) = all.split_at(300);
        let mut sum = latencies(one.iter().copied());
        sum.merge(&latencies(other.iter().copied()));
        let whole = latencies(all);
        assert_eq!(sum, whole);
        assert_eq!(Latencies::from_cells(whole.cells(), whole.longest()), whole);
        assert_eq!(whole.at_most(Duration::MAX), 1_000);
    }

    #[test]
    fn times_beyond_the_last_cell_are_counted_in_it() {
        let hours = latencies([LONGEST * 5, 1_000_000]);
        assert_eq!(hours.count(), 2);
        assert_eq!(hours.longest(), Duration::from_micros(LONGEST * 5));
        assert!(hours.percentile(99).expect("two") > Duration::from_secs(4000));
    }

    #[test]
    fn every_status_and_code_has_its_place() {
        let mut tally = Tally::default();
        for (status, code) in [(101, None), (204, None), (503, Some(HCode::H12)), (999, None)] {
            tally.add(&Outcome { status, code, bytes: 5, took: None });
        }
        assert_eq!(tally.classes, [1, 1, 0, 0, 2]);
        assert_eq!(tally.codes.get("H12"), Some(&1));
        assert_eq!((tally.bytes, tally.requests()), (20, 4));
        let mut twice = tally.clone();
        twice.merge(&tally);
        assert_eq!((twice.classes, twice.bytes), ([2, 2, 0, 0, 4], 40));
    }

    #[test]
    fn an_interval_begins_at_a_whole_minute_or_hour() {
        let at = Timestamp::from_micros(7_384_500_000);
        assert_eq!(Step::Minute.start(at), Timestamp::from_micros(7_380_000_000));
        assert_eq!(Step::Hour.start(at), Timestamp::from_micros(7_200_000_000));
    }
}
