//! What holds for every endpoint: credentials, versions, errors, ranges, headers.

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::{Value, json};

use crate::platform::Platform;

fn empty() -> Body {
    Body::empty()
}

async fn authorized(platform: &Platform, value: &str) -> StatusCode {
    let mut request = platform.request("GET", "/account").body(empty()).expect("a request");
    request.headers_mut().insert("authorization", value.parse().expect("a header value"));
    platform.send(request).await.status
}

#[tokio::test]
async fn a_token_is_taken_as_bearer_and_as_any_users_password() {
    let platform = Platform::start().await;
    let token = platform.token.reveal();
    let basic = |user: &str| format!("Basic {}", STANDARD.encode(format!("{user}:{token}")));
    for value in [format!("Bearer {token}"), basic(""), basic("heroku"), basic("me@example.test")] {
        assert_eq!(authorized(&platform, &value).await, StatusCode::OK);
    }
    for value in ["Bearer undefined", "Bearer ", "Bearer x", "Basic OnVuZGVmaW5lZA==", "x"] {
        assert_eq!(authorized(&platform, value).await, StatusCode::UNAUTHORIZED, "{value}");
    }
}

#[tokio::test]
async fn without_credentials_the_answer_is_401_with_a_challenge() {
    let platform = Platform::start().await;
    for path in ["/account", "/apps", "/apps/demo", "/apps/demo/config-vars", "/regions"] {
        let mut request = platform.request("GET", path).body(empty()).expect("a request");
        request.headers_mut().remove("authorization");
        let answer = platform.send(request).await;
        assert_eq!(answer.error(), "401 unauthorized", "{path}");
        assert!(answer.header("www-authenticate").is_some(), "{path}");
        assert_eq!(answer.json()["message"], "Invalid credentials provided.");
    }
}

#[tokio::test]
async fn every_variant_of_version_three_is_accepted_and_no_other() {
    let platform = Platform::start().await;
    let accept = |value: &'static str| {
        let mut request = platform.request("GET", "/account").body(empty()).expect("a request");
        request.headers_mut().insert("accept", value.parse().expect("a header value"));
        platform.send(request)
    };
    for good in [
        "application/vnd.heroku+json; version=3",
        "application/vnd.heroku+json; version=3.run-inside",
        "application/json",
        "*/*",
    ] {
        assert_eq!(accept(good).await.status, StatusCode::OK, "{good}");
    }
    let answer = accept("application/vnd.heroku+json; version=2").await;
    assert_eq!(answer.error(), "406 not_acceptable");
}

#[tokio::test]
async fn errors_say_what_was_not_found() {
    let platform = Platform::start().await;
    platform.good("POST", "/apps", json!({"name": "demo"})).await;
    for (path, resource, message) in [
        ("/apps/nope", "app", "Couldn't find that app."),
        ("/apps/nope/dynos", "app", "Couldn't find that app."),
        ("/apps/demo/releases/99", "release", "Couldn't find that release."),
        ("/apps/demo/releases/x", "release", "Couldn't find that release."),
        ("/apps/demo/dynos/web.9", "dyno", "Couldn't find that dyno."),
        ("/apps/demo/domains/x.example.com", "domain", "Couldn't find that domain."),
        (
            "/apps/demo/pipeline-couplings",
            "pipeline_coupling",
            "Couldn't find that pipeline coupling.",
        ),
        ("/oauth/authorizations/~", "authorization", "Couldn't find that authorization."),
        (
            "/apps/demo/log-drains/syslog%2Btls%3A%2F%2Flogs.example.com%3A1",
            "log drain",
            "Couldn't find that log drain.",
        ),
    ] {
        let answer = platform.get(path).await;
        assert_eq!(answer.error(), "404 not_found", "{path}");
        assert_eq!(answer.json()["resource"], resource, "{path}");
        assert_eq!(answer.json()["message"], message, "{path}");
    }
    let answer = platform.ask("DELETE", "/oauth/sessions/~", Value::Null).await;
    assert_eq!(answer.json()["resource"], "session");
    let answer = platform.get("/no/such/path").await;
    assert_eq!(answer.error(), "404 not_found");
}

#[tokio::test]
async fn what_is_not_built_says_so() {
    let platform = Platform::start().await;
    platform.good("POST", "/apps", json!({"name": "demo"})).await;
    let key = platform.ask("POST", "/account/keys", json!({"public_key": "ssh-rsa A"})).await;
    assert_eq!(key.error(), "501 not_implemented");
    let add_on =
        platform.ask("POST", "/apps/demo/addons", json!({"plan": "heroku-postgresql"})).await;
    assert_eq!(add_on.error(), "422 not_implemented");
    let exec = platform.get("/apps/demo/features/runtime-heroku-exec").await;
    assert_eq!(exec.error(), "501 not_implemented");
    let narrow = json!({"scope": ["global", "read"]});
    let narrow = platform.ask("POST", "/oauth/authorizations", narrow).await;
    assert_eq!(narrow.error(), "422 not_implemented");
    for answer in [key, add_on, exec, narrow] {
        let message = answer.json()["message"].as_str().expect("a text").to_owned();
        assert!(message.ends_with("is not built in this version of Hythe."), "{message}");
    }
}

#[tokio::test]
async fn the_registry_knows_the_buildpacks_of_the_platform() {
    let platform = Platform::start().await;
    let known = platform.get("/buildpacks/heroku%2Fnodejs").await.json();
    assert_eq!(known["blob_url"], "urn:buildpack:heroku/nodejs");
    for (query, count) in [
        ("", 1),
        ("?in[namespace][]=heroku", 1),
        ("?in[name][]=cobol&in[name][]=nodejs", 1),
        ("?in[namespace][]=other&in[name][]=nodejs", 0),
        ("?like[description]=nodejs%20buildpack", 1),
        ("?like[description]=cobol", 0),
    ] {
        let found = platform.get(&format!("/buildpacks{query}")).await.json();
        assert_eq!(found.as_array().map(Vec::len), Some(count), "{query}");
    }
    let unknown = platform.get("/buildpacks/heroku%2Fcobol").await;
    assert_eq!(unknown.error(), "404 not_found");
    platform.good("POST", "/apps", json!({"name": "demo"})).await;
    let nameless = json!({"updates": [{}]});
    let answer = platform.ask("PUT", "/apps/demo/buildpack-installations", nameless).await;
    let message = "Couldn't find that buildpack. Use a URL, or heroku/nodejs.";
    assert_eq!(answer.json()["message"], message);
}

#[tokio::test]
async fn broken_and_oversize_bodies_are_refused() {
    let platform = Platform::start().await;
    let post = |text: String| {
        let request = platform.request("POST", "/apps").body(Body::from(text));
        platform.send(request.expect("a request"))
    };
    assert_eq!(post("{".into()).await.error(), "400 bad_request");
    assert_eq!(post("{\"name\": 7}".into()).await.error(), "422 invalid_params");
    let long = format!("{{\"name\": \"{}\"}}", "a".repeat(1 << 20));
    assert_eq!(post(long).await.error(), "413 bad_request");
    assert_eq!(platform.get("/apps").await.json(), json!([]));
}

#[tokio::test]
async fn bad_values_are_422_with_the_reason() {
    let platform = Platform::start().await;
    let cases = [
        (json!({"name": "Bad_Name"}), "Name must start with a letter"),
        (json!({"name": "ab"}), "Name is too short"),
        (json!({"region": "eu"}), "Invalid region `eu`"),
        (json!({"stack": "cedar"}), "Couldn't find stack `cedar`"),
    ];
    for (body, reason) in cases {
        let answer = platform.ask("POST", "/apps", body).await;
        assert_eq!(answer.error(), "422 invalid_params");
        let message = answer.json()["message"].as_str().expect("a text").to_owned();
        assert!(message.starts_with(reason), "{message}");
    }
}

#[tokio::test]
async fn a_release_names_config_vars_in_the_order_they_were_sent() {
    let platform = Platform::start().await;
    platform.good("POST", "/apps", json!({"name": "demo"})).await;
    let body = Body::from("{\"B\": \"1\", \"A\": \"2\"}");
    let request = platform.request("PATCH", "/apps/demo/config-vars").body(body);
    platform.send(request.expect("a request")).await;
    let release = platform.good("GET", "/apps/demo/releases/3", Value::Null).await;
    assert_eq!(release["description"], "Set B, A config vars");
}

#[tokio::test]
async fn a_foreign_host_is_misdirected() {
    let platform = Platform::start().await;
    let host = |host: &'static str| {
        let mut request = platform.request("GET", "/account").body(empty()).expect("a request");
        request.headers_mut().insert("host", host.parse().expect("a header value"));
        platform.send(request)
    };
    for own in ["api.example.test", "API.Example.Test:8300", "api.example.test."] {
        assert_eq!(host(own).await.status, StatusCode::OK, "{own}");
    }
    for foreign in ["demo.example.test", "example.test.evil", ""] {
        let answer = host(foreign).await;
        assert_eq!(answer.error(), "421 misdirected_request", "{foreign}");
        assert_eq!(answer.header("connection"), Some("close"));
    }
}

#[tokio::test]
async fn lists_come_in_pages_of_the_size_asked_for() {
    let platform = Platform::start().await;
    platform.good("POST", "/apps", json!({"name": "demo"})).await;
    for value in 3..=5 {
        let vars = json!({"A": value.to_string()});
        platform.good("PATCH", "/apps/demo/config-vars", vars).await;
    }
    let page = async |range: &str| {
        let request = platform.request("GET", "/apps/demo/releases").header("range", range);
        let answer = platform.send(request.body(empty()).expect("a request")).await;
        let rows = answer.json();
        let versions: Vec<_> =
            rows.as_array().expect("a list").iter().map(|row| row["version"].as_u64()).collect();
        (answer.status.as_u16(), versions, answer.header("next-range").map(str::to_owned))
    };
    let (status, versions, next) = page("version ..; max=2, order=desc").await;
    assert_eq!((status, versions), (206, vec![Some(5), Some(4)]));
    assert_eq!(next.as_deref(), Some("version ]4..; max=2, order=desc"));
    let (status, versions, next) = page(&next.expect("more")).await;
    assert_eq!((status, versions), (206, vec![Some(3), Some(2)]));
    let last = page(&next.expect("more")).await;
    assert_eq!(last, (200, vec![Some(1)], None));
    assert_eq!(page("id ..; max=1000;").await.0, 200);
    assert_eq!(page("").await.1.len(), 5);
    let request = platform.request("GET", "/apps/demo/releases").header("range", "version x..");
    let answer = platform.send(request.body(empty()).expect("a request")).await;
    assert_eq!(answer.error(), "416 requested_range_not_satisfiable");
}

#[tokio::test]
async fn an_unchanged_answer_is_304() {
    let platform = Platform::start().await;
    platform.good("POST", "/apps", json!({"name": "demo"})).await;
    let tag = platform.get("/apps/demo").await.header("etag").expect("an ETag").to_owned();
    let ask = async || {
        let request = platform.request("GET", "/apps/demo").header("if-none-match", &tag);
        platform.send(request.body(empty()).expect("a request")).await
    };
    let same = ask().await;
    assert_eq!((same.status, same.body.len()), (StatusCode::NOT_MODIFIED, 0));
    platform.good("PATCH", "/apps/demo", json!({"maintenance": true})).await;
    assert_eq!(ask().await.status, StatusCode::OK);
}

#[tokio::test]
async fn every_call_counts_against_the_accounts_limit() {
    let platform = Platform::start().await;
    let first = platform.get("/account").await;
    assert_eq!(first.header("ratelimit-remaining"), Some("4499"));
    let limits = platform.good("GET", "/account/rate-limits", Value::Null).await;
    assert_eq!(limits, json!({"remaining": 4498}));
    assert_eq!(platform.get("/apps/nope").await.header("ratelimit-remaining"), Some("4497"));
}

#[tokio::test]
async fn a_post_can_stand_for_another_method() {
    let platform = Platform::start().await;
    platform.good("POST", "/apps", json!({"name": "demo"})).await;
    let request = platform.request("POST", "/apps/demo").header("x-http-method-override", "PATCH");
    let answer =
        platform.send(request.body(Body::from("{\"maintenance\":true}")).expect("good")).await;
    assert_eq!(answer.json()["maintenance"], true);
    let request = platform.request("GET", "/apps/demo").header("x-http-method-override", "DELETE");
    let answer = platform.send(request.body(empty()).expect("a request")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(platform.get("/apps/demo").await.status, StatusCode::OK);
}

#[tokio::test]
async fn pages_of_any_origin_may_ask() {
    let platform = Platform::start().await;
    let answer =
        platform.send(platform.request("OPTIONS", "/apps").body(empty()).expect("good")).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert!(answer.header("access-control-allow-methods").expect("methods").contains("PATCH"));
    assert_eq!(platform.get("/apps").await.header("access-control-allow-origin"), Some("*"));
}

/// hyper drops a handler when its client leaves; what it had begun must be finished.
#[tokio::test]
async fn a_change_is_made_although_its_client_leaves() {
    let platform = Platform::start().await;
    let body = Body::from("{\"name\":\"demo\"}");
    let request = platform.request("POST", "/apps").body(body).expect("a request");
    // One poll sends it on its way; then it is dropped, as by a client that hangs up.
    let mut sent = Box::pin(platform.send(request));
    assert!(futures_util::poll!(&mut sent).is_pending());
    drop(sent);
    platform.finish().await;
    assert_eq!(platform.get("/apps/demo").await.status, StatusCode::OK);
}
