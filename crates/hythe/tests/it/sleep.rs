//! Dynos that nobody asks for rest, and wake for whoever comes.

use std::thread;
use std::time::{Duration, Instant};

use testkit::http::{ask, get};
use testkit::{Person, Server, wait};

use crate::small_app;

const PATIENCE: Duration = Duration::from_secs(60);

/// Tells when its process began.
const WEB: &str = "\
const began = `${process.pid} ${Date.now()}`;
require('http').createServer((request, response) => response.end(began)).listen(process.env.PORT);
";

fn deployed(settings: &str) -> (Server, Person) {
    small_app::deployed_with_worker(settings, WEB)
}

fn body(server: &Server) -> String {
    let answer = get(server.address(), "demo.localhost", "/").expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// What the API says of the app's dynos, such as `web.1 idle`.
fn states(server: &Server) -> Vec<String> {
    let dynos = api(server, "GET", "/apps/demo/dynos", "");
    let dynos: Vec<serde_json::Value> = serde_json::from_str(&dynos).expect("a list");
    let line = |dyno: &serde_json::Value| {
        let text = |name: &str| dyno[name].as_str().expect("a text").to_owned();
        format!("{} {}", text("name"), text("state"))
    };
    dynos.iter().map(line).collect()
}

fn api(server: &Server, method: &str, path: &str, body: &str) -> String {
    let authorization = format!("Bearer {}", server.token());
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Accept", "application/vnd.heroku+json; version=3"),
        ("Content-Type", "application/json"),
    ];
    let answer = ask(server.address(), method, "localhost", path, &headers, body.as_bytes());
    let answer = answer.expect("an answer");
    assert!(answer.status < 300, "{answer:?}");
    answer.body
}

#[track_caller]
fn wait_for(server: &Server, wanted: &[&str]) {
    wait::until(&wanted.join(", "), PATIENCE, || {
        let states = states(server);
        if states == wanted { Ok(()) } else { Err(states.join(", ")) }
    });
}

fn said(person: &Person, process: &str) -> Vec<String> {
    let marker = format!("heroku[{process}]: ");
    let lines = person.heroku(&["logs", "-a", "demo", "--num", "1500"]);
    let text = |line: &str| line.split_once(&marker).map(|(_, text)| text.to_owned());
    lines.lines().filter_map(text).collect()
}

/// Where these lines follow each other.
fn has(lines: &[String], wanted: &[&str]) -> bool {
    lines.windows(wanted.len()).any(|window| window == wanted)
}

#[test]
fn an_eco_app_sleeps_without_traffic_and_a_request_wakes_all_of_it() {
    let (mut server, person) = deployed("[sleep]\nafter_seconds = 3\n");
    let _sized = person.heroku(&["ps:type", "eco", "-a", "demo"]);
    let _scaled = person.heroku(&["ps:scale", "worker=1", "-a", "demo"]);
    wait_for(&server, &["web.1 up", "worker.1 up"]);
    let first = body(&server);
    wait_for(&server, &["web.1 idle", "worker.1 idle"]);
    let asleep = [
        "Idling",
        "State changed from up to down",
        "Stopping all processes with SIGTERM",
        "Process exited with status 143",
    ];
    for process in ["web.1", "worker.1"] {
        wait::until("the words of falling asleep", PATIENCE, || {
            let lines = said(&person, process);
            if has(&lines, &asleep) { Ok(()) } else { Err(lines.join("\n")) }
        });
    }

    server.kill();
    server.start_again();
    let _one_off = person.heroku(&["run", "-a", "demo", "--no-tty", "--", "true"]);
    let inside = ["run:inside", "web.1", "-a", "demo", "--", "true"];
    let refused = person.run(person.home(), "heroku", &inside);
    let words = "Cannot run inside web.1: it sleeps, until a request to the app";
    assert!(String::from_utf8_lossy(&refused.stderr).contains(words), "{refused:?}");
    assert_eq!(states(&server), ["web.1 idle", "worker.1 idle"], "only web traffic wakes it");

    let second = thread::scope(|scope| {
        let requests: Vec<_> = (0..10).map(|_| scope.spawn(|| body(&server))).collect();
        let answers: Vec<_> = requests.into_iter().map(|one| one.join().expect("200")).collect();
        assert!(answers.iter().all(|one| *one == answers[0]), "{answers:?}");
        answers[0].clone()
    });
    assert_ne!(first, second, "it was started anew");
    wait_for(&server, &["web.1 up", "worker.1 up"]);
    let lines = said(&person, "web.1");
    assert!(has(&lines, &["Unidling", "State changed from down to starting"]), "{lines:#?}");
}

#[test]
fn another_size_or_quantity_wakes_a_sleeping_app_for_good() {
    let (server, person) = deployed("[sleep]\nafter_seconds = 2\n");
    let _sized = person.heroku(&["ps:type", "eco", "-a", "demo"]);
    wait_for(&server, &["web.1 idle"]);
    let _sized = person.heroku(&["ps:type", "basic", "-a", "demo"]);
    wait_for(&server, &["web.1 up"]);
    thread::sleep(Duration::from_secs(4));
    assert_eq!(states(&server), ["web.1 up"], "basic dynos do not sleep");
}

#[test]
fn a_suspended_dyno_is_frozen_answers_at_once_and_sleeps_later() {
    let settings = "[sleep]\nfreeze_after_seconds = 1\nreclaim_after_seconds = 1\n\
                    stop_frozen_after_seconds = 9\n";
    let (mut server, person) = deployed(settings);
    let first = body(&server);
    let path = "/apps/demo/features/dyno-suspend";
    let _feature = api(&server, "PATCH", path, r#"{"enabled":true}"#);

    wait_for(&server, &["web.1 idle"]);
    let asked = Instant::now();
    assert_eq!(body(&server), first, "the same process");
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    wait_for(&server, &["web.1 up"]);

    wait_for(&server, &["web.1 idle"]);
    server.kill();
    server.start_again();
    assert_eq!(states(&server), ["web.1 idle"], "it is found frozen");
    assert_eq!(body(&server), first, "and thawed");

    wait_for(&server, &["web.1 idle"]);
    let _restarted = person.heroku(&["ps:restart", "-a", "demo"]);
    wait::until("another process", PATIENCE, || {
        let body = body(&server);
        if body == first { Err(body) } else { Ok(()) }
    });
    let second = body(&server);
    wait::until("the words of falling asleep", PATIENCE, || {
        let lines = said(&person, "web.1");
        if has(&lines, &["Idling", "State changed from idle to down"]) {
            Ok(())
        } else {
            Err(lines.join("\n"))
        }
    });
    wait_for(&server, &["web.1 idle"]);
    assert_ne!(body(&server), second, "it was stopped in the end");
}

#[test]
fn a_visitor_thaws_a_frozen_dyno() {
    let (server, person) = deployed("[sleep]\nfreeze_after_seconds = 1\n");
    let first = body(&server);
    let path = "/apps/demo/features/dyno-suspend";
    let _feature = api(&server, "PATCH", path, r#"{"enabled":true}"#);
    wait_for(&server, &["web.1 idle"]);
    let inside = ["run:inside", "web.1", "-a", "demo", "--", "echo in $DYNO"];
    assert_eq!(person.heroku(&inside).trim(), "in web.1");
    let lines = said(&person, "web.1");
    assert!(has(&lines, &["Unidling", "State changed from idle to up"]), "{lines:#?}");
    wait_for(&server, &["web.1 idle"]);
    assert_eq!(body(&server), first, "the same process");
}
