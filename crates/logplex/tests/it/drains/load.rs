//! Many drains that take nothing.

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
    // Twenty apps with five drains each, and lines as long as they get.
    let mut beds = Vec::new();
    for _ in 0..20 {
        let bed = Bed::start(config()).await;
        for _ in 0..5 {
            bed.add(&receiver.url()).await;
        }
        beds.push(bed);
    }
    let long = "x".repeat(9_000);
    for bed in &beds {
        for number in 0..1_500 {
            let text = format!("{number} {long}");
            bed.sink.say(bed.app, model::log::Source::App, "web.1", text);
        }
    }
    for bed in &beds {
        let drains: Vec<_> = bed.wanted.borrow().iter().map(|drain| drain.id).collect();
        until("they lose lines", || drains.iter().all(|id| bed.status(*id).lost > 0)).await;
    }
    let used = resident_bytes().saturating_sub(before);
    let rings = beds.len() as u64 * (4 << 20);
    assert!(used < 100_000_000 + rings, "{used} bytes");
}
