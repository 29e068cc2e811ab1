//! Host names of apps.

use model::certificate::{Acm, Origin};
use model::domain::{Domain, DomainKind, EndpointRef};
use model::{Account, App, AppId, DomainId, Timestamp};
use store::{Poke, Reader, Tx, apps, certificates as rows, domains};

use crate::{Control, Error, Resource, Result, access, certificates, random};

/// At most this many for one app (Heroku, "Limits").
pub const MAX_PER_APP: u64 = 1000;

/// All domains of an app, the default first.
///
/// # Errors
/// When the app is not found or the database fails.
pub async fn list(control: &Control, who: &Account, app: AppId) -> Result<Vec<Domain>> {
    let who = who.clone();
    control
        .read(move |db| {
            access::app(db, &who, app)?;
            Ok(domains::list(db, app)?)
        })
        .await
}

/// One domain, by id or host name.
///
/// # Errors
/// When the app or the domain is not found, or the database fails.
pub async fn info(
    control: &Control,
    who: &Account,
    app: AppId,
    id_or_hostname: &str,
) -> Result<Domain> {
    let (who, wanted) = (who.clone(), identity(id_or_hostname));
    control
        .read(move |db| {
            access::app(db, &who, app)?;
            of_app(db, app, &wanted)
        })
        .await
}

/// Adds a custom domain; when this returns, requests for it reach the app. `endpoint` is the id or
/// name of the certificate to serve it with.
///
/// # Errors
/// When the app or the endpoint is not found, the name is not a host name, is the platform's or in
/// use, the certificate does not cover it, there are too many, or the database fails.
pub async fn add(
    control: &Control,
    who: &Account,
    app: AppId,
    hostname: &str,
    endpoint: Option<String>,
) -> Result<Domain> {
    let (who, hostname) = (who.clone(), normal(hostname)?);
    let added = control
        .write(move |control, tx| {
            let app = access::app(tx, &who, app)?;
            check_free(control, tx, &app, &hostname)?;
            if endpoint.is_some() {
                check_not_managed(&app, &hostname)?;
            }
            let endpoint = chosen(tx, &app, &hostname, endpoint)?;
            insert(control, tx, &app, hostname, endpoint)
        })
        .await?;
    in_force(control).await;
    Ok(added)
}

/// Serves a custom domain with another certificate, by the endpoint's id or name, or with none of
/// its own.
///
/// # Errors
/// When the app, the domain or the endpoint is not found, the domain is the default one, the
/// certificate does not cover it, certificates are automatic, or the database fails.
pub async fn update(
    control: &Control,
    who: &Account,
    app: AppId,
    id_or_hostname: &str,
    endpoint: Option<String>,
) -> Result<Domain> {
    let (who, wanted) = (who.clone(), identity(id_or_hostname));
    let updated = control
        .write(move |_, tx| {
            let app = access::app(tx, &who, app)?;
            let domain = of_app(tx, app.id, &wanted)?;
            if domain.kind == DomainKind::Heroku {
                let host = &domain.hostname;
                let text = format!("{host} is served with the platform's own certificate.");
                return Err(Error::Invalid(text));
            }
            check_not_managed(&app, &domain.hostname)?;
            let endpoint = chosen(tx, &app, &domain.hostname, endpoint)?;
            let id = endpoint.map(|endpoint| endpoint.id);
            domains::set_endpoint(tx, domain.id, id, Timestamp::now())?;
            tx.poke(Poke::Certificates);
            of_app(tx, app.id, &wanted)
        })
        .await?;
    control.certified.catches_up(&control.store).await;
    Ok(updated)
}

/// Removes a custom domain, and with it its automatic certificate.
///
/// # Errors
/// When the app or the domain is not found, it is the default domain, or the database fails.
pub async fn remove(
    control: &Control,
    who: &Account,
    app: AppId,
    id_or_hostname: &str,
) -> Result<Domain> {
    let (who, wanted) = (who.clone(), identity(id_or_hostname));
    let removed = control
        .write(move |_, tx| {
            access::app(tx, &who, app)?;
            let domain = of_app(tx, app, &wanted)?;
            if domain.kind == DomainKind::Heroku {
                let text = format!("{} is the app's default domain; it stays.", domain.hostname);
                return Err(Error::Invalid(text));
            }
            domains::delete(tx, domain.id)?;
            remove_automatic(tx, &domain)?;
            tx.poke(Poke::Routes);
            tx.poke(Poke::Certificates);
            Ok(domain)
        })
        .await?;
    in_force(control).await;
    Ok(removed)
}

/// The router knows: a name works, or works no more, once the caller is told.
async fn in_force(control: &Control) {
    control.published.catches_up(&control.store).await;
    control.certified.catches_up(&control.store).await;
}

fn insert(
    control: &Control,
    tx: &mut Tx<'_>,
    app: &App,
    hostname: String,
    endpoint: Option<EndpointRef>,
) -> Result<Domain> {
    let now = Timestamp::now();
    let target = format!("{}.{}", random::dns_label()?, control.settings.base_domain);
    let acm = app.acm.then(|| Acm::of(DomainKind::Custom, &hostname, None)).flatten();
    let domain = Domain {
        id: DomainId::random(),
        app: app.id,
        hostname,
        kind: DomainKind::Custom,
        cname: Some(target),
        endpoint,
        acm,
        created_at: now,
        updated_at: now,
    };
    domains::insert(tx, &domain)?;
    tx.poke(Poke::Routes);
    tx.poke(Poke::Certificates);
    Ok(domain)
}

/// An automatic certificate is not for people to choose.
fn check_not_managed(app: &App, hostname: &str) -> Result<()> {
    if !app.acm || hostname.starts_with("*.") {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "Automatic Certificate Management is enabled on {} and chooses the certificate of \
         {hostname}. Disable it first with `heroku certs:auto:disable`.",
        app.name
    )))
}

/// The endpoint that was asked for, if it may serve this name.
fn chosen(
    db: &Reader<'_>,
    app: &App,
    hostname: &str,
    wanted: Option<String>,
) -> Result<Option<EndpointRef>> {
    let Some(wanted) = wanted else { return Ok(None) };
    let endpoint = certificates::of_app(db, app.id, &wanted)?;
    certificates::check_covers(&endpoint, hostname)?;
    Ok(Some(EndpointRef { id: endpoint.id, name: endpoint.name }))
}

/// Nobody else can be served with an automatic certificate.
fn remove_automatic(tx: &mut Tx<'_>, domain: &Domain) -> Result<()> {
    let Some(used) = &domain.endpoint else { return Ok(()) };
    let used = rows::find(tx, domain.app, &used.id.to_string())?;
    if let Some(endpoint) = used.filter(|one| one.origin == Origin::Automatic) {
        rows::delete_endpoint(tx, endpoint.id, Timestamp::now())?;
    }
    Ok(())
}

fn check_free(control: &Control, db: &Reader<'_>, app: &App, hostname: &str) -> Result<()> {
    check_not_ours(control, hostname)?;
    if domains::by_hostname(db, hostname)?.is_some() {
        return Err(Error::Invalid(format!("Domain {hostname} is currently in use by an app.")));
    }
    for other in domains::kin(db, hostname)? {
        let owner = apps::find(db, other.app)?.map(|other| other.owner);
        if owner != Some(app.owner) {
            let text = format!(
                "Domain {hostname} overlaps with {}, which is in use by an app of somebody else.",
                other.hostname
            );
            return Err(Error::Invalid(text));
        }
    }
    if domains::count(db, app.id)? >= MAX_PER_APP {
        let limit = format!("An app may have at most {MAX_PER_APP} domains.");
        return Err(Error::TooMany(limit));
    }
    Ok(())
}

fn of_app(db: &Reader<'_>, app: AppId, id_or_hostname: &str) -> Result<Domain> {
    domains::find(db, app, id_or_hostname)?.ok_or(Error::NotFound(Resource::Domain))
}

/// Names below the base domain are apps' default names, and the platform's.
fn check_not_ours(control: &Control, hostname: &str) -> Result<()> {
    let settings = &control.settings;
    let below = |host: &str| host.strip_suffix(&settings.base_domain)?.strip_suffix('.').map(drop);
    let ours = hostname == settings.base_domain
        || below(hostname).is_some()
        || settings.platform_hosts.iter().any(|host| host == hostname);
    if ours {
        return Err(Error::Invalid(format!("Domain {hostname} belongs to the platform.")));
    }
    Ok(())
}

/// An id, or a host name as it is stored.
fn identity(id_or_hostname: &str) -> String {
    normal(id_or_hostname).unwrap_or_else(|_| id_or_hostname.to_lowercase())
}

/// A lower-case host name of at least two labels, possibly `*.example.com`; names in other scripts
/// as DNS writes them (`xn--…`).
fn normal(hostname: &str) -> Result<String> {
    let given = hostname.trim();
    let host = given.strip_suffix('.').unwrap_or(given);
    let (star, rest) = host.strip_prefix("*.").map_or(("", host), |rest| ("*.", rest));
    let host = idna::domain_to_ascii(rest).map(|rest| format!("{star}{rest}")).unwrap_or_default();
    let labels: Vec<&str> = host.strip_prefix("*.").unwrap_or(&host).split('.').collect();
    let numeric = labels.last().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    let good = labels.len() >= 2 && host.len() <= 253 && !numeric;
    if good && labels.iter().all(|label| is_label(label)) {
        return Ok(host);
    }
    Err(Error::Invalid(format!("Domain `{given}` is not a host name.")))
}

fn is_label(label: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    (1..=63).contains(&label.len())
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests;
