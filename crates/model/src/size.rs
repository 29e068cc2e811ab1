//! Dyno sizes and what they allow (Heroku, "Dyno Types"; platform behaviour, 3.2).

use std::fmt;
use std::str::FromStr;

/// A dyno size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names are Heroku's own; the table is `limits`")]
pub enum DynoSize {
    Eco,
    Basic,
    Standard1X,
    Standard2X,
    PerformanceM,
    PerformanceL,
    PerformanceLRam,
    PerformanceXL,
    Performance2XL,
}

/// What a size grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeLimits {
    /// Memory quota in bytes (R14 above it; killed at twice as much).
    pub memory_bytes: u64,
    /// Relative share of CPU; 1 is a Standard-1X.
    pub cpu_share: u32,
    /// Threads and processes together.
    pub pids: u32,
}

const MIB: u64 = 1024 * 1024;

impl DynoSize {
    /// All sizes, smallest first.
    pub const ALL: [Self; 9] = [
        Self::Eco,
        Self::Basic,
        Self::Standard1X,
        Self::Standard2X,
        Self::PerformanceM,
        Self::PerformanceL,
        Self::PerformanceLRam,
        Self::PerformanceXL,
        Self::Performance2XL,
    ];

    /// Heroku's spelling in API answers, such as `Standard-1X`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Eco => "Eco",
            Self::Basic => "Basic",
            Self::Standard1X => "Standard-1X",
            Self::Standard2X => "Standard-2X",
            Self::PerformanceM => "Performance-M",
            Self::PerformanceL => "Performance-L",
            Self::PerformanceLRam => "Performance-L-RAM",
            Self::PerformanceXL => "Performance-XL",
            Self::Performance2XL => "Performance-2XL",
        }
    }

    /// What this size grants on Heroku. What it grants here is in the platform's [`SizeTable`].
    #[must_use]
    pub const fn limits(self) -> SizeLimits {
        let (mib, cpu_share, pids) = match self {
            Self::Eco | Self::Basic | Self::Standard1X => (512, 1, 256),
            Self::Standard2X => (1024, 2, 512),
            Self::PerformanceM => (2560, 12, 16384),
            Self::PerformanceL => (14 * 1024, 50, 32768),
            Self::PerformanceLRam => (30 * 1024, 24, 32768),
            Self::PerformanceXL => (62 * 1024, 50, 32768),
            Self::Performance2XL => (126 * 1024, 100, 32768),
        };
        SizeLimits { memory_bytes: mib * MIB, cpu_share, pids }
    }
}

/// What each size grants on this platform: Heroku's table, where the operator has not said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SizeTable([SizeLimits; DynoSize::ALL.len()]);

impl Default for SizeTable {
    fn default() -> Self {
        Self(DynoSize::ALL.map(DynoSize::limits))
    }
}

impl SizeTable {
    /// What this size grants.
    #[must_use]
    pub const fn limits(&self, size: DynoSize) -> SizeLimits {
        self.0[size as usize]
    }

    /// Lets a size grant something else.
    pub const fn set(&mut self, size: DynoSize, limits: SizeLimits) {
        self.0[size as usize] = limits;
    }
}

/// The size is not one of the platform's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "Couldn't find that dyno size: {0}. Sizes are eco, basic, standard-1x, standard-2x, performance-m, performance-l, performance-l-ram, performance-xl and performance-2xl."
)]
pub struct UnknownSize(String);

impl FromStr for DynoSize {
    type Err = UnknownSize;
    /// Any letter case is taken: the CLI sends what the person typed.
    fn from_str(text: &str) -> Result<Self, UnknownSize> {
        let same = |size: &Self| size.name().eq_ignore_ascii_case(text);
        Self::ALL.into_iter().find(same).ok_or_else(|| UnknownSize(text.to_owned()))
    }
}

impl fmt::Display for DynoSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_changes_one_size_and_no_other() {
        let mut table = SizeTable::default();
        let small = SizeLimits { memory_bytes: 128 * MIB, cpu_share: 1, pids: 64 };
        table.set(DynoSize::Standard2X, small);
        for size in DynoSize::ALL {
            let expected = if size == DynoSize::Standard2X { small } else { size.limits() };
            assert_eq!(table.limits(size), expected, "{size}");
        }
    }
}
