//! Load averages of one dyno: how many threads wanted to run, smoothed over one, five and fifteen
//! minutes (Heroku, "Log Runtime Metrics").

use std::time::Duration;

use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);

/// Minutes of each average. The longer ones are told when the dyno is as old.
const PERIODS: [u32; 3] = [1, 5, 15];

/// Load averages.
#[derive(Debug, Default)]
pub(super) struct Load {
    averages: [f64; 3],
    last: Option<Instant>,
}

impl Load {
    /// Adds how many threads want to run now. The first look has nothing to be averaged with yet.
    pub(super) fn add(&mut self, runnable: usize, now: Instant) {
        let passed = self.last.map(|last| now.duration_since(last)).unwrap_or_default();
        let runnable = f64::from(u32::try_from(runnable).unwrap_or(u32::MAX));
        for (average, minutes) in self.averages.iter_mut().zip(PERIODS) {
            let kept = (-passed.as_secs_f64() / (MINUTE * minutes).as_secs_f64()).exp();
            *average = (1.0 - kept) * runnable + kept * *average;
        }
        self.last = Some(now);
    }

    /// ` sample#load_avg_1m=2.46 …`, for a dyno of this age.
    pub(super) fn text(&self, age: Duration) -> String {
        let told = |(_, minutes): &(&f64, u32)| *minutes == 1 || age >= MINUTE * *minutes;
        let pairs = self.averages.iter().zip(PERIODS).filter(told);
        pairs
            .map(|(average, minutes)| format!(" sample#load_avg_{minutes}m={average:.2}"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_follow_the_formula_and_longer_ones_come_later() {
        let start = Instant::now();
        let mut load = Load::default();
        load.add(4, start);
        assert_eq!(load.text(Duration::ZERO), " sample#load_avg_1m=0.00");
        load.add(4, start + Duration::from_secs(20));
        // (1 - e^(-1/3)) * 4
        assert_eq!(load.text(Duration::from_secs(299)), " sample#load_avg_1m=1.13");
        for step in 2..100 {
            load.add(4, start + Duration::from_secs(20 * step));
        }
        let age = Duration::from_secs(900);
        assert!(load.text(age).starts_with(" sample#load_avg_1m=4.00 sample#load_avg_5m=3.99"));
        assert!(load.text(age).contains(" sample#load_avg_15m=3."));
    }
}
