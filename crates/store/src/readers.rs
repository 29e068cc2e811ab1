//! Four read-only connections, lent one reader each.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use crate::engine::Reader;
use crate::vault::Vault;
use crate::{Error, Result, tune};

const CONNECTIONS: usize = 4;

/// What a caller wants to know, seen in one snapshot.
pub(crate) type Question<T, E> = Box<dyn FnOnce(&Reader<'_>) -> Result<T, E> + Send>;

/// The pool.
pub(crate) struct Readers {
    // Async callers wait here and not on a blocking thread.
    turns: Arc<Semaphore>,
    idle: Arc<Idle>,
}

impl Readers {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let connections = (0..CONNECTIONS).map(|_| open(path)).collect::<Result<Vec<_>>>()?;
        let idle = Idle { connections: Mutex::new(connections), returned: Condvar::new() };
        Ok(Self { turns: Arc::new(Semaphore::new(CONNECTIONS)), idle: Arc::new(idle) })
    }

    pub(crate) async fn run<T, E>(&self, vault: &Arc<Vault>, ask: Question<T, E>) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| Error::Stopped)?;
        let (idle, vault) = (self.idle.clone(), vault.clone());
        let answer = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            idle.answer(&vault, ask)
        });
        answer.await.unwrap_or_else(|_| Err(Error::Panicked.into()))
    }

    pub(crate) fn run_blocking<T, E: From<Error>>(
        &self,
        vault: &Vault,
        ask: Question<T, E>,
    ) -> Result<T, E> {
        self.idle.answer(vault, ask)
    }
}

struct Idle {
    connections: Mutex<Vec<Connection>>,
    returned: Condvar,
}

impl Idle {
    fn answer<T, E: From<Error>>(&self, vault: &Vault, ask: Question<T, E>) -> Result<T, E> {
        let lent = self.lend();
        // A deferred transaction: every statement of one question sees the same snapshot.
        let snapshot = lent.connection().unchecked_transaction();
        let snapshot = snapshot.map_err(|source| Error::Transaction { source })?;
        ask(&Reader::new(&snapshot, vault))
    }

    fn lend(&self) -> Lent<'_> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(connection) = connections.pop() {
                return Lent { idle: self, connection: Some(connection) };
            }
            connections = self.returned.wait(connections).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A connection on loan; dropping it (also in a panic) gives it back.
struct Lent<'a> {
    idle: &'a Idle,
    connection: Option<Connection>,
}

impl Lent<'_> {
    fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("taken only by drop")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut idle = self.idle.connections.lock().unwrap_or_else(PoisonError::into_inner);
        idle.extend(self.connection.take());
        self.idle.returned.notify_one();
    }
}

fn open(path: &Path) -> Result<Connection> {
    let failed = |source| Error::Open { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    tune(&connection).map_err(failed)?;
    Ok(connection)
}
