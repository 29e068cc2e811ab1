//! One reader of one app's stream.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::history::History;
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
    older: Older,
    past: VecDeque<Arc<Record>>,
    tail: Option<Arc<Tail>>,
}

/// Lines from disk, which come before all others.
enum Older {
    None,
    Wanted(History),
    Loading(JoinHandle<Vec<Arc<Record>>>),
}

impl Session {
    pub(crate) fn new(
        older: Option<History>,
        past: Vec<Arc<Record>>,
        tail: Option<Arc<Tail>>,
    ) -> Self {
        Self { older: older.map_or(Older::None, Older::Wanted), past: past.into(), tail }
    }

    /// Without a line.
    pub(crate) fn ended() -> Self {
        Self::new(None, Vec::new(), None)
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
        self.load().await;
        if !self.past.is_empty() {
            return;
        }
        if let Some(tail) = &self.tail {
            self.past = tail.take().await.into();
        }
    }

    /// Puts what is on disk before the rest.
    async fn load(&mut self) {
        self.older = match std::mem::replace(&mut self.older, Older::None) {
            Older::None => return,
            Older::Wanted(history) => {
                Older::Loading(tokio::task::spawn_blocking(move || history.load()))
            }
            loading @ Older::Loading(_) => loading,
        };
        let Older::Loading(loading) = &mut self.older else { return };
        let records = loading.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the reading of kept log lines failed");
            Vec::new()
        });
        self.older = Older::None;
        records.into_iter().rev().for_each(|record| self.past.push_front(record));
    }
}

fn line(record: &Record) -> Line {
    Line { id: record.id, text: record.to_string() }
}
