//! Endpoints: who may serve what with which certificate.

use std::collections::HashMap;
use std::sync::Mutex;

use model::certificate::AcmStatus;
use rcgen::{CertificateParams, KeyPair};
use tokio_util::sync::CancellationToken;

use super::serve::Served;
use super::*;
use crate::authorities::{Acme, Authorities};
use crate::testing::Lab;
use crate::{acme as automatic, domains as hosts};

fn upload(names: &[&str]) -> Upload {
    let key = KeyPair::generate().expect("a key");
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let params = CertificateParams::new(names).expect("names");
    let chain = params.self_signed(&key).expect("signed").pem();
    Upload { chain, key: Secret::new(key.serialize_pem()) }
}

async fn added(lab: &Lab, app: &App, names: &[&str]) -> SniEndpoint {
    add(&lab.control, &lab.who, app.id, upload(names)).await.expect("added")
}

/// What the router would be given now: the first certificate's names by host.
async fn served(lab: &Lab) -> HashMap<String, Option<String>> {
    let seen: Mutex<Served<String>> = Mutex::default();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let publish = |served| *seen.lock().expect("whole") = served;
    let make = |pair: &serve::Pair| Some(pair.chain.clone());
    serve::run(lab.control.clone(), make, publish, cancel).await;
    seen.into_inner().expect("whole")
}

fn text<T: std::fmt::Debug>(outcome: Result<T>) -> String {
    outcome.expect_err("refused").to_string()
}

#[tokio::test]
async fn a_domain_is_served_with_the_certificate_it_is_told() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let (who, control) = (&lab.who, &lab.control);
    let endpoint = added(&lab, &app, &["www.example.com", "*.example.org"]).await;
    assert!(served(&lab).await.is_empty());
    let name = Some(endpoint.name.clone());
    hosts::add(control, who, app.id, "www.example.com", name.clone()).await.expect("added");
    hosts::add(control, who, app.id, "*.example.org", None).await.expect("added");
    hosts::update(control, who, app.id, "*.example.org", name.clone()).await.expect("told");
    let chain = Some(endpoint.certificate.chain.clone());
    let all = served(&lab).await;
    assert_eq!(all.get("www.example.com"), Some(&chain));
    assert_eq!(all.get("*.example.org"), Some(&chain));
    let uncovered = hosts::add(control, who, app.id, "www.example.net", name).await;
    assert!(text(uncovered).contains("does not cover www.example.net"));
    let unknown = hosts::add(control, who, app.id, "a.example.org", Some("none".into())).await;
    assert_eq!(text(unknown), "Couldn't find that sni endpoint.");
    let default = hosts::update(control, who, app.id, "demo.localhost", None).await;
    assert!(text(default).contains("platform's own certificate"));
    let removed = remove(control, who, app.id, &endpoint.id.to_string()).await.expect("removed");
    assert_eq!(removed.domains.len(), 2);
    assert!(served(&lab).await.is_empty());
}

#[tokio::test]
async fn another_certificate_must_cover_what_is_served() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let endpoint = added(&lab, &app, &["www.example.com"]).await;
    let name = Some(endpoint.name.clone());
    hosts::add(&lab.control, &lab.who, app.id, "www.example.com", name).await.expect("added");
    let change = |names| update(&lab.control, &lab.who, app.id, &endpoint.name, upload(names));
    assert!(text(change(&["other.example.com"]).await).contains("does not cover www.example.com"));
    let updated = change(&["*.example.com"]).await.expect("updated");
    assert_eq!((updated.id, updated.domains.len()), (endpoint.id, 1));
    assert_ne!(updated.certificate.id, endpoint.certificate.id);
    let chain = served(&lab).await.remove("www.example.com").expect("served");
    assert_eq!(chain.as_ref(), Some(&updated.certificate.chain));
    let kept = lab
        .control
        .read(move |db| Ok(rows::pair(db, endpoint.certificate.id)?))
        .await
        .expect("read");
    assert!(kept.is_none(), "the old key is gone");
}

#[tokio::test]
async fn nobody_else_sees_or_uses_a_certificate() {
    let lab = Lab::new().await;
    let (one, two) = (lab.app("one").await, lab.app("two").await);
    let endpoint = added(&lab, &one, &["www.example.com"]).await;
    let eve = lab.stranger().await;
    assert!(list(&lab.control, &eve, one.id).await.is_err());
    assert!(remove(&lab.control, &eve, one.id, &endpoint.name).await.is_err());
    let borrowed =
        hosts::add(&lab.control, &lab.who, two.id, "www.example.com", Some(endpoint.name)).await;
    assert_eq!(text(borrowed), "Couldn't find that sni endpoint.");
}

#[tokio::test]
async fn a_name_below_another_apps_wildcard_is_not_shown_its_certificate() {
    let lab = Lab::new().await;
    let (one, two) = (lab.app("one").await, lab.app("two").await);
    let endpoint = added(&lab, &one, &["*.example.com"]).await;
    let add = |app: &App, host: &'static str, name| {
        hosts::add(&lab.control, &lab.who, app.id, host, name)
    };
    add(&one, "*.example.com", Some(endpoint.name)).await.expect("added");
    add(&one, "own.example.com", None).await.expect("added");
    add(&two, "www.example.com", None).await.expect("added");
    let all = served(&lab).await;
    assert_eq!(all.get("www.example.com"), Some(&None), "the platform's");
    assert_eq!(all.get("own.example.com"), None, "falls to the wildcard");
    assert!(all["*.example.com"].is_some());
}

#[tokio::test]
async fn a_destroyed_app_leaves_no_key() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let endpoint = added(&lab, &app, &["www.example.com"]).await;
    let name = Some(endpoint.name.clone());
    hosts::add(&lab.control, &lab.who, app.id, "www.example.com", name).await.expect("added");
    crate::apps::destroy(&lab.control, &lab.who, app.id).await.expect("destroyed");
    assert!(served(&lab).await.is_empty());
    let pair = lab.control.read(move |db| Ok(rows::pair(db, endpoint.certificate.id)?)).await;
    assert!(pair.expect("read").is_none());
}

#[tokio::test]
async fn automatic_certificates_need_an_operator_who_set_them_up() {
    let mut lab = Lab::new().await;
    let app = lab.app("demo").await;
    let refused = automatic::enable(&lab.control, &lab.who, app.id).await;
    assert!(text(refused).contains("not set up on this platform"));
    let acme = Acme {
        directory: "https://localhost:1/dir".to_owned(),
        contact: None,
        roots: vec![],
        renew_after: None,
        platform_names: false,
    };
    lab.control = lab.control.clone().with_authorities(Authorities::new(vec![], Some(acme)));
    assert!(automatic::refresh(&lab.control, &lab.who, app.id).await.is_err(), "not enabled");
    let add = |host: &'static str| hosts::add(&lab.control, &lab.who, app.id, host, None);
    add("www.example.com").await.expect("added");
    let enabled = automatic::enable(&lab.control, &lab.who, app.id).await.expect("enabled");
    assert!(enabled.acm);
    let wild = add("*.example.com").await.expect("added");
    assert_eq!(wild.acm.expect("a state").status, AcmStatus::Failed);
    let all = hosts::list(&lab.control, &lab.who, app.id).await.expect("listed");
    let states: Vec<_> = all.iter().map(|one| one.acm.as_ref().map(|acm| acm.status)).collect();
    assert_eq!(states, [None, Some(AcmStatus::Pending), Some(AcmStatus::Failed)]);
    let endpoint = added(&lab, &app, &["www.example.com"]).await;
    let told =
        hosts::update(&lab.control, &lab.who, app.id, "www.example.com", Some(endpoint.name)).await;
    assert!(text(told).contains("certs:auto:disable"));
    let disabled = automatic::disable(&lab.control, &lab.who, app.id).await.expect("disabled");
    assert!(!disabled.acm);
    let domain = hosts::info(&lab.control, &lab.who, app.id, "www.example.com").await;
    assert_eq!(domain.expect("found").acm, None);
}
