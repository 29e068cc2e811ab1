//! What dynos use: R14, R15, runtime metrics; and what else keeps a dyno from starting well.

use std::time::Duration;

use model::feature::Switch;
use model::{DynoId, DynoState, Feature, Timestamp};
use sandbox::usage::{Memory, Pages};

use super::bed::Bed;

const MIB: u64 = 1024 * 1024;

async fn one_worker() -> (Bed, DynoId) {
    let bed = Bed::with(|config| config.timing.measure = Duration::from_millis(30)).await;
    bed.scale(&[("worker", 1, "work")]).await;
    bed.deploy(&[]).await;
    bed.settled().await;
    let dyno = bed.rows().await[0].id;
    (bed, dyno)
}

fn rss(mebibytes: u64) -> Memory {
    let pages = Some(Pages { taken: 7, given: 5 });
    Memory { rss: mebibytes * MIB, cache: 0, droppable: 0, swap: 0, pages }
}

/// The lines of the worker after those of its start.
async fn later(bed: &Bed) -> Vec<String> {
    bed.said("heroku[worker.1]").await.split_off(2)
}

#[tokio::test]
async fn memory_over_the_quota_is_r14_again_and_again_and_nothing_more() {
    let (bed, dyno) = one_worker().await;
    bed.sim.uses(dyno, rss(512));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(later(&bed).await, Vec::<String>::new());
    bed.sim.uses(dyno, rss(646));
    bed.wait("three warnings", async |bed| later(bed).await.len() >= 6).await;
    for pair in later(&bed).await[..6].chunks(2) {
        assert_eq!(pair, ["Process running mem=646M(126.1%)", "Error R14 (Memory quota exceeded)"]);
    }
    assert_eq!(bed.ps().await, ["worker.1 up v1"]);
}

#[tokio::test]
async fn files_that_the_kernel_can_drop_are_no_reason_for_a_warning() {
    let (bed, dyno) = one_worker().await;
    let (cache, droppable) = (900 * MIB, 900 * MIB);
    bed.sim.uses(dyno, Memory { cache, droppable, ..rss(100) });
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(later(&bed).await, Vec::<String>::new());
    // Files in memory only are its own.
    bed.sim.uses(dyno, Memory { cache, droppable: 0, ..rss(100) });
    bed.wait("a warning", async |bed| !later(bed).await.is_empty()).await;
    assert_eq!(later(&bed).await[0], "Process running mem=1000M(195.3%)");
}

#[tokio::test]
async fn memory_over_twice_the_quota_is_r15_and_a_crash() {
    let (bed, dyno) = one_worker().await;
    bed.sim.uses(dyno, rss(1038));
    bed.wait("another life", async |bed| bed.rows().await[0].id != dyno).await;
    assert_eq!(
        later(&bed).await[..6],
        [
            "Process running mem=1038M(202.7%)",
            "Error R15 (Memory quota vastly exceeded)",
            "Stopping process with SIGKILL",
            "Process exited with status 137",
            "State changed from up to crashed",
            "State changed from crashed to starting",
        ]
    );
}

#[tokio::test]
async fn runtime_metrics_are_told_to_those_who_asked() {
    let (bed, dyno) = one_worker().await;
    bed.sim.uses(dyno, rss(21));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(later(&bed).await, Vec::<String>::new());
    let (app, asked) = (bed.id, Feature::LogRuntimeMetrics);
    bed.intend(move |tx| store::features::set(tx, app, asked, Switch::On, Timestamp::now())).await;
    bed.wait("two lines", async |bed| later(bed).await.len() >= 2).await;
    let lines = later(&bed).await;
    assert!(lines[0].starts_with("source=worker.1 dyno=heroku."), "{lines:?}");
    assert!(lines[0].ends_with(&format!(".{dyno} sample#load_avg_1m=0.00")), "{lines:?}");
    assert!(
        lines[1].ends_with(
            " sample#memory_total=21.00MB sample#memory_rss=21.00MB sample#memory_cache=0.00MB \
             sample#memory_swap=0.00MB sample#memory_pgpgin=7pages sample#memory_pgpgout=5pages \
             sample#memory_quota=512.00MB"
        ),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_web_process_that_ends_before_it_listens_is_explained() {
    let bed = Bed::with(|config| config.limits.backoff = vec![Duration::from_secs(3600)]).await;
    bed.scale(&[("web", 1, "exit 3")]).await;
    bed.deploy(&[]).await;
    bed.wait("a crash", async |bed| {
        bed.rows().await.iter().any(|row| row.state == DynoState::Crashed)
    })
    .await;
    let said = bed.said("heroku[web.1]").await;
    assert_eq!(said[1], "Process exited with status 3");
    assert!(said[2].starts_with("Web process ended before it listened on 127.0.0.1:"), "{said:?}");
    assert!(said[2].ends_with("; its last words are the lines of `app` above"), "{said:?}");
    assert_eq!(said[3], "State changed from starting to crashed");
}

#[tokio::test]
async fn a_damaged_slug_is_r17_and_never_run() {
    let bed = Bed::with(|config| config.limits.backoff = vec![Duration::from_secs(3600)]).await;
    let name = bed.blobs.list().expect("listed").remove(0);
    let path = bed.blobs.path(&name).expect("a path");
    std::fs::write(path, "another slug").expect("written");
    bed.scale(&[("worker", 1, "work")]).await;
    bed.deploy(&[]).await;
    bed.wait("a crash", async |bed| {
        bed.rows().await.iter().any(|row| row.state == DynoState::Crashed)
    })
    .await;
    let said = bed.said("heroku[worker.1]").await;
    let expected = format!(
        "Error R17 (Checksum error) -> Checksum does match expected value. Expected: SHA256:{name} \
         Actual: SHA256:"
    );
    assert!(said[1].starts_with(&expected), "{said:?}");
    assert_eq!(said[2], "State changed from starting to crashed");
    assert!(bed.sim.launches().is_empty());
}

#[tokio::test]
async fn an_apps_own_boot_timeout_counts() {
    let bed = Bed::with(|config| {
        config.timing.boot = Duration::from_millis(50);
        config.limits.backoff = vec![Duration::from_secs(3600)];
    })
    .await;
    let app = bed.id;
    bed.intend(move |tx| {
        let mut own = store::apps::find(tx, app)?.expect("an app");
        own.boot_timeout_seconds = Some(1);
        store::apps::update(tx, &own, Timestamp::now())
    })
    .await;
    bed.scale(&[("web", 1, "work")]).await;
    bed.deploy(&[]).await;
    bed.wait("R10", async |bed| {
        let said = bed.said("heroku[web.1]").await;
        said.iter().any(|line| line.starts_with("Error R10") && line.contains(" within 1 seconds"))
    })
    .await;
}
