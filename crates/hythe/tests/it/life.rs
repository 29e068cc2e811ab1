//! The life of a formation's dynos, seen from outside: scaling, restarts, upgraded connections.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::http::get;
use testkit::{Server, wait};

use crate::bed::Bed;
use crate::small_app::{self, PATIENCE};
use crate::{binary, server};

fn quantity(bed: &Bed, quantity: u32) {
    let web = json!({"updates": [{"type": "web", "quantity": quantity}]});
    bed.api.ask("PATCH", "/apps/demo/formation", &web).expect("an answer");
}

#[test]
fn a_request_right_after_scaling_up_from_nothing_waits_for_the_dyno() {
    let bed = Bed::new("web: node server.js\n");
    for round in 0..15 {
        quantity(&bed, 0);
        wait::until("H14", PATIENCE, || {
            let refused = get(bed.server.address(), "demo.localhost", "/").expect("an answer");
            if refused.status == 503 { Ok(()) } else { Err(format!("{refused:?}")) }
        });
        quantity(&bed, 1);
        let answer = get(bed.server.address(), "demo.localhost", "/").expect("an answer");
        let lines = || bed.person.heroku(&["logs", "-a", "demo", "--num", "20"]);
        assert_eq!(answer.status, 200, "round {round}: {answer:?}\n{}", lines());
    }
    bed.check();
}

const SOCKETS: &str = "\
const began = String(Date.now());
const server = require('http').createServer((request, response) => response.end(began));
server.on('upgrade', (request, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n\\r\\n');
  socket.pipe(socket);
  socket.on('error', () => {});
});
server.listen(process.env.PORT);
";

/// An upgraded connection that echoes.
fn upgraded(server: &Server) -> TcpStream {
    let mut socket = TcpStream::connect(server.address()).expect("connect");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let head = "GET /ws HTTP/1.1\r\nHost: demo.localhost\r\nConnection: Upgrade\r\n\
                Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write_all(head.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).expect("a head");
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    socket
}

#[test]
fn an_upgraded_connection_outlives_its_release_up_to_the_drain_limit() {
    let server = Server::start_with(binary(), "drain_seconds = 4\n");
    let person = server.person();
    let dir = small_app::created(&person, "web: node server.js\n");
    std::fs::write(dir.join("server.js"), SOCKETS).expect("written");
    person.commit_all(&dir);
    let _transcript = small_app::push(&server, &person, &dir);
    let before = small_app::answer(&server);
    let mut socket = upgraded(&server);
    let _restarted = person.heroku(&["ps:restart", "-a", "demo"]);
    wait::until("the new dyno", PATIENCE, || {
        let now = small_app::answer(&server);
        if now == before { Err(now) } else { Ok(()) }
    });
    let replaced = Instant::now();
    let mut echo = [0; 5];
    socket.write_all(b"hello").expect("it is open");
    socket.read_exact(&mut echo).expect("it is served by the old dyno");
    assert_eq!(&echo, b"hello");
    let end = socket.read(&mut echo);
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    let took = replaced.elapsed();
    assert!(took > Duration::from_secs(2) && took < Duration::from_secs(12), "{took:?}");
    let log = person.heroku(&["logs", "-a", "demo", "--num", "200"]);
    assert!(!log.contains("Error R12"), "{log}");
}

#[test]
fn a_stopped_dyno_of_the_formation_is_replaced_and_all_of_a_type_can_be() {
    let server = server();
    let person = server.person();
    let dir = small_app::created(&person, "web: node server.js\nworker: sleep 1000000\n");
    let _transcript = small_app::push(&server, &person, &dir);
    let _scaled = person.heroku(&["ps:scale", "web=2", "worker=1", "-a", "demo"]);
    let ids = || -> Vec<(String, String)> {
        let list: Value = serde_json::from_str(&person.heroku(&["ps", "-a", "demo", "--json"]))
            .expect("a list of dynos");
        let text = |dyno: &Value, key: &str| dyno[key].as_str().expect("a text").to_owned();
        let up = list.as_array().expect("a list").iter().filter(|dyno| dyno["state"] == "up");
        up.map(|dyno| (text(dyno, "name"), text(dyno, "id"))).collect()
    };
    let wait_for = |changed: &[&str], before: &[(String, String)]| {
        wait::until(&format!("{changed:?} anew"), PATIENCE, || {
            let now = ids();
            let anew = |(name, id): &(String, String)| {
                let was = before.iter().find(|(other, _)| other == name);
                let new = was.is_none_or(|(_, was)| was != id);
                new == changed.contains(&name.as_str())
            };
            if now.len() == 3 && now.iter().all(anew) { Ok(now) } else { Err(format!("{now:?}")) }
        })
    };
    let first = wait_for(&["web.1", "web.2", "worker.1"], &[]);
    let _stopped = person.heroku(&["ps:stop", "web.2", "-a", "demo"]);
    let second = wait_for(&["web.2"], &first);
    let _restarted = person.heroku(&["ps:restart", "web", "-a", "demo"]);
    let third = wait_for(&["web.1", "web.2"], &second);
    let _restarted = person.heroku(&["ps:restart", "worker.1", "-a", "demo"]);
    let _fourth = wait_for(&["worker.1"], &third);
    let log = person.heroku(&["logs", "-a", "demo", "--num", "1500"]);
    assert!(log.contains("heroku[worker.1]: Restarting"), "{log}");
}
