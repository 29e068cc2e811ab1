//! One order at an authority, from placing it to the certificate. Each thing that the next server
//! would need to go on with it is written down before it is relied on.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, NewOrder, OrderStatus, Problem,
    RetryPolicy,
};
use model::Secret;
use model::steps::{Step, reached};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use store::acme::{self as rows, Order};
use store::{Poke, Tx};

use super::https::{Https, LeaveAlone};
use super::{account, outcome};
use crate::authorities::Acme;
use crate::{Control, Result};

/// How often the authority is asked whether it is done.
const POLLS: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(120));
/// Problems of the authority have types in this name space.
const NAMESPACE: &str = "urn:ietf:params:acme:error:";

/// A certificate that was issued.
pub(super) struct Issued {
    /// Its chain, in PEM.
    pub chain: String,
    /// Its key, in PEM.
    pub key: Secret,
}

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The reason, for people.
    pub reason: String,
    /// How long the authority wants to be left alone.
    pub leave_alone: Option<Duration>,
    /// Whether the authority does not know our account any more.
    pub account_is_gone: bool,
}

impl Refusal {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), leave_alone: None, account_is_gone: false }
    }

    /// What went wrong at the authority, in words for people.
    pub(super) fn of(error: &Error, said: &LeaveAlone) -> Self {
        let reason = match error {
            Error::Api(problem) => in_words(problem),
            Error::Timeout(_) => "The certificate authority is not done in time".to_owned(),
            other => format!("The certificate authority could not be asked: {other}"),
        };
        let account_is_gone = match error {
            Error::Api(problem) => kind(problem) == Some("accountDoesNotExist"),
            _ => false,
        };
        Self { reason, leave_alone: said.said(), account_is_gone }
    }
}

fn kind(problem: &Problem) -> Option<&str> {
    problem.r#type.as_deref().and_then(|kind| kind.strip_prefix(NAMESPACE))
}

impl From<crate::Error> for Refusal {
    fn from(error: crate::Error) -> Self {
        let error = &error as &dyn std::error::Error;
        tracing::error!(error, "an order for a certificate failed by the platform's fault");
        Self::new("The platform failed; its operator finds the cause in the server's log")
    }
}

fn in_words(problem: &Problem) -> String {
    let what = match kind(problem) {
        Some("dns") => "The name could not be looked up",
        Some("connection") => "The name does not lead here",
        Some("unauthorized" | "incorrectResponse") => {
            "What answers under the name is not this platform"
        }
        Some("caa") => "Failing CAA check",
        Some("rateLimited") => "The certificate authority's limit is reached",
        Some("rejectedIdentifier") => "The certificate authority does not accept the name",
        _ => "The certificate authority refused",
    };
    match &problem.detail {
        Some(detail) => format!("{what}: {detail}"),
        None => what.to_owned(),
    }
}

/// Obtains a certificate for a name: goes on with the order under way, or places one.
pub(super) async fn obtain(
    control: &Control,
    acme: &Acme,
    hostname: &str,
) -> Result<Issued, Refusal> {
    let https = Https::new(acme);
    let said = https.leave_alone();
    let refused = |error: Error| Refusal::of(&error, &said);
    let account = account::open(control, acme, https).await?;
    let (mut order, key) = match resume(control, &account, hostname).await? {
        Some(resumed) => resumed,
        None => place(control, &account, hostname, &said).await?,
    };
    if order.state().status == OrderStatus::Pending {
        prove(control, &mut order, hostname, &said).await?;
        let ended = order.poll_ready(&POLLS).await;
        if !matches!(ended, Ok(OrderStatus::Ready)) {
            return Err(why_not(&mut order, ended.err(), &said).await);
        }
    }
    if order.state().status == OrderStatus::Ready {
        outcome::verified(control, hostname).await?;
        order.finalize_csr(&request(hostname, &key)?).await.map_err(refused)?;
    }
    let chain = order.poll_certificate(&POLLS).await.map_err(refused)?;
    reached(Step::CertificateIssued);
    Ok(Issued { chain, key })
}

/// The order that the server before placed, if it is of any use.
async fn resume(
    control: &Control,
    account: &Account,
    hostname: &str,
) -> Result<Option<(instant_acme::Order, Secret)>, Refusal> {
    let name = hostname.to_owned();
    let Some(kept) = control.read(move |db| Ok(rows::order(db, &name)?)).await? else {
        return Ok(None);
    };
    // The authority may have forgotten it, or refused the name: another order then.
    let Ok(mut order) = account.order(kept.url).await else { return Ok(None) };
    let refused = order.state().status == OrderStatus::Invalid;
    Ok((!refused).then_some((order, kept.key)))
}

async fn place(
    control: &Control,
    account: &Account,
    hostname: &str,
    said: &LeaveAlone,
) -> Result<(instant_acme::Order, Secret), Refusal> {
    let key = KeyPair::generate().map_err(|error| crate::Error::internal(error.to_string()))?;
    let key = Secret::new(key.serialize_pem());
    let names = [Identifier::Dns(hostname.to_owned())];
    let order = account.new_order(&NewOrder::new(&names)).await;
    let order = order.map_err(|error| Refusal::of(&error, said))?;
    let kept = Order { url: order.url().to_owned(), key: key.clone() };
    let name = hostname.to_owned();
    control.write(move |_, tx| Ok(rows::set_order(tx, &name, &kept)?)).await?;
    reached(Step::CertificateOrdered);
    Ok((order, key))
}

/// Shows the authority that the name leads here: publishes its challenge's answer, waits until the
/// router gives it, and says so.
async fn prove(
    control: &Control,
    order: &mut instant_acme::Order,
    hostname: &str,
    said: &LeaveAlone,
) -> Result<(), Refusal> {
    let refused = |error: Error| Refusal::of(&error, said);
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(refused)?;
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        let Some(mut challenge) = authorization.challenge(ChallengeType::Http01) else {
            return Err(Refusal::new("The certificate authority does not offer HTTP-01"));
        };
        let (name, token) = (hostname.to_owned(), challenge.token.clone());
        let answer = challenge.key_authorization().as_str().to_owned();
        let publish = move |tx: &mut Tx<'_>| {
            tx.poke(Poke::Routes);
            Ok(rows::set_challenge(tx, &name, &token, &answer)?)
        };
        control.write(move |_, tx| publish(tx)).await?;
        reached(Step::ChallengeWritten);
        control.published.catches_up(&control.store).await;
        challenge.set_ready().await.map_err(refused)?;
    }
    Ok(())
}

/// The reason is in the challenge, not in the order.
async fn why_not(
    order: &mut instant_acme::Order,
    error: Option<Error>,
    said: &LeaveAlone,
) -> Refusal {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        let problem = state.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = problem {
            return Refusal { leave_alone: said.said(), ..Refusal::new(in_words(problem)) };
        }
    }
    match error {
        Some(error) => Refusal::of(&error, said),
        None => Refusal::new("The certificate authority refused without a reason"),
    }
}

/// The certificate signing request, in DER.
fn request(hostname: &str, key: &Secret) -> Result<Vec<u8>, Refusal> {
    let make = || {
        let key = KeyPair::from_pem(key.reveal())?;
        let mut params = CertificateParams::new(vec![hostname.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        Ok(params.serialize_request(&key)?.der().to_vec())
    };
    make().map_err(|error: rcgen::Error| crate::Error::internal(error.to_string()).into())
}
