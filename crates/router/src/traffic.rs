//! What one thread has seen of each app's requests since its last report.
//!
//! Nothing here is shared: a request adds to its thread's own sums, and once a second the thread
//! sends them away and begins anew. When nobody takes a report the thread keeps it and goes on
//! adding, so what waits is bounded by the number of apps with traffic.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use model::AppId;
use model::traffic::{Outcome, Report, Tally};
use tokio::sync::mpsc;

use crate::log_line::Record;

/// One thread's sums.
pub struct Traffic {
    sink: mpsc::Sender<Report>,
    thread: usize,
    apps: RefCell<HashMap<AppId, Tally>>,
    /// Connections, as last reported.
    connections: Cell<usize>,
}

impl Traffic {
    /// Nothing seen yet; reports of thread number `thread` go to `sink`.
    pub fn new(sink: mpsc::Sender<Report>, thread: usize) -> Self {
        Self { sink, thread, apps: RefCell::default(), connections: Cell::new(0) }
    }

    /// Counts a request of `app`.
    pub fn note(&self, app: AppId, record: &Record) {
        self.apps.borrow_mut().entry(app).or_default().add(&outcome(record));
    }

    /// Sends away what was seen, with the number of client connections that are open now.
    pub fn report(&self, connections: usize) {
        let mut apps = self.apps.borrow_mut();
        if apps.is_empty() && connections == self.connections.get() {
            return;
        }
        let Ok(place) = self.sink.try_reserve() else { return };
        self.connections.set(connections);
        place.send(Report { thread: self.thread, connections, apps: std::mem::take(&mut *apps) });
    }
}

fn outcome(record: &Record) -> Outcome {
    let took = record.service.map(|service| record.connect.unwrap_or_default() + service);
    Outcome {
        status: record.status,
        code: record.code,
        bytes: record.bytes.unwrap_or_default(),
        took: took.filter(|_| record.status != 101),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::codes::HCode;

    use super::*;

    fn record(status: u16, code: Option<HCode>) -> Record {
        let service = Some(Duration::from_millis(7));
        Record { status, code, bytes: Some(10), service, ..Record::early(HCode::H99) }
    }

    #[test]
    fn what_nobody_takes_is_kept_and_added_to() {
        let (sink, mut reports) = mpsc::channel(1);
        let traffic = Traffic::new(sink, 3);
        let (one, other) = (AppId::random(), AppId::random());
        traffic.note(one, &record(200, None));
        traffic.report(5);
        traffic.note(one, &record(200, None));
        traffic.report(5);
        traffic.note(one, &record(503, Some(HCode::H12)));
        traffic.note(other, &Record::early(HCode::H14));
        traffic.report(5);

        let first = reports.try_recv().expect("a report");
        assert_eq!((first.thread, first.connections, first.apps[&one].requests()), (3, 5, 1));
        assert!(reports.try_recv().is_err(), "there was no room");
        traffic.report(6);
        let second = reports.try_recv().expect("another");
        assert_eq!(second.apps[&one].classes, [0, 1, 0, 0, 1]);
        assert_eq!(second.apps[&one].bytes, 20);
        assert_eq!(second.apps[&other].latencies.count(), 0, "no dyno had it");
        traffic.report(6);
        assert!(reports.try_recv().is_err(), "nothing new");
        traffic.report(0);
        assert_eq!(reports.try_recv().expect("fewer connections").connections, 0);
    }

    #[test]
    fn an_upgraded_connections_length_is_no_latency() {
        let (sink, mut reports) = mpsc::channel(1);
        let traffic = Traffic::new(sink, 0);
        let app = AppId::random();
        traffic.note(app, &record(101, None));
        traffic.report(1);
        let report = reports.try_recv().expect("a report");
        assert_eq!((report.apps[&app].requests(), report.apps[&app].latencies.count()), (1, 0));
    }
}
