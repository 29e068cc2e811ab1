//! One-off dynos in numbers and amounts, and programs inside running dynos.

use std::io::{Read, Write};
use std::process::Stdio;
use std::time::Instant;

use testkit::http::ask;
use testkit::{Person, Server, wait};

use crate::pty::Terminal;
use crate::server;
use crate::small_app::{self, PATIENCE};

fn deployed() -> (Server, Person) {
    let server = server();
    let person = server.person();
    let dir = small_app::created(&person, "web: node server.js\ngreet: echo hello\n");
    let _transcript = small_app::push(&server, &person, &dir);
    small_app::answer(&server);
    // The native client then knows the server's authority.
    let login = person.run(person.home(), "hythe", &["login"]);
    assert!(login.status.success(), "{login:?}");
    (server, person)
}

/// Asks the API; gives status and body.
fn api(server: &Server, method: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
    let authorization = format!("Bearer {}", server.token());
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Accept", "application/vnd.heroku+json; version=3"),
        ("Content-Type", "application/json"),
    ];
    let answer = ask(server.address(), method, "localhost", path, &headers, body.as_bytes());
    let answer = answer.expect("an answer");
    (answer.status, serde_json::from_str(&answer.body).expect("JSON"))
}

fn lines(person: &Person) -> String {
    person.heroku(&["logs", "-a", "demo", "--num", "1500"])
}

#[test]
fn ten_megabytes_go_in_and_come_out_as_they_were() {
    let (_server, person) = deployed();
    // Every byte there is, in an order that no period hides.
    let mut state = 1_u32;
    let data: Vec<u8> = (0..10 << 20)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24).to_le_bytes()[0]
        })
        .collect();
    let mut command = person.command(person.home(), "hythe");
    command.args(["run", "--no-tty", "-a", "demo", "--", "cat"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("started");
    let mut input = child.stdin.take().expect("an input");
    let sent = data.clone();
    let writer = std::thread::spawn(move || input.write_all(&sent));
    let mut received = Vec::new();
    child.stdout.take().expect("an output").read_to_end(&mut received).expect("read");
    writer.join().expect("no panic").expect("written");
    assert!(child.wait().expect("an exit").success());
    let differs = received.iter().zip(&data).position(|(got, sent)| got != sent);
    assert_eq!((received.len(), differs), (data.len(), None), "{:?}", received.last_chunk::<16>());
    assert!(received == data, "the bytes differ");
}

#[test]
fn fifty_run_at_once_and_one_more_is_refused() {
    let (server, person) = deployed();
    let body = r#"{"command":"echo here I am; sleep 20","size":"eco"}"#;
    for _each in 0..50 {
        let (status, dyno) = api(&server, "POST", "/apps/demo/dynos", body);
        assert_eq!(status, 201, "{dyno}");
    }
    let (status, refused) = api(&server, "POST", "/apps/demo/dynos", body);
    assert_eq!(status, 422, "{refused}");
    wait::until("fifty that speak", PATIENCE * 2, || {
        let here = lines(&person).matches(": here I am").count();
        if here == 50 { Ok(()) } else { Err(format!("{here}")) }
    });
    wait::until("their end", PATIENCE * 2, || {
        let ps = person.heroku(&["ps", "-a", "demo"]);
        if ps.contains("run.") { Err(ps) } else { Ok(()) }
    });
}

#[test]
fn a_time_to_live_is_kept_and_type_size_and_variables_are_as_asked() {
    let (server, person) = deployed();
    let body = r#"{"command":"trap 'echo my time is over; exit 0' TERM; echo $A $DYNO; while :; do sleep 0.1; done",
                   "time_to_live":2,"type":"scheduler","size":"Standard-2X","env":{"A":"b c"}}"#;
    let asked = Instant::now();
    let (status, dyno) = api(&server, "POST", "/apps/demo/dynos", body);
    assert_eq!(status, 201, "{dyno}");
    let name = dyno["name"].as_str().expect("a name").to_owned();
    assert!(name.starts_with("scheduler."), "{name}");
    assert_eq!(dyno["size"], "Standard-2X");
    let said = wait::until("its end", PATIENCE, || {
        let lines = lines(&person);
        let over = lines.contains(&format!("heroku[{name}]: State changed from up to complete"));
        if over { Ok(lines) } else { Err(lines) }
    });
    assert!(asked.elapsed().as_secs() >= 2);
    assert!(said.contains(&format!("app[{name}]: b c {name}")), "{said}");
    assert!(said.contains(&format!("app[{name}]: my time is over")), "{said}");
    for seconds in ["0", "86401"] {
        let body = format!(r#"{{"command":"true","time_to_live":{seconds}}}"#);
        assert_eq!(api(&server, "POST", "/apps/demo/dynos", &body).0, 422);
    }
}

#[test]
fn a_command_runs_inside_a_running_dyno() {
    let (server, person) = deployed();
    let look = "echo $DYNO; id -u; tr '\\0' ' ' < /proc/$(pgrep -o node)/cmdline; \
                echo; touch /app/mark";
    let inside = ["run:inside", "web.1", "-a", "demo", "--no-tty", "--", look];
    let output = person.run(person.home(), "hythe", &inside);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text.lines().take(2).collect::<Vec<_>>(), ["web.1", "1000"], "{output:?}");
    assert!(text.contains("node server.js"), "{text}");
    // The same dyno, and another process type's command by its name.
    let again = "ls /app/mark; exit 7";
    let status =
        person.run(person.home(), "hythe", &["run:inside", "web.1", "-x", "-a", "demo", again]);
    assert_eq!(status.status.code(), Some(7), "{status:?}");
    assert_eq!(String::from_utf8_lossy(&status.stdout).trim(), "/app/mark");
    let greet = person.run(person.home(), "hythe", &["run:inside", "web.1", "-a", "demo", "greet"]);
    assert_eq!(String::from_utf8_lossy(&greet.stdout).trim(), "hello");
    let none = person.run(person.home(), "hythe", &["run:inside", "web.2", "-a", "demo", "true"]);
    assert!(!none.status.success());
    assert!(lines(&person).contains("inside web.1 by user ada@example.com"));
    small_app::answer(&server);
}

#[test]
fn the_official_client_has_a_terminal_inside_a_dyno_and_leaves_nothing_there() {
    let (server, person) = deployed();
    let mut command = person.command(person.home(), "heroku");
    command.args(["run:inside", "web.1", "-a", "demo", "bash"]).env("TERM", "xterm");
    let mut terminal = Terminal::start(command, 31, 97);
    terminal.expect("$ ");
    terminal.press("stty size; echo $DYNO$((1))\r");
    terminal.expect("31 97");
    terminal.expect("web.11");
    terminal.press("echo going$((1)); sleep 12345\r");
    terminal.expect("going1");
    drop(terminal);
    wait::until("the end of what ran inside", PATIENCE, || {
        let ask = [
            "run:inside",
            "web.1",
            "-a",
            "demo",
            "--no-tty",
            "--",
            "pgrep -fx 'sleep 12345' || echo none",
        ];
        let output = person.run(person.home(), "hythe", &ask);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.trim() == "none" { Ok(()) } else { Err(text) }
    });
    small_app::answer(&server);
}

#[test]
fn the_server_may_die_while_somebody_is_inside() {
    let (mut server, person) = deployed();
    let mut command = person.command(person.home(), "hythe");
    command.args(["run:inside", "web.1", "-a", "demo", "--", "echo in$((1)); sleep 12345"]);
    let mut terminal = Terminal::start(command, 24, 80);
    terminal.expect("in1");
    let before = api(&server, "GET", "/apps/demo/dynos/web.1", "").1["id"].clone();
    server.kill();
    server.start_again();
    small_app::answer(&server);
    assert_eq!(api(&server, "GET", "/apps/demo/dynos/web.1", "").1["id"], before);
    let ask = [
        "run:inside",
        "web.1",
        "-a",
        "demo",
        "--no-tty",
        "--",
        "pgrep -fx 'sleep 12345' || echo none",
    ];
    wait::until("the end of what ran inside", PATIENCE, || {
        let output = person.run(person.home(), "hythe", &ask);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.trim() == "none" { Ok(()) } else { Err(text) }
    });
}
