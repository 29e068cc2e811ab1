//! Sleep, frost and memory on a pretended machine.

use std::time::Duration;

use model::Timestamp;
use model::feature::{Feature, Switch};
use model::routes::WebState;

use super::bed::Bed;

/// Its dynos are frozen at once, and stopped after `stop`.
async fn suspending(stop: Duration) -> Bed {
    let bed = Bed::with(|config| {
        config.limits.freeze_after = Duration::ZERO;
        config.limits.stop_frozen_after = stop;
    })
    .await;
    bed.scale(&[("web", 1, "serve"), ("worker", 1, "work")]).await;
    bed.deploy(&[]).await;
    bed.settled().await;
    let (app, feature) = (bed.id, Feature::DynoSuspend);
    bed.intend(move |tx| store::features::set(tx, app, feature, Switch::On, Timestamp::now()))
        .await;
    bed
}

#[tokio::test]
async fn an_idle_dyno_is_frozen_and_whoever_enters_thaws_it() {
    let mut bed = suspending(Duration::from_secs(3600)).await;
    bed.wait("frost", async |bed| bed.ps().await[0] == "web.1 idle v1").await;
    let view = bed.view().await;
    assert_eq!(view.state, WebState::Up, "it takes requests");
    let web = view.backends[0].clone();
    assert!(bed.sim.is_frozen(web.dyno));
    let visit = web.enter().expect("open");
    bed.wait("thaw", async |bed| bed.ps().await[0] == "web.1 up v1").await;
    assert!(!bed.sim.is_frozen(web.dyno));
    drop(visit);
    bed.restart("worker").await;
    bed.wait("frost again", async |bed| bed.ps().await[0] == "web.1 idle v1").await;

    bed.new_server().await;
    let web = bed.view().await.backends[0].clone();
    assert!(bed.sim.is_frozen(web.dyno), "a new server finds it frozen");
    let _visit = web.enter().expect("open");
    bed.wait("thaw", async |bed| !bed.sim.is_frozen(web.dyno)).await;
    assert_eq!(
        bed.said("heroku[web.1]").await[2..6],
        ["Idling", "State changed from up to idle", "Unidling", "State changed from idle to up"]
    );
}

#[tokio::test]
async fn a_frozen_dyno_hears_sigterm() {
    let bed = suspending(Duration::from_secs(3600)).await;
    bed.wait("frost", async |bed| bed.ps().await[0] == "web.1 idle v1").await;
    bed.scale(&[("web", 0, "serve")]).await;
    bed.settled().await;
    bed.wait("its end", async |bed| {
        let said = bed.said("heroku[web.1]").await;
        said.iter().any(|line| line == "Process exited with status 143")
    })
    .await;
}

#[tokio::test]
async fn a_sleeping_app_survives_the_server_and_wakes_for_a_request() {
    let mut bed = suspending(Duration::from_millis(300)).await;
    let asleep = WebState::Asleep;
    bed.wait("sleep", async |bed| bed.view().await.state == asleep).await;
    bed.wait("its row", async |bed| bed.ps().await == ["web.1 idle v1", "worker.1 up v1"]).await;
    bed.wait("its end", async |bed| bed.processes().await == 1).await;
    bed.new_server().await;
    assert_eq!(bed.view().await.state, asleep);
    let launches = bed.sim.launches().len();
    bed.dynos().wake(bed.id).await;
    bed.wait("a new dyno", async |bed| bed.view().await.state == WebState::Up).await;
    assert_eq!(bed.sim.launches().len(), launches + 1);
    let said = bed.said("heroku[web.1]").await;
    let woken = ["Unidling", "State changed from down to starting"];
    assert!(said.windows(2).any(|pair| pair == woken), "{said:?}");
}

#[tokio::test]
async fn what_there_is_no_memory_for_is_listed_as_down_until_there_is() {
    let bed = Bed::with(|config| config.limits.memory.total_bytes = 1 << 30).await;
    bed.scale(&[("web", 2, "serve"), ("worker", 1, "work")]).await;
    bed.deploy(&[]).await;
    bed.settled().await;
    let listed = ["web.1 up v1", "web.2 up v1", "worker.1 down v1"];
    bed.wait("the list", async |bed| bed.ps().await == listed).await;
    let words = "Not enough memory on this server: 512M needed, 0M free. It starts as soon as \
                 there is room";
    assert_eq!(bed.said("heroku[worker.1]").await, [words]);
    bed.scale(&[("web", 1, "serve")]).await;
    bed.wait("room", async |bed| bed.ps().await == ["web.1 up v1", "worker.1 up v1"]).await;
}
