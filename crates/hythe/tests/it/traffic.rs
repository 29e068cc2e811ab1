//! What the router saw: the app's history in the API and the client, and the operator's metrics.

use std::cell::Cell;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use testkit::http::{Answer, ask, get};
use testkit::{Person, Server, wait};

use crate::small_app;

/// Longer than from a request to its place in the history.
const PATIENCE: Duration = Duration::from_secs(45);

/// Waits as many milliseconds as it is asked to, then answers 1000 bytes.
const WEB: &str = "\
require('http').createServer((request, response) => {
  const query = new URL(request.url, 'http://x').searchParams;
  response.statusCode = Number(query.get('status') ?? 200);
  setTimeout(() => response.end('x'.repeat(1000)), Number(query.get('wait') ?? 0));
}).listen(process.env.PORT);
";

/// The app `demo` on a server, and how often it was visited.
struct Site {
    server: Server,
    person: Person,
    visits: Cell<u64>,
}

impl Site {
    fn deployed() -> Self {
        let (server, person) = small_app::deployed_with_worker("", WEB);
        let site = Self { server, person, visits: Cell::new(0) };
        site.visit_until("/", 200);
        site
    }

    fn visit(&self, path: &str) -> u16 {
        self.visits.set(self.visits.get() + 1);
        get(self.server.address(), "demo.localhost", path).expect("an answer").status
    }

    fn visit_until(&self, path: &str, wanted: u16) {
        wait::until(&format!("status {wanted}"), PATIENCE, || match self.visit(path) {
            status if status == wanted => Ok(()),
            status => Err(status.to_string()),
        });
    }

    /// What the platform answers to who shows this token.
    fn platform(&self, path: &str, token: &str) -> Answer {
        let authorization = format!("Bearer {token}");
        let headers = [("Authorization", authorization.as_str())];
        ask(self.server.address(), "GET", "localhost", path, &headers, b"").expect("an answer")
    }

    /// The app's traffic of the last hour, all together.
    fn total(&self) -> Value {
        let answer = self.platform("/apps/demo/traffic", self.server.token());
        assert_eq!(answer.status, 200, "{answer:?}");
        let traffic: Value = serde_json::from_str(&answer.body).expect("JSON");
        traffic["total"].clone()
    }

    /// The same, once every visit is in it.
    fn whole_total(&self) -> Value {
        wait::until("every visit in the history", PATIENCE, || {
            let total = self.total();
            if total["requests"] == self.visits.get() { Ok(total) } else { Err(total.to_string()) }
        })
    }
}

#[test]
fn an_apps_history_is_told_and_survives_a_killed_server() {
    let mut site = Site::deployed();
    let before = site.whole_total();
    for _ in 0..18 {
        assert_eq!(site.visit("/"), 200);
    }
    assert_eq!(site.visit("/?wait=700"), 200);
    assert_eq!(site.visit("/?status=404"), 404);
    let _off = site.person.heroku(&["ps:scale", "web=0", "-a", "demo"]);
    site.visit_until("/", 503);
    let told = site.whole_total();
    let since = |pointer: &str| {
        let number = |total: &Value| total.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        number(&told) - number(&before)
    };
    assert!(since("/statuses/2xx") >= 19, "{told}");
    assert_eq!(since("/statuses/4xx"), 1, "{told}");
    assert!(since("/codes/H14") >= 1, "{told}");
    assert!(since("/bytes") >= 20_000, "{told}");
    let latency = |name: &str| told["latency_ms"][name].as_f64().expect("a number");
    assert!(latency("p50") < 500.0 && latency("max") >= 700.0, "{told}");

    site.server.kill();
    site.server.start_again();
    assert_eq!(site.total(), told, "what was told is kept");
    let command = ["metrics", "--app", "demo", "--step", "hour"];
    let shown = site.person.run(site.person.home(), "hythe", &command);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("=== demo traffic") && shown.contains("H14×"), "{shown}");
}

/// Another program that holds the database's write lock.
struct Locked(Child);

impl Locked {
    fn lock(server: &Server) -> Self {
        const PROGRAM: &str = "import sqlite3, sys\n\
            db = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)\n\
            db.execute('BEGIN IMMEDIATE')\n\
            print('locked', flush=True)\n\
            sys.stdin.read()\n";
        let mut child = Command::new("/usr/bin/python3")
            .args(["-c", PROGRAM])
            .arg(server.data_dir().join("hythe.db"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python runs");
        let mut line = String::new();
        let out = child.stdout.take().expect("it has an output");
        BufReader::new(out).read_line(&mut line).expect("a line");
        assert_eq!(line, "locked\n");
        Self(child)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn requests_are_served_while_the_database_is_locked_and_the_history_follows() {
    let site = Site::deployed();
    let locked = Locked::lock(&site.server);
    let before = site.total();
    wait::until("a write that failed", PATIENCE, || {
        assert_eq!(site.visit("/"), 200);
        let log = site.server.log();
        if log.contains("Could not write traffic") { Ok(()) } else { Err(log) }
    });
    assert_eq!(site.total(), before, "nothing could be written");
    drop(locked);
    let _all = site.whole_total();
}

#[test]
fn the_operators_metrics_are_for_who_has_the_token() {
    let site = Site::deployed();
    for token in ["", "wrong", site.server.token()] {
        let refused = site.platform("/metrics", token);
        assert_eq!(refused.status, 401, "{refused:?}");
        assert!(!refused.body.contains("hythe_"), "{refused:?}");
    }
    let path = site.server.data_dir().join("metrics.token");
    let token = std::fs::read_to_string(&path).expect("the token's file");
    let names = [
        "hythe_router_requests_total{class=\"2xx\"} ",
        "hythe_router_request_seconds_bucket{le=\"0.1\"} ",
        "hythe_router_connections ",
        "hythe_dynos{state=\"up\"} 1",
        "hythe_builds{status=\"succeeded\"} 1",
        "hythe_log_lines_total ",
        "hythe_store_waiting_changes{queue=\"people\"} ",
        "hythe_store_up 1",
        "process_resident_memory_bytes ",
        "process_cpu_seconds_total ",
    ];
    wait::until("a whole page", PATIENCE, || {
        let page = site.platform("/metrics", token.trim());
        assert_eq!(page.status, 200, "{page:?}");
        let missing = |name: &&&str| !page.body.lines().any(|line| line.starts_with(**name));
        match names.iter().find(missing) {
            Some(name) => Err(format!("{name} is missing in\n{}", page.body)),
            None if page.body.contains("class=\"2xx\"} 0") => Err(page.body),
            None => Ok(()),
        }
    });
    assert_eq!(site.visit("/metrics"), 200, "an app's own path of that name is the app's");
}
