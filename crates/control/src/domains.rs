//! Host names of apps.

use model::domain::{Domain, DomainKind};
use model::{Account, AppId, DomainId, Timestamp};
use store::{Poke, Reader, domains};

use crate::{Control, Error, Resource, Result, access, random};

/// At most this many for one app (Heroku, "Limits").
pub const MAX_PER_APP: usize = 1000;

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
    let (who, wanted) = (who.clone(), id_or_hostname.to_lowercase());
    control
        .read(move |db| {
            access::app(db, &who, app)?;
            of_app(db, app, &wanted)
        })
        .await
}

/// Adds a custom domain; requests for it reach the app from now on.
///
/// # Errors
/// When the app is not found, the name is not a host name, is the platform's or in use, there are
/// too many, or the database fails.
pub async fn add(control: &Control, who: &Account, app: AppId, hostname: &str) -> Result<Domain> {
    let (who, hostname) = (who.clone(), normal(hostname)?);
    control
        .write(move |control, tx| {
            let app = access::app(tx, &who, app)?;
            check_not_ours(control, &hostname)?;
            if domains::by_hostname(tx, &hostname)?.is_some() {
                let taken = format!("Domain {hostname} is currently in use by an app.");
                return Err(Error::Invalid(taken));
            }
            if domains::list(tx, app.id)?.len() >= MAX_PER_APP {
                let limit = format!("An app may have at most {MAX_PER_APP} domains.");
                return Err(Error::TooMany(limit));
            }
            let now = Timestamp::now();
            let target = format!("{}.{}", random::dns_label()?, control.settings.base_domain);
            let domain = Domain {
                id: DomainId::random(),
                app: app.id,
                hostname,
                kind: DomainKind::Custom,
                cname: Some(target),
                endpoint: None,
                acm: None,
                created_at: now,
                updated_at: now,
            };
            domains::insert(tx, &domain)?;
            tx.poke(Poke::Routes);
            Ok(domain)
        })
        .await
}

/// Removes a custom domain.
///
/// # Errors
/// When the app or the domain is not found, it is the default domain, or the database fails.
pub async fn remove(
    control: &Control,
    who: &Account,
    app: AppId,
    id_or_hostname: &str,
) -> Result<Domain> {
    let (who, wanted) = (who.clone(), id_or_hostname.to_lowercase());
    control
        .write(move |_, tx| {
            access::app(tx, &who, app)?;
            let domain = of_app(tx, app, &wanted)?;
            if domain.kind == DomainKind::Heroku {
                let text = format!("{} is the app's default domain; it stays.", domain.hostname);
                return Err(Error::Invalid(text));
            }
            domains::delete(tx, domain.id)?;
            tx.poke(Poke::Routes);
            Ok(domain)
        })
        .await
}

fn of_app(db: &Reader<'_>, app: AppId, id_or_hostname: &str) -> Result<Domain> {
    let all = domains::list(db, app)?;
    let same = |domain: &Domain| {
        domain.hostname == id_or_hostname || domain.id.to_string() == id_or_hostname
    };
    all.into_iter().find(same).ok_or(Error::NotFound(Resource::Domain))
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

/// A lower-case host name of at least two labels, possibly `*.example.com`.
fn normal(hostname: &str) -> Result<String> {
    let host = hostname.trim().to_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host);
    let labels: Vec<&str> = host.strip_prefix("*.").unwrap_or(host).split('.').collect();
    let numeric = labels.last().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    let good = labels.len() >= 2 && host.len() <= 253 && !numeric;
    if good && labels.iter().all(|label| is_label(label)) {
        return Ok(host.to_owned());
    }
    Err(Error::Invalid(format!("Domain `{}` is not a host name.", hostname.trim())))
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
