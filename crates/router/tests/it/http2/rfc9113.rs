//! The rules of RFC 9113 and RFC 7541 that a server has to keep, case by case, each on a connection
//! of its own that breaks one of them (or does not).

use std::time::Duration;

use router::Tls;

use super::frames::*;
use crate::rig::{HOST, Setup, Wire};
use crate::secure::Secure;

/// What a case has to lead to.
#[derive(Clone, Copy, Debug)]
enum Leads {
    /// The connection is over: GOAWAY with this code or the general one, which `h2` prefers, or an end
    /// without a word (RFC 9113, 5.4.1).
    Connection(u32),
    /// The same with any of these codes.
    ConnectionEither(u32, u32),
    /// The stream is over; others are not.
    Stream(u32),
    /// The stream or the connection is over, as the server likes.
    Either(u32),
    /// The stream is answered so.
    Answer(u16),
    /// The connection goes on.
    Alive,
}

struct Case {
    rule: &'static str,
    leads: Leads,
    act: fn(&mut Frames),
}

macro_rules! cases {
    ($($rule:literal => $leads:expr, $act:expr;)*) => {
        &[$(Case { rule: $rule, leads: $leads, act: $act }),*]
    };
}

use Leads::{Alive, Answer, Connection, ConnectionEither, Either, Stream};

const HEAD: u8 = END_HEADERS;
const WHOLE: u8 = END_HEADERS | END_STREAM;

/// The cases act on a connection on which settings have been exchanged; stream 1 is the one that is
/// looked at.
const CASES: &[Case] = cases! {
    "4.1 unknown frames are ignored" => Alive, |f| f.frame(0x16, 0xff, 0, *b"whatever");
    "4.1 unknown flags are ignored" => Alive, |f| f.frame(PING, 0xfe, 0, *b"12345678");
    "4.1 the reserved bit is ignored" => Alive, |f| f.frame(PING, 0, 1 << 31, *b"12345678");
    "4.2 a large frame is taken" => Answer(200), |f| {
        f.frame(HEADERS, HEAD, 1, get(&[]));
        f.frame(DATA, END_STREAM, 1, vec![b'x'; 16_384]);
    };
    "4.2 DATA beyond the maximum" => Connection(FRAME_SIZE_ERROR), |f| {
        f.frame(HEADERS, HEAD, 1, get(&[]));
        let _ = f.try_send(Frame::new(DATA, END_STREAM, 1, vec![b'x'; 16_385]).bytes());
    };
    "4.2 HEADERS beyond the maximum" => Connection(FRAME_SIZE_ERROR), |f| {
        let long = "x".repeat(16_385);
        let _ = f.try_send(Frame::new(HEADERS, WHOLE, 1, get(&[("x-long", &long)])).bytes());
    };
    "4.3 a field block that cannot be read" => Connection(COMPRESSION_ERROR), |f| {
        f.frame(HEADERS, WHOLE, 1, [0x40, 0x85, 0xf2]);
    };
    "4.3 a block is not interrupted by PRIORITY" => Connection(PROTOCOL_ERROR), |f| {
        f.frame(HEADERS, END_STREAM, 1, get(&[]));
        f.frame(PRIORITY, 0, 1, [0, 0, 0, 0, 15]);
    };
    "4.3 a block is not interrupted by another stream" => Connection(PROTOCOL_ERROR), |f| {
        f.frame(HEADERS, END_STREAM, 1, get(&[]));
        f.frame(HEADERS, WHOLE, 3, get(&[]));
    };
    "5.1 idle: DATA" => Connection(PROTOCOL_ERROR), |f| f.frame(DATA, END_STREAM, 1, *b"x");
    "5.1 idle: RST_STREAM" => Connection(PROTOCOL_ERROR), |f| f.frame(RST_STREAM, 0, 1, [0, 0, 0, 8]);
    "5.1 idle: WINDOW_UPDATE" => Connection(PROTOCOL_ERROR), |f| {
        f.frame(WINDOW_UPDATE, 0, 1, [0, 0, 0, 100]);
    };
    "5.1 idle: CONTINUATION" => Connection(PROTOCOL_ERROR), |f| {
        f.frame(CONTINUATION, END_HEADERS, 1, get(&[]));
    };
    "5.1 half-closed (remote): DATA" => Either(STREAM_CLOSED), |f| {
        f.frame(HEADERS, WHOLE, 1, block(&slow()));
        f.frame(DATA, END_STREAM, 1, *b"x");
    };
    "5.1 half-closed (remote): HEADERS" => Either(STREAM_CLOSED), |f| {
        f.frame(HEADERS, WHOLE, 1, block(&slow()));
        f.frame(HEADERS, WHOLE, 1, get(&[]));
    };
    "5.1 closed by RST_STREAM: DATA" => ConnectionEither(STREAM_CLOSED, PROTOCOL_ERROR), |f| {
        f.frame(HEADERS, HEAD, 1, get(&[]));
        f.frame(RST_STREAM, 0, 1, [0, 0, 0, 8]);
        f.frame(DATA, END_STREAM, 1, *b"x");
        // It may be ignored for a while; then the end has to come from us.
        f.frame(DATA, 0, 0, *b"x");
    };
    "5.1 closed: CONTINUATION" => ConnectionEither(STREAM_CLOSED, PROTOCOL_ERROR), |f| {
        f.ask(1);
        f.status(1);
        f.frame(CONTINUATION, END_HEADERS, 1, get(&[]));
    };
    "5.1.1 an even stream" => Connection(PROTOCOL_ERROR), |f| f.ask(2);
    "5.1.1 a stream below one that was used" => ConnectionEither(PROTOCOL_ERROR, STREAM_CLOSED), |f| {
        f.ask(5);
        f.ask(3);
    };
    "5.1.2 one stream too many" => Alive, |f| {
        for stream in 0..100 {
            f.frame(HEADERS, HEAD, 3 + 2 * stream, get(&[]));
        }
        f.frame(HEADERS, HEAD, 203, get(&[]));
        let refused = f.until(|frame| frame.kind == RST_STREAM).unwrap();
        assert_eq!((refused.stream, refused.number(0)), (203, REFUSED_STREAM));
    };
    "5.3.1 PRIORITY: a stream that depends on itself" => Alive, |f| {
        // RFC 9113 deprecates priorities; they are ignored.
        f.frame(PRIORITY, 0, 3, [0, 0, 0, 1, 15]);
    };
    "5.4.1 after GOAWAY nothing comes" => Connection(PROTOCOL_ERROR), |f| {
        f.frame(DATA, 0, 0, *b"x");
        let _ = f.try_send(Frame::new(PING, 0, 0, *b"12345678").bytes());
    };
    "5.5 an unknown setting is ignored" => Alive, |f| f.frame(SETTINGS, 0, 0, [0, 0xff, 0, 0, 0, 1]);
    "5.5 an unknown frame within a field block" => Connection(PROTOCOL_ERROR), |f| {
        f.frame(HEADERS, END_STREAM, 1, get(&[]));
        f.frame(0x16, 0, 1, *b"whatever");
    };
    "6.1 DATA on stream 0" => Connection(PROTOCOL_ERROR), |f| f.frame(DATA, 0, 0, *b"x");
    "6.1 DATA with too much padding" => Connection(PROTOCOL_ERROR), |f| {
        f.frame(HEADERS, HEAD, 1, get(&[]));
        f.frame(DATA, PADDED | END_STREAM, 1, [6, 0, 0, 0, 0, 0]);
    };
    "6.1 DATA with padding" => Answer(200), |f| {
        f.frame(HEADERS, HEAD, 1, get(&[]));
        f.frame(DATA, PADDED | END_STREAM, 1, [3, b'x', b'y', 0, 0, 0]);
    };
    "6.2 HEADERS on stream 0" => Connection(PROTOCOL_ERROR), |f| f.ask(0);
    "6.2 HEADERS with too much padding" => Connection(PROTOCOL_ERROR), |f| {
        let fields = get(&[]);
        let padding = u8::try_from(fields.len() + 1).unwrap();
        f.frame(HEADERS, WHOLE | PADDED, 1, [&[padding], &*fields].concat());
    };
    "6.2 HEADERS with padding and priority" => Answer(200), |f| {
        let fields = get(&[]);
        f.frame(HEADERS, WHOLE | PADDED | 0x20, 1, [&[2, 0, 0, 0, 0, 9], &*fields, &[0, 0]].concat());
    };
    "6.3 PRIORITY on stream 0" => Connection(PROTOCOL_ERROR), |f| f.frame(PRIORITY, 0, 0, [0, 0, 0, 3, 1]);
    "6.3 PRIORITY of a wrong length" => Either(FRAME_SIZE_ERROR), |f| {
        f.frame(HEADERS, HEAD, 1, get(&[]));
        f.frame(PRIORITY, 0, 1, [0, 0, 0, 3]);
    };
    "6.4 RST_STREAM on stream 0" => Connection(PROTOCOL_ERROR), |f| f.frame(RST_STREAM, 0, 0, [0, 0, 0, 8]);
    "6.4 RST_STREAM of a wrong length" => Connection(FRAME_SIZE_ERROR), |f| {
        f.frame(HEADERS, HEAD, 1, get(&[]));
        f.frame(RST_STREAM, 0, 1, [0, 0, 8]);
    };
    "6.5 SETTINGS with ACK and a payload" => Connection(FRAME_SIZE_ERROR), |f| {
        f.frame(SETTINGS, ACK, 0, [0, 3, 0, 0, 0, 1]);
    };
    "6.5 SETTINGS on a stream" => Connection(PROTOCOL_ERROR), |f| f.frame(SETTINGS, 0, 1, [0, 3, 0, 0, 0, 1]);
    "6.5 SETTINGS of a wrong length" => Connection(FRAME_SIZE_ERROR), |f| f.frame(SETTINGS, 0, 0, [0, 3, 0]);
    "6.5.2 ENABLE_PUSH of 2" => Connection(PROTOCOL_ERROR), |f| f.frame(SETTINGS, 0, 0, [0, 2, 0, 0, 0, 2]);
    "6.5.2 a window beyond 2^31-1" => Connection(FLOW_CONTROL_ERROR), |f| {
        f.frame(SETTINGS, 0, 0, [0, 4, 0x80, 0, 0, 0]);
    };
    "6.5.2 a frame size below 16384" => Connection(PROTOCOL_ERROR), |f| f.frame(SETTINGS, 0, 0, [0, 5, 0, 0, 0x3f, 0xff]);
    "6.5.2 a frame size beyond 16777215" => Connection(PROTOCOL_ERROR), |f| f.frame(SETTINGS, 0, 0, [0, 5, 1, 0, 0, 0]);
    "6.5.3 settings are acknowledged" => Alive, |f| {
        f.frame(SETTINGS, 0, 0, [0, 4, 0, 0, 0, 1]);
        f.until(|frame| frame.kind == SETTINGS && frame.flags == ACK).unwrap();
    };
    "6.6 PUSH_PROMISE of a client" => Connection(PROTOCOL_ERROR), |f| {
        f.frame(HEADERS, HEAD, 1, get(&[]));
        f.frame(PUSH_PROMISE, END_HEADERS, 1, [&[0, 0, 0, 2], &*get(&[])].concat());
    };
    "6.7 a ping comes back with its payload" => Alive, |f| {
        f.frame(PING, 0, 0, *b"h2\0\x01\x02\x03\xff?");
        let pong = f.until(|frame| frame.kind == PING).unwrap();
        assert_eq!((pong.flags, &*pong.payload), (ACK, &b"h2\0\x01\x02\x03\xff?"[..]));
    };
    "6.7 an acknowledged ping is not answered" => Alive, |f| {
        f.frame(PING, ACK, 0, *b"unasked!");
        f.frame(PING, 0, 0, *b"asked...");
        let pong = f.until(|frame| frame.kind == PING).unwrap();
        assert_eq!(&*pong.payload, b"asked...");
    };
    "6.7 PING on a stream" => Connection(PROTOCOL_ERROR), |f| f.frame(PING, 0, 1, *b"12345678");
    "6.7 PING of a wrong length" => Connection(FRAME_SIZE_ERROR), |f| f.frame(PING, 0, 0, *b"123456");
    "6.8 GOAWAY on a stream" => Connection(PROTOCOL_ERROR), |f| f.frame(GOAWAY, 0, 1, [0; 8]);
    "6.9 WINDOW_UPDATE of 0 on the connection" => Connection(PROTOCOL_ERROR), |f| f.frame(WINDOW_UPDATE, 0, 0, [0; 4]);
    "6.9 WINDOW_UPDATE of 0 on a stream" => Either(PROTOCOL_ERROR), |f| {
        f.frame(HEADERS, HEAD, 1, get(&[]));
        f.frame(WINDOW_UPDATE, 0, 1, [0; 4]);
    };
    "6.9 WINDOW_UPDATE of a wrong length" => Connection(FRAME_SIZE_ERROR), |f| f.frame(WINDOW_UPDATE, 0, 0, [0, 0, 1]);
    "6.9.1 a connection's window beyond 2^31-1" => Connection(FLOW_CONTROL_ERROR), |f| {
        f.frame(WINDOW_UPDATE, 0, 0, [0x7f, 0xff, 0xff, 0xff]);
        f.frame(WINDOW_UPDATE, 0, 0, [0x7f, 0xff, 0xff, 0xff]);
    };
    "6.9.1 a stream's window beyond 2^31-1" => Either(FLOW_CONTROL_ERROR), |f| {
        f.frame(HEADERS, HEAD, 1, get(&[]));
        f.frame(WINDOW_UPDATE, 0, 1, [0x7f, 0xff, 0xff, 0xff]);
        f.frame(WINDOW_UPDATE, 0, 1, [0x7f, 0xff, 0xff, 0xff]);
    };
    "6.9.1 no byte is sent beyond the window" => Alive, |f| {
        f.frame(SETTINGS, 0, 0, [0, 4, 0, 0, 0, 1]);
        f.until(|frame| frame.kind == SETTINGS && frame.flags == ACK).unwrap();
        f.ask(1);
        let data = f.until(|frame| frame.kind == DATA).unwrap();
        assert_eq!(data.payload.len(), 1);
        assert!(f.is_alive(), "and nothing more came before the ping");
        f.frame(WINDOW_UPDATE, 0, 1, [0, 0, 0, 1]);
        let data = f.until(|frame| frame.kind == DATA).unwrap();
        assert_eq!((data.payload.len(), data.flags), (1, END_STREAM));
    };
    "6.9.2 the window changes with the setting, even below zero" => Alive, |f| {
        f.frame(SETTINGS, 0, 0, [0, 4, 0, 0, 0, 1]);
        f.until(|frame| frame.kind == SETTINGS && frame.flags == ACK).unwrap();
        f.ask(1);
        f.until(|frame| frame.kind == DATA).unwrap();
        f.frame(SETTINGS, 0, 0, [0, 4, 0, 0, 0, 0]);
        f.frame(WINDOW_UPDATE, 0, 1, [0, 0, 0, 1]);
        assert!(f.is_alive(), "it is at zero now, and nothing comes");
        f.frame(WINDOW_UPDATE, 0, 1, [0, 0, 0, 1]);
        assert_eq!(f.until(|frame| frame.kind == DATA).unwrap().payload.len(), 1);
    };
    "6.9.2 a setting that makes a window overflow" => Connection(FLOW_CONTROL_ERROR), |f| {
        f.frame(HEADERS, HEAD, 1, get(&[]));
        f.frame(WINDOW_UPDATE, 0, 1, [0x7f, 0, 0, 0]);
        f.frame(SETTINGS, 0, 0, [0, 4, 0x7f, 0xff, 0xff, 0xff]);
    };
    "6.10 CONTINUATION ends a block" => Answer(200), |f| {
        let fields = get(&[]);
        f.frame(HEADERS, END_STREAM, 1, &fields[..10]);
        f.frame(CONTINUATION, 0, 1, &fields[10..20]);
        f.frame(CONTINUATION, END_HEADERS, 1, &fields[20..]);
    };
    "6.10 CONTINUATION after the end of a block" => Connection(PROTOCOL_ERROR), |f| {
        f.frame(HEADERS, HEAD, 1, get(&[]));
        f.frame(CONTINUATION, END_HEADERS, 1, block(&[("x", "y")]));
    };
    "6.10 CONTINUATION on stream 0" => Connection(PROTOCOL_ERROR), |f| {
        f.frame(HEADERS, END_STREAM, 1, get(&[]));
        f.frame(CONTINUATION, END_HEADERS, 0, block(&[("x", "y")]));
    };
    "6.10 DATA within a block" => Connection(PROTOCOL_ERROR), |f| {
        f.frame(HEADERS, 0, 1, get(&[]));
        f.frame(DATA, END_STREAM, 1, *b"x");
    };
    "8.1 a second block without END_STREAM" => Either(PROTOCOL_ERROR), |f| {
        f.frame(HEADERS, HEAD, 1, get(&[]));
        f.frame(HEADERS, HEAD, 1, block(&[("x", "y")]));
    };
    "8.1 a pseudo field among trailers goes nowhere" => Answer(200), |f| {
        f.frame(HEADERS, HEAD, 1, get(&[]));
        f.frame(DATA, 0, 1, *b"x");
        f.frame(HEADERS, WHOLE, 1, block(&[(":method", "GET")]));
    };
    "8.1.1 a length that is not the body's" => Either(PROTOCOL_ERROR), |f| {
        f.frame(HEADERS, HEAD, 1, fields("POST", &[("content-length", "2")]));
        f.frame(DATA, END_STREAM, 1, *b"x");
    };
    "8.1.1 a length that is not the frames' sum" => Either(PROTOCOL_ERROR), |f| {
        f.frame(HEADERS, HEAD, 1, fields("POST", &[("content-length", "1")]));
        f.frame(DATA, 0, 1, *b"x");
        f.frame(DATA, END_STREAM, 1, *b"x");
    };
    "8.1.1 a length and no body" => Either(PROTOCOL_ERROR), |f| {
        f.frame(HEADERS, WHOLE, 1, fields("POST", &[("content-length", "1")]));
    };
    "8.1.1 two lengths" => Either(PROTOCOL_ERROR), |f| {
        let lengths = [("content-length", "1"), ("content-length", "2")];
        f.frame(HEADERS, HEAD, 1, fields("POST", &lengths));
        let _ = f.try_send(Frame::new(DATA, END_STREAM, 1, *b"x").bytes());
    };
    "8.2 a name in capitals" => Either(PROTOCOL_ERROR), |f| f.frame(HEADERS, WHOLE, 1, get(&[("X-Test", "y")]));
    "8.2.1 a name with a blank" => Either(PROTOCOL_ERROR), |f| f.frame(HEADERS, WHOLE, 1, get(&[("x test", "y")]));
    "8.2.1 a name with a colon" => Either(PROTOCOL_ERROR), |f| f.frame(HEADERS, WHOLE, 1, get(&[("x:test", "y")]));
    "8.2.1 a value with a line end" => Either(PROTOCOL_ERROR), |f| f.frame(HEADERS, WHOLE, 1, get(&[("x", "y\r\nz: 1")]));
    "8.2.1 a value with a NUL" => Either(PROTOCOL_ERROR), |f| f.frame(HEADERS, WHOLE, 1, get(&[("x", "y\0z")]));
    "8.2.2 Connection" => Stream(PROTOCOL_ERROR), |f| f.frame(HEADERS, WHOLE, 1, get(&[("connection", "keep-alive")]));
    "8.2.2 Keep-Alive" => Stream(PROTOCOL_ERROR), |f| f.frame(HEADERS, WHOLE, 1, get(&[("keep-alive", "timeout=5")]));
    "8.2.2 Proxy-Connection" => Stream(PROTOCOL_ERROR), |f| f.frame(HEADERS, WHOLE, 1, get(&[("proxy-connection", "close")]));
    "8.2.2 Transfer-Encoding" => Stream(PROTOCOL_ERROR), |f| f.frame(HEADERS, HEAD, 1, get(&[("transfer-encoding", "chunked")]));
    "8.2.2 Upgrade" => Stream(PROTOCOL_ERROR), |f| f.frame(HEADERS, WHOLE, 1, get(&[("upgrade", "websocket")]));
    "8.2.2 TE of anything but trailers" => Stream(PROTOCOL_ERROR), |f| f.frame(HEADERS, WHOLE, 1, get(&[("te", "gzip")]));
    "8.2.2 TE of trailers" => Answer(200), |f| f.frame(HEADERS, WHOLE, 1, get(&[("te", "trailers")]));
    "8.3 an unknown pseudo field" => Either(PROTOCOL_ERROR), |f| f.frame(HEADERS, WHOLE, 1, block(&[(":odd", "1")]));
    "8.3 a pseudo field of a response" => Stream(PROTOCOL_ERROR), |f| f.frame(HEADERS, WHOLE, 1, get(&[(":status", "200")]));
    "8.3 a pseudo field after others" => Stream(PROTOCOL_ERROR), |f| {
        let late = [(":method", "GET"), (":scheme", "https"), ("x", "y"), (":path", "/")];
        f.frame(HEADERS, WHOLE, 1, block(&late));
    };
    "8.3.1 no :method" => Stream(PROTOCOL_ERROR), |f| without(f, ":method");
    "8.3.1 no :scheme" => Stream(PROTOCOL_ERROR), |f| without(f, ":scheme");
    "8.3.1 no :path" => Either(PROTOCOL_ERROR), |f| without(f, ":path");
    "8.3.1 no :authority and no Host" => Answer(400), |f| without(f, ":authority");
    "8.3.1 an empty :path" => Stream(PROTOCOL_ERROR), |f| {
        let empty = [(":method", "GET"), (":scheme", "https"), (":authority", HOST), (":path", "")];
        f.frame(HEADERS, WHOLE, 1, block(&empty));
    };
    "8.3.1 a :path with a blank" => Either(PROTOCOL_ERROR), |f| {
        let odd = [(":method", "GET"), (":scheme", "https"), (":authority", HOST), (":path", "/a b")];
        f.frame(HEADERS, WHOLE, 1, block(&odd));
    };
    "8.3.1 a :path that is no path" => Either(PROTOCOL_ERROR), |f| {
        let odd = [(":method", "GET"), (":scheme", "https"), (":authority", HOST), (":path", "a")];
        f.frame(HEADERS, WHOLE, 1, block(&odd));
    };
    "8.3.1 two of :path" => Stream(PROTOCOL_ERROR), |f| f.frame(HEADERS, WHOLE, 1, get(&[(":path", "/b")]));
    "8.3.1 two of :method" => Stream(PROTOCOL_ERROR), |f| f.frame(HEADERS, WHOLE, 1, get(&[(":method", "PUT")]));
    "8.3.1 Host says something else" => Answer(400), |f| f.frame(HEADERS, WHOLE, 1, get(&[("host", "other.example.com")]));
    "8.3.1 a user in :authority" => Answer(400), |f| {
        let user = [(":method", "GET"), (":scheme", "https"), (":authority", "u@demo.example.com")];
        f.frame(HEADERS, WHOLE, 1, block(&[&user[..], &[(":path", "/")]].concat()));
    };
    "8.5 CONNECT" => Answer(400), |f| {
        f.frame(HEADERS, WHOLE, 1, block(&[(":method", "CONNECT"), (":authority", HOST)]));
    };
    "8.7 a refused stream may be asked for again" => Answer(200), |f| f.ask(1);
    "HPACK 2.3.3 an index beyond the table" => Connection(COMPRESSION_ERROR), |f| {
        f.frame(HEADERS, WHOLE, 1, [&*get(&[]), &[0xff, 0x00]].concat());
    };
    "HPACK 4.2 a table size beyond the setting" => Connection(COMPRESSION_ERROR), |f| {
        f.frame(HEADERS, WHOLE, 1, [&[0x3f, 0xe2, 0x1f, 0x3f, 0xff, 0xff, 0x7f], &*get(&[])].concat());
    };
    "HPACK 4.2 a table size after a field" => Connection(COMPRESSION_ERROR), |f| {
        f.frame(HEADERS, WHOLE, 1, [&*get(&[]), &[0x20]].concat());
    };
    "HPACK 5.2 padding of a Huffman code longer than 7 bits" => Connection(COMPRESSION_ERROR), |f| {
        f.frame(HEADERS, WHOLE, 1, [&*get(&[]), &[0, 0x85, 0xf2, 0xb2, 0x4a, 0x84, 0xff, 0x84, 0x49, 0x50, 0x9f, 0xff]].concat());
    };
    "HPACK 5.2 padding of a Huffman code with zeros" => Connection(COMPRESSION_ERROR), |f| {
        f.frame(HEADERS, WHOLE, 1, [&*get(&[]), &[0, 0x85, 0xf2, 0xb2, 0x4a, 0x84, 0xff, 0x83, 0x49, 0x50, 0x90]].concat());
    };
    "HPACK 6.1 index 0" => Connection(COMPRESSION_ERROR), |f| {
        f.frame(HEADERS, WHOLE, 1, [&*get(&[]), &[0x80]].concat());
    };
};

/// A request that is answered after a while.
fn slow() -> [(&'static str, &'static str); 4] {
    [(":method", "GET"), (":scheme", "https"), (":authority", HOST), (":path", "/slow")]
}

/// Sends a usual request that lacks a field.
fn without(frames: &mut Frames, name: &str) {
    let usual = [(":method", "GET"), (":scheme", "https"), (":authority", HOST), (":path", "/")];
    let rest: Vec<_> = usual.into_iter().filter(|(told, _)| *told != name).collect();
    frames.frame(HEADERS, WHOLE, 1, block(&rest));
}

fn dyno(wire: &mut Wire) {
    while let Some((head, _)) = wire.request() {
        if head.starts_with("GET /slow") {
            std::thread::sleep(Duration::from_millis(100));
        }
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
}

/// What really came of it.
fn judge(frames: &mut Frames, leads: Leads) -> Result<(), String> {
    let (connection, stream) = match leads {
        Connection(code) => (vec![code, PROTOCOL_ERROR], vec![]),
        ConnectionEither(one, other) => (vec![one, other], vec![]),
        Stream(code) => (vec![], vec![code]),
        Either(code) => (vec![code, STREAM_CLOSED, PROTOCOL_ERROR], vec![code, STREAM_CLOSED]),
        Answer(status) => {
            let told = frames.status(1);
            return if told == Some(status) { Ok(()) } else { Err(format!("answered {told:?}")) };
        }
        Alive => return frames.is_alive().then_some(()).ok_or("it is over".to_owned()),
    };
    loop {
        match frames.next() {
            None if !connection.is_empty() => return Ok(()),
            None => return Err("the connection is over".to_owned()),
            Some(frame) if frame.kind == GOAWAY => {
                let code = frame.number(4);
                let good = connection.contains(&code);
                return if good { Ok(()) } else { Err(format!("GOAWAY with {code}")) };
            }
            Some(frame) if frame.kind == RST_STREAM && frame.stream == 1 && !stream.is_empty() => {
                let code = frame.number(0);
                let good = stream.contains(&code) && frames.is_alive();
                return if good { Ok(()) } else { Err(format!("RST_STREAM with {code}")) };
            }
            Some(frame) if frame.kind == HEADERS && matches!(leads, Stream(_)) => {
                return Err("it is answered".to_owned());
            }
            Some(_) => {}
        }
    }
}

#[test]
fn every_rule_is_kept() {
    let secure = Secure::serving(Tls::Sniffed, Setup::default(), dyno);
    let mut wrong = Vec::new();
    for case in CASES {
        let mut frames = Frames::new(&secure);
        frames.patience(Duration::from_secs(3));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            (case.act)(&mut frames);
            judge(&mut frames, case.leads)
        }));
        match result {
            Ok(Ok(())) => {}
            Ok(Err(really)) => wrong.push(format!("{}: {really}, not {:?}", case.rule, case.leads)),
            Err(_) => {
                wrong.push(format!("{}: it stalls, or a claim within it is wrong", case.rule))
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
}

#[test]
fn rule_3_4_the_preface_comes_first() {
    let secure = Secure::serving(Tls::Sniffed, Setup::default(), dyno);
    for odd in
        ["GET / HTTP/1.1\r\nHost: demo.example.com\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"]
    {
        let mut frames = Frames::silent(&secure);
        frames.send(odd);
        let code = frames.goodbye();
        assert!(matches!(code, None | Some(PROTOCOL_ERROR)), "{odd:?}: {code:?}");
    }
    let mut frames = Frames::silent(&secure);
    frames.send(PREFACE);
    frames.frame(PING, 0, 0, *b"too soon");
    assert!(matches!(frames.goodbye(), None | Some(PROTOCOL_ERROR)));
}

#[test]
fn rule_3_4_the_servers_settings_come_first_and_say_its_limits() {
    let secure = Secure::serving(Tls::Sniffed, Setup::default(), dyno);
    let mut frames = Frames::silent(&secure);
    frames.send(PREFACE);
    frames.frame(SETTINGS, 0, 0, []);
    let settings = frames.next().unwrap();
    assert_eq!((settings.kind, settings.flags, settings.stream), (SETTINGS, 0, 0));
    let told = |name: u16| {
        let mut all = settings.payload.chunks(6);
        let found = all.find(|setting| setting[..2] == name.to_be_bytes());
        found.map(|setting| u32::from_be_bytes(setting[2..].try_into().unwrap()))
    };
    assert_eq!(told(3), Some(100), "MAX_CONCURRENT_STREAMS");
    assert_eq!(told(6), Some(32 * 1024), "MAX_HEADER_LIST_SIZE");
}
