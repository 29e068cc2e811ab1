//! Host names of apps.

use model::domain::Domain;
use model::{AppId, Timestamp};

use crate::engine::{Reader, Row, Tx};
use crate::{Result, values};

/// Writes a new domain.
///
/// # Errors
/// When the host name is taken or the database fails.
pub fn insert(tx: &mut Tx<'_>, domain: &Domain) -> Result<()> {
    tx.run(
        "INSERT INTO domains (id, app_id, hostname, kind, cname, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        values![
            domain.id,
            domain.app,
            &domain.hostname,
            domain.kind,
            domain.cname.as_ref(),
            domain.created_at,
            domain.updated_at
        ],
    )?;
    Ok(())
}

/// All domains of an app: the default first, then in the order they were added.
///
/// # Errors
/// When the database fails.
pub fn list(db: &Reader<'_>, app: AppId) -> Result<Vec<Domain>> {
    db.all(
        "SELECT id, app_id, hostname, kind, cname, created_at, updated_at FROM domains
         WHERE app_id = ?1 ORDER BY kind DESC, created_at, id",
        values![app],
        domain,
    )
}

/// All domains of living apps.
///
/// # Errors
/// When the database fails.
pub fn living(db: &Reader<'_>) -> Result<Vec<Domain>> {
    db.all(
        "SELECT d.id, d.app_id, d.hostname, d.kind, d.cname, d.created_at, d.updated_at
         FROM domains d JOIN apps a ON a.id = d.app_id WHERE a.deleted_at IS NULL",
        values![],
        domain,
    )
}

/// Whose this host name is.
///
/// # Errors
/// When the database fails.
pub fn by_hostname(db: &Reader<'_>, hostname: &str) -> Result<Option<Domain>> {
    db.one(
        "SELECT id, app_id, hostname, kind, cname, created_at, updated_at FROM domains
         WHERE hostname = ?1",
        values![hostname],
        domain,
    )
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
    Ok(())
}

/// Removes one domain.
///
/// # Errors
/// When the database fails.
pub fn delete(tx: &mut Tx<'_>, id: model::DomainId) -> Result<()> {
    tx.run("DELETE FROM domains WHERE id = ?1", values![id])?;
    Ok(())
}

/// Removes all domains of an app, which frees the names.
///
/// # Errors
/// When the database fails.
pub fn delete_all(tx: &mut Tx<'_>, app: AppId) -> Result<()> {
    tx.run("DELETE FROM domains WHERE app_id = ?1", values![app])?;
    Ok(())
}

fn domain(row: &mut Row) -> Result<Domain> {
    Ok(Domain {
        id: row.take()?,
        app: row.take()?,
        hostname: row.take()?,
        kind: row.take()?,
        cname: row.take()?,
        created_at: row.take()?,
        updated_at: row.take()?,
    })
}
