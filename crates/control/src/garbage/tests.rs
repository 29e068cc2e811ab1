//! What is removed, and what is not.

use model::dyno::Terminal;
use store::one_offs;

use super::*;
use crate::testing::Lab;
use crate::{builds, sources};

async fn round(lab: &Lab) {
    collect(&lab.control, Duration::ZERO).await.expect("collected");
}

#[tokio::test]
async fn a_destroyed_app_leaves_nothing_behind() {
    let lab = Lab::new().await;
    let (gone, kept) = (lab.app("gone").await, lab.app("kept").await);
    lab.deploy(&gone, "aaaaaaaa", &[("web", "w"), ("release", "true")]).await;
    let kept_slug = lab.deploy(&kept, "bbbbbbbb", &[("web", "w")]).await.slug.expect("a slug");
    let build = builds::list(&lab.control, &lab.who, gone.id).await.expect("listed").remove(0);
    let repository = verbs::repository(&lab.control, gone.id);
    let cache = verbs::cache(&lab.control, gone.id);
    for directory in [&repository, &cache] {
        std::fs::create_dir_all(directory.join("objects")).expect("made");
    }
    verbs::destroy(&lab.control, &lab.who, gone.id).await.expect("destroyed");
    round(&lab).await;
    assert!(!repository.exists() && !cache.exists());
    let rows = lab.control.read(|db| Ok(apps::deleted(db)?.len())).await.expect("read");
    assert_eq!(rows, 0);
    assert!(builds::follow(&lab.control, build.id).await.expect("asked").is_none());
    let slug = crate::slugs::info(&lab.control, &lab.who, kept.id, kept_slug).await.expect("kept");
    assert_eq!(lab.control.blobs.list().expect("listed"), [slug.blob]);
}

#[tokio::test]
async fn an_app_whose_dyno_still_runs_is_kept_until_it_has_ended() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    lab.deploy(&app, "aaaaaaaa", &[("web", "w")]).await;
    let new = crate::one_offs::NewRun {
        command: "sleep 1".to_owned(),
        env: Default::default(),
        process_type: None,
        size: None,
        terminal: Terminal::Detached,
        time_to_live_seconds: None,
    };
    let run = crate::one_offs::run(&lab.control, &lab.who, app.id, new).await.expect("asked for");
    verbs::destroy(&lab.control, &lab.who, app.id).await.expect("destroyed");
    round(&lab).await;
    let id = run.one_off.id;
    let found = lab.control.store.read(move |db| one_offs::find(db, id)).await.expect("read");
    assert!(found.expect("still there").cancelled_at.is_some(), "it is asked to end");
    let end = move |tx: &mut store::Tx<'_>| one_offs::finish(tx, id, Timestamp::now());
    lab.control.store.write(end).await.expect("ended");
    round(&lab).await;
    assert!(verbs::find(&lab.control, app.id).await.is_err());
}

#[tokio::test]
async fn blobs_that_are_young_or_named_are_kept() {
    let lab = Lab::new().await;
    let orphan = sources::put(&lab.control, &b"orphan"[..], 100).await.expect("put").name;
    let source = sources::create(&lab.control, &lab.who, None).await.expect("made");
    sources::upload(&lab.control, source.id, &b"upload"[..], 100).await.expect("uploaded");
    collect(&lab.control, BLOB_GRACE).await.expect("collected");
    assert_eq!(lab.control.blobs.list().expect("listed").len(), 2);
    round(&lab).await;
    let left = lab.control.blobs.list().expect("listed");
    assert!(left.len() == 1 && left[0] != orphan);
    assert!(sources::open(&lab.control, source.id).await.is_ok());
}

#[tokio::test]
async fn old_slugs_go_but_those_that_run_or_were_released_last_stay() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let mut slugs = Vec::new();
    for commit in ["aaaaaaaa", "bbbbbbbb", "cccccccc", "dddddddd"] {
        slugs.push(lab.deploy(&app, commit, &[("web", commit)]).await.slug.expect("a slug"));
    }
    // The oldest is released anew, so it is not old any more.
    let releases = crate::releases::list(&lab.control, &lab.who, app.id).await.expect("listed");
    let oldest = releases.iter().find(|one| one.slug == Some(slugs[0])).expect("there");
    let back = crate::releases::ReleaseRef::Id(oldest.id);
    crate::releases::rollback(&lab.control, &lab.who, app.id, back).await.expect("rolled back");
    let removed = |keep| {
        let (store, now) = (lab.control.store.clone(), Timestamp::now());
        async move { store.write(move |tx| garbage::remove_slugs(tx, keep, now, now)).await }
    };
    assert_eq!(removed(2).await.expect("removed"), 2);
    let kept: Vec<_> = crate::releases::list(&lab.control, &lab.who, app.id)
        .await
        .expect("listed")
        .into_iter()
        .filter(|release| release.eligible_for_rollback())
        .filter_map(|release| release.slug)
        .collect();
    assert_eq!(kept, [slugs[0], slugs[3], slugs[0]], "in the order of the ledger");
    let gone = releases.iter().find(|one| one.slug == Some(slugs[1])).expect("in the ledger");
    let gone = crate::releases::ReleaseRef::Id(gone.id);
    let refused = crate::releases::rollback(&lab.control, &lab.who, app.id, gone).await;
    let text = refused.expect_err("refused").to_string();
    assert!(text.contains("its slug is too old and was removed"), "{text}");
    round(&lab).await;
    assert_eq!(lab.control.blobs.list().expect("listed").len(), 2);
}
