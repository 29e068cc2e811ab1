//! Why the store could not do something.

use std::io;
use std::path::PathBuf;

/// The outcome of a store operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the store could not do something. None of these is a person's fault.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's text says what was attempted")]
pub enum Error {
    #[error("could not open the database {path}", path = path.display())]
    Open { path: PathBuf, source: rusqlite::Error },
    #[error("could not migrate the database")]
    Migrate { source: rusqlite::Error },
    #[error("the database has schema {found}, this program knows schemas up to {known}")]
    Newer { found: usize, known: usize },
    #[error("could not start the writer thread")]
    Thread { source: io::Error },
    #[error("could not begin or commit a transaction")]
    Transaction { source: rusqlite::Error },
    #[error("could not run `{sql}`")]
    Query { sql: &'static str, source: rusqlite::Error },
    #[error("a row of `{sql}` does not hold a {kind} where one is due")]
    Row { sql: &'static str, kind: &'static str },
    #[error("could not read the JSON in {place}")]
    Json { place: String, source: serde_json::Error },
    #[error("could not seal {place}")]
    Seal { place: String },
    #[error("could not open the sealed {place}: wrong key, or changed bytes")]
    Unseal { place: String },
    #[error("a database job panicked")]
    Panicked,
    #[error("the database is being closed")]
    Stopped,
    #[error("could not {attempt} {path}", path = path.display())]
    File { attempt: &'static str, path: PathBuf, source: io::Error },
    #[error("could not read the bytes to be stored")]
    Incoming { source: io::Error },
    #[error("the bytes to be stored are more than {limit}")]
    TooLarge { limit: u64 },
    #[error("`{0}` is not a blob's name")]
    BlobName(String),
}
