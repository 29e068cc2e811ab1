//! Many drains that take nothing.

use std::sync::Arc;

use model::AppId;
use model::drain::{Drain, Form};
use model::log::Source;

use super::bed::{Bed, config, until};
use super::receiver::{Tcp, TcpReceiver};

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("the status");
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).expect("the size");
    let kib = line.split_whitespace().nth(1).expect("a number");
    kib.parse::<u64>().expect("a number") * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_stuck_drains_fit_into_a_hundred_megabytes() {
    let receiver = TcpReceiver::start(Tcp::Stuck).await;
    let before = resident_bytes();
    // A hundred apps, and lines as long as they get.
    let bed = Bed::start(config()).await;
    let drains: Vec<_> = (0..100)
        .map(|_| Drain { app: AppId::random(), ..bed.drain(&receiver.url(), Form::Logplex) })
        .collect();
    bed.wanted.send_replace(Arc::new(drains.clone()));
    until("all are at work", || drains.iter().all(|one| bed.drains.status(one.id).is_some())).await;
    let long = "x".repeat(9_000);
    for number in 0..250 {
        for drain in &drains {
            bed.sink.say(drain.app, Source::App, "web.1", format!("{number} {long}"));
        }
        // No faster than they are taken in.
        bed.sink.say(bed.app, Source::App, "web.1", "now");
        until("the lines are taken in", || bed.sent().len() > number).await;
    }
    until("they lose lines", || drains.iter().all(|drain| bed.status(drain.id).lost > 20)).await;
    let used = resident_bytes().saturating_sub(before);
    assert!(used < 100_000_000, "{used} bytes");
    bed.stop().await;
}
