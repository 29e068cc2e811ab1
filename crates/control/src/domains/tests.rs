//! Domains and the names that are refused.

use super::*;
use crate::testing::Lab;

#[tokio::test]
async fn a_custom_domain_is_added_found_and_removed() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let added = add(&lab.control, &lab.who, app.id, "WWW.Example.com.", None).await.expect("added");
    assert_eq!((added.hostname.as_str(), added.kind), ("www.example.com", DomainKind::Custom));
    assert!(added.cname.as_ref().is_some_and(|cname| cname.ends_with(".localhost")));
    add(&lab.control, &lab.who, app.id, "*.example.com", None).await.expect("added");
    let all = list(&lab.control, &lab.who, app.id).await.expect("listed");
    let names: Vec<&str> = all.iter().map(|domain| domain.hostname.as_str()).collect();
    assert_eq!(names, ["demo.localhost", "www.example.com", "*.example.com"]);
    for identity in ["www.EXAMPLE.com", &added.id.to_string()] {
        let found = info(&lab.control, &lab.who, app.id, identity).await.expect("found");
        assert_eq!(found.id, added.id);
    }
    remove(&lab.control, &lab.who, app.id, "www.example.com").await.expect("removed");
    let gone = remove(&lab.control, &lab.who, app.id, "www.example.com").await;
    assert!(matches!(gone, Err(Error::NotFound(Resource::Domain))));
}

#[tokio::test]
async fn the_default_domain_stays() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let removed = remove(&lab.control, &lab.who, app.id, "demo.localhost").await;
    assert!(matches!(removed, Err(Error::Invalid(_))));
}

#[tokio::test]
async fn names_that_are_taken_ours_or_none_are_refused() {
    let lab = Lab::new().await;
    let (one, two) = (lab.app("one").await, lab.app("two").await);
    add(&lab.control, &lab.who, one.id, "www.example.com", None).await.expect("added");
    let bad = [
        "www.example.com",
        "free.localhost",
        "*.localhost",
        "one.localhost",
        "localhost",
        "example",
        "",
        ".",
        "a..b",
        "-a.com",
        "a-.com",
        "*",
        "*.*.com",
        "a.*.com",
        "10.0.0.1",
        "a b.com",
        "a.com:80",
        "http://a.com",
        "xn--a.com",
        &format!("{}.com", "a".repeat(64)),
    ];
    for hostname in bad {
        let added = add(&lab.control, &lab.who, two.id, hostname, None).await;
        assert!(matches!(added, Err(Error::Invalid(_))), "{hostname}: {added:?}");
    }
    let eve = lab.stranger().await;
    assert!(add(&lab.control, &eve, one.id, "eve.example.com", None).await.is_err());
}
