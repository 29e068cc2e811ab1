//! Receivers that can be told to misbehave.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use super::bed::{Got, Tally};

/// What a syslog receiver does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tcp {
    /// Reads.
    Good,
    /// Does not read.
    Stuck,
    /// Reads so many bytes each millisecond.
    Slow(usize),
    /// Resets each connection after so many bytes, whatever is unread.
    Resetting(usize),
    /// Ends each connection in order after so many bytes.
    Closing(usize),
}

/// A syslog receiver.
pub struct TcpReceiver {
    pub address: SocketAddr,
    pub got: Got,
    mode: Arc<Mutex<Tcp>>,
    pub connections: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

pub async fn listen(address: SocketAddr) -> TcpListener {
    loop {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("reuse");
        match socket.bind(address).and_then(|()| socket.listen(128)) {
            Ok(listener) => return listener,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

impl TcpReceiver {
    pub async fn start(mode: Tcp) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), mode, Got::default()).await
    }

    pub async fn start_at(address: SocketAddr, mode: Tcp, got: Got) -> Self {
        let listener = listen(address).await;
        let address = listener.local_addr().expect("an address");
        let mode = Arc::new(Mutex::new(mode));
        let connections = Arc::new(AtomicU64::new(0));
        let (tally, how, count) = (got.clone(), mode.clone(), connections.clone());
        let task = tokio::spawn(async move {
            // Connections end with the receiver.
            let mut served = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                served.spawn(serve(stream, how.clone(), tally.clone()));
            }
        });
        Self { address, got, mode, connections, task }
    }

    pub fn url(&self) -> String {
        format!("syslog://{}", self.address)
    }

    pub fn set(&self, mode: Tcp) {
        *self.mode.lock().expect("lock") = mode;
    }

    /// Nobody listens any more, and all connections end.
    pub async fn die(self) -> (SocketAddr, Got) {
        self.task.abort();
        let _aborted = self.task.await;
        (self.address, self.got)
    }
}

async fn serve(mut stream: TcpStream, mode: Arc<Mutex<Tcp>>, got: Got) {
    let (mut pending, mut total) = (Vec::new(), 0);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let now = *mode.lock().expect("lock");
        let most = match now {
            Tcp::Stuck => {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
            Tcp::Slow(most) => {
                tokio::time::sleep(Duration::from_millis(1)).await;
                most
            }
            Tcp::Good | Tcp::Resetting(_) | Tcp::Closing(_) => buffer.len(),
        };
        let Ok(count @ 1..) = stream.read(&mut buffer[..most]).await else { return };
        total += count;
        pending.extend_from_slice(&buffer[..count]);
        frames(&mut pending, &mut got.lock().expect("lock"));
        match now {
            Tcp::Resetting(after) if total >= after => {
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("linger");
                return;
            }
            Tcp::Closing(after) if total >= after => {
                let _gone_already = stream.shutdown().await;
                // What the sender had under way by then is not read: it is answered by a reset.
                return;
            }
            _ => {}
        }
    }
}

/// Takes whole octet-counted frames off the front.
pub fn frames(pending: &mut Vec<u8>, tally: &mut Tally) {
    let mut at = 0;
    while let Some(space) = pending[at..].iter().position(|&byte| byte == b' ') {
        let digits = std::str::from_utf8(&pending[at..at + space]).expect("digits");
        let length: usize = digits.parse().unwrap_or_else(|_| panic!("no count: {digits:?}"));
        let start = at + space + 1;
        let Some(message) = pending.get(start..start + length) else { break };
        assert!(message.ends_with(b"\n") && !message[..length - 1].contains(&b'\n'));
        tally.add(message);
        at = start + length;
    }
    pending.drain(..at);
}

/// What an HTTP receiver does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Http {
    /// Takes it.
    Good,
    /// Answers this status, with this header line.
    Answer(u16, &'static str),
    /// The status to each n-th request.
    EachNth(u64, u16),
    /// Reads, and never answers.
    Hangs,
    /// Resets the connection in the middle of each n-th request.
    Resets(u64),
    /// Takes it and closes the connection.
    Closes,
    /// Takes it and answers this body.
    Says(Vec<u8>),
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
    pub taken: bool,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// An HTTP receiver, without any HTTP library.
pub struct HttpReceiver {
    pub address: SocketAddr,
    pub got: Got,
    pub requests: Arc<Mutex<Vec<Request>>>,
    mode: Arc<Mutex<Http>>,
    _task: JoinHandle<()>,
}

impl HttpReceiver {
    pub async fn start(mode: Http) -> Self {
        let listener = listen(([127, 0, 0, 1], 0).into()).await;
        let address = listener.local_addr().expect("an address");
        let mode = Arc::new(Mutex::new(mode));
        let (got, requests) = (Got::default(), Arc::<Mutex<Vec<Request>>>::default());
        let (how, tally, all) = (mode.clone(), got.clone(), requests.clone());
        let task = tokio::spawn(async move {
            let mut served = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                served.spawn(serve_http(stream, how.clone(), tally.clone(), all.clone()));
            }
        });
        Self { address, got, requests, mode, _task: task }
    }

    pub fn url(&self) -> String {
        format!("http://me:p%40ss@{}/logs?a=b", self.address)
    }

    pub fn set(&self, mode: Http) {
        *self.mode.lock().expect("lock") = mode;
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("lock").clone()
    }
}

async fn serve_http(
    mut stream: TcpStream,
    mode: Arc<Mutex<Http>>,
    got: Got,
    requests: Arc<Mutex<Vec<Request>>>,
) {
    let mut pending = Vec::new();
    while let Some((head, length)) = head(&mut stream, &mut pending).await {
        let number = requests.lock().expect("lock").len() as u64 + 1;
        let now = mode.lock().expect("lock").clone();
        if matches!(now, Http::Resets(nth) if number.is_multiple_of(nth)) {
            let request = Request { head, body: Vec::new(), taken: false };
            requests.lock().expect("lock").push(request);
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("linger");
            return;
        }
        while pending.len() < length {
            let mut buffer = [0; 8192];
            let Ok(count @ 1..) = stream.read(&mut buffer).await else { return };
            pending.extend_from_slice(&buffer[..count]);
        }
        let body: Vec<u8> = pending.drain(..length).collect();
        let (status, more, answer) = match &now {
            Http::Answer(status, more) => (*status, *more, Vec::new()),
            Http::EachNth(nth, status) if number.is_multiple_of(*nth) => (*status, "", Vec::new()),
            Http::Closes => (200, "Connection: close\r\n", Vec::new()),
            Http::Says(body) => (200, "", body.clone()),
            _ => (200, "", Vec::new()),
        };
        let taken = status == 200 && now != Http::Hangs;
        if taken && head.contains("application/logplex-1") {
            let mut rest = body.clone();
            frames(&mut rest, &mut got.lock().expect("lock"));
            assert!(rest.is_empty(), "half a frame in a request");
        }
        requests.lock().expect("lock").push(Request { head, body, taken });
        if now == Http::Hangs {
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        let text = format!("HTTP/1.1 {status} X\r\n{more}Content-Length: {}\r\n\r\n", answer.len());
        let answered = stream.write_all(&[text.into_bytes(), answer].concat()).await;
        if answered.is_err() || now == Http::Closes {
            return;
        }
    }
}

async fn head(stream: &mut TcpStream, pending: &mut Vec<u8>) -> Option<(String, usize)> {
    loop {
        if let Some(end) = pending.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(pending.drain(..end + 4).collect()).expect("text");
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length").then(|| value.parse().expect("it"))
            });
            return Some((head, length.expect("a length")));
        }
        let mut buffer = [0; 8192];
        let Ok(count @ 1..) = stream.read(&mut buffer).await else { return None };
        pending.extend_from_slice(&buffer[..count]);
    }
}
