//! Clients that keep the router busy for nothing, or hold what they do not use.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use router::{Limits, Timeouts, Tls};

use super::client::{self, Client};
use super::frames::*;
use crate::rig::{self, PATIENCE, Setup, Wire, wait_for};
use crate::secure::Secure;

fn ok(wire: &mut Wire) {
    while wire.request().is_some() {
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
}

fn serving() -> Secure {
    let timeouts = Timeouts { connect: PATIENCE, first_byte: PATIENCE, ..rig::timeouts() };
    Secure::serving(Tls::Sniffed, Setup { timeouts, ..Setup::default() }, ok)
}

/// Sends `flood` again and again until the router hangs up. Tells its last word (none, if the
/// connection went before that was read) and how many frames it has answered.
fn flooded(
    secure: &Secure,
    begin: fn(&mut Frames),
    flood: fn(u32) -> Vec<Frame>,
) -> (Option<u32>, usize) {
    let mut frames = Frames::new(secure);
    begin(&mut frames);
    let begun = Instant::now();
    for round in 0.. {
        assert!(begun.elapsed() < PATIENCE, "it is endured for ever");
        let burst: Vec<u8> = flood(round).iter().flat_map(Frame::bytes).collect();
        // What comes back is read, so that the router is never kept waiting.
        if frames.try_send(&burst).is_err() || frames.drain() {
            break;
        }
    }
    let (mut code, mut answered) = (None, 0);
    while let Some(frame) = frames.next() {
        answered += 1;
        if frame.kind == GOAWAY {
            code = Some(frame.number(4));
        }
    }
    (code, answered)
}

#[test]
fn every_flood_is_ended_and_nobody_else_notices() {
    let secure = serving();
    let mut neighbour = Client::new(&secure);
    let nothing = |_: &mut Frames| {};
    let open = |frames: &mut Frames| frames.frame(HEADERS, END_HEADERS, 1, get(&[]));
    type Begin = fn(&mut Frames);
    type Flood = fn(u32) -> Vec<Frame>;
    let floods: [(&str, Begin, Flood); 12] = [
        ("settings", nothing, |_| vec![Frame::new(SETTINGS, 0, 0, [0, 3, 0, 0, 0, 9]); 50]),
        ("empty settings", nothing, |_| vec![Frame::new(SETTINGS, 0, 0, []); 50]),
        ("pings", nothing, |_| vec![Frame::new(PING, 0, 0, *b"12345678"); 50]),
        ("acknowledged pings", nothing, |_| vec![Frame::new(PING, ACK, 0, *b"12345678"); 50]),
        ("priorities", nothing, |_| vec![Frame::new(PRIORITY, 0, 9, [0, 0, 0, 0, 1]); 50]),
        ("unknown frames", nothing, |_| vec![Frame::new(0x42, 0, 0, [0; 20]); 50]),
        ("window updates", nothing, |_| vec![Frame::new(WINDOW_UPDATE, 0, 0, [0, 0, 0, 1]); 50]),
        ("empty data", open, |_| vec![Frame::new(DATA, 0, 1, []); 50]),
        ("rapid resets", nothing, |round| {
            let streams = (0..25).map(|number| 1 + 2 * (25 * round + number));
            streams.flat_map(cancelled).collect()
        }),
        ("resets of our making", nothing, |round| {
            let streams = (0..25).map(|number| 1 + 2 * (25 * round + number));
            streams.flat_map(provoked).collect()
        }),
        (
            "a head in crumbs",
            |frames| frames.frame(HEADERS, 0, 1, get(&[])),
            |_| vec![Frame::new(CONTINUATION, 0, 1, []); 50],
        ),
        (
            "a head without end",
            |frames| frames.frame(HEADERS, 0, 1, get(&[])),
            |_| vec![Frame::new(CONTINUATION, 0, 1, block(&[("x-more", &"y".repeat(10_000))])); 5],
        ),
    ];
    for (name, begin, flood) in floods {
        let (code, answered) = flooded(&secure, begin, flood);
        assert!(
            matches!(code, None | Some(ENHANCE_YOUR_CALM | PROTOCOL_ERROR)),
            "{name}: {code:?}"
        );
        assert!(answered < 1500, "{name}: {answered} frames were answered");
        assert_eq!(neighbour.ask(client::get("/")).text(), "ok", "{name}");
    }
}

/// CVE-2023-44487: a request and its cancellation.
fn cancelled(stream: u32) -> [Frame; 2] {
    [
        Frame::new(HEADERS, END_HEADERS | END_STREAM, stream, get(&[])),
        Frame::new(RST_STREAM, 0, stream, [0, 0, 0, 8]),
    ]
}

/// CVE-2025-8671: a request, and an error that makes the server cancel it.
fn provoked(stream: u32) -> [Frame; 2] {
    [
        Frame::new(HEADERS, END_HEADERS | END_STREAM, stream, get(&[])),
        Frame::new(WINDOW_UPDATE, 0, stream, [0x7f, 0xff, 0xff, 0xff]),
    ]
}

#[test]
fn rapid_resets_reach_the_dyno_a_few_times_only() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let secure = Secure::serving(Tls::Sniffed, Setup::default(), move |wire| {
        while wire.request().is_some() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    for attack in [cancelled, provoked] {
        let mut frames = Frames::new(&secure);
        let burst: Vec<u8> =
            (0..2000).flat_map(|n| attack(1 + 2 * n)).flat_map(|frame| frame.bytes()).collect();
        let _ = frames.try_send(burst);
        let code = frames.goodbye();
        assert!(matches!(code, None | Some(ENHANCE_YOUR_CALM)), "{code:?}");
        let asked = asked.swap(0, Ordering::SeqCst);
        assert!(asked <= 300, "{asked} of 2000 requests reached the dyno");
    }
    let lines = std::iter::from_fn(|| secure.rig.log_within(Duration::from_millis(300)));
    assert!(lines.take(600).all(|line| line.contains(" code=H27 ")), "each is told as cancelled");
}

#[test]
fn a_field_bomb_is_refused_and_not_unpacked() {
    let secure = serving();
    // One field of 4000 bytes enters the table; each further byte repeats it: 4 MB in one frame.
    let mut bomb = get(&[]);
    bomb.extend([0x40, 1, b'x']);
    integer(&mut bomb, 4000);
    bomb.extend(vec![b'y'; 4000]);
    bomb.extend(vec![0xbe; 1000]);
    let mut frames = Frames::new(&secure);
    frames.frame(HEADERS, END_HEADERS | END_STREAM, 1, bomb.clone());
    let answer = frames.until(|frame| frame.stream == 1 || frame.kind == GOAWAY);
    let answer = answer.expect("an answer");
    assert!(matches!(answer.kind, HEADERS | RST_STREAM | GOAWAY), "{answer:?}");
    assert!(answer.kind != HEADERS || answer.payload[0] != 0x88, "not 200");
    // A head that is large but allowed passes.
    let mut frames = Frames::new(&secure);
    let value = "v".repeat(7000);
    frames.frame(HEADERS, END_HEADERS | END_STREAM, 1, get(&[("x-a", &value), ("x-b", &value)]));
    assert_eq!(frames.status(1), Some(200));
}

#[test]
fn whoever_opens_no_window_is_cut_in_time_and_holds_one_buffer() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let timeouts = Timeouts { idle: Duration::from_millis(800), ..rig::timeouts() };
    let limits = Limits { response_buffer: 64 * 1024, ..Limits::default() };
    let secure = Secure::serving(
        Tls::Sniffed,
        Setup { timeouts, limits, ..Setup::default() },
        move |wire| {
            wire.request().unwrap();
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
            let piece = vec![b'x'; 16 * 1024];
            while wire.try_send(&piece).is_ok() {
                count.fetch_add(piece.len(), Ordering::SeqCst);
            }
        },
    );
    // The window never opens, but pings show that somebody is there.
    let mut frames = Frames::with_settings(&secure, &[(4, 0)]);
    for stream in 0..10 {
        frames.ask(1 + 2 * stream);
    }
    let begun = Instant::now();
    for _ in 0..10 {
        let reset = loop {
            let _ = frames.try_send(Frame::new(PING, 0, 0, *b"still up").bytes());
            let frame = frames.next().expect("streams end, not the connection");
            assert_ne!(frame.kind, DATA);
            if frame.kind == RST_STREAM {
                break frame;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        assert!(reset.stream < 20);
        assert!(secure.rig.log().starts_with("at=warning code=H28 "));
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(frames.is_alive());
    let held = sent.load(Ordering::SeqCst);
    assert!(held < 10 * 8_000_000, "what sockets and one buffer each hold: {held}");
}

#[test]
fn a_client_that_never_reads_is_cut_in_time() {
    let secure = serving();
    let mut frames = Frames::new(&secure);
    // Pongs and answers pile up until the socket is full; then nothing more is taken.
    let burst: Vec<u8> = Frame::new(PING, 0, 0, *b"12345678").bytes().repeat(100);
    let begun = Instant::now();
    frames.tls.sock.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    while frames.try_send(&burst).is_ok() {
        assert!(begun.elapsed() < PATIENCE, "it is endured for ever");
    }
    assert_eq!(Client::new(&secure).ask(client::get("/")).text(), "ok");
}

#[test]
fn a_head_that_never_ends_is_cut_in_time() {
    let timeouts = Timeouts { client_keep_alive: Duration::from_millis(500), ..rig::timeouts() };
    let setup = Setup { timeouts, ..Setup::default() };
    let secure = Secure::serving(Tls::Sniffed, setup, ok);
    let mut frames = Frames::new(&secure);
    frames.frame(HEADERS, 0, 1, &get(&[])[..10]);
    let begun = Instant::now();
    frames.goodbye();
    while frames.next().is_some() {}
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    // The same with half a frame, and with half a preface.
    let mut frames = Frames::new(&secure);
    frames.send(&Frame::new(HEADERS, 0, 1, get(&[])).bytes()[..20]);
    while frames.next().is_some() {}
    let mut frames = Frames::silent(&secure);
    frames.send(&PREFACE[..10]);
    while frames.next().is_some() {}
}

#[test]
fn a_body_that_does_not_come_is_cut_in_time() {
    let secure = serving();
    let mut frames = Frames::new(&secure);
    for stream in 0..50 {
        frames.frame(
            HEADERS,
            END_HEADERS,
            1 + 2 * stream,
            fields("POST", &[("content-length", "9")]),
        );
    }
    for _ in 0..50 {
        assert!(frames.until(|frame| frame.kind == RST_STREAM).is_some());
        assert!(secure.rig.log().contains(" code=H28 "));
    }
    assert!(frames.is_alive());
}

#[test]
fn streams_of_all_connections_together_have_a_bound() {
    let limits = Limits { streams_per_thread: 150, ..Limits::default() };
    let timeouts = Timeouts { first_byte: PATIENCE, ..rig::timeouts() };
    let setup = Setup { limits, timeouts, ..Setup::default() };
    let secure = Secure::serving(Tls::Sniffed, setup, |wire| {
        wire.request();
        std::thread::sleep(Duration::from_millis(500));
        let _ = wire.try_send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let mut first = Frames::new(&secure);
    let mut second = Frames::new(&secure);
    for stream in 0..100 {
        first.ask(1 + 2 * stream);
    }
    assert!(first.is_alive());
    for stream in 0..51 {
        second.ask(1 + 2 * stream);
    }
    let refused = second.until(|frame| frame.kind == RST_STREAM).unwrap();
    assert_eq!(refused.number(0), REFUSED_STREAM);
    assert_eq!(first.status(199), Some(200));
    wait_for("the places are given back", || {
        Client::new(&secure).ask(client::get("/")).status == 200
    });
}

#[test]
fn whoever_never_stops_sending_is_cut_after_the_last_word() {
    let secure = serving();
    for over_http2 in [false, true] {
        let mut stream = if over_http2 { Frames::silent(&secure).tls } else { secure.stream() };
        let begun = Instant::now();
        stream.write_all(b"nonsense\r\n\r\n").unwrap();
        let waste = vec![b'x'; 16 * 1024];
        while stream.write_all(&waste).is_ok() {
            assert!(begun.elapsed() < PATIENCE, "for ever");
        }
    }
}

/// Bytes of memory that this process holds.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn stalled_windows_hold_a_bounded_memory_and_the_neighbour_is_served() {
    let timeouts = Timeouts { idle: PATIENCE, connect: PATIENCE, ..rig::timeouts() };
    let limits = Limits { in_flight_per_dyno: 1000, ..Limits::default() };
    let setup = Setup { timeouts, limits, ..Setup::default() };
    let secure = Secure::serving(Tls::Sniffed, setup, |wire| {
        while let Some((head, _)) = wire.request() {
            if head.starts_with("GET /well ") {
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                continue;
            }
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
            while wire.try_send([b'x'; 16 * 1024]).is_ok() {}
        }
    });
    let before = resident();
    // Each of 400 answers would be read a megabyte ahead, if there were no bound for all together.
    let mut stalled: Vec<Frames> = Vec::new();
    for _ in 0..4 {
        let mut frames = Frames::with_settings(&secure, &[(4, 0)]);
        for stream in 0..100 {
            frames.ask(1 + 2 * stream);
        }
        assert!(frames.is_alive());
        stalled.push(frames);
    }
    let mut neighbour = Client::new(&secure);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1500) {
        assert_eq!(neighbour.ask(client::get("/well")).text(), "ok");
    }
    let held = resident().saturating_sub(before);
    assert!(held < 200 << 20, "{} MiB for {} clients", held >> 20, stalled.len());
}
