//! Everything that the task of one drain works with, and what it says about itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::drain::Drain;
use model::log::Source;
use model::{LogEntry, Timestamp};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::House;
use super::book::{Book, DrainStatus};
use super::buffer::Buffer;
use super::dial::DialError;

/// One drain at work.
pub(crate) struct Outlet {
    pub drain: Drain,
    pub buffer: Arc<Buffer>,
    pub book: Arc<Book>,
    pub house: Arc<House>,
    pub quit: Quit,
    told: Mutex<Told>,
}

/// When something was last said in the app's stream.
#[derive(Default)]
struct Told {
    loss: Option<Instant>,
    certificate: Option<Instant>,
}

/// What ends a drain's task.
#[derive(Clone)]
pub(crate) struct Quit {
    /// The server stops: what waits may still go, for a moment.
    pub stop: CancellationToken,
    /// The drain is gone, or becomes another.
    pub gone: CancellationToken,
    /// How long the moment is.
    pub flush: Duration,
}

impl Quit {
    /// Until there is no time left at all.
    pub async fn at_once(&self) {
        let flushed = async {
            self.stop.cancelled().await;
            tokio::time::sleep(self.flush).await;
        };
        // Both only watch: dropping one loses nothing.
        tokio::select! {
            () = self.gone.cancelled() => {}
            () = flushed => {}
        }
    }

    /// Whether nothing more is to be waited for.
    pub fn is_asked(&self) -> bool {
        self.stop.is_cancelled() || self.gone.is_cancelled()
    }

    /// Until it is asked to end.
    pub async fn asked(&self) {
        // Both only watch: dropping one loses nothing.
        tokio::select! {
            () = self.gone.cancelled() => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Waits so long, unless it is to end. Answers whether to go on.
    pub async fn pause(&self, time: Duration) -> bool {
        tokio::time::timeout(time, self.asked()).await.is_err()
    }
}

impl Outlet {
    /// A drain that is about to begin.
    pub fn new(
        drain: Drain,
        buffer: Arc<Buffer>,
        book: Arc<Book>,
        house: Arc<House>,
        quit: Quit,
    ) -> Self {
        Self { drain, buffer, book, house, quit, told: Mutex::default() }
    }

    /// How it fares.
    pub fn status(&self) -> DrainStatus {
        self.book.status(self.buffer.len(), self.buffer.lost())
    }

    /// The receiver was not reached.
    pub fn not_reached(&self, error: &DialError) {
        self.book.failed(error.to_string());
        if let DialError::Certificate(why) = error {
            let due = |told: &mut Told| is_due(&mut told.certificate, self.tell_every());
            if due(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner)) {
                let uri = &self.drain.url;
                let line =
                    format!("Error L14 (certificate validation): error=\"{why}\" uri=\"{uri}\"");
                self.say(line);
            }
        }
    }

    /// Says in the app's stream what was lost, if something was and it is time for it.
    pub fn tell_losses(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = told.loss.is_none_or(|at| at.elapsed() >= self.tell_every());
        let Some(loss) = waited.then(|| self.buffer.take_untold()).flatten() else { return };
        told.loss = Some(Instant::now());
        drop(told);
        let token = model::drain::token(self.drain.id);
        self.say(format!(
            "Error L10 (output buffer overflow): drain '{token}' dropped {} messages since {}.",
            loss.count, loss.since
        ));
    }

    fn tell_every(&self) -> Duration {
        self.house.config.timing.tell_every
    }

    fn say(&self, text: String) {
        let (app, at) = (self.drain.app, Timestamp::now());
        let entry = LogEntry { app, at, source: Source::Heroku, process: "logplex".into(), text };
        self.house.streams.append(vec![entry]);
    }
}

fn is_due(last: &mut Option<Instant>, every: Duration) -> bool {
    let due = last.is_none_or(|at| at.elapsed() >= every);
    if due {
        *last = Some(Instant::now());
    }
    due
}
