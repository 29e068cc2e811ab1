//! Clients that mean harm to one app: another app beside it is served as if they were not there, and
//! what they hold is bounded.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use model::AppId;
use model::routes::{AppRoute, RoutingTable, WebState};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::rig::{Dyno, HOST, PATIENCE, Rig, Setup, Wire, get};

/// The app next door.
const NEIGHBOUR: &str = "neighbour.example.com";
/// An answer of the neighbour's takes no longer than this, in a slow build on a busy machine: less
/// than any attack lasts, so that waiting for its end would be noticed.
const SOON: Duration = Duration::from_millis(2_500);

/// A router with one thread, an app that is attacked, and one that is not.
struct Street {
    rig: Rig,
    _dynos: [Dyno; 2],
}

impl Street {
    /// The attacked app's dyno does this.
    fn new(setup: Setup, victim: impl Fn(&mut Wire) + Send + Sync + 'static) -> Self {
        allow_files();
        let rig = Rig::with(setup);
        let dynos = [
            Dyno::start(victim),
            Dyno::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ];
        let mut table = RoutingTable::new([]);
        let attacked = rig.route(WebState::Up, &[dynos[0].backend("web.1")]);
        let other = AppRoute {
            app: AppId::random(),
            ..rig.route(WebState::Up, &[dynos[1].backend("web.1")])
        };
        table.set(&Arc::new(attacked), &[HOST]);
        table.set(&Arc::new(other), &[NEIGHBOUR]);
        rig.routes.publish(table);
        Self { rig, _dynos: dynos }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.rig.addr).expect("connected");
        stream.set_nonblocking(true).expect("non-blocking");
        stream
    }

    /// So many clients that say this first.
    fn crowd(&self, count: usize, first: &str) -> Vec<TcpStream> {
        let connect = |_| {
            let mut stream = self.connect();
            stream.write_all(first.as_bytes()).expect("sent");
            stream
        };
        (0..count).map(connect).collect()
    }

    /// The neighbour's clients are served, each on a new connection, and soon.
    fn neighbour_is_well(&self) {
        for _ in 0..40 {
            let begun = Instant::now();
            let mut client = self.rig.client();
            client.send(format!("GET / HTTP/1.1\r\nHost: {NEIGHBOUR}\r\n\r\n"));
            assert_eq!(client.reply().status, 200);
            let took = begun.elapsed();
            assert!(took < SOON, "the neighbour waits {took:?}");
        }
    }
}

/// Clients that go on sending something, each a little at a time, until told to stop.
struct Pests {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<TcpStream>>,
}

impl Pests {
    fn start(mut streams: Vec<TcpStream>, piece: &'static [u8], pause: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                for stream in &mut streams {
                    // Those that were cut are left alone.
                    let _ = stream.write(piece);
                }
                std::thread::sleep(pause);
            }
            streams
        });
        Self { stop, thread }
    }

    fn stop(self) -> Vec<TcpStream> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("no panic")
    }
}

/// How many of them the router has ended within [`PATIENCE`].
fn ended(streams: Vec<TcpStream>) -> usize {
    let ended = |mut stream: TcpStream| {
        stream.set_nonblocking(false).expect("blocking");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        let mut all = Vec::new();
        // A reset ends it as well.
        stream
            .read_to_end(&mut all)
            .map_or_else(|e| e.kind() != std::io::ErrorKind::WouldBlock, |_| true)
    };
    streams.into_iter().filter_map(|stream| ended(stream).then_some(())).count()
}

/// The test's own process holds both ends of everything: gives how many files it may have.
fn allow_files() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("allowed");
    maximum.unwrap_or(u64::MAX)
}

/// Bytes of memory that are this process's alone.
fn private_memory() -> usize {
    let all = std::fs::read_to_string("/proc/self/smaps_rollup").expect("readable");
    let kilobytes = |name: &str| -> usize {
        let line = all.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    };
    kilobytes("Anonymous:") * 1024
}

fn echo(wire: &mut Wire) {
    while wire.request().is_some() {
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
}

#[test]
fn slow_heads_are_cut_and_the_neighbour_is_well() {
    let mut setup = Setup::default();
    setup.timeouts.request_head = Duration::from_secs(3);
    let street = Street::new(setup, echo);
    let crowd = street.crowd(2_000, &format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX: "));
    let pests = Pests::start(crowd, b"x", Duration::from_millis(20));
    street.neighbour_is_well();
    assert_eq!(ended(pests.stop()), 2_000);
}

#[test]
fn slow_bodies_are_cut_and_the_neighbour_is_well() {
    let mut setup = Setup::default();
    setup.timeouts.slow_client = Duration::from_secs(3);
    setup.limits.in_flight_per_dyno = 5_000;
    let street = Street::new(setup, |wire| drop(wire.rest()));
    let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 100000\r\n\r\n");
    let pests = Pests::start(street.crowd(500, &head), b"x", Duration::from_millis(20));
    street.neighbour_is_well();
    assert_eq!(ended(pests.stop()), 500);
}

#[test]
fn slow_readers_hold_little_and_the_neighbour_is_well() {
    let mut setup = Setup::default();
    setup.limits.in_flight_per_dyno = 5_000;
    setup.timeouts.idle = Duration::from_secs(4);
    let street = Street::new(setup, |wire| {
        while wire.request().is_some() {
            let _ = wire.try_send("HTTP/1.1 200 OK\r\nContent-Length: 8000000\r\n\r\n");
            let _ = wire.try_send(vec![b'x'; 8_000_000]);
        }
    });
    let before = private_memory();
    let crowd = street.crowd(100, &get("/"));
    street.neighbour_is_well();
    // Each is allowed 1 MB, all together less. The dyno's threads hold 8 MB each.
    let grown = (private_memory().saturating_sub(before) >> 20).saturating_sub(100 * 8);
    assert!(grown < 64 + 50, "{grown} MB");
    assert_eq!(ended(crowd), 100);
}

#[test]
fn heads_without_end_hold_little_and_the_neighbour_is_well() {
    let mut setup = Setup::default();
    setup.timeouts.request_head = Duration::from_secs(3);
    let street = Street::new(setup, echo);
    let before = private_memory();
    let head = format!(
        "GET / HTTP/1.1\r\nHost: {HOST}\r\n{}",
        format!("X: {}\r\n", "x".repeat(1000)).repeat(120)
    );
    let mut crowd = street.crowd(1_000, "");
    for stream in &mut crowd {
        // What the router does not take stays with the kernel.
        let _ = stream.write(head.as_bytes());
    }
    street.neighbour_is_well();
    let grown = private_memory().saturating_sub(before) >> 20;
    assert!(grown < 3 * 64 + 50, "1,000 heads of 120 KB hold {grown} MB");
    assert_eq!(ended(crowd), 1_000);
}

#[test]
fn rubbish_and_tiny_chunks_leave_the_neighbour_well() {
    let street = Street::new(Setup::default(), echo);
    let stop = Arc::new(AtomicBool::new(false));
    let (addr, stopped) = (street.rig.addr, stop.clone());
    let rubbish = std::thread::spawn(move || {
        let junk: Vec<u8> = (0..=255).cycle().take(4096).collect();
        while !stopped.load(Ordering::SeqCst) {
            let mut stream = TcpStream::connect(addr).expect("connected");
            let _ = stream.write_all(&junk);
        }
    });
    let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n");
    let pests = Pests::start(
        street.crowd(50, &head),
        b"1\r\nx\r\n1\r\nx\r\n1\r\nx\r\n1\r\nx\r\n1\r\nx\r\n1\r\nx\r\n1\r\nx\r\n1\r\nx\r\n",
        Duration::from_millis(1),
    );
    street.neighbour_is_well();
    stop.store(true, Ordering::SeqCst);
    rubbish.join().expect("no panic");
    drop(pests.stop());
}

#[test]
fn ten_thousand_idle_connections_hold_two_kilobytes_each_at_most() {
    // As many as the machine allows, if that is less.
    let count = usize::try_from((allow_files() - 200) / 2).unwrap_or(usize::MAX).min(10_000);
    let mut setup = Setup { threads: 2, ..Setup::default() };
    setup.timeouts.client_keep_alive = Duration::from_secs(60);
    let street = Street::new(setup, echo);
    street.neighbour_is_well();
    let mut crowd = Vec::with_capacity(count);
    let before = private_memory();
    let answer = "HTTP/1.1 200 OK\r\n";
    for _ in 0..count {
        // Each has asked once: what it needed for that is given back.
        let mut stream = TcpStream::connect(street.rig.addr).expect("connected");
        stream.write_all(get("/").as_bytes()).expect("sent");
        let mut all = [0; 512];
        let length = stream.read(&mut all).expect("an answer");
        assert!(all[..length].starts_with(answer.as_bytes()));
        crowd.push(stream);
    }
    let each = private_memory().saturating_sub(before) / count;
    assert!(each <= 2048, "{each} bytes for each idle connection");
    street.neighbour_is_well();
}
