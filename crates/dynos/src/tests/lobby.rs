//! Clients whose one-offs wait for memory; what a new server says of a dyno that it finds stopping.

use std::time::Duration;

use model::dyno::{DynoKind, Terminal};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

use super::app::SECRET;
use super::bed::Bed;

const PTY: Terminal = Terminal::Pty { columns: 80, rows: 24 };

/// A machine that is full with two web dynos.
async fn full() -> Bed {
    let bed = Bed::with(|config| config.limits.memory.total_bytes = 1 << 30).await;
    bed.scale(&[("web", 2, "serve")]).await;
    bed.deploy(&[]).await;
    bed.settled().await;
    bed
}

/// A client that reads until it has seen this.
async fn hears(client: &mut UnixStream, wanted: &str) {
    let (mut heard, mut buffer) = (Vec::new(), [0; 1024]);
    while !String::from_utf8_lossy(&heard).contains(wanted) {
        let length = client.read(&mut buffer).await.expect("something");
        assert!(length > 0, "only {:?}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&buffer[..length]);
    }
}

#[tokio::test]
async fn a_one_off_that_waits_for_memory_is_listed_and_its_client_told_until_there_is_room() {
    let bed = full().await;
    let once = bed.one_off(DynoKind::Run, "exit 3", PTY).await;
    let listed = ["run.4821 starting v1", "web.1 up v1", "web.2 up v1"];
    bed.wait("the list", async |bed| bed.ps().await == listed).await;
    let (mut client, server) = UnixStream::pair().expect("a pair");
    bed.dynos().attach(SECRET, server).await;
    hears(&mut client, "rendezvous\r\n").await;
    hears(&mut client, "Waiting for memory: 512M needed, 0M free on this server\r\n").await;
    assert_eq!(bed.sim.launches().len(), 2);
    bed.scale(&[("web", 1, "serve")]).await;
    hears(&mut client, "goodbye\n").await;
    assert_eq!(bed.dynos().wait_exit(once).await.expect("an exit").status, 3);
}

#[tokio::test]
async fn what_is_no_terminal_gets_no_words_that_are_not_its_programs() {
    let bed = full().await;
    let _once = bed.one_off(DynoKind::Run, "exit 0", Terminal::Pipes).await;
    let (mut client, server) = UnixStream::pair().expect("a pair");
    bed.dynos().attach(SECRET, server).await;
    hears(&mut client, "rendezvous\r\n").await;
    let mut nothing = [0; 1];
    let silence = tokio::time::timeout(Duration::from_millis(1500), client.read(&mut nothing));
    silence.await.expect_err("nothing is said");
    bed.scale(&[("web", 1, "serve")]).await;
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.expect("the output");
    assert_eq!(rest, "goodbye\n");
}

#[tokio::test]
async fn nobody_wants_the_one_off_of_a_client_that_has_left_the_lobby() {
    let bed = full().await;
    let once = bed.one_off(DynoKind::Run, "work", PTY).await;
    let (mut client, server) = UnixStream::pair().expect("a pair");
    bed.dynos().attach(SECRET, server).await;
    hears(&mut client, "rendezvous\r\n").await;
    drop(client);
    bed.dynos().wait_exit(once).await.expect("an exit");
    bed.scale(&[("web", 1, "serve")]).await;
    bed.settled().await;
    bed.wait("the list", async |bed| bed.ps().await == ["web.1 up v1"]).await;
    assert_eq!(bed.sim.launches().len(), 2);
}

#[tokio::test]
async fn a_one_off_that_waits_can_be_cancelled_and_its_client_is_let_go() {
    let bed = full().await;
    let once = bed.one_off(DynoKind::Run, "work", PTY).await;
    let (mut client, server) = UnixStream::pair().expect("a pair");
    bed.dynos().attach(SECRET, server).await;
    hears(&mut client, "rendezvous\r\n").await;
    bed.cancel(once).await;
    bed.dynos().wait_exit(once).await.expect("an exit");
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.expect("an end");
    assert_eq!(bed.sim.launches().len(), 2);
}

#[tokio::test]
async fn a_new_server_says_that_a_dyno_it_found_stopping_is_down() {
    let mut bed = Bed::new().await;
    bed.scale(&[("web", 1, "stubborn")]).await;
    bed.deploy(&[]).await;
    bed.settled().await;
    let dyno = bed.rows().await.remove(0);
    bed.scale(&[("web", 0, "stubborn")]).await;
    let terminating = "Stopping all processes with SIGTERM";
    bed.wait("the order to stop", async |bed| {
        bed.said("heroku[web.1]").await.iter().any(|line| line == terminating)
    })
    .await;
    bed.new_server().await;
    bed.sim.crash(dyno.id, 0);
    bed.settled().await;
    let said = bed.said("heroku[web.1]").await;
    let end = ["Process exited with status 0", "State changed from up to down"];
    assert!(said.ends_with(&end.map(str::to_owned)), "{said:?}");
}

#[tokio::test]
async fn a_new_server_says_so_too_of_a_dyno_that_has_stopped_while_none_ran() {
    let mut bed = Bed::new().await;
    bed.scale(&[("web", 1, "stubborn")]).await;
    bed.deploy(&[]).await;
    bed.settled().await;
    let dyno = bed.rows().await.remove(0);
    bed.scale(&[("web", 0, "stubborn")]).await;
    bed.wait("the order to stop", async |bed| bed.rows().await.is_empty()).await;
    bed.stop_server().await;
    bed.sim.crash(dyno.id, 0);
    bed.new_server().await;
    bed.settled().await;
    let said = bed.said("heroku[web.1]").await;
    assert_eq!(said.last().map(String::as_str), Some("State changed from up to down"), "{said:?}");
}
