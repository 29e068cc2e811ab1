//! The database and the blobs.
//!
//! The only room with SQL. [`Store`] is SQLite in WAL mode with one writer thread and four readers;
//! each noun has a file of free functions that take a [`Reader`] or a [`Tx`]. [`blobs`] keeps
//! immutable bytes by their hash, [`outputs`] the text that builds and release commands print.
//! Nothing here decides anything: rules are in `control` and `model`.

pub mod accounts;
pub mod acme;
pub mod apps;
pub mod authorizations;
pub mod blobs;
pub mod buildpack_installations;
pub mod builds;
pub mod census;
pub mod certificates;
pub mod desired;
pub mod domains;
pub mod dynos;
pub mod engine;
pub mod features;
pub mod formations;
pub mod garbage;
pub mod log_drains;
pub mod log_inputs;
pub mod log_rules;
pub mod log_sessions;
pub mod one_offs;
pub mod outputs;
pub mod releases;
pub mod restarts;
pub mod routes;
pub mod slug_uploads;
pub mod slugs;
pub mod sources;
pub mod telemetry_drains;
pub mod traffic;
pub mod vault;
pub mod visits;
pub mod waiting_dynos;

mod error;
mod migrations;
mod pokes;
mod readers;
mod writer;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::watch;

use crate::pokes::Pokes;
use crate::readers::Readers;
use crate::vault::Vault;
use crate::writer::{Durability, Priority, Writer};

pub use engine::{Reader, Tx};
pub use error::{Error, Result};
pub use pokes::Poke;

/// How long a connection waits for another process (`hythe admin`) that holds the lock.
const BUSY: Duration = Duration::from_secs(10);

/// The database. Cheap to clone; the last clone to go finishes what is queued.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    writer: Writer,
    readers: Readers,
    vault: Arc<Vault>,
    pokes: Arc<Pokes>,
    log: Arc<Log>,
}

/// SQLite's write-ahead log, in which every commit is first. It is there as long as a connection is.
struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    fn open(database: &Path) -> Result<Self> {
        let mut path = database.as_os_str().to_owned();
        path.push("-wal");
        let path = PathBuf::from(path);
        let file = File::options().read(true).write(true).open(&path);
        match file {
            Ok(file) => Ok(Self { path, file }),
            Err(source) => Err(Error::File { attempt: "open", path, source }),
        }
    }

    fn settle(&self) -> Result<()> {
        let failed = |source| Error::File { attempt: "sync", path: self.path.clone(), source };
        self.file.sync_data().map_err(failed)
    }
}

impl Store {
    /// Opens the database at `path`, makes it if there is none, and migrates it. `key` seals the
    /// secrets in it.
    ///
    /// # Errors
    /// When the file cannot be opened or migrated, or was written by a newer program.
    pub fn open(path: &Path, key: [u8; 32]) -> Result<Self> {
        let failed = |source| Error::Open { path: path.to_owned(), source };
        let mut connection = Connection::open(path).map_err(failed)?;
        tune(&connection).map_err(failed)?;
        durable(&connection).map_err(failed)?;
        migrations::apply(&mut connection)?;
        let (vault, pokes) = (Arc::new(Vault::new(key)), Arc::new(Pokes::new()));
        let readers = Readers::open(path)?;
        let log = Arc::new(Log::open(path)?);
        let writer = Writer::start(connection, vault.clone(), pokes.clone())?;
        Ok(Self(Arc::new(Inner { writer, readers, vault, pokes, log })))
    }

    /// Runs `change` in one transaction on the writer. Once it is queued it completes, even if the
    /// caller has gone. `Err` rolls it back.
    ///
    /// # Errors
    /// What `change` answers, or why it could not run or commit.
    pub async fn write<T, E>(
        &self,
        change: impl FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.0.writer.run(Priority::People, Durability::Now, Box::new(change)).await
    }

    /// As [`Store::write`], without waiting for the disk: for what has been observed and would be
    /// worth nothing after the machine has gone down, such as that a process runs. It outlives this
    /// process; a later [`Store::write`] or [`Store::settle`] takes it to the disk as well.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn note<T, E>(
        &self,
        change: impl FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.0.writer.run(Priority::People, Durability::Later, Box::new(change)).await
    }

    /// Waits until every change that was answered before is on the disk, in nobody's way.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn settle(&self) -> Result<()> {
        let log = self.0.log.clone();
        let settled = tokio::task::spawn_blocking(move || log.settle()).await;
        settled.unwrap_or(Err(Error::Panicked))
    }

    /// As [`Store::write`], but lets everybody else go first. For housekeeping.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn sweep<T, E>(
        &self,
        change: impl FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.0.writer.run(Priority::Sweeps, Durability::Now, Box::new(change)).await
    }

    /// As [`Store::write`], for a thread that may block (`hythe admin`).
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn write_blocking<T, E>(
        &self,
        change: impl FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.0.writer.run_blocking(Box::new(change))
    }

    /// Asks `question` of one consistent snapshot.
    ///
    /// # Errors
    /// What `question` answers, or why it could not be asked.
    pub async fn read<T, E>(
        &self,
        question: impl FnOnce(&Reader<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.0.readers.run(&self.0.vault, Box::new(question)).await
    }

    /// As [`Store::read`], for a thread that may block.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn read_blocking<T, E: From<Error>>(
        &self,
        question: impl FnOnce(&Reader<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        self.0.readers.run_blocking(&self.0.vault, Box::new(question))
    }

    /// How many changes wait for the writer: those of people, and those of housekeeping.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        let writer = &self.0.writer;
        (writer.waiting(Priority::People), writer.waiting(Priority::Sweeps))
    }

    /// Wakes when `poke` is delivered. Subscribe before reading what the poke is about, so that
    /// nothing falls between.
    #[must_use]
    pub fn subscribe(&self, poke: Poke) -> watch::Receiver<u64> {
        self.0.pokes.subscribe(poke)
    }
}

fn tune(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(256);
    connection.pragma_update(None, "foreign_keys", true)
}

/// A commit that was answered is on the disk: a release either exists or it does not.
fn durable(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")
}

#[cfg(test)]
mod tests;
