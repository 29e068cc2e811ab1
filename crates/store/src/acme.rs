//! Names that are to have an automatic certificate, the orders for them, and our accounts at
//! authorities.

use model::certificate::AcmStatus;
use model::{AppId, CertificateId, DomainId, Secret, Timestamp};

use crate::engine::{Reader, Row, Tx};
use crate::{Error, Result, values};

/// A name that is to have an automatic certificate.
#[derive(Clone, Debug)]
pub struct Name {
    /// The host name.
    pub hostname: String,
    /// The domain it is of; none for the platform's own.
    pub domain: Option<DomainId>,
    /// The newest certificate, of a name of the platform's own. A domain's is in its endpoint.
    pub certificate: Option<CertificateId>,
    /// How far it is.
    pub status: AcmStatus,
    /// Why no further.
    pub reason: Option<String>,
    /// Refusals in a row.
    pub failures: u32,
    /// When to ask (again).
    pub next_at: Timestamp,
    /// Since when it is wanted.
    pub created_at: Timestamp,
}

/// An order under way at an authority.
#[derive(Clone, Debug)]
pub struct Order {
    /// Where the authority keeps it.
    pub url: String,
    /// Key of the certificate to be, in PEM.
    pub key: Secret,
}

/// All names, oldest first.
///
/// # Errors
/// When the database fails.
pub fn names(db: &Reader<'_>) -> Result<Vec<Name>> {
    db.all(
        "SELECT hostname, domain_id, certificate_id, status, reason, failures, next_at, created_at
         FROM acme_names ORDER BY created_at, hostname",
        values![],
        name,
    )
}

/// One name.
///
/// # Errors
/// When the database fails.
pub fn find(db: &Reader<'_>, hostname: &str) -> Result<Option<Name>> {
    db.one(
        "SELECT hostname, domain_id, certificate_id, status, reason, failures, next_at, created_at
         FROM acme_names WHERE hostname = ?1",
        values![hostname],
        name,
    )
}

/// Notes that a name is wanted from now on.
///
/// # Errors
/// When it is noted already, or the database fails.
pub fn insert(
    tx: &mut Tx<'_>,
    hostname: &str,
    domain: Option<DomainId>,
    now: Timestamp,
) -> Result<()> {
    tx.run(
        "INSERT INTO acme_names (hostname, domain_id, status, failures, next_at, created_at,
                                 updated_at)
         VALUES (?1, ?2, 'pending', 0, ?3, ?3, ?3)",
        values![hostname, domain, now],
    )?;
    Ok(())
}

/// Forgets a name.
///
/// # Errors
/// When the database fails.
pub fn delete(tx: &mut Tx<'_>, hostname: &str) -> Result<()> {
    tx.run("DELETE FROM acme_names WHERE hostname = ?1", values![hostname])?;
    Ok(())
}

/// Forgets the names of an app's domains.
///
/// # Errors
/// When the database fails.
pub fn delete_all(tx: &mut Tx<'_>, app: AppId) -> Result<()> {
    tx.run(
        "DELETE FROM acme_names WHERE domain_id IN (SELECT id FROM domains WHERE app_id = ?1)",
        values![app],
    )?;
    Ok(())
}

/// Has everything of an app that was refused asked for again now.
///
/// # Errors
/// When the database fails.
pub fn retry_all(tx: &mut Tx<'_>, app: AppId, now: Timestamp) -> Result<()> {
    tx.run(
        "UPDATE acme_names SET failures = 0, next_at = ?2, updated_at = ?2
         WHERE failures > 0 AND domain_id IN (SELECT id FROM domains WHERE app_id = ?1)",
        values![app, now],
    )?;
    Ok(())
}

/// Notes an order that was placed for a name.
///
/// # Errors
/// When the database fails.
pub fn set_order(tx: &mut Tx<'_>, hostname: &str, order: &Order) -> Result<()> {
    let sealed = tx.vault().seal(&order_place(hostname), order.key.reveal().as_bytes())?;
    tx.run(
        "UPDATE acme_names SET order_url = ?2, order_key = ?3, token = NULL, answer = NULL
         WHERE hostname = ?1",
        values![hostname, &order.url, sealed],
    )?;
    Ok(())
}

/// The order under way for a name.
///
/// # Errors
/// When its key cannot be opened or the database fails.
pub fn order(db: &Reader<'_>, hostname: &str) -> Result<Option<Order>> {
    let sql = "SELECT order_url, order_key FROM acme_names
         WHERE hostname = ?1 AND order_url IS NOT NULL";
    let found: Option<(String, Vec<u8>)> =
        db.one(sql, values![hostname], |row| Ok((row.take()?, row.take()?)))?;
    let Some((url, sealed)) = found else { return Ok(None) };
    let place = order_place(hostname);
    let plain = db.vault().open(&place, &sealed)?;
    let key = String::from_utf8(plain).map_err(|_| Error::Unseal { place })?;
    Ok(Some(Order { url, key: Secret::new(key) }))
}

/// Notes what the authority must find under a name.
///
/// # Errors
/// When the database fails.
pub fn set_challenge(tx: &mut Tx<'_>, hostname: &str, token: &str, answer: &str) -> Result<()> {
    tx.run(
        "UPDATE acme_names SET token = ?2, answer = ?3 WHERE hostname = ?1",
        values![hostname, token, answer],
    )?;
    Ok(())
}

/// What authorities must find now: host name, token, answer.
///
/// # Errors
/// When the database fails.
pub fn challenges(db: &Reader<'_>) -> Result<Vec<(String, String, String)>> {
    db.all(
        "SELECT hostname, token, answer FROM acme_names
         WHERE token IS NOT NULL AND answer IS NOT NULL",
        values![],
        |row| Ok((row.take()?, row.take()?, row.take()?)),
    )
}

/// Writes down how a name stands, which ends its order unless it is only verified.
///
/// # Errors
/// When the database fails.
pub fn settle(tx: &mut Tx<'_>, name: &Name, now: Timestamp) -> Result<()> {
    tx.run(
        "UPDATE acme_names SET certificate_id = ?2, status = ?3, reason = ?4, failures = ?5,
                               next_at = ?6, updated_at = ?7
         WHERE hostname = ?1",
        values![
            &name.hostname,
            name.certificate,
            name.status,
            name.reason.as_ref(),
            name.failures,
            name.next_at,
            now
        ],
    )?;
    if name.status != AcmStatus::Verified {
        tx.run(
            "UPDATE acme_names SET order_url = NULL, order_key = NULL, token = NULL, answer = NULL
             WHERE hostname = ?1",
            values![&name.hostname],
        )?;
    }
    // People see when a domain's certificate last made a step.
    tx.run("UPDATE domains SET updated_at = ?2 WHERE id = ?1", values![name.domain, now])?;
    Ok(())
}

/// Our credentials at an authority.
///
/// # Errors
/// When they cannot be opened or the database fails.
pub fn account(db: &Reader<'_>, directory: &str) -> Result<Option<Secret>> {
    let sql = "SELECT credentials FROM acme_accounts WHERE directory = ?1";
    let Some(sealed) = db.cell::<Vec<u8>>(sql, values![directory])? else { return Ok(None) };
    let place = account_place(directory);
    let plain = db.vault().open(&place, &sealed)?;
    let text = String::from_utf8(plain).map_err(|_| Error::Unseal { place })?;
    Ok(Some(Secret::new(text)))
}

/// Keeps our credentials at an authority.
///
/// # Errors
/// When the database fails.
pub fn set_account(
    tx: &mut Tx<'_>,
    directory: &str,
    credentials: &Secret,
    now: Timestamp,
) -> Result<()> {
    let sealed = tx.vault().seal(&account_place(directory), credentials.reveal().as_bytes())?;
    tx.run(
        "INSERT INTO acme_accounts (directory, credentials, created_at) VALUES (?1, ?2, ?3)
         ON CONFLICT (directory) DO UPDATE SET credentials = ?2",
        values![directory, sealed, now],
    )?;
    Ok(())
}

/// Forgets our credentials at an authority that does not know them any more.
///
/// # Errors
/// When the database fails.
pub fn forget_account(tx: &mut Tx<'_>, directory: &str) -> Result<()> {
    tx.run("DELETE FROM acme_accounts WHERE directory = ?1", values![directory])?;
    Ok(())
}

fn name(row: &mut Row) -> Result<Name> {
    Ok(Name {
        hostname: row.take()?,
        domain: row.take()?,
        certificate: row.take()?,
        status: row.take()?,
        reason: row.take()?,
        failures: row.take()?,
        next_at: row.take()?,
        created_at: row.take()?,
    })
}

fn order_place(hostname: &str) -> String {
    format!("acme_names/{hostname}/order_key")
}

fn account_place(directory: &str) -> String {
    format!("acme_accounts/{directory}")
}
