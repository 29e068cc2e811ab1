//! Log rules.

use super::*;
use crate::testing::Lab;

fn new(name: Option<&str>, target: NewTarget) -> NewLogRule {
    NewLogRule {
        name: name.map(str::to_owned),
        pattern: Pattern::Words("error".into()),
        dyno: None,
        source: Some(Source::App),
        target,
        every: None,
    }
}

fn email() -> NewTarget {
    NewTarget::Email("ada@example.com".into())
}

#[tokio::test]
async fn a_rule_is_kept_said_published_and_removed() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    lab.said();
    let url = "https://user:pass@example.com/hook".to_owned();
    let made = create(&lab.control, &lab.who, app.id, new(None, NewTarget::Webhook(url.clone())))
        .await
        .expect("made");
    assert_eq!((made.name.as_str(), made.every), ("alert-1", Duration::from_mins(5)));
    let Target::Webhook { url: kept, secret } = &made.target else { panic!("a webhook") };
    assert_eq!(kept.reveal(), url);
    assert!(secret.reveal().len() > 20);
    assert_eq!(
        list(&lab.control, &lab.who, app.id).await.expect("listed"),
        std::slice::from_ref(&made)
    );
    assert_eq!(info(&lab.control, &lab.who, app.id, "alert-1").await.expect("found"), made);

    let (to, mut published) = watch::channel(Arc::default());
    let cancel = CancellationToken::new();
    let publisher = tokio::spawn(publish(lab.control.clone(), to, cancel.clone()));
    published.wait_for(|rules| **rules == [made.clone()]).await.expect("published");
    remove(&lab.control, &lab.who, app.id, &made.id.to_string()).await.expect("removed");
    published.wait_for(|rules| rules.is_empty()).await.expect("published");
    cancel.cancel();
    publisher.await.expect("ended");
    assert_eq!(
        lab.said(),
        [
            "Add log alert alert-1 by user ada@example.com",
            "Remove log alert alert-1 by user ada@example.com",
        ]
    );
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let refused = async |new: NewLogRule| {
        let refused = create(&lab.control, &lab.who, app.id, new).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    };
    refused(new(Some("two words"), email())).await;
    refused(new(None, NewTarget::Webhook("syslog://example.com".into()))).await;
    refused(new(None, NewTarget::Webhook("nonsense".into()))).await;
    refused(NewLogRule { every: Some(Duration::from_secs(1)), ..new(None, email()) }).await;
    create(&lab.control, &lab.who, app.id, new(Some("one"), email())).await.expect("made");
    refused(new(Some("one"), email())).await;
    for _ in 1..MAX_PER_APP {
        create(&lab.control, &lab.who, app.id, new(None, email())).await.expect("made");
    }
    let many = create(&lab.control, &lab.who, app.id, new(None, email())).await;
    assert!(matches!(many, Err(Error::TooMany(_))), "{many:?}");
}

#[tokio::test]
async fn rules_of_others_are_not_found() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    create(&lab.control, &lab.who, app.id, new(Some("one"), email())).await.expect("made");
    let eve = lab.stranger().await;
    let hers = info(&lab.control, &eve, app.id, "one").await;
    assert!(matches!(hers, Err(Error::NotFound(Resource::App))), "{hers:?}");
    let hers = remove(&lab.control, &eve, app.id, "one").await;
    assert!(matches!(hers, Err(Error::NotFound(Resource::App))), "{hers:?}");
}
