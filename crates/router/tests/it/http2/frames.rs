//! A client of HTTP/2 that writes its frames by hand, so that it can break every rule.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use crate::rig::HOST;
use crate::secure::{Secure, Session, session};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;

pub const PROTOCOL_ERROR: u32 = 1;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const STREAM_CLOSED: u32 = 5;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const REFUSED_STREAM: u32 = 7;
pub const COMPRESSION_ERROR: u32 = 9;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, flags, stream, payload: payload.into() }
    }

    /// Its bytes, telling `length` instead of its own.
    pub fn lying(&self, length: usize) -> Vec<u8> {
        let mut bytes = u32::try_from(length).unwrap().to_be_bytes()[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.lying(self.payload.len())
    }

    /// The four bytes at `at`: an error code, or a stream.
    pub fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// A field block: no name is indexed, nothing is Huffman coded.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            integer(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// An integer with a prefix of seven bits (RFC 7541, 5.1).
pub fn integer(block: &mut Vec<u8>, number: usize) {
    if number < 127 {
        block.push(u8::try_from(number).unwrap());
        return;
    }
    block.push(127);
    let mut rest = number - 127;
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}

/// The fields of a usual GET, and more.
pub fn get(more: &[(&str, &str)]) -> Vec<u8> {
    fields("GET", more)
}

/// The fields of a usual request, and more.
pub fn fields(method: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let usual = [(":method", method), (":scheme", "https"), (":authority", HOST), (":path", "/")];
    block(&[&usual, more].concat())
}

/// One connection.
pub struct Frames {
    pub tls: Session,
    read: Vec<u8>,
}

impl Frames {
    /// A connection on which nothing has been said yet.
    pub fn silent(secure: &Secure) -> Self {
        Self { tls: session(secure.rig.addr, &secure.client2, HOST), read: Vec::new() }
    }

    /// A connection on which both have said their settings.
    pub fn new(secure: &Secure) -> Self {
        Self::with_settings(secure, &[])
    }

    /// The same, with settings of ours.
    pub fn with_settings(secure: &Secure, settings: &[(u16, u32)]) -> Self {
        let mut frames = Self::silent(secure);
        frames.send(PREFACE);
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        frames.frame(SETTINGS, 0, 0, payload);
        assert_eq!(frames.next().unwrap().kind, SETTINGS);
        frames.frame(SETTINGS, ACK, 0, []);
        frames.until(|frame| frame.kind == SETTINGS && frame.flags == ACK).unwrap();
        frames
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap();
    }

    /// Writes, unless the other end has gone.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.tls.write_all(bytes.as_ref())?;
        self.tls.flush()
    }

    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) {
        self.send(Frame::new(kind, flags, stream, payload).bytes());
    }

    /// A request without a body.
    pub fn ask(&mut self, stream: u32) {
        self.frame(HEADERS, END_HEADERS | END_STREAM, stream, get(&[]));
    }

    /// The next frame; `None` once the connection is over.
    pub fn next(&mut self) -> Option<Frame> {
        let head = self.take(9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
        let payload = self.take(length)?;
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The first frame that is `wanted`; others are passed over.
    pub fn until(&mut self, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.next()?;
            if wanted(&frame) {
                return Some(frame);
            }
        }
    }

    /// The code of the GOAWAY that ends the connection; `None` if it ends without one.
    pub fn goodbye(&mut self) -> Option<u32> {
        self.until(|frame| frame.kind == GOAWAY).map(|frame| frame.number(4))
    }

    /// Whether the connection still serves: a ping comes back.
    pub fn is_alive(&mut self) -> bool {
        let ping = Frame::new(PING, 0, 0, *b"alive?!?");
        self.try_send(ping.bytes()).is_ok()
            && self.until(|frame| frame.kind == PING && frame.payload == *b"alive?!?").is_some()
    }

    /// The status that a stream is answered with, if it is one that HPACK knows.
    pub fn status(&mut self, stream: u32) -> Option<u16> {
        let headers = self.until(|frame| frame.kind == HEADERS && frame.stream == stream)?;
        match headers.payload.first()? {
            0x88 => Some(200),
            0x89 => Some(204),
            0x8c => Some(400),
            0x8d => Some(404),
            _ => Some(0),
        }
    }

    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut some = [0; 16 * 1024];
        while self.read.len() < count {
            match self.tls.read(&mut some) {
                Ok(0) => return None,
                Ok(count) => self.read.extend(&some[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("nothing came"),
                Err(_) => return None,
            }
        }
        Some(self.read.drain(..count).collect())
    }

    /// Takes in what has come, without waiting; whether the connection is over.
    pub fn drain(&mut self) -> bool {
        let mut some = [0; 16 * 1024];
        self.tls.sock.set_nonblocking(true).unwrap();
        let over = loop {
            match self.tls.read(&mut some) {
                Ok(0) => break true,
                Ok(count) => self.read.extend(&some[..count]),
                Err(error) => break error.kind() != ErrorKind::WouldBlock,
            }
        };
        self.tls.sock.set_nonblocking(false).unwrap();
        over
    }

    /// Reads give up after so long.
    pub fn patience(&mut self, limit: Duration) {
        self.tls.sock.set_read_timeout(Some(limit)).unwrap();
    }
}
