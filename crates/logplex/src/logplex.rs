//! The room's door.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use model::drain::Drain;
use model::log::Lost;
use model::{AppId, LogEntry, LogRule, LogRuleId, LogSink, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::disk::{Disk, Writer};
use crate::drains::{self, AuthoritiesError, Drains};
use crate::intake::Intake;
use crate::query::Query;
use crate::rules::{self, RuleStatus, Rules};
use crate::search::{Search, Searching};
use crate::session::Session;
use crate::streams::{Status, Streams};

/// Logplex could not begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log directory cannot be made or read.
    #[error("cannot open the log directory {path}")]
    Directory {
        /// The directory.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The machine refused a thread.
    #[error("cannot start the log thread")]
    Thread(#[source] std::io::Error),
}

/// Looks at what earlier runs have kept and begins to take lines in, on a thread of its own.
///
/// # Errors
/// The directory cannot be used, or no thread be had.
pub fn start(
    receiver: Receiver<Vec<LogEntry>>,
    lost: Arc<Lost>,
    config: Config,
) -> Result<Logplex, StartError> {
    let directory = config.directory.clone().unwrap_or_default();
    let (disk, mut writer) = Disk::new(&config);
    let recovered = writer.as_mut().map(Writer::recover).transpose();
    let past = recovered
        .map_err(|source| StartError::Directory { path: directory, source })?
        .unwrap_or_default();
    let streams = Arc::new(Streams::new(past.into_iter().collect(), disk, config));
    if let Some(writer) = writer {
        let told = streams.clone();
        let tell = Box::new(move |app, text| told.say(app, text));
        streams.disk().start(writer, tell).map_err(StartError::Thread)?;
    }
    let closing = Arc::new(AtomicBool::new(false));
    let intake = Intake::new(receiver, lost, streams.clone(), closing.clone());
    let thread = thread::Builder::new()
        .name("logplex".to_owned())
        .spawn(|| intake.run())
        .map_err(StartError::Thread)?;
    Ok(Logplex { streams, closing, thread: Arc::new(Mutex::new(Some(thread))) })
}

/// The log streams of all apps. Clones are the same.
#[derive(Clone)]
pub struct Logplex {
    streams: Arc<Streams>,
    closing: Arc<AtomicBool>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Logplex {
    /// Opens a reader of an app's stream. For an app that was forgotten it ends at once.
    #[must_use]
    pub fn session(&self, app: AppId, query: Query) -> Session {
        self.streams.session(app, query)
    }

    /// Says in an app's stream that the platform was away since `since`, so that lines may be
    /// missing there.
    pub fn announce_restart(&self, app: AppId, since: Timestamp) {
        let text = format!(
            "The platform was restarted. Messages between {since} and now may be missing or late."
        );
        self.streams.say(app, text);
    }

    /// Looks for lines in all that is kept of an app. Needs a tokio runtime.
    #[must_use]
    pub fn search(&self, app: AppId, search: Search) -> Searching {
        self.streams.search(app, search)
    }

    /// Starts the rules that are wanted, and follows what is wanted until the server stops. Once.
    ///
    /// # Errors
    /// The operator's authorities cannot be read.
    pub fn start_rules(
        &self,
        wanted: watch::Receiver<Arc<Vec<LogRule>>>,
        config: rules::Config,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Rules, AuthoritiesError> {
        let rules = rules::start(self.streams.clone(), wanted, config, tasks, stop)?;
        self.streams.watch(rules.clone());
        Ok(rules)
    }

    /// How a rule fares; `None` when it is not at work (yet).
    #[must_use]
    pub fn rule_status(&self, rule: LogRuleId) -> Option<RuleStatus> {
        self.streams.rules()?.status(rule)
    }

    /// Sends a rule's message of one made-up line at once.
    ///
    /// # Errors
    /// Why it did not arrive, for the person who asked.
    pub async fn test_rule(&self, rule: LogRuleId) -> Result<(), String> {
        match self.streams.rules() {
            Some(rules) => rules.test(rule).await,
            None => Err("no rules are at work".to_owned()),
        }
    }

    /// What is known about an app's log. Reads directories, so it may block for a moment.
    #[must_use]
    pub fn status(&self, app: AppId) -> Status {
        self.streams.status(app)
    }

    /// Starts drains, and follows what is wanted until `stop`. What waits then is sent, for a
    /// moment, and the rest goes on where it stopped at the next start. Call it inside of an async
    /// runtime.
    ///
    /// # Errors
    /// The operator's authorities cannot be read.
    pub fn start_drains(
        &self,
        wanted: watch::Receiver<Arc<Vec<Drain>>>,
        config: drains::Config,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Drains, AuthoritiesError> {
        drains::start(self.streams.clone(), wanted, config, tasks, stop)
    }

    /// An app is gone: its readers end, its lines are deleted, later ones are not kept.
    pub fn forget(&self, app: AppId) {
        self.streams.forget(app);
    }

    /// The server stops: every tail ends, now and from now on, so that connections can be closed
    /// cleanly. Lines are still taken in until [`shutdown`](Self::shutdown).
    pub fn end_sessions(&self) {
        self.streams.close();
    }

    /// Takes in what waits, ends all tails, writes to disk and joins the threads. Blocks: call it last, outside
    /// of async code. `sink` is any sink of the channel; it is used to wake the thread.
    pub fn shutdown(&self, sink: &LogSink) {
        self.closing.store(true, Ordering::Release);
        sink.wake();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the log thread panicked; its last lines are lost");
        }
        self.end_sessions();
        self.streams.disk().shutdown();
    }
}

#[cfg(test)]
mod tests;
