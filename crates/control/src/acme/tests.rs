//! Which names are asked for and when, and what refusals make of them.

use model::certificate::AcmStatus;
use model::{App, Secret};
use rcgen::{CertificateParams, KeyPair};

use super::obtain::{Issued, Refusal};
use super::*;
use crate::authorities::Authorities;
use crate::testing::Lab;
use crate::{certificates as verbs, domains};

fn authority(platform_names: bool) -> Acme {
    Acme {
        directory: "https://localhost:1/dir".to_owned(),
        contact: None,
        roots: vec![],
        renew_after: None,
        platform_names,
    }
}

async fn lab(platform_names: bool) -> (Lab, Arc<Acme>) {
    let mut lab = Lab::new().await;
    let authorities = Authorities::new(vec![], Some(authority(platform_names)));
    lab.control = lab.control.clone().with_authorities(authorities);
    let acme = lab.control.authorities.acme.clone().expect("set");
    (lab, acme)
}

async fn automatic_app(lab: &Lab, hosts: &[&str]) -> App {
    let app = lab.app("demo").await;
    for host in hosts {
        domains::add(&lab.control, &lab.who, app.id, host, None).await.expect("added");
    }
    enable(&lab.control, &lab.who, app.id).await.expect("enabled")
}

/// The names due now. The first question writes down what is missing.
async fn due_names(lab: &Lab, acme: &Arc<Acme>) -> Vec<String> {
    due(&lab.control, acme).await.expect("asked");
    let mut names = due(&lab.control, acme).await.expect("asked").names;
    names.sort();
    names
}

fn good(names: &[&str], days: i32) -> Issued {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(names).expect("names");
    let now = Timestamp::now().micros() / 1_000_000;
    let at = |days: i32| {
        rcgen::date_time_ymd(1970, 1, 1)
            + Duration::from_secs(u64::try_from(now).expect("now"))
            + Duration::from_secs(u64::try_from(days).expect("days") * 86_400)
    };
    (params.not_before, params.not_after) = (at(0), at(days));
    let chain = params.self_signed(&key).expect("signed").pem();
    Issued { chain, key: Secret::new(key.serialize_pem()) }
}

async fn row(lab: &Lab, host: &'static str) -> store::acme::Name {
    lab.control.read(move |db| Ok(rows::find(db, host)?)).await.expect("read").expect("a row")
}

#[tokio::test]
async fn custom_domains_of_apps_that_want_it_are_asked_for() {
    let (lab, acme) = lab(false).await;
    let app = automatic_app(&lab, &["www.example.com", "*.example.org", "example.com"]).await;
    let other = lab.app("other").await;
    domains::add(&lab.control, &lab.who, other.id, "other.example.net", None).await.expect("added");
    assert_eq!(due_names(&lab, &acme).await, ["example.com", "www.example.com"]);
    domains::remove(&lab.control, &lab.who, app.id, "example.com").await.expect("removed");
    assert_eq!(due_names(&lab, &acme).await, ["www.example.com"]);
    disable(&lab.control, &lab.who, app.id).await.expect("disabled");
    assert!(due_names(&lab, &acme).await.is_empty());
}

#[tokio::test]
async fn the_platforms_names_are_asked_for_once_their_apps_are_released() {
    let (lab, acme) = lab(true).await;
    let app = lab.app("demo").await;
    assert_eq!(due_names(&lab, &acme).await, ["api.localhost", "localhost"]);
    lab.deploy(&app, "c0ffee", &[("web", "serve")]).await;
    assert_eq!(due_names(&lab, &acme).await, ["api.localhost", "demo.localhost", "localhost"]);
    let changes = crate::apps::Changes {
        name: Some("renamed".parse().expect("good")),
        ..crate::apps::Changes::default()
    };
    crate::apps::update(&lab.control, &lab.who, app.id, changes).await.expect("renamed");
    assert_eq!(due_names(&lab, &acme).await, ["api.localhost", "localhost", "renamed.localhost"]);
}

#[tokio::test]
async fn an_issued_certificate_serves_and_is_renewed_in_its_place() {
    let (lab, acme) = lab(false).await;
    let app = automatic_app(&lab, &["www.example.com"]).await;
    due_names(&lab, &acme).await;
    let settle = |issued| outcome::settle(&lab.control, &acme, "www.example.com", Ok(issued));
    settle(good(&["www.example.com"], 90)).await.expect("written");
    let domain = domains::info(&lab.control, &lab.who, app.id, "www.example.com").await;
    let domain = domain.expect("found");
    assert_eq!(domain.acm.expect("a state").status, AcmStatus::Issued);
    let first = verbs::list(&lab.control, &lab.who, app.id).await.expect("listed").remove(0);
    assert_eq!((first.origin, &first.domains), (Origin::Automatic, &vec![domain.id]));
    assert!(due_names(&lab, &acme).await.is_empty(), "not before two thirds of its life");
    let wait = row(&lab, "www.example.com").await.next_at.since(Timestamp::now());
    assert_eq!(wait.as_secs() / 86_400, 59);
    let refused = verbs::remove(&lab.control, &lab.who, app.id, &first.name).await;
    assert!(refused.expect_err("refused").to_string().contains("certs:auto:disable"));

    settle(good(&["www.example.com"], 90)).await.expect("written");
    let second = verbs::list(&lab.control, &lab.who, app.id).await.expect("listed");
    assert_eq!((second.len(), second[0].id), (1, first.id));
    assert_ne!(second[0].certificate.id, first.certificate.id);
    disable(&lab.control, &lab.who, app.id).await.expect("disabled");
    assert!(verbs::list(&lab.control, &lab.who, app.id).await.expect("listed").is_empty());
}

#[tokio::test]
async fn a_persons_certificate_takes_over_from_automatic_ones() {
    let (lab, acme) = lab(false).await;
    let app = automatic_app(&lab, &["www.example.com", "example.com"]).await;
    due_names(&lab, &acme).await;
    for host in ["www.example.com", "example.com"] {
        let issued = Ok(good(&[host], 90));
        outcome::settle(&lab.control, &acme, host, issued).await.expect("written");
    }
    let all = verbs::list(&lab.control, &lab.who, app.id).await.expect("listed");
    let Issued { chain, key } = good(&["www.example.com", "example.com"], 300);
    let upload = verbs::Upload { chain, key };
    verbs::update(&lab.control, &lab.who, app.id, &all[0].name, upload).await.expect("updated");
    let all = verbs::list(&lab.control, &lab.who, app.id).await.expect("listed");
    assert!(all.iter().all(|one| one.origin == Origin::Uploaded && one.domains.len() == 1));
    assert!(due_names(&lab, &acme).await.is_empty());
    let app = crate::apps::info(&lab.control, &lab.who, "demo").await.expect("found");
    assert!(!app.acm);
}

#[tokio::test]
async fn a_refusal_is_shown_and_asked_for_again_later() {
    let (lab, acme) = lab(false).await;
    let app = automatic_app(&lab, &["www.example.com"]).await;
    due_names(&lab, &acme).await;
    let refuse = |refusal| outcome::settle(&lab.control, &acme, "www.example.com", Err(refusal));
    refuse(Refusal::new("The name does not lead here")).await.expect("written");
    let domain = domains::info(&lab.control, &lab.who, app.id, "www.example.com").await;
    let acm = domain.expect("found").acm.expect("a state");
    assert_eq!(acm.status, AcmStatus::Failing);
    assert_eq!(acm.reason.as_deref(), Some("The name does not lead here"));
    assert!(due_names(&lab, &acme).await.is_empty());
    assert!(lab.said().iter().any(|line| line.contains("The name does not lead here")));

    let hour = Duration::from_secs(3600);
    let limit = Refusal { leave_alone: Some(24 * hour), ..Refusal::new("too many") };
    refuse(limit).await.expect("written");
    let wait = row(&lab, "www.example.com").await.next_at.since(Timestamp::now());
    assert!(wait > 23 * hour, "the authority's wish counts: {wait:?}");

    refresh(&lab.control, &lab.who, app.id).await.expect("refreshed");
    assert_eq!(due_names(&lab, &acme).await, ["www.example.com"]);
    for _ in 0..6 {
        refuse(Refusal::new("again")).await.expect("written");
    }
    assert_eq!(row(&lab, "www.example.com").await.status, AcmStatus::Failed);
    assert!(row(&lab, "www.example.com").await.next_at > Timestamp::now(), "never given up");
}

#[tokio::test]
async fn a_refused_renewal_leaves_the_good_certificate_issued() {
    let (lab, acme) = lab(false).await;
    let app = automatic_app(&lab, &["www.example.com"]).await;
    due_names(&lab, &acme).await;
    let settle = |outcome| outcome::settle(&lab.control, &acme, "www.example.com", outcome);
    settle(Ok(good(&["www.example.com"], 90))).await.expect("written");
    settle(Err(Refusal::new("no"))).await.expect("written");
    let domain = domains::info(&lab.control, &lab.who, app.id, "www.example.com").await;
    let domain = domain.expect("found");
    assert!(domain.endpoint.is_some());
    let acm = domain.acm.expect("a state");
    assert_eq!((acm.status, acm.reason.as_deref()), (AcmStatus::Issued, Some("no")));
}

#[tokio::test]
async fn a_certificate_for_another_name_is_a_refusal() {
    let (lab, acme) = lab(false).await;
    automatic_app(&lab, &["www.example.com"]).await;
    due_names(&lab, &acme).await;
    let wrong = Ok(good(&["evil.example.com"], 90));
    outcome::settle(&lab.control, &acme, "www.example.com", wrong).await.expect("written");
    assert_eq!(row(&lab, "www.example.com").await.status, AcmStatus::Failing);
}

#[tokio::test]
async fn so_many_names_of_the_platform_a_week_and_no_more() {
    let (lab, acme) = lab(true).await;
    for number in 0..45 {
        let app = lab.app(&format!("demo-{number:02}")).await;
        lab.deploy(&app, "c0ffee", &[("web", "serve")]).await;
        if number < 20 {
            due_names(&lab, &acme).await;
            crate::apps::destroy(&lab.control, &lab.who, app.id).await.expect("destroyed");
        }
    }
    due_names(&lab, &acme).await;
    let all = lab.control.read(|db| Ok(rows::names(db)?)).await.expect("read");
    assert_eq!(all.len(), 40, "destroyed ones count");
}
