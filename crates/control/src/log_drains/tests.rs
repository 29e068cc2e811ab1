//! Drains: who may add one, where it may lead, and what is refused.

use super::*;
use crate::testing::Lab;

async fn add(lab: &Lab, app: AppId, url: &str) -> Result<LogDrain> {
    create(&lab.control, &lab.who, app, url).await
}

fn text(result: Result<LogDrain>) -> String {
    result.map_or_else(|error| error.to_string(), |drain| format!("{drain:?}"))
}

#[tokio::test]
async fn a_drain_is_found_by_its_id_token_and_url() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let url = "https://me:secret@logs.example.com/x?y=z";
    let drain = add(&lab, app.id, url).await.expect("added");
    assert_eq!(drain.token(), format!("d.{}", drain.id));
    for wanted in [url.to_owned(), drain.token(), drain.id.to_string()] {
        let found = info(&lab.control, &lab.who, app.id, &wanted).await.expect("found");
        assert_eq!(found, drain);
    }
    let refused = info(&lab.control, &lab.who, app.id, "d.other").await.expect_err("none");
    assert_eq!(refused.to_string(), "Couldn't find that log drain.");
    let stranger = lab.stranger().await;
    assert!(list(&lab.control, &stranger, app.id).await.is_err());
}

#[tokio::test]
async fn refusals_are_in_herokus_words() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    add(&lab, app.id, "syslog://logs.example.com:1").await.expect("added");
    let twice = add(&lab, app.id, "syslog://logs.example.com:1").await;
    assert!(matches!(&twice, Err(Error::Conflict(text)) if text == "Already exists"), "{twice:?}");
    let bad = text(add(&lab, app.id, "gopher://x").await);
    assert!(bad.starts_with("Invalid drain destination: "), "{bad}");
    let inside = text(add(&lab, app.id, "http://169.254.169.254/latest/").await);
    assert!(inside.contains("169.254.169.254 is an internal address"), "{inside}");
    for port in 2..=5 {
        add(&lab, app.id, &format!("syslog://logs.example.com:{port}")).await.expect("added");
    }
    let sixth = text(add(&lab, app.id, "syslog://logs.example.com:6").await);
    assert_eq!(sixth, "You have already added the maximum number of drains allowed");
}

#[tokio::test]
async fn what_is_wanted_follows_what_is_stored() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let (to, mut seen) = watch::channel(Arc::default());
    let cancel = CancellationToken::new();
    let running = tokio::spawn(run(lab.control.clone(), to, cancel.clone()));
    let drain = add(&lab, app.id, "syslog://logs.example.com").await.expect("added");
    let there = seen.wait_for(|drains| drains.len() == 1).await.expect("published").clone();
    assert_eq!(*there, vec![Drain::from(drain.clone())]);
    delete(&lab.control, &lab.who, app.id, &drain.token()).await.expect("removed");
    seen.wait_for(|drains| drains.is_empty()).await.expect("published");
    add(&lab, app.id, "syslog://logs.example.com").await.expect("added");
    seen.wait_for(|drains| drains.len() == 1).await.expect("published");
    crate::apps::destroy(&lab.control, &lab.who, app.id).await.expect("destroyed");
    seen.wait_for(|drains| drains.is_empty()).await.expect("published");
    cancel.cancel();
    running.await.expect("ended");
}

#[tokio::test]
async fn a_password_is_not_readable_in_the_database() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    add(&lab, app.id, "https://me:hunter2hunter2@logs.example.com/").await.expect("added");
    let mut found = false;
    for entry in std::fs::read_dir(lab.directory.path()).expect("a directory").flatten() {
        let bytes = std::fs::read(entry.path()).unwrap_or_default();
        found |= bytes.windows(14).any(|part| part == b"hunter2hunter2");
    }
    assert!(!found);
}
