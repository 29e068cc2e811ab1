//! Builds: claiming, ending, interruption.

use super::*;
use crate::sources;
use crate::testing::Lab;

async fn queue(lab: &Lab, app: AppId, text: &str) -> Build {
    let source = sources::put(&lab.control, text.as_bytes(), 100).await.expect("put");
    let new = NewBuild {
        source: BuildSource::Stored(source.name),
        source_version: Some(text.to_owned()),
        buildpacks: vec![],
    };
    create(&lab.control, &lab.who, app, new).await.expect("queued")
}

async fn claim(lab: &Lab) -> Option<BuildId> {
    claim_next(&lab.control).await.expect("asked").map(|build| build.id)
}

async fn printed(lab: &Lab, id: BuildId) -> String {
    let mut follow = follow(&lab.control, id).await.expect("ok").expect("there");
    let mut all = Vec::new();
    while let Some(chunk) = follow.next().await.expect("readable") {
        all.extend_from_slice(&chunk);
    }
    String::from_utf8(all).expect("text")
}

fn slug() -> NewSlug {
    NewSlug {
        image: crate::Blob { name: "0".repeat(64), bytes: 1 },
        commit: None,
        buildpack_description: None,
        process_types: std::collections::BTreeMap::new(),
        stack: "heroku-24".to_owned(),
    }
}

#[tokio::test]
async fn builds_are_claimed_in_order_and_one_at_a_time_per_app() {
    let lab = Lab::new().await;
    let (one, two) = (lab.app("one").await, lab.app("two").await);
    let first = queue(&lab, one.id, "a").await.id;
    let second = queue(&lab, one.id, "b").await.id;
    let other = queue(&lab, two.id, "c").await.id;
    assert_eq!(claim(&lab).await, Some(first));
    assert_eq!(claim(&lab).await, Some(other), "the second of the same app waits");
    assert_eq!(claim(&lab).await, None);
    let mut woken = wake(&lab.control);
    woken.mark_unchanged();
    fail(&lab.control, first).await.expect("ended");
    assert!(woken.has_changed().expect("the store lives"));
    assert_eq!(claim(&lab).await, Some(second));
}

#[tokio::test]
async fn a_build_ends_once_and_ends_its_output() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let build = queue(&lab, app.id, "a").await;
    claim(&lab).await;
    lab.said();
    output(&lab.control, build.id).expect("opened").write(b"-----> Building\n").expect("written");
    let release = release(&lab.control, build.id, slug()).await.expect("released");
    let twice = super::release(&lab.control, build.id, slug()).await;
    assert!(matches!(twice, Err(Error::Conflict(_))));
    succeed(&lab.control, build.id).await.expect("ended");
    fail(&lab.control, build.id).await.expect("changes nothing");
    let ended = wait_ended(&lab.control, build.id).await.expect("found");
    assert_eq!((ended.status, ended.release), (BuildStatus::Succeeded, Some(release.id)));
    assert_eq!(printed(&lab, build.id).await, "-----> Building\n");
    assert_eq!(lab.said().last().map(String::as_str), Some("Build succeeded"));
    assert!(was_built(&lab.control, app.id, "a").await.expect("asked"));
    assert!(!was_built(&lab.control, app.id, "b").await.expect("asked"));
}

#[tokio::test]
async fn a_cancelled_build_cannot_release() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let build = queue(&lab, app.id, "a").await;
    claim(&lab).await;
    lab.said();
    let cancelled = cancel(&lab.control, &lab.who, app.id, build.id).await.expect("cancelled");
    assert_eq!(cancelled.status, BuildStatus::Failed);
    assert_eq!(lab.said(), [format!("Build failed -- check the output of build {}", build.id)]);
    let late = release(&lab.control, build.id, slug()).await;
    assert!(matches!(late, Err(Error::Conflict(_))));
    assert_eq!(lab.ledger(&app).await.len(), 2);
    let again = cancel(&lab.control, &lab.who, app.id, build.id).await;
    assert!(matches!(again, Err(Error::Invalid(_))));
}

#[tokio::test]
async fn what_a_restart_interrupted_is_failed_and_says_so() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let (cut, released) = (queue(&lab, app.id, "a").await, queue(&lab, app.id, "b").await);
    claim(&lab).await;
    release(&lab.control, released.id, slug()).await.expect("released");
    let lab = lab.restarted();
    end_interrupted(&lab.control).await.expect("ended");
    let status = async |id| find(&lab.control, id).await.expect("found").status;
    assert_eq!(status(cut.id).await, BuildStatus::Failed);
    assert_eq!(status(released.id).await, BuildStatus::Succeeded);
    assert!(printed(&lab, cut.id).await.contains("interrupted"));
    assert_eq!(claim(&lab).await, None);
}

#[tokio::test]
async fn a_build_needs_a_source_and_remembers_its_buildpacks() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    for missing in ["0".repeat(64), "../x".to_owned()] {
        let new = NewBuild {
            source: BuildSource::Stored(missing),
            source_version: None,
            buildpacks: vec![],
        };
        let made = create(&lab.control, &lab.who, app.id, new).await;
        assert!(matches!(made, Err(Error::NotFound(Resource::Source))));
    }
    let chosen = vec!["heroku/nodejs".to_owned()];
    crate::buildpack_installations::set(&lab.control, &lab.who, app.id, chosen.clone())
        .await
        .expect("set");
    crate::buildpack_installations::pin(&lab.control, app.id, "heroku/python").await.expect("ok");
    assert_eq!(queue(&lab, app.id, "a").await.buildpacks, chosen);
    let (eve, source) = (lab.stranger().await, queue(&lab, app.id, "a").await.source);
    let new = NewBuild { source, source_version: None, buildpacks: vec![] };
    let foreign = create(&lab.control, &eve, app.id, new).await;
    assert!(matches!(foreign, Err(Error::NotFound(Resource::App))));
}
