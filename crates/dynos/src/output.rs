//! A dyno's output on its way to the app's log, and to whoever wants every byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::log::Source;
use model::{AppId, DynoName, LogEntry, LogSink, Timestamp};
use store::outputs::OutputWriter;
use tokio_util::sync::CancellationToken;

use crate::lines::Lines;
use crate::streams::{CHUNK, Outputs, Stream};

/// Where output goes. Neither place ever makes the dyno wait.
pub(crate) struct Sink {
    /// As lines of `app[web.1]`.
    pub(crate) log: Option<AppLog>,
    /// As it is.
    pub(crate) raw: Option<OutputWriter>,
}

/// Writes lines as `app[web.1]`.
pub(crate) struct AppLog {
    logs: LogSink,
    app: AppId,
    process: Arc<str>,
    /// Whether there has been a line.
    printed: Arc<AtomicBool>,
    out: Lines,
    err: Lines,
}

impl AppLog {
    /// `printed` becomes true with the first line.
    pub(crate) fn new(
        logs: LogSink,
        app: AppId,
        name: &DynoName,
        printed: Arc<AtomicBool>,
    ) -> Self {
        let process = name.to_string().into();
        Self { logs, app, process, printed, out: Lines::default(), err: Lines::default() }
    }

    /// Takes bytes in; whole lines go to the log.
    pub(crate) fn push(&mut self, stream: Stream, bytes: &[u8]) {
        let lines = match stream {
            Stream::Out => self.out.push(bytes),
            Stream::Err => self.err.push(bytes),
        };
        self.send(lines);
    }

    /// Nothing more comes: a line without an end is one too.
    pub(crate) fn finish(&mut self) {
        let rest = [self.out.finish(), self.err.finish()];
        self.send(rest.into_iter().flatten().collect());
    }

    fn send(&mut self, lines: Vec<String>) {
        for altered in [self.out.take_altered(), self.err.take_altered()] {
            self.logs.note_altered(self.app, altered);
        }
        if !lines.is_empty() {
            self.printed.store(true, Ordering::Relaxed);
        }
        let at = Timestamp::now();
        let entry = |text| LogEntry {
            app: self.app,
            at,
            source: Source::App,
            process: self.process.clone(),
            text,
        };
        self.logs.send(lines.into_iter().map(entry).collect());
    }
}

/// Moves all output until both streams have ended, or the manager lets go of the dyno.
pub(crate) async fn pump(mut outputs: Outputs, mut sink: Sink, cancel: CancellationToken) {
    let mut buffer = vec![0; CHUNK];
    // What was read is delivered before the next wait, so letting go loses nothing.
    while let Some(Some((stream, length))) =
        cancel.run_until_cancelled(outputs.read(&mut buffer)).await
    {
        let bytes = &buffer[..length];
        if let Some(log) = &mut sink.log {
            log.push(stream, bytes);
        }
        if let Some(Err(error)) = sink.raw.as_ref().map(|raw| raw.write(bytes)) {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "could not keep the output of a dyno");
            sink.raw = None;
        }
    }
    if let Some(log) = &mut sink.log {
        log.finish();
    }
}
