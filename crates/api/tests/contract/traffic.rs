//! Traffic: our own endpoint, in the form that `docs/traffic.md` promises.

use std::time::Duration;

use model::codes::HCode;
use model::traffic::{Interval, Outcome, Step, Tally};
use model::{AppId, Timestamp};
use serde_json::{Value, json};

use crate::platform::Platform;

const AT: &str = "2026-03-01T10:30:00Z";

async fn seen(platform: &Platform, app: AppId) {
    let mut tally = Tally::default();
    let outcomes = [(200, None, Some(10)), (200, None, Some(20)), (503, Some(HCode::H14), None)];
    for (status, code, millis) in outcomes {
        tally.add(&Outcome { status, code, bytes: 100, took: millis.map(Duration::from_millis) });
    }
    let interval = Interval { at: Timestamp::from_rfc3339(AT).expect("a time"), tally };
    let added: store::Result<()> = platform
        .control
        .store
        .write(move |tx| store::traffic::add(tx, app, Step::Minute, &interval))
        .await;
    added.expect("written");
}

#[tokio::test]
async fn traffic_is_told_as_documented() {
    let platform = Platform::start().await;
    let app = platform.ask("POST", "/apps", json!({ "name": "demo" })).await.json();
    let id = app["id"].as_str().expect("an id").parse().expect("an id");
    seen(&platform, id).await;
    let path = "/apps/demo/traffic?from=2026-03-01T10:00:30Z&to=2026-03-01T11:00:00Z&step=minute";
    let mut answer = platform.ask("GET", path, Value::Null).await.json();
    let latency = answer["total"]["latency_ms"].take();
    for (name, exact) in [("p50", 10.0), ("p95", 20.0), ("p99", 20.0), ("max", 20.0)] {
        let found = latency[name].as_f64().expect("a number");
        assert!((found - exact).abs() <= exact * 0.05, "{name}: {found}");
    }
    assert_eq!(answer["intervals"][0]["latency_ms"].take(), latency);
    let tally = json!({
        "requests": 3,
        "statuses": { "1xx": 0, "2xx": 2, "3xx": 0, "4xx": 0, "5xx": 1 },
        "codes": { "H14": 1 },
        "bytes": 300,
        "latency_ms": null,
    });
    let mut interval = tally.clone();
    interval["at"] = json!(AT);
    let expected = json!({
        "app": { "id": app["id"], "name": "demo" },
        "step": "minute",
        "from": "2026-03-01T10:00:00Z",
        "to": "2026-03-01T11:00:00Z",
        "total": tally,
        "intervals": [interval],
    });
    assert_eq!(answer, expected);

    let empty = platform.ask("GET", "/apps/demo/traffic?step=hour", Value::Null).await.json();
    assert_eq!(empty["intervals"], json!([]));
    assert_eq!(empty["total"]["latency_ms"], Value::Null);
}

#[tokio::test]
async fn questions_that_make_no_sense_are_422() {
    let platform = Platform::start().await;
    let _app = platform.ask("POST", "/apps", json!({ "name": "demo" })).await;
    for query in [
        "step=second",
        "from=yesterday",
        "from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z",
        "from=2020-01-01T00:00:00Z",
    ] {
        let path = format!("/apps/demo/traffic?{query}");
        let answer = platform.ask("GET", &path, Value::Null).await;
        assert_eq!(answer.error(), "422 invalid_params", "{query}");
    }
}
