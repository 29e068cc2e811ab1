//! One walk through everything that is served, in the order a person would go.

use http::StatusCode;
use serde_json::{Value, json};

use crate::drains;
use crate::platform::Platform;

/// An app that has nothing but what every app has.
pub const OTHER_APP: &str = "other";

/// Asks for everything that is served, at least once with success; [`Platform`] judges each answer.
pub async fn walk(platform: &Platform) {
    account(platform).await;
    catalogue(platform).await;
    apps(platform).await;
    deploy(platform).await;
    ledger(platform).await;
    formation(platform).await;
    dynos(platform).await;
    domains(platform).await;
    certificates(platform).await;
    automatic_certificates(platform).await;
    drains::walk(platform).await;
    the_rest(platform).await;
    platform.good("DELETE", "/apps/demo", Value::Null).await;
    assert_eq!(platform.get("/apps/demo").await.status, StatusCode::NOT_FOUND);
}

async fn account(platform: &Platform) {
    let account = platform.good("GET", "/account", Value::Null).await;
    assert_eq!(account["email"], "me@example.test");
    assert_eq!(platform.good("GET", "/users/~", Value::Null).await, account);
    platform.good("GET", "/account/rate-limits", Value::Null).await;
    let new = json!({"description": "a robot", "expires_in": "3600", "scope": ["global"]});
    let made = platform.good("POST", "/oauth/authorizations", new).await;
    let path = format!("/oauth/authorizations/{}", made["id"].as_str().expect("an id"));
    assert!(made["access_token"]["token"].as_str().is_some_and(|token| token.len() > 20));
    assert_eq!(made["access_token"]["expires_in"], 3599);
    let list = platform.good("GET", "/oauth/authorizations", Value::Null).await;
    let shown: Vec<_> =
        list.as_array().expect("a list").iter().map(|row| &row["access_token"]).collect();
    assert_eq!(shown[0]["token"], platform.token.reveal(), "the caller's own token");
    assert_eq!(shown[1], &Value::Null, "another token is not shown again");
    assert_eq!(platform.good("GET", &path, Value::Null).await["description"], "a robot");
    let renamed = platform.good("PATCH", &path, json!({"description": "a better robot"})).await;
    assert_eq!(renamed["description"], "a better robot");
    let rotate = format!("{path}/actions/regenerate-tokens");
    let rotated = platform.good("POST", &rotate, Value::Null).await;
    assert_eq!(rotated["description"], "a better robot");
    assert_ne!(rotated["access_token"]["token"], made["access_token"]["token"]);
    platform.good("DELETE", &path, Value::Null).await;
    assert_eq!(platform.get(&path).await.error(), "404 not_found");
}

async fn catalogue(platform: &Platform) {
    for list in ["/regions", "/stacks", "/dyno-sizes"] {
        let rows = platform.good("GET", list, Value::Null).await;
        for row in rows.as_array().expect("a list") {
            for part in ["id", "name"] {
                let one = row[part].as_str().expect("a text");
                assert_eq!(&platform.good("GET", &format!("{list}/{one}"), Value::Null).await, row);
            }
        }
    }
}

async fn features(platform: &Platform) {
    let list = platform.good("GET", "/apps/demo/features", Value::Null).await;
    let rows = list.as_array().expect("a list");
    let names: Vec<_> = rows.iter().map(|row| row["name"].as_str().expect("a name")).collect();
    let all = [
        "dyno-suspend",
        "http-disable-keepalive-to-dyno",
        "http-end-to-end-continue",
        "http-session-affinity",
        "log-runtime-metrics",
        "preboot",
        "runtime-dyno-metadata",
    ];
    assert_eq!(names, all);
    for row in rows {
        assert_eq!(row["enabled"], row["name"] == "preboot");
        let path = format!("/apps/demo/features/{}", row["id"].as_str().expect("an id"));
        assert_eq!(&platform.good("GET", &path, Value::Null).await, row);
    }
    let path = "/apps/demo/features/preboot";
    let off = platform.good("PATCH", path, json!({"enabled": false})).await;
    assert_eq!(off["enabled"], false);
    assert_eq!(platform.good("GET", path, Value::Null).await, off);
    assert_eq!(platform.get("/apps/demo/features/telepathy").await.error(), "404 not_found");
}

async fn apps(platform: &Platform) {
    platform.good("POST", "/apps", json!({"name": OTHER_APP})).await;
    let body = json!({"name": "first", "region": "us", "stack": "heroku-24", "feature_flags": []});
    let answer = platform.ask("POST", "/apps", body).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let app = answer.json();
    assert_eq!(app["git_url"], "https://api.example.test/first.git");
    assert_eq!(app["web_url"], "https://first.example.test/");
    let path = format!("/apps/{}", app["id"].as_str().expect("an id"));
    let renamed = platform.good("PATCH", &path, json!({"name": "demo", "maintenance": true})).await;
    assert_eq!((&renamed["name"], &renamed["maintenance"]), (&json!("demo"), &json!(true)));
    platform.good("PATCH", "/apps/demo", json!({"maintenance": false})).await;
    let stack = platform.good("PATCH", "/apps/demo", json!({"build_stack": "heroku-26"})).await;
    assert_eq!(stack["build_stack"]["name"], "heroku-26");
    assert_eq!(stack["stack"]["name"], "heroku-24");
    assert_eq!(platform.good("GET", "/apps/demo", Value::Null).await, stack);
    let slow = platform.good("PATCH", "/apps/demo", json!({"boot_timeout_seconds": 90})).await;
    assert_eq!(slow["boot_timeout_seconds"], 90);
    let never = platform.ask("PATCH", "/apps/demo", json!({"boot_timeout_seconds": 3600})).await;
    assert_eq!(never.error(), "422 invalid_params");
    features(platform).await;
    for list in ["/apps", "/users/~/apps", "/users/me@example.test/apps"] {
        let rows = platform.good("GET", list, Value::Null).await;
        let names: Vec<_> =
            rows.as_array().expect("a list").iter().map(|app| &app["name"]).collect();
        assert_eq!(names, ["demo", "other"], "{list}");
    }
    let twice = platform.ask("POST", "/apps", json!({"name": "demo"})).await;
    assert_eq!(twice.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", twice.text());
}

async fn deploy(platform: &Platform) {
    let place = platform.good("POST", "/apps/demo/sources", Value::Null).await;
    platform.good("POST", "/sources", Value::Null).await;
    let url = place["source_blob"]["put_url"].as_str().expect("a URL").to_owned();
    let build = json!({"source_blob": {"url": url, "version": "409cdef5a1b2"}});
    let early = platform.ask("POST", "/apps/demo/builds", build.clone()).await;
    assert_eq!(early.error(), "422 invalid_params", "nothing is uploaded yet");
    platform.upload(&url, "an archive").await;
    let wrong = json!({"source_blob": {"url": url, "checksum": "SHA256:00"}});
    assert_eq!(
        platform.ask("POST", "/apps/demo/builds", wrong).await.error(),
        "422 invalid_params"
    );
    let nowhere = json!({"source_blob": {"url": "file:///etc/passwd"}});
    let refused = platform.ask("POST", "/apps/demo/builds", nowhere).await;
    assert_eq!(refused.error(), "422 invalid_params");

    let answer = platform.ask("POST", "/apps/demo/builds", build.clone()).await;
    assert_eq!((answer.status, &answer.json()["status"]), (StatusCode::CREATED, &json!("pending")));
    platform.build(&["web: run", "worker: work"]).await;
    let path = format!("/apps/demo/builds/{}", answer.json()["id"].as_str().expect("an id"));
    let built = platform.good("GET", &path, Value::Null).await;
    assert_eq!((&built["status"], &built["slug"]["id"].is_string()), (&json!("succeeded"), &true));
    let result = platform.good("GET", &format!("{path}/result"), Value::Null).await;
    assert_eq!(result["lines"][0], json!({"stream": "STDOUT", "line": "-----> Building\n"}));
    let slug = built["slug"]["id"].as_str().expect("an id");
    let slug = platform.good("GET", &format!("/apps/demo/slugs/{slug}"), Value::Null).await;
    assert_eq!(slug["process_types"], json!({"web": "run", "worker": "work"}));

    platform.good("DELETE", "/apps/demo/build-cache", Value::Null).await;

    let new = json!({"process_types": {"web": "run"}, "commit": "409cdef5"});
    let slug = platform.good("POST", "/apps/demo/slugs", new).await;
    assert_eq!(slug["blob"]["method"], "PUT");
    let path = format!("/apps/demo/slugs/{}", slug["id"].as_str().expect("an id"));
    let release = json!({"slug": slug["id"]});
    let early = platform.ask("POST", "/apps/demo/releases", release).await;
    assert_eq!(early.error(), "422 invalid_params", "nothing is uploaded yet");
    platform.upload(slug["blob"]["url"].as_str().expect("a URL"), "an archive").await;
    assert_eq!(platform.good("GET", &path, Value::Null).await["size"], Value::Null);

    let second = platform.good("POST", "/apps/demo/builds", build).await;
    let path = format!("/apps/demo/builds/{}", second["id"].as_str().expect("an id"));
    let cancelled = platform.good("DELETE", &path, Value::Null).await;
    assert_eq!(cancelled["status"], "failed");
    let list = platform.good("GET", "/apps/demo/builds", Value::Null).await;
    assert_eq!(list.as_array().map(Vec::len), Some(2));
}

async fn ledger(platform: &Platform) {
    let vars = json!({"B": "x $HOME \"q\" é", "A": "1"});
    let set = platform.good("PATCH", "/apps/demo/config-vars", vars.clone()).await;
    assert_eq!(set, vars);
    assert_eq!(platform.good("GET", "/apps/demo/config-vars", Value::Null).await, vars);
    let unset = platform.good("PATCH", "/apps/demo/config-vars", json!({"A": null})).await;
    assert_eq!(unset, json!({"B": "x $HOME \"q\" é"}));
    let refused =
        platform.ask("PATCH", "/apps/demo/config-vars", json!({"C": "1", "1D": "2"})).await;
    assert_eq!(refused.error(), "422 invalid_params");

    let list = platform.good("GET", "/apps/demo/releases", Value::Null).await;
    let rows = list.as_array().expect("a list");
    let words: Vec<_> =
        rows.iter().map(|row| row["description"].as_str().expect("a text")).collect();
    let wanted = [
        "Initial release",
        "Enable Logplex",
        "Deploy 409cdef5",
        "Set A, B config vars",
        "Remove A config vars",
    ];
    assert_eq!(words, wanted);
    let current: Vec<_> = rows.iter().filter(|row| row["current"] == true).collect();
    assert_eq!((current.len(), &current[0]["version"]), (1, &json!(5)));

    let fourth = platform.good("GET", "/apps/demo/releases/4", Value::Null).await;
    let id = fourth["id"].as_str().expect("an id");
    let by_id = platform.good("GET", &format!("/apps/demo/releases/{id}"), Value::Null).await;
    assert_eq!(by_id, fourth);
    assert_eq!(platform.good("GET", "/apps/demo/releases/v4", Value::Null).await, fourth);
    assert_eq!(platform.good("GET", "/apps/demo/releases/4/config-vars", Value::Null).await, vars);

    let answer = platform.ask("POST", "/apps/demo/releases", json!({"release": id})).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    assert_eq!(answer.json()["description"], "Rollback to v4");
    assert_eq!(platform.good("GET", "/apps/demo/config-vars", Value::Null).await, vars);
    let slug = fourth["slug"]["id"].as_str().expect("a slug");
    let again = json!({"slug": slug, "description": "Retry of v4: again"});
    let retried = platform.good("POST", "/apps/demo/releases", again).await;
    assert_eq!(retried["description"], "Retry of v4: again");
    let both =
        platform.ask("POST", "/apps/demo/releases", json!({"slug": slug, "release": id})).await;
    assert_eq!(both.error(), "422 invalid_params");
    let first = platform.ask("POST", "/apps/demo/releases", json!({"release": "1"})).await;
    assert_eq!(first.error(), "422 invalid_params", "v1 has no slug");
}

async fn formation(platform: &Platform) {
    let update = async |body: Value| {
        let rows = platform.good("PATCH", "/apps/demo/formation", body).await;
        let row = |row: &Value| format!("{}={}:{}", row["type"], row["quantity"], row["size"]);
        rows.as_array()
            .expect("a list")
            .iter()
            .map(row)
            .collect::<Vec<_>>()
            .join(" ")
            .replace('"', "")
    };
    let standard = json!({"updates": [
        {"type": "web", "quantity": "2", "size": "standard-1x"},
        {"type": "worker", "size": "STANDARD-2X", "quantity": 0},
    ]});
    assert_eq!(update(standard).await, "web=2:Standard-1X worker=0:Standard-2X");
    let more = json!({"updates": [{"type": "web", "quantity": "+1"}]});
    assert_eq!(update(more).await, "web=3:Standard-1X worker=0:Standard-2X");
    let fewer = json!({"updates": [{"type": "web", "quantity": "-1"}]});
    assert_eq!(update(fewer).await, "web=2:Standard-1X worker=0:Standard-2X");
    for bad in [
        json!({"type": "web", "quantity": -1}),
        json!({"type": "web", "quantity": "-5"}),
        json!({"type": "web", "quantity": "many"}),
        json!({"type": "web", "quantity": 101}),
        json!({"type": "web", "size": "huge"}),
        json!({"type": "web", "docker_image": "sha256:0"}),
    ] {
        let answer = platform.ask("PATCH", "/apps/demo/formation", json!({"updates": [bad]})).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}");
    }
    let unknown = json!({"updates": [{"type": "clock", "quantity": 1}]});
    let answer = platform.ask("PATCH", "/apps/demo/formation", unknown).await;
    assert_eq!(answer.json()["message"], "Couldn't find that process type (clock).");

    let web = platform.good("PATCH", "/apps/demo/formation/web", json!({"quantity": 1})).await;
    assert_eq!(platform.good("GET", "/apps/demo/formation/web", Value::Null).await, web);
    let list = platform.good("GET", "/apps/demo/formation", Value::Null).await;
    assert_eq!(list[0], web);
    let sizes = platform.good("GET", "/apps/demo/available-dyno-sizes", Value::Null).await;
    assert_eq!(sizes.as_array().map(Vec::len), Some(9));
}

async fn dynos(platform: &Platform) {
    platform.start_dyno("demo", "web.1").await;
    let list = platform.good("GET", "/apps/demo/dynos", Value::Null).await;
    assert_eq!((&list[0]["name"], &list[0]["state"]), (&json!("web.1"), &json!("up")));
    for part in ["id", "name"] {
        let path = format!("/apps/demo/dynos/{}", list[0][part].as_str().expect("a text"));
        assert_eq!(platform.good("GET", &path, Value::Null).await, list[0]);
    }
    let env = json!({"TERM": "xterm", "COLUMNS": 101, "LINES": 33});
    let attached = json!({"attach": true, "command": "bash", "env": env, "size": "standard-2x"});
    let answer = platform.ask("POST", "/apps/demo/dynos", attached).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    let url = answer.json()["attach_url"].as_str().expect("a URL").to_owned();
    assert!(url.starts_with("rendezvous://api.example.test:443/rv."), "{url}");
    assert_eq!(answer.json()["size"], "Standard-2X");
    let detached = json!({"command": "true", "attach": false});
    let detached = platform.good("POST", "/apps/demo/dynos", detached).await;
    assert_eq!(detached["attach_url"], Value::Null);
    let odd = json!({"command": "true", "env": {"A": ["b"]}});
    assert_eq!(platform.ask("POST", "/apps/demo/dynos", odd).await.error(), "422 invalid_params");

    for (method, path) in [
        ("DELETE", "/apps/demo/dynos"),
        ("DELETE", "/apps/demo/dynos/web.1"),
        ("DELETE", "/apps/demo/formations/web"),
        ("POST", "/apps/demo/dynos/web.1/actions/stop"),
        ("POST", "/apps/demo/formations/web/actions/stop"),
    ] {
        let answer = platform.ask(method, path, Value::Null).await;
        assert_eq!((answer.status, answer.json()), (StatusCode::ACCEPTED, json!({})), "{path}");
    }
    let answer = platform.ask("DELETE", "/apps/demo/dynos/clock.7", Value::Null).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

async fn domains(platform: &Platform) {
    let new = json!({"hostname": "www.example.com", "sni_endpoint": null});
    let answer = platform.ask("POST", "/apps/demo/domains", new.clone()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    let endpoint = json!({"hostname": "x.example.com", "sni_endpoint": "tokyo-1234"});
    let answer_to_endpoint = platform.ask("POST", "/apps/demo/domains", endpoint).await;
    assert_eq!(answer_to_endpoint.json()["resource"], "sni_endpoint");
    let list = platform.good("GET", "/apps/demo/domains", Value::Null).await;
    let kinds: Vec<_> = list.as_array().expect("a list").iter().map(|row| &row["kind"]).collect();
    assert_eq!(kinds, ["heroku", "custom"]);
    let path = "/apps/demo/domains/www.example.com";
    assert_eq!(platform.good("GET", path, Value::Null).await, answer.json());
    let taken = platform.ask("POST", "/apps/other/domains", new).await;
    assert_eq!(taken.error(), "422 invalid_params");
    platform.good("DELETE", path, Value::Null).await;
    assert_eq!(platform.get(path).await.error(), "404 not_found");
    let default = platform.ask("DELETE", "/apps/demo/domains/demo.example.test", Value::Null).await;
    assert_eq!(default.error(), "422 invalid_params");
}

/// A certificate for these names that vouches for itself, and its key.
fn certificate(names: &[&str]) -> Value {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let key = made.signing_key.serialize_pem();
    json!({"certificate_chain": made.cert.pem(), "private_key": key})
}

async fn certificates(platform: &Platform) {
    let list = "/apps/demo/sni-endpoints";
    let new = certificate(&["www.example.com", "*.example.org"]);
    let answer = platform.ask("POST", list, new.clone()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    assert!(!answer.text().contains("PRIVATE"), "the key stays inside");
    let endpoint = answer.json();
    assert_eq!(endpoint["ssl_cert"]["cert_domains"], json!(["www.example.com", "*.example.org"]));
    assert_eq!(endpoint["ssl_cert"]["self_signed?"], true);
    let path = format!("{list}/{}", endpoint["name"].as_str().expect("a name"));
    assert_eq!(platform.good("GET", &path, Value::Null).await, endpoint);
    assert_eq!(platform.good("GET", list, Value::Null).await, json!([endpoint]));

    let host = json!({"hostname": "www.example.com", "sni_endpoint": endpoint["name"]});
    let added = platform.ask("POST", "/apps/demo/domains", host).await.json();
    assert_eq!(added["sni_endpoint"]["id"], endpoint["id"]);
    let domain = "/apps/demo/domains/www.example.com";
    let change = |endpoint: Value| json!({"sni_endpoint": endpoint});
    let freed = platform.good("PATCH", domain, change(Value::Null)).await;
    assert_eq!(freed["sni_endpoint"], Value::Null);
    let told = platform.good("PATCH", domain, change(endpoint["id"].clone())).await;
    assert_eq!(told["sni_endpoint"]["name"], endpoint["name"]);
    assert_eq!(platform.ask("PATCH", domain, json!({})).await.error(), "422 invalid_params");

    let wrong = certificate(&["other.example.com"]);
    assert_eq!(platform.ask("PATCH", &path, wrong).await.error(), "422 invalid_params");
    let updated = platform.good("PATCH", &path, certificate(&["www.example.com"])).await;
    assert_eq!(updated["domains"], json!([added["id"]]));
    assert_ne!(updated["ssl_cert"]["id"], endpoint["ssl_cert"]["id"]);
    let mut mixed = new;
    mixed["private_key"] = certificate(&["www.example.com"])["private_key"].clone();
    let refused = platform.ask("POST", list, mixed).await;
    assert_eq!(refused.error(), "422 invalid_params");
    assert_eq!(refused.json()["message"], "Key doesn't match the PEM certificate.");
    platform.good("DELETE", &path, Value::Null).await;
    assert_eq!(platform.get(&path).await.error(), "404 not_found");
    platform.good("DELETE", domain, Value::Null).await;
}

async fn automatic_certificates(platform: &Platform) {
    let host = json!({"hostname": "www.example.com", "sni_endpoint": null});
    platform.ask("POST", "/apps/demo/domains", host).await;
    let acm = "/apps/demo/acm";
    assert_eq!(platform.ask("PATCH", acm, json!({})).await.error(), "422 invalid_params");
    assert_eq!(platform.good("POST", acm, json!({})).await["acm"], true);
    assert_eq!(platform.good("PATCH", acm, json!({"acm_refresh": true})).await["acm"], true);
    let domain = platform.good("GET", "/apps/demo/domains/www.example.com", Value::Null).await;
    assert_eq!(domain["acm_status"], "pending");
    assert_eq!(platform.good("DELETE", acm, Value::Null).await["acm"], false);
    let domain = platform.good("GET", "/apps/demo/domains/www.example.com", Value::Null).await;
    assert_eq!(domain["acm_status"], Value::Null);
    platform.good("DELETE", "/apps/demo/domains/www.example.com", Value::Null).await;
}

async fn the_rest(platform: &Platform) {
    let people = platform.good("GET", "/apps/demo/collaborators", Value::Null).await;
    assert_eq!(people[0]["role"], "owner");
    let me = "/apps/demo/collaborators/me%40example.test";
    assert_eq!(platform.good("GET", me, Value::Null).await, people[0]);
    platform.good("GET", "/apps/demo/available-stacks", Value::Null).await;
    platform.good("POST", "/apps/demo/log-sessions", json!({"lines": 10, "tail": false})).await;

    let packs = json!({"updates": [{"buildpack": "urn:buildpack:heroku/nodejs"}, {"buildpack": "https://example.org/pack.git"}]});
    let put = platform.good("PUT", "/apps/demo/buildpack-installations", packs).await;
    assert_eq!(
        put[0]["buildpack"],
        json!({"name": "heroku/nodejs", "url": "urn:buildpack:heroku/nodejs"})
    );
    assert_eq!(put[1]["ordinal"], 1);
    assert_eq!(platform.good("GET", "/apps/demo/buildpack-installations", Value::Null).await, put);
    let none = json!({"updates": []});
    assert_eq!(platform.good("PUT", "/apps/demo/buildpack-installations", none).await, json!([]));

    for list in [
        "/addons",
        "/apps/demo/addons",
        "/addon-attachments",
        "/teams",
        "/spaces",
        "/pipelines",
        "/account/keys",
        "/account/features",
        "/apps/demo/webhooks",
        "/oauth/clients",
        "/oauth/sessions",
        "/apps/demo/addon-attachments",
        "/addon-services",
        "/account/app-transfers",
        "/enterprise-accounts",
        "/pipeline-couplings",
    ] {
        assert_eq!(platform.good("GET", list, Value::Null).await, json!([]), "{list}");
    }
}
