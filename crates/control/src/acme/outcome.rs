//! What came of an order: the certificate into its place, or the reason and when to ask again.

use std::sync::Arc;
use std::time::Duration;

use model::certificate::{self, AcmStatus, Origin, SniEndpoint, covers};
use model::domain::Domain;
use model::steps::{Step, reached};
use model::{CertificateId, Timestamp};
use rustls::RootCertStore;
use store::acme::{self as rows, Name};
use store::{Poke, Tx, certificates as endpoints, domains};

use super::obtain::{Issued, Refusal};
use crate::authorities::Acme;
use crate::certificates::{self, bundle, bundle::Bundle};
use crate::{Control, Result};

/// The authority has seen that the name leads here.
pub(super) async fn verified(control: &Control, hostname: &str) -> Result<()> {
    let hostname = hostname.to_owned();
    control
        .write(move |_, tx| {
            let Some(mut name) = rows::find(tx, &hostname)? else { return Ok(()) };
            if name.status != AcmStatus::Issued {
                (name.status, name.reason) = (AcmStatus::Verified, None);
                rows::settle(tx, &name, Timestamp::now())?;
            }
            Ok(())
        })
        .await
}

/// Writes down what came of an order. Nothing is written if nobody wants it any more.
pub(super) async fn settle(
    control: &Control,
    acme: &Acme,
    hostname: &str,
    outcome: Result<Issued, Refusal>,
) -> Result<()> {
    let trusted = control.authorities.trusted().clone();
    let outcome = outcome.and_then(|issued| usable(&issued, hostname, &trusted));
    let (hostname, renew_after) = (hostname.to_owned(), acme.renew_after);
    let directory = acme.directory.clone();
    control
        .write(move |control, tx| {
            let Some(name) = rows::find(tx, &hostname)? else { return Ok(()) };
            let domain = domains::by_hostname(tx, &hostname)?;
            let app = domain.as_ref().map(|domain| domain.app);
            let said = match outcome {
                Ok(bundle) => {
                    tx.after_commit(|| reached(Step::CertificateWritten));
                    issued(tx, name, domain, bundle, renew_after)?
                }
                Err(refusal) => {
                    if refusal.account_is_gone {
                        rows::forget_account(tx, &directory)?;
                    }
                    refused(tx, name, domain.as_ref(), refusal)?
                }
            };
            tracing::info!(hostname, "{said}");
            if let Some(app) = app {
                control.announce(tx, app, vec![said]);
            }
            tx.poke(Poke::Certificates);
            tx.poke(Poke::Routes);
            Ok(())
        })
        .await
}

/// An authority's certificate is checked as a person's is.
fn usable(
    issued: &Issued,
    hostname: &str,
    trusted: &Arc<RootCertStore>,
) -> Result<Bundle, Refusal> {
    let bundle = bundle::check(&issued.chain, &issued.key, trusted, Timestamp::now());
    let bundle = bundle.map_err(|rejection| Refusal::new(rejection.to_string()))?;
    if bundle.facts.names.iter().any(|name| covers(name, hostname)) {
        return Ok(bundle);
    }
    Err(Refusal::new("The certificate authority issued a certificate for another name"))
}

fn issued(
    tx: &mut Tx<'_>,
    mut name: Name,
    domain: Option<Domain>,
    bundle: Bundle,
    renew_after: Option<Duration>,
) -> Result<String> {
    let now = Timestamp::now();
    let facts = bundle.facts.clone();
    // One that is handed out late in its life is not asked for again at once.
    let soonest = now + facts.expires_at.since(now) / 3;
    let by_life = certificate::renew_at(&facts).max(soonest);
    name.next_at = renew_after.map_or(by_life, |after| by_life.min(now + after));
    (name.status, name.reason, name.failures) = (AcmStatus::Issued, None, 0);
    match (name.domain, domain) {
        (Some(_), Some(domain)) => give(tx, &domain, bundle, now)?,
        _ => name.certificate = Some(certificates::insert_certificate(tx, &bundle, now)?.id),
    }
    rows::settle(tx, &name, now)?;
    endpoints::delete_unused(tx)?;
    Ok(format!(
        "Certificate for {} issued by {}, valid until {}",
        name.hostname,
        facts.issuer,
        facts.expires_at.rfc3339()
    ))
}

/// Puts the certificate where the domain's automatic one is, or into a place of its own.
fn give(tx: &mut Tx<'_>, domain: &Domain, bundle: Bundle, now: Timestamp) -> Result<()> {
    if let Some(endpoint) = automatic(tx, domain)? {
        let certificate = certificates::insert_certificate(tx, &bundle, now)?;
        return Ok(endpoints::replace(tx, endpoint.id, certificate.id, now)?);
    }
    let endpoint = certificates::insert(tx, domain.app, bundle, Origin::Automatic)?;
    Ok(domains::set_endpoint(tx, domain.id, Some(endpoint.id), now)?)
}

fn automatic(tx: &Tx<'_>, domain: &Domain) -> Result<Option<SniEndpoint>> {
    let Some(used) = &domain.endpoint else { return Ok(None) };
    let used = endpoints::find(tx, domain.app, &used.id.to_string())?;
    Ok(used.filter(|one| one.origin == Origin::Automatic))
}

fn refused(
    tx: &mut Tx<'_>,
    mut name: Name,
    domain: Option<&Domain>,
    refusal: Refusal,
) -> Result<String> {
    let now = Timestamp::now();
    name.failures = name.failures.saturating_add(1);
    let wait = certificate::back_off(name.failures);
    name.next_at = now + refusal.leave_alone.map_or(wait, |asked| asked.max(wait));
    let still_good = match domain {
        Some(domain) => automatic(tx, domain)?.map(|one| one.certificate.facts.expires_at),
        None => expires_at(tx, name.certificate)?,
    };
    // A certificate that is there serves on; only its renewal has to wait.
    name.status = match still_good.filter(|&at| at > now) {
        Some(_) => AcmStatus::Issued,
        None => AcmStatus::after_failures(name.failures),
    };
    name.reason = Some(refusal.reason.clone());
    rows::settle(tx, &name, now)?;
    Ok(format!(
        "No certificate for {} yet: {}; asking again at {}",
        name.hostname,
        refusal.reason,
        name.next_at.rfc3339()
    ))
}

fn expires_at(tx: &Tx<'_>, id: Option<CertificateId>) -> Result<Option<Timestamp>> {
    Ok(id.map(|id| endpoints::expires_at(tx, id)).transpose()?.flatten())
}
