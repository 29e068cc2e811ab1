//! The one writer: a thread that owns the writing connection and takes jobs from two bounded
//! queues, people before sweeps. A full queue makes callers wait their turn.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle, Thread};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use crate::engine::Tx;
use crate::pokes::Pokes;
use crate::vault::Vault;
use crate::{Error, Result};

/// Jobs that may wait in each queue.
const QUEUE: usize = 256;

type Job = Box<dyn FnOnce(&mut Connection, &Vault, &Pokes) + Send>;

/// Whose work goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Priority {
    /// Somebody waits for the answer.
    People,
    /// Housekeeping: only when no person waits.
    Sweeps,
}

/// When a change must be on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Before its caller hears of it.
    Now,
    /// With the next change that must be there at once. A change that was answered outlives the
    /// process in any case, but perhaps not the machine.
    Later,
}

/// The way to the writer thread. Dropping it lets the thread finish its queues and end.
pub(crate) struct Writer {
    people: Option<mpsc::Sender<Job>>,
    sweeps: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(
        connection: Connection,
        vault: Arc<Vault>,
        pokes: Arc<Pokes>,
    ) -> Result<Self> {
        let (people, people_jobs) = mpsc::channel(QUEUE);
        let (sweeps, sweep_jobs) = mpsc::channel(QUEUE);
        let queues = Queues { people: people_jobs, sweeps: sweep_jobs };
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || work(connection, queues, &vault, &pokes))
            .map_err(|source| Error::Thread { source })?;
        Ok(Self { people: Some(people), sweeps: Some(sweeps), thread: Some(thread) })
    }

    /// Queues `change` and waits for its outcome. Once queued it runs, whoever still waits.
    pub(crate) async fn run<T, E>(
        &self,
        priority: Priority,
        durability: Durability,
        change: Change<T, E>,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (job, outcome) = job(durability, change);
        self.queue(priority).send(job).await.map_err(|_| Error::Stopped)?;
        self.wake();
        outcome.await.unwrap_or_else(|_| Err(Error::Stopped.into()))
    }

    /// As [`Writer::run`] for a thread that may block.
    pub(crate) fn run_blocking<T, E>(&self, change: Change<T, E>) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (job, outcome) = job(Durability::Now, change);
        self.queue(Priority::People).blocking_send(job).map_err(|_| Error::Stopped)?;
        self.wake();
        outcome.blocking_recv().unwrap_or_else(|_| Err(Error::Stopped.into()))
    }

    /// How many jobs wait in the queue of `priority`.
    pub(crate) fn waiting(&self, priority: Priority) -> usize {
        let queue = self.queue(priority);
        queue.max_capacity() - queue.capacity()
    }

    fn queue(&self, priority: Priority) -> &mpsc::Sender<Job> {
        let queue = match priority {
            Priority::People => &self.people,
            Priority::Sweeps => &self.sweeps,
        };
        queue.as_ref().expect("queues are taken only by drop")
    }

    fn wake(&self) {
        self.thread().inspect(|thread| thread.unpark());
    }

    fn thread(&self) -> Option<&Thread> {
        self.thread.as_ref().map(JoinHandle::thread)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.people = None;
        self.sweeps = None;
        self.wake();
        // Queued work is finished before the database is let go. The last handle may be dropped by
        // a job on the writer thread itself, which cannot wait for its own end.
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

/// What a caller wants done in one transaction.
pub(crate) type Change<T, E> = Box<dyn FnOnce(&mut Tx<'_>) -> Result<T, E> + Send>;

struct Queues {
    people: mpsc::Receiver<Job>,
    sweeps: mpsc::Receiver<Job>,
}

enum Next {
    Job(Job),
    Wait,
    Stop,
}

impl Queues {
    fn next(&mut self) -> Next {
        // Both queues lose their senders together, when the store is dropped.
        let otherwise = match self.people.try_recv() {
            Ok(job) => return Next::Job(job),
            Err(TryRecvError::Empty) => Next::Wait,
            Err(TryRecvError::Disconnected) => Next::Stop,
        };
        self.sweeps.try_recv().map_or(otherwise, Next::Job)
    }
}

fn work(mut connection: Connection, mut queues: Queues, vault: &Vault, pokes: &Pokes) {
    loop {
        match queues.next() {
            Next::Job(job) => job(&mut connection, vault, pokes),
            // A sender unparks after sending; an unpark that comes before this park is kept.
            Next::Wait => thread::park(),
            Next::Stop => return,
        }
    }
}

fn job<T, E>(durability: Durability, change: Change<T, E>) -> (Job, oneshot::Receiver<Result<T, E>>)
where
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    let (answer, outcome) = oneshot::channel();
    let job: Job = Box::new(move |connection, vault, pokes| {
        let transact = || {
            wait_for_disk(connection, durability)?;
            transact(connection, vault, pokes, change)
        };
        let done = catch_unwind(AssertUnwindSafe(transact));
        // The caller may have gone; the change stands all the same.
        let _ = answer.send(done.unwrap_or_else(|_| Err(Error::Panicked.into())));
    });
    (job, outcome)
}

/// Whether the commits to come wait for the disk.
fn wait_for_disk(connection: &Connection, durability: Durability) -> Result<()> {
    let level = match durability {
        Durability::Now => "full",
        Durability::Later => "normal",
    };
    let set = connection.pragma_update(None, "synchronous", level);
    set.map_err(|source| Error::Transaction { source })
}

/// One transaction: committed on `Ok`, rolled back on `Err` and on a panic.
fn transact<T, E: From<Error>>(
    connection: &mut Connection,
    vault: &Vault,
    pokes: &Pokes,
    change: Change<T, E>,
) -> Result<T, E> {
    let failed = |source| Error::Transaction { source };
    let inner =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let mut tx = Tx::new(&inner, vault);
    let done = change(&mut tx)?;
    let after = tx.into_after();
    inner.commit().map_err(failed)?;
    after.calls.into_iter().for_each(|call| call());
    pokes.deliver(&after.pokes);
    Ok(done)
}
