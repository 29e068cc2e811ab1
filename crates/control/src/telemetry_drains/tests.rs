//! Telemetry drains: what may be added and changed, and what is refused.

use super::*;
use crate::testing::Lab;

fn whole(endpoint: &str) -> Change {
    Change {
        signals: Some(vec![Signal::Logs]),
        kind: Some(ExporterKind::OtlpHttp),
        endpoint: Some(endpoint.to_owned()),
        headers: Some(BTreeMap::from([("x-api-key".to_owned(), Secret::new("s3cret"))])),
    }
}

#[tokio::test]
async fn a_drain_is_added_changed_and_removed() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let (control, who) = (&lab.control, &lab.who);
    let drain = create(control, who, app.id, whole("https://otel.example.com")).await.expect("it");
    assert_eq!(info(control, who, drain.id).await.expect("found"), drain);
    let change = Change { endpoint: Some("https://b.example.com".into()), ..Change::default() };
    let changed = update(control, who, drain.id, change).await.expect("changed");
    assert_eq!(changed.exporter.endpoint.reveal(), "https://b.example.com");
    assert_eq!(changed.exporter.headers, drain.exporter.headers);
    let stranger = lab.stranger().await;
    let hidden = info(control, &stranger, drain.id).await.expect_err("hidden");
    assert_eq!(hidden.to_string(), "Couldn't find that telemetry drain.");
    delete(control, who, drain.id).await.expect("removed");
    assert!(list(control, who, app.id).await.expect("listed").is_empty());
}

#[tokio::test]
async fn what_is_not_built_or_makes_no_sense_is_refused_clearly() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let good = || whole("https://otel.example.com");
    let header =
        |name: &str, value: &str| Some(BTreeMap::from([(name.to_owned(), Secret::new(value))]));
    for (change, word) in [
        (Change { kind: Some(ExporterKind::Otlp), ..good() }, "--transport http"),
        (Change { kind: Some(ExporterKind::Splunk), ..good() }, "--transport http"),
        (Change { signals: Some(Signal::ALL.to_vec()), ..good() }, "--signals logs"),
        (Change { signals: Some(Vec::new()), ..good() }, "--signals logs"),
        (Change { endpoint: Some("syslog://h".into()), ..good() }, "Invalid drain destination"),
        (Change { endpoint: Some("http://127.0.0.1:4318".into()), ..good() }, "internal address"),
        (Change { headers: header("a b", "c"), ..good() }, "`a b`"),
        (Change { headers: header("Host", "c"), ..good() }, "set by the platform"),
        (Change { headers: header("a", "b\r\nc: d"), ..good() }, "not plain text"),
        (Change { endpoint: None, ..good() }, "are needed"),
    ] {
        let error = create(&lab.control, &lab.who, app.id, change).await.expect_err(word);
        assert!(error.to_string().contains(word), "{error}");
    }
    create(&lab.control, &lab.who, app.id, good()).await.expect("added");
    let twice = create(&lab.control, &lab.who, app.id, good()).await.expect_err("twice");
    assert_eq!(twice.to_string(), "Already exists");
}
