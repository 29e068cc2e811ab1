//! The router's line for each request (platform behaviour 1.1 and 2.8), and its way into the log.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use model::codes::HCode;
use model::log::Source;
use model::{AppId, DynoName, LogEntry, LogSink, Timestamp};
use tokio::sync::Notify;

use crate::head::request::{Request, Version};

/// A batch this long does not wait for more.
const FULL: usize = 512;

/// What came of a request, as its line tells it. What is not known stays empty.
#[derive(Clone, Debug)]
pub struct Record {
    /// The error, if it was one.
    pub code: Option<HCode>,
    /// The dyno that had it.
    pub dyno: Option<DynoName>,
    /// How long the connect took.
    pub connect: Option<Duration>,
    /// From the connect to the last byte.
    pub service: Option<Duration>,
    /// The status the client got, or would have got.
    pub status: u16,
    /// Bytes of the response's body.
    pub bytes: Option<u64>,
}

impl Record {
    /// An error met before any dyno had the request.
    pub const fn early(code: HCode) -> Self {
        let status = code.status();
        Self { code: Some(code), dyno: None, connect: None, service: None, status, bytes: None }
    }

    /// The whole line. `tls` is the connection's part of it.
    pub fn line(&self, request: &Request, tls: &str) -> String {
        let mut line = String::with_capacity(request.label.len() + 160);
        self.write(&mut line, request, tls);
        line
    }

    fn write(&self, line: &mut String, request: &Request, tls: &str) {
        // Writing into a string cannot fail, hence the ignored results.
        let _ = match self.code {
            None => write!(line, "at=info "),
            Some(code) => {
                write!(line, "at={} code={} desc=\"{}\" ", code.at(), code.code(), code.desc())
            }
        };
        match self.code {
            Some(HCode::H18) => line.push_str("sock=backend "),
            Some(HCode::H27) => line.push_str("sock=client "),
            _ => {}
        }
        line.push_str(&request.label);
        line.push_str(" dyno=");
        if let Some(dyno) = &self.dyno {
            let _ = write!(line, "{dyno}");
        }
        push_millis(line, " connect=", self.connect);
        push_millis(line, " service=", self.service);
        line.push_str(" status=");
        // A request that is cut has no status.
        if self.code != Some(HCode::H24) {
            let _ = write!(line, "{}", self.status);
        }
        line.push_str(" bytes=");
        if let Some(bytes) = self.bytes {
            let _ = write!(line, "{bytes}");
        }
        line.push_str(match request.version {
            Version::Http10 => " protocol=http1.0 ",
            Version::Http11 => " protocol=http1.1 ",
            Version::Http2 => " protocol=http2.0 ",
        });
        line.push_str(tls);
    }
}

fn push_millis(line: &mut String, name: &str, duration: Option<Duration>) {
    line.push_str(name);
    if let Some(duration) = duration {
        let _ = write!(line, "{}ms", duration.as_millis());
    }
}

/// One thread's lines that wait for company. Handing them over never blocks; what finds no room is
/// counted by the sink.
pub struct Batch {
    sink: LogSink,
    process: Arc<str>,
    waiting: RefCell<Vec<LogEntry>>,
    begun: Notify,
}

impl Batch {
    /// An empty batch for `sink`.
    pub fn new(sink: LogSink) -> Self {
        Self { sink, process: "router".into(), waiting: RefCell::default(), begun: Notify::new() }
    }

    /// Adds a line to the stream of `app`.
    pub fn add(&self, app: AppId, text: String) {
        let (at, process) = (Timestamp::now(), self.process.clone());
        let mut waiting = self.waiting.borrow_mut();
        waiting.push(LogEntry { app, at, source: Source::Heroku, process, text });
        let count = waiting.len();
        drop(waiting);
        match count {
            1 => self.begun.notify_one(),
            FULL.. => self.flush(),
            _ => {}
        }
    }

    /// Hands over what waits.
    pub fn flush(&self) {
        self.sink.send(std::mem::take(&mut *self.waiting.borrow_mut()));
    }

    /// Flushes each batch `after` it was begun. Never ends.
    pub async fn run(&self, after: Duration) {
        loop {
            self.begun.notified().await;
            tokio::time::sleep(after).await;
            self.flush();
        }
    }
}
