//! Clients that dawdle: cut where they may be, and never in the way of others.

use std::time::{Duration, Instant};

use crate::rig::{HOST, Rig, Setup, get, timeouts};

fn serving(setup: Setup) -> (Rig, crate::rig::Dyno) {
    Rig::serving_with(setup, |wire| {
        while wire.request().is_some() {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    })
}

#[test]
fn a_head_that_comes_byte_by_byte_is_taken_if_it_ends_in_time() {
    let (rig, _dyno) = serving(Setup::default());
    let mut client = rig.client();
    for byte in get("/").bytes() {
        client.send([byte]);
    }
    assert_eq!(client.reply().text(), "ok");
}

#[test]
fn a_head_that_does_not_end_in_time_is_cut_however_it_trickles() {
    let (rig, dyno) = serving(Setup::default());
    let mut client = rig.client();
    let begun = Instant::now();
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n"));
    while client.try_send("a: b\r\n").is_ok() {
        assert!(begun.elapsed() < timeouts().request_head * 2, "it is cut");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(begun.elapsed() >= timeouts().request_head);
    assert_eq!(dyno.connections(), 0);
}

#[test]
fn hundreds_of_slow_clients_are_in_nobodys_way() {
    let timeouts = router::Timeouts { request_head: Duration::from_secs(20), ..timeouts() };
    let (rig, _dyno) = serving(Setup { timeouts, ..Setup::default() });
    let mut slow: Vec<_> = (0..300).map(|_| rig.client()).collect();
    for (client, number) in slow.iter_mut().zip(0..) {
        client.send(match number % 3 {
            0 => format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX: "),
            1 => format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 9\r\n\r\nx"),
            _ => String::new(),
        });
    }
    for _ in 0..50 {
        let begun = Instant::now();
        assert_eq!(rig.get("/").text(), "ok");
        assert!(begun.elapsed() < Duration::from_millis(500));
    }
}

#[test]
fn connections_beyond_the_limit_wait_until_others_end() {
    let limits = router::Limits { connections_per_thread: 2, ..router::Limits::default() };
    let (rig, _dyno) = serving(Setup { limits, ..Setup::default() });
    let (mut first, mut second) = (rig.client(), rig.client());
    for client in [&mut first, &mut second] {
        client.send(get("/"));
        assert_eq!(client.reply().text(), "ok");
    }
    let mut third = rig.client();
    third.send(get("/"));
    assert!(third.is_quiet_for(Duration::from_millis(80)));
    drop(first);
    assert_eq!(third.reply().text(), "ok");
}
