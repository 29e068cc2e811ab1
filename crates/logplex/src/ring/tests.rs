//! The ring against a simple model, under random actions.

use proptest::collection::vec;
use proptest::prelude::*;

use model::log::Source;

use super::*;

#[derive(Clone, Debug)]
enum Action {
    Push { process: &'static str, source: Source, length: usize, second: i64 },
    Evict,
    Recent { filter: Filter, count: usize, oldest: i64 },
    After { filter: Filter, id: u64 },
}

fn source() -> impl Strategy<Value = Source> {
    prop_oneof![Just(Source::App), Just(Source::Heroku)]
}

fn filter() -> impl Strategy<Value = Filter> {
    let dyno = prop::sample::select(vec!["web", "web.1", "web.11", "router", "absent"]);
    (prop::option::of(dyno.prop_map(str::to_owned)), prop::option::of(source()))
        .prop_map(|(dyno, source)| Filter { dyno, source })
}

fn action() -> impl Strategy<Value = Action> {
    let process = prop::sample::select(vec!["web.1", "web.11", "worker.1", "router"]);
    prop_oneof![
        6 => (process, source(), 0..400_usize, 0..100_i64).prop_map(
            |(process, source, length, second)| Action::Push { process, source, length, second }
        ),
        1 => Just(Action::Evict),
        2 => (filter(), 0..30_usize, 0..100_i64)
            .prop_map(|(filter, count, oldest)| Action::Recent { filter, count, oldest }),
        2 => (filter(), 0..200_u64).prop_map(|(filter, id)| Action::After { filter, id }),
    ]
}

/// All lines ever pushed, and how many of the oldest are gone.
#[derive(Default)]
struct Model {
    all: Vec<Arc<Record>>,
    gone: usize,
}

impl Model {
    fn kept(&self) -> &[Arc<Record>] {
        &self.all[self.gone..]
    }

    fn bytes(&self) -> usize {
        self.kept().iter().map(|record| record.bytes()).sum()
    }

    fn push(&mut self, record: Arc<Record>, max_lines: usize, max_bytes: usize) {
        self.all.push(record);
        while self.kept().len() > 1 && (self.kept().len() > max_lines || self.bytes() > max_bytes) {
            self.gone += 1;
        }
    }

    fn wanted(&self, filter: &Filter, wanted: impl Fn(&Record) -> bool) -> Vec<Arc<Record>> {
        let is_dyno = |process: &str| match filter.dyno.as_deref() {
            None => true,
            Some(dyno) => process == dyno || process.starts_with(&format!("{dyno}.")),
        };
        let is_source = |source| filter.source.is_none() || filter.source == Some(source);
        let all = self.kept().iter();
        all.filter(|r| is_dyno(&r.process) && is_source(r.source) && wanted(r)).cloned().collect()
    }
}

proptest! {
    #[test]
    fn the_ring_agrees_with_a_plain_list(
        actions in vec(action(), 1..200),
        max_lines in 1..40_usize,
        max_bytes in 1..8000_usize,
    ) {
        let mut ring = Ring::new(max_lines, max_bytes);
        let mut model = Model::default();
        for action in actions {
            match action {
                Action::Push { process, source, length, second } => {
                    let record = Arc::new(Record {
                        id: model.all.len() as u64 + 1,
                        at: Timestamp::from_micros(second),
                        source,
                        process: process.into(),
                        text: "x".repeat(length).into(),
                        lost: 0,
                    });
                    ring.push(record.clone());
                    model.push(record, max_lines, max_bytes);
                }
                Action::Evict => {
                    let before = model.bytes();
                    model.gone = model.all.len().min(model.gone + 1);
                    prop_assert_eq!(ring.evict(), before - model.bytes());
                }
                Action::Recent { filter, count, oldest } => {
                    let oldest = Timestamp::from_micros(oldest);
                    let mut wanted = model.wanted(&filter, |record| record.at >= oldest);
                    wanted.drain(..wanted.len().saturating_sub(count));
                    prop_assert_eq!(ring.recent(&filter, count, oldest), wanted);
                }
                Action::After { filter, id } => {
                    let wanted = model.wanted(&filter, |record| record.id > id);
                    prop_assert_eq!(ring.after(&filter, id), wanted);
                }
            }
            prop_assert_eq!(ring.bytes(), model.bytes());
            prop_assert_eq!(ring.first_id(), model.kept().first().map(|record| record.id));
        }
    }
}
