//! The buffer of a drain against a simple model, under random operations.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const BOUNDS: Bounds = Bounds { lines: 8, bytes: 2_000, most_lines: 24, most_bytes: 8_000 };

fn record(id: u64, length: usize) -> Arc<Record> {
    Arc::new(Record::note(id, Timestamp::from_micros(id.cast_signed()), "x".repeat(length)))
}

fn buffer(pool: usize) -> Buffer {
    Buffer::new(DrainId::random(), BOUNDS, Arc::new(Pool::new(pool)))
}

fn ids(records: &[Arc<Record>]) -> Vec<u64> {
    records.iter().map(|record| record.id).collect()
}

#[test]
fn a_full_buffer_drops_its_oldest_and_says_so_first() {
    let buffer = buffer(0);
    let all: Vec<_> = (1..=12).map(|id| record(id, 1)).collect();
    buffer.push(&all);
    let taken = buffer.take(100, 100_000);
    let text = "Error L10 (output buffer overflow): 4 messages dropped since \
                1970-01-01T00:00:00.000001+00:00.";
    assert_eq!(&*taken[0].text, text);
    assert_eq!(ids(&taken), [4, 5, 6, 7, 8, 9, 10, 11, 12]);
    assert_eq!(buffer.lost(), 4);
}

#[test]
fn there_is_more_room_while_the_pool_has_some() {
    let buffer = buffer(1_000_000);
    let all: Vec<_> = (1..=30).map(|id| record(id, 1)).collect();
    buffer.push(&all);
    assert_eq!((buffer.len(), buffer.lost()), (24, 6));
}

#[test]
fn a_lost_notice_is_as_much_lost_as_it_said() {
    let buffer = buffer(0);
    buffer.push(&(1..=12).map(|id| record(id, 1)).collect::<Vec<_>>());
    let taken = buffer.take(100, 100_000);
    buffer.lose(&taken);
    buffer.push(&[record(13, 1)]);
    assert_eq!(buffer.take(100, 100_000)[0].lost, 12);
    assert_eq!(buffer.lost(), 12, "no line is lost twice");
    assert_eq!(buffer.take_untold().map(|loss| loss.count), Some(12));
}

#[test]
fn kept_lines_come_before_those_of_now() {
    let buffer = buffer(0);
    buffer.push(&[record(20, 1)]);
    let skipped = Loss { count: 7, since: Timestamp::from_micros(1), last_id: 7 };
    buffer.push_kept(Some(skipped), vec![record(8, 1), record(9, 1)]);
    let taken = buffer.take(100, 100_000);
    assert_eq!((taken[0].lost, ids(&taken)), (7, vec![7, 8, 9, 20]));
}

/// What may happen to a buffer.
#[derive(Clone, Debug)]
enum Act {
    Push(Vec<usize>),
    Take(usize, usize),
    LoseTaken,
    Refuse(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => prop::collection::vec(0_usize..600, 1..12).prop_map(Act::Push),
        3 => (1_usize..12, 1_usize..3_000).prop_map(|(lines, bytes)| Act::Take(lines, bytes)),
        1 => Just(Act::LoseTaken),
        1 => (1_u64..5).prop_map(Act::Refuse),
    ];
    prop::collection::vec(act, 0..80)
}

/// The simple model: every line is somewhere, once.
#[derive(Default)]
struct Model {
    pushed: u64,
    waiting: VecDeque<u64>,
    received: u64,
    reported: u64,
    last_taken: Vec<Arc<Record>>,
    /// Refused lines are said to be lost although they were received: the receiver said so.
    refused: u64,
}

impl Model {
    fn receive_last(&mut self) {
        for record in self.last_taken.drain(..) {
            match record.lost {
                0 => self.received += 1,
                lost => self.reported += lost,
            }
        }
    }
}

proptest! {
    #[test]
    fn every_line_is_received_or_reported_or_waits(acts in acts(), pool in 0_usize..6_000) {
        let buffer = buffer(pool);
        let mut model = Model::default();
        let mut last_seen = 0;
        for act in acts {
            match act {
                Act::Push(lengths) => {
                    let new: Vec<_> = lengths
                        .into_iter()
                        .map(|length| {
                            model.pushed += 1;
                            model.waiting.push_back(model.pushed);
                            record(model.pushed, length)
                        })
                        .collect();
                    buffer.push(&new);
                }
                Act::Take(lines, bytes) => {
                    model.receive_last();
                    let taken = buffer.take(lines, bytes);
                    let had_any = !model.waiting.is_empty();
                    prop_assert_eq!(taken.is_empty(), !had_any);
                    prop_assert!(taken.len() <= lines.max(2));
                    // In order, nothing twice, a notice only in front.
                    for (at, record) in taken.iter().enumerate() {
                        prop_assert!(record.lost == 0 || at == 0);
                        prop_assert!(record.id > last_seen || record.lost > 0);
                        last_seen = last_seen.max(record.id);
                    }
                    model.last_taken = taken;
                }
                Act::LoseTaken => {
                    let taken = std::mem::take(&mut model.last_taken);
                    buffer.lose(&taken);
                }
                Act::Refuse(count) => {
                    if let Some(last) = model.last_taken.last().cloned() {
                        buffer.lose_some(count, &last);
                        model.refused += count;
                    }
                }
            }
            model.waiting.retain(|id| *id > last_seen);
            while model.waiting.len() > buffer.len() {
                model.waiting.pop_front();
            }
            let state = buffer.state();
            prop_assert_eq!(
                state.waiting.iter().map(|record| record.id).collect::<Vec<_>>(),
                model.waiting.iter().copied().collect::<Vec<_>>()
            );
            prop_assert!(state.waiting.len() <= BOUNDS.most_lines);
            prop_assert!(state.bytes <= BOUNDS.most_bytes || state.waiting.len() == 1);
            prop_assert_eq!(state.bytes, state.waiting.iter().map(|r| r.bytes()).sum::<usize>());
            prop_assert_eq!(buffer.pool.borrowed.load(Ordering::Relaxed), state.borrowed);
        }
        model.receive_last();
        let lost = buffer.lost();
        let pending = buffer.state().loss.map_or(0, |loss| loss.count);
        prop_assert_eq!(
            model.pushed + model.refused,
            model.received + model.reported + pending + buffer.len() as u64
        );
        prop_assert_eq!(lost, model.reported + pending);
    }
}
