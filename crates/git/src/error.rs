//! What can go wrong in this room, for the operator's log.

use std::path::PathBuf;

use crate::Version;

/// An attempt that failed.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The program could not be run.
    #[error("run `git {what}`")]
    Run {
        /// The verb.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It ran and failed.
    #[error("`git {what}` failed: {complaint}")]
    Failed {
        /// The verb.
        what: &'static str,
        /// The beginning of what it said.
        complaint: String,
    },
    /// Its version could not be read.
    #[error("git's version is strange: `{0}`")]
    StrangeVersion(String),
    /// It is too old.
    #[error("git {0} is too old; {min} or newer is needed", min = crate::MINIMUM_VERSION)]
    TooOld(Version),
    /// A file or directory could not be made, read or removed.
    #[error("{what} {path}")]
    File {
        /// `create`, `list`, …
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The hooks' socket could not be opened.
    #[error("listen for hooks on {path}")]
    Listen {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl GitError {
    /// For `map_err` on file operations.
    pub(crate) fn file(
        what: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { what, path, source }
    }
}
