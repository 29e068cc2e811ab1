//! Stopping: what is under way ends well, what idles is closed.

use std::time::{Duration, Instant};

use router::Drained;

use crate::rig::{Rig, get};

/// A router whose dyno answers slowly.
fn serving(pause: Duration) -> (Rig, crate::rig::Dyno) {
    Rig::serving(move |wire| {
        while wire.request().is_some() {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok");
            std::thread::sleep(pause);
            wire.send("ay");
        }
    })
}

#[test]
fn idle_connections_are_closed_at_once() {
    let (mut rig, _dyno) = serving(Duration::ZERO);
    let (mut used, mut unused) = (rig.client(), rig.client());
    used.send(get("/"));
    assert_eq!(used.reply().text(), "okay");
    let begun = Instant::now();
    assert_eq!(rig.shutdown(Duration::from_secs(5)), Drained::All);
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert!(used.is_over() && unused.is_over());
    assert!(std::net::TcpStream::connect(rig.addr).is_err(), "nobody listens any more");
    assert!(rig.log().contains(" status=200 "), "the last lines are not lost");
}

#[test]
fn a_request_under_way_ends_well_and_then_its_connection() {
    let (mut rig, _dyno) = serving(Duration::from_millis(200));
    let mut client = rig.client();
    client.send(get("/"));
    client.head().unwrap();
    assert_eq!(rig.shutdown(Duration::from_secs(5)), Drained::All);
    assert_eq!(client.rest(), b"okay");
}

#[test]
fn a_request_that_comes_while_draining_is_told_that_it_is_the_last() {
    let (mut rig, _dyno) = serving(Duration::from_millis(150));
    let mut client = rig.client();
    client.send(get("/") + &get("/"));
    client.head().unwrap();
    let stop = std::thread::spawn(move || rig.shutdown(Duration::from_secs(5)));
    assert_eq!(client.exactly(4), b"okay");
    let second = client.reply();
    assert_eq!((second.field("connection"), &*second.text()), (Some("close"), "okay"));
    assert!(client.is_over());
    assert_eq!(stop.join().unwrap(), Drained::All);
}

#[test]
fn the_deadline_cuts_what_does_not_end() {
    let (mut rig, _dyno) = serving(Duration::from_secs(3));
    let mut client = rig.client();
    client.send(get("/"));
    client.head().unwrap();
    let begun = Instant::now();
    assert_eq!(rig.shutdown(Duration::from_millis(100)), Drained::Cut);
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(client.rest(), b"ok");
    let line = rig.log();
    assert!(line.starts_with("at=error code=H24 desc=\"Forced close\" method=GET"), "{line}");
    assert!(line.contains(" status= bytes= "), "{line}");
}

#[test]
fn an_address_that_is_taken_is_refused_at_the_start() {
    let (rig, _dyno) = serving(Duration::ZERO);
    let (wake, _wakes) = tokio::sync::mpsc::channel(1);
    let (handover, _handovers) = tokio::sync::mpsc::channel(1);
    let (sink, _logs, _) = model::LogSink::channel(1);
    let listen = router::Listen { addr: rig.addr, tls: router::Tls::Off };
    let config = router::Config::new(vec![listen], wake.clone());
    let refused = router::start(config, router::Routes::new(), sink.clone(), handover.clone());
    assert_eq!(refused.unwrap_err().to_string(), format!("cannot listen on {}", rig.addr));
    let nowhere = router::Config::new(Vec::new(), wake);
    assert!(router::start(nowhere, router::Routes::new(), sink, handover).is_err());
}

/// A router that listens on these sockets, and serves with the same dyno.
fn on(sockets: Vec<std::net::TcpListener>, rig: &Rig, threads: usize) -> router::Running {
    let (wake, _wakes) = tokio::sync::mpsc::channel(1);
    let (handover, _handovers) = tokio::sync::mpsc::channel(1);
    let (sink, _logs, _) = model::LogSink::channel(1024);
    let listen = router::Listen { addr: rig.addr, tls: router::Tls::Off };
    let mut config = router::Config::new(vec![listen], wake);
    config.threads = threads.try_into().unwrap();
    router::start_on(sockets, config, rig.routes.clone(), sink, handover).unwrap()
}

#[test]
fn another_router_takes_the_sockets_over_and_nobody_is_refused() {
    let mut setup = crate::rig::Setup { threads: 2, ..Default::default() };
    setup.timeouts.farewell = Duration::from_secs(1);
    let (mut rig, _dyno) = Rig::serving_with(setup, |wire| {
        while let Some((head, _)) = wire.request() {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok");
            if head.starts_with("GET /slow ") {
                std::thread::sleep(Duration::from_millis(500));
            }
            wire.send("ay");
        }
    });
    let addr = rig.addr;
    let (mut slow, mut quiet, mut kept) = (rig.client(), rig.client(), rig.client());
    slow.send(get("/slow"));
    slow.head().unwrap();
    kept.send(get("/"));
    assert_eq!(kept.reply().text(), "okay");
    let sockets = rig.take_sockets();
    assert_eq!(sockets.len(), 2);
    // More threads than sockets: some are shared.
    let successor = on(sockets, &rig, 3);
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = stop.clone();
    let asking = std::thread::spawn(move || {
        let mut count = 0;
        while !stopped.load(std::sync::atomic::Ordering::SeqCst) {
            let stream = std::net::TcpStream::connect(addr).expect("nobody is refused");
            let mut client = crate::rig::Wire::new(stream);
            client.send(get("/"));
            assert_eq!(client.reply().text(), "okay");
            count += 1;
        }
        count
    });
    let old = std::thread::spawn(move || rig.shutdown(Duration::from_secs(5)));
    // What was connected before is served by the old one: the quiet ones for a last time.
    std::thread::sleep(Duration::from_millis(50));
    for client in [&mut quiet, &mut kept] {
        client.send(get("/"));
        let reply = client.reply();
        assert_eq!((&*reply.text(), reply.field("connection")), ("okay", Some("close")));
    }
    assert_eq!(slow.exactly(4), b"okay");
    assert_eq!(old.join().unwrap(), Drained::All);
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(asking.join().unwrap() > 10);
    drop(successor);
}
