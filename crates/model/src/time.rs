//! Wall-clock time: microseconds since 1970, UTC.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment, in whole microseconds since the Unix epoch.
///
/// `Display` writes `2010-09-16T15:13:46.677020+00:00`, the form of a log line (Heroku, "Logging");
/// [`Timestamp::rfc3339`] writes `2012-01-01T12:00:00Z`, the form of the Platform API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The present moment. The only place in the project that reads the wall clock.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "this is the one door for wall time")]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    /// A moment from microseconds since the epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Time passed since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }

    /// `2012-01-01T12:00:00Z`: whole seconds, as the Platform API writes times.
    #[must_use]
    pub fn rfc3339(self) -> String {
        self.civil().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// `Sun, 06 Nov 1994 08:49:37 GMT`: as HTTP writes times.
    #[must_use]
    pub fn http_date(self) -> String {
        self.civil().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }

    /// A moment written as RFC 3339 says, with any offset; `None` if it is not.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|at| Self(at.as_microsecond()))
    }

    fn civil(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.civil().strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").fmt(f)
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(rhs.as_micros()).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_form_has_six_digits_and_a_numeric_offset() {
        let at = Timestamp::from_micros(1_284_650_026_677_020);
        assert_eq!(at.to_string(), "2010-09-16T15:13:46.677020+00:00");
        assert_eq!(at.rfc3339(), "2010-09-16T15:13:46Z");
        assert_eq!(Timestamp::from_rfc3339("2010-09-16T17:13:46.677020+02:00"), Some(at));
        assert_eq!(Timestamp::from_rfc3339("yesterday"), None);
        assert_eq!(at.http_date(), "Thu, 16 Sep 2010 15:13:46 GMT");
    }
}
