//! Deploying without git: a source is uploaded, and a build made of it.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use testkit::http::{Answer, ask, get};
use testkit::{Person, Server, wait};

use crate::server;
use crate::small_app::{self, PATIENCE};

struct Client {
    server: Server,
    person: Person,
}

impl Client {
    fn new() -> Self {
        let server = server();
        let person = server.person();
        let client = Self { server, person };
        client.call("POST", "/apps", &json!({"name": "demo"}), 201);
        client
    }

    #[track_caller]
    fn call(&self, method: &str, path: &str, body: &Value, status: u16) -> Value {
        let bearer = format!("Bearer {}", self.server.token());
        let headers = [
            ("Accept", "application/vnd.heroku+json; version=3"),
            ("Content-Type", "application/json"),
            ("Authorization", bearer.as_str()),
        ];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer =
            ask(self.server.address(), method, "localhost", path, &headers, body.as_bytes())
                .expect("an answer");
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        serde_json::from_str(&answer.body).unwrap_or_default()
    }

    /// Uploads as the CLI's plugins do: to a URL that needs no token. Gives the one to read from.
    #[track_caller]
    fn upload(&self, archive: &[u8]) -> String {
        let source = self.call("POST", "/apps/demo/sources", &Value::Null, 201);
        let url = |name: &str| source["source_blob"][name].as_str().expect("a URL").to_owned();
        assert_eq!(self.put(&url("put_url"), archive).status, 200);
        url("get_url")
    }

    fn put(&self, url: &str, body: &[u8]) -> Answer {
        ask(self.server.address(), "PUT", "localhost", path(url), &[], body).expect("an answer")
    }

    #[track_caller]
    fn build(&self, url: &str) -> Value {
        let body = json!({"source_blob": {"url": url, "version": "v1.2.3"}});
        self.call("POST", "/apps/demo/builds", &body, 201)
    }

    /// Follows a build's output up to its end, which needs no token either.
    #[track_caller]
    fn output(&self, build: &Value) -> String {
        let url = build["output_stream_url"].as_str().expect("a URL");
        let answer = get(self.server.address(), "localhost", path(url)).expect("an answer");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// The build once it has ended.
    #[track_caller]
    fn ended(&self, build: &Value) -> Value {
        let path = format!("/apps/demo/builds/{}", build["id"].as_str().expect("an id"));
        wait::until("the build's end", PATIENCE, || {
            let build = self.call("GET", &path, &Value::Null, 200);
            if build["status"] == "pending" { Err(build.to_string()) } else { Ok(build) }
        })
    }

    fn archive(&self, files: &[(&str, &str)]) -> Vec<u8> {
        let dir = self.person.app("source", files);
        pack(&self.person, &dir)
    }
}

fn pack(person: &Person, dir: &Path) -> Vec<u8> {
    let file = person.home().join("source.tgz");
    let name = file.display().to_string();
    let packed = person.run(dir, "tar", &["--exclude", ".git", "-czf", name.as_str(), "."]);
    assert!(packed.status.success(), "{packed:?}");
    fs::read(&file).expect("the archive")
}

/// What comes after the host in a URL of the platform.
fn path(url: &str) -> &str {
    let rest = url.split_once("://").expect("a URL").1;
    &rest[rest.find('/').expect("a path")..]
}

#[test]
fn an_uploaded_source_is_built_released_and_serves() {
    let client = Client::new();
    let archive = client.archive(&[
        ("package.json", r#"{"name":"x","version":"1.0.0","scripts":{"start":"node s.js"}}"#),
        (
            "s.js",
            "require('http').createServer((q, s) => s.end('from afar')).listen(process.env.PORT)",
        ),
    ]);
    let url = client.upload(&archive);
    let build = client.build(&url);
    assert_eq!((&build["status"], &build["release"]), (&"pending".into(), &Value::Null));

    let output = client.output(&build);
    assert!(output.contains("-----> Node.js app detected"), "{output}");
    assert!(output.contains("deployed to Hythe"), "{output}");
    let build = client.ended(&build);
    assert_eq!(build["status"], "succeeded", "{output}");
    let release = build["release"]["id"].as_str().expect("a release");
    let release = client.call("GET", &format!("/apps/demo/releases/{release}"), &Value::Null, 200);
    assert_eq!(release["slug"]["id"], build["slug"]["id"]);
    assert!(release["description"].as_str().expect("a text").contains("v1.2.3"), "{release}");
    assert_eq!(small_app::answer(&client.server), "from afar");

    let result = format!("/apps/demo/builds/{}/result", build["id"].as_str().expect("an id"));
    let result = client.call("GET", &result, &Value::Null, 200);
    assert_eq!(result["exit_code"], 0);
    let lines: String = result["lines"]
        .as_array()
        .expect("lines")
        .iter()
        .filter_map(|line| line["line"].as_str())
        .collect();
    assert_eq!(lines, output);

    let again = client.put(&url, b"another");
    assert!(again.status >= 400, "a source was overwritten: {again:?}");
}

#[test]
fn a_source_that_cannot_be_built_fails_and_says_why() {
    let client = Client::new();
    let url = client.upload(&client.archive(&[("README", "no app")]));
    let build = client.build(&url);
    let output = client.output(&build);
    assert!(output.contains("No default language could be detected for this app."), "{output}");
    assert_eq!(client.ended(&build)["status"], "failed");

    let url = client.upload(b"this is no archive");
    let build = client.build(&url);
    let output = client.output(&build);
    assert!(output.contains('!'), "{output}");
    let build = client.ended(&build);
    assert_eq!((&build["status"], &build["release"]), (&"failed".into(), &Value::Null));

    let wrong = json!({"source_blob": {"url": url, "checksum": "SHA256:00"}});
    client.call("POST", "/apps/demo/builds", &wrong, 422);
    let nowhere = json!({"source_blob": {"url": "ftp://localhost/app.tgz"}});
    client.call("POST", "/apps/demo/builds", &nowhere, 422);
}

#[test]
fn a_slug_made_elsewhere_is_uploaded_released_and_serves() {
    let client = Client::new();
    let script = "require('http').createServer((q, s) => s.end('packed')).listen(process.env.PORT)";
    let archive = client.archive(&[("app/s.js", script), ("beside", "is not part of it")]);
    let new = json!({"process_types": {"web": "node s.js"}, "commit": "409cdef5a1b2"});
    let slug = client.call("POST", "/apps/demo/slugs", &new, 201);
    let release = json!({"slug": slug["id"]});
    client.call("POST", "/apps/demo/releases", &release, 422);
    assert_eq!(slug["blob"]["method"], "PUT");
    let url = slug["blob"]["url"].as_str().expect("a URL");
    assert_eq!(client.put(url, &archive).status, 200);
    assert_eq!(client.put(url, &archive).status, 409);
    let release = client.call("POST", "/apps/demo/releases", &release, 201);
    assert_eq!(release["description"], "Deploy 409cdef5");
    assert_eq!(small_app::answer(&client.server), "packed");
    let run = ["run", "--exit-code", "-a", "demo", "--", "ls"];
    assert_eq!(client.person.heroku(&run).trim(), "s.js");
}

#[test]
fn a_purged_cache_is_empty_for_the_next_build() {
    let client = Client::new();
    let archive = client.archive(&[
        ("package.json", r#"{"name":"x","version":"1.0.0","dependencies":{"ms":"2.1.3"}}"#),
        ("Procfile", "web: node s.js\n"),
    ]);
    let transcript = || client.output(&client.build(&client.upload(&archive)));
    let first = transcript();
    assert!(first.contains("No cache found"), "{first}");
    let second = transcript();
    assert!(second.contains("- npm cache"), "{second}");
    client.call("DELETE", "/apps/demo/build-cache", &Value::Null, 200);
    let third = transcript();
    assert!(third.contains("No cache found"), "{third}");
}

#[test]
fn a_source_at_an_address_elsewhere_is_fetched_and_built() {
    // A package of the npm registry is an archive that anybody may fetch.
    const URL: &str = "https://registry.npmjs.org/ms/-/ms-2.1.3.tgz";
    const HASH: &str = "SHA256:f6616e15e530ed552f9daa2d3ce71963947c6bc7c98c9b64fd3e673fd02622c6";
    let client = Client::new();
    let new = json!({"source_blob": {"url": URL, "version": "v7", "checksum": HASH}});
    let build = client.call("POST", "/apps/demo/builds", &new, 201);
    assert_eq!(build["source_blob"]["url"], URL);
    let output = client.output(&build);
    assert!(
        output.contains("-----> Fetching the source from https://registry.npmjs.org/ms"),
        "{output}"
    );
    let build = client.ended(&build);
    assert_eq!(build["status"], "succeeded", "{output}");
    assert_eq!(build["source_blob"]["checksum"], HASH);
    let wrong = format!("SHA256:{}", "0".repeat(64));
    let new = json!({"source_blob": {"url": URL, "checksum": wrong}});
    let build = client.call("POST", "/apps/demo/builds", &new, 201);
    let output = client.output(&build);
    assert!(
        output.contains(" !     The source's checksum does not match. Expected: SHA256:000"),
        "{output}"
    );
    // The platform itself is no place to fetch from.
    let inside = json!({"source_blob": {"url": "http://127.0.0.1/app.tgz"}});
    let build = client.call("POST", "/apps/demo/builds", &inside, 201);
    let output = client.output(&build);
    assert!(output.contains("-----> Fetching source... failed"), "{output}");
    assert!(output.contains(" !     The source could not be fetched."), "{output}");
}
