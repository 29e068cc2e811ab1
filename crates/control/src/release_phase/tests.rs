//! The release phase against a dyno manager played by the test.

use std::time::Duration;

use model::dyno::{DynoKind, Exit};
use model::{App, DynoState, Timestamp};

use super::*;
use crate::releases::ReleaseRef;
use crate::testing::Lab;
use crate::{config, one_offs as runs};

const TYPES: &[(&str, &str)] = &[("web", "node web.js"), ("release", "bin/migrate")];

/// What the dyno manager does when the release's command ends.
async fn ends(lab: &Lab, release: &Release, status: i32) {
    let id = release.id;
    lab.control
        .store
        .write(move |tx| {
            let one_off = one_offs::of_release(tx, id)?.expect("asked for");
            let now = Timestamp::now();
            let dyno = model::Dyno {
                id: one_off.id,
                app: one_off.app,
                name: one_off.name,
                kind: one_off.kind,
                release: one_off.release,
                release_version: 0,
                command: one_off.command,
                size: one_off.size,
                state: DynoState::Starting,
                exit: None,
                created_at: now,
                up_at: None,
                updated_at: now,
            };
            let life = store::dynos::Life {
                dyno,
                crashes: 0,
                address: None,
                stop_reason: None,
                ended_at: None,
            };
            store::dynos::insert(tx, &life)?;
            let exit = Exit { status, out_of_memory: false };
            store::dynos::ended(tx, one_off.id, DynoState::Complete, exit, now)
        })
        .await
        .expect("ended");
}

async fn status(lab: &Lab, app: &App, version: u32) -> (ReleaseStatus, bool) {
    let which = ReleaseRef::Version(version);
    let release = releases::info(&lab.control, &lab.who, app.id, which).await.expect("found");
    (release.status, release.current)
}

#[tokio::test]
async fn a_release_becomes_current_when_its_command_succeeds() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    lab.said();
    let release = lab.deploy(&app, "409cdef5a1", TYPES).await;
    assert_eq!((release.status, release.has_output), (ReleaseStatus::Pending, true));
    assert!(crate::formations::list(&lab.control, &lab.who, app.id).await.expect("ok").is_empty());
    reconcile(&lab.control).await.expect("started");
    reconcile(&lab.control).await.expect("nothing to do");
    let id = release.id;
    let wanted = lab.control.store.read(one_offs::unfinished).await.expect("read");
    let [one_off] = &wanted[..] else { panic!("one dyno, not {}", wanted.len()) };
    assert_eq!((one_off.kind, one_off.command.as_str()), (DynoKind::Release, "bin/migrate"));
    assert_eq!((one_off.release, one_off.name.process_type.as_str()), (Some(id), "release"));
    ends(&lab, &release, 0).await;
    reconcile(&lab.control).await.expect("settled");
    assert_eq!(status(&lab, &app, 3).await, (ReleaseStatus::Succeeded, true));
    assert_eq!(
        lab.said(),
        [
            "Build started by user ada@example.com",
            "Deploy 409cdef5 by user ada@example.com",
            "Running release v3 commands by user ada@example.com",
            "Build succeeded",
            "Release v3 created by user ada@example.com",
            "Scaled to release@0:Standard-1X web@1:Standard-1X by user ada@example.com",
        ]
    );
}

#[tokio::test]
async fn a_failed_command_leaves_the_old_release_current() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let old = lab.deploy(&app, "aaaaaaaa", &[("web", "old")]).await;
    let new = lab.deploy(&app, "bbbbbbbb", TYPES).await;
    reconcile(&lab.control).await.expect("started");
    lab.said();
    ends(&lab, &new, 1).await;
    reconcile(&lab.control).await.expect("settled");
    assert_eq!(status(&lab, &app, 4).await, (ReleaseStatus::Failed, false));
    assert_eq!(status(&lab, &app, 3).await, (ReleaseStatus::Succeeded, true));
    assert_eq!(lab.said(), ["Release v4 command failed"]);
    let rows = crate::formations::list(&lab.control, &lab.who, app.id).await.expect("listed");
    assert_eq!(rows.iter().map(|row| row.command.as_str()).collect::<Vec<_>>(), ["old"]);
    let refused = releases::rollback(&lab.control, &lab.who, app.id, ReleaseRef::Version(4)).await;
    let text = "Cannot roll back to v4: its release command failed.";
    assert_eq!(refused.unwrap_err().to_string(), text);
    // The next change builds upon what works, not upon what failed.
    let changes = vec![("A".to_owned(), Some("1".to_owned()))];
    config::change(&lab.control, &lab.who, app.id, changes).await.expect("changed");
    let next = releases::info(&lab.control, &lab.who, app.id, ReleaseRef::Version(5)).await;
    assert_eq!(next.expect("found").slug, old.slug);
}

#[tokio::test]
async fn pending_releases_of_an_app_wait_for_each_other() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let first = lab.deploy(&app, "aaaaaaaa", TYPES).await;
    let changes = vec![("A".to_owned(), Some("1".to_owned()))];
    config::change(&lab.control, &lab.who, app.id, changes).await.expect("changed");
    reconcile(&lab.control).await.expect("started");
    let wanted = lab.control.store.read(one_offs::unfinished).await.expect("read");
    assert_eq!(wanted.iter().map(|one_off| one_off.release).collect::<Vec<_>>(), [Some(first.id)]);
    ends(&lab, &first, 0).await;
    reconcile(&lab.control).await.expect("settled");
    reconcile(&lab.control).await.expect("started");
    assert_eq!(status(&lab, &app, 3).await, (ReleaseStatus::Succeeded, true));
    let which = ReleaseRef::Version(4);
    let second = releases::info(&lab.control, &lab.who, app.id, which).await.expect("found");
    assert_eq!((second.status, second.slug), (ReleaseStatus::Pending, first.slug));
    ends(&lab, &second, 0).await;
    reconcile(&lab.control).await.expect("settled");
    assert_eq!(status(&lab, &app, 4).await, (ReleaseStatus::Succeeded, true));
    assert_eq!(status(&lab, &app, 3).await, (ReleaseStatus::Succeeded, false));
}

#[tokio::test]
async fn a_slow_older_release_does_not_replace_a_newer_one() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let old = lab.deploy(&app, "aaaaaaaa", &[("web", "old")]).await;
    let slow = lab.deploy(&app, "bbbbbbbb", TYPES).await;
    reconcile(&lab.control).await.expect("started");
    let which = ReleaseRef::Id(old.id);
    releases::rollback(&lab.control, &lab.who, app.id, which).await.expect("rolled back");
    ends(&lab, &slow, 0).await;
    reconcile(&lab.control).await.expect("settled");
    assert_eq!(status(&lab, &app, 4).await, (ReleaseStatus::Succeeded, false));
    assert_eq!(status(&lab, &app, 5).await, (ReleaseStatus::Succeeded, true));
    let rows = crate::formations::list(&lab.control, &lab.who, app.id).await.expect("listed");
    assert_eq!(rows.iter().map(|row| row.command.as_str()).collect::<Vec<_>>(), ["old"]);
}

#[tokio::test]
async fn a_command_that_was_cancelled_before_it_ran_fails_the_release() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let release = lab.deploy(&app, "aaaaaaaa", TYPES).await;
    reconcile(&lab.control).await.expect("started");
    let id = release.id;
    let finish = lab.control.store.write(move |tx| {
        let one_off = one_offs::of_release(tx, id)?.expect("asked for");
        one_offs::finish(tx, one_off.id, Timestamp::now())
    });
    finish.await.expect("finished");
    reconcile(&lab.control).await.expect("settled");
    assert_eq!(status(&lab, &app, 3).await, (ReleaseStatus::Failed, false));
}

#[tokio::test]
async fn the_job_goes_on_after_a_restart_without_starting_anything_twice() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let release = lab.deploy(&app, "aaaaaaaa", TYPES).await;
    reconcile(&lab.control).await.expect("started");
    let lab = lab.restarted();
    reconcile(&lab.control).await.expect("nothing to do");
    let wanted = lab.control.store.read(one_offs::unfinished).await.expect("read");
    assert_eq!(wanted.len(), 1);
    ends(&lab, &release, 0).await;
    let lab = lab.restarted();
    reconcile(&lab.control).await.expect("settled");
    assert_eq!(status(&lab, &app, 3).await, (ReleaseStatus::Succeeded, true));
}

#[tokio::test]
async fn waiters_and_followers_learn_of_the_end_by_themselves() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let stop = CancellationToken::new();
    let task = tokio::spawn(run(lab.control.clone(), stop.clone()));
    let release = lab.deploy(&app, "aaaaaaaa", TYPES).await;
    let mut follow = releases::follow(&lab.control, release.id).await.expect("ok").expect("there");
    let waiting = releases::wait_settled(&lab.control, release.id);
    let one_off = async {
        let mut poked = lab.control.store.subscribe(Poke::Dynos);
        loop {
            let all = lab.control.store.read(one_offs::unfinished).await.expect("read");
            if let Some(one_off) = all.into_iter().next() {
                return one_off;
            }
            poked.changed().await.expect("the store lives");
        }
    };
    let in_time = Duration::from_secs(20);
    let one_off = tokio::time::timeout(in_time, one_off).await.expect("asked for in time");
    let writer = lab.control.outputs.create(release.id).expect("opened");
    writer.write(b"migrated\n").expect("written");
    let ended = tokio::spawn({
        let control = lab.control.clone();
        async move { runs::wait_ended(&control, one_off.id).await }
    });
    ends(&lab, &release, 0).await;
    let settled = tokio::time::timeout(in_time, waiting).await.expect("in time").expect("found");
    assert_eq!(settled.status, ReleaseStatus::Succeeded);
    let exit = Exit { status: 0, out_of_memory: false };
    assert_eq!(ended.await.expect("no panic").expect("found"), runs::End::Exited(exit));
    let mut printed = Vec::new();
    while let Some(chunk) = follow.next().await.expect("readable") {
        printed.extend_from_slice(&chunk);
    }
    assert_eq!(printed, b"migrated\n");
    stop.cancel();
    tokio::time::timeout(in_time, task).await.expect("stops in time").expect("no panic");
}

#[tokio::test]
async fn destroying_the_app_settles_its_pending_releases() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let release = lab.deploy(&app, "aaaaaaaa", TYPES).await;
    crate::apps::destroy(&lab.control, &lab.who, app.id).await.expect("destroyed");
    let settled = releases::wait_settled(&lab.control, release.id).await.expect("found");
    assert_eq!(settled.status, ReleaseStatus::Failed);
    assert_eq!(lab.control.outputs.verdict(release.id), Some(Verdict::Failed));
}
