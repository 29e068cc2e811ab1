//! Scaling, and following slugs.

use super::*;
use crate::testing::Lab;

fn to(process_type: &str, quantity: &str) -> Scale {
    let quantity = Some(quantity.parse().expect("a quantity"));
    Scale { process_type: process_type.parse().expect("a type"), quantity, size: None }
}

fn sized(process_type: &str, size: &str) -> Scale {
    let size = Some(size.parse().expect("a size"));
    Scale { process_type: process_type.parse().expect("a type"), quantity: None, size }
}

fn shape(rows: &[Formation]) -> Vec<String> {
    rows.iter().map(|row| format!("{}@{}:{}", row.process_type, row.quantity, row.size)).collect()
}

const TYPES: &[(&str, &str)] = &[("web", "node web.js"), ("worker", "node worker.js")];

#[tokio::test]
async fn the_first_deploy_starts_one_web_dyno_and_nothing_else() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    assert_eq!(list(&lab.control, &lab.who, app.id).await.expect("listed").len(), 0);
    lab.deploy(&app, "409cdef5a1b2c3d4", TYPES).await;
    let rows = list(&lab.control, &lab.who, app.id).await.expect("listed");
    assert_eq!(shape(&rows), ["web@1:Standard-1X", "worker@0:Standard-1X"]);
    assert_eq!(
        lab.said()[4..],
        [
            "Build started by user ada@example.com",
            "Deploy 409cdef5 by user ada@example.com",
            "Release v3 created by user ada@example.com",
            "Scaled to web@1:Standard-1X worker@0:Standard-1X by user ada@example.com",
            "Build succeeded",
        ]
    );
}

#[tokio::test]
async fn scaling_is_exact_or_relative_and_says_the_whole_formation() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    lab.deploy(&app, "a", TYPES).await;
    lab.said();
    let before = apps_generation(&lab, app.id).await;
    let changes = vec![to("web", "+2"), to("worker", "1"), sized("worker", "standard-2x")];
    let rows = scale(&lab.control, &lab.who, app.id, changes).await.expect("scaled");
    assert_eq!(shape(&rows), ["web@3:Standard-1X", "worker@1:Standard-2X"]);
    let line = "Scaled to web@3:Standard-1X worker@1:Standard-2X by user ada@example.com";
    assert_eq!(lab.said(), [line]);
    assert!(apps_generation(&lab, app.id).await > before);
    let rows = scale(&lab.control, &lab.who, app.id, vec![to("web", "-1")]).await.expect("scaled");
    assert_eq!(rows[0].quantity, 2);
    assert_eq!(lab.ledger(&app).await.len(), 3, "scaling makes no release");
}

async fn apps_generation(lab: &Lab, app: AppId) -> u64 {
    crate::apps::find(&lab.control, app).await.expect("found").generation
}

#[tokio::test]
async fn a_bad_change_in_a_batch_leaves_all_as_it_was() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    lab.deploy(&app, "a", &[("web", "w"), ("worker", "x"), ("release", "true")]).await;
    let settle = crate::releases::list(&lab.control, &lab.who, app.id).await.expect("listed");
    let id = settle.last().expect("one").id;
    lab.control
        .write(move |control, tx| crate::releases::succeed(control, tx, id))
        .await
        .expect("ok");
    lab.said();
    let bad = [
        (to("nothing", "1"), "Couldn't find that process type (nothing)."),
        (to("web", "-9"), "Cannot scale web below 0."),
        (to("web", "101"), "Cannot scale to 101 dynos: an app may have at most 100."),
        (to("release", "1"), "Cannot scale release: it runs once for each release."),
        (
            sized("web", "basic"),
            "Cannot mix Basic dynos with other dyno sizes in one app. Change all process types at once.",
        ),
    ];
    for (change, text) in bad {
        let changes = vec![to("worker", "5"), change];
        let refused = scale(&lab.control, &lab.who, app.id, changes).await;
        assert_eq!(refused.unwrap_err().to_string(), text);
    }
    let rows = list(&lab.control, &lab.who, app.id).await.expect("listed");
    let same = ["release@0:Standard-1X", "web@1:Standard-1X", "worker@0:Standard-1X"];
    assert_eq!(shape(&rows), same);
    assert_eq!(lab.said(), Vec::<String>::new());
    let eve = lab.stranger().await;
    assert!(scale(&lab.control, &eve, app.id, vec![to("web", "2")]).await.is_err());
}

#[tokio::test]
async fn a_later_slug_keeps_quantities_adds_types_at_zero_and_drops_types() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    lab.deploy(&app, "a", TYPES).await;
    let changes = vec![to("web", "2"), sized("web", "standard-2x"), sized("worker", "standard-2x")];
    scale(&lab.control, &lab.who, app.id, changes).await.expect("scaled");
    lab.said();
    lab.deploy(&app, "b", &[("web", "node new.js"), ("clock", "tick")]).await;
    let rows = list(&lab.control, &lab.who, app.id).await.expect("listed");
    assert_eq!(shape(&rows), ["clock@0:Standard-2X", "web@2:Standard-2X"]);
    assert_eq!(rows[1].command, "node new.js");
    assert!(!lab.said().iter().any(|line| line.starts_with("Scaled")));
}
