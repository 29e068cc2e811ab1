//! TLS, told apart by the first byte, and what travels in it.

use std::io::{Read, Write};
use std::net::TcpStream;

use router::{Certificates, Handover, Tls};
use rustls::{ClientConnection, StreamOwned};

use crate::rig::{HOST, Setup, field, get};
use crate::secure::Secure;

/// A router whose dyno says in which scheme it was asked, and what else it was told.
fn secure(wrap: fn(Certificates) -> Tls) -> Secure {
    Secure::serving(wrap, Setup::default(), |wire| {
        while let Some((head, body)) = wire.request() {
            let proto = field(&head, "x-forwarded-proto").unwrap();
            let length = proto.len() + body.len();
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{proto}"));
            wire.send(body);
        }
    })
}

#[test]
fn one_port_speaks_both() {
    let secure = secure(Tls::Sniffed);
    let mut wire = secure.wire();
    for _ in 0..2 {
        wire.send(get("/"));
        assert_eq!(wire.reply().text(), "https");
        assert!(secure.rig.log().ends_with(" protocol=http1.1 tls=true tls_version=tls1.3"));
    }
    assert_eq!(secure.rig.get("/").text(), "http");
    assert!(secure.rig.log().ends_with(" tls=false tls_version=unknown"));
}

#[test]
fn a_port_for_tls_only_speaks_nothing_else() {
    let secure = secure(Tls::Required);
    let mut wire = secure.wire();
    wire.send(get("/"));
    assert_eq!(wire.reply().text(), "https");
    let mut plain = secure.rig.client();
    plain.send(get("/"));
    assert!(!plain.rest().starts_with(b"HTTP/"));
}

#[test]
fn large_bodies_pass_through_tls() {
    let secure = secure(Tls::Sniffed);
    let mut wire = secure.wire();
    // The answer begins when the whole request is there, so neither side waits for the other.
    let body = vec![b'b'; 1_000_000];
    wire.send(format!("PUT / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n", body.len()));
    wire.send(&body);
    let reply = wire.reply();
    assert!(reply.body[5..] == body, "all of it, unchanged");
}

#[test]
fn the_end_is_said_in_tls() {
    let secure = secure(Tls::Sniffed);
    let mut wire = secure.wire();
    wire.send(get("/").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
    wire.reply();
    // rustls reports an end without close_notify as an error, which would panic here.
    let mut stream = secure.stream();
    stream
        .write_all(get("/").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert!(all.ends_with(b"https"));
}

#[test]
fn a_secret_is_a_rendezvous_with_and_without_line_end() {
    let secure = secure(Tls::Sniffed);
    let text = format!("rv.{}", "0123456789abcdef0123".repeat(2));
    for end in ["", "\r\n"] {
        let mut wire = secure.wire();
        wire.send(format!("{text}{end}"));
        let (secret, mut far) = secure.rendezvous();
        assert_eq!(secret, text);
        far.write_all(b"rendezvous\r\n").unwrap();
        assert_eq!(wire.exactly(12), b"rendezvous\r\n");
        wire.send("ls\r");
        let mut typed = [0; 3];
        far.read_exact(&mut typed).unwrap();
        assert_eq!(&typed, b"ls\r", "nothing of the secret is left");
        drop(far);
        assert!(wire.is_over());
    }
}

#[test]
fn a_secret_cut_in_pieces_is_one_too() {
    let secure = secure(Tls::Sniffed);
    let text = format!("rv.{}", "ab".repeat(20));
    let mut wire = secure.wire();
    for piece in text.as_bytes().chunks(7) {
        wire.send(piece);
    }
    assert_eq!(secure.rendezvous().0, text);
}

#[test]
fn what_only_looks_like_a_secret_is_not() {
    let secure = secure(Tls::Sniffed);
    for odd in
        [format!("rv.{}\r\n\r\n", "AB".repeat(20)), format!("rv.{}\r\n\r\n", "ab".repeat(19))]
    {
        let mut wire = secure.wire();
        wire.send(&odd);
        assert_eq!(wire.reply().status, 400, "{odd}");
    }
    let mut wire = secure.wire();
    wire.send(get("/"));
    wire.reply();
    wire.send(format!("rv.{}\r\n\r\n", "ab".repeat(20)));
    assert_eq!(wire.reply().status, 400, "only at the start of a connection");
}

/// Reads TLS records off the wire, telling their lengths, while the session decrypts them.
struct Records(TcpStream, Vec<usize>, usize);

impl Read for Records {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        // One record per read: five bytes of header tell its length.
        if self.2 == 0 {
            let mut header = [0; 5];
            let mut seen = 0;
            while seen < 5 {
                seen = self.0.peek(&mut header)?;
                if seen == 0 {
                    return Ok(0);
                }
            }
            self.2 = 5 + usize::from(u16::from_be_bytes([header[3], header[4]]));
            self.1.push(self.2);
        }
        let want = self.2.min(buf.len());
        let count = self.0.read(&mut buf[..want])?;
        self.2 -= count;
        Ok(count)
    }
}

#[test]
fn each_write_of_a_dyno_is_one_tls_record_at_once() {
    let secure = secure(Tls::Sniffed);
    let stream = secure.stream();
    let StreamOwned { mut conn, mut sock } = stream;
    conn.complete_io(&mut sock).unwrap();
    let text = format!("rv.{}", "ab".repeat(20));
    conn.writer().write_all(text.as_bytes()).unwrap();
    conn.write_tls(&mut sock).unwrap();
    let (_, mut far) = secure.rendezvous();
    let mut records = Records(sock, Vec::new(), 0);
    let read = |records: &mut Records, conn: &mut ClientConnection, count: usize| {
        let (mut plain, before) = (vec![0; count], records.1.len());
        let mut got = 0;
        while got < count {
            conn.read_tls(records).unwrap();
            conn.process_new_packets().unwrap();
            match conn.reader().read(&mut plain[got..]) {
                Ok(more) => got += more,
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
            }
        }
        records.1.len() - before
    };
    // Session tickets come first, in records of their own.
    far.write_all(b"$ ").unwrap();
    assert!(read(&mut records, &mut conn, 2) >= 1);
    for size in [1, 100, 16 * 1024] {
        far.write_all(&vec![b'x'; size]).unwrap();
        assert_eq!(read(&mut records, &mut conn, size), 1, "{size} bytes");
    }
}

#[test]
fn a_platform_host_inside_tls_is_handed_over_in_clear() {
    let secure = secure(Tls::Sniffed);
    let mut wire = secure.wire();
    let ask = "GET /apps HTTP/1.1\r\nHost: api.example.com\r\n\r\n";
    wire.send(ask);
    let handover = secure.rig.handovers.lock().unwrap().blocking_recv().unwrap();
    let Handover::Http { mut stream, tls, .. } = handover else { panic!("HTTP") };
    assert!(tls);
    stream.set_nonblocking(false).unwrap();
    let mut got = vec![0; ask.len()];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(got, ask.as_bytes());
    stream.write_all(b"HTTP/1.1 204 No\r\n\r\n").unwrap();
    assert_eq!(wire.bodiless_reply().status, 204);
    wire.finish();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
    stream.write_all(b"after the half-close").unwrap();
    assert_eq!(wire.exactly(20), b"after the half-close");
}

#[test]
fn a_handshake_that_stalls_is_cut() {
    let secure = secure(Tls::Sniffed);
    let mut client = secure.rig.client();
    client.send([0x16, 3, 1]);
    assert!(client.is_over());
}
