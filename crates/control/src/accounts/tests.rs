//! Accounts, tokens and passwords.

use std::time::Duration;

use super::*;
use crate::Resource;
use crate::testing::Lab;

#[tokio::test]
async fn the_first_account_is_made_once() {
    let lab = Lab::new().await;
    assert!(ensure_first(&lab.control, "other@example.com").await.expect("asked").is_none());
    let all = list(&lab.control).await.expect("listed");
    assert_eq!(all.iter().map(|one| one.email.as_str()).collect::<Vec<_>>(), ["ada@example.com"]);
}

#[tokio::test]
async fn a_token_finds_its_account_until_it_is_deleted() {
    let lab = Lab::new().await;
    let (eve, token) = create(&lab.control, " Eve@Example.com ").await.expect("made");
    assert_eq!(eve.email, "eve@example.com");
    let found = by_token(&lab.control, &token).await.expect("asked").expect("found");
    assert_eq!(found.id, eve.id);
    let authorization =
        authorizations::by_token(&lab.control, &token).await.expect("asked").expect("found");
    assert!(authorization.token.is_none(), "the token is shown once only");
    authorizations::delete(&lab.control, &eve, authorization.id).await.expect("deleted");
    assert!(by_token(&lab.control, &token).await.expect("asked").is_none());
    let wrong = Secret::new("hythe-wrong");
    assert!(by_token(&lab.control, &wrong).await.expect("asked").is_none());
}

#[tokio::test]
async fn an_expired_token_works_no_more() {
    let lab = Lab::new().await;
    let new = |expires_in| NewAuthorization { expires_in, ..Default::default() };
    let short = authorizations::create(&lab.control, &lab.who, new(Some(Duration::ZERO)));
    let short = short.await.expect("made").token.expect("shown");
    let long = authorizations::create(&lab.control, &lab.who, new(Some(Duration::from_secs(60))));
    let long = long.await.expect("made").token.expect("shown");
    assert!(by_token(&lab.control, &short).await.expect("asked").is_none());
    assert!(by_token(&lab.control, &long).await.expect("asked").is_some());
}

#[tokio::test]
async fn nobody_sees_or_deletes_another_ones_authorization() {
    let lab = Lab::new().await;
    let eve = lab.stranger().await;
    let made = authorizations::create(&lab.control, &lab.who, NewAuthorization::default());
    let id = made.await.expect("made").id;
    let not_found = |error| matches!(error, Error::NotFound(Resource::Authorization));
    let seen = authorizations::info(&lab.control, &eve, id).await;
    assert!(seen.is_err_and(not_found));
    assert!(authorizations::delete(&lab.control, &eve, id).await.is_err_and(not_found));
    assert!(authorizations::info(&lab.control, &lab.who, id).await.is_ok());
    assert_eq!(authorizations::list(&lab.control, &lab.who).await.expect("listed").len(), 2);
}

#[tokio::test]
async fn a_password_works_only_for_its_account() {
    let lab = Lab::new().await;
    let (control, email) = (&lab.control, lab.who.email.as_str());
    let (right, wrong) = (Secret::new("correct horse"), Secret::new("wrong horse"));
    assert!(by_password(control, email, &right).await.expect("asked").is_none());
    set_password(control, lab.who.id, &right).await.expect("set");
    let found = by_password(control, "ADA@example.com", &right).await.expect("asked");
    assert_eq!(found.map(|found| found.id), Some(lab.who.id));
    assert!(by_password(control, email, &wrong).await.expect("asked").is_none());
    assert!(by_password(control, "no@example.com", &right).await.expect("asked").is_none());
}

#[tokio::test]
async fn bad_addresses_and_passwords_are_refused() {
    let lab = Lab::new().await;
    for bad in ["", "ada", "@b", "a@", "a@b@c", "a b@c", "a@b\u{7}c"] {
        let made = create(&lab.control, bad).await;
        assert!(matches!(made, Err(Error::Invalid(_))), "{bad:?}");
    }
    let taken = create(&lab.control, "ada@example.com").await;
    assert_eq!(taken.unwrap_err().to_string(), "Email has already been taken");
    for bad in ["short", &"x".repeat(MAX_PASSWORD_BYTES + 1)] {
        let set = set_password(&lab.control, lab.who.id, &Secret::new(bad)).await;
        assert!(matches!(set, Err(Error::Invalid(_))));
    }
}

#[tokio::test]
async fn a_rotated_authorization_works_with_the_new_token_only_and_ends_when_it_did() {
    let lab = Lab::new().await;
    let new = NewAuthorization { expires_in: Some(Duration::from_secs(60)), ..Default::default() };
    let made = authorizations::create(&lab.control, &lab.who, new).await.expect("made");
    let eve = lab.stranger().await;
    assert!(authorizations::rotate(&lab.control, &eve, made.id).await.is_err());
    let rotated = authorizations::rotate(&lab.control, &lab.who, made.id).await.expect("rotated");
    assert_eq!(rotated.expires_at, made.expires_at);
    for (token, works) in [(made.token, false), (rotated.token, true)] {
        let token = token.expect("shown");
        let found = authorizations::by_token(&lab.control, &token).await.expect("asked");
        assert_eq!(found.map(|found| found.id), works.then_some(made.id));
    }
}
