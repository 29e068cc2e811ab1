//! Drains over HTTP, Logplex's and OTLP.

use std::collections::BTreeMap;

use logplex::drains::DrainState;
use model::Secret;
use model::drain::Form;

use super::bed::{Bed, config, until};
use super::receiver::{Http, HttpReceiver};

fn under(fault: Http, batches: u64) -> (u64, u64, HttpReceiver) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let outcome = runtime.block_on(async {
        let receiver = HttpReceiver::start(fault).await;
        let mut bed = Bed::start(config()).await;
        let drain = bed.add(&receiver.url()).await;
        bed.say_steadily(batches, 50).await;
        receiver.set(Http::Good);
        bed.finish(&receiver.got).await;
        bed.identity(&receiver.got, drain).await;
        let (received, reported) = receiver.got.lock().expect("lock").sums();
        assert_eq!(bed.status(drain).lost, reported);
        bed.stop().await;
        (received, reported, receiver)
    });
    runtime.shutdown_background();
    outcome
}

#[test]
fn requests_are_herokus() {
    let (_, reported, receiver) = under(Http::Good, 40);
    assert_eq!(reported, 0);
    let requests = receiver.requests();
    let first = &requests[0];
    assert!(first.head.starts_with("POST /logs?a=b HTTP/1.1\r\n"), "{}", first.head);
    let address = receiver.address.to_string();
    for (name, value) in [
        ("content-type", "application/logplex-1"),
        ("authorization", "Basic bWU6cEBzcw=="),
        ("host", address.as_str()),
    ] {
        assert_eq!(first.header(name), Some(value), "{}", first.head);
    }
    assert!(first.header("logplex-drain-token").expect("it").starts_with("d."));
    assert!(first.header("user-agent").expect("it").starts_with("Logplex/"));
    let ids: std::collections::BTreeSet<_> =
        requests.iter().map(|one| one.header("logplex-frame-id").expect("it")).collect();
    assert_eq!(ids.len(), requests.len());
    for request in &requests {
        let id = request.header("logplex-frame-id").expect("it");
        let is_hex = |c: char| c.is_ascii_digit() || ('A'..='F').contains(&c);
        assert!(id.len() == 32 && id.chars().all(is_hex), "{id}");
        let lines = request.body.iter().filter(|&&byte| byte == b'\n').count();
        assert_eq!(request.header("logplex-msg-count"), Some(lines.to_string().as_str()));
    }
}

/// More lines than a buffer holds, faster than one small batch after the other would go.
#[test]
fn a_good_receiver_keeps_up() {
    let (received, reported, _) = under(Http::Good, 600);
    assert!(received > 30_000 && reported == 0, "{received} received, {reported} reported");
}

#[test]
fn a_503_to_each_third_request_loses_nothing_and_keeps_the_frames_id() {
    let (_, reported, receiver) = under(Http::EachNth(3, 503), 200);
    assert_eq!(reported, 0);
    let requests = receiver.requests();
    let refused = requests.iter().position(|request| !request.taken).expect("one");
    assert_eq!(requests[refused].body, requests[refused + 1].body);
    let id = |at: usize| requests[at].header("logplex-frame-id").map(str::to_owned);
    assert_eq!(id(refused), id(refused + 1));
}

#[test]
fn a_refused_batch_is_not_tried_again_and_is_reported() {
    let (_, reported, receiver) = under(Http::EachNth(2, 404), 200);
    assert!(reported > 50, "{reported}");
    let requests = receiver.requests();
    let refused: Vec<_> = requests.iter().filter(|request| !request.taken).collect();
    let taken = |body: &[u8]| requests.iter().any(|one| one.taken && one.body == body);
    assert!(refused.iter().all(|request| !taken(&request.body)));
}

#[test]
fn too_many_requests_are_tried_again_when_the_receiver_says() {
    let (_, reported, _) = under(Http::EachNth(2, 429), 100);
    assert_eq!(reported, 0);
}

#[test]
fn a_receiver_that_answers_500_for_long_is_told_what_it_missed() {
    let (_, reported, _) = under(Http::Answer(500, ""), 600);
    assert!(reported > 0, "{reported}");
}

#[test]
fn a_receiver_that_hangs_is_told_what_it_missed() {
    let (_, reported, _) = under(Http::Hangs, 1200);
    assert!(reported > 0, "{reported}");
}

#[test]
fn a_connection_that_is_reset_in_a_request_loses_nothing() {
    let (_, reported, _) = under(Http::Resets(3), 200);
    assert_eq!(reported, 0);
}

#[test]
fn a_receiver_may_close_after_each_answer() {
    let (_, reported, _) = under(Http::Closes, 100);
    assert_eq!(reported, 0);
}

/// `ExportLogsServiceResponse { partial_success { rejected_log_records: 2, "old" } }`.
const PARTIAL: [u8; 9] = [0x0a, 0x07, 0x08, 0x02, 0x12, 0x03, b'o', b'l', b'd'];

#[tokio::test(flavor = "multi_thread")]
async fn what_an_otlp_receiver_refuses_of_a_batch_is_counted() {
    let receiver = HttpReceiver::start(Http::Says(PARTIAL.to_vec())).await;
    let mut bed = Bed::start(config()).await;
    let headers = BTreeMap::from([("x-api-key".to_owned(), Secret::new("s3cret"))]);
    let url = format!("http://{}/otlp", receiver.address);
    let drain = bed.add_form(&url, Form::Otlp(headers)).await;
    bed.say(10);
    until("the first batch is taken", || bed.status(drain).delivered == 8).await;
    let status = bed.status(drain);
    assert_eq!(status.lost, 2);
    assert!(matches!(status.state, DrainState::Failing { .. }));
    let error = status.last_error.expect("an error").text;
    assert_eq!(error, "the receiver refused 2 lines: old");
    // It is said in the next batch.
    receiver.set(Http::Good);
    bed.say(1);
    let told = |body: &[u8]| String::from_utf8_lossy(body).contains(": 2 messages dropped since");
    until("it is told", || receiver.requests().iter().any(|one| told(&one.body))).await;
    let request = &receiver.requests()[0];
    assert!(request.head.starts_with("POST /otlp/v1/logs HTTP/1.1"), "{}", request.head);
    assert_eq!(request.header("x-api-key"), Some("s3cret"));
    assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_otlp_receiver_is_asked_again_as_the_specification_says() {
    let mut bed = Bed::start(config()).await;
    for (status, again) in [(503, true), (429, true), (502, true), (400, false), (500, false)] {
        let receiver = HttpReceiver::start(Http::EachNth(1, status)).await;
        let url = format!("http://{}/", receiver.address);
        let drain = bed.add_form(&url, Form::Otlp(BTreeMap::new())).await;
        bed.say(5);
        if again {
            until("it is asked again", || {
                let requests = receiver.requests();
                requests.len() > 1 && requests[0].body == requests[1].body
            })
            .await;
            receiver.set(Http::Good);
            until("it is taken", || bed.status(drain).delivered >= 5).await;
        } else {
            until("it is lost", || bed.status(drain).lost >= 5).await;
            assert_eq!(receiver.requests().len(), 1, "{status}");
        }
        bed.wanted.send_modify(|all| *all = std::sync::Arc::default());
        until("it is gone", || bed.drains.status(drain).is_none()).await;
    }
    bed.stop().await;
}
