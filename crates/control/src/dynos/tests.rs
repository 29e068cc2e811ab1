//! Restarts as rows.

use model::dyno::Terminal;

use super::*;
use crate::one_offs::{self as runs, NewRun};
use crate::testing::Lab;

fn dyno(name: &str) -> RestartTarget {
    RestartTarget::Dyno(name.parse().expect("a name"))
}

fn process_type(name: &str) -> RestartTarget {
    RestartTarget::Type(name.parse().expect("a type"))
}

#[tokio::test]
async fn a_restart_is_a_row_and_a_newer_one_replaces_it() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    lab.deploy(&app, "a", &[("web", "w"), ("worker", "x")]).await;
    let mut poked = lab.control.store.subscribe(Poke::Dynos);
    poked.mark_unchanged();
    for target in [RestartTarget::All, process_type("worker"), dyno("web.1"), dyno("web.1")] {
        restart(&lab.control, &lab.who, app.id, target).await.expect("asked for");
    }
    assert!(poked.has_changed().expect("the store lives"));
    let rows = lab.control.store.read(move |db| restarts::list(db, app.id)).await.expect("read");
    let targets: Vec<&str> = rows.iter().map(|row| row.target.as_str()).collect();
    assert_eq!(targets, ["*", "web.1", "worker"]);
    assert!(rows[1].not_before > rows[0].not_before);
}

#[tokio::test]
async fn what_is_not_wanted_cannot_be_restarted() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    lab.deploy(&app, "a", &[("web", "w")]).await;
    for (target, text) in [
        (dyno("web.2"), "Couldn't find that dyno."),
        (dyno("run.1"), "Couldn't find that dyno."),
        (process_type("worker"), "Couldn't find that process type (worker)."),
    ] {
        let refused = restart(&lab.control, &lab.who, app.id, target).await;
        assert_eq!(refused.unwrap_err().to_string(), text);
    }
    let eve = lab.stranger().await;
    assert!(restart(&lab.control, &eve, app.id, RestartTarget::All).await.is_err());
}

#[tokio::test]
async fn restarting_or_stopping_a_one_off_ends_it() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    lab.deploy(&app, "a", &[("web", "w")]).await;
    let new = NewRun {
        command: "bash".to_owned(),
        env: Default::default(),
        process_type: None,
        size: None,
        terminal: Terminal::Pipes,
        time_to_live_seconds: None,
    };
    let run = runs::run(&lab.control, &lab.who, app.id, new).await.expect("asked for").one_off;
    let target = RestartTarget::Dyno(run.name.clone());
    stop(&lab.control, &lab.who, app.id, target).await.expect("asked for");
    let id = run.id;
    let found = lab.control.store.read(move |db| one_offs::find(db, id)).await.expect("read");
    assert!(found.expect("there").cancelled_at.is_some());
}

#[tokio::test]
async fn stopping_a_type_that_only_one_offs_have_ends_them_all() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    lab.deploy(&app, "a", &[("web", "w")]).await;
    let new = || NewRun {
        command: "bash".to_owned(),
        env: Default::default(),
        process_type: None,
        size: None,
        terminal: Terminal::Pipes,
        time_to_live_seconds: None,
    };
    for _ in 0..2 {
        runs::run(&lab.control, &lab.who, app.id, new()).await.expect("asked for");
    }
    stop(&lab.control, &lab.who, app.id, process_type("web")).await.expect("asked for");
    let unfinished = move |db: &Reader<'_>| one_offs::unfinished_of(db, app.id);
    let rows = lab.control.store.read(unfinished).await.expect("read");
    assert!(rows.iter().all(|row| row.cancelled_at.is_none()), "web is no one-off");
    stop(&lab.control, &lab.who, app.id, process_type("run")).await.expect("asked for");
    let rows = lab.control.store.read(unfinished).await.expect("read");
    assert!(rows.iter().all(|row| row.cancelled_at.is_some()), "a one-off was left");
}
