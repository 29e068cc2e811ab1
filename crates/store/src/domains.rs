//! Host names of apps.

use model::certificate::{Acm, AcmStatus, covers};
use model::domain::{Domain, DomainKind, EndpointRef};
use model::{AppId, DomainId, SniEndpointId, Timestamp};

use crate::engine::{Reader, Row, Tx};
use crate::{Result, routes, values};

/// The columns of a domain with its endpoint's name and what its app wants, in the order [`domain`]
/// takes them.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT d.id, d.app_id, d.hostname, d.kind, d.cname, d.created_at, d.updated_at,
                    e.id, e.name, a.acm, n.status, n.reason
             FROM domains d JOIN apps a ON a.id = d.app_id
             LEFT JOIN sni_endpoints e ON e.id = d.sni_endpoint_id
             LEFT JOIN acme_names n ON n.domain_id = d.id ",
            $rest
        )
    };
}

/// Writes a new domain.
///
/// # Errors
/// When the host name is taken or the database fails.
pub fn insert(tx: &mut Tx<'_>, domain: &Domain) -> Result<()> {
    tx.run(
        "INSERT INTO domains (id, app_id, hostname, kind, cname, created_at, updated_at,
                              sni_endpoint_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        values![
            domain.id,
            domain.app,
            &domain.hostname,
            domain.kind,
            domain.cname.as_ref(),
            domain.created_at,
            domain.updated_at,
            domain.endpoint.as_ref().map(|endpoint| endpoint.id)
        ],
    )?;
    routes::changed(tx, domain.app)
}

/// All domains of an app: the default first, then in the order they were added.
///
/// # Errors
/// When the database fails.
pub fn list(db: &Reader<'_>, app: AppId) -> Result<Vec<Domain>> {
    db.all(
        select!("WHERE d.app_id = ?1 ORDER BY d.kind DESC, d.created_at, d.id"),
        values![app],
        domain,
    )
}

/// The domains that are served with this endpoint's certificate.
///
/// # Errors
/// When the database fails.
pub fn of_endpoint(db: &Reader<'_>, endpoint: SniEndpointId) -> Result<Vec<Domain>> {
    db.all(select!("WHERE d.sni_endpoint_id = ?1"), values![endpoint], domain)
}

/// An app's domain of this id or host name.
///
/// # Errors
/// When the database fails.
pub fn find(db: &Reader<'_>, app: AppId, id_or_hostname: &str) -> Result<Option<Domain>> {
    let sql = select!("WHERE d.app_id = ?1 AND (d.hostname = ?2 OR d.id = ?2)");
    db.one(sql, values![app, id_or_hostname], domain)
}

/// How many domains an app has.
///
/// # Errors
/// When the database fails.
pub fn count(db: &Reader<'_>, app: AppId) -> Result<u64> {
    let sql = "SELECT COUNT(*) FROM domains WHERE app_id = ?1";
    Ok(db.cell(sql, values![app])?.unwrap_or(0))
}

/// All domains of living apps.
///
/// # Errors
/// When the database fails.
pub fn living(db: &Reader<'_>) -> Result<Vec<Domain>> {
    db.all(select!("WHERE a.deleted_at IS NULL"), values![], domain)
}

/// Whose this host name is.
///
/// # Errors
/// When the database fails.
pub fn by_hostname(db: &Reader<'_>, hostname: &str) -> Result<Option<Domain>> {
    db.one(select!("WHERE d.hostname = ?1"), values![hostname], domain)
}

/// Custom domains that share requests with this one: the wildcard above a name, the names below a
/// wildcard.
///
/// # Errors
/// When the database fails.
pub fn kin(db: &Reader<'_>, hostname: &str) -> Result<Vec<Domain>> {
    let Some((_, parent)) = hostname.split_once('.') else { return Ok(Vec::new()) };
    if hostname.starts_with("*.") {
        let all = db.all(
            select!("WHERE d.kind = 'custom' AND substr(d.hostname, -length(?1)) = ?1"),
            values![format!(".{parent}")],
            domain,
        )?;
        return Ok(all.into_iter().filter(|one| covers(hostname, &one.hostname)).collect());
    }
    let above = by_hostname(db, &format!("*.{parent}"))?;
    Ok(above.into_iter().collect())
}

/// Gives an app's default domain another name.
///
/// # Errors
/// When the name is taken or the database fails.
pub fn rename_default(tx: &mut Tx<'_>, app: AppId, hostname: &str, now: Timestamp) -> Result<()> {
    tx.run(
        "UPDATE domains SET hostname = ?2, updated_at = ?3 WHERE app_id = ?1 AND kind = 'heroku'",
        values![app, hostname, now],
    )?;
    routes::changed(tx, app)
}

/// Has a domain served with this endpoint's certificate, or with none of its own.
///
/// # Errors
/// When the database fails.
pub fn set_endpoint(
    tx: &mut Tx<'_>,
    id: DomainId,
    endpoint: Option<SniEndpointId>,
    now: Timestamp,
) -> Result<()> {
    tx.run(
        "UPDATE domains SET sni_endpoint_id = ?2, updated_at = ?3 WHERE id = ?1",
        values![id, endpoint, now],
    )?;
    Ok(())
}

/// Removes one domain.
///
/// # Errors
/// When the database fails.
pub fn delete(tx: &mut Tx<'_>, id: DomainId) -> Result<()> {
    tx.run("DELETE FROM acme_names WHERE domain_id = ?1", values![id])?;
    let app = tx.cell("SELECT app_id FROM domains WHERE id = ?1", values![id])?;
    tx.run("DELETE FROM domains WHERE id = ?1", values![id])?;
    app.map_or(Ok(()), |app| routes::changed(tx, app))
}

/// Removes all domains of an app, which frees the names.
///
/// # Errors
/// When the database fails.
pub fn delete_all(tx: &mut Tx<'_>, app: AppId) -> Result<()> {
    tx.run(
        "DELETE FROM acme_names WHERE domain_id IN (SELECT id FROM domains WHERE app_id = ?1)",
        values![app],
    )?;
    tx.run("DELETE FROM domains WHERE app_id = ?1", values![app])?;
    routes::changed(tx, app)
}

fn domain(row: &mut Row) -> Result<Domain> {
    let (id, app, hostname) = (row.take()?, row.take()?, row.take::<String>()?);
    let kind: DomainKind = row.take()?;
    let (cname, created_at, updated_at) = (row.take()?, row.take()?, row.take()?);
    let (endpoint, name): (Option<SniEndpointId>, Option<String>) = (row.take()?, row.take()?);
    let wants_acm: bool = row.take()?;
    let (status, reason): (Option<AcmStatus>, Option<String>) = (row.take()?, row.take()?);
    let noted = status.map(|status| Acm { status, reason });
    Ok(Domain {
        id,
        app,
        kind,
        cname,
        endpoint: endpoint.zip(name).map(|(id, name)| EndpointRef { id, name }),
        acm: wants_acm.then(|| Acm::of(kind, &hostname, noted)).flatten(),
        hostname,
        created_at,
        updated_at,
    })
}
