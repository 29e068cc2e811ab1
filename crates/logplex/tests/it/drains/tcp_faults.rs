//! Syslog drains.

use std::sync::atomic::Ordering;
use std::time::Duration;

use logplex::drains::DrainState;

use super::bed::{Bed, config, until};
use super::receiver::{Tcp, TcpReceiver};

type Multi = tokio::runtime::Runtime;

fn runtime() -> Multi {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Says lines while the receiver has a fault, then heals it.
fn under(fault: Tcp, batches: u64, per_batch: u64) -> (u64, u64) {
    runtime().block_on(async {
        let receiver = TcpReceiver::start(fault).await;
        let mut bed = Bed::start(config()).await;
        let drain = bed.add(&receiver.url()).await;
        bed.say_steadily(batches, per_batch).await;
        receiver.set(Tcp::Good);
        bed.finish(&receiver.got).await;
        bed.identity(&receiver.got, drain).await;
        let sums = receiver.got.lock().expect("lock").sums();
        bed.stop().await;
        sums
    })
}

#[test]
fn a_good_receiver_gets_everything_once_and_in_order() {
    runtime().block_on(async {
        let receiver = TcpReceiver::start(Tcp::Good).await;
        let mut bed = Bed::start(config()).await;
        let drain = bed.add(&receiver.url()).await;
        bed.say_steadily(100, 100).await;
        bed.finish(&receiver.got).await;
        bed.identity(&receiver.got, drain).await;
        let (received, reported, messages) = {
            let tally = receiver.got.lock().expect("lock");
            let (received, reported) = tally.sums();
            (received, reported, tally.messages)
        };
        assert_eq!((received, reported), (messages, 0));
        let status = bed.status(drain);
        assert_eq!((status.state, status.lost), (DrainState::Delivering, 0));
        assert_eq!(receiver.connections.load(Ordering::Relaxed), 1);
        until("all are counted", || bed.status(drain).delivered == received).await;
        bed.stop().await;
    });
}

#[test]
fn a_stuck_receiver_is_told_what_it_missed() {
    let (received, reported) = under(Tcp::Stuck, 200, 200);
    assert!(reported > 1_000, "{received} received, {reported} reported");
}

#[test]
fn a_slow_receiver_is_told_what_it_missed() {
    let (received, reported) = under(Tcp::Slow(1024), 300, 200);
    assert!(received > 1_000 && reported > 1_000, "{received} received, {reported} reported");
}

#[test]
fn a_receiver_that_resets_gets_again_what_it_had_not_read() {
    let (received, _) = under(Tcp::Resetting(300 << 10), 300, 100);
    assert!(received > 5_000, "{received}");
}

#[test]
fn a_receiver_that_closes_in_order_loses_nothing() {
    let (received, _) = under(Tcp::Closing(200 << 10), 300, 100);
    assert!(received > 5_000, "{received}");
}

#[test]
fn a_receiver_that_was_dead_is_told_what_it_missed() {
    runtime().block_on(async {
        let receiver = TcpReceiver::start(Tcp::Good).await;
        let mut bed = Bed::start(config()).await;
        let drain = bed.add(&receiver.url()).await;
        bed.say_steadily(50, 100).await;
        let (address, got) = receiver.die().await;
        bed.say_steadily(200, 200).await;
        until("the failure is seen", || {
            matches!(bed.status(drain).state, DrainState::Failing { .. })
        })
        .await;
        let error = bed.status(drain).last_error.expect("an error").text;
        assert!(error.contains("refused") || error.contains("reset"), "{error}");
        let receiver = TcpReceiver::start_at(address, Tcp::Good, got).await;
        bed.finish(&receiver.got).await;
        bed.identity(&receiver.got, drain).await;
        assert!(receiver.got.lock().expect("lock").sums().1 > 1_000);
        // The app hears of it too, in Heroku's words.
        let said = |line: &String| {
            line.contains("heroku[logplex]: Error L10 (output buffer overflow): drain 'd.")
        };
        until("it is said in the stream", || bed.sent().iter().any(said)).await;
        bed.stop().await;
    });
}

#[test]
fn a_bad_drain_costs_a_good_one_nothing() {
    runtime().block_on(async {
        let good = TcpReceiver::start(Tcp::Good).await;
        let mut bed = Bed::start(config()).await;
        let mut bad = Vec::new();
        for fault in [Tcp::Stuck, Tcp::Slow(16), Tcp::Resetting(1000)] {
            let receiver = TcpReceiver::start(fault).await;
            bed.add(&receiver.url()).await;
            bad.push(receiver);
        }
        let drain = bed.add(&good.url()).await;
        bed.say_steadily(200, 100).await;
        bed.finish(&good.got).await;
        bed.identity(&good.got, drain).await;
        assert_eq!(good.got.lock().expect("lock").sums().1, 0, "the good drain lost lines");
        bed.stop().await;
    });
}

#[test]
fn an_internal_address_is_not_reached_unless_it_is_allowed() {
    runtime().block_on(async {
        let receiver = TcpReceiver::start(Tcp::Good).await;
        let mut strict = config();
        strict.reach = model::drain::Reach::default();
        let mut bed = Bed::start(strict).await;
        let by_name = receiver.url().replace("127.0.0.1", "localhost");
        for url in [receiver.url(), by_name] {
            let drain = bed.add(&url).await;
            bed.say(1);
            until("the refusal is seen", || bed.status(drain).last_error.is_some()).await;
            let error = bed.status(drain).last_error.expect("an error").text;
            assert!(error.contains("is an internal address"), "{error}");
        }
        assert_eq!(receiver.connections.load(Ordering::Relaxed), 0);
        bed.stop().await;
    });
}

#[test]
fn a_drain_that_is_removed_gets_nothing_more() {
    runtime().block_on(async {
        let receiver = TcpReceiver::start(Tcp::Good).await;
        let mut bed = Bed::start(config()).await;
        let drain = bed.add(&receiver.url()).await;
        bed.finish(&receiver.got).await;
        bed.wanted.send_modify(|all| *all = std::sync::Arc::default());
        until("it is gone", || bed.drains.status(drain).is_none()).await;
        let before = receiver.got.lock().expect("lock").messages;
        bed.say(100);
        until("the lines are in", || bed.sent().len() >= 100).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(receiver.got.lock().expect("lock").messages, before);
        bed.stop().await;
    });
}
