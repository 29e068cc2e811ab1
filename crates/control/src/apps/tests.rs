//! Apps from creation to destruction.

use model::release::ReleaseStatus;

use super::*;
use crate::testing::Lab;

fn named(name: &str) -> NewApp {
    NewApp { name: Some(name.parse().expect("a name")), stack: None }
}

fn renamed(name: &str) -> Changes {
    Changes { name: Some(name.parse().expect("a name")), ..Default::default() }
}

#[tokio::test]
async fn a_new_app_has_a_domain_and_two_releases_and_says_so() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    assert_eq!((app.stack.as_str(), app.owner_email.as_str()), ("heroku-24", "ada@example.com"));
    let ledger = lab.ledger(&app).await;
    let row = |version, text: &str, current| {
        (version, text.to_owned(), ReleaseStatus::Succeeded, current)
    };
    assert_eq!(ledger, [row(1, "Initial release", false), row(2, "Enable Logplex", true)]);
    let domains = crate::domains::list(&lab.control, &lab.who, app.id).await.expect("listed");
    assert_eq!(domains.len(), 1);
    assert_eq!(domains[0].hostname, "demo.localhost");
    assert_eq!(
        lab.said(),
        [
            "Initial release by user ada@example.com",
            "Release v1 created by user ada@example.com",
            "Enable Logplex by user ada@example.com",
            "Release v2 created by user ada@example.com",
        ]
    );
}

#[tokio::test]
async fn an_app_without_a_name_gets_one() {
    let lab = Lab::new().await;
    let app = create(&lab.control, &lab.who, NewApp::default()).await.expect("created");
    let parts: Vec<&str> = app.name.as_str().split('-').collect();
    assert!(matches!(parts[..], [_, _, number] if number.len() == 5), "{}", app.name);
}

#[tokio::test]
async fn taken_names_and_names_of_the_platform_are_refused() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let refused = |made: Result<App>| made.unwrap_err().to_string();
    let eve = lab.stranger().await;
    let again = create(&lab.control, &eve, named("demo")).await;
    assert_eq!(refused(again), "Name demo is already taken");
    let platform = create(&lab.control, &eve, named("api")).await;
    assert_eq!(refused(platform), "Name api is already taken");
    lab.app("other").await;
    let rename = update(&lab.control, &lab.who, app.id, renamed("other")).await;
    assert_eq!(refused(rename), "Name other is already taken");
    assert!(lab.control.store.read(|db| apps::by_name(db, "api")).await.expect("read").is_none());
}

#[tokio::test]
async fn unknown_stacks_are_refused() {
    let lab = Lab::new().await;
    let new = NewApp { name: None, stack: Some("cedar".to_owned()) };
    let made = create(&lab.control, &lab.who, new).await;
    let text = "Stack cedar is not available. Available stacks: heroku-24, other-1.";
    assert_eq!(made.unwrap_err().to_string(), text);
}

#[tokio::test]
async fn another_ones_app_looks_like_none() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let eve = lab.stranger().await;
    for identity in ["demo", "nothing", &app.id.to_string(), &AppId::random().to_string()] {
        let found = info(&lab.control, &eve, identity).await;
        assert_eq!(found.unwrap_err().to_string(), "Couldn't find that app.", "{identity}");
    }
    assert!(update(&lab.control, &eve, app.id, Changes::default()).await.is_err());
    assert!(destroy(&lab.control, &eve, app.id).await.is_err());
    assert_eq!(list(&lab.control, &eve).await.expect("listed").len(), 0);
    for identity in ["demo", &app.id.to_string()] {
        assert_eq!(info(&lab.control, &lab.who, identity).await.expect("found").id, app.id);
    }
}

#[tokio::test]
async fn a_rename_takes_the_default_domain_along_and_makes_no_release() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let app = update(&lab.control, &lab.who, app.id, renamed("fresh")).await.expect("renamed");
    assert_eq!(app.name.as_str(), "fresh");
    let domains = crate::domains::list(&lab.control, &lab.who, app.id).await.expect("listed");
    assert_eq!(domains[0].hostname, "fresh.localhost");
    assert!(info(&lab.control, &lab.who, "demo").await.is_err());
    assert_eq!(lab.ledger(&app).await.len(), 2);
    lab.app("demo").await;
}

#[tokio::test]
async fn changes_are_all_or_nothing() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    lab.said();
    let bad = Changes {
        name: Some("fresh".parse().expect("a name")),
        maintenance: Some(true),
        build_stack: Some("cedar".to_owned()),
        boot_timeout_seconds: Some(90),
    };
    let long = Changes { boot_timeout_seconds: Some(181), ..Default::default() };
    assert!(update(&lab.control, &lab.who, app.id, long).await.is_err());
    assert!(update(&lab.control, &lab.who, app.id, bad).await.is_err());
    let same = info(&lab.control, &lab.who, "demo").await.expect("found");
    assert!(!same.maintenance);
    assert_eq!(lab.said(), Vec::<String>::new());
    let good = Changes {
        name: None,
        maintenance: Some(true),
        build_stack: Some("other-1".to_owned()),
        boot_timeout_seconds: Some(90),
    };
    let after = update(&lab.control, &lab.who, app.id, good).await.expect("changed");
    assert_eq!(after.boot_timeout_seconds, Some(90));
    let stacks = (after.stack.as_str(), after.build_stack.as_str());
    assert_eq!((after.maintenance, stacks), (true, ("heroku-24", "other-1")));
    assert_eq!(lab.said(), ["Maintenance mode enabled by user ada@example.com"]);
}

#[tokio::test]
async fn a_destroyed_app_is_invisible_and_its_name_is_free() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    destroy(&lab.control, &lab.who, app.id).await.expect("destroyed");
    for identity in ["demo", &app.id.to_string()] {
        assert!(info(&lab.control, &lab.who, identity).await.is_err(), "{identity}");
    }
    assert!(destroy(&lab.control, &lab.who, app.id).await.is_err());
    let again = lab.app("demo").await;
    assert_ne!(again.id, app.id);
    assert_eq!(list(&lab.control, &lab.who).await.expect("listed").len(), 1);
}
