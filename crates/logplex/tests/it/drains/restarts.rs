//! Drains across restarts of the server.

use model::AppId;
use model::drain::Form;

use super::bed::{Bed, config, until};
use super::receiver::{Http, HttpReceiver, Tcp, TcpReceiver};

/// A server is stopped while lines wait for a stuck receiver; the next one sends them.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_at_a_stop_is_sent_after_the_next_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let receiver = HttpReceiver::start(Http::Answer(503, "")).await;
    let app = AppId::random();
    let mut bed = Bed::start_at(Some(directory.path()), app, config(), Vec::new()).await;
    let drain = bed.drain(&receiver.url(), Form::Logplex);
    let mut patient = config();
    patient.timing.give_up = std::time::Duration::from_secs(60);
    bed.stop().await;
    bed = Bed::start_at(Some(directory.path()), app, patient.clone(), vec![drain.clone()]).await;
    until("the drain is at work", || bed.drains.status(drain.id).is_some()).await;
    bed.say(300);
    until("the receiver was asked", || !receiver.requests().is_empty()).await;
    until("all are in the stream", || bed.sent().len() >= 300).await;
    let before = bed.stop().await;
    receiver.set(Http::Good);
    let mut bed = Bed::start_at(Some(directory.path()), app, patient, vec![drain.clone()]).await;
    bed.finish(&receiver.got).await;
    let sums = || receiver.got.lock().expect("lock").sums();
    until("all have arrived", || sums() == (before + bed.sent().len() as u64, 0)).await;
    assert_eq!(bed.status(drain.id).lost, 0);
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_at_a_stop_is_flushed_when_the_receiver_takes_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let receiver = TcpReceiver::start(Tcp::Good).await;
    let app = AppId::random();
    let mut bed = Bed::start_at(Some(directory.path()), app, config(), Vec::new()).await;
    bed.add(&receiver.url()).await;
    bed.say(1000);
    until("all are in the stream", || bed.sent().len() >= 1000).await;
    bed.stop().await;
    let sums = || receiver.got.lock().expect("lock").sums();
    until("all have arrived", || sums() == (1000, 0)).await;
}

/// More waits than a buffer holds: the newest are sent, the others reported.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_at_a_start_is_reported() {
    let directory = tempfile::tempdir().expect("a directory");
    let receiver = TcpReceiver::start(Tcp::Stuck).await;
    let app = AppId::random();
    let mut bed = Bed::start_at(Some(directory.path()), app, config(), Vec::new()).await;
    let id = bed.add(&receiver.url()).await;
    let drain = bed.wanted.borrow().iter().find(|one| one.id == id).cloned().expect("it");
    bed.say_steadily(100, 200).await;
    until("all are in the stream", || bed.sent().len() >= 20_000).await;
    let address = receiver.address;
    let (_, got) = receiver.die().await;
    let before = bed.stop().await;
    let receiver = TcpReceiver::start_at(address, Tcp::Good, got).await;
    let mut bed = Bed::start_at(Some(directory.path()), app, config(), vec![drain]).await;
    bed.finish(&receiver.got).await;
    let sent = || before + bed.sent().len() as u64;
    let sums = || receiver.got.lock().expect("lock").sums();
    until("the sums are right", || {
        let (received, reported) = sums();
        received + reported == sent()
    })
    .await;
    assert!(sums().1 > 1_000, "{:?}", sums());
    bed.stop().await;
}
