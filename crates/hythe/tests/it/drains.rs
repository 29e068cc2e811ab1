//! Drains and log inputs as people and add-ons use them: the official CLI, the native client, posted
//! frames, a receiver on this machine; and a server that is killed meanwhile.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use testkit::http::ask;
use testkit::{Person, Server, wait};

use crate::binary;
use crate::small_app::PATIENCE;

const SETTINGS: &str = "[drains]\nnetworks = [\"127.0.0.0/8\"]\n";

/// A syslog receiver: each frame once.
struct Receiver {
    address: SocketAddr,
    frames: Arc<Mutex<BTreeSet<String>>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let frames = Arc::<Mutex<BTreeSet<String>>>::default();
        let all = frames.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let all = all.clone();
                thread::spawn(move || read(stream, &all));
            }
        });
        Self { address, frames }
    }

    fn url(&self) -> String {
        format!("syslog://{}", self.address)
    }

    fn frames(&self) -> BTreeSet<String> {
        self.frames.lock().expect("lock").clone()
    }

    #[track_caller]
    fn wait_for(&self, text: &str) -> String {
        wait::until("the frame", PATIENCE, || {
            let frames = self.frames();
            let found = frames.iter().find(|frame| frame.contains(text)).cloned();
            found.ok_or_else(|| format!("{text} is not in {frames:?}"))
        })
    }
}

fn read(mut stream: TcpStream, all: &Mutex<BTreeSet<String>>) {
    let (mut pending, mut buffer) = (Vec::new(), [0; 65536]);
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        pending.extend_from_slice(&buffer[..count]);
        while let Some(space) = pending.iter().position(|&byte| byte == b' ') {
            let digits = std::str::from_utf8(&pending[..space]).expect("digits");
            let end = space + 1 + digits.parse::<usize>().expect("a length");
            if pending.len() < end {
                break;
            }
            let frame = String::from_utf8(pending[space + 1..end].to_vec()).expect("UTF-8");
            all.lock().expect("lock").insert(frame);
            pending.drain(..end);
        }
    }
}

/// The app `demo` with an input for lines.
struct Bed {
    server: Server,
    person: Person,
    token: String,
}

impl Bed {
    fn start() -> Self {
        let server = Server::start_with(binary(), SETTINGS);
        let person = server.person();
        let _created = person.heroku(&["create", "demo"]);
        let made = native(&person, &["logs:inputs:add", "tests", "-a", "demo", "--json"]);
        let made: Value = serde_json::from_str(&made).expect("JSON");
        let token = made["token"].as_str().expect("a token").to_owned();
        Self { server, person, token }
    }

    /// Posts lines; whether they were taken.
    fn post(&self, lines: &[String]) -> Result<(), String> {
        post(self.server.address(), &self.token, lines)
    }

    fn status(&self, url: &str) -> Value {
        let shown = native(&self.person, &["drains:info", url, "-a", "demo", "--json"]);
        serde_json::from_str::<Value>(&shown).expect("JSON")["status"].clone()
    }
}

fn post(address: SocketAddr, token: &str, lines: &[String]) -> Result<(), String> {
    let frame = |line: &String| {
        let message = format!("<190>1 2026-01-01T00:00:00+00:00 host t.x web.1 - {line}\n");
        format!("{} {message}", message.len())
    };
    let body: String = lines.iter().map(frame).collect();
    let bearer = format!("Bearer {token}");
    let headers = [("Content-Type", "application/logplex-1"), ("Authorization", bearer.as_str())];
    let answer = ask(address, "POST", "localhost", "/logs", &headers, body.as_bytes());
    match answer {
        Ok(answer) if answer.status == 204 => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// The native client's output.
#[track_caller]
fn native(person: &Person, args: &[&str]) -> String {
    let output = person.run(person.home(), "hythe", args);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "hythe {args:?}\n{stdout}\n{output:?}");
    stdout
}

/// What the official CLI says when it fails.
#[track_caller]
fn refused(person: &Person, args: &[&str]) -> String {
    let output = person.run(person.home(), "heroku", args);
    assert!(!output.status.success(), "heroku {args:?}: {output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_drain_lives_its_life_by_the_official_cli() {
    let bed = Bed::start();
    let (person, receiver) = (&bed.person, Receiver::start());
    let url = receiver.url();
    let added = person.heroku(&["drains:add", &url, "-a", "demo"]);
    assert_eq!(added.trim(), format!("Successfully added drain {url}"));
    let shown = person.heroku(&["drains", "-a", "demo"]);
    let token = shown.split_once(&format!("{url} (")).expect("the drain").1;
    let token = token.split(')').next().expect("a token").to_owned();
    assert!(token.starts_with("d."), "{shown}");

    bed.post(&["hello drain".to_owned()]).expect("taken");
    let frame = receiver.wait_for("hello drain");
    assert!(frame.starts_with("<190>1 20"), "{frame}");
    assert!(frame.ends_with(&format!("+00:00 {token} app web.1 - - hello drain\n")), "{frame}");
    wait::until("the status", PATIENCE, || {
        let said = native(person, &["drains", "-a", "demo"]);
        if said.contains("delivering: ") && said.contains(" 0 lost, 0 waiting") {
            Ok(())
        } else {
            Err(said)
        }
    });

    let twice = refused(person, &["drains:add", &url, "-a", "demo"]);
    assert!(twice.contains("Already exists"), "{twice}");
    let bad = refused(person, &["drains:add", "gopher://x", "-a", "demo"]);
    assert!(bad.contains("Invalid drain destination"), "{bad}");
    let inside = refused(person, &["drains:add", "http://10.0.0.1/", "-a", "demo"]);
    assert!(inside.contains("10.0.0.1 is an internal address"), "{inside}");
    for port in 1..=4 {
        let url = format!("syslog://127.0.0.1:{port}");
        let _added = native(person, &["drains:add", &url, "-a", "demo"]);
    }
    let sixth = refused(person, &["drains:add", "syslog://127.0.0.1:5", "-a", "demo"]);
    assert!(sixth.contains("maximum number of drains"), "{sixth}");

    let removed = person.heroku(&["drains:remove", &url, "-a", "demo"]);
    assert_eq!(removed.trim(), format!("Successfully removed drain {url}"));
    assert!(!person.heroku(&["drains", "-a", "demo"]).contains(&url));
}

#[test]
fn a_telemetry_drain_lives_its_life_by_the_official_cli() {
    let bed = Bed::start();
    let person = &bed.person;
    let all = refused(person, &["telemetry:add", "https://otel.example.com", "-a", "demo"]);
    assert!(all.contains("--signals logs"), "{all}");
    let args = ["--signals", "logs", "--headers", "{\"x-api-key\":\"s3cret\"}", "-a", "demo"];
    let add = [&["telemetry:add", "https://otel.example.com"], &args[..]].concat();
    let added = person.heroku(&add);
    assert_eq!(added.trim(), "successfully added drain https://otel.example.com");
    let grpc = [&["telemetry:add", "https://b.example.com", "--transport", "grpc"], &args[..]];
    let grpc = refused(person, &grpc.concat());
    assert!(grpc.contains("gRPC is not built"), "{grpc}");
    let list = person.heroku(&["telemetry", "-a", "demo"]);
    assert!(list.contains("https://otel.example.com"), "{list}");
    let drains = native(person, &["telemetry", "-a", "demo", "--json"]);
    let drains: Value = serde_json::from_str(&drains).expect("JSON");
    let id = drains[0]["id"].as_str().expect("an id");
    let info = person.heroku(&["telemetry:info", id]);
    assert!(info.contains("demo") && info.contains("HTTP"), "{info}");
    let update = ["telemetry:update", id, "--endpoint", "https://c.example.com"];
    let updated = person.heroku(&update);
    assert!(updated.contains("https://c.example.com"), "{updated}");
    let shown = native(person, &["telemetry:info", id]);
    assert!(shown.contains("https://c.example.com") && shown.contains("State"), "{shown}");
    let _removed = person.heroku(&["telemetry:remove", id]);
    let list = person.heroku(&["telemetry", "-a", "demo"]);
    assert!(list.contains("There are no telemetry drains in demo"), "{list}");
}

/// Lines are posted while the server is killed. All that were taken more than a second before are
/// received or reported.
#[test]
fn a_drain_goes_on_after_the_server_was_killed() {
    let mut bed = Bed::start();
    let receiver = Receiver::start();
    let url = receiver.url();
    let _added = bed.person.heroku(&["drains:add", &url, "-a", "demo"]);
    let mut next = 0;
    let mut taken: Vec<(u64, Instant)> = Vec::new();
    let mut load = |bed: &Bed, time: Duration| {
        let begun = Instant::now();
        while begun.elapsed() < time {
            let lines: Vec<String> = (0..50).map(|at| format!("seq={:08}", next + at)).collect();
            if bed.post(&lines).is_ok() {
                let now = Instant::now();
                taken.extend((0..50).map(|at| (next + at, now)));
            }
            next += 50;
        }
    };
    load(&bed, Duration::from_secs(3));
    bed.server.kill();
    let killed = Instant::now();
    bed.server.start_again();
    load(&bed, Duration::from_secs(1));
    bed.post(&["the end".to_owned()]).expect("taken");
    receiver.wait_for("the end");
    let received: BTreeSet<u64> = receiver
        .frames()
        .iter()
        .filter_map(|frame| frame.split_once("seq=")?.1.trim().parse().ok())
        .collect();
    let early = |at: Instant| at + Duration::from_secs(1) < killed || at > killed;
    let missing: Vec<_> = taken.iter().filter(|(seq, _)| !received.contains(seq)).collect();
    let lost: Vec<_> = missing.iter().filter(|(_, at)| early(*at)).collect();
    let status = bed.status(&url);
    assert!(taken.len() > 500, "too little was posted: {}", taken.len());
    assert!(lost.len() as u64 <= status["lost"].as_u64().expect("a number"), "{lost:?} {status}");
}

/// The receiver is away while the server is killed: what waited is sent after the next start.
#[test]
fn what_waited_for_a_receiver_outlives_a_killed_server() {
    let mut bed = Bed::start();
    // Nobody listens at it, and nobody else can have it.
    let place = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    place.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    let address = place.local_addr().expect("an address").as_socket().expect("an address");
    let url = format!("syslog://{address}");
    let _added = bed.person.heroku(&["drains:add", &url, "-a", "demo"]);
    let lines: Vec<String> = (0..500).map(|at| format!("seq={at:08}")).collect();
    bed.post(&lines).expect("taken");
    wait::until("the failure", PATIENCE, || {
        let status = bed.status(&url);
        let seen = status["state"] == "failing" && status["waiting"].as_u64() >= Some(500);
        if seen { Ok(()) } else { Err(status.to_string()) }
    });
    wait::until("the lines in the log", PATIENCE, || {
        let shown = native(&bed.person, &["logs", "-a", "demo", "--num", "1500"]);
        let count = shown.matches("seq=").count();
        if count == 500 { Ok(()) } else { Err(count.to_string()) }
    });
    // They are written to disk together, a tenth of a second later; nothing outside shows it.
    thread::sleep(Duration::from_secs(1));
    bed.server.kill();
    place.listen(16).expect("listening");
    let listener = TcpListener::from(place);
    let frames = Arc::<Mutex<BTreeSet<String>>>::default();
    let all = frames.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            read(stream, &all);
        }
    });
    bed.server.start_again();
    wait::until("all lines", PATIENCE, || {
        let frames = frames.lock().expect("lock");
        let seq = frames.iter().filter(|frame| frame.contains("seq=")).count();
        if seq == 500 { Ok(()) } else { Err(format!("{seq} lines")) }
    });
    assert_eq!(bed.status(&url)["lost"], 0);
}
