//! How much is kept, and where.

use std::path::PathBuf;
use std::time::Duration;

/// Bounds of everything Logplex holds.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where lines outlive the server; `None` keeps them in memory only.
    pub directory: Option<PathBuf>,
    /// Lines kept per app.
    pub lines_per_app: usize,
    /// Bytes kept per app.
    pub bytes_per_app: usize,
    /// Bytes kept over all apps; beyond it, the largest stream gives up its oldest lines.
    pub bytes_overall: usize,
    /// Age after which a line is not shown any more.
    pub keep_for: Duration,
    /// Lines that may wait for the reader of one tail.
    pub lines_per_tail: usize,
    /// Bytes that may wait for the reader of one tail.
    pub bytes_per_tail: usize,
    /// Bytes after which an app's file becomes its old file; an app has at most two.
    pub bytes_per_file: u64,
}

impl Default for Config {
    /// Heroku's 1,500 lines or one week, and 1,024 lines for a tail.
    fn default() -> Self {
        Self {
            directory: None,
            lines_per_app: 1500,
            bytes_per_app: 2 << 20,
            bytes_overall: 32 << 20,
            keep_for: Duration::from_hours(7 * 24),
            lines_per_tail: 1024,
            bytes_per_tail: 1 << 20,
            bytes_per_file: 512 << 10,
        }
    }
}
