//! What counts as delivered, and what as lost.

use model::Timestamp;
use proptest::prelude::*;

use super::*;

fn record(id: u64) -> Arc<Record> {
    Arc::new(Record::note(id, Timestamp::from_micros(0), "x"))
}

fn sent() -> Sent {
    keeping(1_000_000)
}

fn keeping(bytes: usize) -> Sent {
    Sent::new(Keep { always: bytes, most: bytes }, Arc::new(Pool::new(0)))
}

fn gauge(acknowledged: u64) -> Gauge {
    Gauge { acknowledged, window: 1000 }
}

fn ids(records: &[Arc<Record>]) -> Vec<u64> {
    records.iter().map(|record| record.id).collect()
}

/// Writes one line per `end`.
fn write(sent: &mut Sent, lines: &[(u64, u64)]) {
    for (id, end) in lines {
        sent.begin(vec![record(*id)]);
        sent.end(*end);
    }
}

#[test]
fn a_line_arrives_once() {
    let (mut sent, now) = (sent(), Instant::now());
    write(&mut sent, &[(1, 10), (2, 20), (3, 30)]);
    assert_eq!(ids(&sent.settle(gauge(25), now)), [1, 2]);
    assert_eq!(ids(&sent.settle(gauge(25), now)), [0; 0]);
    assert_eq!(ids(&sent.settle(gauge(30), now)), [3]);
    assert!(sent.is_acknowledged() && !sent.is_empty());
}

#[test]
fn after_a_reset_everything_that_may_be_unread_is_sent_again() {
    let (mut sent, now) = (sent(), Instant::now());
    write(&mut sent, &[(1, 10)]);
    sent.settle(gauge(10), now);
    // A reader that keeps up has read a while later.
    let later = now + UNREAD;
    write(&mut sent, &[(2, 20), (3, 30)]);
    assert_eq!(ids(&sent.settle(gauge(20), later)), [2]);
    sent.begin(vec![record(4)]);
    assert_eq!(sent.read(), 1);
    assert_eq!(ids(&sent.disconnect(Ended::ByReceiver, gauge(20), later)), [0; 0]);
    assert_eq!(ids(&sent.take_again(10)), [2, 3, 4]);
    assert!(sent.is_empty());
}

#[test]
fn a_reader_that_lags_is_not_believed_to_have_read() {
    let (mut sent, now) = (sent(), Instant::now());
    write(&mut sent, &[(1, 10), (2, 20)]);
    sent.settle(gauge(10), now);
    let lagging = Gauge { acknowledged: 20, window: 10 };
    sent.settle(lagging, now + 10 * UNREAD);
    sent.disconnect(Ended::ByReceiver, lagging, now + 10 * UNREAD);
    assert_eq!(ids(&sent.take_again(10)), [1, 2]);
}

#[test]
fn after_our_own_end_only_what_did_not_arrive_is_sent_again() {
    let (mut sent, now) = (sent(), Instant::now());
    write(&mut sent, &[(1, 10), (2, 20)]);
    assert_eq!(ids(&sent.disconnect(Ended::ByUs, gauge(10), now)), [1]);
    assert_eq!(ids(&sent.take_again(10)), [2]);
}

#[test]
fn acknowledged_lines_are_bounded_and_others_are_not_dropped() {
    let (mut sent, now) = (keeping(2 * record(1).bytes()), Instant::now());
    write(&mut sent, &[(1, 10), (2, 20), (3, 30), (4, 40), (5, 50)]);
    sent.settle(gauge(20), now);
    assert_eq!(sent.read(), 0);
    sent.settle(gauge(40), now);
    assert_eq!(sent.read(), 2);
    sent.disconnect(Ended::ByReceiver, gauge(40), now);
    assert_eq!(ids(&sent.take_again(10)), [3, 4, 5]);
}

/// What may happen to a connection.
#[derive(Clone, Debug)]
enum Act {
    Write(u8),
    BeginOnly(u8),
    Acknowledge(u8),
    Disconnect(bool),
    Again(u8),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (1_u8..6).prop_map(Act::Write),
        1 => (1_u8..4).prop_map(Act::BeginOnly),
        4 => (0_u8..60).prop_map(Act::Acknowledge),
        2 => any::<bool>().prop_map(Act::Disconnect),
        2 => (1_u8..9).prop_map(Act::Again),
    ];
    prop::collection::vec(act, 0..60)
}

proptest! {
    /// Whatever happens, a line that never arrived is still here, in order.
    #[test]
    fn no_line_is_let_go_before_it_arrived(acts in acts()) {
        let (mut sent, mut now) = (keeping(5 * record(1).bytes()), Instant::now());
        let (mut next, mut written, mut acknowledged) = (0_u64, 0_u64, 0_u64);
        let mut arrived = std::collections::BTreeSet::new();
        let mut half_written = false;
        for act in acts {
            now += Duration::from_millis(300);
            match act {
                Act::Write(count) if !half_written && sent.again.is_empty() => {
                    let lines: Vec<_> = (0..count).map(|_| { next += 1; record(next) }).collect();
                    sent.begin(lines);
                    written += 10;
                    sent.end(written);
                }
                Act::Again(most) if !half_written => {
                    let lines = sent.take_again(usize::from(most));
                    if !lines.is_empty() {
                        sent.begin(lines);
                        written += 10;
                        sent.end(written);
                    }
                }
                Act::BeginOnly(count) if !half_written && sent.again.is_empty() => {
                    let lines = (0..count).map(|_| { next += 1; record(next) }).collect();
                    sent.begin(lines);
                    half_written = true;
                }
                Act::Acknowledge(more) => {
                    acknowledged = written.min(acknowledged + u64::from(more));
                    arrived.extend(ids(&sent.settle(gauge(acknowledged), now)));
                }
                Act::Disconnect(by_receiver) => {
                    let ended = if by_receiver { Ended::ByReceiver } else { Ended::ByUs };
                    arrived.extend(ids(&sent.disconnect(ended, gauge(acknowledged), now)));
                    (written, acknowledged, half_written) = (0, 0, false);
                }
                Act::Write(_) | Act::Again(_) | Act::BeginOnly(_) => {}
            }
        }
        sent.disconnect(Ended::ByReceiver, gauge(0), now);
        let read = sent.read();
        let kept = ids(&sent.take_again(usize::MAX));
        prop_assert!(kept.is_sorted());
        for id in 1..=next {
            prop_assert!(arrived.contains(&id) || kept.contains(&id), "{id} is gone");
            prop_assert!(id <= read || kept.contains(&id), "{id} would not be sent again");
        }
    }
}
