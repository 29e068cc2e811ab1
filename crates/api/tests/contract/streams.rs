//! Streams that are read with nothing but their URL.

use axum::body::Body;
use control::releases;
use http::StatusCode;
use serde_json::{Value, json};

use crate::platform::{Answer, Platform, URL};

/// An app with three lines in its log.
async fn with_lines() -> Platform {
    let platform = Platform::start().await;
    let app = platform.good("POST", "/apps", json!({"name": "demo"})).await;
    let app = app["id"].as_str().expect("an id").parse().expect("an id");
    for text in ["one", "two", "three"] {
        platform.logs.say(app, model::log::Source::App, "web.1", text);
    }
    // What is said later is in the log later, so this line shows that the others are.
    platform.until_logged(app, "three").await;
    platform
}

async fn app(platform: &Platform) -> model::AppId {
    let app = platform.good("GET", "/apps/demo", Value::Null).await;
    app["id"].as_str().expect("an id").parse().expect("an id")
}

async fn session(platform: &Platform, wanted: Value) -> String {
    let session = platform.good("POST", "/apps/demo/log-sessions", wanted).await;
    session["logplex_url"].as_str().expect("a URL").to_owned()
}

async fn read(platform: &Platform, url: &str, headers: &[(&str, &str)]) -> Answer {
    let path = url.strip_prefix(URL).expect("a URL of this API");
    let mut request = http::Request::get(path).header("host", crate::platform::HOST);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    platform.send(request.body(Body::empty()).expect("a request")).await
}

fn messages(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.split_once("app[web.1]: ")).map(|(_, text)| text).collect()
}

#[tokio::test]
async fn a_log_is_events_for_the_cli_and_lines_for_others() {
    let platform = with_lines().await;
    let url = session(&platform, json!({"dyno": "web.1", "lines": 2})).await;
    let events = read(&platform, &url, &[("accept", "text/event-stream")]).await;
    assert!(events.header("content-type").expect("a type").starts_with("text/event-stream"));
    let text = events.text();
    assert_eq!(messages(&text), ["two", "three"]);
    assert_eq!(text.matches("id: ").count(), 2);
    assert!(text.ends_with("\n\n"), "{text}");

    let lines = read(&platform, &url, &[("accept", "*/*")]).await;
    assert!(lines.header("content-type").expect("a type").starts_with("text/plain"));
    assert_eq!(messages(&lines.text()), ["two", "three"]);
    assert!(!lines.text().contains("data:"));
}

#[tokio::test]
async fn a_reader_who_comes_back_goes_on_after_its_last_event() {
    let platform = with_lines().await;
    let url = session(&platform, json!({"dyno": "web"})).await;
    let accept = ("accept", "text/event-stream");
    let text = read(&platform, &url, &[accept]).await.text();
    let first = text.lines().next().and_then(|line| line.strip_prefix("id: ")).expect("an id");
    let rest = read(&platform, &url, &[accept, ("last-event-id", first)]).await.text();
    assert_eq!(messages(&rest), ["two", "three"]);
}

#[tokio::test]
async fn a_tail_goes_on_and_shows_that_it_lives() {
    let platform = with_lines().await;
    let url = session(&platform, json!({"dyno": "web.1", "lines": 1, "tail": true})).await;
    let mut tail = platform.open(&url, "text/event-stream").await;
    assert_eq!(messages(&tail.next().await), ["three"]);
    platform.logs.say(app(&platform).await, model::log::Source::App, "web.1", "four");
    assert_eq!(messages(&tail.next().await), ["four"]);
    // With nothing to do, the paused clock leaps to the next time-out.
    tokio::time::pause();
    let before = tokio::time::Instant::now();
    assert_eq!(tail.next().await, ": ping\n\n");
    assert!(before.elapsed() < std::time::Duration::from_secs(60));
}

#[tokio::test]
async fn a_log_can_be_narrowed_to_a_source() {
    let platform = with_lines().await;
    let url = session(&platform, json!({"source": "heroku"})).await;
    assert_eq!(read(&platform, &url, &[]).await.text(), "");
    let odd = platform.ask("POST", "/apps/demo/log-sessions", json!({"source": "x"})).await;
    assert_eq!(odd.error(), "422 invalid_params");
}

#[tokio::test]
async fn an_unknown_log_session_is_not_found() {
    let platform = Platform::start().await;
    for id in ["01234567-89ab-cdef-0123-456789abcdef", "x"] {
        let answer = platform.read(&format!("{URL}/streams/logs/{id}")).await;
        assert_eq!(answer.error(), "404 not_found");
    }
}

/// A build that has ended, and its description.
async fn built(platform: &Platform) -> Value {
    platform.good("POST", "/apps", json!({"name": "demo"})).await;
    let place = platform.good("POST", "/sources", Value::Null).await;
    let url = place["source_blob"]["put_url"].as_str().expect("a URL").to_owned();
    assert_eq!(platform.upload(&url, "an archive").await.status, StatusCode::OK);
    let new = json!({"source_blob": {"url": url}});
    let build = platform.good("POST", "/apps/demo/builds", new).await;
    platform.build(&["web: run", "release: migrate"]).await;
    let path = format!("/apps/demo/builds/{}", build["id"].as_str().expect("an id"));
    platform.good("GET", &path, Value::Null).await
}

#[tokio::test]
async fn a_builds_output_and_source_are_read_by_their_urls() {
    let platform = Platform::start().await;
    let build = built(&platform).await;
    let output = platform.read(build["output_stream_url"].as_str().expect("a URL")).await;
    assert_eq!(output.text(), "-----> Building\n-----> Done\n");
    let source = platform.read(build["source_blob"]["url"].as_str().expect("a URL")).await;
    assert_eq!(source.text(), "an archive");
    let path = format!("/apps/demo/slugs/{}", build["slug"]["id"].as_str().expect("an id"));
    let slug = platform.good("GET", &path, Value::Null).await;
    let image = platform.read(slug["blob"]["url"].as_str().expect("a URL")).await;
    assert_eq!(image.text(), build["id"].as_str().expect("an id"));
}

#[tokio::test]
async fn a_changed_url_is_no_licence() {
    let platform = Platform::start().await;
    let build = built(&platform).await;
    let url = build["output_stream_url"].as_str().expect("a URL");
    let id = build["id"].as_str().expect("an id");
    let other = url.replace(id, "01234567-89ab-cdef-0123-456789abcdef");
    for forged in [
        other,
        url.replace("build-output", "release-output"),
        format!("{}AA", &url[..url.len() - 2]),
    ] {
        assert_eq!(platform.read(&forged).await.error(), "403 forbidden", "{forged}");
    }
}

#[tokio::test]
async fn a_source_is_uploaded_once_and_can_be_read_back() {
    let platform = Platform::start().await;
    let place = platform.good("POST", "/sources", Value::Null).await;
    let url = place["source_blob"]["put_url"].as_str().expect("a URL").to_owned();
    assert_eq!(platform.read(&url).await.status, StatusCode::NOT_FOUND);
    assert_eq!(platform.upload(&url, "an archive").await.status, StatusCode::OK);
    assert_eq!(platform.read(&url).await.text(), "an archive");
    assert!(platform.upload(&url, "another").await.status.is_client_error());
    assert_eq!(platform.read(&url).await.text(), "an archive");
}

#[tokio::test]
async fn a_release_command_has_an_output_to_follow() {
    let platform = Platform::start().await;
    let build = built(&platform).await;
    let id = build["release"]["id"].as_str().expect("an id").parse().expect("an id");
    let release = releases::find(&platform.control, id).await.expect("the release");
    let path = format!("/apps/demo/releases/{}", release.version);
    let body = platform.good("GET", &path, Value::Null).await;
    let url = body["output_stream_url"].as_str().expect("a URL").to_owned();
    let outputs = &platform.control.outputs;
    outputs.create(id).expect("an output").write(b"migrating\n").expect("a disk");
    outputs.finish(id, control::Verdict::Succeeded).expect("a disk");
    assert_eq!(platform.read(&url).await.text(), "migrating\n");
}
