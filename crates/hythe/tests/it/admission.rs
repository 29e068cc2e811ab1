//! The server promises no more memory than it has, and says so.

use std::time::Duration;

use testkit::http::get;
use testkit::{Person, Server, wait};

use crate::pty::Terminal;
use crate::small_app;

const PATIENCE: Duration = Duration::from_secs(60);

/// Room for two dynos of 512 MiB beside a build.
const SMALL: &str = "memory_mib = 1600\n[build]\nmemory_mib = 512\n";

const WEB: &str = "\
require('http').createServer((request, response) => {
  response.end(`${process.env.GREETING}`);
}).listen(process.env.PORT);
";

fn deployed(settings: &str) -> (Server, Person) {
    small_app::deployed_with_worker(settings, WEB)
}

#[track_caller]
fn wait_for_ps(person: &Person, wanted: &[&str]) {
    wait::until(&wanted.join(", "), PATIENCE, || {
        let ps = person.heroku(&["ps", "-a", "demo"]);
        if wanted.iter().all(|line| ps.contains(line)) { Ok(()) } else { Err(ps) }
    });
}

#[test]
fn what_does_not_fit_is_down_says_why_and_starts_when_there_is_room() {
    let (_server, person) = deployed(SMALL);
    let _scaled = person.heroku(&["ps:scale", "web=2", "worker=1", "-a", "demo"]);
    wait_for_ps(&person, &["web.1: up", "web.2: up", "worker.1: down"]);
    let logs = person.heroku(&["logs", "-a", "demo", "--num", "1500"]);
    let words = "heroku[worker.1]: Not enough memory on this server: 512M needed, 64M free. \
                 It starts as soon as there is room";
    assert_eq!(logs.matches(words).count(), 1, "{logs}");
    let _scaled = person.heroku(&["ps:scale", "web=1", "-a", "demo"]);
    wait_for_ps(&person, &["web.1: up", "worker.1: up"]);
}

#[test]
fn a_release_without_room_for_old_and_new_replaces_one_by_one() {
    let (server, person) = deployed(SMALL);
    let _scaled = person.heroku(&["ps:scale", "web=2", "-a", "demo"]);
    wait_for_ps(&person, &["web.1: up", "web.2: up"]);
    let _set = person.heroku(&["config:set", "GREETING=ahoy", "-a", "demo"]);
    let mut in_a_row = 0;
    wait::until("the new release everywhere", PATIENCE, || {
        let answer =
            get(server.address(), "demo.localhost", "/").map_err(|error| error.to_string())?;
        assert_eq!(answer.status, 200, "one of the two serves at any time: {answer:?}");
        in_a_row = if answer.body == "ahoy" { in_a_row + 1 } else { 0 };
        if in_a_row > 30 { Ok(()) } else { Err(answer.body) }
    });
    wait_for_ps(&person, &["web.1: up", "web.2: up"]);
    let logs = person.heroku(&["logs", "-a", "demo", "--num", "1500"]);
    let words = "The old dyno stops before the new one starts";
    assert_eq!(logs.matches(words).count(), 2, "{logs}");
}

#[test]
fn a_one_off_that_does_not_fit_is_starting_and_its_client_is_told_why_it_waits() {
    let (_server, person) = deployed(SMALL);
    let _scaled = person.heroku(&["ps:scale", "web=2", "-a", "demo"]);
    wait_for_ps(&person, &["web.1: up", "web.2: up"]);
    let mut command = person.command(person.home(), "heroku");
    command.args(["run", "--exit-code", "-a", "demo", "--", "echo ran$((1)); exit 5"]);
    let mut terminal = Terminal::start(command, 24, 100);
    terminal.expect("Waiting for memory: 512M needed, 64M free on this server");
    let ps = person.heroku(&["ps", "-a", "demo"]);
    let waits = ps.lines().any(|line| line.starts_with("run.") && line.contains(": starting"));
    assert!(waits, "{ps}");
    let _scaled = person.heroku(&["ps:scale", "web=1", "-a", "demo"]);
    terminal.expect("ran1");
    assert_eq!(terminal.end().0, Some(5));
}

#[test]
fn the_operator_may_promise_more_than_there_is() {
    let settings = format!("memory_overcommit = 2.0\n{SMALL}");
    let (_server, person) = deployed(&settings);
    let _scaled = person.heroku(&["ps:scale", "web=3", "worker=2", "-a", "demo"]);
    wait_for_ps(&person, &["web.3: up", "worker.2: up"]);
}
