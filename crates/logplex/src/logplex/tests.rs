//! The room as a whole: lines in at one end, readers at the other.

mod full_disk;

use std::time::Duration;

use tempfile::TempDir;

use model::log::Source;

use super::*;
use crate::{DiskConfig, Filter, Line, Mode};

struct Room {
    logplex: Logplex,
    sink: LogSink,
    app: AppId,
}

impl Room {
    fn start(config: Config) -> Self {
        let (sink, receiver, lost) = LogSink::channel(8192);
        let logplex = start(receiver, lost, config).expect("a thread");
        Self { logplex, sink, app: AppId::random() }
    }

    fn on_disk(directory: &TempDir) -> Self {
        Self::start(Config { directory: Some(directory.path().join("logs")), ..Config::default() })
    }

    fn say(&self, process: &str, text: &str) {
        self.sink.say(self.app, Source::App, process, text);
    }

    fn session(&self, mode: Mode, after: Option<u64>) -> Session {
        self.logplex.session(self.app, Query { after, ..everything(mode) })
    }

    /// Waits until a line has gone in, and so all before it.
    async fn settle(&self) {
        let filter = Filter { dyno: Some("settle.1".into()), source: None };
        let query = Query { filter, lines: 0, mode: Mode::Tail, after: None };
        let mut tail = self.logplex.session(self.app, query);
        self.say("settle.1", "");
        next(&mut tail).await.expect("the stream goes on");
    }

    /// A restart as after a clean stop, or as after a crash with all lines written.
    fn restart(self, directory: &TempDir) -> Self {
        self.logplex.shutdown(&self.sink);
        let mut room = Self::on_disk(directory);
        room.app = self.app;
        room
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.logplex.shutdown(&self.sink);
    }
}

fn everything(mode: Mode) -> Query {
    Query { filter: Filter::default(), lines: 100, mode, after: None }
}

async fn next(session: &mut Session) -> Option<Line> {
    tokio::time::timeout(Duration::from_secs(20), session.next()).await.expect("in time")
}

async fn rest(mut session: Session) -> Vec<Line> {
    let mut lines = Vec::new();
    while let Some(line) = next(&mut session).await {
        lines.push(line);
    }
    lines
}

/// Lines without their times, and without those of `settle`.
fn texts(lines: &[Line]) -> Vec<&str> {
    let texts = lines.iter().map(|line| &line.text[33..]);
    texts.filter(|text| !text.starts_with("app[settle")).collect()
}

fn number(line: &Line) -> Option<u64> {
    line.text.rsplit(' ').next()?.parse().ok()
}

#[tokio::test]
async fn filters_apply_before_the_count() {
    let room = Room::start(Config::default());
    room.say("web.1", "the one");
    for n in 0..50 {
        room.say("worker.1", &n.to_string());
    }
    room.settle().await;
    let filter = Filter { dyno: Some("web".into()), source: None };
    let query = Query { filter, lines: 10, mode: Mode::Recent, after: None };
    let lines = rest(room.logplex.session(room.app, query)).await;
    assert_eq!(texts(&lines), ["app[web.1]: the one"]);
}

#[tokio::test]
async fn a_tail_sees_the_past_and_then_each_line_once_in_order() {
    let room = Room::start(Config::default());
    for n in 0..20 {
        room.say("web.1", &n.to_string());
    }
    // Somewhere in between the tail opens.
    let mut tail = room.session(Mode::Tail, None);
    for n in 20..200 {
        room.say("web.1", &n.to_string());
    }
    let mut numbers = Vec::new();
    while numbers.last() != Some(&199) {
        numbers.extend(number(&next(&mut tail).await.expect("more")));
    }
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn apps_do_not_see_each_other() {
    let room = Room::start(Config::default());
    let other = AppId::random();
    let mut theirs = room.logplex.session(other, everything(Mode::Tail));
    room.sink.say(other, Source::App, "web.1", "not yours");
    assert!(next(&mut theirs).await.is_some());
    assert_eq!(texts(&rest(room.session(Mode::Recent, None)).await), Vec::<&str>::new());
}

#[tokio::test]
async fn a_slow_tail_is_told_what_it_missed_whatever_its_filter() {
    let room = Room::start(Config { lines_per_tail: 10, ..Config::default() });
    let filter = Filter { dyno: Some("web.1".into()), source: Some(Source::App) };
    let query = Query { filter, lines: 0, mode: Mode::Tail, after: None };
    let mut tail = room.logplex.session(room.app, query);
    for n in 1..=100 {
        room.say("web.1", &n.to_string());
        room.say("worker.1", "not wanted");
    }
    room.settle().await;
    let note = next(&mut tail).await.expect("a note");
    let text = &note.text[33..];
    let begin = "heroku[logplex]: Error L11 (Tail buffer overflow) -> This tail session dropped 90 messages since ";
    assert!(text.starts_with(begin), "{text}");
    let mut received = Vec::new();
    for _ in 0..10 {
        received.push(next(&mut tail).await.expect("more"));
    }
    assert_eq!(received.iter().filter_map(number).collect::<Vec<_>>(), Vec::from_iter(91..=100));
    assert!(note.id < received[0].id, "a reader who resumes at the note misses nothing");
}

#[tokio::test]
async fn a_reader_resumes_without_loss_or_repetition() {
    let room = Room::start(Config::default());
    let mut tail = room.session(Mode::Tail, None);
    for n in 0..10 {
        room.say("web.1", &n.to_string());
    }
    let mut last = None;
    for _ in 0..4 {
        last = next(&mut tail).await;
    }
    drop(tail);
    room.settle().await;
    let lines = rest(room.session(Mode::Recent, last.map(|line| line.id))).await;
    assert_eq!(lines.iter().filter_map(number).collect::<Vec<_>>(), Vec::from_iter(4..10));
}

#[tokio::test]
async fn a_reader_who_was_away_too_long_is_told_how_much_is_gone() {
    let room = Room::start(Config { lines_per_app: 5, ..Config::default() });
    let mut tail = room.session(Mode::Tail, None);
    room.say("web.1", "first");
    let seen = next(&mut tail).await.expect("a line");
    for n in 0..20 {
        room.say("web.1", &n.to_string());
    }
    room.settle().await;
    let lines = rest(room.session(Mode::Recent, Some(seen.id))).await;
    // Twenty numbers and the settling line went in; five are kept.
    assert_eq!(
        texts(&lines),
        [
            "heroku[logplex]: This session was interrupted: 16 messages since then are no longer kept.",
            "app[web.1]: 16",
            "app[web.1]: 17",
            "app[web.1]: 18",
            "app[web.1]: 19",
        ]
    );
    let again = rest(room.session(Mode::Recent, Some(lines[0].id))).await;
    assert_eq!(again, lines[1..], "the note is not repeated");
}

#[tokio::test]
async fn lines_outlive_the_server_and_a_tail_goes_on_over_it() {
    let directory = tempfile::tempdir().expect("writable");
    let room = Room::on_disk(&directory);
    room.say("web.1", "one");
    room.say("web.1", "two");
    room.settle().await;
    let before = rest(room.session(Mode::Recent, None)).await;
    let room = room.restart(&directory);
    assert_eq!(rest(room.session(Mode::Recent, None)).await, before);
    room.logplex.announce_restart(room.app, Timestamp::from_micros(0));
    room.say("web.1", "three");
    room.settle().await;
    let after = rest(room.session(Mode::Recent, Some(before[0].id))).await;
    assert_eq!(
        texts(&after),
        [
            "app[web.1]: two",
            "heroku[logplex]: The platform was restarted. Messages between \
         1970-01-01T00:00:00.000000+00:00 and now may be missing or late.",
            "app[web.1]: three",
        ]
    );
    assert!(after.is_sorted_by(|a, b| a.id < b.id));
}

#[tokio::test]
async fn a_reader_gets_from_disk_what_memory_no_longer_holds() {
    let directory = tempfile::tempdir().expect("writable");
    let config = Config {
        directory: Some(directory.path().to_owned()),
        lines_per_app: 5,
        disk: DiskConfig { bytes_per_block: 500, ..DiskConfig::default() },
        ..Config::default()
    };
    let room = Room::start(config);
    let mut tail = room.session(Mode::Tail, None);
    room.say("web.1", "-1");
    let seen = next(&mut tail).await.expect("a line");
    drop(tail);
    for n in 0..300 {
        room.say(if n % 100 == 0 { "worker.1" } else { "web.1" }, &n.to_string());
    }
    room.settle().await;
    let filter = Filter { dyno: Some("worker".into()), source: None };
    let query = Query { filter, lines: 2, mode: Mode::Recent, after: None };
    let lines = rest(room.logplex.session(room.app, query)).await;
    assert_eq!(texts(&lines), ["app[worker.1]: 100", "app[worker.1]: 200"]);
    let query = Query { lines: 250, ..everything(Mode::Recent) };
    let lines = rest(room.logplex.session(room.app, query)).await;
    let numbers: Vec<_> = lines.iter().filter_map(number).collect();
    assert_eq!(numbers, (51..300).collect::<Vec<_>>());
    let lines = rest(room.session(Mode::Recent, Some(seen.id))).await;
    let numbers: Vec<_> = lines.iter().filter_map(number).collect();
    assert_eq!(numbers, (0..300).collect::<Vec<_>>(), "and no note that something is missing");
    assert_eq!(lines.iter().filter(|line| line.text.contains("heroku[logplex]")).count(), 0);
}

#[tokio::test]
async fn a_tail_over_disk_and_memory_sees_each_line_once_while_lines_come() {
    let directory = tempfile::tempdir().expect("writable");
    let config = Config {
        directory: Some(directory.path().to_owned()),
        lines_per_app: 50,
        lines_per_tail: 100_000,
        disk: DiskConfig { bytes_per_block: 2000, ..DiskConfig::default() },
        ..Config::default()
    };
    let room = Room::start(config);
    let (sink, app) = (room.sink.clone(), room.app);
    let producer = std::thread::spawn(move || {
        for n in 0..5000 {
            sink.say(app, Source::App, "web.1", n.to_string());
            if n % 100 == 0 {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    });
    for _ in 0..20 {
        let mut tail = room.logplex.session(app, Query { lines: 5000, ..everything(Mode::Tail) });
        let mut numbers = Vec::new();
        while numbers.len() < 200 {
            numbers.extend(number(&next(&mut tail).await.expect("more")));
        }
        let whole: Vec<u64> = (0..).take(numbers.len()).collect();
        assert_eq!(numbers, whole);
    }
    producer.join().expect("never blocked");
}

#[tokio::test]
async fn altered_lines_are_counted() {
    let room = Room::start(Config::default());
    room.say("web.1", "a\0b");
    room.say("web.1", &"x".repeat(25_000));
    room.settle().await;
    let altered = room.logplex.status(room.app).altered;
    assert_eq!((altered.replaced, altered.cut), (1, 1));
}

#[tokio::test]
async fn without_a_disk_a_tail_is_told_that_a_restart_may_have_cost_lines() {
    let room = Room::start(Config::default());
    room.say("web.1", "new");
    room.settle().await;
    let lines = rest(room.session(Mode::Recent, Some(12))).await;
    assert_eq!(
        texts(&lines),
        [
            "heroku[logplex]: This session was interrupted: some messages since then may no longer be kept.",
            "app[web.1]: new",
        ]
    );
}

#[tokio::test]
async fn a_forgotten_app_ends_its_readers_and_leaves_no_file() {
    let directory = tempfile::tempdir().expect("writable");
    let room = Room::on_disk(&directory);
    room.say("web.1", "secret");
    room.settle().await;
    let tail = room.session(Mode::Tail, None);
    let other = AppId::random();
    room.sink.say(other, Source::App, "web.1", "stays");
    room.logplex.forget(room.app);
    assert_eq!(texts(&rest(tail).await), ["app[web.1]: secret"]);
    room.say("web.1", "last words");
    assert_eq!(rest(room.session(Mode::Tail, None)).await, []);
    let room = room.restart(&directory);
    let files = std::fs::read_dir(directory.path().join("logs")).expect("readable");
    let names: Vec<_> =
        files.filter_map(|file| file.expect("readable").file_name().into_string().ok()).collect();
    assert_eq!(names, [other.to_string()]);
    assert_eq!(rest(room.session(Mode::Recent, None)).await, []);
}

#[tokio::test]
async fn all_apps_together_stay_within_the_bound() {
    let room = Room::start(Config { bytes_overall: 64 << 10, ..Config::default() });
    let quiet = AppId::random();
    let mut tail = room.logplex.session(quiet, everything(Mode::Tail));
    room.sink.say(quiet, Source::App, "web.1", "kept");
    next(&mut tail).await;
    for n in 0..100 {
        room.say("web.1", &format!("{} {n}", "x".repeat(5000)));
    }
    room.settle().await;
    let kept = rest(room.logplex.session(quiet, everything(Mode::Recent))).await;
    assert_eq!(texts(&kept), ["app[web.1]: kept"]);
    let loud = rest(room.session(Mode::Recent, None)).await;
    let numbers: Vec<_> = loud.iter().filter_map(number).collect();
    assert!((4..=13).contains(&numbers.len()), "{numbers:?}");
    assert_eq!(numbers.last(), Some(&99));
}

#[tokio::test]
async fn stopping_ends_tails_after_their_last_line_and_writes_everything() {
    let directory = tempfile::tempdir().expect("writable");
    let room = Room::on_disk(&directory);
    let tail = room.session(Mode::Tail, None);
    room.say("web.1", "seen");
    room.settle().await;
    room.logplex.end_sessions();
    assert_eq!(texts(&rest(tail).await), ["app[web.1]: seen"]);
    assert_eq!(texts(&rest(room.session(Mode::Tail, None)).await), ["app[web.1]: seen"]);
    room.say("web.1", "last");
    let room = room.restart(&directory);
    assert_eq!(
        texts(&rest(room.session(Mode::Recent, None)).await),
        ["app[web.1]: seen", "app[web.1]: last"]
    );
}

/// What a reader got and what it was told is lost, together.
fn account(lines: &[Line]) -> (u64, u64) {
    let lost = |line: &Line| {
        let text = &line.text[33..];
        let said = text.strip_prefix("heroku[logplex]: Error L12: ").or_else(|| {
            text.strip_prefix(
                "heroku[logplex]: Error L11 (Tail buffer overflow) -> This tail session dropped ",
            )
        })?;
        said.split(' ').next()?.parse::<u64>().ok()
    };
    let received = lines.iter().filter_map(number).count() as u64;
    (received, lines.iter().filter_map(lost).sum())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_sent_are_lines_received_and_losses_reported() {
    const PRODUCERS: u64 = 4;
    const LINES: u64 = 30_000;
    // A queue so small that lines are lost on the way in, and a tail so short that it loses some.
    let (sink, receiver, lost) = LogSink::channel(2);
    let config = Config { lines_per_tail: 64, ..Config::default() };
    let logplex = start(receiver, lost, config).expect("a thread");
    let app = AppId::random();
    let reader = tokio::spawn(rest(logplex.session(app, everything(Mode::Tail))));
    let producers: Vec<_> = (1..=PRODUCERS)
        .map(|producer| {
            let sink = sink.clone();
            std::thread::spawn(move || {
                for n in 0..LINES {
                    sink.say(app, Source::App, &format!("web.{producer}"), n.to_string());
                }
            })
        })
        .collect();
    for producer in producers {
        producer.join().expect("a producer is never blocked and never panics");
    }
    stop(logplex, sink).await;
    let lines = reader.await.expect("the reader ends");
    let (received, reported) = account(&lines);
    assert!(reported > 0, "the test is to lose lines");
    assert_eq!(received + reported, PRODUCERS * LINES);
    for producer in 1..=PRODUCERS {
        let name = format!("app[web.{producer}]:");
        let mine = lines.iter().filter(|line| line.text.contains(&name));
        assert!(mine.filter_map(number).is_sorted_by(|a, b| a < b), "order within {name}");
    }
}

async fn stop(logplex: Logplex, sink: LogSink) {
    let stopped = tokio::task::spawn_blocking(move || logplex.shutdown(&sink)).await;
    stopped.expect("the threads end");
}
