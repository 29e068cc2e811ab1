//! One reader of one app's stream.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::record::Record;
use crate::tail::Tail;

/// One line for a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its place in the stream; a reader who comes back says the last one it has seen
    /// ([`Query::after`](crate::Query)). Ids grow, also over restarts of the server.
    pub id: u64,
    /// `2010-09-16T15:13:46.677020+00:00 app[web.1]: message`, without a line end.
    pub text: String,
}

/// One reader of one app's stream. Dropping it is leaving.
pub struct Session {
    past: VecDeque<Arc<Record>>,
    tail: Option<Arc<Tail>>,
}

impl Session {
    pub(crate) fn new(past: Vec<Arc<Record>>, tail: Option<Arc<Tail>>) -> Self {
        Self { past: past.into(), tail }
    }

    /// The next line. `None` is the end: of what is kept, or, for a tail, because the app is gone
    /// or the server stops. Nothing is lost if the future is dropped before it is ready.
    pub async fn next(&mut self) -> Option<Line> {
        self.fill().await;
        self.past.pop_front().map(|record| line(&record))
    }

    /// All lines that can be had without waiting for another, at least one; bounded. `None` is the
    /// end. Nothing is lost if the future is dropped before it is ready.
    pub async fn next_batch(&mut self) -> Option<Vec<Line>> {
        self.fill().await;
        let lines: Vec<_> = self.past.drain(..).map(|record| line(&record)).collect();
        (!lines.is_empty()).then_some(lines)
    }

    async fn fill(&mut self) {
        if !self.past.is_empty() {
            return;
        }
        if let Some(tail) = &self.tail {
            self.past = tail.take().await.into();
        }
    }
}

fn line(record: &Record) -> Line {
    Line { id: record.id, text: record.to_string() }
}
