//! Which links of the schema are served, and that each served one was seen to obey it.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::Value;

use crate::answers;
use crate::platform::Platform;
use crate::schema::{Link, sorted};

const LISTED: &str = include_str!("../../endpoints.txt");

/// Things that this version cannot make, so that none can be found.
const ABSENT: [&str; 15] = [
    "add_on",
    "add_on attachment",
    "add_on service",
    "app transfer",
    "client",
    "enterprise account",
    "feature",
    "key",
    "pipeline",
    "pipeline_coupling",
    "review_app",
    "session",
    "space",
    "team",
    "webhook",
];

/// A path of this link that leads to nothing, so that asking changes nothing.
fn nowhere(link: &Link) -> String {
    let part = |part: &str| match part {
        "{app}" | "{team-app}" => "no-such-app".to_owned(),
        _ if part.starts_with('{') => "01234567-89ab-cdef-0123-456789abcdef".to_owned(),
        _ => part.to_owned(),
    };
    link.template.split('/').map(part).collect::<Vec<_>>().join("/")
}

async fn is_served(platform: &Platform, link: &Link) -> bool {
    let answer = platform.ask(&link.method, &nowhere(link), Value::Null).await;
    answer.status.is_success() || answer.json()["id"] != "not_implemented"
}

/// The list may only shrink: when this fails because more is served, remove the lines.
#[tokio::test]
async fn the_list_of_unserved_endpoints_is_exact() {
    let platform = Platform::start().await;
    let mut unserved = Vec::new();
    for link in &platform.schema.links {
        if !is_served(&platform, link).await {
            unserved.push(link);
        }
    }
    let unserved = sorted(unserved.into_iter());
    let listed: Vec<_> = LISTED.lines().map(str::to_owned).collect();
    assert_eq!(listed, unserved);
}

/// An endpoint is served when it is not listed, so a schema link that no route takes at all would
/// look served if it were missing from the list: it is told apart by its message.
#[tokio::test]
async fn every_link_of_the_schema_is_either_routed_or_listed() {
    let platform = Platform::start().await;
    for link in &platform.schema.links {
        let answer = platform.ask(&link.method, &nowhere(link), Value::Null).await;
        let lost = answer.status == StatusCode::NOT_FOUND && answer.json()["resource"].is_null();
        assert!(!lost, "{} is neither routed nor listed", link.name());
    }
}

#[tokio::test]
async fn every_served_endpoint_obeys_the_schema() {
    let platform = Platform::start().await;
    answers::walk(&platform).await;
    let obeyed = platform.obeyed.borrow().clone();
    let listed: BTreeSet<_> = LISTED.lines().collect();
    for link in &platform.schema.links {
        let name = link.name();
        if listed.contains(name.as_str()) || obeyed.contains(&name) {
            continue;
        }
        let word = platform.ask(&link.method, &somewhere(link), Value::Null).await;
        let word = word.json()["resource"].as_str().unwrap_or_default().to_owned();
        assert!(ABSENT.contains(&word.as_str()), "{name} was never seen to succeed ({word})");
    }
}

/// A path of this link in an app that exists.
fn somewhere(link: &Link) -> String {
    nowhere(link).replace("no-such-app", answers::OTHER_APP)
}
