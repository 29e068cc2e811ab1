//! One thread that reads what all dynos print.
//!
//! A wake-up per line is what reading logs costs, so the thread waits a moment after the first pipe
//! has something and then reads all that have. A pipe holds a mebibyte, which no dyno fills in that
//! moment; when there is much to read, there is no waiting.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::output::AppLog;
use crate::streams::{Outputs, Stream};

/// How long lines gather before they are read. All that comes behind wakes up as often as this
/// thread does, so half the time costs nearly twice the CPU at ten thousand lines a second.
const GATHER: Duration = Duration::from_millis(10);

/// Bytes read from one pipe before the next has its turn.
const TURN: usize = 64 * 1024;

/// When a round read so much, more waits, and nothing is gathered.
const BUSY: usize = 256 * 1024;

/// Pipes looked at in one round; the others have the next.
const PIPES: usize = 256;

/// Stands for the end of the thread.
const END: u64 = 0;

/// Reads pipes on a thread of its own. Dropping it ends the thread.
pub(crate) struct Collector {
    shared: Arc<Shared>,
    end: EventFd,
}

struct Shared {
    epoll: Epoll,
    sources: Mutex<HashMap<u64, Arc<Source>>>,
    ended: AtomicBool,
    next: AtomicU64,
}

/// One dyno's output. Locked while it is read.
type Source = Mutex<Option<Output>>;

struct Output {
    /// Standard output and error, under the numbers by which their events are known.
    pipes: Vec<(u64, Stream, OwnedFd)>,
    log: AppLog,
    done: Option<oneshot::Sender<()>>,
}

impl Collector {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the machine refuses.
    pub(crate) fn start() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let end = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        epoll.add(&end, EpollEvent::new(EpollFlags::EPOLLIN, END))?;
        let shared = Arc::new(Shared {
            epoll,
            sources: Mutex::default(),
            ended: AtomicBool::new(false),
            next: AtomicU64::new(END + 1),
        });
        let reading = shared.clone();
        thread::Builder::new().name("dyno-output".to_owned()).spawn(move || reading.run())?;
        Ok(Self { shared, end })
    }

    /// Reads a dyno's output into its log until both streams have ended, or the manager lets go of
    /// the dyno; what was read is in the log then.
    pub(crate) async fn collect(&self, outputs: Outputs, log: AppLog, cancel: CancellationToken) {
        let (done, ended) = oneshot::channel();
        let source = match self.shared.add(outputs, log, done) {
            Ok(source) => source,
            Err(error) => {
                tracing::error!(%error, "could not read a dyno's output");
                return;
            }
        };
        // Dropped with its future, the dyno is let go of as well.
        let let_go = LetGo { shared: self.shared.clone(), source };
        let _ended_or_cancelled = cancel.run_until_cancelled(ended).await;
        drop(let_go);
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        // Cannot fail but by being full, and then the thread is woken all the same.
        let _ = self.end.write(1);
    }
}

struct LetGo {
    shared: Arc<Shared>,
    source: Arc<Source>,
}

impl Drop for LetGo {
    fn drop(&mut self) {
        let output = lock(&self.source).take();
        if let Some(output) = output {
            self.shared.finish(output);
        }
    }
}

impl Shared {
    fn add(
        &self,
        outputs: Outputs,
        log: AppLog,
        done: oneshot::Sender<()>,
    ) -> io::Result<Arc<Source>> {
        let pipes = outputs
            .into_pipes()?
            .into_iter()
            .map(|(stream, pipe)| (self.next.fetch_add(1, Ordering::Relaxed), stream, pipe));
        let output = Output { pipes: pipes.collect(), log, done: Some(done) };
        let tokens: Vec<_> = output.pipes.iter().map(|(token, ..)| *token).collect();
        let source = Arc::new(Mutex::new(Some(output)));
        // Known before its first event comes.
        let known = tokens.iter().map(|token| (*token, source.clone()));
        lock(&self.sources).extend(known);
        let watched = match lock(&source).as_ref() {
            Some(output) => output.pipes.iter().try_for_each(|(token, _, pipe)| {
                self.epoll.add(pipe, EpollEvent::new(EpollFlags::EPOLLIN, *token))
            }),
            None => Ok(()),
        };
        if let Err(error) = watched {
            let output = lock(&source).take();
            output.into_iter().for_each(|output| self.finish(output));
            return Err(error.into());
        }
        Ok(source)
    }

    fn run(&self) {
        let mut events = [EpollEvent::empty(); PIPES];
        let mut buffer = vec![0; TURN];
        let mut is_busy = false;
        while !self.ended.load(Ordering::Acquire) {
            if !is_busy {
                // An error is a signal's; the next look says what there is.
                let _ = self.epoll.wait(&mut events[..1], EpollTimeout::NONE);
                thread::sleep(GATHER);
            }
            let count = self.epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
            let tokens = events[..count].iter().map(EpollEvent::data).filter(|&token| token != END);
            let read = tokens.map(|token| match self.turn(token, &mut buffer) {
                // There is more in this pipe, and its dyno must not wait for room.
                TURN => BUSY,
                length => length,
            });
            is_busy = read.sum::<usize>() >= BUSY;
        }
    }

    /// Reads once from a pipe. Gives the bytes read.
    fn turn(&self, token: u64, buffer: &mut [u8]) -> usize {
        let Some(source) = lock(&self.sources).get(&token).cloned() else { return 0 };
        let mut place = lock(&source);
        let Some(output) = place.as_mut() else { return 0 };
        let Some(at) = output.pipes.iter().position(|(known, ..)| *known == token) else {
            return 0;
        };
        let (_, stream, pipe) = &output.pipes[at];
        match nix::unistd::read(pipe.as_fd(), buffer) {
            Ok(length) if length > 0 => {
                output.log.push(*stream, &buffer[..length]);
                return length;
            }
            Err(Errno::EAGAIN | Errno::EINTR) => return 0,
            Ok(_) | Err(_) => {}
        }
        let ended = output.pipes.swap_remove(at);
        self.unwatch(&ended);
        if output.pipes.is_empty() {
            place.take().into_iter().for_each(|output| self.finish(output));
        }
        0
    }

    /// Reads no more, and says what is left.
    fn finish(&self, mut output: Output) {
        output.pipes.iter().for_each(|pipe| self.unwatch(pipe));
        output.log.finish();
        if let Some(done) = output.done.take() {
            // Nobody waits when the manager has let go.
            let _ = done.send(());
        }
    }

    /// The shim holds the pipe too, so closing ours would not end the events.
    fn unwatch(&self, (token, _, pipe): &(u64, Stream, OwnedFd)) {
        let _never_watched = self.epoll.delete(pipe);
        lock(&self.sources).remove(token);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
