//! Real pipes, and a log that is read back.

use std::io::{PipeWriter, Write};
use std::sync::mpsc::Receiver;
use std::time::Instant;

use model::{AppId, LogEntry, LogSink};

use super::*;

struct Bed {
    collector: Collector,
    sink: LogSink,
    lines: Receiver<Vec<LogEntry>>,
    app: AppId,
}

impl Bed {
    fn new() -> Self {
        let (sink, lines, _lost) = LogSink::channel(100_000);
        Self { collector: Collector::start().expect("a thread"), sink, lines, app: AppId::random() }
    }

    fn dyno(&self, name: &str) -> (Outputs, [PipeWriter; 2], AppLog) {
        let (out, to_out) = io::pipe().expect("a pipe");
        let (err, to_err) = io::pipe().expect("a pipe");
        let nonblocking = |fd: OwnedFd| {
            use nix::fcntl::{FcntlArg, OFlag, fcntl};
            fcntl(&fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("a flag");
            fd
        };
        let outputs = Outputs::wire(nonblocking(out.into()), nonblocking(err.into()));
        let name = name.parse().expect("a name");
        let log = AppLog::new(self.sink.clone(), self.app, &name, Arc::default());
        (outputs.expect("pipes"), [to_out, to_err], log)
    }

    fn said(&self) -> Vec<(String, String)> {
        let entries = self.lines.try_iter().flatten();
        entries.map(|entry| (entry.process.to_string(), entry.text)).collect()
    }
}

#[tokio::test]
async fn all_is_read_in_order_until_both_streams_end() {
    let bed = Bed::new();
    let dynos: Vec<_> = (1..=10).map(|n| bed.dyno(&format!("web.{n}"))).collect();
    let mut flows = Vec::new();
    let mut writers = Vec::new();
    for (outputs, [mut out, err], log) in dynos {
        flows.push(bed.collector.collect(outputs, log, CancellationToken::new()));
        writers.push(thread::spawn(move || {
            for n in 0..20_000 {
                writeln!(out, "{n}").expect("the other end is open");
            }
            write!(out, "end").expect("open");
            drop((out, err));
        }));
    }
    futures_util::future::join_all(flows).await;
    writers.into_iter().for_each(|writer| writer.join().expect("written"));
    let said = bed.said();
    for n in 1..=10 {
        let name = format!("web.{n}");
        let mine: Vec<_> =
            said.iter().filter(|(who, _)| *who == name).map(|(_, text)| text).collect();
        assert_eq!(mine.len(), 20_001);
        assert!(mine.iter().take(20_000).enumerate().all(|(n, text)| **text == n.to_string()));
        assert_eq!(*mine[20_000], "end");
    }
}

#[tokio::test]
async fn when_the_manager_lets_go_what_was_read_is_said_and_the_rest_stays_in_the_pipe() {
    let bed = Bed::new();
    let (outputs, [mut out, _err], log) = bed.dyno("web.1");
    let cancel = CancellationToken::new();
    let mut flow = Box::pin(bed.collector.collect(outputs, log, cancel.clone()));
    write!(out, "whole\nhalf").expect("open");
    let until = Instant::now() + Duration::from_secs(10);
    let mut said = Vec::new();
    while said.is_empty() && Instant::now() < until {
        let _running = tokio::time::timeout(Duration::from_millis(5), &mut flow).await;
        said = bed.said();
    }
    cancel.cancel();
    flow.await;
    said.extend(bed.said());
    let texts: Vec<_> = said.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["whole", "half"]);
    assert!(lock(&bed.collector.shared.sources).is_empty());
}
