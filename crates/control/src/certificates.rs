//! Certificates that people bring for their domains: SNI endpoints.

use model::certificate::{Certificate, Origin, SniEndpoint, covers};
use model::domain::Domain;
use model::{Account, App, AppId, CertificateId, Secret, SniEndpointId, Timestamp};
use store::{Poke, Reader, Tx, acme, apps, certificates as rows, domains};

use crate::authorities::Authorities;
use crate::certificates::bundle::Bundle;
use crate::{Control, Error, Resource, Result, access, random};

pub(crate) mod bundle;
pub mod serve;

pub use bundle::Rejection;

/// At most this many for one app: as many as domains.
pub const MAX_PER_APP: u64 = crate::domains::MAX_PER_APP;

/// What a person hands in. It cannot be printed: people mistake one file for the other.
#[derive(Clone)]
pub struct Upload {
    /// PEM: the certificate and those who signed it, in any order.
    pub chain: String,
    /// The key, in PEM.
    pub key: Secret,
}

/// An app's endpoints, oldest first.
///
/// # Errors
/// When the app is not found or the database fails.
pub async fn list(control: &Control, who: &Account, app: AppId) -> Result<Vec<SniEndpoint>> {
    let who = who.clone();
    control
        .read(move |db| {
            access::app(db, &who, app)?;
            Ok(rows::list(db, app)?)
        })
        .await
}

/// One endpoint, by id or name.
///
/// # Errors
/// When the app or the endpoint is not found, or the database fails.
pub async fn info(
    control: &Control,
    who: &Account,
    app: AppId,
    wanted: &str,
) -> Result<SniEndpoint> {
    let (who, wanted) = (who.clone(), wanted.to_owned());
    control
        .read(move |db| {
            access::app(db, &who, app)?;
            of_app(db, app, &wanted)
        })
        .await
}

/// Adds a certificate. No domain is served with it until one is told to.
///
/// # Errors
/// When the app is not found, the certificate is refused, there are too many, or the database fails.
pub async fn add(
    control: &Control,
    who: &Account,
    app: AppId,
    upload: Upload,
) -> Result<SniEndpoint> {
    let (who, bundle) = (who.clone(), checked(control, upload).await?);
    control
        .write(move |_, tx| {
            let app = access::app(tx, &who, app)?;
            if rows::count(tx, app.id)? >= MAX_PER_APP {
                let limit = format!("An app may have at most {MAX_PER_APP} certificates.");
                return Err(Error::TooMany(limit));
            }
            insert(tx, app.id, bundle, Origin::Uploaded)
        })
        .await
}

/// Puts another certificate into an endpoint: connections from now on are shown the new one. An
/// automatic certificate becomes one that people look after, and so do all others of the app.
///
/// # Errors
/// When the app or the endpoint is not found, the certificate is refused or does not cover a domain
/// that is served with it, or the database fails.
pub async fn update(
    control: &Control,
    who: &Account,
    app: AppId,
    wanted: &str,
    upload: Upload,
) -> Result<SniEndpoint> {
    let (who, wanted) = (who.clone(), wanted.to_owned());
    let bundle = checked(control, upload).await?;
    let updated = control
        .write(move |_, tx| {
            let app = access::app(tx, &who, app)?;
            let endpoint = of_app(tx, app.id, &wanted)?;
            check_covered(tx, &endpoint, &bundle)?;
            let now = Timestamp::now();
            if endpoint.origin == Origin::Automatic {
                end_automatic(tx, app, now)?;
            }
            let certificate = insert_certificate(tx, &bundle, now)?;
            rows::replace(tx, endpoint.id, certificate.id, now)?;
            rows::delete_unused(tx)?;
            tx.poke(Poke::Certificates);
            of_app(tx, endpoint.app, &endpoint.id.to_string())
        })
        .await?;
    control.certified.catches_up(&control.store).await;
    Ok(updated)
}

/// Removes a certificate. Its domains are served with the platform's from now on.
///
/// # Errors
/// When the app or the endpoint is not found, it is automatic, or the database fails.
pub async fn remove(
    control: &Control,
    who: &Account,
    app: AppId,
    wanted: &str,
) -> Result<SniEndpoint> {
    let (who, wanted) = (who.clone(), wanted.to_owned());
    let removed = control
        .write(move |_, tx| {
            let app = access::app(tx, &who, app)?;
            let endpoint = of_app(tx, app.id, &wanted)?;
            if endpoint.origin == Origin::Automatic {
                let text = format!(
                    "{} is managed automatically. Disable Automatic Certificate Management with \
                     `heroku certs:auto:disable` to remove it.",
                    endpoint.name
                );
                return Err(Error::Invalid(text));
            }
            rows::delete_endpoint(tx, endpoint.id, Timestamp::now())?;
            tx.poke(Poke::Certificates);
            Ok(endpoint)
        })
        .await?;
    control.certified.catches_up(&control.store).await;
    Ok(removed)
}

/// Reads, checks and orders what was handed in, without keeping it.
///
/// # Errors
/// Says what is wrong with certificate or key.
pub fn read(upload: &Upload, authorities: &Authorities) -> Result<serve::Pair, Rejection> {
    let trusted = authorities.trusted();
    let bundle = bundle::check(&upload.chain, &upload.key, trusted, Timestamp::now())?;
    Ok(serve::Pair { chain: bundle.chain, key: bundle.key })
}

/// One certificate of the platform, for its operator.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The app it is of; none for the platform's own names.
    pub app: Option<String>,
    /// Its names.
    pub names: Vec<String>,
    /// How it came here.
    pub origin: Origin,
    /// When it expires; none if it is not there yet.
    pub expires_at: Option<Timestamp>,
    /// Why it is not there, or not renewed.
    pub reason: Option<String>,
}

/// All certificates of apps and of the platform's names, the first to expire first.
///
/// # Errors
/// When the database fails.
pub async fn all(control: &Control) -> Result<Vec<Listed>> {
    control.read(all_from).await
}

fn all_from(db: &Reader<'_>) -> Result<Vec<Listed>> {
    let mut all = Vec::new();
    let names = acme::names(db)?;
    for (app, endpoint) in rows::by_expiry(db)? {
        let facts = endpoint.certificate.facts;
        let name = names.iter().find(|name| facts.names.contains(&name.hostname));
        all.push(Listed {
            app: Some(app),
            names: facts.names,
            origin: endpoint.origin,
            expires_at: Some(facts.expires_at),
            reason: name.and_then(|name| name.reason.clone()),
        });
    }
    for name in names {
        if all.iter().any(|listed| listed.names.contains(&name.hostname)) {
            continue;
        }
        let expires = name.certificate.map(|id| rows::expires_at(db, id)).transpose()?.flatten();
        all.push(Listed {
            app: None,
            names: vec![name.hostname],
            origin: Origin::Automatic,
            expires_at: expires,
            reason: name.reason,
        });
    }
    all.sort_by_key(|listed| listed.expires_at);
    Ok(all)
}

/// The endpoint of this id or name.
pub(crate) fn of_app(db: &Reader<'_>, app: AppId, wanted: &str) -> Result<SniEndpoint> {
    rows::find(db, app, wanted)?.ok_or(Error::NotFound(Resource::SniEndpoint))
}

/// Whether `endpoint` may serve this host name.
pub(crate) fn check_covers(endpoint: &SniEndpoint, hostname: &str) -> Result<()> {
    let names = &endpoint.certificate.facts.names;
    if names.iter().any(|name| covers(name, hostname)) {
        return Ok(());
    }
    let (name, names) = (&endpoint.name, names.join(", "));
    let text = format!("The certificate {name} is for {names}; it does not cover {hostname}.");
    Err(Error::Invalid(text))
}

/// Reading keys takes time: not on the async threads.
async fn checked(control: &Control, upload: Upload) -> Result<Bundle> {
    let trusted = control.authorities.trusted().clone();
    let check = move || bundle::check(&upload.chain, &upload.key, &trusted, Timestamp::now());
    let checked = tokio::task::spawn_blocking(check).await.map_err(Error::internal)?;
    checked.map_err(|rejection| Error::Invalid(rejection.to_string()))
}

fn check_covered(db: &Reader<'_>, endpoint: &SniEndpoint, bundle: &Bundle) -> Result<()> {
    let covered =
        |domain: &Domain| bundle.facts.names.iter().any(|name| covers(name, &domain.hostname));
    let served = domains::of_endpoint(db, endpoint.id)?;
    match served.iter().find(|domain| !covered(domain)) {
        None => Ok(()),
        Some(domain) => Err(Error::Invalid(format!(
            "The certificate is for {}; it does not cover {}, which is served with {}.",
            bundle.facts.names.join(", "),
            domain.hostname,
            endpoint.name
        ))),
    }
}

/// People look after the app's certificates from now on.
fn end_automatic(tx: &mut Tx<'_>, mut app: App, now: Timestamp) -> Result<()> {
    app.acm = false;
    apps::update(tx, &app, now)?;
    acme::delete_all(tx, app.id)?;
    Ok(rows::adopt_automatic(tx, app.id, now)?)
}

/// Makes an endpoint of a name that the app has not used.
pub(crate) fn insert(
    tx: &mut Tx<'_>,
    app: AppId,
    bundle: Bundle,
    origin: Origin,
) -> Result<SniEndpoint> {
    let now = Timestamp::now();
    let certificate = insert_certificate(tx, &bundle, now)?;
    let mut name = random::app_name()?.to_string();
    while rows::find(tx, app, &name)?.is_some() {
        name = random::app_name()?.to_string();
    }
    let endpoint = SniEndpoint {
        id: SniEndpointId::random(),
        app,
        name,
        origin,
        certificate,
        domains: vec![],
        created_at: now,
        updated_at: now,
    };
    rows::insert_endpoint(tx, &endpoint)?;
    Ok(endpoint)
}

/// Writes a certificate and its key.
pub(crate) fn insert_certificate(
    tx: &mut Tx<'_>,
    bundle: &Bundle,
    now: Timestamp,
) -> Result<Certificate> {
    let certificate = Certificate {
        id: CertificateId::random(),
        chain: bundle.chain.clone(),
        facts: bundle.facts.clone(),
    };
    rows::insert(tx, &certificate, &bundle.key, now)?;
    Ok(certificate)
}

#[cfg(test)]
mod tests;
