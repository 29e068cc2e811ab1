//! The ledger, rollback, and its hash chain.

use super::*;
use crate::testing::Lab;
use crate::{config, ledger};

async fn set(lab: &Lab, app: AppId, name: &str, value: &str) {
    let changes = vec![(name.to_owned(), Some(value.to_owned()))];
    config::change(&lab.control, &lab.who, app, changes).await.expect("changed");
}

async fn back(lab: &Lab, app: AppId, version: u32) -> Result<Release> {
    rollback(&lab.control, &lab.who, app, ReleaseRef::Version(version)).await
}

#[tokio::test]
async fn a_rollback_is_a_new_release_with_the_old_slug_and_the_old_config() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    set(&lab, app.id, "A", "old").await;
    let old = lab.deploy(&app, "aaaaaaaa1", &[("web", "old")]).await;
    set(&lab, app.id, "A", "new").await;
    set(&lab, app.id, "B", "more").await;
    lab.deploy(&app, "bbbbbbbb1", &[("web", "new"), ("worker", "w")]).await;
    lab.said();
    let release = back(&lab, app.id, old.version).await.expect("rolled back");
    assert_eq!((release.version, release.current), (8, true));
    assert_eq!((release.slug, &release.config), (old.slug, &old.config));
    assert_eq!(release.config.get("A"), Some("old"));
    let now = config::get(&lab.control, &lab.who, app.id).await.expect("got");
    assert_eq!(now, old.config);
    let rows = crate::formations::list(&lab.control, &lab.who, app.id).await.expect("listed");
    let commands: Vec<&str> = rows.iter().map(|row| row.command.as_str()).collect();
    assert_eq!(commands, ["old"]);
    assert_eq!(
        lab.said(),
        ["Rollback to v4 by user ada@example.com", "Release v8 created by user ada@example.com",]
    );
    let next = lab.deploy(&app, "cccccccc1", &[("web", "next")]).await;
    assert_eq!((next.version, next.config.get("A")), (9, Some("old")));
}

#[tokio::test]
async fn releases_without_a_slug_and_unknown_ones_cannot_be_rolled_back_to() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let refused = back(&lab, app.id, 1).await.unwrap_err();
    assert_eq!(refused.to_string(), "Cannot roll back to v1: it has no slug.");
    assert!(matches!(back(&lab, app.id, 9).await, Err(Error::NotFound(Resource::Release))));
    let other = lab.app("other").await;
    let foreign = lab.deploy(&other, "a", &[("web", "w")]).await;
    let which = ReleaseRef::Id(foreign.id);
    let crossed = rollback(&lab.control, &lab.who, app.id, which).await;
    assert!(matches!(crossed, Err(Error::NotFound(Resource::Release))));
    assert_eq!(lab.ledger(&app).await.len(), 2);
}

#[tokio::test]
async fn a_release_is_found_by_id_and_by_version() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    for text in ["2", "v2"] {
        let which = text.parse().expect("a version");
        let found = info(&lab.control, &lab.who, app.id, which).await.expect("found");
        let which = found.id.to_string().parse().expect("an id");
        assert_eq!(which, ReleaseRef::Id(found.id));
        let again = info(&lab.control, &lab.who, app.id, which).await.expect("found");
        assert_eq!((again.version, again.description.as_str()), (2, "Enable Logplex"));
    }
    for bad in ["", "v", "-1", "one", "4294967296"] {
        assert!(bad.parse::<ReleaseRef>().is_err(), "{bad}");
    }
}

#[tokio::test]
async fn a_slug_can_be_released_again_with_a_description() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let slug = lab.deploy(&app, "409cdef5a1", &[("web", "w")]).await.slug.expect("a slug");
    let (control, who) = (&lab.control, &lab.who);
    let retry = create(control, who, app.id, slug, Some("Retry of v3: Deploy".to_owned())).await;
    assert_eq!(retry.expect("released").description, "Retry of v3: Deploy");
    let plain = create(control, who, app.id, slug, None).await.expect("released");
    assert_eq!(plain.description, "Deploy 409cdef5");
    let odd = create(control, who, app.id, slug, Some("two\nlines".to_owned())).await;
    assert!(matches!(odd, Err(Error::Invalid(_))));
    let other = lab.app("other").await;
    let foreign = create(control, who, other.id, slug, None).await;
    assert!(matches!(foreign, Err(Error::NotFound(Resource::Slug))));
}

#[tokio::test]
async fn releases_made_at_once_get_versions_without_gaps_or_doubles() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let change = |number: u32| {
        let (control, who) = (lab.control.clone(), lab.who.clone());
        tokio::spawn(async move {
            let changes = vec![(format!("N{number}"), Some("x".to_owned()))];
            config::change(&control, &who, app.id, changes).await
        })
    };
    for task in (0..20).map(change).collect::<Vec<_>>() {
        task.await.expect("no panic").expect("changed");
    }
    let versions: Vec<u32> = lab.ledger(&app).await.iter().map(|row| row.0).collect();
    assert_eq!(versions, (1..=22).collect::<Vec<_>>());
    assert_eq!(config::get(&lab.control, &lab.who, app.id).await.expect("got").0.len(), 20);
    assert_eq!(ledger::verify(&lab.control, &lab.who, app.id).await.expect("read"), Ok(()));
}

#[tokio::test]
async fn a_changed_a_missing_and_a_relinked_row_are_found() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    set(&lab, app.id, "A", "1").await;
    lab.deploy(&app, "a", &[("web", "w")]).await;
    set(&lab, app.id, "A", "2").await;
    let chain = lab.control.store.read(move |db| releases::chain(db, app.id)).await;
    let chain = chain.expect("read");
    assert_eq!(ledger::check(&chain), Ok(()));
    let tampered = |change: fn(&mut Vec<releases::Link>)| {
        let mut chain = chain.clone();
        change(&mut chain);
        ledger::check(&chain)
    };
    let row = Err(ledger::Break::Row(3));
    assert_eq!(tampered(|chain| chain[2].release.description.push('!')), row);
    assert_eq!(tampered(|chain| chain[2].release.config.0.clear()), row);
    assert_eq!(tampered(|chain| chain[2].release.actor = model::AccountId::random()), row);
    assert_eq!(tampered(|chain| chain[3].release.slug = None), Err(ledger::Break::Row(4)));
    assert_eq!(tampered(|chain| drop(chain.remove(2))), Err(ledger::Break::Gap(4)));
    // Even when the row's own hash is made right again, the next row gives it away.
    let rehashed = tampered(|chain| {
        chain[2].release.description.push('!');
        chain[2].release.hash = ledger::hash(&chain[1].release.hash, &chain[2].release);
    });
    assert_eq!(rehashed, Err(ledger::Break::Link(4)));
    // The status may change: it is not part of what was written.
    let status = tampered(|chain| chain[2].release.status = ReleaseStatus::Failed);
    assert_eq!(status, Ok(()));
}

#[tokio::test]
async fn a_row_changed_in_the_database_is_found() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let sql = "UPDATE releases SET description = 'Something else' WHERE version = 1";
    lab.control.store.write(|tx| tx.run(sql, &[])).await.expect("tampered");
    let verdict = ledger::verify(&lab.control, &lab.who, app.id).await.expect("read");
    assert_eq!(verdict, Err(ledger::Break::Row(1)));
}

#[tokio::test]
async fn the_app_shows_what_its_current_release_brought() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    assert!(app.released_at.is_none() && app.slug_bytes.is_none());
    lab.deploy(&app, "abc", &[("web", "w")]).await;
    let app = crate::apps::find(&lab.control, app.id).await.expect("found");
    assert_eq!(app.buildpack_description.as_deref(), Some("Node.js"));
    assert_eq!(app.slug_bytes, Some(3));
    assert!(app.released_at.is_some());
}
