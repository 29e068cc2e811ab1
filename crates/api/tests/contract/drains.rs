//! Log drains, telemetry drains and log inputs.

use http::StatusCode;
use serde_json::{Value, json};

use crate::platform::{HOST, Platform, URL};

/// A part of the walk through everything that is served.
pub async fn walk(platform: &Platform) {
    log_drains(platform).await;
    telemetry_drains(platform).await;
}

async fn log_drains(platform: &Platform) {
    let url = "https://me:secret@logs.example.com/x?y=z";
    let list = "/apps/demo/log-drains";
    let made = platform.ask("POST", list, json!({ "url": url })).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let drain = made.json();
    assert_eq!((&drain["url"], &drain["addon"]), (&json!(url), &Value::Null));
    let (id, token) = (drain["id"].as_str().expect("it"), drain["token"].as_str().expect("it"));
    assert_eq!(token, format!("d.{id}"));
    let escaped = "https%3A%2F%2Fme%3Asecret%40logs.example.com%2Fx%3Fy%3Dz";
    for wanted in [id, token, escaped] {
        let path = format!("{list}/{wanted}");
        assert_eq!(platform.good("GET", &path, Value::Null).await, drain, "{wanted}");
    }
    assert_eq!(platform.good("GET", list, Value::Null).await, json!([drain]));
    let twice = platform.ask("POST", list, json!({ "url": url })).await;
    assert_eq!(
        (twice.status, &twice.json()["message"]),
        (StatusCode::CONFLICT, &json!("Already exists"))
    );
    let bad = platform.ask("POST", list, json!({"url": "nowhere"})).await;
    assert_eq!(bad.error(), "422 invalid_params");
    let status = platform.get(&format!("{list}/{id}/status")).await.json();
    assert_eq!((&status["state"], &status["lost"]), (&json!("starting"), &json!(0)));
    assert_eq!(platform.good("DELETE", &format!("{list}/{escaped}"), Value::Null).await, drain);
    assert_eq!(platform.good("GET", list, Value::Null).await, json!([]));
}

async fn telemetry_drains(platform: &Platform) {
    let app = platform.good("GET", "/apps/demo", Value::Null).await;
    let new = json!({
        "owner": {"type": "app", "id": app["id"]},
        "signals": ["logs"],
        "exporter": {
            "type": "otlphttp",
            "endpoint": "https://otel.example.com",
            "headers": {"x-api-key": "s3cret"},
        },
    });
    let drain = platform.good("POST", "/telemetry-drains", new.clone()).await;
    let path = format!("/telemetry-drains/{}", drain["id"].as_str().expect("an id"));
    assert_eq!(platform.good("GET", &path, Value::Null).await, drain);
    let list = "/apps/demo/telemetry-drains";
    assert_eq!(platform.good("GET", list, Value::Null).await, json!([drain]));
    let change = json!({"exporter": {"endpoint": "https://b.example.com", "type": "otlphttp"}});
    let changed = platform.good("PATCH", &path, change).await;
    assert_eq!(changed["exporter"]["endpoint"], "https://b.example.com");
    assert_eq!(changed["exporter"]["headers"], drain["exporter"]["headers"]);
    let mut all = new;
    all["signals"] = json!(["traces", "metrics", "logs"]);
    let refused = platform.ask("POST", "/telemetry-drains", all).await;
    assert_eq!(refused.error(), "422 invalid_params");
    assert_eq!(platform.get("/spaces/x/telemetry-drains").await.error(), "404 not_found");
    assert_eq!(platform.get(&format!("{path}/status")).await.json()["state"], "starting");
    platform.good("DELETE", &path, Value::Null).await;
    assert_eq!(platform.get(&path).await.error(), "404 not_found");
}

/// A post to `/logs` with these headers; its status.
async fn post(platform: &Platform, token: &str, headers: &[(&str, &str)], body: &[u8]) -> String {
    use base64::Engine as _;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("token:{token}"));
    let basic = format!("Basic {pair}");
    let mut request =
        http::Request::post("/logs").header("host", HOST).header("authorization", basic);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = platform.send(request.body(body.to_vec().into()).expect("a request")).await;
    match answer.status {
        StatusCode::NO_CONTENT => "204".to_owned(),
        status => format!("{} {}", status.as_u16(), answer.json()["message"].as_str().expect("it")),
    }
}

fn frame(text: &str) -> Vec<u8> {
    let message = format!("<190>1 2026-11-23T10:00:00+00:00 host t.x postgres - {text}\n");
    format!("{} {message}", message.len()).into_bytes()
}

#[tokio::test]
async fn frames_are_taken_or_refused_as_a_whole() {
    let platform = Platform::start().await;
    let app = platform.good("POST", "/apps", json!({"name": "demo"})).await;
    let app = app["id"].as_str().expect("an id").parse().expect("an id");
    let list = "/apps/demo/log-inputs";
    let made = platform.ask("POST", list, json!({"name": "postgres"})).await.json();
    let token = made["token"].as_str().expect("a token");
    assert_eq!(made["url"], format!("https://token:{token}@api.example.test/logs"));
    let logplex = ("content-type", "application/logplex-1");
    let two = [frame("one"), frame("two")].concat();
    let packed = {
        use std::io::Write as _;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&two).expect("packed");
        gzip.finish().expect("packed")
    };
    let huge = {
        use std::io::Write as _;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&vec![b'x'; 5 << 20]).expect("packed");
        gzip.finish().expect("packed")
    };
    for (token, headers, body, expected) in [
        (token, vec![logplex], &two, "204"),
        (token, vec![logplex, ("logplex-msg-count", "2")], &two, "204"),
        (token, vec![logplex, ("logplex-msg-count", "3")], &two, "400 Message count mismatch"),
        (token, vec![logplex, ("content-encoding", "gzip")], &packed, "204"),
        (token, vec![logplex, ("content-encoding", "gzip")], &two, "400 The body is not gzip"),
        (token, vec![logplex, ("content-encoding", "gzip")], &huge, "413 A post is at most 4 MiB"),
        (token, vec![logplex, ("content-encoding", "br")], &two, "415 A post may be packed"),
        (token, vec![("content-type", "text/plain")], &two, "415 Lines are posted as"),
        (
            token,
            vec![logplex],
            &two[..two.len() - 5].to_vec(),
            "400 Malformed log messages: frame 2",
        ),
        ("t.other", vec![logplex], &two, "401 "),
    ] {
        let answer = post(&platform, token, &headers, body).await;
        assert!(answer.starts_with(expected), "{answer} for {expected}");
    }
    let counts = &platform.get(list).await.json()[0];
    assert_eq!((&counts["accepted"], &counts["refused"]), (&json!(6), &json!(6)));
    assert_eq!(counts["token"], Value::Null, "it was shown once");
    platform.logs.say(app, model::log::Source::App, "web.1", "the end");
    platform.until_logged(app, "the end").await;
    let session = json!({"lines": 100});
    let session = platform.good("POST", "/apps/demo/log-sessions", session).await;
    let path = session["logplex_url"].as_str().expect("a URL").strip_prefix(URL).expect("ours");
    let request = http::Request::get(path).header("host", HOST).body(axum::body::Body::empty());
    let lines = platform.send(request.expect("a request")).await.text();
    assert_eq!(lines.matches("app[postgres]: one").count(), 3, "{lines}");
    let path = format!("{list}/{}", made["id"].as_str().expect("an id"));
    assert_eq!(platform.ask("DELETE", &path, Value::Null).await.status, StatusCode::OK);
    assert!(post(&platform, token, &[logplex], &two).await.starts_with("401 "));
}
