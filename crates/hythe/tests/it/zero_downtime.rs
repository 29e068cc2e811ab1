//! Deploys, config changes, rollbacks, restarts and scaling under a steady load fail no request:
//! on new connections and on kept ones, short or slow, with bodies, and upgraded; even with one dyno.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use testkit::http::get;
use testkit::{Person, Server, wait};

use crate::server;

const PATIENCE: Duration = Duration::from_secs(90);

/// The kinds of clients: how many there are of each, and how often each asks.
const CLIENTS: [(Kind, usize, Duration); 5] = [
    (Kind::Fresh, 6, Duration::from_millis(80)),
    (Kind::Kept, 4, Duration::from_millis(80)),
    (Kind::Posting, 2, Duration::from_millis(80)),
    (Kind::Slow, 6, Duration::from_millis(500)),
    (Kind::Upgraded, 1, Duration::from_millis(300)),
];

/// How a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// On a new connection each time.
    Fresh,
    /// Always on the same connection.
    Kept,
    /// As [`Kind::Kept`], with a body that comes in two pieces.
    Posting,
    /// For an answer that takes three seconds.
    Slow,
    /// To become a WebSocket, on which it is echoed once.
    Upgraded,
    /// Of the platform itself.
    Platform,
}

/// A client with the connection it keeps, if it does.
struct Client {
    kind: Kind,
    address: SocketAddr,
    kept: Option<BufReader<TcpStream>>,
}

impl Client {
    fn ask(&mut self) -> anyhow::Result<()> {
        match self.kind {
            Kind::Fresh => self.plain("GET", "/", b""),
            Kind::Kept => self.plain("GET", "/", b""),
            Kind::Posting => self.plain("POST", "/", &[b'x'; 20_000]),
            Kind::Slow => self.plain("GET", "/slow", b""),
            Kind::Upgraded => self.upgrade(),
            Kind::Platform => {
                let answer = get(self.address, "api.localhost", "/ca.pem")?;
                ensure!(answer.status == 200, "{answer:?}");
                Ok(())
            }
        }
    }

    fn plain(&mut self, method: &str, path: &str, body: &[u8]) -> anyhow::Result<()> {
        let mut stream = match self.kept.take() {
            Some(stream) => stream,
            None => self.connect()?,
        };
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: demo.localhost\r\n");
        write!(stream.get_mut(), "{head}Content-Length: {length}\r\n\r\n").context("send")?;
        let (first, second) = body.split_at(length / 2);
        stream.get_mut().write_all(first).context("send the first half")?;
        if !second.is_empty() {
            thread::sleep(Duration::from_millis(20));
            stream.get_mut().write_all(second).context("send the second half")?;
        }
        let (answer, after) = answer(&mut stream)?;
        ensure!(answer.ends_with(&format!(" {length}\n")), "the body was lost: {answer:?}");
        if matches!(self.kind, Kind::Kept | Kind::Posting) && after == After::Stays {
            self.kept = Some(stream);
        }
        Ok(())
    }

    fn upgrade(&self) -> anyhow::Result<()> {
        let mut stream = self.upgraded()?;
        echo(&mut stream)
    }

    fn upgraded(&self) -> anyhow::Result<BufReader<TcpStream>> {
        let mut stream = self.connect()?;
        let head = "GET /ws HTTP/1.1\r\nHost: demo.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.get_mut().write_all(head.as_bytes()).context("send")?;
        let head = head_of(&mut stream)?;
        ensure!(head.starts_with("HTTP/1.1 101"), "{head}");
        Ok(stream)
    }

    fn connect(&self) -> anyhow::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect(self.address).context("connect")?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(BufReader::new(stream))
    }
}

fn echo(stream: &mut BufReader<TcpStream>) -> anyhow::Result<()> {
    stream.get_mut().write_all(b"hello").context("send on the upgraded connection")?;
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).context("hear the echo")?;
    ensure!(&echo == b"hello");
    Ok(())
}

/// What a server says of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Stays,
    Closes,
}

/// The body of a good answer, and what becomes of the connection.
fn answer(stream: &mut BufReader<TcpStream>) -> anyhow::Result<(String, After)> {
    let head = head_of(stream)?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
    let closes = head.to_lowercase().contains("connection: close");
    let length = head.lines().find_map(|line| {
        line.to_lowercase().strip_prefix("content-length:").map(|text| text.trim().parse())
    });
    let mut body = vec![0; length.context("no length")??];
    stream.read_exact(&mut body).context("read the body")?;
    Ok((String::from_utf8(body)?, if closes { After::Closes } else { After::Stays }))
}

fn head_of(stream: &mut BufReader<TcpStream>) -> anyhow::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let read = stream.read_line(&mut head).context("read the head")?;
        ensure!(read > 0, "closed after {head:?}");
    }
    Ok(head)
}

/// Steady requests of all kinds, whatever the answers.
struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    failed: Arc<Mutex<Vec<String>>>,
    started: Instant,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Load {
    fn start(server: &Server) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            sent: Arc::default(),
            failed: Arc::default(),
            started: Instant::now(),
            threads: Vec::new(),
        };
        for (kind, count, pause) in CLIENTS {
            for _client in 0..count {
                let client = Client { kind, address: server.address(), kept: None };
                load.add(client, pause);
            }
        }
        load
    }

    fn add(&mut self, mut client: Client, pause: Duration) {
        let (stop, sent, failed) = (self.stop.clone(), self.sent.clone(), self.failed.clone());
        let started = self.started;
        self.threads.push(thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                sent.fetch_add(1, Ordering::Relaxed);
                if let Err(error) = client.ask() {
                    client.kept = None;
                    let (kind, at) = (client.kind, started.elapsed());
                    let failure = format!("{kind:?} after {at:?}: {error:#}");
                    failed.lock().expect("not poisoned").push(failure);
                }
                thread::sleep(pause);
            }
        }));
    }

    /// Ends it; none may have failed.
    #[track_caller]
    fn finish(self) {
        let seconds = self.started.elapsed().as_secs();
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("no panic");
        }
        let failed = self.failed.lock().expect("not poisoned");
        let sent = self.sent.load(Ordering::Relaxed);
        // Half of what an idle machine does.
        assert!(sent > 60 * seconds, "only {sent} requests were sent in {seconds} s");
        assert!(failed.is_empty(), "{} of {sent} failed: {:#?}", failed.len(), &failed[..]);
    }
}

/// Answers with its version, a config var and the length of the request's body; echoes on upgraded
/// connections.
fn app(version: &str) -> [(&'static str, String); 2] {
    let server = "\
const server = require('http').createServer((request, response) => {
  if (request.url === '/long') {
    response.setHeader('Content-Length', 80 * 1000);
    let left = 80;
    const timer = setInterval(() => {
      response.write('x'.repeat(1000));
      if (--left === 0) { clearInterval(timer); response.end(); }
    }, 100);
    return;
  }
  let length = 0;
  request.on('data', (data) => { length += data.length; });
  request.on('end', () => setTimeout(
    () => response.end(`VERSION ${process.env.GREETING || ''} ${length}\\n`),
    request.url === '/slow' ? 3000 : 20,
  ));
});
server.on('upgrade', (request, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n\\r\\n');
  socket.pipe(socket);
  socket.on('error', () => {});
});
server.listen(process.env.PORT);
";
    let package = r#"{"name":"small","version":"1.0.0","scripts":{"start":"node server.js"}}"#;
    [("server.js", server.replace("VERSION", version)), ("package.json", package.to_owned())]
}

fn push(server: &Server, person: &Person, version: &str) {
    let files = app(version);
    let files: Vec<(&str, &str)> =
        files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let dir = person.app("small", &files);
    let remote = format!("https://localhost:{}/demo.git", server.address().port());
    let pushed = person.run(&dir, "git", &["push", "-q", remote.as_str(), "main"]);
    assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
}

/// Waits until every answer of ten is this.
fn wait_for(server: &Server, text: &str) {
    wait::until(text, PATIENCE, || {
        for _answer in 0..10 {
            let answer = get(server.address(), "demo.localhost", "/");
            let answer = answer.map_err(|error| error.to_string())?;
            if answer.body.trim_end() != text {
                return Err(format!("{answer:?}"));
            }
        }
        Ok(())
    });
}

fn deployed() -> (Server, Person) {
    let server = server();
    let person = server.person();
    let _created = person.heroku(&["create", "demo"]);
    push(&server, &person, "one");
    wait_for(&server, "one  0");
    (server, person)
}

#[test]
fn with_one_dyno_deploy_config_change_and_rollback_fail_no_request() {
    let (server, person) = deployed();
    let load = Load::start(&server);
    push(&server, &person, "two");
    wait_for(&server, "two  0");
    let _set = person.heroku(&["config:set", "GREETING=ahoy", "-a", "demo"]);
    wait_for(&server, "two ahoy 0");
    let _back = person.heroku(&["rollback", "v3", "-a", "demo"]);
    wait_for(&server, "one  0");
    let _restarted = person.heroku(&["ps:restart", "-a", "demo"]);
    thread::sleep(Duration::from_secs(5));
    load.finish();
}

#[test]
fn with_three_dynos_changes_on_top_of_each_other_and_scaling_fail_no_request() {
    let (server, person) = deployed();
    let _scaled = person.heroku(&["ps:scale", "web=3", "-a", "demo"]);
    let load = Load::start(&server);
    for number in ["1", "2", "3"] {
        // The next comes while the last is still being rolled out.
        let _set = person.heroku(&["config:set", &format!("GREETING={number}"), "-a", "demo"]);
    }
    let _restarted = person.heroku(&["ps:restart", "web.2", "-a", "demo"]);
    wait_for(&server, "one 3 0");
    let _scaled = person.heroku(&["ps:scale", "web=1", "-a", "demo"]);
    thread::sleep(Duration::from_secs(1));
    let _scaled = person.heroku(&["ps:scale", "web=2", "-a", "demo"]);
    push(&server, &person, "two");
    wait_for(&server, "two 3 0");
    load.finish();
}

/// A download that takes eight seconds.
fn long_download(server: &Server) -> thread::JoinHandle<anyhow::Result<()>> {
    let client = Client { kind: Kind::Fresh, address: server.address(), kept: None };
    thread::spawn(move || {
        let mut stream = client.connect()?;
        write!(stream.get_mut(), "GET /long HTTP/1.1\r\nHost: demo.localhost\r\n\r\n")?;
        let head = head_of(&mut stream)?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
        let mut body = vec![0; 80_000];
        stream.read_exact(&mut body).context("the rest of the download")
    })
}

#[test]
fn replacing_the_binary_of_the_running_server_fails_no_request() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("hythe");
    std::fs::copy(crate::binary(), &path).expect("the old binary");
    let mut server = Server::start(path.clone());
    let person = server.person();
    let _created = person.heroku(&["create", "demo"]);
    push(&server, &person, "one");
    wait_for(&server, "one  0");
    let mut load = Load::start(&server);
    let platform = Client { kind: Kind::Platform, address: server.address(), kept: None };
    load.add(platform, Duration::from_millis(80));
    let client = Client { kind: Kind::Upgraded, address: server.address(), kept: None };
    let mut socket = client.upgraded().expect("upgraded");
    let download = long_download(&server);
    thread::sleep(Duration::from_secs(1));

    // The operator puts a new binary in the place of the old one.
    let new = dir.path().join("new");
    std::fs::copy(crate::binary(), &new).expect("the new binary");
    std::fs::rename(&new, &path).expect("replaced");
    let old = server.pid();
    server.upgrade();
    assert_ne!(server.pid(), old);
    let running = std::fs::read_link(format!("/proc/{}/exe", server.pid())).expect("it runs");
    assert_eq!(running, path, "the new one");
    // The old one still has its last requests.
    echo(&mut socket).expect("the WebSocket lives on");
    download.join().expect("no panic").expect("the whole download");
    echo(&mut socket).expect("the WebSocket lives on");
    drop(socket);
    server.wait_for_old_end();
    thread::sleep(Duration::from_secs(1));
    load.finish();

    // What the old one said last is in the log of the new one, which is in charge.
    wait::until("the lines of the last requests", PATIENCE, || {
        let lines = person.heroku(&["logs", "-a", "demo", "--source", "heroku", "--num", "1000"]);
        let all = ["path=\"/long\"", "path=\"/ws\""]
            .iter()
            .all(|path| lines.lines().any(|line| line.contains(path) && !line.contains("code=")));
        all.then_some(()).ok_or(lines)
    });
    let _set = person.heroku(&["config:set", "GREETING=ahoy", "-a", "demo"]);
    wait_for(&server, "one ahoy 0");
    // It can be replaced in its turn, without traffic too.
    server.upgrade();
    wait_for(&server, "one ahoy 0");
}

#[test]
fn a_binary_that_does_not_start_leaves_the_old_server_in_charge() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("hythe");
    std::fs::copy(crate::binary(), &path).expect("the binary");
    let server = Server::start(path.clone());
    let new = dir.path().join("new");
    std::fs::write(&new, "no program").expect("a bad binary");
    std::fs::rename(&new, &path).expect("replaced");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(server.pid()).expect("a process id"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGUSR2).expect("a signal");
    wait::until("the old server's word", PATIENCE, || {
        let log = server.log();
        log.contains("No new server takes over").then_some(()).ok_or(log)
    });
    let answer = get(server.address(), "api.localhost", "/ca.pem").expect("an answer");
    assert_eq!(answer.status, 200);
    // The rest of the test, which stops dynos with it, needs a program at its place.
    std::fs::copy(crate::binary(), dir.path().join("again")).expect("the binary");
    std::fs::rename(dir.path().join("again"), &path).expect("replaced");
}

/// Starts the server as systemd does: with a socket that listens already, and one to say "ready" to.
const ACTIVATE: &str = r#"#!/usr/bin/python3
import os, socket, sys
given = socket.socket()
given.bind(("127.0.0.1", 0))
given.listen(64)
open("DIR/port", "w").write(str(given.getsockname()[1]))
os.dup2(given.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), NOTIFY_SOCKET="DIR/notify")
os.execv("BINARY", ["BINARY"] + sys.argv[1:])
"#;

#[test]
fn a_service_manager_may_hold_the_sockets_and_hears_who_serves() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("hythe");
    let notices = std::os::unix::net::UnixDatagram::bind(dir.path().join("notify")).expect("bound");
    notices.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let place = dir.path().display().to_string();
    let binary = crate::binary().display().to_string();
    let script = ACTIVATE.replace("DIR", &place).replace("BINARY", &binary);
    std::fs::write(&path, script).expect("a script");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, executable).expect("executable");
    let mut server = Server::start(&path);
    let port = std::fs::read_to_string(dir.path().join("port")).expect("a port");
    assert_eq!(server.address().port().to_string(), port);
    let notice = || {
        let mut notice = [0; 64];
        let length = notices.recv(&mut notice).expect("a notice");
        String::from_utf8_lossy(&notice[..length]).into_owned()
    };
    assert_eq!(notice(), format!("READY=1\nMAINPID={}\n", server.pid()));
    let old = server.pid();
    server.upgrade();
    assert_ne!(server.pid(), old);
    assert_eq!(notice(), format!("READY=1\nMAINPID={}\n", server.pid()));
    let answer = get(server.address(), "api.localhost", "/ca.pem").expect("an answer");
    assert_eq!(answer.status, 200);
}
