//! What the client is told about its surroundings.

use std::path::PathBuf;

/// Everything the client takes from outside its command line.
#[derive(Clone)]
pub struct Env {
    /// This binary, absolute: git is told to run it for credentials.
    pub program: PathBuf,
    /// Where servers and tokens are kept; none without a home directory.
    pub config_dir: Option<PathBuf>,
    /// A token that wins over the stored one.
    pub api_key: Option<String>,
    /// A server (URL or name) that wins over the stored default.
    pub server: Option<String>,
    /// The app, when no flag names one.
    pub app: Option<String>,
    /// The kind of terminal, for one-off dynos.
    pub term: Option<String>,
    /// No colours, also on a terminal.
    pub no_color: bool,
    /// Seconds since 1970.
    pub now: i64,
}
