//! Features of apps.

use super::*;
use crate::testing::Lab;

async fn on(lab: &Lab, app: &App) -> Vec<&'static str> {
    let all = list(&lab.control, &lab.who, app.id).await.expect("listed");
    all.iter().filter(|one| one.switch.is_on()).map(|one| one.feature.name()).collect()
}

#[tokio::test]
async fn a_switched_feature_is_listed_said_and_no_release() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    assert_eq!(on(&lab, &app).await, ["preboot"]);
    let before = lab.ledger(&app).await;
    lab.said();
    for (name, to) in [("log-runtime-metrics", Switch::On), ("preboot", Switch::Off)] {
        let now = switch(&lab.control, &lab.who, app.id, name, to).await.expect("switched");
        assert_eq!((now.feature.name(), now.switch), (name, to));
        // Saying it again changes and says nothing.
        switch(&lab.control, &lab.who, app.id, name, to).await.expect("switched");
    }
    assert_eq!(
        lab.said(),
        [
            "Feature log-runtime-metrics enabled by user ada@example.com",
            "Feature preboot disabled by user ada@example.com",
        ]
    );
    assert_eq!(on(&lab, &app).await, ["log-runtime-metrics"]);
    assert_eq!(lab.ledger(&app).await, before);
    let wanted = lab.control.read(|db| Ok(store::desired::read(db)?)).await.expect("read");
    let features = &wanted.apps[0].features;
    assert!(features.has(Feature::LogRuntimeMetrics) && !features.has(Feature::Preboot));
}

#[tokio::test]
async fn unknown_features_and_other_peoples_apps_are_not_found() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let unknown = info(&lab.control, &lab.who, app.id, "telepathy").await;
    assert!(matches!(unknown, Err(Error::NotFound(Resource::Feature))), "{unknown:?}");
    let eve = lab.stranger().await;
    let hers = switch(&lab.control, &eve, app.id, "preboot", Switch::Off).await;
    assert!(matches!(hers, Err(Error::NotFound(Resource::App))), "{hers:?}");
}
