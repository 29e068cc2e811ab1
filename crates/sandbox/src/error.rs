//! What can go wrong while a dyno is prepared, watched or cleared away.

use std::io;

use nix::errno::Errno;

/// An attempt that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("{attempt}")]
    System {
        /// What was attempted, and with what.
        attempt: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A program that was called did not succeed.
    #[error("{attempt}: {said}")]
    Program {
        /// What was attempted.
        attempt: String,
        /// What the program said about it, or how it ended.
        said: String,
    },
    /// The specification cannot be carried out.
    #[error("{0}")]
    Spec(String),
    /// The shim is still there; it has to be asked, not swept away.
    #[error("the dyno's shim is still running")]
    Alive,
    /// The dyno's directory was swept away before its shim began.
    #[error("the dyno was cleared away before its shim began")]
    Swept,
}

impl Error {
    /// Whether the system answered with this number.
    pub(crate) fn is(&self, errno: Errno) -> bool {
        matches!(self, Self::System { source, .. } if source.raw_os_error() == Some(errno as i32))
    }
}

/// Short for what most functions here answer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Names an attempt when it fails.
pub trait Attempt<T> {
    /// The error says `what` was attempted.
    fn attempt<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: Into<io::Error>> Attempt<T> for std::result::Result<T, E> {
    fn attempt<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| Error::System { attempt: what().into(), source: error.into() })
    }
}

/// An error and its causes in one line, for people.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
