//! How many there are of what, for the operator.

use model::Timestamp;

use crate::engine::{Reader, Row};
use crate::{Result, values};

/// Living apps.
///
/// # Errors
/// When the statement fails.
pub fn apps(db: &Reader<'_>) -> Result<u64> {
    let sql = "SELECT COUNT(*) FROM apps WHERE deleted_at IS NULL";
    Ok(db.cell(sql, values![])?.unwrap_or(0))
}

/// Dynos that have not ended, and crashed ones, by the word of their state.
///
/// # Errors
/// When the statement fails.
pub fn dynos(db: &Reader<'_>) -> Result<Vec<(String, u64)>> {
    let sql = "SELECT state, COUNT(*) FROM dynos WHERE ended_at IS NULL OR state = 'crashed'
               GROUP BY state ORDER BY state";
    db.all(sql, values![], pair)
}

/// Builds by the word of their status.
///
/// # Errors
/// When the statement fails.
pub fn builds(db: &Reader<'_>) -> Result<Vec<(String, u64)>> {
    let sql = "SELECT status, COUNT(*) FROM builds GROUP BY status ORDER BY status";
    db.all(sql, values![], pair)
}

/// When the next certificate that is in use expires, and how many names were last refused one.
///
/// # Errors
/// When the statement fails.
pub fn certificates(db: &Reader<'_>) -> Result<(Option<Timestamp>, u64)> {
    let expiry = "SELECT MIN(expires_at) FROM certificates WHERE id IN
                  (SELECT e.certificate_id FROM sni_endpoints e
                   JOIN domains d ON d.sni_endpoint_id = e.id
                   UNION SELECT certificate_id FROM acme_names)";
    let refused = "SELECT COUNT(*) FROM acme_names WHERE reason IS NOT NULL";
    let next = db.cell::<Option<Timestamp>>(expiry, values![])?.flatten();
    Ok((next, db.cell(refused, values![])?.unwrap_or(0)))
}

fn pair(row: &mut Row) -> Result<(String, u64)> {
    Ok((row.take()?, row.take()?))
}
