//! How much is kept, and where.

use std::path::PathBuf;
use std::time::Duration;

/// Bounds of everything Logplex holds.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where lines outlive the server; `None` keeps them in memory only.
    pub directory: Option<PathBuf>,
    /// Lines kept in memory per app.
    pub lines_per_app: usize,
    /// Bytes kept in memory per app.
    pub bytes_per_app: usize,
    /// Bytes kept in memory over all apps; beyond it, the largest stream gives up its oldest lines.
    pub bytes_overall: usize,
    /// Lines that may wait for the reader of one tail.
    pub lines_per_tail: usize,
    /// Bytes that may wait for the reader of one tail.
    pub bytes_per_tail: usize,
    /// Age after which a line is not shown any more, and deleted.
    pub keep_for: Duration,
    /// What is kept on disk.
    pub disk: DiskConfig,
}

/// Bounds of what is kept on disk.
#[derive(Clone, Copy, Debug)]
pub struct DiskConfig {
    /// Bytes per app; beyond it the app's oldest file of lines is deleted.
    pub bytes_per_app: u64,
    /// Bytes over all apps; beyond it the largest app gives up its oldest file.
    pub bytes_overall: u64,
    /// Bytes of lines that make a compressed block.
    pub bytes_per_block: u64,
}

impl DiskConfig {
    /// Bytes of one file: small enough that what a deletion takes is a small part.
    pub(crate) fn bytes_per_file(&self) -> u64 {
        (self.bytes_per_app.min(self.bytes_overall) / 8).clamp(1, 32 << 20)
    }
}

impl Default for Config {
    /// In memory Heroku's 1,500 lines, and 1,024 lines for a tail; on disk a week.
    fn default() -> Self {
        Self {
            directory: None,
            lines_per_app: 1500,
            bytes_per_app: 2 << 20,
            bytes_overall: 32 << 20,
            lines_per_tail: 1024,
            bytes_per_tail: 1 << 20,
            keep_for: Duration::from_hours(7 * 24),
            disk: DiskConfig::default(),
        }
    }
}

impl Default for DiskConfig {
    /// An app of ten lines a second fills a week with some 300 MB.
    fn default() -> Self {
        Self { bytes_per_app: 512 << 20, bytes_overall: 4 << 30, bytes_per_block: 256 << 10 }
    }
}
