//! Connections that are the platform's: handed over and copied.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use router::Handover;

use crate::rig::{Dyno, PATIENCE, Rig, Setup, get};

const ASK: &str =
    "GET /apps HTTP/1.1\r\nHost: API.example.com:8080\r\nX-Odd:   kept  as is\r\n\r\n";

fn taken(rig: &Rig) -> UnixStream {
    match rig.handovers.lock().unwrap().blocking_recv().unwrap() {
        Handover::Http { stream, peer, tls } => {
            assert!(peer.ip().is_loopback() && !tls);
            stream.set_nonblocking(false).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream
        }
        Handover::Rendezvous { .. } => panic!("no rendezvous"),
    }
}

fn exactly(stream: &mut UnixStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

fn rig() -> Rig {
    let rig = Rig::new();
    rig.publish(model::routes::WebState::Crashed, &[]);
    rig
}

#[test]
fn a_platform_host_gets_the_connection_byte_for_byte() {
    let rig = rig();
    let mut client = rig.client();
    client.send(format!("{ASK}more"));
    let mut platform = taken(&rig);
    assert_eq!(exactly(&mut platform, ASK.len() + 4), format!("{ASK}more").as_bytes());
    platform.write_all(b"anything at all").unwrap();
    assert_eq!(client.exactly(15), b"anything at all");
    // Also what would be another app's request.
    client.send(get("/"));
    assert_eq!(exactly(&mut platform, get("/").len()), get("/").as_bytes());
    assert_eq!(rig.log_within(Duration::from_millis(30)), None);
}

#[test]
fn a_connection_that_served_an_app_can_be_handed_over_later() {
    let (rig, dyno) = (Rig::new(), Dyno::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    rig.publish(model::routes::WebState::Up, &[dyno.backend("web.1")]);
    let mut client = rig.client();
    client.send(get("/"));
    assert_eq!(client.reply().status, 200);
    client.send(ASK);
    assert_eq!(exactly(&mut taken(&rig), ASK.len()), ASK.as_bytes());
}

#[test]
fn half_closes_pass_in_both_directions() {
    let rig = rig();
    let mut client = rig.client();
    client.send(ASK);
    client.finish();
    let mut platform = taken(&rig);
    let mut all = Vec::new();
    platform.read_to_end(&mut all).unwrap();
    assert_eq!(all, ASK.as_bytes());
    platform.write_all(b"still here").unwrap();
    platform.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.rest(), b"still here");

    let mut client = rig.client();
    client.send(ASK);
    let mut platform = taken(&rig);
    exactly(&mut platform, ASK.len());
    platform.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(client.is_over());
    client.send("late");
    assert_eq!(exactly(&mut platform, 4), b"late");
}

#[test]
fn silence_does_not_end_it() {
    let rig = rig();
    let mut client = rig.client();
    client.send(ASK);
    let mut platform = taken(&rig);
    exactly(&mut platform, ASK.len());
    assert!(client.is_quiet_for(crate::rig::timeouts().idle * 2));
    platform.write_all(b"x").unwrap();
    assert_eq!(client.exactly(1), b"x");
}

#[test]
fn a_client_that_never_leaves_is_left_when_the_platform_has_gone() {
    let rig = rig();
    let mut client = rig.client();
    client.send(ASK);
    drop(taken(&rig));
    assert!(client.is_over());
    crate::rig::wait_for("the router to hang up", || client.try_send("x").is_err());
}

#[test]
fn large_streams_pass_and_are_not_piled_up() {
    let rig = rig();
    let mut client = rig.client();
    client.send(ASK);
    let mut platform = taken(&rig);
    exactly(&mut platform, ASK.len());
    let writer = std::thread::spawn(move || {
        for _ in 0..300 {
            platform.write_all(&[b'p'; 10_000]).unwrap();
        }
    });
    assert_eq!(client.rest().len(), 3_000_000);
    writer.join().unwrap();
}

#[test]
fn too_many_at_once_get_503() {
    let rig = Rig::with(Setup { handovers: 1, ..Setup::default() });
    rig.publish(model::routes::WebState::Crashed, &[]);
    let mut first = rig.client();
    first.send(ASK);
    crate::rig::wait_for("the first", || !rig.handovers.lock().unwrap().is_empty());
    let mut second = rig.client();
    second.send(ASK);
    let reply = second.reply();
    assert_eq!((reply.status, reply.field("connection")), (503, Some("close")));
    drop(taken(&rig));
}

#[test]
fn a_secret_without_tls_is_no_rendezvous() {
    let rig = rig();
    let mut client = rig.client();
    client.send(format!("rv.{}\r\n\r\n", "0".repeat(40)));
    assert_eq!(client.reply().status, 400);
}

#[test]
fn an_answer_given_before_the_upload_ends_reaches_the_client() {
    let rig = rig();
    for _ in 0..5 {
        let mut client = rig.client();
        client.send("POST /x HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 3000000\r\n\r\n");
        let platform = std::thread::spawn({
            let mut platform = taken(&rig);
            move || {
                exactly(&mut platform, 1000);
                platform
                    .write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!")
                    .unwrap();
            }
        });
        // All of it is taken, although nobody reads it any more.
        for _ in 0..300 {
            client.send([b'x'; 10_000]);
        }
        platform.join().unwrap();
        let reply = client.reply();
        assert_eq!((reply.status, &*reply.text()), (413, "no!"));
        assert!(client.is_over());
    }
}
