//! Certificates, and apps' places for them (SNI endpoints).

use model::certificate::{Certificate, Facts, Origin, SniEndpoint};
use model::{AppId, CertificateId, DomainId, Secret, SniEndpointId, Timestamp};

use crate::engine::{Reader, Row, Tx};
use crate::{Error, Result, values};

/// The columns of an endpoint with its certificate, in the order [`endpoint`] takes them.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT e.id, e.app_id, e.name, e.origin, e.created_at, e.updated_at,
                    c.id, c.chain, c.names, c.subject, c.issuer, c.trust, c.starts_at, c.expires_at
             FROM sni_endpoints e JOIN certificates c ON c.id = e.certificate_id ",
            $rest
        )
    };
}

/// Writes a certificate and its sealed key.
///
/// # Errors
/// When the database fails.
pub fn insert(
    tx: &mut Tx<'_>,
    certificate: &Certificate,
    key: &Secret,
    now: Timestamp,
) -> Result<()> {
    let sealed = tx.vault().seal(&place(certificate.id), key.reveal().as_bytes())?;
    let facts = &certificate.facts;
    let json = |source| Error::Json { place: place(certificate.id), source };
    tx.run(
        "INSERT INTO certificates (id, chain, private_key, names, subject, issuer, trust,
                                   starts_at, expires_at, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        values![
            certificate.id,
            &certificate.chain,
            sealed,
            serde_json::to_string(&facts.names).map_err(json)?,
            &facts.subject,
            &facts.issuer,
            facts.trust,
            facts.starts_at,
            facts.expires_at,
            now
        ],
    )?;
    Ok(())
}

/// A certificate's chain (PEM) and its key.
///
/// # Errors
/// When the key cannot be opened or the database fails.
pub fn pair(db: &Reader<'_>, id: CertificateId) -> Result<Option<(String, Secret)>> {
    let sql = "SELECT chain, private_key FROM certificates WHERE id = ?1";
    let found: Option<(String, Vec<u8>)> =
        db.one(sql, values![id], |row| Ok((row.take()?, row.take()?)))?;
    let Some((chain, sealed)) = found else { return Ok(None) };
    let plain = db.vault().open(&place(id), &sealed)?;
    let key = String::from_utf8(plain).map_err(|_| Error::Unseal { place: place(id) })?;
    Ok(Some((chain, Secret::new(key))))
}

/// When a certificate expires.
///
/// # Errors
/// When the database fails.
pub fn expires_at(db: &Reader<'_>, id: CertificateId) -> Result<Option<Timestamp>> {
    db.cell("SELECT expires_at FROM certificates WHERE id = ?1", values![id])
}

/// Removes certificates that nothing points at any more.
///
/// # Errors
/// When the database fails.
pub fn delete_unused(tx: &mut Tx<'_>) -> Result<()> {
    tx.run(
        "DELETE FROM certificates
         WHERE id NOT IN (SELECT certificate_id FROM sni_endpoints)
           AND id NOT IN (SELECT certificate_id FROM acme_names WHERE certificate_id IS NOT NULL)",
        values![],
    )?;
    Ok(())
}

/// Makes an endpoint that holds a certificate.
///
/// # Errors
/// When the app has an endpoint of this name, or the database fails.
pub fn insert_endpoint(tx: &mut Tx<'_>, endpoint: &SniEndpoint) -> Result<()> {
    tx.run(
        "INSERT INTO sni_endpoints (id, app_id, name, origin, certificate_id, created_at,
                                    updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        values![
            endpoint.id,
            endpoint.app,
            &endpoint.name,
            endpoint.origin,
            endpoint.certificate.id,
            endpoint.created_at,
            endpoint.updated_at
        ],
    )?;
    Ok(())
}

/// Puts another certificate into an endpoint.
///
/// # Errors
/// When the database fails.
pub fn replace(
    tx: &mut Tx<'_>,
    id: SniEndpointId,
    certificate: CertificateId,
    now: Timestamp,
) -> Result<()> {
    tx.run(
        "UPDATE sni_endpoints SET certificate_id = ?2, updated_at = ?3 WHERE id = ?1",
        values![id, certificate, now],
    )?;
    Ok(())
}

/// From now on the app's automatic certificates are as if a person had brought them.
///
/// # Errors
/// When the database fails.
pub fn adopt_automatic(tx: &mut Tx<'_>, app: AppId, now: Timestamp) -> Result<()> {
    tx.run(
        "UPDATE sni_endpoints SET origin = 'uploaded', updated_at = ?2
         WHERE app_id = ?1 AND origin = 'automatic'",
        values![app, now],
    )?;
    Ok(())
}

/// An app's endpoints, oldest first.
///
/// # Errors
/// When the database fails.
pub fn list(db: &Reader<'_>, app: AppId) -> Result<Vec<SniEndpoint>> {
    let mut found =
        db.all(select!("WHERE e.app_id = ?1 ORDER BY e.created_at, e.id"), values![app], endpoint)?;
    let of: Vec<(DomainId, SniEndpointId)> = db.all(
        "SELECT id, sni_endpoint_id FROM domains
         WHERE app_id = ?1 AND sni_endpoint_id IS NOT NULL ORDER BY created_at, id",
        values![app],
        |row| Ok((row.take()?, row.take()?)),
    )?;
    for endpoint in &mut found {
        let own = of.iter().filter(|(_, id)| *id == endpoint.id);
        endpoint.domains = own.map(|(domain, _)| *domain).collect();
    }
    Ok(found)
}

/// How many endpoints an app has.
///
/// # Errors
/// When the database fails.
pub fn count(db: &Reader<'_>, app: AppId) -> Result<u64> {
    let sql = "SELECT COUNT(*) FROM sni_endpoints WHERE app_id = ?1";
    Ok(db.cell(sql, values![app])?.unwrap_or(0))
}

/// An app's endpoint of this id or name.
///
/// # Errors
/// When the database fails.
pub fn find(db: &Reader<'_>, app: AppId, id_or_name: &str) -> Result<Option<SniEndpoint>> {
    let sql = select!("WHERE e.app_id = ?1 AND (e.name = ?2 OR e.id = ?2)");
    let Some(mut found) = db.one(sql, values![app, id_or_name], endpoint)? else {
        return Ok(None);
    };
    found.domains = db.all(
        "SELECT id FROM domains WHERE sni_endpoint_id = ?1 ORDER BY created_at, id",
        values![found.id],
        Row::take,
    )?;
    Ok(Some(found))
}

/// All endpoints of living apps with the app's name, by when their certificate expires.
///
/// # Errors
/// When the database fails.
pub fn by_expiry(db: &Reader<'_>) -> Result<Vec<(String, SniEndpoint)>> {
    let apps: Vec<(AppId, String)> =
        db.all("SELECT id, name FROM apps WHERE deleted_at IS NULL", values![], |row| {
            Ok((row.take()?, row.take()?))
        })?;
    let all = db.all(select!("ORDER BY c.expires_at, e.id"), values![], endpoint)?;
    let named = |endpoint: SniEndpoint| {
        let app = apps.iter().find(|(id, _)| *id == endpoint.app)?;
        Some((app.1.clone(), endpoint))
    };
    Ok(all.into_iter().filter_map(named).collect())
}

/// Removes an endpoint with its certificate; its domains have none of their own then.
///
/// # Errors
/// When the database fails.
pub fn delete_endpoint(tx: &mut Tx<'_>, id: SniEndpointId, now: Timestamp) -> Result<()> {
    tx.run(
        "UPDATE domains SET sni_endpoint_id = NULL, updated_at = ?2 WHERE sni_endpoint_id = ?1",
        values![id, now],
    )?;
    tx.run("DELETE FROM sni_endpoints WHERE id = ?1", values![id])?;
    delete_unused(tx)
}

/// Removes the endpoints of an app whose domains are gone.
///
/// # Errors
/// When the database fails.
pub fn delete_all(tx: &mut Tx<'_>, app: AppId) -> Result<()> {
    tx.run("DELETE FROM sni_endpoints WHERE app_id = ?1", values![app])?;
    delete_unused(tx)
}

/// The certificate of each domain of a living app that has one: host name, app, certificate.
///
/// # Errors
/// When the database fails.
pub fn served(db: &Reader<'_>) -> Result<Vec<(String, AppId, CertificateId)>> {
    db.all(
        "SELECT d.hostname, d.app_id, e.certificate_id
         FROM domains d JOIN sni_endpoints e ON e.id = d.sni_endpoint_id
         JOIN apps a ON a.id = d.app_id WHERE a.deleted_at IS NULL",
        values![],
        |row| Ok((row.take()?, row.take()?, row.take()?)),
    )
}

fn endpoint(row: &mut Row) -> Result<SniEndpoint> {
    let (id, app, name, origin) = (row.take()?, row.take()?, row.take()?, row.take::<Origin>()?);
    let (created_at, updated_at) = (row.take()?, row.take()?);
    let (certificate, chain) = (row.take()?, row.take()?);
    let names: String = row.take()?;
    let json = |source| Error::Json { place: place(certificate), source };
    let facts = Facts {
        names: serde_json::from_str(&names).map_err(json)?,
        subject: row.take()?,
        issuer: row.take()?,
        trust: row.take()?,
        starts_at: row.take()?,
        expires_at: row.take()?,
    };
    let certificate = Certificate { id: certificate, chain, facts };
    let domains = Vec::new();
    Ok(SniEndpoint { id, app, name, origin, certificate, domains, created_at, updated_at })
}

fn place(id: CertificateId) -> String {
    format!("certificates/{id}/key")
}
