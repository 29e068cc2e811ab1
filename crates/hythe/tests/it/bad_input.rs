//! Bad input gets a clear error in Heroku's shape, and nothing is half done.

use serde_json::Value;
use testkit::http::{Answer, ask};

use crate::server;

const JSON: (&str, &str) = ("Content-Type", "application/json");
const ACCEPT: (&str, &str) = ("Accept", "application/vnd.heroku+json; version=3");

struct Api {
    server: testkit::Server,
}

impl Api {
    fn new() -> Self {
        Self { server: server() }
    }

    fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {}", self.server.token());
        let headers = [JSON, ACCEPT, ("Authorization", bearer.as_str())];
        ask(self.server.address(), method, "localhost", path, &headers, body.as_bytes())
            .expect("an answer")
    }

    #[track_caller]
    fn refused(&self, method: &str, path: &str, body: &str, status: u16, id: &str) -> String {
        let answer = self.call(method, path, body);
        let json: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        assert_eq!((answer.status, json["id"].as_str()), (status, Some(id)), "{answer:?}");
        json["message"].as_str().expect("a message").to_owned()
    }
}

#[test]
fn a_wrong_token_is_401_and_an_unknown_app_404() {
    let api = Api::new();
    let wrong = [ACCEPT, ("Authorization", "Bearer undefined")];
    let answer = ask(api.server.address(), "GET", "localhost", "/apps", &wrong, b"");
    assert_eq!(answer.expect("an answer").status, 401);
    let message = api.refused("GET", "/apps/nothing-here", "", 404, "not_found");
    assert_eq!(message, "Couldn't find that app.");
}

#[test]
fn names_and_values_are_checked_and_the_reason_is_said() {
    let api = Api::new();
    for name in ["Demo", "x", "1app", "app-", "a_b"] {
        let body = format!(r#"{{"name":"{name}"}}"#);
        api.refused("POST", "/apps", &body, 422, "invalid_params");
    }
    assert_eq!(api.call("POST", "/apps", r#"{"name":"demo"}"#).status, 201);
    let taken = api.refused("POST", "/apps", r#"{"name":"demo"}"#, 422, "invalid_params");
    assert!(taken.contains("already taken"), "{taken}");

    let path = "/apps/demo/config-vars";
    let both = api.refused("PATCH", path, r#"{"GOOD":"1","BAD-NAME":"2"}"#, 422, "invalid_params");
    assert!(both.contains("BAD-NAME"), "{both}");
    assert_eq!(api.call("GET", path, "").body, "{}", "half of a refused change was kept");

    let web = r#"{"updates":[{"type":"web","quantity":"2"}]}"#;
    let none = api.call("PATCH", "/apps/demo/formation", web);
    assert!((400..500).contains(&none.status), "{none:?}");
    api.refused("GET", "/apps/demo/releases/99", "", 404, "not_found");
    api.refused("POST", "/apps/demo/dynos", r#"{"command":""}"#, 422, "invalid_params");
    api.refused("POST", "/apps", "{not json", 400, "bad_request");
}

#[test]
fn an_oversize_body_is_refused() {
    let api = Api::new();
    let value = "x".repeat(2 * 1024 * 1024);
    let body = format!(r#"{{"name":"{value}"}}"#);
    let answer = api.call("POST", "/apps", &body);
    assert_eq!(answer.status, 413, "{answer:?}");
}
