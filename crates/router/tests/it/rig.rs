//! A router, raw clients and raw dynos for one test.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use model::routes::{
    AppRoute, Backend, Choice, Continuation, DynoConnections, RoutingTable, WebState, WebView,
};
use model::{AppId, DynoId, LogEntry, LogSink};
use router::{Config, Drained, Handover, Limits, Listen, Routes, Running, Timeouts, Tls};
use tokio::sync::mpsc;

/// Longer than anything in a test should take.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// The app most tests are about.
pub const HOST: &str = "demo.example.com";

/// Heroku's limits, made short enough for tests.
pub fn timeouts() -> Timeouts {
    Timeouts {
        connect: Duration::from_millis(300),
        admission: Duration::from_millis(800),
        first_byte: Duration::from_millis(400),
        idle: Duration::from_millis(600),
        quarantine: Duration::from_millis(300),
        dyno_keep_alive: Duration::from_secs(5),
        client_keep_alive: Duration::from_secs(5),
        request_head: Duration::from_millis(700),
        slow_client: PATIENCE,
        linger: Duration::from_millis(500),
        farewell: Duration::from_millis(200),
        log_flush: Duration::from_millis(5),
    }
}

/// How a test's router differs from the usual one.
pub struct Setup {
    pub timeouts: Timeouts,
    pub limits: Limits,
    pub threads: usize,
    pub tls: Tls,
    pub handovers: usize,
}

impl Default for Setup {
    fn default() -> Self {
        let (timeouts, limits) = (timeouts(), Limits::default());
        Self { timeouts, limits, threads: 1, tls: Tls::Off, handovers: 8 }
    }
}

/// A running router and the ends of everything it talks to.
pub struct Rig {
    running: Option<Running>,
    pub addr: SocketAddr,
    pub routes: Routes,
    logs: Receiver<Vec<LogEntry>>,
    early: Mutex<Vec<LogEntry>>,
    pub wakes: Mutex<mpsc::Receiver<AppId>>,
    pub handovers: Mutex<mpsc::Receiver<Handover>>,
    pub app: AppId,
}

impl Rig {
    /// A usual router that knows no app yet.
    pub fn new() -> Self {
        Self::with(Setup::default())
    }

    /// A router that is set up so.
    pub fn with(setup: Setup) -> Self {
        let (wake, wakes) = mpsc::channel(8);
        let (handover, handovers) = mpsc::channel(setup.handovers);
        let (sink, logs, _) = LogSink::channel(1024);
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = Config {
            listen: vec![Listen { addr, tls: setup.tls }],
            threads: NonZeroUsize::new(setup.threads).unwrap(),
            timeouts: setup.timeouts,
            limits: setup.limits,
            wake,
            traffic: mpsc::channel(1).0,
        };
        let routes = Routes::new();
        let running = router::start(config, routes.clone(), sink, handover).unwrap();
        Self {
            addr: running.addrs[0],
            running: Some(running),
            routes,
            logs,
            early: Mutex::default(),
            wakes: Mutex::new(wakes),
            handovers: Mutex::new(handovers),
            app: AppId::random(),
        }
    }

    /// A usual router whose app has one dyno that does `script` with every connection.
    pub fn serving(script: impl Fn(&mut Wire) + Send + Sync + 'static) -> (Self, Dyno) {
        Self::serving_with(Setup::default(), script)
    }

    /// The same with a router that is set up so.
    pub fn serving_with(
        setup: Setup,
        script: impl Fn(&mut Wire) + Send + Sync + 'static,
    ) -> (Self, Dyno) {
        let (rig, dyno) = (Self::with(setup), Dyno::start(script));
        rig.publish(WebState::Up, &[dyno.backend("web.1")]);
        (rig, dyno)
    }

    /// Puts the app in this state, with these dynos.
    pub fn publish(&self, state: WebState, backends: &[Arc<Backend>]) {
        self.publish_route(self.route(state, backends));
    }

    /// The app's route, to be changed further.
    pub fn route(&self, state: WebState, backends: &[Arc<Backend>]) -> AppRoute {
        AppRoute {
            app: self.app,
            name: "demo".parse().unwrap(),
            web: WebView { state, backends: backends.into() },
            maintenance: false,
            error_page_url: None,
            maintenance_page_url: None,
            choice: Choice::Random,
            connections: DynoConnections::Kept,
            continuation: Continuation::Router,
        }
    }

    /// Publishes a table with the app and the platform's own hosts.
    pub fn publish_route(&self, route: AppRoute) {
        let mut table = RoutingTable::new(["api.example.com", "localhost"]);
        let route = Arc::new(route);
        table.set(&route, &[HOST, "*.wild.example.com"]);
        self.routes.publish(table);
    }

    /// A new client.
    pub fn client(&self) -> Wire {
        Wire::new(TcpStream::connect(self.addr).unwrap())
    }

    /// Sends `request` on a new connection and reads the answer to a GET.
    pub fn ask(&self, request: &str) -> Reply {
        let mut client = self.client();
        client.send(request);
        client.reply()
    }

    /// `GET path` on a new connection.
    pub fn get(&self, path: &str) -> Reply {
        self.ask(&get(path))
    }

    /// The next line of the app's log.
    pub fn log(&self) -> String {
        self.log_within(PATIENCE).expect("a log line")
    }

    /// The next line of the app's log, if it comes in time.
    pub fn log_within(&self, limit: Duration) -> Option<String> {
        let mut early = self.early.lock().unwrap();
        if early.is_empty() {
            match self.logs.recv_timeout(limit) {
                Ok(batch) => early.extend(batch),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
        let entry = early.remove(0);
        assert_eq!(entry.app, self.app);
        assert_eq!((entry.source.as_str(), &*entry.process), ("heroku", "router"));
        Some(entry.text)
    }

    /// The router's listening sockets, for another to listen on.
    pub fn take_sockets(&mut self) -> Vec<TcpListener> {
        self.running.as_mut().expect("running").take_sockets()
    }

    /// Stops the router.
    pub fn shutdown(&mut self, deadline: Duration) -> Drained {
        let running = self.running.take().expect("not stopped twice");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(running.shutdown(deadline))
    }
}

/// A log line whose times are all `Nms`.
pub fn masked(line: &str) -> String {
    let words = line.split(' ').map(|word| match word.split_once('=') {
        Some((name, time)) if time.ends_with("ms") => format!("{name}=Nms"),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A usual GET of the app.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
}

/// A listener that does the same with every connection, each on its own thread.
pub struct Dyno {
    pub addr: SocketAddr,
    connections: Arc<AtomicUsize>,
    stop: Arc<AtomicUsize>,
}

impl Dyno {
    /// Starts listening.
    pub fn start(script: impl Fn(&mut Wire) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (connections, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (count, stopped, script) = (connections.clone(), stop.clone(), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) > 0 {
                    return;
                }
                count.fetch_add(1, Ordering::SeqCst);
                let script = script.clone();
                std::thread::spawn(move || script(&mut Wire::new(stream.unwrap())));
            }
        });
        Self { addr, connections, stop }
    }

    /// One that answers each request with `answer`, on connections that stay.
    pub fn answering(answer: &'static str) -> Self {
        Self::start(move |wire| {
            while wire.request().is_some() {
                wire.send(answer);
            }
        })
    }

    /// A new backend that leads here.
    pub fn backend(&self, name: &str) -> Arc<Backend> {
        Arc::new(Backend::new(DynoId::random(), name.parse().unwrap(), self.addr))
    }

    /// Connections it has had.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Dyno {
    fn drop(&mut self) {
        self.stop.store(1, Ordering::SeqCst);
        // Wakes the accepting thread, so that it ends.
        let _ = TcpStream::connect(self.addr);
    }
}

/// An address where nobody listens.
pub fn dead_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A backend that leads nowhere.
pub fn dead_backend(name: &str) -> Arc<Backend> {
    Arc::new(Backend::new(DynoId::random(), name.parse().unwrap(), dead_address()))
}

/// Anything that carries bytes both ways.
pub trait Stream: Read + Write + Send {
    /// Ends the writing side.
    fn half_close(&mut self);
}

impl Stream for TcpStream {
    fn half_close(&mut self) {
        self.shutdown(Shutdown::Write).unwrap();
    }
}

/// One raw connection. Reads panic after [`PATIENCE`].
pub struct Wire {
    pub stream: Box<dyn Stream>,
    tcp: Option<TcpStream>,
    read: Vec<u8>,
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    /// The first value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// The first value of a field in a head.
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

impl Wire {
    /// Over a TCP connection.
    pub fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let tcp = stream.try_clone().unwrap();
        Self { stream: Box::new(stream), tcp: Some(tcp), read: Vec::new() }
    }

    /// Over anything else.
    pub fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), tcp: None, read: Vec::new() }
    }

    /// Writes everything.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap();
    }

    /// Writes everything, or less if the other end has gone.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// Ends the writing side.
    pub fn finish(&mut self) {
        self.stream.half_close();
    }

    /// Goes away in a hurry: the other end sees a reset.
    pub fn reset(&mut self) {
        let tcp = self.tcp.as_ref().expect("a TCP connection");
        socket2::SockRef::from(tcp).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Reads once more; false at the end of the stream or on a reset.
    fn more(&mut self) -> bool {
        let mut some = [0; 16 * 1024];
        match self.stream.read(&mut some) {
            Ok(0) => false,
            Ok(count) => {
                self.read.extend_from_slice(&some[..count]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("nothing came; so far: {:?}", String::from_utf8_lossy(&self.read))
            }
            Err(_) => false,
        }
    }

    /// Everything up to and with `mark`; `None` if the stream ends before.
    pub fn until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.read.windows(mark.len()).position(|window| window == mark) {
                return Some(self.read.drain(..at + mark.len()).collect());
            }
            if !self.more() {
                return None;
            }
        }
    }

    /// The next head, as text; `None` if the stream ends before.
    pub fn head(&mut self) -> Option<String> {
        self.until(b"\r\n\r\n").map(|head| String::from_utf8_lossy(&head).into_owned())
    }

    /// Exactly so many bytes.
    pub fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            assert!(self.more(), "the stream ended early: {:?}", self.read.len());
        }
        self.read.drain(..count).collect()
    }

    /// Everything up to the end of the stream.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.read)
    }

    /// Whether nothing comes within `limit` and the stream stays open.
    pub fn is_quiet_for(&mut self, limit: Duration) -> bool {
        let tcp = self.tcp.as_ref().expect("a TCP connection");
        tcp.set_read_timeout(Some(limit)).unwrap();
        let mut byte = [0];
        let quiet = self.read.is_empty()
            && tcp.peek(&mut byte).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock);
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        quiet
    }

    /// Whether the start of something has come.
    pub fn has_reply(&mut self) -> bool {
        !self.is_quiet_for(Duration::from_millis(1))
    }

    /// What comes until nothing has come for `quiet`, or the stream ends.
    pub fn gather(&mut self, quiet: Duration) -> Vec<u8> {
        let tcp = self.tcp.as_ref().expect("a TCP connection").try_clone().unwrap();
        tcp.set_read_timeout(Some(quiet)).unwrap();
        let mut some = [0; 16 * 1024];
        while let Ok(count @ 1..) = self.stream.read(&mut some) {
            self.read.extend_from_slice(&some[..count]);
        }
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        std::mem::take(&mut self.read)
    }

    /// A chunked body's wire form, with its last chunk and trailers.
    pub fn chunks(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let line = self.until(b"\r\n").expect("a size line");
            let digits = String::from_utf8(line[..line.len() - 2].to_vec()).unwrap();
            let size = usize::from_str_radix(&digits, 16).expect("a canonical size line");
            all.extend_from_slice(&line);
            if size == 0 {
                break;
            }
            all.extend(self.exactly(size + 2));
        }
        loop {
            let line = self.until(b"\r\n").expect("a trailer");
            all.extend_from_slice(&line);
            if line == b"\r\n" {
                return all;
            }
        }
    }

    /// The next request's head and body (its wire form); `None` if the stream ends before.
    pub fn request(&mut self) -> Option<(String, Vec<u8>)> {
        let head = self.head()?;
        let body = match (field(&head, "transfer-encoding"), field(&head, "content-length")) {
            (Some(_), _) => self.chunks(),
            (None, Some(length)) => self.exactly(length.parse().unwrap()),
            (None, None) => Vec::new(),
        };
        Some((head, body))
    }

    /// The next answer to a GET: its body is its wire form.
    pub fn reply(&mut self) -> Reply {
        let head = self.head().expect("an answer");
        let status = head[9..12].parse().unwrap();
        let body = match (field(&head, "transfer-encoding"), field(&head, "content-length")) {
            _ if matches!(status, 100..=199 | 204 | 304) => Vec::new(),
            (Some(_), _) => self.chunks(),
            (None, Some(length)) => self.exactly(length.parse().unwrap()),
            (None, None) => self.rest(),
        };
        Reply { status, head, body }
    }

    /// The next answer to a HEAD.
    pub fn bodiless_reply(&mut self) -> Reply {
        let head = self.head().expect("an answer");
        Reply { status: head[9..12].parse().unwrap(), head, body: Vec::new() }
    }

    /// Whether the stream has ended (or does within [`PATIENCE`]) and nothing more came.
    pub fn is_over(&mut self) -> bool {
        self.rest().is_empty()
    }
}

/// Waits until `condition` holds.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
