//! A server that dies takes nothing with it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use testkit::http::get;
use testkit::{Person, Server, wait};

use crate::server;

const PATIENCE: Duration = Duration::from_secs(60);

/// A small app without dependencies, deployed as `demo`.
fn deployed() -> (Server, Person) {
    let server = server();
    let person = server.person();
    let dir = person.app("small", &testkit_app());
    let _created = person.heroku(&["create", "demo"]);
    let remote = format!("https://localhost:{}/demo.git", server.address().port());
    let pushed = person.run(&dir, "git", &["push", "-q", remote.as_str(), "main"]);
    assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
    wait_for_200(&server);
    (server, person)
}

fn testkit_app() -> [(&'static str, &'static str); 2] {
    let server = "\
const http = require('http');
const started = Date.now();
let count = 0;
http.createServer((request, response) => {
  count += 1;
  console.log(`request ${count} ${request.url}`);
  const answer = () => response.end(`${started} ${process.env.DYNO}\\n`);
  request.url === '/slow' ? setTimeout(answer, 6000) : answer();
}).listen(process.env.PORT);
setInterval(() => console.log(`tick ${count}`), 500);
";
    let package = r#"{"name":"small","version":"1.0.0","scripts":{"start":"node server.js"}}"#;
    [("server.js", server), ("package.json", package)]
}

fn wait_for_200(server: &Server) -> String {
    wait::until("an answer of the app", PATIENCE, || {
        let answer =
            get(server.address(), "demo.localhost", "/").map_err(|error| error.to_string())?;
        if answer.status == 200 { Ok(answer.body) } else { Err(format!("{answer:?}")) }
    })
}

#[test]
fn killing_the_server_loses_no_dyno_no_release_and_no_history() {
    let (mut server, person) = deployed();
    let before = wait_for_200(&server);
    let releases = person.heroku(&["releases", "-a", "demo", "--json"]);

    server.kill();
    server.start_again();

    assert_eq!(wait_for_200(&server), before, "the dyno was started anew");
    assert_eq!(person.heroku(&["releases", "-a", "demo", "--json"]), releases);
    let lines = person.heroku(&["logs", "-a", "demo", "--num", "1500"]);
    assert!(lines.contains("Deploy "), "the history from before is gone:\n{lines}");
    assert!(lines.contains("heroku[logplex]"), "nothing says where the log has a gap:\n{lines}");
    wait::until("lines from the dyno that was taken over", PATIENCE, || {
        let lines = person.heroku(&["logs", "-a", "demo", "--ps", "web.1", "--num", "1500"]);
        let after = lines.rsplit("tick").count();
        if after > 2 { Ok(()) } else { Err(lines) }
    });
    let ps = person.heroku(&["ps", "-a", "demo"]);
    assert!(ps.contains("web.1: up"), "{ps}");
}

#[test]
fn stopping_the_server_lets_a_request_in_flight_finish() {
    let (mut server, person) = deployed();
    let mut socket = TcpStream::connect(server.address()).expect("connect");
    let request = "GET /slow HTTP/1.1\r\nHost: demo.localhost\r\nConnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).expect("sent");
    wait::until("the request's arrival at the app", PATIENCE, || {
        let lines = person.heroku(&["logs", "-a", "demo", "--source", "app"]);
        if lines.contains("/slow") { Ok(()) } else { Err(lines) }
    });
    std::thread::scope(|scope| {
        let answer = scope.spawn(move || {
            let mut text = String::new();
            socket.read_to_string(&mut text).expect("an answer");
            text
        });
        server.stop();
        let text = answer.join().expect("no panic");
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    });
}
