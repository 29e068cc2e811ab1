//! Logs that outlive their dynos and the server: kept, altered only as documented, found again.

use serde_json::Value;
use testkit::http::ask;
use testkit::{Person, Server, wait};

use crate::server;
use crate::small_app::{self, PATIENCE};

/// Says awkward things, then waits for requests.
const WEB: &str = r"
const http = require('http');
const out = process.stdout;
const say = (bytes) => out.write(Buffer.from(bytes));
say('plain\n');
say([0x61, 0x00, 0x62, 0x0a]);
say([0x63, 0xe9, 0x64, 0x0a]);
say('\u001b[31mred\u001b[0m\ttab\r\n');
say('[bracket] - 12 \u00fcn\u00efc\u00f6d\u00e9\n\n');
say('x'.repeat(25000) + 'end\n');
for (let n = 0; n < 40; n++) n % 2 ? console.error(`order ${n}`) : console.log(`order ${n}`);
http.createServer((request, response) => {
  console.log(`got ${request.headers['x-request-id']}`);
  response.end('hello');
}).listen(process.env.PORT);
";

const CRASH: &str = "console.error('Error: boom-7f3d\\n    at crash.js:1'); process.exit(3);\n";

const PACKAGE: &str = r#"{"name":"small","version":"1.0.0"}"#;

fn deployed() -> (Server, Person) {
    let server = server();
    let person = server.person();
    let files = [
        ("server.js", WEB),
        ("crash.js", CRASH),
        ("package.json", PACKAGE),
        ("Procfile", "web: node server.js\nworker: node crash.js\n"),
    ];
    let dir = person.app("small", &files);
    let _created = person.heroku(&["create", "demo"]);
    let _transcript = small_app::push(&server, &person, &dir);
    small_app::answer(&server);
    (server, person)
}

/// What the native client finds, without times.
#[track_caller]
fn search(person: &Person, args: &[&str]) -> Vec<String> {
    let args = [&["logs:search", "-a", "demo"], args].concat();
    let output = person.run(person.home(), "hythe", &args);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    stdout.lines().filter_map(|line| Some(line.split_once(' ')?.1.to_owned())).collect()
}

fn status(server: &Server) -> Value {
    let bearer = format!("Bearer {}", server.token());
    let headers =
        [("Authorization", bearer.as_str()), ("Accept", "application/vnd.heroku+json; version=3")];
    let path = "/apps/demo/log-status";
    let answer = ask(server.address(), "GET", "localhost", path, &headers, b"").expect("an answer");
    serde_json::from_str(&answer.body).expect("JSON")
}

#[track_caller]
fn until_found(person: &Person, args: &[&str], count: usize) -> Vec<String> {
    wait::until("lines of a search", PATIENCE, || {
        let found = search(person, args);
        if found.len() >= count { Ok(found) } else { Err(format!("{found:?}")) }
    })
}

#[test]
fn lines_are_kept_searched_and_altered_only_as_documented() {
    let (mut server, person) = deployed();
    until_found(&person, &["order 39"], 1);

    let shown = person.heroku(&[
        "logs",
        "-a",
        "demo",
        "--dyno-name",
        "web.1",
        "--source",
        "app",
        "-n",
        "200",
    ]);
    let texts: Vec<_> = shown.lines().filter_map(|line| line.split_once("app[web.1]:")).collect();
    let texts: Vec<_> = texts.iter().map(|(_, text)| text.trim_start_matches(' ')).collect();
    let long: Vec<_> =
        texts.iter().filter(|text| text.contains("xxx")).map(|text| text.len()).collect();
    assert_eq!(long, [10_000, 10_000, 5_003]);
    for expected in ["plain", "a\u{2400}b", "c\u{FFFD}d", "[bracket] - 12 ünïcödé"] {
        assert!(texts.contains(&expected), "{expected:?} is missing in {texts:?}");
    }
    assert!(shown.contains("\u{1b}[31mred\u{1b}[0m\ttab"), "{shown}");
    let order: Vec<_> = texts.iter().filter(|text| text.starts_with("order ")).collect();
    let whole: Vec<_> = (0..40).map(|n| format!("order {n}")).collect();
    assert!(order.iter().map(|text| **text).eq(whole.iter().map(String::as_str)), "{order:?}");
    let now = status(&server);
    assert_eq!((now["replaced"].as_u64(), now["cut"].as_u64()), (Some(2), Some(1)), "{now}");

    // A dyno crashes, and all of its kind go.
    let _scaled = person.heroku(&["ps:scale", "worker=1", "-a", "demo"]);
    until_found(&person, &["boom-7f3d", "--dyno", "worker"], 1);
    until_found(&person, &["\"from up to crashed\"", "--dyno", "worker"], 1);
    let _scaled = person.heroku(&["ps:scale", "worker=0", "-a", "demo"]);
    server.kill();
    server.start_again();
    small_app::answer(&server);
    let crash = until_found(&person, &["--dyno", "worker", "--source", "app", "--since", "1h"], 2);
    assert_eq!(crash[..2], ["app[worker.1]: Error: boom-7f3d", "app[worker.1]:     at crash.js:1"]);

    // The rest of what can be asked.
    let id = "5f0f6a1e-1c3b-4a57-8d2f-0123456789ab";
    let address = server.address();
    ask(address, "GET", "demo.localhost", "/", &[("X-Request-ID", id)], b"").expect("an answer");
    let request = until_found(&person, &["--request-id", id], 2);
    assert!(request.iter().any(|line| line.starts_with("heroku[router]: at=info")), "{request:?}");
    assert!(request.iter().any(|line| *line == format!("app[web.1]: got {id}")), "{request:?}");
    let not_router = search(&person, &["--request-id", id, "--dyno", "!router"]);
    assert_eq!(not_router, [format!("app[web.1]: got {id}")]);
    assert_eq!(
        search(&person, &["order", "-n", "2"]),
        ["app[web.1]: order 38", "app[web.1]: order 39"]
    );
    assert_eq!(search(&person, &["order", "--until", "1d"]), Vec::<String>::new());
    assert_eq!(search(&person, &["ord*", "--exclude", "order"]), Vec::<String>::new());
    let bad = person.run(person.home(), "hythe", &["logs:search", "\"open", "-a", "demo"]);
    assert!(!bad.status.success());
    assert!(String::from_utf8_lossy(&bad.stderr).contains("a quote has no end"), "{bad:?}");
    let info = person.run(person.home(), "hythe", &["logs:info", "-a", "demo"]);
    assert!(info.status.success() && !info.stdout.is_empty(), "{info:?}");
}
