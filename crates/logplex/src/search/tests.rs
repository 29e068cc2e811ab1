//! Searches beside a plain look at every line.

use model::{AppId, LogEntry, LogSink};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{Config, DiskConfig, Logplex};

struct Room {
    logplex: Logplex,
    sink: LogSink,
    app: AppId,
    lines: Vec<(String, String)>,
    _directory: TempDir,
}

impl Room {
    /// Small blocks, and few lines in memory.
    fn with(lines: Vec<(String, String)>) -> Self {
        let directory = TempDir::new().expect("writable");
        let config = Config {
            directory: Some(directory.path().to_owned()),
            lines_per_app: 10,
            disk: DiskConfig { bytes_per_block: 4000, ..DiskConfig::default() },
            ..Config::default()
        };
        let (sink, receiver, lost) = LogSink::channel(8192);
        let logplex = crate::start(receiver, lost, config).expect("a thread");
        let app = AppId::random();
        for part in lines.chunks(100) {
            let entry = |(process, text): &(String, String)| LogEntry {
                app,
                at: Timestamp::now(),
                source: if process == "router" { Source::Heroku } else { Source::App },
                process: process.as_str().into(),
                text: text.clone(),
            };
            sink.send(part.iter().map(entry).collect());
        }
        Self { logplex, sink, app, lines, _directory: directory }
    }

    /// All that is found, page by page, oldest first.
    async fn find(&self, search: Search) -> Vec<String> {
        let (mut found, mut before) = (Vec::new(), search.before);
        loop {
            let mut searching = self.logplex.search(self.app, Search { before, ..search.clone() });
            let mut end = None;
            while let Some(part) = searching.next().await {
                match part {
                    Part::Hits(hits) => found.extend(hits.into_iter().map(|hit| hit.text.into())),
                    Part::End(ended) => end = Some(ended),
                }
            }
            let end = end.expect("an end");
            assert_eq!((end.damaged, end.error), (0, None));
            match end.next {
                Some(next) => before = Some(next),
                None => break,
            }
        }
        found.reverse();
        found
    }

    async fn all_in(&self) {
        let everything = Search { lines: MAX_FOUND, ..Search::default() };
        while self.find(everything.clone()).await.len() < self.lines.len() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn texts(&self, wanted: impl Fn(&str, &str) -> bool) -> Vec<String> {
        let lines = self.lines.iter().filter(|(process, text)| wanted(process, text));
        lines.map(|(_, text)| text.clone()).collect()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.logplex.shutdown(&self.sink);
    }
}

fn terms(text: &str) -> Terms {
    Terms::parse(text).expect("good terms")
}

fn sample() -> Vec<(String, String)> {
    let line = |n: u32| match n % 4 {
        0 => ("router".into(), format!("at=info path=\"/{n}\" request_id={}", uuid(n))),
        1 => ("web.1".into(), format!("[{}] started GET /{n}", uuid(n - 1))),
        2 => ("web.2".into(), format!("Error: timeout number {n}")),
        _ => ("worker.1".into(), format!("timeouts: {n} né")),
    };
    (0..2000).map(line).collect()
}

fn uuid(n: u32) -> String {
    let n = u64::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!("{:08x}-{:04x}-4{:03x}-a000-{:012x}", n >> 32, n & 0xFFFF, n & 0xFFF, n >> 16)
}

#[tokio::test]
async fn everything_can_be_looked_for() {
    let room = Room::with(sample());
    room.all_in().await;
    let search = |terms| Search { terms, lines: 97, ..Search::default() };
    let found = room.find(search(Terms::default().with_phrase(&uuid(400)).expect("good"))).await;
    assert_eq!(found, room.texts(|_, text| text.contains(&uuid(400))));
    assert_eq!(found.len(), 2);
    let found = room.find(search(terms("TIMEOUT"))).await;
    assert_eq!(found, room.texts(|process, _| process == "web.2"));
    let found = room.find(search(terms("timeout* -error"))).await;
    assert_eq!(found, room.texts(|process, _| process == "worker.1"));
    let found = room.find(Search { dyno: Choice::Only("web".into()), ..search(terms("")) }).await;
    assert_eq!(found, room.texts(|process, _| process.starts_with("web")));
    let found = room.find(Search { source: Choice::Not(Source::App), ..search(terms("")) }).await;
    assert_eq!(found, room.texts(|process, _| process == "router"));
    let found =
        room.find(Search { dyno: Choice::Not("web.1".into()), ..search(terms("-router")) }).await;
    assert_eq!(found, room.texts(|process, _| process != "web.1"));
    assert_eq!(room.find(search(terms("absent"))).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_search_is_bounded_by_time_and_number() {
    let room = Room::with(sample());
    room.all_in().await;
    let mut searching = room.logplex.search(room.app, Search { lines: 3, ..Search::default() });
    let Some(Part::Hits(hits)) = searching.next().await else { panic!("no lines") };
    assert_eq!(hits.len(), 3);
    let Some(Part::End(end)) = searching.next().await else { panic!("no end") };
    assert_eq!(end.next, Some(hits[2].id));
    let (first, last) = (hits[2].at, hits[0].at + Duration::from_micros(1));
    let within = Search { from: Some(first), until: Some(last), lines: 5000, ..Search::default() };
    let found = room.find(within).await;
    assert!(found.len() >= 3 && found.ends_with(&[hits[0].text.to_string()]), "{found:?}");
    let after =
        Search { from: Some(last + Duration::from_hours(3)), lines: 5, ..Search::default() };
    assert_eq!(room.find(after).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_reader_that_takes_nothing_gives_its_place_to_others() {
    let record = |id| Arc::new(Record::note(id, Timestamp::from_micros(1), "line"));
    let field = || Field {
        recent: (1..5000).rev().map(record).collect(),
        before: 0,
        disk: Arc::new(Disk::new(&Config::default()).0),
        segments: None,
        oldest: Timestamp::from_micros(0),
        patience: Duration::from_millis(50),
    };
    let places = Arc::new(Semaphore::new(1));
    let search = Search { lines: MAX_FOUND, ..Search::default() };
    let mut lazy = begin(field(), search.clone(), places.clone());
    let mut eager = begin(field(), search, places);
    let mut found = 0;
    while let Some(Part::Hits(hits)) = eager.next().await {
        found += hits.len();
    }
    assert_eq!(found, 4999);
    // What it had room for is still there; the end is not.
    let mut parts = 0;
    while let Some(Part::Hits(_)) = lazy.next().await {
        parts += 1;
    }
    assert_eq!((parts, lazy.next().await), (MAX_WAITING, None));
}

fn words() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec!["a", "b", "ab", "é", "a-b", "1.2", "B", "=", "_a"]);
    prop::collection::vec(word, 0..6).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn a_search_finds_what_a_look_at_every_line_finds(
        texts in prop::collection::vec(words(), 200..600),
        looked_for in prop::collection::vec(words(), 8),
        unwanted in prop::sample::select(vec!["", " -ab", " -\"a b\""]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let lines = texts.into_iter().map(|text| ("web.1".to_owned(), text)).collect();
            let room = Room::with(lines);
            room.all_in().await;
            for text in looked_for {
                let terms = Terms::parse(&format!("{text}{unwanted}")).expect("good terms");
                let wanted = room.texts(|_, line| terms.match_lower(line.to_ascii_lowercase().as_bytes()));
                let found = room.find(Search { terms, lines: 50, ..Search::default() }).await;
                assert_eq!(found, wanted, "{text:?}");
            }
        });
    }
}
