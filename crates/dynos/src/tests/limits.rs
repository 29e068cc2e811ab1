//! Limits of time: of one-offs, of their clients' silence, of a dyno's day.

use std::time::Duration;

use model::Timestamp;
use model::dyno::{DynoKind, OneOff, Terminal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::Timing;

use super::app::SECRET;
use super::bed::Bed;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test]
async fn a_one_off_ends_when_its_day_is_over() {
    let bed = Bed::new().await;
    bed.sim.set_clock(Timestamp::now());
    let wish = bed.wish(DynoKind::Run, "work", Terminal::Detached).await;
    let once = OneOff { time_to_live_seconds: 86_400, ..wish };
    let id = once.id;
    bed.intend(move |tx| store::one_offs::insert(tx, &once)).await;
    bed.wait("it to be up", async |bed| bed.ps().await == ["run.4821 up v0"]).await;
    // From here on time passes only when it is told to, or when everybody waits.
    tokio::time::pause();
    let begun = bed.sim.time();
    tokio::time::advance(DAY - MINUTE).await;
    for _look in 0..100 {
        assert_eq!(bed.ps().await, ["run.4821 up v0"], "a minute is left");
    }
    for _second in 0..300 {
        tokio::time::advance(Duration::from_secs(1)).await;
        if bed.ps().await.is_empty() {
            break;
        }
    }
    let exit = bed.dynos().wait_exit(id).await.expect("an exit");
    assert_eq!(exit.status, 143, "it got SIGTERM");
    assert!(bed.sim.time().since(begun) >= DAY - MINUTE);
}

#[tokio::test]
async fn a_client_that_says_and_hears_nothing_for_an_hour_is_let_go() {
    assert_eq!(Timing::default().attach_idle, 60 * MINUTE);
    let idle = Duration::from_millis(400);
    let bed = Bed::with(|config| {
        config.timing.attach_idle = idle;
        config.timing.hangup = Duration::from_millis(20);
    })
    .await;
    let once = bed.one_off(DynoKind::Run, "work", Terminal::Pipes).await;
    let (mut client, server) = UnixStream::pair().expect("a pair");
    bed.dynos().attach(SECRET, server).await;
    client.read_exact(&mut [0; 12]).await.expect("a greeting");
    bed.wait("it to be up", async |bed| bed.ps().await == ["run.4821 up v0"]).await;
    for _word in 0..8 {
        client.write_all(b"still here\n").await.expect("it listens");
        tokio::time::sleep(idle / 4).await;
    }
    assert_eq!(bed.ps().await, ["run.4821 up v0"], "whoever says something stays");
    bed.dynos().wait_exit(once).await.expect("an exit");
    assert_eq!(client.read(&mut [0; 1]).await.expect("an end"), 0);
    let said = bed.said("heroku[run.4821]").await;
    let hangup = "Client connection closed. Sending SIGHUP to all processes";
    assert!(said.iter().any(|line| line == hangup), "{said:?}");
}

#[tokio::test]
async fn a_dyno_whose_day_is_over_is_cycled_and_says_so() {
    let bed = Bed::with(|config| {
        config.limits.cycle_after = Duration::from_millis(500);
        config.limits.cycle_spread = Duration::from_millis(1);
    })
    .await;
    bed.scale(&[("web", 1, "serve")]).await;
    bed.deploy(&[]).await;
    let cycled = [
        "State changed from starting to up",
        "Cycling",
        "State changed from up to starting",
        "Starting process with command `serve`",
        "State changed from starting to up",
        "Stopping all processes with SIGTERM",
        "Process exited with status 143",
    ];
    bed.wait("the words of cycling", async |bed| {
        let said = bed.said("heroku[web.1]").await;
        said.windows(cycled.len()).any(|window| window == cycled)
    })
    .await;
}
